"""Plain data of a verification: schema 1, that of the last release, is read under the keys of schema 2, other names for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

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
    _map(summary, "graders", lambda graders: {name: _grader(grader) for name, grader in graders.items()})
    _map(summary, "trained", _runs)
    _map(summary, "win_rates", lambda judges: {judge: _each(arms, _win_rate) for judge, arms in judges.items()})
    _map(summary, "length_biases", lambda judges: _each(judges, lambda bias: _renamed(bias, {"level": "confidence"})))
    _map(summary, "length_bias", lambda bias: _renamed(bias, {"level": "confidence"}))
    _map(summary, "power", lambda expected: [_power(entry) for entry in expected])
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


def _estimand(name: Any) -> Any:
    return ESTIMANDS.get(name, name) if isinstance(name, str) else name


def _verdicts(verdicts: Any) -> Any:
    """`Verdicts.as_dict`, or the list in it."""
    if isinstance(verdicts, list):
        return [_verdict(verdict) for verdict in verdicts]
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
        _map(renamed, "method", lambda method: METHODS.get(method, method))
        _map(renamed, "variance", _spread)
    return renamed


def _spread(spread: Any) -> Any:
    renamed = _renamed(spread, {"target": "generalize_to"})
    if isinstance(renamed, dict):
        _map(renamed, "generalize_to", _estimand)
        _map(renamed, "sides", lambda sides: [_side(side) for side in sides])
    return renamed


def _side(side: Mapping[str, Any]) -> dict[str, Any]:
    source = [COUNTED.get(part, part) for part in side.get("source") or []]
    return {**side, "counted": COUNTED.get(side.get("counted") or "", side.get("counted")), "source": source}


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
    return [_renamed(run, RUN) for run in runs]


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


__all__ = ["upgraded"]
