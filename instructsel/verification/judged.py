"""The second half of a verification: what judges and reward models make of the responses of every arm's models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from instructsel.artifact import fingerprint
from instructsel.experiments.store import GradedRecord, RecordStore, grades_of, record_of, slug
from instructsel.protocols import Grades
from instructsel.verification.grades_table import Run

PASSING: Final = frozenset({"failed", "timed_out", "not_asked", "refused", "out_of_memory"})
"""Reasons for a missing value that another try may not meet."""


PAUSE: Final = 1.0
"""Seconds between two looks at a run that another process has leased."""


class Responded(Protocol):
    """A grader that had models respond and stored the responses in its grades: `Responses`."""

    @property
    def name(self) -> str:
        """What its grades are called."""
        ...

    def of(self, grades: Grades, name: str) -> Any:
        """The responses in its grades, with a `digest`."""
        ...


class OutputGrader(Protocol):
    """A grader of responses: `JudgedOutputs` and `RewardGrader`."""

    @property
    def name(self) -> str:
        """What the grades are called."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What a grade depends on besides the responses; no path."""
        ...

    def graded(self, outputs: Any) -> Grades:
        """The grades of responses."""
        ...


def judged(
    runs: Iterable[Run],
    responses: Responded,
    grader: OutputGrader,
    *,
    folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Run]:
    """The responses of runs as a judge or reward model grades them; what stands in the folder is not graded again.

    A run that another process has leased is waited for: no question is paid twice.

    A run whose grades lack values for a reason that passes (a judge that could not be reached, or no memory) is not written down:
    the next call asks for what is missing. What the judge did say is in its own folder, and not asked for again.

    Args:
        runs: of a verification; those graded by `responses` are judged.
        responses: the grader that had the models respond.
        grader: JudgedOutputs, RewardGrader, or another.
        folder: of the verification.
        progress: called with how many runs are judged, and of how many.

    Raises:
        StudyError: a run that responded to other instructions.
        What the judge raises: it refuses to judge, or cannot be reached.
    """
    store = RecordStore.of(folder, GradedRecord)
    responded = [run for run in runs if run.grades.grader == responses.name]
    graded: list[Run] = []
    for number, run in enumerate(responded, start=1):
        outputs = responses.of(run.grades, run.name)
        name = slug(run.arm, run.replicate, run.seed)
        cut = run.grades.truncated
        key = fingerprint({"outputs": outputs.digest, "cut": cut, "grader": dict(grader.fingerprint), "name": grader.name})
        file, identity = f"{name}.{key[:12]}", {"key": key}
        record = store.read(file, identity)
        while record is None:
            with store.lease(name) as held:
                # Another process may have graded it before its lease was free.
                record = store.read(file, identity)
                if held and record is None:
                    begun = time.monotonic()
                    grades = grader.graded(outputs)
                    seconds = {"grading_seconds": time.monotonic() - begun}
                    record = {"key": key, **record_of(grades, run=seconds, model=run.name, outputs=outputs.digest)}
                    if PASSING.isdisjoint(grades.reasons):
                        store.write(file, record, run=name)
            if record is None:
                time.sleep(PAUSE)
        graded.append(Run(run.arm, run.replicate, run.seed, grades_of(grader.name, record), record["run"]["grading_seconds"]))
        if progress is not None:
            progress(number, len(responded))
    return graded


__all__ = ["PASSING", "OutputGrader", "Responded", "judged"]
