"""The card of a mixture: licences, sources, what became of every row, lengths. Markdown, made of its manifest alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instructsel.text import counted, neutral

NOT_STATED = "not stated"


def card(manifest: Mapping[str, Any]) -> str:
    """The page."""
    recipe = manifest["recipe"]
    lines = [f"# {_safe(recipe['title'] or manifest['name'])}", ""]
    if recipe["citation"]:
        lines += [f"After {_safe(recipe['citation'])}.", ""]
    statistics = manifest["statistics"]
    lines += [
        f"{counted(statistics['rows'], 'row')} of {counted(len(manifest['sources']), 'source')}; recipe `{_safe(manifest['name'])}`, seed {recipe['seed']}.",
        "",
        "## Licences",
        "",
        *(f"**{_safe(line)}**" if number == 0 else _safe(line) for number, line in enumerate(licence_lines(manifest["licences"]))),
        "",
        *_table(
            ("source", "dataset", "licence", "rows", "share"),
            (
                (
                    source["label"],
                    source["title"] or NOT_STATED,
                    source["licence"] or "unknown",
                    source["rows"]["written"],
                    f"{100 * source['share']:.1f}%",
                )
                for source in manifest["sources"]
            ),
        ),
        "",
        "The licence of each source holds for its rows.",
        "",
        "## Rows",
        "",
        "read = kept + dropped + quarantined; examples = duplicates + sampled out + drawn; written = drawn + repeated.",
        "",
        *_table(
            ("source", "read", "dropped", "quarantined", "examples", "duplicates", "sampled out", "drawn", "repeated", "written"),
            (
                (
                    source["label"],
                    rows["read"],
                    sum(rows["dropped"].values()),
                    sum(rows["quarantined"].values()),
                    *(rows[name] for name in ("examples", "duplicates", "sampled_out", "drawn", "repeated", "written")),
                )
                for source in manifest["sources"]
                for rows in [source["rows"]]
            ),
        ),
        "",
        *_lengths(manifest),
        "## Files",
        "",
        *_table(
            ("file", "SHA-256"),
            ((file["name"], file["sha256"] or NOT_STATED) for source in manifest["sources"] for file in source["files"]),
        ),
        "",
        f"- hash of the rows, in any order: `{manifest['hash']}`",
        f"- SHA-256 of {_safe(manifest['data']['file'])}: `{manifest['data']['sha256']}`",
        f"- instructsel {manifest['instructsel']}",
    ]
    return "\n".join(lines) + "\n"


def licence_lines(licences: Mapping[str, Any]) -> list[str]:
    """What the licences of the sources make of a mixture, in sentences, the outcome first."""
    unknown, forbidding = licences["unknown"], licences["because_of"]
    if licences["non_commercial"]:
        lines = [f"For non-commercial use alone: {_named(forbidding)} forbid{'s' if len(forbidding) == 1 else ''} any other."]
    elif unknown:
        lines = [f"Whether commercial use is allowed is not known: nothing says it of {_named(unknown)}."]
    else:
        lines = ["No source forbids commercial use."]
    if unknown and licences["non_commercial"]:
        lines.append(f"The licence of {_named(unknown)} is unknown, or does not say whether commercial use is allowed.")
    return lines


def _lengths(manifest: Mapping[str, Any]) -> list[str]:
    entries = [(source["label"], source["statistics"]) for source in manifest["sources"]] + [("all", manifest["statistics"])]
    if manifest["tokenizer"] is None:
        return ["## Lengths", "", "Tokens were not counted.", ""]
    most = manifest["max_length"]
    return [
        "## Lengths",
        "",
        f"Tokens by {_safe(manifest['tokenizer']['name'])}, of the texts alone; truncated: longer than {most:,}.",
        "",
        *_table(
            ("source", "turns", "prompt", "response", "total", "loss tokens", "truncated", "without a loss token"),
            (
                (
                    label,
                    f"{entry['turns']:.1f}",
                    *(f"{entry[part]['mean']:.1f}" if entry[part] else "" for part in ("prompt", "response", "total")),
                    f"{100 * entry['loss_share']:.1f}%" if entry["loss_share"] is not None else "",
                    entry["truncated"],
                    entry["without_loss"],
                )
                for label, entry in entries
            ),
        ),
        "",
    ]


def _named(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(map(_safe, row))} |" for row in rows)]


def _safe(value: Any) -> str:
    """A value that moves nothing on a page of Markdown."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return re.sub(r"([|<>`*_\[\]\\])", r"\\\1", neutral(text))


__all__ = ["card", "licence_lines"]
