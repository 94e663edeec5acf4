"""What a checkpoint answers to instructions: greedy, in batches of fixed shapes, for judges and for files of outputs."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.errors import ModelRefused, ModelUnavailable, PoolError, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.models import runner
from instructsel.models.answers import UNKNOWN_LIMIT, escape_special_tokens, unknown_share
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import quiet, read_json, settings, working
from instructsel.protocols import Checkpoint

MAX_NEW_TOKENS: Final = 512
ROWS: Final = {"cpu": 8, "cuda": 64}
"""Rows of a batch: always so many, whatever has ended and whatever is left, so that a row's bits hang on nothing but the row."""
NOWHERE: Final = "zqx"
"""A text that no chat template writes, to see what one writes after an answer."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What one model answered to a set of instructions."""

    generator: str
    """Whose outputs these are."""
    instructions: tuple[str, ...]
    """Each once."""
    texts: tuple[str | None, ...]
    """One for each instruction, None where there is none. An empty text is an output: the model ended its turn at once."""
    reasons: tuple[str | None, ...] = ()
    """Why an instruction has no output, one for each; empty where all have one."""
    datasets: tuple[str | None, ...] = ()
    """The part of the set each instruction belongs to; empty where that is not known."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the generator wrote down: settings, seconds, how many were cut."""

    def __post_init__(self) -> None:
        n = len(self.instructions)
        if not self.reasons:
            object.__setattr__(self, "reasons", (None,) * n)
        if not len(self.texts) == len(self.reasons) == n or len(self.datasets) not in (0, n):
            raise PoolError(f"{self.generator} has {n} instructions, {len(self.texts)} outputs and {len(self.reasons)} reasons.")
        if any((text is None) == (reason is None) for text, reason in zip(self.texts, self.reasons, strict=True)):
            raise PoolError(f"{self.generator} has an output with a reason, or neither of them.", fix="What is missing has a reason.")
        distinct(self.instructions, self.generator)

    def __len__(self) -> int:
        return len(self.instructions)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Instruction → its place."""
        return {instruction: place for place, instruction in enumerate(self.instructions)}

    @property
    def digest(self) -> str:
        """Of instructions and texts; of their order and of the generator's name no part."""
        return fingerprint(sorted([digest_of(one), None if text is None else digest_of(text)] for one, text in self._pairs()))

    def of(self, instruction: str) -> tuple[str | None, str | None]:
        """The output for an instruction and why there is none; (None, None) where it was never asked."""
        place = self.places.get(instruction)
        return (None, None) if place is None else (self.texts[place], self.reasons[place])

    def _pairs(self) -> list[tuple[str, str | None]]:
        return list(zip(self.instructions, self.texts, strict=True))


def digest_of(text: str) -> str:
    """The blake2b-128 of a text, in hexadecimal: what an item of judged outputs is called."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def distinct(instructions: Sequence[str], whose: str) -> None:
    """Refuse a set in which an instruction stands twice: outputs are joined on it.

    Raises:
        PoolError: naming the first one.
    """
    twice = next((text for text, count in Counter(instructions).items() if count > 1), None)
    if twice is not None:
        raise PoolError(f"{whose} has the instruction {twice[:80]!r} twice.", fix="Keep one of the two.")


@dataclass(frozen=True, eq=False)
class Instructed:
    """What a grader of answers has: the instructions they are to, each once; items are their digests."""

    instructions: tuple[str, ...] = field(repr=False)
    """Each once."""
    name: str = field(default="", kw_only=True)
    """What the grades are called."""

    def __post_init__(self) -> None:
        if not self.instructions:
            raise UsageError(f"{self.name} has no instruction to grade with.", fix="Give a set with at least one.")
        distinct(self.instructions, self.name)

    @cached_property
    def items(self) -> tuple[str, ...]:
        """Digests of the instructions, in order."""
        return tuple(map(digest_of, self.instructions))


@dataclass(frozen=True)
class Generator:
    """Greedy decoding: the likeliest token each time, until the end of the turn.

    An instruction is rendered in the checkpoint's own chat template, as one turn of a user, control tokens spelled out in it
    broken up. The turn ends with any end-of-sequence token that the tokenizer, config.json or generation_config.json names, or
    with the control token the template writes after an answer. Nothing else that generation_config.json asks for (sampling,
    penalties) is done. An output is decoded without control tokens, white space around it is stripped.

    An output that does not end within `max_new_tokens` is kept and counted as cut. Without an output, for a reason: too_long,
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

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; an output has one at least.", fix="Give more, or leave it out.")

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
        }

    def outputs(
        self, checkpoint: Checkpoint, instructions: Sequence[str], *, name: str | None = None, progress: Progress | None = None
    ) -> Outputs:
        """What the checkpoint answers. The model is loaded for it and freed again.

        Args:
            checkpoint: of a trainer, or of `checkpoint_of`.
            instructions: each once.
            name: the generator's; by default the first digits of the checkpoint's digest.
            progress: told how many instructions are done, and of how many.

        Raises:
            MissingExtra: torch or transformers is not installed.
            ModelUnavailable: the checkpoint's folder is gone, or has no tokenizer to render with.
            ModelRefused: no causal language model, weights missing, or a context that `max_new_tokens` fills.
            UntrustedModel: pickled weights, or code of its own.
            PoolError: an instruction stands twice.
        """
        started = time.monotonic()
        distinct(instructions, "The set of instructions")
        if not checkpoint.folder.is_dir():
            raise ModelUnavailable(f"{checkpoint.folder} is no folder, so there is no model to answer.", fix="Train it again.")
        chat_template = ChatTemplate.load(checkpoint.folder)
        try:
            # Without the sanity probe: a checkpoint that is hardly trained answers all the same, and badly.
            model = LikelihoodModel.load(
                str(checkpoint.folder),
                precision=self.precision,
                device=self.device,
                probe=False,
                packing=False,
                max_length=self.max_length,
            )
            room = model.max_length - self.max_new_tokens
            if room < 1:
                raise ModelRefused(
                    f"{model.source.name} has a context of {model.max_length} tokens; {self.max_new_tokens} new ones leave none to a prompt.",
                    fix="Ask for fewer with max_new_tokens.",
                )
            asked, reasons, spelled = _prompts(chat_template, instructions, room)
            decoder = _Decoder(model, chat_template, _stops(chat_template, checkpoint.folder), self.max_new_tokens)
            found = decoder.run(asked, progress)
        finally:
            # Before the next checkpoint is trained on the same GPU.
            runner.free_memory()
        texts: list[str | None] = [None] * len(instructions)
        tokens = 0
        for place, ids in found.items():
            if isinstance(ids, str):
                reasons[place] = ids
            else:
                texts[place] = chat_template.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
                tokens += len(ids)
        return Outputs(
            name or checkpoint.digest[:12],
            tuple(instructions),
            tuple(texts),
            tuple(reasons),
            record={
                "checkpoint": checkpoint.digest,
                "settings": self.fingerprint,
                "template": "tulu" if chat_template.fallback else "own",
                "stops": sorted(decoder.stops),
                "tokens": tokens,
                "cut": decoder.cut,
                "empty": sum(text == "" for text in texts),
                "control": spelled,
                "reduced": decoder.reduced,
                "nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items())),
                "seconds": time.monotonic() - started,
            },
        )


def _prompts(chat_template: ChatTemplate, instructions: Sequence[str], room: int) -> tuple[dict[int, list[int]], list[str | None], int]:
    """The prompt's tokens by place, why an instruction has none, and in how many a control token was spelled out."""
    jinja2 = require("jinja2", needed_by="the chat template")
    tokenizer = chat_template.tokenizer
    control = sorted(
        {*tokenizer.all_special_tokens, *(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)}
    )
    asked: dict[int, list[int]] = {}
    reasons: list[str | None] = [None] * len(instructions)
    spelled = 0
    for place, instruction in enumerate(instructions):
        plain = escape_special_tokens(instruction, control)
        spelled += plain != instruction
        try:
            text = chat_template.prompt([{"role": "user", "content": plain}])
        except (jinja2.TemplateError, TypeError, ValueError):
            reasons[place] = "template_refused"
            continue
        ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        said = tokenizer(plain, add_special_tokens=False, verbose=False)["input_ids"]
        if unknown_share(np.array(said, dtype=np.int64), tokenizer.unk_token_id) > UNKNOWN_LIMIT:
            reasons[place] = "unsupported_language"
        elif len(ids) > room:
            reasons[place] = "too_long"
        else:
            asked[place] = ids
    return asked, reasons, spelled


def _stops(chat_template: ChatTemplate, folder: Path) -> frozenset[int]:
    """The tokens that end a turn."""
    jinja2 = require("jinja2", needed_by="the chat template")
    tokenizer = chat_template.tokenizer
    found = {int(tokenizer.eos_token_id)}
    for name in ("config.json", "generation_config.json"):
        named = read_json(folder / name).get("eos_token_id")
        found.update(number for number in (named if isinstance(named, list) else [named]) if isinstance(number, int))
    try:
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": NOWHERE}]
        after = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(NOWHERE)[2].strip()
    except (jinja2.TemplateError, TypeError, ValueError):
        after = ""
    first = tokenizer(after, add_special_tokens=False, verbose=False)["input_ids"][:1]
    # A marker of ordinary text is no token to stop at: its first token may begin any word.
    special = {*tokenizer.all_special_ids, *(number for number, token in tokenizer.added_tokens_decoder.items() if token.special)}
    return frozenset({*found, *(number for number in first if number in special)})


class _Decoder:
    """A model and how its outputs end; counts what was cut and what the memory did not hold."""

    def __init__(self, model: LikelihoodModel, chat_template: ChatTemplate, stops: frozenset[int], new: int) -> None:
        self.model = model.workers[0].model
        self.place = model.workers[0].device
        self.device = model.device
        self.pad = int(chat_template.tokenizer.pad_token_id)
        self.stops = stops
        self.new = new
        self.cut = 0
        self.reduced = 0
        # What the folder's generation_config.json asks for is no greedy decoding, and would be filled in where ours is silent.
        self.model.generation_config = require("transformers", needed_by="the outputs").GenerationConfig()

    def run(self, asked: Mapping[int, list[int]], progress: Progress | None) -> dict[int, list[int] | str]:
        """Token ids up to the end of the turn, or why there are none, by place."""
        torch = require("torch", needed_by="the outputs")
        layout = runner.Padded()
        buckets: dict[int, list[int]] = {}
        for place in sorted(asked, key=lambda place: (-len(asked[place]), place)):
            buckets.setdefault(layout.width(len(asked[place])), []).append(place)
        found: dict[int, list[int] | str] = {}
        # One thread a batch: what a product rounds to does not hang on how many threads share it.
        at_a_time = int(torch.get_num_threads()) if self.device == "cpu" else 1
        with quiet(), working(self.device) as begin:
            threads = ThreadPoolExecutor(at_a_time, initializer=begin)
            try:
                # Widest first: the largest batch comes first, so running out of memory shows in the first seconds.
                for width, places in sorted(buckets.items(), reverse=True):
                    self._bucket(width, places, asked, found, threads, progress)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        return found

    def _bucket(
        self,
        width: int,
        places: list[int],
        asked: Mapping[int, list[int]],
        found: dict[int, list[int] | str],
        threads: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        """All batches of a width. Out of memory, all of them anew with half the rows, so that no output depends on where it ran out."""
        rows = ROWS["cpu" if self.device == "cpu" else "cuda"]
        planned = rows
        while True:
            batches = [places[start : start + rows] for start in range(0, len(places), rows)]
            waiting = [threads.submit(self._tried, width, rows, [asked[place] for place in batch]) for batch in batches]
            done: dict[int, list[int] | str] = {}
            full = False
            for batch, future in zip(batches, waiting, strict=True):
                ended = future.result()
                full |= ended is None
                if ended is None and rows == 1:
                    ended = ["out_of_memory"]
                done.update(zip(batch, ended or [], strict=False))
                if progress is not None:
                    progress(len(found) + len(done), len(asked))
            if not full or rows == 1:
                break
            rows //= 2
            runner.free_memory()
        self.reduced += len(places) if rows < planned else 0
        self.cut += sum(not isinstance(ids, str) and len(ids) == self.new and ids[-1] not in self.stops for ids in done.values())
        found.update((place, ids if isinstance(ids, str) else _ended(ids, self.stops)) for place, ids in done.items())

    def _tried(self, width: int, rows: int, prompts: list[list[int]]) -> list[list[int] | str] | None:
        """A batch; None where the memory does not hold it."""
        try:
            return self._generate(width, rows, prompts)
        except Exception as error:
            if not runner.out_of_memory(error):
                raise
            return None

    def _generate(self, width: int, rows: int, prompts: list[list[int]]) -> list[list[int] | str]:
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
        watch = _Watch(rows, width, self.new)
        config = transformers.GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.new,
            eos_token_id=sorted(self.stops),
            pad_token_id=self.pad,
            use_cache=True,
        )
        with torch.inference_mode():
            whole = self.model.generate(
                input_ids=torch.from_numpy(ids).to(self.place),
                attention_mask=torch.from_numpy(present).to(self.place),
                generation_config=config,
                logits_processor=transformers.LogitsProcessorList([watch]),
            )
        made: list[list[int] | str] = []
        for row, tokens in enumerate(whole[: len(prompts), width:].cpu().tolist()):
            length = next((at + 1 for at, token in enumerate(tokens) if token in self.stops), len(tokens))
            made.append("not_finite" if watch.broken[row] < length else tokens[:length])
        return made


class _Watch:
    """Notes for each row the first step whose logits are no numbers: the likeliest of those would be any token."""

    def __init__(self, rows: int, width: int, new: int) -> None:
        self.broken = np.full(rows, new, dtype=np.int64)
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        bad = (scores.isnan().any(-1) | scores.isinf().all(-1) | (scores == float("inf")).any(-1)).cpu().numpy()
        self.broken[bad] = np.minimum(self.broken[bad], input_ids.shape[1] - self.width)
        return scores


def _ended(ids: list[int], stops: frozenset[int]) -> list[int]:
    return ids[:-1] if ids and ids[-1] in stops else ids


__all__ = ["MAX_NEW_TOKENS", "Generator", "Instructed", "Outputs", "digest_of", "distinct"]
