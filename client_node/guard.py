"""May this run use this member's data? Asked of the member's own copy of the log; the coordinator is not believed."""

from __future__ import annotations

from dataclasses import dataclass

from client_node.budget import Budget
from contracts.errors import Refused
from contracts.fields import moment
from contracts.rules.budgets import refusal_of
from contracts.rules.state import RoundRecord, RunRecord, TrustState
from contracts.wording import N_
from privacy.plan import PlanError


@dataclass(frozen=True, slots=True)
class Limits:
    """What the member's own configuration allows, in nano-rho at the agreement's delta."""

    run_rho_nano: int
    year_rho_nano: int


@dataclass(frozen=True, slots=True)
class Permit:
    """A round that may be computed, with the caps that the ledger must enforce."""

    run: RunRecord
    record: RoundRecord
    year: str
    run_cap: int
    year_cap: int


def authorise(
    state: TrustState,
    member: str,
    *,
    run: str,
    open_index: int,
    witnessed: int,
    bundle: str,
    budget: Budget,
    limits: Limits,
    withdrawn: bool,
    now: str,
) -> Permit:
    """The permit, or Refused with the closed-list reason as `reason` in its values.

    `witnessed` is the size of the newest checkpoint with a quorum of cosignatures, `now` an RFC 3339 time.
    """
    ordered = state.runs.get(run)
    waiting = ordered.open_round() if ordered else None
    if ordered is None or waiting is None or waiting.open_index != open_index or witnessed <= open_index:
        raise _no("log", N_("the order or the opening of this round is not in the cosigned log"))
    order = ordered.order
    if withdrawn or member not in dict(waiting.opened.members):
        raise _no("consent", N_("this member has not consented to this run, or has withdrawn"))
    forbidden = refusal_of(state, member, ordered, below=open_index, at_time=waiting.opened.issued_at)
    spent_before = forbidden == "OVER_BUDGET"  # the fold has charged this very round already; the ledger decides below
    if forbidden and not spent_before:
        raise _no("consent", N_("this member has not consented to this run, or has withdrawn"))
    if state.agreements[order.agreement].state != "active":
        raise _no("agreement", N_("the agreement of this run is not active"))
    if moment(order.expires_at) <= moment(now):
        raise _no("expired", N_("the order of this run has expired"))
    if order.bundle != bundle:
        raise _no("bundle", N_("the order wants other code than is installed here"))
    _check_plan(ordered)
    _check_ledger(state, member, budget)
    event = state.consent(member, order.agreement, open_index)
    assert event is not None and event.consent.scope is not None
    scope = event.consent.scope
    run_cap, year_cap = (
        min(scope.rho_run_max_nano, limits.run_rho_nano),
        min(scope.rho_year_max_nano, limits.year_rho_nano),
    )
    if order.plan.total_rho_nano() > run_cap:
        raise _no("budget", N_("the run costs more than this member allows for one run"))
    return Permit(ordered, waiting, waiting.opened.issued_at[:4], run_cap, year_cap)


def _check_plan(ordered: RunRecord) -> None:
    try:
        ordered.order.plan.check()
    except PlanError as error:
        raise _no("plan", N_("the plan of this run contradicts itself")) from error


def _check_ledger(state: TrustState, member: str, budget: Budget) -> None:
    """A ledger that knows less than the log is a restored backup or a copied machine: it would spend twice."""
    logged = sum(
        run.order.plan.rho_nano()
        for run in state.runs.values()
        for record in run.rounds
        if record.closed and member in record.closed.contributors
    )
    if logged > budget.head().rho_total_nano:
        raise Refused(
            N_("this node's ledger is older than the log"),
            why=N_("the log shows contributions that the ledger does not know"),
            do=N_("bring back the newest ledger file, or withdraw and consent anew"),
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
