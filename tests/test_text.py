"""Tables and lines for a terminal: nothing wider than asked, nothing broken inside a word that fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from instructsel.text import aligned, columns_of, wrapped

WORDS = st.text(st.sampled_from("ab,/-中"), min_size=1, max_size=30)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


@given(TEXTS, st.integers(2, 40))
def test_no_line_is_wider_than_asked_and_nothing_is_lost(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(columns_of(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(TEXTS)
def test_a_word_that_fits_is_on_one_line(text: str) -> None:
    lines = wrapped(text, 60)
    assert [word for line in lines for word in line.split()] == text.split()


@given(st.lists(st.tuples(TEXTS, st.integers(0, 10**9), TEXTS), min_size=1, max_size=5))
def test_a_table_fits_eighty_columns(rows: list[tuple[str, int, str]]) -> None:
    lines = aligned(rows, header=["what it is", "number", "more"], right=(1,))
    assert all(columns_of(line) <= 80 for line in lines)


def test_the_widest_columns_of_text_are_wrapped_and_numbers_stay_whole() -> None:
    rows = [["response_length", "1,234,567", "the number of tokens in the response"]]
    assert aligned(rows, header=["indicator", "examples", "what it measures"], right=(1,), width=50) == [
        "indicator         examples  what it measures",
        "------------------------------------------------",
        "response_length  1,234,567  the number of tokens",
        "                            in the response",
    ]


def test_intervals_are_wrapped_only_where_text_alone_is_not_enough() -> None:
    rows = [["weight of len", "[0.123, 0.456]", "[0.123, 0.456]"]]
    assert aligned(rows, right=(1, 2), width=40) == [
        "weight  [0.123, 0.456]  [0.123, 0.456]",
        "of len",
    ]
    assert max(map(len, aligned(rows, right=(1, 2), width=30))) <= 30


def test_wide_signs_are_counted_as_two_columns() -> None:
    lines = aligned([["中文", "a"], ["ab", "b"]])
    assert lines == ["中文  a", "ab    b"]


def test_a_table_that_fits_is_not_touched() -> None:
    assert aligned([["a  b", 1]], header=["x", "y"], right=(1,)) == ["x     y", "-------", "a  b  1"]
