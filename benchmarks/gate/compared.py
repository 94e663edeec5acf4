"""What it costs to compare new rows with a saved pool, and how often one half of a pool passes what is proposed of the other.

    python benchmarks/gate/compared.py ../shared/data/pools --splits 100

Processor seconds are those of the command's own process and its children. The halves are seeded draws; drift and quotas alone are asked, with the limits
that `gate init` proposes of one half, of the other half as a change. Files are unpacked to a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _record
import numpy as np

from instructsel import Pool
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.baseline.identities import EXAMPLES
from instructsel.gates.change import Change
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.measures import Columns
from instructsel.gates.proposing import Proposal, compared
from instructsel.pool.sources import zstd

SPLIT = ("code_alpaca_2k", "lima_history", "self_instruct_5k", "dolly")
NEW = 1_000


def unpacked(source: Path, target: Path, rows: int | None = None) -> Path:
    """A pool as JSON lines, the first rows of it."""
    with zstd.open(source, "rb") as lines, target.open("wb") as out:
        out.writelines(line for number, line in enumerate(lines) if rows is None or number < rows)
    return target


def timed(*arguments: str) -> dict[str, Any]:
    """A command's seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "instructsel", *arguments], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"exit": done.returncode, "seconds": time.perf_counter() - began, "processor": processor}


def cost(pools: Path) -> dict[str, Any]:
    """Alpaca's rows in a baseline, the same file again, and Dolly's first rows as new ones."""
    alpaca, dolly = unpacked(pools / "alpaca.jsonl.zst", Path("alpaca.jsonl")), unpacked(pools / "dolly.jsonl.zst", Path("new.jsonl"), NEW)
    figures: dict[str, Any] = {"create": timed("gate", "baseline", "create", str(alpaca), "-o", "pool.baseline")}
    figures["bytes"] = Path("pool.baseline").stat().st_size
    figures["unchanged"] = [timed("gate", str(alpaca), "--baseline", "pool.baseline") for _ in range(3)]
    figures["new_rows"] = timed("gate", str(dolly), "--baseline", "pool.baseline")
    figures["update"] = timed("gate", "baseline", "update", "pool.baseline", str(dolly), "-o", "both.baseline")
    figures["help"] = timed("gate", "--help")
    return figures


def halves(path: Path, splits: int) -> dict[str, Any]:
    """In how many splits one half passes the drift and the quotas of the other, and what failed. Measures are computed once, and dealt with the rows."""
    pool = Pool.read(path)
    whole = Baseline.create(pool)
    measured = whole.part("measures")
    names, matrix = measured.about["columns"], measured.arrays["values"]
    places = np.lexsort((whole.identities.line, whole.identities.file))
    ordered = pool.at(np.lexsort((pool.row_of, pool.file_of)))
    passed, failing = 0, {}
    for seed in range(splits):
        is_drawn = np.zeros(len(pool), dtype=bool)
        is_drawn[random.Random(seed).sample(range(len(pool)), len(pool) // 2)] = True
        drawn, others = places[is_drawn], places[~is_drawn]
        identities = replace(whole.identities, **{name: getattr(whole.identities, name)[drawn] for name in EXAMPLES})
        baseline = replace(
            whole, identities=identities, about={"measures": whole.about["measures"]}, arrays={"measures/values": matrix[drawn]}
        )
        change = Change(ordered.at(np.flatnonzero(~is_drawn)), baseline=baseline)
        for number, name in enumerate(names):
            change.shared(f"column {name}", partial(Columns, {name: matrix[others, number]}))
        Path("gate.toml").write_text(Proposal(tuple(compared(baseline)), (), {}, None).text(), encoding="utf-8")
        results = gate(change, GateConfig.read("gate.toml")).results
        assert results
        assert all(result.state in ("passed", "failed") for result in results)
        passed += not any(result.state == "failed" for result in results)
        for result in results:
            if result.state == "failed":
                failing[result.label] = failing.get(result.label, 0) + 1
    return {"rows": len(pool), "splits": splits, "passed": passed, "failing": failing}


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", type=Path, help="folder of pools")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--only", choices=("cost", "halves"))
    arguments = parser.parse_args()
    pools = arguments.pools.resolve()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if arguments.only != "halves":
            figures["cost"] = cost(pools)
        if arguments.only != "cost":
            figures["halves"] = {}
            for name in SPLIT:
                figures["halves"][name] = halves(pools / f"{name}.jsonl.zst", arguments.splits)
                print(name, figures["halves"][name], flush=True)
    _record.write(f"gate_compared{'' if arguments.only is None else '_' + arguments.only}", figures)


if __name__ == "__main__":
    main()
