"""One SQLite file: WAL, every commit on disk before it returns, one transaction a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, create_engine

from contracts.errors import Unavailable
from contracts.wording import N_


class Database:
    """Reads share; a write begins IMMEDIATE, so that it sees the newest state and nobody overtakes it."""

    def __init__(self, path: Path):
        self._reads, self._writes = _engine(path, "DEFERRED"), _engine(path, "IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state."""
        with Session(self._reads, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed at the end, whole or not at all."""
        try:
            with Session(self._writes, expire_on_commit=False) as session:
                yield session
                session.commit()
        except OperationalError as error:
            raise Unavailable(
                N_("the coordinator's database cannot be written"),
                why=N_("{error}"),
                do=N_("check free space and permissions; nothing was lost, try again"),
                error=error.orig,
            ) from error

    def data_version(self) -> int:
        """A number that changes when another connection commits."""
        with self._reads.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def close(self) -> None:
        """Give the files back."""
        self._reads.dispose()
        self._writes.dispose()


def _engine(path: Path, begin: str) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection, _record):  # type: ignore[no-untyped-def]
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


def migrate(path: Path) -> None:
    """Bring the tables to this version."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("coordinator").joinpath("migrations")))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, "head")
