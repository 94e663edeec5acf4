"""The datasets of instruction, input and output: each row in a random prompt template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest
from instructsel.mixtures.conversions._templates import lay_out
from instructsel.pool.formats._base import text
from instructsel.pool.formats.self_instruct import instances_of
from instructsel.pool.formats.unnatural_instructions import with_constraints
from instructsel.pool.lines import RowDropped


@dataclass(frozen=True)
class Templated(Conversion):
    """Rows of three texts, laid out by a template."""

    texts: ClassVar[tuple[str, str, str]] = ("instruction", "input", "output")
    """The fields of the three."""

    def content(self, row: InputRow) -> bytes:
        """The three texts."""
        return digest(list(self._texts(row.fields)))

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """One conversation."""
        return Outcome((self.laid_out(*self._texts(row.fields), occurrence),))

    def laid_out(self, instruction: str, context: str, output: str, occurrence: int) -> Converted:
        """The conversation of three texts."""
        content = digest([instruction, context, output])
        return Converted(content.hex(), lay_out(instruction, context, output, self.draw("template", content, occurrence)))

    def _texts(self, fields: Mapping[str, Any]) -> tuple[str, str, str]:
        instruction, context, output = self.texts
        return text(fields, instruction), text(fields, context, optional=True), text(fields, output)


@dataclass(frozen=True)
class Dolly(Templated):
    """databricks-dolly-15k: the context is the input, the category is not read."""

    name: ClassVar[str] = "dolly"
    texts: ClassVar[tuple[str, str, str]] = ("instruction", "context", "response")


@dataclass(frozen=True)
class SelfInstruct(Templated):
    """Self-Instruct: all instances that GPT-3 wrote."""

    name: ClassVar[str] = "self_instruct"


@dataclass(frozen=True)
class StanfordAlpaca(Templated):
    """Stanford Alpaca."""

    name: ClassVar[str] = "stanford_alpaca"


@dataclass(frozen=True)
class CodeAlpaca(Templated):
    """Code Alpaca."""

    name: ClassVar[str] = "code_alpaca"


@dataclass(frozen=True)
class Gpt4Alpaca(Templated):
    """GPT4-Alpaca, English."""

    name: ClassVar[str] = "gpt4_alpaca"


@dataclass(frozen=True)
class UnnaturalInstructions(Templated):
    """Unnatural Instructions, core: each instance of a row, its constraints under the instruction unless they say none."""

    name: ClassVar[str] = "unnatural_instructions"

    def content(self, row: InputRow) -> bytes:
        """The instruction, and the texts of its instances."""
        instances = [
            [text(entry, name, optional=name != "output") for name in ("input", "constraints", "output")]
            for entry in instances_of(row.fields)
        ]
        return digest([text(row.fields, "instruction"), *instances])

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """A conversation for each instance."""
        instruction = text(row.fields, "instruction")
        alike: Counter[bytes] = Counter()
        conversations: list[Converted] = []
        for entry in instances_of(row.fields):
            constrained = with_constraints(instruction, text(entry, "constraints", optional=True))
            context, output = text(entry, "input", optional=True), text(entry, "output")
            content = digest([constrained, context, output])
            conversations.append(self.laid_out(constrained, context, output, occurrence + alike[content]))
            alike[content] += 1
        if not conversations:
            raise RowDropped("no_answer")
        return Outcome(tuple(conversations))
