"""Rows in their thousands and their millions: seconds and peak memory of reading, scoring, selecting and writing.

    python benchmarks/scale.py --rows 10000 100000 1000000

Makes Alpaca-like rows of made words (length mix of instruction data, shared prompts, exact and near duplicates, empty
responses), and takes each size through the Python face in a process of its own: read, len, mtld, a linear rule over len, 2% of
the rows without repetitions, the rows, their sidecar and the table of len written. Before it, orjson.loads over the lines,
to which the seconds are compared. Seconds by stage, those of the processor with what other processes of ours computed;
peak memory of this process as the system saw it (VmHWM) at the end of each stage.

    python benchmarks/scale.py --rows 10000000 --stages read len mtld
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import _record
import numpy as np
import orjson

SEED = 20231201
STAGES = ("read", "len", "mtld", "select")
CHUNK = 10_000
"""Rows made at a time."""
FUNCTION_WORDS = (
    "the of and to a in is it that for on with as are be this by or from at an not can which you have was they one all "
    "their when if more has will its other about into than some up out so what time only new also used most such these"
)
SYLLABLES = [first + vowel + last for first in "bcdfglmnprst" for vowel in ("a", "e", "i", "o", "u", "ea") for last in ("", "n", "r", "l")]
RULE = {
    "name": "scale",
    "intercept": 1.0,
    "terms": [{"indicator": "len", "weight": -0.0002}],
}


def vocabulary(rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """50,000 words and their cumulative probabilities: function words make three fifths of a text, Zipf the rest."""
    vocabulary_words: dict[str, None] = {}
    while len(vocabulary_words) < 50_000:
        vocabulary_words["".join(SYLLABLES[i] for i in rng.integers(0, len(SYLLABLES), int(rng.integers(1, 4))))] = None
    common = FUNCTION_WORDS.split()
    words = [*common, *(word for word in vocabulary_words if word not in common)]
    weights = 1 / np.arange(5, len(words) + 5)
    head = len(common)
    weights[:head] *= 0.6 / weights[:head].sum()
    weights[head:] *= 0.4 / weights[head:].sum()
    return words, np.cumsum(weights)


def rows(count: int) -> Iterator[bytes]:
    """The rows, the same for the same count."""
    rng = np.random.default_rng(SEED)
    words, cumulative = vocabulary(rng)
    word_array = np.array(words, dtype=object)

    def texts(lengths: np.ndarray) -> list[str]:
        drawn = word_array[np.minimum(np.searchsorted(cumulative, rng.random(int(lengths.sum()))), len(word_array) - 1)].tolist()
        ends = np.cumsum(lengths).tolist()
        return [" ".join(drawn[end - length : end]).capitalize() + "." for end, length in zip(ends, lengths.tolist(), strict=True)]

    prompts = [text[:-1] for text in texts(rng.integers(4, 12, 200))]
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        # Short answers, and a long tail: half of the responses are under 35 words, one in a hundred is over 250.
        responses = texts(np.clip(rng.lognormal(3.55, 0.85, size), 1, 800).astype(np.int64))
        subjects = texts(rng.integers(4, 25, size))
        kinds, drawn = rng.random(size), rng.integers(0, 1 << 30, (size, 3)).tolist()
        rows_of_text: list[tuple[str, str]] = []
        for kind, response, subject, (which, place, word) in zip(kinds.tolist(), responses, subjects, drawn, strict=True):
            if kind < 0.02 and rows_of_text:
                pair = rows_of_text[which % len(rows_of_text)]
            elif kind < 0.05 and rows_of_text:
                instruction, answer = rows_of_text[which % len(rows_of_text)]
                changed = answer.split(" ")
                changed[place % len(changed)] = words[word % len(words)]
                pair = instruction, " ".join(changed)
            else:
                instruction = f"{prompts[which % len(prompts)]}: {subject}" if kind < 0.35 else subject
                pair = instruction, "" if kind > 0.99 else response
            rows_of_text.append(pair)
            yield orjson.dumps({"instruction": pair[0], "input": "", "output": pair[1]}) + b"\n"


def peak() -> float:
    """The most memory this process ever held, in MB (10⁶ bytes)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def processor() -> float:
    """Seconds of the processor that this process and the others that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def parsed(path: Path) -> int:
    """The characters of all responses, by the shortest loop that parses every line."""
    with path.open("rb") as file:
        return sum(len(orjson.loads(line)["output"]) for line in file)


def digest(path: Path) -> str:
    """Of a file's content."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def job(pool_path: Path, out: Path, stages: tuple[str, ...]) -> dict[str, Any]:
    """Read, score, select and write one pool, as far as the stages go, and what it took."""
    from instructsel import LinearRule, Pool, score, select

    seconds: dict[str, float] = {}
    cpu: dict[str, float] = {}
    peaks: dict[str, float] = {"start": peak()}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        started, computed = time.perf_counter(), processor()
        result = work()
        seconds[name], cpu[name], peaks[name] = time.perf_counter() - started, processor() - computed, peak()
        print(f"{name}: {seconds[name]:.1f} s, {cpu[name]:.1f} s of processor, {peaks[name]:.0f} MB", file=sys.stderr, flush=True)
        return result

    stage("orjson alone", lambda: parsed(pool_path))
    pool = stage("read", lambda: Pool.read(pool_path))
    results: dict[str, Any] = {}
    if "mtld" in stages:
        stage("mtld", lambda: score(pool, "mtld"))
    if "len" in stages or "select" in stages:
        table = stage("len", lambda: score(pool, "len"))
        results["mean_len"] = float(np.mean(table.values("len")[0]))
    if "select" in stages:
        rule = LinearRule.from_dict(RULE)
        chosen = stage("select", lambda: select(pool, table, rule, budget=len(pool) // 50))
        positions = pool.positions(chosen.kept_ids)
        stage("write rows", lambda: pool.write(out / "selected.jsonl", positions))
        stage("write sidecar", lambda: chosen.write_sidecar(out / "selected.parquet"))
        stage("write table", lambda: table.write(out / "pool.scores.parquet"))
        results |= {
            "kept": chosen.summary["kept"],
            "dropped": chosen.summary["dropped"],
            "digests": {name: digest(out / name) for name in ("selected.jsonl", "selected.parquet", "pool.scores.parquet")},
        }
    total = sum(seconds.values())
    alone = cpu["orjson alone"] or 1e-9
    return {
        "stages": list(stages),
        "cpu_seconds_to_orjson_alone": {name: value / alone for name, value in cpu.items()},
        **results,
        "rows": len(pool),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "total_seconds": total,
        "total_cpu_seconds": sum(cpu.values()),
        "rows_per_second": len(pool) / total,
        "peak_mb": peak(),
        "peak_mb_after": peaks,
        "bytes_read": pool_path.stat().st_size,
    }


def main() -> None:
    """Measure every size and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where the rows are made; a temporary folder by default")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="how far to go; reading is done always")
    parser.add_argument("--job", type=Path, nargs=2, metavar=("POOL", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(job(*options.job, stages=tuple(options.stages))))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    sizes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for count in options.rows:
            pool_path = Path(folder) / "pool.jsonl"
            with pool_path.open("wb") as file:
                file.writelines(rows(count))
            command = [sys.executable, str(Path(__file__).resolve()), "--job", str(pool_path), folder, "--stages", *options.stages]
            print(f"{count:,} rows, {pool_path.stat().st_size / 1e6:,.0f} MB", file=sys.stderr, flush=True)
            sizes.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
            print(json.dumps(sizes[-1], indent=1))
    # The time of a row beside that of the size before: 1 is linear. Processor seconds do not count what else the machine did.
    for before, after in itertools.pairwise(sizes):
        after["per_row_ratio"] = {
            measure: {
                name: (after[measure][name] / after["rows"]) / (before[measure][name] / before["rows"])
                for name in after[measure]
                if name in before[measure]
            }
            for measure in ("seconds", "cpu_seconds")
        } | {total: (after[total] / after["rows"]) / (before[total] / before["rows"]) for total in ("total_seconds", "total_cpu_seconds")}
    figures = {"sizes": sizes, "seed": SEED, "load_average": os.getloadavg()[0]}
    print(_record.write("scale", figures, "numpy", "polars"))


if __name__ == "__main__":
    main()
