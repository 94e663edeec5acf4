"""Whatever a message holds is written and read again as it was; ids tell conversations apart, and nothing else."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Pool
from instructsel.pool.json_text import as_bytes
from tests.message_maker import Maker, changed, reordered, respelled

CASES: Final = 400
MANY: Final = 20_000
BATCH: Final = 400


def ids(rows: list[dict[str, Any]]) -> list[str]:
    """The id of each row without its occurrence; "" where it is none."""
    pool = Pool.of(rows)
    by_line = {int(line): name for name, line in zip(pool.ids, pool.places["line"].to_list(), strict=True)}
    return [by_line.get(line, "").partition(".")[0] for line in range(1, len(rows) + 1)]


def check_round_trip(seed: int, count: int, folder: Path) -> None:
    maker = Maker(seed)
    rows = [maker.row() for _ in range(count)]
    pool = Pool.of(rows)
    assert len(pool) == count, (seed, pool.report)
    pool.write(folder / "messages.jsonl", to="messages")
    again = Pool.read(folder / "messages.jsonl")
    assert again.ids == pool.ids, seed
    for first, second in zip(pool.examples(), again.examples(), strict=True):
        assert (first.messages, first.tools) == (second.messages, second.tools), (seed, pool.row(first.id))
    # What Python holds is a pool, too.
    assert Pool.of(pool.examples()).ids == pool.ids, seed


def check_ids(seed: int, count: int) -> None:
    maker, rng = Maker(seed), random.Random(seed)
    rows = [maker.row() for _ in range(count)]
    names = ids(rows)
    same = ids([respelled(reordered(row, rng), rng) for row in rows])
    for row, name, other in zip(rows, names, same, strict=True):
        assert name == other, (seed, json.dumps(row))
    pairs = [changed(row, rng) for row in rows]
    for row, name, other, (change, row_changed) in zip(rows, names, ids([other for _, other in pairs]), pairs, strict=True):
        assert name != other, (seed, change, json.dumps(row), json.dumps(row_changed))


def test_conversations_are_written_and_read_as_the_same_messages(tmp_path: Path) -> None:
    check_round_trip(1, CASES, tmp_path)


def test_ids_differ_where_one_thing_differs_and_not_where_the_writing_alone_does() -> None:
    check_ids(1, CASES)


def test_ids_are_those_of_the_rows_in_every_form_of_a_file(tmp_path: Path) -> None:
    maker = Maker(2)
    rows = [maker.row() for _ in range(100)]
    lines = b"".join(as_bytes(row) + b"\n" for row in rows)
    (tmp_path / "lines.jsonl").write_bytes(lines)
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "escaped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = Pool.of(rows).ids
    for name in ("lines.jsonl", "lines.jsonl.gz", "array.json", "escaped.jsonl"):
        assert Pool.read(tmp_path / name).ids == expected, name


@pytest.mark.soak
def test_many_conversations_are_written_and_read_as_the_same_messages(tmp_path: Path) -> None:
    for seed in range(100, 100 + MANY // BATCH):
        check_round_trip(seed, BATCH, tmp_path)


@pytest.mark.soak
def test_ids_of_many_conversations_differ_where_one_thing_differs() -> None:
    for seed in range(100, 100 + MANY // BATCH):
        check_ids(seed, BATCH)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("f(x={1, 2})", "not_text"),
        ("f(x=b'a')", "not_text"),
        ("f(x=1e999)", "not_finite"),
        ("f(x=...)", "not_text"),
        (f"f(x={'[' * 80}{']' * 80})", "bad_tool_call"),
        ("f(x='\\ud800')", "bad_tool_call"),
        ('[{"name": "f", "arguments": {"x": "\\ud800"}}]', "bad_tool_call"),
        ('[{"name": "f", "arguments": {"x": NaN}}]', "bad_tool_call"),
        (f'[{{"name": "f", "arguments": {"[" * 80}{"]" * 80}}}]', "bad_tool_call"),
    ],
)
def test_calls_in_a_text_that_no_row_could_hold_are_refused(text: str, code: str) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "function_call", "content": text}, {"role": "assistant", "content": "z"}]
    pool = Pool.of([{"messages": turns}, {"messages": [turns[0], turns[2]]}])
    assert pool.report.quarantined == {code: 1}


def test_a_structure_near_the_limit_of_depth_is_kept_and_written(tmp_path: Path) -> None:
    nested: Any = 1
    for _ in range(56):
        nested = [nested]
    call = {"function": {"name": "f", "arguments": nested}}
    pool = Pool.of([{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]}])
    pool.write(tmp_path / "out.jsonl", to="messages")
    assert Pool.read(tmp_path / "out.jsonl").ids == pool.ids
    (example,) = pool.examples()
    assert example.messages[1].as_dict()["tool_calls"] == [call]


def test_an_id_does_not_depend_on_how_deep_the_caller_stands() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "tools": "[ " * depth + "]" * depth}
        for depth in (40, 60, 300, 700, 900)
    ]

    def deep(levels: int) -> list[str]:
        return deep(levels - 1) if levels else Pool.of(rows).ids

    assert deep(0) == deep(400)
