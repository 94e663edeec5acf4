"""Texts whose words are counted together: none that is stuck in a loop is passed over."""

from __future__ import annotations

import random

import pytest

from instructsel.gates.wording import repeating
from instructsel.gates.wording.loops import loop_of, repeated_share
from instructsel.gates.wording.repeating import may_loop

SETTINGS = ((4, 20, 0.5), (2, 4, 0.1), (3, 40, 0.9), (4, 20, 0.0), (2, 20, 1.0))


def texts(number: int) -> list[str]:
    """Loops of all kinds and lengths, whole and broken, beside texts without one."""
    rng = random.Random(3)
    signs = "abcdefgh.,;:-=_*#~0123456789!?\x1c\x0b\t"
    made = []
    for _ in range(number):
        unit = "".join(rng.choice(signs + "  ") for _ in range(rng.choice([1, 2, 5, 12, 30, 90])))
        between = rng.choice(["", " ", "\n", "\n\n", ". "])
        times = rng.choice([1, 2, 4, 5, 8, 24, 80, 160])
        numbered = rng.random() < 0.3
        pieces = [f"{place + 1}. {unit}" if numbered else unit.upper() if rng.random() < 0.05 else unit for place in range(times)]
        around = " ".join("".join(rng.choice(signs) for _ in range(rng.randint(1, 9))) for _ in range(rng.choice([0, 3, 40])))
        made.append(around + rng.choice([" ", "\n"]) + between.join(pieces) + rng.choice(["", " ", "\n"]) + around[: rng.randint(0, 40)])
    return made


@pytest.mark.parametrize("settings", SETTINGS)
def test_no_loop_is_passed_over(monkeypatch: pytest.MonkeyPatch, settings: tuple[int, int, float]) -> None:
    """What either way of looking through a text names, counting lets through."""
    monkeypatch.setattr(repeating, "FEW", 1)
    min_times, min_words, max_repeated = settings
    many = [*texts(1200), "", "x", "Café " * 30, "=" * 200, "a" * 24]
    likely = may_loop(many, min_times=min_times, min_words=min_words, max_repeated=max_repeated)
    for text, is_likely in zip(many, likely.tolist(), strict=True):
        words = text.casefold().split()
        named = loop_of(text, words, min_times=min_times, min_words=min_words) is not None
        named = named or repeated_share(words, above=max_repeated) > max_repeated
        assert is_likely or not named, repr(text)


def test_texts_without_a_loop_are_passed_over() -> None:
    """Most of them, or nothing is gained."""
    rng = random.Random(5)
    words = [f"w{number}" for number in range(4000)]
    many = [" ".join(rng.choices(words, k=60)) for _ in range(repeating.FEW)]
    assert may_loop(many, min_times=4, min_words=20, max_repeated=0.5).mean() < 0.01
