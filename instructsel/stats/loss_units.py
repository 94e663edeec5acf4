"""The units of a loss: nats per token, and bits per byte, which does not depend on a tokenizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NATS_PER_TOKEN: Final = "nats per token"
BITS_PER_BYTE: Final = "bits per byte"
AUTO: Final = "auto"
LOSS_UNITS: Final = (NATS_PER_TOKEN, BITS_PER_BYTE)
"""Units of a loss of responses, whose totals are known."""
UNIT_CHOICES: Final = (AUTO, *LOSS_UNITS)
"""What a loss may be asked for in: auto takes nats per token where tokenizers and chat templates agree, else bits per byte."""
FLAGS: Final = {AUTO: AUTO, "nats-per-token": NATS_PER_TOKEN, "bits-per-byte": BITS_PER_BYTE}
"""What the command line and plans write for a unit."""
RESPONSE_CUT: Final = "response_cut"
"""Why an item has no bits per byte: the response lost its end, so that the loss is of a part and the bytes are of the whole."""


@dataclass(frozen=True, eq=False)
class LossTotals:
    """What a loss was measured on, item by item: its total, and both counts that it is divided by."""

    nats: NDArray[np.float64]
    """(n,), the sum of −ln p over the tokens of the response and, by default, those that end its turn; 0 without a value."""
    tokens: NDArray[np.float64]
    """(n,), how many these are; 0 without a value."""
    bytes: NDArray[np.float64]
    """(n,), UTF-8 bytes of the response as its row holds it, whatever a template trims and a tokenizer makes of it: the same for every
    checkpoint. 0 where the loss is of a part of the response only."""

    def __post_init__(self) -> None:
        if len({len(self.nats), len(self.tokens), len(self.bytes)}) > 1:
            raise ValueError(
                f"Totals of a loss have {len(self.nats)} sums, {len(self.tokens)} token counts and {len(self.bytes)} byte counts."
            )
        for name in self.__dataclass_fields__:
            if not np.isfinite(getattr(self, name)).all() or (getattr(self, name) < 0).any():
                raise ValueError(f"The {name} of a loss are finite and at least 0.")

    def per(self, unit: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and weights in a unit, (n,) each: the weighted mean of the values is the ratio of the totals; 0 where the weight is 0."""
        counts = self.tokens if unit == NATS_PER_TOKEN else self.bytes
        totals = self.nats if unit == NATS_PER_TOKEN else self.nats / math.log(2)
        return np.divide(totals, counts, out=np.zeros(len(counts)), where=counts > 0), counts

    def ratio(self, unit: str, which: NDArray[np.bool_]) -> float | None:
        """Total over count of these items in a unit: nats per token, or bits per byte; None where they have no count."""
        counts = self.tokens if unit == NATS_PER_TOKEN else self.bytes
        counted = which & (counts > 0)
        total, count = math.fsum(self.nats[counted].tolist()), math.fsum(counts[counted].tolist())
        return None if not count else total / count if unit == NATS_PER_TOKEN else total / math.log(2) / count

    def as_dict(self) -> dict[str, list[float]]:
        """As plain data."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, content: Any) -> LossTotals | None:
        """From plain data; None where there is none."""
        if not content:
            return None
        return cls(*(np.array(content[name], dtype=np.float64) for name in cls.__dataclass_fields__))


def n_bytes(texts: Sequence[str]) -> NDArray[np.float64]:
    """(n,), the UTF-8 bytes of each text.

    >>> n_bytes(["Zürich", ""]).tolist()
    [7.0, 0.0]
    """
    return np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], dtype=np.float64)


__all__ = ["AUTO", "BITS_PER_BYTE", "FLAGS", "LOSS_UNITS", "NATS_PER_TOKEN", "RESPONSE_CUT", "UNIT_CHOICES", "LossTotals", "n_bytes"]
