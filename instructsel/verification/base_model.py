"""What a base model says of itself, beside its weights."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final, Required, TypedDict

from instructsel.errors import StudyError
from instructsel.structured import Refusal, parse_json, read_bytes

RECORD: Final = "tinybase.json"
"""benchmarks/models/tinybase writes it beside the weights."""


class TaskRecord(TypedDict):
    """What a base reaches in a task, and what chance does."""

    value: float
    chance: float


class JudgedRecord(TypedDict, total=False):
    """Whether a base is better than chance."""

    enough_model: Required[bool]
    tasks: dict[str, TaskRecord] | None


class BaseRecord(TypedDict, total=False):
    """The record beside a base's weights."""

    judged: JudgedRecord | None


def judged_base(base: str) -> dict[str, Any] | None:
    """Whether a base is better than chance, where a record beside its weights says so; None for others.

    Raises:
        StudyError: a record that cannot be read.
    """
    path = Path(base) / RECORD
    if not os.path.isfile(path):
        return None
    refusal = Refusal(StudyError, "Judge the base again, or remove the file.")
    data = read_bytes(path, refusal)
    judged = parse_json(data, BaseRecord, path, refusal).get("judged")
    if judged is None:
        return None
    tasks = judged.get("tasks") or {}
    values = ", ".join(f"{name} {task['value']:.3f} (chance {task['chance']:.2f})" for name, task in sorted(tasks.items()))
    return {"enough": judged["enough_model"], "said": values, "digest": hashlib.blake2b(data, digest_size=16).hexdigest()}


__all__ = ["judged_base"]
