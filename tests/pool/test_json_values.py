"""JSON files that are not one object a line: arrays, arrays beside lines, objects over several lines, and what a missing mark costs."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import PoolError, TooManyBadRows
from instructsel.pool import values
from instructsel.pool.lines import Limits, Row
from instructsel.pool.pool import Pool
from instructsel.pool.values import read_values

ROWS = [
    {"instruction": f"Name number {n}.", "meta": {"tags": ["a", {"b": n}]}, "output": f'It is {n}, "so" {"é" * (n % 7)}.'}
    for n in range(60)
]


def read(content: bytes, limits: Limits | None = None) -> tuple[list[Row], Counter[str]]:
    notes: Counter[str] = Counter()
    return list(read_values(io.BytesIO(content), limits or Limits(), notes)), notes


def faults(rows: list[Row]) -> list[str]:
    return [row.fault.code for row in rows if row.fault]


def dumped(rows: list[Any], **options: Any) -> bytes:
    return json.dumps(rows, ensure_ascii=False, **options).encode()


ONE, TWO = dumped(ROWS[:20]), dumped(ROWS[20:], indent=2)
LINES = b"".join(dumped(row) + b"\n" for row in ROWS[:20])
PRETTY = b"\n".join(dumped(row, indent=2) for row in ROWS)


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (ONE + TWO, 60),
        (ONE + b"\n\n" + TWO + b"\n", 60),
        (ONE + b",\r\n" + TWO, 60),
        (ONE + b"\n\xef\xbb\xbf" + TWO, 60),
        (ONE + b"\n" + LINES, 40),
        (TWO + b" " + LINES.replace(b"\n", b""), 60),
        (PRETTY, 60),
        (PRETTY.replace(b"\n", b"\r"), 60),
        (PRETTY.replace(b"\n", b"\r\n"), 60),
        (LINES.replace(b"\n", b""), 20),
        (LINES.replace(b"\n", b","), 20),
        (LINES.replace(b"\n", b"\r"), 20),
        (LINES.replace(b"}\n", b"},\n"), 20),
        (LINES + dumped(ROWS[20:]) + b"\n", 60),
        (b"".join(dumped(ROWS[n : n + 5]) + b"\n" for n in range(0, 60, 5)), 60),
        (
            LINES[: len(LINES) // 2] + b"\xef\xbb\xbf" * (LINES[len(LINES) // 2 - 1 : len(LINES) // 2] == b"\n") + LINES[len(LINES) // 2 :],
            20,
        ),
        (b"\xef\xbb\xbf" + LINES + b"\xef\xbb\xbf" + LINES, 40),
    ],
)
@pytest.mark.parametrize("name", ["pool.json", "pool.jsonl"])
def test_no_row_of_a_file_is_lost_however_its_objects_are_joined(tmp_path: Path, content: bytes, count: int, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    pool = Pool.read(path)
    assert (pool.report.read, pool.report.kept, pool.report.passed_over) == (count, count, 0)
    assert len(list(pool.examples())) == count


STYLES = {"pretty": {"indent": 2}, "flush": {"indent": 0}, "compact": {"separators": (",", ":")}, "usual": {}}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mark", ["{", "}", "[", "]", '"', ",", ":"])
def test_a_mark_that_is_missing_costs_a_row_or_two_and_not_the_ones_behind(style: str, mark: str) -> None:
    plain = [dumped([row], **STYLES[style])[1:-1].strip() for row in ROWS]
    lost = []
    for place in (place for place, byte in enumerate(plain[30]) if byte == ord(mark)):
        broken = plain[30][:place] + plain[30][place + 1 :]
        separator = {"pretty": b",\n  ", "flush": b",\n", "compact": b",", "usual": b", "}[style]
        content = (b"[\n  " if style == "pretty" else b"[") + separator.join([*plain[:30], broken, *plain[31:]]) + b"\n]"
        rows, _ = read(content)
        good = [row.raw for row in rows if row.fault is None and row.raw[:1] == b"{"]
        assert good[:30] == plain[:30]
        lost.append(len(set(plain) - set(good)))
        assert sum(row.length for row in rows) <= len(content)
    assert lost and max(lost) <= 2, lost
    assert len(faults(rows)) <= 2


def test_a_brace_missing_in_a_big_array_costs_one_row_and_its_bytes_are_said(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "output": f"It is {n}."} for n in range(2_000)]
    lines = json.dumps(rows, indent=2).splitlines()
    closing = [number for number, line in enumerate(lines) if line == "  },"]
    path = tmp_path / "pool.json"
    path.write_text("\n".join(line for number, line in enumerate(lines) if number != closing[99]))
    report = Pool.read(path).report
    assert report.kept == 1_999 and report.quarantined == {"invalid_json": 1}
    assert 0 < report.passed_over < 100
    assert "bytes passed over in search of the next row" in report.sentence()
    assert report.counts()["passed_over"] == report.passed_over


def test_bytes_passed_over_count_against_the_limit_of_quarantined_rows(tmp_path: Path) -> None:
    from instructsel.selection.candidates import _check_bad_rows

    path = tmp_path / "pool.json"
    rows = [dumped(row) for row in ROWS]
    path.write_bytes(b"[" + b",\n".join(rows[:30]) + b"] and then " + b" ".join(rows[30:]).replace(b'{"instruction"', b"{'instruction'"))
    pool = Pool.read(path)
    assert (pool.report.kept, pool.report.n_quarantined) == (30, 1)
    assert pool.report.bad_fraction > 0.4
    with pytest.raises(TooManyBadRows, match="bytes passed over"):
        _check_bad_rows(pool, 0.05)


def test_a_bracket_too_many_before_a_row_does_not_make_one_row_of_the_rest(tmp_path: Path) -> None:
    for style in ({"indent": 2}, {"indent": 0}, {}):
        text = json.dumps(ROWS, **style)  # type: ignore[arg-type]
        place = text.rindex("{", 0, text.index('"instruction": "Name number 30'))
        path = tmp_path / "pool.json"
        path.write_text(text[:place] + "[" + text[place:])
        report = Pool.read(path).report
        assert report.kept == 60, (style, report.sentence())
        assert report.quarantined == {"truncated": 1}


def test_an_array_that_is_not_closed_is_said_though_its_rows_are_whole() -> None:
    rows, _ = read(ONE[:-1])
    assert (len(rows), faults(rows)) == (21, ["truncated"])
    rows, _ = read(ONE[:-30])
    assert (len(rows), faults(rows)) == (20, ["truncated"])


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b'[{"a": 1}, {"a": 2},]', "a comma before the last ]"),
        (b'[{"a": 1} {"a": 2}]', "no comma between two elements"),
        (b'[{"a": 1}], {"a": 2}', "commas between the rows of no array"),
    ],
)
def test_what_is_read_in_spite_of_a_small_fault_is_noted(content: bytes, note: str) -> None:
    rows, notes = read(content)
    assert ([row.raw for row in rows], dict(notes)) == ([b'{"a": 1}', b'{"a": 2}'], {note: 1})


def test_a_note_stands_in_the_account_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_bytes(ONE[:-1] + b",\n]")
    assert "a comma before the last ]" in Pool.read(path).report.formats[str(path)]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"a": NaN}, {"a": 1}]',
        b'[{"a": "x\x01y"}, {"a": 1}]',
        b'[{"a": "x\ny"}, {"a": 1}]',
        b'[{"a": "\\ud800"}, {"a": 1}]',
        b'[{"a": "\xff"}, {"a": 1}]',
        b'[{"a": ' + b"9" * 5_000 + b'}, {"a": 1}]',
    ],
)
def test_an_element_with_a_fault_inside_ends_where_it_ends(content: bytes) -> None:
    rows, _ = read(content)
    assert [row.raw for row in rows] == [content[1 : content.index(b", {")], b'{"a": 1}']


def test_an_element_beyond_the_limit_is_passed_over_by_its_brackets() -> None:
    long = b'{"a": "' + b"}," * 2_000_000 + b'"}'
    rows, _ = read(b'[{"a": 1},\n' + long + b',\n{"a": 2}]', Limits(max_line_bytes=1 << 20))
    assert [(row.line, row.fault.code if row.fault else "") for row in rows] == [(1, ""), (2, "line_too_long"), (3, "")]
    assert rows[1].length == len(long)


def test_lines_and_offsets_are_those_of_the_file_behind_an_element_that_was_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "WINDOW", 64)
    source = random.Random(3)
    for _ in range(200):
        parts = [dumped(row, indent=source.choice((None, 1))) for row in ROWS[: source.randrange(1, 12)]]
        content = b"[" + source.choice((b",", b",\n", b" ,\r\n\n")).join(parts) + b"]"
        rows, _ = read(content)
        assert [content[row.offset : row.offset + row.length] for row in rows] == parts
        assert [row.line for row in rows] == [content.count(b"\n", 0, row.offset) + 1 for row in rows]


@pytest.mark.parametrize(
    "pattern", [b',{"a":[', b'{"a":"', b'[{"a":[1,', b'"', b'\\"', b"[", b"{", b"}", b",", b'{"a":1}}', b'{"a":1', b"\n  {"]
)
def test_half_a_megabyte_of_marks_ends(pattern: bytes) -> None:
    for beginning in (b"[", b'[{"a": 1},\n  {"a": 2},', b'{"a":"'):
        content = beginning + pattern * ((1 << 19) // len(pattern))
        try:
            rows, _ = read(content)
        except values.RowFault as fault:
            assert "again and again" in fault.detail
        else:
            assert sum(row.length for row in rows) <= len(content)


def test_brackets_that_do_not_close_again_and_again_end_in_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_bytes(b"[" + b'{"a": [1, \n' * 50_000)
    with pytest.raises(PoolError):
        Pool.read(path)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("broken", ["{", '"', "}", "]"])
def test_a_first_row_that_is_broken_takes_no_other_along(style: str, broken: str) -> None:
    rows = [{"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "b"}], "id": n} for n in range(12)]
    text = json.dumps(rows, **STYLES[style])  # type: ignore[arg-type]
    place = text.index(broken)
    found, _ = read((text[:place] + text[place + 1 :]).encode())
    kept = [json.loads(row.raw) for row in found if row.fault is None and row.raw[:1] == b"{"]
    assert [row for row in rows[1:] if row not in kept] == []
