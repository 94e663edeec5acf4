"""Texts searched together: none that holds what is looked for is passed over."""

from instructsel.gates.sieve import FEW, Sieve


def test_a_text_that_holds_a_word_or_a_pattern_is_likely_and_one_beyond_ascii_always_is():
    sieve = Sieve(["So SORRY.", "Nothing.", "Café"] * FEW)
    assert sieve.holding(["sorry"], any_case=True).tolist() == [True, False, True] * FEW
    assert sieve.holding(["sorry"]).tolist() == [False, False, True] * FEW
    assert sieve.holding(["SORRY"], first=4).tolist() == [False, False, True] * FEW
    assert sieve.matching("[Nn]oth").tolist() == [False, True, True] * FEW


def test_few_texts_are_all_likely():
    assert Sieve(["Nothing."]).holding(["sorry"]).tolist() == [True]
