"""Contamination: evaluation examples that stand in the rows to train on, as a model sees them and after normalisation.

    index = EvaluationIndex.of(held_out)
    overlap = index.overlap([pool], where="the pool")
    overlap.check()              # refuses a conversation that is trained on
    overlap.sentences()          # counts, with file and line of the first ones

Memory grows with the evaluation set, time with both; the rows to train on are read once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from itertools import islice
from typing import Any, Final, Self

import numpy as np

from instructsel.errors import StudyError
from instructsel.pool.example import ANSWERS, Example
from instructsel.pool.normal_form import normal_form, operators
from instructsel.pool.pool import Pool

NAMED: Final = 3
"""Places a message names."""
RECORDED: Final = 10
"""Places that stand in a record."""
LEAST_RESPONSE: Final = 50
"""Characters in normal form of a response that is searched for within other texts: shorter ones stand in many by chance."""
ANCHOR: Final = 48
"""Characters of a response by which it is searched for; a text with these is looked at whole."""
ALIKE: Final = 8
"""Responses that may begin alike and be told apart by looking at each."""
BATCH: Final = 4096
"""Rows whose texts are searched at a time."""
SAME: Final = "same"
INSTRUCTION: Final = "instruction"
RESPONSE: Final = "response"
LEVELS: Final = (SAME, INSTRUCTION, RESPONSE)
"""The conversation; its instruction with another response; its response under another instruction."""
Render = Callable[[Example], str | None]
"""What a model sees of an example, as text; None where its chat template refuses it."""


@dataclass(frozen=True)
class Overlap:
    """What of an evaluation set stands in the rows of one arm."""

    evaluation: str
    """The evaluation set, as its file is called."""
    where: str
    """The rows to train on, as messages call them: `the pool`, `the arm random`."""
    n: int
    """Evaluation examples."""
    counts: Mapping[str, int]
    """Level → evaluation examples: `same` (the conversation), `instruction` (with another response), `response` (under another one)."""
    places: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Level → the first pairs of places, FILE:LINE of the evaluation set and of the rows to train on."""
    same_file: str | None = None
    """The file of the rows to train on that holds the rows of the evaluation set and no others."""

    @property
    def contaminated(self) -> bool:
        """Whether a conversation of the evaluation set would be trained on."""
        return self.counts[SAME] > 0

    @property
    def found(self) -> bool:
        """Whether anything of the evaluation set stands in the rows to train on."""
        return any(self.counts.values())

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        places = {
            level: tuple((str(ours), str(theirs)) for ours, theirs in pairs) for level, pairs in (content.get("places") or {}).items()
        }
        counts = {level: int(content.get(level) or 0) for level in LEVELS}
        return cls(str(content["evaluation"]), str(content["where"]), int(content["examples"]), counts, places, content.get("same_file"))

    def sentences(self) -> list[str]:
        """What was found, a sentence a level."""
        return [self._sentence(level) for level in LEVELS if self.counts[level]]

    def check(self) -> None:
        """Refuse an evaluation set of which conversations would be trained on.

        Raises:
            StudyError: they would.
        """
        if not self.contaminated:
            return
        allow = "or allow it and have the verdict say so: --allow-contamination (allow_contamination in a plan)."
        if self.same_file is not None:
            raise StudyError(
                f"The evaluation set {self.evaluation} holds the rows of {self.same_file}, which is in {self.where}.",
                fix=f"Evaluate on examples that are not trained on, {allow}",
            )
        raise StudyError(self._sentence(SAME), fix=f"Drop them from {self.where} or from the evaluation set, {allow}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "evaluation": self.evaluation,
            "where": self.where,
            "examples": self.n,
            **{level: self.counts[level] for level in LEVELS},
            "places": {level: [list(pair) for pair in self.places.get(level, ())] for level in LEVELS if self.places.get(level)},
            "same_file": self.same_file,
        }

    def _sentence(self, level: str) -> str:
        count, pairs = self.counts[level], self.places.get(level, ())
        named = ", ".join(f"{ours} ({theirs})" for ours, theirs in pairs[:NAMED]) + (", …" if count > NAMED else "")
        if level == SAME:
            return f"{count:,} of {self.n:,} examples of {self.evaluation} are in {self.where}, so that they would be trained on: {named}."
        if level == INSTRUCTION:
            return f"{count:,} of {self.n:,} instructions of {self.evaluation} are in {self.where} too, with other responses: {named}."
        return f"{count:,} of {self.n:,} responses of {self.evaluation} stand in rows of {self.where}: {named}."


@dataclass(eq=False)
class EvaluationIndex:
    """The examples of an evaluation set by what they are compared with."""

    pool: Pool
    name: str
    prompts: dict[bytes, list[int]] = field(default_factory=dict)
    """Digest of all before the response → positions."""
    pairs: dict[bytes, list[int]] = field(default_factory=dict)
    """Digest of that and of the response → positions."""
    responses: dict[bytes, list[int]] = field(default_factory=dict)
    """Digest of the response → positions."""
    questions: dict[bytes, list[int]] = field(default_factory=dict)
    """Digest of the last turn before the response → positions."""
    texts: dict[str, list[int]] = field(default_factory=dict)
    """Long response in normal form → positions."""
    longest: int = 0
    """Turns before a response, at most."""
    rendered: dict[int, bytes | None] = field(default_factory=dict)
    """Position → digest of what the model sees of an example, for those that were asked for."""

    @classmethod
    def of(cls, pool: Pool, name: str | None = None) -> EvaluationIndex:
        """The index of an evaluation set.

        Args:
            pool: its rows.
            name: what messages call it; its files' names by default.
        """
        index = cls(pool, name or ", ".join(pool.file_names))
        for position, example in enumerate(pool.examples()):
            index._add(position, example)
        return index

    @cached_property
    def anchors(self) -> dict[str, list[str]]:
        """Beginning of long responses → these: as long a beginning as it takes to have few of them."""
        anchors: dict[str, list[str]] = {}
        pending, length = list(self.texts), ANCHOR
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

    def overlap(self, pools: Sequence[Pool], *, where: str, render: Render | None = None) -> Overlap:
        """What of the evaluation set stands in these rows.

        Args:
            pools: the rows to train on: of one arm, a pool a replicate.
            where: what messages call them.
            render: what the model sees of an example: rows whose last question is one of the evaluation set are compared as rendered, too.
        """
        matched: dict[str, dict[int, tuple[int, int]]] = {level: {} for level in LEVELS}
        for number, pool in enumerate(pools):
            for position, matches in self._matches(pool, render):
                for level, positions in matches:
                    for evaluated in positions:
                        matched[level].setdefault(evaluated, (number, position))
        for stronger, weaker in ((SAME, INSTRUCTION), (SAME, RESPONSE), (INSTRUCTION, RESPONSE)):
            for position in matched[stronger]:
                matched[weaker].pop(position, None)
        places = {
            level: tuple(
                (_place(self.pool, evaluated), _place(pools[number], position))
                for evaluated, (number, position) in nsmallest(RECORDED, matched[level].items(), key=lambda pair: self._line(pair[0]))
            )
            for level in LEVELS
            if matched[level]
        }
        counts = {level: len(matched[level]) for level in LEVELS}
        same_file = self._same_file(pools) if counts[SAME] == len(self.pool) else None
        return Overlap(self.name, where, len(self.pool), counts, places, same_file)

    def _add(self, position: int, example: Example) -> None:
        turns, system = _turns(example)
        response = turns[-1]
        self.longest = max(self.longest, len(turns) - 1)
        answer = _digest(response)
        self.responses.setdefault(answer, []).append(position)
        if response.has_question:
            self.questions.setdefault(_digest(turns[-2]), []).append(position)
        # With and without the system's message: the same question may be asked under another one.
        for before in [turns[:-1], [*system, *turns[:-1]]] if system else [turns[:-1]]:
            prompt = _joined(before)
            self.pairs.setdefault(prompt + answer, []).append(position)
            # Nothing but white space is no instruction, and every set has it in common with every other.
            if any(turn.words for turn in before):
                self.prompts.setdefault(prompt, []).append(position)
        if len(response.words) >= LEAST_RESPONSE:
            self.texts.setdefault(response.words, []).append(position)

    def _matches(self, pool: Pool, render: Render | None) -> Iterator[tuple[int, list[tuple[str, list[int]]]]]:
        """Position in the pool → levels and positions in the evaluation set that match."""
        examples = enumerate(pool.examples())
        while batch := list(islice(examples, BATCH)):
            texts: list[str] = []
            for position, example in batch:
                turns, system = _turns(example)
                matches = self._conversation(turns, system)
                if render is not None and not any(level == SAME for level, _ in matches):
                    matches += self._as_rendered(example, turns, render)
                texts.append(" ".join(turn.words for turn in turns) if self.texts else "")
                if matches:
                    yield position, matches
            for row, positions in self._contained(texts):
                yield batch[row][0], [(RESPONSE, positions)]

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
                (evaluated,) = self.pool.examples([position])
                seen = render(evaluated)
                self.rendered[position] = None if seen is None else _text_digest(seen)
        same = [position for position in candidates if self.rendered[position] == digest]
        return [(SAME, same)] if same else []

    def _contained(self, texts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """Rows whose texts hold long responses of the evaluation set, and whose."""
        if not self.texts:
            return
        import polars as pl

        hits = pl.Series(texts, dtype=pl.String).str.extract_many(list(self.anchors), overlapping=True)
        for row in np.flatnonzero(hits.list.len().to_numpy()).tolist():
            anchors = dict.fromkeys(hits[row].to_list())
            padded = f" {texts[row]} "
            positions = [
                position
                for anchor in anchors
                for response in self.anchors[anchor]
                if f" {response} " in padded
                for position in self.texts[response]
            ]
            if positions:
                yield row, positions

    def _line(self, position: int) -> tuple[int, int]:
        """Where an evaluation example stands: file and row."""
        return int(self.pool.file_of[position]), int(self.pool.row_of[position])

    def _same_file(self, pools: Sequence[Pool]) -> str | None:
        """A file of the pools with the rows of the evaluation set and no others, however it is written or compressed."""
        if self.pool.spec.part:
            return None
        ours = _sorted(self.pool.digests)
        for pool in pools:
            for number, file in enumerate(pool.files):
                rows = pool.digests[pool.file_of == number]
                if not pool.spec.part and len(rows) == len(ours) and np.array_equal(_sorted(rows), ours):
                    return file.source.name
        return None


def render_of(trainer: Any) -> Render | None:
    """What the base of a trainer sees of an example, where the trainer has a `chat_template`; it is loaded for the first example."""
    if not hasattr(type(trainer), "chat_template"):
        return None

    def text(example: Example) -> str | None:
        seen: str | None = trainer.chat_template.text(example)
        return seen

    return text


def check_graders(pool: Pool, *graders: Any, render: Render | None = None, allow: bool = False) -> list[str]:
    """Compare the evaluation set of every grader that has it as `pool`, as `HeldOutLoss` has; others do not show their rows.

    Args:
        pool: the rows to train on.
        graders: of the checkpoints.
        render: what the model sees of an example.
        allow: whether conversations may be in both.

    Returns:
        A warning for each set and level, with the grader's name where there are several.

    Raises:
        StudyError: conversations of an evaluation set are in the pool, and that is not allowed.
    """
    warnings = []
    for grader in graders:
        evaluation = getattr(grader, "pool", None)
        if not isinstance(evaluation, Pool):
            continue
        overlap = EvaluationIndex.of(evaluation).overlap([pool], where="the pool", render=render)
        if not allow:
            overlap.check()
        warnings += [f"{grader.name}: {sentence}" if len(graders) > 1 else sentence for sentence in overlap.sentences()]
    return warnings


def check_evaluation(pool: Pool, evaluation: Pool, *, where: str = "the pool", render: Render | None = None) -> list[str]:
    """Refuse an evaluation set that is in the pool, before anything is trained on its answers.

    Args:
        pool: the rows to train on.
        evaluation: the rows to evaluate on.
        where: what messages call the rows to train on.
        render: what the model sees of an example.

    Returns:
        Warnings: instructions that are in both with other responses, and responses that stand in rows of the pool.

    Raises:
        StudyError: a conversation of the evaluation set is in the pool, as a whole or within a longer one, as rendered or in normal form.
    """
    overlap = EvaluationIndex.of(evaluation).overlap([pool], where=where, render=render)
    overlap.check()
    return overlap.sentences()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn in normal form."""

    words: str
    signs: str
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
                self.signs.update(turn.signs.encode())
        return self

    def digest(self) -> bytes:
        """Of the turns so far."""
        return self.words.digest() + self.signs.digest()


def _turns(example: Example) -> tuple[list[_Turn], list[_Turn]]:
    """The turns up to the last response without the system's, and the system's."""
    turns: list[_Turn] = []
    system: list[_Turn] = []
    for message in example.messages[: example.last_answer + 1]:
        turn = _Turn(normal_form(message.content), operators(message.content), message.role in ANSWERS, bool(turns))
        (system if message.role == "system" else turns).append(turn)
    return turns, system


def _joined(turns: Iterable[_Turn]) -> bytes:
    return _Prompt().add(turns).digest()


def _digest(turn: _Turn) -> bytes:
    return _Prompt().add([turn]).digest()


def _text_digest(text: str) -> bytes:
    return _digest(_Turn(normal_form(text), operators(text), False))


def _place(pool: Pool, position: int) -> str:
    name, lines = pool.locate(position)
    names = {file.source.name: shown for file, shown in zip(pool.files, pool.file_names, strict=True)}
    return f"{names.get(name, name)}:{lines[0]}"


def _sorted(digests: Any) -> Any:
    rows = np.ascontiguousarray(digests)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


__all__ = ["EvaluationIndex", "Overlap", "check_evaluation", "check_graders", "render_of"]
