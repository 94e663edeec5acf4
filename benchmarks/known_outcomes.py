"""Verdicts by `verify --results` where the outcome is known: published judgments of models trained on selected and on random rows, and
simulated tables of three runs a side.

    python benchmarks/known_outcomes.py ../shared/data [--cells 1750]

Judgments: models fine-tuned on k-center picks and on random picks of three pools, after each of eleven rounds, one model each, every answer
scored beside ChatGPT's in both orders. A table has a row an item: by how many points an answer is above ChatGPT's, the mean of both orders; or
1, 0.5 and 0 for an answer above, level with or below it. Each interval is held against scipy's paired t test, each outcome against Holm's correction of its p values.

Simulated: cells with the standard deviations of published tasks, random's three runs draws of their own, the selection's three seeds of one
subset; half of the cells have no effect. What intervals hold stands beside that of scipy's Welch test. Writes benchmarks/results/known_outcomes.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import _record
import numpy as np
from scipy import stats

from instructsel.adapters.experiment import verify
from instructsel.experiments.plan import Experiment, PlannedArm, StatisticsSettings
from instructsel.grading.results_grades import grades_of_tables
from instructsel.grading.results_table import ResultsTable
from instructsel.pool.sources import zstd
from instructsel.verification.concluding import ExperimentResult
from instructsel.verification.grades_table import Run
from instructsel.verification.verdict import BETTER, NOT_ENOUGH, WORSE
from instructsel.verification.verification import Verification

JUDGMENTS: Final = "eval/diverseevol_select_vs_random_judgments.jsonl.zst"
ARMS: Final = {"kc": "selection", "rand": "random"}
HEADER: Final = ("arm", "replicate", "seed", "task", "item", "value", "unit", "higher_is_better")
LAST: Final = 10
"""The round for which the outcomes were published."""
DEVIATIONS: Final = (0.6, 1.5, 2.2, 2.7, 3.8)
"""Standard deviations of random subsets over draws, in points: BBH, TyDiQA, HumanEval, MMLU-Pro, GSM8K."""
RUNS: Final = ((3, 3), (2, 3), (2, 2), (5, 3), (1, 3))
"""Runs of the selection and of random, a cell; with one there is no interval."""
RATIOS: Final = (0.25, 1.0, 4.0)
"""Variance of the selection's runs over that of random's."""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a packed file of JSON lines."""
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n") if line]


def judged(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of a table for each measure: points, and wins, ties and losses."""
    tables: dict[str, list[tuple[Any, ...]]] = {"points": [], "wins": []}
    for row in rows:
        kind, _, pool = row["run"].partition("_")
        if kind not in ARMS:
            continue
        task = f"{row['test_set'].removesuffix('_test')} {pool.partition('_')[0]} {row['round']}"
        model, other = (np.mean([row[f"eval_QUERY{order}"][side] for order in (0, 1)]) for side in (0, 1))
        before = (ARMS[kind], 0, 0, task, row["question_id"])
        tables["points"].append((*before, float(model - other), "points", "true"))
        tables["wins"].append((*before, 0.5 * (1 + np.sign(model - other)), "wins", "true"))
    return tables


def write(rows: Sequence[Sequence[Any]], folder: Path) -> Path:
    """A table as a file."""
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def verified(rows: Sequence[Sequence[Any]], folder: Path, **statistics: Any) -> ExperimentResult:
    """The verdict on a table, read from its file."""
    path = write(rows, folder)
    arms = tuple(PlannedArm(arm, results=((str(path),),)) for arm in ARMS.values())
    return verify(Experiment(arms, statistics=StatisticsSettings(**statistics)), folder / "verified", force=True)


def sides(rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, dict[Any, float]]]:
    """Task → arm → its values by item, or by run."""
    values: dict[str, dict[str, dict[Any, float]]] = {}
    for arm, replicate, seed, task, item, value, *_ in rows:
        values.setdefault(task, {}).setdefault(arm, {})[item or (replicate, seed)] = float(value)
    return values


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which are significant, written down anew."""
    significant = [False] * len(p_values)
    for rank, position in enumerate(np.argsort(p_values)):
        if p_values[position] * (len(p_values) - rank) >= alpha:
            break
        significant[position] = True
    return significant


def paired(rows: Sequence[Sequence[Any]], folder: Path) -> dict[str, Any]:
    """Every cell of a measure: our interval and outcome beside scipy's."""
    result = verified(rows, folder, generalize_to="items")
    tasks = sides(rows)
    tests = {}
    for task, by_arm in tasks.items():
        items = sorted(by_arm["selection"])
        tests[task] = stats.ttest_rel(*([by_arm[arm][item] for item in items] for arm in ARMS.values()))
    # Two models that answered alike everywhere have no p value.
    known = {task: test.pvalue for task, test in tests.items() if np.isfinite(test.pvalue)}
    significant = dict(zip(known, holm(list(known.values())), strict=True))
    cells: dict[str, Any] = {}
    agree, largest = 0, 0.0
    for verdict in result.verdicts:
        test, interval = tests[verdict.grader], verdict.interval
        if verdict.grader not in known:
            agree += interval.low is None
            cells[verdict.grader] = {"difference": interval.estimate, "items": interval.n_items, "outcome": verdict.outcome}
            continue
        bounds = test.confidence_interval(interval.confidence)
        largest = max(largest, abs(interval.low - bounds.low), abs(interval.high - bounds.high))
        expected = (BETTER if test.statistic > 0 else WORSE) if significant[verdict.grader] else None
        agree += (verdict.outcome if verdict.outcome in (BETTER, WORSE) else None) == expected
        cells[verdict.grader] = {
            "difference": round(interval.estimate, 4),
            "interval": [round(interval.low, 4), round(interval.high, 4)],
            "scipy": [round(float(bounds.low), 4), round(float(bounds.high), 4)],
            "p": float(f"{test.pvalue:.3g}"),
            "items": interval.n_items,
            "outcome": verdict.outcome,
        }
    both = verified(rows, folder)
    return {
        "cells": cells,
        "outcomes": dict(Counter(cell["outcome"] for cell in cells.values())),
        "outcomes_equal_to_scipy_with_holm": agree,
        "largest_difference_of_bounds": largest,
        "outcomes_about_new_runs": dict(Counter(verdict.outcome for verdict in both.verdicts)),
    }


def published(tables: Mapping[str, Sequence[Sequence[Any]]], folder: Path) -> dict[str, Any]:
    """The six comparisons of the last round alone, whose outcomes are known: a table of their own."""
    rows = [row for row in tables["points"] if row[3].endswith(f" {LAST}")]
    return paired(rows, folder)["cells"]


def simulated(
    cells: int, generator: np.random.Generator, *, ratio: float = 1.0, runs: tuple[int, int] = (3, 3)
) -> tuple[list[tuple[Any, ...]], dict[str, float]]:
    """Rows of a table without items, and the true difference of each cell.

    Args:
        cells: how many.
        generator: of all chance.
        ratio: variance of the selection's runs over that of random's.
        runs: seeds of the selection's one subset, and random subsets with a seed each.
    """
    rows: list[tuple[Any, ...]] = []
    truth = {}
    for cell in range(cells):
        task, sd = f"cell {cell:04}", float(generator.choice(DEVIATIONS))
        effect = truth[task] = 0.0 if cell % 2 else float(generator.normal(0, 3 * sd))
        for seed in range(runs[0]):
            rows.append(("selection", 0, seed, task, "", f"{40 + effect + generator.normal(0, sd * ratio**0.5):.6f}", "points", "true"))
        for replicate in range(runs[1]):
            rows.append(("random", replicate, 0, task, "", f"{40 + generator.normal(0, sd):.6f}", "points", "true"))
    return rows, truth


def false(outcome: str, effect: float) -> bool:
    """Whether an outcome says better or worse where that is not so."""
    return (outcome == BETTER and effect <= 0) or (outcome == WORSE and effect >= 0)


def whole(cells: int, folder: Path) -> dict[str, Any]:
    """One table of all cells through the reader, with its time."""
    rows, truth = simulated(cells, np.random.default_rng(0))
    started, spent = time.perf_counter(), time.process_time()
    result = verified(rows, folder)
    seconds, processor = time.perf_counter() - started, time.process_time() - spent
    outcomes = {verdict.grader: verdict.outcome for verdict in result.verdicts}
    p_values = [verdict.interval.p for verdict in result.verdicts]
    by_task = sides(rows)
    pooled = [
        stats.ttest_ind(*(list(by_task[verdict.grader][arm].values()) for arm in ARMS.values())).pvalue for verdict in result.verdicts
    ]
    side = [verdict.interval.estimate * truth[verdict.grader] > 0 for verdict in result.verdicts]

    def discovered(values: Sequence[float]) -> dict[str, int]:
        significant = stats.false_discovery_control(values) < 0.05
        return {
            "discovered": int(significant.sum()),
            "false": int(sum(one and not right for one, right in zip(significant, side, strict=True))),
        }

    return {
        "cells": cells,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "outcomes": dict(Counter(outcomes.values())),
        "false_outcomes": sum(false(outcome, truth[task]) for task, outcome in outcomes.items()),
        "benjamini_hochberg_of_our_p_values": discovered(p_values),
        "benjamini_hochberg_of_pooled_t_tests": discovered(pooled),
    }


def read(rows: Sequence[Sequence[Any]], folder: Path) -> Verification:
    """The grades of a table, read from its file; no verdict over all cells."""
    table = ResultsTable.read(write(rows, folder))
    graded = grades_of_tables({arm: [(table, arm)] for arm in table.arms})
    return Verification.of(
        Run(arm, *label, grades)
        for arm, results in graded.items()
        for labels, by_seed in zip(results.labels, results.grades, strict=True)
        for label, by_task in zip(labels, by_seed, strict=True)
        for grades in by_task
    )


def alone(cells: int, folder: Path, *, ratio: float, runs: tuple[int, int]) -> dict[str, Any]:
    """Each cell by itself, not adjusted for others: what intervals at 95 % hold, and how often one says better or worse falsely."""
    rows, truth = simulated(cells, np.random.default_rng(int(100 * ratio) + 7 * runs[0] + runs[1]), ratio=ratio, runs=runs)
    verification, by_task = read(rows, folder), sides(rows)
    counts: Counter[str] = Counter()
    for task, effect in truth.items():
        interval = verification.difference("selection", "random", task, n_resamples=0)
        if interval.low is None or interval.high is None:
            counts["none"] += 1
            continue
        bounds = stats.ttest_ind(*(list(by_task[task][arm].values()) for arm in ARMS.values()), equal_var=False).confidence_interval(0.95)
        outcome = BETTER if interval.low > 0 else WORSE if interval.high < 0 else NOT_ENOUGH
        kind = "without" if effect == 0 else "with"
        counts[kind] += 1
        counts["covered"] += interval.low <= effect <= interval.high
        counts["covered by Welch"] += bounds.low <= effect <= bounds.high
        counts["false by Welch"] += effect == 0 and not bounds.low <= 0 <= bounds.high
        counts[f"false {kind}"] += false(outcome, effect)
        counts["detected"] += effect != 0 and outcome != NOT_ENOUGH and not false(outcome, effect)
    if counts["none"]:
        return {"cells": cells, "without_an_interval": counts["none"]}
    return {
        "cells": cells,
        "covers": counts["covered"] / cells,
        "false_outcomes": (counts["false with"] + counts["false without"]) / cells,
        "false_outcomes_of_cells_without_effect": counts["false without"] / counts["without"],
        "detected_of_cells_with_effect": counts["detected"] / counts["with"],
        "welch_covers": counts["covered by Welch"] / cells,
        "welch_false_outcomes_of_cells_without_effect": counts["false by Welch"] / counts["without"],
    }


def main() -> None:
    """Verify all of it, and write down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--cells", type=int, default=1750)
    arguments = parser.parse_args()
    tables = judged(rows_of(arguments.data / JUDGMENTS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures = {
            "judgments": {measure: paired(rows, folder) for measure, rows in tables.items()},
            "published": published(tables, folder),
            "whole_table": whole(arguments.cells, folder),
            "cells_alone": {
                f"{runs[0]} against {runs[1]} runs, variance × {ratio:g}": alone(arguments.cells, folder, ratio=ratio, runs=runs)
                for runs in RUNS
                for ratio in RATIOS
            },
        }
    path = _record.write("known_outcomes", figures, "scipy", "numpy")
    for cell, entry in figures["published"].items():
        low, high = entry["interval"]
        sys.stdout.write(
            f"{cell}: {entry['difference']:+.2f} points [{low:+.2f}, {high:+.2f}], scipy {entry['scipy']}, p {entry['p']:.2g}: {entry['outcome']}\n"
        )
    for measure, entry in figures["judgments"].items():
        sys.stdout.write(
            f"{measure}: {entry['outcomes']}, equal to scipy with Holm {entry['outcomes_equal_to_scipy_with_holm']} of {len(entry['cells'])}\n"
        )
    sys.stdout.write(f"{figures['whole_table']}\n")
    for name, entry in figures["cells_alone"].items():
        sys.stdout.write(f"{name}: {entry}\n")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
