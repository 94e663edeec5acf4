"""instructsel status: what has not ended (scorings, studies, verifications), how far it is, and how to go on."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.cache import Cache
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, write, write_json
from instructsel.commands._progress import span
from instructsel.commands.cache import existing, moment, one_line
from instructsel.errors import InstructselError, UsageError
from instructsel.experiments.leases import Leases
from instructsel.experiments.plan import PLAN as EXPERIMENT_PLAN
from instructsel.experiments.plan import Experiment
from instructsel.experiments.store import RUNS
from instructsel.indicators import registry
from instructsel.indicators.base import ModelIndicator
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.scores.progress import runs
from instructsel.study.folder import PLAN, StudyFolder
from instructsel.text import aligned
from instructsel.verification.planned import TABLE
from instructsel.verification.results import VERDICT

AGAIN: Final = "  go on with: "
EXAMPLES: Final = "Examples:\n  instructsel status\n  instructsel status --json\n"


@reported
def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Folders of studies and verifications; by default those here and one level below."),
    ] = None,
    cache: options.CacheFolder = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show the scorings, studies and verifications that have not ended: how far each is, and the command that goes on."""
    store = existing(cache)
    scorings, trials = unfinished(store), experiments(folders)
    if json:
        record = {"folder": str(store.folder), "runs": scorings, "experiments": trials}
        write_json(record)
        return
    if not scorings:
        display(one_line(f"no unfinished scoring in {store.folder}"))
    if not trials:
        display("no unfinished study or verification here")
    for block in [*map(lines, scorings), *map(_trial_lines, trials)]:
        display()
        for line in block:
            # A command stays on one line, to be copied.
            if line.startswith(AGAIN):
                write(line)
            else:
                display(line)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def unfinished(store: Cache) -> list[dict[str, Any]]:
    """The scorings of a cache that have not ended, as plain data, oldest first.

    `state` is working or stopped; `next` is what goes on with a stopped one, the same command as before. `resumes` says of an
    indicator whether what was scored is in the cache: those that ask no model are computed again.
    """
    scorings = []
    for record in runs(store):
        reported_progress = record.get("progress")
        progress: dict[str, Any] = reported_progress if isinstance(reported_progress, dict) else {}
        symbols = list(dict.fromkeys([*_texts(record.get("indicators")), *progress]))
        command, folder = record.get("command"), record.get("folder")
        again = command if isinstance(command, str) and command else None
        if again and isinstance(folder, str) and folder != str(Path.cwd()):
            again = f"cd {shlex.quote(folder)} && {again}"
        scorings.append(
            {
                "state": "working" if record["alive"] else "stopped",
                "process": record["process"],
                "pools": _texts(record.get("pools")),
                "target": str(record.get("target", "")),
                "started": moment(record.get("started")),
                "updated": moment(record.get("updated")),
                "silent_seconds": _since(record.get("updated", record.get("started"))),
                "indicators": [{"symbol": symbol, **_counts(progress.get(symbol)), "resumes": _is_cached(symbol)} for symbol in symbols],
                "next": None if record["alive"] else again or "Run the same command again.",
            }
        )
    return scorings


def lines(scoring: dict[str, Any]) -> list[str]:
    """A scoring for people."""
    stopped = scoring["state"] == "stopped"
    rows = [
        [
            "",
            indicator["symbol"],
            f"{indicator['done']:,} of {indicator['total']:,}" if indicator["total"] else "not started",
            f"{indicator['percent']}%" if indicator["total"] else "",
            ("in the cache" if indicator["resumes"] else "starts again") if stopped and indicator["total"] else "",
        ]
        for indicator in scoring["indicators"]
    ]
    silent = f", last report {span(scoring['silent_seconds'])} ago" if scoring["silent_seconds"] is not None else ""
    state = f"stopped (process {scoring['process']} has ended)" if stopped else f"working (process {scoring['process']})"
    texts = [
        f"{', '.join(scoring['pools']) or 'unknown pool'} → {scoring['target'] or 'unknown'}: {state}",
        *aligned(rows, right=(2, 3)),
        f"  started {scoring['started'] or 'at an unknown time'}{silent}",
    ]
    return [one_line(text) for text in [*texts, *([f"{AGAIN}{scoring['next']}"] if scoring["next"] else [])]]


def experiments(folders: Sequence[Path] | None) -> list[dict[str, Any]]:
    """The studies and verifications in these folders, as plain data; without folders, the unfinished ones here and one level below.

    Raises:
        UsageError: a named folder holds neither.
    """
    if folders:
        named = [_experiment(folder) for folder in folders]
        for folder, record in zip(folders, named, strict=True):
            if record is None:
                raise UsageError(
                    f"{folder} holds neither a study nor a verification.",
                    fix="Name the folder that study plan or verify was given with -o.",
                )
        return [record for record in named if record is not None]
    place = Path()
    below = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")) if os.access(place, os.R_OK) else []
    records = [_experiment(folder) for folder in (place, *below)]
    return [record for record in records if record is not None and record["state"] != "finished"]


def _experiment(folder: Path) -> dict[str, Any] | None:
    if (folder / PLAN).is_file():
        return _study(folder)
    if (folder / RUNS).is_dir():
        return _verification(folder)
    return None


def _study(folder: Path) -> dict[str, Any]:
    try:
        study = StudyFolder(folder)
        plan = study.read()
        assert plan is not None
        status = study.status(plan)
    except InstructselError as error:
        return {"kind": "study", "folder": str(folder), "state": "damaged", "message": error.message, "next": None}
    workers = len(status.running)
    state = "working" if workers else "stopped" if status.pending or status.failed else "finished"
    return {
        "kind": "study",
        "folder": str(folder),
        "state": state,
        "total": status.total,
        "finished": len(status.finished),
        "failed": len(status.failed),
        "running": [run.name for run in status.running],
        "seconds_left": status.seconds_left(workers) if workers else None,
        "next": f"instructsel study run {shlex.quote(str(folder))}" if state == "stopped" else None,
    }


def _verification(folder: Path) -> dict[str, Any] | None:
    """How many models a verification has graded, and of how many where its plan is beside them."""
    graded, failed = set(), set()
    for path in sorted((folder / RUNS).glob("*.json")):
        if path.name.endswith(".failed.json"):
            failed.add(path.name.removesuffix(".failed.json"))
        else:
            graded.add(path.name.removesuffix(".json").rpartition(".")[0])
    # Of finished results alone there is no run, and a table.
    if not graded and not failed and not (folder / TABLE).is_file():
        return None
    running = sorted(Leases(folder / RUNS).active())
    plan = _plan_in(folder)
    total = None if plan is None else _models_planned(plan)
    # The table is written after every call, whatever is pending.
    finished = (folder / TABLE).is_file() and not _pending(folder / VERDICT) and (total is None or len(graded) >= total)
    state = "working" if running else "finished" if finished else "stopped"
    return {
        "kind": "verification",
        "folder": str(folder),
        "state": state,
        "total": total,
        "finished": len(graded),
        "failed": len(failed),
        "running": running,
        "seconds_left": None,
        "next": _verify_again(folder, plan) if state == "stopped" else None,
    }


def _pending(verdict: Path) -> bool:
    """Whether a verdict names runs that were pending when it was written; one that cannot be read names none."""
    try:
        content = orjson.loads(verdict.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(content, dict) and bool(content.get("pending"))


def _verify_again(folder: Path, plan: Experiment | None) -> str:
    target = shlex.quote(str(folder))
    if (folder / EXPERIMENT_PLAN).is_file():
        confirmations = shlex.join(plan.confirmations) if plan is not None else ""
        return f"instructsel verify {shlex.quote(str(folder / EXPERIMENT_PLAN))} -o {target} {confirmations}".rstrip()
    return f"the same instructsel verify command with -o {target}"


def _plan_in(folder: Path) -> Experiment | None:
    """The plan beside results; None without one that can be read."""
    with suppress(InstructselError):
        return Experiment.read(folder / EXPERIMENT_PLAN)
    return None


def _models_planned(plan: Experiment) -> int:
    """The models that a verification's plan has graded."""
    trained = sum(len(arm.rows) + arm.random_subsets for arm in plan.arms) * plan.seeds
    return trained + sum(sum(map(len, arm.checkpoints)) + arm.base_model for arm in plan.arms)


def _trial_lines(trial: dict[str, Any]) -> list[str]:
    """A study or verification for people."""
    texts = [f"{trial['kind']} {trial['folder']}: {trial['state']}"]
    if "message" in trial:
        return [one_line(text) for text in [*texts, f"  {trial['message']}"]]
    total = f" of {trial['total']:,}" if trial["total"] is not None else ""
    texts.append(
        f"  {trial['finished']:,}{total} runs finished, {trial['failed']:,} failed, {len(trial['running']):,} at work"
        + (f", about {span(trial['seconds_left'])} left" if trial["seconds_left"] is not None else "")
    )
    return [one_line(text) for text in [*texts, *([f"{AGAIN}{trial['next']}"] if trial["next"] else [])]]


def _is_cached(symbol: str) -> bool:
    """Whether what an indicator computes is kept in the cache: what comes from a model is."""
    try:
        return isinstance(registry.make(symbol), ModelIndicator | NeighborDistance)
    except InstructselError:
        return False


def _counts(progress: Any) -> dict[str, int | None]:
    """How far an indicator is; nothing known is nothing claimed."""
    if not (isinstance(progress, list) and len(progress) == 2 and all(isinstance(count, int) for count in progress) and progress[1] > 0):
        return {"done": 0, "total": None, "percent": 0}
    # Rounded down: 100% is only what is done.
    return {"done": progress[0], "total": progress[1], "percent": 100 * progress[0] // progress[1]}


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []


def _since(moment_reported: Any) -> float | None:
    return round(max(0.0, time.time() - moment_reported), 1) if isinstance(moment_reported, int | float) else None
