"""What is exported and read again is the same conversation, by its id."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from instructsel.adapters.exports.account import Account
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.contents import contents
from instructsel.adapters.exports.registry import exports
from instructsel.adapters.exports.run import export
from instructsel.pool.pool import Pool
from tests.conversations import pool_of, rows
from tests.written_as import WRITERS

READ_AGAIN = ("messages", "sharegpt", "llamafactory", "trl", "alpaca", "axolotl", "parquet", "hf")
"""Exports that instructsel reads as they are, so that ids can be compared."""


def losses(name: str) -> tuple[str | None, ...]:
    """Those under which no masks are added to the rows."""
    return ("assistant",) if name == "axolotl" else exports()[name].losses or (None,)


def differences(pool: Pool, name: str, target: Path, loss: str | None) -> str:
    """Where an export read again is not what was written; "" where it is."""
    consumer = exports()[name]
    settings = consumer.decided(ExportSettings(loss, drop_unsupported=True))
    expected: Counter[str] = Counter()
    altered = 0
    for example in pool.examples():
        held = contents(example, consumer.turns(example, settings))
        if not Account().sort(consumer, settings, held, ""):
            continue
        if held & set(consumer.alterations()):
            altered += 1
        else:
            expected[example.id.partition(".")[0]] += 1
    result = export(pool, name, target, settings=settings)
    if result.account.written != sum(expected.values()) + altered or result.account.written < len(pool) // 10:
        return f"{result.account.written} written, {sum(expected.values())} + {altered} expected"
    again = Pool.read(*result.data)
    if len(again) != result.account.written:
        return f"{len(again)} of {result.account.written} read again: {again.report.sentence()}"
    missing = expected - Counter(name.partition(".")[0] for name in again.ids)
    return "" if not missing else f"{missing.total()} conversations are others: {next(iter(missing))}"


@pytest.mark.parametrize(("name", "loss"), [(name, loss) for name in READ_AGAIN for loss in losses(name)], ids=lambda value: str(value))
def test_what_is_exported_and_read_again_is_the_same_conversation(tmp_path: Path, name: str, loss: str | None) -> None:
    assert differences(pool_of(tmp_path / "pool.jsonl", 400, 7), name, tmp_path / "out", loss) == ""


HELD = ("tools", "reasoning", "untrained", "system", "calls", "results", "weights")
"""What is looked for in every pair of a format and an export that can carry it."""


def crossed(form: str, name: str, loss: str | None, count: int, seed: int, folder: Path) -> str:
    """Where rows in a format, read, exported and read again, are not the conversations that they were; "" where they are."""
    write = WRITERS[form]
    pairs = [(row, written) for row in rows(count, seed) if (written := write(row)) is not None]
    folder.mkdir()
    (folder / "pool.jsonl").write_text("".join(json.dumps(written) + "\n" for _, written in pairs), encoding="utf-8")
    pool = Pool.read(folder / "pool.jsonl")
    expected = Counter(name.partition(".")[0] for name in Pool.of([row for row, _ in pairs]).ids)
    if (missing := expected - Counter(name.partition(".")[0] for name in pool.ids)) or len(pairs) < count // 5:
        return f"{missing.total()} of {len(pairs)} conversations are others in {form}: {next(iter(missing), '')}"
    consumer = exports()[name]
    settings = consumer.decided(ExportSettings(loss, drop_unsupported=True))
    carried: set[str] = set()
    for example in pool.examples():
        held = contents(example, consumer.turns(example, settings))
        if Account().sort(consumer, settings, held, ""):
            carried |= held
    never = consumer.refusals(settings) | ({"weights"} if form == "openai" else set()) | ({"untrained"} if name == "alpaca" else set())
    if missing_kinds := set(HELD) - carried - never:
        return f"no conversation with {missing_kinds} was tried"
    return differences(pool, name, folder / "out", loss)


PAIRS = [(form, name, loss) for form in WRITERS for name in READ_AGAIN for loss in losses(name)]


@pytest.mark.parametrize(("form", "name", "loss"), PAIRS, ids=lambda value: str(value))
def test_a_conversation_of_every_format_is_the_same_in_every_export(tmp_path: Path, form: str, name: str, loss: str | None) -> None:
    assert crossed(form, name, loss, 200, 13, tmp_path / "in") == ""


@pytest.mark.soak
@pytest.mark.parametrize(("form", "name", "loss"), PAIRS, ids=lambda value: str(value))
def test_many_conversations_of_every_format_are_the_same_in_every_export(tmp_path: Path, form: str, name: str, loss: str | None) -> None:
    # Of ShareGPT and LLaMA-Factory, which have no place for everything, some 21,000 conversations over all exports.
    assert crossed(form, name, loss, 2_800, 17, tmp_path / "in") == ""


@pytest.mark.soak
@pytest.mark.parametrize("name", READ_AGAIN)
def test_twenty_thousand_conversations_are_the_same_after_a_round_trip(tmp_path: Path, name: str) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", 20_000, 11)
    for loss in losses(name):
        assert differences(pool, name, tmp_path / f"out-{loss}", loss) == ""
