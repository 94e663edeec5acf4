"""A child process that does what may crash or never end, for this process alone: started when it is needed, and again when something has ended it.

The child's own program sets its limits of memory and processor time; here is its life: how it is started, why it ended, that one process has one,
and that it ends with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Self

from instructsel.errors import EnvironmentFault

OUT_OF_TIME: Final = 24
"""SIGXCPU, which other systems than Linux may not name."""
PRINTED: Final = 1 << 16
"""Bytes of what a child has printed that are looked at."""


class GuardedChild:
    """A child process of this process; a subclass speaks with it."""

    program: ClassVar[Path]
    """What it runs."""
    does: ClassVar[str]
    """What it does, for messages: `The process that … cannot be started`."""
    captures: ClassVar[bool] = False
    """Whether what it prints is kept, to tell why it ended."""
    _of_process: ClassVar[dict[tuple[int, type[Any]], Any]] = {}
    """By the process that asks: a fork does not share its parent's."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.errors: IO[bytes] | None = None

    @classmethod
    def mine(cls) -> Self:
        """That of this process."""
        known: Self | None = cls._of_process.get((os.getpid(), cls))
        if known is not None:
            return known
        for key in [key for key in cls._of_process if key[0] != os.getpid() or key[1] is cls]:
            del cls._of_process[key]
        child: Self = cls._of_process.setdefault((os.getpid(), cls), cls())
        atexit.register(child.close)
        return child

    @classmethod
    def rest(cls) -> None:
        """End that of this process, if there is one, until it is needed again."""
        child = cls._of_process.get((os.getpid(), cls))
        if child is not None:
            with child.lock:
                child.close()

    def environment(self) -> Mapping[str, str]:
        """The variables that it has, besides where modules are found."""
        raise NotImplementedError

    def running(self) -> subprocess.Popen[bytes]:
        """The process, started where there is none.

        Raises:
            EnvironmentFault: it cannot be.
        """
        if self.process is not None and self.process.poll() is not None:
            self.close()
        if self.process is None:
            paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
            try:
                if self.captures:
                    self.errors = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - closed with the process
                self.process = subprocess.Popen(
                    [sys.executable, "-P", str(self.program.resolve())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.errors,
                    env={**self.environment(), "PYTHONPATH": paths},
                    cwd=os.sep,
                )
            except (OSError, ValueError) as error:
                raise EnvironmentFault(
                    f"The process that {self.does} cannot be started: {error}.", fix="Let this process start another one."
                ) from error
        return self.process

    def why_ended(self, process: subprocess.Popen[bytes]) -> str:
        """The limit that ended it: time, memory, or crash where it was none of these."""
        code = process.wait()
        printed = b""
        if self.errors is not None:
            self.errors.seek(0)
            printed = self.errors.read(PRINTED)
        if code == -OUT_OF_TIME:
            return "time"
        return "memory" if code == -signal.SIGKILL.value or b"memory allocation of" in printed else "crash"

    def send(self, request: bytes) -> subprocess.Popen[bytes]:
        """Send a line to the process; one that has ended meanwhile shows by its answer."""
        process = self.running()
        with contextlib.suppress(BrokenPipeError):
            pipe_of(process.stdin).write(request + b"\n")
            pipe_of(process.stdin).flush()
        return process

    def close(self, *, kill: bool = False) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        errors, self.errors = self.errors, None
        if errors is not None:
            errors.close()
        if process is None:
            return
        if kill:
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def pipe_of(pipe: IO[bytes] | None) -> IO[bytes]:
    """A pipe of a process that was started with it."""
    assert pipe is not None
    return pipe


__all__ = ["GuardedChild", "pipe_of"]
