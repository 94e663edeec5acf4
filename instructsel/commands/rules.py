"""instructsel rules: the published rules, with citation, units and the models they assume, and rules of one's own."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final

import typer

from instructsel.commands import _card, _completion, _fit
from instructsel.commands import _options as options
from instructsel.commands._comparison import EXAMPLES, flags_of
from instructsel.commands._console import display, reported, write_json
from instructsel.commands._help import Command, Group
from instructsel.models.plausibility import card
from instructsel.rules import catalog
from instructsel.rules.linear import LinearRule
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.base import Baseline
from instructsel.selection.choose import ranker_of
from instructsel.text import aligned

app: typer.Typer = typer.Typer(
    cls=Group, help="List, show and fit the rules examples are ranked by.", no_args_is_help=True, rich_markup_mode=None
)

CARD: Final = "plausibility"
LIST_EXAMPLES: Final = "Examples:\n  instructsel rules list\n  instructsel rules list --json\n"
SHOW_EXAMPLES: Final = "Examples:\n  instructsel rules show eq4\n  instructsel rules show plausibility\n"


@reported
def list_rules(json: options.Json = False, show_traceback: options.Traceback = False) -> None:
    """List the presets, and the ways to select that are no linear rules.

    Either goes with select --rule; a way also goes with --by and --baseline.
    """
    presets = [catalog.load(name) for name in catalog.names()]
    ways = [registry.make(name) for name in registry.names() if name not in catalog.names()]
    if json:
        write_json([*(_plain(rule) for rule in presets), *(_way(way) for way in ways)])
        return
    for line in aligned([[rule.name, ", ".join(rule.indicators), rule.title] for rule in presets], header=["rule", "indicators", ""]):
        display(line)
    rows = [[way.name, ", ".join(needs_of(way)), way.title] for way in ways]
    for line in ["", *aligned(rows, header=["way", "needs", ""])]:
        display(line)


@reported
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A preset, a rule file (.toml), a way to select, or plausibility: the card of that indicator's model.",
            autocompletion=_completion.rules,
        ),
    ],
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show a rule: formula, weights, units, models assumed, source. Or a way to select."""
    if name == CARD:
        shown = card()
        if json:
            write_json(shown)
        else:
            display("\n".join(_card.lines(shown)))
        return
    if name not in catalog.names() and name in registry.names():
        way = registry.make(name)
        if json:
            write_json(_way(way))
        else:
            display("\n".join(_lines(way)))
        return
    rule = ranker_of(name)
    assert isinstance(rule, LinearRule)
    if json:
        write_json(_plain(rule))
        return
    display(f"{rule.name}: {rule.title}")
    display(
        f"{rule.target} ~ {rule.intercept:g} "
        + " ".join(f"{'-' if term.weight < 0 else '+'} {abs(term.weight):g}*{term.indicator}" for term in rule.terms)
    )
    display("lower is better\n")
    rows = [
        [
            term.indicator,
            f"{term.weight:g}",
            term.unit,
            ", ".join(entry.name for entry in term.accepts[:2]) + (" …" if len(term.accepts) > 2 else "") or "any",
            "assumed" if term.assumed else "given",
        ]
        for term in rule.terms
    ]
    for line in aligned(rows, header=["indicator", "weight", "unit", "models or tokenizers", ""], right=(1,)):
        display(line)
    for term in rule.terms:
        if term.note:
            display(f"\n{term.indicator}: {term.note}")
    display(f"\n{rule.citation}" + (f"\n{rule.equation}" if rule.equation else ""))
    if rule.note:
        display(rule.note)
    for line in _fit.doubts(rule):
        display(line)
    if "rew" in rule.indicators and rule.fit is None:
        display("No reward model ships with the package. What ships instead: instructsel rules show plausibility")


def needs_of(way: Baseline) -> list[str]:
    """What a way needs, as flags and symbols."""
    others = {"a selection": way.needs_selection, "a seed": way.seeded}
    return [*way.needs, *flags_of(way), *(what for what, needed in others.items() if needed)]


def _way(way: Baseline) -> dict[str, Any]:
    """A way as plain data."""
    return {
        "name": way.name,
        "way": True,
        "title": way.title,
        "score": way.unit,
        "needs": needs_of(way),
        "seeded": way.seeded,
        "citation": way.source,
        "note": _note(way),
        "lower_is_better": True,
    }


def _note(way: Baseline) -> str:
    return inspect.cleandoc(type(way).__doc__ or "")


def _lines(way: Baseline) -> list[str]:
    """A way for people."""
    lines = [f"{way.name}: {way.title}", "", _note(way), "", f"score: {way.unit}; lower is better"]
    needs = needs_of(way)
    lines += [f"needs: {', '.join(needs)}"] if needs else []
    lines += [f"source: {way.source}"] if way.source else []
    flag = "--baseline" if way.needs_selection else "--by"
    more = "".join(f" {needed} {EXAMPLES[needed]}" for needed in flags_of(way))
    return [*lines, f"use: instructsel select SCORES {flag} {way.name}{more} …"]


def _plain(rule: LinearRule) -> dict[str, Any]:
    return {**rule.as_dict(), "lower_is_better": rule.lower_is_better}


list_rules.__doc__ = f"{list_rules.__doc__}\n\n\b\n{LIST_EXAMPLES}"
show.__doc__ = f"{show.__doc__}\n\n\b\n{SHOW_EXAMPLES}"
app.command("list", cls=Command)(list_rules)
app.command("show", cls=Command)(show)
app.command("fit", cls=Command)(_fit.command)
