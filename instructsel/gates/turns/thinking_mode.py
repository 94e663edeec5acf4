"""Whether a row is one with reasoning or without: what a configuration says of all, or what the row says of itself.

Qwen3's /think and /no_think, Nemotron's `detailed thinking on`, SmolLM3's, and the field `enable_thinking` that templates take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from instructsel.gates.change import Change, ChangedRow

Mode = Literal["with", "without", "any"]
"""with: every row has reasoning; without: none has; any: as the row says itself, and either where it says nothing."""
SWITCH: Final = re.compile(r"(?:^|\s)/(?P<no>no_?)?think(?:ing)?(?=\s|$)")
THINKING: Final = re.compile(r"\bdetailed thinking (?P<state>on|off)\b", re.IGNORECASE)
FIELDS: Final = ("enable_thinking", "thinking_mode", "use_thinking", "with_reasoning")
"""Fields that say it, in the row or in `chat_template_kwargs`."""
KWARGS: Final = "chat_template_kwargs"
OFF: Final = frozenset({"off", "false", "no", "none", "without", "no_think", "disabled", "chat", "non-thinking", "nothink"})
ON: Final = frozenset({"on", "true", "yes", "with", "think", "enabled", "thinking"})


def mode_of(row: ChangedRow, change: Change, mode: str) -> str:
    """with, without, or any."""
    if mode != "any":
        return mode
    fields = _fields(row, change)
    stated = next((state for name in FIELDS if (state := _state(fields.get(name))) is not None), None)
    if stated is not None:
        return stated
    answer = row.example.last_answer
    # The last switch counts, as with Qwen3: in the turns that the response answers.
    for turn in reversed(row.example.messages[:answer]):
        if turn.role == "user":
            switches = list(SWITCH.finditer(turn.content)) if "think" in turn.content else []
            if switches:
                return "without" if switches[-1]["no"] else "with"
        elif turn.role in ("system", "developer"):
            if match := THINKING.search(turn.content):
                return "with" if match["state"].lower() == "on" else "without"
            if match := SWITCH.search(turn.content):
                return "without" if match["no"] else "with"
    return "any"


def _fields(row: ChangedRow, change: Change) -> Mapping[str, Any]:
    """The fields of a row, where the rows of its file have such fields."""
    files: dict[int, bool] = change.shared("thinking fields", dict)
    number = int(change.pool.file_of[row.position])
    if number not in files:
        first = change.fields(row.position)
        files[number] = KWARGS in first or not first.keys().isdisjoint(FIELDS)
    if not files[number]:
        return {}
    fields = change.fields(row.position)
    more = fields.get(KWARGS)
    return {**more, **fields} if isinstance(more, Mapping) else fields


def _state(value: Any) -> str | None:
    if isinstance(value, bool):
        return "with" if value else "without"
    if not isinstance(value, str):
        return None
    word = value.strip().lower()
    return "without" if word in OFF else "with" if word in ON else None


__all__ = ["Mode", "mode_of"]
