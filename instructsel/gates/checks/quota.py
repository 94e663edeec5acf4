"""Quotas: how much of the rows, or of the tokens, may be of a source or a language, or of a range of turns or lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.experiments.limits import between
from instructsel.gates import measures
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit, PoolCheck
from instructsel.gates.comparing import pool_labels, pool_numbers
from instructsel.gates.limits import beside, check_asked, check_enough, check_order
from instructsel.mixtures.plan import shares_of
from instructsel.stats.summaries import share, weighted_share
from instructsel.text import excerpt

CHANGE: Final = "change"
POOL: Final = "pool"
ROWS: Final = "rows"
RANGE: Final = re.compile(r"(?P<low>[0-9]+(\.[0-9]+)?)?-(?P<high>[0-9]+(\.[0-9]+)?)?")
"""2-4, 513- or -512."""
MOST: Final = 1 << 50

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Quota(PoolCheck):
    """A source, a language, or a range of turns or lengths has more or less of the rows than it may."""

    number: ClassVar[str] = "IS082"
    kind: ClassVar[str] = "quota"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own rule; intervals: Wilson 1927 (shares of rows), Cochran 1977 (shares of tokens)"
    fix: ClassVar[str] = "Take rows out or add rows of the others, or change the quota."
    needs: ClassVar[tuple[str, ...]] = ('a limit; a baseline with within = "pool"',)
    by_default: ClassVar[bool] = False

    by: str = "source"
    """source, language (of the response), or a number of each row: turns, tokens, len, len_in, mtld, characters, characters_in, a column of the score table."""
    of: str = ""
    """Which one: a source, a language; of a number a range with both ends, e.g. "2-4", "513-". By default each source, or language, by itself."""
    within: str = CHANGE
    """change: the new rows alone; pool: the pool with the new rows."""
    unit: str = ROWS
    """What is counted: rows, or tokens of prompt and response."""
    min_share: float | None = field(default=None, metadata=between(0, 1))
    """Share of the rows or tokens that it has to have at least."""
    max_share: float | None = field(default=None, metadata=between(0, 1))
    """Share that it may have at most."""
    min_count: int | None = field(default=None, metadata=between(0, MOST))
    """Rows or tokens that there have to be at least."""
    max_count: int | None = field(default=None, metadata=between(0, MOST))
    """Rows or tokens that there may be at most."""
    min_n: int = field(default=1, metadata=between(1, 1 << 40))
    """Rows below which nothing is said."""
    scores: str = ""
    """A score table of the new rows, for columns that a gate does not compute."""
    recipe: str = ""
    """A mixture, or a recipe of one: each of its sources has to have its share, give or take the tolerance."""
    tolerance: float = field(default=0.02, metadata=between(0, 1))
    """How far a share may be from that of the recipe."""

    def __post_init__(self) -> None:
        limits = (self.min_share, self.max_share, self.min_count, self.max_count)
        if self.recipe and (self.by != measures.SOURCE or self.of or any(limit is not None for limit in limits)):
            raise UsageError("A quota by a recipe has its limits from the recipe.", fix="Leave by, of, min_* and max_* out.")
        if not self.recipe:
            check_asked(self.kind, "min_share, max_share, min_count, max_count, recipe", *limits)
        check_order(self.kind, self.min_share, self.max_share)
        check_order(self.kind, self.min_count, self.max_count)
        for value, known, noun in ((self.within, (CHANGE, POOL), "place"), (self.unit, (ROWS, measures.TOKENS), "unit")):
            if value not in known:
                raise UsageError.named(value, known, noun=noun, where="of a quota")
        if self.by not in measures.LABELS and not self._bounds():
            measures.check_symbol(self.by)
            raise UsageError(f"A quota by {self.by} needs a range; found {self.of!r}.", fix='For example: of = "2-4", or of = "513-"')

    def _bounds(self) -> tuple[float, float] | None:
        match = RANGE.fullmatch(self.of)
        if match is None or not any(match.group("low", "high")):
            return None
        return float(match["low"] or "-inf"), float(match["high"] or "inf")

    def _needed(self) -> list[str]:
        return [self.by, *([measures.TOKENS] if self.unit != ROWS else [])]

    def locked(self, change: Change) -> str | None:
        """The columns are there, in the pool as well where it counts; and the shares of the recipe are known."""
        if self.recipe and (reason := self._unknown_shares(change)) is not None:
            return reason
        if self.within == POOL:
            numbers = [name for name in self._needed() if name not in measures.LABELS]
            reason = change.without(*(["measures"] if numbers else []), *(["languages"] if self.by == measures.LANGUAGE else []))
            if reason is not None:
                return reason
            assert change.baseline is not None
            known = change.baseline.part("measures").about["columns"] if numbers else ()
            if absent := [name for name in numbers if name not in known]:
                measures.check_symbol(absent[0], known)
                return f"The baseline has no column {absent[0]}. Make it with scores of the pool: instructsel gate baseline create POOL --scores TABLE -o FILE"
        return measures.locked(change, self._needed(), self.scores)

    def limits(self, change: Change) -> list[Limit]:
        """Each share, and each count, beside its limits.

        Raises:
            NotEnough: fewer than `min_n` rows are new.
        """
        check_enough(len(change.pool), self.min_n)
        weights = np.nan_to_num(self._numbers(change, measures.TOKENS)) if self.unit != ROWS else None
        if self.recipe:
            return self._of_recipe(change, weights)
        return [
            limit
            for name, mask in sorted(self._groups(change).items())
            for limit in self._of_group(name, mask, weights, nightly=change.nightly)
        ]

    def _shares(self, change: Change) -> Mapping[str, float] | None:
        """Source → its share; None where it is not known before the files are read."""
        path = change.path(self.recipe)
        return shares_of(path if path.exists() else self.recipe)

    def _unknown_shares(self, change: Change) -> str | None:
        if self._shares(change) is None:
            return f'The shares of {self.recipe} are not known before its files are read. Mix it, and name the mixture: recipe = "MIXTURE.jsonl"'
        return None

    def _of_recipe(self, change: Change, weights: measures.Floats | None) -> list[Limit]:
        """Each source of the recipe beside its share, and those that the recipe does not have beside none."""
        shares = self._shares(change) or {}
        groups = dict(self._groups(change))
        nobody = np.zeros(len(next(iter(groups.values()), np.zeros(0, dtype=np.bool_))), dtype=np.bool_)
        limits = []
        for name in sorted({*shares, *groups}):
            share = shares.get(name, 0.0)
            of_source = replace(self, recipe="", min_share=max(0.0, share - self.tolerance), max_share=min(1.0, share + self.tolerance))
            limits += of_source._of_group(name, groups.get(name, nobody), weights, nightly=change.nightly)
        return limits

    def _numbers(self, change: Change, name: str) -> measures.Floats:
        new = measures.numbers(change, name, self.scores)
        return np.concatenate([pool_numbers(change, name), new]) if self.within == POOL else new

    def _groups(self, change: Change) -> Mapping[str, Mask]:
        """Each group's rows. A source that is asked for and has none is there, too."""
        if self.by not in measures.LABELS:
            bounds = self._bounds()
            assert bounds is not None
            values = self._numbers(change, self.by)
            return {f"{self.by} {self.of}": (values >= bounds[0]) & (values <= bounds[1])}
        new = measures.labels(change, self.by)
        everything = np.array(pool_labels(change, self.by) + new if self.within == POOL else new, dtype=object)
        return {name: everything == name for name in ([self.of] if self.of else sorted(set(everything.tolist())))}

    def _of_group(self, name: str, mask: Mask, weights: measures.Floats | None, *, nightly: bool) -> list[Limit]:
        where = "pool and new rows" if self.within == POOL else "new rows"
        subject = f"{excerpt(name, 60)}, share of {f'the {self.unit} of ' if weights is not None else ''}{where}"
        limits = []
        if self.min_share is not None or self.max_share is not None:
            summary = share(int(mask.sum()), len(mask)) if weights is None else weighted_share(weights, mask)
            limits.append(beside(subject, summary, self.min_share, self.max_share, nightly=nightly, key=name, percent=True))
        if self.min_count is not None or self.max_count is not None:
            count = float(mask.sum() if weights is None else weights[mask].sum())
            is_held = (self.min_count is None or count >= self.min_count) and (self.max_count is None or count <= self.max_count)
            words = [f"at least {self.min_count:,}"] if self.min_count is not None else []
            words += [f"at most {self.max_count:,}"] if self.max_count is not None else []
            statement = f"{excerpt(name, 60)}: {count:,.0f} {self.unit} of {where}; {' and '.join(words)} allowed."
            limits.append(Limit(is_held, statement, count, key=f"{name}, {self.unit}"))
        return limits
