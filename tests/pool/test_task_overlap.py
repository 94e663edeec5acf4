"""Contamination by the documents of tasks: however a row asks them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import StudyError
from instructsel.pool.contamination import check_graders
from instructsel.pool.overlap import Overlap
from instructsel.pool.pool import Pool
from instructsel.pool.task_overlap import Frame, TaskDocument, TaskDocuments, documents_of, task_overlaps

QUESTIONS = [
    "A baker sells 16 loaves before noon and half as many after it. How many loaves does the baker sell on that day?",
    "Why does a heavy iron ship float on the water while a small iron nail sinks to the ground at once?",
    "Which of the planets that go around the sun has the most mass, and which of them has the least of it?",
]
ANSWERS = ["24", "It displaces more water.", "Jupiter"]


def pool(path: Path, *rows: tuple[str, str]) -> Pool:
    path.write_text("".join(json.dumps({"instruction": asked, "input": "", "output": answer}) + "\n" for asked, answer in rows))
    return Pool.read(path)


def task(name: str, leaves: Sequence[Sequence[TaskDocument]]) -> TaskDocuments:
    @contextmanager
    def read() -> Iterator[Iterator[tuple[Sequence[TaskDocument], Iterator[TaskDocument]]]]:
        yield ((documents, iter(documents)) for documents in leaves)

    return TaskDocuments(name, read)


def framed(form: str = "Question: {}\nAnswer:") -> list[TaskDocument]:
    return [
        TaskDocument(f"quiz doc {number}", form.format(question), (answer,), {"question": question, "id": str(number)})
        for number, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True))
    ]


def overlap(tmp_path: Path, documents: list[TaskDocument], *rows: tuple[str, str], render: Any = None) -> Overlap:
    (found,) = task_overlaps([task("quiz", [documents])], {"the arm random": [pool(tmp_path / "train.jsonl", *rows)]}, render=render)
    return found


SAME = {
    "as the task renders it": (f"Question: {QUESTIONS[1]}\nAnswer:", ANSWERS[1]),
    "the question alone": (QUESTIONS[1], ANSWERS[1]),
    "in another case and spacing": (f"  {QUESTIONS[1].upper()} ", ANSWERS[1].rstrip(".") + "!"),
    "in another layout": (f"Please answer in a few words. {QUESTIONS[1]} Thank you.", ANSWERS[1]),
    "question and answer in one response": ("Write a quiz.", f"Q: {QUESTIONS[1]} {ANSWERS[1]} And so on."),
}


@pytest.mark.parametrize("name", SAME)
def test_a_document_is_the_same_however_a_row_asks_it(tmp_path: Path, name: str) -> None:
    found = overlap(tmp_path, framed(), ("Sing.", "La."), SAME[name])
    assert dict(found.counts) == {"same": 1, "instruction": 0, "response": 0}
    assert found.places == {"same": (("quiz doc 1", "train.jsonl:2"),)} and found.n == 3
    with pytest.raises(StudyError, match=r"1 of 3 documents of quiz are in the arm random.*quiz doc 1 \(train\.jsonl:2\)") as refused:
        found.check()
    assert "leave the task out" in (refused.value.fix or "") and "--allow-contamination" in (refused.value.fix or "")
    assert Overlap.of(json.loads(json.dumps(found.as_dict()))) == found


def test_a_question_with_another_answer_is_warned_of_and_what_is_of_the_task_alone_is_nothing(tmp_path: Path) -> None:
    found = overlap(tmp_path, framed(), (f"I wonder: {QUESTIONS[0]}", "I do not know."), ("Question: Who?\nAnswer:", "Me."))
    assert dict(found.counts) == {"same": 0, "instruction": 1, "response": 0}
    found.check()


def test_a_passage_alone_is_no_question_and_with_another_question_it_is_another(tmp_path: Path) -> None:
    passages = [f"The river number {n} rises in the hills, runs past the mill and the market, and meets the sea." for n in range(4)]
    documents = [
        TaskDocument(
            f"reads doc {number}",
            f"{passage}\nQuestion: does river number {number} meet the sea at all?\nAnswer:",
            ("yes",),
            {"passage": passage, "question": f"does river number {number} meet the sea at all"},
        )
        for number, passage in enumerate(passages)
    ]
    other = (f"{passages[2]}\nIs there a market by it?", "yes")
    assert not overlap(tmp_path, documents, other).contaminated
    same = (f"Is it so: does river number 2 meet the sea at all? Read first: {passages[2]}", "Yes.")
    assert overlap(tmp_path, documents, other, same).places["same"] == (("reads doc 2", "train.jsonl:2"),)


def test_choices_belong_to_no_question_and_the_text_of_the_right_one_answers_it(tmp_path: Path) -> None:
    options = ["the longest of the rivers", "a small lake in the hills", "the old mill by the market"]
    documents = [
        TaskDocument(
            f"picks doc {number}",
            f"{question}\nA. {options[0]}\nB. {options[1]} {number}\nC. {options[2]}\nAnswer:",
            ("B", f"{options[1]} {number}"),
            {"question": question, "a": options[0], "b": f"{options[1]} {number}", "c": options[2]},
        )
        for number, question in enumerate(QUESTIONS)
    ]
    for answer in ("B", f"{options[1]} 2"):
        assert overlap(tmp_path, documents, (f"Say: {QUESTIONS[2]}", answer)).counts["same"] == 1
    assert dict(overlap(tmp_path, documents, (QUESTIONS[2], "C")).counts) == {"same": 0, "instruction": 1, "response": 0}


def test_questions_that_differ_in_brackets_or_signs_alone_are_apart(tmp_path: Path) -> None:
    text = "Complete the rest of the sequence so that all brackets are closed in their order: {}"
    documents = [
        TaskDocument(f"close doc {number}", text.format(part), (")",), {}) for number, part in enumerate(["[ ( ]", "( [ ]", "( { }"])
    ]
    assert overlap(tmp_path, documents, (text.format("( [ ]"), ")")).places["same"] == (("close doc 1", "train.jsonl:1"),)
    sums = "Work out the following sum of numbers step by step and then give the result of it: 12 {} 4 and nothing else"
    documents = [TaskDocument(f"sum doc {number}", sums.format(sign), ("8",), {}) for number, sign in enumerate("-*/")]
    assert overlap(tmp_path, documents, (f"Now. {sums.format('/')}", "8")).places["same"] == (("sum doc 2", "train.jsonl:1"),)


def test_a_long_answer_in_a_row_about_something_else_is_warned_of(tmp_path: Path) -> None:
    answer = "Half of 16 loaves is 8 loaves, so that the baker sells 16 + 8 = 24 loaves on that day."
    documents = [TaskDocument("quiz doc 0", QUESTIONS[0], (answer,), {"question": QUESTIONS[0]})]
    assert dict(overlap(tmp_path, documents, ("Tell a tale.", f"Well. {answer} The end.")).counts) == {
        "same": 0,
        "instruction": 0,
        "response": 1,
    }


def test_a_document_that_a_chat_template_renders_like_a_row_is_the_same(tmp_path: Path) -> None:
    def render(example: Any) -> str:
        return "\n".join(message.content.rpartition("</think>")[2] for message in example.messages)

    row = ("Why?", "<think>hm</think>So.")
    documents = [TaskDocument("quiz doc 0", "Why?", ("So.",), {})]
    assert overlap(tmp_path, documents, row).counts["same"] == 0
    assert overlap(tmp_path, documents, row, render=render).counts["same"] == 1


def test_parts_of_many_documents_give_what_all_at_once_give_for_every_task_and_arm(tmp_path: Path) -> None:
    many = [
        [TaskDocument(f"{name} doc {n}", f"Q: {QUESTIONS[n % 3]} number {n}?", (f"It is {n}.",), {}) for n in range(60)] for name in "ab"
    ]
    arms = {
        "the arm a": [pool(tmp_path / "a.jsonl", *((f"{QUESTIONS[n % 3]} number {n}?", f"It is {n}.") for n in range(0, 60, 7)))],
        "the arm b": [pool(tmp_path / f"{k}.jsonl", (f"{QUESTIONS[k]} number {k}?", "What?")) for k in range(3)],
    }
    tasks = [task("first", many), task("second", many[:1])]
    whole = task_overlaps(tasks, arms)
    assert [(one.evaluation, one.where, one.n) for one in whole] == [
        ("first", "the arm a", 120),
        ("first", "the arm b", 120),
        ("second", "the arm a", 60),
        ("second", "the arm b", 60),
    ]
    assert [dict(one.counts)["same"] for one in whole] == [18, 0, 9, 0] and [dict(one.counts)["instruction"] for one in whole] == [
        0,
        6,
        0,
        3,
    ]
    assert task_overlaps(tasks, arms, part=1) == whole == task_overlaps(tasks, arms, part=30_000)


def test_memory_holds_a_part_of_the_documents(tmp_path: Path) -> None:
    rows = pool(tmp_path / "train.jsonl", ("Sing.", "La."))

    def documents(n_documents: int) -> TaskDocuments:
        @contextmanager
        def read() -> Iterator[Iterator[tuple[Sequence[TaskDocument], Iterator[TaskDocument]]]]:
            yield iter([([], (TaskDocument("", f"{number} {QUESTIONS[0]}", (str(number),), {}) for number in range(n_documents)))])

        return TaskDocuments("many", read)

    def peak(n_documents: int) -> int:
        tracemalloc.start()
        (found,) = task_overlaps([documents(n_documents)], {"the arm": [rows]}, part=500_000)
        assert found.n == n_documents
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(300)
    assert peak(2400) < 1.5 * peak(600)


def test_graders_that_show_their_documents_are_compared_each_task_once(tmp_path: Path) -> None:
    class Graded:
        name = "quiz:acc"
        documents = task("quiz", [framed()])

    assert len(list(documents_of([Graded(), Graded(), object()]))) == 1
    rows = pool(tmp_path / "train.jsonl", (QUESTIONS[0], ANSWERS[0]))
    with pytest.raises(StudyError, match="documents of quiz are in the pool"):
        check_graders(rows, Graded())
    (warning,) = check_graders(rows, Graded(), allow=True)
    assert warning.startswith("1 of 3 documents of quiz")


def test_a_frame_is_what_all_questions_have_in_common() -> None:
    assert Frame.of(framed()) == Frame(1, 1, ("question", "id"))
    assert Frame.of(framed()[:2]) == Frame(fields=("question", "id"))
    alike = [TaskDocument("", "What is it?", (), {"kind": "a"})] * 30
    assert Frame.of(alike).inner("What is it?") and Frame.of(alike).fields == ()
