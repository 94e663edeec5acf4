"""How much is kept: a number of examples, a fraction of the pool, or tokens; and caps per source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction as Ratio
from typing import Any

from instructsel.errors import UsageError


@dataclass(frozen=True)
class Count:
    """A number of examples."""

    n: int

    def __post_init__(self) -> None:
        _whole(self.n, "examples")

    def rows(self, pool_size: int) -> int:
        """The number of examples to keep."""
        return self.n

    def as_dict(self) -> dict[str, Any]:
        """The budget as plain data."""
        return {"kind": "count", "n": self.n}

    def __str__(self) -> str:
        return f"{self.n:,} examples"


@dataclass(frozen=True)
class Fraction:
    """A share of the pool's examples, as read: before anything was dropped."""

    x: float
    """In (0, 1]."""

    def __post_init__(self) -> None:
        if isinstance(self.x, bool) or not isinstance(self.x, int | float) or not 0 < self.x <= 1:
            raise UsageError(f"A fraction of the pool lies above 0 and at most at 1, not {self.x!r}.", fix="For example: --fraction 0.1")

    def rows(self, pool_size: int) -> int:
        """The number of examples to keep: rounded down, at least one."""
        # Exact: 0.29 × 100 is 28.999… in floating point.
        return max(1, math.floor(Ratio(repr(float(self.x))) * pool_size))

    def as_dict(self) -> dict[str, Any]:
        """The budget as plain data."""
        return {"kind": "fraction", "x": self.x}

    def __str__(self) -> str:
        return f"{self.x:g} of the pool"


@dataclass(frozen=True)
class Tokens:
    """A number of tokens, prompt and response together."""

    n: int
    tokenizer: str
    """The name of the tokenizer that counts."""

    def __post_init__(self) -> None:
        _whole(self.n, "tokens")
        if not self.tokenizer:
            raise UsageError(
                "A budget of tokens needs a tokenizer.", fix="For example: --tokens 1000000 --tokenizer hf-internal-testing/llama-tokenizer"
            )

    def as_dict(self) -> dict[str, Any]:
        """The budget as plain data."""
        return {"kind": "tokens", "n": self.n, "tokenizer": self.tokenizer}

    def __str__(self) -> str:
        return f"{self.n:,} tokens of {self.tokenizer}"


Budget = Count | Fraction | Tokens


def as_budget(budget: Budget | int | float) -> Budget:
    """A budget, where a whole number means examples and a float a fraction of the pool.

    Raises:
        UsageError: not positive, or a fraction above 1.

    >>> as_budget(2000)
    Count(n=2000)
    >>> as_budget(0.1)
    Fraction(x=0.1)
    """
    if isinstance(budget, Count | Fraction | Tokens):
        return budget
    return Count(budget) if isinstance(budget, int) else Fraction(budget)


def parse(*, n: int | None = None, fraction: float | None = None, tokens: int | None = None, tokenizer: str | None = None) -> Budget:
    """The budget of a command line: exactly one of the three.

    Raises:
        UsageError: none or several given, one out of range, or a tokenizer missing or of no use.
    """
    given = [flag for flag, value in (("--n", n), ("--fraction", fraction), ("--tokens", tokens)) if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"A selection needs one budget, not {' and '.join(given) or 'none'}.",
            fix="Give one of --n N, --fraction X, --tokens N --tokenizer T.",
        )
    if tokens is not None:
        return Tokens(tokens, tokenizer or "")
    if tokenizer is not None:
        raise UsageError(f"--tokenizer counts for --tokens only, not for {given[0]}.", fix="Leave it away, or give --tokens N.")
    return Count(n) if n is not None else Fraction(fraction or 0.0)


def parse_quotas(entries: Iterable[str]) -> dict[str, int | float]:
    """Caps per source of a command line: `SOURCE=500` examples (or tokens), `SOURCE=0.3` of the budget.

    Raises:
        UsageError: not of this form, a source named twice, or a cap out of range.

    >>> parse_quotas(["dolly=500", "alpaca=0.3"])
    {'dolly': 500, 'alpaca': 0.3}
    """
    quotas: dict[str, int | float] = {}
    for entry in entries:
        source, equals, text = entry.rpartition("=")
        cap: int | float = -1
        try:
            cap = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
        except ValueError:
            equals = ""
        if not equals or not source:
            raise UsageError(f"'{entry}' is not a quota.", fix="Write SOURCE=500 for a number, SOURCE=0.3 for a share of the budget.")
        if source in quotas:
            raise UsageError(f"The source '{source}' has two quotas.", fix="Give it one.")
        quotas[source] = cap
    check_quotas(quotas)
    return quotas


def check_quotas(quotas: Mapping[str, int | float], sources: Iterable[str] | None = None) -> None:
    """Refuse caps that cannot be.

    Raises:
        UsageError: a negative number, a share outside [0, 1], or a source that the pool does not have.
    """
    known = None if sources is None else set(sources)
    for source, cap in quotas.items():
        if known is not None and source not in known:
            raise UsageError.named(source, known, noun="source")
        fine = isinstance(cap, int | float) and not isinstance(cap, bool) and cap >= 0 and (isinstance(cap, int) or cap <= 1)
        if not fine:
            raise UsageError(f"The quota of '{source}' is {cap!r}.", fix="Write a number of examples (500) or a share of the budget (0.3).")


def cap_of(quota: int | float, budget: int) -> int:
    """A quota in the budget's unit; a share is rounded down."""
    return quota if isinstance(quota, int) else math.floor(Ratio(repr(quota)) * budget)


def _whole(number: Any, unit: str) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UsageError(f"A budget is a whole number of {unit} from 1, not {number!r}.")
