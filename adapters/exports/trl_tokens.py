"""TRL's pre-tokenised type: the tokens of the chat template and a label each, so that weights of 0 and 1 become masks."""

from __future__ import annotations

import hashlib
import itertools
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, UNTRAINABLE, Export, ExportSettings, Written
from instructsel.adapters.exports.card import card
from instructsel.adapters.exports.contents import Exported, contents
from instructsel.adapters.exports.trl import CONFIG, README
from instructsel.adapters.tokens import COLUMNS, MASKED_LABEL, held_by, labelled
from instructsel.pool.example import Example
from instructsel.rendering import TEMPLATE_DATE

if TYPE_CHECKING:
    import polars

    from instructsel.grading.chat import ChatTemplate

BATCH: Final = 512
NUMBERS: Final = {"list": "int32"}


class TrlTokens(Export):
    """`input_ids` and `labels`, −100 where no loss falls; TRL takes them as they are."""

    name: ClassVar[str] = "trl"
    title: ClassVar[str] = "TRL, pre-tokenised"
    source: ClassVar[str] = "TRL 1.16, dataset_formats and trainer/sft_trainer.py"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT, COMPLETION)
    refused: ClassVar[frozenset[str]] = frozenset(
        {"odd_tools", "weights", "template_refused", "not_a_prefix", "too_many_turns", "calls_not_rendered"}
    )
    left_out: ClassVar[frozenset[str]] = UNTRAINABLE | {"no_loss_token"}
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "tools_not_rendered": "the model does not see them",
        "reasoning_not_rendered": "the model is not trained on it",
    }
    noted: ClassVar[Mapping[str, str]] = {"untrained": f"their labels are {MASKED_LABEL}"}
    data_folder: ClassVar[str] = "data"
    whole_folder: ClassVar[bool] = True
    companion_names: ClassVar[tuple[str, ...]] = (README, CONFIG)
    rules: ClassVar[tuple[str, ...]] = (
        "a data set with input_ids is taken as it is: no chat template is applied, and labels say where the loss falls",
        "max_length, 1,024 by default, cuts from the end; a row without a loss token is dropped without a word",
    )

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template

    @property
    def stated(self) -> dict[str, Any]:
        """By which tokenizer and chat template the tokens were made."""
        tokenizer = self.template.tokenizer
        return {
            "tokenizer": {
                "name": self.template.name,
                "sha256": _digest(tokenizer.backend_tokenizer.to_str()),
                "chat_template": {
                    "from": "tulu" if self.template.fallback else "the tokenizer",
                    "sha256": _digest(tokenizer.get_chat_template()),
                    "date": self.template.dated.get("template_date"),
                },
            }
        }

    def held(self, rows: Iterable[Example], settings: ExportSettings) -> Iterator[frozenset[str]]:
        """What conversations hold, and what the template makes of them."""
        remaining = iter(rows)
        while batch := list(itertools.islice(remaining, BATCH)):
            for example, encoded in zip(batch, self._encoded(batch, settings), strict=True):
                yield contents(example, self.turns(example, settings)) | held_by(encoded)

    def rows(self, listed: Iterable[Exported], settings: ExportSettings) -> Iterator[dict[str, Any]]:
        """Tokens and labels, in order."""
        remaining = iter(listed)
        while batch := list(itertools.islice(remaining, BATCH)):
            for encoded in self._encoded([exported.example for exported in batch], settings):
                yield labelled(encoded)

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """Tokens and labels of one example."""
        return next(self.rows([exported], settings))

    def _encoded(self, examples: Sequence[Example], settings: ExportSettings) -> Iterator[Any]:
        return self.template.encode_all(examples, loss=settings.loss or self.losses[0])

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
        origin = (
            "the chat format of Tülu, as the tokenizer brings no template: save it with the model, or it is asked in another one"
            if self.template.fallback
            else "the tokenizer's own chat template"
        )
        dated = f"; the date in it is {TEMPLATE_DATE}" if self.template.dated else ""
        text = (
            f"# {written.rows:,} tokenized training rows for TRL\n\nWritten by instructsel. `input_ids` are tokens of the tokenizer "
            f"{self.template.name}, in {origin}{dated}. `labels` are the same tokens, and {MASKED_LABEL} where no loss falls. Only a model "
            "with this tokenizer can be trained on them."
        )
        lines = [
            "# trl sft --config FOLDER/trl_sft.yaml --dataset_name FOLDER --model_name_or_path MODEL --output_dir OUT",
            "# FOLDER is the one that this file stands in; MODEL has the tokenizer that the rows were written with.",
            "dataset_train_split: train",
            "max_length: 1024  # TRL's default; rows are cut behind it",
            "packing: false",
            "",
        ]
        return {README: card(head, text), CONFIG: "\n".join(lines).encode()}

    def next_command(self, data: Path) -> str:
        """Train."""
        folder = shlex.quote(str(data.parent.parent))
        return f"trl sft --config {folder}/{CONFIG} --dataset_name {folder} --model_name_or_path MODEL --output_dir OUT"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["TrlTokens"]
