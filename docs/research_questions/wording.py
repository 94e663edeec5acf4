"""Figures in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from instructsel.reports.figures import minus
from instructsel.reports.sections.effects import decimals
from instructsel.stats.agreement import Figure
from instructsel.stats.proportion import wilson
from instructsel.study.effects import ALONE, Cell, EffectMatrix
from research_questions.measured import (
    OUTCOMES,
)

NAMES: Final = {
    "alpaca": "Alpaca",
    "code_alpaca": "Code Alpaca",
    "cot": "chains of thought",
    "dolly": "Dolly",
    "gsm8k": "GSM8K training",
    "self_instruct": "Self-Instruct",
    ALONE: "mixture of all six",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def cells_table(effects: EffectMatrix) -> list[str]:
    """Every effect with its interval: outcomes down, as there are more of them."""
    content = effects.as_dict()
    rows = []
    for outcome in effects.outcomes:
        places = decimals(content, outcome.name)
        row = [OUTCOMES[outcome.name], "–" if outcome.untouched is None else f"{outcome.untouched:.{places}f}"]
        for source in effects.rows:
            cell = effects.cell(source, outcome.name)
            if cell is None or cell.estimate is None:
                row.append("–")
                continue
            estimate = f"{cell.estimate:+.{places}f}"
            interval = "no interval" if cell.low is None else f"{cell.low:+.{places}f} to {cell.high:+.{places}f}"
            row.append(minus(f"{f'**{estimate}**' if cell.survives else estimate} ({interval})"))
        rows.append(row)
    return table(["", "untouched", *(NAMES[source] for source in effects.rows)], rows)


def named(cell: Cell) -> str:
    return f"{NAMES[cell.source]} on {OUTCOMES[cell.outcome]}"


def listed(cells: Sequence[Cell]) -> str:
    return ", ".join(map(named, cells)) or "none"


def with_names(text: str) -> str:
    for source in sorted(NAMES, key=len, reverse=True):
        text = text.replace(source, NAMES[source])
    return text


def share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{100 * count / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {n:,}"


def with_interval(figure: Figure) -> str:
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def longer(counts: Mapping[str, int]) -> str:
    """The share of verdicts for the longer response, ties and equal lengths left out."""
    agrees = counts.get("11", 0) + counts.get("22", 0)
    return share(agrees, agrees + counts.get("12", 0) + counts.get("21", 0))
