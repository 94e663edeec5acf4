"""The shape of an audit as JSON: what `audit --json` and `-o audit.json` write, and what a report reads."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from instructsel.shapes import Count, Fraction


class FindingRecord(TypedDict, total=False):
    """What one check found; see `finding.Finding`."""

    kind: Required[str]
    severity: Required[Literal["error", "warning", "info"]]
    count: Required[Count]
    unit: Required[str]
    cause: Required[str]
    fix: Required[str]
    rows: list[str]
    detail: str


class SourceRecord(TypedDict, total=False):
    """The rows of one source; see `totals.SourceTotals`."""

    source: Required[str]
    rows: Required[Count]
    trained_rows: Required[Count]
    tokens: Required[Count]
    loss_tokens: Required[Count]
    truncated: Required[Count]


class TotalsRecord(TypedDict, total=False):
    """Tokens, steps, padding and cost; see `totals.Totals`."""

    rows: Required[Count]
    trained_rows: Required[Count]
    tokens: Required[Count]
    loss_tokens: Required[Count]
    truncated: Required[Count]
    cut_tokens: Required[Count]
    cut_fraction: Required[Fraction]
    longest: Required[Count]
    lengths: Required[dict[str, Count]]
    sequences: Required[Count]
    packing_efficiency: Required[Fraction | None]
    steps: Required[Count]
    tokens_per_step: Required[float]
    loss_tokens_per_step: Required[float]
    padding_fraction: Required[Fraction]
    epochs: Required[float]
    parameters: Required[Count | None]
    flops: Required[float | None]
    sources: Required[list[SourceRecord]]


class SettingsRecord(TypedDict, total=False):
    """Of the trainer; see `settings.AuditSettings`."""

    max_length: Required[Count]
    packing: Required[str | None]
    loss: Required[str]
    trainer: Required[str]
    batch_size: Required[Count]
    epochs: Required[float]


class ShownRecord(TypedDict, total=False):
    """A row that was shown; pieces are [state, text, tokens]."""

    place: Required[str]
    tokens: Required[Count]
    loss_tokens: Required[Count]
    reason: Required[str | None]
    flags: Required[list[str]]
    sequence: str
    pieces: Required[list[list[Any]]]


class AuditRecord(TypedDict, total=False):
    """An audit; `rows` only where some were shown and printed."""

    kind: Required[Literal["audit"]]
    schema: Required[Count]
    base: Required[str]
    settings: Required[SettingsRecord]
    findings: Required[list[FindingRecord]]
    totals: Required[TotalsRecord]
    rows: list[ShownRecord]


__all__ = ["AuditRecord", "FindingRecord", "SettingsRecord", "ShownRecord", "SourceRecord", "TotalsRecord"]
