"""lm-evaluation-harness as a Grader: each item of a task has a value, and finished results of the harness are read as grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.lm_eval.run import SharedRun, release
from instructsel.adapters.lm_eval.samples import KIND
from instructsel.adapters.lm_eval.suites import SUITES, SuiteTask
from instructsel.adapters.lm_eval.task_code import ALLOW
from instructsel.adapters.lm_eval.tasks import Task, find, short_metric
from instructsel.errors import UsageError
from instructsel.grading.graders.held_out_loss import DEVICES, PRECISIONS
from instructsel.models.load import settings
from instructsel.protocols import Checkpoint, Grades
from instructsel.rendering import TEMPLATE_DATE, checked_date

SEEDS: Final = 2**32


@dataclass(frozen=True, eq=False)
class LmEval:
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

    task: str
    """A task, group or tag: of `include_path`, or of those that come with the harness."""
    metric: str = ""
    """`metric` or `metric,filter`, as the harness writes it; may be left out where the task has only one."""
    name: str = field(default="", kw_only=True)
    """What the grades are called; lm_eval:TASK:METRIC by default."""
    num_fewshot: int | None = field(default=None, kw_only=True)
    """Demonstrations before each item; what the task's file says by default, or else 0."""
    apply_chat_template: bool = field(default=False, kw_only=True)
    """Whether prompts are written in the checkpoint's chat template; in Tülu's, as the trainer does, where it brings none."""
    fewshot_as_multiturn: bool = field(default=False, kw_only=True)
    """Whether demonstrations are turns of their own in the chat template, and not all in one."""
    limit: int | None = field(default=None, kw_only=True)
    """The first so many items of each task; all by default."""
    include_path: str | Path | None = field(default=None, kw_only=True)
    """A folder with own tasks; without one that comes with the harness, its index is not built."""
    batch_size: int = field(default=8, kw_only=True)
    max_length: int | None = field(default=None, kw_only=True)
    """Tokens of prompt and response at most; the model's context by default, and never more."""
    seed: int = field(default=1234, kw_only=True)
    """For demonstrations, for tasks that draw, and for sampling."""
    device: str = field(default="auto", kw_only=True)
    """cpu, cuda, or auto."""
    precision: str = field(default="auto", kw_only=True)
    """fp32, bf16, or auto."""
    template_date: str = field(default=TEMPLATE_DATE, kw_only=True)
    """What chat templates that write the date are told that today is, as YYYY-MM-DD."""
    samples: str | Path | None = field(default=None, kw_only=True)
    """A folder where the harness's samples are stored, a file a task and checkpoint: document, prompt, reply, value of every item."""
    allow_unsafe_code: bool = field(default=False, kw_only=True)
    """Whether code that the model writes may be run on this machine, as humaneval and mbpp do. In a sandbox only."""
    allow_task_code: bool = field(default=False, kw_only=True)
    """Whether code that a task of `include_path` brings along may be run: !function, classes, metrics of the package evaluate."""
    definition: Task = field(init=False, repr=False)
    """The task as its files describe it."""
    _run: SharedRun = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("limit", self.limit, 1),
            ("batch_size", self.batch_size, 1),
            ("max_length", self.max_length, 2),
            ("num_fewshot", self.num_fewshot, 0),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{name} is {value}; it is a whole number, {least} or more.")
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"A seed is a whole number from 0 to {SEEDS - 1}, not {self.seed}.")
        checked_date(self.template_date)
        if self.precision not in PRECISIONS:
            raise UsageError.named(self.precision, PRECISIONS, noun="precision")
        if self.device not in DEVICES:
            raise UsageError.named(self.device, DEVICES, noun="device")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise UsageError(
                "fewshot_as_multiturn says how demonstrations stand in a chat template, and there is none.",
                fix="Set apply_chat_template=True too, or leave it out.",
            )
        definition = find([self.task], include_path=self.include_path)[self.task]
        if definition.unsafe and not self.allow_unsafe_code:
            raise UsageError(
                f"{self.task} runs code that the model writes on this machine.",
                fix="In a sandbox, set allow_unsafe_code=True; or leave the task out.",
            )
        if definition.code and not self.allow_task_code:
            raise UsageError(f"{definition.code} brings code along, which would be run on this machine.", fix=ALLOW)
        definition.check_shots(self.num_fewshot)
        metric = definition.metric(self.metric)
        object.__setattr__(self, "definition", definition)
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "name", self.name or f"{KIND}:{self.task}:{short_metric(metric)}")
        object.__setattr__(self, "_run", SharedRun([self]))

    @classmethod
    def graders(
        cls,
        tasks: str | Sequence[str | SuiteTask],
        *,
        metrics: Sequence[str] | None = None,
        num_fewshot: int | None = None,
        include_path: str | Path | None = None,
        **options: Any,
    ) -> list[LmEval]:
        """One grader for each metric of each task; they share one run per checkpoint, for which the model is loaded once.

        Args:
            tasks: a suite (open-llm, tulu), a task, or several; a SuiteTask has its own metric and shots.
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
        graders: list[LmEval] = []
        for entry in listed:
            if isinstance(entry, SuiteTask):
                graders.append(cls(entry.task, entry.metric, num_fewshot=entry.num_fewshot, include_path=include_path, **options))
                continue
            wanted = metrics if metrics is not None else definitions[entry].metrics or ("",)
            graders += [cls(entry, metric, num_fewshot=num_fewshot, include_path=include_path, **options) for metric in wanted]
        duplicates = [name for name, count in Counter(grader.name for grader in graders).items() if count > 1]
        if duplicates:
            raise UsageError(f"{duplicates[0]} is named twice.", fix="Name each task and metric once.")
        run = SharedRun(graders)
        for grader in graders:
            object.__setattr__(grader, "_run", run)
        return graders

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What grades depend on besides the checkpoint; no path. Of a data set on the hub it has the name, not the content: the hash
        of all prompts and targets stands in the record of the grades.

        Raises:
            MissingExtra: torch is not installed.
            ModelUnavailable: cuda was asked for and there is none.
        """
        precision, device = settings(self.precision, self.device)
        return {
            "kind": KIND,
            "harness": release(),
            "task": self.definition.fingerprint,
            "metric": self.metric,
            "num_fewshot": self.num_fewshot,
            "apply_chat_template": self.apply_chat_template,
            "fewshot_as_multiturn": self.fewshot_as_multiturn,
            "limit": self.limit,
            "batch_size": self.batch_size,
            "max_length": self.max_length,
            "seed": self.seed,
            "precision": precision,
            "device": device,
            # Left out where it is what it was before it could be set.
            **({} if self.template_date == TEMPLATE_DATE else {"template_date": self.template_date}),
        }

    @property
    def count(self) -> int | None:
        """How many items will be graded; None before `check`."""
        return self._run.counts.get((self.task, self.num_fewshot))

    def check(self) -> None:
        """Load the data of all tasks of the run once, so that what is missing is missed before anything is trained.

        Raises:
            EnvironmentFault: a data set that is neither here nor to be had.
            MissingExtra: a package that a task needs.
            UsageError: data files that are gone, or a task that the harness refuses.
        """
        self._run.check()

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """The value of each item. The first grader of a run grades for all that share it; the model is freed when it is done.

        Raises:
            MissingExtra: lm-eval, or a package that the task needs, is not installed.
            EnvironmentFault: a data set that is neither here nor to be had, or no memory for a batch.
            ModelUnavailable: the checkpoint's folder is gone, or has no tokenizer.
            ModelRefused: no whole causal language model.
            UntrustedModel: pickled weights, code of its own, or weights that are not the checkpoint's.
            UsageError: the harness refuses the task with these settings, or it has no such metric per item.
        """
        return self._run.grades(checkpoint)[self.name]


__all__ = ["KIND", "LmEval"]
