"""One training example: a conversation that ends in an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from instructsel.pool.json_text import as_bytes
from instructsel.pool.message import ANSWERS, Json, Message
from instructsel.text import is_blank

ID_RULE: Final = 2
"""Version of the rule for ids. Rule 2 tells apart what rule 1 did not: reasoning, calls and their ids, names, weights, tools in another
order. Conversations that are role and text alone have the same ids by both."""


@dataclass(frozen=True, slots=True)
class Example:
    """An instruction and its response, with everything before it.

    The response is the last turn that the model wrote and that is to be trained on; later turns are no part of what is trained.
    """

    id: str
    """blake2b-128 of the conversation in hexadecimal; the second equal example of a pool ends in `.1`, the third in `.2`."""
    source: str
    """The label of the file it came from."""
    messages: tuple[Message, ...]
    """All turns, in order."""
    tools: Json | None = None
    """The tools that the conversation could call."""
    with_reasoning: bool = False
    """Whether `instruction`, `response` and `text` have the reasoning of their turns, too."""

    @property
    def last_answer(self) -> int:
        """The position of the response."""
        for position in range(len(self.messages) - 1, -1, -1):
            if self.messages[position].is_trained:
                return position
        raise StopIteration

    @property
    def instruction(self) -> str:
        """The turns before the response, joined by a line break. Roles are not written into it."""
        return "\n".join(self.text_of(message) for message in self.messages[: self.last_answer])

    @property
    def response(self) -> str:
        """The response, as indicators read it: its text and its calls."""
        return self.text_of(self.messages[self.last_answer])

    @property
    def text(self) -> str:
        """Instruction, a line break, response: what is embedded and compared."""
        return f"{self.instruction}\n{self.response}"

    def text_of(self, message: Message) -> str:
        """What is read of a turn."""
        return message.text_with_reasoning if self.with_reasoning else message.text

    @property
    def only_reasoning(self) -> bool:
        """Whether the response is reasoning alone, of which nothing is read."""
        message = self.messages[self.last_answer]
        return not is_blank(message.reasoning or "") and is_blank(self.response)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a format makes of a row: an example that has no id yet."""

    messages: tuple[Message, ...]
    tools: Json | None = None

    @property
    def answered(self) -> bool:
        """Whether the model wrote any of the turns."""
        return any(message.role in ANSWERS for message in self.messages)

    @property
    def trained(self) -> bool:
        """Whether any of the turns that the model wrote is to be trained on."""
        return any(message.is_trained for message in self.messages)

    def canonical(self) -> bytes:
        """The bytes an id is the digest of (ID_RULE): the same conversation gives the same bytes in every format."""
        tools = None if self.tools is None else self.tools.canonical
        value: list[Any] = [[message.canonical for message in self.messages], tools]
        return as_bytes(value)


def conversation(user: str, answer: str, *, context: str = "", system: str = "", tools: Json | None = None) -> Conversation:
    """A single-turn conversation; a context goes under the user's text, after a line break."""
    instruction = f"{user}\n{context}" if context else user
    turns = [Message("system", system)] if system else []
    return Conversation((*turns, Message("user", instruction), Message("assistant", answer)), tools)


__all__ = ["ID_RULE", "Conversation", "Example", "conversation"]
