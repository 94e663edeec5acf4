"""Rew: what a reward model says of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final

from instructsel.indicators._base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.models.reward import RewardModel

DEFAULT: Final = "OpenAssistant/reward-model-deberta-v3-large-v2"
"""What the public re-implementations of Eq. 4 use; the paper does not name its model."""


@cache
def _model(name: str, revision: str | None, precision: str, device: str, probe: bool) -> RewardModel:
    return RewardModel.load(name, revision=revision, precision=precision, device=device, probe=probe)


@dataclass(frozen=True)
class Reward(Indicator):
    """The raw logit of a sequence-classification reward model for the last answer, given all turns before it.

    Never a sigmoid, never a default. Before a run the model must rank known good answers above known bad ones. Null:
    empty_response, not_finite. Over-long conversations are cut (the history first, from the left) and counted.

    Source: Cao et al. 2023, arXiv:2307.06290v1, Table 1. Assumed: the model.
    """

    model: str = DEFAULT
    """A local folder or a hub id."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 where the processor has it."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    probe: bool = True
    """Whether the model must pass the sanity probe first; without it, the score table says so."""

    symbol_pattern: ClassVar[str] = "rew"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "logit"
    direction: ClassVar[str] = "higher is better"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, Rew"

    @property
    def symbol(self) -> str:
        """rew."""
        return "rew"

    def loaded(self) -> RewardModel:
        """The model, loaded and probed once."""
        return _model(self.model, self.revision, self.precision, self.device, self.probe)

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Score the conversations up to their last answers."""
        empty = null_on_empty(batch)
        asked = [example for example, reason in zip(batch.examples, empty, strict=True) if reason is None]
        found = self.loaded().score(
            [[(turn.role, turn.content) for turn in e.messages[: e.last_answer + 1]] for e in asked], progress=progress
        )
        results = zip(found.values.tolist(), found.reasons, strict=True)
        pairs = [(None, reason) if reason else next(results) for reason in empty]
        return Scored([None if reason else value for value, reason in pairs], [reason for _, reason in pairs], int(found.truncated.sum()))

    def made_with(self) -> dict[str, Any]:
        """The model, by name, digest, profile and precision."""
        return {"model": self.loaded().fingerprint, "tokenizer": None}
