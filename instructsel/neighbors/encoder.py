"""Texts to unit vectors."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.answers import Memory, Noting
from instructsel.models.bert import PackedBert
from instructsel.models.load import LocalModel, devices, load_tokenizer, locate, quiet, read_json, refuse_code, settings, threads, working

MAX_LENGTH: Final = 256
"""Word pieces MiniLM was trained on; longer texts are cut there, and counted."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What encoding gave."""

    vectors: NDArray[np.float32]
    """(n, d), unit norm."""
    truncated: NDArray[np.bool_]
    """(n,), where the model did not see the whole text."""
    report: runner.RunReport
    reasons: list[str | None] = field(default_factory=list)
    """Why a text has no vector: out_of_memory, not_finite."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A sentence encoder: transformer, pooling over the tokens, unit norm. Load one with Encoder.load."""

    source: LocalModel
    precision: str
    """fp32 or bf16."""
    device: str
    max_length: int
    """Tokens seen of a text, special tokens included."""
    pooling: str
    """mean or cls."""
    model: Any
    """PackedBert for BERT-type encoders on a CPU, else what transformers' AutoModel gives."""
    tokenizer: Any
    pad_id: int
    replicas: tuple[Any, ...] = ()
    """The model once more for every further GPU."""

    @classmethod
    def load(
        cls,
        model: str = "embedded",
        *,
        revision: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        max_length: int | None = None,
    ) -> Self:
        """Load an encoder.

        Args:
            model: embedded, a local folder, or a hub id.
            revision: a hub revision.
            precision: fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX.
            device: cpu, cuda, or auto.
            max_length: tokens seen of a text; the model's own limit by default.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: its weights are not safetensors, or not what they should be.
            ModelRefused: it pools in another way than over its tokens.
        """
        source = locate(model, revision=revision, needed_by="the embedding")
        refuse_code(source)
        precision, device = settings(precision, device)
        packed = device == "cpu" and PackedBert.fits(source.config)
        places = devices(device)
        loaded: Any = PackedBert.load(source, precision=precision) if packed else _auto(source, precision, places[0])
        replicas = tuple(copy.deepcopy(loaded).to(place) for place in places[1:])
        positions = source.config.get("max_position_embeddings")
        own = read_json(source.folder / "sentence_bert_config.json").get("max_seq_length", MAX_LENGTH)
        # Padded rows keep a token of padding.
        limit = min(max_length or own, positions - (not packed) if isinstance(positions, int) else 1 << 20)
        pad = source.config.get("pad_token_id")
        known = pad if isinstance(pad, int) else 0
        return cls(source, precision, device, limit, _pooling(source), loaded, load_tokenizer(source), known, replicas)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text; no path."""
        return {
            "name": self.source.name,
            "digest": self.source.digest,
            "precision": self.precision,
            "device": self.device,
            "max_length": self.max_length,
            "pooling": self.pooling,
            "normalized": True,
            "batches": "packed" if isinstance(self.model, PackedBert) else "padded",
        }

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.model.dimension if isinstance(self.model, PackedBert) else int(self.model.config.hidden_size)

    def encode(self, texts: Sequence[str], *, memory: Memory | None = None, progress: runner.Progress | None = None) -> Embeddings:
        """The vectors of texts. A text's vector is the same alone, in any company and in any order.

        Args:
            texts: any number; "" is a text too.
            memory: told of vectors as they come.
            progress: told how many are done.
        """
        self.tokenizer.enable_truncation(self.max_length)
        sequences = runner.Ragged.tokenized(self.tokenizer, texts, special=True)
        packed = isinstance(self.model, PackedBert)
        tokens = runner.CPU_TOKENS if self.device == "cpu" else runner.GPU_TOKENS
        layout = runner.Packed(max(tokens, self.max_length)) if packed else runner.Padded(tokens)

        def forward(model: Any) -> runner.Forward:
            if packed:
                return lambda ids, lengths, members: self._packed(model, ids, lengths)
            return lambda ids, lengths, members: self._padded(model, ids, lengths)

        with working(self.device) as begin:
            vectors, refused, report = runner.run(
                sequences,
                [forward(model) for model in threads([self.model, *self.replicas], self.device)],
                layout,
                pad_id=self.pad_id,
                shape=(self.dimension,),
                keeper=Noting.of(memory, np.arange(len(texts)), sequences.cut),
                start=begin,
                progress=progress,
            )
        # A vector without length has no direction either: a model that gives one is broken.
        finite = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1, initial=0.0) > 0)
        reasons = ["out_of_memory" if lost else None if sound else "not_finite" for lost, sound in zip(refused, finite, strict=True)]
        return Embeddings(np.where(finite[:, None], vectors, 0), sequences.cut, report, reasons)

    def _packed(self, model: PackedBert, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        torch = require("torch", needed_by="the embedding")
        with torch.inference_mode():
            pooled = [self._pooled(hidden) for hidden in model.hidden(ids, lengths)]
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(pooled)).numpy()
        return vectors

    def _pooled(self, hidden: Any) -> Any:
        """(b, length, hidden) without padding → float32 (b, hidden)."""
        return hidden[:, 0].float() if self.pooling == "cls" else hidden.float().mean(1)

    def _padded(self, model: Any, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        torch = require("torch", needed_by="the embedding")
        present = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(model.device)
        with torch.inference_mode():
            hidden = model(input_ids=torch.from_numpy(ids).to(model.device), attention_mask=present).last_hidden_state.float()
            if self.pooling == "cls":
                pooled = hidden[:, 0]
            else:
                weights = present[:, :, None].float()
                pooled = (hidden * weights).sum(1) / weights.sum(1)
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled).cpu().numpy()
        return vectors


def _auto(source: LocalModel, precision: str, device: str) -> Any:
    torch = require("torch", needed_by="the embedding")
    transformers = require("transformers", needed_by="the embedding")
    with quiet():
        loaded = transformers.AutoModel.from_pretrained(
            str(source.folder),
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    return loaded.eval().to(device)


def _pooling(source: LocalModel) -> str:
    """The pooling a sentence-transformers folder names; mean where it names none."""
    config = read_json(source.folder / "1_Pooling" / "config.json")
    modes = [key.removeprefix("pooling_mode_") for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if not modes or modes == ["mean_tokens"]:
        return "mean"
    if modes == ["cls_token"]:
        return "cls"
    raise ModelRefused(f"{source.name} pools by {', '.join(modes)}.", fix="Name an encoder that pools by mean or by its first token.")
