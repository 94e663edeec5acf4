"""The gold answers of a task as a Grader: how many bits per byte a model needs for each, after the task's own prompt.

At small scale a likelihood of the right answer tells models apart where accuracy is still chance: the easy suite of OLMo 3, and Signal
and Noise (arXiv 2508.13144), grade by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from instructsel.adapters.lm_eval.base import HarnessGrader, share_run
from instructsel.adapters.lm_eval.run import HarnessModel
from instructsel.adapters.lm_eval.samples import GENERATE, NOT_FINITE, HarnessRun
from instructsel.adapters.lm_eval.suites import SUITES, SuiteTask, suite_settings
from instructsel.adapters.lm_eval.tasks import Task
from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.protocols import Grades
from instructsel.stats.loss_units import BITS_PER_BYTE

KIND: Final = "lm_eval_gold"
NEEDED_BY: Final = "grading gold answers of lm-evaluation-harness"
METRIC: Final = "gold_bits"
FILTER: Final = "none"
NO_GOLD: Final = "no_gold"
"""The item has no gold answer that is a text: none, an empty one, or a target that is no answer, as the constants of IFEval."""
NO_TOKENS: Final = "no_tokens"
"""The answer has no token of its own: the tokenizer melts it into the prompt."""
NOT_A_PREFIX: Final = "not_a_prefix"
"""The tokens of the prompt are not the first ones of prompt and answer together, so that the answer's own are not known."""
TOO_LONG: Final = "too_long"
"""The answer alone has more tokens than the model sees."""
SOLUTIONS: Final = ("canonical_solution", "code")
"""Columns with the solution of a task that runs code, whose target is the tests: HumanEval, MBPP and what is made of them."""


@dataclass(frozen=True, eq=False)
class GoldBits(HarnessGrader):
    """A grader: −log2 p of the gold answer after the prompt that the task makes, over the answer's UTF-8 bytes; lower is better.

    The prompt with its demonstrations, in the chat template if that is asked for, is the harness's own, and so is the likelihood
    (its requests of type loglikelihood). The answer is, with the task's delimiter before it, as the harness asks for a choice: of
    a multiple-choice task the gold choice; of a task with a target its target; of a task that is generated its target, and where
    that is a test of code the data set's solution. Of several gold answers the first counts. Its bytes are those of what stands
    after the prompt, delimiter included, and are its weight, so that the weighted mean is all bits over all bytes.

    Nothing is generated and no code is run. Reasons: no_gold, no_tokens, not_a_prefix, too_long, not_finite. Items whose prompt
    lost its beginning to the context's length are counted as truncated.

    Source: Heineman et al. 2025, Signal and Noise, arXiv 2508.13144; OLMo 3's easy suite. Delimiter and demonstrations are the
    harness's here, so that figures of other suites differ.

    >>> GoldBits("mine", include_path="tasks").grade(checkpoint_of("my-org/my-model")).weighted_mean  # doctest: +SKIP
    """

    kind: ClassVar[str] = KIND
    replies: ClassVar[bool] = False

    def _check_task(self, definition: Task) -> None:
        """Every task may be graded by: nothing that a model writes is run."""

    def _settle(self, definition: Task) -> None:
        object.__setattr__(self, "name", self.name or f"lm_eval:{self.task}:{METRIC}")

    @classmethod
    def graders(cls, tasks: str | Sequence[str | SuiteTask], *, num_fewshot: int | None = None, **options: Any) -> list[GoldBits]:
        """One grader for each task; they share one run per checkpoint.

        Args:
            tasks: a suite, a task, or several; a SuiteTask has its own shots.
            num_fewshot: of the tasks given by name.
            options: the other settings, the same for all.

        Raises:
            UsageError: shots for a suite, which has its own; no task, or one twice.
        """
        listed = list(SUITES[tasks]) if isinstance(tasks, str) and tasks in SUITES else [tasks] if isinstance(tasks, str) else list(tasks)
        if not listed:
            raise UsageError("No task is named.", fix=f"Name tasks, or a suite: {', '.join(SUITES)}.")
        if all(isinstance(entry, SuiteTask) for entry in listed) and num_fewshot is not None:
            raise UsageError("A suite has shots of its own.", fix="Leave them out, or name the tasks.")
        # A suite may have a task with several metrics, and it has one gold answer.
        asked = [(entry.task, entry.num_fewshot) if isinstance(entry, SuiteTask) else None for entry in listed]
        listed = [entry for place, entry in enumerate(listed) if asked[place] is None or asked[place] not in asked[:place]]
        graders = [
            cls(entry.task, **suite_settings(entry, listed, metric=METRIC), **options)
            if isinstance(entry, SuiteTask)
            else cls(entry, num_fewshot=num_fewshot, **options)
            for entry in listed
        ]
        names = [grader.name for grader in graders]
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate is not None:
            raise UsageError(f"{duplicate} is named twice.", fix="Name each task once.")
        share_run(list(graders))
        return graders

    def graded(self, run: HarnessRun, model: HarnessModel, tasks: Mapping[str, Any]) -> Grades:
        """The bits per byte of each gold answer."""
        unsafe = {leaf.name for leaf in self.definition.leaves if leaf.unsafe}
        answers: list[_Answer] = []
        for leaf, task in tasks.items():
            by_document: dict[int, list[Any]] = {}
            for instance in task.instances:
                by_document.setdefault(instance.doc_id, []).append(instance)
            for document, instances in by_document.items():
                instances.sort(key=lambda instance: instance.idx)
                found = gold_answer(task, instances, chat=self.apply_chat_template, code=leaf in unsafe)
                position = run.drawn[leaf][document] if leaf in run.drawn else int(document)
                answers.append(_Answer(leaf, position, *(("", "", found) if isinstance(found, str) else (*found, None))))
        answers = [_checked(answer, model) for answer in answers]
        values = _bits(answers, model)
        by_item = {(answer.leaf, answer.document): (answer, value) for answer, value in zip(answers, values, strict=True)}
        rows = {leaf: [_row(row, *by_item[leaf, int(row["doc_id"])]) for row in _once(samples)] for leaf, samples in run.rows.items()}
        directions = {leaf: {METRIC: False} for leaf in rows}
        truncated = sum(answer.reason is None and model.truncates([(answer.context, answer.text)], "loglikelihood") for answer in answers)
        gold = _GoldRun({**run.results, "higher_is_better": directions, "results": {}}, rows, run.record, truncated, model.finite)
        return gold.grades(self.task, f"{METRIC},{FILTER}", name=self.name)


@dataclass(frozen=True)
class _Answer:
    """A gold answer and what it stands behind."""

    leaf: str
    document: int
    context: str
    text: str
    """With the delimiter before it."""
    reason: str | None
    """Why there is none."""


class _GoldRun(HarnessRun):
    """A run whose rows hold the bits of gold answers, or the reason why there are none, and their bytes."""

    def grades(self, task: str, metric: str, *, name: str) -> Grades:
        """The grades, in bits per byte and weighted by bytes."""
        grades = super().grades(task, metric, name=name)
        weights = [float(row["bytes"]) for leaf in sorted(self.rows) for row in self._chosen(leaf, FILTER)]
        kind = {"kind": KIND, "bytes": int(sum(weight for weight, known in zip(weights, grades.valid, strict=True) if known))}
        return replace(grades, unit=BITS_PER_BYTE, weights=np.array(weights), record={**grades.record, **kind})

    def _value(self, row: Mapping[str, Any], metric: str, output: str) -> tuple[float, str | None]:
        value = row[metric]
        if isinstance(value, str):
            return 0.0, value
        return (value, None) if self.finite and math.isfinite(value) else (0.0, NOT_FINITE)


def gold_answer(task: Any, instances: Sequence[Any], *, chat: bool, code: bool = False) -> tuple[str, str] | str:
    """What the harness would ask the likelihood of a gold answer for: context and continuation; or why there is none.

    Args:
        task: the harness's.
        instances: its requests for one document, in the order of their choices.
        chat: whether the context is written in a chat template, after which the harness puts no delimiter.
        code: whether the task runs code, so that its target is the tests.
    """
    document, output = instances[0].doc, task.OUTPUT_TYPE
    if output == "multiple_choice":
        choices = list(task.doc_to_choice(document))
        # Where the choices stand in several prompts, the text says which of these is right.
        position = _position(task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document), choices)
        return NO_GOLD if position is None else _continued(*instances[position].args[:2])
    if output == "loglikelihood":
        gold = 0 if len(instances) == 1 else _position(document.get("gold"), instances)
        return NO_GOLD if gold is None else _continued(*instances[gold].args[:2])
    if output != GENERATE:
        return NO_GOLD
    context = str(instances[0].args[0])
    if code:
        solution = next((text for name in SOLUTIONS if isinstance(text := document.get(name), str) and text.strip()), None)
        return NO_GOLD if solution is None else (context, solution)
    text = _target(task, document)
    return NO_GOLD if text is None else _continued(context, f"{_delimiter(task, chat)}{text}")


def _continued(context: Any, text: Any) -> tuple[str, str] | str:
    return (str(context), str(text)) if str(text).strip() else NO_GOLD


def _position(gold: Any, choices: Sequence[Any]) -> int | None:
    """Which of the choices is the gold one, of several the first; None where none is."""
    if isinstance(gold, list | tuple):
        gold = gold[0] if gold else None
    if isinstance(gold, str):
        return choices.index(gold) if gold in choices else int(gold) if gold.isdigit() and int(gold) < len(choices) else None
    known = isinstance(gold, int | np.integer) and not isinstance(gold, bool) and 0 <= int(gold) < len(choices)
    return int(gold) if known else None


def _target(task: Any, document: Mapping[str, Any]) -> str | None:
    """The target of a task that is generated, of several the first; None where there is no text."""
    if isinstance(getattr(task.config, "doc_to_target", None), int):
        # The same number for every document: the task is graded by code that needs no target.
        return None
    gold = task.doc_to_target(document)
    if getattr(task.config, "doc_to_choice", None) is not None:
        choices = list(task.doc_to_choice(document))
        position = _position(gold, choices)
        gold = None if position is None else choices[position]
    if isinstance(gold, list | tuple):
        gold = gold[0] if gold else None
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        return None
    return text if (text := str(gold)).strip() else None


def _delimiter(task: Any, chat: bool) -> str:
    """Between a prompt and an answer, by the harness's rule for choices."""
    if not hasattr(task, "multiple_input"):
        # A task that is a class writes it into its targets.
        return ""
    delimiter, prefix = str(task.config.target_delimiter), task.config.gen_prefix
    return delimiter if not chat or (prefix and not prefix[-1].isspace()) else ""


def _checked(answer: _Answer, model: HarnessModel) -> _Answer:
    """An answer whose tokens are known; else with the reason why not."""
    if answer.reason is not None:
        return answer
    harness = model.harness
    if not answer.context:
        tokens = harness.tok_encode(answer.text, add_special_tokens=False)
    else:
        before, tokens = harness._encode_pair(answer.context, answer.text)
        if tokens and harness.tok_encode(answer.context + answer.text)[: len(before)] != before:
            return replace(answer, reason=NOT_A_PREFIX)
    if not tokens:
        return replace(answer, reason=NO_TOKENS)
    return replace(answer, reason=TOO_LONG) if len(tokens) > harness.max_length else answer


def _bits(answers: Sequence[_Answer], model: HarnessModel) -> list[float]:
    """The bits of each answer, by the harness's own requests; 0 where there is a reason."""
    instance = require("lm_eval.api.instance", needed_by=NEEDED_BY).Instance
    asked = [answer for answer in answers if answer.reason is None]
    requests = [instance("loglikelihood", {}, (answer.context, answer.text), 0, (answer.leaf, answer.document, 1)) for answer in asked]
    likelihoods = iter(model.harness.loglikelihood(requests) if requests else [])
    return [-float(next(likelihoods)[0]) / math.log(2) if answer.reason is None else 0.0 for answer in answers]


def _once(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The samples of the first filter: a document each."""
    first = samples[0]["filter"] if samples else None
    return [row for row in samples if row["filter"] == first]


def _row(row: Mapping[str, Any], answer: _Answer, bits: float) -> dict[str, Any]:
    """A sample of the harness with the bits per byte of its gold answer, or the reason."""
    size = len(answer.text.encode("utf-8", "surrogatepass"))
    return {**row, "filter": FILTER, METRIC: answer.reason if answer.reason is not None else bits / size, "bytes": size}


__all__ = ["KIND", "GoldBits", "gold_answer"]
