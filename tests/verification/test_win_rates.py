"""Judgments: counted as the published ones are, and what length does to them."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import orjson
import pytest

from instructsel.errors import UsageError
from instructsel.pool.sources import zstd
from instructsel.verification.win_rates import length_controlled, swapped, win_rate


def test_the_published_score_of_34_wins_19_ties_and_27_losses() -> None:
    found = win_rate([2] * 34 + [1.5] * 19 + [1] * 27)
    # (34 − 27) / 80 + 1, and 34 + 19 / 2 of 80.
    assert (found.score, found.discrete_win_rate, found.win_rate) == (1.0875, 54.375, 54.375)
    assert (found.n_total, found.wins, found.ties, found.losses) == (80, 34, 19, 27)


def test_weighted_preferences_count_as_they_are_and_rounded() -> None:
    found = win_rate([1.9, 1.6, 1.2, None])
    # 0.9 + 0.6 + 0.2 = 1.7 of 3; deviations 1/3, 1/30, −11/30.
    assert (found.win_rate, found.discrete_win_rate) == (pytest.approx(100 * 1.7 / 3), pytest.approx(200 / 3))
    assert found.standard_error == pytest.approx(100 * math.sqrt((1 / 9 + 1 / 900 + 121 / 900) / 2 / 3))
    assert (found.n_total, found.n_null) == (3, 1)
    assert found.score_standard_error == pytest.approx(math.sqrt(4 / 3) / math.sqrt(3))


def test_a_single_pair_has_no_standard_error() -> None:
    found = win_rate([2])
    assert (found.win_rate, found.standard_error, found.score_standard_error) == (100.0, None, None)


def test_the_published_annotations_give_the_published_figures(shared_data: Path) -> None:
    packed = (shared_data / "eval" / "alpaca_eval_annotations.jsonl.zst").read_bytes()
    models: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for line in zstd.decompress(packed).splitlines():
        row = orjson.loads(line)
        models[row["_annotator_dir"], row["_model_dir"]].append(row["preference"])
    assert (len(models), len({annotator for annotator, _ in models})) == (23, 2)
    nulls = 0
    for preferences in models.values():
        found = win_rate(preferences)
        # 0 is how older files say tie.
        kept = np.array([1.5 if value == 0 else value for value in preferences if value is not None], dtype=float)
        assert found.win_rate == pytest.approx(100 * (kept - 1).mean(), abs=1e-9)
        assert found.standard_error == pytest.approx(100 * kept.std(ddof=1) / math.sqrt(len(kept)), abs=1e-9)
        assert (found.wins, found.losses) == ((kept > 1.5).sum(), (kept < 1.5).sum())
        assert found.n_total + found.n_null == len(preferences)
        other = win_rate(swapped(preferences))
        assert other.win_rate == pytest.approx(100 - found.win_rate, abs=1e-9)
        assert (other.wins, other.losses, other.score) == (found.losses, found.wins, pytest.approx(2 - found.score))
        nulls += found.n_null
    assert nulls == 17


def test_a_model_against_itself_gets_50() -> None:
    itself = win_rate([1.5] * 20)
    assert (itself.win_rate, itself.discrete_win_rate, itself.score) == (50.0, 50.0, 1.0)
    # And where an unsteady judge prefers one of two equal texts, both orders together.
    preferences = [1.2, 2, 1.5, 1]
    assert win_rate([*preferences, *swapped(preferences)]).win_rate == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("preferences", "said"), [([2.5], "pair 1 is 2.5"), ([1, 0.5], "pair 2 is 0.5"), ([None], "no preference"), ([], "no preference")]
)
def test_what_is_no_preference_is_refused(preferences: list[float | None], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        win_rate(preferences)


def judged(n: int, level: float, slope: float, shift: float, seed: int = 0) -> tuple[list[float], list[float]]:
    """Preferences whose log-odds are a level plus a slope of tanh(standardised length difference)."""
    random = np.random.default_rng(seed)
    differences = random.normal(shift, 100, n)
    odds = level + slope * np.tanh(differences / differences.std(ddof=1))
    return (1.0 + (random.random(n) < 1 / (1 + np.exp(-odds)))).tolist(), differences.tolist()


def test_length_control_finds_the_win_rate_at_equal_length() -> None:
    preferences, differences = judged(4000, -0.4, 2.0, 80.0)
    found = length_controlled(preferences, differences, repeats=200)
    assert found.win_rate is not None and found.standard_error is not None and found.length_coefficient is not None
    planted = 100 / (1 + math.exp(0.4))
    assert abs(found.win_rate - planted) < 3 * found.standard_error < abs(found.raw_win_rate - planted)
    assert found.length_coefficient == pytest.approx(2.0, abs=0.3)
    assert found.bootstrap_standard_error == pytest.approx(found.standard_error, rel=0.2)
    assert (found.n, found.extrapolated) == (4000, False)
    assert "not the leaderboard" in found.note
    # At the maximum both derivatives of the likelihood are 0.
    regressor = np.tanh(np.array(differences) / np.std(differences, ddof=1))
    level = math.log(found.win_rate / (100 - found.win_rate))
    left = np.array(preferences) - 1 - 1 / (1 + np.exp(-level - found.length_coefficient * regressor))
    assert abs(left.sum()) < 1e-6 and abs((left * regressor).sum()) < 1e-6


def test_a_planted_effect_of_length_is_taken_out_to_a_point_and_a_half() -> None:
    # A judge of raw 51.3 % whose length-free preference is 40.2 %.
    level, n = math.log(0.402 / 0.598), 20_000
    random = np.random.default_rng(5)
    differences = random.normal(34, 100, n)
    odds = level + 1.8 * np.tanh(differences / differences.std(ddof=1))
    preferences = 1.0 + (random.random(n) < 1 / (1 + np.exp(-odds)))
    found = length_controlled(preferences.tolist(), differences.tolist(), repeats=0)
    assert found.raw_win_rate > 48 and found.win_rate == pytest.approx(40.2, abs=1.5)


def test_length_control_mirrors_when_the_arms_are_exchanged() -> None:
    preferences, differences = judged(300, 0.3, 1.0, 20.0, seed=1)
    one = length_controlled(preferences, differences, repeats=0)
    other = length_controlled(swapped(preferences), [-value for value in differences], repeats=0)
    assert one.win_rate is not None and other.win_rate == pytest.approx(100 - one.win_rate)
    assert other.standard_error == pytest.approx(one.standard_error)


def test_length_control_without_an_effect_of_length_is_the_plain_win_rate() -> None:
    # The same preferences at either sign of the difference.
    found = length_controlled([2, 1, 1.7, 1.7, 1.5, 1.5], [-5, -5, -3, 3, 1, -1], repeats=0)
    mirrored = length_controlled([2, 1, 1.7, 2, 1, 1.7], [-5, -5, -3, 5, 5, 3], repeats=0)
    assert mirrored.win_rate == pytest.approx(mirrored.raw_win_rate)
    assert mirrored.length_coefficient == pytest.approx(0.0, abs=1e-9)
    assert found.win_rate is not None


@pytest.mark.parametrize(
    ("preferences", "differences", "said"),
    [
        ([2, 2, 1, 1], [5, 3, -2, -4], "tells wins from losses without error"),
        ([2, 2, 2, 2], [5, 3, -2, -4], "Every preference is the same"),
        ([2, 1, 1.5, 2], [7, 7, 7, 7], "All length differences are equal"),
        ([2, 1, None], [1, 2, 3], "There are 2 pairs"),
    ],
)
def test_length_control_that_cannot_be_fitted_gives_a_reason_and_no_number(
    preferences: list[float | None], differences: list[float | None], said: str
) -> None:
    found = length_controlled(preferences, differences)
    assert found.reason is not None and said in found.reason
    assert (found.win_rate, found.standard_error, found.length_coefficient) == (None, None, None)


def test_pairs_without_a_preference_or_a_length_are_counted() -> None:
    preferences, differences = judged(50, 0.0, 0.5, 0.0, seed=2)
    found = length_controlled([*preferences, None, 2], [*differences, 3, None], repeats=0)
    assert (found.n, found.n_null) == (50, 2)


def test_equal_length_beyond_all_differences_is_said_to_be_extrapolated() -> None:
    found = length_controlled([2, 1, 2, 1.5, 1.2], [100, 120, 150, 130, 180], repeats=0)
    assert found.extrapolated


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="2 preferences and 1 length"):
        length_controlled([1, 2], [1])
    with pytest.raises(UsageError, match="not finite"):
        length_controlled([1, 2, 2], [1, math.inf, 2])
    with pytest.raises(UsageError, match="No pair has both"):
        length_controlled([1, None], [None, 2])


@pytest.mark.parametrize("hard", [False, True])
def test_the_length_controlled_fit_is_statsmodels_fractional_logit(hard: bool) -> None:
    sm = pytest.importorskip("statsmodels.api")
    source = np.random.default_rng(3)
    differences = source.normal(80, 300, 200)
    x = np.tanh(differences / differences.std(ddof=1))
    share = 1 / (1 + np.exp(-(0.3 + 0.9 * x)))
    liked = (source.random(200) < share).astype(float) if hard else np.clip(share + source.normal(0, 0.3, 200), 0, 1)
    ours = length_controlled((1 + liked).tolist(), differences.tolist(), repeats=0)
    theirs = sm.GLM(liked, sm.add_constant(x), family=sm.families.Binomial()).fit(cov_type="HC0")
    at_zero = 1 / (1 + math.exp(-theirs.params[0]))
    assert ours.win_rate == pytest.approx(100 * at_zero, abs=1e-9)
    assert ours.length_coefficient == pytest.approx(theirs.params[1], abs=1e-9)
    # Ours is corrected for its two coefficients.
    assert ours.standard_error == pytest.approx(100 * at_zero * (1 - at_zero) * theirs.bse[0] * math.sqrt(200 / 198), rel=1e-9)
