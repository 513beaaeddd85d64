"""Charts as inline SVG: lines with interval bands, and bars. Colours come from the page's style sheet, never from here.

>>> from hala.verbs.report_charts import Line, line_chart
>>> line_chart((Line("loss", ((0, 3.0), (10, 2.0))),), "tokens", "loss").startswith("<svg")
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hala.verbs.report_page import bare, text

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 12, 40  # at the right, half of the last number below the axis
COLOURS = 6
MOST_POINTS = 300

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `band` holds (low, high) for each point; `marks` draws each point with its value as tooltip."""

    name: str
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    marks: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """The mapping from values to places in the picture."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * _share(value, self.x_ticks)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, self.y_ticks)


def _share(value: float, ticks: tuple[float, ...]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])


def ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def line_chart(lines: tuple[Line, ...], x_label: str, y_label: str) -> str:
    """An SVG of the lines over a light grid with a legend, or an empty string when there is no finite point."""
    lines = tuple(_finite(line) for line in lines)
    lines = tuple(line for line in lines if line.points)
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + [edge for line in lines for pair in line.band for edge in pair]
    axes = Axes(ticks(min(xs), max(xs)), ticks(min(ys), max(ys)))
    body = _grid(axes) + "".join(_drawn(line, index % COLOURS, axes) for index, line in enumerate(lines))
    names = ", ".join(line.name for line in lines)
    label = bare(f"{y_label} over {x_label}: {names}")
    captions = (
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{bare(x_label)}</text>'
    )
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}{captions}</svg>'
    return picture + legend(lines)


def _finite(line: Line) -> Line:
    keep = [index for index, (x, y) in enumerate(line.points) if math.isfinite(x) and math.isfinite(y)]
    if len(keep) > MOST_POINTS:  # evenly spaced; the first and the last point always stay
        keep = [keep[round(index * (len(keep) - 1) / (MOST_POINTS - 1))] for index in range(MOST_POINTS)]
    band = tuple(line.band[index] for index in keep) if len(line.band) == len(line.points) else ()
    return Line(line.name, tuple(line.points[index] for index in keep), band, line.marks)


def _grid(axes: Axes) -> str:
    parts = []
    for value in axes.y_ticks:
        y = axes.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for value in axes.x_ticks:
        x = axes.x(value)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(value)}</text>')
    return "".join(parts)


def _number(value: float) -> str:
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def _drawn(line: Line, colour: int, axes: Axes) -> str:
    places = [(axes.x(x), axes.y(y)) for x, y in line.points]
    parts = []
    if line.band:
        edge = [(axes.x(x), axes.y(high)) for (x, _), (_, high) in zip(line.points, line.band, strict=True)]
        edge += [(axes.x(x), axes.y(low)) for (x, _), (low, _) in reversed(list(zip(line.points, line.band, strict=True)))]
        parts.append(f'<polygon class="band c{colour}" points="{_path(edge)}"/>')
    parts.append(f'<polyline class="line c{colour}" points="{_path(places)}"/>')
    if line.marks or len(places) == 1:
        for (x, y), (at, value) in zip(places, line.points, strict=True):
            title = bare(f"{line.name}: {value:.4g} at {_number(at)}")
            parts.append(f'<circle class="mark c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{title}</title></circle>')
    return "".join(parts)


def _path(places: list[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def legend(lines: tuple[Line, ...]) -> str:
    """The names beside their colours."""
    items = "".join(
        '<li><svg class="key" viewBox="0 0 18 10" aria-hidden="true">'
        f'<line class="line c{index % COLOURS}" x1="0" x2="18" y1="5" y2="5"/></svg>'
        f'<bdi dir="auto">{text(line.name)}</bdi></li>'
        for index, line in enumerate(lines)
    )
    return f'<ul class="legend">{items}</ul>'


def bar(share: float) -> str:
    """A horizontal bar for a share of 0 to 1."""
    width = max(0.7, min(1.0, share) * 100) if share > 0 else 0.0  # a small share still shows
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8"/>'
        f'<rect class="fill" width="{width:.2f}" height="8"/></svg>'
    )
