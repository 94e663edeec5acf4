"""Section: a search for the number of rows."""

from __future__ import annotations

from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table
from instructsel.reports.results import Given, finite
from instructsel.reports.sections.limits import POINTS


def size_section(given: Given) -> Section | None:
    """How many rows to keep, by fine-tunes on several sizes."""
    if not given.sizes:
        return None
    said: list[str] = []
    parts: list[Part] = []
    for number, told in enumerate(given.sizes, start=1):
        unit = f", {told['unit']}" if told.get("unit") else ""
        near = told.get("near")
        rows = []
        for each in told["sizes"]:
            mark = "lowest" if each["size"] == told.get("chosen") else "not distinguishable" if near and each["size"] in near else ""
            search, report = each["search"], each["report"]
            rows.append(
                (each["size"], each["rows"], *(finite(part.get(key)) for part in (search, report) for key in ("mean", "low", "high")), mark)
            )
        columns: tuple[Column, ...] = (
            Column("size", "size", "count"),
            Column("rows", "rows", "count"),
            Column("search", f"{told.get('search')}{unit}", "number"),
            Column("search_low", "95 % interval from", "number"),
            Column("search_high", "to", "number"),
            Column("report", f"{told.get('report')}{unit}", "number"),
            Column("report_low", "95 % interval from", "number"),
            Column("report_high", "to", "number"),
            Column("mark", ""),
        )
        tunes = told["fine_tunes"][:POINTS]
        known = all(each["search"].get("low") is not None for each in told["sizes"])
        data = {
            "x_label": "rows",
            "y_label": f"{told.get('search')}{unit}",
            "kinds": [
                {
                    "name": "",
                    "x": [each["size"] for each in tunes],
                    "y": [each["search_loss"] for each in tunes],
                    "labels": [f"{each['size']:,} rows, seed {each['seed']}" for each in tunes],
                }
            ],
            "curve": {
                "name": "mean, 95 % interval",
                "x": [each["size"] for each in told["sizes"]],
                **{
                    key: [each["search"][part] for each in told["sizes"]] for key, part in (("y", "mean"), ("low", "low"), ("high", "high"))
                },
            }
            if known and len(told["sizes"]) > 1
            else None,
        }
        parts.append(Chart(f"size-{number}-chart", "scatter", f"{told.get('search')} by size of the selection", data))
        parts.append(Table(f"size-{number}", "Sizes, mean over seeds", columns, tuple(rows)))
        facts = [
            ("how sizes were chosen", told.get("method") or "not known"),
            ("seeds", len(told.get("seeds") or [])),
            ("noise of one fine-tune", finite(told.get("noise"))),
        ]
        facts += [("differences up to this are noise", finite(told.get("margin"))), ("size to take", told.get("smallest_near"))]
        parts.append(facts_table(f"size-{number}-facts", "What can be told apart", facts))
        said += [str(told.get("verdict", "")), *(str(each) for each in told.get("cautions") or [])]
        said.append(f"The lowest {told.get('search')} is none to report: it is biased downward.")
    return Section("size", "How many rows", tuple(said), tuple(parts))
