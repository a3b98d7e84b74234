"""JSON for nodes and auditors: the static log, admission, statements, witnesses, rounds."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field
from sqlmodel import col, delete, select

from contracts.artefact import of_round, read_artefact
from contracts.closed_list import parse
from contracts.envelope import cosign, digest, from_base64, key_id, load_public, open_entry, to_base64
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.fields import time_text
from contracts.off_log import Contribution
from contracts.requests import MAX_SKEW_S, verify_request
from contracts.rules.state import RegisteredKey
from contracts.statements import Key, KeyState, Predicate, Refusal
from contracts.sums import limit_steps
from contracts.wording import N_
from coordinator import members, registry, runs
from coordinator.asked import Cosigned, Join, Reply, Said, Waiting, read
from coordinator.database import Database
from coordinator.log import Log
from coordinator.settings import Settings
from coordinator.tables import LastSeen, TaskMessage, UsedNonce
from engine.rounds import TRAIN

BODY_LIMIT = 64 * 2**20
STEP_LIMIT = 2**20
LONG_POLL_S = 25.0
T = TypeVar("T")
Size = Annotated[int, Field(ge=0, lt=2**53)]
log_event = structlog.get_logger()
TASKS = "/v1/task"
_MUTABLE = {"Cache-Control": "no-cache"}  # a checkpoint gains cosignatures
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


@dataclass(slots=True)
class Office:
    """What every request needs: storage, log, settings, and a bell that rings when the database changes."""

    database: Database
    log: Log
    settings: Settings
    bell: threading.Condition
    closing: threading.Event

    def wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """The first thing that `look` finds, looking again each time the database changed."""
        end = time.monotonic() + min(seconds, LONG_POLL_S)
        while (found := look()) is None and (left := end - time.monotonic()) > 0 and not self.closing.is_set():
            with self.bell:
                self.bell.wait(min(left, 0.5))
        return found


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request: derived from the key, never from what the request says."""

    key: RegisteredKey
    body: bytes

    @property
    def member(self) -> str:
        """The member; Refused for keys without one."""
        if self.key.member is None or self.key.role != "node":
            raise Refused(N_("only a member's node may ask this"), code="ROLE")
        return self.key.member


def routes(office: Office) -> APIRouter:
    """All JSON routes over one office."""
    router = APIRouter()

    async def body_of(request: Request) -> bytes:
        if int(request.headers.get("content-length") or 0) > BODY_LIMIT:
            raise Malformed(N_("the body of a request has at most {limit} bytes"), limit=BODY_LIMIT, code="TOO_LARGE")
        return await request.body()

    def caller(request: Request, body: bytes = Depends(body_of)) -> Caller:
        keyid = _keyid(request)
        key = office.log.state().keys.get(keyid)
        if key is None or key.ended is not None:
            raise Refused(
                N_("the key of this request is not admitted"),
                do=N_("wait for the chamber's approval, or join"),
                code="UNKNOWN_KEY",
            )
        # whoever asks for a task knows the log: one that is only catching up could not take part in a round yet
        ready = key.role == "node" and request.url.path == TASKS
        _verify(office, request, body, key.public, ready=key.member if ready else None)
        return Caller(key, body)

    _add_log(router, office)
    _add_admission(router, office, body_of)
    _add_witness(router, office, caller)
    _add_rounds(router, office, caller)
    return router


def _keyid(request: Request) -> str:
    _, _, rest = request.headers.get("signature-input", "").partition('keyid="')
    return rest.partition('"')[0]


def _verify(office: Office, request: Request, body: bytes, public: str, *, ready: str | None = None) -> None:
    """Signature, clock and nonce of a request; with its nonce is noted which member's node is `ready` for a round."""
    now = datetime.now(UTC)
    key = load_public(public)
    nonce, made = verify_request(_Message(request), body, key, now)
    with office.database.write() as session:
        session.exec(delete(UsedNonce).where(col(UsedNonce.at) < now.timestamp() - 2 * MAX_SKEW_S))
        if session.get(UsedNonce, (key_id(key), nonce)):
            raise Refused(
                N_("this very request was made before"),
                why=N_("each attempt needs a nonce of its own"),
                code="REPLAYED_NONCE",
            )
        session.add(UsedNonce(keyid=key_id(key), nonce=nonce, at=made.timestamp()))
        if ready is not None:
            session.merge(LastSeen(member=ready, at=now.timestamp()))


class _Message:
    """A request as the signature library wants to see it."""

    def __init__(self, request: Request):
        self.method, self.url, self.headers = request.method, str(request.url), request.headers


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


def _add_admission(router: APIRouter, office: Office, body_of: Any) -> None:

    @router.post("/v1/join")
    def join(request: Request, body: bytes = Depends(body_of)) -> dict[str, str]:
        asked = read(Join, body)
        node = parse(open_entry(from_base64(asked.entries[0])).payload)
        _verify(office, request, body, getattr(node, "public", ""))
        return members.join(office.database, office.log, office.settings, asked, datetime.now(UTC))


def _add_witness(router: APIRouter, office: Office, caller: Any) -> None:

    @router.get("/v1/head")
    def head(after: Size, wait: float = 0.0, who: Caller = Depends(caller)) -> dict[str, str | None]:

        def other() -> str | None:
            note = office.log.note() if office.log.published_size() != after else None
            return note.text() if note else None

        return {"checkpoint": office.wait_for(other, wait)}

    @router.post("/v1/cosignatures")
    def keep_cosignature(who: Caller = Depends(caller)) -> dict[str, str]:
        asked = read(Cosigned, who.body)
        office.log.cosign(asked.size, asked.line)
        return {"state": "kept"}

    @router.post("/v1/statements")
    def say(who: Caller = Depends(caller)) -> dict[str, Any]:
        entry = from_base64(read(Said, who.body).entry)
        predicate = parse(open_entry(entry).payload)
        if _speaker(office, predicate) != who.member:
            raise Refused(N_("a node speaks for its own member only"), code="CONSENT_NOT_BY_PRINCIPAL")
        if isinstance(predicate, Key) and predicate.replaces:
            entry = cosign(entry, office.settings.office_key)  # the old key's word suffices, or that of the auditors
        index = office.log.append(entry)
        if isinstance(predicate, Refusal):
            runs.mark_refused(office.database, predicate.order, predicate.member)
        note = office.log.publish(index)
        return {"index": index, "proof": office.log.proof(index, note)}

    @router.get("/documents/{name}")
    def document(name: str, who: Caller = Depends(caller)) -> Response:
        held = registry.read(office.database, f"sha256:{name}")
        if held is None or not registry.may_read(held, who.key.role, who.key.member):
            return _absent(f"documents/{name}")
        return Response(held.data, media_type="application/octet-stream")


def _speaker(office: Office, predicate: Predicate) -> str | None:
    """Whose word a statement is: its member, or the member whose key it ends."""
    if isinstance(predicate, KeyState):
        key = office.log.state().keys.get(predicate.key)
        return key.member if key else None
    return getattr(predicate, "member", None)


def _add_rounds(router: APIRouter, office: Office, caller: Any) -> None:

    @router.post(TASKS)
    def task(who: Caller = Depends(caller)) -> Response:
        asked = read(Waiting, who.body)
        row = office.wait_for(lambda: _next_task(office, who.member, set(asked.done)), asked.wait)
        if row is None:
            return Response(status_code=204)
        return JSONResponse(
            {
                "id": row.id,
                "run": row.run,
                "round": row.round,
                "open": row.open_index,
                "step": row.step,
                "size": office.log.state().size,
                "message": to_base64(row.body),
            }
        )

    @router.put("/v1/contributions/{name}")
    def contribute(name: str, who: Caller = Depends(caller)) -> dict[str, str]:
        asked_row = _asked(office, name, who)
        if asked_row.step != TRAIN:
            raise Refused(N_("nobody asked this node for that contribution"), code="PARTICIPANT")
        with _dropped_if_broken(office, asked_row):
            line, data = _reply_of(who.body)
            if asked_row.payload is None:
                # before the write transaction: the log is never asked while one is open, or two threads could wait for each other
                _check_contribution(office, asked_row, who.key, line, data)
        with office.database.write() as session:
            if _keep_reply(session.get_one(TaskMessage, name), line, data):
                registry.keep(session, "contribution", data, who.member)
        return {"state": "kept"}

    @router.put("/v1/replies/{name}")
    def reply(name: str, who: Caller = Depends(caller)) -> dict[str, str]:
        asked_row = _asked(office, name, who)
        if asked_row.step == TRAIN:
            raise Refused(N_("nobody asked this node for that contribution"), code="PARTICIPANT")
        with _dropped_if_broken(office, asked_row):
            line, data = _reply_of(who.body)
            if len(line) + len(data) > STEP_LIMIT:
                raise Malformed(N_("a step of a sum has at most {limit} bytes"), limit=STEP_LIMIT, code="TOO_LARGE")
        with office.database.write() as session:
            _keep_reply(session.get_one(TaskMessage, name), line, data)
        return {"state": "kept"}


def _asked(office: Office, name: str, who: Caller) -> TaskMessage:
    with office.database.read() as session:
        row = session.get(TaskMessage, name)
    if row is None or row.member != who.member:
        raise Refused(N_("nobody asked this node for that contribution"), code="PARTICIPANT")
    return row


def _reply_of(body: bytes) -> tuple[bytes, bytes]:
    """(line, payload) of a reply that holds these two and nothing else."""
    asked = read(Reply, body)
    return from_base64(asked.line), from_base64(asked.payload)


@contextmanager
def _dropped_if_broken(office: Office, row: TaskMessage) -> Iterator[None]:
    """A reply that is not what it should be is refused, never repaired: its member is out of this round, nobody waits
    for it, and the round's record will say malformed."""
    try:
        yield
    except TrustError as error:
        log_event.warning("reply refused", member=row.member, round=row.round, step=row.step, code=error.code)
        if error.code != "LATE":
            with office.database.write() as session:
                held = session.get_one(TaskMessage, row.id)
                if held.payload is None and not held.refused:
                    held.refused = held.malformed = True
        raise


def _keep_reply(row: TaskMessage, line: bytes, data: bytes) -> bool:
    """Keep a first reply; True if it is one. The same bytes again are fine, others are refused, late ones too."""
    if row.payload is not None:
        if (row.line, row.payload) != (line, data):
            raise Refused(N_("this round has another contribution of this member already"), code="UPDATE_REPLAY")
        return False
    if row.refused:
        raise Refused(N_("round {round} has ended"), code="LATE", round=row.round)
    row.line, row.payload = line, data
    return True


def _next_task(office: Office, member: str, done: set[str]) -> TaskMessage | None:
    with office.database.read() as session:
        waiting = session.exec(
            select(TaskMessage).where(
                TaskMessage.member == member, col(TaskMessage.payload).is_(None), col(TaskMessage.refused).is_(False)
            )
        ).all()
    state = office.log.state()
    for row in waiting:
        run = state.runs.get(row.run)
        opened = run.open_round() if run else None
        if row.id not in done and opened and opened.opened.round == row.round:
            return row
    return None


def _check_contribution(office: Office, row: TaskMessage, key: RegisteredKey, line: bytes, data: bytes) -> None:
    """Line signed by this member for this very round; payload of the agreed shape and range."""
    run = office.log.state().runs[row.run]
    opened = run.open_round()
    if opened is None or opened.opened.round != row.round:
        raise Refused(N_("round {round} has ended"), code="LATE", round=row.round)
    envelope = open_entry(line)
    said = parse(envelope.payload)
    if not isinstance(said, Contribution) or not envelope.holds_for(load_public(key.public)):
        raise Invalid(N_("the contribution is not signed by its member"), code="UPDATE_SIGNATURE")
    if (said.member, said.order, said.round, said.open, said.model_in, said.payload) != (
        row.member,
        row.run,
        row.round,
        row.open_index,
        opened.opened.model_in,
        digest(data),
    ):
        raise Invalid(N_("the contribution was made for another round or payload"), code="UPDATE_REPLAY")
    if said.bundle != run.order.bundle:
        raise Refused(N_("the contribution was made by other code than was ordered"), code="CODE_HASH")
    known = office.log.state().ledgers.get(row.member)
    if known and said.ledger.rho_total_nano < known.rho_total_nano:
        raise Refused(
            N_("the ledger of {member} shows less than it has shown before"), code="BUDGET_RESET", member=row.member
        )
    values, plan = read_artefact(data, "contribution", "q").values, run.order.plan
    masked = office.log.state().agreements[run.order.agreement].terms.secure_sum == "required"
    wide = not masked and values and max(max(values), -min(values)) > limit_steps(plan)
    plain = of_round("contribution", row.run, row.round, values).to_bytes()
    if len(values) != plan.length() or wide or data != plain:
        raise Malformed(
            N_("a contribution has {length} numbers within the plan's range and nothing else"),
            length=plan.length(),
            code="SHAPE",
        )


_STATUS = {Malformed: 422, Invalid: 401, Refused: 403, Unavailable: 503}


def answer_error(_request: Request, error: Exception) -> Response:
    """One place maps errors to status; the sentences go out in English with their code and values."""
    assert isinstance(error, TrustError)
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
