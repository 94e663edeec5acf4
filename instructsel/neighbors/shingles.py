"""The shingles of a pool's texts, with all that finds the pairs that share most of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.bucketing import banded, buckets_of
from instructsel.neighbors.minhash import SKETCH, forget_words, hashed
from instructsel.neighbors.spool import Spool
from instructsel.neighbors.word_hashes import Words, batches
from instructsel.processes import in_order

BATCH: Final = 1 << 19
"""Characters of text hashed at a time."""
FOUR_BYTES: Final = 0xFFFFFFFF
"""The highest number that four bytes hold."""

Progress = Callable[[int, int], None]
"""Called with how many texts are done, and how many there are."""


@dataclass(frozen=True, eq=False)
class Shingles:
    """The shingle sets of texts, and the buckets that near-duplicates share.

    Memory is 5 bytes per text, and some 30 while they are made. The shingles, 8 bytes each, the sketches and the buckets are in temporary files.
    """

    spool: Spool
    """64-bit shingle hashes, all texts one after the other, ascending and without repetition within each."""
    offsets: NDArray[np.uint32] | NDArray[np.int64]
    """(n + 1,), where each text's hashes begin; of four bytes each where there are fewer than 2³² hashes."""
    members: Spool
    """The buckets of each text that another one is in, ascending, all texts one after the other; numbered from 1."""
    counts: NDArray[np.uint8]
    """(n,), how many these are, 0 for a text that repeats no other one."""
    n_buckets: int
    """How many there are in all."""
    sketches: Spool
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
        hashes, bands, sketches = Spool(), Spool(), Spool()
        sizes: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
        if total is None and isinstance(texts, Sequence):
            total = len(texts)
        n_read = 0
        for distinct, counts, band_keys, odd in in_order(hashed, batches(texts, BATCH, len)):
            hashes.append(distinct)
            # Band by band, so that one of them is read without the others.
            bands.append(band_keys.T)
            sketches.append(odd)
            sizes.append(counts.astype(np.uint32))
            n_read += len(counts)
            if progress is not None:
                progress(n_read, max(n_read, total or 0))
        forget_words()
        batch_sizes = [len(batch) for batch in sizes]
        offsets: NDArray[Any] = np.zeros(n_read + 1, dtype=np.uint32 if hashes.length <= FOUR_BYTES else np.int64)
        np.cumsum(np.concatenate(sizes), dtype=offsets.dtype, out=offsets[1:])
        del sizes

        def tell(share: float) -> None:
            if bucketing is not None:
                bucketing(int(share * n_read), n_read)

        columns, n_bands = banded(bands, batch_sizes, lambda share: tell(share / 2))
        del bands
        members, counts_of, n_buckets = buckets_of(columns, n_bands, hashes, offsets, lambda share: tell((1 + share) / 2))
        tell(1.0)
        return cls(hashes, offsets, members, counts_of, n_buckets, sketches)

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
