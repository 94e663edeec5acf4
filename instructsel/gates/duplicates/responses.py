"""When two responses to one prompt contradict one another.

The rule: they name different labels (yes and no, true and false, A and B, positive and negative); their results are different numbers; both
are short and have fewer than half of their content words in common, or one is a word or two that the other does not have; or they are about
different things, so that of two longer responses one at least has nothing to do with the other.

Prompts that ask for one of many (write, suggest, name an example, at random) have no wrong answer: of these only responses about
different things contradict. Two essays on one question do not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from instructsel.gates.contamination.words import EVERYWHERE, words_of
from instructsel.neighbors.word_hashes import WordHashes
from instructsel.pool.normal_form import normal_form, operators

SHORT: Final = 8
"""Words of a short response."""
FEW: Final = 3
"""Words of a response that another one has to have."""
UNRELATED: Final = 0.1
"""Share of the content words of two responses that are about different things, at most."""
LONG: Final = 6
"""Content words of a response that is about something."""
ALIKE: Final = 0.5
"""Share of the content words of two short responses."""
OPEN: Final = re.compile(
    r"(?i)\b(?:write|compose|suggest|propose|brainstorm|invent|imagine|design|generate|create|come up with|think of|make up|make a|make an|"
    r"rewrite|rephrase|paraphrase|reword|edit|describe|recommend|draft|summari[sz]e|construct|pick|choose any|pretend|random(?:ly)?|"
    r"tell (?:me|us)|(?:give|provide|name|list|state|identify|find|share|offer|show)(?: me| us)? (?:an?|any|one|some|two|three|four|five|six|"
    r"seven|eight|ten|several|\d+|examples?|ideas?)\b|for example|an example|such as|what could|what might|who could|how could|headline|"
    r"slogan|title|caption|joke|riddle|poem|story|haiku|metaphor|simile|synonyms?|antonyms?|translate)"
)
"""Prompts with more than one right response."""
LABELS: Final = (
    {"yes": 1, "yeah": 1, "yep": 1, "no": 2, "nope": 2},
    {"true": 1, "false": 2},
    {"correct": 1, "incorrect": 2, "right": 1, "wrong": 2},
    {"positive": 1, "negative": 2, "neutral": 3, "mixed": 4},
    {"entailment": 1, "contradiction": 2},
    {"valid": 1, "invalid": 2},
    {"possible": 1, "impossible": 2},
    {"spam": 1, "ham": 2},
    {"agree": 1, "disagree": 2},
)
"""Families of labels."""
CHOICE: Final = re.compile(r"^\W*(?:the )?(?:correct )?(?:answer|option|choice)?(?: is)?\W*\(?([a-e])\b(?:\W|$)", re.IGNORECASE)
RESULT: Final = re.compile(
    r"(?:####|\\boxed\{|(?:answer|result|total|sum) (?:is|=|:)|=)\s*\$?\s*(-?\d[\d,]*(?:\.\d+)?(?:/\d+)?)", re.IGNORECASE
)
NUMBER: Final = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")

_HASHES: Final = WordHashes()


@dataclass(frozen=True, slots=True)
class Answer:
    """What of a response is compared. No text of it, so that a baseline can hold it."""

    digest: int
    """Of its normal form."""
    label: tuple[int, int]
    """Family and label; (0, 0) where it begins with none."""
    number: int
    """A digest of its result; 0 where it has none or more than one."""
    n_words: int
    words: frozenset[int]
    """Hashes of its content words; of a response without any, of all of them."""
    is_whole: bool = True
    """Whether `words` are all of them: of a long response a baseline holds a few."""
    result: str = ""
    """The number, where it is known."""

    @classmethod
    def of(cls, response: str) -> Self:
        """Of a response."""
        form = normal_form(response)
        words = words_of(response)
        number = _number(response, len(words))
        return cls(
            _digest("\0".join((form, *operators(response)))),
            _label(response, words),
            _digest(number) if number else 0,
            len(words),
            content_words(words) or _hashed(words),
            result=number,
        )


def content_words(words: Iterable[str]) -> frozenset[int]:
    """The words that are not everywhere, as numbers of 32 bits."""
    return _hashed(word for word in words if word not in EVERYWHERE)


def _hashed(words: Iterable[str]) -> frozenset[int]:
    return frozenset(_HASHES[word] & 0xFFFFFFFF for word in words)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def contradiction(one: Answer, other: Answer, prompt: str) -> str | None:
    """How two responses to a prompt contradict one another, as the end of a sentence; None where they do not.

    >>> contradiction(Answer.of("Paris."), Answer.of("Lyon"), "What is the capital of France?")
    'the two short answers are different ones'
    >>> contradiction(Answer.of("The capital is Paris."), Answer.of("Paris"), "What is the capital of France?") is None
    True
    """
    if one.digest == other.digest or not one.n_words or not other.n_words:
        return None
    if not OPEN.search(prompt):
        if one.label[0] and one.label[0] == other.label[0]:
            return None if one.label == other.label else "one says the opposite of the other"
        if one.number and other.number:
            named = (
                f"the results are {one.result} and {other.result}" if one.result and other.result else "the results are different numbers"
            )
            return None if one.number == other.number else named
        if different := _short(one, other):
            return different
    return _other_things(one, other, prompt)


def _short(one: Answer, other: Answer) -> str | None:
    common = len(one.words & other.words)
    if max(one.n_words, other.n_words) <= SHORT:
        alike = common == min(len(one.words), len(other.words)) or common >= ALIKE * len(one.words | other.words)
        return None if alike else "the two short answers are different ones"
    if not (one.is_whole and other.is_whole):
        return None
    few, many = sorted((one, other), key=lambda answer: answer.n_words)
    if few.n_words <= FEW and not few.label[0] and not common and not few.number and many.n_words <= LONG * FEW:
        return "the short answer does not stand in the other"
    return None


def _other_things(one: Answer, other: Answer, prompt: str) -> str | None:
    """Whether of two longer responses one takes words of the prompt up, and the other has none of these and none of the first."""
    if min(len(one.words), len(other.words)) < LONG or not (one.is_whole and other.is_whole):
        return None
    subject = content_words(words_of(prompt))
    first, second = len(one.words & subject), len(other.words & subject)
    common = len(one.words & other.words)
    if common > max(1, UNRELATED * min(len(one.words), len(other.words))) or (first > 0) == (second > 0):
        return None
    if max(first, second) < min(2, len(subject)):
        return None
    return "one of them has no word of the prompt, and hardly one of the other"


def _label(response: str, words: list[str]) -> tuple[int, int]:
    """The label that a response begins with, or is."""
    choice = CHOICE.match(response[:60])
    # "A" begins sentences, too.
    if choice and (len(words) == 1 or response[choice.end(1) : choice.end(1) + 1] in (")", ".", ":", "")):
        return len(LABELS) + 1, ord(choice[1].lower())
    if not words:
        return 0, 0
    for family, labels in enumerate(LABELS, 1):
        if words[0] in labels and (len(words) == 1 or family <= 2 or len(words) <= FEW):
            return family, labels[words[0]]
    return 0, 0


def _number(response: str, n_words: int) -> str:
    """The number that is a response's result: the last that is called so, or the only one of a short response."""
    results = RESULT.findall(response)
    if results:
        return _plain(results[-1])
    numbers = NUMBER.findall(response) if n_words <= SHORT else []
    return _plain(numbers[0]) if len(numbers) == 1 else ""


def _plain(number: str) -> str:
    text = number.replace(",", "")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.lstrip("0") or "0" if not text.startswith("-") else text


__all__ = ["Answer", "content_words", "contradiction"]
