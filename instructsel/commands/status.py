"""instructsel status: the runs that have not ended, and how to go on with those that were stopped."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Final

import orjson
import typer

from instructsel.cache import Cache
from instructsel.commands import _options as options
from instructsel.commands._console import reported
from instructsel.commands.cache import existing, moment, one_line
from instructsel.scores.progress import runs
from instructsel.text import aligned

EXAMPLES: Final = "Examples:\n  instructsel status\n  instructsel status --json\n"


@reported
def command(
    cache: options.CacheFolder = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show the scoring runs that have not ended: how far each is, and the command that goes on with a stopped one."""
    store = existing(cache)
    found = unfinished(store)
    if json:
        typer.echo(orjson.dumps({"folder": str(store.folder), "runs": found}, option=orjson.OPT_INDENT_2).decode())
        return
    if not found:
        typer.echo(one_line(f"no unfinished run in {store.folder}"))
    for number, run in enumerate(found):
        typer.echo("\n".join([""] * bool(number) + lines(run)))


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def unfinished(store: Cache) -> list[dict[str, Any]]:
    """The runs of a cache that have not ended, as plain data, oldest first.

    `state` is working or stopped; `next` is what goes on with a stopped one, the same command as before.
    """
    found = []
    for told in runs(store):
        noted = told.get("progress")
        progress: dict[str, Any] = noted if isinstance(noted, dict) else {}
        symbols = list(dict.fromkeys([*_texts(told.get("indicators")), *progress]))
        command, folder = told.get("command"), told.get("folder")
        again = command if isinstance(command, str) and command else None
        if again and isinstance(folder, str) and folder != str(Path.cwd()):
            again = f"cd {shlex.quote(folder)} && {again}"
        found.append(
            {
                "state": "working" if told["alive"] else "stopped",
                "process": told["process"],
                "pools": _texts(told.get("pools")),
                "target": str(told.get("target", "")),
                "started": moment(told.get("started")),
                "updated": moment(told.get("updated")),
                "silent_seconds": _since(told.get("updated", told.get("started"))),
                "indicators": [{"symbol": symbol, **_counts(progress.get(symbol))} for symbol in symbols],
                "next": None if told["alive"] else again or "Run the same command again.",
            }
        )
    return found


def lines(run: dict[str, Any]) -> list[str]:
    """A run for people."""
    about = f"process {run['process']}" if run["state"] == "working" else "its process is gone; what was scored is in the cache"
    rows = [
        ["", each["symbol"], f"{each['done']:,} of {each['total']:,}", f"{each['percent']} %"]
        if each["total"]
        else ["", each["symbol"], "not begun", ""]
        for each in run["indicators"]
    ]
    heard = f", last heard of {run['silent_seconds']:,.0f} s ago" if run["silent_seconds"] is not None else ""
    found = [
        f"{', '.join(run['pools']) or 'unknown pool'} → {run['target'] or 'unknown'}: {run['state']} ({about})",
        *aligned(rows, right=(2, 3)),
        f"  begun {run['started'] or 'at an unknown time'}{heard}",
    ]
    return [one_line(text) for text in [*found, *([f"  to go on: {run['next']}"] if run["next"] else [])]]


def _counts(told: Any) -> dict[str, int | None]:
    """How far an indicator is; nothing known is nothing claimed."""
    if not (isinstance(told, list) and len(told) == 2 and all(isinstance(each, int) for each in told) and told[1] > 0):
        return {"done": 0, "total": None, "percent": 0}
    # Rounded down: 100 % is only what is done.
    return {"done": told[0], "total": told[1], "percent": 100 * told[0] // told[1]}


def _texts(told: Any) -> list[str]:
    return [str(each) for each in told] if isinstance(told, list) else []


def _since(told: Any) -> float | None:
    return round(max(0.0, time.time() - told), 1) if isinstance(told, int | float) else None
