"""instructsel report: what it writes, what goes to which stream, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from instructsel.commands.report import command
from instructsel.pool.pool import Pool
from instructsel.rules.catalog import load
from instructsel.scores.run import score
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.selection_set import SelectionSet
from tests.reports.pages import Page, scores, selection, verdict, verification

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    """chosen.selection.parquet, its scores, a random baseline, and the pool behind them."""
    pool = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Ask {at}, write to jane.doe@example.com", "input": "", "output": "word " * (at + 1)} for at in range(12)]
    pool.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    read = Pool.read(pool)
    length = [float(len(example.response.split())) for example in read.examples()]
    chosen = selection(length, [0.0] * 12, range(3), ids=read.ids, source=read.sources)
    table = tmp_path / "pool.scores.parquet"
    scores(chosen, {"len": length}, pool={"fingerprint": read.fingerprint, "examples": 12}).write(table, run={"pools": [str(pool)]})
    other = selection(length, [0.0] * 12, range(3, 6), ids=read.ids, source=read.sources, name="random-seed0", baseline="random")
    other.write_sidecar(tmp_path / "chosen.random-seed0.selection.parquet", run={"scores": str(table)})
    target = tmp_path / "chosen.selection.parquet"
    chosen.write_sidecar(target, run={"scores": str(table), "output": str(tmp_path / "chosen.jsonl")})
    return target


def test_a_sidecar_and_its_baseline_become_one_page(run: Run, sidecar: Path, tmp_path: Path) -> None:
    done = run(sidecar, tmp_path / "chosen.random-seed0.selection.parquet", "-o", "out.html", "--title", "A <title>")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert "Mine selects 3 of 12 examples" in done.stderr and "wrote out.html" in done.stderr
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (1, "A <title>") in page.headings
    assert [row[0][0] for row in page.tables["files"]] == [
        "chosen.selection.parquet",
        "chosen.random-seed0.selection.parquet",
        "pool.scores.parquet",
    ]
    assert page.tables["baselines"][0][0][0] == "random-seed0"
    assert str(tmp_path) not in text


def test_the_default_file_is_a_page_here_and_quiet_says_nothing(run: Run, sidecar: Path, tmp_path: Path) -> None:
    done = run(sidecar, "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "report.html").read_bytes().startswith(b"<!doctype html>")


@pytest.mark.parametrize("suffix", ["md", "json"])
def test_the_ending_decides_the_format(run: Run, sidecar: Path, tmp_path: Path, suffix: str) -> None:
    assert run(sidecar, "-o", f"out.{suffix}").exit_code == 0
    text = (tmp_path / f"out.{suffix}").read_text(encoding="utf-8")
    assert text.startswith("# Selection by Mine\n") if suffix == "md" else json.loads(text)["title"] == "Selection by Mine"


def test_json_goes_to_stdout_and_is_that_of_the_file(run: Run, sidecar: Path, tmp_path: Path) -> None:
    done = run(sidecar, "-o", "out.json", "--json")
    assert done.stdout == (tmp_path / "out.json").read_text(encoding="utf-8")


def test_texts_are_masked_and_left_out_where_asked_for(run: Run, sidecar: Path, tmp_path: Path) -> None:
    run(sidecar, "-o", "without.md", "--without-text")
    done = run(sidecar, "-o", "with.md")
    assert done.exit_code == 0, done.stderr
    without, told = ((tmp_path / f"{name}.md").read_text(encoding="utf-8") for name in ("without", "with"))
    assert "write to" not in without
    assert "Ask 3, write to \\[email\\]" in told and "jane" not in told


def test_a_score_table_alone_is_reported_and_leads_to_its_pool(run: Run, sidecar: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "pool.scores.parquet", "-o", "out.json")
    assert done.exit_code == 0, done.stderr
    sections = {section["name"]: section for section in json.loads((tmp_path / "out.json").read_bytes())["sections"]}
    assert list(sections) == ["outcome", "funnel", "distributions", "indicators", "run", "environment"]
    # Nothing of a selection, of which there is none: an outcome, and no column without a value.
    (opening,) = sections["outcome"]["text"]
    assert opening.startswith("12 of 12 examples have a score by ") and opening.endswith("Nothing is selected.")
    assert "selection" not in sections["funnel"]["title"]
    (table,) = [part for part in sections["distributions"]["parts"] if part["part"] == "table"]
    assert not [column["label"] for column in table["columns"] if "selected" in column["label"] or "random" in column["label"]]


def test_scores_that_moved_are_named(run: Run, sidecar: Path, tmp_path: Path) -> None:
    table = ScoreTable.read(tmp_path / "pool.scores.parquet")
    (tmp_path / "pool.scores.parquet").unlink()
    done = run(sidecar, "-o", "out.html")
    assert done.exit_code == 0 and "behind the selection is not there" in done.stderr
    table.write(tmp_path / "moved.scores.parquet")
    done = run(sidecar, "--scores", "moved.scores.parquet", "-o", "out.html")
    assert done.exit_code == 0 and "behind the selection is not there" not in done.stderr
    done = run(sidecar, "--with-text")
    assert done.exit_code == 2 and "--pool" in done.stderr
    done = run(sidecar, "--with-text", "--pool", "pool.jsonl", "-o", "out.html")
    assert done.exit_code == 0, done.stderr


def test_a_verification_is_reported_from_its_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "verification.json").write_bytes(orjson.dumps(verification(verdict())))
    done = run("verification.json", "-o", "out.md")
    assert done.exit_code == 0, done.stderr
    assert "Outcome: better than random (loss, −0.250 nats [−0.500, −0.125])" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent.parquet"], 3, "There is no file absent.parquet"),
        (["pool.jsonl"], 3, "is no result of instructsel"),
        (["chosen.selection.parquet", "-o", "out.pdf"], 2, "ends in none of .html, .md, .json"),
        (["chosen.selection.parquet", "-o", "absent/out.html"], 4, "Cannot write"),
        (["verdict.json", "-o", "verdict.json"], 2, "The output verdict.json is the input verdict.json"),
        (["chosen.selection.parquet", "--pool", "rows.json", "-o", "rows.json"], 2, "is the input rows.json"),
        (["chosen.selection.parquet", "-o", "foreign.json"], 2, "foreign.json exists and is not a report"),
        (["chosen.selection.parquet", "-o", "foreign.md"], 2, "foreign.md exists and is not a report"),
        (["pool.scores.parquet", "pool.scores.parquet"], 2, "is given twice"),
    ],
)
def test_what_cannot_be_reported_ends_with_its_exit_code_and_a_fix(
    run: Run, sidecar: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    for name in ("verdict.json", "rows.json", "foreign.json", "foreign.md"):
        (tmp_path / name).write_text('{"mine": 1}')
    done = run(*arguments)
    assert done.exit_code == code, done.stderr
    assert (tmp_path / "foreign.json").read_text() == '{"mine": 1}' == (tmp_path / "verdict.json").read_text()
    assert said in done.stderr and "fix:" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize("suffix", ["html", "md", "json"])
def test_an_earlier_report_is_replaced_and_another_file_only_by_force(run: Run, sidecar: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out.{suffix}"
    assert run(sidecar, "-o", target).exit_code == 0
    first = target.read_bytes()
    assert run(sidecar, "-o", target).exit_code == 0 and target.read_bytes() == first
    target.write_text("mine")
    assert run(sidecar, "-o", target).exit_code == 2 and target.read_text() == "mine"
    assert run(sidecar, "-o", target, "--force").exit_code == 0 and target.read_bytes() == first


def test_the_rows_that_select_wrote_are_reported_with_their_baselines_by_file_line_and_text(run: Run, tmp_path: Path) -> None:
    rows = [{"instruction": f"Ask {at}", "input": "", "output": "word " * (at + 3)} for at in range(30)]
    (tmp_path / "pool.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    pool = Pool.read(tmp_path / "pool.jsonl")
    table = score(pool, ["len"])
    table.write(tmp_path / "pool.scores.parquet")
    chosen = select(pool, ScoreTable.read(tmp_path / "pool.scores.parquet"), load("longest"), budget=5)
    random = baselines(chosen, ["random"], seeds=[0, 1])
    SelectionSet.create(tmp_path / "chosen.jsonl", chosen, random, scores=tmp_path / "pool.scores.parquet")
    for name in ("chosen.jsonl", "chosen.selection-set.json"):
        done = run(name, "-o", "out.json")
        assert done.exit_code == 0, done.stderr
        made = {section["name"]: section for section in json.loads((tmp_path / "out.json").read_bytes())["sections"]}
        (top,) = [part for part in made["rows"]["parts"] if part["name"] == "top"]
        assert top["rows"][0]["place"] == "pool.jsonl:30" and top["rows"][0]["instruction"] == "Ask 29" and "id" not in top["rows"][0]
        (chart,) = made["outcome"]["parts"]
        shifted = {row["name"].partition(" ")[0]: row for row in chart["data"]["rows"]}
        assert shifted["len"]["estimate"] > 1 and shifted["len"]["detectable"] < shifted["len"]["estimate"]
        assert next(part for part in made["run"]["parts"] if part["name"] == "baselines")["rows"][0]["baseline"] == "random-seed0"
    (tmp_path / "pool.jsonl").unlink()
    done = run("chosen.jsonl", "-o", "out.json")
    assert done.exit_code == 0 and "Texts of rows are not shown: " in done.stderr
    assert '"pool.jsonl:30"' in (tmp_path / "out.json").read_text()
