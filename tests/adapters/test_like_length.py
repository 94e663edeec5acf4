"""On a CPU a padded batch is computed in parts of like length: the same losses and weights, without the padding."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from instructsel import Pool
from instructsel.adapters import sft
from instructsel.adapters.recipes import recipe
from instructsel.adapters.trl import TrlTrainer
from tests import tiny


def _mask(*lengths: int) -> torch.Tensor:
    return (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()


def test_rows_of_like_length_share_a_part_and_each_part_ends_with_its_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "SPLIT_FROM", 0)
    model = torch.nn.Linear(1, 1)
    present = _mask(10, 100, 95, 9, 60)
    tensors = {"input_ids": present, "attention_mask": present}
    assert sft._of_like_length(model, tensors) == [([1, 2], 100), ([4], 60), ([0, 3], 10)]
    assert sft._of_like_length(model, {**tensors, "position_ids": present}) == []
    assert sft._of_like_length(model, {"input_ids": present, "attention_mask": present.flip(1)}) == []
    monkeypatch.setattr(sft, "SPLIT_FROM", 3)
    assert sft._of_like_length(model, tensors) == []


@pytest.mark.parametrize("method", ["full", "lora"])
def test_parts_of_like_length_train_as_the_padded_batch_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    base = tiny.causal(tmp_path / "base", "llama")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(f'{{"instruction": "Count to {n}.", "output": "{"one two " * (1 + 3 * (n % 4))}"}}\n' for n in range(12)), encoding="utf-8"
    )
    settings = recipe("tiny", steps=3, batch_size=6, method=method, optimizer="sgd", learning_rate=0.5, max_length=64)
    losses, weights, calls = [], [], []
    for limit in (10**12, 0):
        monkeypatch.setattr(sft, "SPLIT_FROM", limit)
        counted: list[int] = []
        real = sft._of_like_length
        monkeypatch.setattr(
            sft, "_of_like_length", lambda model, tensors, real=real, counted=counted: counted.append(1) or real(model, tensors)
        )
        trainer = TrlTrainer(str(base), settings, tmp_path / str(limit), device="cpu", save_every=math.inf)
        done = trainer.train(Pool.read(rows), seed=0)
        monkeypatch.setattr(sft, "_of_like_length", real)
        losses.append(done.record["losses"])
        weights.append(load_file(done.folder / "model.safetensors"))
        calls.append(len(counted))
    assert calls[1] > calls[0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert all(torch.allclose(value, weights[1][name], atol=1e-5) for name, value in weights[0].items())
