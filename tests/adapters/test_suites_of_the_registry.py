"""The tasks of the suites are those of the harness's own registry, by their exact names and metrics; nothing is loaded from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters.lm_eval.suites import SUITES
from instructsel.adapters.lm_eval.tasks import Task, _task, silent
from instructsel.errors import UsageError

lm_eval: Any = pytest.importorskip("lm_eval")
pytest.importorskip("lm_eval.tasks")
LEAVES = {"mmlu": 57, "bbh_cot_fewshot": 27, "tydiqa_goldp": 9}
"""Groups and tags → tasks: subjects, tasks, languages."""


FOLDERS = ("arc", "bbh", "gsm8k", "hellaswag", "humaneval", "ifeval", "mmlu", "truthfulqa", "tydiqa")
"""Of the harness's tasks: to index all of them takes many seconds, and what they are called does not depend on it."""


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    shipped = Path(lm_eval.tasks.__file__).parent
    names = {task.task for suite in SUITES.values() for task in suite}
    with silent():
        manager = lm_eval.tasks.TaskManager(include_path=[str(shipped / folder) for folder in FOLDERS], include_defaults=False)
        indexed = {name: _task(name, manager) for name in names}
    return {name: task for name, task in indexed.items() if task is not None}


def test_every_name_and_metric_of_the_suites_is_one_of_the_harness(tasks: dict[str, Task]) -> None:
    for suite, listed in SUITES.items():
        for task in listed:
            if task.samples_per_item is not None:
                # pass@k of our own sampling; the harness's task gives prompts and tests.
                continue
            assert task.task in tasks, f"{task.task} is no task of the harness"
            metric = task.metric if "," in task.metric else f"{task.metric},none"
            assert tasks[task.task].metric(task.metric) == metric, (suite, task.task)
            assert metric in tasks[task.task].metrics, (suite, task.task)


def test_groups_have_their_subjects_tasks_and_languages(tasks: dict[str, Task]) -> None:
    assert {name: len(tasks[name].leaves) for name in LEAVES} == LEAVES
    assert {leaf.name.removeprefix("tydiqa_goldp_") for leaf in tasks["tydiqa_goldp"].leaves} == {
        "ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te",
    }  # fmt: skip
    assert all(len(task.leaves) == 1 for name, task in tasks.items() if name not in LEAVES)


def test_the_settings_of_the_paper_are_those_of_its_appendix() -> None:
    settings = {(task.task, task.num_fewshot, task.metric.partition(",")[0]): (task.sample_items, task.samples_per_item, task.temperature) for task in SUITES["tulu-paper"]}  # fmt: skip
    assert settings == {
        ("mmlu", 0, "acc"): (None, None, 0.0),
        ("mmlu", 5, "acc"): (None, None, 0.0),
        ("gsm8k_cot", 8, "exact_match"): (200, None, 0.0),
        ("bbh_cot_fewshot", 3, "exact_match"): (40, None, 0.0),
        ("tydiqa_goldp", 1, "f1"): (100, None, 0.0),
        ("humaneval", 0, "pass@10"): (None, 20, 0.8),
        ("humaneval", 0, "pass@1"): (None, 20, 0.1),
        ("truthfulqa_mc2", 0, "acc"): (None, None, 0.0),
    }


def test_a_metric_that_the_harness_does_not_have_is_refused(tasks: dict[str, Task]) -> None:
    with pytest.raises(UsageError, match="exact_match"):
        tasks["gsm8k_cot"].metric("exact_macth")
