"""Language models: plain transformers at batch 1 is the reference, and every guard is tripped by something broken."""

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
from scipy.stats import spearmanr

from instructsel.errors import ModelRefused, ModelUnavailable, UntrustedModel
from instructsel.models import likelihood, runner
from instructsel.models.likelihood import LikelihoodModel
from tests import tiny

DRAWN = random.Random(3)


def text(words: int) -> str:
    return " ".join(DRAWN.choices(tiny.TEXT, k=words))


QUESTIONS = [(None if n % 3 == 0 else text(DRAWN.randint(1, 40)) + "\n", text(DRAWN.randint(1, 80))) for n in range(48)]


def loaded(folder: Path, **asked: Any) -> LikelihoodModel:
    return LikelihoodModel.load(str(folder), **{"precision": "fp32", "device": "cpu", "probe": False, **asked})


def reference(folder: Path, found: LikelihoodModel, question: tuple[str | None, str]) -> float:
    """transformers alone, one row, the whole logits."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    context, answer = (found.tokenizer.encode(part, add_special_tokens=False).ids if part else [] for part in question)
    ids = torch.tensor([[found.start, *context, *answer]])
    labels = ids.clone()
    labels[0, : 1 + len(context)] = -100
    with torch.inference_mode():
        return float(model(input_ids=ids, labels=labels).loss)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("gpt2") / "model", train=True)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "gpt_neox"])
def test_a_packed_likelihood_is_that_of_transformers_at_batch_1(tmp_path: Path, kind: str) -> None:
    folder = tiny.causal(tmp_path / kind, kind)
    found = loaded(folder)
    assert found.padded_because is None
    answers = found.answer(QUESTIONS)
    assert answers.values.std() > 0.05 and not any(answers.reasons)
    for question, value in list(zip(QUESTIONS, answers.values, strict=True))[:12]:
        assert value == pytest.approx(reference(folder, found, question), abs=1e-4)


def test_an_architecture_whose_neighbors_would_leak_is_padded_instead(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "mamba", "mamba")
    found = loaded(folder)
    assert found.padded_because is not None and "differs from the row alone" in found.padded_because
    assert found.fingerprint["batches"] == "padded"
    for question, value in zip(QUESTIONS[:6], found.answer(QUESTIONS[:6]).values, strict=True):
        assert value == pytest.approx(reference(folder, found, question), abs=1e-4)


def test_attention_that_forgets_the_boundaries_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.causal(tmp_path / "llama", "llama")
    whole = likelihood.packing.Boundaries
    # Every row sees the rows before it, as with position ids alone.
    monkeypatch.setattr(whole, "groups", property(lambda self: [(0, 1, int(self.lengths.sum()))]))
    assert loaded(folder).padded_because is not None


@pytest.fixture(scope="module")
def models(gpt2: Path) -> dict[str, LikelihoodModel]:
    return {"fp32": loaded(gpt2), "bf16": loaded(gpt2, precision="bf16"), "padded": loaded(gpt2, packing=False)}


@pytest.mark.parametrize("kind", ["fp32", "bf16", "padded"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=30), threads=st.integers(1, 3))
def test_a_likelihood_has_the_same_bits_in_any_company(
    models: dict[str, LikelihoodModel], kind: str, rows: list[int], threads: int
) -> None:
    found = models[kind]
    alone = found.answer([QUESTIONS[rows[0]]]).values[0]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = found.answer([QUESTIONS[row] for row in rows]).values
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert together[0] == alone


def test_bf16_stays_near_fp32_and_keeps_the_order(models: dict[str, LikelihoodModel], tmp_path: Path) -> None:
    exact = loaded(tiny.causal(tmp_path / "llama", "llama", hidden_size=256, intermediate_size=512, initializer_range=0.06))
    rough = loaded(exact.source.folder, precision="bf16")
    questions = [(None, text(DRAWN.randint(1, 60))) for _ in range(200)]
    a, b = exact.answer(questions).values, rough.answer(questions).values
    assert np.abs(a - b).max() <= 2e-2
    assert spearmanr(a, b).statistic >= 0.999


def test_more_vocabulary_and_more_rows_than_stand_in_memory_change_nothing(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loaded(gpt2).answer(QUESTIONS).values
    monkeypatch.setitem(likelihood.VOCABULARY, "cpu", 64)
    monkeypatch.setitem(likelihood.ROWS, "cpu", 16)
    assert loaded(gpt2).answer(QUESTIONS).values == pytest.approx(whole, abs=1e-5)


def test_the_probe_lets_a_trained_model_pass_and_stops_a_turned_sign(gpt2: Path, tmp_path: Path) -> None:
    assert loaded(gpt2, probe=True).fingerprint["probe"] == "passed"
    folder = tiny.causal(tmp_path / "turned", train=True, tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].neg_())
    with pytest.raises(ModelRefused, match="gibberish likelier"):
        loaded(folder, probe=True)


def test_the_probe_stops_a_head_that_says_the_same_of_everything(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "flat", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].zero_())
    with pytest.raises(ModelRefused, match="equally likely"):
        loaded(folder, probe=True)


def test_a_model_that_gives_no_number_is_null_and_never_passes_the_probe(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "nan", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].fill_(float("nan")))
    answers = loaded(folder).answer(QUESTIONS[:3])
    assert answers.reasons == ["not_finite"] * 3 and (answers.values == 0).all()
    with pytest.raises(ModelRefused, match="no finite likelihood"):
        loaded(folder, probe=True)


def test_a_head_that_is_missing_is_refused_and_never_made_up(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "headless", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state.pop("lm_head.weight"))
    with pytest.raises(ModelRefused, match="would be random"):
        loaded(folder)


def test_a_model_that_sees_what_it_is_to_predict_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "bert"
    made = tiny.tokenizer(folder, ["[PAD]", "[SEP]", "[CLS]"], pair=True)
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
    )
    transformers.BertLMHeadModel(config).save_pretrained(str(folder))
    with pytest.raises(ModelRefused, match="sees the tokens it is to predict"):
        loaded(folder)


def test_a_classifier_is_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused):
        loaded(tiny.neox_reward(tmp_path / "reward"))


def test_pickled_weights_and_code_of_a_repository_are_refused(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "model")
    tiny.edit(folder, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    with pytest.raises(UntrustedModel, match="auto_map"):
        loaded(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UntrustedModel, match="can run code"):
        loaded(folder)


def test_a_model_that_is_not_here_is_unavailable_and_the_fix_fetches_it() -> None:
    with pytest.raises(ModelUnavailable) as refused:
        LikelihoodModel.load("some-owner/some-model", revision="abc")
    assert "hf download some-owner/some-model --revision abc" in str(refused.value.fix)


def test_a_context_is_cut_from_its_beginning_and_never_away(gpt2: Path) -> None:
    found = loaded(gpt2, max_length=64)
    long, short = text(200), "cool it under cold water"
    answers = found.answer([(long, short), ("boil", short), (None, long), ("boil", long)])
    assert answers.truncated.tolist() == [True, False, True, True]
    assert answers.reasons == [None, None, None, "too_long"]
    encoded, begins = found._encoded([(long, short)])
    tail = found.tokenizer.encode(short, add_special_tokens=False).ids
    assert len(encoded.sequences[0]) == 64 and encoded.sequences[0][begins[0] :].tolist() == tail
    assert encoded.sequences[0][1 : begins[0]].tolist() == found.tokenizer.encode(long, add_special_tokens=False).ids[-(63 - len(tail)) :]


def test_a_text_of_unknown_tokens_is_null(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "model")
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(
        models.WordLevel({"<unk>": 0, "<|endoftext|>": 1, **{word: n + 2 for n, word in enumerate(sorted(set(tiny.TEXT)))}}, "<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    answers = loaded(folder).answer([(None, "boil an egg"), (None, "数 え て"), (None, "boil an egg please 数")])
    assert answers.reasons == [None, "unsupported_language", None]


def test_control_tokens_spelled_out_in_a_row_stay_text(gpt2: Path) -> None:
    found = loaded(gpt2)
    encoded, _ = found._encoded([("a<|endoftext|>b", "c<|endoftext|>d")])
    assert encoded.sequences[0].tolist().count(1) == 1


def test_out_of_memory_halves_the_batch_and_then_quarantines_the_row(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(gpt2)
    whole = found.answer(QUESTIONS).values
    real = likelihood._Causal.means

    def limited(most: int) -> Any:
        def means(self: Any, ids: np.ndarray, lengths: np.ndarray, begins: np.ndarray) -> np.ndarray:
            if len(ids) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return real(self, ids, lengths, begins)

        return means

    monkeypatch.setattr(likelihood._Causal, "means", limited(512))
    answers = found.answer(QUESTIONS)
    assert not any(answers.reasons) and answers.report.reduced == len(QUESTIONS)
    assert answers.values == pytest.approx(whole, abs=1e-5)
    monkeypatch.setattr(runner, "CPU_TOKENS", 512)
    monkeypatch.setattr(likelihood._Causal, "means", real)
    assert loaded(gpt2).answer(QUESTIONS).values.tolist() == answers.values.tolist()
    monkeypatch.setattr(likelihood._Causal, "means", limited(128))
    answers = found.answer([(None, text(120)), *QUESTIONS[:9]])
    assert answers.reasons[0] == "out_of_memory" and answers.reasons.count(None) >= 5
