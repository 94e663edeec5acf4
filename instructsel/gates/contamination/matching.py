"""Which rows hold items of an index, which part of them, and how much of it.

An item is in a row where the row's n-grams cover at least the threshold of the words of its question, or of a long answer. A question that
is shorter than the n-gram is in a row where a turn, a line or a sentence is that question and nothing else; where it is of very few
words, beside its passage or its choices. n-grams of different turns and of different rows are never put together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.gates.contamination.index import NGRAMS, ItemIndex
from instructsel.gates.contamination.items import ANSWER, CHOICES, PARTS, PASSAGE, PROMPT, QUESTION
from instructsel.gates.contamination.words import HEAD, Hashed, ascii_head, hashed_texts, whole_digest, words_of
from instructsel.gates.defaults import COVERAGE
from instructsel.neighbors.word_hashes import Words, batches, runs
from instructsel.pool.example import Example
from instructsel.pool.message import ANSWERS

THRESHOLD: Final = COVERAGE
DECIDING: Final = (QUESTION, ANSWER)
"""Parts that make an item contaminated. A passage or choices alone do not: other questions are asked about them, too."""
BATCH: Final = 1 << 20
"""Characters of rows that are looked at together."""
SEGMENT: Final = 400
"""Characters of a turn, line or sentence that is compared as a whole."""
LEAST_SENTENCE: Final = 5
"""Words of a question that is found as a line or a sentence among others."""
LEAST_ANSWER: Final = 20
"""Words of an answer that stand in a row without the question."""
SEPARATOR: Final = "\0"
"""Between turns: a word that no item has."""
LINES: Final = re.compile(r"[\r\n]+")
SENTENCES: Final = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])")
ASCII_SENTENCES: Final = re.compile(r"[.!?]\s+")
LABEL: Final = re.compile(r"(?i)^\s*(?:question|q|problem|instruction|input|prompt|user|human|task)\s*\d{0,4}\s*[:.)\]]\s*")
EXCERPT: Final = 60
"""Words of an excerpt."""
LEADING_HEADS: Final = 20
LEADING: Final = 24
"""Bits of a hash that are looked up before the hash is."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An item that a row holds."""

    position: int
    """Of the row."""
    set: str
    """The evaluation set."""
    item: int
    """Its item: the line of the set's file."""
    part: str
    """One of PARTS: what of the item."""
    coverage: float
    """The share of the part's words."""
    matched: int
    """Words of the part that the row has."""
    words: int
    """Words of the part that count."""
    excerpt: str
    """Of the row, in the words that are compared."""

    def __str__(self) -> str:
        return f"{self.set}, item {self.item}: {self.coverage:.0%} of its {self.part} ({self.matched} of {self.words} words)"


@dataclass(frozen=True)
class Rule:
    """When an item counts as being in a row."""

    ngram: int = NGRAMS[0]
    """Words of an n-gram: 8 or 13."""
    threshold: float = THRESHOLD
    """Share of the words of a part."""
    parts: tuple[str, ...] = DECIDING
    """The parts that decide."""

    def __post_init__(self) -> None:
        if self.ngram not in NGRAMS:
            raise UsageError(f"An n-gram has 8 or 13 words, not {self.ngram}.", fix="8 is the rule of Tülu 3 and OLMo 3.")
        if not 0 < self.threshold <= 1:
            raise UsageError(f"The threshold is a share above 0 and at most 1, not {self.threshold}.", fix="0.5 is the default.")
        for part in self.parts:
            if part not in (QUESTION, ANSWER, PASSAGE, CHOICES):
                raise UsageError.named(part, (QUESTION, ANSWER, PASSAGE, CHOICES), noun="part of an item")


def find_items(
    index: ItemIndex, examples: Iterable[Example], rule: Rule | None = None, *, progress: Callable[[int], None] | None = None
) -> Iterator[Evidence]:
    """The items of an index that rows hold, row by row, by set and item; of each item the part that is covered most.

    Args:
        index: the items.
        examples: the rows, by position.
        rule: when an item counts.
        progress: called with the rows looked at so far.
    """
    yield from Search(index, rule or Rule()).found(examples, progress=progress)


Found = tuple[str, int, str, float, int, int, str]


@dataclass(eq=False)
class Search:
    """Looks for the items of an index in rows."""

    index: ItemIndex
    rule: Rule

    def __post_init__(self) -> None:
        self.column: int = NGRAMS.index(self.rule.ngram)
        self.grams: Words = self.index.grams[self.column]
        self.places: NDArray[np.int32] = self.index.places[self.column]
        self.frames: Words = self.index.frames[self.column]
        self.frame_places: NDArray[np.int32] = self.index.frame_places[self.column]
        self.n_words: NDArray[np.int32] = self.index.lengths[:, self.column]
        # What n-grams can cover is not compared as a whole, too.
        self.wholes: dict[int, list[int]] = {
            digest: short for digest, parts in self.index.by_whole.items() if (short := [part for part in parts if not self.n_words[part]])
        }
        compared = [part for parts in self.wholes.values() for part in parts]
        self.heads: frozenset[int] = frozenset(self.index.heads[compared].tolist())
        self.least_whole: int = min(self.index.words[compared].tolist(), default=0)
        sizes = np.unique(
            np.stack([self.index.heads[compared].view(np.int64), self.index.words[compared].astype(np.int64)], axis=1), axis=0
        )
        sizes = sizes[np.argsort(sizes[:, 0].view(np.uint64), kind="stable")]
        self.sizes: NDArray[np.int64] = sizes[:, 1]
        """Words of the texts that have a head, by the heads in order."""
        self.heads_in_order: Words = np.array(sorted(self.heads), dtype=np.uint64)
        self.sizes_from: NDArray[np.int64] = np.append(
            np.searchsorted(np.ascontiguousarray(sizes[:, 0]).view(np.uint64), self.heads_in_order), len(sizes)
        )
        self.leading_heads: NDArray[np.bool_] = np.zeros(1 << LEADING_HEADS, dtype=bool)
        self.leading_heads[(self.index.heads[compared] >> np.uint64(64 - LEADING_HEADS)).astype(np.int64)] = True
        # Most n-grams of rows are told by their leading bits to be no item's: the search misses the processor's cache.
        self.leading: NDArray[np.bool_] = np.zeros(1 << LEADING, dtype=bool)
        self.leading[(self.grams >> np.uint64(64 - LEADING)).astype(np.int64)] = True
        decided = {PARTS.index(part) for part in self.rule.parts}
        if QUESTION in self.rule.parts:
            decided.add(PARTS.index(PROMPT))
        self.decides: NDArray[np.bool_] = np.isin(self.index.part_of, sorted(decided))
        self.supports: NDArray[np.bool_] = np.isin(self.index.part_of, [PARTS.index(PASSAGE), PARTS.index(CHOICES)])

    def found(self, examples: Iterable[Example], *, progress: Callable[[int], None] | None = None) -> Iterator[Evidence]:
        """The items that rows hold; see `find_items`."""
        done = 0
        for batch in batches(examples, BATCH, _size):
            for number, evidence in sorted(self.batch(batch), key=lambda pair: pair[0]):
                for entry in evidence:
                    yield Evidence(done + number, *entry)
            done += len(batch)
            if progress is not None:
                progress(done)

    def batch(self, examples: Sequence[Example]) -> Iterator[tuple[int, list[Found]]]:
        """Number of a row in the batch → what it holds."""
        turns = [[(message.text_with_reasoning, message.role in ANSWERS) for message in example.messages] for example in examples]
        texts = [text for row in turns for text, _ in row]
        of_turn = np.repeat(np.arange(len(turns)), np.fromiter(map(len, turns), dtype=np.int64, count=len(turns)))
        words = hashed_texts(texts)
        covered = self._covered(words.hashes, words.lengths, of_turn)
        begun = self._begun(words, of_turn)
        begun.update(row for row, text in zip(of_turn.tolist(), texts, strict=True) if not text.isascii())
        wholes = {row: parts for row in begun if (parts := self._wholes(turns[row]))} if self.wholes else {}
        for row in sorted(covered.keys() | wholes.keys()):
            evidence = self._evidence([text for text, _ in turns[row]], covered.get(row, {}), wholes.get(row, {}))
            if evidence:
                yield row, evidence

    def _begun(self, words: Hashed, of_turn: NDArray[np.int64]) -> set[int]:
        """The rows in which a turn, a line or a sentence may be a text that is compared as a whole.

        Most begin with the first two words of one, which are looked up, and end after as many words as that one has.
        """
        hashes = words.hashes
        if not len(hashes) or not self.wholes:
            return set()
        pairs = np.append(hashes[:-1] * np.uint64(HEAD) + hashes[1:], hashes[-1:])
        candidates = pairs if self.least_whole > 1 else np.concatenate([pairs, hashes])
        numbers = np.flatnonzero(self.leading_heads[(candidates >> np.uint64(64 - LEADING_HEADS)).astype(np.int64)])
        begins = numbers % len(hashes)
        of_word = np.repeat(np.arange(len(words.lengths)), words.lengths)
        is_unsure = np.zeros(len(words.lengths), dtype=bool)
        is_unsure[np.isin(of_turn, of_turn[words.is_unsure])] = True
        likely = words.begins[begins] | is_unsure[of_word[begins]]
        numbers, begins = numbers[likely], begins[likely]
        heads = np.minimum(np.searchsorted(self.heads_in_order, candidates[numbers]), len(self.heads_in_order) - 1)
        exact = self.heads_in_order[heads] == candidates[numbers]
        heads, begins = heads[exact], begins[exact]
        rows = of_turn[of_word[begins]]
        # The words of such a text, each number of them that there is, and whether a part of the turn may end there.
        counts = np.diff(self.sizes_from)[heads]
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        ends = np.repeat(begins, counts) + self.sizes[np.repeat(self.sizes_from[heads], counts) + offsets]
        may_end = ends <= np.repeat(np.cumsum(words.lengths)[of_word[begins]], counts)
        is_end = np.append(words.begins, True)
        may_end[may_end] = is_end[ends[may_end]]
        return set(rows[is_unsure[of_word[begins]]].tolist()) | set(np.repeat(rows, counts)[may_end].tolist())

    def _covered(
        self, hashes: Words, lengths: NDArray[np.int64], of_turn: NDArray[np.int64]
    ) -> dict[int, dict[int, tuple[int, list[int]]]]:
        """Row → part → its words that are covered, and where in the row the n-grams begin; for parts at the threshold and above."""
        grams, turns, begins = runs(hashes, lengths, self.rule.ngram)
        rows = of_turn[turns]
        # Between the turns of a row stands a word that no item has.
        before = np.cumsum(lengths + 1) - (lengths + 1)
        begins += (before - before[np.searchsorted(of_turn, of_turn)])[turns]
        if not len(grams) or not len(self.grams):
            return {}
        likely = np.flatnonzero(self.leading[(grams >> np.uint64(64 - LEADING)).astype(np.int64)])
        first = np.minimum(np.searchsorted(self.grams, grams[likely]), len(self.grams) - 1)
        exact = self.grams[first] == grams[likely]
        hits = likely[exact]
        if not len(hits):
            return {}
        low, high = first[exact], np.searchsorted(self.grams, grams[hits], side="right")
        counts = high - low
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self.places[np.repeat(low, counts) + offsets]
        of_row, in_row = np.repeat(rows[hits], counts), np.repeat(begins[hits], counts)
        order = np.lexsort((places[:, 1], places[:, 0], of_row))
        of_row, in_row, places = of_row[order], in_row[order], places[order]
        group = np.concatenate([[True], (of_row[1:] != of_row[:-1]) | (places[1:, 0] != places[:-1, 0])])
        starts = np.flatnonzero(group)
        own_words = _union(places[:, 1], group, self.rule.ngram)
        parts = places[starts, 0]
        # Half of the threshold is the item's own: what is not its own covers the rest of it, also words that others of its own would.
        enough = 2 * own_words >= self.rule.threshold * self.n_words[parts]
        ends = np.append(starts[1:], len(group))
        row_starts, row_ends = np.searchsorted(rows, of_row[starts], side="left"), np.searchsorted(rows, of_row[starts], side="right")
        result: dict[int, dict[int, tuple[int, list[int]]]] = {}
        for number in np.flatnonzero(enough).tolist():
            start, end, part = int(starts[number]), int(ends[number]), int(parts[number])
            begins, in_rows = places[start:end, 1].tolist(), in_row[start:end].tolist()
            if self.index.words[part] > self.n_words[part] or own_words[number] < self._needed(part):
                low, high = np.searchsorted(self.frame_places[:, 0], [part, part + 1]).tolist()
                of_it = grams[row_starts[number] : row_ends[number]]
                begins += self.frame_places[low:high, 1][np.isin(self.frames[low:high], of_it)].tolist()
            words_covered = _covered_words(begins, self.rule.ngram)
            if words_covered >= self._needed(part):
                result.setdefault(int(of_row[start]), {})[part] = words_covered, in_rows
        return result

    def _needed(self, parts: Any) -> Any:
        """Words of parts that have to be covered."""
        return self.rule.threshold * self.index.words[parts] - 1e-9

    def _wholes(self, turns: Sequence[tuple[str, bool]]) -> dict[int, tuple[str, int, bool]]:
        """Part → the turn, line or sentence that is the whole of it, its words, and whether it is a turn."""
        parts: dict[int, tuple[str, int, bool]] = {}
        if not self.wholes:
            return parts
        for text, is_answer in turns:
            for segment, is_turn in _segments(text, sentences=not is_answer):
                # With another beginning it is none of them.
                if segment.isascii() and (head := ascii_head(segment)) and head not in self.heads:
                    continue
                for part in self.wholes.get(whole_digest(segment), ()):
                    if part not in parts or is_turn:
                        parts[part] = segment, int(self.index.words[part]), is_turn
        return parts

    def _evidence(
        self, turns: Sequence[str], covered: dict[int, tuple[int, list[int]]], wholes: dict[int, tuple[str, int, bool]]
    ) -> list[Found]:
        """What a row holds, an entry an item."""
        words = [word for text in turns for word in (*words_of(text), SEPARATOR)] if covered else []
        index = self.index
        beside = {(int(index.set_of[part]), int(index.item_of[part])) for part in (*covered, *wholes) if self.supports[part]}
        best: dict[tuple[int, int], Found] = {}
        for part, (count, begins) in covered.items():
            if self.decides[part]:
                total = int(index.words[part])
                # A short answer may be anybody's.
                if PARTS[index.part_of[part]] == ANSWER and count < LEAST_ANSWER:
                    continue
                self._note(best, part, count / total, count, total, _stretch(words, begins, self.rule.ngram))
        for part, (segment, count, is_turn) in wholes.items():
            item = int(index.set_of[part]), int(index.item_of[part])
            if self.decides[part] and (is_turn or count >= LEAST_SENTENCE or item in beside):
                self._note(best, part, 1.0, count, count, segment)
        return [best[item] for item in sorted(best)]

    def _note(self, best: dict[tuple[int, int], Found], part: int, coverage: float, matched: int, total: int, excerpt: str) -> None:
        index = self.index
        item = int(index.set_of[part]), int(index.item_of[part])
        if item not in best or (coverage, matched) > (best[item][3], best[item][4]):
            best[item] = index.sets[item[0]].name, item[1], PARTS[index.part_of[part]], coverage, matched, total, excerpt


def _union(begins: NDArray[np.int32], group: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Words that n-grams cover, by group; they are in order within each."""
    step = np.concatenate([np.diff(begins), [n]])
    step[np.concatenate([group[1:], [True]])] = n
    covered: NDArray[np.int64] = np.add.reduceat(np.minimum(step, n), np.flatnonzero(group)).astype(np.int64)
    return covered


def _covered_words(begins: Iterable[int], n: int) -> int:
    """Words that n-grams cover together."""
    total = end = 0
    for begin in sorted(begins):
        total += begin + n - max(begin, end)
        end = begin + n
    return total


def _segments(text: str, *, sentences: bool) -> Iterator[tuple[str, bool]]:
    """A turn, its lines and its sentences, as far as they are short; and whether it is the turn."""
    bare = text.strip()
    if len(bare) <= SEGMENT and bare:
        yield bare, True
        label = LABEL.match(bare)
        if label:
            yield bare[label.end() :], True
    for line in LINES.split(bare):
        if line != bare and len(line) <= SEGMENT:
            yield line, False
            label = LABEL.match(line)
            if label:
                yield line[label.end() :], False
        if sentences:
            pieces = _sentences(line)
            for piece in pieces if len(pieces) > 1 else ():
                if piece and len(piece) <= SEGMENT:
                    yield LABEL.sub("", piece), False


def _sentences(line: str) -> list[str]:
    """A line, cut behind the ends of its sentences."""
    if not line.isascii():
        return SENTENCES.split(line)
    # The same, of a pattern that begins with the sign.
    pieces: list[str] = []
    start = 0
    for match in ASCII_SENTENCES.finditer(line):
        pieces.append(line[start : match.start() + 1])
        start = match.end()
    pieces.append(line[start:])
    return pieces


def _stretch(words: Sequence[str], begins: Sequence[int], n: int) -> str:
    """The longest stretch of a row's words that n-grams cover."""
    stretches: list[tuple[int, int]] = []
    for begin in sorted(set(begins)):
        if stretches and begin <= stretches[-1][1]:
            stretches[-1] = stretches[-1][0], begin + n
        else:
            stretches.append((begin, begin + n))
    begin, end = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    return " ".join(words[begin : min(end, begin + EXCERPT)])


def _size(example: Example) -> int:
    return sum([len(message.text) for message in example.messages])


__all__ = ["DECIDING", "THRESHOLD", "Evidence", "Rule", "Search", "find_items"]
