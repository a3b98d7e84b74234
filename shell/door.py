"""A server's door: how many connections are open at once, and how long one may take to say what it wants.

uvicorn bounds none of it before a request has been read. Here each connection is counted from the moment it is made:
TLS and the head of a request have a time limit each, a head has a limit in bytes, and of those who have not proven who
they are only so many stay. Nobody is turned away when the room is full: a connection leaves that has been idle longest,
of the address that holds the most, so that a crowd displaces itself.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Mapping
from ssl import SSLContext
from types import MappingProxyType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from shell.addresses import network_of
from shell.log_lines import LIBRARIES, log_event
from shell.pace import TokenBuckets

HANDSHAKE_S = 10.0  # a slow line needs three round trips of a second
HEAD_S = 10.0  # a head is one packet or two
HEAD_BYTES = 16 * 1024  # signature and cookies take one or two
GOODBYE_S = 3.0  # for the peer's half of the end of TLS
MOST_STRANGERS = 128  # connections in all of callers who have not proven who they are: about 40 MB of TLS buffers
CONNECTIONS_PER_S, CONNECTION_BURST = 20.0, 200.0  # of one address: all nodes of a chamber at once, then TLS costs 3 %
MOST_OF_ONE = 16  # connections of one caller who has: a node holds two or three, each command one


class Guest(H11Protocol):
    """uvicorn's own connection, with a deadline for each head. `holder` names who has proven to be at the other end."""

    holder: str | None = None
    entry: _Entry | None = None

    def __init__(self, *words: Any, **options: Any):
        super().__init__(*words, **options)
        self.app_state = {**self.app_state, "guest": self}
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if not self.is_served():
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._forget_deadline()
        if self.entry:
            self.entry.leave()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """See H11Protocol; a head that is complete has no deadline any longer."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._forget_deadline()

    def on_response_complete(self) -> None:
        """See H11Protocol."""
        if self.entry:
            self.entry.since = time.monotonic()
        if self.conn.their_state is h11.SEND_BODY:  # it was answered without being read to its end
            self._hear_no_more()
        super().on_response_complete()

    def prove(self, holder: str) -> None:
        """Note who has proven to be at the other end."""
        if self.holder != holder and self.entry:
            self.holder = holder
            self.entry.become(holder)

    def send_400_response(self, msg: str) -> None:
        """See H11Protocol."""
        super().send_400_response(msg)
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        """What still comes is not even decrypted; the answer has a moment to be read."""
        self.transport.pause_reading()
        self.loop.call_later(GOODBYE_S, self.transport.abort)

    def is_served(self) -> bool:
        """Is an answer under way?"""
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Entry:
    """A connection from the moment it is made; a Guest speaks for it once TLS stands."""

    def __init__(self, door: Door, sock: socket.socket, address: str, tls: SSLContext | None):
        self.since, self.address, self._tls = time.monotonic(), address, tls
        self._door, self._guest = door, door.guest()
        self._guest.entry = self
        self._opening = asyncio.get_running_loop().create_task(self._open(sock))

    async def _open(self, sock: socket.socket) -> None:
        limits = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": GOODBYE_S} if self._tls else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._guest, sock, ssl=self._tls, **limits)
        except OSError:  # no TLS, too slow, or gone again
            self.leave()
        except Exception:
            log_event.exception("connection")
            self.leave()

    def become(self, holder: str) -> None:
        """The other end has proven who it is."""
        self._door.know(self, holder)

    def merit(self) -> tuple[bool, float]:
        """Who has the least of it leaves first: idle before served, and idle for longest."""
        return self._guest.is_served(), self.since

    def leave(self) -> None:
        """It is not inside any longer."""
        self._door.inside.pop(self, None)

    def show_out(self) -> None:
        """End it at once, whatever it is doing."""
        self.leave()
        if self._guest.transport is None:
            self._opening.cancel()
        else:
            self._guest.transport.abort()


class Door:
    """All connections that are open."""

    def __init__(self, server: BoundedServer):
        self._server = server
        self._proxy, self._pace = network_of(server.proxy), TokenBuckets(CONNECTIONS_PER_S, CONNECTION_BURST)
        self.inside: dict[_Entry, str | None] = {}  # who has proven to be at the other end, in the order of coming

    def guest(self) -> Guest:
        """What uvicorn would make of a new connection."""
        return Guest(self._server.config, self._server.server_state, self._server.lifespan.state)

    async def admit(self, listener: socket.socket, tls: SSLContext | None) -> None:
        """Take connections in, showing a certificate, until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError:  # it is gone again, or there are too many files for a moment
                await asyncio.sleep(0.05)
                continue
            try:
                self._receive(sock, network_of(peer[0]), tls)
            except OSError:
                sock.close()
            except Exception:  # one connection is lost for it, not all that would come
                log_event.exception("connection")
                sock.close()

    def _receive(self, sock: socket.socket, address: str, tls: SSLContext | None) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address != self._proxy and self._pace.wait(address, time.monotonic()) is None:
            sock.close()  # before TLS, which is what costs
        else:
            self.enter(_Entry(self, sock, address, tls))

    def enter(self, entry: _Entry) -> None:
        """One more; if they are too many strangers now, one leaves. A proxy of the owner's keeps a door of its own."""
        if entry.address == self._proxy:
            return
        self.inside[entry] = None
        strangers = [one for one, holder in self.inside.items() if holder is None]
        if len(strangers) > MOST_STRANGERS:
            crowd, _ = Counter(one.address for one in strangers).most_common(1)[0]
            min((one for one in strangers if one.address == crowd), key=_Entry.merit).show_out()

    def know(self, entry: _Entry, holder: str) -> None:
        """The other end has proven who it is; of more than MOST_OF_ONE such connections the one idle longest leaves."""
        if entry not in self.inside:
            return
        self.inside[entry] = holder
        own = [one for one, known in self.inside.items() if known == holder]
        if len(own) > MOST_OF_ONE:
            min((one for one in own if one is not entry), key=_Entry.merit).show_out()


class BoundedServer(uvicorn.Server):
    """uvicorn behind a Door, configured by `bounded`. `proxy` is the address of a proxy in front, if there is one; a
    listener in `others` shows another certificate than the server's own."""

    def __init__(
        self, config: uvicorn.Config, proxy: str = "", others: Mapping[socket.socket, SSLContext] = MappingProxyType({})
    ):
        super().__init__(config)
        self.proxy, self._others = proxy, others
        self._admitting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """See uvicorn.Server, which knows neither a time limit for TLS nor one for connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        door = Door(self)
        self.servers: list[asyncio.base_events.Server] = []
        shown = {sock: self.config.ssl for sock in sockets or []} | dict(self._others)
        for sock, tls in shown.items():
            sock.listen(self.config.backlog)
            self._admitting.append(asyncio.create_task(door.admit(sock, tls)))
        self.started = True

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """See uvicorn.Server."""
        for task in self._admitting:
            task.cancel()
        await super().shutdown(sockets)


def bounded(app: Any, **options: Any) -> uvicorn.Config:
    """Settings of a server whose door is kept; `options` as uvicorn has them."""
    fixed = {"http": Guest, "ws": "none", "h11_max_incomplete_event_size": HEAD_BYTES}
    quiet = {
        "log_config": LIBRARIES,
        "server_header": False,
        "access_log": False,
        "log_level": "error",
    }  # strangers fill no log with their faults
    return uvicorn.Config(app, **{**fixed, **quiet, **options})
