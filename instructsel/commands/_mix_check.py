"""instructsel mix check: whether a mixture is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.errors import Negative

EXAMPLES: Final = """Examples:
  instructsel mix check /tmp/mixed.jsonl
  instructsel mix check /tmp/mixed.jsonl --json
"""


@reported
def command(
    mixture: Annotated[Path, typer.Argument(metavar="FILE", help="The rows of a mixture, or its manifest.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Say whether a mixture, and the files it was made of, are as they were.

    Exit code 1 where a file of a source is another or gone; 3 where the rows or the manifest are others.
    """
    from instructsel.commands import _mix_text as text
    from instructsel.mixtures.mixture import Mixture

    checked = Mixture.read(mixture)
    checked.check()
    changed = checked.changed_inputs()
    if json:
        write_json(
            {"mixture": str(checked.path), "name": checked.name, "hash": checked.hash, "rows_changed": False, "changed_files": changed}
        )
    elif not quiet:
        for line in text.lines(checked):
            display(line)
    say(f"{checked.path}: the rows and the manifest are as they were written, hash {checked.hash}", quiet=quiet)
    if changed:
        raise Negative(
            f"Files of the sources are gone or others now: {', '.join(changed[:6])}{' …' if len(changed) > 6 else ''}",
            fix="The mixture stands as it is; mixed again it would be another.",
        )
    say("The files of the sources are as they were read.", quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
