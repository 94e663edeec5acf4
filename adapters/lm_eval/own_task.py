"""Write a task of one's own in the layout of lm-evaluation-harness."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import atomic_write, fingerprint
from instructsel.errors import EnvironmentFault, PoolError, TooManyBadRows, UsageError
from instructsel.extras import require
from instructsel.pool.lines import Limits, RowFault
from instructsel.pool.sources import open_source
from instructsel.read_report import LISTED, Quarantined, ReadReport

MULTIPLE_CHOICE: Final = "multiple_choice"


GENERATE: Final = "generate"


KINDS: Final[Mapping[str, tuple[str, ...]]] = {MULTIPLE_CHOICE: ("query", "choices", "gold"), GENERATE: ("prompt", "answer")}
"""Kinds of tasks, and the fields of their rows."""


NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


MAGIC: Final = "*?[]{}"
"""What `datasets` would read as a pattern in the name of a folder."""


@dataclass(frozen=True)
class WrittenTask:
    """A task of one's own on disk, ready for `LmEval(written.name, include_path=written.folder)` and for the harness's `--include_path`."""

    name: str
    folder: Path
    file: Path
    """Its YAML."""
    data: Path
    """Its items, as Parquet; the digest is in the name."""
    digest: str
    """Of the items, whatever their order in the file."""
    report: ReadReport = field(repr=False)
    """What was read, kept and quarantined."""


def write_task(
    rows: str | Path,
    folder: str | Path,
    *,
    name: str,
    kind: str = MULTIPLE_CHOICE,
    fields: Mapping[str, str | Sequence[str]] | None = None,
    examples: str | Path | None = None,
    delimiter: str = " ",
    until: Sequence[str] = ("\n\n",),
    max_new_tokens: int = 256,
    extract: str | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    max_bad_fraction: float = 0.05,
) -> WrittenTask:
    r"""Write questions of one's own as a task of the harness, which then runs without the hub.

    A multiple-choice row has a `query`, `choices` and `gold`: the position of the right choice, its text, or the name of its column.
    The choices are compared by their likelihood after the query and the delimiter: `acc`, and `acc_norm` by the characters of a
    choice. A generated row has a `prompt` and an `answer`, or a list of answers of which one is enough: `exact_match` of what the
    model writes, without the white space around it, or of the part that `extract` finds.

    The items are written in the order of their digests, so that `limit` takes the same ones whatever the order of the file.
    Demonstrations are drawn from `examples`, or else from the other items. Equal rows are kept, each counting as an item.

    Args:
        rows: a JSON Lines file, or another that a pool is read from (.gz, .zst, JSON array, CSV, Parquet).
        folder: made where it is missing; several tasks may share it.
        name: of the task.
        kind: multiple_choice or generate.
        fields: the file's names for a row's fields, e.g. {"query": "question", "choices": ["A", "B", "C", "D"], "gold": "answer"}.
        examples: a file of the same fields to draw demonstrations from.
        delimiter: between a query and a choice, and between a prompt and an answer in demonstrations.
        until: what ends an answer.
        max_new_tokens: of an answer.
        extract: a regular expression; its last match (or its group) is the answer.
        ignore_case: for exact_match.
        ignore_punctuation: for exact_match.
        max_bad_fraction: share of quarantined rows above which no task is written.

    Raises:
        UsageError: a name, kind, field or pattern that cannot be.
        PoolError: a file that cannot be read, or without a good row.
        TooManyBadRows: more quarantined rows than max_bad_fraction.
        EnvironmentFault: the folder cannot be written.

    >>> write_task("ours.jsonl", "tasks", name="ours", fields={"query": "question"})  # doctest: +SKIP
    """
    if kind not in KINDS:
        raise UsageError.named(kind, KINDS, noun="kind of task")
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a task.", fix="Use letters, digits, _, - and . only.")
    unknown = [each for each in fields or {} if each not in KINDS[kind]]
    if unknown:
        raise UsageError.named(unknown[0], KINDS[kind], noun=f"field of a {kind} row")
    if extract is not None:
        try:
            re.compile(extract)
        except re.error as error:
            raise UsageError(f"extract is no regular expression: {error}.") from error
    place = Path(folder).resolve()
    if any(mark in str(place) for mark in MAGIC):
        raise UsageError(f"The harness would read {place} as a pattern.", fix=f"Choose a folder without {' '.join(MAGIC)} in its path.")
    named = {each: (fields or {}).get(each, each) for each in KINDS[kind]}
    kept, report = _read(rows, kind, named, delimiter)
    shots, more = _read(examples, kind, named, delimiter) if examples is not None else ([], ReadReport())
    report = report + more
    if report.bad_fraction > max_bad_fraction:
        raise TooManyBadRows(
            f"{report.n_quarantined} of {report.read} rows are no {kind} items ({', '.join(f'{code} {n}' for code, n in report.quarantined.items())}), above {max_bad_fraction:.0%}.",
            fix=f"Mend them (the first: {report.quarantine[0].file}, line {report.quarantine[0].line}), or raise max_bad_fraction.",
            report=report,
        )
    if not kept or (examples is not None and not shots):
        raise PoolError(
            f"{rows if not kept else examples} has no row that is a {kind} item.", fix="See the fields of a row.", report=report
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {place}: {error.strerror or error}.", fix="Choose another folder.") from error
    several = any(isinstance(row.get("answer"), list) for row in kept + shots)
    digest, data = _write_rows(place, name, kept, several)
    files = {"test": str(data)} | ({"shots": str(_write_rows(place, f"{name}-shots", shots, several)[1])} if shots else {})
    config = _config(name, kind, files, delimiter) | {"metadata": {"version": 1, "digest": digest, "items": len(kept)}}
    if kind == GENERATE:
        config |= _scoring(until, max_new_tokens, extract, ignore_case=ignore_case, ignore_punctuation=ignore_punctuation)
    path = place / f"{name}.yaml"
    with atomic_write(path) as file:
        # One key a line, its value as JSON, which is YAML.
        file.write("".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in config.items()).encode())
    return WrittenTask(name, place, path, data, digest, report)


def _config(name: str, kind: str, files: Mapping[str, str], delimiter: str) -> dict[str, Any]:
    texts = KINDS[kind]
    # Fields by their bare names: through a template, a question of digits would become a number and a list be evaluated.
    found: dict[str, Any] = {
        "task": name,
        # Parquet: read from JSON, texts that are all dates become times.
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": dict(files)},
        "test_split": "test",
        # Named, or the harness would show an item its own answer.
        "fewshot_split": "shots" if "shots" in files else "test",
        "doc_to_text": texts[0],
        "doc_to_target": texts[-1],
        "target_delimiter": delimiter,
        "fewshot_delimiter": "\n\n",
        "output_type": MULTIPLE_CHOICE if kind == MULTIPLE_CHOICE else "generate_until",
    }
    if kind == MULTIPLE_CHOICE:
        metrics = [{"metric": each, "aggregation": "mean", "higher_is_better": True} for each in ("acc", "acc_norm")]
        found |= {"doc_to_choice": texts[1], "metric_list": metrics}
    return found


def _scoring(
    until: Sequence[str], max_new_tokens: int, extract: str | None, *, ignore_case: bool, ignore_punctuation: bool
) -> dict[str, Any]:
    pattern = {"function": "regex", "regex_pattern": extract or r"(?s)\A.*\Z", "group_select": -1, "fallback": "[invalid]"}
    return {
        "generation_kwargs": {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False, "temperature": 0.0},
        "filter_list": [{"name": "extract" if extract else "strip", "filter": [pattern, {"function": "take_first"}]}],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": ignore_case,
                "ignore_punctuation": ignore_punctuation,
            }
        ],
    }


def _write_rows(folder: Path, name: str, rows: list[dict[str, Any]], several: bool) -> tuple[str, Path]:
    """The rows in the order of their digests, as Parquet: the harness draws demonstrations by position."""
    polars = require("polars", needed_by="write_task")
    if several:
        # The harness looks at the first row alone to see whether answers are lists.
        rows = [{**row, "answer": row["answer"] if isinstance(row["answer"], list) else [row["answer"]]} for row in rows]
    ordered = sorted(((fingerprint(row), row) for row in rows), key=lambda each: each[0])
    digest = fingerprint([each for each, _ in ordered])
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


def _read(rows: str | Path, kind: str, named: Mapping[str, Any], delimiter: str) -> tuple[list[dict[str, Any]], ReadReport]:
    """The good rows of a file, and the read report of all."""
    source = open_source(rows, Limits())
    checked = _choice if kind == MULTIPLE_CHOICE else _answered
    kept: list[dict[str, Any]] = []
    bad: list[Quarantined] = []
    codes: Counter[str] = Counter()
    for row, value in source.rows():
        fault = row.fault
        if fault is None:
            try:
                item = _fields(value, named)
                kept.append(checked(item, named))
                if kind == MULTIPLE_CHOICE:
                    _check_delimiter(kept[-1], delimiter, source.name, row.line)
            except RowFault as found:
                fault = found
        if fault is not None:
            codes[fault.code] += 1
            if len(bad) < LISTED:
                bad.append(Quarantined(source.name, row.line, row.offset, fault.code, fault.detail))
    counted = len(kept) + sum(codes.values())
    return kept, ReadReport(counted, len(kept), len(kept), quarantined=dict(sorted(codes.items())), quarantine=tuple(bad))


def _fields(value: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowFault("not_an_object", f"a row is an object, not {type(value).__name__}")

    def one(column: str) -> Any:
        if value.get(column) is None:
            raise RowFault("missing_field", f"no {column}")
        return value[column]

    return {name: one(column) if isinstance(column, str) else [one(each) for each in column] for name, column in named.items()}


def _choice(item: dict[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    query, choices, gold = item["query"], item["choices"], item["gold"]
    if not isinstance(query, str):
        raise RowFault("not_text", f"the query is {type(query).__name__}")
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
        raise RowFault("not_text", "the choices are no list of texts")
    if len(choices) < 2:
        raise RowFault("too_few_choices", f"{len(choices)} choices")
    if not all(choices):
        raise RowFault("empty_choice", "a choice is empty")
    if len(set(choices)) < len(choices):
        raise RowFault("equal_choices", "two choices are equal")
    if isinstance(gold, str):
        columns = [] if isinstance(named["choices"], str) else [str(each) for each in named["choices"]]
        place = next((each.index(gold) for each in (choices, columns) if gold in each), -1)
    else:
        place = gold if isinstance(gold, int) and not isinstance(gold, bool) else -1
    if not 0 <= place < len(choices):
        raise RowFault("unknown_gold", f"gold is none of the {len(choices)} choices")
    return {"query": query, "choices": choices, "gold": place}


def _check_delimiter(item: Mapping[str, Any], delimiter: str, file: str, line: int) -> None:
    if delimiter[-1:] in string.whitespace and delimiter and any(each[0] in string.whitespace for each in item["choices"]):
        raise UsageError(
            f"{file}, line {line}: a choice begins with white space, and so the delimiter would stand twice before it.",
            fix="Say delimiter='', or strip the choices.",
        )


def _answered(item: dict[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    prompt, answer = item["prompt"], item["answer"]
    answers = answer if isinstance(answer, list) else [answer]
    if not isinstance(prompt, str) or not all(isinstance(each, str) for each in answers):
        raise RowFault("not_text", "prompt and answer are texts")
    if not prompt.strip():
        raise RowFault("empty_prompt", "nothing to answer")
    # What the model writes is compared without the white space around it.
    answers = [each.strip() for each in answers]
    if not answers or not all(answers):
        raise RowFault("empty_answer", "no answer to compare with")
    return {"prompt": prompt, "answer": answers if isinstance(answer, list) else answers[0]}
