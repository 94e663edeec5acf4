"""Digests are of the same bytes in however many pieces the ids are looked at."""

from __future__ import annotations

import pytest

from instructsel.pool import pool as pools
from instructsel.pool.pool import Pool
from instructsel.scores import table as tables
from instructsel.scores.table import ScoreTable

ROWS = [{"instruction": f"Say {number // 2}.", "output": "It is."} for number in range(40)]


def test_ids_and_digests_do_not_depend_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Pool.of(ROWS)
    table = ScoreTable.from_columns(whole.ids, {"len": ([2.0] * 40, [None] * 40)})
    expected = whole.ids, whole.fingerprint, table.fingerprint
    for size in (1, 7, 40):
        monkeypatch.setattr(pools, "PIECE", size)
        monkeypatch.setattr(tables, "PIECE", size)
        pool = Pool.of(ROWS)
        again = ScoreTable.from_columns(pool.ids, {"len": ([2.0] * 40, [None] * 40)})
        assert (pool.ids, pool.fingerprint, again.fingerprint) == expected
