"""Train a small LLaMA from scratch on what corpus.py finds, with a tokenizer of its own: a base model for machines without a hub.

    python benchmarks/models/tinybase/train.py --data ../shared/data --out .venv/tinybase              1.3M parameters, 30M tokens, two cores
    python benchmarks/models/tinybase/train.py --data shared/data --size gpu --out "$OUT/tinybase"     26M parameters, 120M tokens, one GPU
    python benchmarks/models/tinybase/train.py --size toy --out /tmp/toybase                           the same code in a minute

Stopped, the same command goes on from a minute before. Nothing is shipped and nothing is committed: weights are made on demand and recorded by digest. Beside the weights stands
`tinybase.json`: the corpus's account and digest, the loss on held-out documents beside that of a unigram model, tokens a second, and what
lm-evaluation-harness makes of it beside chance (judge.py; not for the toy size, which knows nothing).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]
import corpus

END: Final = "<|endoftext|>"
PAD: Final = "<|padding|>"
SHARES: Final = {"prose": 0.35, "documentation": 0.4, "docstrings": 0.25}
"""Of the tokens trained on."""
MOST_PASSES: Final = 4
"""No document is seen more often; what is missing comes from the other kinds."""
SAVE_EVERY: Final = 60.0
"""Seconds between two states to go on from."""
HELD_OUT: Final = 50
"""One document in so many is kept for measuring."""


@dataclass(frozen=True)
class Size:
    """A model and how long it learns."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    tokens: int
    batch: int
    """Tokens of a step."""
    micro: int
    """Tokens computed at a time."""
    widths: tuple[int, ...]
    """Tokens of a row, in turn."""
    rate: float
    """Peak learning rate."""


SIZES: Final = {
    "cpu": Size(4096, 128, 4, 4, 352, 30_000_000, 8192, 1024, (256, 256, 256, 512), 4e-3),
    "gpu": Size(8192, 384, 12, 6, 1024, 120_000_000, 131_072, 65_536, (512,), 2e-3),
    "toy": Size(1024, 64, 2, 2, 176, 300_000, 4096, 1024, (128, 256), 8e-3),
}


def learn_tokenizer(kept: dict[str, list[str]], size: int, seed: int) -> Tokenizer:
    """Byte-level BPE on up to 24 MB, the kinds as they are trained on."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    drawn: list[str] = []
    for kind, share in SHARES.items():
        texts = list(kept[kind])
        random.Random(f"{seed}:{kind}").shuffle(texts)
        left = int(24e6 * share)
        for text in texts:
            if left <= 0:
                break
            drawn.append(text)
            left -= len(text)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=3,
    )
    tokenizer.train_from_iterator(drawn, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[NDArray[np.uint16]]:
    """Each document's tokens, an end-of-text token before them."""
    end = tokenizer.token_to_id(END)
    tokens: list[NDArray[np.uint16]] = []
    for start in range(0, len(texts), 2000):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + 2000], add_special_tokens=False):
            tokens.append(np.array([end, *encoding.ids], dtype=np.uint16))
    return tokens


def stream(documents: dict[str, list[NDArray[np.uint16]]], tokens: int, seed: int) -> tuple[NDArray[np.uint16], dict[str, float]]:
    """Documents in random order until there are so many tokens, and how often each kind was passed."""
    sizes = {kind: sum(map(len, texts)) for kind, texts in documents.items()}
    wanted = {kind: min(SHARES[kind] * tokens, MOST_PASSES * sizes[kind]) for kind in SHARES}
    lacking = tokens - sum(wanted.values())
    for kind in sorted(SHARES, key=lambda kind: -sizes[kind]):
        more = min(max(0.0, lacking), MOST_PASSES * sizes[kind] - wanted[kind])
        wanted[kind] += more
        lacking -= more
    order: list[NDArray[np.uint16]] = []
    for kind, amount in wanted.items():
        left, turn = amount, 0
        while left > 0 and documents[kind]:
            shuffled = list(documents[kind])
            random.Random(f"{seed}:{kind}:{turn}").shuffle(shuffled)
            for document in shuffled:
                if left <= 0:
                    break
                order.append(document)
                left -= len(document)
            turn += 1
    random.Random(f"{seed}:order").shuffle(order)
    return np.concatenate(order)[:tokens], {kind: wanted[kind] / max(1, sizes[kind]) for kind in wanted}


class Loss(torch.autograd.Function):
    """Mean cross-entropy of a linear head, a few hundred rows at a time: the logits stay in the processor's caches."""

    @staticmethod
    def forward(ctx: Any, states: Any, weight: Any, targets: Any, rows: int) -> Any:
        """The loss; the gradients are computed on the way."""
        of_states, of_weight = torch.empty_like(states), torch.zeros_like(weight)
        total = states.new_zeros((), dtype=torch.float64)
        for start in range(0, len(targets), rows):
            states_part, wanted = states[start : start + rows], targets[start : start + rows, None]
            logits = (states_part @ weight.T).float()
            mass = torch.logsumexp(logits, 1, keepdim=True)
            total += (mass - logits.gather(1, wanted)).double().sum()
            slope = (
                logits.sub_(mass)
                .exp_()
                .scatter_add_(1, wanted, logits.new_full((len(states_part), 1), -1.0))
                .div_(len(targets))
                .to(states_part.dtype)
            )
            of_states[start : start + rows] = slope @ weight
            of_weight.addmm_(slope.T, states_part)
        ctx.save_for_backward(of_states, of_weight)
        return (total / len(targets)).float()

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        """Those of the forward pass, scaled."""
        of_states, of_weight = ctx.saved_tensors
        return of_states * given[0], of_weight * given[0], None, None


def unigram(train: NDArray[np.uint16], held: NDArray[np.uint16], vocabulary: int) -> float:
    """Nats per token of a model that knows how frequent each token is, and nothing else (add-one smoothing)."""
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return float(-np.log(counts / counts.sum())[held].mean())


def measure(model: Any, held: NDArray[np.uint16], width: int, device: str) -> float:
    """Nats per token of held-out text, in rows of one width, the first token of a row not counted."""
    rows = torch.from_numpy(held[: len(held) // width * width].astype(np.int64).reshape(-1, width))
    total, count = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), 8):
            ids = rows[start : start + 8].to(device)
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            total += float(torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="sum"))
            count += ids[:, 1:].numel()
    model.train()
    return total / count


@dataclass(frozen=True)
class State:
    """A training that can be stopped: its data, and where it stood last."""

    folder: Path
    described: dict[str, Any]
    """What it is a training of."""

    def prepared(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16], dict[str, Any]] | None:
        """Tokens to learn from, tokens to measure on, and the corpus's account; None where they are to be made."""
        path = self.folder / "prepared.json"
        if not path.is_file() or (record := json.loads(path.read_text()))["described"] != self.described:
            return None
        return np.load(self.folder / "ids.npy"), np.load(self.folder / "held.npy"), record["account"]

    def prepare(self, ids: NDArray[np.uint16], held: NDArray[np.uint16], account: dict[str, Any], tokenizer: Tokenizer) -> None:
        """Keep them; the account last, so that it stands for all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        np.save(self.folder / "ids.npy", ids)
        np.save(self.folder / "held.npy", held)
        tokenizer.save(str(self.folder / "tokenizer.json"))
        (self.folder / "prepared.json").write_text(json.dumps({"described": self.described, "account": account}))

    def save(self, model: Any, optimizer: Any, progress: dict[str, Any]) -> None:
        """Keep weights, moments and progress; the old ones stay until the new ones are whole."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items() if name != "lm_head.weight"}
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        target = self.folder / "last.safetensors"
        save_file(
            {name: value.contiguous().cpu() for name, value in tensors.items()},
            f"{target}.new",
            metadata={"progress": json.dumps(progress)},
        )
        Path(f"{target}.new").replace(target)

    def load(self, model: Any, optimizer: Any) -> dict[str, Any] | None:
        """Put back what was kept; its progress, or None where there is nothing."""
        target = self.folder / "last.safetensors"
        if not target.is_file():
            return None
        with safe_open(str(target), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            progress: dict[str, Any] = json.loads(file.metadata()["progress"])
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}, strict=False
        )
        states: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, moment = name.split(".")
                states.setdefault(int(number), {})[moment] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
        return progress


def train(
    size: Size, ids: NDArray[np.uint16], held: NDArray[np.uint16], seed: int, device: str, state: State
) -> tuple[Any, dict[str, Any]]:
    """The model, and how the learning went; from where it stood, if it was stopped."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    model = transformers.LlamaForCausalLM(config).to(device).train()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=size.rate, betas=(0.9, 0.95), fused=True)
    steps, parts = len(ids) // size.batch, size.batch // size.micro
    warm = max(1, steps // 40)
    before = state.load(model, optimizer) or {"step": 0, "curve": [], "seconds": 0.0, "processor_seconds": 0.0, "running": 0.0}
    curve: list[dict[str, float]] = before["curve"]
    begun, busy, running = time.monotonic() - before["seconds"], time.process_time() - before["processor_seconds"], before["running"]
    position, saved = min(before["step"] * parts * size.micro, len(ids) - size.micro - 1), time.monotonic()
    for step in range(before["step"], steps):
        rate = size.rate * min(1.0, (step + 1) / warm) * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        for part in range(parts):
            width = size.widths[(step * parts + part) % len(size.widths)]
            block = torch.from_numpy(ids[position : position + size.micro + 1].astype(np.int64)).to(device)
            position = min(position + size.micro, len(ids) - size.micro - 1)
            with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
                states = model.model(input_ids=block[:-1].view(-1, width), use_cache=False).last_hidden_state
                loss = Loss.apply(
                    states.reshape(-1, size.hidden), model.lm_head.weight.to(states.dtype), block[1:], 512 if device == "cpu" else 16384
                )
            (loss / parts).backward()
            running += float(loss.detach()) / parts
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        every = max(1, steps // (60 if steps > 600 else 12))
        if (step + 1) % every == 0 or step + 1 == steps:
            seconds = time.monotonic() - begun
            entry = {"tokens": (step + 1) * size.batch, "loss": running / ((step % every) + 1), "seconds": seconds}
            running = 0.0
            if (step + 1) % (every * (10 if steps > 600 else 4)) == 0 or step + 1 == steps:
                entry["held_out"] = measure(model, held, max(size.widths), device)
            curve.append(entry)
            print(
                f"{entry['tokens']:,} tokens  loss {entry['loss']:.3f}"
                + (f"  held out {entry['held_out']:.3f}" if "held_out" in entry else "")
                + f"  {entry['tokens'] / seconds:,.0f} tokens/s  {seconds / 60:.1f} min",
                flush=True,
            )
        if time.monotonic() - saved > SAVE_EVERY and step + 1 < steps:
            spent = {"seconds": time.monotonic() - begun, "processor_seconds": time.process_time() - busy}
            state.save(model, optimizer, {"step": step + 1, "curve": curve, "running": running, **spent})
            saved = time.monotonic()
    seconds = time.monotonic() - begun
    return model, {
        "processor_seconds": time.process_time() - busy,
        "threads": torch.get_num_threads(),
        "curve": curve,
        "seconds": seconds,
        "tokens": steps * size.batch,
        "steps": steps,
        "tokens_per_second": steps * size.batch / seconds,
    }


def prepare(
    given: argparse.Namespace, size: Size, tokens: int, state: State
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], dict[str, Any]]:
    """Collect the corpus, learn the tokenizer, and put the tokens in order."""
    corpus_documents, account = corpus.collect(given.data, small=given.size == "toy")
    print(
        f"corpus {account['sha256'][:12]}: " + ", ".join(f"{kind} {n / 1e6:.1f} MB" for kind, n in account["characters"].items()),
        flush=True,
    )
    tokenizer = learn_tokenizer(corpus_documents, size.vocabulary, given.seed)
    learnt: dict[str, list[NDArray[np.uint16]]] = {}
    held: list[NDArray[np.uint16]] = []
    for kind, texts in corpus_documents.items():
        documents = encode(tokenizer, texts)
        learnt[kind] = [document for number, document in enumerate(documents) if number % HELD_OUT]
        held += [document for number, document in enumerate(documents) if number % HELD_OUT == 0]
    ids, passes = stream(learnt, tokens, given.seed)
    random.Random(given.seed).shuffle(held)
    measured = np.concatenate(held)[:120_000]
    account["tokens"] = {kind: int(sum(map(len, documents))) for kind, documents in learnt.items()}
    account["passes"] = passes
    state.prepare(ids, measured, account, tokenizer)
    return ids, measured, account


def main() -> None:
    """Collect, learn, write, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the data folder; without it there is no prose")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--tokens", type=int, default=0, help="tokens to train on; by default those of the size")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    tokens = arguments.tokens or size.tokens
    device = "cuda" if torch.cuda.is_available() else "cpu"
    begun = time.monotonic()
    state = State(arguments.out / "state", {"size": asdict(size), "tokens": tokens, "seed": arguments.seed})
    prepared = state.prepared()
    ids, measured, account = prepared if prepared is not None else prepare(arguments, size, tokens, state)
    flat = unigram(ids, measured, size.vocabulary)
    print(f"{sum(account['tokens'].values()):,} tokens, {time.monotonic() - begun:.0f} s; unigram {flat:.3f} nats a token", flush=True)
    model, learning = train(size, ids, measured, arguments.seed, device, state)
    arguments.out.mkdir(parents=True, exist_ok=True)
    model.to("cpu").save_pretrained(str(arguments.out))
    shutil.copy(state.folder / "tokenizer.json", arguments.out / "tokenizer.json")
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "bos_token": END,
        "pad_token": PAD,
        "model_max_length": 2048,
    }
    (arguments.out / "tokenizer_config.json").write_text(json.dumps(described, indent=1) + "\n")
    loss = measure(model, measured, max(size.widths), "cpu")
    record = {
        "size": arguments.size,
        "seed": arguments.seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "shape": asdict(size),
        "corpus": account,
        "learning": learning,
        "characters_per_token": sum(account["characters"].values()) / max(1, sum(account["tokens"].values())),
        "held_out": {"tokens": len(measured), "unigram": flat, "model": loss, "better_by": flat - loss},
        "weights_sha256": hashlib.sha256((arguments.out / "model.safetensors").read_bytes()).hexdigest(),
        "device": device,
    }
    (arguments.out / "tinybase.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(state.folder)
    print(
        f"held out: {loss:.3f} nats a token, unigram {flat:.3f}; {record['parameters']:,} parameters, weights {record['weights_sha256'][:12]}"
    )
    if loss >= flat:
        print("not enough model: it predicts no better than token frequencies; no verdict may rest on it")
    if arguments.size != "toy":
        import judge

        judge.report(arguments.out, arguments.data)


if __name__ == "__main__":
    main()
