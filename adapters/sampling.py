"""The order of training examples: drawn by a seed, packed into sequences or batched by length."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from instructsel.adapters.recipes import Recipe

WINDOW: Final = 50
"""Batches among which rows are sorted by length."""


def sequence(lengths: Sequence[int], recipe: Recipe, seed: int) -> list[int]:
    """The rows of a fine-tune in the order they are seen.

    Each pass goes through all rows in an order of its own, drawn from the seed; a last pass may be a part. Epochs are exact to a row,
    steps to a batch, tokens to the row that reaches them.

    Args:
        lengths: tokens of each row.
        recipe: how long it lasts, and whether like lengths are batched together.
        seed: of the order.

    >>> from instructsel.adapters.recipes import recipe
    >>> len(sequence([5, 5, 5], recipe("tiny", epochs=2), 0))
    6
    """
    n = len(lengths)
    count = _row_count(recipe, n)
    budget = recipe.tokens or 0
    order: list[int] = []
    tokens, epoch = 0, 0
    while n and (len(order) < count if count is not None else tokens < budget):
        rows = list(range(n))
        generator = random.Random(f"instructsel order {seed} {epoch}")
        generator.shuffle(rows)
        if count is not None:
            rows = rows[: count - len(order)]
        else:
            n_rows = 0
            while n_rows < n and tokens < budget:
                tokens += lengths[rows[n_rows]]
                n_rows += 1
            rows = rows[:n_rows]
        if recipe.group_by_length:
            # The first rows fill the batch that the last pass left short, so that the others come in batches of their own.
            short = -len(order) % recipe.batch_size
            rows = [*rows[:short], *_by_length(rows[short:], lengths, recipe.batch_size, generator)]
        order += rows
        epoch += 1
    return order


def _row_count(recipe: Recipe, n: int) -> int | None:
    """The rows of a fine-tune on n of them; None where tokens decide."""
    if recipe.steps is not None:
        return recipe.steps * recipe.batch_size
    return round((recipe.epochs or 0) * n) if recipe.tokens is None else None


def packs(lengths: Sequence[int], recipe: Recipe, seed: int) -> list[list[int]]:
    """The rows of a fine-tune with packing: those that share a sequence, in the order the sequences are seen.

    Each pass is packed by itself, the longest row first and each into the fullest sequence it fits, and its sequences come in
    random order. Epochs and tokens count rows, as without packing; a step is `batch_size` sequences.

    Args:
        lengths: tokens of each row, none above the recipe's `max_length`.
        recipe: how long it lasts, and how long a sequence is.
        seed: of the order.

    >>> from instructsel.adapters.recipes import recipe
    >>> sorted(packs([5, 3, 2], recipe("tiny", epochs=1, packing=True, max_length=5), 0))
    [[0], [1, 2]]
    """
    n = len(lengths)
    if not n:
        return []
    limit = None if recipe.steps is None else recipe.steps * recipe.batch_size
    if limit is not None:
        # How many sequences an epoch fills does not depend on its order.
        per_epoch = len(_fitted(range(n), lengths, recipe.max_length))
        recipe = replace(recipe, steps=None, epochs=math.ceil(limit / per_epoch))
    order = sequence(lengths, replace(recipe, group_by_length=False), seed)
    sequences: list[list[int]] = []
    for epoch, start in enumerate(range(0, len(order), n)):
        packed = _fitted(order[start : start + n], lengths, recipe.max_length)
        random.Random(f"instructsel packing {seed} {epoch}").shuffle(packed)
        sequences += packed
    return sequences[:limit]


def _fitted(rows: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Rows in sequences of at most `room` tokens: best fit, the longest first."""
    sequences: list[list[int]] = []
    # (room left, number) of each sequence that is not full, the fullest first.
    open_sequences: list[tuple[int, int]] = []
    for row in sorted(rows, key=lambda row: -lengths[row]):
        place = bisect.bisect_left(open_sequences, (lengths[row], 0))
        free, number = open_sequences.pop(place) if place < len(open_sequences) else (room, len(sequences))
        if number == len(sequences):
            sequences.append([])
        sequences[number].append(row)
        if free > lengths[row]:
            bisect.insort(open_sequences, (free - lengths[row], number))
    return sequences


def _by_length(rows: Sequence[int], lengths: Sequence[int], batch_size: int, generator: random.Random) -> list[int]:
    """Rows sorted by length among WINDOW batches, the batches in random order; the last, which may be short, stays last."""
    batches: list[list[int]] = []
    for start in range(0, len(rows), WINDOW * batch_size):
        window = sorted(rows[start : start + WINDOW * batch_size], key=lambda row: (-lengths[row], row))
        batches += [window[begin : begin + batch_size] for begin in range(0, len(window), batch_size)]
    short = [batch for batch in batches if len(batch) < batch_size]
    full = [batch for batch in batches if len(batch) == batch_size]
    generator.shuffle(full)
    return [row for batch in [*full, *short] for row in batch]


__all__ = ["packs", "sequence"]
