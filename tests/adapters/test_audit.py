"""The audit: what is counted before the first step, and what is refused."""

from __future__ import annotations

import pytest

from instructsel.adapters.audit import MAX_REFUSED, Audit
from instructsel.errors import TrainingError
from instructsel.grading.chat import Encoded


def row(prompt: int, answer: int, *, truncated: bool = False, control: bool = False) -> Encoded:
    """So many tokens of a prompt and of an answer."""
    return Encoded([7] * (prompt + answer), [False] * prompt + [True] * answer, 1, truncated=truncated, control=control)


def refused(reason: str, *, control: bool = False) -> Encoded:
    return Encoded([], [], 0, truncated=False, reason=reason, control=control)


def named(n: int) -> list[str]:
    return [f"row-{number}" for number in range(n)]


def test_rows_and_tokens_are_counted_as_they_are_trained_on() -> None:
    rows = [row(3, 2), refused("no_response", control=True), row(0, 4), row(6, 1, truncated=True, control=True)]
    audit, kept = Audit.of(named(4), rows)
    assert kept == [rows[0], rows[2], rows[3]]
    assert (audit.rows, audit.trained_rows, audit.refused, audit.named) == (4, 3, {"no_response": 1}, ("row-1 (no_response)",))
    # 5 + 4 + 7 tokens; the loss falls on 2 + 3 + 1 of them, for the first token of the second row is never predicted.
    assert (audit.tokens, audit.trained_tokens, audit.longest) == (16, 6, 7)
    assert (audit.truncated, audit.control) == (1, 2)


def test_refused_rows_are_counted_by_reason_and_the_first_three_named() -> None:
    reasons = ["template_refused", "no_response", "no_response", "no_trained_token", "no_response"]
    audit, kept = Audit.of(named(5), [refused(reason) for reason in reasons])
    assert audit.refused == {"no_response": 3, "no_trained_token": 1, "template_refused": 1} and kept == []
    assert list(audit.refused) == sorted(audit.refused)
    assert audit.named == ("row-0 (template_refused)", "row-1 (no_response)", "row-2 (no_response)")


def test_a_row_of_every_twenty_may_be_refused_and_no_more() -> None:
    assert MAX_REFUSED == 0.05
    bad = refused("no_trained_token")
    Audit.of(named(20), [bad, *[row(1, 1)] * 19])[0].check()
    with pytest.raises(TrainingError, match=r"1 of 19 rows have no token to train on \(no_trained_token: 1; for example row-0") as caught:
        Audit.of(named(19), [bad, *[row(1, 1)] * 18])[0].check()
    assert caught.value.exit_code == 3 and "Raise max_length" in str(caught.value.fix)


def test_the_limit_can_be_moved_but_something_is_always_left_to_train_on() -> None:
    half = Audit.of(named(2), [refused("no_response"), row(1, 1)])[0]
    half.check(0.5)
    with pytest.raises(TrainingError):
        half.check(0.49)
    with pytest.raises(TrainingError, match="2 of 2 rows"):
        Audit.of(named(2), [refused("no_response")] * 2)[0].check(1.0)
    with pytest.raises(TrainingError, match="there are no rows"):
        Audit.of([], [])[0].check(1.0)


def test_names_and_rows_that_are_not_of_a_number_are_refused() -> None:
    with pytest.raises(ValueError):
        Audit.of(named(2), [row(1, 1)])


def test_an_audit_is_plain_data_and_lines_for_people() -> None:
    audit, _ = Audit.of(named(3), [row(3, 2, truncated=True, control=True), row(3, 2), refused("no_response")])
    assert audit.as_dict() == {
        "rows": 3,
        "trained_rows": 2,
        "refused": {"no_response": 1},
        "named": ["row-2 (no_response)"],
        "tokens": 10,
        "trained_tokens": 4,
        "truncated": 1,
        "control": 1,
        "longest": 5,
    }
    assert audit.lines() == [
        "2 of 3 rows are trained on: 10 tokens, the loss falls on 4 (40%); longest row 5",
        "truncated: 1 rows (50.0%)",
        "refused: 1 no_response; first row-2 (no_response)",
        "1 rows spell out a control token of the tokenizer; it is read as its letters",
    ]
    assert len(Audit.of(named(1), [row(3, 2)])[0].lines()) == 2
    assert Audit.of([], [])[0].lines()[0].startswith("0 of 0 rows")
