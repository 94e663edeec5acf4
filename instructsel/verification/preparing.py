"""A plan before anything is trained: its arms and graders are loaded, and what cannot be compared is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from instructsel.errors import StudyError, UsageError
from instructsel.experiments import from_selection
from instructsel.experiments.arms import rows_digest
from instructsel.experiments.matching import length_of, matched_recipe
from instructsel.experiments.plan import RANDOM, SELECTION, Experiment, describe
from instructsel.experiments.plan_content import named_file
from instructsel.experiments.toolkit import Runtime, Toolkit
from instructsel.models.load import locate_language_model
from instructsel.pool import spec
from instructsel.pool.evaluation_texts import Render
from instructsel.pool.example import Example
from instructsel.pool.overlap import EvaluationIndex, Overlap
from instructsel.pool.task_overlap import documents_of, task_overlaps
from instructsel.protocols import Grader
from instructsel.rendering import TEMPLATE_DATE
from instructsel.stats.loss_units import UNIT_CHOICES
from instructsel.verification.judging import try_judges
from instructsel.verification.learning_rates import with_rate
from instructsel.verification.loss_unit import check_models
from instructsel.verification.prepared import Prepared
from instructsel.verification.requirements import check_margins
from instructsel.verification.watch import Watch

CHECKPOINTS: Final = "checkpoints"
SAMPLES: Final = "samples"
FEWEST_RANDOM: Final = 3
"""Random subsets: with fewer it is not known how much they differ."""


def prepare(plan: Experiment, toolkit: Toolkit, folder: Path, watch: Watch, *, checks: bool = True) -> Prepared:
    """Load arms and graders, and refuse what cannot be compared; without checks, where another process has made them."""
    recipe = toolkit.recipe(plan.training)
    toolkit.check(plan.grading)
    _check_grading(plan)
    arms, digests = from_selection.load_arms(plan, toolkit, message=watch.say)
    finished = {arm.name: [one for by_seed in arm.results for by_grader in by_seed for one in by_grader] for arm in arms}
    for warning in toolkit.incomplete(finished):
        watch.say(f"warning: {warning}")
    baseline = next(arm for arm in arms if arm.name == plan.baseline)
    if baseline.name == RANDOM and baseline.replicates < FEWEST_RANDOM:
        watch.say(
            f"warning: {baseline.replicates} random subset{'s' * (baseline.replicates > 1)}; with {FEWEST_RANDOM} or more it shows how much random subsets differ."
        )
    date = getattr(recipe, "template_date", TEMPLATE_DATE)
    runtime = Runtime(plan.training.device, plan.training.precision, recipe.max_length, date)
    prepared = Prepared(plan, toolkit, folder, watch, runtime, tuple(arms), (), None, None)
    graders = [*_held_out(prepared, digests), *toolkit.tasks(plan.grading, runtime, folder / SAMPLES)]
    prepared = replace(prepared, graders=tuple(graders), responses=_responses(prepared, digests))
    if checks:
        prepared = replace(prepared, overlaps=_overlaps(prepared))
        try_judges(prepared)
    _check_digests(plan, digests)
    check_margins(plan.statistics.margins, [*(grader.name for grader in graders), *prepared.judges], arms)
    prepared = replace(prepared, plan=replace(plan, digests=digests), trainer=_trainer(prepared, recipe))
    losses = {grader.name for grader in graders if getattr(grader, "unit", None) in UNIT_CHOICES}
    if losses:
        check_models(arms, prepared.trainer, plan.grading.unit, margins=bool({"", *losses} & plan.statistics.margins.keys()))
    return prepared


def _check_grading(plan: Experiment) -> None:
    """Refuse a plan by which no model has a grade; finished results bring theirs along."""
    if not plan.grades or plan.grading.grades:
        return
    if plan.statistics.require is not None:
        raise UsageError(
            f"Nothing grades, so that nothing can be shown: --require {plan.statistics.require}.", fix="Give --eval, --lm-eval, or a judge."
        )
    if plan.grading.instructions is None:
        raise UsageError("Nothing says how good a model is.", fix="Give --eval FILE, --lm-eval TASKS, or --instructions FILE with a judge.")


def _trainer(prepared: Prepared, recipe: Any) -> Any:
    """The trainer of all arms, by a recipe that gives each as much compute."""
    plan, watch = prepared.plan, prepared.watch
    with_rows = [arm for arm in prepared.arms if arm.pools]
    if not with_rows:
        return None
    trainer: Any = prepared.toolkit.trainer(plan.training, recipe, prepared.folder / CHECKPOINTS, watch.training)
    if hasattr(trainer, "check"):
        trainer.check()
    for notice in getattr(trainer, "notices", ()):
        watch.say(notice)
    if hasattr(trainer, "audit"):
        # Equal compute is counted in the selection's rows.
        first = sorted(with_rows, key=lambda arm: arm.name != SELECTION)
        matched = matched_recipe(trainer, first, plan.training.match_compute, message=watch.message)
        trainer = replace(trainer, recipe=matched)
    multiples = plan.training.learning_rates or (1.0,)
    if multiples[0] != 1.0:
        trainer = with_rate(trainer, recipe.learning_rate * multiples[0])
    fine_tunes = sum(len(arm.pools) for arm in with_rows) * plan.seeds * len(multiples)
    how = plan.training.match_compute if recipe.epochs is not None else ""
    replicates = [(arm.name, arm.replicates) for arm in prepared.arms]
    watch.say(describe(replicates, fine_tunes, length_of(getattr(trainer, "recipe", recipe)), how))
    return trainer


def _held_out(prepared: Prepared, digests: dict[str, str]) -> list[Grader]:
    """The loss on held-out rows; what is evaluated on may not be trained on."""
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    graders: list[Grader] = []
    for number, path in enumerate(prepared.plan.grading.held_out):
        skill, file = named_file(path)
        rows = spec.Reading().read([file])
        digests[f"held-out {number}"] = rows_digest(rows.ids)
        name, runtime = f"loss on {skill or rows.files[0].source.label}", prepared.runtime
        options: dict[str, Any] = {
            "max_length": runtime.max_length,
            "device": runtime.device,
            "precision": runtime.precision,
            "template_date": runtime.template_date,
        }
        graders.append(HeldOutLoss(rows, name=name, skill=skill or None, **options))
    return graders


def _responses(prepared: Prepared, digests: dict[str, str]) -> Any:
    """The grader that has models respond to instructions; None where there are none."""
    grading, runtime = prepared.plan.grading, prepared.runtime
    if grading.instructions is None:
        return None
    from instructsel.grading.generation import Generator
    from instructsel.grading.graders.responses import Responses

    if (grading.annotator or grading.judge_url) and not grading.judge_revision:
        prepared.watch.say(
            "warning: the judge's revision is not known, and a provider may change it; name one that stays with --judge-revision."
        )
    rows = spec.Reading().read([grading.instructions])
    digests["instructions"] = rows_digest(rows.ids)
    # A set may name an instruction twice, with two responses to it; it is asked once.
    texts = tuple(dict.fromkeys(example.instruction for example in rows.examples()))
    generator = Generator(
        max_new_tokens=grading.max_new_tokens,
        max_length=runtime.max_length,
        device=runtime.device,
        precision=runtime.precision,
        template_date=runtime.template_date,
    )
    return Responses(texts, generator=generator)


def _overlaps(prepared: Prepared) -> tuple[Overlap, ...]:
    """What of each evaluation set stands in the rows of each arm; none of it may be trained on unless the plan allows it."""
    grading, watch = prepared.plan.grading, prepared.watch
    paths: list[str] = list(
        dict.fromkeys([*(named_file(path)[1] for path in grading.held_out), *([grading.instructions] if grading.instructions else [])])
    )
    with_rows = {f"the arm {arm.name}": arm.pools for arm in prepared.arms if arm.pools}
    if not with_rows:
        return ()
    render = _render(prepared.plan)
    overlaps: list[Overlap] = []
    for path in paths:
        index = EvaluationIndex.of(spec.Reading().read([path]))
        overlaps += [index.overlap(pools, where=where, render=render) for where, pools in with_rows.items()]
    overlaps += task_overlaps(documents_of(prepared.graders), with_rows, render=render)
    for overlap in overlaps:
        if not grading.allow_contamination:
            overlap.check()
        for sentence in overlap.sentences():
            watch.say(f"warning: {sentence}")
    return tuple(overlaps)


def _render(plan: Experiment) -> Render:
    """What the base sees of an example. Its template is loaded for the first one: most sets share no question with the rows."""
    from instructsel.grading.chat import ChatTemplate

    templates: list[ChatTemplate] = []

    def text(example: Example) -> str | None:
        if not templates:
            source = locate_language_model(plan.training.base, revision=plan.training.revision, needed_by="the chat template")
            templates.append(ChatTemplate.load(source.folder))
        return templates[0].text(example)

    return text


def _check_digests(plan: Experiment, digests: Mapping[str, str]) -> None:
    for name, digest in plan.digests.items():
        if name in digests and digests[name] != digest:
            raise StudyError(f"The rows of {name} have changed since the plan was made.", fix="Restore its file, or make another plan.")


__all__ = ["prepare"]
