"""instructsel audit: what a trainer would train on, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from instructsel import kinds
from instructsel.artifact import check_outputs, check_replaced
from instructsel.audits.settings import AuditSettings
from instructsel.commands import _audit_text as text
from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import Progress, display, messages, reported, say, write_json
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.experiments.limits import MOST_ROWS
from instructsel.pool import spec
from instructsel.pool.naming import files_of
from instructsel.pool.outputs import check_apart
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions

EXAMPLES: Final = """Examples:
  instructsel audit examples/pool.jsonl --base study-demo/toybase
  instructsel audit examples/pool.jsonl --tokenizer study-demo/toybase --show 3 --html /tmp/audit.html
  instructsel audit examples/pool.jsonl --base study-demo/toybase --max-length 64 --fail-on lost-end-mark,error

\b
The base here is that of make toy-study.
"""

TRL: Final = "trl"
SHOWN: Final = 5
"""Rows on a page, where --show names no number."""


@reported
@with_options
def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="The rows to train on: pool files of any format.")],
    settings: AuditSettings,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="The model to fine-tune: a folder, a hub id, or embedded (SmolLM2-135M-Instruct); an adapter too. Its weights are not "
            "read.",
            rich_help_panel=options.MODELS,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="T", help="Instead of a base, a tokenizer alone.", rich_help_panel=options.MODELS),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="CONSUMER",
            help="Whose training is shown: trl, with a base or a tokenizer; or a consumer of export, by its documented rules, without either.",
            autocompletion=_completion.consumers,
        ),
    ] = TRL,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="KIND[,KIND…]",
            help="Exit with 1 where there is such a finding: kinds, error, warning, info, or any (errors and warnings).",
        ),
    ] = None,
    show: Annotated[
        int,
        typer.Option(
            "--show",
            min=0,
            max=MOST_ROWS,
            metavar="N",
            help="Print so many rows with the trained tokens marked.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the audit and the shown rows as a page.", rich_help_panel=options.OUTPUT),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write the audit (.json), or its rows (.parquet, .csv).", rich_help_panel=options.OUTPUT
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no audit.", rich_help_panel=options.OUTPUT)] = False,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Show what a trainer would train on, without training: tokens, loss tokens, and what is wrong with rows, template and base."""
    from instructsel.audits.checks.registry import checked_conditions
    from instructsel.audits.run import audit_with
    from instructsel.audits.subject import Subject

    conditions = checked_conditions(name.strip() for name in (fail_on or "").split(",") if name.strip())
    if fail_on is not None and not conditions:
        raise UsageError("--fail-on names no kind of finding.", fix="For example: --fail-on any")
    if to != TRL:
        _by_rules(
            to,
            list(files),
            read.settled(),
            unused={"--base": base, "--tokenizer": tokenizer, "--fail-on": fail_on, "--show": show, "--html": html, "-o": output},
            json=json,
            quiet=quiet,
        )
        return
    targets = {target: flag for target, flag in ((html, "--html"), (output, "-o")) if target is not None}
    _check_targets(targets, files_of([*files, *(name for name in (base, tokenizer) if name)]), force=force)
    check_apart(targets, files, flags=targets)
    subject = Subject.load(settings, base=base, tokenizer=tokenizer)
    reading = read.settled()
    pool = reading.read(list(files), message=messages(quiet=quiet))
    progress = Progress("auditing", quiet=quiet, unit="rows")
    result = audit_with(pool, subject, show=show if show or html is None else SHOWN, progress=progress)
    if html is not None:
        from instructsel.reports.audit_page import write

        write(result, html)
    if output is not None:
        result.write(output)
    if json:
        write_json({**result.as_dict(), "rows": [row.as_dict() for row in result.shown]})
    elif not quiet:
        for line in text.lines(result):
            display(line)
        if show:
            for line in text.show(result):
                typer.echo(line)
    for target in targets:
        say(f"wrote {target}", quiet=quiet)
    failing = result.failing(conditions)
    if failing:
        say(f"--fail-on: {', '.join(finding.kind for finding in failing)}", quiet=quiet)
        raise typer.Exit(1)


def _by_rules(to: str, files: list[str], reading: spec.Reading, *, unused: dict[str, Any], json: bool, quiet: bool) -> None:
    """Show what a consumer would train on by its documented rules.

    Raises:
        UsageError: no such consumer, or options that need a tokenizer.
    """
    from instructsel.adapters.exports.registry import export_of
    from instructsel.adapters.exports.view import view

    consumer = export_of(to)
    named = [flag for flag, value in unused.items() if value]
    if named:
        raise UsageError(
            f"{named[0]} is for --to {TRL}: of {consumer.title} the documented rules are shown, without a tokenizer.",
            fix=f"Leave {named[0]} out, or leave --to out.",
        )
    pool = reading.read(files, message=messages(quiet=quiet))
    shown = view(pool, consumer, progress=Progress("auditing", quiet=quiet, unit="rows"))
    if json:
        write_json(shown.as_dict())
    elif not quiet:
        for line in shown.lines():
            display(line)


def _check_targets(targets: dict[Path, str], inputs: list[str], *, force: bool) -> None:
    """Refuse outputs that cannot be written, or are something else.

    Raises:
        UsageError: an output is an input, has another ending, or is a file that is no audit.
        EnvironmentFault: its folder is missing or not writable.
    """
    for target, flag in targets.items():
        endings = (".html",) if flag == "--html" else (".json", ".parquet", ".csv")
        if target.suffix not in endings:
            raise UsageError(f"{target} ends in none of {', '.join(endings)}.", fix=f"Name a file with such an ending with {flag}.")
    check_outputs(targets, inputs, flags=targets)
    for target, flag in targets.items():
        check_replaced(target, kinds.AUDIT, "an audit", force=force or _is_audit(target), flag=flag)


def _is_audit(path: Path) -> bool:
    """Whether a file is an audit that instructsel wrote: it names its kind in itself."""
    marks = {".html": b'<p class="soft">Audit of instructsel ', ".json": b'"kind": "audit"'}
    return path.suffix in marks and path.is_file() and marks[path.suffix] in path.read_bytes()


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
