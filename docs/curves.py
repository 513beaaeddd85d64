"""Small panels of ROC curves side by side: what each rule of the bitext filter finds of pairs spoilt in one way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, PANEL, TALL, GAP, TOP = 720, 146, 130, 26, 70
COLOURS = ("#0b6bcb", "#d1570c", "#1f883d", "#8250df", "#bf3989")
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 } .soft { fill: #777; font-size: 11px }
.grid { stroke: #8884; stroke-width: 1 } path { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .soft { fill: #999 } }
"""


def bitext_picture(result: Mapping[str, Any], code: str = "ar") -> str:
    """A panel for each way of spoiling pairs, a curve for each rule, and a dot for what all gates find with their own limits."""
    spoilt, rules = result["languages"][code]["spoilt"], result["rules"]
    rows = math.ceil(len(spoilt) / 4)
    height = TOP + rows * (TALL + 62)
    title = "Share of spoilt Arabic pairs that a rule finds, over the share of good pairs that it loses"
    parts = [f'<text x="16" y="20" font-weight="600">{escape(title)}</text>', *_legend(rules)]
    lost = result["languages"][code]["good"]["share"]
    for number, (name, found) in enumerate(spoilt.items()):
        left, top = 44 + number % 4 * (PANEL + GAP), TOP + number // 4 * (TALL + 62)
        parts += _panel(left, top, name)
        for colour, rule in zip(COLOURS, rules, strict=True):
            points = " L".join(f"{_x(left, share):.1f},{_y(top, part):.1f}" for share, part in found["rules"][rule]["found"])
            said = escape(f"{rule}: area under the curve {found['rules'][rule]['auc']:.3f}")
            parts.append(f'<path d="M{points}" stroke="{colour}"><title>{said}</title></path>')
        gates = found["gates"]["share"]
        said = f"all gates: {gates:.1%} found, {lost:.1%} of good pairs lost"
        parts.append(
            f'<circle cx="{_x(left, lost):.1f}" cy="{_y(top, gates):.1f}" r="4.5" fill="#888"><title>{said}</title></circle>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _legend(rules: Sequence[str]) -> list[str]:
    parts = []
    for number, (colour, rule) in enumerate(zip(COLOURS, rules, strict=True)):
        x = 16 + 110 * number
        parts.append(f'<path d="M{x},36 h18" stroke="{colour}"/><text x="{x + 24}" y="40">{escape(rule)}</text>')
    x = 16 + 110 * len(rules)
    return [*parts, f'<circle cx="{x + 8}" cy="36" r="4.5" fill="#888"/><text x="{x + 24}" y="40">all gates</text>']


def _panel(left: float, top: float, name: str) -> list[str]:
    parts = [f'<text x="{left}" y="{top - 7}">{escape(name)}</text>']
    for share, label in ((0.0, "0"), (0.5, "50%"), (1.0, "100%")):
        y = _y(top, share)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if left == 44:
            parts.append(f'<text class="soft" x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for share, label in ((0.001, "0.1%"), (0.01, "1%"), (0.1, "10%")):
        x = _x(left, share)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + TALL}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{top + TALL + 16}" text-anchor="middle">{label}</text>')
    return parts


def _x(left: float, share: float) -> float:
    """Place of a share of good pairs, 0.1% to 50%, on a logarithmic axis."""
    low, high = math.log10(0.001), math.log10(0.5)
    return left + PANEL * (math.log10(min(0.5, max(0.001, share))) - low) / (high - low)


def _y(top: float, share: float) -> float:
    return top + TALL * (1 - share)
