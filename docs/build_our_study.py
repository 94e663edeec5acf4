"""Write docs/why/our_study.md from benchmarks/results/study.json and study.parquet."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "why" / "our_study.md"
RESULTS = ROOT / "benchmarks" / "results"
LEVEL = 0.95
"""Of all comparisons with random together."""
NAMES = {
    "rule-fixed": "the fitted rule, all six indicators",
    "rule-best-subset": "the fitted rule, best subset",
    "random": "random",
    "longest": "longest",
    "plausible": "most plausible",
    "eq4-without-reward": "eq4-without-reward",
}


def load() -> dict[str, Any]:
    """The results file."""
    figures: dict[str, Any] = json.loads((RESULTS / "study.json").read_text(encoding="utf-8"))
    return figures


def observations() -> pl.DataFrame:
    """The fine-tuned sets: what they score on average, and their loss."""
    return pl.read_parquet(RESULTS / "study.parquet")


def predicted(fit: dict[str, Any], frame: pl.DataFrame) -> list[float]:
    """ln L by a fitted rule from the means of each set."""
    weights = {estimate["indicator"]: estimate["weight"] for estimate in fit["estimates"]}
    start = weights.pop("intercept")
    return [start + sum(weight * row[name] for name, weight in weights.items()) for row in frame.iter_rows(named=True)]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def interval(low: float | None, high: float | None, form: str = ".3g") -> str:
    """An interval, or nothing."""
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def pearson(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Pearson's correlation and its 95 % interval by Fisher's transformation."""
    r = statistics.correlation(list(x), list(y))
    inner = max(-0.999999, min(0.999999, r))
    z, half = math.atanh(inner), 1.959963984540054 / math.sqrt(len(x) - 3)
    return r, math.tanh(z - half), math.tanh(z + half)


def runs(figures: dict[str, Any], arm: str, *, equal: str, grader: str = "report") -> dict[str, list[float]]:
    """ln L of an arm's replicates: replicate → one value a seed."""
    losses: dict[str, list[float]] = {}
    for run in figures["unseen"]:
        if run.get("arm") == arm and run.get("equal") == equal:
            replicate = run["name"].removesuffix("-tokens")
            losses.setdefault(replicate, []).append(math.log(run[grader]["loss"]))
    return losses


def against_random(figures: dict[str, Any], arm: str, *, equal: str, grader: str = "report") -> dict[str, float]:
    """How far an arm's mean ln L is from that of random replicates, with the interval a further replicate would fall into.

    The spread is that of the random replicates' means over seeds: an arm of one replicate differs from their mean by
    t · s · √(1 + 1/m) at most, for m replicates, if its choice of rows is worth no more than chance; t at a level that holds for every arm
    and both kinds of equal training together (Bonferroni).
    """
    means = [statistics.fmean(values) for values in runs(figures, "random", equal=equal, grader=grader).values()]
    run_means = [statistics.fmean(values) for values in runs(figures, arm, equal=equal, grader=grader).values()]
    centre, spread, m = statistics.fmean(means), statistics.stdev(means), len(means)
    level = 1 - (1 - LEVEL) / (2 * (len(NAMES) - 1))
    error = spread * math.sqrt(1 / len(run_means) + 1 / m)
    half = float(stats.t.ppf(0.5 + level / 2, m - 1)) * error
    difference = statistics.fmean(run_means) - centre
    detectable = half + float(stats.t.ppf(0.8, m - 1)) * error
    return {"difference": difference, "low": difference - half, "high": difference + half, "spread": spread, "detectable": detectable}


def verdict(comparison: dict[str, float]) -> str:
    """better, worse, or no detectable difference, with the minimum detectable effect."""
    if comparison["high"] < 0:
        return "better"
    if comparison["low"] > 0:
        return "worse"
    return f"no detectable difference (minimum detectable effect, 80 % power: {comparison['detectable']:.4f})"


def fit_table(fit: dict[str, Any]) -> list[str]:
    """The coefficients of a fit."""
    rows = [
        [
            estimate["indicator"],
            f"{estimate['weight']:.3g}",
            f"{estimate['se']:.2g}",
            "" if estimate["p"] is None else f"{estimate['p']:.2g}",
            interval(estimate["low"], estimate["high"]),
            interval(estimate["bootstrap_low"], estimate["bootstrap_high"]),
            "" if estimate["vif"] is None else f"{estimate['vif']:.1f}",
            interval(estimate["least"], estimate["greatest"]),
        ]
        for estimate in fit["estimates"]
    ]
    return table(["", "weight", "SE", "p", "95 % interval", "bootstrap", "VIF", "fitted range"], rows)


def quality(fit: dict[str, Any]) -> str:
    """What a fit explains, of its own rows and of rows left out."""

    def told(value: float | None, reason: str | None) -> str:
        return f"unknown ({reason})" if value is None else f"{value:.2f}"

    return (
        f"n {fit['n']}, R² {fit['r2']:.2f}, adjusted {fit['adjusted_r2']:.2f}; with one row left out {told(fit['loo_r2'], fit['loo_reason'])}, "
        f"with one source left out {told(fit['loso_r2'], fit['loso_reason'])}; residual standard deviation {fit['residual_sd']:.4f} in ln L."
    )


def eighths(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the unseen pool by rule value: mean rule value and ln L over seeds."""
    parts: dict[int, list[dict[str, Any]]] = {}
    for run in figures["unseen"]:
        if run.get("arm") == "eighth":
            parts.setdefault(run["part"], []).append(run)
    return [
        {
            "part": part,
            "rule": trained[0]["rule"],
            "report": statistics.fmean(math.log(run["report"]["loss"]) for run in trained),
            "fitting": statistics.fmean(math.log(run["fitting"]["loss"]) for run in trained),
            "tokens": statistics.fmean(run["tokens_trained"] for run in trained),
        }
        for part, trained in sorted(parts.items())
    ]


def page() -> str:
    """The page's text, every figure from the results files."""
    figures = load()
    base, fits, scale = figures["base"], figures["fits"], figures["scale"]
    fixed, chosen = fits["fixed"]["rule"]["fit"], fits["best-subset"]["rule"]["fit"]
    held, judged = base["held_out"], base["judged"]
    seconds = [run_seconds for run_seconds in figures["seconds_a_run"] if run_seconds is not None]
    parts = eighths(figures)
    order = pearson([part["rule"] for part in parts], [part["report"] for part in parts])
    frame = observations()
    mixed, bins = frame.filter(pl.col("design") == "mixture"), frame.filter(pl.col("design") == "bin")
    alone = [entry for entry in fits["fixed"]["univariate"] if entry["design"] == "mixture"]
    closest = max(alone, key=lambda each: abs(each["pearson"] or 0.0))["indicator"]
    tokens = pearson([math.log(count) for count in mixed["tokens_trained"]], mixed["log_loss"].to_list())
    rule_rows = against_random(figures, "rule-fixed", equal="rows")
    rule_tokens = against_random(figures, "rule-fixed", equal="tokens")
    held_items = next(run["report"]["n"] for run in figures["unseen"] if run.get("arm") == "eighth")
    base_run = next(run for run in figures["unseen"] if run["name"] == "base")
    lines = [
        "# Our study",
        "",
        f"Written by `docs/build_our_study.py` from `benchmarks/results/study.json` (commit {figures['commit']}, {figures['date'][:10]}), which "
        "`benchmarks/study/run.py` makes. How to run one: [a study](../how-to/run-a-study.md).",
        "",
        "InstructMining's method on our own runs: fine-tune on mixtures of sources, regress ln L on what the mixtures score on average, rank a pool that had no part "
        "in it by the fitted rule, and compare with random subsets. The base has "
        f"{base['parameters'] / 1e6:.1f} million parameters. The findings hold for such a base; the method is the paper's.",
        "",
        "## Findings",
        "",
        *summary(figures, fixed, rule_rows, rule_tokens, order, tokens),
        "",
        "## The base",
        "",
        f"A LLaMA of {base['parameters']:,} parameters, trained from scratch on {base['learning']['tokens'] / 1e6:.0f} million tokens of English text that is neither pool nor evaluation "
        f"(`benchmarks/models/tinybase`; corpus {base['corpus']['sha256'][:12]}, weights {base['weights_sha256'][:12]}). Its loss on held-out text is {held['model']:.2f} nats per token, a unigram model's {held['unigram']:.2f}. "
        + "; ".join(
            f"{name} {task['value']:.2f} ± {task['standard_error']:.2f} (chance {task['chance']:.2f})"
            for name, task in judged["tasks"].items()
        )
        + f". {'The base is better than chance: verdicts on models of its size can rest on it.' if judged['enough_model'] else '**Not enough model: the base is no better than chance, and no verdict can rest on it.**'}",
        "",
        "## The mixtures",
        "",
        f"{scale['mixtures']} mixtures of {scale['rows']:,} rows from five sources, and eighths of the pool by {', '.join(scale['binned'])}; "
        f"{figures['recipe']['epochs']:g} epoch{'s' * (figures['recipe']['epochs'] != 1)}, every weight, learning rate {figures['recipe']['learning_rate']:g}, rows of up to {figures['recipe']['max_length']} tokens; "
        f"graded on five responses each to 252 instructions, the {frame['n_items'][0]:,} of these 1,260 that fit the base's context. A run took {statistics.median(seconds):.0f} s, {sum(run_seconds <= 60 for run_seconds in seconds)} of {len(seconds)} at most 60 s (longest {max(seconds):.0f} s, with other work beside it).",
        "",
        "All six indicators:",
        "",
        *fit_table(fixed),
        quality(fixed),
        "",
        f"Best subset ({', '.join(estimate['indicator'] for estimate in chosen['estimates'][1:])}):",
        "",
        *fit_table(chosen),
        quality(chosen),
        "",
        *(f"- {warning['text']}" for warning in fixed["warnings"]),
        "",
        "Each indicator alone, mixtures only:",
        "",
        *table(
            ["indicator", "Pearson with ln L", "Spearman"],
            [
                [
                    f"[{entry['indicator']}](our_study/{entry['indicator']}.svg)",
                    f"{entry['pearson']:+.2f} {interval(entry['pearson_low'], entry['pearson_high'], '+.2f')}",
                    f"{entry['spearman']:+.2f} {interval(entry['spearman_low'], entry['spearman_high'], '+.2f')}",
                ]
                for entry in alone
            ],
        ),
        f"![ln L against the mean {closest} of a set](our_study/{closest}.svg)",
        "",
        f"The number of loss tokens, which no rule sees, correlates with ln L at {tokens[0]:+.2f} {interval(tokens[1], tokens[2], '+.2f')} (its logarithm). "
        + signs(fixed),
        "",
        *held_bins(fixed, chosen, bins),
        "## How much of it is length",
        "",
        f"Each source alone, {scale['rows']:,} rows (equal rows), and {scale['tokens']:,} tokens (equal tokens); ln L on the same set, mean of {scale['seeds']} seeds.",
        "",
        *lengths(figures),
        "## The unseen pool",
        "",
        f"Dolly had no part in the fit, and the report set ({held_items} responses of strong models to the 160 questions of MT-Bench and Vicuna, those that fit the base's context) none either. Ranked by the rule of six indicators and cut in {len(parts)}; {scale['rows']:,} rows drawn from each part:",
        "",
        *table(
            [
                "part (1: best by the rule)",
                "mean rule score",
                "ln L, report set",
                "ln L, fitting set",
                "tokens trained on",
            ],
            [
                [str(part["part"] + 1), f"{part['rule']:.4f}", f"{part['report']:.4f}", f"{part['fitting']:.4f}", f"{part['tokens']:,.0f}"]
                for part in parts
            ],
        ),
        f"Correlation of rule score and ln L over the parts: {order[0]:+.2f} {interval(order[1], order[2], '+.2f')} (n {len(parts)}).",
        "",
        f"Selections of {scale['rows']:,} rows, each trained on once; random: {scale['draws']} replicates. Differences in ln L on the report set from the random replicates; below 0 is better. "
        f"The interval is where a further random replicate would fall, at the family-wise level of all {2 * (len(NAMES) - 1)} comparisons.",
        "",
        *arms(figures),
        f"The base model: ln L {math.log(base_run['report']['loss']):.4f}. No reward model was used, so reward-only was not run; `plausibility`, which is "
        "[no reward](embedded_reward.md), stands in the table.",
    ]
    return "\n".join(lines) + "\n"


def signs(fit: dict[str, Any]) -> str:
    """How the weights stand to Eq. 4's."""
    sentences = []
    for sign in fit["signs"]:
        sure = "" if sign["certain"] else ", with an interval that holds 0"
        sentences.append(f"{sign['indicator']} {'has the sign' if sign['agrees'] else 'has the opposite sign'} of Eq. 4{sure}")
    return f"In the rule of six indicators {'; '.join(sentences)}." if sentences else ""


def held_bins(fixed: dict[str, Any], chosen: dict[str, Any], bins: pl.DataFrame) -> list[str]:
    """What the rules say of the bins, which they were not fitted on."""
    if bins.height < 4:
        return []
    guesses = [predicted(fit, bins) for fit in (fixed, chosen)]
    measured = bins["log_loss"].to_list()
    rows = [
        [name, f"{tokens:,}", f"{loss:.4f}", f"{first:.4f}", f"{second:.4f}"]
        for name, tokens, loss, first, second in zip(bins["subset"], bins["tokens_trained"], measured, *guesses, strict=True)
    ]
    r = [pearson(guess, measured) for guess in guesses]
    off = [statistics.fmean(abs(a - b) for a, b in zip(guess, measured, strict=True)) for guess in guesses]
    return [
        "The eighths by length had no part in the fit:",
        "",
        *table(
            ["bin, longest responses first", "tokens trained on", "ln L", "predicted by the rule of six", "predicted by the best subset"],
            rows,
        ),
        f"Both rules predict their order (correlation {r[0][0]:+.2f} {interval(r[0][1], r[0][2], '+.2f')} and {r[1][0]:+.2f} {interval(r[1][1], r[1][2], '+.2f')}) and are off by {off[0]:.3f} and {off[1]:.3f} "
        f"on average, where the mixtures have a standard deviation of {fixed['residual_sd']:.4f} about the rule: outside the fitted range a rule predicts the order, not the loss.",
        "",
    ]


def summary(
    figures: dict[str, Any],
    fit: dict[str, Any],
    rows: dict[str, float],
    tokens: dict[str, float],
    order: tuple[float, float, float],
    tokens_r: tuple[float, float, float],
) -> list[str]:
    """The findings, chosen by the figures."""
    explained = fit["loo_r2"] or 0.0
    foreign = fit["loso_r2"]
    held = order[1] > 0
    return [
        f"- The rule explains {fit['r2']:.0%} of the variance of ln L over the mixtures it was fitted on, {explained:.0%} of a mixture left out"
        + (
            f", and {'nothing' if foreign <= 0 else f'{foreign:.0%}'} where the main source is left out (R² {foreign:.2f})."
            if foreign is not None
            else "."
        ),
        f"- On the unseen pool {'a low rule score did mean a low loss' if held else 'a low rule score is not shown to mean a low loss'}: "
        f"correlation {order[0]:+.2f} {interval(order[1], order[2], '+.2f')} over the eighths.",
        f"- The rule's selection against random subsets, equal rows: {verdict(rows)}, {rows['difference']:+.4f} {interval(rows['low'], rows['high'], '+.4f')} in ln L.",
        f"- Equal tokens: {verdict(tokens)}, {tokens['difference']:+.4f} {interval(tokens['low'], tokens['high'], '+.4f')}.",
        *beaten(figures),
        f"- Much of it is length: over the mixtures the number of loss tokens correlates with ln L at {tokens_r[0]:+.2f} {interval(tokens_r[1], tokens_r[2], '+.2f')}. See [each source alone](#how-much-of-it-is-length).",
    ]


def beaten(figures: dict[str, Any]) -> list[str]:
    """How the other selections stand, and the rule beside the baseline that ranks by length alone."""
    lines = []
    for arm in ("longest", "eq4-without-reward", "plausible"):
        comparisons = [against_random(figures, arm, equal=equal) for equal in ("rows", "tokens")]
        sentence = " and ".join(
            f"{verdict(comparison)} at equal {equal} ({comparison['difference']:+.4f} {interval(comparison['low'], comparison['high'], '+.4f')})"
            for comparison, equal in zip(comparisons, ("rows", "tokens"), strict=True)
        )
        lines.append(f"- {NAMES[arm]}, against random: {sentence}.")
    lead = {equal: _gap(figures, "rule-fixed", "longest", equal) for equal in ("rows", "tokens")}
    gap = ", ".join(f"{value:+.4f} at equal {equal}" for equal, value in lead.items())
    return [
        *lines,
        f"- The rule's selection minus the longest responses: {gap} (below 0 the rule is better; one replicate each, no interval).",
    ]


def _gap(figures: dict[str, Any], one: str, other: str, equal: str) -> float:
    means = [statistics.fmean(value for values in runs(figures, arm, equal=equal).values() for value in values) for arm in (one, other)]
    return means[0] - means[1]


def lengths(figures: dict[str, Any]) -> list[str]:
    """Each source alone, at equal rows and at equal tokens."""
    sources = list(dict.fromkeys(run["source"] for run in figures["lengths"]))
    rows: list[list[str]] = []
    by_rows: list[float] = []
    by_tokens: list[float] = []
    for source in sources:
        cells = [source]
        for equal, groups in (("rows", by_rows), ("tokens", by_tokens)):
            matching_runs = [run for run in figures["lengths"] if run["source"] == source and run["equal"] == equal]
            losses = [math.log(run["fitting"]["loss"]) for run in matching_runs]
            groups.append(statistics.fmean(losses))
            spread = f" ± {(max(losses) - min(losses)) / 2:.4f}" if len(losses) > 1 else ""
            cells += [f"{statistics.fmean(run['tokens_trained'] for run in matching_runs):,.0f}", f"{groups[-1]:.4f}{spread}"]
        rows.append(cells)
    wide, narrow = max(by_rows) - min(by_rows), max(by_tokens) - min(by_tokens)
    r = pearson(by_rows, by_tokens)
    return [
        *table(["source", "tokens trained on, equal rows", "ln L", "tokens trained on, equal tokens", "ln L"], rows),
        f"± is half the distance of the two seeds. The sources span {wide:.3f} at equal rows and {narrow:.3f} at equal tokens; their order correlates at {r[0]:+.2f}.",
        "",
    ]


def arms(figures: dict[str, Any]) -> list[str]:
    """The selections and the random replicates."""
    rows = []
    for arm, title in NAMES.items():
        cells = [title]
        for equal in ("rows", "tokens"):
            values = runs(figures, arm, equal=equal)
            if not values:
                cells += ["", "", ""]
                continue
            mean = statistics.fmean(statistics.fmean(losses) for losses in values.values())
            if arm == "random":
                spread = statistics.stdev(statistics.fmean(losses) for losses in values.values())
                cells += [f"{mean:.4f}", f"replicates' standard deviation {spread:.4f}", ""]
                continue
            comparison = against_random(figures, arm, equal=equal)
            cells += [
                f"{mean:.4f}",
                f"{comparison['difference']:+.4f} {interval(comparison['low'], comparison['high'], '+.4f')}",
                verdict(comparison),
            ]
        rows.append(cells)
    header = ["", "ln L, equal rows", "to random", "", "ln L, equal tokens", "to random", ""]
    return table(header, rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
