"""A verification in sentences: the outcome, each comparison, and the lines that `instructsel verify` prints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from instructsel.pool.overlap import Overlap
from instructsel.reports.figures import alike
from instructsel.reports.figures import plain as for_terminal
from instructsel.stats.intervals import pooling
from instructsel.text import aligned, counted, natural, wrapped
from instructsel.verification.by_source import arm_means
from instructsel.verification.grades_table import RATIOS
from instructsel.verification.learning_rates import DEPENDS
from instructsel.verification.summary import NOT_ENOUGH_MODEL, cost
from instructsel.verification.verdict import BETTER, NO_DIFFERENCE, NOT_ENOUGH, WORSE, Verdict, Verdicts

WIDTH: Final = 80
"""Characters of a printed line."""
MANY: Final = 12
"""More graders than these are printed as a table with a row each."""
ROWS: Final = 40
"""Of this table."""
SOURCES: Final = 12
"""Sources of an evaluation set that are printed."""
PHRASES: Final[Mapping[str, str]] = {
    BETTER: "better than {against}",
    WORSE: "worse than {against}",
    NO_DIFFERENCE: "no detectable difference from {against}",
    NOT_ENOUGH: "not enough data for a verdict against {against}",
}


def headline(plain: Mapping[str, Any]) -> list[str]:
    """The outcome of a verification as sentences: against which baseline, by how much, and what stands in its way.

    >>> headline({"outcome": "better", "against": "random"})
    ['Outcome: better than random.']
    """
    verdicts = [verdict for verdict in (plain.get("verdicts") or {}).get("verdicts") or [] if isinstance(verdict, Mapping)]
    baselines = {verdict.get("baseline") for verdict in verdicts}
    alone = next(iter(baselines)) if len(baselines) == 1 else None
    outcome = plain.get("outcome") or ((plain.get("verdicts") or {}).get("outcome") if alone else None)
    against = plain.get("against") or alone
    if outcome is None or against is None:
        overall = (plain.get("verdicts") or {}).get("outcome")
        return [f"Outcome over all baselines: {overall}.", *_contaminated(plain)] if overall else _contaminated(plain)
    if outcome == NOT_ENOUGH_MODEL:
        standing = (plain.get("model") or {}).get("said")
        return [
            f"Outcome: not enough model. The base is no better than chance: {standing}. Its fine-tunes show nothing.",
            *_contaminated(plain),
        ]
    phrase = PHRASES.get(str(outcome), f"{outcome} ({{against}})").format(against=against)
    deciding = [verdict for verdict in verdicts if verdict.get("baseline") == against and not verdict.get("leakage")]
    sentences = [f"Outcome: {phrase}."]
    if outcome == DEPENDS:
        sentences = [f"Outcome: {DEPENDS} (against {against})."]
    elif plain.get("learning_rates"):
        sentences = [f"Outcome: {phrase}, over all learning rates."]
    elif len(deciding) == 1 and (measured := difference(deciding[0])):
        sentences = [f"Outcome: {phrase} ({deciding[0].get('grader')}, {measured}){detectable(deciding[0], '. Minimum')}."]
    if len(deciding) > MANY:
        sentences.append(f"Of {counted(len(deciding), 'grader')}: {_counts(verdict.get('outcome') for verdict in deciding)}.")
    sentences += pooled(plain, deciding)
    missing = plain.get("missing") or {}
    sentences += _contaminated(plain)
    sentences += [str(known["statement"])] if (known := plain.get("rests_on_loss")) else []
    return sentences + [
        f"The verdict lacks {count:,} run{'s' * (count > 1)} of {arm}: {_failed_or_pending(plain, arm, count)}."
        for arm, count in missing.items()
    ]


def _counts(outcomes: Iterable[Any]) -> str:
    """How often each outcome came, in words."""
    counts = Counter(outcomes)
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in (BETTER, WORSE, NO_DIFFERENCE, NOT_ENOUGH) if counts[outcome])


def _failed_or_pending(summary: Mapping[str, Any], arm: str, count: int) -> str:
    """How many of an arm's missing runs failed, and how many are pending; a summary of neither list leaves it open."""
    if summary.get("pending") is None:
        return "failed, or pending"
    pending = sum(str(run).startswith(f"{arm} replicate ") for run in summary["pending"])
    counts = {"failed": count - pending, "pending": pending}
    return ", ".join(f"{n:,} {word}" for word, n in counts.items() if n > 0)


def in_order(plain: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The verdicts of a verification: those against its main baseline first, and of these, as of the others, differences first."""
    verdicts = [verdict for verdict in (plain.get("verdicts") or {}).get("verdicts") or [] if isinstance(verdict, Mapping)]
    against = plain.get("against")
    return sorted(
        verdicts,
        key=lambda verdict: (
            verdict.get("baseline") != against,
            verdict.get("outcome") not in (BETTER, WORSE),
            natural(str(verdict.get("grader") or "")),
        ),
    )


def brief(verdict: Mapping[str, Any]) -> str:
    """A comparison in one line.

    >>> brief({"selection": "selection", "baseline": "random", "grader": "loss", "outcome": "better"})
    'selection vs random, loss: better.'
    """
    measured = difference(verdict)
    leakage = " (leakage)" if verdict.get("leakage") else ""
    line = f"{verdict.get('selection')} vs {verdict.get('baseline')}, {verdict.get('grader')}: {verdict.get('outcome')}{leakage}"
    return f"{line}; difference {measured}{detectable(verdict, '; minimum')}." if measured else f"{line}."


def statement(verdict: Mapping[str, Any]) -> str:
    """A comparison in full, without the notes that hold for others too."""
    text = str(verdict.get("statement") or verdict.get("sentence") or brief(verdict))
    assumed = (verdict.get("interval") or {}).get("pooling")
    return text.replace(f" {assumed}", "") if assumed else text


def pooled(plain: Mapping[str, Any], verdicts: Iterable[Mapping[str, Any]]) -> list[str]:
    """What pooling seeds takes for granted in the intervals of these verdicts; nothing where seeds are not pooled, or there is no interval."""
    intervals = [interval for verdict in verdicts if (interval := verdict.get("interval") or {}).get("low") is not None]
    if not plain.get("pool_seeds") or not intervals:
        return []
    return [pooling(sorted({str(arm) for interval in intervals for arm in interval.get("pooled_seeds") or ()}))]


def difference(verdict: Mapping[str, Any]) -> str:
    """A difference with its unit and interval; "" where there is no interval."""
    interval = verdict.get("interval") or {}
    ends = [interval.get(key) for key in ("estimate", "low", "high")]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in ends):
        return ""
    unit = (verdict.get("scale") or {}).get("unit")
    estimate, low, high = alike(ends, "signed", figures=3)
    return f"{estimate}{f' {unit}' if unit else ''} [{low}, {high}]{_by_holm(verdict)}"


def _by_holm(verdict: Mapping[str, Any]) -> str:
    """Why a difference is one although its interval holds 0; "" where the two agree."""
    interval, p = verdict.get("interval") or {}, verdict.get("p_adjusted")
    if verdict.get("outcome") not in (BETTER, WORSE) or not isinstance(p, int | float) or not interval["low"] <= 0 <= interval["high"]:
        return ""
    return f", which holds 0 as all {verdict.get('comparisons')} comparisons share it; by Holm's correction p {p:.2g}"


def detectable(verdict: Mapping[str, Any], before: str) -> str:
    """The minimum detectable effect, after these words; "" where it is not known."""
    value = (verdict.get("interval") or {}).get("detectable")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    unit = (verdict.get("scale") or {}).get("unit")
    return f"{before} detectable effect (80 % power): {value:.3g}{f' {unit}' if unit else ''}"


def spoken(summary: Mapping[str, Any], verdicts: Verdicts) -> list[str]:
    """What `instructsel verify` prints: means and comparisons by grader, win rates, skills, costs, and the outcome last; at most 80 wide."""
    against = summary["against"]
    verdicts_of_baseline = sorted(verdicts.against(against), key=lambda verdict: natural(verdict.grader))
    many = len(summary["graders"]) > MANY
    scales = dict(sorted(summary["graders"].items(), key=lambda item: natural(item[0])))
    graders = _many(scales, verdicts, against) if many else _graders(scales, verdicts)
    lines = [*graders, *(["Comparisons by source are in verdict.json.", ""] if many and summary.get("sources") else _by_source(summary))]
    sentences = [
        # How the interval was computed stands in verdict.json and in the report.
        *(statement(verdict.as_dict()).replace(f"({verdict.interval.method}; ", "(") for verdict in verdicts_of_baseline if not many),
        # Without an interval there is nothing that it covers.
        *dict.fromkeys(note for verdict in verdicts_of_baseline if verdict.interval.low is not None for note in verdict.interval.notes),
        *unlike(summary),
        *unit_notes(summary),
        *contamination(summary),
    ]
    lines += [*_sentences(sentences), *_rates(summary), *_agreement(summary), *_regressions(summary), ""]
    models = {arm: sum(len(seeds) for seeds in replicates.values()) for arm, replicates in summary["arms"].items()}
    sentences = [line for arm, costs in summary["costs"].items() if (line := cost(arm, costs, models=models.get(arm, 0)))]
    sentences += [
        f"Leakage: {grader} also ranked the rows of {', '.join(arms)}; its verdicts are shown and do not count."
        for grader, arms in summary["leakage"].items()
    ]
    if sentences:
        lines += [*_sentences(sentences), ""]
    return [*lines, *_at_rates(summary), *_sentences(headline({**summary, "verdicts": verdicts.as_dict()}))]


def unlike(plain: Mapping[str, Any]) -> list[str]:
    """Graders whose runs were computed in different ways, where that was allowed.

    >>> unlike({"graders": {"acc": {"unlike": ["batch_size 1 and 8"]}}})
    ['acc: runs were computed in different ways, which was allowed: batch_size 1 and 8.']
    """
    return [
        f"{grader}: runs were computed in different ways, which was allowed: {'; '.join(map(str, scale['unlike']))}."
        for grader, scale in (plain.get("graders") or {}).items()
        if isinstance(scale, Mapping) and scale.get("unlike")
    ]


def unit_notes(plain: Mapping[str, Any]) -> list[str]:
    """Why losses are compared in their unit, where tokenizers or chat templates differ or are not known.

    >>> unit_notes({"graders": {"loss": {"unit_note": "In bits per byte: the tokenizer of a and b differs."}}})
    ['loss: In bits per byte: the tokenizer of a and b differs.']
    """
    graders = plain.get("graders") or {}
    return [f"{name}: {scale['unit_note']}" for name, scale in graders.items() if isinstance(scale, Mapping) and scale.get("unit_note")]


def _by_source(summary: Mapping[str, Any]) -> list[str]:
    """A row a source of the evaluation sets, the first SOURCES of each grader."""
    table = summary.get("sources")
    if not table:
        return []
    selection, against = summary["selection"], summary["against"]
    lines: list[str] = []
    for grader in dict.fromkeys(part["grader"] for part in table["parts"]):
        parts = [part for part in table["parts"] if part["grader"] == grader]
        rows = [
            [
                part["source"],
                f"{part['items']:,}",
                *(_figure((part["means"].get(arm) or {}).get("mean")) for arm in (selection, against)),
                "" if part["estimate"] is None else f"{part['estimate']:+.4f}",
                "" if part["low"] is None else f"[{part['low']:+.4f}, {part['high']:+.4f}]",
                part["outcome"],
            ]
            for part in parts[:SOURCES]
        ]
        level = f"{100 * parts[0]['confidence']:.4g}"
        header = ["source", "items", selection, against, "difference", f"{level}% interval", "outcome"]
        lines += [*_sentences([f"{grader}, by source (adjusted for {table['comparisons']})"])]
        lines += aligned(rows, header=header, right=(1, 2, 3, 4, 5), width=WIDTH)
        if len(parts) > SOURCES:
            lines.append(f"{len(parts) - SOURCES:,} more sources are in verdict.json.")
        lines.append("")
    return lines


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) and math.isfinite(value) else ""


def learning_rates(plain: Mapping[str, Any]) -> list[str]:
    """Whether the verdict depends on the learning rate, a sentence a grader."""
    return [str(entry["statement"]) for entry in (plain.get("learning_rates") or {}).get("dependence") or []]


def _at_rates(summary: Mapping[str, Any]) -> list[str]:
    """A row a learning rate and grader, and what follows."""
    rates = (summary.get("learning_rates") or {}).get("rates") or []
    rows = []
    for rate in rates:
        for verdict in in_order({**summary, "verdicts": rate["verdicts"]}):
            if verdict["baseline"] == summary["against"]:
                rows.append(
                    [f"{rate['multiple']:g}", f"{rate['learning_rate']:g}", verdict["grader"], difference(verdict), verdict["outcome"]]
                )
    if not rates:
        return []
    header = ["times", "learning rate", "grader", "difference", "outcome"]
    table = aligned([[for_terminal(str(cell)) for cell in row] for row in rows], header=header, right=(0, 1), width=WIDTH) if rows else []
    return [*table, *_sentences(learning_rates(summary)), ""]


def contamination(plain: Mapping[str, Any]) -> list[str]:
    """What of the evaluation sets stands in the rows that arms were trained on, with file and line of the first ones."""
    return [sentence for overlap in _overlaps(plain) for sentence in overlap.sentences()]


def _contaminated(plain: Mapping[str, Any]) -> list[str]:
    """Which arms were trained on evaluation rows: nobody is to read the outcome without it."""
    arms = list(dict.fromkeys(overlap.where for overlap in _overlaps(plain) if overlap.contaminated))
    return [f"Contamination: {', '.join(arms)} {'was' if len(arms) == 1 else 'were'} trained on evaluation rows."] if arms else []


def _overlaps(plain: Mapping[str, Any]) -> list[Overlap]:
    return [Overlap.of(content) for content in plain.get("contamination") or [] if isinstance(content, Mapping)]


def _sentences(sentences: Iterable[str]) -> list[str]:
    """Sentences as lines, wrapped between words."""
    return [line for sentence in sentences for line in wrapped(for_terminal(sentence), WIDTH)]


def _graders(graders: Mapping[str, Any], verdicts: Verdicts) -> list[str]:
    """A block for each grader: its name and unit, the mean of each arm, and the selection compared with each other arm."""
    lines: list[str] = []
    for grader, scale in graders.items():
        unit = f"{scale['unit']}, " if scale.get("unit") else ""
        lines += _sentences([f"{grader} ({unit}{'higher' if scale.get('higher_is_better') else 'lower'} is better)"])
        lines += [*_means(scale["means"]), ""]
        lines += _compared([verdict for verdict in verdicts if verdict.grader == grader])
    return lines


def _many(graders: Mapping[str, Any], verdicts: Verdicts, against: str) -> list[str]:
    """How often each outcome came, for each baseline; then a row a grader against the main one, differences first."""
    lines: list[str] = []
    for baseline in dict.fromkeys(verdict.baseline for verdict in verdicts):
        of_baseline = list(verdicts.against(baseline))
        shown = _counts(verdict.outcome for verdict in of_baseline)
        adjusted = max((verdict.comparisons for verdict in of_baseline), default=0)
        lines += _sentences([f"{of_baseline[0].selection} vs {baseline}: {shown} (adjusted for {counted(adjusted, 'comparison')})."])
    chosen = sorted(verdicts.against(against), key=lambda verdict: (verdict.outcome not in (BETTER, WORSE), natural(verdict.grader)))
    reasons = Counter(verdict.reason for verdict in chosen if verdict.reason is not None)
    lines += _sentences(f"{count:,} times not enough data: {reason}" for reason, count in reasons.most_common(3) if count > 1)
    rows = []
    for verdict in chosen[:ROWS]:
        estimate, interval = _ends(verdict)
        rows.append(
            [verdict.grader, "higher" if graders[verdict.grader].get("higher_is_better") else "lower", estimate, interval, verdict.outcome]
        )
    levels = " and ".join(sorted({f"{100 * verdict.interval.confidence:.6g}" for verdict in chosen}))
    header = ["grader", "better", "difference", f"{levels}% interval", "outcome"]
    lines += ["", *aligned([[for_terminal(cell) for cell in row] for row in rows], header=header, right=(2, 3), width=WIDTH)]
    if len(chosen) > ROWS:
        lines.append(f"{len(chosen) - ROWS:,} more are in verdict.json.")
    return [*lines, ""]


def _ends(verdict: Verdict) -> tuple[str, str]:
    """The difference and its interval, as cells."""
    interval = verdict.interval
    ends = "" if interval.low is None or interval.high is None else f"[{interval.low:+.4f}, {interval.high:+.4f}]"
    return f"{interval.estimate:+.4f}" if math.isfinite(interval.estimate) else "", ends


def _means(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row an arm."""
    means: dict[str, list[float]] = {}
    for run in runs:
        if run["mean"] is not None:
            means.setdefault(run["arm"], []).append(run["mean"])
    ratios = arm_means(run for run in runs if any(name in run for name in RATIOS))
    rows = [
        [
            arm,
            f"{len(values)}",
            f"{sum(values) / len(values):.4f}",
            f"{min(values):.4f} to {max(values):.4f}",
            *(_figure(ratios.get(arm, {}).get(name)) for name in RATIOS if ratios),
        ]
        for arm, values in sorted(means.items())
    ]
    # Of a loss both units, sum over sum: of all tokens, and of all bytes.
    header = ["arm", "models", "mean", "range", *(("nats/token", "bits/byte") if ratios else ())]
    return aligned(rows, header=header, right=(1, 2, 3, 4, 5), width=WIDTH)


def _compared(verdicts: Sequence[Verdict]) -> list[str]:
    """Every comparison in a row."""
    rows = []
    for verdict in verdicts:
        detectable_effect = verdict.interval.detectable
        rows.append(
            [
                verdict.baseline,
                *_ends(verdict),
                "" if detectable_effect is None else f"{detectable_effect:.4f}",
                verdict.outcome + " (leakage)" * verdict.leakage,
            ]
        )
    if not rows:
        return []
    levels = " and ".join(sorted({f"{100 * verdict.interval.confidence:.4g}" for verdict in verdicts}))
    header = ["against", "difference", f"{levels}% interval", "minimum detectable", "outcome"]
    return [*aligned(rows, header=header, right=(1, 2, 3), width=WIDTH), ""]


def _regressions(summary: Mapping[str, Any]) -> list[str]:
    """Skills in which an arm is below the base."""
    skills = summary["skills"]
    if not skills:
        return []
    sentences = []
    for skill, count in skills["regressed"].items():
        if count:
            arms = [arm for arm, row in skills["rows"].items() if row[skill]["regressed"]]
            name = f"{skills['measures'][skill]}, {skill}" if skill in skills["measures"] else skill
            sentences.append(f"Regressed against {skills['base']}: {name} by {', '.join(arms)}.")
    return ["", *_sentences(sentences)] if sentences else []


def _rates(summary: Mapping[str, Any]) -> list[str]:
    """Win rates and their length bias."""
    lines: list[str] = []
    for judge, arms in summary["win_rates"].items():
        rows = [_rate(arm, rate) for arm, rate in arms.items() if rate["runs"]]
        header = ["arm", "win rate %", "at equal length %", "AlpacaEval's LC %", "win / tie / lose", "n", "null"]
        lines += ["", judge, *aligned(rows, header=header, right=(1, 2, 3, 4, 5, 6), width=WIDTH)]
        lines += _sentences(length_bias_sentences(summary["length_biases"].get(judge) or {}))
    return lines


def length_bias_sentences(bias: Mapping[str, Any]) -> list[str]:
    """How closely a judge's preferences follow the length of responses.

    >>> length_bias_sentences({"r": 0.91, "low": 0.71, "high": 0.97, "n": 12, "of": "arms"})
    ['Length bias: over 12 arms, win rate and mean length correlate at r = +0.91 [+0.71, +0.97].']
    """
    if not bias:
        return []
    of, n = bias.get("of") or "models", bias.get("n")
    words = "; unique words and win rate at" if bias.get("r") is not None else ""
    if bias.get("r") is None:
        sentences = [f"Length bias: not known over {of}. {bias.get('reason')}"]
    else:
        unique = _correlation(bias.get("unique") or {})
        line = f"Length bias: over {n} {of}, win rate and mean length correlate at {_correlation(bias)}{f'{words} {unique}' if unique else ''}."
        sentences = [line, *([f"{bias['reason'].capitalize()}."] if bias.get("reason") else [])]
    for name, dummy in (bias.get("dummies") or {}).items():
        agrees = dummy.get("agrees") or {}
        if agrees.get("value") is not None:
            ends = "" if agrees.get("low") is None else f" [{100 * agrees['low']:.0f}, {100 * agrees['high']:.0f}]"
            which = "longer one" if name == "longest" else "one with more unique words"
            sentences.append(f"Of two responses that it tells apart, the {which} is preferred in {100 * agrees['value']:.0f} %{ends}.")
    return sentences


def _correlation(bias: Mapping[str, Any]) -> str:
    """r with its interval; "" where there is none."""
    if bias.get("r") is None:
        return ""
    ends = "" if bias.get("low") is None else f" [{bias['low']:+.2f}, {bias['high']:+.2f}]"
    return f"r = {bias['r']:+.2f}{ends}"


def contradictions(agreement: Mapping[str, Any]) -> list[str]:
    """Where graders say the opposite of each other, as sentences.

    >>> contradictions({"contradictions": [{"baseline": "random", "better": ["judge"], "worse": ["gsm8k", "bbh"]}]})
    ['Graders contradict each other: against random it is better by judge, and worse by gsm8k, bbh.']
    """
    return [
        f"Graders contradict each other: against {entry['baseline']} it is better by {', '.join(entry['better'][:MANY])}, "
        f"and worse by {', '.join(entry['worse'][:MANY])}."
        for entry in agreement.get("contradictions") or []
    ]


def _agreement(summary: Mapping[str, Any]) -> list[str]:
    """How far benchmarks, judges and people agree."""
    agreement = summary.get("agreement")
    if not agreement:
        return []
    on_items = [
        [entry["grader"], "each other", f"{entry['same']['n']:,}", *_parts(entry, ("same", "relaxed", "alpha"))]
        for entry in agreement["people"]
    ]
    on_items += [
        [entry["one"], entry["other"], f"{entry['same']['n']:,}", *_parts(entry, ("same", "relaxed", "kappa"))]
        for entry in agreement["items"]
    ]
    over_arms = [
        [entry["one"], entry["other"], f"{entry['n_arms']:,}", *_parts(entry, ("same_order", "rank"))] for entry in agreement["arms"]
    ]
    lines: list[str] = []
    level = f"{100 * agreement['confidence']:.4g}"
    for rows, over, columns in (
        (on_items, "the same responses", ("items", "same %", "tie half %", "kappa")),
        (over_arms, "arms", ("arms", "same order %", "rank r")),
    ):
        if rows:
            lines += ["", *_sentences([f"Agreement of graders over {over}, with {level}% intervals"])]
            header = ["grader", "and", *columns]
            shown = [[for_terminal(cell) for cell in row] for row in rows[:ROWS]]
            lines += aligned(shown, header=header, right=(2, 3, 4, 5), width=WIDTH)
            if len(rows) > ROWS:
                lines.append(f"{len(rows) - ROWS:,} more are in verdict.json.")
    return [*lines, *_sentences(contradictions(agreement))]


def _parts(entry: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Each figure with its interval, shares in per cent; where there is no interval, the figure alone."""
    cells = []
    for key in keys:
        figure, share = entry[key], key in ("same", "relaxed", "same_order")
        value, *ends = (
            None if figure[part] is None else f"{100 * figure[part]:.0f}" if share else f"{figure[part]:.2f}"
            for part in ("value", "low", "high")
        )
        cells.append("" if value is None else value if None in ends else f"{value} [{ends[0]}, {ends[1]}]")
    return cells


def _rate(arm: str, rate: Mapping[str, Any]) -> list[str]:
    controlled, official = (rate["length_controlled"] or {}).get("win_rate"), rate["official_length_controlled"]
    return [
        arm,
        f"{rate['win_rate']:.1f}",
        "" if controlled is None else f"{controlled:.1f}",
        "" if official is None else f"{official:.1f}",
        f"{rate['wins']:,} / {rate['ties']:,} / {rate['losses']:,}",
        f"{rate['n_total']:,}",
        f"{rate['n_null']:,}",
    ]


__all__ = [
    "brief",
    "contamination",
    "contradictions",
    "detectable",
    "difference",
    "headline",
    "in_order",
    "learning_rates",
    "length_bias_sentences",
    "pooled",
    "spoken",
    "statement",
    "unit_notes",
    "unlike",
]
