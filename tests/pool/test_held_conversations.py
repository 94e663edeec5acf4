"""Conversations that stay in memory are those that the file gives when it is read again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from instructsel.pool.formats._turns import ROLE_OF, Turns, chat
from instructsel.pool.pool import Pool

ROWS = [
    {"messages": [{"role": "user", "content": f"Name lake {number}."}, {"role": "assistant", "content": f"Lake {number}."}]}
    for number in range(40)
]
ODD = [
    {"messages": [{"role": "Human", "content": "Hello?"}, {"role": "gpt", "content": "Hello."}]},
    {"messages": [{"role": "user", "content": "Twice."}, {"role": "assistant", "content": "Once."}], "label": False},
    {"messages": [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": "High.", "weight": 1}]},
    ROWS[3],
]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_held_conversations_are_those_of_the_file(tmp_path: Path) -> None:
    """Also with copies, rows that are dropped afterwards, and another file behind."""
    paths = [
        write(tmp_path / "a.jsonl", [*ROWS, *ODD]),
        write(tmp_path / "b.jsonl", [{**row, "label": True} for row in ROWS[:5]] + ODD[1:2]),
    ]
    held = Pool.read(*paths, through=lambda source: replace(source, held=True))
    again = Pool.read(*paths)
    assert held.held is not None
    assert again.held is None
    assert list(held.examples()) == list(again.examples())
    assert list(held.examples([5, 2])) == list(again.examples([5, 2]))
    assert list(held.at([1, 4, 9]).examples()) == list(again.at([1, 4, 9]).examples())


def test_a_file_whose_conversations_are_not_held_has_all_of_them_read_again(tmp_path: Path) -> None:
    """No part of a pool is taken for the whole of it."""
    paths = [write(tmp_path / "a.jsonl", ROWS), write(tmp_path / "b.jsonl", ODD[:1])]
    pool = Pool.read(*paths, through=lambda source: replace(source, held=source.label == "a"))
    assert pool.held is None
    assert len(list(pool.examples())) == len(ROWS) + 1


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": " Human ", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": ["a"]}, {"role": "assistant", "content": "b"}],
        [{"role": "function_call", "content": '{"name": "tide"}'}, {"role": "tool", "content": "b"}],
        [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
        [{"content": "a", "role": "user"}, {"role": "assistant", "text": "b"}],
        [],
    ],
)
def test_plain_turns_are_read_as_any_others(turns: list[dict[str, object]]) -> None:
    """The short way and the long one give the same."""
    assert chat(turns, field="messages", roles=ROLE_OF) == chat(turns, field="messages", roles=ROLE_OF, spelling=Turns())
