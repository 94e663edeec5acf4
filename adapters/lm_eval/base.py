"""What graders of lm-evaluation-harness share: a task, its settings, and a run for which the model is loaded once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters.lm_eval.run import HarnessModel, SharedRun, plan_key, release
from instructsel.adapters.lm_eval.samples import HarnessRun
from instructsel.adapters.lm_eval.task_code import ALLOW
from instructsel.adapters.lm_eval.tasks import Task, find
from instructsel.errors import UsageError
from instructsel.grading.graders.held_out_loss import DEVICES, PRECISIONS
from instructsel.models.load import settings
from instructsel.pool.task_overlap import TaskDocuments
from instructsel.protocols import Checkpoint, Grades
from instructsel.rendering import TEMPLATE_DATE, checked_date

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEDS: Final = 2**32
SAMPLE_SEED: Final = 42
"""The seed of the subsets of Wang et al. 2023, arXiv:2306.04751."""


@dataclass(frozen=True, eq=False)
class HarnessGrader(ABC):
    """A grader by one task, group or tag of the harness."""

    kind: ClassVar[str]
    """What the fingerprint calls it."""
    replies: ClassVar[bool]
    """Whether it needs what the model replies to the task; else the task is only asked what it would ask."""

    task: str
    """A task, group or tag: of `include_path`, or of those that come with the harness."""
    name: str = field(default="", kw_only=True)
    """What the grades are called; made of the task by default."""
    num_fewshot: int | None = field(default=None, kw_only=True)
    """Demonstrations before each item; what the task's file says by default, or else 0."""
    apply_chat_template: bool = field(default=False, kw_only=True)
    """Whether prompts are written in the checkpoint's chat template; in Tülu's, as the trainer does, where it brings none."""
    fewshot_as_multiturn: bool = field(default=False, kw_only=True)
    """Whether demonstrations are turns of their own in the chat template, and not all in one."""
    limit: int | None = field(default=None, kw_only=True)
    """The first so many items of each task; all by default."""
    sample_items: int | None = field(default=None, kw_only=True)
    """So many items of each task, drawn without replacement; all of a task that has no more. Not together with `limit`."""
    sample_seed: int = field(default=SAMPLE_SEED, kw_only=True)
    """Of the draw, task by task: `random.Random(seed).sample(range(items), n)`, so that it depends on nothing but the number of items."""
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
    allow_task_code: bool = field(default=False, kw_only=True)
    """Whether code that a task of `include_path` brings along may be run: !function, classes, metrics of the package evaluate."""
    samples: str | Path | None = field(default=None, kw_only=True)
    """A folder where the harness's samples are stored, a file a task and checkpoint: document, prompt, reply, value of every item."""
    definition: Task = field(init=False, repr=False)
    """The task as its files describe it."""
    _run: SharedRun = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("limit", self.limit, 1),
            ("sample_items", self.sample_items, 1),
            ("batch_size", self.batch_size, 1),
            ("max_length", self.max_length, 2),
            ("num_fewshot", self.num_fewshot, 0),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{name} is {value}; it is a whole number, {least} or more.")
        for seed in (self.seed, self.sample_seed):
            if not 0 <= seed < SEEDS:
                raise UsageError(f"A seed is a whole number from 0 to {SEEDS - 1}, not {seed}.")
        if self.limit is not None and self.sample_items is not None:
            raise UsageError("limit takes the first items of a task, sample_items draws them; both are set.", fix="Leave one out.")
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
        self._check_task(definition)
        if definition.code and not self.allow_task_code:
            raise UsageError(f"{definition.code} brings code along, which would be run on this machine.", fix=ALLOW)
        definition.check_shots(self.num_fewshot)
        object.__setattr__(self, "definition", definition)
        self._settle(definition)
        object.__setattr__(self, "_run", SharedRun([self]))

    @abstractmethod
    def _check_task(self, definition: Task) -> None:
        """Refuse a task that this grader cannot grade by.

        Raises:
            UsageError: it is one.
        """

    @abstractmethod
    def _settle(self, definition: Task) -> None:
        """Set what the task decides, the name among it."""

    @property
    def preparation(self) -> tuple[Any, ...]:
        """What `prepare` changes of a task, as plain values: graders of other changes do not share a run of the harness."""
        return ()

    def prepare(self, task: Any) -> None:  # noqa: B027 - most tasks stay as they are
        """Change the harness's task before its requests are made, as `preparation` says."""

    @abstractmethod
    def graded(self, run: HarnessRun, model: HarnessModel, tasks: Mapping[str, Any]) -> Grades:
        """The grades of a run of the harness.

        Args:
            run: what the harness gave.
            model: that was asked.
            tasks: the harness's own, by name, with the requests that they made.
        """

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
            "kind": self.kind,
            "harness": release(),
            "task": self.definition.fingerprint,
            "num_fewshot": self.num_fewshot,
            "apply_chat_template": self.apply_chat_template,
            "fewshot_as_multiturn": self.fewshot_as_multiturn,
            "limit": self.limit,
            # Left out where it is what it was before it could be set.
            **({} if self.sample_items is None else {"sample": {"items": self.sample_items, "seed": self.sample_seed}}),
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
        return self._run.counts.get(plan_key(self))

    @property
    def documents(self) -> TaskDocuments:
        """What a contamination check compares with the rows to train on."""
        return TaskDocuments(self.task, lambda: self._run.documents(self))

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


def share_run(graders: list[HarnessGrader]) -> None:
    """Have graders of equal settings load a checkpoint once for all of them."""
    run = SharedRun(graders)
    for grader in graders:
        object.__setattr__(grader, "_run", run)


__all__ = ["HarnessGrader", "share_run"]
