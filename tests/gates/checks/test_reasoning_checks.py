"""Reasoning: opened and closed once, wanted or not, followed by an answer."""

from __future__ import annotations

from typing import Any

import pytest

from instructsel.gates.checks.missing_reasoning import MissingReasoning
from instructsel.gates.checks.reasoning_without_answer import ReasoningWithoutAnswer
from instructsel.gates.checks.unclosed_reasoning import UnclosedReasoning
from instructsel.gates.checks.unwanted_reasoning import UnwantedReasoning
from tests.gates.checks.hits_of import chat, hits_of, is_hit, keys_of, turns

PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<Thought>", "</Thought>"),
    ("<scratchpad>", "</scratchpad>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
]


def with_field(content: str, reasoning: str) -> dict[str, Any]:
    return turns(("user", "q"), {"role": "assistant", "content": content, "reasoning_content": reasoning})


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_every_pair_of_marks_is_opened_and_closed(opening: str, closing: str) -> None:
    check = UnclosedReasoning()
    assert keys_of(check, chat(f"{opening}\nTwo and two.\n{closing}\n\nFour.")) == []
    assert keys_of(check, chat(f"{opening}\nTwo and two.\n\nFour.")) == ["unclosed 2"]
    assert keys_of(check, chat(f"{opening}Two{closing}Four{opening}")) == ["unclosed 2"]
    if closing != "<|end|>":
        assert keys_of(check, chat(f"Two and two.\n{closing}\n\nFour.")) == ["unopened 2"]
        assert keys_of(check, chat(f"{opening}Two{opening}and{closing}two{closing}Four")) == ["nested 2"]
    assert keys_of(ReasoningWithoutAnswer(), chat(f"{opening}\nTwo and two.\n{closing}\n")) == ["2"]
    assert not is_hit(ReasoningWithoutAnswer(), chat(f"{opening}\nTwo and two.\n{closing}\nFour"))
    assert is_hit(UnwantedReasoning(mode="without"), chat(f"{opening}Two{closing}Four"))
    assert not is_hit(UnwantedReasoning(mode="without"), chat(f"{opening}\n\n{closing}\n\nFour"))
    assert is_hit(MissingReasoning(mode="with"), chat(f"{opening}\n\n{closing}\n\nFour"))
    assert not is_hit(MissingReasoning(mode="with"), chat(f"{opening}Two{closing}Four"))


def test_a_pair_of_two_kinds_is_neither_closed_nor_opened() -> None:
    assert keys_of(UnclosedReasoning(), chat("<think>Two</thinking>Four")) == ["unclosed 2", "unopened 2"]


@pytest.mark.parametrize(
    "text",
    [
        "The `<think>` tag begins the reasoning.",
        'It writes "<think>" first.',
        "The <think> tag begins the reasoning, the </think> tag ends it.",
        "Use it so:\n```\n<think>\n```\nThat is all.",
        "I [think] so; [THINK] tokens are Mistral's.",
        "if a <thinker> b",
        "Nothing of the kind.",
    ],
)
def test_a_mark_that_is_spoken_about_is_none(text: str) -> None:
    assert keys_of(UnclosedReasoning(), chat(text)) == [] and not is_hit(UnwantedReasoning(mode="without"), chat(text))


def test_code_inside_of_reasoning_hides_no_mark() -> None:
    assert keys_of(UnclosedReasoning(), chat("<think>\nfirst\n```\nx = 1\n</think>\nSo:\n```\nx = 1\n```")) == []


def test_a_field_beside_marks_is_reasoning_twice() -> None:
    assert keys_of(UnclosedReasoning(), with_field("<think>a</think>b", "c")) == ["doubled 2"]
    assert keys_of(UnclosedReasoning(), with_field("b", "<think>\na\n</think>")) == ["doubled 2"]
    assert keys_of(UnclosedReasoning(), with_field("b", "a")) == []
    # Qwen3's empty pair in front of an answer whose reasoning has a field of its own.
    assert keys_of(UnclosedReasoning(), with_field("<think>\n\n</think>\n\nb", "a")) == []


def test_a_template_that_opens_the_reasoning_leaves_it_to_be_closed() -> None:
    row = chat("Two and two.</think>Four")
    assert is_hit(UnclosedReasoning(), row) and not is_hit(UnclosedReasoning(opened_by_template=True), row)
    assert not is_hit(MissingReasoning(mode="with"), row) and not is_hit(ReasoningWithoutAnswer(), row)


def test_a_field_of_reasoning_counts_as_marks_do() -> None:
    assert is_hit(ReasoningWithoutAnswer(), with_field("", "a")) and not is_hit(ReasoningWithoutAnswer(), with_field("b", "a"))
    call = {"role": "assistant", "content": "", "reasoning_content": "r", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    assert not is_hit(ReasoningWithoutAnswer(), turns(("user", "q"), call))
    assert is_hit(UnwantedReasoning(mode="without"), with_field("b", "a")) and not is_hit(UnwantedReasoning(), with_field("b", "a"))


def test_an_earlier_turn_that_is_trained_on_is_looked_at() -> None:
    row = turns(("user", "q"), ("assistant", "<think>a</think>"), ("user", "q"), ("assistant", "b"))
    assert keys_of(ReasoningWithoutAnswer(), row) == ["2"]
    row = turns(("user", "q"), {"role": "assistant", "content": "<think>a</think>", "weight": 0}, ("user", "q"), ("assistant", "b"))
    assert not is_hit(ReasoningWithoutAnswer(), row)


THOUGHT, PLAIN = "<think>\nTwo\n</think>\n\nFour", "Four"


@pytest.mark.parametrize(
    ("question", "system", "fields", "mode"),
    [
        ("What? /no_think", "", {}, "without"),
        ("What? /think", "", {}, "with"),
        ("/think What? /no_think", "", {}, "without"),
        ("What?", "detailed thinking off", {}, "without"),
        ("What?", "Detailed thinking on", {}, "with"),
        ("What?", "", {"enable_thinking": False}, "without"),
        ("What?", "", {"chat_template_kwargs": {"enable_thinking": True}}, "with"),
        ("What? See /usr/bin/think", "", {}, "any"),
        ("What?", "", {}, "any"),
    ],
)
def test_a_row_that_says_its_mode_is_held_to_it(question: str, system: str, fields: dict[str, Any], mode: str) -> None:
    def row(answer: str) -> dict[str, Any]:
        return turns(*([("system", system)] if system else []), ("user", question), ("assistant", answer), **fields)

    assert is_hit(UnwantedReasoning(), row(THOUGHT)) == (mode == "without") and not is_hit(UnwantedReasoning(), row(PLAIN))
    assert is_hit(MissingReasoning(), row(PLAIN)) == (mode == "with") and not is_hit(MissingReasoning(), row(THOUGHT))


def test_of_rows_that_do_not_say_their_mode_the_fewer_are_named() -> None:
    plain, reasoned = chat("Four."), chat("<think>\nTwo and two.\n</think>\n\nFour.")
    few = [hit for _, hit in hits_of(MissingReasoning(), [*[plain] * 190, *[reasoned] * 20])]
    assert (
        len(few) == 20
        and few[0].message == "Turn 2, the response, has reasoning, and 90% of the rows that do not say their mode have none."
    )
    assert len(hits_of(MissingReasoning(), [*[reasoned] * 190, *[plain] * 20])) == 20
    assert hits_of(MissingReasoning(), [*[plain] * 300, *[reasoned] * 2]) == []
    assert hits_of(MissingReasoning(), [*[plain] * 90, *[reasoned] * 20]) == []
    assert hits_of(MissingReasoning(mode="without"), [*[plain] * 190, *[reasoned] * 20]) == []
