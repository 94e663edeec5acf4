"""One training example: a conversation that ends in an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import orjson

CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

ROLES: Final = ("system", "user", "assistant", "tool", "function_call")
"""The roles a message can have. `function_call` is a call the model wrote, `tool` what came back."""

ANSWERS: Final = frozenset({"assistant", "function_call"})
"""The roles the model writes."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """One of ROLES."""
    content: str
    """The text of the turn."""


@dataclass(frozen=True, slots=True)
class Example:
    """An instruction and its response, with everything said before."""

    id: str
    """blake2b-128 of the conversation in hexadecimal; the second equal example of a pool ends in `.1`, the third in `.2`."""
    source: str
    """The label of the file it came from."""
    messages: tuple[Message, ...]
    """All turns, in order."""
    tools: str | None = None
    """The tools the conversation could call, as JSON text."""

    @property
    def last_answer(self) -> int:
        """The position of the last turn the model wrote."""
        return next(i for i in range(len(self.messages) - 1, -1, -1) if self.messages[i].role in ANSWERS)

    @property
    def instruction(self) -> str:
        """The turns before the last answer, joined by a line break. Roles are not written into it."""
        return "\n".join(message.content for message in self.messages[: self.last_answer])

    @property
    def response(self) -> str:
        """The last answer."""
        return self.messages[self.last_answer].content

    @property
    def text(self) -> str:
        """Instruction, a line break, response: what is embedded and compared."""
        return f"{self.instruction}\n{self.response}"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a format makes of a row: an example that has no id yet."""

    messages: tuple[Message, ...]
    tools: str | None = None

    @property
    def answered(self) -> bool:
        """Whether the model wrote any of the turns."""
        return any(message.role in ANSWERS for message in self.messages)

    def canonical(self) -> bytes:
        """The bytes an id is the digest of: the same conversation gives the same bytes in every format."""
        value = [[[message.role, message.content] for message in self.messages], self.tools]
        try:
            return orjson.dumps(value)
        except TypeError:
            # Half of a surrogate pair, which the standard parser lets through. Everything else both write alike.
            return CANONICAL.encode(value).encode("utf-8", "surrogatepass")


def conversation(user: str, answer: str, *, context: str = "", system: str = "", tools: str | None = None) -> Conversation:
    """A single-turn conversation; a context goes under the user's text, after a line break."""
    instruction = f"{user}\n{context}" if context else user
    turns = [Message("system", system)] if system else []
    return Conversation((*turns, Message("user", instruction), Message("assistant", answer)), tools)
