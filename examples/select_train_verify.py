"""The whole method in one flat file: score a pool, select, train, grade, and compare with random subsets.

    python examples/select_train_verify.py
    python examples/select_train_verify.py --pool pool.jsonl --base my-org/my-base --n 2000 --preset paper-v1

Read it from top to bottom. `instructsel verify` (in Python: `verify`) does the same, and also resumes after an interruption, runs in
parallel, matches compute, and plans the number of runs. Without --base, a model of 0.2 million parameters with random weights is
trained: its verdict shows the steps and says nothing about real models.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from instructsel import Candidates, Pool, Run, SelectionSettings, Verification, load_rule, random_subset, score, select
from instructsel.adapters import HeldOutLoss, TrlTrainer, recipe

HERE = Path(__file__).resolve().parent


def tiny_base(folder: Path, pool: Pool) -> str:
    """A language model with random weights and a tokenizer of the pool's own words, so that nothing is downloaded."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    tokenizer = ByteLevelBPETokenizer()
    texts = (message.content for example in pool.examples() for message in example.messages)
    tokenizer.train_from_iterator(texts, vocab_size=1000, special_tokens=["<pad>", "<eos>"], show_progress=False)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, pad_token="<pad>", eos_token="<eos>")
    wrapped.save_pretrained(folder)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def main(arguments: argparse.Namespace, folder: Path) -> Verification:
    """Score, select, train, grade, compare."""
    # 1. Read the pool. The rows the models are graded on are set aside first: nothing of them may be trained on.
    rows = Pool.read(arguments.pool)
    held_out = rows.sample(arguments.held_out, seed=0)
    pool = rows.take(set(rows.ids) - set(held_out.ids))
    print(f"{len(pool):,} examples to choose from, {len(held_out):,} held out")

    # 2. Score every example with the indicators of a rule: a table with one column each.
    rule = load_rule(arguments.rule)
    table = score(pool, rule.indicators)

    # 3. Select the best examples by the rule. Exact and near-duplicates are dropped, and the budget is filled in rank order.
    settings = SelectionSettings(budget=arguments.n)
    selection = select(pool, table, rule, settings=settings)
    print(f"selected {arguments.n:,} of {len(pool):,} by {arguments.rule}")

    # 4. The baseline: random subsets of the same size, from the same candidates. Several, for one may be good or bad by luck.
    candidates = Candidates.of(pool, settings)
    subsets = [random_subset(candidates, arguments.n, seed) for seed in range(arguments.random_subsets)]

    # 5. The grader: the loss on each held-out response, in nats per token. Lower is better.
    grader = HeldOutLoss(held_out, device=arguments.device, precision="fp32")

    # 6. Train every subset with every seed by the same recipe, and grade each model on the same examples.
    base = arguments.base or tiny_base(folder / "base", pool)
    trainer = TrlTrainer(base, recipe(arguments.preset, epochs=arguments.epochs), folder / "checkpoints", device=arguments.device)
    runs = []
    for arm, pools in {"selection": [selection.of(pool)], "random": subsets}.items():
        for replicate, subset in enumerate(pools):
            for seed in range(arguments.seeds):
                checkpoint = trainer.train(subset, seed=seed)
                grades = grader.grade(checkpoint)
                checkpoint.discard()
                runs.append(Run(arm, replicate, seed, grades))
                print(f"{arm} {replicate}, seed {seed}: held-out loss {grades.weighted_mean:.4f} nats per token")

    # 7. Compare. Every model graded the same examples, so the difference is paired item by item, and its interval accounts for
    #    both new examples and new runs (subsets and seeds).
    verification = Verification.of(runs)
    verdict = verification.verdict("selection", "random", grader.name)
    print(f"outcome: {verdict.outcome}")
    print(verdict.statement)
    return verification


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, default=HERE / "clean.jsonl", help="rows to choose from and to hold out")
    parser.add_argument("--base", help="a local folder or a hub id; a tiny random model by default")
    parser.add_argument("--rule", default="eq4-without-reward", help="a preset or a rule file")
    parser.add_argument("--preset", default="tiny", help="the recipe of the fine-tune")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--n", type=int, default=60, help="examples to select")
    parser.add_argument("--held-out", type=int, default=80, help="examples to grade on")
    parser.add_argument("--random-subsets", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    return parser.parse_args(arguments)


def run() -> None:
    """The whole method in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as workplace:
        main(parsed(), Path(workplace))


if __name__ == "__main__":
    run()
