"""Recipes: what the presets carry, what a change does to what is assumed, and settings that cannot be."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any, Final

import pytest

from instructsel.adapters import sft
from instructsel.adapters.recipes import BUDGETS, PRESETS, Recipe, recipe
from instructsel.errors import UsageError


def settings(name: str, *wanted: str) -> tuple[Any, ...]:
    return tuple(getattr(recipe(name), each) for each in wanted)


def test_paper_v1_is_lora_on_a_base_in_8_bits_for_3_epochs_of_8_rows_a_step() -> None:
    assert settings("paper-v1", "method", "bits", "epochs", "batch_size") == ("lora", 8, 3.0, 8)
    given = {"method", "bits", "epochs", "batch_size"}
    assert not given & set(recipe("paper-v1").assumed)
    assert "2307.06290v1" in recipe("paper-v1").source


def test_what_the_paper_does_not_give_is_the_qlora_script_s_and_said_to_be_assumed() -> None:
    expected = {
        "learning_rate": 2e-4,
        "schedule": "constant",
        "warmup": 0.03,
        "weight_decay": 0.0,
        "max_grad_norm": 0.3,
        "optimizer": "paged_adamw_32bit",
        "max_length": 1024,
        "loss": "completion",
        "lora_r": 64,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
    }
    found = recipe("paper-v1")
    assert {name: getattr(found, name) for name in expected} == expected
    assert set(found.assumed) == {*expected, "chat template"}


def test_paper_v2_trains_every_weight_for_3_epochs_and_the_rest_is_assumed() -> None:
    assert settings("paper-v2", "method", "bits", "epochs", "batch_size", "learning_rate", "schedule", "max_length") == (
        *("full", None, 3.0, 128),
        *(2e-5, "cosine", 1024),
    )
    found = recipe("paper-v2")
    assert {"batch_size", "learning_rate", "schedule", "max_length", "loss", "chat template"} <= set(found.assumed)
    assert not {"method", "epochs", "bits"} & set(found.assumed)


def test_tulu_7b_is_as_its_appendix_says() -> None:
    assert settings(
        "tulu-7b", "method", "epochs", "learning_rate", "schedule", "warmup", "weight_decay", "max_length", "batch_size", "loss"
    ) == (
        *("full", 2.0, 2e-5, "linear", 0.03, 0.0, 2048),
        *(128, "assistant"),
    )
    assert recipe("tulu-7b").assumed == ("batch_size", "max_grad_norm", "optimizer")


FULL: Final = {
    **dict.fromkeys(("tulu-7b", "tulu-13b"), (2e-5, 2048)),
    **dict.fromkeys(("tulu-30b", "tulu-65b"), (1e-5, 1024)),
}
"""Sizes → learning rate at its height and tokens of a row."""


@pytest.mark.parametrize("name", FULL)
def test_the_sizes_of_tulu_are_as_its_table_says(name: str) -> None:
    learning_rate, max_length = FULL[name]
    assert {key: value for key, value in recipe(name).as_dict().items() if key not in ("source", "assumed")} == {
        "name": name,
        "method": "full",
        "bits": None,
        "epochs": 2.0,
        "steps": None,
        "tokens": None,
        "learning_rate": learning_rate,
        "schedule": "linear",
        "warmup": 0.03,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optimizer": "adamw_torch_fused",
        "batch_size": 128,
        "micro_batch_size": None,
        "max_length": max_length,
        "loss": "assistant",
        "packing": False,
        "group_by_length": False,
        "lora_r": 64,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "lora_targets": [],
        "gradient_checkpointing": True,
        "template_date": "2024-07-26",
    }
    # Epochs, rate, schedule, warm-up, weight decay, length and full tuning are given.
    assert recipe(name).assumed == ("batch_size", "max_grad_norm", "optimizer")
    assert recipe(name, loss="tulu-1").loss == "tulu-1"


LORA_SETTINGS: Final = ("lora_r", "lora_alpha", "lora_dropout", "learning_rate", "epochs", "max_length", "bits", "batch_size")
LORA_PRESETS: Final = {
    "tulu-lora-2023": (256, 256, 0.05, 2e-5, 2.0, 2048, None, 128),
    "tulu-lora-2024": (64, 16, 0.1, 1e-4, 5.0, 4096, None, 128),
    "tulu-qlora-2024": (64, 16, 0.1, 1e-4, 5.0, 4096, 4, 128),
    "tulu-lora-advice": (256, 256, 0.1, 2e-4, 5.0, 4096, None, 128),
}


@pytest.mark.parametrize("name", LORA_PRESETS)
def test_the_examples_with_adapters_are_as_open_instruct_had_them(name: str) -> None:
    made = recipe(name)
    assert settings(name, *LORA_SETTINGS) == LORA_PRESETS[name] and made.method == "lora"
    assert made.lora_targets == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert made.optimizer == ("paged_adamw_32bit" if made.bits == 4 else "adamw_torch_fused")
    given = {"lora_r", "learning_rate"} | (set() if name == "tulu-lora-advice" else {"lora_alpha", "lora_dropout", "epochs"})
    assert not given & set(made.assumed) and {"max_grad_norm", "warmup", "lora_targets"} <= set(made.assumed)
    assert ("max_length" in made.assumed) == (name in ("tulu-lora-2023", "tulu-lora-advice"))


def test_a_base_in_4_bits_is_nf4_with_double_quantization() -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    pytest.importorskip("bitsandbytes")
    config = sft._quantization(transformers, torch, 4, "cuda")
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype) == ("nf4", True, torch.bfloat16)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_what_is_assumed_is_a_setting_or_the_chat_template_and_a_preset_s_name_is_its_own(name: str) -> None:
    found = recipe(name)
    assert found.name == name and set(found.assumed) <= {each.name for each in fields(Recipe)} | {"chat template"}
    assert found.source


def test_a_setting_that_is_changed_is_no_longer_assumed() -> None:
    found = recipe("paper-v1", learning_rate=1e-4, lora_r=16)
    assert (found.learning_rate, found.lora_r) == (1e-4, 16)
    assert set(recipe("paper-v1").assumed) - set(found.assumed) == {"learning_rate", "lora_r"}
    # Said again as it was, it is still nothing the source gives.
    assert recipe("paper-v1", learning_rate=2e-4) == recipe("paper-v1")


@pytest.mark.parametrize(("budget", "value"), [("epochs", 1.5), ("steps", 7), ("tokens", 1000)])
def test_epochs_steps_and_tokens_replace_one_another(budget: str, value: float) -> None:
    found = recipe("tulu-7b", **{budget: value})
    assert {name: getattr(found, name) for name in BUDGETS if getattr(found, name) is not None} == {budget: value}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_recipe_comes_back_from_plain_data(name: str) -> None:
    for found in (recipe(name), recipe(name, steps=3, micro_batch_size=1, packing=True)):
        assert Recipe.of(json.loads(json.dumps(found.as_dict()))) == found
        assert set(found.as_dict()) == {each.name for each in fields(Recipe)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": None}, "so many epochs, steps or tokens, not none of them"),
        ({"steps": 3, "tokens": 100}, "not steps and tokens"),
        ({"method": "qlora"}, "no method 'qlora'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"loss": "prompt"}, "no loss 'prompt'"),
        ({"bits": 16, "method": "lora"}, "in 4 or 8 bits, not 16"),
        ({"bits": 8}, "A base in 8 bits cannot be trained as a whole"),
        ({"bits": 4}, "A base in 4 bits cannot be trained as a whole"),
        ({"epochs": 0.0}, "epochs of a fine-tune is above 0"),
        ({"steps": -1}, "steps of a fine-tune is above 0"),
        ({"tokens": 0}, "tokens of a fine-tune is above 0"),
        ({"learning_rate": 0.0}, "learning_rate of a fine-tune is above 0"),
        ({"batch_size": 0}, "batch_size of a fine-tune is above 0"),
        ({"micro_batch_size": 0}, "micro_batch_size of a fine-tune is above 0"),
        ({"batch_size": 8, "micro_batch_size": 3}, "A batch of 8 rows cannot be computed 3 at a time"),
        ({"max_length": 0}, "max_length of a fine-tune is above 0"),
        ({"method": "lora", "lora_r": 0}, "lora_r of a fine-tune is above 0"),
        ({"method": "lora", "lora_alpha": -1}, "lora_alpha of a fine-tune is above 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm of a fine-tune is above 0"),
        ({"warmup": 1.0}, r"warmup of a fine-tune lies in \[0, 1\)"),
        ({"warmup": -0.1}, "warmup of a fine-tune lies in"),
        ({"method": "lora", "lora_dropout": 1.0}, "lora_dropout of a fine-tune lies in"),
        ({"weight_decay": -0.1}, "weight_decay of a fine-tune is not below 0"),
        # Not what the setting is of, as a file or a notebook may give it.
        ({"learning_rate": math.nan}, "learning_rate of a recipe is a number, not nan"),
        ({"learning_rate": math.inf}, "learning_rate of a recipe is a number, not inf"),
        ({"epochs": math.inf}, "epochs of a recipe is a number, not inf"),
        ({"weight_decay": math.nan}, "weight_decay of a recipe is a number, not nan"),
        ({"learning_rate": "2e-5"}, "learning_rate of a recipe is a number, not '2e-5'"),
        ({"warmup": None}, "warmup of a recipe is a number, not None"),
        ({"steps": 2.5}, "steps of a recipe is a whole number, not 2.5"),
        ({"batch_size": 8.0}, "batch_size of a recipe is a whole number, not 8.0"),
        ({"batch_size": True}, "batch_size of a recipe is a whole number, not True"),
        ({"batch_size": None}, "batch_size of a recipe is a whole number, not None"),
        ({"packing": "false"}, "packing of a recipe is true or false, not 'false'"),
        ({"optimizer": None}, "optimizer of a recipe is a text, not None"),
        ({"weight_decy": 0.1}, "Did you mean 'weight_decay'"),
        ({"assumed": ()}, "no setting of a recipe 'assumed'"),
        ({"source": "ours"}, "no setting of a recipe 'source'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipe("tiny", **changes)


def test_a_preset_there_is_none_of_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'tulu-7b'"):
        recipe("tulu7b", epochs=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 1.0}, "A recipe has a name"),
        ({"name": "mine", "epoch": 1.0}, "Did you mean 'epochs'"),
        ({"name": "mine", "batch_size": "16"}, "batch_size of a recipe is a whole number, not '16'"),
        ({"name": 3}, "name of a recipe is a text, not 3"),
        ({"name": "mine", "assumed": "batch_size"}, "assumed of a recipe is a list of texts, not 'batch_size'"),
        ({"name": "mine", "assumed": [1]}, "assumed of a recipe is a list of texts"),
        ({"name": "mine", "bits": 8}, "cannot be trained as a whole"),
    ],
)
def test_plain_data_that_is_no_recipe_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe.of(given)


def test_a_renamed_setting_keeps_the_fingerprint_of_finished_folders_and_is_read_by_its_former_name() -> None:
    present = recipe("paper-v2", micro_batch_size=4)
    assert present.fingerprint["batch"] == 128 and present.fingerprint["micro"] == 4
    assert "batch" in present.fingerprint["assumed"] and not {"batch_size", "micro_batch_size"} & set(present.fingerprint)
    assert Recipe.of(present.fingerprint) == present == Recipe.of(present.as_dict())


@pytest.mark.parametrize("changes", [{"lora_r": 8}, {"lora_alpha": 8}, {"lora_dropout": 0.1}, {"lora_targets": ["q_proj"]}])
def test_a_setting_of_adapters_is_refused_where_every_weight_is_trained(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is a setting of LoRA"):
        recipe("tiny", **changes)
    with pytest.raises(UsageError, match="is a setting of LoRA"):
        recipe("paper-v1", method="full", bits=None, **changes)
    assert recipe("tiny", method="lora", **changes).method == "lora"


def test_named_layers_are_part_of_a_fingerprint_and_those_of_before_are_not() -> None:
    before = recipe("paper-v1")
    assert before.lora_targets == () and "lora_targets" not in before.fingerprint
    named = recipe("paper-v1", lora_targets=["q_proj", "v_proj"])
    assert named.fingerprint["lora_targets"] == ["q_proj", "v_proj"]
    assert Recipe.of(named.as_dict()) == Recipe.of(named.fingerprint) == named
    assert recipe("paper-v1", lora_targets=["all-linear"]) == before
    for targets in ([""], "q_proj", [1]):
        with pytest.raises(UsageError, match="lora_targets"):
            recipe("paper-v1", lora_targets=targets)
