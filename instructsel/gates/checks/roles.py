"""Conversations that a trainer does not take as they are: who begins, whether speakers alternate, where the system text stands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.contents import CONTENTS, OPENING, contents
from instructsel.adapters.exports.registry import export_of, exports
from instructsel.errors import UsageError
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.pool.message import Message

CHAT: Final = "chat"
"""The profile that chat templates ask for, whatever the trainer."""
OTHERS: Final = frozenset({"no_response", "later_turns"})
"""What an export names and others say: an empty response is a check of its own, later turns are looked at by this one."""
SPEAKERS: Final = {
    "user": "the user",
    "assistant": "the model",
    "tool": "a tool",
    "system": "a system text",
    "developer": "a developer text",
}
FIXES: Final = {
    "first": "Put a turn of the user in front of it, or take the row out.",
    "alternate": "Join the two turns, or put what stood between them back.",
    "system": "Move the text into the first turn.",
    "last": "End the row with the model's turn.",
    "empty": "Write the turn, or take it out with what belongs to it.",
}


@dataclass(frozen=True)
class Roles(RowCheck):
    """Conversations whose turns are in no order that a trainer takes."""

    number: ClassVar[str] = "IS003"
    kind: ClassVar[str] = "roles"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = (
        "the chat templates of open models; with a trainer's profile, its documentation as `instructsel export` names it"
    )
    fix: ClassVar[str] = "Put the turns into the order that the trainer takes, or take the row out."

    profile: str = CHAT
    """Whose rules hold: `chat` (user and model alternate, a system text is the first turn, the last turn is the model's), or a consumer of
    `instructsel export`, e.g. trl, llamafactory, axolotl, whose own rules hold besides: what it refuses or leaves out is named."""

    def __post_init__(self) -> None:
        if self.profile != CHAT and self.profile not in exports():
            raise UsageError.named(self.profile, [CHAT, *exports()], noun="profile")

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each rule that a row breaks, with the first turn that does."""
        consumer = None if self.profile == CHAT else export_of(self.profile)
        settings = ExportSettings() if consumer is None else consumer.decided(ExportSettings())
        refused = frozenset[str]() if consumer is None else (consumer.refusals(settings) | consumer.left_out) - OTHERS
        for row in change.rows:
            turns = row.example.messages
            # Most rows are a question and its answer.
            if refused or len(turns) != 2 or turns[0].role != "user" or turns[1].role != "assistant" or turns[0].is_empty:
                broken = list(_broken(turns))
                for rule, number, message in broken:
                    yield Hit(row.position, message, float(number), evidence=turns[number - 1].text, key=rule, fix=FIXES[rule])
                if consumer is not None and refused:
                    # What a rule of every chat says already is not said again.
                    known = {"first": "no_prompt", "alternate": "not_alternating", "system": "late_system"}
                    names = refused & contents(row.example, consumer.turns(row.example, settings)) - {
                        known[rule] for rule, _, _ in broken if rule in known
                    }
                    for name in sorted(names):
                        yield Hit(row.position, f"{consumer.title} does not take {CONTENTS[name]}.", key=name)


def _broken(turns: Sequence[Message]) -> Iterator[tuple[str, int, str]]:
    """The rules of a chat that turns break: rule, the number of the first turn that does from 1, what is wrong."""
    late = next((i for i, turn in enumerate(turns) if turn.role in OPENING and i), None)
    if late is not None:
        yield "system", late + 1, f"Turn {late + 1} is {SPEAKERS[turns[late].role]}; only the first turn may be one."
    spoken = [(number, turn) for number, turn in enumerate(turns, 1) if turn.role not in OPENING]
    number, first = spoken[0]
    if first.role != "user":
        yield "first", number, f"The conversation begins with a turn of {SPEAKERS[first.role]}; the user's is expected."
    for (_, before), (number, turn) in itertools.pairwise(spoken):
        if not _may_follow(before, turn):
            message = (
                f"Turn {number} is of {SPEAKERS[turn.role]} and follows one of {SPEAKERS[before.role]}: user and model do not alternate."
            )
            yield "alternate", number, message
            break
    number, last = spoken[-1]
    if last.role != "assistant":
        yield "last", number, f"The conversation ends with a turn of {SPEAKERS[last.role]}; the model's is expected."
    # The last response has a check of its own, and a result may be empty.
    empty = next((n for n, turn in spoken if turn.is_empty and turn.role in ("user", "assistant") and 1 < n < len(turns)), None)
    if empty is not None:
        yield "empty", empty, f"Turn {empty}, of {SPEAKERS[turns[empty - 1].role]}, is empty."


def _may_follow(before: Message, turn: Message) -> bool:
    """Whether a turn may stand behind another: user and model by turns; behind a call its results, or further calls; then the model again."""
    if turn.role == "tool":
        # Whether there is a call that it answers is another check's question.
        return True
    if turn.role == "assistant":
        return before.role != "assistant" or bool(before.tool_calls or turn.tool_calls)
    return before.role == "assistant"


__all__ = ["Roles"]
