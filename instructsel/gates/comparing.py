"""Columns of the pool that a change is compared with, and vectors of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.measures import LANGUAGE, Floats

if TYPE_CHECKING:
    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.change import Change


def baseline_of(change: Change) -> Baseline:
    """The baseline of a change that has one: `Change.without` said nothing."""
    assert change.baseline is not None
    return change.baseline


def pool_numbers(change: Change, symbol: str) -> Floats:
    """A number of each example of the baseline, without those that the change takes out; NaN where it has none."""
    part = baseline_of(change).part("measures")
    column: Floats = part.arrays["values"][:, list(part.about["columns"]).index(symbol)]
    return column[~change.gone]


def pool_labels(change: Change, name: str) -> list[str]:
    """A label of each example of the baseline, without those that the change takes out."""
    baseline = baseline_of(change)
    if name == LANGUAGE:
        part = baseline.part("languages")
        labels = [part.about["languages"][code] for code in part.arrays["codes"].tolist()]
    else:
        labels = baseline.identities.labels
    return [label for label, is_gone in zip(labels, change.gone.tolist(), strict=True) if not is_gone]


def new_vectors(change: Change) -> NDArray[np.float32]:
    """(n, d), unit vectors of the new rows, by the encoder of the baseline; 0 where a row has none.

    Raises:
        MissingExtra, ModelUnavailable: the encoder cannot be had.
        UsageError: it is another than the one that the baseline was made with.
    """
    from instructsel.gates.baseline.parts.vectors import check_encoder, encoded

    def encode() -> NDArray[np.float32]:
        about = baseline_of(change).part("vectors").about
        vectors, fingerprint = encoded(change.pool, about["encoder"])
        check_encoder(about["fingerprint"], fingerprint)
        return vectors

    return change.shared("vectors", encode)


def vectors(change: Change) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The unit vectors of the new rows, and of the baseline without the examples that the change takes out; rows without a vector left out."""
    new = new_vectors(change)
    old: NDArray[np.float32] = baseline_of(change).part("vectors").arrays["vectors"][~change.gone].astype(np.float32)
    return new[new.any(axis=1)], old[old.any(axis=1)]


__all__ = ["baseline_of", "new_vectors", "pool_labels", "pool_numbers", "vectors"]
