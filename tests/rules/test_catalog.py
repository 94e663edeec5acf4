"""The presets and rule files."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.errors import UnknownRule, UsageError
from instructsel.rules.catalog import load, names

MINE = 'name = "mine"\nintercept = 1\n\n[[terms]]\nindicator = "len"\nweight = -2\n'


def test_the_presets_stand_in_their_order() -> None:
    assert names() == ("eq4", "eq4-without-reward", "reward-only", "longest", "instructmining-v2")
    assert [load(name).name for name in names()] == list(names())


def test_eq4_is_the_first_versions_equation_4() -> None:
    eq4 = load("eq4")
    assert (eq4.intercept, [(term.indicator, term.weight) for term in eq4.terms]) == (
        1.0694,
        [("rew", -0.1498), ("len", 8.257e-5), ("knn_6", -0.9350)],
    )
    assert "2307.06290v1" in eq4.citation
    assert "Equation 4" in eq4.citation
    assert eq4.target == "log L(M_ft, D_eval)"
    assert all(term.assumed and term.unit and term.note and term.accepts for term in eq4.terms)


def test_eq4_without_reward_has_the_other_two_terms_and_is_never_called_eq4() -> None:
    rule, eq4 = load("eq4-without-reward"), load("eq4")
    assert (rule.intercept, [(term.indicator, term.weight) for term in rule.terms]) == (
        1.0694,
        [(term.indicator, term.weight) for term in eq4.terms[1:]],
    )
    assert rule.called() not in {eq4.called(), eq4.name}
    assert rule.target != eq4.target


@pytest.mark.parametrize(("name", "indicator"), [("reward-only", "rew"), ("longest", "len")])
def test_the_baselines_rank_by_one_indicator_highest_first_whatever_model_scored_it(name: str, indicator: str) -> None:
    (term,) = load(name).terms
    assert (term.indicator, term.weight, term.accepts) == (indicator, -1.0, ())


def test_an_unknown_rule_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownRule, match="Did you mean 'eq4'"):
        load("eq5")
    # As a user writes an indicator, the highest first.
    with pytest.raises(UnknownRule) as refusal:
        load("-mtld")
    assert refusal.value.fix.endswith("--by -mtld") and "In Python: by(" in str(refusal.value)
    with pytest.raises(UnknownRule):
        load("../presets/eq4")


def test_a_rule_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + MINE.replace("\n", "\r\n").encode())
    rule = load(tmp_path / "mine.toml")
    assert (rule.name, rule.intercept, rule.indicators) == ("mine", 1.0, ("len",))
    with pytest.raises(UnknownRule, match="no rule file"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [(MINE + "weigth = 1\n", "unknown key 'weigth'"), ("name = ", "not readable TOML"), (MINE.replace("-2", '"a"'), "'weight' is str")],
)
def test_a_malformed_file_is_refused_and_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=message) as refused:
        load(tmp_path / "mine.toml")
    assert "mine.toml" in refused.value.message
