"""Selections, scores and verdicts made by hand, and pages read back into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl

from instructsel.scores.table import ScoreTable
from instructsel.selection.selection import Selection

RULE: dict[str, Any] = {
    "name": "mine",
    "title": "Mine",
    "intercept": 1.0,
    "equation": "ln L = 1 − 0.5 len + 2 rew",
    "citation": "A. Author 2024",
    "note": "By hand.",
    "target": "expected ln L",
    "terms": [{"indicator": "len", "weight": -0.5, "unit": "tokens"}, {"indicator": "rew", "weight": 2.0, "unit": "reward"}],
}


def selection(
    length: Sequence[float],
    reward: Sequence[float],
    kept: Sequence[int],
    *,
    ids: Sequence[str] | None = None,
    source: Sequence[str] | None = None,
    reasons: Mapping[int, str] | None = None,
    name: str = "mine",
    baseline: str | None = None,
    rule: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> Selection:
    """Rows ranked by value = 1 − len / 2 + 2 rew; a row with the reason unscored or exact_duplicate is not ranked."""
    n = len(length)
    rule = rule or RULE
    one, other = -0.5 * np.array(length, float), 2.0 * np.array(reward, float)
    value = 1 + one + other
    why = [None if at in kept else (reasons or {}).get(at, "below_budget") for at in range(n)]
    out = [
        at
        for at, reason in enumerate(why)
        if reason is not None and reason.partition(":")[0] in ("unscored", "exact_duplicate", "below_minimum")
    ]
    rank: list[int | None] = [None] * n
    for place, at in enumerate([at for at in np.argsort(value, kind="stable").tolist() if at not in out], start=1):
        rank[at] = place

    def column(values: Any) -> list[float | None]:
        return [None if at in out else float(each) for at, each in enumerate(values)]

    terms = [term["indicator"] for term in rule["terms"]]
    frame = pl.DataFrame(
        {
            "id": list(ids or [f"{at:032x}" for at in range(n)]),
            "source": list(source or ["pool"] * n),
            "rank": pl.Series(rank, dtype=pl.Int64),
            "score": column(value),
            f"{terms[0]}_contribution": column(one),
            f"{terms[1]}_contribution": column(other),
            "kept": [at in kept for at in range(n)],
            "reason": pl.Series(why, dtype=pl.String),
            "duplicate_of": pl.Series([None] * n, dtype=pl.String),
        }
    )
    told = {"name": name, "read": n, "kept": len(kept), "shortfall": 0, "unused_tokens": None, **(summary or {})}
    manifest = {
        "kind": "selection",
        "schema": 1,
        "instructsel": "0.1.0",
        "name": name,
        "baseline": baseline,
        "score": "expected ln L",
        "rule": dict(rule),
        "form": rule["title"],
        "pool": {"fingerprint": "f" * 32, "examples": n},
        "settings": {"budget": {"examples": len(kept)}, "quotas": {}},
        "summary": told,
    }
    return Selection(name, frame, told, manifest)


def scores(of: Selection, columns: Mapping[str, Any], **manifest: Any) -> ScoreTable:
    """A table with a reason wherever there is no value."""
    described = {symbol: {"name": symbol, "version": 1, "unit": "tokens", "truncated": 0} for symbol in columns}
    told = {symbol: (list(values), ["empty_response" if each is None else None for each in values]) for symbol, values in columns.items()}
    return ScoreTable.from_columns(of.frame["id"].to_list(), told, {"indicators": described, **manifest})


def verdict(baseline: str = "random", outcome: str = "better", grader: str = "loss", **interval: Any) -> dict[str, Any]:
    """A verdict as plain data."""
    found = {
        "estimate": -0.25,
        "low": -0.5,
        "high": -0.125,
        "confidence": 0.95,
        "detectable": 0.2,
        "n_items": 100,
        "n_replicates": [1, 3],
        "n_seeds": [3, 3],
    }
    return {
        "selection": "mine",
        "baseline": baseline,
        "grader": grader,
        "outcome": outcome,
        "interval": {**found, "generalize_to": "both", "method": "mixed", **interval},
        "scale": {"unit": "nats", "higher_is_better": False},
        "p_adjusted": 0.01,
        "missing": 0,
        "reason": None,
    }


def verification(*verdicts: Mapping[str, Any], outcome: str = "better") -> dict[str, Any]:
    """A verification as plain data."""
    return {"kind": "verification", "arms": {}, "graders": {}, "verdicts": {"outcome": outcome, "verdicts": list(verdicts)}}


def size_curve() -> dict[str, Any]:
    """A size search as plain data."""

    def estimate(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.25, "high": mean + 0.25}

    sizes = [
        {"size": size, "rows": size, "search": estimate(mean), "report": estimate(mean + 1)}
        for size, mean in ((8, 2.0), (16, 1.5), (32, 1.75))
    ]
    tunes = [
        {"size": each["size"], "rows": each["size"], "seed": 0, "search_loss": each["search"]["mean"], "report_loss": 2.0} for each in sizes
    ]
    told = {
        "search": "search loss",
        "report": "report loss",
        "unit": "nats",
        "method": "grid",
        "seeds": [0, 1, 2],
        "near": [16, 32],
        "chosen": 16,
    }
    return {
        "kind": "size-search",
        **told,
        "sizes": sizes,
        "fine_tunes": tunes,
        "noise": 0.1,
        "margin": 0.3,
        "smallest_near": 16,
        "verdict": "Take 16.",
    }


SKILLS: dict[str, Any] = {
    "kind": "skills",
    "base": "base",
    "skills": ["reasoning", "coding"],
    "rows": {
        "base": {"reasoning": {"value": 0.25}, "coding": {"value": 0.5}},
        "mine": {"reasoning": {"value": 0.375, "regressed": False}, "coding": {"value": 0.4375, "regressed": True}},
    },
}
BIAS: dict[str, Any] = {
    "kind": "length-bias",
    "r": 0.75,
    "low": 0.25,
    "high": 0.9375,
    "r_log": 0.8,
    "rank": 0.7,
    "n": 8,
    "confidence": 0.95,
    "reason": None,
}


def everything() -> list[Any]:
    """Results for every section of a report."""
    random = np.random.default_rng(0)
    n = 60
    length, reward = random.integers(1, 100, n).tolist(), (random.random(n) * 4).round(3).tolist()
    source = ["first" if at % 3 else "second" for at in range(n)]
    reasons = {0: "unscored:rew:empty_response", 1: "exact_duplicate", 2: "near_duplicate", 3: "quota"}
    fit = {
        "method": "fixed",
        "target": "log_loss",
        "n": 20,
        "estimates": [{"indicator": "len", "weight": -0.5, "se": 0.1, "low": -0.7, "high": -0.3, "p": 0.00001, "vif": 1.25}],
        "r2": 0.5,
        "loo_r2": None,
        "loo_reason": "too few",
        "warnings": [{"code": "few", "text": "Few observations."}],
    }
    summary = {
        "variance_shares": {"len": 0.75, "rew": 0.25},
        "variance_shares_kept": {"len": 1.25, "rew": -0.25},
        "means": {"len": {"ranked": 50.0, "kept": 75.0}, "rew": {"ranked": 2.0, "kept": 1.0}},
        "extrapolation": {"len": {"fitted": [10.0, 60.0], "ranked": 0.5, "kept": 0.875, "mean_of_kept_is_outside": True}},
        "rule_score": {"mean of the per-row values over the pool": -3.5},
    }
    chosen = selection(length, reward, range(20, 40), source=source, reasons=reasons, rule={**RULE, "fit": fit}, summary=summary)
    other = selection(length, reward, range(30, 50), source=source, name="random-seed0", baseline="random", summary={"seed": 0})
    account = {"read": 64, "kept": 60, "examples": 60, "dropped": {"no_response": 1}, "quarantined": {"invalid_json": 3}}
    table = scores(chosen, {"len": length, "rew": [None, *reward[1:]]}, pool={"account": account, "fingerprint": "f" * 32})
    means = [
        {"arm": "mine", "replicate": 0, "seed": 1, "items": 100, "mean": 1.5},
        {"arm": "random", "replicate": 0, "seed": 1, "items": 99, "mean": 1.75},
    ]
    graded = {
        **verification(verdict(), verdict("longest", "no detectable difference", estimate=0.01, low=-0.1, high=0.12)),
        "arms": {"mine": {"0": [1]}, "random": {"0": [1]}},
        "graders": {"loss": {"means": means, "reasons": {"too_long": 1}}},
    }
    return [chosen, other, table, graded, SKILLS, BIAS, size_curve()]


class Page(HTMLParser):
    """A page's tables as (text, number in full or None) for each cell, and everything that could act."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.ids: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.texts: list[str] = []
        self.data = self.style = ""
        self.policy: str | None = None
        self._table: list[list[tuple[str, str | None]]] | None = None
        self._cell: list[str] | None = None
        self._exact: str | None = None
        self._body = False
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name in given}
        self._open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "meta" and given.get("http-equiv"):
            self.policy = given["content"]
        if tag == "table":
            self._table = self.tables.setdefault(str(given["id"]).removesuffix("-table"), [])
        if tag == "tbody":
            self._body = True
        if tag == "tr" and self._body and self._table is not None:
            self._table.append([])
        if tag in ("td", "th") and self._body:
            self._cell, self._exact = [], None
        if tag == "data":
            self._exact = given["value"]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "tbody":
            self._body = False
        if tag in ("td", "th") and self._cell is not None and self._table is not None:
            self._table[-1].append(("".join(self._cell), self._exact))
            self._cell = None

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            self.data += data
            return
        if inside == "style":
            self.style += data
            return
        self.texts.append(data)
        if self._cell is not None:
            self._cell.append(data)
        for tag in self._open:
            if tag in ("h1", "h2", "h3", "h4"):
                self.headings.append((int(tag[1]), data))
