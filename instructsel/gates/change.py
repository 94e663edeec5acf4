"""A change: the rows that want to join a pool, with what several checks look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from instructsel.errors import BaselineError
from instructsel.gates.baseline.known import Known, gone, without_known
from instructsel.gates.finding import Place
from instructsel.gates.unread import UnreadFile
from instructsel.mixtures.origin import licences_of, mixtures_of
from instructsel.pool.example import Example
from instructsel.read_report import ReadReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.checks.base import Hit
    from instructsel.mixtures.mixture import Mixture
    from instructsel.pool.pool import Pool

Shared = TypeVar("Shared")


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """An example of the change."""

    position: int
    """Among the examples of the change."""
    example: Example
    place: Place

    @property
    def instruction(self) -> str:
        """The turns before the response."""
        return self.example.instruction

    @property
    def response(self) -> str:
        """The response as indicators read it."""
        return self.example.response

    @property
    def id(self) -> str:
        """The example's id."""
        return self.example.id


@dataclass(frozen=True, eq=False)
class Change:
    """The rows that a gate looks at. What several checks need is computed once."""

    pool: Pool
    """Without the rows that the baseline has in the same file."""
    nightly: bool = False
    """Whether a rate fails when it is above its limit, and not only when its interval is."""
    baseline: Baseline | None = None
    """The pool that the rows want to join."""
    known: Known = field(default_factory=Known)
    """The rows that the baseline has already."""
    fault: BaselineError | None = None
    """Why the baseline that was named is none."""
    unread: tuple[UnreadFile, ...] = ()
    """The files that are no pool: no row of them is an example, and nobody can look at one."""
    notes: tuple[str, ...] = ()
    """What to know of which rows are looked at, in sentences: since which commit, what is left out, what the branch changes of its own gate."""
    folder: Path = field(default_factory=Path.cwd)
    """Where the relative paths of a configuration begin."""
    answered: dict[str, list[Hit]] = field(default_factory=dict, repr=False)
    """What checks say, by their `repr`, where they were asked in other processes; see `by_rows`."""
    is_part: bool = False
    """Whether these are some rows of a large change."""
    carried: Path | None = None
    """Of a part, the folder in which lies what checks need in other processes."""
    kept: dict[str, Any] = field(default_factory=dict, repr=False)
    """What `lasting` made."""
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, pool: Pool, baseline: Baseline | None = None, *, nightly: bool = False) -> Self:
        """The rows of a pool that was read whole, without those that the baseline has in the same file."""
        if baseline is None:
            return cls(pool, nightly)
        new_rows, known = without_known(pool, baseline)
        return cls(new_rows, nightly, baseline, known)

    def without(self, *parts: str) -> str | None:
        """Why there is no baseline with these parts, and what makes one, in a sentence or two; None where there is.

        What a check that compares with the pool returns as `locked`.
        """
        if self.fault is not None:
            return self.fault.line
        if self.baseline is None:
            return "No baseline is named. Make one: instructsel gate baseline create POOL -o pool.baseline, and name it with --baseline."
        lacking = [name for name in parts if not self.baseline.has(name)]
        if not lacking:
            return None
        return f"The baseline has no {' and no '.join(lacking)}. Make it again: instructsel gate baseline create POOL -o FILE"

    @cached_property
    def gone(self) -> NDArray[np.bool_]:
        """(n,), the examples of the baseline that the change has in another wording, or no longer: nothing is compared with them."""
        assert self.baseline is not None
        return gone(self.baseline.identities, self.known)

    @property
    def report(self) -> ReadReport:
        """What reading kept, dropped and quarantined."""
        return self.pool.report

    @property
    def n_rows(self) -> int:
        """Rows of the files, those among them that became no example."""
        return self.report.read - self.known.excluded

    @property
    def n_asked(self) -> int:
        """Those of the files that are a pool: what a check of examples is asked about."""
        return self.n_rows - sum(file.rows for file in self.unread)

    @cached_property
    def rows(self) -> tuple[ChangedRow, ...]:
        """The examples, in the order of the pool's ids."""
        names = [shown_path(file.source.name) for file in self.pool.files]
        where = zip((names[number] for number in self.pool.file_of.tolist()), self.pool.lines.tolist(), strict=True)
        return tuple(
            ChangedRow(position, example, Place(file, line))
            for position, (example, (file, line)) in enumerate(zip(self.pool.examples(), where, strict=True))
        )

    @cached_property
    def several(self) -> Mapping[str, tuple[str, int]]:
        """Id → the row, as file and number, of examples that share theirs with others: shares are of rows."""
        pool = self.pool
        if not pool.part_of.any():
            return {}
        rows = zip(pool.file_of.tolist(), pool.row_of.tolist(), strict=True)
        return {name: (pool.files[file].source.name, row) for name, (file, row) in zip(pool.ids, rows, strict=True)}

    def fields(self, position: int) -> Mapping[str, Any]:
        """The row of the file that an example stands in, parsed."""
        file = self.pool.files[int(self.pool.file_of[position])]
        value = file.row(file.rows_of(int(self.pool.row_of[position]))[0])
        return value if isinstance(value, Mapping) else {}

    @cached_property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures that the new rows are of.

        Raises:
            ScoresError: one has changed since it was written.
        """
        return mixtures_of(self.pool.spec.paths)

    @cached_property
    def licences(self) -> Mapping[str, str]:
        """Source → licence, as the recipes of these mixtures state it."""
        return licences_of(self.mixtures)

    def path(self, name: str) -> Path:
        """A file that a configuration names."""
        return self.folder / Path(name).expanduser()

    def shared(self, name: str, make: Callable[[], Shared]) -> Shared:
        """What checks share, made by the first that asks."""
        if name not in self._shared:
            self._shared[name] = make()
        value: Shared = self._shared[name]
        return value

    def lasting(self, name: str, make: Callable[[], Shared]) -> Shared:
        """The same of what does not depend on the rows: all parts of a change have it in common."""
        if name not in self.kept:
            self.kept[name] = make()
        value: Shared = self.kept[name]
        return value


def shown_path(path: str) -> str:
    """A file as outputs name it: from the working folder where it lies in it, or in the same checkout."""
    with suppress(ValueError, OSError):
        here, place = Path.cwd(), Path(os.path.normpath(Path(path).absolute()))
        root = root_of(str(here))
        if root is not None and place.is_relative_to(root):
            return Path(os.path.relpath(place, here)).as_posix()
        return place.relative_to(here).as_posix()
    return path


@lru_cache(maxsize=16)
def root_of(folder: str) -> Path | None:
    """The root of the checkout that a folder is in; None where it is in none."""
    return next((place for place in (Path(folder), *Path(folder).parents) if (place / ".git").exists()), None)


__all__ = ["Change", "ChangedRow", "root_of", "shown_path"]
