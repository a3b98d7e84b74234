"""What a round costs each member it asks, and whether the member's consent still holds that much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.persistent import Map
from contracts.rules.state import Account, Asked, Opening, RunRecord, TrustState, covers, is_live
from contracts.statements.statements import LedgerHead, Predicate, RoundOpen, RunOrder, Scope
from contracts.wording import N_
from privacy.spend import Unit, charged_to


def _charges(member: str, order: RunOrder, year: str) -> Iterator[tuple[Account, int]]:
    """I19: every account that one round of an order is charged to, and what: its unit once,
    each finer one four times."""
    for unit, factor in charged_to(order.plan.unit).items():
        yield (member, order.dataset, str(unit), order.plan.partition, year), factor * order.plan.rho_nano()


def refusal_of(state: TrustState, member: str, run: RunRecord, *, below: int, at_time: str) -> str | None:
    """I14, I19, I20: the code that forbids asking `member` for one more round of `run`, or None.

    Looks at the last consent below index `below`, at its period at `at_time`, at its scope, and at what
    the calendar year of `at_time` has left, summed over all agreements on the same dataset and unit. A year's
    budget begins with a consent that the member signed in that year, not with the calendar. A finer unit has the cap
    of the member's widest consent that names it, and none where none does. A node whose newest check of the ordered
    code failed releases nothing through that code.
    """
    order = run.order
    event = state.consent(member, order.agreement, below)
    if event is None or state.live_key(member, "node") is None:
        return "NO_CONSENT"
    if event.consent.event == "withdraw":
        return "TRAINED_AFTER_WITHDRAWAL"
    if not is_live(event, at_time):
        return "CONSENT_EXPIRED"
    if not covers(event, order):
        return "SCOPE"
    if event.consent.issued_at[:4] < at_time[:4]:
        return "NOT_RENEWED"
    checked = state.privacy_checks.get(member)
    if checked and checked[1].faults and checked[1].bundle == order.bundle:
        return "PRIVACY_CHECK"
    assert event.consent.scope is not None
    if _asked_too_often(state, member, run, event.consent.scope, at_time[:4]):
        return "ASKED_TOO_OFTEN"
    plan = order.plan
    left = left_of_year(
        state,
        member,
        event.consent.scope,
        dataset=order.dataset,
        unit=plan.unit,
        partition=plan.partition,
        year=at_time[:4],
        below=below,
    )
    return "OVER_BUDGET" if left < plan.rho_nano() else None


def left_of_year(
    state: TrustState,
    member: str,
    scope: Scope,
    *,
    dataset: str,
    unit: Unit | str,
    partition: str,
    year: str,
    below: int,
) -> int:
    """I19: nano-rho that a member's year has left for releases by `unit`: of that account by the `scope` of its
    consent, and a quarter of what each finer account has left by the widest consent below index `below`."""
    left = []
    for one, factor in charged_to(unit).items():
        cap = scope.rho_year_max_nano if one == unit else consented_most(state, member, dataset, one, below=below)
        if cap is not None:
            left.append((cap - state.spent(member, dataset, one, partition, year)) // factor)
    return min(left)


def consented_most(state: TrustState, member: str, dataset: str, unit: str, *, below: int) -> int | None:
    """Nano-rho a year of the widest consent below index `below` that names a dataset by a unit; None if none does."""
    scopes = [event.consent.scope for event in state.consent_events(member) if event.index < below]
    named = (s for s in scopes if s and any((d.id, d.unit) == (dataset, unit) for d in s.datasets))
    return max((s.rho_year_max_nano for s in named), default=None)


def _asked_too_often(state: TrustState, member: str, run: RunRecord, scope: Scope, year: str) -> bool:
    """I20: a new run beyond the consented number, or too many rounds that cost budget and gave nothing. An evaluation
    belongs to its run."""
    asked = state.asked.get((member, run.order.dataset, year), Asked())
    return asked.aborted >= scope.aborted_max or (
        run.order.evaluates is None and member not in run.asked and asked.orders >= scope.orders_max
    )


def consenting_members(state: TrustState, run: RunRecord, at_time: str) -> tuple[tuple[str, int], ...]:
    """(member, index of its consent entry) of everyone who may be asked now, sorted."""
    listed = []
    for member in (m for m in state.members() if m not in run.refused):
        event = state.consent(member, run.order.agreement)
        if event and refusal_of(state, member, run, below=state.size, at_time=at_time) is None:
            listed.append((member, event.index))
    return tuple(sorted(listed))


_OF_BUDGET = ("OVER_BUDGET", "ASKED_TOO_OFTEN", "NOT_RENEWED")
_SENTENCES = {
    "NO_CONSENT": N_("round {round} asks {member}, who has not consented"),
    "TRAINED_AFTER_WITHDRAWAL": N_("round {round} asks {member}, who has withdrawn"),
    "CONSENT_EXPIRED": N_("round {round} asks {member}, whose consent has expired"),
    "PARTICIPANT": N_("round {round} asks {member}, whose node has refused this run"),
    "SCOPE": N_("round {round} asks {member} for more than the consent allows"),
    "NOT_RENEWED": N_("round {round} asks {member}, who has not signed for a budget in this year"),
    "ASKED_TOO_OFTEN": N_("round {round} asks {member} more often than the consent allows"),
    "PRIVACY_CHECK": N_("round {round} asks {member}, whose node failed its own privacy check of this code"),
    "OVER_BUDGET": N_("round {round} would spend more than the yearly budget of {member}"),
}


def check_asked(state: TrustState, entry: Entry[RoundOpen], run: RunRecord) -> Iterator[Finding]:
    """I14, I20: everyone asked has a live consent, named by its entry, with budget left."""
    opened = entry.predicate
    for member, consent_index in opened.members:
        event = state.consent(member, run.order.agreement)
        code = refusal_of(state, member, run, below=entry.index, at_time=opened.issued_at)
        if code is None and member in run.refused:
            code = "PARTICIPANT"
        if code is None and event and event.index != consent_index:
            code = "NO_CONSENT"
        if code:
            rule = "I20" if code in _OF_BUDGET else "I14"
            yield entry.breaks(code, rule, _SENTENCES[code], round=opened.round, member=member)


def charge(state: TrustState, opened: RoundOpen, run: RunRecord) -> TrustState:
    """I19: every member listed in a round-open is charged for it, by its unit and each finer
    one, whatever comes of it."""
    charges, asked, year = state.charges, state.asked, opened.issued_at[:4]
    for member in dict(opened.members):
        for account, cost in _charges(member, run.order, year):
            charges = charges.insert(account, charges.get(account, 0) + cost)
        if member not in run.asked and run.order.evaluates is None:
            key = member, run.order.dataset, year
            before = asked.get(key, Asked())
            asked = asked.insert(key, replace(before, orders=before.orders + 1))
    return replace(state, charges=charges, asked=asked)


def count_aborted(state: TrustState, opened: Opening, order: RunOrder) -> TrustState:
    """I20: a round that ended without a sum, for every member it had asked."""
    asked = state.asked
    for member in dict(opened.members):
        key = member, order.dataset, opened.issued_at[:4]
        before = asked.get(key, Asked())
        asked = asked.insert(key, replace(before, aborted=before.aborted + 1))
    return replace(state, asked=asked)


def give_back(state: TrustState, member: str, opened: Opening, order: RunOrder) -> TrustState:
    """I19: a member that says it did not start a round is not charged for it."""
    charges = state.charges
    for account, cost in _charges(member, order, opened.issued_at[:4]):
        charges = charges.insert(account, charges[account] - cost)
    return replace(state, charges=charges)


def check_ledger(
    state: TrustState, entry: Entry[Predicate], member: str, ledger: LedgerHead, agreement: str
) -> Iterator[Finding]:
    """I19, I34: a member's own budget book only grows; one that shrinks was restored from a backup, copied or deleted.
    Since edition 2 of its agreement nothing but the member's own signature shows where its book stood."""
    record = state.agreements.get(agreement)
    known = (state.own_ledgers if record and record.terms.edition >= 2 else state.ledgers).get(member)
    if known and ledger.rho_total_nano < known.rho_total_nano:
        what = N_("the ledger of {member} shows less than it has shown before")
        yield entry.breaks("BUDGET_RESET", "I19", what, member=member)


def note_ledger(state: TrustState, member: str, ledger: LedgerHead) -> TrustState:
    """Remember where a member says that its book stands; never a lower total than before."""
    return replace(note_repeated(state, member, ledger), own_ledgers=_grown(state.own_ledgers, member, ledger))


def note_repeated(state: TrustState, member: str, ledger: LedgerHead) -> TrustState:
    """Remember what the office says about a member's book, under an agreement that takes its word for it."""
    return replace(state, ledgers=_grown(state.ledgers, member, ledger))


def _grown(ledgers: Map[str, LedgerHead], member: str, ledger: LedgerHead) -> Map[str, LedgerHead]:
    known = ledgers.get(member)
    if known and ledger.rho_total_nano < known.rho_total_nano:
        return ledgers
    return ledgers.insert(member, ledger)
