"""Worker processes: the same experiment in several processes that share its folder, each with a GPU of its own where there are several."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

PATIENCE: Final = 5.0
"""Seconds that a worker has to end by itself after an interruption."""


@contextmanager
def workers(commands: Sequence[list[str]], gpus: Sequence[str] = ()) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that work in the same folder; interrupted where the block is.

    Args:
        commands: what each of them runs.
        gpus: of which each of them sees one, in turn, the first being this process's; all see what this one does where there are none.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands, start=1):
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment(gpus, number)))
        yield processes
    except BaseException:
        # As Ctrl-C does to all of a terminal's processes; who does not hear it, as while it is loading, can as well be killed.
        for process in processes:
            process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        for process in processes:
            try:
                process.wait(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        raise


def shares(jobs: int, limit: int | None) -> list[int | None]:
    """How many runs each of so many processes makes at most; a limit of fewer runs than processes leaves some out.

    >>> shares(2, 3), shares(4, 1), shares(2, None)
    ([2, 1], [1], [None, None])
    """
    if limit is None:
        return [None] * jobs
    return [share for number in range(jobs) if (share := len(range(number, limit, jobs)))]


def shared_gpus(n_workers: int) -> list[str]:
    """The GPUs that are shared out among this process and its workers, where there are several; this one keeps the first.

    What the device is called is read when CUDA is first used: a process that has used it already goes on seeing all of them.
    """
    names = gpus()
    if not n_workers or len(names) < 2:
        return []
    os.environ["CUDA_VISIBLE_DEVICES"] = names[0]
    return names


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _environment(gpus: Sequence[str], number: int) -> dict[str, str] | None:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else None


__all__ = ["gpus", "shared_gpus", "shares", "workers"]
