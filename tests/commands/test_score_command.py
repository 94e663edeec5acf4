"""score on the command line: columns are added, nothing of somebody else's is replaced, and nothing is refused late."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.scores.run import score
from instructsel.scores.table import ScoreTable

Run = Callable[..., Any]


def rows(first: int, count: int) -> bytes:
    return b"".join(
        json.dumps({"instruction": f"Question {n}?", "output": "word " * (n % 7 + 1)}).encode() + b"\n" for n in range(first, first + count)
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `instructsel score` in the temporary folder; the result, with the exit code checked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pool.jsonl").write_bytes(rows(0, 20))
    (tmp_path / "g.jsonl").write_bytes(rows(50, 12))

    def call(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["score", *arguments])
        assert done.exit_code == code, done.output
        return done

    return call


def table(path: str = "pool.scores.parquet") -> ScoreTable:
    return ScoreTable.read(path)


def test_a_second_run_adds_its_columns(run: Run) -> None:
    run("pool.jsonl", "--indicators", "len,len_in")
    before = table()
    run("pool.jsonl", "--indicators", "mtld,len_in")
    after = table()
    assert after.symbols == ("len", "len_in", "mtld")
    assert after.frame.select(before.frame.columns).equals(before.frame)
    assert set(after.manifest["indicators"]) == {"len", "len_in", "mtld"}
    assert after.frame["line"].null_count() == 0
    beside = json.loads(Path("pool.scores.parquet.json").read_text())["run"]
    assert set(beside["seconds"]) == {"len", "len_in", "mtld"} and beside["pool"]["paths"] == [str(Path("pool.jsonl").resolve())]
    run("pool.jsonl", "--indicators", "mtld", "--replace")
    assert table().symbols == ("mtld",)


def test_columns_in_two_steps_give_the_table_of_one(run: Run) -> None:
    run("pool.jsonl", "--indicators", "len,mtld", "-o", "once.parquet")
    run("pool.jsonl", "--indicators", "len", "-o", "twice.parquet")
    run("pool.jsonl", "--indicators", "mtld", "-o", "twice.parquet")
    assert Path("once.parquet").read_bytes() == Path("twice.parquet").read_bytes()


def test_a_table_of_the_last_release_gets_columns_and_places(run: Run) -> None:
    run("pool.jsonl", "--indicators", "len")
    written = table()
    ScoreTable(written.frame.drop("file", "line"), written.manifest).write("pool.scores.parquet")
    run("pool.jsonl", "--indicators", "mtld")
    assert table().symbols == ("len", "mtld") and table().frame["line"].null_count() == 0


def test_a_table_of_another_pool_is_not_written_over(run: Run) -> None:
    run("pool.jsonl", "--indicators", "len")
    before = Path("pool.scores.parquet").read_bytes()
    run("pool.jsonl", "g.jsonl", "--indicators", "len")
    assert len(table("pool+g.scores.parquet")) == 32
    done = run("g.jsonl", "--indicators", "len", "-o", "pool.scores.parquet", code=2)
    assert "another pool" in done.stderr and "--replace" in done.stderr
    assert Path("pool.scores.parquet").read_bytes() == before
    Path("pool.jsonl").write_bytes(rows(0, 21))
    run("pool.jsonl", "--indicators", "len", code=2)
    run("pool.jsonl", "--indicators", "len", "--replace")
    assert len(table()) == 21


def test_a_column_made_in_another_way_is_refused_before_any_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pool.jsonl", "--indicators", "len,mtld")
    written = table()
    entries = written.manifest["indicators"]
    other = {**entries["len"], "tokenizer": {"name": "other", "digest": "0"}}
    ScoreTable(written.frame, {**written.manifest, "indicators": {**entries, "len": other}}).write("pool.scores.parquet")
    monkeypatch.setattr("instructsel.commands.score.score", lambda *_, **__: pytest.fail("scored"))
    done = run("pool.jsonl", "--indicators", "len", code=2)
    assert "tokenizer" in done.stderr and "other there" in done.stderr


def test_a_column_without_its_model_is_filled_in_later(run: Run) -> None:
    run("pool.jsonl", "--rule", "reward-only")
    assert table().null_counts("rew") == {"model_unavailable": 20}
    run("pool.jsonl", "--indicators", "len")
    assert table().symbols == ("rew", "len")
    run("pool.jsonl", "--rule", "reward-only")
    assert table().symbols == ("rew", "len")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pool.jsonl", "-o", "pool.jsonl"],
        ["data.csv", "-o", "data.csv"],
        ["data.csv", "-o", "./data.csv", "--force"],
        ["data.csv", "-o", "link.csv", "--replace", "--force"],
        ["pool.jsonl", "--with-scores", "pool.jsonl", "--force"],
        ["a.csv.json", "-o", "a.csv", "--force"],
        ["pool.jsonl", "-o", "x.parquet", "--with-scores", "x.parquet"],
        ["pool.jsonl", "-o", "data.csv"],
        ["pool.jsonl", "--with-scores", "g.jsonl"],
        ["pool.jsonl", "--with-scores", "rows.txt"],
    ],
)
def test_no_input_and_no_file_of_another_kind_is_replaced(run: Run, arguments: list[str]) -> None:
    Path("data.csv").write_text("instruction,response\nOne?,An answer.\n")
    Path("a.csv.json").write_bytes(rows(0, 3))
    os.symlink("data.csv", "link.csv")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    run(*arguments, "--indicators", "len", code=2)
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


def test_force_replaces_a_file_that_is_no_score_table(run: Run) -> None:
    Path("notes.csv").write_text("mine\n")
    assert "--force" in run("pool.jsonl", "-o", "notes.csv", "--indicators", "len", code=2).stderr
    run("pool.jsonl", "-o", "notes.csv", "--indicators", "len", "--force")
    assert len(table("notes.csv")) == 20


def test_a_folder_that_cannot_be_written_is_refused_before_the_pool_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.pool.spec.Reading.read", lambda *_, **__: pytest.fail("read"))
    assert "no folder" in run("pool.jsonl", "-o", "none/x.parquet", code=4).stderr
    if os.getuid():
        Path("closed").mkdir(mode=0o500)
        run("pool.jsonl", "-o", "closed/x.parquet", code=4)
        run("pool.jsonl", "--with-scores", "closed/x.jsonl", code=4)


@pytest.mark.parametrize(("device", "code", "cause"), [("gpu", 2, "There is no device 'gpu'"), ("cuda", 4, "no NVIDIA GPU")])
def test_a_device_that_cannot_be_is_refused_before_any_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, device: str, code: int, cause: str
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("instructsel.pool.spec.Reading.read", lambda *_, **__: pytest.fail("read"))
    done = run("pool.jsonl", "--device", device, code=code)
    assert cause in done.stderr and "fix:" in done.stderr


def test_the_last_lines_name_the_command_to_run_next(run: Run) -> None:
    assert "next: instructsel select pool.scores.parquet --rule longest --n 2" in run("pool.jsonl", "--indicators", "len").stderr
    assert run("g.jsonl", "--indicators", "mtld").stderr.endswith("--by mtld --n 1\n")
    assert "next: instructsel rules list" in run("g.jsonl", "--rule", "reward-only", "--replace").stderr
    assert "next:" not in run("g.jsonl", "--indicators", "len", "-o", "-").stderr


def test_a_bad_row_limit_that_is_exceeded_is_said_in_place_of_a_command_that_would_fail(run: Run) -> None:
    good = '{"instruction": "a", "response": "b c"}\n'
    Path("bad.jsonl").write_text(good + "{\n", encoding="utf-8")
    lines = run("bad.jsonl", "--indicators", "len").stderr
    assert "next: repair the 1 of 2 rows that were quarantined and score again: select refuses more than 5%" in lines
    assert "instructsel select" not in lines and "1 example scored in" in lines


def test_a_dry_run_says_which_indicators_its_sum_is_without(run: Run) -> None:
    lines = run("pool.jsonl", "--indicators", "len,rew", "--dry-run").stderr
    assert "all indicators, without rew, which was not measured: about " in lines and "HF_HUB_OFFLINE is set" in lines


def test_a_note_names_the_pool_in_its_command(run: Run) -> None:
    lines = run("pool.jsonl", "--rule", "eq4").stderr
    assert "instructsel score pool.jsonl --reward" in lines and "POOL" not in lines


def test_a_note_on_a_column_is_said_by_the_run_that_scored_it(run: Run) -> None:
    assert "note: len counts" in run("pool.jsonl", "--indicators", "len").stderr
    second = run("pool.jsonl", "--indicators", "mtld").stderr
    assert "columns len, mtld" in second and "note: len counts" not in second


def test_rows_are_written_with_all_columns_of_the_table(run: Run) -> None:
    run("pool.jsonl", "--indicators", "len")
    run("pool.jsonl", "--indicators", "mtld", "--with-scores", "rows.parquet")
    frame = pl.read_parquet("rows.parquet")
    assert frame["instruction"].to_list() == [f"Question {n}?" for n in range(20)]
    assert {"instructsel_len", "instructsel_mtld"} <= set(frame.columns)
    # An earlier result of the same kind is replaced without --force.
    run("pool.jsonl", "--indicators", "len", "--with-scores", "rows.parquet")


def test_a_single_symbol_is_an_indicator_in_python(run: Run) -> None:
    from instructsel import Pool

    pool = Pool.read("pool.jsonl")
    assert score(pool, "len").frame.equals(score(pool, ["len"]).frame)
    assert score(pool, "len,mtld").symbols == ("len", "mtld")
    with pytest.raises(ValueError, match="Did you mean 'mtld'"):
        score(pool, "mtdl")
