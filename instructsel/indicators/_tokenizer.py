"""The tokenizer a length is counted with, loaded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from instructsel.artifact import file_digest
from instructsel.models.load import LocalModel, load_tokenizer, locate
from instructsel.pieces import TokenCounts
from instructsel.pool.tokens import token_counts, unknown_counts, unread
from instructsel.text import counted


@cache
def _located(name: str, revision: str | None) -> LocalModel:
    return locate(name, revision=revision, needed_by="the token count")


@cache
def tokenizer(name: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model: embedded, a local folder, or a hub id."""
    return load_tokenizer(_located(name, revision))


@cache
def counts(name: str, revision: str | None = None) -> TokenCounts:
    """The numbers of tokens of texts, by the tokenizer of a model."""
    return token_counts(tokenizer(name, revision))


@cache
def _unknown(name: str, revision: str | None) -> TokenCounts | None:
    return unknown_counts(tokenizer(name, revision))


def described(name: str, revision: str | None = None) -> dict[str, Any]:
    """Name and digest, for fingerprints."""
    located = _located(name, revision)
    return {"name": located.name, "digest": file_digest(located.folder / "tokenizer.json")}


def unsupported(reasons: Sequence[str | None], texts: Sequence[str], name: str, revision: str | None = None) -> list[str | None]:
    """The reasons, and `unsupported_language` for further texts that the tokenizer of a model does not know."""
    return unsupported_by(reasons, texts, counts(name, revision), _unknown(name, revision))


def unsupported_by(
    reasons: Sequence[str | None], texts: Sequence[str], tokens: TokenCounts, unknown: TokenCounts | None
) -> list[str | None]:
    """The same by what counts the tokens of a text, and those of them that are unknown."""
    return [
        reason or ("unsupported_language" if is_unread else None)
        for reason, is_unread in zip(reasons, unread(tokens, unknown, texts), strict=True)
    ]


def counted_reasons(nulls: Mapping[str, int], symbol: str, name: str | None, other: str) -> list[str]:
    """What to say of a column with examples in scripts that its tokenizer does not know.

    Args:
        nulls: reason → rows.
        symbol: the column.
        name: the model whose tokenizer it is.
        other: a model that knows the scripts.
    """
    count = nulls.get("unsupported_language", 0)
    if not count:
        return []
    return [
        f"{symbol} is null (unsupported_language) for {counted(count, 'example')}: {name or 'its model'} does not know the script; name another one: --model {symbol}={other}"
    ]
