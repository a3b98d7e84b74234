"""An auditor's own key: made here, admitted by the office, used to sign requests for documents."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from contracts.envelope import key_id, public_text, seal, to_base64
from contracts.errors import Malformed, Unavailable
from contracts.fields import new_id, time_text
from contracts.statements.closed_list import payload
from contracts.statements.requests import sign_request
from contracts.statements.statements import Key
from contracts.wording import N_


def make_identity(folder: Path, now: datetime, old: Ed25519PrivateKey | None = None) -> Path:
    """Write `identity.key` (readable by its owner only) and `admission.json`; returns the latter. The new key replaces
    `old`, which signs too."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "identity.key").exists():
        raise Unavailable(N_("{path} has a key already"), do=N_("choose another folder"), path=folder)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(folder / "identity.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    statement = Key(
        record_id=new_id(),
        issued_at=time_text(now),
        member=None,
        role="auditor",
        public=public_text(key.public_key()),
        register_document=None,
        replaces=key_id(old.public_key()) if old else None,
    )
    request = folder / "admission.json"
    request.write_text(
        json.dumps({"entries": [to_base64(seal(payload(statement), [key, *([old] if old else [])]))]}), encoding="ascii"
    )
    return request


def read_key(path: Path) -> Ed25519PrivateKey:
    """The auditor's key at `path`; Malformed if there is none."""
    try:
        if os.name != "nt" and path.stat().st_mode & 0o077:
            raise Unavailable(N_("the key {path} can be read by others"), do=N_("chmod 600 {path}"), path=path)
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Malformed(
            N_("{path} is not an auditor's key"), do=N_("make one with: auditor init DIR"), path=path
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Malformed(N_("{path} is not an auditor's key"), do=N_("make one with: auditor init DIR"), path=path)
    return key


class SignedBy(httpx.Auth):
    """Signs every request of an httpx client with one key."""

    def __init__(self, key: Ed25519PrivateKey):
        self._key = key

    @classmethod
    def of_file(cls, path: Path) -> SignedBy:
        """The signer whose key lies at `path`."""
        return cls(read_key(path))

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """See httpx.Auth."""
        sign_request(request, request.content, self._key, nonce=secrets.token_hex(16), now=datetime.now(UTC))
        yield request
