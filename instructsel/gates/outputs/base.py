"""What an output is: a name, an ending, and the text of a verdict; within the limits of whoever reads it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.artifact import dump_json
from instructsel.gates.change import root_of, shown_path
from instructsel.gates.finding import Finding, Place
from instructsel.gates.verdict import Verdict
from instructsel.text import clean, in_json, neutral, safe_path, without_keys

MOST_BYTES: Final = 1 << 30
"""Of a file that is looked at before it is replaced."""


@dataclass(frozen=True)
class Setting:
    """What is not in a verdict and stands in its outputs."""

    fail_on: str = "error"
    """From which severity on the gate fails."""
    findings: str | None = None
    """The file that has every finding, for outputs that are capped."""
    version: str = ""
    """Of instructsel."""


class Output(ABC):
    """A form of a verdict."""

    name: ClassVar[str]
    """What `--format` calls it."""
    ending: ClassVar[str]
    """Of its file."""
    source: ClassVar[str]
    """What defines the form, and its limits."""
    file: ClassVar[str]
    """Where it is written by default; - is stdout."""

    def wrote(self, path: str | Path) -> bool:
        """Whether a file is an earlier verdict of this form, which may be replaced: what it is, and not what is somewhere in it, decides."""
        target = Path(path)
        return target.is_file() and target.stat().st_size <= MOST_BYTES and self.is_ours(target.read_bytes())

    @abstractmethod
    def is_ours(self, data: bytes) -> bool:
        """Whether `render` could have written this."""

    @abstractmethod
    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """The whole of it."""


def parsed(data: bytes) -> Any:
    """The content of a file of JSON; None where it is none."""
    import orjson

    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def capped(findings: tuple[Finding, ...], most: int) -> tuple[tuple[Finding, ...], int]:
    """The findings that count, errors first, up to a number, and how many are left out."""
    counted = tuple(finding for finding in findings if finding.waived is None)
    return counted[:most], max(0, len(counted) - most)


def plain(text: str, limit: int = 500) -> str:
    """A text of a row in one line in which nothing moves a cursor, commands a CI runner, or shows a key."""
    return clean(neutral(text, limit))


def shown_place(place: Place) -> str:
    """File and line, safe to show; the file by the name that it has."""
    return f"{safe_path(place.file)}:{place.line}"


def place_of(finding: Finding, verdict: Verdict) -> Place | None:
    """Where a finding is shown by hosts of code: in its row; one of the change as a whole, at the head of the first file.

    They leave out what stands nowhere, or refuse all of it, and look for files from the root of the checkout.
    """
    if finding.place is not None:
        return in_checkout(finding.place)
    first = next(iter(verdict.report.formats), None)
    return None if first is None else in_checkout(Place(shown_path(first), 1))


def in_checkout(place: Place) -> Place:
    """A place whose file is named from the root of the checkout that the working folder is in; as it is where it lies in none."""
    here, file = os.getcwd(), place.file
    root, path = root_of(here), os.path.normpath(os.path.join(here, file))
    named = Path(path).relative_to(root).as_posix() if root is not None and Path(path).is_relative_to(root) else file
    return Place(named, max(1, place.line))


def placed(trouble: str, place: Place | None) -> str:
    """A trouble whose file is named from the root of the checkout."""
    name = None if place is None else safe_path(place.file)
    if place is None or name is None or not trouble.startswith(name):
        return trouble
    return f"{safe_path(in_checkout(place).file)}{trouble.removeprefix(name)}"


def json_bytes(value: Any) -> bytes:
    """Indented JSON that may be shown: keys are masked, and strings are escaped where a terminal or a CI runner would obey them."""
    return in_json(dump_json(_encodable(value), indent=True).decode()).encode() + b"\n"


def _encodable(value: Any) -> Any:
    """Plain data without keys, whose texts are Unicode: halves of surrogate pairs, which names of files may hold, are written as escapes."""
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    return [_encodable(entry) for entry in value] if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def _safe(text: str) -> str:
    shown = without_keys(text)
    return shown if shown.isascii() else shown.encode("utf-8", "backslashreplace").decode()


__all__ = ["Output", "Setting", "capped", "in_checkout", "json_bytes", "parsed", "place_of", "placed", "plain", "shown_place"]
