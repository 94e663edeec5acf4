"""Judgments of pairs of outputs, and the protocol of a judge."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self, runtime_checkable

from instructsel.artifact import fingerprint
from instructsel.errors import UsageError
from instructsel.grading.outputs import digest_of, distinct

TIE: Final = 1.5
SWAP_DISAGREES: Final = "swap_disagrees"
SUSPICIOUS: Final = "suspicious"
IDENTICAL: Final = "identical"
CIRCULAR: Final = "circular"


@dataclass(frozen=True)
class Pair:
    """Two outputs for one instruction."""

    instruction: str
    reference: str
    """What is preferred at 1."""
    output: str
    """What is preferred at 2."""


@dataclass(frozen=True)
class Judgment:
    """A judge's preference in one pair, or why there is none."""

    instruction: str
    preference: float | None
    """In [1, 2]: 1 where the reference is better, 2 where the output is, 1.5 for a tie; None with a reason."""
    reason: str | None = None
    """Why there is no preference: unparsable, timed_out, failed, refused, no_logprobs, not_asked, too_long, not_finite, out_of_memory,
    forges_prompt, no_output, no_reference, or a reason of the generator."""
    forward: float | None = None
    """The preference where the reference stood first."""
    swapped: float | None = None
    """The preference where the output stood first, in the same sense."""
    flags: tuple[str, ...] = ()
    """swap_disagrees, the two orders gave different winners; suspicious, an output matches a prompt-injection pattern;
    identical, both outputs are the same text and no question was asked."""
    injection_patterns: tuple[str, ...] = ()
    """What is suspicious, as side:pattern."""
    digests: tuple[str, ...] = ()
    """Of the judge's raw replies, one for each order it was asked in."""

    def __post_init__(self) -> None:
        if (self.preference is None) == (self.reason is None):
            raise ValueError("A judgment has a preference or a reason, and never both.")
        if self.preference is not None and not 1.0 <= self.preference <= 2.0:
            raise ValueError(f"A preference is in [1, 2]; found {self.preference}.")

    @property
    def item(self) -> str:
        """The digest of the instruction."""
        return digest_of(self.instruction)


@dataclass(frozen=True, eq=False)
class Judgments:
    """The judgments of one judge in a set of pairs."""

    judge: Mapping[str, Any]
    """The judge's fingerprint: model, revision, prompt, temperature. One result has one judge."""
    rows: tuple[Judgment, ...]
    """One for each instruction of the set."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the judge wrote down: attention checks, how many questions were asked and how many were known."""

    def __post_init__(self) -> None:
        distinct([row.instruction for row in self.rows], "A result of a judge")

    @classmethod
    def joined(cls, *parts: Judgments) -> Self:
        """The judgments of several results as one.

        Raises:
            UsageError: they are of different judges.
            PoolError: an instruction stands in two of them.
        """
        judges = {fingerprint(dict(part.judge)): part.judge for part in parts}
        if len(judges) != 1:
            names = sorted(name_of(judge) for judge in judges.values())
            raise UsageError(
                f"One result has one judge; these have {len(judges)}: {', '.join(names)}." if parts else "There are no judgments to join.",
                fix="Judge everything with the same model, revision, prompt and temperature.",
            )
        return cls(parts[0].judge, tuple(row for part in parts for row in part.rows), {"parts": [dict(part.record) for part in parts]})

    @property
    def preferences(self) -> tuple[float | None, ...]:
        """One for each instruction, None where there is none."""
        return tuple(row.preference for row in self.rows)

    @property
    def n_total(self) -> int:
        """Instructions that have a preference."""
        return sum(row.preference is not None for row in self.rows)

    @property
    def nulls(self) -> dict[str, int]:
        """Reason → how many instructions have no preference for it."""
        return dict(sorted(Counter(row.reason for row in self.rows if row.reason is not None).items()))

    @property
    def missing(self) -> dict[str, str]:
        """Instruction → why it has no preference."""
        return {row.instruction: row.reason for row in self.rows if row.reason is not None}

    @property
    def flags(self) -> dict[str, int]:
        """Flag → how many instructions have it."""
        return dict(sorted(Counter(flag for row in self.rows for flag in row.flags).items()))

    def complete(self, n: int | None = None) -> Judgments:
        """These judgments, if every instruction has a preference.

        Args:
            n: how many there must be, 805 for AlpacaEval's own set.

        Raises:
            UsageError: another number; the first instructions without a preference are named.
        """
        wanted = len(self.rows) if n is None else n
        if self.n_total == wanted == len(self.rows):
            return self
        named = "; ".join(f"{instruction[:60]!r}: {reason}" for instruction, reason in itertools.islice(self.missing.items(), 3))
        raise UsageError(
            f"{self.n_total} of {wanted} instructions have a preference{f' ({named})' if named else ''}.",
            fix="Judge again: what is judged already is not asked again.",
        )


def name_of(judge: Mapping[str, Any]) -> str:
    """A judge's fingerprint in a few words."""
    inner = judge.get("model")
    model = inner if isinstance(inner, Mapping) else judge
    parts = (model.get("name"), model.get("revision") or str(model.get("digest") or "")[:12])
    return "@".join(str(part) for part in parts if part) or str(judge.get("kind"))


@runtime_checkable
class Judge(Protocol):
    """Prefers one of two outputs."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which judge this is: model, revision or digest, prompt, temperature; no path."""
        ...

    @property
    def digests(self) -> frozenset[str]:
        """Of the weights that judge, where they are known."""
        ...

    def judge(self, pairs: Sequence[Pair]) -> Judgments:
        """A judgment for each pair, in order."""
        ...
