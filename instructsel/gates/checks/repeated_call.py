"""Calls that are made again though nothing new came in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.tools import CallMade, exchanges, has_tools, signature
from instructsel.text import neutral


@dataclass(frozen=True)
class RepeatedCall(RowCheck):
    """The same call with the same arguments again, without new output in between."""

    number: ClassVar[str] = "IS062"
    kind: ClassVar[str] = "repeated-call"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "marin-community/marin#9259, which filters the third such call; here the second is one"
    fix: ClassVar[str] = "Take the repeated call and its result out, or the row: the model learns to turn in circles."

    least_calls: int = field(default=2, metadata=between(2, 1_000))
    """How often the same call is made until it counts as repeated."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each call that is repeated, at the turn where it counts."""
        for row in change.rows:
            if not has_tools(row.example):
                continue
            calls = exchanges(row.example).calls
            user_turns = [number for number, turn in enumerate(row.example.messages, 1) if turn.role == "user"]
            for one, times, first in _repeated(calls, user_turns):
                if times == self.least_calls:
                    name = neutral(one.call.name, 60)
                    message = f"Turn {one.turn} calls {name} as turn {first.turn} did, with the same arguments and nothing new in between."
                    yield Hit(row.position, message, float(times), evidence=one.call.text, key=f"{one.turn} {one.number}")


def _repeated(calls: Sequence[CallMade], asked: Sequence[int]) -> Iterator[tuple[CallMade, int, CallMade]]:
    """Calls that are repeated: which, for the how manieth time, and the one before it.

    A call is repeated where the same one was made since the user last spoke, its result is no other than before, and no other call in
    between gave a result that was not known.
    """
    chains: dict[str, tuple[int, int]] = {}
    for number, one in enumerate(calls):
        key = signature(one.call)
        earlier, times = chains.get(key, (None, 0))
        if earlier is None or not _is_again(calls, earlier, number, asked):
            chains[key] = (number, 1)
            continue
        chains[key] = (number, times + 1)
        yield one, times + 1, calls[earlier]


def _is_again(calls: Sequence[CallMade], earlier: int, number: int, asked: Sequence[int]) -> bool:
    first, second = calls[earlier], calls[number]
    if any(first.turn < turn < second.turn for turn in asked):
        return False
    if first.turn == second.turn:
        # Side by side: two rolls of dice may be wanted, and differ.
        return first.result == second.result
    if second.result is not None and second.result != first.result:
        return False
    known = {call.result for call in calls[: earlier + 1]}
    return all(call.result is None or call.result in known for call in calls[earlier + 1 : number])


__all__ = ["RepeatedCall"]
