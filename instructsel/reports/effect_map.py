"""A heat map of effects: sources down, outcomes across, each cell with its figure; what is uncertain is seen without color, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from instructsel.reports.charts import SIGN, STYLE, TITLE, Box, _chart, _cut, _safe, _within
from instructsel.reports.figures import minus

LEFT: Final = 150
CELL: Final = 104
TALL: Final = 44
HEAD: Final = 40
FOOT: Final = 62
STEPS: Final = 9
"""Colors of the legend, 14 wide each, behind the word for their lower end."""
WORSE: Final = 44
LETTERS: Final = 20
"""Of a source's name."""
WORD: Final = 15
"""Letters of a line of an outcome's name."""
DARK: Final = 0.62
"""From this share of the scale on, figures in a cell are white."""
PAPER: Final = (247, 248, 250)
BLUE: Final = (31, 111, 180)
ORANGE: Final = (198, 93, 0)
"""Ends of the scale, of like lightness, apart for color-blind readers."""

CELLS_STYLE: Final = """
.cell-figure { font-size: 13px; fill: #1c2430 }
.cell-sure { font-size: 13px; font-weight: 700; fill: #1c2430 }
.cell-vague { font-size: 13px; font-style: italic; fill: #5b6675 }
.cell-range { font-size: 10px; fill: #39424f }
.cell-light { fill: #ffffff }
.cell-edge { fill: none; stroke: #1c2430; stroke-width: 2 }
.hatch { stroke: #8793a2; stroke-width: 1 }
"""
"""Cells are light in dark pages, too: their colors mean something."""


@dataclass(frozen=True)
class EffectCell:
    """One effect."""

    share: float
    """Of the end of the scale, −1 (worst) to 1 (best)."""
    figure: str
    """The effect as it is written; empty where there is none."""
    interval: str
    """Half its interval's width; empty where there is none."""
    is_uncertain: bool
    """Whether its interval holds 0, or there is none."""
    survives: bool
    """Whether it is told from 0 when all cells are counted."""
    tooltip: str
    """Shown when the cell is pointed at."""


def effect_map(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], EffectCell],
    *,
    title: str,
    scale: str,
    marks: Mapping[str, str],
    name: str = "",
) -> str:
    """Effects as an SVG: blue where better, orange where worse, hatched and in italics where the interval holds 0, framed where it survives.

    Args:
        rows: sources, from above.
        columns: outcomes, from the left.
        cells: by source and outcome.
        title: what is shown.
        scale: what the ends of the scale are, for the legend.
        marks: source → what stands behind its name, e.g. how often it is best.
        name: of a chart that is put into a page, unlike those of the others there.
    """
    head = HEAD + (0 if name else TITLE)
    # As wide as the cells, or as what the legend says.
    said = 8 + WORSE + 14 * STEPS + 18 + math.ceil(SIGN * len(_better(scale)))
    box = Box(max(LEFT + CELL * len(columns) + 12, said, 440), head + TALL * len(rows) + FOOT, 8, 12, head, FOOT)
    body: list[str] = []
    for number, column in enumerate(columns):
        x = LEFT + CELL * number + CELL / 2
        for line, text in enumerate(_lines(column)):
            body.append(f'<text x="{x:g}" y="{head - 22 + 14 * line}" text-anchor="middle">{_safe(text)}</text>')
    for line, row in enumerate(rows):
        y = head + TALL * line
        mark = marks.get(row, "")
        body.append(f'<text class="label" x="{box.left}" y="{y + (20 if mark else 27)}">{_safe(_cut(row, LETTERS))}</text>')
        if mark:
            body.append(f'<text x="{box.left}" y="{y + 35}">{_safe(mark)}</text>')
        for number, column in enumerate(columns):
            body += _cell(cells.get((row, column)), LEFT + CELL * number, y, _within(name, "hatch"))
    body += _legend(box, head + TALL * len(rows) + 12, scale, _within(name, "hatch"))
    hatch = (
        f'<pattern id="{_within(name, "hatch")}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="7"/></pattern>'
    )
    uncertain = sum(cell.is_uncertain for cell in cells.values())
    summary = f"{len(rows)} sources, {len(columns)} outcomes; {uncertain} of {len(cells)} effects have an interval that holds 0, or none."
    return _chart([f"<defs>{hatch}</defs>"], body, title=title, summary=summary, style=STYLE + CELLS_STYLE, name=name, box=box)


def color(share: float) -> str:
    """The color of a share of the scale, as CSS.

    >>> color(1.0), color(0.0), color(-1.0)
    ('#1f6fb4', '#f7f8fa', '#c65d00')
    """
    size = min(abs(share), 1.0)
    end = BLUE if share > 0 else ORANGE
    return "#" + "".join(f"{round(paper + (full - paper) * size):02x}" for paper, full in zip(PAPER, end, strict=True))


def _cell(cell: EffectCell | None, x: float, y: float, hatch: str) -> list[str]:
    place = f'x="{x + 2:g}" y="{y + 2:g}" width="{CELL - 4}" height="{TALL - 4}" rx="3"'
    middle = f'x="{x + CELL / 2:g}"'
    if cell is None or not cell.figure:
        return [
            f'<rect {place} fill="{color(0.0)}"/><rect {place} fill="url(#{hatch})"/>'
            f'<text class="cell-vague" {middle} y="{y + 27}" text-anchor="middle">none</text>'
        ]
    # What is uncertain is pale besides, whatever its estimate.
    share = cell.share * (0.35 if cell.is_uncertain else 1.0)
    parts = [f"<g><title>{_safe(cell.tooltip)}</title>", f'<rect {place} fill="{color(share)}"/>']
    if cell.is_uncertain:
        parts.append(f'<rect {place} fill="url(#{hatch})" fill-opacity="0.6"/>')
    if cell.survives:
        # Within the cell, so that it is seen on a dark page, too.
        inside = f'x="{x + 4:g}" y="{y + 4:g}" width="{CELL - 8}" height="{TALL - 8}" rx="2"'
        parts.append(f'<rect class="cell-edge" {inside}/>')
    light = " cell-light" if abs(share) >= DARK else ""
    kind = "cell-vague" if cell.is_uncertain else "cell-sure" if cell.survives else "cell-figure"
    parts.append(f'<text class="{kind}{light}" {middle} y="{y + 20}" text-anchor="middle">{_safe(minus(cell.figure))}</text>')
    parts.append(f'<text class="cell-range{light}" {middle} y="{y + 34}" text-anchor="middle">{_safe(cell.interval)}</text></g>')
    return ["".join(parts)]


def _better(scale: str) -> str:
    return f"better: {scale}"


def _legend(box: Box, y: float, scale: str, hatch: str) -> list[str]:
    steps = [2 * number / (STEPS - 1) - 1 for number in range(STEPS)]
    body = [
        f'<rect x="{box.left + WORSE + 14 * number}" y="{y}" width="14" height="11" fill="{color(share)}"/>'
        for number, share in enumerate(steps)
    ]
    after = box.left + WORSE + 14 * STEPS
    body.append(f'<text x="{box.left}" y="{y + 10}">worse</text><text x="{after + 6}" y="{y + 10}">{_safe(_better(scale))}</text>')
    below = y + 22
    # On paper of its own, as cells are: a dark frame is not seen on a dark page.
    framed = f'x="{box.left + 234}" y="{below + 1}" width="16" height="10" rx="2"'
    paper = f'x="{box.left + 231}" y="{below - 2}" width="22" height="16" rx="3"'
    body.append(
        f'<rect x="{box.left}" y="{below}" width="18" height="12" fill="{color(0.0)}"/>'
        f'<rect x="{box.left}" y="{below}" width="18" height="12" fill="url(#{hatch})"/>'
        f'<text x="{box.left + 24}" y="{below + 10}">interval holds 0, or there is none</text>'
        f'<rect {paper} fill="{color(0.0)}"/><rect class="cell-edge" {framed}/>'
        f'<text x="{box.left + 259}" y="{below + 10}">told from 0, all cells counted</text>'
    )
    return body


def _lines(text: str) -> list[str]:
    """A name in two lines at most, broken where it has a mark."""
    if len(text) <= WORD:
        return ["", text]
    cut = max((position for position, sign in enumerate(text[: WORD + 1]) if sign in "_- ./"), default=0)
    if not cut:
        return [text[:WORD], _cut(text[WORD:], WORD)]
    return [text[: cut + 1].rstrip(), _cut(text[cut + 1 :], WORD)]


__all__ = ["EffectCell", "color", "effect_map"]
