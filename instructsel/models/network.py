"""A model's network, as transformers builds it: safetensors only, no code of a repository, and no weight made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models.foreign import refusing
from instructsel.models.load import LocalModel, quiet
from instructsel.models.vetting import check_sizes
from instructsel.models.view import view
from instructsel.models.weights import Tensors, read_tensors

PACKED: Final = 16
"""Weights that one number of a file may hold: quantized to two bits, in 32."""
SLACK: Final = 1 << 26
"""Numbers that a network may have of its own: tables of positions and masks."""


def load_network(source: LocalModel, task: str, *, kind: str, needed_by: str, random: str, dtype: Any = None, **arguments: Any) -> Any:
    """The network of a model, in evaluation mode.

    Args:
        source: its files.
        task: which of transformers' auto classes builds it: CausalLM for AutoModelForCausalLM, and so on.
        kind: what it is to be, with its article, as an error says it: "a causal language model".
        needed_by: who asks, where transformers is not installed.
        random: what would be random if a weight were missing: "answers".
        dtype: of the weights; fp32 by default.
        arguments: more of from_pretrained's arguments: quantization, a device map.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ModelRefused: transformers cannot load it as that kind, its files are damaged, or weights are missing.
    """
    torch = require("torch", needed_by=needed_by)
    auto = getattr(require("transformers", needed_by=needed_by), f"AutoModelFor{task}")
    fix = f"Name {kind} that transformers can load."
    tensors = read_tensors(source.weights, source.name)
    check_sizes(source.config, tensors, source.name)
    with view(source) as folder, quiet(), refusing(source.name, f"be loaded as {kind}", fix=fix):
        _check_size(auto, folder, tensors, source)
        network, info = auto.from_pretrained(
            str(folder),
            dtype=torch.float32 if dtype is None else dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **arguments,
        )
        # Of the view, which is gone; PEFT writes it into an adapter.
        network.name_or_path = network.config.name_or_path = str(source.folder)
    if missing := sorted(info["missing_keys"]):
        raise ModelRefused(
            f"{source.name} has no weights for {', '.join(missing[:3])}: its {random} would be random.", fix="Name a whole model."
        )
    return network.eval()


def _check_size(auto: Any, folder: Path, tensors: Tensors, source: LocalModel) -> None:
    torch = require("torch", needed_by="the model")
    transformers = require("transformers", needed_by="the model")
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        skeleton = auto.from_config(config, trust_remote_code=False)
    check_room(skeleton, tensors, source.name)


def check_room(skeleton: Any, tensors: Tensors, name: str) -> None:
    """Refuse a configuration that asks for many times the numbers that the weight files hold; nothing is allocated for it.

    Args:
        skeleton: the network on torch's meta device.
        tensors: what the headers of the weight files say.
        name: the model's, for messages.

    Raises:
        ModelRefused: it does.
    """
    numbers = sum(tensor.numel() for tensor in (*skeleton.parameters(), *skeleton.buffers()))
    if numbers > PACKED * tensors.numbers + SLACK:
        raise ModelRefused(
            f"The configuration of {name} describes {numbers:,} numbers; its weight files hold {tensors.numbers:,}.",
            fix="Fetch the model again.",
        )
