"""One file, one format. A format says whether a row is its own, why, and what conversation the row holds."""

from instructsel.pool.formats._base import Format

__all__ = ["Format"]
