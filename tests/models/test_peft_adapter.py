"""Adapter folders where a whole model is read: merged into their base, or refused before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from instructsel import Pool
from instructsel.adapters.checkpoint_folder import RECORD
from instructsel.adapters.trl import TrlTrainer
from instructsel.errors import EnvironmentFault, InstructselError, ModelRefused, ModelUnavailable, UntrustedModel
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.models import peft_adapter
from instructsel.models.load import locate
from tests import tiny
from tests.adapters.training_job import short, write_pool

CONFIG, WEIGHTS = peft_adapter.CONFIG, peft_adapter.WEIGHTS
IDS = torch.arange(20, 44).view(2, 12)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.causal(tmp_path / "base", "llama")


def made(base: Path, folder: Path, config: Any = None, *, seed: int = 1) -> Path:
    """An adapter that changes the base's answers, saved as peft saves it."""
    torch.manual_seed(seed)
    network = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    config = config or peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(network, config).save_pretrained(str(folder))
    return folder


def edit(adapter: Path, **changes: Any) -> Path:
    """The adapter with settings changed."""
    settings = {**json.loads((adapter / CONFIG).read_text()), **changes}
    (adapter / CONFIG).write_text(json.dumps(settings))
    return adapter


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    network = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    if adapter is not None:
        network = peft.PeftModel.from_pretrained(network, str(adapter))
    with torch.no_grad():
        answered: torch.Tensor = network.eval()(input_ids=IDS).logits
    return answered


CONFIGS: list[Any] = [
    peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
    peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"], use_rslora=True, use_dora=True, init_lora_weights=False),
    peft.LoHaConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_weights=False),
    peft.IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["lora", "dora", "loha", "ia3"])
def test_a_merged_adapter_answers_as_the_adapter_on_its_base(base: Path, tmp_path: Path, config: Any) -> None:
    adapter = made(base, tmp_path / "tuned", config)
    source = locate(str(adapter), needed_by="a test")
    assert (source.name, source.adapter_of) == ("tuned", "base")
    torch.testing.assert_close(logits(source.folder), logits(base, adapter), atol=2e-5, rtol=0)
    assert float((logits(source.folder) - logits(base)).abs().max()) > 0.1
    # It is the same model by whatever path it is reached.
    assert locate(str(source.folder), needed_by="a test") == source


def test_the_digest_is_of_base_and_adapter(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "tuned")
    first = locate(str(adapter), needed_by="a test").digest
    shutil.copytree(adapter, tmp_path / "again")
    assert locate(str(tmp_path / "again"), needed_by="a test").digest == first
    other = tiny.causal(tmp_path / "other", "llama", seed=5)
    moved = edit(shutil.copytree(adapter, tmp_path / "moved"), base_model_name_or_path=str(other))
    assert locate(str(moved), needed_by="a test").digest != first
    scaled = edit(shutil.copytree(adapter, tmp_path / "scaled"), lora_alpha=1)
    assert locate(str(scaled), needed_by="a test").digest != first
    assert locate(str(made(base, tmp_path / "seed", seed=2)), needed_by="a test").digest != first


def test_an_adapter_is_merged_once_and_again_where_the_merged_model_is_damaged(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = made(base, tmp_path / "tuned")
    merges: list[Path] = []
    merge = peft_adapter._merge
    monkeypatch.setattr(peft_adapter, "_merge", lambda *arguments: (merges.append(arguments[3]), merge(*arguments)))
    source = locate(str(adapter), needed_by="a test")
    assert locate(str(adapter), needed_by="a test") == source and len(merges) == 1
    (source.folder / "model.safetensors").write_bytes(b"torn")
    assert locate(str(adapter), needed_by="a test") == source and len(merges) == 2
    assert float((logits(source.folder) - logits(base)).abs().max()) > 0.1
    assert [path.name for path in source.folder.parent.iterdir()] == [source.folder.name]


def test_the_adapter_s_own_tokenizer_is_kept(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "tuned")
    of_base = locate(str(adapter), needed_by="a test").folder
    assert (of_base / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, adapter / name)
    (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}")
    own = locate(str(adapter), needed_by="a test").folder
    assert own != of_base and (own / "chat_template.jinja").read_text() == "{{ messages[0].content }}"


def test_a_base_in_bf16_stays_in_bf16(tmp_path: Path) -> None:
    base = tiny.causal(tmp_path / "base", "llama")
    network = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.bfloat16)
    network.save_pretrained(str(base))
    source = locate(str(made(base, tmp_path / "tuned")), needed_by="a test")
    assert {value.dtype for value in load_file(str(source.folder / "model.safetensors")).values()} == {torch.bfloat16}


def wrong_shape(adapter: Path, base: Path) -> None:
    state = load_file(str(adapter / WEIGHTS))
    name = next(name for name in state if "lora_B" in name)
    save_file({**state, name: torch.zeros(3, 4)}, str(adapter / WEIGHTS))


def lacking(adapter: Path, base: Path) -> None:
    state = load_file(str(adapter / WEIGHTS))
    save_file(dict(list(state.items())[1:]), str(adapter / WEIGHTS))


def other_layers(adapter: Path, base: Path) -> None:
    state = load_file(str(adapter / WEIGHTS))
    extra = {name.replace("layers.0", "layers.7"): value.clone() for name, value in state.items() if "layers.0" in name}
    save_file({**state, **extra}, str(adapter / WEIGHTS))


def another_adapter(adapter: Path, base: Path) -> None:
    edit(adapter, base_model_name_or_path=str(made(base, adapter.parent / "first")))


def pickled(adapter: Path, base: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")


def quantized(adapter: Path, base: Path) -> None:
    tiny.edit(base, quantization_config={"load_in_8bit": True})


def both(adapter: Path, base: Path) -> None:
    shutil.copyfile(base / "model.safetensors", adapter / "model.safetensors")


DAMAGE: list[tuple[Any, type[InstructselError], str]] = [
    (lambda adapter, base: (adapter / CONFIG).write_text("{"), ModelUnavailable, "adapter_config.json cannot be read"),
    (lambda adapter, base: (adapter / CONFIG).write_text("[]"), ModelUnavailable, "adapter_config.json is not a JSON object"),
    (lambda adapter, base: (adapter / CONFIG).write_text("{}"), ModelRefused, "of the kind None"),
    (lambda adapter, base: edit(adapter, peft_type="PREFIX_TUNING"), ModelRefused, "of the kind 'PREFIX_TUNING'"),
    (lambda adapter, base: edit(adapter, task_type="SEQ_CLS"), ModelRefused, "for the task 'SEQ_CLS'"),
    (lambda adapter, base: edit(adapter, base_model_name_or_path=None), ModelUnavailable, "does not name its base"),
    (
        lambda adapter, base: edit(adapter, base_model_name_or_path="/no/where"),
        ModelUnavailable,
        "an adapter on /no/where, which is not here",
    ),
    (
        lambda adapter, base: edit(adapter, base_model_name_or_path="no/where"),
        ModelUnavailable,
        "an adapter on no/where, which is not here",
    ),
    (lambda adapter, base: edit(adapter, megatron_config={"a": 1}), UntrustedModel, "megatron_config"),
    (lambda adapter, base: edit(adapter, target_modules=["no_such"]), ModelRefused, "does not fit its base base"),
    (lambda adapter, base: (adapter / WEIGHTS).write_bytes(b"torn"), ModelRefused, "does not fit its base base"),
    (lambda adapter, base: tiny.edit(base, auto_map={"AutoModel": "a.B"}), UntrustedModel, "auto_map"),
    (wrong_shape, ModelRefused, "does not fit its base base: size mismatch for base_model"),
    (lacking, ModelRefused, "has no weights for base_model"),
    (other_layers, ModelRefused, "which the base does not have"),
    (another_adapter, ModelRefused, "which is an adapter itself"),
    (pickled, UntrustedModel, "only as adapter_model.bin"),
    (quantized, ModelRefused, "whose weights are quantized"),
    (both, ModelRefused, "holds a whole model and adapter_config.json"),
]


@pytest.mark.parametrize(("damage", "kind", "message"), DAMAGE)
def test_an_adapter_that_cannot_be_merged_is_refused_with_its_reason(
    base: Path, tmp_path: Path, cache: Path, damage: Any, kind: type[InstructselError], message: str
) -> None:
    adapter = made(base, tmp_path / "tuned")
    damage(adapter, base)
    trainer = TrlTrainer(str(adapter), short(), tmp_path / "runs", device="cpu")
    with pytest.raises(kind) as caught:
        trainer.train(write_pool(tmp_path), seed=0)
    assert message in caught.value.message and caught.value.fix
    with pytest.raises(kind):
        checkpoint_of(str(adapter))
    # Nothing was begun, and nothing is left.
    assert not (tmp_path / "runs").exists() and not [*cache.glob("**/*.safetensors")]


def test_a_full_disk_is_the_machine_s_fault(base: Path, tmp_path: Path, cache: Path) -> None:
    adapter = made(base, tmp_path / "tuned")
    cache.write_text("no folder")
    with pytest.raises(EnvironmentFault, match="cannot be merged into"):
        locate(str(adapter), needed_by="a test")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return write_pool(tmp_path)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_base_that_is_an_adapter_is_trained_as_the_whole_model_it_is(base: Path, tmp_path: Path, pool: Pool, method: str) -> None:
    adapter = made(base, tmp_path / "tuned")
    settings = {"device": "cpu", "precision": "fp32"}
    trainer = TrlTrainer(str(adapter), short(method=method), tmp_path / "runs", **settings)
    assert trainer.notices == ["tuned is an adapter; it is trained on merged into its base base."]
    checkpoint = trainer.train(pool, seed=0)
    # The same weights, merged by hand.
    whole = tmp_path / "whole"
    network = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    peft.PeftModel.from_pretrained(network, str(adapter)).merge_and_unload().save_pretrained(str(whole))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, whole / name)
    expected = TrlTrainer(str(whole), short(method=method), tmp_path / "expected", **settings).train(pool, seed=0)
    torch.testing.assert_close(logits(checkpoint.folder), logits(expected.folder), atol=1e-4, rtol=0)
    assert checkpoint.record["trainer"]["base"]["name"] == "tuned"
    assert trainer.train(pool, seed=0).digest == checkpoint.digest


def test_a_fine_tune_that_was_not_merged_is_graded_as_one_that_was(base: Path, tmp_path: Path, pool: Pool) -> None:
    checkpoints = {}
    for merge in (True, False):
        trainer = TrlTrainer(str(base), short(method="lora", lora_r=4), tmp_path / str(merge), device="cpu", precision="fp32", merge=merge)
        checkpoints[merge] = trainer.train(pool, seed=0)
    grader = HeldOutLoss(pool, device="cpu", precision="fp32")
    expected, graded = grader.grade(checkpoints[True]), grader.grade(checkpoints[False])
    assert graded.values.tolist() == pytest.approx(expected.values.tolist(), abs=1e-5)
    # By the folder alone, and by the adapter's, it is the same model.
    for folder in (checkpoints[False].folder, checkpoints[False].folder / "adapter", checkpoints[True].folder / "adapter"):
        again = checkpoint_of(str(folder))
        assert again.digest == checkpoints[False].digest != checkpoints[True].digest
        assert grader.grade(again).values.tolist() == graded.values.tolist()
    assert checkpoint_of(str(checkpoints[False].folder)).record["adapter_of"] == "base"


def test_an_unmerged_fine_tune_of_another_base_has_another_digest_and_one_of_before_is_taken(
    base: Path, tmp_path: Path, pool: Pool
) -> None:
    trainer = TrlTrainer(str(base), short(method="lora", lora_r=4), tmp_path / "runs", device="cpu", merge=False)
    checkpoint = trainer.train(pool, seed=0)
    path = checkpoint.folder / RECORD
    # Former records have the digest of the adapter's weights alone.
    from instructsel.adapters.checkpoint_folder import weights_digest

    former = weights_digest(checkpoint.folder / "adapter")
    assert former != checkpoint.digest
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": former}))
    assert trainer.train(pool, seed=0).digest == checkpoint.digest
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "0" * 64}))
    assert trainer.train(pool, seed=0).record["run"]["resumed"] is False
