"""The length-bias report: the published correlation, and planted judges that only count words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.human.files import write_judgments
from instructsel.human.record import Record
from instructsel.human.results import arms_in, grades_of_people
from instructsel.protocols import Grades
from instructsel.reports.plain_text import length_bias_sentences
from instructsel.reports.render import report
from instructsel.verification.grades_table import Run
from instructsel.verification.length_biases import length_biases
from tests.verification.test_skills import LENGTHS, TABLE_3


def judged(arm: str, seed: int, values: list[float], **lengths: list[int]) -> Run:
    items = tuple(f"i{number}" for number in range(len(values)))
    record = {"lengths": lengths}
    return Run(arm, 0, seed, Grades("judge", items, np.array(values), np.ones(len(items)), unit="preference", higher_is_better=True, record=record))  # fmt: skip


def published() -> list[Run]:
    """A data set each: its win rate, and the mean length of its responses in tenths of a token."""
    return [
        judged(arm, 0, [(row[-1] or 0.0) / 100], output=[round(10 * LENGTHS[arm])], reference=[1000])
        for arm, row in TABLE_3.items()
        if arm in LENGTHS
    ]


def test_what_verify_prints_of_the_published_table_is_its_correlation_of_length_and_win_rate() -> None:
    bias = length_biases(published())["judge"]
    assert bias["r"] == pytest.approx(0.91, abs=0.005) and (bias["of"], bias["n"]) == ("arms", 12)
    assert 0.6 < bias["low"] < bias["r"] < bias["high"] < 1.0
    (first, *_) = length_bias_sentences(bias)
    assert first.startswith("Length bias: over 12 arms, win rate and mean length correlate at r = +0.91 [+0.")
    assert json.loads(json.dumps(bias, allow_nan=False)) == bias


def test_a_judge_that_only_counts_is_known_by_its_agreement_with_one() -> None:
    generator = np.random.default_rng(0)
    lengths, other = generator.integers(1, 100, (2, 300)).tolist()
    unique, other_unique = generator.integers(1, 100, (2, 300)).tolist()
    by_length = [0.5 + (a > b) / 2 - (a < b) / 2 for a, b in zip(lengths, other, strict=True)]
    counts: dict[str, Any] = {"output": lengths, "reference": other, "unique_output": unique, "unique_reference": other_unique}
    dummies = length_biases([judged("selection", 0, by_length, **counts)])["judge"]["dummies"]
    longest, words = dummies["longest"], dummies["most unique words"]
    assert longest["agrees"]["value"] == 1.0 and longest["agrees"]["low"] > 0.98
    # Unique words are drawn apart from lengths here: half of the pairs.
    assert words["agrees"]["low"] < 0.5 < words["agrees"]["high"]
    # The win rate of a judge that declares the longer response the winner, ties half.
    assert longest["win_rates"]["selection"] == pytest.approx(100 * np.mean(by_length))


def test_models_of_two_arms_have_a_correlation_and_no_interval() -> None:
    runs = [
        judged(arm, seed, [value + 0.01 * seed], output=[length + seed], reference=[50])
        for arm, value, length in (("selection", 0.7, 80), ("random", 0.4, 40))
        for seed in range(3)
    ]
    bias = length_biases(runs)["judge"]
    assert (bias["of"], bias["n"], bias["low"]) == ("models", 6, None) and bias["r"] > 0.9
    assert "no interval over models" in bias["reason"]
    # With a third arm each is one point, however many seeds it has.
    third = length_biases([*runs, judged("longest", 0, [0.5], output=[60], reference=[50])])["judge"]
    assert (third["of"], third["n"]) == ("arms", 3)


def test_with_one_arm_the_reason_is_said() -> None:
    bias = length_biases([judged("selection", 0, [0.7], output=[3], reference=[2])])["judge"]
    assert bias["r"] is None
    assert length_bias_sentences(bias)[0] == "Length bias: not known over models. 1 pair of length and win rate is too few; it takes three."
    # Without lengths there is nothing to say.
    assert length_biases([judged("selection", 0, [0.7])]) == {} and length_bias_sentences({}) == []


def test_of_peoples_judgments_characters_and_unique_words_are_counted(tmp_path: Path) -> None:
    records = [Record("a", f"i{n}", "p", "selection", "random", "to be or not to be", "a word", preference=0) for n in range(4)]
    write_judgments(tmp_path / "p.csv", records)
    chosen = {arm: [(str(tmp_path / "p.csv"), arm)] for arm in arms_in(tmp_path / "p.csv")}
    grades = grades_of_people(chosen)["selection"].grades[0][0][0]
    assert grades.record["lengths"] == {"output": [18] * 4, "reference": [6] * 4, "unique_output": [4] * 4, "unique_reference": [2] * 4}
    assert length_biases([Run("selection", 0, 0, grades)])["people"]["dummies"]["longest"]["agrees"]["value"] == 1.0


def test_the_report_has_the_raw_and_the_length_controlled_rate_and_the_length_bias() -> None:
    rates = {"judge": {"selection": {"runs": [{}], "win_rate": 62.5, "length_controlled": {"win_rate": 48.0}, "n_total": 8}}}
    plain = {"kind": "verification", "schema": 2, "win_rates": rates, "length_biases": length_biases(published())}
    (section,) = [section for section in report(plain).as_dict()["sections"] if section["name"] == "verification"]
    tables = {part["name"]: part["rows"] for part in section["parts"]}
    (rate,) = tables["win-rates-1-1"]
    assert (rate["win_rate"], rate["controlled"]) == (62.5, 48.0)
    facts = {row["fact"]: row["value"] for row in tables["length-bias-1-1"]}
    assert facts["correlation of length with the win rate"] == pytest.approx(0.91, abs=0.005) and facts["arms"] == 12
    assert facts["share of decided pairs in which the longer response is preferred"] is not None
