"""`ica`: responses that examples of the target, shown before the instruction, make likelier."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar, Final

from instructsel.selection.baselines._losses import language_model, losses, unscored
from instructsel.selection.baselines._target import check_target
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.candidates import Ranking, ScoredCandidates

SHOWN: Final = 3
"""Targets that are shown before an instruction."""
BETWEEN: Final = "\n\n"


class InContextApproximation(Baseline):
    """The response's loss after its instruction, less its loss where examples of the target stand before the instruction: largest first.

    The paper estimates in this way the loss on the target set that a model would have after training on the row, without training. It reweighs
    rows during training; here the score of the untrained model ranks them. Losses are means over the response's tokens, and three
    targets are shown, the first by id, the same for every row: both are choices of ours. Two forward passes a row.
    """

    name: ClassVar[str] = "ica"
    title: ClassVar[str] = "responses that examples of the target, shown before, make likelier"
    unit: ClassVar[str] = "minus the drop of the mean loss, nats per token"
    needs_target: ClassVar[bool] = True
    needs_model: ClassVar[bool] = True
    source: ClassVar[str] = "in-context approximation, Zhang et al. 2026, arXiv:2510.14459"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """Minus the drop.

        Raises:
            UsageError: no target, targets that are in the pool, or no language model.
        """
        target = context.target
        assert target is not None
        check_target(candidates, target)
        model = language_model(context.encoder, self.name)
        shown = [example.text for example in islice(target.examples(), SHOWN)]
        alone, informed = (losses(model, candidates, before) for before in ("", BETWEEN.join([*shown, ""])))
        details = {
            "drop": {
                "targets_shown": len(shown),
                "target_fingerprint": target.fingerprint,
                "truncated": informed.truncated,
                "model": {key: value for key, value in model.fingerprint.items() if value is not None},
            }
        }
        missing = unscored(self.name, (alone, informed))
        return Ranking(self.name, self.unit, informed.values - alone.values, unscored=missing, details=details, indicators=())


__all__ = ["InContextApproximation"]
