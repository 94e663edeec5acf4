"""The shape of what `select` records: the manifest in a sidecar, and the set beside the rows. The data may come from anybody."""

from __future__ import annotations

from typing import Any, Required, TypedDict

from instructsel.pool.spec import RecordedPool, RecordedReading
from instructsel.scores.shape import Indicators
from instructsel.shapes import Count, PathName, Seconds
from instructsel.tables import FLAG, NUMBER_OR_NULL, TEXT, TEXT_OR_NULL, WHOLE_OR_NULL

COLUMNS = {
    "id": TEXT,
    "source": TEXT,
    "file": TEXT_OR_NULL,
    "line": WHOLE_OR_NULL,
    "rank": WHOLE_OR_NULL,
    "score": NUMBER_OR_NULL,
    "kept": FLAG,
    "reason": TEXT_OR_NULL,
    "duplicate_of": TEXT_OR_NULL,
}
"""Of a sidecar; beside them a column of numbers for each term."""
PLACE = ("file", "line")
"""Columns that a sidecar of the last release lacks; its `score` is called `value`."""


class MeansRecord(TypedDict, total=False):
    """An indicator over the ranked and over the kept rows."""

    ranked: float | None
    kept: float | None


class InsideRecord(TypedDict, total=False):
    """A distance recomputed inside the selection."""

    mean: float | None
    reason: str | None


class SpansRecord(TypedDict, total=False):
    """How far an indicator reaches beyond the range that a rule was fitted on."""

    fitted: tuple[float, float] | None
    ranked: float | None
    kept: float | None
    mean_of_kept_is_outside: bool | None


class CollinearityRecord(TypedDict, total=False):
    """Which terms of a rule cannot be told apart."""

    collinear: list[str] | None
    correlations: dict[str, float | None] | None
    vif: dict[str, float | None] | None


class ShareRecord(TypedDict, total=False):
    """Examples of a source."""

    pool: Required[Count]
    kept: Required[Count]


class MismatchRecord(TypedDict, total=False):
    """An indicator that was scored with another model than the rule assumes."""

    indicator: str | None
    scored_with: str | None
    assumes: list[str] | None


class BudgetRecord(TypedDict, total=False):
    """How much was to be kept."""

    kind: str
    n: int
    x: float
    tokenizer: str


class NearDuplicatesRecord(TypedDict, total=False):
    """What was compared, and how many rows were dropped."""

    of: str
    dropped: Count
    another_response: Count


class SummaryRecord(TypedDict, total=False):
    """What came of a selection."""

    name: str
    read: Required[Count]
    kept: Required[Count]
    ranked: Count | None
    dropped: dict[str, Count] | None
    budget: BudgetRecord | None
    used: Count | None
    shortfall: Count | None
    shortfall_reason: str | None
    unused_tokens: int | None
    seed: int | None
    variance_shares: dict[str, float | None] | None
    variance_shares_kept: dict[str, float | None] | None
    means: dict[str, MeansRecord] | None
    collinearity: CollinearityRecord | None
    extrapolation: dict[str, SpansRecord] | None
    inside: dict[str, InsideRecord] | None
    rule_score: dict[str, float | None] | None
    rule_value: dict[str, float | None] | None
    composition: dict[str, ShareRecord] | None
    mismatches: list[MismatchRecord] | None
    recomputed: list[str] | None
    minima: dict[str, dict[str, Any]] | None
    near_duplicates: NearDuplicatesRecord | None


class TermRecord(TypedDict, total=False):
    """A term of the rule."""

    indicator: Required[str]
    weight: Required[float]


class RuleRecord(TypedDict, total=False):
    """The rule that ranked."""

    name: str | None
    title: str | None
    intercept: float
    terms: list[TermRecord] | None


class PoolRecord(TypedDict, total=False):
    """Which pool it was."""

    fingerprint: str | None
    examples: Count | None


class SettingsRecord(TypedDict, total=False):
    """The settings of a selection."""

    budget: BudgetRecord
    near_duplicate_threshold: float | None
    near_duplicates_of: str
    keep_exact_duplicates: bool | None
    quotas: dict[str, Any] | None
    minima: dict[str, str] | None
    floors: dict[str, str] | None
    clip: dict[str, tuple[float, float]] | bool | None
    max_similarity: float | None
    max_null_fraction: float


class SidecarRun(TypedDict, total=False):
    """What differs from run to run."""

    output: PathName | None
    scores: PathName | None
    selection_set: PathName | None
    seconds: float | None
    finished_at: str | None


class SidecarManifest(TypedDict, total=False):
    """The manifest of a selection."""

    name: Required[str]
    baseline: str | None
    score: str
    value: str
    form: str
    rule: RuleRecord | None
    pool: PoolRecord | None
    indicators: Indicators | None
    settings: SettingsRecord | None
    summary: Required[SummaryRecord]
    instructsel: str
    run: SidecarRun | None


class SubsetRecord(TypedDict):
    """The rows of one arm's one replicate."""

    arm: str
    replicate: Count
    seed: int | None
    name: str
    file: PathName
    sidecar: PathName
    rows: Count
    digest: str
    file_digest: str


class SetRun(TypedDict, total=False):
    """Where things were."""

    finished_at: str | None
    pool: RecordedPool | None
    scores: PathName | None
    seconds: dict[str, Seconds | None] | None


class SetPool(TypedDict):
    """Which pool it was."""

    fingerprint: str | None
    examples: Count


class SetScores(TypedDict):
    """Which score table it was."""

    digest: str | None


class SetManifest(TypedDict, total=False):
    """A selection with its baselines."""

    kind: Required[str]
    pool: Required[SetPool]
    scores: Required[SetScores]
    reading: RecordedReading | None
    subsets: Required[list[SubsetRecord]]
    run: SetRun | None


__all__ = ["COLUMNS", "PLACE", "SetManifest", "SidecarManifest", "SidecarRun", "SubsetRecord"]
