"""A configuration proposed from a pool's own distribution: the pool passes it, and each limit says where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel import toml
from instructsel.gates import measures
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Check, Result, RowCheck
from instructsel.gates.checks.drift import DriftCheck
from instructsel.gates.checks.registry import checks as all_checks
from instructsel.gates.config import SCHEMA, ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.reading import data_of
from instructsel.stats.drift import drift
from instructsel.stats.proportion import wilson
from instructsel.text import excerpt

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

LONGEST: Final = 0.995
"""Quantile of the pool that the 99th percentile of new rows may reach."""
LEAST_DRIFT: Final = 0.1
"""In standard deviations: a smaller shift is no reason to stop a change."""
COMPARED: Final = ("len", "len_in", "mtld", "turns", "characters", "characters_in")
"""What drift is looked for in; characters where tokens cannot be counted."""
ROOM: Final = 0.05
"""Of a share that a source may gain, and of turns beyond the usual ones."""
WIDTH: Final = 130


@dataclass(frozen=True)
class Proposed:
    """A check with its settings and the reason for them."""

    settings: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Proposal:
    """What a configuration is written of."""

    checks: tuple[Proposed, ...]
    left_out: tuple[str, ...]
    """Checks that are asked by default and could not be asked of the pool, each with the reason."""
    data: Mapping[str, Any]
    baseline: str | None

    def text(self) -> str:
        """The file: tables, and a comment beneath each check."""
        lines = [f"schema = {SCHEMA}", 'mode = "pull-request"', ""]
        if self.data:
            lines += ["[data]", toml.dumps(dict(self.data)).strip(), ""]
        if self.baseline is not None:
            lines += ["[baseline]", toml.dumps({"path": self.baseline}).strip(), ""]
        else:
            lines += [
                *_comment("Without a baseline nothing is compared with the pool: no drift, and no quota of pool and new rows together."),
                "",
            ]
        for check in self.checks:
            lines += ["[[check]]", toml.dumps(dict(check.settings)).strip(), *_comment(check.reason), ""]
        if self.left_out:
            lines += [*_comment("A check that is left out is asked once its kind is added here as above, and what it lacks is there."), ""]
        for reason in self.left_out:
            lines += [*_comment(reason), ""]
        return "\n".join(lines).rstrip() + "\n"


def proposable() -> list[type[Check]]:
    """The checks of which limits are proposed by what the pool's rows say."""
    return [check for check in all_checks().values() if check.by_default and not issubclass(check, DriftCheck)]


def propose(
    pool: Pool, *, baseline: Baseline | None = None, path: str | None = None, progress: Callable[[str], None] | None = None
) -> Proposal:
    """What the pool's own rows say that new ones may be.

    Args:
        pool: every row of it is looked at.
        baseline: of this pool; with one, new rows are compared with it.
        path: where that lies, as the configuration names it.
        progress: called with the kind of the check that begins.
    """
    change = Change(pool)
    proposed: list[Proposed] = []
    left_out: list[str] = []
    asked = tuple(
        ConfiguredCheck(check(max_rate=1.0) if issubclass(check, RowCheck) else check(), check.severity) for check in proposable()
    )
    for result in gate(change, GateConfig(asked), progress=progress).results:
        kind = result.check.kind
        entry = _of_rows(kind, result, change.n_rows) if isinstance(result.check, RowCheck) else _of_pool(kind, result)
        if isinstance(entry, Proposed):
            proposed.append(entry)
        else:
            left_out.append(entry)
    proposed += [*_lengths(change)]
    if baseline is not None:
        proposed += compared(baseline)
    return Proposal(tuple(proposed), tuple(left_out), data_of(pool.spec.reading), path if baseline is not None else None)


def compared(baseline: Baseline) -> list[Proposed]:
    """Drift and quotas that are proposed of a baseline."""
    return [*_drift(baseline), *_sources(baseline), *_turns(baseline)]


def _of_rows(kind: str, result: Result, n: int) -> Proposed | str:
    """The rate that the pool has, up to the upper end of its interval."""
    if result.state not in ("passed", "failed") or not result.limits:
        return f"{kind} is left out: {result.statement}"
    count = round((result.limits[0].value or 0.0) * n)
    if not count:
        return Proposed({"kind": kind, "max_rows": 0}, f"None of the pool's {n:,} rows has it, and none of the new ones is allowed to.")
    low, high = wilson(count, n)
    most = _up(high)
    return Proposed(
        {"kind": kind, "max_rate": most},
        f"{count:,} of the pool's {n:,} rows {'has' if count == 1 else 'have'} it ({count / n:.3%}; 95 % interval {low:.3%} to {high:.3%}); the limit is the upper end, rounded up.",
    )


def _of_pool(kind: str, result: Result) -> Proposed | str:
    if result.state == "passed":
        return Proposed({"kind": kind}, f"The pool passes with the check's own settings: {result.statement}")
    return f"{kind} is left out: {result.statement}"


def _lengths(change: Change) -> Iterator[Proposed]:
    """How long responses and prompts may be, and how poor in words."""
    lengths = ("len", "len_in") if measures.tokenizer_missing() is None else ("characters", "characters_in")
    words = {"len": "tokens of the response", "len_in": "tokens of the prompt", "characters": "characters of the response"}
    for symbol in lengths:
        values = _finite(measures.numbers(change, symbol))
        if len(values):
            most = float(math.ceil(np.quantile(values, LONGEST)))
            yield Proposed(
                {"name": f"{symbol}-p99", "kind": "indicator-limit", "indicator": symbol, "statistic": "p99", "max": most},
                f"The pool's {LONGEST:.1%} quantile is {most:,.0f} {words.get(symbol, 'characters of the prompt')}: the 99th percentile of the new rows "
                "may reach it.",
            )
    values = _finite(measures.numbers(change, "mtld"))
    if len(values):
        least = math.floor(float(np.quantile(values, 0.05)) * 10) / 10
        yield Proposed(
            {"name": "mtld-p10", "kind": "indicator-limit", "indicator": "mtld", "statistic": "p10", "min": least},
            f"The pool's 5.0% quantile of MTLD, which is low for repetition, is {least:g}: the tenth percentile of the new rows has to reach it.",
        )


def _drift(baseline: Baseline) -> Iterator[Proposed]:
    """How far the new rows' lengths and turns may be from the pool's: as far as chance makes as few rows as are looked at, and no less than a tenth of a standard deviation."""
    if not baseline.has("measures"):
        return
    part = baseline.part("measures")
    columns = list(part.about["columns"])
    least = DriftCheck.min_n
    for symbol in [symbol for symbol in COMPARED if symbol in columns and not (symbol.startswith("characters") and "len" in columns)]:
        values = _finite(part.arrays["values"][:, columns.index(symbol)])
        if len(values) < 2 * least:
            continue
        high = drift(values[:: max(1, len(values) // least)][:least], values, "wasserstein").band[1]
        most = max(LEAST_DRIFT, _up(high))
        yield Proposed(
            {"name": f"drift-{symbol}", "kind": "drift", "indicator": [symbol], "method": "wasserstein", "max": most, "min_n": least},
            f"97.5 % of the draws of {least} rows from the pool are within {high:.3f} standard deviations of it in {symbol}; "
            f"{'a smaller shift than a tenth is none' if most == LEAST_DRIFT else 'the limit is that, rounded up'}.",
        )


def _sources(baseline: Baseline) -> Iterator[Proposed]:
    """How much of pool and new rows together the largest source may be."""
    identities = baseline.identities
    counts = np.bincount(identities.source, minlength=len(identities.sources))
    if len(identities) and np.count_nonzero(counts) > 1:
        largest, n = int(counts.argmax()), len(identities)
        share = counts[largest] / n
        yield Proposed(
            {"name": "sources", "kind": "quota", "by": "source", "within": "pool", "max_share": round(min(1.0, _up(share + ROOM)), 2)},
            f"The largest source of the pool, {excerpt(identities.sources[largest], 40)}, has {share:.1%} of its {n:,} rows; with the new rows none may have more than "
            f"{ROOM:.0%} more.",
        )


def _turns(baseline: Baseline) -> Iterator[Proposed]:
    """How many of the new rows may have more turns than nearly all of the pool's."""
    turns = baseline.identities.turns
    if len(turns):
        usual = int(np.quantile(turns, LONGEST, method="higher"))
        beyond, n = int((turns > usual).sum()), len(turns)
        yield Proposed(
            {"name": "turns", "kind": "quota", "by": "turns", "of": f"{usual + 1}-", "max_share": max(ROOM, _up(wilson(beyond, n)[1]))},
            f"{LONGEST:.1%} of the pool's rows have at most {usual} turns, and {beyond:,} of {n:,} have more; of the new rows {ROOM:.0%} may.",
        )


def _finite(values: measures.Floats) -> measures.Floats:
    return values[np.isfinite(values)]


def _up(value: float) -> float:
    """Rounded up to two digits.

    >>> _up(0.01234), _up(0.5)
    (0.013, 0.5)
    """
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.2g}")


def _comment(text: str) -> list[str]:
    """A text as comment lines."""
    from instructsel.text import neutral, wrapped

    return [f"# {line}" for line in wrapped(neutral(text, 1_000), WIDTH)]


def relative_to(path: Path, folder: Path) -> str:
    """A file as a configuration in a folder names it: from there where it lies below, else as it is."""
    try:
        return path.absolute().relative_to(folder.absolute()).as_posix()
    except ValueError:
        return str(path.absolute())


__all__ = ["Proposal", "Proposed", "compared", "propose", "relative_to"]
