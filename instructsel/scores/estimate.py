"""What scoring would take: measured on a sample, told with an interval, before anything is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.cache import Cache
from instructsel.errors import MissingExtra, ModelUnavailable
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Batch, Indicator, ModelIndicator, distinct_questions
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models.load import download_size, no_downloads
from instructsel.pool.pool import Pool
from instructsel.scores.asking import CachedAnswers
from instructsel.scores.imported import ImportedScores
from instructsel.scores.neighborhood import windows

SLICES: Final = 8
"""Parts of the sample: how much their times differ gives the interval."""
SAMPLE: Final = 256
"""Examples of a model's sample; of 2,000 for indicators without one."""
PATIENCE: Final = 20.0
"""Seconds after which no further part of the sample is begun, two parts at least."""
QUANTILES: Final = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36}
"""The 97.5 % quantiles of Student's t."""


@dataclass(frozen=True)
class Estimate:
    """What one indicator would take."""

    symbol: str
    examples: int
    """Examples to compute: those of the pool less the cache's."""
    cached: int
    tokens: int | None
    """Tokens the model would be given, where it asks one."""
    seconds: tuple[float, float, float] | None
    """Expected, and a 95 % interval from the parts of the sample; None where it was not measured."""
    memory: int | None
    """Peak bytes of this process after the sample, what the whole pool needs at once added."""
    download: str | None
    """The model that would have to be fetched."""
    download_bytes: int | None
    """Of the download, where the hub says."""
    padding_share: float | None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def estimate(pool: Pool, indicators: Sequence[str | Indicator], *, cache: Cache | None = None, seed: int = 0) -> list[Estimate]:
    """Measure a sample and say what scoring the pool would take. Nothing is fetched, nothing is kept.

    Args:
        pool: the examples.
        indicators: symbols, or indicators with parameters.
        cache: what is there already is not counted.
        seed: of the sample.
    """
    chosen = [registry.make(indicator) if isinstance(indicator, str) else indicator for indicator in indicators]
    forecasts = []
    with no_downloads():
        for indicator in chosen:
            if isinstance(indicator, ImportedScores):
                forecasts.append(
                    Estimate(indicator.symbol, len(pool), 0, None, (0.0, 0.0, 0.0), None, None, None, None, "read from a file")
                )
                continue
            try:
                indicator.fingerprint()
            except ModelUnavailable as error:
                name = str(getattr(indicator, "model", ""))
                size = download_size(name, getattr(indicator, "revision", None))
                forecasts.append(Estimate(indicator.symbol, len(pool), 0, None, None, None, name, size, None, error.message))
            except MissingExtra as error:
                forecasts.append(Estimate(indicator.symbol, len(pool), 0, None, None, None, None, None, None, error.line))
            else:
                forecasts.append(_measured(pool, indicator, cache, seed))
    return forecasts


def _measured(pool: Pool, indicator: Indicator, cache: Cache | None, seed: int) -> Estimate:
    size = min(len(pool), SAMPLE if indicator.asks_model else 2000)
    if not size:
        return Estimate(indicator.symbol, 0, 0, 0, (0.0, 0.0, 0.0), peak_memory(), None, None, None)
    sample = np.random.default_rng(seed).permutation(len(pool))[:size]
    parts = [part for part in np.array_split(sample, min(SLICES, size)) if len(part)]
    cached = _cached(pool, indicator, cache)
    # A first example warms up what is done once.
    indicator.measure(Batch(tuple(pool.examples(parts[0][:1].tolist()))))
    rates: list[float] = []
    tokens = slots = rows = 0
    started = time.perf_counter()
    for part in parts:
        batch = Batch(tuple(pool.examples(part.tolist())))
        begun = time.perf_counter()
        report = indicator.measure(batch)
        rates.append((time.perf_counter() - begun) / len(part))
        rows += len(part)
        if report is not None:
            tokens, slots = tokens + report.tokens, slots + report.slots
        if len(rates) >= 2 and time.perf_counter() - started > PATIENCE:
            break
    left = len(pool) - cached
    mean = math.fsum(rates) / len(rates)
    spread = math.sqrt(math.fsum((rate - mean) ** 2 for rate in rates) / max(1, len(rates) - 1) / len(rates)) if len(rates) > 1 else mean
    reach = QUANTILES[max(1, len(rates) - 1)] * spread
    seconds = [left * rate for rate in (mean, max(0.0, mean - reach), mean + reach)]
    memory = peak_memory()
    note = "the sample's batches are smaller than the run's: expect the lower half of the interval" if indicator.asks_model else ""
    search_seconds, search_bytes = indicator.search_cost(len(pool))
    seconds = [value + search_seconds for value in seconds]
    memory = None if memory is None else memory + search_bytes
    return Estimate(
        indicator.symbol,
        left,
        cached,
        round(tokens / rows * left) if tokens else None,
        (seconds[0], seconds[1], seconds[2]),
        memory,
        None,
        None,
        1 - tokens / slots if slots else None,
        note,
    )


def _cached(pool: Pool, indicator: Indicator, cache: Cache | None) -> int:
    """Examples whose answers are all in the cache."""
    if cache is None or not indicator.asks_model:
        return 0
    total = 0
    for window in windows(pool):
        if isinstance(indicator, NeighborDistance):
            encoder = indicator.encoder()
            stored = CachedAnswers.of(
                cache, encoder.source, encoder.fingerprint, "encoder", window.texts, width=encoder.dimension, dtype="<f4"
            )
            total += int(stored.known()[0].sum())
            continue
        if not isinstance(indicator, ModelIndicator):
            continue
        model = indicator.loaded()
        questions = indicator.questions(window)
        distinct = distinct_questions(questions)
        if not distinct:
            continue
        stored = CachedAnswers.of(cache, model.source, model.fingerprint, type(model).__name__, distinct, width=1, dtype="<f8")
        known = dict(zip(distinct, stored.known()[0].tolist(), strict=True))
        total += sum(all(known[question] for question in row) for row in questions if not isinstance(row, str))
    return total


def peak_memory() -> int | None:
    """The largest memory this process has held, in bytes; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)
