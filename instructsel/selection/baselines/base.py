"""What a baseline is: another ranking of the same candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from instructsel.selection.candidates import Ranking, ScoredCandidates

if TYPE_CHECKING:
    from instructsel.neighbors.encoder import Embeddings
    from instructsel.pool.pool import Pool
    from instructsel.selection.selection import Selection

RANDOM: Final = "random"
"""The baseline that every verdict is against."""


class TextEncoder(Protocol):
    """Anything that gives texts unit vectors: PooledStates, or a sentence encoder."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        ...

    def encode(self, texts: list[str]) -> Embeddings:
        """The vectors of texts."""
        ...


@dataclass(frozen=True)
class Context:
    """What a baseline may look at besides the candidates."""

    selection: Selection
    """The selection it is compared with."""
    seed: int = 0
    """Of a baseline in which chance has a part."""
    target: Pool | None = None
    """Examples of what the fine-tuned model is to do."""
    encoder: TextEncoder | None = None
    """Turns texts into vectors, usually PooledStates of the base model."""


class Baseline(ABC):
    """One way to select. It ranks the candidates; duplicates, minima, quotas and budget are those of the selection it is compared with."""

    name: ClassVar[str]
    """As the command line calls it."""
    seeded: ClassVar[bool] = False
    """Whether chance has a part, so that it has a replicate per seed."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Symbols of the indicators it ranks by."""
    needs_target: ClassVar[bool] = False
    """Whether it needs a target set and an encoder."""
    source: ClassVar[str] = ""
    """The paper it is from."""

    @abstractmethod
    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """The candidates in the baseline's order, lower is better.

        Raises:
            UsageError: the table lacks an indicator, or the target set is missing or of no use.
        """

    def named(self, seed: int) -> str:
        """What a replicate is called: `random-seed0`, `longest`."""
        return f"{self.name}-seed{seed}" if self.seeded else self.name


__all__ = ["RANDOM", "Baseline", "Context", "TextEncoder"]
