"""The exports of this folder, by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Final

from instructsel.adapters import exports as folder
from instructsel.adapters.exports.base import Export
from instructsel.errors import UsageError

FRAMEWORK: Final = frozenset(
    {
        "account",
        "base",
        "card",
        "card_text",
        "columns",
        "contents",
        "facts",
        "json_lines",
        "open_instruct_tokens",
        "registry",
        "run",
        "selected",
        "thoughts",
        "tokens",
        "trl_tokens",
        "view",
    }
)
"""Files of this folder that are no export."""

TOKENIZED: Final = ("trl", "open-instruct")
"""Consumers that take tokens."""


@cache
def exports() -> dict[str, Export]:
    """One of each, by name."""
    listed: list[Export] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name in FRAMEWORK:
            continue
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        listed += [
            item()
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Export) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return {export.name: export for export in sorted(listed, key=lambda export: export.name)}


def export_of(name: str) -> Export:
    """The export of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in exports():
        raise UsageError.named(name, exports(), noun="consumer")
    return exports()[name]


def tokenized(name: str, tokenizer: str) -> Export:
    """The export of a name in its pre-tokenised form: TRL's, or the arrays of open-instruct.

    Args:
        name: of the consumer.
        tokenizer: of the base, or a tokenizer alone: its folder or hub id, or "embedded".

    Raises:
        UsageError: there is no such consumer, or none that takes tokens.
        ModelUnavailable: no fast tokenizer, or one without an end-of-sequence token.
    """
    if export_of(name).name not in TOKENIZED:
        raise UsageError(
            f"--tokenizer is for --to {' and --to '.join(TOKENIZED)}: {name} makes its tokens itself.", fix="Leave --tokenizer out."
        )
    from instructsel.adapters.exports.open_instruct_tokens import OpenInstructTokens
    from instructsel.adapters.exports.trl_tokens import TrlTokens
    from instructsel.adapters.tokens import template_of

    return {"trl": TrlTokens, "open-instruct": OpenInstructTokens}[name](template_of(tokenizer))


__all__ = ["export_of", "exports", "tokenized"]
