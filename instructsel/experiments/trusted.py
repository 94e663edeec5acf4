"""Settings that send texts or secrets somewhere, or run code: they count only where the user states them.

A plan and a settings file may be somebody else's. A plan that holds one of these runs when the user repeats it, as a flag or in
`Experiment.confirmed`; a settings file may not hold them at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.paths import resolved

REACHING: Final[Mapping[str, str]] = {
    "include_path": "takes tasks, which may hold code, from {value}",
    "allow_unsafe_code": "has code run that models write",
    "allow_task_code": "has code run that tasks and annotators bring along",
    "judge_url": "has instructions and responses sent to {value}",
    "judge_key": "has the environment variable {value} sent to {address}",
    "annotator": "has instructions and responses judged by the annotator {value}, which may send them and a key to a server",
    "report_to": "has losses sent to the tracker {value}",
    "project": "has the tracker file its runs under {value}",
}
"""Setting of a plan → what it does; the only list of them."""
OFF: Final[Mapping[str, Any]] = {
    "include_path": None,
    "allow_unsafe_code": False,
    "allow_task_code": False,
    "judge_url": None,
    "judge_key": None,
    "annotator": None,
    "report_to": "none",
    "project": "instructsel",
}
"""Setting → the value with which it does nothing."""


def reaching(*settings: Any) -> dict[str, Any]:
    """The settings of a plan that reach out, and their values.

    Args:
        settings: the plan's groups: dataclasses.

    >>> from instructsel.experiments.plan import GradingSettings, TrainingSettings
    >>> reaching(TrainingSettings("base", report_to="wandb"), GradingSettings(allow_task_code=True))
    {'allow_task_code': True, 'report_to': 'wandb'}
    """
    values = {name: getattr(group, name) for name in REACHING for group in settings if hasattr(group, name)}
    if values.get("report_to") == OFF["report_to"]:
        # Without a tracker nothing is filed.
        values.pop("project", None)
    return {name: value for name, value in values.items() if value != OFF[name]}


def agrees(stated: Any, repeated: Any) -> bool:
    """Whether a repeated setting is the one in the plan; a local folder may be written in several ways."""
    if stated == repeated:
        return True
    if not isinstance(stated, str | Path) or not isinstance(repeated, str | Path):
        return False
    local = isinstance(stated, Path) or Path(stated).exists()
    return local and resolved(stated) == resolved(repeated)


def does(name: str, values: Mapping[str, Any]) -> str:
    """What a setting does, in words.

    Args:
        name: of the setting.
        values: those of the plan that reach out.
    """
    return REACHING[name].format(value=values[name], address=values.get("judge_url") or "the judge")


def flags(values: Mapping[str, Any], names: Iterable[str] | None = None) -> list[str]:
    """The flags that repeat settings.

    >>> flags({"judge_key": "KEY", "allow_task_code": True})
    ['--judge-key', 'KEY', '--allow-task-code']
    """
    written: list[str] = []
    for name in values if names is None else names:
        flag, value = f"--{name.replace('_', '-')}", values[name]
        written += [flag] if value is True else [flag, str(value)]
    return written


__all__ = ["OFF", "REACHING", "agrees", "does", "flags", "reaching"]
