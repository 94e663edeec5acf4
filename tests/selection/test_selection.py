"""Selection: every row accounted for, in the order the rule says, whatever order they came in."""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from instructsel.errors import (
    IndexTooSmall,
    ModelMismatch,
    ModelUnavailable,
    NothingToDo,
    ScoresError,
    TooManyBadRows,
    TooManyNulls,
    UsageError,
)
from instructsel.pool.pool import Pool
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Count, Fraction, Tokens
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.selection.summary import INSIDE, OVER_THE_POOL

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
Make = Callable[..., Any]
Scored = Any
"""As tests/scored_pool.py makes it: pool, table, neighbors, words."""

EQ4 = load("eq4")
LESS = load("eq4-without-reward")
LONGEST = load("longest")


def prose(seed: int, words: int) -> str:
    """Random words that no other seed repeats."""
    source = np.random.default_rng(seed)
    return " ".join(f"t{seed}x{source.integers(1000)}" for _ in range(words))


def rows(count: int, start: int = 0, words: int = 20) -> list[tuple[str, str]]:
    return [(f"question {i}", prose(i, words + i % 7)) for i in range(start, start + count)]


def by_question(chosen: Selection, scored: Scored) -> dict[str, dict[str, Any]]:
    return {example.instruction: chosen.explain(example.id) for example in scored.pool.examples()}


def reasons(chosen: Selection) -> Counter[str | None]:
    return Counter(chosen.frame["reason"].to_list())


def test_the_kept_rows_are_those_with_the_lowest_values(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=50)
    expected = {}
    for i, name in enumerate(varied.pool.ids):
        rew, length, knn = (varied.table.values(symbol)[0][i] for symbol in ("rew", "len", "knn_6"))
        expected[name] = 1.0694 - 0.1498 * rew + 8.257e-5 * length - 0.9350 * knn
    ranked = sorted(expected, key=lambda name: (expected[name], name))
    assert list(chosen.kept_ids) == ranked[:50]
    assert dict(zip(chosen.frame["id"], chosen.frame["score"], strict=True)) == pytest.approx(expected, abs=1e-12)
    assert chosen.frame.filter(pl.col("rank") == 1)["id"].item() == ranked[0]
    assert reasons(chosen) == {None: 50, "below_budget": 150}
    assert chosen.frame["id"].to_list() == varied.pool.ids
    parts = sum(chosen.frame[f"{symbol}_contribution"] for symbol in EQ4.indicators) + 1.0694
    assert parts.to_list() == pytest.approx(chosen.frame["score"].to_list(), abs=1e-12)


def test_ties_go_by_id(make: Make) -> None:
    scored = make({"pool": [(f"q{i}", f"answer{i}") for i in range(30)]})
    assert list(select(scored.pool, scored.table, LONGEST, budget=10).kept_ids) == scored.pool.ids[:10]


def test_every_row_is_kept_or_has_a_reason(make: Make) -> None:
    copy = " ".join(f"word{i}" for i in range(60))
    files = {
        "one": [*rows(40), ("question 0", prose(0, 20)), ("near", copy), ("near", f"{copy} more")],
        "two": [("empty", ""), *rows(10, 100)],
    }
    scored = make(files, nulls={"knn_6": {"empty": "empty_response"}, "len": {"empty": "empty_response"}})
    chosen = select(scored.pool, scored.table, LESS, budget=20, quotas={"two": 3}, neighbors=scored.neighbors)
    counts = reasons(chosen)
    assert counts[None] == 20
    assert counts["exact_duplicate"] == 1
    assert counts["near_duplicate"] == 1
    assert counts["unscored:len:empty_response"] == 1
    assert counts.total() == len(scored.pool) == chosen.summary["read"]
    assert chosen.summary["kept"] + sum(chosen.summary["dropped"].values()) == chosen.summary["read"]
    twin = chosen.frame.filter(pl.col("reason") == "exact_duplicate")
    assert twin["id"].item() == twin["duplicate_of"].item() + ".1"
    assert twin["rank"].to_list() == twin["score"].to_list() == [None]
    repeated = chosen.frame.filter(pl.col("reason") == "near_duplicate")
    better = chosen.explain(repeated["duplicate_of"].item())
    assert better["rank"] < repeated["rank"].item()
    assert better["score"] <= repeated["score"].item()
    assert chosen.summary["composition"]["two"]["kept"] <= 3


def test_duplicates_stay_when_asked(make: Make) -> None:
    scored = make({"pool": [*rows(10), *rows(10)]})
    both = select(scored.pool, scored.table, LONGEST, budget=20, keep_exact_duplicates=True, near_duplicate_threshold=None)
    assert reasons(both) == {None: 20}
    # Equal rows are near-duplicates of one another as well.
    repeated = select(scored.pool, scored.table, LONGEST, budget=20, keep_exact_duplicates=True)
    assert reasons(repeated) == {None: 10, "near_duplicate": 10}


def test_the_lowest_of_many_equal_occurrences_stays(make: Make) -> None:
    scored = make({"pool": [("same question", "same answer")] * 12 + rows(10)})
    chosen = select(scored.pool, scored.table, LONGEST, budget=30)
    same = chosen.frame.filter(pl.col("duplicate_of").is_not_null())
    assert same.height == 11
    assert same["duplicate_of"].unique().to_list() == [next(name for name in scored.pool.ids if f"{name}.11" in scored.pool.ids)]


def test_knn_is_computed_anew_over_the_rows_that_remain(make: Make) -> None:
    scored = make({"pool": [*rows(30), *rows(30), *rows(30)]})
    chosen = select(scored.pool, scored.table, LESS, budget=30, neighbors=scored.neighbors)
    first = np.array([i for i, name in enumerate(scored.pool.ids) if "." not in name])
    expected = dict(zip(first.tolist(), (-0.9350 * scored.neighbors(first, 6)).tolist(), strict=True))
    assert chosen.summary["recomputed"] == ["knn_6"]
    assert {i: chosen.frame["knn_6_contribution"][i] for i in first.tolist()} == pytest.approx(expected)
    # Over the pool with its triplicates the sixth neighbor is nearer.
    before = scored.table.values("knn_6")[0][first]
    assert (before < scored.neighbors(first, 6)).all()


def test_without_a_neighbor_search_the_tables_values_stand_only_where_no_row_was_removed(make: Make) -> None:
    scored = make({"pool": rows(20)})
    assert select(scored.pool, scored.table, LESS, budget=5).summary["recomputed"] == []
    with_twin = make({"pool": [*rows(20), *rows(1)]})
    with pytest.raises(UsageError, match="knn_6 has to be computed anew over the 20 others"):
        select(with_twin.pool, with_twin.table, LESS, budget=5)
    assert len(select(with_twin.pool, with_twin.table, LONGEST, budget=5)) == 5


def test_too_few_rows_for_the_sixth_neighbor_are_refused(make: Make) -> None:
    scored = make({"pool": rows(6) * 3})
    with pytest.raises(IndexTooSmall, match="at least 7 examples; 6 remain"):
        select(scored.pool, scored.table, LESS, budget=5, neighbors=scored.neighbors)


def test_a_neighbor_search_that_gives_nonsense_is_refused(make: Make) -> None:
    scored = make({"pool": [*rows(20), *rows(1)]})
    for broken in (lambda positions, i: np.full(len(positions), np.nan), lambda positions, i: np.zeros(3)):
        with pytest.raises(ScoresError, match="neighbor search"):
            select(scored.pool, scored.table, LESS, budget=5, neighbors=broken)


def test_both_predictions_for_the_subset_are_given_and_told_apart(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, LESS, budget=40, neighbors=varied.neighbors)
    selected = np.array(sorted(varied.pool.position(name) for name in chosen.kept_ids))
    length = varied.table.values("len")[0][selected]
    inside = varied.neighbors(selected, 6)
    over_the_pool = 1.0694 + 8.257e-5 * length - 0.9350 * varied.table.values("knn_6")[0][selected]
    assert chosen.summary["inside"]["knn_6"] == {"mean": pytest.approx(inside.mean()), "reason": None}
    assert chosen.summary["rule_score"] == {
        OVER_THE_POOL: pytest.approx(over_the_pool.mean()),
        INSIDE: pytest.approx((1.0694 + 8.257e-5 * length - 0.9350 * inside).mean()),
    }
    assert chosen.summary["rule_score"][INSIDE] < chosen.summary["rule_score"][OVER_THE_POOL]
    assert chosen.summary["means"]["len"] == {
        "ranked": pytest.approx(varied.table.values("len")[0].mean()),
        "kept": pytest.approx(length.mean()),
    }
    assert "predicted loss" not in str(chosen.manifest)


def test_below_seven_rows_there_is_no_sixth_neighbor_inside_the_subset(varied: Scored) -> None:
    few = select(varied.pool, varied.table, LESS, budget=6, neighbors=varied.neighbors)
    assert few.summary["inside"]["knn_6"] == {"mean": None, "reason": "needs at least 7 examples"}
    assert few.summary["rule_score"][INSIDE] is None
    assert few.summary["rule_score"][OVER_THE_POOL] is not None
    assert select(varied.pool, varied.table, LESS, budget=7, neighbors=varied.neighbors).summary["inside"]["knn_6"]["mean"] > 0
    assert select(varied.pool, varied.table, LESS, budget=7).summary["inside"]["knn_6"]["reason"] == "no neighbor search was given"


def test_shares_of_variance_are_reported(varied: Scored) -> None:
    shares = select(varied.pool, varied.table, EQ4, budget=40).summary["variance_shares"]
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert shares["rew"] > shares["len"]


def test_a_fraction_is_of_the_rows_read(make: Make) -> None:
    scored = make({"pool": [*rows(50), *rows(50)]})
    assert len(select(scored.pool, scored.table, LONGEST, budget=Fraction(0.3))) == 30


def test_a_budget_larger_than_the_pool_keeps_all_and_says_so(make: Make) -> None:
    scored = make({"pool": [*rows(20), *rows(5)]})
    chosen = select(scored.pool, scored.table, LONGEST, budget=Count(1000))
    assert (len(chosen), chosen.shortfall) == (20, 980)
    assert select(scored.pool, scored.table, LONGEST, budget=20).shortfall == 0


def test_tokens_are_filled_in_rank_order_and_rows_that_do_not_fit_are_skipped(make: Make) -> None:
    lengths = {"a": 50, "b": 40, "c": 30, "d": 8, "e": 4}
    scored = make({"pool": [(name, prose(k, length)) for k, (name, length) in enumerate(lengths.items())]})
    # Instruction and response: 51, 41, 31, 9, 5 words. 51 + 9 + 5 of 67; 41 and 31 do not fit.
    chosen = select(scored.pool, scored.table, LONGEST, budget=Tokens(67, "words"), token_counter=scored.words)
    by_name = by_question(chosen, scored)
    assert [by_name[name]["reason"] for name in "abcde"] == [None, "over_budget", "over_budget", None, None]
    assert (chosen.unused_tokens, chosen.summary["used"], chosen.shortfall) == (2, 65, 0)
    exact = select(scored.pool, scored.table, LONGEST, budget=Tokens(60, "words"), token_counter=scored.words)
    by_name = by_question(exact, scored)
    assert [by_name[name]["reason"] for name in "abcde"] == [None, "over_budget", "over_budget", None, "below_budget"]
    assert exact.unused_tokens == 0
    everything = select(scored.pool, scored.table, LONGEST, budget=Tokens(1000, "words"), token_counter=scored.words)
    assert (len(everything), everything.unused_tokens, everything.shortfall) == (5, 863, 863)


def test_quotas_cap_a_source_by_number_or_share_of_the_budget(varied: Scored) -> None:
    for quota in (10, 0.2):
        chosen = select(varied.pool, varied.table, EQ4, budget=50, quotas={"first": quota})
        assert chosen.summary["composition"] == {"first": {"pool": 120, "kept": 10}, "second": {"pool": 80, "kept": 40}}
        assert reasons(chosen)["quota"] > 0
        free = select(varied.pool, varied.table, EQ4, budget=200)
        best = [name for name in free.kept_ids if chosen.explain(name)["source"] == "first"]
        assert set(best[:10]) == {name for name in chosen.kept_ids if chosen.explain(name)["source"] == "first"}
    short = select(varied.pool, varied.table, EQ4, budget=150, quotas={"first": 10})
    assert (len(short), short.shortfall) == (90, 60)
    with pytest.raises(UsageError, match="no source 'third'"):
        select(varied.pool, varied.table, EQ4, budget=50, quotas={"third": 10})


def test_too_many_nulls_end_the_selection_and_are_counted_by_reason(make: Make) -> None:
    nulls = {"len": {f"question {i}": "empty_response" if i % 2 else "no_words" for i in range(6)}}
    scored = make({"pool": rows(100)}, nulls=nulls)
    with pytest.raises(TooManyNulls, match=r"len 6 of 100 \(empty_response: 3, no_words: 3\)") as refused:
        select(scored.pool, scored.table, LONGEST, budget=10)
    assert refused.value.exit_code == 3
    assert reasons(select(scored.pool, scored.table, LONGEST, budget=10, max_null_fraction=0.06))["unscored:len:no_words"] == 3
    # Nulls in an indicator the rule does not use are none of its business.
    assert len(select(scored.pool, scored.table, load("reward-only"), budget=10)) == 10


def test_without_a_counter_the_named_tokenizer_counts(varied: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Counter:
        def __init__(self, name: str) -> None:
            names.append(name)

        count = staticmethod(varied.words)

    monkeypatch.setattr("instructsel.selection.candidates.chat_tokens", Counter)
    chosen = select(varied.pool, varied.table, LONGEST, budget=Tokens(500, "some/tokenizer"))
    assert names == ["some/tokenizer"]
    assert chosen.summary["used"] <= 500
    assert chosen.manifest["settings"]["budget"] == {"kind": "tokens", "n": 500, "tokenizer": "some/tokenizer"}


def test_too_many_quarantined_rows_end_the_selection(make: Make, tmp_path: Path) -> None:
    scored = make({"pool": rows(45)})
    path = tmp_path / "pool.jsonl"
    path.write_text(path.read_text() + "{broken\n" * 5)
    pool = Pool.read(path)
    table = ScoreTable(scored.table.frame, scored.table.manifest | {"pool": {"fingerprint": pool.fingerprint}})
    with pytest.raises(TooManyBadRows, match=r"5 of 50 rows read were quarantined \(invalid_json: 5\)") as refused:
        select(pool, table, LONGEST, budget=5)
    assert (refused.value.exit_code, refused.value.report) == (3, pool.report)
    assert len(select(pool, table, LONGEST, budget=5, max_bad_fraction=0.1)) == 5


def test_a_null_is_never_ranked(make: Make) -> None:
    scored = make({"pool": rows(100)}, nulls={"rew": {"question 3": "not_finite"}})
    chosen = select(scored.pool, scored.table, EQ4, budget=100, neighbors=scored.neighbors)
    row = by_question(chosen, scored)["question 3"]
    assert (row["rank"], row["score"], row["rew_contribution"], row["kept"], row["reason"]) == (
        None,
        None,
        None,
        False,
        "unscored:rew:not_finite",
    )


def test_scores_of_other_models_are_refused_or_said_in_every_output(make: Make, tmp_path: Path) -> None:
    scored = make({"pool": rows(20)}, models={"len": {"tokenizer": {"name": MINILM}}})
    with pytest.raises(ModelMismatch, match="len was scored with sentence-transformers"):
        select(scored.pool, scored.table, EQ4, budget=5)
    chosen = select(scored.pool, scored.table, EQ4, budget=5, allow_mismatch=True)
    assert chosen.manifest["form"] == "Eq. 4's form, substitute models"
    assert chosen.summary["mismatches"][0]["indicator"] == "len"
    chosen.write_sidecar(tmp_path / "s.parquet")
    assert Selection.read(tmp_path / "s.parquet").manifest["form"] == "Eq. 4's form, substitute models"


def test_a_reward_that_was_not_to_be_had_ends_eq4_before_the_models_are_compared(make: Make) -> None:
    nulls = {"rew": {f"question {i}": "model_unavailable" for i in range(20)}}
    scored = make({"pool": rows(20)}, nulls=nulls, models={"rew": {"model": None}})
    with pytest.raises(ModelUnavailable, match="--rule eq4-without-reward"):
        select(scored.pool, scored.table, EQ4, budget=5)
    chosen = select(scored.pool, scored.table, LESS, budget=5)
    assert (chosen.name, chosen.manifest["form"]) == ("eq4-without-reward", "Eq. 4 without its reward term")


def test_scores_of_another_pool_are_refused(make: Make, varied: Scored) -> None:
    other = make({"pool": rows(20, 500)})
    with pytest.raises(UsageError, match="another pool"):
        select(other.pool, varied.table, EQ4, budget=5)
    anonymous = ScoreTable(other.table.frame.head(19), {"indicators": other.table.manifest["indicators"]})
    with pytest.raises(UsageError, match="1 of the pool's 20 rows has no scores"):
        select(other.pool, anonymous, EQ4, budget=5)
    more = ScoreTable(varied.table.frame, {"indicators": {}})
    with pytest.raises(UsageError, match="20 of the pool's 20 rows"):
        select(other.pool, more, LONGEST, budget=5)


def test_a_pool_with_nothing_to_rank_ends_with_its_own_code(make: Make) -> None:
    nulls = {"len": {f"question {i}": "no_words" for i in range(20)}}
    scored = make({"pool": rows(20)}, nulls=nulls)
    with pytest.raises(NothingToDo, match="unscored:len:no_words: 20"):
        select(scored.pool, scored.table, LONGEST, budget=5, max_null_fraction=1)


def test_clipping_is_off_by_default_and_written_down_when_on(varied: Scored) -> None:
    unclipped = select(varied.pool, varied.table, EQ4, budget=20, neighbors=varied.neighbors)
    clipped = select(varied.pool, varied.table, EQ4, budget=20, clip=True, neighbors=varied.neighbors)
    assert unclipped.manifest["settings"]["clip"] is None
    low, high = clipped.manifest["settings"]["clip"]["rew"]
    assert clipped.frame["rew_contribution"].min() == pytest.approx(-0.1498 * high)
    assert clipped.frame["rew_contribution"].max() == pytest.approx(-0.1498 * low)
    assert (unclipped.frame["rew_contribution"].min() or 0) < (clipped.frame["rew_contribution"].min() or 0)
    # The subset's own value is clipped to the pool's percentiles, not to those of the subset.
    selected = np.array(sorted(varied.pool.position(name) for name in clipped.kept_ids))
    limits = clipped.manifest["settings"]["clip"]
    columns = {
        "rew": varied.table.values("rew")[0][selected],
        "len": varied.table.values("len")[0][selected],
        "knn_6": varied.neighbors(selected, 6),
    }
    inside = 1.0694 + sum(term.weight * np.clip(columns[term.indicator], *limits[term.indicator]) for term in EQ4.terms)
    assert clipped.summary["rule_score"][INSIDE] == pytest.approx(inside.mean())


def test_the_order_of_files_and_rows_makes_no_difference(make: Make, tmp_path: Path) -> None:
    copy = " ".join(f"word{i}" for i in range(60))
    several = [*rows(60), *rows(5), ("near", copy), ("near", f"{copy} more"), ("near", f"{copy} still more")]
    sidecars = []
    for seed in range(3):
        shuffled = random.Random(seed).sample(several, len(several))
        scored = make({"pool": shuffled})
        chosen = select(scored.pool, scored.table, EQ4, budget=30, neighbors=scored.neighbors)
        chosen.write_sidecar(tmp_path / f"{seed}.parquet", run={"seed": seed})
        sidecars.append(Selection.read(tmp_path / f"{seed}.parquet"))
        places = [scored.pool.locate(position) for position in range(len(scored.pool))]
        assert sidecars[-1].frame["line"].to_list() == [lines[0] for _, lines in places]
    # Lines are where a row stands, and nothing else depends on it.
    assert sidecars[0].manifest == sidecars[1].manifest == sidecars[2].manifest
    assert all(sidecar.frame.drop("line").equals(sidecars[0].frame.drop("line")) for sidecar in sidecars)


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
def test_the_sidecar_comes_back_as_it_was_written(varied: Scored, tmp_path: Path, name: str) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=20, quotas={"first": 5}, neighbors=varied.neighbors)
    chosen.write_sidecar(tmp_path / name)
    read = Selection.read(tmp_path / name)
    assert read.frame.equals(chosen.frame)
    assert read.frame.schema == chosen.frame.schema
    assert read.kept_ids == chosen.kept_ids
    assert (read.name, read.summary, read.manifest) == (chosen.name, chosen.summary, chosen.manifest)


def test_a_score_table_is_no_selection(varied: Scored, tmp_path: Path) -> None:
    varied.table.write(tmp_path / "a.parquet")
    with pytest.raises(ScoresError, match="holds scores"):
        Selection.read(tmp_path / "a.parquet")


def test_the_kept_part_of_the_pool_can_be_taken(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=20)
    part = chosen.of(varied.pool)
    assert len(part) == 20
    assert set(part.ids) == set(chosen.kept_ids)


def test_every_row_of_a_large_pool_is_selected_or_dropped_with_a_reason(shared_data: Path) -> None:
    pool = Pool.read(shared_data / "pools" / "alpaca.jsonl.zst")
    source = np.random.default_rng(0)
    silent: list[None] = [None] * len(pool)
    table = ScoreTable.from_columns(
        pool.ids,
        {"len": (source.integers(1, 300, len(pool)).astype(float), silent), "knn_6": (source.uniform(0, 1.2, len(pool)), silent)},
        {"pool": {"fingerprint": pool.fingerprint}, "indicators": {"len": {"tokenizer": {"name": MINILM}}}},
    )
    chosen = select(pool, table, LESS, budget=2000, allow_mismatch=True)
    assert len(chosen) == 2000
    assert chosen.summary["read"] == 52_002 == 2000 + sum(chosen.summary["dropped"].values())


def test_a_budget_above_the_pool_warns(make: Make) -> None:
    scored = make({"pool": rows(20)})
    with pytest.warns(UserWarning, match="The budget of 2,000 examples takes every row that may be kept, 20 of 20"):
        assert len(select(scored.pool, scored.table, LONGEST, budget=2000)) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        select(scored.pool, scored.table, LONGEST, budget=1.0)
        select(scored.pool, scored.table, LONGEST, budget=20)


def test_a_selection_of_no_row_is_refused(make: Make) -> None:
    scored = make({"pool": rows(20)})
    with pytest.raises(NothingToDo, match="the quota pool=30% of 2 examples is 0"):
        select(scored.pool, scored.table, LONGEST, budget=2, quotas={"pool": 0.3})
    with pytest.raises(NothingToDo, match="none fits the budget of 3 tokens of words"):
        select(scored.pool, scored.table, LONGEST, budget=Tokens(3, "words"), token_counter=scored.words)


def test_a_selection_and_a_rule_show_themselves_in_one_line(make: Make) -> None:
    scored = make({"pool": rows(20)})
    chosen = select(scored.pool, scored.table, LONGEST, budget=5)
    assert repr(chosen) == "Selection(longest: 5 of 20 examples kept, 15 dropped)"
    assert "<td>below_budget</td><td>15</td>" in chosen._repr_html_()
    assert repr(EQ4) == "LinearRule(eq4: 1.0694 - 0.1498 rew + 8.257e-05 len - 0.935 knn_6)"
