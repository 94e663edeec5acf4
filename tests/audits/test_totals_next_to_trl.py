"""Steps and tokens of an audit are those that TRL's trainer takes and sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructsel import Pool, audit
from tests.audits.real_pools import head, write_rows
from tests.templates import FAMILIES

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

BATCH, PARTS = 2, 3
"""Rows on the device at a time, and how often before a step."""


def trained(base: Path, rows: list[dict[str, Any]], **settings: Any) -> tuple[int, int]:
    """Steps that TRL's trainer takes, and tokens that it sees."""
    import transformers

    usual = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
    config = trl.SFTConfig(
        str(base / "out"), per_device_train_batch_size=BATCH, gradient_accumulation_steps=PARTS, max_length=200, **usual, **settings
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    trainer = trl.SFTTrainer(model, config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    seen = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    return trainer.state.global_step, int(seen[-1])


@pytest.mark.parametrize("epochs", [2.0, 1.5])
@pytest.mark.parametrize("packing", [None, "bfd", "wrapped"])
def test_steps_and_tokens_are_those_of_trl_s_trainer(packing: str | None, epochs: float, shared_data: Path, tmp_path: Path) -> None:
    pairs = [(row["instruction"], row["response"]) for row in head(shared_data, "dolly", 40) if not row["context"]][:19]
    # An empty answer is trained on, and a prompt that fills the length is left out where nothing is packed.
    pairs += [("say nothing", ""), ("go on " * 200, "on")]
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", [{"instruction": question, "output": answer} for question, answer in pairs]))
    base = FAMILIES["chatml"].base(tmp_path / "base")
    result = audit(pool, base=str(base), max_length=200, packing=packing, batch_size=BATCH * PARTS, epochs=epochs)
    rows = [
        {"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": answer}]}
        for question, answer in pairs
    ]
    settings = {} if packing is None else {"packing": True, "packing_strategy": packing}
    steps, tokens = trained(base, rows, num_train_epochs=epochs, **settings)
    totals = result.totals
    assert totals.steps == steps
    if epochs == round(epochs):
        assert totals.tokens * epochs == tokens
        assert totals.tokens_per_step * totals.steps == pytest.approx(tokens)
        assert totals.flops == pytest.approx(6 * totals.parameters * tokens)
    # The prompt that fills the length goes on behind it, where rows are written one after another.
    assert totals.trained_rows == (21 if packing == "wrapped" else 20)


def test_a_row_whose_response_is_cut_away_counts_as_cut_off_beside_its_tokens(tmp_path: Path) -> None:
    base = FAMILIES["chatml"].base(tmp_path / "base")
    pairs = [("Say it.", "It is said."), ("Say all of it. " * 60, "It is said."), ("Say it again.", "It is said again. " * 60)]
    rows = [{"instruction": question, "output": answer} for question, answer in pairs]
    audited = audit(Pool.read(write_rows(tmp_path / "rows.jsonl", rows)), base=str(base), max_length=96)
    totals = audited.totals
    assert (totals.rows, totals.trained_rows, totals.truncated) == (3, 2, 2) and totals.cut_tokens > 100
    assert [source.truncated for source in totals.sources] == [2]
