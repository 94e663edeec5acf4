"""A mixture of seven real sources from end to end: mixed, gated, scored, selected from, exported to every target and read back, trained on."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.adapters.exports.registry import exports
from instructsel.commands import app
from instructsel.pool.pool import Pool
from instructsel.pool.sources import zstd
from tests import tiny

SOURCES = {
    "dolly": 'dataset = "dolly"\nconversion = "original"',
    "code_alpaca_2k": 'dataset = "code_alpaca"\nconversion = "original"',
    "cot_sample": 'dataset = "cot"\nconversion = "auto"',
    "lima_history": 'label = "lima"\nlicence = "cc-by-nc-sa-4.0"',
    "evol_instruct_1k_sharegpt": 'label = "evol"',
    "oasst_en_100_tree": 'dataset = "oasst1"\nconversion = "original"\nsettings = { paths = "every-response" }',
    "glaive_toolcall_en_demo": 'label = "glaive"\nlicence = "apache-2.0"',
}
"""File → how it stands in the recipe."""
ROWS_OF_EACH = 12
READ_AGAIN = ("messages", "sharegpt", "llamafactory", "trl", "axolotl", "parquet", "hf")
"""Exports that lose nothing of these rows: their ids are the same when they are read again."""


@pytest.fixture
def place(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    text = f'name = "seven"\n[budget]\nrows = {ROWS_OF_EACH * len(SOURCES)}\n'
    for name, lines in SOURCES.items():
        with zstd.open(shared_data / "pools" / f"{name}.jsonl.zst", "rb") as packed:
            (tmp_path / f"{name}.jsonl").write_bytes(b"".join(itertools.islice(packed, 40)))
        text += f'[[source]]\npath = "{name}.jsonl"\nshare = {1 / len(SOURCES)}\n{lines}\n'
    (tmp_path / "recipe.toml").write_text(text)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), prog_name="instructsel")
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_mixture_of_seven_real_sources_goes_through_every_step_and_comes_back_from_every_target(place: Path) -> None:
    record = json.loads(run("mix", "recipe.toml", "--json", "-q"))
    assert {source["rows"]["written"] for source in record["sources"]} == {ROWS_OF_EACH} and len(record["sources"]) == 7
    assert record["licences"] == {
        "non_commercial": True,
        "because_of": ["code_alpaca", "lima"],
        "unknown": ["evol"],
        "by_licence": record["licences"]["by_licence"],
    }
    assert all(source["statistics"]["loss_tokens"] > 0 for source in record["sources"])
    # Shuffled files give the same bytes.
    before = Path("seven.jsonl").read_bytes()
    for path in place.glob("*.jsonl"):
        if path.name != "seven.jsonl":
            path.write_text("".join(reversed(path.read_text(encoding="utf-8").splitlines(keepends=True))), encoding="utf-8")
    assert json.loads(run("mix", "recipe.toml", "--json", "-q", "-o", "again.jsonl"))["hash"] == record["hash"]
    assert Path("again.jsonl").read_bytes() == before
    Path("gate.toml").write_text(
        '[[check]]\nkind = "unreadable-row"\n[[check]]\nkind = "roles"\n[[check]]\nkind = "quota"\nrecipe = "recipe.toml"\n'
    )
    run("gate", "seven.jsonl", "-q")
    run("score", "seven.jsonl", "--indicators", "mtld", "--no-cache", "-q", "-o", "scores.parquet")
    run("select", "scores.parquet", "--by", "-mtld", "--n", "40", "--max-null-fraction", "1", "-q", "-o", "chosen.jsonl")
    for name in exports():
        for rows in ("seven.jsonl", "chosen.jsonl"):
            written = json.loads(run("export", rows, "--to", name, "--drop-unsupported", "-o", f"{name}-{Path(rows).stem}", "--json", "-q"))
            again = Pool.read(*written["data"])
            assert len(again) == written["written"] > 0
            if name in READ_AGAIN and written["written"] == written["read"]:
                assert digests(again) == digests(Pool.read(rows))
    tiny.causal(place / "base")
    for rows in ("seven.jsonl", "chosen.jsonl"):
        run(
            "train",
            rows,
            "--base",
            "base",
            "--preset",
            "tiny",
            "--steps",
            "1",
            "--max-skipped-fraction",
            "0.9",
            "-o",
            f"tuned-{Path(rows).stem}",
            "-q",
        )
        assert json.loads(Path(f"tuned-{Path(rows).stem}/training.json").read_bytes())["kind"] == "training"


def digests(pool: Pool) -> Counter[str]:
    return Counter(name.partition(".")[0] for name in pool.ids)
