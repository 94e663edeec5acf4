"""Completions of AlpacaEval's annotators, stored as they come, and the functions around a decoder that store them."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.alpaca_eval.annotator_folder import LOADS_MODELS
from instructsel.adapters.alpaca_eval.bounded_client import bounded_client
from instructsel.artifact import fingerprint
from instructsel.grading.judge import TIE
from instructsel.grading.judge.replies import RecordLog
from instructsel.grading.outputs import digest_of
from instructsel.time_limit import within

GIVE_UP: Final = 10
"""Calls of a decoder that raise one after another before no further one is made."""

Completions = Callable[..., Mapping[str, Any]]
"""alpaca_eval's form: (prompts, **completions_kwargs) → {"completions": […], and more lists of that length}."""
Parser = Callable[[Any], Sequence[float | None]]
"""A completion → the preferences it states, 1 for the first output it was shown, 2 for the second."""


class Missing:
    """Stands where a completion should: there was no reply."""


NO_COMPLETION: Final = {"completions": Missing, "completions_all": Missing}


class CompletionStore:
    """Completions on disk as they come, a line each: what is paid for is never asked again, whatever stops the run."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, at_a_time: int, workers: int, timeout: float | None = None) -> None:
        """Read what the folder has of this judge.

        Args:
            folder: where completions are stored.
            identity: the judge's fingerprint.
            at_a_time: prompts of one call to the decoder.
            workers: calls at a time.
            timeout: seconds for one prompt, all of it; None has no limit.

        Raises:
            EnvironmentFault: the folder cannot be used.
        """
        self.n_asked: int = 0
        self.n_known = 0
        self.errors: Counter[str] = Counter()
        self.failed: set[str] = set()
        """Prompts without a completion."""
        self.digests: dict[str, str] = {}
        """Prompt → digest of its completion."""
        self._at_a_time = at_a_time
        self._workers = workers
        self._timeout = timeout
        self._errors_in_a_row = 0
        self._lock = threading.Lock()
        # One file for each judge: judgments of two never meet.
        self._log = RecordLog(Path(folder) / f"alpaca_eval-{fingerprint(dict(identity))}.jsonl")
        self.damaged: int = self._log.damaged
        self._completions: dict[str, dict[str, Any]] = {}
        for record in self._log.records:
            if "prompt" in record and "completion" in record:
                self._completions.setdefault(record["prompt"], record["completion"])
            else:
                self.damaged += 1

    def storing(self, annotator: str, decoder: Completions) -> Completions:
        """The decoder of an annotator, asked only for what is not known, some prompts at a time."""

        def complete(prompts: Sequence[str], **kwargs: Any) -> Mapping[str, Any]:
            keys = [digest_of(f"{annotator}\0{prompt}") for prompt in prompts]
            pending = [position for position, key in enumerate(keys) if key not in self._completions]
            self.n_known += len(prompts) - len(pending)
            self._decode(decoder, {keys[position]: prompts[position] for position in pending}, kwargs)
            return self._columns(prompts, keys)

        return complete

    def _decode(self, decoder: Completions, pending: Mapping[str, str], kwargs: Mapping[str, Any]) -> None:
        """Ask for prompts by key; one that gets no reply stays without a completion."""
        keys = list(pending)
        groups = [keys[start : start + self._at_a_time] for start in range(0, len(keys), self._at_a_time)]
        ended = threading.Event()

        def decode(group: list[str]) -> None:
            if ended.is_set() or self._errors_in_a_row >= GIVE_UP:
                return
            try:
                columns = self._in_time(decoder, [pending[key] for key in group], kwargs)
            except Exception as error:
                # Whatever a decoder raises, these prompts got no reply, and earlier replies stay. Its words may hold a key.
                with self._lock:
                    self.errors[type(error).__name__] += 1
                    self._errors_in_a_row += 1
                return
            except BaseException:
                ended.set()
                raise
            self._errors_in_a_row = 0
            for position, key in enumerate(group):
                self._add(key, {column: values[position] for column, values in columns.items()})

        threads = ThreadPoolExecutor(self._workers)
        try:
            for future in [threads.submit(decode, group) for group in groups]:
                future.result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    def _in_time(self, decoder: Completions, prompts: list[str], kwargs: Mapping[str, Any]) -> dict[str, list[Any]]:
        """What a decoder gives for some prompts, by column.

        Raises:
            OutOfTime: a server holds it longer than the time for as many prompts.
            What the decoder raises.
        """
        if self._timeout is None or _loads_model(decoder):
            return _decoded(decoder, prompts, kwargs)
        if len(prompts) == 1 and _takes(decoder, "num_procs"):
            # Threads of its own would keep the process from ending.
            kwargs = {**kwargs, "num_procs": 1}

        def decoded() -> dict[str, list[Any]]:
            if not (_packaged(decoder) and decoder.__module__.endswith(".openai")):
                return _decoded(decoder, prompts, kwargs)
            with bounded_client() as client:
                stated = kwargs.get("client_kwargs") or {}
                return _decoded(decoder, prompts, {**kwargs, "client_kwargs": {"http_client": client, **stated}})

        return within(self._timeout * len(prompts), decoded, name="annotator")

    def _columns(self, prompts: Sequence[str], keys: Sequence[str]) -> dict[str, list[Any]]:
        """The completions of prompts as alpaca_eval takes them, `Missing` where there is none."""
        completions = [self._completions.get(key) for key in keys]
        for prompt, completion in zip(prompts, completions, strict=True):
            if completion is None:
                self.failed.add(prompt)
            else:
                self.digests[prompt] = digest_of(json.dumps(completion, sort_keys=True, default=str))
        known = [completion for completion in completions if completion is not None]
        columns = sorted({"completions", *itertools.chain.from_iterable(known)})
        return {
            column: [NO_COMPLETION.get(column, math.nan) if completion is None else completion.get(column) for completion in completions]
            for column in columns
        }

    def _add(self, key: str, completion: dict[str, Any]) -> None:
        # As JSON gives it back, so that a completion is the same now and on the next day.
        completion = json.loads(json.dumps(completion, default=str))
        with self._lock:
            self.n_asked += 1
            if completion["completions"] in (None, ""):
                # Where a server goes on failing, the package's decoder writes nothing for a reply.
                return
            self._completions[key] = completion
            self._log.append({"prompt": key, "completion": completion})


def _decoded(decoder: Completions, prompts: list[str], kwargs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a decoder gives for some prompts, by column.

    Raises:
        ValueError: a column has another number of entries than there are prompts.
    """
    decoded = decoder(prompts, **kwargs)
    columns = {str(column): list(values) for column, values in decoded.items() if isinstance(values, list | tuple)}
    if "completions" not in columns or any(len(values) != len(prompts) for values in columns.values()):
        raise ValueError(f"A decoder gives {len(prompts)} completions for as many prompts.")
    return columns


def _loads_model(decoder: Completions) -> bool:
    """Whether it is one of the package's that load a model in this process, which may take any time."""
    return getattr(decoder, "__name__", "") in LOADS_MODELS and _packaged(decoder)


def _takes(decoder: Completions, parameter: str) -> bool:
    """Whether it is one of the package's that have such a parameter."""
    return _packaged(decoder) and parameter in inspect.signature(decoder).parameters


def _packaged(decoder: Completions) -> bool:
    return str(getattr(decoder, "__module__", "")).startswith("alpaca_eval.")


def tolerant(parser: Parser, size: int) -> Parser:
    """The parser of `size` preferences, which is not asked about a missing completion, and whose 0 is a tie."""

    def parse(completion: Any) -> Sequence[float | None]:
        if completion is Missing:
            return [None] * size
        return [preference_of(value) for value in parser(completion)]

    return parse


def recording(
    make: Callable[..., tuple[list[str], Any]], size: int, instructions: dict[str, list[str]]
) -> Callable[..., tuple[list[str], Any]]:
    """The maker of prompts of `size` pairs, which records whose instructions are in each prompt."""

    def make_prompts(*args: Any, **kwargs: Any) -> tuple[list[str], Any]:
        texts, frame = make(*args, **kwargs)
        column = [str(text) for text in frame["instruction"]] if texts else []
        for number, text in enumerate(texts):
            instructions[text] = column[number * size : (number + 1) * size]
        return texts, frame

    return make_prompts


def preference_of(value: Any) -> float | None:
    """A preference in [1, 2]; None for anything else, which the package would stop at or count."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number == 0:
        return TIE
    return number if 1 <= number <= 2 else None


__all__ = ["CompletionStore", "Completions", "Missing", "Parser", "preference_of", "recording", "tolerant"]
