"""A key in the name of a file, in a label, in a configuration or in a reason stands in no output of the gate."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest
from typer.testing import CliRunner

from instructsel.commands import app

BODY = "a1B2c3D4" * 4 + "e5F6"
KEY = f"ghp_{BODY}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Say {n}: {KEY}", "output": "" if n < 2 else "Gladly so.", "source": KEY} for n in (0, 0, 1, 2)]
    (tmp_path / f"x-{KEY}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken " + KEY + "\n")
    (tmp_path / f"{KEY}.toml").write_text(
        "".join(f'[[check]]\nkind = "{kind}"\n' for kind in ("empty-response", "unreadable-row", "exact-duplicate", "secret"))
        + f'[[check]]\nkind = "contamination"\nsets = ["{KEY}.jsonl"]\n'
        + '[[check]]\nkind = "quota"\nby = "source"\nmax_share = 0.1\nmin_count = 10\n'
        + f'[[waiver]]\ncheck = "empty-response"\nrow = "*"\nreason = "because {KEY}"\nexpires = 2099-01-01\n'
        + f'[[waiver]]\ncheck = "secret"\nrow = "0123456789"\nreason = "because {KEY}"\nexpires = 2020-01-01\n'
    )
    return tmp_path


@pytest.mark.parametrize("columns", ["30", "80", "400"])
def test_a_key_stands_neither_on_the_terminal_nor_in_any_file_that_the_gate_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    forms = [f"--to={name}={name}.out" for name in ("markdown", "junit", "sarif", "github", "gitlab", "json")]
    for more in (forms, ["--json"], ["--findings", "f.parquet"], ["--findings", "f.csv"], ["--source-field", "source"]):
        done = CliRunner().invoke(app, ["gate", f"x-{KEY}.jsonl", "--config", f"{KEY}.toml", *more], prog_name="instructsel")
        assert done.exit_code in (3, 4), done.output
        shown = "".join((done.stdout + done.stderr).split())
        assert BODY[:12] not in shown, more
    for file in (*folder.glob("*.out"), *folder.glob("f.csv*"), folder / "f.parquet.json"):
        assert BODY[:12] not in file.read_text(encoding="utf-8"), file.name
    frame = polars.read_parquet("f.parquet")
    assert frame.height and BODY[:12] not in str(frame.to_dicts())
    done = CliRunner().invoke(app, ["gate", f"missing-{KEY}.jsonl"], prog_name="instructsel")
    assert done.exit_code == 3 and BODY[:12] not in "".join(done.stderr.split())
