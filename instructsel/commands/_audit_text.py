"""An audit as lines for people: findings, figures, and rows with the trained tokens marked."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from instructsel.text import aligned, clean, columns_of, counted, wrapped

if TYPE_CHECKING:
    from instructsel.audits.finding import Finding
    from instructsel.audits.result import Audit
    from instructsel.audits.shown import ShownRow

WIDTH: Final = 80
MOST: Final = 12
"""Sources that are listed."""
LINES: Final = 24
"""Lines of a row that are shown."""
PLACES: Final = 3
"""Rows that a finding names."""
COLORS: Final[Mapping[str, tuple[str, str]]] = {
    "prompt": ("", ""),
    "trained": ("\x1b[32m", "\x1b[0m"),
    "end": ("\x1b[1;32;7m", "\x1b[0m"),
    "cut": ("\x1b[2;9m", "\x1b[0m"),
    "boundary": ("\x1b[1;33m", "\x1b[0m"),
}
MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "prompt": ("", ""),
    "trained": ("[[", "]]"),
    "end": ("{{", "}}"),
    "cut": ("~~", "~~"),
    "boundary": ("", ""),
}
"""State → what stands before and behind its text."""
LEGEND: Final = {
    True: "green: trained · inverse: end of turn · struck through: cut off · the rest: seen, without loss",
    False: "[[trained]] {{end of turn}} ~~cut off~~, the rest is seen without loss",
}
SECTIONS: Final = {"error": "Errors", "warning": "Warnings", "info": "Worth knowing"}


def colored(stream: TextIO) -> bool:
    """Whether a stream is a terminal that may be colored."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def lines(audit: Audit) -> list[str]:
    """The audit in lines of at most 80 columns."""
    return [*_figures(audit), *_sources(audit), *_findings(audit)]


def _figures(audit: Audit) -> list[str]:
    totals, settings = audit.totals, audit.settings
    share = totals.loss_tokens / totals.tokens if totals.tokens else 0.0
    quantiles = ", ".join(
        f"{int(float(name) * 100)} % {value:,}" for name, value in totals.lengths.items() if name in ("0.5", "0.95", "0.99")
    )
    noun = "packed sequences" if settings.packing else "rows"
    rows = [
        ("rows trained on", f"{totals.trained_rows:,} of {totals.rows:,}"),
        ("tokens of an epoch", f"{totals.tokens:,}, {totals.loss_tokens:,} with loss ({share:.1%})"),
        ("tokens of a row", f"{quantiles}, longest {totals.longest:,}, before --max-length {settings.max_length:,}"),
        ("cut off", f"{counted(totals.truncated, 'row')}, {counted(totals.cut_tokens, 'token')} ({totals.cut_fraction:.1%})"),
    ]
    if totals.packing_efficiency is not None:
        rows.append(("packing", f"{settings.packing}: {counted(totals.sequences, 'sequence')}, {totals.packing_efficiency:.1%} filled"))
    rows.append(
        (
            "steps",
            f"{totals.steps:,} of {settings.batch_size:,} {noun} in {settings.epochs:g} epoch{'s' * (settings.epochs != 1)}; "
            f"{totals.tokens_per_step:,.0f} tokens a step, {totals.loss_tokens_per_step:,.0f} with loss",
        )
    )
    if not settings.packing:
        rows.append(
            ("padding", f"{totals.padding_fraction:.1%} of what is computed, in batches of {settings.batch_size:,} in random order")
        )
    if totals.flops is not None and totals.parameters is not None:
        rows.append(
            ("cost", f"{totals.flops:.2e} FLOPs: 6 x {totals.parameters:,} weights x {totals.tokens_per_step * totals.steps:,.0f} tokens")
        )
    return [
        f"{audit.base}, loss on {settings.loss}, as {'TRL' if settings.trainer == 'trl' and settings.loss != 'tulu-1' else 'instructsel'} prepares it",
        *aligned(rows, width=WIDTH),
    ]


def _sources(audit: Audit) -> list[str]:
    sources = audit.totals.sources
    if len(sources) < 2:
        return []
    rows = [
        (
            source.source,
            f"{source.rows:,}",
            f"{source.trained_rows:,}",
            f"{source.tokens:,}",
            f"{source.loss_tokens:,}",
            f"{source.truncated:,}",
        )
        for source in sources[:MOST]
    ]
    left = [f"and {len(sources) - MOST} more sources"] if len(sources) > MOST else []
    header = ("source", "rows", "trained", "tokens", "with loss", "cut off")
    return ["", *aligned(rows, header=header, right=(1, 2, 3, 4, 5), width=WIDTH), *left]


def _findings(audit: Audit) -> Iterator[str]:
    if not audit.findings:
        yield from ("", "No findings.")
    for severity, heading in SECTIONS.items():
        mine = [finding for finding in audit.findings if finding.severity == severity]
        if not mine:
            continue
        yield from ("", heading)
        for finding in mine:
            yield from _finding(finding, short=severity == "info")


def _finding(finding: Finding, *, short: bool) -> Iterator[str]:
    count = f": {counted(finding.count, 'row')}" if finding.unit == "row" else ""
    detail = f" ({finding.detail})" if finding.detail else ""
    more = ", …" if finding.count > PLACES and finding.rows else ""
    places = f"; first: {', '.join(finding.rows[:PLACES])}{more}" if finding.rows else ""
    yield f"  {finding.kind}{count}{detail}{places}"
    yield f"      {finding.cause}"
    if not short:
        yield f"      Fix: {finding.fix}"


def legend(*, color: bool) -> str:
    """What the colors or marks of rows mean."""
    return LEGEND[color]


def row_lines(row: ShownRow, *, color: bool, width: int = WIDTH) -> list[str]:
    """A row with its tokens marked: by colors, or by brackets where there are none."""
    about = f"{counted(row.tokens, 'token')}, {row.loss_tokens:,} with loss"
    notes = [about, *([row.reason] if row.reason else []), *row.flags, *([row.sequence] if row.sequence else [])]
    head = clean(f"{row.place}: {'; '.join(notes)}")
    styles = COLORS if color else MARKS
    shown: list[tuple[str, str]] = []
    for piece in row.pieces:
        text = {"boundary": "│ next sequence │", "end": piece.text.replace("\n", "\\n")}.get(piece.state, piece.text)
        shown.append((piece.state, clean(text)))
    return [*wrapped(head, width), *_wrapped(shown, styles, width)]


def _wrapped(pieces: Sequence[tuple[str, str]], styles: Mapping[str, tuple[str, str]], width: int) -> list[str]:
    """Marked text in lines of at most `width` columns; a mark is closed at the end of a line and opened again on the next."""
    is_colored = styles is COLORS
    result: list[str] = []
    line, room = "", width
    for state, text in pieces:
        before, behind = styles[state]
        marks = 0 if is_colored else columns_of(before + behind)
        begun = False
        for word in re.findall(r"\n|[^\S\n]+|\S+", text):
            for part in _parts(word, width - 4):
                if part == "\n" or columns_of(part) + (0 if begun else marks) > room:
                    result.append(line + (behind if begun else ""))
                    line, room, begun = "", width, False
                    if part == "\n":
                        continue
                if not begun:
                    line, room, begun = line + before, room - marks, True
                line, room = line + part, room - columns_of(part)
        line += behind if begun else ""
    result.append(line)
    if len(result) > LINES:
        return [*result[: LINES - 1], f"… {len(result) - LINES + 1} more lines"]
    return result


def _parts(word: str, width: int) -> Iterator[str]:
    """A word in parts that fit into a line."""
    part = ""
    for sign in word:
        if part and columns_of(part) + columns_of(sign) > width:
            yield part
            part = ""
        part += sign
    yield part


def show(audit: Audit, stream: TextIO | None = None) -> list[str]:
    """The shown rows as lines for a stream."""
    if not audit.shown:
        return []
    color = colored(stream or sys.stdout)
    result = ["", legend(color=color)]
    for row in audit.shown:
        result += ["", *row_lines(row, color=color)]
    return result


__all__ = ["colored", "legend", "lines", "row_lines", "show"]
