"""The reasoning of a turn: in its field, or between marks in its text.

<think>…</think> and its kin, [THINK]…[/THINK], <|begin_of_thought|>…<|end_of_thought|>, Harmony's channel `analysis`. A mark that is quoted, stands
in code, or is spoken about is none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from instructsel.pool.message import Message
from instructsel.text import is_blank

WORDS: Final = (
    "think|thinking|thought|thoughts|reasoning|seed:think|scratchpad|inner_monologue|internal_monologue|chain_of_thought|thought_process"
)
"""Names of elements that hold reasoning."""
MARK: Final = re.compile(
    rf"<(?P<close>/)?(?P<name>{WORDS})>"
    r"|\[(?P<close_square>/)?(?P<square>THINK)\]"
    r"|<\|(?P<edge>begin|end)_of_thought\|>"
    r"|<\|(?P<cohere>START|END)_THINKING\|>"
    r"|(?P<kimi>\u25c1/?think\u25b7)"
    r"|<\|channel\|>(?P<channel>\w+)[^<]*<\|message\|>|(?P<stop><\|(?:end|return|call|start)\|>)",
    re.IGNORECASE,
)
HINT: Final = re.compile(rf"</?(?:{WORDS})>|\[/?THINK\]|_of_thought\||_THINKING\||\u25c1|<\|channel\|>", re.IGNORECASE)
"""What a text with a mark has: most have none."""
CODE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?^ {0,3}\1|(?<!`)(`{1,2})(?!`)[^`\n]+?\2(?!`)", re.DOTALL | re.MULTILINE)
"""Fenced code, and code inside a line."""
SPOKEN: Final = re.compile(r"\s+(?:tags?|tokens?|elements?|blocks?|markers?|sections?|and\s+</?\w+>)\b", re.IGNORECASE)
"""What follows a mark that is spoken about."""
QUOTES: Final = frozenset("\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb")
ANALYSIS: Final = frozenset({"analysis"})
"""Harmony's channel of reasoning; the answer stands in another one."""


@dataclass(frozen=True)
class Fault:
    """Marks that do not fit together."""

    kind: str
    """unclosed, unopened, nested, or doubled."""
    mark: str
    place: int
    """Characters in front of the mark."""


@dataclass
class Thought:
    """What of a turn is reasoning and what is answer."""

    reasoning: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    has_marks: bool = False

    @property
    def is_reasoned(self) -> bool:
        """Whether there is any reasoning to be seen."""
        return any(not is_blank(text) for text in self.reasoning)

    @property
    def is_answered(self) -> bool:
        """Whether there is any text beside it."""
        return any(not is_blank(text) for text in self.answer)


@dataclass(frozen=True)
class _Mark:
    name: str
    is_opening: bool
    text: str
    start: int
    stop: int


def thought_of(turn: Message) -> Thought:
    """A turn as reasoning and answer, with the marks that do not fit together."""
    thought = Thought(answer=[turn.content]) if not HINT.search(turn.content) else _read(turn.content)
    if turn.reasoning is not None and not is_blank(turn.reasoning):
        marks = _marks(turn.reasoning) if HINT.search(turn.reasoning) else []
        if marks:
            thought.faults.append(Fault("doubled", marks[0].text, marks[0].start))
        elif thought.is_reasoned and thought.has_marks:
            thought.faults.append(Fault("doubled", "", 0))
        thought.reasoning.append(turn.reasoning)
    return thought


def _read(text: str) -> Thought:
    """A text as reasoning and answer; where a fence of code hides half of a pair, with the marks inside of code."""
    code = [match.span() for match in CODE.finditer(text)] if "`" in text or "~~~" in text else []
    thought = _paired(text, _marks(text, code))
    if code and thought.faults:
        unhidden = _paired(text, _marks(text))
        return thought if unhidden.faults else unhidden
    return thought


def _paired(text: str, marks: list[_Mark]) -> Thought:
    thought = Thought()
    opened: list[_Mark] = []
    cursor = 0
    for mark in marks:
        thought.has_marks = True
        (thought.reasoning if opened else thought.answer).append(text[cursor : mark.start])
        cursor = mark.stop
        if mark.is_opening:
            if opened:
                thought.faults.append(Fault("nested", mark.text, mark.start))
            opened.append(mark)
        elif any(other.name == mark.name for other in opened):
            # What was opened inside and never closed ends with what holds it.
            while opened[-1].name != mark.name:
                other = opened.pop()
                thought.faults.append(Fault("unclosed", other.text, other.start))
            opened.pop()
        else:
            thought.faults.append(Fault("unopened", mark.text, mark.start))
            if not opened:
                # Templates that open the reasoning themselves leave the text such: what stands in front is reasoning.
                thought.reasoning += thought.answer
                thought.answer = []
    (thought.reasoning if opened else thought.answer).append(text[cursor:])
    thought.faults += [Fault("unclosed", mark.text, mark.start) for mark in opened]
    return thought


def _marks(text: str, code: Sequence[tuple[int, int]] = ()) -> list[_Mark]:
    """The marks of a text outside of code, in order."""
    marks: list[_Mark] = []
    channel: _Mark | None = None
    for match in MARK.finditer(text):
        start, stop = match.span()
        if _is_inside(start, code) or _is_quoted(text, start, stop):
            continue
        if match["stop"] is not None or match["channel"] is not None:
            if channel is not None:
                marks.append(_Mark("channel", False, match[0], start, stop if match["channel"] is None else start))
                channel = None
            if match["channel"] is not None and match["channel"].lower() in ANALYSIS:
                channel = _Mark("channel", True, match[0], start, stop)
                marks.append(channel)
            continue
        if match["square"] is not None:
            # In lower case it is a word in brackets.
            if match["square"] == "THINK":
                marks.append(_Mark("[THINK]", match["close_square"] is None, match[0], start, stop))
        elif match["edge"] is not None:
            marks.append(_Mark("of_thought", match["edge"].lower() == "begin", match[0], start, stop))
        elif match["cohere"] is not None:
            marks.append(_Mark("THINKING", match["cohere"].upper() == "START", match[0], start, stop))
        elif match["kimi"] is not None:
            marks.append(_Mark("kimi", "/" not in match[0], match[0], start, stop))
        else:
            marks.append(_Mark(match["name"].lower(), match["close"] is None, match[0], start, stop))
    return marks


def _is_inside(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a place is in one of some spans, which are in order and apart."""
    number = bisect_right(spans, place, key=itemgetter(0)) - 1
    return number >= 0 and place < spans[number][1]


def _is_quoted(text: str, start: int, stop: int) -> bool:
    before, after = text[start - 1 : start], text[stop : stop + 1]
    if before in QUOTES and before and after in QUOTES and after:
        return True
    return SPOKEN.match(text, stop) is not None


__all__ = ["Fault", "Thought", "thought_of"]
