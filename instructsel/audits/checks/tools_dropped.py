"""Rows with tools that are not in what is trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar, Final

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject

NAMES: Final = ("tools", "functions", "available_tools")
"""Fields with the tools of a conversation."""
MAX_DEPTH: Final = 8
"""Objects within objects of a tool that are looked into."""


def _leaves(value: object, depth: int = 0) -> Iterator[str]:
    """The texts in tools: names, descriptions, parameters."""
    if isinstance(value, str):
        if depth == 0 and value.lstrip()[:1] in ("[", "{"):
            try:
                parsed = json.loads(value)
            except ValueError:
                yield value
            else:
                yield from _leaves(parsed, 1)
        else:
            yield value
    elif depth < MAX_DEPTH and isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _leaves(item, depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, list):
        for item in value:
            yield from _leaves(item, depth + 1)


class ToolsDropped(RowCheck):
    """Rows with tools that are not in what is trained on."""

    kind: ClassVar[str] = "tools-dropped"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "The row has tools that are not in the rendered conversation: the model learns to call what it was not told of."
    fix: ClassVar[str] = "Write the tools into the system turn, or train with TRL's tools column where the template renders them."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        tools = [row.example.tools.value] if row.example.tools else []
        tools += [value for name, value, in_turn in row.unread() if name in NAMES and value and not in_turn]
        return row.text is not None and not all(row.is_rendered(leaf) for value in tools for leaf in _leaves(value))

    def detail(self, row: AuditedRow, subject: Subject) -> str:
        """Whether the template could render them."""
        return "the template renders tools where it is given them" if subject.renders_tools else "the template renders no tools"


__all__ = ["ToolsDropped"]
