"""The order in the log is the time; what a statement says about its own time must not contradict it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from contracts.fields import moment, time_text
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import TrustState
from contracts.statements.statements import Predicate, RunOrder
from contracts.wording import N_

SKEW_S = 60


def shifted(time: str, seconds: int) -> str:
    """A time some seconds later, or the first or last that has a date."""
    try:
        return time_text(moment(time) + timedelta(seconds=seconds))
    except OverflowError:
        return "9999-12-31T23:59:59Z" if seconds > 0 else "0001-01-01T00:00:00Z"


def closes_by(order: RunOrder, opened_at: str, deadline_s: int) -> str:
    """When the time of a round is over: its own, or that of its run."""
    return min(shifted(opened_at, deadline_s), order.expires_at)


def check_order(state: TrustState, entry: Entry[Predicate]) -> Iterator[Finding]:
    """I7: the office's clock does not run backwards. Asked of what it signs at once, without waiting for anybody.

    Real time, between cosigned checkpoints, is the auditor's check.
    """
    if entry.predicate.issued_at < state.not_before:
        what = N_("the statement says it was made at {at}, before statements that stand before it")
        yield entry.breaks("TIME_OUT_OF_WINDOW", "I7", what, at=entry.predicate.issued_at)


def advance(state: TrustState, said: Predicate) -> TrustState:
    """The office has spoken: from now on nothing may claim to be older by more than the skew of two clocks."""
    return replace(state, not_before=max(state.not_before, shifted(said.issued_at, -SKEW_S)))
