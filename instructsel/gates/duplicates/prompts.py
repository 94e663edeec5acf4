"""The prompts of rows with what can be compared of their responses, as arrays that hold no text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.duplicates.responses import Answer
from instructsel.gates.duplicates.texts import prompt_key
from instructsel.pool.example import Example

HELD: Final = 16
"""Content words of a response that are held: all of a short one, of a longer one those with the smallest hashes, a sample that two alike share."""
ARRAYS: Final = ("prompt", "response", "number", "label", "n_words", "words")


@dataclass(frozen=True, eq=False)
class Asked:
    """Prompts and responses, a line a row. Make them with `of`, or `stored`."""

    prompt: NDArray[np.uint64]
    """(n,), what `prompt_key` gives; 0 for no prompt."""
    response: NDArray[np.uint64]
    number: NDArray[np.uint64]
    label: NDArray[np.uint32]
    """(n, 2)."""
    n_words: NDArray[np.uint32]
    words: NDArray[np.uint32]
    """(n, HELD), the smallest of a response's content words, ascending; 0 behind them where there are fewer."""

    @classmethod
    def of(cls, examples: Iterable[Example], n: int) -> Self:
        """Of rows."""
        prompt, response, number = (np.zeros(n, dtype=np.uint64) for _ in range(3))
        label, n_words, words = np.zeros((n, 2), np.uint32), np.zeros(n, np.uint32), np.zeros((n, HELD), np.uint32)
        for row, example in enumerate(examples):
            answer = Answer.of(example.response)
            prompt[row], response[row], number[row] = prompt_key(example), answer.digest, answer.number
            label[row], n_words[row] = answer.label, answer.n_words
            listed = sorted(answer.words)[:HELD]
            words[row, : len(listed)] = listed
        return cls(prompt, response, number, label, n_words, words)

    @classmethod
    def stored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From `arrays`.

        Raises:
            ValueError: they do not belong together.
        """
        prompts = cls(*(arrays[name] for name in ARRAYS))
        if (
            len({len(array) for array in prompts.arrays.values()}) > 1
            or prompts.label.shape[1:] != (2,)
            or prompts.words.shape[1:] != (HELD,)
        ):
            raise ValueError("prompts and responses do not belong together")
        return prompts

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    def answer(self, row: int) -> Answer:
        """What of a response is known."""
        words = frozenset(word for word in self.words[row].tolist() if word)
        return Answer(
            int(self.response[row]),
            (int(self.label[row, 0]), int(self.label[row, 1])),
            int(self.number[row]),
            int(self.n_words[row]),
            words,
            is_whole=len(words) < HELD,
        )

    def held(self, row: int) -> set[int]:
        """The content words of a response that are held."""
        return {word for word in self.words[row].tolist() if word}


class OwnAsked:
    """Prompts and responses of rows that are at hand: of a response is computed what is asked for, as few are compared at all."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples
        self._answers: dict[int, Answer] = {}

    @cached_property
    def prompt(self) -> NDArray[np.uint64]:
        """(n,), what `prompt_key` gives; 0 for no prompt."""
        return np.fromiter(map(prompt_key, self._examples), dtype=np.uint64, count=len(self._examples))

    def answer(self, row: int) -> Answer:
        """What of a response is compared."""
        if row not in self._answers:
            self._answers[row] = Answer.of(self._examples[row].response)
        return self._answers[row]

    def held(self, row: int) -> set[int]:
        """Those of its content words that a baseline would hold."""
        return {word for word in sorted(self.answer(row).words)[:HELD] if word}

    def likeness(self, row: int, other: Asked | OwnAsked, other_row: int) -> float:
        """The share of content words that two responses have in common, estimated from those that are held; exact for short ones."""
        one, two = self.held(row), other.held(other_row)
        smallest = sorted(one | two)[:HELD]
        return sum(word in one and word in two for word in smallest) / len(smallest) if smallest else 1.0


__all__ = ["Asked", "OwnAsked"]
