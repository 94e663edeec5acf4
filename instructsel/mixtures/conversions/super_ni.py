"""SuperNI: of each task up to 60 instances with the definition alone, and up to 20 with two examples of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest, exchange
from instructsel.mixtures.conversions._templates import lay_out
from instructsel.pool.formats._base import kind, listed
from instructsel.pool.formats.super_natural_instructions import definition_of, instances_of, pair_of
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.message import Message

MMLU: Final = "_mmmlu_"
"""In the names of tasks that hold items of MMLU."""
TASK_NAMES: Final = ("_task_file", "task_name", "task", "Task")
"""Fields that name a task, where tasks are rows of one file."""


class Pair(NamedTuple):
    """An instance or an example of a task."""

    question: str
    answer: str
    content: bytes
    """A digest of both."""
    occurrence: int
    """How many equal ones came before it."""
    id: str | None
    """Its own, or None."""


@dataclass(frozen=True)
class SuperNI(Conversion):
    """Tasks of Natural Instructions, a task a row or a file."""

    zero_shot: int = 60
    """Most instances of a task with the definition alone."""
    few_shot: int = 20
    """Most further instances with examples."""
    examples: int = 2
    """Most examples of a task before an instance."""
    tasks: tuple[str, ...] = ()
    """Names of the tasks that are converted, as splits/xlingual/train_tasks.txt lists them; all where there are none."""

    name: ClassVar[str] = "super_ni"

    def content(self, row: InputRow) -> bytes:
        """The definition, and the instances."""
        return digest([definition_of(row.fields), sorted(pair.content.hex() for pair in self._pairs(row.fields, Counter()))])

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """A conversation for each instance that is drawn."""
        names = [row.file, *(str(row.fields[field]) for field in TASK_NAMES if row.fields.get(field))]
        if any(MMLU in name for name in names):
            raise RowDropped("mmlu")
        if self.tasks and not {name.rsplit("/", 1)[-1].removesuffix(".json") for name in names} & set(self.tasks):
            raise RowDropped("not_in_tasks")
        definition = definition_of(row.fields)
        parts: Counter[str] = Counter()
        pairs = self._pairs(row.fields, parts)
        if not pairs:
            raise RowDropped("no_answer")
        examples = _examples(row.fields) if self.few_shot else []
        ranked = sorted(
            pairs, key=lambda pair: (self.draw("instance", definition, pair.content, pair.occurrence, occurrence), pair.content)
        )
        zero_shot, few_shot = ranked[: self.zero_shot], ranked[self.zero_shot : self.zero_shot + self.few_shot]
        conversations = [
            *(self._zero_shot(definition, pair, occurrence) for pair in zero_shot),
            *(self._few_shot(definition, pair, examples, occurrence) for pair in few_shot),
        ]
        parts.update({"zero_shot": len(zero_shot), "few_shot": len(few_shot), "not_sampled": len(ranked) - len(conversations)})
        if not conversations:
            raise RowDropped("not_sampled")
        return Outcome(tuple(conversations), parts)

    def _pairs(self, fields: Any, parts: Counter[str]) -> list[Pair]:
        """The instances that have an output; the others are counted."""
        alike: Counter[bytes] = Counter()
        pairs: list[Pair] = []
        for number, instance in enumerate(instances_of(fields), 1):
            try:
                question, answer = pair_of(instance, number)
            except RowFault as fault:
                parts[f"instance_{fault.code}"] += 1
                continue
            pairs.append(_pair(question, answer, alike, instance.get("id")))
        return pairs

    def _zero_shot(self, definition: str, pair: Pair, occurrence: int) -> Converted:
        draw = self.draw("template", definition, pair.content, pair.occurrence, occurrence)
        return Converted(_id(definition, pair), lay_out(definition, pair.question, pair.answer, draw))

    def _few_shot(self, definition: str, pair: Pair, examples: Sequence[Pair], occurrence: int) -> Converted:
        def draw(example: Pair) -> int:
            return self.draw("example", definition, pair.content, pair.occurrence, occurrence, example.content, example.occurrence)

        return Converted(_id(definition, pair), few_shot(definition, sorted(examples, key=draw)[: self.examples], pair))


def few_shot(definition: str, examples: Sequence[Pair], pair: Pair) -> tuple[Message, ...]:
    """The definition, a blank line, the examples as blocks of input and output with a blank line behind each, the input and an open output."""
    blocks = [f"Input:\n{example.question.strip()}\nOutput:\n{example.answer.strip()}\n\n" for example in examples]
    return exchange(f"{definition.strip()}\n\n{''.join(blocks)}Input:\n{pair.question.strip()}\nOutput:\n", pair.answer.strip())


def _examples(fields: Any) -> list[Pair]:
    """The positive examples of a task.

    Raises:
        RowFault: they are no list, or one is no pair of texts.
    """
    values = listed(fields.get("Positive Examples")) or []
    if not isinstance(values, list):
        raise RowFault("not_a_list", f"'Positive Examples' holds {kind(values)} where a list belongs")
    alike: Counter[bytes] = Counter()
    return [_pair(*pair_of(value, number), alike, None) for number, value in enumerate(values, 1)]


def _pair(question: str, answer: str, alike: Counter[bytes], own_id: Any) -> Pair:
    content = digest([question, answer])
    pair = Pair(question, answer, content, alike[content], own_id if isinstance(own_id, str) and own_id else None)
    alike[content] += 1
    return pair


def _id(definition: str, pair: Pair) -> str:
    return pair.id or digest([definition, pair.question, pair.answer]).hex()
