"""instructsel gate init: a configuration from a pool's own distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import Progress, messages, reported, say, write, write_json
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions

EXAMPLES: Final = """Examples:
  instructsel gate init examples/clean.jsonl -o -
  instructsel gate init examples/clean.jsonl -o /tmp/gate.toml --force
"""


@reported
@with_options
def command(
    pool: Annotated[list[str], typer.Argument(metavar="POOL...", help="The pool: files of any format, folders, or hf://OWNER/NAME.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The configuration; - is stdout.", rich_help_panel=options.OUTPUT)
    ] = Path("gate.toml"),
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="The baseline of this pool: new rows are compared with it, too."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration.", rich_help_panel=options.OUTPUT)] = False,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Propose a configuration from a pool's own distribution, with a reason for each line.

    The pool passes it: rates may be as high as the upper ends of their intervals, lengths as high as nearly all of the pool's. Read it, and change
    what new rows should be held to.
    """
    from instructsel.artifact import atomic_write, check_outputs
    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.proposing import proposable, propose, relative_to
    from instructsel.pool.naming import files_of

    is_stdout = str(output) == "-"
    check_outputs([output], [*files_of(pool), *([str(baseline)] if baseline is not None else [])])
    if not is_stdout and not force and output.exists() and output.stat().st_size:
        raise UsageError(f"{output} exists.", fix="Name another file with -o, or replace it with --force.")
    compared = None if baseline is None else Baseline.read_whole(baseline)
    rows = read.settled().read(pool, message=messages(quiet=quiet))
    path = None if baseline is None else relative_to(baseline, Path.cwd() if is_stdout else output.parent)
    progress = Progress("checking", quiet=quiet, unit="checks")
    total = len(proposable())
    counter = iter(range(total))
    try:
        proposal = propose(rows, baseline=compared, path=path, progress=lambda kind: progress(next(counter, total), total))
    finally:
        progress.close()
    text = proposal.text()
    if is_stdout and not json:
        # As it stands: a comment that goes on in the next line is no TOML.
        write(text.rstrip("\n"))
    elif not is_stdout:
        with atomic_write(output) as file:
            file.write(text.encode())
    if json:
        write_json(
            {
                "checks": [{**check.settings, "reason": check.reason} for check in proposal.checks],
                "left_out": list(proposal.left_out),
                "baseline": proposal.baseline,
            }
        )
    say(f"{len(proposal.checks)} checks, {len(proposal.left_out)} left out{'' if is_stdout else f': {output}'}", quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
