"""Shingles of a saved pool, asked with those of new texts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from instructsel.gates.duplicates.saved import SavedShingles
from instructsel.neighbors.shingles import Shingles

WORDS = [f"word{number}" for number in range(60)]


def texts(seed: int, n: int) -> list[str]:
    """Texts of all lengths, many of them near-copies of one another."""
    source = random.Random(seed)
    made: list[str] = ["", "one", "one two"]
    while len(made) < n:
        words = source.choice(made).split() if source.random() < 0.6 else source.choices(WORDS, k=source.randint(1, 80))
        for _ in range(source.randint(0, 3)):
            if words:
                words[source.randrange(len(words))] = source.choice(WORDS)
        made.append(" ".join(words))
    return made


def saved_of(listed: list[str]) -> SavedShingles:
    return SavedShingles.of(Shingles.of(listed), np.array([bool(text) for text in listed]))


@pytest.mark.parametrize("threshold", [0.6, 0.8, 1.0])
def test_every_text_gets_the_row_that_it_repeats_most_as_if_it_was_compared_with_each(threshold: float) -> None:
    old, new = texts(1, 200), texts(1, 260)[60:]
    both = Shingles.of(old + new)
    nearest, similarity = saved_of(old).nearest(Shingles.of(new), np.array([bool(text) for text in new]), threshold)
    for number, text in enumerate(new):
        values = [both.jaccard(row, len(old) + number) if old[row] and text else -1.0 for row in range(len(old))]
        best = int(np.argmax(values))
        assert nearest[number] == (best if values[best] >= threshold else -1)
        assert similarity[number] == (values[best] if values[best] >= threshold else 0)


def test_rows_that_are_passed_over_or_not_accepted_are_nobody_s_copy() -> None:
    old = ["one two three four five six seven", "one two three four five six seven eight"]
    new = Shingles.of(["one two three four five six seven"])
    saved, asked = saved_of(old), np.ones(1, dtype=bool)
    assert saved.nearest(new, asked, 0.7)[0].tolist() == [0]
    assert saved.nearest(new, asked, 0.7, but=np.array([True, False]))[0].tolist() == [1]
    assert saved.nearest(new, asked, 0.7, accepts=lambda text, row, value: row == 1)[0].tolist() == [1]
    assert saved.nearest(new, asked, 0.7, accepts=lambda text, row, value: False)[0].tolist() == [-1]


def test_two_saved_pools_make_the_one_that_both_together_make() -> None:
    first, second = texts(2, 90), texts(3, 70)
    source = random.Random(4)
    index = source.sample(range(len(first) + len(second)), 120)
    places = np.full(len(first) + len(second), -1)
    places[index] = np.arange(len(index))
    merged = SavedShingles.merged(saved_of(first), saved_of(second), np.array(index), (places[: len(first)], places[len(first) :]))
    both = saved_of([(first + second)[row] for row in index])
    for name, array in both.arrays.items():
        assert (merged.arrays[name] == array).all(), name


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    arrays = saved_of(texts(5, 20)).arrays
    for name in arrays:
        with pytest.raises(ValueError, match="belong together"):
            SavedShingles.stored({**arrays, name: arrays[name][1:] if name != "keys" else arrays[name][::-1]})


def test_ten_thousand_rows_of_one_template_are_asked_in_no_time_of_their_number() -> None:
    frame = " ".join(f"frame{number}" for number in range(60))
    saved = saved_of([f"{frame} {number}" for number in range(10_000)])
    asked = Shingles.of([f"{frame} 77", f"{frame} new"])
    nearest, similarity = saved.nearest(asked, np.ones(2, dtype=bool), 0.8)
    assert (nearest >= 0).all()
    assert (similarity >= 0.8).all()
