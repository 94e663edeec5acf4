"""Answers that say what their tools cannot do: what a model with tools is to learn, where a request needs none of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from instructsel.pool.example import Example

OF_TOOLS: Final = re.compile(
    r"\bcapabilit(?:y|ies)\b|\bfunctions?\b|\bfunctionalit|\btools?\b|\bexternal (?:tasks?|services?|systems?|actions?|platforms?)\b|\bapis?\b|\bplugins?\b"
)
"""What such an answer speaks of."""
FORBIDDEN: Final = re.compile(
    r"harm|illegal|unethical|inappropriate|offensive|violat|polic(?:y|ies)|guideline|danger|unsafe|hate|moral|language model|openai|chatgpt|anthropic|trained by"
)
"""What an answer speaks of that would not if it could, or that names its maker."""
BEHIND: Final = 240
"""Characters behind the beginning of the refusal."""


def has_tools(example: Example) -> bool:
    """Whether a conversation has tools: a list of them, a call, or a result."""
    return example.tools is not None or any(turn.tool_calls or turn.role == "tool" for turn in example.messages)


def of_tools(low: str, start: int, example: Example) -> bool:
    """Whether a refusal says what the conversation's tools cannot do.

    Args:
        low: the answer in small letters.
        start: where the refusal begins.
        example: the conversation.
    """
    words = low[start : start + BEHIND]
    return OF_TOOLS.search(words) is not None and FORBIDDEN.search(words) is None and has_tools(example)


__all__ = ["has_tools", "of_tools"]
