"""Tasks of lm-evaluation-harness: those it ships, those of a folder, those made of a user's own questions, and suites of them."""

from __future__ import annotations

import difflib
import functools
import glob
import io
import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.lm_eval.sentences import prepare_ifeval, splits_sentences
from instructsel.adapters.lm_eval.task_code import NEEDED_BY, code_of, contained, is_shipped
from instructsel.artifact import file_digest, fingerprint
from instructsel.errors import EnvironmentFault, InstructselError, MissingExtra, UsageError
from instructsel.extras import require
from instructsel.models.answers import first_line

UNSAFE: Final = ("humaneval", "mbpp", "cruxeval", "evalplus", "livecodebench", "bigcodebench")
"""How names of tasks begin that run code a model wrote, whatever their files say."""
SHIPPED: Final = "lm-eval ls tasks"
FILES: Final = ("json", "parquet", "csv", "text", "arrow", "pandas", "xml", "webdataset")
"""Formats of `datasets` that read files, as `dataset_path` of a task."""


class _Discarded(io.TextIOBase):
    """Takes the harness's bars and messages. Never closed: a logger may hold it."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def silent(*, unsafe: bool = False, code: bool = False, folder: Path | None = None) -> Iterator[list[UsageError]]:
    """The harness without bars and messages, its templates in a sandbox; environment and root logger are restored.

    Args:
        unsafe: whether code that a model wrote may be run inside the block.
        code: whether code that tasks of a folder bring along may be run.
        folder: with tasks of the user's own.

    Yields:
        Files of tasks that were refused.
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
            with redirect_stdout(_Discarded()), redirect_stderr(_Discarded()), contained(code=code, folder=folder) as refused:
                yield refused
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
    code: str | None = None
    """Code that its file brings along, for people; None for tasks that come with the harness."""

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Its metrics, `metric,filter`; None where only its code knows them."""
        if "class" in self.config:
            return None
        filters = [str(entry["name"]) for entry in self.config.get("filter_list") or ()] or ["none"]
        return tuple(f"{metric},{name}" for metric in self._bare() for name in filters)

    def _bare(self) -> list[str]:
        registry = require("lm_eval.api.registry", needed_by=NEEDED_BY)
        listed = self.config.get("metric_list")
        if not listed:
            return list(registry.DEFAULT_METRIC_REGISTRY.get(self.config.get("output_type", "generate_until"), ()))
        metrics: list[str] = []
        for entry in listed:
            name = str(entry["metric"])
            if "/" in name:
                name = name.rpartition(".")[2]
                if name == "pass_at_k":
                    shots = entry.get("k") or ()
                    metrics += [f"pass@{count}" for count in (shots if isinstance(shots, list) else [shots])]
                    continue
            metrics.append(name)
        return metrics

    @property
    def open(self) -> bool:
        """Whether its code may give other metrics than its file names."""
        return "class" in self.config or self.config.get("process_results") is not None

    @property
    def unsafe(self) -> bool:
        """Whether it runs code that the model writes."""
        tags = self.config.get("tag") or ()
        named = (self.name, *([tags] if isinstance(tags, str) else tags))
        return bool(self.config.get("unsafe_code")) or any(str(name).rpartition("::")[2].startswith(UNSAFE) for name in named)

    @property
    def version(self) -> Any:
        """What its file says its version is."""
        metadata = self.config.get("metadata")
        return metadata.get("version") if isinstance(metadata, Mapping) else None

    @property
    def data(self) -> str:
        """Where its items come from, for people."""
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
        return tuple(name for name in listed[0] if all(name in metrics for metrics in listed))

    @cached_property
    def unsafe(self) -> bool:
        """Whether one of its tasks runs code that the model writes."""
        return self.name.startswith(UNSAFE) or any(leaf.unsafe for leaf in self.leaves)

    @cached_property
    def code(self) -> str | None:
        """Code that the file of one of its tasks brings along, for people; None where there is none."""
        return next((f"{leaf.name} ({leaf.code})" for leaf in self.leaves if leaf.code), None)

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

    def metric(self, requested: str) -> str:
        """A metric as the harness writes it, `metric,filter`; the only one where none is named.

        Raises:
            UsageError: there is none of that name, or several.
        """
        if not requested:
            if len(self.metrics) == 1:
                return self.metrics[0]
            raise UsageError(
                f"{self.name} has {'several metrics' if self.metrics else 'no metric that its file names'}.",
                fix=f"Name one: {', '.join(map(short_metric, self.metrics))}." if self.metrics else "Name one, as its code does.",
            )
        if "," in requested:
            matching = [requested] if requested in self.metrics else []
        else:
            matching = [name for name in self.metrics if name.partition(",")[0] == requested]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise UsageError(f"{self.name} has {requested} after several filters.", fix=f"Name one: {', '.join(matching)}.")
        if all(leaf.open for leaf in self.leaves):
            return requested if "," in requested else f"{requested},none"
        raise UsageError.named(requested, map(short_metric, self.metrics), noun=f"metric of {self.name}")

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
                f"{fixed[0]} fixes its shots at 0, and the harness would pass over the {num_fewshot} requested.",
                fix="Leave num_fewshot out, or set it to 0.",
            )

    def load(self) -> dict[str, Any]:
        """The harness's tasks with their data, fresh. To be called within `silent`.

        Raises:
            EnvironmentFault: a data set that is neither here nor to be had.
            MissingExtra: a package that the task needs.
            UsageError: data files that are gone, or a task that the harness refuses.
        """
        errors = require("datasets.exceptions", needed_by=NEEDED_BY)
        if any(splits_sentences(leaf.config) for leaf in self.leaves):
            prepare_ifeval()
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
        except (InstructselError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a task's own code and templates raise whatever they like
            raise UsageError(f"The harness cannot load {self.name}: {first_line(error)}", fix="Mend its file.") from error
        return loaded


def short_metric(metric: str) -> str:
    """A metric without the filter that is none."""
    return metric.removesuffix(",none")


def count(documents: Iterable[Any]) -> int:
    """How many documents there are, without holding them."""
    return len(documents) if isinstance(documents, Sized) else sum(1 for _ in documents)


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
    with silent(folder=folder) as refused:
        user = _manager(folder) if folder is not None else None
        tasks: dict[str, Task] = {}
        for name in dict.fromkeys(names):
            task = None if user is None else _task(name, user)
            if task is None and user is not None and name in user.task_index:
                # A group of the user's with tasks that come with the harness.
                both = require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager(include_path=str(folder))
                task = _task(name, both)
            if task is None and refused:
                raise refused[0]
            if task is None:
                task = _task(name, _defaults())
            if task is None:
                raise _unknown(name, user, folder)
            tasks[name] = task
    return tasks


def _manager(folder: Path) -> Any:
    return require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager(include_path=str(folder), include_defaults=False)


@functools.cache
def _defaults() -> Any:
    return require("lm_eval.tasks", needed_by=NEEDED_BY).TaskManager()


def _unknown(name: str, user: Any, folder: Path | None) -> UsageError:
    user_tasks = [] if user is None else list(user.all_tasks)
    known = [*user_tasks, *_defaults().all_tasks]
    if difflib.get_close_matches(name, known, n=1):
        return UsageError.named(name, known, noun="task")
    of_folder = f"{folder} has {', '.join(user_tasks) or 'none'} (a file that is no YAML is skipped); " if folder is not None else ""
    return UsageError(f"There is no task '{name}'.", fix=f"{of_folder}those that come with the harness are listed by: {SHIPPED}")


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
        config = {**(entry.cfg or {}), **changes}
        foreign = changes or not is_shipped(entry.yaml_path)
        self.leaves[name] = Leaf(name, config, code_of(config) if foreign else None)
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
                config_of_member = {**changes, **{key: value for key, value in member.items() if key not in ("group", "task")}}
                if inner in self.index:
                    known = self.add(inner, config_of_member, above)
                elif "group" in member:
                    known = self.members(f"{name}::{inner}", member, changes, above)
                else:
                    config_of_member = {**config_of_member, "task": inner}
                    self.leaves[f"{name}::{inner}"] = Leaf(f"{name}::{inner}", config_of_member, code_of(config_of_member))
                    known = True
            if not known:
                return False
        return True


def _described(value: Any, key: str = "") -> Any:
    """A task's file as plain data, with digests where it names files of this machine."""
    if isinstance(value, Mapping):
        return {str(name): _described(part, "data_files" if key == "data_files" else str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_described(part, key) for part in value]
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
    matches = place.rglob("*") if place.is_dir() else map(Path, glob.glob(pattern, recursive=True))
    paths = [path for path in matches if path.is_file()]
    if paths:
        return {"files": sorted(file_digest(path) for path in paths)}
    return pattern if "://" in pattern else {"missing": place.name}


__all__ = ["Leaf", "Task", "count", "find", "short_metric", "silent"]
