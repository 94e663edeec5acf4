"""Charts: plain data in, an SVG out. No library, no font, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError

Floats = NDArray[np.float64]

WIDTH: Final = 640
HEIGHT: Final = 420
LEFT, RIGHT, TOP, BOTTOM = 78, 20, 62, 58
NARROW: Final = 440
"""The width of a chart on a page: on a phone its text is still read."""
TICKS: Final = 7
"""About so many on an axis."""
FEW_TICKS: Final = 4
"""On an axis of a narrow chart."""
STEPS: Final = 60
"""Points of a curve."""
MARGIN: Final = 0.05
"""Of the range of the points, left free at either end."""
BAND: Final = 1.0
"""Of the range of points and line: so far above and below them the axis makes room for the band; the rest is clipped at the frame."""
TITLE: Final = 24
"""The height of the title of a chart on its own; on a page it stands above the chart."""
START: Final = '<svg xmlns="http://www.w3.org/2000/svg"'
ROLE: Final = 'role="img" aria-labelledby'
"""In the first line of a chart, by which one of ours is known."""
KINDS: Final = 3
"""Distributions one histogram can show."""
SIGN: Final = 6.6
"""About the width of a character."""

# Blue and orange of like lightness, tooltip apart by color-blind readers too; the marks differ in shape besides. Plain rules and no
# variables: a viewer that knows no media queries shows the light chart, and none shows it black.
STYLE: Final = """
svg { color-scheme: light dark }
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; fill: #5b6675 }
.title { font-size: 15px; font-weight: 600; fill: #1c2430 }
.label { font-size: 13px; fill: #1c2430 }
.paper { fill: #ffffff }
.grid { stroke: #e3e7ec; stroke-width: 1 }
.axis { stroke: #5b6675; stroke-width: 1 }
.band { fill: #444f5c; fill-opacity: 0.16 }
.fit { fill: none; stroke: #444f5c; stroke-width: 2 }
.a { fill: #1f6fb4; fill-opacity: 0.8; stroke: #ffffff; stroke-width: 0.75 }
.b { fill: #c65d00; fill-opacity: 0.85; stroke: #ffffff; stroke-width: 0.75 }
@media (prefers-color-scheme: dark) {
  text { fill: #a5afbc }
  .title, .label { fill: #e8ecf1 }
  .paper { fill: #14191f }
  .grid { stroke: #333c48 }
  .axis { stroke: #a5afbc }
  .band { fill: #c3ccd6 }
  .fit { stroke: #c3ccd6 }
  .a { fill: #6db3f2; stroke: #14191f }
  .b { fill: #ffa14d; stroke: #14191f }
}
"""

# Of the charts of a page. The first kind is an area, the second a line, the third a broken line: tooltip apart without color, too.
PAGE_STYLE: Final = """
.ground { fill: #8793a2; fill-opacity: 0.45; stroke: #6b7786; stroke-width: 1 }
.chosen { fill: none; stroke: #1f6fb4; stroke-width: 2.25 }
.other { fill: none; stroke: #c65d00; stroke-width: 2; stroke-dasharray: 5 3 }
.zero { stroke: #5b6675; stroke-width: 1; stroke-dasharray: 2 3 }
.bar-a { fill: #6b7786 }
.bar-b { fill: #1f6fb4 }
.outcome { font-size: 13px; font-weight: 600; fill: #1c2430 }
.whisker { stroke: #1f6fb4; stroke-width: 2.25 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #8793a2; fill-opacity: 0.4; stroke: #a5afbc }
  .chosen, .whisker { stroke: #6db3f2 }
  .other { stroke: #ffa14d }
  .zero { stroke: #a5afbc }
  .bar-a { fill: #8f9baa }
  .bar-b { fill: #6db3f2 }
  .outcome { fill: #e8ecf1 }
}
"""


@dataclass(frozen=True, eq=False)
class Series:
    """Points of one kind."""

    name: str
    """For the legend; empty where there is one kind only."""
    x: Floats
    """(n,)."""
    y: Floats
    """(n,)."""
    labels: Sequence[str] = ()
    """What each point is called, shown when it is pointed at."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A line with its interval."""

    name: str
    """For the legend."""
    x: Floats
    """(m,), ascending."""
    y: Floats
    """(m,)."""
    low: Floats
    """(m,)."""
    high: Floats
    """(m,)."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """How the rows of one kind lie in the bins of a histogram."""

    name: str
    """For the legend."""
    shares: Floats
    """(bins,), of all its rows; less than 1 together where some lie outside."""


@dataclass(frozen=True)
class Bar:
    """A line of a bar chart."""

    name: str
    """Stands above its bars."""
    values: tuple[float | None, ...]
    """One of each kind; None is said and not drawn."""
    figures: tuple[str, ...]
    """The values as they are written."""


@dataclass(frozen=True)
class Effect:
    """A difference with its interval: a line of a forest plot."""

    name: str
    """What is compared with what."""
    outcome: str
    """What can be said of it."""
    estimate: float | None
    """None where nothing is known."""
    low: float | None
    """The lower end of its interval; None where there is none."""
    high: float | None
    """The upper end."""
    detectable: float | None
    """Half the width of the band around 0, e.g. the minimum detectable effect; None where it is not known."""


@dataclass(frozen=True)
class Box:
    """A chart's size and margins, in its own units."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM
    ticks: int = TICKS

    @property
    def floor(self) -> int:
        """Where the horizontal axis lies."""
        return self.height - self.bottom

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.width - self.right


ON_ITS_OWN: Final = Box()
ON_A_PAGE: Final = Box(NARROW, 300, 62, 14, 30, 48, FEW_TICKS)


def scatter(series: Sequence[Series], curve: Curve | None, *, title: str, x_label: str, y_label: str, name: str = "") -> str:
    """Points of one or two kinds, and a line with its interval, as an SVG: the same text for the same data.

    Args:
        series: the points.
        curve: the line; None for none.
        title: what is shown.
        x_label: with the unit.
        y_label: with the unit.
        name: of a chart that is put into a page, unlike those of the others there: it is narrower, and has neither a style of its own
            nor a title that is drawn.

    Raises:
        UsageError: more than two kinds, or no points.
    """
    kinds = [kind for kind in series if len(kind.x)]
    if not kinds or len(kinds) > 2:
        raise UsageError(f"A scatter chart shows one or two kinds of points, not {len(kinds)}.")
    box = ON_A_PAGE if name else ON_ITS_OWN
    across = _Scale.of(np.concatenate([kind.x for kind in kinds]), box.left, box.end)
    up = _Scale.of(_heights(kinds, curve, across), box.floor, box.top)
    body = [*_axes(across, up, x_label, y_label, box)]
    if curve is not None:
        inside = (curve.x >= across.low) & (curve.x <= across.high)
        x, y, low, high = (values[inside] for values in (curve.x, curve.y, curve.low, curve.high))
        upper = [f"{across(a)},{up(b)}" for a, b in zip(x, high, strict=True)]
        lower = [f"{across(a)},{up(b)}" for a, b in zip(x, low, strict=True)]
        line = [f"{across(a)},{up(b)}" for a, b in zip(x, y, strict=True)]
        body.append(f'<g clip-path="url(#{_within(name, "plot")})"><path class="band" d="M{" L".join(upper + lower[::-1])} Z"/>')
        body.append(f'<path class="fit" d="M{" L".join(line)}"/></g>')
    for kind, mark in zip(kinds, "ab", strict=False):
        body.append(f'<g class="{mark}">')
        for index in range(len(kind.x)):
            tooltip = f"<title>{_safe(kind.labels[index])}</title>" if kind.labels else ""
            body.append(_mark(mark, across(kind.x[index]), up(kind.y[index]), tooltip))
        body.append("</g>")
    body += _legend(kinds, curve, box)
    described = f"{len(kinds)} kinds of points" if len(kinds) == 2 else f"{len(kinds[0].x)} points"
    plot = f'<rect x="{box.left}" y="{box.top}" width="{box.end - box.left}" height="{box.floor - box.top}"/>'
    clip = f'<clipPath id="{_within(name, "plot")}">{plot}</clipPath>'
    return _chart([clip], body, title=title, summary=f"{y_label} against {x_label}, {described}.", style=STYLE, name=name, box=box)


def _heights(kinds: Sequence[Series], curve: Curve | None, across: _Scale) -> Floats:
    """The values between which the vertical axis runs: points, line and band; of a band that is far wider than these, a part."""
    ups = [kind.y for kind in kinds] + ([curve.y] if curve is not None else [])
    heights = np.concatenate(ups)
    if curve is None:
        return heights
    inside = (curve.x >= across.low) & (curve.x <= across.high)
    free = BAND * float(heights.max() - heights.min())
    band = np.concatenate([curve.low[inside], curve.high[inside]])
    return np.concatenate([heights, np.clip(band, heights.min() - free, heights.max() + free)])


def histogram(kinds: Sequence[Distribution], edges: Floats, *, title: str, x_label: str, name: str = "") -> str:
    """Up to three distributions over the same bins, one upon the other: an area, a line, a broken line.

    Args:
        kinds: the distributions.
        edges: (bins + 1,), ascending.
        title: what is shown.
        x_label: with the unit.
        name: as of `scatter`.

    Raises:
        UsageError: none or more than three, or bins that do not fit.
    """
    if not 0 < len(kinds) <= KINDS or any(len(kind.shares) != len(edges) - 1 for kind in kinds):
        raise UsageError(f"A histogram shows one to {KINDS} distributions over the same bins, not {len(kinds)}.")
    box = ON_A_PAGE if name else ON_ITS_OWN
    across = _Scale(float(edges[0]), float(edges[-1]), box.left, box.end)
    greatest = 100 * max(float(kind.shares.max()) for kind in kinds)
    up = _Scale(0.0, greatest * (1 + MARGIN) or 1.0, box.floor, box.top)
    body = _axes(across, up, x_label, "rows, %", box)
    positions = [across(float(edge)) for edge in edges]
    for kind, mark in zip(kinds, ("ground", "chosen", "other"), strict=False):
        tops = [up(100 * float(share)) for share in kind.shares]
        steps = " ".join(f"V{top} H{end}" for top, end in zip(tops, positions[1:], strict=True))
        body.append(f'<path class="{mark}" d="M{positions[0]},{up(0)} {steps} V{up(0)}{" Z" if mark == "ground" else ""}"/>')
    x, y = box.left, box.top - 14
    for kind, mark in zip(kinds, ("ground", "chosen", "other"), strict=False):
        drawn = f'<rect class="ground" x="{x}" y="{y - 9}" width="18" height="10"/>'
        body.append(drawn if mark == "ground" else f'<path class="{mark}" d="M{x},{y - 4} h18"/>')
        body.append(f'<text x="{x + 23}" y="{y}">{_safe(kind.name)}</text>')
        x += 38 + int(SIGN * len(kind.name))
    named = ", ".join(kind.name for kind in kinds)
    summary = f"Histogram over {len(edges) - 1} bins of {x_label}: {named}."
    return _chart([], body, title=title, summary=summary, style=STYLE + PAGE_STYLE, name=name, box=box)


def bars(rows: Sequence[Bar], kinds: Sequence[str], *, title: str, name: str = "") -> str:
    """Lying bars of one or two kinds, each line's name above it and its figures at the right end.

    Raises:
        UsageError: no rows, more than two kinds, or rows of another number of values.
    """
    if not rows or not 0 < len(kinds) <= 2 or any(not len(kinds) == len(row.values) == len(row.figures) for row in rows):
        raise UsageError("A bar chart shows one or two values in each of its rows.")
    head, thick, gap = (34 if len(kinds) == 2 else 12) + (0 if name else TITLE), 13, 12
    tall = 18 + (thick + 3) * len(kinds) + gap
    box = Box(NARROW, head + tall * len(rows), 8, 78, head, 0)
    known = [value for row in rows for value in row.values if value is not None]
    # Bars begin at 0.
    low, high = min([0.0, *known]), max([0.0, *known])
    across = _Scale(low, high if high > low else low + 1.0, box.left, box.end)
    body = []
    if len(kinds) == 2:
        x = box.left
        for kind, mark in zip(kinds, "ab", strict=True):
            body.append(
                f'<rect class="bar-{mark}" x="{x}" y="{head - 25}" width="12" height="10"/><text x="{x + 17}" y="{head - 16}">{_safe(kind)}</text>'
            )
            x += 32 + int(SIGN * len(kind))
    y = head
    for row in rows:
        body.append(f'<text class="label" x="{box.left}" y="{y + 12}">{_safe(_cut(row.name, 52))}</text>')
        for number, (value, figure) in enumerate(zip(row.values, row.figures, strict=True)):
            top = y + 18 + number * (thick + 3)
            if value is not None:
                left, right = sorted((float(across(0.0)), float(across(value))))
                mark = "ab"[number] if len(kinds) == 2 else "b"
                body.append(f'<rect class="bar-{mark}" x="{left:.2f}" y="{top}" width="{right - left:.2f}" height="{thick}"/>')
            body.append(f'<text x="{box.width - 4}" y="{top + 11}" text-anchor="end">{_safe(figure)}</text>')
        body.append(f'<line class="axis" x1="{across(0.0)}" x2="{across(0.0)}" y1="{y + 16}" y2="{y + tall - gap}"/>')
        y += tall
    summary = f"Bars of {len(rows)} rows: {', '.join(kinds)}."
    return _chart([], body, title=title, summary=summary, style=STYLE + PAGE_STYLE, name=name, box=box)


def forest(rows: Sequence[Effect], *, title: str, x_label: str, name: str = "", band: str = "") -> str:
    """Differences with their intervals around 0, and behind each a band: the differences below the minimum detectable effect.

    Args:
        rows: the differences.
        title: what is shown.
        x_label: with the unit.
        name: as of `scatter`.
        band: what the band is, for the legend.

    Raises:
        UsageError: no rows, or none with a finite number.
    """
    ends = [
        value
        for row in rows
        for value in (row.estimate, row.low, row.high, row.detectable, None if row.detectable is None else -row.detectable)
        if value is not None
    ]
    if not ends or not all(math.isfinite(value) for value in ends):
        raise UsageError("A forest plot needs a difference that is known, and none that is not finite.")
    tall, top = 46, 34 + (0 if name else TITLE)
    box = Box(NARROW, top + tall * len(rows) + 48, 14, 14, top, 48, FEW_TICKS)
    across = _Scale.of(np.array([0.0, *ends]), box.left, box.end)
    body = _ruler(across, x_label, box)
    zero, y = across(0.0), box.top
    body.append(f'<line class="zero" x1="{zero}" x2="{zero}" y1="{box.top - 4}" y2="{box.floor}"/>')
    if any(row.detectable is not None for row in rows):
        body.append(
            f'<rect class="band" x="{box.left}" y="{top - 26}" width="22" height="11"/>'
            f'<text x="{box.left + 28}" y="{top - 16}">{_safe(band or "below the minimum detectable effect")}</text>'
        )
    for row in rows:
        line = y + 30
        if row.detectable is not None:
            left, right = float(across(-row.detectable)), float(across(row.detectable))
            body.append(f'<rect class="band" x="{left:.2f}" y="{line - 9}" width="{right - left:.2f}" height="18"/>')
        if row.low is not None and row.high is not None:
            body.append(f'<path class="whisker" d="M{across(row.low)},{line} H{across(row.high)}"/>')
            body += [f'<path class="whisker" d="M{across(end)},{line - 5} v10"/>' for end in (row.low, row.high)]
        if row.estimate is not None:
            body.append(f'<g class="b">{_mark("b", across(row.estimate), str(line), "")}</g>')
        body.append(f'<text class="label" x="{box.left}" y="{y + 13}">{_safe(_cut(row.name, 32))}</text>')
        body.append(f'<text class="outcome" x="{box.end}" y="{y + 13}" text-anchor="end">{_safe(_cut(row.outcome, 26))}</text>')
        y += tall
    summary = f"{len(rows)} {'difference with its interval' if len(rows) == 1 else 'differences with their intervals'}; {x_label}."
    return _chart([], body, title=title, summary=summary, style=STYLE + PAGE_STYLE, name=name, box=box)


def is_chart(path: str | Path) -> bool:
    """Whether a file is a chart of instructsel, or empty."""
    with open(path, "rb") as file:
        first = file.readline(1024)
    return not first or (first.startswith(START.encode()) and ROLE.encode() in first)


def _chart(before: Sequence[str], body: Sequence[str], *, title: str, summary: str, style: str, name: str, box: Box) -> str:
    """The whole SVG; of a chart in a page without style, and its title is not drawn."""
    tooltip, described = _within(name, "title"), _within(name, "summary")
    size = f'viewBox="0 0 {box.width} {box.height}" width="{box.width}" height="{box.height}"'
    return "\n".join(
        [
            f'{START} {size} {ROLE}="{tooltip} {described}">',
            f'<title id="{tooltip}">{_safe(title)}</title>',
            f'<desc id="{described}">{_safe(summary)}</desc>',
            *([] if name else [f"<style>{style}</style>"]),
            *before,
            f'<rect class="paper" width="{box.width}" height="{box.height}"/>',
            *([] if name else [f'<text class="title" x="{box.left}" y="24">{_safe(title)}</text>']),
            *body,
            "</svg>\n",
        ]
    )


def _within(name: str, part: str) -> str:
    """An id that no other chart of the page has."""
    return f"{name}-{part}" if name else part


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True)
class _Scale:
    """From values to places: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Floats, start: float, end: float) -> _Scale:
        low, high = float(values.min()), float(values.max())
        free = (high - low) * MARGIN or abs(high) * MARGIN or 1.0
        return cls(low - free, high + free, start, end)

    def __call__(self, value: float) -> str:
        return f"{self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start):.2f}"

    def ticks(self, count: int = TICKS) -> tuple[list[float], int]:
        """Round values between the ends, and the decimals they need."""
        rough = (self.high - self.low) / count
        power = math.floor(math.log10(rough))
        step = next(factor for factor in (1, 2, 2.5, 5, 10) if factor * 10**power >= rough) * 10**power
        first = math.ceil(self.low / step - 1e-9)
        ticks = [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if abs(round(step, decimals) - step) > 1e-9 * step:
            decimals += 1
        return ticks, decimals


def _axes(across: _Scale, up: _Scale, x_label: str, y_label: str, box: Box) -> list[str]:
    lines = []
    ticks, decimals = up.ticks(box.ticks)
    for value in ticks:
        lines.append(f'<line class="grid" x1="{box.left}" x2="{box.end}" y1="{up(value)}" y2="{up(value)}"/>')
        lines.append(f'<text x="{box.left - 8}" y="{up(value)}" dy="0.35em" text-anchor="end">{_figure(value, decimals)}</text>')
    # The label where it always was: 18 of a chart on its own, nearer on a page.
    middle, beside = (box.top + box.floor) / 2, 18 if box is ON_ITS_OWN else 13
    turned = f'transform="rotate(-90 {beside} {middle:g})"'
    return [
        *lines,
        *_ruler(across, x_label, box),
        f'<text class="label" x="{beside}" y="{middle:g}" text-anchor="middle" {turned}>{_safe(y_label)}</text>',
    ]


def _ruler(across: _Scale, x_label: str, box: Box) -> list[str]:
    """The horizontal axis."""
    lines = []
    ticks, decimals = across.ticks(box.ticks)
    for value in ticks:
        lines.append(f'<line class="axis" x1="{across(value)}" x2="{across(value)}" y1="{box.floor}" y2="{box.floor + 5}"/>')
        lines.append(f'<text x="{across(value)}" y="{box.floor + 19}" text-anchor="middle">{_figure(value, decimals)}</text>')
    under = box.height - (14 if box is ON_ITS_OWN else 8)
    return [
        *lines,
        f'<line class="axis" x1="{box.left}" x2="{box.end}" y1="{box.floor}" y2="{box.floor}"/>',
        f'<text class="label" x="{(box.left + box.end) / 2:g}" y="{under}" text-anchor="middle">{_safe(x_label)}</text>',
    ]


def _legend(kinds: Sequence[Series], curve: Curve | None, box: Box) -> list[str]:
    lines, x, y = [], box.left, 45 if box is ON_ITS_OWN else 16
    entries: Mapping[str, str] = {mark: kind.name for kind, mark in zip(kinds, "ab", strict=False) if kind.name}
    for mark, name in entries.items():
        lines.append(f'<g class="{mark}">{_mark(mark, f"{x + 5}", f"{y - 4}", "")}</g><text x="{x + 16}" y="{y}">{_safe(name)}</text>')
        x += 34 + 7 * len(name)
    if curve is not None and curve.name:
        lines.append(
            f'<rect class="band" x="{x}" y="{y - 10}" width="22" height="12"/><path class="fit" d="M{x},{y - 4} L{x + 22},{y - 4}"/>'
        )
        lines.append(f'<text x="{x + 29}" y="{y}">{_safe(curve.name)}</text>')
    return lines


def _mark(kind: str, x: str, y: str, tooltip: str) -> str:
    if kind == "a":
        return f'<circle cx="{x}" cy="{y}" r="4.5">{tooltip}</circle>'
    return f'<path d="M{x},{float(y) - 6:.2f} l6,6 l-6,6 l-6,-6 Z">{tooltip}</path>'


def _figure(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return ("0" if float(text.replace(",", "")) == 0 else text).replace("-", "−")


def _safe(text: str) -> str:
    """A text that is safe in XML; characters XML cannot hold are left out."""
    return escape("".join(sign for sign in text if sign >= " " and not "\ud800" <= sign <= "\udfff" and sign not in "\ufffe\uffff"))


__all__ = ["Bar", "Curve", "Distribution", "Effect", "Series", "bars", "forest", "histogram", "is_chart", "scatter"]
