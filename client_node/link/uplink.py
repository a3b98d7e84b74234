"""The only way out: HTTPS to the chamber, its CA pinned by the invite, every request signed with a nonce of its own."""

from __future__ import annotations

import json
import re
import secrets
import ssl
from datetime import UTC, datetime
from string import Formatter
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_node.link.egress import Egress
from client_node.settings import Settings
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.statements.requests import sign_request
from contracts.wording import N_, visible
from shell.answers import fetch, make_client, read_json

WAIT_S = 25.0
GRAIN = 4096
SENTENCE_LENGTH = 2000  # characters of what a coordinator may say of a message, and of a value in it
LIMIT = 2**20  # bytes of an answer, unpacked: a checkpoint with all its cosignatures has fewer
_LIMITS = {  # a bundle of 256 entries; a model; a model again, in base64
    "tile": 32 * 2**20,
    "document": 64 * 2**20,
    "task": 96 * 2**20,
}
_CODE = re.compile(r"[A-Z][A-Z_]{0,60}")


class CoordinatorRefused(Refused):
    """A refusal by the coordinator: its word about a message, and no reason for this node to refuse anything itself."""


_CLASSES = {422: Malformed, 401: Invalid, 403: CoordinatorRefused}


class Uplink:
    """A connection to the coordinator of one invite."""

    def __init__(self, settings: Settings, egress: Egress, invite: dict[str, Any]):
        self._settings, self._egress, self._url = settings, egress, str(invite["url"]).rstrip("/")
        loopback = httpx.URL(self._url).host in ("127.0.0.1", "localhost", "::1")
        self._client = make_client(
            verify=pinned(invite), timeout=httpx.Timeout(10, read=WAIT_S + 15), trust_env=not loopback
        )

    def ask(self, kind: str, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Send one message of a listed kind; raises the coordinator's own error, or Unavailable."""
        self._egress.check(kind, method, path, body)
        data = padded(body) if body is not None else b""
        request = self._client.build_request(method, self._url + path, content=data)
        sign_request(request, data, self._settings.node_key, nonce=secrets.token_hex(16), now=datetime.now(UTC))
        self._egress.record(kind, data)
        try:
            answer = fetch(self._client, request, _LIMITS.get(kind, LIMIT))
        except httpx.HTTPError as error:
            raise _unreachable(self._url, error) from error
        if answer.status_code >= 400:
            raise _error_of(answer)
        return answer


def padded(body: dict[str, Any]) -> bytes:
    """JSON of a message, each field counted in whole 4,096 bytes and the rest filled with blanks: how many digits a
    number has does not show in the size of an encrypted request."""
    room = sum(-(-len(json.dumps(value)) // GRAIN) for value in body.values()) + 1
    return json.dumps(body).encode().ljust(room * GRAIN)


def answered(answer: httpx.Response, field: str) -> Any:
    """One field of the coordinator's JSON; Unavailable if the answer is something else."""
    try:
        return read_json(answer.content)[field]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unavailable(N_("the coordinator answered something that cannot be read")) from error


def pinned(invite: dict[str, Any]) -> ssl.SSLContext:
    """Trust exactly the CA of the invite; Invalid if its certificate is not the one of the fingerprint."""
    try:
        certificate = x509.load_pem_x509_certificate(invite["ca_pem"].encode())
        found = digest(certificate.public_bytes(Encoding.DER))
    except (ValueError, KeyError) as error:
        raise Malformed(N_("the invite holds no CA certificate"), do=N_("ask the chamber for a new one")) from error
    if found != invite["ca_fingerprint"]:
        raise Invalid(
            N_("the CA certificate in the invite does not match its fingerprint"),
            why=N_("expected {expected}, found {found}"),
            do=N_("do not join; ask the chamber over another channel"),
            code="CA_FINGERPRINT",
            expected=invite["ca_fingerprint"],
            found=found,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=invite["ca_pem"])
    return context


def _unreachable(url: str, error: httpx.HTTPError) -> TrustError:
    if isinstance(error.__cause__, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Invalid(
            N_("{url} does not show a certificate of the chamber's CA"),
            why=N_("{error}"),
            do=N_("do not go on; ask the chamber over another channel"),
            code="CA_FINGERPRINT",
            url=url,
            error=error,
        )
    return Unavailable(
        N_("the coordinator {url} cannot be reached"),
        why=N_("{error}"),
        do=N_("check network and proxy (HTTPS_PROXY); local functions work without it"),
        url=url,
        error=error,
    )


def _sentence(text: str) -> str:
    """A sentence of the coordinator's as this node may show it: one line, and fields that only name a value. A width of a
    billion, or a value's inside, is not for a stranger to ask for."""
    for _text, name, form, conversion in Formatter().parse(text):
        if name is not None and (form or conversion or not name.isidentifier()):
            raise ValueError("this is no sentence")
    return visible(text)[:SENTENCE_LENGTH]


def _error_of(answer: httpx.Response) -> TrustError:
    """The error that an answer tells, if it is one that can be told on."""
    try:
        told = read_json(answer.content)
        kind = _CLASSES.get(answer.status_code, Unavailable)
        what, why, do = (_sentence(told[part]) for part in ("what", "why", "do"))
        values = {name: str(value)[:SENTENCE_LENGTH] for name, value in told.get("values", {}).items()}
        error = kind(what, why=why, do=do, code=told["code"], **values)
        error.lines()
        if not _CODE.fullmatch(error.code):
            raise ValueError("this is no code")
        return error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Unavailable(N_("the coordinator answered {status}"), status=answer.status_code)
