"""Rows that hold items of evaluation sets."""

from __future__ import annotations

import random

import pytest

from instructsel.errors import UsageError
from instructsel.gates.contamination.index import ItemIndex
from instructsel.gates.contamination.items import Item
from instructsel.gates.contamination.matching import Evidence, Rule, find_items
from instructsel.pool.pool import Pool
from tests.gates.contamination.questions import ASKED, items, part_of, rows


def found(index: ItemIndex, pool: Pool, rule: Rule | None = None) -> list[tuple[int, Evidence]]:
    """Line of the row, from 1, with its evidence, in the order of lines."""
    lines = pool.places["line"].to_list()
    return sorted(
        ((lines[entry.position], entry) for entry in find_items(index, pool.examples(), rule)), key=lambda pair: (pair[0], pair[1].item)
    )


def lines_of(index: ItemIndex, pool: Pool, rule: Rule | None = None) -> list[int]:
    return [line for line, _ in found(index, pool, rule)]


@pytest.mark.parametrize("ngram", [8, 13])
def test_all_and_three_fifths_of_a_question_are_found_and_two_fifths_are_not(ngram: int) -> None:
    index = ItemIndex.of_items("trays", items())
    pool = rows(*(part_of(text, share) for text in ASKED for share in (1, 0.6, 0.4)))
    assert lines_of(index, pool, Rule(ngram)) == [1, 2, 4, 5, 7, 8]


def test_an_item_is_named_with_its_set_its_part_and_how_much_of_it_the_row_has() -> None:
    index = ItemIndex.of_items("trays", items())
    ((line, evidence),) = found(index, rows("Something else.", part_of(ASKED[1], 0.6)))
    assert (line, evidence.set, evidence.item, evidence.part, evidence.words) == (2, "trays", 2, "question", len(ASKED[1].split()))
    assert evidence.matched == round(0.6 * evidence.words)
    assert evidence.coverage == evidence.matched / evidence.words
    assert evidence.excerpt == part_of(ASKED[1], 0.6).lower().replace(",", "")


def test_case_punctuation_white_space_width_and_the_layout_of_numbers_make_no_difference() -> None:
    asked = "The 1,250 members paid $3.50 each, so x=12 + y is what the treasurer wrote down on the first of March?"
    index = ItemIndex.of_items("s", [Item(1, (asked,))])
    changed = (
        asked.upper().replace(" ", "\n ").replace("1,250", "1250").replace("x=12", "x = 12").replace("X=12", "X = 12").replace("$", "\\$ ")
    )
    wide = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in asked)
    assert lines_of(
        index, rows(changed, wide, asked.replace("12", "14").replace("paid", "saw").replace("treasurer", "x").replace("each", "q"))
    ) == [1, 2]


def test_the_words_of_two_turns_are_never_put_together_and_two_rows_never_make_an_item() -> None:
    words = ASKED[0].split()
    index = ItemIndex.of_items("s", items())
    split = {"messages": [{"role": "user", "content": " ".join(words[:7])}, {"role": "assistant", "content": " ".join(words[7:14])}]}
    halves = [part_of(ASKED[2], 0.4), " ".join(ASKED[2].split()[-8:])]
    pool = Pool.of(
        [split, *({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "No."}]} for text in halves)]
    )
    assert lines_of(index, pool) == []


def test_items_shorter_than_the_n_gram_are_compared_whole_and_never_collapse_into_one() -> None:
    """Of a deduplication whose texts shorter than the n-gram all had one empty signature, and were one text (DataFlow#526)."""
    short = ["Who wrote Middlemarch?", "Who wrote Ivanhoe?", "What is 3.5 - 2?", "What is 35 / 2?", "Name the largest moon of Saturn."]
    index = ItemIndex.of_items("s", [Item(number, (text,)) for number, text in enumerate(short, 1)])
    pool = rows(
        "who wrote ivanhoe", "Who wrote Emma?", "what is 3.5-2", "What is 3.5 + 2?", "Hello.\nName the largest moon of Saturn.\nThanks!"
    )
    assert [(line, entry.item) for line, entry in found(index, pool)] == [(1, 2), (3, 3), (5, 5)]


def test_a_question_of_a_few_words_inside_a_longer_text_is_no_item() -> None:
    index = ItemIndex.of_items("s", [Item(1, ("Who are you?",)), Item(2, ("Sing",)), Item(3, ("4",))])
    pool = rows("Who are you?", "He said: who are you to tell me that, and left.", "Hello. Who are you? I am new.", "Sing", "4")
    assert lines_of(index, pool) == [1]


def test_what_a_task_writes_around_each_question_is_no_part_of_an_item() -> None:
    frame = "Below is a puzzle from the collection of the harbour museum in Odense, please solve it and explain each of your steps: "
    index = ItemIndex.of_items(
        "s", [Item(number, (frame + text,)) for number, text in enumerate([*ASKED, *(f"{text} again" for text in ASKED)], 1)]
    )
    pool = rows(frame + "how many legs has a spider?", ASKED[0] + " and goes home", frame + ASKED[2])
    assert lines_of(index, pool)[0] == 2
    assert set(lines_of(index, pool)) == {2, 3}


def test_words_that_a_task_and_an_item_have_count_beside_those_of_the_item_alone() -> None:
    """Figures break the n-grams of an item; what stands around them is half of what is asked."""
    text = "Six of the 9 boats sail at 5 or at 7 and the 2 ferries at 1 while Berta paints the northern mole of the harbor red and white until dusk"
    index = ItemIndex.of_items("set", [Item(1, (text,))])
    for share, holds in ((1.0, True), (0.6, True), (0.45, False)):
        assert bool(list(find_items(index, rows(part_of(text, share)).examples()))) is holds, share


def test_equal_items_of_a_set_are_no_frame() -> None:
    index = ItemIndex.of_items("s", [Item(number, (ASKED[0],)) for number in range(1, 50)])
    assert len(lines_of(index, rows(ASKED[0]))) == 49


def test_n_grams_of_single_characters_belong_to_no_item() -> None:
    listed = "Options (A) 1 (B) 2 (C) 3 (D) 4 (E) 5 (F) 6"
    index = ItemIndex.of_items("s", [Item(1, (f"Which prime follows nineteen in that old table? {listed}",))])
    assert lines_of(index, rows(f"How many legs has a spider? {listed}")) == []


def test_phrases_of_grammar_alone_belong_to_no_item() -> None:
    index = ItemIndex.of_items("s", [Item(1, ("Which of the following is true about the Amhara people?",))])
    assert lines_of(
        index, rows("Which of the following is true about the sun?", "Which of the following is true about the Amhara people?")
    ) == [2]


def test_an_answer_is_found_without_its_question_where_it_is_long_and_not_where_it_is_short() -> None:
    answer = (
        "First the baker counts the trays in the cellar and then he multiplies eleven by forty to get four hundred and forty custard tarts"
    )
    index = ItemIndex.of_items(
        "s", [Item(1, ("How many?",), (answer,)), Item(2, ("How few tarts?",), ("Three tarts remain on the tray.",))]
    )
    pool = Pool.of([{"instruction": "Tell me.", "output": text} for text in (answer, "Three tarts remain on the tray.", "Nothing.")])
    assert [(line, entry.item, entry.part) for line, entry in found(index, pool)] == [(1, 1, "answer")]
    assert lines_of(index, pool, Rule(parts=("question",))) == []


def test_another_question_about_the_same_passage_is_no_contamination() -> None:
    passage = (
        "The lighthouse of Skagen was built of brick in 1858 and painted grey after the storm of the following winter had stripped its lime"
    )
    index = ItemIndex.of_items("s", [Item(1, ("When was it painted?",), ("1858",), passage)])
    pool = rows(f"{passage}\nWho built the lighthouse?", f"{passage}\nWhen was it painted?", "Once more. When was it painted? Say.")
    assert lines_of(index, pool) == [2]
    assert lines_of(index, pool, Rule(parts=("passage",))) == [1, 2]


def test_a_short_question_is_found_with_its_choices_however_they_are_marked() -> None:
    choices = ("a sharp cold wind from the fjord", "the smell of burnt peat", "two frightened geese", "an unpaid ferryman")
    index = ItemIndex.of_items("s", [Item(1, ("It was:",), (), "", choices)])
    lettered = "It was:\n" + "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", choices, strict=True))
    pool = rows(lettered, "It was: " + "; ".join(choices), "It was: four in the morning.")
    assert lines_of(index, pool) == [1, 2]


def test_a_language_without_spaces_is_compared_by_its_characters() -> None:
    asked = "请根据以下材料说明为什么十八世纪的航海者无法准确测定经度并举出两个例子"
    index = ItemIndex.of_items("s", [Item(1, (asked,))])
    assert lines_of(index, rows(asked[:24], asked[:12], "请写一首关于春天的诗歌并翻译成英文")) == [1]


def test_the_order_of_rows_and_the_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [part_of(text, share) for text in ASKED for share in (1, 0.7, 0.6, 0.3)] + ["Hello there.", "Who are you?"]
    index = ItemIndex.of_items("s", items())
    whole = {(evidence.excerpt, evidence.item) for _, evidence in found(index, rows(*texts))}
    shuffled = random.Random(1).sample(texts, len(texts))
    monkeypatch.setattr("instructsel.gates.contamination.matching.BATCH", 60)
    assert {(evidence.excerpt, evidence.item) for _, evidence in found(index, rows(*shuffled))} == whole


def test_a_row_of_a_megabyte_is_looked_at_once_and_holds_its_item() -> None:
    filler = " ".join(f"word{number % 977}" for number in range(150_000))
    index = ItemIndex.of_items("s", items())
    assert lines_of(index, rows(f"{filler}\n{ASKED[1]}\n{filler}", filler)) == [1]


@pytest.mark.parametrize(
    ("settings", "words"), [({"ngram": 9}, "8 or 13"), ({"threshold": 0}, "above 0"), ({"parts": ("title",)}, "title")]
)
def test_settings_that_are_none_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Rule(**settings)  # type: ignore[arg-type]
