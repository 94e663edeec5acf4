"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

from instructsel.adapters.rows import to_trl

__all__ = ["to_trl"]
