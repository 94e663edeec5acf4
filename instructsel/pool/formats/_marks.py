"""Fields that say whether a row is wanted: KTO's `label`, LLaMA-Factory's `kto_tag`, thumbs, …

A field whose name says what it is, is read row by row. One that may also be a class of a classification task (`label`, `correct`) is
a mark only where it is a truth value in every row of the file, and not a class: the row's answer itself, or one of a few answers' own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields

WANTED: Final = ("kto_tag", "desirable", "is_desirable", "thumbs_up", "is_thumbs_up", "liked", "upvoted", "is_chosen", "is_preferred")
UNWANTED: Final = ("undesirable", "is_undesirable", "thumbs_down", "is_thumbs_down", "disliked", "downvoted", "is_rejected")
"""Names that say what they are: of rows that are wanted, and of rows that are not."""
PERHAPS_WANTED: Final = ("label", "chosen", "accepted", "is_accepted", "preferred", "correct", "is_correct", "good", "is_good", "feedback")
PERHAPS_UNWANTED: Final = ("rejected", "bad", "is_bad")
"""Names of marks that are also names of other things."""
NAMES: Final = frozenset({*WANTED, *UNWANTED, *PERHAPS_WANTED, *PERHAPS_UNWANTED})
TRUE: Final = frozenset({"true", "1", "1.0", "desirable", "chosen", "accepted", "thumbs_up", "thumbsup", "\U0001f44d"})
FALSE: Final = frozenset({"false", "0", "0.0", "undesirable", "rejected", "thumbs_down", "thumbsdown", "\U0001f44e"})
YES: Final = frozenset({"yes", "y", "good", "up", "positive"})
NO: Final = frozenset({"no", "n", "bad", "down", "negative"})
"""Texts of truth values; those of YES and NO are also names of classes."""

MOST_CLASSES: Final = 64
"""Answers of a task of classification."""
LONGEST_CLASS: Final = 256
"""Characters of an answer that are looked at."""


def truth(value: Any, *, strict: bool = True) -> bool | None:
    """The truth value that a field holds: true or false, 1 or 0, or a text of one; None where it holds another thing.

    >>> truth("Undesirable"), truth(0), truth("sports"), truth("no"), truth("no", strict=False)
    (False, False, None, None, False)
    """
    if isinstance(value, bool | int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    word = value.strip().rstrip(".").casefold().replace("-", "_").replace(" ", "_")
    if word in TRUE or (not strict and word in YES):
        return True
    return False if word in FALSE or (not strict and word in NO) else None


@dataclass(slots=True)
class Marks:
    """The marks of a file's rows, gathered while it is read."""

    examples: dict[str, list[int]] = field(default_factory=dict)
    """Field → the positions of the examples that it says are not wanted, where it may be another thing."""
    rows: dict[str, set[int]] = field(default_factory=dict)
    """Field → the rows of these."""
    others: set[str] = field(default_factory=set)
    """Fields that hold something else than a truth value."""
    differ: set[str] = field(default_factory=set)
    """Fields whose truth value is not the answer of each row."""
    counts: Counter[str] = field(default_factory=Counter)
    """Field → the rows that have it."""
    classes: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Field → its value for each answer, while each answer has one value and answers are few."""
    read: set[str] = field(default_factory=set)
    """Fields that said of a row whether it is wanted."""

    def is_unwanted(self, row: Fields) -> bool:
        """Whether a field that says what it is says that the row is not wanted."""
        unwanted = False
        if NAMES.isdisjoint(row):
            return unwanted
        for names, wanted in ((WANTED, True), (UNWANTED, False)):
            for name in names:
                if name in row and (value := truth(row[name], strict=False)) is not None:
                    self.read.add(name)
                    unwanted = unwanted or value is not wanted
        return unwanted

    def note(self, row: Fields, conversations: Iterable[Conversation], number: int, positions: Iterable[int]) -> None:
        """Note what the other fields say of a row whose examples stand at these positions."""
        if NAMES.isdisjoint(row):
            return
        for names, wanted in ((PERHAPS_WANTED, True), (PERHAPS_UNWANTED, False)):
            for name in names:
                if row.get(name) is None or name in self.others:
                    continue
                value = truth(row[name])
                if value is None:
                    self.others.add(name)
                    continue
                answers = [_answer(conversation) for conversation in conversations]
                if not any(truth(answer, strict=False) is value for answer in answers):
                    self.differ.add(name)
                self._note_class(name, answers, value)
                if value is not wanted:
                    self.examples.setdefault(name, []).extend(positions)
                    self.rows.setdefault(name, set()).add(number)

    def add(self, other: Marks, rows: int, examples: int) -> None:
        """What was noted of the rows that follow, before which there are so many rows and examples."""
        for name, positions in other.examples.items():
            self.examples.setdefault(name, []).extend(position + examples for position in positions)
            self.rows.setdefault(name, set()).update(number + rows for number in other.rows[name])
        for name, count in other.counts.items():
            classes, others = self.classes.get(name) if self.counts[name] else self.classes.setdefault(name, {}), other.classes.get(name)
            self.counts[name] += count
            if classes is None:
                continue
            agree = others is not None and all(classes.setdefault(answer, value) is value for answer, value in others.items())
            if not agree or len(classes) > MOST_CLASSES:
                del self.classes[name]
        self.others |= other.others
        self.differ |= other.differ
        self.read |= other.read

    def unwanted(self) -> tuple[set[int], set[int]]:
        """At the end of the file: the positions of the examples, and the rows, that are not wanted."""
        fields = {name for name in self.differ - self.others if not self._is_class(name)}
        self.read |= fields
        marks = [name for name in self.examples if name in fields]
        return {position for name in marks for position in self.examples[name]}, {number for name in marks for number in self.rows[name]}

    def _note_class(self, name: str, answers: list[str], value: bool) -> None:
        self.counts[name] += 1
        classes = self.classes.get(name) if self.counts[name] > 1 else self.classes.setdefault(name, {})
        if classes is None:
            return
        for answer in answers:
            if classes.setdefault(answer[:LONGEST_CLASS], value) is not value or len(classes) > MOST_CLASSES:
                del self.classes[name]
                return

    def _is_class(self, name: str) -> bool:
        """Whether a field is a function of a few answers that come again and again, as in a task of classification."""
        classes = self.classes.get(name)
        return classes is not None and 2 * len(classes) <= self.counts[name]


def _answer(conversation: Conversation) -> str:
    return next((turn.content for turn in reversed(conversation.messages) if turn.is_trained), "")


__all__ = ["NAMES", "Marks", "truth"]
