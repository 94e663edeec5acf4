"""What a model is asked and what comes back: one form for every kind of model that gives a row a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from instructsel.models import runner
from instructsel.models.foreign import first_line as first_line
from instructsel.models.load import LocalModel

Question = tuple[str | None, ...]
"""The texts a model is given, exactly; what each means is the model's business."""

UNKNOWN_LIMIT: Final = 0.3
"""From this share of unknown tokens on, a model does not know the language."""


@dataclass(frozen=True, eq=False)
class Answers:
    """A number or a reason for each question."""

    values: NDArray[np.float64]
    """(n,), 0 where there is a reason."""
    reasons: list[str | None]
    """not_finite, out_of_memory, too_long, unsupported_language, … where the model gave no number."""
    truncated: NDArray[np.bool_]
    """(n,), where the model did not see everything."""
    report: runner.RunReport = runner.NOTHING


class OutputCache(Protocol):
    """Stored outputs of a model: written as they come, and read where a smaller batch shape is taken."""

    def write(self, questions: NDArray[np.int64], values: NDArray[Any], truncated: NDArray[np.bool_], shape: runner.Shape | None) -> None:
        """Answers to these questions (numbers of the list asked); `shape` is None where it is the planned one."""
        ...

    def read(self, questions: NDArray[np.int64], shape: runner.Shape) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which of these questions have been answered in this shape, and the answers."""
        ...


@dataclass(frozen=True, eq=False)
class QuestionWriter:
    """A run's row cache that writes finite results to an output cache, under the questions its rows belong to."""

    cache: OutputCache
    questions: NDArray[np.int64]
    """(m,), the question of each row of the run."""
    truncated: NDArray[np.bool_]
    """By question."""

    @classmethod
    def of(cls, cache: OutputCache | None, questions: NDArray[np.int64], truncated: NDArray[np.bool_]) -> QuestionWriter | None:
        """None where nothing is stored."""
        return None if cache is None else cls(cache, questions, truncated)

    def write(self, members: NDArray[np.int64], results: NDArray[Any], shape: runner.Shape | None) -> None:
        """Pass on what is a number: a failure is to be tried again next time."""
        sound = np.isfinite(results).reshape(len(results), -1).all(axis=1)
        questions = self.questions[members[sound]]
        if len(questions):
            self.cache.write(questions, results[sound], self.truncated[questions], shape)

    def read(self, members: NDArray[np.int64], shape: runner.Shape) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """What is known of these rows."""
        return self.cache.read(self.questions[members], shape)


class Model(Protocol):
    """A loaded model that gives each question a number: the same alone, in any company and in any order."""

    @property
    def source(self) -> LocalModel:
        """Its files."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What an answer depends on besides the question; no path."""
        ...

    def answer(
        self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """A number or a reason for each question."""
        ...


@dataclass(frozen=True, eq=False)
class Encoded:
    """Questions as tokens."""

    sequences: runner.Ragged
    """Of the questions that have no reason, in their order."""
    questions: NDArray[np.int64]
    """(m,), which questions those are."""
    reasons: list[str | None]
    """(n,), why a question cannot be put to the model."""
    truncated: NDArray[np.bool_]
    """(n,)"""


def answered(encoded: Encoded, results: NDArray[Any], refused: NDArray[np.bool_], report: runner.RunReport) -> Answers:
    """Results of a run as answers: what is not finite or did not fit into memory has a reason."""
    values = np.zeros(len(encoded.reasons), dtype=np.float64)
    reasons = list(encoded.reasons)
    numbers = results.astype(np.float64)
    finite = np.isfinite(numbers)
    values[encoded.questions] = np.where(finite & ~refused, numbers, 0.0)
    for row in np.flatnonzero(refused | ~finite).tolist():
        reasons[int(encoded.questions[row])] = "out_of_memory" if refused[row] else "not_finite"
    return Answers(values, reasons, encoded.truncated, report)


def unknown_share(ids: NDArray[np.integer[Any]], unknown: int | None) -> float:
    """The share of tokens that the tokenizer does not know, in [0, 1]."""
    return float((ids == unknown).mean()) if unknown is not None and len(ids) else 0.0


def escape_special_tokens(text: str, control: Iterable[str]) -> str:
    """The text with control tokens broken up by a space of no width, so that a template's own are the only ones."""
    for token in control:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]}\u200b{token[1:]}")
    return text
