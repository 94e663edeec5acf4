"""The outputs of this folder, by name."""

from __future__ import annotations

from functools import cache

from instructsel.errors import UsageError
from instructsel.gates import outputs as folder
from instructsel.gates.folders import classes_of
from instructsel.gates.outputs.base import Output


@cache
def outputs() -> dict[str, Output]:
    """Name → the output."""
    return {output.name: output() for output in sorted(classes_of(folder, Output), key=lambda output: output.name)}


def output_named(name: str) -> Output:
    """The output of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in outputs():
        raise UsageError.named(name, outputs(), noun="format of a verdict")
    return outputs()[name]


__all__ = ["output_named", "outputs"]
