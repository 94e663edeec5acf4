"""The writing system of a text that is too short for its language to be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from instructsel.pool.writing_systems import LETTER

LEAST_SIGNS: Final = 10
"""Signs of a writing system in a text that is written in it, where a sign is a letter."""
LEAST_SYLLABLES: Final = 6
"""The same where a sign is a syllable or a word."""
SHARE: Final = 0.8
"""Of all letters of the text."""


@dataclass(frozen=True)
class Script:
    """A writing system."""

    signs: str
    """As a regular expression's class has them: letters and vowel signs."""
    languages: frozenset[str]
    """Those written in it, as ISO 639 names them."""
    least: int = LEAST_SIGNS

    def count(self, text: str) -> int:
        """How many of its signs a text has."""
        return len(re.findall(f"[{self.signs}]", text))


def _script(signs: str, languages: str, least: int = LEAST_SIGNS) -> Script:
    return Script(signs, frozenset(languages.split()), least)


HAN: Final = "Chinese characters"
KANA: Final = "Japanese kana"
SCRIPTS: Final[Mapping[str, Script]] = {
    HAN: _script("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "zh yue wuu gan ja ko", LEAST_SYLLABLES),
    KANA: _script("\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f", "ja", LEAST_SYLLABLES),
    "Hangul": _script("\u1100-\u11ff\u3130-\u318f\uac00-\ud7af", "ko", LEAST_SYLLABLES),
    "Cyrillic": _script(
        "\u0400-\u052f", "ru uk be bg mk sr sh bs rue kk ky tg tt ba cv mn mhr mrj sah os ce av lez kv koi udm myv mdf ab bxr xal tyv krc"
    ),
    "Arabic script": _script(
        "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc", "ar arz fa ur ps ckb sd ug pnb mzn azb glk ks ku ms"
    ),
    "Hebrew": _script("\u0590-\u05ff", "he yi"),
    "Greek": _script("\u0370-\u03ff\u1f00-\u1fff", "el"),
    "Devanagari": _script("\u0900-\u097f", "hi mr ne sa bh bho mai new gom dty kok"),
    "Bengali": _script("\u0980-\u09ff", "bn as bpy"),
    "Gurmukhi": _script("\u0a00-\u0a7f", "pa"),
    "Gujarati": _script("\u0a80-\u0aff", "gu"),
    "Odia": _script("\u0b00-\u0b7f", "or"),
    "Tamil": _script("\u0b80-\u0bff", "ta"),
    "Telugu": _script("\u0c00-\u0c7f", "te"),
    "Kannada": _script("\u0c80-\u0cff", "kn tcy"),
    "Malayalam": _script("\u0d00-\u0d7f", "ml"),
    "Sinhala": _script("\u0d80-\u0dff", "si"),
    "Thai": _script("\u0e00-\u0e7f", "th"),
    "Lao": _script("\u0e80-\u0eff", "lo"),
    "Tibetan": _script("\u0f00-\u0fff", "bo dz"),
    "Burmese": _script("\u1000-\u109f", "my"),
    "Georgian": _script("\u10a0-\u10ff\u1c90-\u1cbf", "ka xmf"),
    "Ethiopic": _script("\u1200-\u139f", "am ti", LEAST_SYLLABLES),
    "Khmer": _script("\u1780-\u17ff", "km"),
    "Armenian": _script("\u0530-\u058f", "hy"),
}
"""Name → a writing system other than Latin."""
_ANY: Final = re.compile(f"[{''.join(script.signs for script in SCRIPTS.values())}]")


def script_of(text: str) -> str | None:
    """The writing system that nearly all of a text is in; None where that is Latin or another, or the text has too few signs of it.

    >>> script_of("北京是中国的首都。"), script_of("Привет, как дела?"), script_of("The letter π")
    ('Chinese characters', 'Cyrillic', None)
    """
    if text.isascii():
        return None
    signs = "".join(_ANY.findall(text))
    if len(signs) < LEAST_SYLLABLES or len(signs) < SHARE * (len(signs) + len(LETTER.findall(_ANY.sub("", text)))):
        return None
    counts = {name: count for name, script in SCRIPTS.items() if (count := script.count(signs))}
    # Japanese has both.
    if KANA in counts and HAN in counts:
        counts[KANA] += counts.pop(HAN)
    name = max(counts, key=lambda name: counts[name])
    return name if counts[name] >= max(SCRIPTS[name].least, SHARE * len(signs)) else None


def written_in(language: str, script: str) -> bool:
    """Whether a language, or another script's text, may be written in a script."""
    if language in SCRIPTS:
        return language == script or {language, script} == {HAN, KANA}
    return language in SCRIPTS[script].languages


def is_partly_in(text: str, script: str) -> bool:
    """Whether a text has as many signs of a writing system as one that is told to be written in it; False of a language.

    >>> is_partly_in("这句话的意思是：better safe than sorry.", "Chinese characters"), is_partly_in("Better safe than sorry.", "zh")
    (True, False)
    """
    return script in SCRIPTS and SCRIPTS[script].count(text) >= SCRIPTS[script].least


__all__ = ["SCRIPTS", "is_partly_in", "script_of", "written_in"]
