"""Section: a verification, its verdict first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table, flat, known_facts, shortened
from instructsel.reports.results import Given, finite, ranked_by
from instructsel.reports.sections.limits import ARMS, COMPARISONS, EFFECTS, REASONS, ROWS, SKILLS


def verification_section(given: Given) -> Section | None:
    """Whether a fine-tune on the selection is better than on the baselines."""
    if not given.verifications:
        return None
    said: list[str] = []
    parts: list[Part] = []
    for number, plain in enumerate(given.verifications, start=1):
        verdicts = in_order(plain)
        said += headline(plain)
        if not verdicts and "arms" in plain:
            said.append("No verdict: there is no baseline among the arms.")
        asked = [each for each in verdicts if plain.get("against") in (None, each.get("baseline"))][:COMPARISONS]
        said += [sentence(each) for each in asked]
        # What holds for several comparisons is said once.
        said += dict.fromkeys(str(note) for each in asked for note in (each.get("interval") or {}).get("notes") or [])
        parts += _verdict_parts(verdicts, number)
        said += [
            f"Leakage: {grader} also ranked the rows of {', '.join(arms) or 'an arm'}; its verdicts are shown and do not count."
            for grader, arms in ranked_by(plain).items()
        ]
        parts += _missing(plain, number)
        parts += _trained(plain.get("trained") or [], number)
        parts += _costs(plain.get("costs") or {}, number)
        parts += _grader_tables(plain, number)
        for at, (judge, arms) in enumerate((plain.get("win_rates") or {}).items(), start=1):
            parts.append(_rates(judge, arms, f"{number}-{at}"))
        parts += _planned(plain.get("power") or [], number)
        if plain.get("skills"):
            parts.append(_skill_table(plain["skills"], number))
            said.append("Skills: an arm forgot one where it is below the base by more than the margin.")
        biases = dict(plain.get("length_biases") or {})
        if plain.get("length_bias"):
            biases[""] = plain["length_bias"]
        for at, (judge, bias) in enumerate(biases.items(), start=1):
            facts = [
                ("correlation of length with the win rate", finite(bias.get("r"))),
                ("95 % interval from" if bias.get("confidence") == 0.95 else "interval from", finite(bias.get("low"))),
                ("to", finite(bias.get("high"))),
            ]
            facts += [
                ("with the logarithm of length", finite(bias.get("r_log"))),
                ("of the ranks", finite(bias.get("rank"))),
                ("pairs", bias.get("n")),
                ("why there is none", bias.get("reason")),
            ]
            parts.append(
                facts_table(
                    f"length-bias-{number}-{at}",
                    f"Length bias{f', {judge}' if judge else ''}: win rates and the length of responses",
                    known_facts(facts),
                )
            )
        for key, called in (("win_rate", "Win rate, pair by pair"), ("length_controlled", "Win rate had both responses been equally long")):
            if isinstance(plain.get(key), dict):
                parts.append(facts_table(f"{key.replace('_', '-')}-{number}", called, flat(plain[key])))
    return Section("verification", "Verification", tuple(said), tuple(parts))


def _verdict_parts(verdicts: Sequence[Mapping[str, Any]], number: int) -> list[Part]:
    rows, found = [], list[Part]()
    for each in verdicts:
        interval, scale = each.get("interval") or {}, each.get("scale") or {}
        draws, runs = interval.get("n_replicates") or (None, None), interval.get("n_seeds") or (None, None)
        rows.append(
            (
                each.get("grader"),
                each.get("baseline"),
                each.get("outcome"),
                finite(interval.get("estimate")),
                finite(interval.get("low")),
                finite(interval.get("high")),
                finite(interval.get("bootstrap_low")),
                finite(interval.get("bootstrap_high")),
                finite(interval.get("confidence")),
                finite(interval.get("detectable")),
                scale.get("unit") or None,
                "higher" if scale.get("higher_is_better") else "lower",
                finite(each.get("p_adjusted")),
                interval.get("n_items"),
                None if draws[0] is None else f"{draws[0]} × {runs[0]} against {draws[1]} × {runs[1]}",
                each.get("missing"),
                interval.get("generalize_to"),
                interval.get("method") or None,
                each.get("reason"),
            )
        )
    if not rows:
        return found
    for at, grader in enumerate(dict.fromkeys(row[0] for row in rows), start=1):
        own = [row for row in rows if row[0] == grader and any(value is not None for value in row[3:6])]
        if not own or at > ARMS:
            continue
        unit, better = own[0][10:12]
        data = {
            "x_label": f"difference{f', {unit}' if unit else ''}; {better} is better",
            "rows": [
                {"name": f"against {row[1]}", "outcome": row[2], "estimate": row[3], "low": row[4], "high": row[5], "detectable": row[9]}
                for row in own[:EFFECTS]
            ],
        }
        found.append(Chart(f"forest-{number}-{at}", "forest", f"{grader}: selection less baseline", data))
    columns: tuple[Column, ...] = (
        Column("grader", "grader"),
        Column("baseline", "against"),
        Column("verdict", "verdict"),
        Column("difference", "difference", "signed"),
        Column("low", "interval from", "signed"),
        Column("high", "to", "signed"),
        Column("bootstrap_low", "bootstrap from", "signed"),
        Column("bootstrap_high", "to", "signed"),
        Column("confidence", "confidence", "share"),
        Column("detectable", "minimal detectable effect", "number"),
        Column("unit", "unit"),
        Column("better", "better is"),
        Column("p", "p, adjusted", "p"),
        Column("items", "items", "count"),
        Column("runs", "replicates × runs"),
        Column("missing", "items left out", "count"),
        Column("generalize_to", "generalizes to"),
        Column("method", "method"),
        Column("reason", "reason", "prose"),
    )
    rest = lambda others: (f"{len(others):,} other comparisons", *[None] * 18)  # noqa: E731 - one use, one line
    return [*found, Table(f"verdicts-{number}", "Selection less baseline, by grader", columns, shortened(rows, COMPARISONS, rest))]


def _trained(models: Sequence[Any], number: int) -> list[Part]:
    """What became of every subset's rows in training, and how much of it a model saw."""
    columns: tuple[Column, ...] = (
        Column("arm", "arm"),
        Column("draw", "draw", "count"),
        Column("models", "models", "count"),
        Column("rows", "rows", "count"),
        Column("trained_rows", "trained on", "count"),
        Column("skipped", "skipped", "prose"),
        Column("truncated", "truncated", "count"),
        Column("steps", "steps of a model", "count"),
        Column("tokens_seen", "tokens it saw", "count"),
        Column("tokens_trained", "loss tokens", "count"),
    )
    subsets: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for each in models:
        if isinstance(each, dict):
            subsets.setdefault((str(each.get("arm")), each.get("replicate") or 0), []).append(each)
    rows = []
    for (arm, draw), found in subsets.items():
        audit = found[0].get("audit") or {}
        # Results of 0.1 have the skipped rows as refused.
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in (audit.get("skipped") or audit.get("refused") or {}).items())
        seen = [found[0].get(key) for key in ("steps", "tokens_seen", "tokens_trained")]
        counts = [audit.get(key) for key in ("rows", "trained_rows")]
        rows.append((arm, draw, len(found), *counts, skipped or None, audit.get("truncated"), *seen))
    rest = lambda others: (f"{len(others):,} other subsets", *[None] * 9)  # noqa: E731
    return [Table(f"trained-{number}", "What every subset's rows came to", columns, shortened(rows, ROWS, rest))] if rows else []


def _missing(plain: Mapping[str, Any], number: int) -> list[Part]:
    """Runs that are not in the verification, and why."""
    rows = [(each.get("run"), each.get("reason"), each.get("message")) for each in plain.get("failures") or [] if isinstance(each, dict)]
    rows += [(name, "left", "to be made by the same command") for name in plain.get("pending") or []]
    columns: tuple[Column, ...] = (Column("run", "run"), Column("reason", "reason"), Column("message", "what was said", "prose"))
    rest = lambda others: (f"{len(others):,} other runs", None, None)  # noqa: E731
    return [Table(f"missing-{number}", "Runs that are missing", columns, shortened(rows, ROWS, rest))] if rows else []


def _costs(costs: Mapping[str, Any], number: int) -> list[Part]:
    """What choosing the rows took, beside what training on them did."""
    rows = [
        (arm, finite(each.get("selection")), finite(each.get("training")), finite(each.get("grading")))
        for arm, each in costs.items()
        if isinstance(each, dict)
    ]
    columns: tuple[Column, ...] = (Column("arm", "arm"), Column("selection", "choosing the rows, seconds", "number"))
    columns += (Column("training", "training, seconds", "number"), Column("grading", "grading, seconds", "number"))
    rest = lambda others: (f"{len(others):,} other arms", None, None, None)  # noqa: E731
    table = Table(f"costs-{number}", "What it cost; empty where nobody knows", columns, shortened(rows, ROWS, rest))
    return [table] if rows else []


def _rates(judge: str, arms: Mapping[str, Any], name: str) -> Table:
    """How often each arm's answers were preferred to the reference's."""
    columns: tuple[Column, ...] = (
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
    rows = []
    for arm, each in arms.items():
        flags = each.get("flags") or {}
        controlled = (each.get("length_controlled") or {}).get("win_rate")
        rates = [finite(each.get(key)) for key in ("win_rate", "discrete_win_rate")]
        counts = [each.get(key) for key in ("wins", "ties", "losses")]
        rows.append(
            (
                arm,
                len(each.get("runs") or []),
                *rates,
                finite(controlled),
                finite(each.get("official_length_controlled")),
                *counts,
                finite(each.get("score")),
                each.get("n_total"),
                each.get("n_null"),
                flags.get("swap_disagrees", 0),
                flags.get("suspicious", 0),
            )
        )
    rest = lambda others: (f"{len(others):,} other arms", *[None] * 13)  # noqa: E731
    return Table(f"win-rates-{name}", f"{judge}: preferred to the reference", columns, shortened(rows, ROWS, rest))


def _planned(expected: Sequence[Any], number: int) -> list[Part]:
    """What the plan could find, and when that was said."""
    rows = [
        (
            each.get("grader"),
            each.get("baseline"),
            finite(each.get("detectable")),
            each.get("unit"),
            "assumed" if each.get("assumed") else "measured by a pilot",
            "after some runs" if each.get("before") is False else "before the first run",
        )
        for each in expected
        if isinstance(each, dict)
    ]
    columns: tuple[Column, ...] = (Column("grader", "grader"), Column("baseline", "against"))
    columns += (
        Column("detectable", "minimal detectable effect", "number"),
        Column("unit", "unit"),
        Column("variances", "variances"),
        Column("said", "said"),
    )
    rest = lambda others: (f"{len(others):,} others", *[None] * 5)  # noqa: E731
    return [Table(f"power-{number}", "What the plan could find", columns, shortened(rows, ROWS, rest))] if rows else []


def _grader_tables(plain: Mapping[str, Any], number: int) -> list[Part]:
    """Every run's mean, and what is missing."""
    means, missing = [], []
    for grader, told in (plain.get("graders") or {}).items():
        for each in told.get("means") or []:
            means.append((grader, each.get("arm"), each.get("replicate"), each.get("seed"), each.get("items"), finite(each.get("mean"))))
        for reason, count in (told.get("reasons") or {}).items():
            missing.append((grader, reason, count))
        if told.get("truncated"):
            missing.append((grader, "truncated (and graded)", told["truncated"]))
    found: list[Part] = []
    if means:
        columns: tuple[Column, ...] = (
            Column("grader", "grader"),
            Column("arm", "arm"),
            Column("draw", "draw", "any"),
            Column("seed", "seed", "any"),
        )
        columns += (Column("items", "items", "count"), Column("mean", "mean", "number"))
        rest = lambda others: (f"{len(others):,} other runs", *[None] * 5)  # noqa: E731
        found.append(Table(f"means-{number}", "Mean of every run", columns, shortened(means, ROWS, rest)))
    if missing:
        columns = (Column("grader", "grader"), Column("reason", "reason"), Column("items", "items, over all runs", "count"))
        rest = lambda others: (f"{len(others):,} others", "", sum(row[2] for row in others))  # noqa: E731
        found.append(Table(f"missing-{number}", "Items without a value", columns, shortened(missing, REASONS, rest)))
    return found


def _skill_table(told: Mapping[str, Any], number: int) -> Table:
    arms = list(told["rows"])
    shown = arms[:ARMS]
    columns: tuple[Column, ...] = (Column("skill", "skill"), *(Column(f"arm_{at}", arm, "number") for at, arm in enumerate(shown, start=1)))
    rows = []
    for skill in told["skills"]:
        cells = {arm: told["rows"][arm].get(skill) or {} for arm in arms}
        forgot = [arm for arm in arms if cells[arm].get("regressed")]
        named = f"{told['measures'][skill]}: {skill}" if (told.get("measures") or {}).get(skill) else skill
        rows.append((named, *(finite(cells[arm].get("value")) for arm in shown), len(forgot), ", ".join(forgot)))
    columns += (Column("n_forgot", "arms that forgot it", "count"), Column("forgot", "which"))
    left = f"; {len(arms) - len(shown):,} arms not shown" if len(arms) > len(shown) else ""
    rest = lambda others: (f"{len(others):,} other skills", *[None] * len(shown), sum(row[-2] for row in others), None)  # noqa: E731
    return Table(f"skills-{number}", f"Skills, compared with {told['base']}{left}", columns, shortened(rows, SKILLS, rest))


def headline(plain: Mapping[str, Any]) -> list[str]:
    """The word of a verification: against which baseline, and what stands in its way."""
    told = plain.get("verdicts") or {}
    baselines = {each.get("baseline") for each in told.get("verdicts") or [] if isinstance(each, dict)}
    alone = next(iter(baselines)) if len(baselines) == 1 else None
    word, against = plain.get("outcome") or (told.get("outcome") if alone else None), plain.get("against") or alone
    if word is None or against is None:
        return [f"Verdict over all baselines: {told['outcome']}."] if told.get("outcome") else []
    said = [f"Verdict against {against}: {word}."]
    model = plain.get("model") or {}
    if model.get("enough") is False:
        said.append(f"The base is no better than chance ({model.get('said')}): no verdict may rest on it.")
    lacking = plain.get("missing") or {}
    said += [f"Without {count:,} run{'s' * (count > 1)} of {arm} that failed or are left." for arm, count in lacking.items()]
    return said


def in_order(plain: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The verdicts of a verification: those its word is about first, and of these, as of the others, what was found first."""
    verdicts = [each for each in (plain.get("verdicts") or {}).get("verdicts") or [] if isinstance(each, dict)]
    return sorted(verdicts, key=lambda each: (each.get("baseline") != plain.get("against"), each.get("outcome") not in ("better", "worse")))


def sentence(verdict: Mapping[str, Any]) -> str:
    """A verdict in words, without what holds for others, too."""
    return str(
        verdict.get("statement")
        or verdict.get("sentence")
        or f"{verdict.get('selection')} against {verdict.get('baseline')} on {verdict.get('grader')}: {verdict.get('outcome')}."
    )


def in_brief(verdict: Mapping[str, Any]) -> str:
    """A verdict in half a line."""
    interval = verdict.get("interval") or {}
    estimate, low, high = (finite(interval.get(key)) for key in ("estimate", "low", "high"))
    unit = (verdict.get("scale") or {}).get("unit")
    mark = " (leakage)" if verdict.get("leakage") else ""
    told = f"{verdict.get('selection')} against {verdict.get('baseline')} on {verdict.get('grader')}: {verdict.get('outcome')}{mark}"
    if estimate is None or low is None or high is None:
        return f"{told}."
    detectable = finite(interval.get("detectable"))
    missed = "" if detectable is None else f"; {detectable:.3g} would be found four times in five"
    return f"{told}; difference {estimate:+.3g}{f' {unit}' if unit else ''}, interval {low:+.3g} to {high:+.3g}{missed}."
