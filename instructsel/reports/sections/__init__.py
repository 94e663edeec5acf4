"""The sections of a report, one file each, in the order of `ORDER`.

A section is a module with `NEEDS`, what has to be given for it ("a verification"; "" where it is always there), and
`build(page)`, which makes the `Section`, or None where the results have nothing for it. A new section is one file and its place in
`ORDER`; `tests/reports/test_sections.py` finds it there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Final

from instructsel.reports.inputs import ReportInputs, Texts
from instructsel.reports.parts import Section, cleaned

ORDER: Final = (
    "outcome",
    "verification",
    "agreement",
    "gate",
    "audit",
    "funnel",
    "distributions",
    "rule",
    "confounds",
    "rows",
    "effects",
    "size",
    "study",
    "indicators",
    "run",
    "environment",
)
"""The outcome first; digests and versions last, folded."""
ROWS: Final = 100
"""Shown of either end of the ranking."""


@dataclass(frozen=True)
class Page:
    """What a section is made from."""

    inputs: ReportInputs
    """The results."""
    rows: int = ROWS
    """Of either end of the ranking."""
    texts: Texts | None = None
    """Where excerpts are to be shown: reads the texts of a few rows."""


def modules() -> tuple[ModuleType, ...]:
    """The modules of all sections, in order."""
    return tuple(import_module(f"{__name__}.{name}") for name in ORDER)


def sections(page: Page) -> tuple[Section, ...]:
    """All sections that the results have something for."""
    attempts = [(module, module.build(page)) for module in modules()]
    absent = list(dict.fromkeys(module.NEEDS for module, section in attempts if section is None and module.NEEDS))
    built = [section for _, section in attempts if section is not None]
    note = f"Not given, and therefore not in this report: {', '.join(absent)}."
    built = [replace(section, text=(*section.text, note)) if section.name == "run" and absent else section for section in built]
    return tuple(cleaned(section) for section in built)


__all__ = ["ORDER", "ROWS", "Page", "modules", "sections"]
