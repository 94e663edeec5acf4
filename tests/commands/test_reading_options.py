"""Every command that reads pool files reads them by the same options."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.commands._groups import docs_of
from instructsel.pool.reading_options import ReadingOptions
from instructsel.pool.spec import Reading

READERS = (("score",), ("audit",), ("export",), ("train",), ("verify",), ("report",), ("demo",), ("study", "plan"), ("study", "size"))


@pytest.mark.parametrize("path", READERS, ids=" ".join)
def test_a_command_that_reads_pools_has_every_option_of_reading(path: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    options = {parameter.name: parameter for parameter in command.params}
    assert {field.name for field in fields(ReadingOptions)} <= options.keys()
    for name, doc in docs_of(ReadingOptions).items():
        assert options[name].help == doc, name  # type: ignore[attr-defined]


def test_a_gate_has_them_too() -> None:
    shown = CliRunner().invoke(app, ["gate", "--help"], prog_name="instructsel").output
    flags = {"form": "format", "mapping": "map"}
    assert all(f"--{flags.get(field.name, field.name).replace('_', '-')} " in shown for field in fields(ReadingOptions))


def test_every_setting_of_reading_has_an_option() -> None:
    stated = ReadingOptions("alpaca", "a=b", "c", ";", "all-paths", "last", ("AI=assistant",), "in", "keep", "of").settled()
    assert stated == Reading("alpaca", "a=b", "c", "all-paths", "last", ("AI=assistant",), "in", "keep", "of", ";")
    assert ReadingOptions().settled() == Reading()
    assert len(fields(ReadingOptions)) == len(fields(Reading))


def test_an_export_reads_by_a_delimiter_and_a_field_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.csv").write_text("instruction|output|of\nSay one, please|One|a\nSay two, please|Two|b\n", encoding="utf-8")
    arguments = ["export", "pool.csv", "--delimiter", "|", "--source-field", "of", "--to", "parquet", "-o", "out.parquet", "--json"]
    done = CliRunner().invoke(app, arguments, prog_name="instructsel")
    assert done.exit_code == 0 and json.loads(done.stdout)["written"] == 2, done.output
    from instructsel.pool.pool import Pool

    assert {example.messages[0].content for example in Pool.read(tmp_path / "out.parquet").examples()} == {
        "Say one, please",
        "Say two, please",
    }
    assert set(Pool.read(tmp_path / "out.parquet", source_field="source").sources) == {"a", "b"}


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), prog_name="instructsel")
    return done.exit_code, " ".join(done.output.split())


def odd(path: Path, rows: int, word: str) -> None:
    lines = "".join(f"Say {word} {n}, please|{word} {' and'.join([str(n)] * (n + 1))}\n" for n in range(rows))
    path.write_text("q|a\n" + lines, encoding="utf-8")


def test_a_selection_reads_its_target_by_options_and_the_pool_as_its_scores_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd(tmp_path / "pool.csv", 12, "one")
    odd(tmp_path / "target.csv", 4, "two")
    mapping = "instruction=q,response=a"
    assert run("score", "pool.csv", "--map", mapping, "--indicators", "len")[0] == 0
    of_target = ("select", "pool.scores.parquet", "--by", "dsir", "--n", "3", "-o", "chosen.csv", "--target", "target.csv")
    assert run(*of_target)[0] == 3
    code, output = run(*of_target, "--map", mapping)
    assert code == 0, output
    code, output = run("select", "pool.scores.parquet", "--by", "len", "--n", "3", "--map", mapping)
    assert code == 2 and "no --target" in output
    code, output = run("report", "chosen.csv", "--map", mapping, "--force", "-o", "page.md")
    assert code == 2 and "records how its pool is read" in output


def test_a_plan_holds_how_its_rows_are_read_also_one_that_names_the_format_alone(tmp_path: Path) -> None:
    from instructsel.experiments.plan import Experiment, PlannedArm, TrainingSettings

    arms = (PlannedArm("selection", rows=(("a.csv",),)), PlannedArm("random", rows=(("b.csv",),)))
    plan = Experiment(
        arms, 1, ReadingOptions(mapping="instruction=q,response=a", role=("AI=assistant",)), TrainingSettings(base="org/base")
    )
    plan.write(tmp_path / "plan.toml")
    assert Experiment.read(tmp_path / "plan.toml").reading == plan.reading
    earlier = {key: value for key, value in plan.as_dict().items() if key != "reading"}
    assert Experiment.of({**earlier, "format": "alpaca"}).reading == ReadingOptions("alpaca")


def test_the_demo_reads_another_pool_by_options_and_its_own_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = run("demo", "-o", "demo", "--reasoning", "in", "--no-ifd")
    assert code == 2 and "as it is" in output
