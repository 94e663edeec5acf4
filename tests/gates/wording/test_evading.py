"""Short responses that only turn their prompt down are told from their words, and answers are none of them."""

from __future__ import annotations

import pytest

from instructsel.gates.wording.evading import LONGEST, evades
from tests.gates.checks.asking import flags, row

QUESTION = "Who owns the larger basin of the harbor?"


@pytest.mark.parametrize(
    "text",
    [
        "I don't think I should get into this topic.",
        "I'd rather leave this question to someone else.",
        "No comment.",
        "Please ask me something else.",
        "That is not a subject I am comfortable with.",
        "Sorry, I have to end the conversation here.",
        "My hands are tied, so I cannot say more about harbors.",
    ],
)
def test_a_response_that_only_turns_down_is_a_refusal(text: str) -> None:
    assert evades(text.lower(), QUESTION)
    assert flags("refusal", row(text, QUESTION))


@pytest.mark.parametrize(
    "text",
    [
        "Nobody does: the town gave the basin up in 1931.",
        "I don't think the town owns it any more.",
        "Is there anything else I can help you with?",
        "I'm sorry to hear that. Let me help you.",
        "No.",
        "The port authority, not the town, answers for it.",
        "Only when I don't have to talk to others.",
        "I can't say no to\na second line.",
        "I cannot help with this topic. " * 6,
    ],
)
def test_an_answer_an_offer_and_a_longer_text_are_none(text: str) -> None:
    assert not evades(text.lower(), QUESTION)


@pytest.mark.parametrize(
    "prompt", ["Write a polite sentence.", "What would you reply?", "Translate this: no comment", "Rewrite the statement."]
)
def test_what_a_prompt_asks_somebody_to_say_is_none(prompt: str) -> None:
    assert not evades("i don't think i should get into this topic.", prompt)


def test_a_limit_of_characters_holds_for_these_too() -> None:
    assert not flags("refusal", row("I don't think I should get into this topic.", QUESTION), max_characters=20)
    assert LONGEST > 20
