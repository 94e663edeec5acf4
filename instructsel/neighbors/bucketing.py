"""The buckets that texts share: those of their MinHash bands, and those of their rarest shingles. A text alone in a bucket is in none.

Where a template makes many texts share most bands, rare shingles still tell them apart. Keys are numbered part by part, from files, so that
memory does not grow with the shingles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.minhash import BANDS
from instructsel.neighbors.spool import Spool
from instructsel.neighbors.word_hashes import Words
from instructsel.processes import in_threads

RARE: Final = 8
"""Rarest shingles of a text that also lead to candidates: where a template makes many texts share most bands, they still
tell apart."""
BLOCK: Final = 1 << 20
"""Hashes looked at a time, once all are known."""
AT_ONCE: Final = 1 << 21
"""Texts up to which several bands are numbered at a time."""
ASSEMBLED: Final = 1 << 16
"""Texts whose buckets are put together at a time."""

Groups = NDArray[np.uint32]


def banded(bands: Spool, batch_sizes: Sequence[int], tell: Callable[[float], None]) -> tuple[Spool, int]:
    """The bucket of each text in each band.

    Args:
        bands: the keys of the bands, batch after batch, and in each band after band.
        batch_sizes: texts of each batch.
        tell: called with the share that is done.

    Returns:
        (BANDS, n), numbered from 1, 0 for a text that is alone in it; and the last number.
    """
    columns, n_buckets = Spool(np.uint32), 0
    run = in_threads if sum(batch_sizes) <= AT_ONCE else map
    for band, (groups, count) in enumerate(run(_numbered, (_band(bands, batch_sizes, band) for band in range(BANDS)))):
        columns.append(np.where(groups > 0, groups + np.uint32(n_buckets), 0))
        n_buckets += count
        tell(band / BANDS)
    return columns, n_buckets


def buckets_of(
    columns: Spool, n_buckets: int, hashes: Spool, offsets: NDArray[Any], tell: Callable[[float], None]
) -> tuple[Spool, NDArray[np.uint8], int]:
    """The buckets of each text that another one is in.

    Args:
        columns: the buckets of bands, as `banded` gives them.
        n_buckets: the last number of these.
        hashes: the shingles of all texts.
        offsets: (n + 1,), where each text's begin.
        tell: called with the share that is done.

    Returns:
        The buckets, ascending, all texts one after the other; (n,), how many of them a text is in; and the last number.
    """
    rarest = _rarest(hashes, offsets, tell)
    # All at once: a shingle that is one text's rarest can be another's second.
    groups_of = _Numbering(n_buckets)
    rare = _of_equal(rarest, groups_of)
    del rarest
    members, counts = _shared(*_assembled(columns, rare, len(offsets) - 1), groups_of.last)
    return members, counts, groups_of.last


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


def _band(bands: Spool, batch_sizes: Sequence[int], band: int) -> Words:
    """(n,), the keys of a band, which stands in one stretch in each batch."""
    keys = np.empty(sum(batch_sizes), dtype=np.uint64)
    begin = 0
    for size in batch_sizes:
        keys[begin : begin + size] = bands.get(BANDS * begin + band * size, size)
        begin += size
    return keys


def _assembled(columns: Spool, rare: Spool, n: int) -> tuple[Spool, NDArray[np.uint8]]:
    """The distinct buckets of each text, ascending, and how many these are.

    Args:
        columns: (BANDS, n), the bucket of each text in each band, 0 for none.
        rare: (n, RARE), those of its rarest shingles.
        n: how many texts there are.
    """
    members, counts = Spool(np.uint32), np.zeros(n, dtype=np.uint8)
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


def _shared(members: Spool, counts: NDArray[np.uint8], n_buckets: int) -> tuple[Spool, NDArray[np.uint8]]:
    """The same without buckets that one text alone is in: a short text names its rarest shingle several times."""
    inside = np.zeros(n_buckets + 1, dtype=np.uint8)
    for block in members.blocks(BLOCK):
        numbers, times = np.unique(block, return_counts=True)
        inside[numbers] = np.minimum(inside[numbers] + times, 2)
    shared, kept, start = Spool(np.uint32), np.zeros(len(counts), dtype=np.uint8), 0
    for begin in range(0, len(counts), ASSEMBLED):
        sizes = counts[begin : begin + ASSEMBLED].astype(np.int64)
        keys = members.get(start, int(sizes.sum()))
        start += len(keys)
        usable = inside[keys] > 1
        shared.append(keys[usable])
        kept[begin : begin + ASSEMBLED] = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[usable], minlength=len(sizes))
    return shared, kept


def _rarest(hashes: Spool, offsets: NDArray[Any], tell: Callable[[float], None]) -> Spool:
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

    numbers = Spool()
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


def _of_equal(numbers: Spool, of_part: Callable[[Words], Groups], tell: Callable[[float], None] = lambda share: None) -> Spool:
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
    dealt, filled = Spool(), starts.copy()
    for row, ordered in enumerate(in_threads(np.sort, numbers.blocks(BLOCK))):
        _put_apart(dealt, ordered, filled, sizes[row])
        tell(0.3 * (row + 1) / len(sizes))
    answers = Spool(np.uint32)
    for begin, size in zip(starts.tolist(), totals.tolist(), strict=True):
        if size:
            answers.put(begin, of_part(dealt.get(begin, size)))
            tell(0.3 + 0.3 * (begin + size) / numbers.length)
    del dealt
    result, filled = Spool(np.uint32), starts.copy()
    for row, order in enumerate(in_threads(np.argsort, numbers.blocks(BLOCK))):
        answer = np.empty(len(order), dtype=np.uint32)
        answer[order] = answers.gather(filled, sizes[row])
        result.append(answer)
        filled += sizes[row]
        tell(0.6 + 0.4 * (row + 1) / len(sizes))
    return result


def _put_apart(dealt: Spool, ordered: Words, filled: NDArray[np.int64], sizes: NDArray[np.uint32]) -> None:
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
