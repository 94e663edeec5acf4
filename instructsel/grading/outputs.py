"""What models responded to a set of instructions: texts, or reasons why there is none."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from instructsel.artifact import fingerprint
from instructsel.errors import PoolError, StudyError, UsageError


@dataclass(frozen=True, eq=False)
class Outputs:
    """What one model responded to a set of instructions."""

    generator: str
    """The name of the model."""
    instructions: tuple[str, ...]
    """Distinct texts."""
    texts: tuple[str | None, ...]
    """One for each instruction, None where there is none. An empty text is an output: the model ended its turn at once."""
    reasons: tuple[str | None, ...] = ()
    """Why an instruction has no output, one for each; empty where all have one."""
    datasets: tuple[str | None, ...] = ()
    """The part of the set each instruction belongs to; empty where that is not known."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Settings, seconds, how many outputs were cut."""

    def __post_init__(self) -> None:
        n = len(self.instructions)
        if not self.reasons:
            object.__setattr__(self, "reasons", (None,) * n)
        if not len(self.texts) == len(self.reasons) == n or len(self.datasets) not in (0, n):
            raise PoolError(f"{self.generator} has {n} instructions, {len(self.texts)} outputs and {len(self.reasons)} reasons.")
        if any((text is None) == (reason is None) for text, reason in zip(self.texts, self.reasons, strict=True)):
            raise PoolError(
                f"{self.generator} has an output with a reason, or an instruction with neither.", fix="Give a reason for a missing output."
            )
        distinct(self.instructions, self.generator)

    def __len__(self) -> int:
        return len(self.instructions)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Instruction → its position."""
        return {instruction: position for position, instruction in enumerate(self.instructions)}

    @property
    def digest(self) -> str:
        """Of instructions and texts; independent of their order and of the generator's name."""
        pairs = zip(self.instructions, self.texts, strict=True)
        return fingerprint(sorted([digest_of(instruction), None if text is None else digest_of(text)] for instruction, text in pairs))

    def of(self, instruction: str) -> tuple[str | None, str | None]:
        """The output for an instruction and why there is none; (None, None) where the set does not hold it."""
        position = self.places.get(instruction)
        return (None, None) if position is None else (self.texts[position], self.reasons[position])


def digest_of(text: str) -> str:
    """The blake2b-128 of a text, in hexadecimal: what an item of judged outputs is called."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def unique_words(text: str) -> int:
    """How many different words a text has, between white space.

    >>> unique_words("to be or not to be")
    4
    """
    return len(set(text.split()))


def distinct(instructions: Sequence[str], owner: str) -> None:
    """Refuse a set that holds an instruction twice: outputs are joined on it.

    Raises:
        PoolError: naming the first one.
    """
    duplicate = next((text for text, count in Counter(instructions).items() if count > 1), None)
    if duplicate is not None:
        raise PoolError(f"{owner} has the instruction {duplicate[:80]!r} twice.", fix="Keep one of the two.")


def rotating_reference(outputs: Sequence[Outputs], *, name: str) -> Outputs:
    """The outputs of several models as those of one reference: one of them responds to each instruction, chosen by its digest.

    A single model of the random arm may happen to be a good or a bad one; in rotation, all of them stand for the arm. A model
    that is compared with the reference meets itself in its share of the instructions, which are ties.

    Args:
        outputs: to the same instructions.
        name: of the reference.

    Raises:
        UsageError: no outputs.
        StudyError: models that responded to different instructions.
    """
    if not outputs:
        raise UsageError("A reference needs at least one model's outputs.")
    instructions = outputs[0].instructions
    if any(model.instructions != instructions for model in outputs):
        raise StudyError(
            "The models of the reference responded to different instructions.", fix="Generate responses of all to the same instructions."
        )
    chosen = [int(digest_of(instruction)[:15], 16) % len(outputs) for instruction in instructions]
    return Outputs(
        name,
        instructions,
        tuple(outputs[model].texts[position] for position, model in enumerate(chosen)),
        tuple(outputs[model].reasons[position] for position, model in enumerate(chosen)),
        record={"models": [model.generator for model in outputs]},
    )


__all__ = ["Outputs", "digest_of", "distinct", "rotating_reference", "unique_words"]
