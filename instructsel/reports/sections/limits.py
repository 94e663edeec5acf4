"""How much of a result a page shows."""

from __future__ import annotations

from typing import Final

CHARTS: Final = 12
"""Of one kind."""


ROWS: Final = 400
"""Observations, or runs."""


POINTS: Final = 400
"""Of a scatter chart."""


COMPARISONS: Final = 200


REASONS: Final = 60


ARMS: Final = 24


SKILLS: Final = 100


EFFECTS: Final = 20
"""Of a forest plot."""


WORDS: Final = ("subset", "design")
"""Columns of observations that hold text."""
