"""Charts: plain data in, an SVG out. No library, no font, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError

Floats = NDArray[np.float64]

WIDTH: Final = 640
HEIGHT: Final = 420
LEFT, RIGHT, TOP, BOTTOM = 78, 20, 62, 58
TICKS: Final = 7
"""About so many on an axis."""
STEPS: Final = 60
"""Points of a curve."""
MARGIN: Final = 0.05
"""Of the range of the points, left free at either end."""

# Blue and orange of like lightness, told apart by color-blind readers too; the marks differ in shape besides. Plain rules and no
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


def scatter(series: Sequence[Series], curve: Curve | None, *, title: str, x_label: str, y_label: str) -> str:
    """Points of one or two kinds, and a line with its interval, as an SVG: the same text for the same data.

    Raises:
        UsageError: more than two kinds, or no points.
    """
    kinds = [each for each in series if len(each.x)]
    if not kinds or len(kinds) > 2:
        raise UsageError(f"A scatter chart shows one or two kinds of points, not {len(kinds)}.")
    across = _Scale.of(np.concatenate([each.x for each in kinds]), LEFT, WIDTH - RIGHT)
    # The band may leave the chart; the points and the line decide what is seen.
    ups = [each.y for each in kinds] + ([curve.y] if curve else [])
    up = _Scale.of(np.concatenate(ups), HEIGHT - BOTTOM, TOP)
    body = [*_axes(across, up, x_label, y_label)]
    if curve is not None:
        inside = (curve.x >= across.low) & (curve.x <= across.high)
        x, y, low, high = (values[inside] for values in (curve.x, curve.y, curve.low, curve.high))
        upper = [f"{across(a)},{up(b)}" for a, b in zip(x, high, strict=True)]
        lower = [f"{across(a)},{up(b)}" for a, b in zip(x, low, strict=True)]
        line = [f"{across(a)},{up(b)}" for a, b in zip(x, y, strict=True)]
        body.append(f'<g clip-path="url(#plot)"><path class="band" d="M{" L".join(upper + lower[::-1])} Z"/>')
        body.append(f'<path class="fit" d="M{" L".join(line)}"/></g>')
    for each, mark in zip(kinds, "ab", strict=False):
        body.append(f'<g class="{mark}">')
        for at in range(len(each.x)):
            told = f"<title>{_safe(each.labels[at])}</title>" if each.labels else ""
            body.append(_mark(mark, across(each.x[at]), up(each.y[at]), told))
        body.append("</g>")
    body += _legend(kinds, curve)
    described = f"{len(kinds)} kinds of points" if len(kinds) == 2 else f"{len(kinds[0].x)} points"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title summary">',
            f'<title id="title">{_safe(title)}</title>',
            f'<desc id="summary">{_safe(y_label)} against {_safe(x_label)}, {described}.</desc>',
            f"<style>{STYLE}</style>",
            f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text class="title" x="{LEFT}" y="24">{_safe(title)}</text>',
            *body,
            "</svg>\n",
        ]
    )


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

    def ticks(self) -> tuple[list[float], int]:
        """Round values between the ends, and the decimals they need."""
        rough = (self.high - self.low) / TICKS
        power = math.floor(math.log10(rough))
        step = next(factor for factor in (1, 2, 2.5, 5, 10) if factor * 10**power >= rough) * 10**power
        first = math.ceil(self.low / step - 1e-9)
        found = [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if abs(round(step, decimals) - step) > 1e-9 * step:
            decimals += 1
        return found, decimals


def _axes(across: _Scale, up: _Scale, x_label: str, y_label: str) -> list[str]:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines = []
    ticks, decimals = up.ticks()
    for value in ticks:
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{up(value)}" y2="{up(value)}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{up(value)}" dy="0.35em" text-anchor="end">{_figure(value, decimals)}</text>')
    ticks, decimals = across.ticks()
    for value in ticks:
        lines.append(f'<line class="axis" x1="{across(value)}" x2="{across(value)}" y1="{floor}" y2="{floor + 5}"/>')
        lines.append(f'<text x="{across(value)}" y="{floor + 19}" text-anchor="middle">{_figure(value, decimals)}</text>')
    middle = (TOP + floor) / 2
    return [
        *lines,
        f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>',
        f'<text class="label" x="{(LEFT + right) / 2:g}" y="{HEIGHT - 14}" text-anchor="middle">{_safe(x_label)}</text>',
        f'<text class="label" x="18" y="{middle:g}" text-anchor="middle" transform="rotate(-90 18 {middle:g})">{_safe(y_label)}</text>',
    ]


def _legend(kinds: Sequence[Series], curve: Curve | None) -> list[str]:
    lines, x, y = [], LEFT, 45
    entries: Mapping[str, str] = {mark: each.name for each, mark in zip(kinds, "ab", strict=False) if each.name}
    for mark, name in entries.items():
        lines.append(f'<g class="{mark}">{_mark(mark, f"{x + 5}", f"{y - 4}", "")}</g><text x="{x + 16}" y="{y}">{_safe(name)}</text>')
        x += 34 + 7 * len(name)
    if curve is not None and curve.name:
        lines.append(
            f'<rect class="band" x="{x}" y="{y - 10}" width="22" height="12"/><path class="fit" d="M{x},{y - 4} L{x + 22},{y - 4}"/>'
        )
        lines.append(f'<text x="{x + 29}" y="{y}">{_safe(curve.name)}</text>')
    return lines


def _mark(kind: str, x: str, y: str, told: str) -> str:
    if kind == "a":
        return f'<circle cx="{x}" cy="{y}" r="4.5">{told}</circle>'
    return f'<path d="M{x},{float(y) - 6:.2f} l6,6 l-6,6 l-6,-6 Z">{told}</path>'


def _figure(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return ("0" if float(text.replace(",", "")) == 0 else text).replace("-", "−")


def _safe(text: str) -> str:
    """A text that is safe in XML; characters XML cannot hold are left out."""
    return escape("".join(sign for sign in text if sign >= " " and not "\ud800" <= sign <= "\udfff" and sign not in "\ufffe\uffff"))


__all__ = ["Curve", "Series", "scatter"]
