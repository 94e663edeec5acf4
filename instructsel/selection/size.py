"""How many rows to keep: fine-tune on the best n of a ranking for several n and seeds, and see which losses noise cannot explain."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
import polars as pl

from instructsel.artifact import SCHEMA_VERSION, atomic_write, dump_json, fingerprint, machine, now
from instructsel.errors import EnvironmentFault, StudyError, UsageError
from instructsel.extras import require
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
from instructsel.scores.frames import release
from instructsel.selection.budget import Count
from instructsel.selection.selection import NEAR, Selection, Setting

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

Method = Literal["grid", "blend"]
Progress = Callable[[int, int], None]
"""Told how many fine-tunes are done, and of how many at most."""

KIND: Final = "size-search"
CONFIGURATION: Final = "search.json"
DAMAGED: Final = ".damaged"
NEEDED_BY: Final = "the size search"

METHODS: Final = ("grid", "blend")
LEAST: Final = 512
MOST: Final = 10_000
"""The range that the authors of BlendSearch's use here are quoted with."""
LEVEL: Final = 0.95
"""Of every interval, and of all comparisons with the chosen size together."""
NAMED: Final = 5
"""Sizes that a sentence names before it counts the rest."""


@dataclass(frozen=True)
class SizeRow:
    """A fine-tune: a size, a seed, and the losses that came of it."""

    size: int
    """Rows asked for."""
    rows: int
    """Rows trained on; fewer than `size` where quotas that are shares round down."""
    seed: int
    """Of training."""
    search_loss: float
    """On the search set, weighted as the grader weights; in its unit."""
    report_loss: float
    """On the report set."""
    search_valid: int
    """Items of the search set that had a value."""
    report_valid: int
    """Items of the report set that had a value."""
    seconds: float
    """Training and grading took."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval, which speaks of other seeds and not of other items."""

    mean: float
    """In the grader's unit."""
    low: float | None
    """The lower end of the 95 % interval; None where the noise is not known."""
    high: float | None
    """The upper end."""

    def as_dict(self) -> dict[str, float | None]:
        """Mean and ends as plain data."""
        return {"mean": self.mean, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.low is None else f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class SizePoint:
    """A size and its losses over the seeds."""

    size: int
    """Rows asked for."""
    rows: int
    """Rows trained on."""
    search: Estimate
    """On the search set, by which the size is chosen."""
    report: Estimate
    """On the report set, which has no part in the choice."""


@dataclass(frozen=True)
class SizeCurve:
    """The losses of several sizes of one selection, and what can be said of the best size.

    Noise is how much the search loss of one size varies over training seeds: the standard deviation within sizes, pooled over
    them. It is taken to be the same at every size. The items of both sets are taken as they are: no interval speaks of other items.
    """

    rows: tuple[SizeRow, ...]
    """Sizes ascending, of each every seed in the order given."""
    search: str
    """The name of the grader that chooses."""
    report: str
    """The name of the grader that reports."""
    unit: str = ""
    """Of the search losses."""
    method: str = "grid"
    """grid or blend."""
    least: int = LEAST
    """The smallest size that could be tried."""
    most: int = MOST
    """The largest size that could be tried."""
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What every row depends on besides size and seed: pool, ranking, trainer, graders."""

    def __post_init__(self) -> None:
        by_size: dict[int, list[int]] = {}
        for row in self.rows:
            by_size.setdefault(row.size, []).append(row.seed)
        if not by_size or any(seeds != list(self.seeds) for seeds in by_size.values()) or list(by_size) != sorted(by_size):
            raise UsageError("A curve has its sizes ascending, and of each the same seeds in the same order.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes tried, ascending."""
        return tuple(dict.fromkeys(row.size for row in self.rows))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds, of every size the same."""
        return tuple(dict.fromkeys(row.seed for row in self.rows))

    @property
    def noise(self) -> float | None:
        """The standard deviation of the search loss over seeds, pooled over the sizes: m(k − 1) degrees of freedom for m sizes of k seeds.

        None where it is not known: with one seed, or where the seeds made no difference to anything.
        """
        return self._search.spread

    @cached_property
    def points(self) -> tuple[SizePoint, ...]:
        """Every size with its mean losses; the intervals are Student's t with the pooled standard deviation of their own set."""
        kept = dict.fromkeys(self.sizes, 0) | {row.size: row.rows for row in self.rows}
        return tuple(
            SizePoint(size, kept[size], self._search.estimate(at), self._report.estimate(at)) for at, size in enumerate(self.sizes)
        )

    @property
    def chosen(self) -> int:
        """The size of the lowest mean search loss; of equal ones the smallest."""
        return self.sizes[self._at]

    @property
    def margin(self) -> float | None:
        """Differences in mean search loss from the chosen size up to this are noise; None where the noise is not known, or with one size.

        Paired over seeds: the standard deviation is of what is left when the mean of each size and of each seed are taken out, with
        (m − 1)(k − 1) degrees of freedom, so that luck a seed brings to all sizes does not count; times t √(2/k), by Bonferroni for
        the m − 1 comparisons.
        """
        return self._search.margin(math.sqrt(2 / len(self.seeds)), comparisons=len(self.sizes) - 1)

    @property
    def near(self) -> tuple[int, ...] | None:
        """The chosen size and those not distinguishable from it, ascending; None where the noise is not known.

        With 95 % confidence or more the size whose loss is truly lowest is among them, although the chosen one was picked by the same
        losses. Source: Gupta 1965, Technometrics 7(2), on subsets that contain the best; Bonferroni's bound in place of Dunnett's value.
        """
        if len(self.sizes) == 1:
            return self.sizes
        if self.margin is None:
            return None
        lowest = self._search.means[self._at]
        return tuple(size for size, mean in zip(self.sizes, self._search.means, strict=True) if mean - lowest <= self.margin)

    @property
    def smallest_near(self) -> int | None:
        """The cheapest size not distinguishable from the chosen one, which is the one to take; None where the noise is not known."""
        return None if self.near is None else self.near[0]

    @property
    def lucky(self) -> bool | None:
        """Whether the dip at the chosen size may be luck: True where its lead over the mean of the sizes next to it, one on either side,
        is within noise, so that the dip is not shown; False where it is beyond.

        The limit is Bonferroni's for every size that could have been such a dip. None at an end of the sizes, where there is no dip,
        and where the noise is not known.
        """
        lead, limit = self._dip
        return None if lead is None or limit is None else lead <= limit

    @property
    def search_loss(self) -> Estimate:
        """The search loss of the chosen size. Biased downward: it is the lowest of several, so that luck is in it. Not to be reported."""
        return self.points[self._at].search

    @property
    def report_loss(self) -> Estimate:
        """The report loss of the chosen size, whose items had no part in the choice.

        It is of the same checkpoints: a size chosen because its seeds were lucky keeps that part of its luck, which only other seeds,
        trained at the chosen size alone, would take away.
        """
        return self.points[self._at].report

    @property
    def verdict(self) -> str:
        """What follows, in one or two sentences."""
        count = f"{len(self.sizes)} sizes"
        if len(self.sizes) == 1:
            return f"Only {self.chosen:,} rows were tried, so there is nothing to compare."
        if self.margin is None or self.near is None:
            why = "with one seed" if len(self.seeds) == 1 else "where the seeds make no difference"
            return (
                f"{self.chosen:,} rows came out lowest of {count}, but {why} a size cannot be told from luck. "
                "Train each size with three seeds or more."
            )
        noise = f"{self.margin:.2g}{f' {self.unit}' if self.unit else ''}"
        if len(self.near) == 1:
            return f"{self.chosen:,} rows are the best of {count}: every other is worse by more than the {noise} that noise explains."
        if len(self.near) == len(self.sizes):
            return (
                f"No detectable difference between {count}: {self.chosen:,} rows came out lowest, but up to {noise} is noise. "
                f"Take {self.near[0]:,}, the fewest."
            )
        others = _told([size for size in self.near if size != self.chosen])
        return (
            f"{self.chosen:,} rows came out lowest of {count}, and {others} cannot be told from them: up to {noise} is noise. "
            f"Take {self.near[0]:,}, the fewest of these."
        )

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to doubt, in sentences."""
        found = []
        if len(self.sizes) > 1 and self.method == "blend" and (self.sizes[0] > self.least or self.sizes[-1] < self.most):
            found.append(
                f"BlendSearch looked at {self.sizes[0]:,} to {self.sizes[-1]:,} rows of {self.least:,} to {self.most:,}: "
                "nothing is known of the others."
            )
        if len(self.sizes) > 1 and self.chosen in (self.sizes[0], self.sizes[-1]):
            end, more = ("largest", "more") if self.chosen == self.sizes[-1] else ("smallest", "fewer")
            found.append(f"The lowest is the {end} size tried: {more} rows may be better still.")
        lead, limit = self._dip
        if self.lucky and lead is not None and limit is not None:
            left, right = self.sizes[self._at - 1], self.sizes[self._at + 1]
            found.append(
                f"That there is a dip at {self.chosen:,} is not shown: it leads the mean of {left:,} and {right:,} by {lead:.2g}, "
                f"and up to {limit:.2g} is noise."
            )
        short = [point for point in self.points if point.rows < point.size]
        if short:
            found.append(
                f"Quotas left fewer rows than asked for: {', '.join(f'{point.rows:,} of {point.size:,}' for point in short[:NAMED])}."
            )
        for name, counts in (
            (self.search, {row.search_valid for row in self.rows}),
            (self.report, {row.report_valid for row in self.rows}),
        ):
            if len(counts) > 1:
                found.append(f"From {min(counts):,} to {max(counts):,} items of {name} had a value: the losses are not of the same items.")
        return tuple(found)

    @property
    def curve(self) -> dict[str, Any]:
        """What a chart needs: `x`, `y`, `low`, `high` of the sizes' mean search losses (the ends None where the noise is not known),
        `points` with `x`, `y` and `labels` of every fine-tune, and the axes' labels."""
        means = [point.search for point in self.points]
        known = self.noise is not None
        return {
            "name": f"mean of {len(self.seeds)} seeds",
            "x": list(self.sizes),
            "y": [each.mean for each in means],
            "low": [each.low for each in means] if known else None,
            "high": [each.high for each in means] if known else None,
            "points": {
                "x": [row.size for row in self.rows],
                "y": [row.search_loss for row in self.rows],
                "labels": [f"{row.size:,} rows, seed {row.seed}" for row in self.rows],
            },
            "x_label": "rows",
            "y_label": f"{self.search}{f', {self.unit}' if self.unit else ''}",
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data; what differs between two equal searches stands under `run`."""
        dip, limit = self._dip
        return {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "instructsel": release(),
            "configuration": dict(self.configuration),
            "method": self.method,
            "least": self.least,
            "most": self.most,
            "search": self.search,
            "report": self.report,
            "unit": self.unit,
            "seeds": list(self.seeds),
            "sizes": [
                {"size": each.size, "rows": each.rows, "search": each.search.as_dict(), "report": each.report.as_dict()}
                for each in self.points
            ],
            "fine_tunes": [
                {
                    "size": row.size,
                    "rows": row.rows,
                    "seed": row.seed,
                    "search_loss": row.search_loss,
                    "report_loss": row.report_loss,
                    "search_valid": row.search_valid,
                    "report_valid": row.report_valid,
                }
                for row in self.rows
            ],
            "level": LEVEL,
            "noise": self.noise,
            "margin": self.margin,
            "chosen": self.chosen,
            "near": None if self.near is None else list(self.near),
            "smallest_near": self.smallest_near,
            "lucky": self.lucky,
            "dip": {"lead": dip, "noise": limit},
            "report_loss": self.report_loss.as_dict(),
            "verdict": self.verdict,
            "cautions": list(self.cautions),
            "run": {"seconds": [row.seconds for row in self.rows]},
        }

    def lines(self) -> list[str]:
        """The curve as aligned lines of text, then the report loss, the verdict and the cautions."""
        first = self.points[0]
        heads = [
            f"{name}{'' if each.low is None else ' [95 %]'}" for name, each in ((self.search, first.search), (self.report, first.report))
        ]
        cells = [["rows", *heads, ""]]
        for point in self.points:
            near = self.near is not None and point.size in self.near
            mark = "lowest" if point.size == self.chosen else "not distinguishable" if near else ""
            cells.append([f"{point.size:,}", str(point.search), str(point.report), mark])
        widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
        found = [
            "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip() for row in cells
        ]
        return [
            *found,
            "",
            f"{self.report} of {self.chosen:,} rows: {self.report_loss}. The lowest of {self.search} is none to report: it is biased downward.",
            self.verdict,
            *self.cautions,
        ]

    @cached_property
    def _search(self) -> _Losses:
        return _Losses.of([row.search_loss for row in self.rows], len(self.seeds))

    @cached_property
    def _report(self) -> _Losses:
        return _Losses.of([row.report_loss for row in self.rows], len(self.seeds))

    @property
    def _at(self) -> int:
        # The first of equal ones.
        return self._search.means.index(min(self._search.means))

    @property
    def _dip(self) -> tuple[float | None, float | None]:
        """How far the chosen size lies below the mean of its neighbors, and how much of that noise explains."""
        at, means = self._at, self._search.means
        if at in (0, len(means) - 1):
            return None, None
        # Of one mean against the mean of two others the variance is s²(1/k + 1/2k).
        limit = self._search.margin(math.sqrt(1.5 / len(self.seeds)), comparisons=len(means) - 2)
        return (means[at - 1] + means[at + 1]) / 2 - means[at], limit


@dataclass(frozen=True)
class _Losses:
    """Losses of m sizes by k seeds."""

    values: tuple[tuple[float, ...], ...]
    """m times k."""

    @classmethod
    def of(cls, losses: Sequence[float], k: int) -> _Losses:
        return cls(tuple(tuple(losses[at : at + k]) for at in range(0, len(losses), k)))

    @cached_property
    def means(self) -> list[float]:
        """Of the sizes; exactly rounded, so that the order of the seeds has no part in them."""
        return [_mean(row) for row in self.values]

    @cached_property
    def spread(self) -> float | None:
        """The standard deviation within sizes; None where it cannot be known."""
        m, k = len(self.values), len(self.values[0])
        # Equal to the last bit whatever the seed: that is no measurement of what seeds do.
        if k < 2 or all(len(set(row)) == 1 for row in self.values):
            return None
        squares = math.fsum((value - mean) ** 2 for row, mean in zip(self.values, self.means, strict=True) for value in row)
        return math.sqrt(squares / (m * (k - 1)))

    def estimate(self, at: int) -> Estimate:
        """A size's mean with its interval."""
        m, k = len(self.values), len(self.values[0])
        if self.spread is None:
            return Estimate(self.means[at], None, None)
        half = _critical(m * (k - 1), 1) * self.spread / math.sqrt(k)
        return Estimate(self.means[at], self.means[at] - half, self.means[at] + half)

    def margin(self, factor: float, *, comparisons: int) -> float | None:
        """What noise explains of a contrast of means whose standard error is `factor` standard deviations, paired over seeds."""
        m, k = len(self.values), len(self.values[0])
        if self.spread is None or m < 2:
            return None
        of_seeds = [_mean([row[at] for row in self.values]) for at in range(k)]
        whole = _mean(of_seeds)
        left = math.fsum(
            (value - mean - of_seeds[at] + whole) ** 2
            for row, mean in zip(self.values, self.means, strict=True)
            for at, value in enumerate(row)
        )
        freedom = (m - 1) * (k - 1)
        return _critical(freedom, comparisons) * math.sqrt(left / freedom) * factor


def search_size(
    selection: Selection,
    *,
    trainer: Trainer,
    grader: Grader,
    report: Grader,
    sizes: Sequence[int] | None = None,
    method: Method = "grid",
    least: int = LEAST,
    most: int | None = None,
    trials: int = 8,
    seeds: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> SizeCurve:
    """Fine-tune on the best n rows of a selection's ranking, for several n, and compare the losses.

    The best n are what `select` keeps with a budget of n: same ranking, duplicates, quotas and floors. Sizes are compared by the
    search set alone; the report set says how good the chosen one is, and the two may not share an item. Every size is trained with
    every seed, and a checkpoint is removed when it is graded.

    Args:
        selection: made by `select` or `baselines`, not read from a file; its own budget has no part in the search.
        trainer: fine-tunes.
        grader: the search set, lower is better.
        report: the report set, lower is better.
        sizes: of a grid; by default `least`, doubled as often as there is room, and `most`.
        method: grid, or blend: BlendSearch from FLAML over log-uniform whole numbers from `least` to `most`, starting at `least`.
        least: the smallest size.
        most: the largest; by default 10,000, or all rows that are left where these are fewer.
        trials: sizes that blend asks for; one that it asks for again is not trained again.
        seeds: of training, whole numbers; with one, no size can be told from luck.
        seed: of blend.
        folder: where every finished fine-tune is written down, so that a search goes on where it was interrupted; it may be given again
            with other sizes, seeds, or method. None keeps nothing.
        progress: told how many fine-tunes are done, and of how many at most.

    Raises:
        UsageError: a selection read from a file, a setting that cannot be, more rows than are left, a grader whose higher values are
            better, or search set, report set and pool that share an item.
        StudyError: the folder is of another search, or a grader had no value for any item, or other items than before.
        MissingExtra: blend without FLAML, or several seeds without SciPy.
        TrainingError, TrainingDiverged: from the trainer; what finished before is in the folder.

    Source: InstructMining v2, arXiv:2307.06290v3, which searched the size by BlendSearch (Wang et al. 2021, ICLR) and reported the metric
    that it searched by; that is what the second set is for.
    """
    ranked = _Ranked.of(selection)
    if method not in METHODS:
        raise UsageError.named(method, METHODS, noun="method of size search")
    _check_numbers("seed", seeds, floor=0)
    if method == "blend":
        _check_numbers("number of trials", [trials], floor=1)
        _check_numbers("seed", [seed], floor=0)
        if sizes is not None:
            raise UsageError("BlendSearch finds its sizes itself.", fix="Give least and most, or the method grid.")
    grid, least, most = _range(ranked, sizes, least, most)
    pool_items = frozenset(ranked.setting.ids)
    _check_graders(grader, report, pool_items)
    # Before anything is trained: what is needed at the end must not be missing then.
    if len(seeds) > 1:
        require("scipy.special", needed_by=NEEDED_BY)
    flaml = _flaml() if method == "blend" else None
    work = _Work(
        ranked=ranked,
        trainer=trainer,
        grader=grader,
        report=report,
        pool_items=pool_items,
        place=_Place.of(folder, _configuration(ranked, trainer, grader, report)),
        seeds=tuple(seeds),
        total=(trials if flaml else len(grid)) * len(seeds),
        progress=progress or _silent,
    )
    if flaml is None:
        for size in grid:
            work.loss(size)
    else:
        _blend(flaml, work.loss, least=least, most=most, trials=trials, seed=seed)
    return SizeCurve(
        rows=tuple(row for size in sorted(work.done) for row in work.done[size]),
        search=grader.name,
        report=report.name,
        unit=work.units[0] if work.units else "",
        method=method,
        least=least,
        most=most,
        configuration=work.place.configuration,
    )


def grid_sizes(least: int, most: int) -> tuple[int, ...]:
    """From `least` to `most` by doubling, both ends included.

    >>> grid_sizes(512, 5000)
    (512, 1024, 2048, 4096, 5000)
    """
    return (*(least * 2**power for power in range((most // least).bit_length()) if least * 2**power < most), most)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The rows of a selection that were neither removed nor repeat a better one, best first."""

    name: str
    setting: Setting
    positions: list[int]
    """In the pool."""

    @classmethod
    def of(cls, selection: Selection) -> _Ranked:
        if selection.setting is None:
            raise UsageError(
                "Sizes are tried on a selection as it is made; this one was read from a file.",
                fix="Select again, and search in the same run.",
            )
        # A budget leaves its mark in the reasons alone: ranks and near-duplicates are what they are without one.
        fresh = (
            selection.frame.with_row_index("position")
            .filter(pl.col("rank").is_not_null() & pl.col("reason").ne_missing(NEAR))
            .sort("rank", maintain_order=True)
        )
        return cls(selection.name, selection.setting, fresh["position"].to_list())

    def ids(self, n: int) -> tuple[str, ...]:
        """Of the best n under the quotas, best first: what `select` keeps with a budget of n."""
        # Its own filling, so that it cannot come to differ.
        kept, _, _, _ = replace(self.setting, budget=Count(n))._fill(self.positions)
        return tuple(self.setting.ids[position] for position in kept)

    @cached_property
    def available(self) -> int:
        """Rows that the largest budget would keep."""
        return len(self.ids(max(1, len(self.positions))))

    def part(self, ids: Sequence[str]) -> Pool:
        """These rows as a pool."""
        return self.setting.pool.take(ids)


def _range(ranked: _Ranked, sizes: Sequence[int] | None, least: int, most: int | None) -> tuple[tuple[int, ...], int, int]:
    """The grid, and the smallest and largest size."""
    there = ranked.available
    if sizes is not None:
        _check_numbers("size", sizes, floor=1)
        grid = tuple(sorted(sizes))
        if grid[-1] > there:
            raise UsageError(f"The selection has {there:,} rows to keep, fewer than {grid[-1]:,}.", fix=f"Give sizes up to {there:,}.")
        return grid, grid[0], grid[-1]
    for end in (least,) if most is None else (least, most):
        _check_numbers("size", [end], floor=1)
    largest = min(MOST, there) if most is None else most
    if largest > there or least > largest:
        raise UsageError(
            f"Sizes from {least:,} to {largest:,} cannot be tried: the selection has {there:,} rows to keep.",
            fix=f"Give least and most within 1 and {there:,}, least not above most.",
        )
    return grid_sizes(least, largest), least, largest


def _check_numbers(noun: str, numbers: Sequence[int], *, floor: int) -> None:
    if not numbers:
        raise UsageError(f"A size search needs a {noun}.", fix="Give one or more.")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or number < floor:
            raise UsageError(f"A {noun} is a whole number from {floor}, not {number!r}.")
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"A {noun} stands twice among {', '.join(map(str, numbers))}.", fix="Name each once.")


def _check_graders(grader: Grader, report: Grader, pool_items: frozenset[str]) -> None:
    """Refuse sets that overlap, as far as it can be known before a checkpoint is graded."""
    if _plain(grader.fingerprint) == _plain(report.fingerprint):
        raise UsageError(
            f"{grader.name} would both choose the size and report on it: the two graders are the same.",
            fix="Report on a set that has no part in the choice.",
        )
    _check_disjoint(grader.name, _items(grader), report.name, _items(report), pool_items)


def _items(grader: Grader) -> Sequence[str]:
    """What a grader says it will grade; nothing where it does not say."""
    for attribute in ("item_hashes", "items"):
        found = getattr(grader, attribute, None)
        if found is not None and not callable(found):
            return tuple(found)
    return ()


def _check_disjoint(search: str, search_items: Sequence[str], report: str, report_items: Sequence[str], pool_items: frozenset[str]) -> None:
    both = sorted(set(search_items) & set(report_items))
    if both:
        raise UsageError(
            f"{len(both):,} of {len(report_items):,} items of the report set {report} are in the search set {search}, by which the size is "
            f"chosen: {_first(both)}.",
            fix="Take them out of one of the two.",
        )
    for name, items in ((search, search_items), (report, report_items)):
        inside = sorted(pool_items.intersection(items))
        if inside:
            raise UsageError(
                f"{len(inside):,} of {len(items):,} items of {name} are in the pool, so that they would be trained on: {_first(inside)}.",
                fix="Drop them from the pool or from the evaluation set.",
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _configuration(ranked: _Ranked, trainer: Trainer, grader: Grader, report: Grader) -> dict[str, Any]:
    """What every fine-tune of the search depends on besides its size and seed."""
    setting = ranked.setting
    found: dict[str, Any] = _plain(
        {
            "pool": {"fingerprint": setting.pool.fingerprint},
            "selection": {
                "name": ranked.name,
                "ranking": fingerprint([setting.ids[position] for position in ranked.positions]),
                "quotas": dict(sorted(setting.quotas.items())),
            },
            "trainer": dict(trainer.fingerprint),
            "grader": {"name": grader.name, **grader.fingerprint},
            "report": {"name": report.name, **report.fingerprint},
        }
    )
    return found


@dataclass(frozen=True)
class _Place:
    """The folder of a search: its configuration, and a sealed file for each fine-tune that ended."""

    path: Path | None
    configuration: Mapping[str, Any]

    @classmethod
    def of(cls, folder: str | Path | None, configuration: Mapping[str, Any]) -> _Place:
        if folder is None:
            return cls(None, configuration)
        path = Path(folder)
        file = path / CONFIGURATION
        try:
            path.mkdir(parents=True, exist_ok=True)
            before = orjson.loads(file.read_bytes())["configuration"] if file.exists() else None
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StudyError(f"{file} is not the configuration of a size search.", fix="Name another folder.") from error
        except OSError as error:
            raise EnvironmentFault(f"The folder {path} cannot be used: {error.strerror or error}.", fix="Name another one.") from error
        if before is None:
            whole = {"kind": KIND, "schema_version": SCHEMA_VERSION, "instructsel": release(), "configuration": configuration}
            with atomic_write(file) as out:
                out.write(dump_json(whole, indent=True) + b"\n")
        elif before != configuration:
            other = before if isinstance(before, dict) else {}
            parts = sorted(part for part in {*configuration, *other} if configuration.get(part) != other.get(part))
            raise StudyError(
                f"{path} is the folder of another size search; what differs: {', '.join(parts)}. Nothing in it was changed.",
                fix="Name another folder, or give this search what that one had.",
            )
        return cls(path, configuration)

    def read(self, size: int, seed: int, ids: str) -> dict[str, Any] | None:
        """What was written of a fine-tune; None where there is nothing. A damaged file is moved aside."""
        if self.path is None:
            return None
        file = self._file(size, seed)
        try:
            told = orjson.loads(file.read_bytes())
            digest = told.pop("digest")
        except FileNotFoundError:
            return None
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            told, digest = None, ""
        known = {"configuration": fingerprint(self.configuration), "size": size, "seed": seed, "ids": ids}
        if told is None or digest != fingerprint(told) or any(told.get(key) != value for key, value in known.items()):
            os.replace(file, file.with_name(file.name + DAMAGED))
            return None
        found: dict[str, Any] = told
        return found

    def write(self, size: int, seed: int, ids: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """Write down a fine-tune for good; what was written."""
        whole: dict[str, Any] = _plain(
            {
                "schema_version": SCHEMA_VERSION,
                "configuration": fingerprint(self.configuration),
                "size": size,
                "seed": seed,
                "ids": ids,
                **told,
            }
        )
        if self.path is not None:
            with atomic_write(self._file(size, seed)) as out:
                out.write(dump_json({**whole, "digest": fingerprint(whole)}, indent=True) + b"\n")
        return whole

    def _file(self, size: int, seed: int) -> Path:
        assert self.path is not None
        return self.path / f"size{size}-seed{seed}.json"


@dataclass(eq=False)
class _Work:
    """A search under way."""

    ranked: _Ranked
    trainer: Trainer
    grader: Grader
    report: Grader
    pool_items: frozenset[str]
    place: _Place
    seeds: tuple[int, ...]
    total: int
    progress: Progress
    done: dict[int, list[SizeRow]] = field(default_factory=dict)
    graded: dict[str, str] = field(default_factory=dict)
    """search and report → the digest of the items that were graded."""
    units: list[str] = field(default_factory=list)

    def loss(self, size: int) -> float:
        """The mean search loss of a size; what was trained before is not trained again."""
        if size not in self.done:
            ids = self.ranked.ids(size)
            rows = []
            for seed in self.seeds:
                rows.append(self._row(size, seed, ids))
                self.progress(sum(map(len, self.done.values())) + len(rows), self.total)
            self.done[size] = rows
        return _mean([row.search_loss for row in self.done[size]])

    def _row(self, size: int, seed: int, ids: Sequence[str]) -> SizeRow:
        digest = fingerprint(list(ids))
        told = self.place.read(size, seed, digest) or self._trained(size, seed, ids, digest)
        for part in ("search", "report"):
            if self.graded.setdefault(part, told[part]["items"]) != told[part]["items"]:
                raise StudyError(
                    f"{told[part]['grader']} graded other items at {size:,} rows, seed {seed}, than before: losses cannot be compared.",
                    fix="A grader's items are the same for every checkpoint.",
                )
        self.units.append(told["search"]["unit"])
        return SizeRow(
            size=size,
            rows=len(ids),
            seed=seed,
            search_loss=told["search"]["loss"],
            report_loss=told["report"]["loss"],
            search_valid=told["search"]["valid"],
            report_valid=told["report"]["valid"],
            seconds=told["run"]["seconds"],
        )

    def _trained(self, size: int, seed: int, ids: Sequence[str], digest: str) -> dict[str, Any]:
        started = time.perf_counter()
        checkpoint = self.trainer.train(self.ranked.part(ids), seed=seed)
        try:
            search, report = self._graded(checkpoint)
            about = {"seconds": time.perf_counter() - started, "machine": machine(), "finished_at": now()}
            told = self.place.write(
                size, seed, digest, {"rows": len(ids), "search": search, "report": report, "checkpoint": checkpoint.digest, "run": about}
            )
        except Exception:
            # Not where it is interrupted: asked again, a trainer goes on from what it has.
            checkpoint.discard()
            raise
        checkpoint.discard()
        return told

    def _graded(self, checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
        search, report = self.grader.grade(checkpoint), self.report.grade(checkpoint)
        _check_disjoint(search.grader, search.items, report.grader, report.items, self.pool_items)
        return _summary(search), _summary(report)


def _summary(grades: Grades) -> dict[str, Any]:
    if grades.higher_is_better:
        raise UsageError(f"{grades.grader} is better when higher; the size of the lowest loss is searched.", fix="Grade by a loss.")
    loss = grades.weighted_mean
    if not math.isfinite(loss):
        raise StudyError(f"None of {len(grades.items):,} items of {grades.grader} has a value.", fix="See the reasons in its grades.")
    return {
        "grader": grades.grader,
        "loss": loss,
        "items": fingerprint(sorted(grades.items)),
        "n": len(grades.items),
        "valid": int(grades.valid.sum()),
        "truncated": grades.truncated,
        "unit": grades.unit,
    }


def _flaml() -> Any:
    with warnings.catch_warnings():
        # That flaml.automl is not installed, which is not needed.
        warnings.simplefilter("ignore")
        # Without optuna BlendSearch ends in a bare AssertionError.
        require("optuna", needed_by="BlendSearch")
        return require("flaml", needed_by="BlendSearch")


def _blend(flaml: Any, loss: Callable[[int], float], *, least: int, most: int, trials: int, seed: int) -> None:
    """Let BlendSearch ask for the losses of sizes. What it asks for next depends on losses and seed alone, never on the time they took."""

    def evaluated(asked: Mapping[str, Any]) -> dict[str, float]:
        # A NumPy scalar where the global search asks.
        return {"loss": loss(int(asked["n"]))}

    with _quiet("optuna", "flaml"):
        search = flaml.BlendSearch(
            metric="loss",
            mode="min",
            # The upper end is exclusive.
            space={"n": flaml.tune.lograndint(least, most + 1)},
            low_cost_partial_config={"n": least},
            cost_attr=None,
            seed=seed,
        )
        flaml.tune.run(evaluated, metric="loss", mode="min", search_alg=search, num_samples=trials, verbose=0)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Loggers without their notices until the block ends."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _critical(freedom: int, comparisons: int) -> float:
    """Student's t, two-sided, by Bonferroni for so many comparisons."""
    return float(require("scipy.special", needed_by=NEEDED_BY).stdtrit(freedom, 1 - (1 - LEVEL) / (2 * comparisons)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _told(sizes: Sequence[int]) -> str:
    shown = [f"{size:,}" for size in sizes[:NAMED]]
    if len(sizes) > NAMED:
        return f"{', '.join(shown)} and {len(sizes) - NAMED} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _plain(value: Any) -> Any:
    """A value as it is after it was written and read."""
    return orjson.loads(dump_json(value))


def _silent(done: int, total: int) -> None:
    """Nobody is told."""


__all__ = ["Estimate", "SizeCurve", "SizePoint", "SizeRow", "grid_sizes", "search_size"]
