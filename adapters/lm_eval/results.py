"""Read the result folders of lm-evaluation-harness."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.lm_eval.conditions import computed_with, model_arguments, run_settings
from instructsel.adapters.lm_eval.samples import KIND, HarnessRun, Rows, samples_hash
from instructsel.adapters.lm_eval.tasks import short_metric
from instructsel.errors import ObservationsError, UsageError
from instructsel.models.answers import first_line
from instructsel.protocols import Grades

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
    results = _parsed(file.read_bytes(), str(file))
    if stamp is None or not all(isinstance(results.get(key), dict) for key in PARTS):
        raise ObservationsError(
            f"{file} is no results file of lm-evaluation-harness.", fix="Name a results_….json written by --output_path."
        )
    rows = {str(leaf): _samples(file, str(leaf), stamp[1], results) for leaf in results["configs"]}
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
    stated = results.get("config")
    config: dict[str, Any] = stated if isinstance(stated, dict) else {}
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


PARTS: Final = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
"""What every results file of the harness has."""


def _results_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise UsageError(f"{path} does not exist.", fix="Name a results_….json of the harness, or a folder with one.")
    files = sorted(file for file in path.rglob("*.json") if STAMP.search(file.name))
    if len(files) == 1:
        return files[0]
    if files:
        raise UsageError(f"{path} has {len(files)} results files.", fix=f"Name one, e.g. {files[-1]}")
    raise UsageError(f"There is no results_….json in {path}.", fix="Run the harness with --output_path and --log_samples.")


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ObservationsError(f"{where} is not JSON: {first_line(error)}", fix="Run the harness again.") from error
    if not isinstance(parsed, dict):
        raise ObservationsError(f"{where} holds {type(parsed).__name__}, not an object.", fix="Run the harness again.")
    return parsed


ROW: Final = ("doc_id", "doc_hash", "prompt_hash", "target_hash", "filter", "metrics", "resps")


def _samples(file: Path, leaf: str, stamp: str, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples of a task, checked against what the results file says of them."""
    samples = file.with_name(f"samples_{leaf}_{stamp}.jsonl")
    try:
        data = samples.read_bytes()
    except OSError as error:
        raise ObservationsError(
            f"{file.name} has no sibling file with the samples of {leaf}, and without them no item has a value.",
            fix="Run the harness again with --log_samples.",
        ) from error
    rows = [_parsed(line, f"{samples}, line {number}") for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    for number, row in enumerate(rows, start=1):
        if any(key not in row for key in ROW) or not isinstance(row["metrics"], list) or not isinstance(row["doc_id"], int):
            raise ObservationsError(
                f"{samples}, row {number} is no sample of the harness.", fix="Run the harness again with --log_samples."
            )
    effective = results["n-samples"].get(leaf, {}).get("effective")
    counts = Counter(str(row["filter"]) for row in rows)
    hashes = results.get("task_hashes")
    expected = hashes.get(leaf) if isinstance(hashes, dict) else None
    if not rows or any(count < (effective or 1) for count in counts.values()) or (expected is not None and expected != samples_hash(rows)):
        raise ObservationsError(
            f"{samples} is not whole, or of another run than {file.name}: {max(counts.values(), default=0)} items, and {effective} were graded.",
            fix="Run the harness again with --log_samples.",
        )
    return rows


def _tasks(results: Mapping[str, Any], rows: Rows) -> dict[str, list[str]]:
    """What the run was for: groups that stand in no other, and tasks that stand in none."""
    # Some releases list tasks, too, as groups without members.
    groups = {str(name): [str(member) for member in members] for name, members in (results.get("group_subtasks") or {}).items() if members}
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
