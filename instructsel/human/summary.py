"""What people's judgments say: win rates, acceptance, agreement, the effect of the order shown, and how annotators differ."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ObservationsError, UsageError
from instructsel.human.record import PREFERENCES, TIE, Record, latest
from instructsel.kinds import HUMAN, head
from instructsel.stats.agreement import (
    CONFIDENCE,
    RESAMPLES,
    Figure,
    bounded_mean,
    cohen_kappa,
    counts_of,
    fleiss_kappa,
    krippendorff_alpha,
    mean_difference,
    raw_agreement,
)
from instructsel.stats.order import order_effect

Votes = Literal["all", "first"]
Floats = NDArray[np.float64]
RELAXED: Final = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
"""What two of first, tie, second count as agreement: a tie is half of a win."""
COLLAPSED: Final = np.array([0, 0, 1, 2, 2])
"""Five steps → first, tie, second."""


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree on the instances that two or more of them judged."""

    n_instances: int
    """Judged by two or more."""
    preference: Figure
    """Share of pairs of annotators with the same of first, tie, second."""
    relaxed: Figure
    """The same, a tie against a win counting one half."""
    acceptance: Figure
    """Share of pairs of annotators that say the same of a response, over both responses."""
    fleiss: Figure
    """Fleiss' kappa of first, tie, second."""
    alpha_nominal: Figure
    """Krippendorff's alpha of first, tie, second."""
    alpha_ordinal: Figure
    """Krippendorff's alpha of the five steps, ordered."""
    alpha_acceptance: Figure
    """Krippendorff's alpha of acceptable or not."""


@dataclass(frozen=True)
class PairSummary:
    """Two models against each other."""

    first: str
    second: str
    n_instances: int
    """With a preference."""
    wins: Figure
    """Share of instances whose first model was preferred."""
    clear_wins: float
    """Of these, clearly."""
    ties: Figure
    losses: Figure
    """Share whose second model was preferred."""
    clear_losses: float
    win_rate: Figure
    """Wins and half of the ties."""
    acceptance_first: Figure
    acceptance_second: Figure
    agreement: Agreement
    order: Figure
    """By how much the response on the left is preferred beyond one half."""


@dataclass(frozen=True)
class Annotator:
    """One annotator, beside the others."""

    name: str
    n_instances: int
    acceptance: Figure
    """Share of responses taken for acceptable."""
    leniency: Figure
    """How much more often than the others on the same responses."""
    order: Figure
    """By how much the response on the left is preferred beyond one half."""
    ties: Figure
    """Share of ties."""
    clear: Figure
    """Share of clear preferences."""
    agreement: Figure
    """Relaxed agreement with the others on the same instances."""


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two annotators."""

    first: str
    second: str
    preference: Figure
    """Of first, tie, second."""
    acceptance: Figure


@dataclass(frozen=True)
class HumanSummary:
    """What people's judgments say."""

    n_records: int
    """Of them, those that a later one of the same annotator replaced do not count."""
    n_replaced: int
    n_judgments: int
    """With a preference, the last of every annotator for every instance."""
    n_instances: int
    votes: Votes
    """all: the annotators of an instance count alike; first: the first alone, and of agreement the first two, as open-instruct counts."""
    confidence: float
    pairs: tuple[PairSummary, ...]
    models: Mapping[str, Figure]
    """Model → acceptance over all of its instances."""
    agreement: Agreement
    """Over all pairs of models."""
    order: Figure
    annotators: tuple[Annotator, ...]
    kappas: tuple[Kappa, ...]
    """Pairs of annotators with two common instances or more."""
    qualities: Mapping[str, int] = field(default_factory=dict)
    """What annotators said of pairs → how often."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(HUMAN), **asdict(self), "models": {name: asdict(figure) for name, figure in self.models.items()}}


def summarize(
    records: Iterable[Record], *, votes: Votes = "all", confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> HumanSummary:
    """What judgments say.

    Args:
        records: of any annotators, pairs and models; of several by one annotator for one instance, the last counts.
        votes: whether all annotators of an instance count, or the first in time alone, as open-instruct counts.
        confidence: of all intervals, in (0, 1).
        resamples: of the bootstraps.
        seed: of the bootstraps.

    Raises:
        UsageError: votes or a confidence that cannot be.
        ObservationsError: no record has a preference.
    """
    if votes not in ("all", "first"):
        raise UsageError.named(votes, ("all", "first"), noun="way to count votes")
    if not 0 < confidence < 1:
        raise UsageError(f"A confidence level lies between 0 and 1; found {confidence:g}.", fix="For example: --confidence 0.95")
    everything = list(records)
    last, n_replaced = latest(everything)
    judged = [record for record in last if record.preference is not None]
    if not judged:
        raise ObservationsError("There is no judgment yet.", fix="Judge at least one pair.")
    figures = _Figures(judged, votes, confidence, resamples, seed)
    return HumanSummary(
        n_records=len(everything),
        n_replaced=n_replaced,
        n_judgments=len(judged),
        n_instances=len(figures.instances),
        votes=votes,
        confidence=confidence,
        pairs=tuple(figures.pair(first, second) for first, second in figures.pairs),
        models={model: figures.acceptance(model, figures.of_model(model)) for model in figures.models},
        agreement=figures.agreement(list(figures.instances.values())),
        order=figures.order(judged),
        annotators=tuple(figures.annotator(name) for name in figures.annotators),
        kappas=tuple(figures.kappas()),
        qualities=dict(sorted(Counter(record.quality for record in last if record.quality).items())),
    )


def ordered_pairs(records: Iterable[Record]) -> list[tuple[str, str]]:
    """The pairs of models that were judged; the model that was in more instances comes first.

    Of two that were in as many, the one called selection, else the first by name.
    """
    instances = {record.instance for record in records}
    counts = Counter(model for _, pair in instances for model in pair)
    ranked = sorted(counts, key=lambda model: (-counts[model], model != "selection", model))
    place = {model: number for number, model in enumerate(ranked)}
    pairs = {tuple(sorted(pair, key=place.__getitem__)) for _, pair in instances}
    return sorted(((first, second) for first, second in pairs), key=lambda pair: (place[pair[0]], place[pair[1]]))


class _Figures:
    """The figures of some judgments: the last of every annotator for every instance."""

    def __init__(self, judged: Sequence[Record], votes: Votes, confidence: float, resamples: int, seed: int) -> None:
        self.votes, self.confidence = votes, confidence
        self.drawn: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
        self.instances: dict[Any, list[Record]] = {}
        for record in sorted(judged, key=lambda record: (record.instance_id, *sorted(record.pair))):
            # Sorted, so that resamples do not depend on the order of a file; of one instance they stay in the order of time.
            self.instances.setdefault(record.instance, []).append(record)
        self.judged = [record for of_instance in self.instances.values() for record in of_instance]
        self.pairs = ordered_pairs(judged)
        self.first_of = {frozenset(pair): pair[0] for pair in self.pairs}
        self.models = list(dict.fromkeys(model for pair in self.pairs for model in pair))
        self.annotators = sorted({record.evaluator for record in judged})
        self.number_of = {instance: number for number, instance in enumerate(self.instances)}
        self.group_of = {frozenset(pair): number for number, pair in enumerate(self.pairs)}

    def counted(self, records: Sequence[Record]) -> Sequence[Record]:
        """Of the judgments of one instance, those that count."""
        return records[:1] if self.votes == "first" else records

    def mean(self, values: Iterable[float]) -> Figure:
        """The mean of a value an instance, in [0, 1]."""
        return bounded_mean(np.array(list(values), dtype=np.float64), confidence=self.confidence)

    def of_model(self, model: str) -> list[Sequence[Record]]:
        """The judgments of each instance that a model was in."""
        return [records for (_, pair), records in self.instances.items() if model in pair]

    def of_pair(self, first: str, second: str) -> list[Sequence[Record]]:
        """The judgments of each instance of two models."""
        return [records for (_, pair), records in self.instances.items() if pair == {first, second}]

    def share(self, instances: Sequence[Sequence[Record]], test: Callable[[Record], float]) -> Figure:
        """The mean over instances of the mean over their annotators."""
        return self.mean(math.fsum(map(test, counted)) / len(counted) for counted in map(self.counted, instances))

    def acceptance(self, model: str, instances: Sequence[Sequence[Record]]) -> Figure:
        """How often a model's response is acceptable."""
        answers = [_known(record.accepted(model) for record in self.counted(records)) for records in instances]
        return self.mean(sum(answered) / len(answered) for answered in answers if answered)

    def pair(self, first: str, second: str) -> PairSummary:
        """Two models against each other."""
        instances = self.of_pair(first, second)

        def shares(*labels: int) -> Figure:
            return self.share(instances, lambda record: float(record.label_of(first) in labels))

        return PairSummary(
            first=first,
            second=second,
            n_instances=len(instances),
            wins=shares(0, 1),
            clear_wins=shares(0).value or 0.0,
            ties=shares(2),
            losses=shares(3, 4),
            clear_losses=shares(4).value or 0.0,
            win_rate=self.share(instances, lambda record: record.score_of(first) or 0.0),
            acceptance_first=self.acceptance(first, instances),
            acceptance_second=self.acceptance(second, instances),
            agreement=self.agreement(instances),
            order=self.order([record for records in instances for record in records]),
        )

    def agreement(self, instances: Sequence[Sequence[Record]]) -> Agreement:
        """How far annotators agree on instances, of which those that two or more judged count."""
        shared = [records[:2] if self.votes == "first" else records for records in instances if len(records) > 1]
        labels = [[record.label_of(self.first_of[record.pair]) or 0 for record in records] for records in shared]
        collapsed = _counts([[int(COLLAPSED[label]) for label in of_instance] for of_instance in labels], 3)
        steps = _counts(labels, len(PREFERENCES))
        answers = [_known(record.accepted(model) for record in records) for records in shared for model in sorted(records[0].pair)]
        accepted = _counts(answers, 2)
        # The two responses of an instance are drawn together.
        instance_of = np.repeat(np.arange(len(shared)), 2)
        return Agreement(
            n_instances=len(shared),
            preference=raw_agreement(collapsed, confidence=self.confidence),
            relaxed=raw_agreement(collapsed, credit=RELAXED, confidence=self.confidence),
            acceptance=self._acceptance_agreement(shared),
            fleiss=fleiss_kappa(collapsed, **self.drawn),
            alpha_nominal=krippendorff_alpha(collapsed, "nominal", **self.drawn),
            alpha_ordinal=krippendorff_alpha(steps, "ordinal", **self.drawn),
            alpha_acceptance=krippendorff_alpha(accepted, "nominal", clusters=instance_of, **self.drawn),
        )

    def _acceptance_agreement(self, shared: Sequence[Sequence[Record]]) -> Figure:
        """The mean over instances of the agreement on both responses, which are not independent."""
        values = []
        for records in shared:
            agreed = []
            for model in records[0].pair:
                answers = _known(record.accepted(model) for record in records)
                agreed += [float(a == b) for a, b in itertools.combinations(answers, 2)]
            if agreed:
                values.append(sum(agreed) / len(agreed))
        return self.mean(values)

    def order(self, records: Sequence[Record]) -> Figure:
        """By how much the response on the left is preferred."""
        groups = {group: number for number, group in enumerate(sorted({self.group_of[record.pair] for record in records}))}
        return order_effect(
            np.array([record.score_of(record.model_a) for record in records], dtype=np.float64),
            np.array([1.0 if record.model_a == self.first_of[record.pair] else -1.0 for record in records]),
            np.array([groups[self.group_of[record.pair]] for record in records], dtype=np.int64),
            np.array([self.number_of[record.instance] for record in records], dtype=np.int64),
            confidence=self.confidence,
        )

    def annotator(self, name: str) -> Annotator:
        """One annotator, beside the others."""
        records = [record for record in self.judged if record.evaluator == name]
        lenient: list[float] = []
        agreed: list[float] = []
        for record in records:
            others = [other for other in self.instances[record.instance] if other.evaluator != name]
            differences = []
            for model in record.pair:
                answers = _known(other.accepted(model) for other in others)
                answer = record.accepted(model)
                if answers and answer is not None:
                    differences.append(answer - sum(answers) / len(answers))
            if differences:
                lenient.append(sum(differences) / len(differences))
            if others:
                score = record.score_of(record.model_a) or 0.0
                agreed.append(sum(1.0 - abs(score - (other.score_of(record.model_a) or 0.0)) for other in others) / len(others))
        answered_by_record = [_known((record.acceptable_a, record.acceptable_b)) for record in records]
        return Annotator(
            name=name,
            n_instances=len(records),
            acceptance=self.mean(sum(answered) / len(answered) for answered in answered_by_record if answered),
            leniency=mean_difference(np.array(lenient), confidence=self.confidence),
            order=self.order(records),
            ties=self.mean(float(record.preference == TIE) for record in records),
            clear=self.mean(float(record.preference in (0, len(PREFERENCES) - 1)) for record in records),
            agreement=self.mean(agreed),
        )

    def kappas(self) -> Iterable[Kappa]:
        """Cohen's kappa of every two annotators with two common instances or more."""
        by_annotator: dict[str, dict[Any, Record]] = {name: {} for name in self.annotators}
        for record in self.judged:
            by_annotator[record.evaluator][record.instance] = record
        for one, other in itertools.combinations(self.annotators, 2):
            common = [instance for instance in self.instances if instance in by_annotator[one] and instance in by_annotator[other]]
            if len(common) < 2:
                continue
            sides = [[by_annotator[name][instance] for instance in common] for name in (one, other)]
            labels = [[int(COLLAPSED[record.label_of(self.first_of[record.pair]) or 0]) for record in side] for side in sides]
            answers = [[_code(record.accepted(model)) for record in side for model in sorted(record.pair)] for side in sides]
            yield Kappa(
                one,
                other,
                cohen_kappa(np.array(labels[0]), np.array(labels[1]), 3, **self.drawn),
                cohen_kappa(np.array(answers[0]), np.array(answers[1]), 2, clusters=np.repeat(np.arange(len(common)), 2), **self.drawn),
            )


def _known(answers: Iterable[bool | None]) -> list[int]:
    """The answers that there are, 1 for yes."""
    return [int(answer) for answer in answers if answer is not None]


def _code(answer: bool | None) -> int:
    return -1 if answer is None else int(answer)


def _counts(labels: Sequence[Sequence[int]], n_categories: int) -> Floats:
    """How often each item has each label."""
    widest = max(map(len, labels), default=0)
    return counts_of(
        np.array([[*item, *[-1] * (widest - len(item))] for item in labels], dtype=np.int64).reshape(len(labels), widest), n_categories
    )


__all__ = ["Agreement", "Annotator", "HumanSummary", "Kappa", "PairSummary", "ordered_pairs", "summarize"]
