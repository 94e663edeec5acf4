"""The pool: order, ids, containers, export, and that nothing depends on arrival."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import PoolError, UnknownExample, UsageError
from instructsel.pool.lines import Limits
from instructsel.pool.pool import Pool
from instructsel.pool.sources import zstd
from instructsel.pool.stretches import raw_digest

ROWS = [{"instruction": f"Question {n}?", "input": "" if n % 3 else "given", "output": f"Answer {n}\u2028é {'x' * n}"} for n in range(20)]


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def csv_bytes(rows: list[dict[str, str]], delimiter: str) -> bytes:
    return pl.DataFrame(rows).write_csv(separator=delimiter).encode()


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> bytes:
    pl.DataFrame(rows).write_parquet(path)
    return path.read_bytes()


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, bytes]:
    return {
        ".jsonl": jsonl(ROWS),
        ".json": json.dumps(ROWS, indent=2).encode(),
        ".csv": csv_bytes(ROWS, ","),
        ".tsv": csv_bytes(ROWS, "\t"),
        ".parquet": parquet(tmp_path / "source.parquet", ROWS),
    }


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_container_gives_the_same_examples(tmp_path: Path, contents: dict[str, bytes], kind: str, packing: str) -> None:
    expected = Pool.read(save(tmp_path / "expected.jsonl", contents[".jsonl"]))
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}[packing]
    pool = Pool.read(save(tmp_path / f"pool{kind}{packing}", pack(contents[kind])))
    assert pool.ids == expected.ids
    assert [example.messages for example in pool.examples()] == [example.messages for example in expected.examples()]
    assert (pool.report.read, pool.report.kept) == (20, 20)
    assert set(pool.sources) == {"pool"}


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_export_keeps_the_rows_as_they_were(tmp_path: Path, contents: dict[str, bytes], kind: str) -> None:
    pool = Pool.read(save(tmp_path / f"pool{kind}", contents[kind]))
    chosen = [pool.position(name) for name in random.Random(1).sample(pool.ids, 7)]
    out = tmp_path / f"out{kind}"
    assert pool.write(out, chosen) == 7
    again = Pool.read(out)
    assert sorted(again.ids) == sorted(pool.ids[position] for position in chosen)
    if kind in (".jsonl", ".csv", ".tsv"):
        original = contents[kind].splitlines(keepends=True) if kind == ".jsonl" else None
        lines = [pool.locate(position)[1][0] for position in chosen]
        if original is not None:
            assert out.read_bytes() == b"".join(contents[kind].split(b"\n")[line - 1] + b"\n" for line in lines)
    if kind == ".parquet":
        assert pl.read_parquet(out).schema == pl.read_parquet(tmp_path / "pool.parquet").schema
        assert pl.read_parquet(out)["instruction"].to_list() == [
            pl.read_parquet(tmp_path / "pool.parquet")["instruction"][pool.locate(p)[1][0] - 1] for p in chosen
        ]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_export_has_the_same_bytes_every_time(tmp_path: Path, ending: str) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    written = []
    for name in ("a", "b"):
        pool.write(tmp_path / f"{name}.jsonl{ending}", range(5))
        written.append((tmp_path / f"{name}.jsonl{ending}").read_bytes())
    assert written[0] == written[1]
    assert len(Pool.read(tmp_path / f"a.jsonl{ending}")) == 5


def test_line_ends_and_odd_spacing_survive_export(tmp_path: Path) -> None:
    odd = b'{ "output" : "b" ,"instruction":"a","n":12345678901234567890123,"e":"\\u00e9" }\r\n{"instruction":"c","output":"d"}'
    pool = Pool.read(save(tmp_path / "pool.jsonl", b"\xef\xbb\xbf" + odd))
    rows = sorted(range(2), key=lambda position: pool.locate(position)[1])
    pool.write(tmp_path / "out.jsonl", rows)
    assert (tmp_path / "out.jsonl").read_bytes() == odd + b"\n"


def test_nothing_depends_on_the_order_of_rows_or_files(tmp_path: Path) -> None:
    rows = [*ROWS, ROWS[0], {**ROWS[0], "extra": 1}, ROWS[3]]
    first = Pool.read(save(tmp_path / "one.jsonl", jsonl(rows[:11])), save(tmp_path / "two.jsonl", jsonl(rows[11:])))
    for seed in range(20):
        shuffled = tmp_path / str(seed)
        shuffled.mkdir()
        parts = {"one.jsonl": list(rows[:11]), "two.jsonl": list(rows[11:])}
        for part in parts.values():
            random.Random(seed).shuffle(part)
        paths = [save(shuffled / name, jsonl(part)) for name, part in parts.items()]
        pool = Pool.read(*(paths if seed % 2 else reversed(paths)))
        assert (pool.ids, pool.sources, pool.fingerprint) == (first.ids, first.sources, first.fingerprint)
        pool.write(shuffled / "out.jsonl", range(len(pool)))
        first.write(tmp_path / "out.jsonl", range(len(first)))
        assert (shuffled / "out.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_equal_examples_are_numbered_and_ids_are_in_text_order(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl([{**ROWS[0], "n": n} for n in range(12)] + ROWS[1:3])))
    assert pool.ids == sorted(pool.ids)
    suffixes = [
        name.partition(".")[2] for name in pool.ids if name.startswith(Pool.read(save(tmp_path / "one.jsonl", jsonl([ROWS[0]]))).ids[0])
    ]
    assert sorted(suffixes, key=lambda text: int(text or 0)) == ["", *map(str, range(1, 12))]


def test_the_fingerprint_sees_every_byte_of_a_row(tmp_path: Path) -> None:
    prints = {Pool.read(save(tmp_path / "pool.jsonl", jsonl([{**ROWS[0], "tag": tag}]))).fingerprint for tag in ("a", "b")}
    assert len(prints) == 2


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "pool.jsonl", jsonl(ROWS))
    with pytest.raises(UsageError, match="named twice"):
        Pool.read(path, tmp_path / "." / "pool.jsonl")


def test_several_formats_need_a_common_one_to_be_written(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]}
    pool = Pool.read(save(tmp_path / "a.jsonl", jsonl(ROWS)), save(tmp_path / "b.jsonl", jsonl([chat])))
    with pytest.raises(UsageError, match="several formats"):
        pool.write(tmp_path / "out.jsonl", range(3))
    pool.write(tmp_path / "out.jsonl", range(len(pool)), to="messages")
    assert Pool.read(tmp_path / "out.jsonl").ids == pool.ids


def test_an_output_of_another_kind_is_refused(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    with pytest.raises(UsageError, match=r"names CSV\. Name an output ending in \.jsonl"):
        pool.write(tmp_path / "out.csv", [0])


def test_take_and_sample_keep_ids_and_order(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    part = pool.take([pool.ids[5], pool.ids[2]])
    assert part.ids == [pool.ids[2], pool.ids[5]]
    assert pool.sample(4, seed=1).ids == pool.sample(4, seed=1).ids != pool.sample(4, seed=2).ids
    with pytest.raises(UsageError):
        pool.sample(21, seed=0)


def test_an_example_is_found_by_a_beginning_of_its_id_and_by_its_line(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    assert pool.position(pool.ids[3][:12]) == 3
    assert pool.locate(pool.position("pool.jsonl:7"))[1] == (7,)
    for wrong in ("nothing-like-it", pool.ids[3][:4], "pool.jsonl:99"):
        with pytest.raises(UnknownExample):
            pool.position(wrong)


def test_batches_are_frames_in_the_order_of_ids(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    frames = list(pool.batches(6))
    assert [frame.height for frame in frames] == [6, 6, 6, 2]
    assert list(itertools.chain.from_iterable(frame["id"].to_list() for frame in frames)) == pool.ids


def test_a_csv_without_a_header_is_read_with_named_columns(tmp_path: Path) -> None:
    path = save(tmp_path / "pool.csv", b'"How, much?",B\nWhen?,C\n')
    with pytest.raises(PoolError, match="--columns"):
        Pool.read(path)
    pool = Pool.read(path, columns=["question", "answer"])
    assert pool.report.read == 2
    pool.write(tmp_path / "out.csv", [pool.position("pool.csv:1")])
    assert (tmp_path / "out.csv").read_bytes() == b'"How, much?",B\n'


def test_a_ragged_record_is_quarantined_with_its_place(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.csv", b"question,answer\n1?,2\n3?\n4?,5,6\n"))
    assert [(entry.line, entry.offset, entry.reason) for entry in pool.report.quarantine] == [(3, 21, "ragged_row"), (4, 24, "ragged_row")]


def test_every_bad_row_is_quarantined_with_file_line_offset_and_reason(tmp_path: Path) -> None:
    good = b'{"instruction": "a", "output": "b"}'
    bad = [b'{"a": NaN}', b"[1]", b'{"instruction": "a", "output": ["b"]}', b'{"instruction": "x"}']
    content = b"\n".join([good, bad[0], good, *bad[1:], good])
    pool = Pool.read(save(tmp_path / "pool.jsonl", content))
    found = [(entry.line, entry.reason) for entry in pool.report.quarantine]
    assert found == [(2, "not_finite"), (4, "not_an_object"), (5, "not_text"), (6, "missing_field")]
    for entry in pool.report.quarantine:
        assert content[entry.offset :].split(b"\n")[0] == content.split(b"\n")[entry.line - 1]
    assert pool.report.read == 7 == pool.report.kept + pool.report.n_quarantined


@pytest.mark.parametrize(
    ("name", "content", "said_so"),
    [
        ("empty.jsonl", b"", "empty"),
        ("blank.jsonl", b" \n\n", "empty"),
        ("pool.jsonl.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        ("pool.yaml", b"- instruction: x\n", "not a pool format"),
        ("pool.json", b'{\n "data": [\n  {"instruction": "x", "output": "y"}\n ]\n}\n', "one JSON object"),
        ("pool.jsonl", b'{"version": 1, "data": [{"instruction": "x", "output": "y"}]}\n', "one JSON object"),
        ("pool.parquet", b"PAR1 nonsense", "cannot be read"),
        ("pool.parquet", b'{"instruction": "x", "output": "y"}', "does not begin as Parquet"),
        ("pool.jsonl.zst", zstd.compress(jsonl(ROWS))[:-10], "cut off"),
        ("pool.jsonl.gz", gzip.compress(jsonl(ROWS))[:-10], "cut off"),
        ("pool.jsonl.gz", gzip.compress(zstd.compress(jsonl(ROWS))), "archive inside"),
        ("pool.jsonl.xz", b"\xfd7zXZ\x00rest", "xz archives are not read"),
        ("pool.zip", b"PK\x03\x04rest", "zip archives are not read"),
    ],
)
def test_what_cannot_be_a_pool_is_refused_by_name(tmp_path: Path, name: str, content: bytes, said_so: str) -> None:
    with pytest.raises(PoolError, match=said_so) as found:
        Pool.read(save(tmp_path / name, content))
    assert name in str(found.value)


def test_where_refused_files_are_taken_note_of_the_others_are_read_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    good = [save(tmp_path / f"{name}.jsonl", jsonl(ROWS[start : start + 3])) for name, start in (("a", 0), ("z", 3))]
    broken = save(tmp_path / "b.jsonl", b'{"a\n')
    notes = save(tmp_path / "n.json", b'{"title": "x"}')
    cut = save(tmp_path / "c.jsonl.gz", b"\x1f\x8b\x08\x00cut")
    refused: list[tuple[str, int]] = []
    pool = Pool.read(good[0], broken, notes, cut, good[1], refused=lambda name, _, rows: refused.append((name, rows)))
    assert refused == [(str(broken), 1), (str(notes), 1), (str(cut), 0)]
    assert list(pool.ids) == list(Pool.read(*good).ids)
    report = pool.report
    assert (report.read, report.kept, report.dropped, report.quarantined) == (8, 6, {"refused": 1}, {"truncated": 1})
    assert "n.json: refused: no known format has the fields title" in report.readings()
    with pytest.raises(PoolError, match=r"b\.jsonl") as caught:
        Pool.read(broken, notes, cut, refused=lambda name, _, rows: refused.append((name, rows)))
    assert caught.value.report is not None and caught.value.report.read == 2
    with pytest.raises(PoolError, match=r"b\.jsonl"):
        Pool.read(*good, broken)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="No such file"):
        Pool.read(tmp_path / "none.jsonl")
    with pytest.raises(PoolError, match="holds no file of a pool"):
        Pool.read(tmp_path)


def test_several_frames_and_members_are_one_file(tmp_path: Path) -> None:
    halves = [jsonl(ROWS[:10]), jsonl(ROWS[10:])]
    for name, pack in (("pool.jsonl.zst", zstd.compress), ("pool.jsonl.gz", gzip.compress)):
        assert len(Pool.read(save(tmp_path / name, b"".join(pack(half) for half in halves)))) == 20


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_decompression_bomb_is_stopped_at_the_ratio(tmp_path: Path, pack: Any) -> None:
    bomb = save(tmp_path / "bomb.jsonl.gz", pack(b"x" * (8 << 20)))
    with pytest.raises(PoolError, match="times its size"):
        Pool.read(bomb, limits=Limits(free_bytes=1 << 20))
    with pytest.raises(PoolError, match="more than 2,097,152 bytes"):
        Pool.read(bomb, limits=Limits(max_bytes=2 << 20))


def test_a_file_that_changed_since_it_was_read_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "pool.jsonl", jsonl(ROWS))
    pool = Pool.read(path)
    with open(path, "r+b") as file:
        file.write(b"z" * 200)
    with pytest.raises(PoolError, match="has changed"):
        list(pool.examples())


def test_an_export_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    victim = save(tmp_path / "victim.txt", b"precious")
    link = tmp_path / "out.jsonl"
    os.symlink(victim, link)
    Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS))).write(link, [0])
    assert victim.read_bytes() == b"precious"
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "name", ["..jsonl", "a b;$(x).jsonl", "-rf.jsonl", "\u202etxt.jsonl", "x" * 200 + ".jsonl", "con.jsonl", "%2e%2e.jsonl"]
)
def test_an_odd_name_stays_a_name(tmp_path: Path, name: str) -> None:
    pool = Pool.read(save(tmp_path / name, jsonl(ROWS)))
    assert set(pool.sources) == {name.removesuffix(".jsonl") or "pool"}


def test_a_hub_data_set_is_read_through_datasets(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "owner_name"
    folder.mkdir()
    pl.DataFrame(ROWS).write_parquet(folder / "train.parquet")
    pool = Pool.read(f"hf://{folder}:train")
    assert pool.ids == Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS))).ids
    assert set(pool.sources) == {"owner_name"}


@pytest.mark.skipif(sys.platform == "win32", reason="umask is POSIX")
def test_an_export_honors_the_umask(tmp_path: Path) -> None:
    pool = Pool.read(save(tmp_path / "pool.jsonl", jsonl(ROWS)))
    before = os.umask(0o027)
    try:
        pool.write(tmp_path / "out.jsonl", [0])
    finally:
        os.umask(before)
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o640


def test_places_name_the_file_and_the_line_of_every_example(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = save(tmp_path / "a" / "pool.jsonl", b"\n" + jsonl(ROWS[:3]))
    two = save(tmp_path / "b" / "pool.jsonl", jsonl(ROWS[3:5]))
    pool = Pool.read(one, two)
    assert pool.file_names == ("a/pool.jsonl", "b/pool.jsonl")
    assert Pool.read(one).file_names == ("pool.jsonl",)
    places = dict(zip(pool.ids, pool.places.rows(), strict=True))
    for position, name in enumerate(pool.ids):
        file, lines = pool.locate(position)
        assert file.endswith(places[name][0]) and lines[0] == places[name][1]
    assert sorted(places.values()) == [
        ("a/pool.jsonl", 2),
        ("a/pool.jsonl", 3),
        ("a/pool.jsonl", 4),
        ("b/pool.jsonl", 1),
        ("b/pool.jsonl", 2),
    ]
    assert pool.index["line"].to_list() == pool.places["line"].to_list()


def test_a_pool_shows_itself_in_one_line_and_in_a_notebook_without_anybodys_markup(tmp_path: Path) -> None:
    names = [f"<b>{n}\x1b[31m.jsonl" for n in range(8)]
    pool = Pool.read(*(save(tmp_path / name, jsonl(ROWS[n : n + 1]) + b"broken\n") for n, name in enumerate(names)))
    text, html = repr(pool), pool._repr_html_()
    assert text.startswith("Pool(8 examples from") and text.endswith("and 3 more; 16 rows read, 0 dropped, 8 quarantined)")
    assert len(text) < 400 and "\x1b" not in text + html and "\n" not in text
    assert "<b>" not in html and "&lt;b&gt;" in html and html.count("<tr>") == 6


def test_reading_tells_how_many_bytes_of_all_files_are_done(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.jsonl", jsonl(ROWS) * 200)
    packed = save(tmp_path / "b.jsonl.gz", gzip.compress(jsonl(ROWS) * 100))
    told: list[tuple[int, int]] = []
    Pool.read(plain, packed, progress=lambda done, total: told.append((done, total)))
    total = plain.stat().st_size + packed.stat().st_size
    assert {entry[1] for entry in told} == {total} and told[-1] == (total, total)
    assert [entry[0] for entry in told] == sorted(entry[0] for entry in told) and len(told) >= 7


@pytest.mark.parametrize("rows", [[{"instruction": "a", "output": "b"}], {"instruction": "a"}, None, 7])
def test_rows_in_memory_are_refused_with_what_to_do(rows: Any) -> None:
    with pytest.raises(UsageError, match="paths of files") as caught:
        Pool.read(rows)
    assert "Pool.of(rows)" in str(caught.value.fix)


def test_the_bytes_of_a_row_are_known_by_its_digest_whether_it_is_a_row_or_several(tmp_path: Path) -> None:
    turns = [
        {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Is rain wet?", "lang": "en"},
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Yes.", "lang": "en", "rank": 0},
    ]
    plain, table = save(tmp_path / "plain.jsonl", jsonl(ROWS)), save(tmp_path / "table.jsonl", jsonl(turns))
    for paths in ((plain,), (plain, table)):
        pool = Pool.read(*paths)
        expected = [int.from_bytes(raw_digest(pool.raw(position))) for position in range(len(pool))]
        assert pool.raw_digests.tolist() == expected
        assert pool.sample(5, 0).raw_digests.tolist() == [expected[pool.position(name)] for name in pool.sample(5, 0).ids]


@pytest.mark.parametrize("size", [0, 1 << 32])
def test_a_row_has_fewer_than_4_gibibytes(size: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 4,294,967,295 bytes"):
        Limits(max_line_bytes=size)
