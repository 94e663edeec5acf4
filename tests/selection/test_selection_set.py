"""One record of a selection, its baselines, their pool and scores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from instructsel.errors import ScoresError, UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.spec import rows_digest
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.files import find_pool
from instructsel.selection.selection_set import SelectionSet

LONGEST = load("longest")
Make = Callable[..., Any]
Scored = Any


@pytest.fixture
def written(varied: Scored, tmp_path: Path) -> SelectionSet:
    """A selection of 30 rows with three baselines on disk."""
    scores = tmp_path / "pool.scores.parquet"
    varied.table.write(scores)
    chosen = select(varied.pool, varied.table, load("reward-only"), budget=30, allow_mismatch=True)
    others = baselines(chosen, ["random", "longest"], seeds=[0, 5])
    (tmp_path / "out").mkdir()
    return SelectionSet.create(tmp_path / "out" / "chosen.jsonl", chosen, others, scores=scores)


@pytest.mark.parametrize(
    "name",
    [
        "chosen.selection-set.json",
        "chosen.jsonl",
        "chosen.selection.parquet",
        "chosen.random-seed5.jsonl",
        "chosen.longest.selection.parquet",
    ],
)
def test_any_file_of_a_set_leads_to_all_of_it(written: SelectionSet, name: str) -> None:
    read = SelectionSet.read(written.path.with_name(name))
    assert read.as_dict() == written.as_dict()
    assert {arm: [(one.replicate, one.seed) for one in subsets] for arm, subsets in read.by_arm().items()} == {
        "selection": [(0, None)],
        "random": [(0, 0), (1, 5)],
        "longest": [(0, None)],
    }


def test_arms_are_the_rows_that_were_kept(written: SelectionSet, varied: Scored) -> None:
    arms = written.arms()
    assert {arm: [len(pool) for pool in pools] for arm, pools in arms.items()} == {"selection": [30], "random": [30, 30], "longest": [30]}
    assert [rows_digest(arms["random"][replicate].ids) for replicate in (0, 1)] == [one.digest for one in written.by_arm()["random"]]
    assert written.pool().fingerprint == varied.pool.fingerprint
    assert written.table().ids == varied.table.ids
    assert written.selections()[0].kept_ids == SelectionSet.read(written.path).selections()[0].kept_ids


def test_the_same_selection_twice_gives_the_same_manifest_but_for_the_run(written: SelectionSet, varied: Scored, tmp_path: Path) -> None:
    chosen = select(varied.pool, varied.table, load("reward-only"), budget=30, allow_mismatch=True)
    (tmp_path / "again").mkdir()
    others = baselines(chosen, ["random", "longest"], seeds=[0, 5])
    again = SelectionSet.create(tmp_path / "again" / "chosen.jsonl", chosen, others, scores=tmp_path / "pool.scores.parquet")
    records = [{**orjson.loads(one.path.read_bytes()), "run": None} for one in (written, again)]
    assert records[0] == records[1]


def test_a_folder_of_selections_can_be_moved(written: SelectionSet, tmp_path: Path) -> None:
    shutil.move(written.path.parent, tmp_path / "elsewhere")
    read = SelectionSet.read(tmp_path / "elsewhere" / "chosen.jsonl")
    assert [len(pools) for pools in read.arms().values()] == [1, 2, 1]


def test_rows_that_were_changed_or_are_gone_are_refused(written: SelectionSet) -> None:
    file = written.by_arm()["longest"][0].file
    file.write_bytes(file.read_bytes().replace(b"question", b"Question", 1))
    with pytest.raises(UsageError, match=r"chosen.longest.jsonl has changed"):
        written.arms()
    file.unlink()
    with pytest.raises(UsageError, match="is gone"):
        written.arms()


def test_a_selection_whose_manifest_is_gone_is_read_by_its_sidecar_alone(written: SelectionSet) -> None:
    written.path.unlink()
    old = SelectionSet.read(written.selection.file)
    assert old.of_last_release
    assert (len(old.subsets), old.selection.digest, old.selection.rows) == (1, written.selection.digest, 30)
    assert [len(pools) for pools in old.arms().values()] == [1]
    assert old.pool().fingerprint == written.fingerprint


def test_what_is_no_selection_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"neither rows.selection-set.json nor rows.selection.parquet"):
        SelectionSet.read(tmp_path / "rows.jsonl")
    (tmp_path / "rows.selection-set.json").write_text("{")
    with pytest.raises(ScoresError, match="not readable JSON"):
        SelectionSet.read(tmp_path / "rows.jsonl")
    (tmp_path / "rows.selection-set.json").write_text('{"kind": "selection-set", "schema": 999}')
    with pytest.raises(ScoresError, match="newer instructsel"):
        SelectionSet.read(tmp_path / "rows.jsonl")
    (tmp_path / "rows.selection-set.json").write_text('{"kind": "selection-set"}')
    with pytest.raises(ScoresError, match="lacks the key pool"):
        SelectionSet.read(tmp_path / "rows.jsonl")


def test_an_arm_is_called_as_its_baseline_and_not_by_what_stands_before_a_seed(varied: Scored, tmp_path: Path) -> None:
    chosen = select(varied.pool, varied.table, LONGEST, budget=30)
    other = select(varied.pool, varied.table, replace(load("longest"), name="mine-seed7"), budget=20)
    drawn = baselines(chosen, ["random", "length-matched"], seeds=[7])
    assert [(one.baseline, one.seed) for one in (chosen, other, *drawn)] == [
        (None, None), (None, None), ("random", 7), ("length-matched", 7)
    ]  # fmt: skip
    written_set = SelectionSet.create(tmp_path / "chosen.jsonl", chosen, [other, *drawn])
    assert list(written_set.by_arm()) == ["selection", "mine-seed7", "random", "length-matched"]
    assert [one.baseline for one in SelectionSet.read(written_set.path).selections()] == [None, None, "random", "length-matched"]


def test_baselines_that_keep_the_selections_rows_are_named(varied: Scored, tmp_path: Path) -> None:
    chosen = select(varied.pool, varied.table, LONGEST, budget=500)
    written_set = SelectionSet.create(tmp_path / "all.jsonl", chosen, baselines(chosen, ["random"], seeds=[0, 1]))
    assert written_set.same_rows() == ("random-seed0", "random-seed1")


def test_a_table_that_was_written_in_python_leads_to_its_pool(make: Make, tmp_path: Path) -> None:
    scored = make({"pool": [(f"question {i}", f"answer {i} " * 5) for i in range(30)]})
    table = ScoreTable(scored.table.frame, scored.table.manifest, scored.pool.spec)
    table.write(tmp_path / "x.parquet")
    assert find_pool(tmp_path / "x.parquet").fingerprint == scored.pool.fingerprint
    # A part of the pool is that part again.
    part = scored.pool.sample(10, 3)
    ScoreTable.from_columns(part.ids, {"len": ([1.0] * 10, [None] * 10)}, spec=part.spec).write(tmp_path / "part.parquet")
    assert find_pool(tmp_path / "part.parquet").ids == part.ids


def test_a_renamed_pool_is_the_same_pool_and_a_changed_one_is_not(make: Make, tmp_path: Path) -> None:
    scored = make({"pool": [(f"question {i}", f"answer {i} " * 5) for i in range(30)]})
    shutil.copy(tmp_path / "pool.jsonl", tmp_path / "renamed.jsonl")
    renamed = Pool.read(tmp_path / "renamed.jsonl")
    assert select(renamed, scored.table, LONGEST, budget=5).kept_ids == select(scored.pool, scored.table, LONGEST, budget=5).kept_ids
    (tmp_path / "renamed.jsonl").write_bytes((tmp_path / "pool.jsonl").read_bytes().replace(b"answer 3 ", b"answer x "))
    with pytest.raises(UsageError, match="another pool"):
        select(Pool.read(tmp_path / "renamed.jsonl"), scored.table, LONGEST, budget=5)
