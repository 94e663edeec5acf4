"""Files of a change that are no pool: the others are looked at all the same, and the gate is no pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instructsel.errors import PoolError
from instructsel.pool import hub
from instructsel.pool.naming import STDIN, expanded, is_here
from instructsel.text import neutral, safe_path

Refused = Callable[[str, PoolError, int], None]
"""Called with the name of a file that cannot be read, why, and how many rows of it were seen; see `Pool.read`."""


@dataclass(frozen=True)
class UnreadFile:
    """A file, or a folder, that cannot be read as a pool."""

    name: str
    error: PoolError
    """Why."""
    rows: int = 0
    """Of it, as far as they were seen: no check of examples is asked about them."""

    @property
    def is_missing(self) -> bool:
        """Whether nothing of that name is there."""
        return self.name != STDIN and not self.name.startswith(hub.HUB) and not is_here(self.name)

    def sentence(self, shown: str, most: int) -> str:
        """Why, and what to do, in one line that is safe to show.

        Args:
            shown: the name in place of the file's.
            most: characters.
        """
        reason = self.error.line.removeprefix(self.name)
        if reason == self.error.line or len(shown) > most:
            return neutral(self.error.line, most)
        # The name as findings have it, with its folders, which tell it from others.
        blank = " " if reason.startswith(" ") else ""
        return f"{safe_path(shown)}{blank}{neutral(reason, most)}"


def without_unread_folders(paths: Sequence[str], refused: Refused) -> list[str]:
    """The paths without the folders that hold no file of a pool, of which `refused` is told.

    Raises:
        PoolError: there is nothing else.
    """
    kept: list[str] = []
    fault: PoolError | None = None
    for path in paths:
        try:
            expanded(path)
        except PoolError as error:
            fault = fault or error
            refused(path, error, 0)
        else:
            kept.append(path)
    if fault is not None and not kept:
        raise fault
    return kept


__all__ = ["Refused", "UnreadFile", "without_unread_folders"]
