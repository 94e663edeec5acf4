"""open-instruct: JSON lines of `messages`, role and content alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructsel.adapters.exports.base import ASSISTANT, MASKED, Export, ExportSettings
from instructsel.adapters.exports.contents import Exported


class OpenInstruct(Export):
    """`messages` that its chat template renders; the loss falls on every response."""

    name: ClassVar[str] = "open-instruct"
    title: ClassVar[str] = "open-instruct"
    source: ClassVar[str] = "open-instruct, dataset_transformation.py and docs"
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT,)
    refused: ClassVar[frozenset[str]] = frozenset(
        {
            *("developer", "late_system", "tools", "odd_tools", "calls", "parallel_calls", "text_and_calls", "odd_arguments"),
            *("call_ids", "results", "result_names", "reasoning", "marked_reasoning", "weights", MASKED),
        }
    )
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "names": "they are left out",
        "weights_of_others": "they are left out: turns of others are not trained on",
    }
    rules: ClassVar[tuple[str, ...]] = (
        "rows need `messages`; the loss falls on every turn of assistant, other turns are masked",
        "max_seq_length cuts from the end; a row without a loss token is dropped",
        "the mixer takes names and amounts by turns: 1 is one row, 1.0 is all of them, and no more than a warning tells the two apart",
        "weights of turns and tools are not read",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns."""
        return {"messages": [{"role": turn.role, "content": turn.content} for turn in exported.turns]}

    def next_command(self, data: Path) -> str:
        """Train; the amount with a decimal point, so that it is a share."""
        return f"python open_instruct/finetune.py --model_name_or_path MODEL --dataset_mixer_list {shlex.quote(str(data))} 1.0"
