"""Our runner beside the ways other tools score: same rows, tokens, weights, threads and precision, alternating, values equal.

    python benchmarks/scoring.py ../shared/data/pools/alpaca.jsonl.zst --rows 64
    python benchmarks/scoring.py ../shared/data/pools/alpaca.jsonl.zst --only knn

Random weights of the real architectures: a GPT-2 of 124M; a reward model of DeBERTa-v3-large's width and one of Pythia-1.4B's, and a
T5 of T5-large's width, each with fewer layers. The others' ways, written anew from their released scripts:

    batch 1              a forward pass a row: Cherry, Superfiltering, DataFlow (Superfiltering asks for all hidden states as well)
    batch 1, token loop  Cherry's: besides, a log-softmax for every token of the answer
    padded, file order   batches of 32 in the order of the file, padded to the longest: ODA-DataScorer
    one padded batch     all rows in one
    scikit-learn, a row  NearestNeighbors asked for each row alone

Peers that score likelihoods compute the logits of all tokens; ours, of the answer's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _record
import numpy as np

from instructsel import Pool
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import settings
from instructsel.models.reward import RewardModel
from instructsel.models.yes_no import YesNoModel
from instructsel.neighbors.index import neighbor_distances

Way = Callable[[], np.ndarray]


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="likelihood,deberta,pythia,unieval,knn")
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--without", default="", help="ways to leave out, separated by semicolons")
    parser.add_argument("--toy", action="store_true", help="tiny models, to try the script")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(2)
    pool = Pool.read(options.pool)
    drawn = np.random.default_rng(20260101).permutation(len(pool))[: options.rows]
    # In an order that has nothing to do with length, as a file's is.
    examples = list(pool.examples(drawn.tolist()))
    rows = [(example.instruction, example.response) for example in examples if example.response.strip() and example.instruction.strip()]
    folder = Path(tempfile.mkdtemp(prefix="instructsel-bench-"))
    path = _record.RESULTS / ("scoring_toy.json" if options.toy else "scoring.json")
    figures: dict[str, Any] = json.loads(path.read_text())["figures"] if path.exists() else {}
    try:
        train = [example.text for example in pool.sample(min(3000, len(pool)), seed=1).examples()]
        for name in options.only.split(","):
            figures[name] = {**CASES[name](folder, train, rows, options), "load_average": os.getloadavg()[0], "commit": _record.commit()}
            print(name, {key: value for key, value in figures[name].items() if key not in ("seconds",)}, flush=True)
            # After every case: a run that is stopped has what it measured.
            written = {"figures": figures, "pool": options.pool.rsplit("/", 1)[-1]}
            print(_record.write(path.stem, written, "torch", "transformers", "scikit-learn"), flush=True)
    finally:
        shutil.rmtree(folder)


def alternating(ways: dict[str, Way], options: Any, *, tolerance: float) -> dict[str, Any]:
    """Seconds of each way, in turns; the others' values must be ours."""
    repeats = options.repeats
    ways = {name: way for name, way in ways.items() if name not in options.without.split(";")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    values: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            values[name] = way()
            seconds[name].append(time.perf_counter() - started)
    differences = {name: float(np.abs(array - values["ours"]).max()) for name, array in values.items() if name != "ours"}
    assert max(differences.values()) <= tolerance, differences
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    return {
        "seconds": seconds,
        "median_seconds": medians,
        "ratio": {name: medians[name] / medians["ours"] for name in ways if name != "ours"},
        "largest_difference": differences,
        "standard_deviation_of_values": float(values["ours"].std()),
        "precision": "fp32 on both sides",
        "as_shipped": f"ours would run {settings('auto', 'cpu')[0]} on this processor",
    }


def tokenizer(folder: Path, train: list[str], special: list[str], *, pair: bool = False) -> Any:
    """A byte-level BPE of 8,000 tokens made from the pool's own text, which stays on this machine."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(train, trainer)
    if pair:
        ids = [(name, bpe.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
        bpe.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids)
    folder.mkdir(parents=True)
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": special[0], "eos_token": special[1]})
    )
    return bpe


def likelihood(folder: Path, train: list[str], rows: list[tuple[str, str]], options: Any) -> dict[str, Any]:
    """IFD, two likelihoods a row, with a GPT-2 of 124M."""
    import torch
    import transformers

    torch.manual_seed(0)
    place = folder / "gpt2"
    tokenizer(place, train, ["<pad>", "<|endoftext|>"])
    size = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 8000} if options.toy else {}
    config = transformers.GPT2Config(bos_token_id=1, eos_token_id=1, **size)
    transformers.GPT2LMHeadModel(config).save_pretrained(str(place))
    ours = LikelihoodModel.load(str(place), precision="fp32", device="cpu", probe=False)
    assert ours.padded_because is None, ours.padded_because
    questions = [(context, answer) for instruction, answer in rows for context in (instruction + "\n", None)]
    encoded, begins = ours._encoded(questions)
    sequences = [torch.from_numpy(encoded.sequences[row].astype(np.int64)) for row in range(len(questions))]
    theirs = transformers.GPT2LMHeadModel.from_pretrained(str(place), dtype=torch.float32).eval()

    def losses(logits: Any, row: int, ids: Any) -> float:
        labels = ids.clone()
        labels[: begins[row]] = -100
        return float(torch.nn.functional.cross_entropy(logits[:-1].float(), labels[1:], ignore_index=-100))

    def one(*, loop: bool = False) -> np.ndarray:
        scores = []
        with torch.no_grad():
            for row, ids in enumerate(sequences):
                labels = ids[None].clone()
                labels[0, : begins[row]] = -100
                output = theirs(ids[None], labels=labels, output_hidden_states=True)
                if loop:
                    for position in range(1, len(ids)):
                        torch.log_softmax(output.logits[0, position - 1], -1)[ids[position]].item()
                scores.append(float(output.loss))
        return np.array(scores)

    def padded(size: int) -> np.ndarray:
        scores: list[float] = []
        with torch.no_grad():
            for start in range(0, len(sequences), size):
                batch = sequences[start : start + size]
                ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
                present = torch.nn.utils.rnn.pad_sequence([torch.ones_like(sequence) for sequence in batch], batch_first=True)
                logits = theirs(ids, attention_mask=present).logits
                scores.extend(losses(logits[number, : len(sequence)], start + number, sequence) for number, sequence in enumerate(batch))
        return np.array(scores)

    ways: dict[str, Way] = {
        "ours": lambda: ours.answer(questions).values,
        "batch 1": one,
        "batch 1, token loop": lambda: one(loop=True),
        "padded, file order": lambda: padded(32),
        "one padded batch": lambda: padded(len(sequences)),
    }
    report = ours.answer(questions).report
    return {
        **alternating(ways, options, tolerance=1e-4),
        "tokens": report.tokens,
        "padding_share": report.padding_share,
        "rows": len(rows),
    }


def _rewards(ours: RewardModel, theirs: Any, rows: list[tuple[str, str]], options: Any, *, pad: int) -> dict[str, Any]:
    import torch

    conversations = [[("user", instruction), ("assistant", answer)] for instruction, answer in rows]
    assert ours.padded_because is None, ours.padded_because
    sequences = [torch.from_numpy(ours._encode(turns)[0].astype(np.int64)) for turns in conversations]

    def padded(size: int) -> np.ndarray:
        rewards: list[float] = []
        with torch.no_grad():
            for start in range(0, len(sequences), size):
                batch = sequences[start : start + size]
                ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=pad)
                present = torch.nn.utils.rnn.pad_sequence([torch.ones_like(sequence) for sequence in batch], batch_first=True)
                rewards.extend(theirs(ids, present).tolist())
        return np.array(rewards)

    ways: dict[str, Way] = {
        "ours": lambda: ours.score(conversations).values,
        "batch 1": lambda: padded(1),
        "padded, file order": lambda: padded(32),
        "one padded batch": lambda: padded(len(sequences)),
    }
    report = ours.score(conversations).report
    figures = alternating(ways, options, tolerance=2e-4)
    return {**figures, "tokens": report.tokens, "padding_share": report.padding_share, "rows": len(rows)}


def deberta(folder: Path, train: list[str], rows: list[tuple[str, str]], options: Any) -> dict[str, Any]:
    """A reward model of DeBERTa-v3-large's width, 4 of its 24 layers."""
    import torch
    import transformers

    torch.manual_seed(0)
    place = folder / "deberta"
    tokenizer(place, train, ["[PAD]", "[SEP]", "[CLS]"], pair=True)
    width = 64 if options.toy else 1024
    config = transformers.DebertaV2Config(
        vocab_size=8000,
        hidden_size=width,
        num_hidden_layers=4,
        num_attention_heads=width // 64 or 1,
        intermediate_size=4 * width,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        max_position_embeddings=512,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        pooler_hidden_size=width,
        pooler_hidden_act="gelu",
        num_labels=1,
    )
    model = transformers.DebertaV2ForSequenceClassification(config)
    model.classifier.weight.data.normal_(0, 1)
    model.save_pretrained(str(place))
    ours = RewardModel.load(str(place), precision="fp32", device="cpu", probe=False)
    theirs = transformers.DebertaV2ForSequenceClassification.from_pretrained(str(place), dtype=torch.float32).eval()
    reference = _rewards(ours, lambda ids, present: theirs(input_ids=ids, attention_mask=present).logits[:, 0], rows, options, pad=0)
    return {**reference, "layers": 4}


def pythia(folder: Path, train: list[str], rows: list[tuple[str, str]], options: Any) -> dict[str, Any]:
    """A reward model of Pythia-1.4B's width in OpenAssistant's layout, 3 of its 24 layers."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(0)
    place = folder / "pythia"
    tokenizer(place, train, ["<|padding|>", "<|endoftext|>", "<|prompter|>", "<|assistant|>"])
    width = 64 if options.toy else 2048
    config = transformers.GPTNeoXConfig(
        vocab_size=8000,
        hidden_size=width,
        num_hidden_layers=3,
        num_attention_heads=16,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
    )
    body = transformers.GPTNeoXModel(config).eval()
    head = torch.randn(1, width) / 10
    state = {f"gpt_neox.{name}": value.contiguous() for name, value in body.state_dict().items()}
    save_file({**state, "out_proj.weight": head, "out_proj.bias": torch.zeros(1)}, str(place / "model.safetensors"))
    written = {**config.to_dict(), "model_type": "gpt_neox_reward_model", "pooling": "last", "pad_token_id": 0}
    (place / "config.json").write_text(json.dumps(written))
    ours = RewardModel.load(str(place), precision="fp32", device="cpu", probe=False)

    def theirs(ids: Any, present: Any) -> Any:
        hidden = body(input_ids=ids, attention_mask=present).last_hidden_state
        return hidden[range(len(ids)), present.sum(1) - 1] @ head[0]

    return {**_rewards(ours, theirs, rows, options, pad=0), "layers": 3}


def unieval(folder: Path, train: list[str], rows: list[tuple[str, str]], options: Any) -> dict[str, Any]:
    """UniEval's three questions to a T5 of T5-large's width, 4 of its 24 layers on either side."""
    import torch
    import transformers

    from instructsel.indicators import _unieval

    torch.manual_seed(0)
    place = folder / "t5"
    built_tokenizer = tokenizer(place, [*train, "Yes No"] * 2, ["<pad>", "</s>", "<unk>"])
    if len(built_tokenizer.encode("Yes").ids) > 1 or len(built_tokenizer.encode("No").ids) > 1:
        print("Yes and No are several tokens of this tokenizer; their first ones are taken")
    size = {"d_model": 64, "d_ff": 128, "num_heads": 4, "d_kv": 16} if options.toy else {"d_model": 1024, "d_ff": 4096, "num_heads": 16}
    config = transformers.T5Config(vocab_size=8000, num_layers=4, decoder_start_token_id=0, **{"d_kv": 64, **size})
    transformers.T5ForConditionalGeneration(config).save_pretrained(str(place))
    ours = YesNoModel.load(str(place), precision="fp32", device="cpu")
    assert ours.padded_because is None, ours.padded_because
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(str(place), dtype=torch.float32).eval()
    questions: list[Any] = []
    for instruction, answer in rows:
        questions.append((_unieval.NATURALNESS, answer, None))
        questions.append((_unieval.UNDERSTANDABILITY, answer, None))
        questions.append((_unieval.COHERENCE, answer, _unieval.history(instruction)))
    encoded = ours._encoded(questions)
    sequences = [torch.from_numpy(encoded.sequences[row].astype(np.int64)) for row in range(len(questions))]
    words = list(ours.workers[0].words)

    def padded(size: int) -> np.ndarray:
        scores: list[float] = []
        with torch.no_grad():
            for start in range(0, len(sequences), size):
                batch = sequences[start : start + size]
                ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
                present = torch.nn.utils.rnn.pad_sequence([torch.ones_like(sequence) for sequence in batch], batch_first=True)
                logits = theirs(input_ids=ids, attention_mask=present, labels=torch.full((len(batch), 1), words[1])).logits[:, 0]
                likely = torch.softmax(logits.double(), -1)[:, words]
                scores.extend((likely[:, 0] / likely.sum(1)).tolist())
        return np.array(scores)

    ways: dict[str, Way] = {
        "ours": lambda: ours.answer(questions).values,
        "batch 1": lambda: padded(1),
        "padded, file order, batch 8 (UniEval's own)": lambda: padded(8),
        "padded, file order": lambda: padded(32),
    }
    report = ours.answer(questions).report
    figures = alternating(ways, options, tolerance=1e-4)
    return {**figures, "tokens": report.tokens, "padding_share": report.padding_share, "rows": len(rows), "layers": 4}


def knn(folder: Path, train: list[str], rows: list[tuple[str, str]], options: Any) -> dict[str, Any]:
    """Knn_6 of 50,000 vectors of 384 numbers; scikit-learn asked for 200 of them, one by one, its time multiplied."""
    from sklearn.neighbors import NearestNeighbors

    size = 2000 if options.toy else options.vectors
    drawn = np.random.default_rng(0)
    centres = drawn.standard_normal((500, 384))
    vectors = (centres[drawn.integers(0, 500, size)] + 0.7 * drawn.standard_normal((size, 384))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sampled = drawn.choice(size, min(200, size), replace=False)
    index = NearestNeighbors(n_neighbors=7).fit(vectors)
    seconds: dict[str, list[float]] = {"ours": [], "scikit-learn, a row at a time": []}
    for _ in range(options.repeats):
        started = time.perf_counter()
        distances = neighbor_distances(vectors, 6)
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        theirs = [float(index.kneighbors(vectors[row : row + 1])[0][0, 6]) for row in sampled.tolist()]
        seconds["scikit-learn, a row at a time"].append((time.perf_counter() - started) * size / len(sampled))
    difference = float(np.abs(distances[sampled] - np.array(theirs)).max())
    assert difference < 1e-3, difference
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    name = "scikit-learn, a row at a time"
    return {
        "vectors": size,
        "seconds": seconds,
        "median_seconds": medians,
        "ratio": {name: medians[name] / medians["ours"]},
        "largest_difference": difference,
        "extrapolated_from_rows": len(sampled),
    }


CASES = {"likelihood": likelihood, "deberta": deberta, "pythia": pythia, "unieval": unieval, "knn": knn}

if __name__ == "__main__":
    main()
