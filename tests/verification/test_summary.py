"""A verification in one piece: the base as it is, win rates, length bias, power before the run, the outcome."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from instructsel.errors import StudyError, UsageError
from instructsel.experiments.arms import Arm
from instructsel.protocols import Grades
from instructsel.stats.intervals import compare
from instructsel.stats.power import Plan, power
from instructsel.stats.variance import ArmValues
from instructsel.verification.grades_table import Run
from instructsel.verification.length_biases import length_biases
from instructsel.verification.planned import ASSUMED, expected
from instructsel.verification.run import Verified
from instructsel.verification.skills import SkillTable
from instructsel.verification.summary import NOT_ENOUGH_MODEL, cost, leakage, summary
from instructsel.verification.verification import Verification
from instructsel.verification.win_rates import win_rates
from tests.verification.simulated import Truth, arms

ITEMS = tuple(f"item{at:03}" for at in range(60))


def graded(values: Any, *, grader: str = "loss", unit: str = "nats", higher: bool = False, **record: Any) -> Grades:
    found = np.asarray(values, dtype=float)
    return Grades(grader, ITEMS[: len(found)], found, np.ones(len(found)), unit=unit, higher_is_better=higher, record=record)


def runs(*, better: float = 0.5) -> list[Run]:
    random = np.random.default_rng(0)
    items = random.normal(3, 1, len(ITEMS))
    made = [Run("base", 0, 0, graded(items + 1))]
    for arm, replicates, mean in (("selection", 1, -better), ("random", 3, 0.0)):
        for replicate in range(replicates):
            for seed in range(2):
                made.append(Run(arm, replicate, seed, graded(items + mean + random.normal(0, 0.05) + random.normal(0, 0.05, len(items)))))
    return made


def verified(given: list[Run], **changes: Any) -> Verified:
    return Verified(Verification.of(given, fixed=["base"]), (), (), {}, tuple(given), **changes)


def test_the_base_as_it_is_has_no_part_in_how_much_runs_vary() -> None:
    random = np.random.default_rng(1)
    selection, _ = arms(random, Plan(items=300, replicates=1, seeds=4), Truth(seeds=0.1))
    base = ArmValues("base", (0,), random.normal(0, 1, (1, 300)), fixed=True)
    loose = ArmValues("base", (0,), base.values)
    fixed, borrowed = compare(selection, base), compare(selection, loose)
    assert fixed.estimate == borrowed.estimate and fixed.standard_error is not None and borrowed.standard_error is not None
    assert fixed.standard_error < borrowed.standard_error
    assert fixed.spread is not None and [side.arm for side in fixed.spread.sides] == ["selection"]
    assert any("is a fixed model" in note for note in fixed.notes)
    # By hand: the items' variance over n, and the seeds' variance over 4 less the residual that the first has counted.
    difference = selection.values.mean(axis=0) - base.values[0]
    means = selection.values.mean(axis=1)
    residual = selection.values - means[:, None] - selection.values.mean(axis=0) + means.mean()
    between = max(means.var(ddof=1) - (residual**2).sum() / (3 * 299) / 300, 0.0)
    assert fixed.standard_error == pytest.approx(math.sqrt(difference.var(ddof=1) / 300 + between / 4), rel=1e-9)
    with pytest.raises(UsageError, match="is a fixed model"):
        ArmValues("base", (0, 1), np.zeros((2, 3)), fixed=True)
    with pytest.raises(UsageError, match="not one model"):
        Arm("base", results=(((), ()),), fixed=True)


def test_intervals_against_a_fixed_base_cover_the_planted_effect() -> None:
    covered = 0
    for number in range(300):
        random = np.random.default_rng([7, number])
        truth = Truth()
        shared = random.normal(0, 1, 120)
        base = ArmValues("base", (0,), (shared + random.normal(0, 0.5, 120))[None], fixed=True)
        own = shared + random.normal(0, truth.items**0.5, 120)
        found = np.stack([0.3 + own + random.normal(0, truth.seeds**0.5) + random.normal(0, truth.residual**0.5, 120) for _ in range(4)])
        interval = compare(ArmValues("selection", (0,) * 4, found), base)
        covered += interval.low is not None and interval.high is not None and interval.low <= 0.3 <= interval.high
    # Three standard errors around 95 %.
    assert 0.91 <= covered / 300 <= 0.99


def test_a_fixed_arm_is_kept_with_the_grades(tmp_path: Any) -> None:
    found = Verification.of(runs(), fixed=["base"])
    found.write(tmp_path / "v.parquet")
    again = Verification.read(tmp_path / "v.parquet")
    assert again.fixed == {"base"} and again.as_dict() == found.as_dict()
    with pytest.raises(StudyError, match="random is a fixed model"):
        Verification.of(runs(), fixed=["random"])


def test_the_whole_says_what_its_parts_say() -> None:
    told, verdicts = summary(verified(runs()), selection="selection", against="random", base="base")
    assert told["outcome"] == "better" == verdicts.against("random").outcome
    assert told["skills"]["regressed"] == {"loss": 0} and told["win_rates"] == {} and told["leakage"] == {}
    assert [each["baseline"] for each in told["verdicts"]["verdicts"]] == ["base", "random"]
    worse, _ = summary(verified(runs(better=-3.0)), selection="selection", against="random", base="base")
    assert worse["outcome"] == "worse" and worse["skills"]["regressed"] == {"loss": 1}
    cell = worse["skills"]["rows"]["selection"]["loss"]
    assert cell["low"] < cell["change"] < cell["high"] < 0
    assert {key: value for key, value in cell.items() if key not in ("low", "high")} == {
        "value": pytest.approx(statistics.fmean(run.grades.mean for run in runs(better=-3.0) if run.arm == "selection")),
        "change": pytest.approx(-2.0, abs=0.2),
        "regressed": True,
        "by": "significant",
    }


def test_a_base_that_knows_nothing_leaves_no_verdict() -> None:
    told, _ = summary(verified(runs()), selection="selection", against="random", model={"enough": False, "said": "acc 0.25"})
    assert told["outcome"] == NOT_ENOUGH_MODEL and told["verdicts"]["outcome"] == "better"
    told, _ = summary(verified(runs()), selection="selection", against="random", model={"enough": True, "said": "acc 0.5"})
    assert told["outcome"] == "better"


def test_without_runs_of_the_baseline_there_is_not_enough_data() -> None:
    only = [run for run in runs() if run.arm != "random"]
    told, _ = summary(verified(only), selection="selection", against="random", base="base")
    assert told["outcome"] == "not enough data"


def test_without_an_interval_nobody_says_that_a_skill_was_forgotten() -> None:
    two = [Run("base", 0, 0, graded([1.0, 2.0])), Run("selection", 0, 0, graded([3.0, 4.0]))]
    table = SkillTable.measured(Verification.of(two), base="base")
    assert table.cells["selection"]["loss"].regressed is None and table.cells["selection"]["loss"].change == -2.0
    assert table.regressed("loss") == ()


def preference(arm: str, replicate: int, values: list[float], lengths: list[int], **record: Any) -> Run:
    told = {"lengths": {"output": lengths, "reference": [10] * len(lengths)}, "flags": {"suspicious": 1}, **record}
    return Run(arm, replicate, 0, graded(values, grader="win rate", unit="preference", higher=True, **told))


def test_win_rates_are_those_of_the_pairs() -> None:
    given = [
        preference("selection", 0, [1.0, 1.0, 0.5, 0.0], [30, 20, 10, 5]),
        preference("random", 0, [0.5, 0.5, 1.0, 0.0], [11, 9, 10, 12]),
        preference("random", 1, [0.5, 0.5, 0.0, 0.0], [9, 9, 13, 12], circular=True),
        Run("random", 1, 0, graded([1.0, 2.0])),
    ]
    found = win_rates(given)["win rate"]
    assert found["selection"]["win_rate"] == 62.5 and found["selection"]["score"] == 1.25
    assert (found["selection"]["wins"], found["selection"]["ties"], found["selection"]["losses"]) == (2, 1, 1)
    assert found["random"]["win_rate"] == statistics.fmean([50.0, 25.0]) and len(found["random"]["runs"]) == 2
    assert found["random"]["n_total"] == 8 and found["random"]["flags"] == {"suspicious": 2}
    assert found["random"]["leakage"] and not found["selection"]["leakage"]
    assert found["selection"]["length_controlled"]["n"] == 4
    bias = length_biases(given)["win rate"]
    assert bias["n"] == 3 and bias["r"] == pytest.approx(np.corrcoef([16.25, 10.5, 10.75], [62.5, 50.0, 25.0])[0, 1])


def test_judgments_of_two_judges_are_no_one_grader() -> None:
    given = [preference("selection", 0, [1.0], [3], judge={"name": "a"}), preference("random", 0, [0.5], [3], judge={"name": "b"})]
    with pytest.raises(StudyError, match=r"2 judges: a of selection \(replicate 0, seed 0\), b of random"):
        Verification.of(given)


class Known:
    """A grader whose items are known before anything is graded."""

    name = "loss"
    items = ITEMS
    fingerprint: dict[str, Any] = {}

    def grade(self, checkpoint: Any) -> Grades:
        raise AssertionError


def test_power_before_the_run_is_that_of_the_plan() -> None:
    grade = graded([1.0, 2.0])
    given = [Arm("selection", results=(((grade,), (grade,)),)), Arm("random", results=(((grade,), (grade,)),) * 3)]
    told = expected(given, [Known()], selection="selection", baseline="random", seeds=2)
    plan = Plan(items=60, replicates=1, seeds=2, baseline_replicates=3, baseline_seeds=2)
    assert [each.power.detectable for each in told] == [power(plan, ASSUMED, effect=0.1, confidence=0.95).detectable]
    assert told[0].assumed and "assumed variances" in told[0].sentence and "standard deviations" in told[0].sentence
    # Every comparison there will be counts, whether its items are known yet or not.
    more = expected([*given, Arm("longest", results=(((grade,),),))], [Known()], selection="selection", baseline="random", seeds=2, more=2)
    assert more[0].power.confidence == pytest.approx(1 - 0.05 / 6) and more[0].power.detectable > told[0].power.detectable
    pilot = Verification.of(runs(), fixed=["base"])
    told = expected(given, [Known()], selection="selection", baseline="random", seeds=2, pilot=pilot)
    found = power(plan, pilot.components("selection", "random", "loss"), effect=0.1, confidence=0.95)
    assert not told[0].assumed and told[0].power.detectable == found.detectable and "nats" in told[0].sentence
    assert told[0].as_dict()["plan"]["baseline_replicates"] == 3
    # Nobody can say what the base against itself, or a grader without items, would find.
    assert (
        expected([*given, Arm("base", results=(((grade,),),), fixed=True)], [Known()], selection="selection", baseline="base", seeds=2)
        == []
    )


def test_what_nobody_knows_is_said_to_be_unknown() -> None:
    assert "an unknown time" in cost("mine", {"selection": None, "training": 3.0, "grading": 1.0})
    assert cost("base", {"selection": 0.0, "training": 0.0, "grading": 1.0}) == "base: grading 1 s"


def test_a_grader_is_circular_for_the_arms_that_its_model_ranked() -> None:
    given = [
        *runs(),
        *(Run(run.arm, run.replicate, run.seed, replace(run.grades, grader="reward", record={"models": ["d1", "d2"]})) for run in runs()),
    ]
    ranked = {"selection": frozenset({"d9"}), "random": frozenset(), "longest": frozenset({"d2"})}
    assert leakage(replace(verified(given), ranked=ranked)) == {"reward": ("longest",)}
    told, verdicts = summary(
        replace(verified(given), ranked={"selection": frozenset({"d1"})}), selection="selection", against="random", base="base"
    )
    assert told["leakage"] == {"reward": ["selection"]} and {each.grader for each in verdicts if each.leakage} == {"reward"}
    assert told["outcome"] == "better" == verdicts.against("random").outcome
