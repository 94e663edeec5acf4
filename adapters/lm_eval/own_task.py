"""Write an own task in the layout of lm-evaluation-harness."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.artifact import atomic_write, fingerprint
from instructsel.errors import EnvironmentFault, PoolError, TooManyBadRows, UsageError
from instructsel.extras import require
from instructsel.paths import resolved
from instructsel.pool.lines import Limits, RowFault
from instructsel.pool.sources import open_source
from instructsel.read_report import LISTED, Quarantined, ReadReport
from instructsel.text import counted

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"multiple_choice": ("query", "choices", "gold"), "generate": ("prompt", "answer")}
"""Kinds of tasks, and the fields of their rows."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAGIC: Final = "*?[]{}"
"""What `datasets` would read as a pattern in the name of a folder."""


@dataclass(frozen=True)
class MultipleChoice:
    """Choices compared by their likelihood after the query and the delimiter: `acc`, and `acc_norm` by the characters of a choice."""

    name: ClassVar[str] = "multiple_choice"

    delimiter: str = " "
    """Between a query and a choice."""


@dataclass(frozen=True)
class Generation:
    """`exact_match` of what the model writes, white space around it aside, or of the part that `extract` finds."""

    name: ClassVar[str] = "generate"

    delimiter: str = " "
    """Between a prompt and an answer in demonstrations."""
    until: Sequence[str] = ("\n\n",)
    """What ends an answer."""
    max_new_tokens: int = 256
    """Of an answer."""
    extract: str | None = None
    """A regular expression; its last match (or its group) is the answer."""
    ignore_case: bool = False
    """Whether letter case counts."""
    ignore_punctuation: bool = False
    """Whether punctuation counts."""

    def __post_init__(self) -> None:
        if self.extract is not None:
            try:
                re.compile(self.extract)
            except re.error as error:
                raise UsageError(f"extract is no regular expression: {error}.", fix="Write one, e.g. '(\\d+)'.") from error


TaskKind = MultipleChoice | Generation
KINDS: Final[Mapping[str, TaskKind]] = {kind.name: kind for kind in (MultipleChoice(), Generation())}


@dataclass(frozen=True)
class WrittenTask:
    """An own task on disk, ready for `LmEval(written.name, include_path=written.folder)` and for the harness's `--include_path`."""

    name: str
    folder: Path
    file: Path
    """Its YAML."""
    data: Path
    """Its items, as Parquet; the digest is in the name."""
    digest: str
    """Of the items, whatever their order in the file."""
    report: ReadReport = field(repr=False)
    """What was read, used and quarantined."""


def write_task(
    rows: str | Path,
    folder: str | Path,
    *,
    name: str,
    kind: str | TaskKind = MultipleChoice.name,
    fields: Mapping[str, str | Sequence[str]] | None = None,
    examples: str | Path | None = None,
    max_bad_fraction: float = 0.05,
) -> WrittenTask:
    r"""Write own questions as a task of the harness, which then runs without the hub.

    A multiple-choice row has a `query`, `choices` and `gold`: the position of the right choice, its text, or the name of its column.
    A generated row has a `prompt` and an `answer`, or a list of answers of which one is enough.

    The items are written in the order of their digests, so that `limit` takes the same ones whatever the order of the file.
    Demonstrations are drawn from `examples`, or else from the other items. Equal rows stay, each counting as an item.

    Args:
        rows: a JSON Lines file, or another that a pool is read from (.gz, .zst, JSON array, CSV, Parquet).
        folder: made where it is missing; several tasks may share it.
        name: of the task.
        kind: multiple_choice or generate; or `MultipleChoice(…)` or `Generation(…)` with settings.
        fields: the file's names for a row's fields, e.g. {"query": "question", "choices": ["A", "B", "C", "D"], "gold": "answer"}.
        examples: a file of the same fields to draw demonstrations from.
        max_bad_fraction: share of quarantined rows above which no task is written.

    Raises:
        UsageError: a name, kind, field or pattern that cannot be.
        PoolError: a file that cannot be read, or without a good row.
        TooManyBadRows: more quarantined rows than max_bad_fraction.
        EnvironmentFault: the folder cannot be written.

    >>> write_task("ours.jsonl", "tasks", name="ours", fields={"query": "question"})  # doctest: +SKIP
    """
    settings, columns = _checked(name, kind, fields)
    place = resolved(folder)
    if any(mark in str(place) for mark in MAGIC):
        raise UsageError(f"The harness would read {place} as a pattern.", fix=f"Choose a folder without {' '.join(MAGIC)} in its path.")
    items, report = _read(rows, settings, columns)
    demonstrations, further = _read(examples, settings, columns) if examples is not None else ([], ReadReport())
    report = report + further
    _check_rows(report, settings, max_bad_fraction)
    if not items or (examples is not None and not demonstrations):
        raise PoolError(
            f"{rows if not items else examples} has no row that is a {settings.name} item.", fix="See the fields of a row.", report=report
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {place}: {error.strerror or error}.", fix="Choose another folder.") from error
    several = any(isinstance(row.get("answer"), list) for row in items + demonstrations)
    digest, data = _write_rows(place, name, items, several)
    files = {"test": str(data)}
    if demonstrations:
        files["shots"] = str(_write_rows(place, f"{name}-shots", demonstrations, several)[1])
    config = _config(name, settings, files) | {"metadata": {"version": 1, "digest": digest, "items": len(items)}}
    path = place / f"{name}.yaml"
    with atomic_write(path) as file:
        # One key a line, its value as JSON, which is YAML.
        file.write("".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in config.items()).encode())
    return WrittenTask(name, place, path, data, digest, report)


def _checked(
    name: str, kind: str | TaskKind, fields: Mapping[str, str | Sequence[str]] | None
) -> tuple[TaskKind, dict[str, str | Sequence[str]]]:
    """The kind's settings, and the file's name for each field of a row.

    Raises:
        UsageError: a kind, name or field that cannot be.
    """
    if isinstance(kind, str) and kind not in KINDS:
        raise UsageError.named(kind, KINDS, noun="kind of task")
    settings = KINDS[kind] if isinstance(kind, str) else kind
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a task.", fix="Use letters, digits, _, - and . only.")
    known = FIELDS[settings.name]
    unknown = [field_name for field_name in fields or {} if field_name not in known]
    if unknown:
        raise UsageError.named(unknown[0], known, noun=f"field of a {settings.name} row")
    return settings, {field_name: (fields or {}).get(field_name, field_name) for field_name in known}


def _check_rows(report: ReadReport, kind: TaskKind, limit: float) -> None:
    if report.bad_fraction <= limit:
        return
    reasons = ", ".join(f"{code} {n}" for code, n in report.quarantined.items())
    first = report.quarantine[0]
    raise TooManyBadRows(
        f"{report.n_quarantined:,} of {counted(report.read, 'row')} {'is' if report.n_quarantined == 1 else 'are'} no {kind.name} items ({reasons}), above {limit:.0%}.",
        fix=f"Correct them (the first: {first.file}, line {first.line}), or raise max_bad_fraction.",
        report=report,
    )


def _config(name: str, kind: TaskKind, files: Mapping[str, str]) -> dict[str, Any]:
    fields = FIELDS[kind.name]
    # Fields by their bare names: through a template, a question of digits would become a number and a list be evaluated.
    config: dict[str, Any] = {
        "task": name,
        # Parquet: read from JSON, texts that are all dates become times.
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": dict(files)},
        "test_split": "test",
        # Named, or the harness would show an item its own answer.
        "fewshot_split": "shots" if "shots" in files else "test",
        "doc_to_text": fields[0],
        "doc_to_target": fields[-1],
        "target_delimiter": kind.delimiter,
        "fewshot_delimiter": "\n\n",
        "output_type": "multiple_choice" if isinstance(kind, MultipleChoice) else "generate_until",
    }
    if isinstance(kind, Generation):
        return config | _scoring(kind)
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")]
    return config | {"doc_to_choice": fields[1], "metric_list": metrics}


def _scoring(kind: Generation) -> dict[str, Any]:
    pattern = {"function": "regex", "regex_pattern": kind.extract or r"(?s)\A.*\Z", "group_select": -1, "fallback": "[invalid]"}
    return {
        "generation_kwargs": {"until": list(kind.until), "max_gen_toks": kind.max_new_tokens, "do_sample": False, "temperature": 0.0},
        "filter_list": [{"name": "extract" if kind.extract else "strip", "filter": [pattern, {"function": "take_first"}]}],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": kind.ignore_case,
                "ignore_punctuation": kind.ignore_punctuation,
            }
        ],
    }


def _write_rows(folder: Path, name: str, rows: list[dict[str, Any]], several: bool) -> tuple[str, Path]:
    """The rows in the order of their digests, as Parquet: the harness draws demonstrations by position."""
    polars = require("polars", needed_by="write_task")
    if several:
        # The harness looks at the first row alone to see whether answers are lists.
        rows = [{**row, "answer": row["answer"] if isinstance(row["answer"], list) else [row["answer"]]} for row in rows]
    ordered = sorted(((fingerprint(row), row) for row in rows), key=lambda entry: entry[0])
    digest = fingerprint([key for key, _ in ordered])
    types = {
        "query": polars.String,
        "choices": polars.List(polars.String),
        "gold": polars.Int64,
        "prompt": polars.String,
        "answer": polars.List(polars.String) if several else polars.String,
    }
    path = folder / f"{name}-{digest[:16]}.parquet"
    frame = polars.DataFrame([row for _, row in ordered], schema={key: types[key] for key in rows[0]})
    with atomic_write(path) as file:
        frame.write_parquet(file, statistics=False)
    return digest, path


def _read(rows: str | Path, kind: TaskKind, columns: Mapping[str, Any]) -> tuple[list[dict[str, Any]], ReadReport]:
    """The good rows of a file, and the read report of all."""
    source = open_source(rows, Limits())
    check = _choice if isinstance(kind, MultipleChoice) else _answered
    items: list[dict[str, Any]] = []
    quarantine: list[Quarantined] = []
    codes: Counter[str] = Counter()
    for row, value in source.rows():
        fault = row.fault
        if fault is None:
            try:
                items.append(check(_fields(value, columns), columns))
                if isinstance(kind, MultipleChoice):
                    _check_delimiter(items[-1], kind.delimiter, source.name, row.line)
            except RowFault as error:
                fault = error
        if fault is not None:
            codes[fault.code] += 1
            if len(quarantine) < LISTED:
                quarantine.append(Quarantined(source.name, row.line, row.offset, fault.code, fault.detail))
    read = len(items) + sum(codes.values())
    return items, ReadReport(read, len(items), len(items), quarantined=dict(sorted(codes.items())), quarantine=tuple(quarantine))


def _fields(value: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowFault("not_an_object", f"a row is an object, not {type(value).__name__}")

    def one(column: str) -> Any:
        if value.get(column) is None:
            raise RowFault("missing_field", f"no {column}")
        return value[column]

    return {name: one(column) if isinstance(column, str) else [one(part) for part in column] for name, column in columns.items()}


def _choice(item: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    query, choices, gold = item["query"], item["choices"], item["gold"]
    if not isinstance(query, str):
        raise RowFault("not_text", f"the query is {type(query).__name__}")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise RowFault("not_text", "the choices are no list of texts")
    if len(choices) < 2:
        raise RowFault("too_few_choices", f"{len(choices)} choices")
    if not all(choices):
        raise RowFault("empty_choice", "a choice is empty")
    if len(set(choices)) < len(choices):
        raise RowFault("equal_choices", "two choices are equal")
    if isinstance(gold, str):
        names = [] if isinstance(columns["choices"], str) else [str(column) for column in columns["choices"]]
        position = next((texts.index(gold) for texts in (choices, names) if gold in texts), -1)
    else:
        position = gold if isinstance(gold, int) and not isinstance(gold, bool) else -1
    if not 0 <= position < len(choices):
        raise RowFault("unknown_gold", f"gold is none of the {len(choices)} choices")
    return {"query": query, "choices": choices, "gold": position}


def _check_delimiter(item: Mapping[str, Any], delimiter: str, file: str, line: int) -> None:
    if delimiter[-1:] in string.whitespace and delimiter and any(choice[0] in string.whitespace for choice in item["choices"]):
        raise UsageError(
            f"{file}, line {line}: a choice begins with white space, and so the delimiter would stand twice before it.",
            fix="Set kind=MultipleChoice(delimiter=''), or strip the choices.",
        )


def _answered(item: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    prompt, answer = item["prompt"], item["answer"]
    answers = answer if isinstance(answer, list) else [answer]
    if not isinstance(prompt, str) or not all(isinstance(text, str) for text in answers):
        raise RowFault("not_text", "prompt and answer are texts")
    if not prompt.strip():
        raise RowFault("empty_prompt", "nothing to answer")
    # What the model writes is compared without the white space around it.
    answers = [text.strip() for text in answers]
    if not answers or not all(answers):
        raise RowFault("empty_answer", "no answer to compare with")
    return {"prompt": prompt, "answer": answers if isinstance(answer, list) else answers[0]}


__all__ = ["Generation", "MultipleChoice", "WrittenTask", "write_task"]
