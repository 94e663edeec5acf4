"""The size search: what a size holds, when two sizes differ, and what is never trained twice or judged by the same items."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from instructsel.errors import EnvironmentFault, MissingExtra, StudyError, TrainingDiverged, TrainingError, UsageError
from instructsel.experiments.store import RecordStore
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grades
from instructsel.rules.catalog import load
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.study import size_search as module
from instructsel.study.size_curve import SizeCurve, SizeRow
from instructsel.study.size_search import SizeSettings, grid_sizes, search_size

EQ4 = load("eq4")
Scored = Any
Make = Callable[..., Any]


@dataclass
class FakeTrainer:
    """Trains nothing: the checkpoint holds what it was given."""

    folder: Path
    recipe: str = "a"
    trained: list[tuple[int, int]] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    fails_at: int | None = None

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"recipe": self.recipe}

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        if len(self.trained) == self.fails_at:
            raise TrainingDiverged("The loss is not finite.")
        self.trained.append((len(pool), seed))
        self.pools.append(pool)
        place = self.folder / f"{len(pool)}-{seed}"
        place.mkdir(parents=True)
        return Checkpoint(place, f"{len(pool)}-{seed}", seed, {"n": len(pool), "seed": seed}, owned=True)

    @property
    def left(self) -> list[Path]:
        return list(self.folder.glob("*"))


@dataclass
class FakeGrader:
    """Gives every item the loss of the checkpoint's size and seed."""

    name: str
    of: Callable[[int, int], float]
    names: tuple[str, ...] = ("x", "y")
    graded: int = 0
    higher: bool = False
    nulls: Callable[[int], int] = lambda n: 0

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"set": self.name}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        assert checkpoint.folder.is_dir()
        self.graded += 1
        n, seed = checkpoint.record["n"], checkpoint.record["seed"]
        names = tuple(f"{self.name}-{each}" for each in self.names)
        reasons = tuple("no_tokens" if at < self.nulls(n) else None for at in range(len(names)))
        values = np.array([0.0 if reason else self.of(n, seed) for reason in reasons])
        return Grades(self.name, names, values, np.ones(len(names)), reasons, unit="nats per token", higher_is_better=self.higher)


class Telling(FakeGrader):
    """Says beforehand what it grades."""

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{each}" for each in self.names)


def noise(n: int, seed: int, scale: float) -> float:
    return float(np.random.default_rng([n, seed]).normal(scale=scale))


def valley(n: int, seed: int) -> float:
    """Lowest at 40 rows; the noise is a thousandth of what one doubling costs."""
    return 2.0 + math.log(n / 40) ** 2 + noise(n, seed, 0.0005)


@pytest.fixture
def chosen(varied: Scored) -> Selection:
    return select(varied.pool, varied.table, EQ4, budget=30)


@pytest.fixture
def trainer(tmp_path: Path) -> FakeTrainer:
    return FakeTrainer(tmp_path / "checkpoints")


def searched(selection: Selection, trainer: FakeTrainer, of: Callable[[int, int], float] = valley, **settings: Any) -> SizeCurve:
    inputs: dict[str, Any] = {
        "sizes": (10, 20, 40, 80, 160),
        "grader": FakeGrader("search", of),
        "report": FakeGrader("report", of),
        **settings,
    }
    sizes = SizeSettings(**{name: inputs.pop(name) for name in SizeSettings.__dataclass_fields__ if name in inputs})
    return search_size(selection, trainer=trainer, settings=sizes, **inputs)


def curve_of(losses: Sequence[Sequence[float]], **settings: Any) -> SizeCurve:
    """A curve of sizes 10, 20, 40, …: one list of losses a size, one loss a seed; reported are the same losses and 1 more."""
    rows = [
        SizeRow(10 * 2**at, 10 * 2**at, seed, loss, loss + 1, 2, 2, 1.0) for at, each in enumerate(losses) for seed, loss in enumerate(each)
    ]
    given: dict[str, Any] = {"least": 10, "most": rows[-1].size}
    return SizeCurve(tuple(rows), "search", "report", **(given | settings))


def test_the_true_minimum_is_found_where_noise_is_small(chosen: Selection, trainer: FakeTrainer) -> None:
    curve = searched(chosen, trainer)
    assert (curve.chosen, curve.near, curve.smallest_near, curve.lucky) == (40, (40,), 40, False)
    assert curve.verdict.startswith("40 rows are the best of 5 sizes")
    assert curve.warnings == ()
    assert sorted(trainer.trained) == [(n, seed) for n in (10, 20, 40, 80, 160) for seed in (0, 1, 2)]
    # Every checkpoint was removed when it was graded.
    assert trainer.left == []


def test_on_a_flat_curve_every_size_is_near_and_the_smallest_is_to_be_taken(chosen: Selection, trainer: FakeTrainer) -> None:
    curve = searched(chosen, trainer, lambda n, seed: 2.0 + noise(n, seed, 0.05))
    assert curve.near == curve.sizes == (10, 20, 40, 80, 160)
    assert curve.smallest_near == 10
    assert curve.verdict.startswith("No detectable difference between 5 sizes")
    assert curve.verdict.endswith("Take 10, the fewest.")


def test_a_size_that_is_truly_best_is_among_the_near_ones_in_nineteen_of_twenty_searches() -> None:
    # 400 flat curves of 5 sizes and 3 seeds, where every size is truly best. Gupta's bound with two-sided values allows 2.5 % to be
    # missed, and 4 standard errors of that are 3.1 points.
    source = np.random.default_rng(0)
    missed = sum(10 not in (curve_of(source.normal(2, 0.1, (5, 3)).tolist()).near or ()) for _ in range(400))
    assert missed <= 0.056 * 400


def test_the_noise_is_pooled_within_sizes_and_gives_every_mean_its_interval() -> None:
    curve = curve_of([[1.0, 3.0], [2.0, 6.0], [4.0, 4.0]])
    # Sums of squares 2, 8 and 0 on 3 · (2 − 1) degrees of freedom.
    assert curve.noise == pytest.approx(math.sqrt(10 / 3))
    half = float(stats.t.ppf(0.975, 3)) * math.sqrt(10 / 3) / math.sqrt(2)
    first = curve.points[0].search
    assert (first.mean, first.low, first.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))


def test_two_sizes_differ_when_the_paired_t_test_says_so() -> None:
    small, large = [2.0, 2.1, 2.3, 2.2], [2.02, 2.15, 2.33, 2.24]
    curve = curve_of([small, large])
    # With two sizes the margin is that of the paired t-test: the differences' own standard deviation and 3 degrees of freedom.
    differences = np.subtract(large, small)
    margin = float(stats.t.ppf(0.975, 3)) * differences.std(ddof=1) / 2
    assert curve.margin == pytest.approx(margin)
    assert (differences.mean() > margin) == (stats.ttest_rel(large, small).pvalue < 0.05)
    assert curve.near == (10,)


def test_luck_that_a_seed_brings_to_every_size_does_not_hide_a_difference() -> None:
    luck = [0.0, 0.5, -0.4]
    curve = curve_of([[2.0 + each for each in luck], [2.1 + luck[0], 2.11 + luck[1], 2.09 + luck[2]]])
    assert curve.near == (10,)
    # The intervals of the means, which speak of other seeds, still hold it.
    assert curve.points[0].search.low is not None
    assert curve.points[0].search.low < 1.5


def test_sizes_are_compared_by_bonferroni() -> None:
    losses = [[2.0, 2.1, 2.2], [2.0, 2.2, 2.1], [2.1, 2.0, 2.3]]
    curve = curve_of(losses)
    values = np.array(losses)
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    # 3 sizes and 3 seeds leave 2 · 2 degrees of freedom; two comparisons with the lowest.
    expected = stats.t.ppf(1 - 0.05 / 2 / 2, 4) * math.sqrt((left**2).sum() / 4) * math.sqrt(2 / 3)
    assert curve.margin == pytest.approx(float(expected))


def test_a_dip_within_noise_is_not_shown_and_one_beyond_is() -> None:
    wiggle = [0.0, 0.1, -0.1]
    shallow = curve_of([[2.1 + each for each in wiggle], [2.08, 2.02, 2.15], [2.1 - each for each in wiggle]])
    assert (shallow.chosen, shallow.lucky) == (20, True)
    assert any("dip at 20 is not shown" in each for each in shallow.warnings)
    deep = curve_of([[2.1 + each for each in wiggle], [1.08, 1.02, 1.15], [2.1 - each for each in wiggle]])
    assert (deep.chosen, deep.lucky) == (20, False)
    assert not any("dip" in each for each in deep.warnings)


def test_the_verdict_names_the_sizes_that_cannot_be_told_apart_and_the_one_to_take() -> None:
    curve = curve_of([[2.5, 2.52, 2.51], [2.0, 2.02, 2.04], [2.01, 2.0, 2.02], [2.4, 2.41, 2.44]], unit="nats per token")
    assert (curve.chosen, curve.near, curve.smallest_near) == (40, (20, 40), 20)
    assert curve.verdict.startswith("40 rows came out lowest of 4 sizes, and 20 cannot be distinguished from them: up to 0.0")
    assert curve.verdict.endswith(" nats per token is noise. Take 20, the fewest of these.")


def test_the_limit_of_a_dip_is_that_of_one_mean_against_the_mean_of_two() -> None:
    losses = [[2.1, 2.2, 2.0], [2.08, 2.02, 2.15], [2.1, 2.0, 2.2]]
    values = np.array(losses)
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    told = curve_of(losses).as_dict()["dip"]
    assert told["lead"] == pytest.approx(2.1 - values[1].mean())
    assert told["noise"] == pytest.approx(float(stats.t.ppf(0.975, 4)) * math.sqrt((left**2).sum() / 4) * math.sqrt(1 / 3 + 1 / 6))


def test_a_lowest_size_at_an_end_is_no_dip_and_says_that_the_range_ends_there() -> None:
    curve = curve_of([[2.3, 2.31], [2.2, 2.22], [2.1, 2.11]])
    assert (curve.chosen, curve.lucky) == (40, None)
    assert curve.warnings == ("The lowest is the largest size tried: more rows may be better still.",)


def test_with_one_seed_nothing_is_told_from_luck(chosen: Selection, trainer: FakeTrainer) -> None:
    curve = searched(chosen, trainer, seeds=(7,))
    assert curve.chosen == 40
    assert (curve.noise, curve.margin, curve.near, curve.smallest_near, curve.lucky) == (None,) * 5
    assert {point.search.low for point in curve.points} == {None}
    assert (curve.report_loss.low, curve.curve["low"]) == (None, None)
    assert "with one seed a size cannot be distinguished from luck" in curve.verdict
    assert json.loads(json.dumps(curve.as_dict()))["near"] is None


def test_seeds_that_change_nothing_are_no_measurement_of_noise() -> None:
    curve = curve_of([[2.0, 2.0], [1.9, 1.9]])
    assert (curve.noise, curve.near) == (None, None)
    assert "where the seeds make no difference a size cannot be distinguished from luck" in curve.verdict


def test_a_single_size_is_compared_with_nothing() -> None:
    curve = curve_of([[2.0, 2.1, 2.2]])
    assert (curve.chosen, curve.near, curve.margin) == (10, (10,), None)
    assert "nothing to compare" in curve.verdict
    assert curve.report_loss.low is not None


def test_the_report_loss_is_of_the_report_set_and_has_no_part_in_the_choice(chosen: Selection, trainer: FakeTrainer) -> None:
    # The report set would choose 160.
    report = FakeGrader("report", lambda n, seed: 5.0 - n / 100 + 0.01 * seed)
    curve = searched(chosen, trainer, report=report)
    assert curve.chosen == 40
    # 4.6, 4.61 and 4.62 at 40 rows; the pooled standard deviation is 0.01 on 10 degrees of freedom.
    half = float(stats.t.ppf(0.975, 10)) * 0.01 / math.sqrt(3)
    assert (curve.report_loss.mean, curve.report_loss.low, curve.report_loss.high) == pytest.approx((4.61, 4.61 - half, 4.61 + half))
    assert any("report of 40 rows: 4.6100" in line and "biased downward" in line for line in curve.lines())
    broken = curve.lines(40)
    assert all(len(line) <= 40 for line in broken[broken.index("") :]) and broken[: broken.index("")] == curve.lines()[: broken.index("")]


@pytest.mark.parametrize("quotas", [None, {"first": 15}, {"first": 0.3}])
@pytest.mark.parametrize("rule", ["eq4", "longest"])
def test_a_size_holds_the_rows_that_select_keeps_with_that_budget(make: Make, trainer: FakeTrainer, quotas: Any, rule: str) -> None:
    # The two that nearly repeat each other are the longest of all.
    copy = " ".join(f"word{i}" for i in range(60))
    rows = [(f"question {i}", " ".join(f"w{i}x{j}" for j in range(5 + i))) for i in range(60)]
    scored = make({"first": [*rows[:30], rows[0], ("near", copy * 2), ("near", f"{copy * 2} more")], "second": rows[30:]})

    def selected(n: int) -> Selection:
        return select(scored.pool, scored.table, load(rule), budget=n, neighbors=scored.neighbors, quotas=quotas)

    curve = searched(selected(5), trainer, sizes=(4, 17, 35), seeds=(0,))
    assert [pool.ids for pool in trainer.pools] == [sorted(selected(n).kept_ids) for n in (4, 17, 35)]
    assert [row.rows for row in curve.rows] == [len(selected(n)) for n in (4, 17, 35)]


def test_a_baseline_is_searched_in_its_own_ranking(chosen: Selection, varied: Scored, trainer: FakeTrainer) -> None:
    (drawn,) = baselines(chosen, ["random"], seeds=[3])
    searched(drawn, trainer, sizes=(12,), seeds=(0,))
    (again,) = baselines(select(varied.pool, varied.table, EQ4, budget=12), ["random"], seeds=[3])
    assert trainer.pools[0].ids == sorted(again.kept_ids)


def test_quotas_that_leave_fewer_rows_than_asked_for_are_told(varied: Scored, trainer: FakeTrainer) -> None:
    halves = select(varied.pool, varied.table, EQ4, budget=30, quotas={"first": 0.5, "second": 0.5})
    curve = searched(halves, trainer, sizes=(10, 21))
    # Of 21 each source may have 10.
    assert [point.rows for point in curve.points] == [10, 20]
    assert "Quotas left fewer rows than asked for: 20 of 21." in curve.warnings


def test_the_default_grid_doubles_from_least_and_ends_at_what_is_there(chosen: Selection, trainer: FakeTrainer) -> None:
    assert grid_sizes(512, 10_000) == (512, 1024, 2048, 4096, 8192, 10_000)
    assert grid_sizes(512, 1024) == (512, 1024)
    assert grid_sizes(512, 512) == (512,)
    there = searched(chosen, trainer, sizes=None, least=50, seeds=(0,))
    assert there.sizes == (50, 100, 200)
    assert (there.least, there.most) == (50, 200)


def test_graders_that_are_the_same_are_refused_before_anything_is_trained(chosen: Selection, trainer: FakeTrainer) -> None:
    with pytest.raises(UsageError, match="the two graders are the same"):
        searched(chosen, trainer, report=FakeGrader("search", valley))
    assert trainer.trained == []


@dataclass
class Shared(FakeGrader):
    """Grades items of given names under its own."""

    def grade(self, checkpoint: Checkpoint) -> Grades:
        return replace(super().grade(checkpoint), items=self.names)


def test_a_report_set_that_shares_an_item_with_the_search_set_is_refused_by_its_hash(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"1 of 2 items of the report set report are in the search set search.*: same"):
        searched(
            chosen,
            trainer,
            grader=Shared("search", valley, ("a", "same")),
            report=Shared("report", valley, ("same", "b")),
            folder=tmp_path / "f",
        )
    # After the first one, before the second; nothing of it is left or written.
    assert len(trainer.trained) == 1
    assert trainer.left == []
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["search.json"]


def test_an_overlap_that_graders_tell_of_is_refused_before_anything_is_trained(chosen: Selection, trainer: FakeTrainer) -> None:
    search, report = Telling("search", valley), Telling("report", valley)
    searched(chosen, trainer, grader=search, report=report, sizes=(10,))
    trainer.trained.clear()

    class Same(Telling):
        @property
        def items(self) -> tuple[str, ...]:
            return ("search-y",)

    with pytest.raises(UsageError, match="search-y"):
        searched(chosen, trainer, grader=search, report=Same("report", valley))
    assert trainer.trained == []


def test_items_that_are_in_the_pool_are_refused(chosen: Selection, varied: Scored, trainer: FakeTrainer) -> None:
    with pytest.raises(UsageError, match="1 of 2 items of report are in the pool"):
        searched(chosen, trainer, report=Shared("report", valley, ("b", varied.pool.ids[5])))
    assert len(trainer.trained) == 1


def test_a_search_goes_on_where_it_was_interrupted_and_comes_out_the_same(chosen: Selection, trainer: FakeTrainer, tmp_path: Path) -> None:
    whole = searched(chosen, FakeTrainer(tmp_path / "others")).as_dict()
    trainer.fails_at = 4
    with pytest.raises(TrainingDiverged):
        searched(chosen, trainer, folder=tmp_path / "search")
    trainer.fails_at = None
    told: list[tuple[int, int]] = []
    resumed = searched(chosen, trainer, folder=tmp_path / "search", progress=lambda done, total: told.append((done, total)))
    # None of the 15 twice.
    assert len(trainer.trained) == len(set(trainer.trained)) == 15
    # Four stood in the folder.
    assert told == [*((done, 15) for done in range(5, 16)), (15, 15)]
    again = searched(chosen, trainer, folder=tmp_path / "search").as_dict()
    assert len(trainer.trained) == 15
    # Of a search that was read, the seconds too are those of the training.
    assert again == resumed.as_dict()
    for each in (whole, again):
        del each["run"]
    assert whole == again


def test_a_folder_may_be_given_again_with_more_sizes(chosen: Selection, trainer: FakeTrainer, tmp_path: Path) -> None:
    searched(chosen, trainer, sizes=(10, 40), folder=tmp_path / "search")
    curve = searched(chosen, trainer, sizes=(40, 10, 20), folder=tmp_path / "search")
    assert trainer.trained[6:] == [(20, 0), (20, 1), (20, 2)]
    assert curve.sizes == (10, 20, 40)


def test_a_folder_of_another_search_is_refused(chosen: Selection, varied: Scored, trainer: FakeTrainer, tmp_path: Path) -> None:
    place = tmp_path / "search"
    searched(chosen, trainer, sizes=(10,), folder=place)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    other = FakeTrainer(tmp_path / "others", recipe="b")
    with pytest.raises(StudyError, match=r"another size search; what differs: trainer\."):
        searched(chosen, other, sizes=(10,), folder=place)
    with pytest.raises(StudyError, match=r"what differs: report\."):
        searched(chosen, trainer, report=FakeGrader("third", valley), folder=place)
    with pytest.raises(StudyError, match=r"what differs: selection\."):
        searched(select(varied.pool, varied.table, load("longest"), budget=30), trainer, folder=place)
    (place / "search.json").write_text("{}")
    with pytest.raises(StudyError, match="is not the configuration of a size search"):
        searched(chosen, trainer, folder=place)
    (place / "search.json").write_bytes(before["search.json"])
    assert before == {path.name: path.read_bytes() for path in place.iterdir()}
    assert other.trained == []
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be used"):
        searched(chosen, trainer, folder=tmp_path / "file")


def test_a_search_that_failed_before_anything_ended_may_be_given_again_with_other_settings(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path
) -> None:
    trainer.fails_at = 0
    with pytest.raises(TrainingDiverged):
        searched(chosen, trainer, sizes=(10,), folder=tmp_path / "search")
    other = FakeTrainer(tmp_path / "others", recipe="b")
    assert searched(chosen, other, sizes=(10,), folder=tmp_path / "search").sizes == (10,)
    trainer.fails_at = None
    with pytest.raises(StudyError, match=r"what differs: trainer\."):
        searched(chosen, trainer, sizes=(10,), folder=tmp_path / "search")


def test_a_folder_in_which_another_search_trains_is_not_taken_over(chosen: Selection, trainer: FakeTrainer, tmp_path: Path) -> None:
    trainer.fails_at = 0
    with pytest.raises(TrainingDiverged):
        searched(chosen, trainer, sizes=(10,), folder=tmp_path / "search")
    other = FakeTrainer(tmp_path / "others", recipe="b")
    with (
        RecordStore(tmp_path / "search").lease("size10-seed0"),
        pytest.raises(StudyError, match=r"another size search; what differs: trainer\."),
    ):
        searched(chosen, other, sizes=(10,), folder=tmp_path / "search")


def test_rows_that_cannot_be_trained_on_are_refused_before_anything_is_written(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path
) -> None:
    class Audited(FakeTrainer):
        max_skipped_fraction = 0.05

        def audit(self, pool: Pool) -> Any:
            def check(limit: float) -> None:
                if len(pool) >= 20:
                    raise TrainingError(f"More than {limit:.0%} of the rows have no loss token.")

            return SimpleNamespace(check=check, skipped={"no_loss_token": len(pool) // 8})

    with pytest.raises(
        TrainingError, match=r"Of the first 40 rows of the ranking .* no loss token\. So it is with the first 20\."
    ) as caught:
        searched(chosen, Audited(tmp_path / "audited"), sizes=(10, 20, 40), folder=tmp_path / "search")
    assert "10" not in caught.value.message
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize("change", [lambda text: text.replace('"loss": ', '"loss": 1'), lambda text: text[:40], lambda text: "[]"])
def test_a_damaged_record_is_set_aside_and_trained_again(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path, change: Callable[[str], str]
) -> None:
    place = tmp_path / "search"
    first = searched(chosen, trainer, sizes=(10, 20), folder=place)
    file = place / "size10-seed1.json"
    file.write_text(change(file.read_text()))
    again = searched(chosen, trainer, sizes=(10, 20), folder=place)
    assert trainer.trained[6:] == [(10, 1)]
    assert [row.search_loss for row in again.rows] == [row.search_loss for row in first.rows]
    assert (place / "size10-seed1.json.damaged").exists()


def test_a_checkpoint_that_cannot_be_graded_is_removed(chosen: Selection, trainer: FakeTrainer) -> None:
    with pytest.raises(StudyError, match="None of 2 items of report has a value"):
        searched(chosen, trainer, report=FakeGrader("report", valley, nulls=lambda n: 2))
    with pytest.raises(UsageError, match="report is better when higher"):
        searched(chosen, trainer, report=FakeGrader("report", valley, higher=True))
    assert trainer.left == []


def test_an_interrupted_grading_leaves_the_checkpoint_to_the_trainer(chosen: Selection, trainer: FakeTrainer) -> None:
    def interrupted(n: int, seed: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(chosen, trainer, interrupted)
    assert [path.name for path in trainer.left] == ["10-0"]


def test_losses_of_different_items_are_told_and_of_other_items_refused(chosen: Selection, trainer: FakeTrainer) -> None:
    curve = searched(chosen, trainer, grader=FakeGrader("search", valley, nulls=lambda n: int(n == 20)))
    assert "From 1 to 2 items of search had a value: the losses are not of the same items." in curve.warnings

    class Moving(FakeGrader):
        def grade(self, checkpoint: Checkpoint) -> Grades:
            return replace(super().grade(checkpoint), items=(f"{self.graded}", "fixed"))

    with pytest.raises(StudyError, match="search graded other items at 10 rows, seed 1"):
        searched(chosen, trainer, grader=Moving("search", valley))


def test_blend_repeats_under_one_seed_and_stays_in_its_range(chosen: Selection, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((5, 5, 6)):
        # Draws of other code must have no part in it.
        np.random.seed(number)
        trainer = FakeTrainer(tmp_path / str(number))
        curve = searched(chosen, trainer, sizes=None, method="blend", least=8, most=150, trials=12, seed=seed)
        found.append((curve.sizes, curve.chosen))
        assert all(8 <= n <= 150 for n in curve.sizes)
        assert 8 in curve.sizes
        assert curve.method == "blend"
        # 12 are asked for; none is trained twice.
        assert len(curve.sizes) <= 12
        assert len(trainer.trained) == len(set(trainer.trained)) == 3 * len(curve.sizes)
        assert valley(curve.chosen, 0) < valley(8, 0)
    assert found[0] == found[1] != found[2]


def test_blend_may_try_both_ends_of_its_range_and_nothing_beyond(chosen: Selection, trainer: FakeTrainer) -> None:
    curve = searched(chosen, trainer, lambda n, seed: 9.0 - 0.1 * n, sizes=None, method="blend", least=8, most=12, trials=12)
    assert curve.sizes == (8, 9, 10, 11, 12)


def test_a_size_that_blend_asks_for_again_is_not_trained_again(
    chosen: Selection, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    def run(evaluated: Callable[[dict[str, Any]], dict[str, float]], **settings: Any) -> None:
        told.extend(evaluated({"n": np.int64(n)})["loss"] for n in (8, 20, 8))

    tune = SimpleNamespace(lograndint=lambda low, high: None, run=run)
    monkeypatch.setattr(module, "_flaml", lambda: SimpleNamespace(BlendSearch=lambda **settings: None, tune=tune))
    curve = searched(chosen, trainer, sizes=None, method="blend", least=8, trials=3)
    assert trainer.trained == [(n, seed) for n in (8, 20) for seed in (0, 1, 2)]
    assert told[0] == told[2] == curve.points[0].search.mean
    # Whole numbers of Python, which JSON knows.
    assert {type(size) for size in curve.sizes} == {int}


def test_blend_goes_on_where_it_was_interrupted_and_asks_for_the_same_sizes(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"sizes": None, "method": "blend", "least": 8, "most": 150, "trials": 6}
    whole = searched(chosen, FakeTrainer(tmp_path / "others"), **settings)
    trainer.fails_at = 8
    with pytest.raises(TrainingDiverged):
        searched(chosen, trainer, folder=tmp_path / "search", **settings)
    trainer.fails_at = None
    resumed = searched(chosen, trainer, folder=tmp_path / "search", **settings)
    assert resumed.sizes == whole.sizes
    assert len(trainer.trained) == len(set(trainer.trained)) == 3 * len(whole.sizes)


def test_blend_says_nothing_and_leaves_the_loggers_as_they_were(
    chosen: Selection, trainer: FakeTrainer, capfd: pytest.CaptureFixture[str]
) -> None:
    module._flaml()
    levels = {name: logging.getLogger(name).level for name in ("optuna", "flaml")}
    assert levels["optuna"] == logging.INFO
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    for name in levels:
        logging.getLogger(name).addHandler(handler)
    searched(chosen, trainer, sizes=None, method="blend", least=8, most=9, trials=6)
    for name in levels:
        logging.getLogger(name).removeHandler(handler)
    assert heard == []
    assert capfd.readouterr() == ("", "")
    assert levels == {name: logging.getLogger(name).level for name in levels}


def test_blend_says_which_sizes_it_did_not_look_at() -> None:
    curve = curve_of([[2.3, 2.31], [2.2, 2.22]], method="blend", most=10_000)
    assert curve.warnings[0] == "BlendSearch looked at 10 to 20 rows of 10 to 10,000: nothing is known of the others."


def test_what_is_needed_in_the_end_is_asked_for_before_anything_is_trained(
    chosen: Selection, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, *, needed_by: str) -> Any:
        raise MissingExtra(f"{needed_by} needs '{name}', which is not installed.")

    monkeypatch.setattr(module, "require", missing)
    with pytest.raises(MissingExtra, match=r"the size search needs 'scipy\.special'"):
        searched(chosen, trainer)
    with pytest.raises(MissingExtra, match="BlendSearch needs"):
        searched(chosen, trainer, sizes=None, method="blend", least=8, seeds=(0,))
    assert trainer.trained == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "blnd"}, "Did you mean 'blend'"),
        ({"method": "blend"}, "BlendSearch finds its sizes itself"),
        ({"sizes": (10, 10)}, "A size stands twice"),
        ({"sizes": ()}, "needs a size"),
        ({"sizes": (0,)}, "whole number from 1, not 0"),
        ({"sizes": (10.5,)}, "whole number from 1, not 10.5"),
        ({"sizes": (201,)}, "200 rows to keep, fewer than 201"),
        ({"sizes": None, "least": 512}, "Sizes from 512 to 200 cannot be tried"),
        ({"sizes": None, "least": 50, "most": 40}, "Sizes from 50 to 40 cannot be tried"),
        ({"sizes": None, "least": 50, "most": 201}, "Sizes from 50 to 201 cannot be tried"),
        ({"seeds": ()}, "needs a seed"),
        ({"seeds": (1, 1)}, "A seed stands twice"),
        ({"sizes": None, "method": "blend", "least": 8, "trials": 0}, "number of trials is a whole number from 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(chosen: Selection, trainer: FakeTrainer, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        searched(chosen, trainer, **settings)
    assert trainer.trained == []


def test_a_selection_read_from_a_file_is_refused(chosen: Selection, trainer: FakeTrainer, tmp_path: Path) -> None:
    chosen.write_sidecar(tmp_path / "chosen.parquet")
    with pytest.raises(UsageError, match="this one was read from a file"):
        searched(Selection.read(tmp_path / "chosen.parquet"), trainer)


def test_a_curve_with_a_fine_tune_missing_is_refused() -> None:
    whole = curve_of([[2.0, 2.1], [2.2, 2.3]])
    with pytest.raises(UsageError, match="the same seeds in the same order"):
        replace(whole, rows=whole.rows[:-1])
    with pytest.raises(UsageError, match="sizes ascending"):
        replace(whole, rows=whole.rows[2:] + whole.rows[:2])


def test_lines_are_aligned_and_the_chart_data_are_those_of_the_means() -> None:
    curve = curve_of([[2.0, 2.1], [1.9, 2.2], [2.5, 2.6]], unit="nats per token")
    header, *rows = curve.lines()[:4]
    assert len({row.index("]") for row in [header, *rows]}) == 1
    assert rows[0].split()[0] == "10"
    assert curve.curve["x"] == [10, 20, 40]
    assert curve.curve["y"] == pytest.approx([2.05, 2.05, 2.55])
    assert len(curve.curve["points"]["x"]) == len(curve.curve["points"]["labels"]) == 6
    assert curve.curve["y_label"] == "search, nats per token"
    assert all(low < y < high for low, y, high in zip(*(curve.curve[name] for name in ("low", "y", "high")), strict=True))


def test_of_equal_sizes_the_smaller_is_chosen() -> None:
    assert curve_of([[3.0, 3.1], [2.0, 2.1], [2.1, 2.0]]).chosen == 20


class Showing(FakeGrader):
    """Shows its evaluation set, as HeldOutLoss does."""

    pool: Pool


def test_a_size_search_in_python_refuses_an_evaluation_set_of_its_pool_and_warns_of_instructions(
    chosen: Selection, trainer: FakeTrainer, tmp_path: Path
) -> None:
    assert chosen.candidates is not None
    pool = chosen.candidates.pool
    grader = Showing("search", valley)
    grader.pool = pool.take(pool.ids[:3])
    with pytest.raises(StudyError, match=r"3 of 3 examples of .* are in the pool"):
        searched(chosen, trainer, grader=grader, folder=tmp_path / "sizes")
    assert not (tmp_path / "sizes").exists() and trainer.trained == []
    instruction = next(iter(pool.examples())).instruction
    (tmp_path / "eval.jsonl").write_text(json.dumps({"instruction": instruction, "output": "Another response."}) + "\n")
    grader.pool = Pool.read(tmp_path / "eval.jsonl")
    warnings: list[str] = []
    searched(chosen, trainer, grader=grader, sizes=(10,), seeds=(0,), message=warnings.append)
    (warning,) = warnings
    assert warning.startswith("search: 1 of 1 instructions of eval.jsonl are in the pool too, with other responses: eval.jsonl:1 (")
