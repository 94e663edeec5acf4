"""What a part of a baseline is: arrays that are made of a pool, and how those of two baselines become those of both.

A part is a file of `parts/`. Most hold one line an example, and need nothing but `build`; a part whose arrays hold positions of
examples, or none an example, writes `merged`, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

Arrays = Mapping[str, NDArray[Any]]
"""By their names within the part: small letters and underscores."""


@dataclass(frozen=True)
class Request:
    """What is asked of a baseline besides its pool."""

    scores: tuple[Path, ...] = ()
    """Score tables of the pool."""
    columns: tuple[str, ...] | None = None
    """What the part of measures has, where rows are added to it; None where it gets what can be had."""
    encoder: str | None = None
    """What embeds the examples; None leaves the vectors out."""
    progress: Callable[[str], None] | None = None
    """Called with the name of the part that begins."""


@dataclass(frozen=True, eq=False)
class Built:
    """A part of one pool."""

    arrays: Arrays
    about: Mapping[str, Any] = field(default_factory=dict)
    """Plain data that the arrays are read by: settings, fingerprints of models, names of columns. No text of a row."""


@dataclass(frozen=True, eq=False)
class Order:
    """Where the examples of two baselines stand in the one of both.

    The second may take the place of files of the first, whose examples are then gone.
    """

    index: NDArray[np.int64]
    """(n,), for each example of the result its position among those of the first, followed by those of the second."""
    n_first: int
    n_second: int

    def rows(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        """Arrays of one line an example as one array of the result."""
        both: NDArray[Any] = np.concatenate([first, second])[self.index]
        return both

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The position in the result of each example of the first and of the second; -1 for those that are gone."""
        places = np.full(self.n_first + self.n_second, -1, dtype=np.int64)
        places[self.index] = np.arange(len(self.index))
        return places[: self.n_first], places[self.n_first :]


class Part(ABC):
    """Arrays of a baseline."""

    name: ClassVar[str]
    """Small letters and hyphens; arrays are stored as NAME/ARRAY."""
    version: ClassVar[int] = 1
    """Raise it when the same pool would get other arrays: a baseline of another version has no such part."""
    title: ClassVar[str]
    """What it is for, in a few words."""

    def wanted(self, request: Request) -> bool:
        """Whether a baseline gets it."""
        return True

    @abstractmethod
    def build(self, pool: Pool, request: Request) -> Built:
        """The arrays of a pool, whose examples stand in the order of the baseline.

        Positions of examples are those of this pool. The result must not depend on the order of its files.
        """

    def merged(self, first: Built, second: Built, order: Order) -> Built:
        """The arrays of both: equal to `build` of both pools together, bit for bit. By default arrays of one line an example."""
        return Built({name: order.rows(array, second.arrays[name]) for name, array in first.arrays.items()}, first.about)

    def request_of(self, about: Mapping[str, Any], request: Request) -> Request:
        """What is asked of the new rows of a baseline that has this part: the same settings."""
        return request


__all__ = ["Arrays", "Built", "Order", "Part", "Request"]
