"""Rows of the shared data as conversations, drawn for the studies of sources."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsel import Example, Message
from instructsel.pool.sources import zstd
from instructsel.selection.tokens import chat_tokens

Turns = list[dict[str, str]]


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a compressed file."""
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n") if line]


def field(row: Any, path: str) -> str:
    """A field of a row, or a field of an object or list in it."""
    for part in path.split("."):
        row = row[int(part)] if isinstance(row, list) else row[part]
    return str(row)


def conversations(data: Path, source: Mapping[str, Any]) -> Iterator[Turns]:
    """The rows of a source as one question and its answer; of equal questions the first."""
    questions: set[str] = set()
    for line in zstd.decompress((data / source["file"]).read_bytes()).decode("utf-8").split("\n"):
        if not line:
            continue
        row = json.loads(line)
        if any(row.get(key) != value for key, value in source.get("only", {}).items()):
            continue
        question = "\n".join(part for path in source["prompt"] if (part := field(row, path).strip()))
        answer = field(row, source["response"]).strip()
        if question and answer and question not in questions:
            questions.add(question)
            yield [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def fitting(rows: Sequence[Turns], n: int, tokens: int, *, base: str, key: str) -> list[Turns]:
    """The first n of the shuffled rows that have no more tokens in the base's chat template."""
    order = list(rows)
    random.Random(key).shuffle(order)
    counter = chat_tokens(base).count
    chosen: list[Turns] = []
    for start in range(0, len(order), 256):
        batch = order[start : start + 256]
        lengths = counter([Example("", "", tuple(Message(turn["role"], turn["content"]) for turn in turns)) for turns in batch])
        chosen += [turns for turns, length in zip(batch, lengths, strict=True) if length <= tokens]
        if len(chosen) >= n:
            break
    return chosen[:n]


def write(path: Path, rows: Sequence[Turns]) -> Path:
    """As JSON lines, under a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in rows), encoding="utf-8")
    return path
