"""Tables of finished results: what is read, and what is refused with its file and row."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import ObservationsError
from instructsel.grading.results_grades import AGGREGATED, NO_ROW, NO_VALUE, grades_of_tables
from instructsel.grading.results_table import COLUMNS, ResultsTable, is_table

HEAD = "arm,replicate,seed,task,value"
ITEMS = "arm,replicate,seed,task,item,cluster,source,value,weight,unit,higher_is_better"


def table(folder: Path, text: str | bytes, name: str = "t.csv") -> ResultsTable:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return ResultsTable.read(folder / name)


def rows(text: str) -> list[dict[str, Any]]:
    """A CSV as typed rows; an empty cell is null."""
    header, *lines = [line.split(",") for line in text.strip().split("\n")]
    typed: dict[str, Any] = {
        "replicate": int,
        "seed": int,
        "value": float,
        "weight": float,
        "higher_is_better": lambda cell: cell == "true",
    }
    return [{name: None if cell == "" else typed.get(name, str)(cell) for name, cell in zip(header, line, strict=True)} for line in lines]


def contents(read: ResultsTable) -> dict[Any, Any]:
    return {key: (block.items, block.values, block.weights, block.clusters, block.sources) for key, block in read.blocks.items()}


PER_ITEM = f"""{ITEMS}
selection,0,0,qa,a,p,x,1.0,2.0,accuracy,true
selection,0,0,qa,b,p,y,,1.0,accuracy,true
random,0,0,qa,a,p,x,0.5,2.0,accuracy,true
random,1,7,qa,b,p,y,0.25,1.0,accuracy,true
"""


def test_a_table_reads_alike_as_csv_tsv_json_lines_and_parquet(tmp_path: Path) -> None:
    expected = {
        ("selection", 0, 0, "qa"): (["a", "b"], [1.0, None], [2.0, 1.0], ["p", "p"], ["x", "y"]),
        ("random", 0, 0, "qa"): (["a"], [0.5], [2.0], ["p"], ["x"]),
        ("random", 1, 7, "qa"): (["b"], [0.25], [1.0], ["p"], ["y"]),
    }
    typed = rows(PER_ITEM)
    lines = "".join(json.dumps(row) + "\n" for row in typed)
    pl.DataFrame(typed).write_parquet(tmp_path / "t.parquet")
    read = [
        table(tmp_path, PER_ITEM),
        table(tmp_path, "\ufeff" + PER_ITEM.replace("\n", "\r\n"), "bom.csv"),
        table(tmp_path, PER_ITEM.replace(",", "\t"), "t.tsv"),
        table(tmp_path, lines, "t.jsonl"),
        table(tmp_path, gzip.compress(PER_ITEM.encode()), "t.csv.gz"),
        ResultsTable.read(tmp_path / "t.parquet"),
    ]
    for one in read:
        assert contents(one) == expected, one.path
        assert one.arms == ("selection", "random") and one.missing == 1 and one.unread == ()
        scale = one.scales["qa"]
        assert (scale.unit, scale.higher_is_better, scale.per_item) == ("accuracy", True, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        (HEAD + "\n", "has no rows"),
        ("arm,seed,task,value\na,0,t,1", "line 1: there is no column replicate; there are arm, seed, task, value"),
        (HEAD + ",clusters\na,0,0,t,1,3", "Did you mean 'cluster'?"),
        ("arm,replicate,seed,tasks,value\na,0,0,t,1", "Did you mean 'task'?"),
        (HEAD + "\na,0,0,t,0.5\na,x,0,t,0.5", "line 3: replicate is a whole number from 0 to 2,147,483,647; found the text 'x'"),
        (HEAD + "\na,-1,0,t,0.5", "line 2: replicate is a whole number"),
        (HEAD + "\na,0,99999999999,t,0.5", "line 2: seed is a whole number"),
        (HEAD + "\na,0,0.5,t,0.5", "line 2: seed is a whole number"),
        (HEAD + "\na,0,0,t,1e400", "line 2: value is a finite number; found the text '1e400'"),
        (HEAD + "\na,0,0,t,inf", "line 2: value is a finite number"),
        (HEAD + "\na,0,0,t,1_000", "line 2: value is a finite number"),
        (HEAD + '\na,0,0,t,"0,5"', "Write numbers as 0.5"),
        (HEAD + "\na,0,0,t,0.5\x00", "line 2: value is a finite number"),
        (HEAD + "\n,0,0,t,0.5", "line 2: arm is a text; found none"),
        (HEAD + "\n a,0,0,t,0.5", "begins or ends with a space"),
        (HEAD + "\na\x1b[31m,0,0,t,0.5", "control characters"),
        (HEAD + f"\n{'a' * 101},0,0,t,0.5", "arm has 101 characters"),
        (HEAD + "\na,0,0,t", "line 2: 4 fields, the header has 5"),
        (HEAD + '\n"a,0,0,t,1\n', "line 2"),
        (HEAD.encode() + "\né,0,0,t,1".encode("latin-1"), "line 2: no UTF-8"),
        (HEAD + "\na,0,0,t,1\nb,0,0,t,1\na,0,0,t,2", "line 4: a, replicate 0, seed 0, task t stands in line 2 already"),
        (HEAD + ",item\na,0,0,t,1,i\na,0,0,t,2,i", "line 3: a, replicate 0, seed 0, task t, item i stands in line 2 already"),
        (HEAD + ",item\na,0,0,t,1,i\nb,0,0,t,2,", "line 3: t has values of two kinds: no unit, no direction, a row a run; and in line 2"),
        (HEAD + ",unit\na,0,0,t,1,nats\nb,0,0,t,2,bits", "line 3: t has values of two kinds: bits"),
        (HEAD + ",higher_is_better\na,0,0,t,1,true\nb,0,0,t,2,false", "line 3: t has values of two kinds: no unit, lower is better"),
        (HEAD + ",higher_is_better\na,0,0,t,1,yes", "higher_is_better is true or false; found the text 'yes'"),
        (HEAD + ",weight\na,0,0,t,1,-1", "weight is a number of at least 0"),
        (bytes(range(256)) * 9, "line 1"),
    ],
)
def test_a_csv_with_one_row_that_is_not_of_the_form_is_refused_with_its_row(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(ObservationsError) as caught:
        table(tmp_path, text)
    assert expected in str(caught.value) and str(tmp_path / "t.csv") in str(caught.value) and caught.value.fix


def record(**cells: Any) -> str:
    return json.dumps({"arm": "a", "replicate": 0, "seed": 0, "task": "t", "value": 0.5, **cells}) + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]\n", "a row is an object of columns"),
        ("3\n", "a row is an object of columns; found a number"),
        ('{"arm": "a"}\n', "line 1: the row lacks replicate, seed, task, value; there are arm"),
        ('{"arm": "a", "replic\n', "line 1: the row ends inside a value"),
        (record(value=math.nan), "line 1: NaN or Infinity is not JSON"),
        (record().replace("0.5", "1e400"), "line 1: a number beyond what a double holds"),
        (record().replace("0.5", "9" * 5000), "line 1"),
        (record(value="0.5"), "value is a finite number; found the text '0.5'"),
        (record(value=True), "value is a finite number; found true"),
        (record(value=[0.5]), "value is a finite number; found a list"),
        (record(replicate=True), "replicate is a whole number"),
        (record(task={"a": 1}), "task is a text; found an object"),
        (record(task=None), "task is a text; found none"),
        (record(item=1.5), "item is a text"),
        (record(higher_is_better=1), "higher_is_better is true or false; found 1"),
        (record(unit=["x"]), "unit is a text; found a list"),
        ('{"arm": ' + "[" * 50_000 + "]" * 50_000 + "}\n", "nested 50001 deep"),
        (record() + '{"arm": "a", "arm": "b"}\n', "line 2: a key stands twice"),
    ],
)
def test_json_lines_of_wrong_types_are_refused_with_their_row(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ObservationsError) as caught:
        table(tmp_path, text, "t.jsonl")
    assert expected in str(caught.value) and "t.jsonl" in str(caught.value)


def test_a_parquet_file_lacks_no_column_holds_nothing_infinite_and_is_whole(tmp_path: Path) -> None:
    base = {"arm": ["a", "b"], "replicate": [0, 0], "seed": [0, 0], "task": ["t", "t"]}
    for values, expected in (
        ({}, "there is no column value"),
        ({"value": [1.0, math.inf]}, "row 2: value is a finite number; found an infinite one"),
        ({"value": ["1", "2"]}, "row 1: value is a finite number; found the text '1'"),
        ({"value": [{"a": 1}, {"a": 2}]}, "row 1: value is a finite number; found an object"),
    ):
        pl.DataFrame({**base, **values}).write_parquet(tmp_path / "t.parquet")
        with pytest.raises(ObservationsError, match=expected):
            ResultsTable.read(tmp_path / "t.parquet")
    pl.DataFrame({**base, "value": [math.nan, None]}).write_parquet(tmp_path / "t.parquet")
    assert ResultsTable.read(tmp_path / "t.parquet").missing == 2
    data = (tmp_path / "t.parquet").read_bytes()
    for broken in (data[:50], data[:-9] + b"\xff" * 9, b"PAR1" + bytes(40) + b"PAR1", b"arm,task"):
        with pytest.raises(ObservationsError, match=r"t\.parquet"):
            table(tmp_path, broken, "t.parquet")


def test_what_is_not_read_or_not_there_is_said(tmp_path: Path) -> None:
    read = table(tmp_path, f"{HEAD},model,step\na,0,0,t,,m,3\nb,0,0,t,1,m,3\n")
    assert [note.removeprefix(f"{read.path}") for note in read.notes()] == [
        ": 2 columns not read: model, step.",
        ": 1 row without a value.",
        " does not say whether higher is better (column higher_is_better): higher counts as better for t.",
    ]
    assert table(tmp_path, f"{HEAD},higher_is_better\na,0,0,t,1,TRUE\n").notes() == []


def test_lower_is_better_for_losses_and_errors_by_unit_or_name_unless_the_table_says_otherwise(tmp_path: Path) -> None:
    names = ("eval_loss", "valLoss", "wikitext:word_perplexity,none", "NLL", "error rate", "acc", "glossary", "terror")
    read = table(tmp_path, HEAD + "\n" + "".join(f'{arm},0,0,"{name}",1\n' for arm in "ab" for name in names))
    lower = [name for name in names if not read.scales[name].higher(name)]
    assert lower == list(names[:5])
    directions, units = read.notes()
    assert "in which unit eval_loss, valLoss, wikitext:word_perplexity,none are (column unit)" in units
    assert (
        "lower counts as better for eval_loss, valLoss, wikitext:word_perplexity,none and 2 more; higher counts as better for acc"
        in directions
    )
    graded = grades_of_tables({arm: [(read, arm)] for arm in "ab"})["a"].grades[0][0]
    assert {grades.grader: grades.higher_is_better for grades in graded} == {name: name not in lower for name in names}
    per_byte = table(tmp_path, f"{HEAD},unit\na,0,0,t,1,bits per byte\n")
    stated = table(tmp_path, f"{HEAD},higher_is_better\na,0,0,loss,1,true\n")
    assert not per_byte.scales["t"].higher("t") and stated.scales["loss"].higher("loss")


def test_a_table_is_known_by_its_name_and_annotations_by_their_columns(tmp_path: Path) -> None:
    for name, text, expected in (
        ("a.csv", "", True),
        ("a.parquet", "", True),
        ("a.jsonl.zst", "", True),
        ("a.jsonl", record(), True),
        ("b.jsonl", '{"broken', True),
        ("c.jsonl", '{"instruction": "x", "preference": 1}', False),
        ("d.jsonl", '{"instruction": "x", "pref', False),
        ("e.json", "[]", False),
        ("f.txt", record(), False),
    ):
        (tmp_path / name).write_text(text)
        assert is_table(tmp_path / name) is expected, name
    assert not is_table(tmp_path) and not is_table(tmp_path / "absent.csv")


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.grading.results_table.MOST_ROWS", 2)
    with pytest.raises(ObservationsError, match="more than 2 rows"):
        table(tmp_path, f"{HEAD}\na,0,0,t,1\na,0,1,t,1\na,0,2,t,1\n")
    monkeypatch.setattr("instructsel.grading.results_table.MOST_BYTES", 20)
    with pytest.raises(ObservationsError, match="has more than"):
        table(tmp_path, f"{HEAD}\na,0,0,t,1\n")


def test_an_item_that_a_run_lacks_is_missing_there_and_one_without_a_value_too(tmp_path: Path) -> None:
    read = table(tmp_path, PER_ITEM)
    arms = grades_of_tables({"selection": [(read, "selection")], "random": [(read, "random")]})
    assert arms["random"].labels == (((0, 0),), ((1, 7),))
    (mine,), (first,), (second,) = arms["selection"].grades[0][0], *(by_seed[0] for by_seed in arms["random"].grades)
    assert mine.items == first.items == second.items == ("a", "b")
    assert (mine.reasons, first.reasons, second.reasons) == ((None, NO_VALUE), (None, NO_ROW), (NO_ROW, None))
    assert mine.weights.tolist() == first.weights.tolist() == second.weights.tolist() == [2.0, 1.0]
    assert mine.clusters == ("p", "p") and mine.sources == ("x", "y") and AGGREGATED not in mine.record
    assert (mine.unit, mine.higher_is_better) == ("accuracy", True)


def test_a_loss_is_lower_and_other_values_higher_where_nothing_says_it(tmp_path: Path) -> None:
    read = table(tmp_path, f"{HEAD},unit\na,0,0,loss,1,bits per byte\na,0,0,task,1,\n")
    (grades,) = grades_of_tables({"a": [(read, "a")]})["a"].grades[0]
    assert {one.grader: one.higher_is_better for one in grades} == {"loss": False, "task": True}
    assert all(one.record[AGGREGATED] for one in grades)


def test_tables_of_one_arm_are_one_and_no_row_stands_in_two(tmp_path: Path) -> None:
    one, two = table(tmp_path, f"{HEAD}\na,0,0,t,1\n", "one.csv"), table(tmp_path, f"{HEAD}\na,0,1,t,2\nb,0,0,t,9\n", "two.csv")
    arms = grades_of_tables({"a": [(one, "a"), (two, "a")]})
    assert [grades[0].values.tolist() for grades in arms["a"].grades[0]] == [[1.0], [2.0]] and list(arms) == ["a"]
    with pytest.raises(ObservationsError, match=r"two\.csv has no arm c; there are a, b"):
        grades_of_tables({"c": [(two, "c")]})
    again = table(tmp_path, f"{HEAD}\na,0,0,t,3\n", "again.csv")
    with pytest.raises(ObservationsError, match=r"again\.csv, line 2: a, replicate 0, seed 0, task t stands in .*one\.csv, line 2 already"):
        grades_of_tables({"a": [(one, "a"), (again, "a")]})
    unlike = table(tmp_path, f"{HEAD},unit\nb,0,0,t,3,%\n", "unlike.csv")
    with pytest.raises(ObservationsError, match=r"unlike\.csv, line 2: t has values of two kinds"):
        grades_of_tables({"a": [(one, "a")], "b": [(unlike, "b")]})


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("p,x", "q,x"), "has the cluster q, and p in"),
        (("p,x", "p,y"), "has the source y, and x in"),
        (("p,x", ",x"), "has the cluster none, and p in"),
    ],
)
def test_an_item_is_in_one_cluster_and_source_in_all_runs(tmp_path: Path, cells: tuple[str, str], expected: str) -> None:
    lines = [f"{arm},0,0,t,i,{labels},1" for arm, labels in zip("ab", cells, strict=True)]
    read = table(tmp_path, "\n".join(["arm,replicate,seed,task,item,cluster,source,value", *lines]))
    with pytest.raises(ObservationsError, match=expected):
        grades_of_tables({arm: [(read, arm)] for arm in "ab"})


def test_items_of_one_task_all_have_a_cluster_or_none(tmp_path: Path) -> None:
    read = table(tmp_path, "arm,replicate,seed,task,item,cluster,value\na,0,0,t,i,p,1\na,0,0,t,j,,1\n")
    with pytest.raises(ObservationsError, match="line 3: t, item j has no cluster, and others have one"):
        grades_of_tables({"a": [(read, "a")]})


def test_every_column_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()
    assert all(f"| `{name}` |" in page for name in COLUMNS)
