"""score --import and --column on the command line: columns from elsewhere rank, filter, explain and report as our own do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.scores.table import ScoreTable

Run = Callable[..., Any]
RULE = 'name = "mine"\nintercept = 1.0\n[[terms]]\nindicator = "reward"\nweight = -0.5\n[[terms]]\nindicator = "len"\nweight = 0.1\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with a pool of 20 rows and a file of 19 scores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    rows = [{"id": n, "instruction": f"Question {n}?", "output": "word " * (n % 7 + 1), "quality": n % 5} for n in range(20)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("s.jsonl").write_text("".join(json.dumps({"id": n, "reward": n / 3, "Is good": n > 9}) + "\n" for n in range(1, 20)))
    Path("mine.toml").write_text(RULE)

    def call(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == code, done.output
        return done

    return call


def test_imported_columns_alone_are_scored_and_said(run: Run) -> None:
    done = run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "reward", "--column", "Is good", "--direction", "reward=higher")
    assert ScoreTable.read("pool.scores.parquet").symbols == ("reward", "is_good")
    words = " ".join(done.stderr.split())
    assert "reward: from s.jsonl, joined by the field 'id': 19 of 20 examples have a value; 1 has none" in words
    assert "is_good: 19 times true or false was read as 1 or 0" in words
    assert "--by -reward --n 2" in words and "(the highest first" not in words


def test_a_second_import_adds_its_columns_and_another_file_under_a_name_is_refused(run: Run) -> None:
    run("score", "pool.jsonl", "--indicators", "len")
    run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "reward", "--unit", "logit")
    run("score", "pool.jsonl", "--column", "quality")
    run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "reward")
    assert ScoreTable.read("pool.scores.parquet").symbols == ("len", "reward", "quality")
    Path("t.jsonl").write_text(Path("s.jsonl").read_text().replace('"id": 19', '"id": 0'))
    done = run("score", "pool.jsonl", "--import", "t.jsonl", "--column", "reward", code=2)
    assert "has a column reward that was made in another way" in " ".join(done.stderr.split())


def test_imported_columns_rank_filter_explain_and_report(run: Run) -> None:
    run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "reward", "--indicators", "len", "--unit", "logit")
    run("score", "pool.jsonl", "--column", "quality")
    few = ("--n", "4", "--max-null-fraction", "0.1")
    run("select", "pool.scores.parquet", "--by", "-reward", "--min", "quality=2", *few, "-o", "a.jsonl", "--with-scores", "w.jsonl")
    assert [json.loads(line)["id"] for line in Path("a.jsonl").read_text().splitlines()] == [19, 18, 17, 14]
    assert json.loads(Path("w.jsonl").read_text().splitlines()[0])["instructsel_reward"] == 19 / 3
    run("select", "pool.scores.parquet", "--rule", "mine.toml", *few, "-o", "b.jsonl")
    assert Path("b.jsonl").read_text().count("\n") == 4
    assert "-3.16" in run("explain", "pool.jsonl:20", "--selection", "b.jsonl").stdout
    assert "only A keeps" in run("diff", "a.jsonl", "b.jsonl").stdout
    run("report", "b.jsonl", "-o", "r.md")
    page = Path("r.md").read_text()
    assert "s.jsonl" in page and "the field 'id'" in page and "logit" in page


def test_a_rule_says_what_it_needs_imported(run: Run) -> None:
    done = run("score", "pool.jsonl", "--rule", "mine.toml", code=2)
    assert "--import FILE --column reward" in done.stderr
    run("score", "pool.jsonl", "--rule", "mine.toml", "--import", "s.jsonl", "--column", "reward")
    run("score", "pool.jsonl", "--rule", "mine.toml")
    assert ScoreTable.read("pool.scores.parquet").symbols == ("len", "reward")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--import", "s.jsonl"], "--import needs --column"),
        (["--join", "id"], "--join needs --import"),
        (["--column", "quality", "--join", "id"], "--join is for a file"),
        (["--import", "s.jsonl", "--column", "rew=reward"], "an indicator that instructsel computes itself"),
        (["--import", "s.jsonl", "--column", "a=reward", "--column", "a=quality"], "Two columns would be called a"),
        (["--import", "s.jsonl", "--column", "reward", "--direction", "up"], "no direction 'up'"),
        (["--import", "s.jsonl", "--column", "reward", "--unit", "rewad=logit"], "Did you mean 'reward'"),
        (["--import", "s.jsonl", "--column", "=reward"], "SYMBOL=FIELD"),
        (["--import", "-", "--column", "reward"], "imported from a file"),
        (["--import", "s.jsonl", "--column", "reward", "-o", "s.csv", "--with-scores", "s.jsonl"], "s.jsonl"),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_pool_is_read(run: Run, arguments: list[str], words: str) -> None:
    done = run("score", "pool.jsonl", *arguments, code=2)
    assert words in " ".join(done.stderr.split()) and "rows read" not in done.stderr


def test_a_misspelt_imported_symbol_is_suggested(run: Run) -> None:
    run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "helpfulness=reward")
    assert "Did you mean 'helpfulness'" in run("select", "pool.scores.parquet", "--by", "-helpfulnes", "--n", "3", code=2).stderr
    assert "--import FILE --column toxicity" in run("select", "pool.scores.parquet", "--by", "toxicity", "--n", "3", code=2).stderr


def test_a_dry_run_reads_no_scores(run: Run) -> None:
    assert "read from a file" in run("score", "pool.jsonl", "--import", "s.jsonl", "--column", "reward", "--dry-run").stderr
    assert not Path("pool.scores.parquet").exists()
