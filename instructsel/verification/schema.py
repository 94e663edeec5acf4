"""Plain data of a verification: schema 1, that of the last release, is read under the keys of schema 2, other names for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from instructsel.errors import ScoresError
from instructsel.shapes import Misfit, check_depth, checked, shown
from instructsel.verification.shape import VerificationRecord

AGAIN: Final = "Verify again; finished runs are not made anew."

ESTIMANDS: Final = {"new runs": "both", "these models": "items", "these items": "runs"}
COUNTED: Final = {"draws": "replicates"}
METHODS: Final = {"t over draws": "t over replicates"}

SUMMARY: Final = {
    "word": "outcome",
    "lacking": "missing",
    "left": "pending",
    "level": "confidence",
    "target": "generalize_to",
    "circular": "leakage",
}
VERDICT: Final = {"word": "outcome", "level": "confidence", "circular": "leakage"}
INTERVAL: Final = {"level": "confidence", "target": "generalize_to", "n_draws": "n_replicates"}
RUN: Final = {"draw": "replicate"}
PLANNED: Final = {"draws": "replicates", "baseline_draws": "baseline_replicates"}


def upgraded(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The plain data of a verification under the keys of schema 2, whichever schema it has; a part of it, too.

    What is of another shape stays as it is: whether it may is `as_record`'s to say.

    >>> upgraded({"word": "better", "target": "these models", "left": []})
    {'outcome': 'better', 'generalize_to': 'items', 'pending': []}
    """
    summary: dict[str, Any] = _renamed(plain, SUMMARY)
    _map(summary, "generalize_to", _estimand)
    _map(summary, "verdicts", _verdicts)
    _map(summary, "interval", _interval)
    _map(summary, "skills", _skills)
    if {"base", "rows"} <= summary.keys():
        summary = dict(_skills(summary))
    _map(summary, "graders", lambda graders: _each(graders, _grader))
    _map(summary, "trained", _runs)
    _map(summary, "win_rates", lambda judges: _each(judges, lambda arms: _each(arms, _win_rate)))
    _map(summary, "length_biases", lambda judges: _each(judges, lambda bias: _renamed(bias, {"level": "confidence"})))
    _map(summary, "length_bias", lambda bias: _renamed(bias, {"level": "confidence"}))
    _map(summary, "power", lambda expected: _items(expected, _power))
    return summary


def _renamed(plain: Any, names: Mapping[str, str]) -> Any:
    """The same with keys renamed, in their order; a key that stands there under its new name already keeps its value."""
    if not isinstance(plain, Mapping):
        return plain
    return {names.get(key, key): value for key, value in plain.items() if names.get(key, key) == key or names[key] not in plain}


def _map(plain: dict[str, Any], key: str, change: Callable[[Any], Any]) -> None:
    """Change the value of a key in place, where there is one."""
    if plain.get(key) is not None:
        plain[key] = change(plain[key])


def _each(plain: Any, change: Callable[[Any], Any]) -> Any:
    return {name: change(value) for name, value in plain.items()} if isinstance(plain, Mapping) else plain


def _items(plain: Any, change: Callable[[Any], Any]) -> Any:
    return [change(value) for value in plain] if isinstance(plain, list) else plain


def _estimand(name: Any) -> Any:
    return _of(ESTIMANDS, name)


def _of(names: Mapping[str, str], name: Any) -> Any:
    return names.get(name, name) if isinstance(name, str) else name


def _verdicts(verdicts: Any) -> Any:
    """`Verdicts.as_dict`, or the list in it."""
    if isinstance(verdicts, list):
        return _items(verdicts, _verdict)
    renamed = _renamed(verdicts, {"word": "outcome"})
    if isinstance(renamed, dict):
        _map(renamed, "verdicts", _verdicts)
    return renamed


def _verdict(verdict: Any) -> Any:
    renamed = _renamed(verdict, VERDICT)
    if isinstance(renamed, dict):
        _map(renamed, "interval", _interval)
    return renamed


def _interval(interval: Any) -> Any:
    renamed = _renamed(interval, INTERVAL)
    if isinstance(renamed, dict):
        _map(renamed, "generalize_to", _estimand)
        _map(renamed, "method", lambda method: _of(METHODS, method))
        _map(renamed, "variance", _spread)
    return renamed


def _spread(spread: Any) -> Any:
    renamed = _renamed(spread, {"target": "generalize_to"})
    if isinstance(renamed, dict):
        _map(renamed, "generalize_to", _estimand)
        _map(renamed, "sides", lambda sides: _items(sides, _side))
    return renamed


def _side(side: Any) -> Any:
    if not isinstance(side, Mapping):
        return side
    source = _items(side.get("source") or [], lambda part: _of(COUNTED, part))
    return {**side, "counted": _of(COUNTED, side.get("counted")), "source": source}


def _skills(skills: Any) -> Any:
    renamed = _renamed(skills, {"level": "confidence", "forgot": "regressed"})
    if isinstance(renamed, dict):
        _map(renamed, "rows", lambda rows: _each(rows, lambda row: _each(row, lambda cell: _renamed(cell, {"forgot": "regressed"}))))
    return renamed


def _grader(grader: Any) -> Any:
    if isinstance(grader, Mapping) and grader.get("means"):
        return {**grader, "means": _runs(grader["means"])}
    return grader


def _runs(runs: Any) -> Any:
    return _items(runs, lambda run: _renamed(run, RUN))


def _win_rate(rate: Any) -> Any:
    renamed = _renamed(rate, {"circular": "leakage"})
    if isinstance(renamed, dict):
        _map(renamed, "runs", _runs)
    return renamed


def _power(expected: Any) -> Any:
    renamed = _renamed(expected, {"level": "confidence"})
    if isinstance(renamed, dict):
        _map(renamed, "plan", lambda plan: _renamed(plan, PLANNED))
        _map(renamed, "components", lambda components: _renamed(components, PLANNED))
    return renamed


def as_record(plain: Any, where: object) -> dict[str, Any]:
    """The plain data of a verification under the keys of schema 2, checked.

    Args:
        plain: what was read, of whichever schema.
        where: it was read, for the message.

    Raises:
        ScoresError: it is of another shape; the key is named.
    """
    if not isinstance(plain, Mapping):
        raise ScoresError(f"{where} is not a verification: it holds {shown(plain)}.", fix=AGAIN)
    try:
        check_depth(plain)
        record: dict[str, Any] = checked(upgraded(plain), VerificationRecord)
    except Misfit as misfit:
        raise ScoresError(f"{where} is not a verification: {misfit}.", fix=AGAIN) from misfit
    return record


__all__ = ["as_record", "upgraded"]
