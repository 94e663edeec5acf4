"""judge-app on the command line: what it reads, what it refuses, and what it prints."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.adapters.alpaca_eval.files import write_outputs
from instructsel.commands import app
from instructsel.grading.outputs import Outputs
from instructsel.human.files import read_judgments
from instructsel.human.store import Answer, JudgmentStore
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "judgments.csv"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["judge-app", *map(str, arguments)], prog_name="instructsel")


def refused(done: Any, code: int, *parts: str) -> None:
    assert done.exit_code == code and done.stderr.count("error: ") == 1, (done.exit_code, done.stderr)
    text = " ".join(done.stderr.split())
    assert not [part for part in parts if part not in text], text


def outputs(name: str, texts: dict[str, str | None]) -> Path:
    reasons = tuple(None if text is not None else "too_long" for text in texts.values())
    write_outputs(f"{name[:9]}.json", Outputs(name, tuple(texts), tuple(texts.values()), reasons))
    return Path(f"{name[:9]}.json")


def evaluation(**answers: int) -> Path:
    """An evaluation of the example's pairs, with the first pairs judged."""
    done = run(ROOT / "examples" / "comparisons.jsonl", "--db", "e.sqlite3", "--seed", 1, "--summary")
    refused(done, 3, "no judgment yet")
    store = JudgmentStore.open("e.sqlite3")
    for name, n in answers.items():
        for position in range(1, n + 1):
            store.judge(store.annotator(name), position, Answer(True, position % 2 == 0, position % 5))
    store.close()
    return Path("e.sqlite3")


def test_the_summary_fits_eighty_columns_and_finds_what_was_planted_in_the_example() -> None:
    done = run(EXAMPLE, "--summary")
    assert done.exit_code == 0 and not [line for line in done.stdout.splitlines() if len(line) > 80]
    for part in ("selection against random: 12 instances", "Fleiss' kappa", "Krippendorff's alpha", "left is preferred by"):
        assert part in done.stdout
    summary = json.loads(run(EXAMPLE, "--summary", "--json").stdout)["summary"]
    strict = next(annotator for annotator in summary["annotators"] if annotator["name"] == "eva")
    assert strict["leniency"]["high"] < 0 and summary["pairs"][0]["win_rate"]["low"] > 0.5


def test_an_evaluation_is_summarized_exported_and_read_again() -> None:
    file = evaluation(ada=6, ben=4)
    done = run("--db", file, "--summary", "--export", "out.csv", "--json")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["exported"] == 10 == printed["summary"]["n_judgments"] and printed["summary"]["agreement"]["n_instances"] == 4
    assert json.loads(run("out.csv", "--summary", "--json").stdout)["summary"] == printed["summary"]
    assert run("--db", file, "--export", "out.csv", "-q").exit_code == 0 and len(read_judgments("out.csv")) == 10


def test_outputs_of_models_are_compared_where_both_responded() -> None:
    files = [
        outputs("selection (replicate 0, seed 0)", {"a": "1", "b": "2", "c": None}),
        outputs("random (replicate 0, seed 0)", {"a": "3", "b": "4", "c": "5", "d": "6"}),
        outputs("base", {"a": "7"}),
    ]
    refused(run(*files, "--db", "all.sqlite3", "--summary"), 3, "no judgment yet")
    refused(run(*files, "--db", "one.sqlite3", "--reference", "base", "--summary"), 3, "no judgment yet")
    stores = [JudgmentStore.open(name) for name in ("all.sqlite3", "one.sqlite3")]
    assert [store.n_pairs for store in stores] == [4, 2]
    for store in stores:
        store.close()
    refused(run(*files, "--reference", "bass"), 2, "no model 'bass'", "Did you mean 'base'?")
    refused(run(files[0]), 2, "two or more models")


def test_what_cannot_be_judged_or_written_is_refused() -> None:
    refused(run(), 3, "There is no file judgments.sqlite3")
    refused(run(EXAMPLE), 2, "holds judgments, and nothing to judge", "--summary")
    refused(run(EXAMPLE, ROOT / "examples" / "comparisons.jsonl", "--summary"), 2, "files of one kind")
    refused(run(EXAMPLE, "--summary", "--votes", "some"), 2, "no way to count votes 'some'")
    refused(run(EXAMPLE, "--export", "out.txt"), 2, "ends in none of .csv, .jsonl, .xlsx")
    Path("mine.csv").write_text("a,b\n1,2\n")
    refused(run(EXAMPLE, "--export", "mine.csv"), 2, "exists and holds no judgments")
    refused(run(ROOT / "examples" / "comparisons.jsonl", "--annotators", "ada,"), 2, "An annotator's name")
    refused(run(EXAMPLE, "--summary", "--reference", "x", "--export", EXAMPLE), 2, "is the input")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_other_machines_reach_nothing_without_a_public_address(host: str) -> None:
    refused(run(ROOT / "examples" / "comparisons.jsonl", "--host", host), 2, "lets other machines reach", "--public-url")
    assert not Path("judgments.sqlite3").exists()


@pytest.mark.parametrize(
    "url", ["judge.example.org", "ftp://x", "https://", "http://x/path", "http://a:b@x", "http://x:99999999", "http://[x"]
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    refused(run(ROOT / "examples" / "comparisons.jsonl", "--public-url", url), 2, "is no address")


def test_a_port_that_is_taken_is_named() -> None:
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(run(ROOT / "examples" / "comparisons.jsonl", "--port", port), 4, f"127.0.0.1:{port} cannot be listened on", "--port")


def test_a_settings_file_opens_the_app_to_nobody() -> None:
    Path("instructsel.toml").write_text('[judge-app]\nhost = "0.0.0.0"\n')
    refused(run(EXAMPLE, "--summary"), 2, "host", "which machines reach")


def test_without_its_packages_the_app_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    refused(run(ROOT / "examples" / "comparisons.jsonl", "--port", 0), 4, "pip install 'instructsel[app]'")


def test_links_are_different_and_hold_no_name_and_the_code_holds_no_password() -> None:
    from instructsel.human.app.server import Address, links

    store = JudgmentStore.open("l.sqlite3")
    for name in ("ada", "ben"):
        store.annotator(name)
    found = links(store, Address(), 8787)
    assert re.fullmatch(r"http://127\.0\.0\.1:8787/sign-in\?code=[0-9a-f]{40}", found["ada"]) and found["ada"] != found["ben"]
    assert links(store, Address("0.0.0.0", 1, "https://judge.example.org/"), 1)["ben"].startswith("https://judge.example.org/sign-in?code=")
    store.renew()
    assert not set(links(store, Address(), 8787).values()) & set(found.values())
    store.close()
    for source in (ROOT / "instructsel" / "human").rglob("*.py"):
        assert not re.search(r"(?i)password\s*=|secret_key\s*=\s*[\"']", source.read_text(encoding="utf-8"))
