"""The shape of plain data that others may have written: a type hint says it, and what does not fit is named by its place.

A format is a `TypedDict`, so that what a reader may rely on stands in one place, is checked once, and is known to type checkers.

>>> checked({"name": "loss", "items": 3}, Example)
{'name': 'loss', 'items': 3}
>>> checked({"name": "loss", "items": "3"}, Example)
Traceback (most recent call last):
instructsel.shapes.Misfit: items should be a whole number; found "3"
"""

from __future__ import annotations

import functools
import json
import math
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NotRequired, Required, TypedDict

from instructsel.text import excerpt

MAX_DEPTH: Final = 64
"""Lists and objects in one another: nothing of ours is deeper, and what is much deeper ends Python's recursion."""
LONGEST_NAME: Final = 255
LONGEST_PATH: Final = 3_072
"""Bytes; file systems take 255 in a name, and 4,096 in a path with the folder in front."""
WHOLE: Final = 2**63
"""Whole numbers are below this, as in every table."""


class Misfit(ValueError):
    """A value that is not what its place asks for."""

    def __init__(self, place: str, expected: str, value: Any = None, *, lacks: str | None = None) -> None:
        fault = f"should be {expected}; found {shown(value)}" if lacks is None else f"lacks the key {lacks}"
        super().__init__(f"{place or 'its content'} {fault}")
        self.place = place
        """Keys and numbers on the way to the value, with dots between; "" for the whole."""
        self.expected = expected
        """In words."""


@dataclass(frozen=True)
class Between:
    """Bounds of a number, in an `Annotated`."""

    low: float
    high: float = math.inf

    def words(self) -> str:
        """The bounds in words."""
        return f"at least {self.low:g}" if self.high == math.inf else f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class PathText:
    """The mark of a text that is a path."""


Count = Annotated[int, Between(0)]
"""A whole number from 0."""
Seconds = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
PathName = Annotated[str, PathText()]
"""A path that a file system can have: no NUL, no name of more than 255 bytes."""


class Example(TypedDict, total=False):
    """What the examples of this module check."""

    name: str
    items: Count


def checked(value: Any, shape: Any, place: str = "") -> Any:
    """A value as it is, where it fits.

    Keys that the shape does not name may hold anything. A whole number stands for a float; true is no number. Floats are finite.

    Args:
        value: plain data, as JSON or TOML gives it.
        shape: `str`, `bool`, `int`, `float`, `None`, `Any`; lists, tuples (lists of that many, or of any number with `...`), dicts by text and unions of these; `Literal`; `TypedDict`; with
            `Annotated`, bounds and paths.
        place: where it stands.

    Raises:
        Misfit: it does not fit; of several such values the first.
    """
    check_depth(value, place)
    _checker(shape)(value, place)
    return value


def check_depth(value: Any, place: str = "") -> None:
    """Refuse a value that is nested deeper than anything of ours.

    Raises:
        Misfit: more than MAX_DEPTH lists and objects stand in one another.
    """
    if depth(value) > MAX_DEPTH:
        raise Misfit(place, f"nested {MAX_DEPTH} deep at most", value)


def depth(content: Any) -> int:
    """How deep lists and objects stand in one another; 0 for a number or a text. Stops counting beyond MAX_DEPTH."""
    level, containers = 0, [content] if isinstance(content, dict | list) else []
    while containers and level <= MAX_DEPTH:
        level += 1
        containers = [
            value
            for container in containers
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, dict | list)
        ]
    return level


def shown(value: Any) -> str:
    """A value for a message, in a few words.

    >>> shown("a" * 100), shown({"a": 1}), shown([1, 2]), shown(None)
    ('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…', 'an object', 'a list', 'null')
    """
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return excerpt(json.dumps(value[:60], ensure_ascii=False), 40)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= WHOLE:
        return "a whole number of more than 64 bits"
    return excerpt(str(value), 40)


Check = Callable[[Any, str], None]
"""Raises a Misfit where a value, at a place, does not fit."""


@functools.cache
def _checker(shape: Any) -> Check:
    """The check of a shape."""
    origin, inner = typing.get_origin(shape), typing.get_args(shape)
    if origin is Annotated:
        return _annotated(inner[0], inner[1:])
    if origin in (Required, NotRequired):
        return _checker(inner[0])
    if origin in (types.UnionType, typing.Union):
        return _union(inner)
    if origin is Literal:
        return _literal(inner)
    if origin is list:
        return _list(inner[0])
    if origin is tuple:
        return _list(inner[0]) if inner[-1] is Ellipsis else _row(inner)
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return _table(inner[1])
    if typing.is_typeddict(shape):
        return _record(shape)
    return _simple(shape)


def _simple(shape: Any) -> Check:
    if shape in (Any, object):
        return lambda value, place: None
    fits: dict[Any, tuple[str, Callable[[Any], bool]]] = {
        str: ("text", lambda value: isinstance(value, str)),
        bool: ("true or false", lambda value: isinstance(value, bool)),
        int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool) and -WHOLE <= value < WHOLE),
        float: ("a finite number", _is_finite),
        type(None): ("null", lambda value: value is None),
        None: ("null", lambda value: value is None),
        list: ("a list", lambda value: isinstance(value, list)),
        dict: ("an object", lambda value: isinstance(value, dict)),
    }
    words, holds = fits[shape]

    def check(value: Any, place: str) -> None:
        if not holds(value):
            raise Misfit(place, words, value)

    return check


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else -WHOLE <= value < 2 * WHOLE


def _annotated(shape: Any, marks: tuple[Any, ...]) -> Check:
    inner = _checker(shape)

    def check(value: Any, place: str) -> None:
        inner(value, place)
        for mark in marks:
            if isinstance(mark, Between) and not mark.low <= value <= mark.high:
                raise Misfit(place, f"{_words(shape)} {mark.words()}", value)
            if isinstance(mark, PathText) and not is_path(value):
                raise Misfit(place, "a path that a file system can have", value)

    return check


def is_path(text: str) -> bool:
    """Whether a file system can have this path: no NUL, no name or path that is too long.

    >>> is_path("a/b.jsonl"), is_path("a" * 300), is_path("a\\0b")
    (True, False, False)
    """
    try:
        path = os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return b"\0" not in path and len(path) <= LONGEST_PATH and max(map(len, path.split(b"/"))) <= LONGEST_NAME


def is_utf8(text: str) -> bool:
    """Whether a text, a path for instance, can be written as UTF-8: JSON can hold it.

    >>> is_utf8("é"), is_utf8("\\udcff")
    (True, False)
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _words(shape: Any) -> str:
    """A shape in words."""
    origin, inner = typing.get_origin(shape), typing.get_args(shape)
    if origin is Annotated:
        return _words(inner[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_words, inner)))
    if origin is Literal:
        return " or ".join(map(shown, inner))
    if typing.is_typeddict(shape) or shape is dict or origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return "an object"
    if origin in (list, tuple) or shape is list:
        return "a list"
    return {str: "text", bool: "true or false", int: "a whole number", float: "a finite number", type(None): "null"}.get(shape, "a value")


def _union(options: tuple[Any, ...]) -> Check:
    checks = [(option, _checker(option)) for option in options]
    expected = " or ".join(dict.fromkeys(map(_words, options)))

    def check(value: Any, place: str) -> None:
        deepest: Misfit | None = None
        for _, option in checks:
            try:
                option(value, place)
            except Misfit as misfit:
                # What is wrong inside of the option that fits on the outside says more than the list of options.
                if len(misfit.place) > len(place):
                    deepest = misfit
            else:
                return
        raise deepest or Misfit(place, expected, value)

    return check


def _literal(options: tuple[Any, ...]) -> Check:
    expected = " or ".join(map(shown, options))

    def check(value: Any, place: str) -> None:
        # 1 == True, and a list is in no set.
        if not any(type(value) is type(option) and value == option for option in options):
            raise Misfit(place, expected, value)

    return check


def _list(item: Any) -> Check:
    inner = _checker(item)
    anything = item in (Any, object)

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list):
            raise Misfit(place, "a list", value)
        if not anything:
            for number, entry in enumerate(value):
                inner(entry, f"{place}[{number}]")

    return check


def _row(items: tuple[Any, ...]) -> Check:
    checks = [_checker(item) for item in items]

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or len(value) != len(checks):
            raise Misfit(place, f"a list of {len(checks)}", value)
        for number, (inner, entry) in enumerate(zip(checks, value, strict=True)):
            inner(entry, f"{place}[{number}]")

    return check


def _table(item: Any) -> Check:
    inner = _checker(item)

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise Misfit(place, "an object", value)
        for key, entry in value.items():
            inner(entry, _below(place, key))

    return check


def _record(shape: Any) -> Check:
    hints = typing.get_type_hints(shape, include_extras=True)
    checks = {key: _checker(hint) for key, hint in hints.items()}
    # Not `__required_keys__` alone: annotations that are texts hide their marks from it.
    marks = {key: typing.get_origin(hint) for key, hint in hints.items()}
    required = [key for key, mark in marks.items() if mark is Required or (mark is not NotRequired and key in shape.__required_keys__)]

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise Misfit(place, "an object", value)
        for key in required:
            if key not in value:
                raise Misfit(place, "an object", lacks=key)
        for key, inner in checks.items():
            if key in value:
                inner(value[key], _below(place, key))

    return check


def _below(place: str, key: str) -> str:
    name = excerpt(key, 40)
    return f"{place}.{name}" if place else name


__all__ = [
    "MAX_DEPTH",
    "Between",
    "Count",
    "Fraction",
    "Misfit",
    "PathName",
    "PathText",
    "Seconds",
    "check_depth",
    "checked",
    "depth",
    "is_path",
    "shown",
]
