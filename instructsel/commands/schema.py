"""instructsel schema: the JSON Schema of what commands print and write."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._completion import schemas
from instructsel.commands._console import display, reported, write_json
from instructsel.text import aligned

EXAMPLES: Final = "Examples:\n  instructsel schema\n  instructsel schema gate\n"


@reported
def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of those that are listed without a name.", autocompletion=schemas)
    ] = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Print the JSON Schema of what a command prints or writes."""
    from instructsel.commands._schemas import SCHEMAS, described

    if name is not None:
        write_json(described(name).schema(name))
    elif json:
        write_json({schema: entry.text for schema, entry in SCHEMAS.items()})
    else:
        for line in aligned([[schema, entry.text] for schema, entry in SCHEMAS.items()]):
            display(line)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
