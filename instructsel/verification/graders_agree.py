"""How far graders agree: a benchmark, a judge and people that saw the same arms and items.

Over arms, two graders agree where they put the arms in the same order. On the items that people judged, another grader agrees with them where it
prefers the same one of two responses; how far people agree among themselves stands beside it, for no grader can be expected to agree more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.grading.results_grades import AGGREGATED
from instructsel.human.results import AGAINST, PEOPLE
from instructsel.human.summary import RELAXED
from instructsel.kinds import GRADERS_AGREE, head
from instructsel.stats.agreement import CONFIDENCE, RESAMPLES, Figure, bounded_mean, cohen_kappa, krippendorff_alpha, raw_agreement
from instructsel.stats.concordance import linear, ranked, same_order
from instructsel.stats.loss_units import LOSS_UNITS
from instructsel.verification.grades_table import Run
from instructsel.verification.verdict import BETTER, WORSE
from instructsel.verification.win_rates import PREFERENCE

Floats = NDArray[np.float64]

JUDGE: Final = "judge"
REWARD: Final = "reward model"
LOSS: Final = "loss"
BENCHMARK: Final = "benchmark"
KINDS: Final = (PEOPLE, JUDGE, BENCHMARK, LOSS, REWARD)
"""In the order in which pairs of them stand."""
LOGIT: Final = "logit"
"""The unit of a reward model's grades."""
NEITHER: Final = frozenset({"characters"})
"""Units of which neither direction is better: such graders agree with nobody."""
MOST: Final = 400
"""Pairs of graders that are compared over arms; people and judges come first."""
SAME: Final = 1e-9
"""Two values that differ by less are a tie."""
FIRST, TIE, SECOND = 0, 1, 2
"""What is preferred of two arms' responses."""

Labels = Mapping[str, tuple[int, int, int]]
"""Item → how often the first arm's response was preferred, neither, the second's."""


@dataclass(frozen=True)
class ArmsAgreement:
    """Two graders over arms: each arm has the mean of its runs, the good direction up."""

    one: str
    other: str
    one_kind: str
    other_kind: str
    n_arms: int
    """Graded by both."""
    same_order: Figure
    """The share of pairs of arms that both put in the same order."""
    rank: Figure
    """Spearman's correlation."""
    linear: Figure
    """Pearson's correlation."""


@dataclass(frozen=True)
class ItemsAgreement:
    """Two graders on the same pairs of responses; the first are people, where either is."""

    one: str
    other: str
    one_kind: str
    other_kind: str
    n_judgments: int
    """Of each annotator one, where people are compared."""
    same: Figure
    """How often both prefer the same of first, tie, second; each item counts once."""
    relaxed: Figure
    """The same, a tie against a win counting one half."""
    kappa: Figure
    """Cohen's kappa, over judgments; items are drawn again."""


@dataclass(frozen=True)
class AmongPeople:
    """How far people agree with each other, on the items that two or more judged."""

    grader: str
    same: Figure
    """Share of pairs of annotators with the same of first, tie, second."""
    relaxed: Figure
    alpha: Figure
    """Krippendorff's alpha of first, tie, second."""


@dataclass(frozen=True)
class GradersAgreement:
    """How far graders agree, over arms and on the same items."""

    kinds: Mapping[str, str]
    """Grader → one of KINDS."""
    confidence: float
    arms: tuple[ArmsAgreement, ...]
    items: tuple[ItemsAgreement, ...]
    people: tuple[AmongPeople, ...]
    contradictions: tuple[Mapping[str, Any], ...] = ()
    """By baseline: graders by which the selection is better, and those by which it is worse."""
    not_compared: int = 0
    """Pairs of graders beyond MOST."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(GRADERS_AGREE), **asdict(self)}


def kind_of(run: Run) -> str:
    """What a grader is: people, a judge, a reward model, a loss, or a benchmark."""
    if (run.grades.record.get("judge") or {}).get("kind") == PEOPLE:
        return PEOPLE
    known = {PREFERENCE: JUDGE, LOGIT: REWARD, **dict.fromkeys(LOSS_UNITS, LOSS)}
    return known.get(run.grades.unit, BENCHMARK)


def graders_agree(
    runs: Iterable[Run],
    graders: Mapping[str, Mapping[str, Any]],
    *,
    verdicts: Iterable[Mapping[str, Any]] = (),
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GradersAgreement | None:
    """How far the graders of a verification agree; None where there is one alone, or all are benchmarks.

    Args:
        runs: of all arms and graders.
        graders: of `Verification.as_dict`: name → `means` and `higher_is_better`.
        verdicts: as plain data, for what graders contradict each other in.
        confidence: of all intervals, in (0, 1).
        resamples: of the bootstraps.
        seed: of the bootstraps.
    """
    by_grader: dict[str, list[Run]] = {}
    for run in runs:
        if run.grades.unit not in NEITHER:
            by_grader.setdefault(run.grades.grader, []).append(run)
    kinds = {grader: kind_of(of_grader[0]) for grader, of_grader in by_grader.items() if grader in graders}
    names = sorted(kinds, key=lambda grader: (KINDS.index(kinds[grader]), grader))
    values = {grader: arm_values(graders[grader]) for grader in names}
    pairs = [pair for pair in itertools.combinations(names, 2) if _compared(*(kinds[grader] for grader in pair))]
    over_arms = [_over_arms(one, other, kinds, values, confidence) for one, other in pairs[:MOST]]
    average = _average(names, kinds, values, graders)
    if average is not None:
        name, mean = average
        with_average = {**values, name: mean}
        kinds_of_all = {**kinds, name: BENCHMARK}
        over_arms += [_over_arms(grader, name, kinds_of_all, with_average, confidence) for grader in names if kinds[grader] != BENCHMARK]
    drawn = {"confidence": confidence, "resamples": resamples, "seed": seed}
    on_items = [_on_items(one, other, kinds, by_grader, drawn) for one, other in pairs if {kinds[one], kinds[other]} & {PEOPLE, JUDGE}]
    among = [_among(grader, by_grader[grader], drawn) for grader in names if kinds[grader] == PEOPLE]
    people = tuple(figures for figures in among if figures is not None)
    if not over_arms and not people:
        return None
    return GradersAgreement(
        kinds,
        confidence,
        tuple(agreement for agreement in over_arms if agreement.n_arms > 1),
        tuple(agreement for agreement in on_items if agreement is not None),
        people,
        tuple(_contradictions(verdicts, kinds)),
        max(0, len(pairs) - MOST),
    )


def arm_values(scale: Mapping[str, Any]) -> dict[str, float]:
    """Arm → the mean over its replicates of the mean over their seeds, the good direction up.

    Args:
        scale: of a grader, as `Verification.as_dict` has it.
    """
    by_arm: dict[str, dict[int, list[float]]] = {}
    for run in scale.get("means") or []:
        if run["mean"] is not None:
            by_arm.setdefault(run["arm"], {}).setdefault(run["replicate"], []).append(run["mean"])
    sign = 1.0 if scale.get("higher_is_better") else -1.0
    return {
        arm: sign * math.fsum(math.fsum(means) / len(means) for means in by_replicate.values()) / len(by_replicate)
        for arm, by_replicate in by_arm.items()
    }


def _compared(one: str, other: str) -> bool:
    """Whether graders of these kinds are compared: benchmarks among themselves measure different skills, and so do losses."""
    return one != other or one in (PEOPLE, JUDGE)


def _over_arms(
    one: str, other: str, kinds: Mapping[str, str], values: Mapping[str, Mapping[str, float]], confidence: float
) -> ArmsAgreement:
    arms = sorted(values[one].keys() & values[other].keys())
    x, y = (np.array([values[grader][arm] for arm in arms], dtype=np.float64) for grader in (one, other))
    figures = (measure(x, y, confidence=confidence) for measure in (same_order, ranked, linear))
    return ArmsAgreement(one, other, kinds[one], kinds[other], len(arms), *figures)


def _average(
    names: Sequence[str], kinds: Mapping[str, str], values: Mapping[str, Mapping[str, float]], graders: Mapping[str, Mapping[str, Any]]
) -> tuple[str, dict[str, float]] | None:
    """The benchmarks' unweighted mean, as papers print it; None where there is one alone, or they have several units or directions."""
    benchmarks = [grader for grader in names if kinds[grader] == BENCHMARK]
    scales = {(graders[grader].get("unit"), graders[grader].get("higher_is_better")) for grader in benchmarks}
    if len(benchmarks) < 2 or len(scales) != 1 or len(benchmarks) == len(names):
        return None
    arms = set.intersection(*(set(values[grader]) for grader in benchmarks))
    means = {arm: math.fsum(values[grader][arm] for grader in benchmarks) / len(benchmarks) for arm in sorted(arms)}
    return f"mean of {len(benchmarks)} benchmarks", means


def _on_items(
    one: str, other: str, kinds: Mapping[str, str], by_grader: Mapping[str, Sequence[Run]], drawn: Mapping[str, Any]
) -> ItemsAgreement | None:
    """Two graders on the pairs of responses that the first one, people or a judge, compared; None where the other saw none of them."""
    tables: dict[str, Floats] = {}
    for item, first, second in _both_labels(by_grader[one], by_grader[other], kinds[one], kinds[other]):
        # Several runs and pairs of arms on one item are not independent: they count as one item, and are drawn together.
        table = np.outer(first, second).astype(np.float64)
        tables[item] = tables[item] + table if item in tables else table
    if not tables:
        return None
    counts = np.array(list(tables.values()))
    judgments = counts.sum(axis=(1, 2))
    shares = (np.trace(counts, axis1=1, axis2=2) / judgments, (counts * RELAXED).sum(axis=(1, 2)) / judgments)
    repeats = counts.reshape(-1).astype(np.int64)
    places, first_labels, second_labels = (np.repeat(grid.reshape(-1), repeats) for grid in np.indices(counts.shape))
    kappa = cohen_kappa(first_labels, second_labels, 3, clusters=places, **drawn)
    same, relaxed = (bounded_mean(values, confidence=drawn["confidence"]) for values in shares)
    return ItemsAgreement(one, other, kinds[one], kinds[other], int(judgments.sum()), same, relaxed, kappa)


def _both_labels(
    one: Sequence[Run], other: Sequence[Run], one_kind: str, other_kind: str
) -> Iterator[tuple[str, Sequence[int], Sequence[int]]]:
    """What is drawn together, such as the item, and what both prefer on it."""
    if one_kind == PEOPLE:
        for first, second in _people_pairs(one):
            for a, b in _matched(_of(one, first), _of(one, second)):
                # Of several runs against one that was fixed, whose votes are told run by run.
                voted, turned = (a, False) if len(_of(one, first)) >= len(_of(one, second)) else (b, True)
                theirs = _labels_of(_run_like(other, a), _run_like(other, b), other_kind, second)
                if theirs is None:
                    continue
                names, clusters = _names(voted), _clusters(voted)
                for item, votes in _votes(voted).items():
                    label = next((theirs[name] for name in (item, names.get(item, "")) if name in theirs), None)
                    if label is not None:
                        yield clusters.get(item, item), votes[::-1] if turned else votes, label
        return
    if other_kind != JUDGE or one_kind != JUDGE:
        return
    for run in one:
        # Two judges of one reference: each says itself which response it prefers.
        rival = next((candidate for candidate in other if _label(candidate) == _label(run)), None)
        if rival is None or _reference(rival) != _reference(run):
            continue
        mine, theirs, clusters = _against_reference(run), _against_reference(rival), _clusters(run)
        yield from ((clusters.get(item, item), mine[item], theirs[item]) for item in mine if item in theirs)


def _people_pairs(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The pairs of arms that people compared."""
    arms = sorted({run.arm for run in runs}, key=lambda arm: (arm != "selection", arm))
    reference = runs[0].grades.record.get(AGAINST)
    if reference is not None:
        return [(arm, reference) for arm in arms if arm != reference]
    return [(arms[0], arms[1])] if len(arms) == 2 else []


def _of(runs: Sequence[Run], arm: str) -> list[Run]:
    return [run for run in runs if run.arm == arm]


def _label(run: Run) -> tuple[str, int, int]:
    return (run.arm, run.replicate, run.seed)


def _matched(one: Sequence[Run], other: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of two arms, those of one replicate and seed together, or all of one arm with the only run of the other."""
    by_label = {(run.replicate, run.seed): run for run in other}
    same = [(run, by_label[run.replicate, run.seed]) for run in one if (run.replicate, run.seed) in by_label]
    if len(same) == max(len(one), len(other)) or min(len(one), len(other)) != 1:
        return same
    return list(itertools.product(one, other))


def _run_like(runs: Sequence[Run], wanted: Run) -> Run | None:
    """Another grader's grades of the same model; of an arm with one run alone, that one."""
    of_arm = _of(runs, wanted.arm)
    exact = next((run for run in of_arm if _label(run) == _label(wanted)), None)
    return of_arm[0] if exact is None and len(of_arm) == 1 else exact


def _labels_of(first: Run | None, second: Run | None, kind: str, second_arm: str) -> Labels | None:
    """What a grader prefers of two runs, item by item; None where it did not grade both.

    A judge that compared the first run with the second arm says so itself.
    """
    if first is None:
        return None
    if kind == JUDGE and _reference(first)[0] == second_arm:
        return _against_reference(first)
    if second is None or first.grades.record.get(AGGREGATED):
        return None
    sign = 1.0 if first.grades.higher_is_better else -1.0
    theirs = _valued(second)
    return {item: _vote(sign * (value - theirs[item])) for item, value in _valued(first).items() if item in theirs}


def _against_reference(run: Run) -> Labels:
    return {item: _vote(value - 0.5) for item, value in _valued(run).items()}


def _reference(run: Run) -> tuple[Any, Any]:
    """Name and digest of what a judge or people compared a run with."""
    reference = (run.grades.record.get("settings") or {}).get("reference") or {}
    return reference.get("generator"), reference.get("digest")


def _valued(run: Run) -> dict[str, float]:
    grades = run.grades
    known = zip(grades.items, grades.values.tolist(), grades.valid.tolist(), strict=True)
    return {item: value for item, value, valid in known if valid}


def _vote(difference: float) -> tuple[int, int, int]:
    place = TIE if abs(difference) <= SAME else FIRST if difference > 0 else SECOND
    return (int(place == FIRST), int(place == TIE), int(place == SECOND))


def _votes(run: Run) -> dict[str, tuple[int, int, int]]:
    """Item → how many annotators preferred the arm, neither, the other."""
    votes = run.grades.record.get("votes") or []
    known = zip(run.grades.items, votes, run.grades.valid.tolist(), strict=False)
    return {item: (int(counts[0]), int(counts[1]), int(counts[2])) for item, counts, valid in known if valid and sum(counts)}


def _names(run: Run) -> dict[str, str]:
    """Item → the name that a judge has for its prompt."""
    return dict(zip(run.grades.items, run.grades.record.get("instructions") or [], strict=False))


def _clusters(run: Run) -> dict[str, str]:
    """Item → its prompt's name, where items share prompts."""
    return dict(zip(run.grades.items, run.grades.clusters, strict=False))


def _among(grader: str, runs: Sequence[Run], drawn: Mapping[str, Any]) -> AmongPeople | None:
    """How far annotators agree; None where no item has two of them."""
    counts, clusters = [], []
    for first, second in _people_pairs(runs):
        sides = (_of(runs, first), _of(runs, second))
        # Each judgment is told from both sides; the side with more runs keeps them apart.
        for run in max(sides, key=len):
            names = _clusters(run)
            for item, votes in _votes(run).items():
                counts.append(votes)
                clusters.append(names.get(item, item))
    table = np.array(counts, dtype=np.float64).reshape(len(counts), 3)
    if not (table.sum(axis=1) >= 2).any():
        return None
    _, codes = np.unique(np.array(clusters), return_inverse=True)
    confidence = drawn["confidence"]
    return AmongPeople(
        grader,
        raw_agreement(table, confidence=confidence),
        raw_agreement(table, credit=RELAXED, confidence=confidence),
        krippendorff_alpha(table, "nominal", clusters=codes.astype(np.int64), **drawn),
    )


def _contradictions(verdicts: Iterable[Mapping[str, Any]], kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Baselines against which one grader shows the selection better, and another worse."""
    by_baseline: dict[str, dict[str, list[str]]] = {}
    for verdict in verdicts:
        if verdict.get("outcome") in (BETTER, WORSE) and not verdict.get("leakage") and verdict["grader"] in kinds:
            by_baseline.setdefault(verdict["baseline"], {}).setdefault(verdict["outcome"], []).append(verdict["grader"])
    for baseline, outcomes in by_baseline.items():
        if len(outcomes) == 2:
            yield {"baseline": baseline, "better": outcomes[BETTER], "worse": outcomes[WORSE]}


__all__ = ["AmongPeople", "ArmsAgreement", "GradersAgreement", "ItemsAgreement", "arm_values", "graders_agree", "kind_of"]
