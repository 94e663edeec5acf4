"""The client that AlpacaEval's decoder for OpenAI's interface asks with, which reads no response without end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from instructsel.extras import require

NEEDED_BY: Final = "AlpacaEval's decoder for OpenAI's interface"
LONGEST_RESPONSE: Final = 16 << 20
"""Bytes; one of a thousand tokens with twenty likely ones each takes two million."""


@contextmanager
def bounded_client() -> Iterator[Any]:
    """A client of the `openai` package's own kind, for its `http_client`; open within the block.

    What a server packs is refused: unpacked it could be a thousand times as long.
    """
    openai = require("openai", needed_by=NEEDED_BY)
    kind = openai.DefaultHttpxClient
    # httpx, or whichever package the release of `openai` uses in its place.
    httpx = require(next(base.__module__ for base in kind.__mro__ if base.__name__ == "Client").partition(".")[0], needed_by=NEEDED_BY)

    class Bounded(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
        """A response's bytes, up to a limit."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self.stream:
                size += len(part)
                if size > LONGEST_RESPONSE:
                    raise httpx.ReadError(f"A response of more than {LONGEST_RESPONSE} bytes.")
                yield part

        def close(self) -> None:
            self.stream.close()

    def bound(response: Any) -> None:
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise httpx.DecodingError("A response in a coding that was not asked for.", request=response.request)
        response.stream = Bounded(response.stream)

    with kind(event_hooks={"response": [bound]}, headers={"Accept-Encoding": "identity"}) as client:
        yield client


__all__ = ["LONGEST_RESPONSE", "bounded_client"]
