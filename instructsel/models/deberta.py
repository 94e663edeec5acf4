"""DeBERTa's disentangled attention over packed rows.

transformers' DeBERTa computes, for every batch and layer, the projections of 512 relative positions that depend on nothing
but the weights, and gathers from them by index. Here they are computed once a model, and a row's part is a view: the score of
query i and key j depends on i − j alone, so a table with a column for each distance, read with a stride one longer, is the
matrix. Same formula; the leak probe holds it to transformers' own.

Source: He et al. 2021, DeBERTa, arXiv:2006.03654, eq. 4.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsel.extras import require
from instructsel.models import packing


def fits(model: Any) -> bool:
    """Whether a model's attention is DeBERTa-v2's."""
    return type(model).__name__ == "DebertaV2Model"


def pack(model: Any) -> None:
    """Replace the attention of every layer; `unpack` takes it back."""
    encoder = model.encoder
    positions = encoder.get_rel_embedding()
    for layer in encoder.layer:
        attention = layer.attention.self
        attention.forward = functools.partial(_attend, attention, _Positions.of(attention, positions))


def unpack(model: Any) -> None:
    """transformers' own attention again."""
    for layer in model.encoder.layer:
        layer.attention.self.__dict__.pop("forward", None)


def states(model: Any, ids: NDArray[np.int64], boundaries: packing.Boundaries, *, device: str, segments: NDArray[np.int64] | None) -> Any:
    """The last hidden states, (slots, hidden)."""
    torch = require("torch", needed_by="the reward")
    positions = torch.from_numpy(boundaries.positions(len(ids)))[None].to(device)
    kinds = None if segments is None else torch.from_numpy(segments)[None].to(device)
    embedded = model.embeddings(input_ids=torch.from_numpy(ids)[None].to(device), token_type_ids=kinds, position_ids=positions)
    with packing.bounded(boundaries):
        for layer in model.encoder.layer:
            # Mask and relative positions are the attention's own business here.
            embedded = layer(embedded, None)[0]
    return embedded[0]


@dataclass(frozen=True, eq=False)
class _Positions:
    """The projections of the relative positions of one layer."""

    keys: Any
    """(heads, 2 · span, d), for content to position; None where the model has none."""
    queries: Any
    """(heads, 2 · span, d), for position to content, scaled; None where the model has none."""
    span: int
    scale: float

    @classmethod
    def of(cls, attention: Any, positions: Any) -> _Positions:
        torch = require("torch", needed_by="the reward")
        kinds = [kind for kind in ("c2p", "p2c") if kind in attention.pos_att_type]
        scale = (attention.attention_head_size * (1 + len(kinds))) ** 0.5
        if not attention.relative_attention or positions is None:
            return cls(None, None, 0, scale)
        span = attention.pos_ebd_size
        with torch.inference_mode():
            embeddings = positions[: 2 * span]
            names = ("key_proj", "query_proj") if attention.share_att_key else ("pos_key_proj", "pos_query_proj")
            projected = [
                getattr(attention, name)(embeddings).unflatten(-1, (attention.num_attention_heads, -1)).transpose(0, 1).contiguous()
                if kind in kinds
                else None
                for name, kind in zip(names, ("c2p", "p2c"), strict=True)
            ]
        return cls(projected[0], None if projected[1] is None else projected[1] / scale, span, scale)


def _attend(attention: Any, positions: _Positions, hidden: Any, *_: Any, **__: Any) -> tuple[Any, None]:
    """hidden (1, slots, h) → (1, slots, h)."""
    torch = require("torch", needed_by="the reward")
    heads = attention.num_attention_heads
    all_queries, all_keys, value = (getattr(attention, name)(hidden)[0] for name in ("query_proj", "key_proj", "value_proj"))
    attended = torch.zeros_like(all_queries)
    for start, rows, length in packing.now().groups:
        stop = start + rows * length
        query, key, values = (states[start:stop].view(rows, length, heads, -1).transpose(1, 2) for states in (all_queries, all_keys, value))
        # Scaled before the product: a row's scores outnumber its queries.
        query = query / positions.scale
        scores = query @ key.transpose(-1, -2)
        distances = torch.arange(1 - length, length, device=hidden.device)
        if positions.keys is not None:
            scores += _skewed(query @ _table(attention, positions.keys, positions.span, -distances).transpose(-1, -2), length)
        if positions.queries is not None:
            scores += _skewed(key @ _table(attention, positions.queries, positions.span, distances).transpose(-1, -2), length).transpose(
                -1, -2
            )
        weights = scores.softmax(-1)
        attended[start:stop] = (weights @ values).transpose(1, 2).reshape(rows * length, -1)
    return attended[None], None


def _table(attention: Any, projections: Any, span: int, distances: Any) -> Any:
    """The projection of each distance, (heads, distances, d)."""
    modeling = require("transformers.models.deberta_v2.modeling_deberta_v2", needed_by="the reward")
    buckets = distances
    if attention.position_buckets > 0 and attention.max_relative_positions > 0:
        buckets = modeling.make_log_bucket_position(distances, attention.position_buckets, attention.max_relative_positions)
    return projections[:, (buckets.long() + span).clamp(0, 2 * span - 1)]


def _skewed(table: Any, length: int) -> Any:
    """(rows, heads, length, 2 · length − 1), a column for each j − i from 1 − length on → (rows, heads, length, length) by j."""
    rows, heads = table.shape[:2]
    wide = 2 * length - 1
    table = table.contiguous()
    return table.as_strided(
        (rows, heads, length, length), (heads * length * wide, length * wide, wide - 1, 1), table.storage_offset() + length - 1
    )
