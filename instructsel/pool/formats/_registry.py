"""The formats of this folder, in the order they are tried."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.pool import formats
from instructsel.pool.formats._base import Format, TableFormat
from instructsel.pool.formats.mapped import Mapped

PREFERENCE_KEYS: Final = ({"chosen", "rejected"}, {"output_1", "output_2"}, {"response1", "response2"}, {"pos", "neg"})
SAMPLE: Final = 256
"""How many rows are looked at to tell a file's format."""


@cache
def classes() -> dict[str, type[Format]]:
    """Format name → class, by precedence; read off the files of this folder."""
    listed: list[type[Format]] = []
    for module in pkgutil.iter_modules(formats.__path__):
        if not module.name.startswith("_"):
            held = vars(importlib.import_module(f"{formats.__name__}.{module.name}")).values()
            listed.extend(
                item for item in held if isinstance(item, type) and issubclass(item, Format) and item not in (Format, TableFormat, Mapped)
            )
    return {item.name: item for item in sorted(set(listed), key=lambda item: item.precedence)}


def make(name: str, *, oasst: str = "best-path") -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none of that name.
    """
    known = classes()
    if name not in known:
        raise UsageError.named(name, [*known, "auto"], noun="format")
    cls: Any = known[name]
    return cls(paths=oasst) if name.startswith("oasst") else cls()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Detected:
    """The format of a file and why, or why there is none."""

    format: Format | None
    why: str
    fix: str = ""


def detect(rows: Sequence[Any], *, oasst: str = "best-path") -> Detected:
    """Tell the format from the first rows of a file: the one that fits most of them, the one that reads more at a tie."""
    objects = [row for row in rows if isinstance(row, Mapping)]
    if not objects:
        return Detected(None, "no row is a JSON object", 'A pool has one object a row, e.g. {"instruction": …, "output": …}.')
    if all({"chosen", "rejected"} <= row.keys() for row in objects):
        return _no_format(objects)
    candidates = [make(name, oasst=oasst) for name in classes()]
    fits = [_fitting(candidates, row) for row in objects]
    fitting = {candidate.name: sum(candidate.name in names for names in fits) for candidate in candidates}
    best = max(candidates, key=lambda candidate: fitting[candidate.name])
    if 2 * fitting[best.name] <= len(objects):
        return _no_format(objects)
    why = next(reason for row in objects if (reason := best.fits(row)) is not None)
    others = [name for name, count in fitting.items() if name != best.name and count == fitting[best.name]]
    unread = sorted({str(key) for row in objects[:16] for key in row} - set(best.fields))
    notes = ([f"also fits {', '.join(others)}"] if others else []) + (
        [f"fields not read: {', '.join(unread[:8])}{' …' if len(unread) > 8 else ''}"] if unread else []
    )
    return Detected(best, "; ".join([why, *notes]))


def _fitting(candidates: Sequence[Format], row: Mapping[str, Any]) -> set[str]:
    """The formats that fit a row.

    A table has every column in every row: where what is null counts as absent some format may fit, and then only that one does.
    """
    present = {key: value for key, value in row.items() if value is not None}
    names = {candidate.name for candidate in candidates if candidate.fits(present) is not None}
    if names or len(present) == len(row):
        return names
    return {candidate.name for candidate in candidates if candidate.fits(row) is not None}


def _no_format(objects: Sequence[Mapping[str, Any]]) -> Detected:
    keys = sorted({str(key) for row in objects for key in row})
    shown = ", ".join(key if len(key) <= 32 else key[:31] + "…" for key in keys[:12]) + (" …" if len(keys) > 12 else "")
    if any(pair <= set(keys) for pair in PREFERENCE_KEYS):
        return Detected(
            None,
            f"these are preference pairs (fields {shown}), not instruction–response pairs",
            "Name one side with --map instruction=FIELD,response=FIELD",
        )
    asks = {"instruction", "prompt", "question", "turns"} & set(keys)
    answers = {"output", "response", "completion", "answer", "answers"} & set(keys)
    if asks and not answers:
        return Detected(
            None,
            f"the rows have no answers (fields {shown})",
            "A pool needs a response in every row; if a field holds it, name it with --map instruction=FIELD,response=FIELD",
        )
    return Detected(None, f"no known format has the fields {shown}", "Name them with --map instruction=FIELD,response=FIELD")
