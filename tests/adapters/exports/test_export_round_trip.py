"""What is exported and read again is the same conversation, by its id."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from instructsel.adapters.exports.account import Account
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.contents import contents
from instructsel.adapters.exports.registry import exports
from instructsel.adapters.exports.run import export
from instructsel.pool.pool import Pool
from tests.conversations import pool_of

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


@pytest.mark.soak
@pytest.mark.parametrize("name", READ_AGAIN)
def test_twenty_thousand_conversations_are_the_same_after_a_round_trip(tmp_path: Path, name: str) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", 20_000, 11)
    for loss in losses(name):
        assert differences(pool, name, tmp_path / f"out-{loss}", loss) == ""
