"""Agreements and consents: what was offered, and what each member said to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.errors import Invalid
from contracts.rules.budgets import check_ledger, note_ledger
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding, from_error
from contracts.rules.groups import rule_of
from contracts.rules.state import AgreementRecord, ConsentEvent, NamedDocument, TrustState
from contracts.statements.statements import AgreementPublished, AgreementState, Consent, Scope, Seen
from contracts.terms.agreement import Terms
from contracts.terms.check import faults
from contracts.terms.prose import check_prose
from contracts.wording import N_

FOR_EVER = "~"  # sorts after every time
_NEXT_STATES = {
    "active": {"suspended", "revoked", "expired"},
    "suspended": {"active", "revoked", "expired"},
    "superseded": {"closed"},
    "revoked": {"closed"},
    "expired": {"closed"},
    "closed": set(),
}


def check_agreement(state: TrustState, entry: Entry[AgreementPublished]) -> Iterator[Finding]:
    """I9, I10, I32: the prose follows from the fields, the period is one, the chain of versions is unbroken, and groups
    that an earlier version formed are not opened by this one."""
    terms = entry.predicate.terms
    try:
        check_prose(terms)
    except Invalid as error:
        yield from_error(error, entry.index, "I9")
    for what, values in faults(terms):
        yield entry.breaks("AGREEMENT_TERMS", "I9", what, **values)
    newest = state.newest_agreement
    expected = (newest, state.agreements[newest].terms.version + 1) if newest else (None, 1)
    if (terms.supersedes, terms.version) != expected or terms.digest() in state.agreements:
        what = N_("version {version} of the agreement does not follow the version before it")
        yield entry.breaks("AGREEMENT_CHAIN", "I10", what, version=terms.version)
    if terms.totals is None and any(rule_of(state, earlier) for earlier in state.agreements):
        what = N_("version {version} of the agreement opens the totals of members that an earlier one groups")
        yield entry.breaks("AGREEMENT_TERMS", "I32", what, version=terms.version)


def check_agreement_state(state: TrustState, entry: Entry[AgreementState]) -> Iterator[Finding]:
    """I10: an agreement moves only along its states; it expires and closes only when time says so."""
    change = entry.predicate
    record = state.agreements.get(change.agreement)
    if (
        record is None
        or record.state != change.prev_state
        or change.state not in _NEXT_STATES[record.state]
        or (change.state == "expired" and change.issued_at < record.terms.valid_to)
        or (change.state == "closed" and change.issued_at < kept_until(record))
    ):
        what = N_("agreement {agreement} cannot become {state}")
        yield entry.breaks("AGREEMENT_STATE", "I10", what, agreement=change.agreement, state=change.state)


def kept_until(record: AgreementRecord) -> str:
    """Until when the records of an agreement must be kept: its years after it ended, or after its last day."""
    ended = record.ended_at or record.terms.valid_to
    year = int(ended[:4]) + record.terms.records_kept_years
    return f"{year}{ended[4:]}" if year <= 9999 else FOR_EVER


def publish(state: TrustState, entry: Entry[AgreementPublished]) -> TrustState:
    """Make an agreement active; the one it supersedes is active no more."""
    statement = entry.predicate
    agreements, old = state.agreements, statement.terms.supersedes
    if old and agreements[old].state in ("active", "suspended"):
        ended = replace(agreements[old], state="superseded", ended_at=statement.issued_at)
        agreements = agreements.insert(old, ended)
    name = statement.terms.digest()
    agreements = agreements.insert(name, AgreementRecord(statement.terms, entry.index))
    return replace(state, agreements=agreements, newest_agreement=name)


def change_state(state: TrustState, entry: Entry[AgreementState]) -> TrustState:
    """Move an agreement to its new state."""
    change = entry.predicate
    record = state.agreements[change.agreement]
    ended = change.issued_at if change.state in ("revoked", "expired") else record.ended_at
    changed = replace(record, state=change.state, ended_at=ended)
    return replace(state, agreements=state.agreements.insert(change.agreement, changed))


def seen_by(consent: Consent) -> Seen | None:
    """The state of the log that its author claims to have seen; a withdrawal is never refused for what it claims."""
    return consent.seen if consent.event != "withdraw" else None


def check_consent(state: TrustState, entry: Entry[Consent]) -> Iterator[Finding]:
    """I7, I11, I12: it takes effect when it is given or later, continues the member's chain,
    and stays within the agreement.

    A withdrawal passes whatever else is wrong: protecting data fails open.
    """
    consent = entry.predicate
    if consent.scope and consent.effective_from < max(consent.issued_at, state.not_before):
        what = N_("the consent of {member} would take effect at {at}, before it was given")
        yield entry.breaks("BACKDATED_CONSENT", "I7", what, member=consent.member, at=consent.effective_from)
        return
    if consent.event == "withdraw":
        return
    last = state.consent(consent.member, consent.agreement)
    expected = (last.consent.seq + 1, last.digest) if last else (1, None)
    if (consent.seq, consent.prev) != expected or not _follows(consent, last):
        what = N_("consent {seq} ({event}) of {member} does not follow the one before it")
        yield entry.breaks("CONSENT_CHAIN", "I11", what, seq=consent.seq, event=consent.event, member=consent.member)
    if consent.event == "expire":
        return
    yield from check_ledger(state, entry, consent.member, consent.ledger, consent.agreement)
    yield from _check_scope(state, entry, last)


def _check_scope(state: TrustState, entry: Entry[Consent], last: ConsentEvent | None) -> Iterator[Finding]:
    """I9, I12: what is consented is on offer, and no wider than it; an amend or renew no
    wider than the `last` either."""
    consent = entry.predicate
    record = state.agreements.get(consent.agreement)
    if record is None or record.state != "active":
        what = N_("agreement {agreement} is not active")
        yield entry.breaks("AGREEMENT_INACTIVE", "I9", what, agreement=consent.agreement)
    elif not _is_within(consent, record.terms):
        what = N_("the consent of {member} is wider than the agreement")
        yield entry.breaks("SCOPE", "I12", what, member=consent.member)
    elif last and not last.is_end() and consent.event in ("amend", "renew"):
        yield from _check_narrowing(entry, last.consent)


def _follows(consent: Consent, last: ConsentEvent | None) -> bool:
    """A grant may follow anything; amend and renew follow a live consent, an expire one whose time is over."""
    if consent.event == "grant":
        return True
    if last is None or last.is_end():
        return False
    over = last.consent.expires_at is not None and last.consent.expires_at <= consent.issued_at
    return over == (consent.event == "expire")


def _check_narrowing(entry: Entry[Consent], last: Consent) -> Iterator[Finding]:
    """I11, I12: an amend only narrows, a renew opens the new year and never shortens;
    anything wider needs a new grant."""
    consent = entry.predicate
    assert consent.scope and last.scope and consent.expires_at and last.expires_at
    if consent.event == "renew":
        if consent.scope != last.scope:
            code = "SCOPE"
        elif (consent.issued_at[:4], consent.expires_at) <= (last.issued_at[:4], last.expires_at):
            code = "CONSENT_CHAIN"
        else:
            return
    elif consent.expires_at > last.expires_at:
        code = "CONSENT_EXPIRED"
    elif not is_narrower(consent.scope, last.scope):
        code = "SCOPE"
    else:
        return
    rule = "I12" if code == "SCOPE" else "I11"
    what = N_("the {event} of {member} allows more than the consent before it: that needs a new grant")
    yield entry.breaks(code, rule, what, event=consent.event, member=consent.member)


def is_narrower(scope: Scope, than: Scope) -> bool:
    """True if a scope allows nothing that `than` does not."""
    return (
        set(scope.tasks) <= set(than.tasks)
        and {(d.id, d.unit) for d in scope.datasets} <= {(d.id, d.unit) for d in than.datasets}
        and scope.delta == than.delta
        and scope.rho_run_max_nano <= than.rho_run_max_nano
        and scope.rho_year_max_nano <= than.rho_year_max_nano
        and scope.rounds_max <= than.rounds_max
        and scope.orders_max <= than.orders_max
        and scope.aborted_max <= than.aborted_max
    )


def _is_within(consent: Consent, terms: Terms) -> bool:
    if consent.scope is None or consent.expires_at is None or consent.notice is None:
        return False
    if consent.notice.digest not in (terms.prose.zh, terms.prose.en):
        return False
    period = terms.valid_from <= consent.effective_from < consent.expires_at <= terms.valid_to
    return period and _scope_is_within(consent.scope, terms)


def _scope_is_within(scope: Scope, terms: Terms) -> bool:
    offered = {(t.dataset, t.unit) for t in terms.tasks if t.task in scope.tasks}
    limits = terms.privacy
    return (
        bool(scope.tasks)
        and set(scope.tasks) <= {t.task for t in terms.tasks}
        and {(d.id, d.unit) for d in scope.datasets} <= offered
        and scope.delta == limits.delta
        and scope.rho_run_max_nano <= limits.rho_run_max_nano
        and scope.rho_year_max_nano <= limits.rho_year_max_nano
        and scope.rounds_max <= terms.rounds.max_per_run
        and scope.orders_max <= terms.rounds.orders_max
        and scope.aborted_max <= terms.rounds.aborted_max
    )


def record_consent(state: TrustState, entry: Entry[Consent]) -> TrustState:
    """Add an event to the member's chain."""
    consent = entry.predicate
    account = (consent.member, consent.agreement)
    events = (*state.consents.get(account, ()), ConsentEvent(entry.index, entry.digest, consent))
    state = replace(state, consents=state.consents.insert(account, events))
    if consent.event != "expire":  # anyone may state an expiry, so it says nothing about the member's book
        state = note_ledger(state, consent.member, consent.ledger)
    if consent.given_by.delegation is None:
        return state
    named = NamedDocument(entry.index, "delegation", consent.agreement, consent.issued_at)
    return replace(state, documents=state.documents.insert(consent.given_by.delegation, named))
