"""ShareGPT: `conversations` of `from` and `value`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.adapters.exports.base import Export, ExportSettings, with_weight
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.json_lines import json_text, tools_text
from instructsel.pool.message import Message

TAGS: Final = {"system": "system", "developer": "developer", "user": "human", "assistant": "gpt", "tool": "observation"}
CALL_TAG: Final = "function_call"


class ShareGpt(Export):
    """`conversations` with from (system, human, gpt, function_call, observation) and value; tools as JSON text."""

    name: ClassVar[str] = "sharegpt"
    title: ClassVar[str] = "readers of ShareGPT's format"
    source: ClassVar[str] = "ShareGPT, with the tags of LLaMA-Factory for calls and results"
    cuts: ClassVar[bool] = False
    left_out: ClassVar[frozenset[str]] = frozenset()
    refused: ClassVar[frozenset[str]] = frozenset({"text_and_calls"})
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
    }
    noted: ClassVar[Mapping[str, str]] = {
        "reasoning": "it stands in a field `reasoning_content` of its turn, which not every reader looks at",
        "untrained": "they have a field `weight`, which not every reader looks at",
        "weights": "they stand in a field `weight`, which not every reader looks at",
        "weights_of_others": "they stand in a field `weight`, which not every reader looks at",
        "names": "they stand in a field `name`, which not every reader looks at",
        "result_names": "they stand in a field `name`, which not every reader looks at",
        "call_ids": "they stand beside name and arguments, and in a field `tool_call_id` of the result",
    }
    rules: ClassVar[tuple[str, ...]] = (
        "the format leaves masks and truncation to its reader; most train on every turn of gpt and function_call",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns with their tags."""
        row: dict[str, Any] = {"conversations": [turn_row(turn) for turn in exported.turns]}
        if exported.example.tools is not None:
            row["tools"] = tools_text(exported.example)
        return row

    def next_command(self, data: Path) -> str:
        """Read it back."""
        return f"instructsel audit {shlex.quote(str(data))} --base MODEL"


def turn_row(turn: Message) -> dict[str, Any]:
    """A turn with its tag; a turn with calls is their JSON text."""
    row: dict[str, Any] = {"from": TAGS[turn.role], "value": turn.content}
    if turn.tool_calls:
        row = {"from": CALL_TAG, "value": calls_text(turn)}
    if turn.reasoning is not None:
        row["reasoning_content"] = turn.reasoning
    if turn.tool_call_id is not None:
        row["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        row["name"] = turn.name
    return with_weight(turn, row)


def calls_text(turn: Message, *, structured: bool = False) -> str:
    """The calls of a turn as the JSON text of a list.

    Args:
        turn: with calls.
        structured: whether arguments that are a JSON text are written as the structure.
    """
    calls: list[dict[str, Any]] = []
    for call in turn.tool_calls:
        entry: dict[str, Any] = {"name": call.name}
        if call.arguments is not None:
            entry["arguments"] = call.arguments.value if structured else call.arguments.as_given
        if call.id is not None:
            entry["id"] = call.id
        calls.append(entry)
    return json_text(calls)


__all__ = ["CALL_TAG", "TAGS", "ShareGpt", "calls_text", "turn_row"]
