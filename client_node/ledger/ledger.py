"""The ledger: what this member's data has cost so far, written before anything leaves, never given back.

reserve (commit, fsync) -> sum, add noise -> publish (the very bytes that may be sent again). A release that was
reserved and not published is burnt: charged, never sent. Integers only. Every row is chained to the one before
it by digest; what this process has verified it keeps in memory (`Book`), so a row altered later changes no total.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client_node.ledger.chain import Book, Caps, altered, burnt, check_caps, check_time, row_head
from client_node.settings import Settings
from contracts.envelope import canonical, digest
from contracts.errors import Refused, TrustError, Unavailable
from contracts.statements.statements import LedgerHead
from contracts.wording import N_
from privacy.spend import Spend

_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS row (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, head TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kept (run TEXT, round INTEGER, payload BLOB, line BLOB, PRIMARY KEY (run, round));
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS gone (seq INTEGER PRIMARY KEY, at TEXT, kind TEXT, bytes INTEGER, digest TEXT);
CREATE TABLE IF NOT EXISTS refused (seq INTEGER PRIMARY KEY, at TEXT, code TEXT, reason TEXT, what TEXT);
"""


@dataclass(frozen=True, slots=True)
class Published:
    """Bytes that were released before and may be sent again for free."""

    payload: bytes
    line: bytes


class Budget:
    """One writer at a time; SQLite WAL with synchronous FULL. Raises Invalid on a ledger that was altered."""

    def __init__(self, path: Path):
        self._path, self._book = path, Book()
        with self._write() as connection:
            known = connection.execute("PRAGMA user_version").fetchone()[0]
            if known != _VERSION and connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise Unavailable(N_("the ledger {path} is of another version of this program"), path=path)
            for table in filter(None, map(str.strip, _TABLES.split(";"))):
                connection.execute(table)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            self._read(connection)
            if "units" not in self._book.secrets:
                key = secrets.token_bytes(32)
                connection.execute("INSERT INTO secret VALUES ('units', ?)", (key,))
                self._append(connection, fact="secret", name="units", digest=digest(key))

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                N_("the ledger {path} cannot be used"),
                why=N_("{error}"),
                do=N_("check free space and the disk; nothing was sent"),
                path=self._path,
                error=error,
            ) from error
        finally:
            connection.close()

    def _read(self, connection: sqlite3.Connection) -> Book:
        """The book with every row that was added since the last look. Invalid if rows changed or are gone."""
        book = self._book
        [last] = connection.execute("SELECT head FROM row WHERE seq = ?", (book.seq,)).fetchall() or [(None,)]
        if book.seq and last[0] != book.head.head:
            raise altered(book.seq)
        for row in connection.execute("SELECT seq, body, head FROM row WHERE seq > ? ORDER BY seq", (book.seq,)):
            book.add(*row)
        return book

    def _append(self, connection: sqlite3.Connection, **fact: object) -> None:
        body = canonical(fact).decode()
        row = self._book.seq + 1, body, row_head(self._book.head.head, body)
        connection.execute("INSERT INTO row VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")  # on disk before anything is done because of it
        connection.execute("BEGIN IMMEDIATE")
        self._read(connection)

    def verify(self) -> None:
        """Raise Invalid unless every row follows from the one before it and the kept bytes are the published ones."""
        with self._write() as connection:
            book = Book()
            for row in connection.execute("SELECT seq, body, head FROM row ORDER BY seq"):
                book.add(*row)
            for run, round in book.published:
                _kept(connection, book, run, round)
            _secret(connection, book)

    def unit_key(self) -> bytes:
        """The key that chooses and splits units; kept for life. Invalid if it is another than it was."""
        with self._write() as connection:
            return _secret(connection, self._read(connection))

    def head(self) -> LedgerHead:
        """Where the chain stands and what it sums to; goes into what this member says on the
        log, and its contributions."""
        with self._write() as connection:
            return self._read(connection).head

    def knows(self, shown: LedgerHead) -> bool:
        """True if this very head stands in the chain: False for a restored, copied or deleted ledger."""
        with self._write() as connection:
            return self._read(connection).totals.get(shown.head) == shown.rho_total_nano

    def has_begun(self, run: str, round: int) -> bool:
        """True if this release was reserved before, whatever became of it."""
        with self._write() as connection:
            return (run, round) in self._read(connection).reserved

    def reserve(self, spend: Spend, caps: Caps) -> Published | None:
        """Charge one release durably. None: go on. Published: this release happened, send these bytes again.

        Refused if a cap would be passed, if the clock or the year runs backwards, or if the release was reserved
        before and never published (burnt).
        """
        with self._write() as connection:
            book = self._read(connection)
            if (spend.run, spend.round) in book.published:
                return _kept(connection, book, spend.run, spend.round)
            if (spend.run, spend.round) in book.reserved:
                raise burnt(spend.round)
            check_time(book, caps)
            check_caps(book, spend, caps)
            self._append(
                connection,
                fact="spend",
                at=caps.at,
                run=spend.run,
                round=spend.round,
                dataset=spend.dataset,
                unit=str(spend.unit),
                partition=spend.partition,
                year=caps.year,
                rho_nano=spend.rho_nano,
            )
            return None

    def publish(self, run: str, round: int, payload: bytes, line: bytes) -> None:
        """Keep the bytes of a reserved release, before they are sent."""
        with self._write() as connection:
            book = self._read(connection)
            if (run, round) not in book.reserved or (run, round) in book.published:
                raise RuntimeError(f"round {round} was not reserved or is published already")
            connection.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", (run, round, payload, line))
            names = {"payload": digest(payload), "line": digest(line)}
            self._append(connection, fact="published", run=run, round=round, **names)

    def sent(self) -> set[tuple[str, int]]:
        """(run, round) of every release that was published."""
        with self._write() as connection:
            return set(self._read(connection).published)

    def has_published(self, payload: str, line: str) -> bool:
        """True if a release with these digests of payload and line was published."""
        with self._write() as connection:
            return (payload, line) in self._read(connection).published.values()

    def pledge(self, run: str, round: int, said: Mapping[str, str]) -> None:
        """Write down, once and for ever, what this node says in the secure sum of a round: {about: said}.

        On disk before it returns. Refused (SUM_TWICE) if it has said otherwise before, whatever became of it.
        """
        with self._write() as connection:
            before = self._read(connection).pledges.get((run, round), {})
            if any(before.get(about, words) != words for about, words in said.items()):
                raise Refused(
                    N_("this node has said otherwise before in the secure sum of round {round}"),
                    why=N_("saying two things would open what the sum hides"),
                    do=N_("nothing was sent; tell the chamber, and other members if it goes on"),
                    code="SUM_TWICE",
                    round=round,
                )
            for about in said.keys() - before.keys():
                self._append(connection, fact="pledge", run=run, round=round, about=about, said=said[about])

    def pledged(self, run: str, round: int) -> dict[str, str]:
        """Everything that this node has said in the secure sum of a round."""
        with self._write() as connection:
            return dict(self._read(connection).pledges.get((run, round), {}))

    def note_gone(self, at: str, kind: str, data: bytes) -> None:
        """Write down that bytes left this machine."""
        with self._write() as connection:
            fields = at, kind, len(data), digest(data)
            connection.execute("INSERT INTO gone (at, kind, bytes, digest) VALUES (?, ?, ?, ?)", fields)

    def gone(self) -> list[tuple[str, str, int, str]]:
        """Everything that ever left: (when, kind, bytes, digest)."""
        with self._write() as connection:
            return connection.execute("SELECT at, kind, bytes, digest FROM gone ORDER BY seq").fetchall()

    def note_refused(self, at: str, error: TrustError) -> None:
        """Write down what this node refused to do, for the member to see."""
        with self._write() as connection:
            fields = at, error.code, str(error.values.get("reason", "")), str(error)
            connection.execute("INSERT INTO refused (at, code, reason, what) VALUES (?, ?, ?, ?)", fields)

    def refused(self) -> list[tuple[str, str, str, str]]:
        """Everything that this node refused: (when, code, reason, what)."""
        with self._write() as connection:
            return connection.execute("SELECT at, code, reason, what FROM refused ORDER BY seq").fetchall()


def read_ledger(settings: Settings) -> Budget:
    """The ledger of a node's home."""
    return Budget(settings.home / "ledger.db")


def _kept(connection: sqlite3.Connection, book: Book, run: str, round: int) -> Published:
    """The bytes of a published release; Invalid unless they are the ones that were published."""
    held = connection.execute("SELECT payload, line FROM kept WHERE run = ? AND round = ?", (run, round)).fetchone()
    if held is None or (digest(held[0]), digest(held[1])) != book.published[run, round]:
        raise altered(book.seq)
    return Published(*held)


def _secret(connection: sqlite3.Connection, book: Book) -> bytes:
    held = connection.execute("SELECT value FROM secret WHERE name = 'units'").fetchone()
    if held is None or digest(held[0]) != book.secrets["units"]:
        raise altered(book.seq)
    key: bytes = held[0]
    return key
