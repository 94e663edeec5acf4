"""The arms of a plan: rows, random subsets, models and finished results become what can be trained and graded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import read_manifest
from instructsel.errors import InstructselError, ScoresError, UsageError
from instructsel.experiments.arms import Arm, rows_digest
from instructsel.experiments.plan import BASE, RANDOM, SELECTION, WHOLE_POOL, Experiment, PlannedArm
from instructsel.experiments.toolkit import Toolkit
from instructsel.grading.results_grades import ArmResults, grades_of_tables
from instructsel.grading.results_table import is_table, read_table
from instructsel.human.results import grades_of_people, is_judgments
from instructsel.paths import resolved
from instructsel.pool import spec
from instructsel.pool.pool import Pool
from instructsel.protocols import Grades
from instructsel.scores.shape import ScoresManifest
from instructsel.selection.baselines.random_subset import random_subset
from instructsel.selection.candidates import Candidates
from instructsel.selection.selection_set import SelectionSet, manifest_of, sidecar_of
from instructsel.selection.settings import SelectionSettings
from instructsel.selection.shape import SidecarManifest
from instructsel.text import counted

JUDGMENTS: Final = "people's judgments"
TABLE: Final = "a table of results"
OTHER: Final = "results of lm-evaluation-harness or AlpacaEval"
MIXED: Final = "The arm {} is of tables of results and of other results."
COMPUTED: Final = 0.8
"""The share of a pool's rows that a model must have scored for its seconds to be those of scoring the pool: some rows are equal."""
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    RANDOM: (),
    WHOLE_POOL: (),
    "longest": ("len",),
    "length-matched": ("len",),
    "reward-only": ("rew",),
    "rds+": (),
    "dsir": (),
    "ica": (),
    "k-center": (),
    "loss_drop": (),
    "superfiltering": ("ifd",),
}
"""Which indicators a baseline is ranked by; of others it is not known what choosing them took."""


def baselines_of(selection: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The baselines that select wrote with a selection: arm → one file a replicate; none where no record of the selection says so.

    Raises:
        UsageError: a file of them is gone, or has changed since it was selected.
        ScoresError: the record of the selection is damaged.
    """
    if not manifest_of(Path(selection)).is_file():
        return {}
    selection_set = SelectionSet.read(selection)
    if resolved(selection_set.selection.file) != resolved(selection):
        # The rows of a baseline, named as a selection.
        return {}
    for subset in selection_set.subsets:
        subset.check()
    arms = selection_set.by_arm()
    return {arm: tuple((str(subset.file),) for subset in subsets) for arm, subsets in arms.items() if arm != SELECTION}


def without_record(selection: str) -> bool:
    """Whether rows were selected by a release that left no record of the baselines beside them."""
    return sidecar_of(Path(selection)).is_file() and not manifest_of(Path(selection)).is_file()


def load_arms(plan: Experiment, toolkit: Toolkit, *, message: Callable[[str], None] | None = None) -> tuple[list[Arm], dict[str, str]]:
    """The arms of a plan, and the digest of the rows of every replicate, by its name.

    Args:
        plan: what is compared.
        toolkit: reads finished results.
        message: gets a line where random subsets are of other candidates than the selection's.

    Raises:
        UsageError: an arm whose rows are those of the selection, random subsets larger than their pool, or of another pool than a
            recorded selection.
        ModelUnavailable: the tokenizer of a selection's budget in tokens is not to be had.
        PoolError: a file that cannot be read.
        ModelUnavailable, UntrustedModel: a model that is not there, or pickled.
        ObservationsError: a table of results that is not of the form.
    """
    reading = plan.reading.settled()
    arms: dict[str, Arm] = {}
    size: int | None = None
    results = _of_results(plan, toolkit, message)
    # The selection first: its size is that of the random subsets.
    for planned in sorted(plan.arms, key=lambda arm: arm.name != SELECTION):
        if planned.pool:
            selection = next((arm for arm in plan.arms if arm.name == SELECTION), None)
            arm = Arm(planned.name, _random_subsets(planned, reading, selection, size, message), selection_seconds=0.0)
        elif planned.rows or planned.checkpoints or planned.base_model:
            arm = _load(planned, plan, reading)
        else:
            of_harness = all(_kind_of(path) == OTHER for seeds in planned.results for path in seeds)
            arm = _finished(planned.name, results[planned.name], of_harness=of_harness)
        if planned.name in results and not arm.results:
            arm = replace(arm, results=results[planned.name].grades, result_labels=results[planned.name].labels)
        if planned.name == SELECTION and arm.pools:
            size = len(arm.pools[0])
        arms[planned.name] = arm
    loaded = [arms[planned.name] for planned in plan.arms]
    digests = {f"{arm.name} {number}": rows_digest(pool.ids) for arm in loaded for number, pool in enumerate(arm.pools)}
    _check_apart(loaded, digests)
    return loaded, digests


def _of_results(plan: Experiment, toolkit: Toolkit, message: Callable[[str], None] | None) -> dict[str, ArmResults]:
    """The finished results of arms: those in tables, and people's judgments, all of them together, so that runs are compared on the same items.

    Raises:
        UsageError: an arm of tables and of other results, or one of rows or models with results that name no runs.
        ObservationsError: a table that is not of the form, or has no such arm.
    """
    people: dict[str, list[str]] = {}
    tables: dict[str, list[str]] = {}
    parts: dict[str, list[ArmResults]] = {}
    for arm in plan.arms:
        others = []
        for seeds in arm.results:
            kinds = {_kind_of(path) for path in seeds}
            if kinds == {OTHER}:
                others.append(seeds)
                continue
            for path in dict.fromkeys(seeds):
                if (kind := _kind_of(path)) == OTHER:
                    raise UsageError(MIXED.format(arm.name), fix="Give two arms, or results of one kind.")
                (people if kind == JUDGMENTS else tables).setdefault(arm.name, []).append(path)
        if others and arm.name in tables:
            raise UsageError(MIXED.format(arm.name), fix="Give two arms, or results of one kind.")
        if others and (arm.rows or arm.pool or arm.checkpoints or arm.base_model):
            raise UsageError(
                f"The arm {arm.name} has rows or models, and results that do not say of which run they are.",
                fix="Give a table of results, or people's judgments.",
            )
        if others:
            parts[arm.name] = [_in_order(tuple(tuple(toolkit.results(path, plan.grading) for path in seeds) for seeds in others))]
    inside = {arm.name: arm.table_arm or arm.name for arm in plan.arms}
    read = {path: read_table(path) for path in dict.fromkeys(path for paths in tables.values() for path in paths)}
    if message is not None:
        for table in read.values():
            for note in table.notes():
                message(f"note: {note}")
        for arm in plan.arms:
            if arm.table_arm and (arm.name in tables or arm.name in people):
                message(f"note: {arm.name} is the arm {arm.table_arm} of the results.")
    of_tables = grades_of_tables({name: [(read[path], inside[name]) for path in dict.fromkeys(paths)] for name, paths in tables.items()})
    of_people = (
        grades_of_people({name: [(path, inside[name]) for path in dict.fromkeys(paths)] for name, paths in people.items()})
        if people
        else {}
    )
    for graded in (of_tables, of_people):
        for name, results in graded.items():
            parts.setdefault(name, []).append(results)
    return {name: _together(results) for name, results in parts.items()}


def _kind_of(path: str) -> str:
    """What results are in a file or folder."""
    return JUDGMENTS if is_judgments(path) else TABLE if is_table(path) else OTHER


def _in_order(grades: tuple[tuple[tuple[Grades, ...], ...], ...]) -> ArmResults:
    """Results whose place says which replicate and seed they are of."""
    return ArmResults(tuple(tuple((replicate, seed) for seed in range(len(seeds))) for replicate, seeds in enumerate(grades)), grades)


def _together(parts: Sequence[ArmResults]) -> ArmResults:
    """The grades of an arm's runs by all graders."""
    if len(parts) == 1:
        return parts[0]
    runs: dict[tuple[int, int], tuple[Grades, ...]] = {}
    for part in parts:
        for labels, by_seed in zip(part.labels, part.grades, strict=True):
            for label, grades in zip(labels, by_seed, strict=True):
                runs[label] = (*runs.get(label, ()), *grades)
    by_replicate: dict[int, list[tuple[int, int]]] = {}
    for label in sorted(runs):
        by_replicate.setdefault(label[0], []).append(label)
    labels_by_replicate = tuple(map(tuple, by_replicate.values()))
    return ArmResults(labels_by_replicate, tuple(tuple(runs[label] for label in labels) for labels in labels_by_replicate))


def _finished(name: str, results: ArmResults, *, of_harness: bool) -> Arm:
    """An arm of results alone; the base of a table is one model as it is, where it has one run."""
    fixed = name == BASE and not of_harness and [len(seeds) for seeds in results.grades] == [1]
    return Arm(name, results=results.grades, result_labels=results.labels, fixed=fixed)


def _load(planned: PlannedArm, plan: Experiment, reading: spec.Reading) -> Arm:
    from instructsel.grading.checkpoint import checkpoint_of

    name = planned.name
    if planned.base_model:
        base = checkpoint_of(plan.training.base, plan.training.revision)
        return Arm(name, checkpoints=(base,), fixed=True, selection_seconds=0.0)
    if planned.checkpoints:
        return Arm(name, checkpoints=tuple(tuple(checkpoint_of(model) for model in seeds) for seeds in planned.checkpoints))
    pools = tuple(reading.read(list(files)) for files in planned.rows)
    first = planned.rows[0][0]
    seconds = 0.0 if name == WHOLE_POOL else selection_seconds(first, name)
    return Arm(name, pools, selection_seconds=seconds, ranked_with=ranked_with(first))


def _random_subsets(
    planned: PlannedArm, reading: spec.Reading, selection: PlannedArm | None, size: int | None, message: Callable[[str], None] | None
) -> tuple[Pool, ...]:
    """Random subsets of the pool: of the candidates of the selection under its own budget where these are recorded.

    These are the rows of `select --random-subsets`. Rows without a record have as many examples drawn, of all but exact duplicates.
    """
    if selection is None or size is None:
        raise UsageError("Random subsets are as large as the selection, and it has no rows here.", fix="Name the selection's rows.")
    seeds = range(planned.random_subsets)
    selection_set = _recorded(selection)
    if selection_set is not None:
        candidates = selection_set.candidates(selection_set.pool(planned.pool))
        return tuple(random_subset(candidates, None, seed) for seed in seeds)
    if message is not None:
        message(
            f"note: no record says what the selection was chosen from; random subsets are {counted(size, 'row')} of --pool without exact duplicates."
        )
    pool = reading.read(list(planned.pool))
    if size > len(pool):
        raise UsageError(f"The pool has {counted(len(pool), 'row')}, the selection {size}.", fix="Name the pool it was selected from.")
    candidates = Candidates.of(pool, SelectionSettings(size, near_duplicate_threshold=None))
    subsets = tuple(random_subset(candidates, size, seed) for seed in seeds)
    if any(len(subset) < size for subset in subsets):
        raise UsageError(
            f"{counted(min(map(len, subsets)), 'row')} of the pool can be chosen at random, fewer than the {size} of the selection.",
            fix="Name the pool it was selected from.",
        )
    return subsets


def _recorded(selection: PlannedArm) -> SelectionSet | None:
    """The record of a selection, checked; None of rows that select did not write as a selection.

    Raises:
        UsageError: the rows have changed since they were selected.
        ScoresError: the record is damaged.
    """
    files = [Path(file) for replicate in selection.rows for file in replicate]
    if len(files) != 1 or not manifest_of(files[0]).is_file():
        return None
    selection_set = SelectionSet.read(files[0])
    if resolved(selection_set.selection.file) != resolved(files[0]):
        return None
    selection_set.selection.check()
    return selection_set


def _check_apart(arms: list[Arm], digests: Mapping[str, str]) -> None:
    """Refuse arms that hold the selection's rows and no others: their difference is 0 whatever a selection is worth."""
    rows = {arm.name: {digests[f"{arm.name} {number}"] for number in range(len(arm.pools))} for arm in arms}
    same = [name for name in rows if name != SELECTION and rows[name] & rows.get(SELECTION, set())]
    if same:
        count = next(len(arm.pools[0]) for arm in arms if arm.name == SELECTION)
        raise UsageError(
            f"The selection and {', '.join(same)} hold the same {counted(count, 'row')}, so that there is nothing to compare.",
            fix=f"Select without {', '.join(same)}, or fewer rows than the pool has, with --n or --fraction.",
        )


def selection_seconds(path: str, arm: str) -> float | None:
    """Seconds that choosing a file's rows took: its indicators and its ranking; None where that was not recorded, or the cache had the scores."""
    try:
        manifest = read_manifest(sidecar_of(Path(path)), SidecarManifest) or {}
        table = (manifest.get("run") or {}).get("scores")
        scores = (read_manifest(table, ScoresManifest) if table else None) or {}
    except InstructselError:
        return None
    needed = NEEDS.get(arm, tuple(manifest.get("indicators") or ()) if arm == SELECTION else None)
    if not manifest or needed is None:
        return None
    seconds = (scores.get("run") or {}).get("seconds") or {}
    ranking = (manifest.get("run") or {}).get("seconds")
    computed, rows = (scores.get("run") or {}).get("computed") or {}, (scores.get("pool") or {}).get("examples") or 0
    if any((computed.get(symbol, rows) or 0) < COMPUTED * rows for symbol in needed):
        return None
    if any(seconds.get(symbol) is None for symbol in needed) or ranking is None:
        return None
    return float(ranking) + float(sum(seconds[symbol] for symbol in needed))


def ranked_with(path: str) -> frozenset[str]:
    """Digests of the models that ranked a file's rows, by the record beside it: what a judge or reward model among them grades is leakage."""
    try:
        manifest = read_manifest(sidecar_of(Path(path))) or {}
    except ScoresError:
        return frozenset()
    return frozenset(_digests(manifest.get("indicators")))


def _digests(indicators: Any) -> Iterator[str]:
    if isinstance(indicators, Mapping):
        for key, value in indicators.items():
            if key == "digest" and isinstance(value, str):
                yield value
            yield from _digests(value)


__all__ = ["BASE", "RANDOM", "SELECTION", "WHOLE_POOL", "baselines_of", "load_arms", "ranked_with", "selection_seconds", "without_record"]
