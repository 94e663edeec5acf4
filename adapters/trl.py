"""TRL's SFTTrainer as a Trainer: whole models, LoRA, and LoRA on a base in 8 or 4 bits; resumable; merged when done."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from instructsel.adapters.audit import MAX_SKIPPED_FRACTION, Audit
from instructsel.adapters.recipe import Recipe
from instructsel.adapters.sampling import packs, sequence
from instructsel.artifact import SCHEMA_VERSION, atomic_write, dump_json, file_digest, fingerprint
from instructsel.errors import EnvironmentFault, MissingExtra, ModelRefused, TrainingDiverged, TrainingError, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.models.load import LocalModel, locate, quiet, refuse_code, settings
from instructsel.models.network import load_network
from instructsel.protocols import Checkpoint

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

Progress = Callable[[int, int, float], None]
"""Steps done, steps in all, the loss of the last one."""

PACKAGES: Final = ("torch", "transformers", "trl", "peft")
"""Whose releases a checkpoint depends on; one of a base in 8 or 4 bits on that of bitsandbytes, too."""
RECORD: Final = "training.json"
STATE: Final = "state"
OWNER: Final = "owner"
"""Stands in the folder of states from before the first step: whose fine-tune it is."""
COMPLETE: Final = "complete"
"""Written into a state after everything else of it, with the sizes of its files: what was killed half-written has none."""
REDUCTION: Final = "mean over the loss tokens of a step, all its rows together"
MICRO: Final = {"cpu": 16, "cuda": 8}
SAVE_EVERY: Final = 300.0
"""Seconds between two states."""
GROWN: Final = 2.0
"""A loss that ends so many times as high as it began has diverged."""
SHORT: Final = 10
"""Steps below which a loss may have grown by the rows that came last, unless it is above CHANCE."""
CHANCE: Final = 15.0
"""More nats a token than guessing among three million tokens costs."""
SEEDS: Final = 2**32
PROBED: Final = 64
"""Tokens of a row that show whether packed rows are kept apart."""
LEAK: Final = 0.1
"""Of the change that another row before it makes, what packing may make at most: rounding, and no more."""


@dataclass(frozen=True, eq=False)
class TrlTrainer:
    """Fine-tunes one base by one recipe, whatever the pool.

    A checkpoint's folder is named for what it depends on: base, recipe, pool and seed. One that is finished is not trained again,
    one that was interrupted goes on from its last state.
    """

    base: str
    """A local folder or a hub id."""
    recipe: Recipe
    folder: Path
    """Under which checkpoints are made."""
    revision: str | None = None
    """Of the base on the hub."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    precision: str = "auto"
    """fp32, or bf16 for automatic mixed precision on weights in fp32; auto takes bf16 on a GPU and fp32 on a CPU."""
    save_every: float = SAVE_EVERY
    """Seconds between two states to go on from; 0 saves after every step, infinity never."""
    max_skipped_fraction: float = MAX_SKIPPED_FRACTION
    """Share of rows without a loss token above which nothing is trained."""
    merge: bool = True
    """Whether adapters are merged into the base; the adapter is kept beside it either way."""
    progress: Progress | None = field(default=None, repr=False)

    @cached_property
    def source(self) -> LocalModel:
        """The base's files.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: pickled weights, or code of its own.
        """
        found = locate(self.base, revision=self.revision, needed_by="the fine-tune")
        refuse_code(found)
        return found

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """How examples are written for the base."""
        return ChatTemplate.load(self.source.folder)

    @cached_property
    def place(self) -> tuple[str, str]:
        """Precision and device, decided."""
        asked, device = settings("fp32" if self.precision == "auto" else self.precision, self.device)
        return ("bf16" if self.precision == "auto" and device == "cuda" else asked), device

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Base, recipe, precision, device and releases; no path."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> Mapping[str, Any]:
        precision, device = self.place
        return {
            "kind": "trl",
            "base": {"name": self.source.name, "digest": self.source.digest, "settings": self.source.settings},
            "recipe": self.recipe.fingerprint,
            "precision": precision,
            "device": device,
            "micro": self._micro_batch_size(),
            # By its former name: a renamed setting trains the same model.
            "max_refused": self.max_skipped_fraction,
            "merge": self.merge,
            "versions": {name: _release(name) for name in PACKAGES + (("bitsandbytes",) if self.recipe.bits else ())},
        }

    def audit(self, pool: Pool) -> Audit:
        """What would be trained on."""
        return self._encoded(pool)[0]

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        """A checkpoint of the base fine-tuned on the pool, under this trainer's folder.

        Raises:
            TrainingError: too many rows without a loss token, a part of an epoch that is no row, or a folder of another fine-tune.
            TrainingDiverged: a loss or a weight that is not finite, or a loss that has grown beyond all reason.
            EnvironmentFault: no memory, no room on the disk, an extra missing.
            ModelRefused: no whole causal language model, a tokenizer of another one, or one that cannot be trained on packed rows.
            UsageError: a seed outside of [0, 2^32), or an optimizer that transformers does not know.
        """
        return self.train_into(self.folder / self._key(pool, seed), pool, seed=seed)

    def train_into(self, folder: Path, pool: Pool, *, seed: int) -> Checkpoint:
        """The same, with the checkpoint in a folder of one's own choice: a new one, an empty one, or this very fine-tune's."""
        if not 0 <= seed < SEEDS:
            raise UsageError(f"A seed is a whole number from 0 to {SEEDS - 1}, not {seed}.")
        key = self._key(pool, seed)
        found = _finished(folder, key)
        if found is not None:
            # Killed between the record and the removal of its states, it left them.
            shutil.rmtree(folder / STATE, ignore_errors=True)
            return found
        audit, rows = self._encoded(pool)
        audit.check(self.max_skipped_fraction)
        lengths = [len(each.ids) for each in rows]
        order = packs(lengths, self.recipe, seed) if self.recipe.packing else [[at] for at in sequence(lengths, self.recipe, seed)]
        if not order:
            raise TrainingError(f"{self.recipe.epochs} epochs of {len(rows)} rows are not a single row.", fix="Train for longer.")
        _claim(folder, key)
        try:
            return self._train(folder, key, pool, audit, rows, order, seed)
        except Exception as error:
            if _unwritten(error):
                raise EnvironmentFault(
                    f"The fine-tune cannot write to {folder}: {getattr(error, 'strerror', None) or str(error).splitlines()[0][:200]}.",
                    fix="Free some space, or choose another folder.",
                ) from error
            if _out_of_memory(error):
                raise EnvironmentFault(
                    f"The fine-tune ran out of memory with {self._micro_batch_size()} rows of up to {audit.longest} tokens at a time.",
                    fix="Give a smaller micro_batch_size, a smaller max_length, gradient checkpointing, or LoRA.",
                ) from error
            raise

    def _key(self, pool: Pool, seed: int) -> str:
        ids = hashlib.blake2b("\n".join(pool.ids).encode(), digest_size=16).hexdigest()
        return fingerprint({"trainer": self.fingerprint, "ids": ids, "seed": seed})

    def _encoded(self, pool: Pool) -> tuple[Audit, list[Encoded]]:
        encoded = self.chat_template.encode_all(pool.examples(), loss=self.recipe.loss, max_length=self.recipe.max_length)

        def place(position: int) -> str:
            file, lines = pool.locate(position)
            return f"{Path(file).name}:{lines[0]}"

        return Audit.of(encoded, place)

    def _micro_batch_size(self) -> int:
        wanted = self.recipe.micro_batch_size or MICRO[self.place[1]]
        return max(size for size in range(1, min(wanted, self.recipe.batch_size) + 1) if self.recipe.batch_size % size == 0)

    def _train(
        self, folder: Path, key: str, pool: Pool, audit: Audit, rows: Sequence[Encoded], order: Sequence[Sequence[int]], seed: int
    ) -> Checkpoint:
        """Train on the rows in order; those that stand together share a sequence."""
        trl = require("trl", needed_by="the fine-tune")
        torch = require("torch", needed_by="the fine-tune")
        state = folder / STATE
        begun = time.monotonic()
        with _silent(), quiet():
            watch = _watch(self, key, state)
            model = self._model(torch)
            if self.recipe.packing:
                self._check_packing(trl, torch, model, rows)
            trainer = _trainer(trl, model)(
                model=model,
                args=self._config(trl, state, len(order), seed),
                train_dataset=_dataset(rows, order, packed=self.recipe.packing),
                processing_class=self.chat_template.tokenizer,
                callbacks=[watch],
                peft_config=self._lora() if self.recipe.method == "lora" else None,
            )
            for weight in trainer.model.parameters():
                if weight.requires_grad:
                    # TRL holds the adapters of a quantized base in bf16, and reads them back from a state as fp32.
                    weight.data = weight.data.float()
            # It would write every log to stdout.
            trainer.remove_callback(require("transformers", needed_by="the fine-tune").PrinterCallback)
            from_state = _last_state(state, key)
            trainer.train(resume_from_checkpoint=str(from_state) if from_state else None)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        try:
            _check_losses(losses, watch.unfinite, self.source.name)
            if not all(bool(torch.isfinite(weight).all()) for weight in trainer.model.parameters() if weight.requires_grad):
                raise TrainingDiverged(
                    f"The fine-tune of {self.source.name} ended with weights that are not finite.", fix="Lower the learning rate."
                )
        except TrainingDiverged:
            # A state on the way there is nothing to go on from.
            shutil.rmtree(state, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        seen = [at for each in order for at in each]
        steps = trainer.state.global_step
        tokens = sum(len(rows[at].ids) for at in seen)
        record = {
            "kind": "training",
            "schema_version": SCHEMA_VERSION,
            "key": key,
            "trainer": dict(self.fingerprint),
            "seed": seed,
            "pool": {"fingerprint": pool.fingerprint, "examples": len(pool)},
            "audit": audit.as_dict(),
            "chat_template": "tulu" if self.chat_template.fallback else "the base's own",
            "steps": steps,
            "batch_size": self.recipe.batch_size,
            "micro_batch_size": self._micro_batch_size(),
            "rows_seen": len(seen),
            "tokens_seen": tokens,
            "tokens_trained": sum(sum(rows[at].loss_mask[1:]) for at in seen),
            "tokens_per_step": tokens / steps,
            "loss_reduction": REDUCTION,
            "losses": losses,
        }
        return self._save(folder, trainer, record, seed, seconds=time.monotonic() - begun, resumed=from_state is not None)

    def _model(self, torch: Any) -> Any:
        transformers = require("transformers", needed_by="the fine-tune")
        device = self.place[1]
        given: dict[str, Any] = {}
        if self.recipe.bits is not None:
            given["quantization_config"] = _quantized(transformers, torch, self.recipe.bits, device)
            given["dtype"] = torch.bfloat16 if device == "cuda" else torch.float32
            given["device_map"] = {"": 0 if device == "cuda" else "cpu"}
        model = load_network(
            self.source, "CausalLM", kind="a causal language model", needed_by="the fine-tune", random="fine-tune", **given
        )
        if len(self.chat_template.tokenizer) > model.get_input_embeddings().weight.shape[0]:
            raise ModelRefused(
                f"The tokenizer of {self.source.name} has {len(self.chat_template.tokenizer)} tokens, its embedding "
                f"{model.get_input_embeddings().weight.shape[0]}.",
                fix="Use the tokenizer the model was trained with.",
            )
        return model

    def _check_packing(self, trl: Any, torch: Any, model: Any, rows: Sequence[Encoded]) -> None:
        """Refuse a model whose answers to a row depend on the rows that share its sequence, as a state-space model's may."""
        first, second = rows[0].ids[:PROBED], rows[-1].ids[:PROBED]
        collator = trl.trainer.sft_trainer.DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)

        def answers(*given: list[int]) -> Any:
            batch = collator([{"input_ids": ids} for ids in given])
            batch.pop("labels")
            batch = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in batch.items()}
            return model(**batch, use_cache=False).logits[0, -len(second) :].float()

        with torch.no_grad():
            alone, packed, joined = answers(second), answers(first, second), answers(first + second)
        # Packed as if alone, up to rounding; joined into one row is what a leak would look like.
        # Answers that are no numbers are for the loss to tell.
        if float((packed - alone).abs().max()) > LEAK * float((joined - alone).abs().max()):
            raise ModelRefused(
                f"{self.source.name} does not keep the rows of a packed sequence apart: what stands in one changes the answers to another.",
                fix="Train without packing.",
            )

    def _lora(self) -> Any:
        peft = require("peft", needed_by="LoRA")
        return peft.LoraConfig(
            r=self.recipe.lora_r,
            lora_alpha=self.recipe.lora_alpha,
            lora_dropout=self.recipe.lora_dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )

    def _config(self, trl: Any, state: Path, sequences: int, seed: int) -> Any:
        recipe, (precision, device) = self.recipe, self.place
        micro = self._micro_batch_size()
        steps = math.ceil(sequences / recipe.batch_size)
        try:
            require("transformers", needed_by="the fine-tune").training_args.OptimizerNames(recipe.optimizer)
        except ValueError as error:
            raise UsageError(f"transformers has no optimizer '{recipe.optimizer}'.", fix="For example: adamw_torch_fused") from error
        made = trl.SFTConfig(
            output_dir=str(state),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=recipe.batch_size // micro,
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
            dataloader_pin_memory=device == "cuda",
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
            report_to="none",
            disable_tqdm=True,
            dataset_num_proc=None,
        )
        # One model, one GPU: on a machine with several it would be split over all of them, and its batches with it.
        _ = made.device
        made._n_gpu = min(made.n_gpu, 1)
        return made

    def _save(self, folder: Path, trainer: Any, record: dict[str, Any], seed: int, *, seconds: float, resumed: bool) -> Checkpoint:
        model = trainer.model
        with _silent(), quiet():
            if self.recipe.method == "lora":
                # Made anew: an adapter that was half-written before has no place in it.
                shutil.rmtree(folder / "adapter", ignore_errors=True)
                model.save_pretrained(str(folder / "adapter"))
                if self.merge:
                    _merged(self, folder / "adapter").save_pretrained(str(folder))
            else:
                model.save_pretrained(str(folder))
            self.chat_template.tokenizer.save_pretrained(str(folder))
        digest = _digest(folder if self.merge or self.recipe.method == "full" else folder / "adapter")
        whole = {
            **record,
            "digest": digest,
            "run": {"seconds": seconds, "resumed": resumed, "tokens_per_second": record["tokens_seen"] / seconds},
        }
        with atomic_write(folder / RECORD) as file:
            file.write(dump_json(whole, indent=True) + b"\n")
        shutil.rmtree(folder / STATE, ignore_errors=True)
        return Checkpoint(folder, digest, seed, whole, owned=True)


def _dataset(rows: Sequence[Encoded], order: Sequence[Sequence[int]], *, packed: bool) -> Any:
    """Tokens and labels in the order they are seen; of packed rows the lengths as well."""
    datasets = require("datasets", needed_by="the fine-tune")
    labels = [[name if on else -100 for name, on in zip(each.ids, each.loss_mask, strict=True)] for each in rows]
    if not packed:
        # Each row is held once, however many passes there are.
        return datasets.Dataset.from_dict({"input_ids": [each.ids for each in rows], "labels": labels}).select(
            [at for each in order for at in each]
        )
    return datasets.Dataset.from_dict(
        {
            "input_ids": [[name for at in each for name in rows[at].ids] for each in order],
            "labels": [[name for at in each for name in labels[at]] for each in order],
            "seq_lengths": [[len(rows[at].ids) for at in each] for each in order],
        }
    )


def _quantized(transformers: Any, torch: Any, bits: int, device: str) -> Any:
    require("bitsandbytes", needed_by=f"a base in {bits} bits")
    if bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if device == "cuda" else torch.float32,
    )


def _merged(trainer: TrlTrainer, adapter: Path) -> Any:
    """The base in its own precision with the adapter's product added to its weights."""
    torch = require("torch", needed_by="LoRA")
    peft = require("peft", needed_by="LoRA")
    base = load_network(
        trainer.source,
        "CausalLM",
        kind="a causal language model",
        needed_by="LoRA",
        random="merged model",
        dtype=torch.bfloat16 if trainer.place[0] == "bf16" else torch.float32,
    )
    return peft.PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()


def _trainer(trl: Any, model: Any) -> Any:
    """TRL's trainer; on a CPU with its loss computed over the loss tokens alone.

    Without Triton TRL projects every position to the vocabulary, and its entropy besides: half of a small model's time. The loss is
    the same, the sum over loss tokens by their number. A model that does more to its logits than its head does is left to TRL.
    """
    text = model.config.get_text_config()
    special = getattr(text, "final_logit_softcapping", None) is not None or getattr(text, "logit_scale", None) not in (None, 1.0)
    moe = getattr(text, "router_aux_loss_coef", None)
    if model.device.type != "cpu" or special or moe or not hasattr(model, model.base_model_prefix):
        return trl.SFTTrainer
    functional = require("torch", needed_by="the fine-tune").nn.functional

    class OnCpu(trl.SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            whole = model.get_base_model() if hasattr(model, "get_base_model") else model
            given = {name: value for name, value in inputs.items() if name != "labels"}
            labels = inputs["labels"][:, 1:]
            trained = labels != -100
            # The wrapper that brings mixed precision is around the model's own forward.
            with self.accelerator.autocast():
                backbone = getattr(whole, whole.base_model_prefix)(**given, use_cache=False)
                logits = whole.get_output_embeddings()(backbone.last_hidden_state[:, :-1][trained])
            total = functional.cross_entropy(logits.float(), labels[trained], reduction="sum")
            loss = total / (trained.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)
            return (loss, backbone) if return_outputs else loss

    return OnCpu


def _watch(trainer: TrlTrainer, key: str, state: Path) -> Any:
    """The callback that saves states by the clock, tells the progress, and stops at a loss that is no number."""
    transformers = require("transformers", needed_by="the fine-tune")

    class Watch(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        unfinite: int | None = None
        saved = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(loss) or not math.isfinite(float(logs.get("grad_norm", 0.0))):
                self.unfinite = state.global_step
                control.should_training_stop = True
                control.should_save = False
            if trainer.progress is not None:
                trainer.progress(state.global_step, state.max_steps, loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if time.monotonic() - self.saved >= trainer.save_every and state.global_step < state.max_steps:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.saved = time.monotonic()
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            mark = dump_json({"key": key, "sizes": _sizes(path)})
            with atomic_write(path / COMPLETE) as file:
                file.write(mark)

    return Watch()


def _claim(folder: Path, key: str) -> None:
    """Take a folder for this fine-tune. Weights that nothing here knows of are never written over.

    Raises:
        TrainingError: another fine-tune was begun there, or it holds weights of another origin.
        EnvironmentFault: it cannot be made or written to.
    """
    owner = folder / STATE / OWNER
    try:
        held = owner.read_bytes() if owner.is_file() else None
        record = folder / RECORD
        weights = [*folder.glob("*.safetensors"), *folder.glob("adapter/*.safetensors")]
        foreign = held is None and not record.exists() and bool(weights)
        if foreign or held not in (None, key.encode()):
            what = "weights that are no checkpoint of this fine-tune" if foreign else "another fine-tune, begun and not finished"
            raise TrainingError(f"{folder} holds {what}.", fix="Choose another folder, or remove this one.")
        owner.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(owner) as file:
            file.write(key.encode())
        # Of weights that are not those it speaks of.
        record.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {folder}: {error.strerror or error}.", fix="Choose another folder.") from error


def _last_state(folder: Path, key: str) -> Path | None:
    """The last state that is whole; those that are not are removed."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        number = path.name.rpartition("-")[2]
        try:
            mark = orjson.loads((path / COMPLETE).read_bytes())
            whole = number.isdigit() and mark == {"key": key, "sizes": _sizes(path)}
        except (OSError, orjson.JSONDecodeError):
            whole = False
        if whole:
            found.append((int(number), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file of a state."""
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name != COMPLETE}


def _finished(folder: Path, key: str) -> Checkpoint | None:
    """The checkpoint of this very fine-tune, if it is there and whole."""
    try:
        record = orjson.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise TrainingError(f"{folder / RECORD} cannot be read: {error}.", fix="Remove the folder, or choose another.") from error
    if not isinstance(record, dict) or record.get("key") != key:
        raise TrainingError(
            f"{folder} holds another fine-tune: of another base, recipe, pool or seed.", fix="Choose another folder, or remove this one."
        )
    merged = record["trainer"]["merge"] or record["trainer"]["recipe"]["method"] == "full"
    if _digest(folder if merged else folder / "adapter") != record["digest"]:
        # Weights that are not those of the record: trained again.
        return None
    return Checkpoint(folder, record["digest"], record["seed"], record, owned=True)


def _digest(folder: Path) -> str:
    """SHA-256 over the weights, as `locate` computes it; of nothing where there are none."""
    digests = [file_digest(path) for path in sorted(folder.glob("*.safetensors"))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _check_losses(losses: Sequence[float], unfinite: int | None, name: str) -> None:
    # A state that was saved before the loss was looked at brings it back.
    unfinite = unfinite or next((step for step, loss in enumerate(losses, 1) if not math.isfinite(loss)), None)
    if unfinite is not None:
        raise TrainingDiverged(
            f"The loss or its gradient is not finite at step {unfinite} of the fine-tune of {name}.",
            fix="Lower the learning rate, or look for rows that are no text.",
        )
    tail = losses[-max(1, len(losses) // 10) :]
    ended = math.fsum(tail) / len(tail)
    if ended > GROWN * max(losses[0], 1.0) and (len(losses) >= SHORT or ended > CHANCE):
        raise TrainingDiverged(
            f"The loss of the fine-tune of {name} grew from {losses[0]:.3g} to {ended:.3g} nats.",
            fix="Lower the learning rate.",
        )


def _out_of_memory(error: Exception) -> bool:
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    return type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error) or "out of memory" in str(error)


def _unwritten(error: Exception) -> bool:
    """Whether a file could not be written: safetensors and torch have errors of their own for it."""
    if isinstance(error, OSError):
        return True
    safetensors = require("safetensors", needed_by="the fine-tune")
    if isinstance(error, safetensors.SafetensorError):
        return str(error).startswith("Error while serializing")
    return isinstance(error, RuntimeError) and ("inline_container" in str(error) or "PytorchStreamWriter" in str(error))


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise MissingExtra(
            f"The fine-tune needs '{name}', which is not installed.", fix="Install it with: pip install 'instructsel[train]'"
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """datasets, TRL and bitsandbytes without bars and advice."""
    import logging

    datasets = require("datasets", needed_by="the fine-tune")
    names = ("bitsandbytes", "trl", "peft", "accelerate", "transformers")
    before = {name: logging.getLogger(name).level for name in names}
    bars = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


__all__ = ["TrlTrainer"]
