"""Rule files: what was fitted is written, read again to equal bytes, shown, and used."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import ModelMismatch, UsageError
from instructsel.pool.pool import Pool
from instructsel.rules import catalog
from instructsel.rules.fit import Fitted, fit
from instructsel.rules.linear import LinearRule
from instructsel.rules.observations import Observations
from instructsel.rules.summary import FitSummary
from instructsel.scores.table import ScoreTable
from instructsel.selection.choose import select

TOKENIZER = {"name": "a/tokenizer", "digest": "c" * 64}
LENGTH = {"name": "response_length", "version": 1, "unit": "tokens", "parameters": {}, "model": None, "tokenizer": TOKENIZER}
MTLD = {"name": "mtld", "version": 1, "unit": "words", "parameters": {"threshold": 0.72}}


def fitted(method: str = "backward", **settings: Any) -> Fitted:
    source = np.random.default_rng(0)
    columns = {"len": source.normal(20, 5, 40), "mtld": source.normal(70, 9, 40), "source": ["a", "b"] * 20}
    columns["log_loss"] = 0.5 - 0.03 * columns["len"] + 0.002 * columns["mtld"] + source.normal(0, 0.02, 40)
    manifest = {"indicators": {"len": LENGTH | {"nulls": {"empty_response": 2}}, "mtld": MTLD}}
    return fit(Observations.of(columns, manifest), method=method, **{"bootstrap": 100, **settings})


@pytest.mark.parametrize("method", ["fixed", "backward", "best-subset"])
@pytest.mark.parametrize("bootstrap", [0, 100])
def test_a_rule_file_comes_back_to_equal_bytes(tmp_path: Path, method: str, bootstrap: int) -> None:
    rule = fitted(method, bootstrap=bootstrap).rule("my")
    rule.write(tmp_path / "my.toml")
    again = catalog.load(tmp_path / "my.toml")
    assert again == rule
    again.write(tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "my.toml").read_bytes()
    assert LinearRule.from_dict(json.loads(json.dumps(rule.as_dict()))) == rule


def test_equal_observations_and_seed_write_equal_bytes() -> None:
    assert fitted().rule("my").to_toml() == fitted().rule("my").to_toml()
    assert fitted(seed=1).rule("my").to_toml() != fitted().rule("my").to_toml()


def test_the_presets_come_back_too(tmp_path: Path) -> None:
    for name in catalog.names():
        catalog.load(name).write(tmp_path / "preset.toml")
        assert catalog.load(tmp_path / "preset.toml") == catalog.load(name)


def test_a_rule_carries_its_fit_ranges_and_the_models_of_its_indicators() -> None:
    found = fitted()
    rule = found.rule("my")
    assert rule.fit is not None
    assert rule.fitted_ranges == {each.indicator: (each.least, each.greatest) for each in found.summary.terms}
    assert [(term.indicator, term.unit, len(term.accepts)) for term in rule.terms] == [("len", "tokens", 1), ("mtld", "words", 0)]
    assert str(rule.terms[0].accepts[0]).startswith("a/tokenizer (sha256 cccc")
    # What counts rows of the study's pool says nothing of the indicator; what is null cannot stand in TOML.
    assert rule.fit.indicators["len"] == {key: value for key, value in LENGTH.items() if key != "model"}
    assert not {caution.code for caution in rule.fit.warnings} & {"models_unknown"}
    assert hash(rule) == hash(fitted().rule("my"))


def test_a_rule_file_whose_weights_were_changed_by_hand_does_not_keep_its_fit(tmp_path: Path) -> None:
    text = fitted().rule("my").to_toml()
    weight = str(fitted().summary.terms[0].weight)
    (tmp_path / "my.toml").write_text(text.replace(f"weight = {weight}", "weight = -1.0", 1))
    with pytest.raises(UsageError, match="not those its fit speaks of"):
        catalog.load(tmp_path / "my.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("adjusted_r2", "adjusted_r3", "unknown key 'adjusted_r3'. Did you mean 'adjusted_r2'"),
        ("n = 40", 'n = "forty"', "'n' is str, not int"),
        ("n = 40\n", "", "lacks the key 'n'"),
        ("chosen = true", "chosen = 1", "'chosen' is int, not bool"),
        ('code = "stepwise_optimistic"\n', "", "warnings 1 lacks the key 'code'"),
        ("\nse = ", '\nse = "x" #', "estimates 1: 'se' is str, not a number"),
        ('indicator = "intercept"', 'indicator = "constant"', "the first of the estimates is the intercept's"),
    ],
)
def test_a_malformed_fit_is_refused_and_the_key_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = fitted().rule("my").to_toml()
    assert before in text
    (tmp_path / "my.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(UsageError, match=said):
        catalog.load(tmp_path / "my.toml")


def test_a_fit_may_not_take_a_published_rules_name_nor_another_ending(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="published rule"):
        fitted().rule("eq4")
    with pytest.raises(UsageError, match=r"does not end in \.toml"):
        fitted().rule("my").write(tmp_path / "my.json")


def scored(pool: Pool, tokenizer: dict[str, Any]) -> ScoreTable:
    lengths = [float(len(example.response.split())) for example in pool.examples()]
    none = [None] * len(pool)
    manifest = {"pool": {"fingerprint": pool.fingerprint}, "indicators": {"len": LENGTH | {"tokenizer": tokenizer}, "mtld": MTLD}}
    return ScoreTable.from_columns(pool.ids, {"len": (lengths, none), "mtld": ([70.0] * len(pool), none)}, manifest)


def test_a_fitted_rule_selects_from_a_pool_and_refuses_scores_of_other_models(tmp_path: Path) -> None:
    words = ["river", "stone", "lantern", "paper", "orchard", "winter", "silver", "engine", "market", "garden"]
    path = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Say {n} of them.", "input": "", "output": " ".join(words[n:] + words[:n] * n)} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(path)
    fitted().rule("my").write(tmp_path / "my.toml")
    rule = catalog.load(str(tmp_path / "my.toml"))
    table = scored(pool, TOKENIZER)
    chosen = select(pool, table, rule, budget=3)
    # The weight of len is negative: the longest come first.
    longest = sorted(zip(table.values("len")[0].tolist(), pool.ids, strict=True), reverse=True)[:3]
    assert list(chosen.kept_ids) == [name for _, name in longest]
    assert LinearRule.from_dict(chosen.manifest["rule"]) == rule
    # Means over sets range less than rows do: how far the ranking extrapolates is counted.
    least, greatest = rule.fitted_ranges["len"]
    lengths = table.values("len")[0]
    told = chosen.summary["extrapolation"]["len"]
    assert told["fitted"] == [least, greatest]
    assert told["ranked"] == np.mean((lengths < least) | (lengths > greatest)) > 0
    assert told["kept"] == np.mean([value > greatest for value in sorted(lengths)[-3:]])
    assert told["mean_of_kept_is_outside"] == (np.mean(sorted(lengths)[-3:]) > greatest)
    with pytest.raises(ModelMismatch, match="len was scored with another/tokenizer"):
        select(pool, scored(pool, {"name": "another/tokenizer"}), rule, budget=3)


def test_a_rule_file_in_the_layout_of_earlier_releases_is_the_same_rule(tmp_path: Path) -> None:
    # Earlier releases wrote a table of its own for each term, short lists on one line, and empty tables with their header.
    (tmp_path / "old.toml").write_text(
        'name = "old"\nintercept = 0.5\ntitle = ""\n\n[[terms]]\nindicator = "len"\nweight = -0.01\nunit = "tokens"\n'
        'accepts = [{ name = "a/tokenizer" }]\nassumed = false\nnote = ""\n'
    )
    old = catalog.load(tmp_path / "old.toml")
    assert [(term.indicator, term.weight, term.unit, str(term.accepts[0])) for term in old.terms] == [
        ("len", -0.01, "tokens", "a/tokenizer")
    ]
    old.write(tmp_path / "new.toml")
    assert catalog.load(tmp_path / "new.toml") == old


def test_a_summary_has_every_field_documented_in_its_file() -> None:
    summary = fitted().summary
    assert FitSummary.from_dict(summary.as_dict()) == summary
    assert set(tomllib.loads(fitted().rule("my").to_toml())["fit"]) >= {
        *("method", "target", "n", "covariance", "df", "estimates", "r2", "adjusted_r2", "loo_r2", "loso_r2", "procedure_r2"),
        *("condition_number", "draws", "seed", "candidates", "warnings", "observations", "release", "indicators"),
    }
