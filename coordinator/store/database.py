"""One database, SQLite or PostgreSQL: every commit on disk before it returns, one transaction a request.

Both backends give the same four promises: reads see one consistent state, writes come one after another and see
the newest, a version changes whenever another connection has committed, and of all processes one leads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, inspect
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool
from sqlmodel import Session, create_engine

from contracts.errors import TrustError, Unavailable
from contracts.wording import N_

_WRITERS = 0x6D656E67  # the advisory lock that PostgreSQL's writers take, one after another
_LEADER = 0x6C656164  # and the one that the leading process keeps


class Database:
    """Opened by its address, which is one of SQLite or PostgreSQL; the tables are made by `migrate`."""

    def __init__(self, url: URL):
        self._watching: Connection | None = None
        self._leading: Connection | None = None
        self._writer = threading.Lock()  # in turn, instead of asking the backend's lock again and again
        make = _postgresql if url.get_backend_name() == "postgresql" else _sqlite
        self._reads, self._writes, self._version, self._leaders, self._take_lead = make(url)
        event.listen(self._writes, "reset", _roll_back)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state."""
        with _told(), Session(self._reads, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed at the end, whole or not at all."""
        with self._writer, _told(), Session(self._writes, expire_on_commit=False) as session:
            yield session
            session.commit()

    def data_version(self) -> object:
        """A value that changes when another connection commits. For one thread: it keeps a connection of its own,
        because SQLite counts a connection at a time."""
        with _told():
            self._watching = self._watching or self._reads.connect()
            try:
                return self._watching.exec_driver_sql(self._version).scalar_one()
            finally:
                self._watching.rollback()

    def lead(self) -> bool:
        """True if this process is the one that drives the runs, until it ends or its connection breaks.

        The lock lives with a connection, so no clock decides who leads. For one thread.
        """
        with _told():
            held, self._leading = self._leading, None
            connection = held or self._leaders.connect()
        try:
            if connection.exec_driver_sql("SELECT true" if held else self._take_lead).scalar():
                self._leading = connection
        except DBAPIError:
            pass  # another process holds the lock, or the connection is gone
        if self._leading is None:
            connection.close()
        return self._leading is not None

    def is_led(self) -> bool:
        """Whether a process drives the runs, this one or another."""
        if self._leading is not None:
            return True
        with _told():
            probe = self._leaders.connect()
        try:
            return not probe.exec_driver_sql(self._take_lead).scalar()
        except DBAPIError:
            return True
        finally:
            probe.invalidate()  # what it may have taken goes with it
            probe.close()

    def close(self) -> None:
        """Give files and connections back."""
        for connection in (self._watching, self._leading):
            if connection is not None:
                connection.close()
        self._reads.dispose()
        self._writes.dispose()


def _roll_back(connection, _record, _state):  # type: ignore[no-untyped-def]
    """A COMMIT that failed (disk full) may leave the transaction open, and all other writers waiting."""
    connection.rollback()


@contextmanager
def _told() -> Iterator[None]:
    """Says in three lines what the backend could not do."""
    try:
        yield
    except TrustError:
        raise
    except DBAPIError as error:
        is_usual = isinstance(error, OperationalError) or type(error) is DatabaseError  # a file that is no database
        if not is_usual and not error.connection_invalidated:
            raise
        raise Unavailable(
            N_("the coordinator's database cannot be used"),
            why=N_("{error}"),
            do=N_("check server, free space and permissions; nothing was lost, try again"),
            error=str(error.orig).splitlines()[0],
        ) from error


def _sqlite(url: URL) -> tuple[Engine, Engine, str, Engine, str]:
    """WAL, and FULL: a commit returns after its fsync. A write begins IMMEDIATE, so that nobody overtakes it. Who
    leads keeps a transaction open on a second file."""

    def engine(begin: str, file: URL = url, wait_s: int = 30, **options: Any) -> Engine:
        made = create_engine(file, connect_args={"timeout": wait_s, "check_same_thread": False}, **options)

        @event.listens_for(made, "connect")
        def prepare(connection, _record):  # type: ignore[no-untyped-def]
            connection.isolation_level = None
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(made, "begin")
        def start(connection):  # type: ignore[no-untyped-def]
            connection.exec_driver_sql(f"BEGIN {begin}")

        return made

    leaders = engine("IMMEDIATE", url.set(database=f"{url.database}.leader"), 0, poolclass=NullPool)
    return engine("DEFERRED"), engine("IMMEDIATE"), "PRAGMA data_version", leaders, "SELECT true"


def _postgresql(url: URL) -> tuple[Engine, Engine, str, Engine, str]:
    """Reads are snapshots. A write waits for the one lock of all writers before it looks at anything. Who leads
    keeps another lock."""
    address = _with_driver(url)
    sizes = {"pool_size": 20, "max_overflow": 40, "pool_pre_ping": True}
    reads = create_engine(address, isolation_level="REPEATABLE READ", **sizes)
    writes = create_engine(address, isolation_level="READ COMMITTED", **sizes)

    @event.listens_for(writes, "connect")
    def prepare(connection, _record):  # type: ignore[no-untyped-def]
        with connection.cursor() as cursor:
            cursor.execute("SHOW fsync")
            if cursor.fetchone()[0] != "on":
                raise Unavailable(
                    N_("this PostgreSQL server does not write to disk"),
                    why=N_("fsync is off: what it has acknowledged can be lost"),
                    do=N_("set fsync = on in postgresql.conf"),
                )
            cursor.execute("SET synchronous_commit = on")
        connection.commit()

    @event.listens_for(writes, "begin")
    def start(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")

    leaders = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    return reads, writes, "SELECT pg_current_snapshot()::text", leaders, f"SELECT pg_try_advisory_lock({_LEADER})"


def _with_driver(url: URL) -> URL:
    """The address with the driver that we install; Unavailable if it was not installed."""
    if url.get_backend_name() != "postgresql":
        return url
    if find_spec("psycopg") is None:
        raise Unavailable(
            N_("PostgreSQL cannot be reached"),
            why=N_("its driver is not installed"),
            do=N_("install it: pip install mengbang[postgresql]"),
        )
    return url.set(drivername="postgresql+psycopg")


def tables_of(url: URL) -> frozenset[str]:
    """Names of the tables that are there; nothing is made, not even a file."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return frozenset()
    engine = create_engine(_with_driver(url), poolclass=NullPool)
    with _told():
        return frozenset(inspect(engine).get_table_names())


def migrate(url: URL) -> None:
    """Bring the tables to this version."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("coordinator.store").joinpath("migrations")))
    config.attributes["url"] = _with_driver(url)
    with _told():
        command.upgrade(config, "head")
