"""The flags several commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from instructsel.commands._console import fail, say
from instructsel.commands._help import COMMON
from instructsel.errors import EnvironmentFault, InstructselError, UsageError
from instructsel.models.devices import check_device

if TYPE_CHECKING:
    from instructsel.cache import Cache

READING: Final = "How pool files are read"
MODELS: Final = "Models"
BUDGET: Final = "Budget"
OUTPUT: Final = "Output"
FILTERS: Final = "Rows left out"
BASELINES: Final = "Baselines"
TRAINING: Final = "Training"
GRADING: Final = "Grading"
STATISTICS: Final = "Statistics"
RUNS: Final = "Runs"
"""Headings of --help: rich_help_panel of an option names its own, one of these or another."""

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.", rich_help_panel=COMMON)]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.", rich_help_panel=COMMON)]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.", rich_help_panel=COMMON)]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Print all settings as a table for instructsel.toml, and end.", rich_help_panel=COMMON),
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        help="Row format: auto, alpaca, dolly, messages, sharegpt, …",
        rich_help_panel=READING,
    ),
]

SourceField = Annotated[
    str | None,
    typer.Option(
        "--source-field",
        metavar="FIELD",
        help="Field of a row that is its source, for quotas, studies and reports; its file by default. OBJECT.FIELD for one of an object.",
        rich_help_panel=READING,
    ),
]


def _device(value: str) -> str:
    """The device, or the end of the program before any work."""
    try:
        return check_device(value)
    except InstructselError as error:
        fail(error)


Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="cpu, cuda (every GPU), cuda:N (one of them), mps, or auto: a GPU where there is one.",
        callback=_device,
        rich_help_panel=MODELS,
    ),
]
CacheFolder = Annotated[
    Path | None, typer.Option("--cache", help="Folder of the cache; the user's cache folder by default.", rich_help_panel=COMMON)
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.", rich_help_panel=COMMON)]


@dataclass(frozen=True)
class CacheOptions:
    """Which cache is used."""

    cache: CacheFolder = None
    no_cache: NoCache = False

    def open(self, *, quiet: bool) -> Cache | None:
        """The cache; None where it is switched off."""
        return open_cache(self.cache, off=self.no_cache, quiet=quiet)


@dataclass(frozen=True)
class CommonOptions:
    """What is printed, and how an error looks."""

    json: Json = False
    quiet: Quiet = False
    show_traceback: Traceback = False


def _loss_unit(value: str) -> str:
    """The unit of losses, or the end of the program before any work."""
    # Here, as it brings numpy, which help and completion do without.
    from instructsel.stats.loss_units import FLAGS

    if value not in FLAGS:
        fail(UsageError.named(value, FLAGS, noun="unit of a loss"))
    return value


LossUnit = Annotated[
    str,
    typer.Option(
        "--loss-unit",
        help="Unit of losses: nats-per-token, bits-per-byte (of the responses, whatever the tokenizer), or auto: nats-per-token, as all models have one base.",
        callback=_loss_unit,
        rich_help_panel=GRADING,
    ),
]


def cache_limit() -> int:
    """Bytes the cache may hold: INSTRUCTSEL_CACHE_LIMIT, or 20 GiB."""
    # Here, as it brings numpy, which help and completion do without.
    from instructsel.cache import LIMIT, parse_size

    stated = os.environ.get("INSTRUCTSEL_CACHE_LIMIT")
    return parse_size(stated) if stated else LIMIT


def open_cache(folder: Path | None, *, off: bool, quiet: bool) -> Cache | None:
    """The cache, or None when it is switched off. A default folder that cannot be used is done without, and said."""
    if off:
        return None
    from instructsel.cache import Cache

    try:
        return Cache.open(folder)
    except EnvironmentFault as error:
        if folder is not None:
            raise
        say(f"note: the cache is not used. {error.message}", quiet=quiet)
        return None
