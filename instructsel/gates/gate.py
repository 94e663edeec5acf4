"""Asking every check of a configuration about a change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from instructsel.errors import BaselineError, EnvironmentFault, InstructselError
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Result
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.verdict import Verdict
from instructsel.gates.waivers import Waivers
from instructsel.text import masked, neutral

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


def gate(
    pool: Pool | Change, config: GateConfig | None = None, *, today: date | None = None, progress: Callable[[str], None] | None = None
) -> Verdict:
    """May these rows join?

    A check that cannot be asked says what would let it run; one that crashes says so, and the others still report.

    Args:
        pool: the rows that want to join; as a change where they were read with `read_change`, which passes over those that a baseline has.
        config: which checks; by default those that need nothing but the rows.
        today: on which waivers hold.
        progress: called with the kind of the check that begins.

    >>> gate(Pool.read("new.jsonl")).outcome()  # doctest: +SKIP
    'failed'
    """
    settings = config or GateConfig.default()
    change = pool if isinstance(pool, Change) else _change(pool, settings)
    waivers = Waivers(settings.waivers, today or datetime.now(UTC).date())
    results = []
    for configured in settings.checks:
        if progress is not None:
            progress(configured.check.kind)
        results.append(_result(configured, change, waivers))
    return Verdict(
        tuple(results), change.report, settings.nightly, waivers.expired, waivers.stale, dict(waivers.used), change.known, change.fault
    )


def _change(pool: Pool, settings: GateConfig) -> Change:
    try:
        baseline = None if settings.baseline is None else Baseline.read(settings.baseline)
    except BaselineError as fault:
        return Change(pool, settings.nightly, fault=fault)
    return Change.of(pool, baseline, nightly=settings.nightly)


def _result(configured: ConfiguredCheck, change: Change, waivers: Waivers) -> Result:
    started = time.monotonic()
    try:
        locked = configured.check.locked(change)
        result = Result(configured.check, "skipped", locked) if locked else configured.check.result(change, configured.severity, waivers)
    except EnvironmentFault as fault:
        result = Result(configured.check, "skipped", str(fault))
    except InstructselError as error:
        result = Result(configured.check, "crashed", str(error))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # a fault of one check is no reason for the others to be silent
        result = Result(configured.check, "crashed", f"{type(error).__name__}: {neutral(masked(str(error)))}")
    return replace(result, severity=configured.severity, name=configured.name, seconds=time.monotonic() - started)


__all__ = ["gate"]
