"""instructsel datasets: the open datasets that there are, and their originals as conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.commands._conversion import NONE_NAMED, ConversionSettings
from instructsel.commands._groups import with_options
from instructsel.commands._help import Command, Group
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED

LIST_EXAMPLES: Final = "Examples:\n  instructsel datasets list\n  instructsel datasets list --json\n"
SHOW_EXAMPLES: Final = "Examples:\n  instructsel datasets show dolly\n  instructsel datasets show tulu_v3 --json\n"
CONVERT_EXAMPLES: Final = (
    "Examples:\n  instructsel datasets convert dolly examples/instructions.jsonl -o /tmp/dolly.jsonl\n"
    "  instructsel datasets convert dolly examples/instructions.jsonl --seed 7 --dry-run\n"
)

app: typer.Typer = typer.Typer(
    cls=Group,
    help="List and show the open datasets that users mix, and convert their originals to conversations.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@reported
def list_datasets(json: options.Json = False, show_traceback: options.Traceback = False) -> None:
    """List the open datasets: rows, turns, licence, and who wrote them."""
    from instructsel.commands import _dataset_text as text
    from instructsel.mixtures.catalogue import catalogue

    datasets = list(catalogue().values())
    if json:
        write_json([text.plain(dataset) for dataset in datasets])
        return
    for line in text.table(datasets):
        display(line)


@reported
def show(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Of the dataset, as datasets list names it.", autocompletion=_completion.datasets)
    ],
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show a dataset: where its original lies, size, lengths, licence, who wrote it, what is read of it and how it is converted."""
    from instructsel.commands import _dataset_text as text
    from instructsel.mixtures.catalogue import entry

    dataset = entry(key)
    if json:
        write_json(text.plain(dataset))
        return
    for line in text.page(dataset):
        display(line)


@reported
@with_options
def convert(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Of the dataset, as datasets list names it.", autocompletion=_completion.conversions)
    ],
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="The files of its original; folders, or hf://OWNER/NAME.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of templates and samples.")] = 42,
    settings: ConversionSettings = NONE_NAMED,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", help="Column names of a CSV or TSV file without a header, comma-separated.", rich_help_panel=options.READING
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", help="Between two fields of a CSV or TSV file; told from the file by default.", rich_help_panel=options.READING
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The conversations, JSON lines of dataset, id and messages.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.", rich_help_panel=options.OUTPUT)] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no earlier conversion; never an input.", rich_help_panel=options.OUTPUT)
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Convert the original of a dataset to conversations as its paper does, with an account of every row.

    What is drawn depends on the seed and on each row's own content: the same rows give the same file, whatever their order and that of the files.
    """
    from instructsel.artifact import write_manifest
    from instructsel.commands import _dataset_text as text
    from instructsel.mixtures.catalogue import entry
    from instructsel.mixtures.conversions import convert as converted

    if output is None and not dry_run:
        raise UsageError("No output is named.", fix="Name one with -o FILE.jsonl, or count with --dry-run.")
    target = None if dry_run else output
    named = settings.named()
    if settings.tasks is not None:
        named["tasks"] = text.tasks_of(Path(settings.tasks))
    conversion = text.conversion_of(entry(key), named, seed)
    if target is not None:
        text.check_target(target, files, force=force)
    names = [name.strip() for name in columns.split(",")] if columns else None
    result = converted(conversion, files, columns=names, delimiter=delimiter)
    record = text.record(result, target)
    if target is not None:
        record["sha256"] = result.write(target)
        # Without its own place: the same rows give the same manifest but for its `run`.
        write_manifest(target, {name: value for name, value in record.items() if name != "output"}, run={"files": text.digests(files)})
    if json:
        write_json(record)
        return
    for line in text.lines(result):
        say(line, quiet=quiet)
    if target is not None:
        say(f"wrote {target}: {len(result):,} conversations", quiet=quiet)


for name, function, examples in (
    ("list", list_datasets, LIST_EXAMPLES),
    ("show", show, SHOW_EXAMPLES),
    ("convert", convert, CONVERT_EXAMPLES),
):
    app.command(name, cls=Command, help=f"{function.__doc__}\n\n\b\n{examples}")(function)
