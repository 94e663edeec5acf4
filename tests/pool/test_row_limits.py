"""One row takes memory and time in proportion: more examples, turns, paths or text than it may have quarantine it, by a reason of its own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel.pool import reader
from instructsel.pool.example import Conversation, Message
from instructsel.pool.lines import Limits
from instructsel.pool.pool import Pool
from instructsel.pool.sources import Source, open_source

GOOD = {"instruction": "Say hello.", "output": "Hello.", "instances": [{"input": "", "output": "Hello."}]}


def quarantined(path: Path, rows: list[Any], **options: Any) -> dict[str, int]:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    pool = Pool.read(path, **options)
    assert len(list(pool.examples())) == pool.report.examples
    return dict(pool.report.quarantined)


def instances(count: int, instruction: str = "Say it.") -> dict[str, Any]:
    return {"instruction": instruction, "instances": [{"input": "", "output": str(n)} for n in range(count)]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (instances(1_025), "too_many_examples"),
        (instances(65_537), "too_many_examples"),
        (instances(1_000, "x" * 20_000), "too_much_text"),
    ],
)
def test_instances_of_a_row_are_limited_in_number_and_text(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    options = {"format": "self_instruct"}
    assert quarantined(tmp_path / "pool.jsonl", [GOOD, row], **options) == {reason: 1}
    assert quarantined(tmp_path / "pool.jsonl", [GOOD, instances(1_024 if len(row["instances"]) > 1_024 else 100)], **options) == {}


def test_a_conversation_has_a_limited_number_of_turns(tmp_path: Path) -> None:
    def chat(turns: int) -> dict[str, Any]:
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": str(n)} for n in range(turns)]}

    assert quarantined(tmp_path / "pool.jsonl", [chat(4_096), chat(4_098)]) == {"too_many_turns": 1}


def chain(length: int, *, leaves: bool) -> Iterator[dict[str, Any]]:
    """A table of messages, each the answer to the one before; with leaves, each has another answer that ends there."""
    for number in range(length):
        for name, text in ((f"m{number}", "chain"), *([(f"l{number}", "leaf")] if leaves else [])):
            parent = f"m{number - 1}" if number else None
            if number or text == "chain":
                yield {"message_id": name, "parent_id": parent, "role": ("prompter", "assistant")[number % 2], "text": f"{text} {number}"}


@pytest.mark.parametrize("paths", ["best-path", "all-paths"])
@pytest.mark.parametrize(("length", "leaves", "reasons"), [(1_300, True, {"too_many_paths"}), (6_000, False, {"too_many_turns"})])
def test_paths_through_a_tree_are_limited(tmp_path: Path, length: int, leaves: bool, reasons: set[str], paths: str) -> None:
    good = [
        {"message_id": f"g{n}", "parent_id": "g0" if n else None, "role": "assistant" if n else "prompter", "text": f"{n}"}
        for n in range(3)
    ]
    rows = [*good, *chain(length, leaves=leaves)]
    if leaves and paths == "best-path":
        assert quarantined(tmp_path / "pool.jsonl", rows, oasst=paths) == {}
    else:
        assert quarantined(tmp_path / "pool.jsonl", rows, oasst=paths) == dict.fromkeys(reasons, len(rows) - 3)


def test_paths_of_one_tree_in_a_row_are_limited(tmp_path: Path) -> None:
    def tree(replies: int, text: str = "a") -> dict[str, Any]:
        answers = [{"text": f"{n}", "role": "assistant", "replies": []} for n in range(replies)]
        return {"message_tree_id": "t", "prompt": {"text": text, "role": "prompter", "replies": answers}}

    rows = [tree(3), tree(1_025), tree(1_000, "x" * 20_000)]
    assert quarantined(tmp_path / "pool.jsonl", rows, oasst="all-paths") == {"too_many_examples": 1, "too_much_text": 1}
    assert quarantined(tmp_path / "pool.jsonl", rows) == {}


def test_a_conversation_of_a_table_is_no_longer_than_a_row_may_be(tmp_path: Path) -> None:
    rows = [
        {"message_id": f"{t}{n}", "parent_id": f"{t}{n - 1}" if n else None, "role": ("prompter", "assistant")[n % 2], "text": "x" * size}
        for t, size in (("a", 5), ("b", 600))
        for n in range(2)
    ]
    assert quarantined(tmp_path / "pool.jsonl", rows, limits=Limits(max_line_bytes=1_000)) == {"line_too_long": 2}


def test_the_sample_that_tells_the_format_holds_a_few_bytes_and_not_a_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SAMPLE_BYTES", 10_000)
    path = tmp_path / "pool.jsonl.gz"
    line = json.dumps({"instruction": "a", "output": "b", "more": [[]] * 500}).encode() + b"\n"
    path.write_bytes(gzip.compress(line * 64))
    sample = reader._sample(open_source(path, Limits()).rows())
    assert sum(row.length for row, _ in sample) <= 10_000 + len(line)
    assert len(Pool.read(path)) == 64


def test_rows_of_several_examples_are_parsed_once_and_not_for_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b"".join(json.dumps(instances(200, f"Say {n}.")).encode() + b"\n" for n in range(20)))
    pool = Pool.read(path)
    parsed = []
    parse = Source.value_of
    monkeypatch.setattr(Source, "value_of", lambda self, raw: (parsed.append(len(raw)), parse(self, raw))[1])
    assert len(list(pool.examples())) == 4_000
    assert len(parsed) == 20


def test_what_is_kept_of_rows_with_several_examples_is_limited() -> None:
    several = reader.Several()
    for number in range(100):
        several.put(number, [Conversation((Message("user", "x" * 100),))] * 1_000)
        assert several.get(number) is not None
        assert several.conversations == sum(len(several.get(row) or []) for row in range(number + 1)) <= several.CONVERSATIONS
