"""What became of every row of an export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.contents import NAMES
from instructsel.text import counted


@dataclass
class Tally:
    """Rows with one thing in common."""

    rows: int = 0
    first: str = ""
    """FILE:LINE of the first of them."""

    def add(self, place: str) -> None:
        """One more row."""
        self.rows += 1
        self.first = self.first or place

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"rows": self.rows, "first": self.first}


@dataclass
class Account:
    """read = written + left out; a row may have several reasons."""

    read: int = 0
    written: int = 0
    turns: int = 0
    """Of the rows that are written."""
    trained: int = 0
    """Responses in them on which the loss falls."""
    refused: dict[str, Tally] = field(default_factory=dict)
    """What the consumer cannot carry → the rows that have it."""
    left_out: dict[str, Tally] = field(default_factory=dict)
    """What makes a row no training row → the rows."""
    altered: dict[str, Tally] = field(default_factory=dict)
    noted: dict[str, Tally] = field(default_factory=dict)
    n_refused: int = 0
    """Rows with something that is refused."""
    contents: set[str] = field(default_factory=set)
    """Of the rows that are written."""

    def sort(self, export: Export, settings: ExportSettings, held: Iterable[str], place: str) -> bool:
        """Count a row by what it holds; whether it is written."""
        self.read += 1
        refusals = export.refusals(settings)
        names = [name for name in NAMES if name in set(held)]
        unfit = [name for name in names if name in export.left_out]
        refused = [name for name in names if name in refusals and name not in unfit]
        for name in unfit:
            self.left_out.setdefault(name, Tally()).add(place)
        if unfit:
            return False
        for name in refused:
            self.refused.setdefault(name, Tally()).add(place)
        if refused:
            self.n_refused += 1
            return False
        self.written += 1
        self.contents.update(names)
        for name in names:
            for listed, tallies in ((export.alterations(), self.altered), (export.noted, self.noted)):
                if name in listed:
                    tallies.setdefault(name, Tally()).add(place)
        return True

    def refusal(self, export: Export) -> str:
        """The sentence of what is refused."""
        parts = [f"{counted(tally.rows, 'row')} {_have(tally.rows)} {NAMES[name]}" for name, tally in self.refused.items()]
        first = next(iter(self.refused.values())).first
        return f"{_listed(parts)}, which {export.name} cannot carry (first: {first})."

    def lines(self, export: Export) -> list[str]:
        """The account, for people."""
        lines = [f"{counted(self.written, 'row')} of {self.read:,} for {export.title}"]
        for tallies, outcome in (
            (self.left_out, "left out, as no trainer learns from it"),
            (self.refused, f"left out: {export.name} cannot carry it"),
        ):
            lines += [f"{_row(name, tally)}; {outcome} (first: {tally.first})" for name, tally in tallies.items()]
        for tallies, becomes in ((self.altered, export.alterations()), (self.noted, export.noted)):
            lines += [f"{_row(name, tally)}; {becomes[name]} (first: {tally.first})" for name, tally in tallies.items()]
        return lines

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "read": self.read,
            "written": self.written,
            "left_out": _plain({**self.left_out, **self.refused}),
            "altered": _plain(self.altered),
            "noted": _plain(self.noted),
            "turns": self.turns,
            "trained_turns": self.trained,
        }


def _row(name: str, tally: Tally) -> str:
    return f"{counted(tally.rows, 'row')} {_have(tally.rows)} {NAMES[name]}"


def _have(rows: int) -> str:
    return "has" if rows == 1 else "have"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _plain(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    return {name: tally.as_dict() for name, tally in tallies.items()}


__all__ = ["Account", "Tally"]
