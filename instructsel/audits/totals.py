"""What an epoch of training comes to: tokens, steps, padding, cost."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from instructsel.audits.packing import Packing
from instructsel.audits.settings import AuditSettings

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
FLOPS_PER_WEIGHT: Final = 6
"""Floating-point operations a token and a weight, forward and backward (Kaplan et al. 2020, arXiv:2001.08361), attention aside."""


@dataclass(frozen=True)
class SourceTotals:
    """The rows of one source."""

    source: str
    """Its label."""
    rows: int
    """Its examples."""
    trained_rows: int
    """Those with at least one loss token."""
    tokens: int
    """Tokens of these, after truncation."""
    loss_tokens: int
    """Loss tokens."""
    truncated: int
    """Rows that are cut off, those among them that nothing is left to train of."""

    def as_dict(self) -> dict[str, Any]:
        """As values data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Totals:
    """Counts over all rows, and the cost of training on them."""

    rows: int
    """Rows of the pool."""
    trained_rows: int
    """Rows with at least one loss token."""
    tokens: int
    """Tokens of the rows that are trained on, prompts included, after truncation: an epoch's."""
    loss_tokens: int
    """Tokens the loss is computed on in an epoch."""
    truncated: int
    """Rows that are cut off, those among them that nothing is left to train of."""
    cut_tokens: int
    """Tokens that are cut off, of all rows."""
    cut_fraction: float
    """Their share in all tokens before truncation."""
    longest: int
    """Tokens of the longest row, before truncation."""
    lengths: Mapping[str, int]
    """Quantile → tokens of a row, before truncation."""
    sequences: int
    """Rows, or packed sequences, of an epoch."""
    packing_efficiency: float | None
    """Share of the packed sequences that is filled; None without packing."""
    steps: int
    """Optimizer steps of all epochs; a part of an epoch is rounded up to whole steps."""
    tokens_per_step: float
    """Tokens of a step, on average."""
    loss_tokens_per_step: float
    """Loss tokens of a step, on average."""
    padding_fraction: float
    """Share of padding in what is computed, with batches of `batch_size` sequences in random order padded to their longest."""
    epochs: float
    """Passes over the rows."""
    parameters: int | None
    """Weights of the base; None where they are not known."""
    flops: float | None
    """Floating-point operations of all steps: 6 · weights · tokens; None without the weights."""
    sources: tuple[SourceTotals, ...]
    """By source."""

    def as_dict(self) -> dict[str, Any]:
        """As values data."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "lengths": dict(self.lengths), "sources": [source.as_dict() for source in self.sources]}


def totals(
    columns: Mapping[str, Sequence[Any]],
    sources: Sequence[SourceTotals],
    packing: Packing | None,
    settings: AuditSettings,
    parameters: int | None,
) -> Totals:
    """The totals of rows.

    Args:
        columns: of each row full (tokens before truncation), tokens, loss_tokens and is_trained.
        sources: the rows by source.
        packing: the packed sequences, where there are some.
        settings: of the trainer.
        parameters: weights of the base.
    """
    full, seen_tokens, loss = (np.asarray(columns[name], dtype=np.int64) for name in ("full", "tokens", "loss_tokens"))
    trained = np.asarray(columns["is_trained"], dtype=bool)
    lengths = [int(length) for length in seen_tokens[trained]]
    if packing is not None:
        lengths = [sum(part.stop - part.start for part in sequence) for sequence in packing.sequences]
    # As transformers counts: the last step of an epoch may be a smaller one, and no step holds rows of two epochs.
    steps_per_epoch = math.ceil(len(lengths) / settings.batch_size)
    steps = math.ceil(steps_per_epoch * settings.epochs)
    tokens, loss_tokens = sum(lengths), int(loss[trained].sum())
    quantiles = np.quantile(full, QUANTILES, method="higher") if len(full) else np.zeros(len(QUANTILES))
    all_tokens, cut = int(full.sum()), int((full - seen_tokens).sum())
    per_step = 1 / steps_per_epoch if steps_per_epoch else 0.0
    return Totals(
        rows=len(full),
        trained_rows=int(trained.sum()),
        tokens=tokens,
        loss_tokens=loss_tokens,
        truncated=int((full > seen_tokens).sum()),
        cut_tokens=cut,
        cut_fraction=cut / all_tokens if all_tokens else 0.0,
        longest=int(full.max()) if len(full) else 0,
        lengths={f"{quantile:g}": int(value) for quantile, value in zip(QUANTILES, quantiles, strict=True)},
        sequences=len(lengths),
        packing_efficiency=packing.efficiency if packing is not None else None,
        steps=steps,
        tokens_per_step=tokens * per_step,
        loss_tokens_per_step=loss_tokens * per_step,
        padding_fraction=_padding(lengths, settings.batch_size),
        epochs=settings.epochs,
        parameters=parameters,
        flops=FLOPS_PER_WEIGHT * float(parameters) * tokens * per_step * steps if parameters else None,
        sources=tuple(sources),
    )


def _padding(lengths: Sequence[int], batch_size: int) -> float:
    """Share of padding in batches in one random order."""
    order = list(lengths)
    random.Random("instructsel audit").shuffle(order)
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    room = sum(max(batch) * len(batch) for batch in batches)
    return 1 - sum(order) / room if room else 0.0


__all__ = ["SourceTotals", "Totals", "totals"]
