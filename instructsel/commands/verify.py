"""instructsel verify: is the selection better than random, and than the other honest baselines?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands import _recipe as recipes
from instructsel.commands import _settings as settings
from instructsel.commands._console import Progress, aligned, reported, say
from instructsel.errors import Negative, UsageError
from instructsel.pool.pool import Pool
from instructsel.study.study import check_evaluation
from instructsel.verification.arms import Arm, Verified, verify
from instructsel.verification.verify import BETTER, Verdicts

if TYPE_CHECKING:
    from instructsel.adapters.recipe import Recipe
    from instructsel.protocols import Grader

EXAMPLES: Final = """Examples:
  instructsel verify study-demo/sources/clean.jsonl --arm shuffled=study-demo/sources/shuffled.jsonl --base study-demo/toybase --preset tiny --steps 2 --seeds 2 --max-refused 0.5 --eval study-demo/sources/evaluation.jsonl -o /tmp/verified
  instructsel verify study-demo/sources/clean.jsonl --arm short=study-demo/sources/short.jsonl --arm shuffled=study-demo/sources/shuffled.jsonl --base study-demo/toybase --preset tiny --steps 2 --seeds 2 --max-refused 0.5 --eval study-demo/sources/report.jsonl -o /tmp/verified

\b
All of it is made by make toy-study.
"""
SEEDED: Final = re.compile(r"(.+)-seed(\d+)")
FEWEST_DRAWS: Final = 3
"""Of random selection: with fewer nobody knows how much random subsets differ."""
REQUIRED: Final = ("better", "not-worse")
TABLE: Final = "verification.parquet"


@reported
def command(
    context: typer.Context,
    selection: Annotated[str, typer.Argument(metavar="SELECTION", help="The selection's rows, as select wrote them.")],
    base: Annotated[str, typer.Option(help="The model to fine-tune: a local folder or a hub id.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where finished runs and the verdict are kept.")],
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
    arm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE[,FILE…]", help="Another arm; several files are several draws. May be repeated.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER[,FOLDER…]", help="An arm of models that are trained already. May be repeated.")
    ] = None,
    beside: Annotated[bool, typer.Option("--beside/--no-beside", help="Take the baselines that select wrote beside the selection.")] = True,
    untouched: Annotated[bool, typer.Option("--untouched/--no-untouched", help="Grade the base as it is, too.")] = True,
    revision: recipes.Revision = None,
    preset: recipes.Preset = "paper-v1",
    epochs: recipes.Epochs = None,
    steps: recipes.Steps = None,
    tokens: recipes.Tokens = None,
    method: recipes.Method = None,
    bits: recipes.Bits = None,
    lr: recipes.LearningRate = None,
    batch: recipes.BatchRows = None,
    max_length: recipes.MaxLength = None,
    max_refused: recipes.MaxRefused = 0.05,
    precision: recipes.Precision = "auto",
    device: recipes.Device = "auto",
    seeds: Annotated[int, typer.Option(min=1, help="How often each subset is trained on, with seeds 0, 1, …")] = 3,
    baseline: Annotated[str | None, typer.Option(help="The arm the verdict is against; random where there is one.")] = None,
    require: Annotated[str | None, typer.Option(help="End with 1 unless this is shown: better, or not-worse (with --margin).")] = None,
    margin: Annotated[
        float | None, typer.Option(help="How much worse would still do, in the grader's unit, for --require not-worse.")
    ] = None,
    level: Annotated[float, typer.Option(help="1 less the chance of a wrong verdict among all comparisons.")] = 0.95,
    limit: Annotated[int | None, typer.Option(min=1, help="Make N runs at most and end; the next call goes on.")] = None,
    keep_checkpoints: Annotated[bool, typer.Option("--keep-checkpoints", help="Keep every fine-tuned model.")] = False,
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
    if require is not None and require not in REQUIRED:
        raise UsageError.named(require, REQUIRED, noun="requirement")
    if (require == "not-worse") != (margin is not None):
        raise UsageError("--require not-worse and --margin go together.", fix="Give both, or neither.")
    from instructsel.adapters.held_out_loss import checkpoint_of
    from instructsel.adapters.recipe import recipe
    from instructsel.adapters.trl import TrlTrainer

    chosen = recipe(
        preset,
        **recipes.changes(
            epochs=epochs, steps=steps, tokens=tokens, learning_rate=lr, batch=batch, max_length=max_length, method=method, bits=bits
        ),
    )
    files = {"selection": [selection], **(found_beside(Path(selection)) if beside else {}), **_named(arm or [], "--arm")}
    pools = {name: [options.Reading(form).read([path], quiet=True) for path in paths] for name, paths in files.items()}
    graders = _graders(evaluate, lm_eval, chosen, pools, include_path, num_fewshot, items, device, precision, chat=chat_template, unsafe=allow_unsafe_code, quiet=quiet)  # fmt: skip
    arms = [Arm(name, tuple(found)) for name, found in pools.items()]
    arms += [Arm(name, checkpoints=tuple(checkpoint_of(folder) for folder in folders)) for name, folders in _named(checkpoint or [], "--checkpoint").items()]  # fmt: skip
    if untouched and "base" not in {each.name for each in arms}:
        arms.append(Arm("base", checkpoints=(checkpoint_of(base, revision),)))
    against = baseline or next((name for name in ("random", *files) if name in pools and name != "selection"), None)
    if against is None or against not in {each.name for each in arms}:
        raise UsageError(
            f"There is no arm {against or 'to compare the selection with'}; there are {', '.join(each.name for each in arms)}.",
            fix="Select with --baseline random --seeds 3, or name files: --arm random=a.jsonl,b.jsonl,c.jsonl",
        )
    if against == "random" and len(pools["random"]) < FEWEST_DRAWS:
        say(
            f"warning: {len(pools['random'])} draws of random; with {FEWEST_DRAWS} or more it shows how much random subsets differ.",
            quiet=quiet,
        )
    say(_plan(arms, graders, chosen, seeds), quiet=quiet)
    trainer = TrlTrainer(
        base, chosen, output / "checkpoints", revision=revision, device=device, precision=precision, max_refused=max_refused
    )
    watched = Progress("verifying", quiet=quiet, unit="runs")
    found = verify(
        arms,
        graders=graders,
        trainer=trainer,
        seeds=tuple(range(seeds)),
        folder=output,
        keep_checkpoints=keep_checkpoints,
        limit=limit,
        progress=lambda done, total, name: watched(done, total),
    )
    others = [each.name for each in arms if each.name != "selection" and each.name in found.verification.arms]
    verdicts = (
        found.verification.verdicts("selection", others, level=level) if "selection" in found.verification.arms and others else Verdicts(())
    )
    told = {**found.verification.as_dict(), "against": against, "verdicts": verdicts.as_dict(), "costs": dict(found.costs)}
    told |= {"failures": [vars(each) for each in found.failures], "left": list(found.left), "recipe": chosen.as_dict()}
    found.verification.write(output / TABLE, run={"verdicts": told["verdicts"], "costs": told["costs"]})
    if json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        for line in lines(found, verdicts, against):
            typer.echo(line)
    for each in found.failures:
        say(f"failed: {each.run}: {each.message}", quiet=quiet)
    if found.left:
        say(f"{len(found.left)} runs are left; the same command goes on.", quiet=quiet)
    _required(found, verdicts.against(against), require, margin, against, level)


def found_beside(selection: Path) -> dict[str, list[str]]:
    """The baselines that select wrote beside a selection: name → files, a file a draw."""
    packed = next((ending for ending in (".gz", ".zst") if selection.name.endswith(ending)), "")
    plain = Path(selection.name.removesuffix(packed))
    found: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(selection.parent.glob(f"{plain.stem}.*{plain.suffix}{packed}")):
        name = path.name.removesuffix(packed).removesuffix(plain.suffix)[len(plain.stem) + 1 :]
        # Every selection has an account beside it; another file that begins alike has none.
        if not name or not path.with_name(f"{plain.stem}.{name}.selection.parquet").exists():
            continue
        seeded = SEEDED.fullmatch(name)
        arm, draw = (seeded[1], int(seeded[2])) if seeded else (name, 0)
        found.setdefault(arm, []).append((draw, str(path)))
    return {arm: [path for _, path in sorted(draws)] for arm, draws in sorted(found.items())}


def _named(entries: Sequence[str], flag: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, paths = entry.partition("=")
        listed = [path for path in paths.split(",") if path]
        if not equals or not name or not listed:
            raise UsageError(f"'{entry}' is no arm.", fix=f"Write {flag} NAME=FILE, with several separated by commas for several draws.")
        if name in found:
            raise UsageError(f"The arm {name} is named twice.", fix="Give all of its draws at once, separated by commas.")
        found[name] = listed
    return found


def _graders(
    evaluate: list[str] | None,
    lm_eval: str | None,
    chosen: Recipe,
    pools: Mapping[str, Sequence[Pool]],
    include_path: Path | None,
    num_fewshot: int | None,
    items: int | None,
    device: str,
    precision: str,
    *,
    chat: bool,
    unsafe: bool,
    quiet: bool,
) -> list[Grader]:
    """The graders asked for; what is evaluated on may not be trained on."""
    from instructsel.adapters.held_out_loss import HeldOutLoss

    found: list[Grader] = []
    for path in evaluate or []:
        held = options.Reading().read([path], quiet=True)
        for name, draws in pools.items():
            for pool in draws:
                warning = check_evaluation(pool, held)
                if warning:
                    say(f"warning: {name}: {warning}", quiet=quiet)
        label = held.files[0].source.label
        found.append(HeldOutLoss(held, name=f"loss on {label}", max_length=chosen.max_length, device=device, precision=precision))
    if lm_eval:
        from instructsel.adapters.lm_eval import LmEval
        from instructsel.adapters.lm_eval_tasks import SUITES

        tasks: Any = lm_eval if lm_eval in SUITES else [each.strip() for each in lm_eval.split(",") if each.strip()]
        made = LmEval.graders(
            tasks,
            num_fewshot=num_fewshot,
            include_path=include_path,
            limit=items,
            apply_chat_template=chat,
            device=device,
            precision=precision,
            allow_unsafe_code=unsafe,
        )
        # Data that cannot be had must show before anything is trained.
        for each in made:
            each.check()
        found += made
    if not found:
        raise UsageError("Nothing says how good a model is.", fix="Give --eval FILE, or --lm-eval TASKS.")
    return found


def _plan(arms: Sequence[Arm], graders: Sequence[Grader], chosen: Recipe, seeds: int) -> str:
    trained = sum(len(each.pools) for each in arms) * seeds
    equal = next(f"{getattr(chosen, name):,} {name}" for name in ("epochs", "steps", "tokens") if getattr(chosen, name) is not None)
    kind = "" if chosen.epochs is None else ": arms of longer rows see more tokens (--tokens or --steps make them equal)"
    return (
        f"{', '.join(f'{each.name} ({len(each.pools) or len(each.checkpoints)})' for each in arms)}; {trained} fine-tunes of {equal} "
        f"each{kind}; graded by {', '.join(each.name for each in graders)}"
    )


def lines(found: Verified, verdicts: Verdicts, against: str) -> list[str]:
    """A verification for people."""
    described = found.verification.as_dict()
    rows = []
    for grader, told in described["graders"].items():
        means: dict[str, list[float]] = {}
        for each in told["means"]:
            if each["mean"] is not None:
                means.setdefault(each["arm"], []).append(each["mean"])
        rows += [
            [grader, arm, f"{len(values)}", f"{sum(values) / len(values):.4f}", f"{min(values):.4f} to {max(values):.4f}"]
            for arm, values in sorted(means.items())
        ]
    told_lines = aligned(rows, header=["grader", "arm", "models", "mean", "range"], right=(2, 3))
    told_lines.append("")
    told_lines += [each.sentence for each in verdicts]
    told_lines.append("")
    for arm, cost in found.costs.items():
        chosen = "unknown" if cost["selection"] is None else f"{cost['selection']:,.0f} s"
        told_lines.append(f"{arm}: selection {chosen}, training {cost['training'] or 0:,.0f} s, grading {cost['grading'] or 0:,.0f} s")
    told_lines.append("")
    told_lines.append(
        f"Against {against}: {verdicts.against(against).word}."
        if len(verdicts.against(against))
        else f"Against {against}: not enough data."
    )
    return told_lines


def _required(found: Verified, verdicts: Verdicts, require: str | None, margin: float | None, against: str, level: float) -> None:
    if require is None:
        return
    if require == "better":
        if verdicts.word != BETTER:
            raise Negative(
                f"The selection is not shown to be better than {against}: {verdicts.word if len(verdicts) else 'not enough data'}."
            )
        return
    graders = sorted(found.verification.graders)
    missing = [
        grader
        for grader in graders
        if not found.verification.not_worse("selection", against, grader, margin=margin or 0.0, level=level).shown
    ]
    if missing:
        raise Negative(f"The selection is not shown to be at most {margin} worse than {against} on {', '.join(missing)}.")


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
