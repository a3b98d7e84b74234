"""Runs that this member may be asked for and that have not ended: what they wait for, as far as the log says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.fields import time_text
from contracts.rules.budgets import consenting_members
from contracts.rules.state import RunRecord, TrustState
from contracts.rules.times import closes_by
from contracts.wording import N_, filled

_IN_ROUND = N_(
    "{task}, round {round} waits for cosignatures or contributions, since {since}; keep client-node run running: "
    "it ends by {until}"
)
_BEFORE = N_(
    "{task} waits for its next round, since {since}: {least} members must be online; keep client-node run "
    "running until {until}"
)


@dataclass(frozen=True, slots=True)
class RunWaits:
    """A sentence and its values."""

    text: str
    values: dict[str, object]

    def translated(self, translate: Callable[[str], str]) -> str:
        """In the reader's language."""
        return filled(translate(self.text), self.values | {"task": translate(str(self.values["task"]))})


def waits_of(state: TrustState, member: str, now: datetime | None = None) -> list[RunWaits]:
    """Of every run that has not ended and that asks this member or may ask it."""
    at = time_text(now or datetime.now(UTC))
    found = (_of(state, run, member, at) for run in state.runs_in_order())
    return [one for one in found if one]


def _of(state: TrustState, run: RunRecord, member: str, at: str) -> RunWaits | None:
    waiting = run.open_round()
    if waiting is None and (run.is_complete() or at >= run.order.expires_at):
        return None
    if waiting is None:
        if member not in dict(consenting_members(state, run, at)):
            return None
        since = max((record.opened.issued_at for record in run.rounds), default=run.order.issued_at)
        values = {"since": since, "least": run.order.min_members, "until": run.order.expires_at}
        return RunWaits(_BEFORE, {"task": run.order.task, **values})
    opened = waiting.opened
    if member not in dict(opened.members):
        return None
    until = closes_by(run.order, opened.issued_at, opened.deadline_s)
    return RunWaits(
        _IN_ROUND, {"task": run.order.task, "round": opened.round, "since": opened.issued_at, "until": until}
    )
