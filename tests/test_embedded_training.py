"""What the plausibility model was taught with: only what may be, spoilt in the ways that are named, with lengths balanced."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "models" / "embedded_reward"


def loaded(name: str) -> ModuleType:
    """A script of the folder as a module of the name the others import it by."""
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


corruption = loaded("corruption")
texts = loaded("texts")
POOL = [
    corruption.Example(
        f"Tell me about number {n}. What is it good for?",
        f"Number {n} is a number. It follows {n - 1} in the list. People use it to count {n} things! It has {len(str(n))} digits.",
    )
    for n in range(60)
]


@pytest.mark.parametrize("kind", corruption.KINDS)
def test_a_spoilt_answer_differs_from_the_original_which_is_the_better_one(kind: str) -> None:
    chance = random.Random(1)
    made = [corruption.corrupt(kind, example, POOL, chance) for example in POOL]
    found = [(example, each) for example, each in zip(POOL, made, strict=True) if each is not None]
    assert len(found) > 40
    for example, each in found:
        assert each.prompt == example.prompt and each.worse.split() != each.better.split()
        # For answers broken off the better one may be the part that ends with its sentence.
        assert each.better == example.response or (kind == "truncated" and example.response.startswith(each.better))


@pytest.mark.parametrize("kind", corruption.KINDS)
@settings(max_examples=40, deadline=None)
@given(prompt=st.text(max_size=60), response=st.text(max_size=200), seed=st.integers(0, 99))
def test_no_text_is_too_odd_to_be_spoilt(kind: str, prompt: str, response: str, seed: int) -> None:
    corruption.corrupt(kind, corruption.Example(prompt, response), POOL, random.Random(seed))


def test_the_same_seed_spoils_in_the_same_way() -> None:
    for kind in corruption.KINDS:
        assert corruption.corrupt(kind, POOL[7], POOL, random.Random(3)) == corruption.corrupt(kind, POOL[7], POOL, random.Random(3))


def test_nothing_that_teaches_is_used_to_judge() -> None:
    train, test = corruption.Words.load("train"), corruption.Words.load("test")
    assert len(train.refusals) == 48 and len(test.refusals) == 12
    assert not set(train.refusals) & set(test.refusals)
    assert len(train.other_languages) == 80 and len(test.other_languages) == 40
    assert not set(train.other_languages) & set(test.other_languages)
    written = (FOLDER / "own_pairs.jsonl").read_text(encoding="utf-8")
    assert not [text for text in (*train.refusals, *train.other_languages) if len(text) > 30 and text in written]


def test_truncated_answers_are_often_the_longer_ones() -> None:
    chance = random.Random(5)
    made = [corruption.corrupt("truncated", example, POOL, chance) for example in POOL * 5]
    longer = [len(each.worse) > len(each.better) for each in made if each is not None]
    assert 0.3 < sum(longer) / len(longer) < 0.7


def pair(better: str, worse: str, family: str = "oasst", group: str = "g") -> Any:
    return texts.Pair("p", better, worse, family, "ranks", group)


def test_weights_make_the_longer_answer_the_better_one_in_half_of_every_bin() -> None:
    pairs = (
        [pair("a" * 100, "b" * 60)] * 70
        + [pair("a" * 60, "b" * 100)] * 30
        + [pair("a" * 100, "b" * 99)] * 20
        + [pair("a" * 98, "b" * 100)] * 5
    )
    weights = texts.balanced(pairs)
    for low, high in ((0, 100), (100, 125)):
        longer = sum(weight for weight, each in zip(weights[low:high], pairs[low:high], strict=True) if len(each.better) >= len(each.worse))
        assert longer == pytest.approx(sum(weights[low:high]) / 2)


def test_a_lone_pair_does_not_outweigh_the_rest() -> None:
    assert max(texts.balanced([pair("a" * 100, "b" * 60)] * 200 + [pair("a" * 60, "b" * 100)])) == 4.0


def test_pairs_of_one_group_are_never_parted() -> None:
    kept = {group: {texts.held_out(pair("a", "b", group=group)) for _ in range(3)} for group in map(str, range(500))}
    assert all(len(each) == 1 for each in kept.values())
    assert 0.15 < Counter(each.pop() for each in kept.values())[True] / 500 < 0.25


def test_only_what_may_be_redistributed_can_be_opened(shared_data: Path) -> None:
    archive = texts.Archive(shared_data)
    for name in ("pools/alpaca.jsonl.zst", "preferences/dsp_helpful_test.jsonl.zst", "pools/not_there.jsonl.zst", "../MANIFEST.json"):
        with pytest.raises(PermissionError, match="may not teach"):
            archive.rows(name)
    pairs = [*texts.ranked(archive), *texts.corrupted(archive, 300, 0)]
    assert set(archive.read) == {
        "pools/dolly.jsonl.zst",
        "pools/gsm8k_train.jsonl.zst",
        "pools/oasst1_en_validation_messages.jsonl.zst",
        "pools/oasst_en_100_tree.jsonl.zst",
        "pools/self_instruct_seed_tasks.jsonl.zst",
    }
    assert Counter(each.family for each in pairs) == {"oasst": 1744, "corruption": 300}
    assert all(each.better.strip() and each.better != each.worse for each in pairs)
    assert texts.corrupted(archive, 300, 0) == [each for each in pairs if each.family == "corruption"]


def test_harmless_pairs_share_their_history(shared_data: Path) -> None:
    pairs = list(texts.harmless(texts.Archive(shared_data)))
    assert len(pairs) == 2303 and all(each.prompt and each.better != each.worse for each in pairs)
