"""Losses of a fine-tune sent to a tracker as it runs, through the trainer's own `report_to`; off unless it is asked for.

Nothing of it changes what is trained, so that it is part of no fingerprint and of no record. Keys stay where the tracker has them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.experiments.plan import TRACKERS
from instructsel.extras import require

PACKAGES: Final = {"trackio": "trackio", "wandb": "wandb", "tensorboard": "tensorboard"}
"""Tracker → the package that it needs."""
RUN_DIGITS: Final = 16
"""Of a fine-tune's key, in the identity of its run."""


@dataclass(frozen=True)
class Tracking:
    """Where a fine-tune's losses, learning rates and gradient norms go."""

    report_to: str = "none"
    """trackio, wandb, tensorboard or none."""
    project: str = "instructsel"
    """What the runs are filed under."""

    def __post_init__(self) -> None:
        if self.report_to not in TRACKERS:
            raise UsageError.named(self.report_to, TRACKERS, noun="tracker")

    def check(self) -> None:
        """Refuse a tracker that is not installed.

        Raises:
            MissingExtra: its package is missing; the fix is the pip line.
        """
        if self.report_to != "none":
            require(PACKAGES[self.report_to], needed_by=f"--report-to {self.report_to}")

    def arguments(self, run_name: str) -> dict[str, Any]:
        """Arguments of transformers' configuration.

        Args:
            run_name: what the run is called.
        """
        if self.report_to == "none":
            return {"report_to": "none"}
        local = {"trackio_static_space_id": False} if self.report_to == "trackio" else {}
        return {"report_to": self.report_to, "run_name": run_name, "project": self.project, **local}

    @contextlib.contextmanager
    def session(self, key: str, run_name: str) -> Iterator[None]:
        """A block in which one fine-tune is tracked: what the tracker prints goes to standard error, and its run ends with the block.

        Args:
            key: of the fine-tune: a resumed one goes on in the run that it began.
            run_name: what the run is called.
        """
        if self.report_to == "none":
            yield
            return
        with contextlib.redirect_stdout(sys.stderr):
            # Begun here, by an identity of its own: the trainer's callback takes the run that there is. Trackio knows runs by name.
            run = self._wandb_run(key, run_name) if self.report_to == "wandb" else None
            try:
                yield
            finally:
                if run is not None:
                    run.finish()

    def _wandb_run(self, key: str, run_name: str) -> Any:
        """A run of Weights & Biases; None where the caller has one already."""
        wandb = require("wandb", needed_by="--report-to wandb")
        if wandb.run is not None:
            return None
        return wandb.init(project=self.project, name=run_name, id=key[:RUN_DIGITS], resume="allow")


__all__ = ["Tracking"]
