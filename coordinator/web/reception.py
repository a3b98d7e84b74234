"""In front of the application: whose request it is, known from its head, before any of its body is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.envelope import load_public
from contracts.errors import Refused, TrustError
from contracts.rules.state import RegisteredKey
from contracts.statements.requests import verify_head
from contracts.wording import N_
from coordinator.office import Office
from coordinator.web.bodies import Exchange
from coordinator.web.lanes import Lane, Lanes
from shell.addresses import network_of

JOIN, TASKS, HEAD = "/v1/join", "/v1/task", "/v1/head"
PATIENT = (JOIN, TASKS, HEAD)  # they take a turn themselves: not while a poll waits, nor while a stranger's body comes


@dataclass(frozen=True, slots=True)
class RequestSigner:
    """Who signed the head of a request, with which nonce and when; or why nobody did."""

    key: RegisteredKey | None = None
    nonce: str = ""
    made: float = 0.0
    error: TrustError | None = None


class Message:
    """A request as the signature library wants to see it."""

    def __init__(self, request: Request):
        self.method, self.url, self.headers = request.method, str(request.url), request.headers


class Reception:
    """Gives each request its turn. `answer` makes a response of an error."""

    def __init__(self, app: ASGIApp, office: Office, answer: Callable[[Request, Exception], Response]):
        self._app, self._office, self._answer = app, office, answer
        self._lanes: Lanes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            lane = await self._lane(scope)
            if scope["path"] in PATIENT:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                async with lane.turn() as leave:
                    if scope["signed"].key is None:  # nobody waits for a stranger who does not take its answer
                        exchange.before_answer = leave
                    await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:  # the answer is not taken
            if guest := scope.get("state", {}).get("guest"):
                guest.transport.abort()
        except TrustError as error:
            await self._answer(Request(scope), error)(scope, exchange.receive, exchange.send)

    async def _lane(self, scope: Scope) -> Lane:
        """The caller's lane; `scope` then says who signed, and whose lane it is."""
        request, lanes = Request(scope), self._of_this_loop()
        signed = await run_sync(_read, self._office, request)
        if signed.key is None:
            address = network_of(request.client.host if request.client else "")
            lane = await lanes.of_stranger(address, joins=scope["path"] == JOIN)
        else:
            holder = signed.key.member or signed.key.public
            lane = lanes.of_member(holder)
            if guest := scope.get("state", {}).get("guest"):
                guest.prove(holder)
        scope["signed"], scope["lane"] = signed, lane
        return lane

    def _of_this_loop(self) -> Lanes:
        """Made at the first request: places belong to the event loop that waits for them."""
        self._lanes = self._lanes or Lanes()
        return self._lanes


def _read(office: Office, request: Request) -> RequestSigner:
    """The signature of a head, checked against the log's keys."""
    _, _, rest = request.headers.get("signature-input", "").partition('keyid="')
    key = office.log.state().keys.get(rest.partition('"')[0]) if rest else None
    if key is None or key.ended is not None:
        unknown = Refused(
            N_("the key of this request is not admitted"),
            do=N_("wait for the chamber's approval, or join"),
            code="UNKNOWN_KEY",
        )
        return RequestSigner(error=unknown)
    try:
        nonce, made = verify_head(Message(request), load_public(key.public), datetime.now(UTC))
    except TrustError as error:
        return RequestSigner(error=error)
    return RequestSigner(key, nonce, made.timestamp())
