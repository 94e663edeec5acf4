"""The plausibility model: what ships is what was trained, a value depends on nothing but its row, and odd input gives a value or a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import ModelRefused, ModelUnavailable
from instructsel.models import plausibility
from instructsel.models.load import locate
from instructsel.models.plausibility import END, LIMIT, PROMPT, PlausibilityModel, joined

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

ROOT = Path(__file__).resolve().parents[2]
OWN = [json.loads(line) for line in (ROOT / "benchmarks/models/embedded_reward/own_pairs.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def model() -> PlausibilityModel:
    return PlausibilityModel.load(precision="fp32")


def file_of_weights() -> Path:
    return Path(plausibility.__file__).with_name(plausibility.WEIGHTS)


def reference(pairs: list[tuple[str, str]]) -> list[float]:
    """The same by transformers' own BERT, a row at a time, the changes added to its weights here."""
    base = locate("embedded", needed_by="the test")
    bert = transformers.BertModel.from_pretrained(str(base.folder), add_pooling_layer=False, dtype=torch.float32).eval()
    state = {name: value.float() for name, value in safetensors.load_file(str(file_of_weights())).items()}
    weights = dict(bert.named_parameters())
    changed = 0
    with torch.no_grad():
        for name in state:
            if name.endswith(".A"):
                weights[f"encoder.layer.{name[:-2]}.weight"] += state[f"{name[:-2]}.B"] @ state[name]
                changed += 1
    assert changed == 24
    tokenizer = plausibility.load_tokenizer(base)
    found = []
    for prompt, response in pairs:
        first, second = (np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32) for text in (prompt, response))
        ids, start, _ = joined(first, second)
        kinds = (np.arange(len(ids)) >= start).astype(np.int64)
        with torch.no_grad():
            hidden = bert(input_ids=torch.from_numpy(ids.astype(np.int64))[None], token_type_ids=torch.from_numpy(kinds)[None])
            pooled = hidden.last_hidden_state[0, start:].mean(0)
            found.append(float(pooled @ state["head.0.weight"][0] + state["head.0.bias"][0]))
    return found


def test_values_are_those_of_transformers_with_the_changes_added(model: PlausibilityModel) -> None:
    pairs = [(row["prompt"], row[side]) for row in OWN[::6] for side in ("better", "worse")] + [("long " * 300, "word " * 400), ("x", "y")]
    assert np.allclose(model.score(pairs).values, reference(pairs), atol=1e-4)


def test_a_value_is_the_same_to_the_bit_alone_and_in_any_company(model: PlausibilityModel) -> None:
    pairs = [(row["prompt"], row[side]) for row in OWN for side in ("better", "worse")]
    whole = model.score(pairs).values
    order = np.random.default_rng(0).permutation(len(pairs))
    assert (model.score([pairs[at] for at in order]).values == whole[order]).all()
    assert [float(model.score([pairs[at]]).values[0]) for at in (0, 17, 101)] == [whole[0], whole[17], whole[101]]


def test_the_weights_are_small_and_their_own(model: PlausibilityModel) -> None:
    assert file_of_weights().stat().st_size <= 3_000_000
    assert model.fingerprint["name"] == "instructsel/plausibility"
    assert model.fingerprint["digest"] == plausibility.file_digest(file_of_weights())


@pytest.mark.parametrize(
    "prompt, response",
    [
        ("Say yes.", "yes"),
        ("Write a program.", "def f(x):\n\treturn {k: v for k, v in x.items() if v is not None}  # ☃\n" * 20),
        ("Tell a long story.", "once upon a time " * 2500),
        ("word " * 10_000, "ok"),
        ("", "An answer to nothing."),
        ("Translate.", "Добрый день, как у вас дела? 今日はいい天気ですね。 مرحبا بالعالم"),
        ("?", "\x00\x07\u200b\ufeff"),
        ("[SEP] [CLS] [PAD]", "[MASK] [SEP] [UNK]"),
        ("a", "\ud83d lone surrogate"),
        ("🙂" * 50, "🙃" * 300),
    ],
)
def test_odd_input_gives_a_value_or_a_reason(model: PlausibilityModel, prompt: str, response: str) -> None:
    found = model.score([(prompt, response)])
    assert np.isfinite(found.values).all()
    assert found.reasons[0] in (None, "unsupported_language")


def test_prompts_in_other_scripts_have_a_reason_and_foreign_answers_a_value(model: PlausibilityModel) -> None:
    found = model.score(
        [("請問今天天氣如何?", "今天天氣很好。"), ("Как дела?", "Хорошо."), ("What is the weather like?", "今天天氣很好。")]
    )
    assert found.reasons == ["unsupported_language", "unsupported_language", None]


def test_what_is_too_long_loses_its_middle_and_is_counted(model: PlausibilityModel) -> None:
    found = model.score([("Why?", "word " * 1000), ("Why?", "word " * 50), ("word " * 400, "Because.")])
    assert found.truncated.tolist() == [True, False, True]
    prompt, response = np.arange(1000, dtype=np.int32), np.arange(5000, 6000, dtype=np.int32)
    ids, start, cut = joined(prompt, response)
    assert len(ids) == LIMIT and cut and start == PROMPT + 2
    assert ids[-2] == 5999 and ids[start] == 5000 and (ids[-1 - END : -1] == np.arange(6000 - END, 6000)).all()
    assert ids[1] == 0 and ids[start - 2] == 999


def test_a_conversation_whose_prompt_would_be_cut_has_a_reason_and_no_value(model: PlausibilityModel) -> None:
    short, long_response, long_prompt = ("Why?", "word " * 50), ("Why?", "word " * 1000), ("word " * 400, "Because.")
    # Beside a short response a prompt of 100 word pieces fits, beside a long one only 64 do.
    beside_short, beside_long = ("word " * 100, "Because."), ("word " * 100, "word " * 300)
    questions = [
        ("user", prompt, "assistant", response) for prompt, response in (short, long_response, long_prompt, beside_short, beside_long)
    ]
    answers = model.answer(questions)
    assert answers.reasons == [None, None, "prompt_truncated", None, "prompt_truncated"]
    assert answers.truncated.tolist()[:2] == [False, True]
    scored = model.score([short, long_response, long_prompt])
    assert (answers.values[:2] == scored.values[:2]).all() and answers.values[2] == 0.0
    # Answers of the first version, which cut prompts, are not those of the second.
    assert model.fingerprint["prompts"] == "whole"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.integers(0, 700))
def test_prompt_and_response_fit_whatever_their_length(first: int, second: int) -> None:
    ids, start, cut = joined(np.full(first, 7, np.int32), np.full(second, 9, np.int32))
    assert len(ids) <= LIMIT and cut == (first + second > LIMIT - 3)
    assert (ids == 9).sum() == len(ids) - start - 1 and (ids == 7).sum() == start - 2
    if second >= LIMIT and first >= PROMPT:
        assert (ids == 7).sum() == PROMPT


def test_weights_of_another_encoder_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = safetensors.load_file(str(file_of_weights()))
    safetensors.save_file(state, tmp_path / "other.safetensors", metadata={"about": json.dumps({"features": "mean", "base": "0" * 64})})
    with pytest.raises(ModelRefused, match="another encoder"):
        PlausibilityModel.load(weights=tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(file_of_weights().read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        PlausibilityModel.load(weights=tmp_path / "damaged.safetensors")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        PlausibilityModel.load(weights=tmp_path / "missing.safetensors")
