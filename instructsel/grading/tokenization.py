"""Which tokens a model's loss is counted in: digests of its tokenizer and its chat template, by which losses per token are comparable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from instructsel.artifact import fingerprint
from instructsel.models.foreign import refusing

KEY: Final = "tokenization"
"""Under which a grader writes it down."""
UNUSED: Final = ("version", "truncation", "padding", "post_processor", "decoder")
"""Parts of a tokenizer's file that change no token of a rendered conversation."""
PARTS: Final[Mapping[str, str]] = {
    "tokenizer": "the tokenizer",
    "template": "the chat template",
    "end_of_turn": "whether the tokens that end a turn are counted",
}
"""What has to be the same for losses per token to be compared, and its name in messages."""


def tokenization_of(tokenizer: Any, *, end_of_turn: bool) -> dict[str, Any]:
    """What decides which tokens a response has, as plain data without a path.

    Args:
        tokenizer: transformers' fast tokenizer with its chat template set.
        end_of_turn: whether the tokens that end the response's turn are counted.

    Returns:
        `tokenizer`, a digest of all of its file that makes tokens of a text; `template`, one of the chat template and the
        special tokens that it writes; `end_of_turn`.

    Raises:
        ModelRefused: the tokenizer fails.
    """
    with refusing("The tokenizer", "be written down", fix="Fetch the model again, or use another one."):
        file = json.loads(tokenizer.backend_tokenizer.to_str())
    behavior = {key: value for key, value in file.items() if key not in UNUSED}
    template = {"text": tokenizer.chat_template, "bos": tokenizer.bos_token, "eos": tokenizer.eos_token}
    return {"tokenizer": fingerprint(behavior), "template": fingerprint(template), "end_of_turn": end_of_turn}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """The names of the parts in which two differ.

    >>> list(differing({"tokenizer": "1f", "template": "a0", "end_of_turn": True}, {"tokenizer": "2e", "template": "a0", "end_of_turn": True}))
    ['the tokenizer']
    """
    for key, noun in PARTS.items():
        if one.get(key) != other.get(key):
            yield noun


__all__ = ["KEY", "PARTS", "differing", "tokenization_of"]
