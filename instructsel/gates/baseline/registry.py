"""The parts of a baseline, by name: the files of `parts/`."""

from __future__ import annotations

from functools import cache

from instructsel.gates.baseline import parts as folder
from instructsel.gates.baseline.base import Part
from instructsel.gates.folders import classes_of


@cache
def parts() -> dict[str, Part]:
    """Name → the part, in the order of names."""
    return {part.name: part() for part in sorted(classes_of(folder, Part), key=lambda part: part.name)}


__all__ = ["parts"]
