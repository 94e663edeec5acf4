"""Roles: what a chat template, and what a trainer asks of the turns of a row."""

from __future__ import annotations

import pytest

from instructsel.errors import UsageError
from instructsel.gates.checks.roles import Roles
from tests.gates.checks.hits_of import chat, hits_of, is_hit, keys_of, turns

CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
U, A, S = ("user", "u"), ("assistant", "a"), ("system", "s")


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (turns(A, U, A), "first"),
        (turns(S, A, U, A), "first"),
        (turns(("tool", "t"), A), "first"),
        (turns(U, U, A), "alternate"),
        (turns(U, A, A), "alternate"),
        (turns(U, CALL, ("tool", "t"), U, A), "alternate"),
        (turns(U, A, S, U, A), "system"),
        (turns(S, S, U, A), "system"),
        (turns(U, A, U), "last"),
        (turns(U, A, ("user", " "), A), "empty"),
        (turns(U, ("assistant", ""), U, A), "empty"),
    ],
)  # fmt: skip
def test_a_row_in_no_order_is_named_with_the_rule_it_breaks(row: dict[str, object], rule: str) -> None:
    assert rule in keys_of(Roles(), row)


@pytest.mark.parametrize(
    "row",
    [
        chat("a"),
        turns(S, U, A),
        turns(("developer", "d"), U, A, U, A),
        turns(U, CALL),
        turns(U, CALL, ("tool", "t"), A),
        turns(U, CALL, CALL, ("tool", "t"), ("tool", "t"), A),
        turns(U, A, CALL, ("tool", "t"), A, U, A),
        turns(U, {"role": "assistant", "content": "a", "weight": 0}, U, A),
    ],
)
def test_a_row_in_order_is_not_named(row: dict[str, object]) -> None:
    assert keys_of(Roles(), row) == []


def test_the_turn_that_breaks_a_rule_is_counted_from_one() -> None:
    ((_, hit),) = hits_of(Roles(), [turns(U, A, U, U, A)])
    assert hit.value == 4 and hit.message == "Turn 4 is of the user and follows one of the user: user and model do not alternate."
    assert hit.fix.startswith("Join")


def test_a_trainer_s_profile_adds_what_its_export_refuses() -> None:
    thought = turns(U, {"role": "assistant", "content": "a", "reasoning_content": "r"})
    half = turns(U, {"role": "assistant", "content": "a", "weight": 0.5})
    assert not is_hit(Roles(), thought) and not is_hit(Roles(), half)
    assert keys_of(Roles(profile="open-instruct"), thought) == ["reasoning"]
    assert keys_of(Roles(profile="trl"), half) == ["weights"] and not is_hit(Roles(profile="trl"), thought)
    # Both say the same of it; it is named once.
    assert keys_of(Roles(profile="llamafactory"), turns(U, U, A)) == ["alternate"]
    # LLaMA-Factory skips two results in a row, which chat templates take.
    assert keys_of(Roles(profile="llamafactory"), turns(U, CALL, ("tool", "t"), ("tool", "t"), A)) == ["not_alternating"]


def test_a_profile_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'axolotl'"):
        Roles(profile="axolotle")
