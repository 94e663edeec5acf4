"""A small evaluation set, and rows that hold more or less of it."""

from __future__ import annotations

from instructsel.gates.contamination.items import Item
from instructsel.pool.pool import Pool

ASKED = (
    "A baker in Lisbon fills eleven trays with forty custard tarts each morning and sells the burnt ones to a farmer for half their price",
    "Marta cycles nineteen kilometres along the river before breakfast, rests at the old mill, then rows a borrowed boat to the lighthouse",
    "Seven librarians divide ninety crates of damaged atlases among three vans, two of which break down near the frozen harbour at dusk",
)
"""Questions of 22 to 25 words that have no eight words in common."""


def items() -> list[Item]:
    """Its items."""
    return [Item(number, (text,)) for number, text in enumerate(ASKED, 1)]


def part_of(text: str, share: float) -> str:
    """The beginning of a text, of so many of its words."""
    words = text.split()
    return " ".join(words[: round(share * len(words))])


def rows(*prompts: str, response: str = "That depends on the weather.") -> Pool:
    """A pool of prompts, in their order by line."""
    return Pool.of([{"instruction": prompt, "output": response} for prompt in prompts])


__all__ = ["ASKED", "items", "part_of", "rows"]
