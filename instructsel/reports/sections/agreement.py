"""Section: how far benchmarks, judges and people agree about the same arms and the same responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.reports.inputs import finite
from instructsel.reports.parts import Column, Form, Part, Section, Table
from instructsel.reports.plain_text import contradictions
from instructsel.reports.sections import Page
from instructsel.reports.sections.limits import COMPARISONS

NEEDS: Final = ""


def _with_ends(key: str, label: str, form: Form) -> tuple[Column, ...]:
    """The columns of a figure and of both ends of its interval."""
    return (Column(key, label, form), Column(f"{key}_low", "from", form), Column(f"{key}_high", "to", form))


GRADERS: Final = (Column("one", "grader"), Column("other", "and"), Column("kinds", "kinds"))
REASON: Final = Column("reason", "why there is none", "prose")
OVER_ARMS: Final = (
    *GRADERS,
    Column("arms", "arms", "count"),
    *_with_ends("same_order", "same order of two arms", "share"),
    *_with_ends("rank", "rank correlation", "number"),
    *_with_ends("linear", "correlation", "number"),
    REASON,
)
ON_ITEMS: Final = (
    *GRADERS,
    Column("items", "items", "count"),
    Column("judgments", "judgments", "count"),
    *_with_ends("same", "same preference", "share"),
    *_with_ends("relaxed", "relaxed, a tie is half", "share"),
    *_with_ends("kappa", "kappa", "number"),
    REASON,
)
NOTES: Final = (
    "Over arms: each arm has the mean of its runs, the good direction up; the same order counts a tie one half. Intervals generalize to other arms like these.",
    "On the same items: how often two graders prefer the same of two responses, or neither; kappa is agreement beyond chance, of people among "
    "themselves Krippendorff's alpha. No grader can be expected to agree with people more than these do with each other. Intervals generalize to other items.",
)


def build(page: Page) -> Section | None:
    """How far the graders of each verification agree."""
    sentences: list[str] = []
    parts: list[Part] = []
    for number, record in enumerate(page.inputs.verifications, start=1):
        agreement = record.get("agreement")
        if not agreement:
            continue
        level = finite(agreement.get("confidence"))
        ends = "" if level is None else f", intervals at {100 * level:g} %"
        sentences += contradictions(agreement)
        if agreement.get("items") or agreement.get("people"):
            parts.append(_on_items(agreement, number, ends))
        if agreement.get("arms"):
            parts.append(_over_arms(agreement, number, ends))
        if agreement.get("not_compared"):
            sentences.append(f"{agreement['not_compared']:,} further pairs of graders were not compared.")
    if not parts:
        return None
    return Section("agreement", "Agreement of graders", (*dict.fromkeys(sentences), *NOTES), tuple(parts))


def _over_arms(agreement: Mapping[str, Any], number: int, ends: str) -> Table:
    rows = []
    for entry in agreement["arms"]:
        figures, reasons = _figures(entry, ("same_order", "rank", "linear"))
        rows.append((entry["one"], entry["other"], _kinds(entry), entry.get("n_arms"), *figures, reasons))
    table = Table(f"agreement-arms-{number}", f"Do two graders put the arms in the same order{ends}", OVER_ARMS, tuple(rows))
    return table.capped(COMPARISONS, "pairs of graders")


def _on_items(agreement: Mapping[str, Any], number: int, ends: str) -> Table:
    rows = []
    for entry in agreement.get("people") or []:
        figures, reasons = _figures(entry, ("same", "relaxed", "alpha"))
        rows.append((entry["grader"], "each other", "people", (entry.get("same") or {}).get("n"), None, *figures, reasons))
    for entry in agreement.get("items") or []:
        figures, reasons = _figures(entry, ("same", "relaxed", "kappa"))
        items = (entry.get("same") or {}).get("n")
        rows.append((entry["one"], entry["other"], _kinds(entry), items, entry.get("n_judgments"), *figures, reasons))
    table = Table(f"agreement-items-{number}", f"Do two graders prefer the same response{ends}", ON_ITEMS, tuple(rows))
    return table.capped(COMPARISONS, "pairs of graders")


def _kinds(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('one_kind')} and {entry.get('other_kind')}"


def _figures(entry: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[list[float | None], str | None]:
    """Value and both ends of each figure, and why there is one without."""
    figures = [entry.get(key) or {} for key in keys]
    reasons = list(dict.fromkeys(str(figure["reason"]) for figure in figures if figure.get("reason")))
    return [finite(figure.get(part)) for figure in figures for part in ("value", "low", "high")], "; ".join(reasons) or None


__all__ = ["NEEDS", "build"]
