"""AlpacaEval: its files, and its own package as a judge."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import orjson

from instructsel.artifact import dump_json, fingerprint
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.extras import require
from instructsel.grading.judge import IDENTICAL, SUSPICIOUS, SWAP_DISAGREES, TIE, Judgment, Judgments, Pair, find_injection_patterns
from instructsel.grading.outputs import digest_of, distinct

NEEDED_BY: Final = "AlpacaEval"
FORGED: Final = ("{instruction}", "{output_1}", "{output_2}", "<|im_start|>", "<|im_end|>")
"""What AlpacaEval itself looks for in a prompt after the texts are in it: a text that holds one of these writes the judge's prompt."""
FORGES: Final = "forges_prompt"
NO_REPLY: Final = "failed"
GIVE_UP: Final = 10
"""Calls of a decoder that raise one after another before no further one is made."""

Completions = Callable[..., Mapping[str, Any]]
"""alpaca_eval's form: (prompts, **completions_kwargs) → {"completions": […], and more lists of that length}."""
Parser = Callable[[Any], Sequence[float | None]]
"""A completion → the preferences it states, 1 for the first output it was shown, 2 for the second."""


# Files ----------------------------------------------------------------------------------------------------------------------------


# The package ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AlpacaEval:
    """A judge: the alpaca_eval package with one of its annotators, or with one of your own.

    Its annotator, prompt, parser and random order of the two outputs are its own; the win rate it states itself is in the record.
    Around it: completions are kept in `folder` as they come, a line each, and what is there is not asked again; nothing is written
    into the package; the logging, the environment and scikit-learn's settings are what they were before.

    A pair has no preference for a reason: unparsable, the annotator's parser made nothing of the reply; failed, there was no reply;
    forges_prompt, a text holds one of AlpacaEval's own place holders or ChatML's marks, which it would take for parts of its prompt.
    An output that speaks to its judge is suspicious.

    Source: Dubois et al. 2024, arXiv:2404.04475; alpaca_eval 0.6.6.

    >>> AlpacaEval("weighted_alpaca_eval_gpt4_turbo", Path("judged"))  # doctest: +SKIP
    """

    annotator: str | Path
    """The name of a packaged annotator, or a folder with configs.yaml and its prompt."""
    folder: Path
    """Where completions are kept."""
    completions: Completions | None = field(default=None, kw_only=True)
    """Asked in place of the annotator's own decoder; it needs a revision."""
    parser: Parser | None = field(default=None, kw_only=True)
    """Used in place of the annotator's own parser."""
    revision: str | None = field(default=None, kw_only=True)
    """Of the judge: of the weights behind the model's name, or of your own functions."""
    both_orders: bool = field(default=False, kw_only=True)
    """Whether everything is asked again with the outputs swapped: the preference is then the mean of both."""
    seed: int = field(default=0, kw_only=True)
    """Of the order in which the two outputs are shown."""
    at_a_time: int = field(default=1, kw_only=True)
    """Prompts of one call to the decoder. A decoder that loads its model in each call wants them all in one."""
    workers: int = field(default=1, kw_only=True)
    """Calls at a time."""

    def __post_init__(self) -> None:
        if (self.completions is not None or self.parser is not None) and not self.revision:
            raise UsageError(
                "A judge of your own functions has no revision, so its judgments could not be told from those of a later one.",
                fix="Name one: AlpacaEval(…, revision='1').",
            )
        if self.at_a_time < 1 or self.workers < 1:
            raise UsageError("A judge is asked one prompt at a time at least, by one worker at least.")

    @cached_property
    def _configs(self) -> dict[str, dict[str, Any]]:
        """Each annotator of the configuration by name, its prompt in full."""
        with contained():
            package = Path(require("alpaca_eval", needed_by=NEEDED_BY).__file__).parent / "evaluators_configs"
            local = Path(self.annotator)
            folder = local if (local / "configs.yaml").is_file() else package / str(self.annotator)
            file = folder / "configs.yaml"
            if not file.is_file():
                names = sorted(path.parent.name for path in package.glob("*/configs.yaml"))
                if isinstance(self.annotator, Path) or os.sep in str(self.annotator):
                    raise UsageError(f"{self.annotator} holds no configs.yaml.", fix="Name AlpacaEval's annotator, or a folder with one.")
                raise UsageError.named(str(self.annotator), names, noun="annotator")
            yaml = require("yaml", needed_by=NEEDED_BY)
            try:
                read = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise UsageError(f"{file} cannot be read: {str(error).splitlines()[0]}", fix="Write it as AlpacaEval's own.") from error
        if not isinstance(read, dict) or not read or not all(isinstance(each, dict) for each in read.values()):
            raise UsageError(f"{file} names no annotator.", fix="Write it as AlpacaEval's own.")
        found: dict[str, dict[str, Any]] = {}
        for name, config in read.items():
            prompt = folder.parent / str(config.get("prompt_template", ""))
            text = prompt.read_text(encoding="utf-8") if prompt.is_file() else str(config.get("prompt_template", ""))
            found[str(name)] = {**config, "prompt_template": text}
        return found

    @cached_property
    def _place(self) -> str:
        """How alpaca_eval is told of the configuration."""
        local = Path(self.annotator)
        return str(local.resolve()) if (local / "configs.yaml").is_file() else str(self.annotator)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Model, revision, temperature, prompt, parser, order and release; no path.

        Raises:
            MissingExtra: alpaca_eval is not installed.
            UsageError: there is no such annotator, or its configuration cannot be read.
        """
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, Any]:
        configs = self._configs
        asked = [config.get("completions_kwargs") or {} for config in configs.values()]
        models = [str(kwargs.get("model_name", name)) for name, kwargs in zip(configs, asked, strict=True)]
        own = {"completions": self.completions, "parser": self.parser}
        return {
            "kind": "alpaca_eval",
            "name": Path(self._place).name,
            "revision": self.revision,
            "model": {"name": "+".join(models), "revision": self.revision},
            "temperature": [kwargs.get("temperature") for kwargs in asked],
            "prompt": fingerprint([config["prompt_template"] for config in configs.values()]),
            "config": hashlib.blake2b(json.dumps(configs, sort_keys=True, default=str).encode(), digest_size=16).hexdigest(),
            "functions": {name: f"{made.__module__}.{_called(made)}" for name, made in own.items() if made is not None},
            "orders": "both" if self.both_orders else "random",
            "seed": self.seed,
            "version": version("alpaca_eval"),
        }

    @property
    def digests(self) -> frozenset[str]:
        """None: what weights stand behind a name, alpaca_eval does not say."""
        return frozenset()

    def judge(self, pairs: Sequence[Pair]) -> Judgments:
        """A judgment for each pair, in order.

        Raises:
            MissingExtra: alpaca_eval is not installed.
            UsageError: there is no such annotator, or its configuration cannot be read.
            PoolError: an instruction stands twice.
            EnvironmentFault: the folder cannot be written.
        """
        distinct([pair.instruction for pair in pairs], "The set of pairs")
        identity = self.fingerprint
        forged = {pair.instruction for pair in pairs if any(mark in text for text in _texts(pair) for mark in FORGED)}
        sound = [pair for pair in pairs if pair.instruction not in forged]
        # By their digests: a prompt of several pairs holds the same ones, whatever order they came in.
        sound.sort(key=lambda pair: digest_of(pair.instruction))
        kept = _Completions(self.folder, {key: value for key, value in identity.items() if key != "orders"})
        with contained():
            forward, first = self._annotated(sound, kept)
            swapped, second = (
                self._annotated([replace(pair, reference=pair.output, output=pair.reference) for pair in sound], kept)
                if self.both_orders
                else ({}, None)
            )
        rows = [self._judged(pair, forward, swapped, forged=pair.instruction in forged) for pair in pairs]
        record = {
            "alpaca_eval": first,
            "alpaca_eval_swapped": second,
            "asked": kept.asked,
            "known": kept.known,
            "damaged": kept.damaged,
            "errors": dict(sorted(kept.errors.items())),
        }
        return Judgments(identity, tuple(rows), record)

    def _judged(self, pair: Pair, forward: _Found, swapped: _Found, *, forged: bool) -> Judgment:
        found = tuple(f"{side}:{sign}" for side in ("output", "reference") for sign in find_injection_patterns(getattr(pair, side)))
        flags = (*((IDENTICAL,) if pair.output == pair.reference else ()), *((SUSPICIOUS,) if found else ()))
        if forged:
            return Judgment(pair.instruction, None, FORGES, flags=flags, injection_patterns=found)
        one, why, digest = forward[pair.instruction]
        judged = Judgment(pair.instruction, one, why, one, None, flags, found, (digest,) if digest else ())
        if not self.both_orders:
            return judged
        other, reason, second = swapped[pair.instruction]
        other = None if other is None else 3.0 - other
        judged = replace(judged, swapped=other, digests=(digest, second))
        if one is None or other is None:
            return replace(judged, preference=None, reason=why or reason)
        disagrees = (SWAP_DISAGREES,) if (one - TIE) * (other - TIE) < 0 else ()
        return replace(judged, preference=(one + other) / 2, flags=(*disagrees, *flags))

    def _annotated(self, pairs: Sequence[Pair], kept: _Completions) -> tuple[_Found, dict[str, Any] | None]:
        """Preference, reason and digest by instruction, and the package's own win rate."""
        if not pairs:
            return {}, None
        main = require("alpaca_eval.main", needed_by=NEEDED_BY)
        metrics = require("alpaca_eval.metrics", needed_by=NEEDED_BY)
        annotators = require("alpaca_eval.annotators", needed_by=NEEDED_BY)
        prompts: dict[str, list[str]] = {}
        mine = self

        class Annotator(annotators.PairwiseAnnotator):  # type: ignore[misc, name-defined]
            """The package's annotator, whose decoder keeps what it gets."""

            def __init__(self, **asked: Any) -> None:
                super().__init__(**asked)
                for name, single in self.annotators.items():
                    single.fn_completions = kept.asking(name, mine.completions or single.fn_completions, mine)
                    single.fn_completion_parser = _parsing(mine.parser or single.fn_completion_parser, single.batch_size)
                    single._make_prompts = _noting(single._make_prompts, single.batch_size, prompts)

        def rate(annotations: Any, **_: Any) -> dict[str, Any]:
            found = [each for each in annotations if _stated_by_package(each.get("preference")) is not None]
            return dict(metrics.get_winrate(found)) if found else {"win_rate": None, "standard_error": None, "n_total": 0}

        board, annotations = main.evaluate(
            model_outputs=[{"instruction": pair.instruction, "output": pair.output, "generator": "model"} for pair in pairs],
            reference_outputs=[{"instruction": pair.instruction, "output": pair.reference, "generator": "reference"} for pair in pairs],
            annotators_config=self._place,
            name="model",
            output_path=None,
            precomputed_leaderboard=None,
            is_cache_leaderboard=False,
            is_return_instead_of_print=True,
            fn_metric=rate,
            sort_by="win_rate",
            annotation_kwargs={"chunksize": None},
            Annotator=Annotator,
            seed=self.seed,
            # Its own cache is written in place (a kill leaves half a file), takes a failure for an answer, and does not know its judge.
            caching_path=None,
        )
        said = {str(each["instruction"]): _stated_by_package(each.get("preference")) for each in annotations}
        failed = {instruction for prompt in kept.failed for instruction in prompts.get(prompt, ())}
        digests = {
            instruction: kept.digests[prompt] for prompt, asked in prompts.items() if prompt in kept.digests for instruction in asked
        }
        found: _Found = {}
        for pair in pairs:
            preference = said.get(pair.instruction)
            reason = None if preference is not None else NO_REPLY if pair.instruction in failed else "unparsable"
            found[pair.instruction] = preference, reason, digests.get(pair.instruction, "")
        row = board.loc["model"].to_dict()
        return found, {str(name): _plain(value) for name, value in row.items()}


_Found = dict[str, tuple[float | None, str | None, str]]
"""Instruction → preference, reason, digest of the raw completion."""


class _Failed:
    """Stands where a completion should: nothing was said."""


_FAILED: Final = {"completions": _Failed, "completions_all": _Failed}


class _Completions:
    """Completions on disk as they come, a line each: what is paid is never asked again, whatever stops the run."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.asked = 0
        self.known = 0
        self.damaged = 0
        self.errors: Counter[str] = Counter()
        self.failed: set[str] = set()
        self.digests: dict[str, str] = {}
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        # One file for each judge: judgments of two never meet.
        self._path = Path(folder) / f"alpaca_eval-{fingerprint(dict(identity))}.jsonl"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            data = self._path.read_bytes() if self._path.exists() else b""
            if data and not data.endswith(b"\n"):
                # Whoever wrote the last line was killed at it; the next one must not become a part of it.
                self._append(b"\n")
        except OSError as error:
            raise EnvironmentFault(f"{folder} cannot be used: {error.strerror or error}.", fix="Name another folder.") from error
        for line in filter(None, data.split(b"\n")):
            try:
                found = orjson.loads(line)
                if found["check"] != fingerprint(found["said"], size=8):
                    raise ValueError
                self._found.setdefault(found["said"]["prompt"], found["said"]["completion"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                self.damaged += 1

    def asking(self, name: str, decoder: Completions, judge: AlpacaEval) -> Completions:
        """The decoder, asked only for what is not known, some prompts at a time."""

        def asked(prompts: Sequence[str], **kwargs: Any) -> Mapping[str, Any]:
            keys = [digest_of(f"{name}\0{prompt}") for prompt in prompts]
            waiting = [at for at, key in enumerate(keys) if key not in self._found]
            self.known += len(prompts) - len(waiting)
            groups = [waiting[start : start + judge.at_a_time] for start in range(0, len(waiting), judge.at_a_time)]

            ended = threading.Event()

            def one(group: list[int]) -> None:
                if ended.is_set() or self._in_a_row >= GIVE_UP:
                    return
                try:
                    columns = _said(decoder, [prompts[at] for at in group], kwargs)
                except Exception as error:
                    # Whatever a decoder raises, these prompts got no reply; what was said before stays said. Its words may hold a key.
                    with self._lock:
                        self.errors[type(error).__name__] += 1
                        self._in_a_row += 1
                    return
                except BaseException:
                    ended.set()
                    raise
                self._in_a_row = 0
                for place, at in enumerate(group):
                    self._keep(keys[at], {column: values[place] for column, values in columns.items()})

            threads = ThreadPoolExecutor(judge.workers)
            try:
                for future in [threads.submit(one, group) for group in groups]:
                    future.result()
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
            found = [self._found.get(key) for key in keys]
            for prompt, each in zip(prompts, found, strict=True):
                if each is None:
                    self.failed.add(prompt)
                else:
                    self.digests[prompt] = digest_of(json.dumps(each, sort_keys=True, default=str))
            columns = sorted({"completions", *itertools.chain.from_iterable(each for each in found if each is not None)})
            return {column: [_FAILED.get(column, math.nan) if each is None else each.get(column) for each in found] for column in columns}

        return asked

    def _keep(self, key: str, completion: dict[str, Any]) -> None:
        # As JSON gives it back, so that a completion is the same now and on the next day.
        completion = json.loads(json.dumps(completion, default=str))
        said = {"prompt": key, "completion": completion}
        with self._lock:
            self.asked += 1
            if completion["completions"] in (None, ""):
                # Where a server goes on failing, the package's decoder writes nothing for a reply.
                return
            self._found[key] = completion
            self._append(dump_json({"said": said, "check": fingerprint(said, size=8)}) + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            with open(self._path, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentFault(f"{self._path} cannot be written: {error.strerror or error}.", fix="Free some space.") from error


def _said(decoder: Completions, prompts: list[str], kwargs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a decoder says to some prompts, by column.

    Raises:
        ValueError: a column has another number of entries than there are prompts.
    """
    said = decoder(prompts, **kwargs)
    columns = {str(column): list(values) for column, values in said.items() if isinstance(values, list | tuple)}
    if "completions" not in columns or any(len(values) != len(prompts) for values in columns.values()):
        raise ValueError(f"A decoder gives {len(prompts)} completions for as many prompts.")
    return columns


def _parsing(parser: Parser, size: int) -> Parser:
    """The parser, which is not asked about what was never said, and whose 0 is a tie."""

    def parsed(completion: Any) -> Sequence[float | None]:
        if completion is _Failed:
            return [None] * size
        return [_stated_by_package(value) for value in parser(completion)]

    return parsed


def _noting(make: Callable[..., tuple[list[str], Any]], size: int, prompts: dict[str, list[str]]) -> Callable[..., tuple[list[str], Any]]:
    """The maker of prompts, which notes whose instructions are in each."""

    def made(*asked: Any, **kwargs: Any) -> tuple[list[str], Any]:
        texts, frame = make(*asked, **kwargs)
        instructions = [str(text) for text in frame["instruction"]] if texts else []
        for at, text in enumerate(texts):
            prompts[text] = instructions[at * size : (at + 1) * size]
        return texts, frame

    return made


def _stated_by_package(value: Any) -> float | None:
    """A preference in [1, 2]; None for anything else, which the package would stop at or count."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number == 0:
        return TIE
    return number if 1 <= number <= 2 else None


def _plain(value: Any) -> Any:
    """A cell of a frame as JSON has it."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and "int" in type(value).__name__ else number


def _texts(pair: Pair) -> tuple[str, str, str]:
    return pair.instruction, pair.reference, pair.output


def _called(made: Any) -> str:
    return str(getattr(made, "__qualname__", type(made).__qualname__))


@contextmanager
def contained() -> Iterator[None]:
    """What alpaca_eval does to the process it is imported in, undone: logging, environment, scikit-learn's settings, progress bars."""
    root, before, environment = logging.getLogger(), logging.root.manager.disable, dict(os.environ)
    level, handlers = root.level, list(root.handlers)
    learn = sys.modules.get("sklearn")
    settings = learn.get_config() if learn is not None else None
    logging.disable(logging.CRITICAL)
    drawn: Any = None
    module: Any = None
    try:
        module = _utils()
        drawn, module.tqdm = module.tqdm, SimpleNamespace(tqdm=lambda each, **_: each)
        yield
    finally:
        if drawn is not None:
            module.tqdm = drawn
        logging.disable(before)
        root.setLevel(level)
        root.handlers[:] = handlers
        for key in set(os.environ) - set(environment):
            # Out of a .env file that the package reads on import, from any folder above its own.
            del os.environ[key]
        learn = sys.modules.get("sklearn")
        if learn is not None:
            learn.set_config(**(settings if settings is not None else {"enable_metadata_routing": False}))


def _utils() -> Any:
    try:
        with warnings.catch_warnings():
            # That pkg_resources goes away is known: the package is pinned, and so is what it needs.
            warnings.simplefilter("ignore")
            return require("alpaca_eval.utils", needed_by=NEEDED_BY)
    except ModuleNotFoundError as error:
        if error.name != "pkg_resources":
            raise
        raise EnvironmentFault(
            "alpaca_eval 0.6.6 needs pkg_resources, which setuptools has no more since 82.",
            fix="Install it with: pip install 'instructsel[alpaca]'",
        ) from error


__all__ = ["AlpacaEval"]
