"""Agreements and consents: what was offered, and what each member said to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.agreement import Terms, check_prose
from contracts.errors import Invalid
from contracts.fields import moment
from contracts.rules.findings import Finding, from_error
from contracts.rules.state import AgreementRecord, ConsentEvent, Entry, TrustState
from contracts.statements import AgreementPublished, AgreementState, Consent, Scope
from contracts.wording import N_

MIN_MEMBERS = 3
_NEXT_STATES = {
    "active": {"suspended", "revoked", "closed"},
    "suspended": {"active", "revoked", "closed"},
    "superseded": {"closed"},
    "revoked": {"closed"},
    "closed": set(),
}


def check_agreement(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I9, I10: the prose follows from the fields, the period is one, the chain of versions is unbroken."""
    statement = entry.predicate
    assert isinstance(statement, AgreementPublished)
    terms = statement.terms
    try:
        check_prose(terms)
    except Invalid as error:
        yield from_error(error, entry.index, "I9")
    if moment(terms.valid_from) >= moment(terms.valid_to) or terms.min_members < MIN_MEMBERS or not terms.tasks:
        yield Finding(
            "AGREEMENT_TERMS",
            entry.index,
            "I9",
            N_("an agreement needs a period, a task and at least {n} members a round"),
            {"n": MIN_MEMBERS},
        )
    newest = next(reversed(tuple(state.agreements.items())), None)
    expected = (newest[0], newest[1].terms.version + 1) if newest else (None, 1)
    if (terms.supersedes, terms.version) != expected or terms.digest() in state.agreements:
        yield Finding(
            "AGREEMENT_CHAIN",
            entry.index,
            "I10",
            N_("version {version} of the agreement does not follow the version before it"),
            {"version": terms.version},
        )


def check_agreement_state(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I10: an agreement moves only along its states."""
    change = entry.predicate
    assert isinstance(change, AgreementState)
    record = state.agreements.get(change.agreement)
    if record is None or change.state not in _NEXT_STATES[record.state]:
        yield Finding(
            "AGREEMENT_STATE",
            entry.index,
            "I10",
            N_("agreement {agreement} cannot become {state}"),
            {"agreement": change.agreement, "state": change.state},
        )


def publish(state: TrustState, entry: Entry) -> TrustState:
    """Make an agreement active; the one it supersedes is active no more."""
    statement = entry.predicate
    assert isinstance(statement, AgreementPublished)
    agreements = dict(state.agreements)
    old = statement.terms.supersedes
    if old:
        agreements[old] = replace(agreements[old], state="superseded")
    agreements[statement.terms.digest()] = AgreementRecord(statement.terms, entry.index)
    return replace(state, agreements=agreements)


def change_state(state: TrustState, entry: Entry) -> TrustState:
    """Move an agreement to its new state."""
    change = entry.predicate
    assert isinstance(change, AgreementState)
    changed = replace(state.agreements[change.agreement], state=change.state)
    return replace(state, agreements={**state.agreements, change.agreement: changed})


def check_consent(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I11, I12: the member's chain is unbroken and the scope is within the agreement.

    A withdrawal passes whatever else is wrong: protecting data fails open.
    """
    consent = entry.predicate
    assert isinstance(consent, Consent)
    if consent.event == "withdraw":
        return
    last = state.consent(consent.member, consent.agreement)
    expected = (last.consent.seq + 1, last.digest) if last else (1, None)
    was_live = last is not None and last.consent.event != "withdraw"
    if (consent.seq, consent.prev) != expected or (consent.event == "amend") != was_live:
        yield Finding(
            "CONSENT_CHAIN",
            entry.index,
            "I11",
            N_("consent {seq} ({event}) of {member} does not follow the one before it"),
            {"seq": consent.seq, "event": consent.event, "member": consent.member},
        )
    record = state.agreements.get(consent.agreement)
    if record is None or record.state != "active":
        yield Finding(
            "AGREEMENT_INACTIVE",
            entry.index,
            "I9",
            N_("agreement {agreement} is not active"),
            {"agreement": consent.agreement},
        )
    elif not _is_within(consent, record.terms):
        yield Finding(
            "SCOPE",
            entry.index,
            "I12",
            N_("the consent of {member} is wider than the agreement"),
            {"member": consent.member},
        )


def _is_within(consent: Consent, terms: Terms) -> bool:
    if consent.scope is None or consent.expires_at is None or consent.notice is None:
        return False
    if consent.notice.digest not in (terms.prose.zh, terms.prose.en):
        return False
    period = (
        moment(terms.valid_from)
        <= moment(consent.effective_from)
        < moment(consent.expires_at)
        <= moment(terms.valid_to)
    )
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
    )


def record_consent(state: TrustState, entry: Entry) -> TrustState:
    """Add an event to the member's chain."""
    consent = entry.predicate
    assert isinstance(consent, Consent)
    account = (consent.member, consent.agreement)
    event = ConsentEvent(entry.index, entry.digest, consent)
    return replace(state, consents={**state.consents, account: (*state.consents.get(account, ()), event)})
