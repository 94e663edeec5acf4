"""What a selection says of itself: counts, shares, means, composition, and the manifest around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.artifact import release
from instructsel.columns import Coded
from instructsel.kinds import SELECTION, head
from instructsel.rules.collinearity import collinearity
from instructsel.rules.linear import Floats, Mask
from instructsel.selection.budget import Tokens, budget_from
from instructsel.selection.candidates import NEIGHBOR, Positions, Ranking, ScoredCandidates, checked_distances, mean
from instructsel.selection.similarity import TOO_SIMILAR
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.selection.selection import Selection

OVER_THE_POOL: Final = "mean of the per-row values over the pool"
INSIDE: Final = "with knn_i recomputed inside the subset"


def summarize(candidates: ScoredCandidates, ranking: Ranking, reasons: Coded, used: int, *, short: int) -> dict[str, Any]:
    """Counts by reason, shares of variance, means, predictions and composition of a selection, as plain data.

    Args:
        candidates: what was chosen from.
        ranking: what chose.
        reasons: of all rows of the pool; None where a row is kept.
        used: of the budget, in its unit.
        short: what is missing to the budget because no more rows were left.
    """
    dropped = Counter(reasons.counts())
    chosen = np.flatnonzero(~reasons.where(lambda word: True)).astype(np.int64)
    if len(reasons) != len(chosen) + dropped.total():
        raise AssertionError(f"{len(reasons)} rows read, but {len(chosen)} kept + {dropped.total()} dropped.")
    inside = np.searchsorted(candidates.eligible, chosen)
    score, score_inside, knn = _inside(candidates, chosen, inside)
    columns, rule, prediction = candidates.columns, candidates.rule, candidates.prediction
    tokens = isinstance(candidates.budget, Tokens)
    shares: dict[str, dict[str, float | None]] = {"ranked": {}, "kept": {}}
    if rule is not None and prediction is not None:
        shares = {"ranked": rule.variance_shares(prediction), "kept": rule.variance_shares(prediction, inside)}
    return {
        "name": ranking.name,
        "read": len(reasons),
        "kept": len(chosen),
        "dropped": dict(sorted(dropped.items())),
        "ranked": len(reasons) - len(candidates.dropped) - len(ranking.unscored),
        "budget": candidates.budget.as_dict(),
        "used": used,
        "shortfall": short,
        "shortfall_reason": _shortfall_reason(dropped) if short else None,
        "unused_tokens": candidates.limit - used if tokens else None,
        "variance_shares": shares["ranked"],
        "variance_shares_kept": shares["kept"],
        "means": {symbol: {"ranked": mean(values), "kept": mean(values[inside])} for symbol, (values, _) in columns.items()},
        "collinearity": collinearity({symbol: values for symbol, (values, _) in columns.items()}),
        "extrapolation": _extrapolation(candidates, inside),
        "inside": knn,
        "rule_score": {OVER_THE_POOL: score, INSIDE: score_inside},
        "composition": _composition(candidates, chosen),
        "mismatches": [mismatch.as_dict() for mismatch in candidates.mismatches],
        "recomputed": list(candidates.recomputed),
        "minima": dict(candidates.minima),
        **ranking.details,
    }


def _shortfall_reason(dropped: Mapping[str, int]) -> str:
    """Why the budget is not filled."""
    return next((reason for reason in ("quota", TOO_SIMILAR) if dropped.get(reason)), "no_rows_left")


def manifest(candidates: ScoredCandidates, ranking: Ranking, summary: dict[str, Any]) -> dict[str, Any]:
    """What a selection was made from and what came of it. Nothing in it differs between two equal runs."""
    rule, bounds = candidates.rule, candidates.prediction.bounds if candidates.prediction is not None else {}
    clip = {symbol: list(limits) for symbol, limits in bounds.items()} if candidates.settings.clip else None
    used = candidates.ranker.indicators if ranking.indicators is None else ranking.indicators
    scored = candidates.table.manifest.get("indicators") or {}
    return {
        **head(SELECTION),
        "instructsel": release(),
        "name": ranking.name,
        "baseline": ranking.baseline,
        "score": ranking.target,
        "rule": rule.as_dict() if rule is not None else None,
        "form": rule.called(candidates.mismatches) if rule is not None else candidates.ranker.name,
        "pool": {"fingerprint": candidates.pool.fingerprint, "examples": len(candidates.pool)},
        "indicators": {symbol: entry for symbol, entry in scored.items() if symbol in used},
        "settings": {**candidates.settings.as_dict(), "clip": clip},
        "summary": summary,
    }


def takes_everything(selection: Selection) -> str | None:
    """A sentence where a number of examples or tokens is more than may be kept, so that the ranking leaves out none; else None."""
    summary = selection.summary
    if summary["budget"]["kind"] == "fraction":
        return None
    if not summary["shortfall"] or summary["shortfall_reason"] != "no_rows_left" or not summary["kept"]:
        return None
    budget = budget_from(summary["budget"])
    dropped = sum(summary["dropped"].values())
    others = f"; {counted(dropped, 'other')} may not be kept" if dropped else ""
    return f"the budget of {budget} takes every row that may be kept, {summary['kept']:,} of {summary['read']:,}{others}. Select fewer."


def _composition(candidates: ScoredCandidates, chosen: Positions) -> dict[str, dict[str, int]]:
    sources = candidates.sources
    in_kept = Coded(sources.codes[chosen], sources.words).counts()
    return {source: {"pool": count, "kept": in_kept.get(source, 0)} for source, count in sorted(sources.counts().items())}


def _extrapolation(candidates: ScoredCandidates, inside: Positions) -> dict[str, dict[str, Any]]:
    """How many rows lie outside the range of means a rule was fitted on; nothing for a rule that was not fitted here."""
    shares: dict[str, dict[str, Any]] = {}
    for symbol, (least, greatest) in (candidates.rule.fitted_ranges if candidates.rule is not None else {}).items():
        values, valid = candidates.columns[symbol]
        outside = ((values < least) | (values > greatest)) & valid
        center = mean(values[inside])
        shares[symbol] = {
            "fitted": [least, greatest],
            "ranked": int(outside.sum()) / max(1, int(valid.sum())),
            "kept": float(outside[inside].mean()) if len(inside) else None,
            "mean_of_kept_is_outside": None if center is None else not least <= center <= greatest,
        }
    return shares


def _inside(
    candidates: ScoredCandidates, chosen: Positions, inside: Positions
) -> tuple[float | None, float | None, dict[str, dict[str, Any]]]:
    """The rule's mean score over the kept rows, the same with knn_i inside them, and these knn_i."""
    rule, prediction = candidates.rule, candidates.prediction
    score = mean(prediction.values[inside]) if prediction is not None else None
    columns: dict[str, tuple[Floats, Mask]] = {
        symbol: (values[inside], valid[inside]) for symbol, (values, valid) in candidates.columns.items()
    }
    knn: dict[str, dict[str, Any]] = {}
    for symbol in candidates.columns:
        match = NEIGHBOR.fullmatch(symbol)
        if match is None:
            continue
        i = int(match[1])
        if candidates.neighbors is None:
            knn[symbol] = {"mean": None, "reason": "no neighbor search was given"}
        elif len(chosen) < i + 1:
            knn[symbol] = {"mean": None, "reason": f"needs at least {i + 1} examples"}
        else:
            distances = checked_distances(candidates.neighbors, chosen, i, symbol)
            knn[symbol] = {"mean": mean(distances), "reason": None}
            columns[symbol] = (distances, np.ones(len(chosen), dtype=bool))
    if rule is None or prediction is None or not len(chosen) or any(entry["reason"] for entry in knn.values()):
        return score, None, knn
    anew = rule.combine(columns, bounds=prediction.bounds)
    return score, mean(anew.values) if not anew.overflows else None, knn


__all__ = ["INSIDE", "OVER_THE_POOL", "manifest", "summarize", "takes_everything"]
