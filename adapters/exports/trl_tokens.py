"""TRL's pre-tokenised type: the tokens of the chat template and a label each, so that weights of 0 and 1 become masks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.exports.base import ExportSettings, Written
from instructsel.adapters.exports.card import card
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.tokens import Tokens
from instructsel.adapters.exports.trl import CONFIG, README
from instructsel.adapters.tokens import COLUMNS, MASKED_LABEL, labelled

if TYPE_CHECKING:
    import polars

NUMBERS: Final = {"list": "int32"}


class TrlTokens(Tokens):
    """`input_ids` and `labels`, −100 where no loss falls; TRL takes them as they are."""

    name: ClassVar[str] = "trl"
    title: ClassVar[str] = "TRL, pre-tokenised"
    source: ClassVar[str] = "TRL 1.16, dataset_formats and trainer/sft_trainer.py"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    data_folder: ClassVar[str] = "data"
    companion_names: ClassVar[tuple[str, ...]] = (README, CONFIG)
    rules: ClassVar[tuple[str, ...]] = (
        "a data set with input_ids is taken as it is: no chat template is applied, and labels say where the loss falls",
        "max_length, 1,024 by default, cuts from the end; a row without a loss token is dropped without a word",
    )

    def rows(self, listed: Iterable[Exported], settings: ExportSettings) -> Iterator[dict[str, Any]]:
        """Tokens and labels, in order."""
        for _, encoded in self.encoded_rows(listed, settings):
            yield labelled(encoded)

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """Tokens and labels of one example."""
        return next(self.rows([exported], settings))

    def frame(self, rows: Sequence[Mapping[str, Any]], contents: frozenset[str]) -> polars.DataFrame:
        """Two columns of lists of integers."""
        import polars as pl

        return pl.DataFrame([pl.Series(name, [row[name] for row in rows], dtype=pl.List(pl.Int32)) for name in COLUMNS])

    def companions(self, written: Written) -> dict[str, bytes]:
        """What `datasets` loads, and the settings of a run."""
        head = {
            "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": written.name}]}],
            "dataset_info": {"config_name": "default", "features": [{"name": name, **NUMBERS} for name in COLUMNS]},
        }
        text = (
            f"# {written.rows:,} tokenized training rows for TRL\n\nWritten by instructsel. `input_ids` are tokens of the tokenizer "
            f"{self.template.name}, in {self.origin}. `labels` are the same tokens, and {MASKED_LABEL} where no loss falls. Only a model "
            "with this tokenizer can be trained on them."
        )
        length = written.settings.max_length
        lines = [
            "# trl sft --config FOLDER/trl_sft.yaml --dataset_name FOLDER --model_name_or_path MODEL --output_dir OUT",
            "# FOLDER is the one that this file stands in; MODEL has the tokenizer that the rows were written with.",
            "dataset_train_split: train",
            "max_length: null  # rows are whole; TRL's own 1024 would cut them and drop rows without a loss token uncounted"
            if length is None
            else f"max_length: {length}  # rows are cut there already",
            "packing: false",
            "",
        ]
        return {README: card(head, text), CONFIG: "\n".join(lines).encode()}

    def next_command(self, data: Path) -> str:
        """Train."""
        folder = shlex.quote(str(data.parent.parent))
        return f"trl sft --config {folder}/{CONFIG} --dataset_name {folder} --model_name_or_path MODEL --output_dir OUT"


__all__ = ["TrlTokens"]
