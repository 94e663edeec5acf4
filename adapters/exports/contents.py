"""What a conversation holds that some consumer of training data cannot take, one name for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from instructsel.pool.example import Example
from instructsel.pool.message import ANSWERS, Message

CONTENTS: Final[dict[str, str]] = {
    "no_prompt": "a response as first turn",
    "no_response": "a response that is empty",
    "later_turns": "turns behind the last trained response",
    "several_turns": "several turns",
    "not_alternating": "turns in which user and model do not alternate",
    "system": "a system text",
    "empty_system": "a system text that is empty",
    "developer": "a developer text",
    "late_system": "a system text that is not the first turn",
    "tools": "tools",
    "odd_tools": "tools that are no list of objects",
    "calls": "calls of tools",
    "parallel_calls": "several calls in one turn",
    "text_and_calls": "a text and calls in one turn",
    "odd_arguments": "calls whose arguments are no JSON object",
    "call_ids": "ids of calls",
    "results": "results of tools",
    "result_names": "names of tools beside their results",
    "structured_results": "results that are objects or lists",
    "results_out_of_order": "results in another order than their calls",
    "unpaired_results": "several calls whose results are not one for each",
    "reasoning": "reasoning",
    "marked_reasoning": "reasoning that spells out <think> or </think>",
    "untrained": "responses of weight 0",
    "weights": "weights other than 0 and 1",
    "weights_of_others": "weights of turns that the model did not write",
    "names": "names of speakers",
    "parts": "texts in several parts",
    "huge_numbers": "integers of more than 64 bits in tools or calls",
    "long_numbers": "numbers of more than 15 digits in tools or calls",
}
"""What a conversation may hold → how a sentence calls it that begins with `12 rows have`."""
ENCODINGS: Final[dict[str, str]] = {
    "template_refused": "a conversation that the chat template refuses",
    "not_a_prefix": "earlier turns that the chat template rewrites",
    "too_many_turns": "more turns than can be rendered one by one",
    "calls_not_rendered": "calls that the chat template leaves out",
    "no_loss_token": "no token for the loss to fall on",
    "truncated": "more tokens than a row may have",
    "tools_not_rendered": "tools that the chat template leaves out",
    "reasoning_not_rendered": "reasoning that the chat template leaves out",
}
"""What a chat template makes of a conversation → how a sentence calls it that begins with `12 rows have`."""
NAMES: Final = {**CONTENTS, **ENCODINGS}
"""All that an export may name."""

OPENING: Final = ("system", "developer")
DIGITS: Final = 15


@dataclass(frozen=True)
class Exported:
    """An example on its way out."""

    example: Example
    turns: tuple[Message, ...]
    """Those that are written, in order."""
    place: str
    """FILE:LINE of its row."""

    @property
    def opening(self) -> Message | None:
        """The system or developer text that the conversation begins with; None where there is none."""
        return self.turns[0] if self.turns and self.turns[0].role in OPENING else None

    @property
    def dialogue(self) -> tuple[Message, ...]:
        """The turns without the opening."""
        return self.turns if self.opening is None else self.turns[1:]


def contents(example: Example, turns: Sequence[Message]) -> frozenset[str]:
    """The names of CONTENTS that an example's turns have.

    Args:
        example: the example.
        turns: of its turns those that would be written.
    """
    return frozenset(_names(example, turns))


def _names(example: Example, turns: Sequence[Message]) -> Iterator[str]:
    last = example.last_answer
    if last + 1 < len(example.messages):
        yield "later_turns"
    if example.messages[last].is_empty:
        yield "no_response"
    dialogue = turns[1:] if turns and turns[0].role in OPENING else turns
    if last == 0:
        yield "no_prompt"
    if any(turn.role in OPENING for turn in dialogue):
        yield "late_system"
    if len(dialogue) > 2:
        yield "several_turns"
    roles = [turn.role in ANSWERS for turn in dialogue if turn.role not in OPENING]
    if roles[::2] != [False] * len(roles[::2]) or roles[1::2] != [True] * len(roles[1::2]) or len(roles) % 2:
        yield "not_alternating"
    values: list[Any] = []
    for turn in turns:
        yield from _of_turn(turn)
        values += [call.arguments.value for call in turn.tool_calls if call.arguments is not None]
    yield from _of_results(turns)
    for turn in turns[:last]:
        if turn.role in ANSWERS and not turn.is_trained:
            yield "untrained"
    if example.tools is not None:
        yield "tools"
        listed = example.tools.value
        values.append(listed)
        if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
            yield "odd_tools"
    for number in (number for value in values for number in _numbers(value)):
        if isinstance(number, int) and not -(1 << 63) <= number < 1 << 63:
            yield "huge_numbers"
        elif isinstance(number, float) and len(repr(number).split("e")[0].replace(".", "").replace("-", "").strip("0")) > DIGITS:
            yield "long_numbers"


def results_of(turns: Sequence[Message], number: int) -> list[Message]:
    """The results that follow the turn of this number."""
    end = number + 1
    while end < len(turns) and turns[end].role == "tool":
        end += 1
    return list(turns[number + 1 : end])


def _of_results(turns: Sequence[Message]) -> Iterator[str]:
    """How the results of several calls at once stand to them; what has no ids stands in the order of its calls."""
    for number, turn in enumerate(turns):
        results = results_of(turns, number) if len(turn.tool_calls) > 1 else []
        called, answered = [call.id for call in turn.tool_calls], [result.tool_call_id for result in results]
        if not results or (None in called and answered == [None] * len(called)):
            continue
        if None in called or len(set(called)) < len(called) or sorted(map(str, answered)) != sorted(map(str, called)):
            yield "unpaired_results"
        elif answered != called:
            yield "results_out_of_order"


def in_order_of_calls(turns: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with the results of several calls in the order of these, where each call has one."""
    ordered = list(turns)
    for number, turn in enumerate(turns):
        results = results_of(turns, number) if len(turn.tool_calls) > 1 else []
        place = {call.id: position for position, call in enumerate(turn.tool_calls)}
        if results and None not in place and len(place) == len(results) and {result.tool_call_id for result in results} == place.keys():
            ordered[number + 1 : number + 1 + len(results)] = sorted(results, key=lambda result: place[result.tool_call_id])
    return tuple(ordered)


def _of_turn(turn: Message) -> Iterator[str]:
    if turn.role in OPENING:
        yield turn.role
        if not turn.content:
            yield "empty_system"
    if turn.role == "tool":
        yield "results"
        if turn.name is not None:
            yield "result_names"
        if turn.is_structure:
            yield "structured_results"
    elif turn.name is not None:
        yield "names"
    if turn.tool_calls:
        yield "calls"
        if len(turn.tool_calls) > 1:
            yield "parallel_calls"
        if turn.content:
            yield "text_and_calls"
        if any(call.arguments is None or not isinstance(call.arguments.value, dict) for call in turn.tool_calls):
            yield "odd_arguments"
    if turn.tool_call_id is not None or any(call.id is not None for call in turn.tool_calls):
        yield "call_ids"
    if turn.reasoning is not None:
        yield "reasoning"
        if "<think>" in turn.reasoning or "</think>" in turn.reasoning:
            yield "marked_reasoning"
    if turn.parts:
        yield "parts"
    if turn.weight not in (None, 0, 1):
        yield "weights"
    if turn.weight not in (None, 1) and turn.role not in ANSWERS:
        yield "weights_of_others"


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers in a JSON value, however deep."""
    pending = [value]
    while pending:
        entry = pending.pop()
        if isinstance(entry, dict):
            pending += entry.values()
        elif isinstance(entry, list):
            pending += entry
        elif isinstance(entry, int | float) and not isinstance(entry, bool):
            yield entry


def only_last_trained(turns: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with weight 0 on every response but the last one."""
    last = max((number for number, turn in enumerate(turns) if turn.is_trained), default=-1)
    return tuple(
        replace(turn, weight=0.0) if turn.role in ANSWERS and turn.is_trained and number != last else turn
        for number, turn in enumerate(turns)
    )


__all__ = ["CONTENTS", "ENCODINGS", "NAMES", "Exported", "contents", "in_order_of_calls", "only_last_trained"]
