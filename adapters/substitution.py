"""Attributes of another package replaced for a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def substituted(owner: Any, **replacements: Any) -> Iterator[None]:
    """Attributes of a module or object replaced for a block, e.g. a completion function; restored whatever happens in it.

    The only place where something of another package is assigned to.

    Args:
        owner: whose attributes they are.
        replacements: the attributes by name.

    Raises:
        AttributeError: the owner has no such attribute; a release that renamed it must not pass unseen.
    """
    originals = {name: getattr(owner, name) for name in replacements}
    try:
        for name, replacement in replacements.items():
            setattr(owner, name, replacement)
        yield
    finally:
        for name, original in originals.items():
            setattr(owner, name, original)


__all__ = ["substituted"]
