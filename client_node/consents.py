"""The member's word: build, sign and send consents; a withdrawal counts here from the moment it is given."""

from __future__ import annotations

from datetime import UTC, datetime

from client_node.budget import read_ledger
from client_node.mirror import Mirror
from client_node.settings import Settings
from client_node.uplink import Uplink
from contracts.agreement import Terms
from contracts.checkpoint import verify_proof
from contracts.envelope import seal, to_base64
from contracts.errors import Refused, TrustError
from contracts.fields import new_id, time_text
from contracts.merkle import leaf_hash
from contracts.statements import Consent, DatasetScope, Notice, Predicate, Scope, payload
from contracts.wording import N_, Language


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


def grant(settings: Settings, mirror: Mirror, terms: Terms, lang: Language, *, own_run: int, own_year: int) -> Consent:
    """A consent to the whole agreement, narrowed to the member's own limits in nano-rho."""
    last = mirror.state.consent(settings.member, terms.digest())
    limits, now = terms.privacy, datetime.now(UTC)
    scope = Scope(
        tasks=tuple(t.task for t in terms.tasks),
        datasets=tuple(DatasetScope(id=t.dataset, unit=t.unit) for t in terms.tasks),
        delta=limits.delta,
        epsilon_run_max=min(limits.epsilon_run_max, settings.epsilon_run_max, key=float),
        epsilon_year_max=min(limits.epsilon_year_max, settings.epsilon_year_max, key=float),
        rho_run_max_nano=min(limits.rho_run_max_nano, own_run),
        rho_year_max_nano=min(limits.rho_year_max_nano, own_year),
        rounds_max=terms.rounds.max_per_run,
        orders_max=terms.rounds.orders_max,
        aborted_max=terms.rounds.aborted_max,
    )
    shown = Notice(
        digest=terms.prose.zh if lang == "zh" else terms.prose.en,
        lang="zh-CN" if lang == "zh" else "en",
        level="enhanced",
    )
    return Consent(
        record_id=new_id(),
        issued_at=time_text(now),
        event="grant",
        member=settings.member,
        agreement=terms.digest(),
        scope=scope,
        seq=last.consent.seq + 1 if last else 1,
        prev=last.digest if last else None,
        effective_from=max(time_text(now), terms.valid_from),
        expires_at=terms.valid_to,
        notice=shown,
        method="signed-in-node",
        consent_kind="separate",
        seen=mirror.seen(),
        ledger=read_ledger(settings).head(),
    )


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


def send(settings: Settings, mirror: Mirror, uplink: Uplink, predicate: Predicate) -> int:
    """Log a statement of this member; its index, after the inclusion proof was verified and kept as a receipt."""
    entry = seal(payload(predicate), [settings.node_key])
    told = uplink.ask("statement", "POST", "/v1/statements", {"entry": to_base64(entry)}).json()
    index, _ = verify_proof(str(told["proof"]), leaf_hash(entry), mirror.log)
    receipts = settings.home / "receipts"
    receipts.mkdir(exist_ok=True)
    (receipts / f"{index}.tlog-proof").write_text(told["proof"], encoding="utf-8")
    return index


def withdraw(settings: Settings, mirror: Mirror, uplink: Uplink) -> bool:
    """Withdraw from every agreement. Counts on this node at once; True if the chamber has it on the log already."""
    _mark(settings).write_text(time_text(datetime.now(UTC)), encoding="ascii")
    return send_withdrawals(settings, mirror, uplink)


def send_withdrawals(settings: Settings, mirror: Mirror, uplink: Uplink) -> bool:
    """Send what `withdraw` decided; False if the coordinator cannot be reached now."""
    live = [
        agreement
        for (member, agreement), event in mirror.state.consents.items()
        if member == settings.member and not event.is_end()
    ]
    try:
        for agreement in live:
            send(settings, mirror, uplink, withdrawal(settings, mirror, agreement))
    except TrustError:
        return False
    return True


def _mark(settings: Settings):  # type: ignore[no-untyped-def]
    return settings.home / "withdrawn"


def is_withdrawn(settings: Settings) -> bool:
    """This member has withdrawn, whether or not the chamber knows."""
    return bool(_mark(settings).exists())


def forget_withdrawal(settings: Settings) -> None:
    """A new consent ends the local stop."""
    _mark(settings).unlink(missing_ok=True)
