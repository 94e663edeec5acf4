"""The arms of a plan: the random arm is one function wherever it is asked for, and an arm of the selection's rows is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.experiments.from_selection import load_arms
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, TrainingSettings
from instructsel.pool.pool import Pool
from instructsel.selection import candidates as module
from instructsel.selection.selection_set import SelectionSet
from tests import tiny
from tests.scored_pool import prose

TOOLKIT: Any = None
"""Only finished results need one."""
KEPT = ("--quota", "first=30%", "--min", "rew=-4", "--near-duplicates", "0.6", "--random-subsets", "3", "-q")


@pytest.fixture
def place(make: Callable[..., Any], tmp_path: Path) -> Path:
    """A scored pool of two sources in which a third of the rows repeat another one but for a word."""
    texts = [(f"question {number}", prose(number, 10 + (number * 7) % 50)) for number in range(120)]
    texts += [(question, f"{answer} more") for question, answer in texts[:60]]
    scored = make({"first": texts[::2], "second": texts[1::2]})
    scored.table.write(tmp_path / "pool.scores.parquet")
    return tmp_path


def selected(place: Path, *arguments: str) -> SelectionSet:
    done = CliRunner().invoke(
        app, ["select", str(place / "pool.scores.parquet"), "--by", "-len", "-o", str(place / "chosen.jsonl"), *KEPT, *arguments]
    )
    assert done.exit_code == 0, done.output
    return SelectionSet.read(place / "chosen.jsonl")


def counting(place: Path) -> str:
    """A folder with a tokenizer."""
    tiny.tokenizer(place / "base", ["[PAD]", "[SEP]"])
    return str(place / "base")


def plan(*arms: PlannedArm) -> Experiment:
    return Experiment(arms=arms, seeds=1, training=TrainingSettings(base="org/base"), grading=GradingSettings(held_out=("held.jsonl",)))


def random_of(place: Path, *pool: str, selection: str = "chosen.jsonl", message: Callable[[str], None] | None = None) -> list[Pool]:
    """The random arm that `verify --pool` compares a selection with."""
    files = tuple(str(place / file) for file in pool or ("first.jsonl", "second.jsonl"))
    arms = PlannedArm("selection", rows=((str(place / selection),),)), PlannedArm("random", pool=files, random_subsets=3)
    loaded, digests = load_arms(plan(*arms), TOOLKIT, message=message)
    random = next(arm for arm in loaded if arm.name == "random")
    assert len({digests[f"random {number}"] for number in range(3)}) == 3
    return list(random.pools)


@pytest.mark.parametrize("budget", [("--n", "30"), ("--fraction", "15%"), ("--tokens", "3000")])
def test_random_subsets_of_a_pool_are_the_rows_that_select_writes(place: Path, budget: tuple[str, ...]) -> None:
    counter = ("--tokenizer", counting(place)) if "--tokens" in budget else ()
    chosen = selected(place, *budget, *counter)
    # Each filter has a part in it: another candidate set or budget would give other rows.
    dropped = [one.summary["dropped"] for one in chosen.selections()[1:]]
    assert all({"near_duplicate", "quota"} <= counts.keys() and any("minimum" in reason for reason in counts) for counts in dropped)
    messages: list[str] = []
    verified = random_of(place, message=messages.append)
    written = [Pool.read(subset.file) for subset in chosen.by_arm()["random"]]
    assert [pool.ids for pool in verified] == [pool.ids for pool in written]
    assert messages == []
    if "--tokens" in budget:
        assert {len(pool) for pool in verified} != {chosen.selection.rows}


def test_a_budget_of_examples_loads_no_tokenizer_and_one_of_tokens_loads_it_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selected(place, "--tokens", "3000", "--tokenizer", counting(place))
    loaded: list[str] = []
    real = module.chat_tokens
    monkeypatch.setattr(module, "chat_tokens", lambda name: loaded.append(name) or real(name))
    candidates = SelectionSet.read(place / "chosen.jsonl").candidates()
    assert loaded == []
    assert candidates.token_counter is not None
    examples = list(candidates.pool.examples([0, 1]))
    assert candidates.token_counter(examples) == candidates.token_counter(examples) and len(loaded) == 1


def test_random_subsets_of_another_pool_than_a_recorded_selections_are_refused(place: Path) -> None:
    selected(place, "--n", "30")
    with pytest.raises(UsageError, match=r"first.jsonl is not the pool that chosen.jsonl was selected from"):
        random_of(place, "first.jsonl")


def test_a_recorded_selection_whose_rows_have_changed_is_refused(place: Path) -> None:
    chosen = selected(place, "--n", "30")
    chosen.selection.file.write_bytes(chosen.selection.file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(UsageError, match=r"chosen.jsonl has changed since it was selected"):
        random_of(place)


def test_quotas_of_a_source_that_a_renamed_pool_no_longer_has_are_refused(place: Path) -> None:
    selected(place, "--n", "30")
    (place / "first.jsonl").rename(place / "renamed.jsonl")
    with pytest.raises(UsageError, match="first"):
        random_of(place, "renamed.jsonl", "second.jsonl")


def test_without_a_record_it_is_said_what_random_subsets_are_of(place: Path) -> None:
    selected(place, "--n", "30")
    (place / "elsewhere").mkdir()
    shutil.copy(place / "chosen.jsonl", place / "elsewhere" / "rows.jsonl")
    messages: list[str] = []
    subsets = random_of(place, selection="elsewhere/rows.jsonl", message=messages.append)
    assert [len(pool) for pool in subsets] == [30, 30, 30]
    assert len(messages) == 1 and "no record says what the selection was chosen from" in messages[0]


@pytest.mark.parametrize("number", [0, 1])
def test_an_arm_with_the_rows_of_any_replicate_of_the_selection_is_refused(place: Path, number: int) -> None:
    files = [selected(place, "--n", "30").by_arm()["random"][replicate].file for replicate in range(3)]
    replicates = tuple((str(file),) for file in files[:2])
    with pytest.raises(UsageError, match="The selection and same hold the same 30 rows"):
        load_arms(plan(PlannedArm("selection", rows=replicates), PlannedArm("same", rows=(replicates[number],))), TOOLKIT)
    load_arms(plan(PlannedArm("selection", rows=replicates), PlannedArm("random", rows=((str(files[2]),),))), TOOLKIT)
