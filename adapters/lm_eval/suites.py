"""The suites of lm-evaluation-harness tasks, a skill each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SKILLS: Final = ("knowledge", "reasoning", "multilinguality", "coding", "truthfulness")
"""What a task of a suite is said to measure; the columns of a table by skill."""


@dataclass(frozen=True)
class SuiteTask:
    """A task as a suite wants it run."""

    task: str
    """A task, group or tag of the harness."""
    metric: str
    """`metric` or `metric,filter`, as the harness writes it."""
    num_fewshot: int
    """Demonstrations before each item."""
    skill: str
    """One of SKILLS."""
    unsafe: bool = False
    """Whether it runs code that the model writes."""


SUITES: Final[Mapping[str, tuple[SuiteTask, ...]]] = {
    "open-llm": (
        SuiteTask("arc_challenge", "acc_norm", 25, "reasoning"),
        SuiteTask("hellaswag", "acc_norm", 10, "reasoning"),
        SuiteTask("mmlu", "acc", 5, "knowledge"),
        SuiteTask("truthfulqa_mc2", "acc", 0, "truthfulness"),
    ),
    "tulu": (
        SuiteTask("mmlu", "acc", 0, "knowledge"),
        SuiteTask("gsm8k_cot", "exact_match,flexible-extract", 8, "reasoning"),
        SuiteTask("bbh_cot_fewshot", "exact_match,get-answer", 3, "reasoning"),
        SuiteTask("tydiqa_goldp", "f1", 1, "multilinguality"),
        SuiteTask("humaneval", "pass@1,create_test", 0, "coding", unsafe=True),
        SuiteTask("truthfulqa_mc2", "acc", 0, "truthfulness"),
    ),
}
"""`open-llm` are the four tasks of InstructMining's evaluation (Cao et al. 2023, arXiv:2307.06290) with the shots of the Open LLM
Leaderboard of its time; `tulu` are the harness's nearest tasks to the evaluation of Wang et al. 2023, arXiv:2306.04751."""


SKILL_OF: Final[Mapping[str, str]] = {task.task: task.skill for suite in SUITES.values() for task in suite}
"""What the tasks of the suites are said to measure."""


SUITE_NOTES: Final[Mapping[str, Mapping[str, str]]] = {
    "open-llm": {
        "arc_challenge": "The leaderboard ran an older harness; its figures and those of today's task are not the same.",
        "hellaswag": "The leaderboard ran an older harness; its figures and those of today's task are not the same.",
        "mmlu": "The leaderboard averaged over the 57 subjects (macro); the mean of the grades counts every question once (micro). Both are in the record.",
        "truthfulqa_mc2": "Six question-answer pairs are written into its prompt; the shots are 0 all the same.",
    },
    "tulu": {
        "mmlu": "The likelihoods of A to D after the question; the paper begins the answer with 'The answer is:' and drops shots above 2,048 tokens.",
        "gsm8k_cot": "All 1,319 test questions, where the paper draws 200; the ends of the demonstrations are worded slightly differently; the last number counts (flexible-extract).",
        "bbh_cot_fewshot": "All questions of the 27 tasks, where the paper draws 40 of each; case counts; the mean counts every question once, the paper's every task once (macro, in the record).",
        "tydiqa_goldp": "Demonstrations are random training rows of the same language; other wording of the prompt; no cut of passages at 512 tokens, no 100 questions per language; another normalisation of answers. The paper averages over languages (macro, in the record).",
        "humaneval": "pass@1, greedy, where the paper reports pass@10 of 20 samples at temperature 0.8. Runs code that the model writes.",
        "truthfulqa_mc2": "The likelihood of true answers; the paper's truth × info needs two fine-tuned judges, which the harness does not have.",
        "alpaca_eval": "Not in the harness; a grader of its own.",
        "toxigen": "The harness's task of that name asks yes or no about given statements and is not the paper's generation of toxic text; left out.",
    },
}
"""In what a task of a suite differs from what it stands for."""
