"""The hand-off to TRL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsel import Pool
from instructsel.adapters import to_trl


def test_trl_gets_prompts_and_completions_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    turns = [("user", "Weather?"), ("function_call", "{}"), ("tool", "rain"), ("assistant", "It rains."), ("user", "Thanks")]
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in turns], "extra": 1},
        {"messages": [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}], "extra": 2},
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(tmp_path / "pool.jsonl")
    found = to_trl(pool)
    assert found.column_names == ["prompt", "completion"] and len(found) == 2
    by_length = sorted(found, key=lambda row: len(row["prompt"]))
    assert by_length[0] == {"prompt": [{"role": "user", "content": "1+1"}], "completion": [{"role": "assistant", "content": "2"}]}
    assert [turn["role"] for turn in by_length[1]["prompt"]] == ["user", "assistant", "tool"]
    assert by_length[1]["completion"] == [{"role": "assistant", "content": "It rains."}]
