"""The shapes of what commands print with --json where no result of the engine has one of its own."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypedDict

from instructsel.gates.shape import Severity, WaiverRecord
from instructsel.scores.shape import ScoresManifest
from instructsel.selection.shape import SummaryRecord
from instructsel.shapes import Count
from instructsel.study.shape import SubsetRecord


class ScorePrinted(ScoresManifest, total=False):
    """A score table's manifest, and where the table is."""

    scores: str


class Namespace(TypedDict):
    """Results of one model in the cache."""

    name: str
    model: str
    precision: str
    device: str
    files: Count
    bytes: Count
    used: str | None


class CachePrinted(TypedDict):
    """The cache."""

    folder: str
    bytes: Count
    limit: Count | None
    namespaces: list[Namespace]


class PrunedPrinted(TypedDict):
    """What was removed from the cache, or would be."""

    folder: str
    dry_run: bool
    limit: Count | None
    freed: Count
    left: Count
    damaged: list[str]
    namespaces: list[Namespace]
    notes_of_runs: Count


class RunPrinted(TypedDict, total=False):
    """A scoring, study or verification that has not ended."""

    kind: str
    folder: str
    state: str
    total: Count | None
    finished: Count
    failed: Count
    next: str | None


class StatusPrinted(TypedDict):
    """What has not ended."""

    folder: str
    runs: list[RunPrinted]
    experiments: list[RunPrinted]


class ProblemPrinted(TypedDict):
    """Something that does not work here."""

    problem: str
    fix: str


class DoctorPrinted(TypedDict):
    """What this machine can run."""

    instructsel: str | None
    machine: dict[str, Any]
    precision: dict[str, Any]
    extras: Any
    models: Any
    indicators: Any
    cache: dict[str, Any]
    runs: list[Any]
    notes: list[str]
    problems: list[ProblemPrinted]


class ExplainPrinted(TypedDict, total=False):
    """One example: its scores, and what made its rank."""

    id: str
    source: str
    file: str
    lines: list[Count]
    turns: Count
    scores: dict[str, float | None]
    reasons: dict[str, str]
    rule: str | None
    contributions: dict[str, float | None]
    rank: Count | None
    ranked: Count
    value: float | None


class SelectPrinted(TypedDict, total=False):
    """A selection with its baselines."""

    selection: Required[SummaryRecord]
    baselines: Required[list[SummaryRecord]]
    selection_set: str | None
    same_rows_as_the_selection: list[str]


class ExportPrinted(TypedDict, total=False):
    """What an export wrote, and what it could not carry."""

    read: Count
    written: Count
    left_out: Any
    altered: Any
    noted: Any
    turns: Count
    trained_turns: Count


class OriginalPrinted(TypedDict):
    """Where the original of a dataset lies."""

    host: Literal["hub", "github"]
    address: str
    files: list[str]
    note: str


class DatasetPrinted(TypedDict):
    """An open dataset; null where nothing is known."""

    key: str
    title: str
    sources: list[OriginalPrinted]
    generation: str
    generation_kind: Literal["human", "model", "human-and-model", "nlp-datasets", "mixture"]
    format: str
    fields: list[str]
    rows: Count | None
    rounds: float | None
    prompt_length: float | None
    completion_length: float | None
    licence: str | None
    licence_note: str
    non_commercial: bool | None
    conversion: str | None
    filters: list[str]
    paper: str
    mixtures: list[str]
    notes: str
    order: Count
    hub: str | None


class ConvertedRows(TypedDict):
    """read = kept + dropped + quarantined."""

    read: Count
    kept: Count
    dropped: dict[str, Count]
    quarantined: dict[str, Count]


class SampledGroup(TypedDict):
    """A group of rows of which a sample is taken."""

    rows: Count
    quota: Count
    taken: Count


class ConversionPrinted(TypedDict):
    """The original of a dataset as conversations."""

    kind: Literal["conversion"]
    schema: Count
    dataset: str
    output: NotRequired[str | None]
    sha256: str | None
    settings: dict[str, Any]
    rows: ConvertedRows
    conversations: Count
    parts: dict[str, Count]
    groups: dict[str, SampledGroup]
    quarantine: list[dict[str, Any]]


class RulePrinted(TypedDict, total=False):
    """A rule, or another way to rank."""

    name: str
    title: str


class FittedPrinted(TypedDict):
    """A fitted rule, its indicators one by one, and the charts that were drawn."""

    rule: RulePrinted
    univariate: list[dict[str, Any]]
    charts: list[str]


class DemoPrinted(TypedDict):
    """The outcome of the demo."""

    way: str
    rule: str
    summary: SummaryRecord
    defects: Any
    ifd: dict[str, Any]


class StudyRunNamed(TypedDict, total=False):
    """A run of a study; why it failed, where it did."""

    subset: Required[str]
    seed: Required[int]
    reason: str
    message: str


class StudyStatusPrinted(TypedDict):
    """How far a study is."""

    folder: str
    planned: Count
    finished: Count
    running: list[StudyRunNamed]
    failed: list[StudyRunNamed]
    pending: Count
    workers: Count
    seconds_per_run: float | None
    seconds_left: float | None
    observations: str | None


class RefusedSubset(TypedDict):
    """A subset that the trainer would refuse: too many of its rows have no loss token."""

    subset: str
    rows: Count
    skipped: Count


class StudyPlanned(TypedDict):
    """A study that was planned: its subsets as plan.json has them, and what a fit can see of them."""

    folder: str
    configuration: str
    sources: dict[str, Count]
    subsets: list[SubsetRecord]
    seeds: list[int]
    runs: Count
    ranges: dict[str, list[float]]
    refused: list[RefusedSubset]
    warnings: list[str]


class EstimatePrinted(TypedDict):
    """What scoring by one indicator would take; null where it was not measured."""

    symbol: str
    examples: Count
    cached: Count
    tokens: Count | None
    seconds: list[float] | None
    memory: Count | None
    download: str | None
    download_bytes: Count | None
    padding_share: float | None
    note: str


class RulesAuditPrinted(ExportPrinted, total=False):
    """What a consumer would train on of a pool, by its documented rules."""

    to: Required[str]
    loss: Required[str | None]
    rules: Required[list[str]]
    source: Required[str]


class TrainPrinted(TypedDict, total=False):
    """A fine-tune: what it was made of, and its figures."""

    checkpoint: Required[str]
    trained_now: Required[bool]
    held_out_loss: dict[str, Any] | None
    contamination: dict[str, Any]


class TrainAuditPrinted(TypedDict):
    """What would be trained on, and how."""

    recipe: dict[str, Any]
    audit: dict[str, Any]


class SectionPrinted(TypedDict):
    """A section of a report: its sentences, then tables and charts as plain data."""

    name: str
    title: str
    text: list[str]
    parts: list[dict[str, Any]]
    folded: bool


class ReportPrinted(TypedDict):
    """A report: everything that its page shows."""

    kind: Literal["report"]
    schema: Count
    instructsel: str
    title: str
    sections: list[SectionPrinted]


class CheckPrinted(TypedDict):
    """A check of the gate."""

    number: str
    kind: str
    severity: Severity
    by_default: bool
    needs: list[str]
    title: str
    fix: str
    source: str


class InitPrinted(TypedDict):
    """A proposed configuration, with a reason for each check."""

    checks: list[dict[str, Any]]
    left_out: list[str]
    baseline: str | None


class WaivePrinted(TypedDict):
    """The waivers that were written, and those that stood there already."""

    file: str
    added: list[WaiverRecord]
    known: list[WaiverRecord]


class BaselinePrinted(TypedDict, total=False):
    """A baseline: its manifest, its address, and the size of its parts."""

    kind: Literal["baseline"]
    schema: Count
    fingerprint: str
    bytes: Any


class AccountPrinted(TypedDict):
    """read = kept + removed + no_example."""

    read: Count
    kept: Count
    removed: Count
    no_example: Count


class DedupPrinted(TypedDict):
    """What dedup removed."""

    kind: str
    schema: Count
    duplicates: dict[str, Count]
    on: str
    threshold: float | None
    cosine: float | None
    encoder: Any
    rows: AccountPrinted


class EvaluationSet(TypedDict, total=False):
    """An evaluation set."""

    name: Required[str]
    items: Required[Count]
    digest: Required[str]
    found: Count
    rows: Count
    left_out: Count


class DecontaminatePrinted(TypedDict):
    """What decontaminate removed."""

    kind: str
    schema: Count
    sets: list[EvaluationSet]
    threshold: float
    ngram: Count
    parts: list[str]
    rows: AccountPrinted


class MixChecked(TypedDict):
    """Whether a mixture, and what it was made of, are as they were."""

    mixture: str
    name: str
    hash: str
    rows_changed: bool
    changed_files: list[str]


class PredictedLoss(TypedDict):
    """A loss that a law of mixtures predicts, or a difference of two, with its interval."""

    value: float
    low: float
    high: float


class MixedPrinted(TypedDict):
    """A mixture and what is predicted of it."""

    name: str
    shares: dict[str, float]
    loss: PredictedLoss
    against: PredictedLoss | None
    fits_limits: bool


class OutcomeFitted(TypedDict):
    """How well the law predicts an outcome."""

    name: str
    loo_r2: float
    loo_error: float
    p: float
    explained: bool
    weights: dict[str, float]


class SourceAvailable(TypedDict):
    """What there is of a source."""

    rows: Count
    tokens: float | None


class MixFitSettings(TypedDict):
    """What was asked for."""

    rows: Count | None
    tokens: Count | None
    max_repeats: Count
    outcomes: list[str]
    confidence: float
    seed: Count


class MixFitPrinted(TypedDict, total=False):
    """Shares proposed from studies."""

    kind: Literal["mix-fit"]
    sources: Required[list[str]]
    outcomes: Required[list[OutcomeFitted]]
    proposal: Required[MixedPrinted]
    rows: Required[dict[str, Count]]
    available: Required[dict[str, SourceAvailable]]
    repeats: Required[dict[str, float]]
    at_limit: Required[list[str]]
    rivals: Required[list[MixedPrinted]]
    optimism: Required[float]
    compositions: Required[Count]
    runs: Required[Count]
    settings: Required[MixFitSettings]
    unit: Required[str]
    n_rows: Required[Count]
    tokens: Required[float | None]
    notes: Required[list[str]]
    configurations: Required[list[str]]


class IndexPrinted(TypedDict):
    """An index of evaluation sets."""

    sets: list[EvaluationSet]
    items: Count
    parts: dict[str, Count]
    ngrams: dict[str, Count]
    digest: str
    file: str
