"""A model is what its digest says: configurations that lead elsewhere, links, indexes, files that change."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from instructsel.errors import InstructselError, ModelRefused, UntrustedModel
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import load_tokenizer, locate, refuse_code
from instructsel.models.network import load_network
from instructsel.neighbors.encoder import Encoder
from tests import tiny
from tests.models.test_hostile_folders import encoder_folder


class Canary:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def load(folder: Path) -> Any:
    source = locate(str(folder), needed_by="the test")
    return load_network(source, "CausalLM", kind="a causal language model", needed_by="the test", random="answers")


def shard(folder: Path, name: str = "model-00001-of-00001.safetensors") -> Path:
    """The weights as one shard with an index."""
    state = load_file(str(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / name)
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.causal(tmp_path / "genuine")


@pytest.mark.parametrize(
    "place", ["../other/model.safetensors", "/other/model.safetensors", "w/x.safetensors", "weights.bin", "a\\b.safetensors"]
)
def test_an_index_names_safetensors_files_of_its_own_folder_alone(folder: Path, tmp_path: Path, place: str) -> None:
    tiny.causal(tmp_path / "other", seed=1)
    shard(folder)
    state = load_file(str(next(folder.glob("*.safetensors"))))
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, place)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UntrustedModel, match=r"names .* which is no \.safetensors file of this folder"):
        checkpoint_of(str(folder))
    with pytest.raises(UntrustedModel):
        LikelihoodModel.load(str(folder), probe=False)


def test_shards_that_the_index_does_not_name_are_not_in_the_digest_and_those_that_it_names_are(folder: Path, tmp_path: Path) -> None:
    whole = locate(str(folder), needed_by="the test").digest
    shard(folder)
    assert locate(str(folder), needed_by="the test").digest == whole
    other = tiny.causal(tmp_path / "other", seed=1)
    shutil.copy(other / "model.safetensors", folder / "spare.safetensors")
    assert locate(str(folder), needed_by="the test").digest == whole
    names = load_file(str(folder / "spare.safetensors"))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, "spare.safetensors")})
    )
    source = locate(str(folder), needed_by="the test")
    assert source.digest == locate(str(other), needed_by="the test").digest
    assert not torch.equal(
        load(folder).transformer.wte.weight,
        transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(str(folder))).transformer.wte.weight,
    )


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    path = shard(folder)
    shutil.copy(path, folder / "second.safetensors")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"][next(iter(index["weight_map"]))] = "second.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelRefused, match="in two files"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"transformers_weights": "w/x.safetensors"},
        {"transformers_weights": "adapter_model.bin"},
        {"configuration_files": ["config.9.json"]},
        {"attn_implementation": "kernels-community/flash-attn2"},
        {"_attn_implementation": "somebody/kernel:function"},
        {"_attn_implementation_internal": "flash_attention_2"},
        {"text_config": {"attn_implementation": {"": "somebody/kernel"}}},
        {"experts_implementation": "somebody/kernel"},
        {"fusion_config": {"patch_embeddings": True}},
        {"trust_remote_code": True},
        {"text_config": {"trust_remote_code": 1}},
        {"auto_map": {"AutoModelForCausalLM": "evil.Model"}},
    ],
)
def test_a_configuration_that_leads_elsewhere_is_refused(folder: Path, change: dict[str, Any]) -> None:
    other = tiny.causal(folder / "w", seed=1)
    (other / "model.safetensors").rename(other / "x.safetensors")
    tiny.edit(folder, **change)
    for door in (load, lambda place: LikelihoodModel.load(str(place), probe=False)):
        with pytest.raises(UntrustedModel):
            door(folder)
    with pytest.raises(UntrustedModel):
        refuse_code(locate(str(folder), needed_by="the test"))


def test_only_the_files_that_were_digested_are_shown_to_a_library(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name in ("pytorch_model.bin", "adapter_model.bin", ".metadata", "training_args.bin", "optimizer.pt", "custom_generate.pkl"):
        (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    # transformers prefers weights in this layout to model.safetensors.
    other = tiny.causal(tmp_path / "other", seed=1)
    shutil.copy(other / "model.safetensors", folder / "shard-00001-model-00001-of-00001.safetensors")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    expected = load_file(str(folder / "model.safetensors"))["transformer.wte.weight"]
    network = load(folder)
    assert torch.equal(network.transformer.wte.weight, expected)
    assert network.config.name_or_path == str(folder)
    checkpoint_of(str(folder))
    load_tokenizer(locate(str(folder), needed_by="the test"))
    assert not canary.exists()


def test_pickles_in_the_folders_of_modules_are_never_read(tmp_path: Path) -> None:
    folder, canary = encoder_folder(tmp_path / "encoder"), tmp_path / "canary"
    tiny.edit(folder, hidden_act="relu")
    for place in (folder, folder / "1_Pooling"):
        for name in ("pytorch_model.bin", "model.pkl", "index.npy"):
            (place / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(UntrustedModel, match="can run code"):
        Encoder.load(str(folder))
    assert not canary.exists()


def test_a_link_out_of_the_folder_is_refused_and_the_layout_of_the_hub_s_cache_is_not(folder: Path, tmp_path: Path) -> None:
    whole = locate(str(folder), needed_by="the test").digest
    home = tmp_path / "models--owner--name"
    snapshot, blobs = home / "snapshots" / ("0" * 40), home / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(folder.iterdir()):
        shutil.copy(path, blobs / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    assert locate(str(snapshot), needed_by="the test").digest == whole
    assert load(snapshot) is not None
    other = tiny.causal(tmp_path / "other", seed=1)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(other / "model.safetensors")
    with pytest.raises(UntrustedModel, match="outside the model's folder"):
        locate(str(folder), needed_by="the test")


def test_weights_that_change_between_digest_and_load_are_refused(folder: Path) -> None:
    source = locate(str(folder), needed_by="the test")
    state = load_file(str(folder / "model.safetensors"))
    save_file({name: value + 1 for name, value in state.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(UntrustedModel, match="changed after they were digested"):
        load_network(source, "CausalLM", kind="a causal language model", needed_by="the test", random="answers")


@pytest.mark.parametrize(
    "change",
    [{"n_embd": 10**9}, {"n_layer": 10**9}, {"vocab_size": 10**9}, {"n_positions": 10**12}, {"num_labels": 10**9}, {"n_inner": 1 << 30}],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_anything_is_built(folder: Path, change: dict[str, int]) -> None:
    tiny.edit(folder, **change)
    with pytest.raises(ModelRefused):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [{"model_args": {"trust_remote_code": True}}, {"model_args": {"use_safetensors": False}}, {"tokenizer_args": {"revision": "x"}}],
)
def test_a_sentence_transformer_may_not_say_how_it_is_loaded(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, **change}))
    with pytest.raises(UntrustedModel):
        Encoder.load(str(folder))


@pytest.mark.parametrize(
    "kind", ["sentence_transformers.util.import_from_string", "sentence_transformers.models.Router", "sentence_transformers.x y"]
)
def test_a_class_that_is_no_module_of_an_encoder_is_refused(tmp_path: Path, kind: str) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    with pytest.raises(InstructselError, match="names the class"):
        Encoder.load(str(folder))


def test_a_largest_number_of_layers_builds_none_and_may_be_beyond_the_weights(tmp_path: Path) -> None:
    # Qwen2's default, 28, in a model of two layers and fewer tensors; the layers themselves are still counted.
    folder = tiny.causal(tmp_path / "qwen2", "qwen2")
    tiny.edit(folder, max_window_layers=28_000)
    assert LikelihoodModel.load(str(folder), precision="fp32", device="cpu", probe=False).max_length
    tiny.edit(folder, num_hidden_layers=28_000)
    with pytest.raises(ModelRefused, match="num_hidden_layers is 28,000"):
        LikelihoodModel.load(str(folder), precision="fp32", device="cpu", probe=False)
