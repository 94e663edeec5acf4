"""OpenAssistant's GPT-NeoX reward models."""

from __future__ import annotations

from typing import Any, Final

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models import packing
from instructsel.models.load import LocalModel
from instructsel.models.network import check_room
from instructsel.models.vetting import check_sizes
from instructsel.models.view import check_unchanged
from instructsel.models.weights import read_tensors

NEOX: Final = "gpt_neox_reward_model"
"""The model type of OpenAssistant's Pythia reward models; no class of transformers' own."""


def _by_row(head: Any, hidden: Any) -> Any:
    """A linear layer of one output, row by row: its matrix product would round by where a row stands in the batch."""
    product = (hidden * head.weight[0]).sum(-1, keepdim=True)
    return product if head.bias is None else product + head.bias


class _NeoxReward:
    """OpenAssistant's Pythia reward model: a GPT-NeoX body, pooled, and one linear layer. Source: Open-Assistant's model code."""

    def __init__(self, body: Any, head: Any, pooling: str) -> None:
        self.body = body
        self.head = head
        self.pooling = pooling

    def eval(self) -> _NeoxReward:
        self.body.eval()
        return self

    def to(self, device: str) -> _NeoxReward:
        self.body.to(device)
        self.head.to(device)
        return self

    def pooled(self, states: Any, boundaries: packing.Boundaries, rows: int, torch: Any) -> Any:
        """States (slots, h) → logits (b,)."""
        if self.pooling == "mean":
            means = [states[start : start + length].mean(0) for start, length in zip(boundaries.first, boundaries.lengths, strict=True)]
            return _by_row(self.head, torch.stack(means))[:, 0]
        return _by_row(self.head, states[torch.from_numpy(boundaries.last).to(states.device)])[:, 0]

    def __call__(self, ids: Any, present: Any) -> Any:
        hidden = self.body(input_ids=ids, attention_mask=present).last_hidden_state
        if self.pooling == "mean":
            weights = present[:, :, None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
        else:
            pooled = hidden[range(len(ids)), present.sum(1) - 1]
        return _by_row(self.head, pooled)[:, 0]


def _neox(source: LocalModel, dtype: Any) -> _NeoxReward:
    torch = require("torch", needed_by="the reward")
    transformers = require("transformers", needed_by="the reward")
    safetensors = require("safetensors.torch", needed_by="the reward")
    pooling = source.config.get("pooling", "last")
    if pooling not in ("last", "mean"):
        raise ModelRefused(f"{source.name} pools by {pooling}.", fix="Pooling is last or mean.")
    tensors = read_tensors(source.weights, source.name)
    check_sizes(source.config, tensors, source.name)
    config = transformers.GPTNeoXConfig(
        **{key: value for key, value in source.config.items() if key not in ("model_type", "architectures", "pooling")}
    )
    with torch.device("meta"):
        check_room(transformers.GPTNeoXModel(config), tensors, source.name)
    body = transformers.GPTNeoXModel(config).to(dtype)
    head = torch.nn.Linear(config.hidden_size, 1).to(dtype)
    state: dict[str, Any] = {}
    for path in source.weights:
        state |= safetensors.load_file(str(path))
    check_unchanged(source)
    mine = {key.removeprefix("gpt_neox."): value.to(dtype) for key, value in state.items() if key.startswith("gpt_neox.")}
    missing = [key for key in body.load_state_dict(mine, strict=False).missing_keys if "rotary" not in key and "attention.bias" not in key]
    if missing or "out_proj.weight" not in state or tuple(state["out_proj.weight"].shape) != (1, config.hidden_size):
        raise ModelRefused(
            f"{source.name} has no weights for {', '.join(missing[:3]) or 'out_proj'}: its output would be random.",
            fix="Fetch the whole model.",
        )
    bias = state.get("out_proj.bias", torch.zeros(1))
    head.load_state_dict({"weight": state["out_proj.weight"].to(dtype), "bias": bias.to(dtype)})
    return _NeoxReward(body, head, pooling)
