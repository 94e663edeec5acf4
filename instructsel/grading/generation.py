"""What a checkpoint responds to instructions: greedy, in batches of fixed shapes, for judges and for files of outputs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.errors import ModelRefused, ModelUnavailable, TemplateRefused, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.outputs import Outputs, distinct
from instructsel.models import runner
from instructsel.models.answers import UNKNOWN_LIMIT, escape_special_tokens, unknown_share
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import quiet, read_json, settings, working
from instructsel.protocols import Checkpoint
from instructsel.rendering import TEMPLATE_DATE, checked_date

MAX_NEW_TOKENS: Final = 512
ROWS: Final = {"cpu": 8, "cuda": 64}
"""Rows of a batch: constant, whatever has ended and whatever remains, so that a row's bits depend on nothing but the row."""

Progress = Callable[[int, int], None]
"""Instructions done, instructions in all."""
Tokens = list[int]
"""The new tokens of a response."""


@dataclass(frozen=True)
class Generator:
    """Greedy decoding: the likeliest token each time, until the end of the turn.

    An instruction is written in the checkpoint's own chat template, as one turn of a user; special tokens spelled out in it are
    escaped. The turn ends with any end-of-sequence token that the tokenizer, config.json or generation_config.json names, or
    with what the template writes after a response: a special token, or a text where there is none. Nothing else that
    generation_config.json asks for (sampling, penalties) is done. An output is decoded without special tokens, white space around
    it is stripped.

    An output that does not end within `max_new_tokens` stays and is counted as cut. Without an output, for a reason: too_long,
    the prompt does not fit into the context together with `max_new_tokens`; template_refused; unsupported_language, more than 30 %
    of the instruction is unknown to the tokenizer; not_finite; out_of_memory.

    >>> Generator(max_new_tokens=256).outputs(checkpoint_of("my-org/my-model"), ["How do I boil an egg?"])  # doctest: +SKIP
    """

    max_new_tokens: int = MAX_NEW_TOKENS
    """Tokens of an output at most."""
    max_length: int | None = None
    """Tokens of prompt and output together at most; by default 4,096, and never more than the model's context."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    precision: str = "auto"
    """fp32, bf16, or auto."""
    template_date: str = TEMPLATE_DATE
    """What chat templates that write the date are told that today is, as YYYY-MM-DD."""

    def __post_init__(self) -> None:
        checked_date(self.template_date)
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; an output has at least 1.", fix="Set it to 1 or more.")

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What an output depends on besides the checkpoint and the instruction; no path.

        Raises:
            MissingExtra: torch is not installed.
            ModelUnavailable: cuda was asked for and there is none.
        """
        precision, device = settings(self.precision, self.device)
        return {
            "kind": "greedy",
            "max_new_tokens": self.max_new_tokens,
            "max_length": self.max_length,
            "rows": ROWS["cpu" if device == "cpu" else "cuda"],
            "precision": precision,
            "device": device,
            # Left out where it is what it was before it could be set.
            **({} if self.template_date == TEMPLATE_DATE else {"template_date": self.template_date}),
        }

    def outputs(
        self, checkpoint: Checkpoint, instructions: Sequence[str], *, name: str | None = None, progress: Progress | None = None
    ) -> Outputs:
        """What the checkpoint responds. The model is loaded for it and freed again.

        Args:
            checkpoint: of a trainer, or of `checkpoint_of`.
            instructions: distinct texts.
            name: the generator's; by default the first digits of the checkpoint's digest.
            progress: called with the number of instructions done, and of all.

        Raises:
            MissingExtra: torch or transformers is not installed.
            ModelUnavailable: the checkpoint's folder is gone, or has no tokenizer to write prompts with.
            ModelRefused: no causal language model, weights missing, or a context that `max_new_tokens` fills.
            UntrustedModel: pickled weights, or code of its own.
            PoolError: an instruction stands twice.
        """
        started = time.monotonic()
        distinct(instructions, "The set of instructions")
        if not checkpoint.folder.is_dir():
            raise ModelUnavailable(f"{checkpoint.folder} is no folder, so there is no model to respond.", fix="Train it again.")
        chat_template = ChatTemplate.load(checkpoint.folder, date=self.template_date)
        try:
            model = self._model(checkpoint)
            prompts = _prompts(chat_template, instructions, model.max_length - self.max_new_tokens)
            decoder = _Decoder(model, chat_template, stop_tokens(chat_template, checkpoint.folder), self.max_new_tokens)
            responses = decoder.run(prompts.ids, progress)
        finally:
            # Before the next checkpoint is trained on the same GPU.
            runner.free_memory()
        texts: list[str | None] = [None] * len(instructions)
        reasons, tokens = prompts.reasons, 0
        for position, response in responses.items():
            if isinstance(response, str):
                reasons[position] = response
            else:
                text = chat_template.decoded(response, skip_special_tokens=True)
                texts[position] = (text.partition(decoder.stop_text)[0] if decoder.stop_text else text).strip()
                tokens += len(response)
        record = {
            "checkpoint": checkpoint.digest,
            "settings": self.fingerprint,
            "template": "tulu" if chat_template.fallback else "own",
            "stops": sorted(decoder.stops),
            "stop_text": decoder.stop_text or None,
            **chat_template.dated,
            "tokens": tokens,
            "cut": decoder.cut,
            "empty": sum(text == "" for text in texts),
            "control": prompts.escaped,
            "reduced": decoder.reduced,
            "nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items())),
            "seconds": time.monotonic() - started,
        }
        return Outputs(name or checkpoint.digest[:12], tuple(instructions), tuple(texts), tuple(reasons), record=record)

    def _model(self, checkpoint: Checkpoint) -> LikelihoodModel:
        # Without the sanity probe: a checkpoint that is hardly trained responds too, badly.
        model = LikelihoodModel.load(
            str(checkpoint.folder),
            precision=self.precision,
            device=self.device,
            probe=False,
            packing=False,
            max_length=self.max_length,
        )
        if model.max_length <= self.max_new_tokens:
            raise ModelRefused(
                f"{model.source.name} has a context of {model.max_length} tokens; {self.max_new_tokens} new ones leave none to a prompt.",
                fix="Set a smaller max_new_tokens.",
            )
        return model


@dataclass(frozen=True, eq=False)
class _Prompts:
    """Instructions as tokens."""

    ids: Mapping[int, list[int]] = field(repr=False)
    """Position → tokens of the prompt."""
    reasons: list[str | None]
    """Why an instruction has no prompt, None where it has one."""
    escaped: int
    """Instructions in which a special token was spelled out."""


def _prompts(chat_template: ChatTemplate, instructions: Sequence[str], room: int) -> _Prompts:
    """The prompts of at most `room` tokens."""
    tokenizer = chat_template.tokenizer
    special = sorted(
        {*tokenizer.all_special_tokens, *(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)}
    )
    ids: dict[int, list[int]] = {}
    reasons: list[str | None] = [None] * len(instructions)
    escaped = 0
    for position, instruction in enumerate(instructions):
        content = escape_special_tokens(instruction, special)
        escaped += content != instruction
        try:
            text = chat_template.prompt([{"role": "user", "content": content}])
        except TemplateRefused:
            reasons[position] = "template_refused"
            continue
        prompt, _ = chat_template.tokens(text)
        content_ids, _ = chat_template.tokens(content)
        if unknown_share(np.array(content_ids, dtype=np.int64), tokenizer.unk_token_id) > UNKNOWN_LIMIT:
            reasons[position] = "unsupported_language"
        elif len(prompt) > room:
            reasons[position] = "too_long"
        else:
            ids[position] = prompt
    return _Prompts(ids, reasons, escaped)


def stop_tokens(chat_template: ChatTemplate, folder: Path) -> frozenset[int]:
    """The tokens that end a turn: of the tokenizer, of config.json and generation_config.json, and of the chat template."""
    stops = {int(chat_template.tokenizer.eos_token_id), *chat_template.end_of_turn}
    for name in ("config.json", "generation_config.json"):
        named = read_json(folder / name).get("eos_token_id")
        stops.update(number for number in (named if isinstance(named, list) else [named]) if isinstance(number, int))
    return frozenset(stops)


class _Decoder:
    """A model and how its outputs end; counts what was cut and what the memory did not hold."""

    def __init__(self, model: LikelihoodModel, chat_template: ChatTemplate, stops: frozenset[int], max_new_tokens: int) -> None:
        self.model = model.workers[0].model
        self.torch_device = model.workers[0].device
        self.device = model.device
        self.pad = int(chat_template.tokenizer.pad_token_id)
        self.stops = stops
        self.stop_text = "" if chat_template.end_of_turn else chat_template.end_text
        """What ends a turn where no token does; empty where one does."""
        self.recent = 2 * len(self.stop_text.encode()) + 1
        """Tokens at the end of which it must be seen: it has no more than one a byte."""
        self.chat_template = chat_template
        self.max_new_tokens = max_new_tokens
        self.cut = 0
        self.reduced = 0
        # What the folder's generation_config.json asks for is no greedy decoding, and would be filled in where ours is silent.
        self.model.generation_config = require("transformers", needed_by="the outputs").GenerationConfig()

    def run(self, prompts: Mapping[int, list[int]], progress: Progress | None) -> dict[int, Tokens | str]:
        """Token ids up to the end of the turn, or why there are none, by position."""
        torch = require("torch", needed_by="the outputs")
        layout = runner.Padded()
        buckets: dict[int, list[int]] = {}
        for position in sorted(prompts, key=lambda position: (-len(prompts[position]), position)):
            buckets.setdefault(layout.width(len(prompts[position])), []).append(position)
        responses: dict[int, Tokens | str] = {}

        def report(count: int) -> None:
            if progress is not None:
                progress(len(responses) + count, len(prompts))

        # One thread a batch: what a product rounds to does not depend on how many threads share it.
        n_threads = int(torch.get_num_threads()) if self.device == "cpu" else 1
        with quiet(), working(self.device) as begin:
            threads = ThreadPoolExecutor(n_threads, initializer=begin)
            try:
                # Widest first: the largest batch comes first, so running out of memory shows in the first seconds.
                for width, positions in sorted(buckets.items(), reverse=True):
                    responses |= self._bucket(width, {position: prompts[position] for position in positions}, threads, report)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        return responses

    def _bucket(
        self, width: int, prompts: Mapping[int, list[int]], threads: ThreadPoolExecutor, report: Callable[[int], None]
    ) -> dict[int, Tokens | str]:
        """All batches of a width. Out of memory, all of them again with half the rows, so that no output depends on where it ran out."""
        positions = list(prompts)
        planned = rows = ROWS["cpu" if self.device == "cpu" else "cuda"]
        while True:
            batches = [positions[start : start + rows] for start in range(0, len(positions), rows)]
            futures = [threads.submit(self._tried, width, rows, [prompts[position] for position in batch]) for batch in batches]
            done: dict[int, Tokens | str] = {}
            full = False
            for batch, future in zip(batches, futures, strict=True):
                generated = future.result()
                full |= generated is None
                if generated is None and rows == 1:
                    generated = ["out_of_memory"]
                done.update(zip(batch, generated or [], strict=False))
                report(len(done))
            if not full or rows == 1:
                break
            rows //= 2
            runner.free_memory()
        self.reduced += len(positions) if rows < planned else 0
        self.cut += sum(not isinstance(ids, str) and len(ids) == self.max_new_tokens and not self.ended(ids) for ids in done.values())
        return {position: ids if isinstance(ids, str) else _ended(ids, self.stops) for position, ids in done.items()}

    def ended(self, ids: Tokens) -> bool:
        """Whether new tokens end with what ends a turn."""
        if ids and ids[-1] in self.stops:
            return True
        return bool(self.stop_text) and self.stop_text in self.chat_template.decoded(ids[-self.recent :])

    def _tried(self, width: int, rows: int, prompts: list[list[int]]) -> list[Tokens | str] | None:
        """A batch; None where the memory does not hold it."""
        try:
            return self._generate(width, rows, prompts)
        except Exception as error:
            if not runner.out_of_memory(error):
                raise
            return None

    def _generate(self, width: int, rows: int, prompts: list[list[int]]) -> list[Tokens | str]:
        """The new tokens of each prompt, the one that ended it included: rows × width, padding on the left."""
        torch = require("torch", needed_by="the outputs")
        transformers = require("transformers", needed_by="the outputs")
        ids = np.full((rows, width), self.pad, dtype=np.int64)
        present = np.zeros((rows, width), dtype=np.int64)
        for row in range(rows):
            # A row too many is a copy of the first, so that it ends with it.
            prompt = prompts[row] if row < len(prompts) else prompts[0]
            ids[row, width - len(prompt) :] = prompt
            present[row, width - len(prompt) :] = 1
        watch = _Watch(rows, width, self.max_new_tokens)
        config = transformers.GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=sorted(self.stops),
            pad_token_id=self.pad,
            use_cache=True,
        )
        with torch.inference_mode():
            sequences = self.model.generate(
                input_ids=torch.from_numpy(ids).to(self.torch_device),
                attention_mask=torch.from_numpy(present).to(self.torch_device),
                generation_config=config,
                logits_processor=transformers.LogitsProcessorList([watch]),
                stopping_criteria=transformers.StoppingCriteriaList([_Ended(self, width)] if self.stop_text else []),
            )
        generated: list[Tokens | str] = []
        for row, tokens in enumerate(sequences[: len(prompts), width:].cpu().tolist()):
            length = next((step for step in range(1, len(tokens)) if self.ended(tokens[max(0, step - self.recent) : step])), len(tokens))
            generated.append("not_finite" if watch.broken[row] < length else tokens[:length])
        return generated


class _Watch:
    """Records for each row the first step whose logits are no numbers: the likeliest of those would be any token."""

    def __init__(self, rows: int, width: int, max_new_tokens: int) -> None:
        self.broken = np.full(rows, max_new_tokens, dtype=np.int64)
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        bad = (scores.isnan().any(-1) | scores.isinf().all(-1) | (scores == float("inf")).any(-1)).cpu().numpy()
        self.broken[bad] = np.minimum(self.broken[bad], input_ids.shape[1] - self.width)
        return scores


class _Ended:
    """Tells generation which rows have ended in the text that ends a turn."""

    def __init__(self, decoder: _Decoder, width: int) -> None:
        self.decoder = decoder
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        torch = require("torch", needed_by="the outputs")
        ended = [self.decoder.ended(ids) for ids in input_ids[:, self.width :].cpu().tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)


def _ended(ids: Tokens, stops: frozenset[int]) -> Tokens:
    return ids[:-1] if ids and ids[-1] in stops else ids


__all__ = ["MAX_NEW_TOKENS", "Generator", "stop_tokens"]
