"""The fixtures of a scored pool."""

from tests.scored_pool import make, varied

__all__ = ["make", "varied"]
