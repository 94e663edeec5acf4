"""lm-evaluation-harness as a Grader: each item of a task has a value, and finished results of the harness are read as grades."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import random
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.adapters.lm_eval.suites import SKILL_OF, SUITES, SuiteTask
from instructsel.adapters.lm_eval.tasks import NEEDED_BY, Task, find, plain, silent
from instructsel.artifact import atomic_write
from instructsel.errors import EnvironmentFault, ModelUnavailable, UntrustedModel, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.graders.held_out_loss import DEVICES, PRECISIONS
from instructsel.models import runner
from instructsel.models.answers import first_line
from instructsel.models.load import LocalModel, locate, refuse_code, settings
from instructsel.models.network import load_network
from instructsel.pool.sources import zstd
from instructsel.protocols import Checkpoint, Grades

KIND: Final = "lm_eval"
NO_METRIC: Final = "no_metric"
"""The task gave the item no value of that metric."""
NOT_A_NUMBER: Final = "not_a_number"
"""The metric exists only over all items together."""
NOT_FINITE: Final = "not_finite"
"""A likelihood that is no finite number: the harness would call the first choice its highest."""
KEPT: Final = 4
"""Checkpoints whose grades stay in memory."""
SEEDS: Final = 2**32
HASH: Final = 32
"""Hexadecimal digits of an item's name."""
SPECIAL: Final = 8
"""Tokens a tokenizer may add to a text, above one for each byte."""
CONTEXT: Final = ("max_position_embeddings", "n_positions", "n_ctx")
LIKELIHOODS: Final = ("loglikelihood", "multiple_choice")
GENERATE: Final = "generate_until"
LENGTHS: Final = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAFE: Final = re.compile(r"[^A-Za-z0-9._+-]")
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""The harness's samples, task by task."""


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
    """A folder with tasks of one's own; without one that comes with the harness, its index is not built."""
    batch_size: int = field(default=8, kw_only=True)
    max_length: int | None = field(default=None, kw_only=True)
    """Tokens of prompt and answer at most; the model's context by default, and never more."""
    seed: int = field(default=1234, kw_only=True)
    """For demonstrations, for tasks that draw, and for sampling."""
    device: str = field(default="auto", kw_only=True)
    """cpu, cuda, or auto."""
    precision: str = field(default="auto", kw_only=True)
    """fp32, bf16, or auto."""
    samples: str | Path | None = field(default=None, kw_only=True)
    """A folder where the harness's own samples are kept, a file a task and checkpoint: document, prompt, reply, value of every item."""
    allow_unsafe_code: bool = field(default=False, kw_only=True)
    """Whether code that the model writes may be run on this machine, as humaneval and mbpp do. In a sandbox only."""
    found: Task = field(init=False, repr=False)
    """The task as its files describe it."""
    _run: _Run = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for what, value, least in (
            ("limit", self.limit, 1),
            ("batch_size", self.batch_size, 1),
            ("max_length", self.max_length, 2),
            ("num_fewshot", self.num_fewshot, 0),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{what} is {value}; it is a whole number, {least} or more.")
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"A seed is a whole number from 0 to {SEEDS - 1}, not {self.seed}.")
        if self.precision not in PRECISIONS:
            raise UsageError.named(self.precision, PRECISIONS, noun="precision")
        if self.device not in DEVICES:
            raise UsageError.named(self.device, DEVICES, noun="device")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise UsageError(
                "fewshot_as_multiturn says how demonstrations stand in a chat template, and there is none.",
                fix="Say apply_chat_template=True as well, or leave it out.",
            )
        found = find([self.task], include_path=self.include_path)[self.task]
        if found.unsafe and not self.allow_unsafe_code:
            raise UsageError(
                f"{self.task} runs code that the model writes on this machine.",
                fix="In a sandbox, say allow_unsafe_code=True; or leave the task out.",
            )
        found.check_shots(self.num_fewshot)
        metric = found.metric(self.metric)
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "name", self.name or f"{KIND}:{self.task}:{plain(metric)}")
        object.__setattr__(self, "_run", _Run([self]))

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
        if all(isinstance(each, SuiteTask) for each in listed) and (num_fewshot is not None or metrics is not None):
            raise UsageError("A suite has shots and metrics of its own.", fix="Leave them out, or name the tasks.")
        names = [each.task if isinstance(each, SuiteTask) else each for each in listed]
        found = find(names, include_path=include_path)
        made: list[LmEval] = []
        for each in listed:
            if isinstance(each, SuiteTask):
                made.append(cls(each.task, each.metric, num_fewshot=each.num_fewshot, include_path=include_path, **options))
                continue
            wanted = metrics if metrics is not None else found[each].metrics or ("",)
            made += [cls(each, metric, num_fewshot=num_fewshot, include_path=include_path, **options) for metric in wanted]
        twice = [name for name, count in Counter(grader.name for grader in made).items() if count > 1]
        if twice:
            raise UsageError(f"{twice[0]} is asked for twice.", fix="Name each task and metric once.")
        run = _Run(made)
        for grader in made:
            object.__setattr__(grader, "_run", run)
        return made

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
            "harness": _release(),
            "task": self.found.fingerprint,
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


class _Run:
    """Graders that share a run: the same model settings, one load of the model per checkpoint."""

    def __init__(self, graders: Sequence[LmEval]) -> None:
        self.graders = list(graders)
        self.kept: OrderedDict[tuple[str, str], dict[str, Grades]] = OrderedDict()
        self.counts: dict[tuple[str, int | None], int] = {}

    @property
    def plans(self) -> dict[tuple[str, int | None], list[LmEval]]:
        """The graders of each run of the harness."""
        found: dict[tuple[str, int | None], list[LmEval]] = {}
        for grader in self.graders:
            found.setdefault((grader.task, grader.num_fewshot), []).append(grader)
        return found

    @property
    def unsafe(self) -> bool:
        """Whether code that the model writes is run."""
        return any(grader.found.unsafe for grader in self.graders)

    def check(self) -> None:
        """Load the data of the tasks."""
        with silent(unsafe=self.unsafe), _seeds_kept():
            for key, members in self.plans.items():
                _seed(members[0].seed)
                limit = members[0].limit or math.inf
                tasks = members[0].found.load()["tasks"].values()
                self.counts[key] = sum(int(min(limit, len(list(task.eval_docs)))) for task in tasks)

    def grades(self, checkpoint: Checkpoint) -> dict[str, Grades]:
        """The grades of all, by name."""
        if not checkpoint.folder.is_dir():
            raise ModelUnavailable(
                f"{checkpoint.folder} is no folder, so {self.graders[0].name} has no model to grade.", fix="Train it again."
            )
        # Equal weights with another tokenizer or template are graded anew.
        key = (checkpoint.digest, LocalModel("", None, checkpoint.folder, checkpoint.digest).settings)
        if key not in self.kept:
            self.kept[key] = self._graded(checkpoint)
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]

    def _graded(self, checkpoint: Checkpoint) -> dict[str, Grades]:
        with silent(unsafe=self.unsafe), _seeds_kept():
            # Before the model: a data set that is missing costs no load of it.
            loaded = {}
            for key, members in self.plans.items():
                _seed(members[0].seed)
                loaded[key] = members[0].found.load()
            try:
                return self._answered(checkpoint, loaded)
            finally:
                # Before the next checkpoint is trained on the same GPU.
                gc.collect()
                runner.free_memory()

    def _answered(self, checkpoint: Checkpoint, loaded: dict[tuple[str, int | None], dict[str, Any]]) -> dict[str, Grades]:
        model = _Model.load(checkpoint, self.graders[0])
        made: dict[str, Grades] = {}
        for key, members in self.plans.items():
            made |= _evaluated(model, loaded.pop(key), members)
        return made


@dataclass(frozen=True, eq=False)
class _Model:
    """A checkpoint as the harness takes it."""

    harness: Any
    """The harness's HFLM."""
    finite: bool
    """Whether it gives finite logits at all."""
    digest: str
    """Of the weights."""
    record: dict[str, Any]

    @classmethod
    def load(cls, checkpoint: Checkpoint, asked: LmEval) -> _Model:
        torch = require("torch", needed_by=NEEDED_BY)
        source = locate(str(checkpoint.folder), needed_by=NEEDED_BY)
        refuse_code(source)
        if source.digest != checkpoint.digest:
            raise UntrustedModel(
                f"The weights in {checkpoint.folder} are not the checkpoint's any more: {source.digest[:12]}…, not {checkpoint.digest[:12]}….",
                fix="Train it again, or make the checkpoint anew with checkpoint_of.",
            )
        precision, device = settings(asked.precision, asked.device)
        chat_template = ChatTemplate.load(source.folder)
        # The object, not its name: the harness's own arguments for quantised bases fail, and pickles and code stay out.
        network = load_network(
            source,
            "CausalLM",
            kind="a causal language model",
            needed_by=NEEDED_BY,
            random="answers",
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
        if not getattr(network, "is_quantized", False):
            network = network.to(device)
        context = next((value for key in CONTEXT if isinstance(value := source.config.get(key), int)), None)
        lengths = [value for value in (asked.max_length, context) if value is not None]
        harness = require("lm_eval.models.huggingface", needed_by=NEEDED_BY).HFLM(
            pretrained=network,
            tokenizer=chat_template.tokenizer,
            backend="causal",
            batch_size=asked.batch_size,
            max_length=min(lengths) if lengths else None,
        )
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([[harness.prefix_token_id]], device=network.device)).logits
        template = harness.chat_template(chat_template=True) if asked.apply_chat_template else None
        record = {
            "precision": precision,
            "device": device,
            "max_length": int(harness.max_length),
            "template": None if template is None else "tulu" if chat_template.fallback else "own",
            "chat_template_sha": None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        }
        return cls(harness, bool(torch.isfinite(logits).all()), checkpoint.digest, record)

    def cut(self, arguments: Sequence[Any], output: str) -> bool:
        """Whether a prompt of an item is longer than the model sees."""
        for each in arguments:
            if output in LIKELIHOODS:
                text, room = each[0] + each[1], self.harness.max_length + 1 - (not each[0])
            elif output == GENERATE:
                asked = next((each[1][key] for key in LENGTHS if each[1].get(key) is not None), self.harness.max_gen_toks)
                text, room = each[0], self.harness.max_length - int(asked)
            else:
                return False
            # Few texts are so long that their tokens need to be counted.
            if len(text.encode("utf-8", "replace")) + SPECIAL > room and len(self.harness.tok_encode(text)) > room:
                return True
        return False


def _evaluated(model: _Model, loaded: dict[str, Any], members: Sequence[LmEval]) -> dict[str, Grades]:
    """One run of the harness: a task with its shots, and every metric of it that is asked for."""
    torch = require("torch", needed_by=NEEDED_BY)
    evaluator = require("lm_eval.evaluator", needed_by=NEEDED_BY)
    asked = members[0]
    started = time.monotonic()
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        task.set_config("num_fewshot", asked.num_fewshot if asked.num_fewshot is not None else own or 0)
        task.set_fewshot_seed(seed=asked.seed)
    # Anew for each task, so that its values do not depend on what was run before it.
    _seed(asked.seed)
    try:
        # What simple_evaluate does, without its survey of the machine, its git call and its request to the hub.
        results = evaluator.evaluate(
            lm=model.harness,
            task_dict=loaded,
            limit=asked.limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=asked.apply_chat_template,
            fewshot_as_multiturn=asked.fewshot_as_multiturn,
            confirm_run_unsafe_code=asked.found.unsafe,
        )
    except torch.OutOfMemoryError as error:
        raise EnvironmentFault(
            f"No memory for {asked.task} in batches of {asked.batch_size}.", fix="Say a smaller batch_size or max_length."
        ) from error
    except (AssertionError, ValueError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"The harness refuses {asked.task} with these settings: {first_line(error)}", fix="Change them.") from error
    rows: Rows = results["samples"]
    cut: set[tuple[str, int]] = set()
    for leaf, each in rows.items():
        output = str(results["configs"][leaf].get("output_type"))
        first = each[0]["filter"] if each else None
        cut |= {(leaf, row["doc_id"]) for row in each if row["filter"] == first and model.cut(row["arguments"], output)}
        expected = min(asked.limit or math.inf, results["n-samples"][leaf]["original"])
        if (got := sum(row["filter"] == first for row in each)) != expected:
            raise EnvironmentFault(f"The harness gave {got} items of {leaf}, and it has {expected}.", fix="Report this with its version.")
    record = {
        **model.record,
        "harness": _release(),
        # The harness's own field: of the folder it is run in, which says nothing.
        "git_hash": None,
        "seconds": time.monotonic() - started,
        "batch_size": asked.batch_size,
        "seed": asked.seed,
        "limit": asked.limit,
        "apply_chat_template": asked.apply_chat_template,
        "fewshot_as_multiturn": asked.fewshot_as_multiturn,
        "hashes": {leaf: _hash(each) for leaf, each in rows.items()},
        "samples": None if asked.samples is None else _keep(Path(asked.samples), asked, model.digest, rows),
    }
    return {
        each.name: _graded(
            results, rows, each.task, each.metric, name=each.name, record=record, truncated=len(cut), finite=model.finite, text=False
        )
        for each in members
    }


def _graded(
    results: Mapping[str, Any],
    rows: Rows,
    task: str,
    metric: str,
    *,
    name: str,
    record: Mapping[str, Any],
    truncated: int,
    finite: bool,
    text: bool,
) -> Grades:
    """The grades of one metric from the harness's results and samples."""
    bare, _, chosen = metric.rpartition(",")
    items: list[str] = []
    values: list[float] = []
    reasons: list[str | None] = []
    means: dict[str, float] = {}
    for leaf in sorted(rows):
        output = str(results["configs"][leaf].get("output_type"))
        seen: Counter[str] = Counter()
        begin = len(values)
        for row in sorted((row for row in rows[leaf] if row["filter"] == chosen), key=lambda row: int(row["doc_id"])):
            document = str(row["doc_hash"])[:HASH]
            seen[document] += 1
            # Equal documents are told apart by their order, which is the data set's.
            items.append(f"{leaf}/{document}" + (f"#{seen[document]}" if seen[document] > 1 else ""))
            value, reason = _value(row, bare, output, finite=finite, text=text)
            values.append(value)
            reasons.append(reason)
        kept = [value for value, reason in zip(values[begin:], reasons[begin:], strict=True) if reason is None]
        means[leaf] = math.fsum(kept) / len(kept) if kept else math.nan
    if not items or all(reason == NO_METRIC for reason in reasons):
        named = sorted({f"{key},{row['filter']}" for each in rows.values() for row in each for key in row["metrics"]})
        raise UsageError(f"{task} gives no {plain(metric)}.", fix=f"It gives {', '.join(map(plain, named))}.")
    if all(reason in (NO_METRIC, NOT_A_NUMBER) for reason in reasons):
        raise UsageError(f"{plain(metric)} of {task} exists only over all items together.", fix="Name a metric that items have.")
    directions = {results["higher_is_better"].get(leaf, {}).get(bare) for leaf in rows}
    if directions not in ({True}, {False}):
        raise UsageError(
            f"The harness does not say whether a higher {bare} of {task} is better.", fix="Say higher_is_better in the task's metric_list."
        )
    whole = [value for value, reason in zip(values, reasons, strict=True) if reason is None]
    hashes = record["hashes"]
    figure = results["results"].get(task, {}).get(metric)
    return Grades(
        name,
        tuple(items),
        np.array(values, dtype=np.float64),
        np.ones(len(items)),
        tuple(reasons) if any(reasons) else (),
        unit=plain(metric),
        higher_is_better=directions == {True},
        truncated=truncated,
        record={
            "kind": KIND,
            "task": task,
            "metric": metric,
            **{key: value for key, value in record.items() if key != "hashes"},
            "micro": math.fsum(whole) / len(whole) if whole else None,
            "macro": math.fsum(means.values()) / len(means) if all(map(math.isfinite, means.values())) else None,
            "harness_figure": float(figure) if isinstance(figure, int | float) else None,
            "tasks": {
                leaf: {
                    "version": results["versions"].get(leaf),
                    "hash": hashes[leaf],
                    "num_fewshot": results["n-shot"].get(leaf),
                    "mean": means[leaf] if math.isfinite(means[leaf]) else None,
                }
                for leaf in sorted(rows)
            },
            "skill": SKILL_OF.get(task),
            # What has to be the same of all models that are compared: the hash is of documents, prompts, shots and targets.
            "settings": {
                "harness": record["harness"],
                "chat_template_sha": record["chat_template_sha"],
                "fewshot_as_multiturn": bool(record["fewshot_as_multiturn"]),
                "tasks": {
                    leaf: {"version": str(results["versions"].get(leaf)), "num_fewshot": results["n-shot"].get(leaf), "hash": hashes[leaf]}
                    for leaf in sorted(rows)
                },
            },
            "nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items())),
        },
    )


def _value(row: Mapping[str, Any], metric: str, output: str, *, finite: bool, text: bool) -> tuple[float, str | None]:
    if metric not in row:
        return 0.0, NO_METRIC
    if not finite or (output != GENERATE and not _finite(row["resps"], text)):
        return 0.0, NOT_FINITE
    value = row[metric]
    if not isinstance(value, bool | int | float | np.number | np.bool_):
        return 0.0, NOT_A_NUMBER
    number = float(value)
    return (number, None) if math.isfinite(number) else (0.0, NOT_FINITE)


def _finite(value: Any, text: bool) -> bool:
    """Whether all likelihoods are numbers; the harness's files hold them as texts."""
    if isinstance(value, list | tuple):
        return all(_finite(each, text) for each in value)
    if text and isinstance(value, str):
        return value.strip("() ").partition(",")[0].lower() not in ("nan", "inf", "-inf")
    return not isinstance(value, float) or math.isfinite(value)


def _keep(folder: Path, asked: LmEval, digest: str, rows: Rows) -> str:
    """Write the harness's samples of a run as compressed JSON lines, the same bytes for the same samples; the file's name.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    shots = "" if asked.num_fewshot is None else f"-{asked.num_fewshot}shot"
    name = f"{SAFE.sub('_', asked.task)[:80]}{shots}-{digest[:16]}.jsonl.zst"
    lines = [
        json.dumps({"task": leaf, **row}, ensure_ascii=False, sort_keys=True, default=str) for leaf in sorted(rows) for row in rows[leaf]
    ]
    data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{folder} cannot be used: {error.strerror or error}.", fix="Name another folder.") from error
    with atomic_write(folder / name) as file:
        file.write(zstd.compress(data))
    return name


def _hash(rows: Sequence[Mapping[str, Any]]) -> str:
    """The harness's own hash of a task: documents, prompts and targets."""
    return hashlib.sha256(
        "".join(str(row["doc_hash"]) + str(row["prompt_hash"]) + str(row["target_hash"]) for row in rows).encode()
    ).hexdigest()


def _release() -> str:
    return str(require("lm_eval", needed_by=NEEDED_BY).__version__)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    require("torch", needed_by=NEEDED_BY).manual_seed(seed)


@contextmanager
def _seeds_kept() -> Iterator[None]:
    """Random numbers go on after the block as if it had not been."""
    torch = require("torch", needed_by=NEEDED_BY)
    plainly, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(plainly)
        np.random.set_state(numpys)


__all__ = ["KIND", "LmEval"]
