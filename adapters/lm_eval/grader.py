"""lm-evaluation-harness as a Grader: each item of a task has a value, and finished results of the harness are read as grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from instructsel.adapters.lm_eval.base import HarnessGrader, share_run
from instructsel.adapters.lm_eval.run import HarnessModel
from instructsel.adapters.lm_eval.samples import KIND, HarnessRun
from instructsel.adapters.lm_eval.suites import SUITES, SuiteTask, suite_settings
from instructsel.adapters.lm_eval.tasks import Task, find, short_metric
from instructsel.errors import UsageError
from instructsel.protocols import Grades


@dataclass(frozen=True, eq=False)
class LmEval(HarnessGrader):
    """A grader: one metric of one task, group or tag of lm-evaluation-harness, item by item.

    An item is named by its task and the hash of its document, so that it has the same name for every checkpoint. A group's or tag's
    items are those of all its tasks: `Grades.mean` counts every item once (micro), and the record has the mean over tasks (macro)
    beside the harness's own figure. Weights are 1. The values are those of the harness's `simple_evaluate` with this task alone,
    whatever other graders share the run; batches are padded, so that a likelihood's last bits depend on `batch_size`.

    The task's files decide the prompt; nothing is changed in silence: shots that the harness would pass over are refused, and so
    is code that a model wrote, unless it is allowed. Reasons: no_metric, the task gives the item none; not_finite, a likelihood that
    is no number; not_a_number. Items whose prompt lost its beginning to the context's length are counted as truncated.

    >>> LmEval("mine", "acc", include_path="tasks").grade(checkpoint_of("my-org/my-model")).mean  # doctest: +SKIP
    """

    kind: ClassVar[str] = KIND
    replies: ClassVar[bool] = True

    metric: str = ""
    """`metric` or `metric,filter`, as the harness writes it; may be left out where the task has only one."""
    allow_unsafe_code: bool = field(default=False, kw_only=True)
    """Whether code that the model writes may be run on this machine, as humaneval and mbpp do. In a sandbox only."""

    def _check_task(self, definition: Task) -> None:
        if definition.unsafe and not self.allow_unsafe_code:
            raise UsageError(
                f"{self.task} runs code that the model writes on this machine.",
                fix="In a sandbox, set allow_unsafe_code=True; or leave the task out.",
            )

    def _settle(self, definition: Task) -> None:
        metric = definition.metric(self.metric)
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "name", self.name or f"{KIND}:{self.task}:{short_metric(metric)}")

    def graded(self, run: HarnessRun, model: HarnessModel, tasks: Mapping[str, Any]) -> Grades:
        """The values of the metric."""
        return run.grades(self.task, self.metric, name=self.name)

    @classmethod
    def graders(
        cls,
        tasks: str | Sequence[str | SuiteTask],
        *,
        metrics: Sequence[str] | None = None,
        num_fewshot: int | None = None,
        include_path: str | Path | None = None,
        **options: Any,
    ) -> list[HarnessGrader]:
        """One grader for each metric of each task; they share one run per checkpoint, for which the model is loaded once.

        Args:
            tasks: a suite (open-llm, tulu, tulu-paper), a task, or several; a SuiteTask has its own metric and shots.
            metrics: of the tasks given by name; all that their files name by default.
            num_fewshot: of the tasks given by name.
            include_path: a folder with tasks of one's own.
            options: the other settings of LmEval, the same for all.

        Raises:
            UsageError: what LmEval refuses; shots for a suite, which has its own; or the same grader twice.
        """
        listed: list[str | SuiteTask] = [tasks] if isinstance(tasks, str) and tasks not in SUITES else []
        if not listed:
            listed = list(SUITES[tasks] if isinstance(tasks, str) else tasks)
        if not listed:
            raise UsageError("No task is named.", fix=f"Name tasks, or a suite: {', '.join(SUITES)}.")
        if all(isinstance(entry, SuiteTask) for entry in listed) and (num_fewshot is not None or metrics is not None):
            raise UsageError("A suite has shots and metrics of its own.", fix="Leave them out, or name the tasks.")
        names = [entry.task if isinstance(entry, SuiteTask) else entry for entry in listed]
        definitions = find(names, include_path=include_path)
        graders: list[HarnessGrader] = []
        for entry in listed:
            if isinstance(entry, SuiteTask):
                settings = {"include_path": include_path, **suite_settings(entry, listed), **options}
                graders.append(_code_tests(entry, settings) if entry.samples_per_item else cls(entry.task, entry.metric, **settings))
                continue
            wanted = metrics if metrics is not None else definitions[entry].metrics or ("",)
            graders += [cls(entry, metric, num_fewshot=num_fewshot, include_path=include_path, **options) for metric in wanted]
        duplicates = [name for name, count in Counter(grader.name for grader in graders).items() if count > 1]
        if duplicates:
            raise UsageError(f"{duplicates[0]} is named twice.", fix="Name each task and metric once.")
        share_run(graders)
        return graders

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What grades depend on besides the checkpoint, the metric among it; see `HarnessGrader`."""
        return {**super().fingerprint, "metric": self.metric}


def _code_tests(entry: SuiteTask, settings: dict[str, Any]) -> HarnessGrader:
    """The grader of a suite's task whose programs are run here."""
    # Here, as suites without such a task need none of it.
    from instructsel.adapters.lm_eval.code_tests import CodeTests

    k = int(entry.metric.removeprefix("pass@"))
    return CodeTests(entry.task, k=k, samples_per_item=entry.samples_per_item or k, temperature=entry.temperature, **settings)


__all__ = ["KIND", "LmEval"]
