"""Skill by skill: what each arm gained and regressed against the base, and how far a judge's preference follows length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any, Final, Self

from instructsel.errors import UsageError
from instructsel.kinds import SKILLS, head
from instructsel.stats.variance import BOTH, CONFIDENCE, Estimand
from instructsel.verification.verification import Verification

SIGNIFICANT: Final = "significant"
PLAIN: Final = "plain"


@dataclass(frozen=True)
class Cell:
    """One arm's value in one skill."""

    value: float | None
    """None where it was not measured."""
    change: float | None
    """Against the base, in the good direction; None where either is missing."""
    regressed: bool | None
    """Whether it is below the base; None where that cannot be said."""
    by: str | None
    """`significant`, where standard errors decided; `plain`, where the values alone did; None with regressed."""
    low: float | None = None
    """The lower end of the change's interval, whose one side the test looks at; None where there is no interval."""
    high: float | None = None
    """The upper end."""


@dataclass(frozen=True)
class SkillTable:
    """Arms by skills, with the base to compare with. An average hides what a row of this table shows."""

    base: str
    """The row the others are compared with: the model before the fine-tune."""
    skills: tuple[str, ...]
    """Columns, in the order given."""
    cells: Mapping[str, Mapping[str, Cell]]
    """Arm → skill → cell; the base among them."""
    margin: float
    """How far below the base still counts as kept, in the skill's unit."""
    confidence: float
    """Of the one-sided test where there are standard errors; not adjusted for the number of cells."""
    measures: Mapping[str, str] = field(default_factory=dict)
    """Column → what it is said to measure, such as reasoning, where that is known."""

    @classmethod
    def of(
        cls,
        values: Mapping[str, Mapping[str, float | None]],
        *,
        base: str,
        standard_errors: Mapping[str, Mapping[str, float | None]] | None = None,
        higher_is_better: bool | Mapping[str, bool] = True,
        margin: float = 0.0,
        confidence: float = CONFIDENCE,
    ) -> Self:
        """A table of values, arm → skill → value.

        An arm regressed a skill where its value is below the base's by more than the margin: where both have standard errors, by
        a one-sided z test at the confidence, the two taken as independent; else as the values stand.

        Args:
            values: a row an arm; a skill that a row lacks, or None, was not measured.
            base: the row to compare with.
            standard_errors: in the same shape, where known.
            higher_is_better: for all skills, or skill by skill (True where not named).
            margin: at least 0.
            confidence: of the one-sided test.

        Raises:
            UsageError: no row of the base's name, a value that is not finite, a negative standard error or margin.
        """
        if base not in values:
            raise UsageError.named(base, values, noun="row")
        if not (math.isfinite(margin) and margin >= 0):
            raise UsageError(f"A margin of {margin} cannot be.", fix="Give a number of at least 0.")
        if not 0.5 <= confidence < 1.0:
            raise UsageError(f"A one-sided confidence of {confidence} cannot be.", fix="Give a number between 0.5 and 1, e.g. 0.95.")
        skills = tuple(dict.fromkeys(skill for row in values.values() for skill in row))
        errors = standard_errors or {}
        for kind, table in (("value", values), ("standard error", errors)):
            for arm, row in table.items():
                for skill, value in row.items():
                    if value is not None and not (math.isfinite(value) and (kind == "value" or value >= 0)):
                        raise UsageError(f"The {kind} of {arm} in {skill} is {value}.", fix="Give None where there is none.")
        quantile = NormalDist().inv_cdf(confidence)

        def cell(arm: str, skill: str) -> Cell:
            value, reference = values[arm].get(skill), values[base].get(skill)
            if arm == base or value is None or reference is None:
                return Cell(value, None, None, None)
            higher = higher_is_better if isinstance(higher_is_better, bool) else higher_is_better.get(skill, True)
            change = value - reference if higher else reference - value
            error, base_error = errors.get(arm, {}).get(skill), errors.get(base, {}).get(skill)
            if error is None or base_error is None:
                return Cell(value, change, change < -margin, PLAIN)
            half = quantile * math.hypot(error, base_error)
            return Cell(value, change, change + margin < -half, SIGNIFICANT, change - half, change + half)

        return cls(base, skills, {arm: {skill: cell(arm, skill) for skill in skills} for arm in values}, margin, confidence)

    @classmethod
    def measured(
        cls,
        verification: Verification,
        *,
        base: str,
        margin: float = 0.0,
        confidence: float = CONFIDENCE,
        generalize_to: Estimand = BOTH,
        pool_seeds: bool = False,
        measures: Mapping[str, str] | None = None,
    ) -> Self:
        """The table of what was graded, a column a grader: changes are paired by item, and significant where their interval says so.

        Args:
            verification: arms and their grades, the base's among them.
            base: the arm to compare with.
            margin: at least 0, in each grader's own unit.
            confidence: of the one-sided test.
            generalize_to: as of `Verification.difference`.
            pool_seeds: as of `Verification.difference`.
            measures: grader → the skill it is said to measure; columns of one skill stand together, those of none at the end.

        Raises:
            UsageError: no arm of the base's name, or a margin or confidence that cannot be.
        """
        described = verification.as_dict()
        values: dict[str, dict[str, float | None]] = {}
        for grader, scale in described["graders"].items():
            for arm in verification.arms:
                # Each replicate counts once, however many seeds it has.
                by_replicate: dict[int, list[float]] = {}
                for run in scale["means"]:
                    if run["arm"] == arm and run["mean"] is not None:
                        by_replicate.setdefault(run["replicate"], []).append(run["mean"])
                drawn = [math.fsum(means) / len(means) for means in by_replicate.values()]
                values.setdefault(arm, {})[grader] = math.fsum(drawn) / len(drawn) if drawn else None
        higher = {grader: scale["higher_is_better"] for grader, scale in described["graders"].items()}
        values_alone = cls.of(values, base=base, higher_is_better=higher, margin=margin, confidence=confidence)
        cells = {arm: dict(row) for arm, row in values_alone.cells.items()}
        for arm, row in cells.items():
            for grader, cell in row.items():
                if arm == base or cell.change is None:
                    continue
                options: dict[str, Any] = {"generalize_to": generalize_to, "pool_seeds": pool_seeds, "n_resamples": 0}
                interval = verification.difference(arm, base, grader, confidence=2 * confidence - 1, **options)
                if interval.low is None or interval.high is None or interval.assumption is not None:
                    # Without an interval nobody can say that it regressed: one item may differ by chance.
                    row[grader] = Cell(cell.value, cell.change, None, None)
                    continue
                change, low, high = (interval.estimate, interval.low, interval.high)
                if not higher[grader]:
                    change, low, high = -change, -high, -low
                row[grader] = Cell(cell.value, change, high < -margin, SIGNIFICANT, low, high)
        known = {grader: skill for grader, skill in (measures or {}).items() if grader in values_alone.skills}
        columns = sorted(values_alone.skills, key=lambda grader: (grader not in known, known.get(grader, ""), grader))
        return cls(base, tuple(columns), cells, margin, confidence, known)

    def regressed(self, skill: str) -> tuple[str, ...]:
        """The arms below the base in a skill, in the order given.

        Raises:
            UsageError: there is no such skill.
        """
        if skill not in self.skills:
            raise UsageError.named(skill, self.skills, noun="skill")
        return tuple(arm for arm, row in self.cells.items() if row[skill].regressed)

    def averages(self) -> dict[str, float | None]:
        """The unweighted mean over the skills, as papers print it; None for an arm that was not measured in one of them.

        A mean of figures on several scales says nothing, and any mean hides what a row shows: no verdict rests on it.
        """
        averages: dict[str, float | None] = {}
        for arm, row in self.cells.items():
            values = [cell.value for cell in row.values()]
            averages[arm] = None if None in values else math.fsum(value for value in values if value is not None) / len(values)
        return averages

    def best(self, skill: str, *, higher_is_better: bool = True) -> tuple[str, ...]:
        """The arms with the best value of a skill, all that tie; none where nothing was measured.

        Raises:
            UsageError: there is no such skill.
        """
        if skill not in self.skills:
            raise UsageError.named(skill, self.skills, noun="skill")
        values = {arm: row[skill].value for arm, row in self.cells.items()}
        known = [value for value in values.values() if value is not None]
        if not known:
            return ()
        best = max(known) if higher_is_better else min(known)
        return tuple(arm for arm, value in values.items() if value == best)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with the number of arms that regressed each skill."""
        return {
            **head(SKILLS),
            "base": self.base,
            "skills": list(self.skills),
            "measures": dict(self.measures),
            "margin": self.margin,
            "confidence": self.confidence,
            "regressed": {skill: len(self.regressed(skill)) for skill in self.skills},
            "rows": {arm: {skill: asdict(cell) for skill, cell in row.items()} for arm, row in self.cells.items()},
        }


def share_of_reference(values: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """How much of a reference model's performance is reached: the mean over the skills of value / reference.

    Source: Wang et al. 2023, arXiv:2306.04751, who put the best open model of each skill against ChatGPT.

    Args:
        values: skill → value, the higher the better.
        reference: skill → the reference's value, above 0, for the same skills.

    Raises:
        UsageError: other skills, none, or a reference that is not above 0.

    >>> share_of_reference({"MMLU": 61.3, "GSM": 60.0}, {"MMLU": 67.9, "GSM": 76.0})  # doctest: +ELLIPSIS
    0.846...
    """
    if not values or set(values) != set(reference):
        raise UsageError("The two have different skills, or none.", fix="Give a value and a reference for each skill.")
    bad = next((skill for skill, value in reference.items() if not (math.isfinite(value) and value > 0)), None)
    if bad is not None:
        raise UsageError(f"The reference's {bad} is {reference[bad]}.", fix="A share is of a value above 0.")
    return math.fsum(values[skill] / reference[skill] for skill in values) / len(values)


__all__ = ["Cell", "SkillTable", "share_of_reference"]
