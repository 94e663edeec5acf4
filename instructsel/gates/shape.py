"""The shape of a gate's verdict as JSON; see `verdict.Verdict.as_dict`."""

from __future__ import annotations

from typing import Literal, Required, TypedDict

from instructsel.shapes import Count

Severity = Literal["error", "warning", "info"]


class LimitRecord(TypedDict, total=False):
    """A figure beside what it may be."""

    passed: Required[bool]
    value: Required[float | None]
    low: Required[float | None]
    high: Required[float | None]
    statement: Required[str]


class CheckRecord(TypedDict, total=False):
    """What became of a check."""

    number: Required[str]
    kind: Required[str]
    name: Required[str]
    severity: Required[Severity]
    state: Required[Literal["passed", "failed", "skipped", "crashed"]]
    statement: Required[str]
    findings: Required[Count]
    waived: Required[Count]
    limits: Required[list[LimitRecord]]


class FindingRecord(TypedDict, total=False):
    """What one check says of one row, or of all."""

    check: Required[str]
    kind: Required[str]
    name: Required[str]
    severity: Required[Severity]
    message: Required[str]
    fix: Required[str]
    row: Required[str | None]
    file: Required[str | None]
    line: Required[Count | None]
    related: Required[str | None]
    value: Required[float | None]
    evidence: Required[str]
    fingerprint: Required[str]
    waived: Required[str | None]


class RowsRecord(TypedDict, total=False):
    """The account of the rows."""

    read: Required[Count]
    in_baseline: Required[Count]
    kept: Required[Count]
    dropped: Required[dict[str, Count]]
    quarantined: Required[dict[str, Count]]


class UsedWaiverRecord(TypedDict, total=False):
    """A waiver that took findings."""

    check: Required[str]
    row: Required[str]
    reason: Required[str]
    findings: Required[Count]
    expires: str


class WaiverRecord(TypedDict, total=False):
    """A waiver that took none, or whose day is over."""

    check: Required[str]
    row: Required[str]
    reason: Required[str]
    expires: Required[str]


class WaiversRecord(TypedDict, total=False):
    """What became of the waivers."""

    used: Required[list[UsedWaiverRecord]]
    stale: Required[list[WaiverRecord]]
    expired: Required[list[WaiverRecord]]


class GateRecord(TypedDict, total=False):
    """A verdict; without `findings` in the manifest of the table that holds them."""

    kind: Required[Literal["gate"]]
    schema: Required[Count]
    outcome: Required[Literal["passed", "failed", "incomplete"]]
    fail_on: Required[Literal["error", "warning", "never"]]
    exit_code: Required[Count]
    mode: Required[Literal["pull-request", "nightly"]]
    config: Required[str | None]
    troubles: Required[list[str]]
    notes: list[str]
    rows: Required[RowsRecord]
    checks: Required[list[CheckRecord]]
    findings: list[FindingRecord]
    waivers: Required[WaiversRecord]


__all__ = ["FindingRecord", "GateRecord"]
