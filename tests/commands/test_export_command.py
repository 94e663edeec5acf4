"""instructsel export, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from tests.conversations import ASKED, SAID


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="instructsel")


@pytest.fixture
def selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A selection of the five longest of nine rows, one of which stands in the pool twice."""
    monkeypatch.chdir(tmp_path)
    words = ["river", "stone", "lantern", "paper", "orchard", "winter", "harbour", "violin"]
    texts = [" ".join(words[number:] + words[: number // 2]) * (number + 1) for number in range(8)]
    rows = [{"messages": [{**ASKED, "content": text}, {**SAID, "content": f"{text} it is"}]} for text in [*texts, texts[-1]]]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run("score", "pool.jsonl", "--indicators", "len", "--no-cache", "-q").exit_code == 0
    arguments = ("--by", "-len", "--n", "5", "-o", "chosen.jsonl", "--random-subsets", "1", "--keep-near-duplicates", "-q")
    done = run("select", "pool.scores.parquet", *arguments)
    assert done.exit_code == 0, done.output
    return tmp_path / "chosen.jsonl"


def exported(*arguments: str | Path) -> list[dict[str, Any]]:
    done = run("export", *arguments, "--json")
    assert done.exit_code == 0, done.output
    (data,) = json.loads(done.stdout)["data"]
    return [json.loads(line) for line in Path(data).read_text(encoding="utf-8").split("\n") if line]


def test_a_selection_is_exported_from_its_rows_its_table_and_its_record(selection: Path) -> None:
    expected = exported(selection, "--to", "messages", "-o", "a")
    assert len(expected) == 5
    assert exported("chosen.selection.parquet", "--to", "messages", "-o", "b") == expected
    assert exported("chosen.selection-set.json", "--to", "messages", "-o", "c") == expected
    names = {path.name for folder in "abc" for path in Path(folder).glob("train-*.jsonl")}
    assert len(names) == 1
    manifest = json.loads(next(Path("a").glob("*.manifest.json")).read_text(encoding="utf-8"))
    assert manifest["kind"] == "export" and manifest["selection"]["kind"] == "selection" and manifest["rows"]["written"] == 5
    random = exported("chosen.random-seed0.jsonl", "--to", "messages", "-o", "d")
    assert len(random) == 5 and random != expected
    assert len(exported("pool.jsonl", "--to", "messages", "-o", "e")) == 9


def test_a_card_says_how_the_rows_were_chosen_and_from_which_files(selection: Path) -> None:
    assert run("export", selection, "--to", "hf", "-o", "card").exit_code == 0
    text = Path("card/README.md").read_text(encoding="utf-8")
    assert "- ranked by: len, highest first" in text and "- kept: 5 of 9 examples" in text and "below\\_budget" in text
    assert "| pool | 5 |" in text and "| chosen.jsonl | " in text


def test_rows_are_in_the_order_that_is_asked_for(selection: Path) -> None:
    orders = {order: exported(selection, "--to", "messages", "-o", order, "--order", order) for order in ("id", "score", "file", "random")}
    lengths = [len(row["messages"][1]["content"]) for row in orders["score"]]
    assert lengths == sorted(lengths, reverse=True)
    chosen = [json.loads(line) for line in selection.read_text(encoding="utf-8").split("\n") if line]
    assert orders["file"] == chosen
    assert all(sorted(map(json.dumps, rows)) == sorted(map(json.dumps, chosen)) for rows in orders.values())
    other = exported(selection, "--to", "messages", "-o", "other", "--order", "random", "--seed", "3")
    assert other != orders["random"] == exported(selection, "--to", "messages", "-o", "again", "--order", "random")


def test_the_rows_are_looked_for_in_the_pool_where_they_are_gone_and_refused_where_they_have_changed(selection: Path) -> None:
    expected = exported(selection, "--to", "alpaca", "-o", "a")
    selection.write_text(selection.read_text(encoding="utf-8") + json.dumps({"messages": [ASKED, SAID]}) + "\n", encoding="utf-8")
    done = run("export", selection, "--to", "alpaca", "-o", "b")
    assert done.exit_code == 2 and "has changed since it was selected" in done.output
    selection.unlink()
    assert exported("chosen.selection.parquet", "--to", "alpaca", "-o", "c") == expected


def test_the_account_names_rows_and_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tools = {"messages": [ASKED, SAID], "tools": [{"name": "get_tide"}]}
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [{"messages": [ASKED, SAID]}, tools]), encoding="utf-8")
    refused = run("export", "pool.jsonl", "--to", "alpaca")
    assert refused.exit_code == 2 and not Path("pool.alpaca").exists()
    assert "1 row has tools, which alpaca cannot carry (first: pool.jsonl:2)." in " ".join(refused.output.split())
    assert "Leave it out with --drop-unsupported" in " ".join(refused.output.split())
    done = run("export", "pool.jsonl", "--to", "alpaca", "--drop-unsupported")
    shown = " ".join(done.output.split())
    assert done.exit_code == 0 and "1 row of 2 for readers of Alpaca's format" in shown
    assert (
        "1 row has tools; left out: alpaca cannot carry it (first: pool.jsonl:2)" in shown
        and "next: instructsel audit pool.alpaca/train-" in shown
    )
    again = run("export", "pool.jsonl", "--to", "alpaca", "--drop-unsupported")
    assert again.exit_code == 2 and "is there already" in again.output


def test_what_cannot_be_written_is_refused_before_the_pool_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = json.dumps({"messages": [ASKED, SAID]}) + "\n"
    for name in ("pool.jsonl", "README.md"):
        (tmp_path / name).write_text(row, encoding="utf-8")
    monkeypatch.setattr("instructsel.pool.spec.Reading.read", lambda *_, **__: pytest.fail("the pool was read"))
    for arguments, said in (
        (("--to", "messages", "-o", "pool.jsonl", "--force"), "is the input"),
        (("--to", "messages", "-o", "none/there/x.jsonl"), "no folder"),
        (("--to", "messages", "-o", "x.parquet"), "ends in none of"),
        (("--to", "trl", "-o", "x.jsonl"), "is a folder"),
        (("--to", "trl", "-o", "."), "README.md is there already"),
        (("--to", "nothing"), "no consumer"),
        (("--to", "sharegpt", "--loss", "all"), "is a format"),
        ((), "No consumer is named"),
    ):
        done = run("export", "pool.jsonl", *arguments)
        assert done.exit_code in (2, 4) and said in " ".join(done.output.split()), done.output
    assert (tmp_path / "pool.jsonl").read_text(encoding="utf-8") == row


def test_shards_that_are_the_input_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_text(json.dumps({"messages": [ASKED, SAID]}) + "\n", encoding="utf-8")
    assert run("export", "pool.jsonl", "--to", "hf", "-o", "out").exit_code == 0
    shard = Path("out/data/train-00000-of-00001.parquet")
    before = shard.read_bytes()
    for named in (str(shard), "out/data", "out"):
        done = run("export", named, "--to", "hf", "-o", "out", "--force")
        assert done.exit_code == 2 and "is the input" in " ".join(done.output.split()), done.output
    assert shard.read_bytes() == before


def test_an_audit_shows_what_a_consumer_would_train_on_by_its_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"messages": [ASKED, SAID]}, {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shown = " ".join(run("audit", "pool.jsonl", "--to", "llamafactory").output.split())
    assert "1 row has responses of weight 0; left out: llamafactory cannot carry it (first: pool.jsonl:2)" in shown
    assert "the loss falls on 1 response of 2 turns" in shown and "rules read in: LLaMA-Factory" in shown
    assert json.loads(run("audit", "pool.jsonl", "--to", "axolotl", "--json").stdout)["trained_turns"] == 2
    assert "no consumer 'lama'" in run("audit", "pool.jsonl", "--to", "lama").output
    assert "--base is for --to trl" in " ".join(run("audit", "pool.jsonl", "--to", "axolotl", "--base", "x").output.split())
