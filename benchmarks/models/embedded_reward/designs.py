"""The designs that were tried: MiniLM with low-rank adapters, and a head that reads prompt and response together or apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import peft
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from instructsel.models.load import load_tokenizer, locate, quiet
from instructsel.models.plausibility import LIMIT, joined

MODULES: Final = ("query", "value", "output.dense")
"""Where adapters stand: queries, values, and what attention and feed-forward layers give out. In wide layers they take the most time."""
CLS: Final = 101
SEP: Final = 102
CHUNK: Final = 16


@dataclass(frozen=True)
class Design:
    """What is trained, and on what."""

    features: tuple[str, ...] = ("mean",)
    """Of the last layer: cls, mean and max over the response; apart: prompt and response encoded by themselves, their difference and product."""
    hidden: int = 0
    """Width of the head's hidden layer; 0 for a linear head."""
    rank: int = 16
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Which layers have adapters."""
    corruption: int = 5000
    """Pairs."""
    oasst: bool = False
    harmless: bool = False
    human_epochs: int = 1
    rate: float = 1e-3
    batch: int = 32
    """Pairs."""


DESIGNS: Final[dict[str, Design]] = {
    "frozen": Design(layers=(), features=("mean",), corruption=2000),
    "mean": Design(),
    "mixed": Design(features=("cls", "mean", "max"), hidden=64),
    "apart": Design(features=("apart",), hidden=64, corruption=3000),
    "mean+oasst": Design(oasst=True),
    "mean+harmless": Design(harmless=True),
    "final": Design(corruption=8000),
}
FINAL: Final = "final"
"""What ships. Chosen by results/embedded_reward_designs.json."""


class Model(nn.Module):
    """MiniLM, adapters, head."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        source = locate("embedded", needed_by="training")
        with quiet():
            bert = transformers.BertModel.from_pretrained(
                str(source.folder),
                add_pooling_layer=False,
                dtype=torch.float32,
                # One pass over the pairs: dropout costs half the time and keeps nothing from being learnt by heart.
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        for parameter in bert.parameters():
            parameter.requires_grad_(False)
        self.design = design
        if design.layers:
            # No bias, no embeddings: what is not in the shipped file must not change.
            config = peft.LoraConfig(
                r=design.rank,
                lora_alpha=2 * design.rank,
                lora_dropout=0.0,
                target_modules=list(MODULES),
                layers_to_transform=list(design.layers),
                layers_pattern="layer",
            )
            bert = peft.get_peft_model(bert, config)
        self.bert = bert
        width = 384 * sum({"apart": 4}.get(feature, 1) for feature in design.features)
        self.head = (
            nn.Sequential(nn.Linear(width, design.hidden), nn.GELU(), nn.Linear(design.hidden, 1)) if design.hidden else nn.Linear(width, 1)
        )
        for layer in self.head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def _hidden(self, rows: Sequence[NDArray[np.int32]], starts: Sequence[int]) -> tuple[Any, Any, Any]:
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), dtype=np.int64)
        present = np.zeros((len(rows), width), dtype=np.int64)
        second = np.zeros((len(rows), width), dtype=np.int64)
        for number, (row, start) in enumerate(zip(rows, starts, strict=True)):
            ids[number, : len(row)] = row
            present[number, : len(row)] = 1
            second[number, start : len(row)] = 1
        kinds = torch.from_numpy(second)
        hidden = self.bert(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(present), token_type_ids=kinds
        ).last_hidden_state
        return hidden, torch.from_numpy(second), torch.from_numpy(present)

    def forward(self, pairs: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> Any:
        """(prompt tokens, response tokens) → a score each, float32 (n,); computed in chunks of about one length."""
        order = sorted(range(len(pairs)), key=lambda number: sum(map(len, pairs[number])))
        chunks = [
            self._scores([pairs[number] for number in order[position : position + CHUNK]]) for position in range(0, len(order), CHUNK)
        ]
        return torch.cat(chunks)[torch.from_numpy(np.argsort(order))]

    def _scores(self, pairs: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> Any:
        if "apart" in self.design.features:
            lengths = []
            for side in (0, 1):
                rows = [np.concatenate([[CLS], pair[side][: LIMIT - 2], [SEP]]).astype(np.int32) for pair in pairs]
                hidden, _, present = self._hidden(rows, [len(row) for row in rows])
                lengths.append(_mean(hidden, present))
            prompt, response = lengths
            features = [torch.cat([prompt, response, (prompt - response).abs(), prompt * response], 1)]
        else:
            rows, starts = zip(*(joined(*pair)[:2] for pair in pairs), strict=True)
            hidden, second, _ = self._hidden(rows, starts)
            ways = {
                "cls": lambda: hidden[:, 0],
                "mean": lambda: _mean(hidden, second),
                "max": lambda: hidden.masked_fill(second[:, :, None] == 0, -1e4).max(1).values,
            }
            features = [ways[feature]() for feature in self.design.features]
        return self.head(torch.cat(features, 1))[:, 0]


def _mean(hidden: Any, mask: Any) -> Any:
    weights = mask[:, :, None].float()
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


class Tokens:
    """Texts as MiniLM's word pieces, each once."""

    def __init__(self) -> None:
        self.tokenizer = load_tokenizer(locate("embedded", needed_by="training"))
        self.tokenizer.no_truncation()
        self.known: dict[str, NDArray[np.int32]] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Tokenize what is new."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self.known]
        for text, encoding in zip(fresh, self.tokenizer.encode_batch_fast(fresh, add_special_tokens=False), strict=True):
            self.known[text] = np.array(encoding.ids, dtype=np.int32)

    def pairs(self, rows: Sequence[tuple[str, str]]) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The tokens of prompts and responses."""
        self.add([text for row in rows for text in row])
        return [(self.known[prompt], self.known[response]) for prompt, response in rows]


def score(model: Model, tokens: Tokens, rows: Sequence[tuple[str, str]], *, budget: int = 8000) -> NDArray[np.float64]:
    """The scores of (prompt, response) rows, longest first."""
    unique = list(dict.fromkeys(rows))
    encoded = tokens.pairs(unique)
    sizes = [min(LIMIT, len(prompt) + len(response)) for prompt, response in encoded]
    order = sorted(range(len(unique)), key=lambda number: -sizes[number])
    values = np.zeros(len(unique))
    model.eval()
    with torch.inference_mode():
        while order:
            taken = max(1, budget // max(8, sizes[order[0]]))
            batch, order = order[:taken], order[taken:]
            values[batch] = model([encoded[number] for number in batch]).numpy()
    where = {row: number for number, row in enumerate(unique)}
    return values[[where[row] for row in rows]]


def batches(sizes: Sequence[int], size: int, generator: random.Random) -> list[list[int]]:
    """Numbers in batches of pairs of about one length, in random order."""
    order = list(range(len(sizes)))
    generator.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * 16):
        mega = sorted(order[start : start + size * 16], key=lambda number: sizes[number])
        batches += [mega[position : position + size] for position in range(0, len(mega), size)]
    generator.shuffle(batches)
    return batches
