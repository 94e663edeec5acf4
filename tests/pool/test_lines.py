"""The byte-line reader: what is a row, what is quarantined, and where it stood."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.pool.lines import Limits, Row, RowFault, parse, read_lines
from instructsel.pool.records import read_records
from instructsel.pool.values import read_values

SMALL = Limits(max_line_bytes=64, max_depth=8)


def lines(content: bytes, limits: Limits = SMALL) -> list[Row]:
    return list(read_lines(io.BytesIO(content), limits))


def array(content: bytes, limits: Limits = SMALL) -> list[Row]:
    return list(read_values(io.BytesIO(content), limits))


def fault_of(raw: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(RowFault) as found:
        parse(raw, limits or Limits())
    return found.value.code


def test_lines_end_at_a_line_feed_only() -> None:
    content = '{"a": "one\u2028two"}\n{"b": "three\x85four\x0c"}\r\n'.encode()
    assert [row.line for row in lines(content)] == [1, 2]


def test_a_byte_order_mark_is_stripped_once() -> None:
    (row,) = lines(b'\xef\xbb\xbf{"a": 1}\n')
    assert (row.raw, row.offset) == (b'{"a": 1}', 3)


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    assert [(row.line, row.offset) for row in lines(b'\n{"a":1}\n \t\r\n{"b":2}')] == [(2, 1), (4, 13)]


def test_a_line_beyond_the_limit_is_quarantined_and_the_next_one_is_read() -> None:
    long = b'{"a": "' + b"x" * 100 + b'"}'
    rows = lines(long + b"\n" + b'{"b": 2}\n')
    assert [(row.line, row.offset, row.fault.code if row.fault else None) for row in rows] == [
        (1, 0, "line_too_long"),
        (2, len(long) + 1, None),
    ]


@pytest.mark.parametrize("size", [63, 64, 65])
def test_the_line_limit_counts_the_bytes_before_the_line_feed(size: int) -> None:
    (row,) = lines(b"x" * size + b"\n")
    assert (row.fault is None) == (size <= 64)
    (last,) = lines(b"x" * size)
    assert (last.fault is None) == (size <= 64)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a": NaN}', "not_finite"),
        (b'{"a": Infinity}', "not_finite"),
        (b'{"a": -Infinity}', "not_finite"),
        (b'{"a": 1e400}', "not_finite"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"b": {"a": 1, "a" : 2}}', "duplicate_key"),
        (b'{"b": [{"a":1}, {"a":1,"a":1}]}', "duplicate_key"),
        (b'{"a\\u0062": 1, "ab": 2}', "duplicate_key"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'{"a": "\\udc00x"}', "lone_surrogate"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xc0\xaf"}', "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        (b'{"a": 1}{"b": 2}', "extra_data"),
        (b'{"a": 1} {"b": 2}', "extra_data"),
        (b'{"a": 1,}', "invalid_json"),
        (b'{"a": 01}', "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": "x', "truncated"),
        (b'{"a": "x\x00y"}', "invalid_json"),
        (b'{"a": "x\x01y"}', "invalid_json"),
    ],
)
def test_what_json_is_not_has_its_own_reason(raw: bytes, code: str) -> None:
    assert fault_of(raw) == code


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "NaN and Infinity"}',
        b'{"a": "x\\":1, \\"a\\": 2"}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": "\\u0000"}',
        b'{"a": "\xe2\x80\xa8"}',
    ],
)
def test_what_only_looks_wrong_is_read(raw: bytes) -> None:
    assert parse(raw, Limits()) == json.loads(raw)


def test_an_integer_of_thirty_digits_keeps_every_digit() -> None:
    assert parse(b'{"a": 123456789012345678901234567890}', Limits()) == {"a": 123456789012345678901234567890}


def test_the_last_of_two_equal_keys_is_kept_when_asked() -> None:
    assert parse(b'{"a": 1, "a": 2}', Limits(duplicate_key="last")) == {"a": 2}


@pytest.mark.parametrize("depth", [1, 8, 9, 100, 10_000, 1_000_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_beyond_the_limit_is_a_fault_and_never_a_crash(depth: int, opening: bytes) -> None:
    limits = Limits(max_depth=8)
    closing = b"]" if opening == b"[" else b"}"
    raw = opening * depth + b"1" + closing * depth
    if depth <= 8:
        parse(raw, limits)
    else:
        assert fault_of(raw, limits) == "too_deep"


def test_brackets_inside_texts_do_not_count_as_nesting() -> None:
    assert parse(b'{"a": "' + b"[" * 100 + b'"}', SMALL) == {"a": "[" * 100}


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b" [ ] ",
        b"[1]",
        b'[{"a": "x]y"}, {"b": "[,"}]',
        b'[\r\n  {"a": "q\\"uote, ]"},\r\n  {"b": [1, {"c": 2}]}\r\n]\r\n',
        b'\xef\xbb\xbf[{"a":1}]',
    ],
)
def test_the_elements_of_an_array_are_what_the_json_parser_finds(content: bytes) -> None:
    expected = json.loads(content.decode("utf-8-sig"))
    assert [json.loads(row.raw) for row in array(content)] == expected


def test_an_element_knows_its_line_and_offset() -> None:
    content = b'[\n {"a": 1},\n\n {"b":\n 2}\n]'
    rows = array(content)
    assert [(row.line, content[row.offset : row.offset + row.length]) for row in rows] == [(2, b'{"a": 1}'), (4, b'{"b":\n 2}')]


def test_an_array_that_is_cut_off_keeps_its_whole_elements() -> None:
    rows = array(b'[{"a": 1}, {"b": 2}, {"c": "thr')
    assert [row.fault.code if row.fault else None for row in rows] == [None, None, "truncated"]


def test_text_after_an_array_is_quarantined() -> None:
    assert [row.fault.code if row.fault else None for row in array(b"[1] and so on")] == [None, "extra_data"]


def test_a_missing_element_is_quarantined() -> None:
    assert [row.fault.code if row.fault else None for row in array(b"[1,,2]")] == [None, "invalid_json", None]


def test_an_element_that_is_too_deep_does_not_take_its_neighbors_along() -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    rows = array(b"[1," + deep + b",2]", Limits(max_depth=8))
    assert [row.fault.code if row.fault else None for row in rows] == [None, "too_deep", None]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=6,
        )
    ),
    st.integers(0, 3),
)
def test_any_array_is_split_into_its_elements(elements: list[object], indent: int) -> None:
    for ascii_only in (True, False):
        content = json.dumps(elements, indent=indent or None, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert [json.loads(row.raw.decode("utf-8", "surrogatepass")) for row in array(content, Limits())] == elements


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_a_reader_and_lines_are_accounted_for(content: bytes) -> None:
    found = lines(content)
    expected = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r\n")]
    assert len(found) == len(expected)
    for row in found:
        if row.fault is None:
            try:
                parse(row.raw, SMALL)
            except RowFault as fault:
                assert fault.code
    list(read_values(io.BytesIO(b"[" + content), SMALL))
    list(read_records(io.BytesIO(content), SMALL, delimiter=","))


def test_csv_fields_may_hold_line_breaks_and_quotes() -> None:
    content = b'\xef\xbb\xbfa,b\n"x\ny","he said ""hi"""\nplain,2\n'
    found = list(read_records(io.BytesIO(content), Limits(), delimiter=","))
    assert [fields for _, fields in found] == [["a", "b"], ["x\ny", 'he said "hi"'], ["plain", "2"]]
    assert [row.line for row, _ in found] == [1, 2, 4]
    assert b"".join(row.raw for row, _ in found) == content[3:]


def test_a_stray_quote_costs_one_line_and_not_the_rest_of_the_file() -> None:
    content = b'a,b\n"open,1\nx,2\ny,3\n'
    found = list(read_records(io.BytesIO(content), Limits(), delimiter=","))
    assert [(row.line, row.fault.code if row.fault else None) for row, _ in found] == [(1, None), (2, "truncated"), (3, None), (4, None)]


def test_a_tsv_line_with_quotes_that_quote_nothing_is_split_at_its_tabs() -> None:
    content = b'a\tb\n"Hello" he said\t2\n'
    found = list(read_records(io.BytesIO(content), Limits(), delimiter="\t", width=2))
    assert found[1][1] == ['"Hello" he said', "2"]
