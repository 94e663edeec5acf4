"""Folders of models that are forged or damaged: an error of ours or a score, never anything else, and nothing of theirs is run."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import InstructselError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import load_tokenizer, locate, refuse_code
from instructsel.models.network import load_network
from instructsel.models.reward import RewardModel
from instructsel.models.yes_no import YesNoModel
from instructsel.neighbors.encoder import Encoder
from tests import tiny

N_MUTATIONS = int(os.environ.get("INSTRUCTSEL_SOAK_FOLDERS", "200"))
"""Folders tried; a soak sets more."""
DEEP: Any = 1
for _ in range(500):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    1.5,
    10**9,
    1 << 62,
    "",
    "x",
    "../../x",
    "kernels-community/x",
    [],
    [0],
    ["x"],
    {},
    {"x": 1},
    DEEP,
)
"""What stands for a value of another type."""
KEYS = (
    "architectures",
    "model_type",
    "vocab_size",
    "hidden_size",
    "n_embd",
    "n_positions",
    "n_layer",
    "n_head",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "max_position_embeddings",
    "head_dim",
    "hidden_act",
    "activation_function",
    "layer_norm_eps",
    "rms_norm_eps",
    "initializer_range",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "layer_types",
    "sliding_window",
    "tie_word_embeddings",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "use_cache",
    "is_decoder",
    "is_encoder_decoder",
    "quantization_config",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "auto_map",
    "transformers_weights",
    "tokenizer_class",
    "model_max_length",
    "pad_token",
    "eos_token",
    "chat_template",
    "added_tokens_decoder",
    "fast_tokenizer_files",
    "extra_special_tokens",
    "clean_up_tokenization_spaces",
    "pooling_mode",
    "pooling_mode_mean_tokens",
    "word_embedding_dimension",
    "max_seq_length",
    "do_lower_case",
    "model_args",
    "prompts",
    "default_prompt_name",
    "similarity_fn_name",
    "fusion_config",
    "chunk_size_feed_forward",
    "text_config",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "feed_forward_proj",
    "type_vocab_size",
)
FILES = ("config.json", "config.json", "tokenizer_config.json", "generation_config.json", "sentence_bert_config.json")
FILES += ("config_sentence_transformers.json", "1_Pooling/config.json", "special_tokens_map.json")


def encoder_folder(folder: Path) -> Path:
    """A BERT as sentence-transformers saves one, whose activation ours does not compute."""
    tiny.bert(folder, labels=None)
    kinds = ("Transformer", "Pooling")
    modules = [
        {"idx": number, "name": str(number), "path": f"1_{kind}" if number else "", "type": f"sentence_transformers.models.{kind}"}
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128, "do_lower_case": False}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {}, "default_prompt_name": None}))
    return folder


def ask_likelihood(folder: Path) -> None:
    LikelihoodModel.load(str(folder), probe=False).answer([(None, "the capital of france"), ("how", "put it into water")])
    checkpoint_of(str(folder))


def ask_reward(folder: Path) -> None:
    RewardModel.load(str(folder), probe=False).score([[("user", "how do i boil an egg"), ("assistant", "put it into water")]])


def ask_encoder(folder: Path) -> None:
    Encoder.load(str(folder)).encode(["the capital of france", "x"])


def ask_yes_no(folder: Path) -> None:
    YesNoModel.load(str(folder), probe="").answer([("is it good", "put it into water", None), ("is it good", "x", "how do i boil an egg")])


def ask_tokens(folder: Path) -> None:
    load_tokenizer(locate(str(folder), needed_by="the test")).encode("the capital of france")


def ask_base(folder: Path) -> None:
    source = locate(str(folder), needed_by="the test")
    refuse_code(source)
    network = load_network(source, "CausalLM", kind="a causal language model", needed_by="the test", random="fine-tune")
    assert network.config.name_or_path == str(folder)


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None]]] = {
    "gpt2": (lambda folder: tiny.causal(folder), ask_likelihood),
    "llama": (lambda folder: tiny.causal(folder, "llama"), ask_likelihood),
    "bert": (lambda folder: tiny.bert(folder), ask_reward),
    "neox": (lambda folder: tiny.neox_reward(folder), ask_reward),
    "encoder": (encoder_folder, ask_encoder),
    "tokens": (encoder_folder, ask_tokens),
    "base": (lambda folder: tiny.causal(folder, "qwen2"), ask_base),
    "t5": (lambda folder: tiny.t5(folder), ask_yes_no),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole folder of each kind."""
    place = tmp_path_factory.mktemp("whole")
    return {kind: make(place / kind) for kind, (make, _) in KINDS.items()}


def mutate(folder: Path, draw: random.Random) -> str:
    """Damage a folder in one way; what was done."""
    ways: tuple[tuple[int, Callable[[Path, random.Random], str]], ...] = (
        (10, change_key),
        (2, change_index),
        (2, change_tokenizer),
        (3, change_header),
        (1, change_modules),
        (1, replace_file),
    )
    way = draw.choices([way for _, way in ways], [weight for weight, _ in ways])[0]
    return way(folder, draw)


def change_key(folder: Path, draw: random.Random) -> str:
    file = draw.choice(FILES)
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    known = [key for key in KEYS if key in content]
    key = draw.choice(known) if known and draw.random() < 0.7 else draw.choice(KEYS)
    value = draw.choice(VALUES)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**content, key: value}))
    return f"{file}: {key} = {json.dumps(value)[:40]}"


def change_index(folder: Path, draw: random.Random) -> str:
    weights = folder / "model.safetensors"
    shard = folder / "model-00001-of-00001.safetensors"
    weights.rename(shard)
    places: Any = draw.choice(
        [
            {"a": shard.name},
            {"a": f"../{folder.name}/{shard.name}"},
            {"a": str(shard)},
            {"a": "weights.bin"},
            {"a": ""},
            {"a": "\0"},
            {"a": 1},
            {"a": None},
            {},
            [],
            None,
            "x",
            1,
        ]
    )
    index = draw.choice(
        [{"metadata": {}, "weight_map": places}, {"weight_map": places}, {"metadata": draw.choice(VALUES), "weight_map": places}]
    )
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return f"index {json.dumps(index)[:80]}"


def change_tokenizer(folder: Path, draw: random.Random) -> str:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    key = draw.choice([*content, "model"])
    if key == "model" and draw.random() < 0.7:
        inner = draw.choice(list(content["model"]))
        content["model"][inner] = draw.choice(VALUES)
        key = f"model.{inner}"
    else:
        content[key] = draw.choice(VALUES)
    path.write_text(json.dumps(content))
    return f"tokenizer.json: {key}"


def change_header(folder: Path, draw: random.Random) -> str:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    way = draw.randrange(8)
    tensor = draw.choice([name for name in header if name != "__metadata__"])
    if way == 0:
        content = struct.pack("<Q", draw.choice([0, 1, 1 << 40, 1 << 63, len(content)])) + content[8:]
    elif way == 1:
        content = content[: draw.randrange(len(content))]
    elif way == 2:
        content = b""
    else:
        entry = header[tensor]
        if way == 3:
            entry["dtype"] = draw.choice(["X", "F64", "I8", "BOOL", "F4", None, 1])
        elif way == 4:
            entry["shape"] = draw.choice([[10**9, 10**9], [], [-1], None, "x", [1.5], [1 << 62]])
        elif way == 5:
            entry["data_offsets"] = draw.choice([[0, 1 << 62], [0, 0], [-1, 4], None, [0], "x"])
        elif way == 6:
            del header[tensor]
        else:
            header[tensor] = draw.choice([None, 1, [], {}])
        written = json.dumps(header).encode()
        content = struct.pack("<Q", len(written)) + written + content[8 + length :]
    path.write_bytes(content)
    return f"header {way} of {tensor}"


def change_modules(folder: Path, draw: random.Random) -> str:
    entry = {
        "idx": 0,
        "name": "0",
        "path": draw.choice(["", "..", "../x", "/etc", "1_Pooling", 1, None]),
        "type": draw.choice(["sentence_transformers.models.Transformer", "os.system", "sentence_transformers.util", 1, None, "x"]),
    }
    listed: Any = draw.choice([[entry], entry, [], [1], None, {"a": entry}, DEEP])
    (folder / "modules.json").write_text(json.dumps(listed))
    return f"modules {json.dumps(listed)[:80]}"


def replace_file(folder: Path, draw: random.Random) -> str:
    name = draw.choice(["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"])
    content = draw.choice([b"", b"[]", b"null", b"\xff\xfe", b"{", b'{"a": 1e999}', b"[" * 100_000, b"{% for x in %}", b"{{ 1 / 0 }}"])
    (folder / name).write_bytes(content)
    return f"{name} = {content[:20]!r}"


def mutations() -> Iterator[tuple[int, str]]:
    """Seed and kind of each folder tried."""
    for seed in range(N_MUTATIONS):
        yield seed, list(KINDS)[seed % len(KINDS)]


def test_a_forged_or_damaged_folder_ends_in_an_error_of_ours_or_in_a_score(originals: dict[str, Path], tmp_path: Path) -> None:
    faults: list[str] = []
    for seed, kind in mutations():
        draw = random.Random(seed)
        folder = tmp_path / f"{kind}-{seed}"
        shutil.copytree(originals[kind], folder)
        change = mutate(folder, draw)
        try:
            KINDS[kind][1](folder)
        except InstructselError as error:
            assert error.message and error.fix, change
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            faults.append(f"{seed} {kind}: {change}: {type(error).__name__}: {error}")
        shutil.rmtree(folder)
    assert not faults, "\n".join(faults)
