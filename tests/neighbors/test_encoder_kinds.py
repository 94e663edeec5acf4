"""Encoders of every kind give what sentence-transformers gives, with the same bits in any company; others are refused by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import InstructselError, ModelRefused, UntrustedModel
from instructsel.indicators.base import Batch
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.neighbors.encoder import Encoder
from instructsel.pool.pool import Pool
from tests import tiny

library = pytest.importorskip("sentence_transformers")
import torch  # noqa: E402 - after the skip
from sentence_transformers.base.modules import Router  # noqa: E402 - after the skip
from sentence_transformers.sentence_transformer import modules  # noqa: E402 - after the skip

from tests import tiny_encoders as made_of  # noqa: E402 - after the skip

DRAWN = random.Random(3)
TEXTS = [" ".join(DRAWN.choices(tiny.TEXT, k=length)) for length in (1, 3, 9, 20, 21, 60, 90, 90, 90)] + [
    "",
    " ",
    "ÄÖ 你好 The SKY",
    "a\n\nb",
]

Maker = Callable[[Path], Path]


def of(base: Maker, *others: Callable[[], Any], **settings: Any) -> Maker:
    return lambda folder: made_of.saved(folder, base, *others, **settings)


def edited(make: Maker, file: str, **changes: Any) -> Maker:
    return lambda folder: made_of.edit(make(folder), file, **changes)


def renamed(make: Maker, old: str, new: str) -> Maker:
    def rename(folder: Path) -> Path:
        (make(folder) / old).rename(folder / new)
        return folder

    return rename


TRANSFORMER = "sentence_bert_config.json"
LIBRARY = "config_sentence_transformers.json"
POOLING, DENSE = made_of.pooling(), made_of.dense()
MODES = ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("mean", "max")]

PACKED: dict[str, Maker] = {
    "mean": of(made_of.bert, POOLING),
    "first token": of(made_of.bert, made_of.pooling("cls"), modules.Normalize),
    "a list of one mode": edited(of(made_of.bert, POOLING), "1_Pooling/config.json", pooling_mode=["mean"]),
    "no mode of the old layout": renamed(
        edited(of(made_of.bert, POOLING), "1_Pooling/old.json", word_embedding_dimension=32, pooling_mode_cls_token=False),
        "1_Pooling/old.json",
        "1_Pooling/config.json",
    ),
    "both layouts, the new one counts": edited(
        of(made_of.bert, made_of.pooling("cls")), "1_Pooling/config.json", pooling_mode_mean_tokens=True
    ),
    "no length but that of the positions": of(made_of.bert, POOLING, length=None),
    "a length": edited(of(made_of.bert, POOLING), TRANSFORMER, max_seq_length=20),
    "prompts that are not the default": of(made_of.bert, POOLING, prompts={"query": "query: "}),
    "prompts to be left out, and none": of(made_of.bert, made_of.pooling(include_prompt=False)),
    "no modules": made_of.bert,
}

THROUGH_THE_LIBRARY: dict[str, Maker] = {
    **{f"{mode} of a BERT": of(made_of.bert, made_of.pooling(mode)) for mode in MODES[2:]},
    **{f"{mode} of a RoBERTa": of(made_of.roberta, made_of.pooling(mode)) for mode in ("mean", "lasttoken")},
    **{f"{mode} of a decoder": of(made_of.qwen3, made_of.pooling(mode)) for mode in ("cls", "weightedmean", "lasttoken")},
    "a mode of the old layout": renamed(
        edited(of(made_of.bert, POOLING), "1_Pooling/old.json", word_embedding_dimension=32, pooling_mode_max_tokens=True),
        "1_Pooling/old.json",
        "1_Pooling/config.json",
    ),
    "a DistilBERT up to its last position": of(made_of.distilbert, POOLING, length=None),
    "a decoder up to its last position": of(made_of.qwen3, made_of.pooling("lasttoken"), length=None),
    "absolute positions up to the last": of(made_of.gpt2, made_of.pooling("lasttoken"), length=None),
    "an MPNet": of(made_of.mpnet, POOLING),
    "the encoder of a T5": of(made_of.t5, POOLING, DENSE, modules.Normalize),
    "an XLNet, which tells tokens apart by type": of(made_of.xlnet, POOLING),
    "a decoder with a chat template": of(lambda folder: made_of.qwen3(folder, chat_template=made_of.CHAT), made_of.pooling("lasttoken")),
    "a chat template and a prompt": of(
        lambda folder: made_of.qwen3(folder, chat_template=made_of.CHAT), made_of.pooling("lasttoken"), **made_of.PROMPT
    ),
    "Dense": of(made_of.bert, POOLING, DENSE),
    "two Dense": of(
        made_of.bert,
        POOLING,
        made_of.dense(32, 64, activation_function=torch.nn.GELU()),
        made_of.dense(64, 8, bias=False, activation_function=torch.nn.Identity()),
        modules.Normalize,
    ),
    "Dense with a way past it": of(made_of.bert, POOLING, made_of.dense(32, 32, use_residual=True)),
    "Dense before the pooling": of(made_of.bert, made_of.dense(module_input_name="token_embeddings"), made_of.pooling(width=16)),
    "Normalize in between": of(made_of.bert, POOLING, modules.Normalize, DENSE),
    "LayerNorm": of(made_of.bert, POOLING, lambda: modules.LayerNorm(32)),
    "Dropout": of(made_of.bert, POOLING, lambda: modules.Dropout(0.5), DENSE),
    "layers weighted": made_of.layers,
    "convolutions": of(made_of.bert, lambda: modules.CNN(32, out_channels=8, kernel_sizes=[1, 3]), made_of.pooling(width=16)),
    "words, recurrent": lambda folder: made_of.words(folder, lambda: modules.LSTM(8, hidden_dim=4), made_of.pooling(width=8)),
    "words, weighted": lambda folder: made_of.words(
        folder, lambda: modules.WordWeights(sorted(set(tiny.TEXT)), dict.fromkeys(tiny.TEXT, 2.0)), made_of.pooling(width=8)
    ),
    "static embeddings": made_of.static,
    "static embeddings, a prompt, Dense": lambda folder: made_of.static(folder, made_of.dense(8, 4), **made_of.PROMPT),
    "a bag of words": made_of.bag,
    "a default prompt": of(made_of.bert, POOLING, **made_of.PROMPT),
    **{
        f"a prompt left out of {mode}": of(made_of.bert, made_of.pooling(mode, include_prompt=False), **made_of.PROMPT)
        for mode in ("mean", "cls", "max", "weightedmean", "lasttoken")
    },
    "a prompt left out, padding on the left": of(made_of.qwen3, made_of.pooling(include_prompt=False), **made_of.PROMPT),
    "a prompt with a control token": of(made_of.bert, POOLING, prompts={"all": "[CLS] why "}, default_prompt_name="all"),
    "lower case": edited(of(made_of.bert, POOLING), TRANSFORMER, do_lower_case=True),
    "fewer dimensions": of(made_of.bert, POOLING, truncate_dim=8),
    "fewer dimensions of Dense": of(made_of.bert, POOLING, DENSE, truncate_dim=8),
    "fewer dimensions of a table": lambda folder: made_of.static(folder, truncate_dim=4),
    "a length of Dense's model": edited(of(made_of.bert, POOLING, DENSE), TRANSFORMER, max_seq_length=20),
    "a length for the tokenizer's call": edited(of(made_of.bert, POOLING), TRANSFORMER, processing_kwargs={"text": {"max_length": 12}}),
    "padding for the tokenizer's call": edited(
        of(made_of.bert, POOLING), TRANSFORMER, processing_kwargs={"text": {"padding": "max_length", "max_length": 30}}
    ),
    "settings under another name": renamed(
        edited(of(made_of.bert, POOLING), TRANSFORMER, max_seq_length=20), TRANSFORMER, "sentence_roberta_config.json"
    ),
    "cut on the left": edited(of(made_of.bert, POOLING), "tokenizer_config.json", truncation_side="left"),
    "the old layout": lambda folder: made_of.old_layout(folder, POOLING, DENSE),
    "an encoder of texts and images": made_of.clip,
    "no modules, and no BERT": made_of.distilbert,
}


def theirs(folder: Path, texts: list[str]) -> np.ndarray:
    """Unit vectors of sentence-transformers, each text alone."""
    vectors = library.SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=1)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def check(folder: Path) -> Encoder:
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    together = encoder.encode(TEXTS)
    assert together.vectors.shape == (len(TEXTS), encoder.dimension)
    assert np.abs(together.vectors - theirs(folder, TEXTS)).max() < 1e-5
    assert (encoder.encode(TEXTS[::-1]).vectors == together.vectors[::-1]).all()
    alone = [encoder.encode([text]) for text in TEXTS]
    assert all((single.vectors[0] == vector).all() for single, vector in zip(alone, together.vectors, strict=True))
    assert [bool(single.truncated[0]) for single in alone] == together.truncated.tolist()
    return encoder


@pytest.mark.parametrize("kind", PACKED)
def test_a_plain_bert_is_packed_and_gives_what_the_library_gives(tmp_path: Path, kind: str) -> None:
    assert check(PACKED[kind](tmp_path / "model")).fingerprint["batches"] == "packed"


@pytest.mark.parametrize("kind", THROUGH_THE_LIBRARY)
def test_every_other_encoder_gives_what_the_library_gives(tmp_path: Path, kind: str) -> None:
    fingerprint = check(THROUGH_THE_LIBRARY[kind](tmp_path / "model")).fingerprint
    assert fingerprint["batches"] != "packed"
    assert fingerprint["library"].startswith("sentence-transformers ")


@pytest.mark.parametrize("base", [made_of.roberta, made_of.mpnet])
def test_positions_that_begin_behind_the_padding_tokens_are_not_exceeded(tmp_path: Path, base: Maker) -> None:
    """66 positions, of which the first two are no token's; sentence-transformers itself fails over such a text."""
    folder = made_of.saved(tmp_path / "model", base, POOLING, length=None)
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    vectors = encoder.encode(TEXTS)
    assert encoder.max_length == 64
    assert vectors.truncated.any()
    made_of.edit(folder, TRANSFORMER, max_seq_length=64)
    assert np.abs(vectors.vectors - theirs(folder, TEXTS)).max() < 1e-5


def test_what_is_cut_is_counted_with_the_prompt_the_template_and_the_shorter_length(tmp_path: Path) -> None:
    kinds = [
        "a chat template and a prompt",
        "a length for the tokenizer's call",
        "a default prompt",
        "an XLNet, which tells tokens apart by type",
    ]
    for number, kind in enumerate(kinds):
        encoder = Encoder.load(str(THROUGH_THE_LIBRARY[kind](tmp_path / str(number))), precision="fp32", device="cpu")
        model = encoder.model.model
        sizes = [
            model.preprocess([text], prompt=encoder.model.prompt, processing_kwargs={"text": {"truncation": False, "padding": False}})[
                "input_ids"
            ].shape[1]
            for text in TEXTS
        ]
        assert encoder.encode(TEXTS).truncated.tolist() == [size > encoder.max_length for size in sizes]
        assert 0 < encoder.encode(TEXTS).truncated.sum() < len(TEXTS)


@pytest.mark.parametrize("kind", ["a decoder with a chat template", "a prompt with a control token", "Dense", "static embeddings"])
def test_control_tokens_spelled_out_in_a_text_are_text_whatever_stands_around_it(tmp_path: Path, kind: str) -> None:
    folder = THROUGH_THE_LIBRARY[kind](tmp_path / "model")
    model = Encoder.load(str(folder), precision="fp32", device="cpu").model
    if kind == "static embeddings":
        (ids,) = (model.model.preprocess(["[PAD] an egg"])["input_ids"].tolist(),)
        assert model.model.tokenizer.token_to_id("[PAD]") not in ids
        return
    control = model.model.tokenizer.convert_tokens_to_ids("[SEP]")
    bare, spelled, long = (model.tokenize([text]) for text in ("boil an egg", "boil [SEP] an egg", "[SEP] an egg " * 30))
    assert spelled[0].tolist().count(control) == bare[0].tolist().count(control)
    assert (spelled.cut.tolist(), long.cut.tolist()) == ([False], [True])
    assert len(long[0]) == model.max_length


def test_a_length_asked_for_is_the_length(tmp_path: Path) -> None:
    folder = THROUGH_THE_LIBRARY["Dense"](tmp_path / "model")
    shorter = Encoder.load(str(folder), precision="fp32", device="cpu", max_length=10)
    vectors = shorter.encode(TEXTS).vectors
    made_of.edit(folder, TRANSFORMER, max_seq_length=10)
    assert shorter.max_length == 10
    assert np.abs(vectors - theirs(folder, TEXTS)).max() < 1e-5


def test_bf16_goes_through_the_layers_behind_the_transformer_too(tmp_path: Path) -> None:
    folder = THROUGH_THE_LIBRARY["two Dense"](tmp_path / "model")
    half = Encoder.load(str(folder), precision="bf16", device="cpu")
    exact = Encoder.load(str(folder), precision="fp32", device="cpu")
    assert half.fingerprint["precision"] == "bf16"
    assert (half.encode(TEXTS).vectors * exact.encode(TEXTS).vectors).sum(axis=1).min() > 0.999


def test_a_table_of_words_is_never_bf16_and_says_so(tmp_path: Path) -> None:
    folder = made_of.static(tmp_path / "model", made_of.dense(8, 4))
    assert Encoder.load(str(folder), precision="bf16", device="cpu").fingerprint["precision"] == "fp32"


SETTINGS = [
    (LIBRARY, {"prompts": {"all": "now explain why "}, "default_prompt_name": "all"}),
    (LIBRARY, {"truncate_dim": 4}),
    (TRANSFORMER, {"max_seq_length": 12}),
    (TRANSFORMER, {"do_lower_case": True}),
    ("1_Pooling/config.json", {"pooling_mode": "max"}),
    ("2_Dense/config.json", {"activation_function": "torch.nn.modules.linear.Identity"}),
    ("tokenizer_config.json", {"truncation_side": "left"}),
    ("chat_template.jinja", {}),
]


@pytest.mark.parametrize(("file", "change"), SETTINGS)
def test_the_fingerprint_tells_what_says_how_the_weights_are_used(tmp_path: Path, file: str, change: dict[str, Any]) -> None:
    folder = THROUGH_THE_LIBRARY["Dense"](tmp_path / "model")
    before = Encoder.load(str(folder), precision="fp32", device="cpu").fingerprint
    assert Encoder.load(str(folder), precision="fp32", device="cpu").fingerprint == before
    made_of.edit(folder, file, **change)
    assert Encoder.load(str(folder), precision="fp32", device="cpu").fingerprint != before


def test_the_fingerprint_tells_the_weights_of_every_module(tmp_path: Path) -> None:
    folder = THROUGH_THE_LIBRARY["Dense"](tmp_path / "model")
    before = Encoder.load(str(folder), precision="fp32", device="cpu").fingerprint
    weights = folder / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert Encoder.load(str(folder), precision="fp32", device="cpu").fingerprint["digest"] != before["digest"]


def router(folder: Path) -> Path:
    steps = [modules.Transformer(str(made_of.bert(folder.with_name("base")))), modules.Pooling(32)]
    library.SentenceTransformer(modules=[Router.for_query_document(steps, steps)], device="cpu").save(str(folder))
    return folder


def sparse(folder: Path) -> Path:
    library.SparseEncoder(
        modules=[modules.Transformer(str(made_of.bert(folder.with_name("base")))), modules.Pooling(32)], device="cpu"
    ).save(str(folder))
    return folder


def cross(folder: Path) -> Path:
    library.CrossEncoder(str(tiny.bert(folder.with_name("base"), labels=1)), device="cpu").save(str(folder))
    return folder


REFUSED: dict[str, tuple[Maker, str]] = {
    "a router": (router, "Router"),
    "a sparse encoder": (sparse, "SparseEncoder"),
    "a cross-encoder": (cross, "CrossEncoder"),
    "a pooling of its own": (
        lambda folder: _typed(of(made_of.bert, POOLING)(folder), "sentence_transformers.sparse_encoder.modules.SpladePooling"),
        "SpladePooling",
    ),
    "no pooling": (of(made_of.bert), "modules are Transformer"),
    "an unknown pooling": (edited(of(made_of.bert, POOLING), "1_Pooling/config.json", pooling_mode="median"), "median"),
    "an activation of somebody else": (
        edited(of(made_of.bert, POOLING, DENSE), "2_Dense/config.json", activation_function="torch.hub.load"),
        "torch.hub.load",
    ),
    "another tokenizer": (
        edited(of(made_of.bert, POOLING, DENSE), TRANSFORMER, tokenizer_name_or_path="elsewhere"),
        "another tokenizer (tokenizer_name_or_path: 'elsewhere')",
    ),
    "a tokenizer of somebody else": (
        edited(made_of.words, "wordembedding_config.json", tokenizer_class="subprocess.Popen"),
        "subprocess.Popen",
    ),
    "code in a module's folder": (
        edited(lambda folder: made_of.old_layout(folder, POOLING), "0_Transformer/config.json", auto_map={"AutoModel": "evil.Model"}),
        "auto_map in 0_Transformer/config.json",
    ),
    "an index that leads out of a module's folder": (
        lambda folder: _indexed(of(made_of.bert, POOLING, DENSE)(folder)),
        "no .safetensors file of this folder",
    ),
}


def _typed(folder: Path, kind: str) -> Path:
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def _indexed(folder: Path) -> Path:
    (folder / "2_Dense" / "model.safetensors").rename(folder / "dense.safetensors")
    made_of.edit(folder, "2_Dense/model.safetensors.index.json", weight_map={"linear.weight": "../dense.safetensors"})
    return folder


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_encoder_or_not_its_own_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    make, name = REFUSED[kind]
    folder = make(tmp_path / "model")
    with pytest.raises((ModelRefused, UntrustedModel)) as caught:
        Encoder.load(str(folder), device="cpu")
    assert name in caught.value.message
    assert isinstance(caught.value, InstructselError) and caught.value.fix


def around(token: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def of_words(folder: Path, **settings: Any) -> Path:
    """A BERT with a tokenizer of whole words, cased in tokenizer.json."""
    made_of.bert(folder)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "The", "é", "e", "sky", "Sky", "我"]
    written = json.loads((folder / "tokenizer.json").read_text())
    written |= {
        "added_tokens": [],
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {name: number for number, name in enumerate(names)},
        },
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [around("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, around("[SEP]")],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [names.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }
    (folder / "tokenizer.json").write_text(json.dumps(written))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | settings))
    return folder


@pytest.mark.parametrize(("settings", "packed"), [({}, False), ({"do_lower_case": False}, True), ({"strip_accents": False}, False)])
def test_a_tokenizer_that_the_library_reads_otherwise_than_its_file_says_is_the_librarys(
    tmp_path: Path, settings: dict[str, Any], packed: bool
) -> None:
    """transformers makes a BertTokenizer's lower-casing from tokenizer_config.json, whatever tokenizer.json says."""
    folder = of_words(tmp_path / "model", **settings)
    encoder = Encoder.load(str(folder), precision="fp32", device="cpu")
    texts = ["The Sky é", "the sky e", "the 我 sky"]
    assert (encoder.fingerprint["batches"] == "packed") == packed
    assert np.abs(encoder.encode(texts).vectors - theirs(folder, texts)).max() < 1e-5


@pytest.mark.parametrize("kind", ["as its file says", "a Dense layer", "lower-cased by the library", "a vocabulary alone"])
def test_texts_of_words_that_the_encoder_does_not_know_have_no_neighbors(tmp_path: Path, kind: str) -> None:
    def base(folder: Path) -> Path:
        of_words(folder, **({} if kind == "lower-cased by the library" else {"do_lower_case": False}))
        if kind == "a vocabulary alone":
            words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
            (folder / "vocab.txt").write_text("\n".join(words) + "\n")
            (folder / "tokenizer.json").unlink()
        return folder

    folder = base(tmp_path / "model") if kind != "a Dense layer" else made_of.saved(tmp_path / "model", base, POOLING, DENSE)
    indicator = NeighborDistance(1, model=str(folder), precision="fp32", device="cpu")
    answers = ["The sky 我", "the the é", "the 我 sky sky", "жжж ююю ддд", "SKY SKY é"]
    pool = Pool.of([{"instruction": "the", "output": answer} for answer in answers])
    reason_of = dict(
        zip((example.response for example in pool.examples()), indicator.score(Batch(tuple(pool.examples()))).reasons, strict=True)
    )
    unknown = {"жжж ююю ддд"} if kind == "lower-cased by the library" else {"жжж ююю ддд", "SKY SKY é"}
    assert {answer for answer, reason in reason_of.items() if reason == "unsupported_language"} == unknown
