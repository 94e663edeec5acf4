"""The losses that are logged: the model's own, whatever it does to its logits, and those of TRL's own trainer, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from instructsel import Pool
from instructsel.adapters import sft
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.chat import ChatTemplate
from tests import tiny
from tests.adapters.training_job import short, write_pool


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


def own(base: Path, pool: Pool, **arguments: Any) -> float:
    """The mean over all loss tokens of what the model itself says, row by row."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32).eval()
    total, count = 0.0, 0
    for row in ChatTemplate.load(base).encode_all(pool.examples()):
        labels = [token if loss else -100 for token, loss in zip(row.ids, row.loss_mask, strict=True)]
        n_tokens = sum(row.loss_mask[1:])
        with torch.no_grad():
            loss = float(model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels]), **arguments).loss)
        total += loss * n_tokens
        count += n_tokens
    return total / count


KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {}, "at_loss_tokens"),
    ("opt", {}, "at_loss_tokens"),
    ("granite", {}, "TRL's"),
    ("cohere", {}, "TRL's"),
    ("gemma2", {"final_logit_softcapping": 2.0}, "TRL's"),
    ("minicpm3", {}, "TRL's"),
]
"""Architecture, its settings, and the cheapest way to its own loss."""


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways that trainers take, as they are made."""
    ways: list[str] = []
    made = sft.trainer_class

    def trainer_class(model: Any) -> Any:
        kind = made(model)

        class Watched(kind):  # type: ignore[misc, valid-type]
            def __init__(self, **arguments: Any) -> None:
                super().__init__(**arguments)
                ways.append(getattr(self.total_loss, "__name__", "TRL's"))

        return Watched

    monkeypatch.setattr(sft, "trainer_class", trainer_class)
    return ways


@pytest.mark.parametrize(("kind", "changes", "way"), KINDS)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_first_loss_is_the_model_s_own(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, kind: str, changes: dict[str, Any], way: str, method: str
) -> None:
    base = tiny.causal(tmp_path / kind, kind, **changes)
    ways = watched(monkeypatch)
    record = TrlTrainer(str(base), short(method=method), tmp_path, device="cpu", precision="fp32").train(pool, seed=0).record
    assert record["losses"][0] == pytest.approx(own(base, pool), abs=1e-4)
    assert ways == [way]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_step_s_loss_is_that_of_trl_s_own_trainer_on_the_same_rows(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    import trl

    base = tiny.causal(tmp_path / "llama", "llama")
    settings = short(method=method, steps=4, batch_size=4, learning_rate=1e-2)
    ways = watched(monkeypatch)

    def losses(name: str) -> list[float]:
        trainer = TrlTrainer(str(base), settings, tmp_path / name, device="cpu", precision="fp32")
        found: list[float] = trainer.train(pool, seed=0).record["losses"]
        return found

    ours = losses("ours")
    assert ways == ["at_loss_tokens"]
    monkeypatch.setattr(sft, "trainer_class", lambda model: trl.SFTTrainer)
    theirs = losses("theirs")
    # The weights move between the steps, so that a gradient of another size would show.
    assert len(ours) == 4 and abs(ours[0] - ours[3]) > 1e-2
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_model_whose_scale_trl_does_not_know_is_trained_by_its_own_logits(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.causal(tmp_path / "llama", "llama")
    forward = transformers.LlamaForCausalLM.forward

    def thrice(self: Any, *positional: Any, labels: Any = None, **arguments: Any) -> Any:
        outputs = forward(self, *positional, **arguments)
        outputs.logits = 3.0 * outputs.logits
        if labels is not None:
            outputs.loss = torch.nn.functional.cross_entropy(
                outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
            )
        return outputs

    unscaled = own(base, pool)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", thrice)
    ways = watched(monkeypatch)
    losses = TrlTrainer(str(base), short(), tmp_path, device="cpu", precision="fp32").train(pool, seed=0).record["losses"]
    assert ways == ["of_own_logits"] and losses[0] == pytest.approx(own(base, pool), abs=1e-4) and abs(losses[0] - unscaled) > 0.1


def test_experts_are_trained_where_trl_s_loss_fails(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny.causal(tmp_path / "granitemoe", "granitemoe")
    ways = watched(monkeypatch)
    record = TrlTrainer(str(base), short(micro_batch_size=1), tmp_path, device="cpu", precision="fp32").train(pool, seed=0).record
    assert ways == ["of_own_logits"]
    # The loss that balances the experts comes on top of that of the tokens.
    assert own(base, pool) < record["losses"][0] < own(base, pool) + 0.1
