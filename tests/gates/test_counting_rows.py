"""Rows that hold several examples are counted as rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructsel import GateConfig, Pool, gate

INSTANCES = {"instruction": "Name a lake.", "instances": [{"input": "In Italy", "output": ""}, {"input": "In France", "output": " "}]}
GOOD = {"instruction": "Name a river.", "instances": [{"input": "", "output": "The Loire."}]}


@pytest.mark.parametrize("mode", ["pull-request", "nightly"])
def test_a_row_whose_examples_all_have_a_finding_is_one_row_of_its_share(mode: str) -> None:
    table: dict[str, Any] = {"mode": mode, "check": [{"kind": "empty-response", "max_rate": 0.5}]}
    verdict = gate(Pool.of([INSTANCES, GOOD]), GateConfig.of(table, Path(), where="gate.toml"))
    (result,) = verdict.results
    assert len(result.findings) == 2 and result.state == "passed"
    assert result.limits[0].value == 0.5 and result.statement.startswith("1 of 2 rows")
