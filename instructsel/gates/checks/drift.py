"""Drift: distributions of the new rows that are far from those of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from instructsel.errors import UsageError
from instructsel.experiments.limits import between
from instructsel.gates import measures
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit, NotEnough, PoolCheck
from instructsel.gates.comparing import pool_labels, pool_numbers, vectors
from instructsel.gates.limits import check_enough, shown
from instructsel.stats.auc import FOLDS, Auc, separability
from instructsel.stats.drift import METHODS, Drift, adjusted, drift, label_drift

AUC: Final = "auc"
VECTORS: Final = "vectors"
MOST: Final = {"wasserstein": 0.25, "jensen-shannon": 0.2, "psi": 0.25, "ks": 0.2, AUC: 0.6}
"""Where no maximum is set: a quarter of a standard deviation; PSI's usual limit of a large shift; the others at about the same shift of a normal distribution.
An AUC of 0.6 is that of rows of which a fifth can be told from the pool's for sure."""


@dataclass(frozen=True)
class DriftCheck(PoolCheck):
    """The new rows are distributed otherwise than the pool."""

    number: ClassVar[str] = "IS081"
    kind: ClassVar[str] = "drift"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Vallender 1974 (Wasserstein), Lin 1991 (Jensen-Shannon), Siddiqi 2006 (PSI), Smirnov 1939 (KS), DeLong 1988 (AUC)"
    )
    fix: ClassVar[str] = "Look at what differs: rows of another kind, length or source. Where it is meant, raise the maximum."
    needs: ClassVar[tuple[str, ...]] = ("a baseline",)

    indicator: tuple[str, ...] = ()
    """Columns that are compared: numbers of the baseline, source, language, or vectors; by default every number that it has, its languages, and its sources
    where a field names them."""
    method: str = "wasserstein"
    """wasserstein, jensen-shannon, psi, ks; auc for vectors."""
    max: float | None = field(default=None, metadata=between(0, 1e6))
    """Distance that may be; by default 0.25 for wasserstein and psi, 0.2 for jensen-shannon and ks, 0.6 for auc."""
    min_n: int = field(default=200, metadata=between(2 * FOLDS, 1 << 40))
    """Rows below which nothing is said."""
    draws: int = field(default=200, metadata=between(20, 100_000))
    """Of as many rows from the pool, for the null band."""
    seed: int = field(default=0, metadata=between(0, (1 << 32) - 1))
    """Of the draws, and of the parts that a classifier of vectors is fitted and tried on."""
    p_values: bool = False
    """Whether a distance counts only where its p-value, adjusted for all columns together, is below alpha. With many rows every p-value is small."""
    alpha: float = field(default=0.05, metadata=between(0, 1))
    """P-value below which a distance counts, with `p_values`."""
    scores: str = ""
    """A score table of the new rows, for columns that a gate does not compute."""

    def __post_init__(self) -> None:
        if isinstance(self.indicator, str):
            object.__setattr__(self, "indicator", (self.indicator,))
        if self.method not in (*METHODS, AUC):
            raise UsageError.named(self.method, [*METHODS, AUC], noun="method")
        if (self.method == AUC) != (self.indicator == (VECTORS,)):
            raise UsageError("The method auc is that of vectors, and theirs alone.", fix='Write: indicator = ["vectors"], method = "auc"')
        if self.method == "ks" and set(self.indicator) & set(measures.LABELS):
            raise UsageError("Labels have no order, which the method ks needs.", fix='Use: method = "jensen-shannon"')

    def columns(self, change: Change) -> tuple[str, ...]:
        """What is compared."""
        if self.indicator:
            return self.indicator
        assert change.baseline is not None
        names = tuple(change.baseline.part("measures").about["columns"])
        usual = tuple(name for name in names if measures.locked(change, [name], self.scores) is None)
        if self.method == "ks":
            return usual
        labels = [measures.SOURCE] if change.baseline.identities.source_field is not None else []
        if change.baseline.has("languages") and measures.package_missing() is None:
            labels.append(measures.LANGUAGE)
        return (*usual, *labels)

    def locked(self, change: Change) -> str | None:
        """There is a baseline with these columns, and the change has them."""
        part = VECTORS if self.method == AUC else "measures"
        reason = change.without(part, *(["languages"] if measures.LANGUAGE in self.indicator else []))
        if reason is not None:
            return reason
        if self.method == AUC:
            return None
        assert change.baseline is not None
        known = change.baseline.part("measures").about["columns"]
        for name in self.columns(change):
            if name not in known and name not in measures.LABELS:
                measures.check_symbol(name, known)
                return f"The baseline has no column {name}. Make it with scores of the pool: instructsel gate baseline create POOL --scores TABLE -o FILE"
        return measures.locked(change, self.columns(change), self.scores)

    def limits(self, change: Change) -> list[Limit]:
        """Each column's distance beside its null band and the maximum.

        Raises:
            NotEnough: fewer than `min_n` rows are new.
        """
        check_enough(len(change.pool), self.min_n)
        most = MOST[self.method] if self.max is None else self.max
        if self.method == AUC:
            return [self._apart(change, most)]
        measured = list(self._measured(change))
        if not measured:
            raise NotEnough(f"There are not enough rows: fewer than {self.min_n:,} have a value of {', '.join(self.columns(change))}.")
        p_values = adjusted([distance.p_value for _, distance in measured])
        return [
            self._limit(name, distance, most, p_value if self.p_values else None, nightly=change.nightly)
            for (name, distance), p_value in zip(measured, p_values, strict=True)
        ]

    def _measured(self, change: Change) -> Iterator[tuple[str, Drift]]:
        for name in self.columns(change):
            if name in measures.LABELS:
                new, old = measures.labels(change, name), pool_labels(change, name)
                if old:
                    yield name, label_drift(new, old, self.method, draws=self.draws, seed=self.seed)
                continue
            values, pool = measures.numbers(change, name, self.scores), pool_numbers(change, name)
            values, pool = values[np.isfinite(values)], pool[np.isfinite(pool)]
            if len(values) >= self.min_n and len(pool):
                yield name, drift(values, pool, self.method, draws=self.draws, seed=self.seed)

    def _limit(self, name: str, measured: Drift, most: float, p_value: float | None, *, nightly: bool) -> Limit:
        low, high = measured.band
        is_over = measured.distance > most and (nightly or measured.distance > high)
        words = ""
        if p_value is not None:
            is_over = is_over and p_value < self.alpha
            words = f", p {p_value:.3g} adjusted for all columns"
        rule = "the distance counts" if nightly else "it counts where it is also above the band"
        statement = (
            f"{name}: {self.method} {measured.distance:.3f}; {self.draws} draws of {measured.n:,} rows from the pool's {measured.n_pool:,} lie at "
            f"{low:.3f} to {high:.3f}{words}; at most {shown(most)} allowed, and {rule}."
        )
        return Limit(not is_over, statement, measured.distance, low, high, name)

    def _apart(self, change: Change, most: float) -> Limit:
        new, old = vectors(change)
        check_enough(min(len(new), len(old)), self.min_n, "have a vector")
        area: Auc = separability(new, old, seed=self.seed)
        decided = area.value if change.nightly else area.low
        rule = "the figure counts" if change.nightly else "the lower bound counts"
        statement = (
            f"vectors: a linear classifier tells new rows from the pool's with AUC {area.value:.3f} (95 % interval {area.low:.3f} to {area.high:.3f}; "
            f"0.5 is not at all; {area.n_first:,} and {area.n_second:,} rows); at most {shown(most)} allowed, and {rule}."
        )
        return Limit(decided <= most, statement, area.value, area.low, area.high, VECTORS)
