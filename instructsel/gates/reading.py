"""Reading a change: the new rows of some files, as a baseline's pool was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from instructsel.collector import seldom_collected
from instructsel.errors import BaselineError, EmptyFile, PoolError, UsageError
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.baseline.known import Known, nothing, read_new
from instructsel.gates.change import Change
from instructsel.gates.config import GateConfig
from instructsel.gates.unread import UnreadFile, without_unread_folders
from instructsel.mixtures.origin import Mixed, recipe_in
from instructsel.pool.sources import Source
from instructsel.pool.spec import Reading
from instructsel.read_report import ReadReport

FIELDS: Final = {"format": "form", "map": "mapping", "on_duplicate_key": "duplicate_key", "role": "roles"}
"""Setting of [data] → field of a reading, where the names differ."""


@seldom_collected()
def read_change(
    paths: Sequence[str],
    *,
    baseline: str | Path | None = None,
    reading: Reading | None = None,
    nightly: bool = False,
    message: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    only: Callable[[Source], Source] | None = None,
) -> Change:
    """The rows of some files that a baseline does not have in the same file.

    A baseline that cannot be read is no reason to look at nothing: the change has its fault, and all rows are new. Nor is a file that is no pool:
    the change has the rows of the others, and the file with its error among those that are unread.

    Args:
        paths: files or folders, as Pool.read takes them; or a recipe of a mixture, which is mixed for the while.
        baseline: the file.
        reading: how the rows are read; by default as the baseline's pool.
        nightly: whether rates count, and not only the lower bounds of their intervals.
        message: gets lines on the files.
        progress: called with how many bytes of how many are read.
        only: what opened files go through first; see `git.new_rows.NewRows.only`.

    Raises:
        PoolError: none of the files is there, or a mixture cannot be made.
        EmptyFile: the files have no rows.
        UsageError: options that exclude each other.
    """
    compared, fault = _compared(baseline)
    options = reading or Reading()
    recipe = recipe_in(paths)
    if recipe is not None:
        if only is not None:
            raise UsageError(
                f"{paths[0]} is a recipe, and --diff is of lines of files.",
                fix="Gate the mixture without --diff, or the files of its sources.",
            )
        mixed = Mixed(recipe, message)
        paths, only = [mixed.path], mixed.through()

    def opened(source: Source) -> Source:
        return replace(source if only is None else only(source), unanswered=True, held=True)

    folders: list[UnreadFile] = []
    files: list[UnreadFile] = []
    known = Known()
    try:
        paths = without_unread_folders(paths, lambda *refused: folders.append(UnreadFile(*refused)))
        if compared is None:
            pool = options.read(
                paths,
                message=message,
                progress=progress,
                through=opened,
                refused=lambda *refused: files.append(UnreadFile(*refused)),
            )
        else:
            pool, known = read_new(paths, compared, reading, message=message, progress=progress, only=opened, unread=files)
    except EmptyFile:
        if not folders:
            raise
        pool = nothing((), options)
    except PoolError as error:
        unread = (*folders, *files)
        if not unread or all(file.is_missing for file in unread):
            raise
        return Change(replace(nothing((), options), report=error.report or ReadReport()), nightly, compared, fault=fault, unread=unread)
    change = Change(pool, nightly, compared, known, fault=fault, unread=(*folders, *files))
    # A mixture that is another than its manifest says is no reason to look at a single row.
    change.mixtures  # noqa: B018
    return change


def no_change(baseline: str | Path | None, reading: Reading | None = None) -> Change:
    """A change without a row, with the fault of a baseline that cannot be read."""
    compared, fault = _compared(baseline)
    return Change(nothing((), reading or Reading()), baseline=compared, fault=fault)


def _compared(baseline: str | Path | None) -> tuple[Baseline | None, BaselineError | None]:
    """A baseline, or why it cannot be read."""
    try:
        return (None if baseline is None else Baseline.read_whole(baseline)), None
    except BaselineError as error:
        return None, error


def reading_of(settings: GateConfig, flags: Reading | None = None) -> Reading | None:
    """How rows are read: as [data] of a configuration says where no flag says otherwise; None where neither says anything, as the baseline's pool."""
    default = Reading()
    stated = flags or default
    changes: dict[str, Any] = {}
    for name, value in settings.data.items():
        field = FIELDS.get(name, name)
        if name != "new" and getattr(stated, field) == getattr(default, field):
            changes[field] = tuple(value) if isinstance(value, list) else value
    reading = replace(stated, **changes)
    return None if reading == default else reading


def data_of(reading: Reading) -> dict[str, Any]:
    """[data] of a configuration that says how rows are read: what is not as by default."""
    names = {field: name for name, field in FIELDS.items()}
    default = Reading().as_dict()
    return {names.get(field, field): value for field, value in reading.as_dict().items() if value != default[field]}


__all__ = ["data_of", "no_change", "read_change", "reading_of"]
