"""The source or skill of each example of a pool: a field of its row, or the file it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.artifact import kind_beside, manifest_path
from instructsel.errors import NoSourceField, PoolError, ScoresError, UsageError
from instructsel.kinds import MIXTURE
from instructsel.pool.lines import RowFault
from instructsel.structured import Refusal, read_json
from instructsel.text import clean, excerpt

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.pool.reader import PoolFile

FIELDS: Final = ("skill", "category", "task", "source", "dataset", "subset", "domain")
"""Fields of a row that say what it is of; the first that every row has as a text counts."""
MAX_SOURCES: Final = 100
"""More values than these are names of rows, not of sources."""


MOST_LABELS: Final = 10_000
"""Values of a field that is named as the source, at most."""
LONGEST_LABEL: Final = 200
"""Characters of a label."""
SHOWN: Final = 12


def recorded_source_field(paths: Iterable[str | Path]) -> str | None:
    """The field that is the source of rows, where every file is a mixture whose manifest says so; None of any other files."""
    fields = {_recorded_field(path) for path in paths}
    return fields.pop() if len(fields) == 1 else None


def _recorded_field(path: str | Path) -> str | None:
    if not os.path.isfile(path) or kind_beside(path) != MIXTURE:
        return None
    try:
        manifest = read_json(manifest_path(path), dict[str, Any], Refusal(ScoresError), missing=None)
    except ScoresError:
        return None
    name = None if manifest is None else manifest.get("source_field")
    return name if isinstance(name, str) and name else None


def field_of(record: Mapping[str, Any], name: str, *, missing: Any = None) -> Any:
    """A field of a row: that of the very name, or else along the dots through objects.

    >>> field_of({"scores": {"reward": 0.5}}, "scores.reward"), field_of({"a.b": 1}, "a.b")
    (0.5, 1)
    """
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return missing
        value = value[part]
    return value


def labels_by_field(pool: Pool, name: str) -> tuple[list[str], int]:
    """The source of each example by a field of its row, in the pool's order, and how many rows have none: the label of their file stands for it.

    A text, a whole number, or true and false are labels; of an example of several rows the last row counts, which holds its response.

    Args:
        pool: the examples.
        name: the field; OBJECT.FIELD for one of an object.

    Raises:
        UsageError: no row has the field, or it has more than MOST_LABELS values.
        PoolError: a file has changed since it was read.
    """
    files = [file.source.label for file in pool.files]
    labels = [files[number] for number in pool.file_of.tolist()]
    known: dict[str, str] = {}
    fields: dict[str, None] = {}
    without = 0
    for position in np.lexsort((pool.part_of, pool.row_of, pool.file_of)).tolist():
        file = pool.files[int(pool.file_of[position])]
        row = _row(file, file.rows_of(int(pool.row_of[position]))[-1])
        label = _label(field_of(row, name))
        if label is not None:
            labels[position] = known.setdefault(label, label)
        else:
            without += 1
            fields |= dict.fromkeys(row) if len(fields) < SHOWN else {}
        if len(known) > MOST_LABELS:
            raise UsageError(
                f"The field {excerpt(name, 40)} has more than {MOST_LABELS:,} values: it names rows, and no sources.",
                fix="Name a field with --source-field that many rows share.",
            )
    if len(pool) and not known:
        shown = ", ".join(excerpt(field, 30) for field in list(fields)[:SHOWN])
        raise NoSourceField(
            f"No row of the pool has a field {excerpt(name, 40)} with a text or a whole number in it; there are {shown}.",
            fix="Name one of these with --source-field, or leave it out: the files are the sources.",
        )
    return labels, without


def row_sources(pool: Pool) -> tuple[str, ...]:
    """The source of each example, in the pool's order.

    The field that the pool was read with counts (`source_field`). Without one, a field of FIELDS counts where every row has a text in it and these are 2 to MAX_SOURCES different ones; else the labels of
    the files.

    Raises:
        PoolError: a file has changed since it was read.
    """
    if pool.spec.reading.source_field is not None:
        return tuple(pool.sources)
    columns: dict[str, list[str | None]] = {name: [] for name in FIELDS}
    for number, row in zip(pool.file_of.tolist(), pool.row_of.tolist(), strict=True):
        file = pool.files[number]
        value = _row(file, file.rows_of(row)[0])
        for name, column in columns.items():
            column.append(_text(value, name))
        for name in [name for name, column in columns.items() if column[-1] is None]:
            del columns[name]
        if not columns:
            break
    for column in columns.values():
        names = tuple(name for name in column if name is not None)
        if len(names) == len(pool) and 1 < len(set(names)) <= MAX_SOURCES:
            return names
    return tuple(pool.sources)


def _row(file: PoolFile, number: int) -> Any:
    """A row's parsed value."""
    try:
        return file.row(number)
    except (RowFault, UnicodeDecodeError, StopIteration, ValueError, IndexError) as error:
        raise PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.") from error


def _label(value: Any) -> str | None:
    """A value as a label; None where it is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else None
    if not isinstance(value, str):
        return None
    return clean(" ".join(value[: 4 * LONGEST_LABEL].split()))[:LONGEST_LABEL] or None


def _text(value: Any, name: str) -> str | None:
    """A field of a row as a name; None where it is none."""
    text = value.get(name) if isinstance(value, dict) else None
    return text.strip() if isinstance(text, str) and text.strip() else None


__all__ = ["FIELDS", "field_of", "labels_by_field", "recorded_source_field", "row_sources"]
