"""open-instruct: JSON lines of `dataset`, `id` and `messages`, role and content alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.adapters.exports.base import ASSISTANT, MASKED, Export, ExportSettings, Written
from instructsel.adapters.exports.contents import Exported

MIXER: Final = ".mixer.yaml"
"""What is put behind the name of the data for the legacy mixer's file."""


class OpenInstruct(Export):
    """`messages` that its chat template renders; the loss falls on every response."""

    name: ClassVar[str] = "open-instruct"
    title: ClassVar[str] = "open-instruct"
    source: ClassVar[str] = "open-instruct, dataset_transformation.py and docs"
    companion_endings: ClassVar[tuple[str, ...]] = (MIXER,)
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
        "the mixer of before 2025 reads the names and amounts of a file: where one amount is above 1 all are numbers of rows",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns, and what its statistics tell rows apart by."""
        turns = [{"role": turn.role, "content": turn.content} for turn in exported.turns]
        return {"dataset": exported.example.source, "id": exported.example.id, "messages": turns}

    def companions(self, written: Written) -> dict[str, bytes]:
        """The file of the legacy mixer, with the amount as a share."""
        lines = [
            "# The part of a configuration that open-instruct's legacy mixer reads (mix_data.py, finetune.py before dataset_mixer_list).",
            "# The name is relative to the folder of this file; 1.0 is all rows, and 1 would be one row.",
            "dataset_mixer:",
            f"  {json.dumps(Path(written.name).name, ensure_ascii=False)}: 1.0",
            "",
        ]
        return {Path(written.name).stem + MIXER: "\n".join(lines).encode()}

    def next_command(self, data: Path) -> str:
        """Train; the amount with a decimal point, so that it is a share."""
        return f"python open_instruct/finetune.py --model_name_or_path MODEL --dataset_mixer_list {shlex.quote(str(data))} 1.0"
