"""What comes in and goes out, by the byte: bodies to a limit and no slower, answers as fast as they are taken."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import IO

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from contracts.errors import Malformed, Unavailable
from contracts.statements.requests import check_body
from contracts.wording import N_

CONTRIBUTIONS, REPLIES = "/v1/contributions/", "/v1/replies/"
BODY_LIMIT = 64 * 2**20  # a contribution of four million numbers
JOIN_LIMIT = 128 * 2**10  # two keys and a document, each field filled up to 4,096 bytes, from somebody unknown
LARGE = 2**20  # what is longer waits on disk until it is read
LIMITS = {CONTRIBUTIONS: BODY_LIMIT, REPLIES: 2 * LARGE}  # others: what a poll said stays in memory while it waits
LARGE_AT_ONCE = 2  # of those in memory: parsed, one takes several times its length
BODY_S, BYTES_PER_S = 20.0, 8 * 2**10  # a body comes at least this fast, after a time for the line to wake up
PIECE, PIECE_S = 2**16, 30.0  # an answer goes out in pieces, each taken within this time


class Bodies:
    """Reads bodies; few large ones at once."""

    def __init__(self) -> None:
        self._large = anyio.CapacityLimiter(LARGE_AT_ONCE)

    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request that is signed (a dependency)."""
        limit = next((most for path, most in LIMITS.items() if request.url.path.startswith(path)), LARGE)
        async for body in self._read(request, limit):
            yield body

    async def of_stranger(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request whose key stands in the body itself (a dependency)."""
        async for body in self._read(request, JOIN_LIMIT):
            yield body

    async def _read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        with tempfile.SpooledTemporaryFile(LARGE) as file:
            check_body(request, await _receive(request, file, limit))
            size = file.tell()
            file.seek(0)
            if size <= LARGE:
                yield file.read()
                return
            async with self._large:
                yield file.read()


async def _receive(request: Request, file: IO[bytes], limit: int) -> bytes:
    """SHA-256 of a body, which is then in `file`; Malformed (TOO_LARGE) or Unavailable (SLOW, CUT_OFF)
    ends it early."""
    began, got, found = time.monotonic(), 0, hashlib.sha256()
    if int(request.headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    parts = request.stream()
    while True:
        try:
            with anyio.fail_after(began + BODY_S + got / BYTES_PER_S - time.monotonic()):
                part = await anext(parts, None)
        except TimeoutError as error:
            raise Unavailable(N_("the body of the request came too slowly"), code="SLOW") from error
        except ClientDisconnect as error:
            raise Unavailable(N_("the connection ended before the body of the request"), code="CUT_OFF") from error
        if part is None:
            return found.digest()
        got += len(part)
        if got > limit:
            raise _too_large(limit)
        found.update(part)
        file.write(part)


def _too_large(limit: int) -> Malformed:
    return Malformed(N_("the body of a request has at most {limit} bytes"), limit=limit, code="TOO_LARGE")


class Exchange:
    """One request and its answer: the answer goes out piece by piece, and the connection ends with it if the request
    was not read to its end."""

    def __init__(self, scope: Scope, receive: Receive, send: Send):
        named = {name for name, _ in scope["headers"]}
        self._receive, self._send = receive, send
        self.before_answer: Callable[[], None] = lambda: None
        self._is_whole = not named & {b"content-length", b"transfer-encoding"}

    async def receive(self) -> Message:
        """See ASGI."""
        message = await self._receive()
        self._is_whole = self._is_whole or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """See ASGI."""
        self.before_answer()
        if message["type"] == "http.response.start" and not self._is_whole:
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        body = memoryview(message.get("body", b""))
        if len(body) <= PIECE:
            await self._give(message)
            return
        for start in range(0, len(body), PIECE):
            more = message.get("more_body", False) or start + PIECE < len(body)
            await self._give({**message, "body": bytes(body[start : start + PIECE]), "more_body": more})

    async def _give(self, message: Message) -> None:
        with anyio.fail_after(PIECE_S):
            await self._send(message)
