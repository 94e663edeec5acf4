"""Checks that look at each row alone, asked about parts of a large change: here, and in other processes beside it, with the same hits.

While other processes have the first parts, this one asks the checks that compare rows; then it takes parts, too. A check that ends
otherwise than with hits in any part is left to be asked as if there were one process: what it says then is what is reported.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.collector import seldom_collected
from instructsel.errors import InstructselError
from instructsel.gates.baseline.known import nothing
from instructsel.gates.change import Change, ChangedRow
from instructsel.gates.checks.base import Check, Hit, RowCheck
from instructsel.gates.finding import Place
from instructsel.pool.example import Example
from instructsel.pool.row_batches import RowBatch, can_be_batched, row_batches, size_of
from instructsel.pool.spec import Reading
from instructsel.pool.stretches import OURS
from instructsel.processes import Beside, usable

LARGE: Final = 96 << 20
"""Bytes of rows, times checks that look at each row alone, from which on other processes are worth their start: some four seconds of work."""
PART: Final = 1 << 20
"""Bytes of the rows of a part."""
ENDING: Final = (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a gate, and not a check alone."""
NOWHERE: Final = Place("", 0)
_kept: dict[str, dict[str, Any]] = {}
"""Folder of a change → what its parts have in common, in this process; see `Change.lasting`."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a change, and what is asked of them."""

    batch: RowBatch
    positions: NDArray[np.int64]
    """Of its examples, among those of the change."""
    checks: tuple[RowCheck, ...]
    folder: str
    """In which lies what checks carry."""


@dataclass(frozen=True, eq=False)
class PartHits:
    """What the checks say, by the positions of rows in the change."""

    hits: tuple[list[Hit] | None, ...]
    """Of each check; None where it ended otherwise."""
    seconds: tuple[float, ...]


@dataclass(eq=False)
class Asked:
    """What was asked before the checks have their turn."""

    seconds: dict[str, float] = field(default_factory=dict)
    """The `repr` of a check → seconds that it took, of all processes."""


class Company:
    """Other processes, and the folder for what checks carry there; here parts have what their change has."""

    def __init__(self, checks: Sequence[RowCheck], folder: Path | None = None) -> None:
        """Start them.

        Args:
            checks: those that are asked there.
            folder: where the relative paths of a configuration begin, where the files are not read yet: what checks carry is made there.
        """
        self.place: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory(prefix="instructsel-gate-")
        first = None if folder is None else (carry_all, (tuple(checks), self.place.name, str(folder)))
        self.is_ahead: bool = first is not None
        self.work: Beside[Part, PartHits] = Beside(_modules(checks), first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.work.close()
        _kept.pop(self.place.name, None)
        self.place.cleanup()

    def carries(self, check: RowCheck, change: Change) -> bool:
        """Whether what a check needs in other processes is there."""
        if type(check).carry is RowCheck.carry or (self.is_ahead and repr(check) in (self.work.first_result() or ())):
            return True
        try:
            check.carry(change, Path(self.place.name))
        except ENDING:
            raise
        except BaseException:  # said where the check is asked in its turn
            return False
        return True


def ahead(checks: Sequence[Check], names: Sequence[str], folder: Path) -> Company | None:
    """Processes for a large change, before its files are read; None where they are small, or there is no core for it.

    Args:
        checks: of a configuration.
        names: the files.
        folder: where the relative paths of the configuration begin.
    """
    apart = _of_row(checks)
    size = sum(Path(name).stat().st_size for name in names if Path(name).is_file())
    return Company(apart, folder) if apart and usable() > 1 and size * len(apart) >= LARGE else None


def carry_all(work: tuple[tuple[RowCheck, ...], str, str]) -> list[str]:
    """What checks carry, made in another process: the `repr` of those that could be."""
    checks, place, folder = work
    change = Change(nothing((), Reading()), folder=Path(folder), kept=_kept.setdefault(place, {}))
    carried: list[str] = []
    for check in checks:
        with suppress(Exception):
            if check.locked(change) is None:
                check.carry(change, Path(place))
                carried.append(repr(check))
    return carried


def ask(change: Change, checks: Sequence[RowCheck], told: Callable[[RowCheck], None], company: Company | None = None) -> Asked:
    """Ask checks of rows of a large change, with both cores; `Change.answered` has what they say. Of a small one nothing is asked.

    Args:
        change: the rows.
        checks: those of the configuration, in their order.
        told: called with each check that was asked.
        company: the processes, where they were started ahead.
    """
    asked = Asked()
    if not _apart(change, checks):
        return asked
    checks = [check for check in {repr(check): check for check in checks}.values() if _can_be_asked(check, change)]
    apart = _apart(change, checks)
    if not apart:
        return asked
    with company or Company(apart) as beside:
        _kept[beside.place.name] = change.kept
        sent = apart if beside.is_ahead else [check for check in apart if beside.carries(check, change)]

        def parts() -> Iterator[Part]:
            if beside.is_ahead:
                sent[:] = [check for check in sent if beside.carries(check, change)]
            for positions, batch in row_batches(change.pool, size=PART):
                yield Part(batch, positions, tuple(sent), beside.place.name)

        beside.work.give(
            ask_part, parts(), here=lambda part: _asked(part, [change.rows[position].example for position in part.positions.tolist()])
        )
        for check in checks:
            if check not in apart and not check.asks_of_reading:
                started = time.perf_counter()
                if (hits := _hits(check, change)) is not None:
                    change.answered[repr(check)] = hits
                    asked.seconds[repr(check)] = time.perf_counter() - started
                    told(check)
        try:
            results = beside.work.results()
        except InstructselError:
            # The file has changed since it was read, which each check says in its turn.
            return asked
    for number, check in enumerate(sent):
        asked.seconds[repr(check)] = sum(result.seconds[number] for result in results)
        if all(result.hits[number] is not None for result in results):
            hits = [hit for result in results for hit in result.hits[number] or ()]
            change.answered[repr(check)] = sorted(hits, key=lambda hit: hit.position or 0)
            told(check)
    return asked


def ask_part(part: Part) -> PartHits:
    """What checks say of some rows, in another process.

    Raises:
        PoolError: a file has changed since it was read.
    """
    with seldom_collected():
        return _asked(part, part.batch.examples())


def _asked(part: Part, examples: Sequence[Example]) -> PartHits:
    change = Change(nothing((), Reading()), is_part=True, carried=Path(part.folder), kept=_kept.setdefault(part.folder, {}))
    # Neither the id nor the place is looked at: see RowCheck.of_row.
    change.__dict__["rows"] = tuple(ChangedRow(number, example, NOWHERE) for number, example in enumerate(examples))
    hits: list[list[Hit] | None] = []
    seconds: list[float] = []
    for check in part.checks:
        started = time.perf_counter()
        said = _hits(check, change)
        hits.append(said and [replace(hit, position=int(part.positions[hit.position or 0])) for hit in said])
        seconds.append(time.perf_counter() - started)
    return PartHits(tuple(hits), tuple(seconds))


def _of_row(checks: Sequence[Check]) -> list[RowCheck]:
    """The checks of this package that look at each row alone."""
    return [check for check in checks if isinstance(check, RowCheck) and check.of_row and type(check).__module__.startswith(OURS)]


def _apart(change: Change, checks: Sequence[RowCheck]) -> list[RowCheck]:
    """The checks that are asked about parts: none of a small change, with one process, or where examples have several rows."""
    apart = _of_row(checks)
    if not apart or not len(change.pool) or usable() == 1 or not can_be_batched(change.pool):
        return []
    return apart if size_of(change.pool) * len(apart) >= LARGE else []


def _can_be_asked(check: RowCheck, change: Change) -> bool:
    """Whether nothing keeps a check from being asked; what does is said in its turn."""
    try:
        return check.locked(change) is None
    except ENDING:
        raise
    except BaseException:  # raised again, and reported, in its turn
        return False


def _modules(checks: Sequence[RowCheck]) -> list[str]:
    """What another process needs for these checks."""
    return ["polars", __name__, *dict.fromkeys(type(check).__module__ for check in checks)]


def _hits(check: RowCheck, change: Change) -> list[Hit] | None:
    """What a check says; None where it ends otherwise."""
    try:
        return list(check.hits(change))
    except ENDING:
        raise
    except BaseException:  # the same is raised, and reported, where the check is asked in its turn; a panic in Rust is no Exception
        return None


__all__ = ["Asked", "Company", "ahead", "ask", "ask_part"]
