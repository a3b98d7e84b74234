"""The local HTTP interface: JSON for the member's programs, pages for its people. Loopback only, by token.

A page of another site can make a browser send requests to 127.0.0.1, and a name can be pointed there: so every request
needs the token (header, or the cookie that the printed address sets), the cookie is never sent from other sites, and
only this machine's own names are answered.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from client_node.serving.predict import Ready, Result
from client_node.serving.prepared import PreparedModels, is_token
from client_node.web.pages import error_page, pages, problem
from client_node.web.uploads import MOST_BYTES, file_routes
from contracts.envelope import digest
from contracts.errors import Malformed, Refused, TrustError, Unavailable
from contracts.wording import N_
from shell.door import BoundedServer, bounded
from shell.error_pages import ErrorPages, accepts_pages
from shell.headers import SafeHeaders

MOST_ROWS = 20_000
_OPEN = ("/openapi.json", "/style.css")
_STATUS = {Malformed: 422, Refused: 409, Unavailable: 503}
Cell = str | float | int | None


class SubmittedRows(BaseModel):
    """Rows of the task's table by column name; missing values are null or left out where the table allows it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    rows: list[dict[str, Cell]] = Field(min_length=1, max_length=MOST_ROWS)


class One(BaseModel):
    """One row, and the probability to come below (by default that of the riskiest 8 in 100 of the member's own)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    row: dict[str, Cell]
    line: float | None = Field(default=None, gt=0, lt=1)


def make_app(desk: PreparedModels, token: str) -> FastAPI:
    """The application over a desk."""
    app = FastAPI(title="mengbang client-node", version="1", docs_url=None, redoc_url=None)
    app.middleware("http")(_bounded)
    app.middleware("http")(_by_token(token))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.add_middleware(ErrorPages, page=error_page)
    app.add_middleware(SafeHeaders)
    app.add_exception_handler(TrustError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_wrong_request)
    _programs(app, desk)
    app.include_router(file_routes(desk))
    app.include_router(pages(desk))
    return app


def _programs(app: FastAPI, desk: PreparedModels) -> None:
    @app.get("/v1/tasks")
    def tasks() -> list[str]:
        """Tasks of the active agreement."""
        return desk.tasks

    @app.get("/v1/tasks/{task}")
    def results(task: str) -> dict[str, Any]:
        """Results of the member's own file, the votes behind them, drift, and a receipt."""
        ready = desk.ready(task)
        return _told(desk.own(task), ready) | {"drift": [asdict(one) for one in ready.drift()]}

    @app.post("/v1/tasks/{task}/score")
    def score(task: str, asked: SubmittedRows) -> dict[str, Any]:
        """Results of other rows, in order, and one receipt for all."""
        ready = desk.ready(task)
        return _told(ready.score(ready.frame(asked.rows)), ready)

    @app.post("/v1/tasks/{task}/explain")
    def explain(task: str, asked: One) -> dict[str, Any]:
        """One row's result, reasons and receipt, and the smallest change that brings it below the line."""
        ready = desk.ready(task)
        frame = ready.frame([asked.row])
        result, line = ready.score(frame), ready.line() if asked.line is None else asked.line
        above = result.lines[0].outcome["probability"] >= line
        change = ready.panel.change(frame, line) if above else None
        return _told(result, ready) | {"line": line, "change": asdict(change) if change else None}


def _told(result: Result, ready: Ready) -> dict[str, Any]:
    return {
        "lines": [asdict(line) for line in result.lines],
        "families": [asdict(line) for line in result.families],
        "total": asdict(result.total) if result.total else None,
        "ahead": result.ahead,
        "note": result.note,
        "offers": result.offers,
        "receipt": result.receipt_id,
        "votes": result.votes.digest(),
        "record": ready.voted.votes.record.model_dump(mode="json"),
    }


def cookie_of(token: str) -> str:
    """Browsers send a cookie to every port of a machine, so two nodes on one need a name each."""
    return f"mengbang-node-{digest(token.encode())[7:15]}"


def _by_token(token: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    cookie = cookie_of(token)

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        shown = request.query_params.get("token", "")
        if request.method == "GET" and shown and is_token(shown, token):
            rest = request.url.remove_query_params("token")
            opened = RedirectResponse(f"{rest.path}?{rest.query}" if rest.query else rest.path, 303)
            opened.set_cookie(cookie, token, httponly=True, samesite="strict")
            return opened
        said = request.headers.get("authorization", "").removeprefix("Bearer ") or request.cookies.get(cookie, "")
        if request.url.path in _OPEN or is_token(said, token):
            return await answer(request)
        what, do = (
            N_("this page is shown to who has the token"),
            N_("client-node serve prints the address with the token"),
        )
        return JSONResponse({"error": "TOKEN", "what": what, "do": do, "values": {}}, 401)

    return guard


async def _bounded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """A body states its length beforehand, and the length is bounded: nothing larger is read."""
    if "transfer-encoding" in request.headers:
        return JSONResponse({"error": "LENGTH", "what": "the body states no length", "do": "send Content-Length"}, 411)
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        do = f"send at most {MOST_BYTES} bytes at once, or: client-node score FILE --out FILE"
        return JSONResponse({"error": "TOO_LARGE", "what": "the body is too large", "do": do}, 413)
    return await answer(request)


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TrustError)
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    if not request.url.path.startswith("/v1/") or accepts_pages(request):
        return problem(request, error, status)
    what, why, do = error.lines(str)
    return JSONResponse({"error": error.code, "what": what, "why": why, "do": do}, status)


def _answer_wrong_request(_request: Request, error: Exception) -> Response:
    """What does not fit, as /openapi.json describes it, without what was sent: that may be no text at all."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse(
        {"detail": [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]}, 422
    )


def listen(port: int) -> socket.socket:
    """A listener on this machine's own address; Unavailable if the port is in use."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise Unavailable(
            N_("port {port} on {host} cannot be used"),
            why=N_("{error}"),
            do=N_("end the program that holds it, or choose another: --port"),
            port=port,
            host="127.0.0.1",
            error=error,
        ) from error
    return listener


def run(desk: PreparedModels, token: str, listener: socket.socket) -> None:
    """Answer until interrupted."""
    stop = threading.Event()
    threading.Thread(target=desk.watch, args=(stop,), name="desk", daemon=True).start()
    try:
        BoundedServer(bounded(make_app(desk, token))).run(sockets=[listener])
    finally:
        stop.set()
