"""The score table: no NaN, no null without a reason, the same bytes for the same scores."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import ScoresError, UnknownIndicator, UsageError
from instructsel.scores.table import ScoreTable, newest
from instructsel.tables import write_frame

MANIFEST: dict[str, Any] = {"pool": {"fingerprint": "f00"}, "indicators": {"len": {"name": "response_length", "tokenizer": {"name": "t"}}}}


def table(**changes: Any) -> ScoreTable:
    columns: dict[str, Any] = {"len": ([3.0, None, 5.5], [None, "empty_response", None]), "knn_6": ([0.1, 0.2, 0.3], [None] * 3)}
    return ScoreTable.from_columns(["b", "a", "c"], columns | changes, MANIFEST, sources=["x", "y", "x"])


def frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"id": ["a", "b"], "len": [1.0, 2.0], "len_reason": pl.Series([None, None], dtype=pl.String)} | columns)


def test_rows_stand_in_the_order_of_their_ids_whatever_order_they_came_in() -> None:
    assert table().ids == ["a", "b", "c"]
    values, valid = table().values("len")
    assert (values.tolist(), valid.tolist()) == ([0.0, 3.0, 5.5], [False, True, True])
    assert table().symbols == ("len", "knn_6")


def test_nulls_are_counted_by_reason() -> None:
    assert table().null_fraction("len") == 1 / 3
    assert table().null_counts("len") == {"empty_response": 1}
    assert table().reasons("len") == ["empty_response", None, None]
    assert table().null_fraction("knn_6") == 0


def test_an_unknown_symbol_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownIndicator, match="Did you mean 'knn_6'"):
        table().values("knn6")


def test_a_value_with_a_reason_is_null_whatever_number_stands_there() -> None:
    made = table(len=([3.0, math.nan, 7.0], [None, "not_finite", "no_words"]))
    assert made.frame["len"].to_list() == [None, 3.0, None]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ScoresError, match="NaN or infinite"):
        table(len=([3.0, number, 5.0], [None] * 3))
    with pytest.raises(ScoresError, match="NaN or infinite"):
        ScoreTable(frame(len=[1.0, number]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"len": pl.Series([1.0, None])}, "null in 1 row without a reason"),
        ({"len_reason": ["why", None]}, "a value and a reason"),
        ({"len": pl.Series([None, 1.0]), "len_reason": ["", None]}, "empty reason"),
        ({"id": ["a", "a"]}, "id a stands in more than one row"),
        ({"id": ["a", None]}, "1 row with no id"),
        ({"id": [1, 2]}, "not text"),
        ({"len": [1, 2]}, "not Float64"),
        ({"len": pl.Series([1.0, 2.0], dtype=pl.Float32)}, "not Float64"),
        ({"rew": [1.0, 2.0]}, "no column 'rew_reason'"),
        ({"rew_reason": ["a", "b"]}, "no column 'rew'"),
    ],
)
def test_a_broken_frame_is_refused_and_named(columns: dict[str, Any], message: str) -> None:
    ScoreTable(frame())
    with pytest.raises(ScoresError, match=message):
        ScoreTable(frame(**columns))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ScoresError, match="2 values and 3 reasons for 3 examples"):
        table(len=([1.0, 2.0], [None] * 3))


def test_a_frame_without_ids_is_refused() -> None:
    with pytest.raises(ScoresError, match="needs a column 'id'"):
        ScoreTable(pl.DataFrame({"len": [1.0]}))


@pytest.mark.parametrize("name", ["pool.scores.parquet", "pool.csv"])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    table().write(tmp_path / name, run={"seconds": 1.5})
    read = ScoreTable.read(tmp_path / name)
    assert read.frame.equals(table().frame)
    assert read.manifest == table().manifest
    beside = json.loads((tmp_path / f"{name}.json").read_text())
    assert beside["kind"] == "scores"
    assert beside["run"]["seconds"] == 1.5
    assert "finished_at" in beside["run"]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_two_equal_tables_have_the_same_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    table().write(tmp_path / "one" / name, run={"seconds": 1})
    shuffled = ScoreTable(table().frame[[2, 0, 1]], table().manifest)
    shuffled.write(tmp_path / "two" / name, run={"seconds": 2})
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


PLACES = pl.DataFrame({"file": ["x.jsonl", None, "=y.jsonl"], "line": [3, None, 1]})


@pytest.mark.parametrize("name", ["pool.scores.parquet", "pool.csv"])
def test_a_table_says_in_which_file_and_line_an_example_stands(tmp_path: Path, name: str) -> None:
    made = ScoreTable.from_columns(["b", "a", "c"], {"len": ([1.0, 2.0, 3.0], [None] * 3)}, MANIFEST, places=PLACES)
    assert made.frame.columns == ["id", "file", "line", "len", "len_reason"]
    made.write(tmp_path / name)
    read = ScoreTable.read(tmp_path / name).frame
    assert read.select("id", "file", "line").rows() == [("a", None, None), ("b", "x.jsonl", 3), ("c", "=y.jsonl", 1)]
    assert read.schema["line"] == pl.Int64


@pytest.mark.parametrize("name", ["pool.scores.parquet", "pool.csv"])
def test_a_table_of_an_earlier_release_has_null_places(tmp_path: Path, name: str) -> None:
    write_frame(tmp_path / name, frame(source=["s", "t"]), {"kind": "scores", **MANIFEST})
    read = ScoreTable.read(tmp_path / name)
    assert read.frame["file"].null_count() == read.frame["line"].null_count() == 2
    assert read.symbols == ("len",)


@pytest.mark.parametrize(
    ("columns", "message"), [({"file": ["x", "y"]}, "'line' is missing"), ({"file": ["x", "y"], "line": ["1", "2"]}, "not whole numbers")]
)
def test_half_a_place_is_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoresError, match=message):
        ScoreTable(frame(**columns))


def test_an_empty_table_can_be_written_and_read(tmp_path: Path) -> None:
    empty = ScoreTable.from_columns([], {"len": ([], [])})
    assert empty.null_fraction("len") == 0
    for name in ("a.parquet", "a.csv"):
        empty.write(tmp_path / name)
        assert len(ScoreTable.read(tmp_path / name)) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_survive_csv_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    made = ScoreTable.from_columns([f"{i:03}" for i in range(len(numbers))], {"x": (numbers, [None] * len(numbers))})
    made.write(path)
    assert np.array_equal(ScoreTable.read(path).values("x")[0].view(np.int64), np.array(numbers).view(np.int64))


HOSTILE = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'=1", "''-", "'x", 'a"b,c', "x\ny", "-0.5", ""]


def test_a_text_cell_that_a_spreadsheet_would_run_is_escaped_and_a_number_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ids = [f"{i:02}" for i in range(len(HOSTILE))]
    made = ScoreTable.from_columns(ids, {"rew": ([-1.5] * len(ids), [None] * len(ids))}, sources=HOSTILE)
    made.write(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert not [row["source"] for row in rows if row["source"].startswith(tuple("=+-@\t\r\n"))]
    assert rows[0]["source"] == "'=1+1"
    assert {row["rew"] for row in rows} == {"-1.5"}
    assert ScoreTable.read(path).frame["source"].to_list() == HOSTILE


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="'=+-@\t\r\nab\",", max_size=4), min_size=1, max_size=8))
def test_any_source_label_survives_csv(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    ids = [f"{i:02}" for i in range(len(labels))]
    ScoreTable.from_columns(ids, {"x": ([1.0] * len(ids), [None] * len(ids))}, sources=labels).write(path)
    assert ScoreTable.read(path).frame["source"].to_list() == labels


def test_a_csv_without_its_manifest_is_readable_and_says_nothing_of_its_models(tmp_path: Path) -> None:
    table().write(tmp_path / "a.csv")
    (tmp_path / "a.csv.json").unlink()
    assert ScoreTable.read(tmp_path / "a.csv").manifest == {}


def test_a_crash_after_the_table_leaves_no_manifest_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().write(tmp_path / "a.csv")

    def killed(*args: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("instructsel.tables.write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        table(len=([9.0] * 3, [None] * 3)).write(tmp_path / "a.csv")
    assert ScoreTable.read(tmp_path / "a.csv").manifest == {}


@pytest.mark.parametrize("keep", [0, 3, 20, 0.3, 0.9, -1])
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.parquet"
    table().write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ScoresError, match=r"a\.parquet"):
        ScoreTable.read(path)


def test_a_parquet_file_with_any_one_byte_flipped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table().write(path)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        with pytest.raises(ScoresError, match="damaged"):
            ScoreTable.read(path)


def test_files_that_are_no_score_tables_are_refused(tmp_path: Path) -> None:
    frame().write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(ScoresError, match="is not a score table"):
        ScoreTable.read(tmp_path / "foreign.parquet")
    (tmp_path / "x.csv").write_text("instruction,output\na,b\n")
    with pytest.raises(ScoresError, match="needs a column 'id'"):
        ScoreTable.read(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("id,len,len_reason\na,many,\n")
    with pytest.raises(ScoresError, match="should be a number"):
        ScoreTable.read(tmp_path / "y.csv")
    (tmp_path / "nan.csv").write_text("id,len,len_reason\na,nan,\n")
    with pytest.raises(ScoresError, match="NaN or infinite"):
        ScoreTable.read(tmp_path / "nan.csv")
    (tmp_path / "bytes.csv").write_bytes(b"id,len,len_reason\n\xff\xfe,1,\n")
    with pytest.raises(ScoresError, match="cannot be read"):
        ScoreTable.read(tmp_path / "bytes.csv")
    with pytest.raises(ScoresError, match="There is no file"):
        ScoreTable.read(tmp_path / "absent.parquet")
    with pytest.raises(UsageError, match="neither"):
        ScoreTable.read(tmp_path / "scores.xlsx")
    with pytest.raises(UsageError, match="neither"):
        table().write(tmp_path / "scores")


def test_another_kind_of_result_and_a_newer_release_are_refused(tmp_path: Path) -> None:
    ScoreTable(table().frame, {"kind": "selection"}).write(tmp_path / "a.parquet")
    with pytest.raises(ScoresError, match="holds selection"):
        ScoreTable.read(tmp_path / "a.parquet")
    table().write(tmp_path / "b.csv")
    beside = tmp_path / "b.csv.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"schema": 99}))
    with pytest.raises(ScoresError, match="newer instructsel"):
        ScoreTable.read(tmp_path / "b.csv")


def stamped(path: Path, moment: str) -> Path:
    table().write(path, run={"finished_at": moment})
    return path


def test_the_newest_table_is_the_one_finished_last_by_its_manifest(tmp_path: Path) -> None:
    stamped(tmp_path / "b.scores.parquet", "2026-03-01T10:00:00+00:00")
    # Later by the clock on the wall, earlier as text; and a CSV of any name counts.
    late = stamped(tmp_path / "a.csv", "2026-03-01T09:30:00-02:00")
    stamped(tmp_path / "c.parquet", "2026-01-01T10:00:00+00:00")
    frame().write_parquet(tmp_path / "foreign.parquet")
    (tmp_path / "other.csv").write_text("a,b\n")
    (tmp_path / "other.csv.json").write_text("{broken")
    assert newest(tmp_path) == late


def test_two_tables_of_the_same_moment_are_both_named(tmp_path: Path) -> None:
    stamped(tmp_path / "a.scores.parquet", "2026-03-01T10:00:00+00:00")
    stamped(tmp_path / "b.scores.parquet", "2026-03-01T12:00:00+02:00")
    with pytest.raises(UsageError, match=r"a\.scores\.parquet and .*b\.scores\.parquet"):
        newest(tmp_path)


def test_a_folder_without_a_score_table_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="instructsel score POOL"):
        newest(tmp_path)


def test_a_score_table_that_cannot_be_dated_is_not_passed_over(tmp_path: Path) -> None:
    stamped(tmp_path / "a.scores.parquet", "2026-03-01T10:00:00+00:00")
    lost = stamped(tmp_path / "b.scores.parquet", "2026-04-01T10:00:00+00:00")
    (tmp_path / "b.scores.parquet.json").write_text("{broken")
    with pytest.raises(ScoresError, match="not readable JSON"):
        newest(tmp_path)
    (tmp_path / "b.scores.parquet.json").unlink()
    with pytest.raises(UsageError, match=lost.name):
        newest(tmp_path)


def test_the_fingerprint_depends_on_scores_and_not_on_places() -> None:
    columns = {"len": ([1.0, None], [None, "empty_response"])}
    first = ScoreTable.from_columns(["a", "b"], columns, MANIFEST)
    placed = ScoreTable.from_columns(["a", "b"], columns, MANIFEST, places=PLACES[:2])
    assert first.fingerprint == placed.fingerprint
    for values, reasons in (([1.0, None], [None, "no_words"]), ([2.0, None], [None, "empty_response"]), ([1.0, 0.0], [None, None])):
        assert ScoreTable.from_columns(["a", "b"], {"len": (values, reasons)}, MANIFEST).fingerprint != first.fingerprint


def test_a_table_shows_its_rows_columns_and_nulls() -> None:
    made = table(len=([3.0, None, 5.5], [None, "<script>", None]))
    assert repr(made) == "ScoreTable(3 examples; len: 1 null, knn_6: 0 null)"
    html = made._repr_html_()
    assert "<script>" not in html and "&lt;script&gt; 1" in html and html.count("<tr>") == 3
