"""Rows that no other row is like are told without a sketch, and no pair is lost."""

import random

import numpy as np
import pytest

from instructsel.gates.duplicates.alone import may_repeat
from instructsel.gates.duplicates.pairs import near_pairs
from instructsel.gates.duplicates.texts import comparable
from instructsel.neighbors.shingles import Shingles

WORDS = [
    *[
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "is",
        "it",
        "you",
        "that",
        "he",
        "was",
        "for",
        "on",
        "are",
        "with",
        "as",
        "I",
        "his",
        "they",
        "be",
        "at",
        "one",
        "have",
        "this",
    ],
    "Straße",
    "日本",
    "3",
    "-",
    "5,",
    "(x)",
]


def texts(seed: int, n: int = 300) -> list[str]:
    rng = random.Random(seed)
    made = [" ".join(rng.choice(WORDS) for _ in range(rng.choice((1, 3, 5, 6, 20, 60)))) for _ in range(n)]
    for _ in range(n // 3):
        words = rng.choice(made).split()
        for _ in range(rng.choice((0, 1, 2))):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        made.append(" ".join(words))
    return made


@pytest.mark.parametrize("threshold", [0.6, 0.8, 1.0])
def test_every_pair_is_of_two_rows_that_may_repeat(threshold):
    listed = texts(int(threshold * 10))
    shingles = Shingles.of([comparable(text) for text in listed])
    pairs = near_pairs(shingles, np.ones(len(listed), dtype=bool), threshold)
    likely = may_repeat(listed, threshold)
    assert len(pairs) > 20
    assert all(likely[pair.removed] and likely[pair.kept] for pair in pairs)


def test_most_rows_of_their_own_are_told():
    rng = random.Random(1)
    listed = [" ".join(f"w{rng.randrange(5000)}" for _ in range(40)) for _ in range(200)]
    assert not may_repeat([*listed, "one two"], 0.8)[:-1].any()
    assert may_repeat([*listed, listed[3].upper() + "!"], 0.8).nonzero()[0].tolist() == [3, 200]
    assert may_repeat([], 0.8).shape == (0,)
