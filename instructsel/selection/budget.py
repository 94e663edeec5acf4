"""How much is kept: a number of examples, a fraction of the pool, or tokens; and quotas of sources."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction as Ratio
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.magnitude import LARGEST_WHOLE, is_usable
from instructsel.text import counted


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
        return counted(self.n, "example")


@dataclass(frozen=True)
class Fraction:
    """A share of the pool's examples, as read: before anything was dropped."""

    x: float
    """In (0, 1]."""

    def __post_init__(self) -> None:
        if not is_usable(self.x) or not 0 < self.x <= 1:
            raise UsageError(f"A fraction of the pool is above 0 and at most 1, not {self.x!r}.", fix="For example: --fraction 0.1")

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
                "A budget of tokens needs a tokenizer.",
                fix="Name that of the model to be trained, a folder or a hub id: --tokenizer MODEL; or embedded, which needs no hub.",
            )

    def as_dict(self) -> dict[str, Any]:
        """The budget as plain data."""
        return {"kind": "tokens", "n": self.n, "tokenizer": self.tokenizer}

    def __str__(self) -> str:
        return f"{counted(self.n, 'token')} of {self.tokenizer}"


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
    if isinstance(budget, str):
        raise UsageError(
            f"A budget is a number, not the text {budget!r}.",
            fix="In Python: budget=2000 for examples, budget=0.1 for a share of the pool.",
        )
    return Count(budget) if isinstance(budget, int) else Fraction(budget)


def budget_from(written: Mapping[str, Any]) -> Budget:
    """The budget that `as_dict` gave.

    Raises:
        KeyError: it is none.
        UsageError: an amount that cannot be.
    """
    kind = written["kind"]
    if kind == "tokens":
        return Tokens(written["n"], written["tokenizer"])
    return Fraction(written["x"]) if kind == "fraction" else Count(written["n"])


UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
SHARE: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<exponent>e[-+]?[0-9]{1,3})?\s*(?P<percent>%?)", re.IGNORECASE)
LONGEST: Final = 100
"""Characters of a number that people write."""
NUMBER: Final = re.compile(r"(?P<number>[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?P<unit>[kmb]?)", re.IGNORECASE)


def parse_amount(text: str | int, flag: str) -> int:
    """A whole number as people write it: 2000, 2_000, 50k, 1.5M.

    Raises:
        UsageError: another form, or no whole number.

    >>> parse_amount("50k", "--tokens"), parse_amount("1.5M", "--tokens")
    (50000, 1500000)
    """
    written = str(text).strip()
    match = NUMBER.fullmatch(written) if len(written) <= LONGEST else None
    number = Ratio(re.sub("[_,]", "", match["number"])) * UNITS[match["unit"].lower()] if match else None
    if number is None or number.denominator != 1:
        raise UsageError(
            f"{flag} takes a whole number; found '{written[:LONGEST]}'.", fix=f"For example: {flag} 2000, {flag} 50k, {flag} 1.5M"
        )
    if number > LARGEST_WHOLE:
        raise UsageError(f"{flag} is {written}; it is at most {LARGEST_WHOLE:,}.", fix=f"For example: {flag} 2000, {flag} 50k, {flag} 1.5M")
    return int(number)


def parse_share(text: str | float, flag: str) -> float:
    """A share as people write it: 0.1 or 10%.

    Raises:
        UsageError: another form.

    >>> parse_share("10%", "--fraction"), parse_share("0.1", "--fraction")
    (0.1, 0.1)
    """
    share = _share(str(text).strip())
    if share is None:
        raise UsageError(f"{flag} takes a share; found '{str(text)[:LONGEST]}'.", fix=f"For example: {flag} 0.1, {flag} 10%")
    return share


def _share(text: str) -> float | None:
    """A share as people write it; None where it is none. Exact: 0.29 % of 10,000 are 29."""
    match = SHARE.fullmatch(text.removeprefix("+")) if len(text) <= LONGEST else None
    if match is None:
        return None
    # Three digits of an exponent at most, and below what a float holds: more would be computed for ever.
    number = Ratio(match["number"] + (match["exponent"] or "")) / (100 if match["percent"] else 1)
    return float(number) if number <= LARGEST_WHOLE else None


def parse(
    *, n: str | int | None = None, fraction: str | float | None = None, tokens: str | int | None = None, tokenizer: str | None = None
) -> Budget:
    """The budget of a command line: exactly one of the three.

    Raises:
        UsageError: none or several of them, one out of range, or a tokenizer missing or of no use.
    """
    flags = [flag for flag, value in (("--n", n), ("--fraction", fraction), ("--tokens", tokens)) if value is not None]
    if len(flags) != 1:
        raise UsageError(
            f"A selection needs one budget, not {' and '.join(flags) or 'none'}.",
            fix="Give one of --n N, --fraction X, --tokens N --tokenizer T.",
        )
    if tokens is not None:
        return Tokens(parse_amount(tokens, "--tokens"), tokenizer or "")
    if tokenizer is not None:
        raise UsageError(f"--tokenizer counts for --tokens only, not for {flags[0]}.", fix="Leave it out, or give --tokens N.")
    return Count(parse_amount(n, "--n")) if n is not None else Fraction(parse_share(fraction or 0.0, "--fraction"))


@dataclass(frozen=True)
class Quota:
    """How much of the budget a source may take and must get: whole numbers of examples (or tokens), floats for shares of the budget."""

    most: int | float | None = None
    """At most this much; None for no cap."""
    least: int | float | None = None
    """At least this much, as far as the source has rows; None for no minimum."""

    def cap(self, budget: int) -> int | None:
        """The most in the budget's unit; a share is rounded down."""
        return None if self.most is None else cap_of(self.most, budget)

    def floor(self, budget: int) -> int:
        """The least in the budget's unit; a share is rounded down."""
        return 0 if self.least is None else cap_of(self.least, budget)

    def plain(self) -> int | float | dict[str, int | float | None]:
        """As plain data: a number where there is only a cap."""
        return self.most if self.least is None and self.most is not None else {"least": self.least, "most": self.most}


def as_quotas(quotas: Mapping[str, int | float | Quota | Mapping[str, Any]]) -> dict[str, Quota]:
    """Quotas, where a number alone is a cap.

    Raises:
        UsageError: a negative number, a share outside [0, 1], or a least above the most.
    """
    return {source: _as_quota(source, quota) for source, quota in quotas.items()}


def _as_quota(source: str, quota: Any) -> Quota:
    limits = quota if isinstance(quota, Quota) else Quota(**quota) if isinstance(quota, Mapping) else Quota(most=quota)
    for limit in (limits.least, limits.most):
        fine = limit is None or (is_usable(limit) and limit >= 0 and (isinstance(limit, int) or limit <= 1))
        if not fine:
            raise UsageError(
                f"The quota of '{source}' is {limit!r}.", fix="Write a number of examples (500) or a share of the budget (0.3, 30%)."
            )
    if limits.least is not None and limits.most is not None and type(limits.least) is type(limits.most) and limits.least > limits.most:
        raise UsageError(f"The quota of '{source}' asks for at least {limits.least:g} and at most {limits.most:g}.", fix="Swap the two.")
    return limits


def parse_quotas(entries: Iterable[str]) -> dict[str, Quota]:
    """Quotas of a command line: `SOURCE=500` at most, `SOURCE=100..` at least, `SOURCE=100..500` both, `SOURCE=30%..30%` exactly.

    Whole numbers are examples (or tokens), shares are of the budget.

    Raises:
        UsageError: another form, a source named twice, or a limit out of range.

    >>> parse_quotas(["dolly=500", "alpaca=0.3", "code=100.."])["code"]
    Quota(most=None, least=100)
    """
    quotas: dict[str, Quota] = {}
    for entry in entries:
        source, equals, text = entry.rpartition("=")
        least, dots, most = text.partition("..")
        try:
            bounds = [_limit(part) if part.strip() else None for part in ((least, most) if dots else ("", text))]
        except ValueError:
            bounds = [None, None]
        if not equals or not source or bounds == [None, None]:
            raise UsageError(
                f"'{entry}' is not a quota.",
                fix="Write SOURCE=500 or SOURCE=30% (at most), SOURCE=100.. (at least), SOURCE=30%..30% (exactly).",
            )
        if source in quotas:
            raise UsageError(f"The source '{source}' has two quotas.", fix="Write both limits at once: SOURCE=100..500")
        quotas[source] = Quota(most=bounds[1], least=bounds[0])
    return as_quotas(quotas)


def _limit(text: str) -> int | float:
    text = text.strip()
    digits = text.lstrip("+-")
    if len(text) <= LONGEST and digits.isascii() and digits.isdigit():
        return int(text)
    share = _share(text)
    if share is None:
        raise ValueError(text)
    return share


def check_quotas(quotas: Mapping[str, Quota], sources: Iterable[str], budget: int) -> None:
    """Refuse quotas that no selection of this pool can keep.

    Raises:
        UsageError: a source that the pool does not have, or minima that are more than the budget.
    """
    known = set(sources)
    for source in quotas:
        if source not in known:
            raise UsageError.named(source, known, noun="source")
    total = sum(quota.floor(budget) for quota in quotas.values())
    if total > budget:
        raise UsageError(
            f"The least of all quotas together is {total:,}, and the budget {budget:,}.", fix="Lower them, or raise the budget."
        )


def cap_of(quota: int | float, budget: int) -> int:
    """A limit in the budget's unit; a share is rounded down."""
    return quota if isinstance(quota, int) else math.floor(Ratio(repr(quota)) * budget)


def _whole(number: Any, unit: str) -> None:
    if not is_usable(number) or not isinstance(number, int) or number < 1:
        raise UsageError(f"A budget is a whole number of {unit} from 1 to {LARGEST_WHOLE:,}, not {str(number)[:LONGEST]!r}.")
