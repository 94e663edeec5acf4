"""What is said of a plan: what it would find, before its first run, and what came of it, written beside the grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import orjson

from instructsel.artifact import dump_json, read_manifest
from instructsel.errors import Negative
from instructsel.experiments.arms import Arm
from instructsel.experiments.plan import SELECTION, Experiment
from instructsel.stats.variance import Estimand
from instructsel.text import counted
from instructsel.verification.base_model import judged_base
from instructsel.verification.learning_rates import AtRate, at_multiple, confidence_at_each, dependence, overall
from instructsel.verification.planned import TABLE, conditions, expected, first_plan, table_at, why_no_power
from instructsel.verification.prepared import Prepared
from instructsel.verification.requirements import required
from instructsel.verification.results import VERDICT, write_verdict
from instructsel.verification.run import Verified
from instructsel.verification.summary import summary
from instructsel.verification.verdict import NOT_ENOUGH, ComparisonSettings, Verdicts
from instructsel.verification.verification import Verification

MANIFEST_KEYS: Final = (
    "verdicts",
    "costs",
    "selection",
    "against",
    "outcome",
    "model",
    "missing",
    "generalize_to",
    "pool_seeds",
    "leakage",
)
"""Keys of a verdict that the manifest of the table of grades has, too."""


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """What came of a plan so far."""

    plan: Experiment
    folder: Path
    verified: Verified
    summary: Mapping[str, Any] | None
    """The verdict, as `read_verdict` gives it; None while nothing grades, or no run is graded yet."""
    verdicts: Verdicts = field(default_factory=lambda: Verdicts(()))
    """Of the selection against every other arm, by every grader; at the first learning rate where there are several."""
    rates: tuple[AtRate, ...] = ()
    """The verification at each learning rate, where the plan names several; the first one is `verified`."""

    @property
    def outcome(self) -> str:
        """`better`, `worse`, `no detectable difference`, or `not enough data`, against the plan's baseline; where learning rates differ in
        it, `depends on the learning rate`.
        """
        return NOT_ENOUGH if self.summary is None else str(self.summary["outcome"])

    def check(self) -> None:
        """End with exit code 1 where the plan requires what is not shown.

        Raises:
            Negative: it is not shown.
            UsageError: a margin for a grader that there is not, or one margin for graders of different units.
        """
        statistics = self.plan.statistics
        if statistics.require is None:
            return
        if self.summary is None:
            raise Negative(
                f"Nothing is shown yet: {counted(len(self.verified.pending), 'run')} pending.", fix="Give the same command again."
            )
        # The confidence is shared out among the learning rates, and what is required has to be shown at each of them.
        at_each = replace(statistics, confidence=confidence_at_each(statistics.confidence, max(1, len(self.rates))))
        for rate in self.rates:
            if rate.verified is None or rate.summary is None:
                raise Negative(
                    f"Nothing is shown yet at {rate.multiple:g} times the learning rate: its runs are pending, or failed.",
                    fix="Give the same command again.",
                )
            try:
                required(rate.verified, rate.verdicts.against(self.plan.baseline), rate.summary, at_each)
            except Negative as error:
                raise Negative(f"At {rate.multiple:g} times the learning rate: {error.message}", fix=error.fix) from error
        if not self.rates:
            required(self.verified, self.verdicts.against(self.plan.baseline), self.summary, statistics)


def stated_power(prepared: Prepared) -> list[dict[str, Any]]:
    """Which difference the plan would find, stated and recorded before its first run."""
    plan, watch, statistics = prepared.plan, prepared.watch, prepared.plan.statistics
    pilot = None if statistics.pilot is None else Verification.read(statistics.pilot)
    power = expected(
        prepared.arms,
        prepared.graders,
        selection=SELECTION,
        baseline=plan.baseline,
        seeds=plan.seeds,
        more=plan.grading.n_judges,
        pilot=pilot,
        settings=comparison(plan),
    )
    for statement in power:
        watch.say(statement.sentence)
    if not power and pilot is None and plan.grades:
        why = why_no_power(prepared.arms, plan.baseline, plan.seeds)
        watch.say(f"The detectable difference cannot be computed before the first runs: {why}.")
    about = {
        "seeds": plan.seeds,
        "against": plan.baseline,
        "confidence": statistics.confidence,
        "generalize_to": statistics.generalize_to,
        # Only where it is so: statements that were made before there was a choice hold on.
        **({"pool_seeds": True} if statistics.pool_seeds else {}),
    }
    depends_on = conditions(prepared.trainer, prepared.arms, prepared.measured, prepared.judges, statistics.pilot, **about)
    return first_plan(prepared.folder, power, depends_on)


def comparison(plan: Experiment) -> ComparisonSettings:
    """How a plan compares arms, at the confidence that leaves room for the comparisons at other learning rates."""
    statistics = plan.statistics
    confidence = confidence_at_each(statistics.confidence, len(plan.training.learning_rates))
    return ComparisonSettings(confidence, cast(Estimand, statistics.generalize_to), pool_seeds=statistics.pool_seeds)


def concluded(prepared: Prepared, verified: Verified, power: Sequence[Mapping[str, Any]]) -> ExperimentResult:
    """The verdicts, written beside the grades."""
    plan, folder, trainer = prepared.plan, prepared.folder, prepared.trainer
    content, verdicts = _summary(plan, prepared.arms, verified)
    recipe = getattr(trainer, "recipe", None)
    rates = _rates(prepared, verified, content, verdicts)
    content |= {
        "power": power,
        "recipe": None if recipe is None else recipe.as_dict(),
        "trainer": None if trainer is None else dict(trainer.fingerprint),
        "contamination": [overlap.as_dict() for overlap in prepared.overlaps],
        "made_with": {grader.name: dict(grader.fingerprint) for grader in prepared.measured},
    }
    if rates:
        content |= {
            "learning_rates": {"rates": [rate.as_dict() for rate in rates], "dependence": dependence(rates, plan.baseline)},
            "outcome": overall([rate.outcome for rate in rates]),
        }
        for rate in rates[1:]:
            if rate.verified is not None:
                rate.verified.verification.write(folder / table_at(rate.multiple), run={"learning_rate": rate.learning_rate})
    verified.verification.write(folder / TABLE, run={key: content[key] for key in MANIFEST_KEYS})
    content = orjson.loads(dump_json({**content, "table": (read_manifest(folder / TABLE) or {})["sha256"]}))
    write_verdict(folder / VERDICT, content)
    return ExperimentResult(plan, folder, verified, content, verdicts, rates)


def _summary(plan: Experiment, arms: Sequence[Arm], verified: Verified) -> tuple[dict[str, Any], Verdicts]:
    """A verification as plain data."""
    return summary(
        verified,
        selection=SELECTION,
        against=plan.baseline,
        base=next((arm.name for arm in arms if arm.fixed), None),
        settings=comparison(plan),
        model=judged_base(plan.training.base) if plan.training.base else None,
    )


def _rates(prepared: Prepared, verified: Verified, content: Mapping[str, Any], verdicts: Verdicts) -> tuple[AtRate, ...]:
    """The verification at each learning rate; none where there is only one."""
    plan, trainer = prepared.plan, prepared.trainer
    if len(plan.training.learning_rates) < 2 or trainer is None:
        return ()
    first, *others = plan.training.learning_rates
    rate = prepared.toolkit.recipe(plan.training).learning_rate
    rates = [AtRate(first, rate * first, verified, dict(content), verdicts)]
    for multiple in others:
        other = verified.variants.get(at_multiple(multiple))
        at_other = (None, Verdicts(())) if other is None else _summary(plan, prepared.arms, other)
        rates.append(AtRate(multiple, rate * multiple, other, *at_other))
    return tuple(rates)


__all__ = ["MANIFEST_KEYS", "ExperimentResult", "concluded", "stated_power"]
