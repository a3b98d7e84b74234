"""Kill storm: 200 submitters speak HTTPS to `coordinator serve`, its process is killed at any moment, and what was
acknowledged must be there.

`python tests/trials/storm.py [KILLS] [sqlite|postgresql]` runs one and prints a table; the log is begun anew every 50
kills. A lost entry, a second root, a receipt that does not hold or a refusal ends it with an error. A submitter whose
connection broke sends the same bytes again. Processes are forked from one that has imported everything, so that a kill
costs a second and not five.
"""

import asyncio
import json
import os
import random
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
SUBMITTERS, KILLS_A_LOG, PATIENCE_S = 200, 50, 120
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests" / "support")) if path not in sys.path]

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

from benchmarks.log.witnessed import privacy_check  # noqa: E402
from contracts.envelope import digest, public_text, seal, to_base64  # noqa: E402
from contracts.fields import new_id, time_text  # noqa: E402
from contracts.log.checkpoint import verify_proof  # noqa: E402
from contracts.log.merkle import Tree, leaf_hash  # noqa: E402
from contracts.statements.closed_list import payload  # noqa: E402
from contracts.statements.requests import sign_request  # noqa: E402
from contracts.statements.statements import Genesis, Key  # noqa: E402
from shell.unix import PRIVATE  # noqa: E402
from warm import processes  # noqa: E402

NOTHING = digest(b"")


def stamp():
    """A fresh id and the present time."""
    return {"record_id": new_id(), "issued_at": time_text(datetime.now(UTC))}


def open_log(home, **rules):
    """The log of a home, without the web server around it."""
    from coordinator.settings import read_home
    from coordinator.store.database import Database, migrate
    from coordinator.store.log import Log

    settings = read_home(home)
    migrate(settings.database_url)
    return Log(Database(settings.database_url), settings, **rules)


def begin(home):
    """A new home whose log holds its genesis and one member; that member's node key."""
    from coordinator.settings import create_home
    from coordinator.trust.certificates import make_certificates

    os.umask(PRIVATE)
    settings = create_home(home, name="商会", code_digest="", domain="localhost", url="https://localhost")
    make_certificates(home / "tls", Ed25519PrivateKey.generate(), name="商会", hosts=("localhost",))
    log, node = open_log(home), Ed25519PrivateKey.generate()
    genesis = Genesis(
        **stamp(),
        origin=settings.origin,
        log_vkey=log.key.vkey(),
        office=public_text(settings.office_key.public_key()),
        agreement=public_text(settings.agreement_key.public_key()),
        ca=NOTHING,
        quorum="members n//2+1, auditors 1",
    )
    log.append(seal(payload(genesis), [settings.log_key, settings.office_key, settings.agreement_key]))
    member = Key(
        **stamp(), member=new_id(), role="node", public=public_text(node.public_key()), register_document=NOTHING
    )
    log.append(seal(payload(member), [settings.office_key, node]))
    log._database.close()
    return member.member, node


def serve(home, port, database_url):
    """What is killed: the coordinator as `coordinator serve` runs it."""
    os.umask(PRIVATE)
    os.environ["MENGBANG_DATABASE_URL"] = database_url
    from coordinator.settings import read_home
    from coordinator.web.server import serve as run

    run(read_home(home), "127.0.0.1", port)


class Submitters:
    """200 connections of one member's node; `told` holds (entry, answer) of everything that was acknowledged, `refused`
    what was not taken for now, `wrong` all else, unless `era`, which is odd while a server is being stopped, changed
    between question and answer: it cuts off, with a 500, who is not answered in time."""

    def __init__(self, home, port, member, node):
        self._url, self._member, self._node = f"https://127.0.0.1:{port}/v1/statements", member, node
        self._context = ssl.create_default_context(cafile=str(home / "tls" / "ca.pem"))
        self._end = threading.Event()
        self.told, self.refused, self.wrong, self.era = [], [], [], 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), name="submitters")
        self._thread.start()

    def end(self):
        """Let every submitter end."""
        self._end.set()
        self._thread.join(timeout=PATIENCE_S)

    async def _all(self):
        import httpx

        limits = httpx.Limits(max_connections=SUBMITTERS, max_keepalive_connections=SUBMITTERS)
        async with httpx.AsyncClient(
            verify=self._context, trust_env=False, limits=limits, timeout=PATIENCE_S
        ) as client:
            await asyncio.gather(*(self._one(client) for _ in range(SUBMITTERS)))

    async def _one(self, client):
        import httpx

        entry = self._statement()
        while not self._end.is_set():
            body = json.dumps({"entry": to_base64(entry)}).encode()
            request = client.build_request("POST", self._url, content=body)
            sign_request(request, body, self._node, nonce=secrets.token_hex(16), now=datetime.now(UTC))
            era = self.era
            try:
                answer = await client.send(request)
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.told.append((entry, answer.json()))
                entry = self._statement()
            else:
                if answer.status_code == 503:
                    if answer.json()["code"] != "BUSY":  # too many of one member at once is no fault of the disk
                        self.refused.append(answer.text)
                elif era == self.era and era % 2 == 0:
                    self.wrong.append(answer.text)
                await asyncio.sleep(0.05)

    def _statement(self):
        return seal(payload(privacy_check(self._member)), [self._node])


class Storm:
    """Kills and judges one home after another; `roots` are those of all signed sizes that were ever seen."""

    def __init__(self, seed=0):
        self.random, self.acknowledged, self.roots, self.kills = random.Random(seed), 0, {}, 0

    def over(self, home, kills, told=lambda: None):
        """So many kills on a new home."""
        member, node = begin(home)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        submitters = Submitters(home, port, member, node)
        try:
            for _ in range(kills):
                self._kill_once(home, port, submitters)
                told()
        finally:
            submitters.end()

    def _kill_once(self, home, port, submitters):
        """Start, wait for an acknowledgement, kill a moment later, judge everything from what is on disk."""
        before = len(submitters.told)
        process = processes.Process(target=serve, args=(home, port, os.environ.get("MENGBANG_DATABASE_URL", "")))
        process.start()
        end = time.monotonic() + PATIENCE_S
        while len(submitters.told) == before:
            assert process.is_alive() and time.monotonic() < end, f"no acknowledgement; {submitters.wrong[:1]}"
            time.sleep(0.01)
        time.sleep(self.random.uniform(0, 0.5))
        process.kill()
        process.join(PATIENCE_S)
        assert not submitters.wrong, submitters.wrong[0]
        self.kills += 1
        self._judge(home, submitters)

    def _judge(self, home, submitters):
        log = open_log(home)
        kept = list(log.entries(0, 2**31 - 1))
        tree = Tree(map(leaf_hash, kept))
        told, submitters.told = submitters.told, []
        for entry, answer in told:
            assert kept[answer["index"]] == entry, f"acknowledged entry {answer['index']} is lost"
            found, note = verify_proof(answer["proof"], leaf_hash(entry), log.key)
            assert found == answer["index"]
            self._one_root(home, note.checkpoint, tree)
        for published in log.sizes():
            self._one_root(home, log.note(published).checkpoint, tree)
        self.acknowledged += len(told)
        log._database.close()

    def _one_root(self, home, checkpoint, tree):
        known = self.roots.setdefault((home, checkpoint.size), tree.root(checkpoint.size))
        assert checkpoint.root == known == tree.root(checkpoint.size), f"size {checkpoint.size} has two roots"


def run(kills, backend):
    """A whole storm with progress; the line of the table."""
    server, storm, began = None, Storm(), time.monotonic()
    if backend == "postgresql":
        from postgres import Server

        server = Server()

    def progress():
        if storm.kills % 10 == 0:
            print(f"  {storm.kills}/{kills} kills, {storm.acknowledged} acknowledged", file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(0, kills, KILLS_A_LOG):
                os.environ["MENGBANG_DATABASE_URL"] = server.url(f"storm{uuid4().hex}") if server else ""
                storm.over(Path(folder) / str(number), min(KILLS_A_LOG, kills - number), progress)
    finally:
        if server:
            server.close()
    seconds = time.monotonic() - began
    return f"{backend:<11} {storm.kills:>5} {storm.acknowledged:>13} {len(storm.roots):>13} {seconds:>8.0f}"


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print("backend     kills  acknowledged  signed sizes  seconds")
    for chosen in sys.argv[2:] or ["sqlite", "postgresql"]:
        print(run(wanted, chosen), flush=True)
