"""Tools that are described wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.tools import declared, has_tools


@dataclass(frozen=True)
class ToolSchema(RowCheck):
    """Tools that are no functions with a JSON schema of their arguments."""

    number: ClassVar[str] = "IS060"
    kind: ClassVar[str] = "tool-schema"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "OpenAI's function calling, and the bare form {name, description, parameters}; JSON Schema 2020-12"
    fix: ClassVar[str] = "Mend the tool's description, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each fault of a tool."""
        for row in change.rows:
            if has_tools(row.example):
                text = "" if row.example.tools is None else row.example.tools.text
                for fault in declared(row.example).faults:
                    yield Hit(row.position, fault.message[:1].upper() + fault.message[1:], evidence=text, key=fault.key)


__all__ = ["ToolSchema"]
