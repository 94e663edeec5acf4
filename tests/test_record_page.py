"""What selection is worth: the page says what its results say, and a verdict is what was decided beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import pytest

from instructsel.grading.graders.held_out_loss import KIND
from instructsel.protocols import Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification
from tests.conftest import ROOT
from tests.test_embedded_reward_page import script

PAGE: Final = script(ROOT / "docs/build_what_selection_is_worth.py")
ITEMS: Final = tuple(f"answer {number}" for number in range(120))
METHODS: Final = ("eq4-without-reward", "our-rule", "ifd", "rds+", "deita", "plausibility")


def graded(arm: str, replicate: int, seed: int, effect: float, generator: np.random.Generator) -> Iterator[Run]:
    """A model whose loss is lower, and whose tasks are better, by an effect."""
    hard = np.random.default_rng(1).normal(0.9, 0.2, len(ITEMS))
    run = generator.normal(0, 0.0005)
    loss = hard - effect + run + generator.normal(0, 0.004, len(ITEMS))
    yield Run(arm, replicate, seed, Grades(KIND, ITEMS, loss, np.ones(len(ITEMS)), unit="bits per byte"))
    for task in PAGE.TASKS:
        answers = 0.4 + 10 * effect + generator.normal(0, 0.05, len(ITEMS))
        yield Run(arm, replicate, seed, Grades(task, ITEMS, answers, np.ones(len(ITEMS)), unit="acc", higher_is_better=True))


def stage(folder: Path, name: str, effects: Mapping[str, float], subsets: int = 4) -> None:
    """The results of a stage whose arms have these effects."""
    generator = np.random.default_rng(sum(name.encode()))
    runs = [run for k in range(subsets) for seed in (0, 1) for run in graded("random", k, seed, 0.0, generator)]
    for arm, effect in effects.items():
        runs += [run for seed in (0, 1, 2, 3) for run in graded(arm, 0, seed, effect, generator)]
    Verification.of(runs).write(folder / f"{name}.parquet")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's program over results of a folder of its own."""
    monkeypatch.setattr(PAGE, "RESULTS", tmp_path)
    monkeypatch.setattr(PAGE, "RESAMPLES", 400)
    return PAGE


def effects(**changed: float) -> dict[str, float]:
    return dict.fromkeys(METHODS, 0.0) | {"longest": 0.0} | {f"length-matched to {name}": 0.0 for name in METHODS} | {name.replace("_", "+"): value for name, value in changed.items()}  # fmt: skip


def test_a_method_works_where_it_is_better_everywhere_and_no_other_does(tmp_path: Path, page: ModuleType) -> None:
    for pool in page.POOLS:
        stage(tmp_path, f"stage_1_{pool}", effects(rds_=0.02, ifd=-0.02))
        stage(tmp_path, f"stage_2_{pool}", {"rds+": 0.02, "longest": 0.0, "ifd": 0.0})
    assert page.works("rds+") == (True, "")
    assert page.works("ifd") == (False, "not better than random on Alpaca")
    text = page.page()
    assert "**What works at this size: RDS+ toward the target.**" in text and "Without a target: random." in text
    (row,) = [line for line in text.splitlines() if line.startswith("| IFD") and "| worse |" in line][:1]
    assert "| -0.0" in row


def test_another_sign_at_the_second_learning_rate_is_no_effect(tmp_path: Path, page: ModuleType) -> None:
    for number, pool in enumerate(page.POOLS):
        stage(tmp_path, f"stage_1_{pool}", effects(rds_=0.02))
        stage(tmp_path, f"stage_2_{pool}", {"rds+": (0.02, -0.02)[number], "longest": 0.0, "ifd": 0.0})
    assert page.works("rds+") == (False, "another sign on another pool or at another learning rate")
    assert "**Nothing works at this size, as we defined it beforehand.**" in page.page()


def test_what_is_worse_everywhere_and_what_leads_at_the_second_rate_alone_are_said(tmp_path: Path, page: ModuleType) -> None:
    for pool in page.POOLS:
        stage(tmp_path, f"stage_1_{pool}", effects(deita=-0.05, ifd=-0.05 if pool == "dolly" else 0.0) | {"whole pool": 0.05})
        stage(tmp_path, f"stage_2_{pool}", {"rds+": 0.05, "longest": 0.0, "ifd": 0.05 if pool == "dolly" else 0.0})
    text = page.page()
    assert "- Worse than random on both pools, so better left alone: DEITA's filter over the longest." in text
    (lead,) = [line for line in text.splitlines() if line.startswith("One lead, and no result")]
    assert lead.count("[+0.0") == 2 and "RDS+" in lead and "at the learning rate that was decided beforehand it is not" in lead
    assert "The whole pool, several times the tokens, is ahead of random on both pools (+0.0" in text
    stage(tmp_path, "stage_1_dolly", effects(deita=0.0) | {"whole pool": -0.05})
    assert "left alone" not in page.page() and "several times the tokens" not in page.page()


def test_no_recommendation_is_given_before_the_stages_it_follows_from_are_there(tmp_path: Path, page: ModuleType) -> None:
    stage(tmp_path, "stage_1_dolly", effects(rds_=0.02))
    text = page.page()
    assert "are not complete" in text and "works at this size" not in text and "No run yet." in text
    glance = [line.split("|") for line in text.splitlines() if line.startswith(("| RDS+", "| IFD"))][:2]
    assert [(row[1].split()[0], row[-2].strip()) for row in glance] == [("RDS+", "open"), ("IFD,", "no: not better than random on Dolly")]
    assert "6 of 7 ways cannot pass any more in this study" in text
    assert page.has_failed("rds+") == "" and page.has_failed("ifd") == "not better than random on Dolly: no detectable difference"


def test_no_verdict_is_given_before_every_way_has_all_its_runs(tmp_path: Path, page: ModuleType) -> None:
    stage(tmp_path, "stage_1_dolly", {"rds+": 0.02})
    glance, row = [line for line in page.page().splitlines() if line.startswith("| RDS+")]
    assert "Not complete yet, so without verdicts: 6 of 7 ways lack runs." in page.page() and row.count("|") == 5
    assert glance.split("|")[-2].strip() == "open"
    generator = np.random.default_rng(0)
    runs = [run for k in range(4) for run in graded("random", k, 0, 0.0, generator)]
    for arm in (*METHODS, "longest"):
        runs += [run for seed in range(2 - (arm == "plausibility")) for run in graded(arm, 0, seed, 0.0, generator)]
    Verification.of(runs).write(tmp_path / "stage_1_alpaca.parquet")
    assert page.missing_of(page.Stage("stage_1_alpaca")) == {"plausibility"}
    assert "without verdicts: 1 of 7 ways lack runs." in page.page() and page.has_failed("ifd") == ""


def test_ways_that_took_the_same_rows_are_named(tmp_path: Path, page: ModuleType) -> None:
    stage(tmp_path, "stage_1_dolly", effects(rds_=0.02))
    assert page.same_models(page.Stage("stage_1_dolly")) == []
    runs = [run for arm in ("deita", "longest") for run in graded(arm, 0, 0, 0.0, np.random.default_rng(3))]
    runs += list(graded("ifd", 0, 0, 0.0, np.random.default_rng(4)))
    Verification.of(runs).write(tmp_path / "stage_1_alpaca.parquet")
    (line, _) = page.same_models(page.Stage("stage_1_alpaca"))
    assert line == "One and the same rows, so the same models: DEITA's filter over the longest, longest responses."


def test_an_outcome_that_its_interval_does_not_show_says_by_what_it_is_one() -> None:
    verdicts = PAGE.Stage("stage_1_dolly").against("random", [*METHODS, "longest"], pool_seeds=True)
    shown = {method: PAGE.told(verdict) for method, verdict in verdicts.items()}
    for method, verdict in verdicts.items():
        holds_0 = verdict.interval.low <= 0 <= verdict.interval.high
        assert ("Holm" in shown[method]) == (holds_0 and verdict.outcome in ("better", "worse"))
    # Random is better than some: than one by Holm's correction alone, than others by the interval as well.
    worse = [method for method, verdict in verdicts.items() if verdict.outcome == "better"]
    assert {"Holm" in shown[method] for method in worse} == {True, False}


def test_a_second_learning_rate_counts_when_all_its_models_are_there(tmp_path: Path, page: ModuleType) -> None:
    for pool in page.POOLS:
        stage(tmp_path, f"stage_1_{pool}", effects(rds_=0.02))
        stage(tmp_path, f"stage_2_{pool}", {"rds+": 0.02, "longest": 0.0, "ifd": 0.0})
    assert all(page.is_finished(pool) for pool in page.POOLS)

    def at_second_rate() -> list[bool]:
        rows = [line.split("|") for line in page.page().splitlines() if line.startswith("| RDS+")]
        return [bool(row[6].strip()) for row in rows if len(row) == 11]

    assert at_second_rate() == [True, True]
    stage(tmp_path, "stage_2_dolly", {"rds+": 0.02, "longest": 0.0})
    assert not page.is_finished("dolly") and "are not complete" in page.page() and at_second_rate() == [True, False]
    stage(tmp_path, "stage_2_dolly", {"rds+": 0.02, "longest": 0.0, "ifd": 0.0}, subsets=1)
    assert not page.is_finished("dolly")


def test_halves_are_told_apart_by_the_indicator_that_made_them_better(tmp_path: Path, page: ModuleType) -> None:
    generator = np.random.default_rng(5)
    values = {f"half {number}-{side}": float(generator.normal()) for number in range(12) for side in (0, 1)}
    runs = [run for arm, value in values.items() for run in graded(arm, 0, 0, 0.01 * value, generator) if run.grades.grader == KIND]
    Verification.of(runs).write(tmp_path / "stage_4.parquet")
    predicted = {arm: {"good": value, "noise": float(generator.normal())} for arm, value in values.items()}
    (tmp_path / "stage_4.predicted.json").write_text(json.dumps(predicted))
    losses = {arm: value for (arm, _, _), value in page.Stage("stage_4").losses().items()}
    r, low, high = page.scored(predicted, losses, "good")
    # A higher value goes with a lower loss.
    assert -1 <= low <= r <= high < -0.8
    r, low, high = page.scored(predicted, losses, "noise")
    assert low < 0 < high
    told = "\n".join(page.stage_4())
    assert "leaves 0 out for good alone, none of them corrected for the 2 that were asked" in told and "24 models" in told


def test_fifths_are_told_when_all_their_models_are_there(tmp_path: Path, page: ModuleType) -> None:
    settings = page.protocol()["stage_3"]
    arms = [f"{indicator} bin {number}" for indicator in settings["indicators"] for number in range(settings["bins"])]
    generator = np.random.default_rng(6)
    runs = [run for place, arm in enumerate(arms) for run in graded(arm, 0, 0, 0.1 * (place % 5), generator) if run.grades.grader == KIND]
    Verification.of(runs[:-1]).write(tmp_path / "stage_3.parquet")
    assert page.stage_3()[2] == f"Not complete yet: {len(arms) - 1} of {len(arms)} models."
    Verification.of(runs).write(tmp_path / "stage_3.parquet")
    (tmp_path / "stage_3.trained.json").write_text(
        json.dumps([{"arm": arm, "rows": 50 + place, "loss_tokens": 1000 + place} for place, arm in enumerate(arms)])
    )
    told = page.stage_3()
    rows = [line for line in told if line.startswith("| ") and "fifth" not in line and "---" not in line]
    assert len(rows) == len(settings["indicators"]) and all(row.split("|")[-2].strip() == "-1.0" for row in rows)
    # What a model learned from stands beside its loss.
    assert all(f"({50 + place} / {1000 + place:,})" in rows[place // settings["bins"]] for place in range(len(arms)))
    # Of five in a row, the surest order of 120 and its reverse.
    assert any(f"the exact p is {2 / 120:.3f}, and {4 * 2 / 120:.3f} corrected for the 4" in line for line in told)


def test_what_indicators_say_of_halves_is_their_own_value() -> None:
    """Selection ranks by the negative of most: none of these can be negative itself."""
    predicted = json.loads((PAGE.RESULTS / "stage_4.predicted.json").read_text())
    for half, values in predicted.items():
        assert all(values[name] > 0 for name in ("len", "len_in", "mtld", "knn_6", "ppl", "ifd", "tokens")), half


def test_ways_stand_beside_random_rows_of_their_lengths_when_all_their_models_are_there(tmp_path: Path, page: ModuleType) -> None:
    settings = page.protocol()["stage_5"]
    trained = [{"arm": arm, "trained_rows": 100 + place, "tokens": 33_000} for place, arm in enumerate(("random", "longest", *METHODS))]
    for pool in page.POOLS:
        # The more rows, the lower the loss.
        stage(tmp_path, f"stage_1_{pool}", {run["arm"]: 0.01 * place for place, run in enumerate(trained) if run["arm"] != "random"})
        (tmp_path / f"stage_1_{pool}.trained.json").write_text(json.dumps(trained))
    told = page.stage_5()
    assert "-1.00 [-1.00, -1.00] over 8 arms of Alpaca" in told[2]
    n_models = 2 * len(settings["methods"]) * settings["length_matched_subsets"]
    assert told[4].endswith(f"not complete yet, 0 of {n_models} models.")
    for pool in settings["pools"]:
        generator = np.random.default_rng(3)
        runs = [
            run
            for method in settings["methods"]
            for k in range(settings["length_matched_subsets"])
            # As good as the way itself but for IFD, whose like-long rows are better than it.
            for run in graded(f"length-matched to {method}", k, 0, 0.01 * (2 + METHODS.index(method)) + 0.03 * (method == "ifd"), generator)
            if run.grades.grader == KIND
        ]
        Verification.of(runs).write(tmp_path / f"stage_5_{pool}.parquet")
        trained = [
            {"arm": f"length-matched to {method}", "trained_rows": 50 + place, "tokens": 33_000} for place, method in enumerate(METHODS)
        ]
        (tmp_path / f"stage_5_{pool}.trained.json").write_text(json.dumps(trained))
    rows = [line for line in page.stage_5() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) == len(settings["methods"])
    for method, row in zip(settings["methods"], rows, strict=True):
        for cell in (row.split("|")[4], row.split("|")[7]):
            estimate, low, high = (float(part.strip("[],")) for part in cell.split())
            assert low < estimate < high and estimate == pytest.approx(-0.03 if method == "ifd" else 0.0, abs=0.003), row
            assert high < 0 or method != "ifd"
    assert all(
        row.split("|")[2].strip() == f"{102 + METHODS.index(method)} / {50 + METHODS.index(method)}"
        for method, row in zip(settings["methods"], rows, strict=True)
    )


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.PAGE.read_text(encoding="utf-8") == PAGE.page(), "run: python docs/build_what_selection_is_worth.py"


def test_what_a_way_costs_is_what_its_models_read() -> None:
    counted = json.loads((PAGE.RESULTS / PAGE.COST).read_text())
    weights, read = counted["weights"], counted["tokens"]
    training = counted["passes_of_a_training"] * PAGE.protocol()["pools"]["tokens"] * weights["language model"]
    small = {symbol: read[symbol] * weights["MiniLM"] for symbol in ("knn_6", "plausibility")}
    large = {symbol: read[symbol] * weights["language model"] for symbol in ("ifd", "rds+")}
    expected = {
        "deita": small["knn_6"],
        "longest": 0,
        "plausibility": small["plausibility"],
        "our-rule": sum(small.values()) + large["ifd"],
    }
    expected |= {"eq4-without-reward": small["knn_6"], **large}
    assert counted["trainings"] == {method: pytest.approx(work / training, abs=6e-4) for method, work in expected.items()}
    assert counted["rows"] == PAGE.protocol()["pools"]["candidates"]
    # IFD reads each response twice, once of them alone: more than RDS+, which reads each row once, and less than twice as much.
    assert read["rds+"] < read["ifd"] < 2 * read["rds+"]


def test_a_published_null_result_is_one_on_this_model_too() -> None:
    stage = PAGE.Stage("stage_0")
    assert stage.runs("ifd") == stage.runs("random") == 3 and stage.runs("untouched") == 1
    assert PAGE.outcome(stage.against("random", ["ifd"])["ifd"]) == "no detectable difference"
    # Both are better than no fine-tune.
    assert max(stage.mean("ifd"), stage.mean("random")) < stage.mean("untouched")


def test_the_methods_to_be_matched_in_length_are_those_ahead_of_random_and_of_longest(tmp_path: Path) -> None:
    run = script(ROOT / "benchmarks/record/run.py")
    stage(tmp_path, "stage_1_dolly", effects(rds_=0.02, ifd=0.02, deita=-0.02))
    record = run.Record(run.Material(tmp_path, "base", tmp_path), tmp_path)
    assert record.ahead(tmp_path / "stage_1_dolly.parquet", METHODS) == ["ifd", "rds+"]
    assert record.ahead(tmp_path / "stage_1_alpaca.parquet", METHODS) == []
    stage(tmp_path, "stage_1_alpaca", effects(rds_=0.02, longest=0.02))
    assert record.ahead(tmp_path / "stage_1_alpaca.parquet", METHODS) == []


def test_what_is_graded_goes_on_from_its_results_alone(tmp_path: Path) -> None:
    run = script(ROOT / "benchmarks/record/run.py")
    for results in (tmp_path / "stage_1_dolly.parquet", PAGE.RESULTS / "stage_1_alpaca.parquet"):
        if results.parent == tmp_path:
            stage(tmp_path, "stage_1_dolly", effects(rds_=0.02))
        known, before = run.earlier(results), Verification.read(results)
        again = Verification.of([part for parts in known.values() for part in parts], fixed=before.fixed, loss_unit="bits per byte")
        assert again.frame.equals(before.frame) and again.graders == before.graders and again.fixed == before.fixed
        assert set(known) == {tuple(row) for row in before.frame.select("arm", "replicate", "seed").iter_rows()}
    assert run.earlier(tmp_path / "none.parquet") == {}
