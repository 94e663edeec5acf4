"""Texts that are nearly the same: MinHash finds the candidates, the exact Jaccard similarity decides.

A text is the set of its shingles: five consecutive words, lower-cased, split at whitespace. A character of a script
written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer, Tibetan) counts as a word of its own, so such text is
compared by five characters. A text of fewer than five words is one shingle, the whole of it.

Source: Broder 1997 (resemblance and MinHash); 32 bands of 4 rows find a pair of Jaccard 0.8 with probability 1 − 5e-8,
one of 0.6 with 0.988.

rensa finds the same pairs in half the time on ordinary pools, but its index has no limit on what a bucket returns: where
thousands of texts come from one template, its time is quadratic (benchmarks/results/duplicates.json).
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.pool.writing_systems import UNSEGMENTED

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
BLOCK: Final = 1 << 20
"""Hashes looked at a time, once all are known."""
IN_MEMORY: Final = 1 << 24
"""Bytes of hashes held in memory; a pool that has more keeps them in a temporary file."""
LEADING: Final = 24
"""Bits of a hash that are looked up before the hash is."""
PASS: Final = 8
"""Bands numbered in one reading of the band keys."""
REPORTED: Final = 1 << 12
"""Ranks searched between two calls of the progress callback."""

Progress = Callable[[int, int], None]
"""Called with how many texts are done, and how many there are."""

Words = NDArray[np.uint64]
Groups = NDArray[np.uint32]

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
SHORT: Final = np.uint64(0xD1B54A32D192ED03)
"""Keeps a short text's one shingle apart from the shingles of long ones."""


def _constants(count: int, name: str) -> Words:
    """Fixed odd 64-bit numbers, the same in every release."""
    digest = hashlib.shake_256(f"instructsel {name}".encode()).digest(8 * count)
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64) | np.uint64(1)


class _Spool:
    """64-bit numbers one after the other, in an unnamed temporary file once they are many.

    Read, not mapped: the pages of a mapped file count as the memory of the process.
    """

    def __init__(self) -> None:
        spooled = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="instructsel-")  # noqa: SIM115 - the spool owns it
        self.file: tempfile.SpooledTemporaryFile[bytes] = spooled
        self.length: int = 0

    def append(self, numbers: Words) -> None:
        self.put(self.length, numbers)

    def put(self, begin: int, numbers: Words) -> None:
        try:
            self.file.seek(8 * begin)
            self.file.write(np.ascontiguousarray(numbers).tobytes())
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot keep the pool's shingles in {tempfile.gettempdir()}: {error.strerror or error}.",
                fix="Free some space there, or name another folder with TMPDIR.",
            ) from error
        self.length = max(self.length, begin + numbers.size)

    def get(self, begin: int, count: int) -> Words:
        return np.frombuffer(self._bytes(begin, count), dtype=np.uint64)

    def gather(self, begins: NDArray[np.int64], counts: NDArray[np.int64]) -> Words:
        """Several stretches, one after the other."""
        return np.frombuffer(
            b"".join([self._bytes(begin, count) for begin, count in zip(begins.tolist(), counts.tolist(), strict=True)]), dtype=np.uint64
        )

    def blocks(self, size: int) -> Iterator[Words]:
        """All of it, `size` numbers at a time."""
        for begin in range(0, self.length, size):
            yield self.get(begin, min(size, self.length - begin))

    def _bytes(self, begin: int, count: int) -> bytes:
        self.file.seek(8 * begin)
        return self.file.read(8 * count)


@dataclass(frozen=True, eq=False)
class Shingles:
    """The shingle sets of texts, and the buckets that near-duplicates share.

    Memory is about 170 bytes per text, and 12 per distinct shingle that stands in more than one while they are made; the
    shingles themselves, 8 bytes each, go into a temporary file.
    """

    spool: _Spool
    """64-bit shingle hashes, all texts one after the other, ascending and without repetition within each."""
    offsets: NDArray[np.int64]
    """(n + 1,), where each text's hashes begin."""
    keys: Groups
    """(n, BANDS + RARE), the buckets of each text, numbered from 1; 0 where nothing else is in it."""

    @classmethod
    def of(cls, texts: Iterable[str], *, total: int | None = None, progress: Progress | None = None) -> Self:
        """The shingles of texts, read once and not kept.

        Args:
            texts: any number.
            total: how many there are, for the progress; not needed where `texts` has a length.
            progress: called after each batch of texts with the texts read so far and the total.

        Raises:
            EnvironmentFault: the temporary folder is full.
        """
        hashes, bands = _Spool(), _Spool()
        counts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        if total is None and isinstance(texts, Sequence):
            total = len(texts)
        n_read = 0
        for words, lengths in _batches(texts):
            distinct, sizes = _distinct(*_shingles(words, lengths), len(lengths))
            hashes.append(distinct)
            bands.append(_bands(distinct, sizes))
            counts.append(sizes)
            n_read += len(sizes)
            if progress is not None:
                progress(n_read, max(n_read, total or 0))
        offsets = np.cumsum(np.concatenate(counts))
        keys = np.zeros((len(offsets) - 1, BANDS + RARE), dtype=np.uint32)
        used = 0
        for first in range(0, BANDS, PASS):
            band_keys = np.empty((PASS, len(keys)), dtype=np.uint64)
            begin = 0
            for block in bands.blocks(BANDS * (BLOCK // BANDS)):
                rows = block.reshape(-1, BANDS)
                band_keys[:, begin : begin + len(rows)] = rows[:, first : first + PASS].T
                begin += len(rows)
            for band in range(PASS):
                keys[:, first + band], used = _numbered(band_keys[band], used)
        del bands
        # All at once: a shingle that is one text's rarest can be another's second.
        keys[:, BANDS:], used = _numbered(_rarest(hashes, offsets), used)
        return cls(hashes, offsets, keys)

    @property
    def hashes(self) -> Words:
        """All of them, in memory."""
        return self.spool.get(0, self.spool.length)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, position: int) -> Words:
        """The shingle hashes of one text, ascending."""
        return self.spool.get(int(self.offsets[position]), int(self.offsets[position + 1] - self.offsets[position]))

    def jaccard(self, a: int, b: int) -> float:
        """|A ∩ B| / |A ∪ B| of two texts' shingles, in [0, 1]."""
        common = len(np.intersect1d(self.row(a), self.row(b), assume_unique=True))
        return common / (len(self.row(a)) + len(self.row(b)) - common)


def near_duplicates(
    shingles: Shingles,
    order: Sequence[int] | NDArray[np.integer[Any]],
    threshold: float = 0.8,
    *,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Which texts repeat a better-ranked one.

    Goes down the ranking; a text whose Jaccard similarity to one already kept is at least the threshold is its duplicate,
    every other one is kept. Time and memory grow with the number of texts, whatever they hold: a bucket remembers BUCKET
    kept texts and CHECKED candidates are compared, so among thousands of texts made from one template a pair can be missed.

    Args:
        shingles: of the pool's texts.
        order: positions in `shingles`, best first, each at most once.
        threshold: Jaccard similarity, in [0.6, 1].
        progress: called every few thousand ranks with the ranks searched so far and len(order).

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
    repeats = np.full(len(positions), -1, dtype=np.int64)
    if not len(positions):
        return repeats
    # Room in each bucket: how many of the ranking are in it, up to BUCKET. What is alone in one leads to nobody.
    members = np.zeros(int(shingles.keys.max()) + 1, dtype=np.int64)
    for band in range(BANDS + RARE):
        column = shingles.keys[positions, band]
        low = int(column[column > 0].min(initial=len(members) - 1))
        counted = np.bincount(column[column > 0] - low)
        members[low : low + len(counted)] += counted
    room = np.where(members > 1, np.minimum(members, BUCKET), 0)
    room[0] = 0
    active = np.zeros(len(positions), dtype=bool)
    for band in range(BANDS + RARE):
        active |= room[shingles.keys[positions, band]] > 0
    ends = np.cumsum(room)
    # Plain arrays: numpy takes longer to hand out one number than the search takes with it.
    starts, filled = array("q", (ends - room).tobytes()), array("q", (ends - room).tobytes())
    limits, buckets = array("q", ends.tobytes()), array("i", bytes(4 * int(ends[-1])))
    del members, room, ends
    sizes = np.diff(shingles.offsets)[positions]
    next_report = 0
    for rank in np.flatnonzero(active).tolist():
        if progress is not None and rank >= next_report:
            progress(rank, len(positions))
            next_report = rank + REPORTED
        shared = {key for key in shingles.keys[positions[rank]].tolist() if starts[key] < limits[key]}
        candidates = list(itertools.chain.from_iterable(buckets[starts[key] : filled[key]] for key in shared))
        if candidates and (best := _most_similar(shingles, positions, sizes, rank, candidates, threshold)) >= 0:
            repeats[rank] = positions[best]
            continue
        for key in shared:
            if filled[key] < limits[key]:
                buckets[filled[key]] = rank
                filled[key] += 1
    if progress is not None:
        progress(len(positions), len(positions))
    return repeats


def _numbered(keys: Words, used: int) -> tuple[Groups, int]:
    """The keys that stand more than once, numbered from `used` + 1 in ascending order, 0 for the others; and the last number."""
    ordered = np.sort(keys, axis=None)
    again = ordered[1:] == ordered[:-1]
    again[1:] &= ordered[1:-1] != ordered[:-2]
    repeated = ordered[1:][again]
    del ordered
    flat = keys.reshape(-1)
    groups = np.zeros(len(flat), dtype=np.uint32)
    if len(repeated):
        for begin in range(0, len(flat), BLOCK):
            piece = flat[begin : begin + BLOCK]
            nearest = np.minimum(np.searchsorted(repeated, piece), len(repeated) - 1)
            groups[begin : begin + BLOCK] = np.where(repeated[nearest] == piece, nearest + used + 1, 0)
    return groups.reshape(keys.shape), used + len(repeated)


def _most_similar(
    shingles: Shingles, positions: NDArray[np.int64], sizes: NDArray[np.int64], rank: int, candidates: list[int], threshold: float
) -> int:
    """The rank of the most similar candidate at or above the threshold, or −1."""
    ranks, votes = np.unique(np.array(candidates), return_counts=True)
    query = shingles.row(int(positions[rank]))
    # Sets whose sizes differ too much cannot be similar enough, whatever they hold.
    smaller, larger = np.minimum(sizes[ranks], len(query)), np.maximum(sizes[ranks], len(query))
    possible = smaller >= threshold * larger * (1 - 1e-12)
    ranks, votes = ranks[possible], votes[possible]
    if len(ranks) > CHECKED:
        ranks = np.sort(ranks[np.argsort(-votes, kind="stable")[:CHECKED]])
    if not len(ranks):
        return -1
    lengths = sizes[ranks]
    starts = np.cumsum(lengths) - lengths
    theirs = shingles.spool.gather(shingles.offsets[positions[ranks]], lengths)
    hits = query[np.minimum(np.searchsorted(query, theirs), len(query) - 1)] == theirs
    common = np.add.reduceat(hits.astype(np.int64), starts)
    similarity = common / (lengths + len(query) - common)
    best = int(np.argmax(similarity))
    return int(ranks[best]) if similarity[best] >= threshold else -1


class _Digests(dict[str, int]):
    """Words → 64-bit digests, computed where they are not remembered; emptied when VOCABULARY words are."""

    def __missing__(self, word: str) -> int:
        if len(self) >= VOCABULARY:
            self.clear()
        # Python's own hash() differs from process to process.
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = digest
        return digest


def _batches(texts: Iterable[str]) -> Iterator[tuple[Words, NDArray[np.int64]]]:
    """Word hashes of texts, about BATCH at a time, and how many each has."""
    digests = _Digests()
    words: list[int] = []
    lengths: list[int] = []
    for text in texts:
        lowered = text.lower()
        parts = (lowered if lowered.isascii() else UNSEGMENTED.sub(r" \g<0> ", lowered)).split()
        words.extend(map(digests.__getitem__, parts))
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


def _rarest(hashes: _Spool, offsets: NDArray[np.int64]) -> Words:
    """(n, RARE): of each text the shingles that stand in fewest texts, ties by hash; repeated where it has fewer."""
    rarest = np.empty((len(offsets) - 1, RARE), dtype=np.uint64)
    values, counts = _in_several(hashes)
    # Most hashes stand once, and most of those are recognised by their leading bits: the search misses the processor's cache.
    shift = np.uint64(64 - LEADING)
    leading = np.zeros(1 << LEADING, dtype=bool)
    leading[(values >> shift).astype(np.int64)] = True
    begin = 0
    while begin < len(rarest):
        end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + BLOCK, side="right")) - 1)
        block = hashes.get(int(offsets[begin]), int(offsets[end] - offsets[begin]))
        sizes = np.diff(offsets[begin : end + 1])
        frequency = np.ones(len(block), dtype=np.uint32)
        likely = np.flatnonzero(leading[(block >> shift).astype(np.int64)])
        nearest = np.minimum(np.searchsorted(values, block[likely]), len(values) - 1)
        exact = values[nearest] == block[likely]
        frequency[likely[exact]] = counts[nearest[exact]]
        alone = frequency == 1
        numbers = np.add.reduceat(alone, np.cumsum(sizes) - sizes, dtype=np.int64)
        # Most texts have enough shingles of their own: the first of these are the rarest, and nothing has to be sorted.
        enough = numbers >= RARE
        singles = block[alone]
        rarest[begin:end][enough] = singles[(np.cumsum(numbers) - numbers)[enough, None] + np.arange(RARE)]
        unfilled = np.repeat(~enough, sizes)
        few = sizes[~enough]
        order = np.lexsort((frequency[unfilled], np.repeat(np.arange(len(few)), few)))
        picks = (np.cumsum(few) - few)[:, None] + np.minimum(np.arange(RARE), few[:, None] - 1)
        rarest[begin:end][~enough] = block[unfilled][order[picks]]
        begin = end
    return rarest


def _in_several(hashes: _Spool) -> tuple[Words, NDArray[np.uint32]]:
    """The hashes that stand more than once, ascending, and how often.

    They are dealt into a second file by their leading bits, so that one part after the other is sorted.
    """
    bits = max(1, (hashes.length // BLOCK).bit_length())
    shift = np.uint64(64 - bits)
    sizes = np.zeros(1 << bits, dtype=np.int64)
    for block in hashes.blocks(BLOCK):
        sizes += np.bincount((block >> shift).astype(np.int64), minlength=len(sizes))
    starts = np.cumsum(sizes) - sizes
    dealt, filled = _Spool(), starts.copy()
    for block in hashes.blocks(BLOCK):
        ordered = np.sort(block)
        cuts = [0, *np.cumsum(np.bincount((ordered >> shift).astype(np.int64), minlength=len(sizes))).tolist()]
        for part, (begin, end) in enumerate(itertools.pairwise(cuts)):
            dealt.put(int(filled[part]), ordered[begin:end])
            filled[part] += end - begin
    values: list[Words] = [np.zeros(0, np.uint64)]
    counts: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        if size:
            ordered = np.sort(dealt.get(start, size))
            first = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
            often = np.diff(np.append(first, size))
            values.append(ordered[first[often > 1]])
            counts.append(often[often > 1].astype(np.uint32))
    return np.concatenate(values), np.concatenate(counts)


def _mixed(value: Words) -> Words:
    """Every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    mixed: Words = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed
