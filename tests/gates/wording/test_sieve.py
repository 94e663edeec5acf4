"""Texts searched together: none that holds what is looked for is passed over."""

import numpy as np

from instructsel.gates.wording.sieve import FEW, Sieve


def test_a_text_that_holds_a_word_or_a_pattern_is_likely_and_one_beyond_ascii_is_wherever_capitals_count():
    sieve = Sieve(["So SORRY.", "Nothing.", "Café"] * FEW)
    assert sieve.holding(["sorry"], any_case=True).tolist() == [True, False, False] * FEW
    assert sieve.holding(["sorry"]).tolist() == [False, False, True] * FEW
    assert sieve.holding(["SORRY"], first=4).tolist() == [False, False, True] * FEW
    assert sieve.matching("[Nn]oth").tolist() == [False, True, True] * FEW


def test_few_texts_are_all_likely():
    assert Sieve(["Nothing."]).holding(["sorry"]).tolist() == [True]


def test_texts_beyond_ascii_are_searched_as_phrases_see_them():
    sieve = Sieve(["DÉSOLÉ, I\u2019M", "İstanbul désolé", "x" * 8 + "é I'M", "plain"] * FEW)
    assert sieve.holding(["désolé"], any_case=True).tolist() == [True, True, False, False] * FEW
    assert sieve.holding(["i'm"], any_case=True).tolist() == [True, False, True, False] * FEW
    assert sieve.holding(["i'm"], first=9, any_case=True).tolist() == [False, False, False, False] * FEW
    assert sieve.holding(["i'm"], last=3, any_case=True).tolist() == [True, False, True, False] * FEW


def test_half_of_a_surrogate_pair_is_searched_by_nobody():
    assert Sieve(["\ud800 é", "plain"] * FEW).holding(["sorry"], any_case=True).tolist() == [True, False] * FEW


def test_matches_are_those_of_every_text_that_is_searched():
    assert Sieve(["Large, later LA", "none", "lané"] * FEW).matches(r"(?i)(?:^|[^a-z])la[a-z]*") == ["Large", " later", " LA"] * FEW
    assert Sieve(["none"] * FEW).matches("la") == []
    assert Sieve(["la"]).matches("la") == []


def test_the_words_that_texts_hold_are_told_in_any_case_of_those_that_are_searched() -> None:
    texts = ["A HARBOR in the bay", "no word of it", "Le quai, né en 1865, and its harbor"]
    every = np.ones(3, dtype=bool)
    held = Sieve(texts, few=1).held(["harbor", "bor", "bay", "né"], every)
    assert held == [frozenset({"harbor", "bor", "bay"}), frozenset(), None]
    assert Sieve(texts, few=1).held(["harbor"], np.array([False, True, False])) == [frozenset()]
    assert Sieve(texts).held(["harbor"], every) == [None, None, None]
