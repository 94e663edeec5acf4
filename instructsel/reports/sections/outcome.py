"""Section: the outcome and its picture, before anything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from instructsel.errors import InstructselError
from instructsel.magnitude import LARGEST
from instructsel.reports.figures import shown
from instructsel.reports.inputs import ReportInputs
from instructsel.reports.parts import Chart, Part, Section
from instructsel.reports.plain_text import brief, difference, headline, in_order
from instructsel.reports.sections import Page
from instructsel.reports.sections.audit import summary
from instructsel.reports.sections.columns import form_of, kept_mask, signed, unscored_rows
from instructsel.reports.sections.confounds import length_correlation
from instructsel.reports.sections.distributions import indicator_values
from instructsel.reports.sections.gate import summary as gate_summary
from instructsel.reports.sections.limits import POINTS
from instructsel.reports.sections.study import fitted_rule, has_indicators
from instructsel.reports.sections.verification import forest_chart
from instructsel.rules.collinearity import warnings as collinear
from instructsel.rules.observations import SHARE
from instructsel.rules.univariate import points
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.selection import Selection
from instructsel.stats.correlation import mean_of
from instructsel.study.study import Study
from instructsel.text import counted

NEEDS: Final = ""
BRIEF: Final = 6
"""Comparisons in a line each."""
CHARTS: Final = 8
"""Graders whose interval is drawn."""
SHIFTS: Final = 12
"""Indicators whose shift is drawn."""
FOLLOWS: Final = 0.5
"""From this correlation on, a rule's value is said to follow length."""


def title(inputs: ReportInputs) -> str:
    """What the report is called where nobody says."""
    if inputs.selection is not None:
        return f"Selection by {inputs.selection.manifest.get('form') or inputs.selection.name}"
    kinds = (
        (inputs.verifications, "Verification"),
        (inputs.studies, "Study"),
        (inputs.sizes, "Size search"),
        (inputs.gates, "Gate"),
        (inputs.audits, "Audit"),
    )
    for results, name in kinds:
        if results:
            return name
    return "Scores of a pool"


def build(page: Page) -> Section:
    """The verdict with its interval; what was selected and how it differs from the pool; how well a rule fits."""
    inputs = page.inputs
    sentences: list[str] = []
    parts: list[Part] = []
    for number, record in enumerate(inputs.verifications, start=1):
        against = record.get("against")
        verdicts = in_order(record)
        opening = headline(record)
        sentences += opening
        # A single comparison stands in the first sentence already.
        lines = [(difference(verdict), brief(verdict)) for verdict in verdicts[:BRIEF]]
        sentences += [line for measured, line in lines if not measured or measured not in "".join(opening[:1])]
        deciding = [verdict for verdict in verdicts if against in (None, verdict.get("baseline"))]
        chart = forest_chart(deciding[:CHARTS], f"outcome-{number}", against)
        parts += [chart] if chart is not None else []
    if inputs.selection is not None:
        sentences += _selected(inputs, inputs.selection)
        shift = _shift_chart(inputs)
        parts += [shift] if shift is not None else []
    elif inputs.table is not None:
        sentences.append(_scored(inputs.table))
    for number, study in enumerate(inputs.studies, start=1):
        if isinstance(study, Study) and not has_indicators(study):
            sentences += _without_rule(study)
            continue
        sentence, chart = _fit(study, number)
        sentences.append(sentence)
        parts += [chart] if chart is not None else []
    sentences += [str(matrix["verdict"]) for matrix in inputs.effects]
    sentences += [str(curve.get("verdict", "")) for curve in inputs.sizes]
    sentences += [sentence for record in inputs.gates for sentence in gate_summary(record)]
    sentences += [sentence for record in inputs.audits for sentence in summary(record)]
    if inputs.selection is not None:
        sentences += _warnings(inputs, inputs.selection)
    sentences += inputs.notes
    return Section("outcome", "Outcome", tuple(sentence for sentence in sentences if sentence), tuple(parts))


def _scored(table: ScoreTable) -> str:
    """How many examples have which scores."""
    read, symbols = counted(len(table), "example"), table.symbols
    if len(symbols) == 1:
        return f"{len(table) - unscored_rows(table):,} of {read} have a score by {symbols[0]}. Nothing is selected."
    return f"{len(table) - unscored_rows(table):,} of {read} have a score by each of {', '.join(symbols)}. Nothing is selected."


def _selected(inputs: ReportInputs, selection: Selection) -> list[str]:
    """What was selected, and whether it was verified."""
    read = selection.summary.get("read", len(selection.frame))
    sentences = [
        f"{form_of(selection)} selects {len(selection):,} of {counted(read, 'example')}. "
        f"The score is {selection.manifest.get('score', 'of the rule')}; lower is better."
    ]
    if not any((record.get("verdicts") or {}).get("outcome") for record in inputs.verifications):
        sentences.append("Not verified: no fine-tune on these rows was compared with one on random rows.")
    return sentences


def _shift_chart(inputs: ReportInputs) -> Chart | None:
    """How far the mean of each indicator moves from the pool to the selection, in standard deviations over the pool."""
    assert inputs.selection is not None
    is_kept = kept_mask(inputs.selection)
    random = [kept_mask(baseline) for baseline in inputs.baselines if baseline.baseline == RANDOM]
    rows = []
    for symbol, unit, values, valid in indicator_values(inputs):
        pool, selected = values[valid], values[valid & is_kept]
        center, mean = mean_of(pool), mean_of(selected)
        # Where squares are infinite there is no deviation to measure shifts in.
        deviation = float(np.std(pool)) if len(pool) and np.abs(pool).max() <= LARGEST else 0.0
        if center is None or mean is None or not deviation > 1e-12 * max(1.0, abs(center)):
            continue
        shifts = [(mean_of(values[valid & mask]), mask) for mask in random]
        known = [(drawn - center) / deviation for drawn, _ in shifts if drawn is not None]
        named = f"{symbol} ({unit})" if unit else symbol
        rows.append(
            {
                "name": named,
                "outcome": f"{shown(center, 'number')} → {shown(mean, 'number')}",
                "estimate": (mean - center) / deviation,
                "low": None,
                "high": None,
                "detectable": max(map(abs, known)) if known else None,
            }
        )
    if not rows:
        return None
    data = {
        "x_label": "shift of the mean, in standard deviations over the pool",
        "band": "random subsets lie within",
        "rows": rows[:SHIFTS],
    }
    return Chart("outcome-shift", "forest", "Means: pool → selected", data)


def _without_rule(study: Study) -> list[str]:
    """What a study without scores is for; of one whose arms show what a source is worth, the effects say it."""
    if study.of_sources:
        return []
    sources = sum(name.startswith(SHARE) for name in study.frame.columns)
    return [
        f"The study trained on mixtures of {counted(sources, 'source')}: {len(study.frame):,} of {counted(study.planned, 'run')} have finished. It has no "
        "scores, so that no rule is fitted to it; shares of sources are fitted by: instructsel mix fit FOLDER"
    ]


def _fit(study: Any, number: int) -> tuple[str, Chart | None]:
    """How well a rule of all indicators fits a study."""
    try:
        observations = getattr(study, "observations", study)
        rule = fitted_rule(observations)
        summary = rule.summary.as_dict()
        weights = {estimate["indicator"]: estimate["weight"] for estimate in summary["estimates"]}
        intercept = weights.pop("intercept", 0.0)
        measured = points(observations, list(weights), "log_loss")
    except InstructselError as error:
        return f"The study gives no rule: {error.message}", None
    target = measured.target
    fitted = intercept + sum(weight * measured.indicators[symbol] for symbol, weight in weights.items())
    left_out = summary.get("loo_r2")
    apart = f"; on the observation left out, R² = {left_out:.2f}" if isinstance(left_out, float) else ""
    sentence = f"A rule of {len(weights)} indicators explains R² = {summary['r2']:.2f} of ln L over {summary['n']} observations{apart}."
    if not np.isfinite(fitted).all() or not np.isfinite(target).all():
        return sentence, None
    ends = [float(min(fitted.min(), target.min())), float(max(fitted.max(), target.max()))]
    line = {"name": "measured = fitted", "x": ends, "y": ends, "low": ends, "high": ends}
    drawn = {"name": "", "x": fitted[:POINTS].tolist(), "y": target[:POINTS].tolist(), "labels": list(measured.labels[:POINTS])}
    data = {"x_label": "ln L, fitted", "y_label": "ln L, measured", "kinds": [drawn], "curve": line if ends[0] < ends[1] else None}
    return sentence, Chart(f"outcome-fit-{number}", "scatter", "The rule's fit: measured against fitted", data)


def _warnings(inputs: ReportInputs, selection: Selection) -> list[str]:
    """What stands between the selection and what a reader may take it for."""
    summary, sentences = selection.summary, []
    for mismatch in summary.get("mismatches") or []:
        assumed = (mismatch.get("assumes") or ["another model"])[0]
        scorer = mismatch.get("scored_with") or "an unknown model"
        sentences.append(f"Mismatch: {mismatch.get('indicator')} was scored with {scorer}; the rule assumes {assumed}.")
    if summary.get("shortfall"):
        unit = "tokens" if summary.get("unused_tokens") is not None else "examples"
        sentences.append(f"{summary['shortfall']:,} {unit} short of the budget{_shortfall_reason(selection)}.")
    for symbol, spans in (summary.get("extrapolation") or {}).items():
        if spans.get("mean_of_kept_is_outside"):
            sentences.append(f"The rule extrapolates: the mean {symbol} of the selected rows lies outside the range it was fitted on.")
    sentences += [line.removeprefix("warning: ").capitalize() for line in collinear(summary.get("collinearity") or {})]
    r = length_correlation(inputs)
    if r is not None and math.isfinite(r) and abs(r) >= FOLLOWS:
        sentences.append(f"The score follows response length (correlation {signed(r)}). Compare with the baseline length-matched.")
    return sentences


def _shortfall_reason(selection: Selection) -> str:
    """Which of quotas, the minimum thresholds or the pool's end left the budget unfilled, as the rows' reasons say."""
    counts: Mapping[str, int] = dict(selection.frame["reason"].drop_nulls().value_counts().rows())
    if any(reason.startswith("quota") for reason in counts):
        return ": quotas leave out the other rows"
    if "too_similar" in counts:
        return ": the other rows are too similar to the selected ones"
    return ": no other row is eligible"


__all__ = ["NEEDS", "build", "title"]
