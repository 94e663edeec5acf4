"""What a contamination check is given of a task's documents: as the harness asks them, of every kind of task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters.lm_eval.gold import GoldBits
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.errors import UsageError
from instructsel.gates.contamination.items import items_of
from instructsel.pool.task_overlap import TaskDocument
from tests.adapters.test_gold_bits import written

CHOOSING: dict[str, Any] = {
    "output_type": "multiple_choice",
    "generation_kwargs": None,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(autouse=True, scope="module")
def own_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`datasets` keeps what it reads in a folder of the tests."""
    import datasets.config

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    yield
    datasets.config.HF_DATASETS_CACHE = before


def documents(folder: Path, task: str, **options: Any) -> list[TaskDocument]:
    with GoldBits(task, include_path=folder, **options).documents.read() as leaves:
        return [document for sample, every in leaves for document in (list(sample), list(every))[1]]


def test_a_target_a_list_of_them_and_a_solution_are_answers(tmp_path: Path) -> None:
    rows = [
        {"prompt": "the sky is", "answer": "blue", "answers": ["blue", "grey"], "test": "assert f", "canonical_solution": "    return 1"}
    ]
    folder = written(tmp_path / "tasks", "one", rows, doc_to_text="Q: {{prompt}}\nA:", doc_to_target="answer")
    (document,) = documents(folder, "one")
    assert (document.place, document.question, document.answers) == ("one doc 0", "Q: the sky is\nA:", ("blue",))
    assert document.fields["prompt"] == "the sky is"
    written(folder, "several", rows, doc_to_text="prompt", doc_to_target="answers")
    assert documents(folder, "several")[0].answers == ("blue", "grey")
    written(folder, "humaneval_one", rows, doc_to_text="prompt", doc_to_target="test", unsafe_code=True)
    assert documents(folder, "humaneval_one")[0].answers == ("return 1",)
    written(folder, "constant", rows, doc_to_text="prompt", doc_to_target=0)
    assert (documents(folder, "constant")[0].question, documents(folder, "constant")[0].answers) == ("the sky is", ())


def test_a_choice_named_by_its_letter_is_also_its_text(tmp_path: Path) -> None:
    rows = [{"q": "the sky is", "options": ["cold water", "blue"], "gold": 1, "a": "cold water", "b": "blue"}]
    letters = {**CHOOSING, "doc_to_choice": ["A", "B"], "doc_to_target": "gold"}
    folder = written(tmp_path / "tasks", "listed", rows, doc_to_text="{{q}}\nA. {{options[0]}}\nB. {{options[1]}}\nAnswer:", **letters)
    assert documents(folder, "listed")[0].answers == ("B", "blue")
    single = [{name: value for name, value in rows[0].items() if name != "options"}]
    written(folder, "fields", single, doc_to_text="{{q}}\n(A) {{a}}\n(B) {{b}}\nAnswer:", **letters)
    assert documents(folder, "fields")[0].answers == ("B", "blue")


def test_choices_that_stand_in_the_prompt_give_the_right_prompt_and_its_end(tmp_path: Path) -> None:
    rows = [{"first": "the egg is cold so", "second": "the water is cold so", "gold": 1, "end": "it cools"}]
    folder = written(
        tmp_path / "tasks",
        "blanks",
        rows,
        doc_to_text="gold",
        doc_to_choice="{{[first, second]}}",
        doc_to_target="end",
        **CHOOSING,
    )
    (document,) = documents(folder, "blanks")
    assert (document.question, document.answers) == ("the water is cold so", ("it cools",))


def test_those_that_are_graded_are_given_and_a_group_s_by_their_tasks(tmp_path: Path) -> None:
    rows = [{"prompt": f"say {n}", "answer": str(n)} for n in range(5)]
    folder = written(tmp_path / "tasks", "first", rows, doc_to_text="prompt", doc_to_target="answer")
    written(folder, "second", rows[:2], doc_to_text="prompt", doc_to_target="answer")
    (folder / "both.yaml").write_text('{"group": "both", "task": ["first", "second"]}')
    assert [document.place for document in documents(folder, "both", limit=3)] == [
        *(f"first doc {n}" for n in range(3)),
        *(f"second doc {n}" for n in range(2)),
    ]
    assert LmEval("first", include_path=folder).documents.task == "first"


def test_a_template_that_fails_is_named_with_its_document(tmp_path: Path) -> None:
    rows = [{"number": number, "answer": "blue"} for number in (1, 2)]
    folder = written(tmp_path / "tasks", "broken", rows, doc_to_text="Divide: {{ 10 // (number - 2) }}", doc_to_target="answer")
    with pytest.raises(UsageError, match="cannot render document 1 of broken"):
        documents(folder, "broken")


def test_the_documents_of_a_task_are_items_that_a_gate_looks_for(tmp_path: Path) -> None:
    rows = [{"question": f"Which colour has the {thing}?", "answer": "blue"} for thing in ("sky", "sea")]
    folder = written(tmp_path / "tasks", "colours", rows, doc_to_text="Q: {{question}}\nA:", doc_to_target="answer")
    listed = list(items_of("lm-eval:colours", include_path=folder))
    assert [(item.number, item.questions, item.answers) for item in listed] == [
        (1, ("Which colour has the sky?",), ("blue",)),
        (2, ("Which colour has the sea?",), ("blue",)),
    ]
