"""A node's keys after admission: a key ends, and another takes its place.

The next key lies beside the one in use, as `ROLE.next.pem`, until the node's own copy of the log says that it counts.
So nothing is lost if a step is interrupted: the same command goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink
from client_node.link.witness import begin_memory
from client_node.membership import consents
from client_node.settings import Settings, read_key, write_key
from contracts.envelope import key_id, to_base64
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.statements import to_cosign
from contracts.statements.statements import KeyState
from contracts.wording import N_

Role = Literal["node", "witness"]


def key_of(settings: Settings, role: Role) -> Ed25519PrivateKey:
    """The key in use."""
    return settings.node_key if role == "node" else settings.witness_key


def _next(settings: Settings, role: Role) -> Path:
    return settings.home / "keys" / f"{role}.next.pem"


def successor(settings: Settings, mirror: Mirror, role: Role, *, has_ended: bool = False) -> bytes:
    """The statement that this node's next key replaces the one in use, which signs too unless it has ended."""
    path, old = _next(settings, role), key_of(settings, role)
    if not path.exists():
        write_key(path, Ed25519PrivateKey.generate())
    held = mirror.state.keys.get(key_id(old.public_key()))
    if held is None:
        raise Refused(N_("this node's {role} key is not on the log yet"), do=N_("client-node join INVITE"), role=role)
    return to_cosign.successor(
        key_id(old.public_key()) if has_ended or held.ended is not None else old,
        read_key(path),
        member=settings.member,
        role=role,
        issued_at=time_text(datetime.now(UTC)),
    )


def rotate(settings: Settings, mirror: Mirror, uplink: Uplink, role: Role, catch_up: Callable[[], None]) -> None:
    """Let the next key take its place with the chamber's signature, and put it into use. `catch_up` follows the log."""
    if take(settings, mirror, role):
        return
    entry = successor(settings, mirror, role)
    uplink.ask("statement", "POST", "/v1/statements", {"entry": to_base64(entry)})
    catch_up()
    if not take(settings, mirror, role):
        raise Refused(N_("the log does not show the new {role} key"), do=N_("try the same command again"), role=role)


def take(settings: Settings, mirror: Mirror, role: Role) -> bool:
    """Put the next key into use if this node's copy of the log says that it counts; a
    witness begins a memory with it."""
    path = _next(settings, role)
    if not path.exists():
        return False
    key = read_key(path)
    held = mirror.state.live_key(settings.member, role)
    if held is None or held[0] != key_id(key.public_key()):
        return False
    if role == "witness":
        begin_memory(settings.home, key)
    os.replace(path, settings.home / "keys" / f"{role}.pem")
    return True


def end(settings: Settings, mirror: Mirror, uplink: Uplink, role: Role, *, compromised: bool) -> int:
    """End the key in use, by its own signature; the log index."""
    key = key_of(settings, role)
    stamp = {"record_id": new_id(), "issued_at": time_text(datetime.now(UTC))}
    said = KeyState(**stamp, key=key_id(key.public_key()), state="compromised" if compromised else "retired")
    return consents.send(settings, mirror, uplink, said, key)
