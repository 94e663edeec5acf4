"""What select says to people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from instructsel.rules.by_indicator import only_indicator
from instructsel.rules.collinearity import warnings
from instructsel.selection.choose import BELOW_BUDGET, OVER, QUOTA
from instructsel.selection.compared import BOTH
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.similarity import TOO_SIMILAR
from instructsel.selection.summary import INSIDE, OVER_THE_POOL, takes_everything
from instructsel.text import aligned, counted

SOURCES: Final = 20
"""Sources that the table names."""


def report(chosen: Selection, baselines: Sequence[Selection], written: SelectionSet | None) -> list[str]:
    """What came of a selection and its baselines."""
    summary = chosen.summary
    form = chosen.manifest["form"]
    named = form if form == chosen.name else f"{form} ({chosen.name})"
    target = str(chosen.manifest["score"] or "the rule's value")
    lines = [f"ranked by {named}; score: {target}, lower is better"]
    lines += counts(chosen)
    everything = takes_everything(chosen)
    if everything is not None and not baselines:
        lines.append(f"warning: {everything}")
    lines += _near_duplicates(summary)
    lines += _not_seen_whole([chosen, *baselines])
    lines += _minima(summary)
    lines += _similarity(summary)
    lines += _ranking(summary, only_indicator(rule) if (rule := chosen.manifest["rule"]) else chosen.name)
    if len(summary["composition"]) > 1:
        lines += _composition(summary["composition"])
    lines += [
        f"mismatch: {entry['indicator']} was scored with {entry['scored_with'] or 'an unknown model'}, the rule assumes {entry['assumes'][0]}"
        for entry in summary["mismatches"]
    ]
    lines += _compared(chosen, baselines)
    if written is not None:
        lines += _written(written)
    return lines


def _composition(composition: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The rows of each source, in the pool and kept; of many sources those with the most rows."""
    counts_of = list(composition.items())
    left = len(counts_of) - SOURCES
    if left > 0:
        counts_of = sorted(counts_of, key=lambda item: (-item[1]["kept"], -item[1]["pool"], item[0]))[:SOURCES]
    rows = [[source, f"{count['pool']:,}", f"{count['kept']:,}"] for source, count in counts_of]
    more = [f"and {left:,} more sources: {sum(c['kept'] for c in composition.values()) - sum(c['kept'] for _, c in counts_of):,} kept"]
    return [*aligned(rows, header=["source", "pool", "kept"], right=(1, 2)), *(more if left > 0 else [])]


def counts(selection: Selection) -> list[str]:
    """read = kept + dropped, by reason, and what is missing to the budget."""
    summary = selection.summary
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in summary["dropped"].items())
    line = (
        f"{selection.name}: {counted(summary['read'], 'example')} = {summary['kept']:,} kept + {sum(summary['dropped'].values()):,} dropped"
    )
    lines = [line + (f" ({dropped})" if dropped else "")]
    if summary["shortfall"]:
        unit = "token" if summary["unused_tokens"] is not None else "example"
        why = SHORT.get(summary["shortfall_reason"], "no row is left")
        lines.append(f"  {counted(summary['shortfall'], unit)} short of the budget: {why}")
    elif summary["unused_tokens"]:
        lines.append(f"  {counted(summary['unused_tokens'], 'token')} of the budget unused: no remaining example fits")
    return lines


SHORT: Final = {
    "quota": "the other rows are over the quota of their source",
    TOO_SIMILAR: "the other rows are too similar to those that are kept",
}
"""Why a budget is not filled."""
WHOLE_POOL: Final = ("the budget takes every row that may be kept; select fewer",) * 2
NO_OTHER_LENGTHS: Final = (
    "no other rows have the lengths of the selection's; leave it out",
    "no other rows have the lengths of the selection's; leave them out",
)
BY_CHANCE: Final = ("the random numbers happen to give these rows; take another --seed, or select more",) * 2
SAME_ORDER: Final = ("it ranks as the rule does; leave it out", "they rank as the rule does; leave them out")
SAME_BEST: Final = (
    "it orders the rows in another way, but puts the same ones first; select another number",
    "they order the rows in another way, but put the same ones first; select another number",
)
"""Why baselines keep the selection's rows: of one baseline, and of several."""


def same_rows(chosen: Selection, baselines: Sequence[Selection]) -> list[str]:
    """Warnings of baselines that keep exactly the selection's rows, one per reason."""
    rows = set(chosen.kept_ids)
    by_reason: dict[tuple[str, ...], list[str]] = {}
    for baseline in baselines:
        if rows and set(baseline.kept_ids) == rows:
            by_reason.setdefault(_why_same(chosen, baseline), []).append(baseline.name)
    return [
        f"warning: {', '.join(names)} {'keep' if len(names) > 1 else 'keeps'} exactly the selection's {counted(len(rows), 'row')}, "
        f"so that a comparison says nothing: {reason[len(names) > 1]}."
        for reason, names in by_reason.items()
    ]


def _why_same(chosen: Selection, baseline: Selection) -> tuple[str, ...]:
    """Why a baseline keeps the selection's rows."""
    if not set(chosen.summary["dropped"]) & {BELOW_BUDGET, OVER, QUOTA}:
        return WHOLE_POOL
    matching = baseline.summary.get("length_matching")
    if matching and all(rows <= wanted for rows, wanted in zip(matching["available"], matching["wanted"], strict=True) if wanted):
        return NO_OTHER_LENGTHS
    if baseline.summary.get("seed") is not None:
        return BY_CHANCE
    return SAME_ORDER if chosen.frame["rank"].equals(baseline.frame["rank"]) else SAME_BEST


def _minima(summary: Mapping[str, Any]) -> Iterator[str]:
    """How many rows each minimum dropped, and whom: their length and their sources."""
    for symbol, record in (summary.get("minima") or {}).items():
        if record["value"] is None:
            continue
        line = f"minimum: {counted(record['rows'], 'row')} with {symbol} below {record['value']:.4g} (asked: {record['asked']})"
        if record.get("mean_len") is not None:
            line += f"; their mean len is {record['mean_len']:.4g}, that of all rows {record['mean_len_of_all']:.4g}"
        composition = summary["composition"]
        if len(composition) > 1 and record.get("sources"):
            shares = (f"{source} {count:,} of {composition[source]['pool']:,}" for source, count in record["sources"].items())
            line += f"; by source: {', '.join(shares)}"
        if record.get("not_shown"):
            line += f"; {counted(record['not_shown'], 'row')} that the indicator could not be shown whole stay"
        yield line


def _near_duplicates(summary: Mapping[str, Any]) -> Iterator[str]:
    """How many rows that repeat another one have a response of their own."""
    record = summary.get("near_duplicates") or {}
    another = record.get("another_response")
    if not another:
        return
    line = (
        f"near-duplicates: {another:,} of the {counted(record['dropped'], 'row')} dropped {'has' if another == 1 else 'have'} another response "
        "than the row that was ranked before it"
    )
    if record["of"] == BOTH:
        line += "; --near-duplicates-of response compares the responses alone, --keep-near-duplicates drops none"
    yield line


def _not_seen_whole(selections: Sequence[Selection]) -> Iterator[str]:
    """What the models of ways to select did not see of rows and targets; the same of several replicates once."""
    told: dict[str, None] = {}
    for selection in selections:
        for key in ("retrieval", "drop", "cover", "similarity"):
            record = selection.summary.get(key) or {}
            model: Mapping[str, Any] = record.get("encoder") or record.get("model") or next(iter(record.get("models", ())), {})
            room = (
                f"the {model['max_length']:,} tokens that {model.get('name', 'its model')} sees"
                if model.get("max_length")
                else "what its model sees"
            )
            parts = [counted(record["truncated"], "row")] if record.get("truncated") else []
            parts += [counted(record["targets_truncated"], "target")] if record.get("targets_truncated") else []
            if parts:
                first = "; the targets shown before them are cut first" if record.get("targets_shown") else ""
                told[f"{selection.name}: {' and '.join(parts)} cut to {room}{first}"] = None
            if record.get("targets_without_vector"):
                told[f"{selection.name}: {counted(record['targets_without_vector'], 'target')} without a vector"] = None
    yield from told


def _similarity(summary: Mapping[str, Any]) -> Iterator[str]:
    """What DEITA's filter compared."""
    record = summary.get("similarity")
    if record is None:
        return
    dropped = summary["dropped"].get(TOO_SIMILAR, 0)
    line = f"similarity: {counted(dropped, 'row')} at {record['below']:g} or more to a kept row, in the vectors of {record['encoder'].get('name', 'its encoder')}"
    yield line + (f"; {counted(record['without_vector'], 'row')} without a vector pass" if record["without_vector"] else "")


def _ranking(summary: Mapping[str, Any], only: str | None) -> Iterator[str]:
    """What moved the score, and the means of the pool and of the kept rows; `only` is the indicator of a rule that has one and predicts nothing."""
    shares = {} if only is not None else {symbol: share for symbol, share in summary["variance_shares"].items() if share is not None}
    if shares:
        yield "share of the variance of the score: " + ", ".join(f"{symbol} {share:.1%}" for symbol, share in shares.items())
    yield from warnings(summary.get("collinearity") or {})
    for symbol, record in (summary.get("extrapolation") or {}).items():
        if record["kept"] is not None:
            least, greatest = record["fitted"]
            yield (
                f"{symbol}: {record['ranked']:.0%} of the ranked rows and {record['kept']:.0%} of the kept lie outside the range of means the rule "
                f"was fitted on [{least:.4g}, {greatest:.4g}]"
                + ("; so does the mean of the kept: the rule extrapolates" if record["mean_of_kept_is_outside"] else "")
            )
    for symbol, means in summary["means"].items():
        if means["kept"] is not None:
            yield f"mean {symbol}: {means['ranked']:.4g} of the ranked rows → {means['kept']:.4g} of the selected{_inside(summary['inside'].get(symbol))}"
    score = summary["rule_score"]
    if only is None and score[OVER_THE_POOL] is not None:
        inside = f"; {score[INSIDE]:.4f} {INSIDE}" if score[INSIDE] is not None and score[INSIDE] != score[OVER_THE_POOL] else ""
        yield f"score of the selection: {score[OVER_THE_POOL]:.4f} as {OVER_THE_POOL}{inside}. Neither is a measured loss."


def _inside(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    if record["mean"] is None:
        return f", inside the selection null ({record['reason']})"
    return f", inside the selection {record['mean']:.4g}"


def _compared(chosen: Selection, baselines: Sequence[Selection]) -> list[str]:
    """All baselines in one table."""
    if not baselines:
        return []
    rows, selected = [], set(chosen.kept_ids)
    for baseline in baselines:
        unscored = sum(count for reason, count in baseline.summary["dropped"].items() if reason.startswith("unscored"))
        shared = len(selected & set(baseline.kept_ids))
        short = baseline.summary["shortfall"]
        rows.append([baseline.name, f"{len(baseline):,}", f"{shared:,}", f"{unscored:,}", f"{short:,}"])
    header = ["baseline", "kept", "also in the selection", "unscored", "short of the budget"]
    return ["", *aligned(rows, header=header, right=(1, 2, 3, 4)), *same_rows(chosen, baselines)]


def _written(written: SelectionSet) -> list[str]:
    """Where everything is, and what to run next."""
    selection, others = written.selection, len(written.baselines)
    lines = [f"rows → {selection.file}; every row of the pool with score, rank and reason → {selection.sidecar}"]
    if others:
        lines.append(f"{others} baseline{'s' if others > 1 else ''} beside it; what belongs together → {written.path}")
    # -o stands for the reader's folder, as MODEL and FILE do: verify needs one.
    file = shlex.quote(str(selection.file))
    return [
        *lines,
        f"next: instructsel report {file}",
        f"or: instructsel verify {file} --base MODEL --eval FILE -o FOLDER",
    ]


__all__ = ["counts", "report", "same_rows"]
