"""MS-Swift: JSON lines of `messages` with its own roles for calls, and `loss` where a response is not trained on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, Export, ExportSettings, masks
from instructsel.adapters.exports.contents import Exported, in_order_of_calls
from instructsel.adapters.exports.json_lines import json_text, tools_text
from instructsel.adapters.exports.thoughts import with_thought
from instructsel.pool.message import ANSWERS, Message

ROLES = {"developer": "system", "tool": "tool_response"}


class MsSwift(Export):
    """`messages` of system, user, assistant, tool_call and tool_response."""

    name: ClassVar[str] = "ms-swift"
    title: ClassVar[str] = "MS-Swift"
    source: ClassVar[str] = "ms-swift 4.6, dataset/preprocessor/core.py and its documentation of custom data sets"
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT, COMPLETION)
    refused: ClassVar[frozenset[str]] = frozenset(
        {"late_system", "odd_tools", "odd_arguments", "unpaired_results", "weights", "marked_reasoning"}
    )
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
        "developer": "it is written as a system text",
        "names": "they are left out: MS-Swift drops them",
        "call_ids": "they are left out: MS-Swift goes by the order of calls and results",
        "weights_of_others": "they are left out: turns of others are not trained on",
        "results_out_of_order": "they are put in the order of their calls, by which MS-Swift goes",
        "parallel_calls": "they are turns one after the other, as MS-Swift has them",
        "text_and_calls": "the text is a turn before the call, as MS-Swift has it",
        "reasoning": "it stands between <think> and </think> before the text, as templates of models that think take it",
    }
    noted: ClassVar[Mapping[str, str]] = {
        "untrained": "they have `loss: false`",
        "result_names": "they stand in `name`, which some agent templates look at",
    }
    rules: ClassVar[tuple[str, ...]] = (
        "the loss falls on every turn of assistant and tool_call (loss_scale: default); `loss` of a turn decides where it stands",
        "max_length: longer rows are left out (truncation_strategy: delete) unless it is set otherwise; without max_length the model's own holds",
        "fields of a turn other than role, content, loss, loss_scale and, of results, name are dropped",
        "a row that its reader cannot take is left out with a message, unless --strict true",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns with its roles; tools as a JSON text."""
        turns = masks(in_order_of_calls(exported.turns), settings)
        flagged = any(turn.role in ANSWERS and not turn.is_trained for turn in turns)
        row: dict[str, Any] = {"messages": [entry for turn in turns for entry in _turns(turn, flagged=flagged)]}
        text = tools_text(exported.example)
        return row if text is None else {**row, "tools": text}

    def next_command(self, data: Path) -> str:
        """Train."""
        return f"swift sft --model MODEL --dataset {shlex.quote(str(data))} --output_dir OUT"


def _turns(turn: Message, *, flagged: bool) -> list[dict[str, Any]]:
    """A turn as one of MS-Swift's, or as several where it has a text and calls."""
    flag: dict[str, Any] = {"loss": turn.is_trained} if flagged and turn.role in ANSWERS else {}
    if turn.role == "tool" and turn.name is not None:
        flag = {"name": turn.name}
    rows: list[dict[str, Any]] = []
    if turn.content or turn.reasoning is not None or not turn.tool_calls:
        rows.append({"role": ROLES.get(turn.role, turn.role), "content": with_thought(turn.reasoning, turn.content), **flag})
    for call in turn.tool_calls:
        arguments = {} if call.arguments is None else call.arguments.value
        rows.append({"role": "tool_call", "content": json_text({"name": call.name, "arguments": arguments}), **flag})
    return rows


__all__ = ["MsSwift"]
