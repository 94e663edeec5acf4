"""Results as the plain data of a report: sections of sentences, tables and charts. Every renderer shows these and nothing else."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from instructsel.reports.parts import FACTS, Column, Part, Section, Table, cleaned, facts_table, flat, known_facts
from instructsel.reports.results import Given, digest_of, kept_digest
from instructsel.reports.sections.columns import _form, _kept, _signed
from instructsel.reports.sections.confounds import _confounds
from instructsel.reports.sections.distributions import _distributions
from instructsel.reports.sections.funnel import _funnel
from instructsel.reports.sections.ranking import _rows
from instructsel.reports.sections.rule import _indicators, _rule
from instructsel.reports.sections.size import size_section
from instructsel.reports.sections.study import study_section
from instructsel.reports.sections.verification import headline, in_brief, in_order, verification_section
from instructsel.rules.collinearity import warnings as collinear
from instructsel.selection.selection import Selection
from instructsel.tables import release

ROWS: Final = 100
"""Shown of either end of the ranking."""
BRIEF: Final = 6
"""Comparisons named at the head of the report."""
FOLLOWS: Final = 0.5
"""From this correlation on, a rule's value is said to follow length."""


def sections(
    given: Given, *, rows: int = ROWS, texts: Callable[[Sequence[str]], Mapping[str, tuple[str, str]]] | None = None
) -> tuple[Section, ...]:
    """All sections that the results have something for.

    Args:
        given: the results.
        rows: of either end of the ranking.
        texts: ids → instruction and response, where excerpts are to be shown.
    """
    made: list[Section | None] = [_run(given), _funnel(given), _distributions(given), _indicators(given), _rule(given), _confounds(given)]
    made += [size_section(given), verification_section(given), study_section(given), _rows(given, rows, texts), _environment(given)]
    found = [_summary(given, [each for each in made if each is not None]), *made]
    return tuple(cleaned(each) for each in found if each is not None)


def title(given: Given) -> str:
    """What the report is called where nobody says."""
    if given.selection is not None:
        return f"Selection by {given.selection.manifest.get('form') or given.selection.name}"
    for results, called in ((given.verifications, "Verification"), (given.studies, "Study"), (given.sizes, "Size search")):
        if results:
            return called
    return "Scores of a pool"


def _summary(given: Given, made: Sequence[Section]) -> Section:
    """What a reader must know before anything else."""
    said: list[str] = []
    if given.selection is not None:
        summary = given.selection.summary
        said.append(
            f"{_form(given.selection)} keeps {len(given.selection):,} of {summary.get('read', len(given.selection.frame)):,} examples. "
            f"The score is {given.selection.manifest.get('score', 'of the rule')}; lower is better."
        )
    for plain in given.verifications:
        said += headline(plain)
        said += [in_brief(each) for each in in_order(plain)[:BRIEF]]
    if given.selection is not None and not any((plain.get("verdicts") or {}).get("outcome") for plain in given.verifications):
        said.append("Not verified: nothing here shows that a fine-tune on these rows is better than one on random rows.")
    for told in given.sizes:
        said.append(str(told.get("verdict", "")))
    if given.selection is not None:
        said += _doubts(given.selection, made)
    said += given.notes
    there = {section.name for section in made}
    absent = [called for name, called in OPTIONAL.items() if name not in there]
    if absent:
        said.append(f"Not given, and therefore not in this report: {', '.join(absent)}.")
    return Section("summary", "In short", tuple(each for each in said if each))


OPTIONAL: Final[Mapping[str, str]] = {
    "funnel": "a selection",
    "distributions": "scores",
    "size": "a size search",
    "verification": "a verification",
    "study": "a study",
}


def _doubts(selection: Selection, made: Sequence[Section]) -> list[str]:
    summary, said = selection.summary, []
    for each in summary.get("mismatches") or []:
        assumed = (each.get("assumes") or ["another model"])[0]
        said.append(
            f"Mismatch: {each.get('indicator')} was scored with {each.get('scored_with') or 'an unknown model'}; the rule assumes {assumed}."
        )
    if summary.get("shortfall"):
        unit = "tokens" if summary.get("unused_tokens") is not None else "examples"
        said.append(f"{summary['shortfall']:,} {unit} short of the budget: nothing more was left.")
    for symbol, told in (summary.get("extrapolation") or {}).items():
        if told.get("mean_of_kept_is_outside"):
            said.append(f"The rule extrapolates: the mean {symbol} of the kept rows lies outside the range it was fitted on.")
    said += [line.removeprefix("warning: ").capitalize() for line in collinear(summary.get("collinearity") or {})]
    for section in made:
        for part in section.parts:
            if isinstance(part, Table) and part.name == "length":
                r = next((row[1] for row in part.rows if row[0] == "correlation of the value with len"), None)
                if r is not None and abs(r) >= FOLLOWS:
                    said.append(
                        f"The value follows response length: their correlation is {_signed(r)}. Compare with the baseline length-matched."
                    )
    return said


def _run(given: Given) -> Section | None:
    facts: list[tuple[str, Any]] = []
    if given.selection is not None:
        manifest = given.selection.manifest
        pool = manifest.get("pool") or {}
        facts += [
            ("ranked by", _form(given.selection)),
            ("rule", (manifest.get("rule") or {}).get("name")),
            ("digest of the rule", digest_of(manifest.get("rule"))),
            ("pool fingerprint", pool.get("fingerprint")),
            ("examples in the pool", pool.get("examples")),
            ("digest of the kept ids", kept_digest(given.selection)),
        ]
    elif given.table is not None:
        pool = given.table.manifest.get("pool") or {}
        facts += [("pool fingerprint", pool.get("fingerprint")), ("examples in the pool", len(given.table))]
    for study in given.studies:
        facts += [
            ("configuration of the study", study.manifest.get("configuration")),
            ("digest of its scores", study.manifest.get("scores")),
        ]
        facts.append(("pool fingerprint of the study", (study.manifest.get("pool") or {}).get("fingerprint")))
    for told in given.sizes:
        facts.append(("configuration of the size search", digest_of(told.get("configuration"))))
    for plain in given.verifications:
        base = (plain.get("trainer") or {}).get("base") or {}
        facts += [("base of the verification", base.get("name")), ("digest of its weights", base.get("digest"))]
        facts.append(("digest of the verification's grades", plain.get("table")))
        facts += [
            (f"rows of {arm}" + (f", draw {draw}" if len(found) > 1 else ""), f"{each.get('rows'):,} rows, {each.get('digest')}")
            for arm, found in (plain.get("subsets") or {}).items()
            for draw, each in enumerate(found)
        ]
    parts: list[Part] = [facts_table("run", "What this report is of", known_facts(facts))]
    if given.baselines:
        columns: tuple[Column, ...] = (
            Column("baseline", "baseline"),
            Column("kept", "kept", "count"),
            Column("digest", "digest of the kept ids", "code"),
        )
        columns += (Column("common", "kept by both", "count"), Column("jaccard", "Jaccard similarity", "number"))
        parts.append(Table("baselines", "Baselines: the same pool, budget and removals, another order", columns, tuple(_overlaps(given))))
    if given.files:
        columns = (Column("file", "file"), Column("kind", "holds"), Column("sha256", "SHA-256", "code"))
        parts.append(Table("files", "Files read", columns, tuple((each.name, each.kind, each.digest) for each in given.files)))
    return Section("run", "What was run", (), tuple(parts))


def _overlaps(given: Given) -> Iterator[tuple[Any, ...]]:
    assert given.selection is not None
    own = _kept(given.selection)
    for each in given.baselines:
        other = _kept(each)
        both, either = int((own & other).sum()), int((own | other).sum())
        yield each.name, int(other.sum()), kept_digest(each), both, both / either if either else None


def _environment(given: Given) -> Section:
    """What everything was made with: releases, settings, seeds; no machine, no folder, no time."""
    facts: list[tuple[str, Any]] = [("instructsel, this report", release()), ("Python", platform.python_version())]
    facts += [(name, version(name)) for name in ("numpy", "polars", "jinja2")]
    made: list[tuple[str, Any]] = []
    for called, result in (
        ("the selection", given.selection),
        ("the scores", given.table),
        *((f"study {at}", each) for at, each in enumerate(given.studies, start=1)),
    ):
        if result is not None:
            made.append((f"instructsel, {called}", result.manifest.get("instructsel")))
    made += [("instructsel, the size search", told.get("instructsel")) for told in given.sizes]
    parts = [facts_table("versions", "Versions", [*facts, *known_facts(made)])]
    if given.selection is not None:
        parts.append(facts_table("settings", "Settings of the selection", flat(given.selection.manifest.get("settings") or {})))
        seeds = [(each.name, each.summary.get("seed")) for each in given.baselines if each.summary.get("seed") is not None]
        if seeds:
            parts.append(facts_table("seeds", "Seeds of the baselines", seeds))
    for number, study in enumerate(given.studies, start=1):
        told = {key: study.manifest.get(key) for key in ("design", "trainer", "grader") if study.manifest.get(key)}
        if told:
            parts.append(facts_table(f"study-{number}-settings", "Settings of the study", flat(told)))
    for number, plain in enumerate(given.sizes, start=1):
        told = {
            "seeds": plain.get("seeds"),
            **{key: (plain.get("configuration") or {}).get(key) for key in ("trainer", "grader", "report")},
        }
        parts.append(facts_table(f"size-{number}-settings", "Settings of the size search", flat(told)))
    for number, plain in enumerate(given.verifications, start=1):
        runs = [
            (arm, f"draw {draw}: seeds {', '.join(map(str, seeds))}")
            for arm, draws in (plain.get("arms") or {}).items()
            for draw, seeds in draws.items()
        ]
        if runs:
            parts.append(facts_table(f"verification-{number}-seeds", "Seeds of the verification", runs[:FACTS]))
        made_with = {"trainer": plain.get("trainer"), "graders": plain.get("made_with")}
        settled = {grader: told["settings"] for grader, told in (plain.get("graders") or {}).items() if told.get("settings")}
        told = {key: value for key, value in {**made_with, "settings": settled}.items() if value}
        if told:
            parts.append(facts_table(f"verification-{number}-settings", "Settings of the verification", flat(told)[:FACTS]))
    return Section("environment", "Environment", (), tuple(parts))


__all__ = ["ROWS", "sections", "title"]
