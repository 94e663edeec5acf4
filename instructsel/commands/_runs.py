"""The progress of an experiment: one display of its runs, with the steps of the run at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from instructsel.commands._console import Stages, say
from instructsel.experiments.execute import Progress


@dataclass(frozen=True)
class RunsDisplay:
    """What shows how far the runs are."""

    name: str
    stages: Stages
    quiet: bool
    unit: str

    def report(self, progress: Progress) -> None:
        """Show how many runs have ended; a note stands in a line of its own."""
        if progress.note and not progress.failed:
            say(f"note: {progress.note}", quiet=self.quiet)
        self.counted(progress.done, progress.total, progress.seconds_left)

    def counted(self, done: int, total: int, seconds_left: float | None = None) -> None:
        """Show how many have ended, and what the engine expects of the others: the one time left that a command shows."""
        self.stages.report(self.stages.stages[self.name], done, total, seconds_left=seconds_left)

    def training(self, done: int, total: int, loss: float) -> None:
        """Show how far the training at work is."""
        self.stages.within("step", done, total)


@contextmanager
def display(name: str, *, quiet: bool, unit: str = "runs") -> Iterator[RunsDisplay]:
    """A display of runs until the block ends."""
    with Stages([name], quiet=quiet) as stages:
        stages(name, unit=unit)
        yield RunsDisplay(name, stages, quiet, unit)


__all__ = ["RunsDisplay", "display"]
