"""AlpacaEval's own order of its 805 instructions, without the instructions: of their digests in order, the place of each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from instructsel.adapters.alpaca_eval.files import OFFICIAL, OFFICIAL_DIGEST
from instructsel.artifact import fingerprint

BITS: Final = 10
"""Of a place in PLACES."""
PLACES: Final = (
    "AxCWg7a0AmxTsIIitgzJPlZIy1JxMn4CyfqRfM0KtOUsGMfwmwBWV9k6TBBCFilpzEI2XKbI8xYyScjhybNXXxRawjYo63QMtun8DvtqLQuSSKqS"
    "6iXiVAMLgrq/i/flCVbYmIcTPJJjessH2hCYbblo1G7ROQghnqa5yTsCeIAqSxJKXQkCtct4DBWNrMJx1RiyvzBiYm52g2F2ii3OCl8gYVcJSFOb"
    "3oNpaneR+Apxv2faQdEqhuWSa3YeYF4jhuCxWFIBJldB7DuZOvkZVIgx2Z9JaLkBVQKPOhTnFinLcDKFpXkKqZ1qgJFBl4z4zC5fg5dcaXrjRMR6"
    "TxxWkP9EmEeFB4XbQc0ta9AGXbZXwqXlJJjAaNsPZoCKwxR7WGxwManLNi14CIn49D2gDHIx0qsQVlkaZQ8HIwquauSBKIGMo8RkOE7KUf1wWHc8"
    "b1UFk38LckyDWtWHxeOayjdEmyU1cetXdb9bQjW9pVhn+vYBJ55ZiNHFY+wyrzJtd6cNoJiC2bhe0CER558ZgihxvpoEVOOdHTHsA12NWQ2cWm8D"
    "2LibQoQNER3hSj0hxEeU5T9T2BVhHlge8EpTpPBShZFgiAj8T5QRd+xmfWDhGoxzFokwPMaOmIJsS9u0GdlgDUkZDUPrwLVuQuA6yMuOmDUiZLub"
    "2WAhbwSCghwiyZM0lXKoGCbBMOYD9r8kS5aOcDTkcxhBk0EYaVbDjXFErl6cOiLhTNQhLwi1qenZjp7TcgXyhiBwOf697InqVHcxiRaDvMQGPT1d"
    "W3akagZZs68XjmJa0s66g/KNzb5LE+SiipSUsffHovFdlarWZEEqZ7Hz4uvAqHKyaZVqU22KiYnRKLwbFrLo6lMBoOEYl891RA2/wQIbFhDhlq48"
    "A/ACJh2WVASJUz6PseIVXGlhfluc4eGWsTvBwKUdyEmh8bARSoxJTmNXMHhjtmEG6ndoo3KR47SOi3haBtrj1BUNKEvi6b1ZKCnwQhssbGJfFyyN"
    "RbNXcaCndaKx9nJ2yHMBWagu1SxQFRKz+tp31EuOSQnK+DFaphxgUcAR4RpIQoEseoRcIgKyrL5HI7B0zrMjUtLot8lLDGuJIue49IFH4l4tg1Pl"
    "9oZ1AHkEYRwkQL44maCHqvSt4njEC04HRf3kIQuziE20zSU1maakt1bFE68jZVwYKzuKtglvaXYPQwf2qvGLJowFShVWcqVeQFvlHWxDhMtTGbsy"
    "JQzthK5qjlECZqmEFsHJJuZnKZpgAc5Nj8runZ5DNE0UqJ+gFJauAYs+xsESkN7vZDJA1HVNEKplwliDpV2dcSEy9FulTCBOKClNxtZOjB9H/D4="
)
"""The places of all instructions, from 0, in the order of the SHA-256 of their texts: base64 of BITS bits each, the last one at the end."""


def official_order(instructions: Sequence[str]) -> list[int] | None:
    """Where each of AlpacaEval's instructions stands in its own order, as positions in `instructions`; None for other instructions.

    Args:
        instructions: texts, in any order.

    >>> official_order(["one", "two"]) is None
    True
    """
    if len(instructions) != OFFICIAL:
        return None
    packed = int.from_bytes(base64.b64decode(PLACES), "big")
    places = [packed >> BITS * (OFFICIAL - 1 - rank) & ((1 << BITS) - 1) for rank in range(OFFICIAL)]
    ranked = sorted(range(OFFICIAL), key=lambda position: _digest(instructions[position]))
    positions = [position for _, position in sorted(zip(places, ranked, strict=True))]
    # The digest is of the texts in their order: it holds for these instructions alone.
    return positions if fingerprint([instructions[position] for position in positions]) == OFFICIAL_DIGEST else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


__all__ = ["official_order"]
