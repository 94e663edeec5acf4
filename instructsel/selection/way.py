"""Ranking by a way to select instead of a rule: `select(pool, table, Way("rds+", target=…, encoder=…), budget=2000)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from instructsel.errors import UsageError

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.selection.baselines.base import Baseline, Context, TextEncoder
    from instructsel.selection.candidates import Ranking, ScoredCandidates

ABSENT: Final = {
    "deita": (
        "DEITA ranks by complexity × quality of two scorers of its own, which are not here.",
        "Its distance filter goes over any ranking: --max-similarity 0.9 with --by or --rule.",
    )
}
"""Ways that people look for and that are not here → why, and what there is instead."""


@dataclass(frozen=True)
class Way:
    """A way to select with what it looks at besides the pool and its scores. `instructsel rules list` prints the names."""

    name: str
    """`random`, `longest`, `superfiltering`, `rds+`, … or a plug-in's."""
    seed: int = 0
    """Of a way in which chance has a part."""
    target: Pool | None = None
    """Examples of what the fine-tuned model is to do, for a way that needs them."""
    encoder: TextEncoder | None = None
    """`PooledStates` of a language model, for a way that needs one."""
    tuned: TextEncoder | None = None
    """`PooledStates` of that model after a short fine-tune on the target set, for `loss_drop`."""

    def __post_init__(self) -> None:
        """Refuse a way that cannot make a selection.

        Raises:
            UsageError: there is none of that name, or it follows another selection.
        """
        if self.name in ABSENT:
            raise UsageError(ABSENT[self.name][0], fix=ABSENT[self.name][1])
        if self.baseline.needs_selection:
            raise UsageError(
                f"{self.name} follows another selection and makes none itself.", fix=f"Name it as a baseline: --baseline {self.name}"
            )

    @property
    def baseline(self) -> Baseline:
        """What ranks."""
        from instructsel.selection.baselines import registry

        return registry.make(self.name)

    @property
    def indicators(self) -> tuple[str, ...]:
        """Symbols of what it ranks by."""
        return self.baseline.needs

    @property
    def _context(self) -> Context:
        from instructsel.selection.baselines.base import Context

        return Context(None, self.seed, self.target, self.encoder, self.tuned)

    def check(self) -> None:
        """Refuse a way without what it needs.

        Raises:
            UsageError: the target set or the model is missing.
        """
        from instructsel.selection.baselines import registry

        registry.check_context(self.baseline, self._context)

    def ranking(self, candidates: ScoredCandidates) -> Ranking:
        """The candidates in its order.

        Raises:
            UsageError: the target set or the model is missing or of no use.
        """
        from instructsel.selection.baselines import registry

        self.check()
        return registry.ranking(self.baseline, candidates, self._context)


__all__ = ["ABSENT", "Way"]
