"""The shape of what a study and a size search leave on disk. The data may come from anybody."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from instructsel.scores.shape import Indicators
from instructsel.shapes import Count, Seconds


class PoolRecord(TypedDict, total=False):
    """Which pool it was."""

    fingerprint: str | None
    examples: Count | None


class SubsetRecord(TypedDict, total=False):
    """A subset that is trained on."""

    name: Required[str]
    design: Required[str]
    rows: Required[Count]
    counts: Required[dict[str, Count]]
    shares: Required[dict[str, float]]
    drawn: Required[dict[str, float]]
    redraws: Required[Count]
    seed: int | None
    indicator: str | None
    ids: Required[str]
    means: Required[dict[str, float]]
    nulls: Required[dict[str, Count]]
    replicate: Count
    arm: Literal["base", "plus", "more", "whole", "less", "untouched"]
    source: str | None


class PlannedScores(TypedDict, total=False):
    """Which indicators are kept, and what they were computed with."""

    digest: Required[str]
    symbols: Required[list[str]]
    nulls: Required[dict[str, Count]]
    indicators: Required[Indicators]


class PlannedDesign(TypedDict, total=False):
    """Which subsets and seeds."""

    seeds: Required[list[int]]
    parts: list[dict[str, Any]]


class Configuration(TypedDict):
    """Everything an observation depends on."""

    pool: PoolRecord
    scores: PlannedScores
    design: PlannedDesign
    trainer: dict[str, Any]
    grader: dict[str, Any]


class PlanRecord(TypedDict, total=False):
    """plan.json; `wiring` is the last release's word."""

    kind: Literal["study-plan"]
    hash: Required[str]
    configuration: Required[Configuration]
    subsets: Required[list[SubsetRecord]]
    launch: dict[str, Any] | None
    wiring: dict[str, Any] | None


class RunTimes(TypedDict, total=False):
    """What differs from time to time."""

    seconds: Required[Seconds]
    finished_at: str | None


class OutcomeRecord(TypedDict, total=False):
    """What a run gave by one grader, item by item; an item without a value is left out."""

    mean: Required[float]
    unit: Required[str]
    higher_is_better: Required[bool]
    items: Required[list[str]]
    values: Required[list[float]]
    weights: list[float] | None
    clusters: list[str] | None


class ObservationRecord(TypedDict, total=False):
    """What a run gave."""

    checkpoint: Required[str | None]
    loss: Required[float | None]
    log_loss: Required[float | None]
    loss_example_weighted: Required[float | None]
    outcomes: dict[str, OutcomeRecord]
    n_items: Required[Count | None]
    steps: Required[Count | None]
    tokens_trained: Required[Count | None]


class RunRecord(TypedDict, total=False):
    """A run that finished."""

    observation: Required[ObservationRecord]
    run: Required[RunTimes]


class FailureRecord(TypedDict, total=False):
    """A run that failed, in the manifest of the observations."""

    subset: Required[str]
    seed: Required[int]
    reason: Required[str]


class StudyRun(TypedDict, total=False):
    """What differs from time to time, beside the observations."""

    failed: dict[str, str] | None


class StudyManifest(TypedDict, total=False):
    """The manifest of a study's observations."""

    configuration: str | None
    design: PlannedDesign | None
    failed: list[FailureRecord] | None
    planned: Count | None
    grader: dict[str, Any] | None
    trainer: dict[str, Any] | None
    indicators: Indicators | None
    pool: PoolRecord | None
    scores: str | None
    instructsel: str


class WithFailures(TypedDict, total=False):
    """The manifest beside them, of which only the messages of failed runs are needed."""

    run: StudyRun | None


class NamedGrader(TypedDict, total=False):
    """A grader of a size search."""

    name: Required[str]


class SearchConfiguration(TypedDict, total=False):
    """What a size search depends on."""

    grader: Required[NamedGrader]
    report: Required[NamedGrader]
    pool: PoolRecord | None
    selection: dict[str, Any] | None
    trainer: dict[str, Any] | None


class SearchRecord(TypedDict, total=False):
    """search.json."""

    kind: str
    configuration: Required[SearchConfiguration]


class LossRecord(TypedDict, total=False):
    """The loss of a fine-tune by one grader."""

    grader: str
    items: str
    loss: Required[float]
    valid: Required[Count]
    unit: Required[str]


class CellRecord(TypedDict, total=False):
    """An effect of a source on an outcome."""

    source: Required[str]
    outcome: Required[str]
    estimate: Required[float | None]
    low: Required[float | None]
    high: Required[float | None]
    p: Required[float | None]
    p_adjusted: Required[float | None]
    df: float | None
    replicates: Required[Count]
    standing: Required[Literal["better", "worse", "uncertain", "unknown"]]
    survives: Required[bool]
    reason: str | None


class OutcomeOfEffects(TypedDict, total=False):
    """An outcome of an effect matrix."""

    name: Required[str]
    unit: Required[str]
    higher_is_better: Required[bool]
    n_items: Required[Count]
    baseline: Required[float | None]
    untouched: Required[float | None]
    best: Required[str | None]
    may_be_best: Required[list[str]]


class DesignOfEffects(TypedDict, total=False):
    """What the arms of an effect matrix are made of."""

    rows: Required[Count]
    add_rows: Count
    equal_rows: bool
    base: list[str] | None
    seed: Count


class EffectsRecord(TypedDict, total=False):
    """The JSON that `study effects` prints."""

    kind: Literal["effects"]
    design: Required[Literal["add-one", "leave-one"]]
    against: Required[Literal["base", "more", "untouched", "whole"]]
    sources: Required[list[str]]
    outcomes: Required[list[OutcomeOfEffects]]
    cells: Required[list[CellRecord]]
    confidence: Required[float]
    generalize_to: Required[Literal["both", "runs"]]
    comparisons: Required[Count]
    best_everywhere: Required[list[str]]
    runs: Required[tuple[Count, Count]]
    replicates: Required[Count]
    settings: Required[DesignOfEffects]
    times_best: Required[dict[str, Count]]
    verdict: Required[str]
    failed: list[str]
    notes: list[str]


class SizeRecord(TypedDict, total=False):
    """A fine-tune of a size search."""

    digest: Required[str]
    configuration: Required[str]
    size: Required[Count]
    rows: Required[Count]
    seed: Required[int]
    search: Required[LossRecord]
    report: Required[LossRecord]
    run: Required[RunTimes]


class EstimateRecord(TypedDict):
    """A mean over seeds with its interval."""

    mean: float | None
    low: float | None
    high: float | None


class PointRecord(TypedDict):
    """A size and its losses."""

    size: Count
    rows: Count
    search: EstimateRecord
    report: EstimateRecord


class TuneRecord(TypedDict, total=False):
    """A fine-tune."""

    size: Required[Count]
    seed: Required[int]
    search_loss: Required[float | None]


class CurveRecord(TypedDict, total=False):
    """The JSON that `study size` prints; `cautions` is the last release's word."""

    kind: str
    sizes: Required[list[PointRecord]]
    fine_tunes: Required[list[TuneRecord]]
    configuration: dict[str, Any] | None
    search: str | None
    report: str | None
    unit: str | None
    method: str | None
    seeds: list[int] | None
    noise: float | None
    margin: float | None
    chosen: int | None
    near: list[int] | None
    smallest_near: int | None
    verdict: str | None
    warnings: list[str] | None
    cautions: list[str] | None


__all__ = [
    "CurveRecord",
    "EffectsRecord",
    "OutcomeRecord",
    "PlanRecord",
    "RunRecord",
    "SearchRecord",
    "SizeRecord",
    "StudyManifest",
    "WithFailures",
]
