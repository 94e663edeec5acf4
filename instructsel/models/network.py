"""A model's network, as transformers builds it: safetensors only, no code of a repository, and no weight made up."""

from __future__ import annotations

from typing import Any

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models.answers import first_line
from instructsel.models.load import LocalModel, quiet


def load_network(source: LocalModel, task: str, *, kind: str, needed_by: str, random: str, dtype: Any = None, **arguments: Any) -> Any:
    """The network of a model, in evaluation mode.

    Args:
        source: its files.
        task: which of transformers' auto classes builds it: CausalLM for AutoModelForCausalLM, and so on.
        kind: what it is to be, with its article, as an error says it: "a causal language model".
        needed_by: who asks, where transformers is not installed.
        random: what would be random if a weight were missing: "answers".
        dtype: of the weights; fp32 by default.
        given: more of from_pretrained's arguments: quantization, a device map.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ModelRefused: transformers cannot load it as that kind, its files are damaged, or weights are missing.
    """
    torch = require("torch", needed_by=needed_by)
    auto = getattr(require("transformers", needed_by=needed_by), f"AutoModelFor{task}")
    damaged = require("safetensors", needed_by=needed_by).SafetensorError
    try:
        with quiet():
            network, info = auto.from_pretrained(
                str(source.folder),
                dtype=torch.float32 if dtype is None else dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **arguments,
            )
    except (ValueError, OSError, KeyError, RuntimeError, damaged) as error:
        raise ModelRefused(
            f"{source.name} cannot be loaded as {kind}: {first_line(error)}", fix=f"Name {kind} that transformers can load."
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise ModelRefused(
            f"{source.name} has no weights for {', '.join(missing[:3])}: its {random} would be random.", fix="Name a whole model."
        )
    return network.eval()
