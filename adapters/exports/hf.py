"""A Hugging Face folder: Parquet shards in data/, and a README.md made of facts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from instructsel.adapters.exports import columns
from instructsel.adapters.exports.base import Export, ExportSettings, Written, with_weight
from instructsel.adapters.exports.card import card
from instructsel.adapters.exports.card_text import head_of, text_of
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.json_lines import tools_text

if TYPE_CHECKING:
    import polars

README = "README.md"
COLUMNS = ("id", "source", "messages", "tools")


class HuggingFace(Export):
    """`id`, `source`, `messages` and `tools`, for `load_dataset` and the hub."""

    name: ClassVar[str] = "hf"
    title: ClassVar[str] = "a Hugging Face folder"
    source: ClassVar[str] = "datasets 5.2 and the hub's documentation of repositories and cards"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    cuts: ClassVar[bool] = False
    left_out: ClassVar[frozenset[str]] = frozenset()
    refused: ClassVar[frozenset[str]] = frozenset({"huge_numbers"})
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
        "long_numbers": "datasets reads them with 15 digits",
    }
    data_folder: ClassVar[str] = "data"
    whole_folder: ClassVar[bool] = True
    sharded: ClassVar[bool] = True
    companion_names: ClassVar[tuple[str, ...]] = (README,)
    rules: ClassVar[tuple[str, ...]] = (
        "the format leaves masks and truncation to its reader; `weight` 0 marks a turn that is not to be trained on",
        "TRL reads `messages` and `tools`, and trains on the whole conversation unless assistant_only_loss is set",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The columns of an example."""
        example = exported.example
        turns = [with_weight(turn, turn.as_dict()) for turn in exported.turns]
        return {"id": example.id, "source": example.source, "messages": turns, "tools": tools_text(example)}

    def frame(self, rows: Sequence[Mapping[str, Any]], contents: frozenset[str]) -> polars.DataFrame:
        """All four columns, always."""
        texts = tuple(name for name in COLUMNS if name != "messages")
        return columns.frame(rows, ("messages",), texts, structured=columns.is_structured(contents))

    def companions(self, written: Written) -> dict[str, bytes]:
        """The card."""
        listed = columns.features(COLUMNS, ("messages",), structured=columns.is_structured(frozenset(written.account.contents)))
        return {README: card(head_of(written, listed), text_of(written))}

    def next_command(self, data: Path) -> str:
        """Load it, or upload it."""
        folder = shlex.quote(str(data.parent.parent))
        return f"hf upload OWNER/NAME {folder} --repo-type dataset   # look at {folder}/{README} first"


__all__ = ["HuggingFace"]
