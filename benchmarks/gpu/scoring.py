"""What scoring reaches on one GPU: rows and tokens a second, share of the peak, padding, how busy the GPU is.

    python benchmarks/gpu/scoring.py --out results.json                 on a GPU
    python benchmarks/gpu/scoring.py --toy --out results.json           the same code at toy size, on a CPU

Random weights of the real shapes, made on the spot; nothing is fetched. Rows have the length mix of Alpaca (drawn from a lognormal fitted to it: median 58
tokens of answer, 20 of instruction), as token ids, so that no tokenizer is needed. Embeddings, rewards and perplexities go through the same classes that
`instructsel score` uses, packed; beside each stands plain transformers in bf16, padded, batches of 32 in file order, which is what
the ratio is to. Needs torch, transformers and numpy; neither polars nor faiss is imported.

MFU is 2 · parameters below the head · tokens (and the head's part for the tokens it is computed for) over time and the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

PEAK = {"NVIDIA H200": 989e12, "NVIDIA H100": 989e12, "NVIDIA A100": 312e12}
"""Dense bf16 floating-point operations a second, by the makers' data sheets."""

SIZES: dict[str, dict[str, int]] = {
    "1.1B": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32000,
    },
    "3B": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
}
TOY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--only", default="embed,reward,1.1B,3B,8B")
    parser.add_argument("--rows", type=int, default=0, help="rows of each case; by default as many as fit into the time")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    options = parser.parse_args()
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() and not options.toy else "cpu"
    if device == "cpu" and not options.toy:
        sys.exit("There is no GPU here; --toy tries the script on a CPU.")
    name = torch.cuda.get_device_name(0) if device == "cuda" else "CPU, toy size: figures mean nothing"
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/gpu/scoring.py", *(part for part in sys.argv[1:] if "/" not in part)]),
        "commit": os.environ.get("COMMIT", "unknown"),
        "hardware": name,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "cases": {},
    }
    for case in options.only.split(","):
        started = time.perf_counter()
        try:
            record["cases"][case] = run(case, device, options.precision, options.toy, options.rows)
        except Exception as error:
            record["cases"][case] = {"failed": f"{type(error).__name__}: {str(error)[:500]}"}
        record["cases"][case]["wall_seconds"] = time.perf_counter() - started
        print(case, json.dumps(record["cases"][case]), flush=True)
        # After every case: a run that is stopped has what it measured.
        Path(options.out).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def lengths(rows: int, *, median: float, spread: float = 0.9, least: int = 4, most: int = 900) -> np.ndarray:
    """Token counts with the mix of instruction data: many short, few long."""
    drawn = np.random.default_rng(20260101)
    return np.clip(np.round(median * np.exp(spread * drawn.standard_normal(rows))), least, most).astype(np.int64)


class Words:
    """A tokenizer of whole numbers: "17 5 31" is three tokens. Real tokenizers are not on this machine."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def save(self, folder: Path) -> None:
        """As tokenizer.json."""
        from tokenizers import Tokenizer, models, pre_tokenizers, processors

        known = {"<pad>": 0, "<|endoftext|>": 1, "<|prompter|>": 2, "<|assistant|>": 3, "<unk>": 4}
        tokenizer = Tokenizer(models.WordLevel({**known, **{str(n): n for n in range(5, self.vocabulary)}}, "<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.add_special_tokens(["<pad>", "<|endoftext|>", "<|prompter|>", "<|assistant|>"])
        tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}))

    def texts(self, counts: np.ndarray, seed: int) -> list[str]:
        """Random texts of so many tokens."""
        drawn = np.random.default_rng(seed)
        return [" ".join(map(str, drawn.integers(5, self.vocabulary, int(count)))) for count in counts]


class Busy:
    """The share of the time a kernel was running, by nvidia-smi."""

    def __enter__(self) -> Busy:
        self.seen: list[float] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            try:
                process = subprocess.run(
                    ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"],
                    capture_output=True,
                    text=True,
                    timeout=5,
                ).stdout
                self.seen.append(float(process.strip().splitlines()[0]) / 100)
            except (OSError, ValueError, IndexError, subprocess.SubprocessError):
                return

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    @property
    def share(self) -> float | None:
        """In [0, 1]; None without nvidia-smi."""
        return sum(self.seen) / len(self.seen) if self.seen else None


def timed(work: Callable[[], Any], device: str) -> tuple[Any, float, float | None]:
    """What it gives, its seconds, and how busy the GPU was."""
    import torch

    with Busy() as busy:
        started = time.perf_counter()
        result = work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    return result, seconds, busy.share


def run(case: str, device: str, precision: str, toy: bool, rows: int) -> dict[str, Any]:
    """One case, in a folder of its own."""
    import torch

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        if case == "embed":
            measurement = embed(folder, device, precision, toy, rows or (64 if toy else 52_002))
        elif case == "reward":
            measurement = reward(folder, device, precision, toy, rows or (48 if toy else 20_000))
        else:
            rows = rows or (48 if toy else {"1.1B": 20_000, "3B": 8_000, "8B": 4_000}[case])
            measurement = perplexity(folder, device, precision, TOY if toy else SIZES[case], rows)
    if device == "cuda":
        measurement["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.empty_cache()
    return measurement


def share_of_peak(operations: float, seconds: float, device: str) -> float | None:
    """Model floating-point operations a second over the GPU's peak."""
    import torch

    if device != "cuda":
        return None
    peak = next((value for name, value in PEAK.items() if torch.cuda.get_device_name(0).startswith(name)), None)
    return operations / seconds / peak if peak else None


def figures(name: str, report: Any, rows: int, seconds: float, busy: float | None, operations: float, device: str) -> dict[str, Any]:
    """What every case says of our side."""
    return {
        "what": name,
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rows / seconds,
        "tokens": report.tokens,
        "tokens_per_second": report.tokens / seconds,
        "padding_share": report.padding_share,
        "batches": report.batches,
        "gpu_busy_share": busy,
        "share_of_peak": share_of_peak(operations, seconds, device),
    }


def padded(sequences: list[np.ndarray], forward: Callable[[Any, Any], Any], device: str, size: int = 32) -> Callable[[], np.ndarray]:
    """Plain batches in file order."""
    import torch

    def work() -> np.ndarray:
        losses: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(sequences), size):
                batch = [torch.from_numpy(sequence.astype(np.int64)) for sequence in sequences[start : start + size]]
                ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True).to(device)
                present = torch.nn.utils.rnn.pad_sequence([torch.ones_like(sequence) for sequence in batch], batch_first=True).to(device)
                losses.extend(forward(ids, present).float().cpu().tolist())
        return np.array(losses)

    return work


ROUNDED = 10
"""Results of a layer that are rounded to its precision: two norms, queries and keys, scores, weighted values, four projections, a sum."""
SIGMAS = 4.0
"""The largest of some thousand differences lies about so many standard deviations from zero."""


def tolerance(precision: str, *, layers: int, reduction: int, magnitude: float) -> float:
    """How far two orders of the same sums may lie apart, in the unit of `magnitude`.

    A result is rounded to the precision once (half an eps); the sum it comes from is kept in fp32 and has an error that
    grows like a random walk over its length (eps of fp32 times the root of the terms). The errors of all results on the
    way add up like a random walk again, and both sides have theirs.

    Args:
        precision: fp32 or bf16, of weights and activations.
        layers: how many layers the value went through.
        reduction: the longest sum, in terms.
        magnitude: root mean square of the reference.
    """
    import torch

    once = torch.finfo({"fp32": torch.float32, "bf16": torch.bfloat16}[precision]).eps / 2
    summed = torch.finfo(torch.float32).eps * reduction**0.5
    return float(SIGMAS * (2 * (ROUNDED * layers + 2)) ** 0.5 * (once + summed) * magnitude)


def embed(folder: Path, device: str, precision: str, toy: bool, rows: int) -> dict[str, Any]:
    """MiniLM's shape: 6 layers of 384, at most 256 tokens."""
    import torch
    import transformers

    from instructsel.neighbors.encoder import Encoder

    torch.manual_seed(0)
    words = Words(512 if toy else 30522)
    words.save(folder)
    config = transformers.BertConfig(
        vocab_size=words.vocabulary, hidden_size=384, num_hidden_layers=2 if toy else 6, num_attention_heads=12, intermediate_size=1536
    )
    transformers.BertModel(config).save_pretrained(str(folder))
    encoder = Encoder.load(str(folder), precision=precision, device=device, max_length=256)
    texts = words.texts(lengths(rows, median=85), 1)
    encoder.encode(texts[:64])
    embeddings, seconds, busy = timed(lambda: encoder.encode(texts), device)
    parameters = 12 * config.num_hidden_layers * config.hidden_size**2
    ours = figures(
        "embeddings of MiniLM's shape, tokenizing included",
        embeddings.report,
        rows,
        seconds,
        busy,
        2.0 * parameters * embeddings.report.tokens,
        device,
    )
    return {**ours, "precision": encoder.precision}


def reward(folder: Path, device: str, precision: str, toy: bool, rows: int) -> dict[str, Any]:
    """Pythia-1.4B's shape in OpenAssistant's layout."""
    import torch
    import transformers
    from safetensors.torch import save_file

    from instructsel.models.reward import RewardModel

    torch.manual_seed(0)
    words = Words(512 if toy else 50304)
    words.save(folder)
    width = 64 if toy else 2048
    config = transformers.GPTNeoXConfig(
        vocab_size=words.vocabulary,
        hidden_size=width,
        num_hidden_layers=2 if toy else 24,
        num_attention_heads=16 if not toy else 4,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
        initializer_range=0.02,
    )
    body = transformers.GPTNeoXModel(config).to(torch.bfloat16)
    state = {f"gpt_neox.{name}": value.contiguous() for name, value in body.state_dict().items()}
    save_file({**state, "out_proj.weight": torch.randn(1, width) * 0.1, "out_proj.bias": torch.zeros(1)}, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(
        json.dumps({**config.to_dict(), "model_type": "gpt_neox_reward_model", "pooling": "last", "pad_token_id": 0})
    )
    del body, state
    model = RewardModel.load(str(folder), precision=precision, device=device, probe=False)
    prompts, responses = words.texts(lengths(rows, median=20), 1), words.texts(lengths(rows, median=58), 2)
    conversations = [[("user", a), ("assistant", b)] for a, b in zip(prompts, responses, strict=True)]
    model.score(conversations[:64])
    rewards, seconds, busy = timed(lambda: model.score(conversations), device)
    parameters = 12 * config.num_hidden_layers * width**2
    ours = figures(
        "rewards of Pythia-1.4B's shape, tokenizing included",
        rewards.report,
        rows,
        seconds,
        busy,
        2.0 * parameters * rewards.report.tokens,
        device,
    )
    few = conversations[: max(32, rows // 8)]
    sequences = [model._encode(turns)[0] for turns in few]
    network = model.workers[0]
    network.model.body.set_attn_implementation("sdpa")
    forward = padded(sequences, lambda ids, present: network.model(ids, present), device)
    forward()
    theirs, slow, _ = timed(forward, device)
    return {
        **ours,
        "precision": model.precision,
        "batches_are": model.padded_because or "packed",
        "padded_rows_per_second": len(few) / slow,
        "ratio_to_padded": (rows / seconds) / (len(few) / slow),
        "largest_difference": float(np.abs(theirs - rewards.values[: len(few)]).max()),
        "tolerance": tolerance(
            model.precision,
            layers=config.num_hidden_layers,
            reduction=max(4 * width, max(map(len, sequences))),
            magnitude=float(np.sqrt(np.mean(theirs**2))),
        ),
        "standard_deviation_of_values": float(rewards.values.std()),
    }


def perplexity(folder: Path, device: str, precision: str, size: dict[str, int], rows: int) -> dict[str, Any]:
    """Perplexity given the instruction, with a LLaMA of this size."""
    import torch
    import transformers

    from instructsel.models.likelihood import LikelihoodModel

    torch.manual_seed(0)
    words = Words(size["vocab_size"])
    words.save(folder)
    config = transformers.LlamaConfig(**size, max_position_embeddings=4096, bos_token_id=1, eos_token_id=1, tie_word_embeddings=False)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = transformers.LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(str(folder), max_shard_size="40GB")
    del model
    loaded = LikelihoodModel.load(str(folder), precision=precision, device=device, probe=False)
    prompts, responses = words.texts(lengths(rows, median=20), 1), words.texts(lengths(rows, median=58), 2)
    questions: list[Any] = list(zip(prompts, responses, strict=True))
    loaded.answer(questions[:64])
    model_answers, seconds, busy = timed(lambda: loaded.answer(questions), device)
    heads = size["num_attention_heads"]
    per_layer = (
        size["hidden_size"] ** 2 * (2 + 2 * size["num_key_value_heads"] / heads) + 3 * size["hidden_size"] * size["intermediate_size"]
    )
    answers = sum(len(text.split()) for text in responses)
    operations = (
        2.0 * per_layer * size["num_hidden_layers"] * model_answers.report.tokens + 2.0 * size["hidden_size"] * size["vocab_size"] * answers
    )
    ours = figures("perplexity given the instruction, tokenizing included", model_answers.report, rows, seconds, busy, operations, device)
    few = max(32, rows // 8)
    encoded, begins = loaded._encoded(questions[:few])
    sequences = [encoded.sequences[row] for row in range(few)]
    network = loaded.workers[0].model
    network.set_attn_implementation("sdpa")

    squares: list[float] = []

    def losses(ids: Any, present: Any) -> Any:
        first = losses.row  # type: ignore[attr-defined]
        losses.row += len(ids)  # type: ignore[attr-defined]
        logits = network(input_ids=ids, attention_mask=present, use_cache=False).logits[:, :-1].float()
        if not losses.timed:  # type: ignore[attr-defined]
            squares.append(float(logits.square().mean()))
        token_losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        begin = torch.from_numpy(begins[first : first + len(ids)]).to(ids.device)
        wanted = (torch.arange(1, ids.shape[1], device=ids.device)[None] >= begin[:, None]) & (present[:, 1:] == 1)
        return (token_losses * wanted).sum(1) / wanted.sum(1)

    def work() -> np.ndarray:
        losses.row = 0  # type: ignore[attr-defined]
        return padded(sequences, losses, device)()

    losses.timed = False  # type: ignore[attr-defined]
    work()
    losses.timed = True  # type: ignore[attr-defined]
    theirs, slow, _ = timed(work, device)
    return {
        **ours,
        "precision": loaded.precision,
        "batches_are": loaded.padded_because or "packed",
        "padded_rows_per_second": few / slow,
        "ratio_to_padded": (rows / seconds) / (few / slow),
        "largest_difference": float(np.abs(theirs - model_answers.values[:few]).max()),
        # A loss is ln(vocabulary) and what the logits make of it: only the logits are rounded.
        "tolerance": tolerance(
            loaded.precision,
            layers=size["num_hidden_layers"],
            reduction=max(size["intermediate_size"], max(map(len, sequences))),
            magnitude=float(np.sqrt(np.mean(squares))),
        ),
        "standard_deviation_of_values": float(model_answers.values.std()),
    }


if __name__ == "__main__":
    main()
