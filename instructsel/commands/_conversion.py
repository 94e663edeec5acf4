"""Settings of conversions, as the command line takes them: each is one of a few datasets'."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from instructsel.experiments.limits import LONGEST_ROW, between

MOST_CONVERTED: Final = 2**31
"""No dataset is larger."""


@dataclass(frozen=True)
class ConversionSettings:
    """Those that were named; the others are the paper's. The texts under the fields are the help of the options."""

    rows: int | None = field(default=None, metadata=between(1, MOST_CONVERTED))
    """flan_v2: rows in all, from each file by its portion."""
    tasks: str | None = None
    """super_ni: names of the tasks to convert, a line each."""
    zero_shot: int | None = field(default=None, metadata=between(0, MOST_CONVERTED))
    """super_ni, cot: most rows without examples, of a task (60) or in all (50,000)."""
    few_shot: int | None = field(default=None, metadata=between(0, MOST_CONVERTED))
    """super_ni, cot: most rows with examples, of a task (20) or in all (50,000)."""
    paths: str | None = None
    """oasst1: a path to each response without a reply (leaves), or one that ends at each response."""
    top_k: int | None = field(default=None, metadata=between(1, MOST_CONVERTED))
    """oasst1: replies that are followed at each message, the best by quality."""
    max_tokens: int | None = field(default=None, metadata=between(1, LONGEST_ROW))
    """sharegpt: tokens of a piece of a conversation (2,048)."""
    tokenizer: str | None = None
    """sharegpt: what counts them: embedded, a local folder, or a hub id."""

    def named(self) -> dict[str, Any]:
        """Setting → its value, of those that have one."""
        return {name: value for name, value in asdict(self).items() if value is not None}


NONE_NAMED: Final = ConversionSettings()

__all__ = ["NONE_NAMED", "ConversionSettings"]
