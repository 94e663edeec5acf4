"""Self-Instruct: an `instruction` with `instances`, each an input and an output of it."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, kind, listed, text
from instructsel.pool.formats._beside import ONE_TURN
from instructsel.pool.lines import Limits, RowDropped, RowFault


class SelfInstruct(Format):
    """`instruction` and `instances`, a list of `input` and `output`: one example an instance. Source: Self-Instruct, seed tasks."""

    name: ClassVar[str] = "self_instruct"
    precedence: ClassVar[int] = 25
    fields: ClassVar[tuple[str, ...]] = ("instruction", "instances")
    beside: ClassVar[frozenset[str]] = ONE_TURN
    turn_fields: ClassVar[frozenset[str] | None] = frozenset({"input", "output"})

    def fits(self, row: Fields) -> str | None:
        """`instruction` is there and `instances` is a list."""
        return (
            "has 'instruction' and a list of 'instances'"
            if "instruction" in row and isinstance(listed(row.get("instances")), list)
            else None
        )

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn for each instance."""
        instances = instances_of(row)
        if not instances:
            raise RowDropped("no_answer")
        if len(instances) > Limits.max_examples:
            raise RowFault("too_many_examples", f"{len(instances):,} instances, the limit is {Limits.max_examples:,}")
        instruction = text(row, "instruction")
        if len(instruction) * len(instances) > Limits.max_text:
            raise RowFault("too_much_text", f"an instruction of {len(instruction):,} characters for {len(instances):,} instances")
        return [self.instance(instruction, instance) for instance in instances]

    def instance(self, instruction: str, instance: Fields) -> Conversation:
        """The example of an instance."""
        return conversation(instruction, text(instance, "output"), context=text(instance, "input", optional=True))


def instances_of(row: Fields) -> list[Fields]:
    """The instances of a row.

    Raises:
        RowFault: they are no list of objects.
    """
    instances = listed(row.get("instances"))
    if not isinstance(instances, list):
        raise RowFault("not_a_list", f"'instances' holds {kind(instances)} where a list belongs")
    for number, instance in enumerate(instances, 1):
        if not isinstance(instance, dict):
            raise RowFault("not_an_object", f"instance {number} is {kind(instance)}")
    return instances
