"""How far a benchmark, a judge and people agree: planted agreement is found, and published tables say what their papers say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.experiments.from_selection import load_arms
from instructsel.experiments.plan import Experiment, PlannedArm, TrainingSettings
from instructsel.grading.outputs import digest_of
from instructsel.human.files import write_judgments
from instructsel.human.record import Record
from instructsel.human.results import arms_in, grades_of_people
from instructsel.protocols import Grades
from instructsel.reports.render import report
from instructsel.stats.agreement import cohen_kappa
from instructsel.verification.graders_agree import GradersAgreement, graders_agree, kind_of
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification
from tests.human.study_records import study
from tests.verification.test_skills import AVERAGES, LENGTHS, SIZES, SKILLS, TABLE_3

JUDGE: dict[str, Any] = {"settings": {"judge": {"kind": "judge"}, "reference": {"generator": "davinci", "digest": "d"}}}


def grades(
    grader: str, values: Mapping[str, float], *, unit: str = "", record: Mapping[str, Any] | None = None, higher: bool = True
) -> Grades:
    return Grades(
        grader,
        tuple(values),
        np.array(list(values.values())),
        np.ones(len(values)),
        unit=unit,
        higher_is_better=higher,
        record=record or {},
    )


def agreement(runs: Sequence[Run], **settings: Any) -> GradersAgreement:
    found = graders_agree(runs, Verification.of(runs).as_dict()["graders"], resamples=200, **settings)
    assert found is not None
    return found


def over_arms(rows: Mapping[str, Sequence[float | None]], names: Sequence[str], judge: str) -> list[Run]:
    """A run an arm, with one figure a skill; that of the judge as a share."""
    runs = []
    for arm, row in rows.items():
        for name, value in zip(names, row, strict=True):
            if value is not None:
                of_judge = name == judge
                graded = grades(name, {"all": value / 100 if of_judge else value}, unit="preference" if of_judge else "%")
                runs.append(Run(arm, 0, 0, graded))
    return runs


def test_the_published_table_says_that_judge_and_benchmarks_disagree() -> None:
    found = agreement(over_arms({arm: row for arm, row in TABLE_3.items() if arm in AVERAGES}, SKILLS, "AlpacaEval"))
    by_other = {entry.other: entry for entry in found.arms}
    assert {entry.one for entry in found.arms} == {"AlpacaEval"} and set(by_other) == {*SKILLS[:5], "mean of 5 benchmarks"}
    # Wang et al. 2023: 0.28 with the mean of the five benchmarks, −0.82 with TyDiQA.
    assert by_other["mean of 5 benchmarks"].linear.value == pytest.approx(0.28, abs=0.005)
    assert by_other["TyDiQA"].linear.value == pytest.approx(-0.82, abs=0.005)
    tydiqa = by_other["TyDiQA"]
    assert tydiqa.n_arms == 12 and tydiqa.linear.high is not None and tydiqa.linear.high < 0
    assert tydiqa.same_order.high is not None and tydiqa.same_order.high < 0.5
    # The interval with the mean of the benchmarks holds 0: twelve data sets show no agreement at all.
    mean = by_other["mean of 5 benchmarks"].linear
    assert mean.low is not None and mean.high is not None and mean.low < 0 < mean.high
    assert len(LENGTHS) == 12 and json.loads(json.dumps(found.as_dict(), allow_nan=False))["kinds"]["AlpacaEval"] == "judge"


def test_people_of_the_released_study_and_the_judge_put_four_models_in_one_order_and_benchmarks_in_another(tmp_path: Path) -> None:
    write_judgments(tmp_path / "people.csv", study())
    chosen = {arm: [(str(tmp_path / "people.csv"), arm)] for arm in arms_in(tmp_path / "people.csv")}
    runs = [Run(arm, 0, 0, results.grades[0][0][0]) for arm, results in grades_of_people(chosen).items()]
    published = {"tulu-65b": "Tülu 65B", "chatgpt": "ChatGPT", "tulu-7b": "LLaMA 7B", "human-mix-65b": "Human 65B"}
    runs += over_arms({arm: SIZES[name][:6] for arm, name in published.items()}, SKILLS, "AlpacaEval")
    found = agreement(runs)
    assert found.kinds["people against tulu-65b"] == "people"
    by_pair = {(entry.one, entry.other): entry for entry in found.arms}
    # AlpacaEval has 83.6, 61.8, 48.6, 43.4; people prefer them in the same order. MMLU puts Tülu 7B last, and the Human mix before Tülu 65B.
    assert by_pair["people against tulu-65b", "AlpacaEval"].same_order.value == 1.0
    assert by_pair["people against tulu-65b", "MMLU"].same_order.value == pytest.approx(4 / 6)
    assert by_pair["people against tulu-65b", "mean of 5 benchmarks"].same_order.value == pytest.approx(5 / 6)
    assert by_pair["people against tulu-65b", "MMLU"].same_order.low is None
    # 63 + 56 + 2 instances had two annotators; of all votes, so that the third ones count.
    (among,) = found.people
    assert among.same.n == 121 and among.same.value is not None and 0.55 < among.same.value < 0.66
    assert among.alpha.low is not None and among.alpha.value is not None and 0 < among.alpha.low < among.alpha.value < 0.6


def people(seed: int, items: int, annotators: int, accuracy: float) -> tuple[list[Record], np.ndarray]:
    """Annotators who prefer the truly better response with a probability, and which one that is."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(2, size=items)
    records = []
    for item in range(items):
        for number in range(annotators):
            selection_wins = truth[item] == 0 if generator.random() < accuracy else truth[item] == 1
            turned = generator.random() < 0.5
            models = ("random", "selection") if turned else ("selection", "random")
            records.append(Record(f"a{number}", f"i{item}", f"prompt {item}", *models, preference=4 if selection_wins == turned else 0))
    return records, truth


def runs_of_people(path: Path, records: Sequence[Record]) -> list[Run]:
    write_judgments(path, records)
    chosen = {arm: [(str(path), arm)] for arm in arms_in(path)}
    return [Run(arm, 0, 0, results.grades[0][0][0]) for arm, results in grades_of_people(chosen).items()]


def judge_of(truth: np.ndarray, seed: int, accuracy: float, grader: str = "judge") -> list[Run]:
    """A judge of both arms against another model's responses, who likes the better arm's response more; its items are its own names of prompts."""
    right = np.random.default_rng(seed).random(len(truth)) < accuracy
    runs = []
    for place, arm in enumerate(("selection", "random")):
        values = {digest_of(f"prompt {item}"): 0.8 if (truth[item] == place) == right[item] else 0.3 for item in range(len(truth))}
        runs.append(Run(arm, 0, 0, grades(grader, values, unit="preference", record=JUDGE)))
    return runs


def test_a_judge_and_people_are_compared_on_the_same_pairs_though_they_name_items_otherwise(tmp_path: Path) -> None:
    records, truth = people(0, 200, 3, 0.9)
    found = agreement([*runs_of_people(tmp_path / "p.csv", records), *judge_of(truth, 1, 0.8)])
    (entry,) = found.items
    assert (entry.one_kind, entry.other_kind, entry.n_judgments, entry.same.n) == ("people", "judge", 600, 200)
    # Both right or both wrong: 0.9 · 0.8 + 0.1 · 0.2 = 0.74; two annotators 0.82.
    assert entry.same.low is not None and entry.same.high is not None and entry.same.low < 0.74 < entry.same.high
    assert entry.kappa.low is not None and entry.kappa.high is not None and entry.kappa.low < 0.48 < entry.kappa.high
    (among,) = found.people
    assert among.same.low is not None and among.same.high is not None and among.same.low < 0.82 < among.same.high
    assert among.alpha.low is not None and among.alpha.high is not None and among.alpha.low < 0.64 < among.alpha.high
    # By hand, judgment by judgment.
    by_judge = judge_of(truth, 1, 0.8)
    prefers = {item: int(mine < theirs) for item, mine, theirs in zip(by_judge[0].grades.items, by_judge[0].grades.values, by_judge[1].grades.values, strict=True)}  # fmt: skip
    theirs = [0 if record.score_of("selection") == 1.0 else 1 for record in records]
    mine = [prefers[digest_of(record.prompt)] for record in records]
    assert entry.kappa.value == pytest.approx(cohen_kappa(np.array(theirs), np.array(mine), 2, resamples=2).value)
    by_item = [np.mean([a == b for a, b in zip(theirs[at : at + 3], mine[at : at + 3], strict=True)]) for at in range(0, 600, 3)]
    assert entry.same.value == pytest.approx(np.mean(by_item))


def test_a_judge_who_tosses_a_coin_has_a_kappa_around_0_and_its_interval_covers(tmp_path: Path) -> None:
    covered = 0
    for seed in range(20):
        records, truth = people(seed, 60, 2, 0.9)
        (entry,) = agreement([*runs_of_people(tmp_path / f"{seed}.csv", records), *judge_of(truth, 100 + seed, 0.5)]).items
        assert entry.kappa.low is not None and entry.kappa.high is not None
        covered += entry.kappa.low <= 0.0 <= entry.kappa.high
    # 95 % of 20 is 19; fewer than 16 happen once in 300.
    assert covered >= 16


def test_two_judges_of_one_reference_are_compared_and_those_of_two_are_not() -> None:
    truth = np.arange(40) % 2
    one, other = judge_of(truth, 3, 1.0), judge_of(truth, 4, 1.0, "other judge")
    (entry,) = agreement([*one, *other]).items
    assert (entry.same.value, entry.kappa.value, entry.n_judgments) == (1.0, 1.0, 80)
    unlike = {"settings": {"reference": {"generator": "gpt", "digest": "e"}}}
    elsewhere = [replace(run, grades=replace(run.grades, record=unlike)) for run in other]
    assert agreement([*one, *elsewhere]).items == ()


def test_a_loss_where_lower_is_better_agrees_with_a_score_where_higher_is() -> None:
    runs = []
    for number in range(6):
        runs.append(Run(f"arm {number}", 0, 0, grades("loss", {"x": 2.0 - 0.1 * number}, unit="nats per token", higher=False)))
        runs.append(Run(f"arm {number}", 0, 0, grades("accuracy", {"x": 0.1 * number})))
    (entry,) = agreement(runs).arms
    assert (entry.one_kind, entry.other_kind, entry.same_order.value) == ("benchmark", "loss", 1.0)


def test_replicates_count_alike_and_seeds_within_them() -> None:
    runs = [Run("a", 0, seed, grades("judge", {"x": 0.9}, unit="preference")) for seed in range(3)]
    runs += [Run("a", 1, 0, grades("judge", {"x": 0.1}, unit="preference")), Run("b", 0, 0, grades("judge", {"x": 0.6}, unit="preference"))]
    runs += [Run(arm, 0, 0, grades("acc", {"x": value})) for arm, value in (("a", 1.0), ("b", 2.0))]
    # a: (0.9 + 0.1) / 2 = 0.5, below b as in the accuracy; all runs alike would make it 0.7, above.
    (entry,) = agreement(runs).arms
    assert entry.same_order.value == 1.0


def test_graders_that_contradict_each_other_are_named() -> None:
    verdicts = [
        {"grader": "judge", "baseline": "random", "outcome": "better"},
        {"grader": "acc", "baseline": "random", "outcome": "worse"},
        {"grader": "leaking", "baseline": "random", "outcome": "worse", "leakage": True},
        {"grader": "acc", "baseline": "longest", "outcome": "better"},
    ]
    runs = [Run(arm, 0, 0, grades(name, {"x": 0.5}, unit=unit)) for arm in ("selection", "random") for name, unit in (("judge", "preference"), ("acc", ""))]  # fmt: skip
    found = agreement(runs, verdicts=verdicts)
    assert found.contradictions == ({"baseline": "random", "better": ["judge"], "worse": ["acc"]},)


def test_one_kind_of_grader_alone_has_no_agreement() -> None:
    runs = [Run(arm, 0, 0, grades(name, {"x": 0.5})) for arm in ("selection", "random") for name in ("bbh", "gsm8k")]
    assert graders_agree(runs, Verification.of(runs).as_dict()["graders"]) is None
    assert kind_of(Run("a", 0, 0, grades("reward", {"x": 1.0}, unit="logit"))) == "reward model"


@pytest.fixture
def graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """People's judgments, and a table with a benchmark and a judge of the same items."""
    monkeypatch.chdir(tmp_path)
    records, truth = people(5, 80, 2, 0.9)
    write_judgments("people.csv", records)
    lines = ["arm,replicate,seed,task,item,value,unit,higher_is_better"]
    for place, arm in enumerate(("selection", "random")):
        lines += [f"{arm},0,0,mt judge,i{item},{float(truth[item] == place)},preference,true" for item in range(80)]
        lines += [f"{arm},0,0,gsm8k,q{item},{float((item + 2 * place) % 3 > 0)},,true" for item in range(60)]
    Path("table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_verify_and_its_report_say_how_far_people_judge_and_benchmark_agree(graded: Path) -> None:
    arguments = ["--results", "people.csv", "--results", "table.csv", "--generalize-to", "items", "-o", "out"]
    done = CliRunner().invoke(app, ["verify", *arguments])
    assert done.exit_code == 0, done.output
    verdict = json.loads((graded / "out" / "verdict.json").read_text())
    # All three graders of both arms, in one verification.
    assert set(verdict["graders"]) == {"people", "mt judge", "gsm8k"}
    found = verdict["agreement"]
    assert found["kinds"] == {"people": "people", "mt judge": "judge", "gsm8k": "benchmark"}
    (entry,) = found["items"]
    assert (entry["one"], entry["other"], entry["n_judgments"]) == ("people", "mt judge", 160)
    assert entry["same"]["low"] < 0.9 < entry["same"]["high"] and entry["kappa"]["value"] > 0.6
    assert {(row["one"], row["other"]) for row in found["arms"]} == {("people", "mt judge"), ("people", "gsm8k"), ("mt judge", "gsm8k")}
    assert "Agreement of graders over the same responses" in done.output and "each other" in done.output
    page = report(graded / "out")
    (section,) = [section for section in page.as_dict()["sections"] if section["name"] == "agreement"]
    (on_items, by_arms) = section["parts"]
    assert [(row["one"], row["other"], row["items"]) for row in on_items["rows"]] == [
        ("people", "each other", 80),
        ("people", "mt judge", 80),
    ]
    assert on_items["rows"][1]["kappa"] == pytest.approx(entry["kappa"]["value"]) and len(by_arms["rows"]) == 3
    assert "Agreement of graders" in page.html()
    again = CliRunner().invoke(app, ["verify", "out/plan.toml", "-o", "out"])
    assert again.exit_code == 0 and again.output == done.output


@pytest.mark.usefixtures("graded")
def test_peoples_judgments_stand_beside_models_that_are_graded_here() -> None:
    arms = (
        PlannedArm("selection", rows=(("rows.jsonl",),), results=(("people.csv",),)),
        PlannedArm("random", results=(("people.csv",), ("table.csv",))),
    )
    plan = Experiment(arms, training=TrainingSettings(base="tiny"))
    Path("rows.jsonl").write_text("".join(json.dumps({"instruction": f"Say {n}.", "output": str(n)}) + "\n" for n in range(3)))
    (selection, random), _ = load_arms(plan, _NoToolkit())  # type: ignore[arg-type]
    assert len(selection.pools) == 1 and selection.labels == (((0, 0),),)
    assert [grade.grader for grade in selection.results[0][0]] == ["people"]
    assert sorted(grade.grader for grade in random.results[0][0]) == ["gsm8k", "mt judge", "people"]


class _NoToolkit:
    """No results of other programs are read here."""
