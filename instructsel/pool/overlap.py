"""Contamination: evaluation examples that stand in the rows to train on, as a model sees them and after normalisation.

    index = EvaluationIndex.of(held_out)
    overlap = index.overlap([pool], where="the pool")
    overlap.check()              # refuses a conversation that is trained on
    overlap.sentences()          # counts, with file and line of the first ones

Memory grows with the evaluation set, time with both; the rows to train on are read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Final, Self

import numpy as np

from instructsel.errors import StudyError
from instructsel.pool.evaluation_texts import INSTRUCTION, LEVELS, SAME, EvaluationTexts, Render
from instructsel.pool.example import Example
from instructsel.pool.pool import Pool

NAMED: Final = 3
"""Places a message names."""
RECORDED: Final = 10
"""Places that stand in a record."""


@dataclass(frozen=True)
class Overlap:
    """What of an evaluation set stands in the rows of one arm."""

    evaluation: str
    """The evaluation set, as its file is called."""
    where: str
    """The rows to train on, as messages call them: `the pool`, `the arm random`."""
    n: int
    """Evaluation examples."""
    counts: Mapping[str, int]
    """Level → evaluation examples: `same` (the conversation), `instruction` (with another response), `response` (under another one)."""
    places: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Level → the first pairs of places, FILE:LINE of the evaluation set and of the rows to train on."""
    same_file: str | None = None
    """The file of the rows to train on that holds the rows of the evaluation set and no others."""
    is_task: bool = False
    """Whether the evaluation set is a task, whose documents are compared."""

    @property
    def contaminated(self) -> bool:
        """Whether a conversation of the evaluation set would be trained on."""
        return self.counts[SAME] > 0

    @property
    def found(self) -> bool:
        """Whether anything of the evaluation set stands in the rows to train on."""
        return any(self.counts.values())

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        places = {
            level: tuple((str(ours), str(theirs)) for ours, theirs in pairs) for level, pairs in (content.get("places") or {}).items()
        }
        counts = {level: int(content.get(level) or 0) for level in LEVELS}
        names = str(content["evaluation"]), str(content["where"])
        return cls(*names, int(content["examples"]), counts, places, content.get("same_file"), bool(content.get("task")))

    def sentences(self) -> list[str]:
        """What was found, a sentence a level."""
        return [self._sentence(level) for level in LEVELS if self.counts[level]]

    def check(self) -> None:
        """Refuse an evaluation set of which conversations would be trained on.

        Raises:
            StudyError: they would.
        """
        if not self.contaminated:
            return
        allow = "or allow it and have the verdict say so: --allow-contamination (allow_contamination in a plan)."
        if self.same_file is not None:
            raise StudyError(
                f"The evaluation set {self.evaluation} holds the rows of {self.same_file}, which is in {self.where}.",
                fix=f"Evaluate on examples that are not trained on, {allow}",
            )
        drop = (
            f"Drop them from {self.where}, leave the task out,"
            if self.is_task
            else f"Drop them from {self.where} or from the evaluation set,"
        )
        raise StudyError(self._sentence(SAME), fix=f"{drop} {allow}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "evaluation": self.evaluation,
            "where": self.where,
            "examples": self.n,
            **{level: self.counts[level] for level in LEVELS},
            "places": {level: [list(pair) for pair in self.places.get(level, ())] for level in LEVELS if self.places.get(level)},
            "same_file": self.same_file,
            "task": self.is_task,
        }

    def _sentence(self, level: str) -> str:
        count, pairs = self.counts[level], self.places.get(level, ())
        named = ", ".join(f"{ours} ({theirs})" for ours, theirs in pairs[:NAMED]) + (", …" if count > NAMED else "")
        if level == SAME:
            noun = "documents" if self.is_task else "examples"
            return f"{count:,} of {self.n:,} {noun} of {self.evaluation} are in {self.where}, so that they would be trained on: {named}."
        if level == INSTRUCTION:
            return f"{count:,} of {self.n:,} instructions of {self.evaluation} are in {self.where} too, with other responses: {named}."
        return f"{count:,} of {self.n:,} responses of {self.evaluation} stand in {self.where}: {named}."


@dataclass(eq=False)
class EvaluationIndex(EvaluationTexts):
    """The examples of an evaluation set of rows by what they are compared with."""

    pool: Pool
    name: str

    @classmethod
    def of(cls, pool: Pool, name: str | None = None) -> EvaluationIndex:
        """The index of an evaluation set.

        Args:
            pool: its rows.
            name: what messages call it; its files' names by default.
        """
        index = cls(pool, name or ", ".join(pool.file_names))
        for position, example in enumerate(pool.examples()):
            index.add(position, example)
        return index

    def examples_of(self, position: int) -> Iterable[Example]:
        """The row."""
        return self.pool.examples([position])

    def overlap(self, pools: Sequence[Pool], *, where: str, render: Render | None = None) -> Overlap:
        """What of the evaluation set stands in these rows.

        Args:
            pools: the rows to train on: of one arm, a pool a replicate.
            where: what messages call them.
            render: what the model sees of an example: rows whose last question is one of the evaluation set are compared as rendered, too.
        """
        matched = self.matched(pools, render)
        places = {
            level: tuple(
                (place_of(self.pool, evaluated), place_of(pools[number], position))
                for evaluated, (number, position) in nsmallest(RECORDED, matched[level].items(), key=lambda pair: self._line(pair[0]))
            )
            for level in LEVELS
            if matched[level]
        }
        counts = {level: len(matched[level]) for level in LEVELS}
        same_file = self._same_file(pools) if counts[SAME] == len(self.pool) else None
        return Overlap(self.name, where, len(self.pool), counts, places, same_file)

    def _line(self, position: int) -> tuple[int, int]:
        """Where an evaluation example stands: file and row."""
        return int(self.pool.file_of[position]), int(self.pool.row_of[position])

    def _same_file(self, pools: Sequence[Pool]) -> str | None:
        """A file of the pools with the rows of the evaluation set and no others, however it is written or compressed."""
        if self.pool.spec.part:
            return None
        ours = _sorted(self.pool.digests)
        for pool in pools:
            for number, file in enumerate(pool.files):
                rows = pool.digests[pool.file_of == number]
                if not pool.spec.part and len(rows) == len(ours) and np.array_equal(_sorted(rows), ours):
                    return file.source.name
        return None


def place_of(pool: Pool, position: int) -> str:
    """Where a row stands, as FILE:LINE."""
    name, lines = pool.locate(position)
    names = {file.source.name: shown for file, shown in zip(pool.files, pool.file_names, strict=True)}
    return f"{names.get(name, name)}:{lines[0]}"


def _sorted(digests: Any) -> Any:
    rows = np.ascontiguousarray(digests)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


__all__ = ["RECORDED", "EvaluationIndex", "Overlap", "place_of"]
