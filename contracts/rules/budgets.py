"""What a round costs each member it asks, and whether the member's consent still holds that much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.findings import Finding
from contracts.rules.state import Account, Entry, Opening, RunRecord, TrustState, covers, is_live
from contracts.statements import RoundOpen, RunOrder
from contracts.wording import N_


def _account(member: str, order: RunOrder, year: str) -> Account:
    return member, order.dataset, str(order.plan.unit), order.plan.partition, year


def refusal_of(state: TrustState, member: str, order: RunOrder, *, below: int, at_time: str) -> str | None:
    """I14, I19, I20: the code that forbids asking `member` for one more round of `order`, or None.

    Looks at the last consent below index `below`, at its period at `at_time`, at its scope, and at what
    the calendar year of `at_time` has left, summed over all agreements on the same dataset and unit.
    """
    event = state.consent(member, order.agreement, below)
    if event is None or state.live_key(member, "node") is None:
        return "NO_CONSENT"
    if event.consent.event == "withdraw":
        return "TRAINED_AFTER_WITHDRAWAL"
    if not is_live(event, at_time):
        return "CONSENT_EXPIRED"
    if not covers(event, order):
        return "SCOPE"
    assert event.consent.scope is not None
    spent = state.charges.get(_account(member, order, at_time[:4]), 0)
    return "OVER_BUDGET" if spent + order.plan.rho_nano() > event.consent.scope.rho_year_max_nano else None


def consenting_members(state: TrustState, run: RunRecord, at_time: str) -> tuple[tuple[str, int], ...]:
    """(member, index of its consent entry) of everyone who may be asked now, sorted."""
    listed = []
    for member in (m for m in state.members() if m not in run.refused):
        event = state.consent(member, run.order.agreement)
        if event and refusal_of(state, member, run.order, below=state.size, at_time=at_time) is None:
            listed.append((member, event.index))
    return tuple(sorted(listed))


_SENTENCES = {
    "NO_CONSENT": N_("round {round} asks {member}, who has not consented"),
    "TRAINED_AFTER_WITHDRAWAL": N_("round {round} asks {member}, who has withdrawn"),
    "CONSENT_EXPIRED": N_("round {round} asks {member}, whose consent has expired"),
    "PARTICIPANT": N_("round {round} asks {member}, whose node has refused this run"),
    "SCOPE": N_("round {round} asks {member} for more than the consent allows"),
    "OVER_BUDGET": N_("round {round} would spend more than the yearly budget of {member}"),
}


def check_asked(state: TrustState, entry: Entry, run: RunRecord) -> Iterator[Finding]:
    """I14, I20: everyone asked has a live consent, named by its entry, with budget left."""
    opened = entry.predicate
    assert isinstance(opened, RoundOpen)
    for member, consent_index in opened.members:
        event = state.consent(member, run.order.agreement)
        code = refusal_of(state, member, run.order, below=entry.index, at_time=opened.issued_at)
        if code is None and member in run.refused:
            code = "PARTICIPANT"
        if code is None and event and event.index != consent_index:
            code = "NO_CONSENT"
        if code:
            yield Finding(
                code,
                entry.index,
                "I20" if code == "OVER_BUDGET" else "I14",
                _SENTENCES[code],
                {"round": opened.round, "member": member},
            )


def charge(state: TrustState, opened: RoundOpen, order: RunOrder) -> TrustState:
    """I19: every member listed in a round-open is charged for it, whatever comes of the round."""
    charges, cost = state.charges, order.plan.rho_nano()
    for member, _ in opened.members:
        account = _account(member, order, opened.issued_at[:4])
        charges = charges.insert(account, charges.get(account, 0) + cost)
    return replace(state, charges=charges)


def give_back(state: TrustState, member: str, opened: Opening, order: RunOrder) -> TrustState:
    """I19: a member that says it did not start a round is not charged for it."""
    account = _account(member, order, opened.issued_at[:4])
    left = state.charges[account] - order.plan.rho_nano()
    return replace(state, charges=state.charges.insert(account, left))
