"""Admission: invites, join requests, and the office's signature under a new member's keys."""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from contracts.envelope import canonical, cosign, digest, from_base64, strict_json
from contracts.errors import Invalid, Malformed, Refused
from contracts.fields import check_text, moment, new_id, time_text
from contracts.log.checkpoint import LOG_KEY, NoteKey
from contracts.log.fingerprints import of_chamber, of_key
from contracts.rules.members import overlap_ends, register_document
from contracts.statements.signed import read_statement
from contracts.statements.statements import Key
from contracts.wording import N_
from coordinator.requests import Join
from coordinator.settings import Settings
from coordinator.store import documents
from coordinator.store.database import Database
from coordinator.store.log import Log
from coordinator.store.tables import Invite, JoinRequest
from coordinator.trust.certificates import ca_digest, covers
from coordinator.trust.host import host_of
from shell.text_files import read_text

INVITE_DAYS = 14


def invite(
    database: Database, settings: Settings, *, name: str, code: str, approved: bool, genesis: str, now: datetime
) -> dict[str, Any]:
    """A new invitation as the file that is handed to the member; its secret is stored as a digest only."""
    check_text(name)
    check_company_code(code)
    _check_reachable(settings)
    secret, member = secrets.token_urlsafe(24), new_id()
    expires = time_text(now + timedelta(days=INVITE_DAYS))
    with database.write() as session:
        session.add(
            Invite(
                member=member,
                secret_digest=digest(secret.encode()),
                name=name,
                code=code,
                expires_at=expires,
                approved=approved,
            )
        )
    log = NoteKey(settings.origin, LOG_KEY, settings.log_key.public_key())
    return {
        "schema": "mengbang-invite/1",
        "chamber": settings.name,
        "origin": settings.origin,
        "url": settings.url,
        "ca_pem": read_text(settings.home / "tls" / "ca.pem"),
        "ca_fingerprint": ca_digest(settings.home / "tls"),
        "member": member,
        "name": name,
        "code": code,
        "secret": secret,
        "expires_at": expires,
        "genesis": genesis,
        "log_vkey": log.vkey(),
    }


def chamber_fingerprint(log: Log, settings: Settings, *, ca: str = "") -> str:
    """What the office and whoever holds an invite of it compare; of invites that name another `ca` than the newest."""
    [first] = log.entries(0, 1)
    return of_chamber(settings.origin, log.key.vkey(), digest(first), ca=ca or ca_digest(settings.home / "tls"))


def earlier_fingerprint(log: Log, settings: Settings, now: datetime) -> str | None:
    """The same of invites that were made before the newest CA, as long as both count."""
    newest = log.state().authorities[-1:]
    is_over = not newest or overlap_ends(newest[0].named_at) <= time_text(now)
    return None if is_over else chamber_fingerprint(log, settings, ca=newest[0].replaces)


def _check_reachable(settings: Settings) -> None:
    """Refuse invites to an address that the certificate of this coordinator is not made out to."""
    if not covers(settings.home / "tls" / "server.pem", host_of(settings.url)):
        raise Refused(
            N_("the certificate is not made out to {url}"),
            why=N_("every node that used the invite would find a stranger there"),
            do=N_("write the address with which the chamber was made into coordinator.json"),
            code="HOST",
            url=settings.url,
        )


def check_company_code(code: str) -> None:
    """Refuse a 统一社会信用代码 whose check digit is wrong (GB 32100-2015)."""
    from stdnum.cn import uscc

    if not uscc.is_valid(code):
        raise Refused(
            N_("{number} is not a valid company code"),
            why=N_("the check digit of the 18 characters does not fit"),
            do=N_("compare it with the business licence"),
            code="COMPANY_CODE",
            number=code,
        )


def join(database: Database, log: Log, settings: Settings, request: Join, node: Key, now: datetime) -> dict[str, str]:
    """Use an invite for the member whose `node` key signed the request. Refused if it is unknown, used by another key,
    or expired; a repeated request changes nothing."""
    witness = read_key(request.entries[1])
    if (node.role, witness.role) != ("node", "witness") or node.member != witness.member or node.member is None:
        raise Malformed(N_("a join request brings one node key and one witness key of one member"))
    register = canonical(request.document)
    if digest(register) != node.register_document:
        raise Invalid(N_("the register document is not the one that the key names"), code="BAD_DIGEST")
    with database.read() as session:
        held, waiting = session.get(Invite, node.member), session.get(JoinRequest, node.member)
    live = log.state().live_key(node.member, "node")
    if live and live[1].public == node.public and (waiting is None or waiting.admitted):
        if held is None and digest(register) == register_document(log.state(), node.member):
            with database.write() as session:
                take_name(session, node.member, node.public, register)
        return {"state": "admitted", "member": node.member}
    if waiting and waiting.node_key == node.public:
        return {"state": "pending", "member": node.member}
    _check_document(_checked_invite(held, request.secret, waiting, now), request.document)
    log.check([cosign(from_base64(text), settings.office_key) for text in request.entries])
    with database.write() as session:
        held, waiting = session.get(Invite, node.member), session.get(JoinRequest, node.member)
        held = _checked_invite(held, request.secret, waiting, now)
        held.used = True
        session.add(held)
        session.add(
            JoinRequest(
                member=node.member,
                node_key=node.public,
                register_document=documents.keep(session, "register", register, node.member),
                entries=json.dumps(request.entries),
            )
        )
        approved = held.approved
    if approved:
        admit(database, log, settings, node.member)
    return {"state": "admitted" if approved else "pending", "member": node.member}


def take_name(session: Session, member: str, node_key: str, register: bytes) -> None:
    """Who stands behind a member of the log that this database does not know, by its register document."""
    said = strict_json(register)
    named = documents.keep(session, "register", register, member)
    who = {"member": member, "name": said["name"], "code": said["code"]}
    session.merge(Invite(**who, secret_digest="", expires_at="", approved=True, used=True))  # no secret has this digest
    session.merge(JoinRequest(member=member, node_key=node_key, register_document=named, entries="[]", admitted=True))


def read_key(text: str) -> Key:
    """The key that an entry in base64 brings; Malformed if it is another statement."""
    key = read_statement(from_base64(text)).said
    if not isinstance(key, Key):
        raise Malformed(N_("a join request brings one node key and one witness key of one member"))
    return key


def check_successor(key: Key) -> None:
    """A key that follows another brings no register document: who stands behind a member was said when it joined, and a
    digest alone would make it whoever that document is of."""
    if key.register_document is not None:
        raise Refused(
            N_("a key that replaces another names no register document"),
            do=N_("make it with: client-node key rotate"),
            code="PARTICIPANT",
        )


def _check_document(held: Invite, document: dict[str, str]) -> None:
    """Other members are shown this document, and may demand companies by their code."""
    for text in document.values():
        check_text(text)
    if document.keys() != {"name", "code", "salt"} or (document["name"], document["code"]) != (held.name, held.code):
        raise Refused(
            N_("the register document is not of the company that was invited"),
            why=N_("the invite names {name}, {number}"),
            do=N_("join with the invite as it is, or ask the chamber for a new one"),
            code="INVITE_OTHER",
            name=held.name,
            number=held.code,
        )


def _checked_invite(held: Invite | None, secret: str, waiting: JoinRequest | None, now: datetime) -> Invite:
    if held is None or not secrets.compare_digest(held.secret_digest, digest(secret.encode())):
        raise Refused(
            N_("this invite is not known here"), do=N_("ask the chamber for a new one"), code="INVITE_UNKNOWN"
        )
    if held.used or waiting:
        raise Refused(
            N_("this invite was used already"),
            why=N_("an invite admits one node of one member"),
            do=N_("ask the chamber for a new one"),
            code="INVITE_USED",
        )
    if moment(held.expires_at) <= now:
        raise Refused(
            N_("this invite expired at {at}"),
            do=N_("ask the chamber for a new one"),
            code="INVITE_EXPIRED",
            at=held.expires_at,
        )
    return held


def waiting(database: Database) -> list[JoinRequest]:
    """Requests that the office has not approved."""
    with database.read() as session:
        return list(session.exec(select(JoinRequest).where(JoinRequest.admitted == False)))  # noqa: E712


def awaited(database: Database) -> list[dict[str, str]]:
    """Name, member id and fingerprint of the node's key of everyone who waits: the office compares
    the last with the member."""
    called = names(database)
    return [
        {"name": called.get(row.member, row.member), "member": row.member, "fingerprint": of_key(row.node_key)}
        for row in waiting(database)
    ]


def admit(database: Database, log: Log, settings: Settings, member: str) -> str:
    """Approve a join request: both keys go to the log under the office's signature; the
    fingerprint of the node's key."""
    with database.read() as session:
        request = session.get(JoinRequest, member)
    if request is None:
        raise Refused(
            N_("nobody waits under {member}"),
            why=N_("these wait: {known}"),
            do=N_("coordinator approve MEMBER, or --all"),
            member=member,
            known=", ".join(f"{one['name']} {one['member']}" for one in awaited(database)) or "-",
        )
    for text in json.loads(request.entries):
        log.append(cosign(from_base64(text), settings.office_key))
    with database.write() as session:
        request.admitted = True
        session.merge(request)
    return of_key(request.node_key)


def admit_auditor(log: Log, settings: Settings, request: dict[str, Any]) -> tuple[int, str]:
    """Admit an auditor's key from its request file; the log index and the key's fingerprint."""
    [text] = request["entries"]
    key = read_key(text)
    if key.role != "auditor" or key.member is not None:
        raise Malformed(N_("this is not an auditor's request"))
    return log.append(cosign(from_base64(text), settings.office_key)), of_key(key.public)


def names(database: Database) -> dict[str, str]:
    """Member id -> company name, for the office's own pages."""
    with database.read() as session:
        return {row.member: row.name for row in session.exec(select(Invite))}
