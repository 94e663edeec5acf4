"""Open files: each file of a pool stays open while the pool is in use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from instructsel.errors import EnvironmentFault

SPARE: Final = 64
"""Further files that a command opens beside its pools."""
LIKELY_OPEN: Final = 128
"""Files that are open already, where nobody says how many."""


def allow(count: int) -> None:
    """Let this process have so many more files open than it has now, up to what the system lets it ask for.

    Raises:
        EnvironmentFault: it may not have so many.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE + _open_now()
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    except (OSError, ValueError):
        most = soft
    if most < wanted:
        raise EnvironmentFault(
            f"{count:,} files are to be open together, and this process may have {max(soft, most):,}.",
            fix=f"Put several of them into one, or allow more: ulimit -n {wanted}",
        )


def _open_now() -> int:
    try:
        return len(os.listdir(Path("/proc/self/fd")))
    except OSError:
        return LIKELY_OPEN


__all__ = ["allow"]
