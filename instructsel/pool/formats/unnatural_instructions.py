"""Unnatural Instructions: an `instruction` with `instances`, each with an input, an output and constraints of the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, listed, text
from instructsel.pool.formats.self_instruct import SelfInstruct

NO_CONSTRAINT: Final = frozenset({"", "none", "none."})
"""What stands where an output has no constraint, in small letters."""


class UnnaturalInstructions(SelfInstruct):
    """Self-Instruct's fields with `constraints` in the instances: they go under the instruction, unless they are empty, `None` or `None.`.
    Source: Unnatural Instructions, `core_data.jsonl`."""

    name: ClassVar[str] = "unnatural_instructions"
    precedence: ClassVar[int] = 24
    turn_fields: ClassVar[frozenset[str] | None] = frozenset({"input", "output", "constraints"})

    def fits(self, row: Fields) -> str | None:
        """An instance has constraints."""
        instances = listed(row.get("instances"))
        fits = (
            "instruction" in row
            and isinstance(instances, list)
            and any(isinstance(one, Mapping) and "constraints" in one for one in instances)
        )
        return "has 'instruction' and 'instances' with 'constraints'" if fits else None

    def instance(self, instruction: str, instance: Fields) -> Conversation:
        """The instruction, the constraints under it, the input under both."""
        constrained = with_constraints(instruction, text(instance, "constraints", optional=True))
        return conversation(constrained, text(instance, "output"), context=text(instance, "input", optional=True))


def with_constraints(instruction: str, constraints: str) -> str:
    """An instruction with the constraints of an output under it.

    >>> with_constraints("Name a fish.", "None."), with_constraints("Name a fish.", "One word.")
    ('Name a fish.', 'Name a fish.\\nOne word.')
    """
    return instruction if constraints.strip().lower() in NO_CONSTRAINT else f"{instruction}\n{constraints}"
