"""What ways with a target set refuse."""

from __future__ import annotations

from instructsel.errors import UsageError
from instructsel.pool.overlap import place_of
from instructsel.pool.pool import Pool
from instructsel.selection.candidates import ScoredCandidates
from instructsel.text import counted


def check_target(candidates: ScoredCandidates, target: Pool) -> None:
    """Refuse a target set without examples, or with some that may be selected: the model would train on what it is measured by.

    Raises:
        UsageError: it has none, or a conversation of it is among the candidates.
    """
    if not len(target):
        raise UsageError("A target set is needed, and this one has no example.", fix="Name a file with at least one.")
    in_pool = {digest.tobytes() for digest in candidates.pool.digests[candidates.eligible]}
    shared = [position for position, digest in enumerate(target.digests) if digest.tobytes() in in_pool]
    if shared:
        are = "is" if len(shared) == 1 else "are"
        raise UsageError(
            f"{len(shared):,} of {counted(len(target), 'target')} {are} in the pool itself ({place_of(target, shared[0])}): it would be trained on what the result is measured by.",
            fix="Take other targets, or take these out of the pool.",
        )


__all__ = ["check_target"]
