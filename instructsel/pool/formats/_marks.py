"""Fields that say whether a row is wanted: KTO's `label`, LLaMA-Factory's `kto_tag`, thumbs, …

A field whose name says what it is, is read row by row. One that may also be a class of a classification task (`label`, `correct`) is
a mark only where it is a truth value in every row of the file, and not a class: the row's answer itself, or one of a few answers' own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields

WANTED: Final = (
    *(
        "kto_tag",
        "kto_label",
        "label_kto",
        "desirable",
        "is_desirable",
        "desired",
        "is_desired",
        "thumbs_up",
        "is_thumbs_up",
        "liked",
        "is_liked",
    ),
    *("upvoted", "is_upvoted", "upvote", "thumb_up", "is_chosen", "is_preferred", "is_wanted"),
)
UNWANTED: Final = (
    *("undesirable", "is_undesirable", "undesired", "is_undesired", "unwanted", "is_unwanted", "thumbs_down", "is_thumbs_down"),
    *("disliked", "is_disliked", "thumb_down", "downvote", "downvoted", "is_downvoted", "is_rejected", "is_discarded"),
)
"""Names that say what they are: of rows that are wanted, and of rows that are not."""
PERHAPS_WANTED: Final = (
    *("label", "binary_label", "human_label", "preference_label", "chosen", "accepted", "is_accepted", "acceptable", "is_acceptable"),
    *("preferred", "correct", "is_correct", "good", "is_good", "valid", "is_valid", "approved", "is_approved", "wanted"),
    *("helpful", "is_helpful", "passed", "is_passed", "keep", "like", "is_like"),
)
PERHAPS_UNWANTED: Final = (
    *("rejected", "bad", "is_bad", "discarded", "discard", "incorrect", "is_incorrect", "wrong", "is_wrong"),
    *("excluded", "exclude", "deleted", "is_deleted", "dislike", "failed", "is_failed", "spam", "is_spam"),
)
"""Names of marks that are also names of other things."""
VERDICTS: Final = (
    *("feedback", "user_feedback", "human_feedback", "rating", "user_rating", "vote", "thumbs", "thumb", "reaction", "preference"),
    *("verdict", "decision", "status", "quality", "review"),
)
"""Names of what is a mark where it holds words of one (`down`, `bad`, `rejected`), and a measure or another thing where it does not."""
HOLDERS: Final = (
    *("metadata", "meta", "info", "extra", "extra_info", "annotation", "annotations", "labels", "evaluation", *VERDICTS),
    "preferences",
)
"""Fields of a row whose own fields are looked at for marks."""
PLACES: Final = {
    **dict.fromkeys(WANTED, (True, True)),
    **dict.fromkeys(UNWANTED, (False, True)),
    **dict.fromkeys((*PERHAPS_WANTED, *VERDICTS), (True, False)),
    **dict.fromkeys(PERHAPS_UNWANTED, (False, False)),
}
"""Name → whether its rows are wanted where it is true, and whether it is a mark whatever the other rows hold."""
TRUE: Final = frozenset(
    {"true", "1", "1.0", "desirable", "desired", "wanted", "chosen", "preferred", "accept", "accepted", "approved"}
    | {"pass", "passed", "thumbs_up", "thumbsup", "thumb_up", "upvote", "upvoted", "like", "liked", "keep", "kept", "\U0001f44d"}
)
FALSE: Final = frozenset(
    {"false", "0", "0.0", "undesirable", "undesired", "unwanted", "rejected", "reject", "dispreferred", "discard", "discarded"}
    | {"fail", "failed", "thumbs_down", "thumbsdown", "thumb_down", "downvote", "downvoted", "dislike", "disliked", "\U0001f44e"}
)
YES: Final = frozenset({"yes", "y", "good", "up", "positive", "+1"})
NO: Final = frozenset({"no", "n", "bad", "down", "negative", "-1"})
"""Texts of truth values; those of YES and NO are also names of classes."""
WRITTEN: Final = ("0", "1", "0.0", "1.0")
"""Texts of a number, which may be a step of a scale."""
CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
MOST_FIELDS: Final = 64
"""Fields of a row whose names are remembered."""

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


def spelled(name: str) -> str:
    """A name of a field in the spelling of the lists above.

    >>> spelled("thumbsUp"), spelled("Is-Desirable")
    ('thumbs_up', 'is_desirable')
    """
    return CAPITAL.sub("_", name).lower().replace("-", "_").replace(" ", "_").strip("_")


@dataclass(frozen=True, slots=True)
class Marked:
    """The fields of a row that may be marks."""

    sure: tuple[tuple[str, bool], ...] = ()
    """Those whose name says what they are, and whether their rows are wanted where they are true."""
    perhaps: tuple[tuple[str, bool, bool], ...] = ()
    """The others, and whether only words of a mark make them one."""
    holders: tuple[str, ...] = ()
    """Fields that may hold marks."""

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not (self.sure or self.perhaps or self.holders)


def _marked(names: tuple[Any, ...]) -> Marked:
    sure: list[tuple[str, bool]] = []
    perhaps: list[tuple[str, bool, bool]] = []
    holders: list[str] = []
    for name in names:
        spelling = spelled(name)
        if spelling in HOLDERS:
            holders.append(name)
        if (place := PLACES.get(spelling)) is None:
            continue
        if place[1]:
            sure.append((name, place[0]))
        else:
            perhaps.append((name, place[0], spelling in VERDICTS))
    return Marked(tuple(sure), tuple(perhaps), tuple(holders))


_remembered = lru_cache(maxsize=1024)(_marked)


def marked(row: Fields) -> Marked:
    """The fields of a row that may be marks; most files have rows of a few names."""
    return _marked(tuple(row)) if len(row) > MOST_FIELDS else _remembered(tuple(row))


def says_unwanted(row: Fields) -> list[str]:
    """The fields of a row or a turn that say that it is not wanted, whatever the other rows hold."""
    return [name for name, wanted in marked(row).sure if truth(row[name], strict=False) is (not wanted)]


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
    signs: dict[str, set[int]] = field(default_factory=dict)
    """Field → which of the numbers -1, 0 and 1 it holds, and 2 for a truth value or a word."""
    read: set[str] = field(default_factory=set)
    """Fields that said of a row whether it is wanted."""

    def is_unwanted(self, row: Fields) -> bool:
        """Whether a field that says what it is says that the row is not wanted."""
        fields = marked(row)
        if fields.is_empty:
            return False
        unwanted = False
        for name, wanted in fields.sure:
            if (value := truth(row[name], strict=False)) is not None:
                self.read.add(name)
                unwanted = unwanted or value is not wanted
        return unwanted or any(isinstance(held := row[name], Mapping) and bool(says_unwanted(held)) for name in fields.holders)

    def note(self, row: Fields, conversations: Iterable[Conversation], number: int, positions: Iterable[int]) -> None:
        """Note what the other fields say of a row whose examples stand at these positions."""
        fields = marked(row)
        if not (fields.perhaps or fields.holders):
            return
        answers: list[str] | None = None
        for holder, within in (
            (None, fields),
            *((name, marked(held)) for name in fields.holders if isinstance(held := row[name], Mapping)),
        ):
            for name, wanted, is_verdict in within.perhaps:
                held = row[name] if holder is None else row[holder][name]
                name = name if holder is None else f"{holder}.{name}"
                if held is None or name in self.others:
                    continue
                value = _truth_or_sign(held, strict=not is_verdict)
                if value is None or (is_verdict and (held == 0 or held in WRITTEN)):
                    self.others.add(name)
                    continue
                self.signs.setdefault(name, set()).add(int(held) if isinstance(held, int | float) and not isinstance(held, bool) else 2)
                answers = [_answer(conversation) for conversation in conversations] if answers is None else answers
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
        for name, signs in other.signs.items():
            self.signs.setdefault(name, set()).update(signs)
        self.others |= other.others
        self.differ |= other.differ
        self.read |= other.read

    def unwanted(self) -> tuple[set[int], set[int]]:
        """At the end of the file: the positions of the examples, and the rows, that are not wanted."""
        fields = {name for name in self.differ - self.others if self._is_mark(name) and not self._is_class(name)}
        self.read |= fields
        marks = [name for name in self.examples if name in fields]
        return {position for name in marks for position in self.examples[name]}, {number for name in marks for number in self.rows[name]}

    def _is_mark(self, name: str) -> bool:
        """Whether the numbers of a field are those of one kind of mark: 1 and 0, or 1 and -1, which a measure of more values has both of."""
        signs = self.signs[name] - {2}
        verdict = spelled(name.rpartition(".")[2]) in VERDICTS
        return signs == {-1, 1} or (-1 not in signs and not (verdict and signs))

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


def _truth_or_sign(value: Any, *, strict: bool) -> bool | None:
    """The truth value that a field holds, of which -1 is false."""
    return False if value == -1 and isinstance(value, int | float) else truth(value, strict=strict)


def _answer(conversation: Conversation) -> str:
    return next((turn.content for turn in reversed(conversation.messages) if turn.is_trained), "")


__all__ = ["Marks", "says_unwanted", "truth"]
