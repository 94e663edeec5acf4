"""Linear rules: the published numbers, the refusals, and shares that add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructsel.errors import ModelMismatch, ModelUnavailable, UnknownExample, UsageError
from instructsel.rules.catalog import load
from instructsel.rules.linear import LinearRule
from instructsel.scores.table import ScoreTable

REWARD = "OpenAssistant/reward-model-deberta-v3-large-v2"
LLAMA = "hf-internal-testing/llama-tokenizer"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def fingerprints(**changes: Any) -> dict[str, Any]:
    """What an honest scoring with the models eq4 assumes says of itself."""
    honest: dict[str, Any] = {
        "rew": {"name": "reward", "model": {"name": REWARD, "digest": "aa"}, "tokenizer": None},
        "len": {"name": "response_length", "model": None, "tokenizer": {"name": LLAMA, "digest": "bb"}},
        "knn_6": {"name": "neighbor_distance", "model": {"name": MINILM, "digest": MINILM_DIGEST}, "tokenizer": {"name": MINILM}},
    }
    return {"indicators": honest | changes}


def scored(manifest: dict[str, Any] | None = None, **columns: list[float | None]) -> ScoreTable:
    rows = len(next(iter(columns.values())))
    named = {symbol: (values, ["empty_response" if value is None else None for value in values]) for symbol, values in columns.items()}
    return ScoreTable.from_columns([f"{i:03}" for i in range(rows)], named, fingerprints() if manifest is None else manifest)


def rule(**weights: float) -> LinearRule:
    return LinearRule.from_dict(
        {"name": "mine", "intercept": 1.0, "terms": [{"indicator": key, "weight": weight} for key, weight in weights.items()]}
    )


@pytest.mark.parametrize(
    ("rew", "length", "knn", "expected", "loss"),
    [
        (0.0, 0.0, 0.0, 1.0694, None),
        (1.0, 100.0, 0.9, 0.086357, 1.090195),
        (2.5, 350.0, 0.75, 0.022549, 1.022806),
        (-1.2, 42.0, 1.05, 0.270878, 1.311115),
    ],
)
def test_equation_4_gives_the_worked_out_numbers(rew: float, length: float, knn: float, expected: float, loss: float | None) -> None:
    prediction = load("eq4").predict(scored(rew=[rew], len=[length], knn_6=[knn]))
    assert prediction.values[0] == pytest.approx(expected, abs=5e-7)
    if loss is not None:
        assert math.exp(prediction.values[0]) == pytest.approx(loss, abs=5e-7)


def test_a_rule_of_a_dictionary_gives_the_worked_out_numbers_of_the_papers_second_rule() -> None:
    terms = [
        {"indicator": symbol, "weight": weight}
        for symbol, weight in (("rew", -0.0078), ("und", 0.4421), ("nat", -0.3212), ("coh", -0.1520))
    ]
    second = LinearRule.from_dict({"name": "second", "intercept": 0.0274, "terms": terms})
    table = scored(rew=[0, -1, -3.5], und=[1, 0.95, 0.2], nat=[1, 0.94, 0.25], coh=[1, 0.97, 0.9])
    values = second.predict(table).values
    assert values == pytest.approx([-0.0037, 0.005827, -0.073980], abs=5e-7)
    assert np.exp(values) == pytest.approx([0.996307, 1.005844, 0.928690], abs=5e-7)
    # Linear: the mean of the values is the value of the means.
    means = scored(**{symbol: [float(table.values(symbol)[0].mean())] for symbol in second.indicators})
    assert second.predict(means).values[0] == pytest.approx(values.mean(), abs=1e-15)


def test_lower_is_better_and_contributions_add_up_to_the_value() -> None:
    eq4 = load("eq4")
    prediction = eq4.predict(scored(rew=[1.0, 2.0], len=[100.0, 50.0], knn_6=[0.9, 0.8]))
    assert eq4.lower_is_better
    assert list(prediction.contributions) == ["rew", "len", "knn_6"]
    assert (
        1.0694 + prediction.contributions["rew"] + prediction.contributions["len"] + prediction.contributions["knn_6"]
    ).tolist() == prediction.values.tolist()


def test_a_row_that_lacks_an_indicator_has_no_value() -> None:
    prediction = rule(a=1.0, b=2.0).predict(scored(a=[1.0, None, 3.0], b=[1.0, 1.0, None]))
    assert prediction.valid.tolist() == [True, False, False]
    assert prediction.values.tolist() == [4.0, 0.0, 0.0]


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=40), st.data())
def test_a_rows_value_does_not_depend_on_the_other_rows(rows: list[tuple[float, float, float]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True))
    eq4 = load("eq4")

    def values(picked: list[tuple[float, float, float]]) -> list[float]:
        columns = {symbol: (np.array([row[k] for row in picked]), np.ones(len(picked), bool)) for k, symbol in enumerate(eq4.indicators)}
        return eq4.combine(columns).values.tolist()

    whole = values(rows)
    assert values([rows[i] for i in chosen]) == [whole[i] for i in chosen]


def test_clipping_is_off_by_default_and_winsorises_at_the_1st_and_99th_percentile() -> None:
    table = scored(a=[float(i) for i in range(101)] + [None])
    plain, clipped = rule(a=1.0).predict(table), rule(a=1.0).predict(table, clip=True)
    assert plain.bounds == {}
    assert (plain.values[0], plain.values[100]) == (1.0, 101.0)
    # Percentiles of 0 … 100, the null row apart: 1 and 99.
    assert clipped.bounds == {"a": (1.0, 99.0)}
    assert (clipped.values[0], clipped.values[50], clipped.values[100]) == (2.0, 51.0, 100.0)


def test_shares_of_variance_add_up_to_one() -> None:
    source = np.random.default_rng(0)
    table = scored(a=source.normal(size=200).tolist(), b=source.normal(size=199).tolist() + [None])
    mine = rule(a=1.0, b=-3.0)
    prediction = mine.predict(table)
    shares = mine.variance_shares(prediction)
    assert sum(share for share in shares.values() if share is not None) == pytest.approx(1.0, abs=1e-12)
    a, b = (table.values(symbol)[0][:199] for symbol in "ab")
    total = a - 3 * b
    assert shares["a"] == pytest.approx(np.cov(a, total)[0, 1] / total.var(ddof=1), rel=1e-12)
    assert shares["b"] == pytest.approx(np.cov(-3 * b, total)[0, 1] / total.var(ddof=1), rel=1e-12)
    assert mine.variance_shares(prediction, np.arange(50)) != shares


def test_shares_of_variance_are_null_where_nothing_varies() -> None:
    mine = rule(a=1.0, b=2.0)
    for columns in ({"a": [1.0, 1.0], "b": [0.1, 0.1]}, {"a": [1.0], "b": [2.0]}, {"a": [None, None], "b": [1.0, 2.0]}):
        assert mine.variance_shares(mine.predict(scored(**columns))) == {"a": None, "b": None}  # type: ignore[arg-type]


def test_a_row_is_explained_term_by_term() -> None:
    table = scored(rew=[1.0, None], len=[100.0, 50.0], knn_6=[0.9, 0.8])
    explained = load("eq4").explain(table, "000")
    assert explained.value == load("eq4").predict(table).values[0]
    assert explained.terms[0] == ("rew", 1.0, -0.1498, -0.1498, None)
    assert explained.intercept == 1.0694
    silent = load("eq4").explain(table, "001")
    assert silent.value is None
    assert silent.terms[0] == ("rew", None, -0.1498, None, "empty_response")
    with pytest.raises(UnknownExample, match="no-such"):
        load("eq4").explain(table, "no-such")


COLUMNS: dict[str, list[float | None]] = {"rew": [1.0], "len": [1.0], "knn_6": [1.0]}


def test_scores_of_the_models_a_rule_assumes_are_accepted() -> None:
    assert load("eq4").check_models(scored(**COLUMNS)) == []
    assert load("eq4-without-reward").check_models(scored(fingerprints(len={"tokenizer": {"name": MINILM}}), **COLUMNS)) == []


@pytest.mark.parametrize(
    ("indicator", "entry", "shown"),
    [
        ("rew", {"model": {"name": "OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5"}}, "pythia"),
        ("len", {"model": None, "tokenizer": {"name": MINILM}}, MINILM),
        ("knn_6", {"model": {"name": "BAAI/bge-small-en"}, "tokenizer": {"name": MINILM}}, "bge-small"),
        # The right name over other weights.
        ("knn_6", {"model": {"name": MINILM, "digest": "f" * 64}}, "ffffffffffff"),
        ("knn_6", {"model": {"name": MINILM}}, MINILM),
        ("rew", None, "unknown model"),
        ("rew", {"model": None}, "unknown model"),
    ],
)
def test_scores_of_other_models_are_refused_by_name_with_the_fix(indicator: str, entry: dict[str, Any] | None, shown: str) -> None:
    table = scored(fingerprints(**{indicator: entry}), **COLUMNS)
    with pytest.raises(ModelMismatch) as refused:
        load("eq4").check_models(table)
    assert indicator in refused.value.message
    assert shown in refused.value.message
    assert "the rule assumes" in refused.value.message
    assert f"--model {indicator}=" in str(refused.value)
    assert "--allow-mismatch" in str(refused.value)
    allowed = load("eq4").check_models(table, allow_mismatch=True)
    assert [mismatch.indicator for mismatch in allowed] == [indicator]
    assert load("eq4").called(allowed) == "Eq. 4's form, substitute models"
    assert load("eq4").called() == "Eq. 4"


def test_a_table_without_a_manifest_fits_no_rule_that_names_models() -> None:
    with pytest.raises(ModelMismatch, match="rew was scored with an unknown model"):
        load("eq4").check_models(scored({}, **COLUMNS))
    assert load("longest").check_models(scored({}, len=[1.0])) == []


def test_a_digest_is_compared_whichever_way_it_is_written() -> None:
    for written in (MINILM_DIGEST.upper(), f"sha256:{MINILM_DIGEST}", f"sha256{MINILM_DIGEST}"):
        assert load("eq4").check_models(scored(fingerprints(knn_6={"model": {"name": MINILM, "digest": written}}), **COLUMNS)) == []


def test_a_reward_that_was_not_to_be_had_names_both_ways_out() -> None:
    table = ScoreTable.from_columns(
        ["a", "b"], {"rew": ([None, None], ["model_unavailable"] * 2), "len": ([1, 2], [None] * 2), "knn_6": ([1, 2], [None] * 2)}
    )
    with pytest.raises(ModelUnavailable) as refused:
        load("eq4").check_columns(table)
    assert refused.value.exit_code == 4
    assert f"instructsel score POOL --reward {REWARD}" in str(refused.value)
    assert f"hf download {REWARD}" in str(refused.value)
    assert "--rule eq4-without-reward" in str(refused.value)
    with pytest.raises(ModelUnavailable, match=f"--reward {REWARD}"):
        load("reward-only").check_columns(table)
    load("eq4-without-reward").check_columns(table)


def test_a_missing_column_is_named_with_the_command_that_scores_it() -> None:
    with pytest.raises(UsageError, match=r"needs rew, knn_6, .*--indicators len,rew,knn_6"):
        load("eq4").check_columns(scored(len=[1.0]))
    with pytest.raises(UsageError, match="needs rew, knn_6"):
        load("eq4").predict(scored(len=[1.0]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"terms": []}, "lacks the key 'name'"),
        ({"name": "x"}, "lacks the key 'terms'"),
        ({"name": "x", "terms": []}, "has no terms"),
        ({"name": "x", "terms": [{"indicator": "a"}]}, "term 1 lacks the key 'weight'"),
        ({"name": "x", "terms": [{"indicator": "a", "weight": "1"}]}, "'weight' is str, not a number"),
        ({"name": "x", "terms": [{"indicator": "a", "weight": True}]}, "'weight' is bool"),
        ({"name": "x", "terms": [{"indicator": "a", "wieght": 1}]}, "unknown key 'wieght'. Did you mean 'weight'"),
        ({"name": "x", "terms": [{"indicator": "a", "weight": 1, "accepts": [3]}]}, "'accepts' holds int"),
        ({"name": "x", "terms": ["a"]}, "term 1 is str"),
        ({"name": "x", "terms": [{"indicator": "a", "weight": math.inf}]}, "not finite"),
        ({"name": "x", "terms": [{"indicator": "a", "weight": 1}] * 2}, "two terms for a"),
        ({"name": 3, "terms": []}, "'name' is int"),
    ],
)
def test_a_malformed_rule_is_refused_and_the_key_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LinearRule.from_dict(data)


def test_a_rule_comes_back_from_its_plain_data() -> None:
    for name in ("eq4", "eq4-without-reward", "reward-only", "longest"):
        assert LinearRule.from_dict(load(name).as_dict()) == load(name)
