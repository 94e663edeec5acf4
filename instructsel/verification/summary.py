"""A verification in one piece: verdicts, skills, win rates, length bias, agreement of graders, costs and power, as plain data and as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from instructsel.verification.by_source import SourceTable
from instructsel.verification.graders_agree import graders_agree
from instructsel.verification.grades_table import Run
from instructsel.verification.length_biases import length_biases
from instructsel.verification.loss_evidence import loss_evidence, rests_on_loss
from instructsel.verification.run import Verified
from instructsel.verification.skills import SkillTable
from instructsel.verification.verdict import NOT_ENOUGH, ComparisonSettings, Verdicts
from instructsel.verification.verification import Verification
from instructsel.verification.win_rates import CIRCULAR, LEAKAGE, win_rates

NOT_ENOUGH_MODEL: Final = "not enough model"
"""The outcome where the base is itself no better than chance: nothing that was trained on it says anything."""


def leakage(verified: Verified) -> dict[str, tuple[str, ...]]:
    """Grader → the arms whose rows its own model ranked, as far as it is known; graders without one are left out.

    A grade's record says which models it is of (`models`), an arm which models ranked its rows; or the record says `circular`.
    """
    leaking: dict[str, set[str]] = {}
    for run in verified.runs:
        record = run.grades.record
        model_digests = frozenset(record.get("models") or ())
        arms = {arm for arm, ranked in verified.ranked.items() if ranked & model_digests}
        if record.get(CIRCULAR):
            arms.add(run.arm)
        if arms:
            leaking.setdefault(run.grades.grader, set()).update(arms)
    return {grader: tuple(sorted(arms)) for grader, arms in sorted(leaking.items())}


def measures(runs: Iterable[Run]) -> dict[str, str]:
    """Grader → the skill its task is said to measure, where its record says so."""
    return {run.grades.grader: str(skill) for run in runs if (skill := run.grades.record.get("skill"))}


def summary(
    verified: Verified,
    *,
    selection: str,
    against: str,
    base: str | None = None,
    settings: ComparisonSettings | None = None,
    margin: float = 0.0,
    model: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], Verdicts]:
    """A verification as plain data, and its verdicts.

    Args:
        verified: the runs.
        selection: the arm asked about.
        against: the baseline the outcome is about.
        base: the arm that is the model before the fine-tune, for the skills; None where there is none.
        settings: how arms are compared.
        margin: how far below the base a skill still counts as kept.
        model: what is known of the base: `enough`, False where it is no better than chance, and `said`.

    Raises:
        UsageError: a confidence, generalize_to or margin that cannot be.
        MissingExtra: scipy is not installed.
    """
    verification, settings = verified.verification, settings or ComparisonSettings()
    others = [arm for arm in verification.arms if arm != selection]
    ranked = leakage(verified)
    apart = {(arm, grader) for grader, arms in ranked.items() for arm in others if selection in arms or arm in arms}
    rates = win_rates(verified.runs)
    for judge, arms in ranked.items():
        for arm in set(arms) & set(rates.get(judge, ())):
            rates[judge][arm][LEAKAGE] = True
    known = selection in verification.arms and others
    verdicts = verification.verdicts(selection, others, settings=settings, leakage=apart) if known else Verdicts(())
    described, compared = verification.as_dict(), verdicts.as_dict()
    agreement = graders_agree(verified.runs, described["graders"], verdicts=compared["verdicts"], confidence=settings.confidence)
    record = {
        **described,
        "selection": selection,
        "against": against,
        "outcome": outcome(verdicts, against, model, pending=sum(verified.n_pending(arm) for arm in (selection, against))),
        "missing": {arm: count for arm in (selection, against) if (count := verified.n_missing(arm))},
        "confidence": settings.confidence,
        "generalize_to": settings.generalize_to,
        "pool_seeds": settings.pool_seeds,
        "verdicts": compared,
        "skills": None
        if base is None or base not in verification.arms
        else SkillTable.measured(
            verification,
            base=base,
            margin=margin,
            generalize_to=settings.generalize_to,
            pool_seeds=settings.pool_seeds,
            measures=measures(verified.runs),
        ).as_dict(),
        "sources": None if not known or against not in verification.arms else _sources(verification, selection, against, settings),
        "rests_on_loss": loss_evidence().as_dict() if rests_on_loss(verdicts.against(against)) else None,
        "win_rates": rates,
        "length_biases": length_biases(verified.runs),
        "agreement": None if agreement is None else agreement.as_dict(),
        "leakage": {grader: list(arms) for grader, arms in ranked.items()},
        "costs": {arm: dict(cost) for arm, cost in verified.costs.items()},
        "subsets": {arm: [dict(subset) for subset in arm_subsets] for arm, arm_subsets in verified.subsets.items()},
        "trained": [dict(training) for training in verified.trained],
        "failures": [vars(failure) for failure in verified.failures],
        "pending": list(verified.pending),
        "model": None if model is None else dict(model),
    }
    return record, verdicts


def _sources(verification: Verification, selection: str, against: str, settings: ComparisonSettings) -> dict[str, Any] | None:
    """The parts of the evaluation sets; None where there are none."""
    table = SourceTable.of(verification, selection, against, settings)
    return table.as_dict() if table.parts else None


def outcome(verdicts: Verdicts, against: str, model: Mapping[str, Any] | None = None, *, pending: int = 0) -> str:
    """The one that stands for the whole: of the verdicts against one baseline, unless the base is no better than chance.

    While runs of either arm are left to be made there is no verdict: whoever looks again after each run finds one in the end.
    """
    if model is not None and not model.get("enough", True):
        return NOT_ENOUGH_MODEL
    if pending:
        return NOT_ENOUGH
    deciding = verdicts.against(against)
    return deciding.outcome if len(deciding) else NOT_ENOUGH


def cost(arm: str, costs: Mapping[str, float | None], *, models: int = 1) -> str:
    """What an arm cost, in words; with several models, of all of them. What took no time was not done, and is left out.

    >>> cost("random", {"selection": 0.0, "training": 240.4, "grading": 31.0}, models=6)
    'random: training 6 models 240 s, grading 31 s'

    Returns:
        The words; "" where nothing was chosen, trained or graded, or nothing of it is known.
    """
    texts = {
        key: "an unknown time" if (seconds := costs.get(key)) is None else f"{seconds:,.0f} s"
        for key in ("selection", "training", "grading")
    }
    trained = "training" if models == 1 else f"training {models} models"
    words = {"selection": "choosing the rows", "training": trained, "grading": "grading"}
    parts = [f"{words[key]} {text}" for key, text in texts.items() if costs.get(key) != 0]
    # Of finished results nothing was done here, and nothing is known; a base model was not trained either.
    unknown = not any(costs.get(key) for key in words)
    return "" if unknown or not parts else f"{arm}: {', '.join(parts)}"


__all__ = ["NOT_ENOUGH_MODEL", "cost", "leakage", "measures", "outcome", "summary"]
