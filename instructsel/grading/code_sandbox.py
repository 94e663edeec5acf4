"""Whether programs that a model wrote come to their end, each in a process of its own that is cut off and limited."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from instructsel.grading import _code_child as child

SECONDS: Final = 3
"""Processor time of a program, as HumanEval's own runner allows."""
MEGABYTES: Final = 1024
PATIENCE: Final = 10
"""Times the processor time, by the clock, until a program that sleeps or waits is ended."""
PASSED: Final = "passed"
FAILED: Final = "failed"
"""It raised, ended early, or used more than it may."""
NAMESPACES: Final = "namespaces"
"""Without network, without other processes, and with a file system that cannot be written."""
LIMITS: Final = "limits"
"""In limits of time and memory alone: this system lets no process leave the others behind."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    passed: bool
    isolation: str
    """`namespaces` or `limits`."""


def run_program(program: str, *, seconds: int = SECONDS, megabytes: int = MEGABYTES, patience: int = PATIENCE) -> Outcome:
    """Run a program to its end; it passed where it got there without an exception.

    It has a copy of no environment variable, an empty working folder that it cannot write in, no standard input, and its output goes
    nowhere. On Linux with user namespaces it reaches neither the network nor other processes nor any file to write; elsewhere, the
    limits are all there is, and the outcome says so: run it in a container then. A program that looks for the pipe of its verdict
    may claim to have passed.

    Args:
        program: Python source.
        seconds: of processor time.
        megabytes: of memory.
        patience: times the seconds, by the clock, until a program that waits is ended.
    """
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(child.__file__)), str(seconds), str(megabytes), str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        try:
            process.communicate(program.encode("utf-8", "surrogatepass"), timeout=seconds * patience)
        except subprocess.TimeoutExpired:
            pass
        except BrokenPipeError:
            process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with os.fdopen(reader, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        said = pipe.read() or b""
    return Outcome(said.endswith(child.DONE) and process.returncode == 0, NAMESPACES if said.startswith(child.ISOLATED) else LIMITS)


def run_programs(programs: Sequence[str], *, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> list[Outcome]:
    """The outcome of each program; equal programs are run once."""
    distinct = list(dict.fromkeys(programs))
    workers = min(len(distinct), os.cpu_count() or 1)
    if not workers:
        return []
    with ThreadPoolExecutor(workers) as pool:
        outcomes = dict(
            zip(distinct, pool.map(lambda program: run_program(program, seconds=seconds, megabytes=megabytes), distinct), strict=True)
        )
    return [outcomes[program] for program in programs]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The unbiased estimate of the probability that one of k samples passes: 1 − C(n − c, k) / C(n, k).

    Source: Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374, equation 1.

    Args:
        n: samples that were drawn.
        correct: of them that passed.
        k: at least 1, at most n.

    >>> pass_at_k(20, 0, 10), pass_at_k(20, 11, 10), round(pass_at_k(20, 2, 10), 6)
    (0.0, 1.0, 0.763158)
    """
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


__all__ = ["LIMITS", "MEGABYTES", "NAMESPACES", "SECONDS", "Outcome", "pass_at_k", "run_program", "run_programs"]
