"""Whether a turn is trained on, in the spellings of public pools: OpenAI's, Axolotl's, MS-Swift's, …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from instructsel.pool.formats._base import Fields, kind, listed
from instructsel.pool.formats._marks import says_unwanted
from instructsel.pool.lines import RowFault

WEIGHTS: Final = (
    *("weight", "train", "training", "trainable", "loss", "loss_mask", "loss_weight", "loss_scale", "is_trainable", "trained"),
    *("is_trained", "should_train", "do_train", "train_on", "train_on_turn", "compute_loss", "calculate_loss", "has_loss", "with_loss"),
    *("include_in_loss", "in_loss", "is_target", "learn", "supervise", "supervised", "use_for_training", "use_in_training"),
)
"""Names of what says whether a turn is trained on."""
MASKED: Final = (
    *("masked", "is_masked", "loss_masked", "ignore", "ignored", "ignore_loss", "no_loss", "no_train", "skip_loss", "exclude_from_loss"),
    *("skip", "skipped", "skip_training", "exclude_from_training"),
)
"""Names of what says that it is not."""
PERHAPS: Final = frozenset({"learn", "is_target", "supervise", "supervised", "skip", "skipped"})
"""Those of either that are also names of other things, and say it where they hold a truth value."""
UNCLEAR: Final = "mask"
"""A name that some pools give to the one and some to the other."""
DETAILS: Final = ("train_detail", "training_detail")
"""Names of Axolotl's list of stretches of a text that are trained on or not."""
HOLDERS: Final = ("metadata", "meta")
"""Fields of a turn that may hold the names above."""
WEIGHT_FIELDS: Final = frozenset({*WEIGHTS, *MASKED, UNCLEAR, *DETAILS})
TRUTHS: Final = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "on": 1.0, "off": 0.0}


def weight(value: Any, field: str, where: str) -> float:
    """A truth value or a number from 0, or the text of either."""
    number = value
    if isinstance(value, str):
        try:
            number = TRUTHS[value.strip().lower()] if value.strip().lower() in TRUTHS else float(value)
        except ValueError:
            number = None
    if not isinstance(number, bool | int | float) or not 0 <= number < float("inf"):
        raise RowFault("bad_weight", f"{where} has a '{field}' that is neither true nor false nor a number from 0")
    return float(number)


def weight_of(turn: Fields, where: str, *, is_answer: bool = True) -> float | None:
    """Whether a turn is trained on, under the first of its names that says so; 0 where any of them says that it is not.

    Args:
        turn: with whatever it has.
        where: it stands, for messages.
        is_answer: whether the model wrote it: of other turns only their weights are read.

    Raises:
        RowFault: a name holds what is no weight, or is not clear; or a part of the turn is trained on and another is not.
    """
    weights = _weights(turn, where)
    if is_answer:
        for name in HOLDERS:
            if isinstance(held := turn.get(name), Mapping):
                weights += _weights({key: value for key, value in held.items() if isinstance(value, bool | int | float)}, where)
        if isinstance(value := turn.get(UNCLEAR), bool | int | float):
            raise RowFault("bad_weight", f"{where} has '{UNCLEAR}': {value}, which may mean either; 'train' or 'masked' says which")
        weights += [0.0 for name in says_unwanted(turn) if name]
        for name in DETAILS:
            if (stretches := listed(turn.get(name))) and (value := _of_stretches(stretches, turn, name, where)) is not None:
                weights.append(value)
    return None if not weights else 0.0 if 0 in weights else weights[0]


def weight_of_parts(parts: Sequence[Any], where: str) -> float | None:
    """The weight that the parts of a content have; None where they say nothing.

    Raises:
        RowFault: one has another than the next.
    """
    weights = [weight_of(part, where) if isinstance(part, Mapping) else None for part in parts]
    stated = {value for value in weights if value is not None}
    if not stated:
        return None
    if len(stated) > 1 or (None in weights and stated != {1.0}):
        raise RowFault("partial_weight", f"{where} has parts that are trained on and parts that are not")
    return stated.pop()


def _weights(fields: Fields, where: str) -> list[float]:
    weights = [weight(fields[key], key, where) for key in WEIGHTS if _says(fields, key)]
    return weights + [0.0 for key in MASKED if _says(fields, key) and weight(fields[key], key, where)]


def _says(fields: Fields, key: str) -> bool:
    value = fields.get(key)
    return value is not None and (key not in PERHAPS or isinstance(value, bool))


def _of_stretches(stretches: Any, turn: Fields, name: str, where: str) -> float | None:
    """1 where all stretches of a text are trained on, 0 where none of it is; None for no stretches."""
    if not isinstance(stretches, list) or not all(isinstance(stretch, Mapping) for stretch in stretches):
        raise RowFault("bad_weight", f"{where} has {kind(stretches)} for '{name}' where stretches of its text belong")
    trained = [weight(stretch.get("train", True), "train", where) for stretch in stretches]
    if all(trained):
        return 1.0
    text = next((turn[key] for key in ("content", "value", "text") if isinstance(turn.get(key), str)), "")
    if not any(trained) and _covered(stretches) >= len(text):
        return 0.0
    raise RowFault("partial_weight", f"{where} has stretches that are trained on and stretches that are not")


def _covered(stretches: Sequence[Mapping[str, Any]]) -> int:
    """The characters from the beginning on that the stretches cover; their ends are inclusive."""
    covered = 0
    ends = [(stretch.get("begin_offset"), stretch.get("end_offset")) for stretch in stretches]
    for begin, end in sorted((begin, end) for begin, end in ends if isinstance(begin, int) and isinstance(end, int)):
        if begin > covered:
            break
        covered = max(covered, end + 1)
    return covered


__all__ = ["WEIGHTS", "WEIGHT_FIELDS", "weight", "weight_of", "weight_of_parts"]
