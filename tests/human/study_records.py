"""Records of the shape and with the counts of the released human study of Tülu: 996 instances, 1,150 rows, 1,141 that count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from instructsel.human.record import Record

START = datetime(2023, 5, 18, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    """The counts of one pair of models among its 332 instances."""

    first: str
    second: str
    labels: tuple[int, int, int, int, int]
    """First clearly, slightly, tie, second slightly, clearly: of the first annotator."""
    accepted: tuple[int, int]
    """Of first and second, by the first annotator."""
    double: int
    """Instances that a second annotator judged."""
    same: int
    """Of these, with the same of first, tie, second."""
    half: int
    """Of these, a tie against a win."""
    accepted_same: int
    """Of twice as many answers, how many are the same."""


PAIRS = (
    Counts("tulu-65b", "chatgpt", (24, 68, 110, 64, 66), (263, 299), 63, 35, 16, 114),
    Counts("tulu-65b", "tulu-7b", (60, 90, 106, 50, 26), (262, 228), 56, 34, 16, 88),
    Counts("tulu-65b", "human-mix-65b", (70, 96, 99, 40, 27), (270, 240), 2, 1, 1, 3),
)


def study() -> list[Record]:
    """All rows, in no order of time."""
    records = [record for number, counts in enumerate(PAIRS) for record in _of_pair(number, counts)]
    moved = np.random.default_rng(11).permutation(len(records))
    return [records[place] for place in moved]


def _of_pair(number: int, counts: Counts) -> Iterator[Record]:
    generator = np.random.default_rng(number)
    labels = np.repeat(np.arange(5), counts.labels)
    generator.shuffle(labels)
    accepted = [np.arange(332) < n for n in counts.accepted]
    for side in accepted:
        generator.shuffle(side)
    # Second annotations: of ties and wins as many as the agreement needs.
    ties, wins = np.flatnonzero(labels == 2), np.flatnonzero(labels != 2)
    doubled = [*ties[: counts.half], *wins[: counts.double - counts.half]]
    differing = 2 * counts.double - counts.accepted_same
    for instance in range(332):
        record = Record(
            evaluator=f"annotator-{instance % 16}",
            instance_id=f"prompt-{instance}",
            prompt=f"Instruction {instance}",
            model_a=counts.first,
            model_b=counts.second,
            completion_a="One.",
            completion_b="Two.",
            acceptable_a=bool(accepted[0][instance]),
            acceptable_b=bool(accepted[1][instance]),
            preference=int(labels[instance]),
            timestamp=START + timedelta(minutes=instance),
            instance_index=332 * number + instance,
        )
        yield _turned(record, generator)
        if instance < 3:
            # An earlier judgment of the same annotator, which the later one replaced.
            yield replace(record, preference=4 - record.preference, acceptable_a=False, timestamp=START - timedelta(days=1))
        if instance not in doubled:
            continue
        place = doubled.index(instance)
        label = int(labels[instance])
        if place >= counts.half and place >= counts.half + counts.same:
            label = 4 - label
        elif place < counts.half:
            label = 1
        other = replace(record, evaluator=f"annotator-{(instance + 1) % 16}", preference=label, timestamp=START + timedelta(days=3))
        changed = [2 * place < differing, 2 * place + 1 < differing]
        other = replace(other, acceptable_a=bool(record.acceptable_a) ^ changed[0], acceptable_b=bool(record.acceptable_b) ^ changed[1])
        yield _turned(other, generator)
        if number < 2 and place < 12:
            # A third one, later still: neither the first two nor the rates may change.
            yield replace(other, evaluator="annotator-late", preference=0, acceptable_a=False, timestamp=START + timedelta(days=9))


def _turned(record: Record, generator: np.random.Generator) -> Record:
    """The same judgment, shown in one order or the other."""
    if generator.random() < 0.5:
        return record
    return replace(
        record,
        model_a=record.model_b,
        model_b=record.model_a,
        completion_a=record.completion_b,
        completion_b=record.completion_a,
        acceptable_a=record.acceptable_b,
        acceptable_b=record.acceptable_a,
        preference=None if record.preference is None else 4 - record.preference,
    )
