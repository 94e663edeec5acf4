"""The normal form of a text: what is the same text but for case, punctuation, white space and ways to encode a character.

Time is linear in the text, whatever stands in it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

CHUNK: Final = 2048
"""Characters that are composed at a time: marks on one letter are sorted, which takes the square of their number."""
OPERATORS: Final = re.compile(r"[-*/%](?:(?=\s?\d)|(?<=\d[-*/%])|(?<=\d\s[-*/%]))", re.DOTALL)
POINTS: Final = re.compile(r"\.(?<=\d\.)(?=\d)")
"""Punctuation that makes other numbers of numbers: 3.5 is not 35, and 5 - 3 is not 5 / 3."""
BRACKETS: Final = re.compile(r"[()\[\]{}](?: ?[()\[\]{}<>])+")
"""Brackets in a row, which are what some questions are about."""
MAY_DIFFER: Final = re.compile(r"[\d()\[\]{}]")
"""Without one of these a text has no operator."""
BASIC: Final = 0xFFFF
"""The last character of the basic plane."""
BEYOND: Final = re.compile("[\U00010000-\U0010ffff]")
DASHES: Final = re.compile("[‐‑‒–—−]")
ASCII: Final = bytes(ord(" " if unicodedata.category(chr(code))[0] in "PZ" else chr(code).lower()) for code in range(128)) + bytes(128)
"""What becomes of each ASCII character: punctuation a space, capitals small letters."""
CONTROLS: Final = bytes(code for code in range(128) if unicodedata.category(chr(code)) == "Cc" and not chr(code).isspace())


def normal_form(text: str) -> str:
    """Words of a text, lower-cased, in compatibility form, with one space between them; symbols stay, punctuation does not.

    A text of nothing but punctuation and spaces keeps its punctuation.

    >>> normal_form("  What’s the  CAPITAL of\\u00a0France?!  "), normal_form("ｆｕｌｌ ﬁeld"), normal_form("?!"), normal_form("a<b")
    ('what s the capital of france', 'full field', '?!', 'a<b')
    """
    if text.isascii():
        words = b" ".join(ascii_words(text)).decode()
    else:
        text = _composed(text)
        spaces, nothing = _classes()
        if BEYOND.search(text):
            text = text.translate(_BEYOND)
        words = " ".join(nothing.sub("", spaces.sub(" ", text)).split())
    return words or " ".join(text.split())


def ascii_words(text: str) -> list[bytes]:
    """The words of the normal form of an ASCII text; none of a text of nothing but punctuation and spaces."""
    return text.encode().translate(ASCII, CONTROLS).split()


def operators(text: str) -> tuple[str, str, str]:
    """What `normal_form` leaves out and may not differ: brackets in a row, the signs between and before numbers, and decimal points.

    >>> operators("3.5 - 2 well-known (or so)"), operators("5 / 3"), operators("Close: [ [ (")
    (('', '-', '.'), ('', '/', ''), ('[[(', '', ''))
    """
    if MAY_DIFFER.search(text) is None:
        return "", "", ""
    if not text.isascii():
        text = DASHES.sub("-", text)
    text = " ".join(text.split())
    brackets = "".join(BRACKETS.findall(text)).replace(" ", "")
    return brackets, "".join(OPERATORS.findall(text)), "".join(POINTS.findall(text))


def _composed(text: str) -> str:
    """NFKC of the folded text."""
    folded = [_form(_form(piece).casefold()) for piece in (_pieces(text) if len(text) > CHUNK else [text])]
    return "".join(folded)


def _form(text: str) -> str:
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def _pieces(text: str) -> list[str]:
    """A text in pieces of at most CHUNK characters, cut behind white space where there is any."""
    pieces, start = [], 0
    while start < len(text):
        end = min(start + CHUNK, len(text))
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        pieces.append(text[start:end])
        start = end
    return pieces


class _Beyond(dict[int, str | None]):
    """What becomes of characters beyond the basic plane, for `str.translate`; each is looked up once.

    A class that reaches beyond it is searched character by character, which takes twenty times as long.
    """

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kind = unicodedata.category(character) if code > BASIC else ""
        becomes = " " if kind[:1] in ("P", "Z") else None if kind in ("Cf", "Cc") else character
        self[code] = becomes
        return becomes


_BEYOND: Final = _Beyond()


@cache
def _classes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Punctuation and separators; control and format characters that are no white space; both of the basic plane."""
    spaces: list[str] = []
    nothing: list[str] = []
    for code, kind in enumerate(map(unicodedata.category, map(chr, range(BASIC + 1)))):
        character = chr(code)
        if kind[0] in "PZ":
            spaces.append(re.escape(character))
        elif kind == "Cf" or (kind == "Cc" and not character.isspace()):
            nothing.append(re.escape(character))
    return re.compile(f"[{''.join(spaces)}]+"), re.compile(f"[{''.join(nothing)}]+")


__all__ = ["ASCII", "CONTROLS", "MAY_DIFFER", "ascii_words", "normal_form", "operators"]
