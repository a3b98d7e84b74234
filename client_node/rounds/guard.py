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
    for train and holdout of one unit together; and how many members that it knows must be in a round, one of
    `known` for each company."""

    run: int
    account: int
    ceiling: int
    delta: str
    known_min: int = 0
    known: frozenset[str] = frozenset()


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
    """The permit, or Refused with the closed-list reason as `reason` in its values; its code is GUARD, or LATE where
    nothing is wrong with the run: this round of it is over.

    `witnessed` is the size of the newest checkpoint with a quorum of cosignatures, `since` the size of the log when
    this process had caught up with it, `now` an RFC 3339 time: this node's own. What the office's clock allowed
    when it opened the round must be allowed by this one too, so that no old date on an order or an opening brings
    back a consent that has ended.
    """
    ordered = state.runs.get(run)
    waiting = ordered.open_round() if ordered else None
    if ordered and any(r.open_index == open_index and r.closed for r in ordered.rounds):
        raise _no("expired", N_("this round has ended"), "LATE")
    if ordered is None or waiting is None or waiting.open_index != open_index or witnessed <= open_index:
        raise _no("log", N_("the order or the opening of this round is not in the cosigned log"))
    _check_clocks(state, waiting, now)
    if withdrawn or member not in dict(waiting.opened.members):
        raise _no("consent", _SENTENCES["consent"])
    _check_rules(state, member, ordered, waiting, now)
    order, agreement = ordered.order, state.agreements[ordered.order.agreement]
    if agreement.state != "active" or not agreement.terms.valid_from <= now < agreement.terms.valid_to:
        raise _no("agreement", N_("the agreement of this run is not active"))
    if order.expires_at <= now:
        raise _no("expired", N_("the order of this run has expired"))
    if order.bundle != bundle:
        raise _no("bundle", N_("the order wants other code than is installed here"))
    known = len(limits.known & dict(waiting.opened.members).keys() - {member})
    if known < limits.known_min:
        raise _strangers(known, limits.known_min, is_shown=agreement.terms.members_shown == "register")
    _check_plan(ordered, limits)
    check_ledger(state, member, budget)
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


def _check_clocks(state: TrustState, waiting: RoundRecord, now: str) -> None:
    """The log's newest time is not ahead of this node's clock, and the round is still in its time."""
    if state.not_before > now:  # which lags the newest time of the log by the skew of two clocks
        raise _no("log", N_("the log speaks of a time that this machine's clock has not reached"))
    opened = waiting.opened
    if moment(now) > moment(opened.issued_at) + timedelta(seconds=opened.deadline_s + MAX_SKEW_S):
        raise _no("expired", N_("the time of this round is over by this machine's clock"), "LATE")
    if opened.issued_at[:4] != now[:4]:
        raise _no("expired", N_("this round was opened in another calendar year"), "LATE")


def _check_rules(state: TrustState, member: str, ordered: RunRecord, waiting: RoundRecord, now: str) -> None:
    """The rules of the log allow this member to be asked, as the log stood and said when the round was opened and as it
    stands now, by this node's clock. The fold has charged this very round already, so a full account alone says nothing
    here: the ledger decides."""
    opened_at = waiting.opened.issued_at
    codes = [
        refusal_of(state, member, ordered, below=below, at_time=at_time)
        for below, at_time in ((waiting.open_index, opened_at), (state.size, now))
    ]
    found = sorted((code for code in codes if code), key=lambda code: code == "OVER_BUDGET")
    code = found[0] if found else ""
    if waiting.broken or code not in ("", "OVER_BUDGET"):
        reason = _REASONS.get(code, "consent") if code else "log"
        raise _no(reason, _SENTENCES.get(code, _SENTENCES[reason]))


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
    """The lowest of what was consented when the round was opened, what is now, and what the configuration says."""
    events = [state.consent(member, ordered.order.agreement, below) for below in (waiting.open_index, state.size)]
    scopes = [event.consent.scope for event in events if event and event.consent.scope]
    run_cap = min(*(scope.rho_run_max_nano for scope in scopes), limits.run)
    if ordered.order.plan.total_rho_nano() > run_cap:
        raise _no("budget", _SENTENCES["budget"])
    account = min(*(scope.rho_year_max_nano for scope in scopes), limits.account)
    return Caps(run_cap, account, limits.ceiling, waiting.opened.issued_at[:4], now)


def _check_plan(ordered: RunRecord, limits: Limits) -> None:
    plan = ordered.order.plan
    try:
        plan.check()
    except PlanError as error:
        raise _no("plan", N_("the plan of this run contradicts itself")) from error
    if Decimal(plan.delta) > Decimal(limits.delta):
        raise _no("budget", N_("the delta of this run is larger than this member allows"))


def check_ledger(state: TrustState, member: str, budget: Budget) -> None:
    """A ledger without the head that this member has signed on the log is a restored backup, a copied machine or a new
    file: it would spend twice. What the office says of it stops nobody; see `own_word`."""
    shown = state.own_ledgers.get(member)
    if shown is not None and not budget.knows(shown):
        raise other_ledger()


def _strangers(known: int, least: int, *, is_shown: bool) -> Refused:
    """The answer to a round among members that this one does not know: it stays out of that round only."""
    return Refused(
        N_("of the other members in this round this one knows {known}, and wants to know {least}"),
        why=N_("whoever brings all the others into a sum can tell the rest of it")
        if is_shown
        else N_("this agreement does not show who the others are: the chamber vouches for them"),
        do=N_("wait for a round with more of them, or change [trust] in config.toml"),
        code="GUARD",
        reason="not-started",
        known=known,
        least=least,
    )


def other_ledger() -> Refused:
    """The answer to a ledger that is not the one under which this member has spoken."""
    return Refused(
        N_("this node's ledger is not the one that the log has seen"),
        why=N_("a restored backup, a copied machine or a deleted file would spend the same budget twice"),
        do=N_("bring back the newest ledger.db and end every other copy of this node, or withdraw"),
        code="GUARD",
        reason="ledger",
    )


def _no(reason: str, what: str, code: str = "GUARD") -> Refused:
    return Refused(
        what,
        why=N_("the node checks every order against its own copy of the log"),
        do=N_("client-node status shows what was agreed"),
        code=code,
        reason=reason,
    )
