"""`superfiltering`: the responses that an instruction helps least, but does help."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from instructsel.errors import UsageError
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.candidates import Ranking, ScoredCandidates

NOT_BELOW: Final = "ifd_not_below_1"
"""The reason of a row that the way leaves out."""


class Superfiltering(Baseline):
    """The highest instruction-following difficulty below 1 first.

    At 1 and above the response is no likelier after its instruction than alone: the papers take the two for misaligned and leave such
    rows out, and so does this. They are not ranked, and a budget that the other rows do not fill stays unfilled. The papers compute IFD
    by GPT-2; which model computed it here stands in the score table.
    """

    name: ClassVar[str] = "superfiltering"
    title: ClassVar[str] = "highest IFD below 1 first; rows of 1 and above are left out"
    unit: ClassVar[str] = "minus the IFD, a ratio"
    needs: ClassVar[tuple[str, ...]] = ("ifd",)
    source: ClassVar[str] = "Li et al. 2024, Superfiltering, arXiv:2402.00530; Li et al. 2023, arXiv:2308.12032"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """Minus the IFD."""
        if "ifd" not in candidates.table.symbols:
            raise UsageError(
                "superfiltering needs ifd, which the table does not have.",
                fix="Score again with: instructsel score POOL --indicators ifd,… --model ifd=embedded",
            )
        values, valid = candidates.column("ifd")
        unscored = candidates.unscored(self.needs)
        high = np.flatnonzero(valid & ~(values < 1.0)).tolist()
        unscored |= dict.fromkeys(high, f"unscored:{self.name}:{NOT_BELOW}")
        return Ranking(self.name, "minus the IFD", -np.where(valid, values, 0.0), unscored=unscored, indicators=self.needs)


__all__ = ["Superfiltering"]
