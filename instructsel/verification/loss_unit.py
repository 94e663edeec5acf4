"""The unit in which the losses of different models are compared: per token only where tokenizer and chat template agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from instructsel.artifact import fingerprint
from instructsel.errors import StudyError, UsageError
from instructsel.experiments.arms import Arm
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.tokenization import KEY, differing, tokenization_of
from instructsel.stats.loss_units import AUTO, BITS_PER_BYTE, LOSS_UNITS, NATS_PER_TOKEN
from instructsel.verification.grades_table import Run, _named

REQUEST: Final = "loss_unit"
"""Under which a grader writes down the unit that it was asked for."""
UNKNOWN: Final = (
    "No record says in which tokenizer and chat template the models were graded; losses per token compare only where they agree."
)
SAY_BITS: Final = "Compare in bits per byte: --loss-unit bits-per-byte, or leave the unit to be chosen."


@dataclass(frozen=True)
class LossUnit:
    """How a grader's losses are compared."""

    unit: str
    """nats per token, or bits per byte."""
    note: str = ""
    """Why in this unit, where tokenizers or chat templates differ or are not known; else nothing."""


def check_models(arms: Iterable[Arm], trainer: Any, unit: str, *, margins: bool = False) -> None:
    """Refuse a plan whose losses could not be compared, before anything is trained.

    Args:
        arms: of the plan; models that are there already show their tokenizer and chat template.
        trainer: of the others; one that shows its `chat_template` gives it to all that it trains.
        unit: nats per token, bits per byte, or auto.
        margins: whether a margin holds for a loss, which is a number in its unit.

    Raises:
        StudyError: losses per token are asked for, and tokenizers or chat templates differ.
        UsageError: they differ, and a margin does not say whether it is in nats or in bits.
        ModelUnavailable: a model without a tokenizer.
    """
    if unit == BITS_PER_BYTE or (unit == AUTO and not margins):
        return
    models: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def add(name: str, chat_template: ChatTemplate) -> None:
        tokenization = tokenization_of(chat_template.tokenizer, end_of_turn=True)
        models.setdefault(fingerprint(tokenization), (name, tokenization))

    for arm in arms:
        for replicate, seeds in enumerate(arm.models):
            for seed, checkpoint in enumerate(seeds):
                add(_named((arm.name, replicate, seed)), ChatTemplate.load(checkpoint.folder))
        if arm.pools and isinstance(chat_template := getattr(trainer, "chat_template", None), ChatTemplate):
            add(arm.name, chat_template)
    if len(models) < 2:
        return
    (name, one), (other_name, other) = list(models.values())[:2]
    why = _difference((name, one), (other_name, other))
    if unit == NATS_PER_TOKEN:
        raise StudyError(f"Losses cannot be compared per token: {why}.", fix=SAY_BITS)
    raise UsageError(
        f"A margin is a number in the unit of a loss, and that will be bits per byte: {why}.", fix="Say so with --loss-unit bits-per-byte."
    )


def in_one_unit(grader: str, runs: Sequence[Run], requested: str = AUTO) -> tuple[list[Run], LossUnit | None]:
    """The runs of a grader with all losses in one unit; runs whose values are no such loss are left as they are.

    Per token where all models have one tokenizer and one chat template, and count the same tokens of a turn's end. Bits per byte
    where they do not, or where it is asked for. A model of which this is not known counts as another one than those of which it is;
    where it is known of none, losses stay in the unit they are in.

    Args:
        grader: its name.
        runs: its runs.
        requested: nats per token, bits per byte, or auto: what the records of the runs ask for, if anything.

    Raises:
        StudyError: losses per token were asked for, and tokenizers or chat templates differ; a loss without the totals that another
            unit takes; runs that ask for different units.
    """
    if any(run.grades.unit not in LOSS_UNITS for run in runs) or all(
        # Of gold answers, say: there is no other unit to compare them in, and none that depends on tokens.
        run.grades.unit == BITS_PER_BYTE and run.grades.totals is None
        for run in runs
    ):
        return list(runs), None
    wanted = _requested(grader, runs) if requested == AUTO else requested
    units = {run.grades.unit for run in runs}
    models = _distinct(runs)
    known = [run for run, tokenization in models if tokenization is not None]
    if len(models) > 1:
        (run, one), (other_run, other) = models[:2]
        why = _difference((run.name, one), (other_run.name, other))
        if wanted == NATS_PER_TOKEN:
            raise StudyError(f"{grader} cannot be compared per token: {why}.", fix=SAY_BITS)
        note = f"In bits per byte: {why}." if wanted == AUTO else ""
        return _converted(grader, runs, BITS_PER_BYTE, why), LossUnit(BITS_PER_BYTE, note)
    unit = wanted if wanted != AUTO else NATS_PER_TOKEN if len(units) > 1 else next(iter(units))
    note = UNKNOWN if not known and unit == NATS_PER_TOKEN else ""
    return _converted(grader, runs, unit, f"{unit} is asked for"), LossUnit(unit, note)


def _requested(grader: str, runs: Iterable[Run]) -> str:
    """The unit that the runs' own graders were asked for.

    Raises:
        StudyError: several.
    """
    requests = {str(request): run for run in runs if (request := run.grades.record.get(REQUEST) or AUTO) != AUTO}
    if len(requests) > 1:
        (unit, run), (other_unit, other) = list(requests.items())[:2]
        raise StudyError(
            f"{grader} was asked for {unit} of {run.name} and for {other_unit} of {other.name}.", fix="Grade all models in the same way."
        )
    return next(iter(requests), AUTO)


def _distinct(runs: Sequence[Run]) -> list[tuple[Run, Mapping[str, Any] | None]]:
    """The first run, in the order of their names, of each tokenizer and chat template; None stands for one that no record names."""
    models: dict[str, tuple[Run, Mapping[str, Any] | None]] = {}
    for run in sorted(runs, key=lambda run: (run.arm, run.replicate, run.seed)):
        tokenization = run.grades.record.get(KEY)
        models.setdefault(fingerprint(tokenization), (run, tokenization))
    return list(models.values())


def _difference(one: tuple[str, Mapping[str, Any] | None], other: tuple[str, Mapping[str, Any] | None]) -> str:
    """What differs between two models, named, in words."""
    (name, tokenization), (other_name, other_tokenization) = one, other
    if tokenization is None or other_tokenization is None:
        unknown, known = (name, other_name) if tokenization is None else (other_name, name)
        return f"no record says in which tokenizer and chat template {unknown} was graded, and one does of {known}"
    parts = list(differing(tokenization, other_tokenization))
    return f"{' and '.join(parts)} of {name} and {other_name} differ{'s' * (len(parts) == 1)}"


def _converted(grader: str, runs: Sequence[Run], unit: str, why: str) -> list[Run]:
    """The runs in a unit.

    Raises:
        StudyError: the totals are missing that it takes.
    """
    without = next((run for run in runs if run.grades.unit != unit and run.grades.totals is None), None)
    if without is not None:
        raise StudyError(
            f"{grader} cannot be compared in {unit}: {without.name} was graded in {without.grades.unit}, without the bytes of its "
            f"responses, by an earlier release or another grader ({why}).",
            fix="Grade it again.",
        )
    return [replace(run, grades=run.grades.in_unit(unit)) for run in runs]


__all__ = ["LossUnit", "check_models", "in_one_unit"]
