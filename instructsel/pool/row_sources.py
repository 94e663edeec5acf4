"""The source or skill of each example of a pool: a field of its row, or the file it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from instructsel.errors import PoolError
from instructsel.pool.lines import RowFault

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

FIELDS: Final = ("skill", "category", "task", "source", "dataset", "subset", "domain")
"""Fields of a row that say what it is of; the first that every row has as a text counts."""
MAX_SOURCES: Final = 100
"""More values than these are names of rows, not of sources."""


def row_sources(pool: Pool) -> tuple[str, ...]:
    """The source of each example, in the pool's order.

    A field of FIELDS counts where every row has a text in it and these are 2 to MAX_SOURCES different ones; else the labels of
    the files.

    Raises:
        PoolError: a file has changed since it was read.
    """
    columns: dict[str, list[str | None]] = {name: [] for name in FIELDS}
    for number, row in zip(pool.file_of.tolist(), pool.row_of.tolist(), strict=True):
        file = pool.files[number]
        try:
            value = file.row(file.rows_of(row)[0])
        except (RowFault, UnicodeDecodeError, StopIteration, ValueError, IndexError) as error:
            raise PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.") from error
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


def _text(value: Any, name: str) -> str | None:
    """A field of a row as a name; None where it is none."""
    text = value.get(name) if isinstance(value, dict) else None
    return text.strip() if isinstance(text, str) and text.strip() else None


__all__ = ["FIELDS", "row_sources"]
