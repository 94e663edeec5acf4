"""One turn of a conversation with all that a trainer would tell apart: text, reasoning, calls of tools and their results.

    Message("user", "Tide in Brest?")
    Message("assistant", "", tool_calls=(ToolCall("get_tide", Json.of({"port": "Brest"}), id="c1"),))
    Message("tool", '{"m": 5.1}', tool_call_id="c1", name="get_tide")
    Message("assistant", "5.1 metres.", reasoning="The port answers in metres.")

What indicators read of a turn is its `text`: the text, then each call as name and arguments. Reasoning is left out unless it is asked
for, tools are not read. Chat templates and trainers are given the structure, `as_dict`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Self

from instructsel.pool.json_text import dumped, parsed
from instructsel.pool.lines import RowFault
from instructsel.text import is_blank

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
"""The roles a message can have; `tool` is the result of a call."""

ANSWERS: Final = frozenset({"assistant"})
"""The roles the model writes."""


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value as text: the tools of a conversation, and the arguments of a call."""

    text: str
    """The text that a row holds; or the structure that it holds, as compact JSON with its keys in their order."""
    is_text: bool = False
    """Whether the row holds the text, as OpenAI's API writes arguments, and not the structure."""

    @classmethod
    def of(cls, value: Any) -> Self:
        """From a field of a row: a text is kept as it is, whatever it holds."""
        return cls(value, is_text=True) if isinstance(value, str) else cls(dumped(value))

    @property
    def as_given(self) -> Any:
        """The text or the structure that the row holds."""
        return self.text if self.is_text else json.loads(self.text)

    @property
    def value(self) -> Any:
        """The structure; the text where it is no JSON (`parsed` says what is none)."""
        if not self.is_text:
            return json.loads(self.text)
        try:
            return parsed(self.text)
        except ValueError:
            return self.text

    @property
    def canonical(self) -> str:
        """Compact JSON, keys in their order: the same for a structure and for a text of it; a text that is no JSON as it is."""
        if not self.is_text:
            return self.text
        try:
            return dumped(parsed(self.text))
        except (ValueError, RowFault):
            return self.text


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model wrote."""

    name: str
    """The tool's."""
    arguments: Json | None = None
    """Exactly as given; None where the call has none."""
    id: str | None = None
    """By which the result names the call."""
    kind: str | None = None
    """The `type` that the row gives, `function` in OpenAI's form."""
    flat: bool = False
    """Whether name and arguments stand in the call itself and not in its `function`."""

    @property
    def text(self) -> str:
        """Name and arguments, what indicators read of it.

        >>> ToolCall("get_tide", Json.of({"port": "Brest"})).text
        'get_tide {"port": "Brest"}'
        """
        if self.arguments is None:
            return self.name
        value = self.arguments.value
        return f"{self.name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"

    def as_dict(self) -> dict[str, Any]:
        """The call as the row has it."""
        function: dict[str, Any] = {"name": self.name}
        if self.arguments is not None:
            function["arguments"] = self.arguments.as_given
        call: dict[str, Any] = {} if self.id is None else {"id": self.id}
        if self.kind is not None:
            call["type"] = self.kind
        return {**call, **function} if self.flat else {**call, "function": function}

    @property
    def canonical(self) -> list[Any]:
        """What an id is made of; whether name and arguments stand in a `function` is no part of it."""
        return [self.name, None if self.arguments is None else self.arguments.canonical, self.id]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """One of ROLES."""
    content: str
    """The text of the turn, text parts joined by a line break; "" where the row has none."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model calls in this turn, after the text."""
    tool_call_id: str | None = None
    """Of a result: the call that it answers."""
    name: str | None = None
    """Of a result: the tool's; of another turn: who speaks."""
    reasoning: str | None = None
    """What the model thinks before it writes; None where the row has none."""
    weight: float | None = None
    """0 where the turn is not to be trained on; None where the row says nothing."""
    parts: tuple[str, ...] = ()
    """The texts that `content` is joined of, where they are several."""
    is_structure: bool = False
    """Of a result: whether the row holds an object or a list, of which `content` is the JSON text."""

    @property
    def is_trained(self) -> bool:
        """Whether a loss may fall on the turn: the model wrote it, and its weight is not 0."""
        return self.role in ANSWERS and self.weight != 0

    @property
    def is_empty(self) -> bool:
        """Whether the turn holds no text, no call and no reasoning."""
        return not self.tool_calls and is_blank(self.content) and is_blank(self.reasoning or "")

    @property
    def text(self) -> str:
        """What indicators read of it: the text, then each call as name and arguments, a line each."""
        if not self.tool_calls:
            return self.content
        calls = [call.text for call in self.tool_calls]
        return "\n".join([self.content, *calls] if self.content.strip() else calls)

    @property
    def text_with_reasoning(self) -> str:
        """The same behind the reasoning."""
        if self.reasoning is None and not self.tool_calls:
            # Most turns.
            return self.content
        return self.text if self.reasoning is None else f"{self.reasoning}\n{self.text}" if self.text else self.reasoning

    def as_dict(self) -> dict[str, Any]:
        """The turn as chat templates and trainers take it; reasoning under `reasoning_content`. The weight is no part of it."""
        turn: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning is not None:
            turn["reasoning_content"] = self.reasoning
        if self.tool_calls:
            turn["tool_calls"] = [call.as_dict() for call in self.tool_calls]
        if self.tool_call_id is not None:
            turn["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            turn["name"] = self.name
        return turn

    def as_row(self) -> dict[str, Any]:
        """The turn as a row of a pool: `as_dict` with its weight, its parts or its structure, and null for a text that is not there."""
        turn = self.as_dict()
        if not self.content and (self.tool_calls or self.reasoning is not None):
            turn["content"] = None
        elif self.parts:
            turn["content"] = [{"type": "text", "text": part} for part in self.parts]
        elif self.is_structure:
            turn["content"] = json.loads(self.content)
        if self.weight is not None:
            turn["weight"] = int(self.weight) if float(self.weight).is_integer() else self.weight
        return turn

    @property
    def canonical(self) -> list[Any]:
        """What an id is made of: role and content, and whatever else a trainer would tell apart."""
        more: dict[str, Any] = {}
        if self.tool_calls:
            more["tool_calls"] = [call.canonical for call in self.tool_calls]
        if self.tool_call_id is not None:
            more["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            more["name"] = self.name
        if self.reasoning is not None:
            more["reasoning"] = self.reasoning
        if self.weight is not None and self.weight != 1:
            more["weight"] = self.weight
        if self.parts:
            more["parts"] = list(self.parts)
        if self.is_structure:
            more["structure"] = True
        return [self.role, self.content, more] if more else [self.role, self.content]


__all__ = ["ANSWERS", "ROLES", "Json", "Message", "ToolCall"]
