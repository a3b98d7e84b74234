"""What went wrong and who answered; which off-log documents may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from contracts.fields import moment, time_text
from contracts.rules.consents import FOR_EVER, kept_until
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import Matter, NamedDocument, TrustState
from contracts.statements.statements import AuditReport, Erasure, Incident
from contracts.wording import N_, is_plain

FOLLOW_UP_DAYS = 30


def check_incident(state: TrustState, entry: Entry[Incident]) -> Iterator[Finding]:
    """I28: an incident opens a matter, or follows up one that the log knows."""
    incident = entry.predicate
    known = incident.about is not None and incident.about in state.matters
    if (incident.about is not None) != known or (incident.about is None and incident.state != "open"):
        yield entry.breaks("FOLLOW_UP", "I28", N_("the incident follows up nothing that the log knows"))


def record_incident(state: TrustState, entry: Entry[Incident]) -> TrustState:
    """Answer the matter it is about, and be a matter itself while it is open."""
    incident = entry.predicate
    matters = state.matters
    if incident.about:
        matters = matters.insert(incident.about, replace(matters[incident.about], answered=True))
    matters = matters.insert(entry.digest, Matter(entry.index, incident.issued_at, incident.state != "open"))
    named = NamedDocument(entry.index, "incident", None, incident.issued_at)
    return replace(state, matters=matters, documents=state.documents.insert(incident.document, named))


def record_report(state: TrustState, entry: Entry[AuditReport]) -> TrustState:
    """An audit with findings is a matter that the office must answer."""
    report = entry.predicate
    named = NamedDocument(entry.index, "report", None, report.issued_at)
    state = replace(state, documents=state.documents.insert(report.report, named))
    if report.verdict == "clean":
        return state
    return replace(state, matters=state.matters.insert(entry.digest, Matter(entry.index, report.issued_at)))


def check_report(state: TrustState, entry: Entry[AuditReport]) -> Iterator[Finding]:
    """I26: a report is about a state that the log had before it."""
    if entry.predicate.size > entry.index:
        yield entry.breaks("AUDIT_REPORT", "I26", N_("the audit report is about entries that did not exist"))
    agreed = state.agreements.get(state.newest_agreement or "")
    if agreed and agreed.terms.edition > 1 and not all(map(is_plain, entry.predicate.codes)):
        yield entry.breaks("AUDIT_REPORT", "I26", N_("the audit report holds a code that its readers cannot see"))


def late_matters(state: TrustState, now: str) -> list[Matter]:
    """I28: what nobody has answered within FOLLOW_UP_DAYS; asked of a whole log, since no single entry breaks it."""
    latest = _days_later(now, -FOLLOW_UP_DAYS)
    return sorted((m for m in state.matters.values() if not m.answered and m.since < latest), key=lambda m: m.index)


def check_erasure(state: TrustState, entry: Entry[Erasure]) -> Iterator[Finding]:
    """I24: only off-log documents that the log names can go, each once, and not before their time."""
    erasure = entry.predicate
    for erased in erasure.documents:
        named = state.documents.get(erased.document)
        gone = (erased.document, erased.part) in state.erased
        if named is None or gone or (erased.part == "contributions" and named.kind != "list"):
            what = N_("{document} is not an off-log document that is still there")
        elif erasure.ground != "authority" and not _is_due(state, named, erased.part, erasure.issued_at):
            what = N_("{document} must still be kept")
        else:
            continue
        yield entry.breaks("ERASURE", "I24", what, document=erased.document)


def _is_due(state: TrustState, named: NamedDocument, part: str, now: str) -> bool:
    if named.kind == "register":
        return state.live_key(named.member, "node") is None
    if named.agreement is None:
        return now >= _days_later(named.named_at, 3 * 366)
    record = state.agreements[named.agreement]
    if part == "contributions":
        return now >= _days_later(named.named_at, record.terms.contributions_kept_days)
    return now >= kept_until(record)


def _days_later(time: str, days: int) -> str:
    try:
        return time_text(moment(time) + timedelta(days=days))
    except OverflowError:
        return FOR_EVER


def record_erasure(state: TrustState, entry: Entry[Erasure]) -> TrustState:
    """Remember what may be missing from now on."""
    return replace(state, erased=state.erased.update((e.document, e.part) for e in entry.predicate.documents))
