"""What a way to select is: a ranking of the candidates, by itself or as the baseline of another one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of texts."""
        ...


@dataclass(frozen=True)
class Context:
    """What a way may look at besides the candidates."""

    selection: Selection | None = None
    """The selection it is compared with; None where it makes the selection itself."""
    seed: int = 0
    """Of a way in which chance has a part."""
    target: Pool | None = None
    """Examples of what the fine-tuned model is to do."""
    encoder: TextEncoder | None = None
    """Turns texts into vectors, usually PooledStates of the base model."""
    tuned: TextEncoder | None = None
    """The same of the model after a short fine-tune on the target set."""


class Baseline(ABC):
    """One way to select. It ranks the candidates; duplicates, minima, quotas and budget are the same for all of them."""

    name: ClassVar[str]
    """As the command line calls it."""
    title: ClassVar[str] = ""
    """Which rows come first, in a few words."""
    unit: ClassVar[str] = ""
    """Of the ranking's scores; lower is better."""
    seeded: ClassVar[bool] = False
    """Whether chance has a part, so that it has a replicate per seed."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Symbols of the indicators it ranks by."""
    needs_target: ClassVar[bool] = False
    """Whether it needs a target set."""
    needs_model: ClassVar[bool] = False
    """Whether it needs a language model: Context.encoder."""
    needs_tuned: ClassVar[bool] = False
    """Whether it needs that model fine-tuned on the target set, too: Context.tuned."""
    needs_selection: ClassVar[bool] = False
    """Whether it follows a selection, so that it cannot make one itself."""
    source: ClassVar[str] = ""
    """The paper it is from."""

    @abstractmethod
    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """The candidates in the way's order, lower is better.

        Raises:
            UsageError: the table lacks an indicator, or the target set is missing or of no use.
        """

    def named(self, seed: int) -> str:
        """What a replicate is called: `random-seed0`, `longest`."""
        return f"{self.name}-seed{seed}" if self.seeded else self.name


__all__ = ["RANDOM", "Baseline", "Context", "TextEncoder"]
