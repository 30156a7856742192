"""Line plots as SVG, written by hand: no plotting library, nothing random, the same bytes from the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 236, 48, 52
COLOURS = ("#1f5fbf", "#c2410c", "#15803d", "#7e22ce", "#0f766e", "#b91c1c", "#525252", "#a16207")
INK, GRID_INK = "#404040", "#d4d4d4"


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of points; *dashed* for what is computed and not measured."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with a logarithmic horizontal axis; *upright* marks values there, each with a word."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    up_max: float = 1.0
    upright: Sequence[tuple[float, str]] = ()


def draw(plot: Plot) -> str:
    """Return the SVG document of *plot*."""
    values = [x for line in plot.lines for x, _ in line.points] + [x for x, _ in plot.upright]
    low, high = math.log2(min(values)), math.log2(max(values))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log2(x) - low) / max(high - low, 1e-9)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / plot.up_max * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(plot.title)}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, plot.title, size=15, weight=600),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, plot.across, anchor="middle"),
        _text(LEFT, TOP - 10, plot.up),
    ]
    for tick in range(6):
        y = place(min(values), plot.up_max * tick / 5)[1]
        parts.append(_segment(LEFT, y, WIDTH - RIGHT, y, GRID_INK))
        parts.append(_text(LEFT - 8, y + 4, f"{plot.up_max * tick / 5:.3g}", anchor="end"))
    for x in sorted({x for line in plot.lines for x, _ in line.points}):
        at = place(x, 0.0)[0]
        parts.append(_segment(at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 4, INK))
        parts.append(_text(at, HEIGHT - BOTTOM + 18, f"{x:g}", anchor="middle", size=11))
    for x, word in plot.upright:
        at = place(x, 0.0)[0]
        parts.append(_segment(at, TOP, at, HEIGHT - BOTTOM, INK, dashed=True))
        parts.append(_text(at + 4, TOP + 12, word, size=11))
    for number, line in enumerate(plot.lines):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join("{:.1f},{:.1f}".format(*place(x, min(y, plot.up_max))) for x, y in line.points)
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        y = TOP + 20 * number
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 14}" y1="{y}" x2="{WIDTH - RIGHT + 38}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"{dash}/>'
        )
        parts.append(_text(WIDTH - RIGHT + 44, y + 4, line.name, size=11))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{INK}">{escape(words)}</text>'
    )


def _segment(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="3 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
