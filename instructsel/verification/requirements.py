"""What `verify --require` asks for: refused before anything is trained where it cannot be, and a negative end where it is not shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from instructsel.errors import Negative, UsageError
from instructsel.experiments import from_selection
from instructsel.experiments.arms import Arm
from instructsel.stats.variance import ESTIMANDS, Estimand
from instructsel.verification.run import Verified
from instructsel.verification.summary import NOT_ENOUGH_MODEL
from instructsel.verification.verdict import BETTER, NO_DIFFERENCE, Verdicts

REQUIRED: Final = ("better", "non-inferior")
EQUAL: Final = ("steps", "tokens", "epochs")


def check_asked(require: str | None, margin: Sequence[str], equal: str, generalize_to: str, confidence: float) -> dict[str, float]:
    """Refuse what cannot be before anything is trained; the margins by grader, that of all under an empty name."""
    if require is not None and require not in REQUIRED:
        raise UsageError.named(require, REQUIRED, noun="requirement")
    if (require == "non-inferior") != bool(margin):
        raise UsageError("--require non-inferior and --margin go together.", fix="Give both, or neither.")
    if not 0.5 < confidence < 1.0:
        raise UsageError(
            f"The confidence is {confidence}; a requirement needs one between 0.5 and 1.", fix="For example: --confidence 0.95"
        )
    margins: dict[str, float] = {}
    for each in margin:
        name, _, number = each.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"A margin of {number or each} cannot be.", fix="Give a number above 0 in the grader's unit, or GRADER=NUMBER."
            )
        if name in margins or (margins and "" in (name, *margins)):
            raise UsageError("The margin is given twice.", fix="Give one for all graders, or one for each that counts.")
        margins[name] = value
    if equal not in EQUAL:
        raise UsageError.named(equal, EQUAL, noun="measure of equal training")
    if generalize_to not in ESTIMANDS:
        raise UsageError.named(generalize_to, ESTIMANDS, noun="estimand")
    return margins


def check_margins(margins: Mapping[str, float], names: Sequence[str], arms: Sequence[Arm]) -> None:
    """Refuse a margin for a grader that there will not be."""
    known = {*names, *(each.grader for arm in arms for draw in arm.results for seed in draw for each in seed)}
    for grader in margins:
        if grader and grader not in known:
            raise UsageError.named(grader, known, noun="grader")


def required(
    found: Verified,
    verdicts: Verdicts,
    told: Mapping[str, Any],
    require: str,
    margins: Mapping[str, float],
    confidence: float,
    generalize_to: Estimand,
) -> None:
    """End with 1 unless what is asked for is shown.

    Raises:
        Negative: it is not.
        UsageError: a margin for a grader that there is not, or one margin for graders of different units.
    """
    against, whole = told["against"], found.verification
    if told["outcome"] == NOT_ENOUGH_MODEL:
        raise Negative(f"Nothing is shown of the selection and {against}: {told['outcome']}.")
    missing_runs = {arm: count for arm, count in told["missing"].items() if count}
    if missing_runs:
        named = ", ".join(f"{count} of {arm}" for arm, count in missing_runs.items())
        raise Negative(
            f"Nothing is shown of the selection and {against}: runs are missing ({named}).", fix="See what failed, and verify again."
        )
    if require == "better":
        if told["outcome"] != BETTER:
            seen = [each for each in verdicts if each.outcome != BETTER and each.interval.detectable is not None and not each.leakage]
            missed = "; ".join(f"{each.grader} would show {each.interval.detectable:.3g} {each.scale.unit}".rstrip() for each in seen)
            named = f" (found four times in five: {missed})" if missed and told["outcome"] == NO_DIFFERENCE else ""
            raise Negative(f"The selection is not shown to be better than {against}: {told['outcome']}{named}.")
        return
    apart = {each.grader for each in verdicts if each.leakage}
    asked = [grader for grader in sorted(whole.graders) if grader not in apart] if "" in margins else list(margins)
    for grader in asked:
        if grader not in whole.graders:
            raise UsageError.named(grader, whole.graders, noun="grader")
    if "" in margins and len({whole.graders[grader].unit for grader in asked}) > 1:
        units = ", ".join(f"{grader} in {whole.graders[grader].unit}" for grader in asked)
        raise UsageError(f"One margin for several units: {units}.", fix=f"Say it grader by grader: --margin '{asked[0]}=X'")
    missing = [
        grader
        for grader in asked
        if grader in apart
        or not {from_selection.SELECTION, against} <= set(whole.arms)
        or not whole.non_inferior(
            from_selection.SELECTION,
            against,
            grader,
            margin=margins.get(grader, margins.get("", 0.0)),
            confidence=confidence,
            generalize_to=generalize_to,
        ).shown
    ]
    if missing or not asked:
        told_margins = ", ".join(f"{margins.get(grader, margins.get('')):g} on {grader}" for grader in missing) or "any margin"
        raise Negative(f"The selection is not shown to be at most that much worse than {against}: {told_margins}.")


__all__ = ["check_asked", "check_margins", "required"]
