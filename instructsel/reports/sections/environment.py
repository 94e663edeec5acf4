"""Section: what everything was made with: releases, settings, seeds; no machine, no folder, no time. Folded."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from instructsel.artifact import release
from instructsel.reports.inputs import ReportInputs
from instructsel.reports.parts import FACTS, Part, Section, facts_table, flat, known_facts
from instructsel.reports.sections import Page

NEEDS: Final = ""


def build(page: Page) -> Section:
    """Versions, then the settings and seeds of every result."""
    inputs = page.inputs
    parts: list[Part] = [facts_table("versions", "Versions", _versions(inputs))]
    if inputs.selection is not None:
        parts.append(facts_table("settings", "Settings of the selection", flat(inputs.selection.manifest.get("settings") or {})))
        seeds = [(baseline.name, baseline.summary.get("seed")) for baseline in inputs.baselines if baseline.summary.get("seed") is not None]
        if seeds:
            parts.append(facts_table("seeds", "Seeds of the baselines", seeds))
    for number, study in enumerate(inputs.studies, start=1):
        settings = {key: study.manifest.get(key) for key in ("design", "trainer", "grader") if study.manifest.get(key)}
        if settings:
            parts.append(facts_table(f"study-{number}-settings", "Settings of the study", flat(settings)))
    for number, curve in enumerate(inputs.sizes, start=1):
        configuration = curve.get("configuration") or {}
        settings = {"seeds": curve.get("seeds"), **{key: configuration.get(key) for key in ("trainer", "grader", "report")}}
        parts.append(facts_table(f"size-{number}-settings", "Settings of the size search", flat(settings)))
    for number, record in enumerate(inputs.verifications, start=1):
        parts += _verification(record, number)
    return Section("environment", "Environment", (), tuple(parts), folded=True)


def _versions(inputs: ReportInputs) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [("instructsel, this report", release()), ("Python", platform.python_version())]
    facts += [(name, version(name)) for name in ("numpy", "polars", "jinja2")]
    results = [("the selection", inputs.selection), ("the scores", inputs.table)]
    makers = [(f"instructsel, {name}", result.manifest.get("instructsel")) for name, result in results if result is not None]
    makers += [(f"instructsel, study {number}", study.manifest.get("instructsel")) for number, study in enumerate(inputs.studies, start=1)]
    makers += [("instructsel, the size search", curve.get("instructsel")) for curve in inputs.sizes]
    return [*facts, *known_facts(makers)]


def _verification(plain: Mapping[str, Any], number: int) -> list[Part]:
    """Seeds and settings of a verification."""
    parts: list[Part] = []
    seeds = [
        (arm, f"replicate {replicate}: seeds {', '.join(map(str, trained))}")
        for arm, replicates in (plain.get("arms") or {}).items()
        for replicate, trained in replicates.items()
    ]
    if seeds:
        parts.append(facts_table(f"verification-{number}-seeds", "Seeds of the verification", seeds[:FACTS]))
    graders = {grader: scale["settings"] for grader, scale in (plain.get("graders") or {}).items() if scale.get("settings")}
    settings = {"trainer": plain.get("trainer"), "graders": plain.get("made_with"), "settings": graders}
    known = {key: value for key, value in settings.items() if value}
    if known:
        parts.append(facts_table(f"verification-{number}-settings", "Settings of the verification", flat(known)[:FACTS]))
    return parts


__all__ = ["NEEDS", "build"]
