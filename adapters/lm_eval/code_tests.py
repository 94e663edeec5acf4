"""Programs that a model writes for a task, run against the task's tests: pass@k without a bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np

from instructsel.adapters.lm_eval.base import HarnessGrader
from instructsel.adapters.lm_eval.run import HarnessModel
from instructsel.adapters.lm_eval.samples import HarnessRun
from instructsel.adapters.lm_eval.tasks import Task
from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.grading.code_sandbox import SECONDS, Outcome, pass_at_k, run_programs
from instructsel.magnitude import is_usable
from instructsel.protocols import Grades

KIND: Final = "code_tests"
NEEDED_BY: Final = "running the tests of lm-evaluation-harness tasks"
PARTS: Final = ("prompt", "test", "entry_point")
"""Columns of HumanEval, of which a program and its test are made."""
MOST_SAMPLES: Final = 1000


@dataclass(frozen=True, eq=False)
class CodeTests(HarnessGrader):
    """A grader: the unbiased pass@k of each item of HumanEval, or of a task with its columns prompt, test and entry_point.

    The model continues the prompt `samples` times; each continuation is run with the item's test in a process of its own, which on
    Linux reaches neither network nor other processes nor a file to write (see `run_program`; the record says how it was isolated).
    With temperature 0 the one sample is the likeliest.

    Source: pass@k of Chen et al. 2021, arXiv:2107.03374; 20 samples with top_p 0.95 at temperature 0.8 (pass@10) and 0.1 (pass@1) are
    the settings of Wang et al. 2023, arXiv:2306.04751.

    >>> CodeTests("humaneval", include_path="tasks", allow_unsafe_code=True)  # doctest: +SKIP
    """

    kind: ClassVar[str] = KIND
    replies: ClassVar[bool] = True

    k: int = field(default=1, kw_only=True)
    """An item counts as solved where one of so many samples passes."""
    samples_per_item: int = field(default=1, kw_only=True)
    """Samples that are drawn, k or more."""
    temperature: float = field(default=0.0, kw_only=True)
    """Of the samples; 0 takes the likeliest token each time."""
    top_p: float = field(default=0.95, kw_only=True)
    """Share of the probability that is sampled from."""
    seconds: int = field(default=SECONDS, kw_only=True)
    """Processor time of a program."""
    allow_unsafe_code: bool = field(default=False, kw_only=True)
    """Whether code that the model writes may be run on this machine."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.samples_per_item <= MOST_SAMPLES:
            raise UsageError(
                f"pass@{self.k} of {self.samples_per_item} samples cannot be.", fix=f"Set 1 ≤ k ≤ samples_per_item ≤ {MOST_SAMPLES}."
            )
        if not is_usable(self.temperature) or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise UsageError(f"A temperature of {self.temperature} with top_p {self.top_p} cannot be.", fix="E.g. 0.8 and 0.95.")
        if self.samples_per_item > 1 and not self.temperature:
            raise UsageError("Several samples at temperature 0 are one and the same.", fix="Set a temperature, or samples_per_item=1.")
        super().__post_init__()

    def _check_task(self, definition: Task) -> None:
        if not self.allow_unsafe_code:
            raise UsageError(
                f"{self.task} runs code that the model writes on this machine.", fix="Set allow_unsafe_code=True; or leave the task out."
            )

    def _settle(self, definition: Task) -> None:
        object.__setattr__(self, "name", self.name or f"lm_eval:{self.task}:pass@{self.k}")

    @property
    def preparation(self) -> tuple[Any, ...]:
        """Samples and how they are drawn."""
        return (KIND, self.samples_per_item, self.temperature, self.top_p)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What grades depend on besides the checkpoint; see `HarnessGrader`."""
        drawn = {"n": self.samples_per_item, "temperature": self.temperature, "top_p": self.top_p}
        return {**super().fingerprint, "k": self.k, "samples": drawn, "seconds": self.seconds}

    def prepare(self, task: Any) -> None:
        """Draw samples, and leave them as they are: no filter, no metric of the harness."""
        filters = require("lm_eval.filters", needed_by=NEEDED_BY)
        drawing = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p} if self.temperature else {"do_sample": False}
        task.set_config("generation_kwargs", drawing, update=True)
        task.set_config("repeats", self.samples_per_item)
        task._filters = [filters.build_filter_ensemble("none", [("take_first", None)])]
        task.process_results = lambda doc, results: {}

    def graded(self, run: HarnessRun, model: HarnessModel, tasks: Mapping[str, Any]) -> Grades:
        """The share of draws of k samples with one that passes, item by item."""
        programs: dict[tuple[str, int], list[str]] = {}
        for leaf, rows in run.rows.items():
            for row in rows:
                programs[leaf, int(row["doc_id"])] = [_program(leaf, row["doc"], str(text)) for text in row["resps"][0]]
        flat = [program for texts in programs.values() for program in texts]
        by_program: dict[str, Outcome] = dict(zip(flat, run_programs(flat, seconds=self.seconds), strict=True))
        values = {place: pass_at_k(len(texts), sum(by_program[text].passed for text in texts), self.k) for place, texts in programs.items()}
        metric = f"pass@{self.k}"
        rows_by_leaf = {leaf: [{**row, metric: values[leaf, int(row["doc_id"])]} for row in rows] for leaf, rows in run.rows.items()}
        isolation = Counter(by_program[text].isolation for text in flat)
        record = {**run.record, "isolation": dict(sorted(isolation.items())), "samples_per_item": self.samples_per_item}
        directions = {leaf: {metric: True} for leaf in rows_by_leaf}
        results = {**run.results, "higher_is_better": directions, "results": {}}
        graded = replace(run, results=results, rows=rows_by_leaf, record=record)
        grades = graded.grades(self.task, f"{metric},none", name=self.name)
        return replace(grades, values=np.asarray(grades.values), record={**grades.record, "kind": KIND})


def _program(task: str, document: Mapping[str, Any], completion: str) -> str:
    """What is run: the prompt with its continuation, and the test of its function."""
    missing = next((part for part in PARTS if not isinstance(document.get(part), str)), None)
    if missing is not None:
        raise UsageError(f"An item of {task} has no text '{missing}'.", fix="Name HumanEval, or a task with its columns.")
    return f"{document['prompt']}{completion}\n{document['test']}\ncheck({document['entry_point']})"


__all__ = ["CodeTests"]
