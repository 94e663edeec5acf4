"""What a configuration means is never guessed: names of checks and indicators, and how rows are read beside a baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.outputs.base import Setting
from instructsel.gates.outputs.registry import output_named
from instructsel.gates.reading import read_change
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading

ROWS = [{"instruction": f"Name lake {number}, please.", "output": f"It is called the lake of {number} springs."} for number in range(12)]


def config(**check: Any) -> GateConfig:
    return GateConfig.of({"check": [check]}, Path(), where="gate.toml")


@pytest.mark.parametrize(
    ("check", "meant"),
    [
        ({"kind": "indicator-limit", "indicator": "lenn", "max": 3}, "'len'"),
        ({"kind": "indicator-limit", "indicator": "mtdl", "max": 3}, "'mtld'"),
        ({"kind": "drift", "indicator": ["turn"]}, "'turns'"),
        ({"kind": "quota", "by": "turn", "of": "2-3", "max_share": 0.5}, "'turns'"),
        ({"kind": "quota", "by": "character", "of": "2-3", "max_share": 0.5, "within": "pool"}, "'characters'"),
    ],
)
def test_an_indicator_that_is_misspelled_ends_with_2_and_the_one_that_is_meant(check: dict[str, Any], meant: str) -> None:
    verdict = gate(Pool.of(ROWS), config(**check))
    if verdict.results[0].state == "skipped":
        from instructsel.gates.change import Change

        verdict = gate(Change.of(Pool.of(ROWS), Baseline.create(Pool.of(ROWS[:6]))), config(**check))
    assert verdict.exit_code() == 2 and f"Did you mean {meant}" in verdict.results[0].statement, verdict.results[0]


@pytest.mark.parametrize("symbol", ["rew", "my_score"])
def test_a_column_that_no_gate_computes_is_no_misspelled_one(symbol: str) -> None:
    verdict = gate(Pool.of(ROWS), config(kind="indicator-limit", indicator=symbol, max=3))
    assert verdict.exit_code() == 4 and "Score the new rows" in verdict.results[0].statement


def test_a_label_of_a_quota_that_is_misspelled_is_refused_before_rows_are_read() -> None:
    with pytest.raises(UsageError, match="Did you mean 'source'"):
        config(kind="quota", by="sorce", max_share=0.5)


@pytest.mark.parametrize("name", ["refusal", "IS012"])
def test_no_check_is_called_as_another_one_whose_waivers_it_would_take(name: str) -> None:
    with pytest.raises(UsageError, match="which is another check"):
        config(kind="secret", name=name)
    assert config(kind="refusal", name=name).checks[0].name == name


def test_one_option_of_reading_leaves_the_others_as_the_baselines_pool_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def write(name: str, numbers: range) -> str:
        Path(name).write_text(
            "".join(json.dumps({"ask": f"Name lake {n}.", "say": f"Lake {n}.", "topic": "lakes"}) + "\n" for n in numbers)
        )
        return name

    mapping = Reading(mapping="instruction=ask,response=say")
    Baseline.create(mapping.read([write("pool.jsonl", range(5))])).write("pool.baseline")
    change = read_change([write("new.jsonl", range(5, 8))], baseline="pool.baseline", reading=Reading(source_field="topic"))
    assert len(change.pool) == 3 and set(change.pool.sources) == {"lakes"}
    write("pool.jsonl", range(6))
    assert read_change(["pool.jsonl"], baseline="pool.baseline", reading=Reading(source_field="topic")).n_rows == 1
    other = read_change(
        [write("new.jsonl", range(5, 8))], baseline="pool.baseline", reading=Reading(mapping="instruction=say,response=ask")
    )
    assert other.rows[0].response.startswith("Name"), "what is said beside it counts"


def test_github_is_warned_of_no_check_that_need_not_be_asked_and_told_of_all_of_them_once() -> None:
    form = output_named("github")
    lines = form.render(gate(Pool.of(ROWS)), Setting()).decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("::notice::") and "Did not run: IS004 template-prefix" in lines[0]
    lines = form.render(gate(Pool.of(ROWS), config(kind="truncated")), Setting()).decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("::error::IS005 truncated skipped")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gate.yaml", "a: &x 1\nb: *x\n", "it has an alias"),
        ("settings", None, "it is a folder"),
        ("pyproject.toml", "[tool.instructsel]\ngate = 3\n", "is no table"),
        ("gate.toml", '[[check]]\nkind = "refusal"\nmax_rows = 1\nmax_rate = 0.5\n', "has both max_rows and max_rate"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_sentence(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    target = tmp_path / name
    target.mkdir() if content is None else target.write_text(content)
    with pytest.raises(UsageError) as refused:
        GateConfig.read(target)
    assert message in refused.value.message and refused.value.message.count(name) == 1
    if name == "pyproject.toml":
        with pytest.raises(UsageError, match="is no table"):
            GateConfig.near(tmp_path)


@pytest.mark.parametrize("form", ["sarif=-", "github", "json=-"])
def test_stdout_carries_one_form_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    done = CliRunner().invoke(app, ["gate", "new.jsonl", "--json", "--to", form], prog_name="instructsel")
    assert done.exit_code == 2 and "cannot both be written to stdout" in done.stderr and not done.stdout
