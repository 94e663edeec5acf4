"""One thing that a gate found: which check, where, what, and what to do about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Final, Self

from instructsel.text import without_keys

NAMES: Final = 4_096
"""Names of files, and other short texts of somebody, that are looked through once."""

SEVERITIES: Final = ("error", "warning", "info")
"""error: the rows may not join; warning: likely wrong, to be looked at; info: worth knowing."""


@lru_cache(maxsize=NAMES)
def without_key(name: str) -> str:
    """A name, or a reason, without what shows by its form that it is a key."""
    return without_keys(name)


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a file."""

    file: str
    line: int
    """From 1; for Parquet the number of the row."""

    def __str__(self) -> str:
        return f"{without_key(self.file)}:{self.line}"


@dataclass(frozen=True)
class Finding:
    """What one check found in one row, or of the change as a whole."""

    check: str
    """The check's number, e.g. IS001: it never changes."""
    kind: str
    """Its name, e.g. empty-response."""
    severity: str
    """One of SEVERITIES."""
    message: str
    """What is wrong, in one sentence, with figures; secrets in it are masked."""
    fix: str
    """What to do about it, in one line."""
    row: str | None = None
    """The example's id; of a row that became none, a digest of its bytes; None for what is of no row."""
    place: Place | None = None
    """Where the row stands; None for what is of no row."""
    related: Place | None = None
    """The other row that it is about: the one that it repeats or contradicts."""
    value: float | None = None
    """The figure that decided, in the check's unit."""
    evidence: str = ""
    """A masked excerpt of the row."""
    key: str = ""
    """What tells several findings of a check in one row apart: a field, an entity, an item."""
    waived: str | None = None
    """The reason why it does not count; None where it does."""
    name: str = ""
    """What the configuration calls its check, where it asks a kind several times."""

    @property
    def elsewhere(self) -> Place | None:
        """The row that it is related to, where the message does not name it."""
        return None if self.related is None or str(self.related) in self.message else self.related

    @cached_property
    def fingerprint(self) -> str:
        """blake2b-128 of check, row and key: the same when the row moves to another line or file."""
        where = self.row if self.row is not None else "" if self.place is None else str(self.place)
        parts = (self.check, where, self.key, *([self.name] if self.name else []))
        return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def with_waiver(self, reason: str) -> Self:
        """The same, not counting."""
        return replace(self, waived=reason)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "check": self.check,
            "kind": self.kind,
            "name": without_key(self.name or self.kind),
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
            "row": self.row,
            "file": None if self.place is None else without_key(self.place.file),
            "line": None if self.place is None else self.place.line,
            "related": None if self.related is None else str(self.related),
            "value": self.value,
            "evidence": self.evidence,
            "fingerprint": self.fingerprint,
            "waived": None if self.waived is None else without_key(self.waived),
        }


__all__ = ["SEVERITIES", "Finding", "Place", "without_key"]
