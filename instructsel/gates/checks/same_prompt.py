"""Prompts that stand in several rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.duplicates.conflicts import same_prompts
from instructsel.gates.duplicates.repeats import Repeats


@dataclass(frozen=True)
class SamePrompt(Repeats):
    """The same prompt as another row, with another response."""

    number: ClassVar[str] = "IS034"
    kind: ClassVar[str] = "same-prompt"
    severity: ClassVar[str] = "info"
    source: ClassVar[str] = "instructsel's own rule; case, white space and punctuation at the end make no difference"
    fix: ClassVar[str] = "Keep the best of the responses, where several were not meant."
    parts: ClassVar[tuple[str, ...]] = ("prompts",)

    max_responses: int = field(default=1, metadata=between(1, 1 << 20))
    """Different responses that a prompt may have, those of the baseline among them."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows with a further response."""
        for prompt in same_prompts(change, in_pool=self.in_pool(change)):
            seen = {int(prompt.pool.response[row]) for row in prompt.pool_rows} if prompt.pool is not None else set()
            for position in prompt.rows:
                digest = prompt.own.answer(position).digest
                if digest in seen:
                    continue
                seen.add(digest)
                if len(seen) > self.max_responses:
                    place = prompt.first(change, but=position)
                    yield Hit(
                        position,
                        f"The prompt of {place} with another response, the {_ordinal(len(seen))} of this prompt.",
                        float(len(seen)),
                        related=place,
                    )


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
