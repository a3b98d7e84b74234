"""Fifty strangers who misbehave beside sixty honest members: `make crowd` (python tests/trials/crowd.py [SECONDS]).

One real coordinator. The members poll, and ask once a second what a node asks; first alone, then beside strangers of
every kind of tests/trials/strangers.py, each kind in a process of its own. It prints what was waited and how far memory
grew over the quiet time, and ends with 1 if honest members wait more than a second and five times as long as before, or
memory grows by more than 100 MB. All of it stays on this machine.
"""

import asyncio
import contextlib
import json
import multiprocessing
import secrets
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "support")]

import httpx  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

from chamber import Chamber  # noqa: E402
from contracts.statements.requests import sign_request  # noqa: E402
from strangers import Crowd, cpu_s, is_up, memory_mb  # noqa: E402

MEMBERS, PER_KIND, GROWTH_MB, LONGEST_S = 60, 5, 100, 1.0
KINDS = [
    "no-handshake",
    "silent",
    "slow-head",
    "long-head",
    "body",
    "claimed-body",
    "slow-body",
    "deaf",
    "pages",
    "claims",
    "joins",
    "handshakes",
]


class Honest:
    """A member: a poll under way all the time, and a request a second whose time is taken."""

    def __init__(self, url, key, took):
        self._url, self._key, self._took = url, key, took
        self._client = httpx.AsyncClient(verify=False, timeout=60, trust_env=False)

    async def _ask(self, method, path, body=b""):
        """Seconds until an answer; a connection that ended is opened again, as a node does, and its time counts."""
        began = time.perf_counter()
        while True:
            request = self._client.build_request(method, self._url + path, content=body)
            sign_request(request, body, self._key, nonce=secrets.token_hex(16), now=datetime.now(UTC))
            with contextlib.suppress(httpx.TransportError):
                answer = await self._client.send(request)
                assert answer.status_code in (200, 204), answer.text
                return time.perf_counter() - began
            await asyncio.sleep(0.05)

    async def poll(self):
        """Wait for work, as a node does all day."""
        while True:
            await self._ask("POST", "/v1/task", json.dumps({"wait": 25, "done": []}).encode())

    async def ask(self):
        """The newest checkpoint, the log's first bundle, and a poll that need not wait."""
        await asyncio.sleep(secrets.randbelow(1000) / 1000)
        while True:
            for path in ("/v1/head?after=0", "/tile/entries/000.p/2", "/checkpoint"):
                self._took.put(await self._ask("GET", path))
                await asyncio.sleep(1)


def members(url, keys, took):
    """All members, for ever: the work of a process."""

    async def live():
        honest = [Honest(url, Ed25519PrivateKey.from_private_bytes(key), took) for key in keys]
        await asyncio.gather(*(work for one in honest for work in (one.poll(), one.ask())))

    asyncio.run(live())


class Watch:
    """Times that were taken and the most memory, over a phase."""

    def __init__(self, took, pid):
        self._took, self._pid = took, pid

    def over(self, seconds):
        """(p99 in seconds, most memory in MB, requests, seconds of CPU) of a phase."""
        while not self._took.empty():
            self._took.get()
        end, most, before = time.monotonic() + seconds, 0.0, cpu_s(self._pid)
        while time.monotonic() < end:
            most = max(most, memory_mb(self._pid))
            time.sleep(0.1)
        times = []
        while not self._took.empty():
            times.append(self._took.get())
        return statistics.quantiles(times, n=100)[-1], most, len(times), cpu_s(self._pid) - before


def trial(folder, seconds):
    """(quiet, crowded, what strangers saw)."""
    took = multiprocessing.Queue()
    with Chamber(folder, MEMBERS, "none") as chamber:
        while not is_up(chamber.port):
            time.sleep(0.1)
        keys = [firm.node.private_bytes_raw() for firm in chamber.trust.firms]
        honest = multiprocessing.Process(target=members, args=(chamber.url, keys, took), daemon=True)
        honest.start()
        try:
            time.sleep(10)
            watch = Watch(took, chamber.process.pid)
            quiet = watch.over(seconds)
            crowds = {kind: Crowd(kind, chamber.port, PER_KIND, seconds + 4) for kind in KINDS}
            time.sleep(2)
            crowded = watch.over(seconds)
            seen = {kind: crowd.seen() for kind, crowd in crowds.items()}
            assert honest.is_alive(), "a member was refused"
        finally:
            honest.kill()
            honest.join()
    return quiet, crowded, seen


def main(seconds=30):
    """Print the table; 1 if a bound is broken."""
    with tempfile.TemporaryDirectory() as place:
        quiet, crowded, seen = trial(Path(place), seconds)
    print(f"{MEMBERS} members, {PER_KIND * len(KINDS)} strangers   p99       memory     requests of members   CPU")
    for name, (p99, most, n, cpu) in {"quiet": quiet, "beside strangers": crowded}.items():
        print(f"{name:<26} {p99 * 1000:7.0f} ms {most:8.0f} MB {n:8} {cpu:12.1f} s")
    for kind, saw in seen.items():
        print(f"  {kind:<14} {saw}")
    is_right = crowded[0] <= max(LONGEST_S, 5 * quiet[0]) and crowded[1] - quiet[1] <= GROWTH_MB
    print("as bounded" if is_right else "WRONG")
    return int(not is_right)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main(*map(int, sys.argv[1:])))
