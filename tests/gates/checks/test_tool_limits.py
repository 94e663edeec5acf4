"""What a model with tools says of what these cannot do is neither a refusal nor another assistant's voice."""

from __future__ import annotations

from typing import Any

import pytest

from instructsel import Pool
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate

TOOLS = [{"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object", "properties": {}}}}]
LIMIT = "I'm sorry, but as an AI, I don't have the capability to perform external tasks such as ordering a pizza. My functions tell tides."
FORBIDDEN = "I'm sorry, but I can't assist with that. It would be harmful, whatever functions I have."
NAMED = "I'm sorry, but as an AI language model trained by OpenAI I don't have the capability to perform external tasks."


def named(text: str, *, tools: bool) -> set[str]:
    """Which of the two checks name a response."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Order a pizza."}, {"role": "assistant", "content": text}]
    row: dict[str, Any] = {"messages": turns} | ({"tools": TOOLS} if tools else {})
    config = GateConfig.of({"check": [{"kind": "refusal"}, {"kind": "self-reference"}]}, ".", where="a test")
    return {finding.kind for finding in gate(Pool.of([row]), config).findings}


@pytest.mark.parametrize(
    ("text", "tools", "kinds"),
    [
        (LIMIT, True, set()),
        (LIMIT, False, {"refusal", "self-reference"}),
        (FORBIDDEN, True, {"refusal"}),
        (NAMED, True, {"refusal", "self-reference"}),
    ],
)
def test_the_limits_of_tools_are_told_from_refusals(text: str, tools: bool, kinds: set[str]) -> None:
    assert named(text, tools=tools) == kinds
