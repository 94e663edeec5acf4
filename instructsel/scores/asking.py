"""Questions to models, with a cache: what was answered before, by this run or another, is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache, Keys, Namespace, keys_of
from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.answers import Answers, Model, OutputCache, Question
from instructsel.models.load import LocalModel
from instructsel.neighbors.encoder import Embeddings

LAYOUT: Final = 1
"""Raised when the same question to the same model would get another answer."""
NOT_THE_VALUE: Final = ("name", "revision", "probe")
"""What of a fingerprint says nothing of the value: where a model was found, and whether it was tested first."""


@dataclass(frozen=True, eq=False)
class CachedAnswers:
    """An output cache on the namespaces of a cache: one for the planned batch shapes, one for each that lack of memory enforced."""

    cache: Cache
    description: dict[str, Any]
    model: str
    """The model's name, for people who look into the cache; its digest decides."""
    keys: Keys
    width: int
    dtype: str
    namespaces: dict[runner.Shape | None, Namespace] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cache: Cache, source: LocalModel, fingerprint: dict[str, Any], kind: str, texts: Sequence[Any], *, width: int, dtype: str
    ) -> CachedAnswers:
        """For these questions or texts to this model.

        `width` counts the numbers of an answer; one more says whether the model saw the whole text.
        """
        torch = require("torch", needed_by="the model")
        description = {
            "kind": kind,
            "layout": LAYOUT,
            **{key: value for key, value in fingerprint.items() if key not in NOT_THE_VALUE},
            "settings": source.settings,
            **({} if source.index is None else {"index": source.index}),
            # Kernels round differently from release to release and from processor to processor.
            "torch": torch.__version__,
            "kernels": _kernels(torch, str(fingerprint.get("device"))),
        }
        return cls(cache, description, source.name, keys_of(texts), width + 1, dtype)

    def namespace(self, shape: runner.Shape | None) -> Namespace:
        """The namespace of a batch shape."""
        if shape not in self.namespaces:
            described = self.description if shape is None else {**self.description, "shape": list(shape)}
            self.namespaces[shape] = self.cache.namespace(described, width=self.width, dtype=self.dtype, model=self.model)
        return self.namespaces[shape]

    def known(self) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[np.bool_]]:
        """Which questions are answered, bool (n,); the answers, (n, width); where the model did not see everything, bool (n,)."""
        known, values = self.namespace(None).get(self.keys)
        return known, values[:, :-1], values[:, -1] != 0

    def write(self, questions: NDArray[np.int64], values: NDArray[Any], truncated: NDArray[np.bool_], shape: runner.Shape | None) -> None:
        """Put answers onto the namespace of their shape."""
        packed = np.concatenate([values.reshape(len(questions), -1), truncated[:, None]], axis=1)
        self.namespace(shape).put(self.keys[questions], packed)

    def read(self, questions: NDArray[np.int64], shape: runner.Shape) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Answers in a smaller shape."""
        known, values = self.namespace(shape).get(self.keys[questions])
        return known, values[:, :-1] if self.width > 2 else values[:, 0]

    def part(self, questions: NDArray[np.int64]) -> CachedAnswers:
        """For some of the questions, on the same namespaces."""
        return CachedAnswers(self.cache, self.description, self.model, self.keys[questions], self.width, self.dtype, self.namespaces)

    def flush(self) -> None:
        """Everything onto the disk."""
        for namespace in self.namespaces.values():
            namespace.flush()


def _kernels(torch: Any, device: str) -> str:
    """The kind of processor or GPU that computes, whose kernels have their own rounding."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(int(device.partition(":")[2] or 0)))
    return str(torch.backends.cpu.get_cpu_capability()) if device == "cpu" else device


def ask(model: Model, kind: str, questions: Sequence[Question], cache: Cache | None, *, progress: runner.Progress | None = None) -> Answers:
    """A model's answers, those of the cache included.

    Args:
        model: loaded.
        kind: what kind of model it is: answers of different kinds never mix.
        questions: each once.
        cache: None keeps nothing.
        progress: called with how many are answered.
    """
    if cache is None or not questions:
        return model.answer(questions, progress=progress)
    stored = CachedAnswers.of(cache, model.source, model.fingerprint, kind, questions, width=1, dtype="<f8")
    known, values, truncated = stored.known()
    missing = np.flatnonzero(~known)
    offset = len(questions) - len(missing)
    try:
        answers = model.answer(
            [questions[number] for number in missing.tolist()],
            cache=stored.part(missing),
            progress=None if progress is None else lambda done, total: progress(offset + done, len(questions)),
        )
    finally:
        stored.flush()
    every = Answers(np.where(known, values[:, 0], 0.0), [None] * len(questions), truncated, answers.report)
    every.values[missing] = answers.values
    every.truncated[missing] = answers.truncated
    for number, reason in zip(missing.tolist(), answers.reasons, strict=True):
        every.reasons[number] = reason
    return every


class TextModel(Protocol):
    """Anything that turns texts into vectors and can write them to a cache: Encoder, PooledStates."""

    @property
    def source(self) -> LocalModel:
        """Its files."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str], *, cache: OutputCache | None = None, progress: runner.Progress | None = None) -> Embeddings:
        """The vectors of texts."""
        ...


def embed(encoder: TextModel, texts: Sequence[str], cache: Cache | None, *, progress: runner.Progress | None = None) -> Embeddings:
    """The vectors of texts, those of the cache included; each text once."""
    if cache is None or not texts:
        return encoder.encode(texts, progress=progress)
    stored = CachedAnswers.of(cache, encoder.source, encoder.fingerprint, "encoder", texts, width=encoder.dimension, dtype="<f4")
    known, vectors, truncated = stored.known()
    missing = np.flatnonzero(~known)
    offset = len(texts) - len(missing)
    try:
        embeddings = encoder.encode(
            [texts[number] for number in missing.tolist()],
            cache=stored.part(missing),
            progress=None if progress is None else lambda done, total: progress(offset + done, len(texts)),
        )
    finally:
        stored.flush()
    vectors = np.ascontiguousarray(vectors)
    vectors[missing] = embeddings.vectors
    truncated[missing] = embeddings.truncated
    reasons: list[str | None] = [None] * len(texts)
    for number, reason in zip(missing.tolist(), embeddings.reasons, strict=True):
        reasons[number] = reason
    return Embeddings(vectors, truncated, embeddings.report, reasons)
