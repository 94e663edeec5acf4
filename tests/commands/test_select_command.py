"""instructsel select: what it refuses before any work, and what it says of its budget."""

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
from instructsel.selection.selection_set import SelectionSet
from tests import tiny

Invoke = Callable[..., Any]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """A folder with pool.jsonl of 40 rows and its scores, and a way to run commands in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    lines = [json.dumps({"instruction": f"Say {n} words.", "output": " ".join(f"w{n}x{k}" for k in range(n + 3))}) for n in range(40)]
    (tmp_path / "pool.jsonl").write_text("\n".join(lines) + "\n")

    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == code, done.output
        return done

    run("score", "pool.jsonl", "--indicators", "len", "--cache", "cache", "-q")
    return run


@pytest.mark.parametrize("how", ["name", "link", "hard link"])
def test_no_input_is_an_output(invoke: Invoke, tmp_path: Path, how: str) -> None:
    pool, out = tmp_path / "pool.jsonl", tmp_path / ("pool.jsonl" if how == "name" else "out.jsonl")
    if how == "link":
        out.symlink_to(pool)
    elif how == "hard link":
        os.link(pool, out)
    before = pool.read_bytes()
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", out.name, "--no-cache", code=2)
    assert "is the input" in done.stderr and pool.read_bytes() == before
    assert not list(tmp_path.glob("*.selection*"))


def test_a_file_that_is_no_selection_is_replaced_by_force_alone(invoke: Invoke, tmp_path: Path) -> None:
    other = tmp_path / "mine.jsonl"
    other.write_text('{"my": "rows"}\n')
    select = ("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "mine.jsonl", "--no-cache")
    assert "--force" in invoke(*select, code=2).stderr
    assert other.read_text() == '{"my": "rows"}\n'
    invoke(*select, "--force")
    assert len(other.read_text().splitlines()) == 5
    # An earlier selection may be replaced.
    invoke(*select)


def test_the_record_of_other_rows_is_replaced_by_force_alone(invoke: Invoke, tmp_path: Path) -> None:
    select = ("select", "pool.scores.parquet", "--by", "len", "--n", "5", "--random-subsets", "2", "--no-cache", "-o")
    invoke(*select, "chosen.jsonl.gz")
    record = (tmp_path / "chosen.selection-set.json").read_bytes()
    # Both would have chosen.selection-set.json, and the rows of before no baselines any more.
    assert "are the record of chosen.jsonl.gz" in " ".join(invoke(*select, "chosen.jsonl", code=2).stderr.split())
    assert (tmp_path / "chosen.selection-set.json").read_bytes() == record and not (tmp_path / "chosen.jsonl").exists()
    invoke(*select, "chosen.jsonl", "--force")
    assert SelectionSet.read("chosen.jsonl").selection.file.name == "chosen.jsonl"


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (("--n", "5", "-o", "no/such.jsonl"), 4, "there is no folder no"),
        (("--n", "5", "--to", "messages", "-o", "c.parquet"), 2, "Messages are written as JSON lines"),
        (("--n", "5", "--with-scores", "x.txt"), 2, ".jsonl, .csv, .parquet"),
        (("--n", "5", "--min", "lne=5"), 2, "Did you mean 'len'"),
        (("--tokens", "1.2345k", "--tokenizer", "embedded"), 2, "whole number"),
        (("--fraction", "ten"), 2, "takes a share"),
        (("--n", "5", "--quota", "pool=10.."), 2, "the budget 5"),
        (("--n", "5", "--rule", "longest"), 2, "exclude each other"),
        (("--n", "5", "--near-duplicates-of", "answer"), 2, "prompt, response or both"),
    ],
)
def test_what_cannot_be_is_refused_before_any_file_is_written(
    invoke: Invoke, tmp_path: Path, arguments: tuple[str, ...], code: int, cause: str
) -> None:
    files = set(tmp_path.iterdir())
    done = invoke("select", "pool.scores.parquet", "--by", "len", *arguments, "--no-cache", code=code)
    assert cause in done.stderr and set(tmp_path.iterdir()) == files


def test_by_ranks_the_lowest_first_and_a_minus_the_highest(invoke: Invoke, tmp_path: Path) -> None:
    for symbol, lengths in (("len", range(3, 8)), ("-len", range(38, 43))):
        invoke("select", "pool.scores.parquet", "--by", symbol, "--n", "5", "-o", "c.jsonl", "--no-cache", "--keep-near-duplicates")
        lengths_kept = [len(json.loads(line)["output"].split()) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
        assert sorted(lengths_kept) == list(lengths)


def test_rows_with_their_scores_stand_beside_untouched_rows(invoke: Invoke, tmp_path: Path) -> None:
    invoke("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "c.jsonl", "--with-scores", "w.jsonl", "--no-cache")
    assert set((tmp_path / "c.jsonl").read_bytes().splitlines()) <= set((tmp_path / "pool.jsonl").read_bytes().splitlines())
    scored = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    sidecar = pl.read_parquet(tmp_path / "c.selection.parquet").filter("kept").sort("rank")
    assert [row["instructsel_id"] for row in scored] == sidecar["id"].to_list()
    assert [row["instructsel_len"] for row in scored] == sidecar["score"].to_list()
    lines = (tmp_path / "pool.jsonl").read_text().splitlines()
    assert [json.loads(lines[line - 1])["output"] for line in sidecar["line"]] == [row["output"] for row in scored]
    assert sidecar["file"].unique().to_list() == ["pool.jsonl"]


def test_a_budget_that_leaves_no_choice_is_said_and_recorded(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "2k", "-o", "c.jsonl", "--random-subsets", "2", "--no-cache")
    assert "random-seed0, random-seed1 keep exactly the selection's 40 rows" in done.stderr and "no row is left" in done.stderr
    assert SelectionSet.read(tmp_path / "c.jsonl").same_rows() == ("random-seed0", "random-seed1")
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "20", "-o", "q.jsonl", "--quota", "pool=25%", "--no-cache")
    assert "15 examples short of the budget: the other rows are over the quota of their source" in done.stderr


def test_scores_that_the_last_run_wrote_elsewhere_are_found(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "pool.jsonl").rename(tmp_path / "data" / "pool.jsonl")
    (tmp_path / "pool.scores.parquet").unlink()
    invoke("score", "data/pool.jsonl", "--indicators", "len", "--cache", "cache", "-q")
    done = invoke("select", "--by", "len", "--n", "5", "-o", "c.jsonl", "--cache", "cache")
    assert "data/pool.scores.parquet" in done.stderr


def test_a_selection_of_no_row_writes_nothing_and_names_the_rounded_quota(invoke: Invoke, tmp_path: Path) -> None:
    files = set(tmp_path.iterdir())
    select = ("select", "pool.scores.parquet", "--by", "-len", "--n", "2", "--quota", "pool=30%", "--baseline", "random", "-o", "c.jsonl")
    done = invoke(*select, "--no-cache", code=5)
    assert "the quota pool=30% of 2 examples is 0.6, rounded down to 0" in " ".join(done.stderr.split())
    assert set(tmp_path.iterdir()) == files and "comparison says nothing" not in done.stderr


def test_a_budget_above_the_pool_is_a_warning_without_baselines(invoke: Invoke) -> None:
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "2000", "-o", "c.jsonl", "--no-cache")
    assert "warning: the budget of 2,000 examples takes every row that may be kept, 40 of 40" in done.stderr
    assert "warning" not in invoke("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "c.jsonl", "--no-cache").stderr


def test_a_ranking_by_one_indicator_predicts_nothing_and_the_next_command_names_the_rows(invoke: Invoke) -> None:
    done = invoke("select", "pool.scores.parquet", "--rule", "longest", "--n", "5", "-o", "c.jsonl", "--no-cache")
    assert "measured loss" not in done.stderr and "ranked by longest; " in done.stderr
    assert "next: instructsel report c.jsonl\nor: instructsel verify c.jsonl --base MODEL --eval FILE -o FOLDER" in done.stderr


def test_baselines_of_the_same_rows_are_warned_of_with_a_reason_each(invoke: Invoke) -> None:
    baselines = ("--baseline", "longest", "--baseline", "length-matched", "--random-subsets", "2")
    select = ("select", "pool.scores.parquet", "--by", "-len", "--n", "5", *baselines, "-o", "c.jsonl", "--no-cache")
    warnings = [line for line in invoke(*select).stderr.splitlines() if line.startswith("warning: ")]
    assert [line.rpartition(": ")[2] for line in warnings] == [
        "it ranks as the rule does; leave it out.",
        "no other rows have the lengths of the selection's; leave them out.",
    ]
    assert "longest keeps exactly" in warnings[0] and "length-matched-seed0, length-matched-seed1 keep exactly" in warnings[1]


def test_an_output_of_another_format_names_both_formats_and_an_ending(invoke: Invoke) -> None:
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "c.parquet", "--no-cache", code=2)
    text = " ".join(done.stderr.split())
    assert "The pool is JSON Lines and c.parquet names Parquet." in text and "Name an output ending in .jsonl." in text
    assert "--to" not in text


def test_a_refused_file_is_named_with_its_own_flag(invoke: Invoke, tmp_path: Path) -> None:
    select = ("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "c.jsonl", "--no-cache", "--with-scores")
    assert "Name another file for the output with --with-scores." in " ".join(invoke(*select, "pool.jsonl", code=2).stderr.split())
    (tmp_path / "mine.jsonl").write_text("{}\n")
    assert "Name another file with --with-scores" in " ".join(invoke(*select, "mine.jsonl", code=2).stderr.split())
    score = ("score", "pool.jsonl", "--indicators", "len", "-o", "x.parquet", "--no-cache", "--with-scores")
    assert "Name another file for the output with --with-scores." in " ".join(invoke(*score, "pool.jsonl", code=2).stderr.split())
    done = invoke("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "no/c.jsonl", "--no-cache", code=4)
    assert "Cannot write no/c.jsonl: there is no folder no." in done.stderr


def test_a_renamed_pool_is_named_in_the_fix(invoke: Invoke, tmp_path: Path) -> None:
    select = ("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "c.jsonl", "--no-cache")
    (tmp_path / "pool.jsonl").rename(tmp_path / "renamed.jsonl")
    (tmp_path / "other.jsonl").write_text("{}\n")
    assert "renamed.jsonl has the same bytes: --pool renamed.jsonl" in " ".join(invoke(*select, code=2).stderr.split())
    invoke(*select, "--pool", "renamed.jsonl")
    explain = ("explain", "--selection", "c.jsonl", "--pool", "renamed.jsonl")
    done = invoke(*explain, "pool.jsonl:3", code=2)
    assert "pool.jsonl is no file of this pool: its file is renamed.jsonl." in " ".join(done.stderr.split())
    assert "A line is a number from 1; found 'x'." in invoke(*explain, "renamed.jsonl:x", code=2).stderr


def test_a_way_makes_a_selection_and_explain_names_it(invoke: Invoke, tmp_path: Path) -> None:
    select = ("select", "pool.scores.parquet", "--n", "5", "-o", "c.jsonl", "--no-cache")
    done = invoke(*select, "--by", "random", "--seed", "3", "--baseline", "longest")
    assert "ranked by random (random-seed3)" in done.stderr
    written = SelectionSet.read("c.jsonl")
    assert [(subset.arm, subset.seed) for subset in written.subsets] == [("selection", 3), ("longest", None)]
    rows = (tmp_path / "c.jsonl").read_bytes()
    invoke(*select, "--rule", "random", "--seed", "3")
    assert (tmp_path / "c.jsonl").read_bytes() == rows
    assert "random, seed 3: rank" in invoke("explain", "pool.jsonl:3", "--selection", "c.jsonl").stdout
    invoke("report", "c.jsonl", "-o", "r.html", "-q")
    done = invoke(*select, "--by", "len", "--max-similarity", "0.5")
    assert "too_similar" in done.stderr and "similarity: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "deita"), "--max-similarity 0.9"),
        (("--by", "length-matched"), "--baseline length-matched"),
        (("--by", "-random"), "--by random"),
        (("--by", "random", "--baseline", "random"), "is the selection itself"),
        (("--by", "rds+"), "rds+ needs --target and --target-model. fix: Give them, for example: --target FILE --target-model embedded"),
        (("--by", "loss_drop"), "loss_drop needs --target, --target-model and --tuned-model."),
        (("--rule", "rds"), "There is no rule or way 'rds'. fix: Did you mean 'rds+'?"),
        (("--by", "rds+", "--target", "pool.jsonl"), "rds+ needs --target-model"),
        (("--by", "len", "--target", "pool.jsonl"), "none of them is asked for"),
        (("--by", "superfiltering"), "asks for ifd"),
        (("--by", "len", "--max-similarity", "0"), "above 0 and at most 1"),
    ],
)
def test_a_way_without_what_it_needs_is_refused_before_any_work(
    invoke: Invoke, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    files = set(tmp_path.iterdir())
    done = invoke("select", "pool.scores.parquet", "--n", "5", "-o", "c.jsonl", "--no-cache", *arguments, code=2)
    assert message in " ".join(done.stderr.split()) and set(tmp_path.iterdir()) == files


def test_what_the_model_of_a_way_does_not_see_is_said(invoke: Invoke, tmp_path: Path) -> None:
    tiny.causal(tmp_path / "lm", "llama")
    words = " ".join(sorted(set(tiny.TEXT))) * 4
    targets = [{"instruction": f"Say {number}. {words}", "output": words} for number in range(2)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in targets))
    asked = ("select", "pool.scores.parquet", "--n", "5", "-o", "c.jsonl", "--no-cache", "--target", "long.jsonl", "--target-model", "lm")
    done = invoke(*asked, "--by", "rds+", "--baseline", "ica")
    said = " ".join(done.stderr.split())
    assert "rds+: 2 targets cut to the 512 tokens that lm sees ica: " in said
    assert "cut to the 512 tokens that lm sees; the targets shown before them are cut first" in said


def test_ways_are_listed_and_shown(invoke: Invoke) -> None:
    listed = json.loads(invoke("rules", "list", "--json").stdout)
    ways = {entry["name"]: entry for entry in listed if entry.get("way")}
    assert {"random", "rds+", "superfiltering"} <= set(ways) and ways["rds+"]["needs"] == ["--target", "--target-model"]
    assert "arXiv:2402.00530" in invoke("rules", "show", "superfiltering").stdout
    assert "--baseline length-matched" in invoke("rules", "show", "length-matched").stdout
    assert "--by ica --target FILE --target-model embedded …" in invoke("rules", "show", "ica").stdout
    assert "--max-similarity 0.9" in invoke("rules", "show", "deita", code=2).stderr
    assert "k-center" in invoke("rules", "show", "nothing", code=2).stderr


def test_rows_that_repeat_another_and_have_another_response_are_counted(invoke: Invoke, tmp_path: Path) -> None:
    prompt = " ".join(f"word{k}" for k in range(60))
    lines = [json.dumps({"instruction": prompt, "output": answer}) for answer in ("yes", "no", "perhaps")]
    (tmp_path / "short.jsonl").write_text("\n".join(lines) + "\n")
    invoke("score", "short.jsonl", "--indicators", "len", "--cache", "cache", "-q")
    select = ("select", "short.scores.parquet", "--by", "len", "--n", "3", "-o", "c.jsonl", "--no-cache")
    report = " ".join(invoke(*select).stderr.split())
    assert "2 of the 2 rows dropped have another response" in report and "--near-duplicates-of response" in report
    report = " ".join(invoke(*select, "--near-duplicates-of", "response").stderr.split())
    assert "another response" not in report
    assert len((tmp_path / "c.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(("by", "meant"), [("k-centre", "k-center"), ("lenn", "len"), ("superfilter", "superfiltering")])
def test_a_misspelt_way_or_indicator_is_answered_with_the_one_that_is_meant(invoke: Invoke, by: str, meant: str) -> None:
    done = invoke("select", "--by", by, "--n", "2", "-o", "x.jsonl", code=2)
    assert f"Did you mean '{meant}'?" in done.output


def test_a_budget_of_tokens_offers_a_tokenizer_that_needs_no_hub(invoke: Invoke) -> None:
    done = invoke("select", "--by", "len", "--tokens", "5k", "-o", "x.jsonl", code=2)
    assert "--tokenizer MODEL; or embedded" in " ".join(done.output.split())
