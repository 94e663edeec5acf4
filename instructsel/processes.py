"""Both cores: a function of batches, computed in this process and in further ones beside it, results in order.

The further processes are started for long work alone, import nothing of the program that uses this package, and end with this
process. A result is the same wherever it is computed, so nothing depends on how many there are; one that is lost is replaced by
computing here.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from instructsel.errors import UsageError

PROCESSES: Final = "INSTRUCTSEL_PROCESSES"
"""The environment variable that says how many processes may work at a time, this one included; the usable cores by default."""
MOST: Final = 4
"""Processes by default, at most: each holds modules and tables of its own, and one process has to hand out the work."""
LARGEST: Final = 64
"""Processes that may be stated."""
PATIENCE: Final = 600
"""Seconds without an answer after which a process is given up: it was stopped, or does not get as far as asking."""
ALONE: Final = 4
"""Batches that are computed here before another process is worth its start."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_LENGTH: Final = struct.Struct("<Q")
_PROGRAM: Final = "from instructsel.processes import serve; serve({})"


def usable() -> int:
    """How many processes may work at a time, 1 or more.

    Raises:
        UsageError: INSTRUCTSEL_PROCESSES is no such number.
    """
    stated = os.environ.get(PROCESSES, "").strip()
    if stated:
        if not stated.isascii() or not stated.isdigit() or not 1 <= int(stated[:9]) <= LARGEST:
            raise UsageError(
                f"{PROCESSES} is {stated[:40]!r}; it is a whole number from 1 to {LARGEST}.", fix=f"For example: {PROCESSES}=2"
            )
        return int(stated)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


def in_order(function: Callable[[Batch], Result], batches: Iterable[Batch], *, alone: int = ALONE) -> Iterator[Result]:
    """The function's result for each batch, in the order of the batches.

    Batches are taken as they are needed: a few are held at a time, whatever their number.

    Args:
        function: of a module of this package, without a part in any state that changes its result.
        batches: each worth some tens of milliseconds; what pickle takes.
        alone: batches that are computed here before other processes are started.
    """
    source = iter(batches)
    count = usable() - 1
    if count == 0 or not hasattr(socket, "AF_UNIX"):
        yield from map(function, source)
        return
    yield from map(function, itertools.islice(source, alone))
    following = next(source, None)
    if following is None:
        return
    source = itertools.chain([following], source)
    del following
    with contextlib.ExitStack() as stack:
        # The helpers are closed first: nobody waits for what a killed process would have answered.
        threads = stack.enter_context(ThreadPoolExecutor(count))
        helpers = [stack.enter_context(contextlib.closing(_Helper())) for _ in range(count)]
        free = deque(helpers)
        waiting: deque[tuple[Batch | None, Future[Result]]] = deque()

        def there(batch: Batch) -> Result:
            helper = free.popleft()
            try:
                return helper.call(function, batch)
            finally:
                free.append(helper)

        for batch in source:
            queued = sum(not future.done() for _, future in waiting)
            future: Future[Result] | None = None
            if queued < 2 * count and any(helper.alive for helper in helpers):
                future = _submitted(threads, there, batch)
            waiting.append((None, _done(function(batch))) if future is None else (batch, future))
            del batch
            while waiting and (waiting[0][1].done() or len(waiting) > 3 * count + 1):
                yield _result(function, *waiting.popleft())
        while waiting:
            yield _result(function, *waiting.popleft())


class Beside(Generic[Batch, Result]):
    """A function's results for batches, which other processes compute while this one does something else, and then this one, too.

        with Beside(modules) as work:          # they start
            work.give(function, batches)       # they compute
            ...
            results = work.results()           # this one helps until all is done

    Args:
        modules: what they import while nothing is given to them yet.
        first: a function, and what it is called with in one of them before anything is given to it; see `first_result`.
    """

    def __init__(self, modules: Sequence[str] = (), first: tuple[Callable[[Any], Any], Any] | None = None) -> None:
        count = usable() - 1 if hasattr(socket, "AF_UNIX") else 0
        self._helpers: list[_Helper] = [_Helper() for _ in range(count)]
        self._modules: tuple[str, ...] = tuple(modules)
        self._lock = threading.Lock()
        self._given: Iterator[tuple[int, Batch]] = iter(())
        self._function: Callable[[Batch], Result] | None = None
        self._here: Callable[[Batch], Result] | None = None
        self._done: dict[int, Result] = {}
        self._lost: deque[tuple[int, Batch]] = deque()
        self._fault: BaseException | None = None
        self._is_given = threading.Event()
        self._first: tuple[Callable[[Any], Any], Any] | None = first
        self._first_result: Any = None
        self._has_first = threading.Event()
        if first is None or not self._helpers:
            self._has_first.set()
        self._threads: list[threading.Thread] = []
        for number, helper in enumerate(self._helpers):
            thread = threading.Thread(target=self._serve, args=(helper, number), daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no further thread: nobody hands batches to this process.
                helper.close()
                if number == 0:
                    self._has_first.set()
            else:
                self._threads.append(thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def give(self, function: Callable[[Batch], Result], batches: Iterable[Batch], *, here: Callable[[Batch], Result] | None = None) -> None:
        """What is computed, once.

        Args:
            function: see `in_order`.
            batches: taken as they are needed, by several threads in turn.
            here: gives the same in this process, where it has more than a batch says.
        """
        self._function, self._here, self._given = function, here or function, enumerate(batches)
        self._is_given.set()

    def first_result(self) -> Any:
        """What `first` gave, when it is there; None where it raised, or where no other process is to be had."""
        self._has_first.wait()
        return self._first_result

    def results(self) -> list[Result]:
        """The result of each batch, in order: those that are not there yet are computed here, too."""
        assert self._here is not None
        while (following := self._next()) is not None:
            number, batch = following
            self._done[number] = self._here(batch)
            del following, batch
        for thread in self._threads:
            thread.join()
        if self._fault is not None:
            raise self._fault
        while self._lost:
            number, batch = self._lost.popleft()
            self._done[number] = self._here(batch)
        return [self._done[number] for number in range(len(self._done))]

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._given = iter(())
        self._is_given.set()
        for helper in self._helpers:
            helper.close()
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[int, Batch] | None:
        """The next batch with its number; None where there is none, or one could not be made."""
        with self._lock:
            try:
                return None if self._fault is not None else next(self._given, None)
            except BaseException as error:  # raised by who asks for the results
                self._fault = error
                return None

    def _serve(self, helper: _Helper, number: int) -> None:
        """Hand batches to one of the processes."""
        with contextlib.suppress(_Lost):
            helper.call(imported, self._modules)
        if number == 0 and self._first is not None:
            with contextlib.suppress(_Lost):
                self._first_result = helper.call(*self._first)
            self._has_first.set()
        self._is_given.wait()
        while helper.alive and self._function is not None and (following := self._next()) is not None:
            number, batch = following
            try:
                self._done[number] = helper.call(self._function, batch)
            except _Lost:
                # It ended, or its function raised: no more is given to it than this one, which is computed here.
                self._lost.append((number, batch))
                return
            del following, batch


def imported(modules: Sequence[str]) -> None:
    """Import modules; what one of them raises is raised where it is used."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def in_threads(function: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """As `in_order`, in threads of this process: for numpy's long operations, which let other threads run.

    Args:
        function: of long operations on arrays and little else.
        batches: taken by the calling thread alone.
    """
    count = usable()
    if count == 1:
        yield from map(function, batches)
        return
    with ThreadPoolExecutor(count) as threads:
        waiting: deque[Future[Result]] = deque()
        for batch in batches:
            waiting.append(_submitted(threads, function, batch) or _done(function(batch)))
            del batch
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _submitted(threads: ThreadPoolExecutor, function: Callable[[Batch], Result], batch: Batch) -> Future[Result] | None:
    """What a thread will compute; None where the system gives no further thread."""
    try:
        return threads.submit(function, batch)
    except RuntimeError:
        return None


def _done(result: Result) -> Future[Result]:
    """A result that is there."""
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def _result(function: Callable[[Batch], Result], batch: Batch | None, future: Future[Result]) -> Result:
    """A result that is there, or computed here where the other process was lost or could not do it."""
    try:
        return future.result()
    except _Lost:
        assert batch is not None
        return function(batch)


class _Lost(Exception):
    """A process ended, or its function raised."""


class _Helper:
    """Another process that computes."""

    def __init__(self) -> None:
        self.alive: bool = False
        self.process: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None
        try:
            self.socket, there = socket.socketpair()
        except OSError:
            # No file is to be opened any more.
            return
        self.socket.settimeout(PATIENCE)
        with there:
            # Last the package's own folder: a program from standard input has it by the current folder alone, which has no name there.
            paths = [*(os.path.abspath(path) for path in sys.path if path), str(Path(__file__).parents[1])]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM.format(there.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(there.fileno(),),
                    env=environment,
                )
                self.alive = True
            except (OSError, ValueError, TypeError):
                # No further process is to be had, as where the interpreter is part of another program: everything is computed here.
                self.socket.close()

    def call(self, function: Callable[[Batch], Result], batch: Batch) -> Result:
        """The function's result for a batch.

        Raises:
            _Lost: it is to be computed here instead.
        """
        if not self.alive or self.socket is None:
            raise _Lost
        try:
            data = _pickled((function, batch))
        except Exception as error:
            # Nothing was sent: the process is there for the next batch.
            raise _Lost from error
        try:
            _send(self.socket, data)
            done, result = receive(self.socket)
        except Exception as error:
            # Whatever a damaged answer raises where it is unpickled, its batch is computed here.
            self.alive = False
            raise _Lost from error
        if not done:
            raise _Lost
        answer: Result = result
        return answer

    def close(self) -> None:
        """End the process."""
        self.alive = False
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def serve(descriptor: int) -> None:
    """Compute what comes through a socket, until it is closed: what the further processes run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as connection, contextlib.suppress(EOFError, OSError):
        while True:
            function, batch = receive(connection)
            try:
                answer = True, function(batch)
            except Exception:
                # Computed once more by who asked, where it is raised.
                answer = False, None
            del batch
            send(connection, answer)
            del answer


def _pickled(value: Any) -> bytes:
    """A value as the other end takes it."""
    return pickle.dumps(value, protocol=5)


def send(connection: socket.socket, value: Any) -> None:
    """A value as its length and its pickle."""
    _send(connection, _pickled(value))


def _send(connection: socket.socket, data: bytes) -> None:
    """Whole in few calls: between two of them the sender may have to wait for the interpreter."""
    connection.sendall(_LENGTH.pack(len(data)))
    connection.sendall(data)


def receive(connection: socket.socket) -> Any:
    """What `send` sent from the other end.

    Raises:
        EOFError: the other end is closed.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    # From our own process, through a socket that nobody else holds.
    return pickle.loads(_exactly(connection, length))


def _exactly(connection: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view, got = memoryview(data), 0
    while got < length:
        count = connection.recv_into(view[got:], length - got, socket.MSG_WAITALL)
        if not count:
            raise EOFError
        got += count
    return data


__all__ = ["PROCESSES", "Beside", "in_order", "in_threads", "serve", "usable"]
