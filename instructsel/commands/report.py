"""instructsel report: results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.artifact import read_manifest
from instructsel.commands import _options as options
from instructsel.commands import _settings as settings
from instructsel.commands._console import messages, reported, say
from instructsel.errors import UsageError
from instructsel.pool import spec
from instructsel.pool.pool import Pool
from instructsel.reports.render import checked_suffix, report
from instructsel.selection.files import find_pool

EXAMPLES: Final = """Examples:
  instructsel report /tmp/chosen.selection.parquet -o /tmp/report.html
  instructsel report /tmp/tenth.selection.parquet /tmp/tenth.random-seed0.selection.parquet --with-text -o /tmp/report.md
"""


@reported
def command(
    context: typer.Context,
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="….selection.parquet (the first is the selection, the others its baselines), ….scores.parquet, study.parquet, "
            "verification.parquet or .json, or the folder of a study, a size search or a verification.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the report goes: .html, .md or .json.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="At the head of the report.")] = None,
    scores: Annotated[Path | None, typer.Option(help="The score table, where the selection does not lead to it.")] = None,
    arm: Annotated[str | None, typer.Option(help="The arm of a verification that is the selection.")] = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Show the beginning of the best and worst rows, masked.")] = False,
    pool: Annotated[list[str] | None, typer.Option(help="For --with-text: the pool files, where the scores do not lead to them.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Put results into one file that shows everything and loads nothing."""
    settings.check(context)
    target = checked_suffix(output)
    named: list[Path] = [*results, *([scores] if scores else [])]
    texts = _pool(named, pool, quiet=quiet) if with_text else None
    page = report(*named, title=title, arm=arm, with_text=with_text, pool=texts)
    page.write(target)
    for line in page.sections[0].text:
        say(line, quiet=quiet)
    say(f"wrote {target}: {', '.join(section.title for section in page.sections[1:])}", quiet=quiet)
    if json:
        typer.echo(page.json(), nl=False)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _pool(named: list[Path], pool: list[str] | None, *, quiet: bool) -> Pool:
    """The pool behind the results: that of their score table."""
    for path in named:
        # A score table itself, or the one that a selection was made from.
        run = (read_manifest(path) or {}).get("run") or {} if path.is_file() else {}
        scores = Path(run["scores"]) if isinstance(run.get("scores"), str) else path if run.get("pool") or run.get("pools") else None
        if scores is not None and scores.is_file():
            return find_pool(scores, pool, message=messages(quiet=quiet))
    if pool:
        return spec.Reading().read(pool, message=messages(quiet=quiet))
    raise UsageError("Where the pool is cannot be told from these results.", fix="Name its files with --pool.")
