"""The audit: what is counted before the first step, and what is skipped."""

from __future__ import annotations

import pytest

from instructsel.adapters.training_data import MAX_SKIPPED_FRACTION, TrainingData
from instructsel.errors import TrainingError
from instructsel.grading.chat import Encoded


def row(prompt: int, answer: int, *, truncated: bool = False, control: bool = False) -> Encoded:
    """So many tokens of a prompt and of an answer."""
    return Encoded([7] * (prompt + answer), [False] * prompt + [True] * answer, 1, truncated=truncated, control=control)


def skipped(reason: str, *, control: bool = False) -> Encoded:
    return Encoded([], [], 0, truncated=False, reason=reason, control=control)


def line(position: int) -> str:
    return f"pool.jsonl:{position + 1}"


def test_rows_and_tokens_are_counted_as_they_are_trained_on() -> None:
    rows = [row(3, 2), skipped("no_response", control=True), row(0, 4), row(6, 1, truncated=True, control=True)]
    audit, kept = TrainingData.of(rows, line)
    assert kept == [rows[0], rows[2], rows[3]]
    assert (audit.rows, audit.trained_rows, audit.skipped, audit.named) == (4, 3, {"no_response": 1}, ("pool.jsonl:2 (no_response)",))
    # 5 + 4 + 7 tokens; the loss falls on 2 + 3 + 1 of them, for the first token of the second row is never predicted.
    assert (audit.tokens, audit.loss_tokens, audit.longest) == (16, 6, 7)
    assert (audit.truncated, audit.control) == (1, 2)


def test_skipped_rows_are_counted_by_reason_and_the_first_three_named() -> None:
    reasons = ["template_refused", "no_response", "no_response", "no_loss_token", "no_response"]
    audit, kept = TrainingData.of([skipped(reason) for reason in reasons], line)
    assert audit.skipped == {"no_response": 3, "no_loss_token": 1, "template_refused": 1} and kept == []
    assert list(audit.skipped) == sorted(audit.skipped)
    assert audit.named == ("pool.jsonl:1 (template_refused)", "pool.jsonl:2 (no_response)", "pool.jsonl:3 (no_response)")


def test_skipped_rows_are_named_as_they_stand_in_their_files_whatever_the_order_of_training() -> None:
    rows = [skipped("no_response"), skipped("no_loss_token"), row(1, 1), skipped("no_response")]
    audit, _ = TrainingData.of(rows, line, order=lambda position: -position)
    assert audit.named == ("pool.jsonl:4 (no_response)", "pool.jsonl:2 (no_loss_token)", "pool.jsonl:1 (no_response)")
    assert "first: pool.jsonl:4 (no_response), pool.jsonl:2 (no_loss_token)" in audit.lines()[2]


def test_a_row_of_every_twenty_may_be_skipped_and_no_more() -> None:
    assert MAX_SKIPPED_FRACTION == 0.05
    bad = skipped("no_loss_token")
    TrainingData.of([bad, *[row(1, 1)] * 19], line)[0].check()
    with pytest.raises(
        TrainingError, match=r"1 of 19 rows has no loss token \(1 no_loss_token, the prompt alone fills the length; first: pool.jsonl:1\)"
    ) as caught:
        TrainingData.of([bad, *[row(1, 1)] * 18], line)[0].check()
    assert (
        caught.value.exit_code == 3
        and "Raise max_length" in str(caught.value.fix)
        and "--max-skipped-fraction 0.06" in str(caught.value.fix)
    )


def test_the_limit_can_be_moved_but_something_is_always_left_to_train_on() -> None:
    half = TrainingData.of([skipped("no_response"), row(1, 1)], line)[0]
    half.check(0.5)
    with pytest.raises(TrainingError):
        half.check(0.49)
    with pytest.raises(TrainingError, match="2 of 2 rows"):
        TrainingData.of([skipped("no_response")] * 2, line)[0].check(1.0)
    with pytest.raises(TrainingError, match="There are no rows"):
        TrainingData.of([], line)[0].check(1.0)


def test_an_audit_is_plain_data_and_lines_for_people() -> None:
    audit, _ = TrainingData.of([row(3, 2, truncated=True, control=True), row(3, 2), skipped("no_response")], line)
    assert audit.as_dict() == {
        "rows": 3,
        "trained_rows": 2,
        "skipped": {"no_response": 1},
        "named": ["pool.jsonl:3 (no_response)"],
        "tokens": 10,
        "loss_tokens": 4,
        "truncated": 1,
        "control": 1,
        "left_out": {},
        "longest": 5,
        "max_length": None,
        "context": None,
        "loss": "completion",
    }
    assert audit.lines() == [
        "2 of 3 rows are trained on: 10 tokens, 4 of them loss tokens (40%); longest row 5",
        "truncated: 1 row (50.0%)",
        "skipped: 1 no_response, the response is empty; first: pool.jsonl:3",
        "1 row spells out a special token of the tokenizer; it is read as its letters",
    ]
    assert len(TrainingData.of([row(3, 2)], line)[0].lines()) == 2
    assert TrainingData.of([], line)[0].lines()[0].startswith("0 of 0 rows")
