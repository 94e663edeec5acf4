"""A baseline: what it holds, that it is the same however it was made, and that what is none is refused."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import BaselineError, PoolError, UsageError
from instructsel.gates.baseline.base import Order
from instructsel.gates.baseline.baseline import Baseline, is_baseline
from instructsel.gates.baseline.parts.prompts import Prompts
from instructsel.gates.baseline.registry import parts
from instructsel.gates.change import Change
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.reading import read_change
from instructsel.pool.pool import Pool

Rows = Sequence[dict[str, Any]]


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    words = ["ask", "say", "one", "two", "three", "four", "five", "six", "seven", "eight"]
    return [
        {
            "instruction": f"Question {seed}-{i}: {' '.join(draw.choices(words, k=8))}?",
            "output": " ".join(draw.choices(words, k=12)),
            "topic": words[i % 3],
        }
        for i in range(n)
    ]


def written(path: Path, content: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(*names: str, **options: Any) -> Baseline:
    return Baseline.create(Pool.read(*names, **options))


def bytes_of(baseline: Baseline, name: str = "made.baseline") -> bytes:
    baseline.write(name)
    return Path(name).read_bytes()


def test_a_baseline_that_is_updated_is_bit_for_bit_one_of_all_files() -> None:
    first, second = rows(40, 1), rows(30, 2)
    # The same content in both files, and within one.
    written(Path("a.jsonl"), first)
    written(Path("b.jsonl"), second + first[:5] + second[:2])
    together = bytes_of(made("a.jsonl", "b.jsonl"))
    assert bytes_of(made("a.jsonl").updated(Pool.read("b.jsonl"))) == together
    assert bytes_of(made("b.jsonl").updated(Pool.read("a.jsonl"))) == together
    assert bytes_of(made("b.jsonl", "a.jsonl")) == together


def test_sources_of_a_field_come_together_in_an_update() -> None:
    written(Path("a.jsonl"), [{**row, "topic": "b"} for row in rows(5, 1)])
    written(Path("b.jsonl"), rows(6, 2))
    together = made("a.jsonl", "b.jsonl", source_field="topic")
    updated = made("a.jsonl", source_field="topic").updated(Pool.read("b.jsonl", source_field="topic"))
    assert bytes_of(updated) == bytes_of(together)
    assert sorted(set(updated.identities.labels)) == ["ask", "b", "one", "say"]


def test_a_file_of_the_same_name_takes_the_place_of_what_it_was() -> None:
    first = rows(20)
    written(Path("a.jsonl"), first)
    before = made("a.jsonl")
    written(Path("a.jsonl"), first[1:] + rows(3, 9))
    assert bytes_of(before.updated(Pool.read("a.jsonl"))) == bytes_of(made("a.jsonl"))


def test_rows_of_another_reading_are_refused() -> None:
    written(Path("a.jsonl"), rows(5))
    with pytest.raises(UsageError, match="source_field"):
        made("a.jsonl").updated(Pool.read("a.jsonl", source_field="topic"))


def test_a_baseline_comes_back_and_is_the_same_file_again() -> None:
    written(Path("a.jsonl"), rows(12))
    baseline = made("a.jsonl")
    first = bytes_of(baseline)
    back = Baseline.read("made.baseline")
    assert back.fingerprint == baseline.fingerprint
    assert len(back) == 12
    assert bytes_of(back, "again.baseline") == first
    assert is_baseline("again.baseline")
    assert not is_baseline("a.jsonl")


def test_no_text_of_a_row_is_in_the_file() -> None:
    content = rows(30)
    written(Path("a.jsonl"), content)
    held = bytes_of(made("a.jsonl"))
    for row in content:
        for text in (row["instruction"], row["output"]):
            assert text.encode() not in held
            assert text[:12].encode() not in held


def test_any_safetensors_reader_opens_the_file() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    written(Path("a.jsonl"), rows(7))
    baseline = made("a.jsonl")
    baseline.write("made.baseline")
    arrays = safetensors.load_file("made.baseline")
    assert (arrays["identities/content"] == baseline.identities.content).all()


def test_every_place_is_that_of_the_pool() -> None:
    written(Path("a.jsonl"), rows(9, 1))
    written(Path("b.jsonl"), rows(9, 2))
    pool = Pool.read("a.jsonl", "b.jsonl")
    identities = Baseline.create(pool).identities
    positions = identities.find(pool.digests)
    for position, there in enumerate(positions.tolist()):
        name, lines = pool.locate(position)
        assert identities.place(there) == (name, lines[0])
        assert identities.labels[there] == pool.sources[position]
    assert (identities.find(np.array([[1, 2]], dtype=np.uint64)) == -1).all()


def damaged(change: Callable[[bytes], bytes]) -> None:
    path = Path("made.baseline")
    path.write_bytes(change(path.read_bytes()))


def every_part(name: str) -> None:
    """Read a baseline and its parts, which are compared with their digests when they are asked for."""
    baseline = Baseline.read(name)
    for part in baseline.about:
        baseline.part(part)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:4],
        lambda data: b"",
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        lambda data: data.replace(b"schema", b"schemb", 1),
        lambda data: data.replace(b"U64", b"U99", 1),
        lambda data: (1 << 60).to_bytes(8, "little") + data[8:],
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(change: Callable[[bytes], bytes]) -> None:
    written(Path("a.jsonl"), rows(8))
    made("a.jsonl").write("made.baseline")
    damaged(change)
    with pytest.raises(BaselineError) as refused:
        every_part("made.baseline")
    assert refused.value.exit_code == 3
    assert "\n" not in str(refused.value)
    assert "made.baseline" in str(refused.value)


def test_files_that_are_no_baseline_are_refused(tmp_path: Path) -> None:
    written(Path("a.jsonl"), rows(3))
    for name in ("a.jsonl", "absent.baseline", str(tmp_path)):
        with pytest.raises(BaselineError):
            Baseline.read(name)


def test_a_baseline_of_a_newer_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written(Path("a.jsonl"), rows(3))
    baseline = made("a.jsonl")
    manifest = {**baseline.manifest, "schema": 99}
    monkeypatch.setitem(vars(baseline), "manifest", manifest)
    baseline.write("made.baseline")
    with pytest.raises(BaselineError, match=r"newer instructsel \(schema 99"):
        Baseline.read("made.baseline")


def test_a_baseline_with_a_part_of_another_release_is_not_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    written(Path("a.jsonl"), rows(3))
    written(Path("b.jsonl"), rows(3, 9))
    with monkeypatch.context() as older:
        older.setattr(Prompts, "version", 0)
        made("a.jsonl").write("made.baseline")
    with pytest.raises(BaselineError, match="prompts is of another release, and cannot be extended"):
        Baseline.read("made.baseline").updated(Pool.read("b.jsonl"))


def test_an_unchanged_file_has_no_new_row() -> None:
    written(Path("data/a.jsonl"), rows(50))
    made("data/a.jsonl").write("pool.baseline")
    change = read_change(["data/a.jsonl"], baseline="pool.baseline")
    assert (len(change.pool), change.n_rows, change.known.rows) == (0, 0, 50)
    assert change.rows == ()
    assert change.baseline is not None
    assert change.known.statement(change.baseline.identities) == "50 rows are in the baseline already."
    assert not change.gone.any()


def test_the_new_rows_of_a_file_are_those_that_are_looked_at() -> None:
    content = rows(50)
    written(Path("a.jsonl"), content)
    made("a.jsonl").write("pool.baseline")
    new = rows(3, 7)
    written(Path("a.jsonl"), [*content[:10], new[0], *content[10:], *new[1:]])
    change = read_change(["a.jsonl"], baseline="pool.baseline")
    assert sorted((row.place.line, row.instruction) for row in change.rows) == [
        (line, row["instruction"]) for line, row in zip((11, 52, 53), new, strict=True)
    ]
    assert (change.n_rows, change.known.rows) == (3, 50)


def test_a_row_that_comes_once_more_is_new() -> None:
    content = rows(5)
    written(Path("a.jsonl"), content)
    made("a.jsonl").write("pool.baseline")
    written(Path("a.jsonl"), [*content, content[2]])
    assert [row.place.line for row in read_change(["a.jsonl"], baseline="pool.baseline").rows] == [6]


def test_the_same_rows_in_another_file_are_copies_and_are_looked_at() -> None:
    written(Path("a.jsonl"), rows(5))
    made("a.jsonl").write("pool.baseline")
    os.rename("a.jsonl", "b.jsonl")
    change = read_change(["b.jsonl"], baseline="pool.baseline")
    assert (len(change.rows), change.known.rows) == (5, 0)


def test_a_checkout_in_another_folder_is_known_and_said() -> None:
    written(Path("base/data/a.jsonl"), rows(5))
    made("base/data/a.jsonl").write("pool.baseline")
    written(Path("pr/data/a.jsonl"), rows(5))
    change = read_change(["pr/data/a.jsonl"], baseline="pool.baseline")
    assert change.baseline is not None
    assert (
        change.known.statement(change.baseline.identities) == "5 rows are in the baseline already (pr/data/a.jsonl as base/data/a.jsonl)."
    )


def test_of_two_files_of_one_name_the_one_whose_folders_agree_is_the_file_and_the_other_is_a_copy() -> None:
    for name in ("a/pool.jsonl", "b/pool.jsonl"):
        written(Path(name), rows(5))
    made("a/pool.jsonl").write("pool.baseline")
    for names in (["a/pool.jsonl", "b/pool.jsonl"], ["b/pool.jsonl", "a/pool.jsonl"]):
        change = read_change(names, baseline="pool.baseline")
        assert {row.place.file for row in change.rows} == {"b/pool.jsonl"}
        assert (len(change.rows), change.known.rows) == (5, 5)


def test_a_file_of_the_same_name_in_another_folder_is_a_copy_where_the_baseline_s_file_is_here_as_well() -> None:
    for name in ("old/train.jsonl", "new/train.jsonl"):
        written(Path(name), rows(5))
    made("old/train.jsonl").write("pool.baseline")
    change = read_change(["new/train.jsonl"], baseline="pool.baseline")
    assert (len(change.rows), change.known.rows) == (5, 0)
    assert not read_change(["old/train.jsonl"], baseline="pool.baseline").rows
    # Where it is no longer there, it may have moved.
    os.remove("old/train.jsonl")
    assert read_change(["new/train.jsonl"], baseline="pool.baseline").known.rows == 5


def test_the_old_wording_of_an_edited_row_is_gone_and_another_file_of_that_name_takes_nothing_away() -> None:
    content = rows(10)
    written(Path("a.jsonl"), content)
    made("a.jsonl").write("pool.baseline")
    written(Path("a.jsonl"), [{**content[0], "output": "better"}, *content[1:]])
    change = read_change(["a.jsonl"], baseline="pool.baseline")
    assert change.baseline is not None
    assert [change.baseline.identities.place(int(position))[1] for position in np.flatnonzero(change.gone)] == [1]
    written(Path("new/a.jsonl"), rows(4, 5))
    assert not read_change(["new/a.jsonl"], baseline="pool.baseline").gone.any()


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.jsonl.gz", "a.parquet"])
def test_files_that_are_not_read_by_lines_pass_over_what_is_known_too(name: str) -> None:
    import gzip

    import polars

    def write(content: Rows) -> None:
        if name.endswith(".json"):
            Path(name).write_text(json.dumps(list(content)))
        elif name.endswith(".gz"):
            Path(name).write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in content).encode(), mtime=0))
        elif name.endswith(".csv"):
            polars.DataFrame(list(content)).write_csv(name)
        else:
            polars.DataFrame(list(content)).write_parquet(name)

    content = rows(20)
    write(content)
    made(name).write("pool.baseline")
    assert len(read_change([name], baseline="pool.baseline").rows) == 0
    write([*content, rows(1, 8)[0]])
    change = read_change([name], baseline="pool.baseline")
    assert [row.instruction for row in change.rows] == [rows(1, 8)[0]["instruction"]]
    assert (change.n_rows, change.known.rows) == (1, 20)
    assert gate(change).as_dict()["rows"] == {"read": 1, "in_baseline": 20, "kept": 1, "dropped": {}, "quarantined": {}}


def test_a_new_row_that_is_broken_is_a_finding_and_no_refusal_of_the_file() -> None:
    content = rows(6)
    written(Path("a.jsonl"), content)
    made("a.jsonl").write("pool.baseline")
    with open("a.jsonl", "a") as file:
        file.write("{broken\n")
    change = read_change(["a.jsonl"], baseline="pool.baseline")
    verdict = gate(change)
    assert [str(finding.place) for finding in verdict.findings if finding.check == "IS001"] == ["a.jsonl:7"]
    assert change.n_rows == 1


def test_a_broken_row_that_the_baseline_has_is_not_found_again() -> None:
    written(Path("a.jsonl"), rows(6))
    with open("a.jsonl", "a") as file:
        file.write("{broken\n")
    made("a.jsonl").write("pool.baseline")
    with open("a.jsonl", "a") as file:
        file.write(json.dumps(rows(1, 4)[0]) + "\n")
    assert [finding.check for finding in gate(read_change(["a.jsonl"], baseline="pool.baseline")).findings] == []


def test_a_file_that_is_no_pool_stays_one() -> None:
    written(Path("a.jsonl"), rows(6))
    made("a.jsonl").write("pool.baseline")
    Path("b.jsonl").write_text("{broken\n")
    change = read_change(["b.jsonl"], baseline="pool.baseline")
    assert [file.name for file in change.unread] == ["b.jsonl"] and change.n_rows == 1
    with pytest.raises(PoolError, match=r"no file absent|There is no file|No such file"):
        read_change(["absent.jsonl"], baseline="pool.baseline")


def test_beside_a_file_that_is_no_pool_rows_that_are_known_are_passed_over_and_new_ones_are_not() -> None:
    written(Path("a.jsonl"), rows(6))
    made("a.jsonl").write("pool.baseline")
    Path("b.jsonl").write_text("{broken\n")
    change = read_change(["a.jsonl", "b.jsonl"], baseline="pool.baseline")
    assert [file.name for file in change.unread] == ["b.jsonl"] and (change.n_rows, change.known.rows, len(change.rows)) == (1, 6, 0)
    written(Path("a.jsonl"), rows(8))
    change = read_change(["a.jsonl", "b.jsonl"], baseline="pool.baseline")
    assert [file.name for file in change.unread] == ["b.jsonl"] and [row.place.line for row in change.rows] == [7, 8]
    # The one new row of a file is broken: that row is what is wrong, and not the file.
    with open("a.jsonl", "w") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows(6)) + "{broken\n")
    written(Path("c.jsonl"), rows(9)[8:])
    change = read_change(["a.jsonl", "c.jsonl"], baseline="pool.baseline")
    assert not change.unread and (change.n_rows, change.known.rows, len(change.rows)) == (2, 6, 1)


def test_a_broken_baseline_leaves_the_rows_to_be_looked_at() -> None:
    written(Path("a.jsonl"), rows(6))
    Path("pool.baseline").write_bytes(b"broken")
    change = read_change(["a.jsonl"], baseline="pool.baseline")
    assert len(change.rows) == 6
    assert change.fault is not None
    assert change.without() == change.fault.line
    verdict = gate(Pool.read("a.jsonl"), GateConfig((), baseline=Path("pool.baseline")))
    assert verdict.fault is not None


def test_a_byte_that_was_changed_in_any_part_is_a_broken_baseline_whatever_is_asked_of_it() -> None:
    written(Path("a.jsonl"), rows(6))
    made("a.jsonl").write("pool.baseline")
    whole = Path("pool.baseline").read_bytes()
    file = Baseline.read("pool.baseline").file
    assert file is not None
    for name, entry in file.entries.items():
        begin, end = entry["data_offsets"]
        if end > begin:
            place = file.start + (begin + end) // 2
            Path("pool.baseline").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
            assert read_change(["a.jsonl"], baseline="pool.baseline").fault is not None, name
            assert gate(Pool.read("a.jsonl"), GateConfig((), baseline=Path("pool.baseline"))).exit_code("error") == 3, name


def test_a_pool_that_was_read_before_has_the_same_new_rows() -> None:
    content = rows(12)
    written(Path("a.jsonl"), content)
    baseline = made("a.jsonl")
    written(Path("a.jsonl"), [*content, *rows(2, 3)])
    change = Change.of(Pool.read("a.jsonl"), baseline)
    assert sorted(row.place.line for row in change.rows) == [13, 14]
    assert change.n_rows == 2


def test_each_part_of_two_pools_is_bit_for_bit_that_of_both() -> None:
    written(Path("a.jsonl"), rows(25, 1))
    written(Path("b.jsonl"), rows(15, 2) + rows(25, 1)[:4])
    one, other, both = (made(*names) for names in (["a.jsonl"], ["b.jsonl"], ["a.jsonl", "b.jsonl"]))
    _, order = one.identities.merged(other.identities)
    for name in both.about:
        merged, built = parts()[name].merged(one.part(name), other.part(name), order), both.part(name)
        assert merged.about == built.about, name
        assert set(merged.arrays) == set(built.arrays), name
        for key, array in built.arrays.items():
            assert (merged.arrays[key] == array).all(), (name, key)
            assert merged.arrays[key].dtype == array.dtype, (name, key)


def test_an_order_says_where_examples_went() -> None:
    order = Order(np.array([2, 0]), 2, 1)
    first, second = order.places
    assert (first.tolist(), second.tolist()) == ([1, -1], [0])
    assert order.rows(np.array([10, 11]), np.array([20])).tolist() == [20, 10]
