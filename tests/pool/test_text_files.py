"""Text files from elsewhere: encodings, delimiters, line ends, spreadsheets, pipes, and files that change while they are in use."""

from __future__ import annotations

import codecs
import json
import os
import threading
from pathlib import Path

import pytest

from instructsel.errors import PoolError, UsageError
from instructsel.pool import streams
from instructsel.pool.lines import Limits, RowFault, parse
from instructsel.pool.pool import Pool

ROWS = [{"instruction": f"Name number {n}.", "output": f"It is {n}, é\u2028{'x' * n}."} for n in range(12)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def texts(pool: Pool) -> set[tuple[str, str]]:
    return {(example.instruction, example.response) for example in pool.examples()}


EXPECTED = {(row["instruction"], row["output"]) for row in ROWS}


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
@pytest.mark.parametrize("content", [LINES, json.dumps(ROWS, indent=1, ensure_ascii=False)])
def test_other_encodings_of_unicode_are_read_and_said(tmp_path: Path, encoding: str, mark: bytes, content: str) -> None:
    path = save(tmp_path / "pool.json", mark + content.encode(encoding))
    pool = Pool.read(path)
    assert texts(pool) == EXPECTED
    assert "read as UTF-" in pool.report.formats[str(path)]


def test_what_begins_as_utf_16_and_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="begins as UTF-16"):
        Pool.read(save(tmp_path / "pool.jsonl", codecs.BOM_UTF16_LE + LINES.encode("utf-16-le") + b"\x00\xd8x"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_read_whatever_its_delimiter_and_line_ends(tmp_path: Path, delimiter: str, ending: str, mark: str) -> None:
    rows = [("instruction", "output"), ("Say hello.", f'"Hello{delimiter} there, ""you""; all."'), ("Say bye.", "Bye, bye; all.")]
    if delimiter in ",;":
        rows[2] = ("Say bye.", '"Bye, bye; all."')
    content = mark + "".join(delimiter.join(row) + ending for row in rows)
    pool = Pool.read(save(tmp_path / "pool.csv", content.encode()))
    assert texts(pool) == {("Say hello.", f'Hello{delimiter} there, "you"; all.'), ("Say bye.", "Bye, bye; all.")}
    out = tmp_path / "out.csv"
    pool.write(out, [0, 1])
    assert Pool.read(out).ids == pool.ids


def test_the_line_that_names_a_delimiter_above_the_header_is_read(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.csv", b"\xef\xbb\xbfsep=;\r\ninstruction;output\r\na, b;c, d\r\n"))
    assert texts(pool) == {("a, b", "c, d")}
    assert pool.locate(0)[1] == (3,)


def test_columns_without_a_name_and_empty_records_of_a_spreadsheet_are_passed_over(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.csv", b'instruction,output,,\na,b,,\n,,,\n"",,,\n,\n\nc,d,x,\n'))
    assert (pool.report.read, texts(pool)) == (2, {("a", "b"), ("c", "d")})


@pytest.mark.parametrize("name", ["pool.csv", "pool.tsv"])
def test_a_record_is_the_same_text_each_time_it_is_read(tmp_path: Path, name: str) -> None:
    delimiter = "," if name.endswith("csv") else "\t"
    long = "x" * 200_000
    rows = [
        ("instruction", "output"),
        ("a\rb", "c\rd"),
        ('"e\rf"', '"g\r\nh\ni"'),
        ("j", "k\r"),
        ('"l" m', "n"),
        ("\x00o", "p\x85q\u2028r"),
        ("s", f'"{long}"'),
    ]
    content = "".join(delimiter.join(row) + "\n" for row in rows)
    pool = Pool.read(save(tmp_path / name, content.encode()))
    again = Pool.read(tmp_path / name)
    assert len(pool) >= (6 if delimiter == "\t" else 4)
    for position, example in enumerate(pool.examples()):
        file = pool.files[0]
        row = int(pool.row_of[position])
        assert file.conversation(row, 0).messages == example.messages
        out = tmp_path / f"one-{position}{Path(name).suffix}"
        pool.write(out, [position])
        assert Pool.read(out).ids == [example.id]
    assert again.ids == pool.ids
    if delimiter == "\t":
        assert ("a\rb", "c\rd") in texts(pool)
    assert ("s", long) in texts(pool)


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.json", "pool.csv"])
def test_a_pool_that_is_rewritten_in_place_gives_no_row_of_another_text(tmp_path: Path, name: str) -> None:
    def content(word: str) -> bytes:
        rows = [{"instruction": f"{word} {n}", "output": f"{word} {n * n}"} for n in range(50)]
        if name.endswith("jsonl"):
            return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        if name.endswith("json"):
            return json.dumps(rows, indent=1).encode()
        return "".join(
            f"{row['instruction']},{row['output']}\n" for row in [{"instruction": "instruction", "output": "output"}, *rows]
        ).encode()

    path = save(tmp_path / name, content("left"))
    pool = Pool.read(path)
    with open(path, "r+b") as file:
        file.write(content("port"))
    for use in (lambda: list(pool.examples()), lambda: pool.write(tmp_path / f"out.{name}", range(50))):
        with pytest.raises(PoolError, match="has changed since it was read"):
            use()
    assert not (tmp_path / f"out.{name}").exists()


def test_a_row_of_an_array_keeps_the_bytes_of_its_numbers_beside_lines(tmp_path: Path) -> None:
    row = b'{\r\n  "instruction": "a  b",\r\n  "output": "c",\n\n "n": 123456789012345678901234567890, "x": 1.0000000000000000000001,"e":1E5\n}'
    pool = Pool.read(save(tmp_path / "a.json", b"[" + row + b"]"), save(tmp_path / "b.jsonl", b'{"instruction": "d", "output": "e"}\n'))
    pool.write(tmp_path / "out.jsonl", range(2))
    content = (tmp_path / "out.jsonl").read_bytes()
    assert content.count(b"\n") == 2
    assert b'"n": 123456789012345678901234567890, "x": 1.0000000000000000000001,"e":1E5 }' in content
    assert Pool.read(tmp_path / "out.jsonl").ids == pool.ids


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_read_and_one_that_nobody_writes_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(streams, "PAUSE", 0.0)
    with pytest.raises(PoolError, match="nobody writes to it"):
        Pool.read(path)
    # Both ends are open before anything is read, so that nothing has to be waited for.
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(writing, LINES.encode()), os.close(writing)))
    writer.start()
    pool = Pool.read(f"/dev/fd/{reading}")
    writer.join()
    os.close(reading)
    assert texts(pool) == EXPECTED
    assert pool.spec.paths == ("-",)
    with pytest.raises(UsageError, match="a pipe, which is gone"):
        pool.spec.check()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_refused(path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("no such device here")
    with pytest.raises(PoolError, match="is a device"):
        Pool.read(path)


def test_the_first_fault_is_named_where_no_row_is_an_object(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="the first is invalid_json"):
        Pool.read(save(tmp_path / "pool.jsonl", b"{'instruction': 'a', 'output': 'b'}\n"))


@pytest.mark.parametrize(
    "raw",
    [b'{"a": "' + b'\\"' * 2_000_000, b'{"a": "' + b"\\\\" * 2_000_000, b'{"a": ' + b'"[' * 200_000, b'{"a": ["' + b"\\" * 4_000_001],
)
def test_a_text_of_four_megabytes_that_is_not_closed_is_looked_at_once(raw: bytes) -> None:
    """From each of its quotes to its end, that would be 10¹² steps."""
    for row in (raw, b"[" * 100 + raw, raw + b"\xff", b"{" * 65 + raw):
        with pytest.raises(RowFault):
            parse(row, Limits())


def test_a_row_of_too_many_values_is_quarantined_and_commas_of_a_text_are_none(tmp_path: Path) -> None:
    limits = Limits(max_values=1_000)
    text = {"instruction": "a", "output": "," * 5_000}
    row = {"instruction": "a", "output": "b", "more": [[]] * 5_000}
    path = save(tmp_path / "pool.jsonl", f"{json.dumps(text)}\n{json.dumps(row)}\n".encode())
    assert dict(Pool.read(path, limits=limits).report.quarantined) == {"too_many_values": 1}


def test_a_delimiter_that_is_named_is_taken_and_recorded(tmp_path: Path) -> None:
    path = save(tmp_path / "pool.csv", b"instruction;x,output\na;b,c\n")
    with pytest.raises(PoolError):
        Pool.read(path)
    pool = Pool.read(path, columns=["instruction", "output"], delimiter="semicolon")
    assert texts(pool) == {("instruction", "x,output"), ("a", "b,c")}
    assert pool.spec.reading.delimiter == "semicolon"
    assert pool.spec.read().ids == pool.ids
    with pytest.raises(UsageError, match="one character"):
        Pool.read(path, delimiter=";;")


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ('{"instruction": "caf\u00e9", "output": "th\u00e9"}\n'.encode("latin-1"), "iconv -f LATIN1 -t UTF-8"),
        (b'{"instruction": "a", "output": NaN}\n', "Write null where there is no number"),
        (b'{"instruction": "a\\ud800", "output": "b"}\n', "half of a character was lost"),
        (b"<html>\n", "one object a row"),
    ],
)
def test_a_file_without_a_readable_row_is_mended_by_what_is_wrong_with_its_rows(tmp_path: Path, row: bytes, fix: str) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(row * 3)
    with pytest.raises(PoolError) as refused:
        Pool.read(path)
    assert fix in str(refused.value.fix)


@pytest.mark.parametrize("body", ["instruction^output\nSay one.^One.\n", "instruction^output\nSay one.\n"])
def test_a_table_whose_delimiter_is_not_found_is_told_of_the_option_that_names_it(tmp_path: Path, body: str) -> None:
    path = tmp_path / "pool.csv"
    path.write_text(body, encoding="utf-8")
    with pytest.raises(PoolError) as refused:
        Pool.read(path)
    assert refused.value.fix == "If '^' stands between two fields: --delimiter '^'"
    assert "JSON" not in refused.value.message
