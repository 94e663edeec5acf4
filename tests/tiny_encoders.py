"""Tiny encoders of many kinds, as sentence-transformers saves them: random weights, real architectures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

from tests import tiny

SIZES: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,
}
CHAT = "{% for message in messages %}[CLS]{{ message['role'] }} {{ message['content'] }}[SEP]{% endfor %}"
PROMPT: dict[str, Any] = {"prompts": {"all": "explain why ", "query": "query: "}, "default_prompt_name": "all"}


def edit(folder: Path, file: str, **changes: Any) -> Path:
    """A JSON file of a model's folder with keys changed or added."""
    path = folder / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))
    return folder


def transformer(folder: Path, model: Any, config: Any, *, pad_id: int = 0, **tokenizer: Any) -> Path:
    """A transformer of some architecture, and a tokenizer with the padding token where it wants it."""
    names = ["[PAD]", "[SEP]", "[CLS]"] if pad_id == 0 else ["[X]", "[PAD]", "[SEP]", "[CLS]"]
    tiny.tokenizer(folder, names, pair=True)
    edit(folder, "tokenizer_config.json", pad_token="[PAD]", eos_token="[SEP]", **tokenizer)
    torch.manual_seed(0)
    model(config).save_pretrained(str(folder))
    return folder


def bert(folder: Path) -> Path:
    return tiny.bert(folder, labels=None)


def roberta(folder: Path) -> Path:
    return transformer(
        folder, transformers.RobertaModel, transformers.RobertaConfig(**SIZES, max_position_embeddings=66, pad_token_id=1), pad_id=1
    )


def mpnet(folder: Path) -> Path:
    return transformer(
        folder, transformers.MPNetModel, transformers.MPNetConfig(**SIZES, max_position_embeddings=66, pad_token_id=1), pad_id=1
    )


def distilbert(folder: Path) -> Path:
    config = transformers.DistilBertConfig(
        vocab_size=400, dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.2, max_position_embeddings=64
    )
    return transformer(folder, transformers.DistilBertModel, config)


def t5(folder: Path) -> Path:
    config = transformers.T5Config(vocab_size=400, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    return transformer(folder, transformers.T5EncoderModel, config)


def qwen3(folder: Path, **tokenizer: Any) -> Path:
    config = transformers.Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=16, max_position_embeddings=64, pad_token_id=0)
    return transformer(folder, transformers.Qwen3Model, config, padding_side="left", **tokenizer)


def gpt2(folder: Path) -> Path:
    config = transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2)
    return transformer(folder, transformers.GPT2Model, config)


def xlnet(folder: Path) -> Path:
    config = transformers.XLNetConfig(vocab_size=400, d_model=32, n_layer=2, n_head=2, d_inner=64)
    return transformer(folder, transformers.XLNetModel, config, padding_side="left")


def clip(folder: Path) -> Path:
    image = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    config = transformers.CLIPConfig(
        text_config=SIZES | {"projection_dim": 16, "max_position_embeddings": 64, "eos_token_id": 1, "pad_token_id": 0},
        vision_config=image | {"projection_dim": 16},
        projection_dim=16,
    )
    transformer(folder, transformers.CLIPModel, config, model_max_length=64)
    transformers.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}).save_pretrained(str(folder))
    return edit(folder, "processor_config.json", processor_class="CLIPProcessor")


def saved(folder: Path, base: Callable[[Path], Path], *others: Callable[[], Any], length: int | None = 40, **settings: Any) -> Path:
    """A folder as SentenceTransformer.save makes it: a transformer, and modules behind it."""
    first = modules.Transformer(str(base(folder.with_name(f"{folder.name}-base"))), **({"max_seq_length": length} if length else {}))
    torch.manual_seed(1)
    return _save(folder, [first, *(module() for module in others)], **settings)


def pooling(mode: Any = "mean", width: int = 32, **settings: Any) -> Callable[[], Any]:
    return lambda: modules.Pooling(width, mode, **settings)


def dense(inner: int = 32, outer: int = 16, **settings: Any) -> Callable[[], Any]:
    return lambda: modules.Dense(inner, outer, **settings)


def static(folder: Path, *others: Callable[[], Any], **settings: Any) -> Path:
    """A table of words: no transformer at all."""
    tokenizer = tiny.tokenizer(folder.with_name(f"{folder.name}-tokenizer"), ["[PAD]"])
    torch.manual_seed(0)
    return _save(folder, [modules.StaticEmbedding(tokenizer, embedding_dim=8), *(module() for module in others)], **settings)


def words(folder: Path, *others: Callable[[], Any]) -> Path:
    """Vectors of whole words, and modules behind them."""
    vocabulary = sorted(set(tiny.TEXT))
    torch.manual_seed(0)
    table = modules.WordEmbeddings(WhitespaceTokenizer(vocabulary), torch.randn(len(vocabulary), 8).numpy())
    return _save(folder, [table, *(module() for module in others)])


def bag(folder: Path) -> Path:
    vocabulary = sorted(set(tiny.TEXT))
    torch.manual_seed(0)
    return _save(folder, [modules.BoW(vocab=vocabulary), modules.Dense(len(vocabulary), 8)])


def layers(folder: Path) -> Path:
    """The weighted mean of a transformer's layers."""
    base = tiny.bert(folder.with_name(f"{folder.name}-base"), labels=None)
    first = modules.Transformer(str(base), max_seq_length=40, config_kwargs={"output_hidden_states": True})
    return _save(folder, [first, modules.WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1), modules.Pooling(32)])


def old_layout(folder: Path, *others: Callable[[], Any]) -> Path:
    """The transformer in a folder of its own, the modules under the names of earlier releases."""
    saved(folder, bert, *others)
    inside = folder / "0_Transformer"
    inside.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json", "README.md"):
            path.rename(inside / path.name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = inside.name
    for module in listed:
        module["type"] = "sentence_transformers.models." + module["type"].rpartition(".")[2]
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def _save(folder: Path, steps: list[Any], **settings: Any) -> Path:
    sentence_transformers.SentenceTransformer(modules=steps, device="cpu", **settings).save(str(folder))
    return folder
