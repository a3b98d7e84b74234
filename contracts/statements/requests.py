"""Signed requests (RFC 9421): which parts are covered, beside the digest of the body (RFC 9530). No network here."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from contracts.envelope import key_id
from contracts.errors import Invalid, Refused
from contracts.wording import N_

COVERED = ("@method", "@authority", "@target-uri", "content-digest")
MAX_SKEW_S = 60
MOST_NONCE = 64  # characters: each is kept for two minutes


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, private: Ed25519PrivateKey | None = None, public: Ed25519PublicKey | None = None):
        self._private, self._public = private, public

    def resolve_private_key(self, key_id: str) -> Any:
        return self._private

    def resolve_public_key(self, key_id: str) -> Any:
        return self._public


def content_digest(body: bytes) -> str:
    """Value of the Content-Digest header."""
    return _named(hashlib.sha256(body).digest())


def _named(digest: bytes) -> str:
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def sign_request(request: Any, body: bytes, key: Ed25519PrivateKey, *, nonce: str, now: datetime) -> None:
    """Add digest and signature headers to an httpx request; a retry needs a new `nonce`."""
    request.headers["Content-Digest"] = content_digest(body)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Keys(private=key))
    signer.sign(
        request,
        body=body,
        use_existing_digest=True,
        key_id=key_id(key.public_key()),
        created=now,
        nonce=nonce,
        covered_component_ids=COVERED,
        include_alg=True,
        label="mengbang",
    )


def verify_head(message: Any, public: Ed25519PublicKey, now: datetime) -> tuple[str, datetime]:
    """(nonce, when the request was made) of a message with `method`, `url` and `headers`, before its body is read.

    Raises Invalid if a covered part was changed, Refused (CLOCK_SKEW) if made more than a minute from `now`. Whether
    the nonce was seen before is the caller's question, and the body still has to be the signed one: `check_body`.
    """
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_Keys(public=public))
    verifier.max_clock_skew = timedelta(days=36_500)  # the check below can also say by how much a clock is off
    try:
        [result] = verifier.verify(message, max_age=None, require_components=COVERED)
        created = result.parameters["created"]
        made = created if isinstance(created, datetime) else datetime.fromtimestamp(int(created), UTC)
    except Exception as error:  # whatever a stranger's headers make the library stumble over
        raise Invalid(N_("the signature of the request does not hold"), code="BAD_SIGNATURE") from error
    if not 0 < len(result.nonce or "") <= MOST_NONCE:
        raise Invalid(
            N_("the request carries no nonce of at most {limit} characters"), limit=MOST_NONCE, code="BAD_SIGNATURE"
        )
    offset = (made - now).total_seconds()
    if abs(offset) > MAX_SKEW_S:
        raise Refused(
            N_("the clock of this machine is {offset} seconds off"),
            why=N_("a request counts for {limit} seconds around its time"),
            do=N_("set the clock (time service), then try again"),
            code="CLOCK_SKEW",
            offset=round(offset),
            limit=MAX_SKEW_S,
        )
    return str(result.nonce), made


def check_body(message: Any, digest: bytes) -> None:
    """Invalid unless `digest` (SHA-256) is that of the body that the head of the message names."""
    if message.headers.get("content-digest") != _named(digest):
        raise Invalid(N_("the body of the request is not the signed one"), code="BAD_DIGEST")
