"""What a browser shows where an address is asked in vain: a small page in the party's own frame.
Programs keep their JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.wording import N_, filled

Translate = Callable[[str], str]
Lines = Callable[[Translate], list[str]]  # the sentences of an error in the reader's language
Page = Callable[[Request, int, Lines], Response]

_START = N_("begin at the start page")
_USUAL: dict[int, tuple[str, str]] = {
    400: (N_("this name is not one under which this server answers"), N_("open the address that the server printed")),
    401: (N_("this page needs the address with its code"), N_("open the address that the server printed")),
    404: (N_("there is no page at this address"), _START),
    405: (N_("this address is for programs, not for reading"), _START),
    422: (N_("this address holds something that does not fit"), _START),
}
_OTHER = N_("this could not be answered"), N_("try again in a minute")
_PLAIN = (b"application/json", b"text/plain")


class ErrorPages:
    """ASGI middleware: an error in JSON becomes a page for whoever accepts one."""

    def __init__(self, app: ASGIApp, page: Page):
        self._app, self._page = app, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        if scope["type"] != "http" or not accepts_pages(Request(scope)):
            await self._app(scope, receive, send)
            return
        status, body = 0, b""

        async def turned(message: Message) -> None:
            nonlocal status, body
            if message["type"] == "http.response.start" and _is_bare(message):
                status = message["status"]
            elif not status:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._page(Request(scope), status, _lines(status, body))(scope, receive, send)

        await self._app(scope, receive, turned)


def accepts_pages(request: Request) -> bool:
    """A browser says so, a program does not."""
    return "text/html" in request.headers.get("accept", "")


def _is_bare(message: Message) -> bool:
    kind = dict(message["headers"]).get(b"content-type", b"")
    return message["status"] >= 400 and kind.partition(b";")[0] in _PLAIN


def _lines(status: int, body: bytes) -> Lines:
    """The error's own sentences, else those that go with its status."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    told = told if isinstance(told, dict) else {}
    usual = _USUAL.get(status, _OTHER)
    values: dict[str, Any] = told["values"] if isinstance(told.get("values"), dict) else {}

    def lines(translate: Translate) -> list[str]:
        if "what" not in told or "values" not in told:
            return [translate(sentence) for sentence in usual]
        return [filled(translate(told[part]), values) for part in ("what", "why", "do") if told.get(part)]

    return lines
