"""The arms of a plan from flags: rows, baselines of the selection, models, finished results, random subsets, the base."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from instructsel.errors import StudyError, UsageError
from instructsel.experiments.from_selection import BASE, RANDOM, SELECTION, WHOLE_POOL, baselines_of
from instructsel.experiments.limits import MOST_SUBSETS, between, check_limits
from instructsel.experiments.plan import PlannedArm
from instructsel.grading.results_table import is_table, read_table
from instructsel.human.results import arms_in, is_judgments


@dataclass(frozen=True)
class ArmSettings:
    """What the selection is compared with."""

    baselines: bool = True
    """Compare with the baselines that select wrote with the selection."""
    pool: tuple[str, ...] = field(default=())
    """Pool of the selection: random subsets are taken of it where select wrote none. May be repeated."""
    random_subsets: int = field(default=3, metadata=between(0, MOST_SUBSETS))
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
    """Finished results: a table of runs or items (CSV, JSON lines, Parquet), whose arms all count, or judge-app's judgments, whose models are the arms, also beside rows, models and other results of these; or NAME=… for one arm: its table, folders of lm-evaluation-harness with samples, or AlpacaEval's annotations. May be repeated."""
    candidate: str | None = None
    """The arm of tables of results that the verdict is about, where none of them is called selection."""

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
    arms = _with_results(settings, arms)
    if settings.base_model and base and not any(arm.name == BASE for arm in arms):
        arms.append(PlannedArm(BASE, base_model=True))
    return tuple(arms)


def _with_results(settings: ArmSettings, present: Sequence[PlannedArm]) -> list[PlannedArm]:
    """The arms with finished results: those that an entry names, and all of the tables and judgments that stand alone.

    People's judgments of an arm that is there already are further grades of its runs, and so is a table beside rows or models.

    Args:
        settings: the entries.
        present: other arms.

    Raises:
        UsageError: no such entry, an arm twice, or no arm that the verdict could be about.
        ObservationsError: a table that is not of the form.
    """
    alone = [entry for entry in settings.results if "=" not in entry or is_table(entry) or is_judgments(entry)]
    for path in alone:
        if not Path(path).exists():
            raise StudyError(f"There is no file or folder {path}.", fix="Correct the path.")
        if not is_table(path) and not is_judgments(path):
            raise UsageError(f"{path} is no table of results.", fix="Name the arm that it is of: --results NAME=PATH")
    arms = {arm.name: arm for arm in present}
    for name, paths in named([entry for entry in settings.results if entry not in alone], "--results").items():
        arms[name] = _beside(arms.get(name), name, paths)
    places: dict[str, list[str]] = {}
    for path in dict.fromkeys(alone):
        for arm in arms_in(path) if is_judgments(path) else read_table(path).arms:
            places.setdefault(arm, []).append(path)
    candidate = settings.candidate
    if candidate is not None and not places:
        raise UsageError(
            f"--candidate {candidate} names an arm of a table of --results, and there is no such table.",
            fix=f"Name the arm that the verdict is about {SELECTION}, e.g. --checkpoint {SELECTION}=FOLDER --checkpoint other=FOLDER",
        )
    if candidate is not None and candidate not in places:
        raise UsageError.named(candidate, places, noun="arm", where="in a table of --results")
    if candidate not in (None, SELECTION) and SELECTION in [*arms, *places]:
        raise UsageError(f"The verdict is about the arm {SELECTION}, and --candidate names {candidate}.", fix="Leave --candidate out.")
    if places and candidate is None and SELECTION not in [*arms, *places]:
        raise UsageError(
            f"No arm of {', '.join(alone)} is called {SELECTION}; there are {', '.join(list(places)[:8])}.",
            fix=f"Name the one that the verdict is about, e.g. --candidate '{next((arm for arm in places if arm not in (RANDOM, BASE)), 'NAME')}'",
        )
    # The base last: a verdict is rather against another arm.
    for place in sorted(places, key=lambda arm: arm == BASE):
        name = SELECTION if place == candidate else place
        arms[name] = _beside(arms.get(name), name, tuple((path,) for path in places[place]), "" if name == place else place)
    return list(arms.values())


def _beside(arm: PlannedArm | None, name: str, paths: tuple[tuple[str, ...], ...], table_arm: str = "") -> PlannedArm:
    """An arm with results, beside what it has.

    Raises:
        UsageError: it has results of the same kind already.
    """
    if arm is None:
        return PlannedArm(name, results=paths, table_arm=table_arm)
    if arm.results and not all(is_judgments(path) for seeds in paths for path in seeds):
        raise UsageError(f"The arm {name} is named twice.", fix="Name its results once.")
    return replace(arm, results=(*arm.results, *paths), table_arm=table_arm)


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
