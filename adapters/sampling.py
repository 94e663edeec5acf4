"""The order of training examples: sequences drawn by a seed, packed or batched by length."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from instructsel.adapters.recipe import Recipe

if TYPE_CHECKING:
    pass

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

    >>> from instructsel.adapters.recipe import recipe
    >>> len(sequence([5, 5, 5], recipe("tiny", epochs=2), 0))
    6
    """
    n = len(lengths)
    wanted = (
        recipe.steps * recipe.batch_size if recipe.steps is not None else round((recipe.epochs or 0) * n) if recipe.tokens is None else None
    )
    order: list[int] = []
    seen, turn = 0, 0
    while n and (len(order) < wanted if wanted is not None else seen < (recipe.tokens or 0)):
        once = list(range(n))
        drawn = random.Random(f"instructsel order {seed} {turn}")
        drawn.shuffle(once)
        if wanted is not None:
            once = once[: wanted - len(order)]
        else:
            part: list[int] = []
            for at in once:
                if seen >= (recipe.tokens or 0):
                    break
                part.append(at)
                seen += lengths[at]
            once = part
        # The first rows fill the batch that the last pass left short, so that the others come in batches of their own.
        short = -len(order) % recipe.batch_size
        order += [*once[:short], *_by_length(once[short:], lengths, recipe.batch_size, drawn)] if recipe.group_by_length else once
        turn += 1
    return order


def packs(lengths: Sequence[int], recipe: Recipe, seed: int) -> list[list[int]]:
    """The rows of a fine-tune with packing: those that share a sequence, in the order the sequences are seen.

    Each pass is packed by itself, the longest row first and each into the fullest sequence it fits, and its sequences come in
    random order. Epochs and tokens count rows, as without packing; a step is `batch` sequences.

    Args:
        lengths: tokens of each row, none above the recipe's `max_length`.
        recipe: how long it lasts, and how long a sequence is.
        seed: of the order.

    >>> from instructsel.adapters.recipe import recipe
    >>> sorted(packs([5, 3, 2], recipe("tiny", epochs=1, packing=True, max_length=5), 0))
    [[0], [1, 2]]
    """
    n = len(lengths)
    if not n:
        return []
    wanted = None if recipe.steps is None else recipe.steps * recipe.batch_size
    if wanted is not None:
        # How many sequences a whole pass fills does not depend on its order.
        each = len(_fitted(range(n), lengths, recipe.max_length))
        recipe = replace(recipe, steps=None, epochs=math.ceil(wanted / each))
    order = sequence(lengths, replace(recipe, group_by_length=False), seed)
    made: list[list[int]] = []
    for turn, start in enumerate(range(0, len(order), n)):
        once = _fitted(order[start : start + n], lengths, recipe.max_length)
        random.Random(f"instructsel packing {seed} {turn}").shuffle(once)
        made += once
    return made[:wanted]


def _fitted(rows: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Rows in sequences of at most so many tokens: best fit, the longest first."""
    made: list[list[int]] = []
    # What is left in each sequence that is not full, the fullest first.
    left: list[tuple[int, int]] = []
    for at in sorted(rows, key=lambda at: -lengths[at]):
        place = bisect.bisect_left(left, (lengths[at], 0))
        free, number = left.pop(place) if place < len(left) else (room, len(made))
        if number == len(made):
            made.append([])
        made[number].append(at)
        if free > lengths[at]:
            bisect.insort(left, (free - lengths[at], number))
    return made


def _by_length(rows: Sequence[int], lengths: Sequence[int], batch: int, drawn: random.Random) -> list[int]:
    """Rows sorted by length among so many batches, the batches in random order; the last, which may be short, stays last."""
    whole: list[list[int]] = []
    for start in range(0, len(rows), WINDOW * batch):
        part = sorted(rows[start : start + WINDOW * batch], key=lambda at: (-lengths[at], at))
        whole += [part[begin : begin + batch] for begin in range(0, len(part), batch)]
    short = [each for each in whole if len(each) < batch]
    full = [each for each in whole if len(each) == batch]
    drawn.shuffle(full)
    return [at for each in [*full, *short] for at in each]
