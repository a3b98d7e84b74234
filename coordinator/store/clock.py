"""Whether the office may sign by this machine's clock.

Nothing that the office signs may be older than what it signed before (I7): one entry under a clock that is ahead keeps
the log closed until that time has come. A request of a node is accepted only where both clocks agree, so the newest
one, or the newest entry, says up to when this clock has been right. Far past it, the office is asked first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import Session, func, select

from contracts.errors import Refused
from contracts.fields import moment, time_text
from contracts.rules.state import TrustState
from contracts.wording import N_
from coordinator.settings import ABOUT
from coordinator.store.tables import LastSeen

QUIET = timedelta(days=3)  # a long weekend without nodes asks nothing
CONFIRMED = "clock-confirmed"  # an empty file of the home: when it was touched, somebody had looked at the clock


def right_until(session: Session, home: Path, state: TrustState) -> datetime:
    """The newest moment at which this clock is known to have been right; before the office's first entry, that of the
    founding."""
    signed = moment(state.not_before) if state.not_before else _touched(home / ABOUT)
    heard = session.exec(select(func.max(LastSeen.at))).one() or 0.0
    return max(signed, datetime.fromtimestamp(heard, UTC), _touched(home / CONFIRMED))


def _touched(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime if path.exists() else 0.0, UTC)


def confirm(home: Path) -> None:
    """Somebody has compared this machine's clock with another: it may sign."""
    (home / CONFIRMED).touch()


def check_not_ahead(session: Session, home: Path, before: TrustState, after: TrustState, now: datetime) -> None:
    """Refused (CLOCK_AHEAD) if the newest entry would close the log up to a time that only this clock knows."""
    limit = now - QUIET
    if after.not_before == before.not_before or moment(after.not_before) < limit:  # it was not made by this clock
        return
    known = right_until(session, home, before)
    if known < limit:
        raise Refused(
            N_("this machine's clock says {now}, and nothing else says so: the newest known here is of {known}"),
            why=N_("an entry that is signed under a clock that is ahead keeps the log closed until that time"),
            do=N_("compare the clock with another; if it is right: coordinator clock --is-right"),
            code="CLOCK_AHEAD",
            now=time_text(now),
            known=time_text(known),
        )
