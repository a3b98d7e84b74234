"""JSON for nodes and auditors: the static log, admission, statements, witnesses; rounds stand in `round_api`."""

from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field
from sqlmodel import col, delete

from contracts.envelope import cosign, from_base64, key_id, load_public
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.fields import time_text
from contracts.rules.members import in_rounds_with
from contracts.statements.requests import MAX_SKEW_S, verify_head
from contracts.statements.signed import read_statement
from contracts.statements.statements import Key, KeyState, Predicate, Refusal
from contracts.wording import N_
from coordinator.learning import runs
from coordinator.office import Caller, Office
from coordinator.requests import Cosigned, Join, Said, read
from coordinator.store import ahead, documents
from coordinator.store.tables import LastSeen, UsedNonce
from coordinator.trust import members
from coordinator.web.bodies import Bodies
from coordinator.web.lanes import busy
from coordinator.web.pages import PEOPLE, problem
from coordinator.web.reception import HEAD, JOIN, TASKS, Message, RequestSigner
from coordinator.web.round_api import add_rounds
from shell.pace import TokenBuckets

Size = Annotated[int, Field(ge=0, lt=2**53)]
STATEMENTS_PER_S, STATEMENT_BURST = 0.05, 500.0  # of one member: what stands in the log, everybody keeps for ever
_MUTABLE = {"Cache-Control": "no-cache"}  # a checkpoint gains cosignatures
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


def routes(office: Office) -> APIRouter:
    """All JSON routes over one office."""
    router = APIRouter()

    bodies = Bodies()

    def signed(request: Request) -> RequestSigner:
        found: RequestSigner = request.scope["signed"]
        if found.error is not None:
            raise found.error
        return found

    def caller(request: Request, by: RequestSigner = Depends(signed), body: bytes = Depends(bodies.of)) -> Caller:
        assert by.key is not None
        # whoever asks for a task knows the log: one that is only catching up could not take part in a round yet
        is_ready = by.key.role == "node" and request.url.path == TASKS
        _use_nonce(office, by, ready=by.key.member if is_ready else None)
        return Caller(by.key, body, request.scope["lane"].turn)

    _add_log(router, office)
    _add_admission(router, office, bodies)
    _add_witness(router, office, caller)
    add_rounds(router, office, caller)
    return router


def _use_nonce(office: Office, by: RequestSigner, *, ready: str | None = None) -> None:
    """Use a request's nonce, once; with it is noted which member's node is `ready` for a round."""
    assert by.key is not None
    now, keyid = time.time(), key_id(load_public(by.key.public))
    with office.database.write() as session:
        session.exec(delete(UsedNonce).where(col(UsedNonce.at) < now - 2 * MAX_SKEW_S))
        if session.get(UsedNonce, (keyid, by.nonce)):
            raise Refused(
                N_("this very request was made before"),
                why=N_("each attempt needs a nonce of its own"),
                code="REPLAYED_NONCE",
            )
        session.add(UsedNonce(keyid=keyid, nonce=by.nonce, at=by.made))
        if ready is not None:
            session.merge(LastSeen(member=ready, at=now))


def _add_log(router: APIRouter, office: Office) -> None:
    """Paths of C2SP tlog-tiles; a plain copy of them is a full mirror."""

    @router.get("/checkpoint")
    def checkpoint() -> Response:
        note = office.log.witnessed(0) or office.log.note()
        return PlainTextResponse(note.text(), headers=_MUTABLE) if note else _absent("checkpoint")

    @router.get("/checkpoints")
    def kept() -> list[int]:
        return office.log.sizes()

    @router.get("/checkpoints/{size}")
    def older(size: Size) -> Response:
        note = office.log.note(size)
        return PlainTextResponse(note.text(), headers=_MUTABLE) if note else _absent(f"checkpoints/{size}")

    @router.get("/tile/{path:path}")
    def tile(path: str, request: Request) -> Response:
        data, headers = office.log.tile(f"tile/{path}"), dict(_IMMUTABLE)
        if path.startswith("entries/") and "gzip" in request.headers.get("accept-encoding", ""):
            data, headers["Content-Encoding"] = gzip.compress(data, 6, mtime=0), "gzip"
        return Response(data, media_type="application/octet-stream", headers=headers)

    @router.get("/policy")
    def witnesses() -> Response:
        """For the very checkpoint that is served: later admissions do not bind who relies on that one."""
        note = office.log.witnessed(0) or office.log.note()
        quorum = office.log.state().quorum_at(note.checkpoint.size if note else 0)
        return PlainTextResponse(quorum.policy(office.log.key, office.settings.url), headers=_MUTABLE)

    @router.get("/v1/clock")
    def clock() -> dict[str, str]:
        return {"now": time_text(datetime.now(UTC))}


def _absent(path: str) -> Response:
    return JSONResponse({"code": "ABSENT", "what": f"{path} is not here", "why": "", "do": ""}, 404)


def _add_admission(router: APIRouter, office: Office, bodies: Bodies) -> None:

    @router.post(JOIN)
    async def join(request: Request, body: bytes = Depends(bodies.of_stranger)) -> dict[str, str]:
        async with request.scope["lane"].turn():
            return await run_sync(joined, request, body)

    def joined(request: Request, body: bytes) -> dict[str, str]:
        """The same request again changes nothing: its nonce need not be kept, and a stranger leaves no trace."""
        asked = read(Join, body)
        node = members.read_key(asked.entries[0])
        verify_head(Message(request), load_public(node.public), datetime.now(UTC))
        return members.join(office.database, office.log, office.settings, asked, node, datetime.now(UTC))


def _add_witness(router: APIRouter, office: Office, caller: Any) -> None:

    @router.get(HEAD)
    async def head(after: Size, wait: float = 0.0, who: Caller = Depends(caller)) -> dict[str, str | None]:

        def other() -> str | None:
            note = office.log.note() if office.log.published_size() != after else None
            return note.text() if note else None

        def note_held() -> None:
            if who.key.role == "node" and who.key.member:
                ahead.note(office.database, who.key.member, held=after, size=office.log.published_size() or 0)

        await run_sync(note_held)
        return {"checkpoint": await office.wait_for(other, wait, f"{HEAD} {who.name}", who.turn)}

    @router.post("/v1/cosignatures")
    def keep_cosignature(who: Caller = Depends(caller)) -> dict[str, str]:
        asked = read(Cosigned, who.body)
        office.log.cosign(asked.size, asked.line)
        return {"state": "kept"}

    pace = TokenBuckets(STATEMENTS_PER_S, STATEMENT_BURST)

    @router.post("/v1/statements")
    def say(who: Caller = Depends(caller)) -> dict[str, Any]:
        entry = from_base64(read(Said, who.body).entry)
        predicate = read_statement(entry).said
        if _speaker(office, predicate) != who.member:
            raise Refused(N_("a node speaks for its own member only"), code="CONSENT_NOT_BY_PRINCIPAL")
        if pace.wait(who.member, time.monotonic()) is None:
            raise busy(STATEMENT_BURST)
        if isinstance(predicate, Key) and predicate.replaces:
            members.check_successor(predicate)
            entry = cosign(entry, office.settings.office_key)  # the old key's word suffices, or that of the auditors
        index = office.log.append(entry)
        if isinstance(predicate, Refusal):
            runs.mark_refused(office.database, predicate.order, predicate.member)
        note = office.log.publish(index)
        return {"index": index, "proof": office.log.proof(index, note)}

    @router.get("/documents/{name}")
    def document(name: str, who: Caller = Depends(caller)) -> Response:
        held = documents.read(office.database, f"sha256:{name}")
        of_others = held is not None and held.kind == "register" and who.key.role == "node"
        shown = in_rounds_with(office.log.state(), who.member) if of_others else ()
        if held is None or not documents.may_read(held, who.key.role, who.key.member, shown):
            return _absent(f"documents/{name}")
        return Response(held.data, media_type="application/octet-stream")


def _speaker(office: Office, predicate: Predicate) -> str | None:
    """Whose word a statement is: its member, or the member whose key it ends."""
    if isinstance(predicate, KeyState):
        key = office.log.state().keys.get(predicate.key)
        return key.member if key else None
    return getattr(predicate, "member", None)


_STATUS = {Malformed: 422, Invalid: 401, Refused: 403, Unavailable: 503}


def answer_error(request: Request, error: Exception) -> Response:
    """One place maps errors to status; the sentences go out in English with their code and
    values, to people as a page."""
    assert isinstance(error, TrustError)
    if request.url.path.startswith(PEOPLE):
        return problem(request, error)
    what, why, do = error.lines()
    values = {name: str(value) for name, value in error.values.items()}
    content = {
        "code": error.code,
        "what": error.what,
        "why": error.why,
        "do": error.do,
        "values": values,
        "text": [what, why, do],
    }
    return JSONResponse(content, _STATUS.get(type(error), 400))
