"""What of a row is compared with other rows: what a trainer trains on, without what hardly anybody would call a difference.

Texts are in normal form: case, punctuation, white space and the way a character is encoded make no difference, signs between numbers do.
The system's turns are left out, as many rows have the same: two rows with one long system text and nothing else in common are no copies.
Reasoning is part of the text.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from instructsel.errors import UsageError
from instructsel.pool.example import Example
from instructsel.pool.normal_form import normal_form, operators

PROMPT: Final = "prompt"
RESPONSE: Final = "response"
BOTH: Final = "both"
PARTS: Final = (BOTH, PROMPT, RESPONSE)
"""Prompt and response as one text, the turns before the response, or the response alone."""
SYSTEM: Final = ("system", "developer")
END: Final = " \t\r\n.,;:!?…。！？"
"""What may stand at the end of a prompt."""


def compared_text(example: Example, part: str = BOTH) -> str:
    """What is compared of a row; "" where it has nothing of this part.

    Args:
        example: the row.
        part: one of PARTS.

    Raises:
        UsageError: no such part.
    """
    return comparable(raw_text(example, part))


def raw_text(example: Example, part: str = BOTH) -> str:
    """The same before it is in normal form.

    Raises:
        UsageError: no such part.
    """
    if part not in PARTS:
        raise UsageError.named(part, PARTS, noun="part of a row")
    end = example.last_answer
    start, stop = {BOTH: (0, end + 1), PROMPT: (0, end), RESPONSE: (end, end + 1)}[part]
    return "\n".join([turn.text_with_reasoning for turn in example.messages[start:stop] if turn.role not in SYSTEM])


def comparable(text: str) -> str:
    """A text in normal form, with the signs that may not differ as a last word.

    >>> comparable("What's 5 - 3?"), comparable("what s 5  -3"), comparable("What's 5 / 3?")
    ('what s 5 3 -', 'what s 5 3 -', 'what s 5 3 /')
    """
    form = normal_form(text)
    signs = "".join(operators(text))
    return f"{form} {signs}" if signs else form


def compared_texts(examples: Iterable[Example], part: str = BOTH) -> Iterator[str]:
    """Of several rows."""
    return (compared_text(example, part) for example in examples)


def prompt_key(example: Example) -> int:
    """A digest of all that a model sees before the response: roles, turns and tools; 0 where that is nothing.

    Case, white space and punctuation at the end of a turn make no difference.
    """
    turns = example.messages[: example.last_answer]
    parts: list[str] = []
    is_asked = False
    for turn in turns:
        text = _plain(turn.text)
        parts += (turn.role, text)
        is_asked = is_asked or bool(text and turn.role not in SYSTEM)
    if not is_asked:
        return 0
    content = "\0".join(parts)
    tools = "" if example.tools is None else example.tools.canonical
    return int.from_bytes(hashlib.blake2b(f"{content}\0\0{tools}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split()).rstrip(END)


__all__ = ["BOTH", "PARTS", "PROMPT", "RESPONSE", "comparable", "compared_text", "compared_texts", "prompt_key", "raw_text"]
