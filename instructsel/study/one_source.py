"""Designs of what one source is worth: a base mixture plus each source in turn, or all sources less each.

Every replicate draws its own rows and is trained with its own seed; within a replicate all arms share the base's rows and the seed, so
that what differs between two arms is the source. Both designs are randomized blocks: `study.effects` compares within replicates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.errors import StudyError
from instructsel.study.design import Rows, Subset, apportion, at_least, held_rows, listed_sources, some_rows
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.scores.table import ScoreTable

ADD_ONE: Final = "add-one"
LEAVE_ONE: Final = "leave-one"
BASE: Final = "base"
"""The arm that sources are added to."""
PLUS: Final = "plus"
"""The base and rows of one source."""
MORE: Final = "more"
"""The base and as many more rows of the base's own mixture: what more rows of any kind do."""
WHOLE: Final = "whole"
"""All sources."""
LESS: Final = "less"
"""All sources but one."""
UNTOUCHED: Final = "untouched"
"""The model before any training."""
FEWEST: Final = 2
"""Sources that can be compared with one another."""


@dataclass(frozen=True)
class AddOne:
    """A base mixture, and the same rows with rows of each source added.

    With B `rows` of the base and N `add_rows`, an arm has the base's B rows and N rows of a source; the arm `more` has N further rows of the
    base's own mixture, which tells what a source adds from what any rows add. At equal rows an arm has B rows in all: N of them, the same
    in every arm, give way to the source's; there `more` is the base itself and is left out. Equal tokens seen, or equal steps, are the
    recipe's to set: its `tokens` or `steps` hold for every arm.
    """

    rows: int
    """B: rows of the base, in equal parts of its sources."""
    add_rows: int
    """N: rows of the source that is added."""
    replicates: int = 3
    """How often all of it is drawn anew, and trained with another seed."""
    base: Sequence[str] | None = None
    """Sources of the base; None for all that are added."""
    sources: Sequence[str] | None = None
    """Sources that are added, one an arm; None for all of the pool that are not in `base`."""
    equal_rows: bool = False
    """Whether added rows take the place of base rows."""
    untouched: bool = False
    """Whether the model before any training is an arm."""
    seed: int = 0
    """Of the draw."""

    def __post_init__(self) -> None:
        _check(self)
        at_least(self.add_rows, 1, "rows to add")
        if self.equal_rows and self.add_rows > self.rows:
            raise StudyError(
                f"{self.add_rows} added rows cannot take the place of {counted(self.rows, 'base row')}.",
                fix="Add fewer, or take more base rows with --rows.",
            )
        object.__setattr__(self, "base", listed_sources(self.base))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arms that every pool has."""
        return tuple(f"r{number}-{BASE}" for number in range(self.replicates))

    def subsets(self, pool: Pool, table: ScoreTable | None = None) -> tuple[Subset, ...]:
        """Replicate by replicate: the base, `more`, and the base plus each source.

        Raises:
            UsageError: a source the pool does not have.
            StudyError: a source has too few rows.
        """
        there = held_rows(pool, None)
        base = held_rows(pool, self.base or self.sources)
        added = (
            held_rows(pool, self.sources) if self.sources else {name: rows for name, rows in there.items() if name not in (self.base or ())}
        )
        if not added:
            raise StudyError("Every source of the pool is in the base; there is none to add.", fix="Name fewer sources as the base.")
        used = {**base, **added}
        subsets = [_untouched(used)] if self.untouched else []
        for replicate in range(self.replicates):
            subsets += self._replicate(replicate, base, added, pool.ids)
        return tuple(subsets)

    def _replicate(self, replicate: int, base: Mapping[str, Rows], added: Mapping[str, Rows], ids: Sequence[str]) -> Iterator[Subset]:
        sources = sorted({*base, *added})
        # Rows of the base, in the order in which they are drawn: first those that stay at equal rows, then those that give way.
        stay = self.rows - self.add_rows if self.equal_rows else self.rows
        counts = apportion(dict.fromkeys(base, 1), self.rows)
        staying = apportion(dict.fromkeys(base, 1), stay)
        # How many of a source the arms take together, at most.
        more = {} if self.equal_rows else apportion(dict.fromkeys(base, 1), self.add_rows)
        key = f"{self.seed}\0{ADD_ONE}\0{replicate}\0row\0"
        order: dict[str, Rows] = {}
        for source in sources:
            rows = base[source] if source in base else added[source]
            needed = max(counts.get(source, 0) + more.get(source, 0), staying.get(source, 0) + (self.add_rows if source in added else 0))
            _enough(source, len(rows), needed, "an arm")
            order[source] = some_rows(rows, needed, ids, key)

        def arm(name: str, kind: str, parts: Mapping[str, Rows], source: str | None = None) -> Subset:
            return _subset(f"r{replicate}-{name}", ADD_ONE, self.seed, replicate, kind, source, parts, sources, ids)

        full = {source: order[source][: counts[source]] for source in base}
        yield arm(BASE, BASE, full)
        if more and any(more.values()):
            yield arm(MORE, MORE, {source: order[source][: counts[source] + more[source]] for source in base})
        left = {source: order[source][: staying[source]] for source in base}
        for number, source in enumerate(added):
            start = len(left.get(source, ()))
            parts = {**left, source: order[source][: start + self.add_rows]}
            yield arm(f"{PLUS}-{number}-{_slug(source)}", PLUS, parts, source)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return _plain(ADD_ONE, self)


@dataclass(frozen=True)
class LeaveOne:
    """All sources, and all but each.

    The arm `whole` has `rows` rows, in equal parts of the sources; an arm less a source has the same rows without that source's, fewer in all,
    or at equal rows as many again, made up for by further rows of the other sources.
    """

    rows: int
    """Of the whole."""
    replicates: int = 3
    """How often all of it is drawn anew, and trained with another seed."""
    sources: Sequence[str] | None = None
    """Which; None for all of the pool."""
    equal_rows: bool = False
    """Whether the others make up for the rows that are left out."""
    untouched: bool = False
    """Whether the model before any training is an arm."""
    seed: int = 0
    """Of the draw."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arms that every pool has."""
        return tuple(f"r{number}-{WHOLE}" for number in range(self.replicates))

    def subsets(self, pool: Pool, table: ScoreTable | None = None) -> tuple[Subset, ...]:
        """Replicate by replicate: the whole, and the whole less each source.

        Raises:
            UsageError: a source the pool does not have.
            StudyError: a source has too few rows, or there is one source only.
        """
        held = held_rows(pool, self.sources)
        if len(held) < FEWEST:
            raise StudyError(
                f"Leaving out {next(iter(held), 'the only source')} leaves nothing.",
                fix="Name two pool files at least, or a --source-field that tells sources apart.",
            )
        subsets = [_untouched(held)] if self.untouched else []
        for replicate in range(self.replicates):
            subsets += self._replicate(replicate, held, pool.ids)
        return tuple(subsets)

    def _replicate(self, replicate: int, held: Mapping[str, Rows], ids: Sequence[str]) -> Iterator[Subset]:
        counts = apportion(dict.fromkeys(held, 1), self.rows)
        key = f"{self.seed}\0{LEAVE_ONE}\0{replicate}\0row\0"
        without: dict[str, dict[str, int]] = {}
        for left_out in held:
            others = {source: count for source, count in counts.items() if source != left_out}
            if self.equal_rows:
                more = apportion(dict.fromkeys(others, 1), counts[left_out])
                others = {source: count + more[source] for source, count in others.items()}
            without[left_out] = others
        order = {}
        for source, rows in held.items():
            needed = max(counts[source], *(others.get(source, 0) for others in without.values()))
            _enough(source, len(rows), needed, "an arm")
            order[source] = some_rows(rows, needed, ids, key)

        def arm(name: str, kind: str, taken: Mapping[str, int], source: str | None = None) -> Subset:
            parts = {name: order[name][:count] for name, count in taken.items()}
            return _subset(f"r{replicate}-{name}", LEAVE_ONE, self.seed, replicate, kind, source, parts, list(held), ids)

        yield arm(WHOLE, WHOLE, counts)
        for number, (left_out, others) in enumerate(without.items()):
            yield arm(f"{LESS}-{number}-{_slug(left_out)}", LESS, others, left_out)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return _plain(LEAVE_ONE, self)


def _check(design: AddOne | LeaveOne) -> None:
    at_least(design.rows, 1, "rows of an arm")
    at_least(design.replicates, 1, "replicates")
    at_least(design.seed, 0, "as the seed of the draw")
    object.__setattr__(design, "sources", listed_sources(design.sources))


def _plain(kind: str, design: AddOne | LeaveOne) -> dict[str, Any]:
    fields = {name: getattr(design, name) for name in design.__dataclass_fields__}
    return {"design": kind, **{name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}}


def _enough(source: str, there: int, needed: int, what: str) -> None:
    if there < needed:
        raise StudyError(
            f"{source} has {counted(there, 'row')}; {what} takes {needed:,}.",
            fix=f"Take fewer with --rows or --add-rows, leave {source} out of the sources, or add rows to it.",
        )


def _subset(
    name: str,
    design: str,
    seed: int,
    replicate: int,
    arm: str,
    source: str | None,
    parts: Mapping[str, Rows],
    sources: Sequence[str],
    ids: Sequence[str],
) -> Subset:
    """An arm: its rows by id, its counts for every source that the design draws from."""
    positions = np.sort(np.concatenate(list(parts.values())))
    return Subset(
        name=name,
        design=design,
        seed=seed,
        ids=tuple(ids[int(position)] for position in positions),
        counts={label: len(parts.get(label, ())) for label in sources},
        replicate=replicate,
        arm=arm,
        source=source,
    )


def _untouched(sources: Mapping[str, Rows]) -> Subset:
    """The model before any training, as an arm without rows."""
    return Subset(UNTOUCHED, UNTOUCHED, 0, (), dict.fromkeys(sorted(sources), 0), replicate=0, arm=UNTOUCHED)


def _slug(source: str) -> str:
    """A source as a part of a file's name.

    >>> _slug("tulu/cot v2"), _slug("*")
    ('tulu-cot-v2', 'source')
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", source).strip("-.")[:40] or "source"


__all__ = ["ADD_ONE", "BASE", "LEAVE_ONE", "LESS", "MORE", "PLUS", "UNTOUCHED", "WHOLE", "AddOne", "LeaveOne"]
