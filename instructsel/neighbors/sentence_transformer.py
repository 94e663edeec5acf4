"""Encoders of any kind through sentence-transformers, in batches of fixed shapes.

The library decides what is computed: prompts, lower-casing, truncation, pooling, layers behind the pooling. We decide the
shapes: its tokenizer runs text by text, its transformer on batches of one width and one number of rows (as `runner.Padded`
makes them), and what comes behind the transformer row by row. So a vector has the same bits in any company.

A model whose first module is no Transformer (static embeddings, bags of words) runs text by text.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.foreign import refusing
from instructsel.models.load import LocalModel, quiet
from instructsel.models.vetting import check_module_weights
from instructsel.models.view import view

NEEDED_BY: Final = "an encoder that is not a BERT with mean or first-token pooling"
FIX: Final = "Name an encoder that sentence-transformers loads."
UNLIMITED: Final = 1 << 20
"""Longer than any text a model takes; tokenizers without a limit of their own name astronomic numbers."""


@dataclass(frozen=True, eq=False)
class SentenceTransformerModel:
    """A SentenceTransformer on one device."""

    model: Any
    """sentence_transformers.SentenceTransformer."""
    max_length: int
    """Tokens seen of a text, prompt and special tokens included."""
    positions: int | None
    """Tokens the transformer has positions for; None where there is no limit."""

    @classmethod
    def load(cls, source: LocalModel, *, precision: str, device: str, max_length: int | None) -> Self:
        """Load the model that stands in a folder.

        Args:
            source: the model's files.
            precision: fp32 or bf16.
            device: cpu, or one GPU.
            max_length: tokens seen of a text; the model's own limit by default.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ModelRefused: sentence-transformers cannot load it.
        """
        torch = require("torch", needed_by="the embedding")
        library = require("sentence_transformers", needed_by=f"{source.name}, {NEEDED_BY},")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        check_module_weights(source.folder, source.name)
        with view(source) as folder, quiet(), refusing(source.name, "be loaded by sentence-transformers", fix=FIX):
            model = library.SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": dtype, "use_safetensors": True},
            )
            model.eval()
            return cls._fitted(model, max_length)

    @classmethod
    def _fitted(cls, model: Any, max_length: int | None) -> Self:
        """A loaded model with the limits of its texts."""
        positions = getattr(getattr(model[0], "config", None), "max_position_embeddings", None)
        limit = min(max_length or UNLIMITED, model.max_seq_length or UNLIMITED)
        if isinstance(positions, int):
            # Padded rows keep a token of padding.
            limit = min(limit, positions - 1)
        if model.tokenizer is not None and hasattr(model.tokenizer, "split_special_tokens"):
            # Control tokens spelled out in a text are read as text.
            model.tokenizer.split_special_tokens = True
            model.max_seq_length = limit
        return cls(model, limit, positions if isinstance(positions, int) else None)

    def to(self, device: str) -> Self:
        """The model once more on another device."""
        return type(self)(copy.deepcopy(self.model).to(device), self.max_length, self.positions)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.model.get_embedding_dimension())

    @property
    def steps(self) -> str:
        """The classes of its modules, for the fingerprint."""
        return ", ".join(type(module).__name__ for module in self.model)

    @cached_property
    def batched(self) -> bool:
        """Whether its transformer takes batches of token ids; otherwise it runs text by text."""
        first = self.model[0]
        if type(first).__name__ != "Transformer" or "text" not in getattr(first, "modalities", ["text"]):
            return False
        types = self._sample.get("token_type_ids")
        return "input_ids" in self._sample and (types is None or not bool(types.any()))

    @cached_property
    def _sample(self) -> dict[str, Any]:
        features: dict[str, Any] = self.model.preprocess(["a"], prompt=self.prompt)
        return features

    @property
    def prompt(self) -> str | None:
        """What the model wants before every text."""
        name = self.model.default_prompt_name
        return self.model.prompts.get(name) if name else None

    @property
    def pad_id(self) -> int:
        """The token that fills rows up."""
        pad = getattr(self.model.tokenizer, "pad_token_id", None)
        return pad if isinstance(pad, int) else 0

    def layout(self, tokens: int) -> runner.Padded:
        """Batches of about so many tokens."""
        return runner.Padded(tokens, limit=self.positions)

    def tokenize(self, texts: Sequence[str]) -> runner.Ragged:
        """The token ids the model sees of each text, and where something was cut off."""
        rows, cut = [], np.zeros(len(texts), dtype=bool)
        with refusing("The tokenizer of the encoder", "be used", fix="Fetch the model again, or use another one."):
            for number, text in enumerate(texts):
                ids = self.model.preprocess([text], prompt=self.prompt)["input_ids"][0].tolist()
                if len(ids) >= self.max_length:
                    uncut = self.model.tokenizer((self.prompt or "") + text, truncation=False, verbose=False)["input_ids"]
                    cut[number] = len(uncut) > len(ids)
                rows.append(ids or [self.pad_id])
        ragged = runner.Ragged.of(rows)
        return runner.Ragged(ragged.ids, ragged.offsets, cut)

    def forward(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], n_rows: int) -> NDArray[np.float32]:
        """(n_rows, dimension) at unit norm: the first rows of a padded batch; the others are dummies."""
        torch = require("torch", needed_by="the embedding")
        sample = self._sample
        device = self.model.device
        features = {key: value for key, value in sample.items() if not hasattr(value, "shape")}
        features["input_ids"] = torch.from_numpy(ids).to(device)
        features["attention_mask"] = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(device)
        if "token_type_ids" in sample:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        first, *others = list(self.model)
        vectors = []
        with torch.inference_mode():
            features = first(features)
            for row in range(n_rows):
                # One row at a time: a matrix product of a few columns rounds by its number of rows.
                one = {key: value[row : row + 1] if _is_batch(value, ids.shape[0]) else value for key, value in features.items()}
                for module in others:
                    one = module(one)
                vectors.append(one["sentence_embedding"].float())
            unit: NDArray[np.float32] = torch.cat([torch.nn.functional.normalize(vector) for vector in vectors]).cpu().numpy()
        return unit

    def one_by_one(self, texts: Sequence[str], progress: runner.Progress | None = None) -> NDArray[np.float32]:
        """(n, dimension) at unit norm, each text alone."""
        torch = require("torch", needed_by="the embedding")
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for number, text in enumerate(texts):
            vector = self.model.encode([text], show_progress_bar=False, convert_to_tensor=True).float()
            vectors[number] = torch.nn.functional.normalize(vector)[0].cpu().numpy()
            if progress is not None:
                progress(number + 1, len(texts))
        return vectors


def _is_batch(value: Any, rows: int) -> bool:
    return hasattr(value, "shape") and len(value.shape) > 0 and int(value.shape[0]) == rows


__all__ = ["SentenceTransformerModel"]
