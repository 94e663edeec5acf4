"""instructsel demo: the main job on a small pool with planted defects, and an honest count of what it finds.

What is left after the checks is chosen at random, as our own study recommends; what a published rule would take instead stands beside
it. The main job needs no language model. IFD is shown beside it, on a sample that the embedded language model scores in a minute or two;
where that model cannot be fetched, the demo says so and ends well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.cache import Cache
from instructsel.commands import _options as options
from instructsel.commands._console import display, messages, reported, say, watching, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._score_text import notices, summary
from instructsel.commands._select_text import report
from instructsel.errors import EnvironmentFault, MissingExtra, ModelUnavailable, PoolError, UsageError
from instructsel.indicators.instruction_following_difficulty import InstructionFollowingDifficulty
from instructsel.models.load import EMBEDDED
from instructsel.paths import resolved
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.rules import catalog
from instructsel.scores.run import score
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.baselines.longest import Longest
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.candidates import EXACT
from instructsel.selection.choose import NEAR, select
from instructsel.selection.files import neighborhood
from instructsel.selection.minima import BELOW, Minimum
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.way import Way
from instructsel.text import aligned, counted

RULE: Final = "eq4-without-reward"
"""Shown beside the selection."""
INDICATORS: Final = ("len", "mtld", "knn_6", "plausibility")
MINIMA: Final = {"plausibility": Minimum(lowest=0.1)}
IFD_ROWS: Final = 128
"""Rows whose IFD is scored: a minute on two cores of a processor of 2022 that does nothing else."""
NULLS: Final = 0.1
"""Some of the pool's prompts are in scripts that the plausibility model does not read; these rows are left out."""

MINIMUM: Final = (BELOW,)
CHECKS: Final[dict[str, tuple[str, ...]]] = {
    "exact_duplicate": (EXACT, NEAR),
    "near_duplicate": (EXACT, NEAR),
    "empty": ("unscored:len:empty_response", "unscored:plausibility:empty_response"),
    "mismatched": MINIMUM,
    "gibberish": MINIMUM,
    "truncated": MINIMUM,
    "refusal": MINIMUM,
}
"""Defect kind → the reasons of the checks that look for it; other kinds have none, and only the ranking can keep them out."""

EXAMPLES: Final = """Examples:
  instructsel demo -o /tmp/instructsel-demo
  instructsel demo -o /tmp/instructsel-demo --fraction 0.25 --json
"""


@reported
@with_options
def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results, made if it is not there.")] = Path(
        "instructsel-demo"
    ),
    pool: Annotated[Path | None, typer.Option(help="Another pool with planted defects; needs --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key: which rows are defective.")] = None,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the pool to select.")] = 0.5,
    ifd: Annotated[
        bool, typer.Option("--ifd/--no-ifd", help=f"IFD of {IFD_ROWS} rows by the embedded language model, which is fetched on first use.")
    ] = True,
    reading: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Score, check and select a pool of 341 rows, then compare with the key of its planted defects."""
    if (pool is None) != (key is None):
        raise UsageError("--pool and --key go together.", fix="Give both, or neither.")
    if pool is None and reading != DEFAULTS:
        raise UsageError(
            "The demo's own pool is read as it is.", fix="Name another with --pool and --key, or leave the options of reading out."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {output}: {error.strerror or error}.", fix="Choose another folder with -o.") from error
    shipped = files("instructsel") / "examples"
    with as_file(shipped / "pool.jsonl") as pool_file, as_file(shipped / "pool.key.json") as key_file:
        examples, chosen, ruled = _main_job(pool or pool_file, output, fraction, reading, quiet=quiet)
        difficulty = Difficulty.of(examples, output, quiet=quiet) if ifd else Difficulty()
        kinds = compare(examples, chosen, ruled, key or key_file, difficulty.values)
    if json:
        write_json({"way": RANDOM, "rule": RULE, "summary": chosen.summary, "defects": kinds, "ifd": difficulty.as_dict()})
        return
    for line in [*_lines(kinds, chosen), *difficulty.lines(kinds)]:
        display(line)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _main_job(path: Path, output: Path, fraction: float, reading: ReadingOptions, *, quiet: bool) -> tuple[Pool, Selection, Selection]:
    """What a user does: score, check, select; and what the rule would take instead. Knows nothing of defects."""
    examples = reading.settled().read([str(path)], message=messages(quiet=quiet))
    seconds: dict[str, float] = {}
    cache = Cache.open(output / "cache")
    table = score(examples, INDICATORS, cache=cache, watch=watching(quiet=quiet), seconds=seconds)
    scores = output / "pool.scores.parquet"
    table.write(scores, run={"pools": [str(resolved(path))], "reading": reading.settled().as_dict(), "seconds": seconds})
    for line in [*summary(table, seconds), *notices(table, table.symbols), ""]:
        say(line, quiet=quiet)
    near = neighborhood(examples, table, cache, watch=watching(quiet=quiet))
    chosen, ruled = (
        select(examples, table, ranker, budget=fraction, minima=MINIMA, max_null_fraction=NULLS, neighbors=near)
        for ranker in (Way(RANDOM), catalog.load(RULE))
    )
    beside = baselines(chosen, [Longest.name])
    written = SelectionSet.create(output / "selected.jsonl", chosen, beside, scores=scores)
    for line in [*report(chosen, beside, written), ""]:
        say(line, quiet=quiet)
    return examples, chosen, ruled


@dataclass(frozen=True)
class Difficulty:
    """The IFD of a sample by the embedded language model, or why there is none."""

    values: Mapping[int, float] = field(default_factory=dict)
    """Line → IFD."""
    model: str | None = None
    unavailable: str | None = None
    """Why the model cannot be had, and what to do."""

    @classmethod
    def of(cls, pool: Pool, output: Path, *, quiet: bool) -> Difficulty:
        """Score a sample, with what the cache holds."""
        sample = pool.sample(min(IFD_ROWS, len(pool)), seed=0)
        say(f"IFD of {len(sample)} rows by the embedded language model, fetched on first use (--no-ifd leaves it out)", quiet=quiet)
        indicator = InstructionFollowingDifficulty(model=EMBEDDED)
        try:
            table = score(sample, [indicator], cache=Cache.open(output / "cache"), watch=watching(quiet=quiet))
        except (ModelUnavailable, MissingExtra) as error:
            return cls(unavailable=f"{error.message} {error.fix}")
        scored = dict(zip(table.frame["id"].to_list(), table.frame["ifd"].to_list(), strict=True))
        lines = {pool.locate(pool.position(name))[1][0]: value for name, value in scored.items() if value is not None}
        return cls(lines, str(table.manifest["indicators"]["ifd"]["model"]["name"]))

    def as_dict(self) -> dict[str, Any]:
        """What --json writes; the values by kind stand among the defects."""
        return {"rows": len(self.values), "model": self.model, "unavailable": self.unavailable}

    def lines(self, kinds: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """A table by kind, or why there is none."""
        if self.unavailable is not None:
            return ["", f"No IFD: {self.unavailable}"]
        if not self.values:
            return []
        rows = [
            [kind, counts["ifd_rows"], f"{counts['ifd_median']:.2f}", counts["ifd_above_1"]]
            for kind, counts in kinds.items()
            if counts["ifd_rows"]
        ]
        clean = kinds["clean"]["ifd_median"]
        higher = [row[0] for row in rows if row[0] != "clean" and clean is not None and kinds[row[0]]["ifd_median"] > clean]
        lines = [
            "",
            f"IFD of {len(self.values)} rows, by {self.model}:",
            *aligned(rows, header=["kind", "rows", "median", "above 1"], right=(1, 2, 3)),
            "IFD is the perplexity of a response after its instruction, divided by its perplexity alone. Above 1 the instruction does not help.",
        ]
        if higher:
            lines.append(
                f"The median of {', '.join(higher)} rows is above that of clean ones: a selection that takes the highest IFD takes them first. Its papers leave out rows above 1: --by superfiltering does so, --by -ifd does not."
            )
        return lines


def compare(
    pool: Pool, selection: Selection, ruled: Selection, key: Path, difficulty: Mapping[int, float] | None = None
) -> dict[str, dict[str, Any]]:
    """What became of the planted defects and of the clean rows: the one place that reads the key.

    Args:
        pool: one file, each line one example.
        selection: of that pool.
        ruled: what the rule selects of it.
        key: {"rows": [{"line", "kind", "of"}]}, lines from 1.
        difficulty: line → IFD, of a sample.

    Returns:
        Per kind, and for "clean": planted, found (by the checks for this kind; a pair of duplicates counts as found when
        either of the two is dropped as one), recall, false_alarms (clean rows the same checks dropped), out_by_rank,
        selected, selected_by_rule; recall and false_alarms are null where no check looks for the kind. ifd_rows, ifd_median and ifd_above_1 are of
        the rows of the kind that have an IFD.

    Raises:
        PoolError: the key is not readable or does not fit the pool.
    """
    try:
        rows = orjson.loads(key.read_bytes())["rows"]
        planted = {int(row["line"]): (str(row["kind"]), row.get("of")) for row in rows}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise PoolError(
            f"{key.name} is not a readable key ({type(error).__name__}).", fix="Plant the defects anew with examples/plant.py"
        ) from error
    fate, by_rule = (
        {
            pool.locate(position)[1][0]: (is_kept, reason)
            for position, (is_kept, reason) in enumerate(zip(*(every.frame[name].to_list() for name in ("kept", "reason")), strict=True))
        }
        for every in (selection, ruled)
    )
    if missing := sorted(set(planted) - set(fate)):
        raise PoolError(
            f"{key.name} names line {missing[0]}, which the pool does not have.", fix="Plant the defects anew with examples/plant.py"
        )
    originals = {of for _, of in planted.values() if of is not None}
    clean_lines = [line for line in fate if line not in planted and line not in originals]
    counts_of: dict[str, dict[str, Any]] = {}
    for kind in [*dict.fromkeys(kind for kind, _ in planted.values()), "clean"]:
        lines = clean_lines if kind == "clean" else [line for line, (other, _) in planted.items() if other == kind]
        checks = CHECKS.get(kind, ())
        caught = (
            sum(any(_dropped(fate[line], checks) for line in (row_line, planted[row_line][1]) if line in fate) for row_line in lines)
            if checks
            else None
        )
        states = Counter(
            "selected" if fate[line][0] else "out_by_rank" if fate[line][1] in ("below_budget", "over_budget") else "dropped"
            for line in lines
        )
        ratios = [value for line, value in (difficulty or {}).items() if line in set(lines)]
        counts_of[kind] = {
            "planted": len(lines),
            "found": caught,
            "recall": caught / len(lines) if caught is not None and lines else None,
            "false_alarms": sum(_dropped(fate[line], checks) for line in clean_lines) if checks else None,
            "dropped": states["dropped"],
            "out_by_rank": states["out_by_rank"],
            "selected": states["selected"],
            "selected_by_rule": sum(by_rule[line][0] for line in lines),
            "ifd_rows": len(ratios),
            "ifd_median": median(ratios) if ratios else None,
            "ifd_above_1": sum(value > 1 for value in ratios),
        }
    return counts_of


def _dropped(fate: tuple[bool, str | None], reasons: tuple[str, ...]) -> bool:
    return fate[1] is not None and any(f"{fate[1]}:".startswith(f"{reason}:") for reason in reasons)


def _lines(kinds: dict[str, dict[str, Any]], chosen: Selection) -> list[str]:
    rows = []
    for kind, counts in kinds.items():
        found = "" if kind == "clean" else "no check" if counts["recall"] is None else f"{counts['found']} of {counts['planted']}"
        alarms = "" if counts["false_alarms"] is None else str(counts["false_alarms"])
        taken = [
            f"{counts[name]} ({counts[name] / counts['planted']:.0%})" if counts["planted"] else "0"
            for name in ("selected", "selected_by_rule")
        ]
        rows.append([kind, counts["planted"], found, alarms, counts["out_by_rank"], *taken])
    lines = [
        "Planted defects, compared with the key:",
        *aligned(rows, header=["kind", "rows", "found", "false alarms", "not drawn", "selected", "by Eq. 4"], right=(1, 3, 4, 5, 6)),
        "Found: left out by a check meant for the kind. False alarms: clean rows that the same checks left out. Not drawn: passed every check, but were not among those selected.",
    ]
    missed = [
        f"{counts['planted'] - counts['found']} of {counts['planted']} {kind}"
        for kind, counts in kinds.items()
        if CHECKS.get(kind) == MINIMUM and counts["found"] is not None and counts["found"] < counts["planted"]
    ]
    threshold = chosen.summary["minima"]["plausibility"]
    unread = chosen.summary["dropped"].get("unscored:plausibility:unsupported_language", 0)
    lines.append(
        f"The minimum of plausibility left out the {threshold['rows']:,} rows that score lowest, a tenth"
        + (f"; it missed {', '.join(missed)} rows" if missed else "")
        + (f". Another {counted(unread, 'row')} were left out because the model does not read their language." if unread else ".")
    )
    lines.append(
        f"{counted(len(chosen), 'row')} selected at random from those that passed. By Eq. 4: what {RULE} takes of them instead; it favors rows that lie far from others. "
        "None of the seven ways to select in our study held up beside random: docs/why/what_selection_is_worth.md."
    )
    return lines
