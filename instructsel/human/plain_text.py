"""A summary of people's judgments as lines of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from instructsel.human.summary import Agreement, HumanSummary, PairSummary
from instructsel.stats.agreement import Figure
from instructsel.text import aligned, counted, excerpt, natural

MOST_PAIRS: Final = 10
MOST_ANNOTATORS: Final = 40
NAME: Final = 28
"""Columns of a name."""


def spoken(summary: HumanSummary) -> Iterator[str]:
    """The lines."""
    annotators = counted(len(summary.annotators), "annotator")
    replaced = f"; {counted(summary.n_replaced, 'record')} replaced by a later one" if summary.n_replaced else ""
    yield f"{counted(summary.n_judgments, 'judgment')} of {counted(summary.n_instances, 'instance')} by {annotators}{replaced}."
    votes = "all annotators of an instance count alike" if summary.votes == "all" else "the first annotator of an instance counts"
    yield f"Intervals at {100 * summary.confidence:g} %, over instances; {votes}."
    for pair in summary.pairs[:MOST_PAIRS]:
        yield ""
        yield from _pair(pair)
    if len(summary.pairs) > MOST_PAIRS:
        yield f"… and {counted(len(summary.pairs) - MOST_PAIRS, 'pair')} more with --json."
    if len(summary.pairs) > 1:
        yield ""
        yield "All pairs of models"
        accepted = [(f"{excerpt(model, NAME)} is acceptable", *_share(figure)) for model, figure in summary.models.items()]
        yield from _indented([*accepted, *_agreement(summary.agreement), ("left is preferred by", *_points(summary.order))])
    yield ""
    header = ("annotator", "n", "acceptable %", "beside others", "left by", "agreement %")
    rows = [
        (
            excerpt(annotator.name, NAME),
            f"{annotator.n_instances:,}",
            _cell(annotator.acceptance),
            _cell(annotator.leniency, signed=True),
            _cell(annotator.order, signed=True),
            _cell(annotator.agreement),
        )
        for annotator in sorted(summary.annotators, key=lambda annotator: natural(annotator.name))[:MOST_ANNOTATORS]
    ]
    yield from aligned(rows, header=header, right=(1, 2, 3, 4, 5))
    yield "beside others: points by which more is acceptable than to others of the same responses; left by: points by which the response on the left is preferred."
    if len(summary.annotators) > MOST_ANNOTATORS:
        yield f"… and {counted(len(summary.annotators) - MOST_ANNOTATORS, 'annotator')} more with --json."
    if summary.qualities:
        yield ""
        yield "Feedback: " + ", ".join(f"{name} {count:,}" for name, count in summary.qualities.items()) + "."


def _pair(pair: PairSummary) -> Iterator[str]:
    first, second = excerpt(pair.first, NAME), excerpt(pair.second, NAME)
    yield f"{first} against {second}: {counted(pair.n_instances, 'instance')}"
    yield from _indented(
        [
            ("wins", *_share(pair.wins, f"clearly {100 * pair.clear_wins:.1f} %")),
            ("ties", *_share(pair.ties)),
            ("losses", *_share(pair.losses, f"clearly {100 * pair.clear_losses:.1f} %")),
            ("win rate, ties half", *_share(pair.win_rate)),
            (f"{first} is acceptable", *_share(pair.acceptance_first)),
            (f"{second} is acceptable", *_share(pair.acceptance_second)),
            *_agreement(pair.agreement),
            ("left is preferred by", *_points(pair.order)),
        ]
    )


def _agreement(agreement: Agreement) -> list[tuple[str, str, str, str]]:
    """Rows of agreement, one where there is none."""
    if not agreement.n_instances:
        return [("agreement", "none", "", "no instance has two annotators")]
    doubled = f"of {counted(agreement.n_instances, 'instance')}"
    return [
        ("same preference", *_share(agreement.preference, doubled)),
        ("relaxed, a tie is half", *_share(agreement.relaxed)),
        ("same acceptability", *_share(agreement.acceptance)),
        ("Fleiss' kappa", *_coefficient(agreement.fleiss)),
        ("Krippendorff's alpha", *_coefficient(agreement.alpha_nominal, "win, tie, loss")),
        ("", *_coefficient(agreement.alpha_ordinal, "five ordered steps")),
        ("", *_coefficient(agreement.alpha_acceptance, "acceptability")),
    ]


def _indented(rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    for line in aligned(rows, right=(1,), width=78):
        yield f"  {line}"


def _share(figure: Figure, note: str = "") -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", figure.reason or ""
    return f"{100 * figure.value:.1f} %", _interval(figure, 100, 1), note or figure.reason or ""


def _points(figure: Figure) -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", figure.reason or ""
    return f"{100 * figure.value:+.1f}", _interval(figure, 100, 1, signed=True), figure.reason or "points"


def _coefficient(figure: Figure, note: str = "") -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", figure.reason or ""
    return f"{figure.value:.2f}", _interval(figure, 1, 2), note or figure.reason or ""


def _interval(figure: Figure, scale: float, digits: int, *, signed: bool = False) -> str:
    if figure.low is None or figure.high is None:
        return ""
    sign = "+" if signed else ""
    return f"[{scale * figure.low:{sign}.{digits}f}, {scale * figure.high:{sign}.{digits}f}]"


def _cell(figure: Figure, *, signed: bool = False) -> str:
    """A figure in per cent or points, in one cell."""
    if figure.value is None:
        return "–"
    value = f"{100 * figure.value:{'+' if signed else ''}.0f}"
    return f"{value} {_interval(figure, 100, 0, signed=signed)}".rstrip()


__all__ = ["spoken"]
