"""Write docs/why/what_selection_is_worth.md from benchmarks/results/record/, which benchmarks/record/run.py makes."""

from __future__ import annotations

import json
import math
import statistics
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from instructsel.grading.graders.held_out_loss import KIND
from instructsel.stats.correlation import spearman
from instructsel.verification.verdict import ComparisonSettings, Verdict, Verdicts
from instructsel.verification.verification import Verification

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "why" / "what_selection_is_worth.md"
RESULTS: Final = ROOT / "benchmarks" / "results" / "record"
PROTOCOL: Final = ROOT / "benchmarks" / "record" / "protocol.toml"
RANDOM: Final = "random"
LONGEST: Final = "longest"
MATCHED: Final = "length-matched to "
WHOLE: Final = "whole pool"
TASKS: Final = ("lm_eval:truthfulqa:acc_norm", "lm_eval:whose_answer:acc_norm", "checkable")
"""The outcomes beside the loss: two by log probability, one whose answers a program checks."""
POOLS: Final = {"alpaca": "Alpaca", "dolly": "Dolly"}
NAMES: Final = {
    "deita": "DEITA's filter over the longest",
    "eq4-without-reward": "Eq. 4 without its reward",
    "ifd": "IFD, largest below 1 (Superfiltering)",
    "longest": "longest responses",
    "our-rule": "the rule of our own study",
    "plausibility": "random above the median plausibility",
    "rds+": "RDS+ toward the target",
    "whole pool": "the whole pool, one epoch",
    "untouched": "no fine-tune",
}
COST: Final = "cost_dolly.json"
METHODS_AT_SECOND_RATE: Final = 2
"""As the protocol says: the two of the lowest primary outcome."""
RESAMPLES: Final = 10_000
Row = list[str]


def protocol() -> dict[str, Any]:
    """What was decided beforehand."""
    return tomllib.loads(PROTOCOL.read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def named(arm: str) -> str:
    """An arm as the page calls it."""
    name, comma, rest = arm.partition(", ")
    return NAMES.get(name, name) + comma + rest


@dataclass(frozen=True)
class Stage:
    """The grades of a stage on a pool."""

    name: str

    @property
    def exists(self) -> bool:
        """Whether any of its runs is graded."""
        return (RESULTS / f"{self.name}.parquet").exists()

    @cached_property
    def grades(self) -> Verification:
        """All of them."""
        return Verification.read(RESULTS / f"{self.name}.parquet")

    @cached_property
    def trained(self) -> list[dict[str, Any]]:
        """What each run was trained on."""
        path = RESULTS / f"{self.name}.trained.json"
        trained: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return trained

    def runs(self, arm: str) -> int:
        """How many models of an arm are graded."""
        of_arm = self.grades.frame.filter((pl.col("arm") == arm) & (pl.col("grader") == KIND))
        return of_arm.select("replicate", "seed").n_unique()

    def losses(self) -> dict[tuple[str, int, int], float]:
        """Arm, replicate and seed → bits per byte over all held-out answers, every answer counted once."""
        frame = self.grades.frame.filter(pl.col("grader") == KIND).drop_nulls("value")
        means = frame.group_by("arm", "replicate", "seed", maintain_order=True).agg(pl.col("value").mean())
        return {(arm, replicate, seed): value for arm, replicate, seed, value in means.iter_rows()}

    def mean(self, arm: str) -> float:
        """Bits per byte of an arm: every subset counts alike, and in it every seed."""
        by_replicate: dict[int, list[float]] = {}
        for (name, replicate, _), value in self.losses().items():
            if name == arm:
                by_replicate.setdefault(replicate, []).append(value)
        return statistics.fmean(statistics.fmean(values) for values in by_replicate.values())

    def against(self, baseline: str, arms: Sequence[str], grader: str = KIND, *, pool_seeds: bool = False) -> dict[str, Verdict]:
        """Baseline minus arm, for each arm, corrected for the number of arms."""
        settings = ComparisonSettings(protocol()["statistics"]["confidence"], n_resamples=0, pool_seeds=pool_seeds)
        verdicts: Verdicts = self.grades.verdicts(baseline, list(arms), graders=[grader], settings=settings)
        return {verdict.baseline: verdict for verdict in verdicts}

    def methods(self) -> list[str]:
        """The ways to select at equal tokens that have runs."""
        return [arm for arm in (*protocol()["stage_1"]["methods"], LONGEST) if arm in self.grades.arms]


def gain(verdict: Verdict, digits: int = 4) -> str:
    """What an arm gains over the baseline, with its interval; positive is better."""
    interval = verdict.interval
    # The baseline stands first in the comparison: of a loss its surplus is the arm's gain, of a score its deficit.
    sign = -1.0 if verdict.scale.higher_is_better else 1.0
    if interval.low is None or interval.high is None:
        return "" if not np.isfinite(interval.estimate) else f"{sign * interval.estimate:+.{digits}f} (no interval)"
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"{sign * interval.estimate:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def reached(verdicts: Iterable[Verdict]) -> str:
    """The smallest and the largest difference that comparisons could have detected."""
    reach = [verdict.interval.detectable for verdict in verdicts if verdict.interval.detectable is not None]
    return f"{min(reach):.4f} to {max(reach):.4f}" if reach else "an unknown number of"


def outcome(verdict: Verdict) -> str:
    """The outcome from the arm's side."""
    return {"better": "worse", "worse": "better"}.get(verdict.outcome, verdict.outcome)


def told(verdict: Verdict) -> str:
    """The outcome in words, with what shows it where the interval does not."""
    return outcome(verdict) + (f" (Holm's p {verdict.p_adjusted:.2g})" if verdict.by_holm_alone else "")


def beats(verdict: Verdict | None) -> bool:
    """Whether the arm is better than the baseline it was compared with."""
    return verdict is not None and outcome(verdict) == "better"


def gained(verdict: Verdict) -> float:
    """What an arm gains over the baseline; positive is better."""
    return -verdict.interval.estimate if verdict.scale.higher_is_better else verdict.interval.estimate


def works(method: str) -> tuple[bool, str]:
    """Whether a method works, as the protocol defined it beforehand, and the first thing that it misses."""
    signs, tasks = [], []
    for pool in POOLS:
        first, second = Stage(f"stage_1_{pool}"), Stage(f"stage_2_{pool}")
        if not first.exists or method not in first.grades.arms:
            return False, "not run on both pools"
        for baseline in (RANDOM, LONGEST):
            if method != baseline and not beats(first.against(baseline, [arm for arm in first.methods() if arm != baseline]).get(method)):
                return False, f"not better than {baseline} on {POOLS[pool]}"
        matched = f"{MATCHED}{method}"
        if matched not in first.grades.arms or not beats(first.against(matched, [method])[method]):
            return False, f"not better than length-matched on {POOLS[pool]}"
        signs.append(np.sign(gained(first.against(RANDOM, [method])[method])))
        if second.exists and method in second.grades.arms:
            signs.append(np.sign(gained(second.against(RANDOM, [method])[method])))
        else:
            return False, f"not run at a second learning rate on {POOLS[pool]}"
        tasks.append(any(beats(first.against(RANDOM, [method], task)[method]) for task in TASKS))
    if len(set(signs)) > 1:
        return False, "another sign on another pool or at another learning rate"
    return (True, "") if all(tasks) else (False, "better in no task")


def has_failed(method: str) -> str:
    """What a method misses already on a pool whose runs are all there; empty where it may still pass."""
    for pool in POOLS:
        stage = Stage(f"stage_1_{pool}")
        if not stage.exists or missing_of(stage):
            continue
        verdict = stage.against(RANDOM, stage.methods())[method]
        if not beats(verdict):
            return f"not better than {RANDOM} on {POOLS[pool]}: {outcome(verdict)}"
    return ""


def missing_of(stage: Stage) -> set[str]:
    """The ways that lack runs; verdicts are corrected for all ways at once, so that none is given before each has all of its own."""
    settings = protocol()["stage_1"]
    return {arm for arm in (*settings["methods"], LONGEST) if stage.runs(arm) < settings["seeds"]}


def tokens_of(stage: Stage, arm: str) -> str:
    """Rows and tokens of an arm's subsets."""
    runs = [run for run in stage.trained if run["arm"] == arm and run["tokens"]]
    if not runs:
        return ""
    return f"{statistics.fmean(run['trained_rows'] for run in runs):,.0f} / {statistics.fmean(run['tokens'] for run in runs):,.0f}"


def same_models(stage: Stage) -> list[str]:
    """The ways whose models are the same, seed for seed, since they took the same rows."""
    losses = stage.losses()
    by_models: dict[tuple[float, ...], list[str]] = {}
    for arm in stage.methods():
        by_models.setdefault(tuple(value for (name, *_), value in sorted(losses.items()) if name == arm), []).append(named(arm))
    return [
        line
        for arms in by_models.values()
        if len(arms) > 1
        for line in (f"One and the same rows, so the same models: {', '.join(arms)}.", "")
    ]


def of_pool(pool: str) -> list[str]:
    """Stage 1 on a pool, with stage 2 beside it."""
    stage, second = Stage(f"stage_1_{pool}"), Stage(f"stage_2_{pool}")
    if not stage.exists:
        return [f"## {POOLS[pool]}", "", "No run yet.", ""]
    if missing := missing_of(stage):
        arms = [
            [named(arm), f"{stage.runs(arm)}", tokens_of(stage, arm), f"{stage.mean(arm):.4f}"]
            for arm in sorted(stage.grades.arms, key=stage.mean)
        ]
        return [f"## {POOLS[pool]}", "", f"Not complete yet, so without verdicts: {len(missing)} of {len(protocol()['stage_1']['methods']) + 1} ways lack runs.", "", *table(["chosen by", "models", "rows / tokens", "bits per byte"], arms)]  # fmt: skip
    compared = stage.against(RANDOM, stage.methods())
    rows = []
    for arm in sorted(compared, key=stage.mean):
        verdict = compared[arm]
        at_second = gain(second.against(RANDOM, [arm])[arm]) if is_finished(pool) and arm in second.grades.arms else ""
        scores = [gain(stage.against(RANDOM, [arm], task)[arm], 2) for task in TASKS if task in stage.grades.graders]
        rows.append([named(arm), tokens_of(stage, arm), f"{stage.mean(arm):.4f}", gain(verdict), told(verdict), at_second, *scores])
    pooled = stage.against(RANDOM, stage.methods(), pool_seeds=True)
    by_holm = [verdict for verdict in (*compared.values(), *pooled.values()) if verdict.by_holm_alone]
    rest = [arm for arm in stage.grades.arms if arm not in compared and arm != RANDOM]
    beside = [[named(arm), tokens_of(stage, arm), f"{stage.mean(arm):.4f}", gain(stage.against(RANDOM, [arm])[arm])] for arm in rest]
    return [
        f"## {POOLS[pool]}: equal tokens",
        "",
        f"Random: {stage.runs(RANDOM)} models, {stage.mean(RANDOM):.4f} bits per byte, {tokens_of(stage, RANDOM)} rows and tokens. "
        f"The study could detect {reached(compared.values())} bits per byte with 80 % power.",
        "",
        *table(
            ["chosen by", "rows / tokens", "bits per byte", "gain over random", "outcome", "gain at a third of the learning rate", *(f"gain in {task.removeprefix('lm_eval:')}" for task in TASKS)],
            rows,
        ),
        "The outcome is corrected for all ways (Holm). The columns behind it are secondary, each interval by itself. "
        + (
            f"At a third of the learning rate random gives {second.mean(RANDOM):.4f} bits per byte; longest and the two best ways were run there."
            if is_finished(pool)
            else "The models at a third of the learning rate are not all there yet."
        ),
        "",
        "Secondary, not decided beforehand: the same with the variance of seeds pooled over all ways, as if all varied alike, so that two seeds a way are not one degree of freedom. "
        f"So read, {reached(pooled.values())} bits per byte could have been detected.",
        "",
        *table(["chosen by", "gain over random", "outcome"], [[named(arm), gain(pooled[arm]), told(pooled[arm])] for arm in sorted(pooled, key=stage.mean)]),
        *([f"Intervals are as wide as all {by_holm[0].comparisons} comparisons need to hold together (Bonferroni). Where one holds 0 and the outcome is still better or worse, that is by Holm's correction, whose p value stands beside it.", ""] if by_holm else []),
        *same_models(stage),
        "Not at equal tokens, for orientation; intervals are not corrected for each other:",
        "",
        *table(["arm", "rows / tokens", "bits per byte", "gain over random"], beside),
    ]  # fmt: skip


def stage_0() -> list[str]:
    """The repeated null result."""
    stage = Stage("stage_0")
    if not stage.exists or RANDOM not in stage.grades.arms:
        return ["## A published null result, repeated", "", "Not complete yet.", ""]
    verdict = stage.against(RANDOM, ["ifd"])["ifd"]
    settings = protocol()["stage_0"]
    reach = "unknown" if verdict.interval.detectable is None else f"{verdict.interval.detectable:.4f}"
    return [
        "## A published null result, repeated",
        "",
        f"The {settings['rows']} of {settings['candidates']:,} Alpaca rows of the highest IFD against {settings['rows']} random ones, all weights trained, {stage.runs('ifd')} and {stage.runs(RANDOM)} models. "
        f"Published: {settings['compare_with']}. Here, in bits per byte: "
        f"IFD {stage.mean('ifd'):.4f}, random {stage.mean(RANDOM):.4f}, untouched {stage.mean('untouched'):.4f}; gain of IFD {gain(verdict)}: **{outcome(verdict)}**. The difference that three runs a side could detect with 80 % power: {reach}.",
        "",
    ]


def scored(predicted: dict[str, dict[str, float]], losses: dict[str, float], name: str) -> tuple[float, float, float]:
    """Spearman of what an indicator says of the halves with their losses, and its 95 % bootstrap interval over pairs of halves."""
    pairs: dict[str, list[str]] = {}
    for arm in losses:
        pairs.setdefault(arm.rpartition("-")[0], []).append(arm)
    keys = sorted(pairs)

    def of(arms: Sequence[str]) -> float | None:
        return spearman(np.array([predicted[arm][name] for arm in arms]), np.array([losses[arm] for arm in arms]))

    drawn = np.random.default_rng(0).integers(len(keys), size=(RESAMPLES, len(keys)))
    values = [of([arm for place in row for arm in pairs[keys[place]]]) for row in drawn]
    low, high = np.quantile([value for value in values if value is not None], [0.025, 0.975])
    return of(sorted(losses)) or 0.0, float(low), float(high)


def stage_4() -> list[str]:
    """Linear datamodeling score."""
    stage, path = Stage("stage_4"), RESULTS / "stage_4.predicted.json"
    if not stage.exists or not path.exists():
        return ["## Halves", "", "Not complete yet.", ""]
    predicted = json.loads(path.read_text(encoding="utf-8"))
    losses = {arm: value for (arm, _, _), value in stage.losses().items() if arm.startswith("half ")}
    names = sorted(next(iter(predicted.values())))
    found = {name: scored(predicted, losses, name) for name in names}
    apart = [name for name, (_, low, high) in found.items() if low > 0 or high < 0]
    said = f"The interval leaves 0 out for {', '.join(of_rows(name) for name in apart)} alone" if apart else "Every interval holds 0"
    return [
        "## Halves: what indicators say of sets of rows",
        "",
        f"{len(losses)} models on random halves of {protocol()['stage_4']['rows']} Dolly rows; their bits per byte have a standard deviation of {statistics.stdev(losses.values()):.5f}. "
        "Spearman's correlation of the mean of an indicator over a half with the half's loss, with a 95 % bootstrap interval over pairs of halves (linear datamodeling score); "
        f"negative where higher values go with a lower loss; of rules the value is the loss that they predict. {said}, none of them corrected for the {len(names)} that were asked.",
        "",
        *table(
            ["mean over a half", "correlation with the loss"],
            [[of_rows(name), f"{r:+.2f} [{low:+.2f}, {high:+.2f}]"] for name, (r, low, high) in found.items()],
        ),
    ]


def of_rows(name: str) -> str:
    """How an indicator's values are called; a way to select by them may be another thing."""
    return {"ifd": "IFD", "plausibility": "plausibility"}.get(name, named(name))


def stage_3() -> list[str]:
    """Quantiles."""
    stage = Stage("stage_3")
    bins = {indicator: [f"{indicator} bin {number}" for number in range(protocol()["stage_3"]["bins"])] for indicator in protocol()["stage_3"]["indicators"]}  # fmt: skip
    there = [arm for arms in bins.values() for arm in arms if stage.exists and arm in stage.grades.arms]
    n_models = sum(map(len, bins.values()))
    if len(there) < n_models:
        return ["## Fifths", "", f"Not complete yet: {len(there)} of {n_models} models.", ""]
    learned = {run["arm"]: f"{run['rows']:,} / {run['loss_tokens']:,}" for run in stage.trained}
    rows = []
    for indicator, arms in bins.items():
        values = [stage.mean(arm) for arm in arms]
        r = spearman(np.arange(len(values), dtype=float), np.array(values))
        cells = [f"{value:.4f}" + (f" ({learned[arm]})" if arm in learned else "") for arm, value in zip(arms, values, strict=True)]
        rows.append([named(indicator) + (", farthest first" if indicator.startswith("knn") else ""), *cells, f"{r:+.1f}"])
    n_bins = protocol()["stage_3"]["bins"]
    surest = 2 / math.factorial(n_bins)
    return [
        "## Fifths of a pool, by indicator",
        "",
        f"The candidates of {POOLS[protocol()['stage_3']['pool']]} in the order in which selection would take them, cut in fifths, and one model on each: "
        f"a drawn order of its rows, up to {protocol()['pools']['tokens']:,} tokens. Bits per byte, and in brackets its rows and the tokens of their answers, which it learned from; "
        f"the correlation is positive where rows taken earlier give a lower loss. {spread()}",
        "",
        *table(["sorted by", *(f"fifth {number + 1}" for number in range(n_bins)), "Spearman"], rows),
        f"Five models cannot show much: even of five in perfect order the exact p is {surest:.3f}, and {min(1.0, surest * len(bins)):.3f} corrected for the {len(bins)} that were asked. "
        "So this table describes, and decides nothing.",
        "",
    ]


def spread() -> str:
    """How far random subsets of the pool of stage 3 lie apart at the same tokens."""
    stage = Stage(f"stage_1_{protocol()['stage_3']['pool']}")
    losses = [value for (arm, _, _), value in stage.losses().items() if arm == RANDOM] if stage.exists else []
    if len(losses) < 2:
        return ""
    return (
        f"{len(losses)} models on random subsets of the same pool, at as many tokens, lie between {min(losses):.4f} and {max(losses):.4f}."
    )


def stage_5() -> list[str]:
    """Rows and steps: what the loss of an arm goes with at equal tokens, and ways beside random rows of their lengths."""
    first = {pool: Stage(f"stage_1_{pool}") for pool in POOLS}
    over = [told_of_rows(stage, [RANDOM, *stage.methods()], f"arms of {POOLS[pool]}") for pool, stage in first.items() if stage.exists]
    fifths = Stage("stage_3")
    if fifths.exists:
        over.append(told_of_rows(fifths, [arm for arm in fifths.grades.arms if " bin " in arm], "fifths of Dolly"))
    correlations = "; ".join(filter(None, over)) or "not complete yet"
    return [
        "## Rows and steps at equal tokens",
        "",
        f"Secondary, not decided beforehand. A way that takes long rows takes few of them, and its model takes few steps, of {protocol()['recipe']['batch_size']} rows each. "
        f"Spearman's correlation of the number of rows with the loss, with a 95 % bootstrap interval: {correlations}. "
        "Ways that take the same rows are one arm here. Arms share rows, so the intervals are rather too narrow than too wide.",
        "",
        *beside_rows_as_long(first),
    ]


def beside_rows_as_long(first: Mapping[str, Stage]) -> list[str]:
    """Ways beside random rows of their response lengths, when all their models are there."""
    settings = protocol()["stage_5"]
    beside = {pool: Stage(f"stage_5_{pool}") for pool in settings["pools"]}
    matched = {method: f"{MATCHED}{method}" for method in settings["methods"]}
    n_models = len(beside) * len(matched) * settings["length_matched_subsets"]
    n_there = sum(stage.runs(arm) for stage in beside.values() if stage.exists for arm in matched.values())
    if n_there < n_models:
        return [f"Ways beside random rows of their lengths: not complete yet, {n_there} of {n_models} models.", ""]
    rows: dict[str, Row] = {method: [named(method)] for method in matched}
    verdicts: list[Verdict] = []
    for pool, stage in beside.items():
        both = joined(first[pool], stage)
        for method, arm in matched.items():
            random, as_long = (both.against(baseline, [method], pool_seeds=True)[method] for baseline in (RANDOM, arm))
            n_rows = [tokens_of(of, name).partition(" / ")[0] for of, name in ((first[pool], method), (stage, arm))]
            rows[method] += [" / ".join(n_rows), gain(random), gain(as_long)]
            verdicts.append(as_long)
    n_apart = sum(outcome(verdict) in ("better", "worse") for verdict in verdicts)
    columns = ("rows, and of random as long", "gain over random", "gain over random as long")
    return [
        f"So each way stands here beside {settings['length_matched_subsets']} models on random rows whose responses are as long as its own. "
        "Each interval by itself, with the variance of seeds pooled over all ways.",
        "",
        *table(["chosen by", *(f"{column} on {POOLS[pool]}" for pool in beside for column in columns)], rows.values()),
        f"{n_apart or 'None'} of {len(verdicts)} is seen to differ from random rows of its lengths; {reached(verdicts)} bits per byte could have been detected.",
        "",
    ]


def told_of_rows(stage: Stage, arms: Sequence[str], noun: str) -> str:
    """Spearman of the rows of these arms with their losses, and its interval; arms on the same rows count once. "" of fewer than three."""
    rows_of: dict[str, list[int]] = {}
    for run in stage.trained:
        rows_of.setdefault(run["arm"], []).append(run["trained_rows"])
    found = {(statistics.fmean(rows_of[arm]), stage.mean(arm)) for arm in arms if arm in rows_of}
    if len(found) < 3:
        return ""
    rows, losses = (np.array(values) for values in zip(*sorted(found), strict=True))
    drawn = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    values = [value for places in drawn if (value := spearman(rows[places], losses[places])) is not None]
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{spearman(rows, losses) or 0.0:+.2f} [{low:+.2f}, {high:+.2f}] over {len(rows)} {noun}"


def joined(first: Stage, second: Stage) -> Stage:
    """The grades of two stages on one pool, by the primary outcome."""
    both = Stage(f"{first.name} and {second.name}")
    frames = [stage.grades.frame.filter((pl.col("grader") == KIND) & (pl.col("arm") != "untouched")) for stage in (first, second)]
    both.__dict__["grades"] = replace(first.grades, frame=pl.concat(frames).sort("grader", "arm", "replicate", "seed", "item"), graders={KIND: first.grades.graders[KIND]})  # fmt: skip
    return both


def is_finished(pool: str) -> bool:
    """Whether a pool has every model of the two stages that the recommendation follows from."""
    first, second, settings = Stage(f"stage_1_{pool}"), Stage(f"stage_2_{pool}"), protocol()
    if not first.exists or missing_of(first) or not second.exists:
        return False
    seeds, methods = settings["stage_1"]["seeds"], [arm for arm in second.methods() if arm != LONGEST]
    counts = [second.runs(arm) >= seeds for arm in (LONGEST, *methods)]
    return len(methods) >= METHODS_AT_SECOND_RATE and all(counts) and second.runs(RANDOM) >= settings["stage_2"]["random_subsets"]


def costs() -> dict[str, float]:
    """Way to select → the work of its models on the candidates of a pool, in trainings at equal tokens."""
    counted: dict[str, float] = json.loads((RESULTS / COST).read_text(encoding="utf-8"))["trainings"] if (RESULTS / COST).exists() else {}
    return counted


def at_a_glance(missed: dict[str, str]) -> list[str]:
    """Every way on every pool whose verdicts are there: gain, verdict, cost, and what it misses first."""
    pools = [pool for pool in POOLS if Stage(f"stage_1_{pool}").exists and not missing_of(Stage(f"stage_1_{pool}"))]
    compared = {pool: Stage(f"stage_1_{pool}").against(RANDOM, Stage(f"stage_1_{pool}").methods()) for pool in pools}
    order = (
        sorted(missed, key=lambda method: statistics.fmean(gained(compared[pool][method]) for pool in pools), reverse=True)
        if pools
        else missed
    )
    cost = costs()
    rows = [
        [
            named(method),
            *(f"{gain(compared[pool][method])} {told(compared[pool][method])}" for pool in pools),
            f"{cost[method]:.1f}" if method in cost else "",
            f"no: {missed[method].partition(':')[0]}" if missed[method] else "yes" if all(is_finished(pool) for pool in POOLS) else "open",
        ]
        for method in order
    ]
    return [
        *table(["chosen by", *(f"gain over random on {POOLS[pool]}, bits per byte" for pool in pools), "cost", "works"], rows),
        f"Cost: what models read to score {protocol()['pools']['candidates']:,} candidates, in trainings at equal tokens, each token of which goes forward and back once (`{COST}`); random costs none. "
        "A way works only if it misses nothing that was decided beforehand; the column says what it misses first.",
        "",
    ]


def recommendation() -> list[str]:
    """What follows from the results, and from nothing else."""
    methods = [*protocol()["stage_1"]["methods"], LONGEST]
    if not all(is_finished(pool) for pool in POOLS):
        missed = {method: has_failed(method) for method in methods}
        failed = [method for method, why in missed.items() if why]
        lines = [
            "The stages that a recommendation would follow from are not complete: until they are, we recommend random selection, beside which every claim has to be proven.",
            "",
        ]
        if failed:
            lines += [
                f"{len(failed)} of {len(methods)} ways cannot pass any more in this study, whatever the stages to come show: as decided beforehand, a way works only if it is better than random on both pools.",
                "",
            ]
        return [*lines, *at_a_glance(missed)]
    judged = {method: works(method) for method in methods}
    good = [method for method, (is_working, _) in judged.items() if is_working]
    return [
        f"**{'Nothing works at this size, as we defined it beforehand.' if not good else 'What works at this size: ' + ', '.join(named(method) for method in good) + '.'}** "
        f"To work means: {protocol()['works']['means'].strip()}",
        "",
        *at_a_glance({method: why for method, (_, why) in judged.items()}),
        f"- Without a target: {'random' if not [method for method in good if method != 'rds+'] else ', '.join(named(method) for method in good if method != 'rds+')}.",
        f"- With a target set: {'RDS+' if 'rds+' in good else 'random; RDS+ did not pass either'}.",
        f"- With a small budget: the same. All of this is of {protocol()['pools']['tokens']:,} tokens, some 300 rows; nothing is said of larger budgets.",
        *with_all_rows(),
        *to_leave_alone(methods),
        "- Random is as good wherever the table says no detectable difference, up to the difference that the study could detect.",
        "",
        *at_second_rate_alone([method for method in methods if method not in good]),
    ]  # fmt: skip


def everywhere(stage: str, arm: str, found: str, family: Sequence[str] = ()) -> list[Verdict]:
    """The verdicts of an arm against random on every pool, where all of them have an outcome; none else.

    Args:
        stage: the stage, without its pool.
        arm: the arm.
        found: the outcome, better or worse.
        family: the arms for all of which the verdicts are to hold together; the arm by itself by default.
    """
    stages = [Stage(f"{stage}_{pool}") for pool in POOLS]
    if not all(one.exists and arm in one.grades.arms for one in stages):
        return []
    verdicts = [one.against(RANDOM, family or [arm])[arm] for one in stages]
    return verdicts if all(outcome(verdict) == found for verdict in verdicts) else []


def with_all_rows() -> list[str]:
    """What training on the whole pool gave, where its interval is above zero on every pool; one model of it is no verdict."""
    gains = []
    for pool, name in POOLS.items():
        stage = Stage(f"stage_1_{pool}")
        verdict = stage.against(RANDOM, [WHOLE])[WHOLE] if WHOLE in stage.grades.arms else None
        if verdict is None or verdict.interval.low is None or min(gained(verdict), verdict.interval.low) <= 0:
            return []
        gains.append(f"{gain(verdict)} on {name}")
    return [
        "- With a budget for every row: every row. The whole pool, several times the tokens, is ahead of random on both pools "
        f"({' and '.join(gains)}; one model each, its variance of seeds taken from the other ways, so no verdict)."
    ]


def to_leave_alone(methods: Sequence[str]) -> list[str]:
    """The ways that are worse than random on every pool."""
    worse = [method for method in methods if everywhere("stage_1", method, "worse", methods)]
    return [f"- Worse than random on both pools, so better left alone: {', '.join(named(method) for method in worse)}."] if worse else []


def at_second_rate_alone(methods: Sequence[str]) -> list[str]:
    """The ways that do not work and are better than random at the second learning rate on every pool."""
    lines = []
    for method in methods:
        verdicts = everywhere("stage_2", method, "better")
        if verdicts:
            gains = " and ".join(f"{gain(verdict)} on {name}" for verdict, name in zip(verdicts, POOLS.values(), strict=True))
            lines += [
                f"One lead, and no result: at a third of the learning rate {named(method)} is better than random on both pools, each interval by itself ({gains}); "
                "at the learning rate that was decided beforehand it is not.",
                "",
            ]
    return lines


def page() -> str:
    """The page's text, every figure from the results files."""
    decided = protocol()
    changes = [f"- `{name}`: {text}" for name, text in decided["changes"].items()]
    return "\n".join(
        [
            "# What selection is worth",
            "",
            "Written by `docs/build_what_selection_is_worth.py` from `benchmarks/results/record/`, which `benchmarks/record/run.py` makes on any machine. "
            "What was decided before the first run stands in `benchmarks/record/protocol.toml`.",
            "",
            f"The model: {decided['model']['note'].strip()} The primary outcome: {decided['outcomes']['primary']}; lower is better, and a gain is positive. "
            f"Smallest effect of interest: {decided['outcomes']['smallest_effect']} bits per byte. Intervals hold for new runs and new answers at once.",
            "",
            *recommendation(),
            *(line for pool in POOLS for line in of_pool(pool)),
            *stage_0(),
            *stage_4(),
            *stage_3(),
            *stage_5(),
            "## What was changed after the protocol was written",
            "",
            *changes,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
