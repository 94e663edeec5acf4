"""Where in a rendered conversation the texts of its turns stand: learnt by rendering it again with marks in them.

A template may strip a turn, drop a part of it, write it twice, or write a text of its own that is equal to it. So a text is not
looked for: characters that occur nowhere in the conversation stand in it, and what is rendered with them must be what is rendered
without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Turns = list[dict[str, Any]]
"""Messages as templates take them: role, content, reasoning, calls."""
Span = tuple[int, int]
"""First position of a text, and the one behind its last."""

LAST_PRIVATE = 0xF8FF
"""Of the characters that Unicode leaves to private use; taken downwards."""


def unused(turns: Turns) -> str:
    """A character that the conversation does not have."""
    text = set().union(*(part for turn in turns for part in all_texts(turn)))
    number = LAST_PRIVATE
    while chr(number) in text:
        number -= 1
    return chr(number)


def all_texts(value: Any) -> Iterator[str]:
    """Every text in a turn or in tools: contents, names, arguments. The names of fields are texts of arguments, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from all_texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from all_texts(part)


def replaced(value: Any, change: Callable[[str], str]) -> Any:
    """A turn, or a part of it, with every text changed but the role."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): part if key == "role" else replaced(part, change) for key, part in value.items()}
    return [replaced(part, change) for part in value] if isinstance(value, list | tuple) else value


def with_end_marked(turns: Turns, mark: str) -> Turns:
    """The conversation with a mark behind the last content, before white space at its end: a template may strip it."""
    content = turns[-1]["content"]
    length = len(content.rstrip())
    return [*turns[:-1], {**turns[-1], "content": content[:length] + mark + content[length:]}]


def end_of_mark(text: str, marked: str, mark: str) -> int | None:
    """Where in a text the last content ends; None where the template makes something else of a content with a mark.

    Args:
        text: the conversation, rendered.
        marked: the one of `with_end_marked`, rendered.
        mark: it.
    """
    before, separator, behind = marked.rpartition(mark)
    place = len(text) - len(behind)
    # Lengths, for a template may change letters; it may write the content more than once, too.
    return place if separator and len(before.replace(mark, "")) == place and text.endswith(behind) else None


@dataclass(frozen=True, eq=False)
class Spelled:
    """A conversation whose texts spell out special tokens of the tokenizer."""

    turns: Turns
    """The conversation."""
    tokens: tuple[str, ...]
    """The texts of the special tokens that are spelled out in it, the longest first."""

    @classmethod
    def of(cls, turns: Turns, tokens: Iterable[str]) -> Spelled | None:
        """None where no content spells out any of the tokens."""
        spelled = {token for token in tokens if token and any(token in text for turn in turns for text in all_texts(turn))}
        return cls(turns, tuple(sorted(spelled, key=lambda token: (-len(token), token)))) if spelled else None

    @cached_property
    def mark(self) -> str:
        """What stands for each character of a special token."""
        return unused(self.turns)

    def hidden(self, turn: int | None = None, token: str | None = None) -> Turns:
        """The conversation with special tokens hidden behind marks of their length: all, or one in one turn."""
        pattern = re.compile("|".join(map(re.escape, self.tokens if token is None else (token,))))

        def marks(match: re.Match[str]) -> str:
            return self.mark * len(match.group())

        return [
            replaced(message, lambda text: pattern.sub(marks, text)) if turn in (None, number) else message
            for number, message in enumerate(self.turns)
        ]

    @property
    def singles(self) -> list[tuple[int, str]]:
        """Each turn with each token that it spells out."""
        return [
            (number, token)
            for number, turn in enumerate(self.turns)
            for token in self.tokens
            if any(token in text for text in all_texts(turn))
        ]

    def spans(self, text: str, hidden: str) -> list[Span] | None:
        """Where in a text the hidden tokens stand; None where the template reads them: what it makes of them is its own.

        Args:
            text: the conversation, rendered.
            hidden: the one of `hidden`, rendered.
        """
        if len(text) != len(hidden):
            return None
        spans: list[Span] = []
        place = 0
        for match in re.finditer(f"{re.escape(self.mark)}+", hidden):
            if text[place : match.start()] != hidden[place : match.start()]:
                return None
            spans.append(match.span())
            place = match.end()
        return spans if text[place:] == hidden[place:] else None


def overlaps(span: Span, spans: Sequence[Span]) -> bool:
    """Whether a span has a character with one of the others in common."""
    return any(begin < span[1] and span[0] < end for begin, end in spans)


__all__ = ["Spelled", "Turns", "all_texts", "end_of_mark", "overlaps", "unused", "with_end_marked"]
