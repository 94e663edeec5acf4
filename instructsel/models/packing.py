"""Rows one behind the other through transformers' own models: attention that keeps each row to itself.

transformers lets a model's attention be any function (`AttentionInterface`). The one here is told where rows begin and end
and computes each row's attention alone: on a CPU rows of one length in one call, on a GPU all rows in one call of torch's
variable-length attention. Whether a model can be packed is found out by trying (`leaks`): an architecture that carries state
from token to token by other means (state spaces, linear attention, convolutions) gives itself away and is padded instead.

Source: boundary arguments as transformers documents for padding-free batches; torch.nn.attention.varlen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.extras import require

NAME: Final = "instructsel_packed"
"""The name the attention goes by in a model's configuration."""


@dataclass(frozen=True)
class Boundaries:
    """Where the rows of a batch begin and end."""

    lengths: NDArray[np.int64]
    """(b,), rows of one length together."""
    single: bool = False
    """Whether the queries are one token a row (the first step of a decoder) and the keys whole rows."""

    @property
    def groups(self) -> list[tuple[int, int, int]]:
        """(first slot, rows, length) of each run of rows of one length."""
        cuts = np.flatnonzero(np.diff(self.lengths)) + 1
        groups: list[tuple[int, int, int]] = []
        start = 0
        for part in np.split(self.lengths, cuts):
            if len(part):
                groups.append((start, len(part), int(part[0])))
                start += int(part.sum())
        return groups

    def positions(self, slots: int) -> NDArray[np.int64]:
        """(slots,), each token's place in its row; 0 behind the last row."""
        places = np.zeros(slots, dtype=np.int64)
        total = int(self.lengths.sum())
        places[:total] = np.arange(total) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        return places

    @property
    def last(self) -> NDArray[np.int64]:
        """(b,), the slot of each row's last token."""
        return np.cumsum(self.lengths) - 1

    @property
    def first(self) -> NDArray[np.int64]:
        """(b,), the slot of each row's first token."""
        slots: NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        return slots


_NOW = threading.local()


@contextmanager
def bounded(boundaries: Boundaries) -> Iterator[None]:
    """Attention in this block and this thread keeps to these boundaries."""
    before = getattr(_NOW, "boundaries", None)
    _NOW.boundaries = boundaries
    try:
        yield
    finally:
        _NOW.boundaries = before


def now() -> Boundaries:
    """The boundaries of this thread's batch.

    Raises:
        RuntimeError: packed attention was called outside of `bounded`.
    """
    boundaries = getattr(_NOW, "boundaries", None)
    if not isinstance(boundaries, Boundaries):
        raise RuntimeError("Packed attention needs the rows' boundaries.")
    return boundaries


@cache
def register() -> str:
    """Make the attention known to transformers.

    Returns:
        The name to ask for.
    """
    transformers = require("transformers", needed_by="packed attention")
    transformers.AttentionInterface.register(NAME, _attention)
    return NAME


def _attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    position_bias: Any = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """query (1, heads, slots, d), key and value (1, heads or groups of them, slots, d) → (1, slots, heads, d)."""
    unknown = [name for name in ("softcap", "s_aux", "head_mask") if others.get(name) is not None]
    if unknown:
        raise NotImplementedError(f"Packed attention has no {', '.join(unknown)}.")
    causal = bool(is_causal if is_causal is not None else getattr(module, "is_causal", True))
    boundaries = now()
    if query.is_cuda and position_bias is None and not boundaries.single and query.dtype != require("torch", needed_by="packing").float32:
        return _on_gpu(query, key, value, boundaries, scaling, causal, sliding_window), None
    torch = require("torch", needed_by="packing")
    repeats = query.shape[1] // key.shape[1]
    queries, keys, values = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)
    if repeats > 1:
        keys, values = keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)
    attended = torch.zeros_like(queries, memory_format=torch.contiguous_format)
    crossed = keys.shape[0] != queries.shape[0]
    for first, one, start, long, rows in _spans(boundaries, queries.shape[0], crossed=crossed):
        group_queries = queries[first : first + rows * one].unflatten(0, (rows, one)).transpose(1, 2)
        group_keys, group_values = (
            states[start : start + rows * long].unflatten(0, (rows, long)).transpose(1, 2) for states in (keys, values)
        )
        bias = _bias(torch, position_bias, one, long, causal and not crossed, sliding_window, group_queries)
        taken = torch.nn.functional.scaled_dot_product_attention(
            group_queries, group_keys, group_values, attn_mask=bias, is_causal=causal and one > 1 and bias is None, scale=scaling
        )
        attended[first : first + rows * one] = taken.transpose(1, 2).flatten(0, 1)
    return attended[None], None


def _spans(boundaries: Boundaries, queries: int, *, crossed: bool) -> list[tuple[int, int, int, int, int]]:
    """(first query, queries of a row, first key, keys of a row, rows) of each run of rows of one length."""
    if not boundaries.single:
        return [(start, length, start, length, rows) for start, rows, length in boundaries.groups]
    if not crossed:
        return [(0, 1, 0, 1, queries)]
    done = np.cumsum([0, *(rows for _, rows, _ in boundaries.groups)]).tolist()
    return [(first, 1, start, length, rows) for first, (start, rows, length) in zip(done, boundaries.groups, strict=False)]


def _bias(torch: Any, bias: Any, queries: int, keys: int, causal: bool, window: int | None, like: Any) -> Any:
    """What is added to the scores of a row; None where nothing is but causality."""
    windowed = window is not None and keys > window
    if bias is None and not windowed:
        return None
    added = bias[:, :, :queries, :keys] if bias is not None else torch.zeros((1, 1, queries, keys), dtype=like.dtype, device=like.device)
    if causal:
        distance = torch.arange(queries, device=like.device)[:, None] - torch.arange(keys, device=like.device)[None]
        hidden = (distance < 0) | (distance >= window if windowed else torch.zeros_like(distance, dtype=torch.bool))
        added = added.masked_fill(hidden, float("-inf"))
    return added


def _on_gpu(query: Any, key: Any, value: Any, boundaries: Boundaries, scaling: float | None, causal: bool, window: int | None) -> Any:
    torch = require("torch", needed_by="packing")
    varlen = require("torch.nn.attention.varlen", needed_by="packing")
    slots = query.shape[2]
    # The slots behind the last row are a row of their own: a batch's kernels then have one shape.
    spare = slots - int(boundaries.lengths.sum())
    lengths = np.append(boundaries.lengths, spare) if spare else boundaries.lengths
    cuts = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)).to(query.device)
    longest = int(lengths.max())
    attended = varlen.varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1).contiguous(),
        value[0].transpose(0, 1).contiguous(),
        cuts,
        cuts,
        longest,
        longest,
        scale=scaling,
        window_size=((window - 1) if window else -1, 0) if causal else (-1, -1),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attended[None]


def packed_states(model: Any, ids: NDArray[np.int64], boundaries: Boundaries, *, device: str, **inputs: Any) -> Any:
    """The last hidden states of a packed batch, (slots, hidden), through a model whose attention is the one here."""
    torch = require("torch", needed_by="packing")
    positions = torch.from_numpy(boundaries.positions(len(ids)))[None].to(device)
    with bounded(boundaries):
        return model(input_ids=torch.from_numpy(ids)[None].to(device), position_ids=positions, **inputs).last_hidden_state[0]


PROBE: Final = (17, 5, 31, 9)
"""Lengths of the rows of a leak probe."""


def leaks(states: Any, vocabulary: int, reference: Any, *, tolerance: float) -> str | None:
    """Whether packing changes a row: what is wrong, or None.

    Args:
        states: ids (slots,), lengths (b,) → one number a row, (b,), packed.
        vocabulary: ids are drawn below it.
        reference: ids (length,) → the number of a row alone, plain transformers.
        tolerance: how far a packed row may be from the reference.
    """
    drawn = np.random.default_rng(20260101)
    rows = [drawn.integers(0, vocabulary, length) for length in PROBE]
    others = [drawn.integers(0, vocabulary, length) for length in PROBE]
    rows.sort(key=len, reverse=True)
    others.sort(key=len, reverse=True)
    mixed = [row if number == 2 else other for number, (row, other) in enumerate(zip(rows, others, strict=True))]
    try:
        packed, beside = (_packed_values(states, batch) for batch in (rows, mixed))
        alone = np.array([reference(row) for row in rows])
    except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else 'no message'}"
    if not np.isfinite(packed).all() or not np.isfinite(alone).all():
        return "not finite"
    if (worst := float(np.abs(packed - alone).max())) > tolerance:
        return f"a packed row differs from the row alone by {worst:.2g}"
    if (moved := float(abs(packed[2] - beside[2]))) > tolerance:
        return f"other neighbors change a row by {moved:.2g}"
    return None


def _packed_values(states: Any, rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.zeros(max(64, -(-int(lengths.sum()) // 64) * 64), dtype=np.int64)
    ids[: lengths.sum()] = np.concatenate(rows)
    return np.asarray(states(ids, lengths), dtype=np.float64)
