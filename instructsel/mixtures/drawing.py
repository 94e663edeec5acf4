"""How many rows of each source, and which: drawn by what they say and the seed, never by where they stand.

Each example has a place that the hash of its id and the seed gives it; the first of a source's are taken. More than there are is whole
repeats and the first of them once more. The rows of the mixture are in the order of the hash of source, id, repeat and seed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import NothingToDo, UsageError
from instructsel.mixtures.opening import Opened
from instructsel.mixtures.recipe import ALL, EXACT, NEAR, ROWS, SHARE, TIMES, TOKENS, MixtureRecipe, MixtureSource
from instructsel.neighbors.duplicates import near_duplicates
from instructsel.neighbors.shingles import Shingles
from instructsel.pool.pool import Pool

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]
KEY: Final = 8
"""Bytes of a place."""


@dataclass(frozen=True, eq=False)
class Draw:
    """What is taken of a source."""

    opened: Opened
    n_duplicates: int
    """Examples that are left out because an earlier source has them."""
    positions: Positions
    """(n,), the examples in the pool, in the order of their places; those that repeat stand here again."""
    copies: Positions
    """(n,), 0 for the first time that an example stands here."""

    @property
    def source(self) -> MixtureSource:
        """The recipe's."""
        return self.opened.source

    @property
    def pool(self) -> Pool:
        """Its examples."""
        return self.opened.pool

    def account(self) -> dict[str, Any]:
        """Every row and every example; see `shape.AccountShape`."""
        report = self.opened.report
        drawn = int((self.copies == 0).sum())
        return {
            "read": report.read,
            "kept": report.kept,
            "dropped": dict(report.dropped),
            "quarantined": dict(report.quarantined),
            "examples": len(self.pool),
            "duplicates": self.n_duplicates,
            "sampled_out": len(self.pool) - self.n_duplicates - drawn,
            "drawn": drawn,
            "repeated": len(self.positions) - drawn,
            "written": len(self.positions),
        }


def draws(
    recipe: MixtureRecipe, sources: Sequence[Opened], tokens: Sequence[NDArray[np.int64] | None], repeated: Sequence[Mask]
) -> list[Draw]:
    """What is taken of each source.

    Args:
        recipe: how much of each.
        sources: that were read.
        tokens: of each source the tokens of its examples, where the recipe asks for tokens.
        repeated: of each source the examples that an earlier one has.

    Raises:
        UsageError: more is asked of a source than its repeats allow.
        NothingToDo: nothing of a source fits.
    """
    orders = []
    for opened, mask in zip(sources, repeated, strict=True):
        left = np.flatnonzero(~mask)
        if not len(left):
            raise NothingToDo(f"No row of {opened.source.label} is left: earlier sources have all of them.", fix="Leave the source out.")
        orders.append(left[np.argsort(places(opened.pool, recipe.seed)[left], kind="stable")])
    targets = _targets(recipe, orders, tokens)
    drawn = []
    for opened, mask, order, of_tokens, (unit, size) in zip(sources, repeated, orders, tokens, targets, strict=True):
        source = opened.source
        if unit == TOKENS:
            assert of_tokens is not None
            positions, copies = _by_tokens(order, of_tokens, int(size))
        else:
            positions, copies = _by_rows(order, int(size))
        _check_repeats(source, unit, int(size), len(order), int(of_tokens[order].sum()) if of_tokens is not None else 0, copies)
        if not len(positions):
            raise NothingToDo(
                f"Nothing of {source.label} is taken: {int(size):,} {unit} make no row of it.", fix="Ask for more, or leave the source out."
            )
        drawn.append(Draw(opened, int(mask.sum()), positions, copies))
    return drawn


def places(pool: Pool, seed: int) -> NDArray[np.uint64]:
    """(n,), the place of each example: a hash of its id and the seed."""
    keys, start = bytearray(), hashlib.blake2b(f"draw {seed}\n".encode(), digest_size=KEY)
    for name in _names(pool):
        digest = start.copy()
        digest.update(name)
        keys += digest.digest()
    return np.frombuffer(bytes(keys), dtype=">u8").astype(np.uint64)


def output_order(recipe: MixtureRecipe, drawn: Sequence[Draw]) -> list[tuple[int, int, int]]:
    """The rows of the mixture as source, position in its pool, and repeat; shuffled, or source after source."""
    entries: list[tuple[bytes, int, int, int]] = []
    for number, draw in enumerate(drawn):
        names = _names(draw.pool)
        start = hashlib.blake2b(f"order {recipe.seed}\n{draw.source.label}\n".encode(), digest_size=KEY)
        for position, copy in zip(draw.positions.tolist(), draw.copies.tolist(), strict=True):
            digest = start.copy()
            digest.update(names[position] + copy.to_bytes(4))
            entries.append((digest.digest(), number, position, copy))
    entries.sort(key=(lambda entry: (entry[1], *entry)) if recipe.order == "sources" else None)
    return [entry[1:] for entry in entries]


def mixture_hash(drawn: Sequence[Draw]) -> str:
    """blake2b-128 of the rows as label, id and number of times, in the order of these: the same in whatever order rows are written."""
    lines = []
    for draw in drawn:
        ids = draw.pool.ids
        counts = Counter(draw.positions.tolist())
        lines += [f"{draw.source.label}\t{ids[position]}\t{count}\n" for position, count in counts.items()]
    digest = hashlib.blake2b(digest_size=16)
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest()


def duplicates(
    recipe: MixtureRecipe, pools: Sequence[Pool], progress: Callable[[int, int], None] | None = None
) -> tuple[list[Mask], list[dict[str, int]]]:
    """The examples of each source that an earlier one has, where the recipe leaves them out; and how many others have, by label.

    Equal are examples of one id up to the number of their copies; copies within a source are no matter here. Where the recipe asks for
    near-duplicates, examples that are similar to one of an earlier source are left out, too.
    """
    labels = [source.label for source in recipe.sources]
    sizes = [len(pool) for pool in pools]
    ends = np.cumsum([0, *sizes])
    source_of = np.repeat(np.arange(len(pools)), sizes)
    digests = np.concatenate([pool.digests for pool in pools])
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ranked = digests[order]
    group = np.zeros(len(order), dtype=np.int64)
    group[order] = np.cumsum(np.concatenate([[0], (ranked[1:] != ranked[:-1]).any(axis=1)])) if len(order) else 0
    first = np.full(int(group.max(initial=-1)) + 1, len(pools), dtype=np.int64)
    np.minimum.at(first, group, source_of)
    removed = first[group] < source_of
    shared: list[Counter[str]] = [Counter() for _ in pools]
    last = np.full_like(first, -1)
    np.maximum.at(last, group, source_of)
    in_several = np.flatnonzero((first != last)[group])
    members: dict[int, Counter[int]] = {}
    for row in in_several.tolist():
        members.setdefault(int(group[row]), Counter())[int(source_of[row])] += 1
    for counts in members.values():
        for one, other in itertools.permutations(counts, 2):
            shared[one][labels[other]] += counts[one]
    if recipe.across == NEAR:
        texts = (example.text for pool in pools for example in pool.examples())
        shingles = Shingles.of(texts, total=len(source_of))
        rows = np.flatnonzero(~removed)
        similar = near_duplicates(
            shingles, rows, recipe.threshold, accepts=lambda row, other, _: bool(source_of[row] != source_of[other]), progress=progress
        )
        for row, other in zip(rows[similar >= 0].tolist(), similar[similar >= 0].tolist(), strict=True):
            removed[row] = True
            shared[int(source_of[row])][labels[int(source_of[other])]] += 1
    elif recipe.across != EXACT:
        removed[:] = False
    masks = [removed[begin:end] for begin, end in itertools.pairwise(ends.tolist())]
    return masks, [dict(sorted(counts.items())) for counts in shared]


def _names(pool: Pool) -> list[bytes]:
    """What tells examples apart, without what their files are called: digest and occurrence."""
    digests = pool.digests.astype(">u8").tobytes()
    occurrences = pool.occurrences.astype(">u4").tobytes()
    return [digests[16 * row : 16 * row + 16] + occurrences[4 * row : 4 * row + 4] for row in range(len(pool))]


def _targets(recipe: MixtureRecipe, orders: Sequence[Positions], tokens: Sequence[NDArray[np.int64] | None]) -> list[tuple[str, float]]:
    """rows or tokens, and how many, of each source."""
    if recipe.budget is None:
        return [_own_target(source, len(order)) for source, order in zip(recipe.sources, orders, strict=True)]
    unit, size = recipe.budget
    if recipe.sources[0].amount == SHARE:
        weights = [source.value for source in recipe.sources]
    else:
        # Without shares each source has the part of the budget that it has of all sources.
        weights = [
            float(len(order) if of_tokens is None else of_tokens[order].sum()) for order, of_tokens in zip(orders, tokens, strict=True)
        ]
    return [(unit, count) for count in apportioned(size, weights)]


def _own_target(source: MixtureSource, available: int) -> tuple[str, float]:
    if source.amount == TOKENS:
        return TOKENS, source.value
    return ROWS, {ALL: available, TIMES: int(source.value * available + 0.5), ROWS: source.value}[source.amount]


def apportioned(size: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that add up to `size` and are in the proportion of the weights: the largest remainders are rounded up.

    >>> apportioned(10, [0.25, 0.25, 0.5])
    [3, 2, 5]
    """
    total = sum(weights)
    exact = [size * weight / total for weight in weights]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(weights)), key=lambda number: (counts[number] - exact[number], number))
    for number in by_remainder[: size - sum(counts)]:
        counts[number] += 1
    return counts


def _by_rows(order: Positions, size: int) -> tuple[Positions, Positions]:
    passes, rest = divmod(size, len(order))
    return _repeated(order, passes, rest)


def _by_tokens(order: Positions, tokens: NDArray[np.int64], size: int) -> tuple[Positions, Positions]:
    """As many rows, in order, as have no more than `size` tokens."""
    lengths = tokens[order]
    total = int(lengths.sum())
    passes, left = divmod(size, total) if total else (1, 0)
    return _repeated(order, passes, int(np.searchsorted(np.cumsum(lengths), left, side="right")) if left else 0)


def _repeated(order: Positions, passes: int, rest: int) -> tuple[Positions, Positions]:
    positions = np.concatenate([np.tile(order, passes), order[:rest]])
    copies = np.concatenate([np.repeat(np.arange(passes), len(order)), np.full(rest, passes)])
    return positions.astype(np.int64), copies.astype(np.int64)


def _check_repeats(source: MixtureSource, unit: str, size: int, available: int, tokens: int, copies: Positions) -> None:
    most = int(copies.max(initial=-1)) + 1
    if most <= source.repeat:
        return
    has = f"{tokens:,} tokens" if unit == TOKENS else f"{available:,} rows"
    raise UsageError(
        f"{size:,} {unit} are asked of {source.label}, which has {has}: rows would stand {most} times in the mixture, and repeat = {source.repeat} is the most.",
        fix=f"Ask for less, or write repeat = {most} beneath the source.",
    )


__all__ = ["Draw", "apportioned", "draws", "duplicates", "mixture_hash", "output_order", "places"]
