"""The member's own copy of the log: every entry on this disk, folded by this node, under a
root that it rebuilt itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.link import authorities
from client_node.link.uplink import CoordinatorRefused, Uplink, answered
from client_node.link.witness import Witness
from client_node.settings import Settings
from contracts.envelope import digest
from contracts.errors import Invalid, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import (
    Note,
    NoteKey,
    parse_note,
    parse_vkey,
    verify_log_signature,
    witness_name,
)
from contracts.log.contradiction import Contradiction, fork, truncation
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.pins import Pins
from contracts.rules.fold import apply
from contracts.rules.state import NamedAuthority, TrustState
from contracts.statements.statements import Seen
from contracts.wording import N_
from shell.log_folder import LogFolder
from shell.snapshot import Snapshot

Entries = Callable[[int, int], list[bytes]]  # entries start..end-1
FRESH_S = 30.0  # whoever took longer to read what a checkpoint added asks whether it is still the newest, then signs
_TABLES = """
CREATE TABLE IF NOT EXISTS entry (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS seen (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
"""


class Mirror:
    """Entries, state and newest checkpoint as this node has verified them."""

    def __init__(self, settings: Settings, invite: dict[str, Any]):
        self._settings, self._invite = settings, invite
        self._path = settings.home / "mirror.db"
        self._witness_key, self._is_compared = settings.witness_key, False
        self._owes = True  # the newest cosignature may not have reached the office
        self.note: Note | None = None
        try:
            self._resume()
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                N_("this node's copy of the log cannot be used: {path}"),
                why=N_("{error}"),
                do=N_(
                    "check free space and the disk; a copy that is damaged is made anew: move the file away, "
                    "start again"
                ),
                path=self._path,
                error=error,
            ) from error

    def _resume(self) -> None:
        with self._open() as connection:
            connection.executescript(_TABLES)
            snapshot = Snapshot(self._settings.home / "mirror.snapshot", self._settings.node_key)
            self.state, self.tree = snapshot.resume(partial(_stream, connection))
            row = connection.execute("SELECT note FROM seen ORDER BY size DESC LIMIT 1").fetchone()
            self.note = parse_note(row[0]) if row else None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    @cached_property
    def log(self) -> NoteKey:
        """The log's key, as the invite names it."""
        return parse_vkey(self._invite["log_vkey"])

    def entries(self, start: int = 0) -> list[bytes]:
        """The entries of this copy from `start` on, in order."""
        with self._open() as connection:
            return list(_stream(connection, start))

    def seen(self) -> Seen:
        """The newest verified state, for signed statements."""
        return Seen(size=self.tree.size, root="sha256:" + self.tree.root().hex())

    @property
    def witness(self) -> Witness:
        """This member's witness key, watching this log."""
        name = witness_name(self.log.name, self._settings.member)
        return Witness(self._settings.home, self._witness_key, name=name, log=self.log)

    def use_witness(self, key: Ed25519PrivateKey) -> None:
        """From now on another key is this member's witness."""
        self._witness_key = key

    def follow(self, uplink: Uplink, wait_s: float) -> Note | None:
        """Wait for another checkpoint, verify and store what it adds, cosign it. None if there is none. A new CA that
        it names counts from here on if a quorum has cosigned it.

        A cosignature that may not have arrived is sent again first: without it a quorum could be missing for ever.
        Invalid if it shows another history (EQUIVOCATION), or less than was seen before (TRUNCATED); what proves it
        is then in the folder `evidence`.
        """
        if self._owes:
            self._send_again(uplink)
        note = self._head(uplink, wait_s)
        if note is not None:
            self._follow_to(uplink, note)
        if self.unheeded():
            self._heed([parse_note(uplink.ask("checkpoint", "GET", "/checkpoint").text)])
        return note

    def _follow_to(self, uplink: Uplink, note: Note) -> None:
        began = time.monotonic()
        verify_log_signature(note, self.log)
        self._check_not_shorter(note)
        self._extend(partial(fetch_entries, uplink), note)
        self._owes = True  # whatever comes between, until the office has taken it
        if time.monotonic() - began < FRESH_S or self._head(uplink, 0) is None:
            self._cosign(uplink, note)

    def take(self, folder: LogFolder) -> None:
        """Verify and store what a copy of the log's files adds to this one, as `follow` does; nothing is cosigned."""
        notes = folder.notes(self.log)
        if not notes:
            raise Unavailable(
                N_("{folder} holds no checkpoint that this node's log has signed"),
                why=N_("the folder is of another log, or is none"),
                do=N_("name a folder that client-node export, coordinator export or auditor mirror wrote"),
                folder=folder.root,
            )
        for note in notes:
            if note.checkpoint.size > self.tree.size:
                self._extend(folder.entries, note)
        self._heed(notes)

    def unheeded(self) -> tuple[NamedAuthority, ...]:
        """The CAs that the log names and that do not count for this node yet."""
        return self.state.authorities[len(self._heeded()) :]

    def trusted(self) -> dict[str, str]:
        """Digest -> certificate of the CAs that count for this node now, the newest last."""
        return authorities.trusted(self._settings.home, self._invite, datetime.now(UTC))

    def heed(self, size: int) -> None:
        """Let every CA count that the first `size` entries name."""
        named = [one for one in self.state.authorities if one.index < size]
        if len(named) > len(self._heeded()):
            authorities.keep(self._settings.home, str(self._invite["genesis"]), named)

    def _heeded(self) -> list[NamedAuthority]:
        return authorities.kept(self._settings.home, str(self._invite["genesis"]))

    def _heed(self, notes: Iterable[Note]) -> None:
        """Take the word of the largest checkpoint that a quorum has cosigned."""
        self.heed(max((note.checkpoint.size for note in notes if self._is_witnessed(note)), default=0))

    def _is_witnessed(self, note: Note) -> bool:
        size = note.checkpoint.size
        if size > self.tree.size or self.tree.root(size) != note.checkpoint.root:
            return False
        quorum = self.state.quorum_at(size)
        return quorum.is_met(quorum.cosigners(note, self.log))

    def _head(self, uplink: Uplink, wait_s: float) -> Note | None:
        """The newest checkpoint, if it is another one than this copy stands at."""
        text = answered(uplink.ask("head", "GET", f"/v1/head?after={self.tree.size}&wait={wait_s}"), "checkpoint")
        return None if text is None else parse_note(str(text))

    def _is_witness(self) -> bool:
        key = self.state.witnesses().get(self.witness.name)
        return key is not None and key.public == self._witness_key.public_key()

    def _cosign(self, uplink: Uplink, note: Note) -> None:
        """Pull mode: this node fetched the checkpoint itself and hands its cosignature back."""
        if not self._is_witness():
            return
        self.witness.compare(note)
        if not self._is_compared:
            self.witness.compare(parse_note(uplink.ask("checkpoint", "GET", "/checkpoint").text))
            self._owes = True  # the newest cosignature, as far as this process knows
        self._is_compared = True
        if not self.witness.has_memory():
            return
        line = self.witness.follow(note, self.tree)
        if line is not None:
            self._hand_over(uplink, note.checkpoint.size, line)

    def _send_again(self, uplink: Uplink) -> None:
        """The newest cosignature of this node, as it is remembered: a crash on either side may have lost it on its way,
        or have come before the newest checkpoint was signed."""
        if not self._is_witness() or not self.witness.has_memory():
            self._owes = False
            return
        latest = self.witness.latest()
        mine = [one for one in latest.signatures if one.name == self.witness.name] if latest else []
        if latest and mine:
            try:
                self._hand_over(uplink, latest.checkpoint.size, mine[0].line())
            except CoordinatorRefused:
                head = self._head(uplink, 0)
                self._check_not_shorter(head)
                if head is None:  # it stands where this node does: it was signed under a wrong clock
                    self._cosign(uplink, latest)
        signed = latest.checkpoint.size if latest else 0
        if self.note and signed < self.note.checkpoint.size == self.tree.size and self._head(uplink, 0) is None:
            self._cosign(uplink, self.note)
        self._owes = False  # if it stands further: it may not know this checkpoint any more, and the next is cosigned

    def _hand_over(self, uplink: Uplink, size: int, line: str) -> None:
        self._owes = True
        uplink.ask("cosignature", "POST", "/v1/cosignatures", {"size": size, "line": line})
        self._owes = False

    def _extend(self, source: Entries, note: Note) -> None:
        """Fetch the new entries; Invalid (EQUIVOCATION) unless they extend this copy to exactly the signed root."""
        start = self.tree.size
        added = source(start, note.checkpoint.size)
        frontier, state = self.tree.frontier(), self.state
        for entry in added:
            state, _ = apply(state, entry, state.size)
            frontier.append(leaf_hash(entry))
        if (frontier.size, frontier.root()) != (note.checkpoint.size, note.checkpoint.root):
            raise self._forked(source, note, frontier.root())
        if added and start == 0 and digest(added[0]) != self._invite["genesis"]:
            raise Invalid(N_("the log begins with another entry than the invite says"), code="GENESIS")
        self._store(source, start, added, note)
        self.tree.extend(map(leaf_hash, added))
        self.state, self.note = state, note

    def _store(self, source: Entries, start: int, added: list[bytes], note: Note) -> None:
        """Keep what was verified. Another command of this home may have been shown the same entries meanwhile: if
        others stand there, the log has shown two histories."""
        with self._open() as connection:
            connection.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", list(enumerate(added, start)))
            if list(_stream(connection, start, start + len(added))) == added:
                connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (note.checkpoint.size, note.text()))
                return
            connection.rollback()
        fresh = Mirror(self._settings, self._invite)
        self.note = fresh.note
        raise self._forked(source, note, fresh.tree.root())

    def _check_not_shorter(self, note: Note | None) -> None:
        if note is not None and note.checkpoint.size < self.tree.size:
            verify_log_signature(note, self.log)
            raise self._truncated(note)

    def _truncated(self, note: Note) -> Invalid:
        if self.note is not None:
            self._keep(truncation(note, self.note))
        return Invalid(
            N_("the log has become shorter: it shows {size} entries, this node holds {held}"),
            why=N_("the chamber has restored an older database, and says so, or it hides what it signed"),
            do=N_(
                "do not contribute; ask the chamber. After a restore, hand it what client-node export writes, and "
                "start again when it has recovered; if it goes on without these entries, hand {evidence} to other "
                "members and an auditor"
            ),
            code="TRUNCATED",
            size=note.checkpoint.size,
            held=self.tree.size,
            evidence=self._settings.home / "evidence",
        )

    def _forked(self, source: Entries, note: Note, own: bytes) -> Invalid:
        """The error, after what can be proven to others was kept."""
        shown = Tree(map(leaf_hash, source(0, note.checkpoint.size)))
        try:
            if self.note is not None:
                self._keep(fork(self.note, note, shown))
        except ValueError:
            pass  # the tiles do not lead to the signed root either: there is nothing that would convince a stranger
        return Invalid(
            N_("the log shown now does not extend the log seen before"),
            why=N_("size {size}, shown root {shown}, own root {own}"),
            do=N_("do not contribute; hand the folder {evidence} to other members and an auditor"),
            code="EQUIVOCATION",
            size=note.checkpoint.size,
            shown=note.checkpoint.root.hex(),
            own=own.hex(),
            evidence=self._settings.home / "evidence",
        )

    def _keep(self, proof: Contradiction) -> None:
        folder = self._settings.home / "evidence"
        folder.mkdir(exist_ok=True)
        text = proof.model_dump_json(indent=1)
        (folder / f"{proof.kind}-{digest(text.encode())[7:23]}.json").write_text(text, encoding="utf-8")

    def witnessed(self, uplink: Uplink) -> Note | None:
        """The newest checkpoint that a quorum has cosigned, which lies on this very tree; None
        if there is no quorum yet."""
        note = parse_note(uplink.ask("checkpoint", "GET", "/checkpoint").text)
        size = note.checkpoint.size
        if size > self.tree.size:
            self.follow(uplink, 0)
        if size > self.tree.size or self.tree.root(size) != note.checkpoint.root:
            raise Invalid(N_("the cosigned checkpoint is not on the tree that this node has seen"), code="EQUIVOCATION")
        return note if self._is_witnessed(note) else None

    def notes(self) -> list[Note]:
        """The newest checkpoint that this node has seen, and the newest that it has cosigned."""
        latest = self.witness.latest() if self.witness.has_memory() else None
        return [note for note in (self.note, latest) if note is not None]

    def pins(self) -> Pins:
        """What this member would hand to an auditor."""
        seen, witnesses = self.seen(), self.state.witnesses()
        return Pins(
            origin=self.log.name,
            log_vkey=self._invite["log_vkey"],
            genesis=self._invite["genesis"],
            ca_pem=list(self.trusted().values())[-1],
            cosigners={name: key.vkey() for name, key in witnesses.items()},
            size=seen.size,
            root=seen.root,
            member=self._settings.member,
        )


def _stream(connection: sqlite3.Connection, start: int, end: int | None = None) -> Iterator[bytes]:
    """Entries start..end-1 of the copy, by default all from `start` on."""
    limit = -1 if end is None else end - start
    rows = connection.execute("SELECT entry FROM entry ORDER BY idx LIMIT ? OFFSET ?", (limit, start))
    return (entry for (entry,) in rows)


def fetch_entries(uplink: Uplink, start: int, end: int) -> list[bytes]:
    """Entries start..end-1 from the log's bundles."""
    entries: list[bytes] = []
    for name in tiles.bundle_names(end, start // tiles.WIDTH):
        entries += tiles.parse_bundle(uplink.ask("tile", "GET", f"/{name.path()}").content, name.width)
    return entries[start % tiles.WIDTH :]


def read_documents(home: Path) -> Path:
    """Folder of fetched documents."""
    folder = home / "documents"
    folder.mkdir(exist_ok=True)
    return folder


def document(settings: Settings, uplink: Uplink | None, name: str) -> bytes:
    """A document by digest, from this disk or, if it is not whole there, from the coordinator; Invalid if the
    bytes have another digest."""
    path = read_documents(settings.home) / name.removeprefix("sha256:")
    held = path.read_bytes() if path.exists() else None
    if held is not None and digest(held) == name:
        return held
    if uplink is None and held is None:
        raise Invalid(N_("document {name} is not on this machine"), name=name)
    data = uplink.ask("document", "GET", f"/documents/{path.name}").content if uplink else b""
    if digest(data) != name:
        raise Invalid(N_("document {name} has other bytes than its name says"), name=name, code="BAD_DIGEST")
    path.write_bytes(data)
    return data


def fetch_needed(settings: Settings, uplink: Uplink, state: TrustState) -> None:
    """Bring home what serving needs, so that it works when the coordinator is away: tables and public models of the
    active agreement, and released models with their tables."""
    active = state.active_agreement()
    tasks = state.agreements[active].terms.tasks if active else ()
    names = [name for task in tasks for name in (task.schema_digest, task.public_model) if name]
    for run in state.runs.values():
        names += [run.release.model, run.order.schema_digest] if run.release else []
    for name in names:
        document(settings, uplink, name)
