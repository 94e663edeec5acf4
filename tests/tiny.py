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


def causal(folder: Path, kind: str = "gpt2", *, seed: int = 0, train: bool = False, **changes: Any) -> Path:
    """A language model of an architecture, by its name in transformers; trained for a moment on request."""
    torch.manual_seed(seed)
    made = tokenizer(folder, ["<pad>", "<|endoftext|>"])
    small: dict[str, Any] = {
        "vocab_size": made.get_vocab_size(),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    attention = {"num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 512}
    configs: dict[str, Any] = {
        "gpt2": lambda: transformers.GPT2Config(
            **{
                **small,
                "n_embd": 32,
                "n_layer": 2,
                "n_head": 4,
                "n_positions": 512,
                "resid_pdrop": 0,
                "embd_pdrop": 0,
                "attn_pdrop": 0,
                **changes,
            }
        ),
        "llama": lambda: transformers.LlamaConfig(**{**small, **attention, "num_key_value_heads": 2, **changes}),
        "qwen2": lambda: transformers.Qwen2Config(**{**small, **attention, "num_key_value_heads": 2, **changes}),
        "mistral": lambda: transformers.MistralConfig(**{**small, **attention, "num_key_value_heads": 2, "sliding_window": 16, **changes}),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(**{**small, **attention, **changes}),
        "granite": lambda: transformers.GraniteConfig(**{**small, **attention, "num_key_value_heads": 2, "logits_scaling": 8.0, **changes}),
        "granitemoe": lambda: transformers.GraniteMoeConfig(
            **{**small, **attention, "logits_scaling": 8.0, "num_local_experts": 2, "num_experts_per_tok": 1, **changes}
        ),
        "cohere": lambda: transformers.CohereConfig(**{**small, **attention, "num_key_value_heads": 2, "logit_scale": 0.25, **changes}),
        "gemma2": lambda: transformers.Gemma2Config(**{**small, **attention, "num_key_value_heads": 2, "head_dim": 8, **changes}),
        "minicpm3": lambda: transformers.MiniCPM3Config(
            **{
                **small,
                **attention,
                "num_key_value_heads": 4,
                "dim_model_base": 8,
                "q_lora_rank": 16,
                "kv_lora_rank": 16,
                "qk_nope_head_dim": 8,
                "qk_rope_head_dim": 8,
                "v_head_dim": 8,
                **changes,
            }
        ),
        "opt": lambda: transformers.OPTConfig(**{**small, **attention, "ffn_dim": 64, "init_std": 0.2, "dropout": 0, **changes}),
        "mamba": lambda: transformers.MambaConfig(**{**small, "state_size": 4, **changes}),
    }
    model = transformers.AutoModelForCausalLM.from_config(configs[kind]())
    if train:
        _train(model, made)
    model.save_pretrained(str(folder))
    return folder


def _train(model: Any, made: Tokenizer, steps: int = 60) -> None:
    """Learn the sentences of the sanity probe: enough to tell text from gibberish."""
    from instructsel.models.likelihood import GOOD

    rows = [torch.tensor([[1, *made.encode(text).ids]]) for text in GOOD]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        for row in rows:
            loss = model(input_ids=row, labels=row).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def t5(folder: Path, *, seed: int = 0, sign: float = 1.0, tied: bool = True) -> Path:
    """A T5 with the words Yes and No; `sign` −1 swaps their output vectors."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.train_from_iterator(
        [" ".join(TEXT), "Yes", "No", "Yes No Yes No"] * 4,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=["<pad>", "</s>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.save(str(folder / "tokenizer.json"))
    config = transformers.T5Config(
        vocab_size=made.get_vocab_size(),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        initializer_factor=1.0,
        decoder_start_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=tied,
    )
    model = transformers.T5ForConditionalGeneration(config)
    model.save_pretrained(str(folder))
    return folder
