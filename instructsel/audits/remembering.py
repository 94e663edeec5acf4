"""A renderer that renders a conversation once where several ask for it, one after another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from instructsel.rendering import Job, Renderer

MOST: Final = 4096
"""Renderings that are remembered: those of a few batches."""


@dataclass(frozen=True, eq=False)
class RememberingRenderer(Renderer):
    """A renderer with the replies of the last batches."""

    replies: dict[tuple[str, str, bool], dict[str, Any]] = field(default_factory=dict, repr=False)
    """(Arguments, time, with marks) → reply."""

    @classmethod
    def of(cls, renderer: Renderer) -> RememberingRenderer:
        """The same renderer with a memory."""
        return cls(**{setting.name: getattr(renderer, setting.name) for setting in fields(Renderer)})

    def _replies(self, jobs: Iterable[Job], now: str, *, marks: bool = False) -> list[dict[str, Any]]:
        asked = [(job, (json.dumps(job.arguments(), default=repr), now, marks)) for job in jobs]
        if len(self.replies) > MOST:
            self.replies.clear()
        missing = {key: job for job, key in asked if key not in self.replies}
        self.replies.update(zip(missing, super()._replies(missing.values(), now, marks=marks), strict=True))
        return [self.replies[key] for _, key in asked]


__all__ = ["RememberingRenderer"]
