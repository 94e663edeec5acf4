"""Designs: exact sizes, largest remainders, draws that nothing else has a part in, bins, and refusals."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import StudyError, UnknownIndicator, UsageError
from instructsel.pool.pool import Pool
from instructsel.scores.table import ScoreTable
from instructsel.study import design as module
from instructsel.study.design import Bins, Design, Mixtures, apportion, table_rows


def made(tmp_path: Path, **sources: int) -> list[Path]:
    """A file a source with so many rows."""
    paths = []
    for source, count in sources.items():
        path = tmp_path / f"{source}.jsonl"
        rows = [{"instruction": f"Ask {source} {number}", "response": f"Answer {number}"} for number in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    return paths


@dataclass(frozen=True)
class Labelled:
    """What a design looks at of a pool: ids in order, and sources."""

    ids: list[str]
    sources: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def pool_of(**sources: int) -> Any:
    labels = [source for source, count in sources.items() for _ in range(count)]
    return Labelled([f"{number:04d}" for number in range(len(labels))], labels)


def scored(pool: Any, values: list[float | None], symbol: str = "len") -> ScoreTable:
    return ScoreTable.from_columns(pool.ids, {symbol: (values, [None if value is not None else "empty" for value in values])})


@pytest.mark.parametrize(
    ("parts", "rows", "counts"),
    [
        # 3.5, 2.1, 1.4: six are given out, the seventh goes to .5
        ({"a": 5, "b": 3, "c": 2}, 7, {"a": 4, "b": 2, "c": 1}),
        # 10/3 each: one is left, of equal remainders the first by name has it
        ({"c": 1, "b": 1, "a": 1}, 10, {"a": 4, "b": 3, "c": 3}),
        # 0.6, 0.6, 0.8: none is whole, two are left, c has the largest, a the first name
        ({"a": 3, "b": 3, "c": 4}, 2, {"a": 1, "b": 0, "c": 1}),
        ({"a": 7}, 2000, {"a": 2000}),
        ({"a": 0, "b": 5}, 3, {"a": 0, "b": 3}),
    ],
)
def test_shares_are_rounded_by_largest_remainder(parts: dict[str, int], rows: int, counts: dict[str, int]) -> None:
    assert apportion(parts, rows) == counts


@given(
    st.lists(st.integers(60, 90), min_size=1, max_size=6),
    st.integers(1, 60),
    st.integers(0, 2**40),
)
@settings(max_examples=60, deadline=None)
def test_every_mixture_has_exactly_its_size_and_no_row_twice(sizes: list[int], rows: int, seed: int) -> None:
    pool = pool_of(**{f"s{number}": size for number, size in enumerate(sizes)})
    for subset in Mixtures(n=2, rows=rows, seed=seed).subsets(pool):
        assert len(subset) == len(set(subset.ids)) == sum(subset.counts.values()) == rows
        assert list(subset.ids) == sorted(subset.ids)
        assert sum(subset.shares.values()) == pytest.approx(1) == sum(subset.drawn.values())
        drawn = Counter(pool.sources[pool.ids.index(name)] for name in subset.ids)
        assert {source: drawn[source] for source in subset.counts} == subset.counts
        # Largest remainder is within one of the exact share.
        assert all(abs(subset.drawn[source] * rows - count) < 1 for source, count in subset.counts.items())


def test_shares_of_a_source_are_spread_as_uniform_ones_divided_by_their_sum() -> None:
    shares = [subset.drawn["a"] for subset in Mixtures(n=800, rows=1, seed=0).subsets(pool_of(a=9, b=9))]
    # u / (u + v) of two uniforms: mean 1/2, and P(share < 1/3) = P(v > 2u) = 1/4
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.mean(np.array(shares) < 1 / 3) == pytest.approx(0.25, abs=0.05)


def test_a_source_smaller_than_its_share_has_the_shares_drawn_again_and_counted() -> None:
    pool = pool_of(large=50, small=3)
    subsets = Mixtures(n=40, rows=20, seed=1).subsets(pool)
    assert all(subset.counts["small"] <= 3 for subset in subsets)
    assert all(len(subset) == 20 for subset in subsets)
    # A share of at most 3.5 of 20 has probability 0.175 / 0.825 / 2 = 0.106: on average 8.4 draws go before it.
    assert 4 < np.mean([subset.redraws for subset in subsets]) < 14
    assert {subset.redraws for subset in Mixtures(n=40, rows=3, seed=1).subsets(pool)} == {0}


def test_a_mixture_that_cannot_be_drawn_names_the_source_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 50)
    with pytest.raises(StudyError, match=r"mix-000 could not be drawn in 50 tries: tiny has 1 row,") as found:
        Mixtures(n=2, rows=1001, seed=1).subsets(pool_of(large=1000, tiny=1))
    assert found.value.fix is not None and "leave tiny out of the sources" in found.value.fix


def test_one_source_gives_plain_random_subsets() -> None:
    first, second = Mixtures(n=2, rows=5).subsets(pool_of(only=20))
    assert first.counts == second.counts == {"only": 5}
    assert first.shares == {"only": 1.0}
    assert first.ids != second.ids


def test_a_pool_smaller_than_a_mixture_is_refused_with_numbers() -> None:
    with pytest.raises(StudyError, match=r"A mixture of 10 rows cannot be drawn: the sources \(a 3, b 4\) have 7 in all"):
        Mixtures(n=1, rows=10, sources=("b", "a")).subsets(pool_of(a=3, b=4, c=100))
    with pytest.raises(StudyError, match="a has 3 in all"):
        Mixtures(n=1, rows=10, sources=("a",)).subsets(pool_of(a=3, b=100))


def test_a_source_that_is_not_there_is_refused_with_the_closest() -> None:
    for part in (Mixtures(n=1, rows=1, sources=("forums",)), Bins("len", k=2, sources=("forums",))):
        pool = pool_of(forum=4)
        with pytest.raises(UsageError, match=r"no source in this pool 'forums'\. Did you mean 'forum'"):
            part.subsets(pool, scored(pool, [1.0] * 4))


def test_a_mixture_does_not_depend_on_the_order_of_files_or_on_other_sources(tmp_path: Path) -> None:
    paths = made(tmp_path, forum=30, manual=30, other=30)
    part = Mixtures(n=6, rows=12, seed=3, sources=("forum", "manual"))
    subsets = part.subsets(Pool.read(*paths))
    assert subsets == part.subsets(Pool.read(*reversed(paths)))
    assert subsets == part.subsets(Pool.read(*paths[:2]))
    lines = paths[0].read_text().splitlines(keepends=True)
    paths[0].write_text("".join(reversed(lines)))
    assert subsets == part.subsets(Pool.read(*paths))


def test_a_mixture_is_the_same_however_many_are_planned_and_another_with_another_seed() -> None:
    pool = pool_of(a=50, b=50)
    ten, hundred = (Mixtures(n=n, rows=20).subsets(pool) for n in (10, 100))
    assert ten == hundred[:10]
    assert ten[7].name == hundred[7].name == "mix-007"
    assert len({subset.digest for subset in hundred}) == 100
    assert Mixtures(n=10, rows=20, seed=1).subsets(pool)[7].ids != ten[7].ids


def test_a_row_more_in_a_source_changes_a_draw_only_by_itself() -> None:
    less, more = pool_of(a=50), pool_of(a=51)
    before, after = (set(Mixtures(n=1, rows=20).subsets(pool)[0].ids) for pool in (less, more))
    assert after == before or (after - before == {"0050"} and len(before - after) == 1)


def test_equal_examples_are_drawn_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "Ask", "response": "Answer"}\n' * 3)
    pool = Pool.read(path)
    (subset,) = Mixtures(n=1, rows=3).subsets(pool)
    assert [name.partition(".")[2] for name in subset.ids] == ["", "1", "2"]
    assert subset.positions(pool).tolist() == [0, 1, 2]
    assert len(subset.of(pool)) == 3


def test_bins_are_cut_from_the_highest_to_the_lowest_with_ties_by_id() -> None:
    pool = pool_of(a=4, b=4)
    values = [5.0, 1.0, 5.0, 2.0, None, 9.0, 5.0, 0.0]
    bins = Bins("len", k=3).subsets(pool, scored(pool, values))
    # With a value: 9 (0005), 5 (0000 0002 0006), 2 (0003), 1 (0001), 0 (0007): seven rows in parts of 3, 2, 2.
    assert [set(subset.ids) for subset in bins] == [{"0005", "0000", "0002"}, {"0006", "0003"}, {"0001", "0007"}]
    assert [subset.name for subset in bins] == ["len-bin-0", "len-bin-1", "len-bin-2"]
    assert [subset.counts for subset in bins] == [{"a": 2, "b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 1}]
    assert {(subset.design, subset.indicator, subset.redraws) for subset in bins} == {("bin", "len", 0)}
    only = Bins("len", k=2, sources=("b",)).subsets(pool, scored(pool, values))
    assert [set(subset.ids) for subset in only] == [{"0005", "0006"}, {"0007"}]


@given(st.integers(2, 9), st.lists(st.floats(-5, 5), min_size=9, max_size=40))
@settings(max_examples=40, deadline=None)
def test_bins_hold_every_row_once_and_their_sizes_differ_by_at_most_one(k: int, values: list[float]) -> None:
    pool = pool_of(a=len(values))
    bins = Bins("len", k=k).subsets(pool, scored(pool, list(values)))
    sizes = [len(subset) for subset in bins]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(name for subset in bins for name in subset.ids) == pool.ids
    means = [np.mean([values[int(name)] for name in subset.ids]) for subset in bins]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(means))


def test_bins_can_be_capped_by_a_draw_within_each() -> None:
    pool = pool_of(a=40)
    table = scored(pool, [float(number) for number in range(40)])
    whole, capped = (Bins("len", k=4, rows=rows).subsets(pool, table) for rows in (None, 6))
    assert [len(subset) for subset in capped] == [6] * 4
    assert all(set(part.ids) < set(every.ids) for part, every in zip(capped, whole, strict=True))
    assert Bins("len", k=4, rows=6, seed=1).subsets(pool, table)[0].ids != capped[0].ids


def test_bins_that_cannot_be_cut_are_refused() -> None:
    pool = pool_of(a=10)
    table = scored(pool, [1.0, 2.0, 3.0, *[None] * 7])
    with pytest.raises(StudyError, match="4 bins of len need 4 rows with a value; there are 3"):
        Bins("len", k=4).subsets(pool, table)
    with pytest.raises(StudyError, match="2 bins of len of 2 rows need 4 rows with a value; there are 3"):
        Bins("len", k=2, rows=2).subsets(pool, table)
    with pytest.raises(UnknownIndicator, match=r"no indicator in this table 'lem'\. Did you mean 'len'"):
        Bins("lem", k=2).subsets(pool, table)


def test_scores_in_another_order_or_of_more_rows_fit_and_of_fewer_do_not() -> None:
    pool, wider = pool_of(a=3), pool_of(a=5)
    assert table_rows(pool, scored(wider, [1.0] * 5)).tolist() == [0, 1, 2]
    with pytest.raises(StudyError, match=r"2 of 5 examples of the pool are not in the score table, the first being 0003"):
        table_rows(wider, scored(pool, [1.0] * 3))


def test_a_design_reads_back_as_it_was_written() -> None:
    design = Design([Mixtures(n=3, rows=5, sources=("a", "b")), Bins("knn_6", k=4, rows=2, seed=9)], seeds=[0, 7])
    assert Design.of(json.loads(json.dumps(design.as_dict()))) == design
    for broken in ({}, {"parts": [{"design": "bin"}], "seeds": [0]}, {"parts": [{"design": "other"}], "seeds": [0]}, {"parts": 3}):
        with pytest.raises(StudyError, match="no design"):
            Design.of(broken)


def test_a_design_holds_mixtures_then_bins() -> None:
    pool = pool_of(a=8, b=8)
    subsets = Design([Mixtures(n=2, rows=4), Bins("len", k=2)]).subsets(pool, scored(pool, [float(n) for n in range(16)]))
    assert [(subset.name, subset.design) for subset in subsets] == [
        ("mix-000", "mixture"),
        ("mix-001", "mixture"),
        ("len-bin-0", "bin"),
        ("len-bin-1", "bin"),
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Design([]), "nothing to train on"),
        (lambda: Design([Mixtures(n=1, rows=1)], seeds=[]), "at least one"),
        (lambda: Design([Mixtures(n=1, rows=1)], seeds=[1, 1]), "different numbers"),
        (lambda: Design([Mixtures(n=1, rows=1)], seeds=[-1]), "-1 as a seed of training"),
        (lambda: Design([Mixtures(n=2, rows=1), Mixtures(n=1, rows=9)]), "2 subsets of the design are called mix-000"),
        (lambda: Design([Bins("len", k=2), Bins("len", k=4)]), "called len-bin-0"),
        (lambda: Mixtures(n=0, rows=1), "0 mixtures"),
        (lambda: Mixtures(n=1, rows=0), "0 rows"),
        (lambda: Mixtures(n=1, rows=1, sources=("a", "a")), "once each"),
        (lambda: Mixtures(n=1, rows=1, sources=()), "at least one"),
        (lambda: Mixtures(n=1, rows=1.5), "1.5 rows"),  # type: ignore[arg-type]
        (lambda: Bins("len", k=1), "1 bins"),
        (lambda: Bins("len", rows=0), "0 rows"),
        (lambda: Bins("../len"), "not an indicator's symbol"),
    ],
)
def test_a_design_that_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_a_subset_as_plain_data_says_all_but_its_ids() -> None:
    (subset,) = Mixtures(n=1, rows=4, seed=2).subsets(pool_of(a=8))
    assert subset.as_dict() == {
        "name": "mix-000",
        "design": "mixture",
        "seed": 2,
        "rows": 4,
        "counts": {"a": 4},
        "shares": {"a": 1.0},
        "drawn": {"a": 1.0},
        "redraws": 0,
        "indicator": None,
        "ids": subset.digest,
    }
