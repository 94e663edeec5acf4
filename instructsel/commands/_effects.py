"""instructsel study effects: what each source adds to each outcome, with intervals, as a table, a heat map or a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from instructsel.artifact import atomic_write, check_outputs, dump_json
from instructsel.commands import _options as options
from instructsel.commands._console import reported, say, write, write_json
from instructsel.errors import UsageError
from instructsel.reports.charts import is_chart
from instructsel.reports.heat_map import heat_map_of
from instructsel.reports.render import is_report, report
from instructsel.reports.sections.effects import chart_data, decimals, meaning, title
from instructsel.stats.variance import BOTH, CONFIDENCE, Estimand
from instructsel.study.effects import CONTROL, EffectMatrix, of_folder
from instructsel.study.folder import StudyFolder
from instructsel.study.one_source import BASE
from instructsel.text import aligned, clean, wrapped

EXAMPLES: Final = """Examples:
  instructsel study effects /tmp/one-source
  instructsel study effects /tmp/one-source --against more -o /tmp/matrix.svg

\b
The study is the second example of instructsel study plan --help.
"""
ENDINGS: Final = (".svg", ".json", ".html", ".md")
WIDTH: Final = 80
NAMES: Final = 22
"""Columns of a terminal for a source's name."""
MARKS: Final = {"better": "", "worse": "", "uncertain": "?", "unknown": "?"}


@reported
def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder, planned with --add-one or --leave-one.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it: a heat map (.svg), a report (.html, .md), or .json.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="What sources of --add-one are held against: base; more, the base with as many more rows of its own; or untouched, the model "
            "before any training."
        ),
    ] = BASE,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Of every interval, and of all tests together.")] = CONFIDENCE,
    generalize_to: Annotated[
        str, typer.Option(help="Intervals are for both, new items and new runs, or for new runs on these items.")
    ] = BOTH,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Say what each source adds to each outcome, with intervals, and whether one source is best everywhere."""
    if output is not None:
        _check_output(output, folder)
    estimand: Estimand = "runs" if generalize_to == "runs" else "both"
    if generalize_to != estimand:
        raise UsageError.named(generalize_to, ("both", "runs"), noun="population of an effect")
    matrix = of_folder(folder, against=against, confidence=confidence, generalize_to=estimand)
    if output is not None:
        _write(output, matrix)
        say(f"wrote {output}", quiet=quiet)
    if json:
        write_json(matrix.as_dict())
        return
    if quiet:
        return
    for line in lines(matrix):
        write(clean(line))


def _check_output(output: Path, folder: Path) -> None:
    """Refuse a file that is none of ours, or of another ending.

    Raises:
        UsageError: it is.
        EnvironmentFault: its folder is missing or not writable.
    """
    if output.suffix not in ENDINGS:
        raise UsageError(f"{output} ends in none of {', '.join(ENDINGS)}.", fix="Give it one of these endings.")
    place = StudyFolder(folder)
    check_outputs([output], [place.plan_file, place.table, place.table.with_name(f"{place.table.name}.json")])
    if not output.exists():
        return
    is_ours = is_chart(output) if output.suffix == ".svg" else is_report(output) or _is_matrix(output)
    if not is_ours:
        raise UsageError(f"{output} exists and is no effect matrix of instructsel.", fix="Name another file with -o, or remove that one.")


def _is_matrix(path: Path) -> bool:
    return path.suffix == ".json" and b'"kind": "effects"' in path.read_bytes()


def _write(output: Path, matrix: EffectMatrix) -> None:
    content = matrix.as_dict()
    if output.suffix in (".html", ".md"):
        report(content, title=title(content)).write(output)
        return
    text = dump_json(content, indent=True) + b"\n" if output.suffix == ".json" else drawn(content).encode()
    with atomic_write(output) as file:
        file.write(text)


def drawn(content: Mapping[str, Any]) -> str:
    """The heat map of a matrix as SVG, with its own title."""
    return heat_map_of(chart_data(content), title=title(content))


def lines(matrix: EffectMatrix) -> list[str]:
    """A matrix for people, at most 80 columns wide."""
    content = matrix.as_dict()
    text = [*wrapped(meaning(content), WIDTH), ""]
    for outcomes in _blocks(matrix, content):
        text += _table(matrix, content, outcomes)
        text.append("")
    text += wrapped(
        f"± half of a {matrix.confidence:.0%} interval, each by itself; ? it holds 0; * told from 0 with all {matrix.comparisons} cells counted (Holm).",
        WIDTH,
    )
    text.append("")
    # Against the model before any training, that is one column and not two.
    columns = ("untouched",) if matrix.against == "untouched" else ("untouched", matrix.against)
    rows = [
        [
            outcome.name,
            *("–" if value is None else f"{value:.4g}" for value in (outcome.untouched, outcome.baseline)[: len(columns)]),
            outcome.best or "–",
            ", ".join(outcome.may_be_best) or "not known",
        ]
        for outcome in matrix.outcomes
    ]
    text += aligned(rows, header=["outcome", *columns, "best", "may be best"], right=tuple(range(1, len(columns) + 1)), width=WIDTH)
    best = ", ".join(f"{source} {count}" for source, count in matrix.times_best.items())
    text += ["", *wrapped(f"Best estimates of {len(matrix.outcomes)} outcomes: {best}.", WIDTH), *wrapped(matrix.verdict, WIDTH)]
    for note in matrix.notes:
        text += wrapped(f"note: {note}", WIDTH)
    return text


def _blocks(matrix: EffectMatrix, content: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Outcomes by as many as fit beside one another."""
    block: list[str] = []
    room = WIDTH - NAMES
    for outcome in matrix.outcomes:
        width = 2 + max(len(outcome.name), *(len(_figure(matrix, content, source, outcome.name)) for source in matrix.rows), 1)
        if block and width > room:
            yield block
            block, room = [], WIDTH - NAMES
        block.append(outcome.name)
        room -= width
    if block:
        yield block


def _table(matrix: EffectMatrix, content: Mapping[str, Any], outcomes: Sequence[str]) -> list[str]:
    rows = [[source, *(_figure(matrix, content, source, outcome) for outcome in outcomes)] for source in matrix.rows]
    units = {outcome.name: outcome.unit for outcome in matrix.outcomes}
    if CONTROL in matrix.rows:
        # No source, and none of the comparisons.
        rows.insert(len(rows) - 1, ["", *("" for _ in outcomes)])
    rows.append(["", *(units[outcome] for outcome in outcomes)])
    return aligned(rows, header=["source", *outcomes], right=tuple(range(1, len(outcomes) + 1)), width=WIDTH)


def _figure(matrix: EffectMatrix, content: Mapping[str, Any], source: str, outcome: str) -> str:
    cell = matrix.cell(source, outcome)
    if cell is None or cell.estimate is None:
        return "–"
    places = decimals(content, outcome)
    if cell.low is None or cell.high is None:
        return f"{cell.estimate:+.{places}f} (no interval)"
    mark = "*" if cell.survives else MARKS[cell.standing]
    return f"{cell.estimate:+.{places}f} ± {(cell.high - cell.low) / 2:.{places}f}{mark or ' '}"


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"

__all__ = ["command", "drawn", "lines"]
