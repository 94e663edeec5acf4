"""What one annotator judged of one pair of responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

PREFERENCES: Final = ("a-is-better", "a-is-slightly-better", "tie", "b-is-slightly-better", "b-is-better")
"""Of the response on the left (A) and the one on the right (B); as open-instruct writes them."""
QUALITIES: Final = ("interesting", "invalid", "too hard")
"""What an annotator may say of a pair."""
TIE: Final = PREFERENCES.index("tie")
FIRST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One annotator's judgment of one pair, as it was shown: model_a stood on the left."""

    evaluator: str
    """The annotator."""
    instance_id: str
    """Of the prompt; the prompt itself where a file has no id."""
    prompt: str
    model_a: str
    model_b: str
    completion_a: str = ""
    completion_b: str = ""
    acceptable_a: bool | None = None
    """Whether the response on the left is acceptable; None where there is no answer."""
    acceptable_b: bool | None = None
    preference: int | None = None
    """Place in PREFERENCES; None where the pair has feedback alone."""
    quality: str | None = None
    """One of QUALITIES, or None."""
    comment: str = ""
    timestamp: datetime | None = None
    """None where a file has none: the order of the file counts."""
    instance_index: int | None = None
    """Place of the pair in the file of comparisons, from 0."""

    @property
    def pair(self) -> frozenset[str]:
        """The two models."""
        return frozenset((self.model_a, self.model_b))

    @property
    def instance(self) -> tuple[str, frozenset[str]]:
        """What was judged: a prompt and two models, whichever stood on the left."""
        return self.instance_id, self.pair

    def score_of(self, model: str) -> float | None:
        """1 where a model's response was preferred, clearly or slightly, 0 where the other was, 0.5 for a tie."""
        if self.preference is None:
            return None
        left = 0.5 if self.preference == TIE else float(self.preference < TIE)
        return left if model == self.model_a else 1.0 - left

    def label_of(self, model: str) -> int | None:
        """The preference in five steps, 0 where a model's response is clearly better, 4 where the other is."""
        if self.preference is None:
            return None
        return self.preference if model == self.model_a else len(PREFERENCES) - 1 - self.preference

    def accepted(self, model: str) -> bool | None:
        """Whether a model's response is acceptable."""
        return self.acceptable_a if model == self.model_a else self.acceptable_b


def latest(records: Iterable[Record]) -> tuple[list[Record], int]:
    """The last record of every annotator for every instance, in the order of time, and how many were replaced by a later one.

    Records without a time come first, in their own order; of those of one time, annotators go by name.
    """
    everything = list(records)
    last: dict[tuple[object, str], Record] = {}
    for record in sorted(everything, key=_time):
        key = (record.instance, record.evaluator)
        # Taken out first, so that the order is that of the records that stay.
        last.pop(key, None)
        last[key] = record
    return list(last.values()), len(everything) - len(last)


def _time(record: Record) -> tuple[datetime, str]:
    return (FIRST, "") if record.timestamp is None else (record.timestamp, record.evaluator)


__all__ = ["PREFERENCES", "QUALITIES", "TIE", "Record", "latest"]
