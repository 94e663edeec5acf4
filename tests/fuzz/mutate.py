"""How a valid file becomes a forged, odd or damaged one: by its structure where it has one, and byte by byte."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import tomli_w

from instructsel.artifact import dump_json, fingerprint
from instructsel.tables import DIGEST, KEY, SEAL, SEALED, _seal

Path_ = tuple[Any, ...]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _nested_tables(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ODD: Final[tuple[Callable[[], Any], ...]] = (
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: 0,
    lambda: -1,
    lambda: 1,
    lambda: 7,
    lambda: 2**31,
    lambda: 2**53 + 1,
    lambda: -(2**63),
    lambda: 2**63 - 1,
    lambda: 2**64 - 1,
    lambda: 0.5,
    lambda: -0.0,
    lambda: 1e308,
    lambda: -1e308,
    lambda: 5e-324,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: float("-inf"),
    lambda: "",
    lambda: " ",
    lambda: "x",
    lambda: "NaN",
    lambda: "1e400",
    lambda: "12",
    lambda: "true",
    lambda: "2026-13-45T99:99:99",
    lambda: "a" * 70_000,
    lambda: "=1+1",
    lambda: "\x1b[31m\x1b]8;;http://x\x07\u202e\u061c\u2060\U000e0041\x9b",
    lambda: "a\nb\r\tc\x00d",
    lambda: "::error::x",
    lambda: "../../x",
    lambda: "/",
    lambda: ".",
    lambda: "*",
    lambda: "a/b" * 2_000,
    lambda: "{name}%s{0}",
    lambda: "é\u0301ﬀ",
    list,
    dict,
    lambda: [[]],
    lambda: [None],
    lambda: {"": {}},
    lambda: [1, "a", None, {"b": []}],
    lambda: {"a": 1, "kind": "scores"},
    lambda: _nested(40),
    lambda: _nested(900),
    lambda: _nested_tables(300),
    lambda: list(range(3_000)),
)
"""Values that do not belong where they are put."""


def paths_of(value: Any, limit: int = 4_000) -> list[Path_]:
    """The way to every value in a tree, the root's own first."""
    found: list[Path_] = []
    pending: list[tuple[Path_, Any]] = [((), value)]
    while pending and len(found) < limit:
        path, item = pending.pop()
        found.append(path)
        if isinstance(item, dict):
            pending += [((*path, key), inner) for key, inner in item.items()]
        elif isinstance(item, list):
            pending += [((*path, position), inner) for position, inner in enumerate(item)]
    return found


def _at(tree: Any, path: Path_) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def changed(tree: Any, source: random.Random) -> Any:
    """A tree with one thing in it that does not belong there."""
    tree = copy.deepcopy(tree)
    paths = paths_of(tree)
    # Values near the root decide more: as likely as all those below.
    shallow = [path for path in paths if len(path) <= 2]
    path = source.choice(shallow if source.random() < 0.4 else paths)
    parent = _at(tree, path[:-1]) if path else None

    def put(value: Any) -> Any:
        if parent is None:
            return value
        parent[path[-1]] = value
        return tree

    value = _at(tree, path)
    step = source.choice(("odd", "odd", "odd", "odd", "delete", "rename", "add", "repeat", "wrap", "empty", "swap", "shift", "retype"))
    if step == "delete" and parent is not None:
        del parent[path[-1]]
        return tree
    if step == "rename" and isinstance(parent, dict):
        parent[source.choice(("x", "", "kind", str(path[-1]).upper(), f"{path[-1]} "))] = parent.pop(path[-1])
        return tree
    if step == "add" and isinstance(value, dict):
        value[source.choice(("x", "", "kind", "digest", "__class__", "schema"))] = source.choice(ODD)()
        return tree
    if step == "repeat" and isinstance(value, list):
        return put(value * source.choice((2, 3, 50)) if value else [None])
    if step == "wrap":
        return put(source.choice(([value], {"a": value}, [value, value], json.dumps(value, default=str)[:5_000])))
    if step == "empty" and isinstance(value, list | dict | str):
        return put(type(value)())
    if step == "swap":
        return put(copy.deepcopy(_at(tree, source.choice(paths))))
    if step == "shift" and isinstance(value, int | float) and not isinstance(value, bool):
        return put(source.choice((-value, value + 1, value * 1_000_003, value + 0.5, float(value), -1 - value)))
    if step == "retype":
        return put(source.choice((str(value)[:5_000], repr(value)[:5_000], [value], float("nan"), len(str(value)))))
    return put(source.choice(ODD)())


TEXTS: Final = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\x00",
    b"\r\n",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"-",
    b'"',
    b"}",
    b"]",
    b"{",
    b"[",
    b",",
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"9" * 5_000,
    b'"a":1,',
    b"\xe2\x80\xa8",
    b"'''",
    b"=",
    b"[a.b.c]",
)
"""What is put into the middle of a file."""


def damaged(data: bytes, source: random.Random) -> bytes:
    """A file with some of its bytes changed, moved, gone, or of another kind."""
    size = len(data)
    place = source.randrange(size + 1)
    length = min(source.choice((1, 2, 8, 64, 512)), size - place)
    step = source.choice(("flip", "flip", "cut", "insert", "insert", "insert", "remove", "copy", "zero", "number", "key", "empty"))
    if step == "flip" and size:
        place = min(place, size - 1)
        return data[:place] + bytes([data[place] ^ (1 << source.randrange(8))]) + data[place + 1 :]
    if step == "cut":
        return data[:place]
    if step == "insert":
        return data[:place] + source.choice(TEXTS) + data[place:]
    if step == "remove":
        return data[:place] + data[place + length :]
    if step == "copy":
        return data[: place + length] + data[place:]
    if step == "zero":
        return data[:place] + b"\0" * length + data[place + length :]
    if step == "number":
        digits = [position for position in range(size) if data[position : position + 1].isdigit()]
        if digits:
            place = source.choice(digits)
            return data[:place] + source.choice((b"9" * 400, b"1e999", b"-0", b"0x", b"NaN", b"1_0", b"")) + data[place + 1 :]
    if step == "key":
        marks = [position for position in range(size) if data[position : position + 1] in (b"{", b",")]
        if marks:
            place = source.choice(marks) + 1
            return data[:place] + source.choice((b'"kind":1,', b'"id":"x",', b'"a":{"b":[}],', b'"a":1,"a":2,')) + data[place:]
    if step == "empty":
        return source.choice((b"", b"\n", b" ", b"{}", b"[]", b"null", b"0", b'"x"', b"[{}]", b"{}\n{}\n", b"a,b\n1,2\n", b"PAR1"))
    return data[::-1]


@dataclass(frozen=True)
class Layout:
    """How a kind of file is taken apart and put together again."""

    parse: Callable[[bytes], Any]
    build: Callable[[Any], bytes]


def _json_bytes(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n") if line.strip()]


def _line_bytes(tree: Any) -> bytes:
    rows = tree if isinstance(tree, list) else [tree]
    return b"".join(_json_bytes(row) + b"\n" for row in rows)


def _toml_bytes(tree: Any) -> bytes:
    def writable(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): writable(item) for key, item in value.items() if item is not None}
        if isinstance(value, list):
            return [writable(item) for item in value if item is not None]
        return value

    tree = writable(tree)
    return tomli_w.dumps(tree if isinstance(tree, dict) else {"a": tree}).encode("utf-8", "surrogatepass")


def _cells(delimiter: str) -> Layout:
    def parse(data: bytes) -> Any:
        return [list(row) for row in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)]

    def build(tree: Any) -> bytes:
        rows = tree if isinstance(tree, list) else [tree]
        out = io.StringIO()
        for row in rows:
            csv.writer(out, delimiter=delimiter).writerow([row] if not isinstance(row, list) else row)
        return out.getvalue().encode("utf-8", "surrogatepass")

    return Layout(parse, build)


def _table(data: bytes) -> dict[str, Any]:
    """A Parquet file as columns and metadata."""
    frame = pl.read_parquet(data)
    metadata = {key: value for key, value in pl.read_parquet_metadata(data).items() if key != "ARROW:schema"}
    return {
        "columns": frame.to_dict(as_series=False),
        "manifest": json.loads(metadata[KEY]) if KEY in metadata else {},
        "sealed": DIGEST in metadata,
    }


def _shallow(value: Any, depth: int = 0) -> Any:
    """A value as a cell of a table: what is nested deeper than a schema can say becomes text."""
    if isinstance(value, list | dict) and (depth > 2 or len(value) > 50):
        return json.dumps(value, default=str)[:100_000]
    if isinstance(value, list):
        return [_shallow(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key).encode("utf-8", "replace").decode(): _shallow(item, depth + 1) for key, item in value.items()}
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _table_bytes(tree: Any) -> bytes:
    """Columns and metadata as a Parquet file; columns that make none become text, or are left out."""
    columns = tree.get("columns") if isinstance(tree, dict) else None
    series: dict[str, pl.Series] = {}
    for name, values in (columns if isinstance(columns, dict) else {"x": [columns]}).items():
        values = [_shallow(value) for value in (values if isinstance(values, list) else [values])]
        for given in (values, [json.dumps(value, default=str) for value in values]):
            try:
                series[str(name).encode("utf-8", "replace").decode()] = pl.Series(given, strict=False)
                break
            except (TypeError, ValueError, OverflowError, RecursionError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
                continue
    height = max(map(len, series.values()), default=0)
    # Columns of a Parquet file have one length.
    frame = pl.DataFrame([one.extend_constant(None, height - len(one)).alias(name) for name, one in series.items()])
    metadata = {KEY: dump_text(tree.get("manifest") if isinstance(tree, dict) else tree)}
    if not isinstance(tree, dict) or tree.get("sealed", True):
        metadata[DIGEST] = SEAL.decode() + "0" * SEALED
    memory = io.BytesIO()
    try:
        frame.write_parquet(memory, compression="zstd", statistics=False, metadata=metadata)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return b"PAR1"
    data = memory.getvalue()
    if DIGEST not in metadata:
        return data
    position, seal = _seal(data)
    return data[:position] + seal + data[position + SEALED :]


def dump_text(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()


JSON: Final = Layout(json.loads, _json_bytes)
LINES: Final = Layout(_lines, _line_bytes)
TOML: Final = Layout(lambda data: tomllib.loads(data.decode()), _toml_bytes)
CSV: Final = _cells(",")
TSV: Final = _cells("\t")
PARQUET: Final = Layout(_table, _table_bytes)
LAYOUTS: Final = {".json": JSON, ".jsonl": LINES, ".toml": TOML, ".csv": CSV, ".tsv": TSV, ".parquet": PARQUET, ".yaml": JSON}


def resealed(data: bytes, *, apart: tuple[str, ...] = ()) -> bytes:
    """A JSON record that carries its own digest, with the digest of what it says now: a forger computes it, too."""
    try:
        record = json.loads(data)
        if not isinstance(record, dict) or "digest" not in record:
            return data
        content = {key: value for key, value in record.items() if key != "digest" and key not in apart}
        return _json_bytes({**record, "digest": fingerprint(json.loads(dump_json(content)))})
    except (ValueError, TypeError, RecursionError):
        return data


def mutated(data: bytes, name: str, source: random.Random, *, bytes_too: bool = True) -> bytes:
    """A file's content after one step.

    Args:
        data: of a file that need not be valid any more.
        name: of the file; its ending says how it is taken apart.
        source: of all chance in it.
        bytes_too: whether bytes may be changed without regard to what they mean.
    """
    layout = LAYOUTS.get(Path(name).suffix)
    if layout is not None and (not bytes_too or source.random() < 0.75):
        try:
            return layout.build(changed(layout.parse(data), source))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError, csv.Error, AttributeError, pl.exceptions.PolarsError):
            if not bytes_too:
                return data
    return damaged(data, source)
