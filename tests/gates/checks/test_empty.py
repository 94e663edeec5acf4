"""Prompts and responses in which nothing can be seen."""

from __future__ import annotations

import pytest

from tests.gates.checks.asking import dialogue, flags, hits, row

CALL = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": '{"port": "Brest"}'}}


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\ufeff \u3164", "\u2800"])
def test_a_response_without_anything_to_see_is_empty(text: str) -> None:
    assert [hit.message for hit in hits("empty-response", row(text), row("Yes."))] == ["The response is empty."]


@pytest.mark.parametrize("text", ["0", ".", "\u200bx", "🙂"])
def test_a_response_of_one_sign_is_not_empty(text: str) -> None:
    assert not flags("empty-response", row(text))


def test_a_turn_that_calls_a_tool_or_thinks_is_not_empty() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "content": "5.1", "tool_call_id": "c1"}
    question = {"role": "user", "content": "Tide?"}
    rows = [
        {"messages": [question, called, result, {"role": "assistant", "content": "5.1 metres."}]},
        {"messages": [question, called]},
        {"messages": [question, {"role": "assistant", "content": "", "reasoning_content": "The port answers."}]},
    ]
    for one in rows:
        assert not flags("empty-response", one)
        assert not flags("empty-prompt", one)


def test_an_earlier_answer_that_is_empty_is_named() -> None:
    assert [hit.key for hit in hits("empty-response", dialogue("Hi.", " ", "And now?", "Yes."))] == ["answer 1"]


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_a_prompt_without_anything_to_see_is_empty(text: str) -> None:
    assert len(hits("empty-prompt", dialogue(text, "Yes."), dialogue("Hi.", "Yes."))) == 1
    assert flags("empty-prompt", dialogue(text, "Yes.", system="Be kind."))


def test_a_later_prompt_that_is_empty_is_named() -> None:
    assert [hit.key for hit in hits("empty-prompt", dialogue("Hi.", "Yes.", " ", "No."))] == ["turn 4"]


def test_a_response_that_answers_nothing_has_an_empty_prompt() -> None:
    assert flags("empty-prompt", {"messages": [{"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Hello."}]})
