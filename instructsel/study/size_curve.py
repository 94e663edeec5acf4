"""A curve of losses over subset sizes, and which sizes cannot be distinguished."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from instructsel.artifact import release
from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.kinds import SIZE_SEARCH, head
from instructsel.text import counted, wrapped

if TYPE_CHECKING:
    pass


NEEDED_BY: Final = "the size search"


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
        trained = dict.fromkeys(self.sizes, 0) | {row.size: row.rows for row in self.rows}
        return tuple(
            SizePoint(size, trained[size], self._search.estimate(index), self._report.estimate(index))
            for index, size in enumerate(self.sizes)
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
            return f"Only {counted(self.chosen, 'row')} were tried, so there is nothing to compare."
        if self.margin is None or self.near is None:
            why = "with one seed" if len(self.seeds) == 1 else "where the seeds make no difference"
            return (
                f"{counted(self.chosen, 'row')} came out lowest of {count}, but {why} a size cannot be distinguished from luck. "
                "Train each size with three seeds or more."
            )
        noise = f"{self.margin:.2g}{f' {self.unit}' if self.unit else ''}"
        if len(self.near) == 1:
            return (
                f"{counted(self.chosen, 'row')} are the best of {count}: every other is worse by more than the {noise} that noise explains."
            )
        if len(self.near) == len(self.sizes):
            return (
                f"No detectable difference between {count}: {self.chosen:,} rows came out lowest, but up to {noise} is noise. "
                f"Take {self.near[0]:,}, the fewest."
            )
        others = _listed([size for size in self.near if size != self.chosen])
        return (
            f"{self.chosen:,} rows came out lowest of {count}, and {others} cannot be distinguished from them: up to {noise} is noise. "
            f"Take {self.near[0]:,}, the fewest of these."
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt, in sentences."""
        warnings = []
        if len(self.sizes) > 1 and self.method == "blend" and (self.sizes[0] > self.least or self.sizes[-1] < self.most):
            warnings.append(
                f"BlendSearch looked at {self.sizes[0]:,} to {self.sizes[-1]:,} rows of {self.least:,} to {self.most:,}: "
                "nothing is known of the others."
            )
        if len(self.sizes) > 1 and self.chosen in (self.sizes[0], self.sizes[-1]):
            end, more = ("largest", "more") if self.chosen == self.sizes[-1] else ("smallest", "fewer")
            warnings.append(f"The lowest is the {end} size tried: {more} rows may be better still.")
        lead, limit = self._dip
        if self.lucky and lead is not None and limit is not None:
            left, right = self.sizes[self._at - 1], self.sizes[self._at + 1]
            warnings.append(
                f"That there is a dip at {self.chosen:,} is not shown: it leads the mean of {left:,} and {right:,} by {lead:.2g}, "
                f"and up to {limit:.2g} is noise."
            )
        short = [point for point in self.points if point.rows < point.size]
        if short:
            warnings.append(
                f"Quotas left fewer rows than asked for: {', '.join(f'{point.rows:,} of {point.size:,}' for point in short[:NAMED])}."
            )
        for name, counts in (
            (self.search, {row.search_valid for row in self.rows}),
            (self.report, {row.report_valid for row in self.rows}),
        ):
            if len(counts) > 1:
                warnings.append(
                    f"From {min(counts):,} to {max(counts):,} items of {name} had a value: the losses are not of the same items."
                )
        return tuple(warnings)

    @property
    def curve(self) -> dict[str, Any]:
        """What a chart needs: `x`, `y`, `low`, `high` of the sizes' mean search losses (the ends None where the noise is not known),
        `points` with `x`, `y` and `labels` of every fine-tune, and the axes' labels."""
        means = [point.search for point in self.points]
        known = self.noise is not None
        return {
            "name": f"mean of {len(self.seeds)} seeds",
            "x": list(self.sizes),
            "y": [mean.mean for mean in means],
            "low": [mean.low for mean in means] if known else None,
            "high": [mean.high for mean in means] if known else None,
            "points": {
                "x": [row.size for row in self.rows],
                "y": [row.search_loss for row in self.rows],
                "labels": [f"{counted(row.size, 'row')}, seed {row.seed}" for row in self.rows],
            },
            "x_label": "rows",
            "y_label": f"{self.search}{f', {self.unit}' if self.unit else ''}",
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data; what differs between two equal searches stands under `run`."""
        dip, limit = self._dip
        return {
            **head(SIZE_SEARCH),
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
                {"size": point.size, "rows": point.rows, "search": point.search.as_dict(), "report": point.report.as_dict()}
                for point in self.points
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
            "warnings": list(self.warnings),
            "run": {"seconds": [row.seconds for row in self.rows]},
        }

    def lines(self, width: int | None = None) -> list[str]:
        """The curve as aligned lines of text, then the report loss, the verdict and the warnings.

        Args:
            width: columns at which sentences are broken; None for a line each.
        """
        first = self.points[0]
        heads = [
            f"{name}{'' if estimate.low is None else ' [95 %]'}"
            for name, estimate in ((self.search, first.search), (self.report, first.report))
        ]
        cells = [["rows", *heads, ""]]
        for point in self.points:
            is_near = self.near is not None and point.size in self.near
            mark = "lowest" if point.size == self.chosen else "not distinguishable" if is_near else ""
            cells.append([f"{point.size:,}", str(point.search), str(point.report), mark])
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        table = [
            "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip() for row in cells
        ]
        unit = f", {self.unit}" if self.unit else ""
        sentences = [
            f"{self.report} of {counted(self.chosen, 'row')}: {self.report_loss}{unit}. The lowest {self.search} is no result to report: the lowest of "
            "several is biased downward.",
            self.verdict,
            *self.warnings,
        ]
        return [*table, "", *(line for text in sentences for line in ([text] if width is None else wrapped(text, width)))]

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
        index, means = self._at, self._search.means
        if index in (0, len(means) - 1):
            return None, None
        # Of one mean against the mean of two others the variance is s²(1/k + 1/2k).
        limit = self._search.margin(math.sqrt(1.5 / len(self.seeds)), comparisons=len(means) - 2)
        return (means[index - 1] + means[index + 1]) / 2 - means[index], limit


@dataclass(frozen=True)
class _Losses:
    """Losses of m sizes by k seeds."""

    values: tuple[tuple[float, ...], ...]
    """m times k."""

    @classmethod
    def of(cls, losses: Sequence[float], k: int) -> _Losses:
        return cls(tuple(tuple(losses[start : start + k]) for start in range(0, len(losses), k)))

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
        of_seeds = [_mean([row[index] for row in self.values]) for index in range(k)]
        overall = _mean(of_seeds)
        left = math.fsum(
            (value - mean - of_seeds[index] + overall) ** 2
            for row, mean in zip(self.values, self.means, strict=True)
            for index, value in enumerate(row)
        )
        freedom = (m - 1) * (k - 1)
        return _critical(freedom, comparisons) * math.sqrt(left / freedom) * factor


def _critical(freedom: int, comparisons: int) -> float:
    """Student's t, two-sided, by Bonferroni for so many comparisons."""
    return float(require("scipy.special", needed_by=NEEDED_BY).stdtrit(freedom, 1 - (1 - LEVEL) / (2 * comparisons)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _listed(sizes: Sequence[int]) -> str:
    shown = [f"{size:,}" for size in sizes[:NAMED]]
    if len(sizes) > NAMED:
        return f"{', '.join(shown)} and {len(sizes) - NAMED} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
