"""The dataclasses of a plan as plain data, as its file holds them, and the paths in them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from instructsel.errors import StudyError, UsageError
from instructsel.magnitude import RANGE, is_usable
from instructsel.pool.naming import is_here
from instructsel.shapes import is_path, shown

NOUNS: Final[Mapping[Any, str]] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
FILE: Final = {"path": "file"}
"""Of a field: it holds paths."""
FILE_OR_NAME: Final = {"path": "file or name"}
"""Of a field: it holds a local path, or a name on the hub."""
NAMED_FILE: Final = {"path": "named file"}
"""Of a field: it holds paths, each with a name and an equals sign before it, or without."""
NOT_WRITTEN: Final = {"written": False}
"""Of a field: it is no setting of a plan's file."""


def as_content(settings: Any) -> dict[str, Any]:
    """A dataclass as plain data, without what is as by default."""
    content: dict[str, Any] = {}
    for setting in fields(settings):
        if setting.metadata == NOT_WRITTEN:
            continue
        value = getattr(settings, setting.name)
        default = setting.default_factory() if setting.default_factory is not dataclasses.MISSING else setting.default
        if value == default:
            continue
        if dataclasses.is_dataclass(value):
            content[setting.name] = as_content(value)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            content[setting.name] = [as_content(item) for item in value]
        elif isinstance(value, tuple):
            content[setting.name] = [list(item) if isinstance(item, tuple) else item for item in value]
        else:
            content[setting.name] = str(value) if isinstance(value, Path) else dict(value) if isinstance(value, Mapping) else value
    return content


def parsed(kind: type[Any], content: Any, place: str) -> Any:
    """A dataclass from plain data.

    Raises:
        UsageError: not a table, a setting that there is not, or a value of another type.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"[{place}] of a plan is a table; found {shown(content)}.")
    hints = typing.get_type_hints(kind)
    for setting in fields(kind):
        if setting.metadata == NOT_WRITTEN:
            del hints[setting.name]
    for entry in fields(kind):
        for text in _texts(content.get(entry.name)) if entry.metadata.get("path") else ():
            if not is_path(text):
                raise UsageError(f"{place}.{entry.name} of a plan is a path that a file system can have; found {shown(text)}.")
    for key in content:
        if key not in hints:
            raise UsageError.named(key, hints, noun="setting", where=f"in [{place}] of a plan")
    try:
        return kind(**{key: _value(hints[key], value, f"{place}.{key}") for key, value in content.items()})
    except TypeError as error:
        raise UsageError(f"[{place}] of a plan lacks a setting: {error}.") from error


def _texts(value: Any) -> list[str]:
    """All texts in lists of a value."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _value(hint: Any, value: Any, place: str) -> Any:
    """A value of the type that a field has.

    Raises:
        UsageError: it is of another.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _value(next(option for option in inner if option is not type(None)), value, place)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_value(inner[0], item, place) for item in items)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return parsed(hint, value, place)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_usable(value):
        raise UsageError(f"{place} of a plan is {shown(value)}; a number is finite, and {RANGE}.", fix="Correct the number.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is not None:
        if not isinstance(value, Mapping):
            raise UsageError(f"{place} of a plan is a table; found {shown(value)}.")
        return {key: _finite(item, f"{place}.{key}") for key, item in value.items()}
    # In Python true is a whole number, too.
    if type(value) is not hint:
        raise UsageError(f"{place} of a plan is {NOUNS[hint]}; found {shown(value)}.")
    return value


def _finite(value: Any, place: str) -> Any:
    """A value of a table, without numbers that cannot be computed with, at any depth."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, int | float) and not isinstance(item, bool) and not is_usable(item):
            raise UsageError(f"{place} of a plan is {shown(item)}; a number is finite, and {RANGE}.", fix="Correct the number.")
        pending += item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else []
    return value


def with_paths(settings: Any, changed: Callable[[str, str], str]) -> Any:
    """A dataclass with its paths changed by a function of a path and its kind."""

    def change(value: Any, kind: str) -> Any:
        if isinstance(value, tuple):
            return tuple(change(item, kind) for item in value)
        if isinstance(value, Path):
            return Path(changed(str(value), kind))
        if kind == NAMED_FILE["path"]:
            name, path = named_file(value)
            return f"{name}={changed(path, FILE['path'])}" if name else changed(path, FILE["path"])
        return changed(value, kind) if value else value

    changes: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if entry.metadata.get("path"):
            changes[entry.name] = change(value, entry.metadata["path"])
        elif dataclasses.is_dataclass(value):
            changes[entry.name] = with_paths(value, changed)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            changes[entry.name] = tuple(with_paths(item, changed) for item in value)
    return replace(settings, **changes)


def named_file(entry: str) -> tuple[str, str]:
    """Name and path of NAME=FILE; an empty name where there is none, or the whole is a file.

    >>> named_file("math=held/math.jsonl"), named_file("./a=b.jsonl")
    (('math', 'held/math.jsonl'), ('', './a=b.jsonl'))
    """
    name, equals, path = entry.partition("=")
    if not equals or not name.strip() or not path or any(sign in name for sign in "/\\") or Path(entry).exists():
        return "", entry
    return name.strip(), path


def check_paths(*settings: Any) -> None:
    """Refuse settings that name a local file or folder that is not there.

    Args:
        settings: a plan, or dataclasses of one, with paths that hold from the working directory.

    Raises:
        StudyError: a path is missing; the first one is named.
    """

    def check(path: str, kind: str) -> str:
        # A name without a folder may be one on the hub.
        local = kind == FILE["path"] or Path(path).is_absolute() or path.startswith(("./", "../"))
        if local and path != "-" and not path.startswith("hf://") and not is_here(path):
            raise StudyError(f"There is no file or folder {path}.", fix="Correct the path.")
        return path

    for setting in settings:
        with_paths(setting, check)


__all__ = ["FILE", "FILE_OR_NAME", "NAMED_FILE", "NOT_WRITTEN", "as_content", "check_paths", "named_file", "parsed", "with_paths"]
