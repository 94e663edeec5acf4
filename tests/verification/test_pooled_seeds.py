"""Seeds pooled over arms: the figures by hand, what they take for granted in every output, and the setting on its way through a plan."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from instructsel.experiments.plan import Experiment, PlannedArm, StatisticsSettings
from instructsel.protocols import Grades
from instructsel.reports.plain_text import headline
from instructsel.reports.render import report
from instructsel.stats.intervals import pooling
from instructsel.stats.power import Plan, power
from instructsel.stats.variance import Components
from instructsel.verification.grades_table import Run
from instructsel.verification.results import read_verdict
from instructsel.verification.skills import SkillTable
from instructsel.verification.verdict import ComparisonSettings
from instructsel.verification.verification import Verification
from tests.commands.conftest import in_this_process

PER_RUN: Mapping[str, Any] = {"selection": (0.52, 0.55), "random": (0.40, 0.44), "longest": (0.47, 0.48)}
ARMS = "longest, random and selection"


def table(path: Path, values: Mapping[str, Iterable[float]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(arm, 0, seed, "qa", value, "true") for arm, runs in values.items() for seed, value in enumerate(runs)]
        csv.writer(file).writerows([("arm", "replicate", "seed", "task", "value", "higher_is_better"), *rows])
    return path


def verify(folder: Path, *arguments: str) -> Any:
    done = in_this_process(folder, ("verify", *arguments), environment={"COLUMNS": "80"})
    assert "Traceback" not in done.stdout + done.stderr
    assert "--json" in arguments or all(len(line) <= 80 for line in done.stdout.splitlines())
    return done


def graded(values: Mapping[str, Any]) -> list[Run]:
    return [
        Run(arm, 0, seed, Grades("loss", tuple(f"q{n}" for n in range(len(items))), items, np.ones(len(items)), unit="nats"))
        for arm, runs in values.items()
        for seed, items in enumerate(runs)
    ]


def test_results_per_run_have_the_t_interval_of_the_variance_that_all_arms_have_together(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", PER_RUN)
    assert verify(tmp_path, "--results", "t.csv", "--pool-seeds", "-o", "v").returncode == 0
    record = read_verdict(tmp_path / "v" / "verdict.json")
    interval = next(each for each in record["verdicts"]["verdicts"] if each["baseline"] == "random")["interval"]
    # Three pairs of seeds, a degree of freedom each; two comparisons share 5 %.
    variance = sum((one - other) ** 2 / 2 for one, other in PER_RUN.values()) / 3
    error = math.sqrt(variance / 2 + variance / 2)
    half = stats.t.ppf(1 - 0.05 / 2 / 2, 3) * error
    assert interval["estimate"] == pytest.approx(0.115) and interval["standard_error"] == pytest.approx(error)
    assert (interval["low"], interval["high"]) == (pytest.approx(0.115 - half), pytest.approx(0.115 + half))
    assert interval["df"] == pytest.approx(3) and interval["p"] == pytest.approx(2 * stats.t.sf(0.115 / error, 3))
    assert record["pool_seeds"] is True and interval["pooled_seeds"] == ["longest", "random", "selection"]


def test_items_and_runs_have_the_variance_worked_out_from_sums_of_squares() -> None:
    random = np.random.default_rng(5)
    n, items = 40, random.normal(0, 1, 40)
    values = {
        arm: items + shift + random.normal(0, 0.1, (2, 1)) + random.normal(0, 0.3, (2, n))
        for arm, shift in (("selection", 0.2), ("random", 0.0), ("other", 0.1), ("fourth", 0.1))
    }
    interval = Verification.of(graded(values)).difference("selection", "random", "loss", n_resamples=0, pool_seeds=True)
    between = residual = 0.0
    for runs in values.values():
        gap = runs[0] - runs[1]
        between += gap.mean() ** 2 / 2
        residual += ((gap - gap.mean()) ** 2).sum() / 2 / (n - 1)
    between, residual = between / 4, residual / 4
    over_items = (values["selection"].mean(axis=0) - values["random"].mean(axis=0)).var(ddof=1)
    variance = between / 2 + between / 2 + max(over_items - residual / 2 - residual / 2, 0.0) / n
    assert interval.standard_error == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert interval.estimate == pytest.approx(values["selection"].mean() - values["random"].mean())
    assert interval.pooled_seeds == ("fourth", "other", "random", "selection")


def test_what_is_planned_would_find_the_effect_of_a_t_test_with_the_seeds_of_all_arms() -> None:
    components = Components(items=0.0, residual=0.0, seeds=0.04, replicates=None, item_sd=1.0)
    plan = Plan(items=1, replicates=1, seeds=2, baseline_replicates=1, baseline_seeds=2)
    alone = power(plan, components, effect=0.1, generalize_to="runs")
    pooled = power(plan, components, effect=0.1, generalize_to="runs", pooled_with=[(1, 2)] * 6)
    # Eight arms of two seeds: eight degrees of freedom, and the error of two means of two.
    error, critical = math.sqrt(0.04 / 2 + 0.04 / 2), stats.t.ppf(0.975, 8)
    effect = optimize.brentq(lambda effect: stats.nct.sf(critical, 8, effect / error) - 0.8, 0.01, 10)
    assert pooled.detectable == pytest.approx(effect, rel=0.01) and alone.detectable > 2 * pooled.detectable


def test_more_runs_of_pooled_arms_never_need_a_larger_effect() -> None:
    random = np.random.default_rng(6)
    values = {
        f"arm {number}": random.normal(0, 1, 30) + random.normal(0, 0.2, (2, 1)) + random.normal(0, 0.1, (2, 30)) for number in range(6)
    }
    interval = Verification.of(graded(values)).difference("arm 0", "arm 1", "loss", n_resamples=0, pool_seeds=True)
    assert interval.spread is not None
    effects = [interval.detectable or 0.0, *(interval.spread.scaled(runs=n).detectable() for n in (3, 4, 8, 32))]
    assert effects == sorted(effects, reverse=True)


def test_every_output_says_once_that_seeds_are_pooled_and_what_that_assumes(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", PER_RUN)
    sentence = pooling(["longest", "random", "selection"])
    assert ARMS in sentence and "as if all of them varied alike" in sentence
    printed = verify(tmp_path, "--results", "t.csv", "--pool-seeds", "-o", "v").stdout
    assert " ".join(printed.split()).count(sentence) == 1
    record = read_verdict(tmp_path / "v" / "verdict.json")
    assert all(sentence in each["statement"] for each in record["verdicts"]["verdicts"]) and sentence in headline(record)
    for source in ("v", "v/verification.parquet"):
        page = json.loads(report(tmp_path / source).json())
        texts = {section["name"]: section["text"] for section in page["sections"]}
        assert texts["outcome"].count(sentence) == 1 == texts["verification"].count(sentence)
        assert not any(sentence in text and text != sentence for text in texts["verification"])
    assert "pooled" not in verify(tmp_path, "--results", "t.csv", "-o", "w").stdout
    assert read_verdict(tmp_path / "w" / "verdict.json")["pool_seeds"] is False


def test_where_no_seeds_can_be_pooled_that_is_said(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", {arm: PER_RUN[arm] for arm in ("selection", "random")})
    both = " ".join(verify(tmp_path, "--results", "t.csv", "--pool-seeds", "-o", "v").stdout.split())
    assert "pooled over random and selection" in both
    random = np.random.default_rng(8)
    runs = graded({"selection": random.normal(0, 1, (2, 50)), "random": random.normal(0, 1, (1, 50))})
    settings = ComparisonSettings(generalize_to="items", pool_seeds=True, n_resamples=0)
    verdict = Verification.of(runs).verdict("selection", "random", "loss", settings=settings)
    assert verdict.interval.pooled_seeds == () and "Pooling seeds changes nothing here" in verdict.statement


def test_a_single_run_is_not_enough_data_however_seeds_are_pooled() -> None:
    random = np.random.default_rng(9)
    values = {"selection": random.normal(0, 1, (1, 50)) - 9, "random": random.normal(0, 1, (3, 50)), "other": random.normal(0, 1, (3, 50))}
    settings = ComparisonSettings(pool_seeds=True, n_resamples=0)
    verdict = Verification.of(graded(values)).verdict("selection", "random", "loss", settings=settings)
    assert verdict.outcome == "not enough data" and "selection has one run" in str(verdict.reason)


def test_a_plan_holds_the_setting_and_another_call_reads_it(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", PER_RUN)
    verify(tmp_path, "--results", "t.csv", "--pool-seeds", "-o", "v")
    assert "pool_seeds = true" in (tmp_path / "v" / "plan.toml").read_text(encoding="utf-8")
    assert Experiment.read(tmp_path / "v" / "plan.toml").statistics.pool_seeds is True
    again = verify(tmp_path, "v/plan.toml", "-o", "again", "--json")
    first, second = read_verdict(tmp_path / "v" / "verdict.json"), json.loads(again.stdout)
    assert second["verdicts"] == first["verdicts"] and second["pool_seeds"] is True
    changed = verify(tmp_path, "--results", "t.csv", "-o", "v")
    assert changed.returncode == 0 and "pool seeds True → False" in " ".join(changed.stderr.split())
    arms = tuple(PlannedArm(name, results=((f"{name}.csv",),)) for name in ("selection", "random"))
    assert "pool_seeds" not in str(Experiment(arms).as_dict())
    plan = Experiment(arms, statistics=StatisticsSettings(pool_seeds=True))
    assert Experiment.of(plan.as_dict()) == plan


def test_a_report_on_another_arm_pools_as_the_verification_did(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", PER_RUN)
    verify(tmp_path, "--results", "t.csv", "--pool-seeds", "-o", "v")
    page = json.loads(report(tmp_path / "v" / "verification.parquet", arm="longest").json())
    text = next(section for section in page["sections"] if section["name"] == "verification")["text"]
    assert pooling(["longest", "random", "selection"]) in text


def test_what_is_required_is_decided_by_the_pooled_interval(tmp_path: Path) -> None:
    # By hand: t 0.05 / 0.0283 with few degrees of freedom alone; pooled 0.05 / 0.02 with four, p 0.033.
    values = {"selection": (0.46, 0.50), "random": (0.42, 0.46), "longest": (0.470, 0.471), "shortest": (0.450, 0.451)}
    table(tmp_path / "t.csv", values)
    demand = ("--results", "t.csv", "--require", "non-inferior", "--margin", "0.01")
    assert verify(tmp_path, *demand, "-o", "alone").returncode == 1
    assert verify(tmp_path, *demand, "--pool-seeds", "-o", "pooled").returncode == 0


def test_skills_are_judged_by_the_pooled_interval() -> None:
    random = np.random.default_rng(10)
    items = random.normal(0, 1, 200)

    def arm(shift: float) -> Any:
        return items + shift + random.normal(0, 0.02, (2, 1)) + random.normal(0, 0.05, (2, 200))

    runs = graded({"base": (items,), "selection": arm(0.1), "random": arm(0.1), "longest": arm(0.1), "shortest": arm(0.1)})
    verification = Verification.of(runs, fixed=["base"])
    interval = verification.difference("selection", "base", "loss", confidence=0.9, n_resamples=0, pool_seeds=True)
    cell = SkillTable.measured(verification, base="base", pool_seeds=True).cells["selection"]["loss"]
    alone = SkillTable.measured(verification, base="base").cells["selection"]["loss"]
    assert interval.low is not None and interval.high is not None and cell.low is not None and alone.low is not None
    assert (cell.low, cell.high) == (pytest.approx(-interval.high), pytest.approx(-interval.low))
    assert cell.regressed and cell.low > alone.low
