"""Charts as SVG inside a page: no script, no style attribute, words for whoever does not see them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from markupsafe import Markup, escape

from engine.votes import Bin

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 260, 64, 28, 10


def fan(history: Sequence[tuple[str, float]], ahead: Sequence[tuple[float, float, float]], label: str) -> Markup:
    """What was sold, then the median and the band (low, median, high) of each period to come."""
    past, count = [value for _, value in history], len(history) + len(ahead)
    top = max([*past, *(high for *_rest, high in ahead), 1e-9]) * 1.05
    at = [_point(i, value, count, top) for i, value in enumerate(past)]
    start = [(past[-1],) * 3] if past else []
    steps = [*start, *ahead]
    first = len(past) - len(start)
    low, middle, high = ([_point(first + i, step[k], count, top) for i, step in enumerate(steps)] for k in range(3))
    inside = [
        f'<polygon class="band" points="{_joined([*high, *reversed(low)])}"/>',
        f'<polyline class="past" points="{_joined(at)}"/>',
        f'<polyline class="ahead" points="{_joined(middle)}"/>',
        *_sides(top),
    ]
    for i in range(0, len(history), max(1, ceil(count / 8))):
        inside.append(_text(*_point(i, 0, count, top), history[i][0], dy=18, anchor="middle"))
    return _framed(inside, label)


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """What was told against what came, with the interval of each bin, beside the line where both are equal."""
    top = max([*(one.high for one in bins), *(one.told for one in bins), 1e-9]) * 1.05

    def place(told: float, came: float) -> tuple[float, float]:
        return LEFT + told / top * (WIDTH - LEFT - 10), _down(came, top)

    ends = [place(0, 0), place(top, top)]
    inside = [f'<polyline class="even" points="{_joined(ends)}"/>', *_sides(top, percent=True)]
    for one in bins:
        (x, low), (_, high), (_, y) = place(one.told, one.low), place(one.told, one.high), place(one.told, one.came)
        inside.append(f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        inside.append(f'<circle class="came" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    for share in (0.25, 0.5, 0.75, 1.0):
        inside.append(_text(*place(share * top, 0), f"{share * top:.0%}", dy=18, anchor="middle"))
    return _framed(inside, label)


def _point(step: int, value: float, count: int, top: float) -> tuple[float, float]:
    return LEFT + step / max(count - 1, 1) * (WIDTH - LEFT - 10), _down(value, top)


def _down(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _sides(top: float, *, percent: bool = False) -> list[str]:
    made = []
    for share in (0.0, 0.5, 1.0):
        y = _down(share * top, top)
        told = f"{share * top:.0%}" if percent else f"{share * top:,.0f}"
        made.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
        made.append(_text(LEFT - 6, y, told, dy=4, anchor="end"))
    return made


def _text(x: float, y: float, text: str, *, dy: int, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _framed(inside: list[str], label: str) -> Markup:
    return Markup(  # built from numbers and escaped text above
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(inside)}</svg>'
    )
