"""The pictures of the docs, drawn from committed results: docs/images/NAME.svg.

python docs/pictures.py            # draw all
python docs/pictures.py --check    # exit 1 when a picture on disk is not what its results say
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from curves import bitext_picture

from hala.schedules import GROUPS
from hala.weights.groups import LAYER, group_of

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 46, 58
# Readable on white and on black; the page's own theme decides.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 } .small { font-size: 12px } .soft { fill: #777 }
.grid { stroke: #8884; stroke-width: 1 } .mark { stroke: #888; stroke-width: 1.5; stroke-dasharray: 5 4 }
.c0 { fill: #0b6bcb } .c1 { fill: #d1570c } .c2 { fill: #1f883d } .c3 { fill: #8250df }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .soft { fill: #999 } .c0 { fill: #58a6ff } .c1 { fill: #f0883e } }
"""

Ticks = Sequence[tuple[float, str]]  # value, label


@dataclass(frozen=True)
class Dots:
    """A named cloud: (x, y, what the tooltip says) of each dot."""

    name: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Frame:
    """What the dots stand in. `mark` is a dashed line at a value of y with its label; `log` makes the y axis logarithmic."""

    title: str
    x_ticks: Ticks
    y_ticks: Ticks
    x_label: str
    y_label: str
    log: bool = False
    mark: tuple[float, str] | None = None

    def x(self, value: float) -> float:
        """Place of a value, with half a step of room at both ends."""
        low, high = self.x_ticks[0][0] - 0.5, self.x_ticks[-1][0] + 0.5
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Place of a value; what lies outside of the ticks is put on the edge."""
        scale = math.log10 if self.log else float
        low, high = (scale(tick) for tick in (self.y_ticks[0][0], self.y_ticks[-1][0]))
        share = (scale(max(value, self.y_ticks[0][0])) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, share)


def draw(frame: Frame, clouds: Sequence[Dots]) -> str:
    """The picture as SVG that needs nothing else."""
    parts = [f'<text x="{LEFT}" y="18" font-weight="600">{escape(frame.title)}</text>', *grid(frame)]
    for number, cloud in enumerate(clouds):
        dots = (
            f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.2"><title>{escape(title)}</title></circle>'
            for x, y, title in cloud.points
        )
        parts.append(f'<g class="c{number}" fill-opacity="0.75">{"".join(dots)}</g>')
        place = LEFT + 230 * number
        parts.append(f'<circle class="c{number}" cx="{place + 5}" cy="33" r="4"/>')
        parts.append(f'<text class="small" x="{place + 15}" y="37">{escape(cloud.name)}</text>')
    label = escape(f"{frame.title}. {frame.y_label} over {frame.x_label}.")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def grid(frame: Frame) -> list[str]:
    """Lines, ticks, labels and the mark."""
    parts = []
    for value, label in frame.y_ticks:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    for value, label in frame.x_ticks:
        x, y = frame.x(value), HEIGHT - BOTTOM + 18
        parts.append(f'<text class="small" x="{x:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{escape(frame.x_label)}</text>')
    turned = f"translate(15 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(frame.y_label)}</text>')
    if frame.mark:
        y = frame.y(frame.mark[0])
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        where = f'x="{WIDTH - RIGHT}" y="{y - 22:.1f}" text-anchor="end"'
        parts.append(f'<text class="small soft" {where}>{escape(frame.mark[1])}</text>')
    return parts


def layer_of(name: str, last: int) -> int:
    """Its layer; embeddings come before the first, a head and the final norm after the last."""
    found = LAYER.search(name)
    return int(found[1]) if found else -1 if group_of(name) == "embeddings" else last + 1


def layer_ticks(last: int) -> Ticks:
    """Names of the layers, at most about twenty."""
    step = max(1, round(last / 20))
    return [(-1, "emb."), *((layer, str(layer)) for layer in range(0, last + 1, step)), (last + 1, "out")]


def by_layer(tensors: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float], unit: str) -> tuple[Any, int]:
    """One dot for each tensor at its layer, groups side by side, and the number of the last layer."""
    last = max((int(found[1]) for each in tensors if (found := LAYER.search(each["name"]))), default=0)
    points = []
    for each in tensors:
        group = group_of(each["name"])
        aside = (GROUPS.index(group) - 2.5) * 0.11 if group in GROUPS[1:5] else 0.0
        title = f"{re.sub(r'[.]weight$', '', each['name'])}: {value(each):.3g}{unit}"
        points.append((layer_of(each["name"], last) + aside, value(each), title))
    return tuple(points), last


def angle_picture(result: Mapping[str, Any]) -> str:
    """How far two tunings of one base turned each tensor, and where slerp leaves the straight line."""
    clouds, last = [], 0
    for key, name in (("gentle", "AdamW, learning rate 2e-5"), ("strong", "Muon, learning rate 0.02")):
        points, last = by_layer([each for each in result["tensors"][key] if each["angle"] > 0], lambda each: each["angle"], "°")
        clouds.append(Dots(name, points))
    ticks = [(0.01, "0.01°"), (0.1, "0.1°"), (1.0, "1°"), (10.0, "10°"), (100.0, "100°")]
    mark = (math.degrees(math.acos(0.9995)), "1.8°: above it slerp follows the sphere, below it a straight line")
    frame = Frame("Angle between base and tuned model, tensor by tensor", layer_ticks(last), ticks, "layer", "angle", True, mark)
    return draw(frame, clouds)


def error_picture(result: Mapping[str, Any]) -> str:
    """What 8 bits cost each matrix of the quickstart's teacher, in FP8 and in int8."""
    clouds, last = [], 0
    for key, name in (("fp8-dynamic float32-scale", "fp8-dynamic"), ("int8-dynamic float32-scale", "int8-dynamic")):
        points, last = by_layer(result["tensors"][key], lambda each: 100 * each["rel_error"], "%")
        clouds.append(Dots(name, points))
    ticks = [(0.0, "0%"), (1.0, "1%"), (2.0, "2%"), (3.0, "3%")]
    frame = Frame("Relative error of each matrix in 8 bits", layer_ticks(last), ticks, "layer", "relative error")
    return draw(frame, clouds)


# Picture -> its results and what draws it.
PICTURES: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "compress-errors.svg": ("errors.json", error_picture),
    "merge-angles.svg": ("angles.json", angle_picture),
    "bitext-rules.svg": ("bitext.json", bitext_picture),
}


def main() -> None:
    """Writes or checks every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when a picture on disk is stale")
    check = parser.parse_args().check
    stale = []
    for name, (results, picture) in PICTURES.items():
        file = DOCS / "images" / name
        text = picture(json.loads((RESULTS / results).read_text(encoding="utf-8")))
        if check and (not file.is_file() or file.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"{', '.join(stale)} is not what its results say; run python docs/pictures.py")


if __name__ == "__main__":
    main()
