"""What a model is graded on, by what training rows are compared with: digests of conversations, and long texts that may stand in others.

Rows are the same where they differ in case, punctuation, white space or the way a character is encoded; signs between numbers count.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np

from instructsel.pool.example import Example
from instructsel.pool.message import ANSWERS
from instructsel.pool.normal_form import normal_form, operators
from instructsel.pool.pool import Pool

LEAST_LONG: Final = 50
"""Characters in normal form of a text that is searched for within other texts: shorter ones stand in many by chance."""
ANCHOR: Final = 48
"""Characters of a text by which it is searched for; a row with these is looked at whole."""
ALIKE: Final = 8
"""Texts that may begin alike and be told apart by looking at each."""
BATCH: Final = 4096
"""Rows whose texts are searched at a time."""
SAME: Final = "same"
INSTRUCTION: Final = "instruction"
RESPONSE: Final = "response"
LEVELS: Final = (SAME, INSTRUCTION, RESPONSE)
"""The conversation; its instruction with another response; its response under another instruction."""
Render = Callable[[Example], str | None]
"""What a model sees of an example, as text; None where its chat template refuses it."""
Signs = tuple[str, str, str]
"""Operators of a text: brackets, signs and points."""
Matched = dict[str, dict[int, tuple[int, int]]]
"""Level → position in the evaluation set → pool and position in it of the first row that matches."""


@dataclass(eq=False)
class EvaluationTexts(ABC):
    """The examples of an evaluation set by what they are compared with. An example may be added in several forms."""

    prompts: dict[bytes, list[int]] = field(default_factory=dict, init=False, repr=False)
    """Digest of all before the response → positions."""
    pairs: dict[bytes, list[int]] = field(default_factory=dict, init=False, repr=False)
    """Digest of that and of the response → positions."""
    responses: dict[bytes, list[int]] = field(default_factory=dict, init=False, repr=False)
    """Digest of the response → positions."""
    questions: dict[bytes, list[int]] = field(default_factory=dict, init=False, repr=False)
    """Digest of the last turn before the response → positions."""
    texts: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)
    """Long response in normal form → positions."""
    conversations: dict[str, list[tuple[int, Signs]]] = field(default_factory=dict, init=False, repr=False)
    """Question and answer as one long text → positions, and their operators."""
    parts: dict[str, list[tuple[int, int]]] = field(default_factory=dict, init=False, repr=False)
    """Text of which a question is made → positions, and which of their parts it is."""
    asked: dict[int, _Asked] = field(default_factory=dict, init=False, repr=False)
    """Position → what of its question has to stand in a row."""
    longest: int = field(default=0, init=False, repr=False)
    """Turns before a response, at most."""
    rendered: dict[int, frozenset[bytes]] = field(default_factory=dict, init=False, repr=False)
    """Position → digests of what the model sees of an example, for those that were needed."""

    @abstractmethod
    def examples_of(self, position: int) -> Iterable[Example]:
        """The forms of an example."""

    def add(self, position: int, example: Example) -> None:
        """An example, or a form of one."""
        turns, system = _turns(example)
        response = turns[-1]
        self.longest = max(self.longest, len(turns) - 1)
        answer = _digest(response)
        _listed(self.responses, answer, position)
        if response.has_question:
            _listed(self.questions, _digest(turns[-2]), position)
        # With and without the system's message: the same question may be asked under another one.
        for before in [turns[:-1], [*system, *turns[:-1]]] if system else [turns[:-1]]:
            prompt = _joined(before)
            _listed(self.pairs, prompt + answer, position)
            # Nothing but white space is no instruction, and every set has it in common with every other.
            if any(turn.words for turn in before):
                _listed(self.prompts, prompt, position)
        if len(response.words) >= LEAST_LONG:
            _listed(self.texts, response.words, position)

    def add_question(self, position: int, parts: Sequence[str], answers: Iterable[str]) -> None:
        """A question that may stand within a longer prompt: where all its parts do, in any order, and where an answer is the response.

        Args:
            position: of the example.
            parts: the texts of which the question is made. Together they are long enough to stand nowhere by chance, or they are not
                searched for.
            answers: right ones.
        """
        words = list(dict.fromkeys(text for part in parts if (text := normal_form(part))))
        if sum(map(len, words)) < LEAST_LONG:
            return
        digests = frozenset(_text_digest(text) for text in answers)
        self.asked[position] = _Asked(len(words), tuple(map(operators, parts)), digests)
        for number, text in enumerate(words):
            self.parts.setdefault(text, []).append((position, number))

    def add_conversation(self, position: int, question: str, answer: str) -> None:
        """A question with its answer as one text, which may stand within a row."""
        words = f"{normal_form(question)} {normal_form(answer)}"
        if len(words) >= LEAST_LONG:
            self.conversations.setdefault(words, []).append((position, _together([operators(question), operators(answer)])))

    def matched(self, pools: Sequence[Pool], render: Render | None = None) -> Matched:
        """The examples that stand in rows, each at its strongest level.

        Args:
            pools: the rows to train on.
            render: what the model sees of an example: rows whose last question is one of the evaluation set are compared as rendered, too.
        """
        matched: Matched = {level: {} for level in LEVELS}
        for number, pool in enumerate(pools):
            for position, matches in self._matches(pool, render):
                for level, positions in matches:
                    for evaluated in positions:
                        matched[level].setdefault(evaluated, (number, position))
        for stronger, weaker in ((SAME, INSTRUCTION), (SAME, RESPONSE), (INSTRUCTION, RESPONSE)):
            for position in matched[stronger]:
                matched[weaker].pop(position, None)
        return matched

    @cached_property
    def anchors(self) -> dict[str, list[str]]:
        """Beginning of long texts → these: as long a beginning as it takes to have few of them."""
        anchors: dict[str, list[str]] = {}
        pending, length = list(dict.fromkeys([*self.texts, *self.conversations, *self.parts])), ANCHOR
        while pending:
            groups: dict[str, list[str]] = {}
            for text in pending:
                groups.setdefault(text[:length], []).append(text)
            settled = {beginning: texts for beginning, texts in groups.items() if len(texts) <= ALIKE}
            anchors |= settled
            # A whole text among those that go on is looked for as it is.
            anchors |= {text: [text] for texts in groups.values() if len(texts) > ALIKE for text in texts if len(text) <= length}
            pending = [text for texts in groups.values() if len(texts) > ALIKE for text in texts if len(text) > length]
            length *= 2
        return anchors

    def _matches(self, pool: Pool, render: Render | None) -> Iterator[tuple[int, list[tuple[str, list[int]]]]]:
        """Position in the pool → levels and positions in the evaluation set that match."""
        examples = enumerate(pool.examples())
        while batch := list(islice(examples, BATCH)):
            rows: list[list[_Turn]] = []
            for position, example in batch:
                turns, system = _turns(example)
                matches = self._conversation(turns, system)
                if render is not None and not any(level == SAME for level, _ in matches):
                    matches += self._as_rendered(example, turns, render)
                rows.append(turns if self.anchors else [])
                if matches:
                    yield position, matches
            for row, contained in self._contained(rows):
                yield batch[row][0], contained

    def _conversation(self, turns: Sequence[_Turn], system: Sequence[_Turn]) -> list[tuple[str, list[int]]]:
        """What of the evaluation set is asked and answered in a conversation, at its end or within."""
        matches: list[tuple[str, list[int]]] = []
        hashers = [_Prompt(), *([_Prompt().add(system)] if system else [])]
        for end, turn in enumerate(turns):
            if turn.is_answer:
                answer = _digest(turn)
                for prompt in (hasher.digest() for hasher in hashers):
                    if positions := self.prompts.get(prompt):
                        matches.append((INSTRUCTION, positions))
                    if pairs := self.pairs.get(prompt + answer):
                        matches.append((SAME, pairs))
                if answer in self.responses:
                    # The end of a conversation that began otherwise.
                    for start in range(end - 1, max(0, end - self.longest - 1), -1):
                        if pairs := self.pairs.get(_joined(turns[start:end]) + answer):
                            matches.append((SAME, pairs))
            for hasher in hashers:
                hasher.add([turn])
        return matches

    def _as_rendered(self, example: Example, turns: Sequence[_Turn], render: Render) -> list[tuple[str, list[int]]]:
        """Evaluation examples of which a model would see the same: a template may drop what two conversations differ in."""
        candidates = self.questions.get(_digest(turns[-2]), []) if turns[-1].has_question else []
        if not candidates or (text := render(example)) is None:
            return []
        digest = _text_digest(text)
        for position in candidates:
            if position not in self.rendered:
                seen = [render(form) for form in self.examples_of(position)]
                self.rendered[position] = frozenset(_text_digest(form) for form in seen if form is not None)
        same = [position for position in candidates if digest in self.rendered[position]]
        return [(SAME, same)] if same else []

    def _contained(self, rows: Sequence[Sequence[_Turn]]) -> Iterator[tuple[int, list[tuple[str, list[int]]]]]:
        """Rows that hold long texts of the evaluation set, with levels and positions."""
        if not self.anchors:
            return
        import polars as pl

        joined = [" ".join(turn.words for turn in turns) for turns in rows]
        hits = pl.Series(joined, dtype=pl.String).str.extract_many(list(self.anchors), overlapping=True)
        for row in np.flatnonzero(hits.list.len().to_numpy()).tolist():
            anchors, padded = dict.fromkeys(hits[row].to_list()), f" {joined[row]} "
            texts = [text for anchor in anchors for text in self.anchors[anchor] if f" {text} " in padded]
            if matches := self._levels(texts, rows[row]):
                yield row, matches

    def _levels(self, texts: Sequence[str], turns: Sequence[_Turn]) -> list[tuple[str, list[int]]]:
        """What it means that these texts stand in a row."""
        matches = [(RESPONSE, self.texts[text]) for text in texts if text in self.texts]
        standing: dict[int, set[int]] = {}
        signs = _together([turn.signs for turn in turns])
        for text in texts:
            matches += [(SAME, [position]) for position, stated in self.conversations.get(text, ()) if _within(stated, signs)]
            for position, number in self.parts.get(text, ()):
                standing.setdefault(position, set()).add(number)
        answers = {_digest(turn) for turn in turns if turn.is_answer} if standing else set()
        for position, numbers in standing.items():
            question = self.asked[position]
            if len(numbers) == question.n_parts and all(_within(part, signs) for part in question.signs):
                matches.append((INSTRUCTION if answers.isdisjoint(question.answers) else SAME, [position]))
        return matches


@dataclass(frozen=True, slots=True)
class _Asked:
    """What has to stand in a row for a question to be asked there."""

    n_parts: int
    signs: tuple[Signs, ...]
    """The operators of each part."""
    answers: frozenset[bytes]
    """Digests of right answers."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn in normal form."""

    words: str
    signs: Signs
    """Its operators."""
    is_answer: bool
    has_question: bool = False
    """Whether a turn stands before it."""


class _Prompt:
    """The digest of turns that are joined to one text."""

    def __init__(self) -> None:
        self.words = hashlib.blake2b(digest_size=12)
        self.signs = hashlib.blake2b(digest_size=4)

    def add(self, turns: Iterable[_Turn]) -> _Prompt:
        """Turns at the end of those so far."""
        for turn in turns:
            if turn.words:
                self.words.update(turn.words.encode("utf-8", "surrogatepass") + b" ")
                self.signs.update("".join(turn.signs).encode())
        return self

    def digest(self) -> bytes:
        """Of the turns so far."""
        return self.words.digest() + self.signs.digest()


def _turns(example: Example) -> tuple[list[_Turn], list[_Turn]]:
    """The turns up to the last response without the system's, and the system's."""
    turns: list[_Turn] = []
    system: list[_Turn] = []
    for message in example.messages[: example.last_answer + 1]:
        text = message.text
        turn = _Turn(normal_form(text), operators(text), message.role in ANSWERS, bool(turns))
        (system if message.role in ("system", "developer") else turns).append(turn)
    return turns, system


def _listed(index: dict[bytes, list[int]] | dict[str, list[int]], key: bytes | str, position: int) -> None:
    """A position under a key, once."""
    positions = index.setdefault(key, [])  # type: ignore[arg-type]
    if not positions or positions[-1] != position:
        positions.append(position)


def _together(pieces: Iterable[Signs]) -> Signs:
    """The operators of texts behind one another."""
    brackets, signs, points = zip(*pieces, strict=True)
    return "".join(brackets), "".join(signs), "".join(points)


def _within(part: Signs, text: Signs) -> bool:
    """Whether a text may hold a part, by the operators of both."""
    return all(kind in kinds for kind, kinds in zip(part, text, strict=True))


def _joined(turns: Iterable[_Turn]) -> bytes:
    return _Prompt().add(turns).digest()


def _digest(turn: _Turn) -> bytes:
    return _Prompt().add([turn]).digest()


def _text_digest(text: str) -> bytes:
    return _digest(_Turn(normal_form(text), operators(text), False))


__all__ = ["INSTRUCTION", "LEVELS", "RESPONSE", "SAME", "EvaluationTexts", "Matched", "Render"]
