"""Indicators that say the same thing are named."""

from __future__ import annotations

import numpy as np
import pytest

from instructsel.rules import catalog
from instructsel.rules.collinearity import collinearity, warnings
from instructsel.scores.table import ScoreTable


def test_two_indicators_that_are_nearly_one_are_named_with_their_correlation() -> None:
    drawn = np.random.default_rng(0)
    nat = drawn.random(300)
    columns = {"nat": nat, "und": nat + 0.1 * drawn.random(300), "coh": drawn.random(300)}
    found = collinearity(columns)
    assert found["correlations"]["nat,und"] == pytest.approx(np.corrcoef(columns["nat"], columns["und"])[0, 1], abs=1e-6)
    reference = np.diag(np.linalg.inv(np.corrcoef(np.array(list(columns.values())))))
    assert list(found["vif"].values()) == pytest.approx(reference.tolist(), rel=1e-3)
    assert found["collinear"] == ["nat,und", "nat", "und"]
    assert "nat and und are collinear here: their correlation is +0.99" in warnings(found)[0]


def test_independent_constant_and_few_columns_are_no_warning() -> None:
    drawn = np.random.default_rng(0)
    assert not warnings(collinearity({"a": drawn.random(200), "b": drawn.random(200), "c": np.ones(200)}))
    assert collinearity({"a": np.ones(2), "b": np.ones(2)})["collinear"] == []
    assert collinearity({"a": drawn.random(9), "b": 1 - drawn.random(9)})["collinear"] == []


def test_a_copy_has_an_infinite_factor() -> None:
    values = np.random.default_rng(0).random(50)
    found = collinearity({"a": values, "b": 2 * values + 1})
    assert found["vif"] == {"a": None, "b": None} and "infinite" in " ".join(warnings(found))


@pytest.mark.parametrize(
    ("rew", "und", "nat", "coh", "value"),
    [(0, 1, 1, 1, -0.0037), (-1, 0.95, 0.94, 0.97, 0.005827), (-3.5, 0.2, 0.25, 0.9, -0.073980)],
)
def test_the_second_versions_rule_gives_its_published_values(rew: float, und: float, nat: float, coh: float, value: float) -> None:
    columns = {"rew": rew, "und": und, "nat": nat, "coh": coh}
    table = ScoreTable.from_columns(["0" * 32], {symbol: ([float(number)], [None]) for symbol, number in columns.items()})
    assert catalog.load("instructmining-v2").predict(table).values[0] == pytest.approx(value, abs=1e-6)
