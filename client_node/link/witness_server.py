"""The witness at an address, for logs and monitors that can reach it (C2SP tlog-witness). Nothing else is served."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from client_node.link.witness import Witness
from contracts.errors import Invalid, Malformed, Refused, Unavailable
from contracts.log.checkpoint import NoteKey, parse_submission
from contracts.log.merkle import Tree
from contracts.wording import N_
from shell.door import BoundedServer, bounded

BODY_LIMIT = 64 * 1024  # a checkpoint with a signature of each member, and a proof
BODY_S = 20.0  # in which it has come
_LAST = {"Connection": "close"}


def make_app(witness: Callable[[], Witness], log: NoteKey, own: Callable[[], Tree]) -> Starlette:
    """`POST /add-checkpoint` and `GET /<sha256 of the origin>/checkpoint`; `witness` (its key may change) and `own`,
    this node's tree, are asked for at each request."""

    async def add(request: Request) -> Response:
        body = b""
        with anyio.move_on_after(BODY_S) as limit:
            async for part in request.stream():
                body += part
                if len(body) > BODY_LIMIT:
                    return PlainTextResponse("too large\n", 413, headers=_LAST)
        if limit.cancelled_caught:
            return PlainTextResponse("too slow\n", 408, headers=_LAST)
        return await run_in_threadpool(_answer, witness(), log, own(), body)

    def latest(request: Request) -> Response:
        note = witness().latest() if request.path_params["log"] == log_name(log) else None
        return PlainTextResponse(note.text()) if note else PlainTextResponse("no such log\n", 404)

    routes = [Route("/add-checkpoint", add, methods=["POST"]), Route("/{log}/checkpoint", latest)]
    return Starlette(routes=routes)


def log_name(log: NoteKey) -> str:
    """How the monitoring path names a log."""
    return hashlib.sha256(log.name.encode()).hexdigest()


def _answer(witness: Witness, log: NoteKey, own: Tree, body: bytes) -> Response:
    """The status codes of docs/reference/witness.md; a body that is not a cosignature is a word for people."""
    try:
        old, proof, note = parse_submission(body.decode("utf-8"))
        if note.checkpoint.origin != log.name:
            return PlainTextResponse("this witness does not watch that log\n", 404)
        return PlainTextResponse(witness.add(note, old, proof, own=own))
    except (Malformed, UnicodeDecodeError) as error:
        return PlainTextResponse(f"{error}\n", 400)
    except Invalid as error:
        return PlainTextResponse(f"{error}\n", 403 if error.code == "BAD_SIGNATURE" else 422)
    except Refused as error:
        if error.code == "STALE":
            return PlainTextResponse(f"{error.values['size']}\n", 409, media_type="text/x.tlog.size")
        return PlainTextResponse(f"{error}\n", 503)
    except Unavailable as error:
        return PlainTextResponse(f"{error}\n", 503)


def listen(address: str) -> socket.socket:
    """A listening socket at HOST:PORT; Unavailable if that cannot be had."""
    host, _, port = address.rpartition(":")
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=_family(host))
    except (OSError, ValueError, OverflowError) as error:
        raise Unavailable(
            N_("the witness cannot listen at {address}"),
            why=N_("{error}"),
            do=N_("write --witness HOST:PORT with a free port of this machine"),
            address=address,
            error=error,
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def serve(app: Starlette, listener: socket.socket) -> Callable[[], None]:
    """Serve in a thread; call what is returned to end it."""
    server = BoundedServer(bounded(app))
    thread = threading.Thread(target=server.run, args=([listener],), name="witness-server", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=10)

    return stop
