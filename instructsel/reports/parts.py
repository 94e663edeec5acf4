"""What a report consists of: sections of sentences, tables and charts, all of it plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from instructsel.reports.figures import alike
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

    def capped(self, limit: int, noun: str, *, sums: Sequence[str] = ()) -> Table:
        """The first rows, and one row that counts the others.

        Args:
            limit: rows at most, the counting one included.
            noun: of the rows, in the plural.
            sums: keys of the columns whose sum over the others stands in that row; an unknown value makes the sum unknown.

        >>> table = Table("t", "", (Column("source", "source"), Column("rows", "rows", "count")), (("a", 1), ("b", 2), ("c", 3)))
        >>> table.capped(2, "sources", sums=["rows"]).rows
        (('a', 1), ('2 other sources', 5))
        """
        if len(self.rows) <= limit:
            return self
        others = self.rows[limit - 1 :]
        totals = [
            sum(cells) if column.key in sums and all(cell is not None for cell in cells) else None
            for column, cells in zip(self.columns[1:], list(zip(*others, strict=True))[1:], strict=True)
        ]
        return replace(self, rows=(*self.rows[: limit - 1], (f"{len(others):,} other {noun}", *totals)))

    def texts(self) -> list[tuple[str, ...]]:
        """The cells as every renderer writes them; a column, and the ends of an interval with what they are of, have one number of decimals."""
        columns = list(zip(*self.rows, strict=True))
        texts: list[list[str]] = []
        for group in self._quantities():
            cells = alike([cell for index in group for cell in columns[index]] if columns else [], self.columns[group[0]].form)
            texts += [cells[place * len(self.rows) : (place + 1) * len(self.rows)] for place in range(len(group))]
        return list(zip(*texts, strict=True))

    def _quantities(self) -> list[list[int]]:
        """The columns that hold one quantity, by their places: each alone, but for an estimate with its interval."""
        groups: list[list[int]] = []
        for index, column in enumerate(self.columns):
            is_end = column.label == "to" or column.label.endswith(" from")
            if is_end and groups and column.form in ("number", "signed") and self.columns[groups[-1][0]].form == column.form:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def as_dict(self) -> dict[str, Any]:
        """Plain data; a row is a mapping."""
        keys = [column.key for column in self.columns]
        return {
            "part": "table",
            "name": self.name,
            "caption": self.caption,
            "columns": [{"key": column.key, "label": column.label, "form": column.form} for column in self.columns],
            "rows": [dict(zip(keys, row, strict=True)) for row in self.rows],
        }


@dataclass(frozen=True)
class Chart:
    """What a chart is drawn from."""

    name: str
    """In the JSON and in ids of the page; no other chart of the report has it."""
    kind: Literal["histogram", "bars", "forest", "scatter", "heat_map"]
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
    parts: tuple[Part, ...] = ()
    """Tables and charts, in order."""
    folded: bool = False
    """Whether a page shows it only when it is opened: digests, versions, settings."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "title": self.title,
            "text": list(self.text),
            "parts": [part.as_dict() for part in self.parts],
            "folded": self.folded,
        }


def facts_table(name: str, caption: str, facts: Iterable[tuple[str, Any]]) -> Table:
    """A table of one value each."""
    rows = tuple((key, value if isinstance(value, str | int | float | bool | None) else str(value)) for key, value in facts)
    return Table(name, caption, (Column("fact", ""), Column("value", "", "any")), rows)


def known_facts(facts: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The facts that have a value."""
    return [(key, value) for key, value in facts if value is not None]


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested plain data as one value each; lists as text."""
    facts: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            facts += flat(value, f"{prefix}{key}: ") if value else [(f"{prefix}{key}", "none")]
        elif isinstance(value, list | tuple):
            facts.append((f"{prefix}{key}", ", ".join(map(str, value)) or "none"))
        else:
            facts.append((f"{prefix}{key}", value))
    return facts if prefix else facts[:FACTS]


def cleaned(section: Section) -> Section:
    """The section with every text neutral and every number finite: what the renderers are given."""
    parts: list[Part] = []
    for part in section.parts:
        if isinstance(part, Table):
            columns = _distinct([replace(column, key=neutral(column.key), label=neutral(column.label)) for column in part.columns])
            rows = tuple(tuple(_plain(cell) for cell in row) for row in part.rows)
            parts.append(Table(part.name, neutral(part.caption, LINE), columns, rows))
        else:
            parts.append(Chart(part.name, part.kind, neutral(part.title), _plain(part.data)))
    sentences = tuple(line for sentence in section.text if (line := neutral(sentence, LINE)))
    if len(sentences) > SENTENCES:
        sentences = (*sentences[: SENTENCES - 1], f"And {len(sentences) - SENTENCES + 1:,} sentences more.")
    return replace(section, text=sentences, parts=tuple(parts))


def _distinct(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Names that were cut or escaped to the same one are numbered: none may hide another in the JSON."""
    by_key: dict[str, Column] = {}
    for column in columns:
        key, number = column.key, 2
        while key in by_key:
            key, number = f"{column.key} ({number})", number + 1
        by_key[key] = replace(column, key=key)
    return tuple(by_key.values())


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return neutral(value, EXCERPT)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value if value is None or isinstance(value, bool | int) else neutral(str(value), EXCERPT)


__all__ = ["Chart", "Column", "Part", "Section", "Table", "cleaned", "facts_table", "flat", "known_facts"]
