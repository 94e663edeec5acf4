"""Whether a base keeps packed rows apart: probed on a small model of its architecture with random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.errors import MissingExtra
from instructsel.extras import require
from instructsel.models.load import quiet

LAYERS: Final = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
"""Where a configuration has its layers."""
PROBED_LAYERS: Final = 2
VOCABULARY: Final = 128
MAX_PARAMETERS: Final = 400_000_000
"""Weights of the probe; a larger one is not built."""
MAX_LEAK: Final = 0.1
"""Of the change that another row before it makes without a boundary, what packing may make at most: rounding, and no more."""
FIRST: Final = (5, 17, 3, 99, 42, 7, 61, 12)
SECOND: Final = (23, 8, 77, 31, 50, 9)


def separates(folder: Path, config: Mapping[str, Any]) -> bool | None:
    """Whether a row's logits are the same alone and packed behind another row; None where that cannot be probed.

    The probe has the base's architecture with two layers, a small vocabulary and random weights, and gets what TRL's collator for packed
    rows gives: position ids that begin again, and no attention mask.
    """
    try:
        torch = require("torch", needed_by="the probe")
        transformers = require("transformers", needed_by="the probe")
    except MissingExtra:
        return None
    if not config.get("model_type"):
        return None
    with quiet(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        try:
            small = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False).get_text_config()
            for name in LAYERS:
                if isinstance(getattr(small, name, None), int):
                    setattr(small, name, min(getattr(small, name), PROBED_LAYERS))
            if isinstance(getattr(small, "layer_types", None), list):
                with contextlib.suppress(AttributeError):  # derived from the number of layers, where it cannot be set
                    small.layer_types = small.layer_types[:PROBED_LAYERS]
            small.vocab_size = VOCABULARY
            for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
                setattr(small, name, None)
            if _weights(torch, transformers, small) > MAX_PARAMETERS:
                return None
            model = transformers.AutoModelForCausalLM.from_config(small, dtype=torch.float32).eval()
            alone = _logits(torch, model, [SECOND])
            packed = _logits(torch, model, [FIRST, SECOND])
            joined = _logits(torch, model, [(*FIRST, *SECOND)])
        except Exception:  # what cannot be built cannot be probed
            return None
    change = float((joined - alone).abs().max())
    return None if change == 0 else float((packed - alone).abs().max()) <= MAX_LEAK * change


def _weights(torch: Any, transformers: Any, small: Any) -> int:
    """Weights of the probe, before it is built."""
    try:
        with torch.device("meta"):
            return sum(weight.numel() for weight in transformers.AutoModelForCausalLM.from_config(small).parameters())
    except Exception:  # some architectures compute with their weights when they are made: estimated then, by two layers of a transformer
        width = getattr(small, "hidden_size", None)
        return 30 * width * width if isinstance(width, int) else MAX_PARAMETERS + 1


def _logits(torch: Any, model: Any, rows: list[tuple[int, ...]]) -> Any:
    """The logits of the last tokens, for rows packed into one sequence."""
    ids = [token for row in rows for token in row]
    positions = [position for row in rows for position in range(len(row))]
    inputs = {"input_ids": torch.tensor([ids]), "position_ids": torch.tensor([positions])}
    try:
        logits = model(**inputs, use_cache=False).logits
    except TypeError:
        # A state-space model takes no positions, and so knows of no boundary.
        logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
    return logits[0, -len(SECOND) :].float()


__all__ = ["separates"]
