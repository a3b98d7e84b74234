"""TrustGrid: a Flower Grid whose whole state is in the database, so that any process may answer for it."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterable

from flwr.app import Error, Message
from sqlmodel import col, select

from contracts.statements.artefact import read_artefact
from coordinator.store.database import Database
from coordinator.store.tables import TaskMessage
from engine.rounds import TRAIN, OrderedGrid, asked, contribution, message_of, metadata, pack, step_reply

_POLL_S = 0.02


def node_id(member: str) -> int:
    """Flower's number for a member: first 8 bytes of its digest, below 2**63."""
    return int.from_bytes(hashlib.sha256(member.encode("ascii")).digest()[:8], "big") % 2**63


class Stopped(Exception):
    """The coordinator ends: what was waited for is waited for again at the next start."""


class TrustGrid(OrderedGrid):
    """Carries the messages of one run between the strategy and the members' queues.

    `members` lists who may be asked now; `stopped` ends a wait early when the coordinator shuts down.
    Every method raises Stopped then.
    """

    def __init__(
        self, database: Database, members: Callable[[], Iterable[str]], stopped: Callable[[], bool] = lambda: False
    ):
        self._database, self._members, self._stopped = database, members, stopped

    def get_node_ids(self) -> Iterable[int]:
        """Members with live consent, not whoever is online."""
        return [node_id(member) for member in self._members()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put messages into the members' queues; one of the same run, round, step and member is put once, and stays
        as it was put first: a coordinator that comes back asks nobody the same thing in other words."""
        members = {node_id(member): member for member in self._members()}
        names = []
        with self._database.write() as session:
            for message in messages:
                about, member = asked(message.content), members[message.metadata.dst_node_id]
                step = message.metadata.message_type
                name = hashlib.sha256(f"{about.run}/{about.round}/{step}/{member}".encode()).hexdigest()
                names.append(name)
                if session.get(TaskMessage, name) is None:
                    session.add(
                        TaskMessage(
                            id=name,
                            run=about.run,
                            round=about.round,
                            open_index=about.open_index,
                            member=member,
                            step=step,
                            body=pack(message.content),
                        )
                    )
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have arrived; an error where a member refused or the step was closed without it."""
        if self._stopped():
            raise Stopped
        with self._database.read() as session:
            rows = session.exec(
                select(TaskMessage).where(
                    col(TaskMessage.id).in_(list(message_ids)),
                    col(TaskMessage.payload).is_not(None) | col(TaskMessage.refused),
                )
            ).all()
        return [_reply(row) for row in rows]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push, then wait until everyone has replied or `timeout` seconds are over; never for ever.

        Then the step is closed: who has not replied by now is not in it, also after a crash and a second look.
        """
        names = list(self.push_messages(messages))
        end = time.monotonic() + (3600.0 if timeout is None else timeout)
        while time.monotonic() < end and not self._stopped():
            with self._database.read() as session:
                waiting = session.exec(
                    select(TaskMessage.id).where(
                        col(TaskMessage.id).in_(names),
                        col(TaskMessage.payload).is_(None),
                        col(TaskMessage.refused).is_(False),
                    )
                ).first()
            if waiting is None:
                break
            time.sleep(_POLL_S)
        if not self._stopped():
            self._close(names)
        return self.pull_messages(names)

    def _close(self, names: list[str]) -> None:
        with self._database.write() as session:
            for row in session.exec(
                select(TaskMessage).where(col(TaskMessage.id).in_(names), col(TaskMessage.payload).is_(None))
            ):
                row.refused = True
                session.add(row)


def _reply(row: TaskMessage) -> Message:
    about = metadata(1, group=str(row.round), ttl=3600.0, source=node_id(row.member), message_type=row.step)
    line, payload = row.line or b"", row.payload
    if payload is None:
        return message_of(Error(code=0, reason="refused"), about)
    if row.step != TRAIN:
        return message_of(step_reply(line, payload), about)
    values = read_artefact(payload, "contribution", "q").values
    return message_of(contribution(array("q", values), line), about)
