"""A verification in lines for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from instructsel.text import aligned
from instructsel.verification.summary import NOT_ENOUGH_MODEL, cost
from instructsel.verification.verdict import Verdicts


def spoken(told: Mapping[str, Any], verdicts: Verdicts) -> list[str]:
    """A verification for people."""
    rows = []
    for grader, found in told["graders"].items():
        means: dict[str, list[float]] = {}
        for each in found["means"]:
            if each["mean"] is not None:
                means.setdefault(each["arm"], []).append(each["mean"])
        rows += [
            [grader, arm, f"{len(values)}", f"{sum(values) / len(values):.4f}", f"{min(values):.4f} to {max(values):.4f}"]
            for arm, values in sorted(means.items())
        ]
    lines = [*aligned(rows, header=["grader", "arm", "models", "mean", "range"], right=(2, 3)), ""]
    lines += _compared(verdicts, told["against"])
    lines += _rates(told)
    if told["skills"] and (forgot := {skill: count for skill, count in told["skills"]["regressed"].items() if count}):
        named = {skill: [arm for arm, row in told["skills"]["rows"].items() if row[skill]["regressed"]] for skill in forgot}
        measured = told["skills"]["measures"]
        lines += [
            "",
            *(
                f"forgotten against {told['skills']['base']}: {f'{measured[skill]}, ' if skill in measured else ''}{skill} by {', '.join(arms)}"
                for skill, arms in named.items()
            ),
        ]
    lines.append("")
    models = {arm: sum(len(seeds) for seeds in draws.values()) for arm, draws in told["arms"].items()}
    lines += [cost(arm, costs, models=models.get(arm, 0)) for arm, costs in told["costs"].items()]
    lines += [
        f"Leakage: {grader} also ranked the rows of {', '.join(arms)}; its verdicts are shown and do not count."
        for grader, arms in told["leakage"].items()
    ]
    lines.append("")
    lines += [
        f"{count} run{'s' * (count > 1)} of {arm} failed or {'are' if count > 1 else 'is'} left: the verdict is without."
        for arm, count in told["missing"].items()
    ]
    if told["outcome"] == NOT_ENOUGH_MODEL:
        lines.append(f"The base is no better than chance ({told['model']['said']}): no verdict may rest on it.")
    lines.append(f"Against {told['against']}: {told['outcome']}.")
    return lines


def _compared(verdicts: Verdicts, against: str) -> list[str]:
    """Every comparison in a row; those the word is about in full, and what holds for several of them once."""
    rows = []
    for each in verdicts:
        found = each.interval
        ends = "" if found.low is None or found.high is None else f"{found.low:+.4f} to {found.high:+.4f}"
        seen = "" if found.detectable is None else f"{found.detectable:.4f}"
        in_sd = "" if found.detectable_sd is None else f"{found.detectable_sd:.2f}"
        again = (
            ""
            if found.bootstrap_low is None or found.bootstrap_high is None
            else f"{found.bootstrap_low:+.4f} to {found.bootstrap_high:+.4f}"
        )
        estimate = f"{found.estimate:+.4f}" if math.isfinite(found.estimate) else ""
        rows.append([each.grader, each.baseline, estimate, ends, again, seen, in_sd, each.outcome + " (leakage)" * each.leakage])
    levels = sorted({f"{100 * each.interval.confidence:.4g}" for each in verdicts})
    header = ["grader", "selection less", "difference", f"{' and '.join(levels)} % interval", "bootstrap", "detectable", "in SD", "verdict"]
    lines = [*aligned(rows, header=header, right=(2, 5, 6)), ""] if rows else []
    asked = list(verdicts.against(against))
    return lines + [each.statement for each in asked] + list(dict.fromkeys(note for each in asked for note in each.interval.notes))


def _rates(told: Mapping[str, Any]) -> list[str]:
    """Win rates and their length bias."""
    lines: list[str] = []
    for judge, arms in told["win_rates"].items():
        rows = [
            [
                arm,
                f"{found['win_rate']:.1f}",
                f"{found['discrete_win_rate']:.1f}",
                "" if (controlled := (found["length_controlled"] or {}).get("win_rate")) is None else f"{controlled:.1f}",
                "" if (official := found["official_length_controlled"]) is None else f"{official:.1f}",
                f"{found['wins']:,} / {found['ties']:,} / {found['losses']:,}",
                f"{found['score']:.3f}",
                f"{found['n_total']:,}",
                f"{found['n_null']:,}",
            ]
            for arm, found in arms.items()
            if found["runs"]
        ]
        header = [judge, "%", "discrete %", "at equal length %", "AlpacaEval's LC %", "win / tie / lose", "(w-l)/n+1", "n", "null"]
        lines += ["", *aligned(rows, header=header, right=(1, 2, 3, 4, 5, 6, 7, 8))]
        bias = told["length_biases"].get(judge) or {}
        if bias.get("r") is not None:
            ends = "" if bias.get("low") is None else f" ({bias['low']:+.2f} to {bias['high']:+.2f})"
            lines.append(f"length bias: over {bias['n']} models, win rate and mean length correlate at r = {bias['r']:+.2f}{ends}")
    return lines


__all__ = ["spoken"]
