"""What a conversion offers: rows of an original in, conversations out, each row accounted for."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final

from instructsel.pool.json_text import as_bytes
from instructsel.pool.message import Message

SEED: Final = 42
"""Of the original."""
DIGEST: Final = 16


@dataclass(frozen=True)
class InputRow:
    """A row of an original."""

    fields: Mapping[str, Any]
    """As the file has it."""
    file: str
    """The name of its file, without folder and endings."""


@dataclass(frozen=True)
class Converted:
    """One conversation of a row."""

    id: str
    """Its own id, or a digest of its content; the key of the dataset is put before it."""
    messages: tuple[Message, ...]
    """Role and text alone."""


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    conversations: tuple[Converted, ...]
    """At least one."""
    parts: Counter[str] = field(default_factory=Counter)
    """What became of the parts of the row that are smaller than a conversation, or were several in it: reason → how many."""


@dataclass(frozen=True)
class Conversion(ABC):
    """How one dataset is converted; its fields are the settings."""

    seed: int = SEED
    """Of everything random."""

    name: ClassVar[str]
    """The key of the dataset."""

    @abstractmethod
    def content(self, row: InputRow) -> bytes:
        """What draws for a row depend on, beside the seed; equal rows have the same.

        Raises:
            RowFault: a field that is read is missing, or is not what it should be.
        """

    @abstractmethod
    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """The conversations of a row.

        Args:
            row: of the original.
            occurrence: how many rows with the same content came before it.

        Raises:
            RowFault: a field that is read is missing, or is not what it should be.
            RowDropped: the row is well formed, and the original leaves it out.
        """

    def group(self, row: InputRow) -> str | None:
        """What a row is sampled in; None where it is not sampled.

        Raises:
            UsageError: the file is none of those that are sampled.
        """
        return None

    def quotas(self, groups: Mapping[str, int]) -> Mapping[str, int]:
        """Group → how many rows are taken, of groups with so many rows; all of a group that is not among them."""
        return {}

    def settings(self) -> dict[str, Any]:
        """As plain data, for a record."""
        return {entry.name: value for entry in fields(self) if not callable(value := getattr(self, entry.name))}

    def draw(self, *parts: Any) -> int:
        """A number of 64 bits that depends on the seed, the dataset and these parts alone."""
        return int.from_bytes(digest([self.seed, self.name, *map(_plain, parts)])[:8])


def digest(value: Any) -> bytes:
    """A digest of plain data."""
    return hashlib.blake2b(as_bytes(value), digest_size=DIGEST).digest()


def _plain(part: Any) -> Any:
    return part.hex() if isinstance(part, bytes) else part


def exchange(prompt: str, response: str) -> tuple[Message, ...]:
    """A turn of the user and one of the model."""
    return Message("user", prompt), Message("assistant", response)


__all__ = ["SEED", "Conversion", "Converted", "InputRow", "Outcome", "digest", "exchange"]
