"""OpenAI's chat format: JSON lines with `messages` and `tools`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.contents import Exported


class Messages(Export):
    """`messages` as every pool can be written: flags, text parts, calls and reasoning stand where they stood."""

    name: ClassVar[str] = "messages"
    title: ClassVar[str] = "readers of messages"
    source: ClassVar[str] = "OpenAI's chat format, with `reasoning_content` and `weight` in a turn"
    cuts: ClassVar[bool] = False
    left_out: ClassVar[frozenset[str]] = frozenset()
    noted: ClassVar[Mapping[str, str]] = {
        "reasoning": "it stands in `reasoning_content`",
        "weights": "they stand in `weight`; OpenAI's own service takes 0 and 1",
    }
    rules: ClassVar[tuple[str, ...]] = (
        "the format leaves masks and truncation to its reader; `weight` 0 marks a turn that is not to be trained on",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns as rows of a pool hold them."""
        row: dict[str, Any] = {"messages": [turn.as_row() for turn in exported.turns]}
        if exported.example.tools is not None:
            row["tools"] = exported.example.tools.as_given
        return row

    def next_command(self, data: Path) -> str:
        """Read it back."""
        return f"instructsel audit {shlex.quote(str(data))} --base MODEL"
