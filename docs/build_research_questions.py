"""Write docs/why/research_questions.md and its pictures from benchmarks/results/skills_*.json and preferences.json, and from published tables."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import build_skills_of_data_sets as published

from instructsel.commands._effects import drawn
from instructsel.reports.figures import minus
from instructsel.reports.sections.effects import decimals
from instructsel.stats.agreement import Figure, fleiss_kappa, krippendorff_alpha, raw_agreement
from instructsel.stats.correlation import fisher_interval, length_bias, spearman
from instructsel.stats.proportion import wilson
from instructsel.stats.student import t_quantile
from instructsel.study.effects import ALONE, Cell, EffectMatrix, of_plan
from instructsel.study.folder import Plan
from instructsel.verification.skills import share_of_reference

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "why" / "research_questions.md"
PICTURES: Final = ROOT / "docs" / "why" / "research_questions"
RESULTS: Final = ROOT / "benchmarks" / "results"
NAMES: Final = {
    "alpaca": "Alpaca",
    "code_alpaca": "Code Alpaca",
    "cot": "chains of thought",
    "dolly": "Dolly",
    "gsm8k": "GSM8K training",
    "self_instruct": "Self-Instruct",
    ALONE: "mixture of all six",
}
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
BASES: Final = {"Pythia 6.9B": 26.2, "OPT 6.7B": 22.2, "LLaMA 7B": 38.3, "LLaMA-2 7B": 45.7}
"""Wang et al. 2023, Table 4: the average of six after the Human+GPT mixture."""
SIZES: Final = {"7B": 38.3, "13B": 45.2, "30B": 54.1, "65B": 56.7}
"""Table 5: the same average of the Human+GPT mixture by size of LLaMA; 13B is the last row of Table 3."""
TUNED: Final = {
    "7B": ((31.5, 10.0, 33.0, 38.4, 20.5), (44.8, 25.0, 38.5, 43.5, 29.1)),
    "13B": ((42.3, 14.5, 39.3, 43.2, 28.6), (49.3, 40.5, 43.3, 45.6, 35.9)),
    "30B": ((54.6, 36.0, 49.5, 55.3, 42.8), (57.7, 53.0, 51.9, 51.9, 48.0)),
    "65B": ((58.7, 50.0, 58.1, 56.8, 46.9), (59.2, 59.0, 54.4, 56.6, 49.4)),
}
"""Table 5: MMLU, GSM8K, BBH, TyDiQA and HumanEval of LLaMA before and after the Human+GPT mixture."""
TOY: Final = "a LLaMA of 166,208 parameters, the toy size of `benchmarks/models/tinybase`, trained on 300,000 tokens (5.58 nats a token held out, 6.11 of a unigram model)"
ACCEPTED: Final = {"ChatGPT": 90.1, "Tülu 65B": 79.8, "Human mixture 65B": 72.3, "Tülu 7B": 68.7}
"""Of 332 prompts, the share of responses that people called acceptable (section 6 of the paper; the released records give the same)."""
JUDGED: Final = {"Tülu 7B": 48.6, "Human mixture 65B": 43.4}
"""AlpacaEval win rates of the two of these that people order the other way round (Tables 5 and 7)."""


# ---------------------------------------------------------------------- what was measured


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


def picture(effects: EffectMatrix, outcomes: Sequence[str]) -> str:
    """The heat map of some outcomes, by names for people."""
    content = effects.as_dict()
    shown = [outcome for outcome in content["outcomes"] if outcome["name"] in outcomes]
    best = {NAMES[source]: sum(outcome["best"] == source for outcome in shown) for source in effects.sources}
    cells = [
        {**cell, "source": NAMES[cell["source"]], "outcome": OUTCOMES[cell["outcome"]]}
        for cell in content["cells"]
        if cell["outcome"] in outcomes
    ]
    named = [
        {**outcome, "name": OUTCOMES[outcome["name"]], "unit": "share right" if outcome["name"] in TASKS else outcome["unit"]}
        for outcome in shown
    ]
    return drawn({**content, "outcomes": named, "cells": cells, "times_best": best})


def pictures() -> dict[str, str]:
    """File → what is drawn in it."""
    effects = matrix(figures(), "untouched")
    return {
        "tasks.svg": picture(effects, TASKS),
        # Two of few columns: they are read on a phone, too.
        "bits-of-tasks.svg": picture(effects, [f"{name} bits" for name in TASKS]),
        "bits-of-answers.svg": picture(effects, list(OUTCOMES)[2 * len(TASKS) :]),
    }


def detectable(cell: Cell) -> float | None:
    """The true effect that an interval as wide as a cell's would leave 0 out for, in four of five repetitions."""
    if cell.low is None or cell.high is None or cell.df is None:
        return None
    quantile = t_quantile(0.95, cell.df)
    return (cell.high - cell.low) / 2 * (1.0 + t_quantile(2 * POWER - 1, cell.df) / quantile)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def _cells(effects: EffectMatrix) -> list[str]:
    """Every effect with its interval: outcomes down, as there are more of them."""
    content = effects.as_dict()
    rows = []
    for outcome in effects.outcomes:
        places = decimals(content, outcome.name)
        row = [OUTCOMES[outcome.name], "–" if outcome.untouched is None else f"{outcome.untouched:.{places}f}"]
        for source in effects.rows:
            cell = effects.cell(source, outcome.name)
            if cell is None or cell.estimate is None:
                row.append("–")
                continue
            estimate = f"{cell.estimate:+.{places}f}"
            interval = "no interval" if cell.low is None else f"{cell.low:+.{places}f} to {cell.high:+.{places}f}"
            row.append(minus(f"{f'**{estimate}**' if cell.survives else estimate} ({interval})"))
        rows.append(row)
    return table(["", "untouched", *(NAMES[source] for source in effects.rows)], rows)


def counted_by(cells: Iterable[Cell]) -> dict[str, int]:
    """How many cells stand how, and how many of the better and the worse survive the correction."""
    listed = list(cells)
    counts = {standing: sum(cell.standing == standing for cell in listed) for standing in ("better", "worse", "uncertain", "unknown")}
    surviving = {
        f"{standing} kept": sum(cell.standing == standing and cell.survives for cell in listed) for standing in ("better", "worse")
    }
    return {"all": len(listed), **counts, **surviving}


def _named(cell: Cell) -> str:
    return f"{NAMES[cell.source]} on {OUTCOMES[cell.outcome]}"


def _listed(cells: Sequence[Cell]) -> str:
    return ", ".join(map(_named, cells)) or "none"


def _sources(text: str) -> str:
    for source in sorted(NAMES, key=len, reverse=True):
        text = text.replace(source, NAMES[source])
    return text


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


# ---------------------------------------------------------------------- the page


def _share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{100 * count / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {n:,}"


def _figure(figure: Figure) -> str:
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def _head(content: Mapping[str, Any]) -> list[str]:
    decided = content["protocol"]
    design, items = decided["design"], decided["items"]
    plan = Plan.of(content["plan"], RESULTS)
    finished, planned = len(content["runs"]), len(plan.runs)
    state = (
        f"**{finished} of {planned} runs have finished: all figures are of these.**"
        if finished < planned
        else f"All {planned} runs have finished."
    )
    sizes = tokens(content)
    return [
        "# Five questions about open instruction data, at our size",
        "",
        f"Written by `docs/build_research_questions.py` from `benchmarks/results/skills_embedded.json` (commit {content['commit']}, {content['date'][:10]}), which "
        "`benchmarks/skills/run.py` makes, from `preferences.json` of `benchmarks/skills/preferences.py`, and from published tables.",
        "",
        "Wang et al. 2023 (*How Far Can Camels Go?*, arXiv:2306.04751v2) fine-tuned open base models on twelve open data sets and their mixtures, and asked what "
        "the data do to which skill, whether mixing helps, what the base and its size are worth, and whether benchmarks, a judge and people agree. The five questions here are "
        "that paper's, in our words; each has the paper's figures, what we measured, and what a machine of two cores cannot answer.",
        "",
        "## What was run",
        "",
        f"SmolLM2-135M-Instruct ({decided['models']['embedded'].split(', ', 1)[1]}), LoRA, {design['rows']} rows an arm in {decided['recipe']['batch_size']} a step: "
        f"each of six sources alone, the mixture of all six at as many rows ({design['rows'] // 6} of each), {design['replicates']} replicates with rows and a training seed of their "
        f"own; the untouched model beside them. {state} The protocol was committed before the first run (`benchmarks/skills/protocol.toml`).",
        "",
        f"Outcomes are tasks made offline from released files: TruthfulQA ({items['truthfulqa']} questions, the best answer among up to three wrong ones), six tasks of BIG-Bench Hard "
        f"with two answers ({items['bbh_choice']}), and results of calculations within worked solutions of GSM8K's test, generated and exact ({items['maths_step']}); and bits per byte of gold answers: "
        f"of these three, of MMLU ({items['mmlu_cloze']}), of HumanEval's solutions ({items['code']}), of GSM8K's ({items['gsm8k']}) and of GPT-4's answers to AlpacaEval ({items['open_answers']}). "
        f"Arms have equal rows and steps, and not equal tokens: {', '.join(f'{NAMES[arm]} {count:,.0f}' for arm, count in sorted(sizes.items(), key=lambda item: item[1]))} a run on average.",
        "",
    ]


def _unseen(sizes: Sequence[float]) -> str:
    """What passes unseen in a task of right and wrong answers."""
    if not sizes:
        return "Of tasks with right and wrong answers no interval is known."
    points = " to ".join(dict.fromkeys(f"{100 * size:.0f}" for size in (min(sizes), max(sizes))))
    return f"So a change of {points} points of right answers is needed to be seen; the paper's differences between data sets are of that order or smaller."


def _no_interval(counts: Mapping[str, int]) -> str:
    """How many cells have no interval, and why."""
    if not counts["unknown"]:
        return ""
    content = figures()
    is_early = ", or there is one replicate so far" if len(content["runs"]) < len(content["plan"]["subsets"]) else ""
    return f", {counts['unknown']} have no interval (every run gives the same answers there as what it is held against{is_early})"


def _short(content: Mapping[str, Any]) -> list[str]:
    """The five answers in a row each."""
    untouched, base = matrix(content, "untouched"), matrix(content, "base")
    effects, comparisons = counted_by(untouched.cells), counted_by(base.cells)
    known = [cell for cell in untouched.cells if cell.p is not None]
    clearest = min(known, key=lambda cell: cell.p or 0.0) if known else None
    first = f"of {effects['all']} effects {effects['better']} better and {effects['worse']} worse by their own interval, {effects['better kept'] + effects['worse kept']} with all counted"
    if clearest is not None:
        first += minus(f"; the clearest is {_named(clearest)}, {clearest.estimate:+.3f} ({clearest.low:+.3f} to {clearest.high:+.3f})")
    mean_ranks = ranks(untouched)
    place = sorted(mean_ranks, key=lambda arm: mean_ranks[arm]).index(ALONE) + 1
    second = f"of {comparisons['all']} comparisons with one source the mixture is better in {comparisons['worse']} and worse in {comparisons['better']}; by mean rank number {place} of {len(mean_ranks)}"
    has_second_base = (RESULTS / "skills_toybase.json").exists()
    third = (
        "a toy base that has hardly learned a language: the base decides the level, by far" if has_second_base else "one base: not answered"
    )
    preferences = json.loads((RESULTS / "preferences.json").read_text(encoding="utf-8"))
    shares = [
        _longer(preferences["judge"]["verdict_and_longer"]),
        *(_longer(table) for table in (preferences["pandalm"]["majority_and_longer"], preferences["webgpt"])),
    ]
    judge, *people = [share.partition(" %")[0] for share in shares]
    return table(
        ["question", "here"],
        [
            ["1. each data set, each skill", first],
            ["2. mixtures", second],
            ["3. the base", third],
            ["4. size and the best models", "not answered: one size"],
            [
                "5. benchmarks, judge, people",
                f"the longer response is preferred by GPT-4 in {judge} % and by people in {' and '.join(people)} %, on other pairs each",
            ],
        ],
    )


def _first(content: Mapping[str, Any], effects: EffectMatrix) -> list[str]:
    below = {
        skill: sum((published.skills().cells[arm][skill].change or 0) < 0 for arm in published.LENGTHS)
        for skill in list(published.ITEMS)[:5]
    }
    best = published.skills()
    winners = {skill: " and ".join(best.best(skill)) for skill in best.skills}
    counts = counted_by(effects.cells)
    regressed = effects.regressions
    smallest = {
        outcome.name: statistics.median(
            size
            for source in effects.rows
            if (cell := effects.cell(source, outcome.name)) is not None and (size := detectable(cell)) is not None
        )
        for outcome in effects.outcomes
        if any(cell.outcome == outcome.name and detectable(cell) is not None for cell in effects.cells)
    }
    lines = [
        "## 1. What does each data set do to each skill?",
        "",
        f"**The paper.** Of LLaMA 13B tuned on one data set each, none is best at everything: the best are {', '.join(f'{name} on {skill}' for skill, name in winners.items())} (Table 3). "
        f"Single data sets fall below the untouched model in {' / '.join(str(count) for count in below.values())} of {len(published.LENGTHS)} cases on {' / '.join(below)}. "
        "Read with intervals: [no data set is best everywhere](skills_of_data_sets.md).",
        "",
        "**Here.** Each source and the mixture against the untouched model:",
        "",
        "![Sources against tasks, right answers](research_questions/tasks.svg)",
        "",
        "![Sources against the bits per byte of the same tasks' gold answers](research_questions/bits-of-tasks.svg)",
        "",
        "![Sources against the bits per byte of other gold answers](research_questions/bits-of-answers.svg)",
        "",
        f"Of {counts['all']} cells, {counts['better']} are better than the untouched model by their own 95 % interval (new runs and new items), {counts['worse']} worse, {counts['uncertain']} hold 0"
        + _no_interval(counts)
        + f". With all cells counted (Holm) {counts['better kept']} of the better and {counts['worse kept']} of the worse survive. "
        f"Regressions: {_listed(regressed)}; forgotten, as it survives: {_listed([cell for cell in regressed if cell.survives])}.",
        "",
        f"Between the sources: {_sources(matrix(content, 'base').verdict)} Best estimates: "
        + ", ".join(f"{NAMES[source]} on {count}" for source, count in effects.times_best.items())
        + ".",
        "",
    ]
    if smallest:
        lines += [
            "What it could not have seen: with intervals as wide as these, a true change of at least so much would be found in four of five repetitions. "
            + minus("; ".join(f"{OUTCOMES[name]} {size:.2g}" for name, size in smallest.items()))
            + ". "
            + _unseen([smallest[task] for task in TASKS if task in smallest]),
            "",
        ]
    lines += [
        "Every change against the untouched model; bold survives the correction; of right answers above 0 is better, of bits below:",
        "",
        *_cells(effects),
        *_pilot(),
        "**Not answered here.** Thousands of rows, several passes and a base that was never tuned on instructions: SmolLM2-Instruct has seen data like these, so that a few rows change its format more than "
        "its knowledge. Multilinguality (TyDiQA is not at hand), programs and whole answers as outcomes. It would take a GPU for some hours: "
        "`study plan --add-one --equal-rows` with the suite `tulu-paper` as graders.",
        "",
    ]
    return lines


def _pilot() -> list[str]:
    """Whether whole answers are above 0 at this size."""
    path = RESULTS / "skills_pilot.json"
    if not path.exists():
        return []
    pilot = json.loads(path.read_text(encoding="utf-8"))
    settings = pilot["settings"]
    parts = {
        "gsm8k": f"of {settings['items']} whole questions of GSM8K (chat template, {settings['answer_tokens']} tokens, the last number counts)",
        "humaneval": f"of the {settings['items']} shortest programs of HumanEval (greedy, {settings['program_tokens']} tokens, run in the sandbox)",
    }
    right = "; ".join(f"{part}, {_share(sum(pilot[name]['values']), len(pilot[name]['values']))}" for name, part in parts.items())
    return [
        f"Whole answers of the untouched model, asked beside the matrix: {right}. At 0 a task cannot fall, and on so few items it cannot be seen to rise: they are no outcomes of the matrix. Generating them took {pilot['gsm8k']['processor_seconds']} and "
        f"{pilot['humaneval']['processor_seconds']} s of processor time for one model.",
        "",
    ]


def _second(content: Mapping[str, Any]) -> list[str]:
    base, untouched = matrix(content, "base"), matrix(content, "untouched")
    averages = {arm: value for arm, value in published.skills().averages().items() if value is not None}
    ordered = sorted(averages, key=lambda arm: averages[arm], reverse=True)
    counts = counted_by(base.cells)
    # An effect is a source less the mixture: where the source is worse, the mixture is better.
    mean_ranks = ranks(untouched)
    place = sorted(mean_ranks, key=lambda arm: mean_ranks[arm]).index(ALONE) + 1
    mixture = [cell for cell in untouched.cells if cell.source == ALONE]
    alone = counted_by(mixture)
    return [
        "## 2. Is a mixture of data sets better than each of them?",
        "",
        f"**The paper.** By the average of six the {ordered[0]} is first with {averages[ordered[0]]:.1f}, before {ordered[1]} ({averages[ordered[1]]:.1f}) and the {ordered[2]} ({averages[ordered[2]]:.1f}); "
        f"it is the best of {sum('Human+GPT mixture' in published.skills().best(skill) for skill in published.ITEMS)} of {len(published.ITEMS)} columns. It has 490,694 rows, the largest single set 210,311: mixing and size are not told apart.",
        "",
        f"**Here**, at equal rows: of {counts['all']} comparisons of a source with the mixture, the mixture is better in {counts['worse']} by the interval and worse in {counts['better']}; {counts['uncertain']} hold 0"
        + _no_interval(counts)
        + f". With all counted, {counts['worse kept']} and {counts['better kept']} survive. Shown to be better than the mixture: {_listed([cell for cell in base.cells if cell.standing == 'better'])}; "
        f"shown to be worse: {_listed([cell for cell in base.cells if cell.standing == 'worse'])}.",
        "",
        *(
            []
            if counts["unknown"] == counts["all"]
            else [
                f"By the estimates' mean rank over {len(untouched.outcomes)} outcomes the mixture is number {place} of {len(mean_ranks)}: "
                + ", ".join(f"{NAMES[arm]} {rank:.1f}" for arm, rank in sorted(mean_ranks.items(), key=lambda item: item[1]))
                + f". Against the untouched model it is better on {alone['better']} outcomes and worse on {alone['worse']} of {alone['all']}. "
                "A mean rank has no interval here, and no verdict rests on it.",
                "",
            ]
        ),
        "**Not answered here.** Other shares than equal ones, mixtures that are larger than each of their parts, and the paper's own twelve sets. Shares can be fitted: "
        "`study plan --mixtures` and `mix fit` ([how](../how-to/what-a-source-adds.md)).",
        "",
    ]


def _third() -> list[str]:
    ordered = sorted(BASES.items(), key=lambda item: item[1])
    lines = [
        "## 3. How much does the base model matter?",
        "",
        f"**The paper.** The same mixture on four bases of 6.7 to 7 billion parameters: {', '.join(f'{name} {value:.1f}' for name, value in ordered)} (Table 4, average of six). "
        f"From the worst base to the best it is {ordered[-1][1] - ordered[0][1]:.1f} points, more than from the worst data set to the best of one base in Table 3 "
        f"({max(value for value in _averages().values()) - min(value for value in _averages().values()):.1f}).",
        "",
    ]
    if (RESULTS / "skills_toybase.json").exists():
        lines += _contrast_of_bases()
    else:
        lines += [
            "**Here** there is one language model. The project's base of 1.3 million parameters is trained on demand and its weights are not kept; a contrast of two bases at these rows was not run.",
            "",
        ]
    return [
        *lines,
        "**Not answered here.** Bases of equal size that saw other tokens. It takes two open bases of one size (Pythia 160M and SmolLM2 135M, for example), the same command with "
        "another `--base`, and bits per byte, which compare across tokenizers.",
        "",
    ]


def _averages() -> dict[str, float]:
    return {arm: value for arm, value in published.skills().averages().items() if value is not None and arm in published.LENGTHS}


def _mean(content: Mapping[str, Any], arm: str, outcome: str) -> float:
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


def _contrast_of_bases() -> list[str]:
    large, small = figures(), figures("toybase")
    effects = {name: matrix(content, "untouched") for name, content in (("large", large), ("small", small))}
    rows = []
    for outcome in (name for name in OUTCOMES if name not in TASKS):
        cells = [effects[name].cell(ALONE, outcome) for name in ("large", "small")]
        changes = [
            "–"
            if cell is None or cell.estimate is None
            else f"{cell.estimate:+.3f}" + ("" if cell.low is None else f" ({cell.low:+.3f} to {cell.high:+.3f})")
            for cell in cells
        ]
        values = [f"{_mean(content, arm, outcome):.3f}" for content in (large, small) for arm in ("untouched", "base")]
        rows.append([OUTCOMES[outcome], values[0], values[1], minus(changes[0]), values[2], values[3], minus(changes[1])])
    gap = [_mean(small, "base", name) - _mean(large, "untouched", name) for name in OUTCOMES if name not in TASKS]
    data = [abs(cell.estimate) for cell in matrix(large, "base").cells if cell.outcome not in TASKS and cell.estimate is not None]
    return [
        f"**Here** the same rows were trained on a second base, {TOY}. Bits per byte compare across tokenizers:",
        "",
        *table(
            ["", "SmolLM2, untouched", "after the mixture", "change", "toy base, untouched", "after the mixture", "change"],
            rows,
        ),
        f"After the same mixture the toy base needs {min(gap):.2f} to {max(gap):.2f} bits per byte more than the untouched SmolLM2; between a source and the mixture on SmolLM2 the largest difference is "
        f"{max(data):.2f}, the median {statistics.median(data):.3f}. The base decides, the data adjust: the paper's answer, here in an extreme case, as the toy base has hardly learned a language. "
        "Size and pretraining are not told apart by it.",
        "",
        *_carried(carried_over(large, small)),
    ]


def _carried(figure: tuple[float, float, float, int] | None) -> list[str]:
    if figure is None:
        return []
    r, low, high, n = figure
    return [
        f"Whether the same data help the same skill on both: over {n} cells (source and outcome, bits per byte less the mixture's) the effects of the two bases have a rank correlation of "
        + minus(f"{r:.2f} [{low:.2f}, {high:.2f}]")
        + ", cells taken as independent, which those of one outcome are not.",
        "",
    ]


def _fourth() -> list[str]:
    share = share_of_reference(
        dict(zip(published.ITEMS, published.BEST_OPEN, strict=True)), dict(zip(published.ITEMS, published.CHATGPT, strict=True))
    )
    steps = [f"{size} {value:.1f}" for size, value in SIZES.items()]
    gains = {size: statistics.fmean(after) - statistics.fmean(before) for size, (before, after) in TUNED.items()}
    before, after = TUNED["65B"]
    changes = minus(", ".join(f"{skill} {after[place] - before[place]:+.1f}" for place, skill in enumerate(list(published.ITEMS)[:5])))
    return [
        "## 4. What does size bring, and how close do open models come?",
        "",
        f"**The paper.** The Human+GPT mixture on LLaMA: {', '.join(steps)} (averages of six, Table 5). Tuning adds less to larger bases: of the mean of five benchmarks {', '.join(f'{gain:+.1f} at {size}' for size, gain in gains.items())}; at 65B {changes} points against the untouched base. "
        f"The best open model of each skill reaches {100 * share:.1f} % of ChatGPT on average (recomputed from Table 5; the abstract says 87 %, and 73 % of GPT-4).",
        "",
        "**Here** there is one size, 135 million parameters; nothing can be said of how an effect of data changes with size, nor of the distance to a proprietary model. "
        "The shares above are recomputed by `share_of_reference`, and the arithmetic is all that is ours.",
        "",
        "**What it would take.** The same arms on three sizes of one family (SmolLM2 135M, 360M, 1.7B, trained on like data), one GPU, and a proprietary model's released answers to the same items; "
        "`instructsel verify` reads finished results of lm-evaluation-harness of other models as arms.",
        "",
    ]


def _fifth(content: Mapping[str, Any]) -> list[str]:
    preferences = json.loads((RESULTS / "preferences.json").read_text(encoding="utf-8"))
    lengths, wins = list(published.LENGTHS.values()), [published.TABLE[arm][-1] or 0.0 for arm in published.LENGTHS]
    trained = length_bias(lengths, wins)
    benchmarks = [math.fsum(value for value in published.TABLE[arm][:5] if value is not None) / 5 for arm in published.LENGTHS]
    judged = length_bias(benchmarks, wins)
    models = preferences["judge"]["models"]
    ours = length_bias([model["characters"] for model in models.values()], [model["win_rate"] for model in models.values()])
    counts = np.array(
        [[pattern.count(code) for code in "012"] for pattern, n in preferences["pandalm"]["votes"].items() for _ in range(n)],
        dtype=np.float64,
    )
    same, moved = together(content)
    for bias in (trained, judged, ours):
        assert bias.r is not None
        assert bias.low is not None
        assert bias.high is not None
    return [
        "## 5. Do benchmarks, a judge and people agree?",
        "",
        f"**The paper.** Over twelve data sets the AlpacaEval win rate follows the mean length of a training response (r = {trained.r:.2f} [{trained.low:.2f}, {trained.high:.2f}]) and hardly the mean of five benchmarks "
        f"(r = {judged.r:.2f} [{minus(f'{judged.low:.2f}')}, {judged.high:.2f}]), both recomputed from Tables 1 and 3; with the number of different tokens in a model's responses the paper finds 0.96. "
        f"People called {', '.join(f'{name} {value:.1f} %' for name, value in ACCEPTED.items())} acceptable: Tülu 7B wins more by the judge than the Human mixture on 65B ({JUDGED['Tülu 7B']} and {JUDGED['Human mixture 65B']} %), "
        "and less by people. Two annotators agreed on acceptance in 84 % and on preference in 72 % of prompts, a tie against a win counting half; the released records give 85 and 71 %.",
        "",
        "**Here**, on released comparisons (no text of theirs is kept, counts alone):",
        "",
        *table(
            ["", "comparisons", "the longer response is preferred, where one is"],
            [
                [
                    "a judge: GPT-4, 16 models against text-davinci-003",
                    f"{_pairs(preferences['judge']['verdict_and_longer']):,}",
                    _longer(preferences["judge"]["verdict_and_longer"]),
                ],
                [
                    "people: PandaLM, majority of three",
                    f"{_pairs(preferences['pandalm']['majority_and_longer']):,}",
                    _longer(preferences["pandalm"]["majority_and_longer"]),
                ],
                ["people: WebGPT", f"{_pairs(preferences['webgpt']):,}", _longer(preferences["webgpt"])],
                ["experts: LLMBar, natural", f"{_pairs(preferences['llmbar']['natural']):,}", _longer(preferences["llmbar"]["natural"])],
                [
                    "experts: LLMBar, adversarial",
                    f"{_pairs(preferences['llmbar']['adversarial']):,}",
                    _longer(preferences["llmbar"]["adversarial"]),
                ],
            ],
        ),
        f"- Over {len(models)} models the judge's win rate and the mean length of a response correlate at r = {ours.r:.2f} [{ours.low:.2f}, {ours.high:.2f}], as the paper's do. Better models are longer, too: it is no proof that length is what "
        "the judge rewards; the rows of people on other pairs, with other models and questions, are no contrast of judge and people on the same pairs.",
        f"- Three people on the same {len(counts):,} pairs agree in {_figure(raw_agreement(counts))} of pairs of verdicts; Fleiss' kappa {_figure(fleiss_kappa(counts))}, Krippendorff's alpha {_figure(krippendorff_alpha(counts))}.",
        f"- In the study above, of {moved} changes of a task in a trained run, the bits of its gold answers moved to the same side in {_share(same, moved)} (runs and tasks taken as independent, which they are not): "
        "on so few items a loss and its task are not the same measure.",
        "",
        "**Not answered here.** What people say of these models' answers: nobody judged them, and a model of this size writes too little that could be. It takes `judge-app`, two annotators, and "
        "some 300 pairs a contrast for an interval of ± 6 points; with a local judge on the same pairs, `verify` gives the agreement of judge, benchmark and people.",
        "",
    ]


def _pairs(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _longer(counts: Mapping[str, int]) -> str:
    """The share of verdicts for the longer response, ties and equal lengths left out."""
    agrees = counts.get("11", 0) + counts.get("22", 0)
    return _share(agrees, agrees + counts.get("12", 0) + counts.get("21", 0))


def page() -> str:
    """The page."""
    content = figures()
    seconds = [run["seconds"] for run in content["runs"].values()]
    return "\n".join(
        [
            *_head(content),
            *_short(content),
            *_first(content, matrix(content, "untouched")),
            *_second(content),
            *_third(),
            *_fourth(),
            *_fifth(content),
            "## What this is not",
            "",
            "- The smallest setting there is: it shows the table with its intervals and what they can tell apart; effects at the sizes that people train at may be others.",
            "- Rows have at most "
            f"{content['protocol']['design']['row_tokens']} tokens: of sources with long rows the short ones. Prompts of tasks have no chat template and no demonstrations, while training has the template.",
            "- Alpaca, Code Alpaca and GPT-4's answers are for non-commercial use; none of their text is here.",
            "",
            f"A run took {min(seconds):,.0f} to {max(seconds):,.0f} s of wall time on a busy core. Made with instructsel {content['versions'].get('instructsel', '')}, torch {content['versions'].get('torch', '')}, "
            f"lm-eval {content['versions'].get('lm_eval', '')}; by `python docs/build_research_questions.py`, and a test compares the page with what it writes.",
            "",
        ]
    )


def main() -> None:
    """Write the page and the pictures."""
    PICTURES.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    for name, text in pictures().items():
        (PICTURES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
