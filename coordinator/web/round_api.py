"""Routes of a round: a node asks what there is to do, and hands in its contribution or a step of a secure sum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from sqlmodel import col, select

from contracts.envelope import digest, from_base64, load_public, open_entry, to_base64
from contracts.errors import Invalid, Malformed, Refused, TrustError
from contracts.rules.state import RegisteredKey
from contracts.statements.artefact import of_round, read_artefact
from contracts.statements.closed_list import parse
from contracts.statements.off_log import Contribution, SumSurvivors
from contracts.statements.sums import limit_steps, read_keys, signed_part
from contracts.wording import N_
from coordinator.learning.secure_sums import read_sealed, read_shares
from coordinator.office import Caller, Office
from coordinator.requests import Reply, Waiting, read
from coordinator.store import documents
from coordinator.store.tables import TaskMessage
from coordinator.web.reception import TASKS
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK

STEP_LIMIT = 2**20
log_event = structlog.get_logger()


def add_rounds(router: APIRouter, office: Office, caller: Any) -> None:
    """Add the routes; `caller` says who signed a request."""

    @router.post(TASKS)
    async def task(who: Caller = Depends(caller)) -> Response:
        asked, member = read(Waiting, who.body), who.member
        look = partial(_next_task, office, member, set(asked.done))
        row = await office.wait_for(look, asked.wait, f"{TASKS} {member}", who.turn)
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
                documents.keep(session, "contribution", data, who.member)
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
            if asked_row.payload is None:
                _check_step(office, asked_row, who.key, line, data)
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


def _check_step(office: Office, row: TaskMessage, key: RegisteredKey, line: bytes, data: bytes) -> None:
    """Signed by its member where a step is signed, of the right form where it is not; whom it is about is compared
    when the replies of all are there (coordinator.learning.secure_sums)."""
    mine, order = {row.member: key.public}, office.log.state().runs[row.run].order
    match row.step:
        case step if step == KEYS:
            read_keys(line, mine, agreement=order.agreement, order=row.run, round=row.round)
        case step if step == SHARES:
            read_sealed(data)
        case step if step == SURVIVORS:
            signed_part(line, SumSurvivors, mine)
        case step if step == UNMASK:
            read_shares(data)


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
