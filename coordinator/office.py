"""What every command, page and request of the office works with, and who signed a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from contracts.errors import Refused
from contracts.rules.state import RegisteredKey
from contracts.wording import N_
from coordinator.settings import Settings
from coordinator.store.database import Database, migrate
from coordinator.store.log import Log
from shell.snapshot import Snapshot

LONG_POLL_S = 25.0
T = TypeVar("T")


@dataclass(slots=True)
class Office:
    """What every request needs: storage, log, settings, and a bell that rings when the database changes."""

    database: Database
    log: Log
    settings: Settings
    bell: threading.Condition
    closing: threading.Event

    def wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """The first thing that `look` finds, looking again each time the database changed."""
        end = time.monotonic() + min(seconds, LONG_POLL_S)
        while (found := look()) is None and (left := end - time.monotonic()) > 0 and not self.closing.is_set():
            with self.bell:
                self.bell.wait(min(left, 0.5))
        return found


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request: derived from the key, never from what the request says."""

    key: RegisteredKey
    body: bytes

    @property
    def member(self) -> str:
        """The member; Refused for keys without one."""
        if self.key.member is None or self.key.role != "node":
            raise Refused(N_("only a member's node may ask this"), code="ROLE")
        return self.key.member


def open_office(settings: Settings) -> Office:
    """Database, migrated, and log of a home."""
    migrate(settings.database_url)
    database = Database(settings.database_url)
    log = Log(database, settings, snapshot=Snapshot(settings.home / "log.snapshot", settings.log_key))
    return Office(database, log, settings, threading.Condition(), threading.Event())
