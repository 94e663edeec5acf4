"""A limit of time for work that cannot be interrupted: a name being resolved, a package that waits for a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class OutOfTime(TimeoutError):
    """The time was over before the work was."""


def within(seconds: float, work: Callable[[], T], *, name: str = "limited") -> T:
    """The result of some work, if it is there in time.

    The work runs in a thread of its own. What is not there in time is not waited for any more: the thread goes on, does not keep the
    process from ending, and its result is dropped.

    Args:
        seconds: that are waited; what is not positive waits for nothing.
        work: what is called.
        name: of the thread.

    Raises:
        OutOfTime: the time is over.
        What the work raises.

    >>> within(60.0, lambda: 1 + 1)
    2
    """
    results: list[T] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    if seconds > 0:
        threading.Thread(target=run, name=name, daemon=True).start()
    if seconds <= 0 or not ended.wait(min(seconds, threading.TIMEOUT_MAX)):
        raise OutOfTime("out of time")
    if errors:
        raise errors[0]
    return results[0]


__all__ = ["OutOfTime", "within"]
