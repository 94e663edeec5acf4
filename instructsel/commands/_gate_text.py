"""A verdict as lines for people: checks that failed first, findings with file and line, and the outcome in the last line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from instructsel.errors import EnvironmentFault
from instructsel.gates.verdict import MEANINGS
from instructsel.text import HIDDEN, clean, counted, excerpt, without_keys, wrapped

if TYPE_CHECKING:
    from instructsel.gates.checks.base import Result
    from instructsel.gates.finding import Finding
    from instructsel.gates.verdict import Verdict
    from instructsel.gates.waivers import Waiver

WIDTH: Final = 80
COLUMN: Final = 8
"""Columns of a check's state."""
CRASHED: Final = "CRASHED"
BROKEN: Final = "BROKEN"
HEADS: Final = {"failed": "FAILED", "crashed": CRASHED, "skipped": "skipped", "passed": "passed"}
WAIVERS: Final = 10
"""Waivers of a kind that are listed."""
TROUBLES: Final = 20
"""Files that cannot be read that are listed."""


def lines(verdict: Verdict, *, fail_on: str, most: int, findings: str | None) -> list[str]:
    """The verdict in lines of at most 80 columns.

    Args:
        verdict: of a gate.
        fail_on: from which severity on it fails.
        most: findings of a check that are listed.
        findings: the file that has all of them.
    """
    shown: list[str] = [line for trouble in verdict.troubles[:TROUBLES] for line in _head(BROKEN, trouble)]
    more = len(verdict.troubles) - TROUBLES
    shown += _head(BROKEN, f"… and {more:,} more; all of them with --to json") if more > 0 else []
    failing = verdict.failing(fail_on)
    for results in alike(verdict):
        if len(results) == 1:
            shown += _check(results[0], fails=results[0] in failing, most=most, findings=findings)
        else:
            shown += _together(results, is_all=len(results) == len(verdict.results) and results[0].state == "skipped")
    shown += _waivers(verdict)
    if any(limit.low is not None for result in verdict.results for limit in result.limits):
        shown += wrapped(_mode(verdict), WIDTH)
    return [*shown, *wrapped(sentence(verdict, fail_on), WIDTH)]


def alike(verdict: Verdict) -> list[list[Result]]:
    """The results as they are shown, those that say the same of no finding together."""
    groups: dict[tuple[str, str] | int, list[Result]] = {}
    for number, result in enumerate(verdict.ordered):
        alone = result.state in ("failed", "crashed") or result.counted
        groups.setdefault(number if alone else (result.state, result.statement), []).append(result)
    return list(groups.values())


def sentence(verdict: Verdict, fail_on: str) -> str:
    """The outcome, why, and the exit code with its meaning."""
    failing = verdict.failing(fail_on)
    n_run = sum(result.state in ("passed", "failed") for result in verdict.results)
    code = verdict.exit_code(fail_on)
    parts = []
    if failing:
        rows = {(finding.row, finding.place) for result in failing for finding in result.counted if finding.place is not None}
        in_rows = f", {counted(len(rows), 'row')}" if rows else ""
        parts.append(f"{len(failing):,} of {counted(n_run, 'check')} failed{in_rows}")
    else:
        parts.append(f"{counted(n_run, 'check')} run, none failed" if n_run else "no check ran")
    others = [result for result in verdict.results if result.state == "failed" and result not in failing]
    parts += [f"{counted(len(others), 'check')} with findings that do not fail the gate (--fail-on {fail_on})"] if others else []
    heads = [_state(result) for result in verdict.results]
    parts += [f"{heads.count(head):,} {head.lower()}" for head in (CRASHED, BROKEN, HEADS["skipped"]) if head in heads]
    parts += [f"{counted(len(verdict.unread), 'file')} cannot be read"] if verdict.unread else []
    return f"{verdict.outcome(fail_on).upper()}: {'; '.join(parts)}. Exit {code}: {MEANINGS[code]}."


def _mode(verdict: Verdict) -> str:
    if verdict.nightly:
        return "Rates are judged as nightly: a rate fails where it is over its limit."
    return "Rates are judged as in a pull request: a rate fails where the lower bound of its 95 % interval is over its limit."


def _together(results: list[Result], *, is_all: bool) -> Iterator[str]:
    """Several checks of one state and one statement."""
    names = f"all {len(results):,} checks" if is_all else ", ".join(f"{result.check.number} {result.label}" for result in results)
    yield from _head(HEADS[results[0].state], f"{names}: {results[0].statement}")


def _head(state: str, text: str) -> Iterator[str]:
    for number, line in enumerate(wrapped(clean(without_keys(text)), WIDTH - COLUMN)):
        yield f"{'' if number else state:{COLUMN}}{line}"


def _state(result: Result) -> str:
    """The word of a result's state: a check that ends with a code of its settings or of an input is no crash of its own."""
    is_broken = result.state == "crashed" and result.exit_code != EnvironmentFault.exit_code
    return BROKEN if is_broken else HEADS[result.state]


def _check(result: Result, *, fails: bool, most: int, findings: str | None) -> Iterator[str]:
    label = result.check.kind if not result.name else f"{result.check.kind} ({result.name})"
    # What does not fail the gate is called by its severity.
    head = result.severity if result.state == "failed" and not fails else _state(result)
    yield from _head(head, f"{result.check.number} {label}: {result.statement}")
    counted_findings = result.counted
    if result.state == "failed" or (counted_findings and result.state == "passed"):
        for finding in counted_findings[:most]:
            yield from _finding(finding)
        left = len(counted_findings) - most
        if left > 0:
            where = f"all of them: {findings}" if findings else "all of them with --findings findings.parquet"
            yield from _wrapped(f"… and {left:,} more; {where}" if most else f"{counted(left, 'finding')}; {where}", 4)
        if result.state == "failed" and most:
            yield from _wrapped(f"Fix: {result.check.fix}", 4)


def _finding(finding: Finding) -> Iterator[str]:
    if finding.place is None:
        # What a check of all rows says of itself.
        return
    where = f"{finding.place}  "
    related = f" See {finding.elsewhere}." if finding.elsewhere is not None else ""
    yield from _wrapped(f"{where}{finding.message}{related}", 4)
    if finding.evidence:
        yield f"        {_shown(finding.evidence, WIDTH - 8)}"


def _shown(evidence: str, width: int) -> str:
    """One line of what was seen; of the end of a text its end, of a mask what stands around it."""
    line = clean(" ".join(evidence.split()))
    if line.startswith("…") and not line.endswith("…") and len(line) > width:
        return f"…{line[1 - width :]}"
    masked = line.find(HIDDEN)
    if masked + len(HIDDEN) >= width:
        return excerpt(f"…{line[masked - width // 2 :]}", width)
    return excerpt(evidence, width)


def _wrapped(text: str, indent: int) -> Iterator[str]:
    for number, line in enumerate(wrapped(clean(without_keys(text)), WIDTH - indent - 4)):
        yield f"{' ' * (indent + (4 if number else 0))}{line}"


def _waivers(verdict: Verdict) -> Iterator[str]:
    if not (verdict.waived or verdict.stale or verdict.expired):
        return
    yield ""
    for waiver, number in list(verdict.waived.items())[:WAIVERS]:
        yield from _head("waived", f"{_named(waiver)}: {counted(number, 'finding')}, until {waiver.expires} ({waiver.reason})")
    for state, waivers in (("stale", verdict.stale), ("expired", verdict.expired)):
        for waiver in waivers[:WAIVERS]:
            note = "no finding is waived; take it out" if state == "stale" else f"ended on {waiver.expires}; take it out or renew it"
            yield from _head(state, f"{_named(waiver)}: {note} ({waiver.reason})")
        if len(waivers) > WAIVERS:
            yield f"… and {len(waivers) - WAIVERS:,} more waivers that are {state}"


def _named(waiver: Waiver) -> str:
    return f"{waiver.check} {waiver.row}"


__all__ = ["lines", "sentence"]
