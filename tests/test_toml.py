"""TOML as we write it: read back equal, nothing written that TOML readers would take for something else."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from instructsel import toml
from instructsel.errors import UsageError


def test_toml_of_any_text_reads_back() -> None:
    data: dict[str, Any] = {
        "text": 'quotes " and \\ and\nlines\r\n\ttabs \x00\x1f\x7f, ü, 漢, 🙂',
        "number": -1.5e-12,
        "integer": 3,
        "yes": True,
        "list": [],
        "names": [{"name": "a", "digest": "b"}, {"name": "c"}],
        "long": ["x" * 60, "y" * 60],
        "a key with spaces": "x",
        "table": {"inner": {"empty": {}}, "scalar": 1.0},
        "tables": [{"a": 1, "deep": {"b": 2}}, {"a": 2}],
    }
    assert tomllib.loads(toml.dumps(data | {"absent": None, "table": data["table"] | {"absent": None}})) == data
    assert toml.dumps({"pair": (1, 2)}) == toml.dumps({"pair": [1, 2]})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(number: float) -> None:
    for data in ({"x": number}, {"x": [1.0, number]}, {"x": [{"y": {"z": number}}]}):
        with pytest.raises(UsageError, match="finite"):
            toml.dumps(data)


@pytest.mark.parametrize("value", [{1}, b"bytes", object(), [None]])
def test_what_toml_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="A TOML file holds"):
        toml.dumps({"x": value})
