"""instructsel export: a selection as the files of a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import Progress, messages, reported, say, write_json
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, LONGEST_ROW
from instructsel.pool.outputs import check_apart
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions

EXAMPLES: Final = """Examples:
  instructsel export examples/pool.jsonl --to trl -o /tmp/for-trl
  instructsel export /tmp/chosen.jsonl --to llamafactory -o /tmp/factory --order score
"""


@reported
@with_options
def command(
    selection: Annotated[
        list[str],
        typer.Argument(
            metavar="SELECTION...",
            help="What select wrote: the rows, the ….selection.parquet or ….selection-set.json; a mixture or its recipe; or pool files.",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="CONSUMER",
            help="trl, llamafactory, axolotl, ms-swift, open-instruct, messages, alpaca, sharegpt, parquet, or hf (a Hugging Face folder).",
            autocompletion=_completion.consumers,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PLACE",
            help="A folder, where the data file is named by what it holds; or a file. NAME.CONSUMER here by default.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            help="Where the consumer is to train: completion (on the last response), assistant (on every response), or with --tokenizer tulu-1 (as in the first release of Tülu); its default without it.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            help="With --to trl or open-instruct: write tokens in the chat template of this base or tokenizer, and masks; weights 0 and 1 are masks, too.",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length",
            min=1,
            max=LONGEST_ROW,
            help="With --tokenizer: tokens of a row; the rest is cut off, and rows without a loss token are left out and counted.",
        ),
    ] = None,
    drop_unsupported: Annotated[
        bool,
        typer.Option("--drop-unsupported", help="Leave rows out, and count them, that the consumer cannot carry; refused without it."),
    ] = False,
    order: Annotated[
        str,
        typer.Option(
            "--order",
            help="Order of the rows: id, score (best first), file (as they stand in the files), or random.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = "id",
    seed: Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of --order random.", rich_help_panel=options.OUTPUT)] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there already; never an input.", rich_help_panel=options.OUTPUT)
    ] = False,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Write a selection as the files of a trainer, and account for every row that it cannot carry."""
    from instructsel.adapters.exports.base import ExportSettings
    from instructsel.adapters.exports.registry import export_of, exports, tokenized
    from instructsel.adapters.exports.run import Target, export
    from instructsel.adapters.exports.selected import inputs_of, selected
    from instructsel.selection.selection_set import stem_of

    if to is None:
        raise UsageError("No consumer is named.", fix=f"Name one with --to: {', '.join(exports())}.")
    consumer = export_of(to) if tokenizer is None else tokenized(to, tokenizer)
    settings = consumer.decided(ExportSettings(loss, order, seed, drop_unsupported, force, max_length))
    place = output if output is not None else Path(f"{stem_of(Path(selection[0]).name)[0] or 'export'}.{to}")
    inputs = inputs_of(selection)
    check_apart([place], [*selection, *inputs])
    Target.of(consumer, place).check(consumer, inputs, force=force)
    reading = read.settled()
    chosen = selected(selection, reading, message=messages(quiet=quiet))
    progress = Progress("exporting", quiet=quiet, unit="rows")
    result = export(chosen, consumer, place, settings=settings, inputs=inputs, progress=progress)
    for line in result.account.lines(consumer):
        say(line, quiet=quiet)
    for line in result.notes():
        say(line, quiet=quiet)
    for path in (*result.data, *result.companions):
        say(f"wrote {path}", quiet=quiet)
    say(f"next: {consumer.next_command(result.data[0])}", quiet=quiet)
    if json:
        write_json(result.as_dict())


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
