"""Stanford Alpaca: `instruction`, `input`, `output`, and `system` where a row has one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructsel.adapters.exports.base import ASSISTANT, Export, ExportSettings
from instructsel.adapters.exports.contents import Exported


class Alpaca(Export):
    """One question and one response, as texts."""

    name: ClassVar[str] = "alpaca"
    title: ClassVar[str] = "readers of Alpaca's format"
    source: ClassVar[str] = "Stanford Alpaca, with LLaMA-Factory's `system`"
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT,)
    refused: ClassVar[frozenset[str]] = frozenset(
        {
            *("several_turns", "not_alternating", "late_system", "developer", "tools", "odd_tools", "calls", "parallel_calls"),
            *("text_and_calls", "odd_arguments", "call_ids", "results", "result_names", "reasoning", "marked_reasoning", "weights"),
        }
    )
    altered: ClassVar[Mapping[str, str]] = {
        "empty_system": "it is left out",
        "parts": "they are joined by a line break",
        "names": "they are left out",
        "weights_of_others": "they are left out",
    }
    noted: ClassVar[Mapping[str, str]] = {"system": "it stands in a field `system`, which Alpaca's own reader does not look at"}
    rules: ClassVar[tuple[str, ...]] = (
        "instruction and input, joined by a line break, are the prompt; the loss falls on output alone",
        "readers differ in the template they put around both: Alpaca's own is a text, no chat template",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """Three texts, four with a system text."""
        question, response = exported.dialogue
        row = {"instruction": question.content, "input": "", "output": response.content}
        return row if exported.opening is None or not exported.opening.content else {**row, "system": exported.opening.content}

    def next_command(self, data: Path) -> str:
        """Read it back."""
        return f"instructsel audit {shlex.quote(str(data))} --base MODEL"
