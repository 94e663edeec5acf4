"""Held-out loss: how likely a checkpoint finds the responses of examples it was not trained on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.errors import ModelRefused, ModelUnavailable, UsageError
from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.grading.clusters import clusters_of
from instructsel.grading.tokenization import KEY, tokenization_of
from instructsel.models import likelihood, runner
from instructsel.models.answers import Answers
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import settings
from instructsel.pool.row_sources import row_sources
from instructsel.protocols import Checkpoint, Grades
from instructsel.rendering import TEMPLATE_DATE, checked_date
from instructsel.stats.loss_units import AUTO, NATS_PER_TOKEN, UNIT_CHOICES, LossTotals, n_bytes

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

KIND: Final = "held_out_loss"
PRECISIONS: Final = ("auto", "fp32", "bf16")
DEVICES: Final = ("auto", "cpu", "cuda")
NO_TOKENS: Final = "no_tokens"
EMPTY: Final = ("no_response", "no_loss_token")
"""What a chat_template says of a response without tokens."""


class SharedCheckpoint:
    """What several graders load of one checkpoint that they grade one after the other: its model and chat template, once.

    It is let go when all of them have graded it, when one fails, and when another checkpoint comes.
    """

    def __init__(self, users: int) -> None:
        self.users: int = users
        """Graders that grade every checkpoint."""
        self._left = users
        self._checkpoint: tuple[str, str] | None = None
        self._loaded: dict[str, Any] = {}

    def of(self, checkpoint: Checkpoint, name: str, load: Callable[[], Any]) -> Any:
        """What `load` gives, or gave for this checkpoint."""
        key = (str(checkpoint.folder), checkpoint.digest)
        if key != self._checkpoint:
            self.release()
            self._checkpoint = key
        if name not in self._loaded:
            self._loaded[name] = load()
        return self._loaded[name]

    def leave(self, *, failed: bool) -> None:
        """A grader is through."""
        self._left -= 1
        if failed or not self._left:
            self.release()

    def release(self) -> None:
        """Let go of the checkpoint."""
        self._checkpoint, self._left = None, self.users
        self._loaded.clear()


@dataclass(frozen=True, eq=False)
class HeldOutLoss:
    """A grader: the negative log-likelihood of each response of an evaluation set, given all before it, per token or per byte.

    An example is written in the checkpoint's own chat template, as the trainer writes it, up to its last response; the loss is
    the sum over that response's tokens and, by default, the tokens with which the template ends its turn. An example's value is
    the same alone and among others. Per token it is the mean over those tokens, and its weight is their number; per byte it is
    the sum in bits over the UTF-8 bytes of the response as its row holds it, and its weight is these bytes, the same for every
    tokenizer and template. `Grades.weighted_mean` is the loss per token or byte of the whole set, sum over sum, and `Grades.mean`
    counts every example once. Whatever the unit, `Grades.totals` has what both are made of.

    Losses per token of two tokenizers or two chat templates are no comparison. A verification takes them in bits per byte then,
    unless the unit is said to be nats per token, which it refuses.

    Longer than `max_length`, the prompt loses its beginning and the example is counted as truncated; a response that would leave
    nothing of its prompt has no value (too_long). TRL cuts a row at its end instead, so that the two agree where nothing is cut.
    Other reasons: no_tokens, the response has none (the end of its turn alone is no response); not_finite; out_of_memory;
    unsupported_language, more than 30 % of it is unknown to the tokenizer; template_refused and not_a_prefix, see `Encoded`; in
    bits per byte response_cut, a response behind nothing but the start token lost its end.

    Source: Cao et al. 2023, arXiv:2307.06290, whose rule predicts the loss on an evaluation set. Which tokens were counted there,
    and whether by token or by example, we do not know; both means are here.

    >>> HeldOutLoss(Pool.read("heldout.jsonl")).grade(checkpoint_of("my-org/my-model")).weighted_mean  # doctest: +SKIP
    """

    pool: Pool = field(repr=False)
    """The evaluation set; nothing of it may be trained on, which studies, size searches and verifications check."""
    name: str = field(default=KIND, kw_only=True)
    """What the grades are called; evaluation sets compared side by side need different names."""
    max_length: int | None = field(default=None, kw_only=True)
    """Tokens of prompt and response together at most; by default 4,096, and never more than the model's context."""
    end_of_turn: bool = field(default=True, kw_only=True)
    """Whether the mean counts the tokens with which the template ends the response's turn, most often one end-of-sequence token.
    TRL trains on them and counts them in its own evaluation loss. Without them a model is not graded for knowing when to stop."""
    device: str = field(default="auto", kw_only=True)
    """cpu, cuda, or auto."""
    precision: str = field(default="auto", kw_only=True)
    """fp32, bf16, or auto."""
    unit: str = field(default=AUTO, kw_only=True)
    """nats per token, bits per byte, or auto: nats per token, which a verification changes to bits per byte where the tokenizers or
    chat templates of the models differ."""
    sources: tuple[str, ...] = field(default=(), kw_only=True, repr=False)
    """The source or skill of each example, in the pool's order; by default a field of its row, or the file where there are several."""
    skill: str | None = field(default=None, kw_only=True)
    """What the set as a whole is said to measure; the loss is then a column of the table by skill."""
    template_date: str = field(default=TEMPLATE_DATE, kw_only=True)
    """What chat templates that write the date are told that today is, as YYYY-MM-DD."""
    shared: SharedCheckpoint | None = field(default=None, kw_only=True, repr=False)
    """Shared with graders of like settings that grade the same checkpoints, so that each is loaded once; None loads it here."""

    def __post_init__(self) -> None:
        if not len(self.pool):
            raise UsageError(f"{self.name} has no example to grade with.", fix="Give an evaluation set with at least one.")
        if self.max_length is not None and self.max_length < 2:
            raise UsageError(
                f"max_length is {self.max_length}; a token of a prompt and one of a response are 2.", fix="Give more, or leave it out."
            )
        checked_date(self.template_date)
        if self.precision not in PRECISIONS:
            raise UsageError.named(self.precision, PRECISIONS, noun="precision")
        if self.device not in DEVICES:
            raise UsageError.named(self.device, DEVICES, noun="device")
        if self.unit not in UNIT_CHOICES:
            raise UsageError.named(self.unit, UNIT_CHOICES, noun="unit of a loss")
        if len(self.sources) not in (0, len(self.pool)):
            raise UsageError(
                f"{self.name} has {len(self.pool)} examples and {len(self.sources)} sources.", fix="Name one for each, or none."
            )

    @cached_property
    def items(self) -> tuple[str, ...]:
        """The ids of the examples: digests of their conversations, in the pool's order."""
        return tuple(self.pool.ids)

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """The cluster of each example: the conversation before its last response; empty where all examples differ in it."""
        prompts = (
            [(message.role, message.text) for message in example.messages[: example.last_answer]] for example in self.pool.examples()
        )
        return clusters_of("\n".join(f"{role}: {content}" for role, content in prompt) for prompt in prompts)

    @cached_property
    def item_sources(self) -> tuple[str, ...]:
        """The source or skill of each example; empty where there are not two of them."""
        sources = self.sources or row_sources(self.pool)
        return sources if len(set(sources)) > 1 else ()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What grades depend on besides the checkpoint; no path.

        Raises:
            MissingExtra: torch is not installed.
            ModelUnavailable: cuda was asked for and there is none.
        """
        precision, device = settings(self.precision, self.device)
        return {
            "kind": KIND,
            "items": fingerprint(list(self.items)),
            "n": len(self.items),
            "max_length": self.max_length or likelihood.MAX_LENGTH,
            "end_of_turn": self.end_of_turn,
            "precision": precision,
            "device": device,
            # Only where it is said: the unit can be changed without grading anew.
            **({} if self.unit == AUTO else {"unit": self.unit}),
            # Left out where it is what it was before it could be set.
            **({} if self.template_date == TEMPLATE_DATE else {"template_date": self.template_date}),
        }

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """The loss of each example. The model is loaded for it and freed again.

        Args:
            checkpoint: of a trainer, or of `checkpoint_of`.

        Raises:
            MissingExtra: torch or transformers is not installed.
            ModelUnavailable: the checkpoint's folder is gone, or has no tokenizer to write it with.
            ModelRefused: no causal language model, weights missing, a tokenizer of another model, or a chat template that writes on
                after the response.
            UntrustedModel: pickled weights, or code of its own.
            PoolError: a file of the evaluation set has changed since it was read.
        """
        try:
            grades = self._grade(checkpoint)
        except BaseException:
            self._leave(failed=True)
            raise
        self._leave(failed=False)
        return grades

    def _leave(self, *, failed: bool) -> None:
        """Let go of the model."""
        if self.shared is not None:
            self.shared.leave(failed=failed)
        # Before the next checkpoint is trained on the same GPU.
        runner.free_memory()

    def _load(self, checkpoint: Checkpoint, name: str, load: Callable[[], Any]) -> Any:
        return load() if self.shared is None else self.shared.of(checkpoint, name, load)

    def _grade(self, checkpoint: Checkpoint) -> Grades:
        started = time.monotonic()
        if not checkpoint.folder.is_dir():
            raise ModelUnavailable(f"{checkpoint.folder} is no folder, so {self.name} has no model to grade.", fix="Train it again.")
        chat_template: ChatTemplate = self._load(
            checkpoint, f"template {self.template_date}", lambda: ChatTemplate.load(checkpoint.folder, date=self.template_date)
        )
        rows: list[_Row] = []
        control = 0
        sizes = n_bytes([example.messages[example.last_answer].text_with_reasoning for example in self.pool.examples()])
        for encoded, item in zip(chat_template.encode_all(self.pool.examples()), self.items, strict=True):
            rows.append(self._row(encoded, item))
            control += encoded.control
        reasons = [row.reason for row in rows]
        scored = [position for position, reason in enumerate(reasons) if reason is None]
        losses, limit, record = self._losses(checkpoint, [rows[position] for position in scored])
        values, tokens, truncated = np.zeros(len(rows)), np.zeros(len(rows)), 0
        for number, position in enumerate(scored):
            reasons[position] = losses.reasons[number]
            if reasons[position] is None:
                values[position] = losses.values[number]
                # A response behind nothing but the start token may have lost its end.
                whole = len(rows[position].ids) - rows[position].begin
                tokens[position] = min(whole, limit - 1)
                sizes[position] *= tokens[position] == whole
                truncated += bool(losses.truncated[number])
        grades = Grades(
            self.name,
            self.items,
            values,
            tokens,
            tuple(reasons) if any(reasons) else (),
            unit=NATS_PER_TOKEN,
            truncated=truncated,
            record={
                **record,
                "seconds": time.monotonic() - started,
                "tokens": int(tokens.sum()),
                "bytes": int(sizes[[reason is None for reason in reasons]].sum()),
                "truncated": truncated,
                "nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items())),
                "control": control,
                "template": "tulu" if chat_template.fallback else "own",
                **chat_template.dated,
                "end_of_turn": self.end_of_turn,
                KEY: tokenization_of(chat_template.tokenizer, end_of_turn=self.end_of_turn),
                "loss_unit": self.unit,
                "skill": self.skill,
            },
            clusters=self.clusters,
            sources=self.item_sources,
            totals=LossTotals(values * tokens, tokens, sizes),
        )
        return grades if self.unit == AUTO else grades.in_unit(self.unit)

    def _row(self, encoded: Encoded, item: str) -> _Row:
        """The tokens of an example and where its response begins, or why it has no loss."""
        if encoded.reason is not None:
            return _Row(reason=NO_TOKENS if encoded.reason in EMPTY else encoded.reason)
        if sum(encoded.loss_mask) <= encoded.end:
            return _Row(reason=NO_TOKENS)
        begin = encoded.loss_mask.index(True)
        if not all(encoded.loss_mask[begin:]):
            raise ModelRefused(
                f"The chat template writes on after the response of example {item}, or within it.",
                fix="Give the checkpoint a template whose last response ends the conversation.",
            )
        ids = encoded.ids if self.end_of_turn else encoded.ids[: len(encoded.ids) - encoded.end]
        # Nothing says how likely a first token is; a trainer's loss leaves it out as well.
        begin = max(begin, 1)
        return _Row(ids, begin) if begin < len(ids) else _Row(reason=NO_TOKENS)

    def _losses(self, checkpoint: Checkpoint, rows: list[_Row]) -> tuple[Answers, int, dict[str, Any]]:
        # Without the sanity probe: a checkpoint that is hardly trained is graded too, and badly.
        model: LikelihoodModel = self._load(
            checkpoint,
            f"model {self.precision} {self.device} {self.max_length}",
            lambda: LikelihoodModel.load(
                str(checkpoint.folder), precision=self.precision, device=self.device, probe=False, max_length=self.max_length
            ),
        )
        record = {
            "batches": "padded" if model.padded_because else "packed",
            "padded_because": model.padded_because,
            "precision": model.precision,
            "device": model.device,
            "max_length": model.max_length,
        }
        return model.losses([row.ids for row in rows], [row.begin for row in rows]), model.max_length, record


@dataclass(frozen=True)
class _Row:
    """An example as the likelihood model takes it."""

    ids: list[int] = field(default_factory=list)
    """Tokens of prompt and response."""
    begin: int = 0
    """Where the response begins among them."""
    reason: str | None = None
    """Why it has no loss."""


__all__ = ["DEVICES", "KIND", "PRECISIONS", "HeldOutLoss", "SharedCheckpoint"]
