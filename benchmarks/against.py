"""Reading and `len` against another checkout, in turn on the same rows: the ratio of processor seconds and of peak memory.

    git worktree add /tmp/before v0.1.0
    python benchmarks/against.py /tmp/before --rows 100000 --repeats 3

Each measurement is a process of its own, whose package is that of one checkout. Figures are medians, ours divided by the other's; the scores
must be the same. With --select, a selection of 2 % by length is made, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scale import rows

ROOT = Path(__file__).resolve().parent.parent
JOB = """
import json, resource, sys
from pathlib import Path
from instructsel import Pool, score, select

def used():
    return sum(getattr(resource.getrusage(who), kind) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for kind in ("ru_utime", "ru_stime"))

begin = used()
pool = Pool.read(sys.argv[1])
table = score(pool, "len")
table.write(sys.argv[2])
seconds = {"read, len, write": used() - begin}
digests = [table.fingerprint]
if "select" in sys.argv:
    begin = used()
    digests.append(list(select(pool, table, "longest", budget=len(pool) // 50).kept_ids)[-1])
    seconds["select"] = used() - begin
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
print(json.dumps({"seconds": seconds, "peak": int(peak) * 1024 / 1e6, "digests": digests}))
"""


def measured(checkout: Path, pool: Path, out: Path, *more: str) -> dict[str, Any]:
    """What a checkout takes for a pool."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "POLARS_MAX_THREADS": "2"}
    command = [sys.executable, "-P", "-c", JOB, str(pool), str(out), *more]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE).stdout)
    return figures


def main() -> None:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--select", action="store_true", help="select, too")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "other": []}
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.jsonl"
        with pool.open("wb") as file:
            file.writelines(rows(options.rows))
        for _ in range(options.repeats):
            for name, checkout in (("ours", ROOT), ("other", options.other.resolve())):
                runs[name].append(measured(checkout, pool, Path(folder) / f"{name}.parquet", *(["select"] if options.select else [])))
                print(name, json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    if len({str(run["digests"]) for each in runs.values() for run in each}) > 1:
        sys.exit("The two checkouts do not give the same scores and rows.")
    median = {
        name: {part: statistics.median(run["seconds"][part] for run in each) for part in each[0]["seconds"]} for name, each in runs.items()
    }
    peak = {name: statistics.median(run["peak"] for run in each) for name, each in runs.items()}
    ratios = {part: median["ours"][part] / median["other"][part] for part in median["ours"]} | {"peak memory": peak["ours"] / peak["other"]}
    print(json.dumps({"rows": options.rows, "seconds": median, "peak_mb": peak, "ours_to_other": ratios}, indent=1))


if __name__ == "__main__":
    main()
