"""Was it allowed then? A member's consents as bars and the rounds that asked it as dots, for terminal and SVG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from html import escape

from contracts.fields import moment
from contracts.rules.state import ConsentEvent, TrustState, is_live
from contracts.wording import N_, visible


@dataclass(frozen=True, slots=True)
class Bar:
    """One consent while it held: from its start to the event or the date that ended it (RFC 3339)."""

    index: int
    start: str
    end: str
    event: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A round that asked the member; `used` if its contribution was combined, `allowed` if a bar covers it."""

    index: int
    at: str
    task: str
    round: int
    used: bool
    allowed: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars and dots of one member, in order of time."""

    member: str
    bars: list[Bar]
    dots: list[Dot]

    def span(self) -> tuple[datetime, datetime]:
        """From the first thing that happened to the last; a day at least is never empty."""
        times = [moment(t) for bar in self.bars for t in (bar.start, bar.end)] + [moment(d.at) for d in self.dots]
        return min(times), max(times)


def timeline_of(state: TrustState, member: str) -> Timeline:
    """What the log says about one member."""
    bars = sorted(
        (bar for (who, _), events in state.consents.items() if who == member for bar in _bars(events)),
        key=lambda bar: bar.index,
    )
    dots = []
    for run in state.runs_in_order():
        for record in run.rounds:
            if member in {m for m, _ in record.opened.members}:
                at = record.opened.issued_at
                used = record.closed is not None and member in record.closed.contributors
                # in order of the log: a consent that ended in the very second of an opening was
                # there before it, or was not
                allowed = is_live(state.consent(member, run.order.agreement, record.open_index), at)
                dots.append(Dot(record.open_index, at, run.order.task, record.opened.round, used, allowed))
    return Timeline(member, bars, dots)


def _bars(events: tuple[ConsentEvent, ...]) -> list[Bar]:
    bars: list[Bar] = []
    next_at: str | None = None
    for event in reversed(events):
        said = event.consent
        if said.expires_at is not None:
            end = min(said.expires_at, next_at) if next_at else said.expires_at
            bars.append(Bar(event.index, said.effective_from, max(said.effective_from, end), said.event))
        next_at = said.issued_at
    return bars


def lines(timeline: Timeline, width: int, translate: Callable[[str], str]) -> list[str]:
    """The timeline in plain characters: one line a consent, one line a task."""
    if not timeline.bars and not timeline.dots:
        return [translate(N_("the log holds no consent of this member"))]
    first, last = timeline.span()
    place = _scale(first, last, width - 1)
    drawn = [f"{first:%Y-%m-%d}{last:%Y-%m-%d}".replace(f"{last:%Y-%m-%d}", f"{last:%Y-%m-%d}".rjust(width - 10))]
    for bar in timeline.bars:
        start, end = int(place(bar.start)), int(place(bar.end))
        drawn.append((" " * start + "=" * max(1, end - start)).ljust(width) + f"  #{bar.index} {bar.event}")
    for task in dict.fromkeys(dot.task for dot in timeline.dots):
        row = [" "] * width
        for dot in (d for d in timeline.dots if d.task == task):
            row[int(place(dot.at))] = "X" if not dot.allowed else "o" if dot.used else "."
        drawn.append("".join(row) + f"  {visible(task)}")
    drawn.append(translate(N_("= consent   o round with this member   . asked, not used   X asked without consent")))
    return drawn


def _scale(first: datetime, last: datetime, width: float) -> Callable[[str], float]:
    seconds = max(1.0, (last - first).total_seconds())
    return lambda text: (moment(text) - first).total_seconds() / seconds * width


def _shown(text: str) -> str:
    """Text inside XML, which has no control characters, not even escaped ones."""
    return escape(visible(text))


def svg(timeline: Timeline, title: str) -> str:
    """The same as a picture of its own: no script, no font, every mark with its words."""
    rows, width = len(timeline.bars) + 2, 720
    body = []
    if timeline.bars or timeline.dots:
        place = _scale(*timeline.span(), width - 40)
        for row, bar in enumerate(timeline.bars):
            x, end = 20 + place(bar.start), 20 + place(bar.end)
            said = _shown(f"#{bar.index} {bar.event} {bar.start} - {bar.end}")
            body.append(
                f'<rect x="{x:.1f}" y="{40 + 22 * row}" width="{max(2, end - x):.1f}" height="12" fill="#3a6ea5">'
                f"<title>{said}</title></rect>"
            )
        for dot in timeline.dots:
            colour = "#c0392b" if not dot.allowed else "#1e8449" if dot.used else "#909090"
            said = _shown(f"#{dot.index} {dot.task} {dot.round} {dot.at}")
            body.append(
                f'<circle cx="{20 + place(dot.at):.1f}" cy="{46 + 22 * len(timeline.bars)}" r="4" fill="{colour}">'
                f"<title>{said}</title></circle>"
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {40 + 22 * rows}">'
        f"<title>{_shown(title)}</title>"
        f'<text x="20" y="24" font-size="14">{_shown(title)}</text>{"".join(body)}</svg>\n'
    )
