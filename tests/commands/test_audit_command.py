"""instructsel audit: what it prints, writes and ends with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from instructsel.audits.settings import PACKINGS
from instructsel.audits.shown import Piece, ShownRow
from instructsel.commands import app
from instructsel.commands._audit_text import row_lines
from instructsel.commands._help import BARE
from instructsel.text import columns_of
from tests.templates import FAMILIES

ROWS = [
    {"instruction": "how do i boil an egg", "output": "put it into boiling water"},
    {"instruction": "what does <b>this</b> do", "output": "it \x1b[31mpaints\u202e <script>alert(1)</script>"},
    {"instruction": "say nothing", "output": ""},
    {"instruction": "tell it at length", "output": "the sky is blue " * 120},
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FAMILIES["tulu_bos"].base(tmp_path / "base")
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exit_code == code, done.output
    return done


def test_it_prints_findings_with_file_and_line_in_eighty_columns(place: Path) -> None:
    done = run("pool.jsonl", "--base", "base", "--max-length", "256", "--show", "4")
    assert "empty-response: 1 row; first: pool.jsonl:3" in done.stdout
    assert "truncated-response: 1 row; first: pool.jsonl:4" in done.stdout
    assert all(columns_of(line) <= 80 for line in done.stdout.splitlines())
    assert "[[" in done.stdout and "{{</s>}}" in done.stdout and "\x1b" not in done.stdout and "\u202e" not in done.stdout


def test_it_ends_with_1_where_a_named_finding_is_there_and_with_0_where_not(place: Path) -> None:
    settings = ("pool.jsonl", "--base", "base", "--max-length", "256", "-q")
    run(*settings)
    for condition in ("any", "error", "lost-end-mark", "double-bos,empty-response"):
        run(*settings, "--fail-on", condition, code=1)
    run(*settings, "--fail-on", "double-bos", code=0)
    refused = run(*settings, "--fail-on", "empty-respons", code=2)
    assert "Did you mean 'empty-response'" in refused.stderr


def test_a_base_or_a_tokenizer_is_needed_and_one_of_them_alone(place: Path) -> None:
    for models in ((), ("--base", "base", "--tokenizer", "base")):
        assert "base model or a tokenizer" in run("pool.jsonl", *models, code=2).stderr
    run("pool.jsonl", "--tokenizer", "base")
    run("pool.jsonl", "--tokenizer", "nowhere/at/all", code=4)
    run("missing.jsonl", "--base", "base", code=3)


def test_it_writes_json_tables_and_a_page_that_loads_and_runs_nothing(place: Path) -> None:
    run("pool.jsonl", "--base", "base", "--max-length", "256", "-o", "audit.json", "--html", "audit.html")
    content = json.loads((place / "audit.json").read_text())
    assert (content["kind"], content["schema"]) == ("audit", 1) and content["totals"]["rows"] == 4
    page = (place / "audit.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "\u202e" not in page and "\x1b" not in page
    assert "default-src 'none'" in page and not re.search(r"(src|href)=\"(?!data:)", page)
    assert '<span class="end">&lt;/s&gt;</span>' in page and 'class="cut"' in page
    for trainer, reason in (("trl", None), ("instructsel", "no_response")):
        run("pool.jsonl", "--base", "base", "--trainer", trainer, "-o", "rows.parquet")
        frame = pl.read_parquet(place / "rows.parquet")
        # TRL trains the end of turn as the answer.
        assert frame["reason"].to_list() == [None, None, reason, None]
    assert frame.columns == ["file", "line", "source", "tokens", "loss_tokens", "full_tokens", "truncated", "reason", "flags"]
    assert frame["line"].to_list() == [1, 2, 3, 4]
    # Written again over itself, and over nothing else.
    run("pool.jsonl", "--base", "base", "-o", "audit.json", "--html", "audit.html")
    (place / "notes.json").write_text("{}")
    run("pool.jsonl", "--base", "base", "-o", "notes.json", code=2)
    run("pool.jsonl", "--base", "base", "-o", "pool.jsonl", code=2)


def test_packing_alone_is_trl_s_usual_strategy(place: Path) -> None:
    for arguments in (("--packing", "pool.jsonl"), ("pool.jsonl", "--packing"), ("pool.jsonl", "--packing", "bfd")):
        assert json.loads(run(*arguments, "--base", "base", "--json", "-q").stdout)["settings"]["packing"] == "bfd"
    assert (
        json.loads(run("--packing", "wrapped", "pool.jsonl", "--base", "base", "--json", "-q").stdout)["settings"]["packing"] == "wrapped"
    )
    assert BARE["audit", "--packing"] == ("bfd", PACKINGS)
    for flag in (("--packing=wraped",), ("--packing", "wraped")):
        assert "Did you mean" in run("pool.jsonl", "--base", "base", *flag, code=2).stderr


def test_json_on_stdout_is_the_audit(place: Path) -> None:
    content = json.loads(run("pool.jsonl", "--base", "base", "--json", "--show", "1", "-q").stdout)
    assert content["kind"] == "audit" and len(content["rows"]) == 1


def test_colors_mark_what_brackets_mark_and_no_row_writes_to_the_terminal() -> None:
    pieces = (Piece("prompt", "ask\x1b[2J ", 1), Piece("trained", "yes ", 1), Piece("end", "</s>", 1), Piece("cut", " more", 1))
    row = ShownRow("pool.jsonl:1", 3, 2, None, (), pieces)
    assert row_lines(row, color=False)[1] == "ask\\u001b[2J [[yes ]]{{</s>}}~~ more~~"
    assert row_lines(row, color=True)[1] == "ask\\u001b[2J \x1b[32myes \x1b[0m\x1b[1;32;7m</s>\x1b[0m\x1b[2;9m more\x1b[0m"
    long = ShownRow("p:1", 3, 2, None, (), (Piece("trained", "word " * 60, 60),))
    assert all(columns_of(line) <= 80 for line in row_lines(long, color=False))


def test_a_small_change_of_the_settings_is_the_same_from_python(place: Path) -> None:
    import instructsel

    pool = instructsel.Pool.read("pool.jsonl")
    result = instructsel.audit(pool, base="base", max_length=256)
    assert isinstance(result, instructsel.Audit) and "empty-response" in repr(result) and "<table>" in result._repr_html_()
    content = json.loads(run("pool.jsonl", "--base", "base", "--max-length", "256", "--json", "-q").stdout)
    assert content["findings"] == result.as_dict()["findings"]
    with pytest.raises(instructsel.InstructselError, match="max_lenght"):
        instructsel.audit(pool, base="base", max_lenght=256)
