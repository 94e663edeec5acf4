"""The arms of a plan from flags: rows, baselines of the selection, models, finished results, random subsets, the base."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from instructsel.errors import UsageError
from instructsel.experiments.from_selection import BASE, RANDOM, SELECTION, WHOLE_POOL, baselines_of
from instructsel.experiments.limits import at_least, check_limits
from instructsel.experiments.plan import PlannedArm


@dataclass(frozen=True)
class ArmSettings:
    """What the selection is compared with."""

    baselines: bool = True
    """Compare with the baselines that select wrote with the selection."""
    pool: tuple[str, ...] = field(default=())
    """Pool of the selection: random subsets are taken of it where select wrote none. May be repeated."""
    random_subsets: int = field(default=3, metadata=at_least(0))
    """Random subsets to take of --pool."""
    whole_pool: bool = False
    """Compare with the whole pool, too."""
    base_model: bool = True
    """Grade the base model as it is, too."""
    arm: tuple[str, ...] = ()
    """Another arm (a training set under comparison): files of rows, one a replicate (another draw of the same arm). May be repeated."""
    checkpoint: tuple[str, ...] = ()
    """Arm of models that are trained already: commas between replicates, plus signs between the seeds of one. May be repeated."""
    results: tuple[str, ...] = ()
    """Arm of finished results: folders of lm-evaluation-harness with samples, or AlpacaEval's annotations. May be repeated."""

    def __post_init__(self) -> None:
        check_limits(self)


def planned_arms(selection: str | None, settings: ArmSettings, *, base: str) -> tuple[PlannedArm, ...]:
    """The arms that flags name, the selection first.

    Raises:
        UsageError: an entry that is none, a name twice, or a pool that is needed and not named.
    """
    arms: list[PlannedArm] = []
    if selection is not None:
        arms.append(PlannedArm(SELECTION, rows=((selection,),)))
        if settings.baselines:
            arms += [PlannedArm(name, rows=replicates) for name, replicates in baselines_of(selection).items()]
    entries = named(settings.arm, "--arm")
    if selection is not None and SELECTION in entries:
        raise UsageError("The arm selection is named twice.", fix="Its rows are the argument; call the other arm otherwise.")
    # What a flag names stands for what select wrote; a file may well have a plus in its name: rows have no seeds.
    arms = [arm for arm in arms if arm.name not in entries]
    arms += [PlannedArm(name, rows=tuple(("+".join(files),) for files in replicates)) for name, replicates in entries.items()]
    if settings.whole_pool:
        if not settings.pool:
            raise UsageError("--whole-pool needs the pool.", fix="Name its files with --pool.")
        arms.append(PlannedArm(WHOLE_POOL, rows=(settings.pool,)))
    if settings.pool and settings.random_subsets and not any(arm.name == RANDOM for arm in arms):
        arms.append(PlannedArm(RANDOM, pool=settings.pool, random_subsets=settings.random_subsets))
    arms += [PlannedArm(name, checkpoints=models) for name, models in named(settings.checkpoint, "--checkpoint").items()]
    arms += [PlannedArm(name, results=paths) for name, paths in named(settings.results, "--results").items()]
    if settings.base_model and base and not any(arm.name == BASE for arm in arms):
        arms.append(PlannedArm(BASE, base_model=True))
    return tuple(arms)


def named(entries: Iterable[str], flag: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """NAME=A,B+C as name → replicates, each its seeds; a comma parts replicates, a plus the seeds of one.

    Raises:
        UsageError: no such entry, or a name that stands twice.

    >>> named(["mine=a,b+c"], "--checkpoint")
    {'mine': (('a',), ('b', 'c'))}
    """
    arms: dict[str, tuple[tuple[str, ...], ...]] = {}
    for entry in entries:
        name, equals, paths = entry.partition("=")
        replicates = tuple(tuple(path for path in replicate.split("+") if path) for replicate in paths.split(","))
        if not equals or not name or not replicates or not all(replicates):
            raise UsageError(f"'{entry}' is no arm.", fix=f"Write {flag} NAME=FILE, with commas between the files of several replicates.")
        if name in arms:
            raise UsageError(f"The arm {name} is named twice.", fix="Give all of its replicates at once, separated by commas.")
        arms[name] = replicates
    return arms


__all__ = ["ArmSettings", "named", "planned_arms"]
