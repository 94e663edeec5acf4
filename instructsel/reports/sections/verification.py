"""Section: a verification in full, its comparisons first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from instructsel.reports.figures import minus
from instructsel.reports.inputs import finite, leaked_arms
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table, flat, known_facts
from instructsel.reports.plain_text import contamination, in_order, learning_rates, pooled, statement, unit_notes, unlike
from instructsel.reports.sections import Page
from instructsel.reports.sections.limits import ARMS, COMPARISONS, EFFECTS, HEAT_COLUMNS, REASONS, ROWS, SKILLS
from instructsel.verification.grades_table import RATIOS

PLACES: Final = 6
"""Pairs of places in a cell."""
NEEDS: Final = "a verification"
VERDICTS: Final = (
    Column("grader", "grader"),
    Column("baseline", "against"),
    Column("verdict", "outcome"),
    Column("difference", "difference", "signed"),
    Column("low", "interval from", "signed"),
    Column("high", "to", "signed"),
    Column("detectable", "minimum detectable effect", "number"),
    Column("unit", "unit"),
    Column("better", "better is"),
    Column("p", "p, adjusted", "p"),
    Column("confidence", "confidence", "share"),
    Column("bootstrap_low", "bootstrap from", "signed"),
    Column("bootstrap_high", "to", "signed"),
    Column("items", "items", "count"),
    Column("runs", "replicates × runs"),
    Column("missing", "items left out", "count"),
    Column("generalize_to", "generalizes to"),
    Column("method", "method"),
    Column("reason", "reason", "prose"),
)
TRAINED: Final = (
    Column("arm", "arm"),
    Column("replicate", "replicate", "count"),
    Column("models", "models", "count"),
    Column("rows", "rows", "count"),
    Column("trained_rows", "trained on", "count"),
    Column("skipped", "skipped", "prose"),
    Column("truncated", "truncated", "count"),
    Column("steps", "steps of a model", "count"),
    Column("tokens_seen", "tokens it saw", "count"),
    Column("loss_tokens", "loss tokens", "count"),
)
RATES: Final = (
    Column("arm", "arm"),
    Column("models", "models", "count"),
    Column("win_rate", "win rate, %", "number"),
    Column("discrete", "discrete, %", "number"),
    Column("controlled", "at equal length, %", "number"),
    Column("official", "AlpacaEval's own length control, %", "number"),
    Column("wins", "wins", "count"),
    Column("ties", "ties", "count"),
    Column("losses", "losses", "count"),
    Column("score", "(w − l) / n + 1", "number"),
    Column("n", "pairs", "count"),
    Column("null", "without a preference", "count"),
    Column("disagree", "orders disagree", "count"),
    Column("suspicious", "speak to the judge", "count"),
)


def build(page: Page) -> Section | None:
    """Whether a fine-tune on the selection is better than on the baselines."""
    if not page.inputs.verifications:
        return None
    sentences: list[str] = []
    parts: list[Part] = []
    for number, record in enumerate(page.inputs.verifications, start=1):
        sentences += _sentences(record)
        parts += [*_comparisons(in_order(record), number), *_missing_runs(record, number)]
        parts += _rates_of_learning(record.get("learning_rates") or {}, number)
        parts += _contamination(record.get("contamination") or [], number)
        parts += [*_trained(record.get("trained") or [], number), *_costs(record.get("costs") or {}, number)]
        parts += [*_grades(record, number), *_by_source(record, number)]
        rates = enumerate((record.get("win_rates") or {}).items(), start=1)
        parts += [_rates(judge, arms, f"{number}-{index}") for index, (judge, arms) in rates]
        parts += _planned(record.get("power") or [], number)
        if record.get("skills"):
            parts += [*_heat(record["skills"], number), _skills(record["skills"], number)]
            sentences.append("Skills: an arm regressed in one where it is below the base by more than the margin.")
        parts += _length_biases(record, number)
        for key, caption in (("win_rate", "Win rate, pair by pair"), ("length_controlled", "Win rate at equal length")):
            if isinstance(record.get(key), dict):
                parts.append(facts_table(f"{key.replace('_', '-')}-{number}", caption, flat(record[key])))
    return Section("verification", "Verification", tuple(sentences), tuple(parts))


def _sentences(plain: Mapping[str, Any]) -> list[str]:
    """The comparisons with the main baseline in full; what holds for several of them once."""
    verdicts = in_order(plain)
    if not verdicts and "arms" in plain:
        return ["No verdict: there is no baseline among the arms."]
    compared = [verdict for verdict in verdicts if plain.get("against") in (None, verdict.get("baseline"))][:COMPARISONS]
    # Without an interval there is nothing that it covers.
    intervals = [interval for verdict in compared if (interval := verdict.get("interval") or {}).get("low") is not None]
    notes = dict.fromkeys(str(note) for interval in intervals for note in interval.get("notes") or [])
    leakage = [
        f"Leakage: {grader} also ranked the rows of {', '.join(arms) or 'an arm'}; its verdicts are shown and do not count."
        for grader, arms in leaked_arms(plain).items()
    ]
    return [
        *(minus(statement(verdict)) for verdict in compared),
        *pooled(plain, compared),
        *notes,
        *unlike(plain),
        *unit_notes(plain),
        *contamination(plain),
        *learning_rates(plain),
        *leakage,
    ]


def forest_chart(verdicts: Sequence[Mapping[str, Any]], name: str, against: Any = None) -> Chart | None:
    """The differences of one grader, or of several against one baseline, with their intervals; None where none is known.

    Graders of different units are drawn in standard deviations over items, better to the right.
    """
    known = [verdict for verdict in verdicts if any(value is not None for value in _figures(verdict)[:3])]
    scales = {(scale.get("unit"), bool(scale.get("higher_is_better"))) for scale in (verdict.get("scale") or {} for verdict in known)}
    if len(scales) > 1:
        known = [verdict for verdict in known if finite((verdict.get("interval") or {}).get("item_sd"))]
    if not known:
        return None
    rows = []
    for verdict in known[:EFFECTS]:
        scale, figures = verdict.get("scale") or {}, _figures(verdict)
        if len(scales) > 1:
            figures = _in_deviations(figures, verdict["interval"]["item_sd"], higher=bool(scale.get("higher_is_better")))
        label = str(verdict.get("grader")) if against is not None else f"against {verdict.get('baseline')}"
        values = dict(zip(("estimate", "low", "high", "detectable"), figures, strict=True))
        rows.append({"name": label, "outcome": verdict.get("outcome"), **values})
    unit, higher = next(iter(scales))
    label = f"difference{f', {unit}' if unit else ''}; {'higher' if higher else 'lower'} is better"
    data = {
        "x_label": "difference, standard deviations over items; right is better" if len(scales) > 1 else label,
        "band": "below the minimum detectable effect",
        "rows": rows,
    }
    title = f"selection minus {against}" if against is not None else f"{verdicts[0].get('grader')}: selection minus baseline"
    return Chart(name, "forest", title, data)


def _figures(verdict: Mapping[str, Any]) -> list[float | None]:
    """Estimate, both ends of the interval, and the minimum detectable effect."""
    interval = verdict.get("interval") or {}
    return [finite(interval.get(key)) for key in ("estimate", "low", "high", "detectable")]


def _in_deviations(figures: Sequence[float | None], deviation: float, *, higher: bool) -> list[float | None]:
    """The same in standard deviations over items, better above 0."""
    estimate, low, high, seen = (None if value is None else value / deviation for value in figures)
    if higher:
        return [estimate, low, high, seen]
    return [None if estimate is None else -estimate, None if high is None else -high, None if low is None else -low, seen]


def _comparisons(verdicts: Sequence[Mapping[str, Any]], number: int) -> list[Part]:
    """A chart a grader, and a table of all comparisons."""
    if not verdicts:
        return []
    parts: list[Part] = []
    for index, grader in enumerate(list(dict.fromkeys(verdict.get("grader") for verdict in verdicts))[:ARMS], start=1):
        chart = forest_chart([verdict for verdict in verdicts if verdict.get("grader") == grader], f"forest-{number}-{index}")
        parts += [chart] if chart is not None else []
    table = Table(f"verdicts-{number}", "Selection minus baseline, by grader", VERDICTS, tuple(map(_row, verdicts)))
    return [*parts, table.capped(COMPARISONS, "comparisons")]


def _row(verdict: Mapping[str, Any]) -> tuple[Any, ...]:
    interval, scale = verdict.get("interval") or {}, verdict.get("scale") or {}
    replicates, runs = interval.get("n_replicates") or (None, None), interval.get("n_seeds") or (None, None)
    return (
        verdict.get("grader"),
        verdict.get("baseline"),
        verdict.get("outcome"),
        *_figures(verdict),
        scale.get("unit") or None,
        "higher" if scale.get("higher_is_better") else "lower",
        finite(verdict.get("p_adjusted")),
        finite(interval.get("confidence")),
        finite(interval.get("bootstrap_low")),
        finite(interval.get("bootstrap_high")),
        interval.get("n_items"),
        None if replicates[0] is None else f"{replicates[0]} × {runs[0]} against {replicates[1]} × {runs[1]}",
        verdict.get("missing"),
        interval.get("generalize_to"),
        interval.get("method") or None,
        verdict.get("reason"),
    )


def _trained(models: Sequence[Any], number: int) -> list[Part]:
    """What became of every subset's rows in training, and how much of it a model saw."""
    subsets: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for model in models:
        if isinstance(model, Mapping):
            subsets.setdefault((str(model.get("arm")), model.get("replicate") or 0), []).append(model)
    rows = []
    for (arm, replicate), trained in subsets.items():
        audit = trained[0].get("audit") or {}
        # `refused` and `tokens_trained`: the last release's words.
        skipped = audit.get("skipped", audit.get("refused")) or {}
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items()) or None
        loss_tokens = trained[0].get("loss_tokens", trained[0].get("tokens_trained"))
        seen = (trained[0].get("steps"), trained[0].get("tokens_seen"), loss_tokens)
        rows.append((arm, replicate, len(trained), audit.get("rows"), audit.get("trained_rows"), reasons, audit.get("truncated"), *seen))
    table = Table(f"trained-{number}", "What every subset's rows came to", TRAINED, tuple(rows))
    return [table.capped(ROWS, "subsets")] if rows else []


def _missing_runs(plain: Mapping[str, Any], number: int) -> list[Part]:
    """Runs that are not in the verification, and why."""
    rows = [(run.get("run"), run.get("reason"), run.get("message")) for run in plain.get("failures") or [] if isinstance(run, Mapping)]
    rows += [(name, "pending", "The same command makes it.") for name in plain.get("pending") or []]
    columns: tuple[Column, ...] = (Column("run", "run"), Column("reason", "reason"), Column("message", "message", "prose"))
    return [Table(f"missing-runs-{number}", "Missing runs", columns, tuple(rows)).capped(ROWS, "runs")] if rows else []


def _rates_of_learning(content: Mapping[str, Any], number: int) -> list[Part]:
    """The comparisons at every learning rate."""
    rows = [
        (rate.get("multiple"), rate.get("learning_rate"), *_row(verdict)[:6])
        for rate in content.get("rates") or []
        for verdict in (rate.get("verdicts") or {}).get("verdicts") or []
    ]
    columns: tuple[Column, ...] = (
        Column("multiple", "times the learning rate", "number"),
        Column("learning_rate", "learning rate", "number"),
        *VERDICTS[:6],
    )
    table = Table(f"learning-rates-{number}", "The comparisons at every learning rate", columns, tuple(rows))
    return [table.capped(COMPARISONS, "comparisons")] if rows else []


def _contamination(overlaps: Sequence[Any], number: int) -> list[Part]:
    """What of every evaluation set stands in the rows of every arm; none at all is a row of zeros."""
    rows = []
    for overlap in overlaps:
        if isinstance(overlap, Mapping):
            pairs = [pair for places in (overlap.get("places") or {}).values() for pair in places]
            first = "; ".join(f"{ours} in {theirs}" for ours, theirs in pairs[:PLACES]) or None
            figures = (overlap.get(key) for key in ("examples", "same", "instruction", "response"))
            rows.append((overlap.get("evaluation"), str(overlap.get("where")).removeprefix("the arm "), *figures, first))
    columns: tuple[Column, ...] = (
        Column("evaluation", "evaluation set"),
        Column("arm", "rows of"),
        Column("examples", "examples", "count"),
        Column("same", "trained on", "count"),
        Column("instruction", "instruction with another response", "count"),
        Column("response", "response in other rows", "count"),
        Column("first", "first places", "prose"),
    )
    caption = "Contamination: evaluation examples in the rows to train on, as rendered and without case, punctuation and white space"
    return [Table(f"contamination-{number}", caption, columns, tuple(rows)).capped(ROWS, "sets")] if rows else []


def _costs(costs: Mapping[str, Any], number: int) -> list[Part]:
    """What choosing the rows took, beside what training on them did."""
    stages = ("selection", "training", "grading")
    rows = tuple((arm, *(finite(cost.get(stage)) for stage in stages)) for arm, cost in costs.items() if isinstance(cost, Mapping))
    columns: tuple[Column, ...] = (
        Column("arm", "arm"),
        Column("selection", "choosing the rows, seconds", "number"),
        Column("training", "training, seconds", "number"),
        Column("grading", "grading, seconds", "number"),
    )
    table = Table(f"costs-{number}", "Costs; empty where they are not known", columns, rows)
    return [table.capped(ROWS, "arms", sums=stages)] if rows else []


def _rates(judge: str, arms: Mapping[str, Any], name: str) -> Table:
    """How often each arm's responses were preferred to the reference's."""
    rows = []
    for arm, rate in arms.items():
        flags = rate.get("flags") or {}
        rows.append(
            (
                arm,
                len(rate.get("runs") or []),
                finite(rate.get("win_rate")),
                finite(rate.get("discrete_win_rate")),
                finite((rate.get("length_controlled") or {}).get("win_rate")),
                finite(rate.get("official_length_controlled")),
                *(rate.get(key) for key in ("wins", "ties", "losses")),
                finite(rate.get("score")),
                rate.get("n_total"),
                rate.get("n_null"),
                flags.get("swap_disagrees", 0),
                flags.get("suspicious", 0),
            )
        )
    return Table(f"win-rates-{name}", f"{judge}: preferred to the reference", RATES, tuple(rows)).capped(ROWS, "arms")


def _planned(expected: Sequence[Any], number: int) -> list[Part]:
    """What the plan could detect, and when that was computed."""
    rows = [
        (
            plan.get("grader"),
            plan.get("baseline"),
            finite(plan.get("detectable")),
            plan.get("unit"),
            f"{'assumed' if plan.get('assumed') else 'measured by a pilot'}{', seeds pooled' if plan.get('pool_seeds') else ''}",
            "after some runs" if plan.get("before") is False else "before the first run",
        )
        for plan in expected
        if isinstance(plan, Mapping)
    ]
    columns: tuple[Column, ...] = (
        Column("grader", "grader"),
        Column("baseline", "against"),
        Column("detectable", "minimum detectable effect", "number"),
        Column("unit", "unit"),
        Column("variances", "variances"),
        Column("computed", "computed"),
    )
    return [Table(f"power-{number}", "Power of the plan (80 %)", columns, tuple(rows)).capped(ROWS, "comparisons")] if rows else []


def _grades(plain: Mapping[str, Any], number: int) -> list[Part]:
    """Every run's mean, and what is missing."""
    means, missing = [], []
    for grader, scale in (plain.get("graders") or {}).items():
        for run in scale.get("means") or []:
            figures = (finite(run.get(key)) for key in ("mean", *RATIOS))
            means.append((grader, *(run.get(key) for key in ("arm", "replicate", "seed", "items")), *figures))
        missing += [(grader, reason, count) for reason, count in (scale.get("reasons") or {}).items()]
        if scale.get("truncated"):
            missing.append((grader, "truncated (and graded)", scale["truncated"]))
    parts: list[Part] = []
    if means:
        columns: tuple[Column, ...] = (
            Column("grader", "grader"),
            Column("arm", "arm"),
            Column("replicate", "replicate", "any"),
            Column("seed", "seed", "any"),
            Column("items", "items", "count"),
            Column("mean", "mean", "number"),
            *(Column(key, f"{unit}, all items together", "number") for key, unit in RATIOS.items()),
        )
        # Both units of a loss; no columns where there is none.
        if not any(value is not None for row in means for value in row[6:]):
            columns, means = columns[:6], [row[:6] for row in means]
        parts.append(Table(f"means-{number}", "Mean of every run", columns, tuple(means)).capped(ROWS, "runs"))
    if missing:
        columns = (Column("grader", "grader"), Column("reason", "reason"), Column("items", "items, over all runs", "count"))
        table = Table(f"missing-{number}", "Items without a value", columns, tuple(missing))
        parts.append(table.capped(REASONS, "reasons", sums=["items"]))
    return parts


def _by_source(plain: Mapping[str, Any], number: int) -> list[Part]:
    """A row a source of the evaluation sets: the selection and its baseline, their difference, and both units of a loss."""
    sources = plain.get("sources")
    if not isinstance(sources, Mapping):
        return []
    arms = (str(plain.get("selection")), str(plain.get("against")))
    rows = []
    for part in sources.get("parts") or []:
        means = [(part.get("means") or {}).get(arm) or {} for arm in arms]
        values = [finite(mean.get("mean")) for mean in means]
        ratios = [finite(mean.get(key)) for key in RATIOS for mean in means]
        interval = (finite(part.get(key)) for key in ("estimate", "low", "high", "p_adjusted"))
        rows.append((part.get("grader"), part.get("source"), part.get("items"), *values, *interval, part.get("outcome"), *ratios))
    columns: tuple[Column, ...] = (
        Column("grader", "grader"),
        Column("source", "source"),
        Column("items", "items", "count"),
        *(Column(f"mean_{index}", arm, "number") for index, arm in enumerate(arms, start=1)),
        Column("difference", "difference", "signed"),
        Column("low", "interval from", "signed"),
        Column("high", "to", "signed"),
        Column("p", "p, adjusted", "p"),
        Column("outcome", "outcome"),
        *(Column(f"{key}_{index}", f"{arm}, {unit}", "number") for key, unit in RATIOS.items() for index, arm in enumerate(arms, start=1)),
    )
    if not any(value is not None for row in rows for value in row[10:]):
        columns, rows = columns[:10], [row[:10] for row in rows]
    caption = f"By source of the evaluation set, adjusted for {sources.get('comparisons')} comparisons; not shown is no claim"
    return [Table(f"sources-{number}", caption, columns, tuple(rows)).capped(SKILLS, "sources")] if rows else []


def _heat(skills: Mapping[str, Any], number: int) -> list[Part]:
    """Arms by skills at a glance: what changed against the base, and what may be 0. None where no change is known."""
    base, columns = skills["base"], list(skills["skills"])[:HEAT_COLUMNS]
    arms = [arm for arm in skills["rows"] if arm != base][:ARMS]
    measures = skills.get("measures") or {}
    names = {skill: f"{measures[skill]}: {skill}" if skill in measures else skill for skill in columns}
    records = {arm: {skill: skills["rows"][arm].get(skill) or {} for skill in columns} for arm in arms}
    if not any(finite(cell.get("change")) is not None for row in records.values() for cell in row.values()):
        return []
    cells = [cell for skill in columns for cell in _column({arm: records[arm][skill] for arm in arms}, names[skill])]
    legend = {
        "scale": f"change against {base} ± half its interval, up to the largest of its column",
        "framed": "best of its column",
        "rows": "arms",
        "columns": "skills",
    }
    data = {"rows": arms, "columns": [names[skill] for skill in columns], "cells": cells, "legend": legend, "marks": {}}
    return [Chart(f"skills-heat-{number}", "heat_map", f"Skills, compared with {base}", data)]


def _column(records: Mapping[str, Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """A skill's cells: the color by its largest change, as units differ from skill to skill."""
    changes = {arm: change for arm, cell in records.items() if (change := finite(cell.get("change"))) is not None}
    best, largest = max(changes.values(), default=None), max(map(abs, changes.values()), default=0.0)
    cells = []
    for arm, change in changes.items():
        low, high = (finite(records[arm].get(key)) for key in ("low", "high"))
        known = low is not None and high is not None
        cells.append(
            {
                "row": arm,
                "column": name,
                "share": change / largest if largest else 0.0,
                "figure": _change(change),
                "interval": "no interval" if low is None or high is None else f"± {(high - low) / 2:.2g}",
                "is_uncertain": not (known and ((low or 0.0) > 0 or (high or 0.0) < 0)),
                "is_framed": len(records) > 1 and change == best,
                "tooltip": f"{_change(change)}, "
                + ("no interval" if low is None or high is None else f"interval {_change(low)} to {_change(high)}"),
            }
        )
    return cells


def _change(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def _skills(skills: Mapping[str, Any], number: int) -> Table:
    """A row a skill, a column an arm, and which arms regressed."""
    arms = list(skills["rows"])
    shown = arms[:ARMS]
    rows = []
    for skill in skills["skills"]:
        cells = {arm: skills["rows"][arm].get(skill) or {} for arm in arms}
        regressed = [arm for arm in arms if cells[arm].get("regressed")]
        measure = (skills.get("measures") or {}).get(skill)
        values = (finite(cells[arm].get("value")) for arm in shown)
        rows.append((f"{measure}: {skill}" if measure else skill, *values, len(regressed), ", ".join(regressed)))
    columns: tuple[Column, ...] = (
        Column("skill", "skill"),
        *(Column(f"arm_{index}", arm, "number") for index, arm in enumerate(shown, start=1)),
        Column("n_regressed", "arms that regressed", "count"),
        Column("regressed", "which"),
    )
    part = f"; {len(arms) - len(shown):,} arms not shown" if len(arms) > len(shown) else ""
    table = Table(f"skills-{number}", f"Skills, compared with {skills['base']}{part}", columns, tuple(rows))
    return table.capped(SKILLS, "skills", sums=["n_regressed"])


def _length_biases(plain: Mapping[str, Any], number: int) -> list[Part]:
    """How closely win rates follow the length of responses."""
    biases = dict(plain.get("length_biases") or {})
    if plain.get("length_bias"):
        biases[""] = plain["length_bias"]
    parts: list[Part] = []
    for index, (judge, bias) in enumerate(biases.items(), start=1):
        facts = [
            ("correlation of length with the win rate", finite(bias.get("r"))),
            ("95 % interval from" if bias.get("confidence") == 0.95 else "interval from", finite(bias.get("low"))),
            ("to", finite(bias.get("high"))),
            ("with the logarithm of length", finite(bias.get("r_log"))),
            ("of the ranks", finite(bias.get("rank"))),
            (bias.get("of") or "pairs", bias.get("n")),
            ("why there is none", bias.get("reason")),
            *_counted_words(bias),
        ]
        caption = f"Length bias{f', {judge}' if judge else ''}: win rates and the length of responses"
        parts.append(facts_table(f"length-bias-{number}-{index}", caption, known_facts(facts)))
    return parts


def _counted_words(bias: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Unique words beside the win rate, and how often the judge agrees with judges that only count."""
    unique = bias.get("unique") or {}
    facts = [
        ("correlation of unique words with the win rate", finite(unique.get("r"))),
        ("from, unique words", finite(unique.get("low"))),
        ("to, unique words", finite(unique.get("high"))),
    ]
    for name, dummy in (bias.get("dummies") or {}).items():
        agrees, which = dummy.get("agrees") or {}, "longer response" if name == "longest" else "response with more unique words"
        facts += [(f"share of decided pairs in which the {which} is preferred", finite(agrees.get("value")))]
        facts += [(f"{end}, {which}", finite(agrees.get(key))) for end, key in (("from", "low"), ("to", "high"))]
        facts += [
            (f"win rate of {arm} were the {which} the winner, %", finite(rate)) for arm, rate in (dummy.get("win_rates") or {}).items()
        ]
    return facts


__all__ = ["NEEDS", "build", "forest_chart"]
