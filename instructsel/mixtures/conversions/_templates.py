"""The 14 + 14 prompt templates of the original, of which one is drawn for each row by its weight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, TypedDict, cast

from instructsel.errors import UsageError
from instructsel.pool.message import Message
from instructsel.structured import Refusal, parse_toml

FILE: Final = "templates.toml"
PLACE: Final = re.compile(r"\{(instruction|input|output)\}")
DRAWS: Final = 1 << 64
"""As many values a draw has."""


class _Entry(TypedDict):
    prompt: str
    response: str
    weight: int


class _Templates(TypedDict):
    with_input: list[_Entry]
    without_input: list[_Entry]


@dataclass(frozen=True)
class Template:
    """One layout of a prompt and a response."""

    prompt: str
    """With {instruction} and, where there is one, {input}."""
    response: str
    """With {output}."""
    weight: int
    """In percent."""

    def lay_out(self, texts: Mapping[str, str]) -> tuple[Message, ...]:
        """The turns; a text that spells a place itself is not filled in again."""
        prompt, response = (PLACE.sub(lambda match: texts[match[1]], layout) for layout in (self.prompt, self.response))
        return Message("user", prompt), Message("assistant", response)


@cache
def templates(*, with_input: bool) -> tuple[Template, ...]:
    """The templates for rows with an input, or for those without, in the order of the original; weights sum to 100."""
    data = (files("instructsel.mixtures.conversions") / FILE).read_bytes()
    table = cast(_Templates, parse_toml(data, _Templates, FILE, Refusal(UsageError)))
    return tuple(Template(**entry) for entry in table["with_input" if with_input else "without_input"])


def drawn(choices: Sequence[Template], draw: int) -> Template:
    """The template that a draw of 64 bits falls on."""
    place = draw * sum(choice.weight for choice in choices) // DRAWS
    for choice in choices:
        if place < choice.weight:
            return choice
        place -= choice.weight
    raise AssertionError(draw)


def lay_out(instruction: str, context: str, output: str, draw: int) -> tuple[Message, ...]:
    """The turns of a row, its texts without white space around them, in the template that a draw falls on."""
    template = drawn(templates(with_input=bool(context.strip())), draw)
    return template.lay_out({"instruction": instruction.strip(), "input": context.strip(), "output": output.strip()})


__all__ = ["Template", "drawn", "lay_out", "templates"]
