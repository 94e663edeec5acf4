"""instructsel report: results as one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel import kinds
from instructsel.artifact import check_no_record, check_outputs, check_replaced, read_manifest
from instructsel.commands import _options as options
from instructsel.commands._console import messages, note, reported, say
from instructsel.commands._groups import with_options
from instructsel.errors import InstructselError, UsageError
from instructsel.pool.outputs import check_apart
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.reports.reading import artifact_kind
from instructsel.reports.render import checked_suffix, is_report, report
from instructsel.selection.files import find_pool
from instructsel.selection.selection_set import SelectionSet
from instructsel.shapes import is_path
from instructsel.text import in_json

EXAMPLES: Final = """Examples:
  instructsel report /tmp/chosen.jsonl -o /tmp/report.html
  instructsel report /tmp/tenth.selection.parquet /tmp/tenth.random-seed0.selection.parquet --without-text -o /tmp/report.md
"""


@reported
@with_options
def command(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="What select wrote (chosen.jsonl, with its baselines), sidecars (the first is the selection, the others its "
            "baselines), a score table, study.parquet, verification.parquet, verdict.json, audit.json or gate.json, or the folder of a "
            "study, a size search, a verification or an audit.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the report goes: .html, .md or .json.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    scores: Annotated[Path | None, typer.Option(help="The score table, where the selection does not lead to it.")] = None,
    arm: Annotated[str | None, typer.Option(help="The arm of a verification that is the selection.")] = None,
    with_text: Annotated[
        bool | None,
        typer.Option(
            "--with-text/--without-text",
            help="Show the beginning of the best and worst rows, masked; by default where the pool is where it was.",
        ),
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="For the texts: the pool files, where the results do not lead to them.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,
    reading: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Put results into one page that opens with the outcome and loads nothing."""
    target = checked_suffix(output)
    named: list[Path] = [*results, *([scores] if scores else [])]
    check_outputs([target], [*named, *(pool or [])])
    check_apart([target], pool or ())
    check_no_record(target, kinds.REPORT)
    check_replaced(target, kinds.REPORT, "a report", force=force or is_report(target))
    texts = _pool(named, pool, with_text, reading, quiet=quiet)
    check_outputs([target], [] if texts is None else [file.source.name for file in texts.files])
    check_apart([target], [] if texts is None else texts.spec.paths)
    page = report(*named, title=title, arm=arm, with_text=texts is not None, pool=texts)
    page.write(target)
    wrote = f"wrote {target}: {', '.join(section.title for section in page.sections[1:])}"
    for line in (line for sentence in (*page.sections[0].text, wrote) for line in note(sentence, hang=2)):
        say(line, quiet=quiet)
    if json:
        typer.echo(in_json(page.json()), nl=False)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _pool(named: Sequence[Path], pool: list[str] | None, with_text: bool | None, reading: ReadingOptions, *, quiet: bool) -> Pool | None:
    """The pool whose texts are shown; None where none are to be shown, or by default where it is not at hand."""
    with_rows = any(artifact_kind(path)[0] in (kinds.SELECTION, kinds.SELECTION_SET) for path in named)
    if with_text is False or (with_text is None and not with_rows):
        return None
    try:
        return _pool_behind(named, pool, reading, quiet=quiet)
    except InstructselError as error:
        if with_text or pool or reading != DEFAULTS:
            raise
        say(f"Texts of rows are not shown: {error.message}", quiet=quiet)
        return None


def _pool_behind(named: Sequence[Path], pool: list[str] | None, reading: ReadingOptions, *, quiet: bool) -> Pool:
    """The pool behind the results.

    Raises:
        UsageError: nobody recorded where it is, or it is not there.
        PoolError: it cannot be read.
    """
    lines = messages(quiet=quiet)
    for path in named:
        kind, target = artifact_kind(path)
        if kind == kinds.SELECTION_SET:
            _check_default(reading, path)
            return SelectionSet.read(path).pool(pool, message=lines)
        # A score table itself, or the one that a selection was made from.
        run = (read_manifest(target) or {}).get("run") or {} if target.is_file() else {}
        named_scores = run.get("scores")
        scores = (
            Path(named_scores)
            if isinstance(named_scores, str) and is_path(named_scores)
            else target
            if run.get("pool") or run.get("pools")
            else None
        )
        if scores is not None and scores.is_file():
            _check_default(reading, scores)
            return find_pool(scores, pool, message=lines)
    if pool:
        return reading.settled().read(pool, message=lines)
    raise UsageError("Where the pool is was not recorded in these results.", fix="Name its files with --pool.")


def _check_default(reading: ReadingOptions, record: Path) -> None:
    """Refuse options of reading where it is recorded how the pool is read."""
    if reading != DEFAULTS:
        raise UsageError(f"{record.name} records how its pool is read.", fix="Leave the options of reading out.")
