"""A change: the rows that want to join a pool, with what several checks look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from instructsel.gates.finding import Place
from instructsel.pool.example import Example
from instructsel.read_report import ReadReport

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

Shared = TypeVar("Shared")


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """An example of the change."""

    position: int
    """Among the examples of the change."""
    example: Example
    place: Place
    instruction: str
    response: str

    @property
    def id(self) -> str:
        """The example's id."""
        return self.example.id


@dataclass(frozen=True, eq=False)
class Change:
    """The rows that a gate looks at. What several checks need is computed once."""

    pool: Pool
    nightly: bool = False
    """Whether a rate fails when it is above its limit, and not only when its interval is."""
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def report(self) -> ReadReport:
        """What reading kept, dropped and quarantined."""
        return self.pool.report

    @property
    def n_rows(self) -> int:
        """Rows of the files, those among them that became no example."""
        return self.report.read

    @cached_property
    def rows(self) -> tuple[ChangedRow, ...]:
        """The examples, in the order of the pool's ids."""
        names = [shown_path(file.source.name) for file in self.pool.files]
        where = zip((names[number] for number in self.pool.file_of.tolist()), self.pool.places["line"].to_list(), strict=True)
        return tuple(
            ChangedRow(position, example, Place(file, line), example.instruction, example.response)
            for position, (example, (file, line)) in enumerate(zip(self.pool.examples(), where, strict=True))
        )

    def fields(self, position: int) -> Mapping[str, Any]:
        """The row of the file that an example stands in, parsed."""
        file = self.pool.files[int(self.pool.file_of[position])]
        value = file.row(file.rows_of(int(self.pool.row_of[position]))[0])
        return value if isinstance(value, Mapping) else {}

    def shared(self, name: str, make: Callable[[], Shared]) -> Shared:
        """What checks share, made by the first that asks."""
        if name not in self._shared:
            self._shared[name] = make()
        value: Shared = self._shared[name]
        return value


def shown_path(path: str) -> str:
    """A file as outputs name it: from the working folder where it lies in it, which in a checkout is what hosts of code look for."""
    with suppress(ValueError, OSError):
        return Path(path).absolute().relative_to(Path.cwd()).as_posix()
    return path


__all__ = ["Change", "ChangedRow", "shown_path"]
