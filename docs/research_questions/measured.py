"""What was measured, and the figures that follow from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import build_skills_of_data_sets as published
import numpy as np

from instructsel.stats.correlation import fisher_interval, spearman
from instructsel.stats.student import t_quantile
from instructsel.study.effects import ALONE, Cell, EffectMatrix, of_plan
from instructsel.study.folder import Plan

RESULTS: Final = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
OUTCOMES: Final = {
    "truthfulqa": "TruthfulQA right",
    "bbh_choice": "BBH right",
    "maths_step": "maths step right",
    "truthfulqa bits": "TruthfulQA bits",
    "bbh_choice bits": "BBH bits",
    "maths_step bits": "maths step bits",
    "mmlu_cloze bits": "MMLU bits",
    "code bits": "HumanEval bits",
    "gsm8k bits": "GSM8K bits",
    "open_answers bits": "AlpacaEval bits",
}
TASKS: Final = ("truthfulqa", "bbh_choice", "maths_step")
"""Outcomes that are right or wrong; each has the bits of its gold answers beside it."""
POWER: Final = 0.8
FEWEST_CELLS: Final = 12
"""Of two matrices, below which they are not held against each other."""


def figures(name: str = "embedded") -> dict[str, Any]:
    """What was measured with one base."""
    content: dict[str, Any] = json.loads((RESULTS / f"skills_{name}.json").read_text(encoding="utf-8"))
    return content


def matrix(content: Mapping[str, Any], against: str) -> EffectMatrix:
    """The matrix, computed again of what every run was graded with."""
    plan = Plan.of(content["plan"], RESULTS)
    by_name = {run.name: run for run in plan.runs}
    records = {by_name[name]: record["outcomes"] for name, record in content["runs"].items()}
    return of_plan(plan, records, against=against)


def detectable(cell: Cell) -> float | None:
    """The true effect that an interval as wide as a cell's would leave 0 out for, in four of five repetitions."""
    if cell.low is None or cell.high is None or cell.df is None:
        return None
    quantile = t_quantile(0.95, cell.df)
    return (cell.high - cell.low) / 2 * (1.0 + t_quantile(2 * POWER - 1, cell.df) / quantile)


def counted_by(cells: Iterable[Cell]) -> dict[str, int]:
    """How many cells stand how, and how many of the better and the worse survive the correction."""
    listed = list(cells)
    counts = {standing: sum(cell.standing == standing for cell in listed) for standing in ("better", "worse", "uncertain", "unknown")}
    surviving = {
        f"{standing} kept": sum(cell.standing == standing and cell.survives for cell in listed) for standing in ("better", "worse")
    }
    return {"all": len(listed), **counts, **surviving}


def tokens(content: Mapping[str, Any]) -> dict[str, float]:
    """Arm → the mean number of tokens that a run of it was trained on."""
    plan = Plan.of(content["plan"], RESULTS)
    by_arm: dict[str, list[int]] = {}
    for run in plan.runs:
        record = content["runs"].get(run.name)
        subset = plan.by_name[run.subset]
        if record is not None and record["tokens_trained"]:
            by_arm.setdefault(subset["source"] or ALONE, []).append(record["tokens_trained"])
    return {arm: statistics.fmean(counts) for arm, counts in by_arm.items()}


def together(content: Mapping[str, Any]) -> tuple[int, int]:
    """Of the trained runs' changes of a task that are not 0, in how many the bits of its gold answers moved to the same side."""
    (untouched,) = (record["outcomes"] for name, record in content["runs"].items() if name.startswith("untouched"))
    same = moved = 0
    for name, record in content["runs"].items():
        if name.startswith("untouched"):
            continue
        for task in TASKS:
            right = record["outcomes"][task]["mean"] - untouched[task]["mean"]
            bits = record["outcomes"][f"{task} bits"]["mean"] - untouched[f"{task} bits"]["mean"]
            if abs(right) > 1e-9 and bits:
                moved += 1
                same += (right > 0) == (bits < 0)
    return same, moved


def ranks(effects: EffectMatrix) -> dict[str, float]:
    """Source or mixture → its mean rank over the outcomes by the estimates, 1 the best, ties sharing theirs."""
    arms = effects.rows
    sums = dict.fromkeys(arms, 0.0)
    for outcome in effects.outcomes:
        sign = -1.0 if outcome.higher_is_better else 1.0
        values = {arm: sign * (cell.estimate or 0.0) for arm in arms if (cell := effects.cell(arm, outcome.name)) is not None}
        for arm in arms:
            sums[arm] += (
                sum(value < values[arm] for value in values.values()) + (1 + sum(value == values[arm] for value in values.values())) / 2
            )
    return {arm: total / len(effects.outcomes) for arm, total in sums.items()}


def averages() -> dict[str, float]:
    return {arm: value for arm, value in published.skills().averages().items() if value is not None and arm in published.LENGTHS}


def mean_of(content: Mapping[str, Any], arm: str, outcome: str) -> float:
    plan = Plan.of(content["plan"], RESULTS)
    values = [
        content["runs"][run.name]["outcomes"][outcome]["mean"]
        for run in plan.runs
        if run.name in content["runs"] and plan.by_name[run.subset]["arm"] == arm
    ]
    return float(np.mean(values))


def carried_over(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[float, float, float, int] | None:
    """How a source's bits, less the mixture's, on one base go with those on another: rank correlation, its interval, and the cells of both."""
    pairs = []
    matrices = [matrix(content, "base") for content in (first, second)]
    for source in matrices[0].sources:
        for outcome in (name for name in OUTCOMES if name not in TASKS):
            cells = [effects.cell(source, outcome) for effects in matrices]
            values = [cell.estimate for cell in cells if cell is not None and cell.estimate is not None]
            if len(values) == len(cells):
                pairs.append(values)
    if len(pairs) < FEWEST_CELLS:
        return None
    table = np.array(pairs)
    r = spearman(table[:, 0], table[:, 1])
    interval = None if r is None else fisher_interval(r, len(pairs))
    return None if r is None or interval is None else (r, *interval, len(pairs))
