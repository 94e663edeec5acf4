"""Texts to unit vectors.

A BERT whose vectors are the mean or the first token of its last states runs here, packed on a CPU; every other encoder runs
through sentence-transformers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.answers import OutputCache, QuestionWriter
from instructsel.models.bert import PackedBert
from instructsel.models.foreign import refusing, refusing_files
from instructsel.models.load import LocalModel, devices, load_tokenizer, locate, quiet, refuse_code, settings, threads, working
from instructsel.models.vetting import check_sizes
from instructsel.models.view import view
from instructsel.models.weights import read_tensors
from instructsel.neighbors.plain_bert import bert_pooling, own_limit
from instructsel.neighbors.sentence_transformer import SentenceTransformerModel


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
    """mean or cls; the modules of an encoder that runs through sentence-transformers."""
    model: Any
    """PackedBert for a BERT on a CPU, transformers' BertModel for one on a GPU, SentenceTransformerModel for other encoders."""
    tokenizer: Any
    pad_id: int
    replicas: tuple[Any, ...] = ()
    """The model once more for every further GPU."""

    @classmethod
    @refusing_files("an encoder")
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
        places = devices(device)
        pooling = bert_pooling(source)
        if pooling is None:
            library = SentenceTransformerModel.load(source, precision=precision, device=places[0], max_length=max_length)
            replicas = tuple(library.to(place) for place in places[1:])
            return cls(source, library.precision, device, library.max_length, library.steps, library, None, library.pad_id, replicas)
        packed = device == "cpu"
        loaded: Any = PackedBert.load(source, precision=precision) if packed else _auto(source, precision, places[0])
        copies = tuple(copy.deepcopy(loaded).to(place) for place in places[1:])
        positions = source.config.get("max_position_embeddings")
        limit = min(max_length or own_limit(source), positions if isinstance(positions, int) else 1 << 20)
        pad = source.config.get("pad_token_id")
        return cls(source, precision, device, limit, pooling, loaded, load_tokenizer(source), pad if isinstance(pad, int) else 0, copies)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text; no path."""
        is_library = isinstance(self.model, SentenceTransformerModel)
        return {
            "name": self.source.name,
            "digest": self.source.digest,
            "precision": self.precision,
            "device": self.device,
            "max_length": self.max_length,
            "pooling": self.pooling,
            "normalized": True,
            "batches": self._batches,
            **({"files": self.model.files, "library": self.model.version} if is_library else {}),
        }

    @property
    def text_tokenizer(self) -> Tokenizer | None:
        """What splits its texts, without truncation and special tokens; None where that is no tokenizer of the library of that name."""
        return self.model.text_tokenizer if isinstance(self.model, SentenceTransformerModel) else load_tokenizer(self.source)

    @property
    def _batches(self) -> str:
        if isinstance(self.model, PackedBert):
            return "packed"
        return "single" if isinstance(self.model, SentenceTransformerModel) and not self.model.batched else "padded"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        has_dimension = isinstance(self.model, PackedBert | SentenceTransformerModel)
        return int(self.model.dimension if has_dimension else self.model.config.hidden_size)

    def encode(self, texts: Sequence[str], *, cache: OutputCache | None = None, progress: runner.Progress | None = None) -> Embeddings:
        """The vectors of texts. A text's vector is the same alone, in any company and in any order.

        Args:
            texts: any number; "" is a text too.
            cache: vectors are written to it as they come.
            progress: called with how many are done.
        """
        if self._batches == "single":
            return self._one_by_one(texts, cache, progress)
        sequences = self._tokenized(texts)
        if len(sequences) and int(sequences.lengths.min()) < 1:
            raise ModelRefused(f"The tokenizer of {self.source.name} makes no token of a text.", fix="Fetch the model again.")
        tokens = runner.CPU_TOKENS if self.device == "cpu" else runner.GPU_TOKENS
        with working(self.device) as begin:
            vectors, refused, report = runner.run(
                sequences,
                [runner.guarded(self.source.name, self._forward(model)) for model in threads([self.model, *self.replicas], self.device)],
                self._layout(tokens),
                pad_id=self.pad_id,
                shape=(self.dimension,),
                cache=QuestionWriter.of(cache, np.arange(len(texts)), sequences.cut),
                start=begin,
                progress=progress,
            )
        return _embeddings(vectors, sequences.cut, report, refused)

    def _tokenized(self, texts: Sequence[str]) -> runner.Ragged:
        if isinstance(self.model, SentenceTransformerModel):
            return self.model.tokenize(texts)
        self.tokenizer.enable_truncation(self.max_length)
        return runner.Ragged.tokenized(self.tokenizer, texts, special=True)

    def _layout(self, tokens: int) -> runner.Layout:
        if isinstance(self.model, PackedBert):
            return runner.Packed(max(tokens, self.max_length))
        if isinstance(self.model, SentenceTransformerModel):
            return self.model.layout(tokens)
        return runner.Padded(tokens, limit=self.source.config.get("max_position_embeddings"))

    def _forward(self, model: Any) -> runner.Forward:
        if isinstance(model, PackedBert):
            return lambda ids, lengths, members: self._packed(model, ids, lengths)
        if isinstance(model, SentenceTransformerModel):
            return lambda ids, lengths, members: model.forward(ids, lengths, len(members))
        return lambda ids, lengths, members: self._padded(model, ids, lengths)

    def _one_by_one(self, texts: Sequence[str], cache: OutputCache | None, progress: runner.Progress | None) -> Embeddings:
        with working(self.device) as begin:
            if begin is not None:
                begin()
            vectors = self.model.one_by_one(texts, progress)
        cut = self.model.cut(texts)
        writer = QuestionWriter.of(cache, np.arange(len(texts)), cut)
        if writer is not None and len(texts):
            writer.write(np.arange(len(texts)), vectors, None)
        report = runner.RunReport(rows=len(texts), batches=len(texts), tokens=0, slots=0)
        return _embeddings(vectors, cut, report, np.zeros(len(texts), dtype=bool))

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


def _embeddings(
    vectors: NDArray[np.float32], truncated: NDArray[np.bool_], report: runner.RunReport, refused: NDArray[np.bool_]
) -> Embeddings:
    # A vector without length has no direction either: a model that gives one is broken.
    finite = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1, initial=0.0) > 0)
    reasons = ["out_of_memory" if lost else None if sound else "not_finite" for lost, sound in zip(refused, finite, strict=True)]
    return Embeddings(np.where(finite[:, None], vectors, 0), truncated, report, reasons)


def _auto(source: LocalModel, precision: str, device: str) -> Any:
    torch = require("torch", needed_by="the embedding")
    transformers = require("transformers", needed_by="the embedding")
    check_sizes(source.config, read_tensors(source.weights, source.name), source.name)
    fix = "Name an encoder that transformers can load."
    with view(source) as folder, quiet(), refusing(source.name, "be loaded as an encoder", fix=fix):
        loaded = transformers.AutoModel.from_pretrained(
            str(folder),
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    return loaded.eval().to(device)
