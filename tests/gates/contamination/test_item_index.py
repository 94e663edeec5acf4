"""Evaluation sets as hashed indices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import InstructselError, PoolError, UsageError
from instructsel.gates.contamination.index import NGRAMS, ItemIndex, is_index
from instructsel.gates.contamination.items import Item, item_of, items_of
from instructsel.gates.contamination.matching import find_items
from tests.gates.contamination.questions import ASKED, items, rows


def written(path: Path, content: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(path)


@pytest.mark.parametrize(
    ("row", "item"),
    [
        ({"question": "Who?", "answer": "Ann #### 3"}, Item(1, ("Who?",), ("Ann #### 3",))),
        ({"Question": "Who?", "Best Answer": "Ann"}, Item(1, ("Who?",), ("Ann",))),
        ({"question": "Who?", "A": "Ann", "B": "Bo", "answer": "B"}, Item(1, ("Who?",), ("Bo",), "", ("Ann", "Bo"))),
        ({"question": "Who?", "choices": {"text": ["Ann", "Bo"], "label": ["A", "B"]}}, Item(1, ("Who?",), (), "", ("Ann", "Bo"))),
        ({"instruction": "Shorten.", "input": "A long text.", "output": "Text."}, Item(1, ("Shorten.",), ("Text.",), "A long text.")),
        ({"turns": ["Write.", "Again."], "reference": ["x"]}, Item(1, ("Write.", "Again."), ("x",))),
        ({"prompt": "def f():", "canonical_solution": "    return 1"}, Item(1, ("def f():",), ("    return 1",))),
        ({"input": "not True", "target": "False"}, Item(1, ("not True",), ("False",))),
        ({"passage": "Text.", "question": "Is it?", "answer": True}, Item(1, ("Is it?",), (), "Text.")),
        ({"instruction": "Do.", "instances": [{"input": "in", "output": "out"}]}, Item(1, ("Do.",), ("out",), "in")),
    ],
)
def test_the_fields_of_known_sets_are_read_by_their_names(row: dict[str, Any], item: Item) -> None:
    assert item_of(row, 1) == item


def test_a_row_without_a_question_is_no_item() -> None:
    assert item_of({"id": 3, "question": "  "}, 1) is None


def test_items_are_numbered_by_the_lines_of_their_file_and_conversations_are_items_too(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    turns = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann."}]}
    path.write_text('{"question": "One?"}\n\n\n' + json.dumps(turns) + "\n")
    assert list(items_of(str(path))) == [Item(1, ("One?",)), Item(4, ("Who?",), ("Ann.",))]


def test_a_row_of_a_set_that_cannot_be_read_is_refused_and_one_that_asks_nothing_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"question": "One?"}\n{broken\n')
    with pytest.raises(PoolError, match=r"set.jsonl, line 2: the row of the evaluation set cannot be read"):
        list(items_of(str(path)))
    path.write_text(json.dumps({"question": ASKED}) + '\n{"question": " ", "id": 2}\n["What?"]\n')
    (indexed,) = ItemIndex.of([str(path)]).sets
    assert (indexed.n_items, indexed.left_out) == (3, 2)


def test_an_index_that_was_written_and_read_finds_what_it_found_and_holds_no_text(tmp_path: Path) -> None:
    index = ItemIndex.of_items("s1", items())
    path = tmp_path / "evals.index"
    index.write(path)
    again = ItemIndex.read(path)
    assert is_index(str(path))
    assert again.digest == index.digest
    assert list(find_items(again, rows(*ASKED).examples())) == list(find_items(index, rows(*ASKED).examples()))
    content = path.read_bytes().lower()
    assert not any(word.lower().encode() in content for text in ASKED for word in text.split() if len(word) > 4)


def test_the_same_items_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.index", "b.index"):
        ItemIndex.of_items("trays", items()).write(tmp_path / name)
    assert (tmp_path / "a.index").read_bytes() == (tmp_path / "b.index").read_bytes()


def test_indices_and_files_are_joined_and_a_set_that_stands_in_two_counts_once(tmp_path: Path) -> None:
    first = written(tmp_path / "first.jsonl", [{"question": text} for text in ASKED[:2]])
    second = written(tmp_path / "second.jsonl", [{"question": ASKED[2]}])
    ItemIndex.of([first]).write(tmp_path / "evals.index")
    joined = ItemIndex.of([str(tmp_path / "evals.index"), first, second])
    assert [(entry.name, entry.n_items) for entry in joined.sets] == [("first", 2), ("second", 1)]
    assert len(list(find_items(joined, rows(*ASKED).examples()))) == 3
    other = ItemIndex.of([second, str(tmp_path / "evals.index")])
    assert {entry.item for entry in find_items(other, rows(ASKED[2]).examples())} == {1}


def test_an_index_says_what_is_in_it() -> None:
    about = ItemIndex.of_items("s", [*items(), Item(4, ("4",))]).as_dict()
    assert (about["items"], about["sets"][0]["left_out"], about["parts"]["question"]) == (4, 1, 3)
    assert set(about["ngrams"]) == {str(n) for n in NGRAMS}


def test_a_byte_that_was_changed_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evals.index"
    ItemIndex.of_items("trays", items()).write(path)
    content = path.read_bytes()
    random = np.random.default_rng(3)
    for at in [0, 9, len(content) - 1, *random.integers(0, len(content), 60).tolist()]:
        changed = bytearray(content)
        changed[at] ^= 0x41
        path.write_bytes(changed)
        with pytest.raises(InstructselError):
            ItemIndex.read(path)
    for size in (0, 7, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InstructselError):
            ItemIndex.read(path)


def test_an_index_of_a_later_release_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evals.index"
    with monkeypatch.context() as later:
        later.setattr("instructsel.gates.contamination.index.head", lambda kind: {"kind": kind, "schema": 9})
        ItemIndex.of_items("trays", items()).write(path)
    with pytest.raises(UsageError, match="schema 9"):
        ItemIndex.read(path)


@pytest.mark.parametrize("sets", [[], ["lm-eval:"]])
def test_a_set_that_is_not_named_is_refused(sets: list[str]) -> None:
    with pytest.raises(UsageError, match="evaluation set"):
        ItemIndex.of(sets)


def test_a_set_without_an_item_is_refused_as_every_row_would_pass(tmp_path: Path) -> None:
    path = tmp_path / "lists.jsonl"
    path.write_text("[1, 2]\n")
    with pytest.raises(UsageError, match="no item"):
        ItemIndex.of([str(path)])
