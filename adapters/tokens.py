"""Examples as tokens with a label each, in the pre-tokenised type that TRL takes as it is: weights of 0 and 1 become masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.models.load import as_language_model
from instructsel.models.peft_adapter import unmerged

MASKED_LABEL: Final = -100
"""The label of a token on which no loss falls."""
COLUMNS: Final = ("input_ids", "labels")


def template_of(tokenizer: Any) -> ChatTemplate:
    """The chat template of a loaded tokenizer, or of a model or tokenizer by its folder or hub id, or "embedded".

    Raises:
        ModelUnavailable: no fast tokenizer, or one without an end-of-sequence token.
        ModelRefused: an adapter that cannot be merged.
    """
    if not isinstance(tokenizer, str | Path):
        return ChatTemplate.of(tokenizer)
    # Tokens need no weights: a folder that holds a tokenizer alone will do.
    _, folder = unmerged(as_language_model(str(tokenizer)), needed_by="the chat template")
    return ChatTemplate.load(folder)


def labelled(encoded: Encoded) -> dict[str, Any]:
    """Tokens and their labels, int32 each.

    Returns:
        {"input_ids": (n,), "labels": (n,)}.
    """
    ids = np.array(encoded.ids, dtype=np.int32)
    return {"input_ids": ids, "labels": np.where(np.array(encoded.loss_mask, dtype=bool), ids, np.int32(MASKED_LABEL))}


def held_by(encoded: Encoded) -> frozenset[str]:
    """Why an example cannot be trained on in its chat template, and what of it the template leaves out: names of `contents.ENCODINGS`."""
    reason = {encoded.reason} if encoded.reason not in (None, "no_response") else set()
    return frozenset(name for name in (*reason, *(f"{kind}_not_rendered" for kind in encoded.left_out)) if name is not None)


__all__ = ["COLUMNS", "MASKED_LABEL", "held_by", "labelled", "template_of"]
