"""The card of a data set: what is known of its rows, and plainly what is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from instructsel.adapters.exports.base import Written
from instructsel.adapters.exports.contents import CONTENTS
from instructsel.adapters.exports.facts import NOT_STATED
from instructsel.artifact import release
from instructsel.mixtures.card import licence_lines
from instructsel.mixtures.origin import joint
from instructsel.text import counted, neutral

SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
LICENCES: Final = frozenset(
    {
        *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        *("odc-by", "odbl", "bsd-3-clause", "bsd-2-clause", "gpl-3.0", "pddl", "unknown"),
    }
)
"""Identifiers that the hub takes; another licence is named in the text."""
LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
PROVIDER: Final = "*to be filled in by the provider*"
SHOWN: Final = 50
"""Lines of a table."""


def head_of(written: Written, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The YAML of the card; licence and language only where every row states one."""
    rows = written.row_facts
    licences, languages = list(rows.licences), list(rows.languages)
    head: dict[str, Any] = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {"config_name": "default", "features": list(features)},
    }
    if len(licences) == 1 and licences[0].lower() in LICENCES:
        head["license"] = licences[0].lower()
    if languages and all(LANGUAGE.fullmatch(language.lower()) for language in languages):
        head["language"] = sorted({language.lower() for language in languages})
    head["size_categories"] = [next((name for most, name in SIZES if written.rows < most), "n>10M")]
    head["task_categories"] = ["text-generation"]
    head["tags"] = ["instruction-tuning", "instructsel"]
    return head


def text_of(written: Written) -> str:
    """The text of the card."""
    return "\n\n".join(
        [
            f"# {counted(written.rows, 'training row')}\n\nWritten by instructsel {release()} from facts in the files; what they do not state is not stated here.",
            _rows(written),
            _sources(written),
            _licences(written),
            _selection(written),
            _left_out(written),
            _reproduction(written),
            _public_summary(written),
        ]
    )


def _rows(written: Written) -> str:
    lines = ["## Rows", "`id` (of the conversation), `source` (label of its file), `messages` (turns), `tools` (JSON text, or null)."]
    held = [CONTENTS[name] for name in CONTENTS if name in written.account.contents]
    lines.append(f"Rows hold, beside questions and responses: {', '.join(held)}." if held else "Every row is a question and a response.")
    lines.append('Load the folder: `datasets.load_dataset("FOLDER", split="train")`.')
    return "\n\n".join(lines)


def _sources(written: Written) -> str:
    files = _table(("file", "SHA-256"), ((name, digest or NOT_STATED) for name, digest in written.facts.files))
    composition = ((written.facts.selection or {}).get("summary") or {}).get("composition") or {}
    mix = [(source, shares.get("pool", 0), shares.get("kept", 0)) for source, shares in composition.items() if isinstance(shares, Mapping)]
    before = f"\n\nBefore and after the selection:\n\n{_table(('source', 'pool', 'selected'), mix[:SHOWN])}" if mix else ""
    files += before
    return f"## Sources\n\n{_counts('source', written.row_facts.sources)}\n\nFiles that were read:\n\n{files}"


def licence_page(written: Written) -> bytes:
    """LICENCES of rows of a mixture, for an export whose companions do not say them."""
    mixtures = written.facts.mixtures
    lines = [f"# Licences of {written.name}", "", *_of_mixture(written), ""]
    lines += [f"- mixture {_safe(mixture.name)}, hash `{mixture.hash}`" for mixture in mixtures]
    return ("\n".join(lines) + "\n").encode()


def _of_mixture(written: Written) -> list[str]:
    """What the licences of a mixture's sources make of the rows, and the licence of each source."""
    outcome, *others = licence_lines(joint(written.facts.mixtures, written.row_facts.sources))
    sources = sorted(written.row_facts.sources.items())
    listed = [(source, written.facts.licences.get(source, NOT_STATED), count) for source, count in sources]
    table = _table(("source", "licence", "rows"), listed[:SHOWN]) + (
        f"\n\nand {len(listed) - SHOWN:,} more." if len(listed) > SHOWN else ""
    )
    parts = [f"**{_safe(outcome)}**", *map(_safe, others), "The licence of a source is what the recipe of the mixture states.", table]
    return "\n\n".join(parts).split("\n")


def _licences(written: Written) -> str:
    text = "The field `license` or `licence` of each row; nothing else was looked at."
    if written.facts.mixtures:
        note = "Counted by the field `license` or `licence` of each row, else by its source:"
        text = "\n".join([*_of_mixture(written), "", note])
    return f"## Licences\n\n{text}\n\n{_counts('licence', written.row_facts.licences)}\n\n## Languages\n\nThe field `language` or `lang` of each row.\n\n{_counts('language', written.row_facts.languages)}"


def _selection(written: Written) -> str:
    selection = written.facts.selection
    if selection is None:
        return "## Selection\n\nNo selection is recorded: the rows are those of the files above."
    summary = selection.get("summary") or {}
    rule = selection.get("rule") or {}
    lines = [
        f"- ranked by: {_safe(selection.get('form') or selection.get('name'))}",
        f"- name: {_safe(selection.get('name'))}",
        f"- rule: {_safe(rule.get('name') or NOT_STATED)}; {_safe(rule.get('citation') or rule.get('source') or 'no citation recorded')}",
        f"- score: {_safe(selection.get('score') or NOT_STATED)}",
        f"- kept: {summary.get('kept', NOT_STATED)} of {summary.get('read', NOT_STATED)} examples",
        f"- budget: {_safe(', '.join(f'{key} {value}' for key, value in (summary.get('budget') or {}).items()) or NOT_STATED)}",
        f"- seed: {_safe(summary.get('seed') if summary.get('seed') is not None else 'none, nothing was drawn')}",
    ]
    indicators = selection.get("indicators") or {}
    described = [(symbol, _of_indicator(entry)) for symbol, entry in indicators.items()] if isinstance(indicators, Mapping) else []
    table = f"\n\nIndicators:\n\n{_table(('indicator', 'what it was computed with'), described)}" if described else ""
    means = summary.get("means") or {}
    changed = [(symbol, _number((entry or {}).get("ranked")), _number((entry or {}).get("kept"))) for symbol, entry in means.items()]
    more = f"\n\nMeans:\n\n{_table(('indicator', 'pool', 'selected'), changed)}" if changed else ""
    return "## Selection\n\n" + "\n".join(lines) + table + more


def _of_indicator(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return _safe(entry)
    named = {key: entry[key] for key in ("model", "encoder", "tokenizer", "digest", "revision", "version") if entry.get(key) is not None}
    model = named.get("model")
    if isinstance(model, Mapping):
        named["model"] = ", ".join(f"{key} {value}" for key, value in model.items() if isinstance(value, str | int))
    return _safe("; ".join(f"{key}: {value}" for key, value in named.items()) or "no model")


def _left_out(written: Written) -> str:
    summary = (written.facts.selection or {}).get("summary") or {}
    dropped = [(reason, count) for reason, count in (summary.get("dropped") or {}).items()]
    account = written.account
    lost = [(CONTENTS[name], tally.rows) for name, tally in {**account.left_out, **account.refused}.items()]
    changed = [(CONTENTS[name], tally.rows) for name, tally in account.altered.items()]
    parts = ["## What was left out, and why"]
    parts.append("By the selection:\n\n" + _table(("reason", "examples"), dropped) if dropped else "By the selection: nothing is recorded.")
    unread = [(reason, count) for key in ("dropped", "quarantined") for reason, count in (written.facts.reading.get(key) or {}).items()]
    if unread:
        parts.append("By reading the files:\n\n" + _table(("reason", "rows"), unread))
    parts.append("By this export:\n\n" + _table(("rows with", "rows"), lost) if lost else "By this export: nothing.")
    if changed:
        parts.append("Written in another form:\n\n" + _table(("rows with", "rows"), changed))
    return "\n\n".join(parts)


def _reproduction(written: Written) -> str:
    settings = written.settings
    drawn = f", seed {settings.seed}" if settings.order == "random" else ""
    lines = [
        f"- instructsel {release()}",
        f"- order of the rows: {settings.order}{drawn}",
        f"- fingerprint of the examples: `{written.facts.fingerprint}`",
        f"- SHA-256 of the data begins with `{written.digest}`; the whole digest stands in `instructsel-manifest.json`",
    ]
    return "## Digests and settings\n\n" + "\n".join(lines)


def _public_summary(written: Written) -> str:
    """What Article 53(1)(d) of the EU AI Act asks providers of general-purpose models to publish, as far as files tell it."""
    rows = written.row_facts
    stated = rows.licences.total() - rows.licences[NOT_STATED]
    languages = ", ".join(sorted(_safe(language) for language in rows.languages if language != NOT_STATED)) or NOT_STATED
    lines = [
        "## Public summary of training content",
        "A provider of a general-purpose AI model in the European Union publishes a summary of the content that it was trained on "
        "(Regulation (EU) 2024/1689, Article 53(1)(d)). This section is a start for the part of this data set; it is no legal advice, and "
        "the AI Office's template decides what is to be said.",
        "**The model and its provider**",
        f"- name and contact of the provider, and authorised representative: {PROVIDER}",
        f"- model, version, date of its placing on the market, models it builds on: {PROVIDER}",
        f"- use of this data set in training (stage, number of passes): {PROVIDER}",
        "**Content**",
        "- kind: text, in conversations of a user and an assistant",
        f"- size: {counted(written.rows, 'row')}, {rows.characters:,} characters of text",
        f"- languages, where rows state one: {languages}",
        f"- sources: {counted(len(rows.sources), 'source')}, in the table of sources above",
        f"- rows that state a licence: {stated:,} of {written.rows:,}",
        f"- public data sets among the sources, with their addresses: {PROVIDER}",
        f"- data licensed from or made available by third parties: {PROVIDER}",
        f"- data collected from the web (crawlers, period, the most frequent domains): {PROVIDER}",
        f"- data of users of the provider's services: {PROVIDER}",
        f"- text that a model wrote, and by which model: {PROVIDER}",
        "**Processing**",
        f"- selection and removal of rows: as described above{'' if written.facts.selection else '; no selection is recorded'}",
        f"- respect of reservations of rights under Article 4(3) of Directive (EU) 2019/790: {PROVIDER}",
        f"- removal of illegal content and of personal data: {PROVIDER}",
    ]
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(f"\n{line}\n" if line.startswith("**") else line for line in lines[2:]).strip()


def _counts(noun: str, counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    table = _table((noun, "rows"), ordered[:SHOWN])
    return table if len(ordered) <= SHOWN else f"{table}\n\nand {len(ordered) - SHOWN:,} more."


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_safe, row))} |" for row in rows)])


def _safe(value: Any) -> str:
    """A value that moves nothing on a page of Markdown."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return re.sub(r"([|<>`*_\[\]\\])", r"\\\1", neutral(text))


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else NOT_STATED


__all__ = ["head_of", "licence_page", "text_of"]
