"""`loss_drop`: responses whose loss falls most while the model is fine-tuned on the target set."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from instructsel.errors import UsageError
from instructsel.selection.baselines._losses import language_model, losses, unscored
from instructsel.selection.baselines._target import check_target
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.candidates import Ranking, ScoredCandidates


class LossDrop(Baseline):
    """The share of its loss that a response loses from the model to the same model after a short fine-tune on the target set: largest first.

    The fine-tune is made before (`instructsel train TARGET --base MODEL`) and serves any pool; the paper keeps it short and of little
    capacity. Per candidate two forward passes are needed and no gradient. The loss is a mean over the response's tokens after its
    instruction, and the drop is divided by the loss before: the paper's abstract says "normalized", and by what is a choice of ours.
    """

    name: ClassVar[str] = "loss_drop"
    title: ClassVar[str] = "responses whose loss falls most while the model is fine-tuned on the target"
    unit: ClassVar[str] = "minus the drop of the mean loss, as a share of the loss before"
    needs_target: ClassVar[bool] = True
    needs_model: ClassVar[bool] = True
    needs_tuned: ClassVar[bool] = True
    source: ClassVar[str] = "Yang, He and Cheng 2026, arXiv:2605.09404"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """Minus the relative drop.

        Raises:
            UsageError: no target, targets that are in the pool, no language model, or one model named twice.
        """
        target = context.target
        assert target is not None
        check_target(candidates, target)
        models = [language_model(encoder, self.name) for encoder in (context.encoder, context.tuned)]
        if models[0].fingerprint == models[1].fingerprint:
            raise UsageError(
                "The model after the fine-tune is the model before it: every loss would drop by 0, and the ranking would say nothing.",
                fix="Fine-tune it on the target (instructsel train TARGET --base MODEL -o TUNED), then: --tuned-model TUNED",
            )
        before, after = (losses(model, candidates) for model in models)
        missing = unscored(self.name, (before, after))
        positive = before.values > 0
        for row in np.flatnonzero(~positive).tolist():
            missing.setdefault(row, f"unscored:{self.name}:no_loss")
        drop = np.where(positive, (before.values - after.values) / np.where(positive, before.values, 1.0), 0.0)
        details = {
            "drop": {
                "target_fingerprint": target.fingerprint,
                "truncated": before.truncated,
                "models": [{key: value for key, value in model.fingerprint.items() if value is not None} for model in models],
            }
        }
        return Ranking(self.name, self.unit, -drop, unscored=missing, details=details, indicators=())


__all__ = ["LossDrop"]
