"""The page on five questions: its figures are those that follow from what every run was graded with, and from the counts of comparisons."""

from __future__ import annotations

import importlib
import re
import statistics
from typing import Any, Final

import pytest

from instructsel.study.effects import ALONE
from instructsel.study.folder import Plan
from tests.conftest import ROOT
from tests.test_embedded_reward_page import script

PAGE: Final = script(ROOT / "docs/build_research_questions.py")
# The script puts its folder on the path.
MEASURED: Final = importlib.import_module("research_questions.measured")
WORDING: Final = importlib.import_module("research_questions.wording")


def by_arm(content: Any, outcome: str) -> dict[str, dict[int, float]]:
    """Arm → replicate → the mean of an outcome, by hand."""
    plan = Plan.of(content["plan"], ROOT)
    means: dict[str, dict[int, float]] = {}
    for run in plan.runs:
        if run.name in content["runs"]:
            subset = plan.by_name[run.subset]
            record = content["runs"][run.name]["outcomes"][outcome]
            weights = record["weights"] or [1.0] * len(record["values"])
            mean = sum(weight * value for weight, value in zip(weights, record["values"], strict=True)) / sum(weights)
            means.setdefault(subset["source"] or subset["arm"], {})[subset["replicate"]] = mean
    return means


def test_the_page_and_its_pictures_say_what_was_measured() -> None:
    assert PAGE.PAGE.read_text(encoding="utf-8") == PAGE.page(), "run: python docs/build_research_questions.py"
    drawn = PAGE.pictures()
    assert {path.name for path in PAGE.PICTURES.iterdir()} == set(drawn)
    for name, text in drawn.items():
        assert (PAGE.PICTURES / name).read_text(encoding="utf-8") == text


def test_every_effect_is_the_mean_of_an_arm_less_that_of_what_it_is_held_against() -> None:
    content = PAGE.figures()
    untouched, base = PAGE.matrix(content, "untouched"), PAGE.matrix(content, "base")
    checked = 0
    for outcome in PAGE.OUTCOMES:
        means = by_arm(content, outcome)
        (before,) = means["untouched"].values()
        for source in (*untouched.sources, ALONE):
            arm = means.get("base" if source == ALONE else source, {})
            cell = untouched.cell(source, outcome)
            assert cell is not None
            if not arm:
                assert cell.estimate is None
                continue
            assert cell.estimate == pytest.approx(statistics.fmean(arm.values()) - before, abs=2e-6)
            assert cell.replicates == len(arm) and (cell.low is None) == (len(arm) < 2 or cell.reason is not None)
            checked += 1
            mixture = {replicate: value - means["base"][replicate] for replicate, value in arm.items() if replicate in means["base"]}
            held = base.cell(source, outcome)
            if held is not None and mixture:
                assert held.estimate == pytest.approx(statistics.fmean(mixture.values()), abs=2e-6)
    assert checked >= len(PAGE.OUTCOMES)


def test_the_design_that_was_run_is_the_one_that_was_decided() -> None:
    content = PAGE.figures()
    (part,) = content["plan"]["configuration"]["design"]["parts"]
    decided = content["protocol"]
    design = decided["design"]
    assert content["plan"]["launch"] is None and part["equal_rows"] and part["untouched"] and part["base"] is None
    assert (part["rows"], part["add_rows"], part["replicates"]) == (design["rows"], design["rows"], design["replicates"])
    plan = Plan.of(content["plan"], ROOT)
    assert {subset["rows"] for subset in plan.subsets if subset["arm"] != "untouched"} == {design["rows"]}
    mixtures = [subset["shares"] for subset in plan.subsets if subset["arm"] == "base"]
    assert len(mixtures) == design["replicates"] and all(share == pytest.approx(1 / 6) for shares in mixtures for share in shares.values())
    items = {name: len(record["items"]) for name, record in next(iter(content["runs"].values()))["outcomes"].items()}
    assert items == {name: decided["items"][name.removesuffix(" bits")] for name in PAGE.OUTCOMES}


def test_the_results_hold_no_text_of_a_row() -> None:
    for run in PAGE.figures()["runs"].values():
        for record in run["outcomes"].values():
            assert all(re.fullmatch("[0-9a-f]{12}", item) for item in record["items"])


def test_what_is_recomputed_of_the_published_tables_is_what_the_paper_says() -> None:
    text = PAGE.page()
    for figure in ("1 / 6 / 8 / 8 / 5 of 12", "r = 0.91", "87.0 % of ChatGPT", "first with 45.2", "BBH −3.7", "72.3 %"):
        assert figure in text, figure


def test_a_detectable_effect_is_found_as_often_as_is_said() -> None:
    effects = PAGE.matrix(PAGE.figures(), "untouched")
    sizes = [(cell, size) for cell in effects.cells if (size := MEASURED.detectable(cell)) is not None]
    for cell, size in sizes:
        # More than the half width: an effect of that size is found every other time.
        assert (cell.high - cell.low) / 2 < size < cell.high - cell.low


def test_the_share_of_longer_responses_is_counted_of_verdicts_that_are_no_ties() -> None:
    assert WORDING.longer({"11": 6, "22": 2, "12": 1, "21": 1, "00": 50, "01": 3, "20": 9}).startswith("80.0 %")
    assert WORDING.longer({"11": 6, "22": 2, "12": 1, "21": 1}).endswith("of 10")
