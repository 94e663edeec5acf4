"""The report of a reading: every row is kept, dropped by a rule, or quarantined as malformed."""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SHOWN_FILES: Final = 8
"""Files, or ways in which files were read, that have a line each."""
REFUSED: Final = "refused: "
"""In place of a file's format: it is no pool, and this is why."""
NAMED_ROLES: Final = 6
"""Roles that a message names."""
LIKELY: Final = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
"""Spellings that one may have been meant to be → role."""
ASSISTANTS: Final = frozenset({"ai", "bot", "agent", "chatbot", "answerer", "llm", "response", "doctor", "therapist", "teacher", "expert"})
USERS: Final = frozenset({"customer", "client", "patient", "student", "questioner", "person", "question", "instruction"})
"""What such a role is likely to be; nobody takes it for one before it is said."""
LISTED: Final = 100_000
"""How many quarantined rows are listed one by one; beyond, they are only counted."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that could not be read."""

    file: str
    line: int
    """1-based, counting line feeds; for Parquet the row number."""
    offset: int
    """Byte offset in the (decompressed) file; for Parquet the 0-based row."""
    reason: str
    """A code: invalid_json, invalid_utf8, duplicate_key, too_deep, line_too_long, not_text, …"""
    detail: str
    """What was found, in words; never the row's own text."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {"file": self.file, "line": self.line, "offset": self.offset, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True)
class ReadReport:
    """read = kept + dropped + quarantined, always."""

    read: int = 0
    """Rows seen (lines, array elements, records); blank lines are not rows."""
    kept: int = 0
    """Rows that became at least one example."""
    examples: int = 0
    """Examples made of them: one row can hold several, several rows can make one."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Well-formed rows that are not training examples, by reason."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Malformed rows, by reason."""
    quarantine: tuple[Quarantined, ...] = ()
    """The malformed rows one by one (the first LISTED of them)."""
    formats: dict[str, str] = field(default_factory=dict)
    """File → the format it was read in, and why."""
    size: int = 0
    """Bytes of the files, unpacked."""
    passed_over: int = 0
    """Of these, the bytes passed over in search of the next row; nobody knows how many rows they held."""
    with_reasoning: int = 0
    """Examples that hold reasoning, which indicators leave out unless it is asked for."""
    first_answers: int = 0
    """Examples whose response is the first turn: there is nothing that it answers, and no trainer takes them."""
    unknown_roles: dict[str, int] = field(default_factory=dict)
    """Roles that nobody named → rows quarantined for them."""
    notes: tuple[str, ...] = ()
    """What was taken of folders and data sets, and which files have no rows."""

    def __post_init__(self) -> None:
        if self.read != self.kept + self.n_dropped + self.n_quarantined:
            raise AssertionError(
                f"{self.read} rows read, but {self.kept} kept + {self.n_dropped} dropped + {self.n_quarantined} quarantined."
            )

    @property
    def n_dropped(self) -> int:
        """Rows dropped, all reasons."""
        return sum(self.dropped.values())

    @property
    def n_quarantined(self) -> int:
        """Rows quarantined, all reasons."""
        return sum(self.quarantined.values())

    @property
    def bad_fraction(self) -> float:
        """Quarantined rows as a share of the rows read, or bytes passed over as a share of the files, whichever is more, in [0, 1]."""
        rows = self.n_quarantined / self.read if self.read else 0.0
        return max(rows, min(1.0, self.passed_over / self.size) if self.size else 0.0)

    def __add__(self, other: ReadReport) -> ReadReport:
        return ReadReport(
            read=self.read + other.read,
            kept=self.kept + other.kept,
            examples=self.examples + other.examples,
            dropped=dict(sorted((Counter(self.dropped) + Counter(other.dropped)).items())),
            quarantined=dict(sorted((Counter(self.quarantined) + Counter(other.quarantined)).items())),
            quarantine=(self.quarantine + other.quarantine)[:LISTED],
            formats={**self.formats, **other.formats},
            notes=self.notes + other.notes,
            size=self.size + other.size,
            passed_over=self.passed_over + other.passed_over,
            with_reasoning=self.with_reasoning + other.with_reasoning,
            first_answers=self.first_answers + other.first_answers,
            unknown_roles=dict((Counter(self.unknown_roles) + Counter(other.unknown_roles)).most_common()),
        )

    def names(self) -> dict[str, str]:
        """File → its name, with as many folders in front as tell it from the others."""
        names: dict[str, str] = {}
        parts = {file: Path(file).parts for file in self.formats}
        depth = 1
        while len(names) < len(parts):
            tails = Counter(path[-depth:] for path in parts.values())
            for file, path in parts.items():
                if tails[path[-depth:]] == 1 or depth >= len(path):
                    names.setdefault(file, "/".join(path[-depth:]))
            depth += 1
        return names

    def readings(self) -> list[str]:
        """How the files were read, a line each; of more than SHOWN_FILES, those that were read in one way share a line."""
        shown = self.names()
        names = [(shown[file], why if why.startswith(REFUSED) else f"read as {why}") for file, why in self.formats.items()]
        if len(names) <= SHOWN_FILES:
            return [f"{name}: {why}" for name, why in names]
        alike: dict[str, list[str]] = {}
        for name, why in names:
            alike.setdefault(why, []).append(name)
        lines = [f"{same[0]}{f' and {len(same) - 1:,} more' if len(same) > 1 else ''}: {why}" for why, same in alike.items()]
        left = len(lines) - SHOWN_FILES
        return [*lines[:SHOWN_FILES], f"… and in {left:,} more ways"] if left > 0 else lines

    def counts(self) -> dict[str, Any]:
        """The counts as plain data, without file names: the part that belongs into a deterministic manifest."""
        passed_over = {"passed_over": self.passed_over} if self.passed_over else {}
        return {
            "read": self.read,
            "kept": self.kept,
            "examples": self.examples,
            "dropped": self.dropped,
            "quarantined": self.quarantined,
            **passed_over,
        }

    def sentence(self) -> str:
        """One line for people."""

        def part(count: int, word: str, reasons: dict[str, int]) -> str:
            named = ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())
            return f"{count:,} {word}" + (f" ({named})" if named else "")

        kept_text = f"{self.kept:,} kept" + (
            f" as {self.examples:,} {'example' if self.examples == 1 else 'examples'}" if self.examples != self.kept else ""
        )
        lost = f"; {self.passed_over:,} bytes passed over in search of the next row" if self.passed_over else ""
        rows = "row" if self.read == 1 else "rows"
        dropped, quarantined = part(self.n_dropped, "dropped", self.dropped), part(self.n_quarantined, "quarantined", self.quarantined)
        return f"{self.read:,} {rows} read = {kept_text} + {dropped} + {quarantined}{lost}"


def role_fix(unknown: Mapping[str, int]) -> str:
    """What to write about roles that nobody named.

    >>> role_fix({"AI": 2, "hummany": 1})
    "Say what they are: --role AI=assistant --role hummany=user (did you mean 'human'?)"
    """
    named: list[str] = []
    for role_name in list(unknown)[:NAMED_ROLES]:
        close = difflib.get_close_matches(role_name.lower(), list(LIKELY), n=1, cutoff=0.7)
        known = (
            LIKELY[close[0]]
            if close
            else "assistant"
            if role_name.lower() in ASSISTANTS
            else "user"
            if role_name.lower() in USERS
            else "ROLE"
        )
        quoted = shlex.quote(f"{role_name}={known}")
        named.append(f"--role {quoted}" + (f" (did you mean '{close[0]}'?)" if close else ""))
    more = len(unknown) - NAMED_ROLES
    return f"Say what they are: {' '.join(named)}" + (f" and {more} more" if more > 0 else "")
