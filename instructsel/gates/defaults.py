"""Limits of copies and of contamination where nobody sets others; without the libraries that compare, so that help can show them."""

from __future__ import annotations

from typing import Final

LOWEST: Final = 0.6
"""Jaccard similarity below which `neighbors.duplicates` finds no near-duplicates."""
JACCARD: Final = 0.8
"""Jaccard similarity of the shingles of two rows."""
COSINE: Final = 0.95
"""Cosine similarity of the vectors of two rows."""
COVERAGE: Final = 0.5
"""Share of the words of a part of an item."""

__all__ = ["COSINE", "COVERAGE", "JACCARD", "LOWEST"]
