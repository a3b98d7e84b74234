"""Using an invite: read it with care, ask for admission, keep it."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client_node.ledger.ledger import Budget
from client_node.link.authorities import check_pinned
from client_node.link.egress import Egress
from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink, answered
from client_node.settings import Settings, is_invite
from contracts.envelope import canonical, digest, public_text, seal, to_base64
from contracts.errors import Invalid, Malformed, Refused
from contracts.fields import check_text, new_id, time_text
from contracts.log.fingerprints import is_same, of_chamber
from contracts.statements.closed_list import payload
from contracts.statements.statements import Key
from contracts.wording import N_
from shell.text_files import read_table


def read_invite(path: Path) -> dict[str, Any]:
    """The invite at `path`; its CA certificate must match its fingerprint."""
    words = N_("{path} is not an invite"), N_("ask the chamber for a new one")
    held = read_table(path, *words)
    if not is_invite(held):
        raise Malformed(words[0], do=words[1], path=path)
    for field in ("chamber", "origin", "url", "name", "code"):
        check_text(held[field])
    check_pinned(held)
    return held


def fingerprint_of(invite: dict[str, Any]) -> str:
    """What the chamber shows for its own invites."""
    return of_chamber(invite["origin"], invite["log_vkey"], invite["genesis"], ca=invite["ca_fingerprint"])


def check_fingerprint(invite: dict[str, Any], typed: str) -> None:
    """Invalid unless the invite leads to the chamber whose fingerprint was typed."""
    if not is_same(typed, fingerprint_of(invite)):
        raise Invalid(
            N_("the invite is not of the chamber with this fingerprint"),
            why=N_("expected {expected}, found {found}"),
            do=N_("do not join; ask the chamber over another channel"),
            code="CA_FINGERPRINT",
            expected=typed,
            found=fingerprint_of(invite),
        )


def check_home(settings: Settings, invite: dict[str, Any]) -> None:
    """Refused if this home follows the log of another chamber already: its keys, budget and
    evidence belong to that one."""
    if not (settings.home / "invite.json").exists() or settings.invite["genesis"] == invite["genesis"]:
        return
    if Mirror(settings, settings.invite).state.size:
        raise Refused(
            N_("this home has joined {chamber} already"),
            why=N_("its keys, budget and copy of the log belong to that chamber"),
            do=N_("a home of its own for each chamber: client-node init --home FOLDER"),
            code="OTHER_CHAMBER",
            chamber=settings.invite["chamber"],
        )


def has_used(settings: Settings, invite: dict[str, Any]) -> bool:
    """Whether this node asked with this very invite before, and so compared it."""
    return (settings.home / "invite.json").exists() and settings.invite == _kept(invite)


def _kept(invite: dict[str, Any]) -> dict[str, Any]:
    return {name: text for name, text in invite.items() if name != "secret"}


def ask_admission(settings: Settings, invite: dict[str, Any]) -> str:
    """ "pending" or "admitted". The same request again changes nothing; the invite is kept once it was accepted."""
    request = _request(settings, invite)
    uplink = Uplink(settings, Egress(Budget(settings.home / "ledger.db")), invite)
    state = str(answered(uplink.ask("join", "POST", "/v1/join", request), "state"))
    (settings.home / "invite.json").write_text(json.dumps(_kept(invite), ensure_ascii=False), encoding="utf-8")
    return state


def _register(path: Path, invite: dict[str, Any]) -> dict[str, str]:
    """The salted document of who stands behind this member: made once, since the log names it by its digest, and a
    chamber that lost it can be given it again."""
    said = {"name": invite["name"], "code": invite["code"]}
    if path.exists():
        held = read_table(path)
        if held.keys() == {*said, "salt"} and held | said == held:
            return held
    made = said | {"salt": secrets.token_hex(16)}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
    return made


def _request(settings: Settings, invite: dict[str, Any]) -> dict[str, Any]:
    """Key statements signed by the new keys (proof of possession), and the salted register document."""
    register = _register(settings.home / "register.json", invite)
    named = digest(canonical(register))
    entries = []
    for role, key in (("node", settings.node_key), ("witness", settings.witness_key)):
        statement = Key(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=invite["member"],
            role=role,  # type: ignore[arg-type]
            public=public_text(key.public_key()),
            register_document=named if role == "node" else None,
        )
        entries.append(to_base64(seal(payload(statement), [key])))
    return {"entries": entries, "secret": invite["secret"], "register": register}
