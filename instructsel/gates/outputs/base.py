"""What an output is: a name, an ending, and the text of a verdict; within the limits of whoever reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from instructsel.gates.finding import Finding
from instructsel.gates.verdict import Verdict
from instructsel.text import neutral


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
    mark: ClassVar[bytes]
    """What stands in every file of this form, by which it is known to be one of ours."""

    def wrote(self, path: str | Path) -> bool:
        """Whether a file is an earlier verdict of this form."""
        target = Path(path)
        return target.is_file() and self.mark in target.read_bytes()

    @abstractmethod
    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """The whole of it."""


def capped(findings: tuple[Finding, ...], most: int) -> tuple[tuple[Finding, ...], int]:
    """The findings that count, errors first, up to a number, and how many are left out."""
    counted = tuple(finding for finding in findings if finding.waived is None)
    return counted[:most], max(0, len(counted) - most)


def plain(text: str, limit: int = 500) -> str:
    """A text of a row or a file in which nothing moves a cursor or shows a key."""
    return neutral(text, limit)


__all__ = ["Output", "Setting", "capped", "plain"]
