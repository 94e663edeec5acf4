"""Clusters of items: those of one prompt are not independent of each other."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

DIGEST_BYTES = 8
"""Of a cluster's name."""


def clusters_of(prompts: Iterable[str]) -> tuple[str, ...]:
    """A name for the cluster of each prompt, the same for prompts that differ in case, blanks or the Unicode form of a sign alone.

    Returns:
        One name for each prompt; nothing where every prompt is a cluster of its own.

    >>> clusters_of(["Name a river.", "Name a  river.\\n", "Name a lake."])
    ('a7f4dd83bbfcca78', 'a7f4dd83bbfcca78', '424198c5ec4563ee')
    >>> clusters_of(["Name a river.", "Name a lake."])
    ()
    """
    names = tuple(_digest(normalized(prompt)) for prompt in prompts)
    return names if len(set(names)) < len(names) else ()


def normalized(text: str) -> str:
    """A text with compatibility forms (NFKC), case and blanks alike.

    >>> normalized("  Ｎame a\\tRIVER. ")
    'name a river.'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


__all__ = ["clusters_of", "normalized"]
