"""The log: append is one transaction, a checkpoint is durable before its signature leaves, tiles are rebuilt."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlmodel import Session, col, func, select

from contracts import tiles
from contracts.checkpoint import (
    LOG_KEY,
    Checkpoint,
    Note,
    NoteKey,
    format_proof,
    parse_line,
    parse_note,
    quorum,
    sign_checkpoint,
    verify_cosignature,
)
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed, Refused
from contracts.merkle import Frontier, inclusion_proof, leaf_hash
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState
from contracts.wording import N_
from coordinator.database import Database
from coordinator.settings import Settings
from coordinator.tables import Cosignature, LogEntry, PublishedCheckpoint


class Log:
    """Entries, their state and their checkpoints. Caches follow the database, also after other processes' appends."""

    def __init__(self, database: Database, settings: Settings):
        self._database, self._settings = database, settings
        self._lock = threading.RLock()
        self._state, self._entries, self._leaves, self._frontier = EMPTY, [], [], Frontier()

    def state(self) -> TrustState:
        """What the log says now."""
        with self._lock, self._database.read() as session:
            self._catch_up(session)
            return self._state

    def append(self, entry: bytes) -> int:
        """Index of `entry`. The same bytes again give the same index; Refused with the first broken rule."""
        return self.append_made(lambda state: entry)

    def append_made(self, make: Callable[[TrustState], bytes]) -> int:
        """Append what `make` says on seeing the newest state, inside the transaction that appends it."""
        with self._lock, self._database.write() as session:
            self._catch_up(session)
            entry = make(self._state)
            known = session.exec(select(LogEntry.index).where(LogEntry.digest == digest(entry))).first()
            if known is not None:
                return known
            index = self._state.size
            _, findings = apply(self._state, entry, index)
            if findings:
                raise Refused(
                    findings[0].what,
                    why=N_("the rules of the log refuse this statement"),
                    code=findings[0].code,
                    **findings[0].values,
                )
            session.add(LogEntry(index=index, digest=digest(entry), entry=entry))
            return index

    def _catch_up(self, session: Session) -> None:
        rows = session.exec(
            select(LogEntry).where(col(LogEntry.index) >= self._state.size).order_by(col(LogEntry.index))
        )
        for row in rows:
            self._state, _ = apply(self._state, row.entry, row.index)
            self._entries.append(row.entry)
            self._leaves.append(leaf_hash(row.entry))
            self._frontier.append(self._leaves[-1])

    @property
    def key(self) -> NoteKey:
        """The log's verifier key."""
        return NoteKey(self._settings.origin, LOG_KEY, self._settings.log_key.public_key())

    def publish(self) -> Note:
        """The newest checkpoint, signed. (size, root) is committed before the signature is returned; a size
        that was signed before keeps its first note, so no second root can ever be signed for it."""
        with self._lock, self._database.write() as session:
            self._catch_up(session)
            size, root = self._frontier.size, self._frontier.root()
            held = session.get(PublishedCheckpoint, size)
            if held is None:
                note = sign_checkpoint(Checkpoint(self._settings.origin, size, root), self._settings.log_key)
                session.add(PublishedCheckpoint(size=size, root=root.hex(), note=note.text()))
            elif held.root != root.hex():
                raise Invalid(
                    N_("log size {size} was signed with another root: the database was altered"),
                    do=N_("stop, keep the files, and compare with a member's mirror"),
                    code="SELF_EQUIVOCATION",
                    size=size,
                )
            else:
                note = parse_note(held.note)
        return note

    def note(self, size: int | None = None) -> Note | None:
        """A published checkpoint (the newest by default) with the cosignatures it has so far."""
        with self._database.read() as session:
            if size is None:
                size = session.exec(select(func.max(PublishedCheckpoint.size))).one()
            held = session.get(PublishedCheckpoint, size) if size is not None else None
            if held is None:
                return None
            lines = session.exec(
                select(Cosignature.line).where(Cosignature.size == held.size).order_by(Cosignature.name)
            ).all()
        note = parse_note(held.note)
        return Note(note.checkpoint, (*note.signatures, *(parse_line(line) for line in lines)))

    def sizes(self) -> list[int]:
        """Sizes of all published checkpoints, ascending."""
        with self._database.read() as session:
            return list(session.exec(select(PublishedCheckpoint.size).order_by(col(PublishedCheckpoint.size))))

    def cosign(self, size: int, line: str) -> None:
        """Keep a witness's signature line under a published checkpoint; Invalid unless it holds."""
        note, signature = self.note(size), parse_line(line)
        witness = self.state().witnesses().get(signature.name)
        if note is None or witness is None:
            raise Invalid(
                N_("no such checkpoint or witness: {name} at {size}"), name=signature.name, size=size, code="QUORUM"
            )
        verify_cosignature(note.checkpoint, signature, witness)
        with self._database.write() as session:
            session.merge(Cosignature(size=size, name=signature.name, line=line))

    def witnessed(self, at_least: int) -> Note | None:
        """The newest checkpoint of at least this size that a quorum of member witnesses has cosigned."""
        needed = quorum(len(self.state().witnesses()))
        with self._database.read() as session:
            size = session.exec(
                select(Cosignature.size)
                .where(Cosignature.size >= at_least)
                .group_by(col(Cosignature.size))
                .having(func.count() >= needed)
                .order_by(col(Cosignature.size).desc())
            ).first()
        return self.note(size) if size is not None else None

    def proof(self, index: int, note: Note) -> str:
        """Receipt for entry `index` under a checkpoint."""
        self.state()
        return format_proof(index, inclusion_proof(self._leaves[: note.checkpoint.size], index), note)

    def tile(self, path: str) -> bytes:
        """Bytes of a tile of the log as it is now; Malformed if there is none of that name."""
        name = tiles.parse_path(path)
        self.state()
        held = len(self._entries) if name.level is None else len(self._entries) >> (8 * name.level)
        if name.n * tiles.WIDTH + name.width > held:
            raise Malformed(N_("{path} is not the path of a tile"), path=path)
        first = name.n * tiles.WIDTH
        return (
            tiles.bundle(self._entries[first : first + name.width])
            if name.level is None
            else tiles.tile_hashes(self._leaves, name)
        )
