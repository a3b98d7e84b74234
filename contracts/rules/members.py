"""Who may say what: genesis, admission and succession of keys, signatures and roles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.envelope import Opened, digest, from_base64, key_id, load_public, public_text
from contracts.errors import Invalid
from contracts.log.checkpoint import parse_vkey
from contracts.log.quorum import quorum_of
from contracts.rules.budgets import note_ledger
from contracts.rules.findings import Finding
from contracts.rules.state import Document, Entry, Matter, RegisteredKey, Role, TrustState
from contracts.statements.statements import (
    AgreementPublished,
    AuditReport,
    Comparison,
    Consent,
    Genesis,
    Key,
    KeyState,
    Policy,
    Predicate,
    PrivacyCheck,
    Refusal,
    Seen,
)
from contracts.wording import N_


def verified_signers(state: TrustState, opened: Opened, predicate: Predicate) -> frozenset[str]:
    """I2, I3: every signature is by a live known key (or the key that the entry itself brings) and holds."""
    keys = {}
    for signature in opened.signatures:
        registered = state.keys.get(signature.keyid)
        if registered and registered.ended is not None:
            raise Invalid(N_("signed by key {keyid}, which has ended"), code="REVOKED_KEY", keyid=signature.keyid)
        if registered:
            keys[signature.keyid] = load_public(registered.public)
    for text in _brought(predicate):
        public = load_public(text)
        keys[key_id(public)] = public
    return frozenset(opened.signers(keys))


def _brought(predicate: Predicate) -> list[str]:
    match predicate:
        case Genesis():
            return [predicate.office, predicate.agreement, public_text(parse_vkey(predicate.log_vkey).public)]
        case Key():
            return [predicate.public]
    return []


def is_signed_by_those(state: TrustState, entry: Entry) -> bool:
    """I2: exactly the keys whose word this kind of statement is have signed it."""
    said, signers = entry.predicate, entry.signers
    office = _seat(state, None, "office")
    match said:
        case Genesis():
            return signers == {key_id(load_public(text)) for text in _brought(said)}
        case Key():
            return _admits(state, said, signers)
        case KeyState():
            return signers == {said.key} or (bool(office) and signers == office)
        case AgreementPublished():
            return bool(office) and signers == office | _seat(state, None, "agreement")
        case Consent(event="expire"):
            return len(signers) == 1
        case Consent() | Refusal() | PrivacyCheck() | Comparison():
            return bool(signers) and signers == _seat(state, said.member, "node")
        case AuditReport():
            return len(signers) == 1 and signers <= _live_auditors(state)
        case Policy():
            return bool(office) and office <= signers and _both_groups(state, signers - office)
    return bool(office) and signers == office


def _seat(state: TrustState, member: str | None, role: Role) -> frozenset[str]:
    found = state.live_key(member, role)
    return frozenset({found[0]}) if found else frozenset()


def _live_auditors(state: TrustState) -> frozenset[str]:
    return frozenset(k for k in state.auditors if state.keys[k].ended is None)


def _admits(state: TrustState, said: Key, signers: frozenset[str]) -> bool:
    """I25: a first key is admitted by the office; a successor also by the key that it replaces, or by auditors."""
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


def _both_groups(state: TrustState, signers: frozenset[str]) -> bool:
    """I29: a quorum of the members' node keys by the present rule, and an auditor if there is one; nobody else."""
    auditors = _live_auditors(state)
    members = {k for k in signers - auditors if state.keys[k].role == "node"}
    enough = len(members) >= quorum_of(state.quorum, len(state.members()))
    return enough and members | auditors >= signers and (not auditors or bool(signers & auditors))


def check_signers(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I2, I25, I29: exactly the keys that this kind of statement needs have signed."""
    if is_signed_by_those(state, entry):
        return
    code, rule = "BAD_SIGNATURE", "I2"
    match entry.predicate:
        case Consent():
            code = "CONSENT_NOT_BY_PRINCIPAL"
        case Policy():
            code, rule = "POLICY", "I29"
        case AgreementPublished():
            code = "AGREEMENT_SIGNATURE"
        case Key(replaces=str()):
            code, rule = "KEY_ROTATION", "I25"
    yield Finding(
        code,
        entry.index,
        rule,
        N_("a {kind} statement is not signed by those whose word it is"),
        {"kind": entry.predicate.kind},
    )


def check_place(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I6, I8, I26: genesis stands first and only there, nothing is said twice, nobody has seen entries to come."""
    if isinstance(entry.predicate, Genesis) != (entry.index == 0):
        yield Finding("GENESIS", entry.index, "I6", N_("the genesis statement must be the first entry and no other"))
    if entry.predicate.record_id in state.record_ids:
        yield Finding(
            "DUPLICATE_ENTRY",
            entry.index,
            "I8",
            N_("the statement {id} is in the log already"),
            {"id": entry.predicate.record_id},
        )
    seen = getattr(entry.predicate, "seen", None)
    if isinstance(seen, Seen) and seen.size > entry.index and getattr(entry.predicate, "event", None) != "withdraw":
        yield Finding(
            "EQUIVOCATION",
            entry.index,
            "I26",
            N_("its author had seen {size} entries of a log that had {index}"),
            {"size": seen.size, "index": entry.index},
        )


def check_key(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I3, I25: a key is new and the only live one of its member in its role; a successor names what it replaces."""
    key = entry.predicate
    assert isinstance(key, Key)
    if (key.member is None) == (key.role in ("node", "witness")):
        yield Finding(
            "PARTICIPANT", entry.index, "I3", N_("node and witness keys belong to a member, auditor keys to none")
        )
    if key.role == "witness" and key.member is not None and (key.member, "node") not in state.seats:
        yield Finding(
            "PARTICIPANT",
            entry.index,
            "I3",
            N_("{member} has no node key: a witness of its own would count in the quorum"),
            {"member": key.member},
        )
    if digest(from_base64(key.public)) in state.keys:
        yield Finding("PARTICIPANT", entry.index, "I3", N_("this key is registered already"))
        return
    seat = state.seats.get((key.member, key.role)) if key.role != "auditor" else None
    values: dict[str, object] = {"member": key.member, "role": key.role}
    if seat and state.keys[seat].ended is None and key.replaces is None:
        yield Finding("SECOND_NODE", entry.index, "I3", N_("member {member} has a live {role} key already"), values)
    elif key.replaces != seat and not _replaces_auditor(state, key):
        yield Finding(
            "KEY_ROTATION",
            entry.index,
            "I25",
            N_("the new {role} key of {member} does not name the key that it replaces"),
            values,
        )


def _replaces_auditor(state: TrustState, key: Key) -> bool:
    return key.role == "auditor" and (key.replaces is None or key.replaces in state.auditors)


def check_key_state(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I25: only a live key can end."""
    named = entry.predicate
    assert isinstance(named, KeyState)
    registered = state.keys.get(named.key)
    if registered is None or registered.ended is not None:
        yield Finding("UNKNOWN_KEY", entry.index, "I25", N_("key {key} is not a live key"), {"key": named.key})


def check_policy(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I29: a change of the quorum rule follows from the rule in force."""
    policy = entry.predicate
    assert isinstance(policy, Policy)
    if policy.prev != state.quorum or policy.quorum == state.quorum:
        yield Finding(
            "POLICY", entry.index, "I29", N_("the change of the quorum rule does not follow the rule in force")
        )


def found_trust(state: TrustState, entry: Entry) -> TrustState:
    """Register the keys of genesis."""
    genesis = entry.predicate
    assert isinstance(genesis, Genesis)
    state = replace(state, genesis=genesis, quorum=genesis.quorum)
    log = public_text(parse_vkey(genesis.log_vkey).public)
    roles: tuple[tuple[Role, str], ...] = (
        ("office", genesis.office),
        ("agreement", genesis.agreement),
        ("log", log),
    )
    for role, text in roles:
        state = _seated(state, RegisteredKey(None, role, text, 0))
    return state


def _seated(state: TrustState, key: RegisteredKey) -> TrustState:
    name = digest(from_base64(key.public))
    state = replace(state, keys=state.keys.insert(name, key))
    if key.role == "auditor":
        return replace(state, auditors=state.auditors.insert(name))
    return replace(state, seats=state.seats.insert((key.member, key.role), name))


def admit_key(state: TrustState, entry: Entry) -> TrustState:
    """Register a key; the one it replaces ends."""
    key = entry.predicate
    assert isinstance(key, Key)
    if key.replaces and state.keys[key.replaces].ended is None:
        ended = replace(state.keys[key.replaces], ended=entry.index)
        state = replace(state, keys=state.keys.insert(key.replaces, ended))
    if key.register_document:
        named = Document(entry.index, "register", None, key.issued_at, key.member)
        state = replace(state, documents=state.documents.insert(key.register_document, named))
    return _seated(state, RegisteredKey(key.member, key.role, key.public, entry.index))


def end_key(state: TrustState, entry: Entry) -> TrustState:
    """Let a key end at this index; a compromised one is a matter that the office must answer."""
    named = entry.predicate
    assert isinstance(named, KeyState)
    compromised = named.state == "compromised"
    ended = replace(state.keys[named.key], ended=entry.index, compromised=compromised)
    state = replace(state, keys=state.keys.insert(named.key, ended))
    if not compromised:
        return state
    return replace(state, matters=state.matters.insert(entry.digest, Matter(entry.index, named.issued_at)))


def change_policy(state: TrustState, entry: Entry) -> TrustState:
    """The new quorum rule counts from here on."""
    policy = entry.predicate
    assert isinstance(policy, Policy)
    ended = (*state.earlier_quorums, (entry.index, state.quorum))
    return replace(state, quorum=policy.quorum, earlier_quorums=ended)


def record_privacy_check(state: TrustState, entry: Entry) -> TrustState:
    """Keep a member's newest check of its own release path."""
    check = entry.predicate
    assert isinstance(check, PrivacyCheck)
    state = note_ledger(state, check.member, check.ledger)
    return replace(state, privacy_checks=state.privacy_checks.insert(check.member, (entry.index, check)))
