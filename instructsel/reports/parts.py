"""What a report consists of: sections of sentences, tables and charts, all of it plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from instructsel.text import EXCERPT, LINE, neutral

FACTS: Final = 40
"""Settings of one result."""
SENTENCES: Final = 80
"""Of one section."""

Form = Literal["text", "prose", "code", "count", "share", "number", "signed", "p", "any"]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str
    """Its name in the JSON."""
    label: str
    """Its heading."""
    form: Form = "text"
    """text; prose, which takes room; code, a name of letters and figures; count; share, shown in per cent; number; signed; p; any, by the value."""


@dataclass(frozen=True)
class Table:
    """Rows of one kind."""

    name: str
    """In the JSON; no other table of the report has it."""
    caption: str
    """What a row is, and of what."""
    columns: tuple[Column, ...]
    """In order; the first names the row."""
    rows: tuple[tuple[Any, ...], ...]
    """Text, whole numbers, numbers, truth values, None where there is none."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data; a row is a mapping."""
        keys = [column.key for column in self.columns]
        return {
            "part": "table",
            "name": self.name,
            "caption": self.caption,
            "columns": [{"key": each.key, "label": each.label, "form": each.form} for each in self.columns],
            "rows": [dict(zip(keys, row, strict=True)) for row in self.rows],
        }


@dataclass(frozen=True)
class Chart:
    """What a chart is drawn from."""

    name: str
    """In the JSON and in ids of the page; no other chart of the report has it."""
    kind: Literal["histogram", "bars", "forest", "scatter"]
    """How it is drawn."""
    title: str
    """Stands above it."""
    data: Mapping[str, Any]
    """Plain: lists of numbers and texts."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"part": "chart", "name": self.name, "kind": self.kind, "title": self.title, "data": dict(self.data)}


Part = Table | Chart


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    name: str
    """In the JSON and in the page's addresses."""
    title: str
    """Its heading."""
    text: tuple[str, ...] = ()
    """Sentences before the parts."""
    parts: tuple[Table | Chart, ...] = ()
    """Tables and charts, in order."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "title": self.title, "text": list(self.text), "parts": [each.as_dict() for each in self.parts]}


def facts_table(name: str, caption: str, facts: Iterable[tuple[str, Any]]) -> Table:
    """A table of one value each."""
    rows = tuple((key, value if isinstance(value, str | int | float | bool | None) else str(value)) for key, value in facts)
    return Table(name, caption, (Column("fact", ""), Column("value", "", "any")), rows)


def known_facts(facts: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The facts that have a value."""
    return [(key, value) for key, value in facts if value is not None]


def flat(told: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested plain data as one value each; lists as text."""
    found: list[tuple[str, Any]] = []
    for key, value in told.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{before}{key}: ") if value else [(f"{before}{key}", "none")]
        elif isinstance(value, list | tuple):
            found.append((f"{before}{key}", ", ".join(map(str, value)) or "none"))
        else:
            found.append((f"{before}{key}", value))
    return found if before else found[:FACTS]


def shortened(
    rows: Sequence[tuple[Any, ...]], limit: int, rest: Callable[[Sequence[tuple[Any, ...]]], tuple[Any, ...]]
) -> tuple[tuple[Any, ...], ...]:
    """The first rows, and the others as one: sums stay whole."""
    return tuple(rows) if len(rows) <= limit else (*rows[: limit - 1], rest(rows[limit - 1 :]))


def cleaned(section: Section) -> Section:
    """The section with every text neutral and every number finite: what the renderers are given."""
    parts: list[Table | Chart] = []
    for part in section.parts:
        if isinstance(part, Table):
            columns = _distinct([replace(each, key=neutral(each.key), label=neutral(each.label)) for each in part.columns])
            rows = tuple(tuple(_plain(cell) for cell in row) for row in part.rows)
            parts.append(Table(part.name, neutral(part.caption, LINE), columns, rows))
        else:
            parts.append(Chart(part.name, part.kind, neutral(part.title), _plain(part.data)))
    said = tuple(line for each in section.text if (line := neutral(each, LINE)))
    if len(said) > SENTENCES:
        said = (*said[: SENTENCES - 1], f"And {len(said) - SENTENCES + 1:,} sentences more.")
    return Section(section.name, section.title, said, tuple(parts))


def _distinct(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Names that were cut or escaped to the same one are numbered: none may hide another in the JSON."""
    found: dict[str, Column] = {}
    for each in columns:
        key, number = each.key, 2
        while key in found:
            key, number = f"{each.key} ({number})", number + 1
        found[key] = replace(each, key=key)
    return tuple(found.values())


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return neutral(value, EXCERPT)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value if value is None or isinstance(value, bool | int) else neutral(str(value), EXCERPT)


__all__ = ["Chart", "Column", "Part", "Section", "Table", "cleaned", "facts_table", "flat", "known_facts", "shortened"]
