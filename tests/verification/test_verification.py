"""Verifications: what was graded, what is missing, and the outcome that follows."""

from __future__ import annotations

import json
import random as shuffling
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy import stats

from instructsel.errors import StudyError, UsageError
from instructsel.pool.sources import zstd
from instructsel.protocols import Grades
from instructsel.stats.power import Plan
from instructsel.stats.variance import ArmValues
from instructsel.verification.grades_table import Run
from instructsel.verification.verdict import ComparisonSettings, Verdict, Verdicts
from instructsel.verification.verification import Verification
from tests.verification.simulated import Truth, arms, verification

ITEMS = ("q1", "q2", "q3", "q4")
QUIET = Truth(items=0.05, residual=0.05, seeds=0.0002, replicates=0.0002)
"""So little noise that 200 items and three runs see a tenth of a standard deviation."""


def grades(values: list[float | None], *, grader: str = "loss", items: tuple[str, ...] = ITEMS, **settings: Any) -> Grades:
    reasons = tuple(None if value is not None else "unparsed" for value in values)
    settings.setdefault("weights", np.ones(len(values)))
    return Grades(grader, items, np.array([value or 0.0 for value in values]), reasons=reasons, **settings)


def four(arm: str, *rows: list[float | None], **settings: Any) -> list[Run]:
    return [Run(arm, 0, seed, grades(row, **settings)) for seed, row in enumerate(rows)]


def several(effects: dict[str, float]) -> Verification:
    """One grader for each effect, lower is better; a positive effect is worse."""
    runs = []
    for number, (grader, effect) in enumerate(sorted(effects.items())):
        found = verification(*arms(np.random.default_rng(number), Plan(200), QUIET, effect), grader=grader)
        for arm, replicate, seed in found.frame.select("arm", "replicate", "seed").unique(maintain_order=True).rows():
            cells = found.frame.filter((found.frame["arm"] == arm) & (found.frame["seed"] == seed))
            runs.append(
                Run(arm, replicate, seed, Grades(grader, tuple(cells["item"]), cells["value"].to_numpy(), np.ones(len(cells)), unit="nats"))
            )
    return Verification.of(runs)


def test_a_verification_does_not_depend_on_the_order_of_runs_and_items(tmp_path: Path) -> None:
    runs = four("a", [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 3.0, None]) + four("b", [0.0, 1.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0])
    other = [
        Run(run.arm, run.replicate, run.seed, Grades(
            "loss", run.grades.items[::-1], run.grades.values[::-1], run.grades.weights[::-1], run.grades.reasons[::-1]
        ))
        for run in runs
    ]  # fmt: skip
    shuffling.Random(0).shuffle(other)
    for name, given in (("one", runs), ("two", other)):
        Verification.of(given).write(tmp_path / f"{name}.parquet", run={"seconds": 1})
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_missing_cells_stay_missing_and_are_counted() -> None:
    found = Verification.of(four("a", [1.0, 2.0, 3.0, None], [2.0, 2.0, 3.0, 5.0]) + four("b", [0.0, None, 1.0, 9.0], [0.5, 1.0, 1.0, 9.0]))
    assert found.frame["value"].null_count() == 2
    said = found.as_dict()["graders"]["loss"]
    assert (said["missing"], said["reasons"], said["items"]) == ({"a": 1, "b": 1}, {"unparsed": 2}, 4)
    assert said["means"][0] == {"arm": "a", "replicate": 0, "seed": 0, "items": 3, "mean": 2.0}
    # q1 and q3 are left: a 1, 3 and 2, 3; b 0, 1 and 0.5, 1.
    interval = found.difference("a", "b", "loss")
    assert (interval.n_items, interval.estimate) == (2, pytest.approx(2.25 - 0.625))
    verdict = found.verdict("a", "b", "loss")
    assert (verdict.outcome, verdict.missing) == ("not enough data", 2)
    assert verdict.reason is not None and "2 of 4 items have no value" in verdict.reason
    assert found.verdict("a", "b", "loss", settings=ComparisonSettings(max_missing=0.5)).reason != verdict.reason


def test_a_run_graded_on_other_items_is_refused_by_name() -> None:
    runs = four("a", [1.0, 2.0, 3.0, 4.0]) + four("b", [1.0, 2.0, 3.0, 4.0])
    odd = Run("b", 1, 7, grades([1.0, 2.0, 3.0, 4.0], items=("q1", "q2", "q3", "q9")))
    with pytest.raises(StudyError, match=r"loss graded b \(replicate 1, seed 7\) on other items than the rest: q4, q9\."):
        Verification.of([*runs, odd])


def test_grades_that_cannot_stand_together_are_refused() -> None:
    runs = four("a", [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(StudyError, match=r"loss graded a \(replicate 0, seed 0\) twice"):
        Verification.of(runs + runs)
    with pytest.raises(StudyError, match="several kinds: no unit"):
        Verification.of(runs + four("b", [1.0, 2.0, 3.0, 4.0], higher_is_better=True))
    with pytest.raises(StudyError, match="Nothing was graded"):
        Verification.of([])
    with pytest.raises(StudyError, match="graded no item"):
        Verification.of([Run("a", 0, 0, grades([], items=()))])


def test_names_that_there_are_not_are_refused_with_the_closest() -> None:
    found = Verification.of(four("selection", [1.0, 2.0, 3.0, 4.0]) + four("random", [1.0, 2.0, 3.0, 4.5]))
    with pytest.raises(UsageError, match=r"no arm 'randon'.*'random'"):
        found.difference("selection", "randon", "loss")
    with pytest.raises(UsageError, match=r"no grader 'los'.*'loss'"):
        found.verdicts("selection", ["random"], graders=["los"])
    with pytest.raises(UsageError, match="its own baseline"):
        found.verdicts("selection", ["selection"])
    with pytest.raises(UsageError, match="needs a baseline"):
        found.verdicts("selection", [])


def test_a_verification_read_back_is_the_one_written(tmp_path: Path) -> None:
    runs = four("a", [1.0, 2.0, 3.0, None], unit="nats", truncated=3) + four("b", [0.0, 1.0, 1.0, 9.0], unit="nats")
    found = Verification.of(runs)
    found.write(tmp_path / "v.parquet")
    again = Verification.read(tmp_path / "v.parquet")
    assert again.frame.equals(found.frame) and again.graders == found.graders
    assert again.graders["loss"].truncated == 3
    assert json.loads((tmp_path / "v.parquet.json").read_text())["kind"] == "verification"


def test_a_file_that_is_not_the_one_written_is_refused(tmp_path: Path) -> None:
    path, beside = tmp_path / "v.parquet", tmp_path / "v.parquet.json"
    Verification.of(four("a", [1.0, 2.0, 3.0, 4.0])).write(path)
    whole, manifest = path.read_bytes(), beside.read_bytes()
    path.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    with pytest.raises(StudyError, match="damaged"):
        Verification.read(path)
    beside.write_bytes(manifest.replace(b'"verification"', b'"scores"').replace(b'"schema": 2', b'"schema": 1'))
    with pytest.raises(StudyError, match="holds scores, not a verification"):
        Verification.read(path)
    path.write_bytes(whole)
    beside.write_bytes(manifest.replace(b'"higher_is_better"', b'"better"'))
    with pytest.raises(StudyError, match="lacks the key higher_is_better"):
        Verification.read(path)
    beside.write_bytes(manifest.replace(b'"schema": 2', b'"schema": 99'))
    with pytest.raises(StudyError, match="newer instructsel"):
        Verification.read(path)
    beside.write_bytes(b"{")
    with pytest.raises(StudyError, match="not readable JSON"):
        Verification.read(path)
    beside.unlink()
    with pytest.raises(StudyError, match="is missing"):
        Verification.read(path)
    with pytest.raises(StudyError, match="There is no file"):
        Verification.read(tmp_path / "absent.parquet")
    with pytest.raises(UsageError, match=r"does not end in .parquet"):
        Verification.read(tmp_path / "v.csv")


def test_a_lower_loss_is_better_and_a_higher_score_is_better() -> None:
    down = arms(np.random.default_rng(0), Plan(200), QUIET, effect=-0.5)
    assert verification(*down).verdict("selection", "random", "loss").outcome == "better"
    assert verification(*down, higher_is_better=True).verdict("selection", "random", "loss").outcome == "worse"
    up = verification(*arms(np.random.default_rng(0), Plan(200), QUIET, effect=0.5), higher_is_better=True)
    verdict = up.verdict("selection", "random", "loss")
    assert (verdict.outcome, verdict.gain > 0.4) == ("better", True)
    assert "higher is better" in verdict.sentence and "this subset" in verdict.sentence


def test_no_difference_is_said_only_where_a_small_one_would_have_been_found() -> None:
    quiet = verification(*arms(np.random.default_rng(1), Plan(400), Truth(0.01, 0.01, 1e-5, 1e-5))).verdict("selection", "random", "loss")
    assert quiet.outcome == "no detectable difference"
    assert quiet.interval.detectable_sd is not None and quiet.interval.detectable_sd < 0.1
    assert "Minimum detectable effect (80 % power)" in quiet.sentence
    noisy = verification(*arms(np.random.default_rng(1), Plan(100), Truth())).verdict("selection", "random", "loss")
    assert noisy.outcome == "not enough data"
    assert noisy.reason is not None and "is larger than the smallest effect of interest, 0.1." in noisy.reason
    assert verification(*arms(np.random.default_rng(1), Plan(100), Truth())).verdict(
        "selection", "random", "loss", settings=ComparisonSettings(smallest_effect=2.0)
    ).outcome == "no detectable difference"  # fmt: skip


def test_several_graders_are_corrected_for_being_several() -> None:
    found = several({"a": 0.0, "b": 0.0, "c": -0.5})
    verdicts = found.verdicts("selection", ["random"])
    alone = found.verdict("selection", "random", "a")
    together = next(verdict for verdict in verdicts if verdict.grader == "a")
    assert alone.interval.p is not None and together.p_adjusted is not None and alone.p_adjusted == alone.interval.p
    assert together.p_adjusted >= alone.interval.p
    assert together.interval.confidence == pytest.approx(1 - 0.05 / 3)
    assert (together.interval.low, together.interval.high) != (alone.interval.low, alone.interval.high)
    assert [verdict.outcome for verdict in verdicts][2] == "better"
    assert verdicts.outcome == "better"


def test_items_that_a_comparison_leaves_out_are_counted_in_its_sentence() -> None:
    items = tuple(f"q{n}" for n in range(40))
    values = {
        "selection": [float(n % 5) for n in range(40)],
        "random": [None if n == 7 else n % 5 + 0.1 for n in range(40)],
    }
    runs = [Run(arm, replicate, 0, grades(row, items=items)) for arm, row in values.items() for replicate in range(2)]
    verdict = Verification.of(runs).verdict("selection", "random", "loss")
    assert verdict.missing == 1 and "loss: 1 of 40 items has no value in some run (unparsed 1), and is left out." in verdict.sentence
    whole = Verification.of(runs[:2] + [replace(run, grades=runs[0].grades) for run in runs[2:]]).verdict("selection", "random", "loss")
    assert whole.missing == 0 and "left out" not in whole.sentence


def test_an_outcome_whose_interval_holds_0_says_what_it_rests_on() -> None:
    shown = several({"a": -0.5, "b": -0.5}).verdicts("selection", ["random"]).verdicts[0]
    assert shown.outcome == "better" and not shown.by_holm_alone and "Holm" not in shown.statement
    shared = replace(shown, interval=replace(shown.interval, low=-1.0, high=0.01), p_adjusted=0.036)
    assert shared.by_holm_alone and "This interval holds 0" in shared.statement and "adjusted p 0.036" in shared.statement
    assert not replace(shared, outcome="no detectable difference").by_holm_alone


@pytest.mark.parametrize(
    ("effects", "outcome"),
    [
        ({"a": -0.5, "b": 0.0}, "better"),
        ({"a": -0.5, "b": 0.5}, "worse"),
        ({"a": 0.0, "b": 0.5}, "worse"),
    ],
)
def test_one_grader_that_found_it_worse_decides(effects: dict[str, float], outcome: str) -> None:
    assert several(effects).verdicts("selection", ["random"], settings=ComparisonSettings(n_resamples=0)).outcome == outcome


def test_the_word_over_several_is_the_least_that_all_allow() -> None:
    found = verification(*arms(np.random.default_rng(1), Plan(100), Truth()))
    one = found.verdict("selection", "random", "loss", settings=ComparisonSettings(n_resamples=0))

    def over(*words: str) -> str:
        return Verdicts(tuple(Verdict(**{**vars(one), "outcome": outcome}) for outcome in words)).outcome

    assert over("no detectable difference", "no detectable difference") == "no detectable difference"
    assert over("no detectable difference", "not enough data") == "not enough data"
    assert over("better", "not enough data") == "better"
    assert over("better", "worse") == "worse"
    assert over() == "not enough data"


def test_every_baseline_counts_among_the_comparisons() -> None:
    selection, drawn = arms(np.random.default_rng(4), Plan(200), QUIET, effect=-0.5)
    longest = ArmValues("longest", (0, 0, 0), drawn.values[:3] - 1.0)
    verdicts = verification(selection, drawn, longest).verdicts(
        "selection", ["random", "longest"], settings=ComparisonSettings(n_resamples=0)
    )
    assert [verdict.outcome for verdict in verdicts] == ["better", "worse"]
    assert {verdict.comparisons for verdict in verdicts} == {2}
    assert (verdicts.outcome, verdicts.against("random").outcome, len(verdicts)) == ("worse", "better", 2)


def test_a_grader_that_did_not_see_an_arm_has_not_enough_data() -> None:
    runs = four("a", [1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 3.0, 4.0]) + four("b", [1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 3.5, 5.0])
    found = Verification.of([*runs, *four("a", [1.0, 2.0, 3.0, 4.0], grader="judge")])
    verdict = found.verdict("a", "b", "judge")
    assert (verdict.outcome, verdict.reason) == ("not enough data", "judge graded no model of b.")
    assert found.as_dict()["graders"]["judge"]["not_graded"] == [
        "a (replicate 0, seed 1)",
        "b (replicate 0, seed 0)",
        "b (replicate 0, seed 1)",
    ]
    # It was no test, and is none of those corrected for.
    assert [each.comparisons for each in found.verdicts("a", ["b"])] == [1, 1]
    json.dumps(found.verdicts("a", ["b"]).as_dict(), allow_nan=False)


def test_weights_count_items_as_often_as_they_say() -> None:
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    runs = four("a", [1.0, 2.0, 3.0, 4.0], weights=weights) + four("b", [0.0, 1.0, 1.0, 1.0], weights=weights)
    found = Verification.of(runs).difference("a", "b", "loss", generalize_to="items", weighted=True)
    # Differences 1, 1, 2, 3 weigh 1, 2, 3, 4: (1 + 2 + 6 + 12) / 10.
    assert found.estimate == pytest.approx(2.1)
    # Linearised: w (d − 2.1) / 2.5 is −0.44, −0.88, −0.12, 1.44; squares 3.056 / 3 / 4.
    assert found.standard_error == pytest.approx((3.056 / 12) ** 0.5)
    with pytest.raises(UsageError, match="differ from run to run"):
        Verification.of(runs + four("c", [1.0, 1.0, 1.0, 1.0])).difference("a", "c", "loss", weighted=True)


def test_not_worse_is_shown_by_the_bad_end_of_the_interval() -> None:
    found = verification(*arms(np.random.default_rng(5), Plan(200), QUIET, effect=0.02))
    interval = found.difference("selection", "random", "loss", confidence=0.9)
    assert interval.high is not None
    within, beyond = (found.non_inferior("selection", "random", "loss", margin=interval.high + step) for step in (0.01, -0.01))
    assert (within.shown, beyond.shown, within.bound) == (True, False, pytest.approx(-interval.high))
    assert within.p is not None and beyond.p is not None and within.p < 0.05 < beyond.p
    single = Verification.of(four("a", [1.0, 2.0, 3.0, 4.0]) + four("b", [0.0, 1.0, 1.0, 1.0]))
    refused = single.non_inferior("a", "b", "loss", margin=9.0)
    assert (refused.shown, refused.bound) == (False, None) and refused.reason
    with pytest.raises(UsageError, match=r"margin of 0"):
        single.non_inferior("a", "b", "loss", margin=0)
    with pytest.raises(UsageError, match=r"one-sided confidence of 0.4"):
        single.non_inferior("a", "b", "loss", margin=1, confidence=0.4)


def test_a_pilot_plans_the_next_run() -> None:
    found = verification(*arms(np.random.default_rng(6), Plan(200), Truth())).components("selection", "random", "loss")
    assert found.seeds is not None and found.replicates is not None and found.item_sd is not None


def test_the_verdict_says_everything_as_plain_data() -> None:
    found = several({"a": -0.5, "b": 0.0})
    said = json.loads(json.dumps(found.verdicts("selection", ["random"]).as_dict(), allow_nan=False))
    first = said["verdicts"][0]
    assert (said["outcome"], first["outcome"], first["grader"]) == ("better", "better", "a")
    assert {"estimate", "low", "high", "detectable", "detectable_sd", "needed", "bootstrap_low", "notes"} <= set(first["interval"])
    json.dumps(found.as_dict(), allow_nan=False)


def false_better(rounds: int, seed: int) -> int:
    """How often a selection that is as good as random is called better, by either of two graders."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(rounds):
        runs = []
        for grader in ("loss", "other"):
            for arm in arms(random, Plan(40), Truth()):
                for number, (replicate, values) in enumerate(zip(arm.replicates, arm.values, strict=True)):
                    runs.append(Run(arm.arm, replicate, number, Grades(grader, _names(40), values, np.ones(40))))
        found += (
            Verification.of(runs).verdicts("selection", ["random"], settings=ComparisonSettings(n_resamples=0, smallest_effect=9.0)).outcome
            == "better"
        )
    return found


def _names(n: int) -> tuple[str, ...]:
    return tuple(f"{at:03}" for at in range(n))


def test_a_selection_no_better_than_random_is_seldom_called_better() -> None:
    # 2.5 % of 300 are expected, and 4 % allowed.
    assert false_better(300, 20) <= 12


@pytest.mark.soak
def test_a_selection_no_better_than_random_is_called_better_in_at_most_4_of_100(record_property: Callable[[str, object], None]) -> None:
    found = false_better(2000, 21)
    record_property("called better of 2000", found)
    assert found <= 80


def test_finished_results_with_one_run_each_agree_with_the_paired_t_test(shared_data: Path) -> None:
    packed = (shared_data / "eval" / "diverseevol_select_vs_random_judgments.jsonl.zst").read_bytes()
    gaps: dict[tuple[str, str, int], dict[str, float]] = {}
    for line in zstd.decompress(packed).splitlines():
        row = orjson.loads(line)
        # In both orders, [the fine-tuned model, ChatGPT].
        gap = sum(row[f"eval_QUERY{order}"][0] - row[f"eval_QUERY{order}"][1] for order in (0, 1)) / 2
        gaps.setdefault((row["test_set"], row["run"], row["round"]), {})[str(row["question_id"])] = gap
    words: dict[tuple[str, str, int], str] = {}
    decided = 0
    for (test_set, run, round_), values in gaps.items():
        if not run.startswith("kc_"):
            continue
        other = gaps[test_set, run.replace("kc_", "rand_"), round_]
        names = tuple(values)
        assert sorted(names) == sorted(other)
        pair = {"selected": [values[name] for name in names], "random": [other[name] for name in names]}
        found = Verification.of(
            Run(arm, 0, 0, Grades(test_set, names, np.array(each), np.ones(len(names)), higher_is_better=True))
            for arm, each in pair.items()
        )
        assert found.verdict("selected", "random", test_set).outcome == "not enough data"
        verdict = found.verdict("selected", "random", test_set, settings=ComparisonSettings(generalize_to="items", n_resamples=0))
        p = stats.ttest_rel(pair["selected"], pair["random"]).pvalue
        assert np.isnan(p) or verdict.interval.p == pytest.approx(p, rel=1e-9)
        if p < 0.01:
            assert verdict.outcome == ("better" if np.mean(pair["selected"]) > np.mean(pair["random"]) else "worse")
            decided += 1
        elif not p <= 0.1:
            assert verdict.outcome in ("no detectable difference", "not enough data")
        words[test_set, run.split("_")[1], round_] = verdict.outcome
    assert (len(words), decided > 10) == (66, True)
    # The known ones: at the last round, k-center beat random on Koala's questions from all three pools.
    assert [words["koala_test", name, 10] for name in ("davinci", "dolly", "gpt4")] == ["better"] * 3
    assert words["vicuna_test", "dolly", 10] == "better"
    assert "better" not in (words["vicuna_test", "davinci", 10], words["vicuna_test", "gpt4", 10])


def with_settings(arm: str, settings: dict[str, Any] | None) -> Run:
    return Run(arm, 0, 0, grades([1.0, 2.0, 3.0, 4.0], record={} if settings is None else {"settings": settings}))


def test_models_that_were_graded_in_different_ways_are_not_compared(tmp_path: Path) -> None:
    zero = {"harness": "0.4.13", "tasks": {"t": {"num_fewshot": 0, "hash": "a" * 64}}}
    five = {"harness": "0.4.13", "tasks": {"t": {"num_fewshot": 5, "hash": "b" * 64}}}
    with pytest.raises(StudyError, match=r"selection \(replicate 0, seed 0\) and random.*in different ways.*num_fewshot 0 and 5"):
        Verification.of([with_settings("selection", zero), with_settings("random", five)])
    other = {"harness": "0.4.13", "tasks": {"t": {"num_fewshot": 0, "hash": "b" * 64}}}
    with pytest.raises(StudyError, match=f"the documents, prompts or targets of t, by their digests {'a' * 12} and {'b' * 12}"):
        Verification.of([with_settings("selection", zero), with_settings("random", other)])
    with pytest.raises(StudyError, match=f"the texts of the reference, by their digests {'a' * 12} and {'b' * 12}"):
        Verification.of(
            [with_settings(arm, {"reference": {"digest": digest * 32}}) for arm, digest in (("selection", "a"), ("random", "b"))]
        )
    found = Verification.of([with_settings("selection", zero), with_settings("random", zero), with_settings("longest", None)])
    assert found.as_dict()["graders"]["loss"]["settings"] == zero
    found.write(tmp_path / "v.parquet")
    assert Verification.read(tmp_path / "v.parquet").as_dict() == found.as_dict()


def test_a_circular_grader_decides_nothing_and_takes_no_part_in_the_correction() -> None:
    found = several({"loss": 0.0, "reward": -0.6})
    plain = found.verdicts("selection", ["random"])
    assert plain.outcome == "better"
    apart = found.verdicts("selection", ["random"], leakage={("random", "reward")})
    own = {each.grader: each for each in apart}
    assert own["reward"].leakage and own["reward"].outcome == "better" and "does not count" in own["reward"].statement
    assert not own["loss"].leakage and apart.outcome == own["loss"].outcome != "better"
    assert own["loss"].comparisons == own["reward"].comparisons == 1 and plain.verdicts[0].comparisons == 2
    assert found.verdicts("selection", ["random"], leakage={("random", "reward"), ("random", "loss")}).outcome == "not enough data"


def test_one_run_of_an_arm_is_not_enough_data_however_large_the_difference() -> None:
    found = verification(
        *arms(np.random.default_rng(40), Plan(200, seeds=1, baseline_replicates=4, baseline_seeds=2), Truth(), effect=-5.0)
    )
    verdict = found.verdict("selection", "random", "loss")
    assert verdict.outcome == "not enough data" and verdict.p_adjusted is None
    assert verdict.interval.high is not None and verdict.interval.high < -4
    assert verdict.reason is not None and verdict.reason.startswith("selection has one run")
    shown = found.non_inferior("selection", "random", "loss", margin=1.0)
    assert not shown.shown and shown.reason == verdict.reason
    assert found.verdict("selection", "random", "loss", settings=ComparisonSettings(generalize_to="items")).outcome == "better"
