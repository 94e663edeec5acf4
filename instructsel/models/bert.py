"""BERT's forward pass over packed rows: no padding is computed, and no class of transformers is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models.foreign import refusing
from instructsel.models.load import LocalModel
from instructsel.models.view import check_unchanged
from instructsel.models.weights import read_tensors

ATTENTION: Final = "encoder.layer.{}.attention."
LAYER: Final = "encoder.layer.{}."


@dataclass(frozen=True, eq=False)
class _Layer:
    """The weights of one layer; query, key and value as one matrix."""

    qkv: tuple[Any, Any]
    mixed: tuple[Any, Any]
    mixed_norm: tuple[Any, Any]
    up: tuple[Any, Any]
    down: tuple[Any, Any]
    down_norm: tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class PackedBert:
    """A BERT-type encoder. Rows stand one behind the other, each attends to itself alone; rows of one length attend in one call.

    Equal to transformers' BertModel within rounding; how fast is in benchmarks/results/embedding.json.

    Source: Devlin et al. 2019, arXiv:1810.04805; weights as transformers names them.
    """

    words: Any
    positions: Any
    """(max_position_embeddings, hidden), the type embedding of a single text added."""
    second: Any
    """(hidden,), what the type embedding of a pair's second text has more than that of the first."""
    norm: tuple[Any, Any]
    layers: tuple[_Layer, ...]
    heads: int
    epsilon: float

    @staticmethod
    def fits(config: dict[str, Any]) -> bool:
        """Whether a model's configuration describes what this class computes."""
        return (
            config.get("model_type") == "bert"
            and config.get("hidden_act") == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder", False)
            and isinstance(config.get("num_attention_heads"), int)
            and isinstance(config.get("num_hidden_layers"), int)
        )

    @classmethod
    def load(cls, source: LocalModel, *, precision: str, changes: Mapping[str, Any] | None = None) -> Self:
        """Read the weights.

        Args:
            source: the model's files.
            precision: fp32 or bf16.
            changes: what is added to weights, float32 tensors under the names the file has them.

        Raises:
            ModelRefused: a weight is missing.
        """
        torch = require("torch", needed_by="the embedding")
        safetensors = require("safetensors.torch", needed_by="the embedding")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        read_tensors(source.weights, source.name)
        state: dict[str, Any] = {}
        with refusing(source.name, "be read", fix="Fetch the model again."):
            for path in source.weights:
                state |= safetensors.load_file(str(path))
        check_unchanged(source)

        def weight(*names: str) -> Any:
            # A checkpoint with a head has the encoder's weights under "bert.".
            keys = [name if name in state else f"bert.{name}" for name in names]
            if missing := [name for name, key in zip(names, keys, strict=True) if key not in state]:
                raise ModelRefused(f"{source.name} has no weight {missing[0]}.", fix="Fetch the whole model.")
            return torch.cat([changed(key).to(dtype) for key in keys]).contiguous()

        def changed(key: str) -> Any:
            return state[key] + changes[key] if changes and key in changes else state[key]

        def pair(*names: str) -> tuple[Any, Any]:
            return weight(*(f"{name}.weight" for name in names)), weight(*(f"{name}.bias" for name in names))

        config = source.config
        types = weight("embeddings.token_type_embeddings.weight")
        layers: list[_Layer] = []
        for number in range(config["num_hidden_layers"]):
            layer, attention = LAYER.format(number), ATTENTION.format(number)
            layers.append(
                _Layer(
                    qkv=pair(attention + "self.query", attention + "self.key", attention + "self.value"),
                    mixed=pair(attention + "output.dense"),
                    mixed_norm=pair(attention + "output.LayerNorm"),
                    up=pair(layer + "intermediate.dense"),
                    down=pair(layer + "output.dense"),
                    down_norm=pair(layer + "output.LayerNorm"),
                )
            )
        return cls(
            weight("embeddings.word_embeddings.weight"),
            weight("embeddings.position_embeddings.weight") + types[0],
            types[1] - types[0] if len(types) > 1 else torch.zeros_like(types[0]),
            pair("embeddings.LayerNorm"),
            tuple(layers),
            config["num_attention_heads"],
            float(config.get("layer_norm_eps", 1e-12)),
        )

    @property
    def dimension(self) -> int:
        """Width of the hidden state."""
        return int(self.words.shape[1])

    def hidden(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], starts: NDArray[np.int64] | None = None) -> list[Any]:
        """The last hidden states.

        Args:
            ids: int64 (slots,), the tokens of one row after the other; slots left over at the end hold any token.
            lengths: int64 (b,), of each row; rows of one length stand together.
            starts: int64 (b,), where in each row a second text begins; single texts without.

        Returns:
            Tensors (rows of one length, length, hidden), in the order of the rows.
        """
        torch = require("torch", needed_by="the embedding")
        functional = torch.nn.functional
        slots, width = len(ids), self.dimension
        groups = _groups(lengths)
        where = torch.zeros(slots, dtype=torch.int64)
        where[: int(lengths.sum())] = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths.tolist()]))
        state = functional.embedding(torch.from_numpy(ids), self.words).add_(functional.embedding(where, self.positions))
        if starts is not None:
            of_row = np.repeat(starts, lengths)
            inside = where[: len(of_row)] >= torch.from_numpy(of_row)
            state[: len(of_row)] += inside[:, None] * self.second
        state = functional.layer_norm(state, (width,), *self.norm, self.epsilon)
        mixed = torch.zeros_like(state)
        for layer in self.layers:
            qkv = functional.linear(state, *layer.qkv)
            for start, rows, length in groups:
                stop = start + rows * length
                query, key, value = qkv[start:stop].view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
                attended = functional.scaled_dot_product_attention(query, key, value)
                mixed[start:stop] = attended.transpose(1, 2).reshape(-1, width)
            state = functional.layer_norm(functional.linear(mixed, *layer.mixed).add_(state), (width,), *layer.mixed_norm, self.epsilon)
            wide = functional.gelu(functional.linear(state, *layer.up))
            state = functional.layer_norm(functional.linear(wide, *layer.down).add_(state), (width,), *layer.down_norm, self.epsilon)
        return [state[start : start + rows * length].view(rows, length, width) for start, rows, length in groups]


def _groups(lengths: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(first slot, rows, length) of each run of rows of one length."""
    cuts = np.flatnonzero(np.diff(lengths)) + 1
    groups: list[tuple[int, int, int]] = []
    start = 0
    for part in np.split(lengths, cuts):
        groups.append((start, len(part), int(part[0])))
        start += int(part.sum())
    return groups
