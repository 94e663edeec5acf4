"""Settings of a check that are lists, as a file writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.errors import UsageError
from instructsel.gates.config import GateConfig


def test_a_list_of_any_length_is_read_as_one_and_nothing_else_is() -> None:
    (configured,) = GateConfig.of({"check": [{"kind": "contamination", "sets": ["a.jsonl", "b.jsonl"]}]}, Path(), where="gate.toml").checks
    assert configured.check.sets == ("a.jsonl", "b.jsonl")  # type: ignore[attr-defined]
    for wrong in ("a.jsonl", [1]):
        with pytest.raises(UsageError, match="sets"):
            GateConfig.of({"check": [{"kind": "contamination", "sets": wrong}]}, Path(), where="gate.toml")
