"""Paths as the system resolves them, whatever they lead to."""

from __future__ import annotations

import os
from pathlib import Path


def resolved(path: str | Path) -> Path:
    """A path without links and dots, as far as they can be followed: a link that leads to itself stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(os.path.abspath(path))


__all__ = ["resolved"]
