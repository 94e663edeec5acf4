"""A recipe with what flags say, and a mixture for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructsel.errors import UsageError
from instructsel.mixtures.card import licence_lines
from instructsel.mixtures.mixture import Mixture, outputs_of
from instructsel.mixtures.originals import command_for
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.text import aligned, counted, excerpt, wrapped

if TYPE_CHECKING:
    from instructsel.mixtures.plan import Plan

WIDTH = 80
LABEL = 24
"""Characters of a label."""


def changed(name: str, sources: Sequence[str], *, seed: int | None, tokenizer: str | None, max_length: int | None) -> MixtureRecipe:
    """A recipe with what flags say.

    Raises:
        UsageError: there is no such recipe or source.
    """
    recipe = MixtureRecipe.named(name)
    paths: dict[str, list[str]] = {}
    for entry in sources:
        label, equals, path = entry.partition("=")
        if not equals or not label or not path:
            raise UsageError(f"--source is NAME=PATH, and this is {entry!r}.", fix=f"For example: --source {recipe.sources[0].label}=FILE")
        paths.setdefault(label, []).append(path)
    values = {"seed": seed, "tokenizer": tokenizer, "max_length": max_length}
    return replace(recipe.with_paths(paths), **{key: value for key, value in values.items() if value is not None})  # type: ignore[arg-type]


def plan_lines(plan: Plan) -> list[str]:
    """What the metadata say of a recipe."""
    record = plan.as_dict()
    rows = [
        (
            excerpt(source["label"], LABEL),
            source["asked"],
            _number(source["rows"]),
            _number(source["tokens"]),
            source["licence"] or "unknown",
            "" if source["here"] else "no",
        )
        for source in record["sources"]
    ]
    rows.append(("all", "", _number(record["rows"]), _number(record["tokens"]), "", ""))
    lines = [
        f"{plan.recipe.name}: by the catalogue alone, no file was opened",
        "",
        *aligned(rows, header=("source", "asked", "rows", "tokens", "licence", "here"), right=(2, 3)),
        "",
        *(part for line in licence_lines(record["licences"]) for part in wrapped(line, WIDTH)),
    ]
    if record["rows"] is None:
        lines.append("?: not known before the files are read")
    lacking = [source for source, entry in zip(plan.recipe.sources, record["sources"], strict=True) if not entry["here"]]
    if lacking:
        lines += ["", "not on this machine:"]
        lines += [f"  {source.label}: {command_for(source.dataset)}" for source in lacking if source.dataset is not None]
    return lines


def lines(mixture: Mixture) -> list[str]:
    """What a mixture is: its account, lengths, licences."""
    record = mixture.manifest
    return [
        f"{mixture.name}: {counted(record['data']['rows'], 'row')} of {counted(len(record['sources']), 'source')}, hash {mixture.hash}",
        "",
        *_account(record["sources"]),
        "",
        *_statistics(record),
        *_shared(record["sources"]),
        "",
        *(part for line in licence_lines(record["licences"]) for part in wrapped(line, WIDTH)),
    ]


def written(mixture: Mixture) -> list[Path]:
    """The files of a mixture."""
    return outputs_of(mixture.path)


def next_command(mixture: Mixture) -> str:
    """What to do with it."""
    return f"instructsel gate {shlex.quote(str(mixture.path))}"


def _account(sources: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (
            excerpt(source["label"], LABEL),
            _number(entry["read"]),
            _number(sum(entry["dropped"].values()) + sum(entry["quarantined"].values())),
            *(_number(entry[name]) for name in ("examples", "duplicates", "sampled_out", "repeated", "written")),
            f"{100 * source['share']:.1f}%",
        )
        for source in sources
        for entry in [source["rows"]]
    ]
    header = ("source", "read", "bad", "examples", "duplicate", "not drawn", "again", "rows", "share")
    lines = aligned(rows, header=header, right=range(1, 9))
    reasons = [
        f"  {source['label']}: {', '.join(f'{reason} {count:,}' for reason, count in {**entry['dropped'], **entry['quarantined']}.items())}"
        for source in sources
        for entry in [source["rows"]]
        if entry["dropped"] or entry["quarantined"]
    ]
    return [*lines, *(["bad rows, by reason:", *reasons] if reasons else [])]


def _statistics(record: Any) -> list[str]:
    if record["tokenizer"] is None:
        return ["tokens were not counted"]
    entries = [(source["label"], source["statistics"]) for source in record["sources"]] + [("all", record["statistics"])]
    rows = [
        (
            excerpt(label, LABEL),
            f"{entry['turns']:.1f}",
            *(f"{entry[part]['mean']:.1f}" if entry[part] else "" for part in ("prompt", "response", "total")),
            f"{100 * entry['loss_share']:.1f}%" if entry["loss_share"] is not None else "",
            _number(entry["truncated"]),
            _number(entry["without_loss"]),
        )
        for label, entry in entries
    ]
    most = record["max_length"]
    header = ("source", "turns", "prompt", "response", "total", "loss tokens", "truncated", "no loss")
    lengths = sorted(record["statistics"]["longer_than"], key=int)
    longer = [(excerpt(label, LABEL), *(_number(entry["longer_than"][length]) for length in lengths)) for label, entry in entries]
    return [
        *wrapped(f"mean tokens by {record['tokenizer']['name']}, of the texts alone; truncated: longer than {most:,}", WIDTH),
        *aligned(rows, header=header, right=range(1, 8)),
        "",
        "rows longer than so many tokens",
        *aligned(longer, header=("source", *(f"{int(length):,}" for length in lengths)), right=range(1, len(lengths) + 1)),
    ]


def _shared(sources: Iterable[dict[str, Any]]) -> list[str]:
    shared = []
    for source in sources:
        counts = [f"{count:,} in {label}" for label, count in source["also_in"].items()]
        if counts:
            shared += wrapped(f"  {source['label']}: {', '.join(counts)}", WIDTH)
    return ["", "examples that another source has, too:", *shared] if shared else []


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


__all__ = ["changed", "lines", "next_command", "plan_lines", "written"]
