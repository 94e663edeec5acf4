"""A field of the rows is their source, where it is named: for quotas, studies, audits and reports."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.row_sources import MOST_LABELS, row_sources
from instructsel.pool.spec import Reading
from instructsel.rules.by_indicator import by
from instructsel.scores.run import score
from instructsel.selection.choose import select
from instructsel.selection.selection_set import SelectionSet

ROWS = [
    {
        "instruction": f"Question {n}?",
        "output": "word " * (n + 1),
        "meta": {"from": "ab"[n % 2]},
        "number": n % 3,
        "odd": "x" if n == 7 else None,
    }
    for n in range(12)
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    target = tmp_path / "pool.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return target


def test_the_field_is_the_source_and_ids_and_fingerprint_stay(path: Path) -> None:
    plain, by_field = Pool.read(path), Pool.read(path, source_field="meta.from")
    assert set(plain.sources) == {"pool"} and Counter(by_field.sources) == {"a": 6, "b": 6}
    assert by_field.ids == plain.ids and by_field.fingerprint == plain.fingerprint
    assert [example.source for example in by_field.examples()] == by_field.sources == list(row_sources(by_field))
    lines = by_field.places["line"].to_list()
    assert by_field.sources == ["ab"[(line - 1) % 2] for line in lines]
    assert Counter(Pool.of(ROWS, source_field="number").sources) == {"0": 4, "1": 4, "2": 4}


def test_rows_without_the_field_have_their_file_and_a_part_keeps_its_sources(path: Path) -> None:
    pool = Pool.read(path, source_field="odd")
    assert Counter(pool.sources) == {"pool": 11, "x": 1} and pool.without_source == 11
    rest = pool.at([position for position, source in enumerate(pool.sources) if source == "pool"])
    assert set(rest.sources) == {"pool"} and len(rest) == 11
    said: list[str] = []
    Reading(source_field="odd").read([str(path)], message=said.append)
    assert any("sources by odd: pool 11, x 1" in line for line in said) and any("11 examples without it" in line for line in said)


def test_a_field_that_no_row_has_and_one_that_names_rows_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No row of the pool has a field nope .* instruction, output, meta"):
        Reading(source_field="nope").read([str(path)])
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps({"instruction": f"{n}?", "output": "a", "key": f"k{n}"}) + "\n" for n in range(MOST_LABELS + 2)))
    with pytest.raises(UsageError, match="names rows, and no sources"):
        Pool.read(many, source_field="key").sources  # noqa: B018


def test_quotas_go_by_the_field_and_every_record_says_so(path: Path) -> None:
    pool = Pool.read(path, source_field="meta.from")
    table = score(pool, ["len"])

    chosen = select(pool, table, by("-len"), budget=4, quotas={"b": 0.25})
    kept = [chosen.frame["source"][number] for number, is_kept in enumerate(chosen.frame["kept"]) if is_kept]
    assert Counter(kept) == {"a": 3, "b": 1}
    assert table.manifest["pool"]["sources"] == {"a": 6, "b": 6}
    assert table.spec is not None and table.spec.reading.source_field == "meta.from"


def test_the_command_line_records_the_field_and_select_can_name_another(path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == code, done.output
        return " ".join(done.stderr.split())

    run("score", "pool.jsonl", "--indicators", "len", "--source-field", "meta.from")
    run("select", "pool.scores.parquet", "--by", "-len", "--n", "4", "--quota", "b=0.25", "-o", "one.jsonl")
    text = run(
        "select", "pool.scores.parquet", "--by", "-len", "--n", "4", "--quota", "2=0.25", "--source-field", "number", "-o", "two.jsonl"
    )
    assert "sources by number: 0 4, 1 4, 2 4" in text
    assert [json.loads(line)["meta"]["from"] for line in Path("one.jsonl").read_text().splitlines()].count("b") == 1
    assert [json.loads(line)["number"] for line in Path("two.jsonl").read_text().splitlines()].count(2) == 1
    assert SelectionSet.read("two.jsonl").selection.file == Path("two.jsonl")
    assert "there are instruction" in run("select", "pool.scores.parquet", "--by", "-len", "--n", "4", "--source-field", "no", code=2)
