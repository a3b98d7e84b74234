"""Whose word a statement is. Each `by_...` finds what is wrong if others than these have signed: one row of the
table "kind, signers, else" in docs/reference/log-format.md; the list of fields quotes what they say here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contracts.envelope import OpenedEnvelope, digest, from_base64, key_id, load_public, public_text
from contracts.errors import Invalid
from contracts.log.checkpoint import parse_vkey
from contracts.log.quorum import quorum_of
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import Role, TrustState
from contracts.statements.statements import (
    AgreementPublished,
    AuditReport,
    Consent,
    Genesis,
    Key,
    KeyState,
    MemberStatement,
    Policy,
    Predicate,
)
from contracts.wording import N_


def verified_signers(state: TrustState, opened: OpenedEnvelope, brought: Iterable[str]) -> frozenset[str]:
    """I2, I3: every signature is by a live known key, or by one that the entry itself brings, and holds."""
    keys = {}
    for signature in opened.signatures:
        registered = state.keys.get(signature.keyid)
        if registered and registered.ended is not None:
            raise Invalid(N_("signed by key {keyid}, which has ended"), code="REVOKED_KEY", keyid=signature.keyid)
        if registered:
            keys[signature.keyid] = load_public(registered.public)
    for text in brought:
        public = load_public(text)
        keys[key_id(public)] = public
    return frozenset(opened.signers(keys))


def keys_of_genesis(genesis: Genesis) -> dict[Role, str]:
    """The keys that the first entry brings."""
    log = public_text(parse_vkey(genesis.log_vkey).public)
    return {"office": genesis.office, "agreement": genesis.agreement, "log": log}


def _unsigned(entry: Entry[Predicate], code: str = "BAD_SIGNATURE", rule: str = "I2") -> Finding:
    what = N_("a {kind} statement is not signed by those whose word it is")
    return entry.breaks(code, rule, what, kind=entry.predicate.kind)


def by_office(state: TrustState, entry: Entry[Predicate]) -> Iterator[Finding]:
    """I2: the office."""
    office = _seat(state, None, "office")
    if not office or entry.signers != office:
        yield _unsigned(entry)


def by_its_own_keys(state: TrustState, entry: Entry[Genesis]) -> Iterator[Finding]:
    """I2: all three keys that it brings."""
    if entry.signers != {key_id(load_public(text)) for text in keys_of_genesis(entry.predicate).values()}:
        yield _unsigned(entry)


def by_office_and_agreement_key(state: TrustState, entry: Entry[AgreementPublished]) -> Iterator[Finding]:
    """I2: the office and the agreement key."""
    office = _seat(state, None, "office")
    if not office or entry.signers != office | _seat(state, None, "agreement"):
        yield _unsigned(entry, "AGREEMENT_SIGNATURE")


def by_member(state: TrustState, entry: Entry[MemberStatement]) -> Iterator[Finding]:
    """I2: the node key of the member, nobody else."""
    if not _is_by_member(state, entry):
        yield _unsigned(entry)


def by_principal(state: TrustState, entry: Entry[Consent]) -> Iterator[Finding]:
    """I2: the node key of the member, nobody else; an `expire`, which says that time is over, by any one live key."""
    anyone = entry.predicate.event == "expire"
    if not (len(entry.signers) == 1 if anyone else _is_by_member(state, entry)):
        yield _unsigned(entry, "CONSENT_NOT_BY_PRINCIPAL")


def by_key_or_office(state: TrustState, entry: Entry[KeyState]) -> Iterator[Finding]:
    """I2: the key that ends, or the office."""
    if entry.signers != {entry.predicate.key}:
        yield from by_office(state, entry)


def by_auditor(state: TrustState, entry: Entry[AuditReport]) -> Iterator[Finding]:
    """I2: one live auditor key."""
    if len(entry.signers) != 1 or not entry.signers <= _live_auditors(state):
        yield _unsigned(entry)


def by_admitting(state: TrustState, entry: Entry[Key]) -> Iterator[Finding]:
    """I2, I25: the office and the new key (proof of possession). A successor also by the key that it replaces while
    that lives, else by more than half of the live auditors; that of the office by these and the new key alone."""
    if _admits(state, entry.predicate, entry.signers):
        return
    yield _unsigned(entry, "KEY_ROTATION", "I25") if entry.predicate.replaces else _unsigned(entry)


def by_both_groups(state: TrustState, entry: Entry[Policy]) -> Iterator[Finding]:
    """I29: the office, node keys of as many members as the rule in force wants, and an auditor if there is one."""
    office = _seat(state, None, "office")
    if not (office and office <= entry.signers and _is_quorum(state, entry.signers - office)):
        yield _unsigned(entry, "POLICY", "I29")


def _seat(state: TrustState, member: str | None, role: Role) -> frozenset[str]:
    found = state.live_key(member, role)
    return frozenset({found[0]}) if found else frozenset()


def _live_auditors(state: TrustState) -> frozenset[str]:
    return frozenset(k for k in state.auditors if state.keys[k].ended is None)


def _is_by_member(state: TrustState, entry: Entry[MemberStatement]) -> bool:
    return bool(entry.signers) and entry.signers == _seat(state, entry.predicate.member, "node")


def _admits(state: TrustState, said: Key, signers: frozenset[str]) -> bool:
    new = digest(from_base64(said.public))
    needed = {new} | (_seat(state, None, "office") if said.role != "office" else frozenset())
    if said.role != "office" and len(needed) < 2:
        return False
    old = state.keys.get(said.replaces) if said.replaces else None
    if old is None:
        return said.role not in ("office", "agreement") and signers == needed
    if old.ended is None:
        return signers == needed | {said.replaces}
    auditors = _live_auditors(state)
    return needed <= signers and signers - needed <= auditors and 2 * len(signers - needed) > len(auditors) > 0


def _is_quorum(state: TrustState, signers: frozenset[str]) -> bool:
    auditors = _live_auditors(state)
    members = {k for k in signers - auditors if state.keys[k].role == "node"}
    enough = len(members) >= quorum_of(state.quorum, len(state.members()))
    return enough and members | auditors >= signers and (not auditors or bool(signers & auditors))
