"""What a base model says of itself, beside its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.errors import StudyError

RECORD: Final = "tinybase.json"
"""benchmarks/models/tinybase writes it beside the weights."""


def judged_base(base: str) -> dict[str, Any] | None:
    """Whether a base is better than chance, where a record beside its weights says so; None for others.

    Raises:
        StudyError: a record that cannot be read.
    """
    path = Path(base) / RECORD
    if not path.is_file():
        return None
    try:
        judged = orjson.loads(path.read_bytes()).get("judged")
        if not isinstance(judged, dict):
            return None
        tasks = judged.get("tasks") or {}
        values = ", ".join(f"{name} {task['value']:.3f} (chance {task['chance']:.2f})" for name, task in sorted(tasks.items()))
        return {
            "enough": bool(judged["enough_model"]),
            "said": values,
            "digest": hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        }
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} cannot be read: {error}.", fix="Judge the base again, or remove the file.") from error


__all__ = ["judged_base"]
