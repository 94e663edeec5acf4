"""TRL: a folder that `datasets` loads, `prompt` and `completion` (or `messages`) and nothing else but `tools`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.exports import columns
from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, MASKED, Export, ExportSettings, Written, with_weight
from instructsel.adapters.exports.card import card
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.json_lines import tools_text

if TYPE_CHECKING:
    import polars

README: Final = "README.md"
CONFIG: Final = "trl_sft.yaml"
TURNS: Final = ("prompt", "completion", "messages")


class Trl(Export):
    """TRL's conversational prompt–completion type, whose loss falls on the last response; its messages with --loss assistant."""

    name: ClassVar[str] = "trl"
    title: ClassVar[str] = "TRL"
    source: ClassVar[str] = "TRL 1.16, dataset_formats and trainer/sft_trainer.py"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    losses: ClassVar[tuple[str, ...]] = (COMPLETION, ASSISTANT)
    refused: ClassVar[frozenset[str]] = frozenset({"odd_tools", "weights", "huge_numbers"})
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
        "long_numbers": "datasets reads them with 15 digits",
    }
    data_folder: ClassVar[str] = "data"
    whole_folder: ClassVar[bool] = True
    companion_names: ClassVar[tuple[str, ...]] = (README, CONFIG)
    rules: ClassVar[tuple[str, ...]] = (
        "prompt–completion: the loss falls on the completion, the last response, alone",
        "messages with assistant_only_loss: on every response that the chat template marks as generated; weights of turns are not read",
        "max_length, 1,024 by default, cuts from the end; a row without a loss token is dropped without a word",
        "the type of all rows is decided by the first one; tools are read row by row, as a list or as JSON text",
    )

    def refusals(self, settings: ExportSettings) -> frozenset[str]:
        """In the form with one trained response all others are masked; the form with several has no masks."""
        return self.refused if settings.loss == COMPLETION else self.refused | {MASKED}

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns up to the last response."""
        turns = [with_weight(turn, turn.as_dict()) for turn in exported.turns]
        row = {"prompt": turns[:-1], "completion": turns[-1:]} if settings.loss == COMPLETION else {"messages": turns}
        return {**row, "tools": tools_text(exported.example)}

    def frame(self, rows: Sequence[Mapping[str, Any]], contents: frozenset[str]) -> polars.DataFrame:
        """`tools` only where a row has some."""
        names = [name for name in rows[0] if name != "tools" or "tools" in contents]
        return columns.frame(
            [{name: row[name] for name in names} for row in rows], TURNS, ("tools",), structured=columns.is_structured(contents)
        )

    @staticmethod
    def names(settings: ExportSettings, contents: frozenset[str]) -> list[str]:
        """The columns of rows that hold this."""
        turns = ["prompt", "completion"] if settings.loss == COMPLETION else ["messages"]
        return [*turns, "tools"] if "tools" in contents else turns

    def companions(self, written: Written) -> dict[str, bytes]:
        """What `datasets` loads, and the settings of a run."""
        contents, is_completion = frozenset(written.account.contents), written.settings.loss == COMPLETION
        names = self.names(written.settings, contents)
        head = {
            "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": written.name}]}],
            "dataset_info": {
                "config_name": "default",
                "features": columns.features(names, TURNS, structured=columns.is_structured(contents)),
            },
        }
        text = (
            f"# {written.rows:,} training rows for TRL\n\nWritten by instructsel. The head of this file tells `datasets` what the columns are: "
            'load it as a folder, `load_dataset("FOLDER")`, not file by file.\n'
        )
        loss = ["completion_only_loss: true"] if is_completion else ["assistant_only_loss: true  # the chat template must mark responses"]
        lines = [
            "# trl sft --config FOLDER/trl_sft.yaml --dataset_name FOLDER --model_name_or_path MODEL --output_dir OUT",
            "# FOLDER is the one that this file stands in.",
            "dataset_train_split: train",
            *loss,
            "max_length: 1024  # TRL's default; rows are cut behind it",
            "packing: false",
            "",
        ]
        return {README: card(head, text), CONFIG: "\n".join(lines).encode()}

    def next_command(self, data: Path) -> str:
        """Train."""
        folder = shlex.quote(str(data.parent.parent))
        return f"trl sft --config {folder}/{CONFIG} --dataset_name {folder} --model_name_or_path MODEL --output_dir OUT"
