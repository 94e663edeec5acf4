"""Tiny models made on the spot: random weights, real architectures, real tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

TEXT = [
    "the",
    "capital",
    "of",
    "france",
    "is",
    "paris",
    "it",
    "lies",
    "on",
    "the",
    "seine",
    "in",
    "the",
    "north",
    "of",
    "the",
    "country",
    "how",
    "do",
    "i",
    "boil",
    "an",
    "egg",
    "put",
    "it",
    "into",
    "boiling",
    "water",
    "for",
    "about",
    "eight",
    "minutes",
    "then",
    "cool",
    "it",
    "under",
    "cold",
    "water",
    "and",
    "peel",
    "it",
    "please",
    "give",
    "me",
    "three",
    "tips",
    "for",
    "staying",
    "healthy",
    "eat",
    "plenty",
    "of",
    "fruit",
    "and",
    "vegetables",
    "move",
    "every",
    "day",
    "sleep",
    "seven",
    "hours",
    "explain",
    "in",
    "one",
    "sentence",
    "why",
    "the",
    "sky",
    "is",
    "blue",
]


def tokenizer(folder: Path, special: list[str], *, pair: bool = False) -> Tokenizer:
    """A byte-level BPE of a few hundred tokens, saved into a folder."""
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(
        [" ".join(TEXT)] * 4,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    if pair:
        ids = {name: made.token_to_id(name) for name in ("[CLS]", "[SEP]")}
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())
        )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": special[0]}
    config |= {"eos_token": special[1]} if len(special) > 1 else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return made


def bert(folder: Path, *, labels: int | None = 1, seed: int = 0) -> Path:
    """A BERT with a classification head of so many labels; an encoder where labels is None."""
    torch.manual_seed(seed)
    made = tokenizer(folder, ["[PAD]", "[SEP]", "[CLS]"], pair=True)
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.2,
        num_labels=labels or 1,
    )
    model = transformers.BertForSequenceClassification(config) if labels else transformers.BertModel(config)
    model.save_pretrained(str(folder))
    return folder


def neox_reward(folder: Path, *, pooling: str = "last", seed: int = 0) -> Path:
    """The layout of OpenAssistant's Pythia reward models."""
    torch.manual_seed(seed)
    made = tokenizer(folder, ["<|padding|>", "<|endoftext|>", "<|prompter|>", "<|assistant|>"])
    config = transformers.GPTNeoXConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=2048,
        initializer_range=0.2,
    )
    body = transformers.GPTNeoXModel(config)
    state = {f"gpt_neox.{name}": value.contiguous() for name, value in body.state_dict().items()}
    state["out_proj.weight"], state["out_proj.bias"] = torch.randn(1, 32), torch.zeros(1)
    save_file(state, str(folder / "model.safetensors"))
    written = {
        **config.to_dict(),
        "model_type": "gpt_neox_reward_model",
        "architectures": ["GPTNeoXRewardModel"],
        "pooling": pooling,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(written))
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, change: Any) -> None:
    """Change the weights by name."""
    from safetensors.torch import load_file

    state = load_file(str(folder / "model.safetensors"))
    change(state)
    save_file({name: value.contiguous() for name, value in state.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
