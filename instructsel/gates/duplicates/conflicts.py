"""Rows of a change that have one prompt, with those of the baseline that have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from instructsel.gates.duplicates.prompts import Asked, OwnAsked
from instructsel.gates.duplicates.repeats import asked_of, place_in_pool
from instructsel.gates.finding import Place

if TYPE_CHECKING:
    from instructsel.gates.change import Change


@dataclass(frozen=True)
class SamePromptRows:
    """A prompt of several rows."""

    rows: tuple[int, ...]
    """Positions in the change, in order."""
    pool_rows: tuple[int, ...]
    """Examples of the baseline."""
    own: OwnAsked
    pool: Asked | None

    def first(self, change: Change, but: int) -> Place:
        """Where another row with the prompt stands: of the baseline, or the first of the change."""
        if self.pool_rows:
            return place_in_pool(change, self.pool_rows[0])
        return change.rows[next(row for row in self.rows if row != but)].place


def same_prompts(change: Change, *, in_pool: bool) -> Iterator[SamePromptRows]:
    """The prompts that several rows have, at least one of the change among them.

    Args:
        change: the rows.
        in_pool: whether the baseline is looked at.
    """
    prompted = asked_of(change)
    pool, pool_rows = None, np.zeros(0, dtype=np.int64)
    if in_pool:
        assert change.baseline is not None
        pool = Asked.stored(change.baseline.part("prompts").arrays)
        pool_rows = np.flatnonzero(np.isin(pool.prompt, np.unique(prompted.prompt[prompted.prompt > 0])) & ~change.gone)
    prompts = np.concatenate([prompted.prompt, np.zeros(0, np.uint64) if pool is None else pool.prompt[pool_rows]])
    n = len(prompted.prompt)
    order = np.argsort(prompts, kind="stable")
    edges = (
        np.flatnonzero(np.concatenate([[True], prompts[order][1:] != prompts[order][:-1], [True]])) if len(order) else np.zeros(1, np.int64)
    )
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        group = order[start:end]
        if end - start < 2 or not prompts[group[0]] or group[0] >= n:
            continue
        rows = tuple(group[group < n].tolist())
        yield SamePromptRows(rows, tuple(pool_rows[group[group >= n] - n].tolist()), prompted, pool)


__all__ = ["SamePromptRows", "same_prompts"]
