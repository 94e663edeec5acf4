"""Prompts with responses that contradict one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.duplicates.conflicts import SamePromptRows, same_prompts
from instructsel.gates.duplicates.repeats import Repeats, place_in_pool
from instructsel.gates.duplicates.responses import Answer, contradiction
from instructsel.gates.finding import Place

COMPARED: Final = 16
"""Different responses of a prompt that each further one is compared with: a prompt of ten thousand rows takes no time of its square."""


@dataclass(frozen=True)
class ConflictingResponses(Repeats):
    """The same prompt as another row, with a response that contradicts its."""

    number: ClassVar[str] = "IS033"
    kind: ClassVar[str] = "conflicting-responses"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "instructsel's own rule: other labels, other results, other short answers, or responses about different things"
    fix: ClassVar[str] = "Find out which of the two is right, and take the other out."
    parts: ClassVar[tuple[str, ...]] = ("prompts",)

    def hits(self, change: Change) -> Iterator[Hit]:
        """Of two rows the one that comes later in the order of ids; a row of the baseline never."""
        for prompt in same_prompts(change, in_pool=self.in_pool(change)):
            known: list[tuple[Answer, Place]] = []
            digests: set[int] = set()
            for row in prompt.pool_rows[:COMPARED]:
                assert prompt.pool is not None
                known.append((prompt.pool.answer(row), place_in_pool(change, row)))
                digests.add(known[-1][0].digest)
            yield from self._hits(change, prompt, known, digests)

    def _hits(self, change: Change, prompt: SamePromptRows, known: list[tuple[Answer, Place]], digests: set[int]) -> Iterator[Hit]:
        for position in prompt.rows:
            row = change.rows[position]
            answer = prompt.own.answer(position)
            digest = answer.digest
            if digest in digests:
                continue
            for other, place in known:
                how = contradiction(other, answer, row.instruction)
                if how is not None:
                    yield Hit(position, f"The row has the prompt of {place} and contradicts it: {how}.", related=place)
                    break
            if len(known) < COMPARED:
                known.append((answer, row.place))
                digests.add(digest)
