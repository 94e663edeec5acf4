"""Texts that are nearly the same: MinHash finds the candidates, the exact Jaccard similarity decides.

A text is the set of its shingles: five consecutive words, lower-cased, split at whitespace. A character of a script
written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer, Tibetan) counts as a word of its own, so such text is
compared by five characters. A text of fewer than five words is one shingle, the whole of it.

Source: Broder 1997 (resemblance and MinHash); 32 bands of 4 rows find a pair of Jaccard 0.8 with probability 1 − 5e-8,
one of 0.6 with 0.988.

Most candidates are dismissed unread: by their sizes, and by an odd sketch of their shingles (Mitzenmacher, Pagh and Pham 2014), of
which no more bits differ than shingles do. The pairs are those that the exact similarity of every candidate gives.

rensa finds the same pairs in less time on ordinary pools, but its index has no limit on what a bucket returns: where thousands of
texts come from one template, its time is quadratic, and a million rows take 1.3 GB (benchmarks/results/duplicates.json).
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.neighbors.word_hashes import MULTIPLIER, AsciiHashes, WordHashes, Words, batches, hashes_of, mixed
from instructsel.pool.writing_systems import UNSEGMENTED
from instructsel.processes import in_order, in_threads

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
SKETCH: Final = 256
"""Bits of an odd sketch."""
REMEMBERED: Final = 1 << 22
"""Shingles of kept texts held in memory while candidates are compared."""
SEARCHED: Final = 256
"""Ranks whose buckets are looked at together."""
LOWEST: Final = 0.6
"""Below this threshold the bands would miss too many pairs."""

BATCH: Final = 1 << 19
"""Characters of text hashed at a time."""
BLOCK: Final = 1 << 20
"""Hashes looked at a time, once all are known."""
IN_MEMORY: Final = 1 << 24
"""Bytes of hashes held in memory; a pool that has more keeps them in a temporary file."""
LEADING: Final = 24
"""Bits of a hash that are looked up before the hash is."""
PASS: Final = 8
"""Bands numbered in one reading of the band keys."""

Progress = Callable[[int, int], None]
"""Called with how many texts are done, and how many there are."""

Groups = NDArray[np.uint32]

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

    Memory is about 200 bytes per text, and 12 per distinct shingle that stands in more than one while they are made; the
    shingles themselves, 8 bytes each, go into a temporary file.
    """

    spool: _Spool
    """64-bit shingle hashes, all texts one after the other, ascending and without repetition within each."""
    offsets: NDArray[np.int64]
    """(n + 1,), where each text's hashes begin."""
    keys: Groups
    """(n, BANDS + RARE), the buckets of each text, numbered from 1; 0 where nothing else is in it."""
    sketches: Words
    """(n, SKETCH / 64), of each text the bits that an odd number of its shingles falls on (an odd sketch): two sketches differ in no
    more bits than the sets differ in shingles."""

    @classmethod
    def of(
        cls, texts: Iterable[str], *, total: int | None = None, progress: Progress | None = None, bucketing: Progress | None = None
    ) -> Self:
        """The shingles of texts, read once and not kept.

        Args:
            texts: any number.
            total: how many there are, for the progress; not needed where `texts` has a length.
            progress: called after each batch of texts with the texts read so far and the total.
            bucketing: called while the buckets are numbered, with the share of the texts that corresponds to the work done and the total.

        Raises:
            EnvironmentFault: the temporary folder is full.
        """
        hashes, bands = _Spool(), _Spool()
        sketches: list[Words] = [np.zeros((0, SKETCH // 64), np.uint64)]
        counts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        if total is None and isinstance(texts, Sequence):
            total = len(texts)
        n_read = 0
        for distinct, sizes, band_keys, odd in in_order(_hashed, batches(texts, BATCH, len)):
            hashes.append(distinct)
            bands.append(band_keys)
            sketches.append(odd)
            counts.append(sizes)
            n_read += len(sizes)
            if progress is not None:
                progress(n_read, max(n_read, total or 0))
        _DIGESTS.clear()
        offsets = np.cumsum(np.concatenate(counts))
        keys = np.zeros((len(offsets) - 1, BANDS + RARE), dtype=np.uint32)

        def tell(share: float) -> None:
            if bucketing is not None:
                bucketing(int(share * len(keys)), len(keys))

        used = 0
        for first in range(0, BANDS, PASS):
            tell(first / BANDS / 2)
            band_keys = np.empty((PASS, len(keys)), dtype=np.uint64)
            begin = 0
            for block in bands.blocks(BANDS * (BLOCK // BANDS)):
                rows = block.reshape(-1, BANDS)
                band_keys[:, begin : begin + len(rows)] = rows[:, first : first + PASS].T
                begin += len(rows)
            for band, (groups, count) in enumerate(in_threads(_numbered, band_keys)):
                keys[:, first + band] = np.where(groups > 0, groups + np.uint32(used), 0)
                used += count
            del band_keys
        del bands
        # All at once: a shingle that is one text's rarest can be another's second.
        groups, _ = _numbered(_rarest(hashes, offsets, lambda share: tell((1 + share) / 2)))
        keys[:, BANDS:] = np.where(groups > 0, groups + np.uint32(used), 0)
        tell(1)
        return cls(hashes, offsets, keys, np.concatenate(sketches))

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
    accepts: Callable[[int, int, float], bool] | None = None,
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
        accepts: whether a text at this position is a duplicate of the kept one at that, whose similarity reaches the threshold; by default
            each is. It is asked of the most similar first.
        progress: called every few hundred ranks with the ranks searched so far and len(order).

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
    buckets = _Buckets.of(shingles.keys, positions)
    search = _Search(shingles, positions, threshold)
    for begin in range(0, len(positions), SEARCHED):
        if progress is not None:
            progress(begin, len(positions))
        keys, counts = buckets.shared(shingles.keys[positions[begin : begin + SEARCHED]])
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
    if progress is not None:
        progress(len(positions), len(positions))
    return repeats


class _Buckets:
    """The kept texts of each bucket, as ranks, best first: one flat array, with room for BUCKET of those that a bucket can get."""

    def __init__(self, room: NDArray[np.int64]) -> None:
        """Empty ones, of the numbers of texts given."""
        self.open = room > 0
        starts = np.zeros(len(room) + 1, dtype=np.int64)
        np.cumsum(room, out=starts[1:])
        if starts[-1] <= np.iinfo(np.int32).max:
            starts = starts.astype(np.int32)
        self.starts, self.ends, self.ranks = starts, starts[:-1].copy(), np.zeros(int(starts[-1]), dtype=np.int32)
        # Plain views: numpy takes longer to hand out one number than the search takes with it.
        self._starts, self._ends, self._ranks = self.starts.data, self.ends.data, self.ranks.data

    @classmethod
    def of(cls, keys: Groups, positions: NDArray[np.int64]) -> Self:
        """Those of a ranking. What is alone in a bucket leads to nobody, and the bucket gets no room."""
        members = np.zeros(int(keys.max()) + 1, dtype=np.int64)
        for band in range(BANDS + RARE):
            column = keys[positions, band]
            low = int(column[column > 0].min(initial=len(members) - 1))
            counted = np.bincount(column[column > 0] - low)
            members[low : low + len(counted)] += counted
        members[0] = 0
        np.minimum(members, BUCKET, out=members)
        members[members == 1] = 0
        return cls(members)

    def shared(self, keys: Groups) -> tuple[Groups, NDArray[np.int64]]:
        """The buckets that each of some texts shares with another one, each once, all texts one after the other; and how many."""
        ordered = np.sort(np.where(self.open[keys], keys, 0), axis=1)
        usable = ordered > 0
        usable[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
        return ordered[usable], np.count_nonzero(usable, axis=1)

    def candidates(self, keys: Groups, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What is in the buckets that `shared` gave.

        Returns:
            (k,) each, by text and then by rank: the text, from 0; a rank; and how many of the text's buckets it is in.
        """
        starts = self.starts[keys].astype(np.int64)
        lengths = self.ends[keys] - starts
        ends = np.cumsum(lengths)
        ranks = self.ranks[np.repeat(starts - ends + lengths, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)]
        pairs = (np.repeat(np.repeat(np.arange(len(counts)), counts), lengths) << 32) | ranks
        pairs.sort()
        first = np.flatnonzero(np.concatenate([pairs[:1] == pairs[:1], pairs[1:] != pairs[:-1]]))
        distinct = pairs[first]
        return distinct >> 32, distinct & 0xFFFFFFFF, np.diff(first, append=len(pairs))

    def add(self, rank: int, keys: list[int], added: dict[int, list[int]]) -> None:
        """Put a kept text into its buckets, as far as they have room, and note those into `added`."""
        ranks, starts, ends = self._ranks, self._starts, self._ends
        for key in keys:
            end = ends[key]
            if end < starts[key + 1]:
                ranks[end] = rank
                ends[key] = end + 1
                if key in added:
                    added[key].append(rank)
                else:
                    added[key] = [rank]


class _Search:
    """The exact Jaccard similarity of a text to its candidates, computed only where the sizes and the sketches let it reach the threshold."""

    def __init__(self, shingles: Shingles, positions: NDArray[np.int64], threshold: float) -> None:
        """Over a ranking."""
        self.shingles, self.positions, self.threshold = shingles, positions, threshold
        self.sizes: NDArray[np.int64] = np.diff(shingles.offsets)[positions]
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
        sizes, own = self.sizes[ranks], self.sizes[begin + texts]
        # Sets whose sizes differ too much cannot be similar enough, whatever they hold.
        possible = np.minimum(sizes, own) >= self.threshold * np.maximum(sizes, own) * (1 - 1e-12)
        texts, ranks, sizes = texts[possible], ranks[possible], sizes[possible] + own[possible]
        # Sets of Jaccard similarity t differ in (1 − t) / (1 + t) of their sizes' sum, and their sketches in no more bits.
        sketches = self.shingles.sketches
        differing = np.bitwise_count(sketches[self.positions[ranks]] ^ sketches[self.positions[begin + texts]])
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
        query = self.shingles.row(int(self.positions[rank]))
        lengths = self.sizes[ranks]
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
            if accepts(int(self.positions[rank]), int(self.positions[ranks[best]]), float(similarity[best])):
                return int(ranks[best])
        return -1

    def _row(self, rank: int) -> Words:
        """The shingles of a kept text: where texts come from templates, the same few are asked for again and again."""
        row = self.rows.get(rank)
        if row is None:
            row = self.rows[rank] = self.shingles.row(int(self.positions[rank]))
            self.remembered += len(row)
            while self.remembered > REMEMBERED and len(self.rows) > 1:
                self.remembered -= len(self.rows.pop(next(iter(self.rows))))
        return row


def _numbered(keys: Words) -> tuple[Groups, int]:
    """The keys that stand more than once, numbered from 1 in ascending order, 0 for the others; and the last number."""
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
            groups[begin : begin + BLOCK] = np.where(repeated[nearest] == piece, nearest + 1, 0)
    return groups.reshape(keys.shape), len(repeated)


_ASCII_DIGESTS: Final = AsciiHashes(bytes(range(256)).lower())
_DIGESTS: Final = WordHashes()
"""Of the words met last."""


def _hashed(texts: list[str]) -> tuple[Words, NDArray[np.int64], Words, Words]:
    """Of a batch: the distinct shingles, how many each text has, and what `_bands` and `_sketches` give."""
    distinct, sizes = _distinct(*_shingles(*_words(texts)))
    return distinct, sizes, _bands(distinct, sizes), _sketches(distinct, sizes)


def _words(texts: list[str]) -> tuple[Words, NDArray[np.int64]]:
    """Word hashes of texts, one after the other, and how many each has."""
    return hashes_of(texts, _ASCII_DIGESTS, words_of)


def words_of(text: str) -> Words:
    """The hashes of the words of a text."""
    lowered = text.lower()
    parts = (lowered if lowered.isascii() else UNSEGMENTED.sub(r" \g<0> ", lowered)).split()
    return np.fromiter(map(_DIGESTS.__getitem__, parts), dtype=np.uint64, count=len(parts))


def _shingles(words: Words, lengths: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """Shingle hashes of a batch, texts in order, and how many each has: at least one."""
    starts = np.cumsum(lengths) - lengths
    left = np.repeat(starts + lengths, lengths) - np.arange(len(words))
    begin = np.flatnonzero(left >= WORDS)
    long = np.zeros(len(begin), dtype=np.uint64)
    for k in range(WORDS):
        long = mixed(long * MULTIPLIER + words[begin + k])
    few = np.flatnonzero(lengths < WORDS)
    short = np.full(len(few), SHORT)
    for k in range(WORDS - 1):
        has = lengths[few] > k
        short[has] = mixed(short[has] * MULTIPLIER + words[starts[few[has]] + k])
    counts = np.maximum(lengths - (WORDS - 1), 1)
    shingles = np.empty(int(counts.sum()), dtype=np.uint64)
    is_long = np.ones(len(shingles), dtype=bool)
    is_long[(np.cumsum(counts) - counts)[few]] = False
    shingles[is_long] = long
    shingles[~is_long] = short
    return shingles, counts


def _distinct(shingles: Words, counts: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """The distinct shingles of each text, ascending, texts in order; and how many each has. Sorts `shingles`."""
    ends = np.cumsum(counts)
    begin = 0
    # One text after the other: its shingles lie in the processor's cache, those of the batch do not.
    for end in ends.tolist():
        shingles[begin:end].sort()
        begin = end
    first = np.ones(len(shingles), dtype=bool)
    first[1:] = shingles[1:] != shingles[:-1]
    starts = ends - counts
    first[starts] = True
    return shingles[first], np.add.reduceat(first, starts, dtype=np.int64)


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
                key = mixed(key * MULTIPLIER + np.minimum.reduceat(piece * factors[row] + shifts[row], cuts))
            keys[begin:end, band] = key
        begin = end
    return keys


def _sketches(hashes: Words, sizes: NDArray[np.int64]) -> Words:
    """The odd sketches of a batch."""
    bits = np.repeat(np.arange(len(sizes)) * SKETCH, sizes) + (hashes & np.uint64(SKETCH - 1)).astype(np.int64)
    odd = np.bincount(bits, minlength=SKETCH * len(sizes)).astype(np.uint8) & np.uint8(1)
    sketches: Words = np.packbits(odd.reshape(-1, SKETCH), axis=1).view(np.uint64)
    return sketches


def _rarest(hashes: _Spool, offsets: NDArray[np.int64], tell: Callable[[float], None]) -> Words:
    """(n, RARE): of each text the shingles that stand in fewest texts, ties by hash; repeated where it has fewer."""
    values, counts = _in_several(hashes, tell)
    # Most hashes stand once, and most of those are recognised by their leading bits: the search misses the processor's cache.
    shift = np.uint64(64 - LEADING)
    leading = np.zeros(1 << LEADING, dtype=bool)
    leading[(values >> shift).astype(np.int64)] = True

    def blocks() -> Iterator[tuple[Words, NDArray[np.int64]]]:
        begin = 0
        while begin < len(offsets) - 1:
            end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + BLOCK // 2, side="right")) - 1)
            yield hashes.get(int(offsets[begin]), int(offsets[end] - offsets[begin])), np.diff(offsets[begin : end + 1])
            begin = end

    def rarest(part: tuple[Words, NDArray[np.int64]]) -> Words:
        block, sizes = part
        frequency = np.ones(len(block), dtype=np.uint32)
        likely = np.flatnonzero(leading[(block >> shift).astype(np.int64)])
        nearest = np.minimum(np.searchsorted(values, block[likely]), len(values) - 1)
        exact = values[nearest] == block[likely]
        frequency[likely[exact]] = counts[nearest[exact]]
        return _rarest_by(frequency, block, sizes)

    numbers = np.empty((len(offsets) - 1, RARE), dtype=np.uint64)
    begin = 0
    for part in in_threads(rarest, blocks()):
        numbers[begin : begin + len(part)] = part
        begin += len(part)
        tell(0.5 + 0.45 * begin / len(numbers))
    return numbers


def _rarest_by(frequency: NDArray[np.uint32], block: Words, sizes: NDArray[np.int64]) -> Words:
    """The RARE shingles of lowest frequency of some texts."""
    rarest = np.empty((len(sizes), RARE), dtype=np.uint64)
    alone = frequency == 1
    numbers = np.add.reduceat(alone, np.cumsum(sizes) - sizes, dtype=np.int64)
    # Most texts have enough shingles of their own: the first of these are the rarest, and nothing has to be sorted.
    enough = numbers >= RARE
    singles = block[alone]
    rarest[enough] = singles[(np.cumsum(numbers) - numbers)[enough, None] + np.arange(RARE)]
    unfilled = np.repeat(~enough, sizes)
    few = sizes[~enough]
    order = np.lexsort((frequency[unfilled], np.repeat(np.arange(len(few)), few)))
    picks = (np.cumsum(few) - few)[:, None] + np.minimum(np.arange(RARE), few[:, None] - 1)
    rarest[~enough] = block[unfilled][order[picks]]
    return rarest


def _in_several(hashes: _Spool, tell: Callable[[float], None]) -> tuple[Words, NDArray[np.uint32]]:
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
    for ordered in in_threads(np.sort, hashes.blocks(BLOCK)):
        cuts = [0, *np.cumsum(np.bincount((ordered >> shift).astype(np.int64), minlength=len(sizes))).tolist()]
        for part, (begin, end) in enumerate(itertools.pairwise(cuts)):
            dealt.put(int(filled[part]), ordered[begin:end])
            filled[part] += end - begin
        tell(0.25 * (filled - starts).sum() / hashes.length)
    parts = (dealt.get(start, size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True) if size)
    repeated: list[tuple[Words, NDArray[np.uint32]]] = []
    for part_repeated in in_threads(_repeated, parts):
        repeated.append(part_repeated)
        tell(0.25 + 0.25 * len(repeated) / len(sizes))
    values = np.concatenate([np.zeros(0, np.uint64), *(part for part, _ in repeated)])
    return values, np.concatenate([np.zeros(0, np.uint32), *(often for _, often in repeated)])


def _repeated(hashes: Words) -> tuple[Words, NDArray[np.uint32]]:
    """The hashes of a part that stand more than once, ascending, and how often."""
    ordered = np.sort(hashes)
    first = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
    often = np.diff(np.append(first, len(ordered)))
    return ordered[first[often > 1]], often[often > 1].astype(np.uint32)
