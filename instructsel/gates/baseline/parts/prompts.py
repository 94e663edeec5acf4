"""Prompts of the examples, and what of their responses can contradict another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from instructsel.gates.baseline.base import Built, Part, Request
from instructsel.gates.duplicates.prompts import Asked

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


class Prompts(Part):
    """Digests of prompts and responses; labels, results and a few words of each response as numbers."""

    name: ClassVar[str] = "prompts"
    title: ClassVar[str] = "digests of prompts and responses, for equal prompts and contradictions"

    def build(self, pool: Pool, request: Request) -> Built:
        """`prompt`, `response`, `number` uint64 (n,); `label`, `n_words` uint32 (n, 2), (n,); `words` uint32 (n, HELD): see `Asked`."""
        prompts = Asked.of(pool.examples(), len(pool))
        return Built({name: np.ascontiguousarray(array) for name, array in prompts.arrays.items()})


__all__ = ["Prompts"]
