"""The shingles of a pool in a form that answers quickly which of its rows some new text nearly repeats.

Two sets of Jaccard similarity t share one of the (1 − t) · n + 1 smallest hashes of each, n its size: so the smallest two fifths of each
row's hashes, with the rows that have them, lead to every row of similarity LOWEST and above (the prefix filter of Chaudhuri, Ganti and
Kaushik 2006, over the order of the hashes). Only what very many rows have in common is passed over, as what stands in every row of a
template leads to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.duplicates import LOWEST
from instructsel.neighbors.shingles import Shingles

COMMON: Final = 256
"""Rows that have a hash, from which on it leads to the first of them alone."""
CHECKED: Final = 256
"""Rows that are compared with a text, those that share most of the smallest hashes first."""
LOW: Final = np.uint64(0xFFFFFFFF)

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SavedShingles:
    """Shingles of rows, to be asked with those of new rows. Make one with `of`, or `stored`."""

    sizes: NDArray[np.uint32]
    """(n,), shingles of each row; 0 for a row that has no word."""
    members: NDArray[np.uint32]
    """The lower halves of their hashes, row by row, ascending."""
    keys: NDArray[np.uint64]
    """The smallest hashes of the rows, ascending."""
    rows: NDArray[np.uint32]
    """The row of each key."""

    @classmethod
    def of(cls, shingles: Shingles, candidates: NDArray[np.bool_]) -> Self:
        """Of texts.

        Args:
            shingles: of all texts.
            candidates: (n,), those that have a word.
        """
        counts = np.diff(shingles.offsets)
        hashes = shingles.hashes
        rows = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        mask = candidates[rows]
        sizes = np.where(candidates, counts, 0)
        hashes, rows = hashes[mask], rows[mask]
        within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        prefix = within < _prefix(sizes, LOWEST)[rows]
        keys, of_keys = hashes[prefix], rows[prefix]
        order = np.lexsort((of_keys, keys))
        members = np.sort((rows.astype(np.uint64) << np.uint64(32)) | (hashes & LOW))
        return cls(sizes.astype(np.uint32), (members & LOW).astype(np.uint32), keys[order], of_keys[order].astype(np.uint32))

    @classmethod
    def stored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From `arrays`.

        Raises:
            ValueError: they do not belong together.
        """
        saved = cls(*(arrays[name] for name in ("sizes", "members", "keys", "rows")))
        fits = (
            int(saved.sizes.sum(dtype=np.int64)) == len(saved.members)
            and len(saved.keys) == len(saved.rows)
            and (not len(saved.rows) or int(saved.rows.max()) < len(saved.sizes))
            and bool((saved.keys[1:] >= saved.keys[:-1]).all())
        )
        if not fits:
            raise ValueError("the shingles do not belong together")
        return saved

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, by name."""
        return {"sizes": self.sizes, "members": self.members, "keys": self.keys, "rows": self.rows}

    @classmethod
    def merged(cls, first: Self, second: Self, index: Ints, places: tuple[Ints, Ints]) -> Self:
        """Those of two pools, as `of` both together would give.

        Args:
            first: of one.
            second: of the other.
            index: (n,), for each row of the result where it stands among those of the first, followed by those of the second.
            places: where each row of the first and of the second stands in the result, -1 where it is gone.
        """
        before = np.concatenate([first.sizes, second.sizes])
        starts = np.cumsum(before, dtype=np.int64) - before
        sizes = before[index]
        ends = np.cumsum(sizes, dtype=np.int64)
        offsets = np.repeat(starts[index] - (ends - sizes), sizes) + np.arange(int(ends[-1]) if len(ends) else 0)
        keys = np.concatenate([first.keys, second.keys])
        rows = np.concatenate([places[0][first.rows.astype(np.int64)], places[1][second.rows.astype(np.int64)]])
        keys, rows = keys[rows >= 0], rows[rows >= 0]
        order = np.lexsort((rows, keys))
        return cls(sizes, np.concatenate([first.members, second.members])[offsets], keys[order], rows[order].astype(np.uint32))

    def nearest(
        self,
        shingles: Shingles,
        candidates: NDArray[np.bool_],
        threshold: float,
        *,
        but: NDArray[np.bool_] | None = None,
        accepts: Callable[[int, int, float], bool] | None = None,
    ) -> tuple[Ints, NDArray[np.float64]]:
        """The row that each of some texts repeats most.

        Args:
            shingles: of the texts.
            candidates: (m,), the texts that are asked about.
            threshold: Jaccard similarity, from 0.6 to 1.
            but: (n,), rows that are passed over.
            accepts: whether a text is a copy of a row, whose similarity reaches the threshold; by default each is.

        Returns:
            (m,) each: the row, the first of several, -1 where none reaches the threshold; and the similarity.
        """
        nearest, similarity = np.full(len(shingles), -1, dtype=np.int64), np.zeros(len(shingles))
        starts = np.cumsum(self.sizes, dtype=np.int64) - self.sizes
        for number in np.flatnonzero(candidates).tolist():
            text = shingles.row(number)
            rows = self._candidates(text[: int(_prefix(np.array([len(text)]), threshold)[0])], len(text), threshold, but)
            if not len(rows):
                continue
            lower = np.sort((text & LOW).astype(np.uint32))
            counts = self.sizes[rows].astype(np.int64)
            offsets = np.arange(int(counts.sum())) + np.repeat(starts[rows] - (np.cumsum(counts) - counts), counts)
            theirs = self.members[offsets]
            hits = lower[np.minimum(np.searchsorted(lower, theirs), len(lower) - 1)] == theirs
            common = np.add.reduceat(hits, np.cumsum(counts) - counts, dtype=np.int64)
            values = common / (counts + len(lower) - common)
            for best in np.argsort(-values, kind="stable").tolist():
                if values[best] < threshold:
                    break
                if accepts is None or accepts(number, int(rows[best]), float(values[best])):
                    nearest[number], similarity[number] = rows[best], values[best]
                    break
        return nearest, similarity

    def _candidates(self, prefix: NDArray[np.uint64], size: int, threshold: float, but: NDArray[np.bool_] | None) -> Ints:
        """Rows that may be similar enough, in order."""
        low, high = np.searchsorted(self.keys, prefix, side="left"), np.searchsorted(self.keys, prefix, side="right")
        counts = np.minimum(high - low, COMMON)
        offsets = np.arange(int(counts.sum())) + np.repeat(low - (np.cumsum(counts) - counts), counts)
        rows, votes = np.unique(self.rows[offsets].astype(np.int64), return_counts=True)
        sizes = self.sizes[rows].astype(np.int64)
        possible = np.minimum(sizes, size) >= threshold * np.maximum(sizes, size) * (1 - 1e-12)
        if but is not None:
            possible &= ~but[rows]
        rows, votes = rows[possible], votes[possible]
        return rows if len(rows) <= CHECKED else np.sort(rows[np.argsort(-votes, kind="stable")[:CHECKED]])


def _prefix(sizes: NDArray[Any], threshold: float) -> Ints:
    """How many of a row's smallest hashes any row of this similarity shares one of."""
    lengths = sizes.astype(np.int64)
    prefix: Ints = np.where(lengths > 0, lengths - np.ceil(threshold * lengths - 1e-9).astype(np.int64) + 1, 0)
    return prefix


__all__ = ["SavedShingles"]
