"""One thing an audit found: what it is, how often, where, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SEVERITIES: Final = ("error", "warning", "info")
"""error: rows are lost, or the model learns what it should not; warning: likely so, or so with some trainers; info: worth knowing."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    kind: str
    """The check's name, e.g. truncated-response; `--fail-on` takes it."""
    severity: str
    """One of SEVERITIES. An info fails nothing unless its kind is named."""
    count: int
    """How many, in `unit`."""
    unit: str
    """What is counted: rows, or the template, base or tokenizer as one thing."""
    cause: str
    """What it is and what it does, in one sentence."""
    fix: str
    """What to do about it, in one line."""
    rows: tuple[str, ...] = ()
    """The first rows, as FILE:LINE."""
    detail: str = ""
    """What was seen, e.g. the tokens."""

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in self.__dataclass_fields__}


__all__ = ["SEVERITIES", "Finding"]
