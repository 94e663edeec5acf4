"""What `verify --require` asks for: refused before anything is trained where it cannot be, and a negative end where it is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from instructsel.errors import Negative, UsageError
from instructsel.experiments.arms import Arm
from instructsel.experiments.plan import BETTER, SELECTION, StatisticsSettings
from instructsel.stats.variance import Estimand
from instructsel.verification.run import Verified
from instructsel.verification.summary import NOT_ENOUGH_MODEL
from instructsel.verification.verdict import NO_DIFFERENCE, Verdicts
from instructsel.verification.verification import Verification


def check_margins(margins: Mapping[str, float], names: Sequence[str], arms: Sequence[Arm]) -> None:
    """Refuse a margin for a grader that there will not be."""
    known = {*names, *(grades.grader for arm in arms for replicate in arm.results for by_grader in replicate for grades in by_grader)}
    for grader in margins:
        if grader and grader not in known:
            raise UsageError.named(grader, known, noun="grader")


def required(verified: Verified, verdicts: Verdicts, summary: Mapping[str, Any], statistics: StatisticsSettings) -> None:
    """End with 1 unless what is required is shown.

    Raises:
        Negative: it is not.
        UsageError: a margin for a grader that there is not, or one margin for graders of different units.
    """
    against, outcome = summary["against"], summary["outcome"]
    if outcome == NOT_ENOUGH_MODEL:
        raise Negative(f"Nothing is shown of the selection and {against}: {outcome}.")
    missing = {arm: count for arm, count in summary["missing"].items() if count}
    if missing:
        counts = ", ".join(f"{count} of {arm}" for arm, count in missing.items())
        raise Negative(
            f"Nothing is shown of the selection and {against}: runs are missing ({counts}).", fix="See what failed, and verify again."
        )
    if statistics.require == BETTER:
        if outcome != BETTER:
            raise Negative(f"The selection is not shown to be better than {against}: {outcome}{_detectable(verdicts, outcome)}.")
        return
    _required_margins(verified.verification, verdicts, against, statistics)


def _detectable(verdicts: Verdicts, outcome: str) -> str:
    """What would have been found, where no difference was."""
    if outcome != NO_DIFFERENCE:
        return ""
    effects = [
        f"{verdict.grader} would show {verdict.interval.detectable:.3g} {verdict.scale.unit}".rstrip()
        for verdict in verdicts
        if verdict.outcome != BETTER and verdict.interval.detectable is not None and not verdict.leakage
    ]
    return f" (with 80 % power: {'; '.join(effects)})" if effects else ""


def _required_margins(verification: Verification, verdicts: Verdicts, against: str, statistics: StatisticsSettings) -> None:
    """End with 1 unless non-inferiority is shown by every grader that counts."""
    margins = statistics.margins
    leaking = {verdict.grader for verdict in verdicts if verdict.leakage}
    graders = [grader for grader in sorted(verification.graders) if grader not in leaking] if "" in margins else list(margins)
    for grader in graders:
        if grader not in verification.graders:
            raise UsageError.named(grader, verification.graders, noun="grader")
    if "" in margins and len({verification.graders[grader].unit for grader in graders}) > 1:
        units = ", ".join(f"{grader} in {verification.graders[grader].unit}" for grader in graders)
        raise UsageError(f"One margin for several units: {units}.", fix=f"Say it grader by grader: --margin '{graders[0]}=X'")
    unshown = [
        grader
        for grader in graders
        if grader in leaking
        or not {SELECTION, against} <= set(verification.arms)
        or not verification.non_inferior(
            SELECTION,
            against,
            grader,
            margin=margins.get(grader, margins.get("", 0.0)),
            confidence=statistics.confidence,
            generalize_to=cast(Estimand, statistics.generalize_to),
            pool_seeds=statistics.pool_seeds,
        ).shown
    ]
    if unshown or not graders:
        required = ", ".join(f"{margins.get(grader, margins.get('')):g} on {grader}" for grader in unshown) or "any margin"
        raise Negative(f"The selection is not shown to be at most that much worse than {against}: {required}.")


__all__ = ["check_margins", "required"]
