"""Super-NaturalInstructions: a task a row or a file, `Definition` with `Instances`, each an input and its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, kind, listed, text
from instructsel.pool.lines import Limits, RowDropped, RowFault


class SuperNaturalInstructions(Format):
    """`Definition` and `Instances`, a list of `input` and `output`: one example an instance, of several definitions and outputs the first.
    Source: Super-NaturalInstructions, `tasks/*.json`."""

    name: ClassVar[str] = "super_natural_instructions"
    precedence: ClassVar[int] = 23
    fields: ClassVar[tuple[str, ...]] = ("Definition", "Instances")
    turn_fields: ClassVar[frozenset[str] | None] = frozenset({"input", "output", "id"})

    def fits(self, row: Fields) -> str | None:
        """`Definition` is there and `Instances` is a list."""
        fits = "Definition" in row and isinstance(listed(row.get("Instances")), list)
        return "has a 'Definition' and a list of 'Instances'" if fits else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn for each instance: the definition, the input under it, the first output."""
        instances = instances_of(row)
        if not instances:
            raise RowDropped("no_answer")
        if len(instances) > Limits.max_examples:
            raise RowFault(
                "too_many_examples",
                f"{len(instances):,} instances, the limit is {Limits.max_examples:,}; instructsel datasets convert super_ni samples them",
            )
        definition = definition_of(row)
        if len(definition) * len(instances) > Limits.max_text:
            raise RowFault("too_much_text", f"a definition of {len(definition):,} characters for {len(instances):,} instances")
        return [
            conversation(definition, output, context=question) for question, output in map(pair_of, instances, range(1, len(instances) + 1))
        ]


def definition_of(row: Fields) -> str:
    """The first definition of a task.

    Raises:
        RowFault: there is none, or it is no text.
    """
    definition = row.get("Definition")
    return first_text(definition if isinstance(definition, list) else [definition], "'Definition'")


def instances_of(row: Fields) -> list[Any]:
    """The instances of a task.

    Raises:
        RowFault: they are no list.
    """
    instances = listed(row.get("Instances"))
    if not isinstance(instances, list):
        raise RowFault("not_a_list", f"'Instances' holds {kind(instances)} where a list belongs")
    return instances


def pair_of(instance: Any, number: int) -> tuple[str, str]:
    """The input and the first output of an instance.

    Raises:
        RowFault: it is no object, or holds what is no text.
    """
    if not isinstance(instance, dict):
        raise RowFault("not_an_object", f"instance {number} is {kind(instance)}")
    output = instance.get("output")
    return text(instance, "input", optional=True), first_text(
        output if isinstance(output, list) else [output], f"'output' of instance {number}"
    )


def first_text(values: Sequence[Any], where: str) -> str:
    """The first of several texts.

    Raises:
        RowFault: there is none, or it is no text.
    """
    if not values or values[0] is None:
        raise RowFault("missing_field", f"no {where}")
    if not isinstance(values[0], str):
        raise RowFault("not_text", f"{where} holds {kind(values[0])} where a text belongs")
    return values[0]
