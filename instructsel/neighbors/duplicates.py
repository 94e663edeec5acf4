"""Texts that are nearly the same: MinHash finds the candidates, the exact Jaccard similarity of their shingles decides.

Most candidates are dismissed unread: by their sizes, and by an odd sketch of their shingles, of
which no more bits differ than shingles do. The pairs are those that the exact similarity of every candidate gives.

rensa finds the same pairs in less time on ordinary pools, but its index has no limit on what a bucket returns: where thousands of
texts come from one template, its time is quadratic, and a million rows take 1.3 GB (benchmarks/results/duplicates.json).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.neighbors.bucketing import ASSEMBLED, Groups
from instructsel.neighbors.minhash import SKETCH
from instructsel.neighbors.shingles import Progress, Shingles
from instructsel.neighbors.word_hashes import Words

BUCKET: Final = 32
"""Kept texts a bucket remembers, the best-ranked first. Without the limit a pool made from one template is quadratic."""
CHECKED: Final = 64
"""Candidates whose Jaccard similarity is computed per text, those in most common buckets first."""
REMEMBERED: Final = 1 << 22
"""Shingles of kept texts held in memory while candidates are compared."""
SEARCHED: Final = 256
"""Ranks whose buckets are looked at together."""
LOWEST: Final = 0.6
"""Below this threshold the bands would miss too many pairs."""


def smallest(n: int) -> type[np.int32] | type[np.int64]:
    """The type of the places of n things, and of −1."""
    return np.int32 if n <= np.iinfo(np.int32).max else np.int64


def near_duplicates(
    shingles: Shingles,
    order: Sequence[int] | NDArray[np.integer[Any]],
    threshold: float = 0.8,
    *,
    accepts: Callable[[int, int, float], bool] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.integer[Any]]:
    """Which texts repeat a better-ranked one.

    Goes down the ranking; a text whose Jaccard similarity to one already kept is at least the threshold is its duplicate,
    every other one is kept. Time and memory grow with the number of texts, whatever they hold: a bucket remembers BUCKET
    kept texts and CHECKED candidates are compared, so among thousands of texts made from one template a pair can be missed.

    Args:
        shingles: of the pool's texts.
        order: positions in `shingles`, best first, each at most once.
        threshold: Jaccard similarity, in [0.6, 1].
        accepts: whether a text at this position is a duplicate of the kept one at that, whose similarity reaches the threshold; by default
            each is. It is asked of the most similar first.
        progress: called every few hundred ranks with the ranks searched so far and len(order).

    Returns:
        (len(order),), of four bytes each where there are fewer than 2³¹ texts: for each text of the ranking −1 where it is kept, else the
        position of the kept text it is most similar to, the better-ranked one of two.

    Raises:
        UsageError: a threshold outside [0.6, 1].
    """
    if not LOWEST <= threshold <= 1:
        raise UsageError(
            f"The near-duplicate threshold is {threshold}; it is a Jaccard similarity from {LOWEST} to 1.", fix="0.8 is the default."
        )
    positions = order if isinstance(order, np.ndarray) else np.asarray(order, dtype=np.int64)
    repeats = np.full(len(positions), -1, dtype=smallest(len(shingles)))
    # A text that is alone in its buckets repeats none, and none repeats it.
    linked = np.flatnonzero(shingles.counts[positions])
    if len(linked):

        def tell(rank: int) -> None:
            if progress is not None:
                progress(int(linked[rank]), len(positions))

        repeats[linked] = _search(_Ranking.of(shingles, positions[linked].astype(np.int64)), threshold, accepts, tell)
    if progress is not None:
        progress(len(positions), len(positions))
    return repeats


def _search(
    ranking: _Ranking, threshold: float, accepts: Callable[[int, int, float], bool] | None, tell: Callable[[int], None]
) -> NDArray[np.int64]:
    """What `near_duplicates` gives, for a ranking of texts that share buckets with others."""
    positions, buckets, search = ranking.positions, _Buckets.of(ranking), _Search(ranking, threshold)
    repeats = np.full(len(positions), -1, dtype=np.int64)
    for begin in range(0, len(positions), SEARCHED):
        tell(begin)
        keys, counts = buckets.shared(*ranking.buckets(begin, min(begin + SEARCHED, len(positions))))
        # What the buckets hold already is looked at for all ranks of the block at once; what the block itself adds, one by one.
        similar = search.promising(begin, *buckets.candidates(keys, counts))
        added: dict[int, list[int]] = {}
        numbers, end = keys.tolist(), 0
        for row, count in enumerate(counts.tolist()):
            if not count:
                continue
            shared, end = numbers[end : end + count], end + count
            rank = begin + row
            candidates = similar.get(rank)
            if added and (fresh := [other for key in shared if key in added for other in added[key]]):
                candidates = search.with_fresh(rank, candidates, fresh, buckets, shared)
            if candidates is not None and (best := search.most_similar(rank, candidates, accepts)) >= 0:
                repeats[rank] = positions[best]
            else:
                buckets.add(rank, shared, added)
    return repeats


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Texts that share buckets with others, best first."""

    shingles: Shingles
    positions: NDArray[np.int64]
    """(k,), of each in the shingles."""
    starts: NDArray[np.int64]
    """(k,), where its buckets begin."""
    counts: NDArray[np.uint8]
    """(k,), how many buckets it has."""
    sizes: NDArray[np.uint32]
    """(k,), how many shingles it has."""
    sketches: Words
    """(k, SKETCH / 64)."""

    @classmethod
    def of(cls, shingles: Shingles, positions: NDArray[np.int64]) -> Self:
        """Of texts in this order."""
        by_position = np.argsort(positions, kind="stable")
        ascending = positions[by_position]
        starts = np.zeros(len(positions), dtype=np.int64)
        sketches = np.zeros((len(positions), SKETCH // 64), dtype=np.uint64)
        before = 0
        for begin in range(0, len(shingles), ASSEMBLED):
            count = min(ASSEMBLED, len(shingles) - begin)
            low, high = np.searchsorted(ascending, [begin, begin + count]).tolist()
            counts = np.cumsum(shingles.counts[begin : begin + count], dtype=np.int64)
            rows, ranks = ascending[low:high] - begin, by_position[low:high]
            starts[ranks] = before + counts[rows] - shingles.counts[begin + rows]
            sketches[ranks] = shingles.sketches_of(begin, count)[rows]
            before += int(counts[-1])
        sizes = (shingles.offsets[positions + 1] - shingles.offsets[positions]).astype(np.uint32)
        return cls(shingles, positions, starts, shingles.counts[positions], sizes, sketches)

    def __len__(self) -> int:
        return len(self.positions)

    def buckets(self, begin: int, end: int) -> tuple[Groups, NDArray[np.int64]]:
        """The buckets of some ranks, one after the other, and how many each has."""
        counts = self.counts[begin:end].astype(np.int64)
        return self.shingles.members.gather(self.starts[begin:end], counts), counts

    def row(self, rank: int) -> Words:
        """The shingles of a text, ascending."""
        return self.shingles.row(int(self.positions[rank]))


class _Buckets:
    """The kept texts of each bucket, as ranks, best first: one flat array, with room for BUCKET of those that a bucket can get."""

    def __init__(self, room: NDArray[np.uint8]) -> None:
        """Empty ones, of the numbers of texts given."""
        self.open = room > 0
        slots = int(room.sum(dtype=np.int64))
        self.starts: NDArray[Any] = np.zeros(len(room) + 1, dtype=np.int32 if slots <= np.iinfo(np.int32).max else np.int64)
        np.cumsum(room, out=self.starts[1:])
        self.filled, self.ranks = np.zeros(len(room), dtype=np.uint8), np.zeros(slots, dtype=np.int32)
        # Plain views: numpy takes longer to hand out one number than the search takes with it.
        self._starts, self._filled, self._ranks = self.starts.data, self.filled.data, self.ranks.data

    @classmethod
    def of(cls, ranking: _Ranking) -> Self:
        """Those of a ranking. What is alone in a bucket leads to nobody, and the bucket gets no room."""
        members = np.zeros(ranking.shingles.n_buckets + 1, dtype=np.uint8)
        for begin in range(0, len(ranking), ASSEMBLED):
            keys, _ = ranking.buckets(begin, min(begin + ASSEMBLED, len(ranking)))
            numbers, counts = np.unique(keys, return_counts=True)
            members[numbers] = np.minimum(members[numbers] + counts, BUCKET)
        members[members == 1] = 0
        return cls(members)

    def shared(self, keys: Groups, counts: NDArray[np.int64]) -> tuple[Groups, NDArray[np.int64]]:
        """Those of the buckets of some texts that another text of the ranking is in, all texts one after the other; and how many."""
        usable = self.open[keys]
        return keys[usable], np.bincount(np.repeat(np.arange(len(counts)), counts)[usable], minlength=len(counts))

    def candidates(self, keys: Groups, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What is in the buckets that `shared` gave.

        Returns:
            (k,) each, by text and then by rank: the text, from 0; a rank; and how many of the text's buckets it is in.
        """
        starts = self.starts[keys].astype(np.int64)
        lengths = self.filled[keys].astype(np.int64)
        ends = np.cumsum(lengths)
        ranks = self.ranks[np.repeat(starts - ends + lengths, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)]
        pairs = (np.repeat(np.repeat(np.arange(len(counts)), counts), lengths) << 32) | ranks
        pairs.sort()
        first = np.flatnonzero(np.concatenate([pairs[:1] == pairs[:1], pairs[1:] != pairs[:-1]]))
        distinct = pairs[first]
        return distinct >> 32, distinct & 0xFFFFFFFF, np.diff(first, append=len(pairs))

    def add(self, rank: int, keys: list[int], added: dict[int, list[int]]) -> None:
        """Put a kept text into its buckets, as far as they have room, and note those into `added`."""
        ranks, starts, filled = self._ranks, self._starts, self._filled
        for key in keys:
            end = starts[key] + filled[key]
            if end < starts[key + 1]:
                ranks[end] = rank
                filled[key] += 1
                if key in added:
                    added[key].append(rank)
                else:
                    added[key] = [rank]


class _Search:
    """The exact Jaccard similarity of a text to its candidates, computed only where the sizes and the sketches let it reach the threshold."""

    def __init__(self, ranking: _Ranking, threshold: float) -> None:
        """Over a ranking."""
        self.ranking, self.threshold = ranking, threshold
        self.rows: dict[int, Words] = {}
        """Shingles of kept texts that were looked up, in the order of looking up."""
        self.remembered: int = 0
        """Shingles in `rows`."""

    def promising(
        self, begin: int, texts: NDArray[np.int64], ranks: NDArray[np.int64], votes: NDArray[np.int64] | None = None
    ) -> dict[int, NDArray[np.int64]]:
        """Rank → the ranks of the candidates that may be similar enough, for those that have one.

        Args:
            begin: the rank of the first text.
            texts: from 0, ascending.
            ranks: a candidate of each.
            votes: in how many of the text's buckets it is: CHECKED candidates of a text are looked at, those of most votes first;
                without votes all.
        """
        sizes, own = self._sizes(ranks), self._sizes(begin + texts)
        # Sets whose sizes differ too much cannot be similar enough, whatever they hold.
        possible = np.minimum(sizes, own) >= self.threshold * np.maximum(sizes, own) * (1 - 1e-12)
        texts, ranks, sizes = texts[possible], ranks[possible], sizes[possible] + own[possible]
        # Sets of Jaccard similarity t differ in (1 − t) / (1 + t) of their sizes' sum, and their sketches in no more bits.
        sketches = self.ranking.sketches
        differing = np.bitwise_count(sketches[ranks] ^ sketches[begin + texts])
        bits = np.zeros(len(ranks), dtype=np.int64)
        for word in range(differing.shape[1]):
            bits += differing[:, word]
        near = np.flatnonzero(bits <= (1 - self.threshold) / (1 + self.threshold) * sizes * (1 + 1e-12))
        similar: dict[int, NDArray[np.int64]] = {}
        for text in np.unique(texts[near]).tolist():
            low, high = np.searchsorted(texts, [text, text + 1]).tolist()
            chosen = near[np.searchsorted(near, low) : np.searchsorted(near, high)]
            if votes is not None and high - low > CHECKED:
                most = np.argsort(-votes[possible][low:high], kind="stable")[:CHECKED]
                chosen = np.intersect1d(chosen, low + most, assume_unique=True)
            if len(chosen):
                similar[begin + text] = ranks[chosen]
        return similar

    def with_fresh(
        self, rank: int, candidates: NDArray[np.int64] | None, fresh: list[int], buckets: _Buckets, keys: list[int]
    ) -> NDArray[np.int64] | None:
        """The candidates of a text some of whose buckets got further texts since its block began."""
        if candidates is None:
            # None of what the block found may be similar enough; what came since has no effect but where it may.
            others = np.unique(fresh)
            if not self.promising(rank, np.zeros(len(others), np.int64), others):
                return None
        return self.promising(rank, *buckets.candidates(np.array(keys), np.array([len(keys)]))).get(rank)

    def most_similar(self, rank: int, ranks: NDArray[np.int64], accepts: Callable[[int, int, float], bool] | None = None) -> int:
        """The rank of the most similar of some texts, the first of several, if its similarity reaches the threshold and it is accepted; or −1."""
        query, positions = self.ranking.row(rank), self.ranking.positions
        lengths = self._sizes(ranks)
        theirs = np.concatenate([self._row(other) for other in ranks.tolist()])
        hits = query[np.minimum(np.searchsorted(query, theirs), len(query) - 1)] == theirs
        common = np.add.reduceat(hits, np.cumsum(lengths) - lengths, dtype=np.int64)
        similarity = common / (lengths + len(query) - common)
        if accepts is None:
            best = int(np.argmax(similarity))
            return int(ranks[best]) if similarity[best] >= self.threshold else -1
        for best in np.argsort(-similarity, kind="stable").tolist():
            if similarity[best] < self.threshold:
                break
            if accepts(int(positions[rank]), int(positions[ranks[best]]), float(similarity[best])):
                return int(ranks[best])
        return -1

    def _sizes(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.ranking.sizes[ranks].astype(np.int64)

    def _row(self, rank: int) -> Words:
        """The shingles of a kept text: where texts come from templates, the same few are asked for again and again."""
        row = self.rows.get(rank)
        if row is None:
            row = self.rows[rank] = self.ranking.row(rank)
            self.remembered += len(row)
            while self.remembered > REMEMBERED and len(self.rows) > 1:
                self.remembered -= len(self.rows.pop(next(iter(self.rows))))
        return row
