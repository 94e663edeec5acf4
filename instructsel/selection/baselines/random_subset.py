"""`random`: a random subset of the candidates. The one that a selection has to beat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from instructsel.pool.pool import Pool
from instructsel.rules.linear import Floats
from instructsel.selection.baselines.base import RANDOM, Baseline, Context
from instructsel.selection.candidates import Candidates, Ranking, ScoredCandidates
from instructsel.selection.choose import fill


class RandomSubset(Baseline):
    """A random subset."""

    name: ClassVar[str] = RANDOM
    title: ClassVar[str] = "in an order that depends on the seed and the row's id alone"
    unit: ClassVar[str] = "a random number in [0, 1)"
    seeded: ClassVar[bool] = True

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """The candidates in random order."""
        return random_ranking(candidates, context.seed)


def random_ranking(candidates: Candidates, seed: int) -> Ranking:
    """The candidates in random order, by numbers that depend on the seed and on each id alone."""
    values = random_numbers(candidates.ids.at(candidates.eligible), seed)
    return Ranking(f"{RANDOM}-seed{seed}", "a random number", values, details={"seed": seed}, indicators=())


def random_subset(candidates: Candidates, n: int | None, seed: int) -> Pool:
    """A random subset of the candidates without near-duplicates: the rows of the arm `random`, wherever one is needed.

    Args:
        candidates: what may be chosen, as `SelectionSet.candidates()` or `Candidates.of(pool, settings)` gives it.
        n: examples; None for the candidates' own budget.
        seed: a whole number; the same seed gives the rows of `select --baseline random`.
    """
    candidates = candidates.unfiltered()
    limited = candidates if n is None else candidates.with_budget(n)
    filled = fill(limited, random_ranking(limited, seed).order())
    return candidates.pool.at(np.sort(filled.chosen))


def random_numbers(ids: Iterable[str], seed: int) -> Floats:
    """A number in [0, 1) per id: blake2b of the seed and the id, so that no other row and no order has a part in it.

    >>> random_numbers(["a", "b"], 0)[0] == random_numbers(["b", "a"], 0)[1]
    np.True_
    """
    key = f"instructsel random {seed}\0".encode()
    return (
        np.array(
            [int.from_bytes(hashlib.blake2b(key + name.encode(), digest_size=8).digest(), "big") >> 11 for name in ids], dtype=np.float64
        )
        / 2.0**53
    )


__all__ = ["RandomSubset", "random_numbers", "random_ranking", "random_subset"]
