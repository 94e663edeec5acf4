"""Read the result folders of lm-evaluation-harness."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Required, TypedDict

from instructsel.adapters.lm_eval.conditions import computed_with, model_arguments, run_settings
from instructsel.adapters.lm_eval.samples import KIND, HarnessRun, Rows, samples_hash
from instructsel.adapters.lm_eval.tasks import short_metric
from instructsel.errors import ObservationsError, UsageError
from instructsel.protocols import Grades
from instructsel.shapes import is_path
from instructsel.structured import Refusal, parse_json, read_bytes
from instructsel.text import excerpt

STAMP: Final = re.compile(r"_(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)\.json$")
"""How the harness ends the name of a results file."""


def read_results(path: str | Path) -> list[Grades]:
    """Finished results of the harness's command line as grades, one for each metric of each task or group.

    They are named as those of `LmEval`, so that runs of the harness on two checkpoints can be compared. Nothing says what the model
    saw of an item, so that none counts as truncated. Metrics that exist only over all items together are passed over and named in the
    records.

    Args:
        path: a `results_….json` written with --output_path and --log_samples, or a folder with one.

    Raises:
        UsageError: no results file there, or several.
        ObservationsError: no samples next to it, or files that are damaged, or not of one run.
    """
    file = _results_file(Path(path))
    stamp = STAMP.search(file.name)
    refusal = Refusal(ObservationsError, "Name a results_….json written by --output_path.", noun="a results file of lm-evaluation-harness")
    if stamp is None:
        raise refusal.of(file, "its name should end in a time")
    # The harness writes NaN, which is no JSON.
    results = parse_json(read_bytes(file, refusal), ResultsRecord, file, refusal, loads=json.loads)
    rows = {leaf: _samples(file, leaf, stamp[1], results) for leaf in results["configs"]}
    record = _record(results, rows)
    tasks = _tasks(results, rows)
    if not tasks:
        raise ObservationsError(f"{file} names no task that has samples.", fix="Run the harness again with --log_samples.")
    grades: list[Grades] = []
    for task, leaves in tasks.items():
        task_rows = {leaf: rows[leaf] for leaf in leaves}
        metrics = [name for name in _metrics(results, leaves[0]) if all(name in _metrics(results, leaf) for leaf in leaves)]
        without_items = [name for name in metrics if not _per_item(task_rows, name)]
        run = HarnessRun(results, task_rows, {**record, "without_items": without_items}, text=True)
        grades += [
            run.grades(task, metric, name=f"{KIND}:{task}:{short_metric(metric)}") for metric in metrics if metric not in without_items
        ]
    return grades


def _record(results: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """What the results file says of the run."""
    config: dict[str, Any] = results.get("config") or {}
    return {
        "harness": results.get("lm_eval_version"),
        "git_hash": None,
        "model": str(results.get("model_name") or "").rstrip("/").rpartition("/")[2] or None,
        "limit": config.get("limit"),
        "batch_size": config.get("batch_size"),
        "seed": config.get("fewshot_seed"),
        "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
        "chat_template_sha": results.get("chat_template_sha"),
        "apply_chat_template": results.get("chat_template_sha") is not None,
        "system_instruction": results.get("system_instruction") or results.get("system_instruction_sha"),
        "model_args": run_settings(model_arguments(config.get("model_args"))),
        "computed_with": computed_with(results),
        "hashes": {leaf: samples_hash(samples) for leaf, samples in rows.items()},
    }


ResultsRecord = TypedDict(
    "ResultsRecord",
    {
        "results": Required[dict[str, dict[str, Any]]],
        "configs": Required[dict[str, dict[str, Any]]],
        "versions": Required[dict[str, Any]],
        "n-shot": Required[dict[str, Any]],
        "higher_is_better": Required[dict[str, dict[str, bool | None]]],
        "n-samples": Required[dict[str, dict[str, int | None]]],
        "group_subtasks": dict[str, list[str]] | None,
        "task_hashes": dict[str, str] | None,
        "config": dict[str, Any] | None,
        "lm_eval_version": str | None,
        "model_name": str | None,
        "model_source": str | None,
        "chat_template_sha": str | None,
        "system_instruction": str | None,
        "system_instruction_sha": str | None,
        "fewshot_as_multiturn": bool | None,
    },
    total=False,
)
"""What a results file of the harness has."""


class SampleRecord(TypedDict, total=False):
    """A row of a samples file."""

    doc_id: Required[int]
    doc: Any
    doc_hash: Required[str]
    prompt_hash: Required[str]
    target_hash: Required[str]
    filter: Required[str]
    metrics: Required[list[str]]
    resps: Required[Any]


def _results_file(path: Path) -> Path:
    if os.path.isfile(path):
        return path
    if not os.path.exists(path):
        raise UsageError(f"{path} does not exist.", fix="Name a results_….json of the harness, or a folder with one.")
    files = sorted(file for file in path.rglob("*.json") if STAMP.search(file.name))
    if len(files) == 1:
        return files[0]
    if files:
        raise UsageError(f"{path} has {len(files)} results files.", fix=f"Name one, e.g. {files[-1]}")
    raise UsageError(f"There is no results_….json in {path}.", fix="Run the harness with --output_path and --log_samples.")


def _samples(file: Path, leaf: str, stamp: str, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples of a task, checked against what the results file says of them."""
    name = f"samples_{leaf}_{stamp}.jsonl"
    samples = file.with_name(name) if is_path(name) and "/" not in name else file.with_name("samples")
    again = "Run the harness again with --log_samples."
    if not os.path.exists(samples):
        raise ObservationsError(
            f"{file.name} has no sibling file with the samples of {excerpt(leaf)}, and without them no item has a value.", fix=again
        )
    refusal = Refusal(ObservationsError, again)
    lines = read_bytes(samples, refusal).split(b"\n")
    rows: list[dict[str, Any]] = [
        parse_json(line, SampleRecord, f"{samples}, line {number}", refusal, loads=json.loads)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    effective = results["n-samples"].get(leaf, {}).get("effective")
    counts = Counter(str(row["filter"]) for row in rows)
    expected = (results.get("task_hashes") or {}).get(leaf)
    if not rows or any(count < (effective or 1) for count in counts.values()) or (expected is not None and expected != samples_hash(rows)):
        raise ObservationsError(
            f"{samples} is not whole, or of another run than {file.name}: {max(counts.values(), default=0)} items, and {effective} were graded.",
            fix="Run the harness again with --log_samples.",
        )
    return rows


def _tasks(results: Mapping[str, Any], rows: Rows) -> dict[str, list[str]]:
    """What the run was for: groups that stand in no other, and tasks that stand in none."""
    # Some releases list tasks, too, as groups without members.
    groups = {name: members for name, members in (results.get("group_subtasks") or {}).items() if members}
    inside = {member for members in groups.values() for member in members}

    def leaves(name: str, above: frozenset[str]) -> list[str]:
        if name in groups and name not in above:
            return [leaf for member in groups[name] for leaf in leaves(member, above | {name})]
        return [name] if name in rows else []

    wanted = [name for name in [*groups, *rows] if name not in inside]
    return {name: below for name in dict.fromkeys(wanted) if (below := leaves(name, frozenset()))}


def _metrics(results: Mapping[str, Any], leaf: str) -> list[str]:
    return [key for key in results["results"].get(leaf, {}) if "," in key and not key.rpartition(",")[0].endswith("_stderr")]


def _per_item(rows: Rows, metric: str) -> bool:
    bare, _, filter_name = metric.rpartition(",")
    return any(isinstance(row.get(bare), int | float) for samples in rows.values() for row in samples if row["filter"] == filter_name)
