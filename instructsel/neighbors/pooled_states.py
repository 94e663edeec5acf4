"""Texts to unit vectors by a language model: its last hidden states, later tokens counting more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.extras import require
from instructsel.models import packing, runner
from instructsel.models.answers import OutputCache, QuestionWriter
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import LocalModel, threads, working
from instructsel.neighbors.encoder import Embeddings


@dataclass(frozen=True, eq=False)
class PooledStates:
    """A causal language model as an encoder. Load one with PooledStates.load.

    A text's vector is the mean of the last layer's states, the i-th of n tokens weighing i / (1 + … + n), brought to unit norm: a
    causal model's later states have seen more. It is the same alone, in any company and in any order.

    Source: the representation of RDS+, Ivison et al. 2025, arXiv:2503.01807.
    """

    language_model: LikelihoodModel

    @classmethod
    def load(
        cls, name: str, *, revision: str | None = None, precision: str = "auto", device: str = "auto", max_length: int | None = 2048
    ) -> Self:
        """Load a language model, usually the base that is to be fine-tuned.

        Args:
            name: a local folder, a hub id, or "embedded".
            revision: a hub revision.
            precision: fp32, bf16, or auto.
            device: cpu, cuda, or auto.
            max_length: tokens seen of a text; the end of a longer one is cut off and counted.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: pickled weights, or code of its own.
            ModelRefused: no causal language model.
        """
        # The probe is of likelihoods; how likely gibberish is has no part in a direction.
        return cls(
            LikelihoodModel.load(
                name,
                revision=revision,
                precision=precision,
                device=device,
                probe=False,
                max_length=max_length,
                needed_by="A way to select by a language model",
            )
        )

    @property
    def source(self) -> LocalModel:
        """The model's files."""
        return self.language_model.source

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.language_model.workers[0].model.config.hidden_size)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text; no path."""
        return {**self.language_model.fingerprint, "pooling": "position-weighted mean", "normalized": True}

    def encode(self, texts: Sequence[str], *, cache: OutputCache | None = None, progress: runner.Progress | None = None) -> Embeddings:
        """The vectors of texts; a text without tokens has none (no_tokens)."""
        sequences = runner.Ragged.tokenized(self.language_model.tokenizer, texts)
        head = [] if self.language_model.start is None else [self.language_model.start]
        limit = self.language_model.max_length - len(head)
        cut = sequences.lengths > limit
        positions = np.flatnonzero(sequences.lengths > 0)
        rows = [np.concatenate([np.array(head, dtype=np.int32), sequences[number][:limit]]) for number in positions.tolist()]
        packed = self.language_model.padded_because is None
        tokens = runner.CPU_TOKENS if self.language_model.device == "cpu" else runner.GPU_TOKENS

        def forward(worker: Any) -> runner.Forward:
            return lambda ids, lengths, members: _pooled(worker, ids, lengths, packed=packed)

        with working(self.language_model.device) as begin:
            vectors, refused, report = runner.run(
                runner.Ragged.of(rows),
                [forward(worker) for worker in threads(self.language_model.workers, self.language_model.device)],
                runner.Packed(tokens) if packed else runner.Padded(tokens),
                shape=(self.dimension,),
                cache=QuestionWriter.of(cache, positions, cut),
                start=begin,
                progress=progress,
            )
        finite = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1, initial=0.0) > 0)
        reasons: list[str | None] = ["no_tokens"] * len(texts)
        every = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, number in enumerate(positions.tolist()):
            reasons[number] = "out_of_memory" if refused[row] else None if finite[row] else "not_finite"
            if finite[row]:
                every[number] = vectors[row]
        return Embeddings(every, cut, report, reasons)


def _pooled(worker: Any, ids: NDArray[np.int64], lengths: NDArray[np.int64], *, packed: bool) -> NDArray[np.float32]:
    """(b, hidden): each row's weighted mean at unit norm."""
    torch = require("torch", needed_by="the hidden states")
    with torch.inference_mode():
        if packed:
            states = packing.packed_states(worker.model.base_model, ids, packing.Boundaries(lengths), device=worker.device, use_cache=False)
            parts = torch.split(states[: int(lengths.sum())].float(), lengths.tolist())
        else:
            present = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(worker.device)
            tokens = torch.from_numpy(ids).to(worker.device)
            states = worker.model.base_model(input_ids=tokens, attention_mask=present, use_cache=False).last_hidden_state.float()
            parts = [row[:length] for row, length in zip(states, lengths.tolist(), strict=False)]
        means = []
        for part in parts:
            weights = torch.arange(1, len(part) + 1, dtype=torch.float32, device=part.device)
            means.append((weights / weights.sum()) @ part)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(torch.stack(means)).cpu().numpy()
    return vectors


__all__ = ["PooledStates"]
