"""Code that a task brings along: found in its file, and run only where that is allowed.

A task of lm-evaluation-harness is a YAML file whose `!function` names Python code, whose templates are Jinja, and whose metrics may be
scripts of the hub. Of a folder that came from elsewhere none of it is run without a flag; templates run in Jinja's sandbox always,
and where a folder's code may not run, templates and patterns within limits of time, memory and size.
Tasks that come with the harness are the harness's own code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.substitution import substituted
from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.paths import resolved
from instructsel.pool.pickles import no_pickles
from instructsel.rendering import TaskPattern, TaskTemplate

NEEDED_BY: Final = "grading with lm-evaluation-harness"
ALLOW: Final = "Read the code first; then set allow_task_code=True (--allow-task-code), or leave the task out."


class Function(str):
    """`folder/module.function`, where a task's file says !function."""

    __slots__ = ()


def code_of(config: Mapping[str, Any]) -> str | None:
    """Which code of its own a task's file would have run, for people; None where there is none.

    Args:
        config: the file's content, read within `contained`.
    """
    pending: list[tuple[str, Any]] = [("", config)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, Function):
            if is_shipped(Path(value)):
                # A task that includes one of the harness's: its code is the harness's own.
                continue
            return f"{key}: !function {Path(value).name}"
        if key == "class":
            return f"class: {value}"
        if isinstance(value, Mapping):
            pending.extend((str(name), part) for name, part in value.items())
        elif isinstance(value, list | tuple):
            pending.extend((key, part) for part in value)
    return _script(config)


def _script(config: Mapping[str, Any]) -> str | None:
    """A metric that the package `evaluate` would fetch from the hub and run."""
    registry = require("lm_eval.api.registry", needed_by=NEEDED_BY)
    require("lm_eval.api.metrics", needed_by=NEEDED_BY)
    if isinstance(config.get("process_results"), Function):
        # What computes the values names their metrics: none of them is looked up.
        return None
    listed = config.get("metric_list") or ()
    for entry in listed if isinstance(listed, list | tuple) else ():
        name = entry.get("metric") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and (entry.get("hf_evaluate") or name not in registry.metric_registry):
            return f"the metric {name} of the package evaluate"
    return None


def is_shipped(path: Path | None) -> bool:
    """Whether a task's file came with the harness."""
    package = Path(require("lm_eval.tasks", needed_by=NEEDED_BY).__file__).resolve().parent
    return path is not None and resolved(path).is_relative_to(package)


class _Limited:
    """In place of Jinja's environment: its templates are rendered within limits."""

    def from_string(self, template: str) -> TaskTemplate:
        """A template."""
        return TaskTemplate(template)


class _Expressions:
    """In place of the module `re`: the patterns of a task look through what a model wrote within limits."""

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)

    def compile(self, pattern: str, flags: int = 0) -> TaskPattern:
        """A pattern; what is none is refused as `re` refuses it."""
        re.compile(pattern, flags)
        return TaskPattern(pattern, flags)

    def findall(self, pattern: str, string: str, flags: int = 0) -> list[Any]:
        """As of `re`."""
        return TaskPattern(pattern, flags).findall(string)

    def sub(self, pattern: str, repl: str, string: str) -> str:
        """As of `re`, for what the filters and metrics of the harness ask of it."""
        return TaskPattern(pattern).sub(repl, string)


@contextmanager
def contained(*, code: bool, folder: Path | None = None) -> Iterator[list[UsageError]]:
    """A block in which the harness runs templates in a sandbox and no code that a folder's tasks bring along.

    Args:
        code: whether that code may be run.
        folder: with tasks of the user's own; their `include` may not lead out of it.

    Yields:
        What was refused: the harness passes over files that it cannot read.
    """
    loader = require("lm_eval.tasks._yaml_loader", needed_by=NEEDED_BY)
    utilities = require("lm_eval.utils", needed_by=NEEDED_BY)
    sandbox = require("jinja2.sandbox", needed_by=NEEDED_BY)
    environment: Any
    if folder is not None and not code:
        environment = _Limited()
    else:
        environment = sandbox.SandboxedEnvironment(
            loader=utilities.env.loader, undefined=utilities.env.undefined, keep_trailing_newline=utilities.env.keep_trailing_newline
        )
        environment.filters.update(utilities.env.filters)
        # The harness compiles a template anew for every document.
        environment.from_string = cache(environment.from_string)
    shipped = Path(loader.__file__).resolve().parent
    roots = [shipped] if folder is None else [shipped, folder.resolve()]
    refused: list[UsageError] = []

    def constructor(base: Path, resolve: bool) -> Any:
        make = original_constructor(base, resolve)
        return make if resolve else lambda loader, node: Function(make(loader, node))

    def imported(qualified: str, base: Path) -> Any:
        if not code and not resolved(base).is_relative_to(shipped):
            raise UsageError(f"A task of {base} names the code {qualified} (!function).", fix=ALLOW)
        return original_import(qualified, base)

    def included(path: Any, **options: Any) -> Any:
        if not code and not any(Path(path).expanduser().resolve().is_relative_to(root) for root in roots):
            refused.append(UsageError(f"A task includes {path}, which lies outside of its folder.", fix=ALLOW))
            raise refused[-1]
        return original_load(path, **options)

    original_constructor, original_import, original_load = loader._mk_function_ctor, loader._import_func_in_yml, loader.load_yaml
    with ExitStack() as stack:
        stack.enter_context(substituted(loader, _mk_function_ctor=constructor, _import_func_in_yml=imported, load_yaml=included))
        stack.enter_context(substituted(utilities, env=environment))
        if folder is not None and not code:
            for name in ("lm_eval.filters.extraction", "lm_eval.filters.transformation", "lm_eval.api.metrics"):
                stack.enter_context(substituted(require(name, needed_by=NEEDED_BY), re=_Expressions()))
        stack.enter_context(no_pickles(NEEDED_BY))
        yield refused


__all__ = ["ALLOW", "Function", "code_of", "contained", "is_shipped"]
