"""How the indicators and the rule go with what others said of Alpaca's rows, and what is left without length.

    python benchmarks/alpaca_labels.py SCORES ../shared/data

SCORES is a score table of pools/alpaca with len, mtld and knn_6. Spearman correlations with 95 % bootstrap intervals;
"without length" is the partial Spearman correlation, the ranks of len partialled out of both sides. Labels are joined by
row number. Writes benchmarks/results/alpaca_labels.json, from which docs/why/alpaca.md has its figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _record
import numpy as np
from numpy.typing import NDArray

from instructsel import Pool, ScoreTable, load_rule
from instructsel.pool.sources import zstd
from instructsel.stats.correlation import ranks

Floats = NDArray[np.float64]
DRAWS = 1000
SEED = 20260101
RULE = "eq4-without-reward"


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's r."""
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def residual(x: Floats, z: Floats) -> Floats:
    """What of x a line in z does not explain."""
    z = z - z.mean()
    x = x - x.mean()
    return x - z * ((x @ z) / (z @ z))


def partial(x: Floats, y: Floats, z: Floats) -> float:
    """The correlation of x and y with z partialled out."""
    return correlation(residual(x, z), residual(y, z))


def measured(x: Floats, y: Floats, z: Floats | None, generator: np.random.Generator) -> dict[str, Any]:
    """A rank correlation with its bootstrap interval; examples are drawn, ranks are kept."""
    columns = [ranks(column) for column in (x, y, *([] if z is None else [z]))]
    function: Any = correlation if z is None else partial
    draws = []
    for _ in range(DRAWS):
        rows = generator.integers(0, len(x), len(x))
        draws.append(function(*(column[rows] for column in columns)))
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": function(*columns), "low": float(low), "high": float(high), "n": len(x)}


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a compressed JSON lines file."""
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n") if line]


def labels(folder: Path, size: int) -> dict[str, Floats]:
    """Label name → one value a row, NaN where the row has none."""
    columns_by_name: dict[str, Floats] = {}
    for row in read(folder / "scores/alpaca_ds2_llm_ratings_half.jsonl.zst"):
        for name in ("gpt-4o-mini", "llama-3.1-8b-instruct", "mistral-7b-v0.3-instruct"):
            columns_by_name.setdefault(f"rating by {name}", np.full(size, np.nan))[row["index"]] = row[name]
    external = read(folder / "scores/alpaca_external_labels.jsonl.zst")
    memberships = {
        "AlpaGasus: rated 4.5 or more by Claude": "alpagasus_claude_ge_4_5",
        "AlpaGasus: helpfulness 4.5 or more": "alpagasus_helpfulness_ge_4_5",
        "Cherry: top 5 % by IFD": "cherry_5pct_position",
        "CaR: top 1,000": "car_iqs_score",
    }
    for name, key in memberships.items():
        values = np.zeros(size)
        values[[row["index"] for row in external if key in row]] = 1.0
        columns_by_name[name] = values
    return columns_by_name


def main() -> None:
    """Correlate everything with everything, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    pool = Pool.read(options.data / "pools/alpaca.jsonl.zst")
    table = ScoreTable.read(options.scores)
    if table.ids != pool.ids:
        parser.error("these are not the scores of pools/alpaca")
    line = np.array([pool.locate(position)[1][0] - 1 for position in range(len(pool))])
    prediction = load_rule(RULE).predict(table)
    columns = {symbol: table.values(symbol) for symbol in ("len", "mtld", "knn_6")} | {RULE: (prediction.values, prediction.valid)}
    by_line: dict[str, Floats] = {}
    for symbol, (values, valid) in columns.items():
        by_line[symbol] = np.full(len(pool), np.nan)
        by_line[symbol][line[valid]] = values[valid]
    generator = np.random.default_rng(SEED)
    figures: dict[str, Any] = {}
    for name, label in labels(options.data, len(pool)).items():
        figures[name] = {}
        for symbol, values in by_line.items():
            both = np.isfinite(label) & np.isfinite(values) & np.isfinite(by_line["len"])
            x, y, z = values[both], label[both], by_line["len"][both]
            figures[name][symbol] = {"plain": measured(x, y, None, generator)} | (
                {} if symbol == "len" else {"without_length": measured(x, y, z, generator)}
            )
            print(name, symbol, {kind: round(entry["value"], 3) for kind, entry in figures[name][symbol].items()})
    both = {symbol: np.isfinite(values) & np.isfinite(by_line["len"]) for symbol, values in by_line.items()}
    among = {
        symbol: measured(values[both[symbol]], by_line["len"][both[symbol]], None, generator)
        for symbol, values in by_line.items()
        if symbol != "len"
    }
    shares = load_rule(RULE).variance_shares(prediction)
    print(
        _record.write(
            "alpaca_labels",
            {
                "rows": len(pool),
                "rule": RULE,
                "draws": DRAWS,
                "seed": SEED,
                "with_labels": figures,
                "with_length": among,
                "variance_shares": shares,
                "indicators": table.manifest["indicators"],
            },
        )
    )


if __name__ == "__main__":
    main()
