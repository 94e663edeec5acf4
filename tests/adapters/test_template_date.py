"""A template that writes today's date: whatever the day, a fine-tune has one key and one set of weights."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers

from instructsel.adapters.trl import TrlTrainer
from tests.adapters.training_job import short, write_pool
from tests.templates import FAMILIES


def on(day: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make that day today, for whoever renders a template through transformers."""

    class Faked(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return day

    monkeypatch.setattr(transformers.utils.chat_template_utils, "datetime", Faked)


def test_keys_and_weights_are_equal_on_every_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = FAMILIES["llama31"].base(tmp_path / "base")
    pool = write_pool(
        tmp_path, [[("user", "the capital of france"), ("assistant", "paris")], [("user", "cold water"), ("assistant", "cool it")]]
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    written, keys, digests, losses = set(), set(), set(), set()
    for day in (datetime(2025, 1, 2), datetime(2031, 11, 23)):
        on(day, monkeypatch)
        # The template does write the date that this day has.
        written.add(tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False))
        trainer = TrlTrainer(str(base), short(), tmp_path / f"{day:%Y}", device="cpu", precision="fp32")
        assert trainer.notices == ["The chat template of base writes the date: it is told 2024-07-26, whatever the day."]
        checkpoint = trainer.train(pool, seed=0)
        keys.add(checkpoint.record["key"])
        digests.add(checkpoint.digest)
        losses.add(tuple(checkpoint.record["losses"]))
    assert len(written) == 2 and len(keys) == len(digests) == len(losses) == 1
    # Another date that is asked for is another fine-tune.
    other = TrlTrainer(str(base), short(template_date="2031-11-23"), tmp_path / "other", device="cpu", precision="fp32").train(pool, seed=0)
    assert other.record["key"] not in keys and other.digest not in digests
