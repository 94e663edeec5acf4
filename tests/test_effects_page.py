"""The page of what each source adds: its figures are those that follow from what every run was graded with."""

from __future__ import annotations

from typing import Final

from instructsel.commands._effects import drawn
from tests.conftest import ROOT
from tests.test_embedded_reward_page import script

PAGE: Final = script(ROOT / "docs/build_effects.py")


def test_the_matrix_in_the_results_follows_from_the_grades_of_the_runs() -> None:
    content = PAGE.figures()
    for against, expected in content["effects"].items():
        computed = PAGE.matrix(content, against).as_dict()
        assert computed["verdict"] == expected["verdict"] and computed["times_best"] == expected["times_best"]
        for ours, theirs in zip(computed["cells"], expected["cells"], strict=True):
            assert (ours["source"], ours["outcome"], ours["standing"]) == (theirs["source"], theirs["outcome"], theirs["standing"])
            for key in ("estimate", "low", "high"):
                assert ours[key] is None if theirs[key] is None else abs(ours[key] - theirs[key]) <= 1e-9


def test_the_design_that_was_run_is_the_one_that_was_decided() -> None:
    content = PAGE.figures()
    (part,) = content["plan"]["configuration"]["design"]["parts"]
    decided = content["protocol"]["design"]
    assert content["plan"]["launch"] is None
    assert (part["rows"], part["add_rows"], part["replicates"], part["base"]) == (
        decided["rows"],
        decided["add_rows"],
        decided["replicates"],
        decided["base_sources"],
    )
    assert content["plan"]["configuration"]["grader"]["unit"] == "bits per byte"


def test_the_page_and_the_map_say_what_was_measured() -> None:
    assert PAGE.PAGE.read_text(encoding="utf-8") == PAGE.page(), "run: python docs/build_effects.py"
    assert PAGE.MAP.read_text(encoding="utf-8") == drawn(PAGE.matrix(PAGE.figures(), "base").as_dict())
