"""The member's own copy of the log, and the witness that watches it grow.

Check and store are one transaction: a checkpoint is cosigned only after its entries are on this disk, extend
what was here before, and give exactly its root.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from client_node.settings import Settings
from client_node.uplink import Uplink
from contracts import tiles
from contracts.checkpoint import (
    Note,
    NoteKey,
    cosign_note,
    parse_note,
    parse_vkey,
    verify_log_signature,
    witness_name,
)
from contracts.envelope import digest
from contracts.errors import Invalid
from contracts.merkle import Frontier, leaf_hash
from contracts.pins import Pins
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState
from contracts.statements import Seen
from contracts.wording import N_

_TABLES = """
CREATE TABLE IF NOT EXISTS entry (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS seen (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
"""


class Mirror:
    """Entries, state and newest checkpoint as this node has verified them."""

    def __init__(self, settings: Settings, invite: dict[str, Any]):
        self._settings, self._invite = settings, invite
        self._path = settings.home / "mirror.db"
        self.state: TrustState = EMPTY
        self._frontier = Frontier()
        self._roots = [self._frontier.root()]
        self.note: Note | None = None
        with self._open() as connection:
            connection.executescript(_TABLES)
            for (entry,) in connection.execute("SELECT entry FROM entry ORDER BY idx"):
                self._take(entry)
            row = connection.execute("SELECT note FROM seen ORDER BY size DESC LIMIT 1").fetchone()
            self.note = parse_note(row[0]) if row else None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _take(self, entry: bytes) -> None:
        self.state, _ = apply(self.state, entry, self.state.size)
        self._frontier.append(leaf_hash(entry))
        self._roots.append(self._frontier.root())

    @property
    def log(self) -> NoteKey:
        """The log's key, as the invite names it."""
        return parse_vkey(self._invite["log_vkey"])

    def entries(self) -> list[bytes]:
        """Every entry of this copy, in order."""
        with self._open() as connection:
            return [entry for (entry,) in connection.execute("SELECT entry FROM entry ORDER BY idx")]

    def seen(self) -> Seen:
        """The newest verified state, for signed statements."""
        return Seen(size=self._frontier.size, root="sha256:" + self._frontier.root().hex())

    def follow(self, uplink: Uplink, wait_s: float) -> Note | None:
        """Wait for a newer checkpoint, verify and store what it adds, cosign it. None if there is none."""
        text = uplink.ask("head", "GET", f"/v1/head?after={self._frontier.size}&wait={wait_s}").json()["checkpoint"]
        if text is None:
            return None
        note = parse_note(text)
        verify_log_signature(note, self.log)
        self._extend(uplink, note)
        name = witness_name(self.log.name, self._settings.member)
        if name in self.state.witnesses():
            line = cosign_note(note, self._settings.witness_key, name=name, time=int(time.time()))
            uplink.ask("cosignature", "POST", "/v1/cosignatures", {"size": note.checkpoint.size, "line": line})
        return note

    def _extend(self, uplink: Uplink, note: Note) -> None:
        """Fetch the new entries; Invalid (EQUIVOCATION) unless they extend this copy to exactly the signed root."""
        added = fetch_entries(uplink, self._frontier.size, note.checkpoint.size)
        frontier, state, roots = self._frontier.copy(), self.state, list(self._roots)
        for entry in added:
            state, _ = apply(state, entry, state.size)
            frontier.append(leaf_hash(entry))
            roots.append(frontier.root())
        if (frontier.size, frontier.root()) != (note.checkpoint.size, note.checkpoint.root):
            raise Invalid(
                N_("the log shown now does not extend the log seen before"),
                why=N_("size {size}, shown root {shown}, own root {own}"),
                do=N_("do not contribute; tell other members and an auditor, keep this node's files"),
                code="EQUIVOCATION",
                size=note.checkpoint.size,
                shown=note.checkpoint.root.hex(),
                own=frontier.root().hex(),
            )
        first = added[0] if self._frontier.size == 0 else None
        if first is not None and digest(first) != self._invite["genesis"]:
            raise Invalid(N_("the log begins with another entry than the invite says"), code="GENESIS")
        with self._open() as connection:
            start = self._frontier.size
            connection.executemany("INSERT INTO entry VALUES (?, ?)", list(enumerate(added, start)))
            connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (note.checkpoint.size, note.text()))
        self._frontier, self._roots, self.state, self.note = frontier, roots, state, note

    def witnessed(self, uplink: Uplink) -> int:
        """Size of the newest checkpoint that a quorum of members has cosigned and that lies on this very tree."""
        note = parse_note(uplink.ask("checkpoint", "GET", "/checkpoint").text)
        size = note.checkpoint.size
        if size >= len(self._roots):
            self.follow(uplink, 0)
        if size >= len(self._roots) or self._roots[size] != note.checkpoint.root:
            raise Invalid(N_("the cosigned checkpoint is not on the tree that this node has seen"), code="EQUIVOCATION")
        quorum = self.state.quorum_at(size)
        return size if quorum.is_met(quorum.cosigners(note, self.log)) else 0

    def pins(self) -> Pins:
        """What this member would hand to an auditor."""
        seen, witnesses = self.seen(), self.state.witnesses()
        return Pins(
            origin=self.log.name,
            log_vkey=self._invite["log_vkey"],
            genesis=self._invite["genesis"],
            ca_pem=self._invite["ca_pem"],
            cosigners={name: key.vkey() for name, key in witnesses.items()},
            size=seen.size,
            root=seen.root,
            member=self._settings.member,
        )


def fetch_entries(uplink: Uplink, start: int, end: int) -> list[bytes]:
    """Entries start..end-1 from the log's bundles."""
    entries: list[bytes] = []
    for name in (n for n in tiles.names(end) if n.level is None and (n.n + 1) * tiles.WIDTH > start):
        bundle = tiles.parse_bundle(uplink.ask("tile", "GET", f"/{name.path()}").content, name.width)
        entries += bundle[max(0, start - name.n * tiles.WIDTH) :]
    return entries


def read_documents(home: Path) -> Path:
    """Folder of fetched documents."""
    folder = home / "documents"
    folder.mkdir(exist_ok=True)
    return folder


def document(settings: Settings, uplink: Uplink | None, name: str) -> bytes:
    """A document by digest, from this disk or from the coordinator; Invalid if the bytes have another digest."""
    path = read_documents(settings.home) / name.removeprefix("sha256:")
    if path.exists():
        data = path.read_bytes()
    elif uplink is None:
        raise Invalid(N_("document {name} is not on this machine"), name=name)
    else:
        data = uplink.ask("document", "GET", f"/documents/{path.name}").content
    if digest(data) != name:
        raise Invalid(N_("document {name} has other bytes than its name says"), name=name, code="BAD_DIGEST")
    if not path.exists():
        path.write_bytes(data)
    return data
