"""Routes of a round: a node asks what there is to do, and hands in its contribution or a step of a secure sum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from sqlmodel import col, select

from contracts.envelope import digest, from_base64, load_public, to_base64
from contracts.errors import Invalid, Malformed, Refused, TrustError
from contracts.fields import time_text
from contracts.log.contribution_list import MOST_MEMBERS, read_list
from contracts.rules.state import RegisteredKey, RoundRecord, RunRecord, TrustState
from contracts.rules.times import SKEW_S, closes_by, shifted
from contracts.rules.uses import held_by_its_own_word
from contracts.statements.artefact import of_round, read_artefact
from contracts.statements.off_log import Contribution, SumSurvivors
from contracts.statements.signed import read_statement
from contracts.statements.sums import limit_steps, read_keys, signed_part
from contracts.wording import N_
from coordinator.learning.secure_sums import read_sealed, read_shares
from coordinator.office import Caller, Office
from coordinator.requests import SubmittedReply, Waiting, read
from coordinator.store import documents
from coordinator.store.tables import TaskMessage
from coordinator.web.bodies import CONTRIBUTIONS, REPLIES
from coordinator.web.reception import TASKS
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK
from shell.log_lines import log_event

STEP_LIMIT = 2**20


def add_rounds(router: APIRouter, office: Office, caller: Any) -> None:
    """Add the routes; `caller` says who signed a request."""

    @router.post(TASKS)
    async def task(who: Caller = Depends(caller)) -> Response:
        asked, member = read(Waiting, who.body), who.member
        look = partial(_next_task, office, member, set(asked.done))
        row = await office.wait_for(look, asked.wait, f"{TASKS} {member}", who.turn)
        return JSONResponse(_question(row, office.log.state().size)) if row else Response(status_code=204)

    @router.put(f"{CONTRIBUTIONS}{{name}}")
    def contribute(name: str, who: Caller = Depends(caller)) -> dict[str, str]:
        return _take(office, _asked(office, name, who, {TRAIN}), who)

    @router.put(f"{REPLIES}{{name}}")
    def reply(name: str, who: Caller = Depends(caller)) -> dict[str, str]:
        return _take(office, _asked(office, name, who, {KEYS, SHARES, SURVIVORS, UNMASK}), who)


def _question(row: TaskMessage, size: int) -> dict[str, str | int]:
    return {
        "id": row.id,
        "run": row.run,
        "round": row.round,
        "open": row.open_index,
        "step": row.step,
        "size": size,
        "message": to_base64(row.body),
    }


def _asked(office: Office, name: str, who: Caller, steps: set[str]) -> TaskMessage:
    with office.database.read() as session:
        row = session.get(TaskMessage, name)
    if row is None or row.member != who.member or row.step not in steps:
        raise Refused(N_("nobody asked this node for that contribution"), code="PARTICIPANT")
    return row


def _take(office: Office, row: TaskMessage, who: Caller) -> dict[str, str]:
    """Keep a reply, once it was found to be what its step asks for."""
    with _dropped_if_broken(office, row):
        line, data = _reply_of(who.body, row.step)
        if row.payload is None:
            # before the write transaction: the log is never asked while one is open, or two
            # threads could wait for each other
            (_check_contribution if row.step == TRAIN else _check_step)(office, row, who.key, line, data)
    with office.database.write() as session:
        is_first = _keep_reply(session.get_one(TaskMessage, row.id), line, data)
        if is_first and row.step == TRAIN:
            documents.keep(session, "contribution", data, who.member)
    return {"state": "kept"}


def _reply_of(body: bytes, step: str) -> tuple[bytes, bytes]:
    """(line, payload) of a reply that holds these two and nothing else."""
    asked = read(SubmittedReply, body)
    line, data = from_base64(asked.line), from_base64(asked.payload)
    if step != TRAIN and len(line) + len(data) > STEP_LIMIT:
        raise Malformed(N_("a step of a sum has at most {limit} bytes"), limit=STEP_LIMIT, code="TOO_LARGE")
    return line, data


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


def _check_time(state: TrustState, run: RunRecord, opened: RoundRecord, said: Contribution) -> None:
    """A member's signed time lies within its round and its consent: an auditor will compare it (I33)."""
    first, last = opened.opened.issued_at, time_text(datetime.now(UTC))
    if state.agreements[run.order.agreement].terms.edition >= 2:
        last = min(last, closes_by(run.order, first, opened.opened.deadline_s))
    in_round = shifted(first, -SKEW_S) <= said.issued_at <= shifted(last, SKEW_S)
    if not in_round or not held_by_its_own_word(
        state,
        said.member,
        run.order.agreement,
        opened=opened.open_index,
        seen=said.seen.size,
        at_time=said.issued_at,
    ):
        raise Refused(
            N_("the contribution says it was made at {at}, outside its round or the consent of its member"),
            do=N_("set the clock (time service), then start the node again"),
            code="CONSENT_ENDED",
            at=said.issued_at,
        )


def _shown(office: Office, member: str, key: RegisteredKey) -> int:
    """The highest total that a member's ledger has shown: on the log, and in the list of its last round."""
    state = office.log.state()
    known, last = state.ledgers.get(member), state.repeated.get(member)
    held = documents.read(office.database, last.document) if last else None
    line = read_list(held.data, MOST_MEMBERS).signed_by(member, [key.public]) if held else None
    return max(one.rho_total_nano if one else 0 for one in (known, line.ledger if line else None))


def _check_contribution(office: Office, row: TaskMessage, key: RegisteredKey, line: bytes, data: bytes) -> None:
    """Line signed by this member for this very round; payload of the agreed shape and range."""
    run = office.log.state().runs[row.run]
    opened = run.open_round()
    if opened is None or opened.opened.round != row.round:
        raise Refused(N_("round {round} has ended"), code="LATE", round=row.round)
    statement = read_statement(line)
    said = statement.said
    if not isinstance(said, Contribution) or not statement.envelope.holds_for(load_public(key.public)):
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
    _check_time(office.log.state(), run, opened, said)
    if said.ledger.rho_total_nano < _shown(office, row.member, key):
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
