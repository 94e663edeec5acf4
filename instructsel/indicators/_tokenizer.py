"""The tokenizer a length is counted with, loaded once."""

from __future__ import annotations

from functools import cache
from typing import Any

from tokenizers import Tokenizer

from instructsel.artifact import file_digest
from instructsel.models.load import LocalModel, load_tokenizer, locate


@cache
def _located(name: str) -> LocalModel:
    return locate(name, needed_by="the token count")


@cache
def tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model: embedded, a local folder, or a hub id."""
    return load_tokenizer(_located(name))


def described(name: str) -> dict[str, Any]:
    """Name and digest, for fingerprints."""
    found = _located(name)
    return {"name": found.name, "digest": file_digest(found.folder / "tokenizer.json")}
