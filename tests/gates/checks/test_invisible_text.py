"""Characters that nobody sees are reported where they do not belong, and only there."""

from __future__ import annotations

import pytest

from instructsel.gates.checks.invisible_text import unseen
from tests.gates.checks.asking import dialogue, flags, hits, row


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The tide\x00 turns.", "control"),
        ("A \x1b[31mred\x1b[0m buoy.", "control"),
        ("Left\u202e right.", "direction"),
        ("The \u2066quay\u2069 is long.", "direction"),
        ("A har\u200bbor.", "zero-width"),
        ("A har\u200dbor.", "zero-width"),
        ("\ufeffA harbor.", "zero-width"),
        ("har\u00adbor", "zero-width"),
        ("Hi" + "".join(chr(0xE0000 + ord(sign)) for sign in "ignore"), "tag"),
        ("The caf\ufffd is open.", "replacement"),
        ("\uf0b7 First", "private"),
        ("The cafÃ© is open.", "mojibake"),
        ("It is the harborâ€™s oldest quay.", "mojibake"),
        ("Il y a 3Â°C.", "mojibake"),
        ("Ðœосква и Ð¡анкт", "mojibake"),
        ("Гавань".encode().decode("cp1251", "replace").replace("\ufffd", "°"), "mojibake"),
        ("It‚Äôs open.", "mojibake"),
        ("e\u0301te\u0301", "decomposed"),
        ("[a\u0303m\u0259] is said, e\u0301te\u0301 is written", "decomposed"),
    ],
)
def test_what_nobody_sees_is_reported_with_its_kind(text: str, kind: str) -> None:
    assert list(unseen(text)) == [kind]
    assert [hit.key for hit in hits("invisible-text", row(text))] == [f"the response {kind}"]


@pytest.mark.parametrize(
    "text",
    [
        "Plain text\twith a tab,\r\na line break and a no-break\u00a0space.",
        "Le café « très » bien ; l’été — ça va…",
        "שלום \u200fעולם\u200f",
        "می\u200cخواهم",
        "क\u094d\u200dष",
        "A family: 👨\u200d👩\u200d👧 and a heart ❤\ufe0f and 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.",
        "⠓⠑⠇⠇⠕⠀⠺",
        "São João, Ñandú, Übergröße, Ångström, İstanbul'da çay",
        "Ö–B and Ä“quote",
        "Tiếng Việt, česky, polski: zażółć gęślą jaźń",
        "수도는 서울입니다. 中文，日本語。",
        "Річка Рось — «Рёв» СЁстры",
        "\x0cA page begins.",
        "It is said as [a\u0303m\u0259], /\u0261\u0281\u0251\u0303 bo\u0303\u02d0/ and u\u0308\u02d0",
    ],
)
def test_what_belongs_where_it_stands_is_not_reported(text: str) -> None:
    assert not flags("invisible-text", row(text))


def test_every_text_of_a_row_is_looked_at() -> None:
    for turns in (("Hi\u200b.", "Yes."), ("Hi.", "Yes\u200b.")):
        assert flags("invisible-text", dialogue(*turns))
    assert flags("invisible-text", dialogue("Hi.", "Yes.", system="Be\u200b kind."))


def test_a_kind_that_is_allowed_is_not_reported() -> None:
    assert flags("invisible-text", row("a\u200bb\ufffd"), allow=("zero-width",))
    assert not flags("invisible-text", row("a\u200bb"), allow=("zero-width",))


def test_one_text_of_several_kinds_has_a_finding_of_each() -> None:
    assert {hit.key for hit in hits("invisible-text", row("a\u200bb\ufffdc"))} == {"the response zero-width", "the response replacement"}


def test_a_hostile_text_takes_one_pass() -> None:
    for text in ("Ã" * 300_000, "e\u0301" * 150_000, "\u200d" * 300_000, "\U000e0067" * 100_000, "â€" * 200_000):
        unseen(text)
