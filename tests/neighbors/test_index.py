"""Exact neighbors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import IndexTooSmall
from instructsel.neighbors.index import ExactIndex, neighbor_distances


def unit(n: int, d: int, seed: int, copies: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(n, d)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    if copies:
        found[generator.choice(n, copies, replace=False)] = found[0]
    return found


def brute(vectors: np.ndarray, i: int) -> np.ndarray:
    wide = vectors.astype(np.float64)
    apart = np.sqrt(((wide[:, None] - wide[None]) ** 2).sum(-1))
    np.fill_diagonal(apart, np.inf)
    return np.sort(apart, axis=1)[:, i - 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 60), st.integers(2, 24), st.integers(0, 10_000), st.integers(0, 30), st.integers(1, 7))
def test_distances_are_those_of_all_pairs(n: int, d: int, seed: int, copies: int, i: int) -> None:
    vectors = unit(n, d, seed, min(copies, n))
    found = neighbor_distances(vectors, i)
    assert np.abs(found - brute(vectors, i)).max() < 1e-7


def test_unit_vectors_at_cosine_c_are_the_root_of_two_less_two_c_apart() -> None:
    angles = np.array([0.0, 0.4, 1.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert neighbor_distances(vectors, 1) == pytest.approx([np.sqrt(2 - 2 * np.cos(0.4))] * 2 + [np.sqrt(2 - 2 * np.cos(0.6))], abs=1e-6)


def test_six_copies_put_the_sixth_neighbor_at_exactly_zero() -> None:
    vectors = unit(50, 16, 1)
    vectors[10:17] = vectors[10]
    found = neighbor_distances(vectors, 6)
    assert (found[10:17] == 0.0).all() and (np.delete(found, range(10, 17)) > 0).all()


def test_copies_are_at_exactly_zero_among_many_near_copies() -> None:
    # The near copies are nearer than FAISS's rounding, so its first few candidates need not hold the copies.
    vectors = unit(400, 384, 6)
    vectors[:60] = vectors[0] + np.random.default_rng(7).normal(size=(60, 384)).astype(np.float32) * np.float32(1e-5)
    vectors[10:17] = vectors[10]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[10:17] = vectors[10]
    found = neighbor_distances(vectors, 6)
    assert (found[10:17] == 0.0).all()
    assert np.abs(found - brute(vectors, 6)).max() < 1e-12


def test_one_query_has_the_neighbors_it_has_among_others() -> None:
    vectors = unit(2000, 64, 8, copies=30)
    index = ExactIndex(vectors)
    distances, ids = index.search(vectors, 6, own_ids=np.arange(2000))
    for row in (0, 7, 1999):
        alone = index.search(vectors[row : row + 1], 6, own_ids=np.array([row]))
        assert (alone[0][0] == distances[row]).all() and (alone[1][0] == ids[row]).all()
    copies = np.flatnonzero((vectors == vectors[0]).all(axis=1))
    assert (ids[copies[6:]] == copies[:6]).all()


def test_an_example_is_never_its_own_neighbor_even_among_many_copies() -> None:
    vectors = unit(60, 16, 2)
    vectors[:30] = vectors[0]
    distances, ids = ExactIndex(vectors).search(vectors, 5, own_ids=np.arange(60))
    assert not (ids == np.arange(60)[:, None]).any()
    assert (distances[:30] == 0.0).all()
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize("i", [1, 6])
def test_below_i_plus_one_examples_there_is_no_ith_neighbor(i: int) -> None:
    assert len(neighbor_distances(unit(i + 1, 8, 3), i)) == i + 1
    with pytest.raises(IndexTooSmall, match=f"at least {i + 1}"):
        neighbor_distances(unit(i, 8, 3), i)


def test_distances_do_not_depend_on_the_order_of_the_examples() -> None:
    vectors = unit(3000, 32, 4, copies=40)
    order = np.random.default_rng(5).permutation(3000)
    assert (neighbor_distances(vectors[order], 6) == neighbor_distances(vectors, 6)[order]).all()


def test_a_vector_that_is_not_finite_is_refused() -> None:
    vectors = unit(10, 4, 6)
    vectors[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        neighbor_distances(vectors, 2)
