"""Observations: files of each kind, manifests, and refusals that name the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import ObservationsError, UsageError
from instructsel.rules.observations import Observations
from instructsel.tables import write_frame

COLUMNS: dict[str, list[Any]] = {
    "subset": ["m0", "m1", "m2", "m3"],
    "seed": [0, 0, 0, 0],
    "len": [100.0, 150.5, 200.0, 120.0],
    "knn_6": [0.9, 0.8, 0.95, 0.99],
    "loss": [1.0, 1.1, 0.9, 1.2],
}
FINGERPRINT = {"name": "response_length", "version": 1, "unit": "tokens", "tokenizer": {"name": "t", "digest": "ab"}, "nulls": {"empty": 3}}
MANIFEST = {"kind": "study", "indicators": {"len": FINGERPRINT}}


def written(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"study.{kind}"
    if kind == "jsonl":
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    elif kind == "csv":
        pl.DataFrame(COLUMNS).write_csv(path)
    else:
        pl.DataFrame(COLUMNS).write_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_table_reads_the_same_from_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    found, given = Observations.read(written(tmp_path, kind)), Observations.of(COLUMNS)
    assert found.names == given.names
    assert found.indicators() == ("len", "knn_6")
    assert found.logarithm().tolist() == given.logarithm().tolist()
    assert found.digest(found.names) == given.digest(given.names)
    assert (found.labels("subset"), found.labels("source"), dict(found.manifest)) == (("m0", "m1", "m2", "m3"), None, {})


def test_losses_are_per_token_unless_the_manifest_says_per_byte() -> None:
    assert (
        Observations.of(COLUMNS).loss_unit == Observations.of(COLUMNS, {"grader": {"kind": "held_out_loss"}}).loss_unit == "nats per token"
    )
    assert Observations.of(COLUMNS, {"grader": {"unit": "bits per byte"}}).loss_unit == "bits per byte"


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_table_with_a_manifest_brings_it_along(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"study.{kind}"
    write_frame(path, pl.DataFrame(COLUMNS), MANIFEST)
    found = Observations.read(path)
    # Only what the manifest names is an indicator, and what counts rows is no part of the fingerprint.
    assert found.indicators() == ("len",)
    assert found.fingerprints(["len", "knn_6"]) == {"len": {key: value for key, value in FINGERPRINT.items() if key != "nulls"}}


def test_a_score_table_is_no_study(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_frame(path, pl.DataFrame(COLUMNS), {"kind": "scores"})
    with pytest.raises(ObservationsError, match="holds scores, not a study's observations"):
        Observations.read(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.parquet"
    write_frame(path, pl.DataFrame(COLUMNS), MANIFEST)
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    with pytest.raises(ObservationsError, match="damaged"):
        Observations.read(path)
    path.write_bytes(b"not parquet")
    with pytest.raises(ObservationsError, match="cannot be read"):
        Observations.read(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("study.txt", "", UsageError, "ends in none of .parquet, .csv, .jsonl"),
        ("absent.csv", None, ObservationsError, "There is no file"),
        ("study.jsonl", '{"a": 1}\n{"a": NaN}\n', ObservationsError, "line 2 cannot be read: it is not readable JSON"),
        ("study.jsonl", "[1]\n", ObservationsError, "line 1 cannot be read: its content should be an object; found a list"),
        ("study.jsonl", "\n", ObservationsError, "no observations"),
        ("study.csv", "len,loss\n", ObservationsError, "no observations"),
    ],
)
def test_what_is_no_table_of_observations_is_refused(
    tmp_path: Path, name: str, content: str | None, error: type[Exception], said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(error, match=said):
        Observations.read(tmp_path / name)


def test_a_key_that_a_later_line_brings_first_is_read_and_missed_in_the_lines_before(tmp_path: Path) -> None:
    (tmp_path / "study.jsonl").write_text('{"loss": 1}\n{"loss": 2, "len": 5}\n')
    found = Observations.read(tmp_path / "study.jsonl")
    assert found.columns["len"] == [None, 5]
    with pytest.raises(ObservationsError, match="len is no finite number in row 1"):
        found.numbers("len")


def test_rows_keep_their_numbers_when_some_are_taken() -> None:
    columns = {**COLUMNS, "loss": [1.0, 1.0, 1.0, -1.0], "design": ["mixture", "bin", "mixture", "bin"]}
    table = Observations.of(columns)
    taken = table.where(table.numbers("len") > 110)
    with pytest.raises(ObservationsError, match=r"row 4 \(m3, seed 0\)"):
        taken.logarithm()


def test_true_and_false_are_no_numbers() -> None:
    with pytest.raises(ObservationsError, match="len is no finite number in row 1, row 2"):
        Observations.of({"len": [True, False], "loss": [1, 1]}).numbers("len")
