"""Tasks of lm-evaluation-harness: those it ships, those of a folder, those made of a user's own questions, and suites of them."""

from __future__ import annotations

import difflib
import functools
import glob
import io
import json
import logging
import os
import re
import string
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import atomic_write, file_digest, fingerprint
from instructsel.errors import EnvironmentFault, InstructselError, MissingExtra, PoolError, TooManyBadRows, UsageError
from instructsel.extras import require
from instructsel.models.answers import first_line
from instructsel.pool.account import LISTED, Account, Quarantined
from instructsel.pool.lines import Limits, RowFault
from instructsel.pool.sources import open_source

NEEDED_BY: Final = "grading with lm-evaluation-harness"
SKILLS: Final = ("knowledge", "reasoning", "multilinguality", "coding", "truthfulness")
"""What a task of a suite is said to measure; the columns of a table by skill."""


@dataclass(frozen=True)
class SuiteTask:
    """A task as a suite wants it run."""

    task: str
    """A task, group or tag of the harness."""
    metric: str
    """`metric` or `metric,filter`, as the harness writes it."""
    num_fewshot: int
    """Demonstrations before each item."""
    skill: str
    """One of SKILLS."""
    unsafe: bool = False
    """Whether it runs code that the model writes."""


SUITES: Final[Mapping[str, tuple[SuiteTask, ...]]] = {
    "open-llm": (
        SuiteTask("arc_challenge", "acc_norm", 25, "reasoning"),
        SuiteTask("hellaswag", "acc_norm", 10, "reasoning"),
        SuiteTask("mmlu", "acc", 5, "knowledge"),
        SuiteTask("truthfulqa_mc2", "acc", 0, "truthfulness"),
    ),
    "tulu": (
        SuiteTask("mmlu", "acc", 0, "knowledge"),
        SuiteTask("gsm8k_cot", "exact_match,flexible-extract", 8, "reasoning"),
        SuiteTask("bbh_cot_fewshot", "exact_match,get-answer", 3, "reasoning"),
        SuiteTask("tydiqa_goldp", "f1", 1, "multilinguality"),
        SuiteTask("humaneval", "pass@1,create_test", 0, "coding", unsafe=True),
        SuiteTask("truthfulqa_mc2", "acc", 0, "truthfulness"),
    ),
}
"""`open-llm` are the four tasks of InstructMining's evaluation (Cao et al. 2023, arXiv:2307.06290) with the shots of the Open LLM
Leaderboard of its time; `tulu` are the harness's nearest tasks to the evaluation of Wang et al. 2023, arXiv:2306.04751."""

SKILL_OF: Final[Mapping[str, str]] = {each.task: each.skill for suite in SUITES.values() for each in suite}
"""What the tasks of the suites are said to measure."""

SUITE_NOTES: Final[Mapping[str, Mapping[str, str]]] = {
    "open-llm": {
        "arc_challenge": "The leaderboard ran an older harness; its figures and those of today's task are not the same.",
        "hellaswag": "The leaderboard ran an older harness; its figures and those of today's task are not the same.",
        "mmlu": "The leaderboard averaged over the 57 subjects (macro); the mean of the grades counts every question once (micro). Both are in the record.",
        "truthfulqa_mc2": "Six question-answer pairs are written into its prompt; the shots are 0 all the same.",
    },
    "tulu": {
        "mmlu": "The likelihoods of A to D after the question; the paper begins the answer with 'The answer is:' and drops shots above 2,048 tokens.",
        "gsm8k_cot": "All 1,319 test questions, where the paper draws 200; the ends of the demonstrations are worded slightly differently; the last number counts (flexible-extract).",
        "bbh_cot_fewshot": "All questions of the 27 tasks, where the paper draws 40 of each; case counts; the mean counts every question once, the paper's every task once (macro, in the record).",
        "tydiqa_goldp": "Demonstrations are random training rows of the same language; other wording of the prompt; no cut of passages at 512 tokens, no 100 questions per language; another normalisation of answers. The paper averages over languages (macro, in the record).",
        "humaneval": "pass@1, greedy, where the paper reports pass@10 of 20 samples at temperature 0.8. Runs code that the model writes.",
        "truthfulqa_mc2": "The likelihood of true answers; the paper's truth × info needs two fine-tuned judges, which the harness does not have.",
        "alpaca_eval": "Not in the harness; a grader of its own.",
        "toxigen": "The harness's task of that name asks yes or no about given statements and is not the paper's generation of toxic text; left out.",
    },
}
"""In what a task of a suite differs from what it stands for."""

UNSAFE: Final = ("humaneval", "mbpp", "cruxeval", "evalplus", "livecodebench", "bigcodebench")
"""How names of tasks begin that run code a model wrote, whatever their files say."""
SHIPPED: Final = "lm-eval ls tasks"
FILES: Final = ("json", "parquet", "csv", "text", "arrow", "pandas", "xml", "webdataset")
"""Formats of `datasets` that read files, as `dataset_path` of a task."""


class _Nowhere(io.TextIOBase):
    """Where the harness's bars and notices go. Never closed: a logger may keep it."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def silent(*, unsafe: bool = False) -> Iterator[None]:
    """The harness without bars and notices; environment and root logger are put back as they were.

    Args:
        unsafe: whether code that a model wrote may be run inside the block.
    """
    environment = dict(os.environ)
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    logging.disable(logging.CRITICAL)
    os.environ["LMEVAL_LOG_LEVEL"] = "ERROR"
    if unsafe:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Before the streams are turned away: what these loggers write to, they keep.
            require("lm_eval.evaluator", needed_by=NEEDED_BY)
            for name in ("datasets.utils.logging", "transformers.utils.logging"):
                require(name, needed_by=NEEDED_BY).get_verbosity()
            with redirect_stdout(_Nowhere()), redirect_stderr(_Nowhere()):
                yield
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers


@dataclass(frozen=True, eq=False)
class Leaf:
    """A task that has items, as its file describes it."""

    name: str
    config: Mapping[str, Any] = field(repr=False)
    """The file's content with what it includes; functions as `folder/module.function`."""

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Its metrics, `metric,filter`; None where only its code knows them."""
        if "class" in self.config:
            return None
        filters = [str(each["name"]) for each in self.config.get("filter_list") or ()] or ["none"]
        return tuple(f"{metric},{each}" for metric in self._bare() for each in filters)

    def _bare(self) -> list[str]:
        registry = require("lm_eval.api.registry", needed_by=NEEDED_BY)
        listed = self.config.get("metric_list")
        if not listed:
            return list(registry.DEFAULT_METRIC_REGISTRY.get(self.config.get("output_type", "generate_until"), ()))
        found: list[str] = []
        for each in listed:
            name = str(each["metric"])
            if "/" in name:
                name = name.rpartition(".")[2]
                if name == "pass_at_k":
                    shots = each.get("k") or ()
                    found += [f"pass@{count}" for count in (shots if isinstance(shots, list) else [shots])]
                    continue
            found.append(name)
        return found

    @property
    def open(self) -> bool:
        """Whether its code may give other metrics than its file names."""
        return "class" in self.config or self.config.get("process_results") is not None

    @property
    def unsafe(self) -> bool:
        """Whether it runs code that the model writes."""
        tags = self.config.get("tag") or ()
        named = (self.name, *([tags] if isinstance(tags, str) else tags))
        return bool(self.config.get("unsafe_code")) or any(str(each).rpartition("::")[2].startswith(UNSAFE) for each in named)

    @property
    def version(self) -> Any:
        """What its file says its version is."""
        said = self.config.get("metadata")
        return said.get("version") if isinstance(said, Mapping) else None

    @property
    def data(self) -> str:
        """Where its items come from, in words."""
        path = self.config.get("dataset_path")
        part = self.config.get("dataset_name")
        return f"{path} ({part})" if part else str(path)

    @property
    def hub(self) -> bool:
        """Whether its items come from the hub."""
        path, files = self.config.get("dataset_path"), self.config.get("dataset_kwargs")
        if path in FILES:
            return "://" in str(files)
        return bool(path) and not Path(str(path)).exists()

    @property
    def digest(self) -> str:
        """Of its file, the code beside it and its data files; no path, and of a data set on the hub only the name."""
        return fingerprint({"name": self.name, "config": _described(self.config)})


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked for by one name: a task, or a group or tag of several. Its data is not loaded yet."""

    name: str
    leaves: tuple[Leaf, ...]
    """The tasks that have items."""
    group: Mapping[str, Any] | None = field(repr=False)
    """The file of a group."""
    manager: Any = field(repr=False)
    """The harness's TaskManager that knows it."""

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, `metric,filter`, that all its tasks have by their files."""
        listed = [leaf.metrics or () for leaf in self.leaves]
        return tuple(name for name in listed[0] if all(name in each for each in listed))

    @cached_property
    def unsafe(self) -> bool:
        """Whether one of its tasks runs code that the model writes."""
        return self.name.startswith(UNSAFE) or any(leaf.unsafe for leaf in self.leaves)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Names, versions and digests; no path."""
        versions = {json.dumps(leaf.version) for leaf in self.leaves}
        return {
            "name": self.name,
            "tasks": len(self.leaves),
            "versions": sorted(versions),
            "digest": fingerprint([_described(self.group), [leaf.digest for leaf in self.leaves]]),
        }

    def metric(self, asked: str) -> str:
        """A metric as the harness writes it, `metric,filter`; the only one where none is asked for.

        Raises:
            UsageError: there is none of that name, or several.
        """
        if not asked:
            if len(self.metrics) == 1:
                return self.metrics[0]
            raise UsageError(
                f"{self.name} has {'several metrics' if self.metrics else 'no metric that its file names'}.",
                fix=f"Name one: {', '.join(map(plain, self.metrics))}." if self.metrics else "Name one, as its code does.",
            )
        if "," in asked:
            matching = [asked] if asked in self.metrics else []
        else:
            matching = [name for name in self.metrics if name.partition(",")[0] == asked]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise UsageError(f"{self.name} has {asked} after several filters.", fix=f"Name one: {', '.join(matching)}.")
        if all(leaf.open for leaf in self.leaves):
            return asked if "," in asked else f"{asked},none"
        raise UsageError.named(asked, map(plain, self.metrics), noun=f"metric of {self.name}")

    def check_shots(self, num_fewshot: int | None) -> None:
        """Refuse shots that the harness would pass over.

        Raises:
            UsageError: a task's file fixes them at 0.
        """
        if not num_fewshot:
            return
        fixed = [leaf.name for leaf in self.leaves if leaf.config.get("num_fewshot") == 0]
        if fixed:
            raise UsageError(
                f"{fixed[0]} fixes its shots at 0, and the harness would pass over the {num_fewshot} asked for.",
                fix="Leave num_fewshot out, or say 0.",
            )

    def load(self) -> dict[str, Any]:
        """The harness's tasks with their data, fresh. To be called within `silent`.

        Raises:
            EnvironmentFault: a data set that is neither here nor to be had.
            MissingExtra: a package that the task needs.
            UsageError: data files that are gone, or a task that the harness refuses.
        """
        errors = require("datasets.exceptions", needed_by=NEEDED_BY)
        try:
            loaded: dict[str, Any] = dict(self.manager.load([self.name]))
        except ModuleNotFoundError as error:
            raise MissingExtra(f"{self.name} needs '{error.name}', which is not installed.", fix=f"pip install {error.name}") from error
        except (OSError, RuntimeError, errors.DatasetsError) as error:
            hub = [leaf for leaf in self.leaves if leaf.hub]
            if not hub:
                raise UsageError(f"The data of {self.name} cannot be read: {first_line(error)}", fix="Write the task again.") from error
            names = ", ".join(sorted({leaf.data for leaf in hub})[:3])
            path, part = hub[0].config["dataset_path"], hub[0].config.get("dataset_name")
            call = f"datasets.load_dataset({path!r}{f', {part!r}' if part else ''})"
            raise EnvironmentFault(
                f"{self.name} needs the data set {names}, which is not on this machine, and the hub does not give it: {first_line(error)}",
                fix=f"Where there is a network, run once: {call}; or write your own questions as a task with write_task.",
            ) from error
        except InstructselError:
            raise
        except Exception as error:  # a task's own code and templates raise whatever they like
            raise UsageError(f"The harness cannot load {self.name}: {first_line(error)}", fix="Mend its file.") from error
        return loaded


def plain(metric: str) -> str:
    """A metric without the filter that is none."""
    return metric.removesuffix(",none")


def find(names: Sequence[str], *, include_path: str | Path | None = None) -> dict[str, Task]:
    """Tasks by their names. Those that come with the harness are only indexed, which takes 12 seconds, when one is asked for.

    Args:
        names: of tasks, groups or tags.
        include_path: a folder with tasks of the user's own, which come first.

    Raises:
        MissingExtra: lm-eval is not installed.
        UsageError: no task of that name, or no such folder.
    """
    folder = None if include_path is None else Path(include_path)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder} is no folder with tasks.", fix="Name the folder that holds the tasks' YAML files.")
    with silent():
        own = _manager(folder) if folder is not None else None
        found: dict[str, Task] = {}
        for name in dict.fromkeys(names):
            task = None if own is None else _task(name, own)
            if task is None and own is not None and name in own.task_index:
                # A group of the user's with tasks that come with the harness.
                both = require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager(include_path=str(folder))
                task = _task(name, both)
            if task is None:
                task = _task(name, _defaults())
            if task is None:
                raise _unknown(name, own, folder)
            found[name] = task
    return found


def _manager(folder: Path) -> Any:
    return require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager(include_path=str(folder), include_defaults=False)


@functools.cache
def _defaults() -> Any:
    return require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager()


def _unknown(name: str, own: Any, folder: Path | None) -> UsageError:
    mine = [] if own is None else list(own.all_tasks)
    known = [*mine, *_defaults().all_tasks]
    if difflib.get_close_matches(name, known, n=1):
        return UsageError.named(name, known, noun="task")
    here = f"{folder} has {', '.join(mine) or 'none'} (a file that is no YAML is passed over); " if folder is not None else ""
    return UsageError(f"There is no task '{name}'.", fix=f"{here}those that come with the harness are listed by: {SHIPPED}")


def _task(name: str, manager: Any) -> Task | None:
    """A task that a manager knows wholly; None where it or a member of it is unknown there."""
    gathered = _Gathered(manager.task_index)
    if not gathered.add(name, {}, frozenset()) or not gathered.leaves:
        return None
    entry = manager.task_index[name]
    return Task(name, tuple(gathered.leaves.values()), entry.cfg if entry.kind.name == "GROUP" else None, manager)


GROUP_FIELDS: Final = ("group", "group_alias", "task", "aggregate_metric_list", "metadata")
"""What in a group's file is the group's own; all else changes its tasks."""


class _Gathered:
    """The tasks with items under a name, found in the harness's index as the harness itself finds them."""

    def __init__(self, index: Mapping[str, Any]) -> None:
        self.index = index
        self.leaves: dict[str, Leaf] = {}

    def add(self, name: str, changes: Mapping[str, Any], above: frozenset[str]) -> bool:
        """Whether the name and all below it are known; `changes` are what groups above say of their tasks."""
        entry = self.index.get(name)
        if entry is None or name in above:
            return False
        if entry.kind.name == "TAG":
            return all(self.add(member, changes, above | {name}) for member in sorted(entry.tags))
        if entry.kind.name == "GROUP":
            return self.members(name, entry.cfg or {}, changes, above | {name})
        self.leaves[name] = Leaf(name, {**(entry.cfg or {}), **changes})
        return True

    def members(self, name: str, config: Mapping[str, Any], changes: Mapping[str, Any], above: frozenset[str]) -> bool:
        """What a group's file lists: names, or names with changes; what stands in no file the harness calls group::name."""
        changes = {**{key: value for key, value in config.items() if key not in GROUP_FIELDS}, **changes}
        listed = config.get("task") or ()
        for member in [listed] if isinstance(listed, str) else listed:
            if isinstance(member, str):
                known = self.add(member, changes, above)
            else:
                inner = str(member.get("group") or member.get("task"))
                said = {**changes, **{key: value for key, value in member.items() if key not in ("group", "task")}}
                if inner in self.index:
                    known = self.add(inner, said, above)
                elif "group" in member:
                    known = self.members(f"{name}::{inner}", member, changes, above)
                else:
                    self.leaves[f"{name}::{inner}"] = Leaf(f"{name}::{inner}", {**said, "task": inner})
                    known = True
            if not known:
                return False
        return True


def _described(value: Any, key: str = "") -> Any:
    """A task's file as plain data, with digests where it names files of this machine."""
    if isinstance(value, Mapping):
        return {str(name): _described(each, "data_files" if key == "data_files" else str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_described(each, key) for each in value]
    if not isinstance(value, str):
        return value if isinstance(value, int | float | bool | None) else str(value)
    if key in ("data_files", "data_dir") or (key == "dataset_path" and value not in FILES and Path(value).is_dir()):
        return _files(value)
    if value.startswith("/") and "\n" not in value:
        module, _, function = value.rpartition(".")
        if module and Path(f"{module}.py").is_file():
            return {"function": f"{Path(module).name}.{function}", "code": file_digest(f"{module}.py")}
    return value


def _files(pattern: str) -> Any:
    """The digests of what a pattern names here; of what is not here, the last part of its name."""
    place = Path(pattern)
    if place.is_file():
        return {"file": file_digest(place)}
    paths = [each for each in (place.rglob("*") if place.is_dir() else map(Path, glob.glob(pattern, recursive=True))) if each.is_file()]
    if paths:
        return {"files": sorted(file_digest(each) for each in paths)}
    return pattern if "://" in pattern else {"missing": place.name}


MULTIPLE_CHOICE: Final = "multiple_choice"
GENERATE: Final = "generate"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {MULTIPLE_CHOICE: ("query", "choices", "gold"), GENERATE: ("prompt", "answer")}
"""Kinds of tasks, and the fields of their rows."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAGIC: Final = "*?[]{}"
"""What `datasets` would read as a pattern in the name of a folder."""


@dataclass(frozen=True)
class WrittenTask:
    """A task of one's own on disk, ready for `LmEval(written.name, include_path=written.folder)` and for the harness's `--include_path`."""

    name: str
    folder: Path
    file: Path
    """Its YAML."""
    data: Path
    """Its items, as Parquet; the digest is in the name."""
    digest: str
    """Of the items, whatever their order in the file."""
    account: Account = field(repr=False)
    """What was read, kept and quarantined."""


def write_task(
    rows: str | Path,
    folder: str | Path,
    *,
    name: str,
    kind: str = MULTIPLE_CHOICE,
    fields: Mapping[str, str | Sequence[str]] | None = None,
    examples: str | Path | None = None,
    delimiter: str = " ",
    until: Sequence[str] = ("\n\n",),
    max_new_tokens: int = 256,
    extract: str | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    max_bad_fraction: float = 0.05,
) -> WrittenTask:
    r"""Write questions of one's own as a task of the harness, which then runs without the hub.

    A multiple-choice row has a `query`, `choices` and `gold`: the position of the right choice, its text, or the name of its column.
    The choices are compared by their likelihood after the query and the delimiter: `acc`, and `acc_norm` by the characters of a
    choice. A generated row has a `prompt` and an `answer`, or a list of answers of which one is enough: `exact_match` of what the
    model writes, without the white space around it, or of the part that `extract` finds.

    The items are written in the order of their digests, so that `limit` takes the same ones whatever the order of the file.
    Demonstrations are drawn from `examples`, or else from the other items. Equal rows are kept, each counting as an item.

    Args:
        rows: a JSON Lines file, or another that a pool is read from (.gz, .zst, JSON array, CSV, Parquet).
        folder: made where it is missing; several tasks may share it.
        name: of the task.
        kind: multiple_choice or generate.
        fields: the file's names for a row's fields, e.g. {"query": "question", "choices": ["A", "B", "C", "D"], "gold": "answer"}.
        examples: a file of the same fields to draw demonstrations from.
        delimiter: between a query and a choice, and between a prompt and an answer in demonstrations.
        until: what ends an answer.
        max_new_tokens: of an answer.
        extract: a regular expression; its last match (or its group) is the answer.
        ignore_case: for exact_match.
        ignore_punctuation: for exact_match.
        max_bad_fraction: share of quarantined rows above which no task is written.

    Raises:
        UsageError: a name, kind, field or pattern that cannot be.
        PoolError: a file that cannot be read, or without a good row.
        TooManyBadRows: more quarantined rows than max_bad_fraction.
        EnvironmentFault: the folder cannot be written.

    >>> write_task("ours.jsonl", "tasks", name="ours", fields={"query": "question"})  # doctest: +SKIP
    """
    if kind not in KINDS:
        raise UsageError.named(kind, KINDS, noun="kind of task")
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a task.", fix="Use letters, digits, _, - and . only.")
    unknown = [each for each in fields or {} if each not in KINDS[kind]]
    if unknown:
        raise UsageError.named(unknown[0], KINDS[kind], noun=f"field of a {kind} row")
    if extract is not None:
        try:
            re.compile(extract)
        except re.error as error:
            raise UsageError(f"extract is no regular expression: {error}.") from error
    place = Path(folder).resolve()
    if any(mark in str(place) for mark in MAGIC):
        raise UsageError(f"The harness would read {place} as a pattern.", fix=f"Choose a folder without {' '.join(MAGIC)} in its path.")
    named = {each: (fields or {}).get(each, each) for each in KINDS[kind]}
    kept, account = _read(rows, kind, named, delimiter)
    shots, more = _read(examples, kind, named, delimiter) if examples is not None else ([], Account())
    account = account + more
    if account.bad_fraction > max_bad_fraction:
        raise TooManyBadRows(
            f"{account.n_quarantined} of {account.read} rows are no {kind} items ({', '.join(f'{code} {n}' for code, n in account.quarantined.items())}), above {max_bad_fraction:.0%}.",
            fix=f"Mend them (the first: {account.quarantine[0].file}, line {account.quarantine[0].line}), or raise max_bad_fraction.",
            account=account,
        )
    if not kept or (examples is not None and not shots):
        raise PoolError(
            f"{rows if not kept else examples} has no row that is a {kind} item.", fix="See the fields of a row.", account=account
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {place}: {error.strerror or error}.", fix="Choose another folder.") from error
    several = any(isinstance(row.get("answer"), list) for row in kept + shots)
    digest, data = _write_rows(place, name, kept, several)
    files = {"test": str(data)} | ({"shots": str(_write_rows(place, f"{name}-shots", shots, several)[1])} if shots else {})
    config = _config(name, kind, files, delimiter) | {"metadata": {"version": 1, "digest": digest, "items": len(kept)}}
    if kind == GENERATE:
        config |= _scoring(until, max_new_tokens, extract, ignore_case=ignore_case, ignore_punctuation=ignore_punctuation)
    path = place / f"{name}.yaml"
    with atomic_write(path) as file:
        # One key a line, its value as JSON, which is YAML.
        file.write("".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in config.items()).encode())
    return WrittenTask(name, place, path, data, digest, account)


def _config(name: str, kind: str, files: Mapping[str, str], delimiter: str) -> dict[str, Any]:
    texts = KINDS[kind]
    # Fields by their bare names: through a template, a question of digits would become a number and a list be evaluated.
    found: dict[str, Any] = {
        "task": name,
        # Parquet: read from JSON, texts that are all dates become times.
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": dict(files)},
        "test_split": "test",
        # Named, or the harness would show an item its own answer.
        "fewshot_split": "shots" if "shots" in files else "test",
        "doc_to_text": texts[0],
        "doc_to_target": texts[-1],
        "target_delimiter": delimiter,
        "fewshot_delimiter": "\n\n",
        "output_type": MULTIPLE_CHOICE if kind == MULTIPLE_CHOICE else "generate_until",
    }
    if kind == MULTIPLE_CHOICE:
        metrics = [{"metric": each, "aggregation": "mean", "higher_is_better": True} for each in ("acc", "acc_norm")]
        found |= {"doc_to_choice": texts[1], "metric_list": metrics}
    return found


def _scoring(
    until: Sequence[str], max_new_tokens: int, extract: str | None, *, ignore_case: bool, ignore_punctuation: bool
) -> dict[str, Any]:
    pattern = {"function": "regex", "regex_pattern": extract or r"(?s)\A.*\Z", "group_select": -1, "fallback": "[invalid]"}
    return {
        "generation_kwargs": {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False, "temperature": 0.0},
        "filter_list": [{"name": "extract" if extract else "strip", "filter": [pattern, {"function": "take_first"}]}],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": ignore_case,
                "ignore_punctuation": ignore_punctuation,
            }
        ],
    }


def _write_rows(folder: Path, name: str, rows: list[dict[str, Any]], several: bool) -> tuple[str, Path]:
    """The rows in the order of their digests, as Parquet: the harness draws demonstrations by position."""
    polars = require("polars", needed_by="write_task")
    if several:
        # The harness looks at the first row alone to see whether answers are lists.
        rows = [{**row, "answer": row["answer"] if isinstance(row["answer"], list) else [row["answer"]]} for row in rows]
    ordered = sorted(((fingerprint(row), row) for row in rows), key=lambda each: each[0])
    digest = fingerprint([each for each, _ in ordered])
    types = {
        "query": polars.String,
        "choices": polars.List(polars.String),
        "gold": polars.Int64,
        "prompt": polars.String,
        "answer": polars.List(polars.String) if several else polars.String,
    }
    path = folder / f"{name}-{digest[:16]}.parquet"
    frame = polars.DataFrame([row for _, row in ordered], schema={key: types[key] for key in rows[0]})
    with atomic_write(path) as file:
        frame.write_parquet(file, statistics=False)
    return digest, path


def _read(rows: str | Path, kind: str, named: Mapping[str, Any], delimiter: str) -> tuple[list[dict[str, Any]], Account]:
    """The good rows of a file, and the account of all."""
    source = open_source(rows, Limits())
    checked = _choice if kind == MULTIPLE_CHOICE else _answered
    kept: list[dict[str, Any]] = []
    bad: list[Quarantined] = []
    codes: Counter[str] = Counter()
    for row, value in source.rows():
        fault = row.fault
        if fault is None:
            try:
                item = _fields(value, named)
                kept.append(checked(item, named))
                if kind == MULTIPLE_CHOICE:
                    _check_delimiter(kept[-1], delimiter, source.name, row.line)
            except RowFault as found:
                fault = found
        if fault is not None:
            codes[fault.code] += 1
            if len(bad) < LISTED:
                bad.append(Quarantined(source.name, row.line, row.offset, fault.code, fault.detail))
    counted = len(kept) + sum(codes.values())
    return kept, Account(counted, len(kept), len(kept), quarantined=dict(sorted(codes.items())), quarantine=tuple(bad))


def _fields(value: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowFault("not_an_object", f"a row is an object, not {type(value).__name__}")

    def one(column: str) -> Any:
        if value.get(column) is None:
            raise RowFault("missing_field", f"no {column}")
        return value[column]

    return {name: one(column) if isinstance(column, str) else [one(each) for each in column] for name, column in named.items()}


def _choice(item: dict[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    query, choices, gold = item["query"], item["choices"], item["gold"]
    if not isinstance(query, str):
        raise RowFault("not_text", f"the query is {type(query).__name__}")
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
        raise RowFault("not_text", "the choices are no list of texts")
    if len(choices) < 2:
        raise RowFault("too_few_choices", f"{len(choices)} choices")
    if not all(choices):
        raise RowFault("empty_choice", "a choice is empty")
    if len(set(choices)) < len(choices):
        raise RowFault("equal_choices", "two choices are equal")
    if isinstance(gold, str):
        columns = [] if isinstance(named["choices"], str) else [str(each) for each in named["choices"]]
        place = next((each.index(gold) for each in (choices, columns) if gold in each), -1)
    else:
        place = gold if isinstance(gold, int) and not isinstance(gold, bool) else -1
    if not 0 <= place < len(choices):
        raise RowFault("unknown_gold", f"gold is none of the {len(choices)} choices")
    return {"query": query, "choices": choices, "gold": place}


def _check_delimiter(item: Mapping[str, Any], delimiter: str, file: str, line: int) -> None:
    if delimiter[-1:] in string.whitespace and delimiter and any(each[0] in string.whitespace for each in item["choices"]):
        raise UsageError(
            f"{file}, line {line}: a choice begins with white space, and so the delimiter would stand twice before it.",
            fix="Say delimiter='', or strip the choices.",
        )


def _answered(item: dict[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    prompt, answer = item["prompt"], item["answer"]
    answers = answer if isinstance(answer, list) else [answer]
    if not isinstance(prompt, str) or not all(isinstance(each, str) for each in answers):
        raise RowFault("not_text", "prompt and answer are texts")
    if not prompt.strip():
        raise RowFault("empty_prompt", "nothing to answer")
    # What the model writes is compared without the white space around it.
    answers = [each.strip() for each in answers]
    if not answers or not all(answers):
        raise RowFault("empty_answer", "no answer to compare with")
    return {"prompt": prompt, "answer": answers if isinstance(answer, list) else answers[0]}


__all__ = ["KINDS", "SKILLS", "SUITES", "SUITE_NOTES", "Leaf", "SuiteTask", "Task", "WrittenTask", "find", "plain", "silent", "write_task"]
