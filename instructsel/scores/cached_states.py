"""A language model for the ways that select with one, with a cache: what it computed before is not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instructsel.cache import Cache
from instructsel.models.answers import Answers, Model, OutputCache, Question
from instructsel.models.load import LocalModel
from instructsel.models.runner import Progress
from instructsel.neighbors.encoder import Embeddings
from instructsel.neighbors.pooled_states import PooledStates
from instructsel.scores.asking import ask, embed
from instructsel.scores.neighborhood import Watch, unwatched


@dataclass(frozen=True, eq=False)
class CachedModel:
    """A model whose answers are kept, under the keys that `score` gives them: what `ifd` asked is known here."""

    model: Model
    store: Cache | None
    watch: Watch = unwatched
    """Told how many losses are known."""

    @property
    def source(self) -> LocalModel:
        """Its files."""
        return self.model.source

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What an answer depends on besides the question; no path."""
        return self.model.fingerprint

    def answer(self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: Progress | None = None) -> Answers:
        """A number or a reason for each question; those of the store are not asked. `cache` takes no part: the store does."""
        return ask(self.model, type(self.model).__name__, questions, self.store, progress=progress or self.watch("losses"))


@dataclass(frozen=True, eq=False)
class CachedStates:
    """`PooledStates` whose vectors and losses are kept."""

    states: PooledStates
    store: Cache | None
    """None keeps nothing."""
    watch: Watch = unwatched
    """Told how many vectors or losses are known."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        return self.states.fingerprint

    @property
    def language_model(self) -> CachedModel:
        """The model behind it, for what asks for losses."""
        return CachedModel(self.states.language_model, self.store, self.watch)

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of texts; equal texts have one."""
        number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        distinct = embed(self.states, list(number_of), self.store, progress=self.watch("vectors"))
        rows = [number_of[text] for text in texts]
        return Embeddings(distinct.vectors[rows], distinct.truncated[rows], distinct.report, [distinct.reasons[row] for row in rows])


__all__ = ["CachedModel", "CachedStates"]
