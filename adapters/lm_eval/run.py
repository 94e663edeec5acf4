"""One run of lm-evaluation-harness for several graders: the model is loaded once per checkpoint."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import random
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.adapters.lm_eval.conditions import device_kind, precision_name
from instructsel.adapters.lm_eval.harness import chat_harness
from instructsel.adapters.lm_eval.samples import GENERATE, HarnessRun, Rows, samples_hash
from instructsel.adapters.lm_eval.task_code import NEEDED_BY
from instructsel.adapters.lm_eval.tasks import count, silent
from instructsel.artifact import atomic_write
from instructsel.errors import EnvironmentFault, InstructselError, ModelUnavailable, UntrustedModel, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.generation import stop_tokens
from instructsel.models import runner
from instructsel.models.answers import first_line
from instructsel.models.context import context_of
from instructsel.models.load import LocalModel, locate, refuse_code, settings
from instructsel.models.network import load_network
from instructsel.pool.sources import zstd
from instructsel.pool.task_overlap import TaskDocument
from instructsel.protocols import Checkpoint, Grades

if TYPE_CHECKING:
    from instructsel.adapters.lm_eval.base import HarnessGrader

MAX_CHECKPOINTS: Final = 4
"""Checkpoints whose grades stay in memory."""
SPECIAL: Final = 8
"""Tokens a tokenizer may add to a text, above one for each byte."""
LIKELIHOODS: Final = ("loglikelihood", "multiple_choice")
LENGTHS: Final = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAFE: Final = re.compile(r"[^A-Za-z0-9._+-]")
PlanKey = tuple[str, int | None, int | None, int, tuple[Any, ...]]
"""Task, shots, items drawn, the seed of the draw, changes of the task: what one run of the harness is for."""


class SharedRun:
    """Graders that share a run: the same model settings, one load of the model per checkpoint."""

    def __init__(self, graders: Sequence[HarnessGrader]) -> None:
        self.graders: list[HarnessGrader] = list(graders)
        self.counts: dict[PlanKey, int] = {}
        """Items of each plan; filled by `check`."""
        self._grades: OrderedDict[tuple[str, str], dict[str, Grades]] = OrderedDict()

    @property
    def plans(self) -> dict[PlanKey, list[HarnessGrader]]:
        """The graders of each run of the harness."""
        plans: dict[PlanKey, list[HarnessGrader]] = {}
        for grader in self.graders:
            plans.setdefault(plan_key(grader), []).append(grader)
        return plans

    @property
    def unsafe(self) -> bool:
        """Whether code that the model writes is run."""
        return any(grader.definition.unsafe and grader.replies for grader in self.graders)

    def _silent(self) -> AbstractContextManager[Any]:
        """The harness without messages, with what the graders allow it."""
        folder = self.graders[0].include_path
        return silent(
            unsafe=self.unsafe,
            code=any(grader.allow_task_code for grader in self.graders),
            folder=None if folder is None else Path(folder),
        )

    def check(self) -> None:
        """Load the data of the tasks."""
        with self._silent(), _random_state():
            for key, members in self.plans.items():
                _seed(members[0].seed)
                limit = members[0].limit or members[0].sample_items or math.inf
                tasks = members[0].definition.load()["tasks"].values()
                self.counts[key] = sum(int(min(limit, count(task.eval_docs))) for task in tasks)

    @contextmanager
    def documents(self, grader: HarnessGrader) -> Iterator[Iterator[tuple[list[TaskDocument], Iterator[TaskDocument]]]]:
        """The tasks of a grader, each with some of its documents and with all that are graded, one at a time.

        Raises:
            EnvironmentFault, MissingExtra, UsageError: see `check`.
        """
        # Here, as gold answers need this module.
        from instructsel.adapters.lm_eval.documents import leaf_documents, sampled

        with self._silent(), _random_state():
            _seed(grader.seed)
            unsafe = {leaf.name for leaf in grader.definition.leaves if leaf.unsafe}
            tasks = grader.definition.load()["tasks"]
            drawn = _drawn(grader, tasks)
            options = [
                (name, task, dict[str, Any](limit=grader.limit, code=name in unsafe, positions=drawn.get(name)))
                for name, task in tasks.items()
            ]
            yield ((sampled(name, task, **how), leaf_documents(name, task, **how)) for name, task, how in options)

    def grades(self, checkpoint: Checkpoint) -> dict[str, Grades]:
        """The grades of all, by name."""
        if not checkpoint.folder.is_dir():
            raise ModelUnavailable(
                f"{checkpoint.folder} is no folder, so {self.graders[0].name} has no model to grade.", fix="Train it again."
            )
        # Equal weights with another tokenizer or template are graded anew.
        key = (checkpoint.digest, LocalModel("", None, checkpoint.folder, checkpoint.digest).settings)
        if key not in self._grades:
            self._grades[key] = self._graded(checkpoint)
            while len(self._grades) > MAX_CHECKPOINTS:
                self._grades.popitem(last=False)
        self._grades.move_to_end(key)
        return self._grades[key]

    def _graded(self, checkpoint: Checkpoint) -> dict[str, Grades]:
        with self._silent(), _random_state():
            # Before the model: a data set that is missing costs no load of it.
            tasks = {}
            for key, members in self.plans.items():
                _seed(members[0].seed)
                tasks[key] = members[0].definition.load()
            try:
                return self._evaluated(checkpoint, tasks)
            finally:
                # Before the next checkpoint is trained on the same GPU.
                gc.collect()
                runner.free_memory()

    def _evaluated(self, checkpoint: Checkpoint, tasks: dict[PlanKey, dict[str, Any]]) -> dict[str, Grades]:
        model = HarnessModel.load(checkpoint, self.graders[0])
        grades: dict[str, Grades] = {}
        for key, members in self.plans.items():
            loaded = tasks.pop(key)
            run = _evaluate(model, loaded, members)
            grades |= {grader.name: grader.graded(run, model, loaded["tasks"]) for grader in members}
        return grades


@dataclass(frozen=True, eq=False)
class HarnessModel:
    """A checkpoint as the harness takes it."""

    harness: Any
    """The harness's HFLM."""
    finite: bool
    """Whether it gives finite logits at all."""
    digest: str
    """Of the weights."""
    record: dict[str, Any]
    """What grades write down of it."""
    limited_to: int | None = None
    """Tokens of prompt and response, where the grader allows fewer than the model's context."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, grader: HarnessGrader) -> HarnessModel:
        """A checkpoint with a grader's settings.

        Raises:
            UntrustedModel: weights that are not the checkpoint's.
        """
        torch = require("torch", needed_by=NEEDED_BY)
        source = locate(str(checkpoint.folder), needed_by=NEEDED_BY)
        refuse_code(source)
        if source.digest != checkpoint.digest:
            raise UntrustedModel(
                f"The weights in {checkpoint.folder} are not the checkpoint's any more: {source.digest[:12]}…, not {checkpoint.digest[:12]}….",
                fix="Train it again, or make the checkpoint anew with checkpoint_of.",
            )
        precision, device = settings(grader.precision, grader.device)
        chat_template = ChatTemplate.load(source.folder, date=grader.template_date)
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
        context = context_of(source)
        lengths = [value for value in (grader.max_length, context) if value is not None]
        harness = chat_harness(
            network,
            chat_template,
            stop_tokens(chat_template, source.folder),
            chats=grader.apply_chat_template,
            batch_size=grader.batch_size,
            max_length=min(lengths) if lengths else None,
        )
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([[harness.prefix_token_id]], device=network.device)).logits
        template = harness.chat_template(chat_template=True) if grader.apply_chat_template else None
        record = {
            "precision": precision,
            "device": device,
            "max_length": int(harness.max_length),
            "template": None if template is None else "tulu" if chat_template.fallback else "own",
            **({} if template is None else chat_template.dated),
            "chat_template_sha": None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        }
        limited_to = grader.max_length if context is None or (grader.max_length or context) < context else None
        return cls(harness, bool(torch.isfinite(logits).all()), checkpoint.digest, record, limited_to)

    def truncates(self, arguments: Sequence[Any], output: str) -> bool:
        """Whether a prompt of an item is longer than the model sees.

        Args:
            arguments: the harness's, one for each request of the item.
            output: the task's output type.
        """
        for request in arguments:
            if output in LIKELIHOODS:
                text, room = request[0] + request[1], self.harness.max_length + 1 - (not request[0])
            elif output == GENERATE:
                new = next((request[1][key] for key in LENGTHS if request[1].get(key) is not None), self.harness.max_gen_toks)
                text, room = request[0], self.harness.max_length - int(new)
            else:
                return False
            # Few texts are so long that their tokens need to be counted.
            if len(text.encode("utf-8", "replace")) + SPECIAL > room and len(self.harness.tok_encode(text)) > room:
                return True
        return False


class _Silent:
    """A model that is asked nothing: it replies nothing, and writes prompts as the model does whose place it takes."""

    def __init__(self, harness: Any) -> None:
        self.harness = harness

    def __getattr__(self, name: str) -> Any:
        return getattr(self.harness, name)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        return [(0.0, False)] * len(requests)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        return [0.0] * len(requests)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        return [""] * len(requests)


def _without_results(task: Any) -> None:
    """Have a task make its requests and look at no reply: no filter, no metric, no code that would be run."""
    filters = require("lm_eval.filters", needed_by=NEEDED_BY)
    task._filters = [filters.build_filter_ensemble("none", [("take_first", None)])]
    task.process_results = lambda doc, results: {}


def _evaluate(model: HarnessModel, tasks: dict[str, Any], members: Sequence[HarnessGrader]) -> HarnessRun:
    """One run of the harness: a task with its shots. Where no grader needs the model's replies, it is not asked for any."""
    grader, asked = members[0], any(member.replies for member in members)
    torch = require("torch", needed_by=NEEDED_BY)
    evaluator = require("lm_eval.evaluator", needed_by=NEEDED_BY)
    started = time.monotonic()
    for task in tasks["tasks"].values():
        default = task.get_config("num_fewshot")
        task.set_config("num_fewshot", grader.num_fewshot if grader.num_fewshot is not None else default or 0)
        task.set_fewshot_seed(seed=grader.seed)
        if not asked:
            _without_results(task)
        grader.prepare(task)
    drawn = _drawn(grader, tasks["tasks"])
    # Anew for each task, so that its values do not depend on what was run before it.
    _seed(grader.seed)
    try:
        # What simple_evaluate does, without its survey of the machine, its git call and its request to the hub.
        results = evaluator.evaluate(
            lm=model.harness if asked else _Silent(model.harness),
            task_dict=tasks,
            limit=grader.limit,
            samples=drawn or None,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=grader.apply_chat_template,
            fewshot_as_multiturn=grader.fewshot_as_multiturn,
            confirm_run_unsafe_code=grader.definition.unsafe,
        )
    except torch.OutOfMemoryError as error:
        raise EnvironmentFault(
            f"No memory for {grader.task} in batches of {grader.batch_size}.", fix="Set a smaller batch_size or max_length."
        ) from error
    except (InstructselError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a task's templates and code raise whatever they like, and a panic of a tokenizer is no Exception
        raise UsageError(f"The harness refuses {grader.task} with these settings: {first_line(error)}", fix="Change them.") from error
    rows: Rows = results["samples"]
    truncated = _truncated(model, results, rows, grader.limit, drawn)
    keeping = next((member for member in members if member.replies and member.samples is not None), None)
    record = {
        **model.record,
        "harness": release(),
        # The harness's own field: of the folder it is run in, which says nothing.
        "git_hash": None,
        "seconds": time.monotonic() - started,
        "batch_size": grader.batch_size,
        "seed": grader.seed,
        "limit": grader.limit,
        **({} if grader.sample_items is None else {"sample": {"items": grader.sample_items, "seed": grader.sample_seed}}),
        "apply_chat_template": grader.apply_chat_template,
        "fewshot_as_multiturn": grader.fewshot_as_multiturn,
        "system_instruction": None,
        "model_args": None,
        "computed_with": {
            "harness": release(),
            "backend": "hf",
            "batch_size": str(grader.batch_size),
            "device": device_kind(model.record["device"]),
            "dtype": precision_name(model.record["precision"]),
            "max_length": model.limited_to,
            "arguments": None,
        },
        "hashes": {leaf: samples_hash(samples) for leaf, samples in rows.items()},
        "samples": None if keeping is None else _write_samples(Path(str(keeping.samples)), keeping, model.digest, rows),
    }
    return HarnessRun(results, rows, record, truncated=truncated, finite=model.finite, drawn=drawn)


def _drawn(grader: HarnessGrader, tasks: Mapping[str, Any]) -> dict[str, list[int]]:
    """Task → the positions of the items that are drawn of it, ascending: the harness takes the items in the order of the data whatever
    the order of the positions, and would name them by the latter. Of a task without more items, all; no task where all items count."""
    if grader.sample_items is None:
        return {}
    drawn: dict[str, list[int]] = {}
    for name, task in tasks.items():
        n_items = count(task.eval_docs)
        drawn[name] = sorted(sample_positions(n_items, grader.sample_items, seed=grader.sample_seed))
    return drawn


def sample_positions(n_items: int, n: int, *, seed: int) -> list[int]:
    """The positions of n of so many items, in the order in which Python's generator draws them; of all where there are no more.

    Source: the subsets of Wang et al. 2023, arXiv:2306.04751, are drawn so, with seed 42.

    >>> sample_positions(1319, 200, seed=42)[:5]
    [1309, 228, 51, 563, 501]
    """
    return random.Random(seed).sample(range(n_items), n) if n < n_items else list(range(n_items))


def plan_key(grader: HarnessGrader) -> PlanKey:
    """What one run of the harness is for: graders of one key share it."""
    return (grader.task, grader.num_fewshot, grader.sample_items, grader.sample_seed, grader.preparation)


def _truncated(model: HarnessModel, results: Mapping[str, Any], rows: Rows, limit: int | None, drawn: Mapping[str, Sequence[int]]) -> int:
    """How many items have a prompt longer than the model sees.

    Raises:
        EnvironmentFault: the harness gave fewer items than the task has.
    """
    truncated: set[tuple[str, int]] = set()
    for leaf, samples in rows.items():
        output = str(results["configs"][leaf].get("output_type"))
        first = samples[0]["filter"] if samples else None
        once = [row for row in samples if row["filter"] == first]
        truncated |= {(leaf, row["doc_id"]) for row in once if model.truncates(row["arguments"], output)}
        expected = len(drawn[leaf]) if leaf in drawn else min(limit or math.inf, results["n-samples"][leaf]["original"])
        if len(once) != expected:
            raise EnvironmentFault(
                f"The harness gave {len(once)} items of {leaf}, and it has {expected}.", fix="Report this with its version."
            )
    return len(truncated)


def _write_samples(folder: Path, grader: HarnessGrader, digest: str, rows: Rows) -> str:
    """Write the harness's samples of a run as compressed JSON lines, the same bytes for the same samples; the file's name.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    shots = "" if grader.num_fewshot is None else f"-{grader.num_fewshot}shot"
    name = f"{SAFE.sub('_', grader.task)[:80]}{shots}-{digest[:16]}.jsonl.zst"
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


def release() -> str:
    """The harness's version."""
    return str(require("lm_eval", needed_by=NEEDED_BY).__version__)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    require("torch", needed_by=NEEDED_BY).manual_seed(seed)


@contextmanager
def _random_state() -> Iterator[None]:
    """Random numbers go on after the block as if it had not been."""
    torch = require("torch", needed_by=NEEDED_BY)
    standard, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(standard)
        np.random.set_state(numpy_state)


__all__ = ["HarnessModel", "SharedRun", "plan_key", "release", "sample_positions"]
