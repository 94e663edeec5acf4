"""`dsir`: rows whose words are likelier under the target set than under the pool."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.selection.baselines._target import check_target
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.baselines.random_subset import random_numbers
from instructsel.selection.candidates import Ranking, ScoredCandidates

BUCKETS: Final = 10_000
WORD: Final = re.compile(r"\w+|[^\w\s]+")
SMALLEST: Final = 2.0**-54
"""In place of a random number of 0, whose logarithm is none."""


class Dsir(Baseline):
    """Importance resampling toward a target set.

    Words and pairs of words are hashed into 10,000 buckets; a row's importance is the logarithm of how much likelier its buckets are under
    the target set than under the candidates; rows are drawn by it without replacement, which is the order of importance plus Gumbel noise.
    Instruction and response are read together, in small letters. Importance adds up over a text, as in the paper, so that long rows
    have large ones of either sign. Both distributions are smoothed by one count a bucket, which the paper's code offers for small target
    sets. The noise depends on the seed and the row's id alone.
    """

    name: ClassVar[str] = "dsir"
    title: ClassVar[str] = "rows drawn by how much likelier their words are under a target set than in the pool"
    unit: ClassVar[str] = "minus the log importance weight plus Gumbel noise, nats"
    seeded: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    source: ClassVar[str] = "DSIR with hashed n-grams, Xie et al. 2023, arXiv:2302.03169"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """Minus the noisy importance.

        Raises:
            UsageError: no target, or targets that are in the pool.
        """
        target = context.target
        assert target is not None
        check_target(candidates, target)
        positions = candidates.eligible.tolist()
        ratio = log_ratio(
            (example.text for example in target.examples()), (example.text for example in candidates.pool.examples(positions))
        )
        importance = np.array([_importance(example.text, ratio) for example in candidates.pool.examples(positions)])
        noise = random_numbers(candidates.ids.at(positions), context.seed)
        gumbel = -np.log(-np.log(np.maximum(noise, SMALLEST)))
        details = {"importance": {"targets": len(target), "buckets": BUCKETS, "target_fingerprint": target.fingerprint}}
        return Ranking(self.named(context.seed), self.unit, -(importance + gumbel), details=details, indicators=())


def _importance(text: str, ratio: NDArray[np.float64]) -> float:
    # Sorted, so that the sum does not depend on the order of words that hash to the same buckets.
    return float(ratio[np.sort(buckets(text))].sum())


def log_ratio(target: Iterable[str], pool: Iterable[str]) -> NDArray[np.float64]:
    """Logarithm of each bucket's probability under the target set over that under the pool, float64 (BUCKETS,)."""
    logs: list[NDArray[np.float64]] = []
    for texts in (target, pool):
        counts = np.ones(BUCKETS, dtype=np.int64)
        for text in texts:
            counts += np.bincount(buckets(text), minlength=BUCKETS)
        logs.append(np.log(counts) - np.log(counts.sum()))
    return logs[0] - logs[1]


def buckets(text: str) -> NDArray[np.int64]:
    """The bucket of every word and every pair of neighboring words, int64 (2k − 1,) for k words.

    >>> len(buckets("One two. One")), len(set(buckets("one ONE").tolist()))
    (7, 2)
    """
    words = WORD.findall(text.lower())
    return np.array([_bucket(word) for word in [*words, *map(" ".join, pairwise(words))]], dtype=np.int64)


@lru_cache(maxsize=1 << 20)
def _bucket(ngram: str) -> int:
    return int.from_bytes(hashlib.blake2b(ngram.encode(errors="surrogatepass"), digest_size=8).digest(), "big") % BUCKETS


__all__ = ["Dsir", "buckets", "log_ratio"]
