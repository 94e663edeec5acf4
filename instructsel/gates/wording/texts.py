"""The texts of a change, as the checks of content look at them: answers with what they answer, and every text of a row with its place."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from instructsel.text import HIDDEN, masked

THOUGHT: Final = ("<think>", "</think>")
"""Between which a response that is one text holds its reasoning."""
FENCE: Final = "```"
REPEATED: Final = 6
"""Characters of a secret, from which on its every occurrence is hidden: shorter ones are words, too."""
AROUND: Final = 60
"""Characters of a text before and after what is shown of it."""
TOOLS: Final = "the tools"
ARGUMENTS: Final = "the arguments"
FAR: Final = 300
"""Characters beyond which a word is cut in two."""
ADDRESS: Final = re.compile(r"(?:https?://|www\.)\S{1,2000}")
TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
INLINE: Final = re.compile(r"`[^`\n]{1,200}`")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of a row."""

    position: int
    """Of the example among those of the change."""
    where: str
    """In words, as a message names it: the prompt, the response, the arguments of a call."""
    text: str
    is_answer: bool = False
    """Whether it is the text of a turn that is trained on."""

    @property
    def holds(self) -> str:
        """The beginning of a sentence that says what it holds."""
        verb = "hold" if self.where == TOOLS or self.where.startswith(ARGUMENTS) else "holds"
        return f"{self.where.capitalize()} {verb}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A turn that the model wrote and that is trained on."""

    position: int
    number: int
    """Among the answers of its row, from 1."""
    of: int
    """Answers of its row."""
    text: str
    """Without white space around, and without reasoning between tags at its beginning."""
    prompt: str
    """The turns of users that it answers, a line each; "" where it answers none, or the result of a call."""
    message: Message

    @property
    def name(self) -> str:
        """What messages call it."""
        return "The response" if self.number == self.of else f"Answer {self.number} of {self.of}"

    def hit(self, message: str, *, value: float | None = None, evidence: str = "", about: str = "") -> Hit:
        """A finding about it; `about` tells several of a check in one answer apart."""
        turn = "" if self.number == self.of else f"answer {self.number}"
        return Hit(self.position, message, value, evidence=evidence or self.text, key=" ".join(part for part in (turn, about) if part))


def answers(change: Change) -> tuple[Answer, ...]:
    """Every turn that is trained on, in the order of the rows."""
    return change.shared("answers", lambda: tuple(answer for row in change.rows for answer in answers_of(row.position, row.example)))


def answers_of(position: int, example: Example) -> list[Answer]:
    """The turns of one example that are trained on."""
    messages = example.messages
    if len(messages) == 2 and messages[0].role == "user" and messages[1].is_trained:
        # Most rows.
        return [Answer(position, 1, 1, without_thought(messages[1].content), messages[0].content, messages[1])]
    trained = [number for number, message in enumerate(example.messages) if message.is_trained]
    turns = []
    prompt: list[str] = []
    for number, message in enumerate(example.messages[: trained[-1] + 1]):
        if message.role == "user":
            prompt.append(message.content)
        elif message.role == "assistant":
            if message.is_trained:
                turns.append((number, "\n".join(prompt)))
            prompt = []
    return [
        Answer(position, order, len(turns), without_thought(example.messages[number].content), question, example.messages[number])
        for order, (number, question) in enumerate(turns, 1)
    ]


def passages(change: Change) -> tuple[Passage, ...]:
    """Every text of every row: turns, names, reasoning, calls with their arguments, and tools."""
    return change.shared("passages", lambda: tuple(passage for row in change.rows for passage in passages_of(row.position, row.example)))


def passages_of(position: int, example: Example) -> Iterator[Passage]:
    """Every text of one example."""
    last = example.last_answer
    for number, message in enumerate(example.messages):
        where = _where(message, number, last)
        if message.content:
            yield Passage(position, where, message.content, message.is_trained)
        if message.reasoning is None and message.name is None and message.tool_call_id is None and not message.tool_calls:
            continue
        if message.reasoning:
            yield Passage(position, f"the reasoning of {where}", message.reasoning, message.is_trained)
        if message.name:
            yield Passage(position, f"the name of {where}", message.name)
        if message.tool_call_id:
            yield Passage(position, f"the id of {where}", message.tool_call_id)
        for call in message.tool_calls:
            yield Passage(position, f"a call of {where}", call.name if call.id is None else f"{call.name} {call.id}", message.is_trained)
            if call.arguments is not None:
                yield Passage(position, f"{ARGUMENTS} of a call of {where}", call.arguments.text, message.is_trained)
    if example.tools is not None:
        yield Passage(position, TOOLS, example.tools.text)


def _where(message: Message, number: int, last: int) -> str:
    if number == last:
        return "the response"
    if message.role == "user" and last == number + 1:
        return "the prompt"
    return f"turn {number + 1} ({message.role})"


def without_thought(text: str) -> str:
    """A response without reasoning between tags at its beginning, and without white space around.

    >>> without_thought("<think>Two and two.</think> Four.")
    'Four.'
    """
    stripped = text.strip()
    if stripped.startswith(THOUGHT[0]):
        _, end, answer = stripped.partition(THOUGHT[1])
        return answer.strip() if end else ""
    return stripped


def without_fences(text: str) -> str:
    """A text without its fenced code; a fence that never closes takes the rest.

    >>> without_fences("Run:\\n```\\nls\\n```\\nDone.")
    'Run:\\n\\n\\nDone.'
    """
    return text if FENCE not in text else "\n".join(text.split(FENCE)[::2])


def prose(text: str) -> str:
    """A text without code, tags and addresses: what a language may be told from."""
    unfenced = without_fences(text)
    if "`" in unfenced:
        unfenced = INLINE.sub(" ", unfenced)
    if "://" in unfenced or "www." in unfenced:
        unfenced = ADDRESS.sub(" ", unfenced)
    return TAG.sub(" ", unfenced) if "<" in unfenced else unfenced


def around(text: str, start: int, end: int) -> str:
    """What stands around a place of a text, masked before it is cut: half of a secret is not known as one."""
    begin, stop = max(0, start - FAR), min(len(text), end + FAR)
    shown = masked(text[begin:stop])
    place = len(masked(text[begin:start]))
    before, after = max(0, place - AROUND), min(len(shown), place + end - start + AROUND)
    return ("…" if begin + before else "") + shown[before:after] + ("…" if stop < len(text) or after < len(shown) else "")


def disjoint(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places of a text in order, those that overlap as one.

    >>> disjoint([(5, 9), (0, 2), (7, 12)])
    [(0, 2), (5, 12)]
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def hidden_around(text: str, spans: Sequence[tuple[int, int]], start: int, end: int) -> str:
    """What stands around a secret, with a mark in place of it and of every other one nearby, whose places are `disjoint`.

    Words at both ends that are cut in two are left out: they may be what nobody should see.
    """
    before, after = max(0, start - 2 * AROUND), min(len(text), end + 2 * AROUND)
    while before > 0 and not text[before - 1].isspace() and start - before < FAR:
        before -= 1
    while after < len(text) and not text[after].isspace() and after - end < FAR:
        after += 1
    pieces, place = [], before
    values = {text[start:end]}
    first = max(0, bisect_right(spans, (before, len(text))) - 1)
    for there, there_end in spans[first : bisect_left(spans, (after, 0))]:
        if there_end <= before:
            continue
        if there < before:
            place = max(place, there_end)
            continue
        pieces += [text[place:there], HIDDEN]
        place = max(place, there_end)
        values.add(text[there:there_end])
    pieces.append(text[place:after] if place < after else "")
    shown = "".join(pieces)
    # Said once more without the form that tells it, it is the same secret.
    values |= {value.rpartition(":")[2] for value in values}
    for value in sorted((value for value in values if len(value) >= REPEATED), key=len, reverse=True):
        shown = shown.replace(value, HIDDEN)
    if before and not text[before - 1].isspace():
        shown = shown.partition(" ")[2]
    if after < len(text) and not text[after].isspace():
        shown = shown.rpartition(" ")[0]
    return masked(shown) if shown else HIDDEN


__all__ = [
    "Answer",
    "Passage",
    "answers",
    "answers_of",
    "around",
    "disjoint",
    "hidden_around",
    "passages",
    "passages_of",
    "prose",
    "without_fences",
    "without_thought",
]
