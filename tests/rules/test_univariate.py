"""Each indicator alone: correlations and their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from instructsel.errors import ObservationsError, UsageError
from instructsel.rules.univariate import univariate


def observed(n: int = 40, seed: int = 0) -> dict[str, Any]:
    source = np.random.default_rng(seed)
    rew, length = source.normal(1, 0.5, n), source.normal(300, 80, n)
    return {"rew": rew, "len": length, "log_loss": -0.1 * rew + source.normal(0, 0.05, n)}


def test_correlations_are_those_of_scipy_over_all_rows_and_each_design() -> None:
    columns = {**observed(), "design": ["mixture"] * 25 + ["bin"] * 15}
    found = univariate(columns)
    assert [(each.indicator, each.design, each.n) for each in found] == [
        (name, design, n) for name in ("rew", "len") for design, n in (("all", 40), ("bin", 15), ("mixture", 25))
    ]
    for each in found:
        rows = np.array([each.design in ("all", kind) for kind in columns["design"]])
        x, y = columns[each.indicator][rows], columns["log_loss"][rows]
        pearson = stats.pearsonr(x, y)
        assert each.pearson == pytest.approx(pearson.statistic, abs=1e-12)
        assert (each.pearson_low, each.pearson_high) == pytest.approx(tuple(pearson.confidence_interval(0.95)), abs=1e-12)
        assert each.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert each.spearman_low < each.spearman < each.spearman_high  # type: ignore[operator]
        assert each.reason is None


def test_the_line_and_its_interval_are_those_of_statsmodels() -> None:
    columns = observed()
    line = univariate(columns, indicators=["rew"], bootstrap=0)[0].line
    assert line is not None
    at = np.linspace(0, 2, 7)
    expected = sm.OLS(columns["log_loss"], sm.add_constant(columns["rew"])).fit().get_prediction(sm.add_constant(at))
    frame = expected.summary_frame(alpha=0.05)
    for got, name in zip(line.at(at), ("mean", "mean_ci_lower", "mean_ci_upper"), strict=True):
        np.testing.assert_allclose(got, frame[name], rtol=1e-9, atol=1e-12)


def test_the_bootstrap_of_spearman_has_ties_averaged_and_comes_again_with_its_seed() -> None:
    columns = {"len": np.repeat(np.arange(10.0), 3), "log_loss": observed(30)["log_loss"]}
    one, again, other = (univariate(columns, seed=seed, bootstrap=200)[0] for seed in (1, 1, 2))
    assert one == again
    assert one.spearman_low != other.spearman_low
    rows = np.random.default_rng(1).integers(30, size=(200, 30))
    drawn = [stats.spearmanr(columns["len"][each], columns["log_loss"][each]).statistic for each in rows]
    assert (one.spearman_low, one.spearman_high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=1e-12)


def test_seeds_of_a_subset_are_averaged_before_they_are_counted() -> None:
    columns = observed(20)
    thrice = {name: np.repeat(values, 3) for name, values in columns.items()}
    thrice["log_loss"] = thrice["log_loss"] + np.tile([-0.01, 0, 0.01], 20)
    thrice["subset"] = [f"m{row // 3}" for row in range(60)]
    averaged, plain = univariate(thrice, bootstrap=0), univariate(columns, bootstrap=0)
    assert [each.n for each in averaged] == [20, 20]
    assert [each.pearson for each in averaged] == pytest.approx([each.pearson for each in plain], abs=1e-12)


def test_what_cannot_be_told_is_null_with_a_reason() -> None:
    flat = univariate({"len": [5.0] * 6, "loss": [1, 2, 3, 4, 5, 6]})[0]
    assert (flat.pearson, flat.spearman, flat.line, flat.reason) == (None, None, None, "len is the same in all 6 points")
    few = univariate({"len": [1.0, 2, 3], "loss": [1, 3, 2]})[0]
    assert (few.pearson_low, few.spearman_low, few.reason) == (None, None, "an interval needs 4 points; there are 3")
    exact = univariate({"len": [1.0, 2, 3, 4, 5], "log_loss": [1, 2, 3, 4, 5]}, bootstrap=0)[0]
    assert (exact.pearson, exact.pearson_low, exact.pearson_high) == (1.0, 1.0, 1.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 100"):
        univariate(observed(), bootstrap=10)
    with pytest.raises(UsageError, match="no column"):
        univariate(observed(), indicators=["lem"])
    with pytest.raises(ObservationsError, match="row 2"):
        univariate({"len": [1.0, 2, 3], "loss": [1, -1, 2]})


def test_fishers_interval_holds_the_planted_correlation_in_most_simulations() -> None:
    held = 0
    for seed in range(300):
        source = np.random.default_rng(seed)
        x = source.normal(size=30)
        y = 0.6 * x + 0.8 * source.normal(size=30)
        found = univariate({"len": x, "log_loss": y}, bootstrap=0)[0]
        held += found.pearson_low <= 0.6 <= found.pearson_high  # type: ignore[operator]
    assert 0.92 <= held / 300 <= 0.98
    assert math.isclose(univariate({"len": x, "log_loss": y}, bootstrap=0)[0].pearson or 0, np.corrcoef(x, y)[0, 1])
