"""The settings of a selection: everything but the pool, the scores and the ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

from instructsel.errors import UsageError
from instructsel.magnitude import is_usable
from instructsel.selection.budget import Budget, Quota, as_budget, as_quotas, budget_from
from instructsel.selection.compared import BOTH, PARTS, RESPONSE
from instructsel.selection.minima import Minimum, parse
from instructsel.shapes import shown

MAX_NULL_FRACTION = 0.05
MAX_BAD_FRACTION = 0.05
NEAR_DUPLICATE_THRESHOLD = 0.8


@dataclass(frozen=True)
class SelectionSettings:
    """How much is kept, and which rows may be kept at all."""

    budget: Budget | int | float
    """Count, Fraction or Tokens; a whole number means examples, a float a fraction of the pool as read."""
    near_duplicate_threshold: float | None = NEAR_DUPLICATE_THRESHOLD
    """Jaccard similarity over word 5-grams, in [0.6, 1], from which a row is a near-duplicate; None keeps near-duplicates."""
    near_duplicates_of: str = BOTH
    """What is compared: "both" (prompt and response as one text), "prompt" or "response"."""
    keep_exact_duplicates: bool = False
    """Keep examples that occur more than once."""
    quotas: Mapping[str, int | float | Quota] | None = field(default_factory=dict)
    """Source → at most this many examples (int) or this share of the budget (float), or a Quota with a least and a most; tokens
    where the budget is in tokens."""
    minima: Mapping[str, Minimum] | None = field(default_factory=dict)
    """Symbol → minimum threshold of an indicator, of the rule or not; rows without a value in it are dropped, too."""
    clip: bool = False
    """Winsorise each indicator at its 1st and 99th percentile before the rule is applied."""
    allow_mismatch: bool = False
    """Rank scores of models the rule does not assume, and say so in every output."""
    max_similarity: float | None = None
    """Cosine similarity to a row that is kept already, in (0, 1], from which a row is dropped: DEITA's filter; None drops none."""
    max_null_fraction: float = MAX_NULL_FRACTION
    """Share of the pool that may lack a value in an indicator that is used, in [0, 1]."""
    max_bad_fraction: float = MAX_BAD_FRACTION
    """Share of the rows read that may have been quarantined, in [0, 1]."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", as_budget(self.budget))
        object.__setattr__(self, "quotas", as_quotas(self.quotas or {}))
        object.__setattr__(self, "minima", dict(self.minima or {}))
        for name in ("max_null_fraction", "max_bad_fraction"):
            share = getattr(self, name)
            if not is_usable(share) or not 0 <= share <= 1:
                raise UsageError(f"{name} is {share}; it is a share from 0 to 1.")
        threshold = self.near_duplicate_threshold
        if threshold is not None and not is_usable(threshold):
            raise UsageError(f"near_duplicate_threshold is {threshold}; it is a number from 0.6 to 1, or none.")
        if self.near_duplicates_of not in PARTS:
            raise UsageError(
                f"near_duplicates_of is {shown(str(self.near_duplicates_of))}; it is {', '.join(list(PARTS)[1:])} or {BOTH}.",
                fix=f"For example: {RESPONSE}",
            )
        similarity = self.max_similarity
        if similarity is not None and (not is_usable(similarity) or not 0 < similarity <= 1):
            raise UsageError(f"max_similarity is {similarity}; it is a number above 0 and at most 1, or none.", fix="For example: 0.9")

    @property
    def amount(self) -> Budget:
        """The budget as Count, Fraction or Tokens."""
        return as_budget(self.budget)

    @property
    def limits(self) -> dict[str, Quota]:
        """The quotas as Quota."""
        return as_quotas(self.quotas or {})

    @property
    def thresholds(self) -> dict[str, Minimum]:
        """The minima by symbol."""
        return dict(self.minima or {})

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        return {
            "budget": self.amount.as_dict(),
            "near_duplicate_threshold": self.near_duplicate_threshold,
            **({} if self.near_duplicates_of == BOTH else {"near_duplicates_of": self.near_duplicates_of}),
            "keep_exact_duplicates": self.keep_exact_duplicates,
            "quotas": {source: quota.plain() for source, quota in sorted(self.limits.items())},
            "minima": {symbol: str(minimum) for symbol, minimum in sorted(self.thresholds.items())},
            **({} if self.max_similarity is None else {"max_similarity": self.max_similarity}),
            "max_null_fraction": self.max_null_fraction,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The settings of a manifest; what it does not record is the default.

        Raises:
            KeyError, TypeError, UsageError: it records no settings.
        """
        return cls(
            budget_from(record["budget"]),
            near_duplicate_threshold=record.get("near_duplicate_threshold", NEAR_DUPLICATE_THRESHOLD),
            near_duplicates_of=record.get("near_duplicates_of") or BOTH,
            keep_exact_duplicates=bool(record.get("keep_exact_duplicates", False)),
            quotas=record.get("quotas") or {},
            minima=parse([f"{symbol}={text}" for symbol, text in (record.get("minima") or {}).items()]),
            clip=bool(record.get("clip")),
            max_similarity=record.get("max_similarity"),
            max_null_fraction=record.get("max_null_fraction", MAX_NULL_FRACTION),
        )


class Changes(TypedDict, total=False):
    """Fields of SelectionSettings as keywords of `select`."""

    near_duplicate_threshold: float | None
    near_duplicates_of: str
    keep_exact_duplicates: bool
    quotas: Mapping[str, int | float | Quota] | None
    minima: Mapping[str, Minimum] | None
    clip: bool
    allow_mismatch: bool
    max_similarity: float | None
    max_null_fraction: float
    max_bad_fraction: float


__all__ = ["Changes", "SelectionSettings"]
