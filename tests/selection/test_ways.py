"""Ways to select: each makes a selection of its own under every budget and filter, whatever the order of the rows."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import NothingToDo, UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.spec import rows_digest
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.dsir import buckets, log_ratio
from instructsel.selection.baselines.k_center import farthest_first
from instructsel.selection.baselines.random_subset import random_subset
from instructsel.selection.budget import Budget, Count, Fraction, Tokens
from instructsel.selection.candidates import prepare
from instructsel.selection.choose import best, select
from instructsel.selection.minima import parse
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.settings import Changes, SelectionSettings
from instructsel.selection.way import Way
from tests.scored_pool import CountedWords, ShortLosses

WAYS = [name for name in registry.names() if not registry.make(name).needs_selection]


def rows(n: int = 60) -> list[tuple[str, str]]:
    source = random.Random(3)
    words = [f"{'x' * (1 + k % 9)}{k}" for k in range(400)]
    return [(f"question {k}", " ".join(source.choices(words, k=3 + k % 30))) for k in range(n)]


def scored(folder: Path, order: list[int], content: list[tuple[str, str]]) -> tuple[Pool, ScoreTable]:
    folder.mkdir()
    for name, part in (("first", 0), ("second", 1)):
        lines = [json.dumps({"instruction": content[k][0], "output": content[k][1]}) for k in order if k % 2 == part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    pool = Pool.read(folder / "first.jsonl", folder / "second.jsonl")
    examples = list(pool.examples())
    number = [int(example.instruction.split()[1]) for example in examples]
    columns = {
        "len": ([float(len(example.response.split())) for example in examples], [None] * len(pool)),
        "ifd": ([0.4 + 0.8 * (k * 17 % 60) / 60 for k in number], [None] * len(pool)),
        "rew": ([float(k * 7 % 13) for k in number], [None] * len(pool)),
    }
    return pool, ScoreTable.from_columns(pool.ids, columns, spec=pool.spec)


@pytest.fixture
def pool(tmp_path: Path) -> tuple[Pool, ScoreTable]:
    return scored(tmp_path / "pool", list(range(60)), rows())


@pytest.fixture
def target(tmp_path: Path) -> Pool:
    path = tmp_path / "target.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Aim {k}.", "output": "xxxx1 xxxxx2 xx3 " * (k + 1)}) + "\n" for k in range(3)))
    return Pool.read(path)


def chosen(pool: tuple[Pool, ScoreTable], way: Way, budget: Budget, **changes: Any) -> Selection:
    settings = SelectionSettings(budget, **changes)
    counter = lambda examples: [len(example.text.split()) for example in examples]  # noqa: E731
    return best(prepare(*pool, way, settings, vectors=CountedWords(), token_counter=counter))


def way_of(name: str, target: Pool, **changes: Any) -> Way:
    kind = registry.make(name)
    return Way(
        name,
        target=target if kind.needs_target else None,
        encoder=CountedWords() if kind.needs_model else None,
        tuned=CountedWords(0.05) if kind.needs_tuned else None,
        **changes,
    )


@pytest.mark.parametrize("name", WAYS)
def test_a_way_selects_under_every_budget_and_filter_whatever_the_order_of_rows(
    pool: tuple[Pool, ScoreTable], target: Pool, tmp_path: Path, name: str
) -> None:
    order = list(range(60))
    random.Random(1).shuffle(order)
    shuffled = scored(tmp_path / "shuffled", order, rows())
    way = way_of(name, target)
    for budget, changes in (
        (Count(12), {}),
        (Fraction(0.2), {"near_duplicate_threshold": None}),
        (Tokens(150, "words"), {}),
        (Count(12), {"quotas": {"first": 4}, "minima": parse(["len=10%"])}),
        (Count(12), {"max_similarity": 0.8}),
    ):
        selection = chosen(pool, way, budget, **changes)
        assert selection.kept_ids == chosen(shuffled, way, budget, **changes).kept_ids and len(selection)
        manifest, summary = selection.manifest, selection.summary
        assert (manifest["baseline"], manifest["rule"], manifest["form"]) == (name, None, name)
        assert summary["kept"] + sum(summary["dropped"].values()) == summary["read"] == 60
        assert not isinstance(budget, Tokens) or summary["used"] <= 150
        assert "quotas" not in changes or summary["composition"]["first"]["kept"] <= 4
        assert "minima" not in changes or summary["dropped"]["below_minimum:len"] > 0


@pytest.mark.parametrize("name", registry.names())
def test_a_way_has_a_title_a_unit_and_a_source_or_is_none_of_a_paper(name: str) -> None:
    kind = registry.make(name)
    assert kind.title and kind.unit and type(kind).__doc__
    assert kind.source or name in ("random", "length-matched", "reward-only")


@pytest.mark.parametrize("name", WAYS)
def test_a_way_lists_what_it_left_out_and_its_random_baseline_has_the_same_rows_afterwards(
    pool: tuple[Pool, ScoreTable], target: Pool, tmp_path: Path, name: str
) -> None:
    selection = chosen(pool, way_of(name, target, seed=5), Count(9), max_similarity=0.9)
    (drawn,) = registry.baselines(selection, ["random"], seeds=[0])
    assert "max_similarity" not in drawn.manifest["settings"] and "similarity" not in drawn.summary
    written = SelectionSet.create(tmp_path / "c.jsonl", selection, [drawn])
    again = SelectionSet.read(written.path)
    assert [subset.arm for subset in again.subsets] == ["selection", "random"]
    assert again.settings().max_similarity == 0.9
    assert rows_digest(random_subset(again.candidates(), None, 0).ids) == rows_digest(sorted(drawn.kept_ids))


def test_superfiltering_takes_the_highest_ifd_below_1_and_leaves_the_others_out(pool: tuple[Pool, ScoreTable]) -> None:
    values = dict(zip(pool[0].ids, pool[1].values("ifd")[0].tolist(), strict=True))
    selection = select(*pool, Way("superfiltering"), budget=50, near_duplicate_threshold=None)
    below = sorted((value for value in values.values() if value < 1), reverse=True)
    assert [values[name] for name in selection.kept_ids] == below and len(below) < 50
    assert selection.summary["dropped"] == {"unscored:superfiltering:ifd_not_below_1": 60 - len(below)}
    assert selection.shortfall == 50 - len(below)


def test_a_row_that_is_too_similar_to_a_kept_one_is_dropped_and_says_to_which(tmp_path: Path) -> None:
    content = [("question 0", "xx1 xx2 xx3 xx4 xx5 xx6"), ("question 1", "xx1 xx2 xx3 xx4 xx5"), ("question 2", "xxxxxxxxxx1 " * 4)]
    pool = scored(tmp_path / "pool", [0, 1, 2], content)
    way = Way("longest")
    selection = chosen(pool, way, Count(2), max_similarity=0.9, near_duplicate_threshold=None)
    frame = {row["id"]: row for row in selection.frame.to_dicts()}
    by_question = {example.instruction: frame[example.id] for example in pool[0].examples()}
    assert [by_question[f"question {k}"]["reason"] for k in range(3)] == [None, "too_similar", None]
    assert by_question["question 1"]["duplicate_of"] == by_question["question 0"]["id"]
    assert selection.summary["similarity"]["below"] == 0.9
    short = chosen(pool, way, Count(3), max_similarity=0.9, near_duplicate_threshold=None)
    assert (short.shortfall, short.summary["shortfall_reason"]) == (1, "too_similar")
    # What a quota leaves out drops no other row; a quota's least is kept before better rows.
    quota: Changes = {"quotas": {"first": 0}, "near_duplicate_threshold": None}
    assert chosen(pool, way, Count(3), max_similarity=0.9, **quota).kept_ids == (by_question["question 1"]["id"],)


@pytest.mark.parametrize("threshold", [0.0, 1.5, -0.1, float("nan")])
def test_a_similarity_that_cannot_be_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="max_similarity"):
        SelectionSettings(5, max_similarity=threshold)


def test_the_filter_is_greedy_over_the_ranking(pool: tuple[Pool, ScoreTable]) -> None:
    selection = chosen(pool, Way("longest"), Count(20), max_similarity=0.85, near_duplicate_threshold=None)
    order = [row["id"] for row in selection.frame.filter(selection.frame["rank"].is_not_null()).sort("rank").to_dicts()]
    texts = {example.id: example.text for example in pool[0].examples()}
    taken: list[str] = []
    for name in order:
        vectors = CountedWords().encode([texts[name], *(texts[other] for other in taken)]).vectors.astype(float)
        if len(taken) < 20 and (not taken or (vectors[1:] @ vectors[0]).max() < 0.85):
            taken.append(name)
    assert list(selection.kept_ids) == taken and selection.summary["dropped"]["too_similar"] > 0


def test_a_way_that_ranks_no_row_says_why(pool: tuple[Pool, ScoreTable]) -> None:
    rows = pool[0]
    table = ScoreTable.from_columns(rows.ids, {"ifd": ([1.0 + n / 100 for n in range(len(rows))], [None] * len(rows))})
    with pytest.raises(
        NothingToDo, match=rf"superfiltering ranks none of the rows \(.*unscored:superfiltering:ifd_not_below_1 {len(rows)}\)"
    ):
        select(rows, table, Way("superfiltering"), budget=5, keep_exact_duplicates=True)
    with pytest.raises(NothingToDo, match=r"ranks none of the rows"):
        select(rows, table, Way("superfiltering"), budget=5)


@pytest.mark.parametrize("name", [name for name in WAYS if registry.make(name).needs_target])
def test_a_target_that_could_be_selected_is_refused(pool: tuple[Pool, ScoreTable], target: Pool, name: str) -> None:
    way = replace(way_of(name, target), target=pool[0].take(pool[0].ids[:2]))
    with pytest.raises(UsageError, match="2 of 2 targets are in the pool itself"):
        chosen(pool, way, Count(5))
    with pytest.raises(UsageError, match="needs a target set"):
        chosen(pool, Way(name), Count(5))


@pytest.mark.parametrize(("name", "message"), [("deita", "--max-similarity"), ("length-matched", "--baseline length-matched")])
def test_what_makes_no_selection_says_what_does(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Way(name)
    assert message in str(caught.value.fix)


def test_k_center_takes_the_row_farthest_from_those_taken() -> None:
    source = np.random.default_rng(5)
    vectors = source.normal(size=(40, 6))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    order = farthest_first(unit, 12)
    assert sorted(order.tolist()) == list(range(40))
    distances = np.linalg.norm(unit[:, None].astype(float) - unit[None], axis=-1)
    assert order[0] == np.linalg.norm(unit - unit.mean(0), axis=1).argmin()
    for turn in range(1, 12):
        nearest = distances[:, order[:turn]].min(axis=1)
        assert nearest[order[turn]] == nearest.max()
    # More turns begin with the same rows; those without a turn follow by their distance.
    assert farthest_first(unit, 40)[:12].tolist() == order[:12].tolist()
    others = distances[order[12:]][:, order[:12]].min(axis=1)
    assert (np.diff(others) <= 1e-6).all()
    assert farthest_first(unit[:0], 0).tolist() == [] and farthest_first(np.repeat(unit[:1], 3, axis=0), 3).tolist() == [0, 1, 2]


def turn_by_turn(vectors: np.ndarray, turns: int) -> list[int]:
    """Every row is compared with the row of every turn."""
    rows = vectors.astype(np.float64)
    nearest, taken = -np.round(rows @ rows.mean(axis=0), 7), []
    for turn in range(turns):
        taken.append(int(np.argmin(nearest)))
        similarity = np.round(rows @ rows[taken[-1]], 7)
        nearest = similarity if turn == 0 else np.maximum(nearest, similarity)
        nearest[taken] = np.inf
    return [*taken, *np.argsort(nearest, kind="stable")[: len(rows) - len(taken)].tolist()]


@pytest.mark.parametrize(("n", "width", "turns", "copies"), [(300, 4, 200, 0), (300, 16, 300, 120), (40, 2, 40, 30), (200, 1, 150, 0)])
def test_farthest_first_decides_many_turns_at_once_as_it_would_one_by_one(
    monkeypatch: pytest.MonkeyPatch, n: int, width: int, turns: int, copies: int
) -> None:
    source = np.random.default_rng(n + width)
    vectors = source.normal(size=(n, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[source.choice(n, copies, replace=False)] = vectors[source.integers(0, n, copies)]
    expected = turn_by_turn(vectors, turns)
    for among, at_once in ((1024, 128), (8, 4), (1, 1), (30, 128)):
        monkeypatch.setattr("instructsel.selection.baselines.k_center.AMONG", among)
        monkeypatch.setattr("instructsel.selection.baselines.k_center.TURNS_AT_ONCE", at_once)
        assert farthest_first(vectors, turns).tolist() == expected


def test_dsir_weighs_a_row_by_how_much_likelier_its_words_are_in_the_target() -> None:
    pool, target = ["blue blue", "red red"], ["red red red"]
    ratio = log_ratio(target, pool)
    blue, red = buckets("blue")[0], buckets("red")[0]
    # 3 words and 2 pairs in the target, 4 and 2 in the pool, and one count more in each of 10,000 buckets.
    assert ratio[red] == pytest.approx(np.log(4 / 10_005) - np.log(3 / 10_006)) and ratio[blue] < 0 < ratio[red]
    assert buckets("Red, red!").tolist() == buckets("red , RED !").tolist() and len(buckets("")) == 0


def test_ica_and_loss_drop_rank_by_the_losses_they_say(pool: tuple[Pool, ScoreTable], target: Pool) -> None:
    untuned, tuned = ShortLosses(0.1), ShortLosses(0.05)
    shown = "\n\n".join([*[example.text for example in target.examples()][:3], ""])
    selections = {name: chosen(pool, way_of(name, target), Count(5)) for name in ("ica", "loss_drop")}
    for example in pool[0].examples():
        question = (example.instruction + "\n", example.response)
        loss = untuned.answer([question]).values[0]
        ica = untuned.answer([(shown + question[0], question[1])]).values[0] - loss
        assert selections["ica"].explain(example.id)["score"] == pytest.approx(ica)
        drop = (loss - tuned.answer([question]).values[0]) / loss
        assert selections["loss_drop"].explain(example.id)["score"] == pytest.approx(-drop)
    with pytest.raises(UsageError, match="that model tuned on the target set"):
        chosen(pool, replace(way_of("loss_drop", target), tuned=None), Count(5))
    with pytest.raises(UsageError, match="every loss would drop by 0"):
        chosen(pool, replace(way_of("loss_drop", target), tuned=way_of("loss_drop", target).encoder), Count(5))
