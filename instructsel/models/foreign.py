"""What other libraries raise over the files of a model, as an error of ours: those files are somebody else's."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from instructsel.errors import InstructselError, ModelRefused

VIEW: Final = re.compile(r"[^\s'\"]*instructsel-model-\w+")
"""The temporary folder in which a library sees a model's files."""
SHOWN: Final = 200
"""Characters of another library's message."""


@contextmanager
def refusing(name: str, purpose: str, *, fix: str) -> Iterator[None]:
    """A block that ends in ModelRefused whatever a library raises in it.

    The libraries raise anything over a forged or damaged file: TypeError, AttributeError, ZeroDivisionError, RecursionError; a
    panic of a Rust library is no Exception at all.

    Args:
        name: the model.
        purpose: what it cannot be, after "cannot": "be loaded as a causal language model".
        fix: what to do instead.

    Raises:
        ModelRefused: a library raised.
    """
    try:
        yield
    except (InstructselError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        message = VIEW.sub(lambda _: name, first_line(error))
        raise ModelRefused(f"{name} cannot {purpose}: {message}", fix=fix) from error


P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


def refusing_files(
    kind: str,
) -> Callable[[Callable[Concatenate[type[C], P], R]], Callable[Concatenate[type[C], P], R]]:
    """A class's `load`, under classmethod, that ends in ModelRefused whatever a library raises over the model's files.

    Args:
        kind: what is loaded, with its article: "a language model".
    """

    def wrap(load: Callable[Concatenate[type[C], P], R]) -> Callable[Concatenate[type[C], P], R]:
        @functools.wraps(load)
        def guarded(owner: type[C], /, *args: P.args, **kwargs: P.kwargs) -> R:
            name: Any = args[0] if args else kwargs.get("name", kwargs.get("model", "the embedded model"))
            with refusing(str(name), f"be used as {kind}", fix=f"Name {kind} whose files are whole."):
                return load(owner, *args, **kwargs)

        return guarded

    return wrap


def first_line(error: BaseException) -> str:
    """The first line of what an error says, not too long."""
    lines = str(error).strip().splitlines()
    return lines[0][:SHOWN] if lines else type(error).__name__


__all__ = ["first_line", "refusing", "refusing_files"]
