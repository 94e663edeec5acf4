"""What is known of the rows of an export: their files, sources and licences, and how they were chosen. Nothing is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from instructsel.mixtures.mixture import Mixture
from instructsel.mixtures.origin import licences_of

LICENCES: Final = ("license", "licence")
LANGUAGES: Final = ("language", "lang")
"""Fields of rows that are read for a card."""
NOT_STATED: Final = "not stated"


@dataclass(frozen=True)
class Facts:
    """Where rows come from."""

    fingerprint: str = ""
    """Of the examples that were named: `Pool.fingerprint`."""
    files: tuple[tuple[str, str], ...] = ()
    """Name and SHA-256 of each file that was read."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """What reading these files kept, dropped and quarantined: `ReadReport.counts`."""
    selection: Mapping[str, Any] | None = None
    """The manifest of the selection; None where the rows are a pool."""
    mixtures: tuple[Mixture, ...] = ()
    """The mixtures that the rows are of, compared with what was written."""

    @cached_property
    def licences(self) -> Mapping[str, str]:
        """Label of a mixture's source → its licence."""
        return licences_of(self.mixtures)


@dataclass
class RowFacts:
    """Counts over the rows that are written."""

    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    licence_of: Mapping[str, str] = field(default_factory=dict)
    """Source → the licence of its rows that state none."""

    def add(self, source: str, row: Any, characters: int) -> None:
        """One more row, with its parsed fields."""
        self.sources[source] += 1
        self.characters += characters
        for fields, counts in ((LICENCES, self.licences), (LANGUAGES, self.languages)):
            values = [row[name] for name in fields if isinstance(row, dict) and isinstance(row.get(name), str) and row[name].strip()]
            of_source = self.licence_of.get(source, NOT_STATED) if counts is self.licences else NOT_STATED
            counts[values[0].strip()[:80] if values else of_source] += 1


__all__ = ["NOT_STATED", "Facts", "RowFacts"]
