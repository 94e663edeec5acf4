"""The shape of a summary of people's judgments as JSON; see `summary.HumanSummary.as_dict`."""

from __future__ import annotations

from typing import Literal, TypedDict

from instructsel.shapes import Count, Fraction


class FigureRecord(TypedDict):
    """A figure with its interval; null where there is none, for a reason."""

    value: float | None
    low: float | None
    high: float | None
    n: Count
    reason: str | None


class AgreementRecord(TypedDict):
    """How far annotators agree on the instances that two or more of them judged."""

    n_instances: Count
    preference: FigureRecord
    relaxed: FigureRecord
    acceptance: FigureRecord
    fleiss: FigureRecord
    alpha_nominal: FigureRecord
    alpha_ordinal: FigureRecord
    alpha_acceptance: FigureRecord


class PairRecord(TypedDict):
    """Two models against each other."""

    first: str
    second: str
    n_instances: Count
    wins: FigureRecord
    clear_wins: Fraction
    ties: FigureRecord
    losses: FigureRecord
    clear_losses: Fraction
    win_rate: FigureRecord
    acceptance_first: FigureRecord
    acceptance_second: FigureRecord
    agreement: AgreementRecord
    order: FigureRecord


class AnnotatorRecord(TypedDict):
    """One annotator, beside the others."""

    name: str
    n_instances: Count
    acceptance: FigureRecord
    leniency: FigureRecord
    order: FigureRecord
    ties: FigureRecord
    clear: FigureRecord
    agreement: FigureRecord


class KappaRecord(TypedDict):
    """Cohen's kappa of two annotators."""

    first: str
    second: str
    preference: FigureRecord
    acceptance: FigureRecord


class HumanRecord(TypedDict):
    """What people's judgments say."""

    kind: Literal["human-judgments"]
    schema: Count
    n_records: Count
    n_replaced: Count
    n_judgments: Count
    n_instances: Count
    votes: Literal["all", "first"]
    confidence: Fraction
    pairs: list[PairRecord]
    models: dict[str, FigureRecord]
    agreement: AgreementRecord
    order: FigureRecord
    annotators: list[AnnotatorRecord]
    kappas: list[KappaRecord]
    qualities: dict[str, Count]


class JudgePrinted(TypedDict, total=False):
    """What judge-app prints: the summary, what was written, or both."""

    summary: HumanRecord
    export: str
    exported: Count


__all__ = ["HumanRecord", "JudgePrinted"]
