"""TRL's objects for one fine-tune: data, model, trainer, configuration, and the checks around them."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.checkpoint_folder import mark_complete
from instructsel.adapters.recipes import Recipe
from instructsel.errors import ModelRefused, TrainingDiverged, UsageError
from instructsel.extras import require
from instructsel.grading.chat import Encoded
from instructsel.models import own_loss
from instructsel.models.load import LocalModel
from instructsel.models.network import load_network
from instructsel.text import excerpt

Progress = Callable[[int, int, float], None]
"""Steps done, steps in all, the loss of the last one."""

MAX_GROWTH: Final = 2.0
"""A loss that ends so many times as high as it began has diverged."""
MIN_STEPS: Final = 10
"""Steps below which a loss may have grown by the rows that came last, unless it is above CHANCE."""
CHANCE: Final = 15.0
"""More nats a token than guessing among three million tokens costs."""
PROBED_TOKENS: Final = 64
"""Tokens of a row that show whether packed rows are kept apart."""
SPLIT_FROM: Final = 10_000_000
"""Weights from which a CPU computes the rows of a batch in parts of like length: below, the calls of the layers cost more than padding."""
LIKE: Final = 0.8
"""A row that is shorter than so much of the longest of its part begins another."""
MAX_CONTAMINATION: Final = 0.1
"""Of the change that another row before it makes, what packing may make at most: rounding, and no more."""


def dataset(rows: Sequence[Encoded], order: Sequence[Sequence[int]], *, packed: bool) -> Any:
    """Tokens and labels in the order they are seen; of packed rows the lengths as well."""
    datasets = require("datasets", needed_by="the fine-tune")
    labels = [[token if loss else -100 for token, loss in zip(row.ids, row.loss_mask, strict=True)] for row in rows]
    if not packed:
        # Each row is held once, however many passes there are.
        return datasets.Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": labels}).select(
            [position for group in order for position in group]
        )
    return datasets.Dataset.from_dict(
        {
            "input_ids": [[token for position in group for token in rows[position].ids] for group in order],
            "labels": [[label for position in group for label in labels[position]] for group in order],
            "seq_lengths": [[len(rows[position].ids) for position in group] for group in order],
        }
    )


def base_model(source: LocalModel, tokenizer: Any, *, bits: int | None, device: str) -> Any:
    """The base to train, in so many bits or whole.

    Raises:
        ModelRefused: no whole causal language model, or a tokenizer with more tokens than it embeds.
    """
    transformers = require("transformers", needed_by="the fine-tune")
    torch = require("torch", needed_by="the fine-tune")
    options: dict[str, Any] = {}
    if bits is not None:
        options["quantization_config"] = _quantization(transformers, torch, bits, device)
        options["dtype"] = torch.bfloat16 if device.startswith("cuda") else torch.float32
        options["device_map"] = {"": int(device.partition(":")[2] or 0) if device.startswith("cuda") else "cpu"}
    model = load_network(source, "CausalLM", kind="a causal language model", needed_by="the fine-tune", random="fine-tune", **options)
    embedded = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > embedded:
        raise ModelRefused(
            f"The tokenizer of {source.name} has {len(tokenizer)} tokens, its embedding {embedded}.",
            fix="Use the tokenizer the model was trained with.",
        )
    return model


def _quantization(transformers: Any, torch: Any, bits: int, device: str) -> Any:
    require("bitsandbytes", needed_by=f"a base in {bits} bits")
    if bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if device.startswith("cuda") else torch.float32,
    )


def lora_config(recipe: Recipe) -> Any:
    """The adapters of a recipe: of the layers it names, or every linear one but the head."""
    peft = require("peft", needed_by="LoRA")
    return peft.LoraConfig(
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.lora_targets) or "all-linear",
        task_type="CAUSAL_LM",
    )


def check_one_process() -> None:
    """Refuse to train in one of several processes of a launcher, each of which would write the same folder.

    Raises:
        UsageError: a launcher (accelerate, torchrun) has started more than one.
    """
    try:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        processes = 1
    if processes > 1:
        raise UsageError(
            f"A fine-tune runs in one process; a launcher started {processes} (WORLD_SIZE).",
            fix="Run the command without accelerate launch or torchrun; instructsel verify -j N trains several models at a time, "
            "with CUDA_VISIBLE_DEVICES for one GPU a command.",
        )


def check_optimizer(recipe: Recipe) -> None:
    """Refuse an optimizer that transformers does not know.

    Raises:
        UsageError: it is none.
    """
    try:
        require("transformers", needed_by="the fine-tune").training_args.OptimizerNames(recipe.optimizer)
    except ValueError as error:
        raise UsageError(f"transformers has no optimizer '{recipe.optimizer}'.", fix="For example: adamw_torch_fused") from error


def check_targets(recipe: Recipe, source: LocalModel) -> None:
    """Refuse names of layers that the base does not have, or that can have no adapters; no weight is loaded for it.

    Raises:
        UsageError: a name that fits no linear layer, or the head, or layers that peft refuses; the fix names those there are.
    """
    if recipe.method != "lora":
        return
    peft = require("peft", needed_by="LoRA")
    transformers = require("transformers", needed_by="LoRA")
    torch = require("torch", needed_by="LoRA")
    with torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(str(source.folder), local_files_only=True, trust_remote_code=False)
        model = transformers.AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    layers = [name for name, module in model.named_modules() if isinstance(module, linear) and module is not head]
    names = sorted({name.rpartition(".")[2] for name in layers})
    for target in recipe.lora_targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            raise UsageError(
                f"{source.name} has no linear layer '{target}' that could have adapters.", fix=f"Name one or more of {', '.join(names)}."
            )
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            peft.get_peft_model(model, lora_config(recipe))
    except ValueError as error:
        # Such as the projections of a state-space model, whose kernels would pass over their adapters.
        stated = str(error)
        others = ", ".join(name for name in names if f"'{name}'" not in stated)
        raise UsageError(
            f"peft puts no adapters on these layers of {source.name}: {excerpt(stated, 200)}",
            fix=f"Name others with --lora-targets: {others}." if others else "Train every weight: --method full.",
        ) from error


def merged(source: LocalModel, adapter: Path, precision: str) -> Any:
    """The base in a precision of its own with the adapter's product added to its weights."""
    torch = require("torch", needed_by="LoRA")
    peft = require("peft", needed_by="LoRA")
    base = load_network(
        source,
        "CausalLM",
        kind="a causal language model",
        needed_by="LoRA",
        random="merged model",
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )
    return peft.PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()


def config(
    recipe: Recipe,
    state: Path,
    *,
    sequences: int,
    micro_batch_size: int,
    precision: str,
    device: str,
    seed: int,
    tracking: Mapping[str, Any],
) -> Any:
    """TRL's configuration of a fine-tune.

    Args:
        recipe: its settings.
        state: the folder of states.
        sequences: how many rows, or packed sequences, are seen in all.
        micro_batch_size: of them computed at a time.
        precision: fp32 or bf16.
        device: cpu or cuda.
        seed: of new weights.
        tracking: arguments for the tracker.
    """
    steps = math.ceil(sequences / recipe.batch_size)
    settings = require("trl", needed_by="the fine-tune").SFTConfig(
        output_dir=str(state),
        per_device_train_batch_size=micro_batch_size,
        gradient_accumulation_steps=recipe.batch_size // micro_batch_size,
        num_train_epochs=1.0,
        max_steps=steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
        # The first step of a warm-up has a learning rate of 0: a fine-tune of one step would learn nothing.
        warmup_steps=min(math.ceil(recipe.warmup * steps), steps - 1),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim=recipe.optimizer,
        bf16=precision == "bf16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device.startswith("cuda"),
        gradient_checkpointing=recipe.gradient_checkpointing,
        # Masked, cut and packed already: its own packing would bring the copies of a row in several passes together.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=recipe.packing,
        # The order is ours: by seed and length alone.
        train_sampling_strategy="sequential",
        shuffle_dataset=False,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=2,
        **tracking,
        disable_tqdm=True,
        dataset_num_proc=None,
    )
    # One model, one GPU: on a machine with several it would be split over all of them, and its batches with it.
    _ = settings.device
    settings._n_gpu = min(settings.n_gpu, 1)
    return settings


def trainer_class(model: Any) -> Any:
    """TRL's trainer, with a loss that is the model's own.

    The loss is computed in the cheapest of three ways that a probe finds equal to `model(input_ids, labels).loss`: on a CPU from the
    head at the loss tokens alone (without Triton TRL projects every position to the vocabulary, and its entropy besides: half of a
    small model's time); TRL's, which knows the scales and caps of some architectures; the model's own logits.
    The reduction is the same in each, the sum over loss tokens by their number.

    Args:
        model: the base, before any adapter.
    """
    trl = require("trl", needed_by="the fine-tune")
    functional = require("torch", needed_by="the fine-tune").nn.functional

    def at_loss_tokens(base: Any, tensors: Mapping[str, Any], labels: Any) -> tuple[Any, Any]:
        parts = _of_like_length(model, tensors)
        if len(parts) > 1:
            # Each part ends where its longest row does: attention and layers see next to no padding.
            sums = [
                at_loss_tokens(base, {name: value[rows, :length] for name, value in tensors.items()}, labels[rows, :length])
                for rows, length in parts
            ]
            return sum(total for total, _ in sums), sums[-1][1]
        targets = labels[:, 1:]
        loss_mask = targets != -100
        backbone = getattr(base, base.base_model_prefix)(**tensors, use_cache=False)
        logits = base.get_output_embeddings()(backbone.last_hidden_state[:, :-1][loss_mask])
        return functional.cross_entropy(logits.float(), targets[loss_mask], reduction="sum"), backbone

    def of_own_logits(base: Any, tensors: Mapping[str, Any], labels: Any) -> tuple[Any, Any]:
        targets = labels[:, 1:]
        loss_mask = targets != -100
        outputs = base(**tensors, use_cache=False)
        return functional.cross_entropy(outputs.logits[:, :-1][loss_mask].float(), targets[loss_mask], reduction="sum"), outputs

    def probed(ids: Any, labels: Any) -> Any:
        total, _ = at_loss_tokens(model, {"input_ids": ids}, labels)
        return total / (labels[:, 1:] != -100).sum()

    class OwnLoss(trl.SFTTrainer):  # type: ignore[misc, name-defined]
        total_loss: Any = None
        """Model, inputs and labels → the sum of the losses of all loss tokens, and the outputs; None leaves the loss to TRL."""

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            # Experts are balanced by a loss of their own, which TRL adds to the model's.
            if model.device.type == "cpu" and not self.aux_loss_enabled and own_loss.difference(model, probed) is None:
                self.total_loss = at_loss_tokens
            elif own_loss.difference(model, _of_trl(model)) is not None:
                self.total_loss = of_own_logits

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            if self.total_loss is None:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            base = model.get_base_model() if hasattr(model, "get_base_model") else model
            tensors = {name: value for name, value in inputs.items() if name != "labels"}
            labels = inputs["labels"]
            # The wrapper that brings mixed precision is around the model's own forward.
            with self.accelerator.autocast():
                total, outputs = self.total_loss(base, tensors, labels)
            loss = total / ((labels[:, 1:] != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)
            if self.aux_loss_enabled:
                # A mean over the rows computed at a time, and so over those of a step.
                loss = loss + self.router_aux_loss_coef * outputs.aux_loss / self.current_gradient_accumulation_steps
            return (loss, outputs) if return_outputs else loss

    return OwnLoss


def _of_like_length(model: Any, tensors: Mapping[str, Any]) -> list[tuple[list[int], int]]:
    """The rows of a padded batch in parts of like length, each with its longest; none where splitting would not pay.

    A small model's step is mostly the calls of its layers, which every part costs again.
    """
    if set(tensors) != {"input_ids", "attention_mask"} or sum(weight.numel() for weight in model.parameters()) < SPLIT_FROM:
        return []
    present = tensors["attention_mask"]
    lengths = present.sum(1).tolist()
    if not bool((present[:, 1:] <= present[:, :-1]).all()):
        # Padded at the left.
        return []
    parts: list[tuple[list[int], int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if not parts or lengths[row] < LIKE * parts[-1][1]:
            parts.append(([], lengths[row]))
        parts[-1][0].append(row)
    return parts


def _of_trl(model: Any) -> own_loss.Loss:
    """The loss of the head that TRL puts on a model."""

    def loss(ids: Any, labels: Any) -> Any:
        return model(input_ids=ids, labels=labels, fused_lm_head=True).loss

    return loss


def watch(key: str, save_every: float, progress: Progress | None) -> Any:
    """The callback that saves states by the clock, reports progress, and stops at a loss that is no number.

    Args:
        key: of the fine-tune, which its states are marked with.
        save_every: seconds between two states.
        progress: called at every step.
    """
    transformers = require("transformers", needed_by="the fine-tune")

    class Watch(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        unfinite: int | None = None
        saved = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(loss) or not math.isfinite(float(logs.get("grad_norm", 0.0))):
                self.unfinite = state.global_step
                control.should_training_stop = True
                control.should_save = False
            if progress is not None:
                progress(state.global_step, state.max_steps, loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if time.monotonic() - self.saved >= save_every and state.global_step < state.max_steps:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.saved = time.monotonic()
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", key)

    return Watch()


def check_packing(model: Any, rows: Sequence[Encoded], name: str, *, max_length: int) -> None:
    """Refuse a model with cross-contamination in packing: whose logits for a row depend on the rows packed before it.

    A state-space model may carry its state from one row into the next.

    Args:
        model: a causal language model, before it is trained.
        rows: of the fine-tune.
        name: the base's, for messages.
        max_length: tokens that the model can see at a time.

    Raises:
        ModelRefused: it does.
    """
    trl = require("trl", needed_by="the fine-tune")
    torch = require("torch", needed_by="the fine-tune")
    # Joined, too, they stay within the base's context: positions beyond it are an error in some models.
    n_tokens = min(PROBED_TOKENS, max(1, max_length // 2))
    first, second = rows[0].ids[:n_tokens], rows[-1].ids[:n_tokens]
    collator = trl.trainer.sft_trainer.DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)

    def logits(*sequences: list[int]) -> Any:
        batch = collator([{"input_ids": ids} for ids in sequences])
        batch.pop("labels")
        batch = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in batch.items()}
        return model(**batch, use_cache=False).logits[0, -len(second) :].float()

    with torch.no_grad():
        alone, packed, joined = logits(second), logits(first, second), logits(first + second)
    # Packed as if alone, up to rounding; joined into one row is what a contamination would look like.
    # Logits that are no numbers show in the loss.
    if float((packed - alone).abs().max()) > MAX_CONTAMINATION * float((joined - alone).abs().max()):
        raise ModelRefused(
            f"{name} has cross-contamination in packing: the logits of a row depend on the rows packed before it.",
            fix="Train without packing.",
        )


def check_losses(losses: Sequence[float], unfinite: int | None, name: str) -> None:
    """Refuse a fine-tune that has diverged.

    Args:
        losses: of all steps.
        unfinite: the step at which the watch saw a loss or gradient that is no number.
        name: of the base.

    Raises:
        TrainingDiverged: a loss that is not finite, or has grown beyond all reason.
    """
    # A state that was saved before the loss was looked at brings it back.
    unfinite = unfinite or next((step for step, loss in enumerate(losses, 1) if not math.isfinite(loss)), None)
    if unfinite is not None:
        raise TrainingDiverged(
            f"The loss or its gradient is not finite at step {unfinite} of the fine-tune of {name}.",
            fix="Lower the learning rate, or look for rows that are no text.",
        )
    tail = losses[-max(1, len(losses) // 10) :]
    last = math.fsum(tail) / len(tail)
    if last > MAX_GROWTH * max(losses[0], 1.0) and (len(losses) >= MIN_STEPS or last > CHANCE):
        raise TrainingDiverged(
            f"The loss of the fine-tune of {name} grew from {losses[0]:.3g} to {last:.3g} nats.",
            fix="Lower the learning rate.",
        )


def check_weights(model: Any, name: str) -> None:
    """Refuse trained weights that are no numbers.

    Raises:
        TrainingDiverged: one is not.
    """
    torch = require("torch", needed_by="the fine-tune")
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters() if weight.requires_grad):
        raise TrainingDiverged(f"The fine-tune of {name} ended with weights that are not finite.", fix="Lower the learning rate.")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the memory did not suffice."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    return type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error) or "out of memory" in str(error)


def is_unwritten(error: Exception) -> bool:
    """Whether a file could not be written: safetensors and torch have errors of their own for it."""
    if isinstance(error, OSError):
        return True
    safetensors = require("safetensors", needed_by="the fine-tune")
    if isinstance(error, safetensors.SafetensorError):
        return str(error).startswith("Error while serializing")
    return isinstance(error, RuntimeError) and ("inline_container" in str(error) or "PytorchStreamWriter" in str(error))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """datasets, TRL and bitsandbytes without bars and advice."""
    datasets = require("datasets", needed_by="the fine-tune")
    names = ("bitsandbytes", "trl", "peft", "accelerate", "transformers")
    levels = {name: logging.getLogger(name).level for name in names}
    bars_disabled = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if not bars_disabled:
            datasets.enable_progress_bars()
