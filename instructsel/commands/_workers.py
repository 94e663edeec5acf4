"""Processes of the same command that work in the same folder."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer

PATIENCE: Final = 5.0
"""Seconds that a helper has to end by itself after an interruption."""


@contextmanager
def helped(commands: Sequence[list[str]], gpus: Sequence[str] = ()) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that work in the same folder; interrupted where the block is.

    Args:
        commands: what each of them runs.
        gpus: of which each of them sees one, in turn, the first being this process's; all see what this one does where there are none.
    """
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for at, line in enumerate(commands, start=1):
            helpers.append(subprocess.Popen(line, stdin=subprocess.DEVNULL, env=_environment(gpus, at)))
        yield helpers
    except BaseException:
        # As Ctrl-C does to all of a terminal's processes; who does not hear it, as while it is loading, can as well be killed.
        for each in helpers:
            each.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        for each in helpers:
            try:
                each.wait(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        raise


def _environment(gpus: Sequence[str], at: int) -> dict[str, str] | None:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": gpus[at % len(gpus)]} if gpus else None


def shared_gpus(helpers: int) -> list[str]:
    """The GPUs that are shared out among this process and its helpers, where there are several; this one keeps the first.

    What the device is called is read when CUDA is first used: a process that has used it already goes on seeing all of them.
    """
    found = gpus()
    if not helpers or len(found) < 2:
        return []
    os.environ["CUDA_VISIBLE_DEVICES"] = found[0]
    return found


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each.strip() for each in named.split(",") if each.strip()]
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    return [str(at) for at in range(torch.cuda.device_count())]


def command(context: typer.Context, **changes: Any) -> list[str]:
    """The command line that gives every setting of a command, wherever it came from, with some of them changed by name."""
    line = [sys.executable, "-m", "instructsel", *_path(context)]
    last: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        value = changes.get(name, context.params.get(name))
        if parameter.param_type_name == "argument":
            last += [str(value)] if value is not None else []
        elif isinstance(value, bool):
            flags = parameter.opts if value else parameter.secondary_opts
            line += flags[-1:]
        elif isinstance(value, list | tuple):
            line += [part for each in value for part in (parameter.opts[-1], str(each))]
        elif value is not None:
            line += [parameter.opts[-1], str(value)]
    return [*line, "--", *last]


def _path(context: typer.Context) -> list[str]:
    """The names of a command and of those it belongs to, but for the program's."""
    found: list[str] = []
    at: Any = context
    while at is not None and at.parent is not None:
        found.insert(0, at.info_name or "")
        at = at.parent
    return found
