"""Section: what was run, by digests; folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from instructsel.reports.inputs import ReportInputs, digest_of, kept_digest
from instructsel.reports.parts import Column, Part, Section, Table, facts_table, known_facts
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import form_of, kept_mask
from instructsel.text import counted

NEEDS: Final = ""


def build(page: Page) -> Section:
    """The pool, the rule, the rows and the files, each with its digest."""
    inputs = page.inputs
    parts: list[Part] = [facts_table("run", "What this report is of", known_facts(_facts(inputs)))]
    if inputs.baselines:
        columns: tuple[Column, ...] = (
            Column("baseline", "baseline"),
            Column("kept", "selected", "count"),
            Column("digest", "digest of the selected ids", "code"),
            Column("common", "selected by both", "count"),
            Column("jaccard", "Jaccard similarity", "number"),
        )
        caption = "Baselines: the same pool, budget and removals, another order"
        parts.append(Table("baselines", caption, columns, tuple(_overlaps(inputs))))
    if inputs.files:
        columns = (Column("file", "file"), Column("kind", "holds"), Column("sha256", "SHA-256", "code"))
        parts.append(Table("files", "Files read", columns, tuple((file.name, file.kind, file.digest) for file in inputs.files)))
    return Section("run", "What was run: digests", (), tuple(parts), folded=True)


def _facts(inputs: ReportInputs) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    if inputs.selection is not None:
        manifest = inputs.selection.manifest
        pool = manifest.get("pool") or {}
        facts += [
            ("ranked by", form_of(inputs.selection)),
            ("rule", (manifest.get("rule") or {}).get("name")),
            ("digest of the rule", digest_of(manifest.get("rule"))),
            ("pool fingerprint", pool.get("fingerprint")),
            ("examples in the pool", pool.get("examples")),
            ("digest of the selected ids", kept_digest(inputs.selection)),
        ]
    elif inputs.table is not None:
        pool = inputs.table.manifest.get("pool") or {}
        facts += [("pool fingerprint", pool.get("fingerprint")), ("examples in the pool", len(inputs.table))]
    for study in inputs.studies:
        facts += [
            ("configuration of the study", study.manifest.get("configuration")),
            ("digest of its scores", study.manifest.get("scores")),
            ("pool fingerprint of the study", (study.manifest.get("pool") or {}).get("fingerprint")),
        ]
    facts += [("configuration of the size search", digest_of(curve.get("configuration"))) for curve in inputs.sizes]
    for record in inputs.verifications:
        facts += _verification(record)
    return facts


def _verification(plain: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The base model, the grades and the rows of a verification."""
    base = (plain.get("trainer") or {}).get("base") or {}
    facts: list[tuple[str, Any]] = [
        ("base of the verification", base.get("name")),
        ("digest of its weights", base.get("digest")),
        ("digest of the verification's grades", plain.get("table")),
    ]
    for arm, subsets in (plain.get("subsets") or {}).items():
        for replicate, subset in enumerate(subsets):
            name = f"rows of {arm}" + (f", replicate {replicate}" if len(subsets) > 1 else "")
            facts.append((name, f"{counted(subset.get('rows'), 'row')}, {subset.get('digest')}"))
    return facts


def _overlaps(inputs: ReportInputs) -> Iterator[tuple[Any, ...]]:
    assert inputs.selection is not None
    is_kept = kept_mask(inputs.selection)
    for baseline in inputs.baselines:
        other = kept_mask(baseline)
        both, either = int((is_kept & other).sum()), int((is_kept | other).sum())
        yield baseline.name, int(other.sum()), kept_digest(baseline), both, both / either if either else None


__all__ = ["NEEDS", "build"]
