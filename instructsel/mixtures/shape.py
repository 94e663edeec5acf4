"""The manifest of a mixture, MIXTURE.jsonl.json, as `instructsel schema mixture` prints it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from instructsel.shapes import Count, Fraction, PathName


class FileShape(TypedDict):
    """A file that was read."""

    name: str
    sha256: str | None


class LengthsShape(TypedDict):
    """Lengths in tokens."""

    mean: float
    median: float
    p90: float
    largest: Count


class StatisticsShape(TypedDict):
    """Of the rows of a source, or of all, as they stand in the mixture; lengths are null without a tokenizer."""

    rows: Count
    turns: float
    rounds: float
    tokens: Count | None
    loss_tokens: Count | None
    loss_share: Fraction | None
    prompt: LengthsShape | None
    response: LengthsShape | None
    total: LengthsShape | None
    longer_than: dict[str, Count] | None
    truncated: Count | None
    without_loss: Count | None


class AccountShape(TypedDict):
    """read = kept + dropped + quarantined; examples = duplicates + sampled_out + drawn; written = drawn + repeated."""

    read: Count
    kept: Count
    dropped: dict[str, Count]
    quarantined: dict[str, Count]
    examples: Count
    duplicates: Count
    sampled_out: Count
    drawn: Count
    repeated: Count
    written: Count


class SourceRecord(TypedDict):
    """A source of the mixture."""

    label: str
    dataset: str | None
    title: str | None
    licence: str | None
    non_commercial: bool | None
    conversion: str | None
    settings: dict[str, Any] | None
    files: list[FileShape]
    rows: AccountShape
    share: Fraction
    also_in: dict[str, Count]
    statistics: StatisticsShape


class LicencesShape(TypedDict):
    """What the sources' licences make of the mixture."""

    non_commercial: bool | None
    because_of: list[str]
    unknown: list[str]
    by_licence: dict[str, list[str]]


class DataShape(TypedDict):
    """The file of the rows."""

    file: PathName
    sha256: str
    rows: Count


class TokenizerShape(TypedDict):
    """What counted tokens."""

    name: str
    digest: str


class MixtureManifest(TypedDict):
    """The manifest of a mixture."""

    kind: Literal["mixture"]
    schema: Count
    instructsel: str
    name: str
    recipe: dict[str, Any]
    hash: str
    data: DataShape
    source_field: str
    tokenizer: TokenizerShape | None
    max_length: Count
    licences: LicencesShape
    sources: list[SourceRecord]
    statistics: StatisticsShape
    seal: str
    run: NotRequired[dict[str, Any]]


class PlannedSource(TypedDict):
    """What the metadata say of a source."""

    label: str
    dataset: str | None
    asked: str
    rows: Count | None
    catalogue_rows: Count | None
    tokens: Count | None
    licence: str | None
    non_commercial: bool | None
    here: bool


class PlanPrinted(TypedDict):
    """mix --dry-run --json: rows and tokens by the catalogue, null where nobody knows before the files are read."""

    name: str
    dry_run: Literal[True]
    rows: Count | None
    tokens: Count | None
    licences: LicencesShape
    sources: list[PlannedSource]


__all__ = ["MixtureManifest", "PlanPrinted", "SourceRecord", "StatisticsShape"]
