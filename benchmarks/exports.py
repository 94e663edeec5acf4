"""Every export of every pool in a folder, read back: the account of each, and whether what comes back is what was written.

python benchmarks/exports.py ../shared/data/pools ../shared/data/raw --rows 2000 --out exports.json

Counts alone are written down. A pool that cannot be read is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from instructsel import Pool
from instructsel.adapters.exports.account import Account
from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.registry import exports
from instructsel.adapters.exports.run import export
from instructsel.errors import InstructselError, NothingToDo

MASKING: Final = {"axolotl": "completion"}
"""Exports that add masks of their own to rows under a loss, which come back as weights."""
ONE_WAY: Final = frozenset({"ms-swift", "open-instruct"})
"""Exports whose rows are counted alone: their reader's roles are not those of a pool."""


def stem(name: str) -> str:
    """An id without its occurrence."""
    return name.partition(".")[0]


def outcome(pool: Pool, consumer: Export, loss: str | None, folder: Path) -> dict[str, Any]:
    """The account of an export, and what is wrong with what comes back; "" where nothing is."""
    settings = consumer.decided(ExportSettings(loss, drop_unsupported=True))
    expected: Counter[str] = Counter()
    altered = 0
    for example, names in zip(pool.examples(), consumer.held(pool.examples(), settings), strict=True):
        if Account().sort(consumer, settings, names, ""):
            if names & set(consumer.alterations()):
                altered += 1
            else:
                expected[stem(example.id)] += 1
    try:
        result = export(pool, consumer, folder, settings=settings)
    except NothingToDo:
        return {"read": len(pool), "written": 0, "wrong": "" if not expected and not altered else "nothing was written"}
    account = result.account
    counts = {"read": account.read, "written": account.written, "altered": altered, "trained": account.trained}
    wrong = "" if account.read == len(pool) and account.written == expected.total() + altered else "the account does not add up"
    again = Pool.read(*result.data, undesirable="keep")
    if again.report.read != account.written or len(again) != account.written:
        wrong = wrong or f"{len(again)} of {account.written} come back: {again.report.sentence()}"
    if not wrong and consumer.name not in ONE_WAY and MASKING.get(consumer.name) != settings.loss:
        missing = expected - Counter(map(stem, again.ids))
        wrong = f"{missing.total()} conversations are others" if missing else ""
    return {**counts, "wrong": wrong}


def main() -> None:
    """Write and read back, and write the counts down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, help="examples of each pool, drawn with seed 0; all by default")
    parser.add_argument("--out", type=Path, help="where the counts go, as JSON")
    options = parser.parse_args()
    listed: dict[str, Any] = {}
    for path in sorted(file for folder in options.folders for file in folder.iterdir() if file.is_file()):
        try:
            pool = Pool.read(path)
        except InstructselError as error:
            listed[path.name] = {"refused": error.message}
            print(f"{path.name}: refused: {error.message}", flush=True)
            continue
        pool = pool.sample(options.rows, seed=0) if options.rows and options.rows < len(pool) else pool
        of_pool = listed.setdefault(path.name, {})
        for name, consumer in exports().items():
            for loss in consumer.losses or (None,):
                with tempfile.TemporaryDirectory() as place:
                    of_pool[f"{name} {loss or ''}".strip()] = counts = outcome(pool, consumer, loss, Path(place) / "out")
                print(f"{path.name} {name} {loss or ''}: {counts}", flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    cells = [counts for of_pool in listed.values() for counts in of_pool.values() if isinstance(counts, dict)]
    wrong = [counts for counts in cells if counts["wrong"]]
    written = sum(counts["written"] for counts in cells)
    print(f"{len(listed)} files, {len(cells)} exports, {written:,} rows written, {len(wrong)} wrong")


if __name__ == "__main__":
    main()
