"""Skills: the published table's flags, and the published correlation of length with preference."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scipy import stats

from instructsel.errors import UsageError
from instructsel.stats.correlation import length_bias
from instructsel.verification.skills import SkillTable, share_of_reference

# Wang et al. 2023, arXiv:2306.04751v2, Table 3 (LLaMA-1 13B), and the completion lengths of Table 1.
SKILLS = ("MMLU", "GSM", "BBH", "TyDiQA", "Codex", "AlpacaEval")
TABLE_3: dict[str, tuple[float | None, ...]] = {
    "vanilla": (42.3, 14.5, 39.3, 43.2, 28.6, None),
    "SuperNI": (49.7, 4.0, 4.5, 50.2, 12.9, 4.2),
    "CoT": (44.2, 40.0, 41.9, 47.8, 23.7, 6.0),
    "Flan V2": (50.6, 20.0, 40.8, 47.2, 16.8, 3.2),
    "Dolly": (45.6, 18.0, 28.4, 46.5, 31.0, 13.7),
    "OASST1": (43.3, 15.0, 39.6, 33.4, 31.9, 58.1),
    "Self-Instruct": (30.4, 11.0, 30.7, 41.3, 12.5, 5.0),
    "Unnatural": (46.4, 8.0, 33.7, 40.9, 23.9, 8.4),
    "Alpaca": (45.0, 9.5, 36.6, 31.1, 29.9, 21.9),
    "Code-Alpaca": (42.5, 13.5, 35.6, 38.9, 34.2, 15.8),
    "GPT4-Alpaca": (46.9, 16.5, 38.8, 23.5, 36.6, 63.1),
    "Baize": (43.7, 10.0, 38.7, 33.6, 28.7, 21.9),
    "ShareGPT": (49.3, 27.0, 40.4, 30.5, 34.1, 70.5),
}
LENGTHS = {
    "SuperNI": 38.7, "CoT": 53.2, "Flan V2": 31.2, "Dolly": 91.3, "OASST1": 212.5, "Self-Instruct": 29.3,
    "Unnatural": 23.6, "Alpaca": 64.6, "Code-Alpaca": 67.8, "GPT4-Alpaca": 161.8, "Baize": 52.8, "ShareGPT": 357.8,
}  # fmt: skip


def published() -> dict[str, dict[str, float | None]]:
    return {arm: dict(zip(SKILLS, row, strict=True)) for arm, row in TABLE_3.items()}


def test_the_published_table_flags_1_6_8_8_and_5_data_sets() -> None:
    table = SkillTable.of(published(), base="vanilla")
    assert [len(table.regressed(skill)) for skill in SKILLS] == [1, 6, 8, 8, 5, 0]
    assert table.regressed("MMLU") == ("Self-Instruct",)
    cell = table.cells["SuperNI"]["GSM"]
    assert (cell.value, cell.change, cell.regressed, cell.by) == (4.0, pytest.approx(-10.5), True, "plain")
    # The base has no win rate: nothing is said against it.
    assert table.cells["SuperNI"]["AlpacaEval"].regressed is None
    assert json.loads(json.dumps(table.as_dict(), allow_nan=False))["regressed"]["BBH"] == 8


AVERAGES = {
    "SuperNI": 20.9, "CoT": 33.9, "Flan V2": 29.8, "Dolly": 30.5, "OASST1": 36.9, "Self-Instruct": 21.8, "Unnatural": 26.9,
    "Alpaca": 29.0, "Code-Alpaca": 30.1, "GPT4-Alpaca": 37.6, "Baize": 29.4, "ShareGPT": 42.0,
}  # fmt: skip
MIXTURES = {"Human": (50.2, 38.5, 39.6, 47.0, 25.0, 35.0, 39.2), "Human+GPT": (49.3, 40.5, 43.3, 45.6, 35.9, 56.5, 45.2)}
# Tables 4 and 5: the six columns and the printed average.
SIZES = {
    "Pythia 6.9B": (34.8, 16.0, 29.2, 32.8, 20.9, 23.5, 26.2), "OPT 6.7B": (32.6, 13.5, 27.9, 24.1, 8.9, 25.9, 22.2),
    "LLaMA 7B": (44.8, 25.0, 38.5, 43.5, 29.1, 48.6, 38.3), "LLaMA-2 7B": (49.2, 37.0, 44.2, 52.8, 33.9, 57.3, 45.7),
    "ShareGPT 65B": (61.3, 59.0, 55.8, 31.6, 56.2, 73.6, 56.3), "Human 65B": (60.4, 60.0, 54.8, 58.3, 44.6, 43.4, 53.6),
    "Tülu 30B": (57.7, 53.0, 51.9, 51.9, 48.0, 62.3, 54.1), "Tülu 65B": (59.2, 59.0, 54.4, 56.6, 49.4, 61.8, 56.7),
    "Tülu-1.1 13B": (52.3, 53.0, 50.6, 58.8, 38.9, 64.0, 52.9), "ChatGPT": (67.9, 76.0, 66.1, 51.9, 88.4, 83.6, 72.3),
    "GPT-4": (82.4, 92.5, 88.0, 70.8, 94.1, 93.5, 86.9),
}  # fmt: skip
LLAMA_65B = {"MMLU": 58.7, "GSM": 50.0, "BBH": 58.1, "TyDiQA": 56.8, "Codex": 46.9}


def test_the_printed_averages_are_the_unweighted_means_of_the_six_columns() -> None:
    rows = published() | {name: dict(zip(SKILLS, row[:6], strict=True)) for name, row in (MIXTURES | SIZES).items()}
    averages = SkillTable.of(rows, base="vanilla").averages()
    # The base has no win rate, and so no average.
    assert averages.pop("vanilla") is None
    printed = AVERAGES | {name: row[6] for name, row in (MIXTURES | SIZES).items()}
    assert set(printed) == set(averages)
    for name, value in averages.items():
        assert value == pytest.approx(printed[name], abs=0.0501), name


def test_no_single_data_set_is_the_best_everywhere() -> None:
    rows = published() | {name: dict(zip(SKILLS, row[:6], strict=True)) for name, row in MIXTURES.items()}
    table = SkillTable.of(rows, base="vanilla")
    best = {skill: table.best(skill) for skill in SKILLS}
    assert best == {
        "MMLU": ("Flan V2",), "GSM": ("Human+GPT",), "BBH": ("Human+GPT",), "TyDiQA": ("SuperNI",), "Codex": ("GPT4-Alpaca",),
        "AlpacaEval": ("ShareGPT",),
    }  # fmt: skip
    with pytest.raises(UsageError, match="MMLU"):
        table.best("MMLUU")


def test_the_best_open_model_of_each_skill_reaches_87_per_cent_of_chatgpt() -> None:
    open_models = [dict(zip(SKILLS, row[:6], strict=True)) for name, row in SIZES.items() if name not in ("ChatGPT", "GPT-4")]
    best = {skill: max(row[skill] for row in [*open_models, LLAMA_65B] if skill in row) for skill in SKILLS}
    share = share_of_reference(best, dict(zip(SKILLS, SIZES["ChatGPT"][:6], strict=True)))
    assert 100 * share == pytest.approx(87.0, abs=0.05)
    # The printed 73 % of GPT-4 needs more settings than these six columns: they give 71 %.
    assert 100 * share_of_reference(best, dict(zip(SKILLS, SIZES["GPT-4"][:6], strict=True))) == pytest.approx(71, abs=0.5)
    for values, reference in (({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 1.0}, {"a": 0.0})):
        with pytest.raises(UsageError):
            share_of_reference(values, reference)


def test_completion_length_follows_the_published_win_rate() -> None:
    found = length_bias([LENGTHS[arm] for arm in LENGTHS], [TABLE_3[arm][-1] or 0.0 for arm in LENGTHS])
    assert found.r == pytest.approx(0.91, abs=0.005)
    assert found.r_log == pytest.approx(0.92, abs=0.005)
    # Two data sets tie at 21.9: the published 0.80 is 0.806 with both at their mean rank.
    theirs: Any = stats.spearmanr(list(LENGTHS.values()), [TABLE_3[arm][-1] for arm in LENGTHS])
    assert found.rank == pytest.approx(theirs.statistic, rel=1e-12) == pytest.approx(0.80, abs=0.006)
    assert found.r is not None and found.low is not None and found.high is not None
    assert 0.6 < found.low < found.r < found.high < 1.0
    assert found.n == 12


def test_with_standard_errors_only_what_is_significant_is_flagged() -> None:
    values = {"base": {"x": 50.0}, "a": {"x": 48.0}, "b": {"x": 46.0}}
    errors = {arm: {"x": 1.0} for arm in values}
    # One-sided at 95 %: 1.645 · √2 = 2.33.
    table = SkillTable.of(values, base="base", standard_errors=errors)
    assert table.regressed("x") == ("b",) and table.cells["a"]["x"].by == "significant"
    assert SkillTable.of(values, base="base").regressed("x") == ("a", "b")
    assert SkillTable.of(values, base="base", margin=3.0).regressed("x") == ("b",)
    assert SkillTable.of(values, base="base", standard_errors=errors, margin=2.0).regressed("x") == ()


def test_a_skill_where_lower_is_better_turns_round() -> None:
    values = {"base": {"loss": 1.0, "score": 1.0}, "a": {"loss": 1.2, "score": 1.2}}
    table = SkillTable.of(values, base="base", higher_is_better={"loss": False})
    assert (table.regressed("loss"), table.regressed("score")) == (("a",), ())
    assert SkillTable.of(values, base="base", higher_is_better=False).regressed("score") == ("a",)


def test_a_skill_that_was_not_measured_is_not_flagged() -> None:
    table = SkillTable.of({"base": {"x": 1.0, "y": 1.0}, "a": {"x": None}, "b": {"y": 0.5}}, base="base")
    assert (table.regressed("x"), table.regressed("y")) == ((), ("b",))
    assert table.cells["a"]["y"].value is None


def test_a_table_that_cannot_be_is_refused() -> None:
    values = {"base": {"x": 1.0}, "a": {"x": 2.0}}
    with pytest.raises(UsageError, match="no row 'bas'"):
        SkillTable.of(values, base="bas")
    with pytest.raises(UsageError, match="no skill 'y'"):
        SkillTable.of(values, base="base").regressed("y")
    with pytest.raises(UsageError, match="value of a in x is nan"):
        SkillTable.of({**values, "a": {"x": float("nan")}}, base="base")
    with pytest.raises(UsageError, match="standard error of a in x is -1"):
        SkillTable.of(values, base="base", standard_errors={"a": {"x": -1.0}})
    with pytest.raises(UsageError, match="margin of -1"):
        SkillTable.of(values, base="base", margin=-1)


def test_lengths_without_a_correlation_give_a_reason() -> None:
    assert length_bias([1, 2], [1, 2]).reason == "2 pairs of length and win rate are too few; it takes three."
    assert length_bias([5, 5, 5], [1, 2, 3]).r is None
    line = length_bias([1, 2, 3, 4], [10, 20, 30, 40])
    assert (line.r, line.low) == (pytest.approx(1.0), None)
    with pytest.raises(UsageError, match="not above 0"):
        length_bias([0, 1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="3 lengths and 2 win rates"):
        length_bias([1, 2, 3], [1, 2])
