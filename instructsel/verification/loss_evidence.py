"""What is known of verdicts that rest on a loss alone: how often a loss and the metric of a task agree."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from instructsel.stats.loss_units import LOSS_UNITS
from instructsel.verification.verdict import BETTER, WORSE, Verdicts

FILE: Final = "loss_evidence.toml"
"""The figures and their source, the only place that has them."""


@dataclass(frozen=True)
class LossEvidence:
    """Published comparisons of selections with random, in which a held-out loss and the metric of a task were both measured."""

    source: str
    comparisons: int
    """How many, a selection and a task each."""
    share: float
    """Of these, in which the loss picks the side that the metric picks."""
    by_task: Mapping[str, float]
    """Task → the same share."""

    @property
    def sentence(self) -> str:
        """In words."""
        tasks = ", ".join(f"{task} {100 * share:.0f} %" for task, share in self.by_task.items())
        return (
            f"The verdict rests on loss alone: over {self.comparisons:,} published comparisons of selections with random, held-out loss "
            f"picks the right side of the task metric in {100 * self.share:.1f} % of cells ({tasks}; recomputed from the data of {self.source})."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with the sentence."""
        return {**asdict(self), "statement": self.sentence}


@cache
def loss_evidence() -> LossEvidence:
    """The figures of FILE."""
    content = tomllib.loads(files("instructsel.verification").joinpath(FILE).read_text(encoding="utf-8"))
    return LossEvidence(**content)


def rests_on_loss(verdicts: Verdicts) -> bool:
    """Whether the outcome of verdicts is that of losses alone: of all that say better or worse where it is that, else of all.

    Verdicts with leakage do not count.
    """
    counted = [verdict for verdict in verdicts if not verdict.leakage]
    if verdicts.outcome in (BETTER, WORSE):
        counted = [verdict for verdict in counted if verdict.outcome == verdicts.outcome]
    return bool(counted) and all(verdict.scale.unit in LOSS_UNITS for verdict in counted)


__all__ = ["LossEvidence", "loss_evidence", "rests_on_loss"]
