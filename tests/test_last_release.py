"""Files that the last release wrote, read by the code of today. `fixtures/last_release/README.md` says how they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from instructsel.cache import Cache, keys_of
from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.experiments.from_selection import baselines_of, load_arms, without_record
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, TrainingSettings
from instructsel.indicators.base import Batch
from instructsel.indicators.plausibility import Plausibility
from instructsel.pool.pool import Pool
from instructsel.pool.spec import rows_digest
from instructsel.reports.reading import read_artifact
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.random_subset import random_subset
from instructsel.selection.choose import select
from instructsel.selection.files import find_pool
from instructsel.selection.minima import parse
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.study.folder import StudyFolder
from instructsel.study.study import Study

FIXTURES = Path(__file__).parent / "fixtures" / "last_release"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of what the last release wrote, in another folder than it was written in."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "old"))


def test_a_score_table_is_read_and_leads_to_the_same_selection(old: Path) -> None:
    table = ScoreTable.read(old / "pool.scores.parquet")
    assert (len(table), table.symbols) == (29, ("len", "mtld", "plausibility"))
    with pytest.raises(UsageError, match=r"pool.jsonl is gone"):
        find_pool(old / "pool.scores.parquet")
    pool = find_pool(old / "pool.scores.parquet", [str(old / "pool.jsonl")])
    assert pool.ids == table.ids
    chosen = select(pool, table, load("longest"), budget=8, minima=parse(["len=7", "mtld=20%"]))
    before = Selection.read(old / "chosen.selection.parquet")
    assert chosen.kept_ids == before.kept_ids
    assert chosen.summary["dropped"] == before.summary["dropped"]
    assert chosen.frame["reason"].to_list() == before.frame["reason"].to_list()
    assert chosen.frame["score"].to_list() == before.frame["score"].to_list()


def test_a_selection_is_read_by_its_sidecar_in_todays_words(old: Path) -> None:
    chosen = SelectionSet.read(old / "chosen.jsonl")
    assert chosen.of_last_release and (chosen.selection.rows, chosen.examples) == (8, 29)
    (selection,) = chosen.selections()
    assert (selection.name, selection.baseline, selection.seed) == ("longest", None, None)
    assert set(selection.summary["dropped"]) == {"below_budget", "below_minimum:mtld", "exact_duplicate"}
    assert set(selection.summary["dropped"]) == set(selection.frame["reason"].drop_nulls())
    assert selection.frame["file"].null_count() == 29
    assert {symbol: str(minimum) for symbol, minimum in chosen.settings().thresholds.items()} == {"len": "7", "mtld": "20%"}
    ((rows,),) = chosen.arms().values()
    assert sorted(rows.ids) == sorted(selection.kept_ids) and rows_digest(rows.ids) == chosen.selection.digest
    with pytest.raises(UsageError, match=r"Where the pool of chosen.jsonl is was not recorded|is gone"):
        chosen.pool()


def test_a_random_baseline_is_one_by_its_recorded_seed_and_drawn_the_same_today(old: Path) -> None:
    chosen = SelectionSet.read(old / "chosen.jsonl")
    candidates = chosen.candidates(chosen.pool([str(old / "pool.jsonl")]))
    for seed in (0, 1):
        drawn = Selection.read(old / f"chosen.random-seed{seed}.selection.parquet")
        assert (drawn.name, drawn.baseline, drawn.seed, len(drawn)) == (f"random-seed{seed}", "random", seed, 8)
        assert random_subset(candidates, None, seed).ids == sorted(drawn.kept_ids)
        assert sorted(Pool.read(old / f"chosen.random-seed{seed}.jsonl").ids) == sorted(drawn.kept_ids)


def test_a_comparison_says_that_no_record_names_the_baselines(old: Path) -> None:
    rows = str(old / "chosen.jsonl")
    assert without_record(rows) and baselines_of(rows) == {}
    arms = PlannedArm("selection", rows=((rows,),)), PlannedArm("random", pool=(str(old / "pool.jsonl"),), random_subsets=2)
    plan = Experiment(arms, 1, training=TrainingSettings(base="org/base"), grading=GradingSettings(held_out=("held.jsonl",)))
    messages: list[str] = []
    toolkit: Any = None
    loaded, _ = load_arms(plan, toolkit, message=messages.append)
    assert [len(pool) for pool in loaded[1].pools] == [8, 8]
    assert len(messages) == 1 and "no record says what the selection was chosen from" in messages[0]


def test_a_selection_is_replaced_explained_compared_and_reported(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.stdout

    files = ("--scores", "pool.scores.parquet", "--pool", "pool.jsonl")
    assert "longest" in run("explain", "pool.jsonl:3", "--selection", "chosen.selection.parquet", *files)
    compared = json.loads(run("diff", "chosen.selection.parquet", "chosen.random-seed0.selection.parquet", "--json"))
    assert (compared["a"], compared["b"], compared["both"] + compared["only_a"]) == ("longest", "random-seed0", 8)
    run(
        "report",
        "chosen.selection.parquet",
        "chosen.random-seed0.selection.parquet",
        "--scores",
        "pool.scores.parquet",
        "--without-text",
        "-o",
        "r.md",
    )
    page = (old / "r.md").read_text()
    assert "Random: 1 subset under the same budget" in page and "random-seed0" in page
    run("select", "pool.scores.parquet", "--pool", "pool.jsonl", "--rule", "longest", "--n", "8", "-o", "chosen.jsonl", "--no-cache", "-q")
    assert not SelectionSet.read("chosen.jsonl").of_last_release


def test_answers_in_a_cache_are_used_again(old: Path) -> None:
    (old / "cache").chmod(0o700)
    cache = Cache.open(old / "cache")
    (usage,) = cache.usage()
    assert cache.damaged() == [] and usage.description["model"] == "instructsel/plausibility"
    description = {key: value for key, value in usage.description.items() if key != "model"}
    namespace = cache.namespace(description, width=2, dtype="<f8", model="instructsel/plausibility")
    # The namespace of today's description and layout is that of then.
    assert namespace.folder == usage.folder and len(cache.usage()) == 1
    pool = Pool.read(old / "pool.jsonl")
    examples = list(pool.examples())
    questions = [question for (question,) in Plausibility().questions(Batch(examples))]
    known, values = namespace.get(keys_of(questions))
    assert known.all()
    scores, _ = ScoreTable.read(old / "pool.scores.parquet").values("plausibility")
    assert values[:, 0].tolist() == scores.tolist()


def test_a_size_search_is_read(old: Path) -> None:
    record = read_artifact(old / "sizes")
    assert [point["rows"] for point in record["sizes"]] == [6, 12]
    assert len(record["fine_tunes"]) == 4
    before = [orjson.loads((old / "sizes" / f"size6-seed{seed}.json").read_bytes())["search"]["loss"] for seed in (0, 1)]
    assert record["sizes"][0]["search"]["mean"] == pytest.approx(sum(before) / 2)


def test_a_study_is_read_with_the_runs_that_are_done(old: Path) -> None:
    study = Study.read(old / "study")
    assert len(study.frame) == 2 and not study.complete
    losses = [
        orjson.loads((old / "study" / "runs" / f"mix-00{number}-seed0.json").read_bytes())["observation"]["loss"] for number in (0, 1)
    ]
    assert study.frame["loss"].to_list() == losses
    read = StudyFolder(old / "study").read()
    assert read is not None and read.launch
