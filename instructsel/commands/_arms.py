"""The arms of a verification from the files and folders that are named: rows, baselines beside them, models, finished results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from instructsel.errors import StudyError, UsageError
from instructsel.experiments.arms import Arm
from instructsel.experiments.from_selection import BASE, RANDOM, SELECTION, WHOLE_POOL, found_beside, ranked_with, selection_seconds
from instructsel.pool import spec
from instructsel.protocols import Checkpoint, Grades


def named(entries: Iterable[str], flag: str) -> dict[str, list[list[str]]]:
    """NAME=A,B+C as name → draws, each a list of seeds; a comma parts draws, a plus the seeds of one.

    Raises:
        UsageError: no such entry, or a name that stands twice.
    """
    found: dict[str, list[list[str]]] = {}
    for entry in entries:
        name, equals, paths = entry.partition("=")
        draws = [[path for path in draw.split("+") if path] for draw in paths.split(",")]
        if not equals or not name or not draws or not all(draws):
            raise UsageError(f"'{entry}' is no arm.", fix=f"Write {flag} NAME=FILE, with several separated by commas for several draws.")
        if name in found:
            raise UsageError(f"The arm {name} is named twice.", fix="Give all of its draws at once, separated by commas.")
        found[name] = draws
    return found


def of_rows(
    selection: str | None, entries: Sequence[str], *, beside: bool, pool: Sequence[str], draws: int, whole: bool, form: str
) -> list[Arm]:
    """The arms that are to be trained on.

    Args:
        selection: its file.
        entries: NAME=FILE[,FILE…].
        beside: whether the baselines that select wrote are taken.
        pool: files of the pool that the selection is from, to draw at random from, or to train on as a whole.
        draws: random subsets of it, each as large as the selection; none where random ones are there already.
        whole: whether the pool itself is an arm.
        form: of the rows of all files.

    Raises:
        UsageError: an entry that is none, a name twice, or a pool that is needed and not named.
        PoolError: a file that cannot be read.
    """
    reading = spec.Reading(form)
    files: dict[str, list[str]] = {} if selection is None else {SELECTION: [selection]}
    if beside and selection is not None:
        files |= found_beside(Path(selection))
    given = named(entries, "--arm")
    if SELECTION in files and SELECTION in given:
        raise UsageError("The arm selection is named twice.", fix="Its rows are the argument; call the other arm otherwise.")
    # A file may well have a plus in its name: rows have no seeds.
    files |= {name: ["+".join(draw) for draw in each] for name, each in given.items()}
    read = {name: tuple(reading.read([path]) for path in paths) for name, paths in files.items()}
    seconds = {name: selection_seconds(paths[0], name) for name, paths in files.items()}
    if pool or whole:
        if not pool:
            raise UsageError("--whole-pool needs the pool.", fix="Name its files with --pool.")
        all_rows = reading.read(list(pool))
        if whole:
            read[WHOLE_POOL], seconds[WHOLE_POOL] = (all_rows,), 0.0
        if RANDOM not in read and draws:
            if SELECTION not in read:
                raise UsageError("Random subsets are as large as the selection, and there is none.", fix="Name the selection's rows.")
            rows = len(read[SELECTION][0])
            if rows > len(all_rows):
                raise UsageError(f"The pool has {len(all_rows)} rows, the selection {rows}.", fix="Name the pool it was selected from.")
            read[RANDOM], seconds[RANDOM] = tuple(all_rows.sample(rows, seed=draw) for draw in range(draws)), 0.0
    return [
        Arm(name, pools, selection_seconds=seconds[name], ranked_with=ranked_with(files[name][0]) if name in files else frozenset())
        for name, pools in read.items()
    ]


def of_models(entries: Sequence[str]) -> list[Arm]:
    """The arms whose models are trained already.

    Raises:
        UsageError: an entry that is none.
        ModelUnavailable, UntrustedModel: a model that is not there, or pickled.
    """
    from instructsel.grading.checkpoint import checkpoint_of

    def models(draw: Sequence[str]) -> tuple[Checkpoint, ...]:
        return tuple(checkpoint_of(folder) for folder in draw)

    return [Arm(name, checkpoints=tuple(models(draw) for draw in draws)) for name, draws in named(entries, "--checkpoint").items()]


def of_results(entries: Sequence[str], files: Path | None = None) -> list[Arm]:
    """The arms of which there are finished results: folders or files of lm-evaluation-harness, AlpacaEval's annotations.

    Raises:
        UsageError: an entry that is none.
        ObservationsError, ScoresError: results that cannot be read, or have no samples.
    """

    def grades(draw: Sequence[str]) -> tuple[tuple[Grades, ...], ...]:
        return tuple(read_finished(path, files) for path in draw)

    return [Arm(name, results=tuple(grades(draw) for draw in draws)) for name, draws in named(entries, "--results").items()]


def incomplete(arms: Iterable[Arm]) -> list[str]:
    """What is to be said of annotations that are AlpacaEval's and not of all its instructions."""
    from instructsel.adapters.alpaca_eval.files import OFFICIAL

    found = []
    for arm in arms:
        for grades in (each for draw in arm.results for seed in draw for each in seed):
            if grades.record.get("of_alpaca_eval") and len(grades.items) != OFFICIAL:
                found.append(f"{arm.name} has annotations of {len(grades.items)} of AlpacaEval's {OFFICIAL} instructions.")
    return list(dict.fromkeys(found))


def read_finished(path: str, files: Path | None = None) -> tuple[Grades, ...]:
    """The grades of finished results.

    Args:
        path: of annotations, or of the harness's results.
        files: a folder with AlpacaEval's own file for its length control.

    Raises:
        UsageError: no results there.
        ObservationsError, ScoresError: results that cannot be read.
    """
    from instructsel.adapters.alpaca_eval.files import read_annotations, rows_of
    from instructsel.adapters.alpaca_eval.length_control import official_length_control
    from instructsel.adapters.lm_eval.results import read_results
    from instructsel.grading.graders.judged_outputs import grades_of

    if Path(path).is_file() and (Path(path).suffix == ".jsonl" or _is_list(Path(path))):
        found = read_annotations(path)
        official = official_length_control(rows_of(path), files) if found.record["official"] and found.n_total else None
        return (grades_of(found, official=official),)
    return tuple(read_results(path))


def _is_list(path: Path) -> bool:
    """Whether a file begins like a JSON list: annotations; the harness's results are an object."""
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"["


def untouched(base: str, revision: str | None) -> Arm:
    """The base as it is."""
    from instructsel.grading.checkpoint import checkpoint_of

    return Arm(BASE, checkpoints=(checkpoint_of(base, revision),), fixed=True, selection_seconds=0.0)


def judged_base(base: str) -> dict[str, Any] | None:
    """What a base says of itself: benchmarks/models/tinybase writes beside the weights whether it is better than chance; others say nothing.

    Raises:
        StudyError: a record that cannot be read.
    """
    path = Path(base) / "tinybase.json"
    if not path.is_file():
        return None
    try:
        judged = orjson.loads(path.read_bytes()).get("judged")
        if not isinstance(judged, dict):
            return None
        tasks = judged.get("tasks") or {}
        told = ", ".join(f"{name} {task['value']:.3f} (chance {task['chance']:.2f})" for name, task in sorted(tasks.items()))
        return {
            "enough": bool(judged["enough_model"]),
            "said": told,
            "digest": hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        }
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} cannot be read: {error}.", fix="Judge the base again, or remove the file.") from error


__all__ = ["judged_base", "of_models", "of_results", "of_rows", "untouched"]
