"""The formats of this folder, in the order they are tried."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.pool import formats
from instructsel.pool.formats._base import Format, TableFormat, listed
from instructsel.pool.formats._beside import NAMES as BESIDE
from instructsel.pool.formats._rows import fitting_names
from instructsel.pool.formats._turns import is_chat
from instructsel.pool.formats.mapped import Mapped

PAIRS: Final = (
    *(("chosen", "rejected"), ("output_1", "output_2"), ("response1", "response2"), ("pos", "neg"), ("better", "worse")),
    *(("chosen_response", "rejected_response"), ("response_chosen", "response_rejected"), ("preferred_output", "non_preferred_output")),
    *(("response_a", "response_b"), ("response_0", "response_1"), ("response_1", "response_2"), ("response_j", "response_k")),
    *(("answer_a", "answer_b"), ("answer_0", "answer_1"), ("completion_a", "completion_b"), ("conversation_a", "conversation_b")),
    *(("preferred", "dispreferred"), ("winner", "loser"), ("accepted", "rejected")),
)
"""The two sides of preference pairs."""
PREFERENCE_KEYS: Final = tuple(map(set, PAIRS))
PREFERRED: Final = tuple(dict.fromkeys(side for side, _ in PAIRS))
"""Of each pair, the side that is named first."""
ASKS: Final = ("instruction", "prompt", "question", "query", "problem", "input", "inputs", "user", "human", "source", "message")
ANSWERS: Final = ("output", "response", "completion", "answer", "solution", "targets", "target", "assistant", "gpt", "bot")
"""Likely names of an instruction and a response, for what a message proposes."""
TEXT: Final = "text"
RENDERED: Final = re.compile(r"###|\[INST\]|<\|?\w+\|?>|^(?:human|user)\s*:", re.IGNORECASE)
RENDERED_AT: Final = 4096
"""Name of a whole conversation that a template has made one text of, what marks it, and the characters that are looked at."""
HISTORY: Final = BESIDE["history"]
"""Names of the turns before an instruction."""
ROLES: Final = frozenset({"role", "from", "speaker", "author", "sender", "who"})
"""Fields of a turn that are likely to be its role."""
OTHER_ROLES: Final = ("author", "speaker", "sender", "who", "type")
TURN_TEXTS: Final = ("content", "text", "value", "message")
"""Fields of turns without one of the usual names that are likely to be role and text."""
SPEAKERS: Final = frozenset(
    {"role", "from", "speaker", "author", "sender", "who", "human", "user", "assistant", "Human", "User", "Assistant"}
)
"""Fields of an object that is likely to be a turn."""
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
    is_pairs: bool = False
    """Whether the rows are preference pairs."""


def detect(rows: Sequence[Any], *, oasst: str = "best-path") -> Detected:
    """Tell the format from the first rows of a file: the one that fits most of them, the one that reads more at a tie.

    A row that it does not fit is read in its own format; a file is refused where half of its rows or more fit none.
    """
    objects = [row for row in rows if isinstance(row, Mapping)]
    if not objects:
        return Detected(None, "no row is a JSON object", 'A pool has one object a row, e.g. {"instruction": …, "output": …}.')
    candidates = formats_of_rows(oasst)
    fits = [set(fitting_names(candidates, row)) for row in objects]
    fitting = {candidate.name: sum(candidate.name in names for names in fits) for candidate in candidates}
    best = max(candidates, key=lambda candidate: fitting[candidate.name])
    if all({"chosen", "rejected"} <= row.keys() for row in objects):
        return _no_format(objects, best if fitting[best.name] == len(objects) else None)
    any_fits = sum(bool(names) for names in fits)
    if 2 * any_fits <= len(objects) or not fitting[best.name]:
        return _no_format(objects)
    why = next(reason for row in objects if (reason := best.fits(row)) is not None)
    others = [name for name, count in fitting.items() if name != best.name and count == fitting[best.name]]
    also = [f"also fits {', '.join(others)}"] if others and fitting[best.name] == any_fits else []
    return Detected(best, "; ".join([why, *also]))


def formats_of_rows(oasst: str = "best-path") -> list[Format]:
    """Every format of the folder, by precedence."""
    return [make(name, oasst=oasst) for name in classes()]


def _no_format(objects: Sequence[Mapping[str, Any]], fits: Format | None = None) -> Detected:
    keys = sorted({str(key) for row in objects for key in row})
    shown = ", ".join(key if len(key) <= 32 else key[:31] + "…" for key in keys[:12]) + (" …" if len(keys) > 12 else "")
    if any(pair <= set(keys) for pair in PREFERENCE_KEYS):
        return Detected(
            None, f"these are preference pairs (fields {shown}), not instruction–response pairs", _one_side(objects, fits), is_pairs=True
        )
    if all(isinstance(text := row.get(TEXT), str) and RENDERED.search(text[:RENDERED_AT]) for row in objects):
        return Detected(
            None,
            f"each row is one text that a template has made of its turns (fields {shown})",
            "Name the data that it was made of, or split the text at the marks of the template into turns: they are not read",
        )
    asks = {"instruction", "prompt", "question", "turns"} & set(keys)
    answers = {"output", "response", "completion", "answer", "answers"} & set(keys)
    if asks and not answers:
        return Detected(
            None,
            f"the rows have no answers (fields {shown})",
            "A pool needs a response in every row; if a field holds it, name it with --map instruction=FIELD,response=FIELD",
        )
    return Detected(None, f"no known format has the fields {shown}", _by_map(objects))


def _by_map(objects: Sequence[Mapping[str, Any]]) -> str:
    """How to read rows of no known format."""
    ask, answer = _text_field(objects, ASKS), _text_field(objects, ANSWERS)
    lists = sorted({str(key) for key in objects[0] if all(holds_turns(row.get(key)) for row in objects)})
    history = [name for name in HISTORY if name in objects[0]]
    lists = [name for name in lists if name not in history]
    if lists and not (ask and answer):
        return f"Name them with --map messages={lists[0]},{_keys_of_turns([turn for row in objects for turn in listed(row[lists[0]])])}"
    earlier = f",history={history[0]}" if ask and answer and history else ""
    return f"Name them with --map instruction={ask or 'FIELD'},response={answer or 'FIELD'}{earlier}"


def keys_of_turns(rows: Sequence[Mapping[str, Any]]) -> str:
    """How to read rows that have a list of turns whose role stands under another name; "" where there is none."""
    for name in rows[0] if rows else ():
        turns = [turn for row in rows for turn in _entries(row.get(name))]
        role = next((key for key in OTHER_ROLES if turns and all(isinstance(turn.get(key), str) for turn in turns)), None)
        text = next((key for key in TURN_TEXTS if all(isinstance(turn.get(key), str) for turn in turns)), None)
        if role is not None and text is not None:
            return f"Name their keys with --map messages={name},role={role},content={text}"
    return ""


def _entries(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list of objects; none of anything else."""
    entries = listed(value)
    return entries if isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries) else []


def _keys_of_turns(turns: Sequence[Mapping[str, Any]]) -> str:
    """The part of a mapping that names the role and the text of turns, where every turn has one field of a role and one other text."""
    shared = [str(key) for key in turns[0] if all(isinstance(turn.get(key), str) for turn in turns)]
    roles, texts = [key for key in shared if key in ROLES], [key for key in shared if key not in ROLES]
    return f"role={roles[0] if len(roles) == 1 else 'KEY'},content={texts[0] if len(roles) == len(texts) == 1 else 'KEY'}"


def _text_field(objects: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str | None:
    """The first of these fields that is a text in every row, in whatever capitals."""
    spelled = {str(key).lower(): str(key) for key in reversed(list(objects[0]))}
    likely = [spelled[name] for name in names if name in spelled]
    return next((name for name in likely if all(isinstance(row.get(name), str) for row in objects)), None)


def holds_turns(value: Any) -> bool:
    """Whether a field holds a list of objects that are likely to be turns."""
    entries = listed(value)
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(entry, Mapping) and not SPEAKERS.isdisjoint(entry) for entry in entries)
    )


def _one_side(objects: Sequence[Mapping[str, Any]], fits: Format | None) -> str:
    """How to read preference pairs as a pool."""
    if fits is not None:
        return f"To read the conversation that stands beside them, add --format {fits.name}"
    side = next((key for key in PREFERRED if all(key in row for row in objects)), "FIELD")
    if all(is_chat(row.get(side)) for row in objects):
        return f"Name one side with --map messages={side}"
    return f"Name one side with --map instruction={_text_field(objects, ASKS) or 'FIELD'},response={side}"
