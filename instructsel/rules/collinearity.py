"""Whether the indicators of a rule say the same thing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.magnitude import LARGEST, each

CORRELATED: Final = 0.95
"""From this correlation on, two indicators are nearly one."""
INFLATED: Final = 10.0
"""From this variance inflation factor on, weights cannot be told apart."""


def collinearity(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Correlations and variance inflation factors of indicators over the same rows.

    Args:
        columns: symbol → values (n,), finite.

    Returns:
        `correlations`: "a,b" → Pearson's r; `vif`: symbol → factor, None where the others determine it; `collinear`: the pairs
        and symbols beyond the limits. Empty where there are fewer than two indicators or three rows.
    """
    names = list(columns)
    size = len(columns[names[0]]) if names else 0
    empty: dict[str, Any] = {"correlations": {}, "vif": {}, "collinear": []}
    if len(names) < 2 or size < 3:
        return empty
    columns = {name: _scaled(values) for name, values in columns.items()}
    centred = {name: values - math.fsum(each(values)) / size for name, values in columns.items()}
    lengths = {name: math.sqrt(math.fsum(each(values * values))) for name, values in centred.items()}
    # What does not vary is correlated with nothing.
    varied = [name for name in names if lengths[name] > 1e-12 * max(1.0, float(np.abs(columns[name]).max())) * math.sqrt(size)]
    matrix = np.eye(len(varied))
    correlations: dict[str, float] = {}
    for (a, one), (b, other) in itertools.combinations(enumerate(varied), 2):
        # fsum: the same bits whatever the number of threads.
        r = math.fsum(each(centred[one] * centred[other])) / (lengths[one] * lengths[other])
        matrix[a, b] = matrix[b, a] = r
        correlations[f"{one},{other}"] = round(r, 6)
    factors: dict[str, float | None] = {}
    for number, name in enumerate(varied):
        others = [other for other in range(len(varied)) if other != number]
        try:
            explained = (
                float(matrix[number, others] @ np.linalg.solve(matrix[np.ix_(others, others)], matrix[others, number])) if others else 0.0
            )
        except np.linalg.LinAlgError:
            explained = 1.0
        factors[name] = round(1 / (1 - explained), 3) if explained < 1 - 1e-9 else None
    collinear = [pair for pair, r in correlations.items() if abs(r) >= CORRELATED]
    collinear += [name for name, factor in factors.items() if factor is None or factor >= INFLATED]
    return {"correlations": correlations, "vif": factors, "collinear": collinear}


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must be told, in lines."""
    lines = []
    for name in summary.get("collinear", ()):
        if "," in name:
            one, other = name.split(",")
            lines.append(
                f"warning: {one} and {other} are collinear here: their correlation is {summary['correlations'][name]:+.4f}. Their weights cannot be read apart."
            )
        else:
            factor = summary["vif"][name]
            lines.append(
                f"warning: the other indicators explain {name} (variance inflation {'infinite' if factor is None else f'{factor:,.1f}'})."
            )
    return lines


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values whose squares are finite; a correlation is the same at every scale."""
    largest = float(np.abs(values).max(initial=0.0))
    return values / largest if largest > LARGEST else values
