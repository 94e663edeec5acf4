"""FAISS on a GPU where faiss-gpu and a GPU are there, and on the CPU otherwise: the same candidates, sooner."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EnvironmentFault, MissingExtra
from instructsel.extras import require
from instructsel.models.foreign import first_line
from instructsel.models.runner import free_memory

CHECKED: Final = 64
"""Queries of a search whose similarities are computed again in float64."""


def load_faiss() -> Any:
    """The module, faiss-cpu's or faiss-gpu's.

    Raises:
        MissingExtra: neither is installed.
        EnvironmentFault: what is installed does not load, as faiss-gpu without the CUDA packages it was built for.
    """
    try:
        return require("faiss", needed_by="the neighbor distance")
    except MissingExtra:
        raise
    except (ImportError, OSError, RuntimeError) as error:
        raise EnvironmentFault(
            f"faiss is installed but does not load: {first_line(error)}",
            fix="Install one kind of it anew: pip uninstall faiss-cpu faiss-gpu; pip install 'instructsel[knn]', or 'instructsel[gpu]' for a GPU",
        ) from error


class Searcher:
    """A flat index of inner products. Whoever asks for candidates need not know where it searches."""

    def __init__(self, vectors: NDArray[np.float32], *, device: str, rounding: float) -> None:
        """Put vectors into an index.

        Args:
            vectors: float32 (n, d), unit norm.
            device: auto or cuda: the first GPU where FAISS has one; cuda:N: that one; cpu.
            rounding: by how much a similarity may be wrong; a GPU that rounds more is not used.
        """
        self._vectors = vectors
        self._rounding = rounding
        self._faiss = load_faiss()
        self._on_cpu: Any = None
        # The resources have to live as long as the index that uses them.
        self._resources: Any = None
        self._on_gpu: Any = None
        number = _gpu_of(self._faiss, device)
        if number is not None:
            self._move(number)

    @property
    def device(self) -> str:
        """Where it searches: cpu or cuda."""
        return "cpu" if self._on_gpu is None else "cuda"

    def search(self, queries: NDArray[np.float32], wide: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Similarities and ids of the `wide` nearest vectors to each query, both (m, wide), nearest first."""
        if self._on_gpu is not None:
            try:
                similarity, ids = self._on_gpu.search(queries, wide)
            except (RuntimeError, MemoryError, AssertionError) as error:
                self._leave(f"the GPU could not search ({first_line(error)})")
            else:
                wrong = self._wrong_by(queries[:CHECKED], similarity[:CHECKED], ids[:CHECKED])
                if wrong <= self._rounding:
                    return similarity, ids
                self._leave(f"similarities from the GPU are wrong by {wrong:.0e}")
        if self._on_cpu is None:
            self._on_cpu = self._flat()
        return self._on_cpu.search(queries, wide)  # type: ignore[no-any-return]

    def _flat(self) -> Any:
        index = self._faiss.IndexFlatIP(self._vectors.shape[1])
        index.add(self._vectors)
        return index

    def _move(self, number: int) -> None:
        # What torch holds for nothing is room for the vectors.
        free_memory()
        self._on_cpu = self._flat()
        try:
            self._resources = self._faiss.StandardGpuResources()
            self._on_gpu = self._faiss.index_cpu_to_gpu(self._resources, number, self._on_cpu)
        except (RuntimeError, MemoryError, AssertionError) as error:
            self._leave(f"the GPU does not take {len(self._vectors):,} vectors ({first_line(error)})")

    def _leave(self, why: str) -> None:
        self._on_gpu = self._resources = None
        warnings.warn(f"Neighbors are searched on the CPU: {why}.", UserWarning, stacklevel=4)

    def _wrong_by(self, queries: NDArray[np.float32], similarity: NDArray[np.float32], ids: NDArray[np.int64]) -> float:
        """The largest difference of some similarities from those of float64."""
        if ids.size and (int(ids.min()) < 0 or not np.isfinite(similarity).all()):
            return float("inf")
        exact = np.einsum("md,mkd->mk", queries.astype(np.float64), self._vectors[ids].astype(np.float64))
        return float(np.abs(exact - similarity).max(initial=0.0))


def _gpu_of(faiss: Any, device: str) -> int | None:
    """Which GPU to search on; None for the CPU. faiss-cpu has no GPU resources, and counts none."""
    if device not in ("auto", "cuda") and not device.startswith("cuda:"):
        return None
    if not hasattr(faiss, "StandardGpuResources") or not hasattr(faiss, "index_cpu_to_gpu"):
        return None
    number, count = int(device.removeprefix("cuda:")) if device.startswith("cuda:") else 0, int(faiss.get_num_gpus())
    return number if number < count else None


__all__ = ["Searcher", "load_faiss"]
