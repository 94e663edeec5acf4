"""The card of the weights that ship: what they learnt from, what they were shown to detect and what not, every figure from the results files."""

from __future__ import annotations

from typing import Any, Final

LICENCES: Final = {
    "pools/dolly.jsonl.zst": "databricks-dolly-15k, CC BY-SA 3.0",
    "pools/oasst1_en_validation_messages.jsonl.zst": "OpenAssistant oasst1, Apache-2.0",
    "pools/oasst_en_100_tree.jsonl.zst": "OpenAssistant oasst1, Apache-2.0",
    "pools/self_instruct_seed_tasks.jsonl.zst": "Self-Instruct seed tasks, Apache-2.0",
    "pools/gsm8k_train.jsonl.zst": "GSM8K, training part, MIT",
    "preferences/hh_harmless_base_test.jsonl.zst": "HH-RLHF harmless-base, MIT",
}
NEEDED: Final = 3
LIMITS: Final = (
    "English. Prompts in other scripts are null; other languages in Latin letters get a value that means little.",
    "It sees 192 word pieces: of a long response the beginning and the last 48.",
    "It does not know facts: wrong answers in good English pass.",
    "It prefers an answer to a refusal, also where refusing is right.",
    "Upper case, line breaks and layout are invisible to it.",
    "Values compare best between answers to one prompt; between prompts they also carry what kind of prompt it is.",
)


def card(results: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """The card from benchmarks/results/embedded_reward.json and embedded_reward_training.json."""
    sets = results["sets"]
    beaten = results["unseen_sets_beating_chance"]
    return {
        "name": "instructsel/plausibility",
        "base": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), changed by low-rank matrices; a linear head on the mean over the response",
        "weights": training["weights"],
        "outcome": "reward" if len(beaten) >= NEEDED else "plausibility",
        "rule": f"a reward if it beats chance on length-matched human pairs of {NEEDED} unseen sets; it does on {len(beaten)}",
        "data": [{"file": name, "what": LICENCES[name], "sha256": digest} for name, digest in sorted(training["files"].items())],
        "own_data": "refusals and texts in other languages written for this project (benchmarks/models/embedded_reward)",
        "licence": "Apache-2.0, like the package. Dolly, which it learnt from, is CC BY-SA 3.0; whether weights adapt what they learnt from is not settled, so treat them as CC BY-SA 3.0 where that matters.",
        "languages": ["en"],
        "pairs": training["pairs"],
        "unseen_sets": {
            name: {
                "n": figures["n"],
                "accuracy": figures["accuracy"],
                "length_matched": figures["length_matched"],
                "length_balanced": figures["length_balanced"],
                "longer_wins": figures["longer_wins"]["all"],
                "cosine": figures["cosine"]["all"],
                "beats_chance": figures["beats_chance"],
            }
            for name, figures in sets.items()
            if figures["unseen"]
        },
        "detects": {
            kind: {"recall": figures["all_pools"]["recall"], "detection": figures["all_pools"]["detection"]}
            for kind, figures in results["corruption"]["kinds"].items()
        },
        "own_pairs": {kind: figures["accuracy"] for kind, figures in results["own"]["kinds"].items()},
        "limits": list(LIMITS),
        "figures": f"benchmarks/results/embedded_reward.json, commit {results['commit']}, {results['date'][:10]}",
    }
