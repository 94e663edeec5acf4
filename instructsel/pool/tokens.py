"""Counting tokens with bare `tokenizers`: no torch, no transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from instructsel.errors import UsageError
from instructsel.pool.example import Example


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, no special tokens added, nothing truncated.

    Control tokens spelled out in a text are counted as the text they are, when the tokenizer is set so
    (`encode_special_tokens`, as instructsel loads them).
    """
    # Without offsets, and without a list of the ids of each text: only their number is needed.
    return [len(encoding) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class _Generation(Extension):
    """`{% generation %}` marks what the model writes; here its content is simply rendered."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller: Any) -> str:
        return str(caller())


@dataclass(frozen=True, eq=False)
class ChatTokens:
    """The length of an example in a model's own chat template, prompt and response together."""

    name: str
    """The tokenizer's name."""
    tokenizer: Tokenizer
    template: str | None
    """The Jinja template; without one, instruction and response are joined by a line break."""
    special: Mapping[str, str]
    """bos_token, eos_token, … as the template names them."""

    @cached_property
    def _compiled(self) -> Any:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment.globals["raise_exception"] = refuse
        try:
            return environment.from_string(self.template or "")
        except TemplateError as error:
            raise UsageError(
                f"The chat template of {self.name} is not readable: {error}.", fix="Name another tokenizer with --tokenizer."
            ) from error

    def render(self, example: Example) -> str:
        """The text the model would be trained on."""
        if self.template is None:
            return example.text
        roles = {"function_call": "assistant"}
        messages = [{"role": roles.get(turn.role, turn.role), "content": turn.content} for turn in example.messages]
        try:
            return str(self._compiled.render(messages=messages, tools=None, add_generation_prompt=False, **self.special))
        except TemplateError as error:
            raise UsageError(
                f"The chat template of {self.name} refuses example {example.id}: {error}.", fix="Name another tokenizer with --tokenizer."
            ) from error

    def count(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each example, control tokens of the template included."""
        return [
            len(encoding)
            for encoding in self.tokenizer.encode_batch_fast(
                [self.render(example) for example in examples], add_special_tokens=self.template is None
            )
        ]
