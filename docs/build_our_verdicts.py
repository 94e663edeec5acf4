"""Write docs/why/our_verdicts.md from benchmarks/results/verification_*.json and .parquet."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instructsel.reports.charts import Effect, forest
from instructsel.reports.plain_text import PHRASES
from instructsel.verification.schema import upgraded
from instructsel.verification.skills import SkillTable
from instructsel.verification.verdict import ComparisonSettings, Verdict, Verdicts
from instructsel.verification.verification import Verification

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "why" / "our_verdicts.md"
CHARTS = ROOT / "docs" / "why" / "our_verdicts"
RESULTS = ROOT / "benchmarks" / "results"
SELECTION = "selection"
LOSS = "loss on report"
POOLS = {"dolly": "Dolly", "alpaca": "Alpaca"}
RULES = {
    "eq4-without-reward": "Eq. 4 without its reward",
    "our-rule": "the rule of our study, six indicators",
    "our-rule-best-subset": "the rule of our study, best subset",
}


def load(name: str) -> tuple[dict[str, Any], Verification]:
    """A result: what was run, and every grade."""
    result = upgraded(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
    return result, Verification.read(RESULTS / f"{name}.parquet")


def names() -> list[str]:
    """The results there are, pools and rules in order."""
    return [f"verification_{pool}_{rule}" for pool in POOLS for rule in RULES if (RESULTS / f"verification_{pool}_{rule}.json").exists()]


def verdicts(result: dict[str, Any], verification: Verification) -> Verdicts:
    """Recomputed from the grades; the bootstrap stands beside an interval and changes no outcome."""
    return verification.verdicts(
        SELECTION, [arm for arm in verification.arms if arm != SELECTION], settings=ComparisonSettings(result["confidence"], n_resamples=0)
    )


def phrase(outcome: str, against: str) -> str:
    """The outcome against a baseline, as every report words it."""
    return PHRASES[outcome].format(against=against) if outcome in PHRASES else outcome


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def difference(verdict: Verdict) -> str:
    """With its interval, or why there is none."""
    interval = verdict.interval
    if interval.low is None or interval.high is None:
        return verdict.reason or "no interval"
    return f"{interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def detectable(verdict: Verdict) -> str:
    """The minimum detectable effect (80 % power)."""
    interval = verdict.interval
    if interval.detectable is None:
        return ""
    return f"{interval.detectable:.4f}" + ("" if interval.detectable_sd is None else f" ({interval.detectable_sd:.2g} SD)")


def means(verification: Verification) -> list[str]:
    """Every arm's mean by grader, each replicate counting once."""
    table_of = SkillTable.measured(verification, base="base") if "base" in verification.arms else None
    graders = sorted(verification.graders)
    runs = {arm: sum(len(seeds) for seeds in replicates.values()) for arm, replicates in verification.as_dict()["arms"].items()}
    rows = []
    for arm in verification.arms:
        cells = [] if table_of is None else [table_of.cells[arm][grader] for grader in graders]
        values = ["" if cell.value is None else f"{cell.value:.4f}{' (regressed)' if cell.regressed else ''}" for cell in cells]
        rows.append([arm, str(runs[arm]), *values])
    return table(["arm", "models", *graders], rows)


def trained(result: dict[str, Any]) -> list[str]:
    """What became of every arm's rows: trained on, skipped for want of a loss token, cut."""
    subsets: dict[str, list[dict[str, Any]]] = {}
    for training in result["trained"]:
        subsets.setdefault(training["arm"], []).append(training)
    rows = []
    for arm, models in sorted(subsets.items()):
        audits = {model["replicate"]: model["audit"] for model in models}.values()
        spans = [
            extent(audit["rows"] for audit in audits),
            extent(audit["trained_rows"] for audit in audits),
            extent(sum((audit["skipped"] if "skipped" in audit else audit["refused"]).values()) for audit in audits),
            extent(audit["truncated"] for audit in audits),
            extent(model["tokens_seen"] for model in models),
            extent(model["tokens_trained"] for model in models),
        ]
        rows.append([arm, *spans])
    return table(["arm", "rows", "trained on", "skipped", "cut", "tokens a model saw", "of these loss tokens"], rows)


def durations(result: dict[str, Any]) -> str:
    """How long a training took, on a machine that did other things besides."""
    seconds = [training["seconds"] for training in result["trained"]]
    brief = sum(run_seconds <= 60 for run_seconds in seconds)
    return f"A training took {statistics.median(seconds):.0f} s (median), {brief} of {len(seconds)} at most 60 s, the longest {max(seconds):.0f} s; test runs stood beside some."


def extent(counts: Iterable[int]) -> str:
    """The least and the greatest of an arm's subsets or models."""
    known = sorted(counts)
    return f"{known[0]:,}" if known[0] == known[-1] else f"{known[0]:,} to {known[-1]:,}"


def costs(result: dict[str, Any]) -> list[str]:
    """What choosing took beside what training took."""
    rows = []
    for arm, cost in result["costs"].items():
        chosen = "unknown" if cost["selection"] is None else f"{cost['selection']:,.0f}"
        rows.append([arm, chosen, f"{cost['training']:,.0f}", f"{cost['grading']:,.0f}"])
    return table(["arm", "choosing the rows, s", "training, s", "grading, s"], rows)


def section(name: str) -> list[str]:
    """One pool and rule."""
    result, verification = load(name)
    compared = verdicts(result, verification)
    against = compared.against(result["against"])
    outcome = result["outcome"] if result["outcome"] == "not enough model" else against.outcome
    seeds = max(len(runs) for runs in verification.as_dict()["arms"][SELECTION].values())
    recipe = result["recipe"]
    length = (
        f"{recipe['steps']:,} steps of {recipe.get('batch_size', recipe.get('batch'))} rows"
        if recipe["steps"] is not None
        else f"{recipe['tokens']:,} tokens"
    )
    rows = [
        [
            verdict.grader,
            verdict.baseline,
            difference(verdict),
            verdict.outcome,
            detectable(verdict),
            f"{verdict.p_adjusted:.2g}" if verdict.p_adjusted is not None else "",
        ]
        for verdict in compared
    ]
    return [
        f"## {POOLS[result['pool']]}: {RULES[result['rule']]}",
        "",
        f"**Outcome: {phrase(outcome, result['against'])}.** {result['rows']:,} of {result['examples']:,} rows, {length} for every arm, "
        f"{seeds} training seed{'s' * (seeds > 1)} for every subset (commit {result['commit']}, {result['date'][:10]}).",
        "",
        *means(verification),
        f"![Selection minus random, by grader](our_verdicts/{name}.svg)",
        "",
        f"Selection minus baseline; intervals hold for all {len(compared)} comparisons together.",
        "",
        *table(["grader", "against", "difference", "outcome", "minimum detectable effect", "p, adjusted"], rows),
        f"A row is skipped where its prompt alone fills the base's {result['recipe']['max_length']} tokens, and cut where its response "
        "goes beyond. All arms are trained for the same steps; those of longer rows see more tokens.",
        "",
        *trained(result),
        durations(result),
        "",
        *costs(result),
        *([f"Failed runs: {len(result['failures'])}.", ""] if result["failures"] else []),
    ]  # fmt: skip


def chart(name: str) -> str:
    """The differences to random in standard deviations over items, good to the right."""
    result, verification = load(name)
    effects = []
    for verdict in verdicts(result, verification).against(result["against"]):
        interval, sign = verdict.interval, 1.0 if verdict.scale.higher_is_better else -1.0
        if interval.low is None or interval.high is None or interval.item_sd is None:
            continue
        low, high = sorted((sign * interval.low / interval.item_sd, sign * interval.high / interval.item_sd))
        effects.append(
            Effect(verdict.grader, verdict.outcome, sign * interval.estimate / interval.item_sd, low, high, interval.detectable_sd)
        )
    return forest(
        effects,
        title=f"{POOLS[result['pool']]}: selection minus {result['against']}",
        x_label="standard deviations over items; right is better",
    )


def in_short(result: dict[str, Any], verification: Verification) -> str:
    """The outcome, and what stands behind it by the loss, whose items are the most."""
    against = verdicts(result, verification).against(result["against"])
    outcome = result["outcome"] if result["outcome"] == "not enough model" else against.outcome
    (loss,) = [verdict for verdict in against if verdict.grader == LOSS]
    effect = "" if detectable(loss) == "" else f"; minimum detectable effect (80 % power): {detectable(loss)}"
    return (
        f"- {POOLS[result['pool']]}, {RULES[result['rule']]}: **{phrase(outcome, result['against'])}**. "
        f"By the held-out loss: {loss.outcome}, {difference(loss)} nats per token, lower is better{effect}."
    )


def page() -> str:
    """The page's text, every figure from the results files."""
    verification = names()
    result = [load(name) for name in verification]
    lines = [in_short(summary, grades) for summary, grades in result]
    base = result[0][0]["base"]
    tasks = (base["judged"] or {}).get("tasks") or {}
    of_chance = "; ".join(f"{name} {task['value']:.2f} (chance {task['chance']:.2f})" for name, task in tasks.items())
    held = result[0][0]["held_out"]
    failed = sum(len(summary["failures"]) for summary, _ in result)
    return "\n".join(
        [
            "# Our verdicts",
            "",
            "Written by `docs/build_our_verdicts.py` from `benchmarks/results/verification_*`, which `benchmarks/verification/run.py` makes. How to get one: "
            "[verify a selection](../how-to/verify.md).",
            "",
            *lines,
            "",
            f"The base has {base['parameters']:,} parameters and was trained from scratch (weights {base['weights_sha256'][:12]}; {of_chance}): these figures hold for fine-tunes of such a base, not "
            f"for one of 7 billion. The held-out set is {held['rows']:,} of {held['questions']:,} questions of MT-Bench, Vicuna and AlpacaEval with one response of a strong model each, those whose response fits the base's context; the two tasks are our own (which of four responses belongs to a "
            "question; which of two texts has its words in order). No reward model and no judge was used: no arm is ranked by a reward, and the models' responses were not judged. The target of `rds+` was "
            f"252 other instructions. Failed runs: {failed}.",
            "",
            *(line for name in verification for line in section(name)),
        ]
    )


if __name__ == "__main__":
    CHARTS.mkdir(exist_ok=True)
    for result in names():
        (CHARTS / f"{result}.svg").write_text(chart(result), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
