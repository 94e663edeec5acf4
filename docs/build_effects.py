"""Write docs/why/what_each_source_adds.md and its map from benchmarks/results/effects.json, which benchmarks/effects/run.py makes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from instructsel.commands._effects import drawn
from instructsel.reports.figures import minus
from instructsel.reports.sections.effects import decimals
from instructsel.study.effects import CONTROL, EffectMatrix, of_plan
from instructsel.study.folder import Plan

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "why" / "what_each_source_adds.md"
MAP: Final = ROOT / "docs" / "why" / "what_each_source_adds" / "map.svg"
RESULTS: Final = ROOT / "benchmarks" / "results" / "effects.json"
NAMES: Final = {
    "code_alpaca": "Code Alpaca",
    "cot": "chains of thought",
    "dolly": "Dolly",
    "gsm8k": "GSM8K's training questions",
    "self_instruct": "Self-Instruct",
    "alpaca": "Alpaca",
    CONTROL: "as many more rows of the base",
}
OUTCOMES: Final = {
    "gsm8k_test": "GSM8K test",
    "humaneval": "HumanEval",
    "self_instruct_eval": "Self-Instruct, 252",
    "alpaca_eval_gpt4": "GPT-4's answers to AlpacaEval",
    "dolly_held_out": "Dolly, held out",
}


def figures() -> dict[str, Any]:
    """What was measured."""
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return content


def matrix(content: Mapping[str, Any], against: str) -> EffectMatrix:
    """The matrix, computed again of what every run was graded with."""
    plan = Plan.of(content["plan"], RESULTS)
    by_name = {run.name: run for run in plan.runs}
    records = {by_name[name]: record["outcomes"] for name, record in content["runs"].items()}
    return of_plan(plan, records, against=against)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _cells(effects: EffectMatrix) -> list[str]:
    content = effects.as_dict()
    rows = []
    for source in effects.rows:
        row = [NAMES.get(source, source)]
        for outcome in effects.outcomes:
            cell = effects.cell(source, outcome.name)
            if cell is None or cell.estimate is None:
                row.append("–")
                continue
            places = decimals(content, outcome.name)
            interval = "no interval" if cell.low is None else f"{cell.low:+.{places}f} to {cell.high:+.{places}f}"
            estimate = f"{cell.estimate:+.{places}f}"
            row.append(minus(f"{f'**{estimate}**' if cell.survives else estimate} ({interval})"))
        rows.append(row)
    return table(["", *(OUTCOMES.get(outcome.name, outcome.name) for outcome in effects.outcomes)], rows)


def _counts(effects: EffectMatrix) -> str:
    cells = [cell for cell in effects.cells if cell.source != CONTROL]
    by = {standing: sum(cell.standing == standing for cell in cells) for standing in ("better", "worse", "uncertain", "unknown")}
    survive = sum(cell.survives for cell in cells)
    unknown = f", {by['unknown']} have none" if by["unknown"] else ""
    return (
        f"Of {len(cells)} cells, intervals of {by['better']} lie on the better side of 0 and of {by['worse']} on the worse; {by['uncertain']} hold 0{unknown}. "
        f"{survive} survive Holm's correction over all cells."
    )


def _verdict(effects: EffectMatrix) -> str:
    best = ", ".join(f"{NAMES.get(source, source)} on {count}" for source, count in effects.times_best.items())
    verdict = effects.verdict
    for source in effects.sources:
        verdict = verdict.replace(source, NAMES.get(source, source))
    return f"**{verdict}** Best estimates of {len(effects.outcomes)} outcomes: {best}."


def page() -> str:
    """The page."""
    content = figures()
    decided, design = content["protocol"], content["protocol"]["design"]
    base, more = matrix(content, "base"), matrix(content, "more")
    finished, planned = base.runs
    seconds = [run["seconds"] for run in content["runs"].values()]
    tokens = [run["tokens_trained"] for run in content["runs"].values() if run["tokens_trained"]]
    lines = [
        "# What each source adds",
        "",
        f"Written by `docs/build_effects.py` from `benchmarks/results/effects.json` (commit {content['commit']}, {content['date'][:10]}), which "
        "`benchmarks/effects/run.py` makes. How to make one: [what a source adds](../how-to/what-a-source-adds.md).",
        "",
        f"A base of {design['rows']} rows of {', '.join(NAMES.get(name, name) for name in design['base_sources'])}, and the same rows with {design['add_rows']} of each of "
        f"{len(base.sources)} sources, {design['replicates']} replicates with rows and a training seed of their own; outcomes are bits per byte of {design['items']} held-out responses "
        f"of each of {len(base.outcomes)} sets. {decided['model']['note']} The design was committed before the first run (`benchmarks/effects/protocol.toml`). "
        + (
            f"**{finished} of {planned} runs have finished: the figures are of these.**"
            if finished < planned
            else f"All {planned} runs have finished."
        ),
        "",
        "![Sources against outcomes](what_each_source_adds/map.svg)",
        "",
        _verdict(base),
        "",
        _counts(base),
        "",
        f"Effects on bits per byte, base plus source less base, {base.confidence:.0%} intervals for new runs and new items; bold survives the correction, below 0 is better:",
        "",
        *_cells(base),
        "The last row is no source: as many more rows of the base itself do that. A source that adds no more than it adds what any rows do. Held against it, so that the rows are equal in number:",
        "",
        *_cells(more),
        f"{_verdict(more)} {_counts(more)}",
        "",
        "## Outcome by outcome",
        "",
        *table(
            ["outcome", "untouched", "base", "best estimate", "may be best"],
            (
                [
                    OUTCOMES.get(outcome.name, outcome.name),
                    "–" if outcome.untouched is None else f"{outcome.untouched:.4f}",
                    "–" if outcome.baseline is None else f"{outcome.baseline:.4f}",
                    NAMES.get(str(outcome.best), str(outcome.best)),
                    ", ".join(NAMES.get(source, source) for source in outcome.may_be_best) or "not known",
                ]
                for outcome in base.outcomes
            ),
        ),
        "## What this is not",
        "",
        f"- The smallest setting there is: {min(tokens):,} to {max(tokens):,} tokens a run, a model of 135 million parameters, {design['items']} items an outcome. It shows the table with its "
        "intervals, and what they can tell apart at this size; at the sizes people train at, effects may be others.",
        f"- Rows have at most {design['row_tokens']} tokens of the base's template, items {design['item_tokens']}: of sources with long rows the short ones.",
        "- One epoch of an arm's rows: an arm with a source is trained on twice the rows of the base, which the control row shows.",
        "- Losses of held-out responses, not tasks: a loss is on the right side of a task's metric in about two of three comparisons (1,750 published cells).",
        "- Alpaca, Code Alpaca and GPT-4's answers are for non-commercial use; none of their text is here.",
        "",
        f"A run took {min(seconds):,.0f} to {max(seconds):,.0f} s of wall time on one core beside other work. Made with instructsel {content['versions'].get('instructsel', '')}, "
        f"torch {content['versions'].get('torch', '')}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the page and the map."""
    PAGE.write_text(page(), encoding="utf-8")
    MAP.parent.mkdir(exist_ok=True)
    MAP.write_text(drawn(matrix(figures(), "base").as_dict()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)} and {MAP.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
