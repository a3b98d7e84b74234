"""The member's word: build, sign and send consents; a withdrawal counts here from the moment it is given."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from httpx import Response

from client_node.ledger.ledger import read_ledger
from client_node.link.mirror import Mirror, read_documents
from client_node.link.uplink import Uplink, answered
from client_node.settings import Settings
from contracts.envelope import canonical, digest, seal, to_base64
from contracts.errors import Refused, TrustError, Unavailable
from contracts.fields import new_id, time_text
from contracts.log.checkpoint import verify_proof
from contracts.log.merkle import leaf_hash
from contracts.rules.consents import is_narrower
from contracts.rules.state import is_live
from contracts.statements.closed_list import payload
from contracts.statements.statements import Comparison, Consent, DatasetScope, GivenBy, Notice, Predicate, Scope
from contracts.terms.agreement import Terms
from contracts.wording import N_, Language, some_of


def active_terms(mirror: Mirror) -> Terms:
    """Terms of the newest active agreement; Refused if there is none."""
    active = mirror.state.active_agreement()
    if active is None:
        raise Refused(
            N_("the chamber has published no agreement"),
            do=N_("wait for it, then: client-node consent sign"),
            code="AGREEMENT_INACTIVE",
        )
    return mirror.state.agreements[active].terms


def grant(settings: Settings, mirror: Mirror, terms: Terms, lang: Language, *, given_by: GivenBy) -> Consent:
    """A consent to the whole agreement, narrowed to the member's own limits, and in nano-rho
    to what its epsilon says."""
    from privacy.accounting import rho_cap

    limits = terms.privacy
    run = min(limits.epsilon_run_max, settings.epsilon_run_max, key=float)
    year = min(limits.epsilon_year_max, settings.epsilon_year_max, key=float)
    scope = Scope(
        tasks=tuple(t.task for t in terms.tasks),
        datasets=tuple(DatasetScope(id=t.dataset, unit=t.unit) for t in terms.tasks),
        delta=limits.delta,
        epsilon_run_max=run,
        epsilon_year_max=year,
        rho_run_max_nano=min(limits.rho_run_max_nano, rho_cap(run, limits.delta)),
        rho_year_max_nano=min(limits.rho_year_max_nano, rho_cap(year, limits.delta)),
        rounds_max=terms.rounds.max_per_run,
        orders_max=terms.rounds.orders_max,
        aborted_max=terms.rounds.aborted_max,
    )
    return _consent(settings, mirror, lang, "grant", scope, until=terms.valid_to, given_by=given_by)


def narrowed(
    settings: Settings,
    mirror: Mirror,
    lang: Language,
    *,
    given_by: GivenBy,
    tasks: tuple[str, ...] = (),
    epsilon_run: str = "",
    epsilon_year: str = "",
    rounds: int = 0,
    until: str = "",
) -> Consent:
    """The member's consent with less in it; what is not named stays. Refused if it would allow more, or nothing."""
    from privacy.accounting import rho_cap

    last, terms = _live(settings, mirror), active_terms(mirror)
    assert last.scope and last.expires_at
    kept = tasks or last.scope.tasks
    for task in tasks:
        if task not in last.scope.tasks:
            raise Refused(
                N_("the present consent does not allow task {task}"),
                why=N_("it allows: {known}"),
                do=N_("name one of these; for more: client-node consent sign"),
                code="SCOPE",
                task=task,
                known=some_of(last.scope.tasks),
            )
    tables = {t.dataset for t in terms.tasks if t.task in kept}
    change: dict[str, object] = {
        "tasks": tuple(kept),
        "datasets": tuple(d for d in last.scope.datasets if d.id in tables),
        "rounds_max": rounds or last.scope.rounds_max,
    }
    for span, epsilon in (("run", epsilon_run), ("year", epsilon_year)):
        if epsilon:
            change |= {f"epsilon_{span}_max": epsilon, f"rho_{span}_max_nano": rho_cap(epsilon, last.scope.delta)}
    scope = last.scope.model_copy(update=change)
    if not is_narrower(scope, last.scope) or (until or last.expires_at) > last.expires_at:
        raise Refused(
            N_("this would allow more than the present consent"),
            why=N_("an amendment only narrows"),
            do=N_("for more: client-node consent sign"),
            code="SCOPE",
        )
    return _consent(settings, mirror, lang, "amend", scope, until=until or last.expires_at, given_by=given_by)


def renewed(settings: Settings, mirror: Mirror, lang: Language, *, given_by: GivenBy, until: str) -> Consent:
    """The member's consent for longer, all else as it was."""
    last = _live(settings, mirror)
    return _consent(settings, mirror, lang, "renew", last.scope, until=until, given_by=given_by)


def without_consent(settings: Settings, mirror: Mirror, terms: Terms) -> tuple[str, dict[str, object]]:
    """Why this member has no live consent to the active terms: a sentence and its values."""
    old = mirror.state.replaced_consent(settings.member, terms.digest())
    if old is not None:
        sentence = N_("it consented to version {old}, which version {version} has replaced")
        return sentence, {"old": old, "version": terms.version}
    event = mirror.state.consent(settings.member, terms.digest())
    if event is None:
        return N_("it has not consented yet"), {}
    if event.is_end() or is_withdrawn(settings):
        return N_("it has withdrawn"), {}
    return N_("its consent ended on {until}"), {"until": event.consent.expires_at}


def _live(settings: Settings, mirror: Mirror) -> Consent:
    """The consent in force to the active agreement; Refused if there is none."""
    terms = active_terms(mirror)
    event = mirror.state.consent(settings.member, terms.digest())
    if not is_live(event, time_text(datetime.now(UTC))):
        why, values = without_consent(settings, mirror, terms)
        raise Refused(
            N_("this member has no consent to the active agreement"),
            why=why,
            do=N_("read it and consent: client-node consent sign"),
            code="NO_CONSENT",
            **values,
        )
    assert event is not None
    return event.consent


def _consent(
    settings: Settings,
    mirror: Mirror,
    lang: Language,
    event: Literal["grant", "amend", "renew"],
    scope: Scope | None,
    *,
    until: str,
    given_by: GivenBy,
) -> Consent:
    """An event on the active agreement that takes effect now, with the digest of the text that was shown."""
    terms, now = active_terms(mirror), time_text(datetime.now(UTC))
    last = mirror.state.consent(settings.member, terms.digest())
    return Consent(
        record_id=new_id(),
        issued_at=now,
        event=event,
        member=settings.member,
        agreement=terms.digest(),
        scope=scope,
        seq=last.consent.seq + 1 if last else 1,
        prev=last.digest if last else None,
        effective_from=max(now, terms.valid_from),
        expires_at=until,
        notice=Notice(
            digest=terms.prose.zh if lang == "zh" else terms.prose.en,
            lang="zh-CN" if lang == "zh" else "en",
            level="enhanced",
        ),
        method="signed-in-node",
        consent_kind="separate",
        given_by=given_by,
        seen=mirror.seen(),
        ledger=read_ledger(settings).head(),
    )


def spoken_for(settings: Settings, delegation: Path | None) -> GivenBy:
    """Who signs: the legal representative, or a delegate by a document that is kept here and named by salted digest."""
    if delegation is None:
        return GivenBy(role="legal-representative", delegation=None)
    try:
        held = {"document": to_base64(delegation.read_bytes()), "salt": secrets.token_hex(16)}
    except OSError as error:
        raise Unavailable(
            N_("there is no file {path}"), do=N_("name the delegation document"), path=delegation
        ) from error
    kept = canonical(held)
    (read_documents(settings.home) / digest(kept).removeprefix("sha256:")).write_bytes(kept)
    return GivenBy(role="delegate", delegation=digest(kept))


def withdrawal(settings: Settings, mirror: Mirror, agreement: str) -> Consent:
    """A withdrawal from one agreement."""
    last, now = mirror.state.consent(settings.member, agreement), time_text(datetime.now(UTC))
    return Consent(
        record_id=new_id(),
        issued_at=now,
        event="withdraw",
        member=settings.member,
        agreement=agreement,
        scope=None,
        seq=last.consent.seq + 1 if last else 1,
        prev=last.digest if last else None,
        effective_from=now,
        expires_at=None,
        notice=None,
        method="signed-in-node",
        consent_kind="separate",
        seen=mirror.seen(),
        ledger=read_ledger(settings).head(),
    )


def send(
    settings: Settings, mirror: Mirror, uplink: Uplink, predicate: Predicate, key: Ed25519PrivateKey | None = None
) -> int:
    """Log a statement of this member; its index, after the inclusion proof was verified
    (`client-node receipts` keeps one)."""
    entry = seal(payload(predicate), [key or settings.node_key])
    answer = uplink.ask("statement", "POST", "/v1/statements", {"entry": to_base64(entry)})
    return _index(mirror, entry, answer)


def declare(settings: Settings, mirror: Mirror, uplink: Uplink, word: Comparison) -> int:
    """Log what a person decided to give away, by a kind of message of its own; its index, as `send`."""
    entry = seal(payload(word), [settings.node_key])
    answer = uplink.ask("declaration", "POST", "/v1/statements", {"entry": to_base64(entry)})
    return _index(mirror, entry, answer)


def _index(mirror: Mirror, entry: bytes, answer: Response) -> int:
    return verify_proof(str(answered(answer, "proof")), leaf_hash(entry), mirror.log)[0]


def withdraw(settings: Settings, mirror: Mirror, uplink: Uplink) -> bool:
    """Withdraw from every agreement. Counts on this node at once; True if the chamber has it on the log already."""
    _mark(settings).write_text(time_text(datetime.now(UTC)), encoding="ascii")
    return send_withdrawals(settings, mirror, uplink)


def send_withdrawals(settings: Settings, mirror: Mirror, uplink: Uplink) -> bool:
    """Send what `withdraw` decided; False if the coordinator cannot be reached now."""
    live = [
        agreement
        for (member, agreement), events in mirror.state.consents.items()
        if member == settings.member and not events[-1].is_end()
    ]
    try:
        for agreement in live:
            send(settings, mirror, uplink, withdrawal(settings, mirror, agreement))
    except TrustError:
        return False
    return True


def _mark(settings: Settings) -> Path:
    return settings.home / "withdrawn"


def is_withdrawn(settings: Settings) -> bool:
    """This member has withdrawn, whether or not the chamber knows."""
    return _mark(settings).exists()


def forget_withdrawal(settings: Settings) -> None:
    """A new consent ends the local stop."""
    _mark(settings).unlink(missing_ok=True)
