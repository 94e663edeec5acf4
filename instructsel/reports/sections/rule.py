"""Section: the rule and its indicators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.reports.inputs import finite
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import BARS, contribution_columns, kept_mask, values_and_mask
from instructsel.reports.sections.study import fit_tables
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.selection.summary import INSIDE, OVER_THE_POOL
from instructsel.stats.correlation import mean_of

NEEDS: Final = ""
TERMS: Final = (
    Column("indicator", "indicator"),
    Column("weight", "weight", "signed"),
    Column("unit", "unit"),
    Column("variance_share", "share of the variance, ranked rows", "share"),
    Column("variance_share_kept", "share of the variance, selected rows", "share"),
    Column("mean_ranked", "mean, ranked", "number"),
    Column("mean_kept", "mean, selected", "number"),
    Column("contribution_ranked", "mean contribution, ranked", "signed"),
    Column("contribution_kept", "mean contribution, selected", "signed"),
    Column("difference", "selected less ranked", "signed"),
)
OUTSIDE: Final = (
    Column("indicator", "indicator"),
    Column("least", "fitted from", "number"),
    Column("greatest", "to", "number"),
    Column("ranked_outside", "ranked rows outside", "share"),
    Column("kept_outside", "selected rows outside", "share"),
    Column("mean_outside", "mean of the selected outside", "any"),
)


def build(page: Page) -> Section | None:
    """What each term of the rule does to the ranking; no section where a way to select ranks."""
    selection = page.inputs.selection
    if selection is None or (selection.baseline is not None and not selection.manifest.get("rule")):
        return None
    summary, rule = selection.summary, selection.manifest.get("rule") or {}
    rows = _terms(selection, rule)
    parts: list[Part] = []
    drawn = [row for row in rows if row[3] is not None or row[4] is not None][:BARS]
    if drawn:
        data = {
            "kinds": ["ranked rows", "selected rows"],
            "form": "share",
            "rows": [{"name": row[0], "values": [row[3], row[4]]} for row in drawn],
        }
        parts.append(Chart("variance-shares", "bars", "Share of the variance of the score", data))
    parts.append(Table("terms", "Terms of the rule", TERMS, tuple(rows)))
    parts.append(_values(summary, rule))
    outside = [
        (
            symbol,
            *(finite(end) for end in spans.get("fitted") or (None, None)),
            finite(spans.get("ranked")),
            finite(spans.get("kept")),
            spans.get("mean_of_kept_is_outside"),
        )
        for symbol, spans in (summary.get("extrapolation") or {}).items()
    ]
    if outside:
        parts.append(Table("extrapolation", "Where the rule was fitted: the range of means of its observations", OUTSIDE, tuple(outside)))
    parts += fit_tables(rule.get("fit"), "rule-fit")
    sentences = [rule.get("equation") or "", rule.get("citation") or "", rule.get("note") or ""]
    sentences.append(
        "A contribution is weight × indicator. Shares of the variance add up to 1; a negative one works against the other terms."
    )
    if isinstance(rule.get("fit"), dict):
        sentences += [str(warning.get("text", "")) for warning in rule["fit"].get("warnings") or []]
    elif rule:
        sentences.append("The range this rule was fitted on is not known: it was not fitted here.")
    return Section("rule", "What the rule does", tuple(sentence for sentence in sentences if sentence), tuple(parts))


def _terms(selection: Selection, rule: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """A row a term: weight, share of the variance, means and contributions."""
    summary, is_kept = selection.summary, kept_mask(selection)
    shares, kept_shares = summary.get("variance_shares") or {}, summary.get("variance_shares_kept") or {}
    terms = {term["indicator"]: term for term in rule.get("terms") or [] if isinstance(term, dict) and "indicator" in term}
    symbols = dict.fromkeys([*terms, *(name.removesuffix(CONTRIBUTION) for name in contribution_columns(selection))])
    rows = []
    for symbol in symbols:
        term = terms.get(symbol, {})
        ranked_mean = kept_mean = None
        if symbol + CONTRIBUTION in selection.frame.columns:
            values, valid = values_and_mask(selection.frame[symbol + CONTRIBUTION])
            ranked_mean, kept_mean = mean_of(values[valid]), mean_of(values[valid & is_kept])
        means = (summary.get("means") or {}).get(symbol) or {}
        rows.append(
            (
                symbol,
                finite(term.get("weight")),
                term.get("unit") or None,
                finite(shares.get(symbol)),
                finite(kept_shares.get(symbol)),
                finite(means.get("ranked")),
                finite(means.get("kept")),
                ranked_mean,
                kept_mean,
                None if ranked_mean is None or kept_mean is None else kept_mean - ranked_mean,
            )
        )
    return rows


def _values(summary: Mapping[str, Any], rule: Mapping[str, Any]) -> Table:
    """The rule's value over the pool and inside the selection."""
    value = summary.get("rule_score") or {}
    facts = [("intercept", finite(rule.get("intercept")))]
    facts += [(f"value of the selection, {where}", finite(value.get(where))) for where in (OVER_THE_POOL, INSIDE)]
    for symbol, inside in (summary.get("inside") or {}).items():
        mean = finite(inside.get("mean")) if inside.get("mean") is not None else inside.get("reason")
        facts.append((f"mean {symbol} inside the selection", mean))
    return facts_table("rule-value", "The rule over the selection; neither value is a measured loss", facts)


__all__ = ["NEEDS", "build"]
