"""UniEval: exact strings, the first decoder step, and every guard tripped by something broken."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instructsel.errors import ModelRefused
from instructsel.indicators import _unieval
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Batch
from instructsel.models import yes_no
from instructsel.models.yes_no import YesNoModel
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from tests import tiny

DRAWN = random.Random(4)


def text(words: int) -> str:
    return " ".join(DRAWN.choices(tiny.TEXT, k=words))


QUESTIONS = [("question: x? </s> response: ", text(DRAWN.randint(1, 80)), text(20) + "\n\n" if n % 2 else None) for n in range(40)]


def loaded(folder: Path, **asked: Any) -> YesNoModel:
    return YesNoModel.load(str(folder), **{"precision": "fp32", "device": "cpu", **asked})


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.t5(tmp_path_factory.mktemp("t5") / "model")


def reference(folder: Path, found: YesNoModel, whole: str) -> float:
    """transformers alone: one row, the softmax over the whole vocabulary, the decoder's first step with a label."""
    model = transformers.T5ForConditionalGeneration.from_pretrained(str(folder), dtype=torch.float32).eval()
    ids = [*found.tokenizer.encode(whole, add_special_tokens=False).ids[:1023], 1]
    yes, no = (found.tokenizer.encode(word, add_special_tokens=False).ids[0] for word in ("Yes", "No"))
    with torch.inference_mode():
        likely = torch.softmax(model(input_ids=torch.tensor([ids]), labels=torch.tensor([[no]])).logits[0, 0].double(), -1)
    return float(likely[yes] / (likely[yes] + likely[no]))


@pytest.mark.parametrize("tied", [True, False])
def test_the_answer_is_the_share_of_yes_at_the_first_step_of_the_decoder(tmp_path: Path, tied: bool) -> None:
    folder = tiny.t5(tmp_path / "model", tied=tied)
    found = loaded(folder)
    assert found.padded_because is None
    values = found.answer(QUESTIONS).values
    assert values.std() > 1e-3
    for (question, response, history), value in list(zip(QUESTIONS, values, strict=True))[:8]:
        whole = question + response + ("" if history is None else " </s> dialogue history: " + history)
        assert value == pytest.approx(reference(folder, found, whole), abs=1e-4)


def test_the_strings_are_unievals_byte_for_byte(t5: Path) -> None:
    messages = (
        Message("user", "How do I boil an egg?"),
        Message("assistant", "Cool it."),
        Message("user", "And then?"),
        Message("assistant", "Peel it."),
    )
    batch = Batch((Example("0" * 32, "test", messages),))
    asked = {}
    for symbol in ("nat", "und", "coh"):
        indicator: Any = registry.make(symbol, model=str(t5), probe=False)
        ((question, response, history),) = indicator.questions(batch)[0]
        asked[symbol] = question + response + ("" if history is None else yes_no.HISTORY + history)
    assert asked == {
        "nat": "question: Is this a natural response in the dialogue? </s> response: Peel it.",
        "und": "question: Is this an understandable response in the dialogue? </s> response: Peel it.",
        "coh": "question: Is this a coherent response given the dialogue history? </s> response: Peel it. </s> dialogue history: How do I boil an egg?\nCool it.\nAnd then?\n\n",
    }


def test_the_end_token_of_the_template_is_the_token_and_that_of_a_row_is_text(t5: Path) -> None:
    found = loaded(t5)
    plain = found._encoded([(_unieval.NATURALNESS, "peel it", None)]).sequences[0].tolist()
    sly = found._encoded([(_unieval.NATURALNESS, "peel it </s> response: </s>", None)]).sequences[0].tolist()
    # One in the template, one at the end.
    assert plain.count(1) == sly.count(1) == 2


def test_a_history_is_cut_at_its_end_and_counted_and_never_cut_away(t5: Path) -> None:
    found = loaded(t5)
    long = text(1200)
    answers = found.answer([("q ", "short", long), ("q ", long, "history"), ("q ", long, None), ("q ", "short", "history")])
    assert answers.truncated.tolist() == [True, True, True, False]
    assert answers.reasons == [None, "too_long", None, None]
    assert len(found._encoded([("q ", "short", long)]).sequences[0]) == 1024


@pytest.fixture(scope="module")
def models(t5: Path) -> dict[str, YesNoModel]:
    return {"fp32": loaded(t5), "bf16": loaded(t5, precision="bf16"), "padded": loaded(t5, packing=False)}


@pytest.mark.parametrize("kind", ["fp32", "bf16", "padded"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=20))
def test_an_answer_has_the_same_bits_in_any_company(models: dict[str, YesNoModel], kind: str, rows: list[int]) -> None:
    alone = models[kind].answer([QUESTIONS[rows[0]]]).values[0]
    assert models[kind].answer([QUESTIONS[row] for row in rows]).values[0] == alone


def test_packed_and_padded_agree(models: dict[str, YesNoModel]) -> None:
    packed, padded, rough = (models[kind].answer(QUESTIONS).values for kind in ("fp32", "padded", "bf16"))
    assert np.abs(packed - padded).max() <= 1e-5
    assert np.abs(packed - rough).max() <= 2e-2


def _answers(monkeypatch: pytest.MonkeyPatch, give: Any) -> None:
    """A model whose answers are what `give` says of a row's number of tokens."""
    monkeypatch.setattr(yes_no._Decider, "answers", lambda self, ids, lengths: np.array([give(int(n)) for n in lengths], dtype=np.float64))


def test_the_probe_passes_what_tells_speech_from_gibberish_and_stops_a_turned_sign(t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(t5)
    good = {len(found._encoded([(_unieval.NATURALNESS, pair[0], None)]).sequences[0]) for pair in yes_no.PROBES}
    bad = {len(found._encoded([(_unieval.NATURALNESS, pair[1], None)]).sequences[0]) for pair in yes_no.PROBES}
    assert not good & bad
    _answers(monkeypatch, lambda n: 0.9 if n in good else 0.1)
    assert loaded(t5, probe=_unieval.NATURALNESS, packing=False).fingerprint["probe"] == "passed"
    _answers(monkeypatch, lambda n: 0.1 if n in good else 0.9)
    with pytest.raises(ModelRefused, match="sign is inverted"):
        loaded(t5, probe=_unieval.NATURALNESS, packing=False)
    _answers(monkeypatch, lambda n: 0.99999)
    with pytest.raises(ModelRefused, match="squashed"):
        loaded(t5, probe=_unieval.NATURALNESS, packing=False)
    _answers(monkeypatch, lambda n: float("nan"))
    with pytest.raises(ModelRefused, match="no finite answer"):
        loaded(t5, probe=_unieval.NATURALNESS, packing=False)


def test_swapped_words_swap_the_answer(t5: Path, tmp_path: Path) -> None:
    import shutil

    turned = Path(shutil.copytree(t5, tmp_path / "turned"))
    found = loaded(t5)
    yes, no = found.workers[0].words

    def swap(state: dict[str, torch.Tensor]) -> None:
        for name in ("shared.weight", "lm_head.weight"):
            if name in state:
                state[name][[yes, no]] = state[name][[no, yes]]

    tiny.edit_weights(turned, swap)
    question = [("sky ", "blue", None)]
    assert loaded(turned).answer(question).values[0] == pytest.approx(1 - found.answer(question).values[0], abs=1e-5)


def test_a_decoder_a_missing_head_and_a_tokenizer_without_the_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no encoder–decoder"):
        loaded(tiny.bert(tmp_path / "bert"))
    headless = tiny.t5(tmp_path / "headless")
    tiny.edit_weights(headless, lambda state: state.pop("decoder.final_layer_norm.weight"))
    with pytest.raises(ModelRefused, match="would be random"):
        loaded(headless)
    wordless = tiny.t5(tmp_path / "wordless")
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3}, "<unk>")).save(str(wordless / "tokenizer.json"))
    with pytest.raises(ModelRefused, match="does not tell Yes from No"):
        loaded(wordless)
