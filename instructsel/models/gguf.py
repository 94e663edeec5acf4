"""A language model in llama.cpp's GGUF file as a folder of safetensors in fp32: the same bytes on every machine.

Read here is what one embedded model needs: the architecture llama, weights in Q4_1, Q8_0, F16 or F32, and a byte-level BPE
tokenizer. A quantized weight is a product and a sum of fp32 numbers, each rounded once, so that every processor gives the same
bits; they are those of transformers' own GGUF loading.

Source: the GGUF specification, version 3, and the block layouts of ggml (block_q4_1, block_q8_0).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import dump_json
from instructsel.errors import ModelRefused

MAGIC: Final = b"GGUF"
SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""Kinds of values of the metadata, as struct reads them."""
TEXT: Final = 8
ARRAY: Final = 9
CONTROL: Final = 3
"""The kind of a special token."""
WEIGHTS: Final = "model.safetensors"
NAMES: Final = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names of llama.cpp → transformers' own; those of a layer stand behind blk.N."""

Floats = NDArray[np.float32]


def _float32(data: bytes) -> Floats:
    return np.frombuffer(data, dtype="<f4")


def _float16(data: bytes) -> Floats:
    return np.frombuffer(data, dtype="<f2").astype(np.float32)


def _q4_1(data: bytes) -> Floats:
    """Blocks of 32: scale and minimum in fp16, then 16 bytes, whose low halves are the first 16 weights."""
    blocks = np.frombuffer(data, dtype=[("scale", "<f2"), ("minimum", "<f2"), ("halves", "u1", 16)])
    halves = blocks["halves"]
    quants = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32)
    products: Floats = blocks["scale"].astype(np.float32)[:, None] * quants
    return (products + blocks["minimum"].astype(np.float32)[:, None]).ravel()


def _q8_0(data: bytes) -> Floats:
    """Blocks of 32: a scale in fp16, then 32 signed bytes."""
    blocks = np.frombuffer(data, dtype=[("scale", "<f2"), ("quants", "i1", 32)])
    return (blocks["scale"].astype(np.float32)[:, None] * blocks["quants"].astype(np.float32)).ravel()


QUANTIZATIONS: Final[dict[int, tuple[int, int, Callable[[bytes], Floats]]]] = {
    0: (1, 4, _float32),
    1: (1, 2, _float16),
    3: (32, 20, _q4_1),
    8: (32, 34, _q8_0),
}
"""ggml's number of a type → weights of a block, its bytes, and how it is read."""


@dataclass(frozen=True)
class Tensor:
    """Where in the file a tensor's weights are."""

    name: str
    shape: tuple[int, ...]
    """As numpy writes it: rows first."""
    kind: int
    start: int
    """Of its bytes in the file."""


@dataclass(frozen=True)
class Gguf:
    """A GGUF file in memory."""

    data: bytes
    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]

    @classmethod
    def parse(cls, data: bytes) -> Gguf:
        """Read the metadata and where the tensors are.

        Raises:
            ModelRefused: it is no GGUF file of version 3, or ends too early.
        """
        try:
            return cls._parsed(_Reader(data))
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise ModelRefused(f"The GGUF file is damaged ({type(error).__name__}: {error}).", fix="Fetch it again.") from error

    @classmethod
    def _parsed(cls, reader: _Reader) -> Gguf:
        version = reader.scalar("<I") if reader.take(4) == MAGIC else 0
        if version != 3:
            raise ModelRefused("This is no GGUF file of version 3.", fix="Fetch it again.")
        tensors, entries = reader.scalar("<Q"), reader.scalar("<Q")
        metadata = {reader.text(): reader.value() for _ in range(entries)}
        headers = [(reader.text(), reader.shape(), reader.scalar("<I"), reader.scalar("<Q")) for _ in range(tensors)]
        alignment = int(metadata.get("general.alignment", 32))
        begin = -(-reader.position // alignment) * alignment
        return cls(reader.data, metadata, tuple(Tensor(name, shape, kind, begin + offset) for name, shape, kind, offset in headers))

    def weights(self, tensor: Tensor) -> Floats:
        """A tensor's weights in fp32.

        Raises:
            ModelRefused: they are quantized in another way, or the file ends before them.
        """
        if tensor.kind not in QUANTIZATIONS:
            raise ModelRefused(f"{tensor.name} has weights of ggml's type {tensor.kind}, which is not read here.")
        per_block, size, read = QUANTIZATIONS[tensor.kind]
        length = int(np.prod(tensor.shape)) // per_block * size
        part = self.data[tensor.start : tensor.start + length]
        if len(part) != length:
            raise ModelRefused(f"The GGUF file ends before the weights of {tensor.name}.", fix="Fetch it again.")
        return read(part).reshape(tensor.shape)


class _Reader:
    """Reads a GGUF header from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        self.position += size
        return self.data[self.position - size : self.position]

    def scalar(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self) -> str:
        return self.take(self.scalar("<Q")).decode("utf-8")

    def value(self) -> Any:
        return self.of_kind(self.scalar("<I"))

    def of_kind(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind == ARRAY:
            inner, size = self.scalar("<I"), self.scalar("<Q")
            return [self.of_kind(inner) for _ in range(size)]
        return self.scalar(SCALARS[kind])

    def shape(self) -> tuple[int, ...]:
        # ggml counts from the innermost dimension.
        return tuple(self.scalar("<Q") for _ in range(self.scalar("<I")))[::-1]


def convert(data: bytes, folder: Path) -> None:
    """Write a model's folder: weights, configuration, tokenizer, chat template; the same bytes for the same file, everywhere.

    Args:
        data: the GGUF file.
        folder: an empty folder.

    Raises:
        ModelRefused: the file is no llama model as this module reads it.
        OSError: the folder cannot be written.
    """
    model = Gguf.parse(data)
    if (architecture := model.metadata.get("general.architecture")) != "llama":
        raise ModelRefused(f"The GGUF file holds the architecture {architecture!r}; only llama is read here.")
    try:
        documents = {
            "config.json": _config(model),
            "generation_config.json": {key: _special_ids(model)[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
            "tokenizer.json": _tokenizer(model),
            "tokenizer_config.json": _tokenizer_config(model),
        }
        template = model.metadata["tokenizer.chat_template"]
    except KeyError as error:
        raise ModelRefused(f"The GGUF file does not say {error}.", fix="Fetch it again.") from error
    for name, document in documents.items():
        (folder / name).write_bytes(dump_json(document, indent=name != "tokenizer.json") + b"\n")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")
    with open(folder / WEIGHTS, "xb") as file:
        _write_safetensors(model, file)


def _write_safetensors(model: Gguf, file: BinaryIO) -> None:
    """safetensors' layout: the length of a JSON header, the header, the weights in its order."""
    tensors = sorted((_named(tensor.name), tensor) for tensor in model.tensors)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors:
        begin, end = end, end + 4 * int(np.prod(tensor.shape))
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = dump_json(header)
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for part in _in_order(model, [tensor for _, tensor in tensors]):
        file.write(np.ascontiguousarray(part, dtype="<f4").data)


def _in_order(model: Gguf, tensors: list[Tensor]) -> Iterator[Floats]:
    heads = {"attn_q": model.metadata["llama.attention.head_count"], "attn_k": model.metadata["llama.attention.head_count_kv"]}
    for tensor in tensors:
        weights = model.weights(tensor)
        count = heads.get(tensor.name.split(".")[-2])
        if count is not None:
            # llama.cpp turns neighbors of a head, transformers its halves.
            weights = weights.reshape(count, -1, 2, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)
        yield weights


def _named(name: str) -> str:
    parts = name.split(".")
    layer, part = (f"model.layers.{parts[1]}.", parts[2]) if parts[0] == "blk" else ("", parts[0])
    if part not in NAMES or parts[-1] != "weight":
        raise ModelRefused(f"The GGUF file has a tensor {name}, which no llama model has.")
    return f"{layer}{NAMES[part]}.weight"


def _special_ids(model: Gguf) -> dict[str, int]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding", "unk_token_id": "unknown"}
    return {key: int(model.metadata[f"tokenizer.ggml.{name}_token_id"]) for key, name in names.items()}


def _config(model: Gguf) -> dict[str, Any]:
    metadata = model.metadata
    special = _special_ids(model)
    hidden, heads = metadata["llama.embedding_length"], metadata["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": special["bos_token_id"],
        "eos_token_id": special["eos_token_id"],
        "pad_token_id": special["pad_token_id"],
        "dtype": "float32",
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_theta": metadata["llama.rope.freq_base"], "rope_type": "default"},
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in model.tensors),
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
    }


def _tokenizer(model: Gguf) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE, as transformers makes it of the same file."""
    metadata = model.metadata
    if metadata["tokenizer.ggml.model"] != "gpt2":
        raise ModelRefused("The GGUF file has a tokenizer that is no byte-level BPE.")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **flags}
            for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {**level, "add_prefix_space": bool(metadata.get("tokenizer.ggml.add_space_prefix", False))},
        "post_processor": None,
        "decoder": {**level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(model: Gguf) -> dict[str, Any]:
    tokens, special = model.metadata["tokenizer.ggml.tokens"], _special_ids(model)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.metadata["llama.context_length"],
        **{key.removesuffix("_id"): tokens[number] for key, number in special.items()},
    }


__all__ = ["Gguf", "Tensor", "convert"]
