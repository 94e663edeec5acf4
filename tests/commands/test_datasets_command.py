"""instructsel datasets: what is listed and shown, and originals converted with an account of every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.artifact import file_digest
from instructsel.commands import app
from instructsel.commands._json_shapes import ConversionPrinted, DatasetPrinted
from instructsel.commands._schemas import SCHEMAS
from instructsel.mixtures.catalogue import catalogue
from instructsel.pool.pool import Pool
from instructsel.shapes import checked
from instructsel.text import columns_of
from tests.conftest import ROOT

ORIGINAL = str(ROOT / "examples" / "instructions.jsonl")


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["datasets", *arguments], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exit_code == code, done.output
    for line in [*done.stdout.splitlines(), *done.stderr.splitlines()]:
        assert columns_of(line) <= 80 or "--json" in arguments or len(line.split()) == 1, line
    return done


def test_the_list_has_a_line_for_each_dataset_with_its_licence() -> None:
    lines = run("list").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines[2 : 2 + len(catalogue())]}
    assert list(rows) == list(catalogue())
    assert rows["baize"].split() == ["baize", "210,311", "3.1", "LicenseRef-research-only", "NC", "a", "model"]
    assert rows["openhermes"].split() == ["openhermes", "unknown", "unknown", "a", "model"]


@pytest.mark.parametrize("key", catalogue())
def test_every_dataset_is_shown_in_80_columns_with_the_command_that_goes_on(key: str) -> None:
    text = " ".join(run("show", key).stdout.replace("\\\n", " ").split())
    dataset = catalogue()[key]
    assert text.startswith(f"{key}: {dataset.title}")
    assert f"{dataset.rows:,}" in text if dataset.rows is not None else "rows unknown" in text
    assert all(source.address in text for source in dataset.sources)
    assert ("no commercial use" in text) is bool(dataset.non_commercial)
    assert f"instructsel datasets convert {key} " in text if dataset.conversion else f"instructsel score {dataset.hub}" in text


def test_the_json_of_list_and_show_has_the_shape_of_its_schema() -> None:
    entries = json.loads(run("list", "--json").stdout)
    assert [entry["key"] for entry in entries] == list(catalogue())
    for entry in entries:
        checked(entry, DatasetPrinted)
    assert json.loads(run("show", "dolly", "--json").stdout) == entries[3]
    assert {"datasets", "dataset", "conversion"} <= set(SCHEMAS)


def test_an_original_is_converted_with_a_manifest_and_the_same_bytes_again(tmp_path: Path) -> None:
    target = tmp_path / "dolly.jsonl"
    done = run("convert", "dolly", ORIGINAL, "-o", str(target), "--json")
    record = json.loads(done.stdout)
    checked(record, ConversionPrinted)
    assert record["rows"] == {"read": 8, "kept": 8, "dropped": {}, "quarantined": {}} and record["conversations"] == 8
    assert record["sha256"] == file_digest(target) and record["settings"] == {"seed": 42}
    manifest = json.loads((tmp_path / "dolly.jsonl.json").read_text())
    assert manifest["run"]["files"] == {ORIGINAL: file_digest(ORIGINAL)}
    assert {key: value for key, value in manifest.items() if key != "run"} == {
        key: value for key, value in record.items() if key != "output"
    }
    before = target.read_bytes()
    # An earlier conversion is replaced; another seed draws other templates.
    assert "wrote" in run("convert", "dolly", ORIGINAL, "-o", str(target)).stderr
    assert target.read_bytes() == before
    run("convert", "dolly", ORIGINAL, "-o", str(target), "--seed", "7", "-q")
    assert target.read_bytes() != before
    assert Pool.read(target).report.kept == 8


def test_sharegpt_is_split_by_the_tokens_of_a_tokenizer(tmp_path: Path) -> None:
    turns = [{"from": who, "value": "the sea " * 10} for _ in range(6) for who in ("human", "gpt")]
    original = tmp_path / "sg.json"
    original.write_text(json.dumps([{"id": "a", "conversations": turns}]))
    done = run("convert", "sharegpt", str(original), "--max-tokens", "120", "--tokenizer", "embedded", "--dry-run", "--json")
    record = json.loads(done.stdout)
    # A turn has 20 words, 2 marks of the tokenizer and 6 of the layout; two exchanges are 112.
    assert record["parts"] == {"pieces": 3} and record["conversations"] == 3
    assert record["settings"] == {"seed": 42, "tokenizer": "embedded", "max_tokens": 120}
    assert record["output"] is None and not (tmp_path / "sg.jsonl").exists()


def test_a_list_of_tasks_leaves_the_others_out(tmp_path: Path) -> None:
    for name in ("task001_add", "task002_sort"):
        instances = [{"id": f"{name}-0", "input": "1", "output": ["2"]}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"Definition": ["Do."], "Positive Examples": [], "Instances": instances}))
    (tmp_path / "train_tasks.txt").write_text("task002_sort\ntask003_none\n")
    files = [str(tmp_path / f"{name}.json") for name in ("task001_add", "task002_sort")]
    done = run("convert", "super_ni", *files, "--tasks", str(tmp_path / "train_tasks.txt"), "--dry-run", "--json")
    record = json.loads(done.stdout)
    assert record["rows"]["dropped"] == {"not_in_tasks": 1} and record["conversations"] == 1
    (tmp_path / "train_tasks.txt").write_text("\n")
    done = run("convert", "super_ni", *files, "--tasks", str(tmp_path / "train_tasks.txt"), "--dry-run", code=2)
    assert "names no task" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dolly", ORIGINAL], "No output is named."),
        (["doly", ORIGINAL, "--dry-run"], "Did you mean 'dolly'?"),
        (["tulu_v3", ORIGINAL, "--dry-run"], "tulu_v3 needs no conversion"),
        (["dolly", ORIGINAL, "--top-k", "2", "--dry-run"], "--top-k is no setting of dolly. fix: It has --seed."),
        (["oasst1", ORIGINAL, "--paths", "leafs", "--dry-run"], "Did you mean 'leaves'?"),
        (["sharegpt", ORIGINAL, "--dry-run"], "no tokenizer is named."),
        (["dolly", ORIGINAL, "-o", "rows.parquet"], "does not end so"),
        (["dolly", ORIGINAL, "-o", "-"], "not to stdout"),
        (["dolly", ORIGINAL, "-o", ORIGINAL], "is the input"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(arguments: list[str], message: str) -> None:
    assert message in " ".join(run("convert", *arguments, code=2).stderr.split())


def test_a_file_that_is_another_dataset_is_refused_with_what_is_missing() -> None:
    text = " ".join(run("convert", "dolly", str(ROOT / "examples" / "pool.jsonl"), "--dry-run", code=3).stderr.split())
    assert "pool.jsonl, line 1: missing_field (no 'instruction'). None of 341 rows is a conversation of dolly" in text
    assert "instructsel datasets show dolly" in text
