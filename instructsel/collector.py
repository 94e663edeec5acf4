"""Python's collector of cyclic garbage, less often: where millions of objects stay, it goes through all of them again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = (200_000, 50, 100)
"""New objects before the young ones are gone through, and how often these are before the older ones. By default it is every 700."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A block that makes many objects which stay, such as the rows of a file; cycles are still found, what is young first."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


__all__ = ["seldom_collected"]
