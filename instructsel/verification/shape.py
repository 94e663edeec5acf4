"""The shape of a verification's plain data: what verdict.json and the manifest beside the grades may hold.

The data may come from anybody. It is checked once, when it is read, and whoever prints it may rely on this.
"""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from instructsel.shapes import Count

Figure = float | None
"""A finite number; null where there is none."""


class IntervalRecord(TypedDict, total=False):
    """A difference with its interval."""

    estimate: Figure
    low: Figure
    high: Figure
    bootstrap_low: Figure
    bootstrap_high: Figure
    confidence: Figure
    detectable: Figure
    item_sd: Figure
    n_items: Count | None
    n_replicates: tuple[Count, Count] | None
    n_seeds: tuple[Count, Count] | None
    generalize_to: str | None
    pooled_seeds: list[str] | None
    pooling: str | None
    method: str | None
    notes: list[str] | None
    reason: str | None


class ScaleRecord(TypedDict, total=False):
    """A grader's unit and direction."""

    unit: str | None
    higher_is_better: bool | None
    truncated: Count | None


class VerdictRecord(TypedDict, total=False):
    """One comparison."""

    selection: str
    baseline: str
    grader: str
    outcome: str | None
    leakage: bool | None
    confidence: Figure
    p_adjusted: Figure
    comparisons: Count | None
    missing: Count | None
    reason: str | None
    interval: IntervalRecord | None
    scale: ScaleRecord | None
    statement: str | None
    sentence: str | None


class VerdictsRecord(TypedDict, total=False):
    """All comparisons."""

    outcome: str | None
    verdicts: list[VerdictRecord] | None


class MeanRecord(TypedDict, total=False):
    """The mean of one run."""

    arm: Required[str]
    replicate: int | None
    seed: int | None
    items: Count | None
    mean: Required[Figure]
    nats_per_token: Figure
    bits_per_byte: Figure


class GraderRecord(TypedDict, total=False):
    """What a grader's values are, and its means."""

    unit: str | None
    higher_is_better: bool | None
    truncated: Count | None
    items: Count | None
    missing: dict[str, Count] | None
    reasons: dict[str, Count] | None
    means: list[MeanRecord] | None
    not_graded: list[Any] | None
    settings: dict[str, Any] | None
    unlike: list[str] | None
    unit_note: str | None
    aggregated: bool | None


class CellRecord(TypedDict, total=False):
    """An arm's skill."""

    value: Figure
    change: Figure
    low: Figure
    high: Figure
    regressed: bool | None


class SkillsRecord(TypedDict, total=False):
    """Skills by arm."""

    base: Required[str]
    skills: Required[list[str]]
    rows: Required[dict[str, dict[str, CellRecord | None]]]
    measures: dict[str, str] | None
    regressed: dict[str, Count] | None


class RateRecord(TypedDict, total=False):
    """How often an arm's responses were preferred."""

    win_rate: Figure
    discrete_win_rate: Figure
    length_controlled: dict[str, Any] | None
    official_length_controlled: Figure
    wins: Count | None
    ties: Count | None
    losses: Count | None
    score: Figure
    n_total: Count | None
    n_null: Count | None
    flags: dict[str, Count] | None
    runs: list[dict[str, Any]] | None


class FigureRecord(TypedDict, total=False):
    """A figure with its interval."""

    value: Figure
    low: Figure
    high: Figure
    n: Count | None
    reason: str | None


class DummyRecord(TypedDict, total=False):
    """A judge that only counts words."""

    agrees: FigureRecord | None
    win_rates: dict[str, Figure] | None


class UniqueRecord(TypedDict, total=False):
    """How win rates follow the number of unique words."""

    r: Figure
    low: Figure
    high: Figure
    n: Count | None
    reason: str | None


class BiasRecord(TypedDict, total=False):
    """How win rates follow the length of responses."""

    r: Figure
    low: Figure
    high: Figure
    r_log: Figure
    rank: Figure
    n: Count | None
    confidence: Figure
    reason: str | None
    of: str | None
    unique: UniqueRecord | None
    dummies: dict[str, DummyRecord] | None


class AgreeingRecord(TypedDict, total=False):
    """Two graders beside each other, over arms or on the same items."""

    one: Required[str]
    other: Required[str]
    one_kind: str | None
    other_kind: str | None
    n_arms: Count | None
    same_order: FigureRecord | None
    rank: FigureRecord | None
    linear: FigureRecord | None
    n_judgments: Count | None
    same: FigureRecord | None
    relaxed: FigureRecord | None
    kappa: FigureRecord | None


class AmongRecord(TypedDict, total=False):
    """How far people agree with each other."""

    grader: Required[str]
    same: FigureRecord | None
    relaxed: FigureRecord | None
    alpha: FigureRecord | None


class ContradictionRecord(TypedDict, total=False):
    """Graders that say better, and graders that say worse."""

    baseline: Required[str]
    better: Required[list[str]]
    worse: Required[list[str]]


class AgreementRecord(TypedDict, total=False):
    """How far graders agree."""

    kinds: dict[str, str] | None
    confidence: Figure
    arms: list[AgreeingRecord] | None
    items: list[AgreeingRecord] | None
    people: list[AmongRecord] | None
    contradictions: list[ContradictionRecord] | None
    not_compared: Count | None


class AuditRecord(TypedDict, total=False):
    """What became of a subset's rows; `refused` is the last release's word."""

    rows: Count | None
    trained_rows: Count | None
    truncated: Count | None
    skipped: dict[str, Count] | None
    refused: dict[str, Count] | None


class TrainingRecord(TypedDict, total=False):
    """A fine-tune; `tokens_trained` is the last release's word."""

    arm: str | None
    replicate: int | None
    seed: int | None
    steps: Figure
    tokens_seen: Figure
    loss_tokens: Figure
    tokens_trained: Figure
    seconds: Figure
    audit: AuditRecord | None


class FailureRecord(TypedDict, total=False):
    """A run that failed."""

    run: str | None
    reason: str | None
    message: str | None


class SubsetRecord(TypedDict, total=False):
    """The rows of an arm."""

    rows: Required[Count]
    digest: str | None


class OverlapRecord(TypedDict, total=False):
    """What of an evaluation set stands in an arm's rows."""

    evaluation: Required[str]
    where: Required[str]
    examples: Required[Count]
    same: Count | None
    instruction: Count | None
    response: Count | None
    places: dict[str, list[tuple[str, str]]] | None
    same_file: str | None


class PartRecord(TypedDict, total=False):
    """A part of an evaluation set."""

    grader: str
    source: str
    items: Count | None
    means: dict[str, dict[str, Figure] | None] | None
    estimate: Figure
    low: Figure
    high: Figure
    p_adjusted: Figure
    confidence: Figure
    outcome: str | None
    reason: str | None


class SourcesRecord(TypedDict, total=False):
    """All parts of evaluation sets."""

    parts: list[PartRecord] | None
    comparisons: Count | None


class DependenceRecord(TypedDict, total=False):
    """Whether a verdict depends on the learning rate."""

    statement: Required[str]


class RateOfLearningRecord(TypedDict, total=False):
    """The comparisons at one learning rate."""

    multiple: Figure
    learning_rate: Figure
    outcome: str | None
    verdicts: VerdictsRecord | None


class LearningRatesRecord(TypedDict, total=False):
    """The comparisons at every learning rate."""

    rates: list[RateOfLearningRecord] | None
    dependence: list[DependenceRecord] | None


class PowerRecord(TypedDict, total=False):
    """What a planned comparison would detect."""

    grader: str | None
    baseline: str | None
    detectable: Figure
    unit: str | None
    assumed: bool | None
    before: bool | None
    pool_seeds: bool | None


class ModelRecord(TypedDict, total=False):
    """What is known of the base."""

    enough: bool | None
    said: str | None


class BaseRecord(TypedDict, total=False):
    """The base of the fine-tunes."""

    name: str | None
    digest: str | None


class TrainerRecord(TypedDict, total=False):
    """What trained."""

    base: BaseRecord | str | None


class LossRecord(TypedDict, total=False):
    """What is known of verdicts that rest on a loss."""

    statement: Required[str]


class VerificationRecord(TypedDict, total=False):
    """A verification, or a part of one."""

    kind: str
    schema: int
    selection: str | None
    against: str | None
    outcome: str | None
    confidence: Figure
    generalize_to: str | None
    pool_seeds: bool | None
    arms: dict[str, dict[str, list[int]]] | None
    fixed: list[str] | None
    graders: dict[str, GraderRecord] | None
    verdicts: VerdictsRecord | None
    missing: dict[str, Count] | None
    pending: list[str] | None
    failures: list[FailureRecord] | None
    trained: list[TrainingRecord] | None
    costs: dict[str, dict[str, Figure]] | None
    subsets: dict[str, list[SubsetRecord]] | None
    skills: SkillsRecord | None
    sources: SourcesRecord | None
    win_rates: dict[str, dict[str, RateRecord]] | None
    length_biases: dict[str, BiasRecord] | None
    length_bias: BiasRecord | None
    agreement: AgreementRecord | None
    win_rate: dict[str, Any] | None
    length_controlled: dict[str, Any] | None
    leakage: dict[str, list[str]] | list[str] | None
    contamination: list[OverlapRecord] | None
    learning_rates: LearningRatesRecord | None
    power: list[PowerRecord] | None
    model: ModelRecord | None
    rests_on_loss: LossRecord | None
    made_with: dict[str, Any] | None
    trainer: TrainerRecord | None
    recipe: dict[str, Any] | None
    table: str | None


class ManifestScale(TypedDict, total=False):
    """What a grader's values mean, beside the grades."""

    unit: Required[str]
    higher_is_better: Required[bool]
    truncated: Required[Count]
    settings: dict[str, Any] | None
    unlike: list[str] | None
    unit_note: str | None
    aggregated: bool | None


class VerificationManifest(TypedDict, total=False):
    """The manifest beside the grades."""

    kind: Literal["verification"]
    sha256: Required[str]
    graders: Required[dict[str, ManifestScale]]
    fixed: list[str] | None
    run: dict[str, Any] | None


__all__ = ["PowerRecord", "VerificationManifest", "VerificationRecord"]
