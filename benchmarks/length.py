"""Reading a pool and counting `len`, beside the shortest script that does it: orjson.loads a line, and the same tokenizer.

    python benchmarks/length.py ../shared/data/pools/alpaca.jsonl.zst --rows 20000

What the script leaves out: formats, faults and quarantine, ids, sources, provenance, the order of ids. Values are asserted
equal. Runs alternate; processor seconds are compared, since the machine may have other work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import _record
import orjson

from instructsel import Pool, score
from instructsel.indicators._tokenizer import tokenizer
from instructsel.pool.lines import Limits
from instructsel.pool.sources import open_source

WINDOW = 8192
"""Texts a call of the tokenizer gets, on both sides."""


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", help="JSON lines, also compressed, with one response field")
    parser.add_argument("--field", default="output", help="the field of the response")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        source = open_source(options.pool, Limits())
        source.file.seek(0)
        lines = source.file.readlines()[: options.rows]
        path.write_bytes(b"".join(lines))
        counter = tokenizer("embedded", None)
        counter.encode_batch(["to have it loaded"])
        seconds: dict[str, list[float]] = {"reading": [], "ours": [], "script": [], "script_with_fast_batches": []}
        for _ in range(options.repeats):
            started = time.process_time()
            pool = Pool.read(path)
            seconds["reading"].append(time.process_time() - started)
            table = score(pool, "len")
            seconds["ours"].append(time.process_time() - started)
            for name, encode in (("script", counter.encode_batch), ("script_with_fast_batches", counter.encode_batch_fast)):
                started = time.process_time()
                with open(path, "rb") as file:
                    texts = [orjson.loads(line)[options.field] for line in file]
                counts = []
                for first in range(0, len(texts), WINDOW):
                    batch = encode(texts[first : first + WINDOW], add_special_tokens=False)
                    counts += [len(encoding.ids) for encoding in batch]
                seconds[name].append(time.process_time() - started)
        ours = dict(zip(table.frame["line"], table.frame["len"], strict=True))
        assert all(ours[line] == (count if texts[line - 1].strip() else None) for line, count in enumerate(counts, 1))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        "pool": options.pool.rsplit("/", 1)[-1],
        "rows": len(lines),
        "tokens": sum(counts),
        "processor_seconds": seconds,
        "median_processor_seconds": medians,
        "ratio": medians["ours"] / medians["script"],
        "ratio_to_fast_batches": medians["ours"] / medians["script_with_fast_batches"],
        "load_average": os.getloadavg()[0],
    }
    print({key: figures[key] for key in ("median_processor_seconds", "ratio", "ratio_to_fast_batches", "load_average")})
    print(_record.write(f"length_{pool.files[0].format.name}", figures, "tokenizers", "orjson"))


if __name__ == "__main__":
    main()
