"""Section: the rule and its indicators."""

from __future__ import annotations

from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table, shortened
from instructsel.reports.results import Given, finite
from instructsel.reports.sections.columns import BARS, REASONS, _column, _contributions, _kept, _null_counts, _unit
from instructsel.reports.sections.study import fit_tables
from instructsel.selection.selection import CONTRIBUTION
from instructsel.selection.summary import INSIDE, OVER_THE_POOL
from instructsel.stats.correlation import mean_of


def _indicators(given: Given) -> Section | None:
    """What each indicator was scored with, and where it could not be."""
    if given.table is None:
        return None
    described = given.table.manifest.get("indicators") or {}
    rows, reasons = [], []
    for symbol in given.table.symbols:
        entry = described.get(symbol)
        entry = entry if isinstance(entry, dict) else {}
        used = entry.get("model") or entry.get("tokenizer")
        used = used if isinstance(used, dict) else {}
        counts = _null_counts(given.table, symbol)
        rows.append(
            (
                symbol,
                _unit(described, symbol),
                entry.get("name"),
                entry.get("version"),
                used.get("name"),
                used.get("digest") or used.get("revision"),
                used.get("precision"),
                len(given.table) - sum(count for _, count in counts),
                sum(count for _, count in counts),
                entry.get("truncated"),
            )
        )
        reasons += [(symbol, reason, count) for reason, count in counts]
    columns: tuple[Column, ...] = (
        Column("indicator", "indicator"),
        Column("unit", "unit"),
        Column("name", "name"),
        Column("version", "version", "any"),
        Column("model", "model or tokenizer"),
        Column("digest", "digest", "code"),
        Column("precision", "precision"),
        Column("values", "values", "count"),
        Column("nulls", "null", "count"),
        Column("truncated", "truncated", "count"),
    )
    parts = [Table("indicators", "Indicators of the score table", columns, tuple(rows))]
    if reasons:
        ordered = sorted(reasons, key=lambda row: (-row[2], row[0], row[1]))
        shown = shortened(ordered, REASONS, lambda rest: (f"{len(rest):,} others", "", sum(row[2] for row in rest)))
        columns = (Column("indicator", "indicator"), Column("reason", "reason"), Column("rows", "rows", "count"))
        parts.append(Table("nulls", "Why values are missing", columns, shown))
    return Section(
        "indicators", "What the indicators are", ("A value that is missing is null with a reason, and is never ranked.",), tuple(parts)
    )


def _rule(given: Given) -> Section | None:
    """What each term of the rule does to the ranking."""
    if given.selection is None:
        return None
    selection, summary = given.selection, given.selection.summary
    rule = selection.manifest.get("rule") or {}
    shares, inside = summary.get("variance_shares") or {}, summary.get("variance_shares_kept") or {}
    means, kept = summary.get("means") or {}, _kept(selection)
    terms = {term["indicator"]: term for term in rule.get("terms") or [] if isinstance(term, dict) and "indicator" in term}
    symbols = list(dict.fromkeys([*terms, *(name.removesuffix(CONTRIBUTION) for name in _contributions(selection))]))
    rows = []
    for symbol in symbols:
        term = terms.get(symbol, {})
        whole = own = None
        if symbol + CONTRIBUTION in selection.frame.columns:
            values, valid = _column(selection.frame[symbol + CONTRIBUTION])
            whole, own = mean_of(values[valid]), mean_of(values[valid & kept])
        told = means.get(symbol) or {}
        rows.append(
            (
                symbol,
                finite(term.get("weight")),
                term.get("unit") or None,
                finite(shares.get(symbol)),
                finite(inside.get(symbol)),
                finite(told.get("ranked")),
                finite(told.get("kept")),
                whole,
                own,
                None if whole is None or own is None else own - whole,
            )
        )
    columns: tuple[Column, ...] = (
        Column("indicator", "indicator"),
        Column("weight", "weight", "signed"),
        Column("unit", "unit"),
        Column("variance_share", "share of the variance, ranked rows", "share"),
        Column("variance_share_kept", "share of the variance, kept rows", "share"),
        Column("mean_ranked", "mean, ranked", "number"),
        Column("mean_kept", "mean, kept", "number"),
        Column("contribution_ranked", "mean contribution, ranked", "signed"),
        Column("contribution_kept", "mean contribution, kept", "signed"),
        Column("difference", "kept less ranked", "signed"),
    )
    parts: list[Part] = []
    drawn = [row for row in rows if row[3] is not None or row[4] is not None][:BARS]
    if drawn:
        data = {
            "kinds": ["ranked rows", "kept rows"],
            "form": "share",
            "rows": [{"name": row[0], "values": [row[3], row[4]]} for row in drawn],
        }
        parts.append(Chart("variance-shares", "bars", "Share of the variance of the value", data))
    parts.append(Table("terms", "Terms of the rule", columns, tuple(rows)))
    said = [rule.get("equation") or "", rule.get("citation") or "", rule.get("note") or ""]
    said.append("A contribution is weight × indicator. Shares of the variance add up to 1; a negative one works against the other terms.")
    value = summary.get("rule_score") or {}
    facts = [("intercept", finite(rule.get("intercept"))), (f"value of the selection, {OVER_THE_POOL}", finite(value.get(OVER_THE_POOL)))]
    facts.append((f"value of the selection, {INSIDE}", finite(value.get(INSIDE))))
    for symbol, told in (summary.get("inside") or {}).items():
        facts.append(
            (f"mean {symbol} inside the selection", finite(told.get("mean")) if told.get("mean") is not None else told.get("reason"))
        )
    parts.append(facts_table("rule-value", "The rule over the selection; neither value is a measured loss", facts))
    outside = [
        (
            symbol,
            *(finite(end) for end in told.get("fitted") or (None, None)),
            finite(told.get("ranked")),
            finite(told.get("kept")),
            told.get("mean_of_kept_is_outside"),
        )
        for symbol, told in (summary.get("extrapolation") or {}).items()
    ]
    if outside:
        columns = (
            Column("indicator", "indicator"),
            Column("least", "fitted from", "number"),
            Column("greatest", "to", "number"),
            Column("ranked_outside", "ranked rows outside", "share"),
            Column("kept_outside", "kept rows outside", "share"),
            Column("mean_outside", "mean of the kept outside", "any"),
        )
        parts.append(Table("extrapolation", "Where the rule was fitted: the range of means of its observations", columns, tuple(outside)))
    parts += fit_tables(rule.get("fit"), "rule-fit")
    if isinstance(rule.get("fit"), dict):
        said += [str(each.get("text", "")) for each in rule["fit"].get("warnings") or []]
    elif rule:
        said.append("The range this rule was fitted on is not known: it was not fitted here.")
    return Section("rule", "What the rule does", tuple(each for each in said if each), tuple(parts))
