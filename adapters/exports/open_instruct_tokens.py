"""open-instruct and OLMo-core: token ids and masks as arrays without a header, document boundaries, statistics and the tokenizer."""

from __future__ import annotations

import gzip
import hashlib
import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

import numpy as np

from instructsel.adapters.exports.base import ExportSettings, Written
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.tokens import Tokens
from instructsel.artifact import atomic_write
from instructsel.models.load import quiet

PART: Final = 1 << 30
"""Bytes of token ids in a part."""
STATISTICS: Final = "dataset_statistics.json"
TOKENIZER: Final = "tokenizer"
"""The folder of the tokenizer."""


def file_names(number: int) -> tuple[str, str, str]:
    """The files of a part: token ids, mask, document boundaries.

    >>> file_names(0)
    ('token_ids_part_0000.npy', 'labels_mask_part_0000.npy', 'token_ids_part_0000.csv.gz')
    """
    return f"token_ids_part_{number:04d}.npy", f"labels_mask_part_{number:04d}.npy", f"token_ids_part_{number:04d}.csv.gz"


def smallest_type(vocabulary: int) -> np.dtype[Any]:
    """The smallest unsigned integer that holds every id of a vocabulary.

    >>> smallest_type(256).name, smallest_type(257).name, smallest_type(65536).name, smallest_type(65537).name
    ('uint8', 'uint16', 'uint16', 'uint32')
    """
    return next(np.dtype(kind) for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if vocabulary - 1 <= np.iinfo(kind).max)


@dataclass
class _Counts:
    """Rows and tokens of a source."""

    rows: int = 0
    tokens: int = 0
    trained: int = 0


@dataclass
class _Statistics:
    """Of the rows that were written."""

    sources: dict[str, _Counts] = field(default_factory=dict)

    def add(self, source: str, mask: list[bool]) -> None:
        """Count a row."""
        counts = self.sources.setdefault(source, _Counts())
        counts.rows += 1
        counts.tokens += len(mask)
        counts.trained += sum(mask)

    def as_dict(self, configuration: dict[str, Any], filtered: int) -> dict[str, Any]:
        """In the form of open-instruct's converter, without the time and the folder: the same rows give the same bytes."""
        rows, tokens, trained = (sum(getattr(counts, name) for counts in self.sources.values()) for name in ("rows", "tokens", "trained"))
        return {
            "configuration": configuration,
            "per_dataset_statistics": [
                {
                    "dataset_name": source,
                    "dataset_split": "train",
                    "final_instances_in_output": counts.rows,
                    "final_tokens_in_output": counts.tokens,
                    "final_trainable_tokens_in_output": counts.trained,
                    "avg_tokens_per_instance": counts.tokens / counts.rows,
                    "percentage_of_total_tokens": 100 * counts.tokens / tokens,
                    "percentage_of_total_instances": 100 * counts.rows / rows,
                }
                for source, counts in sorted(self.sources.items())
            ],
            "overall_statistics": {
                "total_datasets": len(self.sources),
                "total_instances": rows,
                "total_tokens": tokens,
                "trainable_tokens": trained,
                "trainable_percentage": 100 * trained / tokens,
                "instances_filtered": filtered,
                "average_sequence_length": tokens / rows,
            },
        }


class OpenInstructTokens(Tokens):
    """Flat arrays of ids and of masks in parts, as open-instruct's `numpy_dataset_conversion` writes them and OLMo-core maps them."""

    name: ClassVar[str] = "open-instruct"
    title: ClassVar[str] = "open-instruct, as arrays for OLMo-core"
    source: ClassVar[str] = "open-instruct e6c3044a, numpy_dataset_conversion.py and olmo_core_finetune.py"
    endings: ClassVar[tuple[str, ...]] = (".npy",)
    companion_names: ClassVar[tuple[str, ...]] = (*file_names(0), STATISTICS)
    writes_itself: ClassVar[bool] = True
    rules: ClassVar[tuple[str, ...]] = (
        "the arrays have no header; the type of the ids is the smallest unsigned one that fits the vocabulary of the tokenizer",
        "the mask is true where the loss falls, and false where a label would be -100",
        "documents end where the .csv.gz says, or at the end-of-sequence token for a reader that looks for it: in Tülu's format such a reader "
        "splits a conversation behind each response",
    )

    def rows(self, listed: Iterable[Exported], settings: ExportSettings) -> Iterator[dict[str, Any]]:
        """Ids, masks and the source of each row, in order."""
        for exported, encoded in self.encoded_rows(listed, settings):
            yield {"ids": encoded.ids, "mask": encoded.loss_mask, "source": exported.example.source}

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """Ids and mask of one example."""
        return next(self.rows([exported], settings))

    def write(self, rows: Iterable[dict[str, Any]], folder: Path) -> tuple[list[str], str]:
        """The parts; those of an export before this one are gone.

        Args:
            rows: as of `rows`.
            folder: where the files go.

        Returns:
            The names of the files, and the SHA-256 of their SHA-256s.

        Raises:
            EnvironmentFault: they cannot be written.
        """
        kind = smallest_type(len(self.template.tokenizer))
        self.statistics = _Statistics()
        room = PART // kind.itemsize
        names: list[str] = []
        with ExitStack() as stack:
            outs: tuple[BinaryIO, BinaryIO, BinaryIO] | None = None
            used, bounds = 0, list[str]()
            for row in rows:
                ids, mask = np.asarray(row["ids"], dtype=kind), np.asarray(row["mask"], dtype=bool)
                self.statistics.add(row["source"], row["mask"])
                done = 0
                while done < len(ids):
                    if outs is None or used == room:
                        if outs is not None:
                            _bounds(outs[2], bounds)
                        part = file_names(len(names) // 3)
                        first, second, third = (stack.enter_context(atomic_write(folder / name)) for name in part)
                        outs, used, bounds = (first, second, third), 0, []
                        names += part
                    taken = min(len(ids) - done, room - used)
                    outs[0].write(ids[done : done + taken].tobytes())
                    outs[1].write(mask[done : done + taken].tobytes())
                    bounds.append(f"{used},{used + taken}\n")
                    used, done = used + taken, done + taken
            if outs is not None:
                _bounds(outs[2], bounds)
        for path in [*folder.glob("token_ids_part_*"), *folder.glob("labels_mask_part_*")]:
            # Parts of an export before this one would be read as well.
            if path.name not in names:
                path.unlink()
        digest = hashlib.sha256()
        for name in names:
            with open(folder / name, "rb") as again:
                digest.update(hashlib.file_digest(again, "sha256").digest())
        return names, digest.hexdigest()

    def companions(self, written: Written) -> dict[str, bytes]:
        """Statistics and the tokenizer."""
        filtered = sum(tally.rows for name, tally in written.account.left_out.items() if name == "no_loss_token")
        configuration = {
            "tokenizer": self.template.name,
            "max_sequence_length": written.settings.max_length,
            "chat_template": "tulu" if self.template.is_tulu else None,
            "loss": written.settings.loss,
        }
        statistics = self.statistics.as_dict(configuration, filtered)
        return {STATISTICS: json.dumps(statistics, indent=2, ensure_ascii=False).encode() + b"\n", **self._tokenizer_files()}

    def _tokenizer_files(self) -> dict[str, bytes]:
        """The tokenizer's files; its template stands in its configuration, too, where older readers look."""
        with tempfile.TemporaryDirectory() as folder, quiet():
            self.template.tokenizer.save_pretrained(folder)
            files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
        template = files.get("chat_template.jinja")
        if template is not None:
            config = json.loads(files["tokenizer_config.json"])
            config.setdefault("chat_template", template.decode())
            files["tokenizer_config.json"] = json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n"
        return {f"{TOKENIZER}/{name}": content for name, content in files.items()}

    def next_command(self, data: Path) -> str:
        """Train."""
        return f"torchrun open_instruct/olmo_core_finetune.py --model_name_or_path MODEL --pretokenized_dataset_path {shlex.quote(str(data.parent))}"


def _bounds(out: BinaryIO, lines: list[str]) -> None:
    """Write the boundaries of the documents of a part; a document that goes on in the next part is a part of one in each."""
    out.write(gzip.compress("".join(lines).encode(), mtime=0))


__all__ = ["OpenInstructTokens", "file_names", "smallest_type"]
