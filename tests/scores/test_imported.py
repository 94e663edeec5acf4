"""Scores from elsewhere: each value stands beside the example that it is of, or nowhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import ScoresError, TooManyNulls, UsageError
from instructsel.pool.pool import Pool
from instructsel.scores.imported import ImportedScores, ScoreFiles, symbol_of
from instructsel.scores.run import score
from instructsel.scores.score_files import read_score_file
from instructsel.scores.table import ScoreTable

Rows = list[dict[str, Any]]


def rows(count: int = 12) -> Rows:
    return [{"id": f"row-{n}", "instruction": f"Question {n}?", "output": f"Answer {n}."} for n in range(count)]


def write(path: Path, records: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def pool_of(folder: Path, records: Sequence[Any], name: str = "pool.jsonl") -> Pool:
    return Pool.read(write(folder / name, records))


def by_line(pool: Pool, table: ScoreTable, symbol: str = "reward") -> dict[int, float | None]:
    return dict(zip(pool.places["line"].to_list(), table.frame[symbol].to_list(), strict=True))


def test_a_score_is_that_of_the_row_of_its_id_whatever_the_order(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows())
    scores = [{"id": f"row-{n}", "reward": n / 3} for n in range(12)]
    random.Random(0).shuffle(scores)
    path = write(tmp_path / "s.jsonl", scores)
    table = score(pool, [ImportedScores("reward", path, better="higher", unit_of_values="logit")])
    assert by_line(pool, table) == {n + 1: n / 3 for n in range(12)}
    entry = table.manifest["indicators"]["reward"]
    assert entry["unit"] == "logit" and entry["nulls"] == {}
    assert entry["imported"] == {
        "files": [{"name": "s.jsonl", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": 12}],
        "joined_by": "the field 'id'",
        "matched": 12,
        "unused_rows": 0,
        "repeated_rows": 0,
        "booleans": 0,
        "column": "reward",
        "direction": "higher",
    }


def test_values_keep_every_bit(tmp_path: Path) -> None:
    values = [0.1, -0.0, 5e-324, 1 / 3, 123456789.123456789, -1e149, float(2**53 - 1), math.nextafter(1.0, 2.0)]
    pool = pool_of(tmp_path, rows(8))
    records = [{"id": f"row-{n}", "reward": value} for n, value in enumerate(values)]
    write(tmp_path / "s.jsonl", records)
    pl.DataFrame(records).write_parquet(tmp_path / "s.parquet")
    (tmp_path / "s.csv").write_text("id,reward\n" + "".join(f"{record['id']},{record['reward']!r}\n" for record in records))
    (tmp_path / "s.tsv.gz").write_bytes(
        gzip.compress(("id\treward\n" + "".join(f"{r['id']}\t{r['reward']!r}\n" for r in records)).encode())
    )
    for name in ("s.jsonl", "s.parquet", "s.csv", "s.tsv.gz"):
        held = by_line(pool, score(pool, [ImportedScores("reward", tmp_path / name)]))
        assert [struct.pack("<d", held[n + 1]) for n in range(8)] == [struct.pack("<d", value) for value in values], name


def test_what_is_no_finite_number_is_null_with_its_reason(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(6))
    cells = ["NaN", "-Infinity", "null", "1e300", "0.5"]
    (tmp_path / "s.jsonl").write_text("".join(f'{{"id": "row-{n}", "reward": {cell}}}\n' for n, cell in enumerate(cells)))
    (tmp_path / "s.csv").write_text("id,reward\nrow-0,nan\nrow-1,-inf\nrow-2,\nrow-3,1e300\nrow-4,0.5\n")
    frame = pl.DataFrame({"id": [f"row-{n}" for n in range(5)], "reward": [math.nan, -math.inf, None, 1e300, 0.5]})
    frame.write_parquet(tmp_path / "s.parquet")
    for name in ("s.jsonl", "s.csv", "s.parquet"):
        table = score(pool, [ImportedScores("reward", tmp_path / name, max_unmatched_fraction=1)])
        assert table.null_counts("reward") == {"no_imported_score": 2, "not_finite": 2, "out_of_range": 1}, name
        assert by_line(pool, table)[5] == 0.5


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('"0.5"', "s.jsonl, line 3: reward is the text '0.5', not a number"),
        ("[1]", "reward is a list"),
        ('{"a": 1}', "reward is an object"),
        (str(2**53 + 1), "beyond 2^53"),
    ],
)
def test_a_cell_that_is_no_number_refuses_the_file_and_is_named(tmp_path: Path, cell: str, words: str) -> None:
    pool = pool_of(tmp_path, rows(3))
    (tmp_path / "s.jsonl").write_text(f'{{"id": "row-0", "reward": 1}}\n\n{{"id": "row-1", "reward": {cell}}}\n')
    with pytest.raises(ScoresError, match=r"not a number|beyond|reward is") as refused:
        score(pool, [ImportedScores("reward", tmp_path / "s.jsonl")])
    assert words in str(refused.value)


def test_true_and_false_are_one_and_zero_and_counted(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(4))
    write(tmp_path / "s.jsonl", [{"id": f"row-{n}", "good": n % 2 == 0} for n in range(4)])
    table = score(pool, [ImportedScores("good", tmp_path / "s.jsonl")])
    assert by_line(pool, table, "good") == {1: 1.0, 2: 0.0, 3: 1.0, 4: 0.0}
    assert table.manifest["indicators"]["good"]["imported"]["booleans"] == 4


def test_order_counts_rows_that_were_dropped_and_quarantined(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in rows(6)]
    lines[1] = "{broken"
    lines[3] = json.dumps({"instruction": "", "output": ""})
    (tmp_path / "pool.jsonl").write_text("\n".join(lines) + "\n\n")
    (tmp_path / "more.jsonl").write_text(json.dumps({"instruction": "More?", "output": "More."}) + "\n")
    pool = Pool.read(tmp_path / "pool.jsonl", tmp_path / "more.jsonl")
    write(tmp_path / "s.jsonl", [{"reward": n} for n in range(7)])
    table = score(pool, [ImportedScores("reward", tmp_path / "s.jsonl", join="order")])
    held = {(file, line): value for file, line, value in zip(*pool.places.get_columns(), table.frame["reward"], strict=True)}
    assert all(held["pool.jsonl", line] == line - 1 for line in (1, 3, 5, 6)) and held["more.jsonl", 1] == 6
    write(tmp_path / "s.jsonl", [{"reward": n} for n in range(6)])
    with pytest.raises(ScoresError, match="6 rows and the pool's files have 7"):
        score(pool, [ImportedScores("reward", tmp_path / "s.jsonl", join="order")])


def test_two_values_of_one_id_are_refused_and_one_value_twice_is_counted(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(4))
    same = [{"id": f"row-{n % 4}", "reward": n % 4} for n in range(6)]
    table = score(pool, [ImportedScores("reward", write(tmp_path / "s.jsonl", same))])
    assert table.manifest["indicators"]["reward"]["imported"]["repeated_rows"] == 2
    same[5]["reward"] = 9
    with pytest.raises(ScoresError, match=r"line 2 and .*t\.jsonl, line 6 have the id 'row-1' and two values"):
        score(pool, [ImportedScores("reward", write(tmp_path / "t.jsonl", same), join="id")])


def test_ids_that_match_nothing_are_counted_and_too_few_matches_are_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(10))
    path = write(tmp_path / "s.jsonl", [{"id": f"row-{n}", "reward": 0.5} for n in range(5, 17)])
    table = score(pool, [ImportedScores("reward", path)])
    assert table.null_counts("reward") == {"no_imported_score": 5}
    assert table.manifest["indicators"]["reward"]["imported"]["unused_rows"] == 7
    with pytest.raises(ScoresError, match="only 5 of 10 examples have a row"):
        score(pool, [ImportedScores("reward", path, max_unmatched_fraction=0.4)])
    write(path, [{"id": f"row-{n}", "reward": 0.5 if n < 4 else None} for n in range(10)])
    with pytest.raises(TooManyNulls, match="no value in 6 of 10"):
        score(pool, [ImportedScores("reward", path)])
    with pytest.raises(ScoresError, match="Its id matches no example"):
        score(pool, [ImportedScores("reward", write(path, [{"id": n, "reward": 0.5} for n in range(10)]))])


def test_our_own_ids_join_what_with_scores_wrote(tmp_path: Path) -> None:
    from instructsel.scores.with_scores import write_with_scores

    pool = pool_of(tmp_path, [{key: row[key] for key in ("instruction", "output")} for row in [*rows(5), rows(1)[0]]])
    table = score(pool, ["len"])
    write_with_scores(pool, table, tmp_path / "scored.parquet")
    table.write(tmp_path / "pool.scores.csv")
    for name, column in (("scored.parquet", "instructsel_len"), ("pool.scores.csv", "len")):
        again = score(pool, [ImportedScores(column, tmp_path / name, "words")])
        assert again.frame["words"].to_list() == table.frame["len"].to_list()
        assert "instructsel's id" in again.manifest["indicators"]["words"]["imported"]["joined_by"]


def test_rows_that_repeat_the_texts_join_by_them(tmp_path: Path) -> None:
    records = [{key: row[key] for key in ("instruction", "output")} for row in rows(9)]
    pool = pool_of(tmp_path, records)
    scored = [{**record, "input": "", "reward": n} for n, record in enumerate(records)]
    random.Random(1).shuffle(scored)
    table = score(pool, [ImportedScores("reward", write(tmp_path / "s.jsonl", scored[:7]))])
    held = by_line(pool, table)
    assert sum(value is not None for value in held.values()) == 7 and all(value in (None, line - 1) for line, value in held.items())
    assert table.manifest["indicators"]["reward"]["imported"]["joined_by"] == "the fields instruction, input, output"


def test_rows_that_belong_together_by_number_and_hold_other_texts_are_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, [{**row, "id": n} for n, row in enumerate(rows(5))])
    other = [{"id": n, "instruction": f"Another {n}?", "reward": n} for n in range(5)]
    for join in ("auto", "id", "order", "row=id"):
        with pytest.raises(ScoresError, match="hold another instruction"):
            score(pool, [ImportedScores("reward", write(tmp_path / "s.jsonl", other), join=join)])


def test_a_field_that_several_rows_share_joins_only_when_it_is_named(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, [{**row, "id": None, "prompt_id": n // 2} for n, row in enumerate(rows(6))])
    path = write(tmp_path / "s.jsonl", [{"prompt_id": n, "reward": n} for n in range(3)])
    with pytest.raises(ScoresError, match="share their prompt_id"):
        score(pool, [ImportedScores("reward", path)])
    assert by_line(pool, score(pool, [ImportedScores("reward", path, join="prompt_id")])) == {1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 2}


def test_fields_of_two_names_and_row_numbers_join(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(4))
    path = write(tmp_path / "s.jsonl", [{"key": f"row-{n}", "index": n, "scores": {"Helpful-ness": n / 2}} for n in reversed(range(4))])
    for join in ("id=key", "row=index"):
        files = ScoreFiles(path, ["scores.Helpful-ness"], join=join)
        table = score(pool, [ImportedScores("scores.Helpful-ness", files)])
        assert by_line(pool, table, "scores_helpful_ness") == {1: 0, 2: 0.5, 3: 1, 4: 1.5}


def test_several_files_hold_parts_of_the_rows_and_of_the_columns(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, rows(6))
    paths = [
        write(tmp_path / "a.jsonl", [{"id": f"row-{n}", "x": n} for n in range(3)]),
        write(tmp_path / "b.jsonl", [{"id": f"row-{n}", "x": n} for n in range(3, 6)]),
        write(tmp_path / "c.jsonl", [{"id": f"row-{n}", "y": -n} for n in range(6)]),
    ]
    files = ScoreFiles(paths, ["x", "y"])
    table = score(pool, [ImportedScores("x", files), ImportedScores("y", files), "len"])
    assert by_line(pool, table, "x") == {n + 1: n for n in range(6)} and by_line(pool, table, "y") == {n + 1: -n for n in range(6)}
    assert [file["name"] for file in table.manifest["indicators"]["x"]["imported"]["files"]] == ["a.jsonl", "b.jsonl"]


def test_a_field_of_the_pools_own_rows_is_a_column(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, [{**row, "meta": {"quality": n / 7}} for n, row in enumerate(rows(5))])
    table = score(pool, [ImportedScores("meta.quality", name="quality")])
    assert by_line(pool, table, "quality") == {n + 1: n / 7 for n in range(5)}
    assert table.manifest["indicators"]["quality"]["imported"]["joined_by"] == "the pool's own rows"
    with pytest.raises(ScoresError, match="No row of the pool has a field reward"):
        score(pool, [ImportedScores("reward")])
    with pytest.raises(ScoresError, match=r"pool\.jsonl, line 1: instruction is the text"):
        score(pool, [ImportedScores("instruction")])


def test_a_symbol_that_cannot_be_is_refused_with_another_one() -> None:
    for column in ("rew", "knn_9", "id", "len_reason", "9lives", "a" * 80, "奖励"):
        with pytest.raises(UsageError, match="--column my_"):
            ImportedScores(column)
    assert symbol_of("gpt-4o-mini") == ImportedScores("gpt-4o-mini").symbol == "gpt_4o_mini"


def test_a_file_that_is_no_table_of_scores_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"3\n", b"[1, 2]", b'{"a": 1}\n{', b"\x1f\x8bzz", b"a,b\n1\n", b"PK\x03\x04aa", b'{"id": "x"}\n'):
        path = tmp_path / "s.jsonl"
        path.write_bytes(content)
        with pytest.raises(ScoresError):
            ScoreFiles(path, ["reward"]).holding("reward")
    for name in ("-", "hf://a/b"):
        with pytest.raises(UsageError):
            read_score_file(name, ["reward"])


def test_the_same_rows_give_the_same_table_whatever_the_order_of_file_and_pool(tmp_path: Path) -> None:
    records = [{"id": f"row-{n}", "reward": n / 3 if n % 4 else None} for n in range(12)]
    first = score(pool_of(tmp_path, rows()), [ImportedScores("reward", write(tmp_path / "s.jsonl", records))])
    second = score(pool_of(tmp_path, rows()[::-1], "other.jsonl"), [ImportedScores("reward", tmp_path / "s.jsonl")])
    assert first.fingerprint == second.fingerprint
    assert first.frame.drop("file", "line").equals(second.frame.drop("file", "line"))
