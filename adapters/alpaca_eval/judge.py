"""AlpacaEval's own package as a judge."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.alpaca_eval.annotator_folder import check_annotator
from instructsel.adapters.alpaca_eval.completions import Completions, CompletionStore, Parser, preference_of, recording, tolerant
from instructsel.adapters.alpaca_eval.seam import NEEDED_BY, contained, substituted
from instructsel.artifact import fingerprint
from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.grading.judge import (
    IDENTICAL,
    SUSPICIOUS,
    SWAP_DISAGREES,
    TIE,
    Judgment,
    Judgments,
    Pair,
    find_injection_patterns,
)
from instructsel.grading.outputs import digest_of, distinct
from instructsel.models.foreign import first_line
from instructsel.paths import resolved

FORGED: Final = ("{instruction}", "{output_1}", "{output_2}", "<|im_start|>", "<|im_end|>")
"""What AlpacaEval itself looks for in a prompt after the texts are in it: a text that holds one of these writes the judge's prompt."""
FORGES: Final = "forges_prompt"
NO_REPLY: Final = "failed"


@dataclass(frozen=True, eq=False)
class AlpacaEval:
    """A judge: the alpaca_eval package with one of its annotators, or with one of your own.

    Its annotator, prompt, parser and random order of the two outputs are its own; the win rate it states itself is in the record.
    Around it: completions are stored in `folder` as they come, a line each, and what is there is not asked again; nothing is
    written into the package; logging, environment and scikit-learn's settings are restored.

    A pair has no preference for a reason: unparsable, the annotator's parser found no preference in the reply; failed, there was no reply;
    forges_prompt, a text holds one of AlpacaEval's own place holders or ChatML's marks, which it would take for parts of its prompt.
    An output that matches a prompt-injection pattern is suspicious.

    Source: Dubois et al. 2024, arXiv:2404.04475; alpaca_eval 0.6.6.

    >>> AlpacaEval("weighted_alpaca_eval_gpt4_turbo", Path("judged"))  # doctest: +SKIP
    """

    annotator: str | Path
    """The name of a packaged annotator, or a folder with configs.yaml and its prompt."""
    folder: Path
    """Where completions are stored."""
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
    timeout: float | None = field(default=600.0, kw_only=True)
    """Seconds for one prompt, with all that the decoder retries and waits; None has no limit, nor have decoders that load a model.
    What is not there in time is not waited for, and is asked again by the next run."""
    allow_annotator_code: bool = field(default=False, kw_only=True)
    """Whether an annotator of a folder may load models as its decoder does, code and pickles included, and name servers and files."""

    def __post_init__(self) -> None:
        if (self.completions is not None or self.parser is not None) and not self.revision:
            raise UsageError(
                "A judge of your own functions has no revision, so its judgments could not be told from those of a later one.",
                fix="Name one: AlpacaEval(…, revision='1').",
            )
        if self.at_a_time < 1 or self.workers < 1:
            raise UsageError("A judge is asked one prompt at a time at least, by one worker at least.")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError("A judge needs some time.")

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
                configs = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise UsageError(f"{file} cannot be read: {str(error).splitlines()[0]}", fix="Write it as AlpacaEval's own.") from error
        if not isinstance(configs, dict) or not configs or not all(isinstance(config, dict) for config in configs.values()):
            raise UsageError(f"{file} names no annotator.", fix="Write it as AlpacaEval's own.")
        if folder == local and not self.allow_annotator_code:
            check_annotator(folder, configs)
        return {str(name): {**config, "prompt_template": _prompt(folder, config)} for name, config in configs.items()}

    @cached_property
    def _config_name(self) -> str:
        """What alpaca_eval calls the configuration."""
        local = Path(self.annotator)
        return str(resolved(local)) if (local / "configs.yaml").is_file() else str(self.annotator)

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
        arguments = [config.get("completions_kwargs") or {} for config in configs.values()]
        models = [str(kwargs.get("model_name", name)) for name, kwargs in zip(configs, arguments, strict=True)]
        functions = {"completions": self.completions, "parser": self.parser}
        return {
            "kind": "alpaca_eval",
            "name": Path(self._config_name).name,
            "revision": self.revision,
            "model": {"name": "+".join(models), "revision": self.revision},
            "temperature": [kwargs.get("temperature") for kwargs in arguments],
            "prompt": fingerprint([config["prompt_template"] for config in configs.values()]),
            "config": hashlib.blake2b(json.dumps(configs, sort_keys=True, default=str).encode(), digest_size=16).hexdigest(),
            "functions": {
                name: f"{function.__module__}.{_qualified_name(function)}" for name, function in functions.items() if function is not None
            },
            "orders": "both" if self.both_orders else "random",
            "seed": self.seed,
            "version": version("alpaca_eval"),
        }

    @property
    def digests(self) -> frozenset[str]:
        """Empty: which weights stand behind a name, alpaca_eval does not say."""
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
        store = CompletionStore(
            self.folder,
            {key: value for key, value in identity.items() if key != "orders"},
            at_a_time=self.at_a_time,
            workers=self.workers,
            timeout=self.timeout,
        )
        with contained():
            forward, figures = self._annotated(sound, store)
            swapped, swapped_figures = (
                self._annotated([replace(pair, reference=pair.output, output=pair.reference) for pair in sound], store)
                if self.both_orders
                else ({}, None)
            )
        rows = [self._judged(pair, forward, swapped, forged=pair.instruction in forged) for pair in pairs]
        record = {
            "alpaca_eval": figures,
            "alpaca_eval_swapped": swapped_figures,
            "asked": store.n_asked,
            "known": store.n_known,
            "damaged": store.damaged,
            "errors": dict(sorted(store.errors.items())),
        }
        return Judgments(identity, tuple(rows), record)

    def _judged(self, pair: Pair, forward: _Annotations, swapped: _Annotations, *, forged: bool) -> Judgment:
        injections = tuple(f"{side}:{name}" for side in ("output", "reference") for name in find_injection_patterns(getattr(pair, side)))
        flags = (*((IDENTICAL,) if pair.output == pair.reference else ()), *((SUSPICIOUS,) if injections else ()))
        if forged:
            return Judgment(pair.instruction, None, FORGES, flags=flags, injection_patterns=injections)
        first = forward[pair.instruction]
        digests = (first.digest,) if first.digest else ()
        judgment = Judgment(pair.instruction, first.preference, first.reason, first.preference, None, flags, injections, digests)
        if not self.both_orders:
            return judgment
        second = swapped[pair.instruction]
        other = None if second.preference is None else 3.0 - second.preference
        judgment = replace(judgment, swapped=other, digests=(first.digest, second.digest))
        if first.preference is None or other is None:
            return replace(judgment, preference=None, reason=first.reason or second.reason)
        disagrees = (SWAP_DISAGREES,) if (first.preference - TIE) * (other - TIE) < 0 else ()
        return replace(judgment, preference=(first.preference + other) / 2, flags=(*disagrees, *flags))

    def _annotated(self, pairs: Sequence[Pair], store: CompletionStore) -> tuple[_Annotations, dict[str, Any] | None]:
        """The annotation of each pair by instruction, and the package's own win rate."""
        if not pairs:
            return {}, None
        prompts: dict[str, list[str]] = {}
        board, rows = self._evaluated(pairs, store, prompts)
        preferences = {str(row["instruction"]): preference_of(row.get("preference")) for row in rows}
        failed = {instruction for prompt in store.failed for instruction in prompts.get(prompt, ())}
        digests = {
            instruction: store.digests[prompt]
            for prompt, instructions in prompts.items()
            if prompt in store.digests
            for instruction in instructions
        }
        annotations: _Annotations = {}
        for pair in pairs:
            preference = preferences.get(pair.instruction)
            reason = None if preference is not None else NO_REPLY if pair.instruction in failed else "unparsable"
            annotations[pair.instruction] = _Annotation(preference, reason, digests.get(pair.instruction, ""))
        figures = board.loc["model"].to_dict()
        return annotations, {str(name): _json_value(value) for name, value in figures.items()}

    def _evaluated(self, pairs: Sequence[Pair], store: CompletionStore, prompts: dict[str, list[str]]) -> tuple[Any, Any]:
        """The package's leaderboard and annotations; `prompts` is filled with the instructions of each prompt."""
        main = require("alpaca_eval.main", needed_by=NEEDED_BY)
        metrics = require("alpaca_eval.metrics", needed_by=NEEDED_BY)
        annotators = require("alpaca_eval.annotators", needed_by=NEEDED_BY)
        judge = self
        with ExitStack() as seams:

            class Annotator(annotators.PairwiseAnnotator):  # type: ignore[misc, name-defined]
                """The package's annotator, whose decoder stores what it gets."""

                def __init__(self, **settings: Any) -> None:
                    super().__init__(**settings)
                    for name, single in self.annotators.items():
                        replacement = substituted(
                            single,
                            fn_completions=store.storing(name, judge.completions or single.fn_completions),
                            fn_completion_parser=tolerant(judge.parser or single.fn_completion_parser, single.batch_size),
                            _make_prompts=recording(single._make_prompts, single.batch_size, prompts),
                        )
                        seams.enter_context(replacement)

            def win_rate(annotations: Any, **_: Any) -> dict[str, Any]:
                known = [row for row in annotations if preference_of(row.get("preference")) is not None]
                return dict(metrics.get_winrate(known)) if known else {"win_rate": None, "standard_error": None, "n_total": 0}

            evaluated: tuple[Any, Any] = main.evaluate(
                model_outputs=[{"instruction": pair.instruction, "output": pair.output, "generator": "model"} for pair in pairs],
                reference_outputs=[{"instruction": pair.instruction, "output": pair.reference, "generator": "reference"} for pair in pairs],
                annotators_config=self._config_name,
                name="model",
                output_path=None,
                precomputed_leaderboard=None,
                is_cache_leaderboard=False,
                is_return_instead_of_print=True,
                fn_metric=win_rate,
                sort_by="win_rate",
                annotation_kwargs={"chunksize": None},
                Annotator=Annotator,
                seed=self.seed,
                # Its own cache is written in place (a kill leaves half a file), takes a failure for a reply, and does not know its judge.
                caching_path=None,
            )
            return evaluated


@dataclass(frozen=True)
class _Annotation:
    """What the package makes of one pair."""

    preference: float | None
    reason: str | None
    """Why there is no preference."""
    digest: str
    """Of the raw completion."""


_Annotations = dict[str, _Annotation]
"""By instruction."""


def _prompt(folder: Path, config: Mapping[str, Any]) -> str:
    """The text of an annotator's prompt, which its configuration holds or names a file of."""
    stated = str(config.get("prompt_template", ""))
    file = folder.parent / stated
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else stated
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The prompt {file} of an annotator cannot be read: {first_line(error)}", fix="Write it as UTF-8 text.") from error
    except ValueError:
        # A text with a NUL is no name of a file.
        return stated


def _json_value(value: Any) -> Any:
    """A cell of a frame as JSON has it."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and "int" in type(value).__name__ else number


def _texts(pair: Pair) -> tuple[str, str, str]:
    return pair.instruction, pair.reference, pair.output


def _qualified_name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


__all__ = ["AlpacaEval"]
