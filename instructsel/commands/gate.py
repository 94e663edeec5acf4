"""instructsel gate: may these rows join the pool?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import Progress, display, messages, note, reported, say, write, write_json
from instructsel.commands._gate_group import GateGroup
from instructsel.commands._gate_options import CheckOptions, VerdictOptions
from instructsel.commands._groups import with_options
from instructsel.errors import Negative, NothingToDo, UsageError
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions

if TYPE_CHECKING:
    from instructsel.commands._gate_outputs import Outputs
    from instructsel.gates.by_rows import Company
    from instructsel.gates.change import Change
    from instructsel.gates.config import GateConfig
    from instructsel.gates.git.new_rows import NewRows
    from instructsel.gates.verdict import Verdict

EXAMPLES: Final = """Examples:
  instructsel gate examples/clean.jsonl
  instructsel gate examples/pool.jsonl --fail-on never --to markdown=/tmp/gate.md --findings /tmp/findings.parquet

\b
A file that is called as a subcommand is named with its folder: ./checks
"""
CHECKS: Final = CheckOptions()
VERDICT: Final = VerdictOptions()


@reported
@with_options
def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NEW]...",
            help="The rows that want to join: pool files of any format, or a recipe of a mixture. By default [data] new of the configuration.",
        ),
    ] = None,
    checks: CheckOptions = CHECKS,
    written: VerdictOptions = VERDICT,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Check whether new rows may join a pool, and say which may not and why."""
    from instructsel.commands._gate_outputs import Outputs
    from instructsel.gates.reading import reading_of
    from instructsel.mixtures.origin import read_files

    flags = read.settled()
    settings = checks.settings()
    outputs = Outputs.of(written, json=json)
    reading = reading_of(settings, flags)
    beside = _read_beside(settings, checks.config)
    added = None if checks.diff is None else _added(checks.diff, files, settings, reading, beside)
    names = (_named(files) if files else _configured_files(settings)) if added is None else [*added.files, *added.unread]
    notes = [*_unmatched_notes(files, settings), *((added.statement(), *added.notes) if added is not None else ())]
    outputs.check([*names, *read_files(names), *beside])
    say(f"Checks: {settings.where or 'the default ones; no gate.toml and no [tool.instructsel.gate] here'}", quiet=quiet)
    for line in notes:
        say(line, quiet=quiet)
    with _company(names, settings, added) as company:
        change = _read(names, reading, settings, outputs, added=added, quiet=quiet)
        change = replace(change, notes=(*notes, *change.notes))
        if added is not None and not (files or settings.data.get("new")):
            # All changed data files were looked at, of which some may be none of a pool.
            for file in change.unread:
                if file.error.report is not None:
                    file.error.fix = (
                        f"{_ended(file.error.fix)}Where it is no file of the pool, name those that are: [data] new in gate.toml."
                    )
        verdict = _asked(change, settings, company, quiet=quiet)
    outputs.write(verdict)
    if json:
        write_json(verdict.as_dict(written.fail_on))
    _end(verdict, outputs, most=written.max_findings, quiet=quiet, is_listed=not (json or quiet or outputs.on_stdout))


def _ended(sentence: str | None) -> str:
    """A sentence with its point, and a blank for the next one."""
    return f"{sentence.removesuffix('.')}. " if sentence else ""


def _configured_files(settings: GateConfig) -> list[str]:
    """The files that the configuration names.

    Raises:
        UsageError: it names none.
        NothingToDo: no file is there.
    """
    if not settings.data.get("new"):
        raise UsageError("No file is named.", fix="For example: instructsel gate new.jsonl; or name files in [data] new of gate.toml.")
    names = settings.files()
    if not names:
        raise NothingToDo(
            f"No file is there that [data] new of {settings.where} names: {', '.join(settings.data['new'])}.",
            fix="There is nothing to check. If files should be there, correct the pattern.",
        )
    return names


def _unmatched_notes(files: list[str] | None, settings: GateConfig) -> list[str]:
    """Which of the patterns that are looked for are like no file now."""
    from instructsel.pool.naming import is_pattern, unmatched

    lacking, folder = (unmatched(files), None) if files else (settings.unmatched(), settings.folder)
    where = "" if files else f" ([data] new of {settings.where})"
    return [f"{'No file is like' if is_pattern(name, folder) else 'No data file is in'} {name}{where}." for name in lacking]


def _added(base: str, files: list[str] | None, settings: GateConfig, reading: Any, beside: list[str]) -> NewRows:
    """The rows that the branch adds to the files that are named, else to those of the configuration, else to all data files.

    Raises:
        UsageError: there is no such commit, this is no repository, or a pattern never named a file.
    """
    from instructsel.gates.git.new_rows import new_rows
    from instructsel.gates.git.patterns import check_ever_named, without_own_files
    from instructsel.pool.lines import Limits
    from instructsel.pool.naming import is_pattern, matched, matches_pattern, unmatched

    limits = None if reading is None else Limits(duplicate_key=reading.duplicate_key)
    judges = [Path(name) for name in beside]
    if files:
        patterns = [name for name in files if is_pattern(name)]
        added = new_rows(
            base, matched(files), limits=limits, is_named=lambda path: any(matches_pattern(name, path) for name in patterns), beside=judges
        )
        looked_for, lacking, folder, where = files, unmatched(files), None, ""
    else:
        names = settings.files() if settings.data.get("new") else None
        added = new_rows(base, names, limits=limits, is_named=settings.names_file, beside=judges)
        looked_for = settings.data.get("new", [])
        lacking, folder, where = settings.unmatched(), settings.folder, f", which [data] new of {settings.where} names"
    check_ever_named(base, [*lacking, *without_own_files(looked_for, folder)], folder, where=where)
    return added


def _named(files: list[str]) -> list[str]:
    """The files of the command line, patterns that no shell replaced as what they match.

    Raises:
        UsageError: no file is like them.
    """
    from instructsel.pool.naming import matched

    names = matched(files)
    if not names:
        raise UsageError(f"No file is like {', '.join(files)}.", fix="Name files that are there, or another pattern.")
    return names


def _read_beside(settings: GateConfig, config: Path | None) -> list[str]:
    """What is read besides the rows."""
    named = config if config is not None else Path(settings.where) if settings.where else None
    return [str(path) for path in (named, settings.baseline) if path is not None]


def _read(
    names: list[str], reading: Any, settings: GateConfig, outputs: Outputs, *, added: NewRows | None = None, quiet: bool = False
) -> Change:
    """The rows, those that the baseline has and those that a branch does not add passed over.

    Raises:
        NothingToDo: the files are empty.
        PoolError: they cannot be read, or hold no example.
    """
    from instructsel.errors import EmptyFile
    from instructsel.gates.reading import no_change, read_change

    if added is not None and not names:
        return no_change(settings.baseline, reading)
    only = None if added is None else added.only
    try:
        change = read_change(names, baseline=settings.baseline, reading=reading, message=messages(quiet=quiet), only=only)
    except EmptyFile as error:
        raise NothingToDo(error.message, fix="There is nothing to check: write its rows first, or leave the file out.") from error
    outputs.check_rows(change.pool)
    if change.baseline is None:
        return change
    statement = change.known.statement(change.baseline.identities) or "No row is in the baseline already, in the same file."
    say(statement, quiet=quiet)
    return replace(change, notes=(statement,))


def _company(names: list[str], settings: GateConfig, added: NewRows | None) -> AbstractContextManager[Company | None]:
    """Other processes that begin while large files are read; none where most rows may be no new ones."""
    from instructsel.gates.by_rows import ahead

    is_whole = settings.baseline is None and added is None
    company = ahead([configured.check for configured in settings.checks], names, settings.folder) if is_whole else None
    return nullcontext() if company is None else company


def _asked(change: Change, settings: GateConfig, company: Company | None, *, quiet: bool) -> Verdict:
    """The verdict of all checks."""
    from instructsel.gates.gate import gate

    progress = Progress("checking", quiet=quiet, unit="checks")
    total = len(settings.checks)
    counter = iter(range(total))
    try:
        return gate(change, settings, progress=lambda kind: progress(next(counter, total), total), company=company)
    finally:
        progress.close()


def _end(verdict: Verdict, outputs: Outputs, *, most: int, quiet: bool, is_listed: bool) -> None:
    """Say what was found and written, and end with the exit code.

    Raises:
        typer.Exit: the code is not 0.
    """
    from instructsel.commands import _gate_text as text

    fail_on, findings = outputs.fail_on, outputs.findings
    shown = text.lines(verdict, fail_on=fail_on, most=most, findings=None if findings is None else str(findings)) if is_listed else ()
    for line in shown:
        display(line)
    for line in outputs.written:
        say(line, quiet=quiet)
    code = verdict.exit_code(fail_on)
    if code not in (0, Negative.exit_code):
        # A change without a row is nobody's error.
        for line in note(text.sentence(verdict, fail_on), label="note:  " if code == NothingToDo.exit_code else "error: "):
            write(line, err=True)
    if code:
        raise typer.Exit(code)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"

app: typer.Typer = typer.Typer(
    cls=GateGroup, help="Check whether new rows may join a pool, and say which may not and why.", rich_markup_mode=None
)
