"""Charts as SVG inside a page: no script, no style attribute, words for whoever does not see them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from math import floor, log10

from markupsafe import Markup, escape

from contracts.wording import visible
from engine.ensemble import Bin

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 640, 284, 92, 34, 46, 34
_LETTERS = 60  # of names of periods below a chart, at most

Band = tuple[float, float, float]  # low, median, high


def number(value: float) -> str:
    """As people write it: thousands apart, decimals only where they tell, never an exponent."""
    return f"{value + 0.0:,.{decimals(value)}f}".replace("-0.00", "0.00")


def decimals(value: float) -> int:
    """Of numbers as large as this one."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2


def fan(
    history: Sequence[tuple[str, float | None]], ahead: Sequence[tuple[str, Band]], label: str, sold: str
) -> Markup:
    """What was sold (None: nobody knows), then the median and the band of each period to come."""
    past, every = [value for _, value in history], len(history) + len(ahead)
    marks = ticks(max([*(value or 0.0 for value in past), *(band[2] for _, band in ahead)]))
    known = [(i, value) for i, value in enumerate(past) if value is not None]
    steps = [*((i, (value,) * 3) for i, value in known[-1:]), *((len(past) + i, b) for i, (_, b) in enumerate(ahead))]
    low, middle, high = ([_point(i, band[k], every, marks[-1]) for i, band in steps] for k in range(3))
    inside = [
        *_sides(marks, sold),
        f'<polygon class="band" points="{_joined([*high, *reversed(low)])}"/>',
        f'<polyline class="past" points="{_joined([_point(i, value, every, marks[-1]) for i, value in known])}"/>',
        f'<polyline class="ahead" points="{_joined(middle)}"/>',
    ]
    names = [name for name, _ in (*history, *ahead)]
    most = max(_LETTERS // max(map(len, names)), 1)
    apart = next(step for step in chain((1, 2, 3, 4, 6, 8), count(12, 12)) if every <= step * most)
    for turn, i in enumerate(range(every - 1, -1, -apart)):  # the last period to come has its name always
        inside.append(_text(*_point(i, 0, every, marks[-1]), names[i], dy=18, kind=f"middle{' spare' * (turn % 2)}"))
    return _framed(inside, label)


def reliability(bins: Sequence[Bin], label: str, told: str, came: str) -> Markup:
    """What was told (across) against what came (up), with the interval of each bin, beside the line of equals."""
    marks = [mark / 100 for mark in ticks(100 * max(max(one.high, one.told) for one in bins))]
    top = marks[-1]

    def place(across: float, up: float) -> tuple[float, float]:
        return LEFT + across / top * (WIDTH - LEFT - RIGHT), _down(up, top)

    inside = [f'<polyline class="even" points="{_joined([place(0, 0), place(top, top)])}"/>']
    inside += _sides(marks, came, percent=True)
    for one in bins:
        (x, low), (_, high), (_, y) = place(one.told, one.low), place(one.told, one.high), place(one.told, one.came)
        inside.append(f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        inside.append(f'<circle class="came" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    inside += [_text(*place(mark, 0), _percent(mark), dy=18, kind="middle") for mark in marks]
    return _framed([*inside, _text(WIDTH - RIGHT, HEIGHT, told, dy=-6, kind="end")], label)


def ticks(top: float) -> list[float]:
    """Round numbers from zero to the first that is not below `top`, at most six."""
    top = max(top, 1e-9)
    size = 10.0 ** floor(log10(top / 5))
    step = next(size * m for m in (1, 2, 5, 10) if size * m * 5 >= top)
    return [step * i for i in range(next(n for n in count(1) if step * n >= top) + 1)]


def _point(step: int, value: float, every: int, top: float) -> tuple[float, float]:
    return LEFT + step / max(every - 1, 1) * (WIDTH - LEFT - RIGHT), _down(value, top)


def _down(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _percent(share: float) -> str:
    return f"{100 * share:.10g}%"


def _sides(marks: Sequence[float], name: str, *, percent: bool = False) -> list[str]:
    """A line and its number at each mark, and above them what they count."""
    made = [_text(0, TOP, name, dy=-18, kind="start")]
    places = max(0, -floor(log10(marks[1])))
    for mark in marks:
        y = _down(mark, marks[-1])
        made.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        made.append(_text(LEFT - 6, y, _percent(mark) if percent else f"{mark:,.{places}f}", dy=4, kind="end"))
    return made


def _text(x: float, y: float, text: str, *, dy: int, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y + dy:.1f}" class="{kind}">{escape(visible(text))}</text>'


def _framed(inside: list[str], label: str) -> Markup:
    return Markup(  # built from numbers and escaped text above
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(visible(label))}">{"".join(inside)}</svg>'
    )
