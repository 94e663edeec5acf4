"""Write docs/why/alpaca.md from benchmarks/results/alpaca_labels.json and main_job_alpaca.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "why" / "alpaca.md"
RESULTS = ROOT / "benchmarks" / "results"
SYMBOLS = ("len", "mtld", "knn_6", "eq4-without-reward")


def load(name: str) -> dict[str, Any]:
    """A results file."""
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return figures


def cell(entry: dict[str, Any] | None) -> str:
    """A correlation with its interval."""
    return "" if entry is None else f"{entry['value']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]"


def strongest(figures: dict[str, Any], symbol: str, kind: str) -> str:
    """The range of a correlation over all labels."""
    values = [label[symbol][kind]["value"] for label in figures["with_labels"].values()]
    return f"{min(values):+.3f} to {max(values):+.3f}"


def page() -> str:
    """The page's text, every figure from the results files."""
    figures, job = load("alpaca_labels"), load("main_job_alpaca")
    labels = figures["with_labels"]
    lines = [
        "# What the indicators say of Alpaca",
        "",
        f"Written by `docs/build_alpaca.py` from `benchmarks/results/alpaca_labels.json` (commit {figures['commit']}, {figures['date'][:10]}).",
        "",
        f"All {figures['rows']:,} rows of Stanford Alpaca were scored with `len` (MiniLM tokens), `mtld` and `knn_6` ({job['precision']}), and valued by `{figures['rule']}`. The",
        "labels are other people's: ratings of 26,001 rows by three language models (DS2), and membership in the subsets that AlpaGasus, Cherry (IFD) and CaR kept.",
        f"Figures are Spearman correlations with 95 % bootstrap intervals ({figures['draws']:,} draws of rows; ranks and scores themselves are held fixed). The rule predicts a",
        "loss, so a rule that agreed with a label would correlate *negatively* with it. A membership is 1 or 0, and where few rows are members even perfect agreement stays far below 1.",
        "",
        "## As they are",
        "",
        "| label | n | " + " | ".join(f"`{symbol}`" for symbol in SYMBOLS) + " |",
        "| --- | --- | " + " | ".join("---" for _ in SYMBOLS) + " |",
    ]
    for name, entry in labels.items():
        lines.append(
            f"| {name} | {entry['len']['plain']['n']:,} | " + " | ".join(cell(entry[symbol]["plain"]) for symbol in SYMBOLS) + " |"
        )
    lines += [
        "",
        "## With length partialled out",
        "",
        "| label | " + " | ".join(f"`{symbol}`" for symbol in SYMBOLS[1:]) + " |",
        "| --- | " + " | ".join("---" for _ in SYMBOLS[1:]) + " |",
    ]
    for name, entry in labels.items():
        lines.append(f"| {name} | " + " | ".join(cell(entry[symbol]["without_length"]) for symbol in SYMBOLS[1:]) + " |")
    lines += ["", "## With length itself", "", "| | correlation with `len` |", "| --- | --- |"]
    lines += [f"| `{symbol}` | {cell(entry)} |" for symbol, entry in figures["with_length"].items()]
    shares = ", ".join(f"`{symbol}` {share:.1%}" for symbol, share in figures["variance_shares"].items())
    lines += [
        "",
        "## What to make of it",
        "",
        f"- Length alone correlates with the labels at {strongest(figures, 'len', 'plain')}. No other column does better on any of the three ratings.",
        f"- Most of MTLD's agreement is length: it correlates with `len` at {figures['with_length']['mtld']['value']:+.3f}, and without length what is left is {strongest(figures, 'mtld', 'without_length')}.",
        f"- Knn_6 hardly agrees with anybody: {strongest(figures, 'knn_6', 'plain')}, and {strongest(figures, 'knn_6', 'without_length')} without length.",
        f"- The rule's value is nearly Knn_6 alone (share of its variance: {shares}). Its correlation with the labels is {strongest(figures, figures['rule'], 'plain')}, mostly of the wrong sign: on this pool",
        "  `eq4-without-reward` does not pick what these raters call good. It ranks by isolation.",
        "- None of this says what a model trained on the subset would do. Ratings are not training results, the three raters hardly agree with one another, and Eq. 4's strongest term, the reward, took no part.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
