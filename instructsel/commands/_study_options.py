"""The options of study that say which subsets are trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_ROWS, MOST_SEEDS, MOST_SUBSETS, between, check_limits
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.one_source import AddOne, LeaveOne

BINS: Final = 8
MIXTURES: Final = 78
REPLICATES: Final = 3


@dataclass(frozen=True)
class DesignSettings:
    """Which subsets are trained on."""

    mixtures: int | None = field(default=None, metadata=between(0, MOST_SUBSETS))
    """Subsets with random shares of the sources: 78 by default, none beside --add-one and --leave-one."""
    rows: int = field(default=2000, metadata=between(1, MOST_ROWS))
    """Examples in each mixture; of --add-one, in the base; of --leave-one, in the whole."""
    bins: tuple[str, ...] = ()
    """Cut the pool by an indicator into K (8) equal parts as well: SYMBOL[:K], comma-separated or repeated."""
    bin_rows: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Examples from each bin; all of them by default."""
    sources: str | None = None
    """Sources to use, comma-separated; all by default."""
    design_seed: int = field(default=0, metadata=between(0, LARGEST_SEED))
    """Seed of the subsets."""
    seeds: int = field(default=1, metadata=between(1, MOST_SEEDS))
    """How often each subset is trained on, with seeds 0, 1, …"""
    add_one: bool = False
    """Train on a base mixture and on the same rows plus rows of each source in turn: what each source adds."""
    leave_one: bool = False
    """Train on all sources and on all less each in turn: what each source contributes."""
    base_sources: str | None = None
    """Sources of the base mixture of --add-one, comma-separated; the others are added. By default all are both."""
    add_rows: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Rows that --add-one adds of a source; by default as many as the base has, or half of them with --equal-rows."""
    equal_rows: bool = False
    """Give every arm the same number of rows: added rows take the place of base rows, and rows left out are made up for by the others."""
    replicates: int | None = field(default=None, metadata=between(1, MOST_SEEDS))
    """How often all arms are drawn anew and trained with another seed: 3 by default. One gives no interval."""
    no_untouched: bool = False
    """Leave out the model before any training, which is graded beside the arms otherwise."""

    def __post_init__(self) -> None:
        check_limits(self)

    def design(self) -> Design:
        """The design of a study.

        Raises:
            UsageError: neither mixtures nor bins, or bins that cannot be.
        """
        sources = listed_in(self.sources)
        parts: list[Mixtures | Bins | AddOne | LeaveOne] = []
        of_sources = self._of_sources(sources)
        if of_sources is not None:
            return Design([of_sources], seeds=tuple(range(self.seeds)))
        mixtures = MIXTURES if self.mixtures is None else self.mixtures
        if mixtures:
            parts.append(Mixtures(n=mixtures, rows=self.rows, seed=self.design_seed, sources=sources))
        for text in (part for entry in self.bins for part in listed_in(entry) or ()):
            symbol, colon, count = text.partition(":")
            if colon and not count.isdigit():
                raise UsageError(f"'{text}' is not SYMBOL[:K].", fix="For example: --bins len,mtld:4")
            k = int(count) if colon else BINS
            parts.append(Bins(symbol, k=k, rows=self.bin_rows, seed=self.design_seed, sources=sources))
        if self.bin_rows is not None and not self.bins:
            raise UsageError("--bin-rows says how many rows each bin has; there are no bins.", fix="Name some with --bins.")
        if not parts:
            raise UsageError("There are neither mixtures nor bins.", fix="For example: --mixtures 78 --rows 2000, or --bins len")
        return Design(parts, seeds=tuple(range(self.seeds)))

    def _of_sources(self, sources: tuple[str, ...] | None) -> AddOne | LeaveOne | None:
        """The design that shows what each source is worth; None where none is asked for."""
        alone = {
            "--base-sources": self.base_sources is not None,
            "--add-rows": self.add_rows is not None,
            "--equal-rows": self.equal_rows,
            "--replicates": self.replicates is not None,
            "--no-untouched": self.no_untouched,
        }
        if not self.add_one and not self.leave_one:
            for flag, is_given in alone.items():
                if is_given:
                    raise UsageError(f"{flag} belongs to --add-one or --leave-one.", fix="Add one of the two.")
            return None
        if self.add_one and self.leave_one:
            raise UsageError(
                "A study adds one source at a time or leaves one out, not both.", fix="Plan them as two studies, in two folders."
            )
        if self.mixtures or self.bins:
            raise UsageError(
                "Mixtures and bins are other subsets than those of --add-one and --leave-one.", fix="Plan them in a folder of their own."
            )
        replicates = REPLICATES if self.replicates is None else self.replicates
        if self.leave_one:
            for flag in ("--base-sources", "--add-rows"):
                if alone[flag]:
                    raise UsageError(f"{flag} belongs to --add-one; --leave-one begins with all sources.", fix=f"Leave {flag} out.")
            return LeaveOne(
                self.rows,
                replicates,
                sources,
                equal_rows=self.equal_rows,
                untouched=not self.no_untouched,
                seed=self.design_seed,
            )
        by_default = max(self.rows // 2, 1) if self.equal_rows else self.rows
        return AddOne(
            self.rows,
            by_default if self.add_rows is None else self.add_rows,
            replicates,
            listed_in(self.base_sources),
            sources,
            equal_rows=self.equal_rows,
            untouched=not self.no_untouched,
            seed=self.design_seed,
        )


def listed_in(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma-separated text; None where there is none."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


__all__ = ["DesignSettings", "listed_in"]
