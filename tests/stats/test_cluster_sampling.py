"""Clustered items: the variance of their mean, by hand and in simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from instructsel.protocols import Grades
from instructsel.stats.clusters import collapsed, sampling
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification


def verified(selection: np.ndarray, baseline: np.ndarray, clusters: tuple[str, ...]) -> Verification:
    """Arms of several runs, (runs, items)."""
    items = tuple(f"{number:05}" for number in range(len(clusters)))
    return Verification.of(
        Run(arm, 0, seed, Grades("loss", items, values, np.ones(len(items)), unit="nats", clusters=clusters))
        for arm, table in (("selection", selection), ("random", baseline))
        for seed, values in enumerate(table)
    )


def test_equal_clusters_have_the_t_interval_of_their_means() -> None:
    differences = np.array([1.0, 2.0, 4.0, 4.0, 0.0, 1.0, 2.0, 3.0, 5.0, 6.0])
    clusters = tuple(f"c{number // 2}" for number in range(10))
    interval = verified(differences[None], np.zeros((1, 10)), clusters).difference(
        "selection", "random", "loss", generalize_to="items", n_resamples=0
    )
    # Means of the five clusters: 1.5, 4, 0.5, 2.5, 5.5; mean 2.8, variance 3.95.
    assert (interval.estimate, interval.df) == (pytest.approx(2.8), 4.0)
    assert interval.standard_error == pytest.approx((3.95 / 5) ** 0.5)
    assert interval.counted == "10 items in 5 clusters"


def test_fewer_than_five_clusters_are_not_enough_data() -> None:
    differences = np.random.default_rng(0).normal(5, 1, (1, 40))
    verification = verified(differences, np.zeros((1, 40)), tuple(f"c{number % 4}" for number in range(40)))
    interval = verification.difference("selection", "random", "loss", generalize_to="items")
    assert interval.low is None and "40 items in 4 clusters" in (interval.reason or "")


def test_one_cluster_that_holds_most_of_the_items_is_not_hidden_by_many_small_ones() -> None:
    clusters = tuple("large" if number < 400 else f"c{number}" for number in range(420))
    differences = np.random.default_rng(0).normal(0, 1, (1, 420)) + np.where(np.arange(420) < 400, 3.0, 0.0)
    interval = verified(differences, np.zeros((1, 420)), clusters).difference("selection", "random", "loss", generalize_to="items")
    assert interval.low is None and "so unequal" in (interval.reason or "")


def test_the_mean_over_clusters_is_that_over_items_whatever_their_sizes() -> None:
    values = np.random.default_rng(1).normal(size=(3, 12))
    codes = np.array([0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4])
    assert collapsed(values, codes).mean(axis=1) == pytest.approx(values.mean(axis=1))
    assert sampling(values[0] - values[0].mean(), codes, None).df < 4


def test_clustered_items_are_falsely_told_apart_in_no_more_than_one_study_of_twenty() -> None:
    generator = np.random.default_rng(5)
    codes = np.repeat(np.arange(60), 5)
    names = tuple(f"c{code}" for code in codes)
    covered = 0
    for _ in range(200):
        own = [generator.normal(0, 0.3, 60)[codes] for _ in range(2)]
        tables = [part + generator.normal(0, 0.3, (3, 300)) for part in own]
        interval = verified(tables[0], tables[1], names).difference("selection", "random", "loss", n_resamples=0)
        assert interval.low is not None and interval.high is not None
        covered += interval.low <= 0 <= interval.high
    # Of 200 studies that are covered 95 times in 100, fewer than 180 are in 1 of 1,000 cases.
    assert covered >= 180
