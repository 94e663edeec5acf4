"""The judge of the embedded reward: its statistics by hand, its readers on the real files, and scorers whose figures are known."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ROOT

Floats = NDArray[np.float64]
SCRIPT = ROOT / "benchmarks" / "models" / "embedded_reward" / "judge.py"


def loaded() -> ModuleType:
    """The script as a module, the search path left as it was."""
    before = list(sys.path)
    specification = importlib.util.spec_from_file_location("embedded_reward_judge", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


judge = loaded()


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals do not matter to a test of values."""
    monkeypatch.setattr(judge, "DRAWS", 20)


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def lengths(texts: Sequence[tuple[str, str]]) -> Floats:
    """The longer response is the better one."""
    return np.array([len(response) for _, response in texts], dtype=np.float64)


def constant(texts: Sequence[tuple[str, str]]) -> Floats:
    """All the same."""
    return np.zeros(len(texts))


def bench(score: Callable[[Sequence[tuple[str, str]]], Floats], cosine: Any = None) -> Any:
    return judge.Bench(score, cosine, 1)


# Statistics


def test_wilson_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, method 3: 0.2553 to 0.3662; 0 of 20: 0 to 0.1611.
    found = judge.proportion(np.array([1.0] * 81 + [0.0] * 182))
    assert [round(found[name], 4) for name in ("value", "low", "high")] == [0.3080, 0.2553, 0.3662] and found["n"] == 263
    none = judge.proportion(np.zeros(20))
    assert none["low"] == 0.0 and round(none["high"], 4) == 0.1611


def test_what_has_no_pairs_has_null_figures() -> None:
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    assert (
        judge.proportion(np.zeros(0))
        == judge.mean(np.zeros(0), generator())
        == judge.balanced(np.zeros(0), np.zeros(0), generator())
        == nothing
    )


def test_a_tie_in_the_score_counts_half() -> None:
    assert judge.points(np.array([2.0, 0.0, -0.1])).tolist() == [1.0, 0.5, 0.0]


def test_pairs_with_the_longer_and_the_shorter_one_better_weigh_half_each() -> None:
    # Longer better: 3 of 4 right. Shorter better: 0 of 1. Equal: left out. (0.75 + 0) / 2.
    right, longer = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0]), np.array([5.0, 2.0, 9.0, 1.0, -3.0, 0.0])
    found = judge.balanced(right, longer, generator())
    assert found["value"] == 0.375 and found["n"] == 5


def test_the_longer_answer_is_at_chance_where_lengths_are_balanced() -> None:
    longer = np.array([5.0, 2.0, 9.0, -1.0])
    assert judge.balanced(judge.points(longer), longer, generator())["value"] == 0.5


def test_pairs_of_one_prompt_are_drawn_together() -> None:
    # Two prompts, one all right and one all wrong: a draw has neither, one or both of them right.
    right, prompts = np.array([1.0] * 50 + [0.0] * 50), ["a"] * 50 + ["b"] * 50
    found = judge.by_prompt(right, prompts, generator())
    assert (found["value"], found["low"], found["high"], found["n"]) == (0.5, 0.0, 1.0, 100)
    apart = judge.by_prompt(right, [str(number) for number in range(100)], generator())
    assert 0.35 < apart["low"] < apart["high"] < 0.65


@pytest.mark.parametrize("true_scale", [0.3, 1.0, 4.0])
def test_the_scale_pairs_were_drawn_with_is_found_again(true_scale: float) -> None:
    chance = np.random.default_rng(3)
    gaps = chance.normal(0, 1.5, 40_000)
    # The better response is the first with sigmoid(scale · gap): the difference takes its sign from who won.
    won = chance.random(len(gaps)) < 1 / (1 + np.exp(-true_scale * gaps))
    (found,) = judge.best_scales(np.where(won, gaps, -gaps)[None])
    assert found == pytest.approx(true_scale, rel=0.05)


def test_the_best_scale_is_where_the_slope_is_zero() -> None:
    differences = np.array([[1.0, 2.0, -0.5, 0.0, 3.0, -1.0], [1.0, -1.0, 2.0, -2.0, 0.5, -0.5], [1.0, 1.0, 1.0, 1.0, 1.0, -3.0]])
    scales = judge.best_scales(differences)
    assert abs((differences[0] / (1 + np.exp(scales[0] * differences[0]))).sum()) < 1e-6
    assert scales[1] == 0.0
    # Two thirds are right by one and the rest wrong by one: sigmoid(s) = 2/3, s = ln 2.
    assert judge.best_scales(np.array([[1.0, 1.0, -1.0]]))[0] == pytest.approx(np.log(2))


def test_pairs_below_chance_have_scale_zero_and_pairs_told_apart_have_a_capped_one(few_draws: None) -> None:
    assert judge.calibration(np.array([-1.0, -2.0, 0.5]), generator())["scale"]["value"] == 0.0
    assert judge.calibration(np.zeros(5), generator())["scale"]["value"] == 0.0
    perfect = judge.calibration(np.array([1.0, 3.0]), generator())
    assert (
        perfect["capped"] and perfect["scale"]["value"] == judge.STEEPEST / 2 and perfect["error_at_scale"]["value"] == pytest.approx(0.0)
    )


def test_the_calibration_error_is_the_mean_gap_of_ten_bins() -> None:
    # Ten bins of two, the same |difference| in both; the first five right twice, the others once.
    sizes = np.repeat(np.arange(1, 11) / 10, 2)
    signs = np.array([1, 1] * 5 + [1, -1] * 5)
    said = 1 / (1 + np.exp(-np.arange(1, 11) / 10))
    expected = np.abs(said - np.array([1.0] * 5 + [0.5] * 5)).mean()
    assert judge.calibration_error(sizes * signs, 1.0) == pytest.approx(expected)
    assert judge.calibration_error(sizes * signs, 0.0) == pytest.approx(0.25)


def test_the_partial_rank_correlation_follows_from_the_three_plain_ones(few_draws: None) -> None:
    chance = np.random.default_rng(5)
    z = chance.normal(size=60)
    x, y = np.round(z + chance.normal(size=60), 1), np.round(-z + chance.normal(size=60), 1)
    xy, xz, yz = (judge.related(*pair, None, generator())["value"] for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert judge.related(x, y, z, generator())["value"] == pytest.approx(expected)


def test_a_column_without_spread_has_no_correlation() -> None:
    assert judge.related(np.ones(9), np.arange(9.0), None, generator())["value"] is None


def test_the_area_is_the_share_of_pairs_across_prompts_in_the_right_order(few_draws: None) -> None:
    chance = np.random.default_rng(7)
    untouched, corrupted = np.round(chance.normal(0.5, 1, 12), 1), np.round(chance.normal(0, 1, 12), 1)
    prompts = np.array([0, 0, *range(1, 11)])
    wins = [
        1.0 if untouched[i] > corrupted[j] else 0.5 if untouched[i] == corrupted[j] else 0.0
        for i in range(12)
        for j in range(12)
        if prompts[i] != prompts[j]
    ]
    value, draws, count = judge.detection(untouched, corrupted, prompts[:, None] != prompts[None, :], generator())
    assert value == pytest.approx(np.mean(wins)) and count == 12 and len(draws) == 20 and 0 <= draws.min() <= draws.max() <= 1


def test_the_interval_of_a_mean_is_that_of_the_normal_where_there_are_many() -> None:
    values = np.random.default_rng(9).normal(2, 1, 2000)
    found = judge.mean(values, generator())
    half = 1.96 * values.std() / np.sqrt(2000)
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.01) and found["high"] == pytest.approx(values.mean() + half, abs=0.01)


def test_the_nearest_answers_are_those_nearest_in_length_without_the_picked_one() -> None:
    sizes = np.array([10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 90.0, 91.0])
    assert sorted(judge.nearest(sizes, 2).tolist()) == [0, 1, 3, 4, 5]
    # One below the picked one, three above, one tie: 1.5 of 5.
    values = np.array([0.0, 5.0, 1.0, 5.0, 1.0, 5.0, -9.0, -9.0])
    assert judge.percentile(values, 2, judge.nearest(sizes, 2)) == pytest.approx(0.3)


def test_a_pick_shared_by_several_best_answers_counts_its_share() -> None:
    outputs = ["a", "b", "b", "c"]
    assert judge.same_pick(np.array([0.0, 2.0, 1.0, 1.0]), outputs, 2) == 1.0
    assert judge.same_pick(np.array([2.0, 2.0, 1.0, 1.0]), outputs, 0) == 0.5
    assert judge.same_pick(np.array([0.0, 2.0, 1.0, 1.0]), outputs, 3) == 0.0


# Readers


def test_a_dialogue_is_split_before_the_last_answer_and_loses_its_markers() -> None:
    assert judge.split("\n\nHuman: One?\n\nAssistant: Two.\n\nHuman\n\nHuman: Three?\n\nAssistant: Four.\n\nFive.") == (
        "One?\nTwo.\nThree?",
        "Four.\n\nFive.",
    )
    assert judge.split("## Human:\nOne?\n\n[removed]\n\n\n\n## Assistant:\n two") == ("One?\n\n[removed]", "two")
    assert judge.split("\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: Three?") is None


def test_a_marker_that_an_assistant_wrote_itself_goes_from_the_history_and_stays_in_the_answer() -> None:
    assert judge.split("\n\nHuman: One?\n\nAssistant: Human: Two.\n\nHuman: Three?\n\nAssistant: Human: Four.") == (
        "One?\nTwo.\nThree?",
        "Human: Four.",
    )


def test_dialogues_without_a_common_history_are_counted() -> None:
    better = "\n\nHuman: One?\n\nAssistant: Two."
    found = judge.dialogues("x", [(better, "\n\nHuman: One?\n\nAssistant: No."), (better, "\n\nHuman: Other?\n\nAssistant: No.")])
    assert found.pairs == [judge.Pair("One?", "Two.", "No.")] and found.left_out == {"ties": 0, "not_split": 1}


def test_escapes_become_the_characters_they_mean_and_other_backslashes_stay() -> None:
    assert judge.unescaped(r"a\nb\t\"c\" \u00e9 \ud83e\udd14 \\frac{1}{2} \sqrt") == 'a\nb\t"c" é 🤔 \\frac{1}{2} \\sqrt'


COUNTS: dict[str, tuple[int, int, dict[str, int]]] = {
    "webgpt": (901, 656, {"ties": 245, "not_split": 0}),
    "pandalm": (999, 894, {"ties_or_no_majority": 105}),
    "llmbar": (419, 419, {"ties": 0}),
    "expert_revisions": (2032, 1966, {"equal": 66}),
    "faireval": (80, 66, {"ties": 14}),
    "hh_helpful": (2352, 2342, {"ties": 0, "not_split": 10}),
    "hh_harmless": (2312, 2307, {"ties": 0, "not_split": 5}),
}


def test_every_set_has_its_pairs_and_names_what_it_left_out(shared_data: Path) -> None:
    sets = {made.name: made for made in (make(shared_data) for make in judge.SETS)}
    assert {name: (each.rows, len(each.pairs), each.left_out) for name, each in sets.items()} == COUNTS
    assert [name for name, each in sets.items() if each.seen_family] == ["hh_helpful", "hh_harmless"]
    for each in sets.values():
        assert all(judge.normalized(pair.better) != judge.normalized(pair.worse) and pair.prompt.strip() for pair in each.pairs)
        assert not any(pair.prompt.startswith(("Human:", "Assistant:", "## ")) for pair in each.pairs)


def test_expert_revisions_have_line_breaks_on_both_sides_and_no_prefix(shared_data: Path) -> None:
    pairs = judge.expert_revisions(shared_data).pairs
    assert sum("\n" in pair.worse for pair in pairs) > 550
    assert not any("\\n" in text or '\\"' in text or "\\u20" in text for pair in pairs for text in pair[:3])
    assert not any(pair.prompt.startswith("Instruction:") or text.startswith("Response:") for pair in pairs for text in pair[1:3])
    # What an expert revised is a row of Alpaca, word for word once it is unescaped.
    alpaca = {row["output"].strip() for row in judge.rows_of(shared_data, "pools/alpaca")}
    assert all(pair.worse in alpaca for pair in pairs)


def test_faireval_compares_the_two_models_people_compared(shared_data: Path) -> None:
    first = judge.faireval(shared_data).pairs[0]
    answers = {(row["_model"], row["question_id"]): row["text"] for row in judge.rows_of(shared_data, "eval/vicuna_80_answers")}
    assert first.prompt == "How can I improve my time management skills?"
    assert (first.better, first.worse) == (answers["gpt-3.5-turbo", 1], answers["vicuna-13b", 1])


def test_ratings_and_rewritten_answers_are_read_in_full(shared_data: Path) -> None:
    texts, rating = judge.autoj(shared_data)
    assert len(texts) == len(rating) == 960 and 1 <= rating.min() < rating.max() <= 10
    assert texts[0][0] == "Evaluate the efficiency of the popular programming languages you have got to know."
    assert not any("[END DATA]" in part or "[Response]" in part for text in texts for part in text)
    contrast = judge.refined(shared_data)
    assert (contrast.rows, len(contrast.pairs), contrast.left_out) == (1000, 997, {"equal": 3})


# Planted scorers


def planted(data: Path) -> Callable[[Sequence[tuple[str, str]]], Floats]:
    """Knows the label; a text that is better in one pair and worse in another is ordered as the pairs are."""
    better: dict[tuple[str, str], float] = {}
    for make in judge.SETS:
        for pair in make(data).pairs:
            better[pair.prompt, pair.better] = better.get((pair.prompt, pair.better), 0.0) + 1.0
            better[pair.prompt, pair.worse] = better.get((pair.prompt, pair.worse), 0.0) - 1.0
    return lambda texts: np.array([better.get(text, 0.0) for text in texts])


def test_a_scorer_that_knows_the_label_is_always_right(shared_data: Path, few_draws: None) -> None:
    found = judge.human_sets(bench(planted(shared_data)), shared_data)
    # Some PandaLM prompts and responses stand in several pairs; a cycle among them leaves a tie at most.
    assert {name: each["accuracy"]["value"] for name, each in found.items() if name != "pandalm"} == dict.fromkeys(
        COUNTS.keys() - {"pandalm"}, 1.0
    )
    assert found["pandalm"]["accuracy"]["value"] > 0.97
    assert all(each["beats_chance"] and each["length_balanced"]["value"] > 0.97 for each in found.values())
    assert all(group["accuracy"]["value"] == 1.0 for group in found["llmbar"]["subsets"].values()) and len(found["llmbar"]["subsets"]) == 5


def test_a_constant_scorer_is_at_chance_and_a_length_scorer_is_the_longer_answer(shared_data: Path, few_draws: None) -> None:
    flat = judge.human_sets(bench(constant, lengths), shared_data)
    for each in flat.values():
        assert each["accuracy"]["value"] == each["length_matched"]["value"] == each["length_balanced"]["value"] == 0.5
        assert each["calibration"]["scale"]["value"] == 0.0 and not each["beats_chance"]
        # The stand-in for the cosine is the length.
        assert each["cosine"] == each["longer_wins"]
        assert each["ahead_of_cosine"]["all"]["value"] == pytest.approx(0.5 - each["longer_wins"]["all"]["value"])
    longer = judge.human_sets(bench(lengths), shared_data)
    for each in longer.values():
        assert each["accuracy"] == each["longer_wins"]["all"] and each["length_matched"] == each["longer_wins"]["length_matched"]
        assert each["length_balanced"]["value"] == 0.5 and each["ahead_of_longer"]["all"]["value"] == 0.0
        assert "cosine" not in each and each["length_matched"]["n"] < each["length_matched_20"]["n"] < each["n"]


def test_a_scorer_that_is_silent_on_a_response_loses_the_pair_and_it_is_counted(few_draws: None) -> None:
    pairs = [judge.Pair("p", "good", "bad"), judge.Pair("p", "better", "bad"), judge.Pair("p", "silent", "bad")]
    made = bench(lambda texts: np.array([np.nan if text[1] == "silent" else len(text[1]) for text in texts]))
    made.read(judge.texts_of(pairs))
    found = judge.compared(made, pairs, "x")
    assert (found["n"], found["unscored"], found["accuracy"]["value"]) == (2, 1, 1.0)


def test_a_text_is_scored_once() -> None:
    seen: list[tuple[str, str]] = []

    def counting(texts: Sequence[tuple[str, str]]) -> Floats:
        seen.extend(texts)
        return constant(texts)

    made = bench(counting)
    made.read([("p", "a"), ("p", "b"), ("p", "a")])
    made.read([("p", "b"), ("q", "a")])
    assert seen == [("p", "a"), ("p", "b"), ("q", "a")]


def test_a_scorer_that_knows_the_pick_finds_it_and_a_constant_one_is_at_chance(shared_data: Path, few_draws: None) -> None:
    rows = judge.rows_of(shared_data, "preferences/bon16_tulu2_rm_picks")
    name = "openbmb/UltraRM-13b"
    picks = {(row["instruction"], row["outputs"][row["rm_pick"][name]]) for row in rows}
    knowing = judge.reward_models(bench(lambda texts: np.array([float(text in picks) for text in texts])), shared_data, 60)
    own = knowing["picks"][name]["score"]
    assert own["same_pick"]["value"] == 1.0 and own["percentile_of_pick"]["value"] > 0.97
    assert own["percentile_among_nearest_in_length"]["value"] > 0.97
    assert (knowing["prompts"], knowing["limit"], len(knowing["picks"])) == (60, 60, 6)
    flat = judge.reward_models(bench(constant), shared_data, 60)
    for each in flat["picks"].values():
        assert each["score"]["same_pick"]["value"] == pytest.approx(each["chance_of_same_pick"])
        assert 1 / 16 <= each["chance_of_same_pick"] < 0.1
        assert each["score"]["percentile_of_pick"]["value"] == each["score"]["percentile_among_nearest_in_length"]["value"] == 0.5
        assert set(each) == {"chance_of_same_pick", "score", "longest"}
    assert flat["gpt4_preference"]["score"]["plain"]["n"] == 0


class Example(NamedTuple):
    prompt: str
    response: str


class Worsened(NamedTuple):
    prompt: str
    better: str
    worse: str


def corrupt(kind: str, example: Example, others: Sequence[Example], chance: random.Random) -> Worsened | None:
    """Two kinds: every other answer goes, or all are marked."""
    if kind == "some" and len(example.response) % 2:
        return None
    return Worsened(example.prompt, example.response, f"BAD {chance.random()}")


def scored_by_mark(texts: Sequence[tuple[str, str]]) -> Floats:
    return np.array([-1.0 if text[1].startswith("BAD") else len(text[1]) / 1e6 for text in texts])


def test_the_whole_is_plain_data_and_the_same_twice(shared_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(judge, "DRAWS", 4)
    monkeypatch.setattr(judge, "CORRUPTED", 10)
    monkeypatch.setattr(judge, "UNTOUCHED", 40)
    monkeypatch.setattr(judge, "NUGGETS", 50)
    monkeypatch.setattr(judge, "SPREAD", 50)
    # The sets have their own tests.
    monkeypatch.setattr(judge, "SETS", (judge.faireval, judge.llmbar))
    pairs = tmp_path / "own.jsonl"
    pairs.write_text(json.dumps({"kind": "fact", "prompt": "p", "better": "good", "worse": "BAD"}) + "\n")
    kinds = SimpleNamespace(KINDS=("all", "some"), Example=Example, corrupt=corrupt)
    found, again = (
        judge.judge(scored_by_mark, shared_data, cosine=lengths, seed=3, bon=3, rating_rows=40, corruption=kinds, own_file=pairs)
        for _ in range(2)
    )
    assert json.dumps(found, allow_nan=False) == json.dumps(again, allow_nan=False)
    assert found["own"]["kinds"]["fact"]["accuracy"]["value"] == 1.0
    for kind in ("all", "some"):
        every = found["corruption"]["kinds"][kind]["all_pools"]
        assert every["recall"] == every["below_5th_percentile"] == every["below_10th_percentile"]
        assert every["recall"]["value"] == 1.0 and every["recall"]["n"] == 50 and every["detection"]["value"] == 1.0
        assert set(found["corruption"]["kinds"][kind]["pools"]) == set(judge.CORRUPTED_POOLS)
    assert (
        found["corruption"]["kinds"]["some"]["pools"]["alpaca"]["tried"]
        > found["corruption"]["kinds"]["all"]["pools"]["alpaca"]["tried"]
        == 10
    )
    alpaca = found["scale"]["alpaca"]
    assert alpaca["contribution_of_reward"]["value"] == pytest.approx(0.1498 * alpaca["standard_deviation"]["value"])
    assert found["scale"]["both"]["standard_deviation"]["n"] == 100
    assert found["ratings"]["autoj"]["n"] == 960 and found["ratings"]["autoj"]["length"]["plain"]["value"] is not None
    assert found["ratings"]["alpaca_ds2 gpt-4o-mini"]["n"] == 40


def test_reasons_of_a_model_are_silence_and_the_cosine_is_that_of_prompt_and_response() -> None:
    model = SimpleNamespace(score=lambda texts: SimpleNamespace(values=np.array([1.0, 0.0]), reasons=[None, "not_finite"]))
    values = judge.reward(model)([("p", "a"), ("p", "b")])
    assert values[0] == 1.0 and np.isnan(values[1])
    vectors = {"p": [1.0, 0.0], "a": [0.6, 0.8], "b": [0.0, 1.0]}
    encoder = SimpleNamespace(
        encode=lambda texts: SimpleNamespace(
            vectors=np.array([vectors[text] for text in texts], dtype=np.float32),
            reasons=["not_finite" if text == "b" else None for text in texts],
        )
    )
    cosines = judge.closeness(encoder)([("p", "a"), ("a", "a"), ("p", "b")])
    assert cosines[:2].tolist() == pytest.approx([0.6, 1.0]) and np.isnan(cosines[2])
