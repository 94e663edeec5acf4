"""Axolotl: JSON lines of `messages`, and the `datasets:` block of its YAML."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, Export, ExportSettings, Written, masks
from instructsel.adapters.exports.card import yaml
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.json_lines import tools_text
from instructsel.pool.json_text import dumped
from instructsel.pool.message import ANSWERS, Message

SNIPPET: Final = ".axolotl.yaml"


class Axolotl(Export):
    """`messages` of type chat_template; `train` in every response of a row that has one of weight 0."""

    name: ClassVar[str] = "axolotl"
    title: ClassVar[str] = "Axolotl"
    source: ClassVar[str] = "Axolotl 0.19, prompt_strategies/chat_template.py and docs/dataset-formats"
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT, COMPLETION)
    refused: ClassVar[frozenset[str]] = frozenset({"odd_tools", "odd_arguments", "weights"})
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
        "weights_of_others": "they are left out: turns of others are not trained on",
    }
    noted: ClassVar[Mapping[str, str]] = {"untrained": "they have `train: false`, which the block reads by message_field_training"}
    companion_endings: ClassVar[tuple[str, ...]] = (SNIPPET,)
    rules: ClassVar[tuple[str, ...]] = (
        "the loss falls on the turns of roles_to_train, assistant by default, and on their ends of turn (train_on_eos: turn); `train` of a turn decides where it stands",
        "sequence_len: longer rows are dropped (excess_length_strategy: drop) unless it is set to truncate",
        "arguments of calls are read from JSON texts; fields of a turn that the chat template does not name are dropped",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns; arguments as JSON texts, so that calls of different arguments have one schema."""
        turns = masks(exported.turns, settings)
        flagged = any(turn.role in ANSWERS and not turn.is_trained for turn in turns)
        row: dict[str, Any] = {"messages": [_turn(turn, flagged=flagged) for turn in turns]}
        text = tools_text(exported.example)
        return row if text is None else {**row, "tools": text}

    def companions(self, written: Written) -> dict[str, bytes]:
        """The block of the data set."""
        contents = written.account.contents
        block: dict[str, Any] = {
            "path": written.name,
            "ds_type": "json",
            "type": "chat_template",
            "field_messages": "messages",
            "message_property_mappings": {
                "role": "role",
                "content": "content",
                **({"reasoning_content": "reasoning_content"} if "reasoning" in contents else {}),
            },
            **({"field_tools": "tools"} if "tools" in contents else {}),
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
            "message_field_training": "train",
        }
        head = "# The data set of an Axolotl configuration; path is relative to the folder that axolotl runs in.\n"
        return {Path(written.name).stem + SNIPPET: (head + yaml({"datasets": [block]})).encode()}

    def next_command(self, data: Path) -> str:
        """Look at what it makes of the rows."""
        return f"cd {shlex.quote(str(data.parent))} && axolotl preprocess CONFIG.yaml --debug   # with the block of {data.stem}{SNIPPET}"


def _turn(turn: Message, *, flagged: bool) -> dict[str, Any]:
    row = turn.as_dict()
    if turn.tool_calls:
        row["tool_calls"] = [
            {
                **({} if call.id is None else {"id": call.id}),
                "type": "function",
                "function": {"name": call.name, "arguments": dumped(call.arguments.value if call.arguments is not None else {})},
            }
            for call in turn.tool_calls
        ]
    if flagged and turn.role in ANSWERS:
        row["train"] = turn.is_trained
    return row


__all__ = ["Axolotl"]
