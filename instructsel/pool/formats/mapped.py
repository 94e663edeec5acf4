"""Any columns at all, named by the user: `--map instruction=QUESTION,response=ANSWER`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from instructsel.errors import UsageError
from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text

PARTS: Final = ("instruction", "input", "response", "system")


@dataclass(frozen=True)
class Mapped(Format):
    """A field of the row for each part of an example."""

    columns: tuple[tuple[str, str], ...]
    """(part, field) pairs; the parts are instruction, input, response, system."""

    name: ClassVar[str] = "mapped"
    precedence: ClassVar[int] = 0
    fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `instruction=question,response=answer`.

        Raises:
            UsageError: a part that there is not, or no instruction or no response.
        """
        pairs = tuple((part.strip(), column.strip()) for part, _, column in (pair.partition("=") for pair in text.split(",")))
        parts = [part for part, _ in pairs]
        for part, column in pairs:
            if part not in PARTS or not column:
                raise UsageError.named(part, PARTS, noun="part of an example")
        if len(set(parts)) != len(parts) or not {"instruction", "response"} <= set(parts):
            raise UsageError(
                f"--map {text} does not name an instruction and a response once each.", fix="Write --map instruction=FIELD,response=FIELD"
            )
        return cls(pairs)

    def fits(self, row: Fields) -> str | None:
        """Both the instruction's and the response's field are there."""
        of = dict(self.columns)
        return "as --map says" if of["instruction"] in row and of["response"] in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        of = dict(self.columns)
        optional = {part: text(row, of[part], optional=True) if part in of else "" for part in ("input", "system")}
        return [conversation(text(row, of["instruction"]), text(row, of["response"]), context=optional["input"], system=optional["system"])]
