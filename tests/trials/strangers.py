"""Strangers who misbehave towards a server on this machine: `python tests/trials/strangers.py KIND PORT N SECONDS`.

A process of its own, so that what it costs is not the server's. Loopback only; bounded in number, bytes and time. It
prints one JSON object: how many connections are open at the end, and how many bytes the server took.
"""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import time

CHUNK = b"10000\r\n" + b" " * 65536 + b"\r\n"
MOST_MB = 600
ONCE = ("silent", "deaf", "no_handshake", "slow_head", "slow_body", "body", "claimed_body")  # do not come back
PLAIN = "plain "  # before a kind: without TLS


def head(method, path, *lines):
    """The beginning of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


CHUNKED = ("Transfer-Encoding: chunked", "Content-Type: application/json")
CLAIMED = 'signature-input: mengbang=("@method");created=1;keyid="sha256:{key}";alg="ed25519";nonce="x"'


class Stranger:
    """One connection of a kind, kept up until `end`."""

    def __init__(self, kind, port, end):
        self.port, self.end, self.sent, self.status, self.is_open = port, end, 0, None, False
        self.tls = not kind.startswith(PLAIN)
        self.act = getattr(self, kind.removeprefix(PLAIN).replace("-", "_"))
        self.writer = None

    async def live(self):
        """Connect and misbehave; what goes wrong is what was wanted."""
        while time.monotonic() < self.end:
            try:
                await self._open()
                async with asyncio.timeout(max(self.end - time.monotonic(), 0.01)):
                    await self.act()
            except TimeoutError:
                self.is_open = not self.reader.at_eof()
                return
            except (OSError, asyncio.IncompleteReadError, ValueError):
                if self.act.__name__ in ONCE:
                    return
                await asyncio.sleep(0.02)

    async def _open(self):
        context = None
        if self.tls and self.act != self.no_handshake:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, limit=2**20)

    async def _send(self, data):
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)
        if self.writer.transport.is_closing():  # asyncio itself would go on writing into nothing
            raise ConnectionResetError
        self.sent += len(data)

    async def _answer(self):
        top = await self.reader.readuntil(b"\r\n\r\n")
        self.status = int(top.split(b" ", 2)[1])
        length = [line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await self.reader.readexactly(int(length[0].partition(b":")[2]) if length else 0)

    async def _until_closed(self):
        await self.reader.read(1)
        while not self.reader.at_eof():
            await self.reader.read(65536)
        raise OSError

    async def no_handshake(self):
        """Connect, and say nothing."""
        await self._until_closed()

    async def silent(self):
        """Shake hands, and say nothing."""
        await self._until_closed()

    async def slow_head(self):
        """A request whose head never ends, a few bytes a second."""
        await self._send(b"GET /checkpoint HTTP/1.1\r\nHost: localhost\r\nX: ")
        while not self.reader.at_eof() and not self.writer.is_closing():
            await self._send(b"x")
            await asyncio.sleep(0.3)
        raise OSError

    async def long_head(self):
        """A head of many megabytes."""
        await self._send(b"GET /checkpoint HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(10**6):
            await self._send(f"X-{number}: {'y' * 4000}\r\n".encode())

    async def body(self):
        """A body without a stated length, as long as it is taken."""
        await self._send(head("POST", "/v1/join", *CHUNKED))
        while self.sent < MOST_MB * 2**20:
            await self._send(CHUNK)
        await self._until_closed()

    async def claimed_body(self):
        """The same under a signature that does not hold."""
        await self._send(head("POST", "/v1/task", *CHUNKED, CLAIMED.format(key="1" * 64)))
        while self.sent < MOST_MB * 2**20:
            await self._send(CHUNK)
        await self._until_closed()

    async def slow_body(self):
        """A body of a few bytes a second."""
        await self._send(head("POST", "/v1/join", *CHUNKED))
        while not self.reader.at_eof() and not self.writer.is_closing():
            await self._send(b"1\r\n \r\n")
            await asyncio.sleep(0.3)
        raise OSError

    async def deaf(self):
        """Ask again and again, and read no answer."""
        self.writer.transport.pause_reading()
        while True:
            await self._send(head("GET", "/style.css") * 50)

    async def pages(self):
        """The page that costs most, without a pause."""
        while True:
            await self._send(head("GET", "/"))
            await self._answer()

    async def claims(self):
        """Polls in the name of a key, without its signature."""
        while True:
            await self._send(head("GET", "/v1/head?after=0&wait=25", CLAIMED.format(key="1" * 64)))
            await self._answer()

    async def joins(self):
        """Requests to join that are none."""
        text = json.dumps({"entries": ["AA==", "AA=="], "secret": "guess", "register": {}}).encode()
        while True:
            await self._send(head("POST", "/v1/join", f"Content-Length: {len(text)}") + text)
            await self._answer()

    async def handshakes(self):
        """Connect and leave, without a pause."""
        self.writer.close()
        await asyncio.sleep(0.01)
        raise OSError


async def crowd(kind, port, n, seconds):
    """`n` strangers of a kind; what they saw."""
    end = time.monotonic() + seconds
    strangers = [Stranger(kind, port, end) for _ in range(n)]
    await asyncio.wait([asyncio.create_task(one.live()) for one in strangers], timeout=seconds + 10)
    total = sum(one.sent for one in strangers) / 2**20
    statuses = sorted({one.status for one in strangers if one.status})
    return {"open": sum(one.is_open for one in strangers), "sent_mb": total, "statuses": statuses}


class Crowd:
    """The same in a process of its own: begin, then `seen()`."""

    def __init__(self, kind, port, n, seconds):
        words = [sys.executable, __file__, kind, str(port), str(n), str(seconds)]
        self.process, self._timeout = subprocess.Popen(words, stdout=subprocess.PIPE), seconds + 30

    def seen(self):
        """What they saw, once their time is over."""
        out, _ = self.process.communicate(timeout=self._timeout)
        return json.loads(out)


def memory_mb(pid):
    """Resident memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def cpu_s(pid):
    """Seconds of CPU that a process has taken."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def is_up(port):
    """Whether anybody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    os.nice(15)  # they have machines of their own: what they compute takes nothing from the server
    print(json.dumps(asyncio.run(crowd(kind, *map(int, numbers)))))
