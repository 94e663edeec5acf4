"""The gate's checks for repetition: copies, near-copies, prompts with contradicting or further responses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.checks.conflicting_responses import ConflictingResponses
from instructsel.gates.checks.exact_duplicate import ExactDuplicate
from instructsel.gates.checks.near_duplicate import NearDuplicate
from instructsel.gates.checks.same_prompt import SamePrompt
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.pool.pool import Pool
from tests.gates.checks.hits_of import hits_of

WORDS = [f"word{number}" for number in range(500)]
Rows = list[dict[str, Any]]


def text(seed: int, n: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def row(prompt: str, response: str, **more: Any) -> dict[str, Any]:
    return {"instruction": prompt, "output": response, **more}


def edited(words: str, *places: int) -> str:
    listed = words.split()
    for place in places:
        listed[place] = f"other{place}"
    return " ".join(listed)


def saved(rows: Rows, tmp_path: Path) -> Baseline:
    path = tmp_path / "pool.baseline"
    Baseline.create(Pool.of(rows, name="pool")).write(path)
    return Baseline.read(path)


def against(check: RowCheck, rows: Rows, baseline: Baseline) -> list[tuple[int, str]]:
    """Line of the row, from 0, and where the other row stands."""
    change = Change(Pool.of(rows), baseline=baseline)
    return sorted((change.rows[hit.position].place.line - 1, str(hit.related)) for hit in check.hits(change) if hit.position is not None)


def lines(hits: list[tuple[int, Hit]]) -> list[tuple[int, str]]:
    return [(line, str(hit.related)) for line, hit in hits]


def test_of_equal_rows_all_but_one_are_copies_whatever_fields_no_trainer_reads() -> None:
    rows = [row("Who?", "Ann."), row("Who?", "Ann.", id=7, licence="CC0"), row("Who?", "Bo."), row("Who?", "Ann.", id=9)]
    hits = hits_of(ExactDuplicate(), rows)
    (kept,) = {0, 1, 3} - {line for line, _ in hits}
    assert lines(hits) == [(line, f"memory:{kept + 1}") for line in (0, 1, 3) if line != kept]
    assert hits[0][1].message == f"The row is the same as memory:{kept + 1}."


@pytest.mark.parametrize("check", [ExactDuplicate(), NearDuplicate(), ConflictingResponses(), SamePrompt()])
def test_which_of_two_rows_is_named_depends_on_what_they_say_and_not_on_their_order(check: RowCheck) -> None:
    rows = [row("Is it so?", answer) for answer in ("Yes.", "No.")] + [
        row("Long?", text(1)),
        row("Long?", edited(text(1), 9)),
        row("A?", "b"),
    ]
    rows += [row("A?", "b", n=number) for number in range(3)]

    def contents(listed: Rows) -> list[tuple[str, str]]:
        change = Change(Pool.of(listed))
        by_place = {str(entry.place): entry.response for entry in change.rows}
        return sorted(
            (change.rows[hit.position].response, by_place[str(hit.related)]) for hit in check.hits(change) if hit.position is not None
        )

    expected = contents(rows)
    assert expected
    for seed in range(5):
        assert contents(random.Random(seed).sample(rows, len(rows))) == expected


def test_a_copy_with_two_other_words_is_a_near_copy_and_its_similarity_is_exact() -> None:
    words = text(3, 200)
    ((_, hit),) = hits_of(NearDuplicate(), [row("Say it.", words), row("Say it.", edited(words, 50, 120)), row("Say it.", text(4, 200))])
    # 202 words have 198 runs of five; each of the two words stands in five of them.
    assert hit.value == (198 - 10) / (198 + 10)
    assert "(Jaccard 0.90)" in hit.message


def test_case_punctuation_and_white_space_alone_make_a_near_copy_and_no_copy() -> None:
    rows = [
        row("Name the colours of this flag, please!", "Red, white and blue."),
        row("name the colours of this flag please", "Red  white and blue"),
    ]
    assert hits_of(ExactDuplicate(), rows) == []
    assert [hit.value for _, hit in hits_of(NearDuplicate(), rows)] == [1.0]


def test_sums_that_differ_in_a_sign_are_no_near_copies() -> None:
    assert hits_of(NearDuplicate(), [row("5 - 3", "2"), row("5 + 3", "8"), row("5 / 3", "1.67"), row("53", "2")]) == []


def test_texts_shorter_than_five_words_never_collapse_into_one() -> None:
    """Of a deduplication whose texts shorter than the n-gram all had one empty signature, and were one text (DataFlow#526)."""
    rows = [row("Who?", "Ann."), row("Who?", "Bo."), row("", "Cy."), row("", "Di."), row("?", "!"), row("...", "-")]
    assert hits_of(NearDuplicate(), rows) == []


def test_two_rows_with_one_long_passage_and_other_questions_are_no_copies() -> None:
    passage = text(5, 300)
    rows = [
        row(f"{passage}\nWho built the mill beside the river and what did he pay for the stones?", "A widow from Leiden, four guilders"),
        row(f"{passage}\nWhen did the last ferry leave, and which of the sisters missed it that night?", "At nine; Johanna, the youngest"),
        row(
            f"{passage}\nWhen did the last ferry leave, and which of the sisters missed it that evening?", "At nine; Johanna, the youngest"
        ),
    ]
    assert len(hits_of(NearDuplicate(), rows)) == 1


def test_rows_with_one_long_system_text_and_nothing_else_in_common_are_no_copies() -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": text(6, 400)},
                {"role": "user", "content": text(seed, 20)},
                {"role": "assistant", "content": "Fine."},
            ]
        }
        for seed in (7, 8)
    ]
    assert hits_of(NearDuplicate(), rows) == []


def test_a_row_is_never_named_for_being_like_a_row_that_is_named_itself() -> None:
    """Of bands that nobody verified, and a closure over them: 2 of 859,092 rows were left (marin#6854)."""
    chain = [text(9, 120)]
    for step in range(1, 12):
        chain.append(edited(chain[-1], *range(8 * step, 8 * step + 1)))
    change = Change(Pool.of([row("Go.", words) for words in chain]))
    hits = list(NearDuplicate(threshold=0.9).hits(change))
    named = {hit.position for hit in hits}
    kept = {str(change.rows[position].place) for position in range(len(chain)) if position not in named}
    assert hits
    assert all(str(hit.related) in kept and hit.value is not None and hit.value >= 0.9 for hit in hits)
    assert len(kept) > 1


def test_ten_thousand_copies_of_a_row_make_as_many_hits_and_no_pair_of_each_with_each() -> None:
    rows = [row("Who?", "Ann.", n=number) for number in range(5_000)] + [row("Is it?", f"Yes, {number}") for number in range(5_000)]
    change = Change(Pool.of(rows))
    counts = {
        check.kind: len(list(check.hits(change))) for check in (ExactDuplicate(), NearDuplicate(), ConflictingResponses(), SamePrompt())
    }
    assert counts == {"exact-duplicate": 4_999, "near-duplicate": 0, "conflicting-responses": 0, "same-prompt": 4_999}


CONFLICTS = [
    ("Is the Nile longer than the Rhine?", "Yes, by far.", "No, it is not.", True),
    ("Is the Nile longer than the Rhine?", "Yes.", "Yes, it is much longer.", False),
    ("Classify the review: I loved it.", "Positive", "negative", True),
    ("Which of these is a mammal? (A) eel (B) bat", "B", "(A) eel", True),
    ("What is 12 times 12?", "144", "The answer is 124.", True),
    ("What is 12 times 12?", "144.0", "12 * 12 = 144", False),
    ("How many eggs?", "He has 3 * 4 = 12 eggs.\n#### 12", "He has 3 * 4 = 12 and eats two.\n#### 10", True),
    ("What is the capital of France?", "Paris", "Lyon", True),
    ("What is the capital of France?", "Paris", "The capital is Paris.", False),
    ("What is the capital of France?", "Paris", "Paris, France", False),
    ("Name an animal of the desert.", "The camel", "A fennec fox", False),
    ("Generate a random number.", "4", "17", False),
    ("Write a title for a book on bees.", "The Golden Hive", "Six Thousand Wings", False),
    (
        "Why did the harbour silt up?",
        "The harbour began to silt up because the river carried sand from the hills and nobody dredged the channel after the war.",
        "After the dikes were closed, tides no longer flushed the harbour, and mud settled along the quays within a few decades.",
        False,
    ),
    (
        "Why did the harbour silt up?",
        "The harbour began to silt up because the river carried sand from the hills and nobody dredged the channel after the war.",
        "Preheat your oven, whisk eggs with sugar, fold flour gently, bake until golden, then cool completely before icing.",
        True,
    ),
]


@pytest.mark.parametrize(("prompt", "one", "other", "contradict"), CONFLICTS)
def test_responses_contradict_by_labels_results_short_answers_and_subject(prompt: str, one: str, other: str, contradict: bool) -> None:
    rows = [row(prompt, one), row(f"  {prompt.lower().rstrip('.?')} ", other)]
    hits = hits_of(ConflictingResponses(), rows)
    assert len(hits) == contradict
    for line, hit in hits:
        assert str(hit.related) == f"memory:{2 - line}"


def test_a_prompt_with_another_system_text_or_other_turns_before_it_is_another_prompt() -> None:
    def chat(system: str, before: str, answer: str) -> dict[str, Any]:
        turns = [("system", system), ("user", before), ("assistant", "Right."), ("user", "Is it?"), ("assistant", answer)]
        return {"messages": [{"role": role, "content": content} for role, content in turns]}

    rows = [chat("Lie.", "Hello.", "Yes"), chat("Be true.", "Hello.", "No"), chat("Lie.", "Goodbye.", "No")]
    assert hits_of(ConflictingResponses(), rows) == []
    assert len(hits_of(ConflictingResponses(), [*rows, chat("lie", "Hello", "No")])) == 1


def test_a_prompt_may_have_as_many_responses_as_its_limit_says() -> None:
    rows = [row("Sing.", text(seed, 5)) for seed in range(4)] + [row("Sing", text(0, 5)), row("", "Yes"), row("", "No")]
    assert len(hits_of(SamePrompt(), rows)) == 3
    assert len(hits_of(SamePrompt(max_responses=3), rows)) == 1
    assert hits_of(SamePrompt(max_responses=4), rows) == []


def test_rows_of_a_baseline_are_found_and_never_named_themselves(tmp_path: Path) -> None:
    old = [row("Who?", "Ann."), row("Long?", text(20, 200)), row("Is it?", "Yes."), row("Alone?", text(21))]
    baseline = saved(old, tmp_path)
    new = [row("Who?", "Ann."), row("Long?", edited(text(20, 200), 40)), row("is it", "No."), row("New?", text(22)), row("New?", text(22))]
    assert against(ExactDuplicate(), new, baseline)[0] == (0, "pool:1")
    assert against(NearDuplicate(), new, baseline) == [(1, "pool:2")]
    assert against(ConflictingResponses(), new, baseline) == [(2, "pool:3")]
    assert against(SamePrompt(), new, baseline) == [(1, "pool:2"), (2, "pool:3")]


def test_without_a_baseline_a_check_says_that_the_change_alone_was_compared() -> None:
    change = Change(Pool.of([row("Who?", "Ann.")]))
    (result,) = gate(change, GateConfig((ConfiguredCheck(NearDuplicate(), "warning"),))).results
    assert result.state == "passed"
    assert result.statement.endswith("Compared within the change alone.")


def test_a_row_of_a_megabyte_is_compared() -> None:
    words = text(30, 150_000)
    ((_, hit),) = hits_of(NearDuplicate(), [row("Go.", words), row("Go.", edited(words, 70_000)), row("Go.", text(31, 150_000))])
    assert hit.value is not None
    assert hit.value > 0.9999


SAID = (
    "The harbor of Brest has two basins, an old one for the fishing boats and a deep one for the ferries of the line. "
    "Both were built by the town in the nineteenth century, and the quay between them holds forty ships at high water."
)


@pytest.mark.parametrize(
    ("other", "again"),
    [
        (SAID.replace("old", "ancient").replace("deep", "wide"), True),
        (SAID.replace("two", "three large").replace("line", "company"), True),
        ("Ferries use a deep basin at Brest, where fishing boats lie in another one, which has been there for many years.", False),
        ("A harbor with a quay for tankers, one for tugs, and a yard where submarines are repaired, in the west of Brittany.", False),
    ],
)
def test_of_one_prompt_responses_that_differ_in_a_word_or_two_are_near_duplicates(other: str, again: bool) -> None:
    pool = Pool.of([row("Tell me about Brest.", SAID), row("Tell me about Brest", other)])
    (result,) = gate(pool, GateConfig((ConfiguredCheck(NearDuplicate(), "warning"),))).results
    assert len(result.findings) == again
    assert not again or "the same prompt" in result.findings[0].message
    # With another prompt they are other rows.
    apart = Pool.of([row("Tell me about Brest.", SAID), row("Which basins are there in the harbor of the town?", other)])
    assert not gate(apart, GateConfig((ConfiguredCheck(NearDuplicate(), "warning"),))).results[0].findings


@pytest.mark.parametrize(
    ("prompt", "response", "again"),
    [
        ("Please: which quay is open at night? Thanks!", "The northern quay is open.", True),
        ("Which quay is open at night, and how do the crews of the ferries get there?", "The northern quay is open.", False),
        ("Please: which quay is open at night? Thanks!", "The southern quay is open.", False),
        ("Which gate is open at night?", "The northern quay is open.", False),
    ],
)
def test_a_prompt_with_a_few_words_around_it_and_the_same_response_is_a_near_duplicate(prompt: str, response: str, again: bool) -> None:
    pool = Pool.of([row("Which quay is open at night?", "The northern quay is open."), row(prompt, response)])
    (result,) = gate(pool, GateConfig((ConfiguredCheck(NearDuplicate(), "warning"),))).results
    assert ["a few words around it" in finding.message for finding in result.findings] == [True] * again


def test_a_response_that_repeats_one_of_the_baseline_is_found_by_its_prompt(tmp_path: Path) -> None:
    before = saved([row("Tell me about Brest.", SAID)], tmp_path)
    new = Pool.of([row("Tell me about Brest.", SAID.replace("old", "ancient").replace("deep", "wide"))])
    (hit,) = NearDuplicate().hits(Change(new, baseline=before))
    assert "of the baseline (the same prompt" in hit.message and hit.fix == "Keep one of the two."


def test_short_responses_and_those_that_contradict_are_no_near_duplicates() -> None:
    for one, other in (("It has two old basins.", "It has two new basins."), (f"{SAID} The answer is 42.", f"{SAID} The answer is 43.")):
        pool = Pool.of([row("What has it?", one), row("What has it?", other)])
        messages = [finding.message for finding in gate(pool, GateConfig((ConfiguredCheck(NearDuplicate(), "warning"),))).findings]
        assert not any("the same prompt" in message for message in messages)
