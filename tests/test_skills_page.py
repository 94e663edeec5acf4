"""The page on skills of data sets says what its program computes."""

from __future__ import annotations

from tests.conftest import ROOT
from tests.test_embedded_reward_page import script

PAGE = script(ROOT / "docs/build_skills_of_data_sets.py")


def test_the_page_and_its_picture_are_what_the_program_writes() -> None:
    assert PAGE.PAGE.read_text(encoding="utf-8") == PAGE.page()
    assert PAGE.PICTURE.read_text(encoding="utf-8") == PAGE.picture(PAGE.skills())


def test_a_change_is_known_where_sampled_items_cannot_explain_it() -> None:
    cells = PAGE.skills().cells
    # √(42.3 · 57.7 / 14,042) and √(50.6 · 49.4 / 14,042) together are 0.59 points; 8.3 points are far beyond 1.96 of them.
    change = cells["Flan V2"]["MMLU"]
    assert change.change is not None
    assert change.low is not None and change.low > 7.1 and round(change.change, 1) == 8.3
    # 15 % against 14.5 % of 200 questions.
    unknown = cells["Open Assistant 1"]["GSM8K"]
    assert unknown.low is not None and unknown.high is not None and unknown.low < 0 < unknown.high
