"""Our own repository gates its example rows: the planted defects are found, and clean rows pass."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from instructsel import GateConfig, Pool, Verdict, gate
from instructsel.commands import app

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
LEAST: Final = {
    "empty": (4, {"empty-response"}),
    "refusal": (5, {"refusal", "self-reference"}),
    "exact_duplicate": (7, {"exact-duplicate", "near-duplicate"}),
    "near_duplicate": (6, {"near-duplicate"}),
    "truncated": (2, {"cut-off"}),
    "gibberish": (3, {"invisible-text", "cut-off", "repetition", "placeholder", "echo"}),
}
"""Kind of a planted defect → how many rows of it are found at least, and by which checks. A response of another row needs a model."""


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return gate(Pool.read(EXAMPLES / "pool.jsonl"), EXAMPLES / "gate.toml")


def test_the_planted_defects_are_found_and_no_clean_row_is(verdict: Verdict) -> None:
    planted = {row["line"]: row for row in json.loads((EXAMPLES / "pool.key.json").read_text())["rows"]}
    copied = {row["of"] for row in planted.values() if row["of"]}
    kinds_at = defaultdict(set)
    for finding in verdict.findings:
        assert finding.place is not None
        kinds_at[finding.place.line].add(finding.kind)
    counts: dict[str, int] = defaultdict(int)
    for line, row in planted.items():
        # Which of two copies is the first is told by their order in the file.
        lines = {line, row["of"]} - {None}
        expected = LEAST.get(row["kind"], (0, set()))[1]
        counts[row["kind"]] += any(kinds_at[place] & expected for place in lines)
    for kind, (least, _) in LEAST.items():
        assert counts[kind] >= least, (kind, counts)
    assert {line for line, kinds in kinds_at.items() if kinds} <= planted.keys() | copied


def test_the_clean_rows_pass_with_the_same_configuration() -> None:
    config = GateConfig.read(EXAMPLES / "gate.toml")
    assert not gate(Pool.read(EXAMPLES / "clean.jsonl"), config).findings


def test_the_rows_that_are_left_pass_row_checks(verdict: Verdict, tmp_path: Path) -> None:
    clean = tmp_path / "clean.jsonl"
    arguments = ["gate", "--config", str(EXAMPLES / "gate.toml"), "--fix-out", str(clean), "-q"]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    passing, lines = clean.read_bytes().splitlines(), (EXAMPLES / "pool.jsonl").read_bytes().splitlines()
    rejected = {finding.place.line for finding in verdict.findings if finding.severity == "error" and finding.place is not None}
    assert passing == [line for number, line in enumerate(lines, 1) if number not in rejected]
    assert gate(Pool.read(clean), EXAMPLES / "gate.toml").exit_code() == 0
