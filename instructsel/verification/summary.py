"""A verification in one piece: verdicts, skills, win rates, length bias, costs and power, as plain data and as lines for people."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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

ASSUMED: Final = Components(items=0.02, residual=0.01, seeds=0.0002, draws=0.0002, item_sd=1.0)
"""Where no pilot is at hand, in standard deviations over items: arms differ by 0.14 from item to item, runs by 0.014 on average."""


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
        graders: of it; what is said is of those with `items`, and all of them count among the comparisons.
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
    known = [grader for grader in asked if len(getattr(grader, "items", ())) > 1]
    count = (len(asked) + more) * (len(arms) - 1)

    def shape(arm: Arm) -> tuple[int, int]:
        return arm.draws, seeds if arm.pools else max(len(each) for each in arm.models or arm.results)

    (draws, own), (others, theirs) = shape(by_name[selection]), shape(by_name[baseline])
    found = []
    for grader in known:
        components, assumed = ASSUMED, True
        if pilot is not None and grader.name in pilot.graders:
            try:
                components, assumed = pilot.components(selection, baseline, grader.name), False
            except InstructselError:
                components, assumed = ASSUMED, True
        plan = Plan(items=len(grader.items), draws=draws, seeds=own, baseline_draws=others, baseline_seeds=theirs)  # type: ignore[attr-defined]
        sd = components.item_sd
        try:
            told = power(plan, components, effect=0.1 * (sd or 1.0), level=1 - (1 - level) / count, target=target)
        except InstructselError:
            # One run a side: nobody could tell how much runs vary.
            continue
        unit = "standard deviations over items" if assumed or pilot is None else pilot.graders[grader.name].unit
        found.append(Expected(grader.name, baseline, told, unit, assumed))
    return found


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
            each.append({"draw": run.draw, "seed": run.seed, **win_rate(own).as_dict()})
    if not each:
        return {"runs": [], "reason": "no pair has a preference"}
    whole = win_rate(preferences)
    known = any(a is not None and b is not None for a, b in zip(preferences, differences, strict=True))
    return {
        "runs": each,
        "win_rate": statistics.fmean(found["win_rate"] for found in each),
        "discrete_win_rate": statistics.fmean(found["discrete_win_rate"] for found in each),
        "score": statistics.fmean(found["score"] for found in each),
        **{key: getattr(whole, key) for key in ("n_total", "n_null", "wins", "ties", "losses")},
        "length_controlled": length_controlled(preferences, differences).as_dict() if known else None,
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
    verdicts = whole.verdicts(selection, others, level=level, target=target) if selection in whole.arms and others else Verdicts(())
    told = {
        **whole.as_dict(),
        "selection": selection,
        "against": against,
        "word": word(verdicts, against, model),
        "level": level,
        "target": target,
        "verdicts": verdicts.as_dict(),
        "skills": None
        if base is None or base not in whole.arms
        else SkillTable.measured(whole, base=base, margin=margin, target=target).as_dict(),
        "win_rates": win_rates(verified.runs),
        "length_biases": length_biases(verified.runs),
        "circular": sorted({run.grades.grader for run in verified.runs if run.grades.record.get(CIRCULAR)}),
        "costs": {arm: dict(cost) for arm, cost in verified.costs.items()},
        "trained": [dict(each) for each in verified.trained],
        "failures": [vars(each) for each in verified.failures],
        "left": list(verified.left),
        "model": None if model is None else dict(model),
    }
    return told, verdicts


def word(verdicts: Verdicts, against: str, model: Mapping[str, Any] | None = None) -> str:
    """The one that stands for the whole: of the verdicts against one baseline, unless the base is no better than chance."""
    if model is not None and not model.get("enough", True):
        return NOT_ENOUGH_MODEL
    asked = verdicts.against(against)
    return asked.word if len(asked) else NOT_ENOUGH


def cost(arm: str, costs: Mapping[str, float | None]) -> str:
    """What an arm cost, in words.

    >>> cost("random", {"selection": 0.0, "training": 240.4, "grading": 31.0})
    'random: choosing the rows took 0 s, training on them 240 s, grading 31 s'
    """
    chosen = costs.get("selection")
    told = "an unknown time" if chosen is None else f"{chosen:,.0f} s"
    return f"{arm}: choosing the rows took {told}, training on them {costs.get('training') or 0:,.0f} s, grading {costs.get('grading') or 0:,.0f} s"


__all__ = ["ASSUMED", "NOT_ENOUGH_MODEL", "Expected", "cost", "expected", "length_biases", "summary", "win_rates", "word"]
