"""The only way out: HTTPS to the chamber, by a CA that the invite or the cosigned log names, every request
signed with a nonce of its own."""

from __future__ import annotations

import json
import re
import secrets
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from string import Formatter
from typing import Any

import httpx

from client_node.link.authorities import note_end, trusted
from client_node.link.egress import Egress
from client_node.settings import Settings
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.statements.requests import sign_request
from contracts.wording import N_, visible
from shell.answers import fetch, make_client, read_json
from shell.certificates import ended_or_early, is_of_tls

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


class Untrusted(Invalid):
    """Whoever answers is not shown to be the chamber. Nothing was sent, so asking again harms nobody."""


_CLASSES = {422: Malformed, 401: Invalid, 403: CoordinatorRefused}


class Uplink:
    """A connection to the coordinator of one invite."""

    def __init__(self, settings: Settings, egress: Egress, invite: dict[str, Any]):
        self._settings, self._egress, self._url = settings, egress, str(invite["url"]).rstrip("/")
        self._invite = invite
        self._trusted: dict[str, str] | None = None
        self._connect()

    def _connect(self) -> httpx.Client:
        """The client that trusts whom the node trusts now: a new one when a CA has come or gone."""
        counting = trusted(self._settings.home, self._invite, datetime.now(UTC))
        if counting != self._trusted:
            loopback = httpx.URL(self._url).host in ("127.0.0.1", "localhost", "::1")
            self._client = make_client(
                verify=pinned(counting.values()), timeout=httpx.Timeout(10, read=WAIT_S + 15), trust_env=not loopback
            )
            self._trusted = counting
        return self._client

    def ask(self, kind: str, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Send one message of a listed kind; raises the coordinator's own error, or Unavailable."""
        self._egress.check(kind, method, path, body)
        data = padded(body) if body is not None else b""
        client = self._connect()
        request = client.build_request(method, self._url + path, content=data)
        sign_request(request, data, self._settings.node_key, nonce=secrets.token_hex(16), now=datetime.now(UTC))
        self._egress.record(kind, data)
        try:
            answer = fetch(client, request, _LIMITS.get(kind, LIMIT))
        except httpx.HTTPError as error:
            raise _unreachable(self._url, error) from error
        note_end(self._settings.home, answer.extensions.get("certificate_ends"))
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


def pinned(authorities: Iterable[str]) -> ssl.SSLContext:
    """Trust exactly these CAs (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for pem in authorities:
        context.load_verify_locations(cadata=pem)
    return context


def _unreachable(url: str, error: httpx.HTTPError) -> TrustError:
    if is_of_tls(error):
        return ended_or_early(url, error) or Untrusted(
            N_("{url} does not show a certificate of a CA that this node trusts"),
            why=N_("{error}"),
            do=N_(
                "nothing was sent. If the chamber says that its CA has changed while this node was away: client-node "
                "follow FOLDER, with a copy of its log; else ask it over another channel"
            ),
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
    """A sentence of the coordinator's as this node may show it: one line, and fields that only name a value. A width of
    a billion, or a value's inside, is not for a stranger to ask for."""
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
