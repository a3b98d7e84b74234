"""Who belongs to the trust, and whom nodes connect to: its founding, keys and their
succession, the CA, the quorum rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.envelope import digest, from_base64
from contracts.rules.budgets import note_ledger
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.signers import keys_of_genesis
from contracts.rules.state import Matter, NamedAuthority, NamedDocument, RegisteredKey, TrustState
from contracts.rules.times import shifted
from contracts.statements.statements import Authority, Genesis, Key, KeyState, Policy, PrivacyCheck
from contracts.wording import N_

OVERLAP_DAYS = 60  # of two CAs: a node that is away for less finds its way by itself


def found_trust(state: TrustState, entry: Entry[Genesis]) -> TrustState:
    """Register the keys of genesis."""
    genesis = entry.predicate
    state = replace(state, genesis=genesis, quorum=genesis.quorum)
    for role, public in keys_of_genesis(genesis).items():
        state = _seated(state, RegisteredKey(None, role, public, 0))
    return state


def _seated(state: TrustState, key: RegisteredKey) -> TrustState:
    name = digest(from_base64(key.public))
    state = replace(state, keys=state.keys.insert(name, key))
    if key.role == "auditor":
        return replace(state, auditors=state.auditors.insert(name))
    return replace(state, seats=state.seats.insert((key.member, key.role), name))


def check_key(state: TrustState, entry: Entry[Key]) -> Iterator[Finding]:
    """I3, I25: a key is new and the only live one of its member in its role; a successor names what it replaces."""
    key = entry.predicate
    if (key.member is None) == (key.role in ("node", "witness")):
        yield entry.breaks("PARTICIPANT", "I3", N_("node and witness keys belong to a member, auditor keys to none"))
    if key.role == "witness" and key.member is not None and (key.member, "node") not in state.seats:
        what = N_("{member} has no node key: a witness of its own would count in the quorum")
        yield entry.breaks("PARTICIPANT", "I3", what, member=key.member)
    if digest(from_base64(key.public)) in state.keys:
        yield entry.breaks("PARTICIPANT", "I3", N_("this key is registered already"))
        return
    yield from _check_seat(state, entry)


def _check_seat(state: TrustState, entry: Entry[Key]) -> Iterator[Finding]:
    """I3, I25: a live key is followed only by one that replaces it, and nothing else is replaced."""
    key = entry.predicate
    seat = state.seats.get((key.member, key.role)) if key.role != "auditor" else None
    if seat and state.keys[seat].ended is None and key.replaces is None:
        what = N_("member {member} has a live {role} key already")
        yield entry.breaks("SECOND_NODE", "I3", what, member=key.member, role=key.role)
    elif key.replaces != seat and not _replaces_auditor(state, key):
        what = N_("the new {role} key of {member} does not name the key that it replaces")
        yield entry.breaks("KEY_ROTATION", "I25", what, member=key.member, role=key.role)


def _replaces_auditor(state: TrustState, key: Key) -> bool:
    return key.role == "auditor" and (key.replaces is None or key.replaces in state.auditors)


def admit_key(state: TrustState, entry: Entry[Key]) -> TrustState:
    """Register a key; the one it replaces ends."""
    key = entry.predicate
    if key.replaces and state.keys[key.replaces].ended is None:
        ended = replace(state.keys[key.replaces], ended=entry.index)
        state = replace(state, keys=state.keys.insert(key.replaces, ended))
    if key.register_document:
        named = NamedDocument(entry.index, "register", None, key.issued_at, key.member)
        state = replace(state, documents=state.documents.insert(key.register_document, named))
    return _seated(state, RegisteredKey(key.member, key.role, key.public, entry.index))


def register_document(state: TrustState, member: str) -> str | None:
    """Digest of the newest document that says who stands behind a member id."""
    named = [(held.index, name) for name, held in state.documents.items() if _is_register_of(held, member)]
    return max(named)[1] if named else None


def _is_register_of(held: NamedDocument, member: str) -> bool:
    return held.kind == "register" and held.member == member


def in_rounds_with(state: TrustState, member: str) -> frozenset[str]:
    """Everyone who was asked in one round with a member, under an agreement that shows its members to one another."""
    others: set[str] = set()
    for run in state.runs.values():
        if state.agreements[run.order.agreement].terms.members_shown != "register":
            continue
        for record in run.rounds:
            asked = dict(record.opened.members)
            others |= asked.keys() if member in asked and not record.broken else set()
    return frozenset(others - {member})


def check_key_state(state: TrustState, entry: Entry[KeyState]) -> Iterator[Finding]:
    """I25: only a live key can end."""
    registered = state.keys.get(entry.predicate.key)
    if registered is None or registered.ended is not None:
        yield entry.breaks("UNKNOWN_KEY", "I25", N_("key {key} is not a live key"), key=entry.predicate.key)


def end_key(state: TrustState, entry: Entry[KeyState]) -> TrustState:
    """Let a key end at this index; a compromised one is a matter that the office must answer."""
    named = entry.predicate
    compromised = named.state == "compromised"
    ended = replace(state.keys[named.key], ended=entry.index, compromised=compromised)
    state = replace(state, keys=state.keys.insert(named.key, ended))
    if not compromised:
        return state
    return replace(state, matters=state.matters.insert(entry.digest, Matter(entry.index, named.issued_at)))


def check_authority(state: TrustState, entry: Entry[Authority]) -> Iterator[Finding]:
    """I35: a certificate authority follows the one in force, and none comes back."""
    said, (_, name) = entry.predicate, entry.predicate.subject()
    earlier = {one.replaces for one in state.authorities} | {state.authority()}
    if said.replaces != state.authority() or name in earlier:
        what = N_("the certificate authority {ca} does not follow the one in force")
        yield entry.breaks("AUTHORITY", "I35", what, ca=name)


def name_authority(state: TrustState, entry: Entry[Authority]) -> TrustState:
    """From here on it is the newest."""
    said, (_, name) = entry.predicate, entry.predicate.subject()
    named = NamedAuthority(entry.index, name, said.certificate, said.replaces, said.issued_at)
    return replace(state, authorities=(*state.authorities, named))


def overlap_ends(named_at: str) -> str:
    """When an authority that was replaced at this time counts no more."""
    return shifted(named_at, OVERLAP_DAYS * 86_400)


def check_policy(state: TrustState, entry: Entry[Policy]) -> Iterator[Finding]:
    """I29: a change of the quorum rule follows from the rule in force."""
    policy = entry.predicate
    if policy.prev != state.quorum or policy.quorum == state.quorum:
        yield entry.breaks("POLICY", "I29", N_("the change of the quorum rule does not follow the rule in force"))


def change_policy(state: TrustState, entry: Entry[Policy]) -> TrustState:
    """The new quorum rule counts from here on."""
    ended = (*state.earlier_quorums, (entry.index, state.quorum))
    return replace(state, quorum=entry.predicate.quorum, earlier_quorums=ended)


def record_privacy_check(state: TrustState, entry: Entry[PrivacyCheck]) -> TrustState:
    """Keep a member's newest check of its own release path."""
    check = entry.predicate
    state = note_ledger(state, check.member, check.ledger)
    return replace(state, privacy_checks=state.privacy_checks.insert(check.member, (entry.index, check)))
