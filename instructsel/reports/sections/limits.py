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
"""Rows of a table of verdicts."""
REASONS: Final = 60
"""Rows of a table of reasons."""
ARMS: Final = 24
"""Columns, or charts of one verification."""
SKILLS: Final = 100
"""Rows of a table of skills."""
HEAT_COLUMNS: Final = 16
"""Skills of a heat map."""
EFFECTS: Final = 20
"""Of a forest plot."""
WORDS: Final = ("subset", "design")
"""Columns of observations that hold text."""
