"""Defects that are planted into rows of real pools: what each is called, which checks must name the row, and how it is made.

A plant is registered by `@plant(...)` over a function of a clean row, a `Ground` and a strength from 1 (plain to see) down to 0 (hard to see);
it returns the rows that are planted in the row's place, each of which must be named. A row is `{"messages": [...]}`, with `tools` where the pool
has tools; bytes are a line as it stands. Files of this folder called `plants_*.py` are read by the benchmark.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Row = dict[str, Any]
Planted = list[Row | bytes]


@dataclass
class Ground:
    """What a plant grows on: seeded chance, other rows of the pool, and the shared data."""

    rng: random.Random
    others: Sequence[Row]
    """Clean rows of the same pool, none of which stands in the file."""
    data: Path
    """The folder of the shared data."""
    cache: dict[str, Any] = field(default_factory=dict)
    """For what plants read from the shared data, once for all."""

    def other(self) -> Row:
        """A clean row that stands nowhere in the file."""
        return copy.deepcopy(self.rng.choice(self.others))


@dataclass(frozen=True)
class Plant:
    """A kind of defect."""

    kind: str
    """In a few words."""
    checks: tuple[str, ...]
    """Kinds of the gate's checks; one of them must name the row."""
    make: Callable[[Row, Ground, float], Planted]
    strengths: tuple[float, ...]
    rivals: tuple[str, ...]
    """The rival's checks of the same kind; empty where it has none."""
    keeps: bool
    """Whether the clean row stays in the file, as what is copied or contradicted."""
    on_tools: bool
    """Whether it is planted in a pool of tools."""
    benchmark: str
    """What the rival's index calls the evaluation set that items are of; empty for all other kinds."""
    settings: Mapping[str, Any]
    """Under [defaults] of the gate's configuration; texts may name {data}."""


PLANTS: Final[list[Plant]] = []


def plant(
    kind: str,
    *checks: str,
    strengths: tuple[float, ...] = (1.0,),
    rivals: tuple[str, ...] = (),
    keeps: bool = False,
    on_tools: bool = False,
    benchmark: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Callable[[Callable[[Row, Ground, float], Planted]], Callable[[Row, Ground, float], Planted]]:
    """Register a kind of defect."""

    def registered(make: Callable[[Row, Ground, float], Planted]) -> Callable[[Row, Ground, float], Planted]:
        PLANTS.append(Plant(kind, checks, make, strengths, rivals, keeps, on_tools, benchmark, settings or {}))
        return make

    return registered


def response(row: Row) -> dict[str, Any]:
    """The last turn of the model, to be changed in place."""
    return next(turn for turn in reversed(row["messages"]) if turn["role"] == "assistant")


def prompt(row: Row) -> dict[str, Any]:
    """The last turn of the user, to be changed in place."""
    return next(turn for turn in reversed(row["messages"]) if turn["role"] == "user")


def with_response(row: Row, text: str) -> Row:
    """The row with another response."""
    changed = copy.deepcopy(row)
    response(changed)["content"] = text
    return changed


def with_prompt(row: Row, text: str) -> Row:
    """The row with another prompt."""
    changed = copy.deepcopy(row)
    prompt(changed)["content"] = text
    return changed


def inside(text: str, piece: str, strength: float, rng: random.Random) -> str:
    """A piece in a text: all by itself at 1, at the end of a line of its own at 0.6, in the middle between words below."""
    if strength >= 1:
        return piece
    if strength >= 0.5:
        return f"{text}\n{piece}"
    words = text.split(" ")
    place = rng.randrange(len(words) + 1)
    return " ".join([*words[:place], piece, *words[place:]])


def longer(row: Row, ground: Ground) -> Row:
    """The row with an exchange of another row in front of it, so that there are several turns."""
    return {**row, "messages": [*ground.other()["messages"][-2:], *copy.deepcopy(row["messages"])]}
