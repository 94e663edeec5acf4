"""Fine-tunes: the loss by hand, the order, states after kill −9, what is refused, and what is written down."""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from instructsel import Pool
from instructsel.adapters import trl as adapter
from instructsel.adapters.checkpoint_folder import COMPLETE, RECORD, STATE, weights_digest
from instructsel.adapters.recipes import Recipe, recipe
from instructsel.adapters.sampling import packs, sequence
from instructsel.adapters.sft import check_losses
from instructsel.adapters.trl import TrlTrainer
from instructsel.errors import (
    EnvironmentFault,
    MissingExtra,
    ModelRefused,
    TrainingDiverged,
    TrainingError,
    UntrustedModel,
    UsageError,
)
from instructsel.models.peft_adapter import digest_of
from instructsel.pool.example import Example
from instructsel.protocols import Checkpoint, Trainer
from tests import tiny
from tests.adapters.training_job import ROWS, STEPS, Turns, short, write_pool
from tests.conftest import ROOT

EOS = "<|endoftext|>"
WEIGHTS = "model.safetensors"
SGD = {"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 1e9, "schedule": "constant"}
"""One step takes the gradient itself from the weights."""
WHOLE = {"steps": STEPS, "batch_size": 4, "micro_batch_size": 2}
PART = 3
"""The step that an interrupted fine-tune does not get past."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base") / "llama", "llama")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that can be held in 4 bits: blocks of 64 weights."""
    return tiny.causal(tmp_path_factory.mktemp("wide") / "llama", "llama", hidden_size=64, intermediate_size=128)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def one(base: Path, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A fine-tune of one step."""
    return tuned(base, tmp_path_factory.mktemp("one"), pool)


@pytest.fixture(scope="module")
def whole(base: Path, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A fine-tune of several steps that nothing interrupted."""
    return tuned(base, tmp_path_factory.mktemp("whole"), pool, **WHOLE)


def trainer(base: Path, folder: Path, made: Recipe | None = None, **given: Any) -> TrlTrainer:
    return TrlTrainer(str(base), made or short(), folder, **{"device": "cpu", "precision": "fp32", **given})


def tuned(base: Path, folder: Path, pool: Pool, *, seed: int = 0, **changes: Any) -> Checkpoint:
    """The base after a fine-tune by `short`, with settings changed."""
    return trainer(base, folder, short(**changes)).train(pool, seed=seed)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / WEIGHTS))


def apart(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """The largest difference of two models' weights."""
    assert first.keys() == second.keys()
    return max(float((value - second[name]).abs().max()) for name, value in first.items())


def test_on_a_machine_with_several_gpus_a_model_is_trained_on_one(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = TrainingArguments._setup_devices.func

    def two(self: Any) -> Any:
        found = device(self)
        self._n_gpu = 2
        return found

    once = functools.cached_property(two)
    once.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", once)
    seen: list[int] = []
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: seen.append(self._n_gpu) or self._n_gpu))
    # Split over two it would end in an error: the CPU's loss knows nothing of it.
    assert tuned(base, tmp_path, pool).record["steps"] == 1 and seen[-1] == 1


def pieces(example: Example, loss: str) -> Iterator[tuple[str, bool]]:
    """Tülu's format in pieces of text that share no token, and whether the loss falls on each."""
    last = len(example.messages) - 1
    for number, turn in enumerate(example.messages):
        yield f"<|{turn.role}|>\n", loss == "all"
        answer = turn.role == "assistant"
        yield f"{turn.content}{EOS if answer else ''}", loss == "all" or (answer and (loss == "assistant" or number == last))
        if number < last:
            yield "\n", loss == "all"


def tokens_of(base: Path, example: Example, loss: str) -> tuple[list[int], list[bool]]:
    """The tokens of an example, and which of them are trained on, by hand."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    ids: list[int] = []
    trained: list[bool] = []
    for text, on in pieces(example, loss):
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += found
        trained += [on] * len(found)
    return ids, trained


def losses_of(model: Any, ids: list[int], trained: list[bool]) -> list[torch.Tensor]:
    """−ln p of each loss token of a row, given those before it: the whole logits, one row."""
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    told = torch.log_softmax(logits[:-1], dim=-1)
    return [-told[place - 1, ids[place]] for place in range(1, len(ids)) if trained[place]]


def by_hand(base: Path, examples: list[Example], loss: str) -> tuple[float, dict[str, torch.Tensor], list[list[float]]]:
    """Loss and weights of one step of SGD at learning rate 1, with transformers alone; and the losses of each row's tokens."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    told = [losses_of(model, *tokens_of(base, example, loss)) for example in examples]
    everything = torch.stack([each for row in told for each in row])
    gradient = torch.autograd.grad(everything.mean(), list(model.parameters()))
    stepped = {name: (value - grad).detach() for (name, value), grad in zip(model.named_parameters(), gradient, strict=True)}
    return float(everything.mean().detach()), stepped, [[float(each.detach()) for each in row] for row in told]


# The order of the rows

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def passes(order: list[int], n: int) -> list[list[int]]:
    return [order[start : start + n] for start in range(0, len(order), n)]


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, epochs=st.integers(1, 4), batch=st.integers(1, 9), grouped=st.booleans(), seed=st.integers(0, 5))
def test_every_pass_sees_every_row_once(lengths: list[int], epochs: int, batch: int, grouped: bool, seed: int) -> None:
    asked = recipe("tiny", epochs=epochs, batch_size=batch, group_by_length=grouped)
    order = sequence(lengths, asked, seed)
    assert [sorted(once) for once in passes(order, len(lengths))] == [list(range(len(lengths)))] * epochs
    assert order == sequence(lengths, asked, seed)


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, epochs=st.floats(0.01, 3), steps=st.integers(1, 12), batch=st.integers(1, 9), grouped=st.booleans())
def test_epochs_are_exact_to_a_row_and_steps_to_a_batch(lengths: list[int], epochs: float, steps: int, batch: int, grouped: bool) -> None:
    n = len(lengths)
    for asked, expected in (({"epochs": epochs}, round(epochs * n)), ({"steps": steps}, steps * batch)):
        order = sequence(lengths, recipe("tiny", batch_size=batch, group_by_length=grouped, **asked), 0)
        assert len(order) == expected
        # The last pass may be a part, and sees no row twice either.
        assert all(max(Counter(once).values()) == 1 for once in passes(order, n))


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, tokens=st.integers(1, 4000), batch=st.integers(1, 9), grouped=st.booleans(), seed=st.integers(0, 5))
def test_tokens_are_met_within_one_row(lengths: list[int], tokens: int, batch: int, grouped: bool, seed: int) -> None:
    order = sequence(lengths, recipe("tiny", tokens=tokens, batch_size=batch, group_by_length=grouped), seed)
    seen = sum(lengths[at] for at in order)
    assert tokens <= seen < tokens + max(lengths)
    assert all(max(Counter(once).values()) == 1 for once in passes(order, len(lengths)))


def test_the_order_is_the_seed_s_and_no_two_passes_have_the_same() -> None:
    lengths = [5] * 30
    asked = recipe("tiny", epochs=2, group_by_length=False)
    first, second = passes(sequence(lengths, asked, 0), 30)
    assert first != second
    assert sequence(lengths, asked, 1) != [*first, *second]
    assert sequence([], asked, 0) == []


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_like_length_are_batched_together_in_every_pass(seed: int) -> None:
    lengths = list(range(1, 11))
    order = sequence(lengths, recipe("tiny", epochs=2, batch_size=4, group_by_length=True), seed)
    batches = [sorted(lengths[at] for at in order[start : start + 4]) for start in range(0, 20, 4)]
    # The longest four, the four below them, and the two that are left, with two of the next pass to fill their batch.
    assert sorted(batches[:2]) == [[3, 4, 5, 6], [7, 8, 9, 10]]
    assert {1, 2} <= set(batches[2])
    # The eight others of the second pass are batched by length again, though the first had two rows over.
    low, high = sorted(batches[3:])
    assert max(low) < min(high)


def test_batches_of_like_length_come_in_random_order() -> None:
    lengths = list(range(1, 41))
    means = [
        [sum(lengths[at] for at in order[start : start + 4]) / 4 for start in range(0, 40, 4)]
        for order in (sequence(lengths, recipe("tiny", epochs=1, batch_size=4, group_by_length=True), seed) for seed in range(3))
    ]
    assert len({tuple(each) for each in means}) == 3 and sorted(means[0], reverse=True) not in means


# Packing


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, room=st.integers(60, 200), epochs=st.integers(1, 3), seed=st.integers(0, 5))
def test_packed_passes_see_every_row_once_and_no_sequence_is_too_long(lengths: list[int], room: int, epochs: int, seed: int) -> None:
    asked = recipe("tiny", epochs=epochs, packing=True, max_length=room)
    found = packs(lengths, asked, seed)
    assert all(each and sum(lengths[at] for at in each) <= room for each in found)
    # A row does not meet itself from another pass.
    assert all(len(set(each)) == len(each) for each in found)
    assert [sorted(once) for once in passes([at for each in found for at in each], len(lengths))] == [list(range(len(lengths)))] * epochs
    assert found == packs(lengths, asked, seed)
    # No two sequences of a pass are half empty: the rows of one would have gone into the other.
    if epochs == 1:
        assert sum(sum(lengths[at] for at in each) * 2 <= room for each in found) <= 1


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, steps=st.integers(1, 6), batch=st.integers(1, 5))
def test_packed_steps_are_exact_and_packed_tokens_met_within_one_row(lengths: list[int], steps: int, batch: int) -> None:
    assert len(packs(lengths, recipe("tiny", steps=steps, batch_size=batch, packing=True, max_length=100), 0)) == steps * batch
    found = packs(lengths, recipe("tiny", tokens=500, packing=True, max_length=100), 0)
    assert 500 <= sum(lengths[at] for each in found for at in each) < 500 + max(lengths)


def test_packed_sequences_do_not_come_in_the_order_of_their_lengths() -> None:
    lengths = list(range(1, 41))
    found = packs(lengths, recipe("tiny", epochs=1, packing=True, max_length=40), 0)
    longest = [max(lengths[at] for at in each) for each in found]
    assert longest != sorted(longest, reverse=True) and packs([], recipe("tiny", packing=True), 0) == []


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_the_gradient_is_the_same_however_many_rows_are_computed_at_a_time_and_packed_or_not(tmp_path: Path, pool: Pool, kind: str) -> None:
    made = tiny.causal(tmp_path / kind, kind)
    whole = tuned(made, tmp_path, pool, **SGD)
    others = [tuned(made, tmp_path, pool, **SGD, micro_batch_size=1), tuned(made, tmp_path, pool, **SGD, epochs=1, packing=True)]
    for other in others:
        assert other.record["losses"] == pytest.approx(whole.record["losses"], abs=1e-5)
        assert apart(weights(other.folder), weights(whole.folder)) < 1e-5
    # The step is large enough that a wrong one would show.
    assert max(float((value - weights(made)[name]).abs().max()) for name, value in weights(whole.folder).items()) > 1e-2
    assert [each.record["micro_batch_size"] for each in (whole, *others)] == [6, 1, 6]
    assert {(each.record["steps"], each.record["tokens_seen"]) for each in (whole, *others)} == {(1, whole.record["tokens_seen"])}


def test_rows_that_saw_each_other_would_have_another_loss(base: Path, tmp_path: Path, pool: Pool) -> None:
    found = [tokens_of(base, example, "completion") for example in pool.examples()]
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    leaked = losses_of(model, [name for ids, _ in found for name in ids], [on for _, trained in found for on in trained])
    packed = tuned(base, tmp_path, pool, packing=True)
    # All of them in one sequence: a mask that leaked, with positions that go on.
    assert packed.record["rows_seen"] >= 6 and abs(float(torch.stack(leaked).mean().detach()) - packed.record["losses"][0]) > 1e-2


def test_a_base_that_does_not_keep_packed_rows_apart_is_refused(tmp_path: Path, pool: Pool) -> None:
    mamba = tiny.causal(tmp_path / "mamba", "mamba")
    with pytest.raises(ModelRefused, match="mamba has cross-contamination in packing"):
        tuned(mamba, tmp_path, pool, packing=True)
    assert tuned(mamba, tmp_path, pool).record["steps"] == 1


def test_a_packed_fine_tune_counts_the_rows_it_saw(base: Path, tmp_path: Path, pool: Pool) -> None:
    lengths = [len(tokens_of(base, example, "all")[0]) for example in pool.examples()]
    record = tuned(base, tmp_path, pool, steps=3, batch_size=1, packing=True, max_length=120).record
    found = [at for each in packs(lengths, short(steps=3, batch_size=1, packing=True, max_length=120), 0) for at in each]
    assert (record["steps"], record["rows_seen"], record["tokens_seen"]) == (3, len(found), sum(lengths[at] for at in found))
    assert len(found) > 3 and len(record["losses"]) == 3


# The loss


@pytest.mark.parametrize("loss", ["completion", "assistant", "all"])
def test_a_step_s_loss_and_gradient_are_those_of_the_mean_over_its_trained_tokens(
    base: Path, tmp_path: Path, pool: Pool, loss: str
) -> None:
    expected, stepped, told = by_hand(base, list(pool.examples()), loss)
    # The rows have different numbers of loss tokens, so that a mean of their means is another number.
    assert len({len(row) for row in told}) > 3
    assert abs(sum(sum(row) / len(row) for row in told) / len(told) - expected) > 1e-3
    found = tuned(base, tmp_path, pool, loss=loss, **SGD)
    assert found.record["losses"] == pytest.approx([expected], abs=1e-5)
    assert apart(weights(found.folder), stepped) < 1e-5
    assert found.record["tokens_trained"] == sum(map(len, told))


def test_a_last_step_of_fewer_rows_is_the_mean_over_those(base: Path, tmp_path: Path, pool: Pool) -> None:
    # 6 rows in batches of 4, at a learning rate that leaves the weights as they are.
    found = {
        micro: tuned(base, tmp_path, pool, steps=None, epochs=1, batch_size=4, micro_batch_size=micro, optimizer="sgd", learning_rate=1e-12)
        for micro in (4, 1)
    }
    examples = list(pool.examples())
    order = sequence([1] * 6, short(steps=None, epochs=1, batch_size=4), 0)
    expected = [by_hand(base, [examples[at] for at in part], "completion")[0] for part in (order[:4], order[4:])]
    for each in found.values():
        assert each.record["losses"] == pytest.approx(expected, abs=1e-5) and each.record["steps"] == 2


def test_rows_batched_by_length_are_trained_on_like_any_others(base: Path, tmp_path: Path, pool: Pool) -> None:
    plain, grouped = (tuned(base, tmp_path, pool, **SGD, group_by_length=on) for on in (False, True))
    assert apart(weights(plain.folder), weights(grouped.folder)) < 1e-5


def test_mixed_precision_trains_in_the_same_process_as_full(base: Path, tmp_path: Path, pool: Pool, one: Checkpoint) -> None:
    mixed = trainer(base, tmp_path, precision="bf16").train(pool, seed=0)
    assert mixed.record["losses"] == pytest.approx(one.record["losses"], abs=0.05) and mixed.record["losses"] != one.record["losses"]
    assert weights(mixed.folder)["lm_head.weight"].dtype == torch.float32
    assert tuned(base, tmp_path, pool).digest == one.digest


def test_saving_memory_changes_nothing(base: Path, tmp_path: Path, pool: Pool) -> None:
    plain, saving = (tuned(base, tmp_path, pool, **SGD, gradient_checkpointing=on) for on in (False, True))
    assert apart(weights(plain.folder), weights(saving.folder)) < 1e-6


# Same in, same out


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(base: Path, tmp_path: Path, pool: Pool, whole: Checkpoint) -> None:
    again, other = (tuned(base, tmp_path, pool, seed=seed, **WHOLE) for seed in (0, 1))
    assert again.digest == whole.digest != other.digest
    assert again.record["losses"] == whole.record["losses"] != other.record["losses"]
    assert (again.seed, other.seed) == (0, 1) and isinstance(trainer(base, tmp_path), Trainer)


def test_the_order_of_the_file_does_not_matter(base: Path, tmp_path: Path, whole: Checkpoint) -> None:
    turned = tuned(base, tmp_path, write_pool(tmp_path / "turned", ROWS[::-1], "other.jsonl"), **WHOLE)
    assert turned.digest == whole.digest and turned.folder.name == whole.folder.name
    fewer = tuned(base, tmp_path, write_pool(tmp_path / "fewer", ROWS[:5]), **WHOLE)
    assert fewer.folder.name != whole.folder.name and fewer.digest != whole.digest


def test_new_adapters_are_drawn_by_the_seed(base: Path, tmp_path: Path, pool: Pool) -> None:
    drawn = [
        load_file(str(tuned(base, tmp_path, pool, seed=seed, method="lora", lora_r=4).folder / "adapter" / "adapter_model.safetensors"))
        for seed in (7, 8)
    ]
    assert apart(*drawn) > 1e-2


# Adapters


def logits(model: Any, base: Path, pool: Pool) -> torch.Tensor:
    ids, _ = tokens_of(base, next(iter(pool.examples())), "all")
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=torch.tensor([ids])).logits
    return found


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_a_merged_checkpoint_answers_as_the_adapter_on_its_base(wide: Path, tmp_path: Path, pool: Pool, bits: int | None) -> None:
    found = tuned(wide, tmp_path, pool, method="lora", bits=bits, lora_r=4, steps=3, learning_rate=2e-2)
    plain = transformers.AutoModelForCausalLM.from_pretrained(str(found.folder))
    assert not hasattr(plain.config, "quantization_config") and plain.dtype == torch.float32
    fresh = transformers.AutoModelForCausalLM.from_pretrained(str(wide), dtype=torch.float32)
    before = logits(fresh, wide, pool)
    beside = logits(peft.PeftModel.from_pretrained(fresh, str(found.folder / "adapter")), wide, pool)
    merged = logits(plain, wide, pool)
    assert float((merged - beside).abs().max()) < 1e-5 * max(1.0, float(beside.abs().max()))
    assert float((merged - before).abs().max()) > 1e-2
    adapted = {name.split(".")[-3] for name in load_file(str(found.folder / "adapter" / "adapter_model.safetensors"))}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert ("bitsandbytes" in found.record["trainer"]["versions"]) == (bits is not None)
    assert found.record["losses"][-1] < found.record["losses"][0]


def test_paper_v1_runs_on_a_cpu_as_it_is(wide: Path, tmp_path: Path, pool: Pool) -> None:
    found = trainer(wide, tmp_path, recipe("paper-v1")).train(pool, seed=0)
    # 3 epochs of 6 rows, 8 at a time.
    assert (found.record["steps"], found.record["rows_seen"]) == (3, 18)
    assert json.loads((found.folder / "adapter" / "adapter_config.json").read_text())["r"] == 64


def test_an_adapter_that_is_not_merged_is_the_checkpoint(wide: Path, tmp_path: Path, pool: Pool) -> None:
    made = trainer(wide, tmp_path, short(method="lora", lora_r=4), merge=False)
    found = made.train(pool, seed=0)
    assert not (found.folder / WEIGHTS).exists() and (found.folder / "tokenizer.json").is_file()
    assert found.digest == digest_of(found.folder / "adapter", made.source.digest)
    assert made.train(pool, seed=0).digest == found.digest


# Arms of equal length


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Rows several times as long as the pool's."""
    rows: list[Turns] = [[("user", f"{text} " * 40), ("assistant", f"{text} the sky is blue " * 10)] for text in tiny.TEXT[3:9]]
    return write_pool(tmp_path_factory.mktemp("long"), rows)


def test_equal_steps_are_equal_and_equal_tokens_within_one_row(base: Path, tmp_path: Path, pool: Pool, long: Pool) -> None:
    steps = [tuned(base, tmp_path, each, steps=3, batch_size=2).record for each in (pool, long)]
    assert [record["steps"] for record in steps] == [3, 3] and [record["rows_seen"] for record in steps] == [6, 6]
    assert steps[1]["tokens_seen"] > steps[0]["tokens_seen"]
    tokens = [tuned(base, tmp_path, each, tokens=400, batch_size=2).record for each in (pool, long)]
    for record in tokens:
        assert 400 <= record["tokens_seen"] < 400 + record["audit"]["longest"]
        assert record["steps"] == math.ceil(record["rows_seen"] / 2) == len(record["losses"])
        assert record["tokens_per_step"] == record["tokens_seen"] / record["steps"]
    assert tokens[0]["steps"] > tokens[1]["steps"]


def test_a_part_of_an_epoch_that_is_not_a_row_is_refused(base: Path, tmp_path: Path, pool: Pool) -> None:
    for packing in (False, True):
        with pytest.raises(TrainingError, match=r"0\.05 epochs of 6 rows are less than one row"):
            tuned(base, tmp_path, pool, epochs=0.05, packing=packing)


# What is written down


def test_the_record_says_what_was_done_and_nothing_says_where(base: Path, tmp_path: Path, pool: Pool) -> None:
    made = trainer(base, tmp_path, short(epochs=2, batch_size=4, max_length=30, loss="assistant"), max_skipped_fraction=0.5)
    found = made.train(pool, seed=5)
    record: Any = found.record
    masked = [tokens_of(base, example, "assistant") for example in pool.examples()]
    kept = [(ids[:30], trained[:30]) for ids, trained in masked if any(trained[:30])]
    assert record["audit"] == made.audit(pool).as_dict()
    assert (record["audit"]["rows"], record["audit"]["trained_rows"]) == (6, len(kept))
    seen, trained = sum(len(ids) for ids, _ in kept), sum(sum(on) for _, on in kept)
    assert (record["audit"]["tokens"], record["audit"]["loss_tokens"]) == (seen, trained)
    assert (record["tokens_seen"], record["tokens_trained"], record["rows_seen"]) == (2 * seen, 2 * trained, 2 * len(kept))
    assert record["steps"] == len(record["losses"]) == math.ceil(2 * len(kept) / 4)
    assert (record["batch_size"], record["micro_batch_size"], record["seed"], record["kind"]) == (4, 4, 5, "training")
    assert record["pool"] == {"fingerprint": pool.fingerprint, "examples": 6}
    assert record["trainer"] == made.fingerprint and record["chat_template"] == "tulu"
    assert "mean over the loss tokens" in record["loss_reduction"]
    assert record["run"]["seconds"] > 0 and record["run"]["resumed"] is False and record["run"]["tokens_per_second"] > 0
    assert record == json.loads((found.folder / RECORD).read_text()) and found.digest == record["digest"]
    assert str(tmp_path) not in json.dumps(record) and str(base.parent) not in json.dumps(record)
    assert (found.owned, found.folder) == (True, tmp_path / record["key"])
    assert not (found.folder / STATE).exists()
    # What a grader needs is there: weights, configuration, tokenizer and the template that was used.
    reloaded = transformers.AutoTokenizer.from_pretrained(str(found.folder))
    assert "<|assistant|>" in reloaded.chat_template


def test_a_fingerprint_is_of_base_recipe_and_releases_wherever_the_base_stands(base: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / base.name
    shutil.copytree(base, moved)
    first = trainer(base, tmp_path).fingerprint
    assert first == trainer(moved, tmp_path / "out", save_every=1.0).fingerprint
    assert str(tmp_path) not in json.dumps(first) and str(base.parent) not in json.dumps(first)
    assert (first["device"], first["precision"], first["micro"]) == ("cpu", "fp32", 6)
    others = [
        trainer(tiny.causal(tmp_path / "other" / base.name, "llama", seed=1), tmp_path),
        trainer(base, tmp_path, short(learning_rate=2e-3)),
        trainer(base, tmp_path, short(method="lora", bits=8)),
        trainer(base, tmp_path, precision="bf16"),
        trainer(base, tmp_path, merge=False),
        trainer(base, tmp_path, max_skipped_fraction=0.5),
    ]
    assert len({json.dumps(each.fingerprint, sort_keys=True) for each in others} | {json.dumps(first, sort_keys=True)}) == 7
    # Nor does what a tokenizer makes of the same text go unnoticed.
    tiny.edit(moved, rope_theta=5.0)
    assert trainer(moved, tmp_path).fingerprint != first


def test_training_says_nothing(wide: Path, tmp_path: Path, pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int, float]] = []
    made = short(method="lora", bits=8, lora_r=4, steps=2, batch_size=3)
    capfd.readouterr()
    found = trainer(*(wide, tmp_path, made), save_every=0.0, progress=lambda done, total, loss: told.append((done, total, loss))).train(
        pool, seed=0
    )
    tuned(wide, tmp_path, pool, packing=True)
    assert capfd.readouterr() == ("", "")
    assert told == [(1, 2, found.record["losses"][0]), (2, 2, found.record["losses"][1])]


# Finished, damaged, and of others


def untrainable(*given: Any, **named: Any) -> Any:
    raise AssertionError("trained again")


def test_a_finished_checkpoint_is_not_trained_again(base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tuned(base, tmp_path, pool)
    written = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    # What a kill between the record and the removal of the states leaves.
    (first.folder / STATE / "checkpoint-1").mkdir(parents=True)
    monkeypatch.setattr(TrlTrainer, "_train", untrainable)
    again = tuned(base, tmp_path, pool)
    assert (again.digest, again.record, again.folder, again.owned) == (first.digest, first.record, first.folder, True)
    assert written == {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    with pytest.raises(AssertionError, match="trained again"):
        tuned(base, tmp_path, pool, seed=1)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [flip, lambda path: os.truncate(path, 1000), Path.unlink])
def test_damaged_weights_are_trained_again(
    base: Path, tmp_path: Path, pool: Pool, whole: Checkpoint, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.folder, folder)
    damage(folder / WEIGHTS)
    assert weights_digest(folder) != whole.digest
    again = trainer(base, tmp_path, short(**WHOLE)).train_into(folder, pool, seed=0)
    assert again.digest == whole.digest == weights_digest(folder)
    assert (folder / RECORD).is_file() and not (folder / STATE).exists()


def test_a_folder_of_another_fine_tune_is_refused_and_stays(base: Path, tmp_path: Path, pool: Pool) -> None:
    made = trainer(base, tmp_path)
    folder = tmp_path / "mine"
    first = made.train_into(folder, pool, seed=0)
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    others = [(made, pool, 1), (made, pool.take(pool.ids[:4]), 0), (trainer(base, tmp_path, short(learning_rate=2e-3)), pool, 0)]
    for other, rows, seed in others:
        with pytest.raises(TrainingError, match="mine holds another fine-tune: of another base, recipe, pool or seed"):
            other.train_into(folder, rows, seed=seed)
    assert written == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert made.train_into(folder, pool, seed=0).digest == first.digest
    (folder / RECORD).write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        made.train_into(folder, pool, seed=0)


def test_weights_of_another_origin_are_never_written_over(base: Path, tmp_path: Path, pool: Pool) -> None:
    own = tmp_path / "own"
    shutil.copytree(base, own)
    with pytest.raises(TrainingError, match="own holds weights that are no checkpoint of this fine-tune"):
        trainer(own, tmp_path).train_into(own, pool, seed=0)
    assert (own / WEIGHTS).read_bytes() == (base / WEIGHTS).read_bytes()
    (tmp_path / "lora" / "adapter").mkdir(parents=True)
    shutil.copy(base / WEIGHTS, tmp_path / "lora" / "adapter" / "adapter_model.safetensors")
    with pytest.raises(TrainingError, match="lora holds weights"):
        trainer(base, tmp_path).train_into(tmp_path / "lora", pool, seed=0)
    # What is no model is no hindrance.
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    assert trainer(base, tmp_path).train_into(tmp_path / "notes", pool, seed=0).folder == tmp_path / "notes"
    assert (tmp_path / "notes" / "README.md").read_text() == "mine"


# Interrupted


def interrupted(base: Path, folder: Path, pool: Pool, made: Recipe, *, save_every: float = 0.0, at: int = PART) -> None:
    """Begin a fine-tune in a folder and stop it after a step, before that step's state is saved."""

    def stop(done: int, total: int, loss: float) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(base, folder.parent, made, save_every=save_every, progress=stop).train_into(folder, pool, seed=0)


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / STATE).glob("checkpoint-*"))


def tear(folder: Path) -> None:
    optimizer = folder / STATE / "checkpoint-2" / "optimizer.pt"
    os.truncate(optimizer, optimizer.stat().st_size // 2)


def lose(folder: Path) -> None:
    (folder / STATE / "checkpoint-2" / "scheduler.pt").unlink()


def garble(folder: Path) -> None:
    (folder / STATE / "checkpoint-2" / COMPLETE).write_text("{")


def leave(folder: Path) -> None:
    assert folder.is_dir()


@pytest.fixture(scope="module")
def begun(base: Path, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tune that was interrupted after its third step."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    interrupted(base, folder, pool, short(**WHOLE))
    assert states(folder) == ["checkpoint-1", "checkpoint-2"]
    return folder


@pytest.mark.parametrize("damage", [leave, tear, lose, garble])
def test_a_fine_tune_goes_on_from_the_last_state_that_is_whole(
    base: Path, tmp_path: Path, pool: Pool, whole: Checkpoint, begun: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(begun, folder)
    damage(folder)
    seen: list[int] = []
    made = trainer(base, tmp_path, short(**WHOLE), progress=lambda done, total, loss: seen.append(done))
    found = made.train_into(folder, pool, seed=0)
    assert seen == ([3, 4, 5] if damage is leave else [2, 3, 4, 5])
    assert found.digest == whole.digest and found.record["run"]["resumed"] is True
    assert {**found.record, "run": None} == {**whole.record, "run": None}
    assert not (folder / STATE).exists()


def test_no_more_than_two_states_are_kept(base: Path, tmp_path: Path, pool: Pool) -> None:
    interrupted(base, tmp_path / "run", pool, short(steps=6, batch_size=1), at=5)
    assert states(tmp_path / "run") == ["checkpoint-3", "checkpoint-4"]


def test_an_unfinished_fine_tune_of_another_is_refused_and_its_states_stay(base: Path, tmp_path: Path, pool: Pool, begun: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(begun, folder)
    made = trainer(base, tmp_path, short(**WHOLE))
    with pytest.raises(TrainingError, match="run holds another fine-tune, begun and not finished"):
        made.train_into(folder, pool, seed=1)
    assert states(folder) == ["checkpoint-1", "checkpoint-2"]
    # A state that got there from another fine-tune is not gone on from either.
    for name in states(folder):
        mark = folder / STATE / name / COMPLETE
        mark.write_text(mark.read_text().replace(json.loads(mark.read_text())["key"], "0" * 32))
    assert made.train_into(folder, pool, seed=0).record["run"]["resumed"] is False


class Jobs:
    """A process that fine-tunes in children."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.adapters.training_job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, folder: Path, **asked: Any) -> dict[str, Any]:
        """Fine-tune in a folder; how it ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), **asked}) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture(scope="module", autouse=True)
def starting() -> Iterator[Jobs | None]:
    """Begun with the first test, so that it has loaded everything when it is needed."""
    found = Jobs() if hasattr(os, "fork") else None
    assert SFTTrainer and SFTConfig
    # Each fine-tune collects garbage, which among the objects of everything that was imported takes longer than all else.
    gc.collect()
    gc.freeze()
    yield found
    gc.unfreeze()
    if found is not None:
        found.process.kill()
        found.process.wait()


@pytest.fixture(scope="module")
def jobs(starting: Jobs | None) -> Jobs:
    if starting is None:
        pytest.skip("kill points need fork")
    assert starting.process.stdout is not None and starting.process.stdout.readline().strip() == "ready"
    return starting


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> Path:
    """A base and a pool to fine-tune in copies."""
    folder = tmp_path_factory.mktemp("job") / "template"
    write_pool(folder)
    shutil.copytree(wide, folder / "base")
    return folder


@pytest.fixture(scope="module")
def unharmed(jobs: Jobs, template: Path) -> Callable[[str], dict[str, Any]]:
    """The record of a fine-tune in a child that was not killed, by method."""
    known: dict[str, dict[str, Any]] = {}

    def record(method: str) -> dict[str, Any]:
        if method not in known:
            folder = template.parent / f"unharmed-{method}"
            shutil.copytree(template, folder)
            assert jobs.run(folder, method=method, save_every=math.inf) == {"code": 0, "said": ""}
            known[method] = json.loads((folder / "out" / RECORD).read_text())
        return known[method]

    return record


@pytest.mark.parametrize(
    ("method", "kill", "at", "left"),
    [
        # After a step, before its state is saved.
        ("full", "step", 1, []),
        ("full", "step", 3, [1, 2]),
        ("lora", "step", 3, [1, 2]),
        # Amid saving the second state: four files are written by torch for each, the optimizer's second.
        ("full", "torn", 6, [1, 2]),
        # When the second state is whole but for its mark.
        ("full", "unmarked", 2, [1, 2]),
        # When the weights are half written, and when everything is but the states are still there.
        ("full", "half_saved", 1, [3, 4]),
        ("full", "recorded", 1, [3, 4]),
    ],
)
def test_a_killed_fine_tune_comes_out_as_if_it_had_not_been(
    jobs: Jobs,
    template: Path,
    tmp_path: Path,
    unharmed: Callable[[str], dict[str, Any]],
    method: str,
    kill: str,
    at: int,
    left: list[int],
) -> None:
    expected = unharmed(method)
    folder = tmp_path / "job"
    shutil.copytree(template, folder)
    assert jobs.run(folder, method=method, kill=kill, at=at) == {"code": -9, "said": ""}
    assert states(folder / "out") == [f"checkpoint-{number}" for number in left]
    assert (folder / "out" / RECORD).exists() == (kill == "recorded")
    assert jobs.run(folder, method=method) == {"code": 0, "said": ""}
    found = json.loads((folder / "out" / RECORD).read_text())
    assert found["digest"] == expected["digest"] == weights_digest(folder / "out")
    assert found["losses"] == expected["losses"] and len(found["losses"]) == STEPS
    assert {**found, "run": None} == {**expected, "run": None}
    # Gone on with, not begun anew; one that was finished is left as it is.
    assert found["run"]["resumed"] is (bool(left) and kill != "recorded")
    assert not (folder / "out" / STATE).exists()


# What cannot be trained


def nothing_whole(folder: Path) -> None:
    """Nothing under the folder could be taken for a model."""
    assert not [path for path in folder.rglob("*") if path.name in (RECORD, "config.json") or path.suffix == ".safetensors"]


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    """A base with one weight that is no number."""
    folder = tiny.causal(tmp_path / "sick", "llama")

    def spoil(state: dict[str, torch.Tensor]) -> None:
        state["model.layers.1.mlp.up_proj.weight"][3, 5] = math.nan

    tiny.edit_weights(folder, spoil)
    return folder


def test_a_base_with_a_weight_that_is_no_number_leaves_nothing(sick: Path, tmp_path: Path, pool: Pool) -> None:
    for _ in range(2):
        with pytest.raises(TrainingDiverged, match="not finite at step 1 of the fine-tune of sick") as caught:
            trainer(sick, tmp_path / "out", short(steps=3), save_every=0.0).train(pool, seed=0)
        assert caught.value.exit_code == 1 and "learning rate" in str(caught.value.fix)
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("steps", [3, 12])
def test_a_learning_rate_beyond_all_reason_diverges_and_leaves_nothing(base: Path, tmp_path: Path, pool: Pool, steps: int) -> None:
    made = short(steps=steps, batch_size=2, learning_rate=1e6, schedule="constant")
    with pytest.raises(TrainingDiverged):
        trainer(base, tmp_path / "out", made, save_every=0.0).train(pool, seed=0)
    nothing_whole(tmp_path / "out")


def test_a_state_with_a_loss_that_is_no_number_is_not_gone_on_from_to_a_checkpoint(
    base: Path, tmp_path: Path, pool: Pool, begun: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(begun, folder)
    path, mark = (folder / STATE / "checkpoint-2" / name for name in ("trainer_state.json", COMPLETE))
    state, told = json.loads(path.read_text()), json.loads(mark.read_text())
    state["log_history"][1]["loss"] = math.nan
    path.write_text(json.dumps(state))
    told["sizes"][path.name] = path.stat().st_size
    mark.write_text(json.dumps(told))
    with pytest.raises(TrainingDiverged, match="not finite at step 2"):
        trainer(base, tmp_path, short(**WHOLE)).train_into(folder, pool, seed=0)
    assert not folder.exists()


def test_weights_that_end_as_no_numbers_are_not_saved(base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = transformers.Trainer.train

    def last_step(self: Any, **given: Any) -> Any:
        found = real(self, **given)
        next(iter(self.model.parameters())).data[0, 0] = math.inf
        return found

    monkeypatch.setattr(transformers.Trainer, "train", last_step)
    with pytest.raises(TrainingDiverged, match="ended with weights that are not finite"):
        tuned(base, tmp_path / "out", pool)
    nothing_whole(tmp_path / "out")


@pytest.mark.parametrize(
    ("losses", "grown"),
    [
        # 12 steps: the last one is the last tenth. 8 steps: only what is worse than guessing.
        ([2.0] * 11 + [4.1], True),
        ([2.0] * 11 + [3.9], False),
        ([0.1] * 11 + [1.9], False),
        ([2.0] * 7 + [8.0], False),
        ([2.0] * 7 + [16.0], True),
        ([9.0] * 7 + [16.0], False),
        ([2.0] * 18 + [9.0, 1.0], True),
        ([2.0, 900.0] + [2.0] * 18, False),
        ([2.0], False),
        ([2.0, math.inf, 2.0], True),
    ],
)
def test_a_loss_that_has_grown_beyond_all_reason_has_diverged(losses: list[float], grown: bool) -> None:
    if grown:
        with pytest.raises(TrainingDiverged):
            check_losses(losses, None, "base")
    else:
        check_losses(losses, None, "base")


def larger_logits(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Every optimizer step multiplies the output weights alone: the loss then depends on no gradient and no rounding."""

    def step(self: torch.optim.SGD, closure: Any = None) -> None:
        # The embedding table has the same shape; the norm behind it takes the factor out again.
        vocabulary = max(len(weight) for group in self.param_groups for weight in group["params"])
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if len(weight) == vocabulary:
                        weight.mul_(factor)

    monkeypatch.setattr(torch.optim.SGD, "step", step)


def test_a_loss_that_grows_and_stays_finite_is_a_divergence_and_leaves_nothing(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger_logits(monkeypatch, 2.0)
    with pytest.raises(TrainingDiverged, match=r"The loss of the fine-tune of llama grew from 6\.\d+ to \d"):
        trainer(base, tmp_path / "out", short(steps=12, **SGD), save_every=0.0).train(pool, seed=0)
    nothing_whole(tmp_path / "out")


def test_a_loss_that_becomes_infinite_in_mid_training_is_a_divergence_and_leaves_nothing(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger_logits(monkeypatch, math.inf)
    with pytest.raises(TrainingDiverged, match="not finite at step 2 of the fine-tune of llama"):
        trainer(base, tmp_path / "out", short(steps=12, **SGD), save_every=0.0).train(pool, seed=0)
    nothing_whole(tmp_path / "out")


def rows_with(bad: int, good: int) -> list[Turns]:
    """So many rows whose prompt fills 64 tokens, and so many that are trained on."""
    too_long: list[Turns] = [[("user", f"{number} the sky is blue " * 12), ("assistant", "it is")] for number in range(bad)]
    return [*too_long, *([("user", f"{word} it"), ("assistant", "it is")] for word in dict.fromkeys(tiny.TEXT) if len(word) > 1)][
        : bad + good
    ]


def test_more_than_a_twentieth_of_skipped_rows_is_too_many_and_they_are_named(base: Path, tmp_path: Path) -> None:
    too_long = write_pool(tmp_path / "six", rows_with(3, 47))
    assert len(too_long) == 50
    with pytest.raises(TrainingError, match=r"3 of 50 rows have no loss token \(3 no_loss_token") as caught:
        tuned(base, tmp_path / "out", too_long, max_length=64)
    assert all(f"pool.jsonl:{line}" in str(caught.value) for line in (1, 2, 3)) and not (tmp_path / "out").exists()
    fewer = write_pool(tmp_path / "four", rows_with(2, 48))
    found = tuned(base, tmp_path / "out", fewer, max_length=64, epochs=1)
    assert (found.record["audit"]["trained_rows"], found.record["rows_seen"]) == (48, 48)
    assert trainer(base, tmp_path / "out", short(max_length=64), max_skipped_fraction=0.06).train(too_long, seed=0).record["steps"] == 1


def test_rows_that_are_all_skipped_are_too_many_for_any_limit(base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 of 3 rows"):
        trainer(base, tmp_path / "out", short(max_length=64), max_skipped_fraction=1.0).train(write_pool(tmp_path, rows_with(3, 0)), seed=0)


def test_a_folder_that_cannot_be_made_is_the_machine_s_fault(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=r"Cannot make .*: Not a directory") as caught:
        trainer(base, tmp_path / "file").train(pool, seed=0)
    assert caught.value.exit_code == 4

    def refuse(self: Path, *given: Any, **named: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentFault, match="Permission denied"):
        tuned(base, tmp_path / "out", pool)


def limited(limit: int, work: Callable[[], Any]) -> Any:
    """Do the work while no file can grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        return work()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("merge", [True, False])
def test_a_disk_that_is_full_is_told_and_the_fine_tune_goes_on_when_it_is_not(
    base: Path, tmp_path: Path, pool: Pool, one: Checkpoint, merge: bool
) -> None:
    made = trainer(base, tmp_path, short() if merge else short(method="lora"), merge=merge)
    with pytest.raises(EnvironmentFault, match=r"The fine-tune cannot write to .*File too large"):
        limited(100_000, lambda: made.train(pool, seed=0))
    assert not list(tmp_path.glob(f"*/{RECORD}"))
    found = made.train(pool, seed=0)
    assert (found.folder / RECORD).is_file() and (found.digest == one.digest or not merge)


def test_a_disk_that_is_full_amid_a_state_is_told_and_the_state_not_gone_on_from(
    base: Path, tmp_path: Path, pool: Pool, whole: Checkpoint
) -> None:
    made = trainer(base, tmp_path, short(**WHOLE), save_every=0.0)
    size = (base / WEIGHTS).stat().st_size
    with pytest.raises(EnvironmentFault, match="The fine-tune cannot write to"):
        # Room for the weights, not for the optimizer's two moments of each.
        limited(size + 10_000, lambda: made.train(pool, seed=0))
    found = made.train(pool, seed=0)
    assert found.digest == whole.digest and found.record["run"]["resumed"] is False


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_no_memory_is_the_machine_s_fault_and_says_what_to_make_smaller(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(self: Any, **given: Any) -> Any:
        raise error

    monkeypatch.setattr(transformers.Trainer, "train", full)
    with pytest.raises(EnvironmentFault, match=r"ran out of memory with 6 rows of up to \d+ tokens") as caught:
        tuned(base, tmp_path, pool)
    assert "micro_batch_size" in str(caught.value.fix)


def test_an_error_of_another_kind_stays_what_it_is(base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, **given: Any) -> Any:
        raise RuntimeError("shape '[512, 21]' is invalid")

    monkeypatch.setattr(transformers.Trainer, "train", broken)
    with pytest.raises(RuntimeError, match="is invalid") as caught:
        tuned(base, tmp_path, pool)
    assert type(caught.value) is RuntimeError


def test_pickled_weights_and_code_of_a_repository_are_refused(base: Path, tmp_path: Path, pool: Pool) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(base, pickled)
    (pickled / WEIGHTS).rename(pickled / "pytorch_model.bin")
    with pytest.raises(UntrustedModel, match=r"pickled has its weights only as pytorch_model\.bin"):
        tuned(pickled, tmp_path / "out", pool)
    coded = tmp_path / "coded"
    shutil.copytree(base, coded)
    tiny.edit(coded, auto_map={"AutoModelForCausalLM": "modeling_coded.Coded"})
    (coded / "modeling_coded.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(UntrustedModel, match="coded wants to run code"):
        tuned(coded, tmp_path / "out", pool)
    assert not (tmp_path / "canary").exists() and not (tmp_path / "out").exists()


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path, pool: Pool) -> None:
    small = tiny.causal(tmp_path / "small", "llama", vocab_size=200)
    with pytest.raises(ModelRefused, match=r"The tokenizer of small has \d+ tokens, its embedding 200"):
        tuned(small, tmp_path / "out", pool)


def test_a_base_without_all_its_weights_or_with_torn_ones_is_refused(base: Path, tmp_path: Path, pool: Pool) -> None:
    part = tmp_path / "part"
    shutil.copytree(base, part)
    tiny.edit_weights(part, lambda state: state.pop("model.norm.weight"))
    with pytest.raises(ModelRefused, match=r"part has no weights for model\.norm\.weight"):
        tuned(part, tmp_path / "out", pool)
    torn = tmp_path / "torn"
    shutil.copytree(base, torn)
    os.truncate(torn / WEIGHTS, 10_000)
    with pytest.raises(ModelRefused, match="torn cannot be loaded as a causal language model"):
        tuned(torn, tmp_path / "out", pool)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    tiny.edit(other, model_type="vit")
    with pytest.raises(ModelRefused, match="other cannot be loaded as a causal language model"):
        tuned(other, tmp_path / "out", pool)


def test_an_extra_that_is_missing_is_named_with_its_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "peft":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(adapter, "version", version)
    with pytest.raises(MissingExtra, match=r"The fine-tune needs 'peft', .*pip install 'instructsel\[train\]'"):
        assert trainer(base, tmp_path).fingerprint


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_is_refused(base: Path, tmp_path: Path, pool: Pool, seed: int) -> None:
    with pytest.raises(UsageError, match="A seed is a whole number from 0 to 4294967295"):
        tuned(base, tmp_path, pool, seed=seed)


def test_an_optimizer_there_is_none_of_is_refused(base: Path, tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(UsageError, match="no optimizer 'adamx'"):
        tuned(base, tmp_path, pool, optimizer="adamx")


def test_the_learning_rate_follows_the_schedule_and_its_warm_up(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    real = transformers.Trainer.log

    def log(self: Any, logs: dict[str, float], *given: Any) -> None:
        rates.extend([logs["learning_rate"]] if "learning_rate" in logs else [])
        real(self, logs, *given)

    monkeypatch.setattr(transformers.Trainer, "log", log)
    found = {}
    for schedule in ("constant", "linear", "cosine"):
        rates.clear()
        tuned(base, tmp_path, pool, steps=10, batch_size=1, schedule=schedule, warmup=0.15, learning_rate=1e-3)
        found[schedule] = np.array(rates) / 1e-3
    # 0.15 of 10 steps, rounded up: 2, of which the first is at 0.
    assert all(rates[:3] == pytest.approx([0, 0.5, 1]) for rates in found.values())
    assert found["constant"][2:] == pytest.approx([1.0] * 8)
    assert found["linear"][2:] == pytest.approx([(8 - step) / 8 for step in range(8)])
    assert found["cosine"][2:] == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
