"""The fixtures of a scored pool."""

from tests.scored_pool import make

__all__ = ["make"]
