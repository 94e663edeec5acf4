"""Sections: every count adds up, every figure is the one worked out by hand, and what is not known is said."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from instructsel.artifact import fingerprint, write_manifest
from instructsel.errors import ScoresError, UsageError
from instructsel.pool.pool import Pool
from instructsel.reports import sections
from instructsel.reports.inputs import ReportInputs, gather
from instructsel.reports.measures import binned, edges_of
from instructsel.reports.parts import Chart
from instructsel.reports.reading import read_artifact as read
from instructsel.reports.render import report
from instructsel.rules.observations import Observations
from instructsel.selection.selection import Selection
from instructsel.stats.correlation import pearson, ranks, total_of
from instructsel.study.size_curve import SizeCurve, SizeRow
from instructsel.study.study import Failure, Study
from instructsel.text import masked, masked_excerpt, neutral
from instructsel.verification.verdict import ComparisonSettings
from tests.reports.pages import BIAS, SKILLS, everything, scores, selection, size_curve, verdict, verification
from tests.verification.simulated import Truth, arms
from tests.verification.simulated import verification as graded


def table(name: str, *results: Any, **settings: Any) -> list[dict[str, Any]]:
    """The rows of one table of a report."""
    (found,) = [part for part in parts(*results, **settings) if part["name"] == name]
    return list(found["rows"])


def parts(*results: Any, **settings: Any) -> list[dict[str, Any]]:
    return [part for section in report(*results, **settings).as_dict()["sections"] for part in section["parts"]]


def text(name: str, *results: Any) -> str:
    return " ".join(" ".join(section.text) for section in report(*results).sections if section.name == name)


def facts(name: str, *results: Any, **settings: Any) -> dict[str, Any]:
    return {row["fact"]: row["value"] for row in table(name, *results, **settings)}


def test_the_numbers_of_the_funnel_add_up_from_the_rows_read_to_the_rows_kept() -> None:
    reasons = {
        4: "unscored:rew:empty_response",
        5: "below_minimum:len",
        6: "exact_duplicate",
        7: "near_duplicate",
        8: "quota",
        9: "over_budget",
    }
    chosen = selection(range(12), [1.0] * 12, [0, 1, 2], reasons=reasons)
    account = {"read": 18, "kept": 13, "examples": 12, "dropped": {"no_response": 1}, "quarantined": {"invalid_json": 3, "too_deep": 1}}
    scored = scores(chosen, {"len": range(12)}, pool={"account": account})
    rows = table("funnel", chosen, scored)
    assert [(row["stage"], row["rows"], row["left_out"]) for row in rows] == [
        ("read", 18, None),
        ("well-formed", 14, 4),
        ("training examples among them", 13, 1),
        ("examples", 12, None),
        ("usable", 10, 2),
        ("deduplicated", 9, 1),
        ("ranked", 9, 0),
        ("without near-duplicates", 8, 1),
        ("selected", 3, 5),
    ]
    for before, after in itertools.pairwise(rows):
        assert after["left_out"] is None or after["rows"] == before["rows"] - after["left_out"]
    left = table("reasons", chosen, scored)
    assert sum(row["rows"] for row in left) == sum(row["left_out"] or 0 for row in rows)
    assert {"reason": "below_budget", "stage": "selected", "rows": 3} in left
    assert "13 rows are 12 examples" in text("funnel", chosen, scored)


def test_reasons_beyond_the_limit_are_counted_together() -> None:
    chosen = selection(range(100), [1.0] * 100, [0], reasons={at: f"unscored:rew:reason{at:03}" for at in range(1, 100)})
    left = table("reasons", chosen)
    assert len(left) == 60 and left[-1]["reason"] == "40 other reasons"
    assert sum(row["rows"] for row in left) == 99


def test_a_sidecar_that_contradicts_itself_is_told() -> None:
    chosen = selection(range(4), [1.0] * 4, [0])
    wrong = replace(chosen, frame=chosen.frame.with_columns(kept=pl.Series([True, True, False, False])))
    assert "contradicts itself: 2 rows are marked as kept" in text("funnel", wrong)
    assert "contradicts" not in text("funnel", chosen)


def test_bins_lie_between_the_outer_quantiles_and_the_rest_is_counted_beside_them() -> None:
    values = np.arange(1000.0)
    edges = edges_of(values)
    # The quantiles of 0 … 999: 0.005 · 999 and 0.995 · 999.
    assert (edges[0], edges[-1], len(edges)) == (pytest.approx(4.995), pytest.approx(994.005), 41)
    found = binned(values, edges)
    assert (found.below, found.above, found.n) == (5, 5, 1000)
    assert found.counts.sum() == 990 and found.counts.min() >= 24


@pytest.mark.parametrize("values", [[3.0] * 5, [0.0] * 3, [7.0], [1.0] * 1000 + [2.0]])
def test_values_that_hardly_vary_all_lie_in_the_bins(values: list[float]) -> None:
    array = np.array(values)
    edges = edges_of(array)
    assert (np.diff(edges) > 0).all()
    assert binned(array, edges).counts.sum() == len(values)


def test_binning_ten_million_rows_takes_the_memory_of_a_block() -> None:
    values = np.arange(10_000_000, dtype=np.float64)
    edges = np.linspace(50_000, 9_950_000, 41)
    tracemalloc.start()
    found = binned(values, edges)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.counts.sum(), found.below, found.above) == (9_900_001, 50_000, 49_999)
    assert peak < 8_000_000


def test_distributions_compare_pool_selection_and_all_random_draws_on_the_same_bins() -> None:
    length = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    chosen = selection(length, [0.0] * 10, [7, 8, 9])
    draws = [
        selection(length, [0.0] * 10, kept, name=f"random-seed{seed}", baseline="random")
        for seed, kept in enumerate(([0, 1, 2], [3, 4, 5]))
    ]
    scored = scores(chosen, {"len": length})
    (row,) = [row for row in table("distributions", chosen, *draws, scored) if row["indicator"] == "len"]
    assert (row["n"], row["mean_pool"], row["mean_selected"], row["median_selected"]) == (10, 5.5, 9.0, 9.0)
    # Means 2 and 5, medians the same; below 9 lie 8 of 10 and 9 itself counts half, below 2 one, below 5 four.
    assert (row["mean_random"], row["median_random"]) == (3.5, 3.5)
    assert (row["quantile_selected"], row["quantile_random"]) == (0.85, pytest.approx((0.15 + 0.45) / 2))
    (chart,) = [part for part in parts(chosen, *draws, scored) if part["name"] == "distribution-2"]
    assert [(each["name"], each["n"], sum(each["counts"]) + each["below"] + each["above"]) for each in chart["data"]["kinds"]] == [
        ("pool", 10, 10),
        ("selected", 3, 3),
        ("random (2)", 6, 6),
    ]
    # The rule's value over random rows is the rule's, not the random number they were ranked by.
    (value,) = [row for row in table("distributions", chosen, *draws, scored) if row["indicator"] == "score"]
    assert value["mean_random"] == 1 - 3.5 / 2


def test_a_baseline_whose_name_only_begins_with_random_is_not_random() -> None:
    chosen, forest = (
        selection([1, 2, 3], [0.0] * 3, [2]),
        selection([1, 2, 3], [0.0] * 3, [0], name="random-forest", baseline="random-forest"),
    )
    scored = scores(chosen, {"len": [1.0, 2.0, 3.0]})
    assert "No random baseline was given" in text("distributions", chosen, forest, scored)
    assert all("mean_random" not in row or row["mean_random"] is None for row in table("distributions", chosen, forest, scored))
    assert "random" not in text("confounds", chosen, forest, scored).replace("random-forest", "")


def test_without_scores_and_without_a_random_baseline_the_report_says_so() -> None:
    chosen = selection([1, 2, 3], [0, 1, 2], [0])
    assert "No random baseline was given" in text("distributions", chosen)
    assert [row["indicator"] for row in table("distributions", chosen)] == ["score", "len × weight", "rew × weight"]
    assert "The score table behind the selection is not there" in text("outcome", chosen)
    assert "Not verified" in text("outcome", chosen)
    assert (
        "Not given, and therefore not in this report: a verification, a gate's verdict, an audit, an effect matrix, a size search, a study."
        in text("run", chosen)
    )


def test_a_column_that_is_null_everywhere_is_listed_without_a_chart() -> None:
    chosen = selection([1, 2, 3], [0, 1, 2], [0])
    scored = scores(chosen, {"len": [1, 2, 3], "rew": [None] * 3})
    rows = {row["indicator"]: row for row in table("distributions", chosen, scored)}
    assert rows["rew"]["n"] == 0 and rows["rew"]["mean_pool"] is None
    assert table("nulls", chosen, scored) == [{"indicator": "rew", "reason": "empty_response", "rows": 3}]


def test_contributions_are_means_over_the_ranked_and_over_the_kept_rows() -> None:
    chosen = selection([2, 4, 6, 8], [0, 1, 2, 3], [2, 3], summary={"variance_shares": {"len": 0.75, "rew": 0.25}})
    rows = table("terms", chosen)
    assert [(row["indicator"], row["weight"], row["variance_share"]) for row in rows] == [("len", -0.5, 0.75), ("rew", 2.0, 0.25)]
    # −½ · 5 over all and −½ · 7 over the kept; 2 · 1.5 and 2 · 2.5.
    assert [(row["contribution_ranked"], row["contribution_kept"], row["difference"]) for row in rows] == [
        (-2.5, -3.5, -1.0),
        (3.0, 5.0, 2.0),
    ]
    assert "not known: it was not fitted here" in text("rule", chosen)


def test_where_the_rule_was_fitted_and_what_its_fit_doubts_are_told() -> None:
    results = everything()
    (row,) = table("extrapolation", *results)
    assert (row["least"], row["greatest"], row["ranked_outside"], row["kept_outside"], row["mean_outside"]) == (
        10.0,
        60.0,
        0.5,
        0.875,
        True,
    )
    assert "The rule extrapolates: the mean len of the selected rows" in text("outcome", *results)
    assert "Few observations." in text("rule", *results)
    assert facts("rule-fit-quality", *results)["R² on the row left out"] == "too few"


def test_a_partial_correlation_is_that_of_the_residuals() -> None:
    random = np.random.default_rng(1)
    length = random.normal(10, 2, 50)
    reward = 0.3 * length + random.normal(0, 1, 50)
    chosen = selection(length.tolist(), reward.tolist(), range(10))
    scored = scores(chosen, {"len": length.tolist(), "rew": reward.tolist()})
    value = chosen.frame["score"].to_numpy()
    design = np.column_stack([np.ones(50), length])
    left = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in (reward, value)]
    (row,) = table("partial", chosen, scored)
    assert row["partial"] == pytest.approx(np.corrcoef(left[0], left[1])[0, 1])
    assert row["r"] == pytest.approx(np.corrcoef(reward, value)[0, 1])
    told = facts("length", chosen, scored)
    r = np.corrcoef(length, value)[0, 1]
    assert told["correlation of the score with len"] == pytest.approx(r)
    assert told["share of the score's variance that goes with len"] == pytest.approx(r * r)


def test_where_the_value_is_length_alone_there_is_no_partial_correlation_and_a_warning() -> None:
    chosen = selection([1, 2, 3, 4, 5], [0.0] * 5, [0])
    scored = scores(chosen, {"len": [1, 2, 3, 4, 5], "mtld": [3, 1, 4, 1, 5]})
    (row,) = table("partial", chosen, scored)
    assert row["partial"] is None and row["reason"] == "the value is len alone"
    assert "follows response length (correlation −1.00)" in text("outcome", chosen, scored)


def test_without_len_how_far_the_value_follows_it_is_not_known() -> None:
    rule = {"name": "r", "title": "R", "terms": [{"indicator": "mtld", "weight": 1.0}, {"indicator": "rew", "weight": 1.0}]}
    assert "is not known" in text("confounds", selection([1, 2, 3], [1, 2, 3], [0], rule=rule))


def test_ties_have_the_mean_of_their_ranks_and_what_does_not_vary_has_no_correlation() -> None:
    assert ranks(np.array([5.0, 1, 5, 2])).tolist() == [3.5, 1, 3.5, 2]
    assert pearson(np.array([0.1] * 4), np.arange(4.0)) is None
    assert pearson(np.array([1.0, 2]), np.array([1.0, 2])) is None
    assert total_of(np.array([1e16, 1.0, -1e16])) == 1.0


def test_sources_beyond_the_limit_are_one_row_and_the_sums_stay_whole() -> None:
    n = 180
    source = [f"s{at % 60:02}" for at in range(n)]
    chosen = selection(range(n), [0.0] * n, range(60), source=source)
    other = selection(range(n), [0.0] * n, range(60, 120), source=source, name="random-seed0", baseline="random")
    rows = table("composition", chosen, other)
    assert len(rows) == 50 and rows[-1]["source"] == "11 other sources"
    assert (sum(row["pool"] for row in rows), sum(row["kept"] for row in rows)) == (180, 60)
    for key in ("pool_share", "kept_share", "random_share"):
        assert sum(row[key] for row in rows) == pytest.approx(1)
    assert rows[0]["ratio"] == pytest.approx(1) and rows[-1]["ratio"] == pytest.approx(1)


def test_how_far_the_value_tells_sources_apart_is_the_share_of_variance_between_them() -> None:
    # Values 1 − len / 2: means 0 and −1 by source, within ±½; between 4 · ¼, within 4 · ¼.
    chosen = selection([1, 3, 3, 5], [0.0] * 4, [0], source=["a", "a", "b", "b"])
    assert facts("sources", chosen)["share of the score's variance between sources"] == pytest.approx(0.5)
    rows = {row["source"]: row["mean_value"] for row in table("composition", chosen)}
    assert rows == {"a": 0.0, "b": -1.0}


def test_the_best_and_the_worst_rows_are_those_at_the_ends_of_the_ranking() -> None:
    n = 250
    chosen = selection(range(n), [0.0] * n, range(240, 250), reasons={0: "unscored:len:empty"})
    top, bottom = table("top", chosen), table("bottom", chosen)
    assert [row["rank"] for row in top] == list(range(1, 101)) and [row["rank"] for row in bottom] == list(range(150, 250))
    assert top[0]["id"] == f"{249:032x}" and top[0]["kept"] is True and top[0]["len_contribution"] == -124.5
    assert bottom[-1]["id"] == f"{1:032x}" and bottom[-1]["reason"] == "below_budget"
    few = selection([1, 2, 3], [0.0] * 3, [0])
    assert len(table("top", few)) == 3 and not [part for part in parts(few) if part["name"] == "bottom"]


def test_results_of_different_pools_are_refused() -> None:
    chosen = selection([1, 2, 3], [0.0] * 3, [0])
    other = selection([1, 2, 3], [0.0] * 3, [0], ids=["x", "y", "z"], name="random-seed0", baseline="random")
    with pytest.raises(UsageError, match="random-seed0 was selected from another pool"):
        report(chosen, other)
    with pytest.raises(UsageError, match="scores are not of the pool"):
        report(chosen, scores(other, {"len": [1, 2, 3]}))
    with pytest.raises(UsageError, match="Two score tables"):
        report(scores(chosen, {"len": [1, 2, 3]}), scores(chosen, {"len": [1, 2, 3]}))
    with pytest.raises(UsageError, match="at least one result"):
        report()
    with pytest.raises(UsageError, match="int is nothing that can be reported"):
        report(5)


def test_the_order_of_rows_and_the_draw_of_blocks_have_no_part_in_the_report() -> None:
    results = everything()
    once = report(*results).json()
    assert report(*everything()).json() == once
    chosen = results[0]
    shuffled = replace(chosen, frame=chosen.frame.sample(fraction=1.0, shuffle=True, seed=3))
    assert report(shuffled, *results[1:]).json() == once


def test_verdicts_of_a_verification_are_made_against_every_other_arm(tmp_path: Path) -> None:
    from instructsel.stats.power import Plan

    found = graded(
        *arms(
            np.random.default_rng(0), Plan(replicates=1, seeds=3, baseline_replicates=3, baseline_seeds=1, items=60), Truth(), effect=-0.5
        )
    )
    (row,) = table("verdicts-1", found)
    expected = found.verdict("selection", "random", "loss", settings=ComparisonSettings(n_resamples=0))
    assert (row["grader"], row["baseline"], row["verdict"]) == ("loss", "random", expected.outcome)
    assert (row["difference"], row["low"], row["high"]) == (expected.interval.estimate, expected.interval.low, expected.interval.high)
    assert row["detectable"] == expected.interval.detectable
    charts = [part for part in parts(found) if part.get("kind") == "forest"]
    assert [chart["name"] for chart in charts] == ["outcome-1", "forest-1-1"]
    assert [chart["data"]["rows"][0]["estimate"] for chart in charts] == [expected.interval.estimate] * 2
    assert len(table("means-1", found)) == 6
    page = report(found).html()
    assert f"Difference −{expected.statement.split('Difference -')[1].split()[0]} " in page and "Difference -" not in page
    found.write(tmp_path / "verification.parquet")
    for name in ("verification.parquet", "verification.parquet.json"):
        assert table("verdicts-1", tmp_path / name) == table("verdicts-1", found)
    # A verification that was judged at another level is reported at that level, and its folder will do.
    strict = found.verdicts("selection", ["random"], settings=ComparisonSettings(confidence=0.99, n_resamples=0)).as_dict()
    found.write(tmp_path / "verification.parquet", run={"verdicts": strict})
    assert table("verdicts-1", tmp_path)[0]["confidence"] == pytest.approx(0.99)
    assert table("verdicts-1", tmp_path)[0]["low"] == strict["verdicts"][0]["interval"]["low"]
    assert table("verdicts-1", found, arm="random")[0]["baseline"] == "selection"
    with pytest.raises(UsageError, match="no arm 'nobody'"):
        report(found, arm="nobody")


def test_arms_that_do_not_say_which_is_the_selection_are_refused() -> None:
    from instructsel.stats.power import Plan

    sides = arms(np.random.default_rng(0), Plan(seeds=1, baseline_replicates=1, baseline_seeds=1, items=6), Truth(), effect=0.0)
    found = graded(*(replace(side, arm=name) for side, name in zip(sides, ("one", "other"), strict=True)))
    # What only begins like a baseline or like the base is the selection.
    of_rule = graded(*(replace(side, arm=name) for side, name in zip(sides, ("random-forest", "random"), strict=True)))
    assert table("verdicts-1", of_rule)[0]["baseline"] == "random"
    with pytest.raises(UsageError, match="Which of the arms one, other is the selection cannot be told"):
        report(found)


def test_every_part_of_a_verification_has_its_table() -> None:
    rate = {"kind": "win-rate", "n_total": 4, "n_null": 0, "wins": 2, "ties": 1, "losses": 1, "win_rate": 62.5, "standard_error": 20.0}
    controlled = {
        "kind": "length-controlled",
        "win_rate": 55.0,
        "raw_win_rate": 62.5,
        "length_coefficient": 0.5,
        "reason": None,
        "note": "Not the leaderboard's.",
    }
    results = [
        verification(verdict(outcome="not enough data", estimate=None, low=None, high=None, detectable=None), outcome="not enough data")
    ]
    results += [SKILLS, BIAS, rate, controlled]
    assert table("verdicts-1", *results)[0]["difference"] is None
    assert not [part for part in parts(*results) if part.get("kind") == "forest"]
    assert table("skills-2", *results) == [
        {"skill": "reasoning", "arm_1": 0.25, "arm_2": 0.375, "n_regressed": 0, "regressed": ""},
        {"skill": "coding", "arm_1": 0.5, "arm_2": 0.4375, "n_regressed": 1, "regressed": "mine"},
    ]
    assert facts("length-bias-3-1", *results)["correlation of length with the win rate"] == 0.75
    assert facts("win-rate-4", *results)["win_rate"] == 62.5
    assert facts("length-controlled-5", *results)["note"] == "Not the leaderboard's."
    assert "Outcome: not enough data for a verdict against random." in text("outcome", *results)


def test_a_size_curve_is_told_size_by_size_with_what_cannot_be_told_apart() -> None:
    rows = table("size-1", size_curve())
    assert [(row["size"], row["search"], row["search_low"], row["mark"]) for row in rows] == [
        (8, 2.0, 1.75, ""),
        (16, 1.5, 1.25, "lowest"),
        (32, 1.75, 1.5, "not distinguishable"),
    ]
    (chart,) = [part for part in parts(size_curve()) if part["part"] == "chart"]
    assert chart["data"]["curve"]["y"] == [2.0, 1.5, 1.75]
    assert report(size_curve()).title == "Size search"


def search_folder(folder: Path, losses: dict[tuple[int, int], float]) -> Path:
    """A folder as a size search leaves it."""
    folder.mkdir()
    configuration = {"grader": {"name": "search loss"}, "report": {"name": "report loss"}, "trainer": {}}
    (folder / "search.json").write_bytes(orjson.dumps({"kind": "size-search", "schema": 1, "configuration": configuration}))
    for (size, seed), loss in losses.items():
        parts = {name: {"loss": loss, "valid": 5, "unit": "nats", "grader": f"{name} loss"} for name in ("search", "report")}
        told = {"configuration": fingerprint(configuration), "size": size, "seed": seed, "rows": size, "run": {"seconds": 1.0}, **parts}
        (folder / f"size{size}-seed{seed}.json").write_bytes(orjson.dumps({**told, "digest": fingerprint(told)}))
    return folder


def test_the_folder_of_a_size_search_gives_the_curve_of_its_finished_sizes(tmp_path: Path) -> None:
    losses = {(8, 0): 2.0, (8, 1): 2.125, (16, 0): 1.5, (16, 1): 1.75, (32, 0): 1.0}
    folder = search_folder(tmp_path / "sizes", losses)
    rows = tuple(SizeRow(size, size, seed, loss, loss, 5, 5, 0.0) for (size, seed), loss in losses.items() if size < 32)
    expected = SizeCurve(rows, "search loss", "report loss", "nats", least=8, most=16).as_dict()
    found = read(folder)
    assert found["sizes"] == expected["sizes"] and found["chosen"] == 16
    assert "Not counted, because some of their seeds have not ended: 32 rows." in text("size", folder)
    assert read(folder / "search.json")["sizes"] == found["sizes"]
    damaged = folder / "size8-seed0.json"
    damaged.write_bytes(damaged.read_bytes().replace(b"2.0", b"1.0"))
    with pytest.raises(ScoresError, match="damaged"):
        read(folder)


def test_a_study_is_told_run_by_run_with_its_fit_and_its_failures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    n = 12
    length = random.normal(100, 10, n)
    loss = np.exp(0.5 - 0.001 * length + random.normal(0, 0.01, n))
    frame = pl.DataFrame(
        {"subset": [f"m{at}" for at in range(n)], "seed": [0] * n, "rows": [50] * n, "len": length, "loss": loss, "log_loss": np.log(loss)}
    )
    manifest = {"kind": "study", "planned": 14, "indicators": {"len": {"name": "response_length"}}, "configuration": "abc"}
    study = Study(frame, manifest, (Failure("m12", 0, "diverged", "in /home/someone/runs"),))
    assert facts("study-1-facts", study) == {"runs planned": 14, "runs finished": 12, "runs failed": 1}
    assert table("study-1-failed", study) == [{"subset": "m12", "seed": 0, "reason": "diverged"}]
    assert [row["loss"] for row in table("study-1", study)] == loss.tolist()
    (row,) = table("study-1-correlations", study)
    assert row["pearson"] == pytest.approx(np.corrcoef(length, np.log(loss))[0, 1])
    assert {each["indicator"] for each in table("study-1-fit", study)} == {"intercept", "len"}
    assert "12 of 14 runs have finished" in text("study", study)
    study.write(tmp_path / "study.parquet")
    for place in (tmp_path / "study.parquet", tmp_path):
        assert table("study-1", place) == table("study-1", study)


def test_a_study_too_small_for_a_fit_says_why_there_is_none() -> None:
    found = text("study", Observations.of({"len": ["1", "2"], "loss": ["1.5", "1.25"]}, {"indicators": {"len": {}}}))
    assert "No fit: " in found
    rows = table("study-1", Observations.of({"len": ["1", "2"], "loss": ["1.5", "1.25"]}, {"indicators": {"len": {}}}))
    assert [(row["row"], row["len"], row["loss"]) for row in rows] == [(1, 1, 1.5), (2, 2, 1.25)]


def written(tmp_path: Path, pools: list[str] | None = None) -> tuple[Path, Path]:
    """A selection and its scores as files."""
    chosen = selection([1, 2, 3, 4], [0.0, 1, 2, 3], [2, 3])
    table, sidecar = tmp_path / "pool.scores.parquet", tmp_path / "chosen.selection.parquet"
    scores(chosen, {"len": [1, 2, 3, 4]}).write(table, run={"pools": pools or []})
    chosen.write_sidecar(sidecar, run={"scores": str(table), "output": str(tmp_path / "chosen.jsonl")})
    return sidecar, table


def test_a_selection_leads_to_its_scores_and_every_file_is_named_with_its_digest(tmp_path: Path) -> None:
    sidecar, scored = written(tmp_path)
    given = gather([sidecar])
    assert given.table is not None and given.table.symbols == ("len",)
    assert [(row["file"], row["kind"], len(row["sha256"])) for row in table("files", sidecar)] == [
        ("chosen.selection.parquet", "selection", 64),
        ("pool.scores.parquet", "scores", 64),
    ]
    assert str(tmp_path) not in report(sidecar).json()
    # A manifest stands for the result beside it.
    assert report(f"{sidecar}.json").json() == report(sidecar).json()
    scored.unlink()
    assert gather([sidecar]).table is None


def test_what_a_file_is_does_not_depend_on_its_name_or_on_the_manifest_beside_it(tmp_path: Path) -> None:
    sidecar, scored = written(tmp_path)
    other = tmp_path / "a.parquet"
    other.write_bytes(scored.read_bytes())
    assert gather([other]).table is not None
    third = tmp_path / "b.parquet"
    third.write_bytes(sidecar.read_bytes())
    write_manifest(third, {"kind": "selection"}, run={})
    assert isinstance(read(third), Selection)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.parquet", None, "There is no file"),
        ("pool.jsonl", b"{}\n", "is no result of instructsel"),
        ("other.parquet", b"PAR1 nothing PAR1", "carries no kind"),
        ("bare.csv", b"id,len\n", "carries no kind"),
        ("broken.json", b"{", "not readable JSON"),
        ("other.json", b'{"a": 1}', "carries no kind"),
        ("list.json", b"[]", "carries no kind"),
        ("folder", b"", "no study, size search, verification or audit"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ScoresError, match=said) as raised:
        report(path)
    assert raised.value.exit_code == 3


def test_scores_that_were_made_in_another_way_than_those_of_the_selection_are_told() -> None:
    chosen = selection([1, 2, 3], [0.0] * 3, [0])
    scored = scores(chosen, {"len": [1, 2, 3]})
    chosen.manifest["indicators"] = {"len": scored.manifest["indicators"]["len"]}
    assert "not those the selection was made from" not in text("outcome", chosen, scored)
    chosen.manifest["indicators"] = {"len": {"name": "len", "version": 2}}
    assert "The scores of len are not those the selection was made from" in text("outcome", chosen, scored)


CANARIES = (
    "sk-proj-AbCdEf1234567890AbCdEf",
    "sk-ant-REDACTED",
    "ghp_0123456789abcdefABCDEF0123456789abcd",
    "github_pat_11ABCDEFG0123456789_abcdefghijkl",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "xoxb-123456789012-abcdefghij",
    "glpat-ABCDEFGHIJKLMNOPQRST",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "jane.doe@example.com",
    "4111 1111 1111 1111",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "hunter2secretvalue",
)


def test_what_looks_like_a_key_a_password_or_an_address_is_masked() -> None:
    for canary in CANARIES[:-1]:
        assert canary not in masked(f"before {canary} after"), canary
        assert masked(f"before {canary} after").startswith("before ") and masked(f"before {canary} after").endswith(" after")
    for said in ("password: {}", 'api_key="{}"', "my token is {}", "Authorization: Bearer {}1234567890", "postgres://user:{}@host/db"):
        assert "hunter2" not in masked(said.format("hunter2secretvalue")), said
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
    assert masked(f"a {key} b") == "a [masked] b" and masked(key[:40]) == "[masked]"
    plain = "A well-formed sentence of internationalisation, 1,234.5 tokens, 2024-01-01, and snake_case_names."
    assert masked(plain) == plain
    # A key that the limit cuts in two is not shown in part.
    assert "AbCdEf" not in masked_excerpt(
        "x" * 30 + " " + "-----BEGIN PRIVATE KEY-----" + "A" * 1930 + " AbCdEf1234567890AbCdEf1234567890" * 2
    )
    assert len(masked_excerpt("word " * 1000)) == 200


def pool_of(tmp_path: Path) -> Pool:
    path = tmp_path / "pool.jsonl"
    rows = [
        {"instruction": f"Question {at}, token = {canary}", "input": "", "output": f"password: {canary} <b>bold</b>"}
        for at, canary in enumerate(CANARIES)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return Pool.read(path)


def test_texts_are_shown_only_when_asked_for_and_never_with_a_secret(tmp_path: Path) -> None:
    pool = pool_of(tmp_path)
    chosen = selection(range(len(pool)), [0.0] * len(pool), [0], ids=pool.ids)
    bare, told = report(chosen), report(chosen, with_text=True, pool=pool)
    for rendered in (bare.html(), bare.markdown(), bare.json()):
        assert "Question" not in rendered and "password" not in rendered
    for rendered in (told.html(), told.markdown(), told.json()):
        assert "Question 0" in rendered and "password" in rendered
        assert not [canary for canary in CANARIES if canary in rendered]
    with pytest.raises(UsageError, match="none is given"):
        report(chosen, with_text=True)


def test_secrets_and_folders_in_names_and_settings_are_not_shown() -> None:
    chosen = selection([1, 2, 3], [0.0] * 3, [0], source=["/home/someone/data/pool.jsonl", "a", "ghp_0123456789abcdefABCDEF"])
    chosen.manifest["settings"] = {"token": "sk-proj-AbCdEf1234567890AbCdEf", "tokenizer": "/srv/models/llama"}
    found = report(chosen).json()
    assert "pool.jsonl" in found and '"llama"' in found
    for hidden in ("someone", "/srv", "sk-proj", "ghp_"):
        assert hidden not in found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("a\x1b[31mb", "a\\u001b[31mb"),
        ("a\x00b\x9bc", "a\\u0000b\\u009bc"),
        ("a\r\n\tb", "a b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("org/model@main", "org/model@main"),
        ("see /a/b/c.txt now", "see c.txt now"),
        ("C:\\Users\\someone\\x.bin", "x.bin"),
        ("~/data/x", "x"),
        ("../../x", "x"),
        ("and/or", "and/or"),
        ("a" * 200, "a" * 119 + "…"),
    ],
)
def test_a_name_is_one_safe_line(given: str, expected: str) -> None:
    assert neutral(given) == expected
    assert neutral(neutral(given)) == expected


def test_every_section_is_a_file_under_one_contract_and_stands_in_the_order_once() -> None:
    files = {path.stem for path in Path(sections.__file__).parent.glob("*.py")} - {"__init__", "columns", "limits"}
    assert files == set(sections.ORDER) and len(sections.ORDER) == len(files)
    empty = sections.Page(ReportInputs())
    for module in sections.modules():
        assert isinstance(module.NEEDS, str) and module.__doc__, module.__name__
        made = module.build(empty)
        assert made is None or made.name == module.__name__.rpartition(".")[2]
        # What is always there needs nothing; what needs something is not there without it.
        assert made is None or not module.NEEDS
    assert sections.ORDER[0] == "outcome" and sections.ORDER[-2:] == ("run", "environment")


def test_a_report_opens_with_the_outcome_and_its_picture_and_folds_digests_away_at_the_end() -> None:
    made = report(*everything())
    first, *_, run, environment = made.sections
    assert first.name == "outcome" and any(isinstance(part, Chart) for part in first.parts) and not first.folded
    assert (run.name, environment.name) == ("run", "environment") and run.folded and environment.folded
    page = made.html()
    assert page.index('id="outcome-1-figure"') < page.index("<details>") and page.count("<details>") == page.count("</details>") == 2
    digest = "f" * 32
    assert page.index("<details>") < page.index(digest), "the pool's fingerprint is not shown before"


def test_graders_of_different_units_share_a_picture_in_standard_deviations_better_to_the_right() -> None:
    loss = verdict(item_sd=0.5)
    accuracy = {
        **verdict(grader="accuracy", estimate=0.1, low=0.05, high=0.15, detectable=0.08, item_sd=0.5),
        "scale": {"higher_is_better": True},
    }
    (chart,) = [part for part in parts(verification(loss, accuracy)) if part["name"] == "outcome-1"]
    second, first = chart["data"]["rows"]
    assert (first["estimate"], first["low"], first["high"]) == (0.5, 0.25, 1.0), "a loss that falls is better"
    assert (second["estimate"], second["low"]) == (0.2, 0.1) and "right is better" in chart["data"]["x_label"]


def test_rows_without_a_known_place_are_shown_by_their_id() -> None:
    chosen = selection([1, 2, 3], [0.0] * 3, [0])
    assert "id" in table("top", chosen)[0]
    placed = replace(chosen, frame=chosen.frame.with_columns(file=pl.lit("pool.jsonl"), line=pl.Series([7, 8, 9])))
    rows = table("top", placed)
    assert {row["place"] for row in rows} == {"pool.jsonl:7", "pool.jsonl:8", "pool.jsonl:9"} and "id" not in rows[0]


def of_shares() -> Study:
    """A study without scores: two mixtures of two sources, two outcomes."""
    columns = {
        "subset": ["mix-000", "mix-001"],
        "design": ["mixture"] * 2,
        "seed": [0, 0],
        "rows": [40, 40],
        "share_forum": [0.25, 0.75],
        "share_quiz": [0.75, 0.25],
        "loss": [6.5, 6.0],
        "outcome_maths": [6.0, 5.0],
        "outcome_code": [7.0, 7.0],
        "tokens_trained": [1000, 2000],
    }
    return Study(pl.DataFrame(columns), {"planned": 3, "indicators": {}})


def test_a_study_without_scores_shows_shares_and_losses_and_names_the_command_that_fits_shares() -> None:
    sentence = text("outcome", of_shares())
    assert "mixtures of 2 sources: 2 of 3 runs have finished" in sentence and "instructsel mix fit" in sentence
    assert "No column has the name of an indicator" not in str(report(of_shares()).as_dict())
    first, second = table("study-1", of_shares())
    assert (first["subset"], first["share_forum"], first["outcome_maths"], first["outcome_code"]) == ("mix-000", 0.25, 6.0, 7.0)
    assert (second["subset"], second["share_quiz"], second["outcome_maths"], second["tokens_trained"]) == ("mix-001", 0.25, 5.0, 2000)
