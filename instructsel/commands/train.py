"""instructsel train: fine-tune a base on a selection, by a preset, with an audit of its tokens before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands import _recipe as recipes
from instructsel.commands import _settings as settings
from instructsel.commands._console import Progress, messages, reported, say
from instructsel.pool import spec

if TYPE_CHECKING:
    from instructsel.adapters.audit import Audit
    from instructsel.adapters.recipe import Recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.protocols import Checkpoint, Grades

EXAMPLES: Final = """Examples:
  instructsel train examples/pool.jsonl --base study-demo/toybase --preset tiny --steps 4 --audit
  instructsel train examples/pool.jsonl --base study-demo/toybase --preset tiny --steps 4 -o /tmp/toytuned

\b
Base and evaluation sets here are those of make toy-study.
"""


@reported
def command(
    context: typer.Context,
    selection: Annotated[
        list[str], typer.Argument(metavar="SELECTION…", help="The rows to train on, as select wrote them; any pool file.")
    ],
    base: Annotated[str, typer.Option(help="The model to fine-tune: a local folder or a hub id.")],
    revision: recipes.Revision = None,
    preset: recipes.Preset = "paper-v1",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the checkpoint; SELECTION.tuned by default.")] = None,
    epochs: recipes.Epochs = None,
    steps: recipes.Steps = None,
    tokens: recipes.Tokens = None,
    method: recipes.Method = None,
    bits: recipes.Bits = None,
    lr: recipes.LearningRate = None,
    schedule: Annotated[str | None, typer.Option(help="constant, linear or cosine.")] = None,
    batch_size: recipes.BatchSize = None,
    micro_batch_size: Annotated[int | None, typer.Option(help="Rows computed at a time; the gradient is the same.")] = None,
    max_length: recipes.MaxLength = None,
    loss: Annotated[str | None, typer.Option(help="Where the loss falls: completion (last answer), assistant (all answers), all.")] = None,
    packing: Annotated[bool, typer.Option("--packing", help="Let short rows share a sequence.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge/--no-merge", help="Merge the adapter into the base; it is kept beside it either way.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order and of new weights.")] = 0,
    evaluate: Annotated[list[str] | None, typer.Option("--eval", help="Rows whose loss is measured afterwards. May be repeated.")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Count the tokens, print the audit, and train nothing.")] = False,
    max_skipped_fraction: recipes.MaxSkippedFraction = 0.05,
    precision: recipes.Precision = "auto",
    device: recipes.Device = "auto",
    form: options.Form = "auto",
    mapping: options.Mapping = None,
    columns: options.Columns = None,
    oasst: options.Oasst = "best-path",
    on_duplicate_key: options.DuplicateKey = "error",
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Fine-tune a base on a selection with TRL. Run again, it goes on where it was interrupted."""
    settings.check(context)
    if print_config:
        settings.print_config(context)
    from instructsel.adapters.recipe import recipe
    from instructsel.adapters.trl import TrlTrainer

    changed = recipes.changes(
        epochs=epochs,
        steps=steps,
        tokens=tokens,
        learning_rate=lr,
        schedule=schedule,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        max_length=max_length,
        loss=loss,
        packing=packing or None,
        method=method,
        bits=bits,
    )
    chosen = recipe(preset, **changed)
    reading = spec.Reading(form, mapping, columns, oasst, on_duplicate_key)
    pool = reading.read(list(selection), message=messages(quiet=quiet))
    folder = output or Path(f"{pool.files[0].source.label if len(pool.files) == 1 else 'pool'}.tuned")
    watched = Progress("training", quiet=quiet, unit="steps")
    trainer = TrlTrainer(
        base,
        chosen,
        folder.parent,
        revision=revision,
        device=device,
        precision=precision,
        max_skipped_fraction=max_skipped_fraction,
        merge=merge,
        progress=lambda done, total, loss: watched(done, total),
    )
    found = trainer.audit(pool)
    for line in [*described(trainer, chosen), *found.lines()]:
        say(line, quiet=quiet)
    found.check(max_skipped_fraction)
    if audit:
        if json:
            typer.echo(orjson.dumps({"recipe": chosen.as_dict(), "audit": found.as_dict()}, option=orjson.OPT_INDENT_2).decode())
        return
    # Read before the training: a name that is wrong must not show after an hour.
    held_out = reading.read(list(evaluate), message=messages(quiet=quiet)) if evaluate else None
    checkpoint = trainer.train_into(folder, pool, seed=seed)
    grades = None
    if held_out is not None:
        from instructsel.grading.graders.held_out_loss import HeldOutLoss

        grades = HeldOutLoss(held_out, max_length=chosen.max_length, device=device, precision=precision).grade(checkpoint)
    for line in told(checkpoint, found, grades):
        say(line, quiet=quiet)
    if json:
        record = {key: value for key, value in checkpoint.record.items() if key != "losses"}
        summary = {"checkpoint": str(folder), **record, "held_out_loss": _plain(grades)}
        typer.echo(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())


def described(trainer: TrlTrainer, recipe: Recipe) -> list[str]:
    """A recipe as lines for people."""
    precision, device = trainer.runtime
    length = next(f"{getattr(recipe, name):,} {name}" for name in ("epochs", "steps", "tokens") if getattr(recipe, name) is not None)
    adapters = f", LoRA r {recipe.lora_r}, alpha {recipe.lora_alpha}" if recipe.method == "lora" else ", every weight"
    held = f", base in {recipe.bits} bits" if recipe.bits else ""
    lines = [
        f"{recipe.name}: {trainer.source.name}{adapters}{held}; {length}, {recipe.batch_size} rows a step, learning rate {recipe.learning_rate:g} "
        f"{recipe.schedule}, rows of up to {recipe.max_length:,} tokens; {precision} on {device}",
        f"loss on {_where(recipe.loss)}: mean over the loss tokens of a step"
        + ("; chat format of Tülu, the base has none of its own" if trainer.chat_template.fallback else ""),
    ]
    if recipe.assumed:
        lines.append(f"assumed, not given by the source: {', '.join(recipe.assumed)}")
    return lines


def _where(loss: str) -> str:
    return {"completion": "the last answer", "assistant": "every answer", "all": "everything"}[loss]


def told(checkpoint: Checkpoint, audit: Audit, grades: Grades | None) -> list[str]:
    """A fine-tune as lines for people."""
    record = checkpoint.record
    losses = record["losses"]
    lines = [
        f"{record['steps']:,} steps, {record['tokens_seen']:,} tokens seen ({record['tokens_per_step']:,.0f} a step), "
        f"{record['tokens_trained']:,} trained on; loss {losses[0]:.3f} at the first step, "
        f"{sum(losses[-10:]) / len(losses[-10:]):.3f} over the last {len(losses[-10:])}",
    ]
    if grades is not None:
        valid = int(grades.valid.sum())
        lines.append(
            f"held-out loss {grades.weighted_mean:.4f} nats a token, {grades.mean:.4f} averaged over {valid:,} of {len(grades.items):,} examples"
            if valid
            else f"held-out loss unknown: none of {len(grades.items):,} examples has a value"
        )
    lines.append(f"checkpoint {checkpoint.folder} (weights {checkpoint.digest[:12]}, {record['run']['seconds']:,.0f} s)")
    return lines


def _plain(grades: Grades | None) -> dict[str, Any] | None:
    if grades is None:
        return None
    known = bool(grades.valid.any())
    return {
        "per_token": grades.weighted_mean if known else None,
        "per_example": grades.mean if known else None,
        "examples": len(grades.items),
        "with_value": int(grades.valid.sum()),
        "truncated": grades.truncated,
    }


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
