"""instructsel gate index: evaluation sets as a file of hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.errors import UsageError

EXAMPLES: Final = """Examples:
  instructsel gate index examples/questions.jsonl -o /tmp/evals.index
  instructsel gate index examples/questions.jsonl examples/clean.jsonl -o /tmp/both.index --json
"""


@reported
def command(
    sets: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Evaluation sets: files of questions or of any pool format, other indices, lm-eval:TASK."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The index, a name that ends in .index.", rich_help_panel=options.OUTPUT)
    ],
    include_path: Annotated[
        Path | None, typer.Option("--include-path", metavar="FOLDER", help="A folder with own tasks of lm-evaluation-harness.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no index.", rich_help_panel=options.OUTPUT)] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Put evaluation sets into a file of hashes, which shows contamination without the sets.

    It holds hashed n-grams of 8 and of 13 words, the numbers of the items, and the names of the sets; no text of an item.
    """
    from instructsel.artifact import check_outputs
    from instructsel.gates.contamination.index import ENDING, ItemIndex, is_index
    from instructsel.gates.contamination.items import LM_EVAL
    from instructsel.pool.naming import files_of
    from instructsel.pool.outputs import check_apart
    from instructsel.text import aligned

    if output.suffix != ENDING:
        raise UsageError(f"{output} does not end in {ENDING}.", fix=f"Name it so: {output.with_suffix(ENDING)}")
    inputs = [name for name in sets if not name.startswith(LM_EVAL)]
    check_outputs([output], files_of(inputs))
    check_apart([output], inputs)
    if output.exists() and output.stat().st_size and not force and not is_index(str(output)):
        raise UsageError(f"{output} exists and is no index.", fix="Name another file with -o, or replace it with --force.")
    index = ItemIndex.of(sets, include_path=include_path, progress=lambda name: say(f"reading {name}", quiet=quiet))
    index.write(output)
    record = {**index.as_dict(), "digest": index.digest, "file": str(output)}
    if json:
        write_json(record)
    elif not quiet:
        for line in aligned(
            [(entry.name, entry.n_items, entry.left_out) for entry in index.sets],
            header=("evaluation set", "items", "left out"),
            right=(1, 2),
        ):
            display(line)
    say(f"wrote {output}: {index.n_items:,} items, {sum(map(len, index.grams)):,} n-grams, digest {index.digest}", quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
