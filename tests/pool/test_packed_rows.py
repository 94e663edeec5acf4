"""A small file that unpacks to very many rows, or to very long ones, is refused before it takes the processor or the memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel import Pool
from instructsel.errors import PoolError
from instructsel.pool import stretches
from instructsel.pool.lines import Limits
from instructsel.pool.sources import zstd

PAIR = b'{"instruction": "a", "output": "b"}'
FEW = Limits(free_rows=1_000)


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pool.json", b"[" + b"[]," * 40_000 + PAIR + b"]"),
        ("pool.json", b"[" + PAIR + b",[]" * 40_000 + b"]"),
        ("pool.jsonl", PAIR + b"\n" + b"[[],[],[],[]]\n" * 9_000),
        ("pool.jsonl", b"{}\n" * 9_000),
        ("pool.jsonl", (PAIR + b"\n") * 9_000),
        ("pool.jsonl", (PAIR + b" ") * 9_000),
        ("pool.jsonl", b"\n" * 200_000 + PAIR),
        ("pool.csv", b"instruction,output\n" + b"a,b\n" * 9_000),
    ],
)
def test_a_packed_file_with_more_rows_than_its_size_has_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, pack: Any, large: int
) -> None:
    monkeypatch.setattr(stretches, "LARGE", large)
    monkeypatch.setattr(stretches, "STRETCH", 10_000)
    path = tmp_path / f"{name}.{'gz' if pack is gzip.compress else 'zst'}"
    path.write_bytes(pack(data))
    with pytest.raises(PoolError, match=r"more than 1,\d\d\d rows in a compressed file|lines in \d+ bytes") as refused:
        Pool.read(path, limits=FEW)
    assert "bomb" in str(refused.value.fix)
    plain = tmp_path / name
    plain.write_bytes(data)
    if data.startswith((PAIR, b"[" + PAIR)):
        assert len(Pool.read(plain, limits=FEW)) > 0


@pytest.mark.parametrize("write", ["write_parquet", "write_ipc", "write_ipc_stream"])
def test_a_table_with_more_rows_than_its_size_has_room_for_is_refused(tmp_path: Path, write: str) -> None:
    frame = pl.DataFrame({"instruction": ["a"] * 50_000, "output": ["b"] * 50_000})
    path = tmp_path / ("pool.parquet" if write == "write_parquet" else "pool.arrow")
    getattr(frame, write)(path, compression="zstd")
    with pytest.raises(PoolError, match="it holds more rows than a file of its size may"):
        Pool.read(path, limits=FEW)
    assert len(Pool.read(path)) == 50_000


def test_rows_that_say_something_take_the_room(tmp_path: Path) -> None:
    rows = [{"instruction": f"What is {n} times {n % 17}?", "output": str(n * (n % 17))} for n in range(20_000)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for name, pack in (("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", lambda data: zstd.compress(data, 19))):
        (tmp_path / name).write_bytes(pack(data))
        assert len(Pool.read(tmp_path / name, limits=Limits(free_rows=0))) == 20_000
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    assert len(Pool.read(tmp_path / "a.parquet", limits=Limits(free_rows=0))) == 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux counts it")
@pytest.mark.parametrize("texts", [20, 30, 60])
def test_a_small_arrow_file_that_unpacks_to_long_texts_takes_no_more_than_500_mb(tmp_path: Path, texts: int) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.ipc  # noqa: F401

    path = tmp_path / "bomb.arrow"
    table = pa.table({"instruction": ["a"] * texts, "output": pa.array(["x" * 10_000_000] * texts, pa.large_string())})
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer,
    ):
        writer.write_table(table)
    del table
    assert path.stat().st_size < 1 << 20
    reading = f"from instructsel.pool.pool import Pool\nfrom instructsel.errors import PoolError\ntry: print(len(Pool.read({str(path)!r})))\nexcept PoolError as error: print('refused', error)"
    measuring = "import resource, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]]); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"
    done = subprocess.run([sys.executable, "-c", measuring, reading], capture_output=True, text=True, check=True)
    said, peak = done.stdout.strip().splitlines()
    assert said.startswith("refused") and int(peak) <= 500, done.stdout
