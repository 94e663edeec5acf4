"""Designs: which subsets of a pool are fine-tuned on, by source at random, by one indicator, or with more or less of one source."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import fingerprint
from instructsel.errors import StudyError, UsageError
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.scores.table import ScoreTable
    from instructsel.study.one_source import AddOne, LeaveOne

MIXTURE: Final = "mixture"
BIN: Final = "bin"

TRIES: Final = 10_000
"""How often the shares of one mixture are drawn before it is given up."""

Rows = NDArray[np.int64]
"""Positions in a pool, ascending."""


@dataclass(frozen=True)
class Subset:
    """Examples that a model is fine-tuned on."""

    name: str
    """mix-000, len-bin-0, or r0-plus-1-dolly."""
    design: str
    """mixture, bin, add-one or leave-one."""
    seed: int
    """What it was drawn with; not the seed it is trained with."""
    ids: tuple[str, ...] = field(repr=False)
    """Ascending."""
    counts: Mapping[str, int]
    """Source → examples of it, for every source that could be drawn from."""
    drawn: Mapping[str, float] = field(default_factory=dict)
    """Source → the share that was drawn for it, before rounding to whole examples; empty for a bin."""
    redraws: int = 0
    """How often the shares were drawn again because a source was too small for its own."""
    indicator: str | None = None
    """What a bin is cut by."""
    replicate: int | None = None
    """Of an arm that shows what a source is worth: which draw it is of, and the seed it is trained with; None for other subsets."""
    arm: str | None = None
    """What it is beside the others of its replicate: base, plus, more, whole, less; or untouched."""
    source: str | None = None
    """The source that the arm has more or less of."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shares(self) -> dict[str, float]:
        """Source → its examples as a share of all, in [0, 1]."""
        return {source: count / max(len(self), 1) for source, count in self.counts.items()}

    @cached_property
    def digest(self) -> str:
        """blake2b-128 over the ids."""
        return fingerprint(list(self.ids))

    def positions(self, pool: Pool) -> Rows:
        """Where the examples stand in the pool, int64 (n,), ascending.

        Raises:
            UnknownExample: one is not there.
        """
        return pool.positions(self.ids)

    def of(self, pool: Pool) -> Pool:
        """The examples as a pool.

        Raises:
            UnknownExample: one is not there.
        """
        return pool.take(self.ids)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data, the ids as their digest."""
        return {
            "name": self.name,
            "design": self.design,
            "seed": self.seed,
            "rows": len(self),
            "counts": dict(self.counts),
            "shares": self.shares,
            "drawn": dict(self.drawn),
            "redraws": self.redraws,
            "indicator": self.indicator,
            "ids": self.digest,
            # Only where it is said: a plan of mixtures and bins is what it was.
            **({} if self.arm is None else {"replicate": self.replicate, "arm": self.arm, "source": self.source}),
        }


@dataclass(frozen=True)
class Mixtures:
    """Subsets of one size whose shares of the sources are random.

    Each source's share is uniform in (0, 1), divided by the sum over sources; the shares are rounded to whole examples by largest
    remainder, ties by name, and the examples drawn without replacement. A source with fewer examples than its share asks for has
    all shares drawn again, so that mixtures hold less of small sources than the uniform draw alone would give them. Equal examples
    of a pool (ids ending in .1, .2) are drawn as any other.

    A mixture depends on its number, the seed, and the ids of the sources drawn from; on no other row, no order of files, and not
    on how many mixtures there are.

    Source: Cao et al. 2023, arXiv:2307.06290v1, which draws 78 mixtures of 2,000; how it draws and rounds is not published.
    """

    n: int
    """How many."""
    rows: int
    """Examples in each."""
    seed: int = 0
    sources: Sequence[str] | None = None
    """Labels of the sources to draw from; None for all of the pool."""

    def __post_init__(self) -> None:
        at_least(self.n, 1, "mixtures")
        at_least(self.rows, 1, "rows in a mixture")
        at_least(self.seed, 0, "as the seed of mixtures")
        object.__setattr__(self, "sources", listed_sources(self.sources))

    @property
    def names(self) -> tuple[str, ...]:
        """The subsets' names."""
        return tuple(f"mix-{number:03d}" for number in range(self.n))

    def subsets(self, pool: Pool, table: ScoreTable | None = None) -> tuple[Subset, ...]:
        """The mixtures of a pool; no scores are needed.

        Raises:
            UsageError: a source the pool does not have.
            StudyError: the sources have too few examples.
        """
        held = held_rows(pool, self.sources)
        there = sum(map(len, held.values()))
        if there < self.rows:
            raise StudyError(
                f"A mixture of {counted(self.rows, 'row')} cannot be drawn: {_sources_of(held)} {there:,} in all.",
                fix="Take fewer rows, or more sources.",
            )
        return tuple(self._mixture(name, held, pool.ids) for name in self.names)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {"design": MIXTURE, "n": self.n, "rows": self.rows, "seed": self.seed, "sources": self.sources and list(self.sources)}

    def _mixture(self, name: str, held: Mapping[str, Rows], ids: Sequence[str]) -> Subset:
        short: Counter[str] = Counter()
        for redraws in range(TRIES):
            parts = {source: _number(f"{self.seed}\0{name}\0share\0{redraws}\0", source) >> 11 for source in held}
            if not any(parts.values()):
                continue
            counts = apportion(parts, self.rows)
            small = [source for source, count in counts.items() if count > len(held[source])]
            if not small:
                break
            short.update(small)
        else:
            source = min(short, key=lambda each: (-short[each], each))
            raise StudyError(
                f"{name} could not be drawn in {TRIES:,} tries: {source} has {counted(len(held[source]), 'row')}, fewer than its share of "
                f"{self.rows:,} asked for {short[source]:,} times.",
                fix=f"Take fewer rows, leave {source} out of the sources, or add rows to it.",
            )
        chosen = [some_rows(rows, counts[source], ids, f"{self.seed}\0{name}\0row\0") for source, rows in held.items()]
        total = sum(parts.values())
        return Subset(
            name=name,
            design=MIXTURE,
            seed=self.seed,
            ids=tuple(ids[int(position)] for position in np.sort(np.concatenate(chosen))),
            counts=counts,
            drawn={source: part / total for source, part in parts.items()},
            redraws=redraws,
        )


@dataclass(frozen=True)
class Bins:
    """All examples that have a value of one indicator, from the highest to the lowest, cut into parts of equal size.

    Ties stand by id; sizes differ by at most one, the first bins being the larger. Equal examples of a pool are kept.

    Source: Cao et al. 2023, arXiv:2307.06290v1, which cuts into 8; over which pool and of which size is not published.
    """

    indicator: str
    """Its symbol."""
    k: int = 8
    """How many bins."""
    rows: int | None = None
    """Examples drawn at random from each bin; None for all of them."""
    seed: int = 0
    """Of that draw."""
    sources: Sequence[str] | None = None
    """Labels of the sources to sort; None for all of the pool."""

    def __post_init__(self) -> None:
        if not self.indicator or not self.indicator.replace("_", "").replace("-", "").isalnum():
            raise UsageError(f"'{self.indicator}' is not an indicator's symbol.", fix="For example: len")
        at_least(self.k, 2, "bins")
        if self.rows is not None:
            at_least(self.rows, 1, "rows in a bin")
        at_least(self.seed, 0, "as the seed of bins")
        object.__setattr__(self, "sources", listed_sources(self.sources))

    @property
    def names(self) -> tuple[str, ...]:
        """The subsets' names; bin 0 holds the highest values."""
        return tuple(f"{self.indicator}-bin-{number}" for number in range(self.k))

    def subsets(self, pool: Pool, table: ScoreTable | None) -> tuple[Subset, ...]:
        """The bins of a pool.

        Raises:
            UsageError: a source the pool does not have, or no scores.
            UnknownIndicator: the table lacks the indicator.
            StudyError: too few examples have a value, or an example of the pool is not in the table.
        """
        if table is None:
            raise UsageError(f"Bins of {self.indicator} need scores, and there are none.", fix="Give the score table with --scores.")
        values, valid = table.values(self.indicator)
        held = held_rows(pool, self.sources)
        positions = np.sort(np.concatenate(list(held.values())))
        where = table_rows(pool, table)
        positions = positions[valid[where[positions]]]
        if len(positions) < self.k * (self.rows or 1):
            limit = f" of {counted(self.rows, 'row')}" if self.rows else ""
            raise StudyError(
                f"{self.k} bins of {self.indicator}{limit} need {counted(self.k * (self.rows or 1), 'row')} with a value; there are {len(positions):,}.",
                fix="Take fewer bins, or fewer rows in each.",
            )
        # Positions are in the order of ids, and the sort is stable: ties stand by id.
        falling = positions[np.argsort(-values[where[positions]], kind="stable")]
        sources = np.array(pool.sources)
        subsets = []
        for name, part in zip(self.names, np.array_split(falling, self.k), strict=True):
            rows = np.sort(part)
            chosen = rows if self.rows is None else np.sort(some_rows(rows, self.rows, pool.ids, f"{self.seed}\0{name}\0row\0"))
            counts = Counter(sources[chosen].tolist())
            subsets.append(
                Subset(
                    name=name,
                    design=BIN,
                    seed=self.seed,
                    ids=tuple(pool.ids[int(position)] for position in chosen),
                    counts={source: counts[source] for source in held},
                    indicator=self.indicator,
                )
            )
        return tuple(subsets)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {
            "design": BIN,
            "indicator": self.indicator,
            "k": self.k,
            "rows": self.rows,
            "seed": self.seed,
            "sources": self.sources and list(self.sources),
        }


@dataclass(frozen=True)
class Design:
    """Mixtures, bins, and arms with more or less of a source; each subset is trained on with each seed, and an arm with its replicate's."""

    parts: Sequence[Mixtures | Bins | AddOne | LeaveOne]
    seeds: Sequence[int] = (0,)
    """Of training, for mixtures and bins."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if not self.parts:
            raise UsageError("A design without mixtures and bins has nothing to train on.", fix="For example: Mixtures(n=78, rows=2000)")
        for seed in self.seeds:
            at_least(seed, 0, "as a seed of training")
        of_sources = [part for part in self.parts if not isinstance(part, Mixtures | Bins)]
        if len(of_sources) > 1:
            raise UsageError("A study adds one source at a time or leaves one out, not both.", fix="Plan them as studies of their own.")
        if of_sources and tuple(self.seeds) != (0,):
            raise UsageError(
                "A replicate of a base and its sources is trained with a seed of its own.", fix="Ask for more replicates, not seeds."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"Seeds of training are different numbers, at least one; these are {list(self.seeds)}.")
        names = Counter(name for part in self.parts for name in part.names)
        name, count = names.most_common(1)[0]
        if count > 1:
            raise UsageError(f"{count} subsets of the design are called {name}.", fix="Plan them as studies of their own.")

    @property
    def of_sources(self) -> AddOne | LeaveOne | None:
        """The part that shows what each source is worth; None where there is none."""
        return next((part for part in self.parts if not isinstance(part, Mixtures | Bins)), None)

    def subsets(self, pool: Pool, table: ScoreTable | None) -> tuple[Subset, ...]:
        """The subsets of a pool, in the order of the parts.

        Raises:
            UsageError: a source or an indicator that is not there.
            StudyError: too few examples.
        """
        return tuple(subset for part in self.parts for subset in part.subsets(pool, table))

    def as_dict(self) -> dict[str, Any]:
        """The design as plain data."""
        return {"parts": [part.as_dict() for part in self.parts], "seeds": list(self.seeds)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """The design that `as_dict` gave.

        Raises:
            StudyError: it is none.
        """
        # Here, as it is made of subsets.
        from instructsel.study.one_source import ADD_ONE, LEAVE_ONE, AddOne, LeaveOne

        kinds: dict[str, type[Mixtures | Bins | AddOne | LeaveOne]] = {
            MIXTURE: Mixtures,
            BIN: Bins,
            ADD_ONE: AddOne,
            LEAVE_ONE: LeaveOne,
        }
        try:
            parts = [kinds[part["design"]](**{key: value for key, value in part.items() if key != "design"}) for part in plain["parts"]]
            return cls(tuple(parts), tuple(plain["seeds"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"This is no design of a study: {error}.", fix="Plan the study again.") from error


def apportion(parts: Mapping[str, int], rows: int) -> dict[str, int]:
    """Whole numbers that sum to `rows`, in proportion to the parts: the largest remainder, ties by name.

    >>> apportion({"a": 5, "b": 3, "c": 2}, 7)  # 3.5, 2.1 and 1.4
    {'a': 4, 'b': 2, 'c': 1}
    """
    total = sum(parts.values())
    # Whole numbers throughout: a share that a float rounds the other way would be another example.
    counts = {name: part * rows // total for name, part in parts.items()}
    left = rows - sum(counts.values())
    for name in sorted(parts, key=lambda each: (-(parts[each] * rows % total), each))[:left]:
        counts[name] += 1
    return counts


def table_rows(pool: Pool, table: ScoreTable) -> Rows:
    """The row of the score table for each example of the pool, int64 (n,).

    Raises:
        StudyError: the table lacks an example.
    """
    ids = table.ids
    if pool.ids == ids:
        return np.arange(len(ids), dtype=np.int64)
    rows = {name: row for row, name in enumerate(ids)}
    missing = [name for name in pool.ids if name not in rows]
    if missing:
        raise StudyError(
            f"{len(missing):,} of {counted(len(pool), 'example')} of the pool are not in the score table, the first being {missing[0]}.",
            fix="Score the whole of this pool: instructsel score POOL",
        )
    return np.array([rows[name] for name in pool.ids], dtype=np.int64)


def held_rows(pool: Pool, sources: Sequence[str] | None) -> dict[str, Rows]:
    """The positions of each source, the sources by name."""
    by_source: dict[str, list[int]] = {}
    for position, source in enumerate(pool.sources):
        by_source.setdefault(source, []).append(position)
    for source in sources or ():
        if source not in by_source:
            raise UsageError.named(source, by_source, noun="source in this pool")
    return {source: np.array(by_source[source], dtype=np.int64) for source in sorted(by_source if sources is None else sources)}


def _sources_of(held: Mapping[str, Rows]) -> str:
    if not held:
        return "the pool has"
    named = ", ".join(f"{source} {len(rows):,}" for source, rows in held.items())
    return f"{next(iter(held))} has" if len(held) == 1 else f"the sources ({named}) have"


def some_rows(rows: Rows, n: int, ids: Sequence[str], key: str) -> Rows:
    """n of these rows: those whose ids have the smallest digests. No other row and no order has a part in it."""
    numbers = np.array([_number(key, ids[int(position)]) for position in rows], dtype=np.uint64)
    return rows[np.argsort(numbers, kind="stable")[:n]]


def _number(key: str, name: str) -> int:
    """64 bits that depend on the key and the name alone."""
    return int.from_bytes(hashlib.blake2b(f"instructsel study\0{key}{name}".encode(), digest_size=8).digest(), "big")


def listed_sources(sources: Iterable[str] | None) -> tuple[str, ...] | None:
    """Labels of sources, named once each; None stands for all.

    Raises:
        UsageError: none, or one named twice.
    """
    if sources is None:
        return None
    names = tuple(sources)
    if not names or len(set(names)) < len(names):
        raise UsageError(f"Sources are named once each, at least one; these are {list(names)}.", fix="Leave them out to take all.")
    return names


def at_least(number: Any, least: int, what: str) -> None:
    """Refuse what is no whole number, or too small a one.

    Raises:
        UsageError: it is.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise UsageError(f"{number} {what} cannot be.", fix=f"Give a whole number, at least {least}.")


__all__ = [
    "BIN",
    "MIXTURE",
    "Bins",
    "Design",
    "Mixtures",
    "Rows",
    "Subset",
    "apportion",
    "at_least",
    "held_rows",
    "listed_sources",
    "some_rows",
    "table_rows",
]
