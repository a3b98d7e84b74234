"""A coordinator's process: web server, log publisher, and a thread a run if it leads.

Several processes may serve one database: each answers for all members, one of them drives the runs.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from asyncio import to_thread
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from ssl import SSLContext
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sqlmodel import col, func, select

from contracts.errors import TrustError, Unavailable
from contracts.wording import N_
from coordinator.learning.evaluation import Evaluation
from coordinator.learning.grid import Stopped, TrustGrid
from coordinator.learning.runs import RunJournal
from coordinator.learning.schedules import Calendar
from coordinator.learning.strategy import TrustStrategy
from coordinator.learning.waiting import waits
from coordinator.office import Office, open_office
from coordinator.settings import Settings
from coordinator.store.static_log import keep_static
from coordinator.store.tables import TaskMessage
from coordinator.trust.members import names
from coordinator.web.api import answer_error, routes
from coordinator.web.pages import error_page, pages
from coordinator.web.reception import Reception
from coordinator.web.shown import PeoplesDoor, Shown, Turns, context_of
from shell.door import BoundedServer, bounded
from shell.error_pages import ErrorPages
from shell.headers import SafeHeaders
from shell.log_lines import log_event
from shell.unix import raise_file_limit

WATCH_S, LEAD_S = 0.02, 1.0
LOOK_TICKS = 50  # of a tenth of a second, between two looks at the files of certificates
AGAIN_S = (2.0, 10.0, 60.0, 600.0)


def make_app(office: Office, *, proxy: str = "") -> FastAPI:
    """The web application over an office."""

    app = FastAPI(title="mengbang coordinator", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(routes(office))
    app.include_router(pages(office, is_proxied=bool(proxy)))
    app.add_exception_handler(TrustError, answer_error)
    app.add_middleware(Reception, office=office, answer=answer_error)
    app.add_middleware(ErrorPages, page=error_page)
    app.add_middleware(SafeHeaders)
    return app


class Serving:
    """Background work of `serve`. `stop` ends all of it; what was under way goes on at the next start."""

    def __init__(self, office: Office, static: Path | None = None):
        self._office, self._stop = office, threading.Event()
        self._evaluation = Evaluation(office.database, office.log, office.settings)
        self._runs: dict[str, threading.Thread] = {}
        self._leads, self._asked = False, float("-inf")
        self._waits: dict[tuple[object, ...], str] = {}
        self._watch = threading.Thread(target=self._follow, name="publisher")
        self._calendar = Calendar(office)
        kept = (office.log, static, office.settings.url, self._stop)
        self._static = threading.Thread(target=keep_static, args=kept, name="static") if static else None

    def start(self) -> None:
        """Publish what is there, then follow the database."""
        self._office.log.publish()
        self._calendar.start()
        self._watch.start()
        if self._static:
            self._static.start()

    def stop(self) -> None:
        """End all threads."""
        self._stop.set()
        self._calendar.stop()
        for thread in (self._watch, *([self._static] if self._static else []), *self._runs.values()):
            thread.join(timeout=30)

    def _follow(self) -> None:
        seen = rung = None
        while not self._stop.wait(WATCH_S):
            try:
                asked, found = self._asked, (self._office.database.data_version(), self._is_leader())
                if self._leads and self._asked != asked:
                    self._tell_waits()
                if found == seen:
                    continue
                self._office.log.publish()
                if self._leads:
                    self._start_runs()
                self._calendar.read()
                seen = found
                if (now := self._answerable()) != rung:
                    self._office.bell.ring()
                    rung = now
            except TrustError as error:
                log_event.error("publish", code=error.code, what=str(error))
                self._stop.wait(1.0)
            except Exception:  # a fault of the database or of ours: what can pass is tried again, and said every time
                log_event.exception("publish")
                self._stop.wait(1.0)

    def _answerable(self) -> object:
        """Changes when a poll may find something: an entry, a checkpoint, a message of a run that is under way. Nonces
        and the like are no reason to wake everybody."""
        log, database = self._office.log, self._office.database
        runs = [name for name, run in log.state().runs.items() if run.open_round()]
        with database.read() as session:
            messages = session.exec(select(func.count()).where(col(TaskMessage.run).in_(runs))).one() if runs else 0
        return log.state().size, log.published_size(), messages

    def _is_leader(self) -> bool:
        """Looked at once a second: when the process that led has ended, another goes on with its runs."""
        if time.monotonic() - self._asked > LEAD_S:
            before, self._leads = self._leads, self._office.database.lead()
            self._asked = time.monotonic()
            if self._leads and not before:
                log_event.info("this process drives the runs")
        return self._leads

    def _tell_waits(self) -> None:
        """What runs wait for, once for each thing; looked at once a second."""
        now = datetime.now(UTC)
        found = waits(self._office, names(self._office.database), now)
        told = {one.change(): one.sentence() for one in found if one.run and one.is_long(now)}
        for change, sentence in told.items():
            if change not in self._waits:
                log_event.warning("a run waits", run=change[0], what=sentence)
        self._waits = told

    def _start_runs(self) -> None:
        for name, run in self._office.log.state().runs.items():
            if name not in self._runs and run.release is None:
                thread = threading.Thread(target=self._drive, args=(name,), name=f"run-{name[7:15]}")
                thread.start()
                self._runs[name] = thread  # not before: a run whose thread the system refused is tried again

    def _drive(self, name: str) -> None:
        """One run to its end; a failure is logged and tried again, less and less often."""
        for pause in chain(AGAIN_S, repeat(AGAIN_S[-1])):
            try:
                self._drive_on(name)
                return
            except Stopped:
                log_event.info("run goes on at the next start", run=name)
                return
            except TrustError as error:
                log_event.error("run failed", run=name, code=error.code, what=str(error), again_in_s=pause)
            except Exception:
                log_event.exception("run failed", run=name, again_in_s=pause)
            if self._stop.wait(pause):
                return

    def _drive_on(self, name: str) -> None:
        office = self._office
        state = office.log.state()
        order = state.runs[name].order
        secure_sum = state.agreements[order.agreement].terms.secure_sum == "required"
        journal = RunJournal(office.database, office.log, office.settings, name, self._stop.is_set)
        grid = TrustGrid(office.database, journal.members, self._stop.is_set)
        strategy = TrustStrategy(name, order, secure_sum=secure_sum, journal=journal)
        strategy.start(grid)
        if not self._stop.is_set():
            log_event.info("run ended", run=name, released=self._evaluation.conclude(name))


class _Server(BoundedServer):
    """Ends long polls at once when told to stop, so that stopping takes a second, not half a minute. Certificates are
    shown as they are renewed."""

    def __init__(
        self,
        config: uvicorn.Config,
        office: Office,
        proxy: str,
        others: dict[socket.socket, SSLContext],
        shown: list[Shown],
    ):
        super().__init__(config, proxy, others)
        self._office, self._turns, self._shown = office, Turns(office), shown

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn.Server."""
        if counter % LOOK_TICKS == 0:
            try:
                await to_thread(self._turns.look)
            except (TrustError, OSError, ValueError) as error:
                log_event.error("certificate", what=str(error))
            for one in self._shown:
                one.look()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn.Server."""
        self._office.closing.set()
        self._office.bell.ring()
        super().handle_exit(sig, frame)


def serve(
    settings: Settings,
    host: str,
    port: int,
    *,
    people: PeoplesDoor | None = None,
    static: Path | None = None,
    proxy: str = "",
) -> None:
    """Serve until interrupted, under the chamber's certificate, and to browsers under another at a second port. `proxy`
    is the address of a proxy in front: what it says of its callers is believed. Unavailable if a port is in use."""
    own = settings.home / "tls" / "server.pem", settings.home / "tls" / "server.key"
    what, do = N_("{path} cannot be shown to nodes"), N_("restore it and its key from a copy of this home")
    context_of(*own, what, do)  # uvicorn would read them after everything has begun
    others = {_bound(host, people.port): people.context()} if people else {}
    shown = [Shown(tls, people.certificate, people.key) for tls in others.values() if people]
    listener = _bound(host, port)
    office = open_office(settings)
    serving = Serving(office, static)
    config = bounded(
        make_app(office, proxy=proxy),
        ssl_certfile=str(own[0]),
        ssl_keyfile=str(own[1]),
        timeout_graceful_shutdown=3,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=[proxy],
    )
    config.load()
    if config.ssl is not None:
        shown.append(Shown(config.ssl, *own))
    office.log.state()  # read before anybody asks
    # libraries and the log's state live as long as the process: going through them stalled appends for 60 ms
    gc.freeze()
    raise_file_limit()
    serving.start()
    try:
        _Server(config, office, proxy, others, shown).run(sockets=[listener])
    finally:
        serving.stop()
        office.database.close()


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        raise Unavailable(
            N_("port {port} on {host} cannot be used"),
            why=N_("{error}"),
            do=N_("end the program that holds it, or choose another: --port, --tls-port"),
            port=port,
            host=host,
            error=error,
        ) from error
    return listener
