"""Fitting a rule: statsmodels' numbers, what is planted is found, and what cannot be fitted is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import variance_inflation_factor

from instructsel.errors import MissingExtra, Negative, ObservationsError, UsageError
from instructsel.rules import fit as module
from instructsel.rules._resampled import Weightings
from instructsel.rules.fit import Fitted, fit, inflation

Columns = dict[str, Any]
TRUTH = {"rew": -0.1498, "len": 8.257e-5, "knn_6": -0.9350}
NAMES = ("rew", "len", "knn_6", "mtld", "ppl")


def observed(n: int = 60, *, noise: float = 0.02, seed: int = 0) -> Columns:
    """Eq. 4 planted in drawn indicator means; mtld and ppl have no weight, and rew and knn_6 correlate."""
    source = np.random.default_rng(seed)
    columns: Columns = {
        "rew": source.normal(1, 0.5, n),
        "len": source.normal(300, 80, n),
        "mtld": source.normal(70, 9, n),
        "ppl": source.normal(12, 3, n),
    }
    columns["knn_6"] = 0.9 + 0.02 * (columns["rew"] - 1) + source.normal(0, 0.05, n)
    columns["log_loss"] = 1.0694 + sum(weight * columns[name] for name, weight in TRUTH.items()) + source.normal(0, noise, n)
    return columns


def reference(columns: Columns, names: tuple[str, ...], **settings: Any) -> Any:
    design = sm.add_constant(np.column_stack([columns[name] for name in names]), has_constant="raise")
    return sm.OLS(columns["log_loss"], design).fit(**settings)


def codes(found: Fitted) -> set[str]:
    return {caution.code for caution in found.summary.warnings}


def agrees(found: Fitted, expected: Any, names: tuple[str, ...], columns: Columns) -> None:
    summary = found.summary
    assert found.indicators == names
    for got, wanted in (
        ([each.weight for each in summary.estimates], expected.params),
        ([each.se for each in summary.estimates], expected.bse),
        ([each.t for each in summary.estimates], expected.tvalues),
        ([each.p for each in summary.estimates], expected.pvalues),
        ([(each.low, each.high) for each in summary.estimates], expected.conf_int()),
        (summary.r2, expected.rsquared),
        (summary.adjusted_r2, expected.rsquared_adj),
        (summary.residual_sd, np.sqrt(expected.mse_resid)),
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-12)
    design = sm.add_constant(np.column_stack([columns[name] for name in names]))
    factors = [variance_inflation_factor(design, at + 1) for at in range(len(names))]
    np.testing.assert_allclose([each.vif for each in summary.terms], factors, rtol=1e-8)


def test_a_fit_has_the_numbers_of_statsmodels() -> None:
    columns = observed()
    agrees(fit(columns, indicators=NAMES, bootstrap=0), reference(columns, NAMES), NAMES, columns)


def test_with_several_seeds_of_a_subset_errors_are_clustered_by_subset_and_it_is_said() -> None:
    columns = observed()
    columns["subset"] = [f"m{row // 3}" for row in range(60)]
    groups = np.arange(60) // 3
    clustered = reference(columns, NAMES, cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    found = fit(columns, indicators=NAMES, bootstrap=0)
    agrees(found, clustered, NAMES, columns)
    assert (found.summary.covariance, found.summary.df, found.summary.subsets) == ("clustered by subset", 19, 20)
    assert {"repeated_subsets", "few_subsets"} <= codes(found)
    # Switched off, it is said that it should not be.
    plain = fit(columns, indicators=NAMES, bootstrap=0, cluster="none")
    agrees(plain, reference(columns, NAMES), NAMES, columns)
    assert plain.summary.covariance == "ordinary"
    assert any("every row for independent" in caution.text for caution in plain.summary.warnings)
    # Without repeats there is nothing to cluster, unless it is asked for.
    columns["subset"] = [f"m{row}" for row in range(60)]
    assert fit(columns, indicators=NAMES, bootstrap=0).summary.covariance == "ordinary"
    assert fit(columns, indicators=NAMES, bootstrap=0, cluster="subset").summary.covariance == "clustered by subset"


def left_out(columns: Columns, names: tuple[str, ...], groups: list[Any]) -> float:
    """R² on what was left out, by fitting again."""
    x, y = np.column_stack([columns[name] for name in names]), columns["log_loss"]
    total = 0.0
    for group in sorted(set(groups)):
        inside = np.array([each == group for each in groups])
        refitted = sm.OLS(y[~inside], sm.add_constant(x[~inside], has_constant="add")).fit()
        total += float(((y[inside] - sm.add_constant(x[inside], has_constant="add") @ refitted.params) ** 2).sum())
    return 1 - total / float(((y - y.mean()) ** 2).sum())


def test_what_is_left_out_is_predicted_as_by_fitting_again() -> None:
    columns = observed(40)
    rows = np.random.default_rng(1)
    sources, subsets = [f"s{at}" for at in rows.integers(4, size=40)], [f"m{row // 2}" for row in range(40)]
    found = fit({**columns, "source": sources, "subset": subsets}, indicators=NAMES, bootstrap=0).summary
    assert found.loo_r2 == pytest.approx(left_out(columns, NAMES, list(range(40))), abs=1e-10)
    assert found.loso_r2 == pytest.approx(left_out(columns, NAMES, sources), abs=1e-10)
    assert found.subset_r2 == pytest.approx(left_out(columns, NAMES, subsets), abs=1e-10)


@pytest.mark.parametrize("method", ["backward", "best-subset"])
def test_the_choice_is_repeated_without_the_row_that_is_predicted(method: str) -> None:
    columns = observed(30, noise=0.08, seed=11)
    found = fit(columns, indicators=NAMES, method=method, bootstrap=0).summary
    y = columns["log_loss"]
    total, choices = 0.0, set()
    for row in range(30):
        rest = {name: np.delete(values, row) for name, values in columns.items()}
        inner = fit(rest, indicators=NAMES, method=method, bootstrap=0)
        choices.add(inner.indicators)
        predicted = inner.summary.intercept.weight + sum(each.weight * columns[each.indicator][row] for each in inner.summary.terms)
        total += (y[row] - predicted) ** 2
    assert len(choices) > 1
    assert found.procedure_r2 == pytest.approx(1 - total / ((y - y.mean()) ** 2).sum(), abs=1e-10)


def test_the_largest_share_says_which_source_a_row_is_of() -> None:
    columns = observed(40)
    shares = np.random.default_rng(2).dirichlet([1, 1, 1], 40)
    named = {f"share_{name}": shares[:, at] for at, name in enumerate("abc")}
    sources = ["abc"[at] for at in shares.argmax(axis=1)]
    assert fit({**columns, **named}, indicators=NAMES, bootstrap=0).summary.loso_r2 == pytest.approx(
        left_out(columns, NAMES, sources), abs=1e-10
    )


def test_what_cannot_be_left_out_is_null_with_a_reason() -> None:
    columns = observed(12)
    names = ("rew", "len")
    assert (
        fit(columns, indicators=names, bootstrap=0).summary.loso_reason
        == "the observations have neither a column source nor share_ columns"
    )
    one = fit({**columns, "source": ["a"] * 12}, indicators=names, bootstrap=0).summary
    assert (one.loso_r2, one.loso_reason) == (None, "all rows are of a")
    # Without b only two rows are left for three numbers.
    two = fit({**columns, "source": ["a"] * 2 + ["b"] * 10}, indicators=names, bootstrap=0).summary
    assert (two.loso_r2, two.loso_reason) == (None, "without b the other rows do not determine the weights")
    lone = {**columns, "len": [0.0] * 11 + [1.0]}
    alone = fit(lone, indicators=names, bootstrap=0).summary
    assert (alone.loo_r2, alone.loo_reason) == (None, "without row 12 the others do not determine the weights")


def test_a_rule_fitted_on_noiseless_observations_recovers_its_weights() -> None:
    found = fit(observed(noise=0.0), indicators=tuple(TRUTH), bootstrap=0)
    assert found.summary.intercept.weight == pytest.approx(1.0694, abs=1e-10)
    for each in found.summary.terms:
        assert each.weight == pytest.approx(TRUTH[each.indicator], abs=1e-10)
    assert found.summary.r2 == pytest.approx(1, abs=1e-12)
    assert found.rule("mine").name == "mine"


def test_95_percent_intervals_hold_the_planted_weights_in_at_least_92_percent_of_500_simulations() -> None:
    held = np.zeros(3)
    for seed in range(500):
        found = fit(observed(40, seed=seed), indicators=tuple(TRUTH), bootstrap=0).summary
        held += [each.low <= TRUTH[each.indicator] <= each.high for each in found.terms]
    assert (held / 500 >= 0.92).all(), held / 500
    assert (held / 500 <= 0.98).all(), held / 500


def test_bootstrap_intervals_hold_the_planted_weights_in_most_simulations() -> None:
    held = np.zeros(3)
    for seed in range(100):
        found = fit(observed(60, seed=seed), indicators=tuple(TRUTH), bootstrap=200, seed=seed).summary
        held += [each.bootstrap_low <= TRUTH[each.indicator] <= each.bootstrap_high for each in found.terms]  # type: ignore[operator]
    # Percentile intervals of few rows are a little narrow.
    assert (held / 100 >= 0.86).all(), held / 100


@pytest.mark.parametrize("repeats", [1, 3])
def test_all_draws_at_once_are_what_fitting_each_draw_gives(repeats: int) -> None:
    columns = observed(36)
    x, y, groups = np.column_stack([columns[name] for name in NAMES]), columns["log_loss"], np.arange(36) // repeats
    units = 36 // repeats
    draws = np.random.default_rng(5).multinomial(units, np.full(units, 1 / units), size=20).astype(float)
    weighted = Weightings.of(x, y, draws, codes=groups if repeats > 1 else None)
    picked = [0, 2, 4]
    state = weighted.swept(picked)
    t, adjusted = weighted.t_values(state, picked), weighted.adjusted_r2(state, 3)
    chosen = np.zeros((20, 5), bool)
    chosen[:, picked] = True
    weights = weighted.weights(chosen)
    for number, draw in enumerate(draws):
        rows, drawn = [], []
        for copy, unit in enumerate(np.repeat(np.arange(units), draw.astype(int))):
            inside = np.flatnonzero(groups == unit)
            rows += inside.tolist()
            drawn += [copy] * len(inside)
        settings: Any = {"cov_type": "cluster", "cov_kwds": {"groups": np.array(drawn)}, "use_t": True} if repeats > 1 else {}
        expected = sm.OLS(y[rows], sm.add_constant(x[rows][:, picked])).fit(**settings)
        np.testing.assert_allclose(t[number], expected.tvalues[1:], rtol=1e-8)
        np.testing.assert_allclose(adjusted[number], expected.rsquared_adj, rtol=1e-9)
        np.testing.assert_allclose(weights[number, [0, 1, 3, 5]], expected.params, rtol=1e-8)
        assert (np.abs(t[number]) >= weighted.critical(3)[number]).tolist() == (expected.pvalues[1:] <= 0.05).tolist()


# Four points of a 2 × 2 plan, three times; a has an effect of ±1, b of ±0.2 against errors of ±0.1, c none.
PLAN: Columns = {
    "a": [-1, -1, 1, 1] * 3,
    "b": [-1, 1, -1, 1] * 3,
    "c": [-1, 1, 1, -1] * 3,
}
ERRORS = [0.1, -0.1, -0.1, 0.1, 0.0, 0.0, 0.0, 0.0, -0.1, 0.1, 0.1, -0.1]
PLANNED = {**PLAN, "log_loss": [a + 0.2 * b + e for a, b, e in zip(PLAN["a"], PLAN["b"], ERRORS, strict=True)]}


@pytest.mark.parametrize("method", ["backward", "best-subset"])
def test_on_an_orthogonal_plan_what_has_an_effect_is_chosen_and_the_weights_are_those_worked_out(method: str) -> None:
    found = fit(PLANNED, method=method, indicators=("a", "b", "c"), bootstrap=0)
    assert found.indicators == ("a", "b")
    summary = found.summary
    assert [each.weight for each in summary.estimates] == pytest.approx([0, 1, 0.2], abs=1e-12)
    # Columns are orthogonal and of squared length 12; the squared errors add up to 0.08 over 12 − 3 degrees of freedom.
    assert [each.se for each in summary.estimates] == pytest.approx([np.sqrt(0.08 / 9 / 12)] * 3, rel=1e-10)
    # 12·(1 + 0.04) explained of 12·1.04 + 0.08.
    assert summary.r2 == pytest.approx(12.48 / 12.56, rel=1e-12)
    assert [each.vif for each in summary.terms] == pytest.approx([1, 1], rel=1e-12)
    assert summary.condition_number == pytest.approx(1, rel=1e-12)
    assert [(each.indicator, each.chosen) for each in summary.candidates] == [("a", True), ("b", True), ("c", False)]
    assert "stepwise_optimistic" in codes(found)


def test_best_subset_finds_a_pair_that_backward_elimination_cannot_lose_nor_any_one_find() -> None:
    # y = a − b while a and b are nearly the same: either alone says little.
    source = np.random.default_rng(8)
    a = source.normal(0, 1, 50)
    b = a + source.normal(0, 0.1, 50)
    columns = {"a": a, "b": b, "c": source.normal(0, 1, 50), "log_loss": a - b + source.normal(0, 0.05, 50)}
    for method in ("backward", "best-subset"):
        found = fit(columns, method=method, indicators=("a", "b", "c"), bootstrap=0)
        assert found.indicators == ("a", "b")
        assert "high_vif" in codes(found)
        assert found.summary.terms[0].vif > 50  # type: ignore[operator]


def test_best_subset_has_the_highest_adjusted_r2_of_all_significant_subsets() -> None:
    columns = observed(30, noise=0.08, seed=11)
    best = max(
        (
            (fitted.rsquared_adj, names)
            for size in range(1, 6)
            for names in itertools.combinations(NAMES, size)
            for fitted in [reference(columns, names)]
            if (fitted.pvalues[1:] <= 0.05).all()
        ),
    )
    found = fit(columns, method="best-subset", indicators=NAMES, bootstrap=0)
    assert found.indicators == best[1]
    assert found.summary.adjusted_r2 == pytest.approx(best[0], rel=1e-9)


def test_backward_elimination_drops_the_largest_p_first() -> None:
    columns = observed(30, noise=0.08, seed=11)
    left = list(NAMES)
    while True:
        p = reference(columns, tuple(left)).pvalues[1:]
        if p.max() <= 0.05:
            break
        left.pop(int(p.argmax()))
    assert fit(columns, method="backward", indicators=NAMES, bootstrap=0).indicators == tuple(left)


def test_of_equal_p_values_the_last_by_name_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of products of two indicators that are alike to the last bit: 12 of each with itself, 1 with the target.
    products = np.array([[[1 / 12, 0, 0, 0.0], [0, 12, 0, 1], [0, 0, 12, 1], [0, 1, 1, 12]]])
    weighted = Weightings(products, np.array([12.0]), np.zeros(3), np.ones(3))
    t = weighted.t_values(weighted.swept([0, 1]), [0, 1])[0]
    assert t[0] == t[1]
    # Let nothing be significant with two in the fit, and everything with one.
    monkeypatch.setattr(Weightings, "critical", lambda self, size: np.full(len(self), np.inf if size > 1 else 0.0))
    for names in (["x", "y"], ["y", "x"]):
        kept = weighted.backward(names)[0][0].tolist()
        assert dict(zip(names, kept, strict=True)) == {"x": True, "y": False}


def test_the_bootstrap_says_how_often_the_procedure_chooses_each_indicator() -> None:
    columns = observed(40, noise=0.04, seed=2)
    for method in ("backward", "best-subset"):
        found = fit(columns, method=method, indicators=NAMES, bootstrap=200, seed=7).summary
        frequency = {each.indicator: each.frequency for each in found.candidates}
        draws = np.random.default_rng(7).multinomial(40, np.full(40, 1 / 40), size=200)
        counts = dict.fromkeys(NAMES, 0)
        for draw in draws[:25]:
            rows = np.repeat(np.arange(40), draw)
            for name in fit(
                {key: values[rows] for key, values in columns.items()}, method=method, indicators=NAMES, bootstrap=0
            ).indicators:
                counts[name] += 1
        x = np.column_stack([columns[name] for name in NAMES])
        weighted = Weightings.of(x, columns["log_loss"], draws[:25].astype(float))
        chosen, _ = weighted.backward(NAMES) if method == "backward" else weighted.best_subset(NAMES)
        assert chosen.sum(axis=0).tolist() == [counts[name] for name in NAMES]
        assert frequency["rew"] == 1.0
        assert 0 <= frequency["mtld"] < 0.5  # type: ignore[operator]
    assert all(each.frequency is None for each in fit(columns, method="backward", indicators=NAMES, bootstrap=0).summary.candidates)


def test_bootstrap_intervals_are_percentiles_of_refitted_draws() -> None:
    columns = observed(30)
    found = fit(columns, indicators=("rew", "len"), bootstrap=100, seed=3).summary
    weights = []
    for draw in np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=100):
        rows = np.repeat(np.arange(30), draw)
        weights.append(reference({key: values[rows] for key, values in columns.items()}, ("rew", "len")).params)
    low, high = np.percentile(weights, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([each.bootstrap_low for each in found.estimates], low, rtol=1e-8)
    np.testing.assert_allclose([each.bootstrap_high for each in found.estimates], high, rtol=1e-8)


def test_draws_that_determine_no_weights_are_counted_and_too_many_of_them_give_no_interval() -> None:
    columns = {**observed(12), "ppl": [0.0] * 11 + [1.0]}
    found = fit(columns, indicators=("rew", "ppl"), bootstrap=200)
    # A draw lacks row 12 with probability (11/12)^12 = 0.35.
    assert 40 < found.summary.failed < 100
    assert all(each.bootstrap_low is None and each.bootstrap_high is None for each in found.summary.estimates)
    assert {"failed_draws", "near_constant"} <= codes(found)


def test_draws_in_which_no_choice_can_be_made_are_counted_too() -> None:
    columns = {**observed(12), "ppl": [0.0] * 11 + [1.0]}
    columns["log_loss"] = 0.1 * columns["log_loss"] - columns["rew"]
    found = fit(columns, method="backward", indicators=("rew", "ppl"), bootstrap=200)
    assert found.indicators == ("rew",)
    assert (found.summary.failed, "failed_choices" in codes(found)) == (0, True)
    assert found.summary.procedure_reason == "with a row left out, the others do not determine the weights or leave no error"


def test_units_of_any_size_give_the_same_fit() -> None:
    columns = observed()
    plain = fit(columns, indicators=NAMES, bootstrap=100).summary
    sizes = {"len": 1e9, "knn_6": 1e-9, "rew": -1.0}
    scaled = fit({name: values * sizes.get(name, 1.0) for name, values in columns.items()}, indicators=NAMES, bootstrap=100).summary
    for one, other in zip(plain.estimates, scaled.estimates, strict=True):
        size = sizes.get(one.indicator, 1.0)
        assert (other.weight * size, other.se * abs(size)) == pytest.approx((one.weight, one.se), rel=1e-8)
        ends = sorted(end * size for end in (other.low, other.high))
        assert ends == pytest.approx([one.low, one.high], rel=1e-8)
        ends = sorted(end * size for end in (other.bootstrap_low, other.bootstrap_high))  # type: ignore[operator]
        assert ends == pytest.approx([one.bootstrap_low, one.bootstrap_high], rel=1e-6)
    assert scaled.loo_r2 == pytest.approx(plain.loo_r2, abs=1e-10)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["fixed", "backward", "best-subset"])
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_few_rows_and_exact_fits_give_numbers_or_reasons_and_no_warnings_of_others(method: str, repeats: int, noise: float) -> None:
    for units in (5, 6, 8):
        source = np.random.default_rng(units)
        columns: Columns = {name: np.repeat(source.normal(size=units), repeats) for name in "abc"}
        columns["log_loss"] = 3 * columns["a"] + noise * source.normal(size=units * repeats)
        columns["subset"] = [f"m{row // repeats}" for row in range(units * repeats)]
        found = fit(columns, method=method, indicators=("a", "b", "c"), bootstrap=100).summary
        assert found.terms[0].indicator == "a"
        assert (found.loo_r2 is None) == (found.loo_reason is not None)
        assert (found.procedure_r2 is None) == (found.procedure_reason is not None)
        assert fit(columns, method=method, indicators=("a", "b", "c"), bootstrap=100).rule("my").to_toml()


def test_the_same_observations_and_seed_give_the_same_fit_and_another_seed_other_draws() -> None:
    columns = observed(30)
    one, again, other = (fit(columns, indicators=NAMES, method="backward", bootstrap=200, seed=seed).summary for seed in (1, 1, 2))
    assert one == again
    assert one.estimates[0].bootstrap_low != other.estimates[0].bootstrap_low
    assert one.estimates[0].weight == other.estimates[0].weight


def test_the_order_of_rows_and_indicators_changes_no_estimate() -> None:
    columns = observed(30)
    turned = {name: values[::-1] for name, values in columns.items()}
    one = fit(columns, indicators=NAMES, method="best-subset", bootstrap=0).summary
    two = fit(turned, indicators=NAMES[::-1], method="best-subset", bootstrap=0).summary
    weights = {each.indicator: each.weight for each in two.estimates}
    assert weights == pytest.approx({each.indicator: each.weight for each in one.estimates}, rel=1e-9)


@pytest.mark.parametrize("cluster", [1, 4])
def test_many_candidates_and_draws_take_seconds(cluster: int) -> None:
    source = np.random.default_rng(0)
    columns: Columns = {f"x{at:02}": source.normal(size=120) for at in range(12)}
    columns["log_loss"] = columns["x00"] - columns["x01"] + source.normal(size=120)
    columns["subset"] = [f"m{row // cluster}" for row in range(120)]
    found = fit(columns, method="best-subset", indicators=[f"x{at:02}" for at in range(12)], bootstrap=100)
    assert {"x00", "x01"} <= set(found.indicators)


def test_losses_are_taken_to_their_logarithm() -> None:
    columns = observed(30)
    losses = {**{name: columns[name] for name in NAMES}, "loss": np.exp(columns["log_loss"])}
    assert fit(losses, indicators=NAMES, bootstrap=0).summary.r2 == pytest.approx(fit(columns, indicators=NAMES, bootstrap=0).summary.r2)
    both = {**losses, "log_loss": columns["log_loss"]}
    assert fit(both, indicators=NAMES, bootstrap=0).summary.r2 == fit(columns, indicators=NAMES, bootstrap=0).summary.r2
    other = {**{name: columns[name] for name in NAMES}, "loss_unseen": np.exp(columns["log_loss"])}
    assert fit(other, indicators=NAMES, target="log_loss_unseen", bootstrap=0).summary.target == "log_loss_unseen"


def test_a_frame_gives_the_same_fit_as_a_mapping_and_indicators_are_found_by_their_symbols() -> None:
    columns = {**observed(30), "seed": range(30), "batch_size": [8.0] * 30}
    framed, mapped = fit(pl.DataFrame(columns), bootstrap=0), fit(columns, bootstrap=0)
    assert framed.summary == mapped.summary
    assert set(framed.indicators) == set(NAMES)


def test_only_the_rows_of_a_design_are_fitted_where_one_is_named() -> None:
    columns = {**observed(40), "design": ["mixture"] * 30 + ["bin"] * 10}
    found = fit(columns, indicators=NAMES, design="mixture", bootstrap=0)
    first = {name: values[:30] for name, values in columns.items()}
    assert found.summary.n == 30
    assert found.summary.r2 == fit(first, indicators=NAMES, bootstrap=0).summary.r2
    with pytest.raises(UsageError, match="Did you mean 'mixture'"):
        fit(columns, indicators=NAMES, design="mixtures")
    with pytest.raises(UsageError, match="no column design"):
        fit(observed(), design="mixture")


def test_signs_are_compared_with_the_published_rules() -> None:
    columns = observed()
    found = {(each.indicator, each.rule): each for each in fit(columns, indicators=NAMES, bootstrap=0).summary.signs}
    assert set(found) == {("rew", "eq4"), ("len", "eq4"), ("knn_6", "eq4"), ("rew", "instructmining-v2")}
    assert all(each.agrees and each.certain for each in found.values())
    assert [found[name, "eq4"].published for name in ("rew", "len", "knn_6")] == [-0.1498, 8.257e-5, -0.9350]
    against = {**columns, "rew": -columns["rew"]}
    turned = {each.indicator: each.agrees for each in fit(against, indicators=NAMES, bootstrap=0).summary.signs if each.rule == "eq4"}
    assert turned == {"rew": False, "len": True, "knn_6": True}
    noisy = fit(observed(20, noise=1.0, seed=1), indicators=("len",), bootstrap=0).summary
    assert not noisy.signs[0].certain
    assert noisy.terms[0].low < 0 < noisy.terms[0].high


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda columns: columns | {"mtld": columns["rew"] * 10 + np.random.default_rng(1).normal(0, 0.1, 60)}, "high_vif"),
        (lambda columns: {name: values[:20] for name, values in columns.items()}, "few_observations"),
        (lambda columns: columns | {"len": 300 + columns["len"] * 1e-4}, "near_constant"),
        (lambda columns: columns | {"log_loss": np.random.default_rng(3).normal(size=60)}, "no_skill"),
        (lambda columns: columns, "models_unknown"),
    ],
)
def test_what_must_be_doubted_is_said(change: Callable[[Columns], Columns], code: str) -> None:
    quiet = fit(observed(), indicators=NAMES, bootstrap=0)
    assert codes(quiet) == {"models_unknown"}
    loud = fit(change(observed()), indicators=NAMES, bootstrap=0)
    assert code in codes(loud)
    (text,) = {caution.text for caution in loud.summary.warnings if caution.code == code and caution.code != "high_vif"} or {"."}
    assert text.endswith(".")


def test_collinear_candidates_are_said_even_where_one_of_them_is_chosen() -> None:
    columns = observed()
    columns["mtld"] = columns["rew"] + np.random.default_rng(1).normal(0, 0.02, 60)
    found = fit(columns, method="backward", indicators=NAMES, bootstrap=0)
    assert "high_vif_candidate" in codes(found)
    assert {each.indicator for each in found.summary.candidates if each.vif > 10} == {"rew", "mtld"}


def broken(name: str, row: int, value: Any) -> Columns:
    columns = observed(30)
    columns[name] = [*columns[name][:row], value, *columns[name][row + 1 :]]
    return columns


def losses(row: int, value: Any) -> Columns:
    columns = observed(30)
    made = np.exp(columns.pop("log_loss")).tolist()
    made[row] = value
    return {**columns, "loss": made, "subset": [f"m{at}" for at in range(30)]}


@pytest.mark.parametrize(
    ("columns", "settings", "error", "said"),
    [
        (broken("log_loss", 4, float("nan")), {}, ObservationsError, "log_loss is no finite number in row 5"),
        (broken("log_loss", 4, float("inf")), {}, ObservationsError, "in row 5"),
        (broken("log_loss", 4, None), {}, ObservationsError, "in row 5"),
        (losses(2, 0.0), {}, ObservationsError, r"loss is not above 0 in row 3 \(m2\)"),
        (losses(2, -1.0), {}, ObservationsError, "if the column holds ln L, call it log_loss"),
        (losses(2, float("nan")), {}, ObservationsError, r"row 3 \(m2\)"),
        (broken("len", 7, None), {}, ObservationsError, "len is no finite number in row 8"),
        (broken("len", 7, "long"), {}, ObservationsError, "len is no finite number in row 8"),
        ({**observed(30), "loss": [1.0] * 30}, {}, ObservationsError, "log_loss is not the natural logarithm of loss"),
        ({**observed(30), "len": [300.0] * 30}, {}, ObservationsError, r"len is the same in all 30 observations \(300\)"),
        ({**observed(30), "log_loss": [0.1] * 30}, {}, ObservationsError, "the loss is the same"),
        ({name: values[:6] for name, values in observed().items()}, {}, ObservationsError, "need at least 7 observations; there are 6"),
        ({**observed(30), "subset": ["a", "b", "c"] * 10}, {}, ObservationsError, "need at least 7 different subsets"),
        ({name: [] for name in observed()}, {}, ObservationsError, "There are no observations"),
        ({**observed(30), "len": [1.0]}, {}, ObservationsError, "one length"),
        (
            {name: values for name, values in observed(30).items() if name != "log_loss"},
            {},
            ObservationsError,
            "neither a column loss nor log_loss",
        ),
        (observed(30), {"method": "forward"}, UsageError, "no method 'forward'"),
        (observed(30), {"cluster": "sources"}, UsageError, "no clustering 'sources'"),
        (observed(30), {"cluster": "subset"}, UsageError, "no column subset"),
        (observed(30), {"bootstrap": 50}, UsageError, "at least 100, or 0"),
        (observed(30), {"target": "loss"}, UsageError, "logarithm of a loss"),
        (observed(30), {"indicators": ["rew", "reww"]}, UsageError, "no column of the observations 'reww'"),
        (observed(30), {"indicators": ["rew", "rew"]}, UsageError, "twice"),
        (observed(30), {"indicators": ["log_loss"]}, UsageError, "indicator of itself"),
        (observed(30), {"indicators": ["intercept"]}, UsageError, "intercept is always"),
        (observed(30), {"indicators": []}, UsageError, "No indicators"),
        ({"seed": [1, 2], "log_loss": [0, 1]}, {"indicators": None}, UsageError, "No column has the name of an indicator"),
        (
            {**observed(30), "subset": [None] * 30},
            {},
            ObservationsError,
            "subset is empty in row 1, row 2, row 3, row 4, row 5 and 25 more",
        ),
        ([1, 2], {}, UsageError, "not list"),
    ],
)
def test_what_cannot_be_fitted_is_refused_and_named(columns: Any, settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit(columns, **{"indicators": NAMES, "bootstrap": 0, **settings})


def test_dependent_indicators_are_refused_by_the_rank_of_the_design_and_named() -> None:
    columns = observed(30)
    columns["mtld"] = 2 * columns["rew"] - columns["len"] / 100 + 5
    with pytest.raises(ObservationsError, match=r"rew, len, mtld have a weighted sum that is constant.*rank 4 of 5"):
        fit(columns, indicators=NAMES, bootstrap=0)
    # Nearly dependent is no refusal but a warning.
    columns["mtld"] = columns["mtld"] + np.random.default_rng(1).normal(0, 0.01, 30)
    assert "high_vif" in codes(fit(columns, indicators=NAMES, bootstrap=0))


def test_best_subset_of_more_than_twelve_is_refused() -> None:
    source = np.random.default_rng(0)
    columns: Columns = {f"x{at}": source.normal(size=40) for at in range(13)} | {"log_loss": source.normal(size=40)}
    with pytest.raises(UsageError, match="at most 12 indicators; 13 are given"):
        fit(columns, method="best-subset", indicators=[f"x{at}" for at in range(13)], bootstrap=0)


@pytest.mark.parametrize("method", ["backward", "best-subset"])
def test_a_rule_of_a_constant_alone_is_refused(method: str) -> None:
    source = np.random.default_rng(4)
    columns = {"a": source.normal(size=30), "b": source.normal(size=30), "log_loss": source.normal(size=30)}
    with pytest.raises(Negative, match="a rule of a constant ranks nothing") as refused:
        fit(columns, method=method, indicators=("a", "b"), bootstrap=0)
    assert refused.value.exit_code == 1
    assert fit(columns, indicators=("a", "b"), bootstrap=0).indicators == ("a", "b")


def test_without_statsmodels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "statsmodels.regression.linear_model", None)
    with pytest.raises(MissingExtra, match=r"instructsel\[fit\]"):
        fit(observed(30), bootstrap=0)


def test_variance_inflation_is_that_of_statsmodels_even_near_dependence() -> None:
    source = np.random.default_rng(0)
    x = source.normal(size=(40, 3))
    x[:, 2] = x[:, 0] + 1e-3 * source.normal(size=40)
    design = sm.add_constant(x)
    np.testing.assert_allclose(inflation(x), [variance_inflation_factor(design, at) for at in (1, 2, 3)], rtol=1e-6)


def test_units_come_from_the_fingerprint_or_the_indicators_class() -> None:
    assert module.unit("len") == "tokens"
    assert module.unit("len", {"unit": "words"}) == "words"
    assert module.unit("my_own") == ""
