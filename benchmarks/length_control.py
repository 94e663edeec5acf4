"""Our length-controlled win rate against statsmodels' fractional logit: the same figures? in what time?

    python benchmarks/length_control.py

Simulated preferences of AlpacaEval's size, 805 pairs, soft and hard. Both fit logit P = a + b · tanh(difference / sd); the
standard error by resampling refits 1,000 times. Then pairs whose length tells wins from losses without error.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import _record
import numpy as np

from instructsel.verification import win_rates

PAIRS = 805
RESAMPLES = 1000


def by_statsmodels(x: np.ndarray, liked: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(fits, 2), one GLM a weighting."""
    import statsmodels.api as sm

    design = sm.add_constant(x)
    fits = [sm.GLM(liked, design, family=sm.families.Binomial(), freq_weights=row).fit() for row in weights]
    return np.array([fit.params for fit in fits])


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Of processor, and what came of it."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def main() -> None:
    """Measure and write down."""
    import statsmodels.api as sm

    generator = np.random.default_rng(0)
    differences = generator.normal(100, 400, PAIRS)
    x = np.tanh(differences / differences.std(ddof=1))
    share = 1 / (1 + np.exp(-(0.2 + 0.8 * x)))
    cases: dict[str, Any] = {}
    for name, liked in {
        "soft": np.clip(share + generator.normal(0, 0.35, PAIRS), 0, 1),
        "hard": (generator.random(PAIRS) < share).astype(float),
    }.items():
        weights = np.array([np.bincount(generator.integers(PAIRS, size=PAIRS), minlength=PAIRS) for _ in range(RESAMPLES)], dtype=float)
        ours, levels = seconds(lambda liked=liked, weights=weights: win_rates._fit(x, liked, weights))
        theirs, references = seconds(lambda liked=liked, weights=weights: by_statsmodels(x, liked, weights))
        cases[name] = {
            "cpu_seconds": {"ours": ours, "statsmodels": theirs},
            "ratio": theirs / ours,
            "largest_difference_of_coefficients": float(np.abs(levels - references).max()),
        }
    separated = (x > 0).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.GLM(separated, sm.add_constant(x), family=sm.families.Binomial()).fit()
    cases["separated"] = {
        "statsmodels": {"converged": bool(fit.converged), "slope": float(fit.params[1])},
        "ours": {"coefficients": None if np.isnan(win_rates._fit(x, separated, np.ones((1, PAIRS)))).any() else "finite"},
    }
    figures = {"pairs": PAIRS, "resamples": RESAMPLES, "cases": cases, "load_average": os.getloadavg()[0]}
    print(figures)
    print(_record.write("length_control", figures, "numpy", "statsmodels"))


if __name__ == "__main__":
    main()
