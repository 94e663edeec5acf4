"""Intervals: by hand, against scipy, and against simulated studies whose variances are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from instructsel.errors import UsageError
from instructsel.stats.correlation import fisher_interval
from instructsel.stats.intervals import bootstrap, compare, holm
from instructsel.stats.power import Plan, Spread, power
from instructsel.stats.variance import ArmValues, Components, Side, Squares, components
from tests.verification.simulated import Truth, arms

# One replicate of three seeds against three replicates of three: what the commands plan.
USUAL = Plan(items=100)
DESIGNS = {
    "one replicate of three seeds against three replicates of three": USUAL,
    "one replicate of two seeds against three replicates of two": Plan(100, seeds=2, baseline_seeds=2),
    "one run against four replicates of two": Plan(100, seeds=1, baseline_replicates=4, baseline_seeds=2),
    "four replicates of one seed against four": Plan(100, replicates=4, seeds=1, baseline_replicates=4, baseline_seeds=1),
    "a fixed subset a side, of four seeds each": Plan(100, seeds=4, baseline_replicates=1, baseline_seeds=4),
}
TRUTHS = {
    "runs vary as much as items": Truth(),
    "items vary most": Truth(items=0.8, residual=0.5, seeds=0.001, replicates=0.001),
    "runs vary most": Truth(items=0.1, residual=0.2, seeds=0.02, replicates=0.02),
}


def one(name: str, rows: list[list[float]], replicates: list[int] | None = None) -> ArmValues:
    return ArmValues(name, tuple(replicates if replicates is not None else range(len(rows))), np.array(rows, dtype=np.float64))


def test_one_run_a_side_gives_the_paired_t_interval() -> None:
    selection, baseline = one("a", [[2.0, 4.0, 6.0, 8.0]]), one("b", [[1.0, 2.0, 3.0, 4.0]])
    found = compare(selection, baseline, generalize_to="items")
    # Differences 1, 2, 3, 4: mean 2.5, standard deviation 1.29099, / √4 = 0.645497; t(0.975, 3) = 3.182446.
    assert found.estimate == 2.5
    assert found.standard_error == pytest.approx(0.645497, abs=1e-6)
    assert (found.df, found.method) == (3.0, "paired t over items")
    assert (found.low, found.high) == (pytest.approx(0.445739, abs=1e-5), pytest.approx(4.554261, abs=1e-5))
    theirs = stats.ttest_rel(selection.values[0], baseline.values[0])
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-12)
    assert "these checkpoints" in found.notes[0]


def test_fixed_items_give_welchs_interval_over_runs() -> None:
    random = np.random.default_rng(0)
    selection, baseline = one("a", random.normal(1, 1, (4, 5)).tolist()), one("b", random.normal(0, 2, (6, 5)).tolist())
    found = compare(selection, baseline, generalize_to="runs")
    theirs: Any = stats.ttest_ind(selection.values.mean(axis=1), baseline.values.mean(axis=1), equal_var=False)
    # Ours are Welch's to the second order in 1 / df.
    assert (found.p, found.df) == (pytest.approx(theirs.pvalue, rel=0.01), pytest.approx(theirs.df, rel=0.1))
    assert found.standard_error == pytest.approx((found.estimate) / theirs.statistic)
    assert found.method == "t over replicates"
    # A benchmark that gives one number: runs are all there is to go by.
    single = compare(
        ArmValues("a", (0, 1, 2), selection.values[:3, :1]), ArmValues("b", (0, 1, 2), baseline.values[:3, :1]), generalize_to="runs"
    )
    again: Any = stats.ttest_ind(selection.values[:3, 0], baseline.values[:3, 0], equal_var=False)
    assert single.p == pytest.approx(again.pvalue, rel=0.1)
    assert single.item_sd is None and single.detectable is not None and single.detectable_sd is None


def test_the_mean_squares_are_those_of_the_table() -> None:
    # Row means 2 and 4: variance 2. Residuals ∓1, ±1: squares 4 over one degree of freedom.
    found = Squares.of(one("a", [[1, 3], [5, 3]]))
    assert (found.between, found.residual, found.within_df) == (2.0, 4.0, 0)
    # The same two rows as seeds of one replicate, and another replicate with one seed: replicates of mean 3 and 6.
    nested = Squares.of(one("a", [[1, 3], [5, 3], [6, 6]], [0, 0, 1]))
    assert (nested.within, nested.within_residual, nested.within_df) == (2.0, 4.0, 1)
    assert (nested.between, nested.residual) == (4.5, 0.0)


def test_the_variance_counts_the_residual_once() -> None:
    sides = (Side("a", "replicates", 3, 0.5, 20.0, 2, ("replicates", "a")), Side("b", "replicates", 4, 0.1, 20.0, 3, ("replicates", "b")))
    # Over items (20 − 20 / 3 − 20 / 4) / 100, which the runs have not counted; a: 0.5 / 3; b: 0.1 / 4.
    spread = Spread(100, 20.0, sides)
    assert spread.variance == pytest.approx(0.25 / 3 + 0.5 / 3 + 0.1 / 4)
    # Where items differ by no more than the residual of the runs, the runs have it all.
    assert Spread(100, 2.0, sides).variance == pytest.approx(0.5 / 3 + 0.1 / 4)


def test_a_draw_counts_once_however_many_seeds_it_has() -> None:
    found = compare(one("a", [[4, 4.5]] * 3, [0, 0, 0]), one("b", [[1, 1], [1, 1], [4, 4]], [0, 0, 1]))
    assert found.estimate == pytest.approx(4.25 - 2.5)
    assert (found.n_replicates, found.n_seeds) == ((1, 2), (3, 3))


def test_one_run_a_side_is_not_enough_for_new_runs() -> None:
    found = compare(one("a", [[1.0, 2.0, 4.0]]), one("b", [[1.0, 1.0, 1.5]]))
    assert found.reason is not None and "how much runs vary" in found.reason
    assert (found.low, found.p, found.detectable, found.needed()) == (None, None, None, None)
    assert found.estimate == pytest.approx(7 / 3 - 3.5 / 3)


def test_a_single_run_takes_the_variance_of_the_others_seeds() -> None:
    random = np.random.default_rng(1)
    selection, baseline = arms(random, Plan(50, seeds=1, baseline_replicates=1, baseline_seeds=4), Truth(seeds=0.5))
    found = compare(selection, baseline)
    assert found.spread is not None
    # Its own part is that variance / 1, the baseline's that / 4: one source of 3 degrees of freedom, not two.
    assert found.df is not None and 3 <= found.df < 4
    run = Squares.of(baseline)
    expected = found.spread.items / 50 + (1 + 1 / 4) * (run.within - run.within_residual / 50)
    assert found.standard_error == pytest.approx(math.sqrt(expected))
    assert any("taken from all arms" in note for note in found.notes)
    # The same where it is a third arm that has the seeds.
    third = ArmValues("third", baseline.replicates, baseline.values)
    single = ArmValues("random", (0,), baseline.values[:1])
    assert compare(selection, single).reason is not None
    assert compare(selection, single, others=[third]).p is not None


def test_without_any_seeds_the_variance_between_draws_stands_in() -> None:
    selection, baseline = arms(np.random.default_rng(2), Plan(50, seeds=1, baseline_seeds=1), Truth(replicates=0.5))
    found = compare(selection, baseline)
    assert any("stands in" in note for note in found.notes)
    run = Squares.of(baseline)
    assert found.spread is not None
    expected = found.spread.items / 50 + (1 + 1 / 3) * (run.between - run.residual / 50)
    assert found.standard_error == pytest.approx(math.sqrt(expected))


def test_two_runs_a_side_say_how_far_the_interval_can_be_trusted() -> None:
    selection, baseline = arms(np.random.default_rng(3), Plan(50, replicates=2, seeds=1, baseline_seeds=1), Truth())
    assert any("selection has 2 replicates" in note for note in compare(selection, baseline).notes)


def test_what_does_not_vary_has_no_interval() -> None:
    same = [[0.1, 0.2, 0.3]] * 3
    found = compare(one("a", same), one("b", same))
    assert found.estimate == 0.0 and found.p is None
    assert found.reason is not None and "the same in every item and run" in found.reason
    shifted = compare(one("a", same), one("b", [[1.1, 1.2, 1.3]] * 3))
    assert shifted.reason == found.reason
    assert "1 item;" in str(compare(one("a", [[1.0]] * 3), one("b", [[2.0]] * 3)).reason)


def test_a_variance_that_is_rounding_gives_no_interval_of_no_width() -> None:
    # Twelve answers right or wrong: both arms give the same ones in both runs, and a third arm's runs differ in one of them. The mean
    # square between its runs is then its residual / 12 to the last digits, and nothing is left for the runs but those digits.
    same = [[1.0] * 8 + [0.0] * 4] * 2
    third = [[1.0] * 8 + [0.0] * 4, [1.0] * 8 + [0.0] * 3 + [1.0]]
    for others in ([third], [third] * 3, [third, same, same]):
        lending = [one(f"other {at}", rows, [0, 0]) for at, rows in enumerate(others)]
        found = compare(one("a", same, [0, 0]), one("b", same, [0, 0]), others=lending)
        assert found.low is None and "the same in every item and run" in (found.reason or "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"confidence": 0.0}, "confidence is 0.0"),
        ({"generalize_to": "all"}, "no estimand 'all'"),
    ],
)
def test_a_question_that_cannot_be_is_refused(settings: dict[str, object], said: str) -> None:
    arm = one("a", [[1.0, 2.0]])
    with pytest.raises(UsageError, match=said):
        compare(arm, arm, **settings)  # type: ignore[arg-type]


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="a has 2 items, b 3"):
        compare(one("a", [[1.0, 2.0]]), one("b", [[1.0, 2.0, 3.0]]))
    with pytest.raises(UsageError, match="not finite"):
        one("a", [[math.nan, 1.0]])
    with pytest.raises(UsageError, match="for 1 runs"):
        ArmValues("a", (0,), np.zeros((2, 3)))


def covered(design: Plan, truth: Truth, rounds: int, seed: int) -> int:
    """How often the interval holds the planted effect."""
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(rounds):
        found = compare(*arms(random, design, truth, effect=0.3))
        assert found.low is not None and found.high is not None
        hits += found.low <= 0.3 <= found.high
    return hits


def test_intervals_cover_the_planted_effect_in_93_to_97_of_100_studies() -> None:
    found = {name: covered(design, Truth(), 200, 10) for name, design in DESIGNS.items()}
    assert 0.93 <= sum(found.values()) / (200 * len(found)) <= 0.97, found
    # Of 200 studies that are covered 95 times in 100, fewer than 182 or more than 198 are in 1 of 100 cases.
    assert all(182 <= each <= 198 for each in found.values()), found


@pytest.mark.soak
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_the_planted_effect_in_930_to_970_of_1000(
    design: str, truth: str, record_property: Callable[[str, object], None]
) -> None:
    found = covered(DESIGNS[design], TRUTHS[truth], 1000, 11)
    record_property("covered of 1000", found)
    assert 930 <= found <= 970


def test_an_interval_from_two_seeds_holds_where_the_selection_s_runs_vary_twice_as_much_and_says_whose_variance_it_used() -> None:
    random = np.random.default_rng(21)
    hits = 0
    for _ in range(500):
        items = random.normal(0, 1, 100)

        def arm(name: str, replicates: int, spread: float, effect: float, items: Any = items) -> ArmValues:
            runs = [random.normal(0, spread) * (replicates > 1) + random.normal(0, spread, 2) for _ in range(replicates)]
            own = items + effect + random.normal(0, 0.3, 100)
            values = np.concatenate(runs)[:, None] + own + random.normal(0, 0.5, (2 * replicates, 100))
            return ArmValues(name, tuple(np.repeat(np.arange(replicates), 2).tolist()), values)

        found = compare(arm("selection", 1, 0.14, 0.3), arm("random", 3, 0.07, 0.0))
        assert found.low is not None and found.high is not None and "own variance between runs" in found.notes[0]
        hits += found.low <= 0.3 <= found.high
    # Pooled with random's, as if all varied alike, it covered 89. Four standard errors of 95 % in 500 are 3.9 %.
    assert 0.911 <= hits / 500 <= 0.989


def test_pooled_over_arms_that_vary_alike_intervals_from_two_seeds_hold_and_are_a_fraction_as_wide() -> None:
    random = np.random.default_rng(22)
    hits, widths = 0, []
    for _ in range(400):
        items = random.normal(0, 1, 60)

        def arm(name: str, replicates: int, effect: float, items: Any = items) -> ArmValues:
            own = items + effect + random.normal(0, 0.1, 60)
            means = random.normal(0, 0.08, (max(replicates, 2), 1))
            labels = tuple(range(replicates)) if replicates > 1 else (0, 0)
            return ArmValues(name, labels, means + own + random.normal(0, 0.2, (len(means), 60)))

        baseline, selection = arm("random", 5, 0.0), arm("way 0", 1, 0.3)
        others = [arm(f"way {number}", 1, 0.1) for number in range(1, 7)]
        alone = compare(selection, baseline, others=others)
        pooled = compare(selection, baseline, others=others, pool_seeds=True)
        assert pooled.low is not None and pooled.high is not None and alone.low is not None and alone.high is not None
        assert pooled.estimate == alone.estimate and pooled.assumption is None
        hits += pooled.low <= 0.3 <= pooled.high
        widths.append((pooled.high - pooled.low) / (alone.high - alone.low))
    # Four standard errors of 95 % in 400 are 4.4 %.
    assert 0.906 <= hits / 400 <= 0.994 and np.median(widths) < 0.7
    assert pooled.pooled_seeds == tuple(f"way {number}" for number in range(7)) and "way 5 and way 6, as if all of them" in str(
        pooled.pooling
    )
    # Without other arms that have seeds there is nothing to pool.
    pooled = compare(selection, baseline, pool_seeds=True)
    assert pooled.pooled_seeds == () and "changes nothing here" in str(pooled.pooling)
    assert replace(pooled, pooled_seeds=None) == compare(selection, baseline)


def test_the_variance_is_the_one_that_was_planted() -> None:
    random = np.random.default_rng(12)
    truth = TRUTHS["runs vary most"]
    found = [compare(*arms(random, USUAL, truth)) for _ in range(400)]
    planted = 0.1 / 100 + 0.2 * (1 / 3 + 1 / 9) / 100 + 0.02 / 3 + (0.02 + 0.02 / 3) / 3
    # The mean of 400 estimates with two and two degrees of freedom strays by about 4 %.
    assert np.mean([each.standard_error**2 for each in found if each.standard_error]) == pytest.approx(planted, rel=0.15)
    assert np.var([each.estimate for each in found]) == pytest.approx(planted, rel=0.25)


def simulated_power(plan: Plan, truth: Truth, effect: float, rounds: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    found = [compare(*arms(random, plan, truth, effect=effect)) for _ in range(rounds)]
    return sum(each.low is not None and each.low > 0 for each in found) / rounds


@pytest.mark.parametrize(("effect", "rounds"), [(0.2, 500), (0.4, 500)])
def test_power_before_the_run_agrees_with_the_runs(effect: float, rounds: int) -> None:
    planned = power(USUAL, Truth().components, effect=effect)
    assert simulated_power(USUAL, Truth(), effect, rounds, 13) == pytest.approx(planned.power, abs=0.05)


@pytest.mark.soak
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("design", DESIGNS)
def test_power_before_the_run_agrees_with_2000_runs(design: str, truth: str, record_property: Callable[[str, object], None]) -> None:
    planned = power(DESIGNS[design], TRUTHS[truth].components, effect=0.3)
    found = simulated_power(DESIGNS[design], TRUTHS[truth], 0.3, 2000, 14)
    record_property("planned and found", (round(planned.power, 3), found))
    assert found == pytest.approx(planned.power, abs=0.05)


def test_the_minimal_detectable_effect_is_found_four_times_in_five() -> None:
    planned = power(USUAL, Truth().components, effect=1.0)
    assert power(USUAL, Truth().components, effect=planned.detectable).power == pytest.approx(0.8, abs=1e-6)
    assert simulated_power(USUAL, Truth(), planned.detectable, 500, 15) == pytest.approx(0.8, abs=0.05)
    assert power(USUAL, Truth().components, effect=planned.detectable, confidence=0.99).power < 0.7


def test_over_items_power_is_that_of_the_paired_t_test() -> None:
    # A standard deviation of differences of 1 and 25 items: a textbook's noncentral t.
    planned = power(
        Plan(25, seeds=1, baseline_replicates=1, baseline_seeds=1),
        Components(1.0, 0.0, None, None),
        effect=0.6,
        generalize_to="items",
    )
    critical = stats.t.ppf(0.975, 24)
    assert planned.power == pytest.approx(stats.nct.sf(critical, 24, 0.6 * 5), abs=0.002)
    assert planned.standard_error == pytest.approx(0.2)


def test_what_is_needed_is_enough_and_one_less_is_not() -> None:
    selection, baseline = arms(np.random.default_rng(16), Plan(60, seeds=4, baseline_replicates=4), Truth(seeds=0.002, replicates=0.002))
    found = compare(selection, baseline)
    assert found.spread is not None and found.item_sd is not None
    needed = found.needed(0.25)
    assert needed is not None and needed.items is not None and needed.runs is not None
    assert needed.effect == pytest.approx(0.25 * found.item_sd)
    for size, name in ((needed.items, "n_items"), (needed.runs, "runs")):
        assert found.spread.scaled(**{name: size}).power(needed.effect) >= 0.8
        assert found.spread.scaled(**{name: size - 1}).power(needed.effect) < 0.8
    # Where runs vary more than the effect, no number of items is enough.
    assert replace(found, item_sd=1e-4).needed(0.1).items is None  # type: ignore[union-attr]


def test_the_same_size_has_the_same_spread() -> None:
    found = compare(*arms(np.random.default_rng(17), Plan(60, replicates=4), Truth(seeds=0.1, replicates=0.1)))
    assert found.spread is not None
    same = found.spread.scaled(n_items=60)
    assert (same.variance, same.df) == (pytest.approx(found.spread.variance), pytest.approx(found.spread.df))
    assert same.detectable() == pytest.approx(found.detectable)


def test_components_of_a_large_pilot_are_those_planted() -> None:
    truth = Truth(items=0.4, residual=0.3, seeds=0.05, replicates=0.1)
    plan = Plan(400, replicates=12, seeds=3, baseline_replicates=12, baseline_seeds=3)
    found = components(*arms(np.random.default_rng(18), plan, truth))
    assert found.residual == pytest.approx(0.3, rel=0.05)
    assert found.items == pytest.approx(0.4, rel=0.2)
    assert found.seeds == pytest.approx(0.05, rel=0.5)
    assert found.replicates == pytest.approx(0.1, rel=0.7)
    assert found.item_sd == pytest.approx(truth.components.item_sd, rel=0.1)


def test_a_plan_that_needs_an_unknown_variance_is_refused() -> None:
    with pytest.raises(UsageError, match="between replicates"):
        power(USUAL, Components(1.0, 1.0, 0.1, None), effect=0.1)
    with pytest.raises(UsageError, match="how much runs vary"):
        power(Plan(50, seeds=1, baseline_replicates=1, baseline_seeds=1), Components(1.0, 1.0, 0.1, 0.1), effect=0.1)
    # A pilot with one seed a replicate knows replicates and seeds only together; that is enough for more of the same.
    assert power(Plan(50, replicates=3, seeds=1, baseline_seeds=1), Components(1.0, 1.0, None, 0.1), effect=0.1).power < 0.2
    with pytest.raises(UsageError, match="The variance seeds is -1"):
        Components(1.0, 1.0, -1.0, 0.1)
    with pytest.raises(UsageError, match="0 seeds"):
        Plan(50, seeds=0)


def test_the_bootstrap_is_the_same_every_time_and_near_the_t_interval_where_there_is_much() -> None:
    plan = Plan(200, replicates=12, seeds=1, baseline_replicates=12, baseline_seeds=2)
    selection, baseline = arms(np.random.default_rng(19), plan, Truth(seeds=0.05, replicates=0.05))
    low, high = bootstrap(selection, baseline, seed=1)
    assert (low, high) == bootstrap(selection, baseline, seed=1) != bootstrap(selection, baseline, seed=2)
    found = compare(selection, baseline, n_resamples=500, seed=1)
    assert found.low is not None and found.high is not None and found.bootstrap_low is not None
    assert (high - low) == pytest.approx(found.high - found.low, rel=0.2)
    # Over items only, it is the interval of the paired differences; over runs only, that of the runs.
    items = compare(selection, baseline, generalize_to="items")
    assert items.low is not None and items.high is not None
    ends = bootstrap(selection, baseline, generalize_to="items")
    assert ends == (pytest.approx(items.low, abs=0.02), pytest.approx(items.high, abs=0.02))
    fixed = bootstrap(ArmValues("a", (0,), selection.values[:1]), ArmValues("b", (0,), baseline.values[:1]), generalize_to="runs")
    assert fixed[0] == pytest.approx(fixed[1])


def test_p_values_are_adjusted_by_holms_rule() -> None:
    # Sorted 0.01, 0.02, 0.03: times 3, 2, 1 is 0.03, 0.04, 0.03, and never less than the one before.
    assert holm([0.03, None, 0.01, 0.02]) == [pytest.approx(0.04), None, pytest.approx(0.03), pytest.approx(0.04)]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([None]) == [None]


def test_the_interval_of_a_correlation_is_fishers() -> None:
    # z = atanh(0.6) = 0.693147, ± 1.959964 / √16.
    low, high = fisher_interval(0.6, 19) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(math.tanh(0.203156), abs=1e-6), pytest.approx(math.tanh(1.183138), abs=1e-6))
    assert fisher_interval(0.6, 3) is None and fisher_interval(1.0, 9) is None


def test_an_interval_that_takes_a_single_runs_variance_from_other_arms_says_so() -> None:
    random = np.random.default_rng(30)
    alone, several = arms(random, Plan(50, seeds=1, baseline_replicates=1, baseline_seeds=4), Truth())
    lent = compare(alone, several)
    assert lent.p is not None and lent.assumption is not None and lent.assumption.startswith("selection has one run")
    both = compare(alone, ArmValues("random", (0,), several.values[:1]), others=[ArmValues("longest", several.replicates, several.values)])
    assert both.assumption is not None and both.assumption.startswith("selection and random have one run")
    # Its own runs, a fixed model, and these models alone take nothing for granted.
    assert compare(*arms(random, Plan(50, seeds=2, baseline_seeds=2), Truth())).assumption is None
    assert compare(several, ArmValues("base", (0,), several.values[:1], fixed=True)).assumption is None
    assert compare(alone, several, generalize_to="items").assumption is None
    assert compare(alone, ArmValues("random", (0,), several.values[:1])).assumption is None
