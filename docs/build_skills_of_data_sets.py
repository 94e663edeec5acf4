"""Write docs/why/skills_of_data_sets.md: the published table of one fine-tune a data set, read with the intervals that it was printed without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from instructsel.reports.heat_map import HeatCell, Legend, heat_map
from instructsel.stats.correlation import length_bias
from instructsel.verification.skills import SkillTable, share_of_reference

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "why" / "skills_of_data_sets.md"
PICTURE: Final = ROOT / "docs" / "why" / "skills_of_data_sets.svg"
BASE: Final = "no fine-tune"
ITEMS: Final = {"MMLU": 14_042, "GSM8K": 200, "BBH": 1_080, "TyDiQA": 900, "HumanEval P@10": 164, "AlpacaEval": 805}
"""Skill → its items in the paper's evaluation: 200 of GSM8K, 40 of each of 27 tasks of BBH, 100 of each of 9 languages of TyDiQA."""
TABLE: Final[dict[str, tuple[float | None, ...]]] = {
    BASE: (42.3, 14.5, 39.3, 43.2, 28.6, None),
    "SuperNI": (49.7, 4.0, 4.5, 50.2, 12.9, 4.2),
    "CoT": (44.2, 40.0, 41.9, 47.8, 23.7, 6.0),
    "Flan V2": (50.6, 20.0, 40.8, 47.2, 16.8, 3.2),
    "Dolly": (45.6, 18.0, 28.4, 46.5, 31.0, 13.7),
    "Open Assistant 1": (43.3, 15.0, 39.6, 33.4, 31.9, 58.1),
    "Self-Instruct": (30.4, 11.0, 30.7, 41.3, 12.5, 5.0),
    "Unnatural Instructions": (46.4, 8.0, 33.7, 40.9, 23.9, 8.4),
    "Alpaca": (45.0, 9.5, 36.6, 31.1, 29.9, 21.9),
    "Code-Alpaca": (42.5, 13.5, 35.6, 38.9, 34.2, 15.8),
    "GPT4-Alpaca": (46.9, 16.5, 38.8, 23.5, 36.6, 63.1),
    "Baize": (43.7, 10.0, 38.7, 33.6, 28.7, 21.9),
    "ShareGPT": (49.3, 27.0, 40.4, 30.5, 34.1, 70.5),
    "Human mixture": (50.2, 38.5, 39.6, 47.0, 25.0, 35.0),
    "Human+GPT mixture": (49.3, 40.5, 43.3, 45.6, 35.9, 56.5),
}
"""Wang et al. 2023, arXiv:2306.04751v2, Table 3: LLaMA 13B, one fine-tune a row, in per cent."""
LENGTHS: Final = {
    "SuperNI": 38.7, "CoT": 53.2, "Flan V2": 31.2, "Dolly": 91.3, "Open Assistant 1": 212.5, "Self-Instruct": 29.3,
    "Unnatural Instructions": 23.6, "Alpaca": 64.6, "Code-Alpaca": 67.8, "GPT4-Alpaca": 161.8, "Baize": 52.8, "ShareGPT": 357.8,
}  # fmt: skip
"""The mean tokens of a response, Table 1."""
CHATGPT: Final = (67.9, 76.0, 66.1, 51.9, 88.4, 83.6)
BEST_OPEN: Final = (61.3, 60.0, 58.1, 58.8, 56.2, 73.6)
"""Table 5: ChatGPT, and the best open model of each skill, sizes up to 65B and the untouched base among them."""
CONFIDENCE: Final = 0.975
"""One-sided: intervals of 95 %."""


def skills() -> SkillTable:
    """The table with standard errors as if each item were a coin: √(p (1 − p) / n)."""
    values = {name: dict(zip(ITEMS, row, strict=True)) for name, row in TABLE.items()}
    errors = {
        name: {skill: None if value is None else error(value, ITEMS[skill]) for skill, value in row.items()} for name, row in values.items()
    }
    return SkillTable.of(values, base=BASE, standard_errors=errors, confidence=CONFIDENCE)


def error(per_cent: float, n: int) -> float:
    """In per cent."""
    return math.sqrt(per_cent * (100 - per_cent) / n)


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def picture(table: SkillTable) -> str:
    """The heat map; AlpacaEval, where the base has no value, is left out."""
    shown, arms = [skill for skill in table.skills if skill != "AlpacaEval"], [arm for arm in table.cells if arm != BASE]
    cells: dict[tuple[str, str], HeatCell] = {}
    for skill in shown:
        changes = {arm: table.cells[arm][skill] for arm in arms}
        largest = max(abs(cell.change or 0.0) for cell in changes.values())
        for arm, cell in changes.items():
            assert cell.change is not None
            assert cell.low is not None
            assert cell.high is not None
            tooltip = f"{arm}, {skill}: {cell.value:g}, change {signed(cell.change)} [{signed(cell.low)}, {signed(cell.high)}]"
            half, uncertain = f"± {(cell.high - cell.low) / 2:.1f}", cell.low <= 0 <= cell.high
            cells[arm, skill] = HeatCell(cell.change / largest, signed(cell.change), half, uncertain, arm in table.best(skill), tooltip)
    legend = Legend(
        "points against no fine-tune ± 95 % over sampled items, up to the largest of its column",
        "best of its column",
        "data sets",
        "skills",
    )
    return heat_map(arms, shown, cells, title="What one data set does to each skill (LLaMA 13B)", legend=legend)


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def page() -> str:
    """The page."""
    table = skills()
    averages = table.averages()
    compared = [skill for skill in table.skills if skill != "AlpacaEval"]
    known = {skill: [arm for arm in table.cells if (cell := table.cells[arm][skill]).low is not None and ((cell.low or 0) > 0 or (cell.high or 0) < 0)] for skill in compared}  # fmt: skip
    below = {skill: [arm for arm in LENGTHS if (table.cells[arm][skill].change or 0) < 0] for skill in compared}
    bias = length_bias(list(LENGTHS.values()), [TABLE[arm][-1] or 0.0 for arm in LENGTHS])
    assert bias.r is not None
    assert bias.low is not None
    assert bias.high is not None
    benchmarks = [math.fsum(value for value in TABLE[arm][:5] if value is not None) / 5 for arm in LENGTHS]
    judged = length_bias(benchmarks, [TABLE[arm][-1] or 0.0 for arm in LENGTHS])
    assert judged.r is not None
    assert judged.low is not None
    assert judged.high is not None
    share = share_of_reference(dict(zip(ITEMS, BEST_OPEN, strict=True)), dict(zip(ITEMS, CHATGPT, strict=True)))
    best = ", ".join(f"{skill}: {' and '.join(table.best(skill))}" for skill in table.skills)
    rows = [
        (skill, f"{ITEMS[skill]:,}", f"{1.96 * error(50, ITEMS[skill]):.1f}", f"{len(below[skill])} of {len(LENGTHS)}", str(sum(table.cells[arm][skill].regressed is True for arm in LENGTHS)), f"{len(known[skill])} of {len(TABLE) - 1}")
        for skill in compared
    ]  # fmt: skip
    lines = [
        "# No data set is best everywhere: a published table, with intervals",
        "",
        "Wang et al. 2023 (arXiv:2306.04751, Table 3) fine-tuned LLaMA 13B on each of twelve open data sets and on two mixtures, and evaluated",
        "six skills. The table has no intervals. This page reads it with `SkillTable`, as a report reads a verification: each figure gets the",
        "standard error of its sampled items, √(p (1 − p) / n), with the paper's own numbers of items.",
        "",
        "![Data sets by skills, the change against the base](skills_of_data_sets.svg)",
        "",
        f"The best of each skill: {best}. "
        f"Of the unweighted averages the highest is {max(value for value in averages.values() if value is not None):.1f}, of the {max((arm for arm in averages if averages[arm] is not None), key=lambda arm: averages[arm] or 0.0)}, "
        "which is the best of two columns.",
        "",
        *table_of(
            (
                "skill",
                "items",
                "half the interval at 50 %, points",
                "data sets below the base",
                "of them known",
                "rows whose change is known",
            ),
            rows,
        ),
        "",
        "- 200 questions of GSM8K and 164 programs cannot tell a change of less than about 10 points from none; much of those two columns may",
        "  be 0. On MMLU with its 14,042 questions, a point is known.",
        "- Items alone are counted here: each row is one fine-tune with one seed. What another seed would give is not in the table, and the",
        "  true intervals are wider. Where two models are asked the same items the pairing narrows them; the items are not published.",
        "- TyDiQA is an F1, whose variance is at most that of a coin; AlpacaEval has no value of the base, and no change.",
        "",
        "## The judge and the length",
        "",
        f"Over the twelve data sets, the mean length of a training response and the AlpacaEval win rate correlate at r = {bias.r:.2f}",
        f"[{bias.low:.2f}, {bias.high:.2f}], the mean of the five benchmarks and the win rate at r = {judged.r:.2f} [{judged.low:.2f}, {judged.high:.2f}]. A way to select that is",
        "judged by preference alone drifts to long responses; `verify` prints this correlation and the win rate at equal length beside every",
        "judge.",
        "",
        "## The share of a reference",
        "",
        f"The best open model of each skill, against ChatGPT (Table 5): {100 * share:.1f} %, the mean of six ratios (`share_of_reference`). The",
        "abstract's 73 % of GPT-4 is not the mean of these six columns; they give 71 %.",
        "",
        "Made by `python docs/build_skills_of_data_sets.py`; a test compares the page with what it writes.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(skills()), encoding="utf-8")


if __name__ == "__main__":
    main()
