"""What this project computes against independent code that computes the same: how far apart are they?

    python benchmarks/equalities.py ../shared/data

Tiny language models with random weights, made on the spot, on real rows. Masks: every token and label of a fine-tune against those
that TRL's trainer prepares. Held-out loss: every item against plain transformers, one row at a time, in float64 after the logits.
lm-eval: every item of two tasks against the harness's own `simple_evaluate`. AlpacaEval: the win rates of real annotations against
the package's own. Fits: 120 drawn data sets against statsmodels. Resume: fine-tunes killed after some steps, weights against those of
one that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _record
import numpy as np

ROWS = 60
"""Of each pool."""
FITS = 120
KILLS = (1, 3, 6)
"""Steps after which a fine-tune is killed."""
MARKERS = ("<|im_start|>", "<|start|>", "<|stop|>")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ message.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}<|start|>{{ message.role }}<|stop|>\n\n"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content | trim }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message.content | trim }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}"
    "{% generation %} {{ message.content | trim }}{{ eos_token }}{% endgeneration %}"
    "{% else %}[INST] {{ message.content | trim }} [/INST]{% endif %}{% endfor %}"
)
TEMPLATES = {"chatml": CHATML, "headers": HEADERS, "brackets": BRACKETS, "tulu": None}


def texts(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a compressed file."""
    from instructsel.pool.sources import zstd

    for line in zstd.decompress(path.read_bytes()).decode().split("\n"):
        if line:
            yield json.loads(line)


def base(folder: Path, corpus: list[str], template: str | None, kind: str = "llama", seed: int = 0) -> Path:
    """A language model with random weights, a byte-level tokenizer of the corpus, and a chat template."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<pad>", "<|im_end|>", "<s>", *MARKERS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokens.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=1200, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    tokens.decoder = None
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="<|im_end|>", bos_token="<s>", additional_special_tokens=list(MARKERS)
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(seed)
    small = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "initializer_range": 0.2}
    attention = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 4096,
    }
    config: Any = {
        "llama": lambda: transformers.LlamaConfig(**small, **attention),
        "gpt2": lambda: transformers.GPT2Config(**small, n_embd=48, n_layer=2, n_head=4, n_positions=4096),
        "qwen2": lambda: transformers.Qwen2Config(**small, **attention, num_key_value_heads=2),
    }[kind]()
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    return folder


def masks(place: Path, pools: dict[str, Any], corpus: list[str]) -> dict[str, Any]:
    """Rows whose tokens or labels differ from TRL's, for each template, pool, loss and length."""
    import transformers
    from trl import SFTConfig, SFTTrainer

    from instructsel.adapters import to_trl
    from instructsel.grading.chat import ChatTemplate, messages

    cases: dict[str, Any] = {}
    for name, template in TEMPLATES.items():
        folder = base(place / name, corpus, template)
        chat = ChatTemplate.load(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(str(folder))
        for source, pool in pools.items():
            for loss, length in (("completion", None), ("completion", 128), ("assistant", None)):
                if loss == "assistant":
                    import datasets

                    rows = datasets.Dataset.from_list([{"messages": messages(example)} for example in pool.examples()])
                else:
                    rows = to_trl(pool)
                encoded = list(chat.encode_all(pool.examples(), loss=loss, max_length=length))
                ours = [
                    (row.ids, [token if on else -100 for token, on in zip(row.ids, row.loss_mask, strict=True)])
                    for row in encoded
                    if row.reason is None
                ]
                config = SFTConfig(
                    str(place / "out"),
                    use_cpu=True,
                    bf16=False,
                    report_to="none",
                    max_length=length,
                    assistant_only_loss=loss == "assistant",
                    disable_tqdm=True,
                )
                prepared: Any = SFTTrainer(model, config, train_dataset=rows, processing_class=chat.tokenizer).train_dataset
                theirs = [
                    (ids, labels)
                    for ids, labels in zip(prepared["input_ids"], prepared["labels"], strict=True)
                    # A row whose labels are all masked teaches nothing; we count it as skipped.
                    if any(label != -100 for label in labels[1:])
                ]
                spelled = sum(row.control for row in encoded)
                pairs = list(zip(ours, theirs, strict=False)) if len(ours) == len(theirs) else []
                # A token that reaches from a prompt into its response: TRL trains on it with a loss on assistant turns, we do not. The rows
                # that have one are equal where all their other labels are.
                reaching = [_reaching(chat, example) for example, row in zip(pool.examples(), encoded, strict=True) if row.reason is None]
                # TRL takes the prompt's own tokens as its length, and warns where they are no prefix of the row's; we go by the text.
                merged = 0 if loss == "assistant" else sum(_merges(chat, example) for example in pool.examples())
                cases[f"{name}, {source}, {loss}, {length or 'all'}"] = {
                    "rows": len(ours),
                    "rows_of_trl": len(theirs),
                    "equal": sum(one == other for one, other in pairs),
                    "equal_but_for_reaching": sum(
                        _equal(one, other, between) for (one, other), between in zip(pairs, reaching if pairs else [], strict=True)
                    ),
                    "rows_with_reaching": sum(map(bool, reaching)),
                    "equal_tokens": sum(one[0] == other[0] for one, other in pairs),
                    "prompt_is_no_token_prefix": merged,
                    "spells_control": spelled,
                }
    plain = [case for case in cases.values() if not case["prompt_is_no_token_prefix"]]
    return {
        "cases": cases,
        "equal": sum(case["equal_but_for_reaching"] == case["rows"] == case["rows_of_trl"] for case in plain),
        "of": len(plain),
        "rows_with_a_token_that_reaches_into_the_response": sum(case["rows"] - case["equal"] for case in plain),
        "prompt_is_no_token_prefix": len(cases) - len(plain),
        "equal_tokens": sum(case["equal_tokens"] == case["rows"] for case in cases.values()),
    }


def _reaching(chat: Any, example: Any) -> set[int]:
    """Which tokens of a row begin in a prompt and end in its response."""
    from instructsel.grading.chat import messages

    turns = messages(example)
    row = chat.tokenizer(chat.tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    prompts = [len(chat.prompt(turns[:number])) for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    return {number for number, (start, stop) in enumerate(row) if any(start < prompt < stop for prompt in prompts)}


def _equal(one: tuple[list[int], list[int]], other: tuple[list[int], list[int]], between: set[int]) -> bool:
    """Whether two rows have equal tokens, and equal labels but for those of some tokens."""
    labels = zip(one[1], other[1], strict=True) if len(one[1]) == len(other[1]) else ()
    return one[0] == other[0] and all(ours == theirs or number in between for number, (ours, theirs) in enumerate(labels))


def _merges(chat: Any, example: Any) -> bool:
    """Whether a row's tokens do not begin with those of its prompt alone."""
    from instructsel.grading.chat import messages

    turns = messages(example)
    prompt = chat.tokenizer(chat.prompt(turns[:-1]), add_special_tokens=False)["input_ids"]
    row = chat.tokenizer(chat.tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    return bool(row[: len(prompt)] != prompt)


def held_out(place: Path, pools: dict[str, Any], corpus: list[str]) -> dict[str, Any]:
    """The largest difference of an item's loss from plain transformers, for each kind of model."""
    import torch
    import transformers

    from instructsel.adapters import HeldOutLoss, checkpoint_of
    from instructsel.grading.chat import ChatTemplate

    differences: dict[str, Any] = {}
    for kind in ("llama", "gpt2", "qwen2"):
        folder = base(place / kind, corpus, CHATML, kind)
        network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
        chat = ChatTemplate.load(folder)
        for source, pool in pools.items():
            grades = HeldOutLoss(pool, precision="fp32", device="cpu").grade(checkpoint_of(str(folder)))
            worst = 0.0
            for row, value, valid in zip(chat.encode_all(pool.examples()), grades.values, grades.valid, strict=True):
                if not valid:
                    continue
                ids = torch.tensor([row.ids])
                with torch.inference_mode():
                    likely = torch.log_softmax(network(input_ids=ids).logits[0, :-1].double(), -1)
                losses = -likely[torch.arange(len(row.ids) - 1), ids[0, 1:]][torch.tensor(row.loss_mask[1:])]
                worst = max(worst, abs(float(losses.mean()) - float(value)))
            differences[f"{kind}, {source}"] = {"items": int(grades.valid.sum()), "largest_difference": worst}
    return {"cases": differences, "largest_difference": max(case["largest_difference"] for case in differences.values())}


def lm_eval(place: Path, data: Path, corpus: list[str]) -> dict[str, Any]:
    """Items whose value differs from that of the harness's own run."""
    import lm_eval
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from instructsel.adapters import Generation, LmEval, checkpoint_of, write_task

    folder = base(place / "model", corpus, None)
    tasks = place / "tasks"
    tasks.mkdir()
    choices = [
        {"query": row["question"], "choices": [row[letter] for letter in "ABCD"], "gold": "ABCD".index(row["answer"])}
        for _, row in zip(range(ROWS), texts(data / "eval" / "mmlu_dev_and_test_sample.jsonl.zst"), strict=False)
    ]
    problems = [
        {"prompt": row["question"], "answer": row["answer"].split("####")[-1].strip()}
        for row in list(texts(data / "eval" / "gsm8k_test.jsonl.zst"))[:ROWS]
    ]
    for name, rows, kind in (("choosing", choices, None), ("writing", problems, Generation(max_new_tokens=8, until=["\n"]))):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        write_task(place / f"{name}.jsonl", tasks, name=name, **({} if kind is None else {"kind": kind}))
    graders = LmEval.graders(["choosing", "writing"], include_path=tasks, device="cpu", precision="fp32", batch_size=4)
    ours = {grader.name: grader.grade(checkpoint_of(str(folder))) for grader in graders}
    network = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    model = HFLM(pretrained=network, tokenizer=transformers.AutoTokenizer.from_pretrained(str(folder)), batch_size=4)
    theirs: Any = lm_eval.simple_evaluate(
        model, tasks=["choosing", "writing"], task_manager=TaskManager(include_path=str(tasks), include_defaults=False), bootstrap_iters=0
    )
    items = differing = 0
    for name, grades in ours.items():
        _, task, metric = name.split(":")
        metric, _, filtered = metric.partition(",")
        samples = {
            sample["doc_hash"]: float(sample[metric]) for sample in theirs["samples"][task] if filtered in ("", sample.get("filter"))
        }
        for item, value in zip(grades.items, grades.values, strict=True):
            # An item's name has the beginning of its document's hash.
            reference = next(figure for digest, figure in samples.items() if digest.startswith(item.split("/")[1].split("#")[0]))
            items += 1
            differing += int(abs(reference - value) > 1e-9)
    return {"items": items, "differing": differing}


def alpaca_eval(data: Path) -> dict[str, Any]:
    """The largest difference of a win rate or a standard error from the package's own, over real annotation sets."""
    import pandas as pd
    from alpaca_eval.metrics import pairwise_to_winrate

    from instructsel.verification.win_rates import win_rate

    sets: dict[str, list[dict[str, Any]]] = {}
    for row in texts(data / "eval" / "alpaca_eval_annotations.jsonl.zst"):
        sets.setdefault(f"{row['_annotator_dir']} {row['_model_dir']}", []).append(row)
    worst = 0.0
    for rows in sets.values():
        preferences = [row["preference"] for row in rows]
        ours, theirs = win_rate(preferences), pairwise_to_winrate(pd.Series(preferences, dtype=float).dropna())
        pairs = (
            (ours.win_rate, theirs["win_rate"]),
            (ours.standard_error, theirs["standard_error"]),
            (ours.discrete_win_rate, theirs["discrete_win_rate"]),
        )
        worst = max(worst, *(abs(float(one or 0) - float(other)) for one, other in pairs))
        if (ours.wins, ours.losses, ours.ties) != (theirs["n_wins"], theirs["n_wins_base"], theirs["n_draws"]):
            raise SystemExit(f"Wins, losses and ties differ: {ours} and {theirs}.")
    return {"sets": len(sets), "largest_difference": worst}


def fits() -> dict[str, Any]:
    """The largest relative difference of an estimate, standard error, p value or R² from statsmodels'."""
    import statsmodels.api as sm

    from instructsel import fit

    generator = np.random.default_rng(0)
    worst = 0.0
    for _ in range(FITS):
        n, k = int(generator.integers(12, 120)), int(generator.integers(1, 6))
        names = tuple(("rew", "len", "mtld", "ppl", "knn_6")[:k])
        columns: dict[str, Any] = {name: generator.normal(generator.normal(0, 10), 10 ** generator.uniform(-2, 2), n) for name in names}
        columns["log_loss"] = sum(generator.normal() * columns[name] / columns[name].std() for name in names) + generator.normal(0, 1, n)
        summary = fit(columns, indicators=names, bootstrap=0).summary
        reference = sm.OLS(columns["log_loss"], sm.add_constant(np.column_stack([columns[name] for name in names]))).fit()
        for ours, theirs in (
            ([term.weight for term in summary.estimates], reference.params),
            ([term.se for term in summary.estimates], reference.bse),
            ([term.p for term in summary.estimates], reference.pvalues),
            ([summary.r2, summary.adjusted_r2], [reference.rsquared, reference.rsquared_adj]),
        ):
            one, other = np.array(ours, dtype=float), np.array(theirs, dtype=float)
            worst = max(worst, float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-9))))
    return {"fits": FITS, "largest_relative_difference": worst}


JOB = """
import os, signal, sys
from pathlib import Path
from instructsel import Pool
from instructsel.adapters import TrlTrainer, recipe
base, pool, out, kill, method = sys.argv[1:]
settings = {"steps": 8, "batch_size": 4, "micro_batch_size": 2, "max_length": 1024, "method": method, "learning_rate": 1e-3}
def stop(steps, of, loss):
    if steps == int(kill):
        os.kill(os.getpid(), signal.SIGKILL)
trainer = TrlTrainer(base, recipe("tiny", **settings), Path(out), device="cpu", precision="fp32", save_every=0, progress=stop, max_skipped_fraction=0.5)
print(trainer.train(Pool.read(pool), seed=3).digest)
"""


def resumed(place: Path, pool: Path, corpus: list[str]) -> dict[str, Any]:
    """Fine-tunes killed after some steps whose weights, once resumed, are those of one that was not killed."""
    folder = base(place / "base", corpus, CHATML)
    equal = count = 0
    for method in ("full", "lora"):

        def run(name: str, kill: int, method: str = method) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", JOB, str(folder), str(pool), str(place / name), str(kill), method]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        whole = run(f"{method}-whole", 0).stdout.strip()
        if not whole:
            raise SystemExit("The fine-tune that nobody killed failed.")
        for kill in KILLS:
            if run(f"{method}-{kill}", kill).returncode != -signal.SIGKILL:
                raise SystemExit(f"The fine-tune was not killed after step {kill}.")
            count += 1
            equal += run(f"{method}-{kill}", 0).stdout.strip() == whole
    return {"kills": count, "equal_weights": equal}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets
    import transformers

    from instructsel import Pool

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        pools: dict[str, Any] = {}
        for name in ("dolly", "alpaca", "lima_history"):
            path = place / f"{name}.jsonl"
            rows = [row for _, row in zip(range(ROWS), texts(data / "pools" / f"{name}.jsonl.zst"), strict=False)]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            pools[name] = Pool.read(path)
        corpus = [turn.content for pool in pools.values() for example in pool.examples() for turn in example.messages]
        figures: dict[str, Any] = {}
        for name, work in {
            "fits": fits,
            "alpaca_eval": lambda: alpaca_eval(data),
            "masks": lambda: masks(place / "masks", pools, corpus),
            "held_out_loss": lambda: held_out(place / "held_out", pools, corpus),
            "lm_eval": lambda: lm_eval(folder(place / "lm_eval"), data, corpus),
            "resume": lambda: resumed(folder(place / "resume"), place / "dolly.jsonl", corpus),
        }.items():
            figures[name] = work()
            print(name, {key: value for key, value in figures[name].items() if key != "cases"}, flush=True)
        print(_record.write("equalities", figures, "torch", "transformers", "trl", "peft", "lm_eval", "alpaca_eval", "statsmodels"))


def folder(path: Path) -> Path:
    """Made."""
    path.mkdir(parents=True)
    return path


if __name__ == "__main__":
    main()
