"""TRL's SFTTrainer as a Trainer: whole models, LoRA, and LoRA on a base in 8 or 4 bits; resumable; merged when done."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from instructsel.adapters import sft
from instructsel.adapters.checkpoint_folder import RECORD, STATE, claimed, finished, last_state, weights_digest
from instructsel.adapters.recipes import Recipe
from instructsel.adapters.rows import refuse_fractions, without_prompt
from instructsel.adapters.sampling import packs, sequence
from instructsel.adapters.sft import Progress
from instructsel.adapters.stop_tokens import write_stop_tokens
from instructsel.adapters.tracking import Tracking
from instructsel.adapters.training_data import MAX_SKIPPED_FRACTION, TrainingData
from instructsel.artifact import atomic_write, dump_json, fingerprint
from instructsel.errors import EnvironmentFault, MissingExtra, TrainingDiverged, TrainingError, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.grading.tulu import TULU_1
from instructsel.kinds import TRAINING, head
from instructsel.models.chat_files import renderer_of
from instructsel.models.context import context_of
from instructsel.models.embedded_lm import SMOLLM2
from instructsel.models.load import LocalModel, locate_language_model, quiet, refuse_code, settings
from instructsel.models.peft_adapter import digest_of
from instructsel.protocols import Checkpoint
from instructsel.rendering import Renderer
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

PACKAGES: Final = ("torch", "transformers", "trl", "peft")
"""Whose releases a checkpoint depends on; one of a base in 8 or 4 bits on that of bitsandbytes, too."""
REDUCTION: Final = "mean over the loss tokens of a step, all its rows together"
MICRO_BATCH_SIZE: Final = {"cpu": 16, "cuda": 8}
"""By default."""
SAVE_EVERY: Final = 300.0
"""Seconds between two states."""
SEEDS: Final = 2**32


@dataclass(frozen=True, eq=False)
class TrlTrainer:
    """Fine-tunes one base by one recipe, whatever the pool.

    A checkpoint's folder is named for what it depends on: base, recipe, pool and seed. A finished one is not trained
    again, an interrupted one resumes from its last state.
    """

    base: str
    """A local folder, a hub id, or "embedded"."""
    recipe: Recipe
    folder: Path
    """Where checkpoints are made, a folder each."""
    revision: str | None = None
    """Of the base on the hub."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    precision: str = "auto"
    """fp32, or bf16 for automatic mixed precision on weights in fp32; auto decides as graders do: bf16 on a GPU and on a CPU with AMX."""
    save_every: float = SAVE_EVERY
    """Seconds between two states to go on from; 0 saves after every step, infinity never."""
    max_skipped_fraction: float = MAX_SKIPPED_FRACTION
    """Share of rows without a loss token above which nothing is trained."""
    merge: bool = True
    """Whether adapters are merged into the base; the adapter is saved next to it either way."""
    progress: Progress | None = field(default=None, repr=False)
    """Called at every step."""
    tracking: Tracking = field(default_factory=Tracking)
    """Where losses go as they come."""
    names_runs: ClassVar[bool] = True
    """Whether `train` takes a name for the run."""

    @cached_property
    def source(self) -> LocalModel:
        """The base's files.

        Raises:
            ModelUnavailable: it is neither on this machine nor on the hub.
            UntrustedModel: pickled weights, or code of its own.
        """
        source = locate_language_model(self.base, revision=self.revision, needed_by="the fine-tune")
        refuse_code(source)
        return source

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """How examples are written for the base."""
        return ChatTemplate.load(self.source.folder, date=self.recipe.template_date).fitted(self.recipe.loss)

    @cached_property
    def _renderer(self) -> Renderer | None:
        """What renders in the base's own template; None where it has none."""
        return renderer_of(self.source.folder, self.source.name, date=self.recipe.template_date)

    @cached_property
    def runtime(self) -> tuple[str, str]:
        """Precision and device, decided."""
        precision, device = settings(self.precision, self.device)
        if device.startswith("cuda:") and device != "cuda:0":
            number = device.removeprefix("cuda:")
            raise UsageError(
                f"A fine-tune cannot run on {device}: transformers takes the first GPU that it sees.",
                fix=f"Set CUDA_VISIBLE_DEVICES={number} and write --device cuda.",
            )
        return precision, device

    @cached_property
    def context(self) -> int | None:
        """Tokens that the base's context holds; None where its files do not say."""
        return context_of(self.source)

    @property
    def max_length(self) -> int:
        """Tokens of a row, or of a packed sequence, at most: the recipe's, or the base's context where that is less."""
        return min(self.recipe.max_length, self.context or self.recipe.max_length)

    @property
    def notices(self) -> list[str]:
        """What is to be known of the base before anything is trained, in sentences."""
        notices: list[str] = []
        if self.source.digest == SMOLLM2.digest_of_weights:
            notices.append(
                f"{self.source.name} is instruction-tuned already, and its weights were rounded to four bits: a fine-tune may raise its loss."
            )
        if self.source.adapter_of is not None:
            notices.append(f"{self.source.name} is an adapter; it is trained on merged into its base {self.source.adapter_of}.")
        if self.max_length < self.recipe.max_length:
            notices.append(
                f"Rows are cut at {counted(self.max_length, 'token')}, the context of {self.source.name}; the recipe's max_length is {self.recipe.max_length:,}."
            )
        if self._renderer is not None and self._renderer.dated:
            notices.append(f"The chat template of {self.source.name} writes the date: it is told {self._renderer.date}, whatever the day.")
        if not self.chat_template.end_of_turn and self.chat_template.end_text:
            notices.append(
                f"The chat template of {self.source.name} ends a turn with the text {self.chat_template.end_text!r}, which is no token: generation "
                "elsewhere stops there only where it is given as a stop string."
            )
        return notices

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Base, recipe, precision, device and releases; no path."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> Mapping[str, Any]:
        precision, device = self.runtime
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
            # Only where it is not the recipe's: other fine-tunes have the names that they had.
            **({"max_length": self.max_length} if self.max_length < self.recipe.max_length else {}),
            **({} if self._renderer is None else self._renderer.dated),
            "versions": {name: _release(name) for name in PACKAGES + (("bitsandbytes",) if self.recipe.bits else ())},
        }

    def check(self) -> None:
        """Refuse, before any work, what would end in an error after it.

        Raises:
            UsageError: an optimizer that transformers does not know, layers for adapters that the base does not have, or one of
                several processes of a launcher.
            MissingExtra: the tracker's package is not installed.
        """
        sft.check_one_process()
        self.tracking.check()
        sft.check_optimizer(self.recipe)
        sft.check_targets(self.recipe, self.source)

    def audit(self, pool: Pool) -> TrainingData:
        """What would be trained on.

        Raises:
            UsageError: rows have weights other than 0 and 1.
        """
        return self._encoded(pool)[0]

    def train(self, pool: Pool, *, seed: int, name: str | None = None) -> Checkpoint:
        """A checkpoint of the base fine-tuned on the pool, under this trainer's folder.

        Raises:
            TrainingError: too many rows without a loss token, a part of an epoch that is no row, or a folder of another fine-tune.
            TrainingDiverged: a loss or a weight that is not finite, or a loss that has grown beyond all reason.
            EnvironmentFault: no memory, no room on the disk, an extra missing.
            ModelRefused: no whole causal language model, a tokenizer of another one, or one that cannot be trained on packed rows.
            UsageError: a seed outside of [0, 2^32), rows with weights other than 0 and 1, or what `check` refuses.
        """
        return self.train_into(self.folder / self._key(pool, seed), pool, seed=seed, name=name)

    def train_into(self, folder: Path, pool: Pool, *, seed: int, name: str | None = None) -> Checkpoint:
        """The same, with the checkpoint in a folder of one's own choice: a new one, an empty one, or this very fine-tune's."""
        if not 0 <= seed < SEEDS:
            raise UsageError(f"A seed is a whole number from 0 to {SEEDS - 1}, not {seed}.")
        key = self._key(pool, seed)
        checkpoint = finished(folder, key)
        if checkpoint is not None:
            # Killed between the record and the removal of its states, it left them.
            shutil.rmtree(folder / STATE, ignore_errors=True)
            return checkpoint
        self.check()
        audit, rows = self._encoded(pool)
        audit.check(self.max_skipped_fraction)
        lengths = [len(row.ids) for row in rows]
        recipe = replace(self.recipe, max_length=self.max_length)
        order = packs(lengths, recipe, seed) if recipe.packing else [[position] for position in sequence(lengths, recipe, seed)]
        if not order:
            raise TrainingError(f"{recipe.epochs} epochs of {len(rows)} rows are less than one row.", fix="Train for longer.")
        job = _Job(folder, key, seed, pool, audit, rows, order, name or f"{folder.name} seed {seed}")
        with claimed(folder, key) as done:
            return done or self._begun(job)

    def _begun(self, job: _Job) -> Checkpoint:
        """The checkpoint of a job whose folder is claimed; what the machine lacks is told."""
        folder = job.folder
        try:
            return self._train(job)
        except Exception as error:
            if sft.is_unwritten(error):
                raise EnvironmentFault(
                    f"The fine-tune cannot write to {folder}: {getattr(error, 'strerror', None) or str(error).splitlines()[0][:200]}.",
                    fix="Free some space, or choose another folder.",
                ) from error
            if sft.is_out_of_memory(error):
                raise EnvironmentFault(
                    f"The fine-tune ran out of memory with {self._micro_batch_size()} rows of up to {job.audit.longest} tokens at a time.",
                    fix="Give a smaller micro_batch_size, a smaller max_length, gradient checkpointing, or LoRA.",
                ) from error
            raise

    def _key(self, pool: Pool, seed: int) -> str:
        ids = hashlib.blake2b("\n".join(pool.ids).encode(), digest_size=16).hexdigest()
        return fingerprint({"trainer": self.fingerprint, "ids": ids, "seed": seed})

    def _encoded(self, pool: Pool) -> tuple[TrainingData, list[Encoded]]:
        refuse_fractions(pool)
        encoded: Iterable[Encoded] = self.chat_template.encode_all(pool.examples(), loss=self.recipe.loss, max_length=self.max_length)
        promptless = set() if self.recipe.loss == TULU_1 else set(without_prompt(pool))
        if promptless:
            # No data of TRL's prompt-completion type holds them, and a fine-tune is to train on what the hand-over holds.
            encoded = (
                replace(row, reason=row.reason or "no_prompt") if position in promptless else row for position, row in enumerate(encoded)
            )

        def place(position: int) -> str:
            file, lines = pool.locate(position)
            return f"{Path(file).name}:{lines[0]}"

        def order(position: int) -> tuple[int, int]:
            return int(pool.file_of[position]), int(pool.row_of[position])

        return TrainingData.of(encoded, place, order=order, max_length=self.max_length, context=self.context, loss=self.recipe.loss)

    def _micro_batch_size(self) -> int:
        limit = self.recipe.micro_batch_size or MICRO_BATCH_SIZE[self.runtime[1]]
        batch_size = self.recipe.batch_size
        return max(size for size in range(1, min(limit, batch_size) + 1) if batch_size % size == 0)

    def _train(self, job: _Job) -> Checkpoint:
        """Train on the rows in order; those of one group share a sequence."""
        started = time.monotonic()
        with sft.silent(), quiet(), self.tracking.session(job.key, job.name):
            watch = sft.watch(job.key, self.save_every, self.progress)
            trainer = self._trainer(job, watch)
            state = last_state(job.state, job.key)
            trainer.train(resume_from_checkpoint=str(state) if state else None)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        try:
            sft.check_losses(losses, watch.unfinite, self.source.name)
            sft.check_weights(trainer.model, self.source.name)
        except TrainingDiverged:
            # A state on the way there is nothing to resume from.
            shutil.rmtree(job.state, ignore_errors=True)
            raise
        seconds = time.monotonic() - started
        record = self._record(job, trainer.state.global_step, losses)
        run = {"seconds": seconds, "resumed": state is not None, "tokens_per_second": record["tokens_seen"] / seconds}
        return self._save(job, trainer.model, record, run)

    def _trainer(self, job: _Job, watch: Any) -> Any:
        """TRL's trainer on the base and the rows of a job."""
        recipe, (precision, device) = self.recipe, self.runtime
        model = sft.base_model(self.source, self.chat_template.tokenizer, bits=recipe.bits, device=device)
        if recipe.packing:
            sft.check_packing(model, job.rows, self.source.name, max_length=self.max_length)
        trainer = sft.trainer_class(model)(
            model=model,
            args=sft.config(
                recipe,
                job.state,
                sequences=len(job.order),
                micro_batch_size=self._micro_batch_size(),
                precision=precision,
                device=device,
                seed=job.seed,
                tracking=self.tracking.arguments(job.name),
            ),
            train_dataset=sft.dataset(job.rows, job.order, packed=recipe.packing),
            processing_class=self.chat_template.tokenizer,
            callbacks=[watch],
            peft_config=sft.lora_config(recipe) if recipe.method == "lora" else None,
        )
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                # TRL holds the adapters of a quantized base in bf16, and reads them back from a state as fp32.
                weight.data = weight.data.float()
        # It would write every log to stdout.
        trainer.remove_callback(require("transformers", needed_by="the fine-tune").PrinterCallback)
        return trainer

    def _record(self, job: _Job, steps: int, losses: Sequence[float]) -> dict[str, Any]:
        """What training.json says of a fine-tune, its run aside."""
        seen = [job.rows[position] for group in job.order for position in group]
        tokens = sum(len(row.ids) for row in seen)
        return {
            **head(TRAINING),
            "key": job.key,
            "trainer": dict(self.fingerprint),
            "seed": job.seed,
            "pool": {"fingerprint": job.pool.fingerprint, "examples": len(job.pool)},
            "audit": job.audit.as_dict(),
            "chat_template": "tulu" if self.chat_template.fallback else "the base's own",
            "end_of_turn": {"tokens": list(self.chat_template.end_of_turn), "text": self.chat_template.end_text},
            **self.chat_template.dated,
            "steps": steps,
            "batch_size": self.recipe.batch_size,
            "micro_batch_size": self._micro_batch_size(),
            "rows_seen": len(seen),
            "tokens_seen": tokens,
            "tokens_trained": sum(sum(row.loss_mask[1:]) for row in seen),
            "tokens_per_step": tokens / steps,
            "loss_reduction": REDUCTION,
            "losses": list(losses),
        }

    def _save(self, job: _Job, model: Any, record: Mapping[str, Any], run: Mapping[str, Any]) -> Checkpoint:
        folder = job.folder
        with sft.silent(), quiet():
            if self.recipe.method == "lora":
                # Made anew: an adapter that was half-written before has no place in it.
                shutil.rmtree(folder / "adapter", ignore_errors=True)
                model.save_pretrained(str(folder / "adapter"))
                if self.merge:
                    sft.merged(self.source, folder / "adapter", self.runtime[0]).save_pretrained(str(folder))
            else:
                model.save_pretrained(str(folder))
            self.chat_template.tokenizer.save_pretrained(str(folder))
        with_weights = {"full": [folder], "lora": [folder, folder / "adapter"]}[self.recipe.method]
        write_stop_tokens(with_weights, self.source.folder, self.chat_template)
        whole = self.merge or self.recipe.method == "full"
        digest = weights_digest(folder) if whole else digest_of(folder / "adapter", self.source.digest)
        complete = {**record, "digest": digest, "run": dict(run)}
        with atomic_write(folder / RECORD) as file:
            file.write(dump_json(complete, indent=True) + b"\n")
        shutil.rmtree(job.state, ignore_errors=True)
        return Checkpoint(folder, digest, job.seed, complete, owned=True)


@dataclass(frozen=True, eq=False)
class _Job:
    """One fine-tune: what is trained on, and where it goes."""

    folder: Path
    """Of the checkpoint."""
    key: str
    """What it depends on, as a digest."""
    seed: int
    pool: Pool
    audit: TrainingData
    rows: Sequence[Encoded]
    """Those of the pool that have a loss token."""
    order: Sequence[Sequence[int]]
    """Positions of rows in the order they are seen; those of one group share a sequence."""
    name: str
    """What a tracker calls it."""

    @property
    def state(self) -> Path:
        """The folder of states."""
        return self.folder / STATE


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise MissingExtra(
            f"The fine-tune needs '{name}', which is not installed.", fix="Install it with: pip install 'instructsel[train]'"
        ) from error


__all__ = ["TrlTrainer"]
