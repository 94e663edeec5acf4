"""A verification in one piece: verdicts, skills, win rates, length bias, costs and power, as plain data and as lines for people."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import InstructselError
from instructsel.protocols import Grader
from instructsel.verification.arms import Arm, Verified
from instructsel.verification.intervals import LEVEL, NEW_RUNS, Components, Plan, Power, Target, power
from instructsel.verification.judgments import length_controlled, win_rate
from instructsel.verification.skills import SkillTable, length_bias
from instructsel.verification.verify import NOT_ENOUGH, Run, Verdicts, Verification

PREFERENCE: Final = "preference"
"""The unit of a judge's grades: 1 the model, 0 the reference, 0.5 a tie."""
NOT_ENOUGH_MODEL: Final = "not enough model"
"""The word where the base is itself no better than chance: nothing that was trained on it says anything."""
CIRCULAR: Final = "circular"

STANDARD: Final = "standard deviations over items"
ASSUMED: Final = Components(items=0.03, residual=0.02, seeds=0.0001, draws=0.0001, item_sd=1.0)
"""Where no pilot is at hand, in standard deviations over items: arms differ by 0.17 from item to item, runs by 0.01 on average.

The middle of what our own verdicts on Dolly show (benchmarks/results/verification_dolly_*), selections against random: items up to
0.07 and residual 0.002 to 0.05 (0.25 on a task of which nearly every item is right), seeds and draws up to 0.00025.
"""


@dataclass(frozen=True)
class Expected:
    """What a verification that is planned would find, by one grader."""

    grader: str
    baseline: str
    found: Power
    unit: str
    """Of the effects: the grader's, or `standard deviations over items` where no pilot says how large these are."""
    assumed: bool
    """Whether the variances are assumed, for want of a pilot."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        components = {name: getattr(self.found.components, name) for name in Components.__dataclass_fields__}
        return {
            "grader": self.grader,
            "baseline": self.baseline,
            "unit": self.unit,
            "assumed": self.assumed,
            "detectable": self.found.detectable,
            "effect": self.found.effect,
            "power": self.found.power,
            "level": self.found.level,
            "plan": {name: getattr(self.found.plan, name) for name in Plan.__dataclass_fields__},
            "components": components,
        }

    @property
    def sentence(self) -> str:
        """In words."""
        of = "assumed variances" if self.assumed else "the variances of the pilot"
        return (
            f"{self.grader}: against {self.baseline}, a difference of {self.found.detectable:.2g} {self.unit} would be found four times in "
            f"five ({self.found.plan.items} items; {of})."
        )


def expected(
    arms: Sequence[Arm],
    graders: Iterable[Grader],
    *,
    selection: str,
    baseline: str,
    seeds: int,
    more: int = 0,
    pilot: Verification | None = None,
    level: float = LEVEL,
    target: Target = NEW_RUNS,
) -> list[Expected]:
    """What the comparison with one baseline would find, before anything is trained; nothing of graders whose items are not known yet.

    Args:
        arms: of the verification.
        graders: of it; what is said is of those with `items` or a `count` of them, and all count among the comparisons.
        selection: the arm asked about.
        baseline: the one it is compared with.
        seeds: of training.
        more: graders beside these, such as a judge of the answers.
        pilot: an earlier verification with these graders and arms, that says how much items, seeds and draws vary.
        level: of all comparisons together.
        target: as of `compare`.

    Raises:
        MissingExtra: scipy is not installed.
    """
    by_name = {arm.name: arm for arm in arms}
    if selection not in by_name or baseline not in by_name or by_name[baseline].fixed:
        return []
    asked = list(graders)
    known = [(grader, n) for grader in asked if (n := getattr(grader, "count", None) or len(getattr(grader, "items", ()))) > 1]
    count = (len(asked) + more) * (len(arms) - 1)

    def shape(arm: Arm) -> tuple[int, int]:
        return arm.draws, seeds if arm.pools else max(len(each) for each in arm.models or arm.results)

    (draws, own), (others, theirs) = shape(by_name[selection]), shape(by_name[baseline])
    found = []
    for grader, n in known:
        plan = Plan(items=n, draws=draws, seeds=own, baseline_draws=others, baseline_seeds=theirs)
        told = None
        if pilot is not None and grader.name in pilot.graders:
            with suppress(InstructselError):
                # A pilot without several runs, or without these arms, says nothing of how much they vary.
                told = _power(plan, pilot.components(selection, baseline, grader.name), level, count, target)
                found.append(Expected(grader.name, baseline, told, pilot.graders[grader.name].unit, assumed=False))
        if told is None:
            with suppress(InstructselError):
                # One run a side: nobody could tell how much runs vary.
                found.append(Expected(grader.name, baseline, _power(plan, ASSUMED, level, count, target), STANDARD, assumed=True))
    return found


def _power(plan: Plan, components: Components, level: float, count: int, target: Target) -> Power:
    """Of an effect of a tenth of a standard deviation, at the level that covers so many comparisons."""
    return power(plan, components, effect=0.1 * (components.item_sd or 1.0), level=1 - (1 - level) / count, target=target)


def circular(verified: Verified) -> dict[str, tuple[str, ...]]:
    """Grader → the arms whose rows its own model ranked, as far as it is known; graders without one are left out.

    A grade's record says which models it is of (`models`), an arm which models ranked its rows; or the record says `circular`.
    """
    found: dict[str, set[str]] = {}
    for run in verified.runs:
        record = run.grades.record
        own = frozenset(record.get("models") or ())
        arms = {arm for arm, ranked in verified.ranked.items() if ranked & own}
        if record.get(CIRCULAR):
            arms.add(run.arm)
        if arms:
            found.setdefault(run.grades.grader, set()).update(arms)
    return {grader: tuple(sorted(arms)) for grader, arms in sorted(found.items())}


def measures(runs: Iterable[Run]) -> dict[str, str]:
    """Grader → the skill its task is said to measure, where its record says so."""
    return {run.grades.grader: str(skill) for run in runs if (skill := run.grades.record.get("skill"))}


def win_rates(runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """Judge → arm → how often its answers were preferred to the reference's, over its runs.

    Each run has its own win rate; an arm's is their mean, its wins, ties and losses are the sums. Length control is over all pairs of
    an arm. Their standard errors take pairs as independent and know nothing of draws and seeds: the verdict's interval does.
    """
    by_judge: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        if run.grades.unit == PREFERENCE:
            by_judge.setdefault(run.grades.grader, {}).setdefault(run.arm, []).append(run)
    return {judge: {arm: _win_rate(found) for arm, found in sorted(arms.items())} for judge, arms in sorted(by_judge.items())}


def _win_rate(runs: Sequence[Run]) -> dict[str, Any]:
    each = []
    preferences: list[float | None] = []
    differences: list[float | None] = []
    flags: Counter[str] = Counter()
    for run in runs:
        own = [value + 1.0 if valid else None for value, valid in zip(run.grades.values.tolist(), run.grades.valid.tolist(), strict=True)]
        lengths = run.grades.record.get("lengths") or {}
        pairs = zip(lengths.get("output") or [None] * len(own), lengths.get("reference") or [None] * len(own), strict=True)
        differences += [None if a is None or b is None else float(a - b) for a, b in pairs]
        preferences += own
        flags.update(run.grades.record.get("flags") or {})
        if any(value is not None for value in own):
            each.append({"draw": run.draw, "seed": run.seed, **win_rate(own).as_dict(), "official": run.grades.record.get("official")})
    if not each:
        return {"runs": [], "reason": "no pair has a preference"}
    whole = win_rate(preferences)
    official = [found["official"]["win_rate"] for found in each if found["official"]]
    known = any(a is not None and b is not None for a, b in zip(preferences, differences, strict=True))
    return {
        "runs": each,
        "win_rate": statistics.fmean(found["win_rate"] for found in each),
        "discrete_win_rate": statistics.fmean(found["discrete_win_rate"] for found in each),
        "score": statistics.fmean(found["score"] for found in each),
        **{key: getattr(whole, key) for key in ("n_total", "n_null", "wins", "ties", "losses")},
        "length_controlled": length_controlled(preferences, differences).as_dict() if known else None,
        "official_length_controlled": statistics.fmean(official) if len(official) == len(each) else None,
        "flags": dict(sorted(flags.items())),
        CIRCULAR: any(run.grades.record.get(CIRCULAR) for run in runs),
    }


def length_biases(runs: Iterable[Run], *, level: float = LEVEL) -> dict[str, dict[str, Any]]:
    """Judge → how closely win rates follow the mean length of the answers, a pair a model."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for run in runs:
        lengths = [each for each in (run.grades.record.get("lengths") or {}).get("output") or [] if each is not None]
        if run.grades.unit == PREFERENCE and run.grades.valid.any() and sum(lengths):
            x, y = found.setdefault(run.grades.grader, ([], []))
            x.append(statistics.fmean(lengths))
            y.append(100.0 * float(run.grades.values[run.grades.valid].mean()))
    return {judge: length_bias(x, y, level=level).as_dict() for judge, (x, y) in sorted(found.items())}


def summary(
    verified: Verified,
    *,
    selection: str,
    against: str,
    base: str | None = None,
    level: float = LEVEL,
    target: Target = NEW_RUNS,
    margin: float = 0.0,
    model: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], Verdicts]:
    """A verification as plain data, and its verdicts.

    Args:
        verified: the runs.
        selection: the arm asked about.
        against: the baseline the word is about.
        base: the arm that is the model before the fine-tune, for the skills; None where there is none.
        level: 1 less the chance of a wrong verdict among all comparisons.
        target: as of `Verification.difference`.
        margin: how far below the base a skill still counts as kept.
        model: what is known of the base: `enough`, False where it is no better than chance, and `said`.

    Raises:
        UsageError: a level, target or margin that cannot be.
        MissingExtra: scipy is not installed.
    """
    whole = verified.verification
    others = [arm for arm in whole.arms if arm != selection]
    ranked = circular(verified)
    apart = {(arm, grader) for grader, arms in ranked.items() for arm in others if selection in arms or arm in arms}
    rates = win_rates(verified.runs)
    for judge, arms in ranked.items():
        for arm in set(arms) & set(rates.get(judge, ())):
            rates[judge][arm][CIRCULAR] = True
    known = selection in whole.arms and others
    verdicts = whole.verdicts(selection, others, level=level, target=target, circular=apart) if known else Verdicts(())
    told = {
        **whole.as_dict(),
        "selection": selection,
        "against": against,
        "word": word(verdicts, against, model, left=sum(verified.waiting(arm) for arm in (selection, against))),
        "lacking": {arm: count for arm in (selection, against) if (count := verified.lacking(arm))},
        "level": level,
        "target": target,
        "verdicts": verdicts.as_dict(),
        "skills": None
        if base is None or base not in whole.arms
        else SkillTable.measured(whole, base=base, margin=margin, target=target, measures=measures(verified.runs)).as_dict(),
        "win_rates": rates,
        "length_biases": length_biases(verified.runs),
        "circular": {grader: list(arms) for grader, arms in ranked.items()},
        "costs": {arm: dict(cost) for arm, cost in verified.costs.items()},
        "subsets": {arm: [dict(each) for each in found] for arm, found in verified.subsets.items()},
        "trained": [dict(each) for each in verified.trained],
        "failures": [vars(each) for each in verified.failures],
        "left": list(verified.left),
        "model": None if model is None else dict(model),
    }
    return told, verdicts


def word(verdicts: Verdicts, against: str, model: Mapping[str, Any] | None = None, *, left: int = 0) -> str:
    """The one that stands for the whole: of the verdicts against one baseline, unless the base is no better than chance.

    While runs of either arm are left to be made there is no verdict: whoever looks again after each run finds one in the end.
    """
    if model is not None and not model.get("enough", True):
        return NOT_ENOUGH_MODEL
    if left:
        return NOT_ENOUGH
    asked = verdicts.against(against)
    return asked.word if len(asked) else NOT_ENOUGH


def cost(arm: str, costs: Mapping[str, float | None], *, models: int = 1) -> str:
    """What an arm cost, in words; with several models, of all of them.

    >>> cost("random", {"selection": 0.0, "training": 240.4, "grading": 31.0}, models=6)
    'random: choosing the rows took 0 s, training 6 models 240 s, grading 31 s'
    """
    told = {
        key: "an unknown time" if (found := costs.get(key)) is None else f"{found:,.0f} s" for key in ("selection", "training", "grading")
    }
    trained = "on them" if models == 1 else f"{models} models"
    return f"{arm}: choosing the rows took {told['selection']}, training {trained} {told['training']}, grading {told['grading']}"


__all__ = [
    "ASSUMED",
    "NOT_ENOUGH_MODEL",
    "Expected",
    "circular",
    "cost",
    "expected",
    "length_biases",
    "measures",
    "summary",
    "win_rates",
    "word",
]
