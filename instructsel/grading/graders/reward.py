"""A reward model as a grader: the raw logit of each response."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from instructsel.grading.graders.base import ResponseGrader, counted
from instructsel.grading.judge.judgments import CIRCULAR
from instructsel.grading.outputs import Outputs
from instructsel.models import runner
from instructsel.models.load import LocalModel, locate, settings
from instructsel.models.reward import RewardModel
from instructsel.protocols import Grades


@dataclass(frozen=True, eq=False)
class RewardGrader(ResponseGrader):
    """A grader: the raw logit that a reward model gives a checkpoint's response, instruction by instruction.

    A response of nothing but white space has no value (empty_output). A reward model that also ranked the arm prefers what it
    selected: that is a leakage, and the record says so.
    """

    kind: ClassVar[str] = "reward"
    unit: ClassVar[str] = "logit"

    reward: str
    """A local folder or a hub id."""
    revision: str | None = field(default=None, kw_only=True)
    """A hub revision."""
    probe: bool = field(default=True, kw_only=True)
    """Whether the model must pass the sanity probe first."""
    ranked_with: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Digests of the models that ranked the arms."""

    @cached_property
    def source(self) -> LocalModel:
        """The reward model's files.

        Raises:
            ModelUnavailable: they are neither on this machine nor on the hub.
            UntrustedModel: only pickled weights.
        """
        return locate(self.reward, revision=self.revision, needed_by=self.name)

    def settings(self) -> dict[str, Any]:
        """The reward model and how it is run."""
        precision, device = settings(self.generator.precision, self.generator.device)
        return {
            "model": {
                "name": self.source.name,
                "revision": self.source.revision,
                "digest": self.source.digest,
                "settings": self.source.settings,
                "precision": precision,
                "device": device,
                "probe": self.probe,
            }
        }

    def graded(self, outputs: Outputs) -> Grades:
        """The reward of each response, for outputs that exist already.

        Raises:
            MissingExtra, ModelUnavailable, ModelRefused, UntrustedModel: see `RewardModel.load`.
        """
        texts, reasons = list[str](), list[str | None]()
        for instruction in self.instructions:
            text, reason = outputs.of(instruction)
            texts.append(text or "")
            reasons.append(None if text and text.strip() else reason or ("no_output" if text is None else "empty_output"))
        scored = [position for position, reason in enumerate(reasons) if reason is None]
        try:
            model = RewardModel.load(
                self.reward,
                revision=self.revision,
                precision=self.generator.precision,
                device=self.generator.device,
                probe=self.probe,
            )
            rewards = model.score([[("user", self.instructions[position]), ("assistant", texts[position])] for position in scored])
        finally:
            runner.free_memory()
        values = np.zeros(len(reasons))
        for row, position in enumerate(scored):
            reasons[position] = rewards.reasons[row]
            values[position] = rewards.values[row] if reasons[position] is None else 0.0
        return self.grades(
            outputs,
            values,
            reasons,
            truncated=int(rewards.truncated.sum()),
            record={
                "reward": model.fingerprint,
                "settings": {"reward": model.fingerprint},
                "models": [model.source.digest],
                "generated": dict(outputs.record),
                "nulls": counted(reasons),
                CIRCULAR: model.source.digest in self.ranked_with,
            },
        )


__all__ = ["RewardGrader"]
