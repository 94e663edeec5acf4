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
AT_ONCE: Final = 1 << 21
"""Texts up to which several bands are numbered at a time."""
FOUR_BYTES: Final = 0xFFFFFFFF
"""The highest number that four bytes hold."""
ASSEMBLED: Final = 1 << 16
"""Texts whose buckets are put together at a time."""

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
    """Numbers of one type one after the other, in an unnamed temporary file once they are many.

    Read, not mapped: the pages of a mapped file count as the memory of the process.
    """

    def __init__(self, dtype: type[np.uint32] | type[np.uint64] = np.uint64) -> None:
        """Empty."""
        spooled = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="instructsel-")  # noqa: SIM115 - the spool owns it
        self.file: tempfile.SpooledTemporaryFile[bytes] = spooled
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.length: int = 0

    def append(self, numbers: NDArray[Any]) -> None:
        """Behind the last."""
        self.put(self.length, numbers)

    def put(self, begin: int, numbers: NDArray[Any]) -> None:
        """From a place on."""
        try:
            self.file.seek(self.dtype.itemsize * begin)
            self.file.write(np.ascontiguousarray(numbers, dtype=self.dtype).tobytes())
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot keep the pool's shingles in {tempfile.gettempdir()}: {error.strerror or error}.",
                fix="Free some space there, or name another folder with TMPDIR.",
            ) from error
        self.length = max(self.length, begin + numbers.size)

    def get(self, begin: int, count: int) -> NDArray[Any]:
        """So many from a place on."""
        return np.frombuffer(self._bytes(begin, count), dtype=self.dtype)

    def gather(self, begins: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Several stretches, one after the other."""
        stretches = zip(begins.tolist(), counts.tolist(), strict=True)
        return np.frombuffer(b"".join([self._bytes(begin, count) for begin, count in stretches]), dtype=self.dtype)

    def blocks(self, size: int) -> Iterator[NDArray[Any]]:
        """All of it, `size` numbers at a time."""
        for begin in range(0, self.length, size):
            yield self.get(begin, min(size, self.length - begin))

    def _bytes(self, begin: int, count: int) -> bytes:
        self.file.seek(self.dtype.itemsize * begin)
        return self.file.read(self.dtype.itemsize * count)


@dataclass(frozen=True, eq=False)
class Shingles:
    """The shingle sets of texts, and the buckets that near-duplicates share.

    Memory is 5 bytes per text, and some 30 while they are made. The shingles, 8 bytes each, the sketches and the buckets are in temporary files.
    """

    spool: _Spool
    """64-bit shingle hashes, all texts one after the other, ascending and without repetition within each."""
    offsets: NDArray[np.uint32] | NDArray[np.int64]
    """(n + 1,), where each text's hashes begin; of four bytes each where there are fewer than 2³² hashes."""
    members: _Spool
    """The buckets of each text that another one is in, ascending, all texts one after the other; numbered from 1."""
    counts: NDArray[np.uint8]
    """(n,), how many these are, 0 for a text that repeats no other one."""
    n_buckets: int
    """How many there are in all."""
    sketches: _Spool
    """Of each text the SKETCH bits that an odd number of its shingles falls on (an odd sketch), as SKETCH / 64 numbers: two sketches
    differ in no more bits than the sets differ in shingles."""

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
        hashes, bands, sketches = _Spool(), _Spool(), _Spool()
        sizes: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
        if total is None and isinstance(texts, Sequence):
            total = len(texts)
        n_read = 0
        for distinct, counts, band_keys, odd in in_order(_hashed, batches(texts, BATCH, len)):
            hashes.append(distinct)
            # Band by band, so that one of them is read without the others.
            bands.append(band_keys.T)
            sketches.append(odd)
            sizes.append(counts.astype(np.uint32))
            n_read += len(counts)
            if progress is not None:
                progress(n_read, max(n_read, total or 0))
        _DIGESTS.clear()
        batch_sizes = [len(batch) for batch in sizes]
        offsets: NDArray[Any] = np.zeros(n_read + 1, dtype=np.uint32 if hashes.length <= FOUR_BYTES else np.int64)
        np.cumsum(np.concatenate(sizes), dtype=offsets.dtype, out=offsets[1:])
        del sizes

        def tell(share: float) -> None:
            if bucketing is not None:
                bucketing(int(share * n_read), n_read)

        columns, n_buckets = _Spool(np.uint32), 0
        run = in_threads if n_read <= AT_ONCE else map
        for band, (groups, count) in enumerate(run(_numbered, (_band(bands, batch_sizes, band) for band in range(BANDS)))):
            columns.append(np.where(groups > 0, groups + np.uint32(n_buckets), 0))
            n_buckets += count
            tell(band / BANDS / 2)
        del bands
        rarest = _rarest(hashes, offsets, lambda share: tell((1 + share) / 2))
        # All at once: a shingle that is one text's rarest can be another's second.
        groups_of = _Numbering(n_buckets)
        rare = _of_equal(rarest, groups_of)
        del rarest
        members, counts_of = _shared(*_assembled(columns, rare, n_read), groups_of.last)
        tell(1)
        return cls(hashes, offsets, members, counts_of, groups_of.last, sketches)

    @property
    def hashes(self) -> Words:
        """All of them, in memory."""
        return self.spool.get(0, self.spool.length)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, position: int) -> Words:
        """The shingle hashes of one text, ascending."""
        return self.spool.get(int(self.offsets[position]), int(self.offsets[position + 1] - self.offsets[position]))

    def sketches_of(self, begin: int, count: int) -> Words:
        """(count, SKETCH / 64), the odd sketches of the texts from a position on."""
        width = SKETCH // 64
        return self.sketches.get(width * begin, width * count).reshape(-1, width)

    def buckets(self, begin: int, count: int) -> list[list[int]]:
        """The buckets of the texts from a position on that another text is in, too."""
        start, counts = int(self.counts[:begin].sum(dtype=np.int64)), self.counts[begin : begin + count].astype(np.int64)
        numbers = self.members.get(start, int(counts.sum()))
        return [part.tolist() for part in np.split(numbers, np.cumsum(counts)[:-1])]

    def jaccard(self, a: int, b: int) -> float:
        """|A ∩ B| / |A ∪ B| of two texts' shingles, in [0, 1]."""
        common = len(np.intersect1d(self.row(a), self.row(b), assume_unique=True))
        return common / (len(self.row(a)) + len(self.row(b)) - common)


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


def _numbered(keys: Words) -> tuple[Groups, int]:
    """The keys that stand more than once, numbered from 1 in ascending order, 0 for the others; and the last number."""
    ordered = np.sort(keys, axis=None)
    again = ordered[1:] == ordered[:-1]
    again[1:] &= ordered[1:-1] != ordered[:-2]
    repeated = ordered[1:][again]
    del ordered
    groups = np.zeros(len(keys), dtype=np.uint32)
    if len(repeated):
        for begin in range(0, len(keys), BLOCK):
            piece = keys[begin : begin + BLOCK]
            nearest = np.minimum(np.searchsorted(repeated, piece), len(repeated) - 1)
            groups[begin : begin + BLOCK] = np.where(repeated[nearest] == piece, nearest + 1, 0)
    return groups, len(repeated)


@dataclass
class _Numbering:
    """Numbers the keys that stand more than once, part after part of all keys in ascending order."""

    last: int
    """The last number that was given."""

    def __call__(self, keys: Words) -> Groups:
        """Of the next part; 0 for keys that stand once."""
        groups, count = _numbered(keys)
        first, self.last = np.uint32(self.last), self.last + count
        return np.where(groups > 0, groups + first, 0).astype(np.uint32)


def _band(bands: _Spool, batch_sizes: Sequence[int], band: int) -> Words:
    """(n,), the keys of a band, which stands in one stretch in each batch."""
    keys = np.empty(sum(batch_sizes), dtype=np.uint64)
    begin = 0
    for size in batch_sizes:
        keys[begin : begin + size] = bands.get(BANDS * begin + band * size, size)
        begin += size
    return keys


def _assembled(columns: _Spool, rare: _Spool, n: int) -> tuple[_Spool, NDArray[np.uint8]]:
    """The distinct buckets of each text, ascending, and how many these are.

    Args:
        columns: (BANDS, n), the bucket of each text in each band, 0 for none.
        rare: (n, RARE), those of its rarest shingles.
        n: how many texts there are.
    """
    members, counts = _Spool(np.uint32), np.zeros(n, dtype=np.uint8)
    for begin in range(0, n, ASSEMBLED):
        count = min(ASSEMBLED, n - begin)
        keys = np.empty((count, BANDS + RARE), dtype=np.uint32)
        for band in range(BANDS):
            keys[:, band] = columns.get(band * n + begin, count)
        keys[:, BANDS:] = rare.get(RARE * begin, RARE * count).reshape(-1, RARE)
        used = np.flatnonzero(keys.any(axis=1))
        keys = np.sort(keys[used], axis=1)
        distinct = keys > 0
        distinct[:, 1:] &= keys[:, 1:] != keys[:, :-1]
        members.append(keys[distinct])
        counts[begin + used] = np.count_nonzero(distinct, axis=1)
    return members, counts


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


def _shared(members: _Spool, counts: NDArray[np.uint8], n_buckets: int) -> tuple[_Spool, NDArray[np.uint8]]:
    """The same without buckets that one text alone is in: a short text names its rarest shingle several times."""
    inside = np.zeros(n_buckets + 1, dtype=np.uint8)
    for block in members.blocks(BLOCK):
        numbers, times = np.unique(block, return_counts=True)
        inside[numbers] = np.minimum(inside[numbers] + times, 2)
    shared, kept, start = _Spool(np.uint32), np.zeros(len(counts), dtype=np.uint8), 0
    for begin in range(0, len(counts), ASSEMBLED):
        sizes = counts[begin : begin + ASSEMBLED].astype(np.int64)
        keys = members.get(start, int(sizes.sum()))
        start += len(keys)
        usable = inside[keys] > 1
        shared.append(keys[usable])
        kept[begin : begin + ASSEMBLED] = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[usable], minlength=len(sizes))
    return shared, kept


def _rarest(hashes: _Spool, offsets: NDArray[Any], tell: Callable[[float], None]) -> _Spool:
    """(n, RARE): of each text the shingles that stand in fewest texts, ties by hash; repeated where it has fewer."""
    frequencies = _of_equal(hashes, _frequencies, lambda share: tell(0.8 * share))

    def blocks() -> Iterator[tuple[Groups, Words, NDArray[np.int64]]]:
        begin = 0
        while begin < len(offsets) - 1:
            # Of the type of the offsets, so that they are not copied for it.
            most = offsets.dtype.type(min(int(offsets[begin]) + BLOCK // 2, hashes.length))
            end = max(begin + 1, int(np.searchsorted(offsets, most, side="right")) - 1)
            stretch = int(offsets[begin]), int(offsets[end] - offsets[begin])
            yield frequencies.get(*stretch), hashes.get(*stretch), np.diff(offsets[begin : end + 1]).astype(np.int64)
            begin = end

    numbers = _Spool()
    for part in in_threads(lambda block: _rarest_by(*block), blocks()):
        numbers.append(part)
        tell(0.8 + 0.15 * numbers.length / RARE / max(1, len(offsets) - 1))
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


def _of_equal(numbers: _Spool, of_part: Callable[[Words], Groups], tell: Callable[[float], None] = lambda share: None) -> _Spool:
    """For each of many numbers what is said of it beside all that are equal to it.

    They are dealt into a second file by their leading bits, so that one part after the other is looked at; the answers go back the same way.

    Args:
        numbers: any.
        of_part: called with part after part, in ascending order; gives for each number one of 32 bits, the same for equal ones.
        tell: called with the share that is done.
    """
    bits = max(1, (numbers.length // BLOCK).bit_length())
    shift = np.uint64(64 - bits)
    sizes = np.zeros((-(-numbers.length // BLOCK), 1 << bits), dtype=np.uint32)
    for row, block in enumerate(numbers.blocks(BLOCK)):
        sizes[row] = np.bincount((block >> shift).astype(np.int64), minlength=1 << bits)
    totals = sizes.sum(axis=0, dtype=np.int64)
    starts = np.cumsum(totals) - totals
    dealt, filled = _Spool(), starts.copy()
    for row, ordered in enumerate(in_threads(np.sort, numbers.blocks(BLOCK))):
        _put_apart(dealt, ordered, filled, sizes[row])
        tell(0.3 * (row + 1) / len(sizes))
    answers = _Spool(np.uint32)
    for begin, size in zip(starts.tolist(), totals.tolist(), strict=True):
        if size:
            answers.put(begin, of_part(dealt.get(begin, size)))
            tell(0.3 + 0.3 * (begin + size) / numbers.length)
    del dealt
    result, filled = _Spool(np.uint32), starts.copy()
    for row, order in enumerate(in_threads(np.argsort, numbers.blocks(BLOCK))):
        answer = np.empty(len(order), dtype=np.uint32)
        answer[order] = answers.gather(filled, sizes[row])
        result.append(answer)
        filled += sizes[row]
        tell(0.6 + 0.4 * (row + 1) / len(sizes))
    return result


def _put_apart(dealt: _Spool, ordered: Words, filled: NDArray[np.int64], sizes: NDArray[np.uint32]) -> None:
    """Put the parts of a block where they belong, and note how far that is filled."""
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    for place, begin, end in zip(filled.tolist(), [0, *ends], ends, strict=False):
        if end > begin:
            dealt.put(place, ordered[begin:end])
    filled += sizes


def _frequencies(hashes: Words) -> Groups:
    """How often each of some hashes stands among them."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    first = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
    often = np.diff(np.append(first, len(ordered))).astype(np.uint32)
    frequencies = np.empty(len(hashes), dtype=np.uint32)
    frequencies[order] = np.repeat(often, often)
    return frequencies
