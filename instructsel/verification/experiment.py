"""Run a plan: load its arms, check that they can be compared, train and grade all alike, and say what the difference is worth."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen
from typing import Any, Final, cast

import orjson

from instructsel.artifact import check_outputs, dump_json, manifest_path, read_manifest
from instructsel.errors import Negative, StudyError, UsageError
from instructsel.experiments import from_selection
from instructsel.experiments.arms import Arm, rows_digest
from instructsel.experiments.changes import added, listed, replaced
from instructsel.experiments.execute import ExecutionSettings, Progress
from instructsel.experiments.matching import length_of, matched_recipe
from instructsel.experiments.plan import PLAN, RANDOM, SELECTION, Experiment, describe
from instructsel.experiments.plan_content import check_paths, named_file
from instructsel.experiments.store import FAILED, SAFE, check_folder, slug
from instructsel.experiments.toolkit import Runtime, Toolkit
from instructsel.experiments.workers import shared_gpus, shares, workers
from instructsel.models.load import locate_language_model
from instructsel.pool import spec
from instructsel.pool.evaluation_texts import Render
from instructsel.pool.example import Example
from instructsel.pool.overlap import EvaluationIndex, Overlap
from instructsel.pool.task_overlap import documents_of, task_overlaps
from instructsel.protocols import Grader
from instructsel.rendering import TEMPLATE_DATE
from instructsel.stats.loss_units import UNIT_CHOICES
from instructsel.stats.variance import Estimand
from instructsel.text import counted
from instructsel.verification.base_model import judged_base
from instructsel.verification.judged import PASSING, OutputGrader, judged
from instructsel.verification.learning_rates import AtRate, confidence_at_each, dependence, overall
from instructsel.verification.loss_unit import check_models
from instructsel.verification.planned import PLANNED, TABLE, conditions, expected, first_plan, table_at, why_no_power
from instructsel.verification.requirements import check_margins, required
from instructsel.verification.results import VERDICT, check_results_replaced, write_verdict
from instructsel.verification.run import Verified, verify_arms
from instructsel.verification.summary import summary
from instructsel.verification.verdict import NOT_ENOUGH, ComparisonSettings, Verdicts
from instructsel.verification.verification import Verification

CHECKPOINTS: Final = "checkpoints"
OUTPUTS: Final = "outputs"
SAMPLES: Final = "samples"
REPLIES: Final = "judge"
"""The folder of a judge's replies."""
WIN_RATE: Final = "win rate"
REWARD: Final = "reward"
FEWEST_RANDOM: Final = 3
"""Random subsets: with fewer it is not known how much they differ."""
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


@dataclass(frozen=True)
class Watch:
    """Callbacks for messages and progress; by default none."""

    message: Callable[[str], None] | None = None
    """Gets lines for people."""
    runs: Callable[[Progress], None] | None = None
    """Gets how far the runs are, after each."""
    training: Callable[[int, int, float], None] | None = None
    """Gets steps done, steps in all, and the last loss of the training at work."""
    judging: Callable[[str], Callable[[int, int], None]] | None = None
    """A grader's name → what gets how many models it has graded, and of how many."""

    def say(self, text: str) -> None:
        """A line for people."""
        if self.message is not None:
            self.message(text)


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


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A plan whose arms and graders are loaded and checked, before anything is trained."""

    plan: Experiment
    toolkit: Toolkit
    folder: Path
    watch: Watch
    runtime: Runtime
    arms: tuple[Arm, ...]
    graders: tuple[Grader, ...]
    responses: Any
    """The grader that has models respond to instructions; None where there are none."""
    trainer: Any
    overlaps: tuple[Overlap, ...] = ()
    """What of each evaluation set stands in the rows of each arm."""

    @property
    def measured(self) -> list[Grader]:
        """What grades each model when it is trained."""
        return [*self.graders, *([] if self.responses is None else [self.responses])]

    @property
    def judges(self) -> list[str]:
        """What the grades of responses will be called."""
        grading = self.plan.grading
        return [*([WIN_RATE] if grading.judge or grading.annotator else []), *([REWARD] if grading.reward else [])]


def run(
    plan: Experiment, toolkit: Toolkit, folder: Path, *, settings: ExecutionSettings, watch: Watch, force: bool = False
) -> ExperimentResult:
    """Train every arm alike, grade every model alike, and say what the difference is worth.

    Args:
        plan: with paths that hold from the working directory.
        toolkit: makes trainers and graders.
        folder: of the results.
        settings: processes, a limit of runs, whether models are kept.
        watch: callbacks for messages and progress.
        force: replace the results of another plan in the folder.

    Raises:
        UsageError, StudyError, EnvironmentFault: see `instructsel.adapters.experiment.verify`.
    """
    plan.check_confirmed()
    # Before a model is loaded: then a process that has seen all GPUs goes on seeing them.
    gpus = shared_gpus(settings.jobs - 1)
    plan = plan.resolved(Path.cwd())
    check_folder(folder, plan.files, pools=plan.pools)
    if folder.is_dir():
        outputs = [folder / name for name in (PLAN, PLANNED, TABLE, VERDICT)]
        check_outputs([*outputs, manifest_path(folder / TABLE)], plan.files)
        check_results_replaced(folder)
    check_paths(plan)
    earlier = None if force else _earlier(folder)
    if earlier is not None:
        _check_continues(earlier, plan, folder)
    prepared = _prepare(plan, toolkit, folder, watch)
    if earlier is not None:
        _check_continues(earlier, prepared.plan, folder)
        if changes := added(earlier, prepared.plan):
            watch.say(f"plan.toml is replaced: {listed(changes)}.")
    power = _power(prepared)
    prepared.plan.write(folder / PLAN)
    since = time.time()
    verified = _run_all(prepared, settings, since, gpus)
    if prepared.responses is not None:
        with_judges = _with_judges(prepared, verified)
        if with_judges is None:
            more = f"; {counted(len(verified.pending), 'run')} pending, and the same command continues" if verified.pending else ""
            watch.say(f"There is no verdict{more}.")
            return ExperimentResult(prepared.plan, folder, verified, None)
        at_others = {
            name: judged_ for name, other in verified.variants.items() if (judged_ := _with_judges(prepared, other, name)) is not None
        }
        verified = replace(with_judges, variants=at_others)
    return _concluded(prepared, verified, power)


def _earlier(folder: Path) -> Experiment | None:
    """The plan of the results in a folder; None where there are none, or the plan is damaged."""
    # A run that failed has no result, so that what was mended may be tried in its place.
    graded = any(not path.name.endswith(FAILED) for path in (folder / "runs").glob("*.json"))
    if not (folder / VERDICT).exists() and not graded:
        return None
    with suppress(UsageError):
        return Experiment.read(folder / PLAN)
    return None


def _check_continues(earlier: Experiment, plan: Experiment, folder: Path) -> None:
    """Refuse a plan whose results would replace those of another.

    Raises:
        UsageError: training, arms, graders or rows differ, or are fewer.
    """
    if changes := replaced(earlier, plan):
        raise UsageError(
            f"{folder} has the results of another plan: {listed(changes)}.",
            fix="Choose another folder with -o, or replace plan.toml and verdict.json with --force.",
        )


def work(plan: Experiment, toolkit: Toolkit, folder: Path, *, settings: ExecutionSettings, since: float) -> None:
    """Make runs of a plan for another process, which checks, judges and concludes; what failed is kept, and reported by that one."""
    plan.check_confirmed()
    prepared = _prepare(plan.resolved(Path.cwd()), toolkit, folder, Watch(), checks=False)
    # All runs may be another's, and then there is no grade.
    with suppress(StudyError):
        _verified(prepared, settings, since)


def _prepare(plan: Experiment, toolkit: Toolkit, folder: Path, watch: Watch, *, checks: bool = True) -> _Prepared:
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
    prepared = _Prepared(plan, toolkit, folder, watch, runtime, tuple(arms), (), None, None)
    graders = [*_held_out(prepared, digests), *toolkit.tasks(plan.grading, runtime, folder / SAMPLES)]
    prepared = replace(prepared, graders=tuple(graders), responses=_responses(prepared, digests))
    if checks:
        prepared = replace(prepared, overlaps=_overlaps(prepared))
        _try_judges(prepared)
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


def _trainer(prepared: _Prepared, recipe: Any) -> Any:
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
        trainer = _with_rate(trainer, recipe.learning_rate * multiples[0])
    fine_tunes = sum(len(arm.pools) for arm in with_rows) * plan.seeds * len(multiples)
    how = plan.training.match_compute if recipe.epochs is not None else ""
    replicates = [(arm.name, arm.replicates) for arm in prepared.arms]
    watch.say(describe(replicates, fine_tunes, length_of(getattr(trainer, "recipe", recipe)), how))
    return trainer


def _held_out(prepared: _Prepared, digests: dict[str, str]) -> list[Grader]:
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


def _responses(prepared: _Prepared, digests: dict[str, str]) -> Any:
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


def _overlaps(prepared: _Prepared) -> tuple[Overlap, ...]:
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


def _power(prepared: _Prepared) -> list[dict[str, Any]]:
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
        settings=_comparison(plan),
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


def _run_all(prepared: _Prepared, settings: ExecutionSettings, since: float, gpus: Sequence[str]) -> Verified:
    """Make the runs here and in worker processes; then make what these left, and take over what they made."""
    limits = shares(settings.jobs, settings.limit) or [0]
    commands = [_worker(prepared, settings, since, limit) for limit in limits[1:]]
    mine = replace(settings, limit=limits[0])
    with workers(commands, gpus) as processes:
        if not processes:
            return _verified(prepared, mine, since, announce=True)
        return _shared(prepared, mine, since, processes, then=0 if settings.limit is not None else None)


def _shared(
    prepared: _Prepared, settings: ExecutionSettings, since: float, processes: Sequence[Popen[bytes]], *, then: int | None
) -> Verified:
    # All runs may be the workers', and then there is no grade yet.
    with suppress(StudyError):
        _verified(prepared, settings, since, announce=True)
    for process in processes:
        process.wait()
    return _verified(prepared, replace(settings, limit=then), since)


def _verified(prepared: _Prepared, settings: ExecutionSettings, since: float, *, announce: bool = False) -> Verified:
    watch, begun = prepared.watch, not announce

    def progress(step: Progress) -> None:
        nonlocal begun
        if not begun and step.done and step.run is None:
            watch.say(f"{step.done:,} of {counted(step.total, 'run')} {'was' if step.done == 1 else 'were'} finished before.")
        begun = True
        if watch.runs is not None and step.total:
            watch.runs(step)

    verified = verify_arms(
        prepared.arms,
        graders=prepared.measured,
        trainer=prepared.trainer,
        seeds=tuple(range(prepared.plan.seeds)),
        folder=prepared.folder,
        settings=settings,
        since=since,
        progress=progress,
        allow_unlike=prepared.plan.statistics.allow_unlike,
        variants=_variants(prepared),
    )
    unit = prepared.plan.grading.unit
    return replace(verified.in_loss_unit(unit), variants={name: other.in_loss_unit(unit) for name, other in verified.variants.items()})


def _variants(prepared: _Prepared) -> dict[str, Any]:
    """The trainer of each further learning rate, by its name."""
    _, *others = prepared.plan.training.learning_rates or (1.0,)
    if prepared.trainer is None:
        return {}
    rate = prepared.toolkit.recipe(prepared.plan.training).learning_rate
    return {_at(multiple): _with_rate(prepared.trainer, rate * multiple) for multiple in others}


def _at(multiple: float) -> str:
    """What runs at a multiple of the learning rate are called, after their seed."""
    return f"at {multiple:g} times the learning rate"


def _with_rate(trainer: Any, learning_rate: float) -> Any:
    return replace(trainer, recipe=replace(trainer.recipe, learning_rate=learning_rate))


def _worker(prepared: _Prepared, settings: ExecutionSettings, since: float, limit: int | None) -> list[str]:
    """The command of a worker process."""
    folder = prepared.folder
    return [
        *(sys.executable, "-m", "instructsel", "verify", str(folder / PLAN), "-o", str(folder), "--worker", repr(since), "-q"),
        *(["--limit", str(limit)] if limit is not None else []),
        *(["--keep-checkpoints"] if settings.keep_checkpoints else []),
        *prepared.plan.confirmations,
    ]


def _try_judges(prepared: _Prepared) -> None:
    """Load who is to judge, and let go of it again: what cannot be had, or is no judge, must show before anything is trained.

    Raises:
        What loading a judge or a reward model raises.
    """
    from instructsel.models import runner
    from instructsel.models.reward import RewardModel

    grading, runtime = prepared.plan.grading, prepared.runtime
    try:
        if grading.judge or grading.annotator:
            _ = _judge(prepared).fingerprint
        if grading.reward:
            RewardModel.load(grading.reward, precision=runtime.precision, device=runtime.device)
    finally:
        runner.free_memory()


def _judge(prepared: _Prepared) -> Any:
    from instructsel.grading.judge import HttpJudgeClient, LocalJudgeClient, PairwiseJudge

    grading, runtime, folder = prepared.plan.grading, prepared.runtime, prepared.folder / REPLIES
    if grading.annotator:
        return prepared.toolkit.annotator(grading, folder)
    name, revision = grading.judge or "", grading.judge_revision
    client: Any
    if grading.judge_url:
        client = HttpJudgeClient(grading.judge_url, name, revision=revision, key_variable=grading.judge_key)
    else:
        client = LocalJudgeClient.load(name, revision=revision, precision=runtime.precision, device=runtime.device)
    return PairwiseJudge(client, folder)


def _output_graders(prepared: _Prepared, verified: Verified) -> list[OutputGrader]:
    """Who grades the responses: a judge, against those of the baseline's models in turn, and a reward model.

    A judge has nothing to compare with where no model of the baseline has responded, and is left out.
    """
    from instructsel.grading.graders.judged_outputs import JudgedOutputs
    from instructsel.grading.graders.reward import RewardGrader
    from instructsel.grading.outputs import rotating_reference

    responses, grading, baseline = prepared.responses, prepared.plan.grading, prepared.plan.baseline
    graders: list[OutputGrader] = []
    reference = [responses.of(run.grades, run.name) for run in verified.runs if run.arm == baseline and run.grades.grader == responses.name]
    if (grading.judge or grading.annotator) and reference:
        outputs = rotating_reference(reference, name=f"{baseline}, {len(reference)} models in turn")
        judge = _judge(prepared)
        graders.append(JudgedOutputs(responses.instructions, outputs, judge, generator=responses.generator, name=WIN_RATE))
    if grading.reward:
        graders.append(RewardGrader(responses.instructions, grading.reward, generator=responses.generator, name=REWARD))
    return graders


def _with_judges(prepared: _Prepared, verified: Verified, variant: str = "") -> Verified | None:
    """With the judges' grades in place of the responses they judged; None where there are no grades at all so far.

    While models of the baseline are pending, nobody is asked: what a response is compared with would be another one at each call.
    """
    responses, watch, grading, baseline = prepared.responses, prepared.watch, prepared.plan.grading, prepared.plan.baseline
    folder = prepared.folder / OUTPUTS / SAFE.sub("_", variant)
    folder.mkdir(parents=True, exist_ok=True)
    responded = [run for run in verified.runs if run.grades.grader == responses.name]
    outputs = [responses.of(run.grades, run.name) for run in responded]
    for run, output in zip(responded, outputs, strict=True):
        prepared.toolkit.write_outputs(folder / f"{slug(run.arm, run.replicate, run.seed)}.json", output)
    runs = [run for run in verified.runs if run.grades.grader != responses.name]
    if grading.n_judges and verified.n_pending(baseline):
        watch.say(f"The responses are not judged yet: {counted(verified.n_pending(baseline), 'run')} of {baseline} pending.")
        return verified.with_runs(runs) if runs else None
    graders = _output_graders(prepared, verified)
    if len(graders) < grading.n_judges:
        watch.say(f"warning: no model of {baseline} has responded, so there is nothing for the judge to compare with.")
    ungraded = 0
    for grader in graders:
        progress = watch.judging(grader.name) if watch.judging is not None else None
        graded = judged(verified.runs, responses, grader, folder=prepared.folder, progress=progress)
        if grader.name == WIN_RATE:
            grades = prepared.toolkit.judged([run.grades for run in graded], outputs, grader, grading)
            graded = [replace(run, grades=one) for run, one in zip(graded, grades, strict=True)]
            if grading.alpaca_files is not None and not any(run.grades.record.get("official") for run in graded):
                watch.say(
                    "warning: no length-controlled win rate of AlpacaEval's own: these are not its 805 instructions, or its fit failed."
                )
        ungraded += sum(reason in PASSING for run in graded for reason in run.grades.reasons)
        runs += graded
    if ungraded:
        watch.say(
            f"warning: {counted(ungraded, 'response')} {'has' if ungraded == 1 else 'have'} no grade because no reply came; the same command asks for these again."
        )
    if not runs and not grading.n_judges:
        watch.say(f"The responses are in {folder}; nothing has graded them (--judge, --annotator, --reward or --eval would).")
        return None
    return verified.with_runs(runs)


def _concluded(prepared: _Prepared, verified: Verified, power: Sequence[Mapping[str, Any]]) -> ExperimentResult:
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


def _comparison(plan: Experiment) -> ComparisonSettings:
    """How a plan compares arms, at the confidence that leaves room for the comparisons at other learning rates."""
    statistics = plan.statistics
    confidence = confidence_at_each(statistics.confidence, len(plan.training.learning_rates))
    return ComparisonSettings(confidence, cast(Estimand, statistics.generalize_to), pool_seeds=statistics.pool_seeds)


def _summary(plan: Experiment, arms: Sequence[Arm], verified: Verified) -> tuple[dict[str, Any], Verdicts]:
    """A verification as plain data."""
    return summary(
        verified,
        selection=SELECTION,
        against=plan.baseline,
        base=next((arm.name for arm in arms if arm.fixed), None),
        settings=_comparison(plan),
        model=judged_base(plan.training.base) if plan.training.base else None,
    )


def _rates(prepared: _Prepared, verified: Verified, content: Mapping[str, Any], verdicts: Verdicts) -> tuple[AtRate, ...]:
    """The verification at each learning rate; none where there is only one."""
    plan, trainer = prepared.plan, prepared.trainer
    if len(plan.training.learning_rates) < 2 or trainer is None:
        return ()
    first, *others = plan.training.learning_rates
    rate = prepared.toolkit.recipe(plan.training).learning_rate
    rates = [AtRate(first, rate * first, verified, dict(content), verdicts)]
    for multiple in others:
        other = verified.variants.get(_at(multiple))
        at_other = (None, Verdicts(())) if other is None else _summary(plan, prepared.arms, other)
        rates.append(AtRate(multiple, rate * multiple, other, *at_other))
    return tuple(rates)


__all__ = ["ExperimentResult", "Watch", "run", "work"]
