"""Contamination: what a model would be graded on and trained on, however it is written."""

from __future__ import annotations

import gzip
import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import StudyError
from instructsel.pool.contamination import check_evaluation
from instructsel.pool.example import Example
from instructsel.pool.normal_form import normal_form, operators
from instructsel.pool.overlap import EvaluationIndex, Overlap
from instructsel.pool.pool import Pool

LONG = "The river rises in the hills to the east, runs past the old mill and the market, and meets the sea at the harbor."
Row = dict[str, Any]


def pool(path: Path, *rows: Row) -> Pool:
    """A file of one format."""
    if any("messages" in row for row in rows):
        rows = tuple(
            row if "messages" in row else talk(f"{row['instruction']}\n{row['input']}".rstrip("\n"), row["output"]) for row in rows
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(path)


def asked(instruction: str, output: str) -> Row:
    return {"instruction": instruction, "input": "", "output": output}


def talk(*turns: str, system: str | None = None) -> Row:
    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *messages]}


def overlap(tmp_path: Path, training: list[Row], evaluation: list[Row], render: Any = None) -> Overlap:
    return EvaluationIndex.of(pool(tmp_path / "eval.jsonl", *evaluation)).overlap(
        [pool(tmp_path / "train.jsonl", *training)], where="the pool", render=render
    )


QUESTION, ANSWER = "What is the capital of France?", "It is Paris, on the Seine."
SAME: dict[str, tuple[Row, Row]] = {
    "a trailing blank": (asked(QUESTION, ANSWER), asked(QUESTION + " ", ANSWER + "\n")),
    "case and punctuation": (asked(QUESTION, ANSWER), asked("what is the capital of france", "IT IS PARIS on the seine!")),
    "white space": (asked(QUESTION, ANSWER), asked("What  is the\tcapital\nof France?", ANSWER)),
    "no-break and zero-width space": (asked(QUESTION, ANSWER), asked("What is the\u00a0capital of Fra\u200bnce?", ANSWER)),
    "composed and decomposed letters": (asked("Où est l'été ?", ANSWER), asked(unicodedata.normalize("NFD", "Où est l’été ?"), ANSWER)),
    "full-width letters and ligatures": (asked("Define a field file.", ANSWER), asked("Ｄｅｆｉｎｅ a ﬁeld ﬁle.", ANSWER)),
    "another format": (talk(QUESTION, ANSWER), asked(QUESTION, ANSWER)),
    "another system message": (talk(QUESTION, ANSWER, system="You are a pirate."), asked(QUESTION, ANSWER)),
    "a system message of the evaluation alone": (asked(QUESTION, ANSWER), talk(QUESTION, ANSWER, system="You are a pirate.")),
    "two system messages": (talk(QUESTION, ANSWER, system="Be brief."), talk(QUESTION, ANSWER, system="Be kind.")),
    "the end of a longer conversation": (talk("Hello", "Good day.", QUESTION, ANSWER), asked(QUESTION, ANSWER)),
    "inner turns of a longer conversation": (talk("Hello", "Good day.", QUESTION, ANSWER, "Thanks", "Welcome."), asked(QUESTION, ANSWER)),
    "the beginning of a longer conversation": (talk(QUESTION, ANSWER, "Thanks", "Welcome."), asked(QUESTION, ANSWER)),
    "several turns within more": (
        talk("a", "b", QUESTION, ANSWER, "And its river?", "The Seine.", "x", "y"),
        talk(QUESTION, ANSWER, "And its river?", "The Seine."),
    ),
    "instruction and input joined": (
        asked(f"Answer.\n{QUESTION}", ANSWER),
        {"instruction": "Answer.", "input": QUESTION, "output": ANSWER},
    ),
    "nothing but signs": (asked("???", "!!!"), asked(" ???", "!!! ")),
}


@pytest.mark.parametrize("name", SAME)
def test_a_conversation_that_is_the_same_however_it_is_written_is_refused_with_both_places(tmp_path: Path, name: str) -> None:
    training, evaluation = SAME[name]
    found = overlap(tmp_path, [asked("Sing.", "La."), training], [asked("Dance now.", "Step."), evaluation])
    assert dict(found.counts) == {"same": 1, "instruction": 0, "response": 0} and found.contaminated
    assert found.places["same"] == (("eval.jsonl:2", "train.jsonl:2"),)
    with pytest.raises(StudyError, match=r"1 of 2 examples of eval\.jsonl are in the pool.*eval\.jsonl:2 \(train\.jsonl:2\)") as refused:
        found.check()
    assert "--allow-contamination" in (refused.value.fix or "")
    assert Overlap.of(json.loads(json.dumps(found.as_dict()))) == found


APART: dict[str, tuple[Row, Row]] = {
    "another question": (asked(QUESTION, ANSWER), asked("What is the capital of Spain?", "Madrid.")),
    "another sign between numbers": (asked("5 + 3 =", "eight"), asked("5 - 3 =", "two")),
    "a minus sign or a division": (asked("Is 6-3 below 4?", "Yes"), asked("Is 6/3 below 4?", "Yes")),
    "a decimal point": (asked("Round 3.5", "4"), asked("Round 35", "4")),
    "another comparison": (asked("is a<b ?", "Yes"), asked("is a>b ?", "Yes")),
    "vowel signs": (asked("कि", "Yes"), asked("का", "Yes")),
    "a question that is part of another": (asked(QUESTION + " Think first.", "Paris."), asked(QUESTION, ANSWER)),
    "no question at all": (asked(" ", "One thing."), asked(" ", "Another thing.")),
}


@pytest.mark.parametrize("name", APART)
def test_conversations_that_differ_are_no_overlap(tmp_path: Path, name: str) -> None:
    training, evaluation = APART[name]
    assert not overlap(tmp_path, [training], [evaluation]).found


def test_an_instruction_with_another_response_is_warned_of_with_its_places(tmp_path: Path) -> None:
    training = [asked(QUESTION, ANSWER), talk("Hi", "Hello", system="x")]
    found = overlap(tmp_path, training, [asked("what is the capital of FRANCE", "Lyon."), talk("Hi", "Good day"), asked("New?", "Yes.")])
    assert dict(found.counts) == {"same": 0, "instruction": 2, "response": 0}
    found.check()
    (sentence,) = found.sentences()
    assert sentence.startswith("2 of 3 instructions of eval.jsonl are in the pool too, with other responses: ")
    assert "eval.jsonl:1 (train.jsonl:1)" in sentence and "eval.jsonl:2 (train.jsonl:2)" in sentence


def test_a_long_response_in_a_row_about_something_else_is_warned_of_and_a_short_one_is_not(tmp_path: Path) -> None:
    training = [
        asked("Tell me a tale.", f"Once upon a time. {LONG.upper()} And so on."),
        talk("Summarize: " + LONG.replace(",", " ,"), "A river."),
        asked("Yes or no?", "It is Paris, on the Seine."),
    ]
    found = overlap(tmp_path, training, [asked("Describe the river.", LONG), asked("Where?", ANSWER), asked("Which?", LONG[:-6] + "quay.")])
    assert dict(found.counts) == {"same": 0, "instruction": 0, "response": 1}
    assert found.places["response"][0][0] == "eval.jsonl:1" and found.places["response"][0][1] in ("train.jsonl:1", "train.jsonl:2")
    assert "1 of 3 responses of eval.jsonl stand in the pool" in found.sentences()[0]


def test_many_responses_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    begin = LONG + " " + LONG
    evaluation = [asked(f"Tell {n}", f"{begin} number {n} of them") for n in range(40)] + [asked("All", begin)]
    found = overlap(tmp_path, [asked("Other", f"So: {begin} number 7 of them, and more.")], evaluation)
    assert found.counts["response"] == 2
    assert {ours for ours, _ in found.places["response"]} == {"eval.jsonl:8", "eval.jsonl:41"}


def test_rows_that_a_template_renders_alike_are_the_same(tmp_path: Path) -> None:
    seen: list[str] = []

    def render(example: Example) -> str | None:
        # Drops the tools' turns and what is thought, as templates do.
        seen.append(example.id)
        kept = [message.content.rpartition("</think>")[2] for message in example.messages if message.role in ("user", "assistant")]
        return None if "refused" in kept[0] else "\n".join(kept)

    training = [talk(QUESTION, f"<think>I know.</think>{ANSWER}"), asked("Sing.", "La."), talk("refused?", "<think>a</think>Yes.")]
    evaluation = [asked(QUESTION, ANSWER), asked("refused?", "Yes.")]
    assert overlap(tmp_path, training, evaluation).counts["same"] == 0
    found = overlap(tmp_path, training, evaluation, render)
    assert found.counts["same"] == 1 and found.places["same"] == (("eval.jsonl:1", "train.jsonl:1"),)
    # Only rows with a question of the evaluation set are rendered.
    assert len(seen) == 3


def test_a_file_with_the_rows_of_another_is_named_however_it_is_compressed_or_written(tmp_path: Path) -> None:
    rows = [asked(f"Say {n}", f"Word {n}") for n in range(5)]
    training = pool(tmp_path / "train.jsonl", *rows)
    packed = tmp_path / "copy.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "train.jsonl").read_bytes()))
    whole = tmp_path / "copy.json"
    whole.write_text(json.dumps([talk(row["instruction"], row["output"]) for row in rows[::-1]]))
    for path in (packed, whole):
        with pytest.raises(StudyError, match=rf"{path.name} holds the rows of .*train\.jsonl, which is in the pool"):
            check_evaluation(training, Pool.read(path))
    assert check_evaluation(training.take(training.ids[:2]), training.take(training.ids[2:])) == []


def test_every_replicate_of_an_arm_is_looked_at_and_an_example_counts_once(tmp_path: Path) -> None:
    index = EvaluationIndex.of(pool(tmp_path / "eval.jsonl", asked("a b", "c d"), asked("e f", "g h")))
    pools = [pool(tmp_path / f"{n}.jsonl", asked("A b", "c d."), *([asked("e f", "other")] if n else [])) for n in range(3)]
    found = index.overlap(pools, where="the arm random")
    assert dict(found.counts) == {"same": 1, "instruction": 1, "response": 0}
    assert found.places == {"same": (("eval.jsonl:1", "0.jsonl:1"),), "instruction": (("eval.jsonl:2", "1.jsonl:2"),)}


@pytest.mark.parametrize("text", ["a" + "\u0301\u0323" * 50_000, "1" + " -" * 100_000, "?" * 300_000, " \u00a0" * 100_000, "ﷺ" * 20_000])
def test_the_normal_form_of_a_hostile_text_takes_time_in_proportion(text: str) -> None:
    def seconds(part: str) -> float:
        started = time.process_time()
        normal_form(part)
        operators(part)
        return time.process_time() - started

    seconds(text)
    # Of four times the text some four times the time; a square would be sixteen.
    assert seconds(text * 4) < 10 * max(seconds(text), 0.002)


def test_the_normal_form_of_a_normal_form_is_itself() -> None:
    for text in ("  Grüße, STRASSE—ﬁn!  ", "İstanbul ǅ", "a\u0301\u200d b", "½ ① ﷺ", "3.5-2", "\ud800 x", "क्षि ाx"):
        once = normal_form(text)
        assert normal_form(once) == once
