"""AlpacaEval: its files, and its own package as a judge."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
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

from instructsel.adapters.generate import Outputs, digest_of, distinct
from instructsel.adapters.judge import IDENTICAL, SUSPICIOUS, SWAP_DISAGREES, TIE, Judgment, Judgments, Pair, name_of, signs
from instructsel.artifact import atomic_write, dump_json, fingerprint, read_manifest, write_manifest
from instructsel.errors import EnvironmentFault, InstructselError, PoolError, ScoresError, UsageError
from instructsel.extras import require

OFFICIAL: Final = 805
"""Instructions of AlpacaEval's own set."""
OFFICIAL_DIGEST: Final = "0d66f1a8c19f39a71f39437b813cf6be"
"""Of these, as `fingerprint` has it of their texts in AlpacaEval's own order."""
HUB: Final = "tatsu-lab/alpaca_eval"
GAMED: Final = "df_gamed.csv"
"""In the data set HUB: what two models that were told to be brief and to be verbose were preferred by, which length control is fitted with."""
GAMED_COLUMNS: Final = ("model", "index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")
DATASETS: Final = frozenset({"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"})
"""Of AlpacaEval's own set."""
NEEDED_BY: Final = "AlpacaEval"
FORGED: Final = ("{instruction}", "{output_1}", "{output_2}", "<|im_start|>", "<|im_end|>")
"""What AlpacaEval itself looks for in a prompt after the texts are in it: a text that holds one of these writes the judge's prompt."""
FORGES: Final = "forges_prompt"
NO_REPLY: Final = "failed"
GIVE_UP: Final = 10
"""Calls of a decoder that raise one after another before no further one is made."""
ANNOTATIONS: Final = "Give AlpacaEval's annotations.json."
AGAIN: Final = "Give a JSON list of {instruction, output, generator}."

Completions = Callable[..., Mapping[str, Any]]
"""alpaca_eval's form: (prompts, **completions_kwargs) → {"completions": […], and more lists of that length}."""
Parser = Callable[[Any], Sequence[float | None]]
"""A completion → the preferences it states, 1 for the first output it was shown, 2 for the second."""


# Files ----------------------------------------------------------------------------------------------------------------------------


def write_outputs(path: str | Path, outputs: Outputs) -> None:
    """Write outputs as AlpacaEval reads them: a JSON list of {instruction, output, generator, dataset}.

    What has no output is not in the list, which AlpacaEval would take for a text; it stands in the manifest beside it with the reason.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    rows: list[dict[str, Any]] = []
    for place, (instruction, text) in enumerate(zip(outputs.instructions, outputs.texts, strict=True)):
        dataset = {"dataset": outputs.datasets[place]} if outputs.datasets else {}
        if text is not None:
            rows.append({"instruction": instruction, "output": text, "generator": outputs.generator, **dataset})
    missing = [
        {"instruction": instruction, "reason": reason}
        for instruction, reason in zip(outputs.instructions, outputs.reasons, strict=True)
        if reason is not None
    ]
    _write_list(path, rows)
    record = {key: value for key, value in outputs.record.items() if key != "seconds"}
    manifest = {"kind": "outputs", "generator": outputs.generator, "n": len(outputs), "missing": missing, "record": record}
    write_manifest(path, manifest, run={"seconds": outputs.record.get("seconds")})


def read_outputs(path: str | Path, *, official: bool = False) -> Outputs:
    """Outputs out of a JSON list of {instruction, output, generator, dataset}, with what the manifest beside it knows to be missing.

    Args:
        path: of model outputs or of reference outputs: they have one form.
        official: whether it must be AlpacaEval's own set, with an output for each of 805 instructions.

    Raises:
        PoolError: it cannot be read, is no such list, has two generators, or an instruction twice; or official, another number.
        ScoresError: the manifest beside it is damaged, or of a newer release.
    """
    rows = _read_list(path, PoolError, AGAIN)
    texts: dict[str, str] = {}
    datasets: dict[str, str | None] = {}
    for number, row in enumerate(rows, 1):
        instruction, output = row.get("instruction"), row.get("output")
        if not isinstance(instruction, str) or not isinstance(output, str):
            raise PoolError(f"{path}, row {number}: instruction and output are not both texts.", fix=AGAIN)
        if instruction in texts:
            raise PoolError(f"{path}, row {number}: the instruction {instruction[:80]!r} stands twice.", fix="Keep one of the two.")
        texts[instruction] = output
        found = row.get("dataset")
        datasets[instruction] = found if isinstance(found, str) else None
    generators = sorted({str(row.get("generator", "")) for row in rows})
    if len(generators) > 1:
        raise PoolError(f"{path} has outputs of {len(generators)} generators: {', '.join(generators[:4])}.", fix="Give a file to each.")
    if official and len(texts) != OFFICIAL:
        raise PoolError(f"{path} has outputs for {len(texts)} instructions; AlpacaEval has {OFFICIAL}.", fix="Answer every one of them.")
    manifest = read_manifest(path) or {}
    missing = {
        str(each["instruction"]): str(each["reason"])
        for each in (manifest.get("missing") or [] if manifest.get("kind") == "outputs" else [])
        if each["instruction"] not in texts
    }
    return Outputs(
        generators[0] if generators else str(manifest.get("generator", "")),
        (*texts, *missing),
        (*texts.values(), *(None for _ in missing)),
        (*(None for _ in texts), *missing.values()),
        (*datasets.values(), *(None for _ in missing)) if any(datasets.values()) else (),
        manifest.get("record", {}),
    )


def write_annotations(path: str | Path, judgments: Judgments, outputs: Outputs, reference: Outputs) -> None:
    """Write judgments as AlpacaEval's annotations.json, which its own tools read: output_1 is the reference's, preference may be null.

    A row has our reason, flags and digests beside theirs; the manifest beside the file says which judge it was.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    rows = [
        {
            **stated,
            "reason": row.reason,
            "flags": list(row.flags),
            "signs": list(row.signs),
            "preference_forward": row.forward,
            "preference_swapped": row.swapped,
            "digests": list(row.digests),
        }
        for row, stated in zip(judgments.rows, annotation_rows(judgments, outputs, reference), strict=True)
    ]
    _write_list(path, rows)
    manifest = {
        "kind": "annotations",
        "judge": dict(judgments.judge),
        "n": len(rows),
        "n_total": judgments.n_total,
        "nulls": judgments.nulls,
        "flags": judgments.flags,
    }
    write_manifest(path, manifest, run={"record": dict(judgments.record)})


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    """The rows of an annotations.json as they stand there, with 0 and what is no preference as `read_annotations` has them.

    Raises:
        ScoresError: it cannot be read.
    """
    return [{**row, "preference": _stated(row.get("preference"))[0]} for row in _read_list(path, ScoresError, ANNOTATIONS)]


def read_annotations(path: str | Path) -> Judgments:
    """Judgments out of an annotations.json, or of JSON lines of the same rows; AlpacaEval's own, or ours.

    A preference may be whole or not, 0 is an old way to write a tie, and null stays null (null_in_file). What is no number in [1, 2]
    is null, too (out_of_range). The record has the lengths of both outputs in characters, where they stand in the file; what they were
    compared with (`reference`: the generator, and a digest of its outputs); and whether all rows are of AlpacaEval's own sets (`official`).

    Raises:
        ScoresError: it cannot be read, has no such rows, or an instruction twice; or the annotations of two judges.
    """
    again = ANNOTATIONS
    rows = _read_list(path, ScoresError, again)
    judges = sorted({str(row.get("annotator", "")) for row in rows})
    if len(judges) != 1:
        raise ScoresError(
            f"{path} has the annotations of {len(judges)} judges: {', '.join(judges[:4])}." if judges else f"{path} has no annotations.",
            fix="One result has one judge: give a file to each." if judges else again,
        )
    found: list[Judgment] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("instruction"), str) or "preference" not in row:
            raise ScoresError(f"{path}, row {number}: there is no instruction, or no preference.", fix=again)
        preference, reason = _stated(row["preference"])
        if reason is not None and isinstance(row.get("reason"), str):
            reason = row["reason"]
        found.append(
            Judgment(
                row["instruction"],
                preference,
                reason,
                _stated(row.get("preference_forward"))[0],
                _stated(row.get("preference_swapped"))[0],
                tuple(map(str, row.get("flags") or ())),
                tuple(map(str, row.get("signs") or ())),
                tuple(map(str, row.get("digests") or ())),
            )
        )
    manifest = read_manifest(path) or {}
    judge = manifest.get("judge") if manifest.get("kind") == "annotations" else None
    lengths = {
        side: [len(text) if isinstance(text := row.get(key), str) else None for row in rows]
        for side, key in (("output", "output_2"), ("reference", "output_1"))
    }
    references = {str(row.get("generator_1", "")) for row in rows}
    texts = sorted((row["instruction"], row["output_1"]) for row in rows if isinstance(row.get("output_1"), str))
    reference = {"generator": ", ".join(sorted(references)), "digest": fingerprint(texts) if len(texts) == len(rows) else None}
    datasets = {str(row.get("dataset", "")) for row in rows}
    record = {"lengths": lengths, "reference": reference, "official": bool(rows) and datasets <= DATASETS}
    try:
        return Judgments(judge if isinstance(judge, dict) else {"kind": "annotations", "name": judges[0]}, tuple(found), record)
    except PoolError as error:
        raise ScoresError(f"{path}: {error.message}", fix=error.fix) from error


def official_length_control(rows: Sequence[Mapping[str, Any]], files: str | Path | None = None) -> dict[str, float] | None:
    """AlpacaEval 2's own length-controlled win rate, in per cent, by its own package; None where it cannot be had.

    It is of AlpacaEval's own 805 instructions in their order, and needs the file df_gamed.csv of the data set tatsu-lab/alpaca_eval.
    Its regulariser and its instructions' difficulties were made with GPT-4 Turbo as judge and as reference.

    Args:
        rows: as in annotations.json: instruction, output_1, output_2, generator_1, generator_2, preference.
        files: a folder with df_gamed.csv; without one it is looked for in the cache of the Hugging Face hub, and not downloaded.

    Returns:
        win_rate and standard_error; None for other instructions, with an output missing, without the file or the package, where all
        differences in length are equal, and where the fit does not come out.

    Raises:
        MissingExtra: `files` are given, and alpaca_eval is not installed.
        ScoresError: the file is not what AlpacaEval publishes.

    Source: Dubois et al. 2024, arXiv:2404.04475; alpaca_eval 0.6.6, length_controlled_v1.
    """
    texts = [row.get("instruction") for row in rows]
    if fingerprint(texts) != OFFICIAL_DIGEST or any(not isinstance(row.get(key), str) for row in rows for key in ("output_1", "output_2")):
        return None
    path = _gamed(files)
    differences = {len(row["output_1"]) - len(row["output_2"]) for row in rows}
    if path is None or (files is None and importlib.util.find_spec("alpaca_eval") is None):
        return None
    if all(row["output_1"] == row["output_2"] for row in rows):
        # A model against itself, whatever the two are called.
        return {"win_rate": 50.0, "standard_error": 0.0}
    if len(differences) == 1:
        # It divides by how much they differ.
        return None
    _check_gamed(path)
    with contained():
        glm = require("alpaca_eval.metrics.glm_winrate", needed_by=NEEDED_BY)
        keys = ("instruction", "output_1", "output_2", "generator_1", "generator_2", "preference")
        frame = require("pandas", needed_by=NEEDED_BY).DataFrame([{key: row.get(key) for key in keys} for row in rows])
        if frame["preference"].isna().all():
            return None
        before = glm.hf_hub_download
        glm.hf_hub_download = lambda **_: str(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Only its weights and preferences, which it would write into the package.
                found = glm.get_length_controlled_winrate(
                    frame, save_weights_dir=None, is_add_glm_preference_inplace=False, is_warn_extreme_changes=False
                )
        except (KeyError, ValueError, AssertionError, ArithmeticError):
            # Its fit does not come out for every set of preferences; then there is no such win rate, and everything else stands.
            return None
        finally:
            glm.hf_hub_download = before
    return {"win_rate": float(found["length_controlled_winrate"]), "standard_error": float(found["lc_standard_error"])}


def _gamed(files: str | Path | None) -> Path | None:
    if files is not None:
        path = Path(files) / GAMED
        return path if path.is_file() else None
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    cached = require("huggingface_hub", needed_by=NEEDED_BY).try_to_load_from_cache(HUB, GAMED, repo_type="dataset")
    return Path(cached) if isinstance(cached, str) else None


def _check_gamed(path: Path) -> None:
    """Refuse a file that is not what AlpacaEval publishes.

    Raises:
        ScoresError: it cannot be read, lacks a column, or does not name all 805 instructions by their places.
    """
    again = f"Take {GAMED} from the data set {HUB}."
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        places = {int(row["index"]) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise ScoresError(f"{path} is not AlpacaEval's: {type(error).__name__}.", fix=again) from error
    lacking = [name for name in GAMED_COLUMNS if not rows or name not in rows[0]]
    if lacking or places != set(range(OFFICIAL)):
        why = f"it has no column {', '.join(lacking)}" if lacking else f"it names {len(places)} of {OFFICIAL} instructions"
        raise ScoresError(f"{path} is not AlpacaEval's: {why}.", fix=again)


def check_files(files: str | Path | None) -> None:
    """Refuse a folder for AlpacaEval's own length control before anything is trained.

    Raises:
        UsageError: df_gamed.csv is not in it.
        ScoresError: it is not AlpacaEval's.
        MissingExtra: alpaca_eval is not installed.
    """
    if files is None:
        return
    path = _gamed(files)
    if path is None:
        raise UsageError(f"There is no {GAMED} in {files}.", fix=f"It is in the data set {HUB}.")
    _check_gamed(path)
    with contained():
        require("alpaca_eval.metrics.glm_winrate", needed_by=NEEDED_BY)


def annotation_rows(judgments: Judgments, outputs: Outputs, reference: Outputs) -> list[dict[str, Any]]:
    """Judgments as rows of AlpacaEval's annotations.json: output_1 is the reference's, preference may be None."""
    rows: list[dict[str, Any]] = []
    for row in judgments.rows:
        place = reference.places.get(row.instruction)
        rows.append(
            {
                "instruction": row.instruction,
                "output_1": reference.of(row.instruction)[0],
                "generator_1": reference.generator,
                "dataset": reference.datasets[place] if reference.datasets and place is not None else None,
                "output_2": outputs.of(row.instruction)[0],
                "generator_2": outputs.generator,
                "annotator": name_of(judgments.judge),
                "preference": row.preference,
            }
        )
    return rows


def _stated(value: Any) -> tuple[float | None, str | None]:
    """A preference as it stands in a file, or why it is none."""
    if value is None:
        return None, "null_in_file"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, "out_of_range"
    if value == 0:
        return TIE, None
    return (float(value), None) if 1 <= value <= 2 else (None, "out_of_range")


def read_leaderboard(path: str | Path) -> dict[str, dict[str, float | str | None]]:
    """AlpacaEval's leaderboard.csv: generator → column → value, a number where it is one, None where it is empty.

    Raises:
        ScoresError: it cannot be read, or has no column win_rate.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScoresError(f"{path} cannot be read: {_why(error)}.", fix="Give AlpacaEval's leaderboard.csv.") from error
    lines = list(csv.reader(io.StringIO(text)))
    header = lines[0] if lines else []
    if "win_rate" not in header:
        raise ScoresError(f"{path} has no column win_rate.", fix="Give AlpacaEval's leaderboard.csv.")
    found: dict[str, dict[str, float | str | None]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(header):
            raise ScoresError(f"{path}, line {number}: {len(line)} columns, not {len(header)}.", fix="Give AlpacaEval's leaderboard.csv.")
        found[line[0]] = {name: _number(value) for name, value in zip(header[1:], line[1:], strict=True)}
    return found


def _number(text: str) -> float | str | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else None


def _write_list(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(rows, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")


def _read_list(path: str | Path, error: type[InstructselError], fix: str) -> list[dict[str, Any]]:
    try:
        data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
        rows = orjson.loads(data) if data.startswith(b"[") else [orjson.loads(line) for line in data.split(b"\n") if line.strip()]
    except (OSError, orjson.JSONDecodeError) as cause:
        raise error(f"{path} cannot be read: {_why(cause)}.", fix=fix) from cause
    if any(not isinstance(row, dict) for row in rows):
        raise error(f"{path} is no list of objects.", fix=fix)
    return list(rows)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


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
        found = tuple(f"{side}:{sign}" for side in ("output", "reference") for sign in signs(getattr(pair, side)))
        flags = (*((IDENTICAL,) if pair.output == pair.reference else ()), *((SUSPICIOUS,) if found else ()))
        if forged:
            return Judgment(pair.instruction, None, FORGES, flags=flags, signs=found)
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


__all__ = [
    "OFFICIAL",
    "AlpacaEval",
    "annotation_rows",
    "check_files",
    "official_length_control",
    "read_annotations",
    "read_leaderboard",
    "read_outputs",
    "rows_of",
    "write_annotations",
    "write_outputs",
]
