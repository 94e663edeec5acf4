"""An index of evaluation items: hashed n-grams of 8 and of 13 words with the item and the place they stand at. It holds no text.

    index = ItemIndex.of(["gsm8k_test.jsonl", "lm-eval:arc_easy"])
    index.write("evals.index")

A part of an item (its question, its answer, …) is covered as far as n-grams of one row cover its words. Not all n-grams are an item's
own: those that many items of a set have in common, which its task writes around each; those of which half are single characters, as
formulas and lists have; those that have hardly a word besides grammar; and stock phrases. These cover words, too, but only beside the
item's own. A part that has fewer words than the n-gram, or no n-gram of its own, is compared as a whole.

Source: the 8-grams and half of the words are the rule of Tülu 3 (Lambert et al. 2024, arXiv:2411.15124, 3.2) and OLMo 3, which has the
first two guards; 13-grams are GPT-3's (Brown et al. 2020, arXiv:2005.14165, C).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Required, Self, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import atomic_write, dump_json
from instructsel.errors import UsageError
from instructsel.gates.baseline.tensor_file import TensorFile, digest_of, write_tensors
from instructsel.gates.contamination.items import ANSWER, CHOICES, PARTS, PASSAGE, PROMPT, QUESTION, Item, check_name, items_of, set_name
from instructsel.gates.contamination.words import hashed, head_of, is_everywhere, is_single, whole_digest, words_of
from instructsel.kinds import EVAL_INDEX, head
from instructsel.neighbors.word_hashes import Words, runs
from instructsel.shapes import Count, Misfit, checked
from instructsel.structured import Refusal

NGRAMS: Final = (8, 13)
"""Words of an n-gram."""
COMMON: Final = 3
COMMON_SHARE: Final = 0.01
"""Different questions of a set, and their share, that may have an n-gram in common before it belongs to the task."""
LONG_ANSWER: Final = 13
"""Words of an answer that is looked for without its question."""
LEAST_CONTENT: Final = 3
"""Words of an n-gram that are not everywhere, for it to be an item's own."""
LEAST_WHOLE: Final = (2, 10)
"""Words and characters of a question that is compared as a whole."""
ENDING: Final = ".index"
MANIFEST: Final = "instructsel.evals"
"""Where in the file's metadata the manifest stands."""
REFUSAL: Final = Refusal(UsageError, "Make it again: instructsel gate index SETS… -o evals.index", "an index of evaluation items")
COLUMNS: Final = ("set_of", "item_of", "part_of", "lengths", "wholes", "heads", "words")
"""Arrays of one line a part."""
TABLES: Final = ("grams", "places", "frames", "frame_places")
GRAMS: Final = tuple(f"{name}_{n}" for name in TABLES for n in NGRAMS)
STOCK: Final = (
    "you are a helpful assistant that follows instructions and answers the questions of its users as well as you can",
    "below is an instruction that describes a task paired with an input that provides further context",
    "write a response that appropriately completes the request",
    "as an ai language model i do not have personal opinions beliefs or feelings",
    "as an ai language model i don t have personal opinions experiences or emotions",
    "the quick brown fox jumps over the lazy dog",
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua",
    "permission is hereby granted free of charge to any person obtaining a copy of this software",
    "answer the following multiple choice question by giving the most appropriate response",
)
"""Phrases that belong to no item."""

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class IndexedSet:
    """An evaluation set of an index."""

    name: str
    n_items: int
    digest: str
    """Of its items."""
    left_out: int = 0
    """Items of so few words that they stand in every pool."""


class SetShape(TypedDict, total=False):
    """A set in a manifest."""

    name: Required[str]
    n_items: Required[Count]
    digest: Required[str]
    left_out: Required[Count]


class ManifestShape(TypedDict, total=False):
    """The manifest of an index."""

    kind: Required[str]
    schema: Required[Count]
    digest: Required[str]
    sets: Required[list[SetShape]]


@dataclass(frozen=True, eq=False)
class ItemIndex:
    """The items of evaluation sets as hashes. Make one with `of`, or read one with `read`."""

    sets: tuple[IndexedSet, ...]
    set_of: Ints
    """(p,), the set of each part."""
    item_of: Ints
    """(p,), its item: the line of the file."""
    part_of: Ints
    """(p,), which of PARTS it is."""
    lengths: Ints
    """(p, 2), words that the item's own n-grams of 8 and of 13 can cover; 0 where it is compared as a whole."""
    wholes: Words
    """(p,), the digest of the text; 0 where it is not compared as a whole."""
    heads: Words
    """(p,), what `head_of` gives for the text: most texts of rows are told by theirs to be no part."""
    words: Ints
    """(p,), words of the text."""
    grams: tuple[Words, Words]
    """Of 8 and of 13 words, ascending; a hash stands once for each place."""
    places: tuple[Ints, Ints]
    """(g, 2) each, the part and the word at which it begins."""
    frames: tuple[Words, Words]
    """n-grams that are no item's own, by part and place."""
    frame_places: tuple[Ints, Ints]
    """(f, 2) each, as `places`."""

    @classmethod
    def of(cls, sets: Sequence[str], *, include_path: str | Path | None = None, progress: Callable[[str], None] | None = None) -> Self:
        """The index of sets: files, tasks and other indices.

        Args:
            sets: files of any format, `lm-eval:TASK`, or files that `write` made.
            include_path: a folder with own tasks.
            progress: called with the name of the set that begins.

        Raises:
            UsageError: no set, one named twice, or no such task.
            PoolError: a file that cannot be read.
            EnvironmentFault: data of a task that are not here.

        >>> ItemIndex.of(["examples/questions.jsonl"]).n_items  # doctest: +SKIP
        12
        """
        if not sets:
            raise UsageError("No evaluation set is named.", fix="For example: instructsel gate index gsm8k_test.jsonl -o evals.index")
        indices: list[ItemIndex] = []
        for name in sets:
            check_name(name)
            if progress is not None:
                progress(name)
            index = cls.read(name) if is_index(name) else cls.of_items(set_name(name), items_of(name, include_path=include_path))
            if not index.n_items:
                # Every row would pass.
                raise UsageError(
                    f"{name} holds no item of an evaluation set.", fix="Name a file whose rows have a question, or whose form is a pool's."
                )
            indices.append(index)
        return cls.joined(indices)

    @classmethod
    def of_items(cls, name: str, items: Iterable[Item]) -> Self:
        """The index of one set.

        Args:
            name: what findings call it.
            items: its items.
        """
        builder = _Builder(name)
        for item in items:
            builder.add(item)
        return cls(*builder.finished())

    @classmethod
    def joined(cls, indices: Sequence[ItemIndex]) -> Self:
        """Several in one; a set that stands in two of them is there once."""
        known: set[tuple[str, str]] = set()
        chosen: list[tuple[ItemIndex, int]] = []
        for index in indices:
            for number, indexed in enumerate(index.sets):
                if (indexed.name, indexed.digest) not in known:
                    known.add((indexed.name, indexed.digest))
                    chosen.append((index, number))
        columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        tables: dict[str, list[list[tuple[Words, Ints]]]] = {name: [[] for _ in NGRAMS] for name in ("grams", "frames")}
        total = 0
        for new, (index, number) in enumerate(chosen):
            rows = np.flatnonzero(index.set_of == number)
            numbers = np.full(len(index.set_of), -1, dtype=np.int32)
            numbers[rows] = total + np.arange(len(rows), dtype=np.int32)
            for name, parts in columns.items():
                parts.append(np.full(len(rows), new, dtype=np.int32) if name == "set_of" else getattr(index, name)[rows])
            for n in range(len(NGRAMS)):
                for name, hashes, places in (
                    ("grams", index.grams[n], index.places[n]),
                    ("frames", index.frames[n], index.frame_places[n]),
                ):
                    of_set = numbers[places[:, 0]] >= 0
                    tables[name][n].append((hashes[of_set], np.stack([numbers[places[of_set, 0]], places[of_set, 1]], axis=1)))
            total += len(rows)
        grams = [_sorted(parts, by_hash=True) for parts in tables["grams"]]
        frames = [_sorted(parts, by_hash=False) for parts in tables["frames"]]
        return cls(
            tuple(index.sets[number] for index, number in chosen),
            **{name: np.concatenate(parts) for name, parts in columns.items()},
            grams=(grams[0][0], grams[1][0]),
            places=(grams[0][1], grams[1][1]),
            frames=(frames[0][0], frames[1][0]),
            frame_places=(frames[0][1], frames[1][1]),
        )

    @property
    def n_items(self) -> int:
        """Items of all sets."""
        return sum(indexed.n_items for indexed in self.sets)

    @cached_property
    def by_whole(self) -> dict[int, list[int]]:
        """Digest of a text → its parts."""
        parts: dict[int, list[int]] = {}
        for part, digest in enumerate(self.wholes.tolist()):
            if digest:
                parts.setdefault(digest, []).append(part)
        return parts

    @cached_property
    def digest(self) -> str:
        """blake2b-128 of its content: the same items give the same index, whatever the file is called that it is written to."""
        arrays = {name: digest_of(np.ascontiguousarray(array).tobytes()) for name, array in self._arrays.items()}
        return digest_of(dump_json({"sets": [asdict(entry) for entry in self.sets], "arrays": arrays}))

    def write(self, path: str | Path) -> None:
        """Write it, whole or not at all: the same items give the same bytes.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        manifest = {**head(EVAL_INDEX), "digest": self.digest, "sets": [asdict(entry) for entry in self.sets]}
        with atomic_write(path) as out:
            write_tensors(out, self._arrays, {MANIFEST: dump_json(manifest).decode()})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A file that `write` made.

        Raises:
            UsageError: it is none, it was changed, or it is of a newer release.
        """
        file = TensorFile.open(path, REFUSAL)
        try:
            manifest = orjson.loads(file.metadata.get(MANIFEST, ""))
            if not isinstance(manifest, dict) or manifest.get("kind") != EVAL_INDEX:
                raise REFUSAL.of(path, "its manifest is of another kind")
            if manifest.get("schema") != head(EVAL_INDEX)["schema"]:
                raise UsageError(f"{path} is of schema {manifest.get('schema')}.", fix="Upgrade with: pip install -U instructsel")
            checked(manifest, ManifestShape)
        except (orjson.JSONDecodeError, Misfit) as error:
            raise REFUSAL.of(path, f"its manifest cannot be read: {error}") from error
        arrays = {name: file.array(name) for name in (*COLUMNS, *GRAMS)}
        tables: dict[str, Any] = {name: tuple(arrays[f"{name}_{n}"] for n in NGRAMS) for name in TABLES}
        columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
        index = cls(tuple(IndexedSet(**entry) for entry in manifest["sets"]), **columns, **tables)
        if index.digest != manifest["digest"]:
            raise REFUSAL.of(path, "its digest is another: it was changed")
        index._check(path)
        return index

    def _check(self, path: str | Path) -> None:
        """Refuse arrays that do not belong together."""
        n, n_sets = len(self.set_of), len(self.sets)
        fits = (
            all(len(getattr(self, name)) == n for name in COLUMNS)
            and self.lengths.shape == (n, len(NGRAMS))
            and _within(self.set_of, n_sets)
            and _within(self.part_of, len(PARTS))
            and all(
                len(grams) == len(places)
                for grams, places in zip((*self.grams, *self.frames), (*self.places, *self.frame_places), strict=True)
            )
            and all(
                places.shape == (len(places), 2) and _within(places[:, 0], n) and _within(places[:, 1], 1 << 30)
                for places in (*self.places, *self.frame_places)
            )
            and all(bool((grams[1:] >= grams[:-1]).all()) for grams in self.grams)
            and all(bool((places[1:, 0] >= places[:-1, 0]).all()) for places in self.frame_places)
        )
        if not fits:
            raise REFUSAL.of(path, "its arrays do not belong together")

    @property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        named = dict(zip(GRAMS, (*self.grams, *self.places, *self.frames, *self.frame_places), strict=True))
        return {name: getattr(self, name) for name in COLUMNS} | named

    def as_dict(self) -> dict[str, Any]:
        """What is in it, in numbers."""
        return {
            "sets": [
                {"name": entry.name, "items": entry.n_items, "left_out": entry.left_out, "digest": entry.digest} for entry in self.sets
            ],
            "items": self.n_items,
            "parts": {name: int(np.count_nonzero(self.part_of == number)) for number, name in enumerate(PARTS)},
            "ngrams": {str(n): len(grams) for n, grams in zip(NGRAMS, self.grams, strict=True)},
        }


def is_index(name: str) -> bool:
    """Whether a name is that of a file that `ItemIndex.write` made, judged by its header."""
    if not Path(name).is_file() or Path(name).suffix != ENDING:
        return False
    return MANIFEST in TensorFile.open(name, REFUSAL).metadata


@dataclass(frozen=True, slots=True)
class _Text:
    """A part of an item before its n-grams are known."""

    item: int
    part: int
    words: tuple[str, ...]
    whole: int
    question: int
    """Which of the set's different questions it goes with; equal ones count once."""


@dataclass(eq=False)
class _Builder:
    """Gathers the items of a set."""

    name: str
    texts: list[_Text] = field(default_factory=list)
    questions: dict[int, int] = field(default_factory=dict)
    """Digest of a question → its number."""
    n_items: int = 0
    left_out: int = 0
    content: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def add(self, item: Item) -> None:
        """An item."""
        self.n_items += 1
        self.content.update(dump_json([item.number, item.questions, item.answers, item.passage, item.choices]))
        question = self.questions.setdefault(whole_digest("\n".join((*item.questions, item.passage, *item.choices))), len(self.questions))
        before = len(self.texts)
        short = True
        for number, text in enumerate(item.questions):
            words = tuple(words_of(text))
            short = short and len(words) < NGRAMS[-1]
            # A later turn of a few words ("Why?") belongs to no item.
            enough = len(words) >= LEAST_WHOLE[0] and len(text.strip()) >= LEAST_WHOLE[1]
            if len(words) >= NGRAMS[0] or (number == 0 and enough):
                self._text(item.number, QUESTION, words, whole_digest(text), question)
        if short and item.choices:
            for words in _prompts(item):
                if len(words) >= NGRAMS[0]:
                    self._text(item.number, PROMPT, words, 0, question)
        for text in item.answers:
            words = tuple(words_of(text))
            if len(words) >= LONG_ANSWER:
                self._text(item.number, ANSWER, words, 0, question)
        for part, text in ((PASSAGE, item.passage), (CHOICES, "\n".join(item.choices))):
            words = tuple(words_of(text))
            if words:
                self._text(item.number, part, words, whole_digest(text), question)
        self.left_out += all(text.part in (PARTS.index(PASSAGE), PARTS.index(CHOICES)) for text in self.texts[before:])

    def _text(self, item: int, part: str, words: tuple[str, ...], whole: int, question: int) -> None:
        self.texts.append(_Text(item, PARTS.index(part), words, whole, question))

    def finished(self) -> Iterator[Any]:
        """The fields of an index, in their order."""
        hashes, lengths = hashed([text.words for text in self.texts])
        yield (IndexedSet(self.name, self.n_items, self.content.hexdigest(), self.left_out),)
        yield np.zeros(len(self.texts), dtype=np.int32)
        yield np.array([text.item for text in self.texts], dtype=np.int32)
        yield np.array([text.part for text in self.texts], dtype=np.int32)
        words = [word for text in self.texts for word in text.words]
        vocabulary = set(words)
        singles = {word for word in vocabulary if len(word) <= 2 and is_single(word)}
        others = {word for word in vocabulary if not is_everywhere(word)}
        single, content = (np.fromiter(map(listed.__contains__, words), dtype=bool, count=len(words)) for listed in (singles, others))
        built = [self._grams(hashes, lengths, single, content, n) for n in NGRAMS]
        yield np.stack([covered for *_, covered in built], axis=1)
        yield np.array([text.whole for text in self.texts], dtype=np.uint64)
        yield np.array([head_of(text.words) for text in self.texts], dtype=np.uint64)
        yield lengths.astype(np.int32)
        for column in range(4):
            yield tuple(columns[column] for columns in built)

    def _grams(
        self, hashes: Words, lengths: NDArray[np.int64], single: NDArray[np.bool_], content: NDArray[np.bool_], n: int
    ) -> tuple[Words, Ints, Words, Ints, Ints]:
        """The n-grams that are an item's own and where they stand, the others, and how many words of each text its own can cover."""
        grams, texts, begins = runs(hashes, lengths, n)
        first = (np.cumsum(lengths) - lengths)[texts] + begins
        ones, filled = (np.concatenate([np.zeros(1, np.int64), np.cumsum(mask)]) for mask in (single, content & ~single))
        eligible = (2 * (ones[first + n] - ones[first]) < n) & (filled[first + n] - filled[first] >= LEAST_CONTENT)
        # In how many different questions a hash stands: equal questions and the passages that several share count once.
        questions = np.array([text.question for text in self.texts], dtype=np.int64)
        parts = np.array([text.part for text in self.texts], dtype=np.int64)
        counted = eligible & ~np.isin(parts[texts], [PARTS.index(PASSAGE), PARTS.index(CHOICES), PARTS.index(PROMPT)])
        values, numbers = np.unique(grams[counted], return_inverse=True)
        # Each hash once for each question, as one number.
        pairs = np.sort(numbers * np.int64(len(self.questions) + 1) + questions[texts[counted]])
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        often = np.bincount(pairs // (len(self.questions) + 1), minlength=len(values))
        common = values[often > max(COMMON, COMMON_SHARE * len(self.questions))]
        eligible &= ~np.isin(grams, np.concatenate([common, _stock(n)]))
        edges = np.zeros(len(hashes) + 1, dtype=np.int64)
        np.add.at(edges, first[eligible], 1)
        np.add.at(edges, first[eligible] + n, -1)
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.cumsum(edges[:-1]) > 0)])
        ends = np.cumsum(lengths)
        covered = (sums[ends] - sums[ends - lengths]).astype(np.int32)
        # What has no n-gram of its own is compared as a whole.
        others = ~eligible & (covered[texts] > 0)
        places = np.stack([texts, begins], axis=1).astype(np.int32)
        return (
            *_sorted([(grams[eligible], places[eligible])], by_hash=True),
            *_sorted([(grams[others], places[others])], by_hash=False),
            covered,
        )


def _prompts(item: Item) -> Iterator[tuple[str, ...]]:
    """A question of a few words with its choices, as rows may write them: without marks, with letters, with numbers."""
    question = words_of(item.questions[0]) if item.questions else []
    choices = [words_of(text) for text in item.choices]
    for marks in ("", "abcdefghijklmnopqrstuvwxyz", "123456789"):
        yield (*question, *(word for number, text in enumerate(choices) for word in (*marks[number : number + 1], *text)))


def _stock(n: int) -> Words:
    hashes, lengths = hashed([words_of(phrase) for phrase in STOCK])
    return runs(hashes, lengths, n)[0]


def _sorted(parts: Sequence[tuple[Words, Ints]], *, by_hash: bool) -> tuple[Words, Ints]:
    """Hashes and places in one order: by hash and then by place, or by place. Each of several parts is in this order, and its places follow those of
    the part before."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *(part[0] for part in parts)])
    places = np.concatenate([np.zeros((0, 2), np.int32), *(part[1] for part in parts)])
    keys = (places[:, 0].astype(np.int64) << 32) | places[:, 1]
    if not (keys[1:] >= keys[:-1]).all() and (not by_hash or len(parts) < 2):
        order = np.argsort(keys, kind="stable")
        hashes, places = hashes[order], places[order]
    if by_hash:
        order = np.argsort(hashes, kind="stable")
        hashes, places = hashes[order], places[order]
    return hashes, places


def _within(values: NDArray[Any], end: int) -> bool:
    """Whether all values are from 0 to `end`, the end not among them."""
    return not values.size or bool(values.min() >= 0 and values.max() < end)


__all__ = ["NGRAMS", "IndexedSet", "ItemIndex", "is_index"]
