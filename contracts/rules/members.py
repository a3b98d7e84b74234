"""Who may say what: genesis, admission of keys, signatures and roles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.checkpoint import parse_vkey
from contracts.envelope import Opened, digest, from_base64, key_id, load_public, public_text
from contracts.errors import Invalid
from contracts.rules.findings import Finding
from contracts.rules.state import Entry, RegisteredKey, Role, TrustState
from contracts.statements import AgreementPublished, Consent, Genesis, Key, KeyState, Predicate, PrivacyCheck, Refusal
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


def required_signers(state: TrustState, predicate: Predicate) -> list[frozenset[str]]:
    """The sets of keys of which one must have signed, whole, for this kind of statement."""
    office, agreement = _role_key(state, None, "office"), _role_key(state, None, "agreement")
    match predicate:
        case Genesis():
            return [frozenset(key_id(load_public(text)) for text in _brought(predicate))]
        case Key():
            return [frozenset({*office, digest(from_base64(predicate.public))})] if office else []
        case KeyState():
            return [frozenset({predicate.key}), office]
        case AgreementPublished():
            return [office | agreement]
        case Consent() | Refusal() | PrivacyCheck():
            return [_role_key(state, predicate.member, "node")]
    return [office]


def _role_key(state: TrustState, member: str | None, role: Role) -> frozenset[str]:
    found = state.live_key(member, role)
    return frozenset({found[0]}) if found else frozenset()


def check_signers(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I2: exactly the keys that this kind of statement needs have signed."""
    if any(needed and needed == entry.signers for needed in required_signers(state, entry.predicate)):
        return
    code = "CONSENT_NOT_BY_PRINCIPAL" if isinstance(entry.predicate, Consent) else "BAD_SIGNATURE"
    yield Finding(
        code,
        entry.index,
        "I2",
        N_("a {kind} statement is not signed by those whose word it is"),
        {"kind": entry.predicate.kind},
    )


def check_place(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I6, I8: genesis stands first and only there, and no statement is said twice."""
    if isinstance(entry.predicate, Genesis) != (entry.index == 0):
        yield Finding("GENESIS", entry.index, "I6", N_("the genesis statement must be the first entry and no other"))
    if state.knows_record(entry.predicate.record_id):
        yield Finding(
            "DUPLICATE_ENTRY",
            entry.index,
            "I8",
            N_("the statement {id} is in the log already"),
            {"id": entry.predicate.record_id},
        )


def check_key(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I3: a key is sound, new, and the only live one of its member in its role."""
    key = entry.predicate
    assert isinstance(key, Key)
    if (key.member is None) != (key.role == "auditor"):
        yield Finding(
            "PARTICIPANT", entry.index, "I3", N_("node and witness keys belong to a member, auditor keys to none")
        )
    if digest(from_base64(key.public)) in state.keys:
        yield Finding("PARTICIPANT", entry.index, "I3", N_("this key is registered already"))
    elif key.member and state.live_key(key.member, key.role):
        yield Finding(
            "SECOND_NODE",
            entry.index,
            "I3",
            N_("member {member} has a live {role} key already"),
            {"member": key.member, "role": key.role},
        )


def check_key_state(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I25: only a live key can end."""
    named = entry.predicate
    assert isinstance(named, KeyState)
    registered = state.keys.get(named.key)
    if registered is None or registered.ended is not None:
        yield Finding("UNKNOWN_KEY", entry.index, "I25", N_("key {key} is not a live key"), {"key": named.key})


def found_trust(state: TrustState, entry: Entry) -> TrustState:
    """Register the keys of genesis."""
    genesis = entry.predicate
    assert isinstance(genesis, Genesis)
    log = parse_vkey(genesis.log_vkey).public
    keys = {
        digest(from_base64(genesis.office)): RegisteredKey(None, "office", genesis.office, 0),
        digest(from_base64(genesis.agreement)): RegisteredKey(None, "agreement", genesis.agreement, 0),
    }
    keys[key_id(log)] = RegisteredKey(None, "log", public_text(log), 0)
    return replace(state, genesis=genesis, keys=keys)


def admit_key(state: TrustState, entry: Entry) -> TrustState:
    """Register a key."""
    key = entry.predicate
    assert isinstance(key, Key)
    added = RegisteredKey(key.member, key.role, key.public, entry.index)
    return replace(state, keys={**state.keys, digest(from_base64(key.public)): added})


def end_key(state: TrustState, entry: Entry) -> TrustState:
    """Let a key end at this index."""
    named = entry.predicate
    assert isinstance(named, KeyState)
    return replace(state, keys={**state.keys, named.key: replace(state.keys[named.key], ended=entry.index)})


def record_privacy_check(state: TrustState, entry: Entry) -> TrustState:
    """Keep a member's newest check of its own release path."""
    check = entry.predicate
    assert isinstance(check, PrivacyCheck)
    return replace(state, privacy_checks={**state.privacy_checks, check.member: (entry.index, check)})
