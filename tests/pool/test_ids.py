"""Ids are a sequence of texts that behaves as a list of them, and takes no memory of its own."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import polars as pl
import pytest

from instructsel import Pool
from instructsel.artifact import dump_json, fingerprint
from instructsel.errors import UnknownExample
from instructsel.pool.ids import PIECE, Ids


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Thirty different examples, one of them twelve times over."""
    rows = [{"instruction": f"Say {number}.", "output": f"{number}."} for number in range(30)]
    return Pool.of(rows + rows[:1] * 11)


@pytest.fixture(scope="module")
def texts(pool: Pool) -> list[str]:
    """The same ids as texts."""
    return [
        f"{int(high):016x}{int(low):016x}" + (f".{number}" if number else "")
        for (high, low), number in zip(pool.digests, pool.occurrences.tolist(), strict=True)
    ]


def test_ids_are_a_list_of_texts_to_whoever_reads_them(pool: Pool, texts: list[str]) -> None:
    ids = pool.ids
    assert list(ids) == texts == sorted(texts) and len(ids) == 41
    assert ids == texts and texts == ids and ids == tuple(texts) and ids != texts[1:] and ids != [*texts[:-1], "x"] and ids != "x"
    assert [ids[n] for n in range(41)] == texts and ids[-1] == texts[-1] and list(reversed(ids)) == texts[::-1]
    assert (
        ids[3:9] == texts[3:9]
        and ids[::-1] == texts[::-1]
        and ids[5:] + ["x"] == [*texts[5:], "x"]
        and ["x"] + ids[:2] == ["x", *texts[:2]]
    )
    assert set(ids) == set(texts) and {ids: 1}[pool.ids] == 1 and hash(ids) == hash(tuple(texts))
    with pytest.raises(IndexError):
        ids[41]
    assert all(name in ids for name in texts) and "x" not in ids and texts[0][:10] not in ids and 3 not in ids
    assert [ids.index(name) for name in texts] == list(range(41)) and ids.count(texts[4]) == 1 and ids.count("x") == 0
    with pytest.raises(ValueError, match="not one of the ids"):
        ids.index("0" * 32)
    with pytest.raises(ValueError, match="not one of the ids"):
        ids.index(texts[3], 4)
    assert repr(ids).startswith(f"['{texts[0]}', ") and repr(ids).endswith("41 ids]") and repr(ids[:1]) == f"['{texts[0]}']"


def test_ids_are_pickled_and_written_as_the_texts_that_they_are(pool: Pool, texts: list[str]) -> None:
    assert pickle.loads(pickle.dumps(pool.ids)) == texts
    assert dump_json(pool.ids) == dump_json(texts) and fingerprint([pool.ids, 3]) == fingerprint([texts, 3])
    with pytest.raises(TypeError):
        dump_json(object())


def test_a_column_of_ids_is_one_of_their_texts(pool: Pool, texts: list[str]) -> None:
    column = pool.ids.series()
    assert column.dtype == pl.String and column.name == "id" and column.to_list() == texts
    assert pool.ids.equals(column) and not pool.ids.equals(column.reverse()) and not pool.ids.equals(column[1:])
    assert pool.ids[:0].series().dtype == pl.String and list(pool.ids[:0]) == []


def test_ids_that_are_looked_up_together_stand_where_each_alone_does(pool: Pool, texts: list[str]) -> None:
    names = [*texts[::-1], texts[5], "x", "", texts[0][:20], texts[0].partition(".")[0] + ".99", "f" * 32, "0" * 32]
    positions = list(pool.ids.positions(names))
    assert positions == [texts.index(name) if name in texts else -1 for name in names]
    assert pool.positions([texts[7], "line:1", texts[7][:12] if "." not in texts[7] else texts[7]]).tolist()[0] == 7
    assert list(pool.ids.at([4, 0, 4])) == [texts[4], texts[0], texts[4]]
    assert pool.take(texts[3:7]).ids == texts[3:7]
    with pytest.raises(UnknownExample, match="No example has the id"):
        pool.positions(["nobody"])


def test_ids_of_more_than_one_piece_are_those_of_their_pieces() -> None:
    rng = np.random.default_rng(1)
    digests = rng.integers(0, 1 << 63, (PIECE + 40, 2), dtype=np.uint64)
    digests = digests[np.lexsort((digests[:, 1], digests[:, 0]))]
    ids = Ids(digests, np.zeros(len(digests), dtype=np.uint32))
    texts = list(ids)
    assert len(set(texts)) == PIECE + 40 and texts == [ids[n] for n in range(len(ids))] == ids.series().to_list()
    drawn = rng.permutation(len(ids))
    assert list(ids.positions(texts[n] for n in drawn)) == drawn.tolist() and list(ids.at(drawn)) == [texts[n] for n in drawn]


def test_sources_are_counted_without_a_list_of_them(pool: Pool) -> None:
    assert pool.source_counts == dict(Counter(pool.sources)) == {"memory": 41}
    by_field = Pool.of([{"instruction": "a", "output": "b", "s": name} for name in "xyx"], source_field="s")
    assert by_field.source_counts == {"x": 2, "y": 1}
