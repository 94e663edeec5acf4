"""Near-duplicates by our MinHash and bands against rensa's, and against an earlier commit's: the same pairs? in what time and memory?

    python benchmarks/duplicates.py ../shared/data/pools/dolly.jsonl.zst ../shared/data/pools/alpaca.jsonl.zst --rows 100000 --template 2500 5000 10000
    python benchmarks/templates.py ../shared/data/pools/natural_instructions_sample.jsonl.zst /tmp/templates.jsonl
    python benchmarks/duplicates.py /tmp/templates.jsonl --searches ours before --before 2689bb2

Both searches hash the same shingles and let the exact Jaccard similarity decide; what differs is who makes the signatures and
finds the candidates. rensa: a digest matrix of all texts, the rows it flags as sharing a band, and for these an RMinHashLSH that is
asked before a text is added, best-ranked first. `before` is the module as it stood in the commit named. Each search runs in a process of its own, and they alternate;
processor seconds (with those of the processes it starts), and the peak of memory (VmHWM) above what the texts take. Besides the pools: `--rows` made by scale.py, and
`--template` texts of one template, 30 words with one changed each: 21 of 31 shingles in common, none reaches the threshold.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import _record
import numpy as np
import scale

from instructsel import Pool
from instructsel.neighbors import duplicates
from instructsel.neighbors.duplicates import near_duplicates
from instructsel.neighbors.minhash import BANDS, ROWS
from instructsel.neighbors.shingles import Shingles

THRESHOLD = 0.8
PERMUTATIONS = BANDS * ROWS
SEED = 42


def by_ours(texts: list[str]) -> np.ndarray:
    """Our search as `select` runs it."""
    return near_duplicates(Shingles.of(texts), range(len(texts)), THRESHOLD)


def by_rensa(texts: list[str]) -> np.ndarray:
    """rensa's signatures and candidates, our shingles and our exact similarity."""
    from rensa import RMinHash, RMinHashLSH

    hashes, sizes = [], []
    for batch in duplicates._batches(texts):
        distinct, counts, *_ = duplicates._hashed(batch)
        hashes.append(distinct)
        sizes.append(counts)
    flat, offsets = np.concatenate(hashes), np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    del hashes
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets.astype(np.uint64), PERMUTATIONS, SEED)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
    flagged = np.flatnonzero(index.query_duplicate_flags_matrix_one_shot(matrix))
    del matrix
    repeats = np.full(len(texts), -1, dtype=np.int64)
    for row in flagged.tolist():
        shingles = flat[offsets[row] : offsets[row + 1]]
        # rensa queries by sketch objects alone, and makes these of strings or bytes alone.
        signature = RMinHash(PERMUTATIONS, SEED)
        signature.update([shingle.tobytes() for shingle in shingles])
        best, most = -1, 0.0
        for other in sorted(index.query(signature)):
            theirs = flat[offsets[other] : offsets[other + 1]]
            if min(len(theirs), len(shingles)) < THRESHOLD * max(len(theirs), len(shingles)):
                continue
            common = len(np.intersect1d(shingles, theirs, assume_unique=True))
            similarity = common / (len(shingles) + len(theirs) - common)
            if similarity >= THRESHOLD and similarity > most:
                best, most = other, similarity
        repeats[row] = best
        if best < 0:
            index.insert(row, signature)
    return repeats


def by_before(texts: list[str]) -> np.ndarray:
    """The search of an earlier commit."""
    source = subprocess.run(
        ["git", "show", f"{os.environ['BEFORE']}:instructsel/neighbors/duplicates.py"],
        check=True,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
    ).stdout
    module = types.ModuleType("duplicates_before")
    sys.modules[module.__name__] = module
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    repeats: np.ndarray = module.near_duplicates(module.Shingles.of(texts), range(len(texts)), THRESHOLD)
    return repeats


SEARCHES: dict[str, Callable[[list[str]], np.ndarray]] = {"ours": by_ours, "rensa": by_rensa, "before": by_before}


def template(rows: int) -> list[str]:
    """Texts of one template with one word of their own."""
    return [" ".join(f"x{row}" if position == 15 else f"w{position}" for position in range(30)) for row in range(rows)]


def job(search: str, path: Path) -> dict[str, Any]:
    """One search over one pool's texts."""
    texts = json.loads(path.read_text()) if path.suffix == ".json" else [example.text for example in Pool.read(path).examples()]
    before, started, computed = scale.peak(), time.perf_counter(), _processor()
    repeats = SEARCHES[search](texts)
    return {
        "texts": len(texts),
        "near_duplicates": int((repeats >= 0).sum()),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": _processor() - computed,
        "peak_mb_above_the_texts": scale.peak() - before,
        "digest": blake2b(repeats.tobytes(), digest_size=16).hexdigest(),
    }


def _processor() -> float:
    """Processor seconds of this process and of those it waited for."""
    return sum(os.times()[:4])


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="*", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="pools made by scale.py, of so many rows")
    parser.add_argument("--template", type=int, nargs="*", default=[], help="pools of one template, of so many texts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=["ours", "rensa"])
    parser.add_argument("--before", metavar="COMMIT", default="HEAD", help="the commit of the search `before`")
    parser.add_argument("--processes", type=int, default=1, help="that our search may use")
    parser.add_argument("--job", nargs=2, metavar=("SEARCH", "POOL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(job(options.job[0], Path(options.job[1]))))
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    os.environ |= {"BEFORE": options.before, "INSTRUCTSEL_PROCESSES": str(options.processes)}
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {path.name: path for path in options.pools}
        for count in options.rows:
            path = paths[f"scale {count}"] = Path(folder) / f"scale-{count}.jsonl"
            with path.open("wb") as file:
                file.writelines(scale.rows(count))
        for count in options.template:
            path = paths[f"template {count}"] = Path(folder) / f"template-{count}.json"
            path.write_text(json.dumps(template(count)))
        for name, path in paths.items():
            runs: dict[str, list[dict[str, Any]]] = {search: [] for search in options.searches}
            for _ in range(options.repeats):
                for search in options.searches:
                    command = [sys.executable, str(Path(__file__).resolve()), "--job", search, str(path)]
                    runs[search].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
            digests = {search: {run["digest"] for run in runs_of_search} for search, runs_of_search in runs.items()}
            assert all(len(seen) == 1 for seen in digests.values()), "a search gave two results for one pool"
            case: dict[str, Any] = {
                search: {
                    "near_duplicates": runs_of_search[0]["near_duplicates"],
                    "cpu_seconds": statistics.median(run["cpu_seconds"] for run in runs_of_search),
                    "seconds": statistics.median(run["seconds"] for run in runs_of_search),
                    "peak_mb_above_the_texts": statistics.median(run["peak_mb_above_the_texts"] for run in runs_of_search),
                }
                for search, runs_of_search in runs.items()
            }
            case |= {
                "texts": next(iter(runs.values()))[0]["texts"],
                "same_pairs": len(set.union(*digests.values())) == 1,
                "cpu_ratio": {
                    f"{search} to {other}": case[search]["cpu_seconds"] / case[other]["cpu_seconds"]
                    for search, other in itertools.pairwise(options.searches)
                },
                "bytes_a_text": {
                    search: 1e6 * case[search]["peak_mb_above_the_texts"] / runs_of_search[0]["texts"]
                    for search, runs_of_search in runs.items()
                },
            }
            cases[name] = case
            print(name, json.dumps(case), flush=True)
    figures = {
        "threshold": THRESHOLD,
        "repeats": options.repeats,
        "processes": options.processes,
        "before": options.before,
        "cases": cases,
        "load_average": os.getloadavg()[0],
    }
    print(
        _record.write(
            "_".join(["duplicates", *(search for search in options.searches if search not in ("ours", "rensa"))]), figures, "numpy", "rensa"
        )
    )


if __name__ == "__main__":
    main()
