"""Who is told what happens while a plan is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from instructsel.experiments.execute import Progress


@dataclass(frozen=True)
class Watch:
    """Callbacks for messages and progress; by default none."""

    message: Callable[[str], None] | None = None
    """Gets lines for people."""
    runs: Callable[[Progress], None] | None = None
    """Gets how far the runs are, after each."""
    training: Callable[[int, int, float], None] | None = None
    """Gets steps done, steps in all, and the last loss of the training at work."""
    judging: Callable[[str], Callable[[int, int], None]] | None = None
    """A grader's name → what gets how many models it has graded, and of how many."""

    def say(self, text: str) -> None:
        """A line for people."""
        if self.message is not None:
            self.message(text)


__all__ = ["Watch"]
