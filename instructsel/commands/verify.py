"""instructsel verify: is the selection better than random, and than the other honest baselines?"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._arms import ArmSettings, planned_arms
from instructsel.commands._console import Progress, messages, reported, say, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._recipe import RecipeChanges
from instructsel.commands._runs import display
from instructsel.errors import UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.from_selection import without_record
from instructsel.experiments.limits import MOST_SEEDS
from instructsel.experiments.plan import (
    SELECTION,
    Experiment,
    GradingSettings,
    PlannedArm,
    StatisticsSettings,
    TrainingSettings,
)
from instructsel.experiments.plan_content import check_paths
from instructsel.experiments.trusted import OFF, REACHING, does
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.reports.figures import plain
from instructsel.reports.plain_text import spoken
from instructsel.verification.concluding import ExperimentResult
from instructsel.verification.verdict import NOT_ENOUGH
from instructsel.verification.watch import Watch

EXAMPLES: Final = """Examples:
  # make toy-study makes these files
  instructsel verify study-demo/sources/clean.jsonl --arm shuffled=study-demo/sources/shuffled.jsonl --base study-demo/toybase --preset tiny --steps 2 --seeds 2 --max-skipped-fraction 0.5 --eval study-demo/sources/evaluation.jsonl -o /tmp/verified
  instructsel verify /tmp/verified/plan.toml -o /tmp/verified
"""
PLAN: Final = ".toml"
"""The ending of a plan."""
STATED: Final = ("COMMANDLINE", "ENVIRONMENT")
"""Where a setting is from that the user states; a settings file may come along with the plan."""


@dataclass(frozen=True)
class RunOptions:
    """Where the results go, how often each subset is trained on, and what may be replaced."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder of the plan, finished runs, and the verdict; by default the folder of PLAN.toml.",
        ),
    ] = None
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_SEEDS, help="How often each subset is trained on, with seeds 0, 1, …", rich_help_panel=options.TRAINING
        ),
    ] = 3
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of another plan in the folder.", rich_help_panel=options.OUTPUT)
    ] = False
    worker: Annotated[float | None, typer.Option(hidden=True)] = None


@reported
@with_options
def command(
    context: typer.Context,
    *,
    arms: ArmSettings,
    training: TrainingSettings,
    recipe: RecipeChanges,
    grading: GradingSettings,
    statistics: StatisticsSettings,
    execution: ExecutionSettings,
    selection: Annotated[
        str | None, typer.Argument(metavar="[SELECTION|PLAN.toml]", help="The selection's rows, as select wrote them, or a plan.")
    ] = None,
    runs: RunOptions,
    reading: ReadingOptions = DEFAULTS,
    common: options.CommonOptions,
    print_config: options.PrintConfig = False,
) -> None:
    """Train on the selection and on its baselines alike, grade all of them, and say what the difference is worth."""
    from instructsel.adapters.experiment import Adapters, verify
    from instructsel.verification.experiment import work

    quiet, output = common.quiet, runs.output
    if selection is not None and selection.endswith(PLAN):
        _check_alone(context)
        plan = Experiment.read(selection)
        plan = _confirmed(context, plan, training, grading)
        output = output or Path(selection).parent
    elif output is None:
        raise UsageError("The results need a folder.", fix="Name it with -o FOLDER.")
    else:
        if selection is not None and arms.baselines and without_record(selection):
            say(f"note: no record says which baselines were selected with {selection}; name them with --arm.", quiet=quiet)
        training = replace(training, recipe=recipe.as_dict())
        check_paths(*([] if selection is None else [PlannedArm(SELECTION, rows=((selection,),))]))
        planned = planned_arms(selection, arms, base=training.base)
        check_paths(*planned, training, grading, statistics)
        plan = Experiment(planned, runs.seeds, reading, training, grading, statistics)
    if runs.worker is not None:
        work(plan, Adapters(), output, settings=execution, since=runs.worker)
        return
    with display("verifying", quiet=quiet) as shown:
        watch = Watch(
            _plain_messages(quiet=quiet), shown.report, shown.training, judging=lambda name: Progress(name, quiet=quiet, unit="models")
        )
        result = verify(plan, output, settings=execution, watch=watch, force=runs.force)
    _print(result, json=common.json, quiet=quiet, limit=execution.limit)
    if result.summary is not None:
        say(f"results → {output}", quiet=quiet)
        say(f"next: instructsel report {shlex.quote(str(output))}", quiet=quiet)
    result.check()


def _check_alone(context: typer.Context) -> None:
    """Refuse flags that a plan would not follow.

    Raises:
        UsageError: a flag of what a plan says.
    """
    allowed = {
        "output",
        "selection",
        "jobs",
        "limit",
        "keep_checkpoints",
        "force",
        "worker",
        "json",
        "quiet",
        "show_traceback",
        "print_config",
    }
    allowed |= REACHING.keys()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in allowed and _is_flag(context, name):
            raise UsageError(
                f"{parameter.opts[-1]} and a plan exclude each other: the plan says what is done.",
                fix="Change the plan, or give flags alone.",
            )


def _confirmed(context: typer.Context, plan: Experiment, training: TrainingSettings, grading: GradingSettings) -> Experiment:
    """The plan of a file, which may be somebody else's, where flags or variables say what it sends and which code it runs.

    Raises:
        UsageError: a setting of the plan that none repeats, or a flag that the plan does not hold.
    """
    values, repeated = plan.reaching, {}
    for name in REACHING:
        value = getattr(training, name) if hasattr(training, name) else getattr(grading, name)
        if _is_flag(context, name) and name not in values and value != OFF[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} is given, and the plan {plan.origin} does not hold it.",
                fix="Change the plan, or leave the flag out.",
            )
        if _source(context, name) in STATED and name in values:
            repeated[name] = value
    if names := plan.unconfirmed(**repeated):
        raise UsageError(
            f"The plan {plan.origin} {' and '.join(does(name, values) for name in names)}.",
            fix=f"If you trust it, repeat beside it: {shlex.join(plan.confirmations)}",
        )
    return plan.confirmed(**repeated)


def _is_flag(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line."""
    return _source(context, name) == "COMMANDLINE"


def _source(context: typer.Context, name: str) -> str:
    """Where a parameter's value is from."""
    source = context.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name


def _plain_messages(*, quiet: bool) -> Callable[[str], None] | None:
    """Where the engine's lines for people go, with the signs of a terminal."""
    message = messages(quiet=quiet)
    return None if message is None else lambda text: message(plain(text))


def _print(result: ExperimentResult, *, json: bool, quiet: bool, limit: int | None) -> None:
    """The verdict on stdout, what is missing on stderr."""
    if result.summary is None or (quiet and not json):
        return
    if json:
        write_json(result.summary)
    else:
        for line in spoken(result.summary, result.verdicts):
            write(line)
    for failure in result.verified.failures:
        say(f"failed: {failure.run}: {failure.message}", quiet=quiet)
    if result.verified.pending:
        count, why = len(result.verified.pending), "" if limit is None else " (--limit)"
        say(f"{count:,} run{'s are' if count != 1 else ' is'} pending{why}; the same command continues.", quiet=quiet)
    elif result.outcome == NOT_ENOUGH and _single(result):
        say(
            "Each arm has one run, which says nothing of how runs vary. For a verdict about these models: --generalize-to items",
            quiet=quiet,
        )


def _single(result: ExperimentResult) -> bool:
    """Whether the two arms of the verdict have one run each, with items, and the estimand wants more."""
    of_arm = result.verified.verification.as_dict()["arms"]
    compared = [of_arm.get(arm, {}) for arm in ("selection", result.plan.baseline)]
    one_each = all(sum(map(len, replicates.values())) == 1 for replicates in compared)
    with_items = any(not scale.aggregated for scale in result.verified.verification.graders.values())
    return one_each and with_items and result.plan.statistics.generalize_to != "items"


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
