"""What is refused before any work: layers that the base does not have, optimizers, several processes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from instructsel import Pool
from instructsel.adapters.trl import TrlTrainer
from instructsel.commands._recipe import RecipeChanges
from instructsel.errors import UsageError
from tests import tiny
from tests.adapters.training_job import short, write_pool


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


def trainer(base: Path, folder: Path, **changes: Any) -> TrlTrainer:
    return TrlTrainer(str(base), short(**changes), folder / "runs", device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("kind", "targets"), [("llama", ("q_proj", "down_proj")), ("gpt2", ("c_attn",)), ("llama", ("layers.0.self_attn.q_proj",))]
)
def test_adapters_are_of_the_named_layers_alone(tmp_path: Path, pool: Pool, kind: str, targets: tuple[str, ...]) -> None:
    made = trainer(tiny.causal(tmp_path / kind, kind), tmp_path, method="lora", lora_r=2, lora_alpha=3, lora_targets=targets)
    folder = made.train(pool, seed=0).folder
    names = {name.split(".lora_")[0] for name in load_file(str(folder / "adapter" / "adapter_model.safetensors"))}
    assert all(any(name.endswith(target) for target in targets) for name in names) and len(names) >= len(targets)


@pytest.mark.parametrize("target", ["query", "lm_head", "embed_tokens", "proj"])
def test_layers_that_the_base_does_not_have_are_refused_with_those_it_has(tmp_path: Path, pool: Pool, target: str) -> None:
    made = trainer(tiny.causal(tmp_path / "llama", "llama"), tmp_path, method="lora", lora_targets=("q_proj", target))
    with pytest.raises(UsageError, match=f"llama has no linear layer '{target}'") as caught:
        made.train(pool, seed=0)
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in str(caught.value.fix)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("targets", [(), ("x_proj", "out_proj")])
def test_layers_that_peft_refuses_are_refused_before_any_work_with_those_it_takes(
    tmp_path: Path, pool: Pool, targets: tuple[str, ...]
) -> None:
    base = tiny.causal(tmp_path / "mamba", "mamba")
    made = trainer(base, tmp_path, method="lora", lora_targets=targets)
    with pytest.raises(UsageError, match=r"peft puts no adapters on these layers of mamba: .*'out_proj'") as caught:
        made.train(pool, seed=0)
    assert caught.value.fix == "Name others with --lora-targets: dt_proj, in_proj, x_proj." and not (tmp_path / "runs").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(tiny.causal(tmp_path / "gpt2", "gpt2"), tmp_path, method="lora").check()


def test_an_optimizer_there_is_none_of_is_refused_before_rows_are_read(tmp_path: Path) -> None:
    made = trainer(tiny.causal(tmp_path / "llama", "llama"), tmp_path, optimizer="adamx")
    with pytest.raises(UsageError, match="no optimizer 'adamx'"):
        made.check()


def test_one_of_several_processes_is_refused_and_says_what_to_do(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(tiny.causal(tmp_path / "llama", "llama"), tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="a launcher started 2") as caught:
        made.train(pool, seed=0)
    assert "without accelerate launch" in str(caught.value.fix) and not (tmp_path / "runs").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    made.check()


def test_weights_between_0_and_1_are_refused_with_their_count(tmp_path: Path) -> None:
    asked, said = {"role": "user", "content": "How high is the tide?"}, {"role": "assistant", "content": "5.1 metres."}
    weights: list[float] = [0.5, 0, 1, 2, True]
    rows = Pool.of([{"messages": [asked, {**said, "weight": weight}, asked, {**said, "content": "6 metres."}]} for weight in weights])
    made = trainer(tiny.causal(tmp_path / "llama", "llama"), tmp_path)
    for refused in (made.audit, lambda pool: made.train(pool, seed=0)):
        with pytest.raises(UsageError, match="2 examples have weights other than 0 and 1, which TRL cannot carry") as caught:
            refused(rows)
        assert "0 (masked) or 1 (trained on)" in str(caught.value.fix) and not (tmp_path / "runs").exists()
    assert made.audit(rows.at([i for i, example in enumerate(rows.examples()) if example.messages[1].weight in (0, 1)])).trained_rows == 3


def test_flags_become_settings_of_the_recipe() -> None:
    flags = RecipeChanges(lora_r=4, lora_alpha=8, lora_dropout=0.1, lora_targets="q_proj, v_proj", max_grad_norm=0.5, optimizer="adafactor")
    assert flags.as_dict() == {
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
        "max_grad_norm": 0.5,
        "optimizer": "adafactor",
        "lora_targets": ["q_proj", "v_proj"],
    }
    assert RecipeChanges(lora_targets="all-linear").as_dict() == {"lora_targets": []}
