"""Files of judgments: what open-instruct exports is read, what is none is refused by its row, and nothing is altered on the way."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from instructsel.errors import InstructselError, ObservationsError, UsageError
from instructsel.human.files import COLUMNS, is_judgments, read_judgments, write_judgments
from instructsel.human.record import Record

HOSTILE = ["=1+1", "'=1+1", "+x", "-x", "@x", "\tx", "a\r\nb\n", '"quoted", twice', "ü 中 \u202e", "''=x", "'x", " blank "]


def record(text: str = "x", **changes: object) -> Record:
    fields = {
        "evaluator": "ada",
        "instance_id": "i",
        "prompt": text,
        "model_a": "one",
        "model_b": "two",
        "completion_a": text,
        "comment": text,
    }
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def row(**changes: object) -> dict[str, object]:
    """A row as open-instruct's export has it."""
    cells = {
        "id": 7, "instance_index": 3, "instance_id": "vicuna_3", "prompt": "Say it.", "model_a": "one", "model_b": "two", "completion_a": "A",
        "completion_b": "B", "completion_a_is_acceptable": "yes", "completion_b_is_acceptable": "no", "preference": "a-is-slightly-better",
        "instance_quality": "", "comment": "", "evaluator": "annotator_1", "timestamp": "2023-05-18 10:00:00.123456",
    }  # fmt: skip
    return {**cells, **changes}


def written(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "judged.jsonl"
    path.write_text("".join(json.dumps(cells) + "\n" for cells in rows))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx"])
def test_texts_come_back_as_they_were_and_no_cell_of_a_csv_is_a_formula(tmp_path: Path, suffix: str) -> None:
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
    # A workbook knows one sign for the end of a line.
    texts = [text for text in HOSTILE if suffix != ".xlsx" or "\r" not in text]
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    records = [
        record(text, preference=place % 5, acceptable_a=True, timestamp=moment, quality="too hard") for place, text in enumerate(texts)
    ]
    path = tmp_path / f"judged{suffix}"
    assert write_judgments(path, records) == len(texts)
    assert is_judgments(path)
    assert read_judgments(path) == records
    if suffix == ".csv":
        import csv

        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n")]


def test_what_open_instruct_exports_is_read(tmp_path: Path) -> None:
    (found,) = read_judgments(written(tmp_path, row(instance_quality="too_hard")))
    assert (found.instance_id, found.preference, found.acceptable_a, found.acceptable_b, found.quality) == (
        "vicuna_3",
        1,
        True,
        False,
        "too hard",
    )
    assert found.timestamp == datetime(2023, 5, 18, 10, 0, 0, 123456, tzinfo=UTC)
    assert found.score_of("one") == 1.0 and found.score_of("two") == 0.0 and found.label_of("two") == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preference": "better"}, "preference is one of"),
        ({"completion_a_is_acceptable": "maybe"}, "is yes or no"),
        ({"model_b": "one"}, "are both one"),
        ({"evaluator": ""}, "evaluator has 1 to"),
        ({"evaluator": "x" * 201}, "found 201"),
        ({"timestamp": "yesterday"}, "date and time"),
        ({"instance_index": -1}, "whole number"),
        ({"instance_quality": "boring"}, "instance_quality is one of"),
        ({"prompt": ["x"]}, "prompt is a text"),
        ({"prompt": "", "instance_id": "", "instance_index": ""}, "both empty"),
        ({"completion_a": "\ud800"}, "."),
    ],
)
def test_a_row_that_is_not_of_the_form_is_refused_and_named(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ObservationsError, match=r"line 2") as caught:
        read_judgments(written(tmp_path, row(), row(**changes)))
    assert reason in caught.value.message


def test_missing_columns_no_rows_and_other_endings_are_refused(tmp_path: Path) -> None:
    cells = row()
    del cells["evaluator"]
    with pytest.raises(ObservationsError, match="evaluator is missing"):
        read_judgments(written(tmp_path, cells))
    with pytest.raises(ObservationsError, match="no judgments"):
        read_judgments(written(tmp_path))
    with pytest.raises(UsageError, match="ends in none"):
        read_judgments(tmp_path / "judged.txt")
    with pytest.raises(UsageError, match="ends in none"):
        write_judgments(tmp_path / "judged.txt", [])
    ragged = tmp_path / "ragged.csv"
    ragged.write_text(",".join(COLUMNS) + "\n1,2\n")
    with pytest.raises(ObservationsError, match="number of cells"):
        read_judgments(ragged)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 5_000, bytes(range(256)) * 9])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx"])
def test_what_is_no_file_of_judgments_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"judged{suffix}"
    path.write_bytes(content)
    with pytest.raises(InstructselError):
        read_judgments(path)


def test_a_workbook_that_unpacks_to_more_than_may_be_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openpyxl")
    monkeypatch.setattr("instructsel.human.files.MOST_UNPACKED", 1 << 20)
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("xl/worksheets/sheet1.xml", "w") as member:
            for _ in range(2):
                member.write(b"\0" * (1 << 20))
    with pytest.raises(ObservationsError, match="when unpacked"):
        read_judgments(path)


def test_other_tables_are_no_judgments(tmp_path: Path) -> None:
    table, notes = tmp_path / "results.csv", tmp_path / "annotations.jsonl"
    table.write_text("arm,replicate,seed,task,value\n")
    notes.write_text('{"instruction": "x", "preference": 1}\n')
    assert not is_judgments(table) and not is_judgments(notes) and not is_judgments(tmp_path)
