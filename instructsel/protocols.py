"""What an adapter offers the engine: a Trainer makes checkpoints of pools, a Grader gives each of its items a value."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from instructsel.magnitude import LARGEST, RANGE
from instructsel.stats.loss_units import BITS_PER_BYTE, NATS_PER_TOKEN, RESPONSE_CUT, LossTotals

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk, and how it came about."""

    folder: Path
    """Weights as safetensors, configuration and tokenizer, in the layout of the hub."""
    digest: str
    """SHA-256 over the weights: of equal weights the same, wherever they stand."""
    seed: int | None = None
    """The seed it was trained with; None for a model that was not trained here."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the trainer wrote down: steps, tokens, losses, seconds, what it was made from."""
    owned: bool = False
    """Whether the trainer made the folder, so that `discard` may remove it."""

    def discard(self) -> None:
        """Remove the folder, if a trainer made it; the object keeps its digest and record."""
        if self.owned:
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class Grades:
    """A grader's values for one checkpoint, item by item."""

    grader: str
    """The grader's name; grades of one name are comparable."""
    items: tuple[str, ...]
    """What was graded, by a name that is the same for every checkpoint."""
    values: NDArray[np.float64]
    """(n,), finite; 0 where there is a reason."""
    weights: NDArray[np.float64]
    """(n,), what an item counts in the weighted mean: its tokens, for a loss; 1 where items count alike."""
    reasons: tuple[str | None, ...] = ()
    """Why an item has no value, one per item; empty where all have one."""
    unit: str = ""
    """Of the values, e.g. nats per token."""
    higher_is_better: bool = False
    truncated: int = 0
    """Items of which the model did not see everything."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the grader wrote down: seconds, versions, settings."""
    clusters: tuple[str, ...] = field(default=(), repr=False)
    """The cluster of each item, such as its prompt: items of one cluster are not independent. Empty: every item stands alone."""
    sources: tuple[str, ...] = field(default=(), repr=False)
    """The source or skill of each item; empty where items have none."""
    totals: LossTotals | None = field(default=None, repr=False)
    """For a loss of responses: the sums and counts that its values are made of, so that its unit can be changed; None for others."""

    def __post_init__(self) -> None:
        n = len(self.items)
        if not len(self.values) == len(self.weights) == n or len(self.reasons) not in (0, n):
            raise ValueError(
                f"{self.grader} has {n} items, {len(self.values)} values, {len(self.weights)} weights and {len(self.reasons)} reasons."
            )
        if len(set(self.items)) != n:
            raise ValueError(f"Two items of {self.grader} have the same name.")
        for name, labels in (("clusters", self.clusters), ("sources", self.sources)):
            if len(labels) not in (0, n):
                raise ValueError(f"{self.grader} has {n} items and {len(labels)} {name}.")
            if not all(labels):
                raise ValueError(f"{self.grader} has an item without a name among its {name}; leave {name} out, or name all.")
        if self.totals is not None and len(self.totals.nats) != n:
            raise ValueError(f"{self.grader} has {n} items and totals of {len(self.totals.nats)}.")
        # Also false of NaN.
        if not (np.abs(self.values) <= LARGEST).all() or not (np.abs(self.weights) <= LARGEST).all():
            raise ValueError(f"{self.grader} gave a value that is not finite or not {RANGE}; an item without a value has a reason.")

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(n,), which items have a value."""
        return np.array([reason is None for reason in self.reasons], dtype=bool) if self.reasons else np.ones(len(self.items), dtype=bool)

    @property
    def mean(self) -> float:
        """The mean over items that have a value, each counted once; NaN where none has."""
        values = self.values[self.valid]
        return math.fsum(values.tolist()) / len(values) if len(values) else math.nan

    @property
    def weighted_mean(self) -> float:
        """The mean by weight: for a loss, the loss per token or byte of all items together; NaN where nothing has weight."""
        values, weights = self.values[self.valid], self.weights[self.valid]
        total = math.fsum(weights.tolist())
        return math.fsum((values * weights).tolist()) / total if total else math.nan

    @property
    def nats_per_token(self) -> float | None:
        """Of a loss: the total over all tokens; None for other grades, and where no item has a value."""
        return None if self.totals is None else self.totals.ratio(NATS_PER_TOKEN, self.valid)

    @property
    def bits_per_byte(self) -> float | None:
        """Of a loss: the total over all bytes; None for other grades, and where no item has a value."""
        return None if self.totals is None else self.totals.ratio(BITS_PER_BYTE, self.valid)

    def in_unit(self, unit: str) -> Grades:
        """The same loss in another unit. Its weights are then tokens or bytes.

        Args:
            unit: nats per token, or bits per byte, in which an item has no value where its response lost its end (response_cut).

        Raises:
            ValueError: another unit than the grades' own, and no totals.
        """
        if unit == self.unit:
            return self
        if self.totals is None:
            raise ValueError(f"{self.grader} has values in {self.unit or 'no unit'} and no totals to give them in {unit}.")
        values, weights = self.totals.per(unit)
        before = self.reasons or (None,) * len(self.items)
        reasons = tuple(
            # What has no bytes has tokens, and the other way round.
            None if reason in (None, RESPONSE_CUT) and weight > 0 else reason or RESPONSE_CUT
            for reason, weight in zip(before, weights.tolist(), strict=True)
        )
        values = np.where([reason is None for reason in reasons], values, 0.0)
        return replace(self, values=values, weights=weights, reasons=reasons if any(reasons) else (), unit=unit)


@runtime_checkable
class Trainer(Protocol):
    """Fine-tunes the same base in the same way on whatever pool it is given."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What a checkpoint depends on besides the pool and the seed: base weights, recipe, versions; no path."""
        ...

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        """A checkpoint fine-tuned on the pool. For the same pool and seed it resumes where it was interrupted.

        Raises:
            TrainingError: rows with nothing to train on, a loss that is not finite, no memory.
        """
        ...


@runtime_checkable
class Grader(Protocol):
    """Gives a checkpoint a value for each of its items."""

    @property
    def name(self) -> str:
        """What its grades are called."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What grades depend on besides the checkpoint: a digest of the items, settings; no path."""
        ...

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """The grades of a checkpoint."""
        ...


__all__ = ["Checkpoint", "Grader", "Grades", "Trainer"]
