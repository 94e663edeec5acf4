"""instructsel train: fine-tune a base on a selection, by a preset, with an audit of its tokens before the first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import Progress, messages, reported, say, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._recipe import RecipeChanges, TrainerSettings
from instructsel.experiments.limits import LARGEST_SEED
from instructsel.experiments.store import check_folder
from instructsel.pool.contamination import render_of
from instructsel.pool.overlap import EvaluationIndex, Overlap
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.rendering import TEMPLATE_DATE
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.adapters.recipes import Recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.pool.pool import Pool
    from instructsel.protocols import Checkpoint, Grades

EXAMPLES: Final = """Examples:
  instructsel train examples/pool.jsonl --base study-demo/toybase --preset tiny --steps 4 --audit
  instructsel train examples/pool.jsonl --base study-demo/toybase --preset tiny --steps 4 -o /tmp/toytuned

\b
Base and evaluation sets here are those of make toy-study.
"""


@reported
@with_options
def command(
    selection: Annotated[
        list[str], typer.Argument(metavar="SELECTION...", help="The rows to train on, as select wrote them; any pool file.")
    ],
    training: TrainerSettings,
    recipe: RecipeChanges,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the checkpoint; SELECTION.tuned by default.")] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge/--no-merge", help="Merge the adapter into the base; it is kept beside it either way.", rich_help_panel=options.TRAINING
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the order and of new weights.", rich_help_panel=options.TRAINING)
    ] = 0,
    evaluate: Annotated[
        list[str] | None,
        typer.Option(
            "--eval", metavar="FILE", help="Rows whose loss is measured afterwards. May be repeated.", rich_help_panel=options.GRADING
        ),
    ] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Count the tokens, print the audit, and train nothing.")] = False,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Fine-tune a base on a selection with TRL. Run again, it continues where it was interrupted."""
    from instructsel.adapters.experiment import Adapters

    toolkit = Adapters()
    chosen = toolkit.recipe(replace(training, recipe=recipe.as_dict()))
    reading = read.settled()
    if output is not None:
        check_folder(output, [*selection, *(evaluate or []), training.base], pools=[*selection, *(evaluate or [])])
    pool = reading.read(list(selection), message=messages(quiet=quiet))
    folder = output or Path(f"{pool.files[0].source.label if len(pool.files) == 1 else 'pool'}.tuned")
    check_folder(folder, [*selection, *(evaluate or []), training.base], pools=[*selection, *(evaluate or [])])
    progress = _Steps(quiet)
    trainer: Any = toolkit.trainer(training, chosen, folder.parent, progress)
    trainer = replace(trainer, merge=merge)
    trainer.check()
    audited = trainer.audit(pool)
    for line in [*described(trainer, chosen), *audited.lines()]:
        say(line, quiet=quiet)
    audited.check(training.max_skipped_fraction)
    # Before the training: a name that is wrong, or a row that is trained on, must not show after an hour.
    held_out = reading.read(list(evaluate), message=messages(quiet=quiet)) if evaluate else None
    overlap = None if held_out is None else _overlap(pool, held_out, trainer, allow=training.allow_contamination, quiet=quiet)
    if audit:
        if json:
            write_json({"recipe": chosen.as_dict(), "audit": audited.as_dict()})
        return
    checkpoint = trainer.train_into(folder, pool, seed=seed)
    if not progress.made:
        say(f"{folder} holds this fine-tune, finished before; nothing was trained now, and these are its figures:", quiet=quiet)
    grades = None if held_out is None else _graded(checkpoint, held_out, training, chosen.max_length)
    for line in summary_lines(checkpoint, grades):
        say(line, quiet=quiet)
    if json:
        record = {key: value for key, value in checkpoint.record.items() if key != "losses"}
        summary = {"checkpoint": str(folder), "trained_now": progress.made, **record, "held_out_loss": _as_dict(grades)}
        if overlap is not None:
            summary["contamination"] = overlap.as_dict()
        write_json(summary)


def _overlap(pool: Pool, held_out: Pool, trainer: TrlTrainer, *, allow: bool, quiet: bool) -> Overlap:
    """What of the evaluation rows is trained on, in warnings.

    Raises:
        StudyError: conversations are, and that is not allowed.
    """
    overlap = EvaluationIndex.of(held_out).overlap([pool], where="the rows to train on", render=render_of(trainer))
    if not allow:
        overlap.check()
    for sentence in overlap.sentences():
        say(f"warning: {sentence}", quiet=quiet)
    return overlap


class _Steps:
    """The progress of a training, and whether there was any."""

    def __init__(self, quiet: bool) -> None:
        self.show = Progress("training", quiet=quiet, unit="steps")
        self.made = False

    def __call__(self, done: int, total: int, loss: float) -> None:
        """Note that so many steps are done."""
        self.made = True
        self.show(done, total)


def _graded(checkpoint: Checkpoint, held_out: Pool, training: TrainerSettings, max_length: int) -> Grades:
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    date = checkpoint.record.get("template_date", TEMPLATE_DATE)
    grader = HeldOutLoss(held_out, max_length=max_length, device=training.device, precision=training.precision, template_date=date)
    return grader.grade(checkpoint)


def described(trainer: TrlTrainer, recipe: Recipe) -> list[str]:
    """A recipe as lines for people."""
    precision, device = trainer.runtime
    amount, noun = next((value, name) for name in ("epochs", "steps", "tokens") if (value := getattr(recipe, name)) is not None)
    length = f"{amount:,} {noun.removesuffix('s') if amount == 1 else noun}"
    adapters = f", LoRA r {recipe.lora_r}, alpha {recipe.lora_alpha}" if recipe.method == "lora" else ", every weight"
    bits = f", base in {recipe.bits} bits" if recipe.bits else ""
    lines = [
        f"{recipe.name}: {trainer.source.name}{adapters}{bits}; {length}, {recipe.batch_size} rows a step, learning rate {recipe.learning_rate:g} "
        f"{recipe.schedule}, rows of up to {trainer.max_length:,} tokens; {precision} on {device}",
        f"loss on {_where(recipe.loss)}: mean over the loss tokens of a step"
        + ("; chat format of Tülu, the base has none of its own" if trainer.chat_template.fallback else ""),
    ]
    lines += trainer.notices
    if recipe.assumed:
        lines.append(f"assumed, not given by the source: {', '.join(recipe.assumed)}")
    return lines


def _where(loss: str) -> str:
    return {
        "completion": "the last answer",
        "assistant": "every answer",
        "tulu-1": "every answer and the line break behind an earlier one, as in the first release of Tülu",
        "all": "everything",
    }[loss]


def summary_lines(checkpoint: Checkpoint, grades: Grades | None) -> list[str]:
    """A fine-tune as lines for people."""
    record = checkpoint.record
    losses = record["losses"]
    lines = [
        f"{counted(record['steps'], 'step')}, {counted(record['tokens_seen'], 'token')} seen ({record['tokens_per_step']:,.0f} a step), "
        f"{record['tokens_trained']:,} trained on; loss {losses[0]:.3f} at the first step, "
        f"{sum(losses[-10:]) / len(losses[-10:]):.3f} over the last {len(losses[-10:])}",
    ]
    if grades is not None:
        valid = int(grades.valid.sum())
        nulls = ", ".join(f"{reason} {count:,}" for reason, count in grades.record.get("nulls", {}).items())
        lines.append(
            f"held-out loss {grades.weighted_mean:.4f} nats a token, {grades.mean:.4f} averaged over {valid:,} of {counted(len(grades.items), 'example')}"
            + ("" if grades.bits_per_byte is None else f"; {grades.bits_per_byte:.4f} bits a byte")
            + (f". Without a value: {nulls}." if nulls else "")
            if valid
            else f"held-out loss unknown: none of {counted(len(grades.items), 'example')} has a value ({nulls})"
        )
    lines.append(f"checkpoint {checkpoint.folder} (weights {checkpoint.digest[:12]}, {record['run']['seconds']:,.0f} s of training)")
    return lines


def _as_dict(grades: Grades | None) -> dict[str, Any] | None:
    if grades is None:
        return None
    known = bool(grades.valid.any())
    return {
        "per_token": grades.weighted_mean if known else None,
        "per_example": grades.mean if known else None,
        "bits_per_byte": grades.bits_per_byte,
        "examples": len(grades.items),
        "with_value": int(grades.valid.sum()),
        "truncated": grades.truncated,
    }


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
