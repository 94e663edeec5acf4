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
from instructsel.commands._reading import ReadingOptions
from instructsel.pool.spec import Reading

READERS = (("score",), ("audit",), ("export",), ("train",), ("study", "plan"), ("study", "size"))


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
