"""Ways to make an answer worse; the original is the better one.

Where length could give the pair away, half of a kind's pairs have the longer answer on the better side.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

HERE = Path(__file__).resolve().parent
SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=\S)")
WORD: Final = re.compile(r"\w+")
PLACEHOLDERS: Final = (
    ".",
    "-",
    "N/A",
    "n/a",
    "None",
    "none",
    "null",
    "nan",
    "Noinput",
    "No output",
    "...",
    "?",
    "TODO",
    "<noinput>",
    "x",
    "Output:",
)
KEYS: Final = ("asdf", "jkl;", "qwer", "uiop", "zxcv", "hjkl", "sdfg", "xcvb", "poiu", "lkjh", "1234", "fghj", "wert", "mnbv")
NEIGHBORS: Final = 300
"""Prompts among which the nearest one is looked for."""
TRAINED_ON: Final = 8
"""Of a language's ten texts; refusals are cut in the same proportion."""


class Example(NamedTuple):
    """A prompt and its answer."""

    prompt: str
    response: str


class Worsened(NamedTuple):
    """A pair: the better answer is the original, or a whole part of it."""

    prompt: str
    better: str
    worse: str


@dataclass(frozen=True)
class Words:
    """Texts to answer with that are no answer."""

    refusals: tuple[str, ...]
    other_languages: tuple[str, ...]

    @classmethod
    def load(cls, part: str) -> Words:
        """The train or the test part: no text and, of the languages, no Czech and no Swedish is in both."""
        refusals = [line for line in (HERE / "refusals.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
        texts: dict[str, list[str]] = {}
        for line in (HERE / "other_languages.jsonl").read_text(encoding="utf-8").split("\n"):
            if line:
                row = json.loads(line)
                texts.setdefault(row["language"], []).append(row["text"])
        cut = len(refusals) * TRAINED_ON // 10
        held = ("Czech", "Swedish")
        if part == "train":
            known = [
                text for language, language_texts in sorted(texts.items()) if language not in held for text in language_texts[:TRAINED_ON]
            ]
            return cls(tuple(refusals[:cut]), tuple(known))
        trained_texts = [
            text
            for language, language_texts in sorted(texts.items())
            for text in (language_texts if language in held else language_texts[TRAINED_ON:])
        ]
        return cls(tuple(refusals[cut:]), tuple(trained_texts))


@cache
def test_words() -> Words:
    """What judgement uses."""
    return Words.load("test")


def sentences(text: str) -> list[str]:
    """The sentences of a text, or its lines where it has no full stops."""
    return [sentence for sentence in SENTENCE.split(text.strip()) if sentence.strip()]


def _cut_to(text: str, words: int) -> str:
    """The first words of a text, its line breaks kept."""
    matches = list(re.finditer(r"\S+", text))
    return text if len(matches) <= words else text[: matches[words - 1].end()]


def _near(example: Example, others: Sequence[Example], generator: random.Random, *, related: bool) -> Example | None:
    drawn = generator.sample(list(others), min(NEIGHBORS if related else 40, len(others)))
    drawn = [
        candidate
        for candidate in drawn
        if candidate.prompt != example.prompt and candidate.response.strip() and candidate.response != example.response
    ]
    if not drawn:
        return None
    if related:
        prompt_words = set(WORD.findall(example.prompt.lower()))

        def apart(other: Example) -> float:
            words = set(WORD.findall(other.prompt.lower()))
            return -len(prompt_words & words) / max(1, len(prompt_words | words))
    else:
        size = len(example.response.split())

        def apart(other: Example) -> float:
            return abs(len(other.response.split()) - size)

    return min(drawn, key=apart)


def mismatched(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The answer to another prompt, of about the same length."""
    other = _near(example, others, generator, related=False)
    return None if other is None else Worsened(example.prompt, example.response, other.response)


def near_mismatched(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The answer to the most similar other prompt; its beginning where it is much longer."""
    other = _near(example, others, generator, related=True)
    if other is None:
        return None
    size = len(example.response.split())
    worse = other.response
    if len(worse.split()) > 2 * size + 10:
        parts = sentences(worse)
        while len(parts) > 1 and len(" ".join(parts).split()) > 1.5 * size + 10:
            parts.pop()
        worse = " ".join(parts)
    return Worsened(example.prompt, example.response, worse)


def truncated(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The answer broken off in a sentence; for every other one against a shorter part that ends with its sentence."""
    parts = sentences(example.response)
    if not parts or len(example.response.split()) < 8:
        return None
    if len(parts) > 1 and generator.random() < 0.5:
        count = generator.randrange(1, len(parts))
        better = example.response[: example.response.find(parts[count - 1]) + len(parts[count - 1])] if count > 1 else parts[0]
        following = parts[count].split()
        if len(following) < 3:
            return None
        return Worsened(example.prompt, better, f"{better} {' '.join(following[: generator.randrange(1, len(following) - 1)])}")
    size = len(example.response.split())
    cut = _cut_to(example.response, generator.randrange(max(3, size // 3), size)).rstrip(".!?")
    return Worsened(example.prompt, example.response, cut)


def repeated(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The same sentence over and over, up to the original's length, or after it."""
    parts = sentences(example.response)
    size = len(example.response.split())
    if size < 8:
        return None
    if generator.random() < 0.5:
        last = parts[-1]
        times = generator.randrange(2, 6)
        return Worsened(example.prompt, example.response, " ".join([example.response, *[last] * times]))
    unit = _cut_to(parts[0], max(3, size // generator.randrange(3, 6)))
    filled = " ".join([unit] * (size // len(unit.split()) + 1))
    return Worsened(example.prompt, example.response, _cut_to(filled, size))


def shuffled(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The answer's words in another order."""
    tokens = example.response.split()
    if len(tokens) < 6:
        return None
    order = tokens[:]
    if generator.random() < 0.5:
        generator.shuffle(order)
    else:
        # In small groups: it reads well for a moment.
        groups = [order[start : start + 3] for start in range(0, len(order), 3)]
        generator.shuffle(groups)
        order = [word for group in groups for word in group]
    return None if order == tokens else Worsened(example.prompt, example.response, " ".join(order))


def noised(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """Words left out, doubled, swapped or misspelt, one in eight."""
    tokens = example.response.split()
    if len(tokens) < 6:
        return None
    noised: list[str] = []
    for word in tokens:
        if generator.random() >= 0.125:
            noised.append(word)
            continue
        way = generator.randrange(4)
        if way == 1:
            noised += [word, word]
        elif way == 2 and noised:
            noised.insert(-1, word)
        elif way == 3 and len(word) > 3:
            position = generator.randrange(len(word) - 1)
            noised.append(word[:position] + word[position + 1] + word[position] + word[position + 2 :])
    return None if noised == tokens or not noised else Worsened(example.prompt, example.response, " ".join(noised))


def gibberish(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """Keys struck at random, or words of many other answers."""
    size = max(3, round(len(example.response.split()) * generator.uniform(0.7, 1.4)))
    if generator.random() < 0.4:
        return Worsened(example.prompt, example.response, " ".join(generator.choice(KEYS) for _ in range(size)))
    if generator.random() < 0.3:
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(generator.choice(letters) for _ in range(generator.randrange(2, 9))) for _ in range(size)]
        return Worsened(example.prompt, example.response, " ".join(words))
    drawn: list[str] = []
    while len(drawn) < size:
        source = generator.choice(others).response.split()
        if source:
            drawn.append(generator.choice(source))
    return Worsened(example.prompt, example.response, " ".join(drawn))


def echoed(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """The prompt again, as if it were the answer."""
    size = len(example.response.split())
    if example.response.strip().lower() in example.prompt.lower() or len(example.prompt.split()) < 4:
        return None
    worse = example.prompt if generator.random() < 0.5 else " ".join([example.prompt] * (1 + size // max(1, len(example.prompt.split()))))
    return Worsened(example.prompt, example.response, worse)


def empty(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """A placeholder instead of an answer."""
    if len(example.response.split()) < 3:
        return None
    return Worsened(example.prompt, example.response, generator.choice(PLACEHOLDERS))


def off_language(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """A text in a language nobody asked for, on another matter."""
    if len(example.response.split()) < 3:
        return None
    drawn = generator.sample(words.other_languages, min(12, len(words.other_languages)))
    size = len(example.response)
    closest = min(drawn, key=lambda text: abs(len(text) - size))
    return Worsened(example.prompt, example.response, closest)


def refusing(example: Example, others: Sequence[Example], generator: random.Random, words: Words) -> Worsened | None:
    """A refusal, for longer answers a long one."""
    size = len(example.response.split())
    if size < 3:
        return None
    count = 1 if size < 30 else generator.randrange(1, 4)
    return Worsened(example.prompt, example.response, " ".join(generator.sample(words.refusals, count)))


WAYS: Final[dict[str, Callable[[Example, Sequence[Example], random.Random, Words], Worsened | None]]] = {
    way.__name__: way
    for way in (
        mismatched,
        near_mismatched,
        truncated,
        repeated,
        shuffled,
        noised,
        gibberish,
        echoed,
        empty,
        off_language,
        refusing,
    )
}
KINDS: Final[tuple[str, ...]] = tuple(WAYS)


def corrupt(
    kind: str, example: Example, others: Sequence[Example], generator: random.Random, *, words: Words | None = None
) -> Worsened | None:
    """One pair of this kind, or None where the example does not lend itself to it.

    Args:
        kind: one of KINDS.
        others: examples of the same pool.
        words: refusals and foreign texts; those kept for judgement by default.
    """
    corrupted = WAYS[kind](example, others, generator, words or test_words())
    return None if corrupted is None or corrupted.better.split() == corrupted.worse.split() else corrupted
