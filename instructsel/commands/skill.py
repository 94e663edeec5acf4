"""instructsel skill: the page for assistants that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import reported, say, write
from instructsel.commands._help import Command, Group
from instructsel.errors import UsageError

NAME: Final = "SKILL.md"
MARK: Final = "\nname: instructsel\n"
"""What stands in every page of ours."""
PLACE: Final = Path(".agents") / "skills"
SHOW_EXAMPLES: Final = "Examples:\n  instructsel skill show\n  instructsel skill show --traceback\n"
INSTALL_EXAMPLES: Final = "Examples:\n  instructsel skill install --to /tmp/skills\n  instructsel skill install --to /tmp/skills --force\n"

app: typer.Typer = typer.Typer(
    cls=Group, help="Show and install the page that tells an assistant how to use instructsel.", no_args_is_help=True, rich_markup_mode=None
)


def page() -> str:
    """The page's text."""
    from importlib.resources import files

    return (files("instructsel") / "skill" / NAME).read_text(encoding="utf-8")


@reported
def show(show_traceback: options.Traceback = False) -> None:
    """Print the page."""
    write(page().rstrip("\n"))


@reported
def install(
    output: Annotated[
        Path, typer.Option("--output", "--to", metavar="DIR", help="The folder of skills; the page goes to DIR/instructsel/SKILL.md.")
    ] = PLACE,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that is not of instructsel.")] = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Write the page where assistants look for skills."""
    from instructsel.artifact import atomic_write, check_name, check_outputs

    folder = output / "instructsel"
    target = folder / NAME
    check_name(folder)
    if not force and target.exists() and MARK not in target.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{target} exists and is no page of instructsel.", fix="Name another folder with --to, or replace it with --force."
        )
    folder.mkdir(parents=True, exist_ok=True)
    check_outputs([target], [])
    with atomic_write(target) as file:
        file.write(page().encode())
    say(f"wrote {target}", quiet=quiet)


for function, examples in ((show, SHOW_EXAMPLES), (install, INSTALL_EXAMPLES)):
    function.__doc__ = f"{function.__doc__}\n\n\b\n{examples}"
    app.command(function.__name__, cls=Command)(function)
