"""What every command, page and request of the office works with, and who signed a request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from anyio.to_thread import run_sync

from contracts.errors import Refused, Unavailable
from contracts.rules.state import RegisteredKey
from contracts.wording import N_
from coordinator.settings import DATABASE, Settings
from coordinator.store.database import Database, migrate, tables_of
from coordinator.store.log import Log
from coordinator.store.tables import LogEntry
from shell.snapshot import Snapshot

LONG_POLL_S = 25.0
LOOK_S = 5.0  # a poll looks again this often, should nothing ring
MOST_POLLS = 4  # of one member at once: a node keeps two, and two may be left over from before it was started again
T = TypeVar("T")


class Bell:
    """Rung by any thread; wakes everybody who waits in an event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the bell rings next."""
        place = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(place)
        try:
            yield place[1]
        finally:
            with self._lock:
                self._waiting.discard(place)

    def ring(self) -> None:
        """Wake them all."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            with suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(event.set)


@dataclass(slots=True)
class Office:
    """What every request needs: storage, log, settings, and a bell that rings when there is something new to answer."""

    database: Database
    log: Log
    settings: Settings
    bell: Bell = field(default_factory=Bell)
    closing: threading.Event = field(default_factory=threading.Event)
    polls: defaultdict[str, deque[asyncio.Event]] = field(default_factory=lambda: defaultdict(deque))

    async def wait_for(
        self,
        look: Callable[[], T | None],
        seconds: float,
        who: str,
        turn: Callable[[], AbstractAsyncContextManager[object]],
    ) -> T | None:
        """The first thing that `look` finds, looking again each time the bell rings; each look takes a `turn`. Of more
        than MOST_POLLS polls of one caller the oldest finds nothing at once."""
        end, own = time.monotonic() + min(seconds, LONG_POLL_S), self.polls[who]
        own.append(gives_way := asyncio.Event())
        if len(own) > MOST_POLLS:
            own.popleft().set()
        try:
            while True:
                async with self.bell.listen() as rung:
                    async with turn():
                        found = await run_sync(look)
                    left = end - time.monotonic()
                    if found is not None or not left > 0 or self.closing.is_set() or gives_way.is_set():
                        return found
                    await _first_of((rung, gives_way), min(left, LOOK_S))
        finally:
            with suppress(ValueError):
                own.remove(gives_way)


async def _first_of(events: tuple[asyncio.Event, ...], seconds: float) -> None:
    """Wait until one of them is set, but not for longer."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request: derived from the key, never from what the request says."""

    key: RegisteredKey
    body: bytes
    turn: Callable[[], AbstractAsyncContextManager[object]]  # of its lane

    @property
    def name(self) -> str:
        """The member, or the key of who belongs to none."""
        return self.key.member or self.key.public

    @property
    def member(self) -> str:
        """The member; Refused for keys without one."""
        if self.key.member is None or self.key.role != "node":
            raise Refused(N_("only a member's node may ask this"), code="ROLE")
        return self.key.member


def open_office(settings: Settings, *, is_new: bool = False) -> Office:
    """Database, migrated, and log of a home. Unavailable if the database holds another log than the home's own, or
    none; for a new home, if it holds anything: then it stays as it is."""
    found = tables_of(settings.database_url)
    if found and is_new:
        raise _wrong_database(N_("the database is not empty"), N_("a new log begins in a database of its own"))
    if LogEntry.__tablename__ not in found and not is_new:
        raise _wrong_database(N_("the database holds no log"), N_("it is not the one with which this home was made"))
    migrate(settings.database_url)
    database = Database(settings.database_url)
    log = Log(database, settings, snapshot=Snapshot(settings.home / "log.snapshot", settings.log_key))
    if not (is_new or log.is_own()):
        database.close()
        raise _wrong_database(N_("the database holds another log"), N_("its first entry does not name this home's key"))
    return Office(database, log, settings)


def _wrong_database(what: str, why: str) -> Unavailable:
    return Unavailable(
        what, why=why, do=N_("check {name}, and the database in coordinator.json"), code="DATABASE", name=DATABASE
    )
