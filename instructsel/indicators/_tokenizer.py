"""The tokenizer a length is counted with, loaded once."""

from __future__ import annotations

from functools import cache
from typing import Any

from tokenizers import Tokenizer

from instructsel.artifact import file_digest
from instructsel.models.load import LocalModel, load_tokenizer, locate


@cache
def _located(name: str, revision: str | None) -> LocalModel:
    return locate(name, revision=revision, needed_by="the token count")


@cache
def tokenizer(name: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model: embedded, a local folder, or a hub id."""
    return load_tokenizer(_located(name, revision))


def described(name: str, revision: str | None = None) -> dict[str, Any]:
    """Name and digest, for fingerprints."""
    located = _located(name, revision)
    return {"name": located.name, "digest": file_digest(located.folder / "tokenizer.json")}
