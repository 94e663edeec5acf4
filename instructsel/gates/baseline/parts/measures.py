"""Numbers of each example: lengths, diversity, turns, and the columns of score tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from instructsel.errors import UsageError
from instructsel.gates.baseline.base import Built, Order, Part, Request
from instructsel.gates.measures import COMPUTED, LENGTHS, TOKENS, Columns, computed, of_scores, read_scores, tokenizer_missing

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


class Measures(Part):
    """Numbers of each example; NaN where it has none."""

    name: ClassVar[str] = "measures"
    title: ClassVar[str] = "lengths, diversity, turns, and scores, for limits, drift, quotas and rules"

    def build(self, pool: Pool, request: Request) -> Built:
        """`values`, float64 (n, columns); `columns` and what they were made with beside it.

        Raises:
            UsageError: rows are added to a baseline with scores, and theirs are not named.
            ScoresError: a score table lacks examples.
        """
        tables = [read_scores(str(path)) for path in request.scores]
        of_tables = [(symbol, table) for table in tables for symbol in table.symbols]
        if request.columns is None:
            unavailable = (*LENGTHS, TOKENS) if tokenizer_missing() is not None else ()
            names = [*(symbol for symbol in COMPUTED if symbol not in unavailable), *dict.fromkeys(symbol for symbol, _ in of_tables)]
            names = list(dict.fromkeys(names))
        else:
            names = list(request.columns)
        values: dict[str, Any] = {}
        made_with: dict[str, Any] = {}
        for symbol, table in of_tables:
            if symbol in names:
                # A score table says what its column was made with; where it has one that is computed here, too, it counts.
                columns = of_scores(table, pool.ids, [symbol])
                values |= columns.values
                made_with |= columns.made_with
        missing = [symbol for symbol in names if symbol not in values and symbol not in COMPUTED]
        if missing:
            raise UsageError(
                f"The baseline has scores of {', '.join(missing)}, and those of the new rows are not named.",
                fix="Score them, and name the table: --scores NEW.scores.parquet",
            )
        computed_here: Columns = computed(pool, [symbol for symbol in names if symbol not in values])
        values |= computed_here.values
        made_with |= computed_here.made_with
        matrix = np.column_stack([values[symbol] for symbol in names]) if len(pool) else np.zeros((0, len(names)))
        matrix[np.isnan(matrix)] = np.nan
        return Built({"values": matrix}, {"columns": names, "made_with": {name: made_with[name] for name in names if name in made_with}})

    def merged(self, first: Built, second: Built, order: Order) -> Built:
        """The rows of both, whose columns are the same.

        Raises:
            UsageError: they were made with different models.
        """
        differing = [name for name in first.about["columns"] if _made(first, name) != _made(second, name)]
        if differing:
            raise UsageError(
                f"The new rows were scored with other models than the baseline's: {', '.join(differing)}.",
                fix="Score them with the same models, or make the baseline again.",
            )
        return super().merged(first, second, order)

    def request_of(self, about: Mapping[str, Any], request: Request) -> Request:
        """The same columns."""
        return replace(request, columns=tuple(about["columns"]))


def _made(built: Built, name: str) -> Any:
    made_with: Mapping[str, Any] = built.about["made_with"]
    return made_with.get(name)
