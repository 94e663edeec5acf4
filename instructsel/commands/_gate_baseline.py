"""instructsel gate baseline: the file of a pool that new rows are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, messages, reported, say, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._help import Command, Group
from instructsel.errors import UsageError
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions

if TYPE_CHECKING:
    from instructsel.gates.baseline.base import Request
    from instructsel.gates.baseline.baseline import Baseline

CREATE_EXAMPLES: Final = """Examples:
  instructsel gate baseline create examples/pool.jsonl -o /tmp/pool.baseline
  instructsel gate baseline create examples/pool.jsonl --encoder embedded -o /tmp/vectors.baseline
"""
UPDATE_EXAMPLES: Final = """Examples:
  instructsel gate baseline update /tmp/pool.baseline examples/clean.jsonl
  instructsel gate baseline update /tmp/pool.baseline examples/clean.jsonl -o /tmp/both.baseline
"""
SHOW_EXAMPLES: Final = (
    "Examples:\n  instructsel gate baseline show /tmp/pool.baseline\n  instructsel gate baseline show /tmp/pool.baseline --json\n"
)
LISTED: Final = 20
"""Files and sources that are listed."""

app: typer.Typer = typer.Typer(
    cls=Group, help="Make, extend and show the file of a pool that new rows are compared with.", no_args_is_help=True, rich_markup_mode=None
)

Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The baseline.", rich_help_panel=options.OUTPUT)]
Scores = Annotated[
    list[Path] | None,
    typer.Option("--scores", metavar="SCORES", help="A score table of these rows, whose columns are put into it; once for each table."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is no baseline.", rich_help_panel=options.OUTPUT)]


@reported
@with_options
def create(
    pool: Annotated[list[str], typer.Argument(metavar="POOL...", help="The pool: files of any format, folders, or hf://OWNER/NAME.")],
    output: Output,
    scores: Scores = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="MODEL",
            help="Put vectors of the examples into it: embedded, a folder, or a hub id. Embedding duplicates and drift of vectors need them.",
        ),
    ] = None,
    force: Force = False,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Make the baseline of a pool: digests, statistics and sketches of its rows, none of their texts.

    It has the names of files and sources, and nothing else of a row that can be read. The same pool gives the same bytes, in whatever order its files are named.
    """
    from instructsel.gates.baseline.baseline import Baseline

    _check(output, [*pool, *map(str, scores or ())], force=force)
    rows = read.settled().read(pool, message=messages(quiet=quiet))
    baseline = Baseline.create(rows, _request(scores, encoder, quiet=quiet))
    _write(baseline, output, json=json, quiet=quiet)


@reported
def update(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The baseline.")],
    new: Annotated[list[str], typer.Argument(metavar="NEW...", help="Pool files that joined, or changed.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Another file for the result; the baseline itself by default.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    scores: Scores = None,
    force: Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Extend a baseline by the rows that joined; only these are read.

    A file that it had under the same name is replaced by what the file is now. The result is the same, bit for bit, as that of making it anew of all files.
    """
    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.baseline.identities import names_of

    target = output or file
    before = Baseline.read(file)
    _check(target, [*new, *map(str, scores or ()), *([str(file)] if output is not None else [])], force=force)
    rows = before.reading.read(new, message=messages(quiet=quiet))
    known = {entry.name for entry in before.identities.files}
    for name in names_of([entry.source.name for entry in rows.files]):
        if name in known:
            say(f"{name} takes the place of what the baseline had under this name.", quiet=quiet)
    baseline = before.updated(rows, _request(scores, None, quiet=quiet))
    _write(baseline, target, json=json, quiet=quiet)


@reported
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The baseline.")],
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show what a baseline holds: files, sources, parts, and what they were made with."""
    from instructsel.gates.baseline.baseline import Baseline

    baseline = Baseline.read_whole(file)
    if json:
        write_json(described(baseline))
        return
    for line in _lines(baseline):
        display(line)


def described(baseline: Baseline) -> dict[str, Any]:
    """A baseline as plain data: its manifest, its address, and the size of its parts."""
    return {**baseline.manifest, "fingerprint": baseline.fingerprint, "bytes": baseline.sizes}


def _check(target: Path, inputs: list[str], *, force: bool) -> None:
    """Refuse an output that cannot be written, that is read, or that is another's.

    Raises:
        UsageError: it is.
    """
    from instructsel.artifact import check_outputs
    from instructsel.gates.baseline.baseline import is_baseline
    from instructsel.pool.naming import files_of

    check_outputs([target], files_of(inputs))
    if not force and target.exists() and target.stat().st_size and not is_baseline(target):
        raise UsageError(
            f"{target} exists and is not a baseline of instructsel.", fix="Name another file with -o, or replace it with --force."
        )


def _request(scores: list[Path] | None, encoder: str | None, *, quiet: bool) -> Request:
    from instructsel.gates.baseline.base import Request

    return Request(tuple(scores or ()), None, encoder, lambda name: say(f"making: {name}", quiet=quiet))


def _write(baseline: Baseline, target: Path, *, json: bool, quiet: bool) -> None:
    from instructsel.text import counted

    baseline.write(target)
    if json:
        write_json(described(baseline))
    size = target.stat().st_size / 1e6
    say(
        f"{target}: {counted(len(baseline), 'example')} of {counted(len(baseline.identities.files), 'file')}, {size:,.1f} MB, {baseline.fingerprint}",
        quiet=quiet,
    )


def _lines(baseline: Baseline) -> list[str]:
    """What people read."""
    from instructsel.gates.baseline.registry import parts
    from instructsel.text import aligned, counted, excerpt

    identities = baseline.identities
    lines = [f"{counted(len(baseline), 'example')}, {counted(len(identities.row_raw), 'row')}; address {baseline.fingerprint}"]
    rows_of_file = [int((identities.file == code).sum()) for code in range(len(identities.files))]
    rows = [(excerpt(file.name, 48), f"{n:,}") for file, n in zip(identities.files, rows_of_file, strict=True)]
    lines += aligned(rows[:LISTED], header=["file", "examples"], right=(1,)) + _more(rows)
    if identities.source_field is not None:
        labels = identities.labels
        sources = [(excerpt(name, 48), f"{labels.count(name):,}") for name in identities.sources]
        lines += aligned(sources[:LISTED], header=[f"source ({excerpt(identities.source_field, 24)})", "examples"], right=(1,)) + _more(
            sources
        )
    named = [
        (
            name,
            excerpt(parts()[name].title, 58) if baseline.has(name) else "of another release: make the baseline again",
            f"{baseline.sizes[name] / 1e6:,.1f} MB",
        )
        for name in sorted(baseline.about)
    ]
    return lines + (aligned(named, header=["part", "for", "size"], right=(2,)) if named else [])


def _more(rows: list[tuple[str, str]]) -> list[str]:
    return [f"… and {len(rows) - LISTED:,} more"] if len(rows) > LISTED else []


for _command, _examples in ((create, CREATE_EXAMPLES), (update, UPDATE_EXAMPLES), (show, SHOW_EXAMPLES)):
    _command.__doc__ = f"{_command.__doc__}\n\n\b\n{_examples}"
    app.command(cls=Command)(_command)
