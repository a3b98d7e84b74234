"""The ledger: what this member's data has cost so far, written before anything leaves, never given back.

reserve (commit, fsync) -> draw noise -> publish (the very bytes that may be sent again). A row that was
reserved and not published is burnt: charged, never sent. Integers only, rows chained by digest.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client_node.settings import Settings
from contracts.envelope import canonical, digest
from contracts.errors import Invalid, Refused, Unavailable
from contracts.statements import LedgerHead
from contracts.wording import N_
from privacy.spend import Spend

_EMPTY = "sha256:" + "0" * 64
_TABLES = """
CREATE TABLE IF NOT EXISTS spend (seq INTEGER PRIMARY KEY, run TEXT, round INTEGER, dataset TEXT, unit TEXT, partition TEXT,
    year TEXT, rho_nano INTEGER, prev TEXT, head TEXT, payload BLOB, line BLOB, UNIQUE (run, round));
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS gone (seq INTEGER PRIMARY KEY, at TEXT, kind TEXT, bytes INTEGER, digest TEXT);
"""


@dataclass(frozen=True, slots=True)
class Published:
    """Bytes that were released before and may be sent again for free."""

    payload: bytes
    line: bytes


class Budget:
    """One writer; SQLite WAL with synchronous FULL."""

    def __init__(self, path: Path):
        self._path = path
        with self._write() as connection:
            connection.executescript(_TABLES)
            connection.execute("INSERT OR IGNORE INTO secret VALUES ('units', ?)", (secrets.token_bytes(32),))

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                N_("the ledger {path} cannot be written"),
                why=N_("{error}"),
                do=N_("check free space; nothing was sent"),
                path=self._path,
                error=error,
            ) from error
        finally:
            connection.close()

    def unit_key(self) -> bytes:
        """The key that chooses and splits units; kept for life."""
        with self._write() as connection:
            key: bytes = connection.execute("SELECT value FROM secret WHERE name = 'units'").fetchone()[0]
            return key

    def spent(self, dataset: str, unit: str, partition: str, year: str) -> int:
        """Nano-rho of one account in a calendar year."""
        with self._write() as connection:
            return _spent(connection, dataset, unit, partition, year)

    def head(self) -> LedgerHead:
        """Where the chain stands and what it sums to; goes into every signed contribution."""
        with self._write() as connection:
            return _head(connection)

    def reserve(self, spend: Spend, *, year: str, run_cap: int, year_cap: int) -> Published | None:
        """Charge one release durably. None: go on. Published: this release happened, send these bytes again.

        Refused if a cap would be passed, or if the release was reserved before and never published (burnt).
        """
        with self._write() as connection:
            row = connection.execute(
                "SELECT payload, line FROM spend WHERE run = ? AND round = ?", (spend.run, spend.round)
            ).fetchone()
            if row and row[0] is None:
                raise Refused(
                    N_("round {round} was begun before and not finished"),
                    why=N_("its budget is spent; fresh noise would be a second look"),
                    do=N_("nothing: the node goes on with the next round"),
                    code="BURNT",
                    round=spend.round,
                )
            if row:
                return Published(*row)
            self._check(connection, spend, year, run_cap, year_cap)
            _append(connection, spend, year)
            return None

    def _check(self, connection: sqlite3.Connection, spend: Spend, year: str, run_cap: int, year_cap: int) -> None:
        spent = _spent(connection, spend.dataset, spend.unit, spend.partition, year)
        of_run = connection.execute(
            "SELECT COALESCE(SUM(rho_nano), 0) FROM spend WHERE run = ?", (spend.run,)
        ).fetchone()[0]
        if spent + spend.rho_nano > year_cap or of_run + spend.rho_nano > run_cap:
            raise Refused(
                N_("the privacy budget does not hold round {round}"),
                why=N_("spent {spent} of {cap} nano-rho this year"),
                do=N_("wait for the next year, or consent to a larger budget"),
                code="OVER_BUDGET",
                round=spend.round,
                spent=spent,
                cap=year_cap,
            )

    def publish(self, run: str, round: int, payload: bytes, line: bytes) -> None:
        """Keep the bytes of a reserved release, before they are sent."""
        with self._write() as connection:
            done = connection.execute(
                "UPDATE spend SET payload = ?, line = ? WHERE run = ? AND round = ? AND payload IS NULL",
                (payload, line, run, round),
            )
            if done.rowcount != 1:
                raise RuntimeError(f"round {round} was not reserved or is published already")

    def verify(self) -> None:
        """Raise Invalid unless every row follows from the one before it."""
        with self._write() as connection:
            prev = _EMPTY
            for row in connection.execute(
                "SELECT seq, run, round, dataset, unit, partition, year, rho_nano, prev, head FROM spend ORDER BY seq"
            ):
                if row[8] != prev or _row_digest(prev, row[1:8]) != row[9]:
                    raise Invalid(
                        N_("row {seq} of the ledger was altered"),
                        do=N_("keep the file; ask the chamber's auditor"),
                        seq=row[0],
                    )
                prev = row[9]

    def note_gone(self, at: str, kind: str, data: bytes) -> None:
        """Write down that bytes left this machine."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO gone (at, kind, bytes, digest) VALUES (?, ?, ?, ?)", (at, kind, len(data), digest(data))
            )

    def gone(self) -> list[tuple[str, str, int, str]]:
        """Everything that ever left: (when, kind, bytes, digest)."""
        with self._write() as connection:
            return connection.execute("SELECT at, kind, bytes, digest FROM gone ORDER BY seq").fetchall()


def read_ledger(settings: Settings) -> Budget:
    """The ledger of a node's home."""
    return Budget(settings.home / "ledger.db")


def _spent(connection: sqlite3.Connection, dataset: str, unit: str, partition: str, year: str) -> int:
    row = connection.execute(
        "SELECT COALESCE(SUM(rho_nano), 0) FROM spend WHERE dataset = ? AND unit = ? AND partition = ? AND year = ?",
        (dataset, str(unit), partition, year),
    ).fetchone()
    return int(row[0])


def _head(connection: sqlite3.Connection) -> LedgerHead:
    row = connection.execute("SELECT head FROM spend ORDER BY seq DESC LIMIT 1").fetchone()
    total = connection.execute("SELECT COALESCE(SUM(rho_nano), 0) FROM spend").fetchone()[0]
    return LedgerHead(head=row[0] if row else _EMPTY, rho_total_nano=total)


def _append(connection: sqlite3.Connection, spend: Spend, year: str) -> None:
    prev = _head(connection).head
    fields = (spend.run, spend.round, spend.dataset, str(spend.unit), spend.partition, year, spend.rho_nano)
    connection.execute(
        "INSERT INTO spend (run, round, dataset, unit, partition, year, rho_nano, prev, head) VALUES (?,?,?,?,?,?,?,?,?)",
        (*fields, prev, _row_digest(prev, fields)),
    )


def _row_digest(prev: str, fields: tuple[object, ...]) -> str:
    return digest(canonical([prev, *fields]))
