"""instructsel decontaminate: a pool without the rows that hold items of evaluation sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel import kinds
from instructsel.commands import _cleaning as shared
from instructsel.commands import _options as options
from instructsel.commands._console import Progress, display, messages, reported, say
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.gates.defaults import COVERAGE
from instructsel.kinds import head
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.text import aligned

if TYPE_CHECKING:
    from instructsel.gates.contamination.matching import Rule

EXAMPLES: Final = """Examples:
  instructsel decontaminate examples/pool.jsonl --against examples/questions.jsonl --dry-run
  instructsel decontaminate examples/pool.jsonl --against examples/questions.jsonl -o /tmp/apart.jsonl --pairs /tmp/evidence.parquet
"""
COMPARED: Final = "Comparing"


@dataclass(frozen=True)
class CoverageOptions:
    """Which items are looked for, and how much of one makes a row go."""

    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="FILE|INDEX|lm-eval:TASK",
            help="An evaluation set: a file of questions or of any pool format, an index of gate index, or a task of lm-evaluation-harness. "
            "May be repeated.",
            rich_help_panel=COMPARED,
        ),
    ] = None
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            min=0.01,
            max=1,
            help="Share of the words of an item's question, or of a long answer, from which a row goes.",
            rich_help_panel=COMPARED,
        ),
    ] = COVERAGE
    ngram: Annotated[int, typer.Option("--ngram", min=8, max=13, help="Words of an n-gram: 8 or 13.", rich_help_panel=COMPARED)] = 8
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            metavar="PART",
            help="What of an item decides: question, answer, passage, choices; question and answer by default. May be repeated.",
            rich_help_panel=COMPARED,
        ),
    ] = None
    include_path: Annotated[
        Path | None,
        typer.Option(
            "--include-path", metavar="FOLDER", help="A folder with own tasks of lm-evaluation-harness.", rich_help_panel=COMPARED
        ),
    ] = None

    def rule(self) -> Rule:
        """When an item counts as being in a row.

        Raises:
            UsageError: no evaluation set is named, or a setting that cannot be.
        """
        from instructsel.gates.contamination.matching import DECIDING, Rule

        if not self.against:
            raise UsageError("No evaluation set is named.", fix="Name one with --against: a file, an index, or lm-eval:TASK.")
        return Rule(self.ngram, self.threshold, tuple(self.part or DECIDING))


COVERED: Final = CoverageOptions()


@reported
@with_options
def command(
    files: Annotated[list[str], typer.Argument(metavar="POOL...", help="The pool: files of any format, folders, or hf://OWNER/NAME.")],
    compared: CoverageOptions = COVERED,
    outputs: shared.CleaningOutputs = shared.OUTPUTS,
    max_bad_fraction: shared.MaxBadFraction = 0.05,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Write a pool without the rows that hold items of evaluation sets, and say of each which item it holds, and how much of it.

    An item is in a row where the row's n-grams cover half of the words of its question, or of its answer.
    """
    from instructsel.gates.cleaning import Cleaned, check_bad_rows, evidence_frame
    from instructsel.gates.contamination.index import ItemIndex
    from instructsel.gates.contamination.items import LM_EVAL
    from instructsel.gates.contamination.matching import find_items

    rule, against = compared.rule(), list(compared.against or ())
    targets = outputs.targets(kinds.DECONTAMINATION, "a decontamination")
    targets.check([*files, *(name for name in against if not name.startswith(LM_EVAL))])
    index = ItemIndex.of(against, include_path=compared.include_path)
    for entry in index.sets:
        say(
            f"{entry.name}: {entry.n_items:,} items" + (f", {entry.left_out:,} of them too short to be found" if entry.left_out else ""),
            quiet=quiet,
        )
    pool = read.settled().read(sorted(files), message=messages(quiet=quiet))
    targets.check_rows(pool)
    check_bad_rows(pool, max_bad_fraction)
    progress = Progress("comparing", quiet=quiet, unit="rows")
    evidence = list(find_items(index, pool.examples(), rule, progress=lambda done: progress(done, len(pool))))
    progress.close()
    cleaned = Cleaned.of(pool, {entry.position for entry in evidence}, with_others=True)
    frame = evidence_frame(cleaned, evidence)
    by_set = Counter(entry.set for entry in evidence)
    items = {name: len({entry.item for entry in evidence if entry.set == name}) for name in by_set}
    rows = {name: len({entry.position for entry in evidence if entry.set == name}) for name in by_set}
    about: dict[str, Any] = {
        **head(kinds.DECONTAMINATION),
        "sets": [
            {
                "name": entry.name,
                "items": entry.n_items,
                "found": items.get(entry.name, 0),
                "rows": rows.get(entry.name, 0),
                "digest": entry.digest,
            }
            for entry in index.sets
        ],
        "threshold": rule.threshold,
        "ngram": rule.ngram,
        "parts": list(rule.parts),
    }
    if not quiet and not json:
        table = [(entry["name"], *(f"{entry[name]:,}" for name in ("items", "found", "rows"))) for entry in about["sets"]]
        for line in aligned(table, header=("evaluation set", "items", "found", "rows"), right=(1, 2, 3)):
            display(line)
    targets.write(cleaned, frame, about, json=json, quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
