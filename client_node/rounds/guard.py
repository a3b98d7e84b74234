"""May this run use this member's data? Asked of the member's own copy of the log; the coordinator is not believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from client_node.ledger.chain import Caps, burnt
from client_node.ledger.ledger import Budget
from contracts.errors import Refused
from contracts.fields import moment
from contracts.rules.budgets import refusal_of
from contracts.rules.state import RoundRecord, RunRecord, TrustState
from contracts.statements.requests import MAX_SKEW_S
from contracts.wording import N_
from privacy.plan import PlanError


@dataclass(frozen=True, slots=True)
class Limits:
    """What the member's own configuration allows: nano-rho at `delta`, for a run, for an account in a year, and
    for train and holdout of one unit together."""

    run: int
    account: int
    ceiling: int
    delta: str


@dataclass(frozen=True, slots=True)
class Permit:
    """A round that may be computed, with the caps that the ledger must enforce."""

    run: RunRecord
    record: RoundRecord
    caps: Caps


def authorise(
    state: TrustState,
    member: str,
    *,
    run: str,
    open_index: int,
    witnessed: int,
    since: int,
    bundle: str,
    budget: Budget,
    limits: Limits,
    withdrawn: bool,
    now: str,
) -> Permit:
    """The permit, or Refused with the closed-list reason as `reason` in its values.

    `witnessed` is the size of the newest checkpoint with a quorum of cosignatures, `since` the size of the log
    when this process had caught up with it, `now` an RFC 3339 time.
    """
    ordered = state.runs.get(run)
    waiting = ordered.open_round() if ordered else None
    if ordered is None or waiting is None or waiting.open_index != open_index or witnessed <= open_index:
        raise _no("log", N_("the order or the opening of this round is not in the cosigned log"))
    if moment(waiting.opened.issued_at) > moment(now) + timedelta(seconds=MAX_SKEW_S):
        raise _no("log", N_("this round says that it was opened in the future"))
    if withdrawn or member not in dict(waiting.opened.members):
        raise _no("consent", _SENTENCES["consent"])
    _check_rules(state, member, ordered, waiting)
    order = ordered.order
    if state.agreements[order.agreement].state != "active":
        raise _no("agreement", N_("the agreement of this run is not active"))
    if moment(order.expires_at) <= moment(now):
        raise _no("expired", N_("the order of this run has expired"))
    if order.bundle != bundle:
        raise _no("bundle", N_("the order wants other code than is installed here"))
    _check_plan(ordered, limits)
    _check_ledger(state, member, budget)
    if open_index < since and not budget.has_begun(run, waiting.opened.round):
        raise burnt(waiting.opened.round)  # a restored backup cannot know whether it has sent in this round already
    return Permit(ordered, waiting, _caps(state, member, ordered, waiting, limits, now))


def awaited(state: TrustState, member: str, limits: Limits, now: str) -> list[RunRecord]:
    """Runs whose first round is still to open and would, as things stand, be permitted to this member."""
    coming = (run for run in state.runs.values() if not run.rounds and member not in run.refused)
    return [
        run
        for run in coming
        if moment(run.order.expires_at) > moment(now)
        and refusal_of(state, member, run, below=state.size, at_time=now) is None
        and run.order.plan.total_rho_nano() <= limits.run
    ]


def _check_rules(state: TrustState, member: str, ordered: RunRecord, waiting: RoundRecord) -> None:
    """The rules of the log allow this member to be asked. The fold has charged this very round already, so a full
    account alone says nothing here: the ledger decides."""
    code = refusal_of(state, member, ordered, below=waiting.open_index, at_time=waiting.opened.issued_at)
    if waiting.broken or code not in (None, "OVER_BUDGET"):
        reason = _REASONS.get(code or "", "consent") if code else "log"
        raise _no(reason, _SENTENCES[code] if code in _SENTENCES else _SENTENCES[reason])


_REASONS = {"OVER_BUDGET": "budget", "ASKED_TOO_OFTEN": "budget", "NOT_RENEWED": "budget"}
_SENTENCES = {
    "consent": N_("this member has not consented to this run, or has withdrawn"),
    "budget": N_("the run costs more than this member allows for one run"),
    "log": N_("the opening of this round breaks the rules of the log"),
    "OVER_BUDGET": N_("the opening of this round breaks the rules of the log"),
    "ASKED_TOO_OFTEN": N_("this member was asked more often this year than it has consented to"),
    "NOT_RENEWED": N_("this member has not yet signed for a budget in this year: client-node consent renew"),
}


def _caps(state: TrustState, member: str, ordered: RunRecord, waiting: RoundRecord, limits: Limits, now: str) -> Caps:
    """The lower of what was consented and what the configuration says now."""
    event = state.consent(member, ordered.order.agreement, waiting.open_index)
    assert event is not None and event.consent.scope is not None
    scope = event.consent.scope
    run_cap = min(scope.rho_run_max_nano, limits.run)
    if ordered.order.plan.total_rho_nano() > run_cap:
        raise _no("budget", _SENTENCES["budget"])
    account = min(scope.rho_year_max_nano, limits.account)
    return Caps(run_cap, account, limits.ceiling, waiting.opened.issued_at[:4], now)


def _check_plan(ordered: RunRecord, limits: Limits) -> None:
    plan = ordered.order.plan
    try:
        plan.check()
    except PlanError as error:
        raise _no("plan", N_("the plan of this run contradicts itself")) from error
    if Decimal(plan.delta) > Decimal(limits.delta):
        raise _no("budget", N_("the delta of this run is larger than this member allows"))


def _check_ledger(state: TrustState, member: str, budget: Budget) -> None:
    """A ledger without the head that the log has seen is a restored backup, a copied machine or a new file: it
    would spend twice."""
    shown = state.ledgers.get(member)
    if shown is not None and not budget.knows(shown):
        raise Refused(
            N_("this node's ledger is not the one that the log has seen"),
            why=N_("a restored backup, a copied machine or a deleted file would spend the same budget twice"),
            do=N_("bring back the newest ledger.db and end every other copy of this node, or withdraw"),
            code="GUARD",
            reason="ledger",
        )


def _no(reason: str, what: str) -> Refused:
    return Refused(
        what,
        why=N_("the node checks every order against its own copy of the log"),
        do=N_("client-node status shows what was agreed"),
        code="GUARD",
        reason=reason,
    )
