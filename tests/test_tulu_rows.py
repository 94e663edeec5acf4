"""The page of what of Tülu is covered names tests that are there, and every row once."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "tulu.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \| .+ \| (.+) \|$", flags=re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = {"D": 11, "F": 4, "T": 3, "E": 6, "A": 4, "S": 2, "H": 4, "C": 2, "I": 3, "P": 1}
"""Letter → rows, numbered from 1."""


def rows() -> list[tuple[str, list[tuple[str, str]]]]:
    return [(row, NAMED.findall(tests)) for row, tests in ROW.findall(PAGE.read_text(encoding="utf-8"))]


def test_every_row_is_there_once_and_has_a_test() -> None:
    numbers = [row for row, _ in rows()]
    assert sorted(numbers) == sorted(f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1))
    assert all(tests for _, tests in rows())


def test_every_test_that_a_row_names_is_there() -> None:
    functions: dict[str, set[str]] = {}
    for row, tests in rows():
        for file, name in tests:
            if file not in functions:
                tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
                functions[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in functions[file], (row, file, name)
