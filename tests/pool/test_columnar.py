"""Parquet and Arrow files: what is read of them, what is not, and that no file takes the run along."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import InstructselError, PoolError, UsageError
from instructsel.pool import columnar
from instructsel.pool.lines import Limits
from instructsel.pool.pool import Pool
from instructsel.pool.writer import notes_on_output

ROWS = [{"instruction": f"Say {n}.", "input": None if n % 3 else "please", "output": f"word {n} " * (1 + n % 4)} for n in range(40)]
TURNS = [
    {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n} " * 3}], "when": datetime.date(2024, 1, 1)}
    for n in range(20)
]


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    yield
    columnar.rest()


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path: Path, rows: Any, **schema: Any) -> Path:
    pl.DataFrame(rows, **schema).write_parquet(path)
    return path


def ids(*paths: Path, **options: Any) -> list[str]:
    return Pool.read(*paths, **options).ids


def test_every_columnar_file_gives_the_rows_and_ids_of_json_lines(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS)
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=7)
    frame.write_ipc(tmp_path / "a.arrow", compression="zstd")
    frame.write_ipc_stream(tmp_path / "b.arrow")
    frame.write_ipc_stream(tmp_path / "no-ending")
    expected = Pool.read(lines(tmp_path / "a.jsonl", ROWS))
    for name in ("a.parquet", "a.arrow", "b.arrow", "no-ending"):
        pool = Pool.read(tmp_path / name)
        assert (pool.ids, pool.report.counts()) == (expected.ids, expected.report.counts())


def test_nulls_of_a_table_are_the_absent_keys_and_the_nulls_of_json(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    other = {"type": "function", "function": {"name": "g", "arguments": {"y": ["z"]}}}
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call, other]}]},
        {"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]},
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    assert "y" in str(frame.schema), "the call's arguments are padded with nulls"
    frame.write_parquet(tmp_path / "a.parquet")
    first, second = Pool.read(lines(tmp_path / "a.jsonl", rows)), Pool.read(tmp_path / "a.parquet")
    assert (first.ids, first.report.counts()) == (second.ids, second.report.counts())
    answers = [{"prompt": "Say one.", "completion": "One."}, {"prompt": "Say two.", "completion": None}]
    first, second = Pool.read(lines(tmp_path / "b.jsonl", answers)), Pool.read(parquet(tmp_path / "b.parquet", answers))
    assert first.report.kept == 2
    assert (first.ids, first.report.counts()) == (second.ids, second.report.counts())


def test_tools_of_a_table_have_no_fields_of_the_tools_of_other_rows(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}, {"role": "assistant", "content": "b"}]
    sets: list[list[dict[str, Any]]] = [
        [{"name": "f", "description": "d"}, {"name": "g", "parameters": {"x": "1"}}],
        [{"type": "function", "function": {"name": "f"}}, {"function": {"name": "g", "strict": True}}],
        [{"name": "f", "input_schema": {"type": "object"}, "description": "d"}, {"name": "g", "input_schema": {}}],
    ]
    for tools in sets:
        rows = [{"messages": messages, "tools": [tool]} for tool in tools]
        expected = Pool.read(lines(tmp_path / "a.jsonl", rows))
        frame = pl.DataFrame(rows, infer_schema_length=None)
        frame.write_parquet(tmp_path / "a.parquet")
        for pool in (Pool.read(tmp_path / "a.parquet"), Pool.of(frame)):
            assert pool.ids == expected.ids, tools
            assert [example.tools for example in pool.examples()] == [example.tools for example in expected.examples()]


def account_of(read: Callable[[Any], Pool], source: Any) -> Any:
    """Ids and counts of a pool, or of the one that is refused."""
    try:
        pool = read(source)
    except PoolError as error:
        return error.report.counts() if error.report else str(error)
    return pool.ids, pool.report.counts()


def test_rows_with_nulls_anywhere_have_one_account_in_json_lines_in_parquet_and_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets, parquet_files, pandas = (pytest.importorskip(name) for name in ("datasets", "pyarrow.parquet", "pandas"))
    monkeypatch.setattr("instructsel.pool.pool.rest", lambda: None)
    drawn = random.Random(5)

    def maybe(value: Any) -> Any:
        return value if drawn.random() < 0.7 else None

    def turn() -> dict[str, Any]:
        made: dict[str, Any] = {"role": "assistant", "content": maybe("a")}
        if drawn.random() < 0.5:
            made["tool_calls"] = [{"id": maybe("c"), "function": {"name": "f", "arguments": drawn.choice([{"x": "1"}, {"y": "z"}])}}]
        return made | ({"reasoning_content": maybe("r"), "weight": maybe(1)} if drawn.random() < 0.4 else {})

    makers = (
        lambda name: {"instruction": name, "input": maybe("x"), "output": maybe("o"), "system": maybe("s")},
        lambda name: {"messages": [{"role": "user", "content": name}, turn()], "system": maybe("s")},
        lambda name: {"conversations": [{"from": "human", "value": name}, {"from": "gpt", "value": maybe("g")}], "label": maybe(True)},
        lambda name: {"prompt": [{"role": "user", "content": name}], "completion": [{"role": "assistant", "content": maybe("c")}]},
    )
    for number in range(24):
        rows = [makers[number % len(makers)](f"{number} {row}") for row in range(6)]
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "a.parquet")
        expected = account_of(Pool.read, lines(tmp_path / "a.jsonl", rows))
        assert account_of(Pool.read, tmp_path / "a.parquet") == expected, rows
        table = parquet_files.read_table(tmp_path / "a.parquet")
        frames = {
            "list": rows,
            "polars": pl.DataFrame(rows, infer_schema_length=None),
            "pyarrow": table,
            "pandas": pandas.DataFrame(rows),
            "pandas of Arrow": table.to_pandas(),
            "datasets": datasets.Dataset(table),
            "datasets of rows": datasets.Dataset.from_list(rows),
            "datasets, streamed": datasets.Dataset(table).to_iterable_dataset(),
        }
        for kind, frame in frames.items():
            assert account_of(Pool.of, frame) == expected, (kind, rows)


def test_columns_that_are_null_in_a_row_do_not_decide_its_format(tmp_path: Path) -> None:
    rows = [{"messages": turn["messages"], "instruction": None, "output": None} for turn in TURNS]
    pool = Pool.read(parquet(tmp_path / "a.parquet", rows, schema_overrides={"instruction": pl.String, "output": pl.String}))
    assert pool.files[0].format.name == "messages"
    assert len(pool) == len(rows)


def test_bytes_are_strict_utf8_where_they_are_read_and_nothing_where_they_are_not(tmp_path: Path) -> None:
    rows = [
        {"instruction": b"caf\xc3\xa9", "output": b"ok", "image": b"\xff\xd8"},
        {"instruction": b"\xff\xfe", "output": b"no", "image": b""},
    ]
    pool = Pool.read(parquet(tmp_path / "a.parquet", rows))
    assert pool.report.quarantined == {"not_text": 1}
    assert "2 bytes that are no UTF-8" in pool.report.quarantine[0].detail
    assert pool.report.quarantine[0].line == 2
    assert next(iter(pool.examples())).instruction == "café"


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2024, 1, 2),
        datetime.datetime(2024, 1, 2, 3, 4, 5),
        datetime.time(1, 2, 3),
        datetime.timedelta(days=2),
        decimal.Decimal("1.50"),
    ],
)
def test_a_value_that_is_no_text_is_quarantined_where_it_is_read_and_kept_where_it_is_not(tmp_path: Path, value: Any) -> None:
    rows = [{"instruction": "a", "output": "b", "when": value}]
    path = parquet(tmp_path / "a.parquet", rows)
    assert ids(path) == ids(lines(tmp_path / "a.jsonl", [{"instruction": "a", "output": "b"}]))
    rows = [*ROWS, {"instruction": "a", "output": "b", "input": "c"}]
    frame = pl.DataFrame({"instruction": ["a"], "output": ["b"]}).with_columns(pl.Series("input", [value]))
    frame.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(PoolError, match="not_text"):
        Pool.read(tmp_path / "b.parquet")
    # In a structure that is read as JSON, as arguments of a call are.
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"at": value}}}]}
    pl.DataFrame([{"messages": [{"role": "user", "content": "a"}, message]}, {"messages": TURNS[0]["messages"]}]).write_parquet(
        tmp_path / "c.parquet"
    )
    assert Pool.read(tmp_path / "c.parquet").report.quarantined == {"not_text": 1}


def test_the_size_of_a_column_that_is_not_read_does_not_matter(tmp_path: Path) -> None:
    limits = Limits(max_line_bytes=1000)
    rows = [{"instruction": "a", "output": "b", "page": "p" * 5000}, {"instruction": "c" * 5000, "output": "d", "page": "q"}]
    pool = Pool.read(parquet(tmp_path / "a.parquet", rows), limits=limits)
    assert (pool.report.kept, pool.report.quarantined) == (1, {"line_too_long": 1})
    pool.write(tmp_path / "out.parquet", [0])
    assert pl.read_parquet(tmp_path / "out.parquet")["page"].to_list() == ["p" * 5000]


def test_pictures_beside_the_texts_are_decoded_a_few_at_a_time(tmp_path: Path) -> None:
    drawn = random.Random(3)
    pictures = [{"bytes": b"\xff" + drawn.randbytes(1 << 20), "from": f"{number}.png"} for number in range(160)]
    frame = pl.DataFrame({"instruction": ["a"] * 160, "output": ["b"] * 160, "shown": pictures})
    frame.write_parquet(tmp_path / "a.parquet", compression="uncompressed", row_group_size=16)
    assert len(Pool.read(tmp_path / "a.parquet")) == 160


def test_numbers_of_any_size_keep_their_digits(tmp_path: Path) -> None:
    arguments = {"big": 2**64 - 1, "small": -(2**63), "real": 0.1, "tiny": 5e-324, "whole": 1e22}
    rows = [
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]},
            ]
        }
    ]
    frame = pl.DataFrame(rows, schema_overrides=None)
    assert ids(lines(tmp_path / "a.jsonl", rows)) == _ids_of(frame, tmp_path / "a.parquet")


def _ids_of(frame: pl.DataFrame, path: Path) -> list[str]:
    frame.write_parquet(path)
    return ids(path)


def test_a_year_that_python_has_no_date_for_is_no_matter_in_a_column_that_is_not_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"instruction": ["a", "b"], "output": ["c", "d"], "at": pl.Series([2**62, 1]).cast(pl.Datetime("us"))})
    assert len(_ids_of(frame, tmp_path / "a.parquet")) == 2


# Damage.


def damaged(data: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(drawn.choice([1, 1, 3])):
        at = drawn.randrange(len(changed))
        if drawn.random() < 0.5:
            changed[at] ^= 1 << drawn.randrange(8)
        else:
            changed[at : at + 4] = drawn.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\0\0"])
    return bytes(changed)


def test_no_damage_takes_the_run_along(tmp_path: Path) -> None:
    drawn = random.Random(17)
    files: list[bytes] = []
    for frame in (pl.DataFrame(ROWS), pl.DataFrame(TURNS)):
        for compression in ("uncompressed", "snappy", "zstd"):
            packed = io.BytesIO()
            frame.write_parquet(packed, compression=compression)  # type: ignore[arg-type]
            files.append(packed.getvalue())
        packed = io.BytesIO()
        frame.write_ipc_stream(packed)
        files.append(packed.getvalue())
    outcomes = {"read": 0, "refused": 0}
    for number in range(160):
        path = tmp_path / "a.parquet"
        path.write_bytes(damaged(files[number % len(files)], drawn))
        try:
            pool = Pool.read(path)
            assert pool.report.read in (len(ROWS), len(TURNS)), "rows are lost without a word"
            outcomes["read"] += 1
        except InstructselError as error:
            assert error.exit_code == 3, error
            assert "a.parquet" in str(error)
            outcomes["refused"] += 1
    assert outcomes["read"] > 5
    assert outcomes["refused"] > 50


def test_a_cut_off_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "whole.parquet", ROWS).read_bytes()
    for length in range(12, len(whole), len(whole) // 12):
        path = tmp_path / "a.parquet"
        path.write_bytes(whole[:length])
        with pytest.raises(PoolError, match="cut off or damaged"):
            Pool.read(path)


def test_what_crashes_the_library_is_refused_and_the_next_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "child.py"
    source = columnar.PROGRAM.read_text()
    program.write_text(
        source.replace(
            '    table = Table(request, request["limits"])\n', '    table = Table(request, request["limits"])\n    FAULT(table)\n', 1
        )
    )
    good = parquet(tmp_path / "good.parquet", ROWS)
    for body, reason in (
        ("os.abort()", "crashed"),
        ("os.kill(os.getpid(), 11)", "crashed"),
        ("os.kill(os.getpid(), 9)", "memory"),
        ("bytearray(1 << 40)", "memory"),
        ("[0] * (1 << 31)", "memory"),
        ("(_ for _ in ()).throw(KeyboardInterrupt('panic'))", "panic"),
    ):
        child = tmp_path / "faulty.py"
        child.write_text(program.read_text().replace("# Requests.", f"def FAULT(table):\n    {body}\n"))
        monkeypatch.setattr(columnar._Child, "program", child)
        columnar.rest()
        with pytest.raises(PoolError, match=reason):
            Pool.read(good)
        monkeypatch.undo()
        assert len(Pool.read(good)) == len(ROWS)


def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    limits = Limits(free_bytes=1 << 20, max_ratio=50)
    text = "x" * 100_000
    # Declared: the footer says so. Not declared: a dictionary of one value, and rows that repeat it.
    parquet(tmp_path / "declared.parquet", {"instruction": [text + str(n) for n in range(100)], "output": [text] * 100})
    parquet(tmp_path / "repeated.parquet", {"instruction": [text] * 1000, "output": [text] * 1000})
    for name in ("declared", "repeated"):
        with pytest.raises(PoolError, match="unpacks to more than 50 times its size"):
            Pool.read(tmp_path / f"{name}.parquet", limits=limits)
    with pytest.raises(PoolError, match="unpacks to more than 1,000 bytes"):
        Pool.read(parquet(tmp_path / "size.parquet", ROWS), limits=Limits(max_bytes=1000))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_schema_nested_too_deeply_is_refused(tmp_path: Path, form: str) -> None:
    pa = pytest.importorskip("pyarrow")
    kind, value = pa.string(), "a"
    for _ in range(500):
        kind, value = pa.struct([("k", kind)]), {"k": value}
    table = pa.table({"instruction": ["a"], "output": ["b"], "deep": pa.nulls(1, kind)})
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema):
            # The schema alone: pyarrow writes no such rows.
            pass
    try:
        assert len(Pool.read(path)) == 1
    except PoolError as error:
        assert error.exit_code == 3


def test_the_child_has_no_secret_of_this_process_and_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    good = parquet(tmp_path / "good.parquet", ROWS)
    told = tmp_path / "told"
    child = tmp_path / "child.py"
    report = f"raise Refusal(repr(sorted(os.environ)) + str(os.path.getsize({str(told)!r})))"
    body = f"open({str(told)!r}, 'wb').write(b'x' * (3 << 20))"
    source = columnar.PROGRAM.read_text()
    tried = f"    with contextlib.suppress(OSError):\n        {body}\n    {report}\n"
    child.write_text(source.replace('    table = Table(request, request["limits"])\n', tried, 1))
    monkeypatch.setattr(columnar._Child, "program", child)
    columnar.rest()
    with pytest.raises(PoolError) as refusal:
        Pool.read(good)
    assert "HF_TOKEN" not in str(refusal.value)
    assert "OPENAI_API_KEY" not in str(refusal.value)
    assert told.stat().st_size <= 1 << 20


def test_names_that_the_library_would_read_as_patterns_or_partitions_are_names(tmp_path: Path) -> None:
    for name in ("a[1].parquet", "x=1", "b*.parquet", "ü \u202e.parquet", "~home.parquet"):
        path = tmp_path / name
        if name == "x=1":
            path.mkdir()
            path /= "a.parquet"
        assert ids(parquet(tmp_path / "plain.parquet", ROWS)) == ids(Path(os.rename(tmp_path / "plain.parquet", path) or path))


# Out.


def test_shards_that_differ_in_columns_are_written_as_one_with_the_columns_of_all(tmp_path: Path) -> None:
    shards = [
        pl.DataFrame({"instruction": ["one"], "input": [None], "output": ["1"]}),
        pl.DataFrame({"instruction": ["three"], "input": ["please"], "output": ["3"], "id": [7]}),
        pl.DataFrame({"output": ["5"], "instruction": ["five"], "input": ["please"], "id": ["x7"], "tags": [[{"a": 1}]]}),
        pl.DataFrame({"output": ["6"], "instruction": ["six"], "tags": [[{"b": "c", "a": 2}, None]], "id": [2**63 - 1]}),
    ]
    paths = [tmp_path / f"{number}.parquet" for number in range(len(shards))]
    for shard, path in zip(shards, paths, strict=True):
        shard.write_parquet(path)
    pool = Pool.read(*paths)
    order = sorted(range(4), key=lambda position: -int(pool.file_of[position]))
    pool.write(tmp_path / "out.parquet", order)
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame.columns == ["instruction", "input", "output", "id", "tags"]
    assert frame["output"].to_list() == ["6", "5", "3", "1"]
    assert frame["id"].to_list() == [str(2**63 - 1), "x7", "7", None]
    assert frame["tags"].to_list() == [[{"a": 2, "b": "c"}, None], [{"a": 1, "b": None}], None, None]
    assert Pool.read(tmp_path / "out.parquet").ids == pool.ids


def test_columns_that_make_no_one_table_are_refused_before_any_row_is_written(tmp_path: Path) -> None:
    first = parquet(tmp_path / "a.parquet", {"instruction": ["a"], "output": ["b"], "meta": [{"x": 1}]})
    second = parquet(tmp_path / "b.parquet", {"instruction": ["c"], "output": ["d"], "meta": ["text"]})
    pool = Pool.read(first, second)
    with pytest.raises(UsageError, match=r"meta is Struct.* in one and String in another"):
        pool.write(tmp_path / "out.parquet", [0, 1])
    assert pool.write(tmp_path / "out.jsonl", [0, 1], to="messages") == 2


def test_whole_and_real_numbers_of_shards_are_real_where_none_is_changed(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Q", "weight": 1}, {"role": "assistant", "content": "A", "weight": 1}]
    whole = {"messages": turns, "q": 2**53, "few": [1, 2]}
    real = {"messages": [{**turn, "content": turn["content"] + "!", "weight": 0.5} for turn in turns], "q": None, "few": [0.5]}
    first, second, third = (tmp_path / f"{n}.parquet" for n in range(3))
    pl.DataFrame([whole]).write_parquet(first)
    pl.DataFrame([real], schema_overrides={"q": pl.Float64()}).write_parquet(second)
    pool = Pool.read(first, second)
    pool.write(tmp_path / "out.parquet")
    written = pl.read_parquet(tmp_path / "out.parquet")
    assert {written["q"].dtype, written["few"].dtype} == {pl.Float64(), pl.List(pl.Float64())}
    assert sorted(written["q"].drop_nulls().to_list()) == [2.0**53]
    assert Pool.read(tmp_path / "out.parquet").ids == pool.ids
    assert len([line for line in notes_on_output(pool.files) if "a real one" in line]) == 3
    pl.DataFrame([{**whole, "q": 2**53 + 1}]).write_parquet(third)
    with pytest.raises(UsageError, match=r"q is a whole number beyond 2\^53 in one and Float64 in another"):
        Pool.read(first, second, third).write(tmp_path / "none.parquet")


def test_files_of_several_containers_are_written_as_json_lines(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"instruction": f"Say {n}", "output": "word"} for n in range(3)]
    (tmp_path / "a.csv").write_text("instruction,output\nSay csv,word\n")
    (tmp_path / "b.json").write_text(json.dumps([{"instruction": "Say array", "output": "word", "n": 10**25}], indent=1))
    pl.DataFrame({"instruction": ["Say table"], "output": ["word"], "day": [datetime.date(2024, 1, 2)]}).write_parquet(
        tmp_path / "c.parquet"
    )
    pool = Pool.read(lines(tmp_path / "d.jsonl", rows), tmp_path / "a.csv", tmp_path / "b.json", tmp_path / "c.parquet")
    pool.write(tmp_path / "out.jsonl", list(range(len(pool))))
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {row["instruction"] for row in written} == {"Say 0", "Say 1", "Say 2", "Say csv", "Say array", "Say table"}
    assert next(row for row in written if row["instruction"] == "Say array")["n"] == 10**25
    assert next(row for row in written if row["instruction"] == "Say table")["day"] == "2024-01-02"
    assert Pool.read(tmp_path / "out.jsonl").ids == pool.ids


def test_arrow_rows_come_out_as_arrow_that_datasets_reads(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_ipc(tmp_path / "a.arrow")
    pool = Pool.read(tmp_path / "a.arrow")
    pool.write(tmp_path / "out.arrow", [3, 1])
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_file(str(tmp_path / "out.arrow"))
    assert list(data["output"]) == [ROWS[pool.locate(position)[1][0] - 1]["output"] for position in (3, 1)]


def test_a_file_that_was_written_again_is_not_copied_from(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", ROWS)
    pool = Pool.read(path)
    parquet(path, [*reversed(ROWS)])
    with pytest.raises(PoolError, match="has changed since it was read"):
        pool.write(tmp_path / "out.parquet", [0])


def test_json_kept_as_an_extension_type_is_read_as_its_value(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    tools = '[{"name": "f",\n "n": 12345678901234567890123}]'
    table = pa.table({"messages": pa.array([TURNS[0]["messages"]]), "tools": pa.array([tools], pa.json_())})
    pq.write_table(table, tmp_path / "a.parquet")
    row = '{"messages": ' + json.dumps(TURNS[0]["messages"]) + ', "tools": ' + tools.replace("\n", "") + "}\n"
    (tmp_path / "a.jsonl").write_text(row)
    assert ids(tmp_path / "a.parquet") == ids(tmp_path / "a.jsonl")


def test_the_marks_of_the_child_are_those_that_are_looked_for() -> None:
    source = columnar.PROGRAM.read_text()
    for mark in columnar.MADE:
        assert json.dumps(mark).replace("u0000", "0") in source


def test_a_value_is_as_long_as_it_is_in_a_column_that_is_not_read(tmp_path: Path) -> None:
    longest = Limits().max_line_bytes
    for number, value in enumerate((b"\0" * (longest * 2 // 3), "é".encode() * (longest // 2 + 9), b"\xff" * (longest + 9))):
        frame = pl.DataFrame({"instruction": ["See.", "Hi."], "output": ["A hedge.", "Ho."], "image": [value, b"x"]})
        frame.write_parquet(tmp_path / f"{number}.parquet")
        assert Pool.read(tmp_path / f"{number}.parquet").report.kept == 2
