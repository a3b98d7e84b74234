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
from client_node.link.uplink import Uplink, answered
from client_node.settings import Settings
from contracts.envelope import canonical, digest, public_text, seal, to_base64
from contracts.errors import Malformed, Unavailable
from contracts.fields import check_text, new_id, time_text
from contracts.statements.closed_list import payload
from contracts.statements.statements import Key
from contracts.wording import N_

_FIELDS = {
    "schema",
    "chamber",
    "origin",
    "url",
    "ca_pem",
    "ca_fingerprint",
    "member",
    "name",
    "code",
    "secret",
    "expires_at",
    "genesis",
    "log_vkey",
}


def read_invite(path: Path) -> dict[str, Any]:
    """The invite at `path`; its CA certificate must match its fingerprint."""
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise Unavailable(N_("there is no file {path}"), do=N_("ask the chamber for the invite"), path=path) from error
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise Malformed(N_("{path} is not an invite"), do=N_("ask the chamber for a new one"), path=path) from error
    texts = isinstance(held, dict) and all(isinstance(text, str) for text in held.values())
    if not texts or set(held) != _FIELDS or held["schema"] != "mengbang-invite/1":
        raise Malformed(N_("{path} is not an invite"), do=N_("ask the chamber for a new one"), path=path)
    for field in ("chamber", "origin", "url", "name", "code"):
        check_text(held[field])
    check_pinned(held)
    return held


def ask_admission(settings: Settings, invite: dict[str, Any]) -> str:
    """ "pending" or "admitted". The same request again changes nothing; the invite is kept once it was accepted."""
    request = _request(settings, invite)
    uplink = Uplink(settings, Egress(Budget(settings.home / "ledger.db")), invite)
    state = str(answered(uplink.ask("join", "POST", "/v1/join", request), "state"))
    (settings.home / "invite.json").write_text(
        json.dumps({k: v for k, v in invite.items() if k != "secret"}, ensure_ascii=False), encoding="utf-8"
    )
    return state


def _request(settings: Settings, invite: dict[str, Any]) -> dict[str, Any]:
    """Key statements signed by the new keys (proof of possession), and the salted register document."""
    register = {"name": invite["name"], "code": invite["code"], "salt": secrets.token_hex(16)}
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
