"""Section: whether new rows may join, and what each check says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from instructsel.gates.verdict import FAIL_ON, NEVER
from instructsel.reports.parts import Column, Part, Section, Table
from instructsel.reports.sections import Page
from instructsel.text import counted

NEEDS: Final = "a gate's verdict"
FINDINGS: Final = 200
"""Findings in a table; errors come first."""
WAIVERS: Final = 50
STATES: Final = ("failed", "crashed", "skipped", "passed")
"""In the order in which checks are listed."""
SEVERITIES: Final = ("error", "warning", "info")
MEANINGS: Final = {
    "passed": "The rows may join.",
    "failed": "The rows may not join.",
    "incomplete": "No check failed, and a check could not run, or a file could not be read.",
}
MODES: Final = {
    "pull-request": "a rate fails where the lower bound of its 95 % interval is over its limit",
    "nightly": "a rate fails where it is over its limit",
}


def build(page: Page) -> Section | None:
    """The checks, those that failed first; the findings, errors first; the waivers."""
    if not page.inputs.gates:
        return None
    parts: list[Part] = []
    for number, record in enumerate(page.inputs.gates, start=1):
        named = f" of gate {number}" if len(page.inputs.gates) > 1 else ""
        parts += [_checks(record, number, named), *_findings(record, number, named), *_waivers(record, number, named)]
    return Section("gate", "Whether the rows may join", (), tuple(parts))


def summary(record: Mapping[str, Any]) -> Iterator[str]:
    """A verdict in sentences: the outcome, the checks that failed, those that were not asked."""
    rows = record["rows"]
    known = f"; {rows['in_baseline']:,} more are in the baseline already" if rows["in_baseline"] else ""
    yield f"{MEANINGS[record['outcome']]} {counted(rows['read'], 'row')} read, {rows['kept']:,} kept{known}."
    yield f"Mode: {record['mode']}; {MODES[record['mode']]}."
    yield from record["troubles"]
    yield from record.get("notes", ())
    others = "with findings that do not fail the gate"
    verbs = {"failed": "failed", **dict.fromkeys(SEVERITIES, others), "crashed": "crashed", "skipped": "could not run"}
    for verb in dict.fromkeys(verbs.values()):
        checks = [check for check in record["checks"] if verbs.get(_state(check, record)) == verb]
        if checks:
            yield f"{counted(len(checks), 'check')} {verb}: {', '.join(_named(check) for check in checks)}."


def _state(check: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What became of a check: one that failed and does not fail the gate is called by its severity."""
    if check["state"] != "failed":
        return str(check["state"])
    failing = SEVERITIES[: FAIL_ON.index(record["fail_on"]) + 1] if record["fail_on"] != NEVER else ()
    return "failed" if check["severity"] in failing else str(check["severity"])


def _named(check: Mapping[str, Any]) -> str:
    return f"{check['number']} {check['name']}"


def _checks(record: Mapping[str, Any], number: int, named: str) -> Table:
    ordered = sorted(record["checks"], key=lambda check: (STATES.index(check["state"]), SEVERITIES.index(check["severity"])))
    rows = tuple(
        (_named(check), _state(check, record), check["severity"], check["findings"], check["waived"], check["statement"])
        for check in ordered
    )
    columns = (
        Column("check", "check"),
        Column("state", "state"),
        Column("severity", "severity"),
        Column("findings", "findings", "count"),
        Column("waived", "of them waived", "count"),
        Column("statement", "what was seen", "prose"),
    )
    return Table(f"gate-{number}-checks", f"Checks{named}", columns, rows)


def _findings(record: Mapping[str, Any], number: int, named: str) -> Sequence[Part]:
    counting = [finding for finding in record.get("findings", ()) if finding["waived"] is None]
    rows = tuple(
        (
            "" if finding["file"] is None else f"{finding['file']}:{finding['line']}",
            f"{finding['check']} {finding['name']}",
            finding["severity"],
            finding["message"] + (f" See {finding['related']}." if finding["related"] else ""),
            finding["fix"],
        )
        for finding in counting
    )
    columns = (
        Column("place", "row", "code"),
        Column("check", "check"),
        Column("severity", "severity"),
        Column("message", "what it is", "prose"),
        Column("fix", "what to do", "prose"),
    )
    return [Table(f"gate-{number}-findings", f"Findings{named}", columns, rows).capped(FINDINGS, "findings")] if rows else []


def _waivers(record: Mapping[str, Any], number: int, named: str) -> Sequence[Part]:
    rows = tuple(
        (waiver["check"], waiver["row"], state, waiver.get("findings"), waiver.get("expires"), waiver["reason"])
        for state in ("used", "stale", "expired")
        for waiver in record["waivers"][state]
    )
    columns = (
        Column("check", "check"),
        Column("row", "row", "code"),
        Column("state", "state"),
        Column("findings", "findings", "count"),
        Column("expires", "until"),
        Column("reason", "reason", "prose"),
    )
    return [Table(f"gate-{number}-waivers", f"Waivers{named}", columns, rows).capped(WAIVERS, "waivers")] if rows else []


__all__ = ["NEEDS", "build", "summary"]
