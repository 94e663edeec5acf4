"""Write docs/why/embedded_reward.md from benchmarks/results/embedded_reward*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "why" / "embedded_reward.md"
RESULTS = ROOT / "benchmarks" / "results"
DESIGNS = {
    "frozen": "MiniLM as it is, a linear head on the mean over the response; spoilt answers only",
    "mean": "low-rank changes in all six layers (queries, values, outputs of attention and feed-forward layers), prompt and response read together, linear head on the mean over the response; spoilt answers only",
    "mixed": "the same with first token, mean and maximum, and a hidden layer of 64",
    "apart": "prompt and response read apart; both vectors, their difference and product, a hidden layer of 64",
    "mean+oasst": "`mean`, learning from OASST1 ranks too",
    "mean+harmless": "`mean`, learning from HH harmless too",
    "final": "what ships",
}


def load(name: str) -> dict[str, Any]:
    """A results file."""
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return figures


def share(figure: dict[str, Any]) -> str:
    """A proportion with its interval."""
    return "" if figure["value"] is None else f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def signed(figure: dict[str, Any]) -> str:
    """A correlation or a difference with its interval."""
    return "" if figure["value"] is None else f"{figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def called(name: str, each: dict[str, Any]) -> str:
    """A set's name, with what must be said of it."""
    return name + ("" if each["unseen"] else " (family used in development)")


def development(entry: dict[str, Any] | None) -> str:
    """An accuracy of the development figures."""
    return "" if entry is None else f"{entry['accuracy']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}] (n {entry['n']:,})"


def removed(figures: dict[str, Any]) -> list[str]:
    """Whom a minimum removes, by category and by length of the prompt, in both versions of the indicator."""
    first, second = figures["versions"]["1"], figures["versions"]["2"]
    null = figures["prompt_truncated_by_category"]

    def rows(groups: str, names: dict[str, str]) -> list[list[str]]:
        return [
            [
                label,
                f"{first[groups][name]['rows']:,}",
                f"{first[groups][name]['removed']:.1%}",
                f"{second[groups][name]['removed']:.1%}",
                f"{null[name]:.1%}" if groups == "by_category" else "",
            ]
            for name, label in names.items()
        ]

    starts = sorted(int(name.split()[0]) for name in first["by_prompt_length"])
    bands = {
        f"{start} word pieces and more": f"prompts of {start}" + (f" to {end - 1} word pieces" if end else " word pieces and more")
        for start, end in zip(starts, [*starts[1:], None], strict=True)
    }
    return [
        "## Whom a minimum removes",
        "",
        f"{figures['rows']:,} rows of Dolly and the lowest tenth of their values (`benchmarks/plausibility_minimum.py`). The model reads 192 word pieces, and a long answer leaves the prompt 64. Version 1 of the indicator cut longer prompts, and",
        f"a prompt that was cut looks mismatched to its answer: its minimum was a filter against long prompts. Version 2 gives such rows no value (`prompt_truncated`, {figures['prompt_truncated']:,} rows), and a minimum keeps them. All other figures of this page",
        "are of values with cut prompts.",
        "",
        *table(
            ["rows", "n", "removed by version 1", "by version 2", "null in version 2"],
            [
                *rows("by_category", {name: name.replace("_", " ") for name in first["by_category"]}),
                *rows("by_prompt_length", bands),
            ],
        ),
    ]


def page() -> str:
    """The page's text, every figure from the results files."""
    figures, designs, training = load("embedded_reward"), load("embedded_reward_designs"), load("embedded_reward_training")
    sets = figures["sets"]
    unseen = [name for name, evaluation in sets.items() if evaluation["unseen"]]
    beaten = figures["unseen_sets_beating_chance"]
    pairs = ", ".join(f"{count:,} {family}" for family, count in training["pairs"].items())
    lines = [
        "# Why there is no embedded reward",
        "",
        f"Written by `docs/build_embedded_reward.py` from `benchmarks/results/embedded_reward*.json` (commit {figures['commit']}, {figures['date'][:10]}).",
        "",
        "Eq. 4's strongest term is a reward model of 0.4 billion parameters or more. The question was whether one of 3 MB over the embedded MiniLM could stand in for it. What would count was written down before",
        "the first evaluation (`benchmarks/LOG.md`): beating chance on length-matched human pairs of at least three of five sets never seen; with prompts instead of pairs drawn, and with lengths balanced, too.",
        "",
        f"**It beats chance on {len(beaten)} of {len(unseen)} ({', '.join(beaten) or 'none'}), so it is not called a reward.** What it does do is tell whole answers from spoilt ones, in pools it never saw. It ships as the",
        "indicator `plausibility`, under which `instructsel select --min plausibility=10%` leaves out the lowest tenth; read below whom that removes. `--rule eq4` with a real reward model stays one flag away: `--reward MODEL`.",
        "",
        "## Human pairs it never saw",
        "",
        "Share of pairs in which the answer people preferred gets the higher value. Of one length: the two differ by at most 10 % in words. Balanced: all pairs, weighed so that the longer answer is the better one in half of them.",
        "",
        *table(
            ["set", "n", "plausibility", "balanced", "longer wins", "cosine(prompt, response)"],
            [
                [
                    called(name, sets[name]),
                    f"{sets[name]['n']:,}",
                    share(sets[name]["accuracy"]),
                    share(sets[name]["length_balanced"]),
                    share(sets[name]["longer_wins"]["all"]),
                    share(sets[name]["cosine"]["all"]),
                ]
                for name in sets
            ],
        ),
        "Pairs of one length:",
        "",
        *table(
            ["set", "n", "plausibility", "prompts drawn", "longer wins", "cosine(prompt, response)", "ahead of longer", "ahead of cosine"],
            [
                [
                    called(name, sets[name]),
                    f"{sets[name]['length_matched']['n']:,}",
                    share(sets[name]["length_matched"]),
                    share(sets[name]["by_prompt"]["length_matched"]),
                    share(sets[name]["longer_wins"]["length_matched"]),
                    share(sets[name]["cosine"]["length_matched"]),
                    signed(sets[name]["ahead_of_longer"]["length_matched"]),
                    signed(sets[name]["ahead_of_cosine"]["length_matched"]),
                ]
                for name in sets
            ],
        ),
        "LLMBar's subsets: "
        + "; ".join(f"{name} {share(subset['accuracy'])} (n {subset['n']})" for name, subset in sets["llmbar"]["subsets"].items())
        + ".",
        "",
        "## Spoilt answers of other pools",
        "",
        "Alpaca, LIMA, Self-Instruct, CodeAlpaca and Alpaca-GPT4. Recall: share of spoilt answers that get a lower value than the original. AUC: how well values tell spoilt from untouched answers to *different* prompts, which",
        "is what a minimum has to do. Below the 10th percentile: share of spoilt answers that a minimum at the lowest tenth of the untouched would catch.",
        "",
        *table(
            ["kind", "recall", "AUC across prompts", "below the 10th percentile"],
            [
                [
                    kind,
                    share(kind_figures["all_pools"]["recall"]),
                    share(kind_figures["all_pools"]["detection"]),
                    share(kind_figures["all_pools"]["below_10th_percentile"]),
                ]
                for kind, kind_figures in figures["corruption"]["kinds"].items()
            ],
        ),
        *removed(load("plausibility_minimum")),
        "## Pairs written for this project",
        "",
        *table(["kind", "right"], [[kind, share(kind_figures["accuracy"])] for kind, kind_figures in figures["own"]["kinds"].items()]),
        "## Real reward models and ratings",
        "",
        f"Best of 16 answers to {figures['reward_models']['prompts']} AlpacaEval prompts: how high our value puts the answer each reward model picked (0.5 is chance), among all and among the five answers nearest to it in length.",
        "",
        *table(
            ["reward model", "percentile of its pick", "among answers of its length", "the same by length alone"],
            [
                [
                    name,
                    share(picks["score"]["percentile_of_pick"]),
                    share(picks["score"]["percentile_among_nearest_in_length"]),
                    share(picks["longest"]["percentile_of_pick"]),
                ]
                for name, picks in figures["reward_models"]["picks"].items()
            ],
        ),
        "Spearman correlation with ratings, and what is left of it without length:",
        "",
        *table(
            ["rating", "n", "plain", "without length", "length alone"],
            [
                [
                    name,
                    f"{rating['n']:,}",
                    signed(rating["score"]["plain"]),
                    signed(rating["score"]["without_length"]),
                    signed(rating["length"]["plain"]),
                ]
                for name, rating in figures["ratings"].items()
                if isinstance(rating, dict) and "score" in rating
            ],
        ),
        "## Its scale",
        "",
        *(
            f"- {name}: standard deviation {rating['standard_deviation']['value']:.2f}; as a reward it would move Eq. 4's value by {rating['contribution_of_reward']['value']:.3f} a standard deviation (Len: {rating['contribution_of_length']['value']:.4f})."
            for name, rating in figures["scale"].items()
            if isinstance(rating, dict)
        ),
        "- One unit of it is worth, in log-odds of being preferred by people: "
        + "; ".join(
            f"{name} {evaluation['calibration']['scale']['value']:.2f}" for name, evaluation in sets.items() if evaluation["unseen"]
        )
        + ". A reward model trained by Bradley–Terry has 1 on its own data.",
        "- Taken as log-odds, its differences are off by (expected calibration error, in shares): "
        + "; ".join(
            f"{name} {evaluation['calibration']['error_at_1']['value']:.2f}" for name, evaluation in sets.items() if evaluation["unseen"]
        )
        + ".",
        "",
        "## Designs that were tried",
        "",
        f"Chosen by development figures alone: OASST1 and HH harmless pairs (all OASST1 pairs, or 400 of HH, where the design did not learn from them, else held-out conversations) and spoilt answers of held-out rows. What ships learnt from {pairs} pairs (`{training['design']}`, seed {training['seed']}).",
        "",
        *table(
            ["design", "", "spoilt answers", "OASST1, all", "OASST1, lengths within 20 %", "HH harmless"],
            [
                [
                    f"`{name}`",
                    DESIGNS.get(name, ""),
                    development(entry["figures"].get("corruption all")),
                    development(entry["figures"].get("oasst all")),
                    development(entry["figures"].get("oasst matched_20")),
                    development(entry["figures"].get("harmless all")),
                ]
                for name, entry in designs.items()
            ],
        ),
        "## Limits",
        "",
        *(f"- {limit}" for limit in json.loads((ROOT / "instructsel/models/plausibility.json").read_text(encoding="utf-8"))["limits"]),
        "- It learnt from answers of Dolly: on that pool its values flatter the rows it saw.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
