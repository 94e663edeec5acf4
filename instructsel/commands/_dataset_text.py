"""What `datasets` prints of an entry of the catalogue and of a conversion, and what it checks before any work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from instructsel import kinds
from instructsel.artifact import check_outputs, check_replaced, file_digest, manifest_path
from instructsel.errors import UsageError
from instructsel.mixtures.catalogue import Dataset
from instructsel.mixtures.conversions import Conversion, Result, make
from instructsel.mixtures.conversions._registry import classes
from instructsel.pool.naming import files_of
from instructsel.pool.outputs import check_apart
from instructsel.structured import Refusal, read_bytes
from instructsel.text import aligned

UNKNOWN: Final = "unknown"
WRITERS: Final[Mapping[str, str]] = {
    "human": "people",
    "model": "a model",
    "human-and-model": "both",
    "nlp-datasets": "NLP sets",
    "mixture": "several",
}
"""Kind of a generation, as the list says it."""
MAX_TASKS: Final = 1 << 24
"""Bytes of a list of tasks."""
LISTED: Final = 3
"""Quarantined rows that are shown."""
PARTS: Final[Mapping[str, str]] = {
    "zero_shot": "instances without examples",
    "few_shot": "instances with examples",
    "not_sampled": "instances not sampled",
    "deleted": "messages deleted",
    "not_followed": "replies not followed",
    "pieces": "pieces",
    "exchange_too_long": "exchanges longer than the limit",
    "piece_not_alternating": "pieces that do not alternate",
}
"""What became of parts of rows, in words."""


def plain(dataset: Dataset) -> dict[str, Any]:
    """An entry as plain data; what is not known is null."""
    return {**asdict(dataset), "hub": dataset.hub}


def table(datasets: Sequence[Dataset]) -> list[str]:
    """One line a dataset, and what the columns are."""
    rows = [
        [
            dataset.key,
            UNKNOWN if dataset.rows is None else f"{dataset.rows:,}",
            "" if dataset.rounds is None else f"{dataset.rounds:.1f}",
            dataset.licence or UNKNOWN,
            "NC" if dataset.non_commercial else "",
            WRITERS[dataset.generation_kind],
        ]
        for dataset in datasets
    ]
    return [
        *aligned(rows, header=["dataset", "rows", "turns", "licence", "", "by"], right=(1, 2)),
        "",
        "turns: exchanges of a row, on average",
        "NC: no commercial use, and none of a mixture that holds it",
        "by: who wrote it; NLP sets: datasets of NLP tasks with instructions of people; both: prompts of people, responses of a model",
        "one of them: instructsel datasets show KEY",
    ]


def page(dataset: Dataset) -> list[str]:
    """Everything that is known of a dataset."""
    rows: list[tuple[str, str]] = [("written by", dataset.generation)]
    turns = "" if dataset.rounds is None else f", {dataset.rounds:.1f} turns each"
    rows.append(("rows", UNKNOWN if dataset.rows is None else f"{dataset.rows:,}{turns}"))
    if dataset.prompt_length is not None:
        rows.append(("tokens", f"{dataset.prompt_length} of a prompt, {dataset.completion_length} of a response (LLaMA's)"))
    rows.append(("licence", dataset.licence or UNKNOWN))
    rows += [("", text) for text in (dataset.licence_note, "no commercial use" if dataset.non_commercial else "") if text]
    if dataset.mixtures:
        rows.append(("mixtures", ", ".join(dataset.mixtures)))
    for source in dataset.sources:
        rows.append(("original", f"hf://{source.address}" if source.host == "hub" else source.url))
        rows += [("", file) for file in source.files]
        rows += [("", source.note)] if source.note else []
    rows += [("format", dataset.format), ("fields read", ", ".join(dataset.fields))]
    rows += [("conversion" if not number else "", text) for number, text in enumerate(dataset.filters)]
    rows += [(name, text) for name, text in (("paper", dataset.paper), ("note", dataset.notes)) if text]
    return [f"{dataset.key}: {dataset.title}", "", *aligned(rows), "", _next(dataset)]


def _next(dataset: Dataset) -> str:
    """The command that goes on."""
    if dataset.conversion is None:
        return f"read it: instructsel score {dataset.hub}"
    flags = " --tokenizer huggyllama/llama-7b" if "tokenizer" in _settings(dataset) else ""
    files = [Path(file).name for source in dataset.sources[:1] for file in source.files if "*" not in file] or ["FILE"]
    shown = "FILE..." if len(files) > 1 or files[0].endswith((".txt", ".zip")) else shlex.quote(files[0])
    return f"convert it: instructsel datasets convert {dataset.key} {shown}{flags} -o {dataset.key}.jsonl"


def _settings(dataset: Dataset) -> list[str]:
    return [entry.name for entry in fields(classes()[dataset.conversion or ""])]


def conversion_of(dataset: Dataset, named: Mapping[str, Any], seed: int) -> Conversion:
    """The conversion of a dataset with the settings that were named.

    Raises:
        UsageError: it has no conversion, or not one of the settings; a tokenizer is missing.
    """
    if dataset.conversion is None:
        raise UsageError(
            f"{dataset.key} needs no conversion: its rows are read as they are (format {dataset.format}).",
            fix=f"Name it where a pool is named: instructsel score {dataset.hub}",
        )
    have = _settings(dataset)
    for name in named:
        if name not in have:
            flags = ", ".join(f"--{entry.replace('_', '-')}" for entry in have if entry != "count")
            raise UsageError(f"--{name.replace('_', '-')} is no setting of {dataset.key}.", fix=f"It has {flags}.")
    settings = dict(named)
    if "count" in have:
        if "tokenizer" not in settings:
            raise UsageError(
                f"The conversion of {dataset.key} has a limit in tokens, and no tokenizer is named.",
                fix="The paper's: --tokenizer huggyllama/llama-7b",
            )
        from instructsel.indicators._tokenizer import tokenizer
        from instructsel.pool.tokens import count_whole

        counter = tokenizer(settings["tokenizer"])
        settings["count"] = lambda texts: count_whole(counter, texts)
    return make(dataset.conversion, seed=seed, **settings)


def tasks_of(path: Path) -> tuple[str, ...]:
    """The names in a list of tasks.

    Raises:
        UsageError: it cannot be read, or holds none.
    """
    data = read_bytes(path, Refusal(UsageError), max_bytes=MAX_TASKS)
    names = tuple(line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip())
    if not names:
        raise UsageError(f"{path} names no task.", fix="It has the name of a task a line, as splits/xlingual/train_tasks.txt has.")
    return names


def check_target(target: Path, inputs: Sequence[str], *, force: bool) -> None:
    """Refuse an output that cannot be written, is an input, or would replace somebody's file. Called before any work.

    Raises:
        UsageError: it is so.
        EnvironmentFault: its folder is missing or not writable.
    """
    if str(target) == "-":
        raise UsageError("The conversations are written to a file, not to stdout.", fix="Name a file with -o.")
    if target.suffix.lower() not in (".jsonl", ".ndjson"):
        raise UsageError(f"The conversations are JSON lines, and {target} does not end so.", fix="For example: -o converted.jsonl")
    flags = dict.fromkeys((target, manifest_path(target)), "-o")
    check_outputs(list(flags), files_of(inputs), flags=flags)
    check_apart(list(flags), inputs, flags=flags)
    check_replaced(target, kinds.CONVERSION, "a conversion", force=force)


def record(result: Result, target: Path | None) -> dict[str, Any]:
    """What was done, as plain data."""
    report = result.report
    return {
        **kinds.head(kinds.CONVERSION),
        "dataset": result.key,
        "output": None if target is None else str(target),
        "sha256": None,
        "settings": result.conversion.settings(),
        "rows": {"read": report.read, "kept": report.kept, "dropped": report.dropped, "quarantined": report.quarantined},
        "conversations": len(result),
        "parts": result.parts,
        "groups": {name: group._asdict() for name, group in result.groups.items()},
        "quarantine": [entry.as_dict() for entry in report.quarantine],
    }


def digests(files: Sequence[str]) -> dict[str, str | None]:
    """File → SHA-256 of its bytes; None of what is no file of this machine."""
    return {name: file_digest(name) if Path(name).is_file() else None for name in files}


def lines(result: Result) -> Iterator[str]:
    """The account, for people."""
    report = result.report
    yield result.sentence()
    for entry in report.quarantine[:LISTED]:
        yield f"  quarantined {Path(entry.file).name}, line {entry.line}, byte {entry.offset}: {entry.reason} ({entry.detail})"
    if report.n_quarantined > LISTED:
        yield f"  … and {report.n_quarantined - LISTED:,} more"
    if result.parts:
        yield "  " + ", ".join(f"{PARTS.get(name, name)} {count:,}" for name, count in result.parts.items())
    for name, group in result.groups.items():
        yield f"  {name}: {group.taken:,} of {group.rows:,} rows, at most {group.quota:,}"


__all__ = ["check_target", "conversion_of", "digests", "lines", "page", "plain", "record", "table"]
