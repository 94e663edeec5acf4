"""Encoders of other kinds: what sentence-transformers gives, with the same bits in any company."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructsel.errors import MissingExtra, ModelRefused, UntrustedModel
from instructsel.models.load import locate
from instructsel.neighbors.encoder import Encoder
from tests import tiny

library = pytest.importorskip("sentence_transformers")
from sentence_transformers.sentence_transformer import modules  # noqa: E402 - after the skip

DRAWN = random.Random(3)
TEXTS = [" ".join(DRAWN.choices(tiny.TEXT, k=length)) for length in (1, 3, 5, 9, 20, 21, 22, 60, 90)]


def distilbert(folder: Path) -> Path:
    """A transformer that is no BERT, without modules.json."""
    tiny.bert(folder, labels=None)
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        vocab_size=400, dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.2, pad_token_id=0
    )
    transformers.DistilBertModel(config).save_pretrained(str(folder))
    return folder


def saved(folder: Path, base: Path, *others: Any, **settings: Any) -> Path:
    """A folder as SentenceTransformer.save makes it: a transformer and other modules."""
    torch.manual_seed(1)
    transformer = modules.Transformer(str(base), max_seq_length=64)
    library.SentenceTransformer(modules=[transformer, *others], device="cpu", **settings).save(str(folder))
    return folder


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def same_bits_in_any_company(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS).vectors
    assert all((encoder.encode([text]).vectors[0] == row).all() for text, row in zip(TEXTS, together, strict=True))
    assert (encoder.encode(TEXTS[::-1]).vectors == together[::-1]).all()
    assert (encoder.encode([TEXTS[4]] * 100).vectors == together[4]).all()


def dense(tmp_path: Path, **settings: Any) -> Path:
    return saved(tmp_path / "dense", tiny.bert(tmp_path / "base", labels=None), modules.Pooling(32), modules.Dense(32, 16), **settings)


def test_a_layer_behind_the_pooling_is_computed(tmp_path: Path) -> None:
    folder = dense(tmp_path)
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    assert encoder.dimension == 16
    assert encoder.fingerprint["pooling"] == "Transformer, Pooling, Dense"
    vectors = encoder.encode(TEXTS).vectors
    assert vectors.shape == (len(TEXTS), 16)
    theirs = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    assert np.abs(vectors - unit(theirs)).max() < 1e-5
    same_bits_in_any_company(encoder)


def test_an_encoder_of_another_kind_is_run_padded_and_has_the_same_bits_in_any_company(tmp_path: Path) -> None:
    folder = distilbert(tmp_path / "model")
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    assert encoder.fingerprint["batches"] == "padded"
    same_bits_in_any_company(encoder)
    model, tokenizer = transformers.AutoModel.from_pretrained(str(folder)).eval(), transformers.AutoTokenizer.from_pretrained(str(folder))
    for text, row in zip(TEXTS, encoder.encode(TEXTS).vectors, strict=True):
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
        assert np.abs(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy() - row).max() < 1e-5


@pytest.mark.parametrize("mode", ["max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean", ("mean", "max")])
def test_every_pooling_of_the_library_is_what_it_is_there(tmp_path: Path, mode: Any) -> None:
    folder = saved(tmp_path / "model", tiny.bert(tmp_path / "base", labels=None), modules.Pooling(32, mode))
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    theirs = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    assert np.abs(encoder.encode(TEXTS).vectors - unit(theirs)).max() < 1e-5
    same_bits_in_any_company(encoder)


def test_a_bert_with_mean_or_first_token_pooling_needs_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny.bert(tmp_path / "base", labels=None)
    folders = {mode: saved(tmp_path / mode, base, modules.Pooling(32, mode), modules.Normalize()) for mode in ("mean", "cls")}
    theirs = {mode: library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1) for mode, folder in folders.items()}
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    for mode, folder in folders.items():
        encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
        assert encoder.fingerprint["batches"] == "packed"
        assert encoder.pooling == mode
        assert np.abs(encoder.encode(TEXTS).vectors - theirs[mode]).max() < 1e-5


def test_without_the_library_the_extra_that_brings_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dense(tmp_path)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match="needs 'sentence_transformers'") as caught:
        Encoder.load(str(folder))
    assert "instructsel[encoders]" in str(caught.value.fix)


def test_a_default_prompt_is_put_before_every_text(tmp_path: Path) -> None:
    base = tiny.bert(tmp_path / "base", labels=None)
    folder = saved(tmp_path / "model", base, modules.Pooling(32), prompts={"all": "explain why "}, default_prompt_name="all")
    bare = saved(tmp_path / "bare", base, modules.Pooling(32))
    prompted = Encoder.load(str(folder), precision="fp32", device="cpu")
    assert (
        np.abs(
            prompted.encode(TEXTS).vectors - unit(library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1))
        ).max()
        < 1e-5
    )
    by_hand = Encoder.load(str(bare), precision="fp32", device="cpu").encode([f"explain why {text}" for text in TEXTS]).vectors
    assert np.abs(prompted.encode(TEXTS).vectors - by_hand).max() < 1e-5


def test_what_is_cut_is_counted(tmp_path: Path) -> None:
    encoder = Encoder.load(str(dense(tmp_path)), precision="fp32", device="cpu")
    sizes = [len(encoder.model.model.tokenizer(text, truncation=False)["input_ids"]) for text in TEXTS]
    assert encoder.max_length == 64
    assert encoder.encode(TEXTS).truncated.tolist() == [size > 64 for size in sizes]
    assert any(size > 64 for size in sizes) and any(size <= 64 for size in sizes)


def test_control_tokens_spelled_out_are_read_as_text(tmp_path: Path) -> None:
    encoder = Encoder.load(str(dense(tmp_path)), precision="fp32", device="cpu")
    (spelled,) = [row.tolist() for row in [encoder.model.tokenize(["[SEP] [SEP]"])[0]]]
    assert spelled.count(encoder.model.model.tokenizer.convert_tokens_to_ids("[SEP]")) == 1


def test_static_embeddings_run_text_by_text(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer(tmp_path / "tokenizer", ["[PAD]"])
    torch.manual_seed(0)
    static = modules.StaticEmbedding(tokenizer, embedding_dim=8)
    library.SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"))
    encoder = Encoder.load(str(tmp_path / "static"), precision="fp32", device="cpu")
    assert encoder.fingerprint["batches"] == "single"
    assert np.abs(np.linalg.norm(encoder.encode(TEXTS).vectors, axis=1) - 1).max() < 1e-6
    same_bits_in_any_company(encoder)


def test_the_digest_covers_every_module_and_the_settings_cover_theirs(tmp_path: Path) -> None:
    folder = dense(tmp_path)
    before = locate(str(folder), needed_by="the test")
    settings_before = before.settings
    config = folder / "2_Dense" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"activation_function": "torch.nn.modules.linear.Identity"}))
    assert locate(str(folder), needed_by="the test").settings != settings_before
    weights = folder / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert locate(str(folder), needed_by="the test").digest != before.digest


def test_pickled_weights_of_a_module_are_refused(tmp_path: Path) -> None:
    folder = dense(tmp_path)
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UntrustedModel, match=r"2_Dense only as pytorch_model\.bin"):
        Encoder.load(str(folder))


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "subprocess.Popen", "path": ""},
        {"type": "mymodule.Dense", "path": "2_Dense"},
        {"type": "sentence_transformers.models.Dense", "path": "../2_Dense"},
    ],
)
def test_a_module_of_somebody_else_is_refused(tmp_path: Path, entry: dict[str, str]) -> None:
    folder = dense(tmp_path)
    listed = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*listed[:2], listed[2] | entry]))
    with pytest.raises(UntrustedModel, match=r"which is not of|outside the model"):
        Encoder.load(str(folder))


def test_what_the_library_cannot_load_is_refused(tmp_path: Path) -> None:
    folder = dense(tmp_path)
    (folder / "2_Dense" / "config.json").write_text("{}")
    with pytest.raises(ModelRefused, match="dense cannot be loaded by sentence-transformers"):
        Encoder.load(str(folder))
