"""What near-duplicates are told by: the text of each row that is compared, and whether its response is another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.shingles import Shingles
from instructsel.pool.example import Example
from instructsel.pool.pool import Pool
from instructsel.scores.neighborhood import Watch

PROMPT: Final = "prompt"
RESPONSE: Final = "response"
BOTH: Final = "both"
PARTS: Final[dict[str, Callable[[Example], str]]] = {
    BOTH: lambda example: example.text,
    PROMPT: lambda example: example.instruction,
    RESPONSE: lambda example: example.response,
}
"""What of a row is compared: prompt and response as one text, all turns before the response, or the response alone."""
READ: Final = 2048
"""Examples between two notes of how far the texts have been read."""


@dataclass(frozen=True, eq=False)
class Compared:
    """What is compared of every row of a pool, and a digest of its response."""

    part: str
    """One of PARTS."""
    shingles: Shingles
    """Of this part, in the pool's order."""
    responses: NDArray[np.uint64]
    """(n,), a digest of each response, without case and spacing."""

    @classmethod
    def of(cls, pool: Pool, part: str, watch: Watch) -> Self:
        """Of a pool, whose rows are read once."""
        progress, total = watch("texts"), len(pool)
        digests = np.zeros(total, dtype=np.uint64)

        def texts() -> Iterator[str]:
            for number, example in enumerate(pool.examples(), 1):
                digests[number - 1] = _digest(example.response)
                yield PARTS[part](example)
                if number % READ == 0 or number == total:
                    progress(number, total)

        return cls(part, Shingles.of(texts(), bucketing=watch("buckets")), digests)

    def with_another_response(self, rows: NDArray[np.integer[Any]], others: NDArray[np.integer[Any]]) -> int:
        """How many pairs of positions in the pool have two responses that differ in more than case and spacing."""
        return int(np.count_nonzero(self.responses[rows] != self.responses[others]))


def record(compared: Compared, repeating: NDArray[np.integer[Any]], repeated: NDArray[np.integer[Any]]) -> dict[str, Any]:
    """What a selection says of its near-duplicates.

    Args:
        compared: what told them.
        repeating: positions of the rows that are dropped.
        repeated: position of the row that each repeats.
    """
    return {"of": compared.part, "dropped": len(repeating), "another_response": compared.with_another_response(repeating, repeated)}


def _digest(text: str) -> int:
    words = " ".join(text.lower().split())
    return int.from_bytes(hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


__all__ = ["BOTH", "PARTS", "PROMPT", "RESPONSE", "Compared", "record"]
