"""What the checks for repetition share: the rows of a change and of the baseline, compared once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.checks.base import Hit, Result, RowCheck, Waived
from instructsel.gates.duplicates.alone import may_repeat
from instructsel.gates.duplicates.pairs import Pair, exact_pairs, without
from instructsel.gates.duplicates.prompts import OwnAsked
from instructsel.gates.duplicates.texts import compared_text, raw_text
from instructsel.gates.finding import Place
from instructsel.neighbors.shingles import Shingles

if TYPE_CHECKING:
    from instructsel.gates.change import Change

NOT_COMPARED = "Compared within the change alone."


@dataclass(frozen=True)
class Repeats(RowCheck):
    """A check that looks for another row like each: within the change, and in the baseline where there is one."""

    parts: ClassVar[tuple[str, ...]] = ()
    """The parts of the baseline that it needs, besides what every baseline has."""

    def in_pool(self, change: Change) -> bool:
        """Whether the rows can be compared with the baseline."""
        return change.without(*self.parts) is None

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask every row; where there is no baseline it says so."""
        result = super().result(change, severity, waived)
        missing = change.without(*self.parts)
        if missing is None:
            return result
        return replace(result, statement=f"{result.statement} {NOT_COMPARED} {missing if change.baseline or change.fault else ''}".rstrip())


def place_in_pool(change: Change, row: int) -> Place:
    """Where an example of the baseline stands."""
    assert change.baseline is not None
    return Place(*change.baseline.identities.place(row))


def copies_in_pool(change: Change) -> dict[int, int]:
    """Position in the change → the first example of the baseline that is the same conversation."""
    if change.without() is not None:
        return {}

    def look() -> dict[int, int]:
        assert change.baseline is not None
        content, digests = change.baseline.identities.content, change.pool.digests
        copies: dict[int, int] = {}
        if not len(content):
            return copies
        first = np.searchsorted(content[:, 0], digests[:, 0])
        for position in np.flatnonzero(content[np.minimum(first, len(content) - 1), 0] == digests[:, 0]).tolist():
            row = int(first[position])
            while row < len(content) and content[row, 0] == digests[position, 0]:
                if content[row, 1] == digests[position, 1] and not change.gone[row]:
                    copies[position] = row
                    break
                row += 1
        return copies

    return change.shared("copies in pool", look)


def copies(change: Change) -> list[Pair]:
    """The rows of a change that are the same conversation as one of it before them."""
    return change.shared("copies", lambda: exact_pairs(change.pool))


def distinct(change: Change) -> NDArray[np.bool_]:
    """(n,), the rows of a change that are no copy of another one, in the change or in the baseline."""
    mask = without(np.ones(len(change.pool), dtype=bool), copies(change))
    mask[list(copies_in_pool(change))] = False
    return mask


def shingles_of(change: Change, threshold: float, *, in_pool: bool) -> tuple[Shingles, NDArray[np.int64]]:
    """The shingles of those rows of a change that are compared, and their positions, in order: rows with a word, that may be like another one.

    Args:
        change: the rows.
        threshold: from which Jaccard similarity on two are alike.
        in_pool: whether the baseline is looked at, whose rows may be like any.
    """

    def make() -> tuple[Shingles, NDArray[np.int64]]:
        rows = change.rows
        likely = range(len(rows)) if in_pool else np.flatnonzero(may_repeat((raw_text(row.example) for row in rows), threshold)).tolist()
        texts = {position: text for position in likely if (text := compared_text(rows[position].example))}
        return Shingles.of(list(texts.values())), np.array(list(texts), dtype=np.int64)

    return change.shared(f"shingles {in_pool or threshold}", make)


def asked_of(change: Change) -> OwnAsked:
    """Prompts and responses of the rows of a change."""
    return change.shared("prompts", lambda: OwnAsked([row.example for row in change.rows]))


def hits_of(change: Change, pairs: list[Pair], message: str) -> Iterator[Hit]:
    """A hit for each pair of rows of a change. `message` holds {other}, where the other row stands, and {similarity}."""
    for pair in pairs:
        other = change.rows[pair.kept].place
        yield Hit(
            pair.removed,
            message.format(other=other, similarity=f"{pair.similarity:.2f}"),
            pair.similarity,
            related=other,
        )


__all__ = [
    "Repeats",
    "asked_of",
    "copies",
    "copies_in_pool",
    "distinct",
    "hits_of",
    "place_in_pool",
    "shingles_of",
]
