"""instructsel verify: is the selection better than random, and than the other honest baselines?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Annotated, Any, Final, cast

import orjson
import typer

from instructsel.artifact import atomic_write, dump_json, fingerprint, read_manifest
from instructsel.commands import _arms, _graders
from instructsel.commands import _options as options
from instructsel.commands import _recipe as recipes
from instructsel.commands import _settings as settings
from instructsel.commands._console import Progress, messages, reported, say
from instructsel.commands._workers import command as command_line
from instructsel.commands._workers import helped, shared_gpus
from instructsel.errors import Negative, StudyError, UsageError
from instructsel.experiments import from_selection
from instructsel.experiments.arms import Arm
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.matching import equal_recipe
from instructsel.experiments.plan import plan
from instructsel.experiments.store import slug
from instructsel.reports.plain_text import spoken
from instructsel.stats.variance import BOTH, Estimand
from instructsel.text import clean
from instructsel.verification.judged import PASSING, judged
from instructsel.verification.planned import TABLE, asked_of, expected, first_plan, why_no_power
from instructsel.verification.requirements import check_asked, check_margins, required
from instructsel.verification.run import Verified, verify_arms
from instructsel.verification.summary import summary
from instructsel.verification.verification import Verification

EXAMPLES: Final = """Examples:
  instructsel verify study-demo/sources/clean.jsonl --arm shuffled=study-demo/sources/shuffled.jsonl --base study-demo/toybase --preset tiny --steps 2 --seeds 2 --max-skipped-fraction 0.5 --eval study-demo/sources/evaluation.jsonl -o /tmp/verified
  instructsel verify study-demo/sources/clean.jsonl --arm short=study-demo/sources/short.jsonl --arm shuffled=study-demo/sources/shuffled.jsonl --base study-demo/toybase --preset tiny --steps 2 --seeds 2 --max-skipped-fraction 0.5 --eval study-demo/sources/report.jsonl -o /tmp/verified

\b
All of it is made by make toy-study.
"""
FEWEST_DRAWS: Final = 3
"""Of random selection: with fewer nobody knows how much random subsets differ."""
VERDICT: Final = "verdict.json"
OUTPUTS: Final = "outputs"
SAMPLES: Final = "samples"


@reported
def command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where finished runs and the verdict are kept.")],
    selection: Annotated[
        str | None, typer.Argument(metavar="[SELECTION]", help="The selection's rows, as select wrote them; or name models or results.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The model to fine-tune: a local folder or a hub id.")] = None,
    evaluate: Annotated[
        list[str] | None, typer.Option("--eval", help="Held-out rows whose answers' loss is measured. May be repeated.")
    ] = None,
    lm_eval: Annotated[
        str | None, typer.Option("--lm-eval", help="Tasks of lm-evaluation-harness, comma-separated, or a suite: open-llm, tulu.")
    ] = None,
    include_path: Annotated[Path | None, typer.Option(help="A folder with tasks of your own.")] = None,
    num_fewshot: Annotated[
        int | None, typer.Option(min=0, help="Demonstrations before each item; the task's own number by default.")
    ] = None,
    chat_template: Annotated[bool, typer.Option("--chat-template", help="Write the tasks' prompts in the chat template.")] = False,
    items: Annotated[int | None, typer.Option(min=1, help="The first N items of each task.")] = None,
    allow_unsafe_code: Annotated[
        bool, typer.Option("--allow-unsafe-code", help="Run code that the model writes. In a sandbox only.")
    ] = False,
    instructions: Annotated[
        str | None, typer.Option(help="Rows whose instructions every model answers; the answers are written as AlpacaEval reads them.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 512,
    judge: Annotated[str | None, typer.Option(help="The model that prefers one answer to another: a local folder or a hub id.")] = None,
    judge_revision: Annotated[str | None, typer.Option(help="Revision of the judge's weights.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="Ask --judge behind this OpenAI-compatible address instead.")] = None,
    judge_key: Annotated[str | None, typer.Option(metavar="VARIABLE", help="The environment variable with the key of --judge-url.")] = None,
    annotator: Annotated[str | None, typer.Option(help="An annotator of AlpacaEval, by name or folder, instead of --judge.")] = None,
    alpaca_files: Annotated[
        Path | None,
        typer.Option(help="A folder with AlpacaEval's df_gamed.csv, for its own length-controlled win rate; the hub's cache by default."),
    ] = None,
    reward: Annotated[str | None, typer.Option(help="A reward model that grades the answers: a local folder or a hub id.")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE[,FILE…]", help="Another arm; several files are several draws. May be repeated.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER[+FOLDER…][,…]",
            help="An arm of models that are trained already: a comma parts draws, a plus the seeds of one. May be repeated.",
        ),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH[+PATH…][,…]",
            help="An arm of finished results: a folder of lm-evaluation-harness with samples, or AlpacaEval's annotations. May be repeated.",
        ),
    ] = None,
    beside: Annotated[bool, typer.Option("--beside/--no-beside", help="Take the baselines that select wrote beside the selection.")] = True,
    pool: Annotated[
        list[str] | None, typer.Option(help="The pool the selection is from: random subsets are drawn from it. May be repeated.")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="How many, where select wrote none.")] = FEWEST_DRAWS,
    whole_pool: Annotated[bool, typer.Option("--whole-pool", help="The whole pool is an arm, too.")] = False,
    untouched: Annotated[bool, typer.Option("--untouched/--no-untouched", help="Grade the base as it is, too.")] = True,
    revision: recipes.Revision = None,
    preset: recipes.Preset = "paper-v1",
    epochs: recipes.Epochs = None,
    steps: recipes.Steps = None,
    tokens: recipes.Tokens = None,
    method: recipes.Method = None,
    bits: recipes.Bits = None,
    lr: recipes.LearningRate = None,
    batch_size: recipes.BatchSize = None,
    max_length: recipes.MaxLength = None,
    max_skipped_fraction: recipes.MaxSkippedFraction = 0.05,
    precision: recipes.Precision = "auto",
    device: recipes.Device = "auto",
    equal: Annotated[
        str,
        typer.Option(help="What every arm has as much of as the selection has in its epochs: steps, tokens, or epochs of its own rows."),
    ] = "steps",
    seeds: Annotated[int, typer.Option(min=1, help="How often each subset is trained on, with seeds 0, 1, …")] = 3,
    baseline: Annotated[str | None, typer.Option(help="The arm the verdict is against; random where there is one.")] = None,
    require: Annotated[str | None, typer.Option(help="End with 1 unless this is shown: better, or not-worse (with --margin).")] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[GRADER=]X",
            help="How much worse would still do, in the grader's unit, for --require not-worse. With a grader's name it is asked of that one; may be repeated.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Family-wise confidence level (1 − α) over all comparisons.")] = 0.95,
    generalize_to: Annotated[
        str, typer.Option(help="What the verdict holds for: new items and runs (both), new items (one run an arm is enough), or new runs.")
    ] = BOTH,
    pilot: Annotated[Path | None, typer.Option(help="An earlier verification.parquet that says how much runs and items vary.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Work in so many processes; each loads the model for itself.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Make N runs at most and end; the next call goes on.")] = None,
    keep_checkpoints: Annotated[bool, typer.Option("--keep-checkpoints", help="Keep every fine-tuned model.")] = False,
    helper: Annotated[bool, typer.Option(hidden=True)] = False,
    form: options.Form = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Train on the selection and on its baselines alike, grade all of them, and say what the difference is worth."""
    settings.check(context)
    if print_config:
        settings.print_config(context)
    # Before a model is loaded: then a process that has seen all GPUs goes on seeing them.
    shared = [] if helper else shared_gpus(jobs - 1)
    margins = check_asked(require, margin or [], equal, generalize_to, confidence)
    from instructsel.adapters.recipe import recipe
    from instructsel.adapters.trl import TrlTrainer

    chosen = recipe(
        preset,
        **recipes.changes(
            epochs=epochs,
            steps=steps,
            tokens=tokens,
            learning_rate=lr,
            batch_size=batch_size,
            max_length=max_length,
            method=method,
            bits=bits,
        ),
    )
    if alpaca_files is not None:
        from instructsel.adapters.alpaca_eval.length_control import check_files

        check_files(alpaca_files)
    place = _graders.Place(device, precision, chosen.max_length)
    asked = _graders.Asked(instructions, max_new_tokens, judge, judge_revision, judge_url, judge_key, annotator, reward, alpaca_files)
    arms = _arms_of(
        _arms.of_rows(selection, arm or [], beside=beside, pool=pool or [], draws=draws, whole=whole_pool, form=form),
        _arms.of_models(checkpoint or []),
        _arms.of_results(results or [], alpaca_files),
        [_arms.untouched(base, revision)] if untouched and base is not None else [],
    )
    for warning in _arms.incomplete(arms):
        say(f"warning: {warning}", quiet=quiet or helper)
    against = _against(arms, baseline)
    drawn = next(each for each in arms if each.name == against)
    if against == from_selection.RANDOM and drawn.replicates < FEWEST_DRAWS:
        few = f"warning: {drawn.replicates} random subset{'s' * (drawn.replicates > 1)}; with {FEWEST_DRAWS} or more it shows how much random subsets differ."
        say(few, quiet=quiet or helper)
    trained = [each for each in arms if each.pools]
    if trained and base is None:
        raise UsageError("There are rows to train on, and no model.", fix="Name the one to fine-tune with --base.")
    graders = _graders.held_out(evaluate or [], place, arms, quiet=quiet or helper)
    graders += _graders.Harness(lm_eval, include_path, num_fewshot, items, chat_template, allow_unsafe_code).graders(
        place, output / SAMPLES
    )
    answers = asked.answers(place, arms, quiet=quiet or helper)
    if not helper:
        asked.try_out(place, output)
    check_margins(margins, [*(each.name for each in graders), *asked.names], arms)
    if require is not None and not graders and not asked.count and any(not each.results for each in arms):
        raise UsageError(f"Nothing grades, so that nothing can be shown: --require {require}.", fix="Give --eval, --lm-eval, or a judge.")
    if not graders and answers is None and any(not each.results for each in arms):
        raise UsageError("Nothing says how good a model is.", fix="Give --eval FILE, --lm-eval TASKS, or --instructions FILE with a judge.")
    trainer = None
    if trained:
        made = TrlTrainer(
            base or "",
            chosen,
            output / "checkpoints",
            revision=revision,
            device=device,
            precision=precision,
            max_skipped_fraction=max_skipped_fraction,
        )
        trainer = replace(made, recipe=equal_recipe(made, trained, equal, message=messages(quiet=quiet or helper)))
        say(plan(arms, trainer.recipe, seeds, equal if chosen.epochs is not None else ""), quiet=quiet or helper)
    measured = [*graders, *([] if answers is None else [answers])]
    earlier = None if pilot is None else Verification.read(pilot)
    power = expected(
        arms, graders, selection=from_selection.SELECTION, baseline=against, seeds=seeds, more=asked.count, pilot=earlier, confidence=confidence,
        generalize_to=cast(Estimand, generalize_to),
    )  # fmt: skip
    for each in power:
        say(each.sentence, quiet=quiet or helper)
    if not power and earlier is None and any(not each.results for each in arms):
        say(
            f"Which difference would be found cannot be said beforehand: {why_no_power(arms, against, seeds)}.",
            quiet=quiet or helper,
        )
    planned = [each.as_dict() for each in power]
    if not helper:
        settled = {"seeds": seeds, "against": against, "confidence": confidence, "generalize_to": generalize_to}
        planned = first_plan(output, power, asked_of(trainer, arms, measured, asked.names, pilot, **settled))
    watched = Progress("verifying", quiet=quiet or helper, unit="runs")

    def work(most: int | None) -> Verified:
        return verify_arms(
            arms,
            graders=measured,
            trainer=trainer,
            seeds=tuple(range(seeds)),
            folder=output,
            settings=ExecutionSettings(limit=most, keep_checkpoints=keep_checkpoints),
            progress=lambda step: watched(step.done, step.total),
        )

    if helper:
        _help(work, limit)
        return
    shares = [None] * jobs if limit is None else [share for at in range(jobs) if (share := len(range(at, limit, jobs)))]
    lines = [command_line(context, jobs=1, helper=True, limit=share, quiet=True, json=False) for share in shares[1:]]
    with helped(lines, shared) as helpers:
        found = _work(work, shares[0], 0 if limit is not None else None, helpers)
    if answers is not None:
        given = _judged(found, asked, answers, place, output, against, quiet=quiet)
        if given is None:
            if require is not None:
                raise Negative(f"Nothing is shown yet: {len(found.pending)} runs are left.", fix="Give the same command again.")
            more = f"; {len(found.pending)} runs are left, and the same command goes on" if found.pending else ""
            say(f"There is no verdict{more}.", quiet=quiet)
            return
        found = given
    told, verdicts = summary(
        found,
        selection=from_selection.SELECTION,
        against=against,
        base=next((each.name for each in arms if each.fixed), None),
        confidence=confidence,
        generalize_to=cast(Estimand, generalize_to),
        model=None if base is None else _arms.judged_base(base),
    )
    told |= {
        "power": planned,
        "recipe": None if trainer is None else trainer.recipe.as_dict(),
        "trainer": None if trainer is None else dict(trainer.fingerprint),
        "made_with": {each.name: dict(each.fingerprint) for each in measured},
    }
    said = {
        key: told[key] for key in ("verdicts", "costs", "selection", "against", "outcome", "model", "missing", "generalize_to", "leakage")
    }
    found.verification.write(output / TABLE, run=said)
    told = orjson.loads(dump_json({**told, "table": (read_manifest(output / TABLE) or {})["sha256"]}))
    with atomic_write(output / VERDICT) as file:
        file.write(dump_json({**told, "digest": fingerprint(told)}, indent=True) + b"\n")
    if json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in spoken(told, verdicts):
            typer.echo(clean(line))
    for failed in found.failures:
        say(f"failed: {failed.run}: {failed.message}", quiet=quiet)
    if found.pending:
        say(f"{len(found.pending)} runs are left; the same command goes on.", quiet=quiet)
    if require is not None:
        required(found, verdicts.against(against), told, require, margins, confidence, cast(Estimand, generalize_to))


def _arms_of(*kinds: Sequence[Arm]) -> list[Arm]:
    """All arms; the base as it is gives way to one of its name."""
    found: dict[str, Arm] = {}
    for arm in (each for kind in kinds for each in kind):
        if arm.name in found and not arm.fixed:
            raise UsageError(f"The arm {arm.name} is named twice.", fix="Call one of them otherwise.")
        found.setdefault(arm.name, arm)
    return list(found.values())


def _against(arms: Sequence[Arm], baseline: str | None) -> str:
    """The arm that the word is about.

    Raises:
        UsageError: there is no such arm, or none but the selection.
    """
    names = [each.name for each in arms]
    if from_selection.SELECTION not in names:
        raise UsageError(
            "There is no selection to ask about.",
            fix="Name its rows, or its models: --checkpoint selection=FOLDER, or --results selection=PATH.",
        )
    others = [each.name for each in arms if each.name != from_selection.SELECTION and not each.fixed]
    chosen = baseline or (from_selection.RANDOM if from_selection.RANDOM in others else others[0] if others else None)
    if chosen is None or chosen not in names or chosen == from_selection.SELECTION:
        raise UsageError(
            f"There is no arm {chosen or 'to compare the selection with'}; there are {', '.join(names)}.",
            fix="Select with --random-subsets 3, name the pool with --pool, or files: --arm random=a.jsonl,b.jsonl,c.jsonl",
        )
    return chosen


def _work(work: Callable[[int | None], Verified], share: int | None, rest: int | None, helpers: Sequence[Popen[bytes]]) -> Verified:
    """Make runs here, wait for the helpers, and take over what they made or left."""
    if not helpers:
        return work(share)
    # All runs may be the helpers', and then there is no grade yet.
    with suppress(StudyError):
        work(share)
    for process in helpers:
        process.wait()
    return work(rest)


def _help(work: Any, limit: int | None) -> None:
    """Make runs for another process, and say nothing: what failed is kept, and said by the other."""
    try:
        work(limit)
    except StudyError:
        return


def _judged(
    found: Verified,
    asked: _graders.Asked,
    answers: Any,
    place: _graders.Place,
    output: Path,
    against: str,
    *,
    quiet: bool,
) -> Verified | None:
    """With the judges' grades in place of the answers they judged; None where there are no grades at all so far.

    While models of the arm that the others are compared with are left to be made, nobody is asked: what an answer is preferred to
    would be another one at each call.
    """
    from instructsel.adapters.alpaca_eval.files import write_outputs

    written = output / OUTPUTS
    written.mkdir(parents=True, exist_ok=True)
    for run in found.runs:
        if run.grades.grader == answers.name:
            write_outputs(written / f"{slug(run.arm, run.replicate, run.seed)}.json", answers.of(run.grades, run.name))
    runs = [run for run in found.runs if run.grades.grader != answers.name]
    if asked.count and found.n_pending(against):
        say(f"The answers are not judged yet: {found.n_pending(against)} runs of {against} are left.", quiet=quiet)
        return found.with_runs(runs) if runs else None
    graders = asked.judges(answers, found.runs, place, output, reference=against)
    if len(graders) < asked.count:
        say(f"warning: no model of {against} has answered, so there is nothing for the judge to compare with.", quiet=quiet)
    unsaid = 0
    for grader in graders:
        watched = Progress(grader.name, quiet=quiet, unit="models")
        made = judged(found.runs, answers, grader, folder=output, progress=watched)
        if grader.name == _graders.JUDGED:
            given = [run for run in found.runs if run.grades.grader == answers.name]
            made = _graders.with_official(made, answers, given, grader, asked.files)
            if asked.files is not None and not any(run.grades.record.get("official") for run in made):
                say(
                    "warning: no length-controlled win rate of AlpacaEval's own: these are not its 805 instructions, or its fit came to nothing.",
                    quiet=quiet,
                )
        unsaid += sum(reason in PASSING for run in made for reason in run.grades.reasons)
        runs += made
    if unsaid:
        say(f"warning: {unsaid:,} answers have no grade because no reply came; the same command asks for these again.", quiet=quiet)
    if not runs and not asked.count:
        say(f"The answers are in {written}; nothing has graded them (--judge, --annotator, --reward or --eval would).", quiet=quiet)
        return None
    return found.with_runs(runs)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
