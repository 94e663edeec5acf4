"""What each source adds: arms share what they should, effects are the planted ones, and what is not known is said."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from instructsel.commands._effects import lines
from instructsel.errors import StudyError, UsageError
from instructsel.pool.pool import Pool
from instructsel.reports.heat_map import HeatCell, Legend, color, heat_map
from instructsel.reports.render import report
from instructsel.stats.paired_effects import Blocks, contrast, prior
from instructsel.study.design import Design, Mixtures
from instructsel.study.effects import ALONE, CONTROL, EffectMatrix, of_folder, of_plan
from instructsel.study.folder import StudyFolder
from instructsel.study.one_source import AddOne, LeaveOne
from instructsel.study.results import read_effects
from instructsel.study.study import run_study
from tests.study.one_source_job import CountingTrainer, PlantedGrader, untouched, write_pool

OUTCOMES = ("algebra", "chat", "code")
SOURCES = {"plain": 60, "maths": 60, "talk": 60, "snippets": 60}


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool.read(*write_pool(tmp_path, SOURCES))


def made(pool: Pool, folder: Path, part: AddOne | LeaveOne, outcomes: tuple[str, ...] = OUTCOMES, **grading: Any) -> EffectMatrix:
    trainer = CountingTrainer(folder / "models")
    model = untouched(folder) if part.untouched else None
    graders = [PlantedGrader(name, **grading) for name in outcomes]
    run_study(pool, None, Design([part]), trainer=trainer, grader=graders, folder=folder / "study", untouched=model)
    return of_folder(folder / "study")


def test_an_arm_has_the_rows_of_the_base_and_those_of_its_source_and_nothing_else(pool: Pool) -> None:
    part = AddOne(rows=10, add_rows=6, replicates=2, base=("plain",), untouched=True)
    subsets = {subset.name: subset for subset in part.subsets(pool)}
    assert [subset.arm for subset in subsets.values()] == ["untouched", *["base", "more", "plus", "plus", "plus"] * 2]
    for replicate in range(2):
        base = set(subsets[f"r{replicate}-base"].ids)
        assert len(base) == 10 and base < set(subsets[f"r{replicate}-more"].ids)
        for subset in subsets.values():
            if subset.arm == "plus" and subset.replicate == replicate:
                assert base < set(subset.ids) and len(subset) == 16
                assert subset.counts == {"plain": 10, "maths": 0, "talk": 0, "snippets": 0, subset.source: 6}
    assert set(subsets["r0-base"].ids) != set(subsets["r1-base"].ids)


def test_at_equal_rows_the_same_base_rows_give_way_in_every_arm(pool: Pool) -> None:
    subsets = AddOne(rows=10, add_rows=4, replicates=1, base=("plain",), equal_rows=True).subsets(pool)
    assert [subset.arm for subset in subsets] == ["base", "plus", "plus", "plus"] and {len(subset) for subset in subsets} == {10}
    (left,) = {frozenset(set(subset.ids) & set(subsets[0].ids)) for subset in subsets[1:]}
    assert len(left) == 6


def test_a_base_of_all_sources_never_gives_a_source_the_same_row_twice(pool: Pool) -> None:
    subsets = AddOne(rows=8, add_rows=5, replicates=1).subsets(pool)
    for subset in subsets[2:]:
        assert len(set(subset.ids)) == 13 and subset.counts[str(subset.source)] == 7


def test_an_arm_less_a_source_is_the_whole_without_its_rows_or_made_up_for_by_the_others(pool: Pool) -> None:
    fewer = LeaveOne(rows=20, replicates=1).subsets(pool)
    whole = set(fewer[0].ids)
    for subset in fewer[1:]:
        assert set(subset.ids) < whole and len(subset) == 15 and subset.counts[str(subset.source)] == 0
    equal = LeaveOne(rows=20, replicates=1, equal_rows=True).subsets(pool)
    assert {len(subset) for subset in equal} == {20} and equal[0].ids == fewer[0].ids


def test_rows_do_not_depend_on_other_sources_or_the_order_of_files(tmp_path: Path) -> None:
    paths = write_pool(tmp_path, SOURCES)
    first = AddOne(6, 6, 1, base=("plain",), sources=("maths",)).subsets(Pool.read(*paths))
    again = AddOne(6, 6, 1, base=("plain",), sources=("maths",)).subsets(Pool.read(*reversed(paths[:3])))
    assert [subset.ids for subset in first] == [subset.ids for subset in again]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (lambda: AddOne(50, 20, 1, base=("plain",)), "plain has 60 rows; an arm takes 70"),
        (lambda: LeaveOne(4, 1, sources=("maths",)), "Leaving out maths leaves nothing"),
        (lambda: AddOne(4, 4, 1, base=tuple(SOURCES)), "none to add"),
    ],
)
def test_what_cannot_be_drawn_is_refused(pool: Pool, part: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        part().subsets(pool)


def test_replicates_have_seeds_of_their_own_so_that_a_design_has_no_others(pool: Pool) -> None:
    with pytest.raises(UsageError, match="seed of its own"):
        Design([AddOne(4, 4)], seeds=(0, 1))
    with pytest.raises(UsageError, match="not both"):
        Design([AddOne(4, 4), LeaveOne(4)])
    design = Design([AddOne(4, 4, base=("plain",), untouched=True)])
    assert Design.of(design.as_dict()).as_dict() == design.as_dict()


def test_the_matrix_shows_the_planted_effects_and_that_no_source_is_best_everywhere(pool: Pool, tmp_path: Path) -> None:
    matrix = made(pool, tmp_path, AddOne(20, 20, 4, base=("plain",), untouched=True))
    assert matrix.runs == (1 + 4 * 5, 1 + 4 * 5) and matrix.comparisons == 9 and matrix.rows == ("maths", "snippets", "talk", CONTROL)
    for source, outcome, effect in (("maths", "algebra", -0.15), ("talk", "chat", -0.125), ("snippets", "code", -0.1)):
        cell = matrix.cell(source, outcome)
        assert cell is not None and cell.low is not None and cell.high is not None and cell.estimate is not None
        assert cell.low < effect < cell.high and cell.high < 0 and cell.standing == "better" and cell.survives
    assert {outcome.name: outcome.best for outcome in matrix.outcomes} == {"algebra": "maths", "chat": "talk", "code": "snippets"}
    assert matrix.best_everywhere == () and matrix.verdict.startswith("No source is best on every outcome")
    assert matrix.times_best == {"maths": 1, "snippets": 1, "talk": 1}
    assert matrix.outcomes[0].untouched is not None
    control = matrix.cell(CONTROL, "algebra")
    assert control is not None and control.p_adjusted is None


def test_leaving_a_source_out_shows_what_it_contributes_with_the_same_sign(pool: Pool, tmp_path: Path) -> None:
    matrix = made(pool, tmp_path, LeaveOne(40, 4, equal_rows=True))
    cell = matrix.cell("maths", "algebra")
    assert matrix.against == "whole" and cell is not None and cell.estimate is not None and cell.estimate < -0.05
    assert cell.standing == "better"
    with pytest.raises(UsageError, match="no base"):
        of_folder(tmp_path / "study", against="more")


def test_what_is_better_when_higher_is_better_there(pool: Pool, tmp_path: Path) -> None:
    matrix = made(pool, tmp_path, AddOne(20, 20, 3, base=("plain",)), outcomes=("algebra",), higher=True)
    cell = matrix.cell("maths", "algebra")
    assert cell is not None and cell.estimate is not None and cell.estimate > 0 and cell.standing == "better"
    assert matrix.outcomes[0].best == "maths"


def test_one_replicate_gives_estimates_and_no_interval_and_says_so(pool: Pool, tmp_path: Path) -> None:
    matrix = made(pool, tmp_path, AddOne(10, 10, 1, base=("plain",)), outcomes=("algebra",))
    assert all(cell.estimate is not None and cell.low is None and cell.standing == "unknown" for cell in matrix.cells)
    assert "one replicate" in str(matrix.cells[0].reason) and any("one replicate" in note for note in matrix.notes)
    assert matrix.verdict == "Without intervals nothing is known of which source is best."


def test_held_against_more_of_the_base_the_control_is_gone_and_effects_are_less_its_own(pool: Pool, tmp_path: Path) -> None:
    base = made(pool, tmp_path, AddOne(20, 20, 3, base=("plain",)))
    more = of_folder(tmp_path / "study", against="more")
    assert CONTROL not in more.rows
    cells = [base.cell("maths", "chat"), base.cell(CONTROL, "chat"), more.cell("maths", "chat")]
    effect, control, beyond = (cell.estimate for cell in cells if cell is not None and cell.estimate is not None)
    assert beyond == pytest.approx(effect - control)


def test_held_against_the_untouched_model_each_source_alone_and_the_mixture_are_rows_and_what_got_worse_is_named(
    pool: Pool, tmp_path: Path
) -> None:
    base = made(pool, tmp_path, AddOne(40, 40, 4, equal_rows=True, untouched=True))
    before = of_folder(tmp_path / "study", against="untouched")
    assert before.rows == ("maths", "plain", "snippets", "talk", ALONE) and before.comparisons == 5 * 3
    cells = [before.cell("maths", "algebra"), before.cell(ALONE, "algebra"), base.cell("maths", "algebra")]
    alone, mixture, beyond = (cell.estimate for cell in cells if cell is not None and cell.estimate is not None)
    # A source alone against the mixture is what both did to the model, less one another.
    assert beyond == pytest.approx(alone - mixture)
    for source, outcome, effect in (
        ("maths", "algebra", -0.3),
        ("talk", "chat", -0.25),
        ("talk", "algebra", 0.05),
        (ALONE, "algebra", -0.0625),
    ):
        cell = before.cell(source, outcome)
        assert cell is not None and cell.low is not None and cell.high is not None and cell.low < effect < cell.high
    assert ("talk", "algebra") in {(cell.source, cell.outcome) for cell in before.regressions}
    assert any(note.startswith("Worse than the model before any training") and "talk on algebra" in note for note in before.notes)
    assert base.regressions == () and not any("before any training" in note for note in base.notes)
    # Which source is best depends on the sources, not on what they are held against.
    assert [outcome.may_be_best for outcome in before.outcomes] == [outcome.may_be_best for outcome in base.outcomes]
    text = "\n".join(lines(before))
    assert text.count("untouched") == 1 and ALONE in text
    assert report(before.as_dict()).html().count(">untouched model<") == 1


def test_a_study_without_the_untouched_model_or_without_a_base_is_not_held_against_it(pool: Pool, tmp_path: Path) -> None:
    made(pool, tmp_path / "add", AddOne(10, 10, 1, base=("plain",)), outcomes=("algebra",))
    with pytest.raises(UsageError, match="without the model before any training"):
        of_folder(tmp_path / "add" / "study", against="untouched")
    (tmp_path / "leave").mkdir()
    made(pool, tmp_path / "leave", LeaveOne(40, 1, untouched=True), outcomes=("algebra",))
    with pytest.raises(UsageError, match="no base"):
        of_folder(tmp_path / "leave" / "study", against="untouched")


def test_arms_that_never_change_an_answer_have_no_interval_of_rounding() -> None:
    right = np.array([1.0] * 9 + [0.0])
    worse = np.array([1.0] * 8 + [0.0, 0.0])
    # 0.1 is no binary fraction: means of equal changes differ in their last bit.
    runs = {"untouched": {0: right, 1: right, 2: right}, "plus a": {0: worse, 1: np.roll(worse, 1)[::-1] * worse, 2: worse}}
    runs |= {f"plus {name}": {0: right, 1: right, 2: right} for name in "bcdef"}
    blocks = Blocks({arm: {replicate: values / 3.0 for replicate, values in of_arm.items()} for arm, of_arm in runs.items()})
    known = prior(blocks, "untouched")
    same = contrast(blocks, "plus b", "untouched", known)
    assert same.estimate == 0
    assert same.spread is None or math.sqrt(same.spread.variance) > 1e-6
    tiny = contrast(blocks, "plus b", "untouched", replace(known, variance=1e-34) if known is not None else None)
    assert tiny.spread is None and "same in every replicate" in str(tiny.reason)


def test_a_map_of_one_outcome_is_as_wide_as_its_legend_which_is_seen_on_a_dark_page() -> None:
    cells = {("maths", "algebra"): HeatCell(1.0, "+0.1", "± 0.05", False, True, "")}
    scale = "0.0833 of right answers; 0.25 bits per byte, by the square root"
    for words in (scale, scale * 3, "1"):
        root = ElementTree.fromstring(
            heat_map(["maths"], ["algebra"], cells, title="t", legend=Legend(words, "told from 0", "sources", "outcomes"))
        )
        texts = {"".join(text.itertext()): text for text in root.findall(".//{*}text")}
        begin = float(texts[f"better: {words}"].attrib["x"])
        assert begin + 6 * len(f"better: {words}") <= float(root.attrib["width"])
    rects = [rect.attrib for rect in root.findall(".//{*}rect")]
    frames = [rect for rect in rects if rect.get("class") == "cell-edge"]
    assert len(frames) == 2
    for frame in frames:
        # Its stroke of 2, half of it outside, lies on something light.
        assert any(
            float(rect["x"]) < float(frame["x"]) - 1
            and float(rect["x"]) + float(rect["width"]) > float(frame["x"]) + float(frame["width"]) + 1
            and float(rect["y"]) < float(frame["y"]) - 1
            for rect in rects
            if "fill" in rect
        )


def test_where_several_sources_share_the_best_estimate_none_is_called_best(pool: Pool, tmp_path: Path) -> None:
    made(pool, tmp_path, AddOne(8, 8, 2, base=("plain",)), outcomes=("algebra",))
    plan = StudyFolder(tmp_path / "study").read()
    assert plan is not None
    record = {"unit": "share", "higher_is_better": True, "items": ["a", "b"], "weights": None, "clusters": None}
    same = {run: {"algebra": {**record, "values": [1.0, 0.0], "mean": 0.5}} for run in plan.runs}
    matrix = of_plan(plan, same)
    assert matrix.outcomes[0].best is None and set(matrix.times_best.values()) == {0}
    first = {
        **same,
        **{
            run: {"algebra": {**record, "values": [1.0, 1.0], "mean": 1.0}}
            for run in plan.runs
            if plan.by_name[run.subset]["source"] == "talk"
        },
    }
    assert of_plan(plan, first).outcomes[0].best == "talk"


def test_a_study_that_is_not_through_has_the_matrix_of_what_is_and_goes_on(pool: Pool, tmp_path: Path) -> None:
    whole = made(pool, tmp_path, AddOne(10, 10, 2, base=("plain",)))
    place = StudyFolder(tmp_path / "study")
    plan = place.read()
    assert plan is not None
    gone = [run for run in plan.runs if run.seed == 1 and plan.by_name[run.subset]["source"] == "talk"]
    for run in gone:
        (place.store.folder / f"{run.name}.json").unlink()
    part = of_folder(tmp_path / "study")
    cell = part.cell("talk", "chat")
    assert cell is not None and cell.replicates == 1 and cell.low is None and part.runs[0] == whole.runs[0] - 1
    assert any("9 of 10 runs have finished" in note for note in part.notes)


def test_a_study_of_mixtures_has_no_matrix(pool: Pool, tmp_path: Path) -> None:
    run_study(
        pool,
        None,
        Design([Mixtures(2, 8)]),
        trainer=CountingTrainer(tmp_path / "models"),
        grader=PlantedGrader("algebra"),
        folder=tmp_path / "study",
    )
    with pytest.raises(StudyError, match="neither adds nor leaves out"):
        of_folder(tmp_path / "study")
    with pytest.raises(UsageError, match="no plan"):
        of_folder(tmp_path)


def test_several_outcomes_are_columns_of_the_observations_and_their_mean_is_the_loss(pool: Pool, tmp_path: Path) -> None:
    study = run_study(
        pool,
        None,
        Design([Mixtures(3, 8)]),
        trainer=CountingTrainer(tmp_path / "models"),
        grader=[PlantedGrader(name) for name in OUTCOMES],
        folder=tmp_path / "study",
    )
    losses = np.stack([study.frame[f"outcome_{name}"].to_numpy() for name in OUTCOMES])
    assert study.frame["loss"].to_numpy() == pytest.approx(losses.mean(axis=0))
    with pytest.raises(UsageError, match="different names"):
        run_study(
            pool, None, Design([Mixtures(1, 4)]), trainer=CountingTrainer(tmp_path / "m"), grader=[PlantedGrader("a"), PlantedGrader("a")]
        )


def test_the_report_holds_the_map_and_reads_the_matrix_from_its_file_and_from_the_folder(pool: Pool, tmp_path: Path) -> None:
    matrix = made(pool, tmp_path, AddOne(10, 10, 2, base=("plain",), untouched=True))
    from instructsel.artifact import dump_json

    (tmp_path / "matrix.json").write_bytes(dump_json(matrix.as_dict()))
    assert read_effects(tmp_path / "matrix.json")["cells"] == matrix.as_dict()["cells"]
    of_file, of_place = report(tmp_path / "matrix.json"), report(tmp_path / "study")
    section = next(part for part in of_file.sections if part.name == "effects")
    assert section.as_dict() == next(part for part in of_place.sections if part.name == "effects").as_dict()
    page = of_file.html()
    assert page.count('class="cell-') >= len(matrix.cells) and "url(#effects-1-map-hatch)" in page
    assert matrix.verdict in page


def test_the_scale_is_blue_where_better_and_orange_where_worse() -> None:
    blue, orange = (tuple(int(color(share)[start : start + 2], 16) for start in (1, 3, 5)) for share in (0.9, -0.9))
    assert blue[2] > blue[0] and orange[0] > orange[2]


def simulated(seed: int, *, noisy: float = 1.0) -> Counter[bool]:
    """Whether the interval of each of five planted effects holds it, in a design of three replicates and ten items."""
    generator = np.random.default_rng(seed)
    effects = {"base": 0.0, "a": 1.0, "b": -1.0, "c": 0.0, "d": 2.0, "e": 0.5}
    items, shared = generator.normal(0, 5, 10), generator.normal(0, 3, 3)
    runs: dict[str, dict[int, Any]] = {}
    for arm, effect in effects.items():
        of_items = generator.normal(0, 2, 10)
        for replicate in range(3):
            run = generator.normal(0, noisy if arm == "a" else 1.0)
            values = items + effect + of_items + shared[replicate] + run + generator.normal(0, 1, 10)
            runs.setdefault(arm, {})[replicate] = values
    blocks = Blocks(runs)
    known = prior(blocks, "base")
    covered: Counter[bool] = Counter()
    for arm in effects.keys() - {"base"}:
        interval = contrast(blocks, arm, "base", known).interval(0.95)
        assert interval is not None
        covered[interval[0] <= effects[arm] <= interval[1]] += 1
    return covered


@pytest.mark.parametrize("noisy", [1.0, 2.0])
def test_intervals_of_planted_effects_cover_them(noisy: float) -> None:
    covered = sum((simulated(seed, noisy=noisy) for seed in range(120)), Counter())
    assert covered[True] / covered.total() >= 0.92
