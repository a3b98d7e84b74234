"""The log: entries by group commit, a tree over them, and checkpoints that are durable before anyone sees them.

The database is the sequencer and the only truth. State, tree and tiles are rebuilt from it at the start and
follow it afterwards, also when another process has appended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from typing import Any

from sqlmodel import Session, col, func, insert, select

from contracts.envelope import digest, open_entry
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.fields import time_text
from contracts.log import tiles
from contracts.log.checkpoint import (
    LOG_KEY,
    Checkpoint,
    Note,
    NoteKey,
    format_proof,
    parse_line,
    parse_note,
    sign_checkpoint,
    verify_cosignature,
)
from contracts.log.fingerprints import of_log
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.quorum import LATEST
from contracts.rules.findings import Finding
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.closed_list import parse
from contracts.statements.requests import MAX_SKEW_S
from contracts.statements.statements import Genesis
from contracts.wording import N_
from coordinator.settings import Settings
from coordinator.store.ahead import check_none_is_lost
from coordinator.store.clock import check_not_ahead
from coordinator.store.database import Database
from coordinator.store.tables import Cosignature, LogEntry, PublishedCheckpoint
from shell.snapshot import Snapshot

BATCH = 256
Rules = Callable[[TrustState, bytes, int], tuple[TrustState, Sequence[Finding]]]
Make = Callable[[TrustState], bytes]


@dataclass(slots=True)
class _Waiting:
    """An append that waits for its commit; whoever commits sets its index or its error."""

    make: Make
    digest: str | None = None  # of an entry that is known beforehand and may be in the log already
    index: int | None = None
    error: TrustError | None = None
    turn: threading.Event = field(default_factory=threading.Event)  # it has ended, or it is the one to commit now

    def has_ended(self) -> bool:
        return self.index is not None or self.error is not None


class Log:
    """Entries, what they say, and their checkpoints. `rules` decides what may be appended."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        rules: Rules = apply,
        snapshot: Snapshot | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._database, self._settings, self._rules, self._snapshot = database, settings, rules, snapshot
        self._clock = clock
        self._lock = threading.RLock()  # of the writer, whatever it writes
        self._door = threading.Lock()  # of the queue, held for a moment only
        self._queue: deque[_Waiting] = deque()
        self._state, self._tree = EMPTY, Tree()
        self._newest: Note | None = None

    def is_own(self) -> bool:
        """Whether the first entry is a genesis that names this home's log key."""
        try:
            first = parse(open_entry(next(iter(self.entries(0, 1)), b"")).payload)
        except TrustError:
            return False
        return isinstance(first, Genesis) and first.log_vkey == self.key.vkey()

    def state(self) -> TrustState:
        """What the log says now."""
        with self._database.read() as session:
            if _size(session) == self._state.size:
                return self._state
        with self._lock, self._database.read() as session:
            self._catch_up(session)
            return self._state

    def append(self, entry: bytes) -> int:
        """Index of `entry`, once it is on disk. The same bytes again give the same index; Refused with the first
        broken rule."""
        return self._commit_with_others(_Waiting(lambda state: entry, digest(entry)))

    def append_made(self, make: Make) -> int:
        """Append what `make` says on seeing the newest state, inside the transaction that appends it."""
        return self._commit_with_others(_Waiting(make))

    def _commit_with_others(self, said: _Waiting) -> int:
        """Group commit: the first in the queue commits for all who stand behind it, and then gives its turn to the
        next. Under load one transaction (and one fsync) carries up to 256 entries; without load nobody waits for
        company."""
        with self._door:
            self._queue.append(said)
            is_first = len(self._queue) == 1
        if not is_first:
            said.turn.wait()
        if not said.has_ended():
            self._commit_queue()
        if said.error is not None:
            raise said.error
        assert said.index is not None
        return said.index

    def _commit_queue(self) -> None:
        with self._lock:
            with self._door:
                batch = list(islice(self._queue, BATCH))
            try:
                self._commit(batch)
            finally:
                with self._door:
                    for _ in batch:
                        self._queue.popleft()
                    woken = [*batch, *islice(self._queue, 1)]
                for said in woken:
                    said.turn.set()

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            with self._database.write() as session:
                self._catch_up(session)
                check_none_is_lost(session, self._state)
                state, added, indices = self._place(session, batch)
                if added:
                    session.execute(insert(LogEntry), added)
        except BaseException as error:
            told = error if isinstance(error, TrustError) else Unavailable(N_("the append was interrupted; try again"))
            for said in batch:
                said.error = said.error or told
            if not isinstance(error, TrustError):
                raise
            return
        self._tree.extend(leaf_hash(row["entry"]) for row in added)
        self._state = state  # after the tree: whoever sees this state finds its leaves
        for said, index in zip(batch, indices, strict=True):
            said.index = index

    def _place(
        self, session: Session, batch: list[_Waiting]
    ) -> tuple[TrustState, list[dict[str, Any]], list[int | None]]:
        """The state after the batch, its new rows, and the index of each entry (None for what was refused)."""
        state, added = self._state, list[dict[str, Any]]()
        indices: list[int | None] = []
        named = [said.digest for said in batch if said.digest]
        held = session.exec(select(LogEntry.digest, LogEntry.index).where(col(LogEntry.digest).in_(named)))
        known: dict[str, int] = dict(held.all())
        for said in batch:
            try:
                if said.digest not in known:
                    entry = said.make(state)
                    said.digest = digest(entry)
                    after = self._accepted(state, entry)
                    now = datetime.fromtimestamp(self._clock(), UTC)
                    check_not_ahead(session, self._settings.home, state, after, now)
                    state = after
                    known[said.digest] = state.size - 1
                    added.append({"index": state.size - 1, "digest": said.digest, "entry": entry})
                indices.append(known[said.digest])
            except TrustError as error:
                said.error = error
                indices.append(None)
        return state, added, indices

    def check(self, entries: Iterable[bytes]) -> None:
        """Refused with the first rule that these entries, one after another, would break now; nothing is appended."""
        state = self.state()
        for entry in entries:
            state = self._accepted(state, entry)

    def _accepted(self, state: TrustState, entry: bytes) -> TrustState:
        after, findings = self._rules(state, entry, state.size)
        if findings:
            raise Refused(
                findings[0].what,
                why=N_("the rules of the log refuse this statement"),
                code=findings[0].code,
                **findings[0].values,
            )
        return after

    def _catch_up(self, session: Session) -> None:
        if self._snapshot is not None and self._state.size == 0:
            state, self._tree = self._snapshot.resume(partial(_stream, session))
            self._state = state  # after the tree, as in a commit
        for entry in _stream(session, self._state.size):
            self._tree.extend([leaf_hash(entry)])
            self._state, _ = self._rules(self._state, entry, self._state.size)

    @property
    def key(self) -> NoteKey:
        """The log's verifier key."""
        return NoteKey(self._settings.origin, LOG_KEY, self._settings.log_key.public_key())

    def fingerprint(self) -> str:
        """Which log this is, as two people compare it aloud."""
        [first] = self.entries(0, 1)
        return of_log(self.key.name, self.key.vkey(), digest(first))

    def publish(self, index: int | None = None) -> Note:
        """A signed checkpoint that holds entry `index`; by default the newest, which holds all. Its entries are
        committed before it is signed, and (size, root) is committed before the signature is returned. A size that was
        signed before keeps its first note, so no second root can ever be signed for it."""
        if self._newest is not None and self._holds(self._newest, index):
            return self._newest
        with self._lock:
            if self._newest is None or not self._holds(self._newest, index):
                with self._database.write() as session:
                    self._catch_up(session)
                    newest = self._signed(session, self._tree.size, self._tree.root())
                self._newest = newest
            return self._newest

    def _holds(self, note: Note, index: int | None) -> bool:
        return note.checkpoint.size == self.state().size if index is None else note.checkpoint.size > index

    def _signed(self, session: Session, size: int, root: bytes) -> Note:
        held = session.get(PublishedCheckpoint, size)
        if held is None:
            note = sign_checkpoint(Checkpoint(self._settings.origin, size, root), self._settings.log_key)
            session.add(PublishedCheckpoint(size=size, root=root.hex(), note=note.text(), signed_at=self._clock()))
            return note
        if held.root != root.hex():
            raise Invalid(
                N_("log size {size} was signed with another root: the database was altered"),
                do=N_("stop, keep the files, and compare with a member's mirror"),
                code="SELF_EQUIVOCATION",
                size=size,
            )
        return parse_note(held.note)

    def note(self, size: int | None = None) -> Note | None:
        """A published checkpoint (the newest by default) with the cosignatures it has so far."""
        with self._database.read() as session:
            if size is None:
                size = _published(session)
            held = session.get(PublishedCheckpoint, size) if size is not None else None
            if held is None:
                return None
            lines = session.exec(
                select(Cosignature.line).where(Cosignature.size == held.size).order_by(Cosignature.name)
            ).all()
        note = parse_note(held.note)
        return Note(note.checkpoint, (*note.signatures, *(parse_line(line) for line in lines)))

    def published_size(self) -> int | None:
        """Size of the newest published checkpoint."""
        with self._database.read() as session:
            return _published(session)

    def sizes(self) -> list[int]:
        """Sizes of all published checkpoints, ascending."""
        with self._database.read() as session:
            return list(session.exec(select(PublishedCheckpoint.size).order_by(col(PublishedCheckpoint.size))))

    def cosign(self, size: int, line: str) -> None:
        """Keep a signature line of a member's witness or an auditor under a checkpoint; Invalid unless it
        holds, Refused (QUORUM) if there is no such checkpoint or witness here, or (CLOCK) if its time is not
        between the checkpoint's and now."""
        note, signature = self.note(size), parse_line(line)
        witness = self.state().quorum_at(size).keys().get(signature.name)
        if note is None or witness is None:
            raise Refused(
                N_("no such checkpoint or witness: {name} at {size}"), name=signature.name, size=size, code="QUORUM"
            )
        seen = verify_cosignature(note.checkpoint, signature, witness)
        with self._database.write() as session:
            held = session.get(PublishedCheckpoint, size)
            _check_clock(seen, signed_at=held.signed_at if held else 0.0, now=self._clock())
            session.merge(Cosignature(size=size, name=signature.name, line=line))

    def witnessed(self, at_least: int) -> Note | None:
        """The newest checkpoint of at least this size that a quorum of members and auditors has cosigned."""
        state = self.state()
        with self._database.read() as session:
            rows = session.exec(
                select(Cosignature.size, Cosignature.name)
                .where(Cosignature.size >= at_least)
                .order_by(col(Cosignature.size).desc())
                .execution_options(yield_per=100)
            )
            for size, given in groupby(rows, key=lambda row: row[0]):
                if state.quorum_at(size).is_met(name for _, name in given):
                    return self.note(size)
        return None

    def proof(self, index: int, note: Note) -> str:
        """Receipt for entry `index` under a checkpoint."""
        self.state()
        return format_proof(index, self._tree.inclusion_proof(index, note.checkpoint.size), note)

    def tree(self) -> Tree:
        """The tree over all entries."""
        self.state()
        return self._tree

    def tile(self, path: str) -> bytes:
        """Bytes of a tile of the log as it is now; Malformed if there is none of that name."""
        name = tiles.parse_path(path)
        size, first = self.state().size, name.n * tiles.WIDTH
        if first + name.width > (size if name.level is None else size >> (8 * name.level)):
            raise Malformed(N_("{path} is not the path of a tile"), path=path)
        if name.level is not None:
            return self._tree.row(name.level, first, first + name.width)
        return tiles.bundle(list(self.entries(first, first + name.width)))

    def entries(self, start: int, end: int) -> Iterable[bytes]:
        """Entries start..end-1 as they stand in the database."""
        with self._database.read() as session:
            return session.exec(
                select(LogEntry.entry)
                .where(col(LogEntry.index) >= start, col(LogEntry.index) < end)
                .order_by(col(LogEntry.index))
            ).all()


def _stream(session: Session, start: int, end: int | None = None) -> Iterable[bytes]:
    """Entries start..end-1, by default all from `start` on, a thousand in memory at a time."""
    rows = select(LogEntry.entry).where(col(LogEntry.index) >= start).order_by(col(LogEntry.index))
    if end is not None:
        rows = rows.where(col(LogEntry.index) < end)
    return session.exec(rows.execution_options(yield_per=1000))


def _published(session: Session) -> int | None:
    return session.exec(select(func.max(PublishedCheckpoint.size))).one()


def _size(session: Session) -> int:
    newest = session.exec(select(func.max(LogEntry.index))).one()
    return 0 if newest is None else int(newest) + 1


def _check_clock(seen: int, *, signed_at: float, now: float) -> None:
    """A witness with a wrong clock would take away what all the others prove about time."""
    if not signed_at - MAX_SKEW_S <= seen <= now + MAX_SKEW_S:
        raise Refused(
            N_("the clock of this witness is wrong: it signed at {seen}, here it is {now}"),
            why=N_("cosignatures prove when an entry was there"),
            do=N_("set the clock of that machine, or of this coordinator, and go on"),
            code="CLOCK",
            seen=_date(seen),
            now=_date(int(now)),
        )


def _date(unix: int) -> str:
    return time_text(datetime.fromtimestamp(min(unix, LATEST), UTC))
