"""The encoder: right values, the same bits in any company, nothing cut without a count."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from instructsel.errors import ModelRefused
from instructsel.neighbors.encoder import Encoder
from instructsel.neighbors.index import neighbor_distances
from instructsel.pool.pool import Pool
from tests import tiny

WORDS = [
    "river",
    "stone",
    "lantern",
    "paper",
    "orchard",
    "winter",
    "silver",
    "engine",
    "market",
    "garden",
    "violin",
    "copper",
    "harbor",
    "meadow",
    "thunder",
    "candle",
]
DRAWN = random.Random(3)
# One word is one piece: two special tokens make lengths on, below and above the steps of the buckets.
LENGTHS = [0, 1, 4, 5, 6, 7, 13, 14, 15, 30, 46, 61, 62, 63, 93, 126, 140, 200, 252, 253, 254, 255, 290]
TEXTS = [" ".join(DRAWN.choices(WORDS, k=length)) for length in LENGTHS]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return Encoder.load(precision="fp32", device="cpu")


def reference(encoder: Encoder, text: str) -> np.ndarray:
    """One row, plain transformers, no padding."""
    folder = encoder.source.folder
    model = transformers.AutoModel.from_pretrained(str(folder)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    encoded = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**encoded).last_hidden_state[0]
    return torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()


def test_vectors_are_those_of_plain_transformers_one_at_a_time(minilm: Encoder) -> None:
    found = minilm.encode(TEXTS).vectors
    for number in (0, 1, 6, 11, 18, 21):
        assert np.abs(found[number] - reference(minilm, TEXTS[number])).max() < 2e-6
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6


def test_vectors_are_those_of_sentence_transformers(minilm: Encoder) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(minilm.source.folder), device="cpu").encode(TEXTS)
    assert np.abs(minilm.encode(TEXTS).vectors - theirs).max() < 1e-5


def test_a_vector_has_the_same_bits_alone_in_company_and_in_any_order(minilm: Encoder) -> None:
    together = minilm.encode(TEXTS).vectors
    order = list(range(len(TEXTS)))
    random.Random(1).shuffle(order)
    shuffled = minilm.encode([TEXTS[number] for number in order]).vectors
    assert (shuffled == together[order]).all()
    for number in (1, 4, 5, 9, 12, 16, 20, 22):
        assert (minilm.encode([TEXTS[number]]).vectors[0] == together[number]).all()


@pytest.mark.parametrize("length", [5, 6, 13, 14, 37, 62, 77, 126, 254])
def test_a_vector_has_the_same_bits_in_every_place_of_its_batch(minilm: Encoder, length: int) -> None:
    mine = " ".join(DRAWN.choices(WORDS, k=length))
    alone = minilm.encode([mine]).vectors[0]
    copies = minilm.encode([mine] * (2 * 1024 // (length + 2) + 3)).vectors
    assert (copies == alone).all()
    others = [" ".join(DRAWN.choices(WORDS, k=max(1, length - n % 6))) for n in range(40)]
    for place in (0, 3, 17, 39):
        company = [*others[:place], mine, *others[place:]]
        assert (minilm.encode(company).vectors[place] == alone).all()


def test_one_thread_two_and_three_give_the_same_bits(tmp_path: Path) -> None:
    script = "import sys, numpy as np, torch; torch.set_num_threads(int(sys.argv[1])); from instructsel.neighbors.encoder import Encoder; np.save(sys.argv[2], Encoder.load(precision='fp32').encode(['river stone ' * (n % 90) for n in range(40)]).vectors)"
    for threads in ("1", "2", "3"):
        subprocess.run([sys.executable, "-c", script, threads, str(tmp_path / f"{threads}.npy")], check=True)
    one, two, three = (np.load(tmp_path / f"{threads}.npy") for threads in (1, 2, 3))
    assert (one == two).all() and (one == three).all()


def test_the_number_of_threads_is_afterwards_what_it_was(minilm: Encoder) -> None:
    before = torch.get_num_threads()
    minilm.encode(TEXTS[:3])
    assert torch.get_num_threads() == before
    assert torch.__config__.parallel_info().count(f"omp_get_max_threads() : {before}") == 1


def test_what_is_cut_is_counted(minilm: Encoder) -> None:
    truncated = minilm.encode(TEXTS).truncated
    assert truncated.tolist() == [length > 254 for length in LENGTHS]
    assert (minilm.encode([TEXTS[-1]]).vectors == minilm.encode([" ".join(TEXTS[-1].split()[:254])]).vectors).all()


def test_no_texts_give_no_vectors(minilm: Encoder) -> None:
    assert minilm.encode([]).vectors.shape == (0, 384)


def test_bf16_is_close_and_has_the_same_bits_in_any_company(minilm: Encoder) -> None:
    half = Encoder.load(precision="bf16", device="cpu")
    texts = TEXTS[:16]
    vectors = half.encode(texts).vectors
    assert (vectors * minilm.encode(texts).vectors).sum(1).min() > 0.9998
    assert (half.encode([texts[9]]).vectors[0] == vectors[9]).all()
    assert (half.encode([texts[4]] * 150).vectors == vectors[4]).all()


def test_neighbor_distances_in_bf16_are_within_half_a_percent(minilm: Encoder, shared_data: Path) -> None:
    pool = Pool.read(shared_data / "pools/gpteacher_codegen.jsonl.zst").sample(160, seed=1)
    texts = [example.text[:300] for example in pool.examples()]
    exact = neighbor_distances(minilm.encode(texts).vectors, 6)
    half = neighbor_distances(Encoder.load(precision="bf16", device="cpu").encode(texts).vectors, 6)
    assert np.quantile(np.abs(half / exact - 1), 0.95) < 0.005


@pytest.mark.parametrize(("mode", "pooling"), [("cls_token", "cls"), ("mean_tokens", "mean")])
def test_the_pooling_is_the_one_the_model_names(tmp_path: Path, mode: str, pooling: str) -> None:
    folder = tiny.bert(tmp_path / "model", labels=None)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    encoder = Encoder.load(str(folder), precision="fp32")
    assert encoder.pooling == pooling
    ids = encoder.tokenizer.encode("boil an egg").ids
    plain = transformers.AutoModel.from_pretrained(str(folder)).eval()
    with torch.inference_mode():
        hidden = plain(input_ids=torch.tensor([ids])).last_hidden_state[0]
    pooled = hidden[0] if pooling == "cls" else hidden.mean(0)
    assert np.abs(encoder.encode(["boil an egg"]).vectors[0] - torch.nn.functional.normalize(pooled, dim=0).numpy()).max() < 1e-5


def test_the_pooling_is_read_from_the_newer_layout_too(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model", labels=None)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": "cls"}))
    assert Encoder.load(str(folder), precision="fp32").pooling == "cls"


def test_a_pooling_that_nothing_would_apply_is_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model", labels=None)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ModelRefused, match="max_tokens"):
        Encoder.load(str(folder))
