"""The journal of a run: its rounds in log and database."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import col, select

from contracts.envelope import canonical, seal, to_base64
from contracts.fields import moment, new_id, time_text
from contracts.log.merkle import leaf_hash, root
from contracts.rules.budgets import consenting_members
from contracts.rules.groups import askable, rule_of, whole
from contracts.rules.state import RoundRecord, RunRecord, TrustState
from contracts.rules.times import SKEW_S, closes_by
from contracts.statements.artefact import Artefact, model, of_round, read_artefact
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.signed import read_statement
from contracts.statements.statements import DropReason, Predicate, Round, RoundOpen
from coordinator.learning.grid import node_id
from coordinator.learning.secure_sums import Contributed, RoundOpened
from coordinator.learning.strategy import Summed
from coordinator.settings import Settings
from coordinator.store import documents
from coordinator.store.database import Database
from coordinator.store.log import Log
from coordinator.store.tables import CutOff, LastSeen, TaskMessage
from privacy.step import start_state
from shell.log_lines import log_event

ONLINE_S = 40.0
GATHER_S = 5.0
SPARE_S = 5  # of the skew, for the record of a round to be made and logged


class RunJournal:
    """See coordinator.learning.strategy.Journal. Everything it knows is in the log and in documents."""

    def __init__(self, database: Database, log: Log, settings: Settings, run: str, stopped: Callable[[], bool]):
        self._database, self._log, self._settings, self._run, self._stopped = database, log, settings, run, stopped
        self._dropped: dict[str, DropReason] = {}

    def members(self) -> list[str]:
        """Who is asked in the open round, or may be asked in the next one."""
        state = self._log.state()
        waiting = state.runs[self._run].open_round()
        if waiting:
            return [member for member, _ in waiting.opened.members]
        return [member for member, _ in self._ready(state)]

    def open_round(self) -> RoundOpened | None:
        """See Journal. A round that a crash left open is gone on with, never opened twice."""
        while not self._stopped():
            run = self._log.state().runs[self._run]
            waiting = run.open_round()
            if waiting and self._is_over(run, waiting):
                self.close_round(self._opened(run, waiting), None, *self.state())
                continue
            if waiting is None and (run.is_complete() or _now() >= moment(run.order.expires_at)):
                return None
            if waiting is None and self._gathered(run):
                self._append(self._opening)
                waiting = self._log.state().runs[self._run].open_round()
            if waiting and self._witnessed(waiting.open_index):
                return self._opened(run, waiting)
            time.sleep(0.02)
        return None

    def _opened(self, run: RunRecord, waiting: RoundRecord) -> RoundOpened:
        members = tuple(member for member, _ in waiting.opened.members)
        nodes, ends = tuple(map(node_id, members)), self._ends(run, waiting)
        return RoundOpened(waiting.opened.round, waiting.open_index, members, nodes, ends)

    def _ends(self, run: RunRecord, waiting: RoundRecord) -> datetime | None:
        """When the time of a round is over, where its agreement has such a rule."""
        if self._log.state().agreements[run.order.agreement].terms.edition < 2:
            return None
        return moment(closes_by(run.order, waiting.opened.issued_at, waiting.opened.deadline_s))

    def _is_over(self, run: RunRecord, waiting: RoundRecord) -> bool:
        """The round can only be aborted: this coordinator was away too long, or members were too slow."""
        ends = self._ends(run, waiting)
        return ends is not None and _now() > ends + timedelta(seconds=SKEW_S - SPARE_S)

    def _ready(self, state: TrustState) -> tuple[tuple[str, int], ...]:
        return may_be_asked(state, state.runs[self._run], online(self._database))

    def _gathered(self, run: RunRecord) -> bool:
        """Everyone who consents is online; or enough are, and the others had a few seconds to appear."""
        state = self._log.state()
        ready = self._ready(state)
        if len(ready) < run.order.min_members:
            return False
        everyone = len(may_be_asked(state, run, state.members()))
        waited = (_now() - moment(run.order.issued_at)).total_seconds()
        return len(ready) == everyone or waited > GATHER_S

    def _opening(self, state: TrustState) -> Predicate:
        run = state.runs[self._run]
        return RoundOpen(
            record_id=new_id(),
            issued_at=time_text(_now()),
            order=self._run,
            round=run.next_round(),
            members=self._ready(state),
            model_in=run.model,
            log_size=state.size,
            deadline_s=run.order.deadline_s,
        )

    def _witnessed(self, index: int) -> bool:
        self._log.publish()
        return self._log.witnessed(index + 1) is not None

    def _append(self, make: Callable[[TrustState], Predicate]) -> None:
        self._log.append_made(lambda state: seal(payload(make(state)), [self._settings.office_key]))
        self._log.publish()

    def state(self) -> tuple[array[float], array[float]]:
        """See Journal."""
        run = self._log.state().runs[self._run]
        values = self._values(run.model, "model")
        recorded = [r.closed for r in run.rounds if r.closed and r.closed.outcome == "recorded"]
        if not recorded:
            return values, start_state(run.order.plan, values)
        return values, self._values(str(recorded[-1].step_state), "step-state")

    def _values(self, name: str, kind: str) -> array[float]:
        held = documents.read(self._database, name)
        if held is None:
            raise RuntimeError(f"document {name} is missing from the database")
        return read_artefact(held.data, kind, "d").values

    def node_keys(self, opened: RoundOpened) -> dict[str, str]:
        """See coordinator.learning.secure_sums.Cut."""
        state = self._log.state()
        live = {member: state.live_key(member, "node") for member in opened.members}
        return {member: key[1].public for member, key in live.items() if key}

    def _cut_off(self, round: int) -> int:
        """The size of the log when it is first asked for: whoever withdrew below it is left out."""
        size = self._log.state().size
        with self._database.write() as session:
            held = session.get(CutOff, (self._run, round))
            if held is None:
                session.add(CutOff(run=self._run, round=round, cutoff=size))
        return held.cutoff if held else size

    def accepted(self, opened: RoundOpened, replies: list[Contributed]) -> tuple[list[Contributed], int]:
        """See coordinator.learning.secure_sums.Cut. Whose group did not reply as a whole is left out of the sum."""
        cutoff = self._cut_off(opened.round)
        self._log.publish()
        state = self._log.state()
        run = state.runs[self._run]
        waiting = run.open_round()
        assert waiting is not None
        by_member = {reply.member: reply for reply in replies}
        used, self._dropped = [], {}
        for member, _ in waiting.opened.members:
            event = state.consent(member, run.order.agreement, cutoff)
            if event is None or event.is_end():
                self._dropped[member] = "withdrawn"
            elif member in by_member:
                used.append(by_member[member])
        if waiting.groups:
            together = whole(waiting.groups, (reply.member for reply in used))
            self._dropped |= dict.fromkeys((reply.member for reply in used if reply.member not in together), "group")
            used = [reply for reply in used if reply.member in together]
        return used, cutoff

    def malformed(self, opened: RoundOpened, step: str, member: str) -> None:
        """See coordinator.learning.secure_sums.Cut."""
        log_event.warning("reply cannot be read", member=member, round=opened.round, step=step)
        asked = (TaskMessage.run == self._run, TaskMessage.round == opened.round, TaskMessage.member == member)
        with self._database.write() as session:
            for row in session.exec(select(TaskMessage).where(*asked, TaskMessage.step == step)):
                row.malformed = True

    def _why_dropped(self, run: RunRecord, round: int, member: str) -> DropReason:
        """The reason that the round's record gives for a member that is not in its sum."""
        if member in self._dropped:
            return self._dropped[member]
        asked = (TaskMessage.run == self._run, TaskMessage.round == round, TaskMessage.member == member)
        with self._database.read() as session:
            broken = session.exec(select(TaskMessage.id).where(*asked, col(TaskMessage.malformed))).first()
        return "malformed" if broken else "refused" if member in run.refused else "no-reply"

    def close_round(
        self, opened: RoundOpened, summed: Summed | None, model_out: array[float], state: array[float]
    ) -> None:
        """See Journal. Documents are stored before the statement that names them."""
        run = self._log.state().runs[self._run]
        waiting = run.open_round()
        assert waiting is not None
        if summed is not None and self._is_over(run, waiting):
            log_event.warning("round too late for its sum", run=self._run, round=opened.round)
            summed = None
        listed = [member for member, _ in waiting.opened.members]
        named: dict[str, Any] = {
            "list_root": None,
            "list_document": None,
            "aggregate": None,
            "model_out": run.model,
            "step_state": None,
            "unmasking": None,
        }
        if summed is not None:
            named |= self._keep(run, opened.round, summed, model_out, state)
        combined = {reply.member for reply in summed.used} if summed else set()
        contributors = tuple(m for m in listed if m in combined)
        cutoff = self._cut_off(opened.round)
        dropped = tuple((m, self._why_dropped(run, opened.round, m)) for m in listed if m not in contributors)
        cost = run.order.plan.rho_nano()
        self._append(
            lambda _state: Round(
                record_id=new_id(),
                issued_at=time_text(_now()),
                order=self._run,
                open=opened.index,
                round=opened.round,
                outcome="recorded" if summed else "aborted",
                cutoff=cutoff,
                contributors=contributors,
                dropped=dropped,
                spend=tuple((m, cost) for m in listed if m not in waiting.not_started),
                ledgers=tuple((said.member, said.ledger) for said in _lines(summed.used if summed else [])),
                **named,
            )
        )

    def _keep(
        self, run: RunRecord, round: int, summed: Summed, model_out: array[float], state: array[float]
    ) -> dict[str, Any]:
        lines = [reply.line for reply in summed.used]
        with self._database.write() as session:

            def keep(kind: str, artefact: Artefact) -> str:
                return documents.keep(session, kind, artefact.to_bytes())

            return {
                "list_root": "sha256:" + root([leaf_hash(line) for line in lines]).hex(),
                "list_document": documents.keep(session, "list", canonical([to_base64(line) for line in lines])),
                "aggregate": keep("aggregate", of_round("aggregate", self._run, round, summed.total)),
                "model_out": keep("model", model(run.order.task, model_out)),
                "step_state": keep("step-state", of_round("step-state", self._run, round, state)),
                "unmasking": documents.keep(session, "unmasking", summed.unmasking) if summed.unmasking else None,
            }


def may_be_asked(state: TrustState, run: RunRecord, here: Container[str]) -> tuple[tuple[str, int], ...]:
    """(member, index of its consent) of everyone `here` who may be asked now; in groups, of those that are whole."""
    at_time = time_text(_now())
    found = tuple(pair for pair in consenting_members(state, run, at_time) if pair[0] in here)
    if rule_of(state, run.order.agreement) is None:
        return found
    together = whole(askable(state, run, at_time), dict(found))
    return tuple(pair for pair in found if pair[0] in together)


def _lines(used: list[Contributed]) -> list[Contribution]:
    """What the combined members signed."""
    said = [read_statement(reply.line).said for reply in used]
    return [line for line in said if isinstance(line, Contribution)]


def online(database: Database) -> set[str]:
    """Members whose nodes asked for work just now."""
    with database.read() as session:
        return set(session.exec(select(LastSeen.member).where(LastSeen.at > time.time() - ONLINE_S)))


def malformed_replies(database: Database) -> dict[str, list[tuple[int, str, str]]]:
    """{run: (round, member, step) of every reply that was not what its step asks for}, in order of rounds."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    with database.read() as session:
        for row in session.exec(select(TaskMessage).where(col(TaskMessage.malformed)).order_by(col(TaskMessage.round))):
            found.setdefault(row.run, []).append((row.round, row.member, row.step))
    return found


def mark_refused(database: Database, run: str, member: str) -> None:
    """A member's node said no: nobody waits for it any longer."""
    with database.write() as session:
        for row in session.exec(
            select(TaskMessage).where(
                TaskMessage.run == run, TaskMessage.member == member, col(TaskMessage.payload).is_(None)
            )
        ):
            row.refused = True
            session.add(row)


def _now() -> datetime:
    return datetime.now(UTC)
