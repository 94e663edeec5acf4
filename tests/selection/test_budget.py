"""Budgets and quotas."""

from __future__ import annotations

from typing import Any, cast

import pytest

from instructsel.errors import UsageError
from instructsel.selection.budget import Count, Fraction, Tokens, as_budget, as_quotas, cap_of, check_quotas, parse, parse_quotas


@pytest.mark.parametrize(
    ("x", "size", "rows"), [(0.29, 100, 29), (0.1, 52_002, 5200), (1.0, 7, 7), (1e-9, 10, 1), (0.57, 100, 57), (1 / 3, 9, 2)]
)
def test_a_fraction_is_rounded_down_exactly_and_keeps_at_least_one(x: float, size: int, rows: int) -> None:
    assert Fraction(x).rows(size) == rows


@pytest.mark.parametrize("x", [0, 0.0, -0.1, 1.0001, float("nan"), True])
def test_a_fraction_outside_0_to_1_is_refused(x: Any) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        Fraction(x)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_a_count_that_is_no_positive_whole_number_is_refused(n: Any) -> None:
    with pytest.raises(UsageError, match="whole number of examples"):
        Count(n)
    with pytest.raises(UsageError, match="whole number of tokens"):
        Tokens(n, "t")


def test_a_whole_number_means_examples_and_a_float_a_fraction() -> None:
    assert (as_budget(5), as_budget(0.5), as_budget(Tokens(9, "t"))) == (Count(5), Fraction(0.5), Tokens(9, "t"))
    with pytest.raises(UsageError, match="A budget is a number, not the text '5'"):
        as_budget(cast(Any, "5"))


def test_a_command_line_gives_exactly_one_budget() -> None:
    assert (parse(n=3), parse(fraction=0.5), parse(tokens=9, tokenizer="t")) == (Count(3), Fraction(0.5), Tokens(9, "t"))
    for flags in ({}, {"n": 1, "fraction": 0.5}, {"tokens": 5}, {"n": 5, "tokenizer": "t"}, {"fraction": 0.0}, {"n": 0}):
        with pytest.raises(UsageError):
            parse(**flags)  # type: ignore[arg-type]


def test_quotas_are_numbers_or_shares() -> None:
    assert parse_quotas(["a=500", "b=0.3", "c=d=1"]) == as_quotas({"a": 500, "b": 0.3, "c=d": 1})
    assert (cap_of(500, 1000), cap_of(0.29, 100), cap_of(1.0, 10)) == (500, 29, 10)
    for entry in ("a", "=5", "a=", "a=x", "a=-1", "a=1.5", "a=nan", "a=inf", "a=..", "a=5..2"):
        with pytest.raises(UsageError, match="quota"):
            parse_quotas([entry])
    with pytest.raises(UsageError, match="two quotas"):
        parse_quotas(["a=1", "a=2"])


def test_a_quota_for_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'dolly'"):
        check_quotas(as_quotas({"doly": 5}), ["dolly", "alpaca"], 10)
