"""The rule for ids is recorded with a pool, and records of an earlier rule are refused in these words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from instructsel.errors import UsageError
from instructsel.pool.example import ID_RULE
from instructsel.pool.pool import Pool
from instructsel.pool.spec import PoolSpec
from instructsel.scores.merge import check_same

CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "get_tide", "arguments": "{}"}}]}


def test_a_record_of_a_pool_names_the_rule_of_its_ids() -> None:
    pool = Pool.of([{"messages": [{"role": "user", "content": "Tide?"}, CALL]}])
    recorded = pool.spec.as_dict()
    assert recorded["id_rule"] == ID_RULE == 2
    again = PoolSpec.of({"pool": recorded})
    assert again is not None and again.id_rule == 2 and again.reading == pool.spec.reading


@pytest.mark.parametrize(("rule", "words"), [({}, "ids are of rule 1"), ({"id_rule": 2}, "has changed since.")])
def test_scores_by_an_earlier_rule_are_refused_in_these_words(rule: dict[str, int], words: str) -> None:
    pool = Pool.of([{"messages": [{"role": "user", "content": "Tide?"}, CALL]}])
    manifest: dict[str, Any] = {"pool": {"fingerprint": "0" * 32}, "run": {"pool": {"paths": ["/pool.jsonl"], "reading": {}, **rule}}}
    table: Any = SimpleNamespace(manifest=manifest)
    with pytest.raises(UsageError) as caught:
        check_same(table, pool, [], where="pool.scores.parquet")
    assert words in caught.value.message
    assert ("rule 1" in caught.value.message) is not bool(rule)


def test_what_a_trainer_would_tell_apart_has_another_id() -> None:
    user, answer = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
    tool = {"name": "f"}
    rows: list[dict[str, Any]] = [
        {"messages": [user, answer]},
        {"messages": [user, {**answer, "reasoning_content": "Hm."}]},
        {"messages": [{**user, "name": "Ann"}, answer]},
        {"messages": [user, answer, user, {**answer, "weight": 0}]},
        {"messages": [user, answer, user, answer]},
        {"messages": [user, answer], "tools": [tool]},
        {"messages": [user, answer], "tools": [tool, {"name": "g"}]},
        {"messages": [user, answer], "system": "Be brief."},
        {"messages": [user, answer], "context": "Bees fly."},
        {"messages": [user, answer], "options": ["x", "y"]},
        {"messages": [user, {**answer, "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}]},
        {"messages": [user, {**answer, "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 2}}}]}]},
    ]
    ids = Pool.of(rows).ids
    assert len(set(ids)) == len(rows) and not any("." in name for name in ids)
