"""Values worked out elsewhere: the paper's definitions, golden numbers, other libraries."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import IndexTooSmall
from instructsel.indicators.base import Batch
from instructsel.indicators.instruction_length import InstructionLength
from instructsel.indicators.mtld import Mtld, mtld, words
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.indicators.response_length import ResponseLength
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from instructsel.pool.pool import Pool

TEN = "one two three four five six seven eight nine ten"
CATS = "the cat sat on the mat and the dog sat on the rug while the cat and the dog slept on the mat"
FOX = (
    "The quick brown fox jumps over the lazy dog. The dog did not move, and the fox ran away into the forest where the other foxes "
    "were waiting for the quick brown fox to come home."
)


def one(response: str, *before: tuple[str, str]) -> Batch:
    turns = [Message(role, text) for role, text in before or [("user", "Go on.")]]
    return Batch((Example("0" * 32, "test", (*turns, Message("assistant", response))),))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("alpha beta gamma delta", 4.0),
        ("the the the the the", 2.5),
        ("a b a", 3.0),
        ("red green blue red green blue red green blue red", 5.0),
        (" ".join(["a b"] * 20), 3.0769230769),
        (" ".join([TEN] * 6), 15.0),
        (CATS, 11.5),
        (FOX, 31.0819672131),
    ],
)
def test_mtld_has_the_golden_values(text: str, value: float) -> None:
    assert Mtld().score(one(text)).values[0] == pytest.approx(value, abs=1e-9)


def theirs(text: str) -> float | None:
    lexical = pytest.importorskip("lexicalrichness")
    try:
        return float(lexical.LexicalRichness(text).mtld(threshold=0.72))
    except ZeroDivisionError:
        return None


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.sampled_from("abAB 01-–—.,!?'\"\n\tßİéǅ\u00a0\u2028_²½"), max_size=80))
def test_mtld_is_lexical_richness_on_any_text(text: str) -> None:
    tokens = words(text)
    assert (mtld(tokens) if tokens else None) == theirs(text)


def test_mtld_is_lexical_richness_on_real_responses(shared_data: Path) -> None:
    pool = Pool.read(shared_data / "pools/dolly.jsonl.zst")
    for example in pool.examples(range(0, len(pool), 7)):
        tokens = words(example.response)
        assert (mtld(tokens) if tokens else None) == theirs(example.response)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_response"),
        (" \n", "empty_response"),
        ("123, 456!", "no_words"),
        ("今天天气很好，我们去公园散步吧。", "unsegmented_script"),
        ("今日は天気がいいので散歩に行きましょう。", "unsegmented_script"),
        ("วันนี้อากาศดีเราไปเดินเล่นกัน", "unsegmented_script"),
        ("오늘은 날씨가 좋아서 산책을 갑시다", None),
        ("Das Wort 你好 heißt auf Deutsch hallo und ist sehr verbreitet.", None),
        ("Сегодня хорошая погода", None),
    ],
)
def test_mtld_says_why_it_cannot_speak(text: str, reason: str | None) -> None:
    scored = Mtld().score(one(text))
    assert scored.reasons[0] == reason and (scored.values[0] is None) == (reason is not None)


def test_chinese_answers_have_no_mtld(shared_data: Path) -> None:
    pool = Pool.read(shared_data / "pools/alpaca_zh_demo.jsonl.zst")
    reasons = Mtld().score(Batch(tuple(pool.examples()))).reasons
    assert sum(reason == "unsegmented_script" for reason in reasons) > 900


def test_lengths_count_the_last_answer_and_all_before_it() -> None:
    batch = one(
        "It is Paris.", ("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi there friend"), ("user", "Capital of France?")
    )
    assert ResponseLength().score(batch).values == [4.0]
    assert InstructionLength().score(batch).values == [3.0 + 1.0 + 3.0 + 4.0]


def test_turns_after_the_last_answer_do_not_count() -> None:
    turns = (Message("user", "One?"), Message("assistant", "Two."), Message("user", "Thanks a lot"))
    assert ResponseLength().score(Batch((Example("0" * 32, "test", turns),))).values == [2.0]


def test_the_sixth_of_seven_copies_is_at_zero_and_six_are_too_few() -> None:
    copies = [Example(f"{n:032x}", "test", (Message("user", "Same?"), Message("assistant", "Same."))) for n in range(7)]
    assert NeighborDistance(precision="fp32").score(Batch(tuple(copies))).values == [0.0] * 7
    with pytest.raises(IndexTooSmall, match="at least 7"):
        NeighborDistance(precision="fp32").score(Batch(tuple(copies[:6])))


def test_an_example_without_a_response_is_nobodys_neighbor() -> None:
    texts = ["A river runs north.", "Bake the bread slowly.", "Seven is a prime number.", "The violin is out of tune."]
    rows = [Example(f"{n:032x}", "test", (Message("user", "Say something."), Message("assistant", text))) for n, text in enumerate(texts)]
    empty = [Example(f"{n:032x}", "test", (Message("user", "Say something."), Message("assistant", ""))) for n in range(8, 12)]
    near = NeighborDistance(i=2, precision="fp32")
    assert list(near.score(Batch((*rows, *empty))).values[:4]) == list(near.score(Batch(tuple(rows))).values)
