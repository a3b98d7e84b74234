"""What the office owes: answers to refusals and incidents, documents erased in time, keys ended."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlmodel import Session

from contracts.envelope import canonical, seal
from contracts.errors import Refused, Unavailable
from contracts.fields import new_id, time_text
from contracts.log.contribution_list import read_list
from contracts.rules.incidents import late_matters
from contracts.rules.state import Matter, TrustState
from contracts.statements.closed_list import payload
from contracts.statements.statements import Erased, Erasure, Incident, KeyState, Predicate
from contracts.wording import N_, some_of
from coordinator.office import Office
from coordinator.store import documents
from coordinator.store.tables import Document
from coordinator.trust.members import names


def open_matters(state: TrustState, now: datetime) -> list[tuple[Matter, bool]]:
    """(matter, whether it is late) of everything that nobody has answered, oldest first."""
    late = {matter.index for matter in late_matters(state, time_text(now))}
    waiting = sorted((m for m in state.matters.values() if not m.answered), key=lambda m: m.index)
    return [(matter, matter.index in late) for matter in waiting]


def note_incident(office: Office, text: str, *, about: int | None, category: str, phase: str, now: datetime) -> int:
    """Log an incident, or the answer to the matter at entry `about`; its words stand in a
    salted document. The index."""
    state, named = office.log.state(), None
    if about is not None:
        named = next((name for name, matter in state.matters.items() if matter.index == about), None)
        if named is None:
            raise Refused(
                N_("entry {index} is nothing that waits for an answer"),
                why=N_("these wait: {known}"),
                do=N_("name one of these; coordinator matters says what they are"),
                code="FOLLOW_UP",
                index=about,
                known=some_of(matter.index for matter, _late in open_matters(state, now)),
            )
    with office.database.write() as session:
        document = documents.keep(session, "incident", canonical({"salt": secrets.token_hex(16), "text": text}))
    fields = {"about": named, "category": category, "state": phase, "members": (), "document": document}
    return _say(office, Incident(record_id=new_id(), issued_at=time_text(now), **fields))  # type: ignore[arg-type]


def erase(office: Office, name: str, *, contributions: bool, ground: str, now: datetime) -> int:
    """Log the erasure, then delete: a document, or the contributions that a list names. How many documents went.

    Refused by the rules for what must still be kept; then nothing is deleted.
    """
    held = documents.read(office.database, name)
    if held is None:
        kept = office.log.state().documents
        raise Unavailable(
            N_("document {name} is missing"),
            why=N_("the newest of {n} that the log names: {known}"),
            do=N_("give its whole digest, sha256:..."),
            name=name,
            n=len(kept),
            known=some_of(list(kept)[::-1], 4),
        )
    names = _contributions(office.log.state(), name, held.data) if contributions else [name]
    erased = Erased(document=name, part="contributions" if contributions else "document")
    stamp = {"record_id": new_id(), "issued_at": time_text(now)}
    _say(office, Erasure(**stamp, documents=(erased,), ground=ground))  # type: ignore[arg-type]
    with office.database.write() as session:
        return sum(_delete(session, one) for one in names)


def _contributions(state: TrustState, name: str, listed: bytes) -> list[str]:
    """The contributions that a list names; Malformed if the document of this name is no list of a round."""
    closed = (record.closed for run in state.runs.values() for record in run.rounds)
    members = max((len(one.contributors) for one in closed if one and one.list_document == name), default=0)
    return [line.said.payload for line in read_list(listed, members).lines()]


def _delete(session: Session, name: str) -> bool:
    held = session.get(Document, name)
    if held is not None:
        session.delete(held)
    return held is not None


def end_key(office: Office, name: str, *, compromised: bool, now: datetime) -> int:
    """Log that a key counts no more; the index. Refused for what is no live key."""
    state = office.log.state()
    live = {key: held for key, held in state.keys.items() if held.ended is None}
    if name not in live:
        called = names(office.database)
        raise Refused(
            N_("key {key} is not a live key"),
            why=N_("these are: {known}"),
            do=N_("give the whole digest, sha256:..."),
            code="UNKNOWN_KEY",
            key=name,
            known=some_of(f"{key} ({one.role} {called.get(one.member or '', '')})" for key, one in live.items()),
        )
    stamp = {"record_id": new_id(), "issued_at": time_text(now)}
    return _say(office, KeyState(**stamp, key=name, state="compromised" if compromised else "retired"))


def _say(office: Office, said: Predicate) -> int:
    index = office.log.append(seal(payload(said), [office.settings.office_key]))
    office.log.publish()
    return index
