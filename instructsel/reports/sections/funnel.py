"""Section: what became of every row, from the file to the selection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.reports.inputs import ReportInputs
from instructsel.reports.parts import Chart, Column, Part, Section, Table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import REASONS, kept_mask, unscored_rows
from instructsel.selection.candidates import EXACT
from instructsel.selection.choose import NEAR
from instructsel.text import counted

NEEDS: Final = "a selection"
STAGES: Final = {
    "usable": "usable",
    "deduplicated": "deduplicated",
    "ranked": "ranked",
    "distinct": "without near-duplicates",
    "kept": "selected",
}


@dataclass
class _Funnel:
    """Stages with their rows and what each leaves out, and why."""

    stages: list[tuple[str, int, int | None]] = field(default_factory=list)
    reasons: list[tuple[str, str, int]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def add(self, stage: str, rows: int, reasons: Iterable[tuple[str, int]] | None = None) -> None:
        """One stage; the rows it leaves out are counted by reason."""
        listed = None if reasons is None else list(reasons)
        self.stages.append((stage, rows, None if listed is None else sum(count for _, count in listed)))
        self.reasons += [(reason, stage, count) for reason, count in listed or []]


def build(page: Page) -> Section | None:
    """From the rows of the files to the rows that are kept: every step says what it leaves out."""
    funnel = _Funnel()
    _read(funnel, page.inputs)
    _selected(funnel, page.inputs)
    if not funnel.stages:
        return None
    columns: tuple[Column, ...] = (Column("stage", "stage"), Column("rows", "rows", "count"), Column("left_out", "left out", "count"))
    data = {
        "kinds": ["rows"],
        "form": "count",
        "rows": [{"name": stage, "values": [count]} for stage, count, _ in funnel.stages],
    }
    parts: list[Part] = [
        Chart("funnel-chart", "bars", "Rows at every stage", data),
        Table("funnel", "Stages", columns, tuple(funnel.stages)),
    ]
    if funnel.reasons:
        columns = (Column("reason", "reason"), Column("stage", "missing from"), Column("rows", "rows", "count"))
        ordered = sorted(funnel.reasons, key=lambda row: (-row[2], row[0]))
        parts.append(Table("reasons", "Why rows were left out", columns, tuple(ordered)).capped(REASONS, "reasons", sums=["rows"]))
    title = "From the pool to the selection" if page.inputs.selection is not None else "From the rows of the files to the scores"
    return Section("funnel", title, tuple(funnel.sentences), tuple(parts))


def _read(funnel: _Funnel, inputs: ReportInputs) -> None:
    """The rows of the files, by the read report in the score table."""
    account: dict[str, Any] = ((inputs.table.manifest.get("pool") or {}).get("account") or {}) if inputs.table is not None else {}
    if not account:
        return
    malformed, dropped = dict(account.get("quarantined") or {}), dict(account.get("dropped") or {})
    read, examples = int(account["read"]), int(account["examples"])
    wellformed = read - sum(malformed.values())
    rows = wellformed - sum(dropped.values())
    funnel.add("read", read)
    funnel.add("well-formed", wellformed, malformed.items())
    funnel.add("training examples among them", rows, dropped.items())
    if examples != rows:
        funnel.sentences.append(
            f"{counted(rows, 'row')} {'is' if rows == 1 else 'are'} {counted(examples, 'example')}: one row can hold several, and several rows can make one."
        )


def _selected(funnel: _Funnel, inputs: ReportInputs) -> None:
    """The examples of the pool, by the reasons in the sidecar; or those that were scored."""
    if inputs.selection is None:
        if inputs.table is not None:
            rows = len(inputs.table)
            funnel.add("examples", rows)
            funnel.stages.append(("scored by every indicator", rows - unscored_rows(inputs.table), unscored_rows(inputs.table)))
        return
    frame = inputs.selection.frame
    reasons = [(reason, int(count)) for reason, count in frame["reason"].value_counts(name="n").rows() if reason is not None]
    rows = len(frame)
    funnel.add("examples", rows)
    remaining = {}
    for stage, counts in _grouped(sorted(reasons)).items():
        rows -= sum(counts.values())
        remaining[stage] = rows
        funnel.add(STAGES[stage], rows, counts.items())
    marked, ranked = int(kept_mask(inputs.selection).sum()), frame["rank"].count()
    if (remaining["kept"], remaining["ranked"]) != (marked, ranked):
        funnel.sentences.append(f"The sidecar contradicts itself: {counted(marked, 'row')} are marked as kept, {ranked:,} as ranked.")
    funnel.sentences.append("Usable rows have a value in every indicator the rule uses, and lie above every minimum threshold.")


def _grouped(reasons: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Counts of reasons by the stage at which a row is left out for them."""
    stages: dict[str, dict[str, int]] = {stage: {} for stage in STAGES}
    for reason, count in reasons:
        first = reason.partition(":")[0]
        # below_floor: the last release's word.
        unusable = ("unscored", "below_minimum", "below_floor")
        stage = "usable" if first in unusable else {EXACT: "deduplicated", NEAR: "distinct"}.get(first, "kept")
        stages[stage][reason] = count
    return stages


__all__ = ["NEEDS", "build"]
