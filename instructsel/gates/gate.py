"""Asking every check of a configuration about a change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from instructsel.collector import seldom_collected
from instructsel.errors import BaselineError, EnvironmentFault, InstructselError, MissingExtra
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.by_rows import ask
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Check, NotEnough, Result, RowCheck
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.verdict import Verdict
from instructsel.gates.waivers import Waivers
from instructsel.pool.pool import check_pool
from instructsel.text import masked, neutral

if TYPE_CHECKING:
    from instructsel.gates.by_rows import Company
    from instructsel.pool.pool import Pool

LACKING: Final = EnvironmentFault.exit_code
"""Of a check that a configuration names and that cannot be asked on this machine, and of one that crashed."""
NOTHING_READ: Final = "No row could be read as an example."
NOTHING_NEW: Final = "There is no row to look at."
STATEMENT: Final = 500
"""Characters of what another's error says."""


def gate(
    pool: Pool | Change,
    config: GateConfig | str | Path | None = None,
    *,
    today: date | None = None,
    progress: Callable[[str], None] | None = None,
    company: Company | None = None,
) -> Verdict:
    """May these rows join?

    A check that cannot be asked says what would let it run; one that crashes says so, and the others still report.

    Args:
        pool: the rows that want to join; as a change where they were read with `read_change`, which passes over those that a baseline has.
        config: which checks, or the file that says so; by default those that need nothing but the rows.
        today: on which waivers hold.
        progress: called with the kind of the check that begins.
        company: other processes that were started while the files were read; see `by_rows.ahead`.

    Raises:
        UsageError: what is no pool, or a configuration that cannot be.

    >>> from instructsel.pool.pool import Pool
    >>> gate(Pool.of([{"instruction": "Name a lake.", "output": "Como."}])).outcome()
    'passed'
    """
    if not isinstance(pool, Change):
        check_pool(pool, "gate")
    settings = config if isinstance(config, GateConfig) else GateConfig.default() if config is None else GateConfig.read(config)
    change = replace(
        pool if isinstance(pool, Change) else _change(pool, settings), nightly=settings.nightly, folder=settings.folder, answered={}
    )
    waivers = Waivers(settings.waivers, today or datetime.now(UTC).date())
    names = {repr(configured.check): configured.name or configured.check.kind for configured in settings.checks}

    def told(check: Check) -> None:
        if progress is not None:
            progress(names.get(repr(check), check.kind))

    with seldom_collected():
        seconds = ask(
            change, [configured.check for configured in settings.checks if isinstance(configured.check, RowCheck)], told, company
        ).seconds
        results = []
        for configured in settings.checks:
            if repr(configured.check) not in change.answered:
                told(configured.check)
            result = _result(configured, change, waivers)
            results.append(replace(result, seconds=result.seconds + seconds.get(repr(configured.check), 0.0)))
    return Verdict(tuple(results), change, settings.where, settings.nightly, waivers.expired, waivers.stale, dict(waivers.used))


def _change(pool: Pool, settings: GateConfig) -> Change:
    try:
        baseline = None if settings.baseline is None else Baseline.read_whole(settings.baseline)
    except BaselineError as fault:
        return Change(pool, settings.nightly, fault=fault)
    return Change.of(pool, baseline, nightly=settings.nightly)


def _nothing(check: Check, change: Change) -> str:
    """Why there is no row that a check could look at; "" where there is one."""
    is_empty = not change.n_rows and not change.known.rows
    if change.unread and (is_empty or not (len(change.pool) or check.asks_of_reading)):
        return NOTHING_READ
    return NOTHING_NEW if is_empty else ""


def _result(configured: ConfiguredCheck, change: Change, waivers: Waivers) -> Result:
    started = time.monotonic()
    check, lacking = configured.check, LACKING if configured.named else 0
    try:
        # Nothing was read for a check to look at.
        nothing = _nothing(check, change)
        locked = nothing or check.locked(change)
        if locked:
            # A baseline that cannot be read is an input, and has its own code.
            is_lacking = not nothing and (change.fault is None or locked != change.fault.line)
            result = Result(check, "skipped", neutral(locked, STATEMENT), exit_code=lacking if is_lacking else 0)
        else:
            result = check.result(change, configured.severity, waivers.of(configured.name))
    except NotEnough as shortage:
        result = Result(check, "skipped", neutral(str(shortage), STATEMENT))
    except MissingExtra as fault:
        core = None if configured.named else check.core()
        if core is not None:
            part, note = core
            result = _result(replace(configured, check=part), change, waivers)
            return replace(result, statement=f"{result.statement} {note} {fault.fix}")
        result = Result(check, "skipped", neutral(fault.line, STATEMENT), exit_code=lacking)
    except EnvironmentFault as fault:
        result = Result(check, "skipped", neutral(fault.line, STATEMENT), exit_code=lacking)
    except InstructselError as error:
        # What the configuration names cannot be, or cannot be read.
        result = Result(check, "crashed", neutral(error.line, STATEMENT), exit_code=error.exit_code)
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a fault of one check is no reason for the others to be silent; a panic in Rust is no Exception
        text = neutral(masked(str(error)), STATEMENT)
        result = Result(check, "crashed", f"{type(error).__name__}: {text}", exit_code=LACKING)
    return replace(result, severity=configured.severity, name=configured.name, seconds=time.monotonic() - started)


__all__ = ["gate"]
