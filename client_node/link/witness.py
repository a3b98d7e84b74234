"""The witness: signs that the log only grew. It vouches for that and for nothing that the log says.

Check and store are one transaction, and the store is on disk before the signature leaves: two requests at once, or a
crash between them, can never make this key sign two histories. A memory that is lost cannot be begun again from zero;
the key must retire.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import key_id
from contracts.errors import Invalid, Malformed, Refused, Unavailable
from contracts.log.checkpoint import (
    WITNESS_KEY,
    Note,
    NoteKey,
    cosign_note,
    parse_line,
    parse_note,
    verify_cosignature,
    verify_log_signature,
)
from contracts.log.merkle import Frontier, Tree, verify_consistency
from contracts.wording import N_

_TABLES = """
CREATE TABLE IF NOT EXISTS memory (key TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT);
"""


def begin_memory(home: Path, key: Ed25519PrivateKey) -> None:
    """The memory of a new witness key, in place of any other: it has seen an empty log. Made once, with the key."""
    path = home / "witness.part"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(_TABLES)
    connection.execute("INSERT INTO memory VALUES (?, 0, ?, NULL)", (key_id(key.public_key()), Frontier().root()))
    connection.commit()
    connection.close()
    path.replace(home / "witness.db")


class Witness:
    """One witness key, under the cosigner `name`, watching one log."""

    def __init__(self, home: Path, key: Ed25519PrivateKey, *, name: str, log: NoteKey):
        self._path, self._key, self.name, self._log = home / "witness.db", key, name, log

    @contextmanager
    def _memory(self) -> Iterator[tuple[sqlite3.Connection, tuple[int, bytes, str | None]]]:
        """One transaction that nobody else can be in, and what it remembers; Refused if that is lost."""
        if not self._path.exists():
            raise self._lost()
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'memory'").fetchone():
                raise self._lost()
            row = connection.execute(
                "SELECT size, root, note FROM memory WHERE key = ?", (key_id(self._key.public_key()),)
            ).fetchone()
            if row is None:
                raise self._lost()
            yield connection, row
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                N_("the witness cannot write down what it signs, so it signs nothing"),
                why=N_("{error}"),
                do=N_("check free space and permissions of {path}"),
                error=error,
                path=self._path,
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._lost() from error
        finally:
            connection.close()

    def _lost(self) -> Refused:
        return Refused(
            N_("what this witness has signed before is not known any more"),
            why=N_("{path} is absent or cannot be read; starting anew could sign a second history"),
            do=N_("the running node replaces this witness key by a new one; or: client-node key rotate witness"),
            code="WITNESS_MEMORY",
            path=self._path,
        )

    def has_memory(self) -> bool:
        """False if what was signed before is lost for good."""
        try:
            with self._memory():
                return True
        except Refused:
            return False

    def compare(self, note: Note) -> None:
        """Give the memory up, for good, if this key has cosigned `note` and does not remember so much: the disk was
        restored from an old copy."""
        mine = next((s for s in note.signatures if s.name == self.name), None)
        if mine is None:
            return
        try:
            verify_cosignature(note.checkpoint, mine, NoteKey(self.name, WITNESS_KEY, self._key.public_key()))
            with self._memory() as (connection, (size, _, _)):
                if size < note.checkpoint.size:
                    connection.execute("DELETE FROM memory WHERE key = ?", (key_id(self._key.public_key()),))
        except (Invalid, Refused):
            return  # another key's line, or no memory to compare

    def latest(self) -> Note | None:
        """The newest checkpoint that this witness has cosigned, with its cosignature."""
        with self._memory() as (_, (_, _, text)):
            return parse_note(text) if text else None

    def add(self, note: Note, old: int, proof: Sequence[bytes], *, own: Tree) -> str:
        """The cosignature line over `note`, whose tree extends the one of size `old` by `proof`.

        `own` is the tree of this node's copy of the log. Raises Invalid (BAD_SIGNATURE) if the log has not signed,
        Malformed if `old` is beyond the checkpoint, Refused (STALE, with `size`) if `old` is not what was cosigned
        last, Invalid (EQUIVOCATION, GENESIS) if the proof or this node's copy shows another history.
        """
        checkpoint = note.checkpoint
        verify_log_signature(note, self._log)
        if old > checkpoint.size:
            raise Malformed(N_("a log of {size} cannot extend one of {old}"), old=old, size=checkpoint.size)
        with self._memory() as (connection, (size, root, _)):
            if old != size:
                raise Refused(
                    N_("this witness cosigned size {size} last, the request starts from {old}"),
                    code="STALE",
                    size=size,
                    old=old,
                )
            verify_consistency(old, root, checkpoint.size, checkpoint.root, proof)
            _agree(note, own, old)
            line = cosign_note(note, self._key, name=self.name, time=int(time.time()))
            mine = Note(checkpoint, (*(s for s in note.signatures if s.name == self._log.name), parse_line(line)))
            connection.execute(
                "UPDATE memory SET size = ?, root = ?, note = ? WHERE key = ?",
                (checkpoint.size, checkpoint.root, mine.text(), key_id(self._key.public_key())),
            )
        return line

    def follow(self, note: Note, own: Tree) -> str | None:
        """Pull mode: cosign a checkpoint that this node has itself rebuilt; None if a larger one was cosigned."""
        with self._memory() as (_, (size, _, _)):
            known = size
        if known > note.checkpoint.size:
            return None
        return self.add(note, known, own.consistency_proof(known, note.checkpoint.size), own=own)


def _agree(note: Note, own: Tree, old: int) -> None:
    """This node's own copy, which begins with the pinned genesis, must not contradict. It must hold every entry of a
    first checkpoint, because a proof from size 0 shows nothing; and where it is ahead of the witness's memory, which
    then may be an old one, a proof that starts from that memory cannot tie a larger checkpoint to it."""
    checkpoint = note.checkpoint
    if checkpoint.size > own.size:
        if old == 0:
            raise Invalid(N_("nothing shows that this log begins with the pinned entry"), code="GENESIS")
        if own.size > old:
            raise Unavailable(
                N_("this witness cosigned size {size} last, and the node has seen {seen} entries"),
                why=N_("the proof from {size} does not show that those {seen} entries are still there"),
                do=N_("try again when the node has cosigned them"),
                size=old,
                seen=own.size,
            )
        return
    if own.root(checkpoint.size) != checkpoint.root:
        raise Invalid(N_("two different roots for log size {size}"), code="EQUIVOCATION", size=checkpoint.size)
