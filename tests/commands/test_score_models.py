"""score with models on the command line: what it says beforehand, what it refuses, and how it goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instructsel.scores.table import ScoreTable
from tests import tiny

DRAWN = random.Random(2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    tiny.causal(folder / "lm", train=True)
    tiny.t5(folder / "t5")
    rows = [{"instruction": " ".join(DRAWN.choices(tiny.TEXT, k=9)), "output": " ".join(DRAWN.choices(tiny.TEXT, k=12))} for _ in range(40)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(place: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INSTRUCTSEL_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "instructsel", *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_dry_run_prints_an_interval_and_scores_nothing(place: Path) -> None:
    done = run(place, "score", "pool.jsonl", "--indicators", "len,ppl,knn_6", "--model", "ppl=lm", "--dry-run", "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert [each["symbol"] for each in found] == ["len", "ppl", "knn_6"]
    for each in found:
        expected, low, high = each["seconds"]
        assert 0 <= low <= expected <= high and each["examples"] == 40
    assert "time (95% interval)" in done.stderr and not list(place.glob("*.parquet"))


def test_a_dry_run_names_what_would_be_fetched(place: Path) -> None:
    done = run(place, "score", "pool.jsonl", "--rule", "instructmining-v2", "--dry-run")
    # In a column of a table that wraps.
    assert "MingZhong/unieval-" in done.stderr and "dialog (size unknown" in done.stderr
    # The second version's own reward model, not that of Eq. 4.
    assert "OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5" in done.stderr and "deberta" not in done.stderr


def test_a_model_that_cannot_be_had_ends_with_4_before_any_work(place: Path) -> None:
    done = run(place, "score", "pool.jsonl", "--indicators", "len,ppl", "--model", "ppl=nobody/nothing", code=4)
    assert "hf download nobody/nothing" in done.stderr and not list(place.glob("*.parquet"))


@pytest.mark.parametrize("model", ["embedded", "lm"])
def test_a_revision_of_what_is_not_on_the_hub_is_refused(place: Path, model: str) -> None:
    done = run(place, "score", "pool.jsonl", "--indicators", "ppl", "--model", f"ppl={model}@main", code=2)
    assert f"ppl={model} has no revisions" in done.stderr and "Leave @main out." in done.stderr


def test_a_model_of_the_wrong_kind_ends_with_4(place: Path) -> None:
    done = run(place, "score", "pool.jsonl", "--indicators", "nat", "--model", "nat=lm", code=4)
    assert "error: " in done.stderr and "fix: " in done.stderr


def test_the_probe_stops_an_untrained_evaluator_and_skipping_it_is_said(place: Path) -> None:
    arguments = ["score", "pool.jsonl", "--indicators", "nat,und", "--model", "nat=t5", "--model", "und=t5", "-o", "nat.scores.parquet"]
    refused = run(place, *arguments, code=4)
    assert "sanity probe" in refused.stderr
    done = run(place, *arguments, "--skip-probe")
    assert "used without the sanity probe" in done.stderr
    table = ScoreTable.read(place / "nat.scores.parquet")
    assert table.manifest["indicators"]["nat"]["model"]["probe"] == "skipped"
    run(place, "select", "nat.scores.parquet", "--rule", "instructmining-v2", "--n", "5", code=2)


def test_a_second_run_takes_everything_from_the_cache_and_gives_the_same_bytes(place: Path) -> None:
    arguments = [
        "score",
        "pool.jsonl",
        "--indicators",
        "ppl,ppl_cond,ifd",
        *(f"--model={symbol}=lm" for symbol in ("ppl", "ppl_cond", "ifd")),
    ]
    first = run(place, *arguments, "-o", "a.scores.parquet")
    second = run(place, *arguments, "-o", "b.scores.parquet")
    assert (place / "a.scores.parquet").read_bytes() == (place / "b.scores.parquet").read_bytes()
    assert "all model outputs were in the cache" in second.stderr
    assert "in the cache" not in first.stderr
    assert not json.loads(run(place, "status", "--json").stdout)["runs"]


def test_a_policy_for_turns_that_does_not_exist_is_refused_with_a_suggestion(place: Path) -> None:
    done = run(place, "score", "pool.jsonl", "--indicators", "rew", "--reward-turns", "men", code=2)
    assert "Did you mean 'mean'?" in done.stderr or "Did you mean 'min'?" in done.stderr
