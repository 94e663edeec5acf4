"""Contamination by the documents of tasks: questions and answers of a benchmark that stand in the rows to train on.

    for document in TaskDocuments("gsm8k", documents): ...
    task_overlaps([tasks], {"the arm random": pools})

A document is compared as its task renders it, without what the task writes around every question, and by the texts of which the
question is made: a row that asks in another layout asks the same. Memory holds a part of the documents at a time, whatever their number;
the rows to train on are read once for each part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.pool.evaluation_texts import LEVELS, EvaluationTexts, Render
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from instructsel.pool.normal_form import normal_form
from instructsel.pool.overlap import RECORDED, Overlap, place_of
from instructsel.pool.pool import Pool

LEAST_PART: Final = 10
"""Characters in normal form of a text that is looked at as a part of a question: shorter ones are labels and numbers."""
RARE: Final = 20
"""Documents among which a text stands no more than once on average, or it belongs to the task and not to a document."""
FRAMED: Final = 3
"""Documents at least that show what a task writes around every question."""
CHOICE: Final = re.compile(r"(?:^|\s)\(?[A-Za-z1-9][.):]\s*$")
"""What stands before a choice of a question: its letter or number."""
PART: Final = 32 * 2**20
"""Characters of documents that are compared at a time."""
OVERHEAD: Final = 2000
"""What a document takes beside its texts, in characters."""


@dataclass(frozen=True, slots=True)
class TaskDocument:
    """A document of a task as a model is asked it, without demonstrations."""

    place: str
    """Task and number, for people."""
    question: str
    """What the task writes before the answer; may be empty."""
    answers: tuple[str, ...]
    """Right answers, as the task writes them and as the document has them; may be none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The document's own texts by the names of their fields."""


@dataclass(frozen=True)
class TaskDocuments:
    """The documents of a task that are graded."""

    task: str
    """As verdicts call it."""
    read: Callable[[], AbstractContextManager[Iterable[tuple[Sequence[TaskDocument], Iterable[TaskDocument]]]]]
    """Opens its tasks; each gives some documents, spread over all of it, and then all of them."""


@dataclass(frozen=True)
class Frame:
    """What a task writes around every question, and which fields are a document's own."""

    before: int = 0
    """Words in front of a question that all have in common."""
    after: int = 0
    """Words behind it."""
    fields: tuple[str, ...] = ()
    """Fields of which texts differ between documents."""

    @classmethod
    def of(cls, documents: Sequence[TaskDocument]) -> Frame:
        """What these documents have in common.

        >>> Frame.of([TaskDocument("", f"Question: {text}? Answer:", ()) for text in ("Who is it", "Where", "When does it come")])
        Frame(before=1, after=1, fields=())
        """
        names = dict.fromkeys(name for document in documents for name in document.fields)
        own = []
        for name in names:
            texts = [document.fields[name] for document in documents if name in document.fields]
            if len(set(texts)) * RARE >= len(texts) and (len(set(texts)) > 1 or len(documents) == 1):
                own.append(name)
        questions = [document.question.split() for document in documents]
        if len(questions) < FRAMED:
            return cls(fields=tuple(own))
        before = _common(questions)
        after = _common([words[before:][::-1] for words in questions])
        return cls(before, after, tuple(own))

    def inner(self, question: str) -> str:
        """A question without what stands around every one."""
        words = question.split()
        return " ".join(words[self.before : len(words) - self.after])

    def parts(self, document: TaskDocument) -> list[str]:
        """The texts of a document of which its question is made, in their order there: none that is part of another, all of it, or a choice.

        None where they are a small part of a field that is all of it: the rest of it is the document's, too.
        """
        whole = f" {normal_form(document.question)} "
        standing = {}
        for name in self.fields:
            text = document.fields.get(name, "").strip()
            if CHOICE.search(document.question.partition(text)[0]):
                continue
            words = normal_form(text)
            if LEAST_PART <= len(words) < len(whole) - 2 and (start := whole.find(f" {words} ")) >= 0:
                standing[words] = (start, text)
        longest = [words for words in standing if not any(words != other and f" {words} " in f" {other} " for other in standing)]
        if 2 * sum(map(len, longest)) < len(whole) and any(normal_form(text) == whole.strip() for text in document.fields.values()):
            return []
        return [standing[words][1] for words in sorted(longest, key=lambda words: standing[words][0])]


@dataclass(eq=False)
class _Part(EvaluationTexts):
    """Documents, of one task or several, that are compared at a time."""

    documents: list[tuple[int, TaskDocument, tuple[str, ...]]] = field(default_factory=list)
    """Number of the task, document, and forms of its question."""
    size: int = 0
    """Characters."""

    def include(self, task: int, document: TaskDocument, frame: Frame) -> None:
        """A document in all its forms."""
        position = len(self.documents)
        parts, inner = frame.parts(document), frame.inner(document.question)
        forms = tuple(dict.fromkeys(text for text in (document.question, inner, *parts) if text.strip())) or ("",)
        self.documents.append((task, document, forms))
        for example in self.examples_of(position):
            self.add(position, example)
        if document.question.strip():
            # Where questions hardly differ, what they have in common belongs to them.
            bare = inner if 2 * len(inner) >= len(document.question) else document.question
            self.add_question(position, parts or [bare], document.answers)
            for form in dict.fromkeys([bare, *parts[-1:]]):
                for answer in document.answers:
                    self.add_conversation(position, form, answer)
        self.size += OVERHEAD + 4 * (len(document.question) + sum(map(len, document.answers)))

    def examples_of(self, position: int) -> Iterable[Example]:
        """Each form of the question with each answer."""
        _, document, forms = self.documents[position]
        for form in forms:
            asked = (Message("user", form),) if form else ()
            for answer in document.answers or ("",):
                yield Example("", "", (*asked, Message("assistant", answer)))


def task_overlaps(
    tasks: Iterable[TaskDocuments], arms: Mapping[str, Sequence[Pool]], *, render: Render | None = None, part: int = PART
) -> list[Overlap]:
    """What of the documents of tasks stands in the rows of arms.

    Args:
        tasks: the documents that are graded.
        arms: what messages call the rows to train on → these, a pool a replicate.
        render: what the model sees of an example.
        part: characters of documents that are compared at a time.

    Returns:
        An overlap for each task and arm, in this order.
    """
    tally = _Tally(arms, render)
    for documents in tasks:
        number = tally.task(documents.task)
        with documents.read() as leaves:
            for sample, every in leaves:
                frame = Frame.of(sample)
                for document in every:
                    tally.part.include(number, document, frame)
                    if tally.part.size >= part:
                        tally.compare()
    tally.compare()
    return tally.overlaps()


class _Tally:
    """Counts and first places by task and arm, over parts of the documents."""

    def __init__(self, arms: Mapping[str, Sequence[Pool]], render: Render | None) -> None:
        self.arms = arms
        self.render = render
        self.part = _Part()
        self.names: list[str] = []
        self.n_documents: list[int] = []
        self.counts: dict[tuple[int, str], dict[str, int]] = {}
        self.places: dict[tuple[int, str], dict[str, list[tuple[str, str]]]] = {}

    def task(self, name: str) -> int:
        """The number of a task that is new."""
        self.names.append(name)
        self.n_documents.append(0)
        number = len(self.names) - 1
        for arm in self.arms:
            self.counts[number, arm] = dict.fromkeys(LEVELS, 0)
            self.places[number, arm] = {level: [] for level in LEVELS}
        return number

    def compare(self) -> None:
        """Compare the documents at hand with all arms, and forget them."""
        part, self.part = self.part, _Part()
        for task, _, _ in part.documents:
            self.n_documents[task] += 1
        for arm, pools in self.arms.items() if part.documents else ():
            for level, matched in part.matched(pools, self.render).items():
                for position in sorted(matched):
                    task, document, _ = part.documents[position]
                    number, row = matched[position]
                    self.counts[task, arm][level] += 1
                    if len(places := self.places[task, arm][level]) < RECORDED:
                        places.append((document.place, place_of(pools[number], row)))

    def overlaps(self) -> list[Overlap]:
        """An overlap for each task and arm."""
        return [
            Overlap(
                name,
                arm,
                self.n_documents[number],
                self.counts[number, arm],
                {level: tuple(places) for level, places in self.places[number, arm].items() if places},
                is_task=True,
            )
            for number, name in enumerate(self.names)
            for arm in self.arms
        ]


def documents_of(graders: Iterable[Any]) -> Iterator[TaskDocuments]:
    """The documents of graders that show them, each task once."""
    names: set[str] = set()
    for grader in graders:
        documents = getattr(grader, "documents", None)
        if isinstance(documents, TaskDocuments) and documents.task not in names:
            names.add(documents.task)
            yield documents


def _common(texts: Sequence[Sequence[str]]) -> int:
    """Words at the beginning that all have in common; of the shortest at least one is left."""
    shortest = min(texts, key=len)
    for position, word in enumerate(shortest[:-1]):
        if any(words[position] != word for words in texts):
            return position
    return max(0, len(shortest) - 1)


__all__ = ["Frame", "TaskDocument", "TaskDocuments", "documents_of", "task_overlaps"]
