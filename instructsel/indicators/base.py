"""What every indicator is: a frozen set of parameters that scores a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

from instructsel.magnitude import is_usable
from instructsel.models.answers import Answers, Model, Question
from instructsel.models.embedded_lm import SMOLLM2
from instructsel.models.runner import RunReport
from instructsel.pool.example import Example
from instructsel.text import is_blank

Progress = Callable[[int, int], None]
"""Called with how many examples of how many are done."""

NOT_SHOWN: Final = frozenset({"prompt_truncated"})
"""Reasons that say nothing against an example: the model could not be shown it whole. A minimum under the indicator keeps it."""


@dataclass(frozen=True)
class Batch:
    """The examples to score, in any number and any order."""

    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def instructions(self) -> list[str]:
        """Everything said before the last answer."""
        return [example.instruction for example in self.examples]

    @cached_property
    def responses(self) -> list[str]:
        """The last answers."""
        return [example.response for example in self.examples]

    @cached_property
    def texts(self) -> list[str]:
        """Instruction, a line break, response."""
        return [example.text for example in self.examples]


@dataclass(frozen=True)
class Scored:
    """A value or a reason for each example of a batch."""

    values: Sequence[float | None]
    """In the order of the batch; None where the indicator cannot speak, never NaN."""
    reasons: Sequence[str | None]
    """A code where the value is None, None elsewhere."""
    truncated: int = 0
    """How many examples the model did not see whole."""

    def __post_init__(self) -> None:
        if len(self.values) != len(self.reasons):
            raise ValueError(f"{len(self.values)} values and {len(self.reasons)} reasons.")

    @classmethod
    def unavailable(cls, size: int, reason: str) -> Scored:
        """Null for every example, for one reason."""
        return cls([None] * size, [reason] * size)


@dataclass(frozen=True)
class Indicator(ABC):
    """A number that says something of an example. Subclasses are frozen dataclasses; their fields are the parameters."""

    symbol_pattern: ClassVar[str]
    """The paper's symbol, as a regular expression with a group for each parameter it carries (`knn_(?P<i>[1-9][0-9]*)`)."""
    version: ClassVar[int]
    """Raised when the same example would get another value."""
    unit: ClassVar[str]
    direction: ClassVar[str]
    """Which way the paper found better, in words."""
    source: ClassVar[str]
    """Paper and equation."""
    scope: ClassVar[Literal["row", "pool"]] = "row"
    """A pool-scoped value depends on the other examples of the batch."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Optional packages it needs, by their modules' names: what `doctor` looks for."""
    of_conversation: ClassVar[bool] = False
    """Whether a value depends on the turns alone, neither on the id nor on the source: such examples are scored by several processes."""
    asks_model: ClassVar[bool] = False
    """Whether a model computes its values: such an indicator is slow, and its model's outputs are cached."""
    nearly: ClassVar[str | None] = None
    """The symbol of an indicator that it nearly repeats: where both are scored, their correlation is printed."""

    @property
    @abstractmethod
    def symbol(self) -> str:
        """The column's name: the paper's symbol in lower case."""

    @abstractmethod
    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """The values of a batch.

        Raises:
            ModelUnavailable: a model is neither here nor to be had.
            MissingExtra: an optional package is not installed.
        """

    def measure(self, batch: Batch) -> RunReport | None:
        """Score a batch to see how long it takes; the report of the model's batches, where there is a model."""
        self.score(batch)
        return None

    def search_cost(self, examples: int) -> tuple[float, int]:
        """Seconds and bytes that the whole pool takes besides its batches, for the forecast."""
        return 0.0, 0

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """What a reader of its column must know, a sentence each.

        Args:
            symbol: the column.
            nulls: reason → rows.
            entry: what the score table's manifest says of the column: parameters, models, rows cut.
        """
        lines = []
        if (entry.get("parameters") or {}).get("probe") is False:
            lines.append(f"the model of {symbol} was used without the sanity probe.")
        if entry.get("smaller_batches"):
            lines.append(f"memory ran out; {entry['smaller_batches']:,} values of {symbol} come from smaller batches.")
        return lines

    def made_with(self) -> dict[str, Any]:
        """The models and tokenizers used, by content; part of the fingerprint."""
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Everything a value depends on besides the example: what a rule is checked against.

        A model is named by its content (made_with), not by where it was found.
        """
        named = ("model", "revision")
        parameters = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in named}
        return {
            "name": type(self).__module__.rpartition(".")[2],
            "version": self.version,
            "unit": self.unit,
            "parameters": parameters,
            **self.made_with(),
        }


class ModelIndicator(Indicator):
    """An indicator that asks a model. What several of them ask of one model is asked once.

    Subclasses name their model in fields `model`, `revision`, `precision`, `device` and `probe`.
    """

    modules: ClassVar[tuple[str, ...]] = ("torch", "transformers", "safetensors")
    asks_model: ClassVar[bool] = True
    embedded_model: ClassVar[bool] = False
    """Whether the embedded language model can be its model."""

    @abstractmethod
    def loaded(self) -> Model:
        """The model, loaded and probed once."""

    @abstractmethod
    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """For each example what the model is asked, or the reason why it is not."""

    def finish(self, answers: Sequence[float]) -> float:
        """The value of an example from the model's answers to its questions; the only answer by default."""
        return answers[0]

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Ask the model and finish its answers."""
        questions = self.questions(batch)
        distinct = distinct_questions(questions)
        return self.finished(questions, distinct, self.loaded().answer(distinct, progress=progress))

    def measure(self, batch: Batch) -> RunReport | None:
        """Ask the model, without a cache."""
        distinct = distinct_questions(self.questions(batch))
        return self.loaded().answer(distinct).report if distinct else None

    def finished(
        self, questions_by_example: Sequence[tuple[Question, ...] | str], distinct: Sequence[Question], answers: Answers
    ) -> Scored:
        """Values from answers.

        Args:
            asked: what `questions` gave.
            every: the questions answered, each once.
            answers: in the order of `every`.
        """
        position_of = {question: number for number, question in enumerate(distinct)}
        values: list[float | None] = []
        reasons: list[str | None] = []
        truncated = 0
        for questions in questions_by_example:
            numbers = [] if isinstance(questions, str) else [position_of[question] for question in questions]
            unanswered = (reason for number in numbers if (reason := answers.reasons[number]))
            reason = questions if isinstance(questions, str) else next(unanswered, None)
            value = None if reason else self.finish([float(answers.values[number]) for number in numbers])
            if value is not None and not is_usable(value):
                value, reason = None, "not_finite"
            values.append(value)
            reasons.append(reason)
            truncated += reason is None and any(bool(answers.truncated[number]) for number in numbers)
        return Scored(values, reasons, truncated)

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """How to score it where its model was not to be had, and what every indicator says."""
        missing = f"{symbol} is null (model_unavailable). With a model: instructsel score POOL --model {symbol}=FOLDER_OR_HUB_ID"
        if cls.embedded_model:
            missing += f"; without a hub: --model {symbol}=embedded"
        used = f"The model of {symbol}, {SMOLLM2.name}, is instruction-tuned, and its weights were rounded to four bits."
        return [
            *([missing] if nulls.get("model_unavailable") else []),
            *([used] if (entry.get("model") or {}).get("name") == SMOLLM2.name else []),
            *super().warnings(symbol, nulls, entry),
        ]

    def made_with(self) -> dict[str, Any]:
        """The model, by name, digest and precision."""
        return {"model": self.loaded().fingerprint, "tokenizer": None}


def distinct_questions(questions: Sequence[tuple[Question, ...] | str]) -> list[Question]:
    """Every question of a batch once, in order; reasons stand in place of questions that are not asked."""
    return list(dict.fromkeys(question for row in questions if not isinstance(row, str) for question in row))


def null_on_empty(batch: Batch) -> list[str | None]:
    """`empty_response` where the response holds nothing that can be seen, `only_reasoning` where it is reasoning that is not read."""
    return [
        None if not is_blank(response) else "only_reasoning" if example.only_reasoning else "empty_response"
        for example, response in zip(batch.examples, batch.responses, strict=True)
    ]
