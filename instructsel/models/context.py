"""How many tokens a model's context holds: one answer for training, grading, scoring and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.models.load import LocalModel, read_json

POSITIONS: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
"""Where a configuration says how many positions it was made for; the first that it has counts."""
SCALED_ALREADY: Final = ("default", "su", "longrope", "llama3", "proportional", "mrope")
"""Kinds of rotary positions whose number of positions is the one after scaling."""
UNLIMITED: Final = 1 << 30
"""From here on a tokenizer's model_max_length is transformers' word for "not known"."""


def context_length(config: Mapping[str, Any], tokenizer: Any = None) -> int | None:
    """Tokens of a row at most, prompt and response together; None where neither file says so.

    Positions stretched by rotary scaling count as the configuration stretches them. A tokenizer that states less is believed: it was
    saved with the length the model was trained on.

    Args:
        config: config.json, that of a model with several parts too.
        tokenizer: transformers' tokenizer, or tokenizer_config.json, or nothing.

    Source: the precedence is vLLM's (`_get_and_verify_max_len`).

    >>> context_length({"n_positions": 1024}), context_length({"model_type": "mamba"})
    (1024, None)
    >>> context_length({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}})
    16384
    >>> context_length({"max_position_embeddings": 4096}, {"model_max_length": 2048})
    2048
    """
    text = config.get("text_config")
    part = {**config, **text} if isinstance(text, Mapping) else config
    positions = next((value for key in POSITIONS if (value := _whole(part.get(key))) is not None), None)
    if positions is not None:
        positions = round(positions * _stretch(part, positions))
    stated = tokenizer.get("model_max_length") if isinstance(tokenizer, Mapping) else getattr(tokenizer, "model_max_length", None)
    limits = [limit for limit in (positions, _whole(stated)) if limit is not None]
    return min(limits) if limits else None


def context_of(source: LocalModel) -> int | None:
    """The context of a model on this machine, by its files; see `context_length`.

    Raises:
        ModelUnavailable: a file that is no JSON object.
    """
    return context_length(source.config, read_json(source.folder / "tokenizer_config.json"))


def _whole(value: object) -> int | None:
    """A number of tokens; None for what is none, or stands for "not known"."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 < value < UNLIMITED:
        return None
    return int(value)


def _stretch(config: Mapping[str, Any], positions: int) -> float:
    """How many times as many positions rotary scaling makes of those that the configuration states."""
    rope = config.get("rope_scaling") or config.get("rope_parameters")
    # Gemma 3's number is after scaling, and its settings stand by kind of layer.
    if not isinstance(rope, Mapping) or str(config.get("model_type", "")).startswith("gemma3"):
        return 1.0
    kind, factor = rope.get("rope_type", rope.get("type", "default")), rope.get("factor")
    if kind in SCALED_ALREADY or isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 < factor < UNLIMITED:
        return 1.0
    original = _whole(rope.get("original_max_position_embeddings"))
    return float(factor) if original is None else max(1.0, factor * original / positions)


__all__ = ["context_length", "context_of"]
