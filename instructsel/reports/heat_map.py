"""A heat map: effects in rows and columns, each cell with its figure; what is uncertain is seen without color, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.reports.charts import SIGN, STYLE, TITLE, Box, _chart, _cut, _safe, _within
from instructsel.reports.figures import minus

LEFT: Final = 150
CELL: Final = 104
NARROW: Final = 78
"""The width of a cell where there are more than MANY columns."""
MANY: Final = 8
TALL: Final = 44
HEAD: Final = 40
FOOT: Final = 62
STEPS: Final = 9
"""Colors of the legend, 14 wide each, behind the word for their lower end."""
WORSE: Final = 44
LETTERS: Final = 24
"""Of a row's name."""
SIGNS: Final = {CELL: (15, 2), NARROW: (11, 3)}
"""Width of a cell → letters of a line of its column's name, and how many lines it has."""
INK: Final = (28, 36, 48)
"""Of figures in a cell, where white is not read more easily."""
PAPER: Final = (247, 248, 250)
BLUE: Final = (31, 111, 180)
ORANGE: Final = (198, 93, 0)
"""Ends of the scale, of like lightness, apart for color-blind readers."""

CELLS_STYLE: Final = """
.cell-figure { font-size: 13px; fill: #1c2430 }
.cell-sure { font-size: 13px; font-weight: 700; fill: #1c2430 }
.cell-vague { font-size: 13px; font-style: italic; fill: #5b6675 }
.cell-range { font-size: 10px; fill: #1c2430 }
.cell-light { fill: #ffffff }
.cell-edge { fill: none; stroke: #1c2430; stroke-width: 2 }
.hatch { stroke: #8793a2; stroke-width: 1 }
"""
"""Cells are light in dark pages, too: their colors mean something."""


@dataclass(frozen=True)
class HeatCell:
    """One effect."""

    share: float = 0.0
    """Of the end of the scale, −1 (worst) to 1 (best)."""
    figure: str = ""
    """The effect as it is written; empty where there is none."""
    interval: str = ""
    """Half its interval's width; empty where there is none."""
    is_uncertain: bool = True
    """Whether its interval holds 0, or there is none."""
    is_framed: bool = False
    """Whether it has a frame; what that means, the map's legend says."""
    tooltip: str = ""
    """Shown when the cell is pointed at."""


@dataclass(frozen=True)
class Legend:
    """What a heat map is of."""

    scale: str
    """What the ends of the scale are."""
    framed: str
    """What a frame says."""
    rows: str
    """What a row is, in the plural."""
    columns: str
    """What a column is, in the plural."""


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], HeatCell],
    *,
    title: str,
    legend: Legend,
    marks: Mapping[str, str] | None = None,
    name: str = "",
) -> str:
    """Effects as an SVG: blue where better, orange where worse, hatched and in italics where the interval holds 0.

    Args:
        rows: their names, from above.
        columns: their names, from the left.
        cells: by row and column; one that is not there has no effect.
        title: what is shown.
        legend: what its scale and its frames mean.
        marks: row → what stands below its name, e.g. how often it is best.
        name: of a chart that is put into a page, unlike those of the others there.

    Raises:
        UsageError: no row or no column, or a share that is not finite.
    """
    if not rows or not columns:
        raise UsageError(f"A heat map has rows and columns; given are {len(rows)} and {len(columns)}.")
    if not all(math.isfinite(cell.share) for cell in cells.values()):
        raise UsageError("A heat map shows effects that are finite.")
    width = CELL if len(columns) <= MANY else NARROW
    letters, most = SIGNS[width]
    head = HEAD + 14 * (most - 2) + (0 if name else TITLE)
    # As wide as the cells, or as what the legend says.
    said = 8 + WORSE + 14 * STEPS + 18 + math.ceil(SIGN * len(_better(legend.scale)))
    left = max(LEFT, 20 + math.ceil(SIGN * 1.12 * min(LETTERS, max(map(len, rows)))))
    box = Box(max(left + width * len(columns) + 12, said, 440), head + TALL * len(rows) + FOOT, 8, 12, head, FOOT)
    body: list[str] = []
    for number, column in enumerate(columns):
        x = left + width * number + width / 2
        for line, text in enumerate(_lines(column, letters, most)):
            body.append(f'<text x="{x:g}" y="{head - 8 - 14 * (most - 1 - line)}" text-anchor="middle">{_safe(text)}</text>')
    for line, row in enumerate(rows):
        y = head + TALL * line
        mark = (marks or {}).get(row, "")
        body.append(f'<text class="label" x="{box.left}" y="{y + (20 if mark else 27)}">{_safe(_cut(row, LETTERS))}</text>')
        if mark:
            body.append(f'<text x="{box.left}" y="{y + 35}">{_safe(mark)}</text>')
        for number, column in enumerate(columns):
            body += _cell(cells.get((row, column)), left + width * number, y, width, _within(name, "hatch"))
    body += _legend(box, head + TALL * len(rows) + 12, legend, _within(name, "hatch"))
    hatch = (
        f'<pattern id="{_within(name, "hatch")}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="7"/></pattern>'
    )
    uncertain = sum(cell.is_uncertain for cell in cells.values())
    summary = f"{len(rows)} {legend.rows}, {len(columns)} {legend.columns}; {uncertain} of {len(cells)} effects have an interval that holds 0, or none."
    return _chart([f"<defs>{hatch}</defs>"], body, title=title, summary=summary, style=STYLE + CELLS_STYLE, name=name, box=box)


def color(share: float) -> str:
    """The color of a share of the scale, as CSS.

    >>> color(1.0), color(0.0), color(-1.0)
    ('#1f6fb4', '#f7f8fa', '#c65d00')
    """
    size = min(abs(share), 1.0)
    end = BLUE if share > 0 else ORANGE
    return "#" + "".join(f"{round(paper + (full - paper) * size):02x}" for paper, full in zip(PAPER, end, strict=True))


def _is_dark(share: float) -> bool:
    """Whether white is read more easily than ink on the color of a share: by the contrast ratio of WCAG 2."""

    def luminance(channels: Sequence[int]) -> float:
        linear = [part / 12.92 if (part := channel / 255) <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for channel in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground = luminance(bytes.fromhex(color(share)[1:])) + 0.05
    return 1.05 / ground > ground / (luminance(INK) + 0.05)


def _cell(cell: HeatCell | None, x: float, y: float, width: int, hatch: str) -> list[str]:
    place = f'x="{x + 2:g}" y="{y + 2:g}" width="{width - 4}" height="{TALL - 4}" rx="3"'
    middle = f'x="{x + width / 2:g}"'
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
    if cell.is_framed:
        # Within the cell, so that it is seen on a dark page, too.
        inside = f'x="{x + 4:g}" y="{y + 4:g}" width="{width - 8}" height="{TALL - 8}" rx="2"'
        parts.append(f'<rect class="cell-edge" {inside}/>')
    light = " cell-light" if _is_dark(share) else ""
    kind = "cell-vague" if cell.is_uncertain else "cell-sure" if cell.is_framed else "cell-figure"
    parts.append(f'<text class="{kind}{light}" {middle} y="{y + 20}" text-anchor="middle">{_safe(minus(cell.figure))}</text>')
    parts.append(f'<text class="cell-range{light}" {middle} y="{y + 34}" text-anchor="middle">{_safe(cell.interval)}</text></g>')
    return ["".join(parts)]


def _better(scale: str) -> str:
    return f"better: {scale}"


def _legend(box: Box, y: float, legend: Legend, hatch: str) -> list[str]:
    steps = [2 * number / (STEPS - 1) - 1 for number in range(STEPS)]
    body = [
        f'<rect x="{box.left + WORSE + 14 * number}" y="{y}" width="14" height="11" fill="{color(share)}"/>'
        for number, share in enumerate(steps)
    ]
    after = box.left + WORSE + 14 * STEPS
    body.append(f'<text x="{box.left}" y="{y + 10}">worse</text><text x="{after + 6}" y="{y + 10}">{_safe(_better(legend.scale))}</text>')
    below = y + 22
    # On paper of its own, as cells are: a dark frame is not seen on a dark page.
    framed = f'x="{box.left + 234}" y="{below + 1}" width="16" height="10" rx="2"'
    paper = f'x="{box.left + 231}" y="{below - 2}" width="22" height="16" rx="3"'
    body.append(
        f'<rect x="{box.left}" y="{below}" width="18" height="12" fill="{color(0.0)}"/>'
        f'<rect x="{box.left}" y="{below}" width="18" height="12" fill="url(#{hatch})"/>'
        f'<text x="{box.left + 24}" y="{below + 10}">interval holds 0, or there is none</text>'
        f'<rect {paper} fill="{color(0.0)}"/><rect class="cell-edge" {framed}/>'
        f'<text x="{box.left + 259}" y="{below + 10}">{_safe(legend.framed)}</text>'
    )
    return body


def _lines(text: str, letters: int, most: int) -> list[str]:
    """A name in so many lines at most, broken where it has a mark; the last lines, where it is short."""
    lines: list[str] = []
    while len(text) > letters and len(lines) < most - 1:
        cut = max((position for position, sign in enumerate(text[: letters + 1]) if sign in "_- ./:"), default=0)
        # Without a mark, in the middle of a word.
        end = cut + 1 if cut else letters
        lines.append(text[:end].rstrip())
        text = text[end:]
    lines.append(_cut(text.lstrip(), letters))
    return [*[""] * (most - len(lines)), *lines]


def heat_map_of(data: Mapping[str, Any], *, title: str, name: str = "") -> str:
    """The heat map of plain data: `rows`, `columns`, `cells` (each with its `row` and `column`), `legend` and `marks`."""
    cells = {(cell["row"], cell["column"]): HeatCell(**{key: cell[key] for key in HeatCell.__dataclass_fields__}) for cell in data["cells"]}
    return heat_map(data["rows"], data["columns"], cells, title=title, legend=Legend(**data["legend"]), marks=data["marks"], name=name)


__all__ = ["HeatCell", "Legend", "color", "heat_map", "heat_map_of"]
