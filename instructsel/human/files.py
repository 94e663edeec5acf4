"""Files of judgments, in the columns of open-instruct's human evaluation: CSV, JSON lines, and workbooks (.xlsx).

Reading is strict: a file with one row that is not of this form is refused, and the message names the row. Columns that are not read may
stand there. A CSV that is written has a ' before cells that a spreadsheet would take for a formula; it is taken off when read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import atomic_write
from instructsel.errors import ObservationsError, UsageError
from instructsel.extras import require
from instructsel.human.record import PREFERENCES, QUALITIES, Record
from instructsel.structured import BOM, Refusal, parse_json, read_bytes
from instructsel.text import encodable, excerpt

COLUMNS: Final = (
    "id",
    "instance_index",
    "instance_id",
    "prompt",
    "model_a",
    "model_b",
    "completion_a",
    "completion_b",
    "completion_a_is_acceptable",
    "completion_b_is_acceptable",
    "preference",
    "instance_quality",
    "comment",
    "evaluator",
    "timestamp",
)
"""As open-instruct exports them."""
REQUIRED: Final = ("model_a", "model_b", "preference", "evaluator")
SUFFIXES: Final = (".csv", ".jsonl", ".xlsx")
FORM: Final = f"Judgments have the columns {', '.join(REQUIRED)}, and instance_id or prompt."
REFUSAL: Final = Refusal(ObservationsError, FORM)
FORMULA: Final = re.compile(r"^('*[=+\-@\t\r\n])")
GUARDED: Final = re.compile(r"^'('*[=+\-@\t\r\n])")
YES: Final = frozenset({"yes", "true", "1", "y"})
NO: Final = frozenset({"no", "false", "0", "n"})
NOTHING: Final = frozenset({"", "nan", "none", "null", "na", "n/a"})
"""Cells that say nothing, in any case."""
MOST_UNPACKED: Final = 1 << 30
"""Bytes that a workbook may have when unpacked."""
MOST_CELL: Final = 1 << 24
"""Characters of a cell."""
LONGEST_NAME: Final = 200
"""Characters of a model's or an annotator's name."""
PEEKED: Final = 64 << 10


def is_judgments(path: str | Path) -> bool:
    """Whether a file holds people's judgments: by its columns, or by the name of a workbook."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES or not target.is_file():
        return False
    if suffix == ".xlsx":
        return True
    try:
        with target.open("rb") as file:
            head = file.read(PEEKED)
    except OSError:
        return False
    first = next((line for line in head.removeprefix(BOM).splitlines() if line.strip()), b"")
    return all(f'"{name}"'.encode() in first if suffix == ".jsonl" else name.encode() in first for name in REQUIRED)


def read_judgments(path: str | Path) -> list[Record]:
    """The judgments of a file, in its order.

    Raises:
        ObservationsError: no such file, another form, or a row that is not of it; the file and the row are named.
        UsageError: the name ends otherwise.
        MissingExtra: a workbook, and openpyxl is not installed.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} ends in none of {', '.join(SUFFIXES)}.", fix="Give the file one of these endings.")
    rows = {".csv": _csv_rows, ".jsonl": _json_rows, ".xlsx": _workbook_rows}[suffix](path)
    records: list[Record] = []
    for where, row in rows:
        if not records:
            _check_columns(where, row)
        try:
            records.append(_record(row))
        except ValueError as error:
            raise ObservationsError(f"{where}: {error}.", fix="Correct the row.") from error
    if not records:
        raise ObservationsError(f"{path} has no judgments.", fix=FORM)
    return records


def write_judgments(path: str | Path, records: Iterable[Record]) -> int:
    """Write judgments by the ending of the name: .csv, .jsonl or .xlsx.

    Returns:
        How many.

    Raises:
        UsageError: the name ends otherwise.
        MissingExtra: a workbook, and openpyxl is not installed.
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} ends in none of {', '.join(SUFFIXES)}.", fix="Give the file one of these endings.")
    rows = [_row(number, record) for number, record in enumerate(records, start=1)]
    if suffix == ".xlsx":
        data = _workbook(rows)
    elif suffix == ".csv":
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_guarded(row[name]) for name in COLUMNS] for row in rows)
        data = buffer.getvalue().encode()
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with atomic_write(path) as file:
        file.write(data)
    return len(rows)


def _guarded(cell: Any) -> Any:
    return FORMULA.sub(r"'\1", cell) if isinstance(cell, str) else "" if cell is None else cell


def _row(number: int, record: Record) -> dict[str, Any]:
    words = {True: "yes", False: "no", None: None}
    return {
        "id": number,
        "instance_index": record.instance_index,
        "instance_id": record.instance_id,
        "prompt": record.prompt,
        "model_a": record.model_a,
        "model_b": record.model_b,
        "completion_a": record.completion_a,
        "completion_b": record.completion_b,
        "completion_a_is_acceptable": words[record.acceptable_a],
        "completion_b_is_acceptable": words[record.acceptable_b],
        "preference": None if record.preference is None else PREFERENCES[record.preference],
        "instance_quality": record.quality,
        "comment": record.comment or None,
        "evaluator": record.evaluator,
        "timestamp": None if record.timestamp is None else record.timestamp.isoformat(timespec="microseconds"),
    }


def _csv_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    data = read_bytes(path, REFUSAL).removeprefix(BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ObservationsError(f"{path} is no UTF-8: {error.reason}.", fix="Save it as CSV UTF-8.") from error
    before = csv.field_size_limit(MOST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            where = f"{path}, line {reader.line_num:,}"
            if None in row or None in row.values():
                raise ObservationsError(f"{where}: the row has another number of cells than the header.", fix="Correct the row.")
            yield where, {name: GUARDED.sub(r"\1", cell) for name, cell in row.items()}
    except csv.Error as error:
        raise ObservationsError(f"{path} is no readable CSV: {error}.", fix="Write it again.") from error
    finally:
        csv.field_size_limit(before)


def _json_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    data = read_bytes(path, REFUSAL).removeprefix(BOM)
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            where = f"{path}, line {number:,}"
            yield where, parse_json(line, dict[str, Any], where, REFUSAL)


def _workbook_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    openpyxl = require("openpyxl", needed_by="a workbook (.xlsx)")
    data = read_bytes(path, REFUSAL)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_UNPACKED:
            raise ObservationsError(f"{path} has {unpacked:,} bytes when unpacked; {MOST_UNPACKED:,} are the most.", fix="Save it as CSV.")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        rows = list(book.worksheets[0].iter_rows(values_only=True)) if book.worksheets else []
    except ObservationsError:
        raise
    # A damaged workbook ends in whatever its unpacking and its XML raise.
    except Exception as error:
        raise ObservationsError(f"{path} is no readable workbook: {type(error).__name__}.", fix="Save it as .xlsx or CSV.") from error
    header = [str(cell or "") for cell in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(header, row, strict=False))
        if any(cell is not None for cell in cells.values()):
            yield f"{path}, row {number:,}", cells


def _workbook(rows: list[dict[str, Any]]) -> bytes:
    openpyxl = require("openpyxl", needed_by="a workbook (.xlsx)")
    illegal = require("openpyxl.cell.cell", needed_by="a workbook (.xlsx)").ILLEGAL_CHARACTERS_RE
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("judgments")
    sheet.append(list(COLUMNS))
    cell_of = require("openpyxl.cell", needed_by="a workbook (.xlsx)").WriteOnlyCell
    for row in rows:
        cells = []
        for name in COLUMNS:
            value = row[name]
            cell = cell_of(sheet, value=illegal.sub("\ufffd", value)[:32_767] if isinstance(value, str) else value)
            if isinstance(value, str):
                # A text that begins with = is a text.
                cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _check_columns(where: str, row: Mapping[str, Any]) -> None:
    missing = [name for name in REQUIRED if name not in row]
    if not missing and not {"instance_id", "prompt"} & row.keys():
        missing = ["instance_id or prompt"]
    if missing:
        names = ", ".join(excerpt(str(name), 30) for name in list(row)[:12]) or "none"
        raise ObservationsError(f"{where}: the column {', '.join(missing)} is missing; there are {names}.", fix=FORM)


def _record(row: Mapping[str, Any]) -> Record:
    """One row.

    Raises:
        ValueError: a cell that cannot be; the message names it.
    """
    model_a, model_b = _name(row, "model_a"), _name(row, "model_b")
    if model_a == model_b:
        raise ValueError(f"model_a and model_b are both {excerpt(model_a, 40)}")
    prompt = _text(row, "prompt")
    instance = _text(row, "instance_id") or _text(row, "instance_index") or prompt
    if not instance:
        raise ValueError("instance_id and prompt are both empty")
    return Record(
        evaluator=_name(row, "evaluator"),
        instance_id=instance,
        prompt=prompt,
        model_a=model_a,
        model_b=model_b,
        completion_a=_text(row, "completion_a"),
        completion_b=_text(row, "completion_b"),
        acceptable_a=_flag(row, "completion_a_is_acceptable"),
        acceptable_b=_flag(row, "completion_b_is_acceptable"),
        preference=_preference(row),
        quality=_quality(row),
        comment=_text(row, "comment"),
        timestamp=_moment(row),
        instance_index=_index(row),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    cell = row.get(name)
    if cell is None:
        return ""
    if isinstance(cell, bool | int | float):
        cell = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    if not isinstance(cell, str):
        raise ValueError(f"{name} is a text; found {type(cell).__name__}")
    if not encodable(cell):
        raise ValueError(f"{name} has half of a surrogate pair, which no UTF-8 has")
    return cell


def _name(row: Mapping[str, Any], name: str) -> str:
    text = _text(row, name).strip()
    if not text or len(text) > LONGEST_NAME:
        raise ValueError(f"{name} has 1 to {LONGEST_NAME} characters; found {len(text):,}")
    return text


def _word(row: Mapping[str, Any], name: str) -> str:
    word = _text(row, name).strip().lower()
    return "" if word in NOTHING else word


def _flag(row: Mapping[str, Any], name: str) -> bool | None:
    word = _word(row, name)
    if word and word not in YES | NO:
        raise ValueError(f"{name} is yes or no; found '{excerpt(word, 30)}'")
    return None if not word else word in YES


def _preference(row: Mapping[str, Any]) -> int | None:
    word = _word(row, "preference")
    if word and word not in PREFERENCES:
        raise ValueError(f"preference is one of {', '.join(PREFERENCES)}; found '{excerpt(word, 30)}'")
    return PREFERENCES.index(word) if word else None


def _quality(row: Mapping[str, Any]) -> str | None:
    # open-instruct's pages send too_hard and too-hard, too.
    word = re.sub(r"[_-]", " ", _word(row, "instance_quality"))
    if word and word not in QUALITIES:
        raise ValueError(f"instance_quality is one of {', '.join(QUALITIES)}; found '{excerpt(word, 30)}'")
    return word or None


def _moment(row: Mapping[str, Any]) -> datetime | None:
    cell = row.get("timestamp")
    if isinstance(cell, datetime):
        return cell if cell.tzinfo else cell.replace(tzinfo=UTC)
    word = _word(row, "timestamp")
    if not word:
        return None
    try:
        moment = datetime.fromisoformat(word.upper())
    except ValueError:
        raise ValueError(f"timestamp is a date and time as 2026-01-31 12:00:00; found '{excerpt(word, 30)}'") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _index(row: Mapping[str, Any]) -> int | None:
    word = _word(row, "instance_index")
    if word and not re.fullmatch(r"[0-9]{1,9}", word):
        raise ValueError(f"instance_index is a whole number; found '{excerpt(word, 30)}'")
    return int(word) if word else None


__all__ = ["COLUMNS", "SUFFIXES", "is_judgments", "read_judgments", "write_judgments"]
