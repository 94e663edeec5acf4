"""The baselines that are selected beside a selection, and what they and the selection's own way are told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import TARGET_DEFAULTS, TargetReading
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.base import RANDOM, Baseline
from instructsel.selection.selection import Selection

if TYPE_CHECKING:
    from instructsel.cache import Cache
    from instructsel.scores.cached_states import CachedStates


@dataclass(frozen=True)
class Target:
    """What the model is to do well on, and the models that compare with it."""

    files: tuple[str, ...] = ()
    """Of examples."""
    model: str | None = None
    """The language model."""
    tuned: str | None = None
    """That model after a short fine-tune on the files."""
    store: Cache | None = None
    """Where what the models compute is kept."""
    reading: TargetReading = field(default_factory=TargetReading)
    """How the files are read."""

    def check(self, used: Sequence[Baseline]) -> None:
        """Refuse flags that none of the ways needs, and the lack of one that some way does.

        Raises:
            UsageError: one of them.
        """
        if self.reading != TARGET_DEFAULTS and not self.files:
            raise UsageError(
                "There are options of reading --target, and no --target.", fix="Leave them out: the pool is read as its scores record."
            )
        for flag, value, needed, example in (
            ("--target", self.files, "needs_target", "FILE"),
            ("--target-model", self.model, "needs_model", "embedded"),
            ("--tuned-model", self.tuned, "needs_tuned", "FOLDER"),
        ):
            users = [way.name for way in used if getattr(way, needed)]
            if users and not value:
                raise UsageError(f"{users[0]} needs {flag}.", fix=f"Give it, for example: {flag} {example}")
            if value and not users:
                takers = [name for name in registry.names() if getattr(registry.make(name), needed)]
                raise UsageError(
                    f"{flag} is for {', '.join(takers)}, and none of them is asked for.", fix=f"Add --by {takers[0]}, or leave it out."
                )

    @cached_property
    def _pool(self) -> Pool:
        return self.reading.settled().read(list(self.files))

    @cached_property
    def _states(self) -> dict[str, CachedStates]:
        return {}

    def _encoder(self, model: str | None) -> CachedStates:
        from instructsel.neighbors.pooled_states import PooledStates
        from instructsel.scores.cached_states import CachedStates

        assert model is not None
        if model not in self._states:
            self._states[model] = CachedStates(PooledStates.load(model), self.store)
        return self._states[model]

    def context(self, name: str) -> dict[str, Any]:
        """The target set and the models of a way, as far as it needs them; each is read once."""
        kind = registry.make(name)
        context: dict[str, Any] = {"target": self._pool} if kind.needs_target else {}
        if kind.needs_model:
            context["encoder"] = self._encoder(self.model)
        if kind.needs_tuned:
            context["tuned"] = self._encoder(self.tuned)
        return context


@dataclass(frozen=True)
class Comparison:
    """The baselines that are selected with a selection, and what they and the selection's own way look at."""

    names: tuple[str, ...] = ()
    """Of the baselines, each once."""
    seeds: tuple[int, ...] = (0,)
    """Of those in which chance has a part."""
    target: Target = field(default_factory=Target)
    """What they and the selection's own way are told."""

    @classmethod
    def of(
        cls,
        names: list[str] | None,
        random_subsets: int | None,
        seed: int,
        target: Target,
        *,
        way: str | None = None,
    ) -> Comparison:
        """From flags; `way` makes the selection itself.

        Raises:
            UsageError: no baseline of a name, the selection's own way among them, or a target without the model or the way it is for.
        """
        chosen = tuple(dict.fromkeys(names or []))
        if random_subsets and not any(registry.make(name).seeded for name in chosen):
            chosen = (RANDOM, *chosen)
        if way is not None and way in chosen:
            raise UsageError(f"The baseline {way} is the selection itself.", fix="Leave one of them out, or take another rule or way.")
        used = [registry.make(name) for name in ([way] if way is not None else []) + list(chosen)]
        target.check(used)
        return cls(chosen, tuple(range(seed, seed + (random_subsets or 1))), target)

    @property
    def subsets(self) -> list[str]:
        """What every baseline's replicates will be called."""
        kinds = [registry.make(name) for name in self.names]
        return [kind.named(seed) for kind in kinds for seed in (self.seeds if kind.seeded else (0,))]

    def select(self, chosen: Selection, seconds: dict[str, float]) -> list[Selection]:
        """The baselines of a selection; the seconds of each are added to `seconds`."""
        results: list[Selection] = []
        for name in self.names:
            began = time.monotonic()
            replicates = registry.baselines(chosen, [name], seeds=self.seeds, **self.target.context(name))
            seconds |= {one.name: (time.monotonic() - began) / len(replicates) for one in replicates}
            results += replicates
        return results


__all__ = ["Comparison", "Target"]
