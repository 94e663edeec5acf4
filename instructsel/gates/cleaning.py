"""Pools without some of their rows: which rows go, for which reason, and the others with their bytes unchanged.

removed = duplicates_of(pool, Repetition())
cleaned = Cleaned.of(pool, removed.keys())
cleaned.write("clean.jsonl")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from instructsel.errors import TooManyBadRows, UsageError
from instructsel.gates.contamination.matching import Evidence
from instructsel.gates.duplicates.pairs import COSINE, EXACT, LOWEST, THRESHOLD, Pair, embedding_pairs, exact_pairs, near_pairs, without
from instructsel.gates.duplicates.texts import BOTH, PARTS, compared_text
from instructsel.neighbors.shingles import Shingles
from instructsel.pool.writer import write_rows
from instructsel.text import counted, masked_excerpt

if TYPE_CHECKING:
    import polars
    from numpy.typing import NDArray

    from instructsel.pool.pool import Pool

Encode = Callable[[list[str]], "tuple[NDArray[np.float32], NDArray[np.bool_]]"]
"""Texts → unit vectors (n, d), and which of them have one."""
EXCERPT: Final = 2_000
"""Characters of a row that an excerpt is taken from."""


@dataclass(frozen=True)
class Repetition:
    """When a row repeats another one."""

    part: str = BOTH
    """What is compared: prompt and response (both), or one of them."""
    threshold: float | None = THRESHOLD
    """Jaccard similarity of near-duplicates, from 0.6 to 1; None looks for equal rows alone."""
    cosine: float | None = None
    """Cosine similarity of vectors; None compares none."""

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise UsageError.named(self.part, PARTS, noun="part of a row")
        if self.threshold is not None and not LOWEST <= self.threshold <= 1:
            raise UsageError(f"The threshold is a Jaccard similarity from {LOWEST} to 1, not {self.threshold}.", fix="0.8 is the default.")
        if self.cosine is not None and not 0 < self.cosine <= 1:
            raise UsageError(f"The cosine similarity is above 0 and at most 1, not {self.cosine}.", fix=f"{COSINE} is the default.")


def repeated(
    pool: Pool, rule: Repetition, *, encode: Encode | None = None, progress: Callable[[str], Callable[[int, int], None]] | None = None
) -> list[Pair]:
    """The rows of a pool that repeat one that stays, by the position of the row.

    Of equal rows and of near ones that row stays which comes first in the order of ids: what stays depends on what the rows say, and not on
    the order of files or rows.

    Args:
        pool: its rows.
        rule: when a row repeats another one.
        encode: gives the vectors, where the rule has a cosine similarity.
        progress: gives what is called with how many of how many rows are done, for a stage of that name.
    """
    watch = progress or (lambda stage: lambda done, total: None)
    texts = _texts(pool, rule.part, watch("texts"))
    has_words = np.array([bool(text) for text in texts], dtype=bool)
    pairs = exact_pairs(pool) if rule.part == BOTH else _equal(texts)
    left = without(has_words, pairs)
    if rule.threshold is not None:
        shingles = Shingles.of(texts, bucketing=watch("buckets"))
        near_copies = near_pairs(shingles, left, rule.threshold, progress=watch("pairs"))
        pairs += near_copies
        left = without(left, near_copies)
    if rule.cosine is not None and encode is not None:
        del texts
        rows = np.flatnonzero(left)
        vectors, has_vector = encode([_shown(example, rule.part) for example in pool.examples(rows.tolist())])
        of_rows = embedding_pairs(vectors, has_vector, rule.cosine)
        pairs += [Pair(int(rows[pair.removed]), int(rows[pair.kept]), pair.kind, pair.similarity) for pair in of_rows]
    return sorted(pairs, key=lambda pair: pair.removed)


@dataclass(frozen=True, eq=False)
class Cleaned:
    """A pool without rows."""

    pool: Pool
    removed: frozenset[int]
    """Positions of the examples that go."""
    places: tuple[tuple[int, int], ...]
    """The rows that stay, as file and row, in the order in which they stand in their files."""

    @classmethod
    def of(cls, pool: Pool, removed: Iterable[int], *, with_others: bool) -> Self:
        """The rows that stay.

        Args:
            pool: all rows.
            removed: positions of the examples that go.
            with_others: whether a row of several examples goes with one of them; else it goes with the last of them.
        """
        gone = frozenset(removed)
        stays = set(pool.rows_of([position for position in range(len(pool)) if position not in gone]))
        if with_others:
            stays -= {place for place in pool.rows_of(sorted(gone)) if not pool.files[place[0]].chains}
        return cls(pool, gone, tuple(sorted(stays)))

    @property
    def n_kept(self) -> int:
        """Rows that stay."""
        return len(self.places)

    @property
    def n_removed(self) -> int:
        """Rows that go."""
        return self.pool.report.kept - self.n_kept

    def stays(self, position: int) -> bool:
        """Whether the rows of an example stay, as other examples of them do."""
        staying = self._kept
        return all(place in staying for place in self.pool.rows_of([position]))

    @property
    def _kept(self) -> set[tuple[int, int]]:
        if "_places" not in vars(self):
            object.__setattr__(self, "_places", set(self.places))
        places: set[tuple[int, int]] = vars(self)["_places"]
        return places

    def write(self, path: str | Path) -> int:
        """Write the rows that stay, their bytes unchanged; how many."""
        return write_rows(self.pool.files, self.places, path)

    def account(self) -> dict[str, int]:
        """read = kept + removed + no_example."""
        report = self.pool.report
        return {"read": report.read, "kept": self.n_kept, "removed": self.n_removed, "no_example": report.read - report.kept}

    def sentence(self) -> str:
        """The account, for people."""
        account = self.account()
        verb = "is" if account["no_example"] == 1 else "are"
        return (
            f"{counted(account['read'], 'row')} read = {account['kept']:,} kept + {account['removed']:,} removed + "
            f"{account['no_example']:,} that {verb} no example"
        )


def check_bad_rows(pool: Pool, limit: float) -> None:
    """Refuse a pool too many rows of which cannot be read: they would be missing from what is written.

    Raises:
        TooManyBadRows: their share is above the limit.
    """
    report = pool.report
    if report.bad_fraction > limit:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in report.quarantined.items())
        raise TooManyBadRows(
            f"{report.n_quarantined} of the {report.read} rows read were quarantined ({reasons}), more than {100 * limit:g}%.",
            fix="Repair these rows, or raise --max-bad-fraction.",
            report=report,
        )


def pairs_frame(cleaned: Cleaned, pairs: Iterable[Pair], part: str) -> polars.DataFrame:
    """A row for each example that goes: itself, the one that it repeats, how much, and masked excerpts of both; by file and line."""
    import polars

    pool = cleaned.pool
    listed = sorted(pairs, key=lambda pair: _place(pool, pair.removed))
    excerpts = _excerpts(pool, {position for pair in listed for position in (pair.removed, pair.kept)}, part)
    columns: dict[str, list[Any]] = {name: [] for name in _PAIRS}
    for pair in listed:
        (file, line), (kept_file, kept_line) = _place(pool, pair.removed), _place(pool, pair.kept)
        values = (
            *(pool.ids[pair.removed], file, line, pool.ids[pair.kept], kept_file, kept_line, pair.kind, pair.similarity, part),
            *(cleaned.stays(pair.removed), excerpts[pair.removed], excerpts[pair.kept]),
        )
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
    return polars.DataFrame(columns, schema={name: getattr(polars, kind) for name, kind in _PAIRS.items()})


_PAIRS: Final = {
    "removed": "String",
    "file": "String",
    "line": "Int64",
    "kept": "String",
    "kept_file": "String",
    "kept_line": "Int64",
    "kind": "String",
    "similarity": "Float64",
    "part": "String",
    "row_stays": "Boolean",
    "excerpt": "String",
    "kept_excerpt": "String",
}


def evidence_frame(cleaned: Cleaned, evidence: Iterable[Evidence]) -> polars.DataFrame:
    """A row for each item of an evaluation set that an example holds: which, which part of it, how much; by file and line."""
    import polars

    pool = cleaned.pool
    listed = sorted(evidence, key=lambda entry: (*_place(pool, entry.position), entry.set, entry.item))
    columns: dict[str, list[Any]] = {name: [] for name in _EVIDENCE}
    for entry in listed:
        file, line = _place(pool, entry.position)
        values = (
            *(pool.ids[entry.position], file, line, entry.set, entry.item, entry.part),
            *(entry.coverage, entry.matched, entry.words, masked_excerpt(entry.excerpt)),
        )
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
    return polars.DataFrame(columns, schema={name: getattr(polars, kind) for name, kind in _EVIDENCE.items()})


_EVIDENCE: Final = {
    "removed": "String",
    "file": "String",
    "line": "Int64",
    "set": "String",
    "item": "Int64",
    "part": "String",
    "coverage": "Float64",
    "matched": "Int64",
    "words": "Int64",
    "excerpt": "String",
}


def _texts(pool: Pool, part: str, progress: Callable[[int, int], None]) -> list[str]:
    texts: list[str] = []
    for example in pool.examples():
        texts.append(compared_text(example, part))
        if not len(texts) % 2048 or len(texts) == len(pool):
            progress(len(texts), len(pool))
    return texts


def _equal(texts: list[str]) -> list[Pair]:
    """The texts that stand before them already; those without a word repeat nothing."""
    first: dict[str, int] = {}
    return [
        Pair(number, other, EXACT, 1.0) for number, text in enumerate(texts) if text and (other := first.setdefault(text, number)) != number
    ]


def _shown(example: Any, part: str) -> str:
    """What of a row is embedded, or shown."""
    text: str = {BOTH: example.text, "prompt": example.instruction, "response": example.response}[part]
    return text


def _excerpts(pool: Pool, positions: set[int], part: str) -> dict[int, str]:
    ordered = sorted(positions)
    examples = zip(ordered, pool.examples(ordered), strict=True)
    return {position: masked_excerpt(_shown(example, part)[:EXCERPT]) for position, example in examples}


def _place(pool: Pool, position: int) -> tuple[str, int]:
    """File and line of an example."""
    name, lines = pool.locate(position)
    return name, lines[0]


__all__ = ["Cleaned", "Encode", "Repetition", "check_bad_rows", "evidence_frame", "pairs_frame", "repeated"]
