"""Section: what became of every row, from the file to the selection."""

from __future__ import annotations

from collections.abc import Iterable

from instructsel.reports.parts import Chart, Column, Part, Section, Table, shortened
from instructsel.reports.results import Given
from instructsel.reports.sections.columns import REASONS, _any_null, _kept
from instructsel.selection.candidates import EXACT
from instructsel.selection.choose import NEAR


def _funnel(given: Given) -> Section | None:
    """From the rows of the files to the rows that are kept: every step says what it leaves out."""
    account = ((given.table.manifest.get("pool") or {}).get("account") or {}) if given.table is not None else {}
    steps: list[tuple[str, int, int | None]] = []
    left: list[tuple[str, str, int]] = []
    said = []
    if account:
        malformed, dropped = dict(account.get("quarantined") or {}), dict(account.get("dropped") or {})
        read, examples = int(account["read"]), int(account["examples"])
        whole = read - sum(malformed.values()) - sum(dropped.values())
        steps += [("read", read, None), ("well-formed", read - sum(malformed.values()), sum(malformed.values()))]
        steps.append(("training examples among them", whole, sum(dropped.values())))
        left += [("well-formed", reason, count) for reason, count in malformed.items()]
        left += [("training examples among them", reason, count) for reason, count in dropped.items()]
        if examples != whole:
            said.append(f"{whole:,} rows are {examples:,} examples: one row can hold several, and several rows can make one.")
    if given.selection is not None:
        frame = given.selection.frame
        reasons = [(reason or "", int(count)) for reason, count in frame["reason"].value_counts(name="n").rows() if reason is not None]
        counted = _grouped(sorted(reasons))
        usable = len(frame) - sum(counted["usable"].values())
        deduplicated = usable - sum(counted["deduplicated"].values())
        ranked = deduplicated - sum(counted["ranked"].values())
        last = ranked - sum(counted["distinct"].values())
        kept = last - sum(counted["kept"].values())
        steps.append(("examples", len(frame), None))
        steps += [("usable", usable, len(frame) - usable), ("deduplicated", deduplicated, usable - deduplicated)]
        steps += [("ranked", ranked, deduplicated - ranked), ("without near-duplicates", last, ranked - last), ("kept", kept, last - kept)]
        left += [(stage, reason, count) for stage, found in counted.items() for reason, count in found.items()]
        if kept != int(_kept(given.selection).sum()) or ranked != frame["rank"].count():
            said.append(
                f"The sidecar contradicts itself: {int(_kept(given.selection).sum()):,} rows are marked as kept, {frame['rank'].count():,} as ranked."
            )
        said.append("Usable rows have a value in every indicator the rule uses, and lie above every floor.")
    elif given.table is not None:
        unscored = _any_null(given.table)
        steps.append(("examples", len(given.table), None))
        steps.append(("scored by every indicator", len(given.table) - unscored, unscored))
    if not steps:
        return None
    names = {"distinct": "without near-duplicates"}
    columns: tuple[Column, ...] = (Column("stage", "stage"), Column("rows", "rows", "count"), Column("left_out", "left out", "count"))
    parts: list[Part] = [
        Chart(
            "funnel-chart",
            "bars",
            "Rows at every stage",
            {"kinds": ["rows"], "form": "count", "rows": [{"name": stage, "values": [count]} for stage, count, _ in steps]},
        ),
        Table("funnel", "Stages", columns, tuple(steps)),
    ]
    if left:
        columns = (Column("reason", "reason"), Column("stage", "missing from"), Column("rows", "rows", "count"))
        ordered = sorted(((reason, names.get(stage, stage), count) for stage, reason, count in left), key=lambda row: (-row[2], row[0]))
        shown = shortened(ordered, REASONS, lambda rest: (f"{len(rest):,} other reasons", "", sum(row[2] for row in rest)))
        parts.append(Table("reasons", "Why rows were left out", columns, shown))
    return Section("funnel", "From the pool to the selection", tuple(said), tuple(parts))


def _grouped(reasons: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Counts of reasons by the stage at which a row is left out for them."""
    stages: dict[str, dict[str, int]] = {stage: {} for stage in ("usable", "deduplicated", "ranked", "distinct", "kept")}
    for reason, count in reasons:
        first = reason.partition(":")[0]
        stage = "usable" if first in ("unscored", "below_minimum") else {EXACT: "deduplicated", NEAR: "distinct"}.get(first, "kept")
        stages[stage][reason] = count
    return stages
