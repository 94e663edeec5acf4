"""The baselines that are selected beside a selection, and what they and the selection's own way are told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import TARGET_DEFAULTS, TargetReading
from instructsel.scores.neighborhood import Watch, unwatched
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.base import RANDOM, Baseline
from instructsel.selection.selection import Selection

if TYPE_CHECKING:
    from instructsel.cache import Cache
    from instructsel.scores.cached_states import CachedStates


EXAMPLES: Final = {"--target": "FILE", "--target-model": "embedded", "--tuned-model": "FOLDER"}
"""What a flag of a way may be followed by."""


def flags_of(way: Baseline) -> list[str]:
    """The flags that a way needs."""
    needed = {"--target": way.needs_target, "--target-model": way.needs_model, "--tuned-model": way.needs_tuned}
    return [flag for flag, is_needed in needed.items() if is_needed]


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
    watch: Watch = unwatched
    """Told how far they are."""
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
        given = {"--target": self.files, "--target-model": self.model, "--tuned-model": self.tuned}
        for way in used:
            if missing := [flag for flag in flags_of(way) if not given[flag]]:
                example = " ".join(f"{flag} {EXAMPLES[flag]}" for flag in missing)
                them = "it" if len(missing) == 1 else "them"
                needs = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
                raise UsageError(f"{way.name} needs {needs}.", fix=f"Give {them}, for example: {example}")
        for flag, value in given.items():
            if value and not any(flag in flags_of(way) for way in used):
                takers = [name for name in registry.names() if flag in flags_of(registry.make(name))]
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
            self._states[model] = CachedStates(PooledStates.load(model), self.store, self.watch)
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
