"""Results as the plain data of a report: sections of sentences, tables and charts. Every renderer shows these and nothing else."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import polars as pl

from instructsel.reports.experiments import fit_tables, headline, in_brief, in_order, size_section, study_section, verification_section
from instructsel.reports.measures import (
    Floats,
    Mask,
    average_of,
    binned,
    edges_of,
    mean_of,
    median_of,
    partial,
    pearson,
    place,
    ranks,
    together,
    total_of,
)
from instructsel.reports.parts import FACTS, Chart, Column, Part, Section, Table, cleaned, facts_table, flat, known_facts, shortened
from instructsel.reports.results import Given, digest_of, finite, kept_digest, sources
from instructsel.reports.texts import excerpt
from instructsel.rules.collinearity import warnings as collinear
from instructsel.scores.frames import release
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines import RANDOM
from instructsel.selection.selection import CONTRIBUTION, EXACT, INSIDE, NEAR, OVER_THE_POOL, Selection

ROWS: Final = 100
"""Shown of either end of the ranking."""
SOURCES: Final = 50
REASONS: Final = 60
CHARTS: Final = 24
"""Histograms; other indicators stand in the table."""
BARS: Final = 20
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
            f"The value is {given.selection.manifest.get('value', 'of the rule')}; lower is better."
        )
    for plain in given.verifications:
        said += headline(plain)
        said += [in_brief(each) for each in in_order(plain)[:BRIEF]]
    if given.selection is not None and not any((plain.get("verdicts") or {}).get("word") for plain in given.verifications):
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
        stage = "usable" if first in ("unscored", "below_floor") else {EXACT: "deduplicated", NEAR: "distinct"}.get(first, "kept")
        stages[stage][reason] = count
    return stages


def _distributions(given: Given) -> Section | None:
    """Pool, selection and random on common bins."""
    columns = list(_values(given))
    if not columns:
        return None
    random = [each for each in given.baselines if each.name.startswith(RANDOM)]
    kept = None if given.selection is None else _kept(given.selection)
    draws = [_kept(each) for each in random]
    said = []
    if given.selection is not None and not random:
        said.append("No random baseline was given, so that the selection is compared with the pool alone.")
    if random:
        said.append(f"Random: {len(random)} draw{'s' * (len(random) != 1)} under the same budget and removals.")
    said.append(
        "Bins lie between the 0.5 % and the 99.5 % quantile of the pool; the shares outside are in the table. The quantile of a median is "
        "its place among the pool's values: 50 % is no shift."
    )
    table: list[tuple[Any, ...]] = []
    charts: list[Part] = []
    for symbol, unit, values, valid in columns:
        whole = values[valid]
        if not len(whole):
            table.append((symbol, unit, 0, *[None] * 10))
            continue
        edges = edges_of(whole)
        pool = binned(whole, edges)
        mine = None if kept is None else values[valid & kept]
        drawn = [values[valid & each] for each in draws]
        drawn = [each for each in drawn if len(each)]
        kinds = [("pool", pool)]
        if mine is not None and len(mine):
            kinds.append(("selected", binned(mine, edges)))
        if drawn:
            kinds.append((f"random ({len(drawn)})" if len(drawn) > 1 else "random", together([binned(each, edges) for each in drawn])))
        means, medians = [mean_of(each) for each in drawn], [median_of(each) for each in drawn]
        median = None if mine is None else median_of(mine)
        inside = kinds[1][1] if mine is not None and len(mine) else None
        table.append(
            (
                symbol,
                unit,
                len(whole),
                mean_of(whole),
                None if mine is None else mean_of(mine),
                average_of(means),
                median_of(whole),
                median,
                average_of(medians),
                place(whole, median),
                average_of([place(whole, each) for each in medians]),
                (pool.below + pool.above) / pool.n,
                None if inside is None else (inside.below + inside.above) / inside.n,
            )
        )
        if len(charts) < CHARTS:
            data = {
                "x_label": f"{symbol} ({unit})" if unit else symbol,
                "edges": edges.tolist(),
                "kinds": [
                    {"name": name, "n": each.n, "below": each.below, "above": each.above, "counts": each.counts.tolist()}
                    for name, each in kinds
                ],
            }
            charts.append(Chart(f"distribution-{len(charts) + 1}", "histogram", symbol, data))
    if len(columns) > CHARTS:
        said.append(f"Charts are of the first {CHARTS} of {len(columns)} columns.")
    heads = (
        Column("indicator", "indicator"),
        Column("unit", "unit"),
        Column("n", "values", "count"),
        Column("mean_pool", "mean, pool", "number"),
        Column("mean_selected", "mean, selected", "number"),
        Column("mean_random", "mean, random", "number"),
        Column("median_pool", "median, pool", "number"),
        Column("median_selected", "median, selected", "number"),
        Column("median_random", "median, random", "number"),
        Column("quantile_selected", "quantile of the selected median", "share"),
        Column("quantile_random", "quantile of the random median", "share"),
        Column("outside_pool", "outside the bins, pool", "share"),
        Column("outside_selected", "outside the bins, selected", "share"),
    )
    parts = (*charts, Table("distributions", "Indicators in the pool, in the selection, and in random draws", heads, tuple(table)))
    return Section("distributions", "Indicators: pool, selected, random", tuple(said), parts)


def _values(given: Given) -> Iterator[tuple[str, str, Floats, Mask]]:
    """Name, unit, values and where there is one: the rule's value, then the indicators; a column at a time."""
    if given.selection is not None:
        yield ("value", "", *_column(given.selection.frame["value"]))
    if given.table is not None:
        described = given.table.manifest.get("indicators") or {}
        for symbol in given.table.symbols:
            yield (symbol, _unit(described, symbol), *given.table.values(symbol))
    elif given.selection is not None:
        for name in _contributions(given.selection):
            yield (f"{name.removesuffix(CONTRIBUTION)} × weight", "", *_column(given.selection.frame[name]))


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
    value = summary.get("rule_value") or {}
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


def _confounds(given: Given) -> Section | None:
    """Whether the ranking is one of length, or of sources."""
    if given.selection is None:
        return None
    selection = given.selection
    value, ranked = _column(selection.frame["value"])
    said, parts = [], []
    length = _length(given)
    if length is None:
        said.append("len was neither scored nor used by the rule, so how far the value follows length is not known.")
    else:
        parts += _length_tables(given, value, ranked, *length)
        said.append("A partial correlation is what is left between an indicator and the value where rows of equal length are compared.")
    source = sources(selection)
    if source.n_unique() > 1 or (len(source) and source[0]):
        parts += _source_tables(given, source, value, ranked)
    return Section("confounds", "Length and sources", tuple(said), tuple(parts))


def _length(given: Given) -> tuple[Floats, Mask] | None:
    if given.table is not None and "len" in given.table.symbols:
        return given.table.values("len")
    assert given.selection is not None
    weights = {term.get("indicator"): term.get("weight") for term in (given.selection.manifest.get("rule") or {}).get("terms") or []}
    if f"len{CONTRIBUTION}" in given.selection.frame.columns and finite(weights.get("len")):
        values, valid = _column(given.selection.frame[f"len{CONTRIBUTION}"])
        return values / weights["len"], valid
    return None


def _length_tables(given: Given, value: Floats, ranked: Mask, length: Floats, known: Mask) -> list[Part]:
    assert given.selection is not None
    kept, both = _kept(given.selection), ranked & known
    r = pearson(value[both], length[both])
    random = [mean_of(length[known & _kept(each)]) for each in given.baselines if each.name.startswith(RANDOM)]
    facts = [
        ("rows ranked with a length", int(both.sum())),
        ("correlation of the value with len", r),
        ("share of the value's variance that goes with len", None if r is None else r * r),
        ("rank correlation of the value with len", pearson(ranks(value[both]), ranks(length[both]))),
        ("mean len of the pool", mean_of(length[known])),
        ("mean len of the kept", mean_of(length[known & kept])),
        ("mean len of random draws", average_of(random)),
    ]
    found: list[Part] = [facts_table("length", "The value and the length of the response", facts)]
    rows = []
    for symbol, _, values, valid in _values(given):
        bare = symbol.removesuffix(" × weight")
        if bare in ("value", "len"):
            continue
        rows.append((bare, *partial(values, value, length, both & valid)))
    if rows:
        columns: tuple[Column, ...] = (
            Column("indicator", "indicator"),
            Column("n", "rows", "count"),
            Column("r", "correlation with the value", "signed"),
            Column("r_len", "correlation with len", "signed"),
            Column("partial", "with the value, given len", "signed"),
            Column("reason", "why there is none"),
        )
        found.append(Table("partial", "Correlations of the indicators", columns, tuple(rows)))
    return found


def _source_tables(given: Given, source: pl.Series, value: Floats, ranked: Mask) -> list[Part]:
    assert given.selection is not None
    kept = _kept(given.selection)
    names = source.unique().sort().to_list()
    codes = (source.rank("dense").cast(pl.Int64) - 1).to_numpy()
    size = len(names)
    pool, mine = np.bincount(codes, minlength=size), np.bincount(codes[kept], minlength=size)
    draws = [np.bincount(codes[_kept(each)], minlength=size) for each in given.baselines if each.name.startswith(RANDOM)]
    there = np.bincount(codes[ranked], minlength=size)
    totals = np.bincount(codes[ranked], weights=value[ranked], minlength=size)
    drawn = [each / max(1, int(each.sum())) for each in draws]
    random = np.mean(drawn, axis=0) if drawn else None
    rows = []
    for at in np.lexsort((np.arange(size), -pool)).tolist():
        share, own = pool[at] / max(1, len(source)), mine[at] / max(1, int(mine.sum()))
        rows.append(
            (
                names[at] or "(none)",
                int(pool[at]),
                int(mine[at]),
                float(share),
                float(own) if mine.sum() else None,
                None if random is None else float(random[at]),
                float(own / share) if share and mine.sum() else None,
                float(totals[at] / there[at]) if there[at] else None,
            )
        )

    def rest(others: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        sums = [sum(row[at] for row in others) if all(row[at] is not None for row in others) else None for at in range(1, 6)]
        return (f"{len(others):,} other sources", *sums, sums[3] / sums[2] if sums[2] and sums[3] is not None else None, None)

    shown = shortened(rows, SOURCES, rest)
    columns: tuple[Column, ...] = (
        Column("source", "source"),
        Column("pool", "pool", "count"),
        Column("kept", "kept", "count"),
        Column("pool_share", "share of the pool", "share"),
        Column("kept_share", "share of the kept", "share"),
        Column("random_share", "share of random draws", "share"),
        Column("ratio", "kept to pool", "number"),
        Column("mean_value", "mean value", "number"),
    )
    data = {
        "kinds": ["pool", "kept"],
        "form": "share",
        "rows": [{"name": row[0], "values": [row[3], row[4]]} for row in shown[:BARS]],
    }
    total, center = float(there.sum()), mean_of(value[ranked])
    explained = None
    if center is not None and total > 2:
        spread = total_of((value[ranked] - center) ** 2)
        between = math.fsum(float(n * (s / n - center) ** 2) for n, s in zip(there, totals, strict=True) if n)
        explained = min(1.0, between / spread) if spread > 1e-24 * max(1.0, center * center) * total else None
    composition = Table("composition", "Sources", columns, shown)
    if size < 2:
        return [composition]
    facts = [("sources", size), ("share of the value's variance between sources", explained)]
    return [
        Chart("composition-chart", "bars", "Sources, shares of the pool and of the kept", data),
        composition,
        facts_table("sources", "How far the value tells sources apart", facts),
    ]


def _rows(given: Given, count: int, texts: Callable[[Sequence[str]], Mapping[str, tuple[str, str]]] | None) -> Section | None:
    """The best and the worst rows of the ranking."""
    if given.selection is None:
        return None
    frame = given.selection.frame
    ranks, ranked = _column(frame["rank"].cast(pl.Float64))
    places = np.flatnonzero(ranked)
    order = places[np.argsort(ranks[places], kind="stable")]
    top, bottom = order[:count], order[max(count, len(order) - count) :]
    names = _contributions(given.selection)
    columns: tuple[Column, ...] = (
        Column("rank", "rank", "count"),
        Column("id", "id", "code"),
        Column("source", "source"),
        Column("value", "value", "number"),
    )
    columns += tuple(Column(name, f"{name.removesuffix(CONTRIBUTION)} adds", "signed") for name in names)
    columns += (Column("kept", "kept", "any"), Column("reason", "reason"))
    said = [
        "What a term adds is its weight × the indicator. Texts of rows are not shown."
        if texts is None
        else "What a term adds is its weight × the indicator. Texts are cut, and what looks like a key, a password or an address in them is masked."
    ]
    parts = []
    for name, caption, rows in (("top", "The best rows", top), ("bottom", "The worst rows that were ranked", bottom)):
        if not len(rows):
            continue
        found = frame[rows.tolist()].select("rank", "id", "source", "value", *names, "kept", "reason")
        cells: list[tuple[Any, ...]] = found.rows()
        heads = columns
        if texts is not None:
            told = texts(found["id"].to_list())
            heads = (*columns, Column("instruction", "instruction", "prose"), Column("response", "response", "prose"))
            cells = [(*row, *(excerpt(text) for text in told.get(row[1], ("", "")))) for row in cells]
        parts.append(Table(name, f"{caption}: {len(rows):,} of {len(order):,}", heads, tuple(cells)))
    return Section("rows", "Best and worst rows", tuple(said), tuple(parts))


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


def _form(selection: Selection) -> str:
    return str(selection.manifest.get("form") or selection.name)


def _unit(described: Mapping[str, Any], symbol: str) -> str:
    entry = described.get(symbol)
    return str(entry.get("unit") or "") if isinstance(entry, dict) else ""


def _kept(selection: Selection) -> Mask:
    return selection.frame["kept"].fill_null(False).to_numpy()


def _contributions(selection: Selection) -> list[str]:
    return [name for name in selection.frame.columns if name.endswith(CONTRIBUTION)]


def _column(series: pl.Series) -> tuple[Floats, Mask]:
    """Values and where there is one; 0 where not."""
    return series.fill_null(0.0).to_numpy(), series.is_not_null().to_numpy()


def _null_counts(table: ScoreTable, symbol: str) -> list[tuple[str, int]]:
    """Counted in the column: no list of a row each."""
    counts = table.frame[f"{symbol}_reason"].value_counts(name="n").rows()
    return sorted(((reason, int(count)) for reason, count in counts if reason is not None), key=lambda each: (-each[1], each[0]))


def _any_null(table: ScoreTable) -> int:
    if not table.symbols:
        return 0
    missing = np.zeros(len(table), dtype=bool)
    for symbol in table.symbols:
        missing |= table.frame[symbol].is_null().to_numpy()
    return int(missing.sum())


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


__all__ = ["ROWS", "sections", "title"]
