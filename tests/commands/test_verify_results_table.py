"""`verify --results TABLE`: verdicts on runs that were graded elsewhere."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from instructsel.verification.results import read_verdict
from instructsel.verification.verification import NO_ITEMS, PER_RUN, Verification
from tests.commands.conftest import in_this_process

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "verify-finished-results.md"
HEAD = ("arm", "replicate", "seed", "task", "value", "higher_is_better")
Verify = Callable[..., Any]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Verify in an empty folder, at 80 columns."""

    def call(*arguments: str) -> Any:
        done = in_this_process(tmp_path, ("verify", *arguments), environment={"COLUMNS": "80"})
        assert "Traceback" not in done.stdout + done.stderr
        assert all(len(line) <= 80 for line in (done.stdout + done.stderr).splitlines())
        done.stderr = " ".join(done.stderr.split())
        return done

    return call


def write(path: Path, rows: Iterable[Iterable[Any]], header: Iterable[str] = HEAD) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(header), *rows])
    return path


def per_run(task: str, values: Mapping[str, Iterable[Iterable[float | None]]]) -> list[tuple[Any, ...]]:
    """Rows of a task: arm → replicates → its seeds."""
    return [
        (arm, replicate, seed, task, value, "true")
        for arm, replicates in values.items()
        for replicate, seeds in enumerate(replicates)
        for seed, value in enumerate(seeds)
    ]


def test_the_examples_of_the_page_print_what_it_shows(tmp_path: Path, verify: Verify) -> None:
    page = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"^`([\w.]+)`:\n\n```csv\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == ["results.csv", "judged.csv"]
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    examples = re.findall(r"```\ninstructsel verify ([^\n]*)\n```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for arguments, printed in examples:
        done = verify(*shlex.split(arguments))
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip() == printed.rstrip(), done.stdout
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        spoken: list[Any] = []
        exec(code[1], {"print": lambda *parts: spoken.append(parts)})
    assert spoken[0] == ("better",) and len(spoken) == 3


def test_results_per_run_have_an_interval_over_runs_a_little_wider_than_welchs_and_say_that_they_hold_no_items(
    tmp_path: Path, verify: Verify
) -> None:
    mine, theirs = [0.52, 0.55, 0.51], [0.40, 0.44, 0.43, 0.39]
    write(tmp_path / "t.csv", per_run("qa", {"selection": [mine], "random": [[value] for value in theirs]}))
    done = verify("--results", "t.csv", "-o", "v")
    assert done.returncode == 0 and PER_RUN in " ".join(done.stdout.split()), done.stderr
    (verdict,) = read_verdict(tmp_path / "v" / "verdict.json")["verdicts"]["verdicts"]
    interval, welch = verdict["interval"], stats.ttest_ind(mine, theirs, equal_var=False)
    bounds = welch.confidence_interval(0.95)
    # With three runs a side Welch's covers down to 94 % where sides vary unlike; ours are wider there.
    assert interval["low"] <= bounds.low + 1e-12 and interval["high"] >= bounds.high - 1e-12
    assert interval["standard_error"] == pytest.approx(welch.statistic and (np.mean(mine) - np.mean(theirs)) / welch.statistic)
    assert (verdict["outcome"], interval["generalize_to"], interval["n_replicates"], interval["n_seeds"]) == (
        "better",
        "runs",
        [1, 4],
        [3, 4],
    )
    assert "results per run; 1 replicate with 3 runs vs 4 replicates with 4 runs" in verdict["statement"]
    alike = [0.41, 0.44, 0.43]
    write(tmp_path / "t.csv", per_run("qa", {"selection": [mine], "random": [alike]}))
    verify("--results", "t.csv", "-o", "w")
    (verdict,) = read_verdict(tmp_path / "w" / "verdict.json")["verdicts"]["verdicts"]
    bounds = stats.ttest_ind(mine, alike, equal_var=False).confidence_interval(0.95)
    assert 1.0 <= (verdict["interval"]["high"] - verdict["interval"]["low"]) / (bounds.high - bounds.low) <= 1.2
    read = Verification.read(tmp_path / "w" / "verification.parquet")
    again = read.verdict("selection", "random", "qa")
    assert read.graders["qa"].aggregated and again.statement == verdict["statement"]


def test_results_per_run_are_not_enough_where_runs_are_one_a_side_or_items_are_asked_about(tmp_path: Path, verify: Verify) -> None:
    write(tmp_path / "t.csv", per_run("qa", {"selection": [[0.9]], "random": [[0.1]]}))
    single = verify("--results", "t.csv", "-o", "single", "--require", "better")
    assert single.returncode == 1 and "With one run a side, and no arm with several" in " ".join(single.stdout.split())
    assert "--generalize-to items" not in single.stderr and PER_RUN not in " ".join(single.stdout.split())
    write(tmp_path / "t.csv", per_run("qa", {"selection": [[0.9]], "random": [[0.1], [0.11], [0.12]]}))
    lent = verify("--results", "t.csv", "-o", "lent", "--require", "better")
    assert lent.returncode == 1 and "With one result of selection, it is unknown how much its runs vary" in " ".join(lent.stdout.split())
    write(tmp_path / "t.csv", per_run("qa", {"selection": [[0.9, 0.91, 0.92]], "random": [[0.1, 0.11, 0.12]]}))
    items = verify("--results", "t.csv", "-o", "items", "--generalize-to", "items")
    assert items.returncode == 0 and NO_ITEMS in " ".join(items.stdout.split()) and "not enough data" in items.stdout
    clear = verify("--results", "t.csv", "-o", "clear", "--require", "better")
    assert clear.returncode == 0, clear.stderr
    close = write(tmp_path / "t.csv", per_run("qa", {"selection": [[0.5, 0.52, 0.51]], "random": [[0.51, 0.5, 0.52]]}))
    undecided = verify("--results", close.name, "-o", "near")
    assert "no standard deviation over items" in " ".join(undecided.stdout.split()) and "not enough data" in undecided.stdout
    non_inferior = verify("--results", close.name, "-o", "near", "--require", "non-inferior", "--margin", "0.1")
    assert non_inferior.returncode == 0, non_inferior.stderr


def test_a_run_without_a_value_is_none_and_is_said(tmp_path: Path, verify: Verify) -> None:
    write(tmp_path / "t.csv", per_run("qa", {"selection": [[0.9, None, 0.92, 0.91]], "random": [[0.1], [0.12], [0.11]]}))
    done = verify("--results", "t.csv", "-o", "v", "--require", "better")
    assert done.returncode == 1 and "runs are missing (1 of selection)" in done.stderr
    assert "1 row without a value" in done.stderr and "The verdict lacks 1 run of selection: 1 failed." in " ".join(done.stdout.split())
    assert read_verdict(tmp_path / "v" / "verdict.json")["arms"]["selection"] == {"0": [0, 2, 3]}


def item_rows(values: Mapping[str, Mapping[str, float | None]], clusters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
    return [
        (arm, 0, 0, "qa", item, (clusters or {}).get(item, ""), "" if value is None else value)
        for arm, by_item in values.items()
        for item, value in by_item.items()
    ]


ITEM_HEAD = ("arm", "replicate", "seed", "task", "item", "cluster", "value")


def test_values_per_item_have_the_paired_interval_and_clusters_count(tmp_path: Path, verify: Verify) -> None:
    random = np.random.default_rng(5)
    ours, theirs = random.normal(0.6, 0.1, 40), random.normal(0.5, 0.1, 40)
    values = {
        "selection": {f"i{number:02}": float(value) for number, value in enumerate(ours)},
        "random": {f"i{number:02}": float(value) for number, value in enumerate(theirs)},
    }
    write(tmp_path / "t.csv", item_rows(values), ITEM_HEAD)
    assert verify("--results", "t.csv", "-o", "v", "--generalize-to", "items").returncode == 0
    (verdict,) = read_verdict(tmp_path / "v" / "verdict.json")["verdicts"]["verdicts"]
    bounds = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert 1.0 <= (verdict["interval"]["high"] - verdict["interval"]["low"]) / (bounds.high - bounds.low) <= 1.2
    assert "verification v: finished" in in_this_process(tmp_path, ("status", "v"), environment={}).stdout
    # Equal clusters: their means are paired.
    clusters = {f"i{number:02}": f"p{number // 4}" for number in range(40)}
    write(tmp_path / "t.csv", item_rows(values, clusters), ITEM_HEAD)
    verify("--results", "t.csv", "-o", "c", "--generalize-to", "items")
    (verdict,) = read_verdict(tmp_path / "c" / "verdict.json")["verdicts"]["verdicts"]
    bounds = stats.ttest_rel(ours.reshape(10, 4).mean(axis=1), theirs.reshape(10, 4).mean(axis=1)).confidence_interval(0.95)
    assert (verdict["interval"]["low"], verdict["interval"]["high"]) == pytest.approx((bounds.low, bounds.high), rel=1e-9)
    assert verdict["interval"]["n_clusters"] == 10


def test_items_that_an_arm_lacks_are_missing_and_many_of_them_are_not_enough_data(tmp_path: Path, verify: Verify) -> None:
    random = np.random.default_rng(6)
    values: dict[str, dict[str, float | None]] = {
        arm: {f"i{number:02}": float(random.normal(mean, 0.1)) for number in range(40)}
        for arm, mean in (("selection", 0.9), ("random", 0.1))
    }
    del values["random"]["i03"]
    values["selection"]["i04"] = None
    write(tmp_path / "t.csv", item_rows(values), ITEM_HEAD)
    verify("--results", "t.csv", "-o", "v", "--generalize-to", "items")
    (verdict,) = read_verdict(tmp_path / "v" / "verdict.json")["verdicts"]["verdicts"]
    assert (verdict["outcome"], verdict["missing"], verdict["interval"]["n_items"]) == ("better", 2, 38)
    for number in range(5, 9):
        del values["random"][f"i{number:02}"]
    write(tmp_path / "t.csv", item_rows(values), ITEM_HEAD)
    done = verify("--results", "t.csv", "-o", "w", "--generalize-to", "items")
    assert "6 of 40 items have no value in some run (no_row 5, no_value 1), more than 5%" in " ".join(done.stdout.split())


def test_the_candidate_the_baseline_and_the_base_are_chosen_by_name(tmp_path: Path, verify: Verify) -> None:
    values = {"base": [[0.30]], "rds+": [[0.5, 0.52, 0.51]], "longest": [[0.45, 0.44, 0.46]], "random": [[0.4], [0.42], [0.41]]}
    write(tmp_path / "t.csv", per_run("qa", values))
    none = verify("--results", "t.csv", "-o", "v")
    assert none.returncode == 2 and "--candidate 'rds+'" in none.stderr, none.stderr
    wrong = verify("--results", "t.csv", "--candidate", "rsd+", "-o", "v")
    assert wrong.returncode == 2 and "Did you mean 'rds+'?" in wrong.stderr
    done = verify("--results", "t.csv", "--candidate", "rds+", "-o", "v", "--baseline", "longest")
    assert done.returncode == 0 and "selection is the arm rds+ of the results" in done.stderr, done.stderr
    verdict = read_verdict(tmp_path / "v" / "verdict.json")
    assert verdict["against"] == "longest" and verdict["fixed"] == ["base"] and verdict["skills"]["base"] == "base"
    assert {one["baseline"] for one in verdict["verdicts"]["verdicts"]} == {"base", "longest", "random"}
    again = verify("v/plan.toml")
    assert again.returncode == 0 and again.stdout == done.stdout
    named = verify("--results", "selection=t.csv", "--results", "random=t.csv", "-o", "n")
    assert named.returncode == 3 and "t.csv has no arm selection; there are base, rds+, longest, random" in " ".join(named.stderr.split())
    both = verify("--results", "t.csv", "--candidate", "rds+", "--results", "selection=t.csv", "-o", "n")
    assert both.returncode == 2 and "Leave --candidate out" in both.stderr
    twice = verify("--results", "t.csv", "--candidate", "rds+", "--results", "random=t.csv", "-o", "n")
    assert twice.returncode == 2 and "The arm random is named twice" in twice.stderr


def test_two_files_are_one_table_and_an_arm_is_of_tables_or_of_other_results(tmp_path: Path, verify: Verify) -> None:
    write(tmp_path / "one.csv", per_run("qa", {"selection": [[0.5, 0.52, 0.51]]}))
    write(tmp_path / "two.csv", per_run("qa", {"random": [[0.4], [0.42], [0.41]]}))
    done = verify("--results", "one.csv", "--results", "two.csv", "-o", "v")
    assert done.returncode == 0 and "better than random" in done.stdout, done.stderr
    apart = verify("--results", "selection=one.csv", "--results", "random=two.csv", "-o", "apart")
    assert apart.returncode == 0 and apart.stdout == done.stdout
    (tmp_path / "notes.json").write_text(json.dumps([{"instruction": "x", "preference": 1}]))
    mixed = verify("--results", "selection=one.csv,notes.json", "--results", "two.csv", "-o", "m")
    assert mixed.returncode == 2 and "tables of results and of other results" in " ".join(mixed.stderr.split())
    alone = verify("--results", "notes.json", "-o", "m")
    assert alone.returncode == 2 and "--results NAME=PATH" in alone.stderr
    absent = verify("--results", "absent.csv", "-o", "m")
    assert absent.returncode == 3 and "There is no file or folder absent.csv." in absent.stderr


def simulated(cells: int, seed: int) -> tuple[list[tuple[Any, ...]], dict[str, float]]:
    """Three runs a side in each cell, with the standard deviations of published tasks, in points; half of the cells have no effect."""
    random = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    effects = {}
    for cell in range(cells):
        task, sd = f"cell {cell:04}", random.choice([0.6, 1.5, 2.2, 2.7, 3.8])
        effect = effects[task] = 0.0 if cell % 2 else float(random.choice([-1, 1]) * random.uniform(2, 12) * sd)
        runs = {
            "selection": [list(40 + effect + random.normal(0, 0.7 * sd, 3))],
            "random": [[value] for value in 40 + random.normal(0, sd, 3)],
        }
        rows += per_run(task, runs)
    return rows, effects


def test_of_many_cells_with_three_runs_a_side_few_intervals_and_no_outcome_are_false(tmp_path: Path, verify: Verify) -> None:
    rows, effects = simulated(200, seed=11)
    write(tmp_path / "t.csv", rows)
    done = verify("--results", "t.csv", "-o", "v")
    assert done.returncode == 0 and "adjusted for 200 comparisons" in " ".join(done.stdout.split()), done.stderr
    assert len(done.stdout.splitlines()) < 80 and "160 more are in verdict.json." in done.stdout
    outcomes = {one["grader"]: one["outcome"] for one in read_verdict(tmp_path / "v" / "verdict.json")["verdicts"]["verdicts"]}
    false = [
        task
        for task, outcome in outcomes.items()
        if outcome != "not enough data" and outcome != ("better" if effects[task] > 0 else "worse")
    ]
    assert false == [] and "no detectable difference" not in outcomes.values()
    read = Verification.read(tmp_path / "v" / "verification.parquet")
    intervals = {task: read.difference("selection", "random", task, n_resamples=0) for task in effects}
    outside = [task for task, interval in intervals.items() if not interval.low <= effects[task] <= interval.high]  # type: ignore[operator]
    # 5 % of 200 are 10, with a standard deviation of 3.1.
    assert len(outside) <= 20


def test_tasks_stand_in_the_order_of_their_numbers_and_the_folder_and_the_next_command_are_said(tmp_path: Path, verify: Verify) -> None:
    rows = [
        row for number in range(1, 15) for row in per_run(f"task{number}", {"selection": [[0.5, 0.6]], "random": [[0.5, 0.4], [0.3, 0.6]]})
    ]
    write(tmp_path / "many.csv", rows)
    done = verify("--results", "many.csv", "-o", "out")
    assert re.findall(r"^task(\d+) +higher", done.stdout, re.MULTILINE) == [str(number) for number in range(1, 15)]
    assert "results → out next: instructsel report out" in done.stderr and "unknown time" not in done.stdout


def test_where_nothing_varies_there_is_no_interval_and_nothing_is_said_of_one(tmp_path: Path, verify: Verify) -> None:
    rows = [(arm, 0, seed, "task", f"i{item}", 0.5, "true") for arm in ("selection", "random") for seed in range(3) for item in range(4)]
    write(tmp_path / "same.csv", rows, ("arm", "replicate", "seed", "task", "item", "value", "higher_is_better"))
    done = verify("--results", "same.csv", "-o", "out")
    assert "without an interval" in done.stdout
    assert "the interval holds" not in done.stdout and "variance between runs" not in done.stdout


def test_a_candidate_among_checkpoints_is_told_how_to_be_named(verify: Verify) -> None:
    refused = verify("--eval", "e.jsonl", "--checkpoint", "a=one", "--checkpoint", "b=two", "--candidate", "a", "-o", "v")
    assert refused.returncode == 2 and "--checkpoint selection=FOLDER" in refused.stderr and "Known: ." not in refused.stderr
