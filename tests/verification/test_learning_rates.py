"""Whether a verdict depends on the learning rate: what is said of signs, of outcomes, and what is required of each rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.experiments.plan import TrainingSettings
from instructsel.protocols import Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.learning_rates import AtRate, confidence_at_each, dependence, overall
from instructsel.verification.verdict import ComparisonSettings, Verdicts
from instructsel.verification.verification import Verification

ITEMS = tuple(f"item-{n}" for n in range(60))


def at(multiple: float, effect: float, noise: float = 0.01) -> AtRate:
    """A rate at which the selection's loss is `effect` above that of the random arm."""
    random = np.random.default_rng(7)
    difficulty = random.normal(2.0, 0.5, len(ITEMS))
    runs = [
        Run(arm, replicate, seed, Grades("loss", ITEMS, difficulty + shift + random.normal(0, noise, len(ITEMS)), np.ones(len(ITEMS))))
        for arm, replicates, shift in (("selection", 1, effect), ("random", 3, 0.0))
        for replicate in range(replicates)
        for seed in range(3)
    ]
    settings = ComparisonSettings(confidence_at_each(0.95, 2), n_resamples=0)
    verdicts = Verification.of(runs).verdicts("selection", ["random"], settings=settings)
    return AtRate(multiple, 1e-3 * multiple, None, {"outcome": verdicts.outcome}, verdicts)


@pytest.mark.parametrize(
    ("effects", "kind", "words", "outcome"),
    [
        ((-0.3, -0.2), "same sign", "same sign at both, distinguishable from 0 at both", "better"),
        (
            (-0.3, 0.3),
            "depends on the learning rate",
            "depends on the learning rate, distinguishable from 0 at both",
            "depends on the learning rate",
        ),
        ((0.3, 0.2), "same sign", "same sign at both, distinguishable from 0 at both", "worse"),
    ],
)
def test_signs_and_outcomes_at_two_rates_are_stated(effects: tuple[float, float], kind: str, words: str, outcome: str) -> None:
    rates = [at(1.0, effects[0]), at(0.33, effects[1])]
    (entry,) = dependence(rates, "random")
    assert entry["dependence"] == kind and entry["statement"] == f"loss, at 1 and 0.33 times the learning rate: {words}."
    assert overall([rate.outcome for rate in rates]) == outcome
    assert entry["multiples"]["1"]["gain"] == pytest.approx(-effects[0], abs=0.02)


def test_what_is_not_distinguishable_is_not_called_a_dependence() -> None:
    signs = {np.sign(at(1.0, effect, noise=0.5).verdicts.verdicts[0].gain): effect for effect in (-0.02, 0.02, -0.05, 0.05, -0.1, 0.1)}
    rates = [at(1.0, signs[1.0], noise=0.5), at(0.33, signs[-1.0], noise=0.5)]
    (entry,) = dependence(rates, "random")
    assert entry["dependence"] == "cannot be said" and "signs differ, distinguishable from 0 at none" in entry["statement"]
    (one,) = dependence([at(1.0, -0.3), rates[0]], "random")
    assert one["dependence"] == "same sign" and "distinguishable from 0 at 1 alone" in one["statement"]
    (unknown,) = dependence([at(1.0, -0.3), AtRate(0.33, 1.0, None, None, Verdicts(()))], "random")
    assert unknown["dependence"] == "cannot be said" and "no difference is known at 0.33" in unknown["statement"]


def test_what_holds_at_one_rate_alone_does_not_hold() -> None:
    assert overall(["better", "no detectable difference"]) == "depends on the learning rate"
    assert overall(["better", "not enough data"]) == overall(["no detectable difference", "not enough data"]) == "not enough data"
    assert overall(["better", "worse", "not enough data"]) == "depends on the learning rate"
    assert overall(["not enough model", "not enough model"]) == "not enough model"


@pytest.mark.parametrize("stated", [("1,1",), ("0",), ("-1",), ("nan",), ("a",), (1.0, 1.0)])
def test_multiples_are_different_numbers_above_0(stated: Any) -> None:
    with pytest.raises(UsageError, match="Multiples of the learning rate are different numbers above 0"):
        TrainingSettings("base", learning_rates=stated)
    assert TrainingSettings("base", learning_rates=("1, 0.33", 3.0)).learning_rates == (1.0, 0.33, 3.0)
