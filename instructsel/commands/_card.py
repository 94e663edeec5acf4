"""The card of the plausibility model, for people."""

from __future__ import annotations

from typing import Any

from instructsel.text import aligned


def lines(card: dict[str, Any]) -> list[str]:
    """What the model learnt from, what it detects, how it does on human pairs, its limits."""
    return [
        f"{card['name']}: an indicator, no rule and no reward" if card["outcome"] == "plausibility" else f"{card['name']}: a reward",
        f"made of {card['base']}",
        f"called by this: {card['rule']}",
        "",
        *aligned(
            [
                [
                    name,
                    entry["n"],
                    *(_share(entry[key]) for key in ("accuracy", "length_matched", "length_balanced", "longer_wins", "cosine")),
                ]
                for name, entry in card["unseen_sets"].items()
            ],
            header=["human pairs it never saw", "n", "right", "of one length", "balanced", "longer wins", "cosine"],
            right=(1,),
        ),
        "",
        *aligned(
            [[kind, _share(entry["recall"]), _share(entry["detection"])] for kind, entry in card["detects"].items()],
            header=["spoilt answers, other pools", "ranked below the original", "told apart across prompts (AUC)"],
        ),
        "",
        "learnt from: " + "; ".join(dict.fromkeys(entry["what"] for entry in card["data"])) + f"; {card['own_data']}",
        f"licence: {card['licence']}",
        f"languages: {', '.join(card['languages'])}",
        *(f"limit: {limit}" for limit in card["limits"]),
        f"figures: {card['figures']}; shares with 95% intervals",
    ]


def _share(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return ""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
