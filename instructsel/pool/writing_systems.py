"""Writing systems: which texts put no spaces between words."""

from __future__ import annotations

import re
from typing import Final

UNSEGMENTED: Final = re.compile(
    "["
    "\u0e00-\u0e7f"  # Thai
    "\u0e80-\u0eff"  # Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]"
)
"""Letters of scripts written without spaces between words. Korean is not here: it writes spaces."""

LETTER: Final = re.compile(r"[^\W\d_]")


def unsegmented_share(text: str) -> float:
    """The share of a text's letters that are of scripts written without spaces, in [0, 1]; 0 where it has no letter."""
    if text.isascii():
        return 0.0
    unsegmented = len(UNSEGMENTED.findall(text))
    # Thai and Burmese vowel signs are no letters to Python; they count on both sides.
    letters = len(LETTER.findall(UNSEGMENTED.sub("", text))) + unsegmented
    return unsegmented / letters if letters else 0.0
