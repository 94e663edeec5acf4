"""Write docs/why/research_questions.md and its pictures from benchmarks/results/skills_*.json and preferences.json, and from published tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from research_questions.answers import fifth, first, fourth, in_short, second, third
from research_questions.measured import OUTCOMES, RESULTS, TASKS, figures, matrix, tokens
from research_questions.wording import NAMES

from instructsel.commands._effects import drawn
from instructsel.study.effects import EffectMatrix
from instructsel.study.folder import Plan

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "why" / "research_questions.md"
PICTURES: Final = ROOT / "docs" / "why" / "research_questions"


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


def page() -> str:
    """The page."""
    content = figures()
    seconds = [run["seconds"] for run in content["runs"].values()]
    return "\n".join(
        [
            *_head(content),
            *in_short(content),
            *first(content, matrix(content, "untouched")),
            *second(content),
            *third(),
            *fourth(),
            *fifth(content),
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
