"""Rows with characters that nobody sees, and with letters that were decoded wrongly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.sieve import sieve_of_passages
from instructsel.gates.wording.texts import Passage, around, passages

CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
SUSPECTS: Final = re.compile(
    "[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\u206a-\u206f\u2800\u3164\uffa0\ufeff\ufff9-\ufffd\ufffe\uffff\ufdd0-\ufdef"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e01ef\U000f0000-\U0010ffff]|[\ufe00-\ufe0f]{2}"
)
DIRECTED: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
"""Letters that are written from right to left: marks of direction belong between them."""
JOINED: Final = re.compile("[^\x00-\u024f\u1e00-\u1eff\u2000-\u206f]")
"""What a joiner may stand beside: letters other than Latin ones, and pictures."""
BRAILLE: Final = re.compile("[\u2801-\u28ff]")
DECOMPOSED: Final = re.compile("[A-Za-z][\u0300-\u0308\u030a-\u030c\u0323\u0327\u0328]")
PHONETIC: Final = re.compile("[\u0250-\u02ff]")
"""Letters and marks of phonetic script, which writes tones and nasal vowels as marks of their own."""

CONTINUED: Final = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
MISREAD: Final = re.compile(f"[\xc2-\xdf][{CONTINUED}]|[\xe0-\xef][{CONTINUED}]{{2}}|[\xf0-\xf4][{CONTINUED}]{{3}}")
"""What UTF-8 looks like that was read as Windows-1252 or Latin-1."""
SURE: Final = frozenset("ÂÃâïð")
"""First letters of such a sequence that need no second one."""
MISREAD_MAC: Final = re.compile("‚Ä[ôúùìîò¶]|[A-Za-z]√[©®†°≥¶ßº§±]")
MISREAD_CYRILLIC: Final = re.compile("(?:[РС][ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџ\xa0ЎўЈ¤Ґ¦§Ё©Є«¬\xad®Ї°±Ііґµ¶·ё№є»јЅѕї]){3,}")
"""Cyrillic in UTF-8 that was read as Windows-1251: of its letters every other one is one of two capitals."""
LITERALS: Final = ("锟斤拷", "烫烫烫", "屯屯屯")
"""What Chinese encodings make of replacement characters and of memory without a content."""
ACCENTED: Final = re.compile("[\xc0-\xff]{6,}")
"""Cyrillic that was read as Latin-1: words of accented letters alone."""
NAMES: Final = {
    "control": ("control character", "control characters"),
    "direction": ("character that turns the reading direction", "characters that turn the reading direction"),
    "zero-width": ("character without width", "characters without width"),
    "tag": ("tag or variation selector that is drawn as nothing", "tags or variation selectors that are drawn as nothing"),
    "replacement": ("replacement character", "replacement characters"),
    "private": ("private character", "private characters"),
    "mojibake": ("wrongly decoded letter", "wrongly decoded letters"),
    "decomposed": ("letter apart from its accent", "letters apart from their accents"),
}
"""Kind → its nouns in messages, for one and for several."""


@dataclass(frozen=True)
class InvisibleText(RowCheck):
    """Characters that nobody sees, and letters that were decoded wrongly.

    Marks of direction between letters of Hebrew or Arabic, joiners in Indic and Arabic words and in pictures, and flags count for nothing.
    """

    number: ClassVar[str] = "IS008"
    kind: ClassVar[str] = "invisible-text"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Unicode Technical Report 36, security considerations; Boucher and Anderson 2021, arXiv:2111.00169"
    fix: ClassVar[str] = "Take the characters out, or decode the text again from its source."
    of_row: ClassVar[bool] = True

    allow: tuple[str, ...] = field(default=())
    """Kinds that may be there: control, direction, zero-width, tag, replacement, private, mojibake, decomposed."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """One for each text and kind."""
        likely = sieve_of_passages(change).matching(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
        for passage in compress(passages(change), likely.tolist()):
            for kind, places in unseen(passage.text).items():
                if kind not in self.allow:
                    yield self._hit(passage, kind, places)

    def _hit(self, passage: Passage, kind: str, places: list[tuple[int, int]]) -> Hit:
        start, end = places[0]
        shown = passage.text[start:end]
        code = f" (U+{ord(shown):04X} first)" if len(shown) == 1 else ""
        message = f"{passage.holds} {len(places):,} {NAMES[kind][len(places) > 1]}{code}."
        evidence = around(passage.text, start, end)
        return Hit(passage.position, message, float(len(places)), evidence=evidence, key=f"{passage.where} {kind}")


def unseen(text: str) -> dict[str, list[tuple[int, int]]]:
    """Kind → where such characters stand; nothing for most texts.

    >>> unseen("a\\u200bb")
    {'zero-width': [(1, 2)]}
    """
    places_of: dict[str, list[tuple[int, int]]] = {}
    for match in CONTROL.finditer(text):
        if not (match[0] == "\x0c" and text[match.start() - 1 : match.start()] in ("", "\n")):  # a page that begins
            places_of.setdefault("control", []).append(match.span())
    if text.isascii():
        return places_of
    directed = None
    for match in SUSPECTS.finditer(text):
        directed = DIRECTED.search(text) is not None if directed is None else directed
        kind = _kind(text, match, directed)
        if kind:
            places_of.setdefault(kind, []).append(match.span())
    if misread := _misread(text):
        # The second halves of wrongly decoded letters are control characters, too.
        places_of.pop("control", None)
        places_of["mojibake"] = misread
    if decomposed := _decomposed(text):
        places_of["decomposed"] = decomposed
    return places_of


def _decomposed(text: str) -> list[tuple[int, int]]:
    """Where a letter stands apart from its accent, but for words in phonetic script."""
    places = [match.span() for match in DECOMPOSED.finditer(text) if len(unicodedata.normalize("NFC", match[0])) == 1]
    return [place for place in places if not PHONETIC.search(_word_at(text, place[0]))]


def _word_at(text: str, place: int) -> str:
    """The signs between two spaces around a place, up to 40 to each side."""
    before, after = text[max(0, place - 40) : place], text[place : place + 40]
    return (before.split()[-1] if before and not before[-1].isspace() else "") + after.split()[0]


def _kind(text: str, match: re.Match[str], directed: bool) -> str | None:
    """What a suspect is; None where it belongs where it stands."""
    sign, start = match[0], match.start()
    if len(sign) > 1:
        return "tag"
    code = ord(sign)
    if sign in "\u202d\u202e":
        return "direction"
    if sign in "\u061c\u200e\u200f" or 0x202A <= code <= 0x202C or 0x2066 <= code <= 0x2069:
        return None if directed else "direction"
    if sign in "\u200c\u200d":
        beside = text[max(0, start - 1) : start] + text[start + 1 : start + 2]
        return None if JOINED.search(beside) or (start and text[start - 1] == "\ufe0f") else "zero-width"
    if sign == "\u2800":
        return None if BRAILLE.search(text) else "zero-width"
    if sign in "\ufffd\ufffe\uffff" or 0xFDD0 <= code <= 0xFDEF or 0xD800 <= code <= 0xDFFF:
        return "replacement"
    if 0xE000 <= code <= 0xF8FF or code >= 0xF0000:
        return "private"
    if code >= 0xE0000:
        return None if _in_flag(text, start) or code >= 0xE0100 else "tag"
    return "zero-width"


def _in_flag(text: str, start: int) -> bool:
    """Whether a tag is part of a flag, as that of Scotland: a black flag, then tags."""
    before = text[max(0, start - 8) : start]
    return "\U0001f3f4" in before and all(0xE0000 <= ord(sign) <= 0xE007F for sign in before.rpartition("\U0001f3f4")[2])


def _misread(text: str) -> list[tuple[int, int]]:
    """Where UTF-8 was read as another encoding."""
    places: list[tuple[int, int]] = []
    sure = False
    for match in MISREAD.finditer(text):
        letter = _decoded(match[0])
        if letter is not None:
            places.append(match.span())
            sure = sure or match[0][0] in SURE
    if len(places) < 2 and not sure:
        places = []
    places += [match.span() for pattern in (MISREAD_MAC, MISREAD_CYRILLIC) for match in pattern.finditer(text)]
    places += [(text.find(literal), text.find(literal) + len(literal)) for literal in LITERALS if literal in text]
    words = [match.span() for match in ACCENTED.finditer(text)]
    return places + (words if len(words) > 1 else [])


def _decoded(sequence: str) -> str | None:
    """The letter that a sequence was; None where it is none that texts have."""
    try:
        raw = bytes(ord(sign) if ord(sign) < 0x100 else sign.encode("cp1252")[0] for sign in sequence)
        letter = raw.decode("utf-8")
    except UnicodeError:
        return None
    category = unicodedata.category(letter)
    # Between capital A with a circumflex and a quotation mark French texts have no letter; "Ö–" is an end of a word and a dash.
    return letter if category[0] in "LSPN" or (category in ("Zs", "Cf", "Mn") and sequence[0] in SURE) else None
