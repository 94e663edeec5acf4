"""FAISS on a GPU, through its interface: the same neighbors, the same distances, and a note where the CPU has to do it.

No GPU is needed: a stand-in for the module moves an index to a "GPU" that is FAISS's own on the CPU, and rounds and orders
equals as it likes.
"""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from instructsel.errors import EnvironmentFault
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.neighbors.index import ExactIndex, neighbor_distances


class OnGpu:
    """An index that rounds otherwise than the CPU's, and puts what it cannot tell apart in another order."""

    def __init__(self, index: Any, rounding: float, failing: str | None) -> None:
        self.index, self.rounding, self.failing = index, rounding, failing
        self.drawn = np.random.default_rng(5)
        self.searches = 0

    def search(self, queries: np.ndarray, wide: int) -> tuple[np.ndarray, np.ndarray]:
        self.searches += 1
        if self.failing == "search":
            raise RuntimeError("Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory: out of memory")
        # Everything, rounded anew: whoever ends up behind the last place is another one than on the CPU.
        similarity, ids = self.index.search(queries, self.index.ntotal)
        similarity = similarity + self.drawn.uniform(-self.rounding, self.rounding, similarity.shape).astype(np.float32)
        order = np.argsort(-similarity, axis=1)[:, :wide]
        return np.take_along_axis(similarity, order, axis=1), np.take_along_axis(ids, order, axis=1)


class Faiss(SimpleNamespace):
    """The part of faiss-gpu's module that is used."""

    def __init__(self, *, gpus: int = 1, rounding: float = 5e-7, failing: str | None = None) -> None:
        self.moved: list[tuple[int, OnGpu]] = []

        def move(resources: Any, number: int, index: Any) -> OnGpu:
            assert resources == "resources"
            if failing == "move":
                raise RuntimeError("Error in faiss::gpu: CUDA error 2 out of memory")
            self.moved.append((number, OnGpu(index, rounding, failing)))
            return self.moved[-1][1]

        super().__init__(
            IndexFlatIP=faiss.IndexFlatIP,
            get_num_gpus=lambda: gpus,
            StandardGpuResources=lambda: "resources",
            index_cpu_to_gpu=move,
        )


def using(monkeypatch: pytest.MonkeyPatch, module: Any) -> Any:
    monkeypatch.setitem(sys.modules, "faiss", module)
    return module


def unit(count: int, width: int, copies: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(11)
    vectors = drawn.normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if copies:
        # Copies, and such as differ by less than FAISS can tell.
        vectors[drawn.choice(count, copies, replace=False)] = vectors[0]
        shifted = drawn.choice(count, copies, replace=False)
        vectors[shifted] = vectors[1] + drawn.normal(size=(copies, width)).astype(np.float32) * 1e-5
        vectors[shifted] /= np.linalg.norm(vectors[shifted], axis=1, keepdims=True)
    return vectors


@pytest.mark.parametrize(("count", "copies", "k"), [(40, 0, 5), (300, 0, 1), (300, 60, 6), (500, 200, 7)])
def test_neighbors_and_distances_are_those_of_the_cpu_ties_at_the_last_place_included(
    monkeypatch: pytest.MonkeyPatch, count: int, copies: int, k: int
) -> None:
    vectors = unit(count, 16, copies)
    row_numbers = np.arange(count)
    expected_distances, expected_ids = ExactIndex(vectors, device="cpu").search(vectors, k, own_ids=row_numbers)
    module = using(monkeypatch, Faiss())
    index = ExactIndex(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distances, ids = index.search(vectors, k, own_ids=row_numbers)
    assert index.index.device == "cuda"
    assert module.moved[0][1].searches >= 1
    assert (distances == expected_distances).all()
    assert (ids == expected_ids).all()


def test_equal_neighbors_at_the_last_place_are_taken_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four vectors at the same distance, of which two have a place."""
    vectors = np.eye(5, dtype=np.float32)
    using(monkeypatch, Faiss())
    distances, ids = ExactIndex(vectors).search(vectors[:1], 2, own_ids=np.zeros(1, dtype=np.int64))
    assert ids.tolist() == [[1, 2]]
    assert distances.tolist() == [[2**0.5, 2**0.5]]


@pytest.mark.parametrize(("device", "number"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_the_gpu_is_the_one_that_the_device_names(monkeypatch: pytest.MonkeyPatch, device: str, number: int) -> None:
    module = using(monkeypatch, Faiss(gpus=2))
    ExactIndex(unit(20, 8), device=device)
    assert [moved for moved, _ in module.moved] == [number]


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 2), ("auto", 0), ("cuda", 0), ("mps", 2), ("cuda:2", 2)])
def test_without_a_gpu_or_where_the_cpu_is_asked_for_nothing_is_moved(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int) -> None:
    module = using(monkeypatch, Faiss(gpus=gpus))
    assert ExactIndex(unit(20, 8), device=device).index.device == "cpu"
    assert not module.moved


def test_the_device_of_the_indicator_reaches_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    module = using(monkeypatch, Faiss())
    vectors = unit(20, 8)
    for device in ("cpu", "cuda"):
        NeighborDistance(i=3, device=device).finish([None] * 20, vectors, 0)
    assert len(module.moved) == 1


@pytest.mark.parametrize(
    ("failing", "rounding", "words"),
    [
        ("move", 0.0, "does not take 60 vectors .*out of memory"),
        ("search", 0.0, "could not search .*out of memory"),
        (None, 1e-4, "wrong by"),
    ],
)
def test_what_the_gpu_cannot_do_the_cpu_does_with_a_note(
    monkeypatch: pytest.MonkeyPatch, failing: str | None, rounding: float, words: str
) -> None:
    vectors = unit(60, 8, 10)
    expected = neighbor_distances(vectors, 4, device="cpu")
    using(monkeypatch, Faiss(failing=failing, rounding=rounding))
    with pytest.warns(UserWarning, match=f"Neighbors are searched on the CPU: .*{words}"):
        distances = neighbor_distances(vectors, 4)
    assert (distances == expected).all()


def test_a_faiss_that_does_not_load_is_told_from_one_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "faiss")
    load = builtins.__import__

    def without_cuda(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "faiss":
            raise RuntimeError("faiss-gpu installed but nvidia-cuda-runtime-cu12 is missing")
        return load(name, *args, **kwargs)

    monkeypatch.setattr("instructsel.extras.importlib.import_module", without_cuda)
    with pytest.raises(EnvironmentFault, match=r"does not load: .*nvidia-cuda-runtime-cu12 is missing") as caught:
        ExactIndex(unit(10, 4))
    assert "instructsel[gpu]" in str(caught.value.fix)


def test_the_script_for_a_gpu_runs_at_toy_size(tmp_path: Path) -> None:
    script, out = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "neighbors.py", tmp_path / "out.json"
    subprocess.run([sys.executable, str(script), "--toy", "--rows", "200", "--repeats", "1", "--out", str(out)], check=True)
    record = json.loads(out.read_text())
    (case,) = record["cases"]
    assert "figures mean nothing" in record["hardware"]
    assert (case["rows"], case["largest_difference_of_distances"], case["rows_with_other_neighbors"]) == (200, 0.0, 0)
