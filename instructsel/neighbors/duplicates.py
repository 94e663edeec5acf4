"""Texts that are nearly the same: MinHash finds the candidates, the exact Jaccard similarity decides.

A text is the set of its shingles: five consecutive words, lower-cased, split at whitespace. A character of a script
written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer, Tibetan) counts as a word of its own, so such text is
compared by five characters. A text of fewer than five words is one shingle, the whole of it.

Source: Broder 1997 (resemblance and MinHash); 32 bands of 4 rows find a pair of Jaccard 0.8 with probability 1 − 5e-8,
one of 0.6 with 0.988.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.pool.scripts import UNSEGMENTED

WORDS: Final = 5
"""Words per shingle."""
BANDS: Final = 32
ROWS: Final = 4
"""MinHash values per band."""
RARE: Final = 8
"""Rarest shingles of a text that also lead to candidates: where a template makes many texts share most bands, they still
tell apart."""
BUCKET: Final = 32
"""Kept texts a bucket remembers, the best-ranked first. Without the limit a pool made from one template is quadratic."""
CHECKED: Final = 64
"""Candidates whose Jaccard similarity is computed per text, those in most common buckets first."""
LOWEST: Final = 0.6
"""Below this threshold the bands would miss too many pairs."""

BATCH: Final = 1 << 18
"""Words hashed at a time."""
VOCABULARY: Final = 1 << 17
"""Word digests remembered at a time."""

Words = NDArray[np.uint64]

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
SHORT: Final = np.uint64(0xD1B54A32D192ED03)
"""Keeps a short text's one shingle apart from the shingles of long ones."""


def _constants(count: int, name: str) -> Words:
    """Fixed odd 64-bit numbers, the same in every release."""
    digest = hashlib.shake_256(f"instructsel {name}".encode()).digest(8 * count)
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64) | np.uint64(1)


@dataclass(frozen=True, eq=False)
class Shingles:
    """The shingle sets of texts, and the buckets that near-duplicates share."""

    hashes: Words
    """64-bit shingle hashes, all texts one after the other, ascending and without repetition within each."""
    offsets: NDArray[np.int64]
    """(n + 1,), where each text's hashes begin."""
    keys: Words
    """(n, BANDS + RARE), the buckets of each text."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The shingles of texts, read once and not kept.

        Memory is about 8 bytes per distinct shingle of each text and 320 bytes per text.
        """
        hashes: list[Words] = []
        counts: list[NDArray[np.int64]] = []
        bands: list[Words] = []
        for words, lengths in _batches(texts):
            shingles, rows = _shingles(words, lengths)
            distinct, sizes = _distinct(shingles, rows, len(lengths))
            hashes.append(distinct)
            counts.append(sizes)
            bands.append(_bands(distinct, sizes))
        if not hashes:
            return cls(np.zeros(0, np.uint64), np.zeros(1, np.int64), np.zeros((0, BANDS + RARE), np.uint64))
        every = np.concatenate(hashes)
        hashes.clear()
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))])
        return cls(every, offsets, np.concatenate([np.concatenate(bands), _rarest(every, offsets)], axis=1))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, position: int) -> Words:
        """The shingle hashes of one text, ascending."""
        return self.hashes[self.offsets[position] : self.offsets[position + 1]]

    def jaccard(self, a: int, b: int) -> float:
        """|A ∩ B| / |A ∪ B| of two texts' shingles, in [0, 1]."""
        common = len(np.intersect1d(self.row(a), self.row(b), assume_unique=True))
        return common / (len(self.row(a)) + len(self.row(b)) - common)


def near_duplicates(shingles: Shingles, order: Sequence[int] | NDArray[np.integer[Any]], threshold: float = 0.8) -> NDArray[np.int64]:
    """Which texts repeat a better-ranked one.

    Goes down the ranking; a text whose Jaccard similarity to one already kept is at least the threshold is its duplicate,
    every other one is kept. Time and memory grow with the number of texts, whatever they hold: a bucket remembers BUCKET
    kept texts and CHECKED candidates are compared, so among thousands of texts made from one template a pair can be missed.

    Args:
        shingles: of the pool's texts.
        order: positions in `shingles`, best first, each at most once.
        threshold: Jaccard similarity, in [0.6, 1].

    Returns:
        int64 (len(order),): for each text of the ranking −1 where it is kept, else the position of the kept text it is most
        similar to, the better-ranked one of two.

    Raises:
        UsageError: a threshold outside [0.6, 1].
    """
    if not LOWEST <= threshold <= 1:
        raise UsageError(
            f"The near-duplicate threshold is {threshold}; it is a Jaccard similarity from {LOWEST} to 1.", fix="0.8 is the default."
        )
    positions = np.asarray(order, dtype=np.int64)
    found = np.full(len(positions), -1, dtype=np.int64)
    if not len(positions):
        return found
    keys = shingles.keys[positions]
    shared = np.empty(keys.shape, dtype=bool)
    for band in range(BANDS):
        shared[:, band] = _repeated(keys[:, band])
    # All at once: a shingle that is one text's rarest can be another's second.
    shared[:, BANDS:] = _repeated(keys[:, BANDS:])
    sizes = np.diff(shingles.offsets)[positions]
    buckets: dict[int, list[int]] = {}
    for rank in np.flatnonzero(shared.any(axis=1)).tolist():
        own = set(keys[rank][shared[rank]].tolist())
        candidates = [kept for key in own for kept in buckets.get(key, ())]
        if candidates and (best := _most_similar(shingles, positions, sizes, rank, candidates, threshold)) >= 0:
            found[rank] = positions[best]
            continue
        for key in own:
            bucket = buckets.setdefault(key, [])
            if len(bucket) < BUCKET:
                bucket.append(rank)
    return found


def _repeated(keys: Words) -> NDArray[np.bool_]:
    """Which keys stand more than once."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    repeated: NDArray[np.bool_] = (counts[inverse] > 1).reshape(keys.shape)
    return repeated


def _most_similar(
    shingles: Shingles, positions: NDArray[np.int64], sizes: NDArray[np.int64], rank: int, candidates: list[int], threshold: float
) -> int:
    """The rank of the most similar candidate at or above the threshold, or −1."""
    ranks, votes = np.unique(np.array(candidates), return_counts=True)
    own = shingles.row(int(positions[rank]))
    # Sets whose sizes differ too much cannot be similar enough, whatever they hold.
    smaller, larger = np.minimum(sizes[ranks], len(own)), np.maximum(sizes[ranks], len(own))
    possible = smaller >= threshold * larger * (1 - 1e-12)
    ranks, votes = ranks[possible], votes[possible]
    if len(ranks) > CHECKED:
        ranks = np.sort(ranks[np.argsort(-votes, kind="stable")[:CHECKED]])
    if not len(ranks):
        return -1
    lengths = sizes[ranks]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)[:-1]])
    theirs = shingles.hashes[np.arange(int(lengths.sum())) + np.repeat(shingles.offsets[positions[ranks]] - starts, lengths)]
    hits = own[np.minimum(np.searchsorted(own, theirs), len(own) - 1)] == theirs
    common = np.add.reduceat(hits.astype(np.int64), starts)
    similarity = common / (lengths + len(own) - common)
    best = int(np.argmax(similarity))
    return int(ranks[best]) if similarity[best] >= threshold else -1


def _batches(texts: Iterable[str]) -> Iterator[tuple[Words, NDArray[np.int64]]]:
    """Word hashes of texts, about BATCH at a time, and how many each text has."""
    known: dict[str, int] = {}
    words: list[int] = []
    lengths: list[int] = []
    for text in texts:
        lowered = text.lower()
        parts = (lowered if lowered.isascii() else UNSEGMENTED.sub(r" \g<0> ", lowered)).split()
        for part in parts:
            value = known.get(part)
            if value is None:
                if len(known) >= VOCABULARY:
                    known.clear()
                # Python's own hash() differs from process to process.
                value = int.from_bytes(hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
                known[part] = value
            words.append(value)
        lengths.append(len(parts))
        if len(words) >= BATCH:
            yield np.array(words, dtype=np.uint64), np.array(lengths, dtype=np.int64)
            words, lengths = [], []
    if lengths:
        yield np.array(words, dtype=np.uint64), np.array(lengths, dtype=np.int64)


def _shingles(words: Words, lengths: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """Shingle hashes of a batch and the text each belongs to; every text has at least one."""
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)[:-1]])
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    left = np.repeat(starts + lengths, lengths) - np.arange(len(words))
    begin = np.flatnonzero(left >= WORDS)
    long = np.zeros(len(begin), dtype=np.uint64)
    for k in range(WORDS):
        long = _mixed(long * MULTIPLIER + words[begin + k])
    few = np.flatnonzero(lengths < WORDS)
    short = np.full(len(few), SHORT)
    for k in range(WORDS - 1):
        has = lengths[few] > k
        short[has] = _mixed(short[has] * MULTIPLIER + words[starts[few[has]] + k])
    return np.concatenate([long, short]), np.concatenate([row_of[begin], few])


def _distinct(shingles: Words, rows: NDArray[np.int64], texts: int) -> tuple[Words, NDArray[np.int64]]:
    """The distinct shingles of each text, ascending, texts in order; and how many each has."""
    order = np.lexsort((shingles, rows))
    shingles, rows = shingles[order], rows[order]
    first = np.ones(len(shingles), dtype=bool)
    first[1:] = (shingles[1:] != shingles[:-1]) | (rows[1:] != rows[:-1])
    return shingles[first], np.bincount(rows[first], minlength=texts).astype(np.int64)


def _bands(hashes: Words, sizes: NDArray[np.int64]) -> Words:
    """(n, BANDS) bucket keys of a batch: ROWS minima each, mixed into one number."""
    keys = np.empty((len(sizes), BANDS), dtype=np.uint64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    factors, shifts = _constants(BANDS * ROWS, "minhash factors"), _constants(BANDS * ROWS, "minhash shifts")
    names = _constants(BANDS, "band names")
    # Pieces that stay in the processor's cache: the loop passes over them BANDS × ROWS times.
    begin = 0
    while begin < len(sizes):
        end = max(begin + 1, int(np.searchsorted(ends, starts[begin] + (1 << 15), side="right")))
        piece = hashes[starts[begin] : ends[end - 1]]
        cuts = starts[begin:end] - starts[begin]
        for band in range(BANDS):
            key = np.full(end - begin, names[band])
            for row in range(band * ROWS, (band + 1) * ROWS):
                key = _mixed(key * MULTIPLIER + np.minimum.reduceat(piece * factors[row] + shifts[row], cuts))
            keys[begin:end, band] = key
        begin = end
    return keys


def _rarest(hashes: Words, offsets: NDArray[np.int64]) -> Words:
    """(n, RARE): of each text the shingles that stand in fewest texts, ties by hash; repeated where it has fewer."""
    ordered = np.sort(hashes)
    first = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
    values, counts = ordered[first], np.diff(np.append(first, len(ordered)))
    del ordered
    frequency = counts[np.searchsorted(values, hashes)].astype(np.uint32)
    sizes = np.diff(offsets)
    order = np.lexsort((frequency, np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)))
    picks = offsets[:-1, None] + np.minimum(np.arange(RARE), sizes[:, None] - 1)
    rarest: Words = hashes[order[picks]]
    return rarest


def _mixed(value: Words) -> Words:
    """Every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    mixed: Words = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed
