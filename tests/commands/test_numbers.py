"""Numbers that are none, not finite, or absurd: refused by every option, in the settings file, in plans, rules, budgets and minima."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from instructsel.adapters.recipes import Recipe
from instructsel.audits.settings import AuditSettings
from instructsel.commands import app
from instructsel.commands._arms import ArmSettings
from instructsel.commands._recipe import RecipeChanges
from instructsel.commands._settings import flag_of
from instructsel.commands._size import SizeFlags
from instructsel.commands._study_options import DesignSettings
from instructsel.errors import ScoresError, TooManyNulls, UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, StatisticsSettings, TrainingSettings
from instructsel.pool.pool import Pool
from instructsel.rules import catalog
from instructsel.rules.linear import LinearRule, Term
from instructsel.scores.table import ScoreTable
from instructsel.selection import budget as budgets
from instructsel.selection import minima
from instructsel.selection.choose import select
from instructsel.selection.settings import SelectionSettings

DIGITS = "9" * 40
TEXTS = ("nan", "-inf", "1e999", DIGITS, f"-{DIGITS}", "1e308", "true", "", "0x1", "5%")
"""What no option that takes a number takes, as texts."""
FLAT = (math.nan, math.inf, -math.inf, 1e308, 10**40, -(10**40), True, False, "1", [1])
"""What no setting that is a number is, as values."""


def numeric_options() -> Iterator[tuple[str, Any]]:
    pending: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        if hasattr(command, "commands"):
            pending += [([*path, name], command.commands[name]) for name in command.list_commands(None)]
            pending += [(path, command.run)] if hasattr(command, "run") else []
            continue
        for parameter in command.params:
            annotation = str(getattr(getattr(parameter, "type_descriptor", None), "annotation", ""))
            if annotation in ("<class 'int'>", "<class 'float'>") and not getattr(parameter, "hidden", False):
                yield " ".join(path), parameter


OPTIONS = list(numeric_options())


def test_every_option_that_takes_a_number_says_from_where_to_where() -> None:
    assert len(OPTIONS) > 80
    for path, parameter in OPTIONS:
        where = f"{path} --{flag_of(parameter)}"
        assert parameter.min is not None and parameter.max is not None and parameter.min < parameter.max <= 2**53, where


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


FIRST = {flag_of(parameter): path for path, parameter in reversed(OPTIONS)}
"""Flag → a command that has it: commands share options, and each text is tried with one of them."""


@pytest.mark.parametrize(("path", "parameter"), OPTIONS, ids=lambda value: value if isinstance(value, str) else flag_of(value))
def test_no_option_takes_a_number_that_is_none_or_not_finite_or_absurd(folder: Path, path: str, parameter: Any) -> None:
    flag, first = flag_of(parameter), FIRST[flag_of(parameter)] == path
    command = typer.main.get_command(app)
    for name in path.split():
        command = command.commands[name]  # type: ignore[attr-defined]
    words = [*path.split(), *("x" for argument in command.params if argument.param_type_name == "argument")]
    words += [f"--{flag_of(option)}=x" for option in command.params if option.param_type_name == "option" and option.required]

    def refused(*arguments: str, **environment: str) -> str:
        done = CliRunner().invoke(app, [*words, *arguments], env=environment, prog_name="instructsel")
        message = " ".join(done.stderr.split())
        assert done.exit_code == 2 and "fault" not in message, (arguments, done.output)
        return message

    for text in TEXTS if first else TEXTS[:1]:
        assert f"--{flag} is {text or 'empty'}; it is a " in refused(f"--{flag}={text}")
    if not first:
        return
    variable = f"INSTRUCTSEL_{path}_{flag}".replace(" ", "_").replace("-", "_").upper()
    assert f"{variable} is nan; it is a " in refused(**{variable: "nan"})
    for text in ("nan", DIGITS, "true", "'x'", "[nan]", "9" * 5000):
        (folder / "instructsel.toml").write_text(f"[{path.replace(' ', '.')}]\n{flag} = {text}\n")
        assert "instructsel.toml" in refused()


SETTINGS = [
    *(TrainingSettings, GradingSettings, StatisticsSettings, ExecutionSettings, AuditSettings, ArmSettings, RecipeChanges, SizeFlags),
    DesignSettings,
]


def numeric_fields(kind: type[Any]) -> list[str]:
    return [setting.name for setting in fields(kind) if str(setting.type).partition(" ")[0] in ("int", "float")]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in SETTINGS for name in numeric_fields(kind)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_no_setting_in_python_is_a_number_that_is_none_or_not_finite_or_absurd(kind: type[Any], name: str) -> None:
    for value in FLAT:
        with pytest.raises(UsageError, match=name):
            kind(**{name: value})


@pytest.mark.parametrize("name", numeric_fields(Recipe))
def test_no_setting_of_a_recipe_is_a_number_that_is_none_or_not_finite_or_absurd(name: str) -> None:
    lasting = {"steps": {"epochs": None}, "tokens": {"epochs": None}}.get(name, {})
    for value in FLAT:
        with pytest.raises(UsageError, match=f"{name}|{value} bits"):
            Recipe("mine", **lasting, **{name: value})  # type: ignore[arg-type]


PLANS = {
    **{f"seeds = {bad}": "seeds" for bad in ("nan", "inf", "1e400", DIGITS, "true", "0", "1.0", '"3"', "[3]", "10001")},
    **{f"[training]\nmax_skipped_fraction = {bad}": "max_skipped_fraction" for bad in ("nan", "inf", "-0.1", "1.1", "1e308", "true")},
    **{f"[training]\nlearning_rates = [1.0, {bad}]": "learning_rates|learning rate" for bad in ("nan", "inf", "-1.0", "0.0", "1e308")},
    **{f"[training.recipe]\nlearning_rate = {bad}": "learning_rate" for bad in ("nan", "inf", "1e308")},
    **{f"[training.recipe]\nlora_targets = [{bad}]": "lora_targets" for bad in ("nan", "inf")},
    **{f"[grading]\nitems = {bad}": "items" for bad in ("nan", "-1", DIGITS, "true")},
    **{f"[statistics]\nconfidence = {bad}": "confidence" for bad in ("nan", "inf", "1.0", "0.5", "-0.0", "2", "true")},
    **{
        f'[statistics]\nrequire = "non-inferior"\nmargin = ["{bad}"]': "margin"
        for bad in ("nan", "inf", "0", "-1", "1e308", "a=nan", "1e999")
    },
    "seeds = " + "9" * 5000: "digits",
    "x = " + "[" * 5000 + "]" * 5000: "recursion",
}


@pytest.mark.parametrize(("text", "match"), PLANS.items(), ids=[text[:60] for text in PLANS])
def test_a_plan_with_a_number_that_is_none_or_not_finite_or_absurd_is_refused_with_its_field(folder: Path, text: str, match: str) -> None:
    arms = Experiment((PlannedArm("selection", results=(("a",),)), PlannedArm("random", results=(("b",),))))
    arms.write(folder / "plan.toml")
    content = (folder / "plan.toml").read_text()
    (folder / "plan.toml").write_text(f"{content}{text}\n" if text.startswith("[") else f"{text}\n{content}")
    with pytest.raises(UsageError, match=match):
        Experiment.read(folder / "plan.toml")


def test_what_has_no_default_is_no_number() -> None:
    """The walk above makes each group of settings of one value: a number without a default would not be walked."""
    assert all(setting.default is not MISSING for kind in SETTINGS for setting in fields(kind) if setting.name in numeric_fields(kind))


SHARES = (
    "nan",
    "inf",
    "1e999",
    "-0.1",
    "1.1",
    "0",
    "1e999999999%",
    "1e-999999999",
    "1e400%",
    f"{DIGITS}%",
    "9" * 5000,
    "0x1",
    "1/2",
    "٣%",
    "%",
    "",
)


@pytest.mark.parametrize("text", SHARES, ids=[text[:20] for text in SHARES])
def test_a_share_that_is_none_is_refused_at_once(text: str) -> None:
    """Exact arithmetic with a long exponent would compute for ever."""
    with pytest.raises(UsageError):
        budgets.parse(fraction=text)
    if text not in ("1.1", "0"):
        with pytest.raises(UsageError):
            budgets.parse_quotas([f"source={text}"])


AMOUNTS = ("nan", "inf", "1e3", "-1", "0", DIGITS, "9" * 5000, "9999999b", "1.5", "", "٣", "1_0")


@pytest.mark.parametrize("text", AMOUNTS, ids=[text[:20] for text in AMOUNTS])
def test_an_amount_that_is_none_or_absurd_is_refused(text: str) -> None:
    for budget in ({"n": text}, {"tokens": text, "tokenizer": "t"}):
        with pytest.raises(UsageError):
            budgets.parse(**budget)
    for value in (math.nan, math.inf, True, 10**40, -1, 0):
        with pytest.raises(UsageError):
            budgets.as_budget(value)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "1e308", "-1e308", "1e999%", "nan%", "0%", "100%", "", "9" * 5000, "true"])
def test_a_minimum_that_is_none_or_absurd_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        minima.parse([f"len={text}"])


@pytest.mark.parametrize(
    "changes",
    [
        *({"near_duplicate_threshold": value} for value in (math.nan, math.inf, True)),
        *({"max_null_fraction": value} for value in (math.nan, math.inf, True, -1)),
        *({"quotas": {"a": value}} for value in (math.nan, math.inf, True, 10**40, -1)),
    ],
)
def test_settings_of_a_selection_are_numbers_to_compute_with(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SelectionSettings(10, **changes)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e400", "1e308", "-1e308", DIGITS, "true", '"1"', "9" * 5000])
@pytest.mark.parametrize("key", ["intercept", "weight"])
def test_a_rule_with_a_number_that_cannot_be_computed_with_is_refused_with_file_and_field(folder: Path, bad: str, key: str) -> None:
    intercept, weight = (bad, "1.0") if key == "intercept" else ("0.0", bad)
    (folder / "rule.toml").write_text(f'name = "mine"\nintercept = {intercept}\n[[terms]]\nindicator = "len"\nweight = {weight}\n')
    with pytest.raises(UsageError) as refused:
        catalog.load("rule.toml")
    assert "rule.toml" in refused.value.message and (key in refused.value.message or "digits" in refused.value.message)
    shown = CliRunner().invoke(app, ["rules", "show", "rule.toml"])
    assert shown.exit_code == 2 and "rule.toml" in shown.stderr


def test_a_column_holds_finite_numbers_alone_and_those_at_the_edge_are_ranked_and_shown_as_what_they_are(folder: Path) -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ScoresError, match="NaN or infinite"):
            ScoreTable.from_columns(["a"], {"ppl": ([value], [None])})
    rows = [{"instruction": f"say {n}", "response": f"word{n} " * (n + 1)} for n in range(20)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read("pool.jsonl")
    edge = [1.7e308, -1.7e308, -0.0, 0.0, 5e-324, *(float(n) for n in range(15))]
    columns = {"len": (edge, [None] * 20), "mtld": ([float(n) for n in range(20)], [None] * 20)}
    ScoreTable.from_columns(pool.ids, columns, {"pool": {"fingerprint": pool.fingerprint}}).write("pool.scores.csv")
    common = ["select", "pool.scores.csv", "--pool", "pool.jsonl", "--n", "5", "-o", "chosen.jsonl", "--max-null-fraction", "0.2"]
    (folder / "rule.toml").write_text(
        'name = "mine"\n' + "".join(f'[[terms]]\nindicator = "{s}"\nweight = 1e-3\n' for s in ("len", "mtld"))
    )
    for ranking in (["--by", "len"], ["--by=-len", "--min", "mtld=1"], ["--rule", "rule.toml"], ["--rule", "rule.toml", "--clip"]):
        done = CliRunner().invoke(app, [*common, *ranking, "--random-subsets", "1", "--json"])
        assert done.exit_code == 0, done.output
        report = CliRunner().invoke(
            app, ["report", "chosen.selection.parquet", "-o", "report.html", "--scores", "pool.scores.csv", "--force"]
        )
        assert report.exit_code == 0, report.output
        assert not {"nan", "NaN", "inf"} & set(re.sub("<[^>]*>", " ", Path("report.html").read_text()).split())


def test_a_row_at_which_a_rule_overflows_is_unscored_with_the_reason_and_neither_ranked_nor_kept(folder: Path) -> None:
    rows = [{"instruction": f"say {n}", "response": f"word{n} " * (n + 1)} for n in range(20)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read("pool.jsonl")
    huge = {pool.ids[3], pool.ids[11]}
    columns = {
        "len": ([1e20 if name in huge else float(n) for n, name in enumerate(pool.ids)], [None] * 20),
        "mtld": ([0.5] * 20, [None] * 20),
    }
    table = ScoreTable.from_columns(pool.ids, columns, {"pool": {"fingerprint": pool.fingerprint}})
    for signs in (1, -1), (-1, 1):
        # One term overflows alone, and two of opposite signs in their sum.
        rule = LinearRule("mine", (Term("mtld", signs[0] * 1e140), Term("len", signs[1] * 1e145)))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            chosen = select(pool, table, rule, budget=5, max_null_fraction=0.1)
        frame = chosen.frame
        assert set(frame.filter(frame["reason"] == "unscored:len:overflow")["id"]) == huge
        assert not huge & set(chosen.kept_ids) and len(chosen.kept_ids) == 5 and chosen.summary["dropped"]["unscored:len:overflow"] == 2
        assert json.loads(json.dumps(chosen.manifest, allow_nan=False))
        with pytest.raises(TooManyNulls, match=r"2 of 20 rows a value that is not finite or beyond 1e[+]150, by its term len"):
            select(pool, table, rule, budget=5)
        explained = rule.explain(table, next(iter(huge)))
        assert explained.value is None and explained.terms[1][3:] == (None, "overflow")
        prediction = rule.predict(table)
        assert np.isfinite(prediction.values).all() and int(prediction.valid.sum()) == 18
    # On the command line, too.
    table.write("pool.scores.parquet")
    (folder / "rule.toml").write_text('name = "mine"\n[[terms]]\nindicator = "len"\nweight = 1e145\n')
    common = ["select", "pool.scores.parquet", "--pool", "pool.jsonl", "--rule", "rule.toml", "--n", "5", "-o", "chosen.jsonl"]
    assert CliRunner().invoke(app, common).exit_code == 3
    done = CliRunner().invoke(app, [*common, "--max-null-fraction", "0.1", "--random-subsets", "1"])
    assert done.exit_code == 0, done.output
    report = CliRunner().invoke(app, ["report", "chosen.selection.parquet", "-o", "report.html"])
    assert report.exit_code == 0 and "nan" not in re.sub("<[^>]*>", "", Path("report.html").read_text()).split(), report.output
    for verb in (["explain", next(iter(huge))], ["diff", "chosen.selection.parquet", "chosen.selection.parquet"]):
        shown = CliRunner().invoke(app, verb)
        assert shown.exit_code == 0 and not {"nan", "inf"} & set(shown.output.split()), shown.output
