"""What every baseline keeps to: a new file in selection/baselines is under test by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.spec import rows_digest
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.baselines.random_subset import random_subset
from instructsel.selection.budget import Count
from instructsel.selection.candidates import Candidates, Ranking, ScoredCandidates
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.settings import SelectionSettings
from instructsel.selection.similarity import TextVectors
from tests.scored_pool import CountedWords

Scored = Any
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "baselines.md"


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence encoder is not loaded."""
    monkeypatch.setattr(TextVectors, "encode", lambda self, texts: CountedWords().encode(texts))
    monkeypatch.setattr(TextVectors, "fingerprint", CountedWords.fingerprint)


def replicates(selection: Selection, name: str, target: Pool, seeds: tuple[int, ...] = (0, 1)) -> list[Selection]:
    return registry.baselines(selection, [name], seeds=seeds, target=target, encoder=CountedWords(), tuned=CountedWords(0.05))


@pytest.fixture
def varied(varied: Scored) -> Scored:
    """With an IFD from 0.5 to 1.2 beside the other scores."""
    columns = {symbol: (varied.table.values(symbol)[0].tolist(), varied.table.reasons(symbol)) for symbol in varied.table.symbols}
    columns["ifd"] = ([0.5 + 0.7 * (n * 37 % 200) / 199 for n in range(len(varied.pool))], [None] * len(varied.pool))
    table = ScoreTable.from_columns(varied.pool.ids, columns, dict(varied.table.manifest), spec=varied.pool.spec)
    return type(varied)(varied.pool, table, varied.vectors)


@pytest.fixture
def target(tmp_path: Path) -> Pool:
    path = tmp_path / "target.jsonl"
    path.write_text('{"instruction": "Of another pool.", "output": "These words stand nowhere else."}\n')
    return Pool.read(path)


@pytest.mark.parametrize("name", registry.names())
def test_a_baseline_differs_in_nothing_but_the_ranking(varied: Scored, target: Pool, name: str) -> None:
    chosen = select(varied.pool, varied.table, load("longest"), budget=40, quotas={"first": 25})
    baseline = registry.make(name)
    results = replicates(chosen, name, target)
    assert [one.name for one in results] == [baseline.named(seed) for seed in ((0, 1) if baseline.seeded else (0,))]
    for one in results:
        assert len(one) == 40 and one.summary["composition"]["first"]["kept"] <= 25
        assert one.manifest["settings"] == chosen.manifest["settings"]
        assert one.frame.columns[:6] == ["id", "source", "file", "line", "rank", "score"]
        assert one.summary["kept"] + sum(one.summary["dropped"].values()) == one.summary["read"]
        assert one.frame["score"].is_nan().sum() == 0
    if baseline.seeded:
        assert results[0].kept_ids != results[1].kept_ids
    again = replicates(chosen, name, target)
    assert [one.kept_ids for one in again] == [one.kept_ids for one in results]


@pytest.mark.parametrize("name", [name for name in registry.names() if registry.make(name).needs])
def test_a_baseline_says_which_indicator_it_needs(varied: Scored, target: Pool, name: str) -> None:
    needed = registry.make(name).needs
    columns = [column for column in varied.table.frame.columns if column.removesuffix("_reason") not in needed]
    table = ScoreTable(varied.table.frame.select(columns), varied.table.manifest)
    left = next(symbol for symbol in ("rew", "len", "knn_6") if symbol not in needed)
    from instructsel.rules.by_indicator import by

    chosen = select(varied.pool, table, by(left), budget=10)
    with pytest.raises(UsageError, match=needed[0]):
        replicates(chosen, name, target)


class Shortest(Baseline):
    """A plug-in: the shortest responses."""

    name = "shortest"
    needs = ("len",)

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        return Ranking("whatever", "the length of the response", candidates.column("len")[0], unscored=candidates.unscored(self.needs))


class Unfinished(Shortest):
    """A plug-in that leaves a candidate out and does not say so."""

    name = "unfinished"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        values = candidates.column("len")[0].copy()
        values[3] = np.nan
        return Ranking(self.name, "", values)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install plug-ins: name → what its entry point leads to."""

    def install(**plug_ins: Any) -> None:
        entries = [SimpleNamespace(name=name, value=f"plugin:{name}", load=lambda kind=kind: kind) for name, kind in plug_ins.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == "instructsel.baselines" else [])
        registry._plug_ins.cache_clear()

    yield install
    registry._plug_ins.cache_clear()


def test_a_plug_in_is_selected_by_like_any_other_baseline(
    varied: Scored, target: Pool, plugged: Callable[..., None], tmp_path: Path
) -> None:
    # What stands in the folder is not replaced.
    plugged(shortest=Shortest, longest=Shortest)
    assert registry.names()[-1] == "shortest" and registry.names().count("longest") == 1
    chosen = select(varied.pool, varied.table, load("longest"), budget=40, quotas={"first": 25})
    (drawn,) = replicates(chosen, "shortest", target)
    assert (drawn.name, drawn.baseline, len(drawn)) == ("shortest", "shortest", 40)
    assert drawn.summary["composition"]["first"]["kept"] <= 25
    written = SelectionSet.create(tmp_path / "chosen.jsonl", chosen, [drawn])
    assert [subset.arm for subset in SelectionSet.read(written.path).subsets] == ["selection", "shortest"]
    (longest,) = replicates(chosen, "longest", target)
    assert longest.kept_ids == chosen.kept_ids


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("broken", object(), "plugin:broken is no baseline"),
        ("broken", int, "plugin:broken is no baseline"),
        ("broken", Baseline, "plugin:broken is no baseline"),
        ("short", Shortest, "called 'shortest' and its entry point 'short'"),
        ("selection", type("Named", (Shortest,), {"name": "selection"}), "not 'selection'"),
        ("a/b", type("Named", (Shortest,), {"name": "a/b"}), "one name of small letters"),
    ],
)
def test_a_plug_in_that_is_no_baseline_is_refused(plugged: Callable[..., None], name: str, kind: Any, message: str) -> None:
    plugged(**{name: kind})
    with pytest.raises(UsageError, match=message) as caught:
        registry.make(name)
    assert "'instructsel.baselines' entry point" in str(caught.value.fix)


def test_a_ranking_without_a_number_for_a_candidate_is_refused(varied: Scored, target: Pool, plugged: Callable[..., None]) -> None:
    plugged(unfinished=Unfinished)
    chosen = select(varied.pool, varied.table, load("longest"), budget=40)
    with pytest.raises(UsageError, match="The baseline unfinished gave no finite number for each of the 200 candidates"):
        replicates(chosen, "unfinished", target)


def test_every_baseline_has_a_row_in_the_reference() -> None:
    page = PAGE.read_text()
    for name in registry.names():
        assert f"| `{name}` |" in page, f"{name} has no row in docs/reference/baselines.md"


def test_the_random_arm_is_one_function_wherever_its_candidates_come_from(varied: Scored, tmp_path: Path) -> None:
    chosen = select(varied.pool, varied.table, load("longest"), budget=30)
    (drawn,) = registry.baselines(chosen, ["random"], seeds=[7])
    written = SelectionSet.create(tmp_path / "c.jsonl", chosen, [drawn])
    assert chosen.candidates is not None
    for candidates in (
        chosen.candidates,
        SelectionSet.read(written.path).candidates(),
        Candidates.of(varied.pool, SelectionSettings(Count(30))),
    ):
        assert rows_digest(random_subset(candidates, None, 7).ids) == rows_digest(sorted(drawn.kept_ids))
        assert len(random_subset(candidates, 12, 7)) == 12
        assert set(random_subset(candidates, 12, 7).ids) <= set(drawn.kept_ids)


def test_a_random_subset_holds_no_duplicate(make: Any) -> None:
    copy = " ".join(f"word{i}" for i in range(60))
    scored = make({"pool": [*([("same", "answer one two three")] * 5), ("near", copy), ("near", f"{copy} more")]})
    subset = random_subset(Candidates.of(scored.pool, SelectionSettings(7)), None, 0)
    assert len(subset) == 2
