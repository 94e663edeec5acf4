"""What every export has: the consumer, what it can carry, how a row is written, and what the consumer would train on.

    class Pairs(Export):
        name, title, source = "pairs", "a trainer of pairs", "its documentation, release 1.0"
        refused = frozenset({"tools", "calls", "results", "several_turns"})

        def row(self, exported, settings):
            return {"q": exported.turns[0].content, "a": exported.turns[-1].content}

Whatever a conversation holds (`contents.CONTENTS`) is carried, unless the export names it: rows with what is `refused` end the export
or are left out on request, rows with what is `left_out` are left out and named, and what is `altered` or `noted` is counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.exports.contents import Exported, contents, only_last_trained
from instructsel.errors import UsageError
from instructsel.experiments.limits import LONGEST_ROW
from instructsel.pool.example import Example
from instructsel.pool.message import Message

if TYPE_CHECKING:
    import polars

    from instructsel.adapters.exports.account import Account
    from instructsel.adapters.exports.facts import Facts, RowFacts

COMPLETION: Final = "completion"
ASSISTANT: Final = "assistant"
ORDERS: Final = ("id", "score", "file", "random")
MASKED: Final = "untrained"
"""What a consumer that trains on the last response alone can carry."""
UNTRAINABLE: Final = frozenset({"no_prompt", "no_response"})
"""What no trainer learns a response from."""


@dataclass(frozen=True)
class ExportSettings:
    """How a selection is written for a consumer."""

    loss: str | None = None
    """Where the consumer is to train: completion (on the last response), assistant (on every response), tulu-1 (as in the first release of
    Tülu; in tokens alone); its own default without it."""
    order: str = "id"
    """Order of the rows: id, score (best first; of a selection), file (as they stand in the files), random (by the seed)."""
    seed: int = 0
    """Of a random order."""
    drop_unsupported: bool = False
    """Whether rows that the consumer cannot carry are left out, and counted, where they would end the export."""
    force: bool = False
    """Whether files are replaced that are there already."""
    max_length: int | None = None
    """Tokens of a row, of an export that is tokens: the rest is cut off, and rows without a loss token are left out and counted."""

    def __post_init__(self) -> None:
        if self.max_length is not None and not 0 < self.max_length <= LONGEST_ROW:
            raise UsageError(f"max_length of an export is above 0 and at most {LONGEST_ROW:,}, not {self.max_length!r}.")
        if self.order not in ORDERS:
            raise UsageError.named(self.order, ORDERS, noun="order of rows")


@dataclass(frozen=True)
class Written:
    """The data file of an export, as its companions name it."""

    name: str
    """Of the file, relative to the folder of the companions."""
    digest: str
    """The beginning of the SHA-256 of its bytes."""
    rows: int
    account: Account
    """What became of every row."""
    settings: ExportSettings
    """With the loss that was decided."""
    facts: Facts
    """What is known of the rows: where they come from and how they were chosen."""
    row_facts: RowFacts
    """Counts over the rows that were written."""
    shards: tuple[str, ...] = ()
    """The names of the data files, where they may be several."""
    shared: bytes | None = None
    """The shared companion as it stands there now."""


class Export(ABC):
    """One consumer of training data."""

    name: ClassVar[str]
    """What `--to` calls it."""
    title: ClassVar[str]
    """What sentences call it."""
    source: ClassVar[str]
    """Where its format is documented, with the release that was read."""
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json")
    """Of files that it can be written to; the first one is that of a file in a folder."""
    losses: ClassVar[tuple[str, ...]] = ()
    """Where it can be made to train, its default first; empty for a format that many trainers read."""
    cuts: ClassVar[bool] = True
    """Whether turns behind the last trained response are left out, which would be trained on or end the row in the wrong role."""
    refused: ClassVar[frozenset[str]] = frozenset()
    """What it cannot carry."""
    left_out: ClassVar[frozenset[str]] = UNTRAINABLE
    """What makes a row no training row for it."""
    altered: ClassVar[Mapping[str, str]] = {}
    """What is written so that it does not come back → what becomes of it."""
    noted: ClassVar[Mapping[str, str]] = {}
    """What is written where not every reader looks → how."""
    shared: ClassVar[str | None] = None
    """A companion that several exports add to; it is never replaced."""
    data_folder: ClassVar[str] = ""
    """Of the data file inside the folder of the export."""
    is_tokens: ClassVar[bool] = False
    """Whether tokens are written, and not texts."""
    writes_itself: ClassVar[bool] = False
    """Whether the data are files of names of its own, which `write` writes."""
    whole_folder: ClassVar[bool] = False
    """Whether it is a folder always, and never one file."""
    rules: ClassVar[tuple[str, ...]] = ()
    """What the consumer does with the rows by its documentation, for `audit --to`: masks, truncation, what it drops."""

    @abstractmethod
    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The row of one example."""

    def rows(self, listed: Iterable[Exported], settings: ExportSettings) -> Iterator[dict[str, Any]]:
        """The rows of examples, in order."""
        return (self.row(exported, settings) for exported in listed)

    def held(self, rows: Iterable[Example], settings: ExportSettings) -> Iterator[frozenset[str]]:
        """What the turns of examples that would be written hold, in order: names of `contents.NAMES`."""
        return (contents(example, self.turns(example, settings)) for example in rows)

    @property
    def stated(self) -> dict[str, Any]:
        """What the manifest says beside the settings."""
        return {}

    def decided(self, settings: ExportSettings) -> ExportSettings:
        """The settings with the loss that the export has.

        Raises:
            UsageError: a loss that the consumer cannot be made to have, or a length of rows whose tokens it makes itself.
        """
        if settings.max_length is not None and not self.is_tokens:
            raise UsageError(
                f"{self.title} cuts rows itself: no token is written for it.",
                fix="Leave --max-length out, or name a tokenizer with --tokenizer.",
            )
        if settings.loss is None:
            return replace(settings, loss=self.losses[0]) if self.losses else settings
        if not self.losses:
            raise UsageError(f"{self.name} is a format, and where the loss falls is its reader's.", fix="Leave --loss out.")
        if settings.loss not in self.losses:
            raise UsageError(
                f"{self.title} cannot be made to train on {settings.loss}.", fix=f"Write --loss {' or --loss '.join(self.losses)}."
            )
        return settings

    def refusals(self, settings: ExportSettings) -> frozenset[str]:
        """What rows may not hold under the settings."""
        return self.refused

    def alterations(self) -> Mapping[str, str]:
        """What does not come back → what becomes of it."""
        return {**({"later_turns": "they are left out"} if self.cuts else {}), **self.altered}

    def turns(self, example: Example, settings: ExportSettings) -> tuple[Message, ...]:
        """The turns of an example that are written."""
        return example.messages[: example.last_answer + 1] if self.cuts else example.messages

    sharded: ClassVar[bool] = False
    """Whether the data file is one of several where rows are many, numbered and not named by what they hold."""
    companion_names: ClassVar[tuple[str, ...]] = ()
    """Files that stand in the folder, where the export is one."""
    companion_endings: ClassVar[tuple[str, ...]] = ()
    """What is put behind the name of the data file for the files beside it, where the export is no folder."""

    def check_shared(self, existing: bytes | None) -> None:  # noqa: B027 - most have none
        """Refuse a shared companion that cannot be added to. Called before anything is written.

        Raises:
            UsageError: it is not of its form.
        """

    def companions(self, written: Written) -> dict[str, bytes]:
        """Files that stand beside the data, by name, and what they hold; the shared one among them."""
        return {}

    def frame(self, rows: Sequence[Mapping[str, Any]], contents: frozenset[str]) -> polars.DataFrame:
        """Rows as columns with an explicit schema, for an export that is written as Parquet."""
        raise NotImplementedError(f"{self.name} is not written as columns.")

    def write(self, rows: Iterable[dict[str, Any]], folder: Path) -> tuple[list[str], str]:
        """The data files of an export that writes them itself: their names, and a digest of their bytes."""
        raise NotImplementedError(f"{self.name} is written by the kernel.")

    @abstractmethod
    def next_command(self, data: Path) -> str:
        """What to write next, for the consumer.

        Args:
            data: the data file.
        """


def masks(turns: Sequence[Message], settings: ExportSettings) -> tuple[Message, ...]:
    """The turns with weight 0 on every response that is not to be trained on under the settings."""
    return only_last_trained(turns) if settings.loss == COMPLETION else tuple(turns)


def with_weight(turn: Message, row: dict[str, Any], key: str = "weight") -> dict[str, Any]:
    """A turn's row with its weight, where the turn has one."""
    if turn.weight is None:
        return row
    return {**row, key: int(turn.weight) if float(turn.weight).is_integer() else turn.weight}


__all__ = [
    "ASSISTANT",
    "COMPLETION",
    "MASKED",
    "ORDERS",
    "UNTRAINABLE",
    "Export",
    "ExportSettings",
    "Written",
    "masks",
    "with_weight",
]
